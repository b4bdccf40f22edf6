"""No place at which a process may die is left out."""

from typing import get_args

import pytest

from bot import points
from bot.incidents.effects import Effect
from tests.faults import matrix


@pytest.mark.parametrize("kind", get_args(Effect))
def test_every_effect_says_by_which_calls_it_changes_something_outside(kind):
    assert points.CALLS.get(kind), f"add {kind.__name__} to points.CALLS: tests of faults kill the bot at each of its calls"


def test_every_point_and_every_call_is_killed_at_on_both_databases():
    planned = {(plan.kills[0].name, plan.database) for plan in matrix.plans(range(1), {})}

    assert planned == {(place.name, kind) for place in matrix.places() for kind in matrix.KINDS}


def test_a_seed_chooses_the_same_kills_again():
    counts = dict.fromkeys(points.every(), 5)

    assert list(matrix.plans(range(3), counts)) == list(matrix.plans(range(3), counts))
    assert len({plan.kills for plan in matrix.plans(range(9), counts)}) > len(matrix.places())
