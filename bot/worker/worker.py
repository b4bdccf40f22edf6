"""All of the work together: threads for the lanes and the intake, ticks for time."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from bot.clock import Clock, wall_clock
from bot.findings import Finding
from bot.incidents.effects import Effect, Lane
from bot.incidents.policy import PAGER_SOURCE
from bot.store import Store
from bot.store.database import INBOX_CHANNEL, OUTBOX_CHANNEL
from bot.store.outbox import lane_of
from bot.store.wakeups import Heard, Listener, Wakeup
from bot.worker.deliveries import Deliveries, Steady, guarded
from bot.worker.due import DueTimers
from bot.worker.intake import Intake
from bot.worker.scheduler import Scheduler, Tick

log = structlog.get_logger()

SCHEMA_SECONDS = 2.0
HEAD_START_SECONDS = 0.05
"""Chat that was asked for together with a page is woken so much later: the page has database and processor to itself."""
MEND_THREAD = "look at the log for why; starting this process again loses nothing"
THREADS = {Lane.PAGER: 2, Lane.CHAT: 4, Lane.DOCUMENT: 1}


class Wakeups:
    """One wake-up for the inbox, one for PagerDuty's news in it, one for each kind of lane. Threads that wake for nothing
    are in the way of the page.
    """

    def __init__(self) -> None:
        self.inbox, self.news = Wakeup(), Wakeup()
        self.lanes = {lane: Wakeup(THREADS[lane]) for lane in Lane}

    def effects_saved(self, effects: Sequence[Effect]) -> None:
        """Effects are waiting: a thread for each lane that got longer, the pager's first."""
        grown = {(effect.lane, lane_of(effect)) for effect in effects}
        pages = any(lane is Lane.PAGER for lane, _ in grown)
        for kind, wakeup in self.lanes.items():
            count = sum(lane is kind for lane, _ in grown)
            if count:
                wakeup.wake(count, HEAD_START_SECONDS if pages and kind is not Lane.PAGER else 0.0)

    def channels(self) -> Mapping[str, Heard]:
        """Who is to be told of what another process says."""
        return {INBOX_CHANNEL: self._came_in, OUTBOX_CHANNEL: self._were_asked_for}

    def _came_in(self, parts: Collection[str]) -> None:
        """Another process took deliveries. Whoever woke for nothing would be in the way: one claims at a time."""
        if PAGER_SOURCE in parts or not parts:
            self.news.wake_all()
        if set(parts) != {PAGER_SOURCE}:
            self.inbox.wake_all()

    def _were_asked_for(self, parts: Collection[str]) -> None:
        """Another process decided on effects of these lanes."""
        for lane, wakeup in self.lanes.items():
            if lane.value in parts or not parts:
                wakeup.wake(THREADS[lane], HEAD_START_SECONDS if lane is not Lane.PAGER and Lane.PAGER.value in parts else 0.0)


class Worker:
    """Start it and it works until stopped; or `settle` it, and it does what there is to do in the caller's thread."""

    def __init__(
        self,
        *,
        store: Store,
        intake: Intake,
        news: Intake,
        deliveries: Mapping[Lane, Deliveries],
        due: DueTimers,
        ticks: Sequence[Tick],
        wakeups: Wakeups,
        clock: Clock,
        out_of_date: Callable[[], str] = lambda: "",
        schema_seconds: float = SCHEMA_SECONDS,
    ) -> None:
        """`out_of_date` says why this version must not touch the record, because another made it; empty where it may. It
        is asked every `schema_seconds`.
        """
        self._store, self._intake, self._news, self._deliveries = store, intake, news, deliveries
        self._due, self._clock, self._out_of_date = due, clock, out_of_date
        self._rests_because = ""
        self._threads = [
            Steady("due timers", self.tick, due.wait),
            Steady("intake", self._unless_resting(intake.run_until_empty), wakeups.inbox.wait),
            Steady("news of PagerDuty", self._unless_resting(news.run_once), wakeups.news.wait),
        ]
        for lane, work in deliveries.items():
            for number in range(1, THREADS[lane] + 1):
                run_once = self._unless_resting(work.run_once)
                self._threads.append(Steady(f"{lane.value}-{number}", run_once, wakeups.lanes[lane].wait))
        watched = [replace(one, work=self._unless_resting(one.work)) for one in ticks]
        schema = Tick("schema", schema_seconds, self.look_at_schema)
        again = self._unless_resting(lambda: store.try_at_once(clock()))
        self._scheduler = Scheduler([schema, *watched], set_back=again)
        self._listener = Listener(store.engine, wakeups.channels())
        self.ticked_at: float | None = None
        """When the clock last ticked, in seconds of the machine; for the health check."""

    def _unless_resting(self, work: Callable[[], int]) -> Callable[[], int]:
        return lambda: 0 if self._rests_because else work()

    def look_at_schema(self) -> int:
        """Leave the record alone while its schema is not this version's: a newer one may run beside us, and works on it.

        It is there again where somebody goes back to our schema. Raises `DatabaseDown`.
        """
        found = self._out_of_date()
        if found != self._rests_because:
            log.error("rests", reason=found) if found else log.warning("works again")
        self._rests_because = found
        return 0

    def start(self) -> None:
        """Begin to work."""
        self.ticked_at = time.monotonic()
        self._listener.start()
        for thread in self._threads:
            thread.start()
        self._scheduler.start()

    def stop(self) -> None:
        """Finish what is under way, then stop. What waits stays in the record."""
        self._scheduler.stop()
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join()
        self._listener.stop()

    def settle(self, seconds: float = 30.0) -> bool:
        """Do everything there is to do now, here; whether it all came to rest in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = guarded(self._intake.run_once) + guarded(self._news.run_once) + guarded(self._due.run_once)
            for work in self._deliveries.values():
                done += guarded(work.run_once)
            if not done:
                return True
        return False

    def is_quiet(self) -> bool:
        """Whether nothing is waiting or under way: for tests, and for stopping politely."""
        depth = {**self._store.outbox_depth()}
        depth.pop("dead", None)
        inbox = self._store.inbox_depth().get("new", 0)
        return not depth and not inbox and not self._store.due(self._clock())

    def trouble(self) -> str:
        """What a person has to mend before the lanes move on; empty where they do."""
        return "; ".join(sorted({self._rests_because, *(one.trouble() for one in self._deliveries.values())} - {""}))

    def unseen(self, seconds: float) -> list[Finding]:
        """Threads that have been at the same round for longer than `seconds`, and ticks that are late by as much."""
        stuck = [(f"the thread {one.name}", one.unseen_seconds()) for one in self._threads]
        late = [(f"the tick “{name}”", late) for name, late in self._scheduler.late().items()]
        return [
            Finding(name, False, f"{name} of this worker has not come round for {lasted:.0f} s", MEND_THREAD)
            for name, lasted in (*stuck, *late)
            if lasted > seconds
        ]

    def tick(self) -> int:
        """One tick of the clock: handle what is due."""
        self.ticked_at = time.monotonic()
        if self._rests_because:
            self._due.forget()
            return 0
        return self._due.run_once()


def sweeper(store: Store, keep: timedelta) -> Tick:
    """Forgets handled deliveries after a while, by the machine's own time."""
    return Tick("sweep", 3600.0, lambda: store.sweep(wall_clock(), keep))
