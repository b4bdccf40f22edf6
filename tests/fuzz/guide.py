"""`python -m tests.fuzz.guide FOLDER SEED BODIES SECONDS`: sends bodies under Atheris' eyes, and writes FOLDER/report.json.

A process of its own: libFuzzer does not give back the one it is started in, and whatever is watched has to be compiled anew.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import atheris

# Before anything else asks for them: what is loaded already is not watched.
with atheris.instrument_imports(include=["bot"]):
    import bot.alerts.registry
    import bot.web.webhooks
    import bot.worker.intake  # noqa: F401

import structlog

from bot.commands.running import share_memory
from tests.fuzz.bodies import Request, mistaken
from tests.fuzz.found import SMALL, line_of
from tests.fuzz.guided import LARGEST, packed, unpacked
from tests.fuzz.smaller import smaller
from tests.fuzz.watched import GROWTH_BYTES, Outgoing, Street, memory

WARM = 5_000
"""After so many bodies, memory is looked at for the first time."""


class Guide:
    """Takes what libFuzzer hands over, judges it, and makes the next out of what it is given."""

    def __init__(self, folder: Path, seed: int, bodies: int, seconds: float) -> None:
        self._folder, self._seed, self._most, self._seconds = folder, seed, bodies, seconds
        self._starts = _starts(folder / "bodies")
        self._all = [one for requests in self._starts.values() for one in requests]
        self._street, self._loop, self._outgoing = Street(), asyncio.new_event_loop(), Outgoing()
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._bodies = self._before = self._kept_before = 0
        self._wrong: dict[tuple[str, str], tuple[Request, int]] = {}
        self._times: Counter[tuple[str, str]] = Counter()

    def sends(self, packet: bytes) -> None:
        """One body. Does not come back from the last."""
        request = unpacked(packet)
        if request is not None and request.source in self._starts:
            why = self._loop.run_until_complete(self._street.judged(request))
            if why:
                self._wrong.setdefault((request.source, why), (request, self._bodies))
                self._times[request.source, why] += 1
            self._bodies += 1
        if self._bodies == WARM:
            self._before, self._kept_before = memory(), self._kept()
        if self._bodies >= self._most or time.monotonic() - self._began > self._seconds:
            self._ends()

    def changed(self, packet: bytes, most: int, seed: int) -> bytes:
        """Half of them as libFuzzer changes bytes, half as people, vendors and attackers would."""
        draw = Random(seed)
        request = unpacked(packet)
        if request is None or draw.random() < 0.01:
            request = draw.choice(self._all)
        try:
            made = packed(mistaken(draw, request, self._starts)) if draw.random() < 0.5 else b""
        except (RecursionError, ValueError):
            # What was changed before may be deeper than it can be taken apart.
            made = b""
        if 0 < len(made) <= most:
            return made
        head = packed(request)[: -len(request.body) or None]
        room = most - len(head)
        return head + atheris.Mutate(request.body[:room], room) if room > 0 else packed(draw.choice(self._all))[:most]

    def _kept(self) -> int:
        """Bytes of the requests that libFuzzer keeps, which it also writes here."""
        return sum(one.stat().st_size for one in (self._folder / "bodies").iterdir())

    def _ends(self) -> None:
        grown = memory() - self._before - (self._kept() - self._kept_before) if self._before else 0
        found = [
            {"source": source, "why": why, "times": self._times[source, why], "line": self._line(request, why, number)}
            for (source, why), (request, number) in self._wrong.items()
        ]
        found += [{"source": "a socket", "why": where, "times": 1, "line": ""} for where in self._outgoing.seen]
        if grown > GROWTH_BYTES:
            found.append({"source": "memory", "why": f"grew by {grown / 1e6:.0f} MB", "times": 1, "line": ""})
        told: dict[str, Any] = {
            "bodies": self._bodies, "seconds": time.monotonic() - self._began, "cpu_seconds": time.process_time() - self._cpu_began,
            "slowest": self._street.slowest[0], "grown": grown, "found": found,
        }  # fmt: skip
        (self._folder / "report.json").write_text(json.dumps(told), encoding="utf-8")
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by an exception: libFuzzer would take it for something it found.
        os._exit(0)

    def _line(self, request: Request, why: str, number: int) -> str:
        if len(request.body) > SMALL:
            return ""
        kind = why.partition(":")[0]
        return line_of(smaller(request, lambda one: Street().wrong_with(one).startswith(kind)), why, self._seed, number)


def _starts(folder: Path) -> Mapping[str, Sequence[Request]]:
    found: dict[str, list[Request]] = {}
    for path in sorted(folder.iterdir()):
        request = unpacked(path.read_bytes())
        assert request is not None, path
        found.setdefault(request.source, []).append(request)
    return found


def main() -> None:
    """Run until it has sent as many as it was asked for."""
    share_memory()
    folder, seed, bodies, seconds = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    guide = Guide(Path(folder), int(seed), int(bodies), float(seconds))
    # libFuzzer's 0 is a seed of its own choice. It may not end what takes long: that is judged, and told.
    options = [f"-seed={int(seed) + 1}", f"-max_len={LARGEST}", "-len_control=0", "-timeout=600", "-rss_limit_mb=4096", "-reload=0"]
    atheris.Setup([sys.argv[0], *options, f"{folder}/bodies"], guide.sends, custom_mutator=guide.changed, enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
