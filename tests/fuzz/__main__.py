"""Bodies that nobody would send on purpose, to every source there is: `make fuzz` sends a million.

Each is a real one with something wrong in it, correctly signed. It goes through the real way in and is read, placed and
decided upon, without a database; a share of them once more over HTTP to a whole bot. Some are drawn by
a seed, some find their own way (`guided.py`). Whatever comes: never an error of ours,
never a second of the processor, never fifty megabytes, never a socket to anybody. What goes wrong is made small and kept.
"""

import argparse
import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import structlog

from bot.alerts.registry import sources
from bot.clock import wall_clock
from bot.commands.running import share_memory
from tests.alerts.test_corpus import FILES, delivered, source_of
from tests.fuzz.bodies import BOMBS, SECRET, Request, made, pool, requests
from tests.fuzz.flood import all_different, over_http_all_different
from tests.fuzz.found import FILE, SMALL, line_of
from tests.fuzz.guided import Found, Report, guided, missing
from tests.fuzz.runs import Run, record
from tests.fuzz.smaller import smaller
from tests.fuzz.watched import GROWTH_BYTES, Outgoing, Street, answers_to, memory, nobody
from tests.web.served import Served, serving

WARM = 3_000
"""After so many bodies, memory is looked at for the first time."""
EVERY = 20_000
SHARES = {"drawn": 0.0, "atheris": 1.0, "all": 0.25}
"""How many of all find their own way."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request that went wrong, and its number."""

    request: Request
    number: int


@dataclass(slots=True)
class Told:
    """What came of a run."""

    seed: int
    bodies: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    grown: int = 0
    slowest: float = 0.0
    """Seconds of the processor that the most expensive of those took that were drawn."""
    wrong: dict[tuple[str, str], Case | None] = field(default_factory=dict)
    """Source and what was wrong -> the first request of which it was; None where it was of none alone."""
    times: Counter[tuple[str, str]] = field(default_factory=Counter)
    guided: Report | None = None
    """What came of those that find their own way; they count in `bodies`, too."""

    @property
    def is_good(self) -> bool:
        """Whether nothing went wrong."""
        return not self.wrong and not self.found

    @property
    def found(self) -> tuple[Found, ...]:
        """What went wrong with those that find their own way."""
        return self.guided.found if self.guided else ()

    def finds(self, source: str, why: str, case: Case | None = None) -> None:
        """Something went wrong; the first of a kind is said at once: a run may be ended before it can tell."""
        self.times[source, why] += 1
        if (source, why) not in self.wrong:
            print(f"wrong: {source}: {why}{f' (number {case.number})' if case else ''}", flush=True)
        self.wrong.setdefault((source, why), case)


def main() -> int:
    """Send, tell, and keep."""
    # As the bot does.
    share_memory()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--bodies", type=int, default=1_000_000, help="so many (default: a million)")
    parser.add_argument("--seconds", type=float, default=3_600, help="at most so long (default: an hour)")
    parser.add_argument("--seed", type=int, default=0, help="draws them; the same seed, the same bodies (default: 0)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first, to go on where one run ended (default: 0)")
    parser.add_argument("--http", type=int, default=100, help="one of so many goes over HTTP, too; 0: none (default: 100)")
    parser.add_argument(
        "--engine", choices=("drawn", "atheris", "all"), default="drawn",
        help="drawn by the seed, guided by Atheris, or three quarters and a quarter of them (default: drawn)",
    )  # fmt: skip
    parser.add_argument(
        "--flood", type=int, default=0, help="then so many alerts that are all different, from each source (default: 0)"
    )
    parser.add_argument("--keep", action="store_true", help=f"add what goes wrong to {FILE.name}")
    parser.add_argument("--record", type=Path, help="add what came of it to this file (tests/fuzz/runs.jsonl)")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    outgoing = Outgoing()
    starts = pool(tuple(real()))
    print(f"seed {given.seed}: {sum(map(len, starts.values()))} requests of {len(starts)} sources to begin with", flush=True)
    share = SHARES[given.engine]
    if share and (why := missing()):
        print(f"{why}; {'nothing is sent' if share == 1 else 'all are drawn'}", flush=True)
        if share == 1:
            return 2
        share = 0.0
    drawn = given.bodies - round(given.bodies * share)
    told = asyncio.run(sent(starts, given.seed, given.first, drawn, given.seconds * (1 - share), is_told=True))
    sent_here = told.bodies
    if given.http and drawn:
        over_http(told, starts, range(given.first, given.first + told.bodies, given.http))
    if share:
        find_their_way(told, starts, given.bodies - drawn, given.seconds * share)
    if given.flood:
        flooded(told, given.flood)
    for where in outgoing.seen:
        told.finds("a socket", where)
    lines = list(says(told))
    if given.record:
        for run in runs_of(told, sent_here):
            record(run, given.record)
    if given.keep:
        with FILE.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    return 0 if told.is_good else 1


