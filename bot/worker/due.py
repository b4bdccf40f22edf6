"""Letting time pass: timers that are due become inputs, each once, and each on its own."""

from datetime import timedelta

import structlog

from bot import points
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.inputs import TroubleSeen
from bot.store import Conflict, Store, Work
from bot.store.store import Due
from bot.worker.deliveries import REPORT, bug_in

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(seconds=60)
"""A timer that could not be handled comes due again this much later. Short: once it can be, it must not be late."""


class DueTimers:
    """Handles timers whose time has come, the longest overdue first."""

    def __init__(self, *, store: Store, door: Door) -> None:
        self._store, self._door = store, door
        self._failures: dict[str, int] = {}
        """How often in a row a timer could not be handled in this process. A new one starts anew: it may be mended."""

    def run_once(self) -> int:
        """Handle what is due. How many timers it was."""
        due = self._store.due(self._door.clock())
        for one in due:
            self._handle(one)
        return len(due)

    def _handle(self, due: Due) -> None:
        try:
            bug = bug_in(lambda: self._take(due))
            if bug:
                self._postpone(due, bug)
            else:
                self._failures.pop(due.key, None)
        except Conflict:
            log.debug("another worker took the timer", key=due.key)

    def _take(self, due: Due) -> None:
        def take(work: Work) -> None:
            work.timer_done(due.key, due.due_at)
            points.reached(points.TIMER_TAKEN)

        try:
            self._door.handle(due.input, finish=take)
        except Refused as error:
            log.warning("timer for nothing", key=due.key, reason=error.reason)
            with self._store.writing() as work:
                work.timer_done(due.key, due.due_at)

    def _postpone(self, due: Due, bug: str) -> None:
        """Let it come due again later, out of the way of the others, and tell those who run the bot once an hour."""
        failures = self._failures[due.key] = self._failures.get(due.key, 0) + 1
        now = self._door.clock()
        wait = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
        with self._store.writing() as work:
            work.move_timer(due.key, due.due_at, now + wait)
        text = f"The timer {due.key} ({due.kind}) cannot be handled, and is tried again: {bug}"
        mend = f"If an older version was started: start the newer one again. Else {REPORT}."
        self._door.handle(TroubleSeen(text, mend), once=f"trouble:{int(now.timestamp() // 3600)}:{due.kind}:{bug}"[:250])
