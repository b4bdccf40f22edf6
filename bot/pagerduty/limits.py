"""How fast PagerDuty may be asked: 120 events in any minute for each key. https://developer.pagerduty.com/docs/events-api-v2-overview"""

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from bot.errors import OverBudget

PER_MINUTE = 115
"""A little under the limit: the rolling minute is PagerDuty's, not ours."""
KEPT_FREE = 30
"""So many of them are for pages of SEV1 and SEV2: a flood of lesser ones must not hold up the one that matters."""
KEPT_FOR_THE_WORST = 10
"""So many of those are for SEV1."""
MINUTE = 60.0
ELSEWHERE = 2.0
"""So soon what is for SEV1 and SEV2 is offered again where this worker's share is used up: another may have room for it."""


class Budget:
    """The calls of the last minute, for each key. `now` gives seconds that never go back.

    PagerDuty counts what all workers send with a key: each has its share of it, which `share` sets.
    """

    def __init__(self, now: Callable[[], float], per_minute: int = PER_MINUTE, kept_free: int = KEPT_FREE) -> None:
        self._now, self._most, self._kept_free = now, per_minute, kept_free
        self._sharers = 1
        self._spent: dict[str, deque[float]] = {}
        self._blocked: dict[str, float] = {}
        self._lock = threading.Lock()

    def share(self, workers: int) -> None:
        """So many workers send with the same keys from now on."""
        self._sharers = max(1, workers)

    def spend(self, key: str, rank: int = 5) -> None:
        """Take one call out of the budget of `key`, for something that bad: 1 for SEV1. Raises `OverBudget` with the wait
        where there is none left for that.
        """
        kept = {1: 0, 2: min(KEPT_FOR_THE_WORST, self._kept_free)}.get(rank, self._kept_free)
        most = max(1, (self._most - kept) // self._sharers)
        with self._lock:
            now = self._now()
            spent = self._spent.setdefault(key, deque())
            while spent and spent[0] <= now - MINUTE:
                spent.popleft()
            if len(spent) >= most:
                wait = spent[len(spent) - most] + MINUTE - now
                wait = min(wait, ELSEWHERE) if self._sharers > 1 and rank <= 2 else wait
                raise OverBudget("the budget of events for this PagerDuty key is used up", timedelta(seconds=wait))
            if self._blocked.get(key, now) > now:
                raise OverBudget("PagerDuty limits this key", timedelta(seconds=self._blocked[key] - now))
            spent.append(now)

    def block(self, key: str, wait: timedelta) -> None:
        """PagerDuty said 429: nothing with this key before the wait is over. A minute at most: so long its own budget is."""
        with self._lock:
            until = self._now() + min(wait.total_seconds(), MINUTE)
            self._blocked[key] = max(until, self._blocked.get(key, until))
