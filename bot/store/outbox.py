"""Effects on their way: put in line, claimed a lane at a time, and what became of each try.

pending -> sending -> done
                   -> pending     the neighbour could not take it; try later
                   -> ambiguous   the answer was lost, or the lease ran out while sending: look before re-sending
                   -> dead        given up; frees its lane
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Interval,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import Row as SqlRow

from bot.incidents.decisions.writing import BOT
from bot.incidents.effects import (
    LATEST_WINS,
    AnnounceAlert,
    AnnounceSilence,
    Attempt,
    Effect,
    Lane,
    PageOnCall,
    PageService,
    PostDigest,
    RaiseAlarm,
    ResolvePage,
)
from bot.incidents.incident import is_of_others
from bot.store.codec import decode_tagged, encode_tagged
from bot.store.database import database_now, insert_all, its_now
from bot.store.tables import outbox

UNFINISHED = ("pending", "sending", "ambiguous")
FIRST = {Lane.PAGER: 0, Lane.CHAT: 100, Lane.DOCUMENT: 200}
ASKED_AT_ONCE = 500
HELD_AT_ONCE = 16
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""When what is new may be claimed: not by the clock of whoever asked for it, which may be ahead of whoever claims it, or be
set back before that. A page waited for as long as the two were apart."""
PAGER_FIRST = {"critical": 10, "error": 20, "warning": 30, "info": 40}
ENDS_OF_PAGES = 50
"""Last: who is woken matters more than who may sleep again, and both share what PagerDuty takes in a minute."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An effect that this version cannot read: a newer one wrote it, or one from before a renaming."""

    kind: str
    reason: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A claimed effect. `owner` and `epoch` fence it: only the newest claim may say what became of it.

    `was_lost` says that the try before this one ended without a word; `lost` counts those in a row of which the worker died,
    or stood still: whoever claims its own again lives, and could only not write down what came of it.
    """

    seq: int
    id: str
    incident: int | None
    lane: str
    effect: Effect | Unread
    attempt: Attempt
    created_at: datetime
    owner: str
    epoch: int
    was_lost: bool = False
    lost: int = 0


def lane_of(effect: Effect) -> str:
    """The lane an effect waits in. Alarms, digests, silences and announced alerts have their own: no incident holds them up."""
    match effect:
        case RaiseAlarm():
            return "alarms"
        case PostDigest():
            return "digest"
        case AnnounceAlert():
            return f"announce/{effect.fingerprint}"
        case AnnounceSilence():
            return f"silence/{effect.number}"
        case PageService(dedup_key=key) | ResolvePage(dedup_key=key) if is_of_others(key):
            # One team's page that PagerDuty does not take holds up no other's.
            return f"others/{key}"
        case _:
            return f"{effect.incident}/{effect.lane.value}"


def put(connection: Connection, effects: Iterable[tuple[Effect, datetime]], fresh: frozenset[int] = frozenset()) -> None:
    """Put effects in line, in order, each with when it was asked for. What a waiting one serves for already is left out.

    `fresh` are incidents that are new: nothing waits for them yet.
    """
    rows: list[dict[str, object]] = []
    given = list(effects)
    of_one = [effect for effect, _ in given if isinstance(effect, LATEST_WINS)]
    shown = _waiting_already(connection, [effect for effect in of_one if effect.incident not in fresh])
    for effect, now in given:
        if isinstance(effect, LATEST_WINS):
            its_kind = type(effect).__name__, effect.incident
            if its_kind in shown:
                continue
            shown.add(its_kind)
        rows.append(_new_row(effect, now))
    insert_all(connection, outbox, rows)


def _new_row(effect: Effect, now: datetime) -> dict[str, object]:
    return {
        "id": uuid4().hex, "incident": effect.incident, "lane": lane_of(effect), "lane_kind": effect.lane.value,
        "kind": type(effect).__name__, "payload": encode_tagged(effect), "priority": FIRST[effect.lane] + _urgency(effect),
        "state": "pending", "attempt": 0, "not_before": AT_ONCE, "lease_until": None, "owner": "", "epoch": 0,
        "created_at": now, "first_tried_at": None, "done_at": None, "reason": "", "lost": 0,
    }  # fmt: skip


def _urgency(effect: Effect) -> int:
    match effect:
        case PageOnCall(rank=rank) if rank:
            return 10 * (rank - 1)
        case PageService(rank=rank, by=by) if rank and by == BOT:
            return 10 * (rank - 1)
        case PageOnCall():
            return PAGER_FIRST.get(effect.severity, 0)
        case ResolvePage():
            return ENDS_OF_PAGES
        case _:
            return 0


WAITING = (
    select(outbox.c.kind, outbox.c.incident)
    .where(
        outbox.c.incident.in_(bindparam("incidents", expanding=True)), outbox.c.kind.in_(bindparam("kinds", expanding=True)),
        outbox.c.state == "pending", outbox.c.attempt == 0,
    )
    .order_by(outbox.c.seq)
    .with_for_update()
)  # fmt: skip


def _waiting_already(connection: Connection, effects: Sequence[Effect]) -> set[tuple[str, int | None]]:
    """Which of these, by kind and incident, are in line and were never tried: those will draw the newest state."""
    found = set[tuple[str, int | None]]()
    numbers = sorted({effect.incident for effect in effects if effect.incident is not None})
    kinds = sorted({type(effect).__name__ for effect in effects})
    for start in range(0, len(numbers), ASKED_AT_ONCE):
        # Locked: one that is claimed at this moment draws what was before us, and one that we count on must wait for us.
        rows = connection.execute(WAITING, {"incidents": numbers[start : start + ASKED_AT_ONCE], "kinds": kinds})
        found.update((row.kind, row.incident) for row in rows)
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for effects of these kinds: none that was put back for a reason in `but`, and none that this process has `held`
    since before.
    """

    kinds: Sequence[Lane]
    now: datetime
    lease: timedelta
    but: Collection[str] = ()
    held: Collection[int] = ()

    def given(self) -> dict[str, object]:
        """What the statements ask for."""
        # As many as ever are, mostly: each other number of them would be a statement of its own, to be planned anew.
        missing = -len(self.held) % HELD_AT_ONCE or (0 if self.held else HELD_AT_ONCE)
        return {
            "kinds": [kind.value for kind in self.kinds], "now": self.now, "but": list(self.but),
            "held": [*self.held, *([0] * missing)], "twice": f"+{2 * self.lease.total_seconds():.0f} seconds",
        }  # fmt: skip


