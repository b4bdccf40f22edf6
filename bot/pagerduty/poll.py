"""Asking PagerDuty what no webhook told: an acknowledgement is seen within a minute, whatever is switched off."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bot.errors import GaveUp, Refused, TryLater
from bot.handle import Door
from bot.incidents.incident import Episode, Incident, PageState
from bot.incidents.inputs import PageNotShown, TroubleSeen
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.store import DatabaseDown, Store

log = structlog.get_logger()

ENOUGH = 200
"""Pages asked about in one round; each costs two requests of the 960 a minute that PagerDuty allows."""
NEVER = 1000
"""Rounds that a page has waited for its turn that was never asked about."""
RINGS = 4
"""A page that rings is asked about so many times as often as others, where there are too many for one round."""
IN_A_ROW = 3
"""Answers that PagerDuty owes one after the other, after which it is left alone until the next round."""
LOOKS_BACK = timedelta(hours=1)
"""How long after its end a page is still asked about, where PagerDuty did not tell before."""
SETTLED = timedelta(seconds=30)
"""How long after its end a page's log is taken to be whole."""
SHOWN_WITHIN = timedelta(seconds=45)
"""How long PagerDuty may take to show what it has accepted; each time that it does not, it gets so much more."""
LONGEST_UNSEEN = timedelta(minutes=10)
HEADSTART = timedelta(seconds=5)
"""The same where nobody is on call: then there is nothing to wait for."""
MEND_LOST = "look at https://status.pagerduty.com, and in PagerDuty whether an event rule or a maintenance window swallows the page"
MEND_NOBODY = "put somebody on call in PagerDuty (People > On-Call Schedules), and call people until then"
ASKED_ABOUT = frozenset({PageState.REQUESTED, PageState.DELAYED, PageState.ACCEPTED, PageState.DROPPED})


@dataclass(frozen=True, slots=True)
class _Page:
    """A page that may be asked about: what has to be known of it to tell whose turn it is."""

    incident: int
    key: str
    is_waiting: bool
    ended_at: datetime | None
    is_its_own: bool = True
    """False for a page of others."""


