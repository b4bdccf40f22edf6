"""Carrying effects out, on both databases: whatever a deliverer does, the effect is neither lost nor done twice unawares."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from bot.errors import Ambiguous, GaveUp, OverBudget, Overtaken, Refused, TryLater
from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.effects import (
    AcknowledgePage,
    Attempt,
    Effect,
    Lane,
    PageNextLevel,
    PageOnCall,
    RaiseAlarm,
    Say,
    SetTopic,
    ShowSummary,
    Topic,
)
from bot.incidents.incident import PageState
from bot.incidents.inputs import PageAccepted, PageDropped
from bot.incidents.policy import Policy
from bot.store import Conflict, DatabaseDown, Store
from bot.store import outbox as outbox_rows
from bot.worker.deliveries import BUGGY, DEADLY, REST_SECONDS, Deliveries, Steady
from bot.worker.leases import LONGEST, Leases
from tests.builders import NOON, POLICY, after, incident

KEY = incident().episode.dedup_key
PAGE = PageOnCall(incident=7, dedup_key=KEY, pager="default", summary="s", severity="critical", source="x")
ACCEPTED = PageAccepted(7, KEY, after(seconds=1))


def leases(store: Store, steady: Callable[[], float] = time.monotonic) -> Leases:
    return Leases(store, timedelta(seconds=10), steady)


class Lanes:
    """An outbox, a neighbour whose behaviour is the test's, and a clock that moves."""

    def __init__(self, store: Store, *effects: Effect, policy: Policy = POLICY) -> None:
        self.store, self.now, self.tried = store, NOON, list[Attempt]()
        self.does: Callable[[Effect], Any] = lambda effect: None
        self.door = Door(store, lambda: self.now, lambda: policy, lambda: ())
        self.work = Deliveries(lanes=list(Lane), deliver=self._deliver, store=store, door=self.door, leases=leases(store))
        with store.writing() as work:
            work.save(Decision(incident=incident(episode={"page": PageState.REQUESTED, "accepted_at": None}), effects=effects), NOON)

    def _deliver(self, effect: Effect, attempt: Attempt) -> Any:
        self.tried.append(attempt)
        return self.does(effect)

    def fails(self, error: Exception) -> None:
        def fail(effect: Effect) -> None:
            raise error

        self.does = fail

    def passes(self, **span: float) -> int:
        """Let time pass and do what is due; how much that was."""
        self.now += timedelta(**span)
        return self.work.run_once()

    def states(self) -> list[str]:
        """The state of each effect of the test's own, alarms left out."""
        return [row.state for row in self._rows() if row.kind != "RaiseAlarm"]

    def alarms(self) -> list[str]:
        return [row.payload["text"] for row in self._rows() if row.kind == "RaiseAlarm"]

    def _rows(self) -> list[Any]:
        with self.store.reading() as work:
            return list(work.connection.execute(outbox_rows.outbox.select().order_by(outbox_rows.outbox.c.seq)))

    def lease_runs_out(self) -> None:
        with self.store.writing() as work:
            earlier = outbox_rows.database_now(work.connection) - timedelta(minutes=1)
            work.connection.execute(outbox_rows.outbox.update().values(lease_until=earlier))

    def types(self) -> list[str]:
        return [one.type for one in self.store.timeline("INC-7")]


def test_what_was_delivered_is_done_and_its_result_is_handled_with_it(store):
    lanes = Lanes(store, PAGE)
    lanes.does = lambda effect: ACCEPTED

    assert lanes.work.run_once() == 1
    assert lanes.states()[0] == "done"
    assert "page_accepted" in lanes.types()


@pytest.mark.parametrize(
    ("error", "state", "looks_first"),
    [
        (TryLater("502"), "pending", False),
        (Ambiguous("connection reset"), "ambiguous", True),
        (OverBudget("no room", timedelta(seconds=1)), "pending", False),
        (ZeroDivisionError("a bug"), "pending", False),
    ],
)
def test_what_could_not_be_delivered_waits_and_is_tried_again(store, error, state, looks_first):
    lanes = Lanes(store, PAGE)
    lanes.fails(error)
    lanes.work.run_once()

    assert lanes.states()[0] == state
    lanes.work.run_once()
    assert [one.id for one in lanes.tried].count(lanes.tried[0].id) == 1
    lanes.does = lambda effect: None
    for _ in range(20):
        lanes.passes(seconds=2)
    assert lanes.states()[0] == "done"
    page = [one for one in lanes.tried if one.id == lanes.tried[0].id]
    assert [one.is_ambiguous for one in page] == [False, looks_first]
    assert page[1].number == (1 if isinstance(error, OverBudget) else 2)


