"""Somebody is on it: the clock stops, once, at the earliest moment that anybody can show."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.writing import BOT, clock_keys, entry, refreshed, say
from bot.incidents.effects import AcknowledgePage, Effect, InvitePeople, Topic
from bot.incidents.incident import Ack, Episode, Incident, PageState, Status
from bot.incidents.inputs import Acknowledge, AcknowledgementDelayed
from bot.incidents.lifecycle import check_open
from bot.incidents.policy import Policy


def acknowledge(incident: Incident, wish: Acknowledge, now: datetime, policy: Policy) -> Decision:
    """A person acknowledges in Slack. Refused, with who was first, where it is acknowledged already."""
    check_open(incident)
    episode = incident.episode
    if episode.is_ringing_again:
        return taken_up(incident, wish.by, now, "slack")
    if episode.acknowledged_at is not None:
        raise Refused(_who_was_first(incident, episode, now))
    return stopped(incident, wish.by, now, "slack", now, policy)


def stopped(incident: Incident, by: str, at: datetime, via: str, now: datetime, policy: Policy) -> Decision:
    """The first acknowledgement of the newest episode, at `at`. Tells PagerDuty, unless it came from there.

    Where PagerDuty's news that it took this one back came first, it rings again already.
    """
    episode = with_ack(incident.episode, Ack(at, by, via))
    status = Status.ACKNOWLEDGED if incident.status is Status.TRIGGERED else incident.status
    changed = replace(incident.with_episode(episode), status=status)
    seconds = (at - episode.opened_at).total_seconds()
    fields = {"via": via, "level": episode.level if episode.pages else None, "episode": episode.number}
    return Decision(
        incident=changed,
        entries=(entry(changed, at, "ack", by, **fields),),
        effects=_told(changed, episode, by, via, seconds),
        cancels=clock_keys(incident, policy),
        reason=_reason(changed, episode, seconds),
    )


def taken_up(incident: Incident, by: str, at: datetime, via: str) -> Decision:
    """Somebody acknowledges what rings again. The clock was stopped before: this changes who is on it, and no figure."""
    episode = with_ack(incident.episode, Ack(at, by, via))
    changed = incident.with_episode(episode)
    seconds = (at - episode.opened_at).total_seconds()
    return Decision(
        incident=changed,
        entries=(entry(changed, at, "ack", by, via=via, episode=episode.number),),
        effects=_told(changed, episode, by, via, seconds),
        reason=f"You acknowledged {changed.ref} again.",
    )


def with_ack(episode: Episode, ack: Ack, instead_of: Ack | None = None) -> Episode:
    """The episode with one more acknowledgement, or with one that is known better now; the same whatever order the news of
    several come in.
    """
    if ack.via != "pagerduty" and episode.taken_back_at is not None:
        # Whoever acts now saw it ring: by our clock, too, that was before.
        episode = replace(episode, taken_back_at=min(episode.taken_back_at, ack.at))
    known = tuple(one for one in acks(episode) if one != instead_of)
    is_known = any((one.at, one.by) == (ack.at, ack.by) for one in known)
    return episode if is_known else _as_heard(episode, (*known, ack))


def with_taking_back(episode: Episode, at: datetime) -> Episode:
    """The episode after news that PagerDuty took an acknowledgement back at `at`."""
    newest = max(at, episode.taken_back_at or at)
    return _as_heard(replace(episode, taken_back_at=newest), acks(episode))


def acks(episode: Episode) -> tuple[Ack, ...]:
    """All that we heard of. One from before `later_acks` was kept may only stand as who took it up."""
    found: list[Ack] = []
    if episode.acknowledged_at is not None and episode.acknowledged_by:
        found.append(Ack(episode.acknowledged_at, episode.acknowledged_by, episode.acknowledged_via or ""))
    found += episode.later_acks
    if episode.taken_up_at is not None and episode.taken_up_by and all(one.at != episode.taken_up_at for one in found):
        found.append(Ack(episode.taken_up_at, episode.taken_up_by, "slack"))
    return tuple(found)


def _as_heard(episode: Episode, heard: tuple[Ack, ...]) -> Episode:
    """Who was first, who is on it, and whether it rings: told by when things happened, not by when we heard."""
    if not heard:
        return episode
    first, *later = sorted(heard, key=lambda one: one.at)
    back = episode.taken_back_at
    was_taken_back = back is not None and first.at < back
    after = [one for one in later if back is not None and one.at >= back] if was_taken_back else []
    return replace(
        episode,
        acknowledged_at=first.at,
        acknowledged_by=first.by,
        acknowledged_via=first.via,
        later_acks=tuple(later),
        rings_since=back if was_taken_back and not after else None,
        taken_up_at=after[0].at if after else None,
        taken_up_by=after[0].by if after else None,
    )


def acknowledgement_delayed(incident: Incident, report: AcknowledgementDelayed, now: datetime) -> Decision:
    """PagerDuty does not know yet that somebody is on it. Whoever is has to hear that: it may go on ringing, or escalate."""
    episode = incident.episode_keyed(report.dedup_key)
    if episode is None or episode.acknowledged_via == "pagerduty":
        return Decision(reason="PagerDuty knows")
    facts: dict[str, Any] = {"reason": report.reason, "attempt": report.attempt}
    note = entry(incident, now, "ack_delayed", BOT, **facts, episode=episode.number)
    told = say(incident, Topic.ACK_DELAYED, (report.by,), **facts)
    return Decision(incident=incident, entries=(note,), effects=(told,), reason=report.reason)


def _told(incident: Incident, episode: Episode, by: str, via: str, seconds: float) -> tuple[Effect, ...]:
    """Everybody hears that somebody is on it; PagerDuty too, unless it came from there."""
    effects: list[Effect] = []
    if via != "pagerduty" and episode.page in (PageState.REQUESTED, PageState.DELAYED, PageState.ACCEPTED):
        effects.append(
            AcknowledgePage(incident=incident.number, dedup_key=episode.dedup_key, pager=incident.pager or "default", by=by)
        )
    return (*effects, InvitePeople(incident.number, (by,)), *refreshed(incident), said(incident, episode, by, via, seconds))


def said(incident: Incident, episode: Episode, by: str, via: str, seconds: float) -> Effect:
    """The message that somebody is on it, with how long it took against the target."""
    return say(
        incident,
        Topic.ACKNOWLEDGED,
        by=by,
        via=via,
        seconds=seconds,
        met=is_met(episode, seconds),
        level=episode.level if episode.pages else None,
    )


def is_met(episode: Episode, seconds: float) -> bool | None:
    """Whether the acknowledgement beat the target, strictly; None where nobody was paged, so there is none."""
    return None if episode.target is None else seconds < episode.target.total_seconds()


def stop_by_acting(incident: Incident, by: str, now: datetime, policy: Policy) -> Decision | None:
    """Whoever takes the lead or moves the status is on it: an acknowledgement, where one is still missing."""
    if incident.episode.is_ringing_again:
        return taken_up(incident, by, now, "slack")
    if not incident.episode.is_waiting:
        return None
    return stopped(incident, by, now, "slack", now, policy)


def joined(first: Decision | None, then: Decision) -> Decision:
    """One decision of two: `then` was decided on what `first` left."""
    if first is None:
        return then
    return replace(
        then,
        entries=(*first.entries, *then.entries),
        effects=(*first.effects, *then.effects),
        timers=(*first.timers, *then.timers),
        cancels=(*first.cancels, *then.cancels),
        reason=f"{first.reason} {then.reason}",
    )


def _reason(incident: Incident, episode: Episode, seconds: float) -> str:
    met = is_met(episode, seconds)
    if met is None:
        return f"You acknowledged {incident.ref}. Its severity pages nobody, so no clock was running."
    verdict = "within the target" if met else "after the target had passed"
    return f"You acknowledged {incident.ref} after {spoken(seconds)}, {verdict}."


def _who_was_first(incident: Incident, episode: Episode, now: datetime) -> str:
    at = episode.taken_up_at or episode.acknowledged_at
    assert at is not None
    return f"{incident.ref} was acknowledged {spoken((now - at).total_seconds())} ago by {mention(episode.holder)}."


def mention(person: str | None) -> str:
    """A person as Slack shows them, or their plain name."""
    if person and person[:1] in "UW" and person.isalnum() and person.isupper():
        return f"<@{person}>"
    return person or "somebody"


def spoken(seconds: float) -> str:
    """75 -> "1 min 15 s"; 3700 -> "1 h 1 min"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
