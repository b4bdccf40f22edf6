"""Alerts that fire again and again: when that is flapping, and when it is over. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

MOST_KEPT = 30
"""So many fires of one alert are kept with their times; its total is counted beside."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """So many `fires` within a time are flapping, until none came for as long. Zero switches it off."""

    fires: int = 3
    within: timedelta = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Flaps:
    """When an alert fired lately, oldest first, and since when it flaps; None while it does not."""

    lately: tuple[datetime, ...] = ()
    since: datetime | None = None

    def fired(self, started_at: datetime, now: datetime, rule: Flapping) -> "Flaps":
        """The same after one more fire.

        It counts from when its sender says that it began: what was kept from us for an hour and comes at once does not flap
        for that. A sender that names an old start with each fire, or none, is counted by when it came.
        """
        at = min(started_at, now)
        if self.lately and at <= self.lately[-1]:
            at = max(now, self.lately[-1])
        is_calm = self.is_calm(at, rule)
        kept = (*(one for one in self.lately if at - one <= rule.within), at)[-MOST_KEPT:]
        since = None if is_calm else self.since
        if since is None and rule.fires and len(kept) >= rule.fires:
            since = at
        return Flaps(kept, since)

    def calm_at(self, rule: Flapping) -> datetime | None:
        """When it will have been calm for long enough, should it fire no more; None where it never fired."""
        return self.lately[-1] + rule.within if self.lately else None

    def is_calm(self, now: datetime, rule: Flapping) -> bool:
        """Whether it has not fired for that long."""
        calm = self.calm_at(rule)
        return calm is None or now >= calm

    def calmed(self) -> "Flaps":
        """The same, and it flaps no more."""
        return replace(self, since=None)

    def count(self, now: datetime, rule: Flapping) -> int:
        """How often it fired within the time before now, as far as is kept."""
        return sum(now - one <= rule.within for one in self.lately)


STEADY = Flaps()
"""It never fired, as far as anybody knows."""
