"""What does not belong together: an alert gets an incident of its own, and what was merged is one again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.errors import Refused
from bot.incidents.decision import AlertRecord, Decision, Quieted, Timer
from bot.incidents.decisions.alerts import after_quiet, raised, when_quiet, with_counted
from bot.incidents.decisions.flapping import remembered, watched
from bot.incidents.decisions.opening import opened_apart, start_clock, update_timers
from bot.incidents.decisions.writing import BOT, entry, hold_key, quoted, refreshed, related_key, say
from bot.incidents.effects import Topic
from bot.incidents.incident import HELD, AlertState, Episode, Incident, Severity, Status, dedup_key
from bot.incidents.inputs import RelatedLeft, Split
from bot.incidents.lifecycle import check_open
from bot.incidents.policy import Policy

BY_PREFIX = re.compile(r"`?([0-9a-f]{4,32})`?(?:[\s:,]+(.*))?", re.IGNORECASE | re.DOTALL)
BY_TITLE = re.compile(r"[“\"](.+?)[”\"][\s:,]*(.*)", re.DOTALL)
SHOWN = 6
"""So many digits of a fingerprint are shown: of as many alerts as are named, no two begin alike."""
MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Found:
    """The alerts that a person's words may mean, and the words after them: why."""

    records: tuple[AlertRecord, ...]
    reason: str = ""


def split(incident: Incident, wish: Split, now: datetime, policy: Policy) -> Decision:
    """Take an alert out: it gets an incident of its own, with a page by its severity. Without an alert: undo a merge."""
    if not wish.alert and incident.status is Status.MERGED:
        return _unmerged(incident, wish, now, policy)
    check_open(incident)
    record, reason = _meant(incident, wish)
    if not incident.can_lose_one:
        raise Refused(f"It is the only alert of {incident.ref}: there is nothing to take it out of.")
    state = _state(incident, record)
    left = replace(_without(incident, (state,)), split_off=(*incident.split_off, state.fingerprint))
    left = watched(left, [one for one in wish.records if one.fingerprint != state.fingerprint], policy)
    if wish.number is None:
        return _let_go(incident, left, record, state, wish.by, reason, now, policy)
    decision = _apart(incident, left, (record,), wish.by, wish.number, reason, now, policy)
    child = decision.incident
    assert child is not None
    asked = "Asking PagerDuty to page its on-call." if child.episode.pages else f"{child.severity.value} pages nobody."
    return replace(decision, reason=f"“{quoted(state.title)}” is {child.ref} now, no longer part of {incident.ref}. {asked}")


def opens_one(incident: Incident | None, wish: Split) -> bool:
    """Whether this opens an incident: the door gives numbers only to those that do."""
    if incident is None or not incident.is_open or not incident.can_lose_one:
        return False
    found = find(incident, wish).records
    return len(found) == 1 and found[0].is_firing


def find(incident: Incident, wish: Split) -> Found:
    """What a person means: by the beginning of a fingerprint or a title in quotes, and why; or by all the words, as a title."""
    text = wish.alert.strip()
    by_prefix, by_title = BY_PREFIX.fullmatch(text), BY_TITLE.fullmatch(text)
    if by_prefix is not None:
        found = tuple(one for one in wish.records if one.fingerprint.startswith(by_prefix[1].lower()))
        if found:
            return Found(found, wish.reason or (by_prefix[2] or "").strip())
    title, reason = (by_title[1], by_title[2].strip()) if by_title is not None else (text, "")
    wanted = " ".join(title.casefold().split())
    names = {one.fingerprint: one.name for one in incident.alerts}
    called = [(one, {one.title.casefold(), names.get(one.fingerprint, one.title).casefold()}) for one in wish.records]
    same = tuple(one for one, known in called if wanted in known)
    return Found(same or tuple(one for one, known in called if any(wanted in name for name in known)), wish.reason or reason)


def _meant(incident: Incident, wish: Split) -> tuple[AlertRecord, str]:
    """The one alert that is meant, and why. Raises `Refused`, with those that there are."""
    example = f"`/incident split {incident.ref} ALERT why`"
    if not wish.records:
        raise Refused(f"{incident.ref} has no alert that could be taken out of it.")
    found = find(incident, wish) if wish.alert else Found(wish.records)
    if not found.records:
        raise Refused(f"No alert of {incident.ref} is called “{quoted(wish.alert[:60])}”. It has {_list(wish.records)}. {example}")
    if len(found.records) > 1:
        raise Refused(f"Which alert of {incident.ref}? {_list(found.records)}. {example}")
    return found.records[0], found.reason


