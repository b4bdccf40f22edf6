"""Carrying effects out: claim one, deliver it, record what came of it. One of two files that catch every exception.

A bug in a deliverer must not stop its neighbours, and must not lose the effect: the row waits, and the bug is logged.
"""

import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from bot import points
from bot.errors import Ambiguous, GaveUp, OverBudget, Overtaken, Refused, TryLater
from bot.handle import Door
from bot.incidents.effects import (
    AcknowledgePage,
    Attempt,
    Effect,
    Lane,
    OpenChannel,
    PageNextLevel,
    PageOnCall,
    PagePerson,
    PageService,
    RaiseAlarm,
)
from bot.incidents.inputs import (
    AcknowledgementDelayed,
    ChannelNotOpened,
    EffectParked,
    Input,
    LevelDelayed,
    LevelNotAsked,
    PageDelayed,
    PageRefused,
    SomeoneDelayed,
    SomeoneNotAsked,
    TroubleSeen,
)
from bot.store import Conflict, DatabaseDown, Row, Store, Work
from bot.store.outbox import Unread
from bot.worker.leases import Leases
from bot.worker.retry import Never, next_try
from bot.worker.unrecorded import Unrecorded

log = structlog.get_logger()

Deliver = Callable[[Effect, Attempt], Input | None]
FORGOTTEN = timedelta(minutes=5)
REPORT = "please report it, with the log's traceback"
BUGGY = 8
"""Bugs after which an effect that ends in one again and again is parked. Tries that ended otherwise do not count: a page that
waited out an outage of PagerDuty's was given up at the first bug after it."""
DEADLY = 12
"""Tries in a row without a word after which what is for Slack is parked: it most likely ends the process each time. A page is
not: whatever else ends the process again and again, pages are in hand meanwhile."""
REST_SECONDS = 3.0
"""The longest that what was put back is left alone because another was over the same budget."""


