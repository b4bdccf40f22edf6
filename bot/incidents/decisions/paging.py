"""What becomes of a page: taken, late, refused, escalated; and what PagerDuty tells of it afterwards."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.acknowledging import acks, mention, said, stopped, taken_up, with_ack, with_taking_back
from bot.incidents.decisions.helping import other_reported
from bot.incidents.decisions.opening import page_for
from bot.incidents.decisions.resolving import resolved_by
from bot.incidents.decisions.writing import BOT, entry, loudly, refreshed, say, whoever_is_on_it
from bot.incidents.effects import (
    AcknowledgePage,
    AddBookmarks,
    Effect,
    InvitePeople,
    PageNextLevel,
    RaiseAlarm,
    ResolvePage,
    Topic,
)
from bot.incidents.incident import Ack, Episode, Incident, PageState
from bot.incidents.inputs import (
    Escalate,
    LevelAsked,
    LevelDelayed,
    LevelNotAsked,
    PageAccepted,
    PageDelayed,
    PageDropped,
    PageNotShown,
    PageRefused,
    PagerReported,
)
from bot.incidents.lifecycle import check_open
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry

NOTHING = Decision(reason="nothing new")
LONG_WAIT_SECONDS = 60
"""A page that is not even tried for longer is as good as one that failed often: people are called at once."""
UNSEEN_SAID_EVERY = 5
"""A page that PagerDuty takes and loses again and again is said at the first time, and at each so many after."""
UNPROVEN = PageState.REQUESTED, PageState.DELAYED, PageState.REFUSED, PageState.DROPPED
"""PagerDuty may have such a page all the same: the answer to it was lost, also where it was given up afterwards."""


def accepted(incident: Incident, report: PageAccepted) -> Decision:
    """PagerDuty took the trigger: from here on, and not before, it may be called paged."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or episode.page is PageState.ACCEPTED:
        return NOTHING
    changed = incident.with_episode(replace(episode, page=PageState.ACCEPTED, accepted_at=report.at, page_reason=""))
    note = entry(changed, report.at, "page_accepted", BOT, dedup_key=report.dedup_key, episode=episode.number)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=refreshed(changed),
        reason=f"PagerDuty took the page of {changed.ref}",
    )


def delayed(incident: Incident, report: PageDelayed, now: datetime, policy: Policy) -> Decision:
    """PagerDuty could not take it yet. Said at the first failure, and loudly, by name, once it goes on.

    Nobody is called for what is over, nor for what somebody is on.
    """
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or episode.page not in (PageState.REQUESTED, PageState.DELAYED) or _is_over(incident, episode):
        return NOTHING
    changed = incident.with_episode(replace(episode, page=PageState.DELAYED, page_reason=report.reason))
    note = entry(changed, now, "page_failed", BOT, reason=report.reason, attempt=report.attempt, episode=episode.number)
    facts: dict[str, Any] = {"reason": report.reason, "attempt": report.attempt}
    if episode.holder is not None:
        messages: tuple[Effect, ...] = (say(changed, Topic.PAGE_DELAYED, holder=episode.holder, **facts),)
    elif report.attempt >= policy.paging.fallback_after or report.wait_seconds > LONG_WAIT_SECONDS:
        people = (*policy.service(changed.service).people, *whoever_is_on_it(changed))
        messages = loudly(changed, Topic.PAGE_DELAYED, people, **facts)
    else:
        messages = (say(changed, Topic.PAGE_DELAYED, **facts),)
    return Decision(incident=changed, entries=(note,), effects=(*refreshed(changed), *messages), reason=report.reason)


def refused(incident: Incident, report: PageRefused, now: datetime, policy: Policy) -> Decision:
    """PagerDuty will not take it: nobody was paged, and everybody must know, unless it is over."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or episode.page is PageState.ACCEPTED:
        return NOTHING
    changed = incident.with_episode(replace(episode, page=PageState.REFUSED, page_reason=report.reason))
    note = entry(changed, now, "page_failed", BOT, reason=report.reason, episode=episode.number)
    people = (*policy.service(changed.service).people, *whoever_is_on_it(changed))
    alarm = RaiseAlarm(changed.number, f"{changed.ref} paged nobody: {report.reason}", report.mend)
    told = loudly(changed, Topic.PAGE_REFUSED, people, reason=report.reason, mend=report.mend)
    if _is_over(incident, episode):
        told = ()
    return Decision(incident=changed, entries=(note,), effects=(*refreshed(changed), *told, alarm), reason=report.reason)


def _is_over(incident: Incident, episode: Episode) -> bool:
    return not incident.is_open or episode.ended_at is not None


def dropped(incident: Incident, report: PageDropped, now: datetime) -> Decision:
    """Nobody is woken by this page any more. Somebody is on it, it is over, or a person wants it so: said without noise."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or episode.page in (PageState.ACCEPTED, PageState.NOT_NEEDED, PageState.DROPPED):
        return NOTHING
    changed = incident.with_episode(replace(episode, page=PageState.DROPPED, page_reason=report.reason))
    fields = {"reason": report.reason, "may_have_arrived": report.may_have_arrived or None, "episode": episode.number}
    note = entry(changed, now, "page_dropped", BOT, **fields)
    return Decision(incident=changed, entries=(note,), effects=refreshed(changed), reason=report.reason)


