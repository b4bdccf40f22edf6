"""An incident as it stands: values only, replaced and never changed in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from bot.alerts.flapping import STEADY, Flaps

HELD = 100
"""So many alerts are held in an incident's own value. It is read and written whole with every change: of thousands, most
of the time would go into that."""


class Severity(StrEnum):
    """SEV1 is the worst. Unsure means the higher one."""

    SEV1 = "SEV1"
    SEV2 = "SEV2"
    SEV3 = "SEV3"
    SEV4 = "SEV4"
    SEV5 = "SEV5"

    @property
    def rank(self) -> int:
        """1 for the worst, 5 for the least."""
        return int(self.value[-1])


BOT = "bot"
"""Who did what nobody did."""


class Status(StrEnum):
    """Where an incident stands. `lifecycle.py` says which may follow which."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    CLOSED = "closed"
    MERGED = "merged"
    CANCELLED = "cancelled"


class Role(StrEnum):
    """Who does what. All but EXPERT have one holder at a time."""

    COMMANDER = "commander"
    DEPUTY = "deputy"
    SCRIBE = "scribe"
    COMMUNICATIONS = "communications"
    EXPERT = "expert"


class PageState(StrEnum):
    """What is known about a page. Only ACCEPTED may be shown as "paged".

    DROPPED: it was over, somebody was on it, or a person dropped it by hand, before PagerDuty was known to have it; nobody is
    woken for it any more.
    """

    NOT_NEEDED = "not_needed"
    REQUESTED = "requested"
    DELAYED = "delayed"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody said that they are on it. `via` is where: slack, pagerduty, merge."""

    at: datetime
    by: str
    via: str


@dataclass(frozen=True, slots=True)
class OtherPage:
    """A page beside the incident's own: of a service that was asked to help, or of those whose alerts a storm gathers.

    `name` is whose on-call it asks for, a service or a key; `dedup_key` is what PagerDuty knows it by.
    """

    name: str
    pager: str
    dedup_key: str
    accepted_at: datetime | None = None
    """When PagerDuty took it; None while it has not."""
    refused: str = ""
    """Why it wakes nobody; empty where it is not known to."""
    refused_at: datetime | None = None
    late: str = ""
    """Why PagerDuty had not taken it when it was said so; empty where nothing was said, or it has by now."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    ended_at: datetime | None = None
    """When somebody resolved it in PagerDuty: whoever is asked again is woken by another page."""

    @property
    def who(self) -> str:
        """Whom it is to wake, in words."""
        return f"the on-call of {self.name}"

    @property
    def is_live(self) -> bool:
        """Whether it rings, or somebody is on it, or it is still to be taken."""
        return not self.refused and self.ended_at is None


