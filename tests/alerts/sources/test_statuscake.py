"""StatusCake: its own Token or ours, and the form of a test."""

from urllib.parse import urlencode

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.sources.statuscake import SOURCE, token_of
from bot.errors import Unreadable, Unverified
from tests.alerts.test_sources import NOW, delivery

TOKEN = "847a833aede42421eddcb2c926914eb8"
FORM = {"Name": "Blog", "URL": "https://blog.example.com", "Status": "Down", "StatusCode": "0", "Tags": "staging,service:blog"}


def sent(**changes):
    fields = {name: value for name, value in (FORM | changes).items() if value is not None}
    return delivery(urlencode(fields).encode())


def read(**changes):
    [one] = SOURCE.parse(sent(**changes), {}).alerts
    return one


def test_a_known_token():
    assert token_of("acme|apikey123") == token_of("ACME|apikey123") == TOKEN


@pytest.mark.parametrize("secrets", [["acme|apikey123"], [TOKEN], ["old", "Acme|apikey123"]])
@pytest.mark.parametrize("field", ["Token", "TOKEN"])
def test_its_own_token_opens_the_door(secrets, field):
    SOURCE.verify(sent(**{field: TOKEN}), secrets, NOW)


def test_our_token_may_stand_in_the_address():
    SOURCE.verify(delivery(urlencode(FORM).encode(), token="ours"), ["ours"], NOW)


def test_one_token_that_fits_is_enough():
    SOURCE.verify(delivery(urlencode(FORM | {"Token": TOKEN}).encode(), token="ours"), ["ours"], NOW)


@pytest.mark.parametrize("given", [TOKEN.upper(), TOKEN[:-1], "é", "apikey123", "acme|apikey124"])
def test_any_other_token_is_refused(given):
    with pytest.raises(Unverified, match=r"^the token does not fit"):
        SOURCE.verify(sent(Token=given), ["acme|apikey123"], NOW)


@pytest.mark.parametrize("body", [b"", b"Token=", b"\xff=1", b"a=1&" * 2000])
def test_no_token_at_all_is_refused_and_never_an_error(body):
    with pytest.raises(Unverified, match=r"^no token"):
        SOURCE.verify(delivery(body), ["acme|apikey123"], NOW)


def test_a_test_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    down, up = read(), read(Status="Up", StatusCode="200")

    assert down.identity == up.identity
    assert down.identity != read(URL="https://blog.example.com/2").identity
    assert (down.status, up.status) == (Status.FIRING, Status.RESOLVED)
    assert (down.started_at, down.ended_at, up.ended_at) == (NOW, None, NOW)


@pytest.mark.parametrize("word", ["Paused", "paused"])
def test_a_test_that_somebody_paused_does_not_fire(word):
    one = read(Status=word)

    assert (one.status, one.defaults) == (Status.INFO, ("started_at",))


def test_an_unknown_status_is_taken_as_firing_and_said_to_be_a_guess():
    one = read(Status="Wobbly")

    assert (one.status, one.defaults) == (Status.FIRING, ("status", "started_at"))


def test_tags_tell_the_service_and_the_environment():
    one = read()

    assert (one.service, one.environment, one.severity) == ("blog", "staging", Severity.HIGH)
    assert read(Tags=None).service == "https://blog.example.com"


@pytest.mark.parametrize(("code", "text"), [("0", "No answer in time"), ("502", "HTTP status 502"), (None, "")])
def test_the_code_says_what_went_wrong(code, text):
    assert read(StatusCode=code).description == text


def test_the_token_stays_outside():
    assert TOKEN not in repr(read(Token=TOKEN))


def test_a_test_without_a_name_has_its_address_for_one():
    one = read(Name=None)

    assert (one.title, one.defaults) == ("https://blog.example.com", ("started_at", "title"))


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"", "^Status: missing"), (b"Status=Down", "^Name: missing"), (b"{}", "^Status: missing"), (b"a=\xff", "^not a form")],
)
def test_what_is_missing_is_named(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})
