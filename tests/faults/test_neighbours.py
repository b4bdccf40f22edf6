"""A few trials of neighbours that fail, in every test run; and judges that do not say yes to everything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot import points
from sandbox.misbehaviour import RESET, Call, Misbehaviour, limited
from tests.faults import neighbours, outages, simulated, strangers
from tests.faults.matrix import KINDS
from tests.faults.runs import Databases, carried_out
from tests.faults.trials import Trial

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
WORST = (
    Trial("B3 a reset, after it was carried out to conversations.create", "sqlite", 0,
          neighbours.told_while("slack", "conversations.create", RESET.after(), "serve")),
    Trial("B7 PagerDuty takes a page and loses it, twice", "sqlite", 0, strangers.lost(2)),
)  # fmt: skip


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


@pytest.mark.parametrize("trial", WORST, ids=lambda one: one.fault)
def test_nothing_is_lost_and_nothing_is_there_twice_after(trial, databases):
    outcome = carried_out(trial, databases)

    assert outcome.wrong == ()
    assert outcome.hits


def dealt(seeds: range) -> set[tuple[str, str, str, str]]:
    """What these seeds bring: place, way to fail, call, database."""
    found = {(one.fault.replace(", waited out", ""), one.database) for one in neighbours.trials(seeds)}
    return {(fault[:2], *fault[3:].rsplit(" to ", 1), database) for fault, database in found}


ALL_WAYS = [
    *((place, wrong, calls) for place, _, calls, ways in neighbours.FAILURES for wrong in ways),
    *(("B1", neighbours.retry_after(kind), (*neighbours.SLACK_METHODS, *neighbours.LOOKED_AT)) for kind in neighbours.WAITS),
]


@pytest.mark.parametrize("first", [0, 1, 4, 6])
def test_six_seeds_bring_each_way_to_fail_to_each_call(first):
    met = {one[:3] for one in dealt(range(first, first + neighbours.SPREAD))}

    assert {(place, wrong.name, call) for place, wrong, calls in ALL_WAYS for call in calls} - met == set()


def manners(wrong: Misbehaviour) -> set[str]:
    """In which of three ways a call is worse off: its answer is lost, it takes for ever, or it is refused."""
    found = {"lost"} if wrong.is_after else set()
    found |= {"slow"} if wrong.way in ("hang", "drip") else set()
    return found or {"refused"}


@pytest.mark.parametrize("first", [0, 6])
def test_six_seeds_bring_answers_that_are_lost_refused_and_slow_to_each_call_on_each_database(first):
    known = {(place, wrong.name): manners(wrong) for place, wrong, _ in ALL_WAYS}
    met = dealt(range(first, first + neighbours.SPREAD))

    found = {(one, call, database) for place, way, call, database in met for one in (place, *known[place, way])}
    wanted = {
        (one, call, kind) for place, wrong, calls in ALL_WAYS for call in calls for kind in KINDS for one in (place, *manners(wrong))
    }
    assert {one[0] for one in wanted} == {"B1", "B2", "B3", "lost", "refused", "slow"}
    assert wanted - found == set()


def test_twice_as_many_seeds_bring_each_way_to_each_call_on_each_database():
    met = dealt(range(2 * neighbours.SPREAD))

    assert {(place, wrong.name, call, kind) for place, wrong, calls in ALL_WAYS for call in calls for kind in KINDS} - met == set()


def test_every_call_that_changes_something_has_a_neighbour():
    assert {*neighbours.SLACK_METHODS, *neighbours.PAGER_CALLS, "upload"} == {one for made in points.CALLS.values() for one in made}


# --- the judges -------------------------------------------------------------------------------


def call(at: float, name: str = "chat.update", **more: object) -> Call:
    return Call("slack", name, {}, at, NOON + timedelta(seconds=at), **more)  # type: ignore[arg-type]


ASKED = call(100, wrong=limited("x", {}, {}), status=429)


@pytest.mark.parametrize(("at", "name", "wrongs"), [(105, "chat.update", 1), (131, "chat.update", 0), (105, "pins.add", 0)])
def test_a_call_before_its_wait_is_over_is_wrong(at, name, wrongs):
    assert len(list(neighbours.waits_kept([ASKED, call(at, name)], 30))) == wrongs


def test_nothing_else_that_is_called_after_a_429_is_wrong():
    assert list(neighbours.others_went_on([call(1, "pins.add"), ASKED, call(140)]))
    assert not list(neighbours.others_went_on([ASKED, call(101, "pins.add")]))


@pytest.mark.parametrize(("seconds", "wrongs"), [(11.0, 0), (20.0, 1)])
def test_a_worker_that_waits_for_too_long_is_wrong(seconds, wrongs):
    assert len(list(neighbours.nobody_blocked([call(1, seconds=seconds)]))) == wrongs


@pytest.mark.parametrize(("taken", "wrongs"), [([call(3, "enqueue", status=202)], 0), ([call(9, "enqueue", status=202)], 1), ([], 1)])
def test_a_page_that_is_late_or_never_taken_is_wrong(taken, wrongs):
    assert len(list(neighbours.paged_in_time(taken, 0))) == wrongs


@pytest.mark.parametrize(
    ("seconds", "wrongs"),
    [
        ([3 * one for one in range(1, 31)], 0),
        ([130 + 4 * one for one in range(30)], 1),
        ([3 * one for one in range(1, 30)], 1),
        ([3 * one for one in range(1, 32)], 1),
        ([2.8 * one for one in range(1, 31)], 1),
        ([1] * 31, 2),
    ],
)
def test_channels_that_are_late_too_few_or_too_many_at_once_are_wrong(seconds, wrongs):
    made = [NOON + timedelta(seconds=one) for one in seconds]

    assert len(list(outages.channels_after(made, NOON))) == wrongs


@pytest.mark.parametrize(("said_after", "wrongs"), [(59, 0), (61, 1), (None, 1)])
def test_people_who_are_called_late_or_never_are_wrong(said_after, wrongs):
    said_at = None if said_after is None else NOON + timedelta(seconds=said_after)

    assert len(list(outages.called_in_time(1, NOON, said_at))) == wrongs


@pytest.mark.parametrize(("moments", "wrongs"), [([0, 60, 120], 0), ([0, 60, 70], 1)])
def test_a_token_that_is_refused_and_tried_again_at_once_is_wrong(moments, wrongs):
    assert len(list(strangers.no_hot_loop([call(at) for at in moments], 1))) == wrongs


@pytest.mark.parametrize(
    ("keys", "times", "wrongs"), [(["a", "a"], 1, 0), (["a"], 1, 1), (["a", "b"], 1, 1), (["a", "b", "c"], 1, 2)]
)
def test_a_lost_page_that_is_not_sent_again_or_with_another_key_is_wrong(keys, times, wrongs):
    calls = [Call("pagerduty", "enqueue", {"dedup_key": one}, 0, NOON) for one in keys]

    assert len(list(strangers.sent_again(calls, times))) == wrongs


def test_the_most_in_a_minute_are_those_of_any_minute():
    assert simulated.most_in(60, [NOON + timedelta(seconds=one) for one in (0, 50, 59, 70, 109, 130)]) == 4
