"""UptimeRobot: JSON and forms, names as people write them, variables that were not filled in, certificates."""

import json
from datetime import datetime
from urllib.parse import urlencode

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.source import FORM
from bot.alerts.sources.uptimerobot import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BODY = {
    "monitorID": "8", "monitorFriendlyName": "Forum", "monitorURL": "https://forum.example.com", "alertType": "1",
    "alertTypeFriendlyName": "Down", "alertDetails": "HTTP 500", "alertDateTime": "1785576600",
}  # fmt: skip
AT = datetime.fromisoformat("2026-08-01T09:30:00+00:00")


def reading(body, content_type="application/json"):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.parse(delivery(raw, {"Content-Type": content_type}), {})


def read(**changes):
    [one] = reading(BODY | changes).alerts
    return one


@pytest.mark.parametrize(
    ("code", "word", "status", "severity"),
    [
        ("1", "Down", Status.FIRING, Severity.HIGH), ("2", "Up", Status.RESOLVED, Severity.HIGH),
        ("3", "SSL expiry", Status.FIRING, Severity.MEDIUM), (2, "*alertTypeFriendlyName*", Status.RESOLVED, Severity.HIGH),
        ("*alertType*", "Up", Status.RESOLVED, Severity.HIGH), (None, "DOWN", Status.FIRING, Severity.HIGH),
    ],
)  # fmt: skip
def test_a_type_is_a_number_or_else_its_name(code, word, status, severity):
    one = read(alertType=code, alertTypeFriendlyName=word)

    assert (one.status, one.severity) == (status, severity)


def test_a_monitor_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    down, up = read(), read(alertType="2", alertDateTime="1785577200", alertDuration="600")

    assert down.identity == up.identity == "8"
    assert down.started_at == up.started_at == AT
    assert not up.defaults


@pytest.mark.parametrize("seconds", ["9" * 12, "-5", "ten", "*alertDuration*", "²"])
def test_a_duration_that_is_none_is_left_out(seconds):
    one = read(alertType="2", alertDuration=seconds)

    assert one.started_at == one.ended_at == AT


def test_no_up_ends_a_certificate():
    one = read(alertType="3", sslExpiryDate="2026-08-20", sslExpiryDaysLeft="19")

    assert one.identity != read(alertType="2").identity
    assert one.title == "Forum (SSL certificate)"
    assert one.description == "HTTP 500\nExpires on 2026-08-20\nDays left: 19"


def test_what_was_not_filled_in_is_missing_and_never_shown():
    one = read(monitorID="*monitorID*", monitorFriendlyName="*monitorFriendlyName*", alertDetails="*alertDetails*",
               alertDateTime="*alertDateTime*", alertDuration="*alertDuration*")  # fmt: skip

    assert (one.identity, one.title, one.started_at) == ("https://forum.example.com", "https://forum.example.com", NOW)
    assert one.defaults == ("started_at", "title")
    assert "*" not in json.dumps([one.title, one.description, dict(one.attributes)])


def test_names_may_be_written_with_underscores():
    one = read(monitorID=None, monitor_id="77", monitorURL=None, monitor_url="forum.example.com")

    assert (one.identity, one.service, one.url) == ("77", "forum.example.com", None)


def test_texts_may_be_html():
    assert read(monitorFriendlyName="Ana&#39;s &amp; Ben&#39;s").title == "Ana's & Ben's"


def test_a_team_may_add_fields():
    one = read(service="forum", environment="production", severity="critical")

    assert (one.service, one.environment, one.severity) == ("forum", "production", Severity.CRITICAL)


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (urlencode(BODY).encode(), FORM),
        (json.dumps(BODY).encode(), FORM + "; charset=utf-8"),
        (json.dumps(BODY).encode(), "text/plain"),
    ],
)
def test_a_form_says_the_same(raw, content_type):
    [one] = reading(raw, content_type).alerts

    assert (one.identity, one.title, one.started_at) == ("8", "Forum", AT)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"monitorID": "*monitorID*", "alertType": "*alertType*"}, "no variable is filled in"),
        (BODY | {"alertType": "4"}, "type 4 is not known"),
        (BODY | {"alertType": None, "alertTypeFriendlyName": "Paused"}, "type Paused is not known"),
    ],
)
def test_what_means_nothing_is_ignored_and_says_why(body, why):
    found = reading(body)

    assert not found.alerts
    assert why in found.ignored


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "^alertType: missing"), ({"monitorID": "8", "alertType": "*alertType*"}, "^alertType: missing"),
        ({"alertType": "1"}, "^monitorID: missing"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        reading(body)
