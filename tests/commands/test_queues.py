"""What was put aside, from the command line: seen, tried again, or dropped with a reason."""

import json

import pytest

from bot.alerts.source import Delivery
from bot.incidents.decision import Decision
from bot.incidents.effects import OpenChannel, PageNextLevel, PageOnCall, RaiseAlarm, SetTopic
from bot.incidents.incident import PageState
from bot.slack.views.card import page_line
from bot.store import Store
from bot.store.tables import outbox
from tests.builders import NOON, after, incident

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


def waiting(bot, effect=PAGE, *, is_lost=False):
    """The record of a bot with an incident whose page is asked for, and an effect that was tried once and waits."""
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    asked = incident(episode={"page": PageState.REQUESTED, "accepted_at": None})
    with store.writing() as work:
        work.save(Decision(incident=asked, effects=(effect,)), NOON)
    [row] = store.claim([effect.lane], "me", NOON)
    with store.writing() as work:
        work.try_again(row, after(3600), "PagerDuty answered 401", is_ambiguous=is_lost)
    return store


def dropped(bot):
    return bot.here("outbox", "drop", "1", "--reason", "ben was called", "--by", "ana")


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_page_that_waits_is_dropped_and_its_incident_says_that_it_was_not_sent(bot, is_lost):
    store = waiting(bot, is_lost=is_lost)

    told = dropped(bot)

    assert (told.code, told.err) == (0, "")
    assert store.effect(1).state == "put away"
    found = store.incident(7)
    assert found.episode.page is PageState.DROPPED
    assert found.episode.accepted_at is None
    line = page_line(found)
    assert "ana" in line
    assert "ben was called" in line
    assert ("Nobody knows whether PagerDuty took this page" in line) is is_lost
    assert ("before PagerDuty took it" in line) is not is_lost
    entries = {one.type: one for one in store.timeline("INC-7")}
    assert bool(entries["page_dropped"].fields.get("may_have_arrived")) is is_lost
    assert (entries["effect_dropped"].by, entries["effect_dropped"].fields["reason"]) == ("ana", "ben was called")
    assert not entries.keys() & {"page_accepted", "page"}
    assert [(one.did, one.by) for one in store.effect(1).by_hand] == [("dropped", "ana")]
    store.close()


@pytest.mark.parametrize(
    ("effect", "type_"),
    [
        (PageNextLevel(incident=7, dedup_key=PAGE.dedup_key, level=2), "escalation_failed"),
        (OpenChannel(7, "inc-7-checkout"), "channel_failed"),
        (SetTopic(7), "effect_parked"),
    ],
)
def test_what_else_waits_is_given_up_as_a_worker_would_give_it_up(bot, effect, type_):
    store = waiting(bot, effect)

    assert dropped(bot).code == 0

    types = [one.type for one in store.timeline("INC-7")]
    assert type_ in types
    assert "effect_dropped" in types
    store.close()


def test_an_alarm_that_waits_raises_no_other(bot):
    store = waiting(bot, RaiseAlarm(None, "disk full"))

    assert dropped(bot).code == 0

    assert store.outbox_depth() == {}
    store.close()


def test_what_waits_is_sent_again_at_once(bot):
    store = waiting(bot)

    assert bot.here("outbox", "retry", "1", "--by", "ana").code == 0

    assert store.effect(1).state == "pending"
    assert [row.seq for row in store.claim([PAGE.lane], "me", after(1))] == [1]
    store.close()


def test_what_is_being_sent_is_not_dropped_and_nothing_is_said_of_it(bot):
    store = waiting(bot)
    store.claim([PAGE.lane], "me", after(7200))

    told = dropped(bot)

    assert told.code == 2
    assert "being sent" in told.err
    assert store.incident(7).episode.page is PageState.REQUESTED
    assert store.timeline("INC-7") == ()
    store.close()


def test_what_this_version_cannot_read_is_left_to_the_one_that_can(bot):
    store = waiting(bot)
    with store.writing() as work:
        work.connection.execute(outbox.update().values(kind="Newer", payload={"kind": "Newer", "incident": 7}))

    told = dropped(bot)

    assert told.code == 2
    assert "cannot read" in told.err
    assert store.effect(1).state == "pending"
    store.close()


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
