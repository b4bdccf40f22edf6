"""What PagerDuty has open and the record does not know: said once, and its numbers are given out no more."""

import pytest
from pydantic import SecretStr

from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.incident import dedup_key
from bot.incidents.inputs import Declare
from bot.pagerduty.client import Client
from bot.pagerduty.strays import FARTHEST, MOST_NAMED, Strays
from bot.store import outbox as outbox_rows
from tests.builders import ANA, NOON, POLICY, after, incident
from tests.pagerduty.standin import answer, standing_in


def open_(number, key, title="Something is wrong"):
    return {
        "id": f"Q{number}", "incident_key": key, "title": title, "status": "triggered",
        "html_url": f"https://pagerduty.example.com/incidents/Q{number}",
    }  # fmt: skip


def page_of(*incidents, more=False):
    return answer(200, {"incidents": list(incidents), "more": more})


class Start:
    """A bot that starts on a record with INC-1 to INC-`newest`, beside a PagerDuty that answers so."""

    def __init__(self, store, *answers_, newest=1):
        self.store, self.answers = store, answers_
        self.door = Door(store, lambda: NOON, lambda: POLICY, lambda: ())
        for number in range(1, newest + 1):
            with store.writing() as work:
                work.next_number()
                work.save(Decision(incident=incident(number=number, episodes=(self.episode(number),))), NOON)

    def episode(self, number):
        [first] = incident().episodes
        return type(first)(number=1, opened_at=NOON, dedup_key=dedup_key(number, 1, NOON))

    def run(self, times=1):
        with standing_in(*self.answers) as neighbour:
            client = Client(token=SecretStr("t"), from_email="", api_url=neighbour.url, events_url=neighbour.url)
            watch = Strays(client=client, store=self.store, door=self.door)
            found = [watch.run_once() for _ in range(times)]
        self.connections = neighbour.connections
        return found

    def next_number(self):
        return self.door.handle(Declare(title="Checkout is slow", by=ANA)).incident.number

    def alarms(self):
        with self.store.reading() as work:
            rows = work.connection.execute(outbox_rows.outbox.select())
            return [outbox_rows.decode_tagged(row.payload) for row in rows if row.kind == "RaiseAlarm"]


KNOWN = dedup_key(1, 1, NOON)


def test_all_that_the_record_knows_is_no_news(store):
    start = Start(store, page_of(open_(1, KNOWN), open_(2, f"{KNOWN}/payments"), open_(3, "another-team"), open_(4, None)))

    assert start.run() == [0]
    assert start.alarms() == []
    assert start.next_number() == 2


def test_what_a_restored_record_forgot_is_named_with_what_to_do(store):
    start = Start(store, page_of(open_(1, KNOWN), open_(2, dedup_key(2, 1, after(3)), "Payments are down")))

    assert start.run() == [1]
    [alarm] = start.alarms()
    assert "INC-2 (Payments are down, triggered, https://pagerduty.example.com/incidents/Q2)" in alarm.text
    assert "restored" in alarm.mend


def test_the_number_of_what_was_forgotten_is_not_given_out_again(store):
    start = Start(store, page_of(open_(2, dedup_key(2, 1, after(3))), open_(5, dedup_key(5, 1, after(4)))))
    start.run()

    assert start.next_number() == 6


def test_the_same_number_opened_at_another_time_is_another_incident(store):
    start = Start(store, page_of(open_(1, dedup_key(1, 1, after(3)))))

    assert start.run() == [1]
    assert "INC-1" in start.alarms()[0].text
    assert start.next_number() == 2


def test_a_key_from_far_away_does_not_carry_the_numbers_away(store):
    start = Start(store, page_of(open_(9, dedup_key(FARTHEST * 2, 1, NOON))))

    assert start.run() == [1]
    assert start.next_number() == 2


def test_another_start_says_nothing_new_and_skips_nothing_more(store):
    start = Start(store, page_of(open_(3, dedup_key(3, 1, after(3)))))
    start.run()
    start.run()

    assert len(start.alarms()) == 1
    assert start.next_number() == 4


def test_it_is_asked_until_it_answers_and_then_no_more(store):
    start = Start(store, answer(503), answer(503), page_of(more=False))

    assert start.run(5) == [0] * 5
    assert start.connections == 3


def test_a_token_that_may_not_ask_is_not_asked_for_ever(store):
    start = Start(store, answer(400))
    start.run(3)

    assert start.connections == 1


@pytest.mark.parametrize("count", [MOST_NAMED, MOST_NAMED + 3])
def test_many_are_counted_and_every_page_is_read(store, count):
    many = [open_(number, dedup_key(number, 1, after(1))) for number in range(2, count + 2)]
    start = Start(store, page_of(*many[:2], more=True), page_of(*many[2:]))

    assert start.run() == [count]
    [alarm] = start.alarms()
    assert alarm.text.count("pagerduty.example.com") == MOST_NAMED
    assert ("and 3 more" in alarm.text) == (count > MOST_NAMED)
