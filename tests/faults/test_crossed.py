"""Deliveries of five senders that overtake each other, on both databases; and proof that a bot that believes them all is seen."""

from dataclasses import replace

import pytest

from bot.alerts.registry import OURS
from bot.alerts.source import Delivery
from tests.builders import NOON
from tests.documents import TELLS_ORDER
from tests.faults.crossed import SENDERS, Crossed, play


class Unordered:
    """A source that does not say when what it tells of changed: what comes last counts."""

    def __init__(self, source):
        self._source = source

    def parse(self, delivery, mapping):
        reading = self._source.parse(delivery, mapping)
        return replace(reading, alerts=tuple(replace(one, changed_at=None) for one in reading.alerts))


class Few(Crossed):
    """With what was seen of its own."""


def test_the_end_is_the_same_whatever_was_late_lost_or_twice(store):
    is_embedded = store.engine.dialect.name == "sqlite"

    seen = play(7, 12 if is_embedded else 8, store, Few)

    assert all(seen[one] for one in (*SENDERS, "pagerduty", "overtook", "lost", "again", "overtaken")), seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bot_that_believes_whatever_comes_last_is_found_out(store):
    with pytest.raises(AssertionError):
        play(7, 60, store, Few, shrinks=False, readers={one.name: Unordered(one) for one in OURS})


@pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
def test_the_sources_that_tell_the_order_are_those_that_are_documented(source):
    told = set[bool]()
    for example in source.examples:
        body = example.body_at(NOON)
        headers = {name.lower(): value for name, value in example.sent_by(source, "x", NOON, body).items()}
        alerts = source.parse(Delivery(body, headers, "main", NOON), {}).alerts
        told |= {one.changed_at is not None for one in alerts}

    assert (True in told) == (source.name in TELLS_ORDER)
