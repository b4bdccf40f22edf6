"""Freshping's webhook integration (Freshworks)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import first, json_object, long, moment, object_at, short, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import status_in, when
from bot.errors import Unreadable

SETUP = """\
# Settings > Integrations > Webhook. It sends no headers of yours, so the token stands in the address:
# Callback URL: {url}?token={secret}
# Event type: Up and down alerts. Choose the checks that should tell the bot.
"""
STATUSES = {
    "available": Status.RESOLVED,
    "reporting error": Status.FIRING,
    "not responding": Status.FIRING,
    "paused": Status.INFO,
}
TEST = "Webhook test"
"""The application that the Test button makes up."""


class Freshping(signatures.ByToken):
    """A check that reports an error, does not respond, or is available again. Each event has a number of its own."""

    name = "freshping"
    title = "Freshping"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A check that reports an error, and is available again."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """The event's number. One without is told from others by when it came, or no other like it would ever be read."""
        try:
            given = json_object(delivery.body).get("webhook_event_id")
        except Unreadable:
            given = None
        number = first(given) if isinstance(given, int | str) else ""
        return number[:128] or f"{signatures.content_id(delivery)}@{delivery.received_at.timestamp():.6f}"

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one check."""
        body = json_object(delivery.body)
        event = object_at(body.get("webhook_event_data"), "webhook_event_data")
        for name in ("check_id", "check_state_name"):
            if not first(event.get(name)):
                raise Unreadable(f"webhook_event_data.{name}: missing")
        return Reading(alerts=(_alert(body, event, delivery.received_at),))


def _alert(body: Mapping[str, Any], event: Mapping[str, Any], received_at: datetime) -> Alert:
    word, name = first(event.get("check_state_name")), first(event.get("check_name"))
    number, application = first(event.get("check_id")), first(event.get("application_name"))
    is_test = application == TEST
    status, guessed = (Status.INFO, ()) if is_test else status_in(STATUSES, word.lower())
    changed_at = moment(event.get("request_start_time")) or moment(body.get("webhook_event_created_on"))
    started_at, ended_at, filled = when(status, changed_at, received_at)
    url = first(event.get("request_url"))
    labels = {"application_name": application, "organization_name": first(body.get("organization_name"))}
    return Alert(
        source="freshping",
        identity="test" if is_test else number[:300],
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=status,
        title=short(name or url or f"Check {number}"),
        severity=Severity.INFO if is_test else Severity.HIGH,
        description=_description(word, event),
        service=url or None,
        labels={key: value for key, value in labels.items() if value},
        url=web_url(url),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=word,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        attributes=dict(body),
    )


def _description(word: str, event: Mapping[str, Any]) -> str:
    code, took = first(event.get("http_status_code")), first(event.get("response_time"))
    parts = (word, f"HTTP status {code}" if code else "", f"after {took} ms" if took else "")
    return long(", ".join(part for part in parts if part))


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING

    def build(now: datetime) -> Mapping[str, object]:
        return {
            "organization_name": "Example",
            "organization_id": 4021,
            "webhook_id": 77,
            "webhook_type": "AL",
            "webhook_event_id": int(now.timestamp() * 1000),
            "webhook_event_created_on": now.isoformat(),
            "webhook_event_data": {
                "check_id": 90210,
                "check_name": "Invoices",
                "check_state_name": "Reporting Error" if is_down else "Available",
                "application_id": 311,
                "application_name": "Billing",
                "request_url": "https://invoices.example.com",
                "request_start_time": now.isoformat(),
                "http_status_code": 500 if is_down else 200,
                "response_time": 912 if is_down else 143,
            },
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("invoices-error", "Invoices answers 500", Status.FIRING),
    _example("invoices-error-resolved", "Invoices is available again", Status.RESOLVED),
)

SOURCE = Freshping()
