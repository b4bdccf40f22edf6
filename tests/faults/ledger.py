"""What came of the runs so far, kept in a file: a run of hours that was cut off goes on where it was.

A line each. The first names the code they were run on: outcomes of two versions are no outcome of either. Commits that
change nothing of what runs are one version; each line has its own.
"""

import json
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.faults.matrix import Plan
from tests.faults.oracle import Wrong
from tests.faults.rig import TOP
from tests.faults.runs import Outcome
from tests.faults.trials import Trial

RUN = ("bot", "sandbox", "migrations", "policy.yaml", "runbooks", "postmortem_templates", "tests/faults", "requirements.lock")
"""What an outcome depends on."""


class Ledger:
    """Outcomes by the names of their plans. Raises SystemExit for a file that belongs to other code."""

    def __init__(self, path: Path, code: str, commit: str) -> None:
        self._path, self._commit = path, commit
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

    def commits(self) -> list[str]:
        """Those that were run, in order."""
        return list(dict.fromkeys(one["commit"] for one in self._known.values()))

    def rest(self, plans: Sequence[Plan | Trial]) -> list[Plan | Trial]:
        """Those that were not run yet."""
        return [one for one in plans if one.name not in self._known]

    def keep(self, outcome: Outcome) -> None:
        """Write one down."""
        wrong = [(one.kind, one.what) for one in outcome.wrong]
        line = {
            "name": outcome.plan.name, "wrong": wrong, "hits": outcome.hits, "seconds": round(outcome.seconds, 1),
            "kept": outcome.kept, "commit": self._commit,
        }  # fmt: skip
        self._known[outcome.plan.name] = line
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")


def code_here(top: Path = TOP) -> str:
    """What runs, and what it is run against, as one word: the same for as long as nothing of it changes. The commit's own
    word would be another after each change of a document.
    """
    parts = [_git(top, "rev-parse", "--short=12", f"HEAD:{one}") for one in RUN]
    return f"{_word(' '.join(parts).encode())}{_dirty(top)}"


def _dirty(top: Path) -> str:
    """What differs from the commit, as a word: two that differ otherwise are two. Empty where nothing does."""
    if not _git(top, "status", "--porcelain", *RUN):
        return ""
    new = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *RUN).split("\0")
    parts = [_git(top, "diff", "--binary", "HEAD", "--", *RUN).encode()]
    parts += [one.encode() + b"\0" + (top / one).read_bytes() for one in new if one]
    return f"-dirty-{_word(bytes(1).join(parts))}"


def _word(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


def commit_here(top: Path = TOP) -> str:
    """The commit of this code, marked where what runs differs from it."""
    return f"{_git(top, 'rev-parse', '--short', 'HEAD') or 'unknown'}{'-dirty' if _git(top, 'status', '--porcelain', *RUN) else ''}"


def _git(top: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=top, capture_output=True, text=True, check=False).stdout.strip()
