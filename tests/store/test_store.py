"""The record, on both databases: what is saved is there, once, and nothing is lost between two who write."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text
from sqlalchemy import false as sql_false

from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import Candidate, Ended, Known, Sought
from bot.alerts.source import Delivery
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.effects import Lane, PageOnCall, PostDigest, RaiseAlarm, ResolvePage, ShowSummary
from bot.incidents.incident import Channel, Severity, Status
from bot.incidents.inputs import (
    Acknowledge,
    AlertReported,
    ChangeStatus,
    Close,
    Declare,
    DigestDue,
    HeartbeatMissed,
    HoldPassed,
    ReminderDue,
    Resolve,
)
from bot.incidents.policy import Policy, RouteRule
from bot.incidents.timeline import Entry
from bot.runbooks import Choice
from bot.store import Conflict, DatabaseDown, Store, migrate
from bot.store import outbox as outbox_rows
from bot.store.people import Person
from bot.store.tables import ALERT_IS_OPEN, INCIDENT_IS_OPEN, INCIDENT_IS_STORM, alerts, incidents
from tests.builders import ANA, BEN, NOON, after, alert, incident

OPENS = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
PAGE = PageOnCall(incident=7, dedup_key="k", pager="default", summary="s", severity="critical", source="x")


def door(store: Store, at=NOON, policy: Policy = OPENS) -> Door:
    return Door(store, lambda: at, lambda: policy, lambda: ())


def saved(store: Store, decision: Decision):
    with store.writing() as work:
        return work.save(decision, NOON)


# --- incidents --------------------------------------------------------------------------------


def test_an_incident_comes_back_as_it_was_saved(store):
    one = replace(incident(), channel=Channel("C1", "inc-7"), pager_id="PD1")

    saved(store, Decision(incident=one))

    assert store.incident(7) == replace(one, version=1)
    assert store.incident_in_channel("C1").number == 7
    assert store.incident_of_page("PD1").number == 7


def test_what_an_alert_might_join_is_read_with_its_newest_alert_and_without_what_is_over(store):
    later = replace(incident().alerts[0], fingerprint="f2", changed_at=after(4))
    for one in (
        replace(incident(), alerts=(later, *incident().alerts)),
        replace(incident(), number=8, alerts=(), private=True),
        replace(incident(), number=9, service="payments"),
        replace(incident(), number=10, status=Status.RESOLVED),
    ):
        saved(store, Decision(incident=one))

    with store.reading() as work:
        found = work.candidates(Sought(("checkout",)))

    known = {"severity": 2, "is_firing": True}
    assert found == (Candidate(8, "checkout", None, private=True, severity=2), Candidate(7, "checkout", after(4), **known))


def test_two_who_change_the_same_incident_do_not_overwrite_each_other(store):
    one = saved(store, Decision(incident=incident()))
    saved(store, Decision(incident=replace(one, title="first")))

    with pytest.raises(Conflict):
        saved(store, Decision(incident=replace(one, title="second")))
    assert store.incident(7).title == "first"


def test_a_decision_is_saved_whole_or_not_at_all(store):
    one = saved(store, Decision(incident=incident()))
    stale = replace(one, version=9)
    entry = Entry(NOON, "note", "INC-7", ANA, {"text": "x"})

    with pytest.raises(Conflict):
        saved(store, Decision(entries=(entry,), effects=(PAGE,), incident=stale))
    assert store.timeline("INC-7") == ()
    assert store.outbox_depth() == {}


def test_numbers_have_no_gaps_even_when_a_decision_fails(store):
    with store.writing() as work:
        assert work.next_number() == 1
    with pytest.raises(RuntimeError), store.writing() as work:
        work.next_number()
        raise RuntimeError
    with store.writing() as work:
        assert work.next_number() == 2


def test_forty_reports_of_one_alert_at_once_open_one_incident(store):
    opened = []
    start = threading.Barrier(40)

    def report() -> None:
        start.wait()
        outcome = door(store).handle(AlertReported(alert(), "main"))
        if outcome.incident is not None and "opened" in outcome.decision.reason:
            opened.append(outcome.incident.ref)

    threads = [threading.Thread(target=report) for _ in range(40)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert opened == ["INC-1"]
    assert len(store.open_incidents()) == 1
    assert [entry.type for entry in store.timeline("INC-1")].count("opened") == 1


def test_what_is_asked_twice_with_the_same_key_is_done_once(store):
    number = door(store).handle(AlertReported(alert(), "main")).incident.number
    first = door(store, after(1)).handle(Acknowledge(number, ANA), once="slack:1")
    second = door(store, after(2)).handle(Acknowledge(number, ANA), once="slack:1")

    assert (first.was_handled, second.was_handled) == (False, True)
    assert [entry.type for entry in store.timeline("INC-1")].count("ack") == 1


def test_a_refusal_leaves_nothing_behind_and_may_be_asked_again(store):
    with pytest.raises(Refused):
        door(store).handle(Acknowledge(9, ANA), once="k")
    with store.reading() as work:
        assert not work.was_handled("k")


# --- alerts -----------------------------------------------------------------------------------


def test_an_alert_is_known_while_its_incident_is_open_or_may_be_again_and_forgotten_after(store):
    one = alert()
    door(store).handle(AlertReported(one, "main"))
    with store.reading() as work:
        assert work.known_alert(one.fingerprint("main")).incident == 1

    door(store, after(9)).handle(Resolve(1, ANA))
    with store.reading() as work:
        assert work.known_alert(one.fingerprint("main")) == Known(1, resolved_at=after(9), severity=2, first_at=NOON)

    door(store, after(10)).handle(Close(1, ANA))
    with store.reading() as work:
        assert work.known_alert(one.fingerprint("main")) is None


AGAIN = alert(started_at=after(30))


def test_an_alert_that_fires_again_opens_its_incident_again_with_a_page_of_its_own(store):
    door(store).handle(AlertReported(alert(), "main"))
    door(store, after(9)).handle(Resolve(1, ANA))
    outcome = door(store, after(31)).handle(AlertReported(AGAIN, "main"))

    assert [one.number for one in store.incidents()] == [1]
    assert (outcome.incident.episode.number, outcome.incident.episode.pages) == (2, True)
    assert outcome.decision.reason.endswith("the same alert was in INC-1, resolved 22 min ago: it is opened again")
    told = store.timeline("INC-1")
    assert [one.type for one in told][-3:] == ["alert_started", "reopened", "page_requested"]
    assert told[-2].fields["text"] == "CheckoutErrorRateHigh fires again"
    # Its row stays the one it was.
    with store.engine.connect() as connection:
        assert connection.execute(select(alerts.c.incident, alerts.c.is_open, alerts.c.reports)).all() == [(1, True, 2)]


def test_a_day_after_it_was_resolved_an_alert_opens_an_incident_that_names_the_earlier_one(store):
    door(store).handle(AlertReported(alert(), "main"))
    door(store, after(9)).handle(Resolve(1, ANA))
    late = after(9 + 24 * 60, 1)
    outcome = door(store, late).handle(AlertReported(alert(started_at=late), "main"))

    assert (outcome.incident.number, outcome.incident.earlier) == (2, 1)
    assert "it was in INC-1 before" in outcome.decision.reason
    opened = next(one for one in store.timeline("INC-2") if one.type == "opened")
    assert opened.fields["earlier"] == "INC-1"
    # Each keeps what it had: the row of the first one is closed.
    rows = select(alerts.c.incident, alerts.c.is_open, alerts.c.reports).order_by(alerts.c.id)
    with store.engine.connect() as connection:
        assert connection.execute(rows).all() == [(1, False, 1), (2, True, 1)]
    # And what clears now clears there.
    cleared = door(store, after(24 * 60 + 20)).handle(AlertReported(alert(status=AlertStatus.RESOLVED), "main"))
    assert cleared.incident.number == 2
    assert cleared.incident.is_clear


def test_what_clears_after_its_incident_was_resolved_is_known_to_be_clear_when_it_is_opened_again(store):
    door(store).handle(AlertReported(alert(), "main"))
    door(store).handle(AlertReported(alert(identity="f2"), "main"))
    door(store, after(9)).handle(Resolve(1, ANA))
    over = door(store, after(12)).handle(AlertReported(alert(status=AlertStatus.RESOLVED, ended_at=after(11)), "main")).incident
    assert (over.status, over.cleared_at) == (Status.RESOLVED, None)
    assert store.timeline("INC-1")[-1].type == "alert_resolved"

    outcome = door(store, after(31)).handle(AlertReported(alert(identity="f2", started_at=after(30)), "main"))
    assert [one.is_firing for one in outcome.incident.alerts] == [False, True]
    done = door(store, after(40)).handle(AlertReported(alert(identity="f2", status=AlertStatus.RESOLVED), "main"))
    assert done.incident.is_clear
    assert done.incident.cleared_at is not None


def test_a_cleared_alert_without_an_incident_is_forgotten(store):
    record = AlertRecord("f", None, True, "t", "s", None, NOON, is_announced=True)
    saved(store, Decision(alert=record))
    saved(store, Decision(alert=replace(record, is_firing=False, is_announced=False)))

    with store.reading() as work:
        assert work.known_alert("f") is None


def test_the_end_of_an_alert_is_known_after_it_is_forgotten_and_once_however_often_it_is_told(store):
    for minutes in (3, 5):
        over = alert(status=AlertStatus.RESOLVED, ended_at=after(2), changed_at=after(2))
        door(store, after(minutes)).handle(AlertReported(over, "main"))

    with store.reading() as work:
        fingerprint = over.fingerprint("main")
        assert work.known_alert(fingerprint) is None
        assert work.end_of(fingerprint) == Ended(after(2), after(5))
        assert work.end_of("another") is None
        assert work.connection.execute(text("SELECT count(*) FROM alerts")).scalar() == 1


def test_of_two_ends_the_newest_counts_whichever_comes_last(store):
    over = alert(status=AlertStatus.RESOLVED, ended_at=after(2), changed_at=after(2))
    fingerprint = over.fingerprint("main")
    for later, heard in ((4, 5), (2, 6)):
        door(store, after(heard)).handle(AlertReported(replace(over, ended_at=after(later), changed_at=after(later)), "main"))

    with store.reading() as work:
        assert work.end_of(fingerprint).at == after(4)
    between = alert(started_at=after(3), changed_at=after(3))
    assert door(store, after(7)).handle(AlertReported(between, "main")).incident is None


@pytest.mark.parametrize(("ahead", "told"), [(2, 2), (10, 0)])
def test_an_end_by_a_clock_that_is_ahead_keeps_nothing_that_fires_after_it_quiet(store, ahead, told):
    over = alert(status=AlertStatus.RESOLVED, ended_at=after(ahead), changed_at=after(ahead))
    door(store, NOON).handle(AlertReported(over, "main"))
    with store.reading() as work:
        assert work.end_of(over.fingerprint("main")).at == after(told)
    fires = alert(started_at=after(1), changed_at=after(1))

    assert door(store, after(1)).handle(AlertReported(fires, "main")).incident is not None


@pytest.mark.parametrize("ahead", [0, 2])
def test_what_fires_anew_is_not_lost_where_its_clock_was_set_right_and_is_a_moment_ahead_still(store, ahead):
    over = alert(status=AlertStatus.RESOLVED, ended_at=after(4), changed_at=after(4))
    door(store, NOON).handle(AlertReported(over, "main"))
    fires = alert(started_at=after(2, ahead), changed_at=after(2, ahead))

    assert door(store, after(2)).handle(AlertReported(fires, "main")).incident is not None


@pytest.mark.parametrize("ahead", [0, 2])
def test_what_an_end_overtook_is_told_from_what_fires_anew_by_a_clock_that_is_still_ahead(store, ahead):
    """A minute before its end by the same clock, and told six seconds after it."""
    fires = alert(started_at=after(ahead), changed_at=after(ahead))
    over = replace(fires, status=AlertStatus.RESOLVED, ended_at=after(1 + ahead), changed_at=after(1 + ahead))
    door(store, after(1)).handle(AlertReported(over, "main"))

    assert door(store, after(1.1)).handle(AlertReported(fires, "main")).incident is None


def test_a_clock_a_little_ahead_is_no_reason_to_take_what_is_late_for_new(store):
    fires = alert(started_at=after(seconds=-2), changed_at=after(seconds=-2))
    over = replace(fires, status=AlertStatus.RESOLVED, ended_at=after(seconds=4), changed_at=after(seconds=4))
    door(store, NOON).handle(AlertReported(over, "main"))
    late = replace(fires, started_at=after(seconds=2), changed_at=after(seconds=2))

    assert door(store, after(1)).handle(AlertReported(late, "main")).incident is None


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([(0, 10, ())], id="a start further ahead than clocks differ"),
        pytest.param([(0, 0, ("started_at",)), (1, 61, ("started_at",))], id="a reminder by a clock that is ahead"),
    ],
)
def test_a_word_by_a_clock_that_is_ahead_keeps_no_end_from_clearing(store, words):
    for minute, at, defaults in words:
        fires = replace(alert(started_at=after(at), changed_at=after(at)), defaults=defaults)
        door(store, after(minute)).handle(AlertReported(fires, "main"))
    over = alert(status=AlertStatus.RESOLVED, ended_at=after(5), changed_at=after(5))

    door(store, after(5)).handle(AlertReported(over, "main"))

    assert store.incident(1).is_clear


def test_the_end_of_an_earlier_firing_that_comes_late_is_told_once_and_clears_nothing(store):
    door = Door(store, lambda: NOON, lambda: Policy(routes=(RouteRule(name="all", severity="SEV2"),)), lambda: ())
    fires = replace(alert(started_at=after(-5)), changed_at=after(-5))
    over = replace(alert(status=AlertStatus.RESOLVED, started_at=after(-9), ended_at=after(-6)), changed_at=after(-6))
    for one in (fires, over, over, fires, over):
        door.handle(AlertReported(one, "main"))

    assert [entry.type for entry in store.timeline("INC-1")].count("alert_resolved") == 1
    assert store.incident(1).is_firing


def test_what_comes_late_for_an_incident_that_is_over_opens_no_other(store):
    one = alert(changed_at=after(seconds=-30))
    over = replace(one, status=AlertStatus.RESOLVED, ended_at=after(2), changed_at=after(2))
    door(store).handle(AlertReported(one, "main"))
    door(store, after(3)).handle(AlertReported(over, "main"))
    door(store, after(4)).handle(Resolve(1, ANA))

    late = door(store, after(5)).handle(AlertReported(one, "main"))
    again = door(store, after(6)).handle(AlertReported(replace(one, started_at=after(6), changed_at=after(6)), "main"))

    assert late.decision.reason == "it was over before this came"
    assert late.incident is None
    assert (again.incident.number, again.incident.episode.number) == (1, 2)
    assert [one.number for one in store.incidents()] == [1]


# --- timers -----------------------------------------------------------------------------------


def test_a_timer_is_due_at_its_time_moved_by_setting_it_again_and_gone_once_done(store):
    timer = Timer("k", after(2), ReminderDue(7, 1, 120))
    saved(store, Decision(timers=(timer,)))
    saved(store, Decision(timers=(replace(timer, due_at=after(4)),)))

    assert store.due(after(3)) == ()
    [due] = store.due(after(4))
    assert due.input == ReminderDue(7, 1, 120)
    with store.writing() as work:
        work.timer_done("k", due.due_at)
    assert store.due(after(9)) == ()


def test_two_workers_cannot_both_take_a_timer(store):
    saved(store, Decision(timers=(Timer("k", NOON, DigestDue("2026-W24")),)))
    with store.writing() as work:
        work.timer_done("k", NOON)

    with pytest.raises(Conflict), store.writing() as work:
        work.timer_done("k", NOON)


def test_a_cancelled_timer_never_comes_due(store):
    saved(store, Decision(timers=(Timer("k", NOON, DigestDue("2026-W24")),)))
    saved(store, Decision(cancels=("k",)))

    assert store.due(after(99)) == ()


# --- the outbox -------------------------------------------------------------------------------


def test_a_lane_gives_one_effect_at_a_time_in_order(store):
    saved(store, Decision(effects=(RaiseAlarm(7, "first"), RaiseAlarm(7, "second"))))

    [first] = store.claim([Lane.CHAT], "a", NOON)
    assert first.effect.text == "first"
    assert store.claim([Lane.CHAT], "b", NOON) == []
    with store.writing() as work:
        work.finish(first, NOON)
    [second] = store.claim([Lane.CHAT], "b", NOON)
    assert second.effect.text == "second"


def test_a_lane_waits_only_for_itself(store):
    saved(store, Decision(effects=(PostDigest("2026-W24"), RaiseAlarm(None, "x"), PAGE)))

    assert len(store.claim([Lane.CHAT], "a", NOON)) == 2
    assert len(store.claim([Lane.PAGER], "a", NOON)) == 1


def test_many_workers_never_claim_the_same_effect(store):
    saved(store, Decision(effects=tuple(replace(PAGE, incident=number, dedup_key=str(number)) for number in range(60))))
    taken: list[str] = []

    def work(name: str) -> None:
        while rows := store.claim([Lane.PAGER], name, NOON, limit=3):
            taken.extend(row.id for row in rows)

    threads = [threading.Thread(target=work, args=(f"w{index}",)) for index in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert len(taken) == len(set(taken)) == 60


def test_an_effect_that_is_put_back_waits_for_its_time_and_counts_its_tries(store):
    saved(store, Decision(effects=(PAGE,)))
    [row] = store.claim([Lane.PAGER], "a", NOON)
    with store.writing() as work:
        assert work.try_again(row, after(1), "502")

    assert store.claim([Lane.PAGER], "a", NOON) == []
    [again] = store.claim([Lane.PAGER], "a", after(1))
    assert (again.attempt.number, again.attempt.is_ambiguous, again.id) == (2, False, row.id)


def test_a_lost_answer_makes_the_next_try_look_first(store):
    saved(store, Decision(effects=(PAGE,)))
    [row] = store.claim([Lane.PAGER], "a", NOON)
    with store.writing() as work:
        work.try_again(row, NOON, "reset", is_ambiguous=True)

    [again] = store.claim([Lane.PAGER], "a", NOON)
    assert again.attempt.is_ambiguous


def test_an_effect_that_was_not_asked_for_goes_back_as_it_was(store):
    saved(store, Decision(effects=(PAGE,)))
    [row] = store.claim([Lane.PAGER], "a", NOON)
    with store.writing() as work:
        assert work.not_tried(row, after(1), "no room")
    [first] = store.claim([Lane.PAGER], "a", after(1))
    assert (first.attempt.number, first.attempt.is_ambiguous, first.attempt.first_tried_at) == (1, False, after(1))
    with store.writing() as work:
        work.try_again(first, after(1), "reset", is_ambiguous=True)
    [second] = store.claim([Lane.PAGER], "a", after(2))
    with store.writing() as work:
        work.not_tried(second, after(2), "no room")

    [third] = store.claim([Lane.PAGER], "a", after(2))
    assert (third.attempt.number, third.attempt.is_ambiguous, third.attempt.first_tried_at) == (2, True, after(1))


def test_the_page_is_first_in_line(store):
    saved(store, Decision(effects=(RaiseAlarm(7, "chat"), PostDigest("2026-W24"), PAGE)))

    rows = store.claim(list(Lane), "a", NOON)
    assert isinstance(rows[0].effect, PageOnCall)


def test_an_effect_whose_worker_died_comes_back_as_ambiguous_and_the_dead_cannot_finish_it(store):
    saved(store, Decision(effects=(PAGE,)))
    [row] = store.claim([Lane.PAGER], "dead", NOON)
    expire(store)

    [again] = store.claim([Lane.PAGER], "alive", NOON)

    assert again.attempt.is_ambiguous
    with pytest.raises(Conflict), store.writing() as work:
        work.finish(row, NOON)
    with store.writing() as work:
        work.finish(again, NOON)


def expire(store: Store) -> None:
    """Let every lease have run out a minute ago."""
    with store.writing() as work:
        work.connection.execute(
            outbox_rows.update(outbox_rows.outbox).values(
                lease_until=outbox_rows.database_now(work.connection) - timedelta(minutes=1)
            )
        )


def test_a_parked_effect_frees_its_lane_and_is_counted(store):
    saved(store, Decision(effects=(RaiseAlarm(7, "poison"), RaiseAlarm(7, "next"))))
    [row] = store.claim([Lane.CHAT], "a", NOON)
    with store.writing() as work:
        work.park(row, NOON, "always fails")

    assert store.outbox_depth() == {"pending": 1, "dead": 1}
    assert store.claim([Lane.CHAT], "a", NOON)[0].effect.text == "next"


def test_the_newest_card_serves_for_all_that_wait(store):
    saved(store, Decision(effects=(ShowSummary(7), ShowSummary(7))))
    saved(store, Decision(effects=(ShowSummary(7), ShowSummary(8))))

    assert store.outbox_depth() == {"pending": 2}


def test_a_card_that_is_being_sent_does_not_serve_for_a_later_one(store):
    saved(store, Decision(effects=(ShowSummary(7),)))
    store.claim([Lane.CHAT], "a", NOON)
    saved(store, Decision(effects=(ShowSummary(7),)))

    assert store.outbox_depth() == {"sending": 1, "pending": 1}


@pytest.mark.parametrize("is_tried", [False, True])
def test_a_page_stays_in_line_before_its_end_and_whoever_sends_it_looks_whether_it_is_over(store, is_tried):
    saved(store, Decision(effects=(PAGE,)))
    if is_tried:
        [row] = store.claim([Lane.PAGER], "a", NOON)
        with store.writing() as work:
            work.try_again(row, NOON, "reset", is_ambiguous=True)
    saved(store, Decision(effects=(ResolvePage(incident=7, dedup_key="k", pager="default"),)))

    [first] = store.claim([Lane.PAGER], "a", NOON)
    assert isinstance(first.effect, PageOnCall)
    assert first.attempt.is_ambiguous is is_tried


# --- the inbox --------------------------------------------------------------------------------


def delivery(body: bytes = b"{}") -> Delivery:
    return Delivery(body, {"x": "y"}, "main", NOON)


def test_a_delivery_is_there_when_its_answer_is(store):
    writer = store.inbox_writer(lambda: None)

    answers = [writer.put("generic", delivery(b"%d" % index), str(index)) for index in range(200)]
    again = writer.put("generic", delivery(), "7")
    results = [one.result(10) for one in answers]
    writer.close()

    assert all(results)
    assert again.result(10) is False
    assert store.inbox_depth() == {"new": 200}


def test_a_sender_that_is_not_waited_for_any_more_stops_no_other(store):
    writer = store.inbox_writer(lambda: None)
    with store.writing():
        gone, next_one = writer.put("generic", delivery(), "1"), writer.put("generic", delivery(), "2")
        gone.cancel()

    assert next_one.result(10) is True
    assert writer.put("generic", delivery(), "3").result(10) is True
    writer.close()


def test_a_delivery_is_read_once_and_kept_when_put_aside(store):
    writer = store.inbox_writer(lambda: None)
    writer.put("generic", delivery(b'{"a":"\xc3\xa9"}'), "1").result(10)
    writer.close()

    [one] = store.claim_deliveries()
    assert (one.source, one.delivery.body, one.attempts) == ("generic", b'{"a":"\xc3\xa9"}', 1)
    assert store.claim_deliveries() == []
    with store.writing() as work:
        work.park_delivery(one.id, "unreadable")
    assert store.inbox_depth() == {"parked": 1}
    assert store.sweep(NOON + timedelta(days=999), timedelta(days=30)) == 0
    assert store.inbox_depth() == {"parked": 1}


def test_what_was_handled_long_ago_is_forgotten_and_timelines_are_not(store):
    door(store).handle(AlertReported(alert(), "main"), once="k")
    for row in store.claim([Lane.PAGER], "a", NOON):
        with store.writing() as work:
            work.finish(row, NOON)

    assert store.sweep(NOON + timedelta(days=31), timedelta(days=30)) >= 2
    assert store.timeline("INC-1")


def test_a_database_that_is_away_is_said_to_be_and_every_waiting_delivery_hears_it(tmp_path):
    gone = Store.at(f"sqlite:///{tmp_path}/no/such/folder.db")
    writer = gone.inbox_writer(lambda: None)

    with pytest.raises(DatabaseDown):
        writer.put("generic", delivery(), "1").result(10)
    with pytest.raises(DatabaseDown, match="cannot be used"):
        gone.incident(1)
    writer.close()


def test_a_database_without_tables_says_what_to_run(tmp_path):
    empty = Store.at(f"sqlite:///{tmp_path}/empty.db")

    with pytest.raises(DatabaseDown, match="python -m bot migrate"):
        empty.incident(1)
    assert "python -m bot migrate" in migrate.out_of_date(empty.engine)


# --- people, drafts, digests, journals --------------------------------------------------------


def test_people_are_found_by_every_name_and_keep_what_one_side_does_not_know(store):
    store.remember_people([Person(ANA, "ana", "Ana Silva", "Ana@Example.com")], NOON)
    store.remember_people([Person(ANA, pagerduty_id="PANA")], NOON)

    assert store.person_by_email("ana@example.COM").slack_id == ANA
    assert store.person_by_pagerduty("PANA").email == "ana@example.com"
    assert [one.slack_id for one in store.people("@ana")] == [ANA]
    assert store.person(BEN) is None
    assert store.person_by_email("") is None


def test_drafts_and_digests_are_kept(store):
    store.keep_draft("INC-7", "default", "one", NOON)
    store.keep_draft("INC-7", "default", "two", NOON)
    store.digest_posted("2026-W24", "C1", "1.0", NOON)
    store.digest_posted("2026-W24", "C1", "1.1", NOON)

    assert store.draft("INC-7") == "two"
    assert store.digest_of("2026-W24", "C1") == "1.1"
    assert store.newest_digest() == "2026-W24"


def test_a_journal_is_taken_in_once_and_numbers_go_on_after_it(store):
    entries = (Entry(NOON, "opened", "INC-41", "bot", {"title": "x"}), Entry(after(1), "ack", "INC-41", "ana"))

    assert store.take_in(entries, {"tz": "Europe/Lisbon"}, NOON) == (2, 0)
    assert store.take_in(entries, {"tz": "Europe/Lisbon"}, NOON) == (0, 2)
    assert store.journal_notes() == {"tz": "Europe/Lisbon"}
    with store.writing() as work:
        assert work.next_number() == 42


def test_an_import_never_makes_one_incident_of_two(store):
    door(store).handle(AlertReported(alert(), "main"))
    other = Entry(after(5), "opened", "INC-1", "bot", {"title": "another"})

    with pytest.raises(Refused, match="INC-1 is here already"):
        store.take_in((other,), {}, NOON)


def test_timelines_of_a_span_hold_what_was_touched_and_what_is_open(store):
    old = Entry(after(-9999), "opened", "INC-1", "bot", {})
    over = Entry(after(-9000), "resolved", "INC-1", "ana", {})
    still = Entry(after(-9999), "opened", "INC-2", "bot", {})
    fresh = Entry(after(1), "opened", "INC-3", "bot", {})
    store.take_in((old, over, still, fresh), {}, NOON)

    assert {one.incident for one in store.timelines(NOON, after(60))} == {"INC-2", "INC-3"}


# --- the schema -------------------------------------------------------------------------------


def test_the_migrations_make_what_the_code_expects(store):
    assert migrate.differences(store.engine) == []
    assert migrate.out_of_date(store.engine) == ""


def test_the_schema_goes_down_and_up_again(store):
    migrate.downgrade(store.engine)
    assert migrate.out_of_date(store.engine)
    migrate.upgrade(store.engine)
    migrate.upgrade(store.engine)

    assert migrate.out_of_date(store.engine) == ""


def test_a_way_back_leaves_no_timer_that_an_older_version_cannot_read(store):
    missed = HeartbeatMissed(alert(), "alertmanager", "main", timedelta(minutes=5), NOON)
    with store.writing() as work:
        work.set_timers([Timer("heartbeat/1", NOON, missed), Timer("INC-7/hold", NOON, HoldPassed(7, NOON))])
        work.write()
    migrate.downgrade(store.engine, "0002")
    migrate.upgrade(store.engine)

    assert [one.key for one in store.due(after(1))] == ["INC-7/hold"]


def test_alerts_join_what_was_declared_before_an_upgrade(store):
    for service in ("checkout", "search", "shop"):
        door(store).handle(Declare(title=f"{service} is down", severity=Severity.SEV2, service=service, by=ANA))
    door(store).handle(ChangeStatus(2, Status.MONITORING, ANA))
    door(store).handle(AlertReported(alert(identity="shop", service="shop"), "main"))
    migrate.downgrade(store.engine, "0013")
    with store.writing() as work:
        work.connection.execute(text("UPDATE incidents SET last_alert_at = NULL, is_firing = (1 = 0) WHERE number < 3"))
    migrate.upgrade(store.engine)

    with store.reading() as work:
        found = work.candidates(Sought(("checkout", "search", "shop")))
    assert [(one.number, one.last_alert_at, one.is_firing, one.is_declared) for one in found] == [
        (3, NOON, True, False), (2, NOON, False, True), (1, NOON, True, True),
    ]  # fmt: skip


def test_an_old_choice_of_runbook_is_no_part_of_the_record(store):
    report = AlertReported(alert(), "main", runbook=Choice(None, None, "x"))

    assert door(store).handle(report).incident.status is Status.TRIGGERED


@pytest.mark.parametrize(
    "query",
    [
        select(alerts).where(alerts.c.fingerprint.in_(["f", "g"]), ALERT_IS_OPEN),
        select(incidents.c.number).where(INCIDENT_IS_OPEN, incidents.c.service == "shop"),
        select(incidents.c.number).where(INCIDENT_IS_OPEN).order_by(incidents.c.number.desc()),
        select(incidents.c.number).where(
            INCIDENT_IS_OPEN, INCIDENT_IS_STORM, incidents.c.source == "x", incidents.c.private == sql_false()
        ),
    ],
    ids=["an alert", "a service's open incidents", "open incidents", "a storm"],
)
def test_what_is_open_is_found_without_walking_through_all_that_ever_was(tmp_path, query):
    store = Store.at(f"sqlite:///{tmp_path / 'plan.db'}")
    migrate.upgrade(store.engine)
    written = query.compile(store.engine, compile_kwargs={"literal_binds": True})
    with store.engine.connect() as connection:
        plan = " ".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {written}")))
    store.close()

    assert "USING INDEX" in plan or "USING COVERING INDEX" in plan
    assert "SCAN alerts" not in plan
    assert "_open" in plan


def test_what_is_worst_goes_to_pagerduty_first_and_what_ends_a_page_last(store):
    ended = ResolvePage(incident=90, dedup_key="k90", pager="default")
    older = replace(PAGE, incident=91, dedup_key="k91", severity="error")
    pages = [replace(PAGE, incident=10 + rank, dedup_key=f"k{rank}", rank=rank) for rank in (5, 3, 1, 4, 2)]
    saved(store, Decision(effects=(ended, older, *pages)))

    claimed = [store.claim((Lane.PAGER,), "me", NOON, limit=1)[0].incident for _ in range(7)]
    # One that an older version wrote says no more than PagerDuty's own word for it.
    assert claimed == [11, 12, 91, 13, 14, 15, 90]


@pytest.mark.parametrize(
    ("again", "is_refused"),
    [
        (Declare(title="Checkout  is SLOW", by=BEN), True),
        (Declare(title="checkout is slow", by=BEN, private=True), False),
        (Declare(title="checkout is slower", by=BEN), False),
        (Declare(title="checkout is slow", by=BEN, severity=Severity.SEV4), True),
        (Declare(title="checkout is slow", by=BEN, severity=Severity.SEV1), False),
    ],
)
def test_two_who_declare_the_same_at_once_mean_the_same(store, again, is_refused):
    now = [NOON]
    way_in = Door(store, lambda: now[0], lambda: OPENS, lambda: ())
    way_in.handle(Declare(title="Checkout is slow", by=ANA))
    now[0] = after(0.5)

    if is_refused:
        with pytest.raises(Refused, match="INC-1 was opened with these words just now"):
            way_in.handle(again)
        assert len(store.incidents()) == 1
        now[0] = after(2)
    way_in.handle(again)
    assert [one.number for one in store.incidents()] == [2, 1]


def test_a_large_sweep_lets_others_write_in_between(store):
    with store.writing() as work:
        for number in range(35):
            work.mark_handled(str(number), NOON)
    transactions = []
    event.listen(store.engine, "commit", lambda connection: transactions.append(1))

    assert store.sweep(NOON + timedelta(days=31), timedelta(days=30), at_once=10) == 35
    assert len(transactions) >= 4
