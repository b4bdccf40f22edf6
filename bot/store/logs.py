"""The change log and the findings log: one row for each change and each finding, as it was last told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, update
from sqlalchemy import Row as SqlRow

from bot.alerts.alert import ChangeKind, ChangeState, FindingState, Severity
from bot.alerts.quiet import MAINTENANCE
from bot.incidents.changes import OF_OTHERS, OF_THE_SERVICE, PRIVATE_CHANGE, UNDER_WAY, ChangeRecord, FindingRecord
from bot.incidents.decision import Quieted
from bot.store.codec import decode, encode
from bot.store.database import upsert
from bot.store.tables import changes, findings, notes

DROPPED = "dropped/"
HUSHED = "hushed/"
QUIETED = "quieted/"
IGNORED = "ignored/"
BY_SILENCES = "silences"
MOST_READ = 500
MOVED = timedelta(hours=1)
COUNTED = (Severity.CRITICAL, Severity.UNKNOWN)
"""The severities of findings that have a target, and those that may have."""


def save_change(connection: Connection, told: ChangeRecord) -> None:
    """Remember a change, with the start of what is known of it.

    One that is done once more is another row: the one before gives its identity up for one with its time in it. Of a private
    one the identity is a hash: its sender's own name for it may say what it is.
    """
    plain, hidden = told.identity, sha256(f"{told.source}\x1f{told.identity}".encode()).hexdigest()
    one = changes.c.source == told.source, changes.c.identity.in_((plain, hidden))
    row = connection.execute(select(changes).where(*one)).first()
    before = None if row is None else _change(row)
    is_again = before is not None and told.is_again(before)
    told = told.after(before)
    told = replace(told, identity=hidden if told.title == PRIVATE_CHANGE else plain)
    if row is not None and before is not None:
        kept = f"{told.identity}, done {before.at.isoformat()}" if is_again else told.identity
        connection.execute(update(changes).where(changes.c.id == row.id).values(identity=kept))
    upsert(connection, changes, [_values(told) | {"kind": told.kind.value, "state": told.state.value}], ("source", "identity"))


def save_finding(connection: Connection, told: FindingRecord) -> None:
    """Remember a finding, with the clocks of what is known of it."""
    row = connection.execute(select(findings).where(findings.c.fingerprint == told.fingerprint)).first()
    told = told.after(None if row is None else _finding(row))
    written = {
        "state": told.state.value, "severity": told.severity.value, "identifiers": list(told.identifiers),
        "fixed_before": encode(told.fixed_before),
    }  # fmt: skip
    upsert(connection, findings, [_values(told) | written], ("fingerprint",))


def changes_before(connection: Connection, service: str | None, at: datetime) -> tuple[ChangeRecord, ...]:
    """The changes that may have to be shown for an incident of that time, newest first: see `before_the_start`.

    What began a little later is among them: when the incident began may still be moved. So is what has moved since.
    """
    # Two lists, each with its limit: however many others there are, they push out none of its own.
    its_own = changes.c.service == service, _moved(at - OF_THE_SERVICE - MOVED, at + UNDER_WAY + MOVED)
    is_other = true() if service is None else or_(changes.c.service.is_(None), changes.c.service != service)
    others = is_other, _moved(at - OF_OTHERS - MOVED, at + UNDER_WAY + MOVED)
    found: list[ChangeRecord] = []
    for wanted in (its_own, others) if service is not None else (others,):
        near = select(changes).where(*wanted, changes.c.first_at <= at + MOVED)
        rows = connection.execute(near.order_by(changes.c.at.desc()).limit(MOST_READ))
        found += [_change(row) for row in rows]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True))


def _moved(since: datetime, until: datetime) -> ColumnElement[bool]:
    """What last moved between, or began since then: what has moved long after the start pushes out nothing of before it."""
    return and_(changes.c.at >= since, or_(changes.c.at <= until, changes.c.first_at >= since))


def changes_since(
    connection: Connection, since: datetime, service: str | None, limit: int, states: Sequence[ChangeState] = ()
) -> tuple[tuple[ChangeRecord, ...], int]:
    """At most `limit` changes that moved since then, the newest first, and how many there are; only of what is named."""
    wanted: list[ColumnElement[bool]] = [changes.c.at >= since]
    wanted += [changes.c.service == service] if service is not None else []
    wanted += [changes.c.state.in_([one.value for one in states])] if states else []
    rows = connection.execute(select(changes).where(*wanted).order_by(changes.c.at.desc(), changes.c.id.desc()).limit(limit))
    total = connection.scalar(select(func.count()).select_from(changes).where(*wanted)) or 0
    return tuple(_change(row) for row in rows), total


def is_told_of_changes(connection: Connection, by: datetime) -> bool:
    """Whether anybody had told of a change by then."""
    return connection.execute(select(changes.c.id).where(changes.c.first_at <= by).limit(1)).first() is not None


def findings_in(
    connection: Connection, states: Sequence[FindingState], service: str | None, severities: Sequence[Severity], limit: int
) -> tuple[tuple[FindingRecord, ...], int]:
    """At most `limit` findings in these states, the oldest first, and how many there are; only of what is named."""
    wanted: list[ColumnElement[bool]] = [findings.c.state.in_([one.value for one in states])]
    wanted += [findings.c.service == service] if service is not None else []
    wanted += [findings.c.severity.in_([one.value for one in severities])] if severities else []
    rows = connection.execute(select(findings).where(*wanted).order_by(findings.c.created_at, findings.c.fingerprint).limit(limit))
    total = connection.scalar(select(func.count()).select_from(findings).where(*wanted)) or 0
    return tuple(_finding(row) for row in rows), total


def open_findings(connection: Connection) -> tuple[FindingRecord, ...]:
    """The findings that are neither fixed nor dismissed, oldest first."""
    is_open = findings.c.state == FindingState.OPEN.value
    rows = connection.execute(select(findings).where(is_open).order_by(findings.c.created_at).limit(MOST_READ))
    return tuple(_finding(row) for row in rows)


def counted_findings(connection: Connection) -> tuple[FindingRecord, ...] | None:
    """The findings that figures are made of, oldest first; None where nobody has told of any finding yet."""
    is_counted = findings.c.severity.in_([one.value for one in COUNTED])
    rows = connection.execute(select(findings).where(is_counted).order_by(findings.c.created_at, findings.c.fingerprint)).all()
    if not rows and connection.scalar(select(findings.c.fingerprint).limit(1)) is None:
        return None
    return tuple(_finding(row) for row in rows)


def count_dropped(connection: Connection, dropped: Mapping[str, int]) -> None:
    """Count alerts that routes drop, by route."""
    _count(connection, DROPPED, dropped)


def count_hushed(connection: Connection, hushed: Mapping[str, int]) -> None:
    """Count alerts that are not announced because their source has announced so many, by source."""
    _count(connection, HUSHED, hushed)


def count_ignored(connection: Connection, ignored: Mapping[str, int]) -> None:
    """Count deliveries in which their source found nothing to act on, by source."""
    _count(connection, IGNORED, ignored)


def count_quieted(connection: Connection, reports: Sequence[Quieted]) -> None:
    """Count alerts that are kept quiet: by maintenance window, and by silences all together."""
    new = (one.key for one in reports if one.is_new)
    _count(connection, QUIETED, Counter(key if key.startswith(MAINTENANCE) else BY_SILENCES for key in new))


def _count(connection: Connection, prefix: str, counted: Mapping[str, int]) -> None:
    # In the order of their names: two who count the same wait in one line.
    for what, more in sorted(counted.items()):
        name = f"{prefix}{what}"
        known = connection.scalar(select(notes.c.value).where(notes.c.name == name).with_for_update()) or 0
        upsert(connection, notes, [{"name": name, "value": known + more}], ("name",))


def dropped(connection: Connection) -> dict[str, int]:
    """How many alerts each route has dropped, ever."""
    return _counted(connection, DROPPED)


def hushed(connection: Connection) -> dict[str, int]:
    """How many alerts of each source were not announced because of how many were, ever."""
    return _counted(connection, HUSHED)


def ignored(connection: Connection) -> dict[str, int]:
    """How many deliveries of each source had something in them that it ignores, ever."""
    return _counted(connection, IGNORED)


def quieted(connection: Connection) -> dict[str, int]:
    """How many alerts each maintenance window has kept quiet, and all silences together, ever."""
    return _counted(connection, QUIETED)


def _counted(connection: Connection, prefix: str) -> dict[str, int]:
    rows = connection.execute(select(notes).where(notes.c.name.startswith(prefix, autoescape=True)))
    return {row.name.removeprefix(prefix): int(row.value) for row in rows}


def _values(record: ChangeRecord | FindingRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _change(row: SqlRow) -> ChangeRecord:  # type: ignore[type-arg]
    return ChangeRecord(**(_fields(row) | {"kind": ChangeKind(row.kind), "state": ChangeState(row.state)}))


def _finding(row: SqlRow) -> FindingRecord:  # type: ignore[type-arg]
    known = {
        "state": FindingState(row.state), "severity": Severity(row.severity), "identifiers": tuple(row.identifiers),
        "fixed_before": decode(tuple[tuple[datetime, datetime], ...], row.fixed_before),
    }  # fmt: skip
    return FindingRecord(**(_fields(row) | known))


def _fields(row: SqlRow) -> dict[str, Any]:  # type: ignore[type-arg]
    return {name: value for name, value in row._mapping.items() if name != "id"}
