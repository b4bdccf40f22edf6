"""Kibana: what the template's fields mean, tags in every form, and summaries."""

import json
from datetime import UTC, datetime

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.matching import Ended, was_overtaken
from bot.alerts.reading import as_json
from bot.alerts.sources.kibana import SOURCE, field_at, tags_of
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BODY = {
    "rule_id": "r1", "rule_name": "Disk of hosts", "rule_tags": "service:search", "space_id": "ops", "alert_id": "host-1",
    "alert_uuid": "u1", "action_group": "metrics.threshold.fired", "action_group_name": "Alert",
    "date": "2026-08-01T09:59:00.000Z", "started_at": "2026-08-01T09:50:00.000Z",
}  # fmt: skip


def read(**more):
    [one] = SOURCE.parse(delivery(json.dumps({**BODY, **more}).encode()), {}).alerts
    return one


def test_an_alert_is_the_same_when_it_recovers():
    fired, over = read(), read(action_group="recovered", action_group_name="Recovered", ended_at="2026-08-01T09:58:00Z")

    assert (fired.identity, fired.occurrence) == (over.identity, over.occurrence) == ("ops/r1/host-1", "u1")
    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.ended_at, over.ended_at) == (None, datetime(2026, 8, 1, 9, 58, tzinfo=UTC))
    assert fired.started_at == over.started_at == datetime(2026, 8, 1, 9, 50, tzinfo=UTC)
    assert fired.identity != read(alert_id="host-2").identity


def test_when_the_rule_ran_is_no_start_but_the_end_of_what_has_ended():
    fired, over = read(started_at=""), read(started_at="", ended_at="{{state.end}}", action_group="recovered")

    assert (fired.started_at.minute, fired.defaults) == (59, ("started_at",))
    assert (over.ended_at.minute, over.defaults) == (59, ("started_at",))


def test_no_time_at_all_is_when_it_came():
    over = read(started_at="", date="", action_group="recovered")

    assert (over.started_at, over.ended_at, over.defaults) == (NOW, NOW, ("started_at", "ended_at"))


@pytest.mark.parametrize(
    ("more", "severity", "word"),
    [
        ({"rule_tags": "severity:critical"}, Severity.CRITICAL, "critical"),
        ({"severity": "low", "rule_tags": "severity:critical"}, Severity.LOW, "low"),
        ({"action_group": "slo.burnRate.high", "action_group_name": "High"}, Severity.HIGH, "High"),
        ({"action_group": "metrics.threshold.warning", "action_group_name": ""}, Severity.MEDIUM, "warning"),
        ({"action_group": "query matched", "action_group_name": "Query matched"}, Severity.UNKNOWN, None),
        ({"severity": "{{context.severity}}"}, Severity.UNKNOWN, None),
    ],
)
def test_severity_is_in_a_field_or_a_tag_or_the_group(more, severity, word):
    assert (read(**more).severity, read(**more).source_severity) == (severity, word)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["service:web", "prod"], {"service": "web", "prod": "true"}),
        ("service:web,prod", {"service": "web", "prod": "true"}),
        ('["service:web","prod"]', {"service": "web", "prod": "true"}),
        ("[broken", {}),
        ("{{rule.tags}}", {}),
        ("", {}),
        (None, {}),
        ([None, {"a": 1}, ":x"], {'{"a"': "1}"}),
    ],
)
def test_tags_come_in_every_form_a_template_makes_of_them(tags, expected):
    assert tags_of(tags) == expected


def test_no_data_is_told_from_too_much():
    assert read(action_group="metrics.threshold.nodata", action_group_name="No Data").no_data
    assert not read().no_data


def test_what_is_missing_is_filled_in_and_named():
    one = read(rule_name="{{rule.name}}", action_group="")

    assert (one.title, one.status) == ("A rule without a name", Status.FIRING)
    assert one.defaults == ("status", "title")


