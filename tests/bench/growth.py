"""What one alert, one incident and one command cost as the record grows from a thousand alerts to a million."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bot.alerts.alert import Alert
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.handle import Door
from bot.incidents.inputs import AlertReported
from bot.slack.desk import Asker, Desk
from bot.store import Store, migrate
from tests.bench.figures import Amount
from tests.bench.filling import SERVICES, Filled, fill, fill_handled, policy
from tests.bench.load import Times

SIZES = (1_000, 10_000, 100_000, 1_000_000)
OPEN = 20
ROUNDS = 60
FLAT = 2.0
"""A cost that is at most so many times as high in the largest record as in the smallest does not grow with it."""


@dataclass(frozen=True, slots=True)
class Point:
    """The median cost of each thing, in seconds, with so many alerts in the record."""

    alerts: int
    seconds: dict[str, float]


def growth(database: Callable[[], str], sizes: Sequence[int] = SIZES) -> list[Point]:
    """A record of each size, anew; each has as many incidents open."""
    return [_point(database(), size) for size in sizes]


def amounts(points: Sequence[Point]) -> Iterator[Amount]:
    """What each cost in the largest record is, in times of what it is in the smallest."""
    first, last = points[0], points[-1]
    for name, seconds in last.seconds.items():
        label = f"{name}: {last.alerts:,} alerts against {first.alerts:,}"
        yield Amount(label, seconds / first.seconds[name], "times", FLAT, what_floor=f"{seconds * 1000:.2f} ms")


def _point(url: str, size: int) -> Point:
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        now = datetime.now(UTC)
        filled = fill(store.engine, entries_wanted=size, open_wanted=OPEN, until=now)
        fill_handled(store.engine, size, now)
        return Point(size, {name: _median(once) for name, once in _things(store, filled, now)})
    finally:
        store.close()


def _things(store: Store, filled: Filled, now: datetime) -> Iterator[tuple[str, Callable[[int], Any]]]:
    rules = policy()
    door = Door(store, lambda: datetime.now(UTC), lambda: rules, lambda: ())
    desk = Desk(
        door=door, command="/incident", digest_for=_never, week_of=lambda moment: "2026-W24", templates=lambda: ("default",)
    )  # fmt: skip

    def report(name: str, number: int) -> None:
        door.handle(AlertReported(_alert(name, now), "main"), once=f"growth:{name}:{number}")

    def typed(text: str, number: int) -> None:
        desk.typed(text.format(number=number), Asker("U0ANA0001", "C0NOWHERE", f"growth:{text}:{number}"))

    yield "an alert that opens an incident", lambda number: report(f"new-{number}", number)
    yield "an alert that is known", lambda number: report("new-0", number)
    yield "/incident declare", partial(typed, "declare sev4 lift {number}")
    for command in ("list", f"who INC-{filled.newest}", f"timeline INC-{filled.newest}"):
        yield f"/incident {command.split()[0]}", partial(typed, command)
    yield "/incident note", partial(typed, f"note INC-{filled.newest} number {{number}}")


def _never(week: str) -> Any:
    raise AssertionError("nobody asks for the numbers here")


def _alert(name: str, now: datetime) -> Alert:
    # Each of a service of its own: it joins nothing.
    return Alert(
        source="alertmanager", identity=name, status=AlertStatus.FIRING, title=f"{name} is slow", severity=AlertSeverity.HIGH,
        service=f"{SERVICES[0]}-{name}", labels={"alertname": name}, started_at=now - timedelta(seconds=5),
    )  # fmt: skip


def _median(once: Callable[[int], Any]) -> float:
    times = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        once(number)
        times.append(time.perf_counter() - began)
    return Times(tuple(times)).percentile(0.5)
