"""Asking PagerDuty who is on call, now and then, so that an answer in Slack never has to wait for it.

https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls
"""

from collections.abc import Mapping
from typing import Any

import structlog

from bot.alerts.reading import first, moment
from bot.clock import Clock
from bot.errors import GaveUp, TryLater
from bot.handle import Door
from bot.incidents.inputs import TroubleSeen
from bot.incidents.oncall import OnCall, Rota, Turn
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.store import DatabaseDown, Store

log = structlog.get_logger()

PAGE = 100
MOST = 1000
"""Turns read at most; PagerDuty lists ten thousand, and nobody reads as many in Slack."""
NOBODY = "Nobody is on call in PagerDuty, at any level: it takes pages, and wakes nobody"
MEND_NOBODY = "put somebody on call in PagerDuty (People > On-Call Schedules, or the escalation policy itself)"
MEND_STRANGER = "give their accounts in Slack and PagerDuty the same e-mail address"


class OnCallList:
    """Reads the list, and keeps it in the record with the time at which it was so. What will not work at night is said by day."""

    def __init__(self, *, client: Client, reports: Reports, store: Store, clock: Clock, door: Door) -> None:
        self._client, self._reports, self._store, self._clock, self._door = client, reports, store, clock, door

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
        found = OnCall(at, tuple(self._rotas(entries)))
        self._store.set_on_call(found)
        if not found.rotas:
            self._warn("nobody", NOBODY, MEND_NOBODY)
        for name in self._strangers(found):
            text = f"{name} is on call in PagerDuty and unknown in Slack: paged, but neither invited to channels nor called there"
            self._warn(name, text, MEND_STRANGER)
        return len(entries)

    def _strangers(self, found: OnCall) -> list[str]:
        """Whoever is on call and cannot be found in Slack. Before Slack told who is there, that is nobody."""
        known = {one.slack_id for one in self._store.people() if not one.is_deleted}
        people = dict.fromkeys(turn.person for rota in found.rotas for turn in rota.turns)
        return [one for one in people if one not in known] if known else []

    def _warn(self, subject: str, text: str, mend: str) -> None:
        """Raise an alarm, once a day for each subject."""
        try:
            self._door.handle(TroubleSeen(text, mend), once=f"trouble:{self._clock():%Y-%m-%d}:on-call:{subject}"[:250])
        except DatabaseDown as error:
            log.warning("alarm not raised", reason=str(error))

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
