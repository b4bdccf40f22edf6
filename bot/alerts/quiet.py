"""What keeps alerts quiet: silences that people ask for, and maintenance windows of the policy. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from bot.alerts.alert import Alert
from bot.alerts.routing import Hours, Matcher


@dataclass(frozen=True, slots=True)
class Silence:
    """What somebody asked to be quiet about, for a while. It waits without `until` where they are asked once more.

    `by` and `ended_by` are Slack user ids; one that expired was ended by “bot”.
    """

    number: int
    match: Matcher
    by: str
    reason: str
    asked_at: datetime
    lasts: timedelta
    until: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    ended_because: str = ""

    @property
    def key(self) -> str:
        """What it is called in an alert's record."""
        return f"silence/{self.number}"

    @property
    def is_in_force(self) -> bool:
        """Whether it was begun, and nobody has ended it yet."""
        return self.until is not None and self.ended_at is None

    def holds(self, now: datetime) -> bool:
        """Whether it keeps alerts quiet at that moment, also where nobody has said yet that it expired."""
        return self.until is not None and self.ended_at is None and now < self.until


@dataclass(frozen=True, slots=True)
class Once:
    """A time that does not come back."""

    start: datetime
    end: datetime
    zone: tzinfo = field(default=UTC, compare=False)
    """By whose clock it is said."""

    @classmethod
    def by_the_clock(cls, start: datetime, end: datetime, zone: ZoneInfo) -> "Once":
        """From when the clock of a zone first shows `start` to when it last shows `end`, neither of which has a zone.

        Set back, the clock shows an hour twice: all of both is within. What it skips begins, or ends, where it jumps.
        """
        return cls(_shown(start, zone, fold=0), _shown(end, zone, fold=1), zone)

    def has(self, at: datetime) -> bool:
        """Whether that moment is within."""
        return self.start <= at < self.end

    def ends(self, at: datetime) -> datetime:
        """When it is over; `at` is within."""
        return max(at, self.end)

    @property
    def said(self) -> str:
        """In words, by the clock of its zone."""
        start, end = self.start.astimezone(self.zone), self.end.astimezone(self.zone)
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {self.zone}"


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window of the policy: at these times, what fits is quiet, but for what fits `unless`."""

    name: str
    match: Matcher
    reason: str
    time: Hours | Once
    unless: Matcher | None = None

    @property
    def key(self) -> str:
        """What it is called in an alert's record."""
        return f"{MAINTENANCE}{self.name}"

    @property
    def said(self) -> str:
        """What is quiet, in words."""
        return f"{self.match.said}; unless {self.unless.said}" if self.unless is not None else self.match.said

    def covers(self, alert: Alert, endpoint: str, own: str) -> bool:
        """Whether an alert is one that it keeps quiet, at its times."""
        return not self.match.misfit(alert, endpoint, own) and (self.unless is None or bool(self.unless.misfit(alert, endpoint, own)))


MAINTENANCE = "maintenance/"


@dataclass(frozen=True, slots=True)
class Quieting:
    """Everything that may keep an alert quiet now."""

    silences: Sequence[Silence] = ()
    windows: Sequence[Window] = ()


NOTHING_QUIET = Quieting()


@dataclass(frozen=True, slots=True)
class Quiet:
    """Why an alert is quiet. `key` says what keeps it so, in its record; `until` is when that is over, as it stands."""

    key: str
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Still:
    """An alert that fires, and that nobody was told of. `title` is empty where others must not read it."""

    fingerprint: str
    title: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What a silence has kept quiet so far: how many alerts, how many of them would have been SEV1, and the last one.

    `firing` are some of the `firing_count` that still fire and belong to no incident.
    """

    alerts: int = 0
    worst: int = 0
    last_title: str = ""
    last_at: datetime | None = None
    firing_count: int = 0
    firing: tuple[Still, ...] = ()


NOTHING_KEPT = Kept()


def quiet_under(alert: Alert, endpoint: str, service: str | None, quieting: Quieting, now: datetime) -> Quiet | None:
    """What keeps an alert quiet, or None. Of several silences it is the one that lasts longest: it answers for the alert.

    A matcher's service may be the one that the sender names, or `service`, under which the alert is placed.
    """
    own = service or ""
    holding = [one for one in quieting.silences if one.holds(now) and not one.match.misfit(alert, endpoint, own)]
    if holding:
        longest = max(holding, key=lambda one: (one.until or now, one.number))
        end = longest.until or now
        said = f"under silence {longest.number} until {end:%Y-%m-%d %H:%M} UTC ({longest.match.said}): {longest.reason}"
        return Quiet(longest.key, said, end)
    for one in quieting.windows:
        if one.time.has(now) and one.covers(alert, endpoint, own):
            said = f"under maintenance “{one.name}” ({one.said}; {one.time.said}): {one.reason}"
            return Quiet(one.key, said, one.time.ends(now))
    return None


def called(key: str) -> str:
    """What kept an alert quiet, in words."""
    if key.startswith(MAINTENANCE):
        return f"maintenance “{key.removeprefix(MAINTENANCE)}”"
    return key.replace("/", " ")


def _shown(wall: datetime, zone: ZoneInfo, fold: int) -> datetime:
    """When the clock shows that: the first time, or with `fold` the last; where it never does, when it jumps over it."""
    at = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall:
        return at
    # Skipped: read with the offset of either side it lies beyond the jump, and before it.
    early, late = sorted(wall.replace(tzinfo=zone, fold=one).astimezone(UTC) for one in (0, 1))
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
