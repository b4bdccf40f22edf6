"""A flood: a hundred thousand alerts in a minute, no two alike, from one source; and what becomes of another source's page."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import create_engine, text

from sandbox.__main__ import SECRET
from sandbox.app import Sandbox
from sandbox.serving import running
from sandbox.world import World
from tests.bench import processes
from tests.bench.figures import Amount, Figure, Way, alert_delivery, first_page, pages_taken
from tests.bench.load import Times, paced, run

ALERTS, SECONDS = 100_000, 60.0
EACH_SECONDS = 25.0
"""Between two alerts of the other source: two of them. Twenty channels are the most of any minute, and beside a flood another
source has two of its own; what it has more goes to an incident that gathers, of whose page this knows nothing."""
WITHIN_SECONDS = 1.0
CHANNELS, ANNOUNCED = 20, 30
MEGABYTES = 300
PATIENCE_SECONDS = 600.0


def flood(url: str, folder: Path, alerts: int = ALERTS, seconds: float = SECONDS) -> Iterator[Figure | Amount]:
    """The policy is the demo's as it stands: one source opens so many incidents an hour, and one more gathers the rest."""
    with running(World(is_strict=False)) as sandbox, processes.part("serve", sandbox, url, folder, most=None) as bot:
        first_page(Way(sandbox, bot.port))
        stamp = time.time_ns()
        sent, taken, answered = _during(sandbox, bot.port, stamp, alerts, seconds)
        began = time.monotonic()
        doubt = _until_read(url, answered, stamp, "incident IS NOT NULL")
        late = time.monotonic() - began
        times = Times(tuple(taken[name] - at for name, at in sent.items() if name in taken), len(sent) - len(taken), seconds)
        yield Figure("a page of another source in a flood", times, Times(()), 0.99, WITHIN_SECONDS, doubt=doubt)
        yield Amount("alerts of the flood that were answered for", answered, "")
        yield Amount("seconds until the last of them was read", late, "s")
        opened = _counted(url, "SELECT count(DISTINCT incident) FROM alerts WHERE title LIKE :title", stamp)
        paged = _paged(sandbox, stamp)
        yield Amount("incidents that the flood opened", opened, "", CHANNELS, doubt=doubt)
        yield Amount("pages that it asked for", paged, "", CHANNELS, doubt=doubt)
        yield Amount("memory, most in the flood", bot.memory("VmHWM"), "MB", MEGABYTES)
        stamp = time.time_ns()
        count = alerts // 5
        drops = run(paced(bot.port, _drops(stamp, "low"), alerts / seconds, count))
        began = time.monotonic()
        doubt = _until_read(url, len(drops.seconds) - drops.refused, stamp, "incident IS NULL")
        yield Amount("the same of a flood of warnings", time.monotonic() - began, "s")
        told = _counted(url, "SELECT count(*) FROM alerts WHERE is_announced AND title LIKE :title", stamp)
        yield Amount("messages that it had announced", told, "", ANNOUNCED, doubt=doubt)
        yield Amount("memory, most in both floods", bot.memory("VmHWM"), "MB", MEGABYTES)


def _during(sandbox: Sandbox, port: int, stamp: int, alerts: int, seconds: float) -> tuple[dict[str, float], dict[str, float], int]:
    """Send both: when each alert of the other source was sent, and when it was paged, and how many of the flood were
    answered for.
    """
    sent, seen = dict[str, float](), len(sandbox.account.ledger)

    def other(number: int) -> tuple[str, dict[str, str], bytes]:
        service = f"svc-{stamp}-{number}"
        sent[service] = sandbox.world.clock().timestamp()
        return alert_delivery("BenchPage", service)

    async def both() -> Times:
        drops = asyncio.create_task(paced(port, _drops(stamp, "high"), alerts / seconds, alerts))
        await paced(port, other, 1 / EACH_SECONDS, max(1, int(seconds / EACH_SECONDS)))
        return await drops

    drops = run(both())
    taken = pages_taken(sandbox, seen, set(sent), PATIENCE_SECONDS)
    return sent, taken, len(drops.seconds) - drops.refused


def _drops(stamp: int, severity: str) -> Callable[[int], tuple[str, dict[str, str], bytes]]:
    """The alerts of a flood by their numbers: each of a service of its own."""

    def drop(number: int) -> tuple[str, dict[str, str], bytes]:
        body = {
            "title": f"Flood{stamp}-{number}", "status": "firing", "severity": severity, "service": f"flood-{stamp}-{number}",
            "dedup_key": f"{stamp}-{number}",
        }  # fmt: skip
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        return "/hooks/generic/main", headers, json.dumps(body).encode()

    return drop


def _until_read(url: str, answered: int, stamp: int, where: str) -> str:
    """Wait until the inbox is read; what the record says against the answers, empty where every alert is in it as it should be."""
    end = time.monotonic() + PATIENCE_SECONDS
    while _counted(url, "SELECT count(*) FROM inbox WHERE state = 'new'", stamp):
        if time.monotonic() > end:
            return "not all was read in time"
        time.sleep(0.2)
    kept = _counted(url, f"SELECT count(DISTINCT fingerprint) FROM alerts WHERE title LIKE :title AND {where}", stamp)
    return "" if kept >= answered else f"{answered} alerts were answered for, {kept} are in the record"


def _counted(url: str, query: str, stamp: int) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.scalar(text(query), {"title": f"Flood{stamp}-%"} if ":title" in query else {}) or 0)
    finally:
        engine.dispose()


def _paged(sandbox: Sandbox, stamp: int) -> int:
    """How many pages PagerDuty took that are not the other source's."""
    with sandbox.world.lock:
        taken = [one for one in sandbox.account.ledger if one.get("event_action") == "trigger"]
    summaries = {one["dedup_key"]: one["payload"]["summary"] for one in taken}
    return sum(not summary.rpartition(" on ")[2].startswith((f"svc-{stamp}", "first")) for summary in summaries.values())