def not_shown(incident: Incident, report: PageNotShown, now: datetime, policy: Policy) -> Decision:
    """PagerDuty took a page and shows nothing of it: it is no page, and is sent again with its key, which wakes nobody twice.

    What was asked of the page meanwhile is asked again behind it. Where somebody is on it, nobody is to be woken any more.
    """
    episode = incident.episode_keyed(report.dedup_key)
    is_known = episode is None or episode.accepted_at != report.accepted_at or bool(episode.assignees or episode.notified)
    if episode is None or is_known or episode.page is not PageState.ACCEPTED or _is_over(incident, episode):
        return NOTHING
    if episode.holder is not None:
        gone = replace(episode, page=PageState.DROPPED, page_reason=report.reason, unseen=episode.unseen + 1)
        note = entry(incident, now, "page_dropped", BOT, reason=report.reason, may_have_arrived=True, episode=episode.number)
        changed = incident.with_episode(gone)
        return Decision(incident=changed, entries=(note,), effects=refreshed(changed), reason=report.reason)
    episode = replace(episode, page=PageState.DELAYED, page_reason=report.reason, unseen=episode.unseen + 1)
    changed = incident.with_episode(episode)
    note = entry(
        changed, now, "page_failed", BOT, reason=f"{report.reason}; sent again", attempt=episode.unseen, episode=episode.number
    )
    again: list[Effect] = [page_for(changed)]
    if episode.asked_level > episode.level:
        again.append(PageNextLevel(incident=changed.number, dedup_key=episode.dedup_key, level=episode.asked_level))
    told: tuple[Effect, ...] = ()
    if episode.unseen % UNSEEN_SAID_EVERY == 1:
        people = (*policy.service(changed.service).people, *whoever_is_on_it(changed))
        alarm = RaiseAlarm(changed.number, f"The page of {changed.ref} is lost: {report.reason}", report.mend)
        told = (*loudly(changed, Topic.PAGE_NOT_SHOWN, people, reason=report.reason, mend=report.mend), alarm)
    return Decision(incident=changed, entries=(note,), effects=(*again, *refreshed(changed), *told), reason=report.reason)


def escalate(incident: Incident, wish: Escalate, policy: Policy) -> Decision:
    """A person cannot take it: ask for the next level now."""
    check_open(incident)
    episode = incident.episode
    level = max(episode.level, episode.asked_level) + 1
    if not episode.pages:
        raise Refused(f"{incident.ref} paged nobody ({incident.severity.value}), so there is no next level to page.")
    if episode.page is PageState.DROPPED:
        raise Refused(f"{episode.page_reason}, so there is no next level. `/incident page SERVICE` wakes a service's on-call.")
    if level > policy.paging.highest_level:
        raise Refused(f"Level {level - 1} is the last one that the policy knows. Use `/incident page @someone` to ask a person.")
    changed = incident.with_episode(replace(episode, asked_level=level))
    effect = PageNextLevel(incident=incident.number, dedup_key=episode.dedup_key, level=level)
    return Decision(
        incident=changed,
        effects=(effect,),
        reason=f"Asking PagerDuty for level {level}. The channel will say when PagerDuty has taken it.",
    )


def level_asked(incident: Incident, report: LevelAsked) -> Decision:
    """PagerDuty took our escalation."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or report.level <= episode.level:
        return NOTHING
    changed = incident.with_episode(replace(episode, level=report.level, asked_level=max(report.level, episode.asked_level)))
    note = entry(
        changed,
        report.at,
        "escalated",
        BOT,
        from_level=episode.level,
        to_level=report.level,
        reason="asked for by the bot or a responder",
        episode=episode.number,
    )
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(*refreshed(changed, everywhere=False), say(changed, Topic.LEVEL_ASKED, level=report.level)),
        reason=f"PagerDuty escalated {changed.ref} to level {report.level}",
    )


def level_delayed(incident: Incident, report: LevelDelayed, now: datetime, policy: Policy) -> Decision:
    """PagerDuty could not take our escalation yet: until it does, nobody new is woken, and people have to be called."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or not incident.is_open or report.level <= episode.level:
        return NOTHING
    facts: dict[str, Any] = {"reason": report.reason, "attempt": report.attempt}
    note = entry(incident, now, "escalation_delayed", BOT, to_level=report.level, **facts, episode=episode.number)
    people = (*policy.service(incident.service).people, *whoever_is_on_it(incident))
    told = say(incident, Topic.LEVEL_DELAYED, people, level=report.level, **facts)
    return Decision(incident=incident, entries=(note,), effects=(told,), reason=report.reason)


