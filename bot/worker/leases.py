"""What this process has claimed, and for how long it may go on with it.

A claim is a lease on the database's time. While a thread works on an effect its lease is made longer; a process that
died or stands still stops doing that, and after `LEASE` another takes over. One that wakes up again must not go on
where it stood: before each call it looks at how long ago its lease was made longer, by its own steady clock.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from bot.errors import Overtaken
from bot.store import Conflict, DatabaseDown, Row, Store

log = structlog.get_logger()

LONGEST = timedelta(minutes=2)
"""No single try takes so long: a thread that is stuck for good must not keep its lane for ever."""


@dataclass(slots=True)
class _Held:
    row: Row
    since: float
    """When it was claimed, by the steady clock."""
    sure_until: float
    """Until when nobody else can have it, by the steady clock."""
    has_called: bool = False
    """Whether a neighbour was asked for something."""


class Leases:
    """Every claim of this process. `steady` never goes back and goes on while the process stands still."""

    def __init__(self, store: Store, lease: timedelta, steady: Callable[[], float] = time.monotonic) -> None:
        self.lease = lease
        self._store, self._steady = store, steady
        self._held: dict[int, _Held] = {}
        self._change = threading.Lock()
        self._mine = threading.local()

    @contextmanager
    def held(self, row: Row, claimed_at: float) -> Iterator[None]:
        """Work on a claimed row in this thread. `claimed_at` is a steady time before the claim was made."""
        held = _Held(row, claimed_at, claimed_at + self.lease.total_seconds())
        with self._change:
            self._held[row.seq] = held
        self._mine.held = held
        try:
            yield
        finally:
            self._mine.held = None
            with self._change:
                if self._held.get(row.seq) is held:
                    del self._held[row.seq]

    def in_hand(self) -> list[int]:
        """The numbers of the rows that this process works on, but for those with which a thread is stuck for good."""
        with self._change:
            return [seq for seq, one in self._held.items() if not self._is_stuck(one)]

    def _is_stuck(self, one: _Held) -> bool:
        return self._steady() - one.since >= LONGEST.total_seconds()

    def now(self) -> float:
        """The steady clock."""
        return self._steady()

    def check(self) -> None:
        """Raise `Overtaken` where this thread works on a row that somebody else may have by now.

        A call that begins as the lease ends may reach a neighbour after another has looked there in vain. So where little
        of it is left, because nobody made it longer in time, it is made longer first.
        """
        held: _Held | None = getattr(self._mine, "held", None)
        if held is None:
            return
        held.has_called = True
        if 0 < held.sure_until - self._steady() < self.lease.total_seconds() / 3:
            self.renew()
        if self._steady() >= held.sure_until:
            raise Overtaken("this process stood still for longer than its lease; another may have this effect now")

    def has_called(self) -> bool:
        """Whether the row that this thread works on may have changed something elsewhere already."""
        held: _Held | None = getattr(self._mine, "held", None)
        return held is not None and held.has_called

    def renew(self) -> int:
        """Make the leases of what is worked on longer; how many they were."""
        asked_at = self._steady()
        with self._change:
            wanted = [one for one in self._held.values() if not self._is_stuck(one)]
        if not wanted:
            return 0
        try:
            kept = self._store.renew([one.row for one in wanted], self.lease)
        except (DatabaseDown, Conflict) as error:
            log.warning("leases not renewed", reason=str(error))
            return 0
        for one in wanted:
            if one.row.seq in kept:
                one.sure_until = asked_at + self.lease.total_seconds()
        return len(kept)