def is_any_due(connection: Connection, asked: Asked) -> bool:
    """Whether there is something to claim: asked first, because most who are woken find nothing."""
    return connection.execute(ONE_DUE, asked.given()).first() is not None


def claim(connection: Connection, asked: Asked, owner: str, limit: int) -> list[Row]:
    """Take the first waiting effect of up to `limit` lanes, for as long as was asked for. One whose lease ran out comes back as
    ambiguous; not where this process has it in hand: then it is the clock that jumped.
    """
    now, lease, given = asked.now, asked.lease, asked.given() | {"most": limit}
    if connection.dialect.name == "postgresql":
        taken = connection.execute(CLAIMED_AT_ONCE, given | {"by": owner, "lease": lease})
        return [_row(one, one.before) for one in sorted(taken, key=lambda one: (one.priority, one.seq))]
    return [_taken(connection, found, owner, now, lease) for found in connection.execute(CLAIMED, given).all()]


def renew(connection: Connection, rows: Sequence[Row], lease: timedelta) -> set[int]:
    """Make claims last for `lease` from now; the `seq` of those that are still ours."""
    until, kept = database_now(connection) + lease, set()
    for row in rows:
        if _settle(connection, row, lease_until=until):
            kept.add(row.seq)
    return kept


def heads() -> Select[Any]:
    """The first unfinished effect of every lane, whatever state it is in."""
    return select(outbox).where(is_unfinished(), ~_is_behind())


def _is_behind() -> ColumnElement[bool]:
    earlier = outbox.alias("earlier")
    return exists().where(earlier.c.lane == outbox.c.lane, earlier.c.seq < outbox.c.seq, is_unfinished(earlier))


