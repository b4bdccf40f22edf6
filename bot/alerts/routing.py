"""Which route of the policy takes an alert, and why. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import re2

from bot.alerts.alert import EMPTY, Alert, Change, ChangeKind, ChangeState, FindingState, Kind, SecurityFinding, Severity, Status

OPTIONS = re2.Options()
OPTIONS.log_errors = False
"""What is wrong with an expression is told with its line in the policy, and not on stderr as well."""
REGEX = "re:"
"""What begins a pattern that is a regular expression (RE2, found anywhere in the value), and not a glob."""
PERHAPS = re.compile(r"^\^|[^\s\d]\$$|^\.\*|\.\*[\w\s(]")
"""What may be meant as one, and is looked for as it stands: `^Disk`, `full$`; but `^GSPC` and `orders.*dlq` are names, too."""
WILD = {"*": ".*", "?": ".", **{one: f"\\{one}" for one in r".+^$(){}|\[]"}}
"""What stands for what of a glob in an expression."""
BRACKETS = re.compile(r"\[[^\]\s]*\]")
"""In other globs one of these letters; here, and in `[FIRING:1]`, brackets."""
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MIDNIGHT = time(0)
QUARTER = timedelta(minutes=15)
A_WEEK = timedelta(days=7)


class Outcome(StrEnum):
    """What a route does with an alert."""

    OPEN = "open"
    ANNOUNCE = "announce"
    RECORD = "record"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Matcher:
    """What an alert must look like. Every field must fit one of its patterns: a word, a glob (`*` and `?` are wild), or
    `re:` and a regular expression.

    `fields` are of the alert itself, as `FIELDS` lists them. Those under `but_…` must fit none of theirs.
    """

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    annotations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    but_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    but_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    but_annotations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def misfit(self, alert: Alert, endpoint: str, own: str = "") -> str:
        """Why `alert` does not fit; empty where it does. Its service may fit by what its sender calls it, or by its `own` name."""
        for name, patterns in self.fields.items():
            if not _field_fits(alert, endpoint, name, patterns, own):
                return f"{name} is {field_of(alert, endpoint, name) or 'missing'}, not {' or '.join(patterns)}"
        for kind, given, wanted in (("label", alert.labels, self.labels), ("annotation", alert.annotations, self.annotations)):
            for name, patterns in wanted.items():
                value = given.get(name, "")
                if not fits(value, patterns):
                    return f"{kind} {name} is {value or 'missing'}, not {' or '.join(patterns)}"
        return self._left_out(alert, endpoint, own)

    def _left_out(self, alert: Alert, endpoint: str, own: str) -> str:
        for name, patterns in self.but_fields.items():
            if _field_fits(alert, endpoint, name, patterns, own):
                return f"{name} is {field_of(alert, endpoint, name) or 'missing'}, which is left out"
        for kind, given, left in (("label", alert.labels, self.but_labels), ("annotation", alert.annotations, self.but_annotations)):
            for name, patterns in left.items():
                if fits(given.get(name, ""), patterns):
                    return f"{kind} {name} is {given.get(name) or 'missing'}, which is left out"
        return ""

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing: then everything fits but what it leaves out."""
        return not (self.fields or self.labels or self.annotations)

    @property
    def said(self) -> str:
        """In words; empty where everything fits."""
        fits_ = (*self.fields.items(), *self.labels.items(), *_noted(self.annotations))
        left_out = (*self.but_fields.items(), *self.but_labels.items(), *_noted(self.but_annotations))
        parts = [f"{name}={'|'.join(patterns)}" for name, patterns in fits_]
        return ", ".join([*parts, *(f"{name}!={'|'.join(patterns)}" for name, patterns in left_out)])


