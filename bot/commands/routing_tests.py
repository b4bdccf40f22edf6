"""A team's own tests of its routing: a table of example alerts, and what the bot would decide on each."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from bot.alerts.alert import Alert, Change, ChangeKind, ChangeState, FindingState, Kind, Link, SecurityFinding, Status
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.matching import group_of
from bot.alerts.quiet import MAINTENANCE, called
from bot.alerts.reading import label_hash
from bot.alerts.registry import names as source_names
from bot.alerts.registry import source_named
from bot.alerts.routing import Outcome, choose_route, doubt_about, fits, wrong_with
from bot.alerts.source import Delivery
from bot.clock import wall_clock
from bot.commands.foreseen import Outlook
from bot.commands.output import read_bytes
from bot.errors import Refused, Unreadable
from bot.handle import Door
from bot.incidents.decision import AlertRecord, Decision
from bot.incidents.decisions.opening import pager_of
from bot.incidents.decisions.writing import BOT
from bot.incidents.incident import AlertState, Episode, Incident, PageState, Role, Severity, dedup_key
from bot.incidents.incident import Status as IncidentStatus
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import OURS, PAGER_SOURCE, Policy, Span, Strict, Words
from bot.store import Store

MAIN = "main"
NAMED = "alertname"
"""The label that has the name of an alert's rule."""
DONE = {Outcome.ANNOUNCE: "announced", Outcome.RECORD: "recorded", Outcome.DROP: "dropped"}


def _known_source(name: str) -> str:
    known = (OURS, *source_names())
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ValueError(f"no source is called {name!r}; {f'did you mean {near[0]}?' if near else '`bot sources` lists them'}")
    return name


class GivenFinding(Strict):
    """A security finding in the fields that routes look at. One that is `fixable` is so in a version that nobody says."""

    state: FindingState = FindingState.OPEN
    rule: str = ""
    identifier: Words = ()
    package: str = ""
    fixed_in: str = ""
    fixable: bool = False
    reopened: bool = False
    reason: str = ""

    def built(self) -> SecurityFinding:
        """As a source would have read it."""
        return SecurityFinding(
            state=self.state, rule=self.rule, identifiers=self.identifier, package=self.package,
            fixed_in=self.fixed_in or ("a later version" if self.fixable else ""), is_reopened=self.reopened, reason=self.reason,
        )  # fmt: skip


class GivenChange(Strict):
    """A change in the fields that routes look at."""

    kind: ChangeKind = ChangeKind.DEPLOYMENT
    state: ChangeState = ChangeState.SUCCEEDED
    sha: str | None = None
    ref: str | None = None
    version: str | None = None
    by: str | None = None

    def built(self, identity: str) -> Change:
        """As a source would have read it."""
        return Change(identity=identity, **self.model_dump())