class Deliveries:
    """The work of some lanes. Any number of threads and processes may do it at once."""

    def __init__(self, *, lanes: Sequence[Lane], deliver: Deliver, store: Store, door: Door, leases: Leases) -> None:
        self._lanes, self._deliver, self._store, self._door = tuple(lanes), deliver, store, door
        self._leases = leases
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._warned: dict[str, float] = {}
        self._trouble: tuple[datetime, str] | None = None
        self._resting: dict[str, float] = {}
        self._bugs: Counter[int] = Counter()
        """How many bugs each row ended in here."""
        self._lock = threading.Lock()
        self._unwritten = Unrecorded(store=store, deliver=deliver, clock=door.clock) if Lane.PAGER in self._lanes else None

    def run_once(self) -> int:
        """Carry one effect out, if one is due. How many it was."""
        asked_at = self._leases.now()
        try:
            rows = self._store.claim(
                self._lanes, self._owner, self._door.clock(), limit=1, lease=self._leases.lease, but=self._rest(),
                held=self._leases.in_hand(),
            )  # fmt: skip
        except DatabaseDown:
            if self._unwritten is not None:
                self._unwritten.page()
            raise
        for row in rows:
            with self._leases.held(row, asked_at):
                self._carry(row)
        return len(rows)

    def _rest(self) -> list[str]:
        """Why some of those that were put back are left there for a moment: that budget is used up. What is new has its try.

        To claim each of hundreds, and to put it back, took half of the processor in a storm of incidents.
        """
        now = self._leases.now()
        with self._lock:
            self._resting = {reason: until for reason, until in self._resting.items() if until > now}
            return list(self._resting)

    def _carry(self, row: Row) -> None:
        effect = row.effect
        if isinstance(effect, Unread):
            self._set_aside(row, effect)
            return
        sent = self._unwritten.taken(row.seq) if self._unwritten is not None else None
        if sent is not None:
            self._done(row, effect, sent)
            return
        if row.attempt.number == 1:
            # New, or sent again by hand.
            self._bugs.pop(row.seq, None)
        if row.lost >= DEADLY and effect.lane is not Lane.PAGER:
            reason = f"{row.lost} times in a row whoever had it in hand ended, or stood still, without a word"
            self._give_up(row, effect, reason, REPORT)
            return
        name = type(effect).__name__
        bound = log.bind(effect=name, incident=row.incident, attempt=row.attempt.number)
        try:
            points.reached(points.claimed(effect))
            result = self._deliver(effect, row.attempt)
            points.reached(points.answered(effect))
        except Overtaken as error:
            bound.warning("overtaken", reason=error.reason)
        except OverBudget as error:
            bound.debug("not its turn", reason=error.reason)
            self._not_yet(row, error)
        except TryLater as error:
            bound.info("try later", reason=error.reason)
            self._later(row, effect, error)
        except GaveUp as error:
            bound.warning("gave up", reason=error.reason)
            self._give_up(row, effect, error.reason, error.mend)
        except DatabaseDown as error:
            bound.warning("database down while delivering", reason=str(error))
        except Conflict as error:
            bound.info("try later", reason=str(error))
            self._later(row, effect, self._perhaps_done(f"it came into conflict: {error}"))
        except Exception as error:
            bound.exception("bug while delivering")
            self._bug(row, effect, error)
        else:
            bound.debug("delivered")
            self._done(row, effect, result)

    def _done(self, row: Row, effect: Effect, result: Input | None) -> None:
        """Record the result and that the row is done, in one transaction."""
        self._settle(
            row, result, lambda work: work.finish(row, self._door.clock()), lambda error: self._unrecorded(row, effect, error)
        )

    def _not_yet(self, row: Row, error: OverBudget) -> None:
        """Nothing was asked: put it back as it was, for when there is room."""
        if error.is_alike:
            with self._lock:
                self._resting[error.reason[:2000]] = self._leases.now() + min(error.wait.total_seconds(), REST_SECONDS)

        def put_back(work: Work) -> None:
            if not work.not_tried(row, self._door.clock() + error.wait, error.reason):
                raise Conflict("claimed by somebody else")

        self._settle(row, None, put_back)

    def _later(self, row: Row, effect: Effect, error: TryLater) -> None:
        now = self._door.clock()
        following = next_try(
            effect.lane, row.attempt.number, row.attempt.first_tried_at, now, error.after, random.random(),
            needs_person=bool(error.mend), was_lost=isinstance(error, Ambiguous),
        )  # fmt: skip
        if isinstance(following, Never):
            self._give_up(row, effect, f"{error.reason}; {following.reason}", error.mend)
            return
        if error.mend:
            self._trouble = (now, f"{error.reason}: {error.mend}")
            self._warn(error.reason, error.mend)
        # Once an answer was lost, every later try looks first: this one may have failed while it looked.
        is_ambiguous = isinstance(error, Ambiguous) or row.attempt.is_ambiguous

        def put_back(work: Work) -> None:
            waited = bool(error.mend)
            if not work.try_again(row, following.at, error.reason, is_ambiguous=is_ambiguous, starts_anew=waited):
                raise Conflict("claimed by somebody else")

        self._settle(row, self._delay_of(row, effect, error.reason, (following.at - now).total_seconds()), put_back)

    def _delay_of(self, row: Row, effect: Effect, reason: str, wait_seconds: float) -> Input | None:
        """What PagerDuty has not taken is said once it goes on, and now and then after; a page at its first failure, too.

        Where the try at which it was to be said ended without a word, it is said at the next one.
        """
        loud, number = self._door.policy().paging.fallback_after, row.attempt.number
        is_said = number == loud or (number > loud and (number % 20 == 0 or row.was_lost))
        match effect:
            case PageOnCall() if is_said or number == 1 or row.was_lost:
                return PageDelayed(effect.incident, effect.dedup_key, reason, number, wait_seconds)
            case PageService() if is_said:
                paging = self._store.incident_paging(effect.dedup_key)
                number_now = effect.incident if paging is None else paging.number
                return SomeoneDelayed(number_now, effect.who, effect.by, effect.dedup_key, reason, number)
            case AcknowledgePage() if is_said:
                return AcknowledgementDelayed(effect.incident, effect.dedup_key, effect.by, reason, number)
            case PageNextLevel() if is_said:
                return LevelDelayed(effect.incident, effect.dedup_key, effect.level, reason, number)
            case _:
                return None

    def _give_up(self, row: Row, effect: Effect, reason: str, mend: str) -> None:
        self._settle(row, failure_of(effect, reason, mend), lambda work: self._park(work, row, reason))

    def _set_aside(self, row: Row, unread: Unread) -> None:
        """This version cannot read it, another can: kept for that one, and said in the words of what it was for."""
        again = f"start the version that wrote it, then `python -m bot outbox retry {row.seq}`"
        reason = f"this version cannot read it ({unread.reason}); {again}"
        log.error("effect cannot be read", effect=unread.kind, incident=row.incident, reason=unread.reason)
        key = unread.payload.get("dedup_key")
        if unread.kind == "PageOnCall" and row.incident is not None and isinstance(key, str):
            said: Input = PageRefused(row.incident, key, reason, again)
        else:
            said = EffectParked(row.incident, unread.kind, reason, again)
        self._settle(row, said, lambda work: self._park(work, row, reason))

    def _park(self, work: Work, row: Row, reason: str) -> None:
        if not work.park(row, self._door.clock(), reason):
            raise Conflict("claimed by somebody else")

    def _bug(self, row: Row, effect: Effect, error: Exception) -> None:
        if self._is_buggy(row):
            self._give_up(row, effect, a_bug(error), REPORT)
        else:
            self._later(row, effect, self._perhaps_done(a_bug(error)))

    def _perhaps_done(self, reason: str) -> TryLater:
        """What was asked for before that may have been done: then whoever tries next looks first."""
        return Ambiguous(reason) if self._leases.has_called() else TryLater(reason)

    def _is_buggy(self, row: Row) -> bool:
        """Count one more bug; whether that is enough."""
        with self._lock:
            self._bugs[row.seq] += 1
            return self._bugs[row.seq] >= BUGGY

    def _unrecorded(self, row: Row, effect: Effect, error: Exception) -> None:
        """It was delivered, and a bug keeps that out of the record. A bug like any other; whoever tries next looks first."""
        reason = f"it was delivered, but that cannot be recorded; {a_bug(error)}"
        if self._is_buggy(row):
            self._give_up(row, effect, reason, REPORT)
        else:
            self._later(row, effect, Ambiguous(reason))

    def _settle(
        self,
        row: Row,
        result: Input | None,
        finish: Callable[[Work], None],
        unrecorded: Callable[[Exception], None] | None = None,
    ) -> None:
        """Handle what came of it together with the row. A claim that was overtaken changes nothing.

        Where a bug is in the way: `unrecorded` decides, else the row is settled all the same, with an alarm in place of
        what was to be told.
        """
        try:
            if result is not None:
                self._door.handle(result, finish=finish)
            else:
                with self._store.writing() as work:
                    finish(work)
        except Refused as error:
            log.warning("result not taken", reason=error.reason)
            self._settle(row, None, finish)
        except Conflict as error:
            if self._is_buggy(row) and row.seq in self._store.renew([row], self._leases.lease):
                # Still ours: it is what came of it that nobody can record.
                self._despite(error, row, result, finish, unrecorded)
            else:
                log.warning("overtaken: another worker has this effect now")
        except DatabaseDown as error:
            # The row stays `sending`; when its lease runs out it comes back as ambiguous, and is looked into.
            log.warning("not recorded", reason=str(error))
            if self._unwritten is not None:
                self._unwritten.left(row.seq, result)
        except Exception as error:
            log.exception("bug while recording what came of an effect", effect=type(row.effect).__name__, incident=row.incident)
            self._despite(error, row, result, finish, unrecorded)

    def _despite(
        self,
        error: Exception,
        row: Row,
        result: Input | None,
        finish: Callable[[Work], None],
        unrecorded: Callable[[Exception], None] | None,
    ) -> None:
        if unrecorded is not None:
            unrecorded(error)
        elif not isinstance(result, TroubleSeen):
            told = f"{type(result).__name__} of INC-{row.incident} could not be handled: {a_bug(error)}"
            self._settle(row, TroubleSeen(told, REPORT), finish)

    def _warn(self, reason: str, mend: str) -> None:
        """Raise an alarm that a person has to act, once an hour for each reason."""
        hour = self._door.clock().timestamp() // 3600
        with self._lock:
            if self._warned.get(reason) == hour:
                return
            self._warned[reason] = hour
        log.error("a person has to act", reason=reason, mend=mend)
        self._settle_trouble(reason, mend, hour)

    def trouble(self) -> str:
        """What a person has to mend before these lanes move on; empty once it was not met for a while."""
        if self._trouble is None or self._door.clock() - self._trouble[0] > FORGOTTEN:
            return ""
        return self._trouble[1]

    def _settle_trouble(self, reason: str, mend: str, hour: float) -> None:
        try:
            self._door.handle(TroubleSeen(reason, mend), once=f"trouble:{int(hour)}:{reason}"[:250])
        except DatabaseDown as error:
            log.warning("alarm not raised", reason=str(error))


