"""No place at which a process may die is left out."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from bot import points
from bot.incidents.effects import AcknowledgePage, Effect
from tests.faults import asides, matrix, migrations
from tests.faults.rig import TOP, Kill

NOTHING: matrix.Counts = {"slack": {}, "pagerduty": {}}


@pytest.mark.parametrize("kind", get_args(Effect))
def test_every_effect_says_by_which_calls_it_changes_something_outside(kind):
    assert points.CALLS.get(kind), f"add {kind.__name__} to points.CALLS: tests of faults kill the bot at each of its calls"


def test_every_point_and_every_call_is_killed_at_on_both_databases():
    planned = {(plan.kills[0].name, plan.database) for plan in matrix.plans(range(1), NOTHING)}

    assert planned == {(place.name, kind) for place in matrix.places() for kind in matrix.KINDS}


def test_a_process_stands_still_at_every_place_on_both_databases():
    planned = {(plan.kills[0].name, plan.database) for plan in matrix.frozen(range(1), NOTHING)}

    assert planned == {(place.name, kind) for place in matrix.places() for kind in matrix.KINDS}
    assert {plan.shape for plan in matrix.frozen(range(2), NOTHING) if plan.database == "sqlite"} == {"serve"}


def test_a_seed_chooses_the_same_kills_again():
    counts = dict.fromkeys(matrix.SIDES, dict.fromkeys(points.every(), 5))

    assert list(matrix.plans(range(3), counts)) == list(matrix.plans(range(3), counts))
    assert len({plan.kills for plan in matrix.plans(range(9), counts)}) > len(matrix.places())


def test_the_page_is_acknowledged_in_pagerduty_half_of_the_time_but_where_the_story_then_does_not_come_to_the_place():
    told = dict.fromkeys(points.every(), 2) | dict.fromkeys(points.changing(), 2)
    only_here = points.claimed(AcknowledgePage)
    counts = {"slack": told, "pagerduty": {one: 1 for one in told if one != only_here}}

    every = [*matrix.plans(range(9), counts), *matrix.doubles(range(1), counts), *matrix.frozen(range(2), counts)]

    there = [one for one in every if one.side == "pagerduty"]
    assert 0.4 < len(there) / len(every) < 0.6
    assert {one.side for one in every if one.kills[0].point == only_here} == {"slack"}
    assert {one.kills[0].time for one in there} == {1}
    assert {one.shape for one in there} == {one.shape for one in every if one.side == "slack"} == {"serve", "apart"}
    assert len({one.name for one in every}) == len(every)


def calls_in(path: Path) -> Iterator[str]:
    """The names of the calls that a file makes, as it writes them."""
    for one in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute):
            continue
        literal = one.args[0].value if one.args and isinstance(one.args[0], ast.Constant) else None
        if one.func.attr in ("call", "_about_to", "api_call") and isinstance(literal, str):
            yield literal
        named = getattr(one.func.value, "attr", getattr(one.func.value, "id", ""))
        if one.func.attr in ("get", "put", "post", "enqueue") and named in ("_client", "client"):
            yield one.func.attr
        yield from (str(word.value.value) for word in one.keywords if word.arg == "call" and isinstance(word.value, ast.Constant))


@pytest.mark.parametrize("edge", ["slack", "pagerduty"])
def test_every_call_that_the_code_makes_is_a_place_to_die_at(edge):
    made = {call: path.name for path in sorted((TOP / "bot" / edge).rglob("*.py")) for call in calls_in(path)}

    assert len(made) > 3
    missing = {call: name for call, name in made.items() if call not in {*points.changing(), *points.READS}}
    assert not missing, f"add these to CALLS, ASIDE or READS of bot/points.py: {missing}"


def test_every_point_and_every_call_is_killed_at_somewhere():
    planned = {kill.name for plan in matrix.plans(range(1), NOTHING) for kill in plan.kills}
    elsewhere = " ".join(one.fault for one in (*asides.trials(range(1)), *migrations.trials(range(1))))

    every = (*points.every(), *(Kill(call=one).name for one in points.changing()))
    assert [one for one in every if one not in planned and f"killed at {one}" not in elsewhere] == []