class Poll:
    """One round asks about every page that is not over, and once more about each that is."""

    def __init__(self, *, client: Client, reports: Reports, store: Store, door: Door, enough: int = ENOUGH) -> None:
        self._client, self._reports, self._store, self._door = client, reports, store, door
        self._enough = enough
        self._rounds = 0
        self._asked: dict[str, int] = {}
        """The round in which each page was last asked about."""
        self._told: set[str] = set()
        """Keys of pages that are over and were told whole since."""
        self._known: dict[int, tuple[int, tuple[_Page, ...]]] = {}
        """The version of each incident that was looked at, and its pages."""
        self.trouble = ""
        """What the newest round could not find out, and why; empty where it found out everything."""

    def run_once(self) -> int:
        """Ask, and hand over what is new. The number of pages that PagerDuty told of."""
        if not self._client.has_token:
            return 0
        now = self._door.clock()
        told = owed = 0
        trouble = ""
        for page in self._turns(self._pages(now)):
            self._asked[page.key] = self._rounds
            incident = self._store.incident(page.incident)
            if incident is None:
                continue
            try:
                self._ask(incident, page)
            except (TryLater, GaveUp) as error:
                trouble = trouble or f"PagerDuty does not tell of the page of {incident.ref}: {error.reason}"
                log.warning("poll failed", incident=incident.ref, reason=error.reason)
                if error.mend:
                    self._warn(error.reason, error.mend, now)
                owed = owed + 1 if isinstance(error, TryLater) else 0
                if owed == IN_A_ROW or error.mend:
                    break
            else:
                told, owed = told + 1, 0
                if page.ended_at is not None and now - page.ended_at >= SETTLED:
                    self._told.add(page.key)
        self.trouble = trouble
        return told

    def _pages(self, now: datetime) -> list[_Page]:
        """Open ones first; then those that ended a while ago at most, as nobody asks about them any more.

        Only what has changed since the last round is read whole: five thousand open incidents took half a second of everybody's.
        """
        versions = self._store.versions(ENOUGH)
        changed = [number for number, version in versions.items() if self._known.get(number, (0,))[0] != version]
        self._known = {number: known for number, known in self._known.items() if number in versions}
        self._known |= {one.number: (one.version, tuple(_pages_of(one))) for one in self._store.those(changed)}
        pages = [page for number in versions if number in self._known for page in self._known[number][1]]
        over = [page for page in pages if page.ended_at is not None and page.ended_at >= now - LOOKS_BACK]
        self._told &= {page.key for page in over}
        rest = [page for page in pages if page.ended_at is None]
        own, others = [page for page in rest if page.is_its_own], [page for page in rest if not page.is_its_own]
        return [*own, *others, *(page for page in over if page.key not in self._told)]

    def _turns(self, pages: list[_Page]) -> list[_Page]:
        """As many as may be asked about in a round: those first that were not for longest, and the ringing before others."""
        self._rounds += 1
        self._asked = {page.key: self._asked[page.key] for page in pages if page.key in self._asked}

        def turn(page: _Page) -> int:
            waited = self._rounds - self._asked.get(page.key, self._rounds - NEVER)
            return waited * (RINGS if page.is_waiting else 1)

        return sorted(pages, key=turn, reverse=True)[: self._enough]

    def _ask(self, incident: Incident, page: _Page) -> None:
        found = self._reports.incident(page.key)
        if found is None:
            log.info("PagerDuty shows no incident for a page", incident=incident.ref)
            episode = incident.episode_keyed(page.key)
            if episode is not None:
                self._look_for(incident, episode)
            return
        for key, report in self._reports.found(incident, found):
            try:
                self._door.handle(report, once=key)
            except (Refused, DatabaseDown) as error:
                log.warning("report not taken", incident=incident.ref, reason=str(error))

    def _look_for(self, incident: Incident, episode: Episode) -> None:
        """Say so, where PagerDuty has had time enough to show what it had taken."""
        now = self._door.clock()
        taken_at = episode.accepted_at
        if episode.page is not PageState.ACCEPTED or taken_at is None or episode.ended_at is not None:
            return
        is_known = bool(episode.assignees or episode.notified)
        on_call = self._store.on_call()
        is_nobody = on_call is not None and not on_call.rotas
        patience = min(SHOWN_WITHIN * (episode.unseen + 1), LONGEST_UNSEEN)
        if is_nobody and not episode.unseen:
            patience = HEADSTART
        if is_known or now - taken_at < patience:
            return
        reason = f"PagerDuty took the page {(now - taken_at).total_seconds():.0f} s ago and shows no incident for it"
        if is_nobody:
            reason = f"{reason}, and nobody is on call there at any level"
        mend = MEND_NOBODY if is_nobody else MEND_LOST
        report = PageNotShown(incident.number, episode.dedup_key, taken_at, reason, mend)
        try:
            self._door.handle(report, once=f"unseen:{episode.dedup_key}:{taken_at.isoformat()}")
        except (Refused, DatabaseDown) as error:
            log.warning("report not taken", incident=incident.ref, reason=str(error))

    def _warn(self, reason: str, mend: str, now: datetime) -> None:
        """Raise an alarm that a person has to act, once an hour for each reason."""
        hour = int(now.timestamp() // 3600)
        try:
            self._door.handle(TroubleSeen(reason, mend), once=f"trouble:{hour}:{reason}"[:250])
        except DatabaseDown as error:
            log.warning("alarm not raised", reason=str(error))


def _pages_of(incident: Incident) -> Iterator[_Page]:
    """Those that ended, and of one that is open what goes on."""
    number = incident.number
    for episode in incident.episodes:
        goes_on = incident.is_open and episode is incident.episode
        if episode.page in ASKED_ABOUT and (goes_on or episode.ended_at is not None):
            yield _Page(number, episode.dedup_key, episode.is_waiting, episode.ended_at)
    for other in incident.episode.others if incident.is_open else ():
        if other.is_live:
            yield _Page(number, other.dedup_key, other.acknowledged_at is None, None, is_its_own=False)