@pytest.mark.parametrize(("error", "tries"), [(TryLater("502"), 2), (Ambiguous("the read timed out"), 1)])
def test_where_a_message_whose_answer_was_lost_is_nobody_looks_for_some_seconds(store, error, tries):
    lanes = Lanes(store, SetTopic(7))
    lanes.fails(error)
    lanes.work.run_once()
    lanes.passes(seconds=4.9)
    assert len(lanes.tried) == tries

    lanes.passes(seconds=1.2)
    assert len(lanes.tried) >= 2


TOPICS = "the budget of conversations.setTopic is used up"


class Budgeted(Lanes):
    """Chat whose budgets are the test's, and a steady clock that moves when told."""

    def __init__(self, store: Store, *effects: Effect) -> None:
        super().__init__(store, *effects)
        self.steady, self.asked = 0.0, list[Effect]()
        self.work = Deliveries(
            lanes=[Lane.CHAT], deliver=self._budgeted, store=store, door=self.door, leases=leases(store, lambda: self.steady)
        )
        self.over: Callable[[Effect], OverBudget | None] = lambda effect: None

    def _budgeted(self, effect: Effect, attempt: Attempt) -> None:
        self.tried.append(attempt)
        self.asked.append(effect)
        if (error := self.over(effect)) is not None:
            raise error

    def adds(self, *effects: Effect) -> None:
        with self.store.writing() as work:
            work.save(Decision(effects=effects), NOON)

    def runs(self) -> list[int]:
        """The incidents whose effects are tried until there is nothing to try."""
        before = len(self.asked)
        while self.work.run_once():
            pass
        return [one.incident for one in self.asked[before:]]


def over(reason: str, seconds: float = 2.0, *, is_alike: bool = True) -> OverBudget:
    return OverBudget(reason, timedelta(seconds=seconds), is_alike=is_alike)


def test_what_was_put_back_is_left_while_its_budget_is_used_up_and_what_is_new_has_its_try(store):
    lanes = Budgeted(store, *(SetTopic(incident=number) for number in (1, 2, 3)))
    lanes.over = lambda effect: over(TOPICS)
    assert lanes.runs() == [1, 2, 3]

    lanes.now += timedelta(seconds=10)
    assert lanes.runs() == [], "each of them would be told the same"
    lanes.over = lambda effect: None
    lanes.adds(SetTopic(incident=4))
    assert lanes.runs() == [4]
    lanes.steady = 2.1
    assert lanes.runs() == [1, 2, 3]
    assert {attempt.number for attempt in lanes.tried} == {1}


def test_a_new_card_does_not_wait_for_the_updates_of_older_ones(store):
    """It is posted; they are updated, and of that method nothing is left."""
    lanes = Budgeted(store, *(ShowSummary(incident=number) for number in range(1, 21)))
    lanes.over = lambda effect: over("the budget of chat.update is used up") if effect.incident < 50 else None
    lanes.runs()
    lanes.adds(ShowSummary(incident=50))

    assert lanes.runs() == [50]


def test_what_another_budget_put_back_goes_on(store):
    lanes = Budgeted(store, SetTopic(incident=1), Say(2, Topic.OPENED, {}))
    lanes.over = lambda effect: over(TOPICS, 8) if isinstance(effect, SetTopic) else over("chat.postMessage in C1", 1)
    lanes.runs()
    lanes.now, lanes.steady = NOON + timedelta(seconds=10), 1.1

    assert lanes.runs() == [2]


def test_one_after_another_is_tried_when_there_is_room_again_not_all_of_them(store):
    lanes = Budgeted(store, *(SetTopic(incident=number) for number in range(1, 9)))
    room = [0]

    def has_room(effect: Effect) -> OverBudget | None:
        room[0] -= 1
        return over(TOPICS) if room[0] < 0 else None

    lanes.over = has_room
    lanes.runs()
    tried = []
    for _ in range(8):
        lanes.now, lanes.steady, room[0] = lanes.now + timedelta(seconds=3), lanes.steady + 3, 1
        tried.append(lanes.runs())

    assert tried == [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7], [7, 8], [8]]


