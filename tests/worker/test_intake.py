"""Reading the inbox, on both databases: each delivery once, and one that cannot be read is put aside and said."""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from random import choice
from string import ascii_letters

import pytest
from sqlalchemy import event

from bot.alerts.registry import sources
from bot.alerts.source import Delivery, PagerReport, Reading
from bot.alerts.sources.generic import Generic
from bot.clock import Clock
from bot.handle import Door
from bot.incidents.effects import RaiseAlarm
from bot.incidents.incident import Status
from bot.incidents.inputs import AlertReported, PagerReported
from bot.incidents.policy import HeartbeatRule, Policy, RouteRule, StormRule
from bot.store import Conflict, DatabaseDown, Store
from bot.store import outbox as outbox_rows
from bot.store.database import database_now
from bot.store.inbox import ENDED_IN_A_BUG, MOST_BYTES
from bot.store.tables import inbox
from bot.web.measures import Measures
from bot.worker.due import DueTimers
from bot.worker.intake import ALIKE_SAID_EVERY, ATTEMPTS, BATCH, CONFLICTS, DEADLY, SUSPECT, Intake
from bot.worker.worker import Wakeups, Worker
from tests.builders import NOON, after

OPENS = Policy(routes=(RouteRule(name="all", severity="SEV2"),), storm=StormRule(most=1000))


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


class Buggy(Generic):
    """A source with a bug: some bodies end in an exception that nobody thought of."""

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        if b"poison" in delivery.body:
            raise ZeroDivisionError("a bug")
        return super().parse(delivery, mapping)


def unknown(report: PagerReport) -> PagerReported | str:
    return f"{report.pager_id} is no page of ours"


class Desk:
    """An inbox, and somebody who reads it."""

    def __init__(self, store: Store, policy: Policy = OPENS) -> None:
        self.store, self.now = store, NOON
        self.door = Door(store, self._clock, lambda: policy, lambda: ())
        known = {**sources(), "generic": Buggy()}
        # By its clock, to look takes no time.
        self.intake = Intake(sources=known, report=unknown, store=store, door=self.door, steady=lambda: 0.0)
        self.count = 0

    def _clock(self) -> Clock:
        return self.now

    def gets(self, source: str, *bodies: bytes, route: str = "main") -> None:
        writer = self.store.inbox_writer(lambda: None)
        for body in bodies:
            self.count += 1
            writer.put(source, Delivery(body, {}, route, self.now), str(self.count)).result(10)
        writer.close()

    def is_flooded(self, count: int, routes: int) -> None:
        """So many alerts, over so many routes in turn."""
        writer = self.store.inbox_writer(lambda: None)
        bodies = [(f"route{number % routes}", alert(f"flood {number}")) for number in range(count)]
        answers = [writer.put("generic", Delivery(body, {}, route, self.now), f"flood {body!r}") for route, body in bodies]
        assert all(one.result(10) for one in answers)
        writer.close()

    def reads(self) -> int:
        """Read what there is, also what waits for another try."""
        with self.store.writing() as work:
            work.connection.execute(inbox.update().where(inbox.c.state == "new").values(lease_until=None))
        return self.intake.run_once()

    def rows(self) -> list[tuple[str, str, int]]:
        """(state, reason, attempts) of each delivery."""
        with self.store.reading() as work:
            found = work.connection.execute(inbox.select().order_by(inbox.c.id))
            return [(row.state, row.reason, row.attempts) for row in found]

    def alarms(self) -> list[RaiseAlarm]:
        with self.store.reading() as work:
            found = work.connection.execute(outbox_rows.outbox.select().where(outbox_rows.outbox.c.kind == "RaiseAlarm"))
            return [outbox_rows.decode_tagged(row.payload) for row in found]


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


@pytest.fixture
def recording(store: Store) -> Desk:
    """One that opens nothing: a flood of it is read in a moment."""
    return Desk(store, Policy(routes=(RouteRule(name="all", outcome="record"),)))


def alert(name: str, status: str = "firing") -> bytes:
    return dumped({"title": name, "status": status, "severity": "critical", "service": name, "dedup_key": name})


