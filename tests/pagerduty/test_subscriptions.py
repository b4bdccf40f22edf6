"""The webhook to this bot: switched on again where PagerDuty switched it off, and never anybody else's."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.alerts.source import Delivery
from bot.handle import Door
from bot.pagerduty.client import Client
from bot.pagerduty.subscriptions import Subscriptions
from bot.store import outbox as outbox_rows
from tests.builders import NOON, POLICY
from tests.pagerduty.standin import answer, standing_in

OURS = "https://bot.example.com/hooks/pagerduty/main"


def webhook(id_="P1", url=OURS, *, is_off=True, active=True):
    return {
        "id": id_, "type": "webhook_subscription", "active": active, "events": ["incident.acknowledged"],
        "filter": {"type": "account_reference"},
        "delivery_method": {"type": "http_delivery_method", "url": url, "temporarily_disabled": is_off},
    }  # fmt: skip


def listed(*webhooks, more=False):
    return answer(200, {"webhook_subscriptions": list(webhooks), "more": more})


class Round:
    """What was asked of a PagerDuty that answers so, and what was said of it."""

    def __init__(self, store, *answers_, token="t", addresses=(OURS,)):
        self.store, self.now = store, NOON
        self.answers, self.token, self.addresses = answers_, token, addresses

    def run(self, times=1):
        with standing_in(*self.answers) as neighbour:
            client = Client(token=SecretStr(self.token), from_email="", api_url=neighbour.url, events_url=neighbour.url)
            door = Door(self.store, lambda: self.now, lambda: POLICY, lambda: ())
            self.watch = Subscriptions(client=client, store=self.store, door=door, addresses=self.addresses)
            counts = [self.watch.run_once() for _ in range(times)]
        self.asked = [one.line.rpartition(" ")[0] for one in neighbour.asked]
        return counts[-1]

    def switched_on(self):
        return [line for line in self.asked if line.startswith("POST")]

    def alarms(self):
        with self.store.reading() as work:
            rows = work.connection.execute(outbox_rows.outbox.select())
            return [outbox_rows.decode_tagged(row.payload) for row in rows if row.kind == "RaiseAlarm"]


def test_one_that_was_switched_off_is_switched_on_and_that_is_said(store):
    about = Round(store, listed(webhook()), answer(200, {"webhook_subscription": webhook(is_off=False)}))

    assert about.run() == 1
    assert about.switched_on() == ["POST /webhook_subscriptions/P1/enable"]
    [alarm] = about.alarms()
    assert "It is on again" in alarm.text
    assert "HOOK_SECRETS" in alarm.mend
    assert about.watch.trouble == ""


@pytest.mark.parametrize(
    "one",
    [
        webhook(is_off=False),
        webhook(is_off=False, active=False),
        webhook(url="https://staging.example.com/hooks/pagerduty/main"),
        {"id": "P1"},
    ],
    ids=["is on", "made inactive by a person", "another bot's", "not whole"],
)
def test_nothing_else_is_touched(store, one):
    about = Round(store, listed(one))

    assert about.run() == 0
    assert about.switched_on() == []
    assert about.alarms() == []


def test_one_whose_deliveries_came_here_is_ours_whatever_its_address(store):
    writer = store.inbox_writer(lambda: None)
    came = Delivery(b"{}", {"x-webhook-subscription": "P7"}, "main", NOON)
    writer.put("pagerduty", came, "1").result(10)
    writer.close()
    about = Round(store, listed(webhook("P7", "https://old-name.example.com/hooks/pagerduty/main")), answer(200, {}))

    assert about.run() == 1


def test_every_page_of_the_list_is_read(store):
    about = Round(store, listed(webhook("P1", is_off=False), more=True), listed(webhook("P2")), answer(200, {}))

    assert about.run() == 1
    assert about.switched_on() == ["POST /webhook_subscriptions/P2/enable"]


@pytest.mark.parametrize("status", [403, 404, 500])
def test_one_that_cannot_be_switched_on_is_an_alarm_with_what_to_do(store, status):
    about = Round(store, listed(webhook()), answer(status))

    assert about.run() == 0
    [alarm] = about.alarms()
    assert "cannot be switched on" in alarm.text
    assert "Generic Webhooks" in alarm.mend
    assert str(status) in about.watch.trouble


def test_a_list_that_is_not_given_is_a_warning_and_no_alarm(store):
    about = Round(store, answer(403))

    assert about.run() == 0
    assert "403" in about.watch.trouble
    assert about.alarms() == []


def test_it_is_said_once_an_hour_however_often_it_is_switched_off(store):
    about = Round(store, *[listed(webhook()), answer(200, {})] * 3)
    about.run(3)
    assert len(about.switched_on()) == 3
    about.now += timedelta(hours=1)
    about.run()

    assert len(about.alarms()) == 2


@pytest.mark.parametrize("given", [{"token": ""}, {"addresses": ()}], ids=["no token", "no webhook set up"])
def test_nobody_is_asked_where_there_is_nothing_to_ask(store, given):
    about = Round(store, listed(webhook()), **given)

    assert about.run() == 0
    assert about.asked == []
