"""How many deliveries are taken in a time: a token bucket, kept as one number. The time is an argument, in nanoseconds."""

import re
from dataclasses import dataclass

SECOND = 10**9
UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once at most, and as many in each `unit` (s, m or h) after that."""

    count: int
    unit: str

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"

    @property
    def each(self) -> int:
        """Nanoseconds after which there is room for one more."""
        return -(-UNITS[self.unit] // self.count)

    @property
    def per_minute(self) -> int:
        """As whole deliveries a minute, and at least one."""
        return max(1, UNITS["m"] // self.each)


def rate(text: object) -> Rate | None:
    """The rate of "600/m", "10/s" or "1000/h"; None for "none". Raises ValueError for anything else."""
    if text is None or isinstance(text, Rate) or text == "none":
        return text if isinstance(text, Rate) else None
    found = re.fullmatch(r"([1-9][0-9]{0,6})/([smh])", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"expected so many in a time, like 600/m, 10/s or 1000/h, or none; not {text!r}")
    return Rate(int(found[1]), found[2])


class Bucket:
    """Full at first. What it holds is told by when it would be full again: one number, and no clock that fills it."""

    __slots__ = ("_ahead", "_each", "_full_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._each = rate.each
        self._ahead = self._each * (rate.count - 1)
        self._full_at = 0

    def wait(self, now: int) -> int:
        """Nanoseconds until there is room for one; 0 where there is."""
        wait = self._full_at - self._ahead - now
        return wait if wait > 0 else 0

    def take(self, now: int) -> None:
        """One is taken; for whoever asked `wait`."""
        self._full_at = (self._full_at if self._full_at > now else now) + self._each
