"""What keeps an alert quiet: which silence, which window, and when a window is."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.matching import Candidate, Grouping, Known, place
from bot.alerts.quiet import Once, Quieting, Silence, Window, quiet_under
from bot.alerts.routing import Hours, Matcher, Outcome, Route
from tests.builders import ANA, NOON, after, alert

CHECKOUT = Matcher({"service": ("checkout",)})
REST = Route("anything else", Matcher(), Outcome.ANNOUNCE)
OPENS = Route("critical", Matcher({"severity": ("critical",)}), Outcome.OPEN, severity="SEV2")
ALIASES = {"cart": "checkout", "checkout": "checkout"}


def silence(number=3, match=CHECKOUT, minutes=60, **changes):
    given_ = {"until": after(minutes)} | changes
    return Silence(number, match, ANA, "moving the database", NOON, timedelta(minutes=minutes), **given_)


def window(match=CHECKOUT, when=None):
    return Window("nightly", match, "backups", when or Once(NOON, after(60)))


def quiet(one, *silences, windows=(), now=NOON, service="checkout"):
    found = quiet_under(one, "main", service, Quieting(silences, windows), now)
    return None if found is None else found.key


HOLDS = (silence(),)


def placed(one=None, known=None, routes=(OPENS, REST), silences=HOLDS, windows=(), candidates=(), now=NOON):
    return place(
        one or alert(), "main", routes, ALIASES, Grouping(), known, candidates, now, Quieting(tuple(silences), tuple(windows))
    )


# --- which one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (CHECKOUT, True),
        (Matcher({"service": ("pay*", "check*")}), True),
        (Matcher({"service": ("payments",)}), False),
        (Matcher({"service": ("checkout",), "severity": ("low",)}), False),
        (Matcher({"name": ("re:ErrorRate",)}), True),
        (Matcher(labels={"alertname": ("CheckoutErrorRateHigh",)}), True),
        (Matcher(labels={"team": ("checkout",)}), False),
        (Matcher({"route": ("main",)}), True),
        (Matcher({"route": ("second",)}), False),
    ],
)
def test_a_silence_holds_for_what_fits(match, fits):
    assert quiet(alert(), silence(match=match)) == ("silence/3" if fits else None)


@pytest.mark.parametrize(
    ("named", "placed_under", "match", "fits"),
    [
        ("cart", "checkout", CHECKOUT, True),
        ("cart", "checkout", Matcher({"service": ("cart",)}), True),
        (None, "checkout", CHECKOUT, True),
        ("payments", "payments", CHECKOUT, False),
        ("cart", "checkout", Matcher({"severity": ("low",)}), False),
    ],
)
def test_a_service_is_what_its_sender_calls_it_and_what_it_is_placed_under(named, placed_under, match, fits):
    assert (quiet(alert(service=named), silence(match=match), service=placed_under) is not None) is fits


@pytest.mark.parametrize(
    ("one", "minute", "holds"),
    [
        (silence(), 0, True),
        (silence(), 59, True),
        (silence(), 60, False),
        (silence(until=None), 0, False),
        (silence(ended_at=after(5), ended_by=ANA), 6, False),
    ],
)
def test_a_silence_holds_until_its_time_is_over_or_somebody_ended_it(one, minute, holds):
    assert (quiet(alert(), one, now=after(minute)) is not None) is holds


def test_of_several_silences_the_one_that_lasts_longest_answers_for_the_alert():
    assert quiet(alert(), silence(3, minutes=60), silence(4, minutes=90), silence(5, minutes=30), windows=(window(),)) == "silence/4"
    assert quiet(alert(), silence(3, match=Matcher({"service": ("web",)})), windows=(window(),)) == "maintenance/nightly"


def test_what_keeps_it_quiet_says_so_and_what_would_have_been():
    assert placed().reason == (
        "under silence 3 until 2026-06-10 13:00 UTC (service=checkout): moving the database; "
        "else route “critical” takes it (severity=critical)"
    )
    assert placed(silences=(), windows=(window(),)).reason.startswith(
        "under maintenance “nightly” (service=checkout; 2026-06-10 12:00 to 2026-06-10 13:00 UTC): backups; else route"
    )


# --- what it does -----------------------------------------------------------------------------


def test_what_would_open_join_or_be_announced_is_recorded():
    near = Candidate(4, "checkout", after(-3))
    mild = alert(severity=Severity.LOW)

    for one, candidates in ((alert(), ()), (alert(), (near,)), (mild, ())):
        found = placed(one, candidates=candidates)
        assert (found.outcome, found.incident, found.quiet and found.quiet.key) == (Outcome.RECORD, None, "silence/3")


def test_an_alert_of_an_open_incident_goes_on_to_belong_to_it():
    found = placed(known=Known(7))

    assert (found.outcome, found.incident, found.quiet) == (Outcome.OPEN, 7, None)


@pytest.mark.parametrize(
    "one", [alert(status=Status.RESOLVED), alert(status=Status.ACKNOWLEDGED), alert(kind=Kind.TEST), alert(kind=Kind.HEARTBEAT)]
)
def test_what_would_open_nothing_anyhow_is_not_counted_as_silenced(one):
    assert placed(one).quiet is None


def test_what_a_route_drops_is_dropped_under_its_own_reason():
    drops = Route("staging", Matcher(), Outcome.DROP, reason="broken on purpose")

    assert placed(routes=(drops, REST)).outcome is Outcome.DROP


def test_what_was_kept_quiet_opens_with_its_next_report_once_the_silence_is_over():
    assert placed(known=Known(None), now=after(60)).outcome is Outcome.OPEN
    assert placed(alert(severity=Severity.LOW), known=Known(None), now=after(60)).outcome is Outcome.ANNOUNCE


def test_an_alert_that_no_longer_fits_opens():
    mild = silence(match=Matcher({"severity": ("medium",)}))

    assert placed(alert(severity=Severity.MEDIUM), silences=(mild,)).quiet is not None
    assert placed(alert(), known=Known(None), silences=(mild,)).outcome is Outcome.OPEN


# --- when a window is -------------------------------------------------------------------------

CHANGES = (
    ("Europe/Lisbon", datetime(2026, 3, 29)),
    ("Europe/Lisbon", datetime(2026, 10, 25)),
    ("America/New_York", datetime(2026, 3, 8)),
    ("America/New_York", datetime(2026, 11, 1)),
    ("Australia/Lord_Howe", datetime(2026, 4, 5)),
    ("Australia/Lord_Howe", datetime(2026, 10, 4)),
    ("Pacific/Apia", datetime(2011, 12, 30)),
    ("Pacific/Apia", datetime(2012, 4, 1)),
)
"""Where the clock is set forward or back, by an hour, by half of one; and a day that there was not."""
MINUTE = timedelta(minutes=1)


def clocks(zone, day):
    """Every minute of five days about a day, with what the clock on the wall shows."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)
    return [(at, at.astimezone(zone).replace(tzinfo=None)) for at in (start + MINUTE * one for one in range(5 * 24 * 60))]


