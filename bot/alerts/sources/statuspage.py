"""Atlassian Statuspage: what a vendor says of its incidents and components.

https://support.atlassian.com/statuspage/docs/enable-webhook-notifications/
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import first, json_object, links_from, long, moment, object_at, short, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# On the vendor's status page: Subscribe to updates > Webhook
#   {url}?token={secret}
# Then choose the components that you depend on. Use a route of its own for each vendor, and let a policy's route
# name the service of yours that depends on it.
"""
INCIDENTS = {
    "investigating": Status.FIRING,
    "identified": Status.FIRING,
    "monitoring": Status.FIRING,
    "resolved": Status.RESOLVED,
    "postmortem": Status.RESOLVED,
    "scheduled": Status.INFO,
    "in_progress": Status.INFO,
    "verifying": Status.INFO,
    "completed": Status.RESOLVED,
}
IMPACTS = {
    "critical": Severity.CRITICAL,
    "major": Severity.HIGH,
    "minor": Severity.MEDIUM,
    "none": Severity.INFO,
    "maintenance": Severity.INFO,
}
COMPONENTS = {
    "operational": (Status.RESOLVED, Severity.UNKNOWN),
    "degraded_performance": (Status.FIRING, Severity.MEDIUM),
    "partial_outage": (Status.FIRING, Severity.HIGH),
    "major_outage": (Status.FIRING, Severity.CRITICAL),
    "under_maintenance": (Status.INFO, Severity.UNKNOWN),
}
READ = frozenset({"name", "shortlink", "description"})


class Statuspage(signatures.ByToken):
    """An incident on a vendor's status page, or a component of it that changed. Planned maintenance pages nobody."""

    name = "statuspage"
    title = "Statuspage"
    setup = SETUP
    # Every update has its time in it: the same body is the same update, sent again.
    identity_window_seconds: int | None = 300

    @property
    def examples(self) -> Sequence[Example]:
        """An incident and its end, and a component that is out and back."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The incident or the component."""
        body = json_object(delivery.body)
        page = object_at(body.get("page"), "page")
        if body.get("incident") is not None:
            incident = object_at(body["incident"], "incident")
            return Reading(alerts=(_incident(incident, page, body, delivery),))
        if body.get("component") is not None:
            component = object_at(body["component"], "component")
            return Reading(alerts=(_component(component, page, body, delivery),))
        raise Unreadable("incident: missing, and no component either; is this a webhook of Statuspage?")


def _incident(incident: Mapping[str, Any], page: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery) -> Alert:
    identity = first(incident.get("id"))
    if not identity:
        raise Unreadable("incident.id: missing")
    word, impact = first(incident.get("status")).lower(), first(incident.get("impact")).lower()
    started_at = moment(incident.get("started_at")) or moment(incident.get("scheduled_for")) or moment(incident.get("created_at"))
    ended_at = moment(incident.get("resolved_at")) or moment(incident.get("updated_at"))
    status = INCIDENTS.get(word)
    if status is Status.FIRING and impact == "maintenance":
        status = Status.INFO
    is_over = status is Status.RESOLVED
    title = first(incident.get("name"))
    missing = {
        "title": not title,
        "status": status is None,
        "started_at": started_at is None,
        "ended_at": is_over and ended_at is None,
    }
    components = _components(incident)
    return Alert(
        source="statuspage",
        identity=f"incident/{identity}",
        status=status or Status.FIRING,
        title=short(title or "An incident without a name"),
        severity=IMPACTS.get(impact, Severity.UNKNOWN),
        description=long(_latest(incident)),
        # Of several components none is more to blame than the others.
        service=components[0] if len(components) == 1 else None,
        labels=_labels(page, impact=impact, components=", ".join(components)),
        url=web_url(incident.get("shortlink")) or web_url(page.get("url")),
        links=links_from([("source", page.get("url"), "Status page")]),
        started_at=started_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if is_over else None,
        # Not its start: an incident may be opened again after it was resolved.
        changed_at=ended_at if is_over else moment(incident.get("updated_at")),
        group_key=first(page.get("id")) or None,
        source_status=word or None,
        source_severity=impact or None,
        defaults=tuple(name for name, is_missing in missing.items() if is_missing),
        attributes={**body, "incident": {name: value for name, value in incident.items() if name not in READ}},
    )


