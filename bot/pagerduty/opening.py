"""Pages by escalation policy: PagerDuty's incident is opened over REST, and everything after it is asked of that incident.

https://developer.pagerduty.com/api-reference (Create an Incident). One key makes one incident while it is open: a second is
refused. What was refused, or whose answer was lost, is looked for by its key; sent again only where it is not there.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bot.errors import Ambiguous, GaveUp, TryLater
from bot.incidents.pagers import ByPolicy
from bot.pagerduty.client import MEND_FROM, MEND_POLICY, MEND_TOKEN, Client
from bot.pagerduty.limits import Budget
from bot.pagerduty.reports import Reports

Known = TypeVar("Known")

OPENING = "POST /incidents"
"""Its budget: PagerDuty limits the operation, whichever service it is for."""
URGENT = ("critical", "error")
TITLE_LIMIT, BODY_LIMIT = 1024, 30_000


class Opening:
    """Opens, finds and ends incidents of PagerDuty by our key."""

    def __init__(self, *, client: Client, reports: Reports, budget: Budget) -> None:
        self._client, self._reports, self._budget = client, reports, budget

    def open(self, key: str, by: ByPolicy, *, title: str, details: str, severity: str, rank: int, is_lost: bool) -> None:
        """Wake whoever is on call by a policy; returns only when PagerDuty has an incident of this key.

        `rank` is how bad it is, 1 for SEV1: the budget is kept for the worst. With `is_lost` there may be one already.
        Raises `TryLater`, `Ambiguous` or `GaveUp`.
        """
        self._check_set_up()
        made = self._reports.incident(key) if is_lost else None
        if made is None:
            made = self._made(key, by, title, details, severity, rank)
        if made.get("status") == "acknowledged" and _surely(lambda: self._is_our_own(made)):
            reason = "PagerDuty gave the incident to the user that the bot acts as, acknowledged from the start: nobody was woken"
            raise GaveUp(reason, MEND_FROM)

    def _made(self, key: str, by: ByPolicy, title: str, details: str, severity: str, rank: int) -> dict[str, Any]:
        self._budget.spend(OPENING, rank)
        body = {"incident": {
            "type": "incident", "title": title[:TITLE_LIMIT], "incident_key": key,
            "service": {"id": by.service, "type": "service_reference"},
            "escalation_policy": {"id": by.policy, "type": "escalation_policy_reference"},
            "urgency": "high" if severity in URGENT else "low",
            "body": {"type": "incident_body", "details": details[:BODY_LIMIT]},
        }}  # fmt: skip
        try:
            made = self._client.post("/incidents", body, "opening an incident").get("incident")
        except GaveUp as error:
            found = _surely(lambda: self._reports.incident(key))
            if found is None or found.get("status") == "resolved":
                raise GaveUp(error.reason, error.mend or MEND_POLICY) from None
            return found
        except TryLater as error:
            if error.after is not None and not error.mend:
                self._budget.block(OPENING, error.after)
            raise
        if not isinstance(made, dict) or not made.get("id"):
            raise Ambiguous("PagerDuty's answer to opening an incident has no incident in it")
        return made

    def _check_set_up(self) -> None:
        if not self._client.has_token:
            raise GaveUp("there is no PagerDuty REST token, and an escalation policy is paged with it", MEND_TOKEN)
        if not self._client.from_email:
            raise GaveUp("PagerDuty wants to know who opens an incident, and PAGERDUTY_FROM is not set", MEND_FROM)

    def _is_our_own(self, made: Mapping[str, Any]) -> bool:
        acks = [one.get("acknowledger") or {} for one in made.get("acknowledgements") or []]
        return all(one.get("id") == self._reports.own_id() for one in acks)

    def end(self, key: str, status: str, what: str) -> bool:
        """Acknowledge or resolve PagerDuty's incident of a key; False where it has none. Twice is as good as once."""
        found = self._reports.incident(key)
        if found is None:
            return False
        if _is_done(found, status):
            return True
        self._check_set_up()
        body = {"incident": {"type": "incident_reference", "status": status}}
        try:
            self._client.put(f"/incidents/{found['id']}", body, what)
        except GaveUp:
            # Somebody was faster: then it is as it should be.
            again = self._reports.incident(key)
            if again is None or not _is_done(again, status):
                raise
        return True


def _surely(ask: Callable[[], Known]) -> Known:
    """What is asked after a try to open: until it is known, PagerDuty may have the incident, and must not get another."""
    try:
        return ask()
    except TryLater as error:
        raise Ambiguous(error.reason, error.after, error.mend) from None


def _is_done(found: Mapping[str, Any], status: str) -> bool:
    return found.get("status") in (status, "resolved")
