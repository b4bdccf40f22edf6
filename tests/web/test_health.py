"""What the health page and the metrics say while nobody does the work, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import event

from bot.alerts.source import Delivery
from bot.incidents.decision import Timer
from bot.incidents.inputs import DigestDue
from bot.store import Store
from bot.web.health import Health
from bot.web.measures import Measures
from tests.builders import NOON, after


@pytest.fixture
def quiet(store) -> Store:
    """A record in which a delivery came in at noon, and a timer is due a minute later."""
    writer = store.inbox_writer(lambda: None)
    writer.put("generic", Delivery(b"{}", {}, "main", NOON), "1").result(10)
    writer.close()
    with store.writing() as work:
        work.set_timers([Timer("digest", after(1), DigestDue("2026-W24"))])
    return store


def warned(store: Store, **later: float) -> list[str]:
    return Health(store, lambda: NOON + timedelta(**later), lambda: "").warnings()


def test_while_nobody_reads_the_inbox_or_the_clock_a_warning_says_so(quiet):
    assert warned(quiet, seconds=29) == []

    assert warned(quiet, seconds=31) == ["a delivery has waited for 31 s and is not read; is a worker running?"]
    assert warned(quiet, seconds=91) == [
        "a delivery has waited for 91 s and is not read; is a worker running?",
        "a timer has been due for 31 s; is a worker running?",
    ]


def test_what_was_read_or_put_aside_is_no_reason_to_warn(quiet):
    [received] = quiet.claim_deliveries()
    with quiet.writing() as work:
        work.park_delivery(received.id, "not JSON")
        work.timer_done("digest", after(1))

    assert warned(quiet, hours=9) == []


def only_reads(store: Store) -> None:
    """From here on, this database can be read only, as on a disk that is full or mounted so, or beside a failed primary."""
    if store.engine.dialect.name == "sqlite":
        event.listen(store.engine, "connect", lambda connection, record: connection.execute("PRAGMA query_only=ON"))
    else:
        event.listen(store.engine, "connect", lambda connection, record: connection.execute(READ_ONLY).connection.commit())
    store.engine.dispose()


READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


def test_a_database_that_can_only_be_read_makes_it_not_ready_and_says_why(store):
    health = Health(store, lambda: NOON, lambda: "")
    assert health.causes() == []

    only_reads(store)

    [cause] = Health(store, lambda: NOON, lambda: "").causes()
    assert cause.startswith("the database cannot be used")
    assert "read" in cause


def test_who_asks_all_the_time_writes_only_now_and_then(store):
    written = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def sees(connection, cursor, statement, *rest):
        if "INTO notes" in statement:
            written.append(statement)

    health = Health(store, lambda: NOON, lambda: "")
    for _ in range(5):
        assert health.causes() == []

    assert len(written) == 1


def figures(store: Store, **later: float) -> dict[str, float]:
    text = Measures().text(dict, lambda: store.ages(NOON + timedelta(**later))).decode()
    lines = [line.split(" ") for line in text.splitlines() if "oldest" in line and line[0] != "#"]
    return {name.removeprefix("firstfive_"): float(value) for name, value in lines}


def test_the_metrics_have_the_age_of_each_queue_s_oldest(quiet):
    assert figures(quiet, seconds=90) == {
        "inbox_oldest_seconds": 90, "timers_oldest_seconds": 30, "outbox_oldest_seconds": 0,
    }  # fmt: skip
    assert set(figures(quiet, seconds=-9).values()) == {0}
