"""Ten thousand open deadlines: what a look costs when nothing is due, what thousands at once cost, and how late each is."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from bot.handle import Door
from bot.store import Store, migrate
from bot.store.database import reading
from bot.store.tables import entries, outbox, timers
from bot.worker.due import DueTimers
from sandbox.serving import running
from sandbox.world import World
from tests.bench import processes
from tests.bench.figures import Amount, Figure
from tests.bench.filling import BEGAN, fill_paged, policy
from tests.bench.load import NONE, Times

OPEN, DUE = 10_000, 3_000
LOOKS = 300
TARGET = "/target"
WITHIN = timedelta(minutes=5)
SPREAD, SPREAD_SECONDS = 600, 20.0


def deadlines(url: str) -> Iterator[Figure | Amount]:
    """Rules and record alone, in one thread: no HTTP, nobody else who writes."""
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        later = BEGAN + timedelta(hours=1)
        fill_paged(store.engine, [BEGAN] * DUE + [later] * (OPEN - DUE), only=TARGET)
        rules = policy()
        now = [BEGAN + WITHIN - timedelta(seconds=1)]
        due = DueTimers(store=store, door=Door(store, lambda: now[0], lambda: rules, lambda: ()))
        yield _nothing_due(store, due)
        now[0] = BEGAN + WITHIN
        yield _many_due(store, due)
    finally:
        store.close()


def _nothing_due(store: Store, due: DueTimers) -> Figure:
    """Each look, beside the query alone on the same connection pool."""
    looks, bare = [], []
    query = select(timers.c.due_at).order_by(timers.c.due_at).limit(1)
    for _ in range(LOOKS):
        began = time.perf_counter()
        assert due.run_once() == 0
        looks.append(time.perf_counter() - began)
        began = time.perf_counter()
        with store.engine.connect() as connection:
            connection.execute(query).all()
        bare.append(time.perf_counter() - began)
    name = f"{OPEN:,} deadlines, none due"
    return Figure(name, Times(tuple(looks)), Times(tuple(bare)), 0.95, 0.001)


def _many_due(store: Store, due: DueTimers) -> Amount:
    began = time.perf_counter()
    while due.run_once():
        pass
    seconds = time.perf_counter() - began
    with reading(store.engine) as connection:
        breached = connection.scalar(select(func.count()).select_from(entries).where(entries.c.type == "ack_breached"))
        asked = connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.kind == "PageNextLevel"))
    doubt = "" if breached == asked == DUE else f"{breached} were recorded and {asked} levels asked for"
    return Amount(f"{DUE:,} deadlines due at once", seconds, "s", 3.0, doubt=doubt)


def lateness(url: str, folder: Path, seconds: float = SPREAD_SECONDS) -> Figure:
    """How late a running bot says that a target was missed, of deadlines spread over some seconds among ten thousand."""
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        begin = datetime.now(UTC) + timedelta(seconds=12)
        soon = [begin + timedelta(seconds=seconds * index / SPREAD) - WITHIN for index in range(SPREAD)]
        fill_paged(store.engine, [*soon, *[begin + timedelta(hours=1)] * (OPEN - SPREAD)], only=TARGET)
        with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder):
            while datetime.now(UTC) < begin + timedelta(seconds=seconds + 3):
                time.sleep(0.2)
            late = _late(store)
    finally:
        store.close()
    name = f"{SPREAD} deadlines in {seconds:.0f} s, how late"
    return Figure(name, Times(tuple(late), max(0, SPREAD - len(late))), NONE, 0.99, 1.0)


def _late(store: Store) -> Sequence[float]:
    """By the record: when the breach was written, and when the target had passed."""
    with reading(store.engine) as connection:
        found = connection.execute(select(entries.c.at, entries.c.recorded_at).where(entries.c.type == "ack_breached")).all()
    return [(row.recorded_at - row.at).total_seconds() for row in found]