def test_each_delivery_is_handled_once(desk):
    desk.gets("generic", alert("a"), alert("b"))

    assert desk.reads() == 2
    assert desk.reads() == 0
    assert [one.title for one in desk.store.incidents()] == ["b", "a"]
    assert {state for state, _, _ in desk.rows()} == {"done"}


def test_what_a_sender_does_wrong_over_and_over_is_kept_each_time_and_said_once_in_a_while(desk):
    desk.gets("pagerduty", *(b'{"event": %d, "x"' % number for number in range(10, 30)))
    desk.reads()
    assert desk.store.inbox_depth() == {"parked": 20}
    assert len(desk.alarms()) == 1
    assert "bot inbox list" in desk.alarms()[0].mend

    desk.gets("pagerduty", b'{"odd": 1}')
    desk.reads()
    assert len(desk.alarms()) == 2

    desk.now += ALIKE_SAID_EVERY
    desk.gets("pagerduty", b'{"event": 99, "x"')
    desk.reads()
    assert len(desk.alarms()) == 3


def test_only_whoever_found_as_many_as_there_may_be_at_once_looks_again(desk):
    desk.gets("generic", *(alert(f"a{number}") for number in range(BATCH + 1)))

    assert [desk.intake.run_until_empty() for _ in range(2)] == [BATCH, 0]
    assert {state for state, _, _ in desk.rows()} == {"done"}


def test_of_large_deliveries_fewer_are_read_at_once_and_it_is_known_that_there_are_more(recording):
    large = dumped({"title": "large", "status": "firing", "description": "x" * 3_000_000})
    recording.gets("generic", *([large] * 7))

    claimed = recording.store.claim_deliveries(BATCH)
    assert [one.delivery.body for one in claimed] == [large] * 6
    recording.store.put_deliveries_back(claimed)
    assert [recording.intake.run_until_empty() for _ in range(2)] == [6, 0]
    assert {state for state, _, _ in recording.rows()} == {"done"}


def test_a_delivery_that_is_larger_than_what_is_read_at_once_is_read_by_itself(recording):
    large = dumped({"title": "large", "status": "firing", "description": "x" * (MOST_BYTES + 1)})
    recording.gets("generic", large, large)

    assert [recording.intake.run_until_empty() for _ in range(3)] == [1, 1, 0]


def test_what_is_too_long_for_an_index_is_no_outage(desk):
    name = "".join(choice(ascii_letters) for _ in range(9000))
    desk.gets("generic", dumped({"title": "long", "status": "firing", "severity": "critical", "service": name}), alert("neighbour"))

    desk.reads()

    assert [one.title for one in desk.store.incidents()] == ["neighbour", "long"]
    assert desk.store.incident(1).service == f"{name[:199]}…"


class Busy(Door):
    """A door at which one alert always comes into conflict with somebody else."""

    def handle(self, input, **more):
        if isinstance(input, AlertReported) and input.alert.title == "poison":
            raise Conflict("INC-1 changed meanwhile")
        return super().handle(input, **more)

    def handle_together(self, bundles, seconds):
        raise Conflict("somebody is at it")


def test_what_always_comes_into_conflict_is_put_aside_and_frees_its_route(store):
    desk = Desk(store, OPENS)
    door = Busy(store, lambda: desk.now, lambda: OPENS, lambda: ())
    desk.intake = Intake(sources=sources(), report=lambda report: "not ours", store=store, door=door)
    desk.gets("generic", alert("poison"), alert("neighbour"))

    for _ in range(CONFLICTS + 1):
        desk.reads()

    assert [state for state, _, _ in desk.rows()] == ["parked", "done"]
    assert [one.title for one in store.incidents()] == ["neighbour"]
    assert len(desk.alarms()) == 1


def test_whoever_floods_us_holds_up_nobody_else(desk):
    desk.gets("generic", *(alert(f"flood {number}") for number in range(2 * BATCH + 1)))
    desk.gets("generic", alert("first of theirs"), alert("second of theirs"), route="theirs")

    assert [desk.intake.run_until_empty() for _ in range(2)] == [BATCH, 2]
    assert [state for state, _, _ in desk.rows()[-2:]] == ["done", "done"]
    last = [one.title for one in desk.store.incidents()[:2]]
    assert last == ["second of theirs", "first of theirs"], "in their own order"
    while desk.intake.run_until_empty():
        pass
    assert {state for state, _, _ in desk.rows()} == {"done"}