def _noted(annotations: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    return ((f"annotation.{name}", patterns) for name, patterns in annotations.items())


def _field_fits(alert: Alert, endpoint: str, name: str, patterns: Sequence[str], own: str) -> bool:
    if name in SEVERAL:
        return any(fits(one, patterns) for one in values_of(alert, name) or ("",))
    return fits(field_of(alert, endpoint, name), patterns) or (own != "" and name == "service" and fits(own, patterns))


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the week in a zone. One that ends before it begins lasts over midnight, and is of the day on which it began.

    By the clock on the wall: where that is set back an hour comes twice, and both are within.
    """

    zone: tzinfo
    days: frozenset[int]
    start: time
    end: time

    def has(self, at: datetime) -> bool:
        """Whether that moment is within."""
        here = at.astimezone(self.zone)
        clock = here.time()
        if self.start < self.end:
            return here.weekday() in self.days and self.start <= clock < self.end
        if clock >= self.start:
            return here.weekday() in self.days
        return clock < self.end and (here - timedelta(days=1)).weekday() in self.days

    def ends(self, at: datetime) -> datetime:
        """The first moment after `at` that is not within; a week later where it never ends.

        Clocks are set by whole quarters of an hour, and on one: between them it begins and ends only as it says.
        """
        at = at.astimezone(UTC)
        since = _past_quarter(at.time())
        steps = sorted({_past_quarter(one) for one in (MIDNIGHT, self.start, self.end)})
        for number in range(A_WEEK // QUARTER + 1):
            for step in steps:
                moment = at - since + number * QUARTER + step
                if moment > at and not self.has(moment):
                    return moment
        return at + A_WEEK

    @property
    def said(self) -> str:
        """In words."""
        days = ", ".join(DAYS[one][:3] for one in sorted(self.days))
        return f"{days} {self.start:%H:%M} to {self.end:%H:%M} {self.zone}"


@dataclass(frozen=True, slots=True)
class Route:
    """A line of the policy: what it takes, and what becomes of it. `severity` is SEV1 to SEV5, or None for the map.

    With `goes_on` it takes nothing: what it says holds for whichever route comes after it and takes the alert.
    """

    name: str
    match: Matcher
    outcome: Outcome
    severity: str | None = None
    service: str | None = None
    pager: str | None = None
    runbook: str | None = None
    private: bool = False
    unless: Matcher | None = None
    hours: Hours | None = None
    goes_on: bool = False
    reason: str = ""
    """Why it drops what it takes."""
    severity_map: Mapping[str, str] = field(default_factory=dict)
    """What a sender's severity means here, where that is not what it means elsewhere."""
    roles: Mapping[str, str] = field(default_factory=dict)
    channel: str = ""
    """How the channels of its incidents are called."""
    group_by: tuple[str, ...] = ()
    """Labels: alerts that have the same values of all of them share an incident. Empty: as the policy says elsewhere."""
    across_services: bool = False
    """Whether they do so whatever their service."""
    fires: bool = False
    """Whether what its sender calls information counts as firing here."""

    @property
    def asks_for_findings(self) -> bool:
        """Whether it means security findings: by their kind, or by what only a finding has."""
        kinds = self.match.fields.get("kind")
        if kinds is not None:
            return fits(Kind.SECURITY_FINDING.value, kinds)
        return any(one in self.match.fields for one in OF_A_FINDING)

    def tells(self, alert: Alert) -> bool:
        """Whether it announces an alert that its sender calls information: only where it asks for that status."""
        asked = self.match.fields.get("status")
        is_information = alert.status is Status.INFO and alert.kind is Kind.ALERT
        return is_information and self.outcome is Outcome.ANNOUNCE and asked is not None and fits(Status.INFO.value, asked)

    @property
    def leaves_findings(self) -> bool:
        """Whether security findings pass it by: it opens incidents, and asks for none of them."""
        return self.outcome is Outcome.OPEN and not self.goes_on and not self.asks_for_findings

    def misfit(self, alert: Alert, endpoint: str, now: datetime, own: str = "") -> str:
        """Why it does not take the alert; empty where it does. `own` is its service's own name, where that is another."""
        found = self.match.misfit(alert, endpoint, own)
        if found:
            return found
        if self.unless is not None and not self.unless.misfit(alert, endpoint, own):
            return f"it is left out: {self.unless.said or 'everything is'}"
        if self.hours is not None and not self.hours.has(now):
            return f"it is not {self.hours.said} now"
        if alert.kind is Kind.SECURITY_FINDING and self.leaves_findings:
            return "a security finding wakes nobody, unless a route asks for its kind, or for what only a finding has"
        return ""


def choose_route(
    alert: Alert, endpoint: str, routes: Sequence[Route], now: datetime, aliases: Mapping[str, str] = EMPTY
) -> tuple[Route, str]:
    """The first route that takes it, and why. The policy guarantees that the last one takes everything.

    A service is matched by what its sender calls it, and by its own name, which `aliases` has for each of its names.
    One that opens incidents takes a security finding only where it matches on `kind`, or on what only a finding has: none wakes
    anybody because it is called critical.
    """
    before: list[Route] = []
    own = aliases.get(alert.service.lower(), "") if alert.service else ""
    for route in routes:
        if route.misfit(alert, endpoint, now, own):
            continue
        if route.goes_on:
            before.append(route)
            continue
        said = _said(route)
        if not before:
            return route, f"route “{route.name}” takes it ({said})"
        names = ", ".join(f"“{one.name}”" for one in before)
        return with_earlier(before, route), f"route “{route.name}” takes it ({said}), with what {names} said before"
    raise ValueError("no route takes everything: the policy's last route must have an empty match")


def with_earlier(before: Sequence[Route], route: Route) -> Route:
    """A route with what those before it said, where it says nothing itself; of those the last one counts."""
    whole = route
    for one in reversed(before):
        said = dict.fromkeys(map(str, Severity), one.severity) if one.severity else one.severity_map
        whole = replace(
            whole,
            service=whole.service or one.service,
            pager=whole.pager or one.pager,
            runbook=whole.runbook or one.runbook,
            private=whole.private or one.private,
            severity_map={**said, **whole.severity_map},
            roles={**one.roles, **whole.roles},
            channel=whole.channel or one.channel,
            group_by=whole.group_by or one.group_by,
            across_services=whole.across_services if whole.group_by else one.across_services,
            fires=whole.fires or one.fires,
        )
    return whole


def as_taken(alert: Alert, endpoint: str, routes: Sequence[Route], now: datetime, aliases: Mapping[str, str] = EMPTY) -> Alert:
    """The alert as its route takes it: what its sender calls information as firing, where that says so."""
    if alert.status is not Status.INFO or alert.kind is not Kind.ALERT or not any(one.fires for one in routes):
        return alert
    route, _ = choose_route(alert, endpoint, routes, now, aliases)
    return replace(alert, status=Status.FIRING, was_info=True) if route.fires else alert


def severity_of(route: Route, alert_severity: Severity, severities: Mapping[str, str]) -> str:
    """SEV1 to SEV5: the route's own, or its own map's, or that of `severities` for what the sender says."""
    said = alert_severity.value
    return route.severity or route.severity_map.get(said) or severities.get(said, "SEV3")


def field_of(alert: Alert, endpoint: str, name: str) -> str:
    """The value that a policy's match looks at; empty where the alert has none."""
    match name:
        case "route":
            return endpoint
        case "name":
            return name_of(alert)
        case "status" if alert.was_info:
            return Status.INFO.value
        case "severity" | "kind" | "status":
            return str(getattr(alert, name).value)
        case "no_data":
            return "true" if alert.no_data else "false"
        case "truncated":
            return "true" if alert.truncated_count else "false"
    if name in SEVERAL:
        return ", ".join(values_of(alert, name))
    if name.startswith("finding."):
        return _of_finding(alert.finding, name)
    if name.startswith("change."):
        return _of_change(alert.change, name)
    value: Any = getattr(alert, name)
    return value or ""


def values_of(alert: Alert, name: str) -> tuple[str, ...]:
    """The values of a field that may have several: one that fits is enough."""
    match name:
        case "finding.identifier":
            return alert.finding.identifiers if alert.finding is not None else ()
        case "links":
            return tuple(one.url for one in alert.links)
        case _:
            return alert.defaults


def _of_finding(finding: SecurityFinding | None, name: str) -> str:
    if finding is None:
        return ""
    match name.removeprefix("finding."):
        case "state":
            return finding.state.value
        case "fixable":
            return "true" if finding.fixed_in else "false"
        case "reopened":
            return "true" if finding.is_reopened else "false"
        case "reason":
            return finding.reason
        case field_:
            return str(getattr(finding, field_))


def _of_change(change: Change | None, name: str) -> str:
    if change is None:
        return ""
    match name.removeprefix("change."):
        case "kind":
            return change.kind.value
        case "state":
            return change.state.value
        case field_:
            return str(getattr(change, field_) or "")


OF_A_FINDING = tuple(
    f"finding.{one}" for one in ("state", "rule", "identifier", "package", "fixed_in", "fixable", "reopened", "reason")
)
OF_A_CHANGE = tuple(f"change.{one}" for one in ("kind", "state", "sha", "ref", "version", "by"))
SEVERAL = frozenset({"finding.identifier", "links", "filled_in"})
FIELDS = (
    "source", "route", "severity", "service", "environment", "title", "name", "kind", "status", "description", "identity",
    "group_key", "source_status", "source_severity", "url", "no_data", "occurrence", "truncated", "links", "filled_in",
    *OF_A_FINDING, *OF_A_CHANGE,
)  # fmt: skip
MAPS = ("labels", "annotations")
"""What an alert has under names of its sender's."""
TRUTH = ("true", "false")


WORDS: Mapping[str, tuple[str, ...]] = {
    "severity": tuple(one.value for one in Severity),
    "kind": tuple(one.value for one in Kind),
    "status": tuple(one.value for one in Status),
    "no_data": TRUTH,
    "truncated": TRUTH,
    "finding.state": tuple(one.value for one in FindingState),
    "finding.fixable": TRUTH,
    "finding.reopened": TRUTH,
    "change.kind": tuple(one.value for one in ChangeKind),
    "change.state": tuple(one.value for one in ChangeState),
}
"""Fields that have only so many values."""


def name_of(alert: Alert) -> str:
    """The alert rule's name: its alertname label, or its title where it has none."""
    return alert.labels.get("alertname") or alert.title


def wrong_with(pattern: str) -> str:
    """Why a pattern is none; empty where it is one."""
    if not pattern.startswith(REGEX):
        return ""
    try:
        _compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else "it cannot be read"
        return f"{pattern!r} is no regular expression: {said.decode() if isinstance(said, bytes) else said}"
    return ""


def doubt_about(pattern: str) -> str:
    """How a pattern is taken where something else may be meant; empty where nothing is."""
    if pattern.startswith(REGEX):
        return ""
    if PERHAPS.search(pattern):
        return f"{pattern!r} is a glob, in which only * and ? are wild; write {REGEX + pattern!r} if it is a regular expression"
    if BRACKETS.search(pattern):
        meant = f"{REGEX}{as_expression(pattern) or '…'}"
        return f"{pattern!r} is looked for with its brackets; write each word, or {meant!r}, if one letter of them is meant"
    return ""


def as_expression(pattern: str) -> str:
    """What a doubtful pattern most likely means, as an expression without its prefix: one that looks like one as it stands, one
    with brackets as a glob in which those are for one letter of several. Empty where that is none, or would fit everything.
    """
    meant = pattern
    if not PERHAPS.search(pattern):
        wild = ["".join(WILD.get(one, one) for one in part) for part in BRACKETS.split(pattern)]
        brackets = [*BRACKETS.findall(pattern), ""]
        meant = f"^{''.join(part + letters for part, letters in zip(wild, brackets, strict=True))}$"
    return "" if wrong_with(REGEX + meant) or fits("", (REGEX + meant,)) else meant


@lru_cache(maxsize=2000)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.removeprefix(REGEX), OPTIONS)


def is_plain(pattern: str) -> bool:
    """Whether a pattern is a word, which fits itself and nothing else."""
    return "*" not in pattern and "?" not in pattern and not pattern.startswith(REGEX)


def is_like(value: str, glob: str) -> bool:
    """Whether a value fits a glob, in which `*` and `?` are wild and nothing else is: senders write [FIRING:1] into their titles."""
    return fnmatchcase(value, glob.replace("[", "[[]"))


def fits(value: str, patterns: Sequence[str]) -> bool:
    """Whether a value fits one of the patterns."""
    return any(_compiled(one).search(value) is not None if one.startswith(REGEX) else is_like(value, one) for one in patterns)


def _past_quarter(at: time) -> timedelta:
    return timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def _said(route: Route) -> str:
    parts = [route.match.said, f"unless {route.unless.said}" if route.unless else "", route.hours.said if route.hours else ""]
    return "; ".join(filter(None, parts)) or "it takes everything"
