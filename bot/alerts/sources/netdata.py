"""Netdata: the agents' alarm-notify.sh through a custom sender, and Netdata Cloud's webhook.

https://learn.netdata.cloud/docs/alerts-&-notifications/notifications/agent-dispatched-notifications/custom
https://learn.netdata.cloud/docs/alerts-&-notifications/notifications/centralized-cloud-notifications/webhook
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    links_from,
    long,
    moment,
    severity_of,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.kibana import field_at
from bot.errors import Unreadable

STATUSES = {
    "CRITICAL": Status.FIRING,
    "WARNING": Status.FIRING,
    "CLEAR": Status.RESOLVED,
    # These say that nobody knows: what fires goes on firing.
    "REMOVED": Status.INFO,
    "UNDEFINED": Status.INFO,
    "UNINITIALIZED": Status.INFO,
}
LABELS = ("host", "chart", "context", "family", "component", "type", "class", "classification", "space", "roles")
CLOUD = {
    "name": "alert.name", "chart": "alert.chart.name", "severity": "alert.state.status", "value_string": "alert.state.value_str",
    "info": "alert.rendered.info", "context": "alert.context", "classification": "alert.config.classification",
    "alert_url": "alert.url", "host": "node.hostname", "space": "space.name",
}  # fmt: skip
"""Field -> where it stands in the Cloud's nested payload, which its documentation does not show."""
USED = frozenset({"info", "message", "summary", "edit_command_line"})
SETUP = """\
# /etc/netdata/health_alarm_notify.conf of each agent (or of the parent); needs jq. To try it, as the user netdata:
#   /usr/libexec/netdata/plugins.d/alarm-notify.sh test
SEND_CUSTOM="YES"
DEFAULT_RECIPIENT_CUSTOM="firstfive"
custom_sender() {{
  local body code
  body=$(jq -nc '$ARGS.named' --arg host "${{host}}" --arg chart "${{chart}}" --arg name "${{name}}" \\
    --arg status "${{status}}" --arg old_status "${{old_status}}" --arg when "${{when}}" \\
    --arg non_clear_duration "${{non_clear_duration}}" --arg value_string "${{value_string}}" \\
    --arg summary "${{summary}}" --arg info "${{info}}" --arg context "${{context}}" --arg family "${{family}}" \\
    --arg classification "${{classification}}" --arg component "${{component}}" --arg type "${{type}}" \\
    --arg roles "${{roles}}" --arg unique_id "${{unique_id}}" --arg transition_id "${{transition_id}}" \\
    --arg url "${{goto_url}}")
  code=$(docurl -X POST --max-time 10 -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \\
    --data-binary "${{body}}" '{url}')
  if [ "${{code}}" = "202" ]; then sent=$((sent + 1)); else error "firstfive answered ${{code}}"; fi
}}
# Netdata Cloud instead: Space settings > Alerts & Notifications > Webhook, with that address and a bearer token.
# Press Test: it then asks for the token that it sent, and `python -m bot inbox list --state done` shows that. The Cloud's
# payload does not name the node, so one alert on two nodes cannot be told apart: prefer the agents' own.
"""


class Netdata(signatures.ByToken):
    """An agent's alert when it changes, by host, chart and name; or what Netdata Cloud sends of alerts and of nodes that
    cannot be reached. The Cloud's payload names no node: the same alert on two nodes is one alert here.
    """

    name = "netdata"
    title = "Netdata"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """An agent's alert, and its end."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """The Cloud gives none; an agent's body has the transition's in it."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """An agent's alert, or one of the Cloud's three kinds of news."""
        body = json_object(delivery.body)
        if isinstance(body.get("status"), dict):
            return Reading(alerts=(_reachability(body, body["status"], delivery),))
        if "alert" in body or "alarm" in body:
            return Reading(alerts=(_alert(_from_cloud(body), delivery),))
        if "token" in body and "name" not in body:
            # Whoever sets the Cloud up has to give this token back: it is shown where people can read it.
            return Reading(ignored=short(f"a test of Netdata Cloud; the token it asks for is {text_of(body['token'])}"))
        return Reading(alerts=(_alert(body, delivery),))


def _from_cloud(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A Cloud alert in the names that the agents use. It was called an alarm once."""
    if isinstance(body.get("alert"), dict):
        given: Mapping[str, Any] = {**body, **{name: field_at(body, path) for name, path in CLOUD.items()}}
    else:
        given = {**body, "name": first(body.get("alert"), body.get("alarm"))}
    return {
        **given,
        "status": text_of(given.get("severity")),
        "when": given.get("date"),
        "url": first(given.get("alert_url"), given.get("alarm_url")),
    }


