"""An alert that is only announced, and whose sender never tells of its end. On both databases."""

from datetime import timedelta

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.routing import Outcome
from bot.errors import Broken
from bot.handle import Door
from bot.incidents.inputs import AlertReported, Cancel, Close, Resolve
from bot.incidents.policy import GroupingRule, Policy, RouteRule, read
from tests.builders import ANA, NOON, alert
from tests.worker.test_hushed import POLICY, Bot

DAY = timedelta(days=1)


def bot_with(store, **grouping):
    return Bot(store, 50, POLICY.model_copy(update={"grouping": GroupingRule(**grouping), "storm": Policy().storm}))


def told(bot):
    """The reasons of what was announced since the last look."""
    found = [one.reason for one in bot.announced()]
    bot.forgets()
    return found


def test_what_is_reported_on_and_on_is_announced_again_each_day_and_says_since_when(store):
    bot = bot_with(store)
    heard = []
    for hours in range(0, 73, 4):
        bot.now = NOON + timedelta(hours=hours)
        bot.gets("Disk")
        heard += [(hours, reason) for reason in told(bot)]

    takes = "route “told” takes it (it takes everything)"
    again = f"reported again; first at 2026-06-10 12:00 UTC; {takes}"
    assert heard == [(0, takes), (24, again), (48, again), (72, again)]


def test_a_silent_day_alone_announces_nothing(store):
    bot = bot_with(store)
    bot.gets("Disk")
    told(bot)
    bot.now += 3 * DAY
    bot.lets_time_pass()

    assert told(bot) == []


@pytest.mark.parametrize(("span", "after", "count"), [("30m", 29, 0), ("30m", 30, 1), ("0", 60 * 24 * 90, 0)])
def test_the_policy_says_after_how_long_or_never(store, span, after, count):
    bot = bot_with(store, announce_again=span)
    bot.gets("Disk")
    told(bot)
    bot.now += timedelta(minutes=after)
    bot.gets("Disk")

    assert len(told(bot)) == count


def test_one_that_ended_in_between_is_new_and_says_nothing_of_before(store):
    bot = bot_with(store)
    bot.gets("Disk")
    bot.gets("Disk", status=Status.RESOLVED)
    told(bot)
    bot.now += timedelta(hours=1)
    bot.gets("Disk")

    assert told(bot) == ["route “told” takes it (it takes everything)"]


@pytest.mark.parametrize("status", [Status.ACKNOWLEDGED, Status.SUPPRESSED])
def test_one_that_is_acknowledged_or_muted_at_its_sender_is_no_news_when_it_fires_still(store, status):
    bot = bot_with(store)
    bot.gets("Disk")
    bot.gets("Disk", status=status)
    told(bot)
    bot.now += timedelta(minutes=10)
    bot.gets("Disk")

    assert told(bot) == []


def test_what_was_announced_again_counts_for_its_source_as_of_then(store):
    bot = Bot(store, 50)
    bot.gets(*(f"Disk {number}" for number in range(5)))
    bot.forgets()
    bot.now += DAY
    bot.gets(*(f"Disk {number}" for number in range(5)), "Latency")

    assert len(bot.announced()) == 5
    assert store.hushed() == {"generic": 1}


def test_until_then_it_says_how_long_ago_it_was_announced_and_when_it_will_be_again(store):
    door = Door(store, lambda: NOON + timedelta(hours=3), lambda: POLICY, lambda: ())
    Bot(store, 1).gets("Disk")
    with store.rehearsing() as work:
        one = AlertReported(alert(source="generic", identity="Disk", title="Disk", severity=Severity.LOW), "main")
        (seen,) = door.foresee(work, (one,))

    assert seen.decision.reason == "announced 3 h 0 min ago; again when it is reported 24 h 0 min after that"
    assert seen.report.placement.outcome is Outcome.RECORD


@pytest.mark.parametrize("span", ["1m", "91d"])
def test_a_span_that_floods_or_forgets_is_refused_with_its_line(span):
    with pytest.raises(Broken, match=r"policy.yaml:2.*announce_again: .*0, or from 10m to 90d"):
        read(f"grouping:\n  announce_again: {span}\n")


@pytest.mark.parametrize(
    ("ends", "later", "is_open"),
    [
        ([Resolve(1, ANA)], timedelta(hours=23), 1),
        ([Resolve(1, ANA)], timedelta(hours=25), 2),
        ([Resolve(1, ANA), Close(1, ANA)], timedelta(minutes=5), 2),
        ([Cancel(1, ANA)], timedelta(minutes=5), 2),
    ],
)
def test_one_whose_incident_people_ended_opens_one_when_it_is_reported_again(store, ends, later, is_open):
    """Its sender never tells of an end: what is reported is all there is to go by."""
    bot = Bot(store, 1, Policy(routes=(RouteRule(name="all", severity="SEV2"),)))
    bot.gets("Disk")
    for one in ends:
        Door(store, lambda: bot.now, lambda: POLICY, lambda: ()).handle(one)
    bot.now += later
    bot.gets("Disk")

    assert [one.number for one in store.open_incidents()] == [is_open]
