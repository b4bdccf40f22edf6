"""`make bench`: measures, prints a table, and says which promise was kept. About three minutes."""

import argparse
import json
import math
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from sandbox.serving import running
from sandbox.world import World
from tests.bench import figures, processes
from tests.bench.figures import Figure
from tests.bench.load import Times
from tests.databases import binaries

KINDS = ("sqlite", "postgresql")
FIGURES = ("intake", "page", "slash", "full")
SHARES = (0.5, 0.95, 0.99)


def main() -> int:
    """Measure on each database."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=FIGURES, action="append", help="only this figure (default: all)")
    parser.add_argument("--database", choices=KINDS, action="append", help="only on this database (default: both)")
    parser.add_argument("--seconds", type=float, default=9.0, help="how long deliveries are sent for a figure (default: 9)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise was not kept")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return measured(given.only or FIGURES, given.database or KINDS, given.seconds, given.json, is_strict=given.strict)
    except KeyboardInterrupt:
        print("\nStopped; every process that was started has ended.")
        return 130


def measured(only: Sequence[str], kinds: Sequence[str], seconds: float, file: Path | None, *, is_strict: bool) -> int:
    """Measure, print, and write the file; the exit code."""
    here = machine()
    print(described(here), flush=True)
    found: list[tuple[str, Figure]] = []
    for kind in kinds:
        if kind == "postgresql" and binaries() is None:
            print("\npostgresql\n  not measured: it is neither installed nor in a wheel")
            continue
        for figure in measure(kind, only, seconds):
            found.append((kind, figure))
            print(line(figure), flush=True)
    print(f"\nLoad of the machine, 1 min: {here['load_before']:.2f} before, {os.getloadavg()[0]:.2f} after.")
    if file:
        content = {"machine": here, "figures": [as_json(kind, one) for kind, one in found]}
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    missed = [f"{one.name} ({kind})" for kind, one in found if one.is_met is False or one.doubt]
    print("Every target was met." if not missed else f"Missed: {'; '.join(missed)}.")
    return 1 if missed and is_strict else 0


def measure(kind: str, only: Sequence[str], seconds: float) -> Iterator[Figure]:
    """The figures on one database. Each bot is `python -m bot serve`, with a database and neighbours of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="firstfive-bench-") as name,
        processes.databases(kind, Path(name)) as database,
        processes.floor(Path(name)) as floor,
    ):
        folder = Path(name)
        print(f"\n{kind} {version(database())}\n{HEAD}", flush=True)
        if set(only) - {"full"}:
            yield from at_a_pace(folder, database(), floor, only, seconds)
        if "full" in only:
            url = database()
            with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder) as port:
                yield figures.full_intake(port, floor, url, seconds / 2)


def at_a_pace(folder: Path, url: str, floor: int, only: Sequence[str], seconds: float) -> Iterator[Figure]:
    """What is asked for at the pace of a bad day."""
    with running(World(is_strict=False)) as sandbox, processes.bot(sandbox, url, folder) as port:
        if "intake" in only:
            yield figures.intake(port, floor, url, seconds)
        for state in ("up", "down", "slow") if "page" in only else ():
            yield figures.page(sandbox, port, state)
        if "slash" in only:
            yield from figures.slash(sandbox, port, floor)


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
        cells.append(f"p{figure.share * 100:.0f} < {figure.target * 1000:.0f}: {'met' if figure.is_met else 'MISSED'}")
    if times.refused:
        cells.append(f"; {times.refused} not answered as asked")
    if figure.doubt:
        cells.append(f"; IN DOUBT: {figure.doubt}")
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


def as_json(kind: str, figure: Figure) -> dict[str, Any]:
    """One figure: milliseconds."""

    def of(times: Times) -> dict[str, float]:
        found = {f"p{share * 100:.0f}_ms": times.percentile(share) * 1000 for share in SHARES} | {"per_second": times.per_second}
        return {name: round(value, 3) for name, value in found.items() if not math.isnan(value)}

    return {
        "database": kind, "figure": figure.name.strip(), "n": len(figure.times.seconds), "measured": of(figure.times),
        "floor": of(figure.floor), "ratio": None if math.isnan(figure.ratio) else round(figure.ratio, 3),
        "not_answered": figure.times.refused, "doubt": figure.doubt, "met": figure.is_met,
        "target": f"p{figure.share * 100:.0f} < {figure.target * 1000:.0f} ms" if figure.target else None,
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """What this runs on."""
    return {
        "cores": os.cpu_count(), "processor": processor(), "python": platform.python_version(),
        "sync_ms": round(sync_cost() * 1000, 3), "load_before": round(os.getloadavg()[0], 2),
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
