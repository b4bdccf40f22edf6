"""Netdata: agents' statuses and durations, and the Cloud's alerts, nodes and tests."""

import json
from datetime import UTC, datetime

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.matching import Ended, was_overtaken
from bot.alerts.sources.netdata import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

AGENT = {
    "host": "db-1", "chart": "system.load", "name": "load_average_5", "status": "WARNING", "old_status": "CLEAR",
    "when": "1785578400", "non_clear_duration": "0", "value_string": "17.2", "summary": "Load of 5 minutes", "info": "Runs in line",
}  # fmt: skip
CLOUD = {
    "message": "load_average_5 is critical", "alert": "load_average_5", "chart": "system.load", "space": "shop", "class": "Load",
    "severity": "critical", "date": "2026-08-01T09:59:00Z", "alert_url": "https://app.example.com/a/1",
    "Rooms": {"All": "https://app.example.com/r/1"},
}  # fmt: skip


def reading(body, **more):
    return SOURCE.parse(delivery(json.dumps({**body, **more}).encode()), {})


def read(body=AGENT, **more):
    [one] = reading(body, **more).alerts
    return one


@pytest.mark.parametrize(
    ("status", "expected", "severity"),
    [
        ("WARNING", Status.FIRING, Severity.MEDIUM),
        ("CRITICAL", Status.FIRING, Severity.CRITICAL),
        ("CLEAR", Status.RESOLVED, Severity.UNKNOWN),
        ("REMOVED", Status.INFO, Severity.UNKNOWN),
        ("UNDEFINED", Status.INFO, Severity.UNKNOWN),
        ("UNINITIALIZED", Status.INFO, Severity.UNKNOWN),
    ],
)
def test_what_an_agents_status_means(status, expected, severity):
    one = read(status=status)

    assert (one.status, one.severity, one.source_status, one.defaults) == (expected, severity, status, ())


@pytest.mark.parametrize("status", ["", "PURPLE"])
def test_a_status_nobody_knows_is_taken_as_firing(status):
    assert (read(status=status).status, read(status=status).defaults) == (Status.FIRING, ("status",))


def test_an_alert_is_the_same_when_it_gets_worse_and_when_it_clears():
    warned = read()
    worse = read(status="CRITICAL", old_status="WARNING", when="1785578700", non_clear_duration="300")
    clear = read(status="CLEAR", old_status="CRITICAL", when="1785579000", non_clear_duration="600")

    assert warned.identity == worse.identity == clear.identity == "db-1/system.load/load_average_5"
    assert warned.started_at == worse.started_at == clear.started_at == datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
    assert (clear.ended_at.minute, clear.severity, clear.source_severity) == (10, Severity.CRITICAL, "CRITICAL")


@pytest.mark.parametrize("raised", ["", "soon", "-5", "1" * 12, "٣"])
def test_a_duration_that_is_none_counts_for_nothing(raised):
    assert read(non_clear_duration=raised).started_at == datetime(2026, 8, 1, 10, 0, tzinfo=UTC)


def test_title_labels_and_words():
    one = read(component="System", classification="Load")

    assert (one.title, one.description, one.service) == ("Load of 5 minutes on db-1", "17.2\n\nRuns in line", "db-1")
    assert one.labels == {
        "host": "db-1", "chart": "system.load", "component": "System", "classification": "Load", "alertname": "load_average_5",
    }  # fmt: skip


def test_the_agents_own_test_is_a_test():
    assert read(name="test_alarm", chart="test.chart").kind is Kind.TEST


def test_no_time_is_when_it_came():
    assert (read(when="").started_at, read(when="").defaults) == (NOW, ("started_at",))
    assert read(when="", status="CLEAR").defaults == ("started_at", "ended_at")


def test_a_cloud_alert_and_its_end():
    fired, over = read(CLOUD), read(CLOUD, severity="clear", date="2026-08-01T10:05:00Z")

    assert fired.identity == over.identity == "shop/system.load/load_average_5"
    assert (fired.status, fired.severity, over.status) == (Status.FIRING, Severity.CRITICAL, Status.RESOLVED)
    assert (fired.title, fired.description) == ("load_average_5", "load_average_5 is critical")
    assert (fired.url, fired.started_at.minute, over.ended_at.minute) == ("https://app.example.com/a/1", 59, 5)
    assert fired.attributes["Rooms"] == CLOUD["Rooms"]


def test_what_is_clear_on_one_node_says_nothing_of_another_where_none_is_named():
    over = Ended(datetime(2026, 8, 1, 10, 5, tzinfo=UTC), NOW)

    assert was_overtaken(read(), over, NOW)
    assert not was_overtaken(read(CLOUD), over, NOW)
    # An end from before it fired is still known to be that.
    assert read(CLOUD, severity="clear").changed_at == datetime(2026, 8, 1, 9, 59, tzinfo=UTC)


def test_the_clouds_nested_alert_names_its_node():
    body = {
        "node": {"hostname": "db-1"}, "space": {"name": "shop"}, "date": "2026-08-01T09:59:00Z",
        "alert": {"name": "load_average_5", "chart": {"name": "system.load"}, "state": {"status": "warning", "value_str": "17.2"},
                  "rendered": {"info": "Runs in line"}, "url": "https://app.example.com/a/1"},
    }  # fmt: skip

    one = read(body)

    assert (one.identity, one.severity, one.url) == (read().identity, Severity.MEDIUM, "https://app.example.com/a/1")
    assert (one.description, one.service, one.defaults) == ("17.2\n\nRuns in line", "db-1", ())


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"reachable": False, "text": "unreachable"}, Status.FIRING),
        ({"reachable": True, "text": "reachable"}, Status.RESOLVED),
        ({"text": "reachable"}, Status.RESOLVED),
        ({}, Status.FIRING),
    ],
)
def test_a_node_that_cannot_be_reached(status, expected):
    one = read({"host": "db-1", "url": "https://app.example.com/n/1", "severity": "critical", "status": status, "message": "gone"})

    assert (one.identity, one.status, one.severity) == ("node/db-1", expected, Severity.CRITICAL)
    assert "started_at" in one.defaults


def test_the_clouds_test_shows_the_token_that_it_asks_for():
    found = reading({"title": "Test Notification", "message": "It works", "token": "11-22"})

    assert not found.alerts
    assert "11-22" in found.ignored


@pytest.mark.parametrize(("body", "says"), [({}, "name: missing"), ({"alert": 0, "x": 1}, ""), ({"status": {}}, "host: missing")])
def test_what_cannot_be_read_names_the_place(body, says):
    if not says:
        assert read(body).title == "0"
        return
    with pytest.raises(Unreadable, match=says):
        reading(body)
