"""What is foreseen is what then happens, and nothing of it is written: on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.incidents.inputs import Resolve
from bot.incidents.policy import GroupingRule, StormRule
from bot.store import DatabaseDown, Store
from bot.store.tables import notes
from tests.builders import ANA
from tests.store.test_grouping import Bot


def reports(bot, *kinds):
    return [bot.reports(name, service, severity) for name, service, severity in kinds]


PAYLOADS = {
    "one opens, one joins, one is related": (("a", "payments", "critical"), ("b", "payments", "high"), ("c", "checkout", "high")),
    "two of no service": (("a", None, "high"), ("b", None, "low")),
    "the same twice": (("a", "search", "low"), ("a", "search", "low")),
    "a storm": tuple((f"a{number}", None, "high") for number in range(6)),
}


@pytest.mark.parametrize("kinds", PAYLOADS.values(), ids=PAYLOADS)
def test_what_is_foreseen_is_what_then_happens(store: Store, kinds) -> None:
    bot = Bot(store, storm=StormRule(most=3), grouping=GroupingRule(group_by=("cluster",)))
    bot.fires("before", "payments", "medium")
    with store.rehearsing() as work:
        foreseen = bot.door.foresee(work, reports(bot, *kinds))

    assert len(store.incidents()) == 1
    for one, seen in zip(reports(bot, *kinds), foreseen, strict=True):
        assert bot.door.handle(one).decision == seen.decision


def test_what_opens_again_is_foreseen_with_its_page_and_stays_resolved(store: Store) -> None:
    bot = Bot(store)
    bot.fires("a")
    bot.fires("b")
    bot.now += timedelta(minutes=1)
    bot.door.handle(Resolve(1, by=ANA))
    bot.now += timedelta(minutes=1)
    again = reports(bot, ("a", "payments", "high"), ("b", "payments", "high"))
    with store.rehearsing() as work:
        foreseen = bot.door.foresee(work, again)

    assert [one.report.placement.opens_again for one in foreseen] == [True, False]
    assert store.incident(1).resolved_at is not None
    for one, seen in zip(again, foreseen, strict=True):
        assert bot.door.handle(one).decision.effects == seen.decision.effects


def test_nothing_is_written_even_by_whoever_tries(store: Store) -> None:
    bot = Bot(store)
    with store.rehearsing() as work:
        bot.door.foresee(work, reports(bot, ("a", "payments", "critical")))
        work.write()
        assert work.incident(1) is not None
    try:
        with store.rehearsing() as work:
            work.connection.execute(insert(notes).values(name="written", value=1))
    except (DatabaseDown, DBAPIError):
        assert store.engine.dialect.name == "postgresql"

    assert (store.incidents(), store.note("written")) == ((), None)


def test_who_looks_keeps_nobody_from_opening(store: Store) -> None:
    bot = Bot(store)
    with store.rehearsing() as work:
        bot.door.foresee(work, reports(bot, ("a", None, "critical")))
        opened = bot.fires("b", "search")
        (seen,) = bot.door.foresee(work, reports(bot, ("c", "search", "high")))

    assert opened.incident.number == 1
    # It looks at one moment, that of its first look.
    assert seen.before is None


def test_a_record_of_nothing_needs_no_file_and_no_schema() -> None:
    nothing = Store.empty()
    bot = Bot(nothing)
    with nothing.rehearsing() as work:
        work.number_after(41)
        (seen,) = bot.door.foresee(work, [bot.reports("a", status=AlertStatus.FIRING, severity=AlertSeverity.HIGH)])
    nothing.close()

    assert (seen.before, seen.decision.incident.number) == (None, 42)