class Given(Strict):
    """An alert in the fields that routes look at; `name` is its label alertname, and `route` the endpoint it comes through.

    `finding.package` and the like are written as in a match. Such an alert is a security finding, or a change, unless its
    kind says otherwise.
    """

    title: str = "An alert"
    name: str | None = None
    status: Status = Status.FIRING
    severity: AlertSeverity = AlertSeverity.UNKNOWN
    kind: Kind | None = None
    source: str = "generic"
    route: str | None = None
    service: str | None = None
    environment: str | None = None
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    identity: str | None = None
    group_key: str | None = None
    source_status: str | None = None
    source_severity: str | None = None
    url: str | None = None
    no_data: bool = False
    occurrence: str | None = None
    truncated: bool = False
    links: Words = ()
    filled_in: Words = ()
    finding: GivenFinding | None = None
    change: GivenChange | None = None

    _known_source = field_validator("source")(_known_source)

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, given: Any) -> Any:
        """`finding.package: x` stands for `finding: {package: x}`."""
        if not isinstance(given, dict):
            return given
        parts: dict[str, Any] = {}
        for key, value in given.items():
            whole, _, part = str(key).partition(".")
            if part and whole in ("finding", "change"):
                parts[whole] = {**parts.get(whole, {}), part: value}
            else:
                parts[key] = value
        return parts

    @model_validator(mode="after")
    def _named_once(self) -> "Given":
        if self.name is not None and self.labels.get(NAMED, self.name) != self.name:
            raise ValueError(f"`name` is the label {NAMED}, which is {self.labels[NAMED]!r} here: leave one of them out")
        return self

    @model_validator(mode="after")
    def _gets_to_a_route(self) -> "Given":
        if self.kind is Kind.INCIDENT_UPDATE or self.source == PAGER_SOURCE:
            raise ValueError("news of an incident is not routed, and all that PagerDuty sends is that")
        return self

    def built(self, now: datetime) -> Alert:
        """As a source would have read it."""
        given = self.model_dump(exclude={"name", "route", "truncated", "filled_in", "links", "finding", "change"})
        labels = self.labels if self.name is None else {**self.labels, NAMED: self.name}
        identity = self.identity or label_hash({**labels, "title": self.title})
        return Alert(**given | {
            "labels": labels, "identity": identity, "started_at": now, "kind": self._kind, "truncated_count": int(self.truncated),
            "defaults": self.filled_in, "links": tuple(Link("source", one) for one in self.links),
            "finding": self.finding.built() if self.finding else None,
            "change": self.change.built(identity) if self.change else None,
        })  # fmt: skip

    @property
    def _kind(self) -> Kind:
        if self.kind is not None or (self.finding is None and self.change is None):
            return self.kind or Kind.ALERT
        if self.finding is not None or self.change is None:
            return Kind.SECURITY_FINDING
        return Kind.DEPLOYMENT if self.change.kind is ChangeKind.DEPLOYMENT else Kind.CHANGE


class Open(Strict):
    """An incident that is open when the alert comes. Its newest alert was so long `ago`, and had these `labels`."""

    incident: int = Field(ge=1)
    service: str | None = None
    severity: Severity = Severity.SEV2
    ago: Span = timedelta()
    firing: bool = True
    private: bool = False
    labels: dict[str, str] = Field(default_factory=dict)

    def recorded(self, alert: Alert, endpoint: str, policy: Policy, now: datetime) -> Decision:
        """What the record would have of it, for an alert that is looked at. It has its page, where its severity has one."""
        route, _ = choose_route(alert, endpoint, policy.built_routes(), now, policy.aliases())
        group = group_of(replace(alert, labels=self.labels), route, self.service, policy.grouping_rule())
        at, title, fingerprint = now - self.ago, f"INC-{self.incident}", f"open/{self.incident}"
        page = PageState.ACCEPTED if policy.rule(self.severity).pages else PageState.NOT_NEEDED
        state = AlertState(
            fingerprint=fingerprint, name=title, title=title, is_firing=self.firing, source=alert.source, started_at=at,
            changed_at=at, severity=self.severity, service=self.service,
        )  # fmt: skip
        incident = Incident(
            number=self.incident, title=title, severity=self.severity, status=IncidentStatus.TRIGGERED, opened_at=at, opened_by=BOT,
            service=self.service, pager=policy.service(self.service).pager, private=self.private, alerts=(state,), last_alert_at=at,
            episodes=(Episode(number=1, opened_at=at, dedup_key=dedup_key(self.incident, 1, at), page=page),),
        )  # fmt: skip
        record = AlertRecord(
            fingerprint, self.incident, self.firing, title, alert.source, self.service, at, severity=self.severity, started_at=at,
            group=group,
        )  # fmt: skip
        return Decision(incident=incident, alert=record)


