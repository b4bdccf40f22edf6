"""Where an alert belongs: which route takes it, and which open incident, if any. Every answer has its reason. Pure."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from bot.alerts.alert import EMPTY, Alert, Kind, Severity, Status
from bot.alerts.quiet import NOTHING_QUIET, Quiet, Quieting, quiet_under
from bot.alerts.routing import Outcome, Route, choose_route, severity_of


@dataclass(frozen=True, slots=True)
class Grouping:
    """What makes alerts share an incident.

    Those of one service, and those with the same values of the `group_by` labels, within `window` of the newest alert
    there; zero switches that off. Those of a service within `related_for` of an incident of what it depends on. The same
    alert for as long as its incident is open, and for `reopens_within` after it was resolved. What is only announced is
    announced again where it is reported `announce_again` later; zero: never.
    `upstreams` has for each service the ways to what it depends on, nearest first, each from the service itself on.
    """

    window: timedelta = timedelta(minutes=10)
    reopens_within: timedelta = timedelta(hours=24)
    related_for: timedelta = timedelta(hours=1)
    announce_again: timedelta = timedelta(hours=24)
    group_by: tuple[str, ...] = ()
    across_services: bool = False
    upstreams: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    severities: Mapping[str, str] = field(default_factory=dict)
    """What a sender's severity means where the route does not say: SEV1 to SEV5."""


LOUDEST = (Severity.CRITICAL, Severity.HIGH)


SOME = 3
"""Incidents of one source in a minute that are no storm yet, where others storm."""
BYSTANDERS, THAT_GATHER = 2, 2
"""So many beyond `in_a_minute` are the most in any minute: of whoever has no part in a storm, and of what gathers it, one that
is a SEV1 and one that is not. Where routes are private there are two more of these, and so much less room for those that storm.
"""


@dataclass(frozen=True, slots=True)
class Flood:
    """How many incidents one source may open `within` a time, and all of them together, before one more gathers the rest.

    Four short of twenty: a SEV1 that comes after all is gathered apart from what is not, and so is what is private. Where
    several sources storm at once, each that has opened `SOME` already opens no more beyond `in_a_minute` of all of them, and
    one of them gathers what they all send; twenty are the most of any minute, whoever opens them.
    """

    most: int = 16
    within: timedelta = timedelta(hours=1)
    in_all: int = 60
    in_a_minute: int = 16
    that_gather: int = THAT_GATHER
    announced: int = 30
    """So many alerts of one source are announced within that time; any more are recorded only."""

    def reached(self, source: str, opened: int, opened_by_all: int) -> str:
        """Why `source` opens no more, in words; empty where it may."""
        if opened >= self.most:
            return f"{source} has opened {opened} incidents in {_minutes(self.within)}"
        if opened_by_all >= self.in_all:
            return f"all sources have opened {opened_by_all} incidents in {_minutes(self.within)}"
        return ""

    def reached_at_once(self, opened: int, opened_by_all: int, that_gather: int) -> str:
        """The same, of the last minute, in which `that_gather` of all gather a storm. Whoever has opened fewer than some in it
        has no part in that storm, for as long as there is room."""
        most = self.in_a_minute + BYSTANDERS + THAT_GATHER
        room = most - opened_by_all - max(0, self.that_gather - that_gather)
        if room <= (BYSTANDERS if opened >= SOME else 0):
            return f"all sources have opened {opened_by_all} incidents in a minute"
        return ""

    def announced_after(self, placement: "Placement", alert: Alert, announced: int) -> "Placement":
        """The placement of an alert that would be announced, when its source had `announced` so many already.

        What is critical or high has as many again: whoever forgot a route for it must hear of it all the same.
        """
        if announced < self.announced * (2 if alert.severity in LOUDEST else 1):
            return placement
        why = f"recorded, not announced: {alert.source} has sent {announced} alerts to announce in {_minutes(self.within)}"
        return replace(placement, outcome=Outcome.RECORD, reason=f"{placement.reason}; {why}", hushed_after=announced)


LATE = timedelta(seconds=45)
"""A report of what is over comes at most so much later than that of its end, where nothing else tells it from a new one.

Both of a pair of Alertmanagers send it; one that fires again comes with the next look at its group, a minute later.
"""


AHEAD = timedelta(minutes=5)
"""Clocks differ by less than this; what is dated further ahead is no time at all."""


