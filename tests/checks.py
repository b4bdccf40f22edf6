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

from bot import commands
from bot.incidents.policy import problems_in, read, runbooks_missing
from bot.postmortems import read_templates
from bot.postmortems.trying import tried
from bot.runbooks import lint_folder, paths_in
from tests.documents import TOP, generated

Problems = Iterator[str]


def ruff() -> Problems:
    """Style and the house's own bans."""
    yield from _run("ruff", "check", ".")


def formatting() -> Problems:
    """One way to lay code out: `.venv/bin/ruff format .` mends it."""
    yield from _run("ruff", "format", "--check", "--quiet", ".")


def types() -> Problems:
    """mypy, strict."""
    yield from _run("mypy")


def architecture() -> Problems:
    """Which room may know which."""
    yield from _run("lint-imports", "--no-cache")


def locks() -> Problems:
    """The lock files satisfy pyproject.toml, hold hashes, and name no address: `make lock` mends them."""
    told = tomllib.loads((TOP / "pyproject.toml").read_text())
    project = told["project"]
    extras = project["optional-dependencies"]["dev"]
    fuzz = told["dependency-groups"]["fuzz"]
    for name, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-dev.lock", [*project["dependencies"], *extras]),
        ("requirements-fuzz.lock", fuzz),
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
    """Every relative link in the documents leads somewhere, to a heading too."""
    for page in pages():
        for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
            if "://" in target or target.startswith("mailto:") or "{" in target:
                continue
            there = page.parent / target if target else page
            if not there.exists():
                yield f"{page.relative_to(TOP)}: the link to {target} leads nowhere; name the file as it is now"
            elif heading and there.suffix == ".md" and heading not in _headings(there):
                yield f"{page.relative_to(TOP)}: {there.name} has no heading #{heading}"


def pages() -> list[Path]:
    """Every document that people read."""
    return sorted((*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("runbooks/*.md")))


def _headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def verbs() -> Problems:
    """Every command that a document tells people to run is there."""
    subcommands = set(re.findall(r"^## (\S+)$", commands.documented(), flags=re.M))
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    places = (*pages(), TOP / "Procfile", TOP / "deploy" / "Dockerfile", TOP / "deploy" / "compose.yaml")
    for page in places:
        text = page.read_text(encoding="utf-8")
        # Parted by blanks in a document, by commas in a list of arguments.
        for name in re.findall(r"-m\W{1,4}bot\W{1,4}([a-z]+)", text):
            if name not in subcommands:
                yield f"{page.relative_to(TOP)}: `python -m bot {name}` is no subcommand; see docs/command-line.md"
        for name in re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", text, flags=re.M):
            if name not in targets:
                yield f"{page.relative_to(TOP)}: `make {name}` is no verb of the Makefile; see `make help`"


def runbooks() -> Problems:
    """Every runbook has what a woken person needs."""
    for problem in lint_folder(TOP / "runbooks"):
        yield f"{_near(problem)}; docs/how-to/write-a-runbook.md says what it needs"


def policy() -> Problems:
    """The policy is one, and names templates and runbooks that there are."""
    path = TOP / "policy.yaml"
    problems = [str(one) for one in problems_in(path.read_text(encoding="utf-8"), "policy.yaml")]
    yield from problems
    if problems:
        return
    text = path.read_text(encoding="utf-8")
    made = read(text, "policy.yaml")
    drafts = set(read_templates(TOP / "postmortem_templates").names())
    for name in sorted({one.template for one in made.severities.values()} - drafts):
        yield f"policy.yaml: names the template {name}; there is no postmortem_templates/{name}.md.j2"
    yield from map(str, runbooks_missing(made, text, paths_in(TOP / "runbooks") or ()))


def templates() -> Problems:
    """Every post-mortem template can be read, and knows every name it asks for."""
    folder = TOP / "postmortem_templates"
    found = read_templates(folder)
    for problem in (*found.problems, *tried(found, folder)):
        yield f"{_near(problem)}; bot/postmortems/facts.py has every name there is"


def words() -> Problems:
    """Names that say nothing are not used for files."""
    banned = {"manager", "helper", "helpers", "util", "utils", "common", "base", "service", "processor", "data", "misc"}
    for path in (*TOP.glob("bot/**/*.py"), *TOP.glob("sandbox/**/*.py")):
        if banned & set(path.stem.split("_")):
            yield f"{path.relative_to(TOP)}: name it after what it is about"


def broad() -> Problems:
    """Exceptions nobody named are caught at the two edges of the process, and around what another package brings, only."""
    edges, brought = ("bot/worker/deliveries.py", "bot/web/app.py"), ("bot/alerts/registry.py", "bot/web/webhooks.py")
    allowed = {TOP / one for one in (*edges, *brought)}
    for path in TOP.glob("bot/**/*.py"):
        if path not in allowed and re.search(r"except \(?(Base)?Exception\b|except:", path.read_text()):
            yield f"{path.relative_to(TOP)}: name the exceptions; a bug should be seen as one"


CHECKS: tuple[Callable[[], Problems], ...] = (
    ruff, formatting, types, architecture, locks, documents, links, verbs, policy, runbooks, templates, words, broad,
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run every check, or those that are named; with --write, write the generated documents instead."""
    if arguments == ["--write"]:
        for path, text in generated():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(TOP)}")
        return 0
    known = {check.__name__: check for check in CHECKS}
    if set(arguments) - set(known):
        print(f"no such check; there are {', '.join(known)}")
        return 2
    failed = 0
    for check in [known[name] for name in arguments or known]:
        started = time.perf_counter()
        problems = list(check())
        failed += bool(problems)
        mark = "FAIL" if problems else "ok"
        print(f"{mark:5}{check.__name__:14}{time.perf_counter() - started:6.1f} s  {check.__doc__}")
        for problem in problems:
            print("     " + problem.replace("\n", "\n     "))
    return 1 if failed else 0


def _near(problem: object) -> str:
    """A problem with its file as seen from the top of the repository."""
    return str(problem).replace(f"{TOP}/", "")


def _run(*command: str) -> Problems:
    program = Path(sys.executable).parent / command[0]
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run([str(program), *command[1:]], cwd=TOP, stdout=output, stderr=subprocess.STDOUT)
        if done.returncode:
            output.seek(0)
            yield output.read().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