class Expected(Strict):
    """What has to come of it; what is left out may be anything. `incident` is the one it joins; 0 stands for one of its own.

    `pages`, `roles` and `channel` are of what would be decided: an alert that joins opens no channel. What opens and joins
    nothing has no `severity` and no `pager`. `channel` is a pattern, as in a route: the number of an incident is known when it
    is opened.
    """

    route: str | None = None
    outcome: Outcome | None = None
    severity: Severity | None = None
    service: str | None = None
    pages: bool | None = None
    pager: str | None = None
    runbook: str | None = None
    roles: dict[Role, str] | None = None
    channel: str | None = None
    private: bool | None = None
    group: dict[str, str] | None = None
    maintenance: str | None = None
    incident: int | None = Field(default=None, ge=0)
    related: bool | None = None

    @field_validator("channel")
    @classmethod
    def _a_pattern(cls, channel: str | None) -> str | None:
        if channel is not None and (problem := wrong_with(channel) or doubt_about(channel)):
            raise ValueError(problem)
        return None if channel is None else channel.removeprefix("#")

    @model_validator(mode="after")
    def _expects_something(self) -> "Expected":
        if not self.model_fields_set:
            raise ValueError(f"expects nothing, and so can never fail: name some of {', '.join(type(self).model_fields)}")
        return self