def by_its_clock(at: datetime, now: datetime) -> datetime:
    """A time that a sender tells, as far as it can be one: what is further ahead than clocks differ counts as of now."""
    return at if at - now <= AHEAD else now


DRIFT = timedelta(seconds=10)
"""Clocks that are kept right differ by less than this."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an alert that fires no more: when it was by its sender's clock, and when we heard of it."""

    at: datetime
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What the record remembers of a fingerprint that has not been forgotten: its incident, or None if it opened none."""

    incident: int | None
    is_announced: bool = False
    resolved_at: datetime | None = None
    """When that incident was resolved; None while it is open."""
    is_related: bool = False
    """Something else in that incident explained it."""
    severity: int = 5
    """How bad that incident was at its end, 1 for the worst."""
    announced_at: datetime | None = None
    """When it was last announced."""
    first_at: datetime | None = None
    """When it was first reported, of those reports between which it did not end."""
    is_firing: bool = True
    """False where it was only information so far."""

    @property
    def is_in_hand(self) -> bool:
        """Whether it belongs to an incident that is open."""
        return self.incident is not None and self.resolved_at is None

    def may_be_announced_again(self, now: datetime, after: timedelta) -> bool:
        """Whether it was announced so long ago that it is news that it is reported still: its sender may never tell of an end."""
        return bool(after) and self.announced_at is not None and now - self.announced_at >= after

    def may_open_again(self, now: datetime, within: timedelta, asked: int) -> bool:
        """Whether that incident is open again with it: one that only explained it has nothing to do with it any more, and one
        that was worse than what it asks for would wake somebody for what is not."""
        if self.resolved_at is None or self.is_related or asked > self.severity:
            return False
        return now - self.resolved_at <= within


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose open incidents an alert might join: those of these services, and those with an alert of its group."""

    services: tuple[str, ...] = ()
    group: str | None = None


