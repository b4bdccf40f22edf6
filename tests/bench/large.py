"""Slash commands and the digest of a team that has had a bad quarter: 5,000 incidents open, a million timeline entries."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot import digest
from bot.clock import wall_clock
from bot.store import Store, migrate
from bot.wiring import Numbers
from sandbox.serving import running
from sandbox.world import World
from tests.bench import figures, processes
from tests.bench.figures import Amount, Figure
from tests.bench.filling import fill, fill_paged, policy

ENTRIES, OPEN, LONG = 1_000_000, 5_000, 10_000
"""In the record, incidents that are open, and entries of the one whose timeline is asked for."""
EACH = 30
COMMANDS = (
    ("list", "list"), ("who", "who INC-{waiting}"), ("ack", "ack INC-{waiting}"), ("status", "status INC-{waiting} identified"),
    ("metrics", "metrics"), ("timeline", "timeline INC-{long}"), ("declare", "declare sev4 the lift is stuck, {number}"),
)  # fmt: skip
WITHIN_SECONDS = 0.100


def large(url: str, floor: int, folder: Path, entries: int = ENTRIES, open_: int = OPEN) -> Iterator[Figure | Amount]:
    """Fill the database, ask for the digest as `bot digest` makes it, then ask a bot as Slack does."""
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        now = datetime.now(UTC)
        filled = fill(store.engine, entries_wanted=entries, open_wanted=open_ - EACH, until=now, long=min(LONG, entries // 10))
        fill_paged(store.engine, [now - timedelta(seconds=30)] * EACH, only="/target", first=filled.newest + 1)
        yield _digest(store, filled.entries)
    finally:
        store.close()
    with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder) as port:
        texts = [
            (name, form.format(waiting=filled.newest + 1 + round_, long=filled.newest, number=round_))
            for round_ in range(EACH)
            for name, form in COMMANDS
        ]
        figures.warmed(sandbox, port, "metrics", "counted, for the first time")
        what = f"/incident, {filled.entries / 1e6:.2g} M entries"
        yield from figures.commands(sandbox, port, floor, texts, what, WITHIN_SECONDS)


class _Chosen:
    """The team's files, as far as numbers need them."""

    policy = staticmethod(policy)

    def templates(self) -> None:
        """None are needed."""


def _digest(store: Store, entries: int) -> Amount:
    """Last week's digest with the four weeks before, from a record that was never read before."""
    numbers = Numbers(store, wall_clock, _Chosen())  # type: ignore[arg-type]
    week = digest.week_before(numbers.week_now(wall_clock()))
    began = time.perf_counter()
    made = numbers.digest(week)
    seconds = time.perf_counter() - began
    doubt = "" if "No incident was opened" not in made.headline else "the digest saw nothing"
    return Amount(f"digest, {entries / 1e6:.2g} M entries, cold", seconds, "s", 10.0, doubt=doubt)
