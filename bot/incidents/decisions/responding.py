"""What responders do between the page and the end: status, severity, roles, notes, updates, drafts."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.acknowledging import acknowledge, joined, mention, stop_by_acting
from bot.incidents.decisions.opening import promised, start_clock
from bot.incidents.decisions.resolving import cancel, close, resolve
from bot.incidents.decisions.writing import entry, left_behind, refreshed, say, update_keys
from bot.incidents.effects import Effect, InvitePeople, Place, PostDraft, Topic
from bot.incidents.incident import Incident, Role, Status, Update
from bot.incidents.inputs import (
    Acknowledge,
    AddNote,
    AssignRole,
    Cancel,
    ChangeSeverity,
    ChangeStatus,
    Close,
    GivePageFeedback,
    PostUpdate,
    RequestDraft,
    Resolve,
)
from bot.incidents.lifecycle import check_move, check_open
from bot.incidents.policy import Policy

TEXT_LIMIT = 2800


def change_status(incident: Incident, wish: ChangeStatus, now: datetime, policy: Policy) -> Decision:
    """Move the incident on. Words that have an input of their own are taken as that input."""
    match wish.status:
        case Status.ACKNOWLEDGED:
            return acknowledge(incident, Acknowledge(wish.incident, wish.by), now, policy)
        case Status.RESOLVED:
            return resolve(incident, Resolve(wish.incident, wish.by, wish.text), now, policy)
        case Status.CLOSED:
            return close(incident, Close(wish.incident, wish.by), now)
        case Status.CANCELLED:
            return cancel(incident, Cancel(wish.incident, wish.by), now, policy)
        case Status.MERGED:
            raise Refused(f"Say into which incident: `/incident merge {incident.ref} into INC-…`.")
        case Status.TRIGGERED:
            raise Refused("An incident does not go back to triggered. `/incident escalate` pages the next level.")
        case _:
            return _moved(incident, wish, now, policy)


def _moved(incident: Incident, wish: ChangeStatus, now: datetime, policy: Policy) -> Decision:
    check_move(incident, wish.status)
    first = stop_by_acting(incident, wish.by, now, policy)
    incident = first.incident if first and first.incident else incident
    is_over = wish.status is Status.MONITORING
    changed = replace(
        incident,
        status=wish.status,
        mitigated_at=(incident.mitigated_at or now) if is_over else None,
    )
    entries = [entry(changed, now, "status_changed", wish.by, to=wish.status.value, text=wish.text or None)]
    if is_over and incident.mitigated_at is None:
        entries.append(entry(changed, now, "mitigated", wish.by))
    told = say(
        changed,
        Topic.STATUS_CHANGED,
        old=incident.status.value,
        new=wish.status.value,
        by=wish.by,
        text=wish.text,
    )
    return joined(
        first,
        Decision(
            incident=changed,
            entries=tuple(entries),
            effects=(*refreshed(changed), told),
            timers=left_behind(incident, changed, now + policy.resolve.hold),
            reason=f"{changed.ref} is now {wish.status.value}.",
        ),
    )


def change_severity(incident: Incident, wish: ChangeSeverity, now: datetime, policy: Policy) -> Decision:
    """Grade it anew. A severity that pages starts the page and the clock, where none was started."""
    check_open(incident)
    if incident.severity is wish.severity:
        raise Refused(f"{incident.ref} is {wish.severity.value} already.")
    note = entry(
        incident,
        now,
        "severity_changed",
        wish.by,
        **{"from": incident.severity.value, "to": wish.severity.value},
    )
    told = say(incident, Topic.SEVERITY_CHANGED, old=incident.severity.value, new=wish.severity.value, by=wish.by)
    changed = replace(incident, severity=wish.severity)
    reason = f"{changed.ref} is now {wish.severity.value}: {policy.rule(wish.severity).means}."
    if changed.episode.pages or changed.episode.acknowledged_at is not None:
        return Decision(incident=changed, entries=(note,), effects=(*refreshed(changed), told), reason=reason)
    changed, page_entries, page, timers = start_clock(changed, now, policy)
    return Decision(
        incident=changed,
        entries=(note, *page_entries),
        effects=(*page, *refreshed(changed), told),
        timers=timers,
        reason=reason,
    )


def assign_role(incident: Incident, wish: AssignRole, now: datetime, policy: Policy) -> Decision:
    """Give somebody a role. Taking the lead oneself is an acknowledgement, where one is still missing."""
    check_open(incident)
    holders = incident.roles.get(wish.role, ())
    if wish.person in holders:
        raise Refused(f"{mention(wish.person)} is {wish.role.value} of {incident.ref} already.")
    takes_lead = wish.role is Role.COMMANDER and wish.person == wish.by
    first = stop_by_acting(incident, wish.by, now, policy) if takes_lead else None
    incident = first.incident if first and first.incident else incident
    new = (*holders, wish.person) if wish.role is Role.EXPERT else (wish.person,)
    changed = replace(incident, roles={**incident.roles, wish.role: new})
    note = entry(changed, now, "role", wish.by, role=wish.role.value, user=wish.person)
    told = say(changed, Topic.ROLE_ASSIGNED, (wish.person,), role=wish.role.value, person=wish.person, by=wish.by)
    effects: tuple[Effect, ...] = (InvitePeople(changed.number, (wish.person,)), *refreshed(changed), told)
    return joined(
        first,
        Decision(
            incident=changed,
            entries=(note,),
            effects=effects,
            reason=f"{mention(wish.person)} is now {wish.role.value} of {changed.ref}.",
        ),
    )


def add_note(incident: Incident, wish: AddNote, now: datetime) -> Decision:
    """A line on the timeline; allowed after the end, because reviews find things."""
    text = _text(wish.text, "A note needs words: `/incident note CDN still serves the old bundle`.")
    note = entry(incident, min(wish.at or now, now), "note", wish.by, text=text, link=wish.link)
    told: tuple[Effect, ...] = () if wish.link else (say(incident, Topic.NOTE_ADDED, text=text, by=wish.by),)
    return Decision(incident=incident, entries=(note,), effects=told, reason=f"Noted on the timeline of {incident.ref}.")


def post_update(incident: Incident, wish: PostUpdate, now: datetime, policy: Policy) -> Decision:
    """Tell everybody, and promise when the next word comes."""
    check_open(incident)
    text = _text(wish.text, "An update needs words: `/incident update Orders fail for a third of users; rolling back`.")
    next_by = _next(incident, wish, now, policy)
    changed = replace(incident, update=Update(now, wish.by, text, next_by))
    note = entry(changed, now, "status_update", wish.by, audience="internal", text=text, next_by=next_by)
    facts: dict[str, Any] = {"text": text, "by": wish.by, "next_by": next_by.isoformat() if next_by else None}
    told: list[Effect] = [say(changed, Topic.UPDATE_POSTED, **facts)]
    if not changed.private:
        told.append(say(changed, Topic.UPDATE_POSTED, place=Place.ANNOUNCE, **facts))
    timers = promised(changed, now, next_by) if next_by else ()
    promise = f" The next one is promised for {next_by:%H:%M} UTC." if next_by else ""
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(*refreshed(changed), *told),
        timers=timers,
        cancels=update_keys(incident),
        reason=f"Update posted for {changed.ref}.{promise}",
    )


def _next(incident: Incident, wish: PostUpdate, now: datetime, policy: Policy) -> datetime | None:
    if wish.next_minutes is not None:
        if not 1 <= wish.next_minutes <= 7 * 24 * 60:
            raise Refused("The next update must be promised between 1 minute and 7 days ahead.")
        return now + timedelta(minutes=wish.next_minutes)
    every = policy.rule(incident.severity).update_every
    return now + every if every else None


def request_draft(incident: Incident, wish: RequestDraft) -> Decision:
    """Draft the post-mortem now, from the timeline as it stands."""
    return Decision(
        incident=incident,
        effects=(PostDraft(incident.number, wish.template),),
        reason=f"Drafting the post-mortem of {incident.ref}; it will be posted in its channel.",
    )


def page_feedback(incident: Incident, wish: GivePageFeedback, now: datetime) -> Decision:
    """Whether the page was worth waking for: what the noise figures are made of."""
    note = entry(incident, now, "page_feedback", wish.by, actionable=wish.actionable)
    said = "useful" if wish.actionable else "not useful"
    return Decision(incident=incident, entries=(note,), reason=f"Thank you. The page of {incident.ref} counts as {said}.")


def _text(text: str, refusal: str) -> str:
    clean = text.strip()
    if not clean:
        raise Refused(refusal)
    if len(clean) > TEXT_LIMIT:
        raise Refused(f"That is {len(clean)} characters; at most {TEXT_LIMIT} fit. Put the rest in the channel.")
    return clean
