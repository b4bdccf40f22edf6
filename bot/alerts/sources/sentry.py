"""Sentry's internal integrations, and its legacy WebHooks plugin. https://docs.sentry.io/integrations/integration-platform/webhooks/"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    first,
    json_object,
    links_from,
    long,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# Settings > Developer Settings > Create New Integration > Internal Integration
#   Webhook URL         {url}
#   Alert Rule Action   on
#   Permissions         Issue & Event: Read
#   Webhooks            issue
# Sentry makes the secret: put its Client Secret into HOOK_SECRETS as sentry/main=CLIENT_SECRET.
# Then add the action "Send a notification via" this integration to each alert that may page.
#
# The legacy WebHooks plugin signs nothing. Give it a token of ours in its address instead:
#   {url}?token={secret}
"""
RESOURCES = {
    "activity": "activity_alert",
    "metric_alert": "metric_alert",
    "issue": "issue",
    "event": "event_alert",
    "error": "error",
    "comment": "comment",
    "installation": "installation",
}
"""What `data` has in it -> the resource, for where the header that names it was lost on the way."""
ISSUE_ACTIONS = {
    "created": Status.FIRING,
    "unresolved": Status.FIRING,
    "resolved": Status.RESOLVED,
    "archived": Status.SUPPRESSED,
    "ignored": Status.SUPPRESSED,
    "assigned": Status.INFO,
}
METRIC_ACTIONS = {
    "critical": Status.FIRING,
    "warning": Status.FIRING,
    "open": Status.FIRING,
    "resolved": Status.RESOLVED,
}
TOLD = ("level", "priority", "platform", "substatus", "issueCategory", "issueType", "shortId")
"""What of an issue people match by, as labels of their own names: an issue has no tags."""
QUERY = ("aggregate", "query", "dataset", "time_window")
ISSUE_IN_ADDRESS = re.compile(r"/issues/(\d+)", re.ASCII)
PROJECT_IN_ADDRESS = re.compile(r"/projects/[^/]+/([^/]+)/")


class Sentry:
    """One issue, one event that set off an alert, or one metric alert a request. Sentry waits one second for an answer, and an
    internal integration does not try again.
    """

    name = "sentry"
    title = "Sentry"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """An error that sets off an alert, its issue resolved, a new issue, and a metric alert with its end."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By HMAC under the client secret; the legacy plugin, which has none, by token."""
        given = delivery.headers.get("sentry-hook-signature")
        if given is None and signatures.tokens_in(delivery):
            signatures.check_token(delivery, secrets, self.name)
            return
        signatures.require(secrets, delivery, self.name)
        signatures.check_hmac(given or "", delivery.body, secrets, "Sentry-Hook-Signature")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature, and what Sentry says of each request: its id and its time, neither of them signed."""
        return {
            "Sentry-Hook-Signature": signatures.hex_hmac(secret, body),
            "Sentry-Hook-Timestamp": str(int(now.timestamp())),
            "Request-ID": signatures.hex_hmac(secret, body + str(now.timestamp()).encode())[:32],
        }

    def delivery_id(self, delivery: Delivery) -> str:
        """The event and the alert that it set off, where the body has them: Request-ID is another one for each attempt.

        An issue may be resolved and unresolved with the very same words, and each is news.
        """
        event = _event_key(delivery.body)
        if event:
            return sha256(event.encode("utf-8", errors="replace")).hexdigest()
        given = delivery.headers.get("request-id", "").strip()
        return given[:128] or f"{signatures.content_id(delivery)}@{delivery.received_at.timestamp():.6f}"

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """By the resource that the header names; without one, by what is in the body."""
        body = json_object(delivery.body)
        data = object_at(body.get("data"), "data")
        resource = delivery.headers.get("sentry-hook-resource", "").strip().lower() or _resource(data)
        action = first(body.get("action")).lower()
        if not resource:
            return Reading(alerts=(_legacy(body, delivery),))
        if resource == "event_alert":
            event = _needed(data, "event")
            return Reading(alerts=(_event(event, body, delivery, first(event.get("level")), rule=first(data.get("triggered_rule"))),))
        if resource == "issue" and action in ISSUE_ACTIONS:
            return Reading(alerts=(_issue(_needed(data, "issue"), body, delivery, action),))
        if resource == "metric_alert" and action in METRIC_ACTIONS:
            return Reading(alerts=(_metric(_needed(data, "metric_alert"), body, delivery, action),))
        if resource == "comment":
            return Reading(alerts=(_comment(data, body, delivery, action),), ignored="a comment on an issue; nothing to act on")
        if resource == "error":
            error = _needed(data, "error")
            alert = _event(error, body, delivery, first(error.get("level")), status=Status.INFO, kind=Kind.INCIDENT_UPDATE)
            return Reading(alerts=(alert,), ignored="one error of many; Sentry's alerts say which of them matter")
        return Reading(ignored=_why_ignored(resource, action))


def _resource(data: Mapping[str, Any]) -> str:
    return next((resource for name, resource in RESOURCES.items() if name in data), "")


def _why_ignored(resource: str, action: str) -> str:
    if resource == "installation":
        return f"the integration was {'removed; Sentry sends nothing more' if action == 'deleted' else 'installed'}"
    return f"{short(resource, 60)}.{short(action, 60) or '(no action)'} is no news of an alert"


def _event_key(body: bytes) -> str:
    """An event's own id, with what tells it from other news of that event; empty where there is none. Never raises."""
    try:
        given = json_object(body)
    except Unreadable:
        return ""
    data = _dict(given.get("data"))
    event = _dict(data.get("event")) or _dict(given.get("event"))
    id_ = first(event.get("event_id"))
    parts = (event.get("project"), id_, given.get("action"), data.get("triggered_rule"), given.get("triggering_rules"))
    return "\x1f".join(text_of(one) for one in parts) if id_ else ""


