"""Deliveries as they came in: many share one commit, each is answered after it."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, literal_column, not_, or_, select, update
from sqlalchemy.exc import StatementError

from bot import points
from bot.alerts.source import Delivery
from bot.store.database import Conflict, DatabaseDown, alone, database_now, insert_new, notify, writing
from bot.store.tables import inbox

UNIQUE = ("source", "route", "delivery_id")
ENDED_IN_A_BUG = "reading it ended in a bug; it is tried again"
CLAIM_LOCK = 7_105_002
IS_NEW = inbox.c.state == literal_column("'new'")
"""Written out, not bound: SQLite uses a partial index only where it sees that the query stays within it.

https://www.sqlite.org/partialindex.html#queries_using_partial_indexes
"""


class InboxFull(DatabaseDown):
    """More is waiting for a commit than we can promise to keep."""


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery in the inbox, claimed for reading. `attempts` counts this one."""

    id: int
    source: str
    delivery: Delivery
    attempts: int
    until: datetime
    """When the claim ends, by the database's clock."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    values: Mapping[str, Any]
    answer: "Future[bool]"


class InboxWriter:
    """One thread that commits whatever has gathered while the last commit ran: no timer, no added wait."""

    def __init__(
        self, engine: Engine, stored: Callable[[], None], apart: Mapping[str, Callable[[], None]] | None = None, *,
        limit_rows: int = 10_000, limit_bytes: int = 64_000_000,
    ) -> None:  # fmt: skip
        """`stored` is called after a commit; for a source that is in `apart`, what stands there instead."""
        self._engine, self._stored, self._apart = engine, stored, dict(apart or {})
        self._limit_rows, self._limit_bytes = limit_rows, limit_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._is_open = True
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="inbox-writer", daemon=True)
        self._thread.start()

    def put(self, source: str, delivery: Delivery, delivery_id: str) -> "Future[bool]":
        """Queue a delivery. The future gives True once it is committed, False where it was there before.

        It raises `DatabaseDown` where it could not be saved. Raises `InboxFull` at once where too much waits.
        """
        answer: Future[bool] = Future()
        # Whoever waits for it may be cancelled, when the web stops; the answer may not: the writer would trip over it.
        answer.set_running_or_notify_cancel()
        values = {
            "source": source, "route": delivery.route, "delivery_id": delivery_id.replace("\x00", "")[:200],
            "received_at": delivery.received_at, "headers": dict(delivery.headers), "body": delivery.body,
            "state": "new", "reason": "", "attempts": 0, "lease_until": None,
        }  # fmt: skip
        with self._change:
            if not self._is_open:
                raise InboxFull("the bot is stopping")
            if len(self._waiting) >= self._limit_rows or self._bytes + len(delivery.body) > self._limit_bytes:
                raise InboxFull("more is waiting than can be kept")
            self._waiting.append(_Waiting(values, answer))
            self._bytes += len(delivery.body)
            self._change.notify()
        return answer

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._change:
            self._is_open = False
            self._change.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._waiting and self._is_open:
                    self._change.wait()
                batch = tuple(self._waiting)
                self._waiting.clear()
                self._bytes = 0
            if batch:
                self._commit(batch)
            elif not self._is_open:
                return

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        try:
            new = self._insert(batch)
        except (DatabaseDown, Conflict) as error:
            for one in batch:
                one.answer.set_exception(DatabaseDown(str(error)))
            return
        except StatementError as error:
            self._commit_apart(batch, error)
            return
        points.reached(points.INBOX_AFTER)
        for wake in {self._apart.get(one.values["source"], self._stored) for one in batch}:
            wake()
        for one in batch:
            # The first of several alike in one batch is the new one.
            identity = _identity(one.values)
            one.answer.set_result(identity in new)
            new.discard(identity)

    def _commit_apart(self, batch: Sequence[_Waiting], error: StatementError) -> None:
        """Something in the batch cannot be stored: it must not take its neighbours along."""
        if len(batch) == 1:
            batch[0].answer.set_exception(DatabaseDown(f"it cannot be stored: {error.orig}"))
            return
        for one in batch:
            self._commit((one,))

    def _insert(self, batch: Sequence[_Waiting]) -> set[tuple[Any, ...]]:
        """Insert the batch in one transaction; the identities that were new."""
        with writing(self._engine) as connection:
            statement = insert_new(connection, inbox, UNIQUE).returning(inbox.c.source, inbox.c.route, inbox.c.delivery_id)
            found = connection.execute(statement, [dict(one.values) for one in batch])
            new = {tuple(row) for row in found}
            notify(connection, "firstfive_inbox")
            points.reached(points.INBOX_BEFORE)
        return new


def _identity(values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values[name] for name in UNIQUE)


def claim(connection: Connection, limit: int, lease: timedelta, only: str | None = None, but: str | None = None) -> list[Received]:
    """Take deliveries that nobody reads yet, oldest first; none while an earlier one of its route is in somebody's hands
    or waits: what cleared must not be read before what fired. Two may come to read one that takes longer than `lease`:
    each of its inputs is handled once all the same.

    Of one source `only`, or of all `but` one, where these are given. A delivery that ended in a bug holds nobody up: it
    most likely never can be read, and the next may be a page.
    """
    # One at a time: of two at once, each would not see yet what the other takes.
    alone(connection, CLAIM_LOCK)
    now = database_now(connection)
    held = select(inbox.c.source, inbox.c.route, inbox.c.id).where(
        IS_NEW, inbox.c.lease_until >= now, inbox.c.reason != ENDED_IN_A_BUG
    )
    # Grouped here: for a GROUP BY, SQLite would walk through all that ever came, to have it in order.
    first: dict[tuple[str, str], int] = {}
    for one in connection.execute(held.order_by(inbox.c.id)):
        first.setdefault((one.source, one.route), one.id)
    is_behind = [
        and_(inbox.c.source == source, inbox.c.route == route, inbox.c.id > number) for (source, route), number in first.items()
    ]
    free = or_(inbox.c.lease_until.is_(None), inbox.c.lease_until < now)
    if only is not None:
        free = and_(free, inbox.c.source == only)
    if but is not None:
        free = and_(free, inbox.c.source != but)
    new = select(inbox).where(IS_NEW, free, *(not_(one) for one in is_behind)).order_by(inbox.c.id).limit(limit).with_for_update()
    rows = connection.execute(new).all()
    if rows:
        connection.execute(
            update(inbox)
            .where(inbox.c.id.in_([row.id for row in rows]))
            .values(lease_until=now + lease, attempts=inbox.c.attempts + 1)
        )
    return [
        Received(
            row.id, row.source,
            Delivery(body=bytes(row.body), headers=row.headers, route=row.route, received_at=row.received_at),
            row.attempts + 1,
            now + lease,
        )
        for row in rows
    ]  # fmt: skip


def put_back(connection: Connection, received: Sequence[Received]) -> None:
    """Give claimed deliveries back as they were: nobody tried them. Not those that somebody else has by now."""
    for one in received:
        mine = (inbox.c.id == one.id, IS_NEW, inbox.c.lease_until == one.until)
        connection.execute(update(inbox).where(*mine).values(lease_until=None, attempts=inbox.c.attempts - 1))


def settle(connection: Connection, row: int, state: str, reason: str) -> None:
    """Say what became of a delivery: done, parked, or new again to be tried once more."""
    connection.execute(update(inbox).where(inbox.c.id == row).values(state=state, reason=reason[:2000], lease_until=None))


def wait(connection: Connection, row: int, reason: str, seconds: float) -> None:
    """Leave a delivery for `seconds` before it is read again."""
    until = database_now(connection) + timedelta(seconds=seconds)
    connection.execute(update(inbox).where(inbox.c.id == row).values(reason=reason[:2000], lease_until=until))


def depth(connection: Connection) -> dict[str, int]:
    """How many deliveries wait to be read, and how many are parked."""
    counted = select(inbox.c.state, func.count()).where(inbox.c.state != "done").group_by(inbox.c.state)
    return {state: number for state, number in connection.execute(counted).all()}


def oldest(connection: Connection) -> datetime | None:
    """When the oldest delivery came in that nobody has read, by the bot's clock; None where all are read or put aside."""
    first: datetime | None = connection.scalar(select(inbox.c.received_at).where(IS_NEW).order_by(inbox.c.id).limit(1))
    return first


def sweep(connection: Connection, before: datetime) -> int:
    """Forget deliveries that were handled long ago; never those that are parked."""
    return connection.execute(delete(inbox).where(inbox.c.state == "done", inbox.c.received_at < before)).rowcount
