"""PagerDuty's webhooks v3: what happened to its incidents, ours and others. https://developer.pagerduty.com/docs/webhooks-overview"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    first,
    json_object,
    list_at,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, PagerReport, Reading
from bot.errors import Unreadable, Unverified

SETUP = """\
# In PagerDuty: Integrations > Generic Webhooks (v3) > New Webhook
#   URL       {url}
#   Scope     the account, or the services that Firstfive pages
#   Events    every incident.* event
# The secret is shown once; put it into HOOK_SECRETS as pagerduty/main=SECRET
# (while it is being replaced: pagerduty/main=OLD,NEW).
"""
STATUSES = {
    "triggered": Status.FIRING,
    "unacknowledged": Status.FIRING,
    "reopened": Status.FIRING,
    "escalated": Status.FIRING,
    "acknowledged": Status.ACKNOWLEDGED,
    "resolved": Status.RESOLVED,
}
ALSO_KNOWN = (
    "action_invocation", "annotated", "conference_bridge", "custom_field_values", "delegated", "incident_type", "priority_updated",
    "reassigned", "responder", "role", "service_updated", "status_update_published", "task", "workflow",
)  # fmt: skip
"""What else it tells of an incident, by what stands before a dot in the event's type: `incident.responder.replied`."""
OLD = {"incident.trigger": "triggered", "incident.acknowledge": "acknowledged", "incident.resolve": "resolved"}


