"""A source that has a great deal announced: some of it is, the rest is recorded and counted. On both databases."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.routing import Outcome
from bot.handle import Bundle, Door
from bot.incidents.effects import AnnounceAlert, RaiseAlarm
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import MaintenanceRule, Policy, RouteRule, StormRule
from bot.store import Store
from bot.store.codec import decode_tagged
from bot.store.tables import alerts, outbox
from bot.store.work import ANNOUNCED_BY
from bot.web.measures import Measures
from tests.builders import NOON, alert

MOST = 5
POLICY = Policy(routes=(RouteRule(name="told", outcome=Outcome.ANNOUNCE),), storm=StormRule(announced=MOST))


class Bot:
    """A door, a clock that is set, and how many alerts are handled in one transaction."""

    def __init__(self, store: Store, together: int, policy: Policy = POLICY) -> None:
        self.store, self.now, self._together = store, NOON, together
        self._door = Door(store, lambda: self.now, lambda: policy, lambda: ())

    def gets(self, *names: str, source: str = "generic", **given: Any) -> None:
        """Reports of alerts that began to fire at noon."""
        given = {"severity": Severity.LOW, "started_at": NOON} | given
        reports = [AlertReported(alert(source=source, identity=one, title=one, **given), "main") for one in names]
        for start in range(0, len(reports), self._together):
            some = reports[start : start + self._together]
            self._door.handle_together([Bundle((one,), lambda work, said: None) for one in some], 10)

    def lets_time_pass(self) -> None:
        """Handle the timers that are due."""
        for due in self.store.due(self.now):
            self._door.handle(due.input, finish=lambda work, due=due: work.timer_done(due.key, due.due_at))

    def announced(self) -> Sequence[AnnounceAlert]:
        """What was asked to be announced since the last look."""
        return [one for one in self._asked() if isinstance(one, AnnounceAlert)]

    def alarms(self) -> Sequence[RaiseAlarm]:
        """What people were told of it since the last look."""
        return [one for one in self._asked() if isinstance(one, RaiseAlarm)]

    def _asked(self) -> Sequence[object]:
        """Every effect that waits, in line or behind another."""
        with self.store.writing() as work:
            rows = work.connection.execute(outbox.select().where(outbox.c.state == "pending").order_by(outbox.c.seq)).all()
        return [decode_tagged(row.payload) for row in rows]

    def forgets(self) -> None:
        """What was asked for so far is done."""
        with self.store.writing() as work:
            work.connection.execute(outbox.update().values(state="done"))

    def recorded(self) -> int:
        """How many alerts are known, and fire."""
        with self.store.reading() as work:
            return len(work.connection.execute(alerts.select().where(alerts.c.is_firing)).all())


@pytest.fixture(params=[1, 3, 50])
def bot(store: Store, request: pytest.FixtureRequest) -> Bot:
    return Bot(store, request.param)


def names(count: int, of: str = "Disk") -> list[str]:
    return [f"{of} {number}" for number in range(count)]


def test_beyond_a_number_of_one_source_alerts_are_recorded_and_counted(bot):
    bot.gets(*names(12))

    assert sorted(one.title for one in bot.announced()) == names(MOST)
    assert bot.recorded() == 12
    assert bot.store.hushed() == {"generic": 12 - MOST}


def test_people_are_told_what_they_are_not_shown_once_in_each_hour(bot):
    bot.gets(*names(12))
    bot.gets(*names(12, "More"))

    [told] = bot.alarms()
    assert told.text.startswith("generic has sent 5 alerts in 60 minutes that open no incident and go to #incidents.")
    assert "not shown there, but for the first that are critical or high." in told.text
    bot.now += timedelta(hours=1, minutes=1)
    bot.gets(*names(12, "Later"))
    assert len(bot.alarms()) == 2


def test_what_is_critical_has_as_many_again_and_its_end_is_told_apart(bot):
    bot.gets(*names(MOST + 1))
    bot.forgets()
    bot.gets(*names(12, "Orders lost"), severity=Severity.CRITICAL)

    assert sum(one.title.startswith("Orders lost") for one in bot.announced()) == MOST
    [told] = bot.alarms()
    assert told.text.startswith("generic has sent 10 alerts in 60 minutes")
    assert told.text.endswith("not shown there, not even what is critical or high.")


def test_another_source_has_a_number_of_its_own(bot):
    bot.gets(*names(12))
    bot.forgets()
    bot.gets("Latency", source="grafana")

    assert [one.title for one in bot.announced()] == ["Latency"]


def test_what_is_reported_again_is_counted_once_and_announced_when_there_is_room(bot):
    bot.gets(*names(3 * MOST))
    bot.forgets()
    bot.gets(*names(3 * MOST))
    assert bot.announced() == []
    assert bot.store.hushed() == {"generic": 2 * MOST}

    for turn in (1, 2):
        bot.now += timedelta(hours=1, minutes=1)
        bot.gets(*names(3 * MOST))
        assert [one.title for one in bot.announced()] == names(3 * MOST)[turn * MOST : (turn + 1) * MOST]
        bot.forgets()


def test_what_a_window_kept_quiet_is_under_the_same_number_at_its_end(store):
    window = MaintenanceRule(
        name="move", match={"service": ["checkout"]}, reason="moving", zone="UTC", start="2026-06-10T11:00", until="2026-06-10T12:30"
    )  # fmt: skip
    bot = Bot(store, 50, POLICY.model_copy(update={"maintenance": (window,)}))
    bot.gets(*names(12))
    assert (bot.announced(), bot.recorded()) == ([], 12)

    bot.now += timedelta(minutes=31)
    bot.lets_time_pass()
    assert len(bot.announced()) == MOST
    assert store.hushed() == {"generic": 12 - MOST}


def test_one_that_fires_again_and_again_is_counted_though_its_end_is_told_twice(bot):
    """As both of a pair of Alertmanagers do."""
    for minute in range(20):
        bot.now = NOON + timedelta(minutes=minute)
        bot.gets("Disk", started_at=bot.now, changed_at=bot.now)
        for _ in range(2):
            bot.now += timedelta(seconds=20)
            bot.gets("Disk", status=Status.RESOLVED, started_at=bot.now, changed_at=bot.now, ended_at=bot.now)

    assert len(bot.announced()) == MOST
    assert bot.store.hushed() == {"generic": 20 - MOST}


def test_how_many_were_announced_is_counted_by_an_index(store):
    with store.reading() as work:
        query = ANNOUNCED_BY.params(source="generic", since=NOON).compile(store.engine, compile_kwargs={"literal_binds": True})
        if store.engine.dialect.name == "postgresql":
            pytest.skip("PostgreSQL chooses by how many there are")
        plan = work.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()

    assert "USING COVERING INDEX alerts_announced_source" in str(plan)


def test_what_is_not_announced_is_in_the_metrics(bot):
    bot.gets(*names(12))
    store = bot.store
    text = Measures().text(dict, dict, store.dropped, store.quieted, store.hushed).decode()

    assert 'firstfive_alerts_hushed{source="generic"} 7.0' in text
