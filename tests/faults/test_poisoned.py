"""A full inbox, as in `make faults`; and judges of bad input and of two versions that see what is wrong."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sandbox.misbehaviour import ANY, Call, refusal
from sandbox.world import World
from tests.faults import poisoned, versions
from tests.faults.inbound import Sent
from tests.faults.poisoned import InOneChannel
from tests.faults.runs import Databases, carried_out

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


def test_a_full_inbox_refuses_in_time_and_loses_nothing_though_it_is_killed(databases):
    [trial] = [one for one in poisoned.trials(range(1, 2)) if one.fault.startswith("C8") and one.database == "sqlite"]

    outcome = carried_out(trial, databases)

    assert outcome.wrong == ()
    assert outcome.hits


def test_every_seed_brings_all_of_it_to_both_databases():
    for trials, faults in ((poisoned.trials, ("C8", "C9")), (versions.trials, ("D8",))):
        assert {(one.fault[:2], one.database, one.seed) for one in trials(range(2))} == {
            (fault, database, seed) for fault in faults for database in KINDS for seed in range(2)
        }


# --- the judges -------------------------------------------------------------------------------

REFUSED = Sent("alert", "a", 0.0, 503, 0.1, poisoned.FULL, "5")


@pytest.mark.parametrize(
    ("sent", "is_killed", "count"),
    [
        ([REFUSED], False, 0),
        ([REFUSED, replace(REFUSED, retry_after="")], False, 1),
        ([REFUSED, replace(REFUSED, status=500)], False, 1),
        ([REFUSED, replace(REFUSED, status=0)], False, 1),
        ([REFUSED, replace(REFUSED, status=0)], True, 0),
        ([replace(REFUSED, status=202, said="")], False, 1),
    ],
    ids=["as it should", "not when to come again", "a bug", "nobody there", "killed", "never full"],
)
def test_a_wrong_answer_of_a_full_inbox_is_seen(sent, is_killed, count):
    assert len(list(poisoned.told_when_to_come_again(sent, is_killed=is_killed))) == count


def test_what_is_never_taken_or_taken_and_not_handled_is_seen():
    assert list(poisoned.each_taken({"a": True}, Counter("a"))) == []
    assert len(list(poisoned.each_taken({"a": False, "b": True}, Counter("a")))) == 2


@pytest.mark.parametrize(("reason", "attempts", "count"), [("a bug", 8, 0), ("a bug", 7, 1), ("", 8, 1)])
def test_a_row_that_was_put_aside_too_soon_or_without_a_reason_is_seen(reason, attempts, count):
    row = {"number": 1, "reason": reason, "attempts": attempts}

    assert len(list(poisoned.put_aside(row, "a bug", 8))) == count


def test_slack_refuses_what_is_said_to_one_channel_only():
    world = World()
    world.misbehaving["slack"].append(InOneChannel(ANY, refusal("invalid_blocks"), None, 1.0, world=world, channel="C1"))

    met = [world.met(Call("slack", "chat.postMessage", {"channel": one}, 0.0, world.clock())) for one in ("C1", "C2", "C1")]

    assert [one is not None for one in met] == [True, False, True]
