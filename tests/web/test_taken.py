"""What is odd and yet taken: with defaults that people see as such, with no markup of others, once, and whole."""

import json
import time
from datetime import timedelta

import pytest

from bot.alerts.registry import source_named
from tests.web.served import KINDS, Served, dumped

MARKUP = (
    "<!channel> <https://evil.example|https://bank.example> <@U0ANA> *b* `c` </script><script>alert(1)</script> &lt;!here&gt; {{7*7}}"
)
LABELS = {"service": "odd", "severity": "critical"}


def alertmanager(*alerts: dict) -> bytes:
    return dumped({"version": "4", "status": "firing", "groupKey": "{}", "alerts": list(alerts)})


def firing(name: str, service: str = "", **more: object) -> dict:
    return {"status": "firing", "labels": {**LABELS, "alertname": name, "service": service or name}, **more}


# --- defaults ---------------------------------------------------------------------------------

START = "Its sender did not say its start"
ODD = {
    "no-start": (firing("no-start"), START),
    "no-date": (firing("no-date", startsAt="yesterday, about noon"), START),
    "number-as-date": (firing("number-as-date", startsAt={"year": 2026}), START),
    "zero-date": (firing("zero-date", startsAt="0001-01-01T00:00:00Z"), START),
    "epoch": (firing("epoch", startsAt="1970-01-01T00:00:00Z"), START),
    "month-13": (firing("month-13", startsAt="2026-13-45T25:61:00Z"), START),
    "far-future": (firing("far-future", startsAt="9999-12-31T23:59:59Z"), START),
    "status-purple": (firing("status-purple") | {"status": "purple"}, "its status (taken as firing)"),
    "status-seven": (firing("status-seven") | {"status": 7}, "its status (taken as firing)"),
}


def asked(served: Served, text: str) -> str:
    """All that Ana is shown when she asks this."""
    return json.dumps(served.story.sandbox.people.slash({"person": "ana", "channel": "incidents", "text": text}))


@pytest.mark.parametrize("source", ["alertmanager", "grafana"])
@pytest.mark.parametrize("name", ODD)
def test_what_was_filled_in_is_shown_as_such_on_the_card_and_in_the_timeline(served, source, name):
    alert, shown = ODD[name]
    service = f"{name}-{source}"
    alert = {**alert, "labels": {**alert["labels"], "service": service}}
    served.post(source, alertmanager(alert)).taken()

    incident = served.story.eventually(lambda: served.incident_of(service), f"an incident of {service}")
    served.story.card_says(shown, incident.number)
    timeline = asked(served, f"/incident timeline INC-{incident.number}")
    assert shown.removeprefix("Its sender did not say ").split(" (")[0] in timeline
    assert all(one.at <= served.story.world.clock() for one in served.story.bot.store.timeline(incident.ref))


@pytest.mark.parametrize(
    "given",
    [
        {"title": "Odd dates", "severity": "critical", "service": "generic-odd", "starts_at": "soon"},
        {"title": "Odd dates", "severity": "critical", "service": "generic-none"},
        {
            "title": "Odd dates",
            "severity": "critical",
            "service": "generic-huge",
            "starts_at": 10**18,
            "labels": ["a:b", "c", 7, None],
        },
        {"title": ["odd", {"title": 1}], "severity": "critical", "service": "generic-list", "dedup_key": {"a": [1]}},
    ],
    ids=lambda one: one["service"],
)
def test_a_generic_body_with_parts_missing_is_taken_and_says_so(served, given):
    served.post("generic", dumped(given)).taken()

    incident = served.story.eventually(lambda: served.incident_of(given["service"]), f"an incident of {given['service']}")
    served.story.card_says("its start (shown is when it came)" if "huge" not in given["service"] else "Odd dates", incident.number)


def test_an_alert_without_any_label_is_shown_and_says_what_it_has_not(served):
    served.post("alertmanager", alertmanager({"status": "firing", "annotations": {"x": "no labels here"}}, {})).taken()

    told = served.story.eventually(
        lambda: [one for one in served.story.messages("incidents") if "An alert without a name" in one["text"]],
        "the alert is announced",
    )
    assert "unknown" in told[0]["text"]
    assert "its title" in json.dumps(told[0])


