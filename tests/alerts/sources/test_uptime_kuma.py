"""Uptime Kuma: its two presets, bodies of one's own, texts without a monitor, times and tags."""

import json
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.uptime_kuma import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BEAT = {"monitorID": 5, "status": 0, "time": "2026-08-01 09:30:00.250", "msg": "ETIMEDOUT"}
MONITOR = {"id": 5, "name": "Mail", "type": "port", "url": "https://", "hostname": "mail.example.com"}
FORM = "multipart/form-data; boundary=xyz"


def part(name="data", content='{"msg": "Bot Testing"}', more="") -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n{content}\r\n--xyz--\r\n'.encode()


def read_all(body, headers=None):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.parse(delivery(raw, headers), {}).alerts


def read(beat=BEAT, monitor=MONITOR, msg="[Mail] [🔴 Down] ETIMEDOUT"):
    [one] = read_all({"heartbeat": beat, "monitor": monitor, "msg": msg})
    return one


@pytest.mark.parametrize(
    ("code", "status", "word", "defaults"),
    [
        (0, Status.FIRING, "down", ()), (1, Status.RESOLVED, "up", ()), (2, Status.INFO, "pending", ()),
        (3, Status.INFO, "maintenance", ()), ("1", Status.RESOLVED, "up", ()), (9, Status.FIRING, "9", ("status",)),
    ],
)  # fmt: skip
def test_a_status_is_a_number(code, status, word, defaults):
    one = read(BEAT | {"status": code})

    assert (one.status, one.source_status, one.defaults) == (status, word, defaults)


def test_a_monitor_is_the_same_alert_when_it_is_down_and_when_it_is_up():
    down = read()
    up = read(BEAT | {"status": 1, "time": "2026-08-01 09:36:00.000", "lastDownTime": "2026-08-01 09:30:00.250"})

    assert down.identity == up.identity == "5"
    assert down.started_at == up.started_at == datetime.fromisoformat("2026-08-01T09:30:00.250+00:00")
    assert up.ended_at == datetime.fromisoformat("2026-08-01T09:36:00+00:00")


def test_what_is_no_web_address_is_no_link_but_its_host_is_the_service():
    one = read()

    assert (one.url, one.service, one.labels) == (None, "mail.example.com", {"type": "port"})


def test_tags_are_labels_and_several_of_one_name_are_one():
    tags = [{"name": "service", "value": "mail"}, {"name": "prod", "value": ""}, {"name": "team", "value": "a"},
            {"name": "team", "value": "b"}, "severity:critical", {"name": ""}, None, 4]  # fmt: skip

    one = read(monitor=MONITOR | {"tags": tags})

    assert (one.service, one.environment, one.severity) == ("mail", "prod", Severity.CRITICAL)
    assert (one.labels["team"], one.labels["prod"]) == ("a, b", "true")


def test_a_monitor_without_its_object_is_told_apart_by_its_number():
    one = read(monitor=None)

    assert (one.identity, one.title, one.defaults) == ("5", "Monitor 5", ("title",))


def test_a_certificate_is_one_alert_however_many_days_are_left():
    [week] = read_all(
        {"heartbeat": None, "monitor": None, "msg": "[Shop][https://a.example] certificate a.example will expire in 7 days"}
    )
    [day] = read_all({"msg": "[Shop][https://a.example] certificate a.example will expire in 1 day"})
    [other] = read_all({"msg": "[Shop][https://b.example] certificate b.example will expire in 7 days"})

    assert (week.status, week.severity, week.kind) == (Status.FIRING, Severity.MEDIUM, Kind.ALERT)
    assert week.identity == day.identity != other.identity
    assert week.defaults == ("started_at",)


def test_the_test_button_pages_nobody():
    [one] = read_all({"heartbeat": None, "monitor": None, "msg": "Bot Testing"})

    assert (one.kind, one.status, one.title) == (Kind.TEST, Status.INFO, "Bot Testing")


def test_any_other_text_is_kept_and_pages_nobody():
    [one] = read_all({"msg": "Something new"})

    assert (one.kind, one.status, one.started_at) == (Kind.ALERT, Status.INFO, NOW)


@pytest.mark.parametrize(
    ("msg", "status"),
    [("[Mail [eu]] [🔴 Down] timeout\nof 16 s", Status.FIRING), ("[Mail [eu]] [✅ Up] 200 - OK", Status.RESOLVED)],
)
def test_a_body_of_ones_own_with_nothing_but_the_text_still_tells_the_state(msg, status):
    [one] = read_all({"msg": msg})

    assert (one.status, one.identity, one.title) == (status, "Mail [eu]", "Mail [eu]")
    assert "started_at" in one.defaults


@pytest.mark.parametrize("more", ["", "Content-Type: text/plain; charset=rot13\r\n", "Content-Transfer-Encoding: base64\r\n"])
def test_the_form_has_the_same_in_a_field(more):
    body = {"heartbeat": BEAT, "monitor": MONITOR | {"name": "決済 📬"}, "msg": "x"}

    [one] = read_all(part(content=json.dumps(body, ensure_ascii=False), more=more), {"Content-Type": FORM})

    assert (one.identity, one.title) == ("5", "決済 📬")


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (part(name="other"), FORM, r"^data: missing"),
        (part(content="nothing"), FORM, r"^data: not JSON"),
        (part(content="[]"), FORM, r"^data: expected a JSON object"),
        (b"", FORM, r"^data: missing"),
        (part(), "multipart/form-data", r"^data: missing"),
        (part(), "multipart/form-data; boundary*=idna'x'xyz", r"^(data: missing|not a form)"),
        (b'{"heartbeat": {"time": 1}}', "application/json", r"^heartbeat\.status: missing"),
        (b'{"heartbeat": {"status": 0}}', "application/json", r"^monitor\.id: missing"),
        (b'{"heartbeat": 4}', "application/json", r"^heartbeat: expected an object"),
        (b'{"monitor": {"id": 3}}', "application/json", r"^heartbeat and msg: missing"),
    ],
)
def test_what_cannot_be_read_says_why(body, content_type, says):
    with pytest.raises(Unreadable, match=says):
        read_all(body, {"Content-Type": content_type})


@given(body=some.binary(max_size=80), parameter=some.text(some.characters(max_codepoint=255), max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_form_at_all_is_an_error_of_ours(body, parameter):
    for content_type in (FORM, f"multipart/form-data; {parameter}"):
        for raw in (body, b"--xyz\r\n" + body + b"\r\n--xyz--", b"--xyz\r\nContent-Disposition: form-data; name=data\r\n" + body):
            try:
                read_all(raw, {"Content-Type": content_type})
            except Unreadable as error:
                assert error.reason


def test_a_form_within_forms_is_refused_and_no_error():
    nested = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(3000))

    with pytest.raises(Unreadable):
        read_all(nested, {"Content-Type": "multipart/form-data; boundary=0"})


def test_a_monitor_that_is_told_to_be_down_still_does_not_begin_to_be_anew():
    assert "started_at" in read(BEAT | {"important": False}).defaults
    assert read(BEAT | {"important": True}).defaults == ()
