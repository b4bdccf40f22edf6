"""Trying templates on an incident that never was, so that a name nobody knows is found before a night needs the draft."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from bot.errors import Broken
from bot.incidents.timeline import Entry
from bot.postmortems.drafting import SUFFIX, Templates, render_apart
from bot.postmortems.facts import facts

REF = "INC-1"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HAPPENED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("opened", "bot", {"severity": "SEV2", "service": "web", "title": "The web is slow"}),
    ("alert_started", "bot", {"alert": "WebSlow", "fingerprint": "1"}),
    ("page_requested", "bot", {"service": "web", "episode": 1}),
    ("page_accepted", "bot", {"dedup_key": "1", "episode": 1}),
    ("page", "bot", {"to": "ana", "level": 1, "channel": "push"}),
    ("escalated", "bot", {"from_level": 1, "to_level": 2, "reason": "nobody answered"}),
    ("ack", "ana", {}),
    ("role", "ana", {"role": "commander", "user": "ana"}),
    ("status_changed", "ana", {"to": "investigating"}),
    ("severity_changed", "ana", {"from": "SEV2", "to": "SEV1"}),
    ("note", "ana", {"text": "It began with a release"}),
    ("status_update", "ana", {"audience": "everybody", "text": "We roll back"}),
    ("mitigated", "ana", {}),
    ("follow_up", "ana", {"id": "1", "text": "Try releases before", "kind": "prevent", "state": "open"}),
    ("resolved", "ana", {}),
    ("reopened", "ana", {}),
    ("resolved", "ana", {}),
)
STAGES = (1, 7, len(HAPPENED))
"""How much of it has happened when a draft is asked for: just opened, acknowledged, over."""


def tried(templates: Templates, folder: Path) -> Iterator[Broken]:
    """What goes wrong when each template is rendered, with file and line; each template's first trouble only."""
    for name, text in sorted(templates.texts.items()):
        trouble = next(filter(None, (_trouble(text, stage) for stage in STAGES)), "")
        if trouble:
            words, _, line = trouble.partition(" (line ")
            yield Broken(str(folder / f"{name}{SUFFIX}"), int(line[:-1]) if re.fullmatch(r"\d+\)", line) else None, words)


@lru_cache(maxsize=64)
def _trouble(text: str, stage: int) -> str:
    """Why a template cannot be rendered at a stage; empty where it can. The same each time, and a process each time."""
    entries = [Entry(START + timedelta(minutes=at), type_, REF, by, more) for at, (type_, by, more) in enumerate(HAPPENED[:stage])]
    return render_apart(text, facts(REF, entries, (), START + timedelta(hours=2), {"ana": "Ana"}))[1]
