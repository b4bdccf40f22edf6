"""How fast PagerDuty may be asked: 120 events a minute for each key. https://developer.pagerduty.com/docs/events-api-v2-overview"""

import threading
from collections.abc import Callable
from datetime import timedelta

from bot.errors import OverBudget

PER_MINUTE = 115
"""A little under the limit: the rolling minute is PagerDuty's, not ours."""


class Budget:
    """A token bucket for each key. `now` gives seconds that never go back."""

    def __init__(self, now: Callable[[], float], per_minute: int = PER_MINUTE) -> None:
        self._now, self._rate, self._size = now, per_minute / 60, float(per_minute)
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def spend(self, key: str) -> None:
        """Take one call out of the budget of `key`. Raises `OverBudget` with the wait where there is none left."""
        with self._lock:
            now = self._now()
            left, at = self._left.get(key, (self._size, now))
            left = min(self._size, left + (now - at) * self._rate)
            if left < 1:
                self._left[key] = (left, now)
                wait = timedelta(seconds=(1 - left) / self._rate)
                raise OverBudget("the budget of events for this PagerDuty key is used up", wait)
            self._left[key] = (left - 1, now)