def test_whoever_floods_us_next_does_not_hold_up_the_one_before(recording):
    desk = recording
    desk.gets("generic", *(alert(f"first {number}") for number in range(BATCH + 60)))
    assert desk.intake.run_until_empty() == BATCH
    for turn in range(2):
        desk.gets("generic", *(alert(f"second {turn}-{number}") for number in range(BATCH + 20)), route="theirs")
        desk.intake.run_until_empty()

    assert {state for state, _, _ in desk.rows()[: BATCH + 60]} == {"done"}


@pytest.mark.parametrize("routes", [1, 2, 21])
def test_however_many_fill_the_line_whoever_is_behind_all_of_them_is_read_soon(recording, routes):
    desk = recording
    desk.is_flooded(6 * BATCH, routes)
    desk.gets("generic", alert("theirs"), route="theirs")
    for _ in range(5):
        assert desk.intake.run_until_empty()

    assert desk.rows()[-1][0] == "done"
    assert {state for state, _, _ in desk.rows()} == {"done", "new"}


def test_who_sends_a_little_beside_a_flood_is_none_of_those_who_fill_the_line(recording):
    desk = recording
    for part in range(4):
        desk.gets("generic", *(alert(f"flood {part}-{number}") for number in range(BATCH - 10)))
        desk.gets("generic", *(alert(f"{part}-{number}") for number in range(10)), route="theirs")
    assert [desk.intake.run_until_empty() for _ in range(2)] == [BATCH, 30]


def test_who_floods_us_beside_others_is_not_asked_for_each_time(recording):
    """To look who waits behind them passes over all that waits: a tenth of the time at most goes to that."""
    desk, now = recording, [0.0]
    desk.intake = Intake(sources=sources(), report=unknown, store=desk.store, door=desk.door, steady=lambda: now[0])
    looks = []

    def takes_time(connection: object, cursor: object, statement: str, *given: object) -> None:
        if "inbox.route !=" in statement:
            looks.append(round(now[0], 1))
            now[0] += 0.2

    event.listen(desk.store.engine, "before_cursor_execute", takes_time)
    desk.gets("generic", *(alert(f"flood {number}") for number in range(6 * BATCH)))
    while desk.intake.run_until_empty():
        now[0] += 0.5

    assert looks == [0.5, 2.7]


def test_what_cannot_be_read_is_put_aside_with_its_reason_and_an_alarm_and_its_neighbours_go_on(desk):
    desk.gets("pagerduty", b"no json", b'{"odd": 1}')
    desk.gets("generic", alert("neighbour"))

    desk.reads()

    assert [(state, reason.split(":")[0]) for state, reason, _ in desk.rows()] == [
        ("parked", "not JSON"), ("parked", "event"), ("done", ""),
    ]  # fmt: skip
    assert [one.text for one in desk.alarms()] == [
        "A delivery from pagerduty/main was put aside: not JSON: invalid literal, expected 'null': line 1 column 1 (char 0)",
        "A delivery from pagerduty/main was put aside: event: missing; is this a webhook of version 3?",
    ]
    assert "kept as number" in desk.alarms()[0].mend
    assert desk.store.incident(1).title == "neighbour"
    assert desk.store.inbox_depth() == {"parked": 2}


def test_a_bug_is_tried_again_and_put_aside_in_the_end_and_holds_nobody_up(desk):
    desk.gets("generic", alert("poison"), alert("neighbour"))

    desk.reads()
    assert desk.store.incident(1).title == "neighbour"
    assert desk.rows()[0] == ("new", ENDED_IN_A_BUG, 1)
    assert desk.alarms() == []
    assert desk.intake.run_once() == 0

    for _ in range(ATTEMPTS):
        desk.reads()
    assert desk.rows()[0] == ("parked", "reading it always ends in a bug; see the log", ATTEMPTS)
    assert len(desk.alarms()) == 1
    assert desk.reads() == 0


