"""Slack's rate limits: a bucket for each method by its tier, and one message a second for each channel."""

import time

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


class Limits:
    """Buckets that fill by real time."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, method: str, channel: str) -> None:
        """Count a call. Raises SlackError `ratelimited` with the seconds to wait."""
        per_minute = PER_MINUTE.get(method, 100)
        self._take(method, per_minute / 60, per_minute)
        if method == "chat.postMessage" and channel:
            self._take(f"{method} {channel}", 1.0, CHANNEL_BURST)

    def _take(self, key: str, per_second: float, size: float) -> None:
        now = time.monotonic()
        left, at = self._left.get(key, (size, now))
        left = min(size, left + (now - at) * per_second)
        if left < 1:
            self._left[key] = (left, now)
            raise SlackError("ratelimited", retry_after=max(1, round((1 - left) / per_second + 0.5)))
        self._left[key] = (left - 1, now)
