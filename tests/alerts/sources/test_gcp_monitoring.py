"""Cloud Monitoring: states in any case, labels of four kinds, tests of a channel, and incidents without data."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.gcp_monitoring import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
START, END = 1_785_577_800, 1_785_578_340


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def read(version: str = "1.2", **fields: Any) -> Alert:
    incident = {"incident_id": "0.x", "state": "open", "condition_name": "Slow", "started_at": START, "ended_at": None} | fields
    [alert] = SOURCE.parse(delivery({"version": version, "incident": incident}), {}).alerts
    return alert


@pytest.mark.parametrize(
    ("state", "status", "defaults"),
    [
        ("open", Status.FIRING, ()),
        ("OPEN", Status.FIRING, ()),
        ("acknowledged", Status.ACKNOWLEDGED, ()),
        ("purple", Status.FIRING, ("status",)),
        (None, Status.FIRING, ("status",)),
    ],
)
def test_a_state_nobody_knows_is_taken_as_firing_and_said_to_be_a_guess(state, status, defaults):
    alert = read(state=state)

    assert (alert.status, alert.defaults, alert.ended_at) == (status, defaults, None)


def test_an_incident_and_its_end_are_one_alert():
    opened, closed = read(), read(state="closed", ended_at=END)

    assert opened.identity == closed.identity == "0.x"
    assert closed.status is Status.RESOLVED
    assert closed.ended_at == datetime(2026, 8, 1, 9, 59, tzinfo=UTC)
    assert closed.started_at == opened.started_at == datetime(2026, 8, 1, 9, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "severity", "word"),
    [
        ({"severity": "Critical"}, Severity.CRITICAL, "Critical"),
        ({"severity": "Error"}, Severity.HIGH, "Error"),
        ({"severity": "Warning"}, Severity.MEDIUM, "Warning"),
        ({"severity": "No severity"}, Severity.UNKNOWN, "No severity"),
        ({"policy_user_labels": {"severity": "low"}}, Severity.LOW, "low"),
        ({}, Severity.UNKNOWN, None),
    ],
)
def test_severities(fields, severity, word):
    alert = read(**fields)

    assert (alert.severity, alert.source_severity) == (severity, word)


def test_the_policys_labels_win_over_the_resources():
    alert = read(
        resource={"type": "vm", "labels": {"zone": "a", "service": "vm"}},
        metric={"labels": {"code": "500"}},
        metadata={"user_labels": {"service": "owner", "env": "staging"}},
        policy_user_labels={"service": "cart"},
        policy_name="Cart",
        resource_display_name="vm-1",
    )

    assert alert.labels == {
        "policy_name": "Cart", "condition_name": "Slow", "zone": "a", "code": "500", "env": "staging", "service": "cart",
    }  # fmt: skip
    assert (alert.service, alert.environment, alert.group_key) == ("cart", "staging", "Cart")


@pytest.mark.parametrize(
    ("fields", "service"),
    [
        ({"resource_display_name": "vm-1", "resource_name": "p vm-1"}, "vm-1"),
        ({"resource_name": "vm-2"}, "vm-2"),
        ({}, None),
    ],
)
def test_the_resource_is_the_service_where_no_label_says(fields, service):
    assert read(**fields).service == service


def test_a_channels_test_is_a_test_and_its_zeros_are_no_times():
    alert = read("test", state="OPEN", started_at=0, ended_at=0, documentation="Only a test")

    assert (alert.kind, alert.status, alert.description) == (Kind.TEST, Status.FIRING, "Only a test")
    assert (alert.started_at, alert.defaults) == (NOW, ("started_at",))


def test_documentation_has_text_and_links():
    links = [{"displayName": "Runbook", "url": "https://wiki.example.com/r"}, {"url": "javascript:x"}, 3]
    alert = read(summary="It is slow.", documentation={"content": "Roll back.", "links": links})

    assert alert.description == "It is slow.\n\nRoll back."
    assert [(link.rel, link.url) for link in alert.links] == [("runbook", "https://wiki.example.com/r")]


def test_a_condition_of_absence_is_one_without_data():
    assert read(condition={"conditionAbsent": {"duration": "300s"}}).no_data
    assert not read(condition={"conditionThreshold": {}}).no_data


def test_a_value_in_prose_is_kept():
    assert read(observed_value="The policy was deleted.", threshold_value="3").annotations == {
        "observed_value": "The policy was deleted.",
        "threshold_value": "3",
    }


def test_without_an_id_the_condition_and_its_resource_tell_alerts_apart():
    one, other = (read(incident_id=None, resource_name=name).identity for name in ("a", "b"))

    assert one != other
    assert read(incident_id=None, resource_name="a", state="closed").identity == one


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"version": "1.2"}, "incident: missing"),
        ({"incident": "x"}, "incident: expected an object, got text"),
        ({"incident": {}}, "incident.incident_id: missing"),
        ({"incident": {"incident_id": "1", "resource": {"labels": []}}}, r"incident\.resource\.labels: expected an object"),
    ],
)
def test_what_cannot_be_read_says_where(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


def test_an_incident_says_when_it_was_opened_and_when_it_was_closed():
    opened, closed = read(ended_at=None), read(state="closed", ended_at=1_785_578_340)

    assert (opened.changed_at, closed.changed_at) == (opened.started_at, datetime(2026, 8, 1, 9, 59, tzinfo=UTC))
    assert read(state="closed", ended_at=0).changed_at is None
