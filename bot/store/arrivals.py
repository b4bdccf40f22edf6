"""The way into the inbox: many deliveries share one commit, and each is answered after it.

What makes it fast, each measured at 64 connections: whatever gathered while the last commit ran is the next one's batch,
so nobody waits for a timer; a batch is one statement that commits by itself, because each step is a round trip, and the
interpreter's lock given up and fought for again (a fifth more on PostgreSQL); SQLite's log is written back beside the
commits (a sixth more); and an answer is a call, not a future with a lock of its own.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import StatementError

from bot import points
from bot.alerts.source import Delivery
from bot.store.database import INBOX_CHANNEL, Checkpoints, Conflict, DatabaseDown, Standing, words_of

OTHERS = "others"
"""All sources together that nobody reads apart."""
MOST_ROWS = 500
"""Of one statement. SQLite takes 32,766 values in one."""
INTO = "INSERT INTO inbox (source, route, delivery_id, received_at, headers, body, state, reason, attempts)"
INTO_NUMBERED = INTO.removesuffix(")") + ", id)"
UNLESS_KNOWN = "ON CONFLICT (source, route, delivery_id) DO NOTHING"

Identity = tuple[str, str, str]
"""Source, route, delivery id."""
Tell = Callable[[bool | DatabaseDown], None]
"""Hears what became of a delivery: True once it is committed, False where it was there before, or why it is not saved."""


class InboxFull(DatabaseDown):
    """More is waiting for a commit than we can promise to keep."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    identity: Identity
    received_at: datetime
    headers: bytes
    body: bytes
    tell: Tell


class InboxWriter:
    """One thread that commits whatever has gathered while the last commit ran: no timer, no added wait."""

    def __init__(
        self, engine: Engine, stored: Callable[[], None], apart: Mapping[str, Callable[[], None]] | None = None, *,
        limit_rows: int = 10_000, limit_bytes: int = 64_000_000,
    ) -> None:  # fmt: skip
        """`stored` is called after a commit; for a source that is in `apart`, what stands there instead."""
        self._stored, self._apart = stored, dict(apart or {})
        self._standing = Standing(engine)
        self._checkpoints = Checkpoints(engine) if engine.dialect.name == "sqlite" else None
        self._insert = _insert_lite if engine.dialect.name == "sqlite" else _insert_full
        self._limit_rows, self._limit_bytes = limit_rows, limit_bytes
        self._waiting: list[_Arrival] = []
        self._bytes = 0
        self._is_open, self._is_idle = True, False
        self._change = threading.Condition(threading.Lock())
        self._start()

    def take(self, source: str, delivery: Delivery, delivery_id: str, tell: Tell) -> None:
        """Queue a delivery; `tell` hears from the writer's thread what became of it.

        Raises `InboxFull` at once where too much waits.
        """
        identity = source, delivery.route, delivery_id.replace("\x00", "")[:200]
        arrival = _Arrival(identity, delivery.received_at, orjson.dumps(delivery.headers), delivery.body, tell)
        size = len(delivery.body)
        with self._change:
            if not self._is_open:
                raise InboxFull("the bot is stopping")
            if len(self._waiting) >= self._limit_rows or self._bytes + size > self._limit_bytes:
                raise InboxFull("more is waiting than can be kept")
            self._waiting.append(arrival)
            self._bytes += size
            if not self._is_running:
                self._start()
            # Only one that waits is woken: each wake-up makes two threads fight for the interpreter.
            if self._is_idle:
                self._change.notify()

    def put(self, source: str, delivery: Delivery, delivery_id: str) -> "Future[bool]":
        """The same, for whoever wants to wait for it. The future raises `DatabaseDown` where it could not be saved."""
        answer: Future[bool] = Future()
        # Whoever waits for it may be cancelled; the answer may not: the writer would trip over it.
        answer.set_running_or_notify_cancel()

        def tell(became: bool | DatabaseDown) -> None:
            if answer.done():
                return
            if isinstance(became, bool):
                answer.set_result(became)
            else:
                answer.set_exception(became)

        self.take(source, delivery, delivery_id, tell)
        return answer

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._change:
            self._is_open = False
            self._change.notify()
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self._standing.close()
        if self._checkpoints is not None:
            self._checkpoints.close()

    def _start(self) -> None:
        self._is_running = True
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        batch: Sequence[_Arrival] = ()
        try:
            while batch := self._gathered():
                for start in range(0, len(batch), MOST_ROWS):
                    self._commit(batch[start : start + MOST_ROWS])
        finally:
            with self._change:
                self._is_running = False
                if self._waiting:
                    self._start()
            # A bug ended it, where there is still a batch. Whoever waits hears of it: the first answer to each counts.
            for one in batch:
                one.tell(DatabaseDown("saving it ended in a bug; see the log"))

    def _gathered(self) -> Sequence[_Arrival]:
        """Everything that waits, once something does; nothing where no more will come."""
        with self._change:
            while not self._waiting and self._is_open:
                self._is_idle = True
                self._change.wait()
            self._is_idle = False
            batch, self._waiting, self._bytes = self._waiting, [], 0
        return batch

    def _commit(self, batch: Sequence[_Arrival]) -> None:
        try:
            new = self._stored_of(batch)
        except (DatabaseDown, Conflict) as error:
            for one in batch:
                one.tell(DatabaseDown(str(error)))
            return
        except (StatementError, ValueError) as error:
            self._commit_apart(batch, error)
            return
        points.reached(points.INBOX_AFTER)
        if self._checkpoints is not None:
            self._checkpoints.count(sum(len(one.body) for one in batch))
        for wake in {self._apart.get(one.identity[0], self._stored) for one in batch}:
            wake()
        for one in batch:
            # The first of several alike in one batch is the new one.
            one.tell(one.identity in new)
            new.discard(one.identity)

    def _commit_apart(self, batch: Sequence[_Arrival], error: Exception) -> None:
        """Something in the batch cannot be stored: it must not take its neighbours along."""
        if len(batch) == 1:
            batch[0].tell(DatabaseDown(f"it cannot be stored: {getattr(error, 'orig', error)}"))
            return
        for one in batch:
            self._commit((one,))

    def _stored_of(self, batch: Sequence[_Arrival]) -> set[Identity]:
        """Insert the batch and commit it; the identities that were new."""
        points.reached(points.INBOX_BEFORE)
        had_stood = self._standing.stands
        try:
            return self._inserted(batch)
        except DatabaseDown:
            # The connection may have broken long ago, while nothing came: once more, over a new one.
            if not had_stood or self._standing.stands:
                raise
            return self._inserted(batch)

    def _inserted(self, batch: Sequence[_Arrival]) -> set[Identity]:
        with self._standing.statements() as connection:
            return self._insert(connection, batch, {one.identity[0] if one.identity[0] in self._apart else OTHERS for one in batch})


