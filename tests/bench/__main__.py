"""`make bench`: measures, prints a table, and says which promise was kept. About fifteen minutes; less with --only.

With wrk installed it is what sends flat out; without, a client in Python does, and takes more of the cores.
"""

import argparse
import json
import logging
import math
import os
import platform
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog

from sandbox.serving import running
from sandbox.world import World
from tests.bench import cost, deadlines, door, figures, flood, growth, large, memory, processes, report, street, wrk
from tests.bench.figures import Amount, Figure
from tests.bench.load import Times
from tests.databases import binaries

KINDS = ("sqlite", "postgresql")
PARTS = ("intake", "page", "slash", "street", "memory", "cost", "deadlines", "large", "growth", "full", "door", "flood")
SHARES = (0.5, 0.95, 0.99)
SOAKED = processes.TOP / ".cache" / "bench" / "soak.json"
Found = tuple[str, str, Figure | Amount]
"""The part, the database, and what was measured."""


def main() -> int:
    """Measure on each database."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part (default: all)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only on this database (default: both)")
    parser.add_argument("--seconds", type=float, default=9.0, help="how long deliveries are sent for a figure (default: 9)")
    parser.add_argument("--soak", type=int, nargs="?", const=memory.A_DAY, metavar="ALERTS",
                        help="only this: a day of an alert a second, as fast as they are taken; kept for later reports")  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the report, such as docs/performance.md")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise was not kept")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        return measured(given)
    except KeyboardInterrupt:
        print("\nStopped; every process that was started has ended.")
        return 130


def measured(given: argparse.Namespace) -> int:
    """Measure, print, and write the files; the exit code."""
    here = machine()
    print(described(here), flush=True)
    found: list[Found] = []
    points: dict[str, list[growth.Point]] = {}
    missing: list[dict[str, str]] = []
    paces = [pace()]
    for kind in given.database or KINDS:
        if kind == "postgresql" and binaries() is None:
            print("\npostgresql\n  not measured: it is neither installed nor in a wheel")
            missing += [{"part": part, "why": "PostgreSQL is neither installed here nor in a wheel."} for part in PARTS]
            continue
        parts = ("soak",) if given.soak else tuple(given.only or PARTS)
        for part, figure in measure(kind, parts, given.seconds, given.soak, points):
            found.append((part, kind, figure))
            paces.append(pace())
            print(line(figure) if isinstance(figure, Figure) else amount_line(figure), flush=True)
    here["load_after"] = round(os.getloadavg()[0], 2)
    here["pace_s"] = [round(one, 2) for one in (min(paces), statistics.median(paces), max(paces))]
    print(f"\nLoad of the machine, 1 min: {here['load_before']:.2f} before, {here['load_after']:.2f} after.")
    if (why := door.without_alertmanager()) and not given.soak:
        missing.append({"part": "door", "why": f"Alertmanager beside it ({why})."})
    run = as_run(here, found, points, missing)
    if given.soak:
        SOAKED.parent.mkdir(parents=True, exist_ok=True)
        SOAKED.write_text(json.dumps(run["figures"]) + "\n", encoding="utf-8")
    else:
        run["figures"] += report.kept(SOAKED)
    if given.json:
        given.json.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    if given.write:
        report.write(run, given.write)
    missed = [f"{one.name} ({kind})" for _, kind, one in found if one.is_met is False or one.doubt]
    print("Every target was met." if not missed else f"Missed: {'; '.join(missed)}.")
    return 1 if missed and given.strict else 0


def measure(
    kind: str, parts: Sequence[str], seconds: float, alerts: int | None, points: dict[str, list[growth.Point]]
) -> Iterator[tuple[str, Figure | Amount]]:
    """The figures on one database, by part. Each bot is a process of its own, with a database and neighbours of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="firstfive-bench-") as name,
        processes.databases(kind, Path(name)) as database,
        processes.floor(Path(name)) as floor,
    ):
        folder = Path(name)
        print(f"\n{kind} {version(database())}\n{HEAD}", flush=True)
        yield from at_a_pace(folder, database, floor, parts, seconds)
        if "page" in parts and kind == "postgresql":
            yield from (("page", one) for one in across(folder, database))
        if "soak" in parts:
            yield from (("soak", one) for one in memory.soak(database(), folder, alerts or memory.A_DAY))
        if "memory" in parts:
            yield from (("memory", one) for one in memory.memory(database(), folder))
        if "cost" in parts:
            yield from (("cost", one) for one in cost.cost(database, folder))
        if "street" in parts:
            yield from (("street", one) for one in street.street(database()))
        if "deadlines" in parts:
            yield from (("deadlines", one) for one in deadlines.deadlines(database()))
            yield "deadlines", deadlines.lateness(database(), folder)
        if "large" in parts:
            yield from (("large", one) for one in large.large(database(), floor, folder))
        if "growth" in parts:
            points[kind] = growth.growth(database)
            yield from (("growth", one) for one in growth.amounts(points[kind]))
        if "full" in parts:
            url = database()
            with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder) as port:
                yield "full", figures.full_intake(port, floor, url, seconds / 2)
        if "flood" in parts:
            yield from (("flood", one) for one in flood.flood(database(), folder))
        if "door" in parts:
            yield from (("door", one) for one in door.door(database, floor, folder, seconds / 3))


