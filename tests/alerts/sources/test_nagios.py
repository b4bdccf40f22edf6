"""Nagios and Icinga: the types of a notification, what a state means at the end of one, and macros left as they were."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.nagios import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
EARLIER, LATER = datetime(2026, 8, 1, 9, 50, tzinfo=UTC), datetime(2026, 8, 1, 9, 59, tzinfo=UTC)
PROBLEM = {
    "type": "PROBLEM", "object": "service", "host": "db-1", "service": "Disk /", "state": "CRITICAL", "output": "2 % free",
    "state_since": "1785577800", "time": "1785578340", "notification_number": "1",
}  # fmt: skip


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def read(**fields: Any) -> Alert:
    [alert] = SOURCE.parse(delivery(PROBLEM | fields), {}).alerts
    return alert


def test_a_problem_and_its_recovery_are_one_alert():
    fired, over = read(), read(type="RECOVERY", state="OK", state_since="1785578340")

    assert fired.identity == over.identity == "db-1|Disk /"
    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.title, fired.started_at, fired.ended_at) == ("Disk / on db-1", EARLIER, None)
    assert over.ended_at == LATER


def test_a_host_is_another_alert_than_its_services():
    alert = read(service="", object="host", state="DOWN")

    assert (alert.identity, alert.title, alert.service) == ("db-1", "db-1", "db-1")


@pytest.mark.parametrize(
    ("type_", "state", "status"),
    [
        ("PROBLEM", "WARNING", Status.FIRING), ("RECOVERY", "OK", Status.RESOLVED),
        ("ACKNOWLEDGEMENT", "CRITICAL", Status.ACKNOWLEDGED),
        ("DOWNTIMESTART", "CRITICAL", Status.SUPPRESSED), ("DOWNTIMEEND", "CRITICAL", Status.FIRING),
        ("DOWNTIMEEND", "OK", Status.RESOLVED), ("DOWNTIMECANCELLED", "UP", Status.RESOLVED),
        ("DOWNTIMEREMOVED", "DOWN", Status.FIRING),
        ("FLAPPINGSTART", "CRITICAL", Status.FIRING), ("FLAPPINGSTART", "OK", Status.INFO),
        ("FLAPPINGSTOP", "OK", Status.RESOLVED), ("FLAPPINGEND", "CRITICAL", Status.FIRING), ("CUSTOM", "OK", Status.INFO),
        ("problem", "critical", Status.FIRING), ("ACKNOWLEDGEMENT (ben)", "DOWN", Status.ACKNOWLEDGED),
    ],
)  # fmt: skip
def test_each_type_of_notification(type_, state, status):
    alert = read(type=type_, state=state)

    assert alert.status is status
    assert not alert.defaults


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"type": "$NOTIFICATIONTYPE$", "state": "OK"}, Status.RESOLVED),
        ({"type": "", "state": "WARNING"}, Status.FIRING),
        ({"type": "NEWS", "state": "$SERVICESTATE$"}, Status.FIRING),
    ],
)
def test_without_a_type_the_state_is_taken_and_said_to_be_a_guess(fields, status):
    alert = read(**fields)

    assert (alert.status, alert.defaults) == (status, ("status",))


@pytest.mark.parametrize(
    ("state", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL), ("DOWN", Severity.CRITICAL), ("UNREACHABLE", Severity.HIGH),
        ("WARNING", Severity.MEDIUM), ("UNKNOWN", Severity.LOW), ("OK", Severity.INFO), ("UP", Severity.INFO),
        ("PENDING", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_severities_are_states(state, severity):
    alert = read(state=state)

    assert (alert.severity, alert.source_severity, alert.no_data) == (severity, state, state == "UNKNOWN")


def test_a_macro_that_was_not_filled_in_is_never_shown():
    alert = read(notes_url="$SERVICENOTESURL$", environment="$_HOSTENVIRONMENT$", long_output="$service.vars.more$", output="$5 left")

    assert (alert.url, alert.environment, alert.description) == (None, None, "$5 left")
    assert "notes_url" not in alert.attributes


@pytest.mark.parametrize(
    ("fields", "started_at", "defaults"),
    [
        ({}, EARLIER, ()),
        ({"state_since": "$LASTSERVICESTATECHANGE$"}, LATER, ()),
        # Another state, and the time of that.
        ({"notification_number": "2"}, EARLIER, ("started_at",)),
        ({"notification_number": None}, EARLIER, ("started_at",)),
        ({"state_since": "", "notification_number": "4"}, LATER, ("started_at",)),
        ({"state_since": "", "time": "noon"}, NOW, ("started_at",)),
    ],
)
def test_the_time_of_a_repeat_is_not_when_it_began(fields, started_at, defaults):
    alert = read(**fields)

    assert (alert.started_at, alert.defaults) == (started_at, defaults)


def test_a_recovery_without_any_time_is_said_to_have_none():
    assert read(type="RECOVERY", state="OK", state_since="", time="").defaults == ("started_at", "ended_at")


def test_the_first_group_is_the_service_and_an_acknowledgement_has_words():
    alert = read(type="ACKNOWLEDGEMENT", service_groups="database, tier-1", ack_author="ben", ack_comment="on it",
                 notes_url="https://wiki.example.com/disk", environment="production", contact_group="dba")  # fmt: skip

    assert (alert.service, alert.environment, alert.url) == ("database", "production", "https://wiki.example.com/disk")
    assert alert.annotations == {"comment": "ben: on it"}
    assert alert.labels == {"host": "db-1", "service": "Disk /", "service_groups": "database, tier-1", "contact_group": "dba"}


@pytest.mark.parametrize("host", [None, "", "$HOSTNAME$"])
def test_without_a_host_it_says_so(host):
    with pytest.raises(Unreadable, match="host: missing"):
        SOURCE.parse(delivery(PROBLEM | {"host": host}), {})