def test_a_budget_that_speaks_for_nobody_else_holds_up_nobody_else(store):
    lanes = Budgeted(store, SetTopic(incident=1), SetTopic(incident=2))
    lanes.over = lambda effect: over("not this second", 60, is_alike=False)
    lanes.runs()
    lanes.now += timedelta(seconds=61)

    assert lanes.runs() == [1, 2]


def test_a_long_wait_is_looked_at_again_after_a_moment(store):
    lanes = Budgeted(store, SetTopic(incident=1), SetTopic(incident=2))
    lanes.over = lambda effect: over("conversations.setTopic is limited", 600 if effect.incident == 1 else 1)
    lanes.runs()
    lanes.now += timedelta(seconds=2)
    lanes.steady = REST_SECONDS + 0.1

    assert lanes.runs() == [2]


def test_a_lost_answer_stays_lost_until_somebody_looked(store):
    lanes = Lanes(store, PAGE)
    lanes.fails(Ambiguous("reset"))
    lanes.work.run_once()
    lanes.fails(TryLater("looking failed: 503"))
    lanes.passes(seconds=60)

    assert lanes.states()[0] == "ambiguous"


def test_what_is_given_up_is_parked_and_its_incident_never_calls_it_a_page(store):
    lanes = Lanes(store, PAGE)
    lanes.fails(GaveUp("PagerDuty says: invalid key", "check PAGERDUTY_KEYS"))
    lanes.work.run_once()

    assert lanes.states()[0] == "dead"
    assert "page_failed" in lanes.types()
    assert "page_accepted" not in lanes.types()
    assert store.outbox_depth()["dead"] == 1


def test_a_bug_is_parked_after_some_tries_and_its_lane_moves_on(store):
    lanes = Lanes(store, ShowSummary(7), RaiseAlarm(7, "next"))

    def buggy(effect: Effect) -> None:
        if isinstance(effect, ShowSummary):
            raise ZeroDivisionError("a bug")

    lanes.does = buggy
    for _ in range(BUGGY - 1):
        lanes.passes(minutes=3)
    assert "dead" not in lanes.states()
    for _ in range(9):
        lanes.passes(minutes=3)

    assert lanes.states() == ["dead"]
    assert any("ShowSummary" in text and "ZeroDivisionError" in text for text in lanes.alarms())
    assert store.outbox_depth() == {"dead": 1}


def test_one_bug_after_a_long_outage_gives_no_page_up(store):
    lanes = Lanes(store, PAGE)

    def down(effect: Effect) -> None:
        if isinstance(effect, PageOnCall):
            raise TryLater("PagerDuty is down")

    def buggy(effect: Effect) -> None:
        if isinstance(effect, PageOnCall):
            raise ZeroDivisionError("a bug")

    lanes.does = down
    for _ in range(3 * BUGGY):
        lanes.passes(minutes=3)
    lanes.does = buggy
    lanes.passes(minutes=3)
    assert lanes.states()[0] == "pending"

    lanes.does = lambda effect: ACCEPTED if isinstance(effect, PageOnCall) else None
    lanes.passes(minutes=3)
    assert lanes.states()[0] == "done"


def test_a_conflict_while_delivering_is_no_bug(store):
    lanes = Lanes(store, PAGE)

    def contested(effect: Effect) -> None:
        if isinstance(effect, PageOnCall):
            raise Conflict("somebody else writes there")

    lanes.does = contested
    for _ in range(2 * BUGGY):
        lanes.passes(minutes=3)
    assert lanes.states()[0] == "pending"


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), Conflict("somebody else writes there")], ids=["bug", "conflict"])
@pytest.mark.parametrize("called", [True, False])
def test_whoever_tries_next_looks_first_where_a_neighbour_was_asked_before_it_went_wrong(store, called, error):
    lanes = Lanes(store, ShowSummary(7))
    made = leases(store)
    lanes.work = Deliveries(lanes=[Lane.CHAT], deliver=lanes._deliver, store=store, door=lanes.door, leases=made)

    def goes_wrong(effect: Effect) -> None:
        if called:
            made.check()
        raise error

    lanes.does = goes_wrong
    lanes.work.run_once()
    lanes.passes(minutes=3)

    assert [one.is_ambiguous for one in lanes.tried] == [False, called]


