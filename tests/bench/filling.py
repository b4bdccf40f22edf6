"""A database as a busy team has it after a quarter: incidents that the rules decided, many times over.

Some incidents are played through the real door, from their alerts to their end; the rest are these again, with other
numbers and other moments. So each row is one that the bot itself might have written.
"""

import random
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, delete, insert, select, text

from bot.alerts.alert import Alert
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.handle import Door
from bot.incidents.incident import Incident, Role, Status
from bot.incidents.inputs import (
    Acknowledge,
    AddNote,
    AlertReported,
    AssignRole,
    ChangeStatus,
    ChannelOpened,
    DraftPosted,
    Input,
    PageAccepted,
    PostUpdate,
    Resolve,
    TargetPassed,
)
from bot.incidents.policy import Policy, RouteRule, Service, StormRule
from bot.store import Store, migrate
from bot.store.database import reading, upsert, writing
from bot.store.tables import alerts, entries, incidents, metadata, notes, timers
from bot.store.work import NUMBER

WEEKS = 13
SERVICES = ("checkout", "payments", "search", "web", "platform")
PEOPLE = ("U0ANA0001", "U0BEN0002", "U0CHLOE03", "U0DMITRI4")
PLAYED = 60
"""Incidents played through the rules, of each kind: over, and open."""
PLAYED_NUMBER = 714_285_714
"""What those are numbered: like nothing else in a row."""
MARKS = re.compile(rf"{PLAYED_NUMBER}|\b[0-9a-f]{{32}}\b|\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)")
SEED = 20_260_610
BEGAN = datetime(2026, 6, 10, 9, 0, tzinfo=UTC)
CHUNK = 500
SAYINGS = (
    "connections to the database run out", "the deployment of 09:40 is suspected", "rolled one region back, errors fall",
    "the provider says it is on their side; their page shows nothing yet", "restarted two of the pods", "traffic moved away",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Played:
    """The rows of an incident that the rules decided."""

    incident: "_Copied"
    entries: tuple["_Copied", ...]
    alerts: tuple["_Copied", ...]
    timers: tuple["_Copied", ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """What was put in: how many incidents, how many of them open, how many entries; and the number of the newest."""

    incidents: int
    open: int
    entries: int
    newest: int


# --- incidents through the rules --------------------------------------------------------------


class _Player:
    """Plays incidents, one after another, in a record that is emptied after each."""

    def __init__(self, store: Store, dice: random.Random) -> None:
        self._store, self._dice, self._now = store, dice, BEGAN
        self._door = Door(store, lambda: self._now, policy, lambda: ())

    def page(self) -> Played:
        """Opened by an alert and paged; nobody has acknowledged."""
        self._empty()
        service = self._dice.choice(SERVICES)
        self._take(0, AlertReported(replace(self._alert(service, "LatencyHigh"), severity=AlertSeverity.HIGH), "main"))
        self._take(1, ChannelOpened(PLAYED_NUMBER, f"C0BENCH{PLAYED_NUMBER}", f"inc-{PLAYED_NUMBER}"))
        self._take(0, PageAccepted(PLAYED_NUMBER, self._found().episode.dedup_key, self._now))
        return self._rows()

    def play(self, *, is_over: bool) -> Played:
        """From its first alert to its end, or to where it stands."""
        self._empty()
        dice, number, who = self._dice, PLAYED_NUMBER, self._dice.choice(PEOPLE)
        service, name = dice.choice(SERVICES), f"{dice.choice(('ErrorRate', 'Latency', 'Saturation', 'Queue'))}High"
        fired = [self._alert(service, f"{name}{index}") for index in range(dice.randint(1, 4))]
        self._take(0, AlertReported(fired[0], "main"))
        self._take(1, ChannelOpened(number, f"C0BENCH{number}", f"inc-{number}"))
        if (key := self._found().episode.dedup_key) and self._found().episode.pages:
            self._take(0, PageAccepted(number, key, self._now))
        for alert in fired[1:]:
            self._take(20, AlertReported(alert, "main"))
        if dice.random() < 0.1:
            self._now = BEGAN + timedelta(minutes=5)
            self._take(0, TargetPassed(number, 1))
        self._take(dice.randint(30, 120), Acknowledge(number, who), AssignRole(number, Role.COMMANDER, who, who))
        for _ in range(dice.randint(5, 12)):
            self._take(dice.randint(20, 200), AddNote(number, f"{service}: {dice.choice(SAYINGS)}", dice.choice(PEOPLE)))
        self._take(60, ChangeStatus(number, Status.INVESTIGATING, who, "looking"))
        self._take(60, PostUpdate(number, "We know what it is.", who))
        if is_over:
            self._take(100, ChangeStatus(number, Status.MONITORING, who))
            for alert in fired:
                self._take(10, AlertReported(replace(alert, status=AlertStatus.RESOLVED, ended_at=self._now), "main"))
            self._take(60, Resolve(number, who, "Rolled back."), DraftPosted(number, "default", "https://example.com/draft"))
        return self._rows()

    def _empty(self) -> None:
        self._now = BEGAN
        with writing(self._store.engine) as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
            connection.execute(insert(notes).values(name=NUMBER, value=PLAYED_NUMBER - 1))

    def _take(self, seconds: float, *inputs: Input) -> None:
        self._now += timedelta(seconds=seconds)
        for one in inputs:
            self._door.handle(one)

    def _found(self) -> Incident:
        found = self._store.incident(PLAYED_NUMBER)
        assert found is not None
        return found

    def _alert(self, service: str, name: str) -> Alert:
        return Alert(
            source="alertmanager", identity=f"{PLAYED_NUMBER}/{name}", status=AlertStatus.FIRING, title=f"{name} on {service}",
            severity=self._dice.choice((AlertSeverity.CRITICAL, AlertSeverity.HIGH, AlertSeverity.MEDIUM)), service=service,
            labels={"alertname": name, "service": service}, started_at=self._now - timedelta(seconds=30),
        )  # fmt: skip

    def _rows(self) -> Played:
        with reading(self._store.engine) as connection:
            incident = connection.execute(select(incidents)).one()._asdict()
            lines = connection.execute(select(entries).order_by(entries.c.id)).all()
            fired = connection.execute(select(alerts)).all()
            set_ = connection.execute(select(timers)).all()
        return Played(
            incident=_Copied.of(incident),
            entries=tuple(_Copied.of(one._asdict()) for one in lines),
            alerts=tuple(_Copied.of(one._asdict()) for one in fired),
            timers=tuple(_Copied.of(one._asdict()) for one in set_),
        )


def policy() -> Policy:
    """Every alert opens an incident, or joins one of its service."""
    return Policy(
        services={name: Service(pager=name) for name in SERVICES}, routes=(RouteRule(name="all"),), storm=StormRule(most=1000)
    )


@cache
def played(count: int = PLAYED) -> tuple[tuple[Played, ...], tuple[Played, ...]]:
    """Incidents that are over, and incidents that are open; the same each time."""
    with tempfile.TemporaryDirectory(prefix="firstfive-played-") as folder:
        store = Store.at(f"sqlite:///{Path(folder) / 'played.db'}")
        try:
            migrate.upgrade(store.engine)
            player = _Player(store, random.Random(SEED))
            over = tuple(player.play(is_over=True) for _ in range(count))
            return over, tuple(player.play(is_over=False) for _ in range(count))
        finally:
            store.close()


@cache
def paged(count: int = PLAYED) -> tuple[Played, ...]:
    """Incidents whose page nobody has acknowledged; the same each time."""
    with tempfile.TemporaryDirectory(prefix="firstfive-played-") as folder:
        store = Store.at(f"sqlite:///{Path(folder) / 'played.db'}")
        try:
            migrate.upgrade(store.engine)
            player = _Player(store, random.Random(SEED))
            return tuple(player.page() for _ in range(count))
        finally:
            store.close()


# --- the same, many times over ----------------------------------------------------------------


Piece = str | bytes | timedelta | None
"""Text; the fingerprint of an alert; a moment as its distance from the opening; or None for the incident's number."""


@dataclass(frozen=True, slots=True)
class _Copied:
    """A row as text between moments and numbers, to be written again with others."""

    plain: Mapping[str, Any]
    moments: Mapping[str, timedelta]
    texts: Mapping[str, tuple[Piece, ...]]
    """Each column of text or JSON, in pieces."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "_Copied":
        plain: dict[str, Any] = {}
        moments: dict[str, timedelta] = {}
        texts: dict[str, tuple[Piece, ...]] = {}
        for name, value in row.items():
            if name in ("id", "recorded_at"):
                continue
            if isinstance(value, datetime):
                moments[name] = value - BEGAN
            elif isinstance(value, str | dict):
                texts[name] = tuple(_pieces(value if isinstance(value, str) else orjson.dumps(value).decode()))
            else:
                plain[name] = value
        return cls(plain, moments, texts)

    def row(self, number: int, opened_at: datetime) -> dict[str, Any]:
        """The row of incident `number`, opened at `opened_at`."""
        found = {name: number if value == PLAYED_NUMBER else value for name, value in self.plain.items()}
        for name, after in self.moments.items():
            found[name] = opened_at + after
        for name, pieces in self.texts.items():
            found[name] = "".join([_written(one, number, opened_at) for one in pieces])
        return found


def _written(piece: Piece, number: int, opened_at: datetime) -> str:
    match piece:
        case str():
            return piece
        case bytes():
            return f"{piece[:20].decode()}{number:012x}"
        case timedelta():
            return (opened_at + piece).isoformat()
        case _:
            return str(number)


def _pieces(text: str) -> Iterator[Piece]:
    last = 0
    for found in MARKS.finditer(text):
        if found.start() > last:
            yield text[last : found.start()]
        yield _piece(found[0])
        last = found.end()
    if last < len(text):
        yield text[last:]


def _piece(mark: str) -> Piece:
    if mark == str(PLAYED_NUMBER):
        return None
    return mark.encode() if len(mark) == 32 and "-" not in mark else datetime.fromisoformat(mark) - BEGAN


def fill(engine: Engine, *, entries_wanted: int, open_wanted: int, until: datetime, long: int = 0) -> Filled:
    """Fill a migrated, empty database with the quarter before `until`. The newest incident is open and has `long` more entries."""
    over, _ = played()
    count = open_wanted
    while (
        short := entries_wanted - long - sum(len(_chosen(number, count, open_wanted).entries) for number in range(1, count + 1))
    ) > 0:
        count += ceil(short / max(len(one.entries) for one in over))
    start = until - timedelta(weeks=WEEKS)
    written = 0
    for first in range(1, count + 1, CHUNK):
        rows: dict[str, list[dict[str, Any]]] = {"incidents": [], "entries": [], "alerts": []}
        for number in range(first, min(first + CHUNK, count + 1)):
            one = _chosen(number, count, open_wanted)
            opened_at = start + (until - timedelta(hours=3) - start) * (number / count)
            rows["incidents"].append(one.incident.row(number, opened_at))
            rows["entries"] += [entry.row(number, opened_at) for entry in one.entries]
            rows["alerts"] += [alert.row(number, opened_at) for alert in one.alerts]
            if number == count:
                rows["entries"] += [_note(number, opened_at, index) for index in range(long)]
        rows["entries"].sort(key=lambda row: row["at"])
        for row in rows["entries"]:
            row["recorded_at"] = row["at"]
        for name, found in rows.items():
            _insert(engine, name, found)
        written += len(rows["entries"])
    with writing(engine) as connection:
        connection.execute(insert(notes).values(name=NUMBER, value=count))
    _settled(engine)
    return Filled(count, open_wanted, written, count)


def _entries_of(count: int, open_wanted: int) -> int:
    return sum(len(_chosen(number, count, open_wanted).entries) for number in range(1, count + 1))


def _chosen(number: int, count: int, open_wanted: int) -> Played:
    """Which of those that were played an incident is: of `count`, the newest is open, and as many more, evenly spread."""
    over, open_ = played()
    is_open = number * open_wanted // count > (number - 1) * open_wanted // count
    return (open_ if is_open else over)[number % len(over)]


def fill_paged(engine: Engine, opened_at: Sequence[datetime], *, only: str = "", first: int = 1) -> None:
    """Add incidents that wait for an acknowledgement, each opened at one of these moments, with their timers.

    `only` keeps the timers whose keys end in it, as if the others had been handled.
    """
    some = paged()
    for start in range(0, len(opened_at), CHUNK):
        rows: dict[str, list[dict[str, Any]]] = {"incidents": [], "entries": [], "alerts": [], "timers": []}
        for number, at in enumerate(opened_at[start : start + CHUNK], start=first + start):
            one = some[number % len(some)]
            rows["incidents"].append(one.incident.row(number, at))
            rows["entries"] += [entry.row(number, at) | {"recorded_at": at} for entry in one.entries]
            rows["alerts"] += [alert.row(number, at) for alert in one.alerts]
            rows["timers"] += [row for timer in one.timers if (row := timer.row(number, at))["key"].endswith(only)]
        for name, found in rows.items():
            _insert(engine, name, found)
    with writing(engine) as connection:
        upsert(connection, notes, [{"name": NUMBER, "value": first + len(opened_at) - 1}], ("name",))
    _settled(engine)


def fill_handled(engine: Engine, count: int, until: datetime) -> None:
    """Add what reading so many alerts leaves behind until it is swept: deliveries, keys, and alerts that were forgotten."""
    begin = until - timedelta(days=30)
    for start in range(0, count, 10 * CHUNK):
        rows: dict[str, list[dict[str, Any]]] = {"inbox": [], "handled": [], "alerts": []}
        for number in range(start, min(start + 10 * CHUNK, count)):
            at = begin + (until - begin) * (number / count)
            rows["inbox"].append({
                "source": "alertmanager", "route": "main", "delivery_id": f"filled-{number}", "received_at": at, "headers": "{}",
                "body": b"{}", "state": "done", "reason": "", "attempts": 1,
            })  # fmt: skip
            rows["handled"].append({"key": f"filled:{number}", "at": at})
            rows["alerts"].append({
                **paged()[0].alerts[0].row(1, at), "fingerprint": f"filled{number:026x}", "incident": None, "is_open": False,
                "is_firing": False,
            })  # fmt: skip
        for name, found in rows.items():
            _insert(engine, name, found)
    _settled(engine)


def _note(number: int, opened_at: datetime, index: int) -> dict[str, Any]:
    fields = orjson.dumps({"text": f"{SAYINGS[index % len(SAYINGS)]} ({index})"}).decode()
    return {
        "incident": f"INC-{number}", "at": opened_at + timedelta(seconds=index), "type": "note", "by": PEOPLE[index % 4],
        "fields": fields,
    }  # fmt: skip


def _insert(engine: Engine, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """As fast as the database takes them: JSON as the text that it is, moments as the columns hold them."""
    if not rows:
        return
    columns = list(rows[0])
    names = ", ".join(f'"{one}"' for one in columns)
    raw: Any = engine.raw_connection()
    try:
        if engine.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(f"INSERT INTO {name} ({names}) VALUES ({marks})", [[_lite(row[one]) for one in columns] for row in rows])
        else:
            with raw.cursor() as cursor, cursor.copy(f"COPY {name} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row([row[one] for one in columns])
        raw.commit()
    finally:
        raw.close()


def _lite(value: Any) -> Any:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f") if isinstance(value, datetime) else value


def _settled(engine: Engine) -> None:
    """What a database does by itself over a quarter: it knows how its values are spread."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "SELECT 1"))