def test_one_bug_after_a_long_wait_for_the_database_puts_nothing_aside(desk):
    desk.gets("generic", alert("poison"))
    held = desk.intake
    desk.intake = Intake(
        sources={"generic": Generic()}, report=unknown, store=desk.store,
        door=Away(desk.store, desk.door.clock, lambda: OPENS, lambda: ()),
    )  # fmt: skip
    for _ in range(ATTEMPTS + 3):
        desk.reads()

    desk.intake = held
    desk.reads()
    assert desk.rows()[0][:2] == ("new", ENDED_IN_A_BUG)


class Killed(BaseException):
    """The process ends here, without a word."""


class Deadly(Generic):
    """One that nobody survives reading an alert called killer of."""

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        if b"killer" in delivery.body:
            raise Killed
        return super().parse(delivery, mapping)


def test_what_ends_the_process_each_time_is_put_aside_and_its_neighbours_are_read(desk):
    """In whatever lot it is claimed: those beside it have died as often, and are not to blame."""
    desk.gets("generic", alert("before"), alert("killer"), alert("after"))
    desk.gets("generic", alert("elsewhere"), route="other")
    deaths = 0
    for _ in range(SUSPECT + DEADLY + 1):
        desk.intake = Intake(sources={"generic": Deadly()}, report=unknown, store=desk.store, door=desk.door, steady=lambda: 0.0)
        try:
            desk.reads()
        except Killed:
            deaths += 1

    assert deaths == SUSPECT - 1 + DEADLY
    assert sorted(one.title for one in desk.store.incidents()) == ["after", "before", "elsewhere"]
    states = [(state, reason) for state, reason, _ in desk.rows()]
    assert states == [
        ("done", ""),
        ("parked", f"{DEADLY} times in a row reading it began and came to no end that anybody could write down"),
        ("done", ""),
        ("done", ""),
    ]
    assert len(desk.alarms()) == 1


def test_one_that_is_read_by_itself_keeps_its_place_among_the_others(desk):
    """An end that was tried three times comes before the firing that came after it."""
    desk.gets("generic", alert("a"))
    desk.reads()
    desk.gets("generic", alert("a", "resolved"))
    with desk.store.writing() as work:
        work.connection.execute(inbox.update().where(inbox.c.state == "new").values(attempts=SUSPECT - 1))
    desk.gets("generic", alert("a"))

    desk.reads()
    [one] = desk.store.incidents()
    assert len(one.firing) == 1


def test_a_claim_of_a_clock_that_was_set_back_holds_nobody_up(desk):
    desk.gets("generic", alert("a"), alert("b"))
    assert len(desk.store.claim_deliveries(1)) == 1
    with desk.store.writing() as work:
        claimed = inbox.c.lease_until.is_not(None)
        later = database_now(work.connection) + timedelta(minutes=5)
        work.connection.execute(inbox.update().where(claimed).values(lease_until=later))

    assert desk.intake.run_once() == 2
    assert [state for state, _, _ in desk.rows()] == ["done", "done"]


def test_a_source_that_is_gone_puts_its_deliveries_aside(desk):
    desk.gets("gone", alert("x"))

    desk.reads()

    assert desk.rows()[0][:2] == ("parked", "no source is called gone; was its package removed?")


def test_a_delivery_that_was_half_handled_when_the_process_died_is_taken_up_where_it_was(desk):
    body = dumped([{"title": name, "severity": "critical", "dedup_key": name} for name in ("a", "b", "c")])
    desk.gets("generic", body)
    [received] = desk.store.claim_deliveries()
    reading = Buggy().parse(received.delivery, {})
    for key, one in list(desk.intake._inputs(reading, received, []))[:2]:
        desk.door.handle(one, once=f"inbox:{received.id}:{key}")

    desk.reads()

    assert sorted(one.title for one in desk.store.incidents()) == ["a", "b", "c"]
    assert all(desk.store.timeline(one.ref)[0].type == "alert_started" for one in desk.store.incidents())
    assert sum(entry.type == "alert_started" for one in desk.store.incidents() for entry in desk.store.timeline(one.ref)) == 3


