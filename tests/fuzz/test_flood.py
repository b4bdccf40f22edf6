"""Alerts of which none is like another, of every source: none is held in memory, and thousands are few incidents."""

import pytest

from bot.alerts.registry import sources
from tests.fuzz.flood import alerts_of, all_different, numbered, over_http_all_different

FEW, MANY = 600, 3_000
"""`make fuzz` sends a hundred thousand of each."""


@pytest.mark.parametrize("name", sources())
def test_alerts_that_are_all_different_are_held_nowhere(name):
    assert all_different(name, FEW).wrong == ()


@pytest.mark.parametrize("name", sources())
def test_they_are_told_apart_and_stay_what_they_are(name):
    made = numbered(name)
    first, again, second = ({one.fingerprint("main") for one in alerts_of(made(number))} for number in (1, 1, 2))

    assert first == again
    assert first != second


@pytest.mark.timeout(600)
def test_a_flood_of_different_alerts_of_one_source_is_few_incidents_and_no_memory(tmp_path):
    assert over_http_all_different(f"sqlite:///{tmp_path / 'flood.db'}", MANY).wrong == ()
