"""Alerts that flap: said once, held open until they are calm."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.decisions.writing import BOT, calm_key, entry, refreshed, say
from bot.incidents.effects import Effect, Topic
from bot.incidents.incident import AlertState, Incident
from bot.incidents.inputs import CalmPassed
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry


def flapped(
    incident: Incident, before: AlertState | None, state: AlertState, now: datetime, policy: Policy
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[Timer, ...]]:
    """What a fire means for an alert's flapping. The incident is not resolved by itself before it is calm.

    That it flaps is on the timeline, and told once: of the first alert that does. Each fire is counted on the card.
    """
    rule, flaps = policy.flapping_rule(), state.flaps
    entries: list[Entry] = []
    if before is not None and before.flaps.since not in (None, flaps.since):
        entries.append(_ended(incident, before, policy))
    calm = flaps.calm_at(rule)
    if flaps.since is None or calm is None:
        return incident, tuple(entries), (), ()
    told: tuple[Effect, ...] = ()
    if before is None or before.flaps.since != flaps.since:
        facts: dict[str, Any] = {"fires": flaps.count(flaps.since, rule), "within_seconds": rule.within.total_seconds()}
        entries.append(entry(incident, flaps.since, "flapping_started", BOT, **_named(state), **facts))
        if incident.flaps_until is None or incident.flaps_until <= now:
            told = (say(incident, Topic.FLAPPING, title=state.title, **facts),)
    changed = replace(incident, flaps_until=max(calm, incident.flaps_until or calm))
    return changed, tuple(entries), told, (Timer(calm_key(state.fingerprint), calm, CalmPassed(state.fingerprint)),)


def watched(incident: Incident, records: Sequence[AlertRecord], policy: Policy) -> Incident:
    """The incident, watched for as long as those of its alerts that flap ask for, after some came or left. `records` are of
    those that it does not hold."""
    names = {one.fingerprint for one in incident.alerts}
    flaps = (*(one.flaps for one in incident.alerts), *(one.flaps for one in records if one.fingerprint not in names))
    calm = (one.calm_at(policy.flapping_rule()) for one in flaps if one.since is not None)
    return replace(incident, flaps_until=max((one for one in calm if one is not None), default=None))


def calm_passed(incident: Incident | None, due: CalmPassed, now: datetime, policy: Policy) -> Decision:
    """An alert that flapped has not fired for long enough. `incident` is the one it belongs to by now, open or not."""
    record, rule = due.record, policy.flapping_rule()
    if incident is None or record is None:
        return Decision(reason="that alert is forgotten")
    held = next((one for one in incident.alerts if one.fingerprint == due.fingerprint), None)
    state = held or remembered(record)
    calm = state.flaps.calm_at(rule)
    if state.flaps.since is None or calm is None:
        return Decision(reason=f"{state.name} does not flap")
    if now < calm:
        return Decision(timers=(Timer(calm_key(due.fingerprint), calm, due),), reason=f"{state.name} fired meanwhile")
    others = [replace(one, flaps=one.flaps.calmed()) if one is held else one for one in incident.alerts]
    return Decision(
        incident=incident if held is None else replace(incident, alerts=tuple(others)),
        entries=(_ended(incident, state, policy),),
        effects=refreshed(incident, everywhere=False),
        calmed=replace(record, flaps=record.flaps.calmed()),
        reason=f"{state.name} is calm",
    )


def remembered(record: AlertRecord, name: str = "") -> AlertState:
    """What is known of an alert that an incident does not hold itself."""
    return AlertState(
        record.fingerprint, name or record.title, record.title, record.is_firing, record.source, record.started_at or record.at,
        record.at, fires=record.fires, severity=record.severity, flaps=record.flaps, service=record.service,
        is_related=record.is_related, pager=record.pager,
    )  # fmt: skip


def _ended(incident: Incident, state: AlertState, policy: Policy) -> Entry:
    calm = state.flaps.calm_at(policy.flapping_rule())
    assert calm is not None
    return entry(incident, calm, "flapping_ended", BOT, **_named(state), fires=state.fires)


def _named(state: AlertState) -> dict[str, str]:
    return {"alert": state.name, "fingerprint": state.fingerprint}
