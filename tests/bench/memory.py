"""What `serve` holds in memory: idle, in a storm, and after a day of an alert a second; and how many threads it has."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, text

from sandbox.__main__ import SECRET
from sandbox.serving import running
from sandbox.world import World
from tests.bench import processes
from tests.bench.door import Bodies, group
from tests.bench.figures import CONNECTIONS, HOOK, Amount, alert_body
from tests.bench.load import flat_out, paced, run

IDLE_SECONDS, STORM_SECONDS = 8.0, 10.0
A_DAY = 86_400
DISTINCT = 500
"""Alerts that come again and again over the day."""
TENTH, QUARTER = 0.1, 0.25
MOST_GROWTH = 5
"""Per cent."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment: resident megabytes, and threads."""

    megabytes: float
    threads: int


def memory(url: str, folder: Path) -> Iterator[Amount]:
    """A bot that has nothing to do, and the same one while 64 connections give it all they can."""
    with running(World(is_strict=False)) as sandbox, processes.part("serve", sandbox, url, folder) as bot:
        time.sleep(IDLE_SECONDS)
        yield Amount("memory, idle", bot.memory(), "MB", 150)
        run(flat_out(bot.port, Bodies(group(1)), CONNECTIONS, STORM_SECONDS))
        yield Amount("memory, most in a storm", bot.memory("VmHWM"), "MB", 300)
        yield Amount("threads in a storm", bot.threads(), "", None)


def soak(url: str, folder: Path, alerts: int = A_DAY, distinct: int = DISTINCT) -> Iterator[Amount]:
    """As many alerts as a day has seconds, sent as fast as they are taken; the bot's clock is the machine's.

    What it holds is looked at after a tenth, after a quarter and at the end: threads and connections to the database come as
    they are needed, up to what their pools allow, and each keeps pages that it has read. What is held when only a quarter is
    done might have grown until then; the promise is held against the tenth.
    """
    world = World(is_strict=False)
    begun, after = time.time(), dict[float, Held]()
    with running(world) as sandbox, processes.part("serve", sandbox, url, folder) as bot:
        for start in range(0, alerts, distinct):
            count = min(distinct, alerts - start)
            run(paced(bot.port, _alerts(start, distinct), 2000, count))
            _until_read(url)
            for share in (TENTH, QUARTER):
                if share not in after and start + count >= alerts * share:
                    after[share] = Held(bot.memory(), bot.threads())
        last = Held(bot.memory(), bot.threads())
    took = time.time() - begun
    yield from grown(after, last, alerts)
    yield Amount("memory then", last.megabytes, "MB", 300)
    yield Amount("time it took", took, "s")


def grown(after: Mapping[float, Held], last: Held, alerts: int) -> Iterator[Amount]:
    """How much more it holds at the end than it did after those shares; promised of the smallest."""
    for share, words in ((TENTH, "a tenth"), (QUARTER, "a quarter")):
        more = last.megabytes / after[share].megabytes * 100 - 100
        name = f"memory after {alerts:,} alerts, since {words}"
        yield Amount(name, more, f"% more than after {words}", MOST_GROWTH if share == TENTH else None)
    for share, words in ((TENTH, "a tenth"), (QUARTER, "a quarter")):
        more = last.threads - after[share].threads
        yield Amount(f"threads more than after {words}", more, "", 0 if share == TENTH else None)


def _alerts(base: int, distinct: int) -> Callable[[int], tuple[str, dict[str, str], bytes]]:
    return lambda number: _alert(base + number, distinct)


def _alert(number: int, distinct: int = DISTINCT) -> tuple[str, dict[str, str], bytes]:
    """One of some alerts: it fires, and the next time that it comes it has cleared."""
    name, is_cleared = f"Soak{number % distinct}", number // distinct % 2 == 1
    body = json.loads(alert_body(name, ("checkout", "payments", "search", "web")[number % 4]))
    for one in body["alerts"]:
        one["annotations"]["value"] = str(number)
        one["status"] = "resolved" if is_cleared else "firing"
        one["endsAt"] = (datetime.now(UTC) + timedelta(seconds=-1 if is_cleared else 3600)).isoformat()
    body["status"] = "resolved" if is_cleared else "firing"
    return HOOK, {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}, json.dumps(body).encode()


def _until_read(url: str, patience: float = 120.0) -> None:
    engine = create_engine(url)
    end = time.monotonic() + patience
    try:
        while time.monotonic() < end:
            with engine.connect() as connection:
                if not connection.scalar(text("SELECT count(*) FROM inbox WHERE state = 'new'")):
                    return
            time.sleep(0.05)
    finally:
        engine.dispose()
    raise SystemExit("the bot does not read what came in")
