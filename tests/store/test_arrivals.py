"""The writer of the inbox: whatever befalls it, everybody gets an answer, and the next delivery is taken."""

import threading

import pytest
from sqlalchemy import text

from bot.alerts.source import Delivery
from bot.store import DatabaseDown, Store
from bot.store.arrivals import InboxFull, InboxWriter
from bot.store.database import Checkpoints
from tests.builders import NOON
from tests.databases import sqlite


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_a_bug_whoever_waits_is_answered_and_what_comes_next_is_taken(store):
    bugs = [ZeroDivisionError("a bug")]

    def wake() -> None:
        if bugs:
            raise bugs.pop()

    writer = store.inbox_writer(wake)
    with pytest.raises(DatabaseDown, match="a bug"):
        writer.put("generic", Delivery(b"{}", {}, "main", NOON), "one").result(5)

    # It was saved before the bug: whoever sends it again hears that it is there.
    assert writer.put("generic", Delivery(b"{}", {}, "main", NOON), "one").result(5) is False
    assert writer.put("generic", Delivery(b"{}", {}, "main", NOON), "two").result(5) is True
    writer.close()
    assert store.inbox_depth() == {"new": 2}


def delivery(size: int = 2) -> Delivery:
    return Delivery(b"x" * size, {}, "main", NOON)


def test_a_connection_that_broke_while_nothing_came_costs_no_delivery(store):
    if store.engine.dialect.name == "sqlite":
        pytest.skip("an embedded database has no connection that could break")
    writer = store.inbox_writer(lambda: None)
    assert writer.put("generic", delivery(), "one").result(5) is True
    for _ in range(2):
        with store.engine.begin() as connection:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            assert connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}")).all()
        assert writer.put("generic", delivery(), "one").result(5) is False
    writer.close()
    assert store.inbox_depth() == {"new": 1}


def test_of_a_batch_only_what_was_not_there_is_new(store):
    gathered = threading.Event()
    writer = store.inbox_writer(lambda: gathered.wait(5) and None)
    first = writer.put("generic", delivery(), "b")
    heard: dict[str, list[object]] = {}
    for number, one in enumerate("abacbd"):
        writer.take("generic", delivery(), one, heard.setdefault(f"{one}{number}", []).append)
    gathered.set()
    assert first.result(5) is True
    assert writer.put("generic", delivery(), "e").result(5) is True
    writer.close()
    assert {name: told for name, [told] in heard.items()} == {
        "a0": True, "b1": False, "a2": False, "c3": True, "b4": False, "d5": True,
    }  # fmt: skip


@pytest.mark.parametrize("limits", [{"limit_rows": 2}, {"limit_bytes": 250}], ids=["rows", "bytes"])
def test_more_than_can_be_kept_is_refused_at_once_and_what_was_taken_is_kept(store, limits):
    gathered, begun = threading.Event(), threading.Event()
    writer = InboxWriter(store.engine, lambda: begun.set() or (gathered.wait(10) and None), **limits)
    first = writer.put("generic", delivery(100), "first")
    assert begun.wait(10)
    # The writer is at the first one: what comes now waits.
    waiting = [writer.put("generic", delivery(100), f"{number}") for number in range(2)]
    with pytest.raises(InboxFull, match="more is waiting than can be kept"):
        writer.put("generic", delivery(100), "one too many")
    gathered.set()
    assert first.result(10) is True
    assert [one.result(10) for one in waiting] == [True, True]

    # There is room again, for the one that was refused, too.
    assert writer.put("generic", delivery(100), "one too many").result(10) is True
    writer.close()
    assert store.inbox_depth() == {"new": 4}


def test_while_it_stops_nothing_more_is_taken(store):
    writer = store.inbox_writer(lambda: None)
    writer.close()
    with pytest.raises(InboxFull, match="stopping"):
        writer.put("generic", delivery(), "late")


def test_two_that_save_the_same_ones_in_another_order_never_wait_for_each_other(store):
    writers = [store.inbox_writer(lambda: None) for _ in range(2)]
    names = [f"{number}" for number in range(300)]
    answers = [
        [writer.put("generic", delivery(), name) for name in order]
        for writer, order in zip(writers, (names, names[::-1]), strict=True)
    ]
    told = [[one.result(10) for one in each] for each in answers]
    for writer in writers:
        writer.close()
    assert sum(map(sum, told)) == len(names)
    assert store.inbox_depth() == {"new": len(names)}


def test_sqlites_log_is_written_back_beside_the_commits_and_begins_anew(tmp_path):
    file = tmp_path / "test.db"
    store = Store.at(sqlite(file))
    checkpoints = Checkpoints(store.engine, 1_000_000)
    writer = store.inbox_writer(lambda: None)
    for number in range(400):
        assert writer.put("generic", delivery(100_000), str(number)).result(5) is True
        checkpoints.count(100_000)
    checkpoints.close()
    writer.close()
    log = file.with_name("test.db-wal").stat().st_size
    store.close()
    assert log < 16_000_000


def test_a_reader_that_stays_at_the_old_log_holds_up_nobody(tmp_path):
    store = Store.at(sqlite(tmp_path / "test.db"))
    checkpoints = Checkpoints(store.engine, 100_000)
    writer = store.inbox_writer(lambda: None)
    with store.engine.connect() as reader:
        assert reader.execute(text("SELECT count(*) FROM inbox")).scalar() == 0
        for number in range(60):
            assert writer.put("generic", delivery(100_000), str(number)).result(5) is True
            checkpoints.count(100_000)
        assert reader.execute(text("SELECT count(*) FROM inbox")).scalar() == 0
    checkpoints.close()
    writer.close()
    assert store.inbox_depth() == {"new": 60}
    store.close()
