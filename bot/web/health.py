"""Whether this process does its duty, and if not, what stops it: in words that name the cause.

Only what stops this process from taking alerts makes it not ready. A neighbour that is away, or an effect that is
stuck, is a warning: were the process taken out for it, a Slack outage would stop the paging.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bot.clock import Clock
from bot.findings import Finding
from bot.store import DatabaseDown, Store, audits

LATE_SECONDS = 15.0
WRITTEN_SECONDS = 2.0
"""For how long a write that worked tells that writing works: whoever asks all the time writes no more often."""


@dataclass(frozen=True, slots=True)
class Health:
    """What `/health/ready` looks at. `ticked_at` is when the worker's clock last ticked, where there is a worker.

    `late_after` is how long an effect may be first in its lane, and a process may give no sign of life.
    """

    store: Store
    clock: Clock
    out_of_date: Callable[[], str]
    ticked_at: Callable[[], float | None] = lambda: None
    troubles: tuple[Callable[[], str], ...] = field(default_factory=tuple)
    late_after: timedelta = timedelta(seconds=60)
    unseen: Callable[[], Sequence[Finding]] = tuple
    """What of this process's own work has not come round."""
    _written_at: list[float] = field(default_factory=list)
    """When writing was last seen to work, by the steady clock; empty before."""

    def causes(self) -> list[str]:
        """Everything that is wrong now; empty where all is well."""
        try:
            found = [self.out_of_date()]
            if not found[0]:
                self._write()
        except DatabaseDown as error:
            return [str(error)]
        ticked = self.ticked_at()
        if ticked is not None and time.monotonic() - ticked > min(LATE_SECONDS, self.late_after.total_seconds()):
            found.append(f"the worker's clock has not ticked for {time.monotonic() - ticked:.0f} s")
        return [one for one in found if one]

    def _write(self) -> None:
        """A disk that is full, or a database that only reads, shows in nothing else. Raises `DatabaseDown`."""
        if self._written_at and time.monotonic() - self._written_at[-1] < WRITTEN_SECONDS:
            return
        self.store.set_note("health/written", self.clock().isoformat())
        self._written_at[:] = [time.monotonic()]

    def warnings(self) -> list[str]:
        """What somebody has to look at, although this process works. Raises `DatabaseDown`."""
        # What two look for is said once: what this process sees now before what a worker saw at its last look.
        found: dict[str, str] = {}
        for one in self._findings():
            found.setdefault(one.subject, one.text)
        return [one for one in (*found.values(), *(trouble() for trouble in self.troubles)) if one]

    def _findings(self) -> list[Finding]:
        engine, now = self.store.engine, self.clock()
        return [
            *self.unseen(),
            *audits.unhandled(self.store.ages(now), audits.UNREAD),
            *audits.late_effects(engine, now, self.late_after),
            *audits.absent(engine, self.late_after),
            *audits.unseen(engine, self.late_after),
        ]

    def notes(self) -> dict[str, int]:
        """What waits and what is parked: worth a look, but no reason to take the process out."""
        inbox, outbox = self.store.inbox_depth(), self.store.outbox_depth()
        return {
            "inbox_waiting": inbox.get("new", 0),
            "inbox_parked": inbox.get("parked", 0),
            "outbox_waiting": sum(number for state, number in outbox.items() if state != "dead"),
            "outbox_dead": outbox.get("dead", 0),
        }
