"""The arithmetic below the numbers: what is said of few values, of hours, and of weeks that are not 168 hours long."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.metrics.figures import (
    Value,
    hour_class,
    median,
    median_value,
    monday_of,
    p90,
    union_seconds,
    week_bounds,
    week_of,
    weeks_before,
    wilson,
)
from tests.builders import NOON, after

BERLIN = ZoneInfo("Europe/Berlin")
PLACES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/", "right/")))


# --- middles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "middle"),
    [([], None), ([7], 7), ([9, 1], 5), ([3, 1, 2], 2), ([40, 10, 20, 30], 25), ([5, 5, 5, 900], 5)],
)
def test_a_median_is_the_middle_value_or_the_mean_of_the_two_middles(values, middle):
    assert median(values) == middle


@pytest.mark.parametrize(
    ("known", "bounds", "expected"),
    [
        ([], [], None),
        ([], [400], Value(400, is_lower_bound=True)),
        ([100, 200], [400], Value(200)),
        ([100], [400, 500], Value(400, is_lower_bound=True)),
        ([100], [400], Value(250, is_lower_bound=True)),
        ([500], [310], Value(405, is_lower_bound=True)),
        ([100, 200], [400, 500], Value(300, is_lower_bound=True)),
        ([100, 150, 200], [400], Value(175)),
        ([300], [300, 300], Value(300, is_lower_bound=True)),
    ],
)
def test_a_median_is_a_lower_bound_where_a_middle_value_is_one(known, bounds, expected):
    values = [*(Value(one, is_lower_bound=True) for one in bounds), *map(Value, known)]

    assert median_value(values) == expected


def test_ten_values_have_a_ninetieth_percentile_and_nine_do_not():
    assert p90(list(range(1, 10))) is None
    assert p90(list(range(10, 0, -1))) == 9
    assert p90(list(range(1, 12))) == 10
    assert p90(list(range(1, 21))) == 18


# --- shares -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("met", "n", "low", "high"),
    [(1, 1, 21, 100), (0, 2, 0, 66), (1, 2, 9, 91), (4, 4, 51, 100), (9, 10, 60, 98), (4, 6, 30, 90)],
)
def test_the_interval_of_a_share_is_wilsons(met, n, low, high):
    interval = wilson(met, n)

    assert [round(100 * one) for one in interval] == [low, high]


def test_nothing_of_nothing_has_no_interval():
    assert wilson(0, 0) is None


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=100, deadline=None)
def test_the_interval_holds_the_share_and_narrows_as_more_is_known(given_share):
    met, n = given_share
    low, high = wilson(met, n)
    more_low, more_high = wilson(met * 4, n * 4)

    assert 0 <= low <= met / n <= high <= 1
    assert more_high - more_low < high - low


# --- spans ------------------------------------------------------------------------------------


def spans_of(*minutes):
    return [(after(low), after(high)) for low, high in minutes]


@pytest.mark.parametrize(
    ("spans", "minutes"),
    [
        ([], 0),
        ([(0, 10)], 10),
        ([(0, 10), (5, 15)], 15),
        ([(0, 10), (10, 15)], 15),
        ([(0, 60), (10, 20)], 60),
        ([(0, 10), (20, 30)], 20),
        ([(-30, 10)], 10),
        ([(90, 200)], 30),
        ([(-60, 300)], 120),
        ([(-60, -5), (130, 140)], 0),
        ([(10, 10)], 0),
    ],
    ids=["none", "one", "overlapping", "touching", "one within another", "apart", "begun before", "goes on after", "all of it",
         "outside", "no length"],
)  # fmt: skip
def test_time_that_two_incidents_share_is_counted_once_and_only_within_the_week(spans, minutes):
    assert union_seconds(spans_of(*spans), NOON, after(120)) == minutes * 60


SECOND = st.integers(-30, 150)
SPAN = st.tuples(SECOND, SECOND).map(sorted)


@given(st.lists(SPAN, max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_union_is_what_counting_second_by_second_gives(given_spans):
    spans = [(after(seconds=low), after(seconds=high)) for low, high in given_spans]
    counted = sum(any(low <= second < high for low, high in given_spans) for second in range(120))

    assert union_seconds(spans, NOON, after(seconds=120)) == counted


# --- hours ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2026-06-10T07:59:59", "sleep"),
        ("2026-06-10T08:00:00", "business"),
        ("2026-06-10T17:59:59", "business"),
        ("2026-06-10T18:00:00", "off_hours"),
        ("2026-06-10T21:59:59", "off_hours"),
        ("2026-06-10T22:00:00", "sleep"),
        ("2026-06-11T00:00:00", "sleep"),
        ("2026-06-12T17:59:59", "business"),
        ("2026-06-13T10:00:00", "off_hours"),
        ("2026-06-14T18:30:00", "off_hours"),
        ("2026-06-13T22:00:00", "sleep"),
        ("2026-06-14T07:59:59", "sleep"),
        ("2026-06-15T08:00:00", "business"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"])
def test_an_hour_is_for_work_for_oneself_or_for_sleep_by_the_clock_of_whoever_is_woken(local, expected, zone):
    at = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    assert hour_class(at, ZoneInfo(zone)) == expected


# --- weeks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "week", "starts", "hours"),
    [
        ("UTC", "2026-W24", "2026-06-08T00:00", 168),
        ("Europe/Berlin", "2026-W12", "2026-03-15T23:00", 168),
        ("Europe/Berlin", "2026-W13", "2026-03-22T23:00", 167),
        ("Europe/Berlin", "2026-W14", "2026-03-29T22:00", 168),
        ("Europe/Berlin", "2026-W43", "2026-10-18T22:00", 169),
        ("America/New_York", "2026-W10", "2026-03-02T05:00", 167),
        ("America/New_York", "2026-W44", "2026-10-26T04:00", 169),
        ("Asia/Kathmandu", "2026-W13", "2026-03-22T18:15", 168),
        ("Asia/Kolkata", "2026-W43", "2026-10-18T18:30", 168),
        ("Australia/Lord_Howe", "2026-W14", "2026-03-29T13:00", 168.5),
        ("Australia/Lord_Howe", "2026-W40", "2026-09-27T13:30", 167.5),
        ("Pacific/Chatham", "2026-W14", "2026-03-29T10:15", 169),
        ("Europe/Berlin", "2026-W53", "2026-12-27T23:00", 168),
    ],
)
def test_a_week_is_as_long_as_its_zones_clocks_make_it(zone, week, starts, hours):
    start, end = week_bounds(week, ZoneInfo(zone))

    assert start == datetime.fromisoformat(starts).replace(tzinfo=UTC)
    assert end - start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("day", "week"),
    [
        ("2025-12-28", "2025-W52"),
        ("2025-12-29", "2026-W01"),
        ("2026-01-01", "2026-W01"),
        ("2026-12-27", "2026-W52"),
        ("2026-12-28", "2026-W53"),
        ("2027-01-03", "2026-W53"),
        ("2027-01-04", "2027-W01"),
        ("2021-01-03", "2020-W53"),
    ],
)
def test_a_day_at_the_turn_of_the_year_belongs_to_its_iso_week(day, week):
    assert week_of(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN), BERLIN) == week


def test_a_moment_belongs_to_the_week_of_the_zone_it_is_asked_for():
    at = datetime(2026, 6, 14, 23, 0, tzinfo=UTC)

    assert week_of(at, ZoneInfo("UTC")) == "2026-W24"
    assert week_of(at, BERLIN) == "2026-W25"
    assert week_of(at, ZoneInfo("America/Los_Angeles")) == "2026-W24"


def test_the_weeks_before_the_first_are_the_last_of_the_year_before():
    assert weeks_before("2027-W02", 3) == ["2026-W52", "2026-W53", "2027-W01"]
    assert weeks_before("2026-W01", 2) == ["2025-W51", "2025-W52"]


WRONG = ["", "2026", "2026-24", "2026-W00", "2026-W54", "2025-W53", "2026-W1", "2026-w24", "W24", "last", "2026-W24 ", "26-W24",
         "2026-W²⁴", "0000-W01", "0001-W01", "9999-W52"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_iso_week_is_refused_in_every_zone(text):
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        with pytest.raises(ValueError, match=r"ISO week|Invalid week"):
            week_bounds(text, ZoneInfo(zone))


@given(st.sampled_from(PLACES), st.dates(datetime(2000, 1, 3).date(), datetime(2036, 12, 31).date()))
@settings(max_examples=150, deadline=None)
def test_weeks_follow_one_another_without_a_gap_in_every_zone(name, day):
    zone = ZoneInfo(name)
    year, number, _ = day.isocalendar()
    week = f"{year}-W{number:02d}"
    start, end = week_bounds(week, zone)
    (before,) = weeks_before(week, 1)

    assert week_bounds(before, zone)[1] == start
    assert week_of(start, zone) == week
    assert week_of(start - timedelta(microseconds=1), zone) == before
    assert week_of(end - timedelta(microseconds=1), zone) == week
    assert timedelta(days=5) < end - start < timedelta(days=9)
    assert monday_of(week).weekday() == 0
