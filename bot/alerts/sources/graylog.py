"""Graylog's HTTP notifications (3.1 and later), and the alarm callbacks of streams before.

https://go2docs.graylog.org/current/interacting_with_your_log_data/notifications.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first_label,
    json_object,
    links_from,
    long,
    moment,
    object_at,
    short,
    text_of,
    texts_at,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.kibana import said
from bot.errors import Unreadable

PRIORITIES = {"0": Severity.INFO, "1": Severity.LOW, "2": Severity.MEDIUM, "3": Severity.HIGH, "4": Severity.CRITICAL}
"""An event definition's priority: low, normal and high; since Graylog 6 also info and critical."""
TEST_TYPES = ("test-dummy-v1", "notification-test-v1")
"""The types of the event definition and of the event that "Execute Test Notification" makes up."""
TOP = frozenset({"event", "event_definition_title", "event_definition_description", "remediation_steps"})
SETUP = """\
# Alerts > Notifications > Create: type HTTP Notification; the address has to be on the URL allow list.
URL: {url}
API Key: token          # sent as ?token=…
API Secret: {secret}
# Then add the notification to each event definition. Its key fields tell one alert from another: set them to what breaks
# by itself, such as service or source. A custom body (Custom HTTP Notification) is not read: leave the template empty.
"""


class Graylog(signatures.ByToken):
    """Each event of an event definition; its priority is the severity. Graylog never says that something is over: close the
    incident by hand.
    """

    name = "graylog"
    title = "Graylog"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """An event, and the notification's own test."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """The event's id. A test has always the same, and a stream's alarm none: their bodies have their time in them."""
        try:
            body = json_object(delivery.body)
            event = object_at(body.get("event"), "event")
        except Unreadable:
            return signatures.content_id(delivery)
        own = "" if _is_test(body, event) else text_of(event.get("id"))
        return own[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one event, or the one alarm of a stream."""
        body = json_object(delivery.body)
        if "event" in body:
            return Reading(alerts=(_event(body, object_at(body["event"], "event"), delivery),))
        if "check_result" in body:
            return Reading(alerts=(_alarm(body, delivery),))
        raise Unreadable("event: missing; a custom body cannot be read, leave the notification's template empty")


def _is_test(body: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    return any(text_of(one.get("event_definition_type")) in TEST_TYPES for one in (body, event))


def _event(body: Mapping[str, Any], event: Mapping[str, Any], delivery: Delivery) -> Alert:
    definition = said(body.get("event_definition_id"), event.get("event_definition_id"))
    title = said(body.get("event_definition_title"), event.get("message"))
    if not definition and not title:
        raise Unreadable("event_definition_id: missing; an event belongs to a definition")
    labels = {**texts_at(event.get("fields"), "event.fields"), **texts_at(event.get("group_by_fields"), "event.group_by_fields")}
    steps, priority = said(body.get("remediation_steps")), text_of(event.get("priority"))
    at = moment(event.get("timestamp"))
    return Alert(
        source="graylog",
        identity=f"{definition or title}/{_key(event)}"[:500],
        kind=Kind.TEST if _is_test(body, event) else Kind.ALERT,
        status=Status.FIRING,
        title=short(title or "An event without a title"),
        severity=PRIORITIES.get(priority, Severity.UNKNOWN),
        description=long(said(event.get("message"))),
        service=first_label(labels, SERVICE_LABELS),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        annotations=_annotations(description=said(body.get("event_definition_description")), remediation_steps=steps),
        links=links_from([("runbook", steps, "Remediation"), ("source", labels.get("url"), "Source")]),
        started_at=at or delivery.received_at,
        occurrence=text_of(event.get("id")) or None,
        source_severity=priority or None,
        # When it happened that time: taken for its start, each report would be a new one.
        defaults=("started_at",) if title else ("started_at", "title"),
        attributes={
            **{key: value for key, value in body.items() if key not in TOP},
            "event": {key: value for key, value in event.items() if key not in ("fields", "group_by_fields")},
        },
    )


def _key(event: Mapping[str, Any]) -> str:
    """What tells the alerts of one definition apart: its key fields, or else what it is grouped by."""
    parts = event.get("key_tuple")
    if isinstance(parts, list) and parts:
        return "|".join(map(text_of, parts))
    groups = texts_at(event.get("group_by_fields"), "event.group_by_fields")
    return text_of(event.get("key")) or "|".join(f"{name}={value}" for name, value in sorted(groups.items()))


def _alarm(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    """A stream's alarm, of Graylog 1 to 3.0."""
    result, stream = object_at(body.get("check_result"), "check_result"), object_at(body.get("stream"), "stream")
    condition = object_at(result.get("triggered_condition"), "check_result.triggered_condition")
    at = moment(result.get("triggered_at"))
    name = said(condition.get("title"), stream.get("title"))
    return Alert(
        source="graylog",
        identity=f"stream/{text_of(stream.get('id'))}/{text_of(condition.get('id'))}"[:500],
        status=Status.FIRING,
        title=short(name or "A stream without a title"),
        description=long(said(result.get("result_description"))),
        annotations=_annotations(description=said(stream.get("description"))),
        started_at=at or delivery.received_at,
        defaults=("started_at",) if name else ("started_at", "title"),
        attributes=dict(body),
    )


def _annotations(**texts: str) -> dict[str, str]:
    return {name: long(text) for name, text in texts.items() if text}


def _example(name: str, title: str, message: str, kind: str = "aggregation-v1") -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        at = (now - timedelta(seconds=15)).isoformat(timespec="milliseconds")
        return {
            "event_definition_id": f"definition-of-{name}",
            "event_definition_type": kind,
            "event_definition_title": title,
            "event_definition_description": "More refused cards than on any usual day.",
            "remediation_steps": "https://wiki.example.com/payments/refused-cards",
            "job_definition_id": "5f0c1c2d3e4f",
            "job_trigger_id": "5f0c1c2d3e50",
            "event": {
                "id": f"01J{name.upper()}{int(now.timestamp())}",
                "event_definition_type": "aggregation-v1",
                "event_definition_id": f"definition-of-{name}",
                "timestamp": at,
                "timestamp_processing": at,
                "streams": [],
                "source_streams": ["000000000000000000000001"],
                "message": message,
                "source": "graylog.example.com",
                "key_tuple": ["payments"],
                "key": "payments",
                "priority": 3,
                "alert": True,
                "fields": {"service": "payments", "environment": "production"},
                "group_by_fields": {},
            },
            "backlog": [],
        }

    return Example(name, title, Status.FIRING, build)


EXAMPLES = (
    _example("refused-cards", "Refused cards", "Refused cards: count()=212.0"),
    _example("notification-test", "A notification to try", "Somebody pressed the button.", TEST_TYPES[0]),
)

SOURCE = Graylog()
