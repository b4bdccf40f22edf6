"""Nothing that a sender writes is lost: each value of each real payload, and of each example, is somewhere in what is read of it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest

from bot.alerts.reading import ZERO_TIME, moment, text_of
from bot.alerts.registry import OURS, source_named
from bot.alerts.source import Delivery, Example, Reading, Source
from bot.errors import Unreadable
from tests.alerts.test_corpus import (
    CAPTURED,
    FILES,
    captured_body,
    delivered,
    named,
    needs_corpus,
    source_of,
)
from tests.builders import NOON

EACH = ("alerts", "messages")
"""Where the alerts of a body stand: what is in one of them must be in what is read of that one."""
UNSET = re.compile(r"\$[A-Z][A-Z0-9_]*(\[[^\]]*\]|\$)?|\{[A-Z][^{}\s]*\}|\*\w+\*|null", re.IGNORECASE)
"""A variable that its sender had nothing for."""
LONG = 4
"""From so many characters on, a text counts as kept where it is part of another: shorter ones are in anything."""
SEEN = 200
"""So much of a long text is looked for: descriptions and titles are cut."""
PROOF = "what its sender proves itself with, which is kept nowhere"
ENVELOPE = "of SNS' envelope, which is looked at before it is opened"
EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "azure_monitor": {"schemaId": "the name of the form that the rest is in"},
    "cloudwatch": {
        "Signature": PROOF,
        "SignatureVersion": ENVELOPE,
        "SigningCertURL": ENVELOPE,
        "Timestamp": ENVELOPE,
        "Type": ENVELOPE,
        "UnsubscribeURL": "whoever has it ends the subscription",
    },
    "honeycomb": {"shared_secret": PROOF},
    "statuscake": {"Token": PROOF},
}
"""What is not kept, by source and place, and why not."""


class Leaf(NamedTuple):
    """A value, where it stands, and the name that it has."""

    place: str
    name: str
    value: Any


def leaves(value: Any, place: str = "", name: str = "") -> Iterator[Leaf]:
    """Every value that says something, of a text that is JSON those in it."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from leaves(one, f"{place}.{key}" if place else str(key), str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one, f"{place}[]", name)
    elif (text := text_of(value)) and not UNSET.fullmatch(text) and not text.startswith(ZERO_TIME):
        yield Leaf(place, name, value)


