"""Slack's rate limits: a bucket for each method by its tier, and one message a second for each channel.

How much at once a tier allows, Slack does not say. Of new channels, which people look at, no minute holds more than the tier.
"""

import math
import time
from collections import deque
from collections.abc import Callable

from sandbox.slack.workspace import SlackError

TIER_2 = (
    "conversations.create", "conversations.setTopic", "conversations.setPurpose", "conversations.archive",
    "conversations.unarchive", "conversations.rename", "conversations.list", "users.conversations", "users.list",
    "usergroups.list", "pins.add", "pins.list", "bookmarks.add", "bookmarks.edit",
)  # fmt: skip
TIER_3 = (
    "conversations.invite", "conversations.join", "conversations.leave", "conversations.open", "conversations.info",
    "conversations.history", "conversations.replies", "chat.update", "chat.delete", "bookmarks.list",
    "users.lookupByEmail", "reactions.add", "team.info",
)  # fmt: skip
PER_MINUTE = {**dict.fromkeys(TIER_2, 20), **dict.fromkeys(TIER_3, 50), "chat.postMessage": 300}
CHANNEL_BURST = 5
WINDOW_SECONDS = 60.0
STRICT = ("conversations.create",)
"""What is counted over any minute, instead of by a bucket: a full one lets pass as much again while it fills."""


class Limits:
    """Counts and buckets by real time; `now` never goes back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}
        self._taken: dict[str, deque[float]] = {method: deque(maxlen=PER_MINUTE[method]) for method in STRICT}

    def spend(self, method: str, channel: str) -> None:
        """Count a call. Raises SlackError `ratelimited` with the seconds to wait."""
        if method in STRICT:
            self._count(method)
            return
        per_minute = PER_MINUTE.get(method, 100)
        self._take(method, per_minute / 60, per_minute)
        if method == "chat.postMessage" and channel:
            self._take(f"{method} {channel}", 1.0, CHANNEL_BURST)

    def _count(self, method: str) -> None:
        now, taken = self._now(), self._taken[method]
        if len(taken) == taken.maxlen and now - taken[0] < WINDOW_SECONDS:
            raise SlackError("ratelimited", retry_after=max(1, math.ceil(WINDOW_SECONDS - (now - taken[0]))))
        taken.append(now)

    def _take(self, key: str, per_second: float, size: float) -> None:
        now = self._now()
        left, at = self._left.get(key, (size, now))
        left = min(size, left + (now - at) * per_second)
        if left < 1:
            self._left[key] = (left, now)
            raise SlackError("ratelimited", retry_after=max(1, round((1 - left) / per_second + 0.5)))
        self._left[key] = (left - 1, now)
