"""Everything that can happen. Asked inputs are imperative and may be refused; reported ones are facts.

A stored input is found again by its class name (`store/codec.py`): renaming one takes a migration.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bot.alerts.alert import Alert
from bot.alerts.quiet import NOTHING_KEPT, Kept, Quiet, Silence
from bot.alerts.routing import Matcher
from bot.alerts.source import PagerReport
from bot.incidents.incident import Role, Severity, Status

if TYPE_CHECKING:
    from bot.alerts.matching import Placement
    from bot.incidents.decision import AlertRecord
    from bot.incidents.incident import Incident
    from bot.runbooks import Choice

# --- asked by a person; `by` is their Slack user id ---------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Declare:
    """Open an incident. With `fingerprint`, from an alert that was announced.

    `number`, `record` (what is known of that alert) and `twin` (an open incident that was declared with the same words
    just now) are filled in by the door.
    """

    title: str
    by: str
    severity: Severity | None = None
    service: str | None = None
    details: str = ""
    private: bool = False
    drill: bool = False
    fingerprint: str | None = None
    number: int | None = None
    record: "AlertRecord | None" = None
    twin: "Incident | None" = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """I am on it. Stops the clock and tells PagerDuty."""

    incident: int
    by: str


@dataclass(frozen=True, slots=True)
class PageSomeone:
    """Page one more person (`person`, a Slack user id) or another service's on-call (`service`)."""

    incident: int
    by: str
    person: str | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Escalate:
    """I can't take it: page the next level now."""

    incident: int
    by: str


@dataclass(frozen=True, slots=True)
class ChangeSeverity:
    incident: int
    severity: Severity
    by: str


@dataclass(frozen=True, slots=True)
class ChangeStatus:
    incident: int
    status: Status
    by: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class AssignRole:
    incident: int
    role: Role
    person: str
    by: str


@dataclass(frozen=True, slots=True)
class AddNote:
    """Put a line on the timeline. `at` is when it was said, where that is not now."""

    incident: int
    text: str
    by: str
    link: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PostUpdate:
    """Tell everyone where it stands. `next_minutes` promises the next one; None takes the policy's cadence."""

    incident: int
    text: str
    by: str
    next_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """This incident is the same as `into`. `target` is loaded by the door."""

    incident: int
    into: int
    by: str
    target: "Incident | None" = None


@dataclass(frozen=True, slots=True)
class Split:
    """An alert is not of this incident: it gets one of its own. `alert` is the beginning of its fingerprint, or its title.

    Without it: what was merged is an incident of its own again. `records` (what is known of the alerts), `target` (what it
    was merged into) and `number` (of the new incident) are filled in by the door.
    """

    incident: int
    alert: str
    by: str
    reason: str = ""
    number: int | None = None
    target: "Incident | None" = None
    records: "tuple[AlertRecord, ...]" = ()


@dataclass(frozen=True, slots=True)
class Resolve:
    incident: int
    by: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class KeepOpen:
    """The answer to a proposal to resolve: not yet."""

    incident: int
    by: str


