"""Site24x7: its states, JSON and forms, parameters that were not filled in, and which monitor it is."""

import json
from datetime import datetime
from urllib.parse import urlencode

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.source import FORM
from bot.alerts.sources.site24x7 import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BODY = {
    "MONITOR_ID": 4400, "MONITORNAME": "Login", "MONITORURL": "https://login.example.com", "MONITORTYPE": "URL", "STATUS": "DOWN",
    "INCIDENT_REASON": "Timeout", "FAILED_LOCATIONS": "Lyon-FR,Turin-IT", "INCIDENT_TIME_ISO": "2026-08-01T11:30:00+0200",
    "INCIDENT_TIME": "August 1, 2026 11:30 AM CEST", "RCA_LINK": "https://monitor.example.com/rca?id=1",
}  # fmt: skip
AT = datetime.fromisoformat("2026-08-01T09:30:00+00:00")


def read_raw(raw, content_type="application/json"):
    [one] = SOURCE.parse(delivery(raw, {"Content-Type": content_type}), {}).alerts
    return one


def read(**changes):
    return read_raw(json.dumps(BODY | changes).encode())


@pytest.mark.parametrize(
    ("word", "status", "severity", "defaults"),
    [
        ("DOWN", Status.FIRING, Severity.HIGH, ("started_at",)), ("CRITICAL", Status.FIRING, Severity.HIGH, ("started_at",)),
        ("TROUBLE", Status.FIRING, Severity.MEDIUM, ("started_at",)), ("Up", Status.RESOLVED, Severity.HIGH, ()),
        ("SUSPENDED", Status.SUPPRESSED, Severity.HIGH, ()), ("MAINTENANCE", Status.SUPPRESSED, Severity.HIGH, ()),
        ("ODD", Status.FIRING, Severity.HIGH, ("status", "started_at")),
    ],
)  # fmt: skip
def test_each_state_means_something(word, status, severity, defaults):
    one = read(STATUS=word)

    assert (one.status, one.severity, one.source_status, one.defaults) == (status, severity, word, defaults)


def test_a_monitor_is_the_same_alert_in_each_state():
    assert read().identity == read(STATUS="TROUBLE").identity == read(STATUS="UP").identity == "4400"


def test_without_a_number_its_name_and_address_stand_for_it():
    one = read(MONITOR_ID="$MONITOR_ID")

    assert one.identity == read(MONITOR_ID=None, STATUS="UP").identity
    assert one.identity != read(MONITOR_ID=None, MONITORNAME="Logout").identity


@pytest.mark.parametrize(
    ("changes", "at", "defaults"),
    [
        ({}, AT, ("started_at",)),
        ({"STATUS": "UP"}, AT, ()),
        ({"INCIDENT_TIME_ISO": "$INCIDENT_TIME_ISO", "OUTAGE_TIME_UNIX_FORMAT": "1785576600000"}, AT, ("started_at",)),
        ({"INCIDENT_TIME_ISO": None, "ct": 1_785_576_600_000}, AT, ("started_at",)),
        ({"INCIDENT_TIME_ISO": None}, NOW, ("started_at",)),
    ],
)
def test_the_time_stands_in_one_of_three_places(changes, at, defaults):
    one = read(**changes)

    assert (one.started_at, one.defaults) == (at, defaults)


def test_what_was_not_filled_in_is_missing_and_never_shown():
    one = read(MONITORNAME="$MONITORNAME", INCIDENT_REASON="${INCIDENT_REASON}", FAILED_LOCATIONS="$FAILED_LOCATIONS",
               TAGS="$TAGS", RCA_LINK="$RCA_LINK", MONITORTYPE="$MONITORTYPE")  # fmt: skip

    assert (one.title, one.defaults) == ("https://login.example.com", ("started_at", "title"))
    assert "$" not in json.dumps([one.title, one.description, dict(one.labels), dict(one.attributes)])


@pytest.mark.parametrize("tags", ["service:accounts,production", ["service:accounts", "production"]])
def test_tags_tell_the_service_and_the_environment(tags):
    one = read(TAGS=tags)

    assert (one.service, one.environment, one.labels["MONITORTYPE"]) == ("accounts", "production", "URL")


def test_it_says_why_and_from_where():
    assert read().description == "Timeout\nSeen from: Lyon-FR, Turin-IT"


def test_its_address_is_the_monitors_page_where_it_gives_one():
    one = read(MONITOR_DASHBOARD_LINK="https://monitor.example.com/#/monitors/4400")

    assert one.url == "https://monitor.example.com/#/monitors/4400"
    assert [link.rel for link in one.links] == ["dashboard", "source"]
    assert read().url == "https://login.example.com"


def test_a_form_says_the_same():
    one = read_raw(urlencode(BODY).encode(), FORM)

    assert (one.identity, one.title, one.started_at) == ("4400", "Login", AT)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"MONITORNAME": "Login"}, "^STATUS: missing"), ({"STATUS": "$STATUS", "MONITORNAME": "Login"}, "^STATUS: missing"),
        ({"STATUS": "DOWN"}, "^MONITORNAME: missing"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        read_raw(json.dumps(body).encode())
