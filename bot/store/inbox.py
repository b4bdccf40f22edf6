"""Deliveries that came in: claimed, read, settled. `arrivals.py` is how they come in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, literal_column, not_, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from bot.alerts.source import Delivery
from bot.store.database import alone_in_haste, database_now
from bot.store.tables import inbox

ENDED_IN_A_BUG = "reading it ended in a bug; it is tried again"
BEGUN = "reading it began, and did not end: "
"""And how often."""
CLAIM_LOCK = 7_105_002
LONGEST_LEASE = timedelta(minutes=2)
"""No claim and no wait is as long, unless claims are made longer by a setting: one that ends later was made before the clock was
set back."""
IS_NEW = inbox.c.state == literal_column("'new'")
"""Written out, not bound: SQLite uses a partial index only where it sees that the query stays within it.

https://www.sqlite.org/partialindex.html#queries_using_partial_indexes
"""

# Statements are made once where each alert needs them: to make one takes as long as to ask it.
ONLY = bindparam("only", type_=inbox.c.source.type)
ITS_SOURCE = or_(inbox.c.source == ONLY, and_(ONLY.is_(None), inbox.c.source != bindparam("but")))
HELD = (
    select(inbox.c.source, inbox.c.route, inbox.c.id)
    .where(
        IS_NEW,
        inbox.c.lease_until >= bindparam("now"),
        inbox.c.lease_until <= bindparam("far"),
        inbox.c.reason != ENDED_IN_A_BUG,
    )
    .order_by(inbox.c.id)
)
FREE = (
    select(inbox.c.id, func.length(inbox.c.body).label("size"))
    .where(
        IS_NEW,
        or_(inbox.c.lease_until.is_(None), inbox.c.lease_until < bindparam("now"), inbox.c.lease_until > bindparam("far")),
        ITS_SOURCE,
    )
    .order_by(inbox.c.id)
    .limit(bindparam("most"))
    .with_for_update()
)  # fmt: skip
TAKEN = update(inbox).values(lease_until=bindparam("until"), attempts=inbox.c.attempts + 1).returning(*inbox.c)
MOST_BYTES = 16_000_000
"""Of bodies that are read at once: the first, and as many more as begin within that."""


def _taken(free: Select[tuple[int, int]]) -> ReturningUpdate[Any]:
    found = free.subquery()
    before = func.sum(found.c.size).over(order_by=found.c.id) - found.c.size
    counted = select(found.c.id, before.label("before")).subquery()
    return TAKEN.where(inbox.c.id.in_(select(counted.c.id).where(counted.c.before < MOST_BYTES)))


FREE_TAKEN = _taken(FREE)


Endpoint = tuple[str, str]
"""Source and route."""


@dataclass(frozen=True, slots=True)
class Received:
    """A delivery in the inbox, claimed for reading. `attempts` counts this one."""

    id: int
    source: str
    delivery: Delivery
    attempts: int
    until: datetime
    """When the claim ends, by the database's clock."""
    begun: int = 0
    """How often in a row it was read by itself, and whoever read it ended without a word."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it came in."""
        return self.source, self.delivery.route


def is_full(received: Sequence[Received], limit: int) -> bool:
    """Whether as much was claimed as is at once, so that there may be more."""
    return len(received) >= limit or sum(len(one.delivery.body) for one in received) >= MOST_BYTES


def is_any_beside(connection: Connection, only: str | None, but: str | None, beside: Collection[Endpoint]) -> bool:
    """Whether a delivery waits that came in at none of these endpoints."""
    found = select(inbox.c.id).where(IS_NEW, ITS_SOURCE, _is_elsewhere(beside)).limit(1)
    return connection.execute(found, {"only": only, "but": but or ""}).first() is not None


def _is_elsewhere(beside: Collection[Endpoint]) -> ColumnElement[bool]:
    return and_(*(or_(inbox.c.source != source, inbox.c.route != route) for source, route in beside))


