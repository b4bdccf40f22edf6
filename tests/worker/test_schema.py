"""An old worker beside a newer version's schema: it leaves the record alone, says so, and is there again afterwards."""

import time

import pytest
from sqlalchemy import text

from bot.alerts.registry import sources
from bot.alerts.source import Delivery
from bot.handle import Door
from bot.incidents.policy import Policy, RouteRule
from bot.store import migrate
from bot.worker.due import DueTimers
from bot.worker.intake import Intake
from bot.worker.scheduler import Tick
from bot.worker.worker import Wakeups, Worker
from tests.builders import NOON

OPENS = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
ALERT = b'{"title": "Checkout is down", "status": "firing", "severity": "critical"}'


class Old:
    """A worker whose version may be older than the schema."""

    def __init__(self, store, **more):
        self.store, self.ticked = store, 0
        door = Door(store, lambda: NOON, lambda: OPENS, lambda: ())
        intake, news = (Intake(sources=sources(), report=lambda report: "not ours", store=store, door=door, **which)
                        for which in ({"but": "pagerduty"}, {"only": "pagerduty"}))  # fmt: skip
        self.wakeups = Wakeups()
        self.worker = Worker(
            store=store, intake=intake, news=news, deliveries={}, due=DueTimers(store=store, door=door),
            ticks=[Tick("something", 0.05, self.tick)], wakeups=self.wakeups, clock=lambda: NOON,
            out_of_date=lambda: migrate.out_of_date(store.engine), **more,
        )  # fmt: skip

    def tick(self):
        self.ticked += 1
        return 1

    def arrives(self):
        writer = self.store.inbox_writer(self.wakeups.inbox.wake)
        writer.put("generic", Delivery(ALERT, {}, "main", NOON), "1").result(10)
        writer.close()

    def schema_is(self, revision):
        with self.store.writing() as work:
            work.connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


@pytest.fixture
def old(store):
    return Old(store)


def seen(what):
    ends = time.monotonic() + 10
    while not what() and time.monotonic() < ends:
        time.sleep(0.02)
    return what()


def test_it_rests_while_the_schema_is_a_newer_ones_and_works_again_afterwards(old, store):
    [ours] = migrate._known()[-1:]
    old.schema_is("9999")
    old.worker.look_at_schema()
    old.worker.start()
    try:
        old.arrives()
        time.sleep(0.4)
        assert store.incidents() == ()
        assert store.inbox_depth() == {"new": 1}
        assert old.ticked == 0
        assert "9999, of a newer version" in old.worker.trouble()

        old.schema_is(ours)
        old.worker.look_at_schema()
        assert seen(lambda: store.incident(1))
        assert old.worker.trouble() == ""
    finally:
        old.worker.stop()


def test_it_sees_by_itself_that_the_schema_changed(store):
    old = Old(store, schema_seconds=0.05)
    old.worker.start()
    try:
        old.schema_is("9999")
        assert seen(lambda: "newer version" in old.worker.trouble())
    finally:
        old.worker.stop()
