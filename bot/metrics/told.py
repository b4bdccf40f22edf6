"""What all timelines tell together, kept so that a new entry costs the reading of its incident only, not of a quarter."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.incidents.timeline import Entry
from bot.metrics.episodes import NEVER, Folded, FollowUp, fold, follow_ups, impact, merge

Span = tuple[datetime, datetime]
Impact = tuple[datetime, datetime | None]
EVER = datetime.min.replace(tzinfo=UTC)
REVIEWED = ("SEV1", "SEV2")


@dataclass(slots=True)
class Told:
    """Every incident by its name, and what is asked of all of them: each a table that one incident can change alone."""

    incidents: dict[str, Folded] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    """From the first to the last moment that an incident says anything about; without end where it is not over."""
    unended: set[str] = field(default_factory=set)
    by_week: dict[int, set[str]] = field(default_factory=dict)
    """Those that ended, by each seven days that they lasted into."""
    unreviewed: set[str] = field(default_factory=set)
    """The grave ones that are over and have no draft."""
    deployed: dict[str, Folded] = field(default_factory=dict)
    """Those that a deployment caused."""
    merged: set[str] = field(default_factory=set)
    actions: dict[str, Mapping[str, FollowUp]] = field(default_factory=dict)
    public_alerts: dict[str, datetime] = field(default_factory=dict)
    """When an alert of each name first fired in an incident that is not private."""
    ends: dict[str, datetime] = field(default_factory=dict)
    """The moment of the last entry of each incident."""
    newest: datetime = EVER
    """No entry is of later than that."""
    hurts: dict[str, tuple[Impact, ...]] = field(default_factory=dict)
    """Of those that count for restore and uptime, the impact of each episode."""
    first_at: datetime = NEVER
    """When the first of all entries happened."""
    _touching: dict[Span, list[Folded]] = field(default_factory=dict)
    """What was asked for since the last change: a digest asks for its week more than once."""

    @classmethod
    def of(cls, entries: Iterable[Entry], as_of: datetime) -> "Told":
        """From entries of any incidents, by what had happened at `as_of`."""
        by_incident: dict[str, list[Entry]] = {}
        for one in entries:
            by_incident.setdefault(one.incident, []).append(one)
        told = cls()
        for ref, mine in by_incident.items():
            told.take(ref, mine, as_of)
        told.join()
        return told

    def take(self, ref: str, entries: Sequence[Entry], as_of: datetime = NEVER) -> None:
        """Learn one incident anew, from all of its entries that happened by `as_of`."""
        known = [one for one in entries if one.at <= as_of]
        self._forget(ref)
        if not known:
            return
        self.first_at = min(self.first_at, *(one.at for one in known))
        self.ends[ref] = max(one.at for one in known)
        self.newest = max(self.newest, self.ends[ref])
        if any(one.type == "follow_up" for one in known):
            self.actions[ref] = follow_ups(known)
        made = fold(ref, known)
        if made is not None:
            self._keep(made)

    def _forget(self, ref: str) -> None:
        for week in _weeks(self.spans.get(ref)):
            self.by_week[week].discard(ref)
        self._touching.clear()
        for table in (self.incidents, self.spans, self.deployed, self.actions, self.ends, self.hurts):
            table.pop(ref, None)
        self.unreviewed.discard(ref)
        self.merged.discard(ref)
        self.unended.discard(ref)

    def _keep(self, made: Folded) -> None:
        ref = made.ref
        impacts = tuple(impact(made, episode) for episode in made.episodes)
        self._touching.clear()
        self.incidents[ref], self.spans[ref] = made, _span(made, impacts)
        if made.hurts:
            self.hurts[ref] = impacts
        if self.spans[ref][1] == NEVER:
            self.unended.add(ref)
        for week in _weeks(self.spans[ref]):
            self.by_week.setdefault(week, set()).add(ref)
        if made.severity in REVIEWED and made.is_over and not made.has_draft:
            self.unreviewed.add(ref)
        if made.deploys:
            self.deployed[ref] = made
        if made.merged_into is not None:
            self.merged.add(ref)
        for at, name, _ in () if made.is_private else made.fires:
            self.public_alerts[name] = min(at, self.public_alerts.get(name, at))

    def later_than(self, moment: datetime) -> list[str]:
        """The incidents that tell of something after `moment`."""
        return [ref for ref, last in self.ends.items() if last > moment] if self.newest > moment else []

    def copy(self) -> "Told":
        """Tables of its own, with the same incidents in them."""
        return Told(
            dict(self.incidents), dict(self.spans), set(self.unended), {week: set(refs) for week, refs in self.by_week.items()},
            set(self.unreviewed), dict(self.deployed), set(self.merged), dict(self.actions), dict(self.public_alerts),
            dict(self.ends), self.newest, dict(self.hurts), self.first_at,
        )  # fmt: skip

    def join(self) -> None:
        """Let duplicates give what is theirs to what they were merged into. Once, on a copy."""
        if not self.merged:
            return
        parents = {self.incidents[ref].merged_into for ref in self.merged} | self.merged
        for ref in parents:
            if ref in self.incidents:
                self.incidents[ref] = deepcopy(self.incidents[ref])
        merge({ref: self.incidents[ref] for ref in parents if ref in self.incidents})
        for ref in parents:
            if ref in self.incidents:
                made, actions, end = self.incidents[ref], self.actions.get(ref), self.ends[ref]
                self._forget(ref)
                self._keep(made)
                self.ends[ref] = end
                if actions is not None:
                    self.actions[ref] = actions

    def touching(self, start: datetime, end: datetime) -> list[Folded]:
        """The incidents that say anything about this time, or were not over, in the order in which they were opened."""
        known = self._touching.get((start, end))
        if known is not None:
            return known
        near = self.unended.union(*(self.by_week.get(week, ()) for week in _weeks((start, end))))
        spans = ((ref, self.spans[ref]) for ref in near)
        found = [self.incidents[ref] for ref, (first, last) in spans if first < end and last >= start]
        self._touching[start, end] = sorted(found, key=lambda one: (one.opened_at, one.ref))
        return self._touching[start, end]


def _weeks(span: Span | None) -> range:
    """The numbers of the seven days that it touches; none where it has no end."""
    if span is None or span[1] == NEVER:
        return range(0)
    first, last = (moment.toordinal() // 7 for moment in span)
    return range(first, last + 1)


def _span(one: Folded, impacts: Sequence[Impact]) -> Span:
    alerts = [at for at, _, _ in one.fires]
    # An episode begins with what was merged into it, be that long before.
    first = min(one.first_at, *(episode.opened_at for episode in one.episodes), *(since for since, _ in impacts), *alerts)
    if not one.is_over or any(until is None for _, until in impacts):
        return first, NEVER
    return first, max(one.last_at, *(until for _, until in impacts if until is not None), *alerts)
