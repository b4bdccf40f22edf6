"""Asking PagerDuty what no webhook told: an acknowledgement is seen within a minute, whatever is switched off."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.errors import GaveUp, Refused, TryLater
from bot.handle import Door
from bot.incidents.incident import Episode, Incident, PageState
from bot.incidents.inputs import TroubleSeen
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.store import DatabaseDown, Store

log = structlog.get_logger()

ENOUGH = 200
"""Pages asked about in one round; each costs two requests of the 960 a minute that PagerDuty allows."""
IN_A_ROW = 3
"""Answers that PagerDuty owes one after the other, after which it is left alone until the next round."""
LOOKS_BACK = timedelta(hours=1)
"""How long after its end a page is still asked about, where PagerDuty did not tell before."""
SETTLED = timedelta(seconds=30)
"""How long after its end a page's log is taken to be whole."""
ASKED_ABOUT = frozenset({PageState.REQUESTED, PageState.DELAYED, PageState.ACCEPTED, PageState.DROPPED})


@dataclass(frozen=True, slots=True)
class _Page:
    """A page to ask about."""

    incident: Incident
    episode: Episode

    @property
    def key(self) -> str:
        return self.episode.dedup_key


class Poll:
    """One round asks about every page that is not over, and once more about each that is."""

    def __init__(self, *, client: Client, reports: Reports, store: Store, door: Door) -> None:
        self._client, self._reports, self._store, self._door = client, reports, store, door
        self._told: set[str] = set()
        """Keys of pages that are over and were told whole since."""
        self.trouble = ""
        """What the newest round could not find out, and why; empty where it found out everything."""

    def run_once(self) -> int:
        """Ask, and hand over what is new. The number of pages that PagerDuty told of."""
        if not self._client.has_token:
            return 0
        now = self._door.clock()
        told = owed = 0
        trouble = ""
        for page in self._pages(now)[:ENOUGH]:
            try:
                self._ask(page)
            except (TryLater, GaveUp) as error:
                trouble = trouble or f"PagerDuty does not tell of the page of {page.incident.ref}: {error.reason}"
                log.warning("poll failed", incident=page.incident.ref, reason=error.reason)
                if error.mend:
                    self._warn(error.reason, error.mend, now)
                owed = owed + 1 if isinstance(error, TryLater) else 0
                if owed == IN_A_ROW or error.mend:
                    break
            else:
                told, owed = told + 1, 0
                if page.episode.ended_at is not None and now - page.episode.ended_at >= SETTLED:
                    self._told.add(page.key)
        self.trouble = trouble
        return told

    def _pages(self, now: datetime) -> list[_Page]:
        """Open ones first; then those that ended a while ago at most, as nobody asks about them any more."""
        waiting = self._store.open_incidents()
        known = {one.number: one for one in (*self._store.incidents(ENOUGH), *waiting)}
        over = [page for one in known.values() for page in _ended(one, now - LOOKS_BACK)]
        self._told &= {page.key for page in over}
        open_ = [_Page(one, one.episode) for one in waiting if one.episode.page in ASKED_ABOUT]
        return [*open_, *(page for page in over if page.key not in self._told)]

    def _ask(self, page: _Page) -> None:
        found = self._reports.incident(page.key)
        if found is None:
            log.info("PagerDuty shows no incident for a page", incident=page.incident.ref)
            return
        for key, report in self._reports.found(page.incident, found):
            try:
                self._door.handle(report, once=key)
            except (Refused, DatabaseDown) as error:
                log.warning("report not taken", incident=page.incident.ref, reason=str(error))

    def _warn(self, reason: str, mend: str, now: datetime) -> None:
        """Raise an alarm that a person has to act, once an hour for each reason."""
        hour = int(now.timestamp() // 3600)
        try:
            self._door.handle(TroubleSeen(reason, mend), once=f"trouble:{hour}:{reason}"[:250])
        except DatabaseDown as error:
            log.warning("alarm not raised", reason=str(error))


def _ended(incident: Incident, since: datetime) -> Iterator[_Page]:
    for episode in incident.episodes:
        if episode.page in ASKED_ABOUT and episode.ended_at is not None and episode.ended_at >= since:
            yield _Page(incident, episode)