def test_fields_that_nobody_knows_are_no_reason_to_refuse(served):
    alert = firing("unknown-fields", startsAt=served.story.world.clock().isoformat(), x={"y": [1, None, {"z": 2**63}]}, fingerprint=7)
    body = json.loads(alertmanager(alert)) | {"futureField": {"deep": [[[[]]]]}, "truncatedAlerts": 10**18, "receiver": None}

    served.post("alertmanager", dumped(body)).taken()
    assert served.story.eventually(lambda: served.incident_of("unknown-fields"), "the incident")


def test_of_two_keys_alike_the_last_one_counts_as_everywhere(served):
    labels = b'{"alertname": "A", "service": "twice", "severity": "critical"}'
    body = b'{"alerts": [], "alerts": [{"status": "resolved", "status": "firing", "labels": %s}]}' % labels

    served.post("alertmanager", body).taken()
    assert served.story.eventually(lambda: served.incident_of("twice"), "the incident")


# --- markup -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["alertmanager", "grafana", "generic"])
def test_hostile_markup_calls_nobody_and_links_nowhere(served, source):
    service = f"markup-{source}"
    labels = {**LABELS, "alertname": MARKUP, "service": service, MARKUP: MARKUP}
    notes = {
        "summary": MARKUP,
        "description": MARKUP,
        "runbook_url": "javascript:alert(1)",
        "dashboard_url": f"https://x.example/{MARKUP}",
    }
    alert = {"status": "firing", "labels": labels, "annotations": notes, "generatorURL": "javascript:alert(1)"}
    generic = {"title": MARKUP, "severity": "critical", "service": service, "description": MARKUP, "url": "javascript:alert(1)",
               "links": [{"title": MARKUP, "rel": MARKUP, "url": "data:text/html,x"}]}  # fmt: skip
    served.post(source, dumped(generic) if source == "generic" else alertmanager(alert)).taken()

    incident = served.story.eventually(lambda: served.incident_of(service), "the incident")
    served.story.card_says("Paged through", incident.number)
    served.story.types("ana", f"/incident timeline INC-{incident.number}")
    with served.story.world.lock:
        said = json.dumps([one.messages for one in served.story.sandbox.space.channels.values()], ensure_ascii=False)
    assert "alert(1)" in said
    for never in ("<!channel>", "<!here>", "<https://evil.example|", "<@U0ANA> *b*", "javascript:", "data:text/html"):
        at = said.find(never)
        assert at < 0, said[max(0, at - 300) : at + 300]


# --- much -------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["alertmanager", "grafana"])
def test_annotations_of_200_kb_open_one_incident_whose_card_slack_takes(served, source):
    service = f"long-{source}"
    notes = {"summary": "x" * 200_000, "description": "😀" * 50_000, "long": "é" * 100_000}
    served.post(source, alertmanager(firing("long", service, annotations=notes))).taken()

    incident = served.story.eventually(lambda: served.incident_of(service), "the incident")
    assert len(incident.title) <= 200
    served.story.card_says("Paged through", incident.number)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_500_alerts_in_a_body_are_one_incident_one_page_and_no_flood(fresh):
    alerts = [firing(f"Node{index}Down", "fleet", startsAt=fresh.story.world.clock().isoformat()) for index in range(500)]
    started = time.monotonic()
    fresh.post("alertmanager", alertmanager(*alerts)).taken()
    assert time.monotonic() - started < 1
    fresh.is_read()

    [incident] = fresh.story.bot.store.incidents()
    assert incident.alert_count == len(incident.firing) + incident.more_firing == 500
    fresh.story.card_says("Paged through")
    fresh.story.card_says("and 495 more alerts")
    assert len(triggers(fresh)) == 1
    fresh.story.comes_to_rest()
    channel = fresh.story.channel()
    assert len(fresh.story.messages(channel)) < 30, len(fresh.story.messages(channel))

    cleared = [one | {"status": "resolved", "endsAt": fresh.story.world.clock().isoformat()} for one in alerts]
    fresh.post("alertmanager", alertmanager(*cleared)).taken()
    fresh.story.eventually(lambda: fresh.story.incident().is_clear, "all of it cleared", 240)


