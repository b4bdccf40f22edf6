"""Opsgenie's outgoing webhook integration: one action on one alert a request.

https://support.atlassian.com/opsgenie/docs/integrate-opsgenie-with-outgoing-webhooks/
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    long,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    texts_at,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# In Opsgenie: Settings > Integrations > Add integration > Webhook
#   Webhook URL     {url}
#   Custom header   Authorization: Bearer {secret}
#   Alert actions   create, acknowledge, unacknowledge, snooze, priority update, escalate, close and delete
#   Add alert description and Add alert details to payload: on (Opsgenie sends them with Create only)
"""
STATUSES = {
    "create": Status.FIRING,
    "unacknowledge": Status.FIRING,
    "escalate": Status.FIRING,
    "escalatetonext": Status.FIRING,
    "updatepriority": Status.FIRING,
    "snoozeended": Status.FIRING,
    "acknowledge": Status.ACKNOWLEDGED,
    "snooze": Status.SUPPRESSED,
    "close": Status.RESOLVED,
    "delete": Status.RESOLVED,
}
"""What an action says of its alert; any other (a note, a tag, an owner, one of your own) leaves it as it was."""
READ = frozenset({"message", "description", "details", "tags", "priority", "entity", "createdAt", "note"})


class Opsgenie(signatures.ByToken):
    """What people and rules did to an alert of Opsgenie: created, acknowledged, escalated, closed.

    Notes, tags, owners and custom actions are recorded and change nothing.
    """

    name = "opsgenie"
    title = "Opsgenie"
    setup = SETUP
    # The body has the time of the change in it: the same body is the same delivery, sent again.
    identity_window_seconds: int | None = 300

    @property
    def examples(self) -> Sequence[Example]:
        """An alert created, acknowledged and closed."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The alert, as its action leaves it."""
        body = json_object(delivery.body)
        action = first(body.get("action"))
        if not action:
            raise Unreadable("action: missing; is this an outgoing webhook of Opsgenie?")
        return Reading(alerts=(_alert(body, action, delivery),))


def _alert(body: Mapping[str, Any], action: str, delivery: Delivery) -> Alert:
    about = object_at(body.get("alert"), "alert")
    identity = first(about.get("alertId"), about.get("alias"), about.get("tinyId"))
    if not identity:
        raise Unreadable("alert.alertId: missing")
    status = STATUSES.get(action.lower(), Status.INFO)
    labels = {**_tags(about.get("tags")), **texts_at(about.get("details"), "alert.details")}
    priority = text_of(about.get("priority"))
    title = first(about.get("message"))
    started_at, ended_at, defaults = _when(about, status, delivery.received_at)
    if not title:
        # An escalation tells no more than the alert's id.
        title, defaults = f"Opsgenie alert {first(about.get('tinyId')) or identity}", ("title", *defaults)
    return Alert(
        source="opsgenie",
        identity=identity,
        status=status,
        title=short(title),
        severity=_severity(priority),
        description=long(first(about.get("description"))),
        service=first(about.get("entity")) or first_label(labels, SERVICE_LABELS),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        annotations={"note": long(first(about.get("note")))} if first(about.get("note")) else {},
        started_at=started_at,
        ended_at=ended_at,
        changed_at=moment(about.get("updatedAt")),
        source_status=action,
        source_severity=priority or None,
        defaults=defaults,
        attributes={**body, "alert": {name: value for name, value in about.items() if name not in READ}},
    )


def _severity(priority: str) -> Severity:
    """P1 to P5; an old Opsgenie writes the number alone."""
    return severity_of(f"P{priority}" if priority.isdigit() else priority)


def _tags(value: Any) -> dict[str, str]:
    """`name:value`, or a word that is there."""
    if not isinstance(value, list):
        return {}
    pairs = (text_of(one).partition(":") for one in value)
    return {name.strip(): rest.strip() or "true" for name, _, rest in pairs if name.strip()}


def _when(about: Mapping[str, Any], status: Status, received_at: datetime) -> tuple[datetime, datetime | None, tuple[str, ...]]:
    """Its start in milliseconds; the time of the last change in something like nanoseconds."""
    started_at = moment(about.get("createdAt"))
    defaults = () if started_at else ("started_at",)
    if status is not Status.RESOLVED:
        return started_at or received_at, None, defaults
    ended_at = moment(about.get("updatedAt"))
    return started_at or received_at, ended_at or received_at, defaults if ended_at else (*defaults, "ended_at")


def _example(name: str, title: str, action: str) -> Example:
    status = STATUSES[action.lower()]

    def build(now: datetime) -> Mapping[str, object]:
        started = now.replace(microsecond=0) - timedelta(minutes=0 if status is Status.FIRING else 9)
        described = {"description": "Orders wait for more than ten minutes.", "details": {"environment": "production"}}
        return {
            "action": action,
            "alert": {
                "alertId": "0f7c1c7e-55a3-4d43-9c3f-6b0d5f3a2e11-1722500000000",
                "tinyId": "418",
                "alias": "order-queue-depth",
                "message": "Order queue at 12 000 and growing",
                "entity": "orders",
                "source": "queue-watch",
                "priority": "P2",
                "tags": ["team:fulfilment", "queue"],
                "createdAt": int(started.timestamp() * 1000),
                "updatedAt": int(now.timestamp() * 1000) * 1_000_000 + 17,
                "username": "ana@example.com",
                **(described if action == "Create" else {}),
            },
            "source": {"name": "web", "type": "API"},
            "integrationId": "5d1f0d9e-3b67-4b52-8a86-a3c57b1e0a90",
            "integrationName": "Firstfive",
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("order-queue", "Order queue at 12 000", "Create"),
    _example("order-queue-acknowledged", "Order queue acknowledged", "Acknowledge"),
    _example("order-queue-closed", "Order queue closed", "Close"),
)

SOURCE = Opsgenie()
