"""Datadog's webhooks integration: our payload template, and the default one. https://docs.datadoghq.com/integrations/webhooks/

The body is whatever the template says; a variable that has no value arrives as its own name, `$HOSTNAME`, or as "null".
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    form_of,
    is_form,
    json_object,
    label_hash,
    links_from,
    long,
    moment,
    severity_of,
    short,
    tags_at,
    text_of,
    web_url,
)
from bot.alerts.source import FORM, Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# Integrations > Webhooks > New
#   Name             firstfive
#   URL              {url}
#   Encode as form   off
#   Custom headers
{{"Authorization": "Bearer {secret}"}}
#   Payload
{{
  "alert_id": "$ALERT_ID", "alert_cycle_key": "$ALERT_CYCLE_KEY", "aggreg_key": "$AGGREG_KEY",
  "alert_transition": "$ALERT_TRANSITION", "alert_type": "$ALERT_TYPE", "alert_priority": "$ALERT_PRIORITY",
  "alert_title": "$ALERT_TITLE", "alert_status": "$ALERT_STATUS", "alert_scope": "$ALERT_SCOPE",
  "alert_metric": "$ALERT_METRIC", "alert_query": "$ALERT_QUERY",
  "event_id": "$ID", "event_type": "$EVENT_TYPE", "title": "$EVENT_TITLE", "body": "$TEXT_ONLY_MSG",
  "date": "$DATE", "last_updated": "$LAST_UPDATED", "link": "$LINK", "snapshot": "$SNAPSHOT",
  "hostname": "$HOSTNAME", "tags": "$TAGS", "user": "$USER", "org_id": "$ORG_ID", "org_name": "$ORG_NAME",
  "incident_uuid": "$INCIDENT_UUID", "incident_public_id": "$INCIDENT_PUBLIC_ID", "incident_title": "$INCIDENT_TITLE",
  "incident_severity": "$INCIDENT_SEVERITY", "incident_status": "$INCIDENT_STATUS", "incident_url": "$INCIDENT_URL"
}}
# Then put @webhook-firstfive into the message of each monitor that may page.
"""
TRANSITIONS = {
    "triggered": Status.FIRING,
    "re-triggered": Status.FIRING,
    "warn": Status.FIRING,
    "re-warn": Status.FIRING,
    "no data": Status.FIRING,
    "re-no data": Status.FIRING,
    "renotify": Status.FIRING,
    "recovered": Status.RESOLVED,
}
LEVELS = {
    "triggered": Severity.HIGH,
    "no data": Severity.HIGH,
    "warn": Severity.MEDIUM,
    # It does not say which limit it is over, still.
    "renotify": Severity.HIGH,
}
"""How bad it is where nothing but its state says so: over which of the monitor's two limits it is, or that it is blind."""
INCIDENT_STATUSES = {
    "active": Status.FIRING,
    "stable": Status.FIRING,
    "resolved": Status.RESOLVED,
    "completed": Status.RESOLVED,
}
ALERT_TYPES = {
    "error": Status.FIRING,
    "warning": Status.FIRING,
    "success": Status.RESOLVED,
    "info": Status.INFO,
}
TEST = "[TEST]"
PRIORITY = re.compile(r"\[(P[1-5])\]\s*")
"""What Datadog puts before the title of a monitor that has a priority."""
UNSET = re.compile(r"\$[A-Z][A-Z0-9_]*(\[[^\]]*\])?|[Nn]ull|NULL")
TELLING = ("alert_status", "alert_metric", "alert_query", "event_type")
"""What is worth reading beside the message."""


class Heading(NamedTuple):
    """What a title says; each part is empty where it does not."""

    priority: str
    state: str
    scope: str
    name: str


class Datadog(signatures.ByToken):
    """One event of a monitor, or of an incident of Datadog's, a request. Only our payload tells the service; with the default
    one, a monitor is told by its title, and how bad it is by the priority before that, or else by its state: high where it
    triggered or has no data, medium where it warns.
    """

    name = "datadog"
    title = "Datadog"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A monitor that triggers and recovers, one that has no data, and one that is sent as a form."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """The body's hash: a template need not have an id in it, and a second attempt sends the same body."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one event, sent as JSON or as a form."""
        return Reading(alerts=(_alert(_fields(delivery), delivery),))


