"""What one costs: of processor, rows and bytes, for a repeat, an alert that joins, and the whole life of an incident.

Processor is counted by the system for the bot's own processes, and for PostgreSQL's; time on the clock is not looked at.
What the processes need to do nothing is measured first, and taken off.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from bot.incidents.incident import incident_keyed
from bot.slack.client import PER_MINUTE, SHARE
from bot.store import Store, migrate
from bot.store.database import reading, writing
from bot.store.tables import alerts, drafts, entries, incidents, metadata
from sandbox.__main__ import SECRET
from sandbox.app import Sandbox
from sandbox.serving import running
from sandbox.world import World
from tests.bench import processes
from tests.bench.figures import HOOK, Amount, alert_body, is_answered, signed
from tests.bench.load import Request, Times, paced, run

KNOWN, REPEATS, JOINED, LIVES = 3, 500, 24, 3
"""Few lives: what they ask of Slack has to stay within what it allows a minute, or most of the time is spent waiting."""
ALERTS_PER_SECOND, COMMANDS_PER_SECOND = 100, 30
IDLE_SECONDS = 4.0
SWEPT = ("handled", "inbox", "outbox")
KEPT = (incidents, entries, alerts, drafts)
COPIES = 200
KEEP = timedelta(days=30)
DAY, MONTH = 24, 30 * 24
"""In hours."""
MEANING = "More than one in ten requests has failed for five minutes; the dashboard shows since when, the runbook what to try."
TYPED = (
    "ack INC-{n}", "role INC-{n} commander @ana", "note INC-{n} connections to the database run out",
    "status INC-{n} investigating", "update INC-{n} Orders fail; the newest deployment is suspected",
    "note INC-{n} rolled one region back, errors fall", "note INC-{n} the rest follows",
    "update INC-{n} Rolled back in one region, the others follow", "status INC-{n} monitoring",
)  # fmt: skip
"""What people type in one life, before the alert clears."""
RESOLVED = "resolve INC-{n} rolled back"


@dataclass(frozen=True, slots=True)
class Spent:
    """What `count` of one kind cost together; `of` gives it for each."""

    processor: Mapping[str, float]
    """Seconds, of each process by its name."""
    rows: Mapping[str, float]
    """By table."""
    size: float
    """Bytes of the database as it stands."""
    kept: float
    """Of them, bytes that are there for ever."""
    calls: Mapping[str, float]
    """Asked of Slack and PagerDuty, by name."""

    def of(self, count: int) -> "Spent":
        """For each of so many."""

        def each(found: Mapping[str, float]) -> dict[str, float]:
            return {name: value / count for name, value in found.items()}

        return Spent(each(self.processor), each(self.rows), self.size / count, self.kept / count, each(self.calls))

    @property
    def seconds(self) -> float:
        """Of processor, all processes together."""
        return sum(self.processor.values())


@dataclass(frozen=True, slots=True)
class Looked:
    """How the record and the calls stood at one moment."""

    rows: Mapping[str, int]
    size: int
    newest: Mapping[str, int]
    """The number of the newest row, of each table that is kept."""
    calls: Mapping[str, int]


def between(before: Looked, after: Looked, processor: Mapping[str, float], kept: float) -> Spent:
    """What came to be meanwhile, and what it took. Of tables and calls, only what changed.

    So few rows fill a page or do not: what is kept is never less than there is.
    """
    size = max(kept, float(after.size - before.size))
    return Spent(processor, _grown(before.rows, after.rows), size, kept, _grown(before.calls, after.calls))


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, float]:
    found = {name: float(value - before.get(name, 0)) for name, value in after.items()}
    return {name: value for name, value in found.items() if value}


def less_idle(used: Mapping[str, float], seconds: float, idle: Mapping[str, float]) -> dict[str, float]:
    """What was used within so many seconds, without what each process uses (a second) to do nothing. Never below nothing."""
    return {name: max(0.0, value - idle[name] * seconds) for name, value in used.items()}


# --- what a load needs ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in: incidents an hour, alerts that join each, and repeats a day in all."""

    name: str
    incidents: float
    joins: float
    repeats: float