def is_unfinished(table: FromClause = outbox) -> ColumnElement[bool]:
    """Written out, not bound: SQLite uses a partial index only where it sees that the query stays within it.

    https://www.sqlite.org/partialindex.html#queries_using_partial_indexes
    """
    return table.c.state.in_([literal_column(f"'{state}'") for state in UNFINISHED])


def _due(*is_over: ColumnElement[bool]) -> Select[Any]:
    """The first waiting effect of every lane of these kinds, where its time has come; one that is being sent where its lease
    `is_over`: then whoever had it is gone, or stands still.
    """
    is_left = and_(outbox.c.state == "sending", or_(*is_over), outbox.c.seq.not_in(bindparam("held", expanding=True)))
    return select(outbox).where(
        outbox.c.lane_kind.in_(bindparam("kinds", expanding=True)),
        or_(outbox.c.state.in_(("pending", "ambiguous")), is_left),
        outbox.c.not_before <= bindparam("now"),
        outbox.c.reason.not_in(bindparam("but", expanding=True)),
        ~_is_behind(),
    )


# Made once: each takes as long to make as to ask.
RAN_OUT = outbox.c.lease_until < its_now()
SINCE_SET_BACK = outbox.c.lease_until > func.datetime(literal_column("'now'"), bindparam("twice"))
"""It ends later than any that is made now: it was made before the clock was set back. On SQLite only, which one process has for
itself: on PostgreSQL whoever made it may live, and makes it longer in a moment."""
DUE = _due(RAN_OUT, SINCE_SET_BACK)
CLAIMED = DUE.add_columns(its_now().label("leased_at")).order_by(outbox.c.priority, outbox.c.seq).limit(bindparam("most"))
ONE_DUE = DUE.limit(1)
FIRST_DUE = (
    _due(RAN_OUT)
    .with_only_columns(outbox.c.seq, outbox.c.state.label("before"))
    .order_by(outbox.c.priority, outbox.c.seq)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True, of=outbox)
    .cte("due")
)
CLAIMED_AT_ONCE = (
    update(outbox)
    .where(outbox.c.seq == FIRST_DUE.c.seq)
    .values(
        state="sending", owner=bindparam("by"), epoch=outbox.c.epoch + 1, attempt=outbox.c.attempt + 1,
        lease_until=its_now() + bindparam("lease", type_=Interval),
        first_tried_at=func.coalesce(outbox.c.first_tried_at, bindparam("now", type_=outbox.c.first_tried_at.type)),
        lost=case(
            (and_(FIRST_DUE.c.before == "sending", outbox.c.owner != bindparam("by")), outbox.c.lost + 1),
            (FIRST_DUE.c.before == "sending", outbox.c.lost),
            else_=0,
        ),
    )
    .returning(*outbox.c, FIRST_DUE.c.before)
)  # fmt: skip
"""The same for PostgreSQL, in a statement that commits by itself: 2 ms less before a page than one after the other."""
CLAIM = ("owner", "epoch", "attempt", "lease_until", "first_tried_at", "lost")
TAKEN = (
    update(outbox)
    .where(outbox.c.seq == bindparam("its_seq"))
    .values({outbox.c.state: "sending"} | {outbox.c[name]: bindparam(f"new_{name}") for name in CLAIM})
)


def _taken(connection: Connection, found: SqlRow, owner: str, now: datetime, lease: timedelta) -> Row:  # type: ignore[type-arg]
    new = {
        "owner": owner, "epoch": found.epoch + 1, "attempt": found.attempt + 1, "lease_until": found.leased_at + lease,
        "first_tried_at": found.first_tried_at or now, "lost": found.lost + (found.owner != owner) if found.state == "sending" else 0,
    }  # fmt: skip
    connection.execute(TAKEN, {"its_seq": found.seq, **{f"new_{name}": value for name, value in new.items()}})
    return _row(SimpleNamespace(**{**found._mapping, **new}), found.state)


def _row(taken: Any, before: str) -> Row:
    """A claimed row as it stands by now, that was in the state `before`."""
    attempt = Attempt(taken.id, taken.attempt, before != "pending", taken.first_tried_at)
    return Row(
        taken.seq, taken.id, taken.incident, taken.lane, _read(taken.kind, taken.payload), attempt, taken.created_at, taken.owner,
        taken.epoch, was_lost=before == "sending", lost=taken.lost,
    )  # fmt: skip


