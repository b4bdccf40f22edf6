"""Many who write at once: each has its turn, in order, and whoever finds nothing to do is in nobody's way."""

import sqlite3
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy.dialects import sqlite as sqlite_dialect

from bot.alerts.source import Delivery
from bot.incidents.decision import Decision
from bot.incidents.effects import InvitePeople, Lane, PageOnCall, ShowSummary
from bot.store import DatabaseDown, Store
from bot.store import outbox as outbox_rows
from bot.store.database import Turns, notify, writes_alone
from bot.store.store import LEASE
from bot.store.wakeups import Listener, Wakeup
from bot.worker.worker import HEAD_START_SECONDS, Wakeups
from tests.builders import NOON

PAGE = PageOnCall(incident=7, dedup_key="k", pager="default", summary="s", severity="critical", source="x")


def until(true) -> None:
    """Wait for what another thread is about to do."""
    end = threading.Event()
    for _ in range(2000):
        if true():
            return
        end.wait(0.005)
    raise AssertionError("it did not happen")


# --- the line of writers ----------------------------------------------------------------------


def test_whoever_came_first_writes_first():
    turns, order, threads = Turns(), [], []

    def write(name: int) -> None:
        with turns.turn(10):
            order.append(name)

    with turns.turn(1):
        for name in range(5):
            threads.append(threading.Thread(target=write, args=(name,)))
            threads[-1].start()
            until(lambda name=name: turns.waiting == name + 1)
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2, 3, 4]


def test_two_never_have_the_turn_at_once():
    turns, inside, most = Turns(), [], []

    def write() -> None:
        for _ in range(200):
            with turns.turn(10):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(most) == 800
    assert max(most) == 1


def test_a_turn_that_does_not_come_in_time_is_said_and_the_line_goes_on():
    turns = Turns()
    with turns.turn(1), pytest.raises(DatabaseDown, match="busy"), turns.turn(0.01):
        raise AssertionError("nobody gave it the turn")

    assert turns.waiting == 0
    with turns.turn(0.01):
        pass


def test_a_write_that_fails_gives_its_turn_back(store):
    with pytest.raises(RuntimeError), store.writing():
        raise RuntimeError

    with store.writing() as work:
        assert work.next_number() == 1


def test_a_writer_whom_another_process_keeps_out_is_told_so_and_the_next_one_writes(tmp_path):
    store = Store.at(f"sqlite:///{tmp_path / 'one.db'}")
    with sqlite3.connect(tmp_path / "one.db", isolation_level=None) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseDown, match="locked"), store.writing():
            raise AssertionError("two wrote at once")
        other.execute("ROLLBACK")

    with store.writing():
        pass
    store.close()
    other.close()


# --- looking before claiming ------------------------------------------------------------------


def test_whoever_finds_nothing_to_send_waits_for_no_writer(store):
    with store.writing():
        assert store.claim([Lane.PAGER], "me", NOON) == []


def test_what_is_due_is_found_and_claimed(store):
    with store.writing() as work:
        work.save(Decision(effects=(PAGE,)), NOON)

    assert store.claim([Lane.CHAT], "me", NOON) == []
    assert [row.effect for row in store.claim([Lane.PAGER], "me", NOON)] == [PAGE]


def test_what_is_new_is_due_by_any_clock(store):
    """Who decides and who pages may be two machines; and a clock may be set back in between."""
    with store.writing() as work:
        work.save(Decision(effects=(PAGE,)), NOON)

    assert [row.effect for row in store.claim([Lane.PAGER], "behind", NOON - timedelta(minutes=5))] == [PAGE]


def test_what_was_put_off_is_due_when_its_time_has_come(store):
    with store.writing() as work:
        work.save(Decision(effects=(PAGE,)), NOON)
    [row] = store.claim([Lane.PAGER], "me", NOON)
    with store.writing() as work:
        assert work.try_again(row, NOON + timedelta(seconds=2), "503")

    assert store.claim([Lane.PAGER], "me", NOON + timedelta(seconds=1)) == []
    assert len(store.claim([Lane.PAGER], "me", NOON + timedelta(seconds=2))) == 1