def _component(component: Mapping[str, Any], page: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery) -> Alert:
    update = object_at(body.get("component_update"), "component_update")
    identity = first(component.get("id"), update.get("component_id"))
    if not identity:
        raise Unreadable("component.id: missing")
    word = first(update.get("new_status"), component.get("status")).lower()
    status, severity = COMPONENTS.get(word, (None, Severity.UNKNOWN))
    at = moment(update.get("created_at")) or moment(component.get("updated_at"))
    is_over = status is Status.RESOLVED
    name = first(component.get("name"))
    missing = {
        "title": not name,
        "status": status is None,
        # What was bad and is worse did not begin now.
        "started_at": at is None or (not is_over and _is_bad(first(update.get("old_status")))),
        "ended_at": is_over and at is None,
    }
    return Alert(
        source="statuspage",
        identity=f"component/{identity}",
        status=status or Status.FIRING,
        title=short(f"{name or 'A component'}: {word.replace('_', ' ') or 'changed'}"),
        severity=severity,
        description=long(first(component.get("description"))),
        service=name or None,
        labels=_labels(page, components=name),
        url=web_url(page.get("url")),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if is_over else None,
        changed_at=at,
        group_key=first(page.get("id")) or None,
        source_status=word or None,
        defaults=tuple(field for field, is_missing in missing.items() if is_missing),
        attributes={**body, "component": {field: value for field, value in component.items() if field not in READ}},
    )


def _is_bad(word: str) -> bool:
    return COMPONENTS.get(word.lower(), (None,))[0] is Status.FIRING


def _labels(page: Mapping[str, Any], **more: str) -> dict[str, str]:
    """What a policy may match on: the page, the impact, the components."""
    labels = {"page": first(page.get("id")), **more}
    return {name: value for name, value in labels.items() if value}


def _components(incident: Mapping[str, Any]) -> list[str]:
    given = incident.get("components")
    names = (first(one.get("name")) for one in given if isinstance(one, dict)) if isinstance(given, list) else iter(())
    return [name for name in names if name]


def _latest(incident: Mapping[str, Any]) -> str:
    """What the vendor wrote last; the newest update comes first."""
    given = incident.get("incident_updates")
    bodies = (first(one.get("body")) for one in given if isinstance(one, dict)) if isinstance(given, list) else iter(())
    return next(bodies, "")


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


PAGE = {
    "id": "9q2mailpage",
    "status_indicator": "major",
    "status_description": "Partial System Outage",
    "url": "https://status.mailer.example.com",
}


def _incident_example(name: str, title: str, word: str) -> Example:
    status = INCIDENTS[word]

    def build(now: datetime) -> Mapping[str, object]:
        is_over = status is Status.RESOLVED
        said = "Deliveries are back to normal." if is_over else "Deliveries are delayed by up to an hour. We look into it."
        started = now - timedelta(minutes=47 if is_over else 0)
        return {
            "meta": {"generated_at": _written(now)},
            "page": PAGE,
            "incident": {
                "id": "k3m8delay",
                "name": "Delayed deliveries in Europe",
                "status": word,
                "impact": "major",
                "created_at": _written(started),
                "updated_at": _written(now),
                "resolved_at": _written(now) if is_over else None,
                "shortlink": "https://status.mailer.example.com/incidents/k3m8delay",
                "incident_updates": [{"id": "u1", "status": word, "body": said, "created_at": _written(now)}],
                "components": [{"id": "c-smtp", "name": "SMTP Europe", "status": "degraded_performance"}],
            },
        }

    return Example(name, title, status, build)


def _component_example(name: str, title: str, old: str, new: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {
            "meta": {"generated_at": _written(now)},
            "page": PAGE,
            "component": {"id": "c-smtp", "name": "SMTP Europe", "status": new, "created_at": "2024-02-01T09:00:00.000Z"},
            "component_update": {
                "id": f"cu-{new}",
                "component_id": "c-smtp",
                "old_status": old,
                "new_status": new,
                "created_at": _written(now),
            },
        }

    return Example(name, title, COMPONENTS[new][0], build)


EXAMPLES = (
    _incident_example("mailer-delays", "A vendor delivers late", "investigating"),
    _incident_example("mailer-delays-resolved", "A vendor delivers again", "resolved"),
    _component_example("mailer-component", "A vendor's component is out", "operational", "major_outage"),
    _component_example("mailer-component-back", "A vendor's component is back", "major_outage", "operational"),
)

SOURCE = Statuspage()