def _fields(delivery: Delivery) -> dict[str, Any]:
    """What the template's variables became; those that have no value are left out."""
    # curl calls everything a form unless it is told otherwise.
    is_json = not is_form(delivery) or delivery.body.lstrip().startswith(b"{")
    given: Mapping[str, Any] = json_object(delivery.body) if is_json else form_of(delivery.body)
    return {name: value for name, value in given.items() if _is_set(value)}


def _is_set(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and (not value.strip() or UNSET.fullmatch(value.strip())))


def _alert(given: Mapping[str, Any], delivery: Delivery) -> Alert:
    priority, word, scope, name = _heading(given)
    is_incident = any(given.get(one) for one in ("incident_uuid", "incident_public_id", "incident_title"))
    if not name and not given.get("alert_id"):
        raise Unreadable("alert_title, title: missing; give the webhook in Datadog the payload of our set-up")
    status, said, defaults = _status(given, word, is_incident)
    severity, severity_word = _severity(given, priority, is_incident)
    if not severity_word and not is_incident and said.lower().removeprefix("re-") in LEVELS:
        severity, defaults = LEVELS[said.lower().removeprefix("re-")], (*defaults, "severity")
    labels = _labels(given, scope)
    at = moment(given.get("date")) or moment(given.get("date_posix"))
    if at is None or is_incident or status is Status.FIRING:
        # Its time is that of this news: of a reminder, or of a monitor that warned until now. For a start there is no variable.
        defaults = (*defaults, "started_at")
    changed_at, at = at, at or delivery.received_at
    return Alert(
        source="datadog",
        identity=_identity(given, name, scope),
        kind=Kind.TEST if _is_test(given, name) else Kind.ALERT,
        status=status,
        title=short(name or "A monitor without a name"),
        severity=severity,
        description=long(first(text_of(given.get("body")).replace("%%%", ""), given.get("alert_status"))),
        service=first_label(labels, SERVICE_LABELS),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        annotations={one: long(text_of(given[one])) for one in TELLING if one in given},
        url=web_url(given.get("incident_url")) or web_url(given.get("link")),
        links=links_from([("source", given.get("link"), "Event"), ("panel", given.get("snapshot"), "Graph, as it was")]),
        started_at=at,
        # Datadog says when something changed, and not since when: of what is over, the end is all that is known.
        ended_at=at if status is Status.RESOLVED else None,
        changed_at=None if is_incident else changed_at,
        group_key=first(given.get("aggreg_key")) or None,
        occurrence=first(given.get("alert_cycle_key")) or None,
        source_status=said or None,
        source_severity=severity_word or None,
        no_data="no data" in said.lower(),
        defaults=defaults if name else (*defaults, "title"),
        attributes=dict(given),
    )


def _is_test(given: Mapping[str, Any], name: str) -> bool:
    """Datadog's own test notifications are real transitions; only their words say what they are."""
    words = (name, split_title(first(given.get("title"))).name, *(first(given.get(one)) for one in ("title", "alert_title", "body")))
    return any(one.removeprefix("%%%").lstrip().upper().startswith(TEST) for one in words)


def _heading(given: Mapping[str, Any]) -> Heading:
    """The priority, the state and the scope that a title begins with, and the name without them."""
    event, own = split_title(first(given.get("title"))), split_title(first(given.get("alert_title")))
    name = first(given.get("incident_title"), own.name, event.name)
    return Heading(event.priority or own.priority, event.state, first(given.get("alert_scope"), event.scope), name)


def split_title(title: str) -> Heading:
    """`[P1] [Triggered on {host:a}] Disk is full` in its parts; only the name where it has no such start.

    The priority is no part of the name: who changes it while a monitor fires would have it never clear.
    """
    found = PRIORITY.match(title)
    priority, rest = (found[1], title[found.end() :]) if found else ("", title)
    if not rest.startswith("["):
        return Heading(priority, "", "", rest)
    end = "}]" if "on {" in rest.partition("]")[0] else "]"
    inside, _, name = rest[1:].partition(end)
    word, _, scope = inside.partition("on {")
    word = word.strip()
    if word.lower() in TRANSITIONS or (scope and not word):
        return Heading(priority, word, scope, name.strip())
    return Heading(priority, "", "", rest)


