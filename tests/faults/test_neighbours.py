"""A few trials of neighbours that fail, in every test run; and judges that do not say yes to everything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot import points
from sandbox.misbehaviour import RESET, Call, limited
from tests.faults import neighbours, outages, simulated, strangers
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


def test_a_few_seeds_bring_each_way_to_fail_to_each_call():
    names = {one.fault for one in neighbours.trials(range(len(neighbours.CALLS)))}

    for calls, ways in (
        ((*neighbours.SLACK_METHODS, "upload"), (*neighbours.SLACK_NONSENSE, *neighbours.SILENCE)),
        (neighbours.PAGER_CALLS, (*neighbours.PAGER_NONSENSE, *neighbours.SILENCE)),
    ):
        missing = [f"{wrong.name} to {call}" for wrong in ways for call in calls if not names & {
            f"B2 {wrong.name} to {call}", f"B3 {wrong.name} to {call}"}]  # fmt: skip
        assert missing == []


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
    [([3 * one for one in range(1, 21)], 0), ([130 + 4 * one for one in range(20)], 1), ([1] * 19, 1), ([1] * 21, 2)],
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
