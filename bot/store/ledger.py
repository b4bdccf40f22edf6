"""What all timelines tell, kept in memory and brought up to date by what was written since: a quarter is read once."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Select, Text, cast, func, select

from bot.incidents.timeline import Entry
from bot.metrics.told import Told
from bot.store.database import reading
from bot.store.tables import entries

OVERLAP = 5_000
"""Rows that are looked at again each time. PostgreSQL numbers a row before it is there: one with a lower number than
the newest may come after it, though hardly one that thousands have overtaken.
"""
AT_ONCE = 5_000
REFS_AT_ONCE = 500
LOOKED_AT = frozenset({"note", "pin", "status_update", "runbook_step", "reminder", "channel_opened", "kept_open"})
"""Types of entries of which no figure asks more than that they are there: what they say is not read."""


class Ledger:
    """The timelines of one record as figures want them. Any thread may ask; one at a time reads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told = Told()
        self._seen: set[int] = set()
        """Of the newest rows, those that were read."""
        self._newest = 0
        self._is_read = False
        self._lock = threading.Lock()

    @property
    def is_read(self) -> bool:
        """Whether all of the record was read once, so that asking is quick from now on."""
        return self._is_read

    @contextmanager
    def told(self, as_of: datetime) -> Iterator[Told]:
        """What all timelines tell by `as_of`: to look at while the context lasts. Raises `DatabaseDown`."""
        with self._lock:
            with reading(self._engine, streams=True) as connection:
                self._refresh(connection)
                told = self._told
                late = told.later_than(as_of)
                if late or told.merged:
                    told = told.copy()
                for ref, mine in _timelines(connection, late):
                    told.take(ref, mine, as_of)
            told.join()
            yield told

    def _refresh(self, connection: Connection) -> None:
        if self._is_read:
            # To count what is known already takes a tenth of the time of reading it again.
            since = self._newest - OVERLAP
            is_all_known = connection.scalar(_count_between(since, self._newest)) == len(self._seen)
            recent = _rows_since(connection, self._newest if is_all_known else since)
            new = [(number, ref) for number, ref in recent if number not in self._seen]
            read = _timelines(connection, sorted({ref for _, ref in new}))
        else:
            newest = connection.scalar(select(func.max(entries.c.id))) or 0
            new = _rows_since(connection, newest - OVERLAP)
            read = _all_timelines(connection)
        for ref, mine in read:
            self._told.take(ref, mine)
        if new:
            self._newest = max(self._newest, *(number for number, _ in new))
            self._seen.update(number for number, _ in new)
            self._seen = {number for number in self._seen if number > self._newest - OVERLAP}
        if not self._is_read:
            # What a quarter tells is millions of small things that stay. Looked through for garbage again and again, they
            # would make every command wait, half a second at a time.
            gc.freeze()
        self._is_read = True


def _rows_since(connection: Connection, number: int) -> list[tuple[int, str]]:
    found = connection.execute(select(entries.c.id, entries.c.incident).where(entries.c.id > number))
    return [(row.id, row.incident) for row in found]


def _count_between(after: int, last: int) -> Select[Any]:
    return select(func.count()).select_from(entries).where(entries.c.id > after, entries.c.id <= last)


def _timelines(connection: Connection, refs: list[str]) -> Iterator[tuple[str, list[Entry]]]:
    for start in range(0, len(refs), REFS_AT_ONCE):
        yield from _grouped(connection, _wanted().where(entries.c.incident.in_(refs[start : start + REFS_AT_ONCE])))


def _all_timelines(connection: Connection) -> Iterator[tuple[str, list[Entry]]]:
    return _grouped(connection, _wanted())


def _wanted() -> Select[Any]:
    # As text: a figure needs the fields of few entries, and reads those faster than the driver does.
    said = cast(entries.c.fields, Text)
    return select(entries.c.incident, entries.c.at, entries.c.type, entries.c.by, said).order_by(
        entries.c.incident, entries.c.at, entries.c.id
    )


def _grouped(connection: Connection, wanted: Select[Any]) -> Iterator[tuple[str, list[Entry]]]:
    # A few thousand rows at a time: all of them at once would be gigabytes.
    rows = connection.execution_options(yield_per=AT_ONCE).execute(wanted)
    for ref, mine in groupby(rows, key=itemgetter(0)):
        yield ref, [Entry(at, type_, ref, by, EMPTY if type_ in LOOKED_AT else orjson.loads(said)) for _, at, type_, by, said in mine]


EMPTY: dict[str, Any] = {}
