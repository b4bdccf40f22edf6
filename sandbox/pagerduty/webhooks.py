"""Webhooks v3: signed, in order for each incident, tried again for hours; and switched off after three refusals.

https://developer.pagerduty.com/docs/webhooks-overview
"""

import hmac
import json
import queue
import threading
import time
from hashlib import sha256
from typing import Any
from uuid import uuid4

from sandbox.calls import post
from sandbox.pagerduty.account import (
    Account,
    Incident,
    Json,
    incident_ref,
    iso,
    policy_ref,
    service_ref,
    whole,
)

PATIENCE_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 20.0
REFUSALS = 3


class Webhooks:
    """One subscription, to the bot. `is_on` is the switch on the page."""

    def __init__(self, account: Account) -> None:
        self._account, self._world = account, account.world
        self.is_on = True
        self.is_disabled = False
        self.secrets: list[str] = []
        self.sent: list[Json] = []
        self._refusals = 0
        self._queue: queue.Queue[tuple[bytes, str] | None] = queue.Queue()
        account.tell = self.tell
        threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def tell(self, kind: str, incident: Incident, agent: Json | None, note: Json | None) -> None:
        """Queue an event about an incident."""
        data = self._data(incident) if note is None else {
            "incident": incident_ref(self._world, incident), "id": note["id"], "content": note["content"],
            "trimmed": False, "type": "incident_note",
        }  # fmt: skip
        self._put(f"incident.{kind}", "incident", agent, data)

    def ping(self) -> None:
        """The test event."""
        self._put("pagey.ping", "pagey", None, {"message": "Hello from your friend Pagey!", "type": "ping"})

    def _data(self, incident: Incident) -> Json:
        full = self._account.incident_json(incident)
        known = incident_ref(self._world, incident)
        return {
            "id": known["id"], "type": "incident", "self": known["self"], "html_url": known["html_url"],
            "number": incident.number, "status": incident.status, "incident_key": incident.key,
            "created_at": whole(incident.created_at),
            "title": incident.title, "service": service_ref(incident.service),
            "assignees": [one["assignee"] for one in full["assignments"]], "escalation_policy": policy_ref(incident.policy),
            "teams": [], "priority": None, "urgency": incident.urgency, "conference_bridge": None,
            "resolve_reason": None,
        }  # fmt: skip

    def _put(self, event_type: str, resource: str, agent: Json | None, data: Json) -> None:
        if not self.is_on or self.is_disabled:
            return
        body = json.dumps({"event": {
            "id": f"01{uuid4().hex[:24].upper()}", "event_type": event_type, "resource_type": resource,
            "occurred_at": iso(self._world.clock()), "agent": agent, "client": None, "data": data,
        }}).encode()  # fmt: skip
        self._queue.put((body, uuid4().hex))

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            self._deliver(*item)
            self._queue.task_done()

    def _deliver(self, body: bytes, id_: str) -> None:
        wait = 0.5
        while self.is_on and not self.is_disabled:
            status = self._send(body, id_)
            self.sent.append({"id": id_, "status": status, "body": body})
            if 200 <= status < 300:
                self._refusals = 0
                return
            if 400 <= status < 500 and status != 429:
                self._refusals += 1
                self.is_disabled = self._refusals >= REFUSALS
                self._world.changed("faults")
                return
            time.sleep(wait)
            wait = min(LONGEST_WAIT_SECONDS, wait * 2)

    def _send(self, body: bytes, id_: str) -> int:
        secrets = self.secrets or [self._world.webhook_secret]
        signatures = ",".join(f"v1={hmac.new(one.encode(), body, sha256).hexdigest()}" for one in secrets)
        headers = {
            "Content-Type": "application/json", "User-Agent": "PagerDuty-Webhook/V3.0", "X-Webhook-Id": id_,
            "X-Webhook-Subscription": "PXSBX01", "X-PagerDuty-Signature": signatures,
        }  # fmt: skip
        return post(f"{self._world.bot}/hooks/pagerduty/main", body, headers, PATIENCE_SECONDS).status

    def subscriptions(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """The REST side of the one subscription."""
        if path.endswith("/enable") and method == "POST":
            self.is_disabled, self._refusals = False, 0
        elif path.endswith("/ping") and method == "POST":
            self.ping()
            return 202, {}
        elif method != "GET":
            return 404, {"error": {"message": "Not Found", "code": 2100}}
        one = self._subscription()
        if path.rstrip("/") == "/webhook_subscriptions":
            return 200, {"webhook_subscriptions": [one], "limit": 25, "offset": 0, "more": False, "total": None}
        return 200, {"webhook_subscription": one}

    def _subscription(self) -> Json:
        url = f"{self._world.bot}/hooks/pagerduty/main"
        events: list[Any] = [f"incident.{kind}" for kind in (
            "triggered", "acknowledged", "unacknowledged", "escalated", "reassigned", "resolved", "reopened",
            "annotated", "priority_updated",
        )]  # fmt: skip
        return {
            "id": "PXSBX01", "type": "webhook_subscription", "active": not self.is_disabled,
            "delivery_method": {"id": "PDSBX01", "type": "http_delivery_method", "url": url, "secret": None,
                                "temporarily_disabled": self.is_disabled, "custom_headers": []},
            "description": "Firstfive", "events": events, "filter": {"type": "account_reference"},
        }  # fmt: skip
