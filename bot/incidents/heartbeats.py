"""Dead-man's switches: what is to be heard again and again, and becomes an alert when it is not."""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.reading import short
from bot.incidents.decision import Decision, Timer
from bot.incidents.inputs import HeartbeatExpected, HeartbeatMissed
from bot.incidents.policy import OURS, HeartbeatRule, Policy

ENDPOINT = "heartbeats"
"""What stands for the name of an endpoint: the alert comes through none."""
LATE = timedelta(seconds=30)
"""Looked at later than this, it is we who were away: nobody could be heard meanwhile."""
LOOK_AGAIN = timedelta(seconds=10)
HEARD, EXPECTED = "heartbeat/heard/", "heartbeat/expected/"
"""Begin the names under which the record keeps when each was last heard, and first expected."""
WHILE_QUIET = timedelta(minutes=1)
"""How long after a silence or a maintenance window that kept it quiet is over it is told at the latest."""


def rule_for(alert: Alert, route: str, policy: Policy) -> HeartbeatRule | None:
    """The switch that this alert holds open; None where it is no sign of life. A Watchdog that ends is none."""
    if alert.source == OURS or alert.kind is Kind.TEST or (alert.kind is Kind.HEARTBEAT and alert.status is not Status.FIRING):
        return None
    return policy.heartbeat_for(alert, route)


def heard(alert: Alert, route: str, rule: HeartbeatRule, now: datetime) -> Timer:
    """Somebody is alive: what happens unless they are heard again in time."""
    missing = absent(alert, route, rule, now)
    return Timer(
        f"heartbeat/{alert.fingerprint(route)}",
        now + rule.within,
        HeartbeatMissed(missing, alert.source, route, rule.within, now + rule.within),
    )


def absent(alert: Alert, route: str, rule: HeartbeatRule, now: datetime) -> Alert:
    """The alert that they are not."""
    return Alert(
        source=OURS,
        identity=f"heartbeat/{alert.fingerprint(route)}",
        status=Status.FIRING,
        title=short(f"{rule.name}: nothing heard for {_length(rule.within)}"),
        severity=rule.severity,
        description=f"The last sign of life was “{alert.title}”, from {alert.source}/{route} at {now:%Y-%m-%d %H:%M:%S} UTC.",
        service=rule.service or alert.service,
        environment=alert.environment,
        labels={**alert.labels, "alertname": "HeartbeatMissing", "heartbeat": rule.name, "severity": rule.severity.value},
        url=alert.url,
        started_at=now + rule.within,
    )


def back(alert: Alert, route: str, rule: HeartbeatRule, now: datetime) -> Alert:
    """The end of that alert."""
    gone = absent(alert, route, rule, now - rule.within)
    return Alert(
        source=gone.source, identity=gone.identity, status=Status.RESOLVED, title=gone.title, severity=gone.severity,
        service=gone.service, environment=gone.environment, labels=gone.labels, started_at=now, ended_at=now,
    )  # fmt: skip


def expected_key(rule: HeartbeatRule) -> str:
    """What tells the alert that one was never heard from others, and the timer that waits for it."""
    return f"heartbeat/expected/{rule.name}"


def expected_rule(name: str, policy: Policy) -> HeartbeatRule | None:
    """The switch of that name that is to be heard; None where nobody expects it any more."""
    return next((one for one in policy.heartbeats if one.name == name and one.expect), None)


def never_heard(rule: HeartbeatRule, since: datetime, due: datetime) -> Alert:
    """The alert that one who is expected never came: its sender may be somewhere else, or not be there at all."""
    wanted = rule.matcher.said or "it"
    return Alert(
        source=OURS,
        identity=expected_key(rule),
        status=Status.FIRING,
        title=short(f"{rule.name}: never heard"),
        severity=rule.severity,
        description=f"Expected since {since:%Y-%m-%d %H:%M} UTC, and nothing that fits {wanted} has come. Is its sender pointed at "
        "this bot, and does it send that on?",
        service=rule.service,
        labels={"alertname": "HeartbeatMissing", "heartbeat": rule.name, "severity": rule.severity.value},
        started_at=due,
    )


def expected(wish: HeartbeatExpected, now: datetime, policy: Policy) -> Decision:
    """Wait for the first sign of life. A restart does not begin anew: what waits, waits on."""
    rule = expected_rule(wish.name, policy)
    if rule is None or wish.is_in_hand:
        return Decision(reason=f"{wish.name} was heard, or is waited for already")
    due = now + rule.within
    missed = HeartbeatMissed(never_heard(rule, wish.since or now, due), "", "", rule.within, due)
    return Decision(
        timers=(Timer(expected_key(rule), due, missed),),
        expected="" if wish.since else rule.name,
        reason=f"{rule.name} is expected within {_length(rule.within)}",
    )


def came(rule: HeartbeatRule, now: datetime) -> Alert:
    """The end of the alert that it was never heard."""
    return replace(never_heard(rule, now, now), status=Status.RESOLVED, ended_at=now, description="")


def rule_of(missed: HeartbeatMissed, policy: Policy) -> HeartbeatRule | None:
    """The switch as the policy has it now; None where it was taken out, or need not be heard at all any more."""
    name = missed.alert.labels.get("heartbeat", "")
    if not missed.source:
        return expected_rule(name, policy)
    return next((one for one in policy.heartbeats if one.name == name), None)


def silence(missed: HeartbeatMissed, now: datetime, policy: Policy) -> Alert | None:
    """The alert that they are silent; None where it may be we who did not hear, or where nobody listens any more."""
    rule = rule_of(missed, policy)
    if rule is None or now - missed.due_at > LATE or missed.is_unread:
        return None
    labels = {**missed.alert.labels, "severity": rule.severity.value}
    return replace(missed.alert, severity=rule.severity, service=rule.service or missed.alert.service, labels=labels)


def waited_for(missed: HeartbeatMissed, now: datetime, policy: Policy) -> Decision:
    """Wait once more: for all of the time where we were away, for a moment where something is only not read yet."""
    if rule_of(missed, policy) is None:
        return Decision(reason=f"{missed.alert.title}? Nobody listens for it any more")
    is_away = now - missed.due_at > LATE
    due = now + (missed.within if is_away else LOOK_AGAIN)
    reason = (
        "we were away when it was due" if is_away else f"deliveries of {missed.source or 'its sender, it may be,'} are not read yet"
    )
    again = replace(missed, due_at=due, alert=replace(missed.alert, started_at=due))
    return Decision(timers=(Timer(missed.alert.identity, due, again),), reason=f"{missed.alert.title}? {reason}")


def kept_quiet(missed: HeartbeatMissed, now: datetime) -> Timer:
    """Look again: nothing repeats that nobody is heard, and what keeps it quiet may end early."""
    due = now + WHILE_QUIET
    return Timer(missed.alert.identity, due, replace(missed, due_at=due, is_unread=False))


def _length(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    unit, name = next((unit, name) for unit, name in ((3600, "h"), (60, "min"), (1, "s")) if seconds % unit == 0)
    return f"{seconds // unit} {name}"