def was_overtaken(alert: Alert, ended: Ended | None, now: datetime) -> bool:
    """Whether a report that it fires is from before its end, of which we heard first."""
    if alert.status is not Status.FIRING or alert.changed_at is None or ended is None:
        return False
    # A clock that was ahead at the end may have been set right since: what fires anew then looks older, and must not be lost.
    # One that is ahead still tells which of the two was first.
    end = ended.at if alert.changed_at - now > DRIFT else min(ended.at, ended.heard_at + DRIFT)
    if alert.changed_at >= end:
        return False
    return not alert.restarts or now - ended.heard_at <= LATE


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open incident that an alert might join. `severity` is 1 for the worst.

    `is_firing` says that an alert of its own is, and `last_alert_at` when one last changed. One that a person declared, and
    that has had no alert yet, counts as one that fires since then; a drill does not.
    """

    number: int
    service: str | None
    last_alert_at: datetime | None
    private: bool = False
    severity: int = 3
    is_firing: bool = False
    has_group: bool = False
    """An alert of the group that was sought is part of it."""
    split_off: tuple[str, ...] = ()
    """Fingerprints that people took out of it."""
    is_apart: bool = False
    """People took it out of another: it takes nothing in but what they merge into it."""
    is_declared: bool = False
    """A person declared it, and no alert has been part of it yet."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an alert belongs. `incident` is the one it joins, or opens again; None with OPEN means a new one.

    `is_repeat` says that this very alert is known already and still firing.
    """

    route: Route
    outcome: Outcome
    service: str | None
    fingerprint: str
    incident: int | None
    is_repeat: bool
    reason: str
    is_storm: bool = False
    """The new incident gathers whatever else its source sends."""
    was_overtaken: bool = False
    """It is over: this came later than the news of its end."""
    pager: str | None = None
    """Whom that one pages; None where the route or the service says."""
    opens_again: bool = False
    """The incident was resolved, and this alert of its own fires."""
    earlier: int | None = None
    """The incident that it belonged to before, where that is over for too long to be opened again."""
    quiet: Quiet | None = None
    """What keeps it from opening anything, or being announced."""
    group: str | None = None
    """What it shares with the alerts of its group; None where it has none."""
    why: str = ""
    """In few words, why it joins; empty where it does not."""
    is_related: bool = False
    """What it joins explains it: it is counted and listed apart, and makes nothing worse."""
    hushed_after: int = 0
    """It would have been announced, but its source has had so many announced already; 0 for one that nothing keeps from it."""
    is_first_hushed: bool = False
    """And people have not been told of that."""


@dataclass(frozen=True, slots=True)
class Join:
    """The open incident that an alert joins, or None, and why."""

    incident: int | None
    reason: str
    why: str = ""
    is_related: bool = False


def place(
    alert: Alert,
    endpoint: str,
    routes: Sequence[Route],
    aliases: Mapping[str, str],
    grouping: Grouping,
    known: Known | None,
    candidates: Sequence[Candidate],
    now: datetime,
    quieting: Quieting = NOTHING_QUIET,
    ended: Ended | None = None,
) -> Placement:
    """Decide where `alert` belongs. `aliases` maps other names of a service to its own; the last route takes all. `ended` is
    its end, as far as we have heard of one.

    What is open stays what it is: a silence, or a maintenance window, keeps quiet what would open, join or be announced.
    """
    route, why_route = choose_route(alert, endpoint, routes, now, aliases)
    why_route += ", as firing" if alert.was_info else ""
    service = route.service or canonical(alert.service, aliases)
    fingerprint = alert.fingerprint(endpoint)
    is_news = alert.status is Status.FIRING or route.tells(alert)
    if alert.kind is Kind.TEST:
        # Some senders' tests carry the name of what they try: they must neither raise nor clear it.
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, "a test: recorded, never paged")
    if was_overtaken(alert, ended, now):
        incident = None if known is None else known.incident
        reason = "it was over before this came"
        return Placement(route, Outcome.RECORD, service, fingerprint, incident, is_repeat=True, reason=reason, was_overtaken=True)
    over = None if known is None or known.is_in_hand else known.incident
    if known is not None and known.incident is not None and (known.is_in_hand or not is_news):
        return _in_its_incident(alert, route, service, fingerprint, known.incident, group_of(alert, route, service, grouping))
    if not is_news:
        reason = f"{alert.status.value}, and nothing open waits for it"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, False, reason)
    if alert.kind not in (Kind.ALERT, Kind.QUALITY_GATE, Kind.SECURITY_FINDING):
        reason = f"{alert.kind.value.replace('_', ' ')}: recorded, never paged"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, reason)
    quiet = None if route.outcome is Outcome.DROP else quiet_under(alert, endpoint, service, quieting, now)
    if quiet is not None:
        return _kept_quiet(route, service, fingerprint, None if over else known, quiet, why_route)
    if route.outcome is not Outcome.OPEN:
        # What begins to fire is another thing than what was only information.
        seen = None if over or (known is not None and alert.status is Status.FIRING and not known.is_firing) else known
        return _without_incident(route, service, fingerprint, seen, why_route, grouping.announce_again, now)
    # Whatever was announced or recorded of it before: it may have got worse since.
    asked = int(severity_of(route, alert.severity, grouping.severities)[-1])
    if known is not None and known.may_open_again(now, grouping.reopens_within, asked):
        assert known.resolved_at is not None
        again = f"{why_route}; the same alert was in INC-{over}, resolved {_ago(now - known.resolved_at)} ago: it is opened again"
        return Placement(route, Outcome.OPEN, service, fingerprint, over, False, again, opens_again=True)
    join = _join(fingerprint, service, asked, route, grouping, candidates, now)
    was_worse = known is not None and known.severity < asked and not known.is_related
    why_not = f", a SEV{known.severity}, and asks for SEV{asked} only" if known is not None and was_worse else ""
    before = f"; it was in INC-{over} before{why_not}" if over else ""
    return Placement(
        route, Outcome.OPEN, service, fingerprint, join.incident, False, f"{why_route}; {join.reason}{before}", earlier=over,
        group=group_of(alert, route, service, grouping), why=join.why, is_related=join.is_related,
    )  # fmt: skip


def taken_in_by(
    service: str | None,
    fingerprints: Collection[str],
    candidates: Sequence[Candidate],
    grouping: Grouping,
    now: datetime,
    *,
    private: bool,
) -> int | None:
    """The open incident of their service that alerts which leave another would join, were they new; None where none would
    take them all."""
    fit = [
        one
        for one in candidates
        if service is not None and one.service == service and one.private == private and not one.is_apart
        and grouping.window and _is_within(one, grouping.window, now) and not set(fingerprints).intersection(one.split_off)
    ]  # fmt: skip
    chosen = _newest(fit, now)
    return None if chosen is None else chosen.number


def may_open(
    alert: Alert, endpoint: str, routes: Sequence[Route], known: Known | None, now: datetime, aliases: Mapping[str, str] = EMPTY
) -> bool:
    """Whether `place` might have it open an incident, as far as can be said without looking at those that there are."""
    if (known is not None and known.is_in_hand) or alert.status is not Status.FIRING:
        return False
    return choose_route(alert, endpoint, routes, now, aliases)[0].outcome is Outcome.OPEN


def gathered(placement: Placement, why: str, storm: int | None, pager: str) -> Placement:
    """Where an alert that would open an incident and page by `pager` goes when there may be no more of them, and why.

    `storm` is the open incident that gathers the rest, if there is one.
    """
    if placement.opens_again:
        placement = replace(placement, incident=None, opens_again=False, earlier=placement.incident)
    if storm is not None:
        return replace(placement, incident=storm, reason=f"{placement.reason}; {why}, so INC-{storm} gathers it")
    return replace(
        placement, is_storm=True, service=None, pager=pager, reason=f"{placement.reason}; {why}, so this one gathers the rest"
    )


def sought_by(
    alert: Alert, endpoint: str, routes: Sequence[Route], aliases: Mapping[str, str], grouping: Grouping, now: datetime
) -> Sought:
    """Whose incidents are candidates for an alert: those of its service, of what that depends on, and of its group."""
    route, _ = choose_route(alert, endpoint, routes, now, aliases)
    service = route.service or canonical(alert.service, aliases)
    group = group_of(alert, route, service, grouping)
    if service is None:
        return Sought((), group)
    return Sought((service, *(way[-1] for way in grouping.upstreams.get(service, ()))), group)


def group_of(alert: Alert, route: Route, service: str | None, grouping: Grouping) -> str | None:
    """The same for every alert with the same values of the labels to group by; None where one of them is missing."""
    names = route.group_by or grouping.group_by
    values = [alert.labels.get(name, "") for name in names]
    if not names or not all(values):
        return None
    is_across = route.across_services if route.group_by else grouping.across_services
    told = json.dumps([None if is_across else service or "", names, values])
    return sha256(told.encode()).hexdigest()[:32]


def canonical(service: str | None, aliases: Mapping[str, str]) -> str | None:
    """The service's own name where `service` is another name of it; otherwise `service` itself."""
    if service is None:
        return None
    return aliases.get(service.lower(), service)


