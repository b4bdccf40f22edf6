"""What the record shows to be wrong with the bot itself, and the signs of life that its processes leave in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, exists, func, select

from bot.findings import Finding
from bot.incidents.effects import Lane
from bot.incidents.incident import Incident, PageState
from bot.store.database import database_now, reading, upsert, writing
from bot.store.outbox import heads, is_unfinished
from bot.store.pending import read
from bot.store.tables import INCIDENT_IS_OPEN, incidents, notes, outbox, timers

UNREAD = timedelta(seconds=30)
"""How long a delivery may wait to be read, and a timer to be handled."""
HELD_BACK = timedelta(minutes=10)
"""How long an effect may wait because a neighbour's rate limit has no room for it: in a storm, chat comes after pages."""
PROCESS = "process/"
FORGOTTEN = timedelta(minutes=15)
TARGET = "%/target"
NOT_TAKEN = (PageState.REQUESTED, PageState.DELAYED)
MEND_WORKER = "start a worker, or look at the log of those that run"
MEND_QUEUE = "`python -m bot outbox list --state waiting` shows what waits and why, `drop` frees a lane of it; the log says more"


# --- what waits -------------------------------------------------------------------------------


def unhandled(ages: Mapping[str, float], limit: timedelta) -> list[Finding]:
    """What waits to be read or to happen, for too long; `ages` as the store gives them, in seconds."""
    texts = {"inbox": "a delivery has waited for {:.0f} s and is not read", "timers": "a timer has been due for {:.0f} s"}
    late = {queue: ages[queue] for queue in texts if ages[queue] > limit.total_seconds()}
    return [Finding(queue, False, f"{texts[queue].format(age)}; is a worker running?", MEND_WORKER) for queue, age in late.items()]


def late_effects(engine: Engine, now: datetime, limit: timedelta) -> list[Finding]:
    """Lanes that do not move: a finding for each kind of lane whose first effect has been first for longer than `limit`.

    What waits behind it is not counted, nor is an effect that nobody tried because a rate limit had no room, for a while.
    """
    with reading(engine) as connection:
        waited = sorted(_waited(connection, now, limit), key=lambda one: one[0], reverse=True)
    found = []
    for lane in Lane:
        of_lane = [one for one in waited if one[1].lane_kind == lane.value]
        if of_lane:
            seconds, longest = of_lane[0]
            found.append(Finding(f"{lane.value} lanes", False, _stuck(longest, seconds, len(of_lane)), MEND_QUEUE))
    return found


def _waited(connection: Connection, now: datetime, limit: timedelta) -> Iterator[tuple[float, Row[Any]]]:
    for head in connection.execute(heads().where(outbox.c.created_at < now - limit).limit(1000)):
        before = select(func.max(outbox.c.done_at)).where(
            outbox.c.incident.is_not_distinct_from(head.incident), outbox.c.lane == head.lane, outbox.c.seq < head.seq
        )
        since = max(head.created_at, connection.scalar(before) or head.created_at)
        is_held_back = head.state == "pending" and head.attempt == 0 and head.reason
        if now - since > (max(limit, HELD_BACK) if is_held_back else limit):
            yield (now - since).total_seconds(), head


def _stuck(head: Row[Any], seconds: float, lanes: int) -> str:
    of = f" of INC-{head.incident}" if head.incident is not None else ""
    others = f"; so do {lanes - 1} other lanes" if lanes > 1 else ""
    why = f" ({head.reason})" if head.reason else ""
    return f"{head.kind}{of} has waited for {seconds:.0f} s: it is {head.state}, try {head.attempt}{why}{others}"


def unwatched(engine: Engine, highest_level: int) -> list[Finding]:
    """Open incidents that wait for an acknowledgement, and that nothing will be done about.

    Either no timer waits for the end of their target, though there is a level left to ask for; or their page was not
    taken, and no effect is there any more that would send it.
    """
    with reading(engine) as connection:
        open_ones = connection.execute(select(incidents.c.number, incidents.c.body).where(INCIDENT_IS_OPEN)).all()
        # Not read whole, there may be thousands: the newest episode tells who may be waiting.
        newest = {one.number: one.body["episodes"][-1] for one in open_ones}
        waiting = {number for number, episode in newest.items() if episode.get("acknowledged_at") is None}
        not_taken = {number for number in waiting if newest[number].get("page") in NOT_TAKEN}
        timed = set(connection.scalars(select(timers.c.incident).where(timers.c.key.like(TARGET))))
        paging = set(connection.scalars(select(outbox.c.incident).where(outbox.c.kind == "PageOnCall", is_unfinished())))
        suspects = sorted((waiting - timed) | (not_taken - paging))
        return [one for number in suspects for one in _unwatched(connection, number, highest_level)]