def _issue(issue: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery, action: str) -> Alert:
    id_ = first(issue.get("id"))
    if not id_:
        raise Unreadable("data.issue.id: missing")
    status = ISSUE_ACTIONS[action]
    project = first(_dict(issue.get("project")).get("slug"))
    severity, word = _severity(first(issue.get("level")), first(issue.get("priority")))
    seen, last = moment(issue.get("firstSeen")), moment(issue.get("lastSeen"))
    # What is unresolved again began again with the event that made it so, not when it was first seen.
    started_at = (last or seen) if action == "unresolved" else seen
    ended_at = _sent_at(delivery) if status is Status.RESOLVED else None
    title = first(issue.get("title"), _dict(issue.get("metadata")).get("title"))
    labels = {name: first(issue.get(name)) for name in TOLD} | {"project": project}
    return Alert(
        source="sentry",
        identity=f"issue/{id_}",
        status=status,
        title=short(title or "An issue without a title"),
        severity=severity,
        description=_lines(_dict(issue.get("metadata")).get("value"), issue.get("culprit")),
        service=project or None,
        labels={name: value for name, value in labels.items() if value},
        url=web_url(issue.get("web_url")) or web_url(issue.get("permalink")),
        links=links_from([("source", issue.get("project_url"), "Project")]),
        started_at=started_at or ended_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if status is Status.RESOLVED else None,
        # Who says that it is unresolved again gives no time of that.
        changed_at=ended_at if status is Status.RESOLVED else seen if action == "created" else None,
        source_status=action,
        source_severity=word or None,
        defaults=_missing(title=title, started_at=started_at, ended_at=ended_at or status is not Status.RESOLVED),
        attributes=dict(body),
    )


def _event(
    event: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery, level: str, *, rule: str = "", issue: str = "",
    project: str = "", url: Any = None, status: Status = Status.FIRING, kind: Kind = Kind.ALERT,
) -> Alert:  # fmt: skip
    """What an event says of its issue. `issue`, `project` and `url` are what stands outside it, in the legacy plugin's body."""
    labels, metadata = _tags(event.get("tags")), _dict(event.get("metadata"))
    trace = first(_dict(_dict(event.get("contexts")).get("trace")).get("trace_id"))
    if trace:
        labels = {**labels, "trace_id": trace}
    id_ = issue or _issue_of(event)
    if not id_:
        raise Unreadable("data.event.issue_id: missing")
    project = project or _project_of(event)
    level = level or labels.get("level", "")
    title = first(event.get("title"), metadata.get("title"), event.get("message"), body.get("message"))
    started_at = moment(event.get("datetime")) or moment(event.get("timestamp")) or moment(event.get("received"))
    return Alert(
        source="sentry",
        identity=f"issue/{id_}",
        kind=Kind.TEST if labels.get("sample_event") == "yes" else kind,
        status=status,
        title=short(title or "An error without a title"),
        severity=_severity(level)[0],
        description=_lines(event.get("message"), metadata.get("value"), event.get("culprit"), body.get("culprit")),
        service=project or labels.get("server_name") or first(event.get("project")) or None,
        environment=first(event.get("environment"), labels.get("environment")) or None,
        labels=labels,
        annotations={"triggered_rule": rule} if rule else {},
        url=web_url(event.get("web_url")) or web_url(url),
        links=links_from([("trace", labels.get("trace_url"), "Trace")]),
        started_at=started_at or delivery.received_at,
        # By Sentry's clock; the others are of the machine that it happened on, which may send it much later.
        changed_at=moment(event.get("received")),
        occurrence=first(event.get("event_id")) or None,
        source_status=first(body.get("action")) or None,
        source_severity=level or None,
        # It is one of many: when the first of them was it does not say, and a later one is no new fire.
        defaults=(*_missing(title=title), "started_at"),
        attributes=dict(body),
    )


