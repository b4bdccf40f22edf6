"""What PagerDuty's log says of a page, in the order in which it happened."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.incidents.decision import Decision
from bot.pagerduty.client import Client
from bot.pagerduty.reports import ADDRESS_FOR, REST, Reports
from bot.store.people import Person
from tests.builders import NOON, after, incident, pager
from tests.pagerduty.standin import answer, standing_in

BEN = {"id": "PBEN", "type": "user_reference", "summary": "Ben Okafor"}


def entry(kind, second, **more):
    return {"type": f"{kind}_log_entry", "created_at": f"2026-06-10T12:05:{second:02}Z", **more}


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([entry("notify", 7, user=BEN), entry("escalate", 7), entry("trigger", 0)], id="in one second"),
        pytest.param([entry("trigger", 0), entry("escalate", 7), entry("notify", 9, user=BEN)], id="told the other way round"),
    ],
)
def test_who_was_notified_after_an_escalation_was_notified_at_the_level_it_came_to(store, log):
    with standing_in(answer(200, {"log_entries": log, "more": False})) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        found = Reports(client=client, store=store, clock=lambda: NOON).found(incident(), {"id": "Q1"})

    assert [(one.report.kind, one.report.level) for _, one in found] == [("triggered", None), ("escalated", 2), ("notified", 2)]


@pytest.mark.parametrize("way", ["push", "phone", "sms", "email"])
def test_the_way_of_a_notification_is_told_in_the_journals_word(store, way):
    log = [entry("notify", 7, user=BEN, channel={"type": "auto", "notification": {"type": f"{way}_notification"}})]
    with standing_in(answer(200, {"log_entries": log, "more": False})) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        found = Reports(client=client, store=store, clock=lambda: NOON).found(incident(), {"id": "Q1"})

    assert [one.report.channel for _, one in found] == [way]


@pytest.mark.parametrize("name", ["acknowledge", "acknowledgement"])
def test_an_acknowledgement_is_one_under_either_of_pagerdutys_names_for_it(store, name):
    with standing_in(answer(200, {"log_entries": [entry(name, 7, agent=BEN)], "more": False})) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        found = Reports(client=client, store=store, clock=lambda: NOON).found(incident(), {"id": "Q1"})

    assert [(one.report.kind, one.person) for _, one in found] == [("acknowledged", "Ben Okafor")]


@pytest.mark.parametrize("kind", ["acknowledged", "escalated"])
def test_news_does_not_queue_up_behind_a_pagerduty_that_owes_answers(store, kind):
    now = [NOON]
    with store.writing() as work:
        work.save(Decision(incident=incident()), NOON)
    told = replace(pager(kind, after(1)).report, person="PBEN", person_name="Ben Okafor", is_human=True)
    with standing_in(answer(503)) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        reports = Reports(client=client, store=store, clock=lambda: now[0])
        found = [reports.of_ours(told) for _ in range(3)]
        assert standin.connections == 1
        now[0] += REST
        reports.of_ours(told)
        assert standin.connections == 2

    assert [one.person for one in found] == ["Ben Okafor"] * 3


def test_a_user_whom_slack_does_not_know_is_asked_for_once_an_hour_and_known_as_soon_as_slack_knows_them(store):
    now = [NOON]
    with standing_in(answer(200, {"user": {"email": "Ben@example.com"}})) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        reports = Reports(client=client, store=store, clock=lambda: now[0])
        assert [reports.person("PBEN", "Ben") for _ in range(5)] == ["Ben"] * 5
        assert len(standin.asked) == 1
        now[0] += ADDRESS_FOR + timedelta(seconds=1)
        assert reports.person("PBEN", "Ben") == "Ben"
        assert len(standin.asked) == 2
        store.remember_people([Person("U0BEN", name="ben", email="ben@example.com")], now[0])
        assert reports.person("PBEN", "Ben") == "U0BEN"
        assert len(standin.asked) == 2


def test_once_pagerduty_answers_it_is_asked_again_who_people_are(store):
    log = answer(200, {"log_entries": [entry("acknowledge", 7, agent=BEN)], "more": False})
    with standing_in(answer(503), log, answer(404)) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        reports = Reports(client=client, store=store, clock=lambda: NOON)
        assert reports.person("PBEN", "Ben") == "Ben"
        reports.found(incident(), {"id": "Q1"})

    assert ["/users/PBEN" in one.line for one in standin.asked] == [True, False, True]
