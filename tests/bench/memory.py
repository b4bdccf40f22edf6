"""What `serve` holds in memory: idle, in a storm, and after a day of an alert a second; and how many threads it has."""

import json
import time
from collections.abc import Iterator
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


def memory(url: str, folder: Path) -> Iterator[Amount]:
    """A bot that has nothing to do, and the same one while 64 connections give it all they can."""
    with running(World(is_strict=False)) as sandbox, processes.part("serve", sandbox, url, folder) as bot:
        time.sleep(IDLE_SECONDS)
        yield Amount("memory, idle", bot.memory(), "MB", 150)
        run(flat_out(bot.port, Bodies(group(1)), CONNECTIONS, STORM_SECONDS))
        yield Amount("memory, most in a storm", bot.memory("VmHWM"), "MB", 300)
        yield Amount("threads in a storm", bot.threads(), "", None)


def soak(url: str, folder: Path, alerts: int = A_DAY) -> Iterator[Amount]:
    """As many alerts as a day has seconds, sent as fast as they are taken; the bot's clock is the machine's.

    What it holds is looked at after a quarter, and at the end: threads and connections to the database come as they are
    needed, up to what their pools allow, and each keeps pages that it has read.
    """
    world = World(is_strict=False)
    begun = time.time()
    with running(world) as sandbox, processes.part("serve", sandbox, url, folder) as bot:
        first, threads = 0.0, 0
        for start in range(0, alerts, DISTINCT):
            count = min(DISTINCT, alerts - start)
            run(paced(bot.port, lambda number, base=start: _alert(base + number), 2000, count))  # type: ignore[misc]
            _until_read(url)
            if not first and start + count >= alerts // 4:
                first, threads = bot.memory(), bot.threads()
        last, after = bot.memory(), bot.threads()
    took = time.time() - begun
    yield Amount(f"memory after {alerts:,} alerts", last / first * 100 - 100, "% more than after a quarter", 5)
    yield Amount("memory then", last, "MB", 300)
    yield Amount("threads more than after a quarter", after - threads, "", 0)
    yield Amount("time it took", took, "s")


def _alert(number: int) -> tuple[str, dict[str, str], bytes]:
    """One of some alerts: it fires, and the next time that it comes it has cleared."""
    name, is_cleared = f"Soak{number % DISTINCT}", number // DISTINCT % 2 == 1
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
