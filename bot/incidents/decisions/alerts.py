"""What an alert does: open, join, repeat, clear."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.alerts.alert import Alert, FindingState, Kind, Status
from bot.alerts.flapping import STEADY
from bot.alerts.matching import LOUDEST, Ended, Placement, by_its_clock
from bot.alerts.quiet import Quiet, called
from bot.alerts.routing import Outcome, name_of
from bot.incidents import heartbeats
from bot.incidents.changes import change_of, finding_of
from bot.incidents.decision import AlertRecord, Decision, Quieted, Reported, Timer
from bot.incidents.decisions.flapping import flapped, remembered
from bot.incidents.decisions.helping import gathered_on_call, outgrown_on_call
from bot.incidents.decisions.opening import (
    TITLE_LIMIT,
    alert_started,
    filled_in,
    newest_word,
    opened_by_alert,
    pager_of,
    start_clock,
    trace_of,
)
from bot.incidents.decisions.resolving import opened_again, with_its_own
from bot.incidents.decisions.writing import (
    BOT,
    entry,
    hold_key,
    hold_of_others,
    left_behind,
    quiet_key,
    refreshed,
    related_key,
    say,
)
from bot.incidents.effects import AnnounceAlert, Effect, RaiseAlarm, Topic
from bot.incidents.incident import HELD, AlertState, Incident, Severity
from bot.incidents.inputs import AlertReported, HoldPassed, QuietPassed
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
    before = report.record.quiet_under if report.record is not None else None
    if before is not None and placement.quiet is None and report.alert.status is Status.FIRING:
        placement = replace(placement, reason=f"was under {called(before)} until now; {placement.reason}")
        report = replace(report, placement=placement)
    decision = _quiet_until_now(_placed(incident, report, placement, now, policy), report, placement, now)
    rule = heartbeats.rule_for(report.alert, report.route, policy)
    beat = () if rule is None else (heartbeats.heard(report.alert, report.route, rule, now),)
    record = decision.alert
    if record is not None and record.is_related:
        record = replace(record, report=Reported(report.alert, report.route))
    if report.missed is not None and placement.quiet is not None:
        beat = (heartbeats.kept_quiet(report.missed, now),)
    return replace(
        decision,
        alert=record,
        timers=(*decision.timers, *beat),
        cancels=(*decision.cancels, *((heartbeats.expected_key(rule),) if rule is not None and rule.expect else ())),
        heard="" if rule is None else rule.name,
        change=change_of(report.alert, placement.service, now, is_private=placement.route.private),
        finding=finding_of(report.alert, placement.fingerprint, placement.service, now, is_private=placement.route.private),
    )


def _quiet_until_now(decision: Decision, report: AlertReported, placement: Placement, now: datetime) -> Decision:
    """With what there is to do and to tell where something kept the alert quiet before this report, and does so no more."""
    known = report.record
    if report.alert.status in (Status.ACKNOWLEDGED, Status.SUPPRESSED):
        # It fires on, as far as is known here: what is to happen at the end of the quiet is still to happen.
        return decision
    if known is None or known.quiet_under is None or (placement.quiet is not None and placement.quiet.key == known.quiet_under):
        return decision
    decision = replace(decision, cancels=(*decision.cancels, quiet_key(known.quiet_under, placement.fingerprint)))
    if placement.quiet is not None or decision.incident is None or not known.is_firing:
        return decision
    told = entry(
        decision.incident, now, "alert_quieted", BOT, alert=name_of(report.alert), fingerprint=placement.fingerprint,
        since=known.started_at, under=called(known.quiet_under),
    )  # fmt: skip
    return replace(decision, entries=(told, *decision.entries))


def _placed(incident: Incident | None, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    if placement.was_overtaken:
        is_here = incident is not None and incident.is_open
        return _as_it_was(incident, report, placement, now) if is_here and incident else Decision(reason=placement.reason)
    if incident is None:
        return _without_incident(report, placement, now, policy)
    finding = report.alert.finding
    if report.alert.status is Status.RESOLVED or (finding is not None and finding.state is FindingState.DISMISSED):
        return _cleared(incident, report, placement, now, policy)
    if report.alert.status is not Status.FIRING:
        return _acknowledged(incident, report, placement, now, policy)
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
        record = replace(_record(alert, placement, None, now), is_announced=True, announced_at=now)
        return Decision(effects=(_announcement(alert, placement, now),), alert=record, reason=placement.reason)
    remembered = _remembered(alert, placement, None, now)
    if report.record is not None and alert.status in (Status.ACKNOWLEDGED, Status.SUPPRESSED):
        return replace(remembered, alert=_still(_record(alert, placement, None, now), report.record))
    return _hushed(report, placement, remembered, policy) if placement.hushed_after else remembered


def _still(record: AlertRecord, known: AlertRecord) -> AlertRecord:
    """An alert that somebody acknowledged, or muted, where it comes from: it fires as it did, and is no news when it says so."""
    return replace(
        record, is_firing=known.is_firing, severity=known.severity, started_at=known.started_at, fires=known.fires,
        ended=known.ended, quiet_under=known.quiet_under,
    )  # fmt: skip


def _hushed(report: AlertReported, placement: Placement, remembered: Decision, policy: Policy) -> Decision:
    """Counted for each firing, and told for all of them, once in each window: who reads the channel must know what it does not
    show.
    """
    known, source = report.record, report.alert.source
    told: tuple[Effect, ...] = ()
    if placement.is_first_hushed:
        minutes, where = policy.storm.within.total_seconds() / 60, policy.channels.announce
        least = (
            "not even what is critical or high" if report.alert.severity in LOUDEST else "but for the first that are critical or high"
        )
        text = (
            f"{source} has sent {placement.hushed_after} alerts in {minutes:g} minutes that open no incident and go to #{where}. For "
            f"now any more are recorded, and not shown there, {least}."
        )
        mend = f"look in {source} itself; give what matters a route that opens an incident, or raise `storm.announced` in the policy"
        told = (RaiseAlarm(None, text, mend),)
    is_new = known is None or not known.is_firing or known.quiet_under is not None
    return replace(remembered, effects=told, hushed=source if is_new else "")


def _kept_quiet(report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    """Remembered and counted as what it would have been; nobody is told."""
    alert, known = report.alert, report.record
    assert placement.quiet is not None
    key, severity = placement.quiet.key, _asked(alert, placement, policy)
    started = min(alert.started_at, now)
    if known is not None and known.is_firing and known.started_at is not None and "started_at" in filled_in(alert, now):
        # What we filled in is later with each report.
        started = min(started, known.started_at)
    record = replace(_record(alert, placement, None, now), severity=severity, started_at=started, quiet_under=key)
    is_new = known is None or not known.is_firing or known.quiet_under != key
    title = "" if placement.route.private else alert.title
    after = after_quiet(placement.quiet, replace(alert, started_at=started), report.route, placement.fingerprint, severity)
    timers = (after,) if report.missed is None else ()
    quieted = Quieted(key, placement.fingerprint, title, severity, now, is_new)
    return Decision(alert=record, quieted=quieted, timers=timers, reason=placement.reason)


def after_quiet(quiet: Quiet, alert: Alert, endpoint: str, fingerprint: str, severity: Severity | None) -> Timer:
    """The timer at which an alert is taken that still fires at the end of what keeps it quiet.

    The worst is taken first: a storm's cap counts in the order in which they come.
    """
    due = quiet.until + timedelta(milliseconds=severity.rank if severity else len(Severity) + 1)
    return Timer(quiet_key(quiet.key, fingerprint), due, QuietPassed(alert, endpoint, quiet.key, quiet.until))


def _remembered(alert: Alert, placement: Placement, incident: int | None, now: datetime) -> Decision:
    return Decision(alert=_record(alert, placement, incident, now), reason=placement.reason)


def _as_it_was(incident: Incident, report: AlertReported, placement: Placement, now: datetime) -> Decision:
    """An alert that is acknowledged or muted where it comes from: it fires until it clears, or it would never clear here."""
    record, known = _record(report.alert, placement, incident.number, now), _state_of(incident, report)
    if known is not None:
        ended = report.record.ended if report.record else None
        record = replace(_as_known(record, known), is_firing=known.is_firing, ended=ended)
    return Decision(alert=record, reason=placement.reason)


def _acknowledged(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    """The same, unless it says in so many words that it is worse by now: whoever acknowledged it there did so before that."""
    decision, known, alert = _as_it_was(incident, report, placement, now), _state_of(incident, report), report.alert
    asked = _asked(alert, placement, policy)
    is_on = incident.is_open and known is not None and known.is_firing
    if known is None or asked is None or not (is_on and alert.says_severity and alert.status is Status.ACKNOWLEDGED):
        return decision
    if asked.rank >= (known.severity or incident.severity).rank:
        return decision
    worse = replace(known, severity=asked, changed_at=now, pager=pager_of(placement, policy))
    return _repeated(incident, known, worse, now, policy, decision)


def _fired(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    alert = report.alert
    known = _state_of(incident, report)
    asked = _asked(alert, placement, policy)
    if known is not None and _fires_still(known, alert, now):
        record = replace(_as_known(_record(alert, placement, incident.number, now), known), ended=_told_end(report))
        worse = replace(known, severity=asked, changed_at=now, pager=pager_of(placement, policy))
        quiet = _counting_anew(incident, known, alert, now, Decision(alert=record, reason=placement.reason))
        worse = replace(worse, unlisted=alert.truncated_count, told_at=newest_word(known, alert, now))
        return _repeated(incident, known, worse, now, policy, quiet)
    begun = _begun(incident, report, known, asked, now, policy)
    asking, theirs, pages = gathered_on_call(begun.incident, begun.state, now, policy)
    changed, entries, effects, timers = raised(asking, name_of(alert), asked, now, policy, begun.outgrown)
    told = () if begun.flaps else _joined(changed, alert, placement, begun.state, is_again=known is not None)
    left = hold_of_others(changed, policy.resolve.hold, now)
    return Decision(
        incident=changed,
        entries=(*begun.entries, *entries, *theirs),
        effects=(*effects, *pages, *refreshed(changed, everywhere=bool(entries)), *begun.effects, *told),
        timers=(*timers, *begun.timers, *left),
        cancels=(hold_key(incident), *((related_key(incident),) if changed.is_going_on else ())),
        alert=begun.record,
        reason=placement.reason,
    )


def _back(incident: Incident, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Decision:
    """An alert of an incident that was resolved fires again, or still: the incident is open again, with a page of its own."""
    alert, incident = report.alert, with_its_own(incident, report.theirs)
    known = _state_of(incident, report)
    asked = _asked(alert, placement, policy)
    if known is not None and _fires_still(known, alert, now):
        begun, verb = _Begun(incident, known, _as_known(_record(alert, placement, incident.number, now), known)), "still fires"
    else:
        begun, verb = _begun(incident, report, known, asked, now, policy), "fires again"
    changed, worse, told = _worsened(begun.incident, name_of(alert), asked, now)
    symptom = "" if alert.title == incident.title else alert.title[:TITLE_LIMIT]
    decision = opened_again(changed, BOT, now, policy, f"{name_of(alert)} {verb}", symptom)
    assert decision.incident is not None
    again, theirs, pages = gathered_on_call(decision.incident, begun.state, now, policy)
    return replace(
        decision,
        incident=again,
        entries=(*begun.entries, *worse, *decision.entries, *theirs),
        effects=(*decision.effects, *pages, *told, *begun.effects),
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
    state: AlertState
    record: AlertRecord
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    timers: tuple[Timer, ...] = ()
    outgrown: AlertState | None = None
    """The same, where it was related so far and is worse now than what was to explain it."""

    @property
    def flaps(self) -> bool:
        return self.record.flaps.since is not None


def _begun(
    incident: Incident, report: AlertReported, known: AlertState | None, asked: Severity | None, now: datetime, policy: Policy
) -> _Begun:
    alert, placement = report.alert, report.placement
    assert placement is not None
    state = _fired_state(alert, placement, known, asked, now, policy)
    is_outgrown = _has_outgrown(incident, state, asked)
    state = replace(state, is_related=state.is_related and not is_outgrown)
    changed = replace(_with_state(incident, known, state), cleared_at=None, proposed_at=None)
    changed, entries, effects, timers = flapped(changed, known, state, now, policy)
    record = _as_known(_record(alert, placement, incident.number, now), state)
    why = state.why if known is None else ""
    started = alert_started(changed, alert, placement.fingerprint, now, why, is_related=state.is_related)
    return _Begun(changed, state, record, (started, *entries), effects, timers, state if is_outgrown else None)


def _has_outgrown(incident: Incident, state: AlertState, asked: Severity | None) -> bool:
    """Whether a related alert asks for worse than the incident that is to explain it: then it is that no more."""
    return state.is_related and asked is not None and asked.rank < incident.severity.rank


def _worst(known: AlertState | None, asked: Severity | None) -> Severity | None:
    """The worst that was asked for since it fires. A later start alone, without a clear, is no reason to forget it."""
    rated = [one for one in (known.severity if known and known.is_firing else None, asked) if one is not None]
    return min(rated, key=lambda one: one.rank, default=None)


def _asked(alert: Alert, placement: Placement, policy: Policy) -> Severity | None:
    """The severity that an alert asks for; None where its route opens nothing, and so raises nothing."""
    route = placement.route
    return policy.severity_for(route, alert.severity) if route.outcome is Outcome.OPEN else None


def _counting_anew(incident: Incident, known: AlertState, alert: Alert, now: datetime, quiet: Decision) -> Decision:
    """Nothing else than what it was, with when it was last said; and on the card how many its sender leaves out by now, where
    that is another number.
    """
    told_at, is_another = newest_word(known, alert, now), alert.truncated_count != known.unlisted
    if (told_at == known.told_at and not is_another) or known not in incident.alerts:
        return quiet
    newest = replace(known, unlisted=alert.truncated_count, told_at=told_at)
    changed = replace(incident, alerts=tuple(newest if one is known else one for one in incident.alerts))
    return replace(quiet, incident=changed, effects=refreshed(changed, everywhere=False) if is_another else ())


def _repeated(incident: Incident, known: AlertState, state: AlertState, now: datetime, policy: Policy, quiet: Decision) -> Decision:
    """An alert that still fires: quiet, unless it says that it got worse than it ever was.

    What it was is remembered with it: else every repeat would raise again what people lowered.
    """
    asked = state.severity
    if asked is None or asked.rank >= (known.severity or incident.severity).rank:
        return _still_gathered(incident, known, now, policy, quiet) if incident.storm else quiet
    assert quiet.alert is not None
    is_outgrown = _has_outgrown(incident, state, asked)
    state = replace(state, is_related=state.is_related and not is_outgrown)
    changed, theirs, pages = gathered_on_call(_with_state(incident, known, state), state, now, policy)
    changed, entries, effects, timers = raised(changed, state.name, asked, now, policy, state if is_outgrown else None)
    entries, effects = (*entries, *theirs), (*effects, *pages)
    shown = refreshed(changed) if entries else quiet.effects
    reason = f"{quiet.reason}, worse than before: {asked.value}"
    record = _as_known(quiet.alert, state)
    return replace(quiet, reason=reason, incident=changed, entries=entries, effects=(*effects, *shown), timers=timers, alert=record)


def _still_gathered(incident: Incident, state: AlertState, now: datetime, policy: Policy, quiet: Decision) -> Decision:
    """A storm that is open again may not have asked yet for those whose alert fires on; nor where that was refused."""
    changed, theirs, pages = gathered_on_call(incident, state, now, policy)
    if not pages:
        return quiet
    return replace(quiet, incident=changed, entries=theirs, effects=(*pages, *refreshed(changed, everywhere=False)))


def _joined(incident: Incident, alert: Alert, placement: Placement, state: AlertState, *, is_again: bool) -> tuple[Effect, ...]:
    """A message for each alert, up to a number: Slack takes one a second, and what matters would wait behind them."""
    count = incident.alert_count
    if count > MOST_SAID:
        return ()
    reason = placement.reason if count < MOST_SAID else f"{placement.reason}. Any more are counted on the card."
    topic = Topic.ALERT_RELATED if state.is_related else Topic.ALERT_JOINED
    return (say(incident, topic, title=alert.title, reason=reason, url=alert.url, again=is_again),)


def raised(
    incident: Incident, name: str, severity: Severity | None, now: datetime, policy: Policy, outgrown: AlertState | None
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[Timer, ...]]:
    """A worse alert makes the incident worse, and pages where the old severity did not.

    Where it was only related so far, and has `outgrown` that: its own on-call is asked for, too. Nobody woke them.
    """
    incident, notes, told = _worsened(incident, name, severity, now)
    if not notes:
        return incident, (), (), ()
    incident, asked, theirs = outgrown_on_call(incident, outgrown, now, policy)
    if incident.episode.pages or incident.episode.acknowledged_at:
        return incident, (*notes, *asked), (*theirs, *told), ()
    incident, page_entries, page, timers = start_clock(incident, now, policy)
    return incident, (*notes, *page_entries, *asked), (*page, *theirs, *told), timers


def _worsened(
    incident: Incident, name: str, severity: Severity | None, now: datetime
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...]]:
    if severity is None or severity.rank >= incident.severity.rank:
        return incident, (), ()
    reason = f"alert {name}"
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
    since = known.told_at if "started_at" in known.filled_in else known.started_at
    if alert.changed_at is not None and since is not None and alert.changed_at < since:
        return _had_cleared(incident, report, placement, known, at, now)
    at = max(at, known.started_at)
    record = _as_known(record, known)
    changed = _with_state(incident, known, replace(known, is_firing=False, changed_at=now))
    cleared = _cleared_entry(changed, alert, placement, at, now)
    told: tuple[Effect, ...] = ()
    timers: tuple[Timer, ...] = ()
    if changed.is_open:
        # What flaps will be back: nothing is said of each time that it clears.
        changed, told, timers = when_quiet(incident, changed, at, now, policy, is_told=known.flaps.since is None)
    return Decision(
        incident=changed,
        entries=(cleared,),
        effects=(*refreshed(changed, everywhere=False), *told),
        timers=timers,
        alert=_as_known(record, known),
        reason=placement.reason,
    )


def _had_cleared(
    incident: Incident, report: AlertReported, placement: Placement, known: AlertState, at: datetime, now: datetime
) -> Decision:
    """It cleared and fired again, and the news of the first came last: that is told, once, and it fires."""
    told = _told_end(report)
    record = replace(_as_known(_record(report.alert, placement, incident.number, now), known), is_firing=True)
    reason = f"{name_of(report.alert)} cleared before it fired again"
    if told is not None and record.ended is not None and told.at >= record.ended.at:
        return Decision(alert=replace(record, ended=told), reason=reason)
    return Decision(entries=(_cleared_entry(incident, report.alert, placement, at, now),), alert=record, reason=reason)


def _told_end(report: AlertReported) -> Ended | None:
    """The end of an earlier firing that was told of an alert that fires; None where none came that late."""
    return report.record.ended if report.record is not None and report.record.is_firing else None


def _cleared_entry(incident: Incident, alert: Alert, placement: Placement, at: datetime, now: datetime) -> Entry:
    fingerprint = placement.fingerprint
    return entry(incident, at, "alert_resolved", BOT, alert=name_of(alert), fingerprint=fingerprint, received_at=now)


def when_quiet(
    before: Incident, incident: Incident, at: datetime, now: datetime, policy: Policy, *, is_told: bool = True
) -> tuple[Incident, tuple[Effect, ...], tuple[Timer, ...]]:
    """What begins where one alert less fires than `before`: the hold after the last of all, or after the last of its own.

    One that flaps is watched until it is calm. Where nothing is left of what a person declared, only people know.
    """
    hold = policy.resolve.hold
    if incident.is_declared_alone:
        return incident, (), left_behind(before, incident, now + hold)
    if incident.is_clear:
        incident = replace(incident, cleared_at=at)
        until = max(now + hold, incident.flaps_until or now)
        told = (say(incident, Topic.ALERTS_CLEARED, hold_seconds=(until - now).total_seconds()),) if is_told else ()
        return incident, told, (Timer(hold_key(incident), until, HoldPassed(incident.number, at)),)
    timers = left_behind(before, incident, now + hold)
    told = (say(incident, Topic.ONLY_RELATED, hold_seconds=hold.total_seconds()),) if timers else ()
    return incident, told, timers


def _fired_state(
    alert: Alert, placement: Placement, known: AlertState | None, severity: Severity | None, now: datetime, policy: Policy
) -> AlertState:
    worst = _worst(known, severity)
    is_worst = severity is not None and severity is worst
    return AlertState(
        fingerprint=placement.fingerprint,
        name=name_of(alert),
        title=alert.title,
        is_firing=True,
        source=alert.source,
        started_at=min(alert.started_at, now),
        changed_at=now,
        fires=known.fires + 1 if known else 1,
        url=alert.url,
        severity=worst,
        filled_in=filled_in(alert, now),
        trace=trace_of(alert),
        flaps=(known.flaps if known else STEADY).fired(alert.started_at, now, policy.flapping_rule()),
        service=placement.service,
        why=known.why if known else placement.why,
        is_related=known.is_related if known else placement.is_related,
        # Who looks after the worst of it, not after the newest.
        pager=pager_of(placement, policy) if known is None or is_worst else known.pager or pager_of(placement, policy),
        unlisted=alert.truncated_count,
        told_at=newest_word(known, alert, now),
    )


def _as_known(record: AlertRecord, state: AlertState) -> AlertRecord:
    """A record with what is known of the alert beside its newest report."""
    return replace(
        record, severity=state.severity, started_at=state.started_at, fires=state.fires, flaps=state.flaps,
        is_related=state.is_related, pager=state.pager,
    )  # fmt: skip


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
    if not state.is_related:
        # What is only related keeps nothing open for more of the same.
        incident = replace(incident, last_alert_at=state.changed_at)
    others = tuple(one for one in incident.alerts if one.fingerprint != state.fingerprint)
    if len(others) < len(incident.alerts) or (known is None and len(others) < HELD):
        return replace(incident, alerts=(*others, state))
    counted = incident if known is None else with_counted(incident, known, -1)
    return with_counted(counted, state, 1)


def with_counted(incident: Incident, state: AlertState, by: int) -> Incident:
    """The incident with one alert more, or less, of those that it only counts."""
    is_firing, is_related = state.is_firing, state.is_related
    return replace(
        incident,
        more=incident.more + by,
        more_firing=incident.more_firing + by * is_firing,
        more_related=incident.more_related + by * is_related,
        more_related_firing=incident.more_related_firing + by * (is_firing and is_related),
    )


def _record(alert: Alert, placement: Placement, incident: int | None, now: datetime) -> AlertRecord:
    return AlertRecord(
        fingerprint=placement.fingerprint,
        incident=incident,
        is_firing=alert.status is Status.FIRING,
        title=alert.title,
        source=alert.source,
        service=placement.service,
        at=now,
        group=placement.group,
        is_related=placement.is_related,
        ended=Ended(by_its_clock(alert.changed_at, now), now) if alert.status is Status.RESOLVED and alert.changed_at else None,
        is_told=placement.route.tells(alert),
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
