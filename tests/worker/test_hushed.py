"""A source that has a great deal announced: some of it is, the rest is recorded and counted. On both databases."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from bot.alerts.routing import Outcome
from bot.handle import Bundle, Door
from bot.incidents.effects import AnnounceAlert, Lane
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import Policy, RouteRule, StormRule
from bot.store import Store
from bot.store.tables import alerts
from bot.web.measures import Measures
from tests.builders import NOON, alert

MOST = 5
POLICY = Policy(routes=(RouteRule(name="told", outcome=Outcome.ANNOUNCE),), storm=StormRule(announced=MOST))


class Bot:
    """A door, a clock that is set, and how many alerts are handled in one transaction."""

    def __init__(self, store: Store, together: int) -> None:
        self.store, self.now, self._together = store, NOON, together
        self._door = Door(store, lambda: self.now, lambda: POLICY, lambda: ())

    def gets(self, *names: str, source: str = "generic") -> None:
        """Reports of alerts that began to fire long ago."""
        reports = [AlertReported(alert(source=source, identity=one, title=one, started_at=NOON), "main") for one in names]
        for start in range(0, len(reports), self._together):
            some = reports[start : start + self._together]
            self._door.handle_together([Bundle((one,), lambda work, said: None) for one in some], 10)

    def announced(self) -> Sequence[AnnounceAlert]:
        """What was asked to be announced since the last look."""
        rows = self.store.claim([Lane.CHAT], "me", self.now + timedelta(minutes=1), limit=1000)
        return [row.effect for row in rows if isinstance(row.effect, AnnounceAlert)]

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


def test_the_last_that_is_announced_says_so(bot):
    bot.gets(*names(12))

    told = [one.title for one in bot.announced() if "the 5th of generic in 60 min: any more are recorded and counted" in one.reason]
    assert told == [f"Disk {MOST - 1}"]


def test_another_source_has_a_number_of_its_own(bot):
    bot.gets(*names(12))
    bot.announced()
    bot.gets("Latency", source="grafana")

    assert [one.title for one in bot.announced()] == ["Latency"]


def test_what_is_reported_again_is_counted_once_and_announced_when_there_is_room(bot):
    bot.gets(*names(12))
    bot.announced()
    bot.gets(*names(12))
    assert bot.announced() == []
    assert bot.store.hushed() == {"generic": 12 - MOST}

    bot.now += timedelta(hours=1, minutes=1)
    bot.gets(*names(MOST + 2))
    assert sorted(one.title for one in bot.announced()) == names(MOST + 2)[MOST:]


def test_what_is_not_announced_is_in_the_metrics(bot):
    bot.gets(*names(12))
    store = bot.store
    text = Measures().text(dict, dict, store.dropped, store.quieted, store.hushed).decode()

    assert 'firstfive_alerts_hushed{source="generic"} 7.0' in text
