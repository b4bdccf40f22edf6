"""PagerDuty as it describes itself: what the bot asks of it, and what the sandbox answers in its place."""

import json
import time

import pytest
from pydantic import SecretStr

from bot.incidents.decisions.opening import TITLE_LIMIT
from bot.incidents.effects import Attempt, Lane
from bot.incidents.inputs import Declare, PageSomeone
from bot.pagerduty.client import Client
from bot.pagerduty.deliver import PagerDeliverer
from bot.pagerduty.limits import Budget
from bot.pagerduty.reports import Reports
from bot.store.people import Person
from tests.builders import ANA, BEN, NOON, alert, decided, incident, report
from tests.contracts.pagerduty_spec import ABSENT, IS_THERE, is_pagerduty, operation, wrong_in_answer, wrong_in_request
from tests.contracts.samples import WORDS
from tests.contracts.traffic import Exchange
from tests.pagerduty.standin import answer, standing_in

ASKED_BY_THE_BOT = {
    "GET /abilities 200", "GET /incidents 200", "GET /incidents/{id}/log_entries 200", "GET /users 200",
    "GET /users/{id} 200", "POST /incidents/{id}/responder_requests 200", "POST /v2/enqueue 202", "POST /v2/enqueue 429",
    "POST /incidents 201", "GET /escalation_policies/{id} 200", "GET /oncalls 200", "GET /services/{id} 200",
    "PUT /incidents/{id} 200", "GET /incidents 401", "GET /incidents 429",
}  # fmt: skip
NOT_DESCRIBED = {"PUT /incidents/{id} 400"}
"""Answers that PagerDuty gives, and its description does not know."""

needs_description = pytest.mark.skipif(not IS_THERE, reason=ABSENT)


def of_pagerduty(street):
    return [one for one in street.neighbours.exchanges if is_pagerduty(one)]


def by_the_bot(street):
    return [one for one in of_pagerduty(street) if "urllib" not in one.headers.get("user-agent", "").lower()]


def found_wrong(exchanges, what):
    found = {operation(one): problems for one in exchanges if (problems := what(one))}
    return "\n".join(f"{name}\n  " + "\n  ".join(problems) for name, problems in found.items())


@needs_description
def test_the_bot_asks_everything_that_is_checked_here(street):
    asked = by_the_bot(street)

    assert {operation(one) for one in asked} >= ASKED_BY_THE_BOT
    assert {one.arguments["event_action"] for one in asked if one.path.endswith("enqueue")} == {"trigger", "acknowledge", "resolve"}


@needs_description
def test_every_request_of_the_bot_is_as_pagerduty_describes_it(street):
    assert found_wrong(by_the_bot(street), wrong_in_request) == ""


@needs_description
def test_every_answer_of_the_sandbox_is_as_pagerduty_describes_it(street):
    answers = [one for one in of_pagerduty(street) if operation(one) not in NOT_DESCRIBED]

    assert {one.status for one in answers} >= {200, 202, 400, 401, 404, 429}
    assert found_wrong(answers, wrong_in_answer) == ""


# --- that the check sees what is wrong --------------------------------------------------------


def exchange(method="GET", path="/pagerduty/api/incidents", query="", body=None, answer=None, status=200, **headers):
    given = {"accept": "application/vnd.pagerduty+json;version=2", "authorization": "Token token=t"}
    given |= {"content-type": "application/json"} if body is not None else {}
    return Exchange(
        method, path, query, given | headers, json.dumps(body).encode() if body is not None else b"", status,
        {"content-type": "application/json"}, json.dumps(answer).encode(),
    )  # fmt: skip


def event(**changes):
    payload = {"summary": "x", "source": "y", "severity": "critical"} | changes.pop("payload", {})
    body = {"routing_key": "k" * 32, "event_action": "trigger", "payload": payload} | changes
    return exchange("POST", "/pagerduty/events/v2/enqueue", body=body)


ONE = "/pagerduty/api/incidents/Q1"
OPEN = {"type": "incident", "title": "x", "service": {"id": "PS1", "type": "service_reference"}}
FROM = {"from": "a@example.com"}
OPENS = exchange("POST", body={"incident": OPEN | {"urgency": "high", "incident_key": "k"}}, **{"from": "a@example.com"})
ACKNOWLEDGE = {"incident": {"type": "incident_reference", "status": "acknowledged"}}