def level_not_asked(incident: Incident, report: LevelNotAsked, now: datetime, policy: Policy) -> Decision:
    """The next level was not paged. Somebody has to do it by hand, so it is said loudly."""
    note = entry(incident, now, "escalation_failed", BOT, to_level=report.level, reason=report.reason)
    people = (*policy.service(incident.service).people, *whoever_is_on_it(incident))
    told = loudly(incident, Topic.LEVEL_NOT_ASKED, people, level=report.level, reason=report.reason, mend=report.mend)
    return Decision(incident=incident, entries=(note,), effects=told, reason=report.reason)


def pager_reported(incident: Incident, input: PagerReported, now: datetime, policy: Policy) -> Decision:
    """PagerDuty says something about one of our pages, by webhook or found by the poll."""
    report = input.report
    episode = incident.episode_keyed(report.key) if report.key else incident.episode
    if episode is None:
        return other_reported(incident, input)
    before = episode.page
    incident, taken = _taken(incident, episode, input)
    episode = next(one for one in incident.episodes if one.number == episode.number)
    match report.kind:
        case "acknowledged":
            decision = _acknowledged(incident, episode, input, now, policy)
        case "unacknowledged":
            decision = _unacknowledged(incident, episode, input)
        case "escalated" | "reassigned" | "delegated" | "assigned":
            decision = _moved(incident, episode, input)
        case "notified":
            decision = _notified(incident, episode, input)
        case "resolved":
            decision = _resolved(incident, episode, input, now, policy)
        case "annotated":
            decision = _annotated(incident, input)
        case _:
            decision = Decision(incident=incident, reason=f"PagerDuty: {report.kind}")
    decision = _with_taken(decision, incident, taken)
    if taken and before in (PageState.REFUSED, PageState.DROPPED):
        missed = _missed(decision.incident or incident, episode.dedup_key, report.kind)
        decision = replace(decision, effects=(*decision.effects, *missed))
    return decision


def _missed(incident: Incident, dedup_key: str, kind: str) -> tuple[Effect, ...]:
    """What nobody told PagerDuty while it was taken to have no such page: that it is over, or that somebody is on it."""
    episode = incident.episode_keyed(dedup_key)
    pager = incident.pager or "default"
    if kind == "resolved" or episode is None:
        return ()
    if not incident.is_open or episode.ended_at is not None:
        return (ResolvePage(incident=incident.number, dedup_key=episode.dedup_key, pager=pager),)
    if kind == "acknowledged" or episode.holder is None or episode.acknowledged_via == "pagerduty":
        return ()
    return (AcknowledgePage(incident=incident.number, dedup_key=episode.dedup_key, pager=pager, by=episode.holder),)


def _taken(incident: Incident, episode: Episode, input: PagerReported) -> tuple[Incident, tuple[Entry, ...]]:
    """Whatever PagerDuty tells of our key proves that it took the page, and where it shows it."""
    report = input.report
    is_newest = episode.number == incident.episode.number
    entries: tuple[Entry, ...] = ()
    if episode.pages and episode.page in UNPROVEN:
        episode = replace(episode, page=PageState.ACCEPTED, accepted_at=report.at, page_reason="")
        entries = (entry(incident, report.at, "page_accepted", BOT, dedup_key=report.key, episode=episode.number),)
    if input.assignees:
        episode = replace(episode, assignees=input.assignees)
    incident = incident.with_episode(episode)
    if is_newest:
        incident = replace(
            incident,
            pager_id=report.pager_id or incident.pager_id,
            pager_url=report.url or incident.pager_url,
            escalation_policy=report.policy or incident.escalation_policy,
        )
    return incident, entries


