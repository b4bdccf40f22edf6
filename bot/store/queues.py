"""Looking at what waits or was put aside, and deciding by hand what becomes of it. Nothing is taken away in silence.

A row that somebody drops is kept, and so is who did what with it and why, whatever becomes of it afterwards; an effect of an
incident is named on its timeline, too.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from bot.errors import Refused
from bot.incidents.effects import PageOnCall
from bot.incidents.incident import Incident
from bot.store import outbox as outbox_rows
from bot.store.codec import encode
from bot.store.tables import by_hand, entries, inbox, outbox

DELIVERY, EFFECT = "delivery", "effect"
INBOX_STATES: Mapping[str, tuple[str, ...]] = {"parked": ("parked",), "waiting": ("new",), "dropped": ("dropped",), "done": ("done",)}
OUTBOX_STATES: Mapping[str, tuple[str, ...]] = {
    "dead": ("dead",), "waiting": ("pending", "sending", "ambiguous"), "dropped": ("dropped", "put away"), "done": ("done",),
}  # fmt: skip
WAITING = ("pending", "ambiguous")
"""What nobody is at. Of those a person may decide on what was tried: a rare one waits for a person, and holds up its lane."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What somebody decided about a row, and how it had stood."""

    at: datetime
    did: str
    by: str
    reason: str
    before: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the inbox, as a person looks at it."""

    number: int
    state: str
    source: str
    route: str
    delivery_id: str
    received_at: datetime
    attempts: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    by_hand: tuple[Decided, ...] = ()
    """What was decided about it, oldest first, where one row is looked at by itself."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A row of the outbox, as a person looks at it."""

    number: int
    state: str
    kind: str
    incident: int | None
    lane: str
    created_at: datetime
    attempts: int
    not_before: datetime
    reason: str
    payload: Mapping[str, Any]
    by_hand: tuple[Decided, ...] = ()


def deliveries(connection: Connection, states: tuple[str, ...], limit: int) -> tuple[Delivery, ...]:
    """The newest deliveries in these states."""
    rows = connection.execute(select(inbox).where(inbox.c.state.in_(states)).order_by(inbox.c.id.desc()).limit(limit))
    return tuple(_delivery(row) for row in rows)


def delivery(connection: Connection, number: int) -> Delivery:
    """One delivery. Raises `Refused`."""
    row = connection.execute(select(inbox).where(inbox.c.id == number)).first()
    if row is None:
        raise Refused(f"the inbox has no delivery {number}; `bot inbox list` shows what there is")
    return replace(_delivery(row), by_hand=_decided(connection, DELIVERY, number))


def webhooks_seen(connection: Connection) -> frozenset[str]:
    """The id of every webhook subscription of PagerDuty's whose deliveries came here, as far back as they are kept."""
    rows = connection.scalars(select(inbox.c.headers).where(inbox.c.source == "pagerduty"))
    return frozenset(filter(None, (headers.get("x-webhook-subscription", "") for headers in rows)))


def effects(connection: Connection, states: tuple[str, ...], limit: int) -> tuple[Effect, ...]:
    """The newest effects in these states."""
    rows = connection.execute(select(outbox).where(outbox.c.state.in_(states)).order_by(outbox.c.seq.desc()).limit(limit))
    return tuple(_effect(row) for row in rows)


def waiting_pages(connection: Connection, limit: int, but: Collection[int]) -> tuple[Effect, ...]:
    """The pages that are not taken yet, the most urgent first; none of those `but`."""
    waiting = outbox_rows.is_unfinished(), outbox.c.kind == PageOnCall.__name__, outbox.c.seq.not_in(sorted(but))
    rows = connection.execute(select(outbox).where(*waiting).order_by(outbox.c.priority, outbox.c.seq).limit(limit))
    return tuple(_effect(row) for row in rows)


def effect(connection: Connection, number: int) -> Effect:
    """One effect. Raises `Refused`."""
    row = connection.execute(select(outbox).where(outbox.c.seq == number)).first()
    if row is None:
        raise Refused(f"the outbox has no effect {number}; `bot outbox list` shows what there is")
    return replace(_effect(row), by_hand=_decided(connection, EFFECT, number))


def read_again(connection: Connection, number: int, by: str, now: datetime) -> None:
    """Put a parked delivery back in line. Raises `Refused` for one that is not parked."""
    one = delivery(connection, number)
    said = f"read again by {by}; before: {one.reason}"
    changed = {"state": "new", "attempts": 0, "lease_until": None, "reason": said[:2000]}
    is_aside = inbox.c.id == number, inbox.c.state.in_(("parked", "dropped"))
    if not connection.execute(update(inbox).where(*is_aside).values(**changed)).rowcount:
        raise Refused(f"delivery {number} is {one.state}; only what was put aside is read again")
    _decide(connection, DELIVERY, one, Decided(now, "read again", by, "", f"{one.state}: {one.reason}"))


