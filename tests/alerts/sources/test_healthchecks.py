"""Healthchecks: what its templates leave unset, its test button, tags, states and the address for people."""

import json
from datetime import datetime

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.healthchecks import SOURCE, environment_in, labels_of, tags_in, when
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

CODE = "7f3d1a52-0000-4000-8000-00000000c0de"
BODY = {"code": CODE, "name": "Report", "status": "down", "now": "2026-08-01T09:30:00+00:00"}
EARLIER = datetime.fromisoformat("2026-08-01T09:30:00+00:00")


def read(**changes):
    [one] = SOURCE.parse(delivery(json.dumps(BODY | changes).encode()), {}).alerts
    return one


@pytest.mark.parametrize(
    ("word", "status", "defaults"),
    [
        ("down", Status.FIRING, ()), ("UP", Status.RESOLVED, ()), ("paused", Status.INFO, ()), ("grace", Status.INFO, ()),
        ("purple", Status.FIRING, ("status",)),
    ],
)  # fmt: skip
def test_a_state_is_read_and_an_unknown_one_is_a_guess_at_the_worse(word, status, defaults):
    one = read(status=word)

    assert (one.status, one.defaults) == (status, defaults)


def test_a_check_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    down, up = read(), read(status="up", now="2026-08-01T09:45:00+00:00")

    assert down.identity == up.identity == CODE
    assert (down.started_at, down.ended_at) == (EARLIER, None)
    assert up.ended_at == datetime.fromisoformat("2026-08-01T09:45:00+00:00")


def test_what_was_not_filled_in_is_missing_and_never_shown():
    one = read(name="$NAME", now="$NOW", tags="$TAGS $TAG3", body="$BODY", exitstatus="$EXITSTATUS", slug="report")

    assert (one.title, one.started_at, one.description) == ("A check without a name", NOW, "")
    assert one.defaults == ("started_at", "title")
    assert "$" not in json.dumps([one.title, one.description, {k: v for k, v in one.attributes.items() if k != "tags"}])


def test_tags_tell_the_service_the_environment_and_the_severity():
    one = read(tags="service:reports env:staging severity:low nightly")

    assert (one.service, one.environment, one.severity, one.source_severity) == ("reports", "staging", Severity.LOW, "low")
    assert one.labels["nightly"] == "true"
    assert read().severity is Severity.HIGH


def test_the_whole_check_alone_will_do():
    check = {"name": "Report", "slug": "report", "status": "down", "uuid": CODE, "tags": "prod", "desc": "Weekly figures"}

    [one] = SOURCE.parse(delivery(json.dumps(check).encode()), {}).alerts

    assert (one.identity, one.status, one.environment, one.description) == (CODE, Status.FIRING, "prod", "Weekly figures")


@pytest.mark.parametrize(
    ("update_url", "page"),
    [
        (f"https://hc.example.com/api/v3/checks/{CODE}", f"https://hc.example.com/checks/{CODE}/details/"),
        (f"https://example.com/hc/api/v1/checks/{CODE}", f"https://example.com/hc/checks/{CODE}/details/"),
        (f"javascript:alert(1)/api/v3/checks/{CODE}", None),
        (None, None),
    ],
)
def test_its_link_is_the_page_for_people(update_url, page):
    assert read(check={"update_url": update_url}).url == page


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "00000000-0000-0000-0000-000000000000"},
        {"name": "TEST", "check": {"name": "TEST", "slug": "", "n_pings": 42}},
    ],
)
def test_the_test_button_pages_nobody_and_touches_no_check(changes):
    one = read(**changes)

    assert (one.kind, one.status, one.identity) == (Kind.TEST, Status.INFO, "test")


def test_a_check_that_somebody_called_test_is_a_check():
    assert read(name="TEST", check={"slug": "test", "n_pings": 42}).kind is Kind.ALERT
    assert read(name="TEST").kind is Kind.ALERT


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"code": "x"}', r"^status: missing"),
        (b'{"status": "$STATUS", "code": "x"}', r"^status: missing"),
        (b'{"status": "down"}', r"^code: missing"),
        (b'{"status": "down", "check": []}', r"^check: expected an object"),
        (b"Report is down", r"^not JSON"),
    ],
)
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


@pytest.mark.parametrize(
    ("status", "changed_at", "began_at", "expected"),
    [
        (Status.FIRING, EARLIER, None, (EARLIER, None, ())),
        (Status.FIRING, None, None, (NOW, None, ("started_at",))),
        (Status.RESOLVED, NOW, EARLIER, (EARLIER, NOW, ())),
        (Status.RESOLVED, EARLIER, None, (EARLIER, EARLIER, ())),
        (Status.RESOLVED, None, EARLIER, (EARLIER, NOW, ("ended_at",))),
        (Status.RESOLVED, None, None, (NOW, NOW, ("started_at", "ended_at"))),
    ],
)
def test_what_had_to_be_filled_in_of_the_times_is_named(status, changed_at, began_at, expected):
    assert when(status, changed_at, NOW, began_at) == expected


@pytest.mark.parametrize(
    ("value", "separator", "expected"),
    [
        ("a b:c  d", None, ["a", "b:c", "d"]), ("a, b:c,,", ",", ["a", "b:c"]), (["a", 7, None], ",", ["a", "7"]),
        (None, ",", []), ({"a": 1}, ",", ['{"a":1}']),
    ],
)  # fmt: skip
def test_tags_come_in_many_forms(value, separator, expected):
    assert tags_in(value, separator) == expected


def test_a_plain_tag_may_be_the_environment():
    assert environment_in(labels_of(["db", "Prod"])) == "Prod"
    assert environment_in(labels_of(["prod", "env:staging"])) == "staging"
    assert environment_in(labels_of(["stage:prod:eu", ":x", "db"])) == "prod:eu"
    assert environment_in(labels_of(["db"])) is None