def test_what_was_put_off_by_a_clock_that_is_set_back_may_be_tried_at_once(store):
    with store.writing() as work:
        work.save(Decision(effects=(PAGE, ShowSummary(8))), NOON)
    [row] = store.claim([Lane.PAGER], "me", NOON)
    [done] = store.claim([Lane.CHAT], "me", NOON)
    with store.writing() as work:
        assert work.try_again(row, NOON + timedelta(seconds=2), "503")
        work.finish(done, NOON)
    earlier = NOON - timedelta(minutes=5)
    assert store.claim([Lane.PAGER], "me", earlier) == []

    assert store.try_at_once(earlier) == 1
    assert len(store.claim([Lane.PAGER], "me", earlier)) == 1


# --- leases, by a clock that jumps ------------------------------------------------------------


def claimed_until(store: Store, span: timedelta) -> int:
    """Have a page claimed by somebody whose lease ends `span` from now, by the database's clock; its number."""
    with store.writing() as work:
        work.save(Decision(effects=(PAGE,)), NOON)
    [row] = store.claim([Lane.PAGER], "the first", NOON)
    with store.writing() as work:
        until = outbox_rows.database_now(work.connection) + span
        work.connection.execute(outbox_rows.outbox.update().values(lease_until=until))
    return row.seq


def test_a_lease_that_ran_out_is_taken_over_but_not_by_the_process_that_works_on_it(store):
    number = claimed_until(store, timedelta(minutes=-5))

    assert store.claim([Lane.PAGER], "me", NOON, held=[4_711, number]) == []
    assert [(row.seq, row.lost) for row in store.claim([Lane.PAGER], "me", NOON, held=[4_711])] == [(number, 1)]


def test_more_than_are_asked_for_at_once_may_be_held(store):
    number = claimed_until(store, timedelta(minutes=-5))
    others = range(number + 1, number + 2 * outbox_rows.HELD_AT_ONCE)

    assert store.claim([Lane.PAGER], "me", NOON, held=[*others, number]) == []
    assert len(store.claim([Lane.PAGER], "me", NOON, held=others)) == 1


def test_on_sqlite_a_lease_of_a_clock_that_was_set_back_holds_nobody_up(store):
    """Whoever died had made it before. On PostgreSQL somebody else may have it still, and makes it longer."""
    number = claimed_until(store, timedelta(minutes=5))

    found = store.claim([Lane.PAGER], "the next", NOON)
    assert [row.seq for row in found] == ([number] if writes_alone(store.engine) else [])


def test_tries_without_a_word_are_counted_until_there_is_one(store):
    claimed_until(store, timedelta(minutes=-5))
    for lost in range(3):
        [row] = store.claim([Lane.PAGER], f"process {lost}", NOON)
        assert (row.lost, row.was_lost, row.attempt.is_ambiguous) == (lost + 1, True, True)
        with store.writing() as work:
            earlier = outbox_rows.database_now(work.connection) - timedelta(minutes=5)
            work.connection.execute(outbox_rows.outbox.update().values(lease_until=earlier))
    [row] = store.claim([Lane.PAGER], "process 2", NOON)
    assert (row.lost, row.was_lost) == (3, True), "whoever has it again lives"
    with store.writing() as work:
        assert work.try_again(row, NOON, "503", is_ambiguous=True)

    [row] = store.claim([Lane.PAGER], "process 3", NOON)
    assert (row.lost, row.was_lost) == (0, False)


def test_what_is_sent_again_by_hand_is_looked_for_from_its_first_try_on(store):
    with store.writing() as work:
        work.save(Decision(effects=(PAGE,)), NOON)
    [row] = store.claim([Lane.PAGER], "me", NOON)
    with store.writing() as work:
        assert work.park(row, NOON, "its answer was lost")
    store.send_again(row.seq, "ana", NOON + timedelta(hours=2))

    [again] = store.claim([Lane.PAGER], "me", NOON + timedelta(hours=2))
    with store.writing() as work:
        assert work.not_tried(again, NOON + timedelta(hours=2), "the budget is used up")
    [again] = store.claim([Lane.PAGER], "me", NOON + timedelta(hours=2))
    assert (again.attempt.is_ambiguous, again.attempt.first_tried_at) == (True, NOON)


