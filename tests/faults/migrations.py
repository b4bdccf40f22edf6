"""`python -m bot migrate`, killed in the midst of it: run again, it ends whole, and what was there is there."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from sqlalchemy import Engine, event, inspect, text

from bot import points
from bot.store import migrate
from bot.store.database import connect, reading, writing
from tests.faults.launch import CHANGES, IN_A_MIGRATION
from tests.faults.oracle import Wrong
from tests.faults.rig import TOP, Kill
from tests.faults.trials import Stage, Trial

FIRST = "0001"
TRACE = "migrate.trace"
ENDS_WITHIN = 60.0
KEPT = "what was there before"
Schema = dict[str, list[str]]


def killed(start: str, place: str, *, is_awaited: bool) -> Callable[[Stage], Iterator[Wrong]]:
    """From nothing, or from an older schema with a row in it. `is_awaited`: a second one waits for the first, and goes on."""

    def play(stage: Stage) -> Iterator[Wrong]:
        engine = connect(stage.url)
        try:
            last = counted(stage, engine, start)
            prepared(engine, start)
            before = schema(engine)
            luck = random.Random(f"{start}/{place}/{stage.seed}")
            first = begun(stage, Kill(point=place, time=luck.randint(1, last) if place == IN_A_MIGRATION else 1))
            second = begun_after(stage, first) if is_awaited else None
            stage.met(first.wait(ENDS_WITHIN) == -9)
            if second is None:
                yield from whole_or_untouched(before, schema(engine), migrate.out_of_date(engine))
                second = begun(stage)
            yield from ended_whole(engine, second.wait(ENDS_WITHIN), is_kept=bool(start))
        finally:
            engine.dispose()

    return play


def counted(stage: Stage, engine: Engine, start: str) -> int:
    """How many statements it takes on a database of that kind: to change a table SQLite needs more of them."""
    if engine.dialect.name == "sqlite":
        return statements(f"sqlite:///{stage.folder / 'counted.db'}", start)
    name = f"{engine.url.database}_counted"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            return statements(engine.url.set(database=name).render_as_string(hide_password=False), start)
        finally:
            connection.execute(text(f"DROP DATABASE {name}"))


def statements(url: str, start: str) -> int:
    """How many statements change something on the way from there to the newest schema."""
    engine, count = connect(url), 0

    def executed(connection: object, cursor: object, statement: str, *given: object) -> None:
        nonlocal count
        count += statement.lstrip().upper().startswith(CHANGES)

    try:
        prepared(engine, start)
        event.listen(engine, "after_cursor_execute", executed)
        migrate.upgrade(engine)
    finally:
        engine.dispose()
    return count


def prepared(engine: Engine, start: str) -> None:
    """The older schema, with something in it."""
    if start:
        migrate.upgrade(engine, start)
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO notes (name, value) VALUES (:name, '1')"), {"name": KEPT})


def begun(stage: Stage, kill: Kill | None = None) -> "subprocess.Popen[bytes]":
    """`python -m bot migrate`, as a process of its own."""
    given = {"DATABASE_URL": stage.url, "PYTHONPATH": str(TOP)}
    if kill is not None:
        given |= {"FAULT_POINT": kill.point, "FAULT_TIME": str(kill.time), "FAULT_TRACE": str(stage.folder / TRACE)}
    with (stage.folder / "migrate.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launch", "migrate"], cwd=TOP, env=os.environ | given,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    time.sleep(0.05)
    return started


def begun_after(stage: Stage, first: "subprocess.Popen[bytes]") -> "subprocess.Popen[bytes]":
    """Another one, once the first is at work: which of them comes first is not left to the machine."""
    end, trace = time.monotonic() + ENDS_WITHIN, stage.folder / TRACE
    while not (trace.exists() and trace.stat().st_size) and first.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return begun(stage)


def schema(engine: Engine) -> Schema:
    """Tables and indexes, with their columns."""
    with reading(engine) as connection:
        seen = inspect(connection)
        tables = {name: sorted(one["name"] for one in seen.get_columns(name)) for name in seen.get_table_names()}
        return tables | {f"{name}/indexes": sorted(str(one["name"]) for one in seen.get_indexes(name)) for name in tables}


def whole_or_untouched(before: Schema, after: Schema, late: str) -> Iterator[Wrong]:
    """After the kill the schema is as it was, or the newest: nothing in between."""
    if late and after != before:
        odd = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        yield Wrong("lost", f"half a migration was left behind, in {', '.join(odd)}")


def ended_whole(engine: Engine, code: int, *, is_kept: bool) -> Iterator[Wrong]:
    """Run again, it says that all is well; and all is."""
    if code:
        yield Wrong("lost", f"run again, the migration ended with {code}")
    late = migrate.out_of_date(engine)
    if late:
        yield Wrong("lost", late)
        return
    differences = migrate.differences(engine)
    if differences:
        yield Wrong("lost", f"the schema is not the one of the code: {differences}")
    with reading(engine) as connection:
        kept = connection.scalar(text("SELECT count(*) FROM notes WHERE name = :name"), {"name": KEPT})
    if kept != int(is_kept):
        yield Wrong("lost" if is_kept else "message", f"{kept} rows of what was there before")


def trials(seeds: range) -> Iterator[Trial]:
    """In its midst at another statement with each seed, and before its commit."""
    for seed in seeds:
        for database in ("sqlite", "postgresql"):
            for start, words in (("", "from nothing"), (FIRST, "of an older schema")):
                for place in (IN_A_MIGRATION, points.MIGRATION):
                    is_awaited = bool(seed % 2)
                    also = ", while another waits" if is_awaited else ""
                    play = killed(start, place, is_awaited=is_awaited)
                    yield Trial(f"A killed at {place}, {words}{also}", database, seed, play)