def _in_its_incident(
    alert: Alert, route: Route, service: str | None, fingerprint: str, incident: int, group: str | None
) -> Placement:
    is_firing = alert.status is Status.FIRING
    verb = "fires again" if is_firing else alert.status.value
    reason = f"the same alert is in INC-{incident}: {verb}"
    return Placement(route, Outcome.OPEN, service, fingerprint, incident, is_firing, reason, group=group)


def _kept_quiet(route: Route, service: str | None, fingerprint: str, known: Known | None, quiet: Quiet, why_route: str) -> Placement:
    reason = f"{quiet.reason}; else {why_route}"
    return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, reason, quiet=quiet)


def _without_incident(
    route: Route, service: str | None, fingerprint: str, known: Known | None, why_route: str, again_after: timedelta, now: datetime
) -> Placement:
    """Announced once while it fires, however often it comes and whatever it says by then; and once more where it still comes
    so long after that."""
    is_told = route.outcome is Outcome.ANNOUNCE
    if known is None or (is_told and not known.is_announced):
        return Placement(route, route.outcome, service, fingerprint, None, False, why_route)
    if is_told and known.may_be_announced_again(now, again_after):
        first = f"{known.first_at:%Y-%m-%d %H:%M} UTC" if known.first_at is not None else "a time that nobody kept"
        return Placement(route, route.outcome, service, fingerprint, None, False, f"reported again; first at {first}; {why_route}")
    reason = "seen before; no incident belongs to it"
    if is_told and known.announced_at is not None and again_after:
        reason = f"announced {_ago(now - known.announced_at)} ago; again when it is reported {_ago(again_after)} after that"
    return Placement(route, Outcome.RECORD, service, fingerprint, None, True, reason)