def across(folder: Path, database: Callable[[], str]) -> Iterator[Figure]:
    """The page where who takes the alert and who pages are two processes."""
    url = database()
    with running(World(is_strict=False)) as sandbox, processes.part("web", sandbox, url, folder) as web, \
            processes.worker(sandbox, url, folder), least_way(database(), folder, apart=True) as floor:  # fmt: skip
        bot = figures.Way(sandbox, web.port)
        figures.first_page(bot)
        yield from (figures.page(bot, floor, state, "apart") for state in figures.STATES)
        yield figures.page_in_storm(bot, floor, "apart")


@contextmanager
def least_way(url: str, folder: Path, *, apart: bool = False) -> Iterator[figures.Way]:
    """The floor of a page, with a PagerDuty of its own, once it has paged."""
    with running(World(is_strict=False)) as sandbox, processes.least(sandbox, url, folder, apart=apart) as port:
        way = figures.Way(sandbox, port)
        figures.first_page(way)
        yield way


def at_a_pace(
    folder: Path, database: Callable[[], str], floor: int, parts: Sequence[str], seconds: float
) -> Iterator[tuple[str, Figure]]:
    """What is asked for at the pace of a bad day."""
    if not set(parts) & {"intake", "page", "slash"}:
        return
    url = database()
    with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder) as port:
        if "intake" in parts:
            yield "intake", figures.intake(port, floor, url, seconds)
        if "page" in parts:
            bot = figures.Way(sandbox, port)
            figures.first_page(bot)
            with least_way(database(), folder) as least:
                yield from (("page", figures.page(bot, least, state)) for state in figures.STATES)
                yield "page", figures.page_in_storm(bot, least, "serve")
        if "slash" in parts:
            yield from (("slash", one) for one in figures.slash(sandbox, port, floor))


# --- for people -------------------------------------------------------------------------------

HEAD = f"{'ms':25}{'n':>7}{'p50':>8}{'p95':>8}{'p99':>8} │{'floor p50':>10}{'p95':>7}{'p99':>7}{'ratio':>8} │ target"


def line(figure: Figure) -> str:
    """One figure. A ratio is of the medians; of answers a second where that is what is measured."""
    times, floor = figure.times, figure.floor
    cells = [f"{figure.name:25}", f"{len(times.seconds):7}", *(f"{shown(times.percentile(one)):>8}" for one in SHARES)]
    cells.append(f" │{shown(floor.percentile(0.5)):>10}")
    cells += [f"{shown(floor.percentile(one)):>7}" for one in SHARES[1:]]
    cells.append(f"{'–' if math.isnan(figure.ratio) else f'{figure.ratio:.2f}×':>8} │ ")
    if figure.is_rate:
        cells.append(f"{times.per_second:,.0f}/s, the floor {floor.per_second:,.0f}/s")
    if figure.is_met is not None:
        cells.append(f"{'; ' if figure.is_rate else ''}{figure.promise.removesuffix(' ms')}: {'met' if figure.is_met else 'MISSED'}")
    if said := busy(figure):
        cells.append(f" ({said})")
    if figure.note:
        cells.append(f" ({figure.note})")
    if times.refused:
        cells.append(f"; {times.refused} not answered as asked")
    if figure.doubt:
        cells.append(f"; IN DOUBT: {figure.doubt}")
    return "".join(cells).rstrip()


def amount_line(one: Amount) -> str:
    """One number."""
    cells = [f"{one.name:48}", f"{one.value:>12,.2f} {one.unit}", f" ({one.what_floor})" if one.what_floor else "", " │ "]
    if one.most is not None:
        cells.append(f"≤ {one.most:g}: {'met' if one.is_met else 'MISSED'}")
    if one.doubt:
        cells.append(f"; IN DOUBT: {one.doubt}")
    return "".join(cells).rstrip()


