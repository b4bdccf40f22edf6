"""Dead-man's switches: who holds one open, what happens when nobody does, and whose silence it is."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.incidents.decide import decide
from bot.incidents.heartbeats import LATE, absent, back, heard, rule_for, silence
from bot.incidents.policy import HeartbeatRule, Policy
from bot.store.codec import decode_tagged, encode_tagged
from tests.builders import NOON, POLICY, after, alert, report

RULE = HeartbeatRule(name="Prometheus", within=timedelta(minutes=5), service="platform")
WATCHED = Policy(heartbeats=(RULE, HeartbeatRule(name="Backup", match={"name": "nightly-backup"}, within=timedelta(hours=25))))
WATCHDOG = alert(kind=Kind.HEARTBEAT, identity="w", title="Watchdog", severity=Severity.INFO)


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (WATCHDOG, "Prometheus"),
        (replace(WATCHDOG, status=Status.RESOLVED), None),
        (replace(WATCHDOG, kind=Kind.TEST), None),
        (alert(), None),
        (alert(labels={"alertname": "nightly-backup"}), "Backup"),
        (alert(labels={"alertname": "nightly-backup"}, status=Status.RESOLVED), "Backup"),
        (alert(source="firstfive", labels={"alertname": "nightly-backup"}), None),
    ],
)
def test_who_holds_a_switch_open(one, name):
    rule = rule_for(one, "main", WATCHED)

    assert (rule and rule.name) == name


def test_whoever_is_heard_is_listened_for_again_each_time_anew():
    first = decide(None, report(WATCHDOG), NOON, WATCHED).timers
    again = decide(None, report(WATCHDOG), after(3), WATCHED).timers

    assert [one.due_at for one in (*first, *again)] == [after(5), after(8)]
    assert first[0].key == again[0].key


def test_two_who_are_heard_are_two_to_listen_for():
    other = replace(WATCHDOG, identity="w2")

    keys = {heard(one, "main", RULE, NOON).key for one in (WATCHDOG, other)} | {heard(WATCHDOG, "second", RULE, NOON).key}
    assert len(keys) == 3


def test_what_nobody_listens_for_sets_nothing():
    assert decide(None, report(WATCHDOG), NOON, POLICY).timers == ()


def test_silence_is_an_alert_that_says_who_was_heard_last_and_when():
    missing = absent(WATCHDOG, "main", RULE, NOON)

    assert (missing.title, missing.severity, missing.service) == ("Prometheus: nothing heard for 5 min", Severity.HIGH, "platform")
    assert "“Watchdog”, from alertmanager/main at 2026-06-10 12:00:00 UTC" in missing.description
    assert missing.started_at == after(5)


def test_its_end_is_the_end_of_the_same_alert():
    missing, gone = absent(WATCHDOG, "main", RULE, NOON), back(WATCHDOG, "main", RULE, after(9))

    assert missing.fingerprint("heartbeats") == gone.fingerprint("heartbeats")
    assert (gone.status, gone.ended_at) == (Status.RESOLVED, after(9))


@pytest.mark.parametrize(
    ("late", "is_unread", "silent"),
    [(timedelta(), False, True), (LATE, False, True), (LATE + timedelta(seconds=1), False, False), (timedelta(), True, False)],
)
def test_where_it_may_be_us_who_did_not_hear_nobody_is_called_silent(late, is_unread, silent):
    missed = replace(heard(WATCHDOG, "main", RULE, NOON).input, is_unread=is_unread)

    assert (silence(missed, missed.due_at + late, WATCHED) is not None) is silent


def test_the_policy_of_now_says_how_bad_it_is_and_whether_anybody_listens():
    missed = heard(WATCHDOG, "main", RULE, NOON).input
    worse = Policy(heartbeats=(HeartbeatRule(name="Prometheus", within=timedelta(minutes=5), severity="critical", service="web"),))

    found = silence(missed, missed.due_at, worse)
    assert (found.severity, found.service, found.labels["severity"]) == (Severity.CRITICAL, "web", "critical")
    assert silence(missed, missed.due_at, POLICY) is None
    assert decide(None, missed, missed.due_at, POLICY).timers == ()


def test_no_route_for_the_sign_of_life_takes_its_absence():
    none = replace(WATCHDOG, labels={"alertname": "Watchdog", "severity": "none"})

    assert absent(none, "main", RULE, NOON).labels["severity"] == "high"


def test_after_we_were_away_it_has_all_of_its_time_once_more():
    timer = heard(WATCHDOG, "main", RULE, NOON)

    [again] = decide(None, timer.input, after(60), WATCHED).timers
    assert (again.key, again.due_at, again.input.due_at) == (timer.key, after(65), after(65))


def test_what_is_not_read_yet_is_waited_for_a_moment():
    timer = heard(WATCHDOG, "main", RULE, NOON)

    [again] = decide(None, replace(timer.input, is_unread=True), after(5), WATCHED).timers
    assert again.due_at == after(5, 10)


def test_it_outlives_the_process():
    timer = heard(WATCHDOG, "main", RULE, NOON)

    assert decode_tagged(encode_tagged(timer.input)) == timer.input
