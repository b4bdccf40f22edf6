"""`changes`, `findings`: what was told of changes and of security findings, as the record has it."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.alerts.alert import ChangeState, FindingState, Severity
from bot.clock import wall_clock
from bot.commands.output import print_json
from bot.errors import Refused
from bot.incidents.changes import PRIVATE_CHANGE, ChangeRecord, FindingRecord
from bot.incidents.policy import span
from bot.settings import Settings
from bot.slack.views.text import clean, since
from bot.store.codec import encode
from bot.wiring import open_store, read_policy

ALL = "all"


def add_to(commands: Any) -> None:
    """Add the two subcommands."""
    changes = commands.add_parser(
        "changes", help="the change log: deployments, roll-backs, pushes, flags, configuration",
        description="Lists what was changed, the newest first: what kind of change, of which service, which version, by whom. "
        "What a private route took is listed without its words.",
    )  # fmt: skip
    changes.add_argument("--within", default="24h", metavar="TIME", help="how far back, such as 90m, 24h or 7d (default: 24h)")
    _narrowed(changes, "state", ChangeState, ALL, "how far they are")
    changes.set_defaults(run=run_changes)
    findings = commands.add_parser(
        "findings", help="the findings log: security findings with their clocks",
        description="Lists security findings, the oldest first, with their clocks: found, fixed, dismissed, come back. "
        "What a private route took is listed without its words.",
    )  # fmt: skip
    findings.add_argument("--severity", action="append", choices=[one.value for one in Severity], help="only these; may be repeated")
    _narrowed(findings, "state", FindingState, FindingState.OPEN.value, "where they stand")
    findings.set_defaults(run=run_findings)


def _narrowed(sub: argparse.ArgumentParser, name: str, kind: type[StrEnum], usual: str, what: str) -> None:
    sub.add_argument(f"--{name}", choices=[*(one.value for one in kind), ALL], default=usual, help=f"{what} (default: {usual})")
    sub.add_argument("--service", help="only of this service, by any name that the catalogue has for it")
    sub.add_argument("--limit", type=int, default=50, help="how many to list (default: 50)")
    sub.add_argument("--json", action="store_true", help="machine-readable output")


def run_changes(given: argparse.Namespace, settings: Settings) -> int:
    """What was changed."""
    try:
        within = span(given.within)
    except ValueError as error:
        raise Refused(f"--within: {error}") from None
    if not timedelta() < within <= timedelta(days=3660):
        raise Refused("--within: from 1s to ten years back, such as 24h")
    now, limit = wall_clock(), _limit(given)
    states = () if given.state == ALL else (ChangeState(given.state),)
    with open_store(settings) as store:
        found, total = store.changes_since(now - within, _service(given, settings), limit, states)
    return _listed(given, found, total, [_change_line(one) for one in found], "No change was told of; --within looks further back.")


def run_findings(given: argparse.Namespace, settings: Settings) -> int:
    """Security findings."""
    now, limit = wall_clock(), _limit(given)
    states = tuple(FindingState) if given.state == ALL else (FindingState(given.state),)
    severities = [Severity(one) for one in given.severity or ()]
    with open_store(settings) as store:
        found, total = store.findings_in(states, _service(given, settings), severities, limit)
    none = "No finding is told of." if given.state == ALL else f"No finding is {given.state}."
    return _listed(given, found, total, [_finding_line(one, now) for one in found], none)


def _limit(given: argparse.Namespace) -> int:
    if not 1 <= given.limit <= 10_000:
        raise Refused("--limit: from 1 to 10000")
    return int(given.limit)


def _service(given: argparse.Namespace, settings: Settings) -> str | None:
    if not given.service:
        return None
    name = str(given.service).strip()
    return read_policy(settings).aliases().get(name.lower(), name)


def _listed(
    given: argparse.Namespace, found: Sequence[ChangeRecord | FindingRecord], total: int, lines: Sequence[str], none: str
) -> int:
    if given.json:
        print_json([_plain(one) for one in found])
        return 0
    print("\n".join(lines) if lines else none)
    if total > len(found):
        print(f"… and {total - len(found)} more; --limit shows them.")
    return 0


def _change_line(one: ChangeRecord) -> str:
    facts = (
        one.what,
        one.service or "no service",
        one.environment or "",
        one.which,
        one.title,
        f"by {one.by}" if one.by else "",
        one.url or "",
    )
    return f"{_moment(one.at)}  {'  '.join(clean(fact, 300, lines=False) for fact in facts if fact)}"


def _finding_line(one: FindingRecord, now: datetime) -> str:
    clock = f"open for {since(one.since, now)}"
    if one.state is not FindingState.OPEN:
        at = one.fixed_at or one.dismissed_at
        clock = f"{one.state.value} {_moment(at)}" if at else one.state.value
    facts = (
        one.severity.value,
        clock,
        "came back" if one.reopened_at else "",
        one.service or "no service",
        ", ".join(one.identifiers) or one.rule,
        f"{one.package}{f', fixed in {one.fixed_in}' if one.fixed_in else ''}" if one.package else "",
        one.title,
        one.url or "",
    )
    found = "found" if one.is_created_at_known else "heard of"
    return f"{found} {_moment(one.created_at)}  {'  '.join(clean(fact, 300, lines=False) for fact in facts if fact)}"


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(one: ChangeRecord | FindingRecord) -> dict[str, Any]:
    plain = asdict(one)
    for name, value in plain.items():
        if isinstance(value, datetime):
            plain[name] = _moment(value)
        elif not isinstance(value, str | bool | int | None):
            plain[name] = encode(value)
    if isinstance(one, FindingRecord):
        plain["fixed_before"] = [[_moment(start), _moment(end)] for start, end in one.fixed_before]
    elif one.title == PRIVATE_CHANGE:
        # A sender's own name for it may say what it is.
        plain["identity"] = ""
    return plain