def test_news_of_pagerduty_that_is_not_ours_is_done_with_its_reason(desk):
    event = {"event_type": "incident.acknowledged", "occurred_at": after(1).isoformat(), "data": {"id": "P7", "title": "x"}}
    desk.gets("pagerduty", dumped({"event": event}), dumped({"event": {"event_type": "pagey.ping"}}))

    desk.reads()

    assert [one[:2] for one in desk.rows()] == [("done", "P7 is no page of ours"), ("done", "a ping; the webhook works")]
    assert desk.store.incidents() == ()


def test_firing_and_clearing_in_one_batch_keep_their_order(desk):
    desk.gets("generic", alert("a"), alert("a", "resolved"), alert("a"), alert("a", "resolved"))

    desk.reads()

    [one] = desk.store.incidents()
    assert not one.firing
    assert one.status is Status.TRIGGERED
    found = [entry.type for entry in desk.store.timeline("INC-1") if entry.type.startswith("alert_")]
    assert found.count("alert_started") == found.count("alert_resolved") == 2


class Away(Door):
    """A door whose database is away."""

    def handle(self, *_, **__):  # type: ignore[no-untyped-def]
        raise DatabaseDown("the database cannot be used: gone")

    handle_together = handle


@pytest.mark.parametrize("body", [alert("a"), b"no json"], ids=["a good one", "one to put aside"])
def test_while_the_database_is_away_nothing_is_given_up_however_long_it_takes(desk, body):
    desk.gets("generic", body)
    away = Away(desk.store, desk.door.clock, lambda: OPENS, lambda: ())
    held = desk.intake
    desk.intake = Intake(sources=sources(), report=unknown, store=desk.store, door=away)
    for _ in range(ATTEMPTS + 3):
        desk.reads()
    assert desk.rows()[0][0] == "new"

    desk.intake = held
    desk.reads()
    assert desk.rows()[0][0] == ("parked" if body == b"no json" else "done")
    assert len(desk.alarms()) == (body == b"no json")


# --- order ------------------------------------------------------------------------------------


def test_while_one_worker_has_a_route_no_other_takes_later_deliveries_of_it(desk):
    desk.gets("generic", *(alert(name) for name in "abc"))
    slow = desk.store.claim_deliveries(3)
    desk.gets("generic", *(alert(name, "resolved") for name in "abc"))
    desk.gets("generic", alert("elsewhere"), route="other")

    assert desk.intake.run_once() == 1
    assert [one.title for one in desk.store.incidents()] == ["elsewhere"]

    for one in slow:
        desk.intake._take(one)
    assert desk.intake.run_once() == 3
    assert [bool(one.firing) for one in desk.store.incidents()] == [False, False, False, True]


def test_what_a_worker_that_died_had_in_hand_is_read_first_and_in_order(desk):
    desk.gets("generic", *(alert(name) for name in "ab"), *(alert(name, "resolved") for name in "ab"))
    desk.store.claim_deliveries(2)
    assert desk.intake.run_once() == 0

    assert desk.reads() == 4
    assert not any(one.firing for one in desk.store.incidents())


class Hiccup(Door):
    """A door whose database is away for some inputs."""

    def handle(self, input, **more):  # type: ignore[no-untyped-def]
        if input.alert.title in AWAY:
            raise DatabaseDown("the database cannot be used: gone")
        return super().handle(input, **more)

    def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
        if any(one.alert.title in AWAY for bundle in bundles for one in bundle.inputs):
            raise DatabaseDown("the database cannot be used: gone")
        return super().handle_together(bundles, seconds)


AWAY = set[str]()


def test_after_a_hiccup_of_the_database_nothing_later_of_the_same_route_goes_ahead(desk):
    desk.gets("generic", alert("a"), alert("a", "resolved"), alert("b"))
    desk.gets("generic", alert("elsewhere"), route="other")
    desk.intake = Intake(
        sources=sources(), report=unknown, store=desk.store, door=Hiccup(desk.store, desk.door.clock, lambda: OPENS, lambda: ())
    )
    AWAY.add("a")
    desk.intake.run_once()
    AWAY.clear()

    assert [one.title for one in desk.store.incidents()] == ["elsewhere"]
    assert desk.intake.run_once() == 0
    assert [attempts for _, _, attempts in desk.rows()] == [1, 0, 0, 1]

    assert desk.reads() == 3
    assert {one.title: bool(one.firing) for one in desk.store.incidents()} == {"elsewhere": True, "a": False, "b": True}


