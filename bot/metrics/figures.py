"""Arithmetic that is honest about small numbers: medians with censored values, intervals, hours, weeks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Z = 1.959963984540054
"""The normal quantile of a 95 % interval."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Value:
    """A measured length in seconds; with `is_lower_bound` it is at least that long."""

    seconds: float
    is_lower_bound: bool = False


def median(values: Sequence[float]) -> float | None:
    """The middle value, or the mean of the two middles; None for none."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def median_value(values: Sequence[Value]) -> Value | None:
    """The median; a lower bound where a middle value is one. Values that are none come before bounds of the same length."""
    if not values:
        return None
    ordered = sorted(values, key=lambda one: (one.seconds, one.is_lower_bound))
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    low, high = ordered[middle - 1], ordered[middle]
    return Value((low.seconds + high.seconds) / 2, low.is_lower_bound or high.is_lower_bound)


def p90(values: Sequence[float]) -> float | None:
    """The 90th percentile by nearest rank; None under ten values, where it would say nothing."""
    return sorted(values)[math.ceil(0.9 * len(values)) - 1] if len(values) >= 10 else None


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """The Wilson 95 % interval of a share; None for none. https://doi.org/10.1080/01621459.1927.10502953"""
    if n == 0:
        return None
    share = successes / n
    spread = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    middle = share + Z * Z / (2 * n)
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return (0.0 if successes == 0 else max(0.0, low), 1.0 if successes == n else min(1.0, high))


def union_seconds(spans: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime) -> float:
    """How long at least one of the spans lasted between `start` and `end`."""
    clipped = sorted((max(low, start), min(high, end)) for low, high in spans if low < end and high > start)
    total, reached = 0.0, start
    for low, high in clipped:
        if high > reached:
            total += (high - max(low, reached)).total_seconds()
            reached = high
    return total


def hour_class(at: datetime, zone: ZoneInfo) -> str:
    """business (08-18, Monday to Friday), sleep (22-08, every day) or off_hours, by a person's own clock."""
    local = at.astimezone(zone)
    if local.hour >= 22 or local.hour < 8:
        return "sleep"
    return "business" if local.weekday() < 5 and local.hour < 18 else "off_hours"


def week_of(at: datetime, zone: ZoneInfo) -> str:
    """The ISO week of a moment: 2026-W24."""
    year, week, _ = at.astimezone(zone).isocalendar()
    return f"{year}-W{week:02d}"


def monday_of(week: str) -> date:
    """The Monday of an ISO week. Raises ValueError for what is none."""
    year, _, number = week.partition("-W")
    is_written = len(year) == 4 and len(number) == 2 and (year + number).isascii() and (year + number).isdigit()
    # The calendar ends at both sides; a week there has no week beside it.
    if not is_written or not 1000 <= int(year) < 9999:
        raise ValueError(f"{week!r} is not an ISO week like 2026-W24")
    return date.fromisocalendar(int(year), int(number), 1)


def week_bounds(week: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Monday 00:00 to Monday 00:00 by the zone's wall clock, in UTC: 167, 168 or 169 hours."""
    monday = monday_of(week)
    return _midnight(monday, zone), _midnight(monday + 7 * DAY, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def weeks_before(week: str, count: int) -> list[str]:
    """The `count` ISO weeks before, oldest first."""
    monday = monday_of(week)
    days = [monday - 7 * DAY * back for back in range(count, 0, -1)]
    return [f"{day.isocalendar().year}-W{day.isocalendar().week:02d}" for day in days]
