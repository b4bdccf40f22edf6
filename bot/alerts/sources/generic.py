"""Any JSON: our own documented schema, common names for its fields, or a mapping in the policy.

    {"title": …, "status": "firing" or "resolved", "severity": …, "service": …, "environment": …, "dedup_key": …,
     "description": …, "url": …, "starts_at": …, "ends_at": …, "labels": {…}, "links": [{"title": …, "url": …}]}

Only `title` is needed. A list of such objects, or {"alerts": [ … ]}, is several alerts.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Link, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_value,
    kind_of,
    label_hash,
    links_from,
    list_at,
    long,
    moment,
    object_at,
    severity_of,
    short,
    texts_at,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
curl -X POST {url} \\
  -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \\
  -d '{{"title": "Nightly export failed", "status": "firing", "severity": "high", "service": "platform",
       "dedup_key": "nightly-export", "url": "https://jobs.example.com/nightly-export"}}'
# Send the same dedup_key with "status": "resolved" when it is over.
# Where you cannot choose the body, map its fields in policy.yaml:
#   generic:
#     ROUTE: {{title: job.name, status: job.state, dedup_key: job.id || run.id}}
"""
NAMES: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "alert_name", "alertname", "summary", "subject"),
    "status": ("status", "state", "alert_status"),
    "severity": ("severity", "priority", "level", "urgency"),
    "service": ("service", "service_name", "component", "application"),
    "environment": ("environment", "env"),
    "dedup_key": ("dedup_key", "alert_uid", "fingerprint", "incident_key", "id", "key"),
    "description": ("description", "message", "text", "details", "body"),
    "url": ("url", "link", "link_to_upstream_details"),
    "starts_at": ("starts_at", "startsAt", "started_at", "timestamp", "time"),
    "ends_at": ("ends_at", "endsAt", "ended_at", "resolved_at"),
    "labels": ("labels", "tags"),
    "links": ("links",),
}
STATUSES = {
    Status.FIRING: (
        "firing", "alerting", "triggered", "trigger", "open", "active", "problem", "down", "failed", "failure",
        "failing", "error", "critical", "warning", "alarm", "true",
    ),
    Status.RESOLVED: (
        "resolved", "resolve", "ok", "closed", "recovered", "recovery", "up", "success", "succeeded", "normal",
        "inactive", "cleared", "false",
    ),
    Status.ACKNOWLEDGED: ("acknowledged", "acknowledge", "acked"),
    Status.SUPPRESSED: ("suppressed", "silenced", "muted", "ignored"),
    Status.INFO: ("info", "information", "test"),
}  # fmt: skip
BY_WORD = {word: status for status, words in STATUSES.items() for word in words}


class Generic(signatures.ByToken):
    """JSON from anywhere."""

    name = "generic"
    title = "Generic JSON"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A job that failed, and the same job well again."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """Its Idempotency-Key, where the sender gives one, and what it says; else each is one of its own.

        Another body under a key that was used before is a mistake of its sender's; it is not lost for that.
        A job that fails, is well and fails again may say the same words three times within seconds, and each is news.
        One that is only sent again changes nothing: the rules know its alert.
        """
        content, given = signatures.content_id(delivery), delivery.headers.get("idempotency-key", "").strip()
        return f"{given[:80]}/{content[:32]}" if given else f"{content}@{delivery.received_at.timestamp():.6f}"

    def check(self, delivery: Delivery, mapping: Mapping[str, str]) -> None:
        """As `parse` refuses: nobody else will tell its author what is wrong."""
        self.parse(delivery, mapping)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each object. `mapping` is field -> dotted path, several parted by ||; `alerts` is where a list stands."""
        return Reading(alerts=read(json_value(delivery.body), mapping, delivery))


def read(body: Any, mapping: Mapping[str, str], delivery: Delivery, source: str = "generic") -> tuple[Alert, ...]:
    """The alerts of any body; also for a source whose sender lets people write one of their own."""
    return tuple(_alert(object_at(one, place), mapping, delivery, place, source) for place, one in _objects(body, mapping))


