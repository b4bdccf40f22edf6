"""Deliveries of many senders that overtake each other, on both databases; and proof that a bot that believes them all is seen."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from bot.alerts.alert import Status
from bot.alerts.registry import OURS, source_named
from bot.alerts.source import Delivery, Example, Source
from tests.builders import NOON
from tests.documents import TELLS_ORDER
from tests.faults.crossed import SENDERS, Crossed, Letter, Story, Street, play


class Unordered:
    """A source that does not say when what it tells of changed: what comes last counts."""

    def __init__(self, source):
        self._source = source

    def parse(self, delivery, mapping):
        reading = self._source.parse(delivery, mapping)
        return replace(reading, alerts=tuple(replace(one, changed_at=None) for one in reading.alerts))


PARTS = 3
"""Of all senders at once each would hardly turn."""


def few(part: int) -> type[Crossed]:
    return type("Few", (Crossed,), {"senders": tuple(SENDERS)[part::PARTS]})


@pytest.mark.parametrize("part", range(PARTS))
def test_the_end_is_the_same_whatever_was_late_lost_or_twice(store, part):
    is_embedded, machine = store.engine.dialect.name == "sqlite", few(part)

    seen = play(7, 16 if is_embedded else 12, store, machine)

    assert all(seen[one] for one in (*machine.senders, "pagerduty", "overtook", "lost", "again", "overtaken")), seen


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_bot_that_believes_whatever_comes_last_is_found_out(store, part):
    with pytest.raises(AssertionError):
        play(7, 60, store, few(part), shrinks=False, readers={one.name: Unordered(one) for one in OURS})


@pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
def test_the_sources_that_tell_the_order_are_those_that_are_documented(source):
    told = set[bool]()
    for example in source.examples:
        body = example.body_at(NOON)
        headers = {name.lower(): value for name, value in example.sent_by(source, "x", NOON, body).items()}
        alerts = source.parse(Delivery(body, headers, "main", NOON), {}).alerts
        told |= {one.changed_at is not None for one in alerts}

    assert (True in told) == (source.name in TELLS_ORDER)


def fire_and_end(source: Source) -> tuple[Example, Example]:
    """Two examples of one alert, which say when they came to be."""
    told = []
    for example in source.examples:
        headers = {name.lower(): value for name, value in example.headers.items()} | {"content-type": example.content_type}
        signed = {name.lower(): value for name, value in source.sign(b"", "x", NOON).items()}
        [alert] = source.parse(Delivery(example.body_at(NOON), signed | headers, "main", NOON), {}).alerts
        told += [(example, alert)] if alert.changed_at is not None else []
    return next(
        (fire, end)
        for (fire, fires), (end, ends) in product(told, told)
        if (fires.status, ends.status) == (Status.FIRING, Status.RESOLVED) and fires.identity == ends.identity
    )


def letter(source: Source, example: Example, at: datetime) -> Letter:
    """It, as its sender wrote it at that time."""
    headers = {name.lower(): value for name, value in example.headers.items()} | {"content-type": example.content_type}
    return Letter(source.name, Story(source.name, source.name), example.body_at(at), headers, at)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", TELLS_ORDER)
def test_what_began_before_the_end_that_came_first_opens_nothing_and_what_begins_after_it_does(store, name):
    source, street = source_named(name), Street(store)
    fire, end = fire_and_end(source)
    try:
        street.passes(timedelta(minutes=10))
        street.takes(letter(source, end, NOON + timedelta(minutes=5)))
        street.takes(letter(source, fire, NOON))
        assert not street.store.incidents(10)

        street.takes(letter(source, fire, NOON + timedelta(minutes=7)))
        [opened] = street.store.incidents(10)
        assert opened.is_open
        assert opened.firing
    finally:
        street.close()