def _join(
    fingerprint: str,
    service: str | None,
    asked: int,
    route: Route,
    grouping: Grouping,
    candidates: Sequence[Candidate],
    now: datetime,
) -> Join:
    """The first rule that finds an incident: held back, grouped, of the same service, explained by what it depends on."""
    there = [one for one in candidates if one.private == route.private and not one.is_apart]
    fit = [one for one in there if fingerprint not in one.split_off]
    left = sorted(one.number for one in there if fingerprint in one.split_off)
    notes = [f"people took it out of {', '.join(f'INC-{one}' for one in left)}"] if left else []
    near = [one for one in fit if grouping.window and _is_within(one, grouping.window, now)]
    names = ", ".join(route.group_by or grouping.group_by)
    if service is not None and (found := _held_back(service, asked, fit, grouping, now)):
        return found
    if grouped := _newest([one for one in near if one.has_group], now):
        why = f"the same {names}"
        said = f"joins INC-{grouped.number}: an alert there has {why}, and its newest is of the last {_minutes(grouping.window)}"
        return Join(grouped.number, said, why)
    if service is None:
        return Join(None, "; ".join(("no service is named, so it opens an incident of its own", *notes)))
    # What somebody declared as less may be in hands that nobody would wake for this.
    theirs = [one for one in near if one.service == service and (not one.is_declared or one.severity <= asked)]
    if mine := _newest(theirs, now):
        span = _minutes(grouping.window)
        if mine.is_declared:
            why = f"declared for {service} within {span}"
            return Join(mine.number, f"joins INC-{mine.number}: somebody declared it for {service} in the last {span}", why)
        said = f"{service} had an alert there in the last {span}"
        return Join(mine.number, f"joins INC-{mine.number}: {said}", f"{service} had another within {span}")
    found, milder = _explained(service, asked, fit, grouping, now)
    if found is not None:
        return found
    if not grouping.window:
        return Join(None, "; ".join(("grouping is off, so it opens an incident of its own", *milder, *notes)))
    none = f"no open incident of {service} had an alert in the last {_minutes(grouping.window)}"
    return Join(None, "; ".join((none, *milder, *notes)))


def _held_back(service: str, asked: int, fit: Sequence[Candidate], grouping: Grouping, now: datetime) -> Join | None:
    """While a SEV1 of a service fires, whatever asks for less is of it, however long ago it began; where a person declared it,
    and no alert tells that it is over, for as long as an upstream explains.
    """
    firing = [one for one in fit if one.service == service and one.severity == 1 and one.is_firing]
    worst = _newest([one for one in firing if not one.is_declared or _is_within(one, grouping.related_for, now)], now)
    if worst is None or asked == 1:
        return None
    why = f"a SEV1 of {service} {'was declared' if worst.is_declared else 'fires'}"
    return Join(worst.number, f"related to INC-{worst.number}, which holds it back: {why}", why, is_related=True)


def _explained(
    service: str, asked: int, fit: Sequence[Candidate], grouping: Grouping, now: datetime
) -> tuple[Join | None, list[str]]:
    """The incident of the nearest service that it depends on; or why those that there are do not explain it.

    One that is milder than what the alert asks for explains nothing: nobody would be woken for the worse one.
    """
    milder: list[str] = []
    for way in grouping.upstreams.get(service, ()):
        theirs = [one for one in fit if one.service == way[-1] and one.is_firing and _is_within(one, grouping.related_for, now)]
        bad_enough = [one for one in theirs if one.severity <= asked]
        why = f"{way[0]} depends on {', which depends on '.join(way[1:])}"
        if grouping.related_for and bad_enough:
            chosen = min(bad_enough, key=lambda one: (one.severity, now - (one.last_alert_at or now), -one.number))
            how = "was declared" if chosen.is_declared else "fires"
            return Join(chosen.number, f"related to INC-{chosen.number}, which {how}: {why}", why, is_related=True), []
        milder += [f"{why}, but INC-{one.number} is only SEV{one.severity}" for one in theirs]
    return None, milder


def _newest(some: Sequence[Candidate], now: datetime) -> Candidate | None:
    return max(some, key=lambda one: (one.last_alert_at or now, one.number), default=None)


def _is_within(candidate: Candidate, window: timedelta, now: datetime) -> bool:
    return candidate.last_alert_at is not None and now - candidate.last_alert_at <= window


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} min"


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