def test_the_connectors_own_test_is_no_alert():
    reading = SOURCE.parse(delivery(b'{"rule_id": "{{rule.id}}", "rule_name": "{{rule.name}}"}'), {})

    assert not reading.alerts
    assert "not filled in" in reading.ignored


def test_a_body_without_a_rule_says_what_to_do():
    with pytest.raises(Unreadable, match="the body: no rule_id"):
        SOURCE.parse(delivery(b'{"text": "hello"}'), {})


DOCUMENT = {
    "@timestamp": "2026-08-01T09:59:00Z",
    "kibana.space_ids": ["ops"],
    "kibana.alert.rule.uuid": "r1",
    "kibana": {"alert": {"instance": {"id": "host-1"}, "uuid": "u1", "start": "2026-08-01T09:50:00Z", "reason": "Disk is 97 % full",
                         "rule": {"name": "Disk of hosts", "tags": ["service:search"]}, "url": "https://kibana.example.com/a/u1"}},
}  # fmt: skip


def test_a_summary_is_its_alerts_and_they_are_the_same_as_each_alone():
    body = {"alerts": {"new": {"count": 1, "data": [DOCUMENT]}, "ongoing": {"count": 0}, "recovered": {"data": [DOCUMENT]}}}

    fired, over = SOURCE.parse(delivery(json.dumps(body).encode()), {}).alerts

    assert fired.identity == over.identity == read().identity
    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.title, fired.service, fired.url) == ("Disk of hosts", "search", "https://kibana.example.com/a/u1")
    assert (fired.description, fired.defaults, over.ended_at.minute) == ("Disk is 97 % full", (), 59)


def test_a_summary_of_nothing_is_no_alert():
    assert "without alerts" in SOURCE.parse(delivery(b'{"alerts": {"new": {"count": 0, "data": []}}}'), {}).ignored


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"alerts": {"new": []}}', r"alerts\.new: expected an object"),
        (b'{"alerts": {"new": {"data": {}}}}', r"alerts\.new\.data: expected a list"),
        (b'{"alerts": {"new": {"data": [1]}}}', r"alerts\.new\.data\[0\]: expected an object"),
        (b'{"alerts": {"recovered": {"data": [{}]}}}', r"alerts\.recovered\.data\[0\]: no rule_id"),
    ],
)
def test_a_broken_summary_names_the_place(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"a.b.c": 1}, 1), ({"a": {"b": {"c": 1}}}, 1), ({"a.b": {"c": 1}}, 1), ({"a": {"b.c": 1}}, 1),
        ({"a": {"b": 2}}, None), ({"a": []}, None), ([], None),
    ],
)  # fmt: skip
def test_a_field_of_a_document_is_found_however_it_is_nested(document, found):
    assert field_at(document, "a.b.c") == found


def test_nothing_of_the_body_is_lost():
    kept = as_json(read(value="97", extra={"a": 1}))["attributes"]

    assert (kept["value"], kept["extra"], kept["alert_uuid"]) == ("97", {"a": 1}, "u1")


def test_what_fires_does_so_when_its_rule_ran_and_what_is_over_since_its_end():
    fired = read(date="2026-08-01T09:58:00Z", started_at="2026-08-01T09:30:00Z")
    over = read(action_group="recovered", date="2026-08-01T09:59:00Z", ended_at="2026-08-01T09:58:30Z")

    assert [one.changed_at.strftime("%H:%M:%S") for one in (fired, over)] == ["09:58:00", "09:58:30"]
    assert read(date="{{date}}").changed_at is None


@pytest.mark.parametrize(("alert_id", "is_late"), [("host-1", True), ("", False), ("{{alert.id}}", False)])
def test_the_end_of_one_alert_says_nothing_of_another_where_their_rule_tells_none_apart(alert_id, is_late):
    over = read(alert_id=alert_id, action_group="recovered", ended_at="2026-08-01T09:59:01Z")

    assert over.changed_at is not None
    assert was_overtaken(read(alert_id=alert_id), Ended(over.changed_at, NOW), NOW) is is_late
