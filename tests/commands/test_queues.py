"""What was put aside, from the command line: seen, tried again, or dropped with a reason."""

import json

import pytest

from bot.alerts.source import Delivery
from bot.incidents.decision import Decision
from bot.incidents.effects import PageOnCall
from bot.store import Store
from tests.builders import NOON, incident

PAGE = PageOnCall(incident=7, dedup_key=incident().episode.dedup_key, pager="checkout", summary="s", severity="critical", source="x")


@pytest.fixture
def aside(bot):
    """A bot with an incident, a page that was given up, and a delivery that was put aside."""
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    writer = store.inbox_writer(lambda: None)
    writer.put("generic", Delivery(b'{"a": "\x1b[31mred"}', {}, "main", NOON), "d1").result(5)
    writer.close()
    [received] = store.claim_deliveries()
    with store.writing() as work:
        work.save(Decision(incident=incident(), effects=(PAGE,)), NOON)
        work.park_delivery(received.id, "title: missing")
    [row] = store.claim([PAGE.lane], "me", NOON)
    with store.writing() as work:
        work.park(row, NOON, "PagerDuty will not have it")
    store.close()
    return bot


def test_what_was_put_aside_is_listed_with_its_reason_and_shown_whole(aside):
    assert "PageOnCall  dead" in aside.here("outbox", "list").out
    assert "PagerDuty will not have it" in aside.here("outbox", "list").out
    assert json.loads(aside.here("outbox", "list", "--json").out)[0]["payload"]["dedup_key"] == PAGE.dedup_key
    assert "title: missing" in aside.here("inbox", "list").out
    shown = aside.here("inbox", "show", "1").out
    assert '{"a": ' in shown
    assert "\x1b" not in shown


def test_it_is_tried_again(aside):
    assert aside.here("outbox", "retry", "1", "--by", "ana").code == 0
    assert aside.here("inbox", "retry", "1", "--by", "ana").code == 0

    assert "Nothing is dead" in aside.here("outbox", "list").out
    assert "sent again by ana" in aside.here("outbox", "list", "--state", "waiting").out
    assert "read again by ana" in aside.here("inbox", "list", "--state", "waiting").out
    assert "read again by ana (was parked: " in aside.here("inbox", "show", "1").out
    assert json.loads(aside.here("outbox", "show", "1", "--json").out)["by_hand"][0]["did"] == "sent again"


def test_it_is_dropped_with_a_reason_and_kept(aside):
    told = aside.here("outbox", "drop", "1", "--reason", "paged by hand", "--by", "ana")

    assert told.code == 0
    assert "dropped by ana" in aside.here("outbox", "list", "--state", "dropped").out
    assert "paged by hand" in aside.here("outbox", "show", "1").out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("outbox", "drop", "1"), "say why"),
        (("outbox", "retry"), "say which one"),
        (("outbox", "show", "99"), "no effect 99"),
        (("inbox", "show", "99"), "no delivery 99"),
        (("inbox", "drop", "1", "--reason", " "), "say why"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_to_do(aside, typed, words):
    told = aside.here(*typed)

    assert told.code == 2
    assert words in told.err
    assert told.err.count("\n") == 1


def test_the_doctor_fails_for_what_was_put_aside_and_names_where_to_look(aside):
    told = aside.here("check", "--offline")

    assert told.code == 1
    assert "FAIL  inbox: deliveries that could not be read: 1" in told.out
    assert "FAIL  outbox: effects that were given up: 1" in told.out
    assert "bot inbox list`" in told.out
    assert "bot outbox list`" in told.out

    for queue in ("inbox", "outbox"):
        aside.here(queue, "drop", "1", "--reason", "seen", "--by", "ana")
    after = aside.here("check", "--offline").out
    assert "inbox:" not in after
    assert "outbox:" not in after
