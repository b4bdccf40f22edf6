"""Zabbix: macros that nobody filled in, what was done to a problem, and times that say no zone."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.zabbix import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
PROBLEM = {
    "event_id": "41", "event_source": "0", "event_value": "1", "event_update_status": "0", "event_name": "Disk is full",
    "event_severity": "High", "event_nseverity": "4", "event_timestamp": "1785577800", "trigger_id": "7", "host_name": "db-1",
    "event_recovery_timestamp": "{EVENT.RECOVERY.TIMESTAMP}", "event_update_message": "{EVENT.UPDATE.MESSAGE}",
}  # fmt: skip


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def read(**fields: Any) -> Alert:
    [alert] = SOURCE.parse(delivery(PROBLEM | fields), {}).alerts
    return alert


def test_a_problem_and_its_recovery_are_one_alert():
    fired, over = read(), read(event_value="0", event_recovery_id="55", event_recovery_timestamp="1785578340")

    assert fired.identity == over.identity == "41"
    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.started_at, fired.ended_at) == (datetime(2026, 8, 1, 9, 50, tzinfo=UTC), None)
    assert over.ended_at == datetime(2026, 8, 1, 9, 59, tzinfo=UTC)
    assert not fired.defaults
    assert not over.defaults


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("acknowledged", Status.ACKNOWLEDGED), ("acknowledged, commented", Status.ACKNOWLEDGED),
        ("unacknowledged", Status.FIRING), ("changed severity from Average to High", Status.FIRING),
        ("acknowledged, changed severity from Average to High", Status.FIRING), ("commented", Status.INFO),
        ("acknowledged, changed severity from High to Disaster, suppressed", Status.SUPPRESSED),
        ("acknowledged, changed severity from High to Disaster, closed", Status.RESOLVED),
        ("acknowledged, closed", Status.RESOLVED), ("suppressed", Status.SUPPRESSED), ("unsuppressed", Status.FIRING),
        ("{EVENT.UPDATE.ACTION}", Status.INFO), ("", Status.INFO),
    ],
)  # fmt: skip
def test_an_update_is_what_was_done_to_the_problem(action, status):
    alert = read(event_update_status="1", event_update_action=action, event_update_message="looking")

    assert (alert.status, alert.identity, alert.annotations) == (status, "41", {"comment": "looking"})


@pytest.mark.parametrize(
    ("number", "word", "severity"),
    [
        ("5", "Disaster", Severity.CRITICAL), ("4", "High", Severity.HIGH), ("3", "Average", Severity.MEDIUM),
        ("2", "Warning", Severity.MEDIUM), ("1", "Information", Severity.LOW), ("0", "Not classified", Severity.INFO),
        ("", "Disaster", Severity.CRITICAL), ("{EVENT.NSEVERITY}", "Information", Severity.LOW), (5, "Brand new", Severity.CRITICAL),
        ("", "Brand new", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_the_number_of_a_severity_counts_and_its_name_is_shown(number, word, severity):
    alert = read(event_nseverity=number, event_severity=word)

    assert (alert.severity, alert.source_severity) == (severity, word)


def test_a_severity_that_an_update_changed_counts():
    update = {"event_update_status": "1", "event_update_nseverity": "5"}

    assert read(**update, event_update_action="changed severity from High to Disaster").severity is Severity.CRITICAL
    assert read(**update, event_update_action="commented").severity is Severity.HIGH


def test_a_macro_that_was_not_filled_in_is_never_shown():
    alert = read(
        event_opdata="{EVENT.OPDATA}", trigger_description="{TRIGGER.DESCRIPTION}", host_name="*UNKNOWN*",
        trigger_url="{TRIGGER.URL}", url="{ZBX.URL}/tr_events.php", event_name="Disk is {full}",
    )  # fmt: skip

    assert (alert.description, alert.service, alert.url, alert.links) == ("", None, None, ())
    assert alert.title == "Disk is {full}"
    assert "{" not in json.dumps(dict(alert.attributes)).removeprefix("{")


def test_a_media_types_own_test_fills_in_nothing():
    names = ("event_id", "event_name", "event_value", "event_nseverity", "host_name", "event_timestamp")
    [alert] = SOURCE.parse(delivery({name: "{" + name.upper().replace("_", ".") + "}" for name in names}), {}).alerts

    assert alert.kind is Kind.TEST
    assert alert.title == "A problem without a name"


@pytest.mark.parametrize(
    "tags",
    [
        '[{"tag":"service","value":"db"},{"tag":"env","value":"prod"},{"tag":"scope","value":"a"},{"tag":"scope","value":"b"}]',
        [{"tag": "service", "value": "db"}, {"tag": "env", "value": "prod"}, {"tag": "scope", "value": "a"},
         {"tag": "scope", "value": "b"}, 3],
    ],
)  # fmt: skip
def test_tags_are_json_in_text_or_a_list(tags):
    alert = read(event_tags=tags)

    assert alert.labels == {"host": "db-1", "service": "db", "env": "prod", "scope": "a, b"}
    assert (alert.service, alert.environment) == ("db", "prod")


@pytest.mark.parametrize("tags", ["service:db, scope", "{EVENT.TAGSJSON}", "", None, "[", {"tag": "x"}])
def test_tags_in_another_form_are_no_labels(tags):
    assert read(event_tags=tags).labels == {"host": "db-1"}


@pytest.mark.parametrize(
    ("fields", "started_at", "defaults"),
    [
        ({"event_date": "2026.08.01", "event_time": "11:50:00"}, NOW, ("started_at",)),
        ({"event_date": "2026.08.01", "event_time": "11:50:00", "event_utc_offset": "+02:00"},
         datetime(2026, 8, 1, 9, 50, tzinfo=UTC), ()),
        ({"event_date": "2026.08.01", "event_time": "noon", "event_utc_offset": "+02:00"}, NOW, ("started_at",)),
    ],
)  # fmt: skip
def test_a_date_and_a_time_mean_nothing_without_their_zone(fields, started_at, defaults):
    alert = read(event_timestamp="{EVENT.TIMESTAMP}", **fields)

    assert (alert.started_at, alert.defaults) == (started_at, defaults)


@pytest.mark.parametrize("state", ["PROBLEM", "OK"])
def test_another_script_may_tell_the_event_in_its_link(state):
    link = "https://zabbix.example.com/tr_events.php?triggerid=7&eventid=41"
    body = {"hostname": "db-1", "severity": "Average", "status": state, "trigger": "Disk is full", "item": "2 %", "link": link}
    [alert] = SOURCE.parse(delivery(body), {}).alerts

    assert (alert.identity, alert.title, alert.service) == ("41", "Disk is full", "db-1")
    assert (alert.status, alert.severity) == (Status.FIRING if state == "PROBLEM" else Status.RESOLVED, Severity.MEDIUM)
    assert (alert.url, alert.description) == (link, "2 %")


def test_without_an_event_the_trigger_and_its_host_tell_alerts_apart():
    assert read(event_id="").identity == "db-1|7"
    assert read(event_id="", trigger_id="", link="https://[").identity == "db-1|Disk is full"


@pytest.mark.parametrize(("number", "why"), [("1", "discovered"), ("2", "registered itself")])
def test_a_host_that_is_found_is_no_problem(number, why):
    assert why in SOURCE.parse(delivery(PROBLEM | {"event_source": number}), {}).ignored


def test_what_is_not_from_the_script_says_so():
    with pytest.raises(Unreadable, match="event_id: missing"):
        SOURCE.parse(delivery({"alerts": []}), {})


def test_a_problem_says_when_it_began_and_its_recovery_when_it_was_over():
    over = read(event_value="0", event_recovery_timestamp="1785578340")
    by_hand = read(event_update_status="1", event_update_action="closed")

    assert (read().changed_at, over.changed_at) == (read().started_at, over.ended_at)
    assert (by_hand.status, by_hand.changed_at) == (Status.RESOLVED, None)
