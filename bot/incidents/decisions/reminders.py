"""What the passing of time asks for: reminders, the breach of the target, the next level, late updates."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.incidents.decision import Decision, Timer
from bot.incidents.decisions.opening import CARD_EVERY
from bot.incidents.decisions.writing import (
    BOT,
    card_key,
    entry,
    loudly,
    refreshed,
    say,
    target_key,
    whoever_is_on_it,
)
from bot.incidents.effects import Effect, PageNextLevel, Topic
from bot.incidents.incident import Episode, Incident, Role
from bot.incidents.inputs import ReminderDue, SummaryAged, TargetPassed, UpdateDue
from bot.incidents.policy import Policy

OVER = Decision(reason="acknowledged or over meanwhile")
CARD_RUNS_FOR = timedelta(minutes=60)


def reminder_due(incident: Incident, due: ReminderDue, now: datetime) -> Decision:
    """Still nobody: say so to whoever PagerDuty has woken."""
    episode = incident.episode
    if not _waits(incident, due.episode) or episode.deadline is None or now >= episode.deadline:
        return OVER
    note = entry(incident, now, "reminder", BOT, after_seconds=due.after_seconds, episode=episode.number)
    told = say(
        incident,
        Topic.ACK_REMINDER,
        (*episode.notified, *episode.assignees),
        minutes=due.after_seconds / 60,
        target_minutes=_target_minutes(episode),
        page=episode.page.value,
    )
    return Decision(
        incident=incident,
        entries=(note,),
        effects=(told, *refreshed(incident, everywhere=False)),
        reason=f"{incident.ref} is not acknowledged after {due.after_seconds} s",
    )


def target_passed(incident: Incident, due: TargetPassed, now: datetime, policy: Policy) -> Decision:
    """The target is missed: recorded once, at the moment it passed; and the next level is asked for."""
    if not _waits(incident, due.episode):
        return OVER
    episode = incident.episode
    level = max(due.level, episode.level + 1)
    is_last = level > policy.paging.highest_level
    breached = replace(
        episode,
        breached_at=episode.breached_at or episode.deadline,
        asked_level=episode.asked_level if is_last else max(level, episode.asked_level),
    )
    changed = incident.with_episode(breached)
    entries = (
        ()
        if episode.breached_at
        else (
            entry(
                changed,
                episode.deadline or now,
                "ack_breached",
                BOT,
                episode=episode.number,
                target_seconds=_target_seconds(episode),
            ),
        )
    )
    effects: tuple[Effect, ...] = ()
    if not is_last:
        effects = (PageNextLevel(incident=changed.number, dedup_key=episode.dedup_key, level=level),)
    people = (*policy.service(changed.service).people, *episode.notified, *episode.assignees)
    told = loudly(
        changed,
        Topic.ACK_BREACHED,
        people,
        seconds=(now - episode.opened_at).total_seconds(),
        next_level=0 if is_last else level,
        escalation="none" if is_last else "asked",
        page=episode.page.value,
    )
    return Decision(
        incident=changed,
        entries=entries,
        effects=(*effects, *told, *refreshed(changed)),
        timers=() if is_last else _next_level(changed, level, now, policy),
        reason=f"{changed.ref} was not acknowledged within {_target_minutes(episode):g} min",
    )


def _next_level(incident: Incident, level: int, now: datetime, policy: Policy) -> tuple[Timer, ...]:
    within = policy.rule(incident.severity).acknowledge_within
    due = TargetPassed(incident.number, incident.episode.number, level + 1)
    return (Timer(target_key(incident, incident.episode), now + within, due),)


def summary_aged(incident: Incident, due: SummaryAged, now: datetime) -> Decision:
    """Keep the card's clock running while nobody is on it; an hour of it is enough."""
    if not _waits(incident, due.episode) or now - incident.episode.opened_at > CARD_RUNS_FOR:
        return OVER
    timer = Timer(card_key(incident), now + CARD_EVERY, SummaryAged(incident.number, due.episode))
    return Decision(
        incident=incident,
        effects=refreshed(incident, everywhere=False),
        timers=(timer,),
        reason="the clock runs",
    )


def update_due(incident: Incident, due: UpdateDue, now: datetime) -> Decision:
    """An update is nearly due, or was promised and has not come."""
    newest = incident.update
    if not incident.is_open or (newest is not None and newest.next_by != due.promised_at):
        return OVER
    people = incident.roles.get(Role.COMMUNICATIONS) or whoever_is_on_it(incident)
    facts: dict[str, Any] = {"next_by": due.promised_at.isoformat()}
    if not due.is_late:
        return Decision(
            incident=incident,
            effects=(say(incident, Topic.UPDATE_SOON, people, **facts),),
            reason="an update is nearly due",
        )
    note = entry(incident, now, "update_overdue", BOT, promised_for=due.promised_at)
    return Decision(
        incident=incident,
        entries=(note,),
        effects=(say(incident, Topic.UPDATE_LATE, people, **facts),),
        reason=f"the update of {incident.ref} is late",
    )


def _waits(incident: Incident, episode: int) -> bool:
    return incident.is_open and incident.episode.number == episode and incident.episode.is_waiting


def _target_seconds(episode: Episode) -> int:
    return int(episode.target.total_seconds()) if episode.target else 0


def _target_minutes(episode: Episode) -> float:
    return _target_seconds(episode) / 60