def real() -> Iterator[Request]:
    """Real payloads, where the folder of them is beside the checkout."""
    for meta in FILES:
        one = delivered(meta)
        own = {name: value for name, value in one.headers.items() if name not in ("content-length", "host")}
        # What proves who sent it is made anew.
        proof = {name.lower() for name in sources()[source_of(meta)].sign(b"{}", "x", one.received_at)}
        yield Request(source_of(meta), one.body, {name: value for name, value in own.items() if name not in proof})


async def sent(
    starts: Mapping[str, Sequence[Request]], seed: int, first: int, bodies: int, seconds: float, *, is_told: bool = False
) -> Told:
    """Send bodies one after the other, for so long at most."""
    street, told = Street(), Told(seed)
    began, cpu_began, before = time.monotonic(), time.process_time(), 0
    if bodies > WARM:
        # What the largest take is given back, but not all of it to the system: that is no growth yet.
        for bomb in BOMBS:
            await street.judged(Request("generic", bomb(Random(seed))))
    for request in requests(seed, starts, first):
        if told.bodies >= bodies or time.monotonic() - began > seconds:
            break
        why = await street.judged(request)
        if why:
            told.finds(request.source, why, Case(request, first + told.bodies))
        told.bodies += 1
        if told.bodies == WARM:
            before = memory()
        elif told.bodies % EVERY == 0 and is_told:
            print(
                f"{told.bodies:,} in {time.monotonic() - began:.0f} s, {len(told.wrong)} wrong, {memory() / 1e6:.0f} MB", flush=True
            )
    told.seconds, told.cpu_seconds = time.monotonic() - began, time.process_time() - cpu_began
    told.grown = memory() - before if before else 0
    if told.grown > GROWTH_BYTES:
        told.finds("memory", f"grew by {told.grown / 1e6:.0f} MB")
    told.slowest = street.slowest[0]
    if is_told:
        print(f"answers: {dict(Counter(one.rpartition(' ')[2] for one in street.answers.elements()))}")
        print(f"the slowest took {street.slowest[0]:.3f} s of the processor ({street.slowest[1]})")
    return told


def over_http(told: Told, starts: Mapping[str, Sequence[Request]], numbers: range) -> None:
    """Send some of them to a whole bot with a database; at the end it still pages."""
    names = sorted(starts)
    with TemporaryDirectory() as folder, serving(f"sqlite:///{folder}/fuzz.db") as served:
        served.story.bot.sns.fetch = nobody
        connection = HTTPConnection(served.host, served.port, timeout=30)
        for number in numbers:
            request = made(told.seed, number, names[number % len(names)], starts)
            status = _posted(served, connection, request)
            if status not in answers_to(request):
                told.finds(request.source, f"answered {status} over HTTP", Case(request, number))
        connection.close()
        served.is_read()
        with served.story.bot.store.engine.connect() as asked:
            parked = asked.exec_driver_sql("SELECT source, reason FROM inbox WHERE state = 'parked'").all()
        for source, reason in parked:
            if "bug" in reason:
                told.finds(source, f"read over HTTP: {reason}")
        served.still_works("after-a-million")
    print(f"{len(numbers):,} of them over HTTP, and the bot still pages")


