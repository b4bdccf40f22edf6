"""The ticker: it ticks, whatever goes wrong, never beside itself, and it ends."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from bot.store import DatabaseDown
from bot.worker.scheduler import Every, Scheduler, Tick

JUMPS = [timedelta(minutes=-5), timedelta(days=-1), timedelta(minutes=5), timedelta(days=1)]


def ticking(*ticks: Tick, until: threading.Event) -> None:
    scheduler = Scheduler(ticks)
    scheduler.start()
    try:
        assert until.wait(10)
    finally:
        scheduler.stop()


def test_a_tick_that_fails_is_made_again():
    errors, seen, enough = [DatabaseDown("gone"), ZeroDivisionError("a bug"), KeyError("x")], list[int](), threading.Event()

    def work() -> int:
        seen.append(1)
        if len(seen) > len(errors):
            enough.set()
            return 1
        raise errors[len(seen) - 1]

    ticking(Tick("fails", 0.05, work), until=enough)

    assert len(seen) > len(errors)


def test_a_slow_tick_is_not_made_beside_itself_and_holds_up_no_other():
    inside, most, others, enough = list[int](), list[int](), list[int](), threading.Event()

    def slow() -> int:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        if len(most) >= 3:
            enough.set()
        return 0

    def other() -> int:
        others.append(1)
        return 0

    ticking(Tick("slow", 0.05, slow), Tick("other", 0.05, other), until=enough)

    assert max(most) == 1
    assert len(others) > len(most)


def test_after_it_was_stopped_nothing_ticks():
    seen, enough = list[int](), threading.Event()

    def work() -> int:
        seen.append(1)
        enough.set()
        return 0

    ticking(Tick("once", 0.05, work), until=enough)
    time.sleep(0.1)
    count = len(seen)
    time.sleep(0.3)

    assert len(seen) == count


# --- a wall clock that jumps ------------------------------------------------------------------


@pytest.mark.parametrize("jump", JUMPS, ids=str)
def test_ticks_go_on_when_the_machines_clock_jumps(jump):
    seen, enough = list[float](), threading.Event()

    def work() -> int:
        seen.append(steady())
        enough.set()
        return 0

    steady = time.monotonic
    scheduler = Scheduler([Tick("often", 0.1, work)], steady=steady)
    scheduler.start()
    try:
        assert enough.wait(10)
        with freeze_time(datetime.now(UTC) + jump, tick=True):
            jumped, count = steady(), len(seen)
            enough.clear()
            until = jumped + 10
            while len(seen) < count + 10 and steady() < until:
                threading.Event().wait(0.05)
            after = seen[count:]
    finally:
        scheduler.stop()

    assert len(after) >= 10
    assert after[1] - jumped < 3
    assert len(seen) < 100, "what was missed is not made up for, one by one"


class Hands:
    """A wall clock and a steady one that are moved by hand."""

    def __init__(self) -> None:
        self.at, self.passed = datetime(2026, 3, 2, 9, tzinfo=UTC), 100.0

    def wall(self) -> datetime:
        return self.at

    def steady(self) -> float:
        return self.passed


@pytest.mark.parametrize("jump", [timedelta(minutes=-5), timedelta(hours=8)], ids=["set back", "suspended"])
def test_what_ticks_once_an_hour_is_made_at_once_when_the_clocks_disagree_and_once(jump):
    hands, seen, made, again = Hands(), list[int](), threading.Event(), list[int]()

    def work() -> int:
        seen.append(1)
        made.set()
        return 0

    def set_back() -> int:
        again.append(1)
        if len(again) < 3:
            raise DatabaseDown("gone")
        return 0

    scheduler = Scheduler([Tick("hourly", 3600, work)], wall=hands.wall, steady=hands.steady, look_seconds=0.05, set_back=set_back)
    scheduler.start()
    try:
        assert not made.wait(0.3), "both clocks stand: they agree"
        hands.at += jump
        assert made.wait(3)
        time.sleep(0.5)
    finally:
        scheduler.stop()

    assert len(seen) == 1
    assert len(again) == (3 if jump < timedelta(0) else 0), "until it is done"


def test_clocks_that_go_on_together_or_drift_a_little_move_no_tick():
    hands, made = Hands(), threading.Event()

    def work() -> int:
        made.set()
        return 0

    scheduler = Scheduler([Tick("hourly", 3600, work)], wall=hands.wall, steady=hands.steady, look_seconds=0.02)
    scheduler.start()
    try:
        for _ in range(30):
            hands.at, hands.passed = hands.at + timedelta(seconds=0.21), hands.passed + 0.2
            time.sleep(0.02)
    finally:
        scheduler.stop()

    assert not made.is_set()


def test_a_tick_that_is_busy_when_the_clock_jumps_is_not_made_beside_itself():
    hands, inside, most, go_on, begun = Hands(), list[int](), list[int](), threading.Event(), threading.Event()

    def work() -> int:
        inside.append(1)
        most.append(len(inside))
        begun.set()
        go_on.wait(10)
        inside.pop()
        return 0

    scheduler = Scheduler([Tick("slow", 0.05, work)], wall=hands.wall, steady=hands.steady, look_seconds=0.02)
    scheduler.start()
    try:
        assert begun.wait(10)
        for _ in range(5):
            hands.at -= timedelta(minutes=5)
            time.sleep(0.1)
    finally:
        go_on.set()
        scheduler.stop()

    assert max(most) == 1


def test_a_clock_that_is_right_after_years_makes_up_for_nothing():
    every = Every(1.0)
    booted, right = datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)

    assert every.get_next_fire_time(None, booted) == booted + timedelta(seconds=1)
    assert every.get_next_fire_time(booted, right) == right + timedelta(seconds=1)