def test_on_sqlite_the_head_of_a_lane_is_found_by_the_index_however_many_wait(tmp_path):
    """With bound parameters SQLite cannot see that the partial index fits, and reads every waiting row for each."""
    store = Store.at(f"sqlite:///{tmp_path / 'one.db'}")
    tables_of(store)
    query = outbox_rows.DUE.params(kinds=[Lane.CHAT], now=NOON, but=["a reason"], held=[1, 2], twice="+20 seconds").compile(
        dialect=sqlite_dialect.dialect(), compile_kwargs={"render_postcompile": True}
    )
    with store.reading() as work:
        explained = work.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", tuple(range(len(query.positiontup))))
        plan = [row[3] for row in explained]
    store.close()

    assert any("earlier USING INDEX outbox_unfinished" in step for step in plan), plan


def tables_of(store: Store) -> None:
    outbox_rows.outbox.metadata.create_all(store.engine)


# --- what waits, and is claimed just now ------------------------------------------------------


def test_a_card_that_somebody_is_claiming_does_not_count_as_waiting(store):
    card = ShowSummary(incident=7)
    with store.writing() as work:
        work.save(Decision(effects=(card,)), NOON)

    def save() -> None:
        with store.writing() as work:
            work.save(Decision(effects=(card,)), NOON)

    thread = threading.Thread(target=save)
    with store.writing() as work:
        assert len(outbox_rows.claim(work.connection, outbox_rows.Asked([card.lane], NOON, LEASE), "me", 1)) == 1
        thread.start()
        # As long as the claim is not committed, nobody can tell whether it comes before or after.
        thread.join(timeout=0.3)
        assert thread.is_alive()
    thread.join()

    assert store.outbox_depth() == {"sending": 1, "pending": 1}


# --- waking -----------------------------------------------------------------------------------


def test_a_wake_that_nobody_waits_for_is_kept_for_as_many_as_there_are():
    wakeup = Wakeup(2)
    for _ in range(5):
        wakeup.wake()

    waited = [timed_out(wakeup) for _ in range(3)]

    assert waited == [False, False, True]


def test_a_wake_with_a_head_start_for_others_comes_late_and_is_not_lost():
    wakeup = Wakeup()
    began = time.monotonic()
    wakeup.wake(after_seconds=0.15)
    wakeup.wait(5.0)

    assert time.monotonic() - began >= 0.15
    assert wakeup.kept == 0


def test_a_wake_that_is_due_at_once_goes_before_one_that_waits():
    wakeup = Wakeup()
    wakeup.wake(after_seconds=60.0)
    wakeup.wake()

    assert not timed_out(wakeup)


def test_chat_leaves_the_page_a_head_start_and_without_a_page_it_does_not():
    wakeups = Wakeups()
    wakeups.effects_saved((InvitePeople(incident=7),))
    assert not timed_out(wakeups.lanes[Lane.CHAT])

    began = time.monotonic()
    wakeups.effects_saved((PAGE, InvitePeople(incident=7)))
    wakeups.lanes[Lane.PAGER].wait(5.0)
    assert not wakeups.lanes[Lane.PAGER].kept
    wakeups.lanes[Lane.CHAT].wait(5.0)

    assert time.monotonic() - began >= HEAD_START_SECONDS


def timed_out(wakeup: Wakeup) -> bool:
    """Whether a wait ended by itself."""
    woken = threading.Event()

    def wait() -> None:
        wakeup.wait(0.5)
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    return not woken.wait(0.2)