def _list(records: Sequence[AlertRecord]) -> str:
    shown = [f"`{one.fingerprint[:SHOWN]}` {quoted(one.title[:60])}" for one in records[:MOST_NAMED]]
    more = len(records) - len(shown)
    return "; ".join((*shown, *((f"and {more} more",) if more else ())))


def left_behind(incident: Incident | None, records: Sequence[AlertRecord]) -> tuple[AlertRecord, ...]:
    """The alerts that an incident does not explain any more, of one service, the worst first; none while it still fires."""
    if incident is None or incident.status is Status.MERGED or (incident.is_open and incident.is_going_on):
        return ()
    theirs = [one for one in records if one.is_related and one.is_firing and one.service != incident.service]
    theirs.sort(key=lambda one: (_severity(incident, one).rank, one.at, one.fingerprint))
    return tuple(one for one in theirs if one.service == theirs[0].service)


def related_left(incident: Incident, due: RelatedLeft, now: datetime, policy: Policy) -> Decision:
    """What explained these alerts is over, and they fire on: now they have an incident of their own, and wake somebody."""
    leaving = left_behind(incident, due.loud)
    silent = left_behind(incident, due.records)
    if not leaving and silent:
        return _quieted(incident, silent[0], due, now, policy)
    if not leaving or (due.number is None and due.target is None):
        return Decision(reason=f"nothing of {incident.ref} has to leave it")
    states = tuple(_state(incident, one) for one in leaving)
    over = "has cleared" if incident.is_open else f"is {incident.status.value}"
    reason = f"{incident.ref}, which explained it, {over}, and it fires on"
    names = {one.fingerprint for one in leaving}
    others = [one for one in due.records if one.fingerprint not in names]
    left = watched(_without(incident, states), others, policy) if _may_be_open(incident) else incident
    if due.target is not None:
        decision = _handed_over(incident, left, leaving, due.target, reason, now, policy)
    else:
        assert due.number is not None
        decision = _apart(incident, left, leaving, BOT, due.number, reason, now, policy)
    return replace(decision, timers=(*decision.timers, *_again(left, others, now)))


def _again(left: Incident, others: Sequence[AlertRecord], now: datetime) -> tuple[Timer, ...]:
    """The next turn, where more have to leave: one service at a time, and one that is quiet after those that are not."""
    return (Timer(related_key(left), now, RelatedLeft(left.number)),) if left_behind(left, others) else ()


def _quieted(incident: Incident, record: AlertRecord, due: RelatedLeft, now: datetime, policy: Policy) -> Decision:
    """A silence or a maintenance window covers it by now: it is kept and counted under that, as one that is new would be."""
    state, quiet, severity = _state(incident, record), due.quiet[record.fingerprint], _severity(incident, record)
    others = [one for one in due.records if one.fingerprint != record.fingerprint]
    left = watched(_without(incident, (state,)), others, policy) if _may_be_open(incident) else incident
    left, told, timers = when_quiet(incident, left, now, now, policy) if incident.is_open else (left, (), ())
    note = entry(left, now, "split_off", BOT, alert=state.name, fingerprint=state.fingerprint, reason=quiet.reason)
    if (report := record.report) is not None:
        alert = replace(report.alert, started_at=state.started_at)
        timers = (*timers, after_quiet(quiet, alert, report.endpoint, record.fingerprint, severity))
    return Decision(
        incident=left if _may_be_open(incident) else None,
        entries=(note,),
        effects=(*told, *(refreshed(left, everywhere=False) if incident.is_open else ())),
        timers=(*timers, *_again(left, others, now)),
        moved=(replace(record, incident=None, is_related=False, severity=severity, quiet_under=quiet.key),),
        quieted=Quieted(quiet.key, record.fingerprint, "" if incident.private else state.title, severity, now, is_new=True),
        reason=f"{state.name} of {incident.ref} is {quiet.reason}",
    )