@dataclass(frozen=True, slots=True)
class Episode:
    """One run of the acknowledgement clock: from an opening or re-opening to its end.

    `target` is the time a person has to acknowledge, measured from `opened_at`; None where nobody is paged.
    `dedup_key` is what PagerDuty knows this page by; it is never used again after the episode.
    `level` is the highest escalation level that PagerDuty confirmed; `asked_level` the highest we asked for.
    """

    number: int
    opened_at: datetime
    dedup_key: str
    target: timedelta | None = None
    page: PageState = PageState.NOT_NEEDED
    page_reason: str = ""
    accepted_at: datetime | None = None
    unseen: int = 0
    """How often PagerDuty had taken the page and showed no incident for it."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    acknowledged_via: str | None = None
    rings_since: datetime | None = None
    """When PagerDuty took the acknowledgement back; None while somebody is on it."""
    taken_up_at: datetime | None = None
    taken_up_by: str | None = None
    """Who acknowledged it again after that, and when. The first acknowledgement stays what it was."""
    later_acks: tuple[Ack, ...] = ()
    """Every acknowledgement after the first, in the order in which they happened."""
    taken_back_at: datetime | None = None
    """When PagerDuty last took one back: news of it may come before the news of what it took back."""
    breached_at: datetime | None = None
    level: int = 1
    asked_level: int = 1
    assignees: tuple[str, ...] = ()
    """Who PagerDuty says it is assigned to now, as people (see `Entry.by`)."""
    notified: tuple[str, ...] = ()
    """Who PagerDuty says it has notified, in order, as people."""
    ended_at: datetime | None = None
    symptom: str = ""
    """The title of the alert that opened the incident again; empty where it is what the incident is called by."""
    others: tuple[OtherPage, ...] = ()
    """The pages of others that were asked for beside its own, in that order: each once, and over with it."""

    @property
    def pages(self) -> bool:
        """Whether this episode asks PagerDuty to wake somebody."""
        return self.page is not PageState.NOT_NEEDED

    @property
    def deadline(self) -> datetime | None:
        """When the acknowledgement target passes; None where nobody is paged."""
        return None if self.target is None else self.opened_at + self.target

    @property
    def is_ringing_again(self) -> bool:
        """Acknowledged once, taken back by PagerDuty since, and not over."""
        return self.rings_since is not None and self.ended_at is None

    @property
    def holder(self) -> str | None:
        """Who is on it now, as far as anybody said; None where nobody is."""
        return None if self.is_ringing_again else self.taken_up_by or self.acknowledged_by

    @property
    def is_waiting(self) -> bool:
        """Paged, or to be paged, and neither acknowledged nor over."""
        return self.pages and self.acknowledged_at is None and self.ended_at is None


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert of an incident: the newest report of it and how often it came."""

    fingerprint: str
    name: str
    title: str
    is_firing: bool
    source: str
    started_at: datetime
    changed_at: datetime
    fires: int = 1
    url: str | None = None
    severity: Severity | None = None
    """The worst that its route made of it while it fires; None where it opens nothing by itself, or nobody kept it."""
    filled_in: tuple[str, ...] = ()
    """What its sender left out or garbled and we filled in: `started_at`, `status`, `title` …; shown as such."""
    trace: str | None = None
    """Where the trace is shown that it names."""
    flaps: Flaps = STEADY
    """When it fired lately, and since when it flaps."""
    service: str | None = None
    why: str = ""
    """In few words, why it joined; empty where it opened the incident, or nobody kept it."""
    is_related: bool = False
    """Something else explains it: it is counted and listed apart, and makes nothing worse."""
    pager: str | None = None
    """Whom it pages where it is on its own: by its route, else by its service. None where nobody kept it."""
    unlisted: int = 0
    """How many alerts of its group its sender left out beside it, in its newest report."""
    told_at: datetime | None = None
    """When its sender last said that it fires, by the sender's clock; kept where that does not say since when."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A Slack channel by its id; the name is what it was called when we opened it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Post:
    """A Slack message of ours, for updating it."""

    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class Update:
    """The newest status update: what was said, by whom, and when the next one is promised."""

    at: datetime
    by: str
    text: str
    next_by: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident. `version` counts its saved changes; the record compares and swaps on it."""

    number: int
    title: str
    severity: Severity
    status: Status
    opened_at: datetime
    opened_by: str
    service: str | None = None
    route: str | None = None
    pager: str | None = None
    """The name of the PagerDuty key in the policy that its pages go through."""
    pager_id: str | None = None
    pager_url: str | None = None
    """Where PagerDuty shows the newest page of this incident, once it told us."""
    escalation_policy: str | None = None
    """The id of PagerDuty's escalation policy that its pages go through, once it told us."""
    runbook: str | None = None
    runbook_reason: str = ""
    dashboards: tuple[str, ...] = ()
    private: bool = False
    drill: bool = False
    episodes: tuple[Episode, ...] = ()
    alerts: tuple[AlertState, ...] = ()
    """The first `HELD` alerts. Of any more, their number is here and the rest in their own rows (see `AlertRecord`)."""
    more: int = 0
    more_firing: int = 0
    """How many of those have not cleared."""
    more_related: int = 0
    """How many of those are related, and how many of them have not cleared."""
    more_related_firing: int = 0
    last_alert_at: datetime | None = None
    """When one of its own alerts last began or ceased to fire."""
    source: str | None = None
    """The alert source that opened it; None where a person did."""
    channel_form: str = ""
    """How its route has its channel called; empty where as all others."""
    storm: bool = False
    """It gathers what a source sends beyond as many incidents as one source may open."""
    split_from: int | None = None
    """The incident that people took its alert out of. It takes no other in, but what they merge into it."""
    split_off: tuple[str, ...] = ()
    """The fingerprints of alerts that people took out of it: they do not come back by themselves."""
    roles: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    channel: Channel | None = None
    channel_trouble: str = ""
    """Why there is no channel, where there is none and there should be."""
    summary: Post | None = None
    announcement: Post | None = None
    update: Update | None = None
    impact_started_at: datetime | None = None
    impact_source: str = ""
    mitigated_at: datetime | None = None
    cleared_at: datetime | None = None
    """When the last alert cleared; None while one is firing, or where there never was one."""
    flaps_until: datetime | None = None
    """When the last of its alerts that flap will have been calm for long enough, or was; not resolved by itself before."""
    proposed_at: datetime | None = None
    """When resolving was proposed for the current clearing."""
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    closed_at: datetime | None = None
    merged_into: int | None = None
    earlier: int | None = None
    """The incident that its first alert belonged to before, and that was over for too long to be opened again."""
    draft: str | None = None
    """The permalink of the newest post-mortem draft in Slack."""
    version: int = 0

    @property
    def ref(self) -> str:
        """What people call it: INC-7."""
        return f"INC-{self.number}"

    @property
    def is_open(self) -> bool:
        """Whether somebody may still have to do something about its cause."""
        return self.status not in ENDED

    @property
    def episode(self) -> Episode:
        """The newest episode. Every incident has one."""
        return self.episodes[-1]

    @property
    def firing(self) -> tuple[AlertState, ...]:
        """Of the alerts that are held here, those that have not cleared."""
        return tuple(alert for alert in self.alerts if alert.is_firing)

    @property
    def is_clear(self) -> bool:
        """Whether no alert of it fires, held here or not, related or not."""
        return not self.more_firing and not self.firing

    @property
    def is_firing(self) -> bool:
        """Whether an alert of its own fires, held here or not. What is only related does not count."""
        return self.more_firing > self.more_related_firing or any(not one.is_related for one in self.firing)

    @property
    def explains_others(self) -> bool:
        """Whether related alerts fire that are of another service, as far as is known here."""
        theirs = (one.is_related and one.service != self.service for one in self.firing)
        return self.more_related_firing > 0 or any(theirs)

    @property
    def newest_alert_at(self) -> datetime | None:
        """When an alert of it last changed; None where it never had one."""
        return self.last_alert_at or max((one.changed_at for one in self.alerts), default=None)

    @property
    def is_declared(self) -> bool:
        """Whether a person declared it: neither an alert opened it, nor was it taken out of another, nor is it a drill."""
        return self.source is None and self.split_from is None and self.opened_by != BOT and not self.drill

    @property
    def is_declared_alone(self) -> bool:
        """Whether a person declared it, and no alert of its own was ever part of it; others may be related to it."""
        return self.is_declared and self.more == self.more_related and all(one.is_related for one in self.alerts)

    @property
    def is_going_on(self) -> bool:
        """Whether an alert of its own fires, or people say that it is there, and no alert of it ever told them."""
        return self.is_firing or (self.is_declared_alone and self.is_open and self.status is not Status.MONITORING)

    @property
    def last_sign_at(self) -> datetime | None:
        """When an alert of its own last changed; of what a person declared, not before that, nor before it was opened again."""
        if not self.is_declared:
            return self.newest_alert_at
        told = None if self.is_declared_alone else self.newest_alert_at
        return max(self.episode.opened_at, told or self.episode.opened_at)

    @property
    def can_lose_one(self) -> bool:
        """Whether an alert may be taken out of it: not the only one that it is there for; what was declared is there without
        any.
        """
        return self.alert_count > (0 if self.is_declared else 1)

    @property
    def alert_count(self) -> int:
        """How many alerts it has had."""
        return len(self.alerts) + self.more

    def with_episode(self, episode: Episode) -> "Incident":
        """The incident with the episode of that number replaced, or added if it is the next one."""
        others = tuple(known for known in self.episodes if known.number != episode.number)
        return replace(self, episodes=tuple(sorted((*others, episode), key=lambda one: one.number)))

    def episode_keyed(self, dedup_key: str) -> Episode | None:
        """The episode whose page PagerDuty knows by `dedup_key`."""
        return next((one for one in self.episodes if one.dedup_key == dedup_key), None)

    def other_keyed(self, dedup_key: str) -> tuple[Episode, OtherPage] | None:
        """The page of others that PagerDuty knows by `dedup_key`, and its episode."""
        return next(((one, page) for one in self.episodes for page in one.others if page.dedup_key == dedup_key), None)


