"""`make check`: each check turns red when what it watches over is broken, and says how to mend it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PARTS = (
    "bot", "sandbox", "tests", "docs", "deploy", "runbooks", "postmortem_templates", "migrations", "policy.yaml", "pyproject.toml",
    "Makefile", "Procfile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".env.example", ".github", "requirements.lock",
    "requirements-dev.lock", "requirements-fuzz.lock",
)  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository, to be broken."""
    made = tmp_path_factory.mktemp("copy")
    for part in PARTS:
        if (TOP / part).is_dir():
            shutil.copytree(TOP / part, made / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(TOP / part, made / part)
    return made


def checked(top: Path, *names: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tests.checks", *names], cwd=top, env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("check", "name", "old", "new", "said"),
    [
        ("ruff", "bot/clock.py", "", "import unittest.mock\n", "Use the stand-ins in sandbox/ or a plain fake"),
        ("ruff", "bot/errors.py", "", "def late():\n    import json\n    return json\n", "PLC0415"),
        ("formatting", "bot/clock.py", "", "x  =  1\n", "`.venv/bin/ruff format .` mends it"),
        ("architecture", "bot/incidents/lifecycle.py", "", "from bot.slack.client import Slack\n", "if a rule needs the outside"),
        ("locks", "pyproject.toml", '"alembic>=1.14"', '"alembic>=99"', "requirements.lock: alembic"),
        ("locks", "pyproject.toml", '"alembic>=1.14"', '"alembic>=1.14", "flask"', "flask is not in it; run `make lock`"),
        ("locks", "pyproject.toml", "atheris>=3,<3.1", "atheris>=99", "requirements-fuzz.lock: atheris"),
        ("locks", "requirements.lock", "", "# https://registry.example\n", "holds an address; run `make lock`"),
        ("documents", ".env.example", "#PORT=8080", "#PORT=8081", ".env.example is not what the code says; run `make docs`"),
        ("documents", "docs/command-line.md", "INC-7", "INC-8", "docs/command-line.md is not what the code says"),
        ("documents", "bot/slack/manifest.py", '"pins:write"', '"pins:read"', "deploy/slack-manifest.yaml is not what the code"),
        ("links", "README.md", "docs/architecture.md", "docs/nowhere.md", "README.md: the link to docs/nowhere.md leads nowhere"),
        ("links", "README.md", "docs/architecture.md", "docs/architecture.md#no", "architecture.md has no heading #no"),
        ("verbs", "README.md", "bot check", "bot doctor", "`python -m bot doctor` is no subcommand; see docs/command-line.md"),
        ("verbs", "CONTRIBUTING.md", "make demo", "make show", "`make show` is no verb of the Makefile; see `make help`"),
        ("policy", "policy.yaml", "routes:", "rooutes:", "policy.yaml:"),
        ("runbooks", "runbooks/checkout-errors.md", "owner:", "owned:", "runbooks/checkout-errors.md:"),
        ("templates", "postmortem_templates/short.md.j2", "", "{% if %}\n", "postmortem_templates/short.md.j2:"),
        ("templates", "postmortem_templates/short.md.j2", "", "{{ nobodys_name }}\n", "facts.py has every name there is"),
        ("broad", "bot/clock.py", "", "try:\n    X = 1\nexcept Exception:\n    pass\n", "bot/clock.py: name the exceptions"),
    ],
)  # fmt: skip
def test_a_check_turns_red_and_says_how_to_mend_it(copy, check, name, old, new, said):
    path = copy / name
    before = path.read_bytes()
    text = before.decode()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new)
    try:
        told = checked(copy, check)
    finally:
        path.write_bytes(before)

    assert told.returncode == 1, told
    assert told.stdout.startswith(f"FAIL {check}")
    assert said in " ".join(told.stdout.split())


def test_a_file_whose_name_says_nothing_is_named(copy):
    path = copy / "bot" / "slack" / "utils.py"
    path.touch()
    try:
        assert "bot/slack/utils.py: name it after what it is about" in checked(copy, "words").stdout
    finally:
        path.unlink()


def test_what_is_not_broken_is_green(copy):
    told = checked(copy, "documents", "links", "verbs", "policy", "runbooks", "templates", "words", "broad", "locks")

    assert told.returncode == 0, told.stdout
    assert "FAIL" not in told.stdout


def test_a_check_that_is_not_there_is_said(copy):
    told = checked(copy, "spelling")

    assert (told.returncode, told.stdout[:13]) == (2, "no such check")
