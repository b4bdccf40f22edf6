"""The door flat out: bodies of different sizes, more connections, two processes, and Alertmanager beside it.

Everything in rounds, each in turn with the floor: what else the machine does then falls on all alike. Here the bot is
`web` alone: nobody reads what comes in meanwhile.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

from sandbox.__main__ import SECRET
from sandbox.serving import running
from sandbox.world import World
from tests.bench import processes, wrk
from tests.bench.figures import CONNECTIONS, HOOK, ROUNDS, Amount, Figure, alert_body, not_kept
from tests.bench.load import NONE, Times, flat_out, paced, run
from tests.bench.wrk import Posts
from tests.ports import free_port
from tests.real import senders

INTAKE = f"web, {CONNECTIONS} connections, 4 kB"
WITHIN_SECONDS, LEAST = 0.030, 0.40
"""What the intake promises: its 99th percentile, and how much of the floor."""
MOST_FASTER, MOST_LATER = 1.25, 0.5
"""And beside Alertmanager: 0.8 of its answers a second, with half of its 99th percentile."""
MARK = b'"value": "0"'
LARGE, MANY = 240_000, 256
SHAPES = (1, 100, 1000)
ALERTMANAGER = "Alertmanager, 4 kB"
CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
BUSY = 0.9
"""Of a core: who measures with more than that is measured himself."""


NUMBERS = count(int(datetime.now(UTC).timestamp() * 1e6))
"""Of all deliveries of this run: two that are alike are one to the bot. They start where the machine's clock is."""
SPANS = count(next(NUMBERS) + 1_000_000_000, 100_000_000)
"""Where wrk begins to count, beyond whatever is counted here; it is asked for less than that many requests at once."""


class Bodies:
    """Deliveries of the same alerts, each an own one: a value in it changes."""

    def __init__(self, body: bytes, path: str = HOOK, headers: dict[str, str] | None = None) -> None:
        assert MARK in body
        self._body, self._path = body, path
        self._headers = headers or {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}

    def __call__(self, number: int) -> tuple[str, dict[str, str], bytes]:
        """The next one, whatever its number."""
        return self._path, self._headers, self._body.replace(MARK, b'"value": "%d"' % next(NUMBERS), 1)

    def posts(self) -> Posts:
        """The same, for wrk."""
        before, mark, after = self._body.partition(MARK)
        return Posts(self._path, self._headers, before + mark[:-2], mark[-1:] + after)


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who is asked in each round, and the floor that gets the same bodies. `per` alerts are in each body."""

    name: str
    ports: Sequence[int]
    bodies: Bodies
    connections: int = CONNECTIONS
    per: int = 1


def group(alerts: int, size: int = 4096) -> bytes:
    """A body of Alertmanager's with so many alerts, each about `size` bytes long."""
    body = json.loads(alert_body("BenchDoor", "checkout"))
    one = body["alerts"][0]
    one["annotations"]["description"] = "x" * max(0, size - len(json.dumps(one | {"annotations": {}})) - 200)
    body["alerts"] = [
        one | {
            "labels": one["labels"] | {"instance": f"node-{number}"},
            "fingerprint": sha256(f"door/{number}".encode()).hexdigest()[:16],
        }
        for number in range(alerts)
    ]  # fmt: skip
    return json.dumps(body).encode()


def posted() -> bytes:
    """One alert of 4 kB as Prometheus posts it to Alertmanager; another one each time, as each delivery is new to the bot."""
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": "BenchDoor", "service": "checkout", "severity": "critical", "value": "0"},
        "annotations": {"summary": "BenchDoor on checkout", "description": "x" * 3600},
        "startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat(), "generatorURL": "http://prometheus/graph",
    }  # fmt: skip
    return json.dumps([alert]).encode()


