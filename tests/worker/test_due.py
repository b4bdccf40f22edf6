"""Timers, on both databases: each once, late rather than never, in the order in which they were due."""

import threading
import time
from datetime import timedelta

import pytest

from bot.alerts.alert import Status as AlertStatus
from bot.handle import Door
from bot.incidents.decision import Decision, Timer
from bot.incidents.incident import Status
from bot.incidents.inputs import AlertReported, DigestDue, ReminderDue
from bot.incidents.policy import Policy, ResolveRule, RouteRule
from bot.store import Conflict, DatabaseDown, Store
from bot.store.tables import outbox
from bot.store.tables import timers as timer_rows
from bot.worker.due import LONGEST_WAIT, DueTimers
from tests.builders import NOON, after, alert

OPENS = Policy(routes=(RouteRule(name="all", severity="SEV2"),))


def due(store: Store, at) -> DueTimers:
    return DueTimers(store=store, door=Door(store, lambda: at, lambda: OPENS, lambda: ()))


def opened(store: Store) -> None:
    Door(store, lambda: NOON, lambda: OPENS, lambda: ()).handle(AlertReported(alert(), "main"))


def types(store: Store) -> list[str]:
    return [one.type for one in store.timeline("INC-1")]


def until_quiet(timers: DueTimers) -> None:
    for _ in range(50):
        if not timers.run_once():
            return
    raise AssertionError("timers without an end")


def test_what_is_not_due_yet_waits(store):
    opened(store)
    before = types(store)

    assert due(store, after(seconds=59)).run_once() == 0
    assert types(store) == before


def test_a_breach_is_told_at_its_time_and_once(store):
    opened(store)
    until_quiet(due(store, after(4, seconds=59)))
    assert "ack_breached" not in types(store)

    until_quiet(due(store, after(5)))
    until_quiet(due(store, after(5)))
    assert types(store).count("ack_breached") == 1


def test_a_bot_that_was_away_tells_late_what_it_missed_once_and_dates_it_when_it_was(store):
    opened(store)

    until_quiet(due(store, after(240)))

    assert types(store).count("ack_breached") == 1
    [breach] = [one for one in store.timeline("INC-1") if one.type == "ack_breached"]
    assert breach.at <= after(240)
    assert store.due(after(240)) == ()


def opened_many(store: Store, count: int) -> None:
    door = Door(store, lambda: NOON, lambda: OPENS, lambda: ())
    for number in range(count):
        door.handle(AlertReported(alert(identity=f"f{number}", service=f"s{number}", labels={}), "main"))


def test_what_many_missed_at_once_is_told_for_each_of_them_once(store):
    opened_many(store, 12)

    until_quiet(due(store, after(5)))

    for number in range(1, 13):
        assert [one.type for one in store.timeline(f"INC-{number}")].count("ack_breached") == 1
    assert store.due(after(5)) == ()


def test_workers_that_meet_over_many_timers_handle_each_once(store):
    opened_many(store, 12)
    start = threading.Barrier(4)

    def work() -> None:
        timers = due(store, after(5))
        start.wait()
        for _ in range(12):
            timers.run_once()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    until_quiet(due(store, after(5)))

    counts = [[one.type for one in store.timeline(f"INC-{number}")].count("ack_breached") for number in range(1, 13)]
    assert counts == [1] * 12
    assert store.due(after(5)) == ()


@pytest.mark.parametrize(("left", "waited"), [(0.05, 0.05), (30.0, 0.2), (-5.0, 0.0)], ids=["soon", "later", "due already"])
def test_a_wait_ends_when_the_next_timer_is_due(store, left, waited):
    with store.writing() as work:
        work.set_timers([Timer("k", NOON + timedelta(seconds=60), DigestDue("2026-W24"))])
    timers = DueTimers(store=store, door=Door(store, lambda: NOON + timedelta(seconds=60 - left), lambda: OPENS, lambda: ()))
    timers._next = store.next_due()

    began = time.monotonic()
    timers.wait(0.2)

    assert waited <= time.monotonic() - began < waited + 0.15


def test_without_a_timer_there_is_nothing_due_next(store):
    assert store.next_due() is None


def test_many_workers_at_once_handle_each_timer_once(store):
    opened(store)
    start = threading.Barrier(6)

    def work() -> None:
        timers = due(store, after(5))
        start.wait()
        for _ in range(5):
            timers.run_once()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert types(store).count("ack_breached") == 1
    assert store.due(after(5)) == ()


def test_a_timer_for_what_is_gone_is_dropped_and_its_neighbours_are_handled(store):
    with store.writing() as work:
        work.save(
            Decision(timers=(Timer("gone", NOON, ReminderDue(99, 1, 120)), Timer("digest", after(1), DigestDue("2026-W24")))), NOON
        )

    assert due(store, after(2)).run_once() == 2
    assert store.due(after(99)) == ()
    assert store.outbox_depth() == {"pending": 1}


def test_a_timer_that_was_moved_meanwhile_stays_at_its_new_time(store):
    with store.writing() as work:
        work.set_timers([Timer("k", NOON, DigestDue("2026-W24"))])
    timers = due(store, after(1))
    [found] = store.due(after(1))
    with store.writing() as work:
        work.set_timers([Timer("k", after(9), DigestDue("2026-W24"))])

    timers._handle(found)

    assert store.timer_set("k") == after(9)
    assert store.outbox_depth() == {}
    assert store.due(after(9))[0].due_at - after(1) == timedelta(minutes=8)


UNREADABLE = {
    "unknown": {"kind": "Renamed", "incident": 1},
    "bare": {"kind": "DigestDue"},
    "odd": {"kind": "UpdateDue", "incident": 1, "promised_at": 3},
}