def test_through_the_database_others_are_woken_and_not_the_one_who_wrote(postgresql):
    ours, theirs = Store.at(postgresql), Store.at(postgresql)
    inbox, marker = Wakeup(), Wakeup()
    heard: list[list[str]] = []

    def told(parts: Collection[str]) -> None:
        heard.append(list(parts))
        inbox.wake_all()

    listener = Listener(ours.engine, {"firstfive_inbox": told, "firstfive_outbox": lambda parts: marker.wake_all()})
    listener.start()

    def said(store: Store, channel: str) -> None:
        with store.writing() as work:
            notify(work.connection, channel, ("others", "pagerduty"))

    until(lambda: (said(theirs, "firstfive_inbox"), inbox.kept)[1])
    # Words come in the order of the commits: what was said before a mark is here when the mark is.
    for speaker, woken in ((theirs, 1), (ours, 0)):
        for one in (inbox, marker):
            while one.kept:
                one.wait(0.1)
        said(speaker, "firstfive_inbox")
        said(theirs, "firstfive_outbox")
        until(lambda: marker.kept)
        assert inbox.kept == woken
    assert heard[-1] == ["others", "pagerduty"]

    listener.stop()
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("channel", "parts", "woken"),
    [
        ("firstfive_inbox", (), {"inbox", "news"}),
        ("firstfive_inbox", ("others",), {"inbox"}),
        ("firstfive_inbox", ("pagerduty",), {"news"}),
        ("firstfive_inbox", ("others", "pagerduty"), {"inbox", "news"}),
        ("firstfive_outbox", (), {"pager", "chat", "document"}),
        ("firstfive_outbox", ("chat",), {"chat"}),
        ("firstfive_outbox", ("chat", "pager"), {"chat", "pager"}),
        ("firstfive_outbox", ("document", "of a later version"), {"document"}),
    ],
)
def test_what_another_process_has_for_some_wakes_only_those(channel, parts, woken):
    wakeups = Wakeups()

    wakeups.channels()[channel](parts)

    known = {"inbox": wakeups.inbox, "news": wakeups.news} | {lane.value: one for lane, one in wakeups.lanes.items()}
    assert {name for name, one in known.items() if one.kept} == woken


def test_a_page_of_another_process_has_its_head_start_here_too():
    wakeups = Wakeups()
    began = time.monotonic()

    wakeups.channels()["firstfive_outbox"](("chat", "pager"))
    wakeups.lanes[Lane.PAGER].wait(5.0)
    wakeups.lanes[Lane.CHAT].wait(5.0)

    assert time.monotonic() - began >= HEAD_START_SECONDS


def test_deliveries_are_told_of_by_who_reads_them(store):
    if store.engine.dialect.name == "sqlite":
        pytest.skip("processes that share SQLite have no way to tell each other")
    ours, theirs = store, Store.at(store.engine.url.render_as_string(hide_password=False))
    heard: list[list[str]] = []
    listener = Listener(ours.engine, {"firstfive_inbox": lambda parts: heard.append(list(parts))})
    listener.start()
    writer = theirs.inbox_writer(lambda: None, {"pagerduty": lambda: None})

    def sent(source: str, identity: str) -> list[str]:
        heard.clear()
        writer.put(source, Delivery(b"{}", {}, "main", datetime.now(UTC)), identity).result(10)
        return heard[0] if heard else []

    until(lambda: (sent("pagerduty", uuid4().hex), heard)[1])
    for source, parts in (("pagerduty", ["pagerduty"]), ("generic", ["others"])):
        sent(source, uuid4().hex)
        until(lambda: heard)
        assert heard[0] == parts

    listener.stop()
    writer.close()
    theirs.close()


@pytest.mark.parametrize(
    ("effects", "woken"),
    [
        ((PAGE,), {Lane.PAGER: 1, Lane.CHAT: 0, Lane.DOCUMENT: 0}),
        ((PAGE, InvitePeople(incident=7)), {Lane.PAGER: 1, Lane.CHAT: 1, Lane.DOCUMENT: 0}),
        ((InvitePeople(incident=7), InvitePeople(incident=7)), {Lane.PAGER: 0, Lane.CHAT: 1, Lane.DOCUMENT: 0}),
        ((InvitePeople(incident=7), InvitePeople(incident=8)), {Lane.PAGER: 0, Lane.CHAT: 2, Lane.DOCUMENT: 0}),
    ],
    ids=["a page", "a page and an invitation", "two in one lane", "two incidents"],
)
def test_as_many_threads_wake_as_lanes_got_longer(effects, woken):
    wakeups = Wakeups()

    wakeups.effects_saved(effects)

    assert {lane: wakeup.kept for lane, wakeup in wakeups.lanes.items()} == woken
