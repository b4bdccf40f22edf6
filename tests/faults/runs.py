"""Carrying plans out: a run each, a few side by side, and what came of them."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.databases import Server
from tests.faults import oracle, story
from tests.faults.matrix import Plan
from tests.faults.oracle import Wrong
from tests.faults.rig import NeverSeen, rigged
from tests.faults.trials import Stage, Trial


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan. `hits` is how often a signal was really sent or a process really died."""

    plan: Plan | Trial
    wrong: tuple[Wrong, ...]
    hits: int
    seconds: float


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
        return Outcome(trial, tuple(wrong), stage.hits, time.monotonic() - began)


def _killed(plan: Plan, databases: Databases) -> Outcome:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="firstfive-faults-") as name, databases.one(plan.database, Path(name)) as url:
        folder = Path(name)
        with rigged(url, folder) as rig:
            rig.runs(COMMANDS[plan.shape], plan.kills)
            wrong: list[Wrong] = []
            try:
                story.told(rig)
                rig.until(lambda: not rig.frozen(), "nobody stands still")
                rig.until(rig.is_quiet, "nothing waits")
            except NeverSeen as never:
                wrong.append(Wrong("lost", f"never seen: {never}"))
            wrong += oracle.judged(rig)
            return Outcome(plan, tuple(wrong), rig.hits(), time.monotonic() - began)


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


def counted(databases: Databases) -> dict[str, int]:
    """How often each point and call is reached in a run that nobody disturbs."""
    with tempfile.TemporaryDirectory(prefix="firstfive-faults-") as name:
        folder = Path(name)
        with rigged(f"sqlite:///{folder / 'faults.db'}", folder) as rig:
            rig.environment["FAULT_TRACE"] = str(folder / "trace")
            rig.runs(COMMANDS["serve"])
            story.told(rig)
            wrong = oracle.judged(rig)
            if wrong:
                raise SystemExit(f"a run that nobody disturbs is wrong already: {wrong}")
            calls = rig.calls()
        return Counter((folder / "trace").read_text(encoding="utf-8").splitlines()) | calls
