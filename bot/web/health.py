"""Whether this process does its duty, and if not, what stops it: in words that name the cause.

Only what stops this process from taking alerts makes it not ready. A neighbour that is away, or an effect that is
stuck, is a warning: were the process taken out for it, a Slack outage would stop the paging.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.clock import Clock
from bot.store import DatabaseDown, Store

LATE_SECONDS = 15.0
UNREAD_SECONDS = 30.0
STUCK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Health:
    """What `/health/ready` looks at. `ticked_at` is when the worker's clock last ticked, where there is a worker."""

    store: Store
    clock: Clock
    out_of_date: Callable[[], str]
    ticked_at: Callable[[], float | None] = lambda: None
    troubles: tuple[Callable[[], str], ...] = field(default_factory=tuple)

    def causes(self) -> list[str]:
        """Everything that is wrong now; empty where all is well."""
        try:
            found = [self.out_of_date()]
        except DatabaseDown as error:
            return [str(error)]
        ticked = self.ticked_at()
        if ticked is not None and time.monotonic() - ticked > LATE_SECONDS:
            found.append(f"the worker's clock has not ticked for {time.monotonic() - ticked:.0f} s")
        return [one for one in found if one]

    def warnings(self) -> list[str]:
        """What somebody has to look at, although this process works. Raises `DatabaseDown`."""
        return [one for one in (*self._queues(), *(trouble() for trouble in self.troubles)) if one]

    def _queues(self) -> list[str]:
        ages, found = self.store.ages(self.clock()), []
        # A process that only serves the web has no worker to ask: that nobody works shows in what waits.
        if ages["inbox"] > UNREAD_SECONDS:
            found.append(f"a delivery has waited for {ages['inbox']:.0f} s and is not read; is a worker running?")
        if ages["timers"] > UNREAD_SECONDS:
            found.append(f"a timer has been due for {ages['timers']:.0f} s; is a worker running?")
        if ages["outbox"] > STUCK_SECONDS:
            found.append(f"an effect has been due for {ages['outbox']:.0f} s and is not done; look at the log for why")
        return found

    def notes(self) -> dict[str, int]:
        """What waits and what is parked: worth a look, but no reason to take the process out."""
        inbox, outbox = self.store.inbox_depth(), self.store.outbox_depth()
        return {
            "inbox_waiting": inbox.get("new", 0),
            "inbox_parked": inbox.get("parked", 0),
            "outbox_waiting": sum(number for state, number in outbox.items() if state != "dead"),
            "outbox_dead": outbox.get("dead", 0),
        }
