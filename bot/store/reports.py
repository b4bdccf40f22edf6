"""Reading what happened: timelines of a span, journals in and out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, insert, or_, select

from bot.errors import Refused
from bot.incidents.incident import number_in
from bot.incidents.timeline import Entry, in_order
from bot.journal import joined, line_of
from bot.store.codec import encode
from bot.store.database import upsert
from bot.store.tables import entries, notes
from bot.store.work import NUMBER

JOURNAL = "journal/"
OVER = ("resolved", "merged", "cancelled")


def timeline(connection: Connection, ref: str) -> tuple[Entry, ...]:
    """Every entry of one incident, in order of when it happened."""
    rows = connection.execute(select(entries).where(entries.c.incident == ref).order_by(entries.c.id)).all()
    return in_order(_entry(row) for row in rows)


def timeline_page(connection: Connection, ref: str, page: int, size: int) -> tuple[tuple[Entry, ...], int]:
    """`size` entries of one incident, and how many it has. Page 0 has the newest; each is in order of when it happened."""
    mine = entries.c.incident == ref
    total = connection.scalar(select(func.count()).select_from(entries).where(mine)) or 0
    end = total - page * size
    if end <= 0:
        return (), total
    newest = select(entries.c.at).where(mine).order_by(entries.c.at.desc(), entries.c.id.desc())
    oldest = connection.scalar(newest.offset(min((page + 1) * size, total) - 1).limit(1))
    assert oldest is not None
    # Those of one second stand as they were recorded (`in_order`): a second is read whole, or not at all.
    rows = connection.execute(select(entries).where(mine, entries.c.at >= oldest.replace(microsecond=0)).order_by(entries.c.id))
    read = in_order(_entry(row) for row in rows)
    kept = read[: len(read) - page * size]
    return kept[-size:], total


def timelines(connection: Connection, start: datetime, end: datetime) -> tuple[Entry, ...]:
    """Every entry before `end` of incidents that had one since `start`, or that are not over."""
    last = func.max(entries.c.at)
    ended = func.count().filter(entries.c.type.in_(OVER))
    begun_again = func.count().filter(entries.c.type == "reopened")
    touched = select(entries.c.incident).group_by(entries.c.incident).having(or_(last >= start, ended <= begun_again))
    rows = connection.execute(
        select(entries).where(and_(entries.c.at < end, entries.c.incident.in_(touched))).order_by(entries.c.at, entries.c.id)
    )
    return tuple(_entry(row) for row in rows)


def all_entries(connection: Connection) -> tuple[Entry, ...]:
    """Every entry there is."""
    return in_order(_entry(row) for row in connection.execute(select(entries).order_by(entries.c.id)))


def journal_notes(connection: Connection) -> dict[str, Any]:
    """The parts of imported journals that are no entries: tz, people, deployments …"""
    rows = connection.execute(select(notes).where(notes.c.name.startswith(JOURNAL)))
    return {row.name.removeprefix(JOURNAL): row.value for row in rows}


def take_in(connection: Connection, new: Sequence[Entry], others: Mapping[str, Any], now: datetime) -> tuple[int, int]:
    """Add a journal: (entries added, entries that were there already). Whole, or not at all.

    The parts beside the entries join those of earlier journals; its zone is the team's only where there was no entry yet.
    Raises `Refused` where an incident of that name is here already with another beginning: two different incidents
    must not become one.
    """
    refs = sorted({one.incident for one in new})
    is_empty = connection.scalar(select(entries.c.id).limit(1)) is None
    here = {ref: set(map(_content, timeline(connection, ref))) for ref in refs}
    _check_same(new, here)
    added = []
    for one in new:
        if _content(one) not in here[one.incident]:
            here[one.incident].add(_content(one))
            added.append(one)
    if added:
        connection.execute(insert(entries), [_values(one, now) for one in added])
    taken = {name: value for name, value in others.items() if name != "tz" or is_empty}
    for name, value in joined(journal_notes(connection), taken).items():
        upsert(connection, notes, [{"name": JOURNAL + name, "value": value}], ("name",))
    _keep_numbers_apart(connection, refs)
    return len(added), len(new) - len(added)


def _check_same(new: Iterable[Entry], here: Mapping[str, set[str]]) -> None:
    for one in new:
        known = here[one.incident]
        if one.type == "opened" and known and _content(one) not in known:
            raise Refused(f"{one.incident} is here already and began otherwise. Import into an empty database, or rename it.")


def _keep_numbers_apart(connection: Connection, refs: Iterable[str]) -> None:
    """Incidents opened from now on must not be called like imported ones."""
    highest = max((number_in(ref) or 0 for ref in refs), default=0)
    last = connection.scalar(select(notes.c.value).where(notes.c.name == NUMBER)) or 0
    if highest > int(last):
        upsert(connection, notes, [{"name": NUMBER, "value": highest}], ("name",))


def _content(entry: Entry) -> str:
    return line_of(replace(entry, fields=encode(entry.fields)))


def _values(entry: Entry, now: datetime) -> dict[str, Any]:
    return {
        "incident": entry.incident, "at": entry.at, "type": entry.type, "by": entry.by,
        "fields": encode(entry.fields), "recorded_at": now,
    }  # fmt: skip


def _entry(row: Any) -> Entry:
    return Entry(at=row.at, type=row.type, incident=row.incident, by=row.by, fields=row.fields)