def _status(given: Mapping[str, Any], word: str, is_incident: bool) -> tuple[Status, str, tuple[str, ...]]:
    """What it stands at, in Datadog's word for it. An unknown one is taken as firing, and said to be a guess."""
    transition = first(given.get("alert_transition"))
    words = [(transition, TRANSITIONS), (word, TRANSITIONS), (first(given.get("alert_type")), ALERT_TYPES)]
    if is_incident:
        words = [(first(given.get("incident_status")), INCIDENT_STATUSES)]
    for one, known in words:
        if one.lower() in known:
            return known[one.lower()], one, ()
    return Status.FIRING, next((one for one, _ in words if one), ""), ("status",)


def _severity(given: Mapping[str, Any], priority: str, is_incident: bool) -> tuple[Severity, str]:
    """P1 to P5 where the monitor has a priority, or its title has, else what its type means; of an incident its own."""
    words = [first(given.get("alert_priority")), priority, first(given.get("alert_type"))]
    if is_incident:
        words = [first(given.get("incident_severity"))]
    known = next((one for one in words if severity_of(one) is not Severity.UNKNOWN), "")
    return severity_of(known), known or first(*words)


def _labels(given: Mapping[str, Any], scope: str) -> dict[str, str]:
    """The tags, those of the scope, and the host. Of two with the same name the first."""
    labels: dict[str, str] = {}
    for tag in map(text_of, (*tags_at(given.get("tags"), "tags"), *tags_at(scope, "scope"))):
        name, _, value = tag.strip().partition(":")
        if name.strip() and name.strip() != "*":
            labels.setdefault(name.strip(), value.strip() or "true")
    if first(given.get("hostname")):
        labels.setdefault("host", first(given.get("hostname")))
    return labels


def _identity(given: Mapping[str, Any], name: str, scope: str) -> str:
    """The incident's id, or the monitor's with its scope; the title's hash where the template names neither."""
    incident = first(given.get("incident_uuid"), given.get("incident_public_id"))
    if incident:
        return f"incident/{incident}"
    monitor, group = first(given.get("alert_id")), first(given.get("aggreg_key"))
    parts = ",".join(sorted(one.strip() for one in scope.split(",")))
    if monitor:
        return f"{monitor}/{parts or group}"
    if group:
        return f"group/{group}"
    organisation = given.get("org")
    org = organisation.get("id") if isinstance(organisation, dict) else given.get("org_id")
    return label_hash({"title": name, "scope": parts, "org": text_of(org)})


def _example(
    name: str, transition: str, *, monitor: str, title: str, message: str, priority: str = "P1", type_: str = "error",
    content_type: str = "application/json",
) -> Example:  # fmt: skip
    status = TRANSITIONS[transition.lower()]

    def build(now: datetime) -> Mapping[str, object]:
        at = str(int(now.timestamp()) * 1000)
        return {
            "alert_id": monitor,
            "alert_cycle_key": f"90{monitor}",
            "aggreg_key": f"example-{monitor}",
            "alert_transition": transition,
            "alert_type": type_,
            "alert_priority": priority,
            "alert_title": title,
            "alert_status": message,
            "alert_scope": "env:production,service:checkout",
            "alert_metric": "$ALERT_METRIC",
            "alert_query": "$ALERT_QUERY",
            "event_id": f"70{at}",
            "event_type": "query_alert_monitor",
            "title": f"[{transition} on {{env:production,service:checkout}}] {title}",
            "body": message,
            "date": at,
            "last_updated": at,
            "link": f"https://datadog.example.com/monitors/{monitor}",
            "snapshot": "null",
            "hostname": "$HOSTNAME",
            "tags": "env:production,monitor,service:checkout,team:payments",
            "org_id": "1",
            "org_name": "Example",
        }

    return Example(name, f"{title} ({transition})", status, build, content_type=content_type)


REFUSED = {
    "monitor": "4200001",
    "title": "Checkout refuses one order in twelve",
    "message": "8 % of the orders of the last 5 minutes were refused; more than 2 % is an alert.",
}
SILENT = {
    "monitor": "4200002",
    "title": "Orders a minute",
    "message": "No order has been counted for 10 minutes.",
}
EXAMPLES = (
    _example("orders-refused", "Triggered", **REFUSED),
    _example("orders-refused-recovered", "Recovered", type_="success", **REFUSED),
    _example("orders-no-data", "No Data", priority="P2", **SILENT),
    _example("orders-refused-as-form", "Warn", priority="P3", type_="warning", content_type=FORM, **REFUSED),
)

SOURCE = Datadog()
