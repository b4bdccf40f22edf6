"""Small words that every decision is written in: entries, timer keys, the effects that bring the views up to date."""

from datetime import datetime, timedelta
from typing import Any

from bot.incidents.decision import Timer
from bot.incidents.effects import Effect, Place, Say, SetTopic, ShowAnnouncement, ShowSummary, Topic
from bot.incidents.incident import BOT as BOT
from bot.incidents.incident import Episode, Incident
from bot.incidents.inputs import RelatedLeft
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry


def entry(incident: Incident, at: datetime, type_: str, by: str | None, **fields: Any) -> Entry:
    """A timeline entry of `incident`; fields that are None are left out."""
    kept = {key: value for key, value in fields.items() if value is not None}
    return Entry(at=at, type=type_, incident=incident.ref, by=by, fields=kept)


def refreshed(incident: Incident, *, everywhere: bool = True) -> tuple[Effect, ...]:
    """Bring the card up to date; with `everywhere`, topic and announcement too.

    Private incidents have no announcement.
    """
    if not everywhere:
        return (ShowSummary(incident.number),)
    if incident.private:
        return (ShowSummary(incident.number), SetTopic(incident.number))
    return (ShowSummary(incident.number), SetTopic(incident.number), ShowAnnouncement(incident.number))


def say(
    incident: Incident,
    topic: Topic,
    people: tuple[str, ...] = (),
    place: Place = Place.INCIDENT,
    **facts: Any,
) -> Say:
    """A message about `incident`; `people` are mentioned, each once."""
    return Say(incident.number, topic, facts, place, tuple(dict.fromkeys(people)))


def loudly(incident: Incident, topic: Topic, people: tuple[str, ...] = (), **facts: Any) -> tuple[Say, ...]:
    """The same message in the incident's channel and where everybody reads; private incidents stay in their channel."""
    here = say(incident, topic, people, **facts)
    if incident.private:
        return (here,)
    return (here, say(incident, topic, people, Place.ANNOUNCE, **facts))


def reminder_key(incident: Incident, episode: Episode, after_seconds: int) -> str:
    """The key of one reminder's timer."""
    return f"{incident.ref}/{episode.number}/reminder/{after_seconds}"


def target_key(incident: Incident, episode: Episode) -> str:
    """The key of the timer at the next acknowledgement deadline, whatever level it pages."""
    return f"{incident.ref}/{episode.number}/target"


def card_key(incident: Incident) -> str:
    """The key of the timer that keeps the card's clock running."""
    return f"{incident.ref}/card"


def update_keys(incident: Incident) -> tuple[str, str]:
    """The keys of the timers before and at the promised update."""
    return f"{incident.ref}/update/soon", f"{incident.ref}/update/late"


def quiet_key(key: str, fingerprint: str = "") -> str:
    """The key of the timer at the end of what keeps an alert quiet; without a fingerprint, what begins those of all alerts."""
    return f"quiet/{key}/{fingerprint}"


def hold_key(incident: Incident) -> str:
    """The key of the timer at the end of the hold."""
    return f"{incident.ref}/hold"


def calm_key(fingerprint: str) -> str:
    """The key of the timer at which an alert that flaps will have been calm for long enough.

    In order before any of an incident: of two that come due at once, it is known to be calm before that resolves.
    """
    return f"ALERT/{fingerprint}/calm"


def related_key(incident: Incident) -> str:
    """The key of the timer at which related alerts that fire on get incidents of their own."""
    return f"{incident.ref}/related"


def left_timers(incident: Incident, at: datetime) -> tuple[Timer, ...]:
    """The timer at which related alerts of other services get incidents of their own, where any of them fires."""
    return (Timer(related_key(incident), at, RelatedLeft(incident.number)),) if incident.explains_others else ()


def left_behind(before: Incident, incident: Incident, at: datetime) -> tuple[Timer, ...]:
    """The same, where what explains them was going on before, and is no more."""
    return left_timers(incident, at) if before.is_going_on and not incident.is_going_on else ()


def hold_of_others(incident: Incident, hold: timedelta, now: datetime) -> tuple[Timer, ...]:
    """The same at the end of the hold since its own alerts are clear, or since what was declared is only monitored: however often
    a related one fires, it is no later.
    """
    since = incident.mitigated_at if incident.is_declared_alone else incident.last_alert_at
    return () if incident.is_going_on else left_timers(incident, max(now, (since or now) + hold))


def clock_keys(incident: Incident, policy: Policy) -> tuple[str, ...]:
    """Every timer of the acknowledgement clock of the newest episode."""
    episode = incident.episode
    seconds = {int(span.total_seconds()) for rule in policy.severities.values() for span in rule.reminders}
    reminders = (reminder_key(incident, episode, one) for one in sorted(seconds))
    return (*reminders, target_key(incident, episode), card_key(incident))


def all_keys(incident: Incident, policy: Policy) -> tuple[str, ...]:
    """Every timer an incident may have waiting."""
    return (*clock_keys(incident, policy), *update_keys(incident), hold_key(incident), related_key(incident))


def quoted(text: str) -> str:
    """Text from outside in a reason that people read: whatever it holds, it names nobody there."""
    return text.replace("<@", "‹@").replace("<#", "‹#")


def whoever_is_on_it(incident: Incident) -> tuple[str, ...]:
    """Whom to speak to: the commander, else who acknowledged, else whom PagerDuty assigned or notified."""
    holders = next(iter(incident.roles.values()), ())
    episode = incident.episode
    if holders:
        return holders
    if episode.holder:
        return (episode.holder,)
    return tuple(dict.fromkeys((*episode.assignees, *episode.notified)))
