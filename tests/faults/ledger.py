"""What came of the runs so far, kept in a file: a run of hours that was cut off goes on where it was.

A line each. The first names the code they were run on: outcomes of two versions are no outcome of either.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.faults.matrix import Plan
from tests.faults.oracle import Wrong
from tests.faults.rig import TOP
from tests.faults.runs import Outcome
from tests.faults.trials import Trial


class Ledger:
    """Outcomes by the names of their plans. Raises SystemExit for a file that belongs to other code."""

    def __init__(self, path: Path, code: str) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not lines:
            path.write_text(f"{json.dumps({'code': code})}\n", encoding="utf-8")
        elif json.loads(lines[0])["code"] != code:
            raise SystemExit(f"{path} holds runs of other code ({json.loads(lines[0])['code']}); remove it to begin anew")
        self._known = {one["name"]: one for one in map(json.loads, lines[1:])}

    def outcomes(self, plans: Sequence[Plan | Trial]) -> list[Outcome]:
        """Of these plans, what is known already."""
        found = [(one, self._known.get(one.name)) for one in plans]
        return [
            Outcome(plan, tuple(Wrong(*wrong) for wrong in known["wrong"]), known["hits"], known["seconds"], known["kept"])
            for plan, known in found
            if known
        ]

    def rest(self, plans: Sequence[Plan | Trial]) -> list[Plan | Trial]:
        """Those that were not run yet."""
        return [one for one in plans if one.name not in self._known]

    def keep(self, outcome: Outcome) -> None:
        """Write one down."""
        wrong = [(one.kind, one.what) for one in outcome.wrong]
        line = {
            "name": outcome.plan.name, "wrong": wrong, "hits": outcome.hits, "seconds": round(outcome.seconds, 1),
            "kept": outcome.kept,
        }  # fmt: skip
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def code_here() -> str:
    """The commit of this code, marked where files differ from it."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=TOP, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"
