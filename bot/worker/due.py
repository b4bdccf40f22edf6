"""Letting time pass: timers that are due become inputs, each once; none is in another's way."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import structlog

from bot import points
from bot.errors import Refused
from bot.handle import Bundle, Door
from bot.incidents.inputs import Input, TroubleSeen
from bot.store import Conflict, DatabaseDown, Store, Work
from bot.store.store import Due
from bot.worker.deliveries import REPORT, bug_in

log = structlog.get_logger()

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(seconds=60)
"""A timer that could not be handled comes due again this much later. Short: once it can be, it must not be late."""

AT_ONCE = 500
TOGETHER_SECONDS = 0.1
"""How long one transaction may go on deciding: who writes on SQLite meanwhile waits for it."""


class DueTimers:
    """Handles timers whose time has come, the longest overdue first."""

    def __init__(self, *, store: Store, door: Door) -> None:
        self._store, self._door = store, door
        self._next: datetime | None = None
        self._most = AT_ONCE
        """How many may be handled together: fewer where somebody is always at one of their incidents, until that is alone."""
        self._failures: dict[str, int] = {}
        """How often in a row a timer could not be handled in this process. A new one starts anew: it may be mended."""

    def run_once(self) -> int:
        """Handle what is due. How many timers it was. Raises `DatabaseDown`; then it is looked again in a while."""
        try:
            return self._run_once()
        except DatabaseDown:
            self.forget()
            raise

    def forget(self) -> None:
        """When the next is due is not known any more: whoever waits for it would find it due again and again."""
        self._next = None

    def _run_once(self) -> int:
        now = self._door.clock()
        self._next = self._store.next_due()
        if self._next is None or self._next > now:
            return 0
        due = deque(self._store.due(now, AT_ONCE))
        count = len(due)
        while due:
            plain = list(islice(self._plain(due), self._most))
            try:
                handled = self._handle_together(plain) if len(plain) > 1 else 0
                self._most = min(AT_ONCE, self._most * 2)
            except Conflict as error:
                self._most = max(1, len(plain) // 2)
                # Another worker is at the same ones, or somebody at their incidents: what is left is seen in the next round.
                log.debug("timers taken by somebody else", reason=str(error))
                break
            for _ in range(handled):
                due.popleft()
            # A bug with one of them stopped them all: each by itself, then.
            for _ in range(0 if handled else max(1, len(plain))):
                self._handle(due.popleft())
        return count

    def wait(self, seconds: float) -> None:
        """Until the next timer is due that was there when we last looked, at most `seconds`."""
        left = seconds if self._next is None else (self._next - self._door.clock()).total_seconds()
        time.sleep(min(seconds, max(left, 0.001)))

    # --- many ---------------------------------------------------------------------------------

    def _plain(self, due: Iterable[Due]) -> Iterator[tuple[Due, Input]]:
        """The first that can be read, each of another incident: what one of them does to a second is there to be seen."""
        seen: set[int | None] = set()
        for one in due:
            if one.incident in seen or one.key in self._failures:
                return
            if one.incident is not None:
                seen.add(one.incident)
            try:
                yield one, one.input
            except ValueError:
                return

    def _handle_together(self, plain: Sequence[tuple[Due, Input]]) -> int:
        """Handle the first of these in one transaction, as many as can be in a moment; 0 where it ended in a bug.

        Raises `Conflict` where somebody else was faster.
        """
        handled = 0

        def together() -> None:
            nonlocal handled
            bundles = [Bundle((input,), partial(_taken, one)) for one, input in plain]
            handled = self._door.handle_together(bundles, TOGETHER_SECONDS)

        bug_in(together)
        return handled

    # --- one ----------------------------------------------------------------------------------

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
        try:
            self._door.handle(due.input, finish=lambda work: _taken(due, work))
        except Refused as error:
            with self._store.writing() as work:
                _taken(due, work, (error.reason,))

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


def _taken(due: Due, work: Work, refused: Sequence[str] = ()) -> None:
    for reason in refused:
        log.warning("timer for nothing", key=due.key, reason=reason)
    work.timer_done(due.key, due.due_at)
    points.reached(points.TIMER_TAKEN)