def dies_without_a_word(lanes: Lanes, lane: Lane, times: int) -> None:
    for number in range(times):
        assert len(lanes.store.claim([lane], f"process {number}", lanes.now)) == 1
        lanes.lease_runs_out()


def test_what_ends_the_process_each_time_is_parked_and_its_lane_moves_on(store):
    lanes = Lanes(store, ShowSummary(7), SetTopic(7))
    dies_without_a_word(lanes, Lane.CHAT, DEADLY)

    for _ in range(3):
        lanes.passes(minutes=3)
    assert lanes.states() == ["dead", "done"]
    [parked] = store.effects(("dead",), 9)
    assert parked.reason == f"{DEADLY} times in a row whoever had it in hand ended, or stood still, without a word"
    assert any("ShowSummary" in text for text in lanes.alarms())


@pytest.mark.parametrize("lane", [Lane.CHAT, Lane.PAGER])
def test_while_nothing_can_be_written_down_nobody_dies(store, lane):
    """Whoever claims its own again lives: each lease ran out because the database was away."""
    lanes = Lanes(store, ShowSummary(7), PAGE)
    away = Deliveries(lanes=[lane], deliver=lanes._deliver, store=store, door=lanes.door, leases=leases(store))

    def gone(effect: Effect) -> None:
        raise DatabaseDown("gone")

    lanes.does = gone
    for _ in range(2 * DEADLY):
        away.run_once()
        lanes.lease_runs_out()
    lanes.does = lambda effect: ACCEPTED if isinstance(effect, PageOnCall) else None
    lanes.work.run_once()
    lanes.work.run_once()

    assert lanes.states()[:2] == ["done", "done"]


def test_what_ended_the_process_once_less_is_tried_again(store):
    lanes = Lanes(store, ShowSummary(7))
    dies_without_a_word(lanes, Lane.CHAT, DEADLY - 1)

    lanes.work.run_once()
    assert lanes.states() == ["done"]


def test_a_page_is_sent_however_often_the_process_ended_meanwhile(store):
    lanes = Lanes(store, PAGE)
    lanes.does = lambda effect: ACCEPTED if isinstance(effect, PageOnCall) else None
    dies_without_a_word(lanes, Lane.PAGER, 2 * DEADLY)

    lanes.work.run_once()
    assert lanes.states()[0] == "done"


def test_a_neighbour_that_fails_holds_up_its_own_lane_only(store):
    lanes = Lanes(store, PAGE, ShowSummary(7))

    def down(effect: Effect) -> None:
        if isinstance(effect, PageOnCall):
            raise TryLater("PagerDuty is down")

    lanes.does = down
    for _ in range(6):
        lanes.work.run_once()
    assert lanes.states()[:2] == ["pending", "done"]


@pytest.mark.parametrize("ends", ["well", "later", "given up", "over budget", "in a bug"])
def test_a_claim_that_was_overtaken_changes_nothing(store, ends):
    lanes = Lanes(store, PAGE)
    second = Deliveries(
        lanes=[Lane.PAGER], deliver=lambda effect, attempt: ACCEPTED, store=store, door=lanes.door, leases=leases(store)
    )
    errors = {
        "later": TryLater("502"),
        "given up": GaveUp("no"),
        "in a bug": KeyError("x"),
        "over budget": OverBudget("x", timedelta(1)),
    }

    def overtaken(effect: Effect) -> Any:
        lanes.lease_runs_out()
        assert second.run_once() == 1
        if ends in errors:
            raise errors[ends]
        return ACCEPTED

    lanes.does = overtaken
    lanes.work.run_once()

    assert lanes.states()[0] == "done"
    assert lanes.types().count("page_accepted") == 1
    assert "page_failed" not in lanes.types()
    assert store.outbox_depth().get("dead", 0) == 0


