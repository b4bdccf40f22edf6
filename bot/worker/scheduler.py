"""The only file that imports APScheduler: it ticks, and remembers nothing. What is due is in the record."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from bot.clock import Clock, wall_clock
from bot.worker.deliveries import guarded

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""From one look at the two clocks to the next: how long nothing ticks after the wall clock was set back, at most."""
APART_SECONDS = 0.5
"""Clocks that disagree by more have jumped, or have drifted that far: a tick too many does no harm."""
LONG_AGO = datetime.fromtimestamp(0, UTC)
"""Due, whatever the wall clock says."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Something to do every so many seconds. What it does must be safe to do late, and to do twice."""

    name: str
    seconds: float
    work: Callable[[], int]


class Every(BaseTrigger):  # type: ignore[misc]
    """So many seconds from now, each time. APScheduler's own counts from the last tick, one by one: after a clock that was
    in 1970 and is set right it would count the seconds of half a century.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """When to tick next."""
        return now + self._interval


class Scheduler:
    """Runs each tick in a thread; one that is still busy is not started again beside itself.

    APScheduler goes by the wall clock: set back by five minutes, it would do nothing for five minutes, and leases would
    run out. So a thread looks at what the wall clock says beside the steady one. Where they no longer agree (the clock
    was set, the machine was suspended), everything ticks at once, and from then on as before.
    """

    def __init__(
        self,
        ticks: Sequence[Tick],
        *,
        wall: Clock = wall_clock,
        steady: Callable[[], float] = time.monotonic,
        look_seconds: float = LOOK_SECONDS,
        set_back: Callable[[], int] = lambda: 0,
    ) -> None:
        """`wall` is the clock that APScheduler goes by, the machine's; `steady` gives seconds, and is never set. `set_back` is
        done where the wall clock was set back: what waits for a time of day has longer to wait by then.
        """
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._wall, self._steady, self._look_seconds, self._set_back = wall, steady, look_seconds, set_back
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(max(4, len(ticks)))},
            # A tick that was missed is run late rather than dropped, and never twice for two that were missed.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._seconds = {tick.name: tick.seconds for tick in ticks}
        self._ended_at: dict[str, float] = {}
        self._ends = threading.Event()
        self._watch = threading.Thread(target=self._watch_clocks, name="clocks", daemon=True)
        for tick in ticks:
            self._scheduler.add_job(self._run, Every(tick.seconds), args=[tick], id=tick.name)

    def start(self) -> None:
        """Begin to tick."""
        self._ended_at = dict.fromkeys(self._seconds, self._steady())
        self._scheduler.start()
        self._watch.start()

    def late(self) -> dict[str, float]:
        """For how many seconds longer than it should each tick has not come to its end; none before the start."""
        now = self._steady()
        return {name: now - at - self._seconds[name] for name, at in self._ended_at.items() if now - at > self._seconds[name]}

    def _run(self, tick: Tick) -> None:
        guarded(tick.work)
        self._ended_at[tick.name] = self._steady()

    def _watch_clocks(self) -> None:
        apart, is_set_back = self._apart(), False
        while not self._ends.wait(self._look_seconds):
            by = self._apart() - apart
            if abs(by) > APART_SECONDS:
                log.warning("the clock jumped", seconds=round(by, 1))
                is_set_back = is_set_back or by < 0
                apart += by if guarded(self._tick_all) else 0.0
            if is_set_back:
                # Until it was done: the database may be away just then.
                is_set_back = not guarded(self._do_set_back)

    def _do_set_back(self) -> int:
        self._set_back()
        return 1

    def _apart(self) -> float:
        """By how many seconds the wall clock is ahead of the steady one, which began anywhere."""
        return self._wall().timestamp() - self._steady()

    def _tick_all(self) -> int:
        for name in self._seconds:
            self._scheduler.modify_job(name, next_run_time=LONG_AGO)
        return len(self._seconds)

    def stop(self) -> None:
        """Stop; what runs now ends by itself."""
        self._ends.set()
        if self._watch.is_alive():
            self._watch.join()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
