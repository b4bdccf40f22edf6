"""Through the street: deliveries that wait in the inbox, until each is decided and all that follows is in the record.

Beside it the least that could be done with them: read the JSON, write a row, a hundred to a commit.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from statistics import median

import orjson
from sqlalchemy import insert

from bot.alerts.registry import sources
from bot.alerts.source import Delivery
from bot.handle import Door
from bot.store import Store, migrate
from bot.store.database import writing
from bot.store.tables import handled
from bot.worker.intake import Intake
from tests.bench.figures import Amount, alert_body
from tests.bench.filling import policy

REPEATS, NEW, PRINTS = 6_000, 600, 100
TOGETHER = 500
REPEATS_A_SECOND, NEW_A_SECOND = 3_000, 300
ROUNDS = 3


def street(url: str) -> Iterator[Amount]:
    """Rules and record alone, in one thread: no HTTP, nobody else who writes. The best of some rounds."""
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        yield from _Street(store).measured()
    finally:
        store.close()


class _Street:
    def __init__(self, store: Store) -> None:
        rules = policy()
        self._store, self._sent = store, 0
        door = Door(store, lambda: datetime.now(UTC), lambda: rules, lambda: ())
        self._intake = Intake(sources=sources(), report=lambda report: "not ours", store=store, door=door)

    def measured(self) -> Iterator[Amount]:
        known = [alert_body(f"Known{number}", f"street-{number // 10}") for number in range(PRINTS)]
        self._carried(known)
        repeats = [[self._again(known[number % PRINTS]) for number in range(REPEATS // ROUNDS)] for _ in range(ROUNDS)]
        yield self._amount("a repeat, through the street", repeats, 1000 / REPEATS_A_SECOND)
        new = [
            [alert_body(f"New{turn}-{number}", f"new-{turn}-{number}") for number in range(NEW // ROUNDS)] for turn in range(ROUNDS)
        ]
        yield self._amount("a new incident, through it", new, 1000 / NEW_A_SECOND)
        joined = [[_many(TOGETHER, f"Joined{turn}")] for turn in range(ROUNDS)]
        yield self._amount(f"one of {TOGETHER} in a body", joined, None, TOGETHER)

    def _amount(self, name: str, rounds: Sequence[Sequence[bytes]], most: float | None, each: int = 1) -> Amount:
        """Milliseconds an alert, and the floor's, one after the other in each round."""
        spent, floor = [], []
        for turn, bodies in enumerate(rounds):
            floor.append(self._written(bodies, f"{name}/{turn}") / len(bodies) / each * 1000)
            spent.append(self._carried(bodies) / len(bodies) / each * 1000)
        return Amount(name, median(spent), "ms", most, median(floor), what_floor="JSON read, a row written, 100 to a commit")

    def _again(self, body: bytes) -> bytes:
        self._sent += 1
        return body.replace(b'"value": "0"', b'"value": "%d"' % self._sent)

    def _carried(self, bodies: Sequence[bytes]) -> float:
        """Put them into the inbox, then read all of it; how many seconds the reading took."""
        writer = self._store.inbox_writer(lambda: None)
        answers: list[Future[bool]] = []
        for number, body in enumerate(bodies):
            identity = f"{time.monotonic_ns()}-{number}"
            answers.append(writer.put("alertmanager", Delivery(body, {}, "main", datetime.now(UTC)), identity))
        for answer in answers:
            assert answer.result(60)
        writer.close()
        began = time.perf_counter()
        while self._intake.run_once():
            pass
        seconds = time.perf_counter() - began
        assert not self._store.inbox_depth()
        return seconds

    def _written(self, bodies: Sequence[bytes], name: str) -> float:
        began = time.perf_counter()
        for start in range(0, len(bodies), 100):
            some = bodies[start : start + 100]
            rows = [
                {"key": f"{name}/{start + at}/{len(orjson.loads(body))}", "at": datetime.now(UTC)} for at, body in enumerate(some)
            ]
            with writing(self._store.engine) as connection:
                connection.execute(insert(handled), rows)
        return time.perf_counter() - began


def _many(count: int, service: str) -> bytes:
    """A group of so many alerts of one service, each new."""
    body = json.loads(alert_body(service, service))
    one = body["alerts"][0]
    one["annotations"]["description"] = ""
    body["alerts"] = [
        {
            **one,
            "labels": {**one["labels"], "instance": f"host-{number}"},
            "fingerprint": f"{hash((service, number)) & (2**64 - 1):016x}",
        }
        for number in range(count)
    ]
    return json.dumps(body).encode()