def spoilt(store: Store, key: str, stored: dict) -> None:
    """A timer that this version cannot read, due before any other."""
    with store.writing() as work:
        work.connection.execute(timer_rows.insert().values(key=key, incident=None, due_at=after(-100), input=stored))


def alarms(store: Store) -> list[str]:
    with store.reading() as work:
        return [row.payload["text"] for row in work.connection.execute(outbox.select().where(outbox.c.kind == "RaiseAlarm"))]


@pytest.mark.parametrize("stored", UNREADABLE.values(), ids=UNREADABLE)
def test_a_timer_that_cannot_be_read_stops_no_other_clock_and_raises_an_alarm_once_an_hour(store, stored):
    opened(store)
    spoilt(store, "odd one", stored)
    timers = due(store, after(5))

    until_quiet(timers)

    assert types(store).count("ack_breached") == 1
    assert after(5) < store.timer_set("odd one") <= after(5) + LONGEST_WAIT
    [alarm] = alarms(store)
    assert "odd one" in alarm
    until_quiet(due(store, after(9)))
    assert len(alarms(store)) == 1
    until_quiet(due(store, after(69)))
    assert len(alarms(store)) == 2


class Buggy(Door):
    """A door with a bug in what it decides about digests."""

    def handle(self, input, **more):  # type: ignore[no-untyped-def]
        if isinstance(input, DigestDue):
            raise ZeroDivisionError("a bug")
        return super().handle(input, **more)

    def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
        if any(isinstance(input, DigestDue) for one in bundles for input in one.inputs):
            raise ZeroDivisionError("a bug")
        return super().handle_together(bundles, seconds)


def test_a_timer_that_ends_in_a_bug_waits_longer_each_time_and_its_neighbours_are_handled(store):
    opened(store)
    with store.writing() as work:
        work.set_timers([Timer("digest", after(-1), DigestDue("2026-W24"))])
    now = [after(5)]
    timers = DueTimers(store=store, door=Buggy(store, lambda: now[0], lambda: OPENS, lambda: ()))

    waits = []
    for _ in range(9):
        until_quiet(timers)
        waits.append(store.timer_set("digest") - now[0])
        now[0] = store.timer_set("digest")

    assert waits == sorted(waits)
    assert waits[0] < waits[1] < waits[-1] == LONGEST_WAIT
    assert types(store).count("ack_breached") == 1
    assert "ZeroDivisionError" in alarms(store)[0]


def test_while_the_database_is_away_no_timer_is_moved(store):
    class Away(Door):
        def handle(self, *_, **__):  # type: ignore[no-untyped-def]
            raise DatabaseDown("gone")

    with store.writing() as work:
        work.set_timers([Timer("digest", NOON, DigestDue("2026-W24"))])
    with pytest.raises(DatabaseDown):
        DueTimers(store=store, door=Away(store, lambda: after(5), lambda: OPENS, lambda: ())).run_once()

    assert store.timer_set("digest") == NOON


@pytest.mark.parametrize("count", [1, 3])
def test_what_has_been_clear_for_the_hold_is_resolved_where_the_policy_says_so(store, count):
    rules = Policy(routes=OPENS.routes, resolve=ResolveRule(automatic=True))
    door = Door(store, lambda: NOON, lambda: rules, lambda: ())
    for status in (AlertStatus.FIRING, AlertStatus.RESOLVED):
        for number in range(count):
            door.handle(AlertReported(alert(status=status, service=f"service {number}", identity=f"{number}"), "main"))

    later = Door(store, lambda: after(30), lambda: rules, lambda: ())
    until_quiet(DueTimers(store=store, door=later))

    assert [one.status for one in store.incidents()] == [Status.RESOLVED] * count
    assert types(store).count("resolved") == 1


def test_timers_beside_an_incident_that_changes_all_the_time_are_handled_all_the_same(store):
    door = Door(store, lambda: NOON, lambda: OPENS, lambda: ())
    for number in range(8):
        door.handle(AlertReported(alert(service=f"service {number}", identity=f"{number}"), "main"))

    class Busy(Door):
        def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
            if any(getattr(input, "incident", None) == 5 for bundle in bundles for input in bundle.inputs):
                raise Conflict("INC-5 changed meanwhile")
            return super().handle_together(bundles, seconds)

    timers = DueTimers(store=store, door=Busy(store, lambda: after(5), lambda: OPENS, lambda: ()))
    for _ in range(60):
        timers.run_once()

    assert [len([one for one in store.timeline(f"INC-{number}") if one.type == "ack_breached"]) for number in range(1, 9)] == [1] * 8


class Leaving(Store):
    """A record that can be away."""

    is_away = False

    def next_due(self):
        if Leaving.is_away:
            raise DatabaseDown("the disk is full")
        return super().next_due()


@pytest.mark.parametrize("why", ["it cannot be read", "a newer version is at work on it"])
def test_nobody_looks_again_and_again_while_the_record_cannot_be_used(store, why):
    opened(store)
    now = after(seconds=30)
    record = Leaving(store.engine)
    timers = DueTimers(store=record, door=Door(record, lambda: now, lambda: OPENS, lambda: ()))
    assert timers.run_once() == 0
    now = after(30)
    if why == "it cannot be read":
        Leaving.is_away = True
        with pytest.raises(DatabaseDown):
            timers.run_once()
        Leaving.is_away = False
    else:
        timers.forget()
    began = time.monotonic()

    timers.wait(0.3)

    assert time.monotonic() - began >= 0.29
    assert timers.run_once()