def _with_taken(decision: Decision, incident: Incident, taken: tuple[Entry, ...]) -> Decision:
    """Add what the report proved, the link to PagerDuty, and the people it is assigned to."""
    base = decision.incident or incident
    extra: list[Effect] = []
    if incident.pager_url and decision.reason.startswith("PagerDuty: triggered"):
        extra.append(AddBookmarks(incident.number, (("PagerDuty", incident.pager_url),)))
    if incident.episode.assignees and base.is_open:
        extra.append(InvitePeople(incident.number, incident.episode.assignees))
    if not decision.effects or taken:
        # What was called not paged stands in the announcement and the topic, too.
        extra += refreshed(base, everywhere=bool(taken))
    return replace(decision, incident=base, entries=(*taken, *decision.entries), effects=(*decision.effects, *extra))


def _acknowledged(incident: Incident, episode: Episode, input: PagerReported, now: datetime, policy: Policy) -> Decision:
    report = input.report
    if not report.is_human:
        return Decision(incident=incident, reason="PagerDuty acknowledged by itself, which is no person")
    by = input.person or report.person_name or "somebody in PagerDuty"
    is_newest = episode.number == incident.episode.number
    if is_newest and episode.acknowledged_at is None and incident.is_open:
        return _rings_already(stopped(incident, by, report.at, "pagerduty", now, policy))
    if is_newest and episode.rings_since is not None and report.at >= episode.rings_since:
        return taken_up(incident, by, report.at, "pagerduty")
    # A webhook tells parts of a second, the log does not, and each of the two may tell of the same acknowledgement.
    known = next((one for one in acks(episode) if one.by == by and _are_one(episode, one, report.at)), None)
    note = entry(incident, report.at, "ack", by, via="pagerduty", level=episode.level, episode=episode.number)
    notes = () if known else (note,)
    first_at = episode.acknowledged_at
    if episode.ended_at is not None and report.at > episode.ended_at:
        # The echo of our own may be dated after the end, too.
        notes = () if by == episode.acknowledged_by else notes
        return Decision(incident=incident, entries=notes, reason="acknowledged after its end; nothing is undone")
    # The log's word of what a webhook told finer: no earlier one, though its second may be the one before.
    is_first = known is not None and (known.by, known.at, known.via) == (episode.acknowledged_by, first_at, "pagerduty")
    is_first = is_first and not report.at.microsecond
    if is_first and first_at is not None and _was_in_time(episode, report.at, first_at):
        is_first, notes = False, (note,)
    is_later = first_at is not None and (is_first or not _is_earlier(report.at, first_at, is_same=by == episode.acknowledged_by))
    at = max(report.at, first_at) if first_at is not None and is_later else report.at
    if is_later and known is not None and by != episode.acknowledged_by:
        return Decision(incident=incident, reason="an acknowledgement that we know")
    heard = with_ack(episode, Ack(at, by, "pagerduty"), instead_of=None if is_later else known)
    changed = incident.with_episode(heard)
    if is_later and by == episode.acknowledged_by:
        return Decision(incident=changed, reason="the acknowledgement that we know")
    if is_later:
        return Decision(incident=changed, entries=notes, reason="acknowledged again; the first stands")
    return _earlier(changed, heard, by, report.at, notes)


ECHO = timedelta(seconds=2)
"""PagerDuty's log tells an acknowledgement in the whole second before it, and its webhook a moment after: where the turn of a
second is between them they are more than that apart, and never so much."""


def _are_one(episode: Episode, known: Ack, at: datetime) -> bool:
    """Whether PagerDuty tells of an acknowledgement that we know: of the same second, or which it told before, a moment apart."""
    logged, sent = sorted((known.at, at))
    # A second of the log in which somebody else was first stands as the moment after that.
    is_whole = not logged.microsecond or (logged == episode.acknowledged_at and known.by != episode.acknowledged_by)
    is_echo = known.via == "pagerduty" and is_whole and sent.microsecond > 0 and sent - logged < ECHO
    return is_echo or known.at.replace(microsecond=0) == at.replace(microsecond=0)


def _was_in_time(episode: Episode, logged: datetime, first_at: datetime) -> bool:
    """Whether the log shows that what a webhook told was not too late: the whole second that it names was over in time."""
    deadline = episode.deadline
    return deadline is not None and logged + timedelta(seconds=1) <= deadline < first_at


def _is_earlier(at: datetime, first_at: datetime, *, is_same: bool) -> bool:
    """Whether PagerDuty tells of an acknowledgement before the first one we know.

    Its log knows whole seconds only, and the echo of our own is dated by its clock: the same second is not earlier then.
    """
    return at < (first_at.replace(microsecond=0) if is_same or not at.microsecond else first_at)


