"""PagerDuty's webhook to this bot: where it was switched off after refusals, it is switched on again, and that is said.

Three deliveries in a row that are refused switch it off for a day, and what happens meanwhile is never sent. The poll
finds it all the same, but later. https://developer.pagerduty.com/docs/webhooks-overview
"""

from collections.abc import Iterator, Sequence
from typing import Any

import structlog

from bot.alerts.reading import first
from bot.errors import GaveUp, TryLater
from bot.handle import Door
from bot.incidents.inputs import TroubleSeen
from bot.pagerduty.client import Client
from bot.store import Store

log = structlog.get_logger()

PAGE = 100
WHY = "Look for “delivery refused” in the log, and compare the webhook's secret with pagerduty/… in HOOK_SECRETS."
BY_HAND = "Switch it on in PagerDuty (Integrations > Generic Webhooks), or give PAGERDUTY_API_TOKEN the right to write."


class Subscriptions:
    """One round looks at every webhook of the account that leads here: by its address, or because it has come before."""

    def __init__(self, *, client: Client, store: Store, door: Door, addresses: Sequence[str]) -> None:
        self._client, self._store, self._door = client, store, door
        self._addresses = frozenset(addresses)
        self.trouble = ""
        """What is wrong with the webhook, or why that is not known; empty where all is well."""

    def run_once(self) -> int:
        """Look, and switch on what PagerDuty switched off. How many those were. Raises `DatabaseDown`."""
        if not self._client.has_token or not self._addresses:
            return 0
        try:
            off = [one for one in self._all() if _is_off(one)]
        except (TryLater, GaveUp) as error:
            self.trouble = f"nobody knows whether PagerDuty's webhook is on: {error.reason}"
            log.warning("webhooks not looked at", reason=error.reason)
            return 0
        known = self._store.webhooks_seen() if off else frozenset()
        ours = [one for one in off if one.get("id") in known or _address(one) in self._addresses]
        self.trouble = ""
        return sum(self._switch_on(str(one.get("id"))) for one in ours)

    def _all(self) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            answer = self._client.get("/webhook_subscriptions", "whether the webhook is on", limit=PAGE, offset=offset)
            found = answer.get("webhook_subscriptions") or []
            yield from (one for one in found if isinstance(one, dict))
            offset += len(found)
            if not answer.get("more") or not found:
                return

    def _switch_on(self, id_: str) -> int:
        off = f"PagerDuty had switched its webhook {id_} to this bot off, after deliveries that were refused"
        try:
            self._client.post(f"/webhook_subscriptions/{id_}/enable", {}, "switching the webhook on", call="enable")
        except (TryLater, GaveUp) as error:
            self.trouble = f"PagerDuty's webhook {id_} is off: {error.reason}"
            self._warn(id_, f"{off}. It cannot be switched on again: {error.reason}", f"{BY_HAND} {WHY}")
            return 0
        log.warning("webhook switched on again", subscription=id_)
        self._warn(id_, f"{off}. It is on again; what happened meanwhile is found by asking", WHY)
        return 1

    def _warn(self, id_: str, text: str, mend: str) -> None:
        """Once an hour, however often it is switched off."""
        hour = int(self._door.clock().timestamp() // 3600)
        self._door.handle(TroubleSeen(text, mend), once=f"trouble:{hour}:webhook:{id_}"[:250])


def _is_off(subscription: dict[str, Any]) -> bool:
    """Whether PagerDuty switched it off. One that a person made inactive stays so."""
    method = subscription.get("delivery_method")
    return isinstance(method, dict) and method.get("temporarily_disabled") is True


def _address(subscription: dict[str, Any]) -> str:
    method = subscription.get("delivery_method")
    return first(method.get("url")).rstrip("/") if isinstance(method, dict) else ""
