"""Timelines for tests, in few words: entries around noon of Wednesday 10 June 2026, and the numbers of their week."""

from datetime import datetime, timedelta
from typing import Any

from bot.incidents.timeline import Entry
from bot.journal import Journal
from bot.metrics import WeekMetrics, week_metrics
from tests.builders import ANA, NOON, after

WEEK = "2026-W24"
LATER = NOON + timedelta(days=30)


def entry(type_: str, at: datetime, by: str | None = "bot", incident: str = "INC-7", **fields: Any) -> Entry:
    """One thing that happened."""
    return Entry(at, type_, incident, by, fields)


def opened(at: datetime = NOON, incident: str = "INC-7", severity: str = "SEV2", by: str = "bot", **fields: Any) -> Entry:
    given = {"severity": severity, "service": "checkout", "title": "Checkout error rate high"}
    return entry("opened", at, by, incident, **(given | fields))


def page(at: datetime, to: str = ANA, incident: str = "INC-7", channel: str = "push", level: int = 1) -> Entry:
    return entry("page", at, "bot", incident, to=to, level=level, channel=channel)


def ack(at: datetime, by: str = ANA, incident: str = "INC-7") -> Entry:
    return entry("ack", at, by, incident)


def resolved(at: datetime, by: str = ANA, incident: str = "INC-7", **fields: Any) -> Entry:
    return entry("resolved", at, by, incident, **fields)


def cleared(at: datetime, incident: str = "INC-7", **fields: Any) -> Entry:
    """The bot resolves by itself, because the alerts are gone."""
    return entry("resolved", at, "bot", incident, auto=True, **fields)


def paged(at: datetime = NOON, incident: str = "INC-7", **fields: Any) -> list[Entry]:
    """An incident that was opened, and Ana's phone a second later."""
    return [opened(at, incident, **fields), page(at + timedelta(seconds=1), incident=incident)]


def lived(number: int, at: datetime = NOON, acked: float | None = 60, over: float | None = 600, **fields: Any) -> list[Entry]:
    """A whole incident: paged, acknowledged and resolved that many seconds after its opening."""
    ref = f"INC-{number}"
    told = paged(at, ref, **fields)
    if acked is not None:
        told.append(ack(at + timedelta(seconds=acked), incident=ref))
    if over is not None:
        told.append(resolved(at + timedelta(seconds=over), incident=ref))
    return told


def journal(*told: Entry | list[Entry], tz: str = "UTC", people: dict[str, str] | None = None, **others: Any) -> Journal:
    entries = [one for part in told for one in (part if isinstance(part, list) else [part])]
    return Journal(tuple(entries), tz, people or {}, others)


def numbers(*told: Entry | list[Entry], week: str = WEEK, as_of: datetime = LATER, **more: Any) -> WeekMetrics:
    """The numbers of a week."""
    return week_metrics(journal(*told, **more), week, as_of)


def row(made: WeekMetrics, name: str) -> tuple[float | None, int | None, str]:
    """(value, n, status) of the scorecard's row that begins so."""
    found = next(one for one in made.scorecard if one.row.startswith(name))
    return found.value, found.n, found.status


__all__ = [
    "ANA", "LATER", "NOON", "WEEK", "ack", "after", "cleared", "entry", "journal", "lived", "numbers", "opened", "page",
    "paged", "resolved", "row",
]  # fmt: skip
