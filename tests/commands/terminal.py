"""`python -m bot …` as a person runs it: a process of its own, an empty folder, and no setting but those that are given."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from bot.commands import main
from tests import warm
from tests.databases import sqlite

TOP = Path(__file__).parents[2]
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def refused(self, code: int = 2) -> str:
        """The one line that says why, where there is nothing else and no traceback."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self
        return self.err.rstrip("\n")


@dataclass
class Terminal:
    """A folder to be in, and an environment."""

    folder: Path
    given: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, stdin: bytes = b"", **settings: object) -> Told:
        """A process of its own, from a start that is shared."""
        if not warm.is_possible():
            return self.cold(*arguments, stdin=stdin, **settings)
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            streams = given.fileno(), out.fileno(), err.fileno()
            process = warm.starter().start("bot", [str(one) for one in arguments], self.folder, self.environment(**settings), streams)
            try:
                code = process.wait(SECONDS)
            finally:
                process.kill()
            out.seek(0)
            err.seek(0)
            return Told(code, out.read().decode(), err.read().decode())

    def cold(self, *arguments: object, stdin: bytes = b"", **settings: object) -> Told:
        """A process that starts by itself, with pipes to it."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(**settings), input=stdin, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        return Told(done.returncode, done.stdout.decode(), done.stderr.decode())

    def here(self, *arguments: object, **settings: object) -> Told:
        """The same without a process of its own: quicker. A bug is an exception. Not for what starts threads or a log."""
        out, err = StringIO(), StringIO()
        known = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment(**settings))
        try:
            with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
                code = main([str(one) for one in arguments])
        finally:
            os.environ.clear()
            os.environ.update(known)
        return Told(code, out.getvalue(), err.getvalue())

    def shell(self, text: str, **settings: object) -> Told:
        """A line of shell in which $BOT is the bot."""
        environment = self.environment(**settings) | {"BOT": " ".join(self.command())}
        done = subprocess.run(
            ["/bin/bash", "-c", text], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        return Told(done.returncode, done.stdout.decode(), done.stderr.decode())

    @contextmanager
    def running(self, *arguments: object, **settings: object) -> Iterator[subprocess.Popen[str]]:
        """A process that goes on; nothing of it is left at the end. Its log is in `log` in the folder."""
        with (self.folder / f"log-{'-'.join(map(str, arguments))}").open("w+") as log:
            process = subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=self.environment(**settings), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def log(self, *arguments: object) -> str:
        return (self.folder / f"log-{'-'.join(map(str, arguments))}").read_text()

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "bot", *map(str, arguments)]

    def environment(self, **settings: object) -> dict[str, str]:
        plain = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "PYTHONPATH": str(TOP), "COLUMNS": "120"}
        plain["PYTHONFAULTHANDLER"] = "1"
        named = {name.upper(): str(value) for name, value in settings.items()}
        return {name: value for name, value in (plain | self.given | named).items() if value != ""}

    def file(self, text: str | bytes, name: str = "file") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path


def ended(process: subprocess.Popen[str], number: signal.Signals, seconds: float) -> int:
    """How it ends after a signal; fails where it does not within the time."""
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        return process.wait(timeout=seconds)
    # The interpreter then writes to the log what each thread was at.
    process.send_signal(signal.SIGABRT)
    process.wait()
    raise AssertionError(f"still running {seconds} s after {number.name}")


def files_of_the_team() -> dict[str, str]:
    return {
        "POLICY_FILE": str(TOP / "policy.yaml"),
        "RUNBOOKS_DIR": str(TOP / "runbooks"),
        "TEMPLATES_DIR": str(TOP / "postmortem_templates"),
    }


@pytest.fixture
def empty(tmp_path: Path) -> Terminal:
    """Nothing but the bot: no file, no database, no setting."""
    return Terminal(tmp_path)


@pytest.fixture
def bot(tmp_path: Path) -> Terminal:
    """The repository's policy, runbooks and templates, and a database that is up to date."""
    sqlite(tmp_path / "firstfive.db")
    return Terminal(tmp_path, files_of_the_team())