def test_an_effect_whose_worker_vanished_is_looked_for_before_it_is_sent_again(store):
    lanes = Lanes(store, PAGE)
    [vanished] = store.claim([Lane.PAGER], "vanished", NOON, limit=1)
    assert lanes.passes(seconds=30) == 0

    lanes.lease_runs_out()
    lanes.work.run_once()

    assert (lanes.tried[0].id, lanes.tried[0].number, lanes.tried[0].is_ambiguous) == (vanished.id, 2, True)


def test_what_a_person_has_to_mend_is_an_alarm_once_an_hour_and_said_in_health(store):
    lanes = Lanes(store, ShowSummary(7))

    def refused(effect: Effect) -> None:
        if isinstance(effect, ShowSummary):
            raise TryLater("Slack says token_revoked", mend="set SLACK_BOT_TOKEN anew")

    lanes.does = refused
    for _ in range(60):
        lanes.passes(minutes=1)
    assert len([text for text in lanes.alarms() if "token_revoked" in text]) in (1, 2)
    assert lanes.work.trouble() == "Slack says token_revoked: set SLACK_BOT_TOKEN anew"

    lanes.does = lambda effect: None
    for _ in range(10):
        lanes.passes(minutes=1)
    assert lanes.work.trouble() == ""
    assert "dead" not in lanes.states()


def test_what_waits_for_a_person_over_a_weekend_is_not_given_up_and_goes_out_afterwards(store):
    lanes = Lanes(store, ShowSummary(7))

    def refused(effect: Effect) -> None:
        raise TryLater("Slack says token_revoked", mend="set SLACK_BOT_TOKEN anew")

    lanes.does = refused
    for _ in range(60):
        lanes.passes(hours=1)
    assert set(lanes.states()) == {"pending"}

    lanes.fails(TryLater("Slack answers 503"))
    for _ in range(3):
        lanes.passes(minutes=5)
    assert set(lanes.states()) == {"pending"}
    lanes.does = lambda effect: None
    for _ in range(5):
        lanes.passes(minutes=5)
    assert lanes.states() == ["done"]


def test_a_lost_answer_is_looked_for_from_its_first_try_however_long_a_person_takes(store):
    lanes = Lanes(store, PAGE)
    lanes.fails(Ambiguous("reset"))
    lanes.work.run_once()
    lanes.fails(TryLater("401", mend="set the key anew"))
    for _ in range(60):
        lanes.passes(hours=1)

    pages = [one for one in lanes.tried if one.id == lanes.tried[0].id]
    assert {one.first_tried_at for one in pages} == {NOON}
    assert lanes.states()[0] == "ambiguous"


def test_a_result_that_the_rules_refuse_still_settles_the_effect(store):
    lanes = Lanes(store, PAGE)

    class Strict(Door):
        def handle(self, *_: Any, **__: Any) -> Any:
            raise Refused("no such thing")

    work = Deliveries(
        lanes=[Lane.PAGER], deliver=lambda effect, attempt: ACCEPTED, store=store,
        door=Strict(store, lambda: NOON, lambda: POLICY, lambda: ()), leases=leases(store),
    )  # fmt: skip
    work.run_once()

    assert lanes.states()[0] == "done"


def test_no_exception_ends_a_worker_s_thread():
    seen, stop = list[int](), threading.Event()

    def work() -> int:
        seen.append(1)
        if len(seen) >= 5:
            stop.set()
        raise [ZeroDivisionError(), RecursionError(), MemoryError(), AssertionError(), UnicodeError()][len(seen) % 5]

    thread = Steady("test", work, lambda seconds: None)
    thread.start()
    assert stop.wait(10)
    thread.stop()
    thread.join()


@pytest.mark.parametrize("kind", ["GoneEffect", "PageOnCall"])
def test_an_effect_that_cannot_be_read_is_parked_with_an_alarm_and_its_neighbours_go_on(store, kind):
    lanes = Lanes(store, PAGE, ShowSummary(7))
    with store.writing() as work:
        rows = outbox_rows.outbox
        odd = {"kind": kind, "incident": 7, "dedup_key": KEY}
        work.connection.execute(rows.update().where(rows.c.kind == "PageOnCall").values(payload=odd, kind=kind))

    for _ in range(9):
        lanes.work.run_once()

    assert lanes.states()[:2] == ["dead", "done"]
    assert lanes.tried[0].number == 1
    assert any("INC-7" in text for text in lanes.alarms())
    [found] = store.effects(("dead",), 9)
    assert (found.kind, found.payload["dedup_key"]) == (kind, KEY)
    assert f"bot outbox retry {found.number}" in found.reason
    assert ("effect_parked" in lanes.types()) == (kind == "GoneEffect")
    assert ("page_failed" in lanes.types()) == (kind == "PageOnCall")


