"""Long runs, kept in `runs.jsonl`, a line each: docs/sources.md has them as a table."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("runs.jsonl")
HEAD = "| day | bodies | made up by | seed | went wrong | slowest, s of processor | memory grew by |"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one engine's part of a run."""

    day: str
    engine: str
    """`drawn`, `atheris` or `flood`."""
    seed: int
    bodies: int
    wrong: int
    """Kinds of things that went wrong."""
    slowest: float
    """Seconds of the processor that the most expensive body took."""
    grown: int
    """Bytes."""


def record(run: Run, path: Path) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(asdict(run))}\n")


def table(file: Path = FILE) -> str:
    """Those that are kept, as they stand in the documents."""
    runs = [Run(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    names = {"drawn": "our generator", "atheris": "Atheris", "flood": "all different"}
    rows = [
        f"| {one.day} | {one.bodies:,} | {names[one.engine]} | {one.seed} | {one.wrong or 'nothing'} | {one.slowest:.2f} "
        f"| {one.grown / 1e6:.0f} MB |"
        for one in runs
    ]
    return "\n".join([HEAD, "|---|--:|---|--:|--:|--:|--:|", *rows])