def triggers(served: Served) -> list[str]:
    """The keys of the pages that PagerDuty was asked for."""
    with served.story.world.lock:
        return [one["dedup_key"] for one in served.story.sandbox.account.ledger if one.get("event_action") == "trigger"]


# --- again ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", KINDS)
def test_a_delivery_that_comes_again_is_one_effect(fresh, source):
    body = source_named(source).examples[0].body_at(fresh.story.world.clock())
    headers = fresh.signature(source, body)

    first = fresh.post(source, body, headers)
    again = [fresh.post(source, body, headers) for _ in range(5)]

    assert "seen" not in first.json
    names = {one.taken() for one in again}
    fresh.is_read()
    fresh.story.comes_to_rest()
    if source == "pagerduty":
        assert names == {first.taken()}
        assert fresh.story.bot.store.incidents() == ()
        return
    # The inbox forgets a body after a while, and may just have; of a generic sender each may be news. The rules know.
    assert source == "generic" or sum("seen" not in one.json for one in again) <= 1
    assert len(fresh.story.bot.store.incidents()) == len(triggers(fresh)) == 1
    assert fresh.story.types_of().count("alert_started") == 1


def test_a_replay_after_the_inbox_forgot_it_is_a_repeat_and_pages_nobody(fresh):
    body = dumped({"title": "Export fails", "severity": "critical", "service": "checkout", "dedup_key": "x"})
    fresh.post("generic", body).taken()
    fresh.story.channel()
    for _ in range(4):
        fresh.story.passes(seconds=40)
        assert "seen" not in fresh.post("generic", body).json
        fresh.is_read()
    fresh.story.comes_to_rest()

    assert fresh.story.types_of().count("alert_started") == 1
    assert len(triggers(fresh)) == 1
    assert not [one for one in fresh.story.messages(fresh.story.channel()) if "Another alert" in one["text"]]


def test_a_delivery_with_a_key_comes_once_however_late_it_comes_again(fresh):
    body = dumped({"title": "Export fails", "severity": "critical", "service": "checkout", "dedup_key": "x"})
    keyed = fresh.signature("generic", body) | {"Idempotency-Key": "export-7"}
    first = fresh.post("generic", body, keyed)
    fresh.story.passes(minutes=3)

    again = fresh.post("generic", body, keyed)
    other = body.replace(b"fails", b"is late")
    anew = fresh.post("generic", other, fresh.signature("generic", other) | {"Idempotency-Key": "export-7"})

    assert (again.json.get("seen"), again.taken()) == (True, first.taken())
    assert "seen" not in anew.json


def test_an_acknowledgement_that_is_replayed_under_another_id_is_told_once(fresh):
    fresh.story.fires()
    fresh.story.card_says("Paged through")
    with fresh.story.world.lock:
        [page] = fresh.story.sandbox.account.incidents
        pager_id, key = page.id, page.key
    at = (fresh.story.world.clock() + timedelta(seconds=1)).replace(microsecond=0).isoformat()
    data = {"id": pager_id, "type": "incident", "incident_key": key, "status": "acknowledged", "assignees": []}
    agent = {"id": "PUNKNOWN", "type": "user_reference", "summary": "Robin Example"}
    event = {"id": "E1", "event_type": "incident.acknowledged", "occurred_at": at, "agent": agent, "data": data}
    body = dumped({"event": event})

    for number in range(4):
        fresh.post("pagerduty", body, fresh.signature("pagerduty", body) | {"X-Webhook-Id": f"replay-{number}"}).taken()
    fresh.is_read()

    fresh.story.card_says("Acknowledged by")
    assert fresh.story.types_of().count("ack") == 1


def test_what_a_generic_sender_says_again_after_it_said_otherwise_is_news(fresh):
    wrong = dumped({"title": "Flapping", "status": "firing", "severity": "critical", "service": "checkout", "dedup_key": "f"})
    right = wrong.replace(b'"firing"', b'"resolved"')
    for body in (wrong, right, wrong):
        fresh.post("generic", body).taken()
        fresh.is_read()

    assert fresh.story.incident().firing
    assert fresh.story.types_of().count("alert_started") == 2