def _apart(
    incident: Incident,
    left: Incident,
    leaving: Sequence[AlertRecord],
    by: str,
    number: int,
    reason: str,
    now: datetime,
    policy: Policy,
) -> Decision:
    """The new incident of some alerts, and what is left of the one they were part of. Each names the other, and why."""
    states = tuple(_state(incident, one) for one in leaving)
    details = f"Taken out of {incident.ref}: {reason or 'it is another incident'}"
    decision = opened_apart(incident, states, number, by, details, now, policy)
    child = decision.incident
    assert child is not None
    decision = replace(decision, effects=(*decision.effects, say(child, Topic.SPLIT, parent=left.number, by=by, reason=reason)))
    return _parted(decision, child, incident, left, leaving, by, reason, now, policy)


def _handed_over(
    incident: Incident, left: Incident, leaving: Sequence[AlertRecord], target: Incident, reason: str, now: datetime, policy: Policy
) -> Decision:
    """To the incident of their own service that is open: the same people would be woken twice. It becomes as bad as they are."""
    states = tuple(replace(_state(incident, one), is_related=False, why=f"left {incident.ref}") for one in leaving)
    room = max(0, HELD - len(target.alerts))
    changed = replace(target, alerts=(*target.alerts, *states[:room]), cleared_at=None, proposed_at=None)
    for state in states[room:]:
        changed = with_counted(changed, state, 1)
    ours = watched(replace(incident, alerts=states), (), policy).flaps_until
    changed = replace(changed, flaps_until=max((one for one in (target.flaps_until, ours) if one is not None), default=None))
    changed, entries, effects, timers = raised(changed, states[0].name, states[0].severity, now, policy, None)
    told = (say(changed, Topic.ALERT_JOINED, title=one.title, reason=reason, url=one.url) for one in states[:MOST_NAMED])
    decision = Decision(
        incident=changed,
        entries=entries,
        effects=(*effects, *refreshed(changed), *told),
        timers=timers,
        cancels=(hold_key(target), related_key(target)),
    )
    return _parted(decision, changed, incident, left, leaving, BOT, reason, now, policy)


def _parted(
    decision: Decision,
    child: Incident,
    incident: Incident,
    left: Incident,
    leaving: Sequence[AlertRecord],
    by: str,
    reason: str,
    now: datetime,
    policy: Policy,
) -> Decision:
    """The decision on where alerts go, with what becomes of the incident they leave."""
    states = tuple(_state(incident, one) for one in leaving)
    left, quiet, timers = when_quiet(incident, left, now, now, policy) if incident.is_open else (left, (), ())
    names, prints = ", ".join(one.name for one in states), ", ".join(one.fingerprint for one in states)
    told = {"alert": names, "fingerprint": prints, "reason": reason or None}
    notes = (
        entry(left, now, "split_off", by, into=child.ref, **told),
        entry(child, now, "split_from", by, **{"from": incident.ref}, **told),
    )
    titles = "; ".join(one.title for one in states)
    parent_told = say(left, Topic.SPLIT_OFF, child=child.number, title=titles, by=by, reason=reason)
    shown = refreshed(left) if incident.is_open else ()
    return replace(
        decision,
        others=(left,) if _may_be_open(incident) else (),
        entries=(*decision.entries, *notes),
        effects=(*decision.effects, parent_told, *shown, *quiet),
        timers=(*decision.timers, *timers),
        moved=tuple(replace(one, incident=child.number, is_related=False, severity=_severity(incident, one)) for one in leaving),
        reason=f"{names} of {incident.ref} went to {child.ref}: {reason}",
    )


def _may_be_open(incident: Incident) -> bool:
    """Whether it is open, or may be again: then it must not hold what left it. What is over for good stays as it was."""
    return incident.is_open or incident.status is Status.RESOLVED


def _let_go(
    incident: Incident, left: Incident, record: AlertRecord, state: AlertState, by: str, reason: str, now: datetime, policy: Policy
) -> Decision:
    """One that fires no more opens nothing now; should it fire again, it does not come back here."""
    left, quiet, timers = when_quiet(incident, left, now, now, policy) if not left.is_clear else (left, (), ())
    note = entry(left, now, "split_off", by, alert=state.name, fingerprint=state.fingerprint, reason=reason or None)
    told = say(left, Topic.SPLIT_OFF, child=None, title=state.title, by=by, reason=reason)
    return Decision(
        incident=left,
        entries=(note,),
        effects=(told, *refreshed(left, everywhere=False), *quiet),
        timers=timers,
        moved=(replace(record, incident=None, is_related=False),),
        reason=f"“{quoted(state.title)}” has cleared, and is no longer part of {incident.ref}. "
        "Should it fire again, it is an incident of its own.",
    )


