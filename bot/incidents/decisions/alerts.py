"""What an alert does: open, join, repeat, clear."""

from dataclasses import dataclass, replace
from datetime import datetime

from bot.alerts.alert import Alert, FindingState, Kind, Status
from bot.alerts.flapping import STEADY
from bot.alerts.matching import Placement
from bot.alerts.routing import Outcome, name_of
from bot.incidents import heartbeats
from bot.incidents.changes import change_of, finding_of
from bot.incidents.decision import AlertRecord, Decision, Quieted, Timer
from bot.incidents.decisions.flapping import flapped, remembered
from bot.incidents.decisions.opening import alert_started, filled_in, opened_by_alert, start_clock, trace_of
from bot.incidents.decisions.resolving import opened_again
from bot.incidents.decisions.writing import BOT, entry, hold_key, refreshed, say
from bot.incidents.effects import AnnounceAlert, Effect, Topic
from bot.incidents.incident import HELD, AlertState, Incident, Severity
from bot.incidents.inputs import AlertReported, HoldPassed
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry

MOST_SAID = 10
"""So many alerts of one incident are each told in its channel."""


def reported(incident: Incident | None, report: AlertReported, now: datetime, policy: Policy) -> Decision:
    """Take an alert to where its placement says. `incident` is the one it belongs to, if it is open.

    Whatever comes of it: a change or a finding that it tells of is remembered.
    """
    placement = report.placement
    assert placement is not None
    decision = _placed(incident, report, placement, now, policy)
    rule = heartbeats.rule_for(report.alert, report.route, policy)
    beat = () if rule is None else (heartbeats.heard(report.alert, report.route, rule, now),)
    return replace(
        decision,
        timers=(*decision.timers, *beat),
        change=change_of(report.alert, placement.service, now),
        finding=finding_of(report.alert, placement.fingerprint, placement.service, now),
    )


