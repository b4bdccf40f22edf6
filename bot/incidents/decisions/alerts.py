"""What an alert does: open, join, repeat, clear."""

from dataclasses import replace
from datetime import datetime

from bot.alerts.alert import Alert, FindingState, Kind, Status
from bot.alerts.matching import Ended, Placement
from bot.alerts.routing import Outcome, name_of
from bot.incidents import heartbeats
from bot.incidents.changes import change_of, finding_of
from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.decisions.opening import alert_started, filled_in, opened_by_alert, start_clock, trace_of
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
    if placement.was_overtaken:
        is_here = incident is not None and incident.is_open
        return _as_it_was(incident, report, placement, now) if is_here and incident else Decision(reason=placement.reason)
    if incident is None or not incident.is_open:
        return _without_incident(report, placement, now, policy)
    finding = report.alert.finding
    if report.alert.status is Status.RESOLVED or (finding is not None and finding.state is FindingState.DISMISSED):
        return _cleared(incident, report, placement, now, policy)
    if report.alert.status is not Status.FIRING:
        return _as_it_was(incident, report, placement, now)
    return _fired(incident, report, placement, now, policy)


def _without_incident(report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert = report.alert
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


def _remembered(alert: Alert, placement: Placement, incident: int | None, now: datetime) -> Decision:
    return Decision(alert=_record(alert, placement, incident, now), reason=placement.reason)


def _as_it_was(incident: Incident, report: AlertReported, placement: Placement, now: datetime) -> Decision:
    """An alert that is acknowledged or muted where it comes from: it fires until it clears, or it would never clear here."""
    record, known = _record(report.alert, placement, incident.number, now), _state_of(incident, report)
    if known is not None:
        ended = report.record.ended if report.record else None
        record = replace(record, is_firing=known.is_firing, severity=known.severity, started_at=known.started_at, ended=ended)
    return Decision(alert=record, reason=placement.reason)


def _fired(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert = report.alert
    known = _state_of(incident, report)
    # A start that we filled in is later with each report: it tells nothing of a new one.
    is_later = alert.started_at > known.started_at if known and "started_at" not in filled_in(alert, now) else False
    asked = _asked(alert, placement, policy)
    record = _record(alert, placement, incident.number, now)
    if known is not None and known.is_firing and not is_later:
        record = replace(record, severity=known.severity, started_at=known.started_at)
        return _repeated(incident, known, alert, asked, now, policy, Decision(alert=record, reason=placement.reason))
    state = _fired_state(alert, placement.fingerprint, known, asked, now)
    record = replace(record, severity=state.severity, started_at=state.started_at)
    changed = replace(_with_state(incident, known, state), cleared_at=None, proposed_at=None)
    changed, entries, effects, timers = _raised(changed, alert, asked, now, policy)
    return Decision(
        incident=changed,
        entries=(alert_started(changed, alert, placement.fingerprint, now), *entries),
        effects=(*effects, *refreshed(changed, everywhere=bool(entries)), *_joined(changed, alert, placement)),
        timers=timers,
        cancels=(hold_key(incident),),
        alert=record,
        reason=placement.reason,
    )


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
    if severity is None or severity.rank >= incident.severity.rank:
        return incident, (), (), ()
    reason = f"alert {name_of(alert)}"
    note = entry(
        incident,
        now,
        "severity_changed",
        BOT,
        **{"from": incident.severity.value, "to": severity.value, "reason": reason},
    )
    told = say(incident, Topic.SEVERITY_CHANGED, old=incident.severity.value, new=severity.value, by=BOT, reason=reason)
    incident = replace(incident, severity=severity)
    if incident.episode.pages or incident.episode.acknowledged_at:
        return incident, (note,), (told,), ()
    incident, page_entries, page, timers = start_clock(incident, now, policy)
    return incident, (note, *page_entries), (*page, told), timers


def _cleared(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert, known = report.alert, _state_of(incident, report)
    record = _record(alert, placement, incident.number, now)
    if known is None or not known.is_firing:
        return Decision(alert=record, reason=f"{name_of(alert)} had cleared already")
    at = min(alert.ended_at or now, now)
    if alert.changed_at is not None and "started_at" not in known.filled_in and alert.changed_at < known.started_at:
        return _had_cleared(incident, report, placement, known, at, now)
    at = max(at, known.started_at)
    record = replace(record, severity=known.severity, started_at=known.started_at)
    changed = _with_state(incident, known, replace(known, is_firing=False, changed_at=now))
    cleared = _cleared_entry(changed, alert, placement, at, now)
    effects: tuple[Effect, ...] = refreshed(changed, everywhere=False)
    timers: tuple[Timer, ...] = ()
    if changed.is_clear:
        changed = replace(changed, cleared_at=at)
        hold = policy.resolve.hold
        effects += (say(changed, Topic.ALERTS_CLEARED, hold_seconds=hold.total_seconds()),)
        timers = (Timer(hold_key(changed), now + hold, HoldPassed(changed.number, at)),)
    return Decision(
        incident=changed,
        entries=(cleared,),
        effects=effects,
        timers=timers,
        alert=record,
        reason=placement.reason,
    )


def _had_cleared(
    incident: Incident, report: AlertReported, placement: Placement, known: AlertState, at: datetime, now: datetime
) -> Decision:
    """It cleared and fired again, and the news of the first came last: that is told, and it fires."""
    still = replace(_record(report.alert, placement, incident.number, now), is_firing=True, ended=None)
    return Decision(
        entries=(_cleared_entry(incident, report.alert, placement, at, now),),
        alert=replace(still, severity=known.severity, started_at=known.started_at),
        reason=f"{name_of(report.alert)} cleared before it fired again",
    )


def _cleared_entry(incident: Incident, alert: Alert, placement: Placement, at: datetime, now: datetime) -> Entry:
    fingerprint = placement.fingerprint
    return entry(incident, at, "alert_resolved", BOT, alert=name_of(alert), fingerprint=fingerprint, received_at=now)


def _fired_state(alert: Alert, fingerprint: str, known: AlertState | None, severity: Severity | None, now: datetime) -> AlertState:
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
    )


def _state_of(incident: Incident, report: AlertReported) -> AlertState | None:
    """What is known of an alert of this incident; None for one that is new to it."""
    placement, record = report.placement, report.record
    assert placement is not None
    held = next((one for one in incident.alerts if one.fingerprint == placement.fingerprint), None)
    if held is not None or record is None or record.incident != incident.number:
        return held
    started = record.started_at or record.at
    return AlertState(
        record.fingerprint, name_of(report.alert), record.title, record.is_firing, record.source, started, record.at,
        severity=record.severity,
    )  # fmt: skip


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
        ended=Ended(alert.changed_at, now) if alert.status is Status.RESOLVED and alert.changed_at else None,
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