def _unmerged(child: Incident, wish: Split, now: datetime, policy: Policy) -> Decision:
    """An incident of its own again: a new episode with a page and a clock, and the alerts that it gave to the other."""
    parent = wish.target
    if parent is None or not parent.is_open:
        raise Refused(_why_not(child, parent))
    mine = {one.fingerprint: one for one in child.alerts}
    moved = tuple(one for one in wish.records if one.fingerprint in mine)
    states = tuple(_state(parent, one) for one in moved)
    names = tuple(one.fingerprint for one in states)
    left = replace(_without(parent, states), split_off=tuple(dict.fromkeys((*parent.split_off, *names))))
    left = watched(left, [one for one in wish.records if one.fingerprint not in mine], policy)
    number = child.episode.number + 1
    episode = Episode(number=number, opened_at=now, dedup_key=dedup_key(child.number, number, now))
    changed = replace(
        child.with_episode(episode), status=Status.TRIGGERED, merged_into=None, closed_at=None, mitigated_at=None, proposed_at=None,
        cleared_at=None, pager_id=None, pager_url=None, alerts=states, more=0, more_firing=0, more_related=0, more_related_firing=0,
    )  # fmt: skip
    changed = watched(changed, (), policy)
    changed, asked, page, timers = start_clock(changed, now, policy, wish.reason)
    if not changed.episode.pages:
        changed = replace(changed, status=Status.INVESTIGATING)
    left, quiet, quiet_timers = when_quiet(parent, left, now, now, policy)
    if changed.alerts and changed.is_clear:
        changed, hold, hold_timers = when_quiet(changed, changed, now, now, policy)
        quiet, quiet_timers = (*quiet, *hold), (*quiet_timers, *hold_timers)
    facts = {"reason": wish.reason or None}
    notes = (
        entry(changed, now, "reopened", wish.by, episode=number, split_from=parent.ref, **facts),
        entry(left, now, "split_off", wish.by, into=child.ref, **facts),
    )
    told = (
        say(changed, Topic.UNMERGED, parent=parent.number, by=wish.by, reason=wish.reason),
        say(left, Topic.SPLIT_OFF, child=child.number, title=child.title, by=wish.by, reason=wish.reason),
    )
    pages = "Asking PagerDuty to page its on-call." if changed.episode.pages else f"{changed.severity.value} pages nobody."
    stay = f" {child.more} more of its alerts stay in {parent.ref}." if child.more else ""
    return Decision(
        incident=changed,
        others=(left,),
        entries=(*notes, *asked),
        effects=(*page, *refreshed(changed), *refreshed(left), *told, *quiet),
        timers=(*timers, *update_timers(changed, now, policy), *quiet_timers),
        moved=tuple(replace(one, incident=child.number) for one in moved),
        reason=f"{changed.ref} is an incident of its own again, no longer part of {parent.ref}. {pages}{stay}",
    )


def _why_not(child: Incident, parent: Incident | None) -> str:
    if parent is None:
        return f"{child.ref} was merged into what is not there any more. Declare a new incident."
    if parent.status is Status.MERGED:
        return f"{parent.ref}, which {child.ref} is part of, was merged itself. First `/incident split {parent.ref}`."
    over = f"{parent.ref}, which {child.ref} is part of, is {parent.status.value}"
    return f"{over}. If this is happening again, declare a new incident."


def _without(incident: Incident, leaving: Sequence[AlertState]) -> Incident:
    """The incident without some of its alerts, held or only counted."""
    for state in leaving:
        kept = tuple(one for one in incident.alerts if one.fingerprint != state.fingerprint)
        is_held = len(kept) < len(incident.alerts)
        incident = replace(incident, alerts=kept) if is_held else with_counted(incident, state, -1)
    return incident


def _state(incident: Incident, record: AlertRecord) -> AlertState:
    """What is known of an alert: what the incident holds of it, or, beyond as many as it holds, the record."""
    held = next((one for one in incident.alerts if one.fingerprint == record.fingerprint), None)
    return held or remembered(record)


def _severity(incident: Incident, record: AlertRecord) -> Severity:
    return record.severity or incident.severity
