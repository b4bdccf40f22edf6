"""Connections, transactions and what can go wrong with them. The only place where the two databases differ."""

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache, partial
from typing import Any, cast
from uuid import uuid4

import orjson
import psycopg
from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    Executable,
    Function,
    Insert,
    Table,
    bindparam,
    create_engine,
    event,
    exc,
    func,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, StaticPool

from bot.store.types import UtcDateTime

WAIT_SECONDS = 2.0
"""The longest wait for the database's lock or a connection: a person in Slack has to be answered within three."""
RETRIED = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization failure, deadlock. Decide anew."""
STILL_SECONDS = 8.0
"""How long a transaction of PostgreSQL may wait for us to go on. We never wait for anybody else within one."""
GONE_AFTER: Mapping[str, Any] = {"tcp_user_timeout": 5000, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
"""A server that went away without a word is noticed, rather than waited for: within 5 s of a question, 30 s of silence."""
TRUSTED_SECONDS = 0.25
"""So long a connection that nobody uses is taken to stand."""
LOG_BYTES = 8_000_000
"""Of deliveries, before SQLite's log is written back: about twice as much log."""
UNIQUE_VIOLATION = "23505"
TOO_MUCH = "54"
NO_SCHEMA = ("no such table", "no such column", "has no column")
"""What SQLite says where the schema is another version's."""
DISK_FIRST = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
INBOX_CHANNEL, OUTBOX_CHANNEL = "firstfive_inbox", "firstfive_outbox"
"""Where processes that share a database tell each other that there is something to do."""


class DatabaseDown(Exception):
    """Nothing could be saved or read now. The text says why, for whoever runs the bot; it holds no password."""


class Conflict(Exception):
    """Somebody else changed the same thing meanwhile: load and decide again."""


class Turns:
    """A line before SQLite's one write lock: within this process, whoever came first writes first.

    SQLite itself lets those who wait sleep and look again, up to 100 ms apart and in no order: a person's command, and
    the page, would starve beside threads that write all the time. https://www.sqlite.org/c3ref/busy_timeout.html
    """

    def __init__(self) -> None:
        self._change = threading.Lock()
        self._line: deque[threading.Lock] = deque()
        self._is_taken = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._line)

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Wait in line, then be alone. Raises `DatabaseDown` where the turn does not come within `seconds`."""
        self._take(seconds)
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, seconds: float) -> None:
        with self._change:
            if not self._is_taken:
                self._is_taken = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._line.append(mine)
        if mine.acquire(timeout=seconds):
            return
        with self._change:
            # Not in line any more: the turn came just as the wait ended.
            if mine in self._line:
                self._line.remove(mine)
                raise DatabaseDown("the database is busy: too many wait to write")

    def _pass_on(self) -> None:
        with self._change:
            if self._line:
                self._line.popleft().release()
            else:
                self._is_taken = False


def connect(url: str, still_seconds: float = STILL_SECONDS, trusted_seconds: float = TRUSTED_SECONDS) -> Engine:
    """An engine for sqlite:///FILE or postgresql+psycopg://…; connects when first used.

    `still_seconds`: how long a transaction of PostgreSQL may stand still. `trusted_seconds`: how long a connection that nobody
    uses is taken to stand.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url)
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError(f"DATABASE_URL starts with {parsed.drivername}; use sqlite:/// or postgresql+psycopg://")
    settings = {
        "timezone": "UTC",
        # Two of these make the longest wait: first to be the next one for a row, then for whoever has it.
        "lock_timeout": f"{WAIT_SECONDS / 2 * 1000:.0f}",
        # A process that stands still, or is cut off, in the midst of a transaction: its locks are others' before its
        # lease is.
        "idle_in_transaction_session_timeout": f"{still_seconds * 1000:.0f}",
    }
    options = {"connect_timeout": 2, "options": " ".join(f"-c {name}={value}" for name, value in settings.items()), **GONE_AFTER}
    engine = create_engine(
        url, pool_size=10, max_overflow=10, pool_timeout=WAIT_SECONDS, pool_use_lifo=True, connect_args=options,
        json_serializer=_json, execution_options={"firstfive_name": uuid4().hex},
    )  # fmt: skip
    event.listen(engine, "connect", _waits_for_the_disk)
    event.listen(engine, "checkin", _lies_since)
    event.listen(engine, "checkout", partial(_look_whether_it_stands, engine, trusted_seconds))
    return engine