def _read(kind: str, payload: Mapping[str, Any]) -> Effect | Unread:
    try:
        effect: Effect = decode_tagged(payload)
    except ValueError as error:
        return Unread(kind, str(error), payload)
    return effect


def finish(connection: Connection, row: Row, now: datetime) -> bool:
    """Mark a claimed row done. False where it was claimed by somebody else meanwhile."""
    return _settle(connection, row, state="done", done_at=now, lease_until=None)


def try_again(connection: Connection, row: Row, at: datetime, reason: str, *, is_ambiguous: bool, starts_anew: bool = False) -> bool:
    """Put a claimed row back in line for `at`. False where it was claimed by somebody else meanwhile.

    With `starts_anew` the time so far does not count against it; but where an answer was lost, it has to be looked for
    from the first try on.
    """
    state = "ambiguous" if is_ambiguous else "pending"
    values = {"first_tried_at": None} if starts_anew and not is_ambiguous else {}
    return _settle(connection, row, state=state, not_before=at, reason=reason[:2000], lease_until=None, **values)


def try_at_once(connection: Connection, now: datetime) -> int:
    """Let what waits for its next try wait no longer; how many effects that is."""
    waiting = outbox.c.state.in_(("pending", "ambiguous")), outbox.c.not_before > now
    return connection.execute(update(outbox).where(*waiting).values(not_before=AT_ONCE)).rowcount


def not_tried(connection: Connection, row: Row, at: datetime, reason: str) -> bool:
    """Put a claimed row back as it was before the claim, for `at`: nobody was asked. False where it was overtaken."""
    state = "ambiguous" if row.attempt.is_ambiguous else "pending"
    number = row.attempt.number - 1
    # Where an answer was lost it is looked for from the first try on, also of one that was sent again by hand.
    values = {"attempt": number} if number or row.attempt.is_ambiguous else {"attempt": 0, "first_tried_at": None}
    return _settle(connection, row, state=state, not_before=at, reason=reason[:2000], lease_until=None, **values)


def park(connection: Connection, row: Row, now: datetime, reason: str) -> bool:
    """Give a claimed row up: kept with its reason, and no longer in anybody's way."""
    return _settle(connection, row, state="dead", done_at=now, reason=reason[:2000], lease_until=None)


def _settle(connection: Connection, row: Row, **values: object) -> bool:
    mine = {"its_seq": row.seq, "by": row.owner, "its_epoch": row.epoch}
    return connection.execute(_settled(tuple(values)), mine | {f"new_{name}": value for name, value in values.items()}).rowcount == 1


@cache
def _settled(names: tuple[str, ...]) -> Update:
    """The statement that gives these columns of a claimed row new values, while nobody else has claimed it."""
    mine = (
        outbox.c.seq == bindparam("its_seq"), outbox.c.state == "sending",
        outbox.c.owner == bindparam("by"), outbox.c.epoch == bindparam("its_epoch"),
    )  # fmt: skip
    return update(outbox).where(*mine).values({outbox.c[name]: bindparam(f"new_{name}") for name in names})


def depth(connection: Connection) -> dict[str, int]:
    """How many effects stand in each state that is not over, and how many are dead."""
    counted = select(outbox.c.state, func.count()).where(outbox.c.state.in_((*UNFINISHED, "dead"))).group_by(outbox.c.state)
    return {state: number for state, number in connection.execute(counted).all()}


def oldest(connection: Connection, now: datetime) -> float:
    """The age in seconds of the oldest effect that is due and not done; 0 where there is none."""
    found = connection.scalar(select(func.min(outbox.c.created_at)).where(outbox.c.state.in_(UNFINISHED), outbox.c.not_before <= now))
    return max(0.0, (now - found).total_seconds()) if found else 0.0


def sweep(connection: Connection, before: datetime, limit: int) -> int:
    """Forget some of what was done or dropped long ago; never what is parked."""
    old = select(outbox.c.seq).where(outbox.c.state.in_(("done", "dropped")), outbox.c.done_at < before).limit(limit)
    return connection.execute(delete(outbox).where(outbox.c.seq.in_(old.scalar_subquery()))).rowcount
