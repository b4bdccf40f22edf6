"""When an alert flaps, and when it is over."""

from datetime import timedelta

import pytest

from bot.alerts.flapping import MOST_KEPT, STEADY, Flapping
from tests.builders import NOON, after

RULE = Flapping()


def fired(*minutes, rule=RULE):
    flaps = STEADY
    for one in minutes:
        flaps = flaps.fired(after(one), after(one), rule)
    return flaps


@pytest.mark.parametrize(
    ("minutes", "since"),
    [
        ((), None),
        ((0, 1), None),
        ((0, 1, 2), 2),
        ((0, 30, 60), 60),
        ((0, 30, 60.1), None),
        ((0, 30, 61, 90), 90),
        # Once it flaps it flaps until it has been calm for an hour, however slow it gets.
        ((0, 1, 2, 50, 109), 2),
        ((0, 1, 2, 62), None),
        ((0, 1, 2, 62, 63, 64), 64),
    ],
)
def test_three_fires_within_an_hour_flap_until_there_was_none_for_an_hour(minutes, since):
    assert fired(*minutes).since == (None if since is None else after(since))


@pytest.mark.parametrize(("rule", "flaps"), [(Flapping(2), True), (Flapping(3, timedelta(minutes=1)), False), (Flapping(0), False)])
def test_how_many_within_which_time_is_the_policys(rule, flaps):
    assert (fired(0, 1, 2, rule=rule).since is not None) is flaps


def test_it_is_calm_an_hour_after_it_last_fired():
    flaps = fired(0, 10, 20)

    assert flaps.calm_at(RULE) == after(80)
    assert [flaps.is_calm(after(one), RULE) for one in (79.9, 80)] == [False, True]
    assert flaps.calmed().since is None
    assert flaps.calmed().fired(after(70), after(70), RULE).since == after(70)


def test_what_comes_late_counts_from_when_it_began_and_what_tells_no_new_start_from_when_it_came():
    late = STEADY.fired(after(0), after(300), RULE).fired(after(120), after(300), RULE).fired(after(240), after(300), RULE)
    same = STEADY.fired(NOON, after(1), RULE).fired(NOON, after(10), RULE).fired(NOON, after(20), RULE)

    assert late.lately == (after(240),)
    assert late.since is None
    assert same.lately == (after(0), after(10), after(20))
    assert same.since == after(20)


def test_only_so_many_fires_are_kept_with_their_times():
    flaps = fired(*(one / 10 for one in range(MOST_KEPT + 10)))

    assert (len(flaps.lately), flaps.count(after(4), RULE)) == (MOST_KEPT, MOST_KEPT)
    assert flaps.count(after(120), RULE) == 0
