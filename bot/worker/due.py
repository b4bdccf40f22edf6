"""Letting time pass: timers that are due become inputs, each once."""

import structlog

from bot import points
from bot.errors import Refused
from bot.handle import Door
from bot.store import Conflict, Store, Work
from bot.store.store import Due

log = structlog.get_logger()


class DueTimers:
    """Handles timers whose time has come, the longest overdue first."""

    def __init__(self, *, store: Store, door: Door) -> None:
        self._store, self._door = store, door

    def run_once(self) -> int:
        """Handle what is due. How many timers it was."""
        due = self._store.due(self._door.clock())
        for one in due:
            self._handle(one)
        return len(due)

    def _handle(self, due: Due) -> None:
        def take(work: Work) -> None:
            work.timer_done(due.key, due.due_at)
            points.reached(points.TIMER_TAKEN)

        try:
            self._door.handle(due.input, finish=take)
        except Refused as error:
            log.warning("timer for nothing", key=due.key, reason=error.reason)
            self._drop(due)
        except Conflict:
            log.debug("another worker took the timer", key=due.key)

    def _drop(self, due: Due) -> None:
        try:
            with self._store.writing() as work:
                work.timer_done(due.key, due.due_at)
        except Conflict:
            log.debug("another worker took the timer", key=due.key)
