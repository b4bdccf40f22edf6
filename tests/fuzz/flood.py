"""Alerts of which none is like another: what a sender does whose labels have a number in them that never comes again.

A sender may send as many as it likes: the bot holds none of them in memory, opens few incidents, pages few times, and another
sender's alert has its own page all the same.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from bot.alerts.alert import Alert, Status
from bot.alerts.registry import sources
from bot.alerts.source import FORM, Delivery
from bot.errors import Unreadable
from bot.incidents.policy import StormRule
from tests.builders import NOON
from tests.fuzz.bodies import Request, pool
from tests.fuzz.watched import GROWTH_BYTES, Street, memory
from tests.web.served import Served, dumped, serving

MARK = 7_000_000_000
"""Stands in a body where the number of each goes: ten digits, so that it may be a number, too."""
WARM = 2_000
TOGETHER = 150
"""So many alerts in a body: as many as are decided on together."""
TRIES_SECONDS = 120.0
"""For so long a sender that is told to come again does so."""
MOST = StormRule().most + 2
"""Incidents of one source within an hour: one more gathers the rest, and one what is worse and comes later."""


@dataclass(frozen=True, slots=True)
class Flooded:
    """What came of a flood."""

    grown: int
    wrong: tuple[str, ...]
    said: str = ""


# --- from each source, to the way in and its reading --------------------------------------------


def alerts_of(request: Request) -> tuple[Alert, ...]:
    """The alerts in a body; none where it cannot be read."""
    try:
        return sources()[request.source].parse(Delivery(request.body, request.headers, "main", NOON), {}).alerts
    except Unreadable:
        return ()


def numbered(name: str) -> Callable[[int], Request]:
    """A firing alert of that source for each number, none like another.

    Raises `LookupError` where nothing in its examples tells one alert from the next.
    """
    for start in pool()[name]:
        for body in _marked(start):
            made = replace(start, body=body)
            prints = {(one.fingerprint("main"), one.status) for number in (1, 2, 3) for one in alerts_of(_numbered(made, number))}
            if len(prints) == 3 and {status for _, status in prints} == {Status.FIRING}:
                return lambda number, made=made: _numbered(made, number)  # type: ignore[misc]
    raise LookupError(f"{name}: no place in an example tells its alerts apart")


def _numbered(request: Request, number: int) -> Request:
    return replace(request, body=request.body.replace(str(MARK).encode(), str(MARK + number).encode()))


def _marked(request: Request) -> Iterator[bytes]:
    """The body with the mark in the place of one of its values, for each of them."""
    if request.headers.get("content-type", "").startswith(FORM):
        fields = dict(parse_qsl(request.body.decode()))
        yield from (urlencode(fields | {name: f"{value}{MARK}"}).encode() for name, value in fields.items())
    elif request.body:
        yield from (dumped(tree) for tree in _marked_trees(json.loads(request.body)))


def _marked_trees(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from (tree | {name: one} for one in _marked_trees(value))
    elif isinstance(tree, list):
        for at, value in enumerate(tree):
            yield from ([*tree[:at], one, *tree[at + 1 :]] for one in _marked_trees(value))
    elif isinstance(tree, str):
        yield f"{tree}{MARK}"
    elif isinstance(tree, int) and not isinstance(tree, bool):
        yield MARK


def all_different(name: str, count: int) -> Flooded:
    """Send so many, and read them."""
    return asyncio.run(_all_different(name, count))


async def _all_different(name: str, count: int) -> Flooded:
    street, made, before, wrong = Street(), numbered(name), 0, dict[str, int]()
    prints = set[int]()
    for number in range(count):
        if number == min(WARM, count // 2):
            before = memory()
        alerts, why = await street.read(made(number))
        if why:
            wrong[why] = number
        # A number of each is enough to tell that they differ, and little to remember.
        prints.update(hash(one.fingerprint("main")) for one in alerts)
    # What is remembered of them here is no growth of the bot.
    grown = memory() - before - count * 100
    if len(prints) < count * 0.999 and not wrong:
        wrong[f"{len(prints)} alerts told apart of {count}"] = count
    if grown > GROWTH_BYTES:
        wrong[f"memory grew by {grown / 1e6:.0f} MB"] = count
    return Flooded(grown, tuple(wrong))


# --- from one source, to a whole bot --------------------------------------------------------------


def over_http_all_different(database_url: str, count: int) -> Flooded:
    """Send so many over HTTP; they are read, placed, decided on and told of."""
    with serving(database_url) as served:
        served.still_works("before-the-flood")
        before, opened = memory(), len(served.story.bot.store.incidents(500))
        for first in range(0, count, TOGETHER):
            if why := _sent(served, group(served, first, min(TOGETHER, count - first))):
                return Flooded(memory() - before, (why,))
        if left := _left(served, 600 + count / 50):
            return Flooded(memory() - before, (f"{left} deliveries are not read yet",))
        grown = memory() - before
        return Flooded(grown, tuple(_wrong(served, count, opened, grown)), _said(served, opened))


def _sent(served: Served, body: bytes) -> str:
    """Send it until it is taken, as its sender does; why it never was, or empty."""
    end, answer = time.monotonic() + TRIES_SECONDS, served.post("alertmanager", body)
    while answer.status == 503 and time.monotonic() < end:
        time.sleep(min(int(answer.headers["retry-after"]), 5))
        answer = served.post("alertmanager", body)
    return "" if answer.status == 202 else f"answered {answer.status}: {answer.body.decode(errors='replace')[:200]}"


def _left(served: Served, seconds: float) -> int:
    """How many deliveries nobody has read, once none waits any more or the time is over."""
    end = time.monotonic() + seconds
    while (left := served.story.bot.store.inbox_depth().get("new", 0)) and time.monotonic() < end:
        time.sleep(0.5)
    return left


def group(served: Served, first: int, count: int) -> bytes:
    """A group of Alertmanager's, each alert of a service of its own."""
    at = served.story.world.clock().isoformat()
    alerts = [
        {"status": "firing", "startsAt": at, "labels": {"alertname": "Flood", "severity": "critical", "service": f"pod-{number}"}}
        for number in range(first, first + count)
    ]
    return dumped({"version": "4", "status": "firing", "alerts": alerts})


def _wrong(served: Served, count: int, opened: int, grown: int) -> Iterator[str]:
    store = served.story.bot.store
    incidents = store.incidents(500)
    if len(incidents) - opened > MOST:
        yield f"{len(incidents) - opened} incidents"
    held = sum(one.alert_count for one in incidents[: len(incidents) - opened])
    if held != count:
        yield f"{held} alerts kept of {count}"
    if grown > GROWTH_BYTES:
        yield f"memory grew by {grown / 1e6:.0f} MB"
    # Another sender's alert has an incident of its own, and is no part of the flood.
    served.post("generic", dumped({"title": "Elsewhere", "severity": "critical", "service": "elsewhere"})).taken()
    other = served.story.eventually(lambda: served.incident_of("elsewhere"), "another source's incident", 120)
    if other.storm:
        yield "another source's alert was taken for a part of the flood"


def _said(served: Served, opened: int) -> str:
    pages = [one for one in served.story.sandbox.account.ledger if one.get("event_action") == "trigger"]
    return f"{len(served.story.bot.store.incidents(500)) - opened} incidents, {len({one['dedup_key'] for one in pages})} pages"