def drop_delivery(connection: Connection, number: int, by: str, reason: str, now: datetime) -> None:
    """Say that a parked delivery is not wanted. It is kept. Raises `Refused` for one that is not parked."""
    one = delivery(connection, number)
    said = f"dropped by {by} at {now.isoformat()}: {reason}; before: {one.reason}"
    is_aside = inbox.c.id == number, inbox.c.state == "parked"
    if not connection.execute(update(inbox).where(*is_aside).values(state="dropped", reason=said[:2000])).rowcount:
        raise Refused(f"delivery {number} is {one.state}; only what was put aside can be dropped")
    _decide(connection, DELIVERY, one, Decided(now, "dropped", by, reason, f"{one.state}: {one.reason}"))


def send_again(connection: Connection, number: int, by: str, now: datetime, incident: Incident | None) -> None:
    """Put an effect that was given up back in line, where it looks first whether an earlier try arrived; let one that waits
    after a try go out now.

    Raises `Refused` for any other, and for a page that was given up and would wake somebody for what is over.
    """
    one = effect(connection, number)
    key = str(one.payload.get("dedup_key", ""))
    episode = incident.episode_keyed(key) if incident is not None else None
    is_over = incident is not None and (not incident.is_open or episode is None or episode.ended_at)
    if one.state == "dead" and one.kind == "PageOnCall" and incident is not None and is_over:
        raise Refused(f"{incident.ref} is {incident.status.value}: nobody is to be woken for it. Drop the effect instead.")
    changed: dict[str, object] = {"not_before": outbox_rows.AT_ONCE, "reason": f"sent again by {by}; before: {one.reason}"[:2000]}
    if one.state not in WAITING:
        changed |= {"state": "ambiguous", "attempt": 0, "done_at": None}
    if not connection.execute(update(outbox).where(*_stands(number, one.state)).values(**changed)).rowcount:
        raise Refused(_why_not(effect(connection, number), "sent again"))
    _decide(connection, EFFECT, one, Decided(now, "sent again", by, "", f"{one.state}: {one.reason}"))
    _told(connection, one, now, by, "effect_retried", "")


def drop_effect(connection: Connection, number: int, by: str, reason: str, now: datetime, *, was: str = "dead") -> None:
    """Say that an effect is not wanted. It is kept. `was` is how it stood when that was decided: given up, or waiting after
    a try. Whoever drops one that waits says what is missing then, in the same transaction. Raises `Refused` for any other.
    """
    one = effect(connection, number)
    said = f"dropped by {by} at {now.isoformat()}: {reason}; before: {one.reason}"
    changed = {"state": "put away", "done_at": now, "reason": said[:2000]}
    if not connection.execute(update(outbox).where(*_stands(number, was)).values(**changed)).rowcount:
        raise Refused(_why_not(effect(connection, number), "dropped"))
    _decide(connection, EFFECT, one, Decided(now, "dropped", by, reason, f"{one.state}: {one.reason}"))
    _told(connection, one, now, by, "effect_dropped", reason)


def _stands(number: int, state: str) -> tuple[ColumnElement[bool], ...]:
    # In the statement: two people may decide at once, or a worker takes it meanwhile, and whoever was slower is told.
    was_tried = or_(outbox.c.state == "dead", and_(outbox.c.state.in_(WAITING), outbox.c.attempt > 0))
    return outbox.c.seq == number, outbox.c.state == state, was_tried


def _why_not(one: Effect, what: str) -> str:
    if one.state == "sending":
        again = f"in a minute `bot outbox show {one.number}` says what came of it, and where it waits then it can be {what}"
        return f"effect {one.number} is being sent at this moment; {again}"
    if one.state in WAITING and not one.attempts:
        return f"effect {one.number} is {one.state} and was not tried yet; wait for its turn, or see what is before it in its lane"
    return f"effect {one.number} is {one.state}; only what was given up, or waits after a try, can be {what}"


def _decide(connection: Connection, what: str, one: Delivery | Effect, decided: Decided) -> None:
    connection.execute(insert(by_hand).values(what=what, number=one.number, **asdict(decided)))


def _decided(connection: Connection, what: str, number: int) -> tuple[Decided, ...]:
    mine = by_hand.c.what == what, by_hand.c.number == number
    rows = connection.execute(select(by_hand).where(*mine).order_by(by_hand.c.id))
    return tuple(Decided(row.at, row.did, row.by, row.reason, row.before) for row in rows)


def _told(connection: Connection, one: Effect, now: datetime, by: str, type_: str, reason: str) -> None:
    if one.incident is None:
        return
    fields = {"what": one.kind, "number": one.number, **({"reason": reason} if reason else {})}
    connection.execute(
        insert(entries).values(incident=f"INC-{one.incident}", at=now, type=type_, by=by, fields=encode(fields), recorded_at=now)
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        row.id, row.state, row.source, row.route, row.delivery_id, row.received_at, row.attempts, row.reason, row.headers,
        bytes(row.body),
    )  # fmt: skip


def _effect(row: Any) -> Effect:
    payload = {name: value for name, value in row.payload.items() if name != "kind"}
    return Effect(
        row.seq, row.state, row.kind, row.incident, row.lane, row.created_at, row.attempt, row.not_before, row.reason, payload,
    )  # fmt: skip
