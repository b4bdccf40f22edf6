"""The bot and the floor as processes of their own, as people run them; each ended by whoever started it."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import psycopg
import yaml

from bot.settings import Settings
from sandbox.__main__ import settings_for
from sandbox.app import Sandbox
from tests.databases import Server
from tests.ports import free_port

TOP = Path(__file__).parents[2]
MOST_OPENED = 1000
POLL_SECONDS = Settings.model_fields["pager_poll_seconds"].default


@contextmanager
def started(arguments: list[str], folder: Path, given: dict[str, str], port: int | None) -> Iterator[int]:
    """A Python process that listens on `port`, if on any; its pid. Ended politely. It sees none of our own settings."""
    ours = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper().removesuffix("_FILE") not in ours}
    environment = kept | {"PYTHONPATH": str(TOP)} | given
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while port is not None and not is_listening(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{' '.join(arguments)} did not start")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_listening(port: int) -> bool:
    """Whether somebody answers there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


@contextmanager
def floor(folder: Path) -> Iterator[int]:
    """The bare endpoint; its port."""
    port = free_port()
    with started(["-m", "tests.bench.floor", str(port)], folder, {}, port):
        yield port


@contextmanager
def least(sandbox: Sandbox, url: str, folder: Path, *, apart: bool = False) -> Iterator[int]:
    """The least way from an alert to a page of that sandbox's, in one process or `apart` in two; its port."""
    port = free_port()
    given = [str(port), url, f"{sandbox.world.origin}/pagerduty/events", sandbox.account.services["web"].key]

    def begun(shape: str, port: int | None) -> AbstractContextManager[int]:
        return started(["-m", "tests.bench.least", shape, *given], folder, {}, port)

    with begun("web" if apart else "serve", port), begun("worker", None) if apart else nullcontext():
        yield port


@dataclass(frozen=True, slots=True)
class Bot:
    """A running part of the bot: where it listens, and what the machine calls it."""

    port: int
    pid: int

    def memory(self, name: str = "VmRSS") -> float:
        """What it holds now in MB, or (VmHWM) the most that it ever held; NaN where the machine does not tell."""
        file = Path(f"/proc/{self.pid}/status")
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name)), math.nan)

    def threads(self) -> int:
        """How many threads it has; 0 where the machine does not tell."""
        folder = Path(f"/proc/{self.pid}/task")
        return len(list(folder.iterdir())) if folder.exists() else 0


def processor(pid: int) -> float:
    """Seconds of processor that a process and those that it started and buried have used; NaN where the machine does not tell."""
    file = Path(f"/proc/{pid}/stat")
    if not file.exists():
        return math.nan
    # Behind the name, which may hold anything: user, system, and both again of children that have ended.
    used = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[11:15]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """Who started a process; 0 where the machine does not tell."""
    file = Path(f"/proc/{pid}/stat")
    return int(file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) if file.exists() else 0


def children(pid: int) -> Sequence[int]:
    """Who was started by the main thread of a process, and lives."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in file.read_text(encoding="ascii").split()] if file.exists() else []


@contextmanager
def bot(sandbox: Sandbox, database_url: str, folder: Path) -> Iterator[int]:
    """`python -m bot serve` against a sandbox; its port. What the sandbox hastens for people is as it is by default."""
    with part("serve", sandbox, database_url, folder) as one:
        yield one.port


@contextmanager
def part(command: str, sandbox: Sandbox, database_url: str, folder: Path, *, most: int | None = MOST_OPENED) -> Iterator[Bot]:
    """`python -m bot serve`, or `web`, against a sandbox. `most`: incidents that a source opens before it is a storm; None
    for as many as the demo's policy says.
    """
    port = free_port()
    given = _environment(sandbox, database_url, folder, port, most)
    with started(["-m", "bot", command, "--migrate"], folder, given, port) as pid:
        sandbox.world.bot = f"http://127.0.0.1:{port}"
        _until_ready(port)
        yield Bot(port, pid)


@contextmanager
def worker(sandbox: Sandbox, database_url: str, folder: Path) -> Iterator[int]:
    """`python -m bot worker` against a sandbox; its pid."""
    with started(["-m", "bot", "worker", "--migrate"], folder, _environment(sandbox, database_url, folder, 0), None) as pid:
        yield pid


def _environment(sandbox: Sandbox, database_url: str, folder: Path, port: int, most: int | None = MOST_OPENED) -> dict[str, str]:
    settings = settings_for(sandbox, sandbox.world.origin, database_url) | {
        "host": "127.0.0.1", "port": port, "log_level": "error", "pager_poll_seconds": POLL_SECONDS,
        "policy_file": _policy(folder, most),
    }  # fmt: skip
    return {name.upper(): str(value) for name, value in settings.items()}


def _policy(folder: Path, most: int | None) -> Path:
    """The policy of the demo, but for the end of a storm: here each alert of one source is to open an incident of its own."""
    rules = yaml.safe_load((TOP / "policy.yaml").read_text(encoding="utf-8"))
    if most is not None:
        rules["storm"]["most"] = most
    file = folder / "policy.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(rules), encoding="utf-8")
    return file


def _until_ready(port: int) -> None:
    end = time.monotonic() + 20
    while (answer := httpx.get(f"http://127.0.0.1:{port}/health/ready")).status_code != 200:
        if time.monotonic() > end:
            raise SystemExit(f"the bot is not ready: {answer.text}")
        time.sleep(0.1)


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[Callable[[], str]]:
    """What makes empty databases that keep what they committed: SQLite as the bot sets it, PostgreSQL with fsync on."""
    numbers = count(1)
    if kind == "sqlite":
        yield lambda: f"sqlite:///{folder / f'bench{next(numbers)}.db'}"
        return
    server = Server(is_durable=True)

    def made() -> str:
        name = f"bench{next(numbers)}"
        with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return server.url(name)

    try:
        yield made
    finally:
        server.remove()