def _unwatched(connection: Connection, number: int, highest_level: int) -> Iterator[Finding]:
    """One incident again, in one statement: between two of them, somebody may have done what was missing."""
    has_timer = exists().where(timers.c.incident == incidents.c.number, timers.c.key.like(TARGET))
    has_page = exists().where(outbox.c.incident == incidents.c.number, outbox.c.kind == "PageOnCall", is_unfinished())
    row = connection.execute(
        select(incidents.c.body, incidents.c.version, has_timer.label("has_timer"), has_page.label("has_page")).where(
            incidents.c.number == number, INCIDENT_IS_OPEN
        )
    ).first()
    if row is None:
        return
    incident = read(row.body, row.version)
    episode = incident.episode
    if not episode.is_waiting:
        return
    if not row.has_timer and not _was_asked_of_all(incident, highest_level):
        yield Finding(
            f"timer of {incident.ref}", False,
            f"{incident.ref} waits for an acknowledgement, and no timer will ask for the next level",
            f"ask for it by hand: `/incident escalate {incident.ref}`",
        )  # fmt: skip
    if not row.has_page and episode.page in NOT_TAKEN:
        yield Finding(
            f"page of {incident.ref}", False,
            f"{incident.ref} has paged nobody yet, and no effect waits that would",
            "call the on-call by hand",
        )  # fmt: skip


def _was_asked_of_all(incident: Incident, highest_level: int) -> bool:
    """Whether the clock has run out: its target passed, and the highest level that the policy knows was asked for."""
    return incident.episode.breached_at is not None and incident.episode.asked_level >= highest_level


# --- signs of life ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sign:
    """A process as it last spoke: what it does (web, worker), how long ago by the database's time, and what troubles it."""

    process: str
    does: tuple[str, ...]
    age: timedelta
    is_stopped: bool
    troubles: tuple[tuple[str, str], ...]
    """(subject, text) of each."""
    left_alone: Mapping[str, timedelta] = field(default_factory=dict)
    """For how long yet Slack wants no call of a method, as it told that process."""


def sign(
    engine: Engine, process: str, does: Sequence[str], found: Sequence[Finding], left_alone: Mapping[str, timedelta] | None = None, *,
    is_stopped: bool = False,
) -> None:  # fmt: skip
    """Leave a sign of life, with what the process found to be wrong, and how long Slack wants to be left alone, by method.

    Raises `DatabaseDown`.
    """
    with writing(engine) as connection:
        now = database_now(connection)
        value = {
            "at": now.isoformat(), "does": list(does), "stopped": is_stopped,
            "troubles": [[one.subject, one.text] for one in found],
            "left_alone": {method: (now + wait).isoformat() for method, wait in (left_alone or {}).items()},
        }  # fmt: skip
        upsert(connection, notes, [{"name": f"{PROCESS}{process}", "value": value}], ("name",))


def signs(engine: Engine) -> list[Sign]:
    """Every process that was seen, the newest sign first."""
    with reading(engine) as connection:
        now = database_now(connection)
        rows = connection.execute(select(notes.c.name, notes.c.value).where(notes.c.name.startswith(PROCESS))).all()
    return sorted((_sign(row.name, row.value, now) for row in rows), key=lambda one: one.age)


def at_work(known: Sequence[Sign], does: str, limit: timedelta) -> list[str]:
    """The processes that do this, have been seen of late, and were not stopped."""
    return [one.process for one in known if does in one.does and one.age <= limit and not one.is_stopped]


def _sign(name: str, value: dict[str, Any], now: datetime) -> Sign:
    return Sign(
        process=name.removeprefix(PROCESS),
        does=tuple(value["does"]),
        age=max(timedelta(), now - datetime.fromisoformat(value["at"])),
        is_stopped=value["stopped"],
        troubles=tuple((subject, text) for subject, text in value["troubles"]),
        # An earlier version says nothing of it.
        left_alone={method: datetime.fromisoformat(until) - now for method, until in value.get("left_alone", {}).items()},
    )


def forget(engine: Engine) -> int:
    """Forget processes that are long gone; never the newest of its kind, which says since when nobody has done its work."""
    known = signs(engine)
    newest = {next((one.process for one in known if does in one.does), "") for does in ("web", "worker")}
    gone = [f"{PROCESS}{one.process}" for one in known if one.age > FORGOTTEN and one.process not in newest]
    if not gone:
        return 0
    with writing(engine) as connection:
        return connection.execute(delete(notes).where(notes.c.name.in_(gone))).rowcount


def unseen(engine: Engine, limit: timedelta) -> list[Finding]:
    """Processes that ended without a word, and what those that live found to be wrong with themselves."""
    found = []
    for one in signs(engine):
        if one.age <= limit:
            found += [Finding(subject, False, text) for subject, text in one.troubles]
        elif not one.is_stopped and one.age <= FORGOTTEN:
            text = f"the {' and '.join(one.does)} process {one.process} has not been seen for {one.age.total_seconds():.0f} s"
            found.append(Finding(one.process, False, text, "look whether it was started again"))
    return found


def absent(engine: Engine, limit: timedelta) -> list[Finding]:
    """Work that no process does any more: a finding for each kind of which none has been seen within `limit`."""
    found = []
    for does, meaning in (("web", "takes alerts in"), ("worker", "pages or writes")):
        known = [one for one in signs(engine) if does in one.does]
        if known and all(one.age > limit or one.is_stopped for one in known):
            last = "stopped" if known[0].is_stopped else "was last seen"
            text = f"nobody {meaning}: the last {does} process, {known[0].process}, {last} {known[0].age.total_seconds():.0f} s ago"
            found.append(Finding(does, False, text, f"start a {does} process"))
    return found
