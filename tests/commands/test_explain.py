"""`explain`: what a payload would do, and nothing done."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts.quiet import Silence
from bot.alerts.registry import OURS, source_named
from bot.alerts.routing import Matcher
from bot.alerts.source import Delivery, VouchedFor
from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import read
from bot.store import Store
from tests.builders import alert
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

    became = [(one["outcome"], one["incident"], one["opens"]) for one in told["decisions"]]
    assert became == [("open", None, "SEV1"), ("join", None, None)]
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


def test_news_of_an_incident_that_is_not_ours_is_ignored_and_takes_no_route(bot):
    source = source_named("pagerduty")
    body = source.examples[0].body_at(NOW)
    told = explained(bot, "pagerduty", body)

    (decision,) = told["decisions"]
    assert (decision["route"], decision["outcome"], decision["incident"], decision["pages"]) == (None, "ignore", None, False)
    assert decision["reason"] == "news about an incident that this bot did not page for; no route takes that"
    text = bot.here("explain", "pagerduty", bot.file(body, "body.json")).out
    assert "   route       none\n   then        ignore: news about an incident" in text


def test_news_of_a_page_of_ours_goes_to_its_incident(bot):
    policy = read("routes: [{name: all, severity: SEV1}]")
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    door = Door(store, lambda: NOW, lambda: policy, lambda: ())
    incident = door.handle(AlertReported(alert(started_at=NOW), "main")).incident
    store.close()
    body = source_named("pagerduty").examples[0].body_at(NOW).replace(b"office-mail", incident.episode.dedup_key.encode())

    (decision,) = explained(bot, "pagerduty", body)["decisions"]
    assert (decision["route"], decision["outcome"], decision["incident"]) == (None, "report", incident.ref)
    assert decision["reason"] == f"news of the page of {incident.ref}, which hears of it; no route takes that"


def test_standard_input_is_read_too(bot):
    told = bot("explain", "generic", "-", stdin=b'{"title": "Disk full", "service": "web"}')

    assert told.code == 0
    assert "1. Disk full" in told.out


ROUTES = """
services:
  checkout: {pager: checkout, runbook: disk-fills.md}
  search: {escalation_policy: PT20YPA, pagerduty_service: PWIXJZS}
  web: {}
grouping: {group_by: [cluster]}
storm: {most: 3}
routes:
  - {name: not told, match: {severity: info}, outcome: announce}
  - {name: secret, match: {title: Stolen}, severity: SEV1, private: true, roles: {commander: U0ANA0001, scribe: U0BEN0001},
     channel: "{prefix}-{number}-{service}-secret", group_by: [region], across_services: true}
  - {name: all}
