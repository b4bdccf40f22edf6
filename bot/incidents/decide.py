"""What comes of anything that happens: one pure function. Every input has its case, and the type checker knows."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions import (
    acknowledging,
    alerts,
    deliveries,
    flapping,
    helping,
    merging,
    opening,
    paging,
    reminders,
    resolving,
    responding,
    silencing,
    splitting,
)
from bot.incidents.effects import PostDigest, RaiseAlarm
from bot.incidents.heartbeats import expected, waited_for
from bot.incidents.incident import Incident
from bot.incidents.inputs import (
    Acknowledge,
    AcknowledgementDelayed,
    AddNote,
    AlertReported,
    AnnouncementPosted,
    AssignRole,
    CalmPassed,
    Cancel,
    ChangeSeverity,
    ChangeStatus,
    ChannelNotOpened,
    ChannelOpened,
    Close,
    ConfirmSilence,
    Declare,
    DigestDue,
    DraftPosted,
    EffectParked,
    EndSilence,
    Escalate,
    GivePageFeedback,
    HeartbeatExpected,
    HeartbeatMissed,
    HoldPassed,
    Input,
    KeepOpen,
    LevelAsked,
    LevelDelayed,
    LevelNotAsked,
    Merge,
    PageAccepted,
    PageDelayed,
    PageDropped,
    PageNotShown,
    PageRefused,
    PagerReported,
    PageSomeone,
    PostUpdate,
    QuietPassed,
    RelatedLeft,
    ReminderDue,
    Reopen,
    RequestDraft,
    Resolve,
    SilenceAlerts,
    SilenceExpired,
    SomeoneAsked,
    SomeoneDelayed,
    SomeoneNotAsked,
    Split,
    SummaryAged,
    SummaryPosted,
    TargetPassed,
    TroubleSeen,
    UpdateDue,
)
from bot.incidents.policy import Policy

TOO_LATE = timedelta(days=7)
"""How late a digest is not posted any more."""


def decide(incident: Incident | None, input: Input, now: datetime, policy: Policy) -> Decision:
    """What to save for `input`. `incident` is the one it names, as it stands, or None where there is none.

    Raises `Refused` where a person asked for something that cannot be.
    """
    match input:
        case Declare():
            return opening.declared(input, now, policy)
        case AlertReported():
            return alerts.reported(incident, input, now, policy)
        case CalmPassed():
            return flapping.calm_passed(incident, input, now, policy)
        case HeartbeatMissed():
            return waited_for(input, now, policy)
        case HeartbeatExpected():
            return expected(input, now, policy)
        case SilenceAlerts():
            return silencing.silence(input, now, policy)
        case ConfirmSilence():
            return silencing.confirm(input, now)
        case EndSilence():
            return silencing.end(input, now)
        case SilenceExpired():
            return silencing.expired(input, now)
        case QuietPassed():
            return silencing.quiet_passed(input, now)
        case DigestDue():
            return _digest(input, now)
        case EffectParked():
            return deliveries.effect_parked(incident, input, now)
        case TroubleSeen():
            return Decision(effects=(RaiseAlarm(None, input.text, input.mend),), reason=input.text)
        case _:
            if incident is None:
                raise Refused(f"There is no INC-{input.incident}. `/incident list` shows the open ones.")
            return _of_incident(incident, input, now, policy)


def _digest(input: DigestDue, now: datetime) -> Decision:
    """Post it; a week late it is no news to anybody, and the next one is there: then it is only said."""
    late = now - input.due_at if input.due_at is not None else timedelta()
    if late < TOO_LATE:
        return Decision(effects=(PostDigest(input.week),), reason=f"the digest of {input.week} is due")
    text = f"The digest of {input.week} is left out: nothing ran when it was due, and that is {late.days} days ago"
    mend = f"`python -m bot digest --week {input.week}` shows it."
    return Decision(effects=(RaiseAlarm(None, text, mend),), reason=text)


def _of_incident(
    incident: Incident,
    input: Acknowledge
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
    | ReminderDue
    | TargetPassed
    | SummaryAged
    | UpdateDue
    | HoldPassed
    | RelatedLeft,
    now: datetime,
    policy: Policy,
) -> Decision:
    match input:
        case Acknowledge():
            return acknowledging.acknowledge(incident, input, now, policy)
        case PageSomeone():
            return helping.page_someone(incident, input, now, policy)
        case Escalate():
            return paging.escalate(incident, input, policy)
        case ChangeSeverity():
            return responding.change_severity(incident, input, now, policy)
        case ChangeStatus():
            return responding.change_status(incident, input, now, policy)
        case AssignRole():
            return responding.assign_role(incident, input, now, policy)
        case AddNote():
            return responding.add_note(incident, input, now)
        case PostUpdate():
            return responding.post_update(incident, input, now, policy)
        case Merge():
            return merging.merge(incident, input, now, policy)
        case Split():
            return splitting.split(incident, input, now, policy)
        case Resolve():
            return resolving.resolve(incident, input, now, policy)
        case KeepOpen():
            return resolving.keep_open(incident, input, now)
        case Reopen():
            return resolving.reopen(incident, input, now, policy)
        case Cancel():
            return resolving.cancel(incident, input, now, policy)
        case Close():
            return resolving.close(incident, input, now)
        case RequestDraft():
            return responding.request_draft(incident, input)
        case GivePageFeedback():
            return responding.page_feedback(incident, input, now)
        case PagerReported():
            return paging.pager_reported(incident, input, now, policy)
        case PageAccepted():
            return paging.accepted(incident, input)
        case PageDelayed():
            return paging.delayed(incident, input, now, policy)
        case PageRefused():
            return paging.refused(incident, input, now, policy)
        case PageDropped():
            return paging.dropped(incident, input, now)
        case PageNotShown():
            return paging.not_shown(incident, input, now, policy)
        case LevelAsked():
            return paging.level_asked(incident, input)
        case AcknowledgementDelayed():
            return acknowledging.acknowledgement_delayed(incident, input, now)
        case LevelDelayed():
            return paging.level_delayed(incident, input, now, policy)
        case LevelNotAsked():
            return paging.level_not_asked(incident, input, now, policy)
        case SomeoneAsked():
            return helping.someone_asked(incident, input)
        case SomeoneDelayed():
            return helping.someone_delayed(incident, input, now)
        case SomeoneNotAsked():
            return helping.someone_not_asked(incident, input, now)
        case ChannelOpened():
            return deliveries.channel_opened(incident, input, now)
        case ChannelNotOpened():
            return deliveries.channel_not_opened(incident, input, now)
        case SummaryPosted():
            return deliveries.summary_posted(incident, input)
        case AnnouncementPosted():
            return deliveries.announcement_posted(incident, input)
        case DraftPosted():
            return deliveries.draft_posted(incident, input, now)
        case ReminderDue():
            return reminders.reminder_due(incident, input, now)
        case TargetPassed():
            return reminders.target_passed(incident, input, now, policy)
        case SummaryAged():
            return reminders.summary_aged(incident, input, now)
        case UpdateDue():
            return reminders.update_due(incident, input, now)
        case HoldPassed():
            return resolving.hold_passed(incident, input, now, policy)
        case RelatedLeft():
            return splitting.related_left(incident, input, now, policy)
        case _:
            assert_never(input)