def shown(seconds: float) -> str:
    """Milliseconds; a dash where nothing was measured."""
    return "–" if math.isnan(seconds) else f"{seconds * 1000:.1f}"


def described(here: dict[str, Any]) -> str:
    """What this ran on, in a line. A commit cannot cost less than the disk's sync."""
    return (
        f"{here['cores']} cores ({here['processor']}), Python {here['python']}; "
        f"4 kB written and synced in {here['sync_ms']:.2f} ms (median)"
    )


# --- for machines -----------------------------------------------------------------------------


def as_run(
    here: dict[str, Any], found: Sequence[Found], points: dict[str, list[growth.Point]], missing: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """All of a run."""
    return {
        "machine": here,
        "figures": [{"part": part, **as_json(kind, one)} for part, kind, one in found],
        "growth": {kind: [{"alerts": one.alerts, "seconds": one.seconds} for one in some] for kind, some in points.items()},
        "missing": list(missing),
    }


def as_json(kind: str, figure: Figure | Amount) -> dict[str, Any]:
    """One figure: milliseconds, or an amount with its unit."""
    if isinstance(figure, Amount):
        return _amount_json(kind, figure)

    def of(times: Times) -> dict[str, float]:
        found = {f"p{share * 100:.0f}_ms": times.percentile(share) * 1000 for share in SHARES} | {"per_second": times.per_second}
        return {name: round(value, 3) for name, value in found.items() if not math.isnan(value)}

    is_rate = {"is_rate": True} if figure.is_rate and figure.times.seconds else {}
    note = "; ".join(filter(None, (busy(figure), figure.note)))
    return {
        "database": kind, "figure": figure.name.strip(), "n": len(figure.times.seconds), "measured": of(figure.times) | is_rate,
        "floor": of(figure.floor) | is_rate, "ratio": None if math.isnan(figure.ratio) else round(figure.ratio, 3),
        "not_answered": figure.times.refused, "doubt": figure.doubt, "met": figure.is_met, "note": note,
        "target": figure.promise or None,
    }  # fmt: skip


def _amount_json(kind: str, one: Amount) -> dict[str, Any]:
    return {
        "database": kind, "figure": one.name, "n": 1, "measured": {"amount": round(one.value, 3), "unit": one.unit},
        "floor": {} if math.isnan(one.floor) else {"amount": round(one.floor, 3), "unit": one.unit},
        "ratio": None if math.isnan(one.ratio) else round(one.ratio, 3), "not_answered": 0, "doubt": one.doubt,
        "met": one.is_met, "note": one.what_floor, "target": None if one.most is None else f"≤ {one.most:g} {one.unit}".rstrip(),
    }  # fmt: skip


def busy(figure: Figure) -> str:
    """That it was the one who measures who could do no more; empty where he could."""
    if not figure.is_rate or not figure.times.elapsed:
        return ""
    share = figure.times.busy / figure.times.elapsed
    return f"at least that: who measures was busy {share:.0%} of the time" if share > door.BUSY else ""


def machine() -> dict[str, Any]:
    """What this runs on."""
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d}", "cores": os.cpu_count(), "processor": processor(), "python": platform.python_version(),
        "sync_ms": round(sync_cost() * 1000, 3), "load_before": round(os.getloadavg()[0], 2),
        "sender": "wrk" if wrk.wrk() else "a client in Python",
    }  # fmt: skip


def processor() -> str:
    """What the processor calls itself; its architecture where it does not say."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def version(url: str) -> str:
    """The database's own version."""
    if url.startswith("sqlite"):
        return sqlite3.sqlite_version
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return str(connection.info.parameter_status("server_version")).split(" ")[0]


def pace() -> float:
    """What ten million additions take Python here and now, in seconds, by a tenth of them. Machines that are shared change pace."""
    began, total = time.perf_counter(), 0
    for one in range(1_000_000):
        total += one
    return 10 * (time.perf_counter() - began)


def sync_cost(rounds: int = 200) -> float:
    """The median of writing 4 kB to a file and syncing it, in seconds: under every commit of ours."""
    times = []
    with tempfile.NamedTemporaryFile(prefix="firstfive-sync-") as file:
        for _ in range(rounds):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return Times(tuple(times)).percentile(0.5)


if __name__ == "__main__":
    sys.exit(main())
