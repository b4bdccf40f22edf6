"""One thing of each kind that can stop; and that the judge of it can say no."""

import pytest

from tests.faults import watch
from tests.faults.runs import Databases, carried_out

VANISHES = "G a timer's row vanishes"


def test_a_vanished_timer_silences_the_heartbeat_and_is_named():
    [trial] = [one for one in watch.trials(range(1)) if one.fault == VANISHES and one.database == "sqlite"]

    outcome = carried_out(trial, Databases())

    assert outcome.wrong == ()
    assert outcome.hits


@pytest.mark.parametrize(
    ("beats", "named_at", "said"),
    [
        ([98.0, 105.0], 102.0, []),
        ([98.0, 112.0], 102.0, ["heartbeats went on for 12.0 s, with a round of 3 s"]),
        ([98.0], None, ["“the cause” was not named in time; well"]),
        ([98.0], 109.0, ["“the cause” was not named in time; well"]),
    ],
)
def test_the_judge_hears_a_heartbeat_that_goes_on_and_misses_a_cause_that_nobody_names(beats, named_at, said):
    assert [one.what for one in watch.judged(beats, 100.0, named_at, "the cause", "well")] == said
