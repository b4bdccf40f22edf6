"""The budget of a key: what PagerDuty counts in any minute, not what a bucket holds."""

import random
from datetime import timedelta

import pytest

from bot.errors import OverBudget
from bot.pagerduty.limits import KEPT_FOR_THE_WORST, KEPT_FREE, PER_MINUTE, Budget


class Ticking:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("seed", range(5))
def test_no_minute_ever_holds_more_calls_than_pagerduty_takes(seed):
    clock, luck, made = Ticking(), random.Random(seed), []
    budget = Budget(clock)
    for _ in range(3000):
        clock.now += luck.expovariate(10)
        try:
            budget.spend("key", luck.randint(1, 5))
        except OverBudget:
            continue
        made.append(clock.now)

    assert max(sum(begin <= at < begin + 60 for at in made) for begin in made) == PER_MINUTE


def test_what_is_over_budget_has_room_when_its_wait_is_over():
    clock = Ticking()
    budget = Budget(clock)
    for _ in range(PER_MINUTE):
        budget.spend("key", 1)
        clock.now += 0.1
    with pytest.raises(OverBudget) as raised:
        budget.spend("key", 1)

    clock.now += raised.value.wait.total_seconds()
    budget.spend("key", 1)
    with pytest.raises(OverBudget):
        budget.spend("key", 1)


@pytest.mark.parametrize("workers", [1, 2, 3, 40, 500])
def test_so_many_workers_together_send_no_more_than_pagerduty_takes_and_each_can_send_one(workers):
    budgets = [Budget(Ticking()) for _ in range(workers)]
    taken = 0
    for one in budgets:
        one.share(workers)
        for rank in (5, 1) * PER_MINUTE:
            try:
                one.spend("key", rank)
            except OverBudget:
                continue
            taken += 1

    assert workers <= taken <= max(PER_MINUTE, workers)


@pytest.mark.parametrize(("rank", "workers", "wait"), [(1, 8, 2), (2, 8, 2), (3, 8, 60), (1, 1, 60)])
def test_what_is_critical_is_offered_again_soon_where_another_worker_may_have_room_for_it(rank, workers, wait):
    budget = Budget(Ticking())
    budget.share(workers)
    with pytest.raises(OverBudget) as raised:
        for _ in range(PER_MINUTE + 1):
            budget.spend("key", rank)

    assert raised.value.wait == timedelta(seconds=wait)


def test_a_flood_of_lesser_pages_leaves_room_for_what_is_critical_and_for_other_keys():
    budget = Budget(Ticking())
    for _ in range(PER_MINUTE - KEPT_FREE):
        budget.spend("key")
    with pytest.raises(OverBudget):
        budget.spend("key")

    budget.spend("another")
    for _ in range(KEPT_FREE - KEPT_FOR_THE_WORST):
        budget.spend("key", 2)
    with pytest.raises(OverBudget):
        budget.spend("key", 2)
    for _ in range(KEPT_FOR_THE_WORST):
        budget.spend("key", 1)
    with pytest.raises(OverBudget):
        budget.spend("key", 1)


@pytest.mark.parametrize(("asked", "waits"), [((5,), 5), ((20, 5), 20), ((900,), 60)])
def test_after_a_429_the_key_is_left_alone_for_the_longest_wait_that_was_named_and_a_minute_at_most(asked, waits):
    clock = Ticking()
    budget = Budget(clock)
    for seconds in asked:
        budget.block("key", timedelta(seconds=seconds))

    clock.now += waits - 1
    with pytest.raises(OverBudget) as raised:
        budget.spend("key", 1)
    assert raised.value.wait == timedelta(seconds=1)
    budget.spend("another")
    clock.now += 1
    budget.spend("key")
