"""Where an alert belongs: which route takes it, and which open incident, if any. Every answer has its reason. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.quiet import NOTHING_QUIET, Quiet, Quieting, quiet_under
from bot.alerts.routing import Outcome, Route, choose_route


@dataclass(frozen=True, slots=True)
class Grouping:
    """How alerts share an incident: those of one service within `window` of its newest alert, zero switches it off; the
    same alert for as long as it is open, and for `reopens_within` after it was resolved.
    """

    window: timedelta = timedelta(minutes=10)
    reopens_within: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Flood:
    """How many incidents one source may open `within` a time, and all of them together, before one more gathers the rest."""

    most: int = 19
    within: timedelta = timedelta(hours=1)
    in_all: int = 60

    def reached(self, source: str, opened: int, opened_by_all: int) -> str:
        """Why `source` opens no more, in words; empty where it may."""
        if opened >= self.most:
            return f"{source} has opened {opened} incidents in {_minutes(self.within)}"
        if opened_by_all >= self.in_all:
            return f"all sources have opened {opened_by_all} incidents in {_minutes(self.within)}"
        return ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the record remembers of a fingerprint that has not been forgotten: its incident, or None if it opened none."""

    incident: int | None
    is_announced: bool = False
    resolved_at: datetime | None = None
    """When that incident was resolved; None while it is open."""

    @property
    def is_in_hand(self) -> bool:
        """Whether it belongs to an incident that is open."""
        return self.incident is not None and self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An open incident that an alert of the same service might join."""

    number: int
    service: str | None
    last_alert_at: datetime | None
    private: bool = False


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
    pager: str | None = None
    """Whom that one pages; None where the route or the service says."""
    opens_again: bool = False
    """The incident was resolved, and this alert of its own fires."""
    earlier: int | None = None
    """The incident that it belonged to before, where that is over for too long to be opened again."""
    quiet: Quiet | None = None
    """What keeps it from opening anything, or being announced."""


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
) -> Placement:
    """Decide where `alert` belongs. `aliases` maps other names of a service to its own; the last route takes all.

    What is open stays what it is: a silence, or a maintenance window, keeps quiet what would open, join or be announced.
    """
    route, why_route = choose_route(alert, endpoint, routes, now)
    service = route.service or canonical(alert.service, aliases)
    fingerprint = alert.fingerprint(endpoint)
    if alert.kind is Kind.TEST:
        # Some senders' tests carry the name of what they try: they must neither raise nor clear it.
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, "a test: recorded, never paged")
    over = None if known is None or known.is_in_hand else known.incident
    if known is not None and known.incident is not None and (known.is_in_hand or alert.status is not Status.FIRING):
        return _in_its_incident(alert, route, service, fingerprint, known.incident)
    if alert.status is not Status.FIRING:
        reason = f"{alert.status.value}, and nothing open waits for it"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, False, reason)
    if alert.kind not in (Kind.ALERT, Kind.QUALITY_GATE, Kind.SECURITY_FINDING):
        reason = f"{alert.kind.value.replace('_', ' ')}: recorded, never paged"
        return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, reason)
    quiet = None if route.outcome is Outcome.DROP else quiet_under(alert, endpoint, service, quieting, now)
    if quiet is not None:
        return _kept_quiet(route, service, fingerprint, None if over else known, quiet, why_route)
    if route.outcome is not Outcome.OPEN:
        return _without_incident(route, service, fingerprint, None if over else known, why_route)
    if known is not None and known.resolved_at is not None and now - known.resolved_at <= grouping.reopens_within:
        again = f"{why_route}; the same alert was in INC-{over}, resolved {_ago(now - known.resolved_at)} ago: it is opened again"
        return Placement(route, Outcome.OPEN, service, fingerprint, over, False, again, opens_again=True)
    # Whatever was announced or recorded of it before: it may have got worse since.
    joined, why_joined = _join(service, route, grouping, candidates, now)
    before = f"; it was in INC-{over} before" if over else ""
    return Placement(route, Outcome.OPEN, service, fingerprint, joined, False, f"{why_route}; {why_joined}{before}", earlier=over)


def may_open(alert: Alert, endpoint: str, routes: Sequence[Route], known: Known | None, now: datetime) -> bool:
    """Whether `place` might have it open an incident, as far as can be said without looking at those that there are."""
    if (known is not None and known.is_in_hand) or alert.status is not Status.FIRING:
        return False
    return choose_route(alert, endpoint, routes, now)[0].outcome is Outcome.OPEN


def gathered(placement: Placement, why: str, storm: int | None, pager: str) -> Placement:
    """Where an alert that would open an incident and page by `pager` goes when there may be no more of them, and why.

    `storm` is the open incident of its source that gathers what pages the same people, if there is one.
    """
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
    reason = f"the same alert is in INC-{incident}: {verb}"
    return Placement(route, Outcome.OPEN, service, fingerprint, incident, is_firing, reason)


def _kept_quiet(route: Route, service: str | None, fingerprint: str, known: Known | None, quiet: Quiet, why_route: str) -> Placement:
    reason = f"{quiet.reason}; else {why_route}"
    return Placement(route, Outcome.RECORD, service, fingerprint, None, known is not None, reason, quiet=quiet)


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


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
