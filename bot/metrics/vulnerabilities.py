"""Critical security findings against their 24 hours. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.journal import Journal, moment

DEADLINE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Clock:
    """One run of a critical finding's 24 hours. `until` is when it was fixed, or dismissed; None while it is open."""

    name: str
    since: datetime
    until: datetime | None
    is_dismissed: bool
    is_since_known: bool
    """False where nobody says when it was found: then it is when we heard of it, and may have been earlier."""

    @property
    def deadline(self) -> datetime:
        """The end of its 24 hours."""
        return self.since + DEADLINE

    @property
    def is_met(self) -> bool:
        """Whether it was fixed in time."""
        return self.until is not None and self.until < self.deadline

    def is_open(self, at: datetime) -> bool:
        """Whether it was neither fixed nor dismissed at a moment."""
        return self.since < at and (self.until is None or self.until >= at) and not (self.is_dismissed and self.until is None)


def _clocks(given: Sequence[Mapping[str, Any]], as_of: datetime) -> Iterator[Clock]:
    """The clocks of the critical ones, as they stood then."""
    for one in given:
        if str(one.get("sev", "")).lower() != "critical":
            continue
        name, spans = str(one.get("id")), one["spans"]
        for number, (since, until) in enumerate(spans):
            ended = None if until is None else moment(until, name)
            is_later = ended is not None and ended > as_of
            is_dismissed = one.get("closed_as") == "dismissed" and number == len(spans) - 1 and not is_later
            is_known = number > 0 or one.get("is_start_known") is not False
            yield Clock(name, moment(since, name), None if is_later else ended, is_dismissed, is_known)


def vulnerabilities(journal: Journal, start: datetime, end: datetime, as_of: datetime) -> dict[str, Any] | None:
    """Critical findings whose 24 hours end in the week, and whether they were fixed before. Dismissed is not fixed.

    Beside them how many were opened in the week, which are open at its end, and what cannot be said: of one that was fixed
    soon after we heard of it, and found nobody says when; of one whose severity nobody says.
    """
    given = journal.others.get("vulnerabilities")
    if given is None:
        return None
    clocks = [one for one in _clocks(given, as_of) if one.since <= as_of]
    seen = min(end, as_of)
    kept = [one for one in clocks if not one.is_dismissed]
    unknown = [one for one in kept if start <= one.deadline < end and one.is_met and not one.is_since_known]
    due = [
        one for one in kept
        if start <= one.deadline < end and (one.until is not None or one.deadline <= as_of) and one not in unknown
    ]  # fmt: skip
    return {
        "met": sum(one.is_met for one in due),
        "due": len(due),
        "overdue": sorted({one.name for one in kept if one.until is None and one.deadline <= as_of and one.deadline < end}),
        "dismissed": sorted({one.name for one in clocks if one.is_dismissed and start <= one.deadline < end}),
        "opened": sum(start <= one.since < end for one in clocks),
        "open": sorted({one.name for one in clocks if one.is_open(seen)}),
        "unknown": len({one.name for one in unknown}),
        "unrated": sum(_is_unrated(one) for one in given),
    }


def _is_unrated(one: Mapping[str, Any]) -> bool:
    """Whether it is open, and nobody says how severe it is."""
    is_open = bool(one["spans"]) and one["spans"][-1][1] is None and one.get("closed_as") is None
    return is_open and str(one.get("sev") or "unknown").lower() == "unknown"