def _placed(incident: Incident | None, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    if incident is None:
        return _without_incident(report, placement, now, policy)
    finding = report.alert.finding
    if report.alert.status is Status.RESOLVED or (finding is not None and finding.state is FindingState.DISMISSED):
        return _cleared(incident, report, placement, now, policy)
    if report.alert.status is not Status.FIRING:
        return _as_it_was(incident, report, placement, now)
    if not incident.is_open:
        return _back(incident, report, placement, now, policy)
    return _fired(incident, report, placement, now, policy)


def _without_incident(report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert = report.alert
    if placement.quiet is not None:
        return _kept_quiet(report, placement, now, policy)
    if placement.outcome is Outcome.OPEN and alert.status is Status.FIRING:
        return opened_by_alert(report, now, policy)
    if placement.outcome is Outcome.DROP:
        route = placement.route
        return Decision(dropped=route.name, reason=f"dropped by route “{route.name}”: {route.reason}")
    if alert.kind is Kind.TEST:
        return Decision(reason=placement.reason)
    if placement.outcome is Outcome.ANNOUNCE and not placement.is_repeat:
        record = replace(_record(alert, placement, None, now), is_announced=True)
        return Decision(effects=(_announcement(alert, placement, now),), alert=record, reason=placement.reason)
    return _remembered(alert, placement, None, now)


def _kept_quiet(report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    """Remembered and counted as what it would have been; nobody is told."""
    alert, known = report.alert, report.record
    assert placement.quiet is not None
    key, severity = placement.quiet.key, _asked(alert, placement, policy)
    record = replace(_record(alert, placement, None, now), severity=severity, started_at=min(alert.started_at, now), quiet_under=key)
    is_new = known is None or not known.is_firing or known.quiet_under != key
    title = "" if placement.route.private else alert.title
    return Decision(alert=record, quieted=Quieted(key, placement.fingerprint, title, severity, now, is_new), reason=placement.reason)


def _remembered(alert: Alert, placement: Placement, incident: int | None, now: datetime) -> Decision:
    return Decision(alert=_record(alert, placement, incident, now), reason=placement.reason)


def _as_it_was(incident: Incident, report: AlertReported, placement: Placement, now: datetime) -> Decision:
    """An alert that is acknowledged or muted where it comes from: it fires until it clears, or it would never clear here."""
    record, known = _record(report.alert, placement, incident.number, now), _state_of(incident, report)
    if known is not None:
        record = replace(_as_known(record, known), is_firing=known.is_firing)
    return Decision(alert=record, reason=placement.reason)


def _fired(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert = report.alert
    known = _state_of(incident, report)
    asked = _asked(alert, placement, policy)
    if known is not None and _fires_still(known, alert, now):
        record = _as_known(_record(alert, placement, incident.number, now), known)
        return _repeated(incident, known, alert, asked, now, policy, Decision(alert=record, reason=placement.reason))
    begun = _begun(incident, report, known, asked, now, policy)
    changed, entries, effects, timers = _raised(begun.incident, alert, asked, now, policy)
    told = () if begun.flaps else _joined(changed, alert, placement)
    return Decision(
        incident=changed,
        entries=(*begun.entries, *entries),
        effects=(*effects, *refreshed(changed, everywhere=bool(entries)), *begun.effects, *told),
        timers=(*timers, *begun.timers),
        cancels=(hold_key(incident),),
        alert=begun.record,
        reason=placement.reason,
    )


def _back(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    """An alert of an incident that was resolved fires again, or still: the incident is open again, with a page of its own."""
    alert = report.alert
    known = _state_of(incident, report)
    asked = _asked(alert, placement, policy)
    if known is not None and _fires_still(known, alert, now):
        begun, verb = _Begun(incident, _as_known(_record(alert, placement, incident.number, now), known)), "still fires"
    else:
        begun, verb = _begun(incident, report, known, asked, now, policy), "fires again"
    changed, worse, told = _worsened(begun.incident, alert, asked, now)
    decision = opened_again(changed, BOT, now, policy, f"{name_of(alert)} {verb}")
    return replace(
        decision,
        entries=(*begun.entries, *worse, *decision.entries),
        effects=(*decision.effects, *told, *begun.effects),
        timers=(*decision.timers, *begun.timers),
        alert=begun.record,
        reason=f"{decision.reason} {placement.reason}",
    )


def _fires_still(known: AlertState, alert: Alert, now: datetime) -> bool:
    """Whether it is the same firing. A start that we filled in is later with each report: it tells nothing of a new one."""
    is_later = alert.started_at > known.started_at and "started_at" not in filled_in(alert, now)
    return known.is_firing and not is_later


@dataclass(frozen=True, slots=True)
class _Begun:
    """The incident with an alert that began to fire, what to remember of the alert, and what there is to tell of it."""

    incident: Incident
    record: AlertRecord
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    timers: tuple[Timer, ...] = ()

    @property
    def flaps(self) -> bool:
        return self.record.flaps.since is not None


def _begun(
    incident: Incident, report: AlertReported, known: AlertState | None, asked: Severity | None, now: datetime, policy: Policy
) -> _Begun:
    alert, placement = report.alert, report.placement
    assert placement is not None
    state = _fired_state(alert, placement.fingerprint, known, asked, now, policy)
    changed = replace(_with_state(incident, known, state), cleared_at=None, proposed_at=None)
    changed, entries, effects, timers = flapped(changed, known, state, now, policy)
    record = _as_known(_record(alert, placement, incident.number, now), state)
    return _Begun(changed, record, (alert_started(changed, alert, placement.fingerprint, now), *entries), effects, timers)


def _asked(alert: Alert, placement: Placement, policy: Policy) -> Severity | None:
    """The severity that an alert asks for; None where its route opens nothing, and so raises nothing."""
    route = placement.route
    return policy.severity_for(route, alert.severity) if route.outcome is Outcome.OPEN else None


def _repeated(
    incident: Incident, known: AlertState, alert: Alert, asked: Severity | None, now: datetime, policy: Policy, quiet: Decision
) -> Decision:
    """An alert that still fires: quiet, unless it says that it got worse than it ever was.

    What it was is remembered with it: else every repeat would raise again what people lowered.
    """
    if asked is None or asked.rank >= (known.severity or incident.severity).rank:
        return quiet
    assert quiet.alert is not None
    changed = _with_state(incident, known, replace(known, severity=asked, changed_at=now))
    changed, entries, effects, timers = _raised(changed, alert, asked, now, policy)
    shown = refreshed(changed) if entries else ()
    reason = f"{quiet.reason}, worse than before: {asked.value}"
    record = replace(quiet.alert, severity=asked)
    return replace(quiet, reason=reason, incident=changed, entries=entries, effects=(*effects, *shown), timers=timers, alert=record)


def _joined(incident: Incident, alert: Alert, placement: Placement) -> tuple[Effect, ...]:
    """A message for each alert, up to a number: Slack takes one a second, and what matters would wait behind them."""
    count = incident.alert_count
    if count > MOST_SAID:
        return ()
    reason = placement.reason if count < MOST_SAID else f"{placement.reason}. Any more are counted on the card."
    return (say(incident, Topic.ALERT_JOINED, title=alert.title, reason=reason, url=alert.url),)


def _raised(
    incident: Incident, alert: Alert, severity: Severity | None, now: datetime, policy: Policy
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[Timer, ...]]:
    """A worse alert makes the incident worse, and pages where the old severity did not."""
    incident, notes, told = _worsened(incident, alert, severity, now)
    if not notes or incident.episode.pages or incident.episode.acknowledged_at:
        return incident, notes, told, ()
    incident, page_entries, page, timers = start_clock(incident, now, policy)
    return incident, (*notes, *page_entries), (*page, *told), timers


def _worsened(
    incident: Incident, alert: Alert, severity: Severity | None, now: datetime
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...]]:
    if severity is None or severity.rank >= incident.severity.rank:
        return incident, (), ()
    reason = f"alert {name_of(alert)}"
    note = entry(
        incident,
        now,
        "severity_changed",
        BOT,
        **{"from": incident.severity.value, "to": severity.value, "reason": reason},
    )
    told = say(incident, Topic.SEVERITY_CHANGED, old=incident.severity.value, new=severity.value, by=BOT, reason=reason)
    return replace(incident, severity=severity), (note,), (told,)


def _cleared(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert, known = report.alert, _state_of(incident, report)
    record = _record(alert, placement, incident.number, now)
    if known is None or not known.is_firing:
        record = record if known is None else _as_known(record, known)
        return Decision(alert=record, reason=f"{name_of(alert)} had cleared already")
    at = min(alert.ended_at or now, now)
    at = max(at, known.started_at)
    record = _as_known(record, known)
    changed = _with_state(incident, known, replace(known, is_firing=False, changed_at=now))
    cleared = entry(
        changed,
        at,
        "alert_resolved",
        BOT,
        alert=name_of(alert),
        fingerprint=placement.fingerprint,
        received_at=now,
    )
    effects: tuple[Effect, ...] = refreshed(changed, everywhere=False)
    timers: tuple[Timer, ...] = ()
    if changed.is_clear and changed.is_open:
        changed = replace(changed, cleared_at=at)
        # What flaps will be back: it is watched until it is calm, and nothing is said of each time that it clears.
        until = max(now + policy.resolve.hold, changed.flaps_until or now)
        if known.flaps.since is None:
            effects += (say(changed, Topic.ALERTS_CLEARED, hold_seconds=(until - now).total_seconds()),)
        timers = (Timer(hold_key(changed), until, HoldPassed(changed.number, at)),)
    return Decision(
        incident=changed,
        entries=(cleared,),
        effects=effects,
        timers=timers,
        alert=record,
        reason=placement.reason,
    )


def _fired_state(
    alert: Alert, fingerprint: str, known: AlertState | None, severity: Severity | None, now: datetime, policy: Policy
) -> AlertState:
    return AlertState(
        fingerprint=fingerprint,
        name=name_of(alert),
        title=alert.title,
        is_firing=True,
        source=alert.source,
        started_at=min(alert.started_at, now),
        changed_at=now,
        fires=known.fires + 1 if known else 1,
        url=alert.url,
        severity=severity,
        filled_in=filled_in(alert, now),
        trace=trace_of(alert),
        flaps=(known.flaps if known else STEADY).fired(alert.started_at, now, policy.flapping_rule()),
    )


def _as_known(record: AlertRecord, state: AlertState) -> AlertRecord:
    """A record with what is known of the alert beside its newest report."""
    return replace(record, severity=state.severity, started_at=state.started_at, fires=state.fires, flaps=state.flaps)


def _state_of(incident: Incident, report: AlertReported) -> AlertState | None:
    """What is known of an alert of this incident; None for one that is new to it."""
    placement, record = report.placement, report.record
    assert placement is not None
    held = next((one for one in incident.alerts if one.fingerprint == placement.fingerprint), None)
    if held is not None or record is None or record.incident != incident.number:
        return held
    return remembered(record, name_of(report.alert))


def _with_state(incident: Incident, known: AlertState | None, state: AlertState) -> Incident:
    """The incident with an alert as it stands now: in its value, or counted where that has as many as it holds."""
    incident = replace(incident, last_alert_at=state.changed_at)
    others = tuple(one for one in incident.alerts if one.fingerprint != state.fingerprint)
    if len(others) < len(incident.alerts) or (known is None and len(others) < HELD):
        return replace(incident, alerts=(*others, state))
    was_firing = known is not None and known.is_firing
    return replace(incident, more=incident.more + (known is None), more_firing=incident.more_firing + state.is_firing - was_firing)


def _record(alert: Alert, placement: Placement, incident: int | None, now: datetime) -> AlertRecord:
    return AlertRecord(
        fingerprint=placement.fingerprint,
        incident=incident,
        is_firing=alert.status is Status.FIRING,
        title=alert.title,
        source=alert.source,
        service=placement.service,
        at=now,
    )


def _announcement(alert: Alert, placement: Placement, now: datetime) -> AnnounceAlert:
    return AnnounceAlert(
        fingerprint=placement.fingerprint,
        title=alert.title,
        source=alert.source,
        severity=alert.severity.value,
        service=placement.service,
        reason=placement.reason,
        started_at=min(alert.started_at, now),
        url=alert.url,
        filled_in=filled_in(alert, now),
    )
