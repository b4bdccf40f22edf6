"""Opsgenie: what each action makes of its alert, priorities old and new, and the little that an escalation says."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.opsgenie import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
CREATED, CHANGED = 1_785_577_800_000, 1_785_578_340_000_000_123


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def read(action: str, **fields: Any) -> Alert:
    about = {"alertId": "a-1", "message": "Queue is long", "createdAt": CREATED, "updatedAt": CHANGED} | fields
    [alert] = SOURCE.parse(delivery({"action": action, "alert": about, "integrationName": "bot"}), {}).alerts
    return alert


@pytest.mark.parametrize(
    ("action", "status"),
    [
        ("Create", Status.FIRING), ("UnAcknowledge", Status.FIRING), ("Escalate", Status.FIRING),
        ("EscalateToNext", Status.FIRING), ("UpdatePriority", Status.FIRING), ("SnoozeEnded", Status.FIRING),
        ("Acknowledge", Status.ACKNOWLEDGED), ("Snooze", Status.SUPPRESSED), ("Close", Status.RESOLVED),
        ("Delete", Status.RESOLVED), ("AddNote", Status.INFO), ("TakeOwnership", Status.INFO), ("Restart it", Status.INFO),
    ],
)  # fmt: skip
def test_each_action_leaves_its_alert_somewhere(action, status):
    alert = read(action)

    assert (alert.status, alert.source_status, alert.identity) == (status, action, "a-1")
    assert not alert.defaults


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        ("P1", Severity.CRITICAL), ("P2", Severity.HIGH), ("P3", Severity.MEDIUM), ("P4", Severity.LOW),
        ("P5", Severity.INFO), (1, Severity.CRITICAL), (3, Severity.MEDIUM), ("5", Severity.INFO),
        (None, Severity.UNKNOWN), ("P9", Severity.UNKNOWN), ("enormous", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_a_priority_is_p1_to_p5_or_its_number(priority, severity):
    assert read("Create", priority=priority).severity is severity


def test_times_are_milliseconds_and_something_like_nanoseconds():
    closed = read("Close")

    assert closed.started_at == datetime(2026, 8, 1, 9, 50, tzinfo=UTC)
    assert closed.ended_at is not None
    assert closed.ended_at.replace(microsecond=0) == datetime(2026, 8, 1, 9, 59, tzinfo=UTC)


def test_times_that_are_missing_are_filled_in_and_named():
    closed = read("Close", createdAt=None, updatedAt="soon")

    assert (closed.started_at, closed.ended_at, closed.defaults) == (NOW, NOW, ("started_at", "ended_at"))


def test_an_escalation_tells_the_alert_and_no_more():
    [alert] = SOURCE.parse(delivery({"action": "Escalate", "alert": {"alertId": "a-1"}}), {}).alerts

    assert (alert.title, alert.identity, alert.status) == ("Opsgenie alert a-1", "a-1", Status.FIRING)
    assert alert.defaults == ("title", "started_at")


def test_tags_and_details_are_labels_and_the_entity_is_the_service():
    alert = read("Create", tags=["team:web", "vip", 7], details={"environment": "staging", "team": "core"}, entity="cart")

    assert alert.labels == {"team": "core", "vip": "true", "7": "true", "environment": "staging"}
    assert (alert.service, alert.environment) == ("cart", "staging")


def test_a_tag_names_the_service_where_no_entity_does():
    assert read("Create", tags=["service:checkout"], entity="").service == "checkout"


def test_nothing_is_lost():
    alert = read("AddNote", note="Look at the disk", owner="ana@example.com")

    assert alert.annotations == {"note": "Look at the disk"}
    assert alert.attributes["integrationName"] == "bot"
    assert alert.attributes["alert"] == {"alertId": "a-1", "updatedAt": CHANGED, "owner": "ana@example.com"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "action: missing"),
        ({"action": "Create"}, "alert.alertId: missing"),
        ({"action": "Create", "alert": []}, "alert: expected an object, got a list"),
        ({"action": "Create", "alert": {"alertId": "a", "details": "x"}}, "alert.details: expected an object"),
    ],
)
def test_what_cannot_be_read_says_where(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


def test_the_time_of_the_last_change_tells_the_order_and_that_of_creation_does_not():
    created, closed = read("Create"), read("Close")

    assert created.changed_at == closed.changed_at == closed.ended_at
    assert read("Create", updatedAt=None).changed_at is None