def _insert_lite(connection: Connection, batch: Sequence[_Arrival], parts: Collection[str]) -> set[Identity]:
    rows = ", ".join(["(?, ?, ?, ?, ?, ?, 'new', '', 0)"] * len(batch))
    values: list[object] = []
    for one in batch:
        # As the column's type writes it, without asking it for every row.
        at = _utc(one.received_at).replace(tzinfo=None).isoformat(" ", "microseconds")
        values += (*one.identity, at, one.headers.decode(), one.body)
    done = connection.exec_driver_sql(f"{INTO} VALUES {rows} {UNLESS_KNOWN}", tuple(values))
    count, last = done.rowcount, done.lastrowid
    if count == len(batch):
        return {one.identity for one in batch}
    # Nobody else writes during a statement: what it put there stands in a row.
    those = "SELECT source, route, delivery_id FROM inbox WHERE id > ? AND id <= ?"
    return {(row[0], row[1], row[2]) for row in connection.exec_driver_sql(those, (last - count, last))}


def _insert_full(connection: Connection, batch: Sequence[_Arrival], parts: Collection[str]) -> set[Identity]:
    columns = (
        [one.identity[0] for one in batch], [one.identity[1] for one in batch], [one.identity[2] for one in batch],
        [_utc(one.received_at) for one in batch], [one.headers.decode() for one in batch], [one.body for one in batch],
    )  # fmt: skip
    found = connection.exec_driver_sql(
        f"WITH new AS ({INTO_NUMBERED} SELECT source, route, delivery_id, received_at, headers::json, body, 'new', '', 0, id"
        # Numbered as they came, and put there by name: two processes that save the same ones never wait for each other.
        " FROM (SELECT nextval('inbox_id_seq') AS id, t.*"
        # In binary: half of the time that both sides would take over text.
        " FROM unnest(%b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::bytea[])"
        " AS t (source, route, delivery_id, received_at, headers, body)) AS arrived ORDER BY source, route, delivery_id, id"
        f" {UNLESS_KNOWN} RETURNING source, route, delivery_id)"
        # Said once, where there is anything to say.
        " SELECT source, route, delivery_id, (SELECT pg_notify(%s, %s)) FROM new",
        (*columns, INBOX_CHANNEL, words_of(connection.engine, parts)),
    )
    return {(row[0], row[1], row[2]) for row in found}


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"a moment without a zone cannot be stored: {moment}")
    return moment.astimezone(UTC)
