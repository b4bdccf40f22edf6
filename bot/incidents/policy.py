"""The team's choices, from `policy.yaml`: routes, severities, services, channels. Checked, with line numbers."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from difflib import get_close_matches
from functools import cached_property, lru_cache
from types import NoneType
from typing import Annotated, Any, Literal, Self, TypeVar, get_args
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from bot.alerts.alert import Alert, ChangeKind
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.changes import kind_of as kind_of_change
from bot.alerts.flapping import Flapping
from bot.alerts.limits import Rate, rate
from bot.alerts.matching import THAT_GATHER, Flood, Grouping
from bot.alerts.quiet import Once, Window
from bot.alerts.reading import web_url
from bot.alerts.registry import names as source_names
from bot.alerts.routing import (
    DAYS,
    FIELDS,
    MAPS,
    Hours,
    Matcher,
    Outcome,
    Route,
    as_taken,
    choose_route,
    doubt_about,
    severity_of,
    wrong_with,
)
from bot.alerts.sources import generic
from bot.alerts.tracing import PLACE
from bot.errors import Broken
from bot.incidents.incident import Role, Severity
from bot.incidents.naming import misspelt_service, never_routed, shadowed_routes, wrong_routes, wrong_service, wrong_words
from bot.incidents.pagers import ID, ByPolicy
from bot.runbooks import ELSEWHERE, is_called

Model = TypeVar("Model", bound=BaseModel)
OURS = "firstfive"
"""The source of alerts that the bot itself raises."""
NOT_URGENT = 6
MOST_STEPS = 3
"""How far along `depends_on` an incident is looked for that explains an alert."""
CALLED = {"routes": "route", "heartbeats": "heartbeat", "maintenance": "maintenance", "tests": "test"}
"""Parts of a file whose entries have names of their own."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Loader(yaml.SafeLoader):
    """YAML without its surprises: 10:30 is no number of seconds, 2026-06-10 no date, and `on` and `no` are words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in ("null", "merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+\.[0-9]*$"), list("-+0123456789"))


def span(text: object) -> timedelta:
    """The length of "90s", "5m", "2h", "1d" or "0". Raises ValueError for anything else."""
    if text in (0, "0"):
        return timedelta(0)
    if isinstance(text, timedelta):
        return text
    if isinstance(text, str) and text[:-1].isdigit() and text[-1:] in UNITS:
        return timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
    raise ValueError(f"expected a length of time like 90s, 5m, 2h or 1d, not {text!r}")


def many(value: object) -> object:
    """One word, or a list of them, as a list."""
    return [value] if isinstance(value, str | int | float) else value


Span = Annotated[timedelta, BeforeValidator(span)]
Words = Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(many)]


class Strict(BaseModel):
    """A part of the policy: unknown keys are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_zone(zone: str | None) -> str | None:
    if zone is not None and zone not in available_timezones():
        raise ValueError(f"{zone!r} is not an IANA time zone; write one like Europe/Lisbon")
    return zone


class Team(Strict):
    name: str = "Platform"
    zone: str = "UTC"

    _known_zone = field_validator("zone")(_known_zone)

    @property
    def zoneinfo(self) -> ZoneInfo:
        """The team's zone, for wall-clock times."""
        return ZoneInfo(self.zone)


def _bare(name: str) -> str:
    return name.removeprefix("#")