def find_their_way(told: Told, starts: Mapping[str, Sequence[Request]], bodies: int, seconds: float) -> None:
    """Send those that find their own way."""
    told.guided = one = guided(starts, told.seed, bodies, seconds)
    told.bodies += one.bodies
    told.seconds += one.seconds
    told.cpu_seconds += one.cpu_seconds
    by_itself = one.reached - one.reached_first
    print(f"{one.bodies:,} of them guided by Atheris: {one.reached:,} places of the bot reached, {by_itself:,} of them by itself")
    print(f"the slowest took {one.slowest:.3f} s of the processor; memory grew by {one.grown / 1e6:.0f} MB", flush=True)


def flooded(told: Told, count: int) -> None:
    """Send alerts that are all different: from each source to the way in, and from one of them to a whole bot."""
    grown = 0
    for name in sources():
        one = all_different(name, count)
        grown = max(grown, one.grown)
        for why in one.wrong:
            told.finds(name, f"all different: {why}")
    print(
        f"{count:,} different alerts from each of {len(sources())} sources: memory grew by {grown / 1e6:.0f} MB at most", flush=True
    )
    with TemporaryDirectory() as folder:
        one = over_http_all_different(f"sqlite:///{folder}/flood.db", count)
    for why in one.wrong:
        told.finds("alertmanager", f"all different, over HTTP: {why}")
    print(f"{count:,} from one source to a whole bot: {one.said}; memory grew by {one.grown / 1e6:.0f} MB", flush=True)


def _posted(served: Served, connection: HTTPConnection, request: Request) -> int:
    signed = sources()[request.source].sign(request.body, served.secret(request.source), wall_clock())
    headers = {name.lower(): value for name, value in signed.items()} | request.headers
    # What is no header at all is refused by whoever takes HTTP apart, and never gets here.
    headers = {name: value for name, value in headers.items() if not set(value) & set("\r\n\x00")}
    sendable = {
        name: value.strip().encode("latin-1", "replace") for name, value in headers.items() if not set(value) & set("\r\n\x00")
    }
    query = f"?{request.query}".replace(SECRET, served.secret(request.source)) if request.query else ""
    path = f"/hooks/{request.source}/main{''.join(one if 32 < ord(one) < 127 else '%20' for one in query)}"
    connection.request("GET" if query else "POST", path, request.body, sendable)  # type: ignore[arg-type]
    answer = connection.getresponse()
    answer.read()
    return answer.status


def runs_of(told: Told, drawn: int) -> Iterator[Run]:
    """What is kept of a run, of each engine that had a part in it."""
    day = f"{wall_clock():%Y-%m-%d}"
    if drawn:
        yield Run(day, "drawn", told.seed, drawn, len(told.wrong), round(told.slowest, 3), told.grown)
    if told.guided is not None:
        one = told.guided
        yield Run(day, "atheris", told.seed, one.bodies, len(one.found), round(one.slowest, 3), one.grown)


def says(told: Told) -> Iterator[str]:
    """Tell people what came of it; the lines to keep."""
    pace = told.bodies / max(told.seconds, 0.001)
    print(
        f"{told.bodies:,} bodies with seed {told.seed} in {told.seconds:.0f} s ({pace:,.0f} a second, {told.cpu_seconds:.0f} s of the"
        f" processor); memory grew by {told.grown / 1e6:.0f} MB; "
        f"{len(told.wrong) + len(told.found)} things went wrong"
    )
    for found in told.found:
        print(f"\n{found.source}, {found.times} times: {found.why}\n  {found.line}")
        if found.line:
            yield found.line
    for (source, why), case in told.wrong.items():
        print(f"\n{source}, {told.times[source, why]} times: {why}")
        if case is None:
            continue
        print(f"  number {case.number}: --seed {told.seed} --first {case.number} --bodies 1 --http 0")
        if len(case.request.body) <= SMALL:
            kind = why.partition(":")[0]
            line = line_of(
                smaller(case.request, lambda one, kind=kind: Street().wrong_with(one).startswith(kind)), why, told.seed, case.number
            )
            print(f"  {line}")
            yield line


if __name__ == "__main__":
    raise SystemExit(main())