def claim(
    connection: Connection, limit: int, lease: timedelta, only: str | None = None, but: str | None = None,
    beside: Collection[Endpoint] = (),
) -> list[Received]:  # fmt: skip
    """Take deliveries that nobody reads yet, oldest first; none while an earlier one of its route is in somebody's hands
    or waits: what cleared must not be read before what fired. Two may come to read one that takes longer than `lease`:
    each of its inputs is handled once all the same.

    Of one source `only`, or of all `but` one, where these are given, and of none of the endpoints `beside` which others wait.
    A delivery that ended in a bug holds nobody up: it most likely never can be read, and the next may be a page.
    """
    # One at a time: of two at once, each would not see yet what the other takes.
    now = alone_in_haste(connection, CLAIM_LOCK)
    # Grouped here: for a GROUP BY, SQLite would walk through all that ever came, to have it in order.
    first: dict[tuple[str, str], int] = {}
    far = now + max(LONGEST_LEASE, 2 * lease)
    for one in connection.execute(HELD, {"now": now, "far": far}):
        first.setdefault((one.source, one.route), one.id)
    free = FREE
    if beside:
        free = free.where(_is_elsewhere(beside))
    for (source, route), number in first.items():
        free = free.where(not_(and_(inbox.c.source == source, inbox.c.route == route, inbox.c.id > number)))
    taken = FREE_TAKEN if free is FREE else _taken(free)
    given = {"now": now, "far": far, "until": now + lease, "most": limit, "only": only, "but": but or ""}
    rows = sorted(connection.execute(taken, given).all(), key=lambda row: row.id)
    return [
        Received(
            row.id, row.source,
            Delivery(body=bytes(row.body), headers=row.headers, route=row.route, received_at=row.received_at),
            row.attempts,
            now + lease,
            _begun(row.reason),
        )
        for row in rows
    ]  # fmt: skip


def put_back(connection: Connection, received: Sequence[Received]) -> None:
    """Give claimed deliveries back as they were: nobody tried them. Not those that somebody else has by now."""
    for one in received:
        mine = (inbox.c.id == one.id, IS_NEW, inbox.c.lease_until == one.until)
        connection.execute(update(inbox).where(*mine).values(lease_until=None, attempts=inbox.c.attempts - 1))


def settle(connection: Connection, row: int, state: str, reason: str) -> bool:
    """Say what became of a delivery: done, parked, or new again to be tried once more. Whether nobody had said so before."""
    said = update(inbox).where(inbox.c.id == row).values(state=state, reason=reason[:2000], lease_until=None)
    is_first = connection.execute(said.where(IS_NEW)).rowcount == 1
    if not is_first:
        connection.execute(said)
    return is_first


def wait(connection: Connection, row: int, reason: str, seconds: float) -> None:
    """Leave a delivery for `seconds` before it is read again."""
    until = database_now(connection) + timedelta(seconds=seconds)
    connection.execute(update(inbox).where(inbox.c.id == row).values(reason=reason[:2000], lease_until=until))


def begin(connection: Connection, row: int, times: int) -> None:
    """Note that a delivery is read by itself from here on, for the so-manieth time in a row."""
    connection.execute(update(inbox).where(inbox.c.id == row, IS_NEW).values(reason=f"{BEGUN}{times}"))


def _begun(reason: str) -> int:
    return int(reason.removeprefix(BEGUN)) if reason.startswith(BEGUN) else 0


def depth(connection: Connection) -> dict[str, int]:
    """How many deliveries wait to be read, and how many are parked."""
    counted = select(inbox.c.state, func.count()).where(inbox.c.state != "done").group_by(inbox.c.state)
    return {state: number for state, number in connection.execute(counted).all()}


def oldest(connection: Connection) -> datetime | None:
    """When the oldest delivery came in that nobody has read, by the bot's clock; None where all are read or put aside."""
    first: datetime | None = connection.scalar(select(inbox.c.received_at).where(IS_NEW).order_by(inbox.c.id).limit(1))
    return first


def sweep(connection: Connection, before: datetime, limit: int) -> int:
    """Forget some deliveries that were handled long ago; never those that are parked."""
    old = select(inbox.c.id).where(inbox.c.state == "done", inbox.c.received_at < before).order_by(inbox.c.received_at).limit(limit)
    return connection.execute(delete(inbox).where(inbox.c.id.in_(old.scalar_subquery()))).rowcount