@needs_description
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (event(payload={"severity": "sev1"}), "sev1"),
        (event(event_action="page"), "page"),
        (event(payload={"custom_detail": {}}), "custom_detail"),
        (event(dedupkey="x"), "dedupkey"),
        (event(links=[{"url": "https://example.com"}]), "url"),
        (exchange("PUT", ONE, body=ACKNOWLEDGE), "From"),
        (exchange("PUT", ONE, body={"incident": {"type": "incident", "status": "open"}}, **{"from": "a@example.com"}), "open"),
        (exchange("PUT", ONE, body={"incident": {"type": "incident", "state": "x"}}, **{"from": "a@example.com"}), "state"),
        (exchange("POST", body={"incident": OPEN}), "From"),
        (exchange("POST", body={"incident": OPEN | {"urgency": "top"}}, **FROM), "top"),
        (
            exchange("POST", body={"incident": OPEN | {"service": {"id": "PS1", "type": "service"}}}, **FROM),
            "service",
        ),
        (
            exchange("POST", body={"incident": OPEN | {"escalation_policy": {"id": 7}}}, **FROM),
            "escalation_policy",
        ),
        (exchange("POST", body={"incident": OPEN | {"body": {"details": "x"}}}, **FROM), "type"),
        (exchange("POST", body={"incident": {"type": "incident"}}, **{"from": "a@example.com"}), "title"),
        (exchange(query="incident_keys=x"), "incident_keys"),
        (exchange(query="date_range=ever"), "ever"),
        (exchange(path="/pagerduty/api/incident"), "Path"),
        (exchange("POST", ONE), "Operation"),
        (exchange(accept=""), "accept"),
    ],
)
def test_a_request_that_pagerduty_does_not_describe_is_seen(wrong, word):
    assert word in "\n".join(wrong_in_request(wrong))


@needs_description
@pytest.mark.parametrize("right", [event(), exchange(query="incident_key=x&date_range=all"), OPENS])
def test_a_request_that_pagerduty_describes_is_let_through(right):
    assert wrong_in_request(right) == []


@needs_description
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (exchange(answer={"incidents": [{"id": "Q1", "type": "incident", "status": "open"}]}), "open"),
        (exchange(answer={"incidents": {}}), "incidents"),
        (exchange(status=418, answer={}), "418"),
        (exchange(status=429, answer={"ok": False, "error": "ratelimited"}), "ratelimited"),
    ],
)
def test_an_answer_that_pagerduty_does_not_describe_is_seen(wrong, word):
    assert word in "\n".join(wrong_in_answer(wrong))


# --- sizes ------------------------------------------------------------------------------------


def pages_of(words):
    """Whatever asks PagerDuty for somebody, made of the same words."""
    huge = alert(title=words, description=words * 100, service=words or None, labels=dict.fromkeys(("a", "b"), words))
    title = words if words.strip() else "?"
    inputs = [Declare(title=title, by=ANA, service="checkout", details=words, number=7), report(huge)]
    effects = [one for input in inputs for one in decided(None, input).effects]
    paged = incident(title=title[:TITLE_LIMIT])
    effects += decided(paged, PageSomeone(7, ANA, service="payments")).effects
    effects += decided(paged, PageSomeone(7, ANA, person=BEN)).effects
    return [one for one in effects if one.lane is Lane.PAGER]


@pytest.mark.parametrize("kind", WORDS)
def test_a_page_is_within_pagerdutys_sizes_whatever_came_in(store, kind):
    store.remember_people([Person(ANA, email="ana@example.com"), Person(BEN, email="ben@example.com")], NOON)
    found = {"users": [{"id": "PU1", "email": "ana@example.com"}, {"id": "PU2", "email": "ben@example.com"}],
             "incidents": [{"id": "Q1"}]}  # fmt: skip
    with standing_in(answer(202, {"status": "success", **found})) as neighbour:
        client = Client(token=SecretStr("t"), from_email="ana@example.com", api_url=neighbour.url, events_url=neighbour.url)
        deliverer = PagerDeliverer(
            client=client, store=store, clock=lambda: NOON, key_named=lambda name: "k" * 32, budget=Budget(time.monotonic),
            reports=Reports(client=client, store=store, clock=lambda: NOON),
        )  # fmt: skip
        for effect in pages_of(WORDS[kind]):
            deliverer.deliver(effect, Attempt("1", 1, False, NOON))

    events = [one for one in neighbour.asked if "enqueue" in one.line]
    assert len(events) == 3
    for one in events:
        payload = one.json["payload"]
        assert 0 < len(payload["summary"].strip()) <= len(payload["summary"]) <= 1024
        assert payload["source"].strip()
        assert len(one.json["dedup_key"]) <= 255
        assert len(one.body) <= 512_000
        assert not any("\ud800" <= char <= "\udfff" for char in json.dumps(one.json, ensure_ascii=False))
    asked = [one.json["message"] for one in neighbour.asked if "responder_requests" in one.line]
    assert [0 < len(one) <= 1024 for one in asked] == [True]
