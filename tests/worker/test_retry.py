"""When to try again, and when to give up: a table."""

from datetime import timedelta

import pytest

from bot.incidents.effects import Lane, PageOnCall, PostDraft, RaiseAlarm
from bot.worker.retry import ENOUGH, HORIZON, Again, Never, next_try
from tests.builders import NOON

PAGE = PageOnCall(incident=7, dedup_key="k", pager="default", summary="s", severity="critical", source="x")
SAY = RaiseAlarm(7, "x")
DRAFT = PostDraft(7)


def wait(effect, attempt, *, luck=1.0, asked=None, after=timedelta(), needs_person=False, was_lost=False):
    found = next_try(effect.lane, attempt, NOON, NOON + after, asked, luck, needs_person=needs_person, was_lost=was_lost)
    return (found.at - NOON - after).total_seconds() if isinstance(found, Again) else found


@pytest.mark.parametrize(
    ("effect", "waits"),
    [
        (PAGE, [1, 2, 4, 8, 16, 30, 30, 30]),
        (SAY, [1, 2, 4, 8, 16, 32, 64, 120, 120]),
        (DRAFT, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
    ],
)
def test_waits_double_up_to_a_longest_one(effect, waits):
    assert [wait(effect, number) for number in range(1, len(waits) + 1)] == waits


@pytest.mark.parametrize(("luck", "seconds"), [(0.0, 4), (0.5, 6), (1.0, 8)])
def test_luck_spreads_those_who_failed_together_over_half_the_wait(luck, seconds):
    assert wait(PAGE, 4, luck=luck) == seconds


@pytest.mark.parametrize(("asked", "seconds"), [(5, 5), (0.1, 1), (3600, 3600)])
def test_what_the_neighbour_asked_for_is_not_cut_short(asked, seconds):
    assert wait(SAY, 1, asked=timedelta(seconds=asked)) == wait(DRAFT, 1, asked=timedelta(seconds=asked)) == seconds


@pytest.mark.parametrize(("asked", "seconds"), [(5, 5), (0.1, 1), (60, 60), (65, 65), (66, 65), (86_400, 65)])
def test_a_page_waits_little_longer_than_a_minute_because_somebody_asked_for_it(asked, seconds):
    assert wait(PAGE, 1, asked=timedelta(seconds=asked)) == seconds


@pytest.mark.parametrize("luck", [0.0, 1.0])
@pytest.mark.parametrize("effect", [SAY, DRAFT])
def test_after_a_lost_answer_nobody_looks_before_the_neighbour_has_had_its_time(effect, luck):
    waits = [wait(effect, number, luck=luck, was_lost=True) for number in range(1, 12)]

    assert min(waits) >= 5
    assert waits[0] <= 6
    assert wait(effect, 1, asked=timedelta(seconds=30), was_lost=True) >= 30


def test_those_whose_answers_were_lost_together_do_not_look_together():
    assert wait(SAY, 1, luck=0.0, was_lost=True) != wait(SAY, 1, luck=1.0, was_lost=True)


@pytest.mark.parametrize("attempt", [1, 2, 8])
def test_a_page_whose_answer_was_lost_waits_no_longer(attempt):
    assert wait(PAGE, attempt, was_lost=True) == wait(PAGE, attempt)


@pytest.mark.parametrize(("effect", "hours"), [(PAGE, 48), (SAY, 12), (DRAFT, 24)])
def test_after_its_hours_an_effect_is_given_up_with_the_reason(effect, hours):
    late = timedelta(hours=hours)
    assert wait(effect, 500, after=late - timedelta(minutes=10)) > 0
    assert wait(effect, 500, after=late) == Never(f"tried 500 times over {hours} hours")


@pytest.mark.parametrize("effect", [PAGE, SAY, DRAFT])
def test_a_bot_that_was_away_for_days_still_tries_as_often_as_ever(effect):
    away = timedelta(days=9)
    assert [isinstance(wait(effect, number, after=away), Never) for number in (1, ENOUGH - 1, ENOUGH)] == [False, False, True]


def test_no_number_of_tries_is_too_large_to_count():
    assert wait(PAGE, 10**9, luck=0.0) == 15


def test_a_page_is_tried_the_longest():
    assert max(HORIZON, key=lambda lane: HORIZON[lane]) is Lane.PAGER


@pytest.mark.parametrize("effect", [PAGE, SAY, DRAFT])
def test_what_a_person_has_to_mend_is_never_given_up(effect):
    assert wait(effect, 5000, after=timedelta(days=30), needs_person=True) == wait(effect, 5000)
