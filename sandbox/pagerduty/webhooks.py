"""Webhooks v3: signed, in order for each incident, tried again for two days; switched off for a day after three drops.

https://developer.pagerduty.com/docs/webhooks-overview
"""

import hmac
import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
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
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 20.0
TRIED_FOR = timedelta(hours=48)
DROPS = 3
OFF_FOR = timedelta(hours=24)
SENDERS = 4
LOOK_SECONDS = 0.05
"""From one look at what waits to the next: the clock is moved by others."""


@dataclass
class _Event:
    """What is to be delivered. It waits for `again`, by the machine's steady clock, or for `at`, by the sandbox's."""

    resource: str
    body: bytes
    id: str
    since: datetime
    at: datetime
    again: float = 0.0
    wait_seconds: float = FIRST_WAIT_SECONDS


class Webhooks:
    """One subscription, to the bot. `is_on` is the switch on the page; PagerDuty's own is `is_disabled`."""

    def __init__(self, account: Account) -> None:
        self._account, self._world = account, account.world
        self.is_on = True
        self.secrets: list[str] = []
        self.sent: list[Json] = []
        """Each try with its answer."""
        self._drops = 0
        self._off_until: datetime | None = None
        self._waiting: dict[str, deque[_Event]] = {}
        """By the incident that they are about: the first of each is tried, the others come after it."""
        self._busy: set[str] = set()
        self._change = threading.Condition()
        account.tell = self.tell
        for _ in range(SENDERS):
            threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    @property
    def is_disabled(self) -> bool:
        """Whether PagerDuty has switched it off, after three drops in a row and for a day."""
        return self._off_until is not None and self._world.clock() < self._off_until

    @is_disabled.setter
    def is_disabled(self, is_off: bool) -> None:
        with self._change:
            self._off_until = self._world.clock() + OFF_FOR if is_off else None
            self._drops = 0
            if is_off:
                self._waiting.clear()
            self._change.notify_all()

    def join(self) -> None:
        """Wait until nothing waits any more: each event was taken, or dropped."""
        with self._change:
            while self._waiting or self._busy:
                self._change.wait(LOOK_SECONDS)

    def tell(self, kind: str, incident: Incident, agent: Json | None, note: Json | None) -> None:
        """Queue an event about an incident."""
        data = self._data(incident) if note is None else {
            "incident": incident_ref(self._world, incident), "id": note["id"], "content": note["content"],
            "trimmed": False, "type": "incident_note",
        }  # fmt: skip
        self._put(f"incident.{kind}", "incident", agent, data, incident.id)

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

    def _put(self, event_type: str, resource: str, agent: Json | None, data: Json, about: str = "") -> None:
        if not self.is_on or self.is_disabled:
            return
        body = json.dumps({"event": {
            "id": f"01{uuid4().hex[:24].upper()}", "event_type": event_type, "resource_type": resource,
            "occurred_at": iso(self._world.clock()), "agent": agent, "client": None, "data": data,
        }}).encode()  # fmt: skip
        now = self._world.clock()
        with self._change:
            self._waiting.setdefault(about, deque()).append(_Event(about, body, uuid4().hex, now, now))
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while (event := self._due()) is None:
                    self._change.wait(LOOK_SECONDS if self._waiting else None)
                self._busy.add(event.resource)
            if self._tried(event):
                self._drop()
            with self._change:
                self._busy.discard(event.resource)
                self._change.notify_all()

    def _due(self) -> _Event | None:
        """The first of some incident's that may be tried now."""
        if not self.is_on:
            self._waiting.clear()
        now, steady = self._world.clock(), time.monotonic()
        heads = (some[0] for resource, some in self._waiting.items() if resource not in self._busy)
        return next((one for one in heads if one.at <= now or one.again <= steady), None)

    def _tried(self, event: _Event) -> bool:
        """Send it. Whether it is dropped: refused for good, or by nobody taken for as long as PagerDuty tries."""
        status = self._send(event.body, event.id)
        self.sent.append({"id": event.id, "status": status, "body": event.body})
        is_taken, now = 200 <= status < 300, self._world.clock()
        is_dropped = (400 <= status < 500 and status != 429) or (not is_taken and now - event.since >= TRIED_FOR)
        with self._change:
            some = self._waiting.get(event.resource)
            if is_taken:
                self._drops = 0
            if some is None or some[0] is not event:
                # Switched off meanwhile.
                return False
            if is_taken or is_dropped:
                some.popleft()
                if not some:
                    del self._waiting[event.resource]
                return is_dropped
            event.at, event.again = now + timedelta(seconds=event.wait_seconds), time.monotonic() + event.wait_seconds
            event.wait_seconds = min(LONGEST_WAIT_SECONDS, event.wait_seconds * 2)
            return False

    def _drop(self) -> None:
        self._drops += 1
        if self._drops >= DROPS:
            self.is_disabled = True
        # Not under our own lock: whoever tells of an event holds the world's, and waits for ours.
        self._world.changed("faults")

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
            self.is_disabled = False
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
