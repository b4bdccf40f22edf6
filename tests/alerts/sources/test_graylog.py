"""Graylog: events by their keys, priorities, its own test, and streams of old."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.graylog import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, SECRET, delivery

EVENT = {
    "id": "01J1", "timestamp": "2026-08-01T09:59:30.000Z", "message": "Refused: count()=9", "priority": 3, "key_tuple": ["web"],
    "key": "web", "fields": {"service": "web"}, "group_by_fields": {"environment": "production"},
}  # fmt: skip
BODY = {"event_definition_id": "d1", "event_definition_title": "Refused", "event_definition_type": "aggregation-v1", "event": EVENT}


def sent(body):
    return delivery(json.dumps(body).encode())


def read(event=None, **more):
    [one] = SOURCE.parse(sent({**BODY, "event": {**EVENT, **(event or {})}, **more}), {}).alerts
    return one


def test_an_event():
    one = read(remediation_steps="https://wiki.example.com/refused", event_definition_description="Too many")

    assert (one.title, one.description, one.status, one.kind) == ("Refused", "Refused: count()=9", Status.FIRING, Kind.ALERT)
    assert (one.service, one.environment, one.occurrence) == ("web", "production", "01J1")
    assert one.started_at == datetime(2026, 8, 1, 9, 59, 30, tzinfo=UTC)
    assert one.annotations == {"description": "Too many", "remediation_steps": "https://wiki.example.com/refused"}
    assert [link.rel for link in one.links] == ["runbook"]


@pytest.mark.parametrize(
    ("priority", "severity"),
    [(1, Severity.LOW), (2, Severity.MEDIUM), (3, Severity.HIGH), (4, Severity.CRITICAL), (0, Severity.INFO), (9, Severity.UNKNOWN),
     (None, Severity.UNKNOWN)],
)  # fmt: skip
def test_priority_is_severity(priority, severity):
    assert read({"priority": priority}).severity is severity


@pytest.mark.parametrize(
    ("event", "identity"),
    [
        ({}, "d1/web"),
        ({"key_tuple": ["web", "eu"]}, "d1/web|eu"),
        ({"key_tuple": [], "key": "web"}, "d1/web"),
        ({"key_tuple": None, "key": None, "group_by_fields": {"b": "2", "a": "1"}}, "d1/a=1|b=2"),
        ({"key_tuple": [], "key": None, "group_by_fields": None}, "d1/"),
    ],
)
def test_the_definition_and_its_key_tell_one_alert_from_another(event, identity):
    assert read(event).identity == identity


def test_what_graylog_does_not_know_is_missing():
    one = read(event_definition_title="<unknown>", event_definition_description="<unknown>", remediation_steps="<unknown>")

    assert (one.title, one.annotations) == ("Refused: count()=9", {})


def test_its_own_test_is_a_test_and_each_is_one_of_its_own():
    body = {**BODY, "event_definition_type": "test-dummy-v1", "event": {**EVENT, "id": "TEST_NOTIFICATION_ID"}}
    other = {**body, "event": {**body["event"], "timestamp": "2026-08-01T10:00:30.000Z"}}

    assert SOURCE.parse(sent(body), {}).alerts[0].kind is Kind.TEST
    assert SOURCE.delivery_id(sent(body)) != SOURCE.delivery_id(sent(other))


def test_an_event_is_one_delivery_whenever_it_comes():
    again = replace(sent({**BODY, "backlog": [1]}), received_at=NOW + timedelta(hours=1))

    assert SOURCE.delivery_id(sent(BODY)) == SOURCE.delivery_id(again) == "01J1"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"event": 3}', b'{"event": {}}', b'{"check_result": {}}'])
def test_any_body_has_a_delivery_id(body):
    assert len(SOURCE.delivery_id(delivery(body))) == 64


def test_an_alarm_of_a_stream():
    body = {
        "check_result": {"result_description": "12 messages in 1 minute", "triggered_at": "2026-08-01T09:59:00.000Z",
                         "triggered_condition": {"id": "c1", "title": "Many errors"}},
        "stream": {"id": "s1", "title": "Errors", "description": "All errors"},
    }  # fmt: skip

    [one] = SOURCE.parse(sent(body), {}).alerts

    assert (one.identity, one.title, one.description) == ("stream/s1/c1", "Many errors", "12 messages in 1 minute")
    assert (one.started_at.minute, one.defaults, one.annotations) == (59, ("started_at",), {"description": "All errors"})


def test_the_token_is_taken_from_the_address():
    SOURCE.verify(delivery(b"{}", token=SECRET), [SECRET], NOW)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "event: missing"),
        (b'{"event": 3}', "event: expected an object"),
        (b'{"event": {}}', "event_definition_id: missing"),
        (b'{"event_definition_id": "d", "event": {"fields": []}}', r"event\.fields: expected an object"),
        (b'{"check_result": [], "stream": {}}', "check_result: expected an object"),
    ],
)
def test_what_cannot_be_read_names_the_place(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})