def door(database: Callable[[], str], floor: int, folder: Path, seconds: float) -> Iterator[Figure | Amount]:
    """Every contender in each round, right after the floor with the same bodies."""
    with ExitStack() as stack, running(World(is_strict=False)) as sandbox:
        url = database()
        first = stack.enter_context(processes.part("web", sandbox, url, folder)).port
        contenders = [Contender(INTAKE, [first], Bodies(group(1)))]
        contenders.append(Contender(f"web, {MANY} connections, 4 kB", [first], Bodies(group(1)), MANY))
        contenders.append(Contender("web, 240 kB", [first], Bodies(group(1, LARGE))))
        contenders += [Contender(f"web, {count} alerts of 1 kB", [first], Bodies(group(count, 1000)), per=count) for count in SHAPES]
        if not url.startswith("sqlite"):
            second = stack.enter_context(processes.part("web", sandbox, url, folder)).port
            contenders.append(Contender(f"two web, {MANY} connections, 4 kB", [first, second], Bodies(group(1)), MANY))
        alertmanager = None if senders.missing() else stack.enter_context(_alertmanager(folder))
        if alertmanager is not None:
            contenders.append(Contender(ALERTMANAGER, [alertmanager], Bodies(posted(), "/api/v2/alerts")))
        times = _rounds(contenders, floor, seconds)
        answered = sum(len(mine.seconds) - mine.refused for one, (mine, _) in times.items() if one != ALERTMANAGER)
        doubt = not_kept(url, answered)
        for one in contenders:
            mine, bare = times[one.name]
            note = f"{mine.per_second * one.per:,.0f} alerts/s" if one.per > 1 else ""
            promised = (0.99, WITHIN_SECONDS, LEAST) if one.name == INTAKE else (0.0, 0.0, 0.0)
            yield Figure(one.name, mine, bare, *promised[:2], is_rate=True, least=promised[2], note=note,
                         doubt="" if one.name == ALERTMANAGER else doubt)  # fmt: skip
        if alertmanager is not None:
            ours, theirs = times[INTAKE][0], times[ALERTMANAGER][0]
            faster, later = theirs.per_second / ours.per_second, ours.percentile(0.99) / theirs.percentile(0.99)
            yield Amount("Alertmanager against web, 64 connections: a second", faster, "times", MOST_FASTER)
            yield Amount("web against Alertmanager, 64 connections: p99", later, "times", MOST_LATER)


def without_alertmanager() -> str:
    """Why there is no Alertmanager to measure beside; empty where there is."""
    return senders.missing()


def _rounds(contenders: Sequence[Contender], floor: int, seconds: float) -> dict[str, tuple[Times, Times]]:
    found = {one.name: (NONE, NONE) for one in contenders}

    for one in contenders:
        for port in one.ports:
            run(paced(port, one.bodies, 20, 5))
    for _ in range(ROUNDS):
        for one in contenders:
            mine, bare = found[one.name]
            bare += _flat_out([floor], one, seconds / ROUNDS)
            mine += _flat_out(one.ports, one, seconds / ROUNDS)
            found[one.name] = mine, bare
    return found


def _flat_out(ports: Sequence[int], one: Contender, seconds: float) -> Times:
    if wrk.wrk():
        return wrk.flat_out(ports, one.bodies.posts(), next(SPANS), one.connections, seconds)
    return run(flat_out(ports, one.bodies, one.connections, seconds))


@contextmanager
def _alertmanager(folder: Path) -> Iterator[int]:
    """Debian's Alertmanager, which tells nobody; its port."""
    port = free_port()
    (folder / "alertmanager.yml").write_text(CONFIG, encoding="utf-8")
    options = ("--config.file=alertmanager.yml", "--storage.path=alerts", f"--web.listen-address=127.0.0.1:{port}",
               "--cluster.listen-address=", "--log.level=error")  # fmt: skip
    with senders.process(folder, "prometheus-alertmanager", *options):
        senders.until(lambda: processes.is_listening(port), lambda: senders.said(folder))
        yield port