ENDED = frozenset({Status.RESOLVED, Status.CLOSED, Status.MERGED, Status.CANCELLED})


KEY_PARTS = 4
"""Of the dedup key of an incident's own page, between its slashes."""


def number_in(ref: str) -> int | None:
    """7 for "INC-7", "inc7", "#7" or "7"; None for anything else."""
    text = ref.strip().lower().removeprefix("#").removeprefix("inc").removeprefix("-")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) <= 9 else None


def dedup_key(number: int, episode: int, opened_at: datetime) -> str:
    """What PagerDuty knows an episode's page by: never the same for two episodes, nor for two databases."""
    return f"firstfive/INC-{number}/{episode}/{opened_at:%Y%m%dT%H%M%SZ}"


def others_key(page_key: str, name: str, pager: str, again: int = 0) -> str:
    """What PagerDuty knows a page of others by, beside the incident's own: short, whatever they are called."""
    told = sha256(f"{name}\x1f{pager}\x1f{again}".encode(errors="replace")).hexdigest()[:12]
    return f"{page_key}/{told}"


def is_of_others(key: str) -> bool:
    """Whether a dedup key of ours belongs to a page of others."""
    return key.count("/") > KEY_PARTS - 1


def incident_keyed(key: str) -> int | None:
    """The number of the incident that a dedup key of ours belongs to; None for a key that is not ours."""
    parts = key.split("/")
    if len(parts) < KEY_PARTS or parts[0] != "firstfive" or not parts[1].startswith("INC-"):
        return None
    return number_in(parts[1])