SHOWN = {(name, day): clocks(ZoneInfo(name), day) for name, day in CHANGES}
MINUTES = some.integers(0, 24 * 60 - 1)


@settings(max_examples=60, deadline=None)
@given(change=some.sampled_from(CHANGES), start=some.integers(-24 * 60, 36 * 60), lasts=some.integers(1, 30 * 60))
def test_a_window_that_happens_once_is_from_when_the_clock_first_shows_its_start_to_when_it_last_shows_its_end(change, start, lasts):
    name, day = change
    begins, ends = day + MINUTE * start, day + MINUTE * (start + lasts)
    when = Once.by_the_clock(begins, ends, ZoneInfo(name))
    shown = SHOWN[change]

    first = next((at for at, wall in shown if wall >= begins), shown[-1][0])
    last = next((at for at, wall in reversed(shown) if wall < ends), shown[0][0])
    assert [at for at, _ in shown if when.has(at)] == [at for at, _ in shown if first <= at <= last]


@settings(max_examples=60, deadline=None)
@given(change=some.sampled_from(CHANGES), start=MINUTES, end=MINUTES, days=some.sets(some.integers(0, 6), min_size=1))
def test_a_window_of_each_week_is_when_the_clock_on_the_wall_says_so(change, start, end, days):
    name, day = change
    hours = Hours(ZoneInfo(name), frozenset(days), time(*divmod(start, 60)), time(*divmod(end, 60)))
    lasts = (end - start) % (24 * 60) or 24 * 60
    within = set()
    for one in (day + timedelta(days=number) for number in range(-5, 6)):
        if one.weekday() in days:
            within |= {one + MINUTE * (start + minute) for minute in range(lasts)}

    assert [at for at, _ in SHOWN[change] if hours.has(at)] == [at for at, wall in SHOWN[change] if wall in within]


@pytest.mark.parametrize(
    ("zone", "start", "end", "from_", "until"),
    [
        ("Europe/Lisbon", "2026-03-29 01:30", "2026-03-29 03:00", "01:00", "02:00"),
        ("Europe/Lisbon", "2026-10-25 01:30", "2026-10-25 01:45", "00:30", "01:45"),
        ("Europe/Lisbon", "2026-03-28 23:00", "2026-03-29 01:30", "-23:00", "01:00"),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08 03:30", "07:00", "07:30"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-05 02:00", "-14:45", "-15:30"),
    ],
)
def test_what_the_clock_skips_begins_where_it_jumps_and_what_it_shows_twice_is_within_both_times(zone, start, end, from_, until):
    when = Once.by_the_clock(datetime.fromisoformat(start), datetime.fromisoformat(end), ZoneInfo(zone))

    def at(text):
        """That hour in UTC; with a minus, of the day before."""
        day = datetime.fromisoformat(end).date() - timedelta(days=text.startswith("-"))
        return datetime.combine(day, time.fromisoformat(text.lstrip("-")), UTC)

    assert (when.start, when.end) == (at(from_), at(until))