LOADS = (
    Load("1 incident an hour", 1, 4, 1 * DAY * 100),
    Load("10 incidents an hour", 10, 4, 10 * DAY * 100),
    Load("100 incidents an hour", 100, 4, 100 * DAY * 100),
    Load("a million alerts a day", 10, 4, 1_000_000 - 10 * DAY * 5),
)
"""Each incident has four more alerts, and each of all five is sent twenty times more; of the million, the rest are repeats."""
FOLDED = frozenset({"chat.update", "conversations.setTopic"})
"""What has to wait here tells the newest state only: more of it takes no longer."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: processor a second of doing nothing, and one of each kind."""

    idle: float
    repeat: Spent
    join: Spent
    life: Spent

    def cores(self, load: Load) -> float:
        """How much of a core all processes take together, on average."""
        return self.idle + self._of(load, "seconds") / 3600

    def calls(self, joins: float) -> dict[str, float]:
        """What an incident with so many more alerts asks of its neighbours."""
        names = {*self.life.calls, *self.join.calls}
        return {name: self.life.calls.get(name, 0) + joins * self.join.calls.get(name, 0) for name in names}

    def kept_a_month(self, load: Load) -> float:
        """Bytes by which the database grows for ever."""
        return self._of(load, "kept") * MONTH

    def swept_after_a_month(self, load: Load) -> float:
        """Bytes of what is swept after thirty days: so much there is of it, always."""
        return self._of(load, "size") * MONTH - self.kept_a_month(load)

    def _of(self, load: Load, what: str) -> float:
        """In an hour."""
        repeat, join, life = (float(getattr(one, what)) for one in (self.repeat, self.join, self.life))
        return load.repeats / DAY * repeat + load.incidents * (load.joins * join + life)


def slack_allows(calls: Mapping[str, float], without: frozenset[str] = frozenset()) -> tuple[float, str]:
    """How many an hour Slack's limits let through, all their calls on time; and the method that is the limit."""
    rates = {
        method: PER_MINUTE[method] * SHARE * 60 / each
        for name, each in calls.items()
        if (method := name.removeprefix("slack ")) in PER_MINUTE and method not in without and each > 0
    }
    method = min(rates, key=lambda one: rates[one], default="")
    return rates.get(method, math.inf), method


# --- measured ---------------------------------------------------------------------------------


def cost(database: Callable[[], str], folder: Path) -> Iterator[Amount]:
    """`serve` on SQLite; `web` and a `worker` on PostgreSQL."""
    url = database()
    with _metered(url, folder, database) as meter:
        known = [alert("Known", f"cost-known-{number}") for number in range(KNOWN)]
        joined = [alert(f"Joined{number}", f"cost-known-{number % KNOWN}") for number in range(JOINED)]
        meter.fire(known)
        meter.life(1, TYPED[:1])
        idle = meter.idle()
        repeat = meter.spent(lambda: meter.fire([known[number % KNOWN] for number in range(REPEATS)]), idle)
        join = meter.spent(lambda: meter.fire(joined), idle)
        life = meter.spent(lambda: meter.life(LIVES), idle)
        doubts = meter.doubt, unexpected(repeat, join, life)
        costs = Costs(sum(idle.values()), repeat.of(REPEATS), join.of(JOINED), life.of(LIVES))
    yield from told(costs, idle, "; ".join(filter(None, doubts)))
    yield _swept(url)


def unexpected(repeat: Spent, join: Spent, life: Spent) -> str:
    """What the record holds that should not have come of it; empty where all is as it should be."""
    expected = (
        ("a repeat opens nothing", repeat.rows.get("alerts", 0) + repeat.rows.get("incidents", 0), 0),
        ("and says nothing", repeat.rows.get("entries", 0), 0),
        ("each repeat was taken", repeat.rows.get("inbox", 0), REPEATS),
        ("an alert that joins is a new one", join.rows.get("alerts", 0), JOINED),
        ("and opens nothing", join.rows.get("incidents", 0), 0),
        ("a life is an incident", life.rows.get("incidents", 0), LIVES),
        ("with a channel", life.calls.get("slack conversations.create", 0), LIVES),
        ("and a draft", life.rows.get("drafts", 0), LIVES),
    )
    return "; ".join(f"{what}: {found:g} rather than {wanted}" for what, found, wanted in expected if found != wanted)


def told(costs: Costs, idle: Mapping[str, float], doubt: str) -> Iterator[Amount]:
    """The figures, and what the loads of docs/operations.md need by them."""
    yield Amount("nothing to do", costs.idle * 100, "% of a core", what_floor=_listed(idle, 100, "%"))
    for name, one in (("a repeat", costs.repeat), ("an alert that joins", costs.join), ("an incident's life", costs.life)):
        yield Amount(f"{name}: processor", one.seconds * 1000, "ms", doubt=doubt, what_floor=_listed(one.processor, 1000, "ms"))
        yield Amount(f"{name}: rows", sum(one.rows.values()), "", doubt=doubt, what_floor=_listed(one.rows))
        yield Amount(f"{name}: database", one.size / 1000, "kB", doubt=doubt)
        yield Amount(f"{name}: of it for ever", one.kept / 1000, "kB", doubt=doubt)
        yield Amount(f"{name}: calls of neighbours", sum(one.calls.values()), "", doubt=doubt, what_floor=_listed(one.calls))
    calls = costs.calls(LOADS[0].joins)
    for what, without in (("cards and topics are told less often", frozenset[str]()), ("anything is told late", FOLDED)):
        rate, method = slack_allows(calls, without)
        yield Amount(f"incidents before {what}", rate, "an hour", doubt=doubt, what_floor=f"the limit is {method}'s")
    for load in LOADS:
        yield Amount(f"{load.name}: processor", costs.cores(load) * 100, "% of a core", doubt=doubt)
        yield Amount(f"{load.name}: growth a month", costs.kept_a_month(load) / 1e6, "MB", doubt=doubt)
        yield Amount(f"{load.name}: of thirty days", costs.swept_after_a_month(load) / 1e6, "MB", doubt=doubt)