def _alert(given: Mapping[str, Any], delivery: Delivery) -> Alert:
    name, host, chart = (text_of(given.get(field)) for field in ("name", "host", "chart"))
    if not name:
        raise Unreadable("name: missing; neither an agent's alert nor one of the Cloud's")
    word, before = text_of(given.get("status")).upper(), text_of(given.get("old_status"))
    status = STATUSES.get(word, Status.FIRING)
    worst = before if status is Status.RESOLVED else word
    severity = severity_of(worst) if worst.upper() in ("CRITICAL", "WARNING") else Severity.UNKNOWN
    started_at, ended_at, defaults = _when(given, status, delivery.received_at)
    labels = {label: text for label in LABELS if (text := text_of(given.get(label)))} | {"alertname": name}
    title = text_of(given.get("summary")) or name
    return Alert(
        source="netdata",
        identity="/".join((host or text_of(given.get("space")), chart, name))[:500],
        kind=Kind.TEST if (name, chart) == ("test_alarm", "test.chart") else Kind.ALERT,
        status=status,
        title=short(f"{title} on {host}" if host else title),
        severity=severity,
        description=_description(given),
        service=first_label(labels, SERVICE_LABELS),
        labels=labels,
        url=web_url(given.get("url")),
        links=links_from([("source", given.get("url"), "Netdata")]),
        started_at=started_at,
        ended_at=ended_at,
        # Where no node is named it may be clear on one and fire on another: then what fires is never late.
        changed_at=moment(given.get("when")) if host or status is Status.RESOLVED else None,
        occurrence=first(given.get("transition_id"), given.get("unique_id")) or None,
        source_status=word or None,
        source_severity=worst or None,
        defaults=defaults if word in STATUSES else (*defaults, "status"),
        attributes={field: value for field, value in given.items() if field not in USED},
    )


def _when(given: Mapping[str, Any], status: Status, received_at: datetime) -> tuple[datetime, datetime | None, tuple[str, ...]]:
    """`when` is this change. It began as long before as it has not been clear: a warning that gets worse is not a new one."""
    at = moment(given.get("when"))
    is_over = status is Status.RESOLVED
    if at is None:
        return received_at, received_at if is_over else None, ("started_at", "ended_at") if is_over else ("started_at",)
    raised = text_of(given.get("non_clear_duration"))
    seconds = int(raised) if raised.isascii() and raised.isdigit() and len(raised) < 10 else 0
    return at - timedelta(seconds=seconds), at if is_over else None, ()


def _description(given: Mapping[str, Any]) -> str:
    parts = (text_of(given.get(field)) for field in ("message", "value_string", "info"))
    return long("\n\n".join(dict.fromkeys(part for part in parts if part)))


def _reachability(body: Mapping[str, Any], status: Mapping[str, Any], delivery: Delivery) -> Alert:
    """A node that the Cloud lost, or has again."""
    host, word = text_of(body.get("host")), text_of(status.get("text")).lower()
    if not host:
        raise Unreadable("host: missing; a node's status needs its node")
    is_over = status.get("reachable") is True or (status.get("reachable") is None and word == "reachable")
    at = delivery.received_at
    return Alert(
        source="netdata",
        identity=f"node/{host}"[:500],
        status=Status.RESOLVED if is_over else Status.FIRING,
        title=short(f"{host} is {'reachable again' if is_over else 'unreachable'}"),
        severity=Severity.CRITICAL,
        description=long(text_of(body.get("message"))),
        service=host,
        labels={"host": host},
        url=web_url(body.get("url")),
        links=links_from([("source", body.get("url"), "Netdata")]),
        started_at=at,
        ended_at=at if is_over else None,
        source_status=word or None,
        source_severity=text_of(body.get("severity")) or None,
        defaults=("started_at", "ended_at") if is_over else ("started_at",),
        attributes={field: value for field, value in body.items() if field != "message"},
    )


def _example(name: str, status: Status) -> Example:
    is_over = status is Status.RESOLVED

    def build(now: datetime) -> Mapping[str, object]:
        return {
            "host": "db-3",
            "chart": "disk_space._var",
            "name": "disk_space_usage",
            "status": "CLEAR" if is_over else "CRITICAL",
            "old_status": "CRITICAL" if is_over else "WARNING",
            "when": str(int(now.timestamp())),
            "non_clear_duration": "540",
            "value_string": "71%" if is_over else "98%",
            "summary": "Disk /var space usage",
            "info": "How full the file system at /var is.",
            "context": "disk.space",
            "family": "/var",
            "classification": "Utilization",
            "component": "Disk",
            "type": "System",
            "roles": "sysadmin",
            "unique_id": str(int(now.timestamp())),
            "transition_id": "",
            "url": "https://netdata.example.com/#disk_space._var",
        }

    return Example(name, f"Disk /var of db-3 {'has room again' if is_over else 'is nearly full'}", status, build)


EXAMPLES = (_example("disk-space", Status.FIRING), _example("disk-space-resolved", Status.RESOLVED))

SOURCE = Netdata()
