"""The only file that imports APScheduler: it ticks, and remembers nothing. What is due is in the record."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from bot.worker.deliveries import guarded


@dataclass(frozen=True, slots=True)
class Tick:
    """Something to do every so many seconds. What it does must be safe to do late, and to do twice."""

    name: str
    seconds: float
    work: Callable[[], int]


class Scheduler:
    """Runs each tick in a thread; one that is still busy is not started again beside itself."""

    def __init__(self, ticks: Sequence[Tick]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(max(4, len(ticks)))},
            # A tick that was missed is run late rather than dropped, and never twice for two that were missed.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._seconds = {tick.name: tick.seconds for tick in ticks}
        self._ended_at: dict[str, float] = {}
        for tick in ticks:
            self._scheduler.add_job(self._run, "interval", args=[tick], seconds=tick.seconds, id=tick.name)

    def start(self) -> None:
        """Begin to tick."""
        self._ended_at = dict.fromkeys(self._seconds, time.monotonic())
        self._scheduler.start()

    def late(self) -> dict[str, float]:
        """For how many seconds longer than it should each tick has not come to its end; none before the start."""
        now = time.monotonic()
        return {name: now - at - self._seconds[name] for name, at in self._ended_at.items() if now - at > self._seconds[name]}

    def _run(self, tick: Tick) -> None:
        guarded(tick.work)
        self._ended_at[tick.name] = time.monotonic()

    def stop(self) -> None:
        """Stop; what runs now ends by itself."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
