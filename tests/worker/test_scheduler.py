"""The ticker: it ticks, whatever goes wrong, never beside itself, and it ends."""

import threading
import time

from bot.store import DatabaseDown
from bot.worker.scheduler import Scheduler, Tick


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