def test_a_parked_effect_of_a_newer_version_is_sent_once_that_version_runs(store):
    lanes = Lanes(store, ShowSummary(7))
    rows = outbox_rows.outbox
    for kind in ("Newer", "ShowSummary"):
        with store.writing() as work:
            work.connection.execute(rows.update().where(rows.c.seq == 1).values(payload={"kind": kind, "incident": 7}))
        lanes.passes(seconds=1)
        lanes.passes(seconds=1)
        if kind == "Newer":
            assert lanes.states() == ["dead"]
    store.send_again(1, "ana", lanes.now)
    lanes.passes(seconds=1)

    assert lanes.states()[0] == "done"


ACKNOWLEDGE = AcknowledgePage(incident=7, dedup_key=KEY, pager="default", by="UANA")
NEXT_LEVEL = PageNextLevel(incident=7, dedup_key=KEY, level=2)


def delays_of(lanes: Lanes) -> list[int]:
    """At which tries a delay was told."""
    return [one.fields["attempt"] for one in lanes.store.timeline("INC-7") if "attempt" in one.fields]


@pytest.mark.parametrize(
    ("effect", "told"), [(PAGE, [1, 3, 20, 40]), (ACKNOWLEDGE, [3, 20, 40]), (NEXT_LEVEL, [3, 20, 40])],
    ids=["page", "acknowledgement", "level"],
)  # fmt: skip
def test_what_pagerduty_does_not_take_is_told_now_and_then(store, effect, told):
    lanes = Lanes(store, effect)

    def down(tried: Effect) -> None:
        if tried == effect:
            raise TryLater("503")

    lanes.does = down
    for _ in range(170):
        lanes.passes(seconds=30)

    assert delays_of(lanes)[: len(told)] == told


@pytest.mark.parametrize(
    ("effect", "lost", "told"), [(PAGE, 1, 2), (PAGE, 3, 4), (ACKNOWLEDGE, 3, 4), (NEXT_LEVEL, 3, 4), (ACKNOWLEDGE, 1, 3)]
)
def test_a_delay_is_told_at_the_next_failure_where_its_try_ended_with_its_worker(store, effect, lost, told):
    lanes = Lanes(store, effect)
    lanes.fails(TryLater("503"))
    for number in range(1, told + 1):
        lanes.now += timedelta(minutes=1)
        if number == lost:
            [claimed] = store.claim([Lane.PAGER], "vanished", lanes.now, limit=1)
            assert claimed.attempt.number == lost
            lanes.lease_runs_out()
        else:
            with store.writing() as work:
                rows = outbox_rows.outbox
                work.connection.execute(rows.update().where(rows.c.lane_kind == "chat").values(state="done"))
            assert lanes.work.run_once() == 1

    assert delays_of(lanes)[-1] == told
    assert lost not in delays_of(lanes)


class Spoilt(Door):
    """A door with a bug in what it decides about some inputs."""

    def handle(self, input: Any, **more: Any) -> Any:
        if type(input).__name__ in ("PageAccepted", "PageDelayed", "PageRefused"):
            raise ZeroDivisionError("a bug in decide")
        return super().handle(input, **more)


class Contested(Door):
    """A door at which what comes of a page always comes into conflict with somebody else."""

    def handle(self, input: Any, **more: Any) -> Any:
        if type(input).__name__ in ("PageAccepted", "PageRefused"):
            raise Conflict("INC-7 changed meanwhile")
        return super().handle(input, **more)


def spoilt(store: Store, kind: type[Door] = Spoilt) -> Lanes:
    lanes = Lanes(store, PAGE)
    door = kind(store, lambda: lanes.now, lambda: POLICY, lambda: ())
    lanes.work = Deliveries(lanes=list(Lane), deliver=lanes._deliver, store=store, door=door, leases=leases(store))
    return lanes