def _metric(metric: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery, action: str) -> Alert:
    id_, rule, data = first(metric.get("id")), _dict(metric.get("alert_rule")), body["data"]
    if not id_:
        raise Unreadable("data.metric_alert.id: missing")
    status = METRIC_ACTIONS[action]
    title = first(_without_state(first(data.get("description_title"))), rule.get("name"), metric.get("title"))
    project = first(*_list(metric.get("projects")), *_list(rule.get("projects")))
    started_at = moment(metric.get("date_started")) or moment(metric.get("date_detected"))
    ended_at = (moment(metric.get("date_closed")) or _sent_at(delivery)) if status is Status.RESOLVED else None
    labels = {"project": project, "alert_rule": first(rule.get("name"))}
    return Alert(
        source="sentry",
        identity=f"metric_alert/{id_}",
        status=status,
        title=short(title or "A metric alert without a name"),
        severity=severity_of(action),
        description=long(first(data.get("description_text"))),
        service=project or None,
        environment=first(rule.get("environment")) or None,
        labels={name: value for name, value in labels.items() if value},
        annotations={name: long(text_of(rule[name])) for name in QUERY if first(rule.get(name))},
        url=web_url(data.get("web_url")),
        started_at=started_at or ended_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if status is Status.RESOLVED else None,
        changed_at=ended_at if status is Status.RESOLVED else started_at,
        group_key=first(rule.get("id")) or None,
        source_status=action,
        source_severity=action if status is Status.FIRING else None,
        defaults=_missing(title=title, started_at=started_at, ended_at=ended_at or status is not Status.RESOLVED),
        attributes=dict(body),
    )


def _comment(data: Mapping[str, Any], body: Mapping[str, Any], delivery: Delivery, action: str) -> Alert:
    issue, text, at = first(data.get("issue_id")), first(data.get("comment")), moment(data.get("timestamp"))
    if not issue:
        raise Unreadable("data.issue_id: missing")
    return Alert(
        source="sentry",
        identity=f"issue/{issue}",
        kind=Kind.INCIDENT_UPDATE,
        status=Status.INFO,
        title=short(text or f"A comment was {action or 'made'}"),
        description=long(text),
        service=first(data.get("project_slug")) or None,
        started_at=at or delivery.received_at,
        occurrence=first(data.get("comment_id")) or None,
        source_status=action or None,
        defaults=_missing(started_at=at),
        attributes=dict(body),
    )