@dataclass(frozen=True, slots=True)
class Reopen:
    """`records` (what is remembered of its alerts; None where nobody looked) is filled in by the door."""

    incident: int
    by: str
    text: str = ""
    records: "tuple[AlertRecord, ...] | None" = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Not an incident after all. `reason` is false_positive, duplicate, external or other."""

    incident: int
    by: str
    reason: str = "false_positive"


@dataclass(frozen=True, slots=True)
class Close:
    """The review is done."""

    incident: int
    by: str


@dataclass(frozen=True, slots=True)
class RequestDraft:
    """Write the post-mortem draft anew and post it. `template` is a name in postmortem_templates/, without ending."""

    incident: int
    by: str
    template: str = "default"


@dataclass(frozen=True, slots=True)
class GivePageFeedback:
    incident: int
    by: str
    actionable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceAlerts:
    """Keep alerts that fit `match` quiet for as long as it `lasts`.

    `number` and `worst` (the SEV1 incidents that are open) are filled in by the door.
    """

    match: Matcher
    lasts: timedelta
    reason: str
    by: str
    number: int | None = None
    worst: tuple["Incident", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSilence:
    """Yes, although it may swallow a SEV1: the silence of that number, or the last one that `by` was asked about.

    `silence` is loaded by the door.
    """

    number: int | None
    by: str
    silence: Silence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSilence:
    """End a silence early. `silence`, and what it `kept` quiet, are loaded by the door."""

    number: int
    by: str
    reason: str = ""
    silence: Silence | None = None
    kept: Kept = NOTHING_KEPT


# --- reported by the world --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlertReported:
    """An alert fired, repeated or cleared. What comes after `route` is filled in by the door."""

    alert: Alert
    route: str
    """The name of the endpoint it came through (the last part of /hooks/SOURCE/ROUTE)."""
    placement: "Placement | None" = None
    number: int | None = None
    runbook: "Choice | None" = None
    record: "AlertRecord | None" = None
    """What is remembered of it from before."""
    theirs: "tuple[AlertRecord, ...] | None" = None
    """What is remembered of all alerts of the incident that it opens again; None where it opens none again."""
    missed: "HeartbeatMissed | None" = None
    """The sign of life whose absence this is."""


@dataclass(frozen=True, slots=True)
class PagerReported:
    """PagerDuty says something about one of our pages. `person` is who did it, as a person of ours where known."""

    incident: int
    report: PagerReport
    person: str | None = None
    assignees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageAccepted:
    """PagerDuty took the trigger (202). The only thing that lets anyone say "paged"."""

    incident: int
    dedup_key: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PageDelayed:
    """PagerDuty could not take the trigger yet; it is tried again, in `wait_seconds`. `attempt` counts from 1."""

    incident: int
    dedup_key: str
    reason: str
    attempt: int
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PageRefused:
    """PagerDuty will not take the trigger. Somebody must be reached another way."""

    incident: int
    dedup_key: str
    reason: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class PageDropped:
    """The trigger was not sent (again): its reason went away first, or a person dropped it by hand. `reason` is a sentence
    without its full stop.

    With `may_have_arrived` the answer to an earlier try was lost; where its reason went away, the page was ended in
    PagerDuty, should it be there.
    """

    incident: int
    dedup_key: str
    reason: str
    may_have_arrived: bool = False


@dataclass(frozen=True, slots=True)
class PageNotShown:
    """PagerDuty took the trigger at `accepted_at`, and shows no incident for it: nobody was woken, as far as anybody can
    tell. `reason` is a sentence without its full stop.
    """

    incident: int
    dedup_key: str
    accepted_at: datetime
    reason: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class AcknowledgementDelayed:
    """PagerDuty could not be told yet that `by` is on it; it is tried again. `attempt` counts from 1."""

    incident: int
    dedup_key: str
    by: str
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class LevelAsked:
    """PagerDuty took our escalation to `level`."""

    incident: int
    dedup_key: str
    level: int
    at: datetime


@dataclass(frozen=True, slots=True)
class LevelDelayed:
    """PagerDuty could not take our escalation to `level` yet; it is tried again. `attempt` counts from 1."""

    incident: int
    dedup_key: str
    level: int
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class LevelNotAsked:
    """The escalation did not happen, and why."""

    incident: int
    dedup_key: str
    level: int
    reason: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class SomeoneAsked:
    """PagerDuty took a request for `who` (a person, or a service's on-call, whose page has the key `dedup_key`)."""

    incident: int
    who: str
    by: str
    at: datetime
    dedup_key: str = ""


@dataclass(frozen=True, slots=True)
class SomeoneDelayed:
    """PagerDuty has not taken the page of others yet, after so many tries."""

    incident: int
    who: str
    by: str
    dedup_key: str
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class SomeoneNotAsked:
    incident: int
    who: str
    by: str
    reason: str
    mend: str = ""
    dedup_key: str = ""


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    incident: int
    channel: str
    name: str


@dataclass(frozen=True, slots=True)
class ChannelNotOpened:
    """Slack will not give us a channel. The incident goes on in the announcement channel."""

    incident: int
    reason: str


@dataclass(frozen=True, slots=True)
class SummaryPosted:
    incident: int
    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class AnnouncementPosted:
    incident: int
    channel: str
    ts: str


@dataclass(frozen=True, slots=True)
class DraftPosted:
    incident: int
    template: str
    permalink: str


@dataclass(frozen=True, slots=True)
class EffectParked:
    """An effect was given up. `what` is its class name."""

    incident: int | None
    what: str
    reason: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class TroubleSeen:
    """Something of the bot's own is wrong, and a person has to mend it."""

    text: str
    mend: str = ""


# --- time passed ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReminderDue:
    """A page is still unacknowledged, `after_seconds` into the episode."""

    incident: int
    episode: int
    after_seconds: int


@dataclass(frozen=True, slots=True)
class TargetPassed:
    """The acknowledgement target of an episode is over; `level` is the escalation level to page next."""

    incident: int
    episode: int
    level: int = 2


@dataclass(frozen=True, slots=True)
class SummaryAged:
    """The running clock on the card is due for a new figure."""

    incident: int
    episode: int


@dataclass(frozen=True, slots=True)
class UpdateDue:
    """The promised update is nearly (`is_late` false) or really due."""

    incident: int
    promised_at: datetime
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class HoldPassed:
    """Every alert has been clear for the hold; `cleared_at` says since when, to tell it from a later clearing."""

    incident: int
    cleared_at: datetime


@dataclass(frozen=True, slots=True)
class CalmPassed:
    """An alert that flaps may have been calm for long enough. What is known of it, `record`, is filled in by the door."""

    fingerprint: str
    record: "AlertRecord | None" = None


@dataclass(frozen=True, slots=True)
class RelatedLeft:
    """What explained the related alerts of other services is over. Those that fire on get incidents of their own.

    `records` (what is known of its alerts), `target` (the open incident of their service) and `number` (of a new one, where
    there is none) are filled in by the door.
    """

    incident: int
    number: int | None = None
    target: "Incident | None" = None
    records: "tuple[AlertRecord, ...]" = ()
    quiet: Mapping[str, Quiet] = field(default_factory=dict)
    """What keeps some of them quiet by now, by their fingerprint; filled in by the door, too."""

    @property
    def loud(self) -> "tuple[AlertRecord, ...]":
        """Those that nothing keeps quiet."""
        return tuple(one for one in self.records if one.fingerprint not in self.quiet)


@dataclass(frozen=True, slots=True)
class HeartbeatMissed:
    """Somebody who is to be heard again and again was not, by `due_at`: `alert` says so. They are of that source and route, or of
    none where they were never heard.

    `is_unread` (deliveries of theirs from before it wait to be read) is filled in by the door.
    """

    alert: Alert
    source: str
    route: str
    within: timedelta
    due_at: datetime
    is_unread: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatExpected:
    """A bot runs with a dead-man's switch of that name that is to be heard, whether or not it was ever.

    `since` (when it was first expected) and `is_in_hand` (it was heard, is waited for, or is told as missing) are filled in by
    the door.
    """

    name: str
    since: datetime | None = None
    is_in_hand: bool = False


@dataclass(frozen=True, slots=True)
class QuietPassed:
    """What kept `alert` quiet is over (`key` names it): unless it cleared, it is taken as if it had just been reported.

    `by` is until when what came of it has to be read first; `is_unread` (there is some) is filled in by the door.
    """

    alert: Alert
    route: str
    key: str
    by: datetime
    is_unread: bool = False


@dataclass(frozen=True, slots=True)
class DigestDue:
    """A week is over and its digest is to be posted. `week` is "2026-W24".

    `due_at` is when; None where somebody asks for it now, however old it is.
    """

    week: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceExpired:
    """The time of a silence is over. `silence`, and what it `kept` quiet, are loaded by the door."""

    number: int
    silence: Silence | None = None
    kept: Kept = NOTHING_KEPT


Asked = (
    Declare
    | Acknowledge
    | PageSomeone
    | Escalate
    | ChangeSeverity
    | ChangeStatus
    | AssignRole
    | AddNote
    | PostUpdate
    | Merge
    | Split
    | Resolve
    | KeepOpen
    | Reopen
    | Cancel
    | Close
    | RequestDraft
    | GivePageFeedback
    | SilenceAlerts
    | ConfirmSilence
    | EndSilence
)
Reported = (
    AlertReported
    | PagerReported
    | PageAccepted
    | PageDelayed
    | PageRefused
    | PageDropped
    | PageNotShown
    | AcknowledgementDelayed
    | LevelAsked
    | LevelDelayed
    | LevelNotAsked
    | SomeoneAsked
    | SomeoneDelayed
    | SomeoneNotAsked
    | ChannelOpened
    | ChannelNotOpened
    | SummaryPosted
    | AnnouncementPosted
    | DraftPosted
    | EffectParked
    | TroubleSeen
)
Passed = (
    ReminderDue
    | TargetPassed
    | SummaryAged
    | UpdateDue
    | HoldPassed
    | CalmPassed
    | RelatedLeft
    | HeartbeatMissed
    | HeartbeatExpected
    | SilenceExpired
    | QuietPassed
    | DigestDue
)
Input = Asked | Reported | Passed