def _listed(found: Mapping[str, float], times: float = 1.0, unit: str = "") -> str:
    parts = sorted(found.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} {value * times:.3g}{f' {unit}' if unit else ''}" for name, value in parts if value * times >= 0.005)


def _swept(url: str) -> Amount:
    """How many rows are left of what is swept, once a month has passed. What is parked would be."""
    store = Store.at(url)
    try:
        store.sweep(datetime.now(UTC) + KEEP + timedelta(days=1), KEEP)
        rows = _rows(store)
        return Amount("left of what is swept, after it", sum(rows[one] for one in SWEPT), "rows", 0)
    finally:
        store.close()


def alert(name: str, service: str) -> bytes:
    """One alert as Alertmanager posts it: with a sentence or two rather than padding, which a database would fold."""
    body = json.loads(alert_body(name, service))
    body["alerts"][0]["annotations"]["description"] = MEANING
    return json.dumps(body).encode()


def cleared(body: bytes) -> bytes:
    """The same alert, over."""
    found = json.loads(body)
    one = found["alerts"][0]
    one["status"] = found["status"] = "resolved"
    one["endsAt"] = datetime.now(UTC).isoformat()
    return json.dumps(found).encode()


@contextmanager
def _metered(url: str, folder: Path, database: Callable[[], str]) -> Iterator["Meter"]:
    store = Store.at(url)
    try:
        with ExitStack() as stack:
            sandbox = stack.enter_context(running(World(is_strict=False)))
            command = "serve" if url.startswith("sqlite") else "web"
            bot = stack.enter_context(processes.part(command, sandbox, url, folder))
            pids = {command: bot.pid}
            if command == "web":
                pids["worker"] = stack.enter_context(processes.worker(sandbox, url, folder))
            yield Meter(sandbox, bot.port, store, pids, database)
    finally:
        store.close()