def _legacy(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    """The plugin sends each event of an issue, and never that one is resolved."""
    event, id_ = _dict(body.get("event")), first(body.get("id"))
    if not id_ or not (event or body.get("project") or body.get("culprit")):
        raise Unreadable("data: nothing that Sentry sends, and the header Sentry-Hook-Resource is missing")
    rules = ", ".join(filter(None, map(text_of, _list(body.get("triggering_rules")))))
    project = first(body.get("project_slug"), body.get("project"))
    level = first(body.get("level"), event.get("level"))
    return _event(event, body, delivery, level, rule=rules, issue=id_, project=project, url=body.get("url"))


def _needed(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = object_at(data.get(name), f"data.{name}")
    if not found:
        raise Unreadable(f"data.{name}: missing")
    return found


def _severity(level: str, priority: str = "") -> tuple[Severity, str]:
    """An issue's priority says more than its level; but Sentry has none above high, and something fatal is worse."""
    found = severity_of(priority)
    if found is not Severity.UNKNOWN and (level, priority) != ("fatal", "high"):
        return found, priority
    return (Severity.INFO if level == "sample" else severity_of(level)), level


def _issue_of(event: Mapping[str, Any]) -> str:
    """Older versions name the issue in addresses only."""
    found = (ISSUE_IN_ADDRESS.search(text_of(event.get(name))) for name in ("issue_url", "web_url"))
    return first(event.get("issue_id"), *(one.group(1) for one in found if one))


def _project_of(event: Mapping[str, Any]) -> str:
    """The project's name stands in the address of the event; beside it is only a number."""
    found = PROJECT_IN_ADDRESS.search(text_of(event.get("url")))
    return found.group(1) if found else ""


def _tags(value: Any) -> dict[str, str]:
    """Pairs, or objects with a key and a value, or one object."""
    if isinstance(value, dict):
        return {text_of(name): text_of(one) for name, one in value.items()}
    tags: dict[str, str] = {}
    for one in _list(value):
        if isinstance(one, list) and len(one) == 2:
            tags[text_of(one[0])] = text_of(one[1])
        elif isinstance(one, dict) and first(one.get("key")):
            tags[first(one.get("key"))] = text_of(one.get("value"))
    return tags


def _without_state(title: str) -> str:
    """`Critical: Too many errors` without the state, which a name must not change with."""
    state, _, name = title.partition(": ")
    return name if state.lower() in METRIC_ACTIONS and name else title


def _sent_at(delivery: Delivery) -> datetime | None:
    """When Sentry sent it. Nothing in the body says when an issue was resolved: `lastSeen` is its last event."""
    return moment(delivery.headers.get("sentry-hook-timestamp"))


def _missing(**fields: Any) -> tuple[str, ...]:
    return tuple(name for name, value in fields.items() if not value)


def _lines(*values: Any) -> str:
    return long("\n".join(dict.fromkeys(text for text in map(text_of, values) if text)))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


ORGANISATION = "https://sentry.example.com/organizations/example"
TITLE = "TimeoutError: the warehouse did not answer in 5 s"


def _envelope(action: str, data: Mapping[str, object]) -> dict[str, object]:
    return {
        "action": action,
        "installation": {"uuid": "0d2c5a52-0000-4000-8000-000000000001"},
        "data": data,
        "actor": {"type": "application", "id": "sentry", "name": "Sentry"},
    }


def _event_example(now: datetime) -> Mapping[str, object]:
    at = now.replace(microsecond=0)
    event_id = f"{int(at.timestamp()):032x}"
    event = {
        "event_id": event_id,
        "issue_id": "7001",
        "title": TITLE,
        "culprit": "stock.reserve",
        "level": "error",
        "platform": "python",
        "project": 12,
        "environment": "production",
        "datetime": at.isoformat(),
        "tags": [["level", "error"], ["server_name", "stock-3"], ["release", "stock@2.8.1"]],
        "contexts": {"trace": {"trace_id": f"{int(at.timestamp()):032x}", "op": "http.server"}},
        "url": f"https://sentry.example.com/api/0/projects/example/stock/events/{event_id}/",
        "web_url": f"{ORGANISATION}/issues/7001/events/{event_id}/",
        "issue_url": "https://sentry.example.com/api/0/organizations/example/issues/7001/",
    }
    return _envelope("triggered", {"event": event, "triggered_rule": "More than 50 in a minute"})


def _issue_example(name: str, action: str, status: Status, id_: str, title: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        at = now.replace(microsecond=0)
        issue = {
            "id": id_,
            "shortId": f"STOCK-{id_}",
            "title": title,
            "culprit": "stock.reserve",
            "level": "error",
            "priority": "high",
            "status": "resolved" if status is Status.RESOLVED else "unresolved",
            "substatus": None if status is Status.RESOLVED else "new",
            "platform": "python",
            "project": {"id": "12", "name": "Stock", "slug": "stock", "platform": "python"},
            "web_url": f"{ORGANISATION}/issues/{id_}/",
            "count": "63",
            "firstSeen": (at - timedelta(minutes=4)).isoformat(),
            "lastSeen": (at - timedelta(minutes=1)).isoformat(),
        }
        return _envelope(action, {"issue": issue})

    return Example(name, f"{title} ({action})", status, build, headers={"Sentry-Hook-Resource": "issue"})


def _metric_example(name: str, action: str, status: Status) -> Example:
    title = "More than 2 % of the searches fail"

    def build(now: datetime) -> Mapping[str, object]:
        at = now.replace(microsecond=0)
        is_over = status is Status.RESOLVED
        metric = {
            "id": "8001",
            "identifier": "31",
            "title": title,
            "projects": ["search"],
            "alert_rule": {"id": "55", "name": title, "aggregate": "failure_rate()", "query": "", "environment": "production"},
            "date_started": (at - timedelta(minutes=6 if is_over else 0)).isoformat(),
            "date_closed": at.isoformat() if is_over else None,
        }
        about = {
            "description_title": f"{action.title()}: {title}",
            "description_text": "0.4 % in the last 5 minutes" if is_over else "3.1 % in the last 5 minutes",
            "web_url": f"{ORGANISATION}/alerts/31/",
        }
        return _envelope(action, {"metric_alert": metric, **about})

    return Example(name, f"{title} ({action})", status, build, headers={"Sentry-Hook-Resource": "metric_alert"})


EXAMPLES = (
    Example("stock-timeouts", TITLE, Status.FIRING, _event_example, headers={"Sentry-Hook-Resource": "event_alert"}),
    _issue_example("stock-timeouts-resolved", "resolved", Status.RESOLVED, "7001", TITLE),
    _issue_example("new-issue", "created", Status.FIRING, "7002", "KeyError: no price for this size"),
    _metric_example("search-failures", "critical", Status.FIRING),
    _metric_example("search-failures-resolved", "resolved", Status.RESOLVED),
)

SOURCE = Sentry()
