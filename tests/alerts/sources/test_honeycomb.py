"""Honeycomb: both payloads, its secret in three places, times without a day, and tests that are no alerts."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.honeycomb import SOURCE
from bot.errors import Unreadable, Unverified
from tests.alerts.test_sources import NOW, SECRET, delivery

UI = "https://ui.example.com/shop/environments/production/datasets/web"
GROUPS = [{"Group": {"service.name": "web", "route": route}, "Result": 9} for route in ("/a", "/b")]
BODY = {
    "version": "v0.1.0", "id": "t1", "name": "Slow", "status": "TRIGGERED", "summary": "Triggered: Slow", "description": "9 > 5",
    "trigger_description": "See the runbook", "trigger_url": f"{UI}/triggers/t1", "result_url": f"{UI}/result/r1",
    "result_groups_triggered": GROUPS, "result_groups": GROUPS,
}  # fmt: skip
CUSTOM = {
    "id": "t1", "name": "Slow", "description": "See the runbook", "links": {"url": f"{UI}/triggers/t1"}, "environment": "staging",
    "result": {"groupsTriggered": [{"field": "service.name", "value": "web", "count": 9}], "links": {"url": f"{UI}/result/r1"}},
    "alert": {"instanceId": "i1", "description": "9 > 5", "status": "TRIGGERED", "summary": "Triggered: Slow", "isTest": False,
              "timestamp": "05:58:00 UTC-04:00", "severity": "high"},
}  # fmt: skip


def read(body=BODY, **more):
    [one] = SOURCE.parse(delivery(json.dumps({**body, **more}).encode()), {}).alerts
    return one


def test_a_trigger_is_the_same_when_it_is_over():
    fired, over = read(), read(status="OK", result_groups_triggered=[])

    assert fired.identity == over.identity == "t1"
    assert (fired.status, over.status, over.ended_at) == (Status.FIRING, Status.RESOLVED, NOW)
    assert fired.service == over.service == "web"


def test_the_default_payload_says_no_time():
    assert (read().started_at, read().defaults) == (NOW, ("started_at",))
    assert read(status="OK").defaults == ("started_at", "ended_at")


def test_labels_are_what_the_groups_have_in_common():
    assert read().labels == {"environment": "production", "dataset": "web", "service.name": "web"}
    assert read(result_groups_triggered=GROUPS[:1]).labels["route"] == "/a"


def test_a_custom_payload_is_read_too():
    one = read(CUSTOM)

    assert (one.identity, one.occurrence, one.status, one.environment) == ("t1", "i1", Status.FIRING, "staging")
    assert (one.severity, one.service, one.description) == (Severity.HIGH, "web", "9 > 5\n\nSee the runbook")
    assert (one.url, one.defaults) == (f"{UI}/result/r1", ("started_at",))
    assert one.started_at == datetime(2026, 8, 1, 9, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "received", "expected"),
    [
        ("09:58:00 UTC+00:00", "2026-08-01T10:00:00", "2026-08-01T09:58:00"),
        ("09:58:00 UTC", "2026-08-01T10:00:00", "2026-08-01T09:58:00"),
        ("23:59:50 UTC+00:00", "2026-08-01T00:00:10", "2026-07-31T23:59:50"),
        ("00:00:05 UTC+00:00", "2026-07-31T23:59:58", "2026-08-01T00:00:05"),
        ("20:00:00 UTC-04:00", "2026-08-01T00:00:03", "2026-08-01T00:00:00"),
        ("2026-08-01T09:58:00Z", "2026-08-01T10:00:00", "2026-08-01T09:58:00"),
    ],
)
def test_a_time_without_its_day_is_the_nearest(text, received, expected):
    at = datetime.fromisoformat(received).replace(tzinfo=UTC)
    sent = replace(delivery(json.dumps({**BODY, "timestamp": text}).encode()), received_at=at)

    assert SOURCE.parse(sent, {}).alerts[0].started_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["99:99:99 UTC+00:00", "yesterday", "{{ .Alert.Timestamp }}"])
def test_what_is_no_time_is_none(text):
    assert read(timestamp=text).defaults == ("started_at",)


@pytest.mark.parametrize(
    "more", [{"is_test": True}, {"summary": "TRIGGER TEST: Triggered: Slow"}, {"alert": {"isTest": True}}], ids=str
)
def test_a_test_is_no_alert_and_not_taken_for_the_trigger(more):
    assert (read(**more).kind, read(**more).identity) == (Kind.TEST, "test/t1")


def test_a_burn_alert_has_its_slo_as_a_link():
    one = read(slo_url=f"{UI}/slo/s1", sli_url=f"{UI}/schema?dc=sli.a", trigger_url="", result_url="", result_groups_triggered=None)

    assert [(link.rel, link.title) for link in one.links] == [("dashboard", "SLO"), ("source", "SLI")]
    assert one.url == f"{UI}/slo/s1"


@pytest.mark.parametrize("word", ["", "PURPLE"])
def test_a_status_nobody_knows_is_taken_as_firing(word):
    assert (read(status=word).status, read(status=word).defaults) == (Status.FIRING, ("started_at", "status"))


def test_the_name_stands_in_for_the_id_and_one_of_them_is_needed():
    assert read(id="<no value>").identity == "Slow"
    with pytest.raises(Unreadable, match="id: missing"):
        SOURCE.parse(delivery(b'{"status": "TRIGGERED"}'), {})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{}", {"X-Honeycomb-Webhook-Token": SECRET}),
        (b"{}", {"Authorization": f"Bearer {SECRET}"}),
        (json.dumps({"shared_secret": SECRET}).encode(), {}),
        (json.dumps({"secret": SECRET}).encode(), {}),
    ],
)
def test_its_secret_may_stand_in_the_header_or_in_the_body(body, headers):
    SOURCE.verify(delivery(body, headers), [SECRET], NOW)


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b'{"shared_secret": "wrong"}', {}, "does not fit"),
        (b'{"shared_secret": ""}', {}, "^no token"),
        (b"not json", {}, "^no token"),
        (json.dumps({"shared_secret": SECRET}).encode(), {"X-Honeycomb-Webhook-Token": "wrong"}, "does not fit"),
    ],
)
def test_a_wrong_secret_anywhere_is_refused(body, headers, says):
    with pytest.raises(Unverified, match=says):
        SOURCE.verify(delivery(body, headers), [SECRET], NOW)


def test_the_secret_is_not_kept_with_the_alert():
    assert SECRET not in str(read(shared_secret=SECRET, secret=SECRET))


def test_a_delivery_is_known_by_its_header_and_without_one_by_its_body_for_a_while():
    body = json.dumps(BODY).encode()
    named, plain = delivery(body, {"X-Honeycomb-Webhook-Delivery-ID": "d1"}), delivery(body)

    assert SOURCE.delivery_id(named) == "d1"
    assert SOURCE.delivery_id(plain) == SOURCE.delivery_id(replace(plain, received_at=NOW + timedelta(seconds=5)))
    assert SOURCE.delivery_id(plain) != SOURCE.delivery_id(replace(plain, received_at=NOW + timedelta(seconds=60)))