def a_bug(error: Exception) -> str:
    """A bug in the words of a reason."""
    return f"a bug: {type(error).__name__}: {error}"


def failure_of(effect: Effect, reason: str, mend: str) -> Input:
    """The input that says that an effect was given up, in the words of what it was for."""
    match effect:
        case PageOnCall():
            return PageRefused(effect.incident, effect.dedup_key, reason, mend)
        case PageNextLevel():
            return LevelNotAsked(effect.incident, effect.dedup_key, effect.level, reason, mend)
        case PagePerson():
            return SomeoneNotAsked(effect.incident, effect.person, effect.by, reason, mend)
        case PageService():
            return SomeoneNotAsked(effect.incident, effect.who, effect.by, reason, mend, effect.dedup_key)
        case OpenChannel():
            return ChannelNotOpened(effect.incident, reason)
        case RaiseAlarm():
            return EffectParked(None, "RaiseAlarm", reason, mend)
        case _:
            return EffectParked(effect.incident, type(effect).__name__, reason, mend)


class Steady:
    """A thread that does one kind of work until there is none, then waits to be woken. No exception ends it."""

    def __init__(self, name: str, run_once: Callable[[], int], wait: Callable[[float], None]) -> None:
        self.name = name
        self._run_once, self._wait = run_once, wait
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._seen_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._seen_at = time.monotonic()
        self._thread.start()

    def unseen_seconds(self) -> float:
        """How long its round lasts by now; 0 where it was never started."""
        return 0.0 if self._seen_at is None else time.monotonic() - self._seen_at

    def stop(self) -> None:
        """Ask it to end after what it does now."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end, at most as long as one delivery may take."""
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._seen_at = time.monotonic()
            if not self.attempt():
                self._wait(1.0)

    def attempt(self) -> int:
        """One round; how much was done. What goes wrong is logged."""
        return guarded(self._run_once)


def bug_in(work: Callable[[], None]) -> str:
    """Do some work; the bug that it ended in, in words, and empty where it ended well.

    Raises `Conflict` and `DatabaseDown` as they come: those are no bugs.
    """
    try:
        work()
    except (Conflict, DatabaseDown):
        raise
    except Exception as error:
        log.exception("bug in a worker; it goes on")
        return a_bug(error)
    return ""


def guarded(work: Callable[[], int]) -> int:
    """Do some work; log what goes wrong, and count it as nothing done."""
    try:
        return work()
    except (DatabaseDown, Conflict) as error:
        log.warning("waiting for the database", reason=str(error))
    except Exception:
        log.exception("bug in a worker; it goes on")
    return 0
