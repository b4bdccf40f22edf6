"""Asking PagerDuty who is on call, now and then, so that an answer in Slack never has to wait for it.

https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls
"""

from collections.abc import Mapping
from typing import Any

import structlog

from bot.alerts.reading import first, moment
from bot.clock import Clock
from bot.errors import GaveUp, TryLater
from bot.incidents.oncall import OnCall, Rota, Turn
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.store import Store

log = structlog.get_logger()

PAGE = 100
MOST = 1000
"""Turns read at most; PagerDuty lists ten thousand, and nobody reads as many in Slack."""


class OnCallList:
    """Reads the list, and keeps it in the record with the time at which it was so."""

    def __init__(self, *, client: Client, reports: Reports, store: Store, clock: Clock) -> None:
        self._client, self._reports, self._store, self._clock = client, reports, store, clock

    def run_once(self) -> int:
        """Ask once; how many turns there are. Where PagerDuty does not say, the last list stays, and shows its age."""
        if not self._client.has_token:
            return 0
        at = self._clock()
        try:
            entries = self._entries()
        except (TryLater, GaveUp) as error:
            log.warning("who is on call is not known", reason=error.reason)
            return 0
        self._store.set_on_call(OnCall(at, tuple(self._rotas(entries))))
        return len(entries)

    def _entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < MOST:
            answer = self._client.get("/oncalls", "who is on call", earliest="true", limit=PAGE, offset=len(found))
            page = [one for one in answer.get("oncalls") or [] if isinstance(one, dict)]
            found += page
            if not answer.get("more") or not page:
                break
        return found

    def _rotas(self, entries: list[dict[str, Any]]) -> list[Rota]:
        names: dict[str, str] = {}
        turns: dict[str, dict[tuple[int, str], Turn]] = {}
        for entry in entries:
            policy, user = _object(entry, "escalation_policy"), _object(entry, "user")
            id_ = first(policy.get("id"))
            person = self._reports.person(first(user.get("id")), first(user.get("summary"), user.get("name")))
            level = entry.get("escalation_level")
            if not id_ or person is None or not isinstance(level, int):
                continue
            names[id_] = first(policy.get("summary"), policy.get("name")) or id_
            turns.setdefault(id_, {}).setdefault((level, person), Turn(level, person, moment(entry.get("end"))))
        ordered = {id_: sorted(found.values(), key=lambda one: (one.level, one.person)) for id_, found in turns.items()}
        return [Rota(id_, names[id_], tuple(found)) for id_, found in sorted(ordered.items(), key=lambda pair: names[pair[0]])]


def _object(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}
