"""What was put aside is looked at, tried again or dropped by a person; who and why is kept."""

import threading

import pytest

from bot.alerts.source import Delivery
from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.effects import Lane, PageOnCall, RaiseAlarm
from bot.incidents.incident import Status
from bot.store import DatabaseDown, outbox, queues
from tests.builders import NOON, after, incident

PAGE = PageOnCall(incident=7, dedup_key=incident().episode.dedup_key, pager="checkout", summary="s", severity="critical", source="x")
DEAD = queues.OUTBOX_STATES["dead"]
PARKED = queues.INBOX_STATES["parked"]


def given_up(store, effect=PAGE):
    """The number of an effect that was given up."""
    with store.writing() as work:
        from_decision(work, effect)
    [row] = store.claim([effect.lane], "me", NOON)
    with store.writing() as work:
        assert work.park(row, NOON, "PagerDuty will not have it")
    return row.seq


def from_decision(work, effect):
    outbox.put(work.connection, [(effect, NOON)])


def put_aside(store):
    """The number of a delivery that was put aside."""
    writer = store.inbox_writer(lambda: None)
    writer.put("generic", Delivery(b"{}", {}, "main", NOON), "d1").result(5)
    writer.close()
    [received] = store.claim_deliveries()
    with store.writing() as work:
        work.park_delivery(received.id, "title: missing")
    return received.id


def saved(store, one):
    with store.writing() as work:
        work.save(Decision(incident=one), NOON)


def test_what_was_given_up_is_listed_with_its_reason(store):
    number = given_up(store)

    [found] = store.effects(DEAD, 10)

    assert (found.number, found.kind, found.incident, found.reason) == (number, "PageOnCall", 7, "PagerDuty will not have it")
    assert found.payload["dedup_key"] == PAGE.dedup_key


def test_what_is_sent_again_looks_first_and_starts_its_tries_anew(store):
    saved(store, incident())
    number = given_up(store)

    store.send_again(number, "ana", after(1))
    [row] = store.claim([Lane.PAGER], "me", after(1))

    assert (row.seq, row.attempt.is_ambiguous, row.attempt.number) == (number, True, 1)
    assert [(one.type, one.by, one.fields["number"]) for one in store.timeline("INC-7")] == [("effect_retried", "ana", number)]


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CANCELLED, Status.MERGED])
def test_a_page_for_what_is_over_is_not_sent_again(store, status):
    saved(store, incident(status=status, episode={"ended_at": after(1)}))
    number = given_up(store)

    with pytest.raises(Refused, match="nobody is to be woken"):
        store.send_again(number, "ana", after(2))

    assert store.effect(number).state == "dead"


def test_what_is_dropped_is_kept_with_who_and_why_and_survives_the_sweep(store):
    saved(store, incident())
    number = given_up(store)

    store.drop_effect(number, "ana", "paged by hand", after(1))
    store.sweep(after(10_000_000), after(1) - NOON)

    one = store.effect(number)
    assert "dropped by ana" in one.reason
    assert "paged by hand" in one.reason
    assert "PagerDuty will not have it" in one.reason
    [told] = store.timeline("INC-7")
    assert (told.type, told.by, told.fields["reason"]) == ("effect_dropped", "ana", "paged by hand")
    assert store.outbox_depth() == {}


def test_only_what_was_given_up_is_sent_again_or_dropped(store):
    saved(store, incident())
    with store.writing() as work:
        from_decision(work, PAGE)
    [waiting] = store.effects(queues.OUTBOX_STATES["waiting"], 10)

    for act in (lambda: store.send_again(waiting.number, "ana", NOON), lambda: store.drop_effect(waiting.number, "ana", "x", NOON)):
        with pytest.raises(Refused, match="is pending"):
            act()


def waiting(store, effect=PAGE, *, is_lost=False):
    """The number of an effect that was tried once, and waits for a person for an hour."""
    with store.writing() as work:
        from_decision(work, effect)
    [row] = store.claim([effect.lane], "me", NOON)
    with store.writing() as work:
        assert work.try_again(row, after(3600), "Slack answered is_archived", is_ambiguous=is_lost)
    return row.seq


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_waits_after_a_try_is_sent_again_now_and_counts_its_tries_on(store, is_lost):
    saved(store, incident())
    number = waiting(store, is_lost=is_lost)
    assert store.claim([Lane.PAGER], "me", after(1)) == []

    store.send_again(number, "ana", after(1))
    [row] = store.claim([Lane.PAGER], "me", after(1))

    assert (row.seq, row.attempt.number, row.attempt.is_ambiguous) == (number, 2, is_lost)
    assert [(one.did, one.by) for one in store.effect(number).by_hand] == [("sent again", "ana")]


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_waits_after_a_try_can_be_dropped_and_lets_go_of_its_lane(store, is_lost):
    number = waiting(store, RaiseAlarm(None, "disk full"), is_lost=is_lost)
    with store.writing() as work:
        from_decision(work, RaiseAlarm(None, "another"))
    assert store.claim([Lane.CHAT], "me", after(1)) == []

    with store.writing() as work:
        queues.drop_effect(work.connection, number, "ana", "nobody reads it", after(1), was=store.effect(number).state)

    [row] = store.claim([Lane.CHAT], "me", after(1))
    assert row.seq > number
    [decided] = store.effect(number).by_hand
    assert (decided.did, decided.by, decided.reason) == ("dropped", "ana", "nobody reads it")
    assert "is_archived" in decided.before


