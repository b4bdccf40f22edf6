"""The worst of what befalls a machine, as in `make faults`; and judges that see what is wrong."""

import random
from collections.abc import Iterator
from datetime import date, time, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from bot.digest import local_time
from bot.metrics.figures import week_bounds
from tests.builders import acknowledged, incident
from tests.faults import machine, weeks
from tests.faults.runs import Databases, carried_out
from tests.faults.weeks import ZONES

WORST = (
    "D2 the disk is full · sqlite",
    "D4 the clock jumps five minutes ahead · sqlite",
)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


@pytest.mark.parametrize("name", WORST)
def test_nothing_is_lost_and_nobody_is_paged_twice(name, databases):
    found = [one for one in machine.trials(range(1)) if one.name.startswith(name)]
    if not found:
        pytest.skip("a small disk of one's own needs root")

    outcome = carried_out(found[0], databases)

    assert outcome.wrong == ()
    assert outcome.hits


# --- Mondays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ZONES)
def test_the_weeks_of_ten_years_lie_side_by_side(zone):
    every = [f"{year}-W{week:02d}" for year in range(2025, 2035) for week in range(1, 54 if year in (2026, 2032) else 53)]

    assert list(weeks.side_by_side(every, ZoneInfo(zone))) == []
    spans = [week_bounds(one, ZoneInfo(zone)) for one in every]
    odd = {end - start for start, end in spans} - {timedelta(days=7)}
    assert odd, "the clocks change in none of these weeks"
    assert all(abs(one - timedelta(days=7)) <= timedelta(hours=1) for one in odd)


@pytest.mark.parametrize("zone", ZONES)
def test_a_minute_that_the_clocks_leave_out_or_repeat_comes_once_and_not_before(zone):
    there, wanted = ZoneInfo(zone), time(2, 15)
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(3652)]
    odd = [day for day in days if weeks.is_odd(day, wanted, there)]
    assert odd, "the clocks change at that minute on no day"
    assert {day.weekday() for day in odd} == {6}
    for day in days:
        shown = local_time(day, wanted, there).astimezone(there)
        assert shown.date() == day
        assert timedelta() <= weeks._since_midnight(shown.time()) - weeks._since_midnight(wanted) <= timedelta(hours=1)


def team(*asked):
    return SimpleNamespace(zone=ZoneInfo("Europe/Berlin"), at=time(9), asked=list(asked), alarms=[])


def test_a_digest_that_comes_twice_early_late_or_not_at_all_is_seen():
    lived = weeks.Team.__new__(weeks.Team)
    lived.zone, lived.at, lived.alarms, lived.now, lived.weekday = ZoneInfo("Europe/Berlin"), time(9), [], weeks.END, "monday"
    every = [f"{year}-W{week:02d}" for year in range(2025, 2035) for week in range(1, 54 if year in (2026, 2032) else 53)]
    due = {one: local_time(week_bounds(one, lived.zone)[1].astimezone(lived.zone).date(), lived.at, lived.zone) for one in every}
    lived.asked = list(due.items())
    assert list(weeks.judged(lived)) == []

    chosen = random.Random(1).sample(every[5:-5], 4)
    lived.asked = [one for one in due.items() if one[0] != chosen[0]]
    assert "left out" in next(weeks.judged(lived)).what
    lived.asked = [*due.items(), (chosen[1], due[chosen[1]])]
    assert "2 times" in next(weeks.judged(lived)).what
    for late in (timedelta(seconds=-1), timedelta(hours=2)):
        lived.asked = [(week, at + late if week == chosen[2] else at) for week, at in due.items()]
        assert "was due" in next(weeks.judged(lived)).what


# --- the judges -------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "count"), [(0, 0), (30, 0), (39, 0), (41, 1), (-1, 1)])
def test_a_level_that_is_later_than_the_clock_is_seen(late, count):
    assert len(list(machine.as_late_as_the_clock(late, 30))) == count


@pytest.mark.parametrize(
    ("said", "away", "count"),
    [
        (["Incident week 24 · June"], timedelta(hours=1), 0),
        (["Incident week 24 · June", "Incident week 24 · June"], timedelta(hours=1), 1),
        ([], timedelta(hours=1), 1),
        (["Incident week 25 · June", "The digest of 2026-W24 is left out"], timedelta(days=8), 0),
        (["Incident week 25 · June"], timedelta(days=8), 1),
        (["Incident week 24 · June", "Incident week 25 · June"], timedelta(days=8), 2),
    ],
)
def test_a_digest_after_being_away_is_judged(said, away, count):
    assert len(list(machine.digests_said(said, away))) == count


def restored(keys, numbers, alarms, acknowledged_one=False):
    pages = [SimpleNamespace(key=key, title=f"SEV1 INC: {title}") for key, title in keys]
    third = acknowledged(number=3) if acknowledged_one else incident(number=3)
    return SimpleNamespace(
        sandbox=SimpleNamespace(account=SimpleNamespace(incidents=pages)),
        store=SimpleNamespace(incidents=lambda: [incident(number=one) for one in numbers], incident=lambda number: third),
        messages=lambda channel: [{"text": "open incidents that are not in its record"}] * alarms,
    )


RIGHT = [("k1", "a"), ("k2", "b"), ("k3", "c")]


@pytest.mark.parametrize(
    "rig",
    [
        restored([*RIGHT, ("k4", "a")], [1, 3], 1),
        restored(RIGHT, [1, 2], 1),
        restored(RIGHT, [1, 3], 0),
        restored(RIGHT, [1, 3], 2),
        restored(RIGHT, [1, 3], 1, acknowledged_one=True),
    ],
    ids=["paged again", "a number twice", "nobody told", "told twice", "another's acknowledgement"],
)
def test_what_is_wrong_after_a_restore_is_seen(rig):
    assert list(machine.after_the_restore(restored(RIGHT, [1, 3], 1))) == []
    assert len(list(machine.after_the_restore(rig))) == 1