def test_what_somebody_else_has_by_now_is_not_given_back(desk):
    desk.gets("generic", alert("a"), alert("b"))
    late = desk.store.claim_deliveries(lease=timedelta(seconds=-1))
    desk.store.claim_deliveries(lease=timedelta(seconds=30))

    desk.store.put_deliveries_back(late)

    assert desk.store.claim_deliveries() == []


def test_a_claim_looks_at_what_is_new_and_not_at_all_that_ever_came(desk):
    if desk.store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL sees that a bound value stays within the index")
    seen = list[str]()
    event.listen(desk.store.engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    desk.store.claim_deliveries()

    looks = [one for one in seen if "FROM inbox" in one]
    with desk.store.reading() as work:
        plans = [str(work.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", (NOON,) * one.count("?")).all()) for one in looks]
    assert len(plans) == 2
    assert all("inbox_new" in one for one in plans), plans


def test_many_workers_at_once_keep_the_order_of_a_route(desk):
    desk.gets("generic", *(alert(str(name), status) for status in ("firing", "resolved") for name in range(30)))
    start = threading.Barrier(4)

    def work() -> None:
        mine = Intake(sources=sources(), report=unknown, store=desk.store, door=desk.door)
        start.wait()
        for _ in range(400):
            mine.run_once()
            if not desk.store.inbox_depth():
                return
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert {state for state, _, _ in desk.rows()} == {"done"}
    assert len(desk.store.incidents()) == 30
    assert not any(one.firing for one in desk.store.incidents())


# --- two that read ----------------------------------------------------------------------------

NEWS = dumped({"event": {"id": "01", "event_type": "incident.acknowledged", "occurred_at": "2026-06-10T12:01:00Z",
                         "agent": {"id": "PBEN", "type": "user_reference"}, "data": {"id": "PD1", "type": "incident"}}})  # fmt: skip


def test_an_alert_does_not_wait_for_what_is_asked_of_pagerduty(desk):
    asked, answers = threading.Event(), threading.Event()

    def slow(report: PagerReport) -> PagerReported | str:
        asked.set()
        answers.wait(20)
        return "not ours"

    wakeups = Wakeups()
    intake, news = (Intake(sources=sources(), report=slow, store=desk.store, door=desk.door, **which)
                    for which in ({"but": "pagerduty"}, {"only": "pagerduty"}))  # fmt: skip
    worker = Worker(store=desk.store, intake=intake, news=news, deliveries={}, due=DueTimers(store=desk.store, door=desk.door),
                    ticks=[], wakeups=wakeups, clock=desk._clock)  # fmt: skip
    writer = desk.store.inbox_writer(wakeups.inbox.wake, {"pagerduty": wakeups.news.wake})
    worker.start()
    try:
        writer.put("pagerduty", Delivery(NEWS, {}, "main", NOON), "1").result(10)
        assert asked.wait(10)
        writer.put("generic", Delivery(alert("checkout"), {}, "main", NOON), "2").result(10)
        ends = time.monotonic() + 10
        while desk.store.incident(1) is None and time.monotonic() < ends:
            time.sleep(0.02)
        assert desk.store.incident(1) is not None
        assert desk.rows()[0][0] == "new"
    finally:
        answers.set()
        worker.stop()
        writer.close()


def test_each_delivery_wakes_only_who_reads_its_source(desk):
    wakeups = Wakeups()
    writer = desk.store.inbox_writer(wakeups.inbox.wake, {"pagerduty": wakeups.news.wake})
    writer.put("pagerduty", Delivery(NEWS, {}, "main", NOON), "1").result(10)
    assert (wakeups.inbox.kept, wakeups.news.kept) == (0, 1)
    writer.put("generic", Delivery(alert("checkout"), {}, "main", NOON), "2").result(10)
    writer.close()

    assert (wakeups.inbox.kept, wakeups.news.kept) == (1, 1)


@pytest.mark.parametrize("together", [True, False])
def test_what_a_route_drops_says_so_in_the_inbox_and_is_counted(store, together):
    policy = Policy(routes=(RouteRule(name="staging", match={"environment": "staging"}, outcome="drop", reason="on purpose"),))
    desk = Desk(store, policy)
    desk.gets("generic", dumped({"title": "a", "status": "firing", "environment": "staging"}), alert("b"))
    if not together:
        # Tried before: it is read by itself.
        with store.writing() as work:
            work.connection.execute(inbox.update().values(attempts=1))
    desk.reads()

    assert [row[:2] for row in desk.rows()] == [("done", "dropped by route “staging”: on purpose"), ("done", "")]
    assert store.dropped() == {"staging": 1}
    desk.gets("generic", *[dumped({"title": f"{number}", "status": "firing", "environment": "staging"}) for number in range(3)])
    desk.reads()
    assert store.dropped() == {"staging": 4}
    text = Measures().text(dict, dict, store.dropped).decode()
    assert 'firstfive_alerts_dropped{route="staging"} 4.0' in text


WATCHES = Policy(heartbeats=(HeartbeatRule(name="Prometheus", within="5m"),))


def test_an_input_is_called_the_same_whatever_the_policy_says_by_then(store):
    """Else one that is left of a delivery could be taken for one that was handled."""
    names = []
    for policy in (WATCHES, OPENS):
        desk = Desk(store, policy)
        labels = ({"alertname": "Watchdog"}, {"alertname": "DiskFull"})
        body = {"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": one} for one in labels]}
        desk.gets("alertmanager", dumped(body), route=f"of-{len(names)}")
        [received] = store.claim_deliveries()
        reading = sources()["alertmanager"].parse(received.delivery, {})
        names.append({key: input.alert.title for key, input in desk.intake._inputs(reading, received, [])})

    assert names[0] == {"0": "Watchdog", "0:heard": "Prometheus: nothing heard for 5 min", "1": "DiskFull"}
    assert names[1] == {"0": "Watchdog", "1": "DiskFull"}


def test_only_what_had_come_by_then_on_the_same_route_may_be_a_sign_of_life(desk):
    desk.gets("alertmanager", b"{}", route="main")
    early, late = after(-1), after(1)
    asked = [
        ("alertmanager", "main", late),
        ("alertmanager", "main", early),
        ("alertmanager", "other", late),
        ("grafana", "main", late),
    ]

    with desk.store.reading() as work:
        assert [work.is_unread(*one) for one in asked] == [True, False, False, False]


def ignored_in_metrics(store: Store) -> list[str]:
    text = Measures().text(dict, dict, ignored=store.ignored).decode()
    return [line for line in text.splitlines() if line.startswith("firstfive_deliveries_ignored{")]


def test_what_a_source_finds_nothing_in_is_counted_by_source(desk):
    desk.gets("updown", b"[]", b"[ ]")
    desk.gets("generic", alert("a"))
    desk.gets("kibana", b'{"alerts": {}}')
    desk.reads()

    assert [reason for _, reason, _ in desk.rows() if reason] == ["a list without events"] * 2 + ["a summary without alerts"]
    assert ignored_in_metrics(desk.store) == [
        'firstfive_deliveries_ignored{source="kibana"} 1.0', 'firstfive_deliveries_ignored{source="updown"} 2.0',
    ]  # fmt: skip


def test_what_is_ignored_is_counted_once_where_it_is_read_alone_and_by_two(desk):
    desk.gets("updown", b"[]")
    with desk.store.writing() as work:
        work.connection.execute(inbox.update().values(attempts=1))
    (one,) = desk.store.claim_deliveries(1, timedelta(seconds=-1))
    (same,) = desk.store.claim_deliveries(1, timedelta(minutes=1))
    desk.intake._read(one)
    desk.intake._read(same)

    assert desk.rows()[0][:2] == ("done", "a list without events")
    assert desk.store.ignored() == {"updown": 1}


def test_whoever_was_too_slow_counts_nothing(desk):
    desk.gets("updown", b"[]")
    (slow,) = desk.store.claim_deliveries(1, timedelta(seconds=-1))
    (quick,) = desk.store.claim_deliveries(1, timedelta(minutes=1))
    assert desk.intake._take_together(deque([slow]), {}) == 0
    assert desk.store.ignored() == {}
    desk.intake._read(quick)
    desk.intake._read(slow)

    assert desk.store.ignored() == {"updown": 1}