class Meter:
    """What a running bot uses, and what it leaves behind."""

    def __init__(self, sandbox: Sandbox, port: int, store: Store, pids: Mapping[str, int], database: Callable[[], str]) -> None:
        self._sandbox, self._port, self._store, self._pids, self._database = sandbox, port, store, pids, database
        self._server = _postmaster(store)
        self._numbers = count(time.time_ns())
        self._lives = count(1)
        self.doubt = ""

    # --- what is done -------------------------------------------------------------------------

    def fire(self, bodies: Sequence[bytes]) -> None:
        """Deliveries at a pace, each an own one; returns when everything that follows has been done."""

        def request(number: int) -> tuple[str, dict[str, str], bytes]:
            value = b'"value": "%d"' % next(self._numbers)
            headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
            return HOOK, headers, bodies[number].replace(b'"value": "0"', value)

        self._asked(request, ALERTS_PER_SECOND, len(bodies))
        self._until_quiet()

    def life(self, many: int, typed: Sequence[str] = TYPED) -> None:
        """So many incidents beside each other: alert, page, channel, card, commands, clear, resolve, draft."""
        services = [f"cost-{next(self._lives)}" for _ in range(many)]
        seen = len(self._sandbox.account.ledger)
        fired = [alert("Life", one) for one in services]
        self.fire(fired)
        numbers = self._paged(seen, services)
        if len(numbers) != many:
            raise SystemExit(f"{len(numbers)} of {many} incidents were paged")
        for form in typed:
            self._type([form.format(n=one) for one in numbers])
        self._until_quiet()
        self.fire([cleared(one) for one in fired])
        self._type([RESOLVED.format(n=one) for one in numbers])
        self._until_quiet()

    def _type(self, texts: Sequence[str]) -> None:
        stamp = time.time_ns()

        def request(number: int) -> tuple[str, dict[str, str], bytes]:
            return signed(self._sandbox, texts[number], f"{stamp}.{number}")

        times = run(paced(self._port, request, COMMANDS_PER_SECOND, len(texts), is_answered))
        self._doubted(times, texts[0])

    def _asked(self, request: Request, per_second: float, many: int) -> None:
        self._doubted(run(paced(self._port, request, per_second, many)), "deliveries")

    def _doubted(self, times: Times, what: str) -> None:
        if times.refused:
            self.doubt = f"{times.refused} not answered as asked, of {what}"

    def _paged(self, seen: int, services: Sequence[str]) -> Sequence[int]:
        """The numbers of the incidents of these services, in their order, by PagerDuty's ledger."""
        with self._sandbox.world.lock:
            events = [one for one in self._sandbox.account.ledger[seen:] if one["event_action"] == "trigger"]
        found = {one["payload"]["summary"].rpartition(" on ")[2]: incident_keyed(one["dedup_key"]) for one in events}
        return [number for one in services if (number := found.get(one)) is not None]

    def _until_quiet(self, patience: float = 60.0) -> None:
        """Until nothing waits to be read or told; the looks are few, for they cost the server something."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if not self._store.inbox_depth().get("new") and not self._store.outbox_depth():
                return
            time.sleep(0.25)
        raise SystemExit(f"something is not done: {self._store.inbox_depth()} {self._store.outbox_depth()}")

    # --- what is read off ---------------------------------------------------------------------

    def idle(self) -> dict[str, float]:
        """Seconds of processor that each process takes a second while nothing happens."""
        began, before = time.monotonic(), self._used()
        time.sleep(IDLE_SECONDS)
        took, after = time.monotonic() - began, self._used()
        return {name: (after[name] - before[name]) / took for name in after}

    def spent(self, act: Callable[[], None], idle: Mapping[str, float]) -> Spent:
        """What it takes to do something, and all that follows from it."""
        before = self._looked()
        began, used = time.monotonic(), self._used()
        act()
        took, after = time.monotonic() - began, self._used()
        mine = {name: after[name] - used[name] for name in after}
        kept = kept_bytes(self._store, before.newest, self._database())
        return between(before, self._looked(), less_idle(mine, took, idle), kept)

    def _used(self) -> dict[str, float]:
        used = {name: processes.processor(pid) for name, pid in self._pids.items()}
        if self._server:
            backends = 0.0
            for pid in processes.children(self._server):
                with suppress(OSError):
                    backends += processes.processor(pid)
            used["PostgreSQL"] = processes.processor(self._server) + backends
        return used

    def _looked(self) -> Looked:
        with self._sandbox.world.lock:
            calls = Counter(f"{one.neighbour} {_plain(one.name)}" for one in self._sandbox.world.calls)
        return Looked(_rows(self._store), size(self._store), _newest(self._store), calls)


def _plain(call: str) -> str:
    """Without the identities in a path."""
    return "/".join(one for one in call.split("/") if not any(letter.isdigit() for letter in one)) if "/" in call else call


def _rows(store: Store) -> dict[str, int]:
    with reading(store.engine) as connection:
        counted = {one.name: connection.scalar(select(func.count()).select_from(one)) for one in metadata.sorted_tables}
    return {name: int(number or 0) for name, number in counted.items()}


def _newest(store: Store) -> dict[str, int]:
    with reading(store.engine) as connection:
        return {one.name: int(connection.scalar(select(func.max(_key(one)))) or 0) for one in KEPT}


def _key(table: Table) -> Any:
    return next(iter(table.primary_key))


def kept_bytes(store: Store, since: Mapping[str, int], url: str) -> float:
    """How much an empty database at `url` grows by what was kept since then: many times over, or a page would hold it."""
    copy = Store.at(url)
    try:
        migrate.upgrade(copy.engine)
        empty = size(copy)
        for table in KEPT:
            with reading(store.engine) as connection:
                rows = connection.execute(select(table).where(_key(table) > since[table.name])).all()
            again = [_again(row._asdict(), turn) for turn in range(COPIES) for row in rows]
            if again:
                with writing(copy.engine) as connection:
                    connection.execute(insert(table), again)
        return (size(copy) - empty) / COPIES
    finally:
        copy.close()


def _again(row: Mapping[str, Any], turn: int) -> dict[str, Any]:
    """The row under other numbers, about as long."""
    found = {name: value for name, value in row.items() if name != "id"}
    for name in {"number", "incident"} & set(found):
        value = found[name]
        found[name] = f"{value}{turn:04}" if isinstance(value, str) else value and value + 10_000 * turn
    if "fingerprint" in found:
        found["fingerprint"] = sha256(f"{found['fingerprint']}/{turn}".encode()).hexdigest()[: len(found["fingerprint"])]
    return found


def size(store: Store) -> int:
    """Bytes as the database stands: SQLite's file once all is written back, PostgreSQL's tables with their indexes."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).all()
            return Path(str(store.engine.url.database)).stat().st_size
        connection.execute(text("VACUUM"))
        sizes = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        return int(connection.scalar(text(sizes)) or 0)


def _postmaster(store: Store) -> int:
    """The process from which all of PostgreSQL's come, where it runs on this machine; 0 for SQLite."""
    if store.engine.dialect.name == "sqlite":
        return 0
    with reading(store.engine) as connection:
        return processes.parent(int(_backend(connection)))


def _backend(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
