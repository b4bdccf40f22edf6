"""Asking PagerDuty what no webhook told: an acknowledgement is seen within a minute, whatever is switched off."""

import structlog

from bot.errors import GaveUp, Refused, TryLater
from bot.handle import Door
from bot.incidents.incident import Episode, Incident, PageState
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.store import DatabaseDown, Store

log = structlog.get_logger()

ENOUGH = 200
"""Pages asked about in one round; each costs two requests of the 960 a minute that PagerDuty allows."""


class Poll:
    """One round asks about every page that is not over."""

    def __init__(self, *, client: Client, reports: Reports, store: Store, door: Door) -> None:
        self._client, self._reports, self._store, self._door = client, reports, store, door
        self.trouble = ""
        """Why the newest round found nothing out; empty where it did."""

    def run_once(self) -> int:
        """Ask about open pages, and hand over what is new. The number of pages asked about."""
        if not self._client.has_token:
            return 0
        waiting = [one for one in self._store.open_incidents() if _is_paged(one.episode)]
        asked = 0
        for incident in waiting[:ENOUGH]:
            try:
                self._ask(incident)
            except (TryLater, GaveUp) as error:
                self.trouble = error.reason
                log.warning("poll failed", incident=incident.ref, reason=error.reason)
                return asked
            asked += 1
        self.trouble = ""
        return asked

    def _ask(self, incident: Incident) -> None:
        found = self._reports.incident(incident.episode.dedup_key)
        if found is None:
            log.warning("PagerDuty shows no incident for a page", incident=incident.ref)
            return
        for key, report in self._reports.found(incident, found):
            try:
                self._door.handle(report, once=key)
            except (Refused, DatabaseDown) as error:
                log.warning("report not taken", incident=incident.ref, reason=str(error))


def _is_paged(episode: Episode) -> bool:
    return episode.page in (PageState.REQUESTED, PageState.DELAYED, PageState.ACCEPTED)
