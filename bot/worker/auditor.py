"""Watching the watcher: now and then, whether everything that should work does. Somebody outside hears only if it does.

What is found goes to the operations channel, to the health page of every process, and silences the heartbeat.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from bot.findings import Finding
from bot.handle import Door
from bot.incidents.inputs import TroubleSeen
from bot.store import DatabaseDown, Store, audits

log = structlog.get_logger()


class Auditor:
    """Looks at the record and at this process. `every` is how often it is asked to, and how late anything may be: so what
    is wrong is seen before it has lasted twice as long. `unseen` says which threads and ticks here have not been seen for
    so many seconds; `send` sends a heartbeat, and says why it was not taken.
    """

    def __init__(
        self,
        *,
        store: Store,
        door: Door,
        every: timedelta,
        unseen: Callable[[float], Sequence[Finding]],
        send: Callable[[], str] | None,
    ) -> None:
        self._store, self._door, self._every, self._unseen, self._send = store, door, every, unseen, send
        self.found: tuple[Finding, ...] = ()
        """What the last look found, for this process's sign of life."""

    def run_once(self) -> int:
        """Look; the number of things that are wrong. Raises `DatabaseDown`, and then nobody hears of us."""
        wrong = self.findings()
        said = ""
        if not wrong and self._send is not None:
            said = self._send()
        self.found = (*wrong, *([Finding("heartbeat", False, said, "check HEARTBEAT_URL")] if said else []))
        for one in self.found:
            log.error("not well", subject=one.subject, problem=one.text, mend=one.mend)
        for one in wrong:
            self._tell(one)
        audits.forget(self._store.engine)
        return len(wrong)

    def findings(self) -> list[Finding]:
        """Everything that is wrong now. Raises `DatabaseDown`."""
        engine, now = self._store.engine, self._door.clock()
        return [
            *audits.unhandled(self._store.ages(now), min(audits.UNREAD, self._every)),
            *audits.late_effects(engine, now, self._every),
            *audits.unwatched(engine, self._door.policy().paging.highest_level),
            *audits.absent(engine, self._every),
            *self._unseen(self._every.total_seconds()),
        ]

    def _tell(self, one: Finding) -> None:
        """Raise an alarm, once an hour for each subject, whichever worker finds it."""
        hour = int(self._door.clock().timestamp() // 3600)
        try:
            self._door.handle(TroubleSeen(one.text, one.mend), once=f"trouble:{hour}:{one.subject}"[:250])
        except DatabaseDown as error:
            log.warning("alarm not raised", reason=str(error))
