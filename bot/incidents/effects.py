"""Everything that can be asked of the outside. Data only: an edge carries it out.

A stored effect is found again by its class name (`store/codec.py`): renaming one takes a migration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from bot.alerts.quiet import NOTHING_KEPT, Kept


class Lane(StrEnum):
    """Where an effect waits. Each incident has its own of each; a lane waits only for itself."""

    PAGER = "pager"
    CHAT = "chat"
    DOCUMENT = "document"


class Place(StrEnum):
    """Where a message goes. INCIDENT is the incident's channel, or the announcement channel while there is none.

    SERVICE is the channel that the policy names for the incident's service.
    """

    INCIDENT = "incident"
    ANNOUNCE = "announce"
    OPERATIONS = "operations"
    SERVICE = "service"


class Topic(StrEnum):
    """What a message is about; `slack/views/messages.py` has a view for each."""

    ACK_REMINDER = "ack_reminder"
    ACK_BREACHED = "ack_breached"
    ACKNOWLEDGED = "acknowledged"
    ACK_DELAYED = "ack_delayed"
    UNACKNOWLEDGED = "unacknowledged"
    PAGE_DELAYED = "page_delayed"
    PAGE_REFUSED = "page_refused"
    PAGE_NOT_SHOWN = "page_not_shown"
    LEVEL_ASKED = "level_asked"
    LEVEL_DELAYED = "level_delayed"
    LEVEL_NOT_ASKED = "level_not_asked"
    SOMEONE_ASKED = "someone_asked"
    SOMEONE_DELAYED = "someone_delayed"
    SOMEONE_NOT_ASKED = "someone_not_asked"
    ESCALATED = "escalated"
    SEVERITY_CHANGED = "severity_changed"
    STATUS_CHANGED = "status_changed"
    ROLE_ASSIGNED = "role_assigned"
    NOTE_ADDED = "note_added"
    UPDATE_POSTED = "update_posted"
    UPDATE_SOON = "update_soon"
    UPDATE_LATE = "update_late"
    ALERT_JOINED = "alert_joined"
    ALERTS_CLEARED = "alerts_cleared"
    RESOLVE_PROPOSED = "resolve_proposed"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    CANCELLED = "cancelled"
    MERGED = "merged"
    ABSORBED = "absorbed"
    RUNBOOK = "runbook"
    FLAPPING = "flapping"
    ALERT_RELATED = "alert_related"
    ONLY_RELATED = "only_related"
    SPLIT = "split"
    SPLIT_OFF = "split_off"
    UNMERGED = "unmerged"
    OPENED = "opened"


class SilenceNews(StrEnum):
    """What became of a silence."""

    BEGUN = "begun"
    ENDED = "ended"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at an effect: the row's id (stable over tries), how many came before, whether the last answer was lost.

    With `is_ambiguous`, the neighbour may have acted already: look before acting again.
    """

    id: str
    number: int
    is_ambiguous: bool
    first_tried_at: datetime


# --- pager ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOnCall:
    """Wake whoever is on call. `pager` names a key of the policy; `severity` is PagerDuty's own four words."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    pager: str
    summary: str
    severity: str
    source: str
    details: Mapping[str, str] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    """(href, text) pairs."""
    rank: int = 0
    """How bad it is, 1 for SEV1: what goes first. 0 where nobody said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNextLevel:
    """Escalate the page to `level`, unless PagerDuty says that it was acknowledged meanwhile."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePerson:
    """Ask one more person to join through PagerDuty. `person` is a Slack user id."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    person: str
    by: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageService:
    """Page another service's on-call with a page of its own."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    pager: str
    service: str
    by: str
    summary: str
    severity: str
    rank: int = 0
    """How bad it is, as in `PageOnCall`."""

    @property
    def who(self) -> str:
        """Whom it wakes, in words."""
        return f"the on-call of {self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgePage:
    """Tell PagerDuty that `by` (a Slack user id) is on it, in their name where that can be had."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    pager: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvePage:
    """Tell PagerDuty that it is over. Harmless where PagerDuty never had it."""

    lane: ClassVar[Lane] = Lane.PAGER
    incident: int
    dedup_key: str
    pager: str


# --- chat -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Create the incident's channel. `name` is the wish; Slack may make us take a suffix."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int
    name: str
    private: bool = False


@dataclass(frozen=True, slots=True)
class InvitePeople:
    """Invite Slack user ids and everybody PagerDuty has it assigned to at that moment."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int
    people: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowSummary:
    """Post the summary card, or bring it up to date. Drawn from the incident as it stands when delivered."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int


@dataclass(frozen=True, slots=True)
class PinSummary:
    lane: ClassVar[Lane] = Lane.CHAT
    incident: int


@dataclass(frozen=True, slots=True)
class AddBookmarks:
    """Bookmarks at the top of the channel: (title, url) pairs."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SetTopic:
    """Bring the channel's topic up to date. Drawn when delivered."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int


@dataclass(frozen=True, slots=True)
class ShowAnnouncement:
    """Post the line in the announcement channel, or bring it up to date. Drawn when delivered."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int


@dataclass(frozen=True, slots=True)
class Say:
    """Post a message about `topic`. `facts` are what its view needs: plain, unescaped strings and numbers."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int
    topic: Topic
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    place: Place = Place.INCIDENT
    people: tuple[str, ...] = ()
    """Whom to mention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceAlert:
    """Show an alert that opens no incident by itself, with a Declare button."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: None = None
    fingerprint: str
    title: str
    source: str
    severity: str
    service: str | None
    reason: str
    started_at: datetime
    url: str | None = None
    filled_in: tuple[str, ...] = ()
    """What its sender left out or garbled and we filled in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceSilence:
    """Tell everybody that a silence begins, or is over, and what it kept quiet. `match` is in words; `by` whoever asked for
    it, `ended_by` who ended it early.
    """

    lane: ClassVar[Lane] = Lane.CHAT
    incident: None = None
    number: int
    news: SilenceNews
    match: str
    by: str
    reason: str
    until: datetime
    ended_by: str | None = None
    ended_because: str = ""
    kept: Kept = NOTHING_KEPT


@dataclass(frozen=True, slots=True)
class RaiseAlarm:
    """Tell the people who run this bot that something of its own is wrong, and how to mend it."""

    lane: ClassVar[Lane] = Lane.CHAT
    incident: int | None
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class PostDigest:
    lane: ClassVar[Lane] = Lane.CHAT
    week: str
    incident: None = None


# --- documents --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PostDraft:
    """Draft the post-mortem from the timeline, keep it, and post it as a file."""

    lane: ClassVar[Lane] = Lane.DOCUMENT
    incident: int
    template: str = "default"


Effect = (
    PageOnCall
    | PageNextLevel
    | PagePerson
    | PageService
    | AcknowledgePage
    | ResolvePage
    | OpenChannel
    | InvitePeople
    | ShowSummary
    | PinSummary
    | AddBookmarks
    | SetTopic
    | ShowAnnouncement
    | Say
    | AnnounceAlert
    | AnnounceSilence
    | RaiseAlarm
    | PostDigest
    | PostDraft
)

LATEST_WINS = (ShowSummary, SetTopic, ShowAnnouncement)
"""Drawn when delivered: one that still waits serves for any later one of the same incident."""
