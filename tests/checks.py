"""`make check`: style, types, architecture, lock files, documents. Each check that fails says how to mend it."""

import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from bot.postmortems import read_templates
from bot.runbooks import lint_folder
from tests.documents import TOP, generated

Problems = Iterator[str]


def ruff() -> Problems:
    """Style and the house's own bans."""
    yield from _run("ruff", "check", ".")


def formatting() -> Problems:
    """One way to lay code out: `ruff format .` mends it."""
    yield from _run("ruff", "format", "--check", "--quiet", ".")


def types() -> Problems:
    """mypy, strict."""
    yield from _run("mypy")


def architecture() -> Problems:
    """Which room may know which."""
    yield from _run("lint-imports", "--no-cache")


def locks() -> Problems:
    """The lock files satisfy pyproject.toml, hold hashes, and name no address: `make lock` mends them."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]["dev"]
    for name, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-dev.lock", [*project["dependencies"], *extras]),
    ):
        text = (TOP / name).read_text()
        pins = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", text, flags=re.M))
        for line in wanted:
            requirement = Requirement(line)
            pinned = pins.get(requirement.name.lower().replace("_", "-"))
            if pinned is None:
                yield f"{name}: {requirement.name} is not in it; run `make lock`"
            elif Version(pinned) not in requirement.specifier:
                yield f"{name}: {requirement.name} {pinned} does not fit {requirement.specifier}; run `make lock`"
        if "://" in text:
            yield f"{name}: holds an address; run `make lock`"
        for block in re.split(r"\n(?=[a-z0-9])", text):
            if "==" in block and "--hash=sha256:" not in block:
                yield f"{name}: {block.splitlines()[0]} has no hash; run `make lock`"


def documents() -> Problems:
    """What is made from the code is as the code says: `make docs` mends it."""
    for path, text in generated():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield f"{path.relative_to(TOP)} is not what the code says; run `make docs` and read the difference"


def links() -> Problems:
    """Every relative link in the documents leads somewhere."""
    for page in sorted((*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("runbooks/*.md"))):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" in target or target.startswith("mailto:") or "{" in target:
                continue
            if not (page.parent / target).exists():
                yield f"{page.relative_to(TOP)}: the link to {target} leads nowhere"


def runbooks() -> Problems:
    """Every runbook has what a woken person needs."""
    for problem in lint_folder(TOP / "runbooks"):
        yield str(problem)


def templates() -> Problems:
    """Every post-mortem template can be read."""
    for problem in read_templates(TOP / "postmortem_templates").problems:
        yield str(problem)


def words() -> Problems:
    """Names that say nothing are not used for files."""
    banned = {"manager", "helper", "helpers", "util", "utils", "common", "base", "service", "processor", "data", "misc"}
    for path in (*TOP.glob("bot/**/*.py"), *TOP.glob("sandbox/**/*.py")):
        if banned & set(path.stem.split("_")):
            yield f"{path.relative_to(TOP)}: name it after what it is about"


def broad() -> Problems:
    """Exceptions nobody named are caught at the two edges of the process only."""
    allowed = {TOP / "bot/worker/deliveries.py", TOP / "bot/web/app.py"}
    for path in TOP.glob("bot/**/*.py"):
        if path not in allowed and re.search(r"except (Base)?Exception\b|except:", path.read_text()):
            yield f"{path.relative_to(TOP)}: name the exceptions; a bug should be seen as one"


CHECKS: tuple[Callable[[], Problems], ...] = (
    ruff, formatting, types, architecture, locks, documents, links, runbooks, templates, words, broad,
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run every check; with --write, write the generated documents instead."""
    if arguments == ["--write"]:
        for path, text in generated():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(TOP)}")
        return 0
    failed = 0
    for check in CHECKS:
        started = time.perf_counter()
        problems = list(check())
        failed += bool(problems)
        mark = "FAIL" if problems else "ok"
        print(f"{mark:5}{check.__name__:14}{time.perf_counter() - started:6.1f} s  {check.__doc__}")
        for problem in problems:
            print("     " + problem.replace("\n", "\n     "))
    return 1 if failed else 0


def _run(*command: str) -> Problems:
    program = Path(sys.executable).parent / command[0]
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([str(program), *command[1:]], cwd=TOP, stdout=output, stderr=subprocess.STDOUT)
        if done.returncode:
            output.seek(0)
            yield output.read().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
