"""Two versions on one record: a newer one is started beside the one that works, taken back, and started again.

The newer one is this code with a migration more, an effect under another name, and a field that no older one knows.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.store import migrate
from sandbox.calls import get
from sandbox.misbehaviour import status
from tests.faults.machine import _fires_apart
from tests.faults.oracle import Wrong
from tests.faults.poisoned import POLICY
from tests.faults.rig import TOP, Bot, Rig
from tests.faults.runs import COMMANDS
from tests.faults.trials import Stage, Trial
from tests.ports import free_port

RENAMED, NEW_NAME = "PinSummary", "PinTheCard"
FIELD = '    """Whom to mention."""\n'
MIGRATION = """\
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = {ours!r}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("of_tomorrow", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("UPDATE outbox SET kind = '{new}' WHERE kind = '{old}'")
    cast = "::text" if op.get_bind().dialect.name == "postgresql" else ""
    back = "::json" if cast else ""
    op.execute(f"UPDATE outbox SET payload = replace(payload{{cast}}, '{old}', '{new}'){{back}} WHERE kind = '{new}'")


def downgrade() -> None:
    op.drop_table("of_tomorrow")
"""
BEFORE, OLD_DOOR, NEW_DOOR, IN_FLIGHT, AFTER = "Before it", "By the old door", "By the new door", "In flight", "Gone back"
UPDATE = "The newer version wrote this"


def trials(seeds: range) -> Iterator[Trial]:
    """On both databases, twice."""
    for seed in seeds[:2]:
        for database in ("sqlite", "postgresql"):
            yield Trial("D8 upgraded at work, taken back at work, upgraded again", database, seed, upgraded)


def upgraded(stage: Stage) -> Iterator[Wrong]:
    """Nothing is lost or there twice on the way up, back, and up again; what the old one cannot read waits for the new."""
    tomorrow = newer_version(stage.folder / "tomorrow")
    with stage.rigged() as rig:
        (stage.folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        old_door = rig.world.bot
        # Work in flight: pages are out, and nothing in Slack can be done.
        rig.world.break_("slack", "down")
        _opens(rig, BEFORE)
        newer = _start_newer(rig, tomorrow)
        rig.world.break_("slack", "up")
        stage.met()
        refused = rig.until(lambda: _ready(old_door)[0] == 503 and _ready(old_door)[1], "the old one sees that it is old", 30)
        _opens(rig, OLD_DOOR)
        rig.world.bot = f"http://127.0.0.1:{newer.port}"
        _opens(rig, NEW_DOOR)
        rig.until(lambda: _pinned(rig) == 3, "three cards are pinned")
        rig.until(rig.is_quiet, "nothing waits")
        rig.world.answer_with("slack", "pins.add", status(503))
        _opens(rig, IN_FLIGHT)
        rig.until(lambda: _effects(rig, NEW_NAME, ("pending", "ambiguous")), "an effect that only the newer one knows waits")
        rig.types("ana", f"/incident update INC-4 {UPDATE}")
        newer.end()
        yield from _runs_well(_by(tomorrow, rig, "migrate", "--down", migrate._known()[-1]))
        stage.met()
        rig.world.mends("slack")
        rig.world.bot = old_door
        rig.until(lambda: _ready(old_door)[0] == 200, "the old one works again", 30)
        _opens(rig, AFTER)
        [kept] = rig.until(lambda: _effects(rig, NEW_NAME, ("dead",)), "what the old one cannot read is put aside")
        rig.until(lambda: _times_said(rig, UPDATE), "what stood behind it is said, though it has a field too many")
        rig.until(rig.is_quiet, "nothing waits")
        if "this version cannot read it" not in kept.reason or f"outbox retry {kept.number}" not in kept.reason:
            yield Wrong("lost", f"it was put aside because {kept.reason!r}")
        if "of a newer version" not in refused:
            yield Wrong("lost", f"the old one says {refused!r}, and not why")
        newer.start()
        rig.until(lambda: _ready(f"http://127.0.0.1:{newer.port}")[0] == 200, "the newer one works again", 30)
        stage.met()
        yield from _runs_well(_by(tomorrow, rig, "outbox", "retry", str(kept.number), "--by", "ana"))
        rig.until(lambda: _pinned(rig) == 5, "all cards are pinned")
        rig.until(rig.is_quiet, "nothing waits")
        yield from nothing_twice(rig)


def newer_version(folder: Path) -> Path:
    """A copy of this code that is a version ahead."""
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("bot", "migrations", "runbooks", "postmortem_templates"):
        shutil.copytree(TOP / name, folder / name, ignore=skipped)
    (folder / "tests/faults").mkdir(parents=True)
    for name in ("tests/__init__.py", "tests/faults/__init__.py", "tests/faults/launch.py"):
        shutil.copyfile(TOP / name, folder / name)
    for file in (folder / "bot").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(rf"\b{RENAMED}\b", NEW_NAME, text), encoding="utf-8")
    effects = folder / "bot/incidents/effects.py"
    text = effects.read_text(encoding="utf-8")
    assert text.count(FIELD) == 1, "Say has another last field by now: FIELD has to name it"
    effects.write_text(text.replace(FIELD, f'{FIELD}    tone: str = "plain"\n'), encoding="utf-8")
    migration = MIGRATION.format(ours=migrate._known()[-1], old=RENAMED, new=NEW_NAME)
    (folder / "migrations/versions/9000_of_tomorrow.py").write_text(migration, encoding="utf-8")
    return folder


def _start_newer(rig: Rig, folder: Path) -> Bot:
    newer = Bot(rig, "serve", free_port(), own={"PYTHONPATH": str(folder)}, within=("env", "-C", str(folder)))
    rig.bots.append(newer)
    newer.start()
    rig.until(lambda: _ready(f"http://127.0.0.1:{newer.port}")[0] == 200, "the newer version works", 60)
    return newer


def _by(folder: Path, rig: Rig, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command of the newer version."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *words], cwd=folder, env=rig.environment | {"PYTHONPATH": str(folder)}, capture_output=True,
        text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _runs_well(done: "subprocess.CompletedProcess[str]") -> Iterator[Wrong]:
    if done.returncode:
        yield Wrong("lost", f"{' '.join(done.args[2:])} ended with {done.returncode}: {done.stderr[-300:]}")


def _ready(address: str) -> tuple[int, str]:
    answer = get(f"{address}/health/ready", 5)
    return answer.status, answer.body.decode(errors="replace")


def _opens(rig: Rig, title: str) -> None:
    """An alert that opens an incident; its page has to come whichever version is at work."""
    _fires_apart(rig, title)
    rig.until(lambda: any(title in one for one in _paged(rig)), f"the page of “{title}”")


def _paged(rig: Rig) -> list[str]:
    with rig.world.lock:
        return [one.title for one in rig.sandbox.account.incidents]


def _effects(rig: Rig, kind: str, states: tuple[str, ...]) -> list[Any]:
    return [one for one in rig.store.effects(states, 100) if one.kind == kind]


def _pinned(rig: Rig) -> int:
    with rig.world.lock:
        return sum(len(one.pins) for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-"))


def _times_said(rig: Rig, words: str) -> int:
    incident = rig.store.incident(4)
    name = incident.channel.name if incident and incident.channel else ""
    return sum(words in json.dumps(one, ensure_ascii=False) and not one.get("ephemeral_for") for one in rig.messages(name))


def nothing_twice(rig: Rig) -> Iterator[Wrong]:
    """One incident, page, channel and pin for each alert, and each message once; every delivery is handled."""
    titles = (BEFORE, OLD_DOOR, NEW_DOOR, IN_FLIGHT, AFTER)
    for title in titles:
        times = sum(title in one for one in _paged(rig))
        if times != 1:
            yield Wrong("page" if times else "lost", f"{times} pages for “{title}”")
    with rig.world.lock:
        channels = [one for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-")]
    found = len(rig.store.incidents())
    if len(channels) != len(titles) or found != len(titles):
        yield Wrong("channel" if len(channels) > len(titles) else "lost", f"{found} incidents and {len(channels)} channels")
    if any(len(one.pins) != 1 for one in channels):
        yield Wrong("message", f"pins: {[one.pins for one in channels]}")
    told = [one for one in rig.messages() if one.get("metadata") and not one.get("ephemeral_for")]
    for id_, times in Counter(one["metadata"]["event_payload"]["outbox_id"] for one in told).items():
        if times > 1:
            yield Wrong("message", f"the message of effect {id_} is there {times} times")
    if rig.store.inbox_depth() or rig.store.outbox_depth():
        yield Wrong("lost", f"left over: {rig.store.inbox_depth()} {rig.store.outbox_depth()}")
    if any(bot.deaths for bot in rig.bots):
        yield Wrong("lost", "a process ended for it")