def test_what_is_being_sent_is_neither_dropped_nor_sent_again_and_says_what_to_do(store):
    saved(store, incident())
    with store.writing() as work:
        from_decision(work, PAGE)
    [row] = store.claim([Lane.PAGER], "me", NOON)

    for act in (
        lambda: store.send_again(row.seq, "ana", NOON), lambda: store.drop_effect(row.seq, "ana", "x", NOON),
    ):  # fmt: skip
        with pytest.raises(Refused, match=f"being sent.*bot outbox show {row.seq}"):
            act()
    assert store.effect(row.seq).state == "sending"


def test_what_was_claimed_since_somebody_looked_is_not_dropped(store):
    number = waiting(store, RaiseAlarm(None, "disk full"))
    store.claim([Lane.CHAT], "me", after(7200))

    with pytest.raises(Refused, match="being sent"), store.writing() as work:
        queues.drop_effect(work.connection, number, "ana", "x", NOON, was="pending")


def test_an_effect_of_no_incident_can_be_sent_again(store):
    number = given_up(store, RaiseAlarm(None, "disk full"))

    store.send_again(number, "ana", after(1))

    assert [row.seq for row in store.claim([Lane.CHAT], "me", after(1))] == [number]


def test_a_delivery_is_read_again(store):
    number = put_aside(store)

    store.read_again(number, "ana", NOON)

    [received] = store.claim_deliveries()
    assert (received.id, received.attempts) == (number, 1)
    assert "read again by ana; before: title: missing" in store.delivery(number).reason


def test_a_delivery_is_dropped_and_kept(store):
    number = put_aside(store)

    store.drop_delivery(number, "ana", "a test of theirs", NOON)
    store.sweep(after(10_000_000), after(1) - NOON)

    assert store.deliveries(PARKED, 10) == ()
    assert "dropped by ana" in store.delivery(number).reason
    assert store.inbox_depth().get("new") is None


def test_what_was_decided_by_hand_is_kept_whatever_becomes_of_it(store):
    number = put_aside(store)
    store.drop_delivery(number, "ana", "a test of theirs", after(1))
    store.read_again(number, "ben", after(2))
    with store.writing() as work:
        work.delivery_done(number)

    kept = store.delivery(number)
    assert kept.reason == ""
    assert [(one.at, one.did, one.by, one.reason) for one in kept.by_hand] == [
        (after(1), "dropped", "ana", "a test of theirs"),
        (after(2), "read again", "ben", ""),
    ]
    assert kept.by_hand[0].before == "parked: title: missing"
    assert kept.by_hand[1].before.startswith("dropped: dropped by ana")


def test_and_of_an_effect_too(store):
    number = given_up(store, RaiseAlarm(None, "disk full"))
    store.send_again(number, "ana", after(1))
    [row] = store.claim([Lane.CHAT], "me", after(1))
    with store.writing() as work:
        work.park(row, after(2), "still no")
    store.drop_effect(number, "ben", "told by phone", after(3))

    assert [(one.did, one.by, one.reason) for one in store.effect(number).by_hand] == [
        ("sent again", "ana", ""), ("dropped", "ben", "told by phone"),
    ]  # fmt: skip


def test_of_two_who_decide_at_once_one_is_told(store):
    number = put_aside(store)
    said = list[str]()

    def drops(by: str) -> None:
        try:
            store.drop_delivery(number, by, "x", NOON)
        except (Refused, DatabaseDown) as error:
            said.append(str(error))

    both = [threading.Thread(target=drops, args=(by,)) for by in ("ana", "ben")]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert len(said) == 1
    assert len(store.delivery(number).by_hand) == 1


def test_what_is_not_there_is_refused(store):
    for act in (store.effect, store.delivery):
        with pytest.raises(Refused, match="list"):
            act(99)