def test_a_bug_in_handling_a_result_is_counted_and_parked_with_an_alarm(store):
    lanes = spoilt(store)
    lanes.does = lambda effect: ACCEPTED if isinstance(effect, PageOnCall) else None

    for _ in range(BUGGY + 3):
        lanes.passes(minutes=2)

    [dead] = store.effects(("dead",), 9)
    pages = [one for one in lanes.tried if one.id == lanes.tried[0].id]
    assert lanes.states()[0] == "dead"
    assert len(pages) == BUGGY
    assert "ZeroDivisionError" in dead.reason
    assert any("INC-7" in text and "ZeroDivisionError" in text for text in lanes.alarms())
    assert [one.is_ambiguous for one in pages[1:]] == [True] * (BUGGY - 1)


def test_a_result_that_always_comes_into_conflict_is_parked_with_an_alarm(store):
    lanes = spoilt(store, Contested)
    lanes.does = lambda effect: ACCEPTED if isinstance(effect, PageOnCall) else None

    for _ in range(BUGGY + 3):
        lanes.lease_runs_out()
        lanes.passes(minutes=2)

    [dead] = store.effects(("dead",), 9)
    assert lanes.states()[0] == "dead"
    assert len([one for one in lanes.tried if one.id == lanes.tried[0].id]) == BUGGY
    assert "INC-7 changed meanwhile" in dead.reason
    assert any("INC-7" in text and "Conflict" in text for text in lanes.alarms())


@pytest.mark.parametrize(("error", "state"), [(TryLater("502"), "pending"), (GaveUp("no"), "dead")])
def test_a_bug_in_telling_of_a_failure_neither_ends_nor_hides_the_effect(store, error, state):
    lanes = spoilt(store)

    def fails(effect: Effect) -> None:
        if isinstance(effect, PageOnCall):
            raise error

    lanes.does = fails
    lanes.work.run_once()

    assert lanes.states() == [state]
    assert any("INC-7" in text and "ZeroDivisionError" in text for text in lanes.alarms())


# --- leases -----------------------------------------------------------------------------------


def held(store):
    """A page in hand, its leases, and a steady clock in a list."""
    lanes, clock = Lanes(store, PAGE), [0.0]
    made = leases(store, lambda: clock[0])
    [row] = store.claim([Lane.PAGER], "me", NOON, limit=1, lease=made.lease)
    return lanes, clock, made, row


def test_a_lease_that_is_renewed_goes_on_for_as_long_again(store):
    _lanes, clock, made, row = held(store)

    with made.held(row, 0.0):
        clock[0] = 9.0
        assert made.renew() == 1
        clock[0] = 15.0
        made.check()
        clock[0] = 19.0
        with pytest.raises(Overtaken):
            made.check()


def test_no_call_begins_as_a_lease_ends_it_is_made_longer_first(store):
    _lanes, clock, made, row = held(store)

    with made.held(row, 0.0):
        clock[0] = 9.9
        made.check()
        clock[0] = 19.8
        made.check()
        clock[0] = 29.8
        with pytest.raises(Overtaken):
            made.check()


def test_while_the_database_is_away_a_call_still_begins_where_the_lease_lasts(store):
    _lanes, clock, made, row = held(store)
    away = Leases(Store.at("sqlite:////nowhere/at/all.db"), made.lease, lambda: clock[0])

    with away.held(row, 0.0):
        clock[0] = 9.9
        away.check()
        clock[0] = 10.0
        with pytest.raises(Overtaken):
            away.check()


def test_a_worker_that_stood_still_for_longer_than_its_lease_makes_no_call(store):
    _lanes, clock, made, row = held(store)

    with made.held(row, 0.0):
        clock[0] = 10.0
        with pytest.raises(Overtaken, match="stood still"):
            made.check()
    made.check()


def test_what_another_worker_has_taken_over_is_not_renewed(store):
    lanes, clock, made, row = held(store)
    lanes.lease_runs_out()
    [successor] = store.claim([Lane.PAGER], "other", NOON, limit=1)

    with made.held(row, 0.0):
        assert made.renew() == 0
        clock[0] = 11.0
        with pytest.raises(Overtaken):
            made.check()
    assert successor.attempt.is_ambiguous


def test_a_thread_that_is_stuck_for_good_does_not_keep_its_lane_for_ever(store):
    _lanes, clock, made, row = held(store)

    with made.held(row, 0.0):
        clock[0] = LONGEST.total_seconds()
        assert made.renew() == 0


