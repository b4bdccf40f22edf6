"""Pingdom's state change webhook, of uptime and transaction checks. https://www.pingdom.com/resources/webhooks/"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    long,
    moment,
    object_at,
    severity_of,
    short,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import environment_in, labels_of, status_in, tags_in, when
from bot.errors import Unreadable

SETUP = """\
# Settings > Integrations > Add integration > Webhook. It sends no headers of yours, so the token stands in the address:
# URL: {url}?token={secret}
# Then tick the integration on every check that should tell the bot.
# A check's tags tell more: service:shop, env:production. Its importance is the alert's severity.
"""
STATUSES = {
    "DOWN": Status.FIRING,
    "FAILING": Status.FIRING,
    "UP": Status.RESOLVED,
    "SUCCESS": Status.RESOLVED,
    "UNCONFIRMED_DOWN": Status.INFO,
    "UNKNOWN": Status.INFO,
    "PAUSED": Status.INFO,
}


class Pingdom(signatures.ByToken):
    """A check that changed its state. Older integrations tell no importance: then the severity is unknown."""

    name = "pingdom"
    title = "Pingdom"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A check that went down, and up again."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none; each change has its time in the body."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one check."""
        body = json_object(delivery.body)
        params = object_at(body.get("check_params"), "check_params")
        for name in ("check_id", "current_state"):
            if not first(body.get(name)):
                raise Unreadable(f"{name}: missing")
        return Reading(alerts=(_alert(body, params, delivery.received_at),))


def _alert(body: Mapping[str, Any], params: Mapping[str, Any], received_at: datetime) -> Alert:
    word, name = first(body.get("current_state")), first(body.get("check_name"))
    is_test = _is_test(body)
    status, guessed = (Status.INFO, ()) if is_test else status_in(STATUSES, word.upper())
    changed_at = moment(body.get("state_changed_timestamp")) or moment(body.get("state_changed_utc_time"))
    started_at, ended_at, filled = when(status, changed_at, received_at)
    kind, importance = first(body.get("check_type")), first(body.get("importance_level"))
    labels = labels_of(tags_in(body.get("tags")))
    return Alert(
        source="pingdom",
        identity="test" if is_test else first(body.get("check_id"))[:300],
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=status,
        title=short(name or "A check without a name"),
        severity=Severity.INFO if is_test else severity_of(importance),
        description=_description(body),
        service=first_label(labels, SERVICE_LABELS) or first(params.get("hostname")) or None,
        environment=environment_in(labels),
        labels={"check_type": kind, **labels} if kind else labels,
        url=web_url(params.get("full_url")) or web_url(params.get("url")),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=word,
        source_severity=importance or None,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        attributes={key: value for key, value in body.items() if key not in ("tags", "long_description", "custom_message")},
    )


def _is_test(body: Mapping[str, Any]) -> bool:
    """The sample of its documentation, which people send to try an address."""
    return first(body.get("check_id")) == "12345" and first(body.get("check_name")).startswith("Name of ")


def _description(body: Mapping[str, Any]) -> str:
    """What went wrong, and below it what the team wrote for its colleagues into the check."""
    parts = (first(body.get("long_description"), body.get("description")), first(body.get("custom_message")))
    return long("\n".join(part for part in parts if part))


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING

    def build(now: datetime) -> Mapping[str, object]:
        return {
            "version": 1,
            "check_id": 7310442,
            "check_name": "Sign-in page",
            "check_type": "HTTP",
            "check_params": {
                "hostname": "accounts.example.com",
                "full_url": "https://accounts.example.com/sign-in",
                "url": "/sign-in",
                "port": 443,
                "encryption": True,
            },
            "tags": ["service:accounts", "env:production"],
            "previous_state": "UP" if is_down else "DOWN",
            "current_state": "DOWN" if is_down else "UP",
            "importance_level": "HIGH",
            "state_changed_timestamp": int(now.timestamp()),
            "state_changed_utc_time": now.strftime("%Y-%m-%dT%H:%M:%S"),
            "description": "HTTP Error 502" if is_down else "OK",
            "long_description": "The server answered 502 Bad Gateway to two probes" if is_down else "OK",
            "first_probe": {"ip": "192.0.2.40", "ipv6": "", "location": "Oslo, Norway"},
            "second_probe": {"ip": "192.0.2.41", "ipv6": "", "location": "Porto, Portugal"} if is_down else {},
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("sign-in-down", "The sign-in page answers 502", Status.FIRING),
    _example("sign-in-down-resolved", "The sign-in page is up again", Status.RESOLVED),
)

SOURCE = Pingdom()
