"""Carrying plans out: a run each, a few side by side, and what came of them."""

import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from bot import points
from tests.databases import Server
from tests.faults import oracle, story
from tests.faults.matrix import SIDES, Plan, places
from tests.faults.oracle import Wrong
from tests.faults.rig import TOP, NeverSeen, rigged
from tests.faults.trials import Stage, Trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan. `hits` is how often its fault came about: of a plan's kills, how many were reached."""

    plan: Plan | Trial
    wrong: tuple[Wrong, ...]
    hits: int
    seconds: float
    kept: str = ""
    """Where the bots' log, the neighbours' ledgers and the record of a bad run are."""


class Databases:
    """Empty databases, by kind. One PostgreSQL for all runs, with fsync on."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._count = 0

    @contextmanager
    def one(self, kind: str, folder: Path) -> Iterator[str]:
        """An address that nobody else uses."""
        if kind == "sqlite":
            yield f"sqlite:///{folder / 'faults.db'}"
            return
        self._server = self._server or Server(is_durable=True)
        self._count += 1
        name = f"faults_{self._count}_{time.monotonic_ns()}"
        admin = self._server.url("postgres").replace("+psycopg", "")
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        yield self._server.url(name)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def start(self) -> None:
        """Start the server before several want it at once."""
        self._server = self._server or Server(is_durable=True)

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.remove()


COMMANDS = {"serve": ("serve",), "apart": ("web", "worker", "worker")}


def carried_out(plan: Plan | Trial, databases: Databases) -> Outcome:
    """Do one run."""
    return _tried(plan, databases) if isinstance(plan, Trial) else _killed(plan, databases)


def _tried(trial: Trial, databases: Databases) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firstfive-faults-") as name, databases.one(trial.database, Path(name)) as url:
        stage = Stage(trial.database, url, Path(name), trial.seed)
        wrong: list[Wrong] = []
        try:
            wrong.extend(trial.play(stage))
        except NeverSeen as never:
            wrong.append(Wrong("lost", f"never seen: {never}"))
        return Outcome(trial, tuple(wrong), stage.hits, time.monotonic() - began, kept(trial, wrong, Path(name)))


def _killed(plan: Plan, databases: Databases) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firstfive-faults-") as name, databases.one(plan.database, Path(name)) as url:
        folder = Path(name)
        wrong: list[Wrong] = []
        with rigged(url, folder) as rig:
            rig.runs(COMMANDS[plan.shape], plan.kills)
            try:
                story.told(rig, plan.side)
                rig.until(lambda: not rig.frozen(), "nobody stands still")
                rig.until(rig.is_quiet, "nothing waits")
            except NeverSeen as never:
                wrong.append(Wrong("lost", f"never seen: {never}"))
            wrong += oracle.judged(rig)
            hits = sum(rig.reached(plan.kills))
        return Outcome(plan, tuple(wrong), hits, time.monotonic() - began, kept(plan, wrong, folder))


def kept(plan: Plan | Trial, wrong: Sequence[Wrong], folder: Path, top: Path = TOP) -> str:
    """Keep all that a bad run has left behind; where that is, seen from `top`. Empty for a good run."""
    if not wrong:
        return ""
    words = re.sub(r"[^a-z0-9]+", "-", plan.name.lower()).strip("-")
    place = Path(".cache") / "faults" / f"{words[:150]}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    ignored = shutil.ignore_patterns("reached-*", "up-*")
    with suppress(OSError, shutil.Error):
        shutil.copytree(folder, top / place, ignore=ignored, dirs_exist_ok=True)
    (top / place).mkdir(parents=True, exist_ok=True)
    (top / place / "wrong.txt").write_text("".join(f"{one.kind}: {one.what}\n" for one in wrong), encoding="utf-8")
    return str(place)


def all_of(plans: Sequence[Plan | Trial], databases: Databases, parallel: int, tell: Callable[[Outcome, int], None]) -> list[Outcome]:
    """Do every run, those that need the machine to themselves last; `tell` hears of each with how many are done."""
    done: list[Outcome] = []

    def one(plan: Plan | Trial) -> None:
        outcome = carried_out(plan, databases)
        done.append(outcome)
        tell(outcome, len(done))

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, [plan for plan in plans if not _is_alone(plan)]))
    for plan in filter(_is_alone, plans):
        one(plan)
    return done


def _is_alone(plan: Plan | Trial) -> bool:
    return isinstance(plan, Trial) and plan.is_alone


def counted(databases: Databases) -> dict[str, dict[str, int]]:
    """How often each point and call is reached in a run that nobody disturbs, by where the page is acknowledged."""
    found = {side: _counted(side) for side in SIDES}
    never = [one.name for one in places() if not any(counts.get(one.point or one.call) for counts in found.values())]
    if never:
        raise SystemExit(f"nobody would be killed there, for the story does not come to it: {', '.join(never)}")
    return found


def _counted(side: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory(prefix="firstfive-faults-") as name:
        folder = Path(name)
        with rigged(f"sqlite:///{folder / 'faults.db'}", folder) as rig:
            rig.environment["FAULT_TRACE"] = str(folder / "trace")
            rig.runs(COMMANDS["serve"])
            story.told(rig, side)
            wrong = oracle.judged(rig)
            if wrong:
                raise SystemExit(f"a run that nobody disturbs is wrong already: {wrong}")
            calls = rig.calls()
        reached = Counter((folder / "trace").read_text(encoding="utf-8").splitlines())
        unknown = (reached.keys() - set(points.every())) | (calls.keys() - set(points.changing()))
        if unknown:
            raise SystemExit(f"the bot came to places that bot/points.py does not list: {sorted(unknown)}")
        return reached | calls