def test_an_effect_that_was_overtaken_before_its_call_is_left_to_whoever_has_it(store):
    lanes = Lanes(store, PAGE)
    lanes.fails(Overtaken("stood still"))
    lanes.work.run_once()

    assert lanes.states() == ["sending"]
    assert lanes.types() == []


# --- nothing can be written -------------------------------------------------------------------

READ_ONLY = {
    "sqlite": ("PRAGMA query_only=ON", "PRAGMA query_only=OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
}


@contextmanager
def only_read(store: Store) -> Iterator[None]:
    """A database that takes no change, as on a disk that is full."""
    on, off = READ_ONLY[store.engine.dialect.name]
    turned = [on]

    def turn(connection, *_given):
        with closing(connection.cursor()) as cursor:
            cursor.execute(turned[0])
        if store.engine.dialect.name == "postgresql":
            connection.commit()

    event.listen(store.engine, "checkout", turn)
    try:
        yield
    finally:
        turned[0] = off
        with store.reading():
            pass
        store.engine.dispose()
        event.remove(store.engine, "checkout", turn)


def test_a_page_goes_out_once_although_nothing_can_be_written_and_is_recorded_afterwards(store):
    lanes = Lanes(store, PAGE)
    lanes.does = lambda effect: ACCEPTED
    with only_read(store):
        for _ in range(3):
            with pytest.raises(DatabaseDown):
                lanes.passes(seconds=20)
        assert len(lanes.tried) == 1
        assert "page_accepted" not in lanes.types()

    lanes.passes(seconds=1)
    assert lanes.states()[0] == "done"
    assert lanes.types().count("page_accepted") == 1
    assert len(lanes.tried) == 1


def test_only_pages_go_out_while_nothing_can_be_written(store):
    lanes = Lanes(store, AcknowledgePage(incident=7, dedup_key=KEY, pager="default", by="U0ANA"), ShowSummary(7))
    with only_read(store), pytest.raises(DatabaseDown):
        lanes.work.run_once()

    assert lanes.tried == []


def test_a_page_that_is_not_taken_meanwhile_is_tried_now_and_then(store):
    lanes = Lanes(store, PAGE)
    lanes.fails(TryLater("503"))
    with only_read(store):
        for _ in range(30):
            with pytest.raises(DatabaseDown):
                lanes.passes(seconds=1)

    assert len(lanes.tried) == 3


def test_what_somebody_has_in_hand_is_not_sent_beside_them(store):
    lanes = Lanes(store, PAGE, ShowSummary(7))
    [row] = store.claim(list(Lane), "somebody else", NOON, limit=1)
    assert row.effect == PAGE
    with only_read(store), pytest.raises(DatabaseDown):
        lanes.work.run_once()

    assert lanes.tried == []


def test_a_page_for_what_is_over_by_then_is_left_to_the_record(store):
    lanes = Lanes(store, PAGE)
    lanes.does = lambda effect: PageDropped(7, KEY, "INC-7 was over before it could")
    with only_read(store), pytest.raises(DatabaseDown):
        lanes.work.run_once()
    lanes.passes(seconds=1)

    assert "page_dropped" in lanes.types()
    assert len(lanes.tried) == 2


@pytest.mark.parametrize("does", ["is taken", "is not taken"])
def test_a_page_that_was_in_hand_when_writing_ended_is_not_forgotten(store, does):
    lanes = Lanes(store, PAGE, ShowSummary(7))
    turning = only_read(store)

    def while_writing_ends(effect):
        turning.__enter__()
        if does == "is taken":
            return ACCEPTED
        raise TryLater("503")

    lanes.does = while_writing_ends
    lanes.work.run_once()
    lanes.does = lambda effect: ACCEPTED
    with pytest.raises(DatabaseDown):
        lanes.work.run_once()
    turning.__exit__(None, None, None)
    assert len(lanes.tried) == (1 if does == "is taken" else 2)

    lanes.lease_runs_out()
    lanes.passes(seconds=1)
    assert lanes.states()[0] == "done"
    assert len(lanes.tried) == (1 if does == "is taken" else 2)
    assert lanes.types().count("page_accepted") == 1