def test_a_window_says_what_it_is():
    hours = Hours(ZoneInfo("Europe/Lisbon"), frozenset({5}), time(22), time(2))

    found = quiet_under(alert(), "main", "checkout", Quieting(windows=(window(when=hours),)), datetime(2026, 6, 13, 22, tzinfo=UTC))
    assert found is not None
    assert found.reason == "under maintenance “nightly” (service=checkout; sat 22:00 to 02:00 Europe/Lisbon): backups"
    assert replace(window(), name="x").key == "maintenance/x"


# --- when it is over --------------------------------------------------------------------------

LISBON = ZoneInfo("Europe/Lisbon")


def hours(start, end, days=range(7)):
    return Hours(LISBON, frozenset(days), time.fromisoformat(start), time.fromisoformat(end))


@pytest.mark.parametrize(
    ("when", "now", "end"),
    [
        (hours("12:00", "14:20"), "2026-06-10T12:00", "2026-06-10T13:20"),
        (hours("23:30", "01:00"), "2026-06-10T22:45", "2026-06-11T00:00"),
        (hours("00:00", "00:00", days=[2, 3]), "2026-06-10T12:00", "2026-06-11T23:00"),
        (hours("00:00", "23:55"), "2026-06-10T12:00", "2026-06-10T22:55"),
        # Set forward at 01:00 to 02:00, and back at 02:00 to 01:00.
        (hours("00:30", "01:30"), "2026-03-29T00:45", "2026-03-29T01:00"),
        (hours("00:30", "01:30"), "2026-10-24T23:45", "2026-10-25T00:30"),
        (hours("00:30", "03:00"), "2026-10-24T23:45", "2026-10-25T03:00"),
        (hours("00:00", "00:00"), "2026-06-10T12:00", "2026-06-17T12:00"),
        (Once(NOON, after(60)), "2026-06-10T12:30", "2026-06-10T13:00"),
    ],
)
def test_when_the_present_one_of_a_window_is_over(when, now, end):
    assert when.ends(datetime.fromisoformat(f"{now}+00:00")) == datetime.fromisoformat(f"{end}+00:00")


@settings(max_examples=200, deadline=None)
@given(
    at=some.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 20)).map(lambda one: one.replace(tzinfo=UTC, microsecond=0)),
    start=some.times().map(lambda one: one.replace(second=0, microsecond=0)),
    end=some.times().map(lambda one: one.replace(second=0, microsecond=0)),
)
def test_until_it_is_over_it_is_within_and_then_it_is_not(at, start, end):
    when = Hours(ZoneInfo("America/New_York"), frozenset({0, 2, 3}), start, end)
    over = when.ends(at)

    if when.has(at):
        assert not when.has(over)
        minutes = int((over - at).total_seconds() // 60)
        assert all(when.has(at + timedelta(minutes=one)) for one in range(0, minutes, 7))


def test_what_keeps_it_quiet_says_until_when():
    held = quiet_under(alert(), "main", "checkout", Quieting((silence(minutes=90),), (window(),)), NOON)
    kept = quiet_under(alert(), "main", "checkout", Quieting((), (window(),)), NOON)

    assert (held.until, kept.until) == (after(90), after(60))


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (hours("22:00", "06:00", days=[5, 6]), "sat, sun 22:00 to 06:00 Europe/Lisbon"),
        (
            Once.by_the_clock(datetime(2026, 6, 13, 22), datetime(2026, 6, 14, 2), LISBON),
            "2026-06-13 22:00 to 2026-06-14 02:00 Europe/Lisbon",
        ),
        (Once(NOON, after(60)), "2026-06-10 12:00 to 2026-06-10 13:00 UTC"),
    ],
)
def test_a_window_is_said_with_its_zone(when, said):
    assert when.said == said


def test_a_window_and_a_silence_leave_out_what_they_say():
    but_eu = replace(window(), unless=Matcher(labels={"region": ("eu",), "tier": ("1",)}))
    eu, half = alert(labels={"region": "eu", "tier": "1"}), alert(labels={"region": "eu"})

    assert quiet(eu, windows=(but_eu,)) is None
    assert quiet(half, windows=(but_eu,)) == "maintenance/nightly"
    assert but_eu.said == "service=checkout; unless region=eu, tier=1"
    but = replace(silence(), match=Matcher({"service": ("checkout",)}, but_labels={"region": ("eu",), "tier": ("1",)}))
    assert quiet(half, but) is None
    assert quiet(alert(labels={"region": "us"}), but) == "silence/3"


def test_a_service_that_a_silence_leaves_out_is_meant_by_any_of_its_names():
    match = Matcher({"severity": ("critical",)}, but_fields={"service": ("checkout",)})

    assert quiet(alert(service="cart"), silence(match=match), service="checkout") is None
    assert quiet(alert(service="checkout"), silence(match=match), service="payments") is None
    assert quiet(alert(service="search"), silence(match=match), service="search") == "silence/3"
