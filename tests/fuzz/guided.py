"""Bodies that find their own way: Atheris watches which lines of the bot a request reaches, and goes on from those that reach
new ones. The process that does so is `guide.py`; here it is started, and heard.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.fuzz.bodies import Request

LARGEST = 65_536
"""Larger ones cost their time, and have no way of their own: the drawn bodies have them."""
GRACE_SECONDS = 120.0
"""For so long it may take to begin, and to make small what it found."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something wrong: of which source, what, how often, and a small request of which it is, as it is kept."""

    source: str
    why: str
    times: int
    line: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    bodies: int
    seconds: float
    cpu_seconds: float
    slowest: float
    grown: int
    """Bytes, beside the requests that it keeps to go on from."""
    reached: int
    """Places in the bot that were reached; more of them than at the beginning, where it found any by itself."""
    reached_first: int
    found: tuple[Found, ...]


def missing() -> str:
    """Why Atheris cannot be used here; empty where it can."""
    if find_spec("atheris") is None:
        return "no Atheris here: it has wheels for Linux on x86_64 and Python 3.11 to 3.13, and `make fuzz` installs it there"
    return ""


def packed(request: Request) -> bytes:
    """A request as one string of bytes, the body at its end as it is."""
    head = json.dumps({"source": request.source, "headers": dict(request.headers), "query": request.query})
    return head.encode() + b"\n" + request.body


def unpacked(packet: bytes) -> Request | None:
    """The request in it; None where there is none."""
    head, _, body = packet.partition(b"\n")
    try:
        about = json.loads(head)
        return Request(about["source"], body, about["headers"], about["query"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def guided(starts: Mapping[str, Sequence[Request]], seed: int, bodies: int, seconds: float) -> Report:
    """Send so many, for so long at most, beginning with these. Raises `RuntimeError` where it ended without a word."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bodies").mkdir()
        for number, packet in enumerate(_packets(starts)):
            (folder / "bodies" / f"{number:05}").write_bytes(packet)
        command = [sys.executable, "-m", "tests.fuzz.guide", name, str(seed), str(bodies), str(seconds)]
        with (folder / "said").open("wb") as said:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=seconds + GRACE_SECONDS, check=False
            )
        told = (folder / "said").read_text(encoding="utf-8", errors="replace")
        report = folder / "report.json"
        if done.returncode or not report.exists():
            raise RuntimeError(f"Atheris ended with {done.returncode}; it said last:\n{told[-3000:]}")
        return _read(json.loads(report.read_text(encoding="utf-8")), told)


def _packets(starts: Mapping[str, Sequence[Request]]) -> Iterator[bytes]:
    for requests in starts.values():
        yield from (packet for packet in map(packed, requests) if len(packet) <= LARGEST)


def _read(report: dict[str, Any], told: str) -> Report:
    """The report, with the places reached as libFuzzer prints them."""
    reached = re.findall(r"cov: (\d+)", told) or ["0"]
    # What it begins with is read in parts, and said in between.
    first = re.findall(r"INITED +cov: (\d+)", told) or ["0"]
    found = tuple(Found(**one) for one in report.pop("found"))
    return Report(**report, reached=int(reached[-1]), reached_first=int(first[0]), found=found)
