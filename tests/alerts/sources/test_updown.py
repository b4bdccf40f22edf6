"""updown.io: several events in one list, what each means, and which alert it belongs to."""

import json
from datetime import datetime

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.sources.updown import EVENTS, SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

CHECK = {"token": "ab12", "url": "https://wiki.example.com", "alias": "Wiki", "error": None}
DOWNTIME = {"id": "d1", "error": "503", "started_at": "2026-08-01T09:30:00Z", "ended_at": None}


def reading(body):
    return SOURCE.parse(delivery(json.dumps(body).encode()), {})


def read(event="check.down", **changes):
    [one] = reading([{"event": event, "check": CHECK, **changes}]).alerts
    return one


@pytest.mark.parametrize(
    ("event", "status", "severity"),
    [
        ("check.down", Status.FIRING, Severity.HIGH), ("check.up", Status.RESOLVED, Severity.HIGH),
        ("check.ssl_invalid", Status.FIRING, Severity.HIGH), ("check.ssl_valid", Status.RESOLVED, Severity.HIGH),
        ("check.ssl_expiration", Status.FIRING, Severity.MEDIUM), ("check.ssl_renewed", Status.RESOLVED, Severity.MEDIUM),
        ("check.performance_drop", Status.FIRING, Severity.MEDIUM),
    ],
)  # fmt: skip
def test_each_event_means_something(event, status, severity):
    one = read(event)

    assert (one.status, one.severity, one.source_status) == (status, severity, event)


def test_what_begins_and_what_ends_it_are_one_alert_and_others_are_not():
    identities = {event: read(event).identity for event in EVENTS}

    assert identities["check.down"] == identities["check.up"] == "ab12"
    assert identities["check.ssl_invalid"] == identities["check.ssl_valid"]
    assert identities["check.ssl_expiration"] == identities["check.ssl_renewed"]
    assert len(set(identities.values())) == 4


def test_one_delivery_may_have_the_beginning_and_the_end():
    ended = DOWNTIME | {"ended_at": "2026-08-01T09:31:00Z"}

    found = reading(
        [{"event": "check.down", "check": CHECK, "downtime": DOWNTIME}, {"event": "check.up", "check": CHECK, "downtime": ended}]
    )

    assert [one.status for one in found.alerts] == [Status.FIRING, Status.RESOLVED]
    assert len({(one.identity, one.occurrence, one.started_at) for one in found.alerts}) == 1
    assert found.alerts[1].ended_at == datetime.fromisoformat("2026-08-01T09:31:00+00:00")


@pytest.mark.parametrize(
    ("changes", "began"),
    [
        ({"downtime": DOWNTIME, "time": "2026-08-01T09:32:00Z"}, "2026-08-01T09:30:00+00:00"),
        ({"check": CHECK | {"down_since": "2026-08-01T09:31:00Z"}, "time": "2026-08-01T09:32:00Z"}, "2026-08-01T09:31:00+00:00"),
        ({"time": "2026-08-01T09:32:00Z"}, "2026-08-01T09:32:00+00:00"),
    ],
)
def test_it_began_when_the_downtime_did(changes, began):
    one = read(**changes)

    assert (one.started_at, one.defaults) == (datetime.fromisoformat(began), ())


def test_a_site_that_is_up_for_the_first_time_has_no_times():
    one = read("check.up", downtime={"error": None, "started_at": None, "ended_at": None})

    assert (one.started_at, one.ended_at, one.defaults) == (NOW, NOW, ("started_at", "ended_at"))


def test_a_downtime_says_nothing_of_a_certificate():
    one = read("check.ssl_expiration", time="2026-08-01T09:32:00Z", downtime=DOWNTIME, description="It expires in 7 days")

    assert one.started_at == datetime.fromisoformat("2026-08-01T09:32:00+00:00")
    assert (one.title, one.description) == ("Wiki (SSL expiry)", "It expires in 7 days\nError: 503")


def test_an_error_is_told_once():
    assert read(description="DOWN, reason: 503", downtime=DOWNTIME).description == "DOWN, reason: 503"
    assert read(downtime=DOWNTIME).description == "Error: 503"


def test_a_check_without_an_alias_is_called_by_its_address():
    one = read(check={"token": "ab12", "url": "https://wiki.example.com"})

    assert (one.title, one.service, one.defaults) == ("https://wiki.example.com", "https://wiki.example.com", ("started_at",))


def test_events_nobody_knows_are_ignored_and_the_others_are_read():
    found = reading([{"event": "check.moved"}, {"event": "check.down", "check": CHECK}])

    assert len(found.alerts) == 1
    assert found.ignored == "not known here: check.moved"
    assert reading([]).ignored


def test_one_event_may_come_without_a_list():
    assert reading({"event": "check.down", "check": CHECK}).alerts[0].identity == "ab12"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([7], r"^\[0\]: expected an object"), ([{}], r"^\[0\]\.event: missing"),
        ([{"event": "check.down", "check": CHECK}, {"event": "check.up"}], r"^\[1\]\.check\.token: missing"),
        ([{"event": "check.up", "check": CHECK, "downtime": "long"}], r"^\[0\]\.downtime: expected an object"),
        (7, "^expected a JSON object or a list"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        reading(body)