class PagerDuty:
    """One event a request. Never answered with 4xx once it is signed: PagerDuty would switch the webhook off."""

    name = "pagerduty"
    title = "PagerDuty"
    setup = SETUP
    identity_window_seconds: int | None = None
    limited_status = 429
    """The one 4xx after which it tries again, and which does not count towards switching its webhook off."""

    @property
    def examples(self) -> Sequence[Example]:
        """An incident of another team, triggered, acknowledged and resolved."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """`v1=HEX`, several while a secret is being replaced: one that fits is enough."""
        signatures.require(secrets, delivery, self.name)
        header = delivery.headers.get("x-pagerduty-signature", "")
        given = [part.strip().removeprefix("v1=") for part in header.split(",") if part.strip().startswith("v1=")]
        if not given:
            raise Unverified("no signature; the header X-PagerDuty-Signature is missing or has no v1= in it")
        message = delivery.body
        if not any(
            signatures.same(one.encode("latin-1", errors="replace"), signatures.hex_hmac(secret, message))
            for one in given
            for secret in secrets
        ):
            raise Unverified("the signature in X-PagerDuty-Signature does not fit; compare the webhook's secret with HOOK_SECRETS")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature, and the id that it gives each delivery."""
        return {
            "X-PagerDuty-Signature": f"v1={signatures.hex_hmac(secret, body)}",
            "X-Webhook-Id": signatures.hex_hmac(secret, body + str(now.timestamp()).encode())[:32],
        }

    def delivery_id(self, delivery: Delivery) -> str:
        """X-Webhook-Id, the same for each attempt; its event's id where that is missing."""
        given = delivery.headers.get("x-webhook-id", "").strip()
        return given[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The event as a report on one of our pages, and as news of an incident."""
        body = json_object(delivery.body)
        if "event" not in body and "messages" in body:
            return _old(body, delivery)
        if "event" not in body:
            raise Unreadable("event: missing; is this a webhook of version 3?")
        event = object_at(body["event"], "event")
        type_ = first(event.get("event_type"))
        if type_ == "pagey.ping":
            return Reading(ignored="a ping; the webhook works")
        if not type_.startswith("incident."):
            return Reading(ignored=f"{type_ or 'an event without a type'} is no news of an incident")
        return _incident_event(event, type_.removeprefix("incident."), delivery)


def _incident_event(event: Mapping[str, Any], kind: str, delivery: Delivery) -> Reading:
    data = event.get("data")
    data = object_at(data, "event.data") if not isinstance(data, list) else {}
    about = object_at(data.get("incident"), "event.data.incident") if "incident" in data else data
    at = moment(event.get("occurred_at")) or delivery.received_at
    pager_id = first(about.get("id"))
    report = _report(event, data, about, kind, at) if pager_id else None
    alert = _alert(event, data, about, kind, at, delivery)
    is_known = kind in STATUSES or kind.partition(".")[0] in ALSO_KNOWN
    ignored = "" if is_known else f"incident.{short(kind, 100)} is an event that is not known here"
    return Reading(alerts=(alert,), pager=(report,) if report else (), ignored=ignored)


def _report(event: Mapping[str, Any], data: Mapping[str, Any], about: Mapping[str, Any], kind: str, at: datetime) -> PagerReport:
    agent = object_at(event.get("agent"), "event.agent")
    is_human = text_of(agent.get("type")).startswith("user")
    return PagerReport(
        kind=kind,
        at=at,
        pager_id=first(about.get("id")),
        key=first(about.get("incident_key")) or None,
        person=first(agent.get("id")) or None if is_human else None,
        person_name=first(agent.get("summary")) or None,
        assignees=_people(data.get("assignees")),
        url=web_url(about.get("html_url")),
        policy=first(object_at(data.get("escalation_policy"), "event.data.escalation_policy").get("id")) or None,
        text=first(data.get("content"), data.get("message")),
        is_human=is_human,
    )


def _people(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        return ()
    given = [one for one in value if isinstance(one, dict)]
    return tuple((first(one.get("id")), first(one.get("summary"))) for one in given if one.get("id"))


def _alert(
    event: Mapping[str, Any], data: Mapping[str, Any], about: Mapping[str, Any], kind: str, at: datetime,
    delivery: Delivery,
) -> Alert:  # fmt: skip
    status = STATUSES.get(kind, Status.INFO)
    severity, word = _severity(data)
    started_at = moment(data.get("created_at"))
    service = object_at(data.get("service"), "event.data.service")
    return Alert(
        source="pagerduty",
        identity=first(about.get("id"), event.get("id")) or "unknown",
        kind=Kind.INCIDENT_UPDATE,
        status=status,
        title=short(first(data.get("title"), about.get("summary"), f"PagerDuty: {kind.replace('_', ' ')}")),
        severity=severity,
        description=first(data.get("content"), data.get("message")),
        service=first(service.get("summary")) or None,
        url=web_url(about.get("html_url")),
        started_at=started_at or at,
        ended_at=at if status is Status.RESOLVED else None,
        occurrence=first(event.get("id")) or None,
        source_status=kind,
        source_severity=word or None,
        defaults=() if started_at else ("started_at",),
        attributes={"event": dict(event)},
    )


def _severity(data: Mapping[str, Any]) -> tuple[Severity, str]:
    """P1 to P5 where the account has priorities, else its two urgencies."""
    priority = first(object_at(data.get("priority"), "event.data.priority").get("summary"))
    if priority:
        return severity_of(priority), priority
    urgency = first(data.get("urgency"))
    return (severity_of(urgency), urgency) if urgency in ("high", "low") else (Severity.UNKNOWN, "")


def _old(body: Mapping[str, Any], delivery: Delivery) -> Reading:
    """Version 2, which PagerDuty ended: read for what it says, but it carries nothing we can trust as a report."""
    alerts = []
    for index, one in enumerate(list_at(body["messages"], "messages")):
        message = object_at(one, f"messages[{index}]")
        kind = OLD.get(first(message.get("event")), "")
        incident = object_at(message.get("incident"), f"messages[{index}].incident")
        alerts.append(_alert(message, incident, incident, kind, delivery.received_at, delivery))
    return Reading(alerts=tuple(alerts), ignored="webhooks of version 2 report no acknowledgement; make one of version 3")


USER = {"id": "PUDEMO1", "type": "user_reference", "summary": "Robin Example"}


def _example(kind: str, status: Status) -> Example:
    title = "Mail queue of the office is stuck"

    def build(now: datetime) -> Mapping[str, object]:
        at = now.replace(microsecond=0)
        return {
            "event": {
                "id": f"01DEMO{int(at.timestamp())}",
                "event_type": f"incident.{kind}",
                "resource_type": "incident",
                "occurred_at": at.isoformat(),
                "agent": USER,
                "client": None,
                "data": {
                    "id": "PDEMO42",
                    "type": "incident",
                    "html_url": "https://example.pagerduty.com/incidents/PDEMO42",
                    "number": 42,
                    "status": "triggered" if kind == "triggered" else kind,
                    "incident_key": "office-mail",
                    "created_at": (at - timedelta(minutes=3)).isoformat(),
                    "title": title,
                    "service": {"id": "PSDEMO1", "type": "service_reference", "summary": "Office IT"},
                    "assignees": [USER],
                    "priority": None,
                    "urgency": "high",
                },
            }
        }

    return Example(f"other-team-{kind}", f"{title} ({kind})", status, build)


EXAMPLES = (
    _example("triggered", Status.FIRING),
    _example("acknowledged", Status.ACKNOWLEDGED),
    _example("resolved", Status.RESOLVED),
)

SOURCE = PagerDuty()
