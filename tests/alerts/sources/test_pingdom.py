"""Pingdom: the states of both kinds of checks, importance, times, tags, and its sample."""

import json
from datetime import datetime

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.pingdom import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BODY = {
    "check_id": 41, "check_name": "Search", "check_type": "HTTP", "current_state": "DOWN", "previous_state": "UP",
    "importance_level": "HIGH", "state_changed_timestamp": 1_785_576_600, "description": "Timeout",
    "check_params": {"hostname": "search.example.com", "full_url": "https://search.example.com/q"},
}  # fmt: skip


def read(**changes):
    [one] = SOURCE.parse(delivery(json.dumps(BODY | changes).encode()), {}).alerts
    return one


@pytest.mark.parametrize(
    ("word", "status", "defaults"),
    [
        ("DOWN", Status.FIRING, ()), ("UP", Status.RESOLVED, ()), ("FAILING", Status.FIRING, ()),
        ("SUCCESS", Status.RESOLVED, ()), ("PAUSED", Status.INFO, ()), ("ODD", Status.FIRING, ("status",)),
    ],
)  # fmt: skip
def test_uptime_and_transaction_checks_have_words_of_their_own(word, status, defaults):
    one = read(current_state=word)

    assert (one.status, one.source_status, one.defaults) == (status, word, defaults)


def test_a_check_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    assert read().identity == read(current_state="UP", state_changed_timestamp=1_785_576_900).identity == "41"


@pytest.mark.parametrize(
    ("level", "severity"),
    [("HIGH", Severity.HIGH), ("LOW", Severity.LOW), (None, Severity.UNKNOWN), ("", Severity.UNKNOWN)],
)
def test_importance_is_the_severity(level, severity):
    one = read(importance_level=level)

    assert (one.severity, one.source_severity) == (severity, level or None)


@pytest.mark.parametrize(
    ("changes", "at", "defaults"),
    [
        ({}, "2026-08-01T09:30:00+00:00", ()),
        ({"state_changed_timestamp": None, "state_changed_utc_time": "2026-08-01T09:31:00"}, "2026-08-01T09:31:00+00:00", ()),
        ({"state_changed_timestamp": "soon"}, NOW.isoformat(), ("started_at",)),
    ],
)
def test_the_time_is_that_of_the_change(changes, at, defaults):
    one = read(**changes)

    assert (one.started_at, one.defaults) == (datetime.fromisoformat(at), defaults)


def test_what_the_team_wrote_into_the_check_is_shown_too():
    one = read(long_description="No answer in 30 s", custom_message="Ask the search team first")

    assert one.description == "No answer in 30 s\nAsk the search team first"


def test_tags_tell_the_service_and_the_environment():
    one = read(tags=["service:find", "production"])

    assert (one.service, one.environment) == ("find", "production")
    assert read().service == "search.example.com"


def test_a_transaction_check_has_no_host():
    one = read(check_params={"url": "https://shop.example.com/"}, check_type="TRANSACTION", current_state="FAILING")

    assert (one.url, one.service, one.status) == ("https://shop.example.com/", None, Status.FIRING)


def test_the_sample_of_its_documentation_pages_nobody():
    one = read(check_id=12345, check_name="Name of HTTP check")

    assert (one.kind, one.status, one.identity) == (Kind.TEST, Status.INFO, "test")
    assert read(check_id=12345).kind is Kind.ALERT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"check_id": None}, "^check_id: missing"), ({"current_state": ""}, "^current_state: missing"),
        ({"check_params": []}, "^check_params: expected an object"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(changes, says):
    with pytest.raises(Unreadable, match=says):
        read(**changes)


@pytest.mark.parametrize("word", ["DOWN", "UP"])
def test_a_check_says_when_it_changed(word):
    told, untold = read(current_state=word), read(current_state=word, state_changed_timestamp=None, state_changed_utc_time=None)

    assert told.changed_at == told.started_at
    assert untold.changed_at is None
