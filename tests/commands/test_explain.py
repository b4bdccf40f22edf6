"""`explain`: what a payload would do, and nothing done."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts.quiet import Silence
from bot.alerts.registry import OURS
from bot.alerts.routing import Matcher
from bot.alerts.source import VouchedFor
from bot.incidents.decision import Decision
from bot.store import Store
from tests.commands.terminal import Terminal

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
SECRET = "long-and-random-secret"
KEYS = {"source", "verified", "alerts", "changes", "decisions"}
ALERT_KEYS = {"status", "severity", "title", "service", "identity", "started_at", "ended_at", "url"}
DECISION_KEYS = {"route", "outcome", "incident", "reason"}
EVERY = [(source, one) for source in OURS for one in source.examples]


@pytest.fixture
def bot(bot: Terminal) -> Terminal:
    bot.given["HOOK_SECRETS"] = " ".join(f"{source.name}/main={SECRET}" for source in OURS)
    return bot


def explained(bot: Terminal, source: str, body: bytes, *more: object):
    told = bot.here("explain", source, bot.file(body, "body.json"), "--json", *more)
    assert told.code == 0, told
    return told.json()


@pytest.mark.parametrize(("source", "example"), EVERY, ids=lambda one: one.name)
def test_every_example_is_explained_in_the_documented_shape(bot, source, example):
    body = example.body_at(NOW)
    headers = bot.file(json.dumps(example.sent_by(source, SECRET, datetime.now(UTC), body)), "headers.json")
    told = explained(bot, source.name, body, "--headers", headers)

    assert told.keys() >= KEYS
    # What somebody else has to vouch for is only known where it comes in.
    assert (told["source"], told["verified"]) == (source.name, None if isinstance(source, VouchedFor) else True)
    assert all(one.keys() >= ALERT_KEYS for one in told["alerts"])
    assert [one["status"] for one in (*told["alerts"], *told["changes"])] == [example.status.value]
    assert all(one.keys() >= DECISION_KEYS and one["reason"] for one in told["decisions"])
    assert len(told["decisions"]) == len(told["alerts"]) + len(told["changes"])


def test_headers_may_be_lines_as_curl_prints_them(bot):
    body = b'{"title": "Disk full"}'
    lines = bot.file(f"POST /hooks/generic/main HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\nHost: x\r\n\r\n", "headers.txt")

    assert explained(bot, "generic", body, "--headers", lines)["verified"] is True


def test_a_whole_captured_request_is_taken_with_its_headers(bot):
    captured = {"method": "POST", "headers": {"Authorization": f"Bearer {SECRET}"}, "body": {"title": "Disk full"}}

    told = explained(bot, "generic", json.dumps(captured).encode())
    assert (told["verified"], told["alerts"][0]["title"]) == (True, "Disk full")


@pytest.mark.parametrize(("secret", "verified"), [("another", False), (SECRET, True)])
def test_a_signature_that_does_not_hold_is_said(bot, secret, verified):
    headers = bot.file(json.dumps({"Authorization": f"Bearer {secret}"}), "headers.json")
    told = bot.here("explain", "generic", bot.file('{"title": "Disk full"}'), "--headers", headers, "--json")

    assert told.json()["verified"] is verified
    assert ("not verified: " in told.err) is not verified
    assert SECRET not in told.out + told.err


def test_without_a_secret_nothing_can_be_checked_and_that_is_said(bot):
    bot.given["HOOK_SECRETS"] = ""

    assert explained(bot, "generic", b'{"title": "Disk full"}')["verified"] is None
    assert (
        "not checked (no secret for generic/main in HOOK_SECRETS)" in bot.here("explain", "generic", bot.file('{"title": "x"}')).out
    )


def test_alerts_of_one_payload_join_the_incident_that_the_first_opens(bot):
    body = json.dumps([{"title": f"Errors {number}", "severity": "critical", "service": "checkout"} for number in (1, 2)])
    told = explained(bot, "generic", body.encode())

    assert [one["outcome"] for one in told["decisions"]] == ["open", "open"]
    assert "joins the incident that “Errors 1” of this payload opens: checkout" in told["decisions"][1]["reason"]


def test_an_alert_that_another_of_the_payload_explains_is_related_to_it(bot):
    alerts = (
        {"title": "Payments", "severity": "critical", "service": "payments"},
        {"title": "Orders", "severity": "high", "service": "checkout"},
    )
    told = explained(bot, "generic", json.dumps(alerts).encode())

    assert [(one["outcome"], one["related"]) for one in told["decisions"]] == [("open", False), ("relate", True)]
    assert (
        "related to the incident that “Payments” of this payload opens, which fires: checkout depends on payments"
        in (told["decisions"][1]["reason"])
    )


@pytest.mark.parametrize("has_record", [True, False])
def test_what_is_under_maintenance_says_so_and_what_it_would_have_been(bot, has_record):
    window = "{name: move, match: {service: checkout}, reason: planned, days: [mon, tue, wed, thu, fri, sat, sun]}"
    policy = bot.file(f"routes: [{{name: all, severity: SEV2}}]\nmaintenance: [{window}]\n", "quiet.yaml")
    more = {} if has_record else {"database_url": f"sqlite:///{bot.folder}/nowhere/firstfive.db"}
    body = bot.file('{"title": "Errors", "service": "checkout"}', "body.json")
    (decision,) = bot.here("explain", "generic", body, "--json", policy_file=policy, **more).json()["decisions"]

    assert (decision["outcome"], decision["quiet"], decision["incident"]) == ("record", "maintenance/move", None)
    assert decision["reason"].startswith("under maintenance “move” (service=checkout; mon, tue, wed")
    assert "else route “all” takes it" in decision["reason"]


def test_what_is_silenced_says_by_which_silence_and_why(bot):
    ends = datetime.now(UTC) + timedelta(hours=1)
    silence = Silence(3, Matcher({"service": ("checkout",)}), "U0ANA", "moving it", NOW, timedelta(hours=1), ends)
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    with store.writing() as work:
        work.save(Decision(silence=silence), NOW)
    store.close()
    (decision,) = explained(bot, "generic", b'{"title": "Errors", "service": "checkout", "severity": "critical"}')["decisions"]

    assert (decision["outcome"], decision["quiet"]) == ("record", "silence/3")
    assert decision["reason"].startswith("under silence 3 until ")


def test_standard_input_is_read_too(bot):
    told = bot("explain", "generic", "-", stdin=b'{"title": "Disk full", "service": "web"}')

    assert told.code == 0
    assert "1. Disk full" in told.out


def test_explaining_changes_nothing(bot):
    before = (bot.folder / "firstfive.db").read_bytes()
    explained(bot, "generic", b'{"title": "Disk full", "severity": "critical", "service": "web"}')

    assert json.loads(bot.here("export").out)["events"] == []
    assert (bot.folder / "firstfive.db").read_bytes() == before


def test_what_a_sender_wrote_does_not_steer_the_terminal_it_is_printed_on(bot):
    body = json.dumps({"title": "a\x1b[2J\x07 \u202e b", "service": "we\x1b]0;x\x07b", "url": "https://x.example/\x1b[1m"})
    told = bot.here("explain", "generic", bot.file(body)).out

    assert all(one.isprintable() or one == "\n" for one in told), told
