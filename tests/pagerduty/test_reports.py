"""What PagerDuty's log says of a page, in the order in which it happened."""

import pytest
from pydantic import SecretStr

from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from tests.builders import NOON, incident
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
