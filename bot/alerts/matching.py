"""Where an alert belongs: which route takes it, and which open incident, if any. Every answer has its reason. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.routing import Outcome, Route, choose_route


@dataclass(frozen=True, slots=True)
class Grouping:
    """How alerts of one service share an incident: within `window` of its newest alert. Zero switches it off."""

    window: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Flood:
    """How many incidents one source may open `within` a time, before one more gathers all the rest."""

    most: int = 20
    within: timedelta = timedelta(hours=1)


LATE = timedelta(seconds=45)
"""A report of what is over comes at most so much later than that of its end, where nothing else tells it from a new one.

Both of a pair of Alertmanagers send it; one that fires again comes with the next look at its group, a minute later.
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of an alert that fires no more: when it was by its sender's clock, and when we heard of it."""

    at: datetime
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What the record remembers of a fingerprint that has not cleared: its incident, or None if it opened none."""

    incident: int | None
    is_announced: bool = False


def was_overtaken(alert: Alert, ended: Ended | None, now: datetime) -> bool:
    """Whether a report that it fires is from before its end, of which we heard first."""
    if alert.status is not Status.FIRING or alert.changed_at is None or ended is None or alert.changed_at >= ended.at:
        return False
    return not alert.restarts or now - ended.heard_at <= LATE


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open incident that an alert of the same service might join."""

    number: int
    service: str | None
    last_alert_at: datetime | None
    private: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an alert belongs. `incident` is the open one it joins; None with OPEN means a new one.

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


def place(
    alert: Alert,
    endpoint: str,
    routes: Sequence[Route],
    aliases: Mapping[str, str],
    grouping: Grouping,
    known: Known | None,
    candidates: Sequence[Candidate],
    now: datetime,
    ended: Ended | None = None,
) -> Placement:
    """Decide where `alert` belongs. `aliases` maps other names of a service to its own; the last route takes all. `ended` is
    its end, as far as we have heard of one.
    """
    route, why_route = choose_route(alert, endpoint, routes, now)
    service = route.service or canonical(alert.service, aliases)
    fingerprint = alert.fingerprint(endpoint)
    if alert.kind is Kind.TEST:
        # Some senders' tests carry the name of what they try: they must neither raise nor clear it.
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, "a test: recorded, never paged")
    if was_overtaken(alert, ended, now):
        incident = None if known is None else known.incident
        reason = "it was over before this came"
        return Placement(route, Outcome.RECORD, service, fingerprint, incident, is_repeat=True, reason=reason, was_overtaken=True)
    if known is not None and known.incident is not None:
        return _in_its_incident(alert, route, service, fingerprint, known.incident)
    if alert.status is not Status.FIRING:
        reason = f"{alert.status.value}, and nothing open waits for it"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, False, reason)
    if alert.kind not in (Kind.ALERT, Kind.QUALITY_GATE, Kind.SECURITY_FINDING):
        reason = f"{alert.kind.value.replace('_', ' ')}: recorded, never paged"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, reason)
    if route.outcome is not Outcome.OPEN:
        return _without_incident(route, service, fingerprint, known, why_route)
    # Whatever was announced or recorded of it before: it may have got worse since.
    joined, why_joined = _join(service, route, grouping, candidates, now)
    return Placement(route, Outcome.OPEN, service, fingerprint, joined, False, f"{why_route}; {why_joined}")


def may_open(alert: Alert, endpoint: str, routes: Sequence[Route], known: Known | None, now: datetime) -> bool:
    """Whether `place` might have it open an incident, as far as can be said without looking at those that there are."""
    has_one = known is not None and known.incident is not None
    if has_one or alert.status is not Status.FIRING:
        return False
    return choose_route(alert, endpoint, routes, now)[0].outcome is Outcome.OPEN


def gathered(placement: Placement, source: str, opened: int, storm: int | None, pager: str, flood: Flood) -> Placement:
    """Where an alert that would open an incident and page by `pager` goes when its source has `opened` the most lately.

    `storm` is the open incident that gathers what pages the same people, if there is one. Other sources are untouched.
    """
    why = f"{source} has opened {opened} incidents in {_minutes(flood.within)}"
    if storm is not None:
        return replace(placement, incident=storm, reason=f"{placement.reason}; {why}, so INC-{storm} gathers it")
    return replace(
        placement, is_storm=True, service=None, pager=pager, reason=f"{placement.reason}; {why}, so this one gathers the rest"
    )


def service_of(alert: Alert, endpoint: str, routes: Sequence[Route], aliases: Mapping[str, str], now: datetime) -> str | None:
    """The service that an alert will be placed under: only that service's incidents are candidates for it."""
    return choose_route(alert, endpoint, routes, now)[0].service or canonical(alert.service, aliases)


def canonical(service: str | None, aliases: Mapping[str, str]) -> str | None:
    """The service's own name where `service` is another name of it; otherwise `service` itself."""
    if service is None:
        return None
    return aliases.get(service.lower(), service)


def _in_its_incident(alert: Alert, route: Route, service: str | None, fingerprint: str, incident: int) -> Placement:
    is_firing = alert.status is Status.FIRING
    verb = "fires again" if is_firing else alert.status.value
    reason = f"the same alert is open in INC-{incident}: {verb}"
    return Placement(route, Outcome.OPEN, service, fingerprint, incident, is_firing, reason)


def _without_incident(route: Route, service: str | None, fingerprint: str, known: Known | None, why_route: str) -> Placement:
    """Announced once for as long as it fires, however often it comes and whatever it says by then."""
    if known is None or (route.outcome is Outcome.ANNOUNCE and not known.is_announced):
        return Placement(route, route.outcome, service, fingerprint, None, False, why_route)
    return Placement(route, Outcome.RECORD, service, fingerprint, None, True, "seen before; no incident belongs to it")


def _join(
    service: str | None, route: Route, grouping: Grouping, candidates: Sequence[Candidate], now: datetime
) -> tuple[int | None, str]:
    if service is None:
        return None, "no service is named, so it opens an incident of its own"
    if not grouping.window:
        return None, "grouping is off, so it opens an incident of its own"
    near = [one for one in candidates if _is_near(one, service, route, grouping, now)]
    if not near:
        return None, f"no open incident of {service} had an alert in the last {_minutes(grouping.window)}"
    chosen = max(near, key=lambda one: (one.last_alert_at or now, one.number))
    return (
        chosen.number,
        f"joins INC-{chosen.number}: {service} had an alert there in the last {_minutes(grouping.window)}",
    )


def _is_near(candidate: Candidate, service: str, route: Route, grouping: Grouping, now: datetime) -> bool:
    if candidate.service != service or candidate.private != route.private or candidate.last_alert_at is None:
        return False
    return now - candidate.last_alert_at <= grouping.window


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g} min"