def _objects(body: Any, mapping: Mapping[str, str]) -> list[tuple[str, Any]]:
    path = mapping.get("alerts", "alerts")
    if isinstance(body, list):
        return [(f"[{index}]", one) for index, one in enumerate(list_at(body, "the body"))]
    if not isinstance(body, dict):
        raise Unreadable(f"expected a JSON object or a list of them, got {kind_of(body)}")
    inner = at_path(body, path)
    if inner is None and "alerts" in mapping:
        raise Unreadable(f"{path}: missing; the policy's mapping looks for the alerts there")
    if inner is not None:
        return [(f"{path}[{index}]", one) for index, one in enumerate(list_at(inner, path))]
    return [("the body", body)]


def at_path(value: Any, path: str) -> Any:
    """What stands at `a.b.0.c`; the first of several, parted by ||, that is there. None where there is none."""
    for one in path.split("||"):
        found = _walk(value, one.strip().split("."))
        if found not in (None, ""):
            return found
    return None


def _walk(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _alert(given: Mapping[str, Any], mapping: Mapping[str, str], delivery: Delivery, place: str, source: str) -> Alert:
    def field(name: str) -> Any:
        if name in mapping:
            return at_path(given, mapping[name])
        return next((given[one] for one in NAMES[name] if given.get(one) not in (None, "")), None)

    title = first(field("title"))
    if not title:
        names = mapping.get("title") or ", ".join(NAMES["title"])
        raise Unreadable(f"{place}: no title; looked for {names}")
    labels = _labels(field("labels"), f"{place}.labels")
    severity = first(field("severity"), labels.get("severity"))
    status, defaults = _status(first(field("status")))
    started_at = moment(field("starts_at"))
    ended_at = moment(field("ends_at")) if status is Status.RESOLVED else None
    if started_at is None:
        defaults = (*defaults, "started_at")
    if status is Status.RESOLVED and ended_at is None:
        ended_at, defaults = delivery.received_at, (*defaults, "ended_at")
    service = first(field("service")) or first_label(labels, SERVICE_LABELS)
    return Alert(
        source=source,
        identity=first(field("dedup_key"))[:300] or label_hash({**labels, "title": title, "service": service or ""}),
        status=status,
        title=short(title),
        severity=severity_of(severity) if severity else Severity.UNKNOWN,
        description=long(first(field("description"))),
        service=service or None,
        environment=first(field("environment")) or first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(field("url")),
        links=_links(field("links")),
        started_at=started_at or delivery.received_at,
        ended_at=ended_at,
        source_status=first(field("status")) or None,
        source_severity=severity or None,
        defaults=defaults,
        attributes={key: value for key, value in given.items() if key not in ("labels", "links")},
    )


def _status(word: str) -> tuple[Status, tuple[str, ...]]:
    """An unknown word is taken as firing, and said to be a guess: silence would be worse."""
    known = BY_WORD.get(word.strip().lower())
    return (known, ()) if known else (Status.FIRING, ("status",))


def _labels(value: Any, place: str) -> dict[str, str]:
    """A map, or a list of "name:value" or plain tags."""
    if isinstance(value, list):
        pairs = (first(one).partition(":") for one in value)
        return {name.strip(): rest.strip() or "true" for name, _, rest in pairs if name.strip()}
    return texts_at(value, place)


def _links(value: Any) -> tuple[Link, ...]:
    if not isinstance(value, list):
        return ()
    given = [one for one in value if isinstance(one, dict)]
    return links_from([(first(one.get("rel")) or "source", one.get("url"), first(one.get("title"))) for one in given])


def _example(name: str, status: Status) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {
            "title": "Nightly export failed",
            "status": status.value,
            "severity": "high",
            "service": "platform",
            "environment": "production",
            "dedup_key": "nightly-export",
            "description": "Step 3 of 7 ended with exit code 137.",
            "url": "https://jobs.example.com/nightly-export",
            "starts_at": (now.replace(microsecond=0) - timedelta(minutes=1)).isoformat(),
            "ends_at": now.replace(microsecond=0).isoformat() if status is Status.RESOLVED else None,
            "labels": {"job": "nightly-export", "region": "eu-1"},
            "links": [{"rel": "logs", "title": "Log", "url": "https://jobs.example.com/nightly-export/log"}],
        }

    return Example(name, f"Nightly export {'failed' if status is Status.FIRING else 'well again'}", status, build)


EXAMPLES = (_example("nightly-export", Status.FIRING), _example("nightly-export-resolved", Status.RESOLVED))

SOURCE = Generic()