class Channels(Strict):
    """Channel names or ids. `prefix` starts the name of every incident's own channel."""

    announce: str = "incidents"
    operations: str = "firstfive-ops"
    digest: str = "incidents"
    prefix: str = Field(default="inc", pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$")

    _bare = field_validator("announce", "operations", "digest")(_bare)


class DigestTime(Strict):
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    at: time = time(9, 0)
    share_people: bool = False

    @field_validator("at", mode="before")
    @classmethod
    def _two_digits(cls, at: object) -> object:
        return f"0{at}" if isinstance(at, str) and at[1:2] == ":" else at


class SeverityRule(Strict):
    """What a severity means and asks for. `acknowledge_within` is the target; `reminders` come before it."""

    means: str
    pages: bool
    acknowledge_within: Span = timedelta(minutes=5)
    reminders: tuple[Span, ...] = (timedelta(minutes=2), timedelta(minutes=4))
    update_every: Span | None = None
    postmortem: Literal["required", "optional", "none"] = "optional"
    template: str = "default"

    @model_validator(mode="after")
    def _reminders_come_first(self) -> "SeverityRule":
        late = [one for one in self.reminders if one >= self.acknowledge_within]
        if late:
            raise ValueError("a reminder must come before acknowledge_within")
        return self


def _pagerduty_id(text: str) -> str:
    if not re.fullmatch(ID, text):
        raise ValueError(f"write the id that stands in its address in PagerDuty, such as PT20YPA, not {text!r}")
    return text


PagerDutyId = Annotated[str, BeforeValidator(str), AfterValidator(_pagerduty_id)]


class Pages(Strict):
    """By what to page: `pager` names a key in PAGERDUTY_KEYS; or `escalation_policy`, whose incident stands on
    `pagerduty_service`. With neither, somebody else says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    key: str | None = Field(default=None, alias="pager")
    escalation_policy: PagerDutyId | None = None
    pagerduty_service: PagerDutyId | None = None

    @model_validator(mode="after")
    def _one_way_and_whole(self) -> Self:
        if self.escalation_policy and not self.pagerduty_service:
            raise ValueError("escalation_policy needs `pagerduty_service` beside it: the id of the service that it pages for")
        if self.pagerduty_service and not self.escalation_policy:
            raise ValueError("pagerduty_service is for an `escalation_policy`, which is not named")
        if self.key and self.escalation_policy:
            raise ValueError("name a `pager` (a key) or an `escalation_policy`, not both")
        return self

    @property
    def paged_by(self) -> str | None:
        """One word for either."""
        if self.escalation_policy and self.pagerduty_service:
            return str(ByPolicy(self.escalation_policy, self.pagerduty_service))
        return self.key


class Service(Pages):
    """A service of the catalogue; `people` are invited to its incidents. Where it says nothing, the default key pages.

    `channel` is told of them, too. While what it `depends_on` has an incident that fires, its own alerts are related to that.
    """

    title: str = ""
    aliases: Words = ()
    owner: str = ""
    channel: str = ""
    runbook: str | None = None
    dashboards: Words = ()
    people: Words = ()
    depends_on: Words = ()

    _bare = field_validator("channel")(_bare)

    @property
    def pager(self) -> str:
        """By what its on-call is paged."""
        return self.paged_by or "default"


CHANNEL_WORDS = ("prefix", "number", "title", "service", "severity")
"""What the name of a channel may be made of."""


def _known_fields(match: dict[str, Any] | None) -> dict[str, Any] | None:
    if match is None:
        return None
    unknown = sorted(set(match) - {*FIELDS, *MAPS})
    if unknown:
        near = get_close_matches(unknown[0].lower(), (*FIELDS, *MAPS), n=1)
        meant = f"did you mean {near[0]}? Known" if near else "known"
        raise ValueError(f"cannot match on {', '.join(unknown)}; {meant} are {', '.join(FIELDS)}, {' and '.join(MAPS)}")
    for name in MAPS:
        if not isinstance(match.get(name, {}), dict):
            raise ValueError(f"{name} must be a map of {name.removesuffix('s')} to pattern")
    return match


def _patterns_only(match: dict[str, Any] | None) -> dict[str, Any] | None:
    if match is None:
        return None
    fields = {name: value for name, value in match.items() if name not in MAPS}
    for name, value in (*fields.items(), *(pair for one in MAPS for pair in match.get(one, {}).items())):
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int | float) for one in values):
            raise ValueError(f"{name}: expected a pattern or a list of patterns")
        wrong = next(filter(None, (wrong_with(one) for one in _patterns(value))), "")
        if wrong:
            raise ValueError(f"{name}: {wrong}")
    if wrong := wrong_words(_matcher(match), (OURS, *source_names())):
        raise ValueError(wrong)
    return match


def _matcher(match: Mapping[str, Any]) -> Matcher:
    fields = {name: _patterns(value) for name, value in match.items() if name not in MAPS}
    labels, annotations = ({name: _patterns(value) for name, value in match.get(one, {}).items()} for one in MAPS)
    return Matcher(fields, labels, annotations)


def _whole_days(days: tuple[str, ...]) -> tuple[str, ...]:
    whole = tuple(next((one for one in DAYS if len(day) >= 3 and one.startswith(day.lower())), "") for day in days)
    if not days or not all(whole):
        raise ValueError(f"days are {', '.join(DAYS)}, or their first three letters")
    return whole


def _two_digits(at: object) -> object:
    return "00:00" if at == "24:00" else f"0{at}" if isinstance(at, str) and at[1:2] == ":" else at


def _not_all_day(start: time, end: time) -> None:
    if start == end != time(0):
        raise ValueError(f"`from` and `to` are both {start:%H:%M}: leave both out for all of the day, or say when it ends")


class HoursRule(Strict):
    """A part of the week, by the clock in the team's zone. One that ends before it begins lasts over midnight."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    days: Words = DAYS
    start: time = Field(default=time(0), alias="from")
    end: time = Field(default=time(0), alias="to")

    _known_days = field_validator("days")(_whole_days)
    _two_digits = field_validator("start", "end", mode="before")(_two_digits)

    @model_validator(mode="after")
    def _ends_some_time(self) -> Self:
        _not_all_day(self.start, self.end)
        return self

    def built(self, zone: ZoneInfo) -> Hours:
        """As the matching rules use it."""
        return Hours(zone, frozenset(DAYS.index(one) for one in self.days), self.start, self.end)


class Groups(Strict):
    """Alerts with the same values of these labels share an incident: those of one service, or `across_services`."""

    group_by: Words = ()
    across_services: bool = False

    @model_validator(mode="after")
    def _groups_by_something(self) -> Self:
        if self.across_services and not self.group_by:
            raise ValueError("`across_services` says how far `group_by` goes: name the labels to group by, too")
        return self


class RouteRule(Pages, Groups):
    """One line of routing. `match` maps alert fields and `labels` to patterns; the first route that fits takes it.

    `unless` leaves out some of what fits, `hours` all of it at other times. With `continue` what it says holds for the
    next route that fits, which takes the alert. With `fires` what its sender calls information counts as firing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str
    match: dict[str, Any] = Field(default_factory=dict)
    unless: dict[str, Any] | None = None
    hours: HoursRule | None = None
    goes_on: bool = Field(default=False, alias="continue")
    outcome: Outcome = Outcome.OPEN
    reason: str = ""
    severity: Severity | None = None
    severity_map: dict[AlertSeverity, Severity] = Field(default_factory=dict)
    service: str | None = None
    runbook: str | None = None
    roles: dict[Role, str] = Field(default_factory=dict)
    channel: str = ""
    private: bool = False
    fires: bool = False

    _known_fields = field_validator("match", "unless")(_known_fields)
    _patterns_only = field_validator("match", "unless")(_patterns_only)

    @field_validator("roles")
    @classmethod
    def _people_by_id(cls, roles: dict[Role, str]) -> dict[Role, str]:
        names = [one for one in roles.values() if not re.fullmatch(r"[UW][A-Z0-9]{2,20}", one)]
        if names:
            raise ValueError(f"name people by their Slack user id, such as U0ANA0001, not {names[0]!r}")
        return roles

    @field_validator("channel")
    @classmethod
    def _can_be_a_name(cls, channel: str) -> str:
        if re.search(r"[{}]", re.sub("|".join(rf"\{{{one}\}}" for one in CHANNEL_WORDS), "", channel)):
            raise ValueError(f"may hold {', '.join(f'{{{one}}}' for one in CHANNEL_WORDS)} and words")
        if channel and "{number}" not in channel:
            raise ValueError("needs {number} in it: no two channels may have one name")
        return channel

    @model_validator(mode="after")
    def _goes_on_or_takes(self) -> "RouteRule":
        if self.goes_on and self.model_fields_set & {"outcome", "reason"}:
            raise ValueError("a route that says `continue` takes nothing: its outcome is that of the route that does")
        if self.unless == {}:
            raise ValueError("an empty `unless` leaves everything out; say what is to be left out, or take it away")
        return self

    @model_validator(mode="after")
    def _fires_for_something(self) -> "RouteRule":
        if self.fires and self.outcome in (Outcome.RECORD, Outcome.DROP):
            raise ValueError("`fires` is for a route that opens or announces: of what another takes nobody hears, firing or not")
        return self

    @model_validator(mode="after")
    def _drops_for_a_reason(self) -> "RouteRule":
        if (self.outcome is Outcome.DROP) != bool(self.reason):
            raise ValueError("a route that drops needs a `reason`, and no other has one: what is not looked at is counted under it")
        return self

    def built(self, zone: ZoneInfo) -> Route:
        """The route as the matching rules use it."""
        severity = self.severity.value if self.severity else None
        return Route(
            name=self.name,
            match=_matcher(self.match),
            outcome=self.outcome,
            severity=severity,
            service=self.service,
            pager=self.paged_by,
            runbook=self.runbook,
            private=self.private,
            unless=None if self.unless is None else _matcher(self.unless),
            hours=None if self.hours is None else self.hours.built(zone),
            goes_on=self.goes_on,
            reason=self.reason,
            severity_map={one.value: other.value for one, other in self.severity_map.items()},
            roles={role.value: person for role, person in self.roles.items()},
            channel=self.channel,
            group_by=self.group_by,
            across_services=self.across_services,
            fires=self.fires,
        )


class HeartbeatRule(Strict):
    """A dead-man's switch: what fits `match` has to be heard again `within` that time, or it becomes an alert itself.

    One that is to be heard at all says `expect`: else nothing is missed that never came.
    """

    name: str
    match: dict[str, Any] = Field(default_factory=lambda: {"kind": "heartbeat"})
    within: Span
    severity: AlertSeverity = AlertSeverity.HIGH
    service: str | None = None
    expect: bool = False

    _known_fields = field_validator("match")(_known_fields)
    _patterns_only = field_validator("match")(_patterns_only)

    @field_validator("within")
    @classmethod
    def _takes_time(cls, within: timedelta) -> timedelta:
        if within < timedelta(seconds=30):
            raise ValueError("write at least 30s: what is heard now and then is not heard at once")
        return within

    @cached_property
    def matcher(self) -> Matcher:
        """As the matching rules use it."""
        return _matcher(self.match)


class MaintenanceRule(Strict):
    """When alerts that fit `match`, and not `unless`, are quiet: once, `from` a day and an hour `until` another; or on `days` of
    each week, `from` an hour `to` another, over midnight where that is the earlier one. By the clock in `zone`, or the team's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(min_length=1, max_length=100)
    match: dict[str, Any]
    unless: dict[str, Any] | None = None
    reason: str = Field(min_length=1)
    zone: str | None = None
    days: Words = DAYS
    start: datetime | time = Field(default=time(0), alias="from")
    end: time = Field(default=time(0), alias="to")
    until: datetime | time | None = None

    _known_fields = field_validator("match", "unless")(_known_fields)
    _patterns_only = field_validator("match", "unless")(_patterns_only)
    _known_days = field_validator("days")(_whole_days)
    _known_zone = field_validator("zone")(_known_zone)
    _two_digits = field_validator("end", mode="before")(_two_digits)

    @field_validator("match")
    @classmethod
    def _names_something(cls, match: dict[str, Any]) -> dict[str, Any]:
        if not match or not any(value != {} for value in match.values()):
            raise ValueError("an empty match would keep every alert quiet; name what is worked on, such as a service")
        return match

    @field_validator("unless")
    @classmethod
    def _leaves_something(cls, unless: dict[str, Any] | None) -> dict[str, Any] | None:
        if unless is not None and not any(value != {} for value in unless.values()):
            raise ValueError("an empty `unless` leaves everything out; say what is not to be quiet, or take it away")
        return unless

    @field_validator("start", "until", mode="before")
    @classmethod
    def _by_the_clock(cls, at: object) -> object:
        if at is None or isinstance(at, datetime | time):
            return at
        try:
            if not isinstance(at, str):
                raise ValueError
            found = time.fromisoformat(str(_two_digits(at))) if len(at) <= len("22:00") else datetime.fromisoformat(at)
        except ValueError:
            raise ValueError(f"expected an hour like 22:00, or a day and an hour like 2026-06-13 22:00, not {at!r}") from None
        if found.tzinfo is not None:
            raise ValueError("is by the clock on the wall: leave its offset out, and name the `zone`")
        return found

    @model_validator(mode="after")
    def _once_or_each_week(self) -> "MaintenanceRule":
        given = self.model_fields_set
        if self.until is not None:
            if not isinstance(self.start, datetime) or not isinstance(self.until, datetime):
                raise ValueError("one that has an `until` happens once: it and `from` need a day, like 2026-06-13 22:00")
            if given & {"days", "end"}:
                raise ValueError("one that has an `until` happens once: `days` and `to` are for each week")
            if self.until <= self.start:
                raise ValueError("`until` is not after `from`")
        elif isinstance(self.start, datetime):
            raise ValueError("one that is from a day needs an `until`, like 2026-06-14 02:00")
        elif not given & {"days", "start", "end"}:
            raise ValueError("say when: `from` and `until` a day and an hour, or `days`, `from` and `to` of each week")
        else:
            _not_all_day(self.start, self.end)
        return self

    def built(self, team: ZoneInfo) -> Window:
        """As the matching rules use it."""
        zone = ZoneInfo(self.zone) if self.zone else team
        when: Hours | Once
        if isinstance(self.start, datetime):
            assert isinstance(self.until, datetime)
            when = Once.by_the_clock(self.start, self.until, zone)
        else:
            when = Hours(zone, frozenset(DAYS.index(one) for one in self.days), self.start, self.end)
        return Window(self.name, _matcher(self.match), self.reason, when, None if self.unless is None else _matcher(self.unless))


class GroupingRule(Groups):
    """Alerts of one service, and those with the same values of the `group_by` labels, share an incident within `window`.

    Alerts of what depends on a service are related to its incident for `related_for` after the newest alert of that.
    An alert that is only announced is announced again where it is reported `announce_again` later; with 0 never.
    """

    window: Span = timedelta(minutes=10)
    related_for: Span = timedelta(hours=1)
    announce_again: Span = timedelta(hours=24)

    @field_validator("announce_again")
    @classmethod
    def _neither_floods_nor_forgets(cls, after: timedelta) -> timedelta:
        if after and not timedelta(minutes=10) <= after <= timedelta(days=90):
            raise ValueError("write 0, or from 10m to 90d")
        return after


class StormRule(Strict):
    """One source opens `most` incidents `within` a time, and all sources `in_all`, and `in_a_minute` of it; what else one sends
    then goes to one more incident, of its own or of those that storm at once, which pages everybody once whom its alerts page.

    Four short of twenty channels: a SEV1 is gathered by one that is a SEV1, and what is private apart from what is not.
    What routes only announce is announced `announced` times for one source, and then recorded and counted.
    """

    most: int = Field(default=16, ge=1, le=1000)
    in_all: int = Field(default=60, ge=1, le=10_000)
    in_a_minute: int = Field(default=16, ge=1, le=1000)
    announced: int = Field(default=30, ge=1, le=1000)
    within: Span = Field(default=timedelta(hours=1), ge=timedelta(minutes=1), le=timedelta(days=1))


def _known_places(mapping: dict[str, str]) -> dict[str, str]:
    known = ("alerts", *generic.NAMES)
    for name, path in mapping.items():
        if name not in known:
            near = get_close_matches(name.lower(), known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"an alert has no field {name!r} to map; {meant}")
        if not path.strip():
            raise ValueError(f"{name}: write where it stands in the body, like job.name, or a word with = before it")
    for one in map(str.strip, mapping.get("kind", "").split("||")):
        if one.startswith(generic.WORD) and kind_of_change(one.removeprefix(generic.WORD)) is None:
            raise ValueError(f"kind: {one.removeprefix(generic.WORD)!r} is no kind of change; it is one of {', '.join(ChangeKind)}")
    return mapping


PAGER_SOURCE = "pagerduty"
"""Tells who acknowledged: it is limited only where the policy names it."""


def _known_source(name: str) -> str:
    if name not in source_names():
        near = get_close_matches(name, source_names(), n=1)
        raise ValueError(f"no source is called {name!r}; {f'did you mean {near[0]}?' if near else '`bot sources` lists them'}")
    return name


def _endpoint(name: str) -> str:
    source, slash, route = name.rpartition("/")
    if not route:
        raise ValueError(f"write ROUTE or SOURCE/ROUTE, as in HOOK_SECRETS, not {name!r}")
    if slash:
        _known_source(source)
    return name


Limit = Annotated[Rate | None, BeforeValidator(rate)]


class LimitsRule(Strict):
    """How many deliveries are taken: of a source, and of a route of /hooks/SOURCE/ROUTE, each with a budget of its own.

    `per_source` and `per_route` hold for those that are not named. `unverified` is for one address that proves nothing.
    """

    per_source: Limit = None
    per_route: Limit = None
    sources: dict[Annotated[str, AfterValidator(_known_source)], Limit] = Field(default_factory=dict)
    routes: dict[Annotated[str, AfterValidator(_endpoint)], Limit] = Field(default_factory=dict)
    unverified: Limit = None

    def of_source(self, source: str) -> Rate | None:
        """How much of a source is taken in all; None: as much as it sends."""
        if source in self.sources:
            return self.sources[source]
        return None if source == PAGER_SOURCE else self.per_source

    def of_route(self, source: str, route: str) -> Rate | None:
        """How much is taken through one endpoint."""
        exact = f"{source}/{route}"
        if exact in self.routes:
            return self.routes[exact]
        return None if source == PAGER_SOURCE else self.routes.get(route, self.per_route)

    @cached_property
    def is_empty(self) -> bool:
        """Whether there is no limit for anything that is verified."""
        return not (self.per_source or self.per_route or any(self.sources.values()) or any(self.routes.values()))


class ResolveRule(Strict):
    """After every alert has been clear for `hold`: propose to resolve, or (`automatic`) resolve."""

    automatic: bool = False
    hold: Span = timedelta(minutes=5)


class FlappingRule(Strict):
    """An alert that fires so often `within` a time flaps, until it has not fired for as long. `fires: 0` switches it off."""

    fires: int = Field(default=3, ge=0, le=20)
    within: Span = timedelta(minutes=60)

    @field_validator("fires")
    @classmethod
    def _again(cls, fires: int) -> int:
        if fires == 1:
            raise ValueError("one fire is no flapping: write at least 2, or 0 to switch it off")
        return fires

    @field_validator("within")
    @classmethod
    def _takes_time(cls, within: timedelta) -> timedelta:
        if within < timedelta(minutes=1):
            raise ValueError("write at least 1m")
        return within


class PagingRule(Strict):
    """`highest_level` is the last level to page; after `fallback_after` failed tries people are called in Slack."""

    highest_level: int = Field(default=3, ge=1, le=20)
    fallback_after: int = Field(default=3, ge=1)


class ReopenRule(Strict):
    """What was resolved is opened again `within` this time, by a person or an alert; later a new incident names it."""

    within: Span = timedelta(hours=24)


def default_severities() -> dict[Severity, SeverityRule]:
    """What SEV1 to SEV5 mean where the policy does not say."""
    minutes = timedelta(minutes=1)
    return {
        Severity.SEV1: SeverityRule(
            means="Critical: many customers, or data exposed",
            pages=True,
            update_every=15 * minutes,
            postmortem="required",
        ),
        Severity.SEV2: SeverityRule(
            means="A core function is broken for many",
            pages=True,
            update_every=30 * minutes,
            postmortem="required",
        ),
        Severity.SEV3: SeverityRule(means="Partial, or likely to grow", pages=True, update_every=60 * minutes, template="short"),
        Severity.SEV4: SeverityRule(means="Minor, no customer effect", pages=False, template="short"),
        Severity.SEV5: SeverityRule(means="Cosmetic: a ticket", pages=False, postmortem="none", template="short"),
    }


DEFAULT_MAP = {
    AlertSeverity.CRITICAL: Severity.SEV1,
    AlertSeverity.HIGH: Severity.SEV2,
    AlertSeverity.MEDIUM: Severity.SEV3,
    AlertSeverity.LOW: Severity.SEV4,
    AlertSeverity.INFO: Severity.SEV5,
    AlertSeverity.UNKNOWN: Severity.SEV3,
}
"""An alert nobody graded may be anything: SEV3 pages, so that it is not slept through."""


def _mistake(problem: str, *loc: str | int) -> InitErrorDetails:
    """What is wrong with a policy as a whole, at its place in the file."""
    return InitErrorDetails(type=PydanticCustomError("policy", "{problem}", {"problem": problem}), loc=loc, input=None)


class Policy(Strict):
    """Everything the team decides. `Policy()` is what holds where there is no file."""

    team: Team = Team()
    channels: Channels = Channels()
    digest: DigestTime = DigestTime()
    severities: dict[Severity, SeverityRule] = Field(default_factory=default_severities)
    severity_map: dict[AlertSeverity, Severity] = Field(default_factory=lambda: dict(DEFAULT_MAP))
    services: dict[str, Service] = Field(default_factory=dict)
    routes: tuple[RouteRule, ...] = ()
    heartbeats: tuple[HeartbeatRule, ...] = ()
    maintenance: tuple[MaintenanceRule, ...] = ()
    grouping: GroupingRule = GroupingRule()
    storm: StormRule = StormRule()
    limits: LimitsRule = LimitsRule()
    resolve: ResolveRule = ResolveRule()
    flapping: FlappingRule = FlappingRule()
    paging: PagingRule = PagingRule()
    reopen: ReopenRule = ReopenRule()
    generic: dict[str, Annotated[dict[str, str], AfterValidator(_known_places)]] = Field(default_factory=dict)
    """For each route of the generic source: normalised field -> where it stands in the body, or `=word`."""
    traces: str = ""
    """Where the tracer shows a trace, with {trace_id} in it."""

    @field_validator("traces")
    @classmethod
    def _leads_to_a_trace(cls, address: str) -> str:
        if address and (PLACE not in address or web_url(address.replace(PLACE, "0")) is None):
            raise ValueError(f"write the tracer's address with {PLACE} in it, like https://jaeger.example.com/trace/{PLACE}")
        return address

    @field_validator("severities")
    @classmethod
    def _all_five(cls, given: dict[Severity, SeverityRule]) -> dict[Severity, SeverityRule]:
        return {**default_severities(), **given}

    @field_validator("severity_map")
    @classmethod
    def _all_six(cls, given: dict[AlertSeverity, Severity]) -> dict[AlertSeverity, Severity]:
        return {**DEFAULT_MAP, **given}

    @model_validator(mode="after")
    def _aliases_are_unique(self) -> "Policy":
        seen: dict[str, str] = {}
        for name, service in self.services.items():
            for alias in (name, *service.aliases):
                if seen.setdefault(alias.lower(), name) != name:
                    raise ValueError(f"services {seen[alias.lower()]} and {name} are both called {alias}")
        return self

    @field_validator("maintenance")
    @classmethod
    def _counted_by_name(cls, windows: tuple[MaintenanceRule, ...]) -> tuple[MaintenanceRule, ...]:
        names = [one.name for one in windows]
        twice = next((one for one in names if names.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"two are called “{twice}”: what each keeps quiet is counted under its name")
        return windows

    @model_validator(mode="after")
    def _depends_on_what_there_is(self) -> "Policy":
        aliases = self._aliases
        wrong: list[InitErrorDetails] = []
        for name, service in self.services.items():
            for place, one in enumerate(service.depends_on):
                if problem := self._wrong_with(name, one, aliases):
                    wrong.append(_mistake(problem, "services", name, "depends_on", place))
        if wrong:
            raise ValidationError.from_exception_data("Policy", wrong)
        return self

    @model_validator(mode="after")
    def _names_what_there_is(self) -> "Policy":
        wrong: list[InitErrorDetails] = []
        named = [("routes", place, one.service) for place, one in enumerate(self.routes)]
        named += [("heartbeats", place, one.service) for place, one in enumerate(self.heartbeats)]
        for part, place, service in named:
            if service is not None and (problem := wrong_service(service, self._aliases)):
                wrong.append(_mistake(problem, part, place, "service"))
        zone = self.team.zoneinfo
        for place, key, problem in wrong_routes([one.built(zone) for one in self.routes]):
            wrong.append(_mistake(problem, "routes", place, *filter(None, [key])))
        if wrong:
            raise ValidationError.from_exception_data("Policy", wrong)
        return self

    def doubts(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """What may not be meant as it is written, and is taken so all the same: where, and what of it."""
        for place, problem in shadowed_routes([one.built(self.team.zoneinfo) for one in self.routes], self._aliases):
            yield ("routes", place), problem
        matches = [(("routes", place, part), match) for place, one in enumerate(self.routes)
                   for part, match in (("match", one.match), ("unless", one.unless))]  # fmt: skip
        matches += [(("heartbeats", place, "match"), one.match) for place, one in enumerate(self.heartbeats)]
        matches += [(("maintenance", place, part), match) for place, one in enumerate(self.maintenance)
                    for part, match in (("match", one.match), ("unless", one.unless))]  # fmt: skip
        for loc, match in matches:
            found = _matcher(match or {})
            if loc[-1] == "match" and (problem := never_routed(found, PAGER_SOURCE)):
                yield loc, problem
            if problem := misspelt_service(found, self._aliases):
                yield (*loc, "service"), problem
            for of, patterns in (((), found.fields), (("labels",), found.labels), (("annotations",), found.annotations)):
                for name, words in patterns.items():
                    yield from (((*loc, *of, name), doubt) for doubt in map(doubt_about, words) if doubt)

    def _wrong_with(self, name: str, needs: str, aliases: Mapping[str, str]) -> str:
        """Why a service cannot depend on another; empty where it can."""
        found = aliases.get(needs.lower())
        if found is None:
            near = get_close_matches(needs.lower(), aliases, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(self.services))}"
            return f"no service is called {needs!r}; {meant}"
        way = self._way_to(found, name, aliases)
        return f"a service cannot depend on itself: {' → '.join((name, *way))}; leave out one of these" if way else ""

    def _way_to(self, start: str, end: str, aliases: Mapping[str, str]) -> tuple[str, ...]:
        """The shortest way along `depends_on`, with both ends; empty where there is none."""
        return next((way for way in self._ways(start, aliases, len(self.services)) if way[-1] == end), ())

    def _ways(self, start: str, aliases: Mapping[str, str], most: int) -> Iterator[tuple[str, ...]]:
        """The shortest way from a service to itself and to each that it depends on, nearest first, of at most `most` steps."""
        seen = set[str]()
        ways: list[tuple[str, ...]] = [(start,)]
        for _ in range(most + 1):
            new = {way[-1]: way for way in reversed(ways) if way[-1] not in seen}
            seen |= set(new)
            ways = list(reversed(new.values()))
            yield from ways
            ways = [(*way, aliases.get(one.lower(), one)) for way in ways for one in self.service(way[-1]).depends_on]

    def rule(self, severity: Severity) -> SeverityRule:
        """What `severity` asks for."""
        return self.severities[severity]

    def service(self, name: str | None) -> Service:
        """The catalogue's entry; the defaults for a service it does not know."""
        return self.services.get(name or "", Service())

    def aliases(self) -> Mapping[str, str]:
        """Every lower-case name of a service -> its own name."""
        return self._aliases

    def built_routes(self) -> tuple[Route, ...]:
        """The routes in order, closed by one that takes everything: announced, never dropped in silence."""
        return self._routes

    def windows(self) -> tuple[Window, ...]:
        """The maintenance windows."""
        return self._windows

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "Policy":
        """Another policy; nothing that was worked out from this one goes with it."""
        made = super().model_copy(update=update, deep=deep)
        for name, value in vars(Policy).items():
            if isinstance(value, cached_property):
                made.__dict__.pop(name, None)
        return made

    # Asked for with every alert, and always the same.

    @cached_property
    def _windows(self) -> tuple[Window, ...]:
        return tuple(one.built(self.team.zoneinfo) for one in self.maintenance)

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        return {alias.lower(): name for name, one in self.services.items() for alias in (name, *one.aliases)}

    @cached_property
    def _routes(self) -> tuple[Route, ...]:
        rest = Route(name="anything else", match=Matcher(), outcome=Outcome.ANNOUNCE)
        return (*(one.built(self.team.zoneinfo) for one in self.routes), rest)

    @cached_property
    def _grouping(self) -> Grouping:
        ways = {name: tuple(self._ways(name, self._aliases, MOST_STEPS))[1:] for name in self.services}
        return Grouping(
            window=self.grouping.window,
            reopens_within=self.reopen.within,
            related_for=self.grouping.related_for,
            announce_again=self.grouping.announce_again,
            group_by=self.grouping.group_by,
            across_services=self.grouping.across_services,
            upstreams={name: some for name, some in ways.items() if some},
            severities={one.value: other.value for one, other in self.severity_map.items()},
        )

    def grouping_rule(self) -> Grouping:
        """What makes alerts share an incident."""
        return self._grouping

    def heartbeat_for(self, alert: Alert, endpoint: str) -> HeartbeatRule | None:
        """The dead-man's switch that an alert holds open; None where it holds none."""
        return next((one for one in self.heartbeats if not one.matcher.misfit(alert, endpoint)), None)

    def flapping_rule(self) -> Flapping:
        """When an alert flaps."""
        return Flapping(self.flapping.fires, self.flapping.within)

    def flood(self) -> Flood:
        """How many incidents one source may open, and all of them, and how many alerts it may announce."""
        storm = self.storm
        in_all, in_a_minute = max(storm.most, storm.in_all), max(storm.most, storm.in_a_minute)
        that_gather = THAT_GATHER * (2 if any(one.private for one in self.routes) else 1)
        return Flood(storm.most, storm.within, in_all, in_a_minute, that_gather, storm.announced)

    def as_taken(self, alert: Alert, endpoint: str, now: datetime) -> Alert:
        """The alert as its route takes it: information as firing, where that says so."""
        return as_taken(alert, endpoint, self.built_routes(), now, self._aliases)

    def urgency(self, alert: Alert, endpoint: str, now: datetime) -> int:
        """1 for what opens a SEV1, to 5; 6 for what opens nothing."""
        alert = self.as_taken(alert, endpoint, now)
        if alert.status is not AlertStatus.FIRING:
            return NOT_URGENT
        route = choose_route(alert, endpoint, self.built_routes(), now, self._aliases)[0]
        return self.severity_for(route, alert.severity).rank if route.outcome is Outcome.OPEN else NOT_URGENT

    def severity_for(self, route: Route, alert_severity: AlertSeverity) -> Severity:
        """The route's own severity, or its own map's, or the map's for what the sender says."""
        return Severity(severity_of(route, alert_severity, self._grouping.severities))


@lru_cache(maxsize=4)
def read(text: str, file: str = "policy.yaml") -> Policy:
    """Read a policy. Raises `Broken` with file, line and what to write instead; only its first problem.

    The same text is the same policy, which nobody can change: whoever comes again has what was read (measured: 140 ms, most
    of what it takes to set up a bot in a process that runs).
    """
    return read_as(Policy, text, file)


def read_as(model: type[Model], text: str, file: str) -> Model:
    """Read a file of the team's as a policy, or as something beside it. Raises `Broken`, as `read` does."""
    made, problems = _made(model, text, file)
    if made is None:
        raise problems[0]
    return made


def problems_in(text: str, file: str = "policy.yaml", model: type[BaseModel] = Policy) -> Sequence[Broken]:
    """Every problem of a policy, each with its line."""
    return _made(model, text, file)[1]


def runbooks_missing(policy: Policy, text: str, paths: Collection[str], file: str = "policy.yaml") -> Iterator[Broken]:
    """The runbooks that a policy names and that are not at one of these paths of the folder, each with its line."""
    node, content = _composed(text)
    named: list[tuple[tuple[str | int, ...], str | None]] = []
    named += [(("services", name, "runbook"), one.runbook) for name, one in policy.services.items()]
    named += [(("routes", place, "runbook"), one.runbook) for place, one in enumerate(policy.routes)]
    for loc, name in named:
        if name and not name.startswith(ELSEWHERE) and not any(is_called(path, name) for path in paths):
            near = get_close_matches(name.removeprefix("runbooks/"), paths, n=1)
            meant = f"did you mean {near[0]}?" if near else "write the name of its file, or an address"
            yield Broken(file, _line(node, loc), f"{_where(loc, content)}: there is no runbook {name!r}; {meant}")


def doubts_in(policy: Policy, text: str, file: str = "policy.yaml") -> Iterator[Broken]:
    """What a policy may not mean as it is written, each with its line: a route that no alert gets to, a match for what is never
    routed, a service with a letter wrong, a glob that looks like an expression. None of it keeps a bot from starting: what is
    right looks the same, or does no harm.
    """
    doubts = list(policy.doubts())
    # Where there is none, no line is asked for: to find them takes as long as to read the policy.
    node, content = _composed(text) if doubts else (None, None)
    for loc, doubt in doubts:
        yield Broken(file, _line(node, loc), f"{_where(loc, content)}: {doubt}")


def _made(model: type[Model], text: str, file: str) -> tuple[Model | None, Sequence[Broken]]:
    """What is written there, or what is wrong with it."""
    try:
        node, content = _composed(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [Broken(file, line, f"not YAML: the character #x{ord(text[error.position]):04x} may not stand in it")]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        return None, [Broken(file, mark.line + 1 if mark else None, f"not YAML: {problem}")]
    except RecursionError:
        return None, [Broken(file, None, "not YAML: nested too deep")]
    problems = list(_twice(node, file, set()))
    if content is not None and not isinstance(content, dict):
        known = "team, channels, severities, services, routes …" if model is Policy else ", ".join(model.model_fields)
        return None, [*problems, Broken(file, 1, f"expected a map of {known}")]
    try:
        made = model.model_validate(content or {})
    except ValidationError as error:
        return None, [*problems, *(Broken(file, _line(node, one["loc"]), _problem(one, model, content)) for one in error.errors())]
    return (None if problems else made), problems


def _composed(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes, which know their lines, and what they mean."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        # What it means as a copy: building it writes merged maps into the nodes.
        return node, yaml.load(text, Loader=_Loader) if "<<" in text else node and loader.construct_document(node)
    finally:
        loader.dispose()


def _problem(error: Any, model: type[BaseModel], content: Any) -> str:
    where = _where(error["loc"], content)
    if error["type"] == "extra_forbidden":
        return f"{where}: this key is unknown here; {_suggestion(error['loc'], model)}"
    said = _expected(error, model)
    message = f"expected {said}, not {_given(error['input'])}" if said else _in_our_words(error)
    return f"{where}: {message}" if where else message


def _expected(error: Any, model: type[BaseModel]) -> str:
    """What has to stand there, where something of another kind does; empty where it is not that."""
    match error["type"]:
        case "enum" | "literal_error":
            return str(error["ctx"]["expected"]).replace("'", "")
        case "model_type":
            return f"a map of {', '.join(_known(error['loc'], model))}"
        case "dict_type":
            return "a map, with `name: value` on each line"
        case "tuple_type":
            return "a list, with `- ` before each"
        case "string_type":
            return "text in quotes" if isinstance(error["input"], int | float) else "text"
        case "bool_parsing" | "bool_type":
            return "true or false"
        case "datetime_type" | "datetime_parsing" | "datetime_from_date_parsing":
            return "a day and an hour, like 2026-06-13T03:00:00+01:00"
        case "time_type" | "time_parsing":
            return "an hour like 09:00"
        case kind:
            return "a whole number" if kind.startswith("int_") else ""


def _in_our_words(error: Any) -> str:
    match error["type"]:
        case "missing":
            return "this key is missing; it has no default"
        case "greater_than_equal":
            return f"write at least {_number(error['ctx']['ge'])}"
        case "less_than_equal":
            return f"write at most {_number(error['ctx']['le'])}"
        case "string_too_short":
            return "may not be empty"
        case "string_too_long":
            return f"write at most {error['ctx']['max_length']} characters"
        case "string_pattern_mismatch":
            return f"has to fit the expression {error['ctx']['pattern']}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _given(value: Any) -> str:
    """What stands there instead. Of lists and maps only that: one may hold itself."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a map"
        case list():
            return "a list"
        case _:
            return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]} …"


def _number(limit: Any) -> str:
    return f"{limit // timedelta(minutes=1)}m" if isinstance(limit, timedelta) else str(limit)


def _where(loc: tuple[int | str, ...], content: Any) -> str:
    """Where in the file that is: a route by its name, where it has one."""
    parts = [str(part) for part in loc if part != "[key]"]
    if len(loc) > 1 and loc[0] in CALLED and isinstance(loc[1], int):
        # A set of YAML's is counted, too, and has no first.
        entry = content[loc[0]][loc[1]] if isinstance(content[loc[0]], list) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name.strip():
            called = f"{CALLED[str(loc[0])]} “{' '.join(name.split())[:100]}”"
            return f"{called}: {'.'.join(parts[2:])}" if parts[2:] else called
    return ".".join(parts)


def _suggestion(path: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What may have been meant by the last key of `path`."""
    known = sorted(_known(path[:-1], model))
    close = get_close_matches(str(path[-1]).lower(), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _known(path: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys that there may be at a place, those first that have to be."""
    kind: Any = model
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {one.alias or name: one for name, one in kind.model_fields.items()}
            kind = fields[str(part)].annotation
        else:
            kind = [one for one in get_args(kind) if one is not Ellipsis][-1]
        # One that may be left out.
        kind = next((one for one in get_args(kind) if one is not NoneType), kind) if NoneType in get_args(kind) else kind
    given = sorted(kind.model_fields.items(), key=lambda pair: not pair[1].is_required())
    return [one.alias or name for name, one in given]


def _twice(node: yaml.Node | None, file: str, seen: set[int]) -> Iterator[Broken]:
    """Keys that stand twice in one map: YAML takes the last in silence. `seen` is for files that contain themselves."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    first: dict[str, int] = {}
    for child in node.value:
        key, value = child if isinstance(child, tuple) else (None, child)
        if key is not None:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                yield Broken(file, line, f"{name}: stands here twice, first on line {first[name]}")
            first.setdefault(name, line)
        yield from _twice(value, file, seen)


def _line(node: yaml.Node | None, path: tuple[int | str, ...]) -> int | None:
    """The line of the deepest part of `path` that is in the file."""
    line = None
    for part in path:
        if node is None:
            break
        found = _child(node, part)
        if found is None:
            return line or node.start_mark.line + 1
        line, node = found
    return line


def _child(node: yaml.Node, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(key.value) == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


def _patterns(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