class Case(Strict):
    """One line of the table."""

    name: str
    alert: Given | None = None
    source: str = "generic"
    payload: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    endpoint: str = MAIN
    at: datetime | None = None
    open: tuple[Open, ...] = ()
    expect: Expected

    _known_source = field_validator("source")(_known_source)

    @model_validator(mode="after")
    def _one_of_both(self) -> "Case":
        if (self.alert is None) == (self.payload is None):
            raise ValueError("give an `alert`, or a `payload` and its `source`")
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError("`at` needs its offset, like 2026-06-13T03:00:00+01:00")
        if self.alert is not None and self.alert.route is not None and "endpoint" in self.model_fields_set:
            raise ValueError("`endpoint` is the alert's `route`: leave one of them out")
        return self

    @field_validator("open")
    @classmethod
    def _each_once(cls, given: tuple[Open, ...]) -> tuple[Open, ...]:
        numbers = [one.incident for one in given]
        twice = next((one for one in numbers if numbers.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"two of these are INC-{twice}: give each incident a number of its own")
        return given

    @property
    def through(self) -> str:
        """The endpoint that it comes through."""
        return (self.alert.route if self.alert is not None else None) or self.endpoint


class Table(Strict):
    """The file."""

    tests: tuple[Case, ...] = Field(default=(), validate_default=True)

    @field_validator("tests")
    @classmethod
    def _has_some(cls, tests: tuple[Case, ...]) -> tuple[Case, ...]:
        if not tests:
            raise ValueError("there is no test here; `bot policy test --help` shows how one is written")
        return tests


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: empty `wrong` where it is as expected."""

    name: str
    wrong: tuple[str, ...]
    reason: str
    is_about_grouping: bool = False


def tried(case: Case, policy: Policy, folder: Path, nothing: Store) -> Iterator[Result]:
    """What comes of a case; of a payload, of each of its alerts. `nothing` is a record in which nothing is."""
    now = case.at or wall_clock()
    alerts = [case.alert.built(now)] if case.alert is not None else _read(case, policy, folder, now)
    wanted = case.expect.model_dump(mode="json", exclude_unset=True)
    for number, alert in enumerate(alerts, start=1):
        name = f"{case.name} ({number} of {len(alerts)})" if len(alerts) > 1 else case.name
        outlook = _outlook(alert, case, policy, now, nothing)
        became = _became(outlook)
        wrong = [_said(key, became[key], value, outlook) for key, value in wanted.items() if not _is_as(key, became[key], value)]
        yield Result(name, tuple(wrong), outlook.placement.reason, bool(case.open))


def _outlook(alert: Alert, case: Case, policy: Policy, now: datetime, nothing: Store) -> Outlook:
    """What the bot would decide, were only what the case says open."""
    door = Door(nothing, lambda: now, lambda: policy, lambda: ())
    with nothing.rehearsing() as work:
        for one in case.open:
            work.save(one.recorded(alert, case.through, policy, now), now)
        work.number_after(max((one.incident for one in case.open), default=0))
        (foreseen,) = door.foresee(work, [AlertReported(alert, case.through)])
    return Outlook(foreseen, policy)


def _became(outlook: Outlook) -> dict[str, Any]:
    found, policy = outlook.placement, outlook.policy
    return {
        "route": found.route.name,
        "outcome": found.outcome.value,
        "severity": policy.severity_for(found.route, outlook.alert.severity).value if _has_incident(outlook) else None,
        "service": found.service,
        "pages": bool(outlook.pages),
        "pager": pager_of(found, policy) if _has_incident(outlook) else None,
        "runbook": found.route.runbook or policy.service(found.service).runbook,
        "roles": dict(outlook.roles),
        "channel": outlook.channel,
        "private": found.route.private,
        "group": dict(outlook.group),
        "maintenance": found.quiet.key.removeprefix(MAINTENANCE) if found.quiet else None,
        "incident": found.incident or 0,
        "related": found.is_related,
    }


def _has_incident(outlook: Outlook) -> bool:
    """Whether it opens an incident, or belongs to one: else it has no severity of ours, and would page nobody."""
    return outlook.after is not None


def _why_none(outlook: Outlook) -> str:
    found = outlook.placement
    if found.quiet is not None:
        return f"kept quiet by {called(found.quiet.key)}; it opens nothing"
    if found.outcome is not found.route.outcome:
        return "only recorded; it opens nothing"
    return f"{DONE[found.outcome]} by route “{found.route.name}”; it opens nothing"


def _is_as(key: str, became: Any, wanted: Any) -> bool:
    return fits(became or "", (wanted,)) if key == "channel" else bool(became == wanted)


def _said(key: str, became: Any, wanted: Any, outlook: Outlook) -> str:
    """What is wrong, and what may have been meant where the policy has nothing of that name."""
    text = f"{key} is {_word(became)}, not {_word(wanted)}"
    if key == "pages" and not became and outlook.after is not None and (why := outlook.why_nobody(outlook.after.ref)):
        return f"{text}: {why}"
    if key in ("severity", "pager") and not _has_incident(outlook):
        return f"{text}: {_why_none(outlook)}"
    known = _names(key, outlook.policy)
    if not known or wanted in known:
        return text
    near = get_close_matches(wanted, known, n=1)
    meant = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
    return f"{text}; the policy has no {key} {wanted}: {meant}"


def _names(key: str, policy: Policy) -> Collection[str]:
    """What there is to be expected of a field whose values the policy names; empty of any other."""
    if key == "route":
        return [one.name for one in policy.built_routes()]
    if key == "service":
        return list(policy.services)
    if key == "pager":
        named = (one.paged_by for one in (*policy.services.values(), *policy.routes))
        return sorted({"default", *(one for one in named if one)})
    return [one.name for one in policy.maintenance] if key == "maintenance" else []


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={one}" for name, one in value.items()) or "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "nothing" if value is None else str(value)


def _read(case: Case, policy: Policy, folder: Path, now: datetime) -> list[Alert]:
    assert case.payload is not None
    headers = {name.lower(): value for name, value in case.headers.items()}
    delivery = Delivery(read_bytes(str(folder / case.payload)), headers, case.endpoint, now)
    try:
        reading = source_named(case.source).parse(delivery, policy.generic.get(case.endpoint, {}))
    except Unreadable as error:
        raise Refused(f"{case.name}: {case.payload} cannot be read: {error.reason}") from None
    alerts = [one for one in reading.alerts if one.kind is not Kind.INCIDENT_UPDATE]
    if not alerts:
        why = reading.ignored or "it is news of an incident, which no route takes"
        raise Refused(f"{case.name}: there is no alert in {case.payload}: {why}")
    return alerts
