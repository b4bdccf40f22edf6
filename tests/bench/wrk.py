"""Requests flat out, by wrk where it is installed: one who measures in C leaves the cores to whom is measured."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import Times

SCRIPT = """\
wrk.method = "POST"
-- wrk is single-minded: what changes from one request to the next is a number in the body.
local number
local function read(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end
function init(given)
  before, after, number = read(given[1] .. "/before"), read(given[1] .. "/after"), tonumber(given[2])
end
function request()
  number = number + 1
  return wrk.format(nil, nil, nil, before .. string.format("%.0f", number) .. after)
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("ALL %d %d %d\\n", summary.requests, summary.duration, errors.status))
  io.write(string.format("BROKEN %d\\n", errors.connect + errors.read + errors.write + errors.timeout))
  for place = 1, #latency do
    io.write(string.format("TOOK %d %d\\n", latency(place)))
  end
end
"""


def wrk() -> str:
    """Where wrk is; empty where it is not installed."""
    return shutil.which("wrk") or ""


@dataclass(frozen=True, slots=True)
class Posts:
    """Requests that are alike but for a number in the body, which stands between `before` and `after`."""

    path: str
    headers: Mapping[str, str]
    before: bytes
    after: bytes


def flat_out(ports: Sequence[int], posts: Posts, first: int, connections: int, seconds: float) -> Times:
    """Each connection asks again as soon as it is answered; numbers count on from `first`, a span of ten million a port.

    Several ports are asked at once, each with its share of the connections.
    """
    share = connections // len(ports)
    used = _used()
    with tempfile.TemporaryDirectory(prefix="firstfive-wrk-") as name:
        folder = Path(name)
        (folder / "script.lua").write_text(SCRIPT, encoding="utf-8")
        (folder / "before").write_bytes(posts.before)
        (folder / "after").write_bytes(posts.after)
        headers = [part for one in posts.headers.items() for part in ("-H", ": ".join(one))]
        running = [
            subprocess.Popen(
                [
                    wrk(), "-t1", f"-c{share}", f"-d{max(1, round(seconds))}s", "--timeout", "20s", "-s", "script.lua", *headers,
                    f"http://127.0.0.1:{port}{posts.path}", "--", name, str(first + place * 10_000_000),
                ],
                cwd=folder, env={**os.environ, "LC_ALL": "C"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            for place, port in enumerate(ports)
        ]  # fmt: skip
        said = [one.communicate()[0] for one in running]
    parts = [read(one, share) for one in said]
    return Times(
        tuple(second for one in parts for second in one.seconds), sum(one.refused for one in parts),
        max(one.elapsed for one in parts), _used() - used,
    )  # fmt: skip


def read(said: str, connections: int) -> Times:
    """What the script wrote at the end. Raises SystemExit with wrk's own words where it did not come to that."""
    rows = [line.split() for line in said.splitlines() if line.startswith(("ALL ", "BROKEN ", "TOOK "))]
    found = {row[0]: [int(cell) for cell in row[1:]] for row in rows if row[0] != "TOOK"}
    if found.keys() != {"ALL", "BROKEN"}:
        raise SystemExit(f"wrk did not measure: {said.strip()}")
    requests, microseconds, status = found["ALL"]
    took = {int(row[1]): int(row[2]) for row in rows if row[0] == "TOOK"}
    if rounds := requests // connections:
        took = without_guesses(took, microseconds // rounds)
    if sum(took.values()) != requests:
        raise SystemExit(f"wrk tells {sum(took.values())} times of {requests} answers; is it another version than 4?")
    seconds = tuple(one / 1e6 for one, times in took.items() for _ in range(times))
    return Times(seconds, status + found["BROKEN"][0], microseconds / 1e6)


def without_guesses(took: Mapping[int, int], expected: int) -> dict[int, int]:
    """The times that were measured, in microseconds, with how often.

    For each that is longer than `expected`, wrk adds those of the requests that it might have sent meanwhile: one that is
    shorter by `expected`, by twice of it, and so on. Here each connection waits for its answer, as those of senders do.
    """
    found = dict(took)
    for longest in sorted(took, reverse=True):
        for guess in range(longest - expected, expected, -expected) if longest >= 2 * expected else ():
            found[guess] -= found[longest]
    return found


def _used() -> float:
    """Seconds of processor of processes that we started and that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
