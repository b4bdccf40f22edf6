"""Open incidents in PagerDuty that carry a key of ours and are in no record: after a restore, somebody may be on them.

A record that was restored from an older copy gives the numbers of what it forgot out again. No page is lost by that, a
key holds the moment of its opening, too; but two incidents would be called INC-7. So numbers go on after the highest.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import structlog

from bot.alerts.reading import first
from bot.errors import GaveUp, TryLater
from bot.handle import Door
from bot.incidents.incident import incident_keyed
from bot.incidents.inputs import TroubleSeen
from bot.pagerduty.client import Client
from bot.store import Store
from bot.store.work import NUMBER

log = structlog.get_logger()

PAGE = 100
MOST_NAMED = 10
FARTHEST = 10_000
"""Numbers that are skipped at most: a key that is far off was made by somebody else."""
MEND = (
    "If the database was restored: end them in PagerDuty once nobody needs them, and declare what still goes on. "
    "If another Firstfive pages through the same account, they are its own."
)


class Strays:
    """Asks once after each start, and again until PagerDuty has answered."""

    def __init__(self, *, client: Client, store: Store, door: Door) -> None:
        self._client, self._store, self._door = client, store, door
        self._is_done = False

    def run_once(self) -> int:
        """Compare PagerDuty's open incidents with the record; how many are in none. Raises `DatabaseDown`."""
        if self._is_done or not self._client.has_token:
            return 0
        try:
            found = [one for one in self._open() if incident_keyed(first(one.get("incident_key"))) is not None]
        except (TryLater, GaveUp) as error:
            log.warning("PagerDuty's open incidents not compared", reason=error.reason)
            self._is_done = isinstance(error, GaveUp)
            return 0
        # After asking: whatever was paged meanwhile is in the record by now.
        strays = [one for one in found if not self._is_known(first(one.get("incident_key")))]
        self._skip_numbers(strays)
        if strays:
            self._tell(strays)
        self._is_done = True
        return len(strays)

    def _open(self) -> Iterator[dict[str, Any]]:
        offset = 0
        wanted: dict[str, Any] = {"statuses[]": ["triggered", "acknowledged"], "date_range": "all", "limit": PAGE}
        while True:
            answer = self._client.get("/incidents", "what is open", offset=offset, **wanted)
            found = answer.get("incidents") or []
            yield from (one for one in found if isinstance(one, dict))
            offset += len(found)
            if not answer.get("more") or not found:
                return

    def _is_known(self, key: str) -> bool:
        incident = self._store.incident(incident_keyed(key) or 0)
        # A service that was asked to help has the page's own key, and its name.
        return incident is not None and any(key == one.dedup_key or key.startswith(f"{one.dedup_key}/") for one in incident.episodes)

    def _skip_numbers(self, strays: list[dict[str, Any]]) -> None:
        """No number of a stray is given out again."""
        newest = int(self._store.note(NUMBER) or 0)
        numbers = [incident_keyed(first(one.get("incident_key"))) or 0 for one in strays]
        highest = max((one for one in numbers if one <= newest + FARTHEST), default=0)
        if highest <= newest:
            return
        with self._store.writing() as work:
            while work.next_number() < highest:
                pass
        log.warning("numbers skipped", after=highest)

    def _tell(self, strays: list[dict[str, Any]]) -> None:
        named = [f"INC-{incident_keyed(first(one.get('incident_key')))} ({_named(one)})" for one in strays[:MOST_NAMED]]
        more = f" and {len(strays) - MOST_NAMED} more" if len(strays) > MOST_NAMED else ""
        text = f"PagerDuty has open incidents of Firstfive's that are not in its record: {', '.join(named)}{more}"
        log.error("strays in PagerDuty", count=len(strays))
        ids = sha256(",".join(sorted(str(one.get("id")) for one in strays)).encode()).hexdigest()
        self._door.handle(TroubleSeen(text, MEND), once=f"strays:{ids}")


def _named(incident: dict[str, Any]) -> str:
    """Its title, how it stands, and where PagerDuty shows it."""
    title = first(incident.get("title"), incident.get("summary"))[:80]
    return ", ".join(filter(None, (title, first(incident.get("status")), first(incident.get("html_url")))))