class Kept:
    """All that is in what was read."""

    def __init__(self, *read: Any) -> None:
        self.named: set[tuple[str, str]] = set()
        self.texts: set[str] = set()
        self.times: set[datetime] = set()
        for one in read:
            self._take(asdict(one), "")
        self.whole = "\n".join(self.texts)

    def _take(self, value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, one in value.items():
                self.texts.add(plain(key))
                self._take(one, str(key))
        elif isinstance(value, list | tuple):
            for one in value:
                self._take(one, name)
        elif isinstance(value, datetime):
            self.times.add(value)
        else:
            self._take_text(value, name)

    def _take_text(self, value: Any, name: str) -> None:
        if isinstance(value, str) and value[:1] in ("{", "["):
            for leaf in leaves(value):
                self.named.add((leaf.name, plain(leaf.value)))
        self.named.add((name, plain(value)))
        if isinstance(value, str):
            self.texts.add(plain(value))

    def has(self, leaf: Leaf) -> bool:
        """Whether it is there: under its name, as a text of its own, as part of one, or as a time."""
        text = plain(leaf.value)
        if (leaf.name, text) in self.named or text in self.texts or self._has_tags(leaf):
            return True
        return (len(text) >= LONG and text in self.whole) or moment(leaf.value) in self.times

    def _has_tags(self, leaf: Leaf) -> bool:
        """Whether it is tags, each of which is a label: `service:checkout, paged`."""
        tags = [one.strip() for one in text_of(leaf.value).split(",")] if "tag" in leaf.name.lower() else []
        pairs = [one.partition(":") for one in tags]
        return bool(tags) and all((name.strip(), plain(rest or "true")) in self.named for name, _, rest in pairs)


def plain(value: Any) -> str:
    """A value as it is compared."""
    return " ".join(text_of(value).split())[:SEEN].strip().lower()


def body_of(delivery: Delivery) -> Any:
    """What was sent: JSON, a form, or a form in parts of which one is called data."""
    text = delivery.body.decode("utf-8-sig", "replace")
    if part := re.search(r'name="data"\r?\n\r?\n(.*?)\r?\n--', text, re.DOTALL):
        text = part[1]
    try:
        return json.loads(text)
    except ValueError:
        return dict(parse_qsl(text))


def lost(source: Source, delivery: Delivery) -> set[str]:
    """The places whose values are nowhere in what is read; none of what is refused or ignored as a whole."""
    try:
        reading = source.parse(delivery, {})
    except Unreadable:
        return set()
    if not reading.alerts:
        return set()
    return {leaf.place.replace("[]", "") for leaf, kept in _sought(body_of(delivery), reading) if not kept.has(leaf)}


def _sought(body: Any, reading: Reading) -> Iterator[tuple[Leaf, Kept]]:
    """Each value, and where it has to be: in its own alert, if there is one for each part of the body."""
    whole = Kept(*reading.alerts, *reading.pager)
    parts, place = (body, "") if isinstance(body, list) else ((), "")
    if isinstance(body, dict):
        place = next((one for one in EACH if isinstance(body.get(one), list)), "")
        parts = body[place] if place else ()
        yield from ((leaf, whole) for leaf in leaves({key: one for key, one in body.items() if key != place}))
    is_each = len(parts) == len(reading.alerts)
    for index, part in enumerate(parts):
        kept = Kept(reading.alerts[index]) if is_each else whole
        yield from ((leaf, kept) for leaf in leaves(part, place))


def sent(source: Source, example: Example) -> Delivery:
    """An example, as it is sent."""
    body = example.body_at(NOON)
    headers = {name.lower(): value for name, value in example.sent_by(source, "x", NOON, body).items()}
    return Delivery(body, headers, "main", NOON)


def payloads() -> Iterator[tuple[str, Source, Delivery]]:
    """Every real payload that is beside the checkout, and every example."""
    for meta in FILES:
        yield named(meta), source_named(source_of(meta)), delivered(meta)
    for path in CAPTURED:
        yield f"alertmanager/{path.stem}", source_named("alertmanager"), Delivery(captured_body(path), {}, "main", NOON)
    for source in OURS:
        yield from ((f"{source.name}/example {one.name}", source, sent(source, one)) for one in source.examples)


EVERY = list(payloads())


@pytest.mark.parametrize(("source", "delivery"), [one[1:] for one in EVERY], ids=[one[0] for one in EVERY])
def test_each_value_that_a_sender_writes_is_somewhere_in_what_is_read(source, delivery):
    assert lost(source, delivery) - set(EXCEPTIONS.get(source.name, ())) == set()


@needs_corpus
def test_each_exception_is_needed_and_has_its_reason():
    needed: dict[str, set[str]] = {}
    for _, source, delivery in EVERY:
        needed.setdefault(source.name, set()).update(lost(source, delivery))

    assert {name: places for name, places in needed.items() if places} == {name: set(one) for name, one in EXCEPTIONS.items()}
    assert all(reason for one in EXCEPTIONS.values() for reason in one.values())


class Forgetful:
    """A source that forgets what it has no field for."""

    def __init__(self, source: Source) -> None:
        self.name, self._source = source.name, source

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        reading = self._source.parse(delivery, mapping)
        return replace(reading, alerts=tuple(replace(one, attributes={}) for one in reading.alerts))


def test_a_source_that_forgets_something_is_found_out():
    forgotten = {
        source.name: set.union(*(lost(Forgetful(source), sent(source, one)) for one in source.examples))  # type: ignore[arg-type]
        for source in OURS
    }

    # All that their examples say has a field.
    assert {name for name, places in forgotten.items() if not places} == {"elastalert2", "generic", "splunk"}
    assert {"groupKey", "receiver"} - forgotten["alertmanager"] == {"groupKey"}
    assert {"alerts.values.B", "alerts.values.C"} <= forgotten["grafana"]


def test_what_is_in_one_alert_of_many_is_not_taken_for_that_of_another():
    body = {"alerts": [{"status": "firing", "labels": {"alertname": name}, "unheard_of": name * 3} for name in ("Disk", "Load")]}
    delivery, source = Delivery(json.dumps(body).encode(), {}, "main", NOON), source_named("alertmanager")
    assert lost(source, delivery) == set()

    class Mixed(Forgetful):
        def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
            one, other = self._source.parse(delivery, mapping).alerts
            return Reading(alerts=(replace(one, attributes=other.attributes), replace(other, attributes=one.attributes)))

    assert lost(Mixed(source), delivery) == {"alerts.unheard_of"}  # type: ignore[arg-type]
