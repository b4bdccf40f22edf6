"""The only file that imports APScheduler: it ticks, and remembers nothing. What is due is in the record."""

import logging
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
        for tick in ticks:
            self._scheduler.add_job(guarded, "interval", args=[tick.work], seconds=tick.seconds, id=tick.name)

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop; what runs now ends by itself."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