"""


@pytest.fixture
def decided(bot):
    """The decisions on alerts of a policy made for it, and the same as text."""
    policy = bot.file(ROUTES, "routes.yaml")
    given = {"policy_file": policy, "pagerduty_keys": "checkout=KEY1 default=KEY2"}

    def ask(*alerts, **changes):
        body = bot.file(json.dumps(alerts), "body.json")
        asked = "explain", "generic", body
        return bot.here(*asked, "--json", **(given | changes)).json()["decisions"], bot.here(*asked, **(given | changes)).out

    return ask


def opened(bot, **alert):
    """An incident that an alert opened a moment ago, under the same policy."""
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    door = Door(store, lambda: datetime.now(UTC), lambda: read(ROUTES), lambda: ())
    body = json.dumps(alert).encode()
    (found,) = source_named("generic").parse(Delivery(body, {}, "main", datetime.now(UTC)), {}).alerts
    door.handle(AlertReported(found, "main"))
    store.close()


@pytest.mark.parametrize(
    ("alert", "settings", "pages", "whom"),
    [
        ({"service": "checkout", "severity": "high"}, {}, True, "the on-call by the key checkout"),
        ({"service": "web", "severity": "high"}, {}, True, "the on-call by the key default"),
        ({"service": "checkout", "severity": "low"}, {}, False, "nobody: SEV4 does not page"),
        ({"service": "checkout", "severity": "high"}, {"pagerduty_keys": "default=KEY"}, True,
         "the on-call by the key default, as PAGERDUTY_KEYS has none called checkout"),
        ({"service": "checkout", "severity": "high"}, {"pagerduty_keys": "web=KEY"}, False,
         "nobody: PAGERDUTY_KEYS has no key called checkout, and no default one"),
        ({"severity": "high"}, {"pagerduty_keys": ""}, False, "nobody: PAGERDUTY_KEYS has no key called default"),
        ({"service": "search", "severity": "high"}, {"pagerduty_api_token": "T", "pagerduty_from": "me@example.com"}, True,
         "the on-call by the escalation policy PT20YPA"),
        ({"service": "search", "severity": "high"}, {"pagerduty_api_token": "T"}, False,
         "nobody: PAGERDUTY_FROM is not set, and the escalation policy PT20YPA is paged with it"),
    ],
)  # fmt: skip
def test_it_says_whom_it_would_page_or_why_nobody(decided, alert, settings, pages, whom):
    (told,), text = decided({"title": "Errors"} | alert, **settings)

    assert (told["pages"], told["would_page"]) == (pages, whom)
    assert f"   would page  {whom}\n" in text


def test_it_says_everything_that_the_route_says_of_the_incident(decided):
    (told,), text = decided({"title": "Stolen", "service": "checkout", "labels": {"region": "eu", "cluster": "a"}})

    assert {name: told[name] for name in ("opens", "pager", "roles", "channel", "private", "group", "storm")} == {
        "opens": "SEV1", "pager": "checkout", "roles": {"commander": "U0ANA0001", "scribe": "U0BEN0001"},
        "channel": "inc-1-checkout-secret", "private": True, "group": {"region": "eu"}, "storm": False,
    }  # fmt: skip
    for line in (
        "group       region=eu, whatever the service", "incident    a new one, SEV1",
        "roles       commander U0ANA0001, scribe U0BEN0001",
        "channel     #inc-1-checkout-secret, private", "runbook     disk-fills.md (the policy names it for this service)",
    ):  # fmt: skip
        assert f"   {line}\n" in text


def test_it_has_no_line_for_what_there_is_nothing_to_say_of(decided):
    (told,), text = decided({"title": "Hello", "severity": "info"})

    assert (told["pages"], told["pager"], told["would_page"], told["channel"], told["group"]) == (False, None, None, None, {})
    first = [line.split()[0] for line in text.splitlines()[3:]]
    assert first == ["status", "severity", "service", "started", "identity", "filled", "route", "then"]


def test_what_joins_says_whether_it_would_page_again(bot, decided):
    opened(bot, title="Slow", service="checkout", severity="low")
    opened(bot, title="Down", service="web", severity="high")
    alerts = [{"title": title, "service": service, "severity": severity} for title, service, severity in (
        ("Errors", "checkout", "high"), ("Errors", "web", "high"), ("Worse", "web", "critical"), ("Down", "web", "high"),
    )]  # fmt: skip
    for one, whom in zip(alerts, (
        "the on-call by the key checkout, as INC-1 becomes a SEV2", "nobody: the page of INC-2 is asked for already",
        "nobody: the page of INC-2 is asked for already", "nobody: the page of INC-2 is asked for already",
    ), strict=True):  # fmt: skip
        (told,), _ = decided(one)
        assert (told["outcome"], told["would_page"]) == ("join", whom), one

    (told,), _ = decided({"title": "Slower", "service": "checkout", "severity": "low"})
    assert told["would_page"] == "nobody: INC-1 is a SEV4, which does not page"


def test_of_a_storm_in_one_payload_the_worst_comes_first_and_one_more_gathers_the_rest(decided):
    alerts = [{"title": f"Errors {number}", "severity": "high", "service": None} for number in range(6)]
    told, text = decided(*alerts, {"title": "Worst", "severity": "critical"})

    assert [(one["outcome"], one["opens"], one["storm"]) for one in told] == [
        ("open", "SEV2", False), ("open", "SEV2", False), ("open", "SEV2", True),
        *[("join", None, False)] * 3, ("open", "SEV1", False),
    ]  # fmt: skip
    assert "so the incident that “Errors 2” of this payload opens gathers it" in told[3]["reason"]
    assert told[3]["would_page"] == "nobody: the page of the incident that “Errors 2” of this payload opens is asked for already"
    assert "   incident    a new one, SEV2, that gathers what else generic sends\n" in text
    assert "Decided on by how bad they are, the worst first.\n" in text
    assert "Decided on" not in decided(*alerts)[1]


def test_explaining_changes_nothing(bot):
    before = (bot.folder / "firstfive.db").read_bytes()
    explained(bot, "generic", b'{"title": "Disk full", "severity": "critical", "service": "web"}')

    assert json.loads(bot.here("export").out)["events"] == []
    assert (bot.folder / "firstfive.db").read_bytes() == before


def test_what_a_sender_wrote_does_not_steer_the_terminal_it_is_printed_on(bot):
    body = json.dumps({"title": "a\x1b[2J\x07 \u202e b", "service": "we\x1b]0;x\x07b", "url": "https://x.example/\x1b[1m"})
    told = bot.here("explain", "generic", bot.file(body)).out

    assert all(one.isprintable() or one == "\n" for one in told), told


def test_what_of_a_batch_is_left_out_is_said_beside_what_is_read(bot: Terminal):
    event = {"specversion": "1.0", "id": "1", "source": "/jobs", "type": "com.example.job.firing"}
    batch = bot.file(json.dumps([event, {"id": "2"}]))
    nothing = bot.file(json.dumps([event | {"type": "a.b.created"}]), "nothing")

    assert "Not all of it to act on: left out: [1].source: missing" in bot.here("explain", "cloudevents", batch).out
    assert "Nothing to act on: a.b.created" in bot.here("explain", "cloudevents", nothing).out