def _waits_for_the_disk(connection: DBAPIConnection, record: object) -> None:
    # What we answered for survives a power cut, whatever this server, role or database has by default. What is stricter
    # (remote_apply), or waits for this machine's disk alone (local), is for whoever runs it to choose.
    assert isinstance(connection, psycopg.Connection)
    # Alone, or a roll-back would undo it.
    connection.autocommit = True
    connection.execute(DISK_FIRST)
    connection.autocommit = False


def _lies_since(connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["lies since"] = time.monotonic()


def _look_whether_it_stands(
    engine: Engine, trusted_seconds: float, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """A connection that lay for a while may have broken meanwhile; another is opened then. One that was used just now is not
    asked: a page takes three of them, each a round trip.
    """
    lies_since = record.info.get("lies since")
    if lies_since is None or time.monotonic() - lies_since < trusted_seconds:
        return
    try:
        engine.dialect.do_ping(connection)
    except psycopg.Error as error:
        # Those that lie beside it broke with it, most likely.
        raise exc.InvalidatePoolError from error


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # A number or a letter that it does not write; slower, and nothing is lost.
        return json.dumps(value)


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url, pool_size=10, max_overflow=10, pool_timeout=WAIT_SECONDS, json_serializer=_json,
        connect_args={"check_same_thread": False, "timeout": WAIT_SECONDS}, execution_options={"firstfive_turns": Turns()},
    )  # fmt: skip
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def in_memory() -> Engine:
    """An engine whose database is its one connection, and is gone with it."""
    return create_engine(
        "sqlite://", poolclass=StaticPool, json_serializer=_json, connect_args={"check_same_thread": False},
        execution_options={"firstfive_turns": Turns()},
    )  # fmt: skip


def _prepare(connection: DBAPIConnection, record: object) -> None:
    # FULL: a commit that we answered for survives a power cut. WAL: readers never wait for the writer.
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None
    # The log is written back after 64 MB by a commit; before, beside them: see `Checkpoints`. Pages that were read are
    # kept in 500 kB for each of twenty connections, not in 2 MB: the system keeps them, too.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=16000",
        "foreign_keys=ON",
        "cache_size=-500",
        f"busy_timeout={WAIT_SECONDS * 1000:.0f}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A read that turns into a write fails at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout: so take the
    # write lock first. https://www.sqlite.org/isolation.html
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    wait_seconds = options.get("firstfive_wait_seconds")
    if wait_seconds is None:
        connection.exec_driver_sql("BEGIN")
        return
    # For other processes: what is left of the wait after our own line.
    connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_seconds * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction; commits at the end. Raises `DatabaseDown` or `Conflict`."""
    with _turn(engine) as wait_seconds, _named(), engine.connect() as connection:
        connection = connection.execution_options(firstfive_wait_seconds=wait_seconds)
        with connection.begin():
            yield connection


@contextmanager
def at_once(engine: Engine) -> Iterator[Connection]:
    """Statements that each commit by themselves. Raises `DatabaseDown` or `Conflict`.

    A transaction begins, is looked after and ends, each a round trip: five for one.
    """
    with _named(), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


class Standing:
    """A connection that one thread keeps, for single statements that are each a transaction of their own: as `at_once`, and
    waits in the line of writers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._waits = WAIT_SECONDS

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """Each statement commits by itself, and waits for no lock that another one here took.

        Raises `DatabaseDown` or `Conflict`. What was sent as the connection broke may be done or not: a statement has to
        bear that it is repeated. It is worth it where a connection stood before, and none does now.
        """
        with _turn(self._engine) as wait_seconds, _named():
            connection = self._standing()
            if connection.dialect.name == "sqlite" and abs(wait_seconds - self._waits) > 0.2:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_seconds * 1000:.0f}")
                self._waits = wait_seconds
            try:
                yield connection
            finally:
                if connection.invalidated:
                    self.close()
                else:
                    # Nothing is open in the database; SQLAlchemy thinks so.
                    connection.rollback()

    @property
    def stands(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _standing(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._waits = WAIT_SECONDS
        return self._connection


class Checkpoints:
    """Writes SQLite's log back into its file beside the commits, rather than within one of them.

    By itself SQLite does it in the commit that fills the log: 15 ms in which nobody's delivery is answered, and an eighth
    of the inbox's time. Here a thread of its own writes back what there is while others go on, and only what came
    meanwhile with the write lock, so that the log begins anew. https://www.sqlite.org/wal.html#ckpt
    """

    def __init__(self, engine: Engine, log_bytes: int = LOG_BYTES) -> None:
        self._engine, self._log_bytes = engine, log_bytes
        self._change = threading.Condition(threading.Lock())
        self._written, self._is_open = 0, True
        self._thread: threading.Thread | None = None

    def count(self, size: int) -> None:
        """So many bytes were committed. Soon after `log_bytes` of them the log is written back."""
        with self._change:
            self._written += size
            if self._written < self._log_bytes or not self._is_open:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._change.notify()

    def close(self) -> None:
        """Finish what is under way."""
        with self._change:
            self._is_open = False
            self._change.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._change:
                while self._written < self._log_bytes and self._is_open:
                    self._change.wait()
                if not self._is_open:
                    return
                self._written = 0
            # What does not come about now does with the next one, or in a commit of SQLite's own accord.
            with suppress(DatabaseDown, Conflict):
                self._write_back()

    def _write_back(self) -> None:
        with _named(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # The second time, what came during the first: less is left for the time in which others wait.
            for _ in range(2):
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
            with _turn(self._engine):
                # A reader that is at the old log is not waited for long: writers would wait with us.
                connection.exec_driver_sql("PRAGMA busy_timeout=20")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)").all()
            connection.exec_driver_sql(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000:.0f}")


@contextmanager
def _turn(engine: Engine) -> Iterator[float]:
    """Wait in the line of writers, where the database has one; gives what is left of the wait."""
    turns: Turns | None = engine.get_execution_options().get("firstfive_turns")
    if turns is None:
        yield WAIT_SECONDS
        return
    end = time.monotonic() + WAIT_SECONDS
    with turns.turn(WAIT_SECONDS):
        yield max(0.1, end - time.monotonic())


@contextmanager
def reading(engine: Engine, *, streams: bool = False) -> Iterator[Connection]:
    """Reads: on SQLite as of one moment, on PostgreSQL each statement as of its own. Raises `DatabaseDown`.

    `streams`: rows are fetched a few at a time, for which PostgreSQL needs a transaction. For anything else it would say
    no more (READ COMMITTED), and cost two round trips.
    """
    seen = engine if streams or writes_alone(engine) else engine.execution_options(isolation_level="AUTOCOMMIT")
    with _named(), seen.connect() as connection, connection.begin():
        yield connection


@contextmanager
def looking(engine: Engine) -> Iterator[Connection]:
    """Reads as of one moment, for whoever works out what would be written: at its end nothing is. Raises `DatabaseDown`."""
    options: dict[str, Any] = {} if writes_alone(engine) else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    # Closed without a commit.
    with _named(), engine.execution_options(**options).connect() as connection:
        yield connection


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        if _is_there_already(error):
            raise Conflict(str(error.orig)) from error
        # A value that the table does not allow: a bug of ours, whoever comes first.
        raise
    except exc.TimeoutError as error:
        raise DatabaseDown("every connection to the database is in use") from error
    except exc.DataError:
        # Not the database's fault: a value that it cannot hold, which is a bug of ours. Waiting will not help.
        raise
    except exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in RETRIED:
            raise Conflict(str(error.orig)) from error
        if _is_about_what_was_asked(error):
            # It fails whenever it is asked: whoever waited would wait for ever, and everybody behind them.
            raise
        raise DatabaseDown(_why(error)) from error
    except psycopg.Error as error:
        raise NotImplementedError from error


def _is_there_already(error: exc.IntegrityError) -> bool:
    """Whether it is about a row that somebody else put there first.

    https://www.sqlite.org/rescode.html#constraint_unique
    """
    if isinstance(error.orig, sqlite3.IntegrityError):
        return error.orig.sqlite_errorname in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    return getattr(error.orig, "sqlstate", None) == UNIQUE_VIOLATION


def _is_about_what_was_asked(error: exc.DBAPIError) -> bool:
    """Whether the database is well, and will not do this: it is too much for an index, or for a statement.

    https://www.postgresql.org/docs/current/errcodes-appendix.html (class 54), https://www.sqlite.org/rescode.html#error
    """
    if isinstance(error.orig, sqlite3.Error):
        name = getattr(error.orig, "sqlite_errorname", "")
        return name == "SQLITE_TOOBIG" or (name == "SQLITE_ERROR" and not _has_no_schema(error))
    return str(getattr(error.orig, "sqlstate", None) or "").startswith(TOO_MUCH)


def _has_no_schema(error: exc.DBAPIError) -> bool:
    said = str(error.orig)
    return any(words in said for words in NO_SCHEMA) or getattr(error.orig, "sqlstate", None) == "42P01"


def _why(error: exc.DBAPIError) -> str:
    said = str(error.orig).strip().splitlines()
    first = said[0] if said else type(error.orig).__name__
    if _has_no_schema(error):
        return "the database has no schema yet, or an old one: run `python -m bot migrate`"
    return f"the database cannot be used: {first}"


def writes_alone(engine: Engine) -> bool:
    """Whether whoever writes keeps everybody else from writing."""
    return engine.dialect.name == "sqlite"


def its_now() -> Function[datetime]:
    """The database's own time within a statement, which every process that shares it agrees on. Whole seconds on SQLite."""
    return func.current_timestamp(type_=UtcDateTime)


ITS_NOW = select(its_now())


def database_now(connection: Connection) -> datetime:
    """The same, asked for by itself."""
    moment: datetime | None = connection.scalar(ITS_NOW)
    assert moment is not None
    return moment


def carry_out(connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
    """A change for each of some rows. A single one goes by itself: driven as many, it would take PostgreSQL a round trip more."""
    given = rows if len(rows) > 1 else rows[0]
    return cast("CursorResult[Any]", connection.execute(statement, given))


@contextmanager
def in_one_trip(connection: Connection) -> Iterator[None]:
    """Send statements together, of which nobody asks what came of them: PostgreSQL answers once, at the end. Raises then.

    An alert that opens an incident is decided on in a tenth less time. https://www.psycopg.org/psycopg3/docs/advanced/pipeline.html
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        yield
        return
    try:
        with driver.pipeline():
            yield
    except psycopg.Error as error:
        # What the end of it raises, no statement of SQLAlchemy's did: told as if one had.
        if connection.dialect.is_disconnect(cast(Any, error), connection.connection.dbapi_connection, None):
            connection.invalidate(error)
        raise exc.DBAPIError.instance("", (), error, psycopg.Error, dialect=connection.dialect) from error


def insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns, and ask for none of their numbers."""
    if rows:
        carry_out(connection, _into(table), rows)


@cache
def _into(table: Table) -> Insert:
    return insert(table).inline()


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], unique: Sequence[str]) -> None:
    """Insert rows that all have the same columns, or bring those with the same `unique` ones up to date."""
    rest = [name for name in rows[0] if name not in unique]
    carry_out(connection, _upserting(connection.dialect.name, table, tuple(unique), tuple(rest)), rows)


@cache
def _upserting(dialect: str, table: Table, unique: tuple[str, ...], rest: tuple[str, ...]) -> Insert:
    new = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    return new.on_conflict_do_update(index_elements=list(unique), set_={name: new.excluded[name] for name in rest}).inline()


# Statements of PostgreSQL, made once: to make one takes as long as to ask it.
ALONE = text("SELECT pg_advisory_xact_lock(:key)")
USUAL_COMMIT = text("SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'")
ALONE_IN_HASTE = select(
    its_now().label("now"), func.pg_advisory_xact_lock(bindparam("key")), func.set_config("synchronous_commit", "off", True)
)
NOTIFY = text("SELECT pg_notify(:channel, :words)")


def alone(connection: Connection, key: int) -> None:
    """Keep others out of the same work until the transaction ends, in whatever process they are.

    A write transaction of SQLite is alone from its beginning.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(ALONE, {"key": key})


def alone_in_haste(connection: Connection, key: int) -> datetime:
    """Keep others out as `alone` does, in a transaction that may be lost with the machine: its end does not wait for the
    disk. The database's time, with the same round trip.
    """
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(ALONE_IN_HASTE, {"key": key}).one().now
        return moment
    return database_now(connection)


def patient(connection: Connection) -> None:
    """From here to the end of the transaction, take and give as long as it takes: no person is waiting."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def notify(connection: Connection, channel: str, parts: Collection[str] = ()) -> None:
    """Wake whoever listens elsewhere once this transaction commits, and is at work on one of `parts`. A hint only: it may be
    lost.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(NOTIFY, {"channel": channel, "words": words_of(connection.engine, parts)})


def words_of(engine: Engine, parts: Collection[str]) -> str:
    """What is said to others: who says it, and which parts of the work it is about."""
    return " ".join((name_of(engine), *sorted(parts)))


def name_of(engine: Engine) -> str:
    """What tells this engine's own words from those of others."""
    return str(engine.get_execution_options().get("firstfive_name", ""))


def answers_before_the_disk(engine: Engine) -> bool:
    """Whether the database would say of a commit that it is done before it is on the disk, but that each connection of ours
    asks for the other. Raises `DatabaseDown`.
    """
    if engine.dialect.name != "postgresql":
        return False
    with reading(engine) as connection:
        return str(connection.scalar(USUAL_COMMIT)) == "off"


def can_notify(engine: Engine) -> bool:
    """Whether other processes can be woken through the database."""
    return engine.dialect.name == "postgresql"
