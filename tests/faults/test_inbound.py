"""The worst of what comes in, as in `make faults`; and judges that see what is wrong."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from tests.builders import ANA, acknowledged, after
from tests.faults import inbound
from tests.faults.inbound import Sent
from tests.faults.runs import Databases, carried_out

WORST = ("C6 the database is away while things come in, 5 × 60 s · sqlite",)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


@pytest.mark.parametrize("name", WORST)
def test_nothing_is_lost_and_nothing_counts_twice(name, databases):
    [trial] = [one for one in inbound.trials(range(1)) if one.name.startswith(name)]

    shorter = partial(inbound.database_away, away_seconds=2.5, outages=1)
    outcome = carried_out(replace(trial, play=shorter), databases)

    assert outcome.wrong == ()
    assert outcome.hits


# --- the judges -------------------------------------------------------------------------------

TAKEN = Sent("alert", "a", 0.0, 202, 0.1)
TYPED = Sent("command", "c", 0.0, 200, 0.1, said="Noted.")


@pytest.mark.parametrize(
    "one",
    [
        replace(TAKEN, status=500),
        replace(TAKEN, status=0),
        replace(TAKEN, status=503),
        replace(TYPED, status=503),
        replace(TYPED, seconds=3.4),
    ],
    ids=["a bug", "nobody there", "not when to come again", "an error for a person", "too late for a person"],
)
def test_a_wrong_answer_while_the_database_is_away_is_seen(one):
    assert list(inbound.answered_right([TAKEN, TYPED, replace(TAKEN, status=503, retry_after="5")])) == []
    assert len(list(inbound.answered_right([one]))) == 1


def test_a_slow_or_a_refused_answer_under_load_is_seen():
    quick = [replace(TAKEN, seconds=0.2)] * 200

    assert list(inbound.soon(quick)) == []
    assert "p99" in next(inbound.soon([*quick, *[replace(TAKEN, seconds=1.2)] * 4])).what
    assert "at worst" in next(inbound.soon([*quick, replace(TAKEN, seconds=2.6)])).what
    assert "not taken" in next(inbound.soon([*quick, replace(TAKEN, status=503)])).what


def record(*types, notes=()):
    """A record with these entries on its timeline."""
    entries = [SimpleNamespace(type=one, fields={}) for one in types]
    entries += [SimpleNamespace(type="note", fields={"text": one}) for one in notes]
    return SimpleNamespace(store=SimpleNamespace(timeline=lambda ref: entries))


def test_what_counts_twice_and_what_is_missing_is_seen():
    assert list(inbound.once_each(record("ack", "resolved"), Counter({"ack": 1, "resolved": 1}))) == []
    assert [one.kind for one in inbound.once_each(record("ack", "ack"), Counter({"ack": 1, "resolved": 1}))] == ["message", "lost"]
    pins = [f"seen {number}" for number in range(10)]
    assert list(inbound.pinned_once(record(notes=pins), pins)) == []
    assert [one.kind for one in inbound.pinned_once(record(notes=[*pins[1:], pins[1]]), pins)] == ["lost", "message"]


def test_six_seeds_send_three_hundred_pins_again_some_of_them_in_slacks_own_time():
    assert 2 * (sum(inbound.OWN_WAVES) + 5 * sum(inbound.WAVES)) == 300
    names = [one.name for one in inbound.trials(range(6)) if one.fault.startswith("C5")]
    assert len(names) == 12
    assert sum("own time" in one for one in names) == 2


@pytest.mark.parametrize(
    ("took", "by", "late"), [(61, inbound.ANA, 0), (5, ANA, 0), (5, inbound.ANA, 4)], ids=["late", "somebody else", "another time"]
)
def test_an_acknowledgement_that_is_found_late_or_wrong_is_seen(took, by, late):
    page = SimpleNamespace(log=[{"type": "acknowledge_log_entry", "created_at": after(1).isoformat()}])

    def incident(by, at):
        return acknowledged(episode={"acknowledged_at": at, "acknowledged_by": by, "acknowledged_via": "pagerduty"})

    assert list(inbound.found_in_time(incident(inbound.ANA, after(1)), page, 30)) == []
    assert len(list(inbound.found_in_time(incident(by, after(1) + timedelta(seconds=late)), page, took))) == 1