def _rings_already(decision: Decision) -> Decision:
    """PagerDuty took the acknowledgement back before we heard of it: whoever is told of it is told of both."""
    incident = decision.incident
    if incident is None or not incident.episode.is_ringing_again:
        return decision
    told = say(incident, Topic.UNACKNOWLEDGED, by="PagerDuty")
    return replace(decision, effects=(*decision.effects, told))


def _earlier(incident: Incident, episode: Episode, by: str, at: datetime, notes: tuple[Entry, ...]) -> Decision:
    """News of an acknowledgement that came before the one we knew: the earliest stands."""
    seconds = (at - episode.opened_at).total_seconds()
    effects = (*refreshed(incident), said(incident, episode, by, "pagerduty", seconds))
    return Decision(incident=incident, entries=notes, effects=effects, reason="acknowledged earlier than we knew")


def _unacknowledged(incident: Incident, episode: Episode, input: PagerReported) -> Decision:
    """It ran out, or somebody took it back: PagerDuty rings again, so nobody may be called on it."""
    named = input.report.person_name if input.report.is_human else None
    by = input.person or named or "PagerDuty"
    note = entry(incident, input.report.at, "unack", by)
    if not incident.is_open or episode.number != incident.episode.number:
        return Decision(incident=incident, entries=(note,), reason="taken back in an episode that is over")
    heard = with_taking_back(episode, input.report.at)
    changed = incident.with_episode(heard)
    if heard.rings_since is None or heard.rings_since == episode.rings_since:
        return Decision(incident=changed, entries=(note,), reason="an acknowledgement that was taken back before the one we know")
    told = say(changed, Topic.UNACKNOWLEDGED, by=by)
    return Decision(
        incident=changed, entries=(note,), effects=(*refreshed(changed), told), reason="PagerDuty took the acknowledgement back"
    )


def _moved(incident: Incident, episode: Episode, input: PagerReported) -> Decision:
    report = input.report
    names = ", ".join(mention(one) for one in input.assignees) or report.person_name or "its next level"
    level = _level_after(episode, report.level)
    if report.kind != "escalated" or level <= episode.level:
        return Decision(incident=incident, reason=f"PagerDuty: assigned to {names}")
    changed = incident.with_episode(replace(episode, level=level, asked_level=max(level, episode.asked_level)))
    note = entry(
        changed,
        report.at,
        "escalated",
        BOT,
        from_level=episode.level,
        to_level=level,
        reason="by PagerDuty",
        episode=episode.number,
    )
    to = ",".join(input.assignees)
    told = say(changed, Topic.ESCALATED, level=level, to=to or report.person_name)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(told, *refreshed(changed, everywhere=False)),
        reason=f"PagerDuty escalated to level {level}: {names}",
    )


def _level_after(episode: Episode, reported: int | None) -> int:
    """The level that an escalation came to. A webhook does not say: then it is the one we asked for, if we asked."""
    if reported is not None:
        return reported
    return episode.asked_level if episode.asked_level > 1 else episode.level + 1


def _notified(incident: Incident, episode: Episode, input: PagerReported) -> Decision:
    report = input.report
    who = input.person or report.person_name
    if who is None:
        return Decision(incident=incident, reason="PagerDuty notified somebody it does not name")
    changed = incident.with_episode(replace(episode, notified=tuple(dict.fromkeys((*episode.notified, who)))))
    note = entry(
        changed,
        report.at,
        "page",
        BOT,
        to=who,
        level=report.level or episode.level,
        channel=report.channel or "push",
        episode=episode.number,
    )
    return Decision(
        incident=changed,
        entries=(note,),
        effects=refreshed(changed, everywhere=False),
        reason=f"PagerDuty notified {mention(who)}",
    )


def _resolved(incident: Incident, episode: Episode, input: PagerReported, now: datetime, policy: Policy) -> Decision:
    if not incident.is_open or episode.number != incident.episode.number:
        return Decision(incident=incident, reason="PagerDuty closed the page of an episode that is over")
    if not input.report.is_human:
        return Decision(incident=incident, reason="PagerDuty resolved the page without a person")
    by = input.person or input.report.person_name or "somebody in PagerDuty"
    return resolved_by(incident, by, min(input.report.at, now), policy, text="resolved in PagerDuty", tell_pager=False)


def _annotated(incident: Incident, input: PagerReported) -> Decision:
    by = input.person or input.report.person_name or "PagerDuty"
    text = input.report.text.strip()
    if not text:
        return Decision(incident=incident, reason="an empty note")
    note = entry(incident, input.report.at, "note", by, text=text, source="pagerduty")
    return Decision(
        incident=incident,
        entries=(note,),
        effects=(say(incident, Topic.NOTE_ADDED, text=text, by=by),),
        reason="a note from PagerDuty",
    )
