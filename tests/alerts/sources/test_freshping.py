"""Freshping: the number of an event, the states of a check, and the Test button."""

import json
from datetime import datetime, timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.freshping import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

EVENT = {
    "check_id": 6, "check_name": "Cart", "check_state_name": "Not Responding", "application_name": "Shop",
    "request_url": "https://cart.example.com", "request_start_time": "2026-08-01T09:30:00.5+00:00", "http_status_code": None,
}  # fmt: skip
BODY = {"webhook_event_id": 900, "organization_name": "Example", "webhook_event_created_on": "2026-08-01T09:30:02+00:00"}


def read(body=BODY, **changes):
    [one] = SOURCE.parse(delivery(json.dumps(body | {"webhook_event_data": EVENT | changes}).encode()), {}).alerts
    return one


@pytest.mark.parametrize(
    ("word", "status", "defaults"),
    [
        ("Available", Status.RESOLVED, ()), ("Reporting Error", Status.FIRING, ()), ("Not Responding", Status.FIRING, ()),
        ("Paused", Status.INFO, ()), ("Puzzled", Status.FIRING, ("status",)),
    ],
)  # fmt: skip
def test_a_state_is_read_and_an_unknown_one_is_a_guess_at_the_worse(word, status, defaults):
    one = read(check_state_name=word)

    assert (one.status, one.severity, one.defaults) == (status, Severity.HIGH, defaults)


def test_a_check_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    assert read().identity == read(check_state_name="Available").identity == "6"


@pytest.mark.parametrize(
    ("changes", "at", "defaults"),
    [
        ({}, "2026-08-01T09:30:00.500+00:00", ()),
        ({"request_start_time": None}, "2026-08-01T09:30:02+00:00", ()),
    ],
)
def test_the_time_is_that_of_the_request(changes, at, defaults):
    one = read(**changes)

    assert (one.started_at, one.defaults) == (datetime.fromisoformat(at), defaults)


def test_without_any_time_it_began_when_it_came():
    one = read({}, request_start_time="")

    assert (one.started_at, one.defaults) == (NOW, ("started_at",))


def test_the_test_button_pages_nobody_and_touches_no_check():
    one = read(application_name="Webhook test", check_state_name="Available")

    assert (one.kind, one.status, one.identity) == (Kind.TEST, Status.INFO, "test")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"http_status_code": 521, "response_time": 635}, "Not Responding, HTTP status 521, after 635 ms"),
        ({}, "Not Responding"),
    ],
)
def test_it_says_what_was_answered(changes, text):
    assert read(**changes).description == text


def test_an_event_has_a_number():
    assert SOURCE.delivery_id(delivery(json.dumps(BODY).encode())) == "900"
    assert len(SOURCE.delivery_id(delivery(json.dumps({"webhook_event_id": "x" * 500}).encode()))) == 128


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"{}", b'{"webhook_event_id": {}}', b'{"webhook_event_id": ""}'])
def test_one_without_a_number_is_each_time_another(body):
    first, second = (SOURCE.delivery_id(Delivery(body, {}, "main", NOW + timedelta(seconds=n))) for n in (0, 1))

    assert first != second
    assert len(first) <= 128


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, r"^webhook_event_data\.check_id: missing"), ({"webhook_event_data": 1}, r"^webhook_event_data: expected an object"),
        ({"webhook_event_data": {"check_id": 6}}, r"^webhook_event_data\.check_state_name: missing"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(json.dumps(body).encode()), {})
