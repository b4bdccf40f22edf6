"""Pages that go out although nothing can be written down: the disk is full, or the database can only be read.

Nothing else may be sent like this. PagerDuty takes one key for one alert, so a page that two send wakes nobody twice; and a
page that waits for a disk wakes nobody at all. What it took is written down as soon as that can be, and not sent again.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from bot.clock import Clock
from bot.errors import GaveUp, TryLater
from bot.incidents.effects import Attempt, Effect
from bot.incidents.inputs import Input, PageAccepted
from bot.store import Store
from bot.store.codec import decode_tagged
from bot.store.queues import Effect as Waiting

log = structlog.get_logger()

MOST = 200
"""Pages that are read at once, the most urgent first: a storm's are a few at a time, as PagerDuty takes them."""
REST = timedelta(seconds=10)
"""How long a page that was not taken is left alone: whoever calls this comes back each second."""


class Unrecorded:
    """What was sent without a word in the record, by the number of its row. For any number of threads."""

    def __init__(self, *, store: Store, deliver: Callable[[Effect, Attempt], Input | None], clock: Clock) -> None:
        self._store, self._deliver, self._clock = store, deliver, clock
        self._taken: dict[int, PageAccepted] = {}
        self._not_before: dict[int, datetime] = {}
        self._left: set[int] = set()
        """Rows that this process had in hand when nothing could be written any more: nobody has them now."""
        self._alone = threading.Lock()

    def page(self) -> int:
        """Send every page that waits and was not sent yet; how many were taken. Raises `DatabaseDown` where nothing can be read."""
        with self._alone:
            return sum(self._page(one) for one in self._store.waiting_pages(MOST, but=self._in_no_hurry()) if self._is_due(one))

    def _in_no_hurry(self) -> set[int]:
        """Those that were sent, and those that are left alone for a moment: they stand before nobody else."""
        now = self._clock()
        return {*self._taken, *(number for number, at in list(self._not_before.items()) if at > now)}

    def left(self, number: int, result: Input | None) -> None:
        """What came of a row could not be written down; the record still has it as being sent."""
        if isinstance(result, PageAccepted):
            self._taken[number] = result
        else:
            self._left.add(number)

    def taken(self, number: int) -> PageAccepted | None:
        """What came of a row that was sent so; None where it was not. From here on, the record has it."""
        self._not_before.pop(number, None)
        self._left.discard(number)
        return self._taken.pop(number, None)

    def _is_due(self, one: Waiting) -> bool:
        if one.state == "sending" and one.number not in self._left:
            # Somebody has it in hand, here or elsewhere.
            return False
        earliest = max(one.not_before, self._not_before.get(one.number, one.not_before))
        return earliest <= self._clock()

    def _page(self, one: Waiting) -> bool:
        now = self._clock()
        self._not_before[one.number] = now + REST
        try:
            effect: Effect = decode_tagged({**one.payload, "kind": one.kind})
            result = self._deliver(effect, Attempt(str(one.number), one.attempts + 1, False, now))
        except (TryLater, GaveUp, ValueError) as error:
            log.warning("page not sent, and nothing can be written down", incident=one.incident, reason=str(error))
            return False
        if not isinstance(result, PageAccepted):
            # Nobody is to be woken for it: for the record to say, once it can.
            return False
        self._taken[one.number] = result
        log.error("page sent that cannot be written down yet", incident=one.incident)
        return True
