"""Connections, transactions and what can go wrong with them. The only place where the two databases differ."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, exc, func, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from bot.store.types import UtcDateTime

WAIT_SECONDS = 2.5
"""The longest wait for the database's lock or a connection: a person in Slack has to be answered within three."""
RETRIED = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL: serialization failure, deadlock, lock not available. Decide anew."""


class DatabaseDown(Exception):
    """Nothing could be saved or read now. The text says why, for whoever runs the bot; it holds no password."""


class Conflict(Exception):
    """Somebody else changed the same thing meanwhile: load and decide again."""


def connect(url: str) -> Engine:
    """An engine for sqlite:///FILE or postgresql+psycopg://…; connects when first used."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url)
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError(f"DATABASE_URL starts with {parsed.drivername}; use sqlite:/// or postgresql+psycopg://")
    # tcp_user_timeout: a server that went away without a word is noticed, rather than waited for.
    options = {"connect_timeout": 2, "tcp_user_timeout": 5000, "keepalives_idle": 15, "options": "-c timezone=UTC"}
    return create_engine(
        url, pool_size=10, max_overflow=10, pool_timeout=WAIT_SECONDS, pool_pre_ping=True, connect_args=options
    )  # fmt: skip


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url, pool_size=10, max_overflow=10, pool_timeout=WAIT_SECONDS,
        connect_args={"check_same_thread": False, "timeout": WAIT_SECONDS},
    )  # fmt: skip
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, record: object) -> None:
    # FULL: a commit that we answered for survives a power cut. WAL: readers never wait for the writer.
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={WAIT_SECONDS * 1000:.0f}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A read that turns into a write fails at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout: so take the
    # write lock first. https://www.sqlite.org/isolation.html
    is_writing = connection.get_execution_options().get("firstfive_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction; commits at the end. Raises `DatabaseDown` or `Conflict`."""
    with _named(), engine.connect() as connection:
        connection = connection.execution_options(firstfive_writing=True)
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One read transaction. Raises `DatabaseDown`."""
    with _named(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        raise Conflict(str(error.orig)) from error
    except exc.TimeoutError as error:
        raise DatabaseDown("every connection to the database is in use") from error
    except exc.DataError:
        # Not the database's fault: a value that it cannot hold, which is a bug of ours. Waiting will not help.
        raise
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in RETRIED:
            raise Conflict(str(error.orig)) from error
        raise DatabaseDown(_why(error)) from error


def _why(error: exc.DBAPIError) -> str:
    said = str(error.orig).strip().splitlines()
    first = said[0] if said else type(error.orig).__name__
    if "no such table" in first or getattr(error.orig, "sqlstate", None) == "42P01":
        return "the database has no schema yet, or an old one: run `python -m bot migrate`"
    return f"the database cannot be used: {first}"


def database_now(connection: Connection) -> datetime:
    """The database's own time, which every process that shares it agrees on. Whole seconds on SQLite."""
    moment: datetime | None = connection.scalar(select(func.current_timestamp(type_=UtcDateTime)))
    assert moment is not None
    return moment


def insert_new(engine_or_connection: Connection, table: Table, unique: Sequence[str]) -> Insert:
    """An insert that leaves rows alone whose `unique` columns are there already, and returns `id` of the new ones."""
    if engine_or_connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    return postgresql.insert(table).on_conflict_do_nothing(index_elements=list(unique))


def upsert(connection: Connection, table: Table, values: Mapping[str, Any], unique: Sequence[str]) -> None:
    """Insert a row, or bring the one with the same `unique` columns up to date."""
    rest = {name: value for name, value in values.items() if name not in unique}
    if connection.dialect.name == "sqlite":
        lite = sqlite.insert(table).values(**values)
        connection.execute(lite.on_conflict_do_update(index_elements=list(unique), set_=rest))
    else:
        full = postgresql.insert(table).values(**values)
        connection.execute(full.on_conflict_do_update(index_elements=list(unique), set_=rest))


def alone(connection: Connection, key: int) -> None:
    """Keep others out of the same work until the transaction ends, in whatever process they are.

    A write transaction of SQLite is alone from its beginning.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def notify(connection: Connection, channel: str) -> None:
    """Wake whoever listens once this transaction commits. A hint only: it may be lost."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def can_notify(engine: Engine) -> bool:
    """Whether other processes can be woken through the database."""
    return engine.dialect.name == "postgresql"
