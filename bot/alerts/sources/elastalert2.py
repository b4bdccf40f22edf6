"""ElastAlert 2, through its alerter post2 (or post). https://elastalert2.readthedocs.io/en/latest/alerts.html#http-post-2

The body is the rule's http_post2_payload; without one it is the matched document as it stands, with any field at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
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
from bot.alerts.sources.kibana import field_at, said, tags_of
from bot.errors import Unreadable

NAMES = ("alert_name", "rule_name", "title")
OVER = ("resolved", "resolve", "recovered")
DISCOVER = ("kibana_discover_url", "opensearch_discover_url", "kibana_link", "url")
LONGEST_LABEL = 200
KNOWN = frozenset({"message", "alert_text"})
SETUP = """\
# In the rule, or in config.yaml for all of them. The rule's own name is no field of a match: write it out.
alert: post2
http_post2_url: {url}
http_post2_headers:
  Authorization: Bearer {secret}
http_post2_payload:
  alert_name: Checkout errors
  severity: high
  service: "{{{{ service.name }}}}"
  environment: production
  dedup_key: "checkout-errors|{{{{ service.name }}}}"   # the rule, and its query_key
  message: "{{{{ num_hits }}}} hits; the last: {{{{ message }}}}"
  url: "{{{{ kibana_discover_url }}}}"
  timestamp: "{{{{ _data['@timestamp'] }}}}"
# A match without that payload has no name of its rule: each document is an alert of its own, unless it has a `message`;
# one that has neither is refused.
# ElastAlert tells nothing of an end. A rule that finds one can send the same dedup_key with status: resolved.
"""


class ElastAlert2(signatures.ByToken):
    """Each match of a rule. ElastAlert never says that something is over: close the incident by hand, or write a rule that
    sends the same `dedup_key` with `status: resolved`.
    """

    name = "elastalert2"
    title = "ElastAlert 2"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A match, and what a second rule sends when it is over."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one match."""
        return Reading(alerts=(_alert(json_object(delivery.body), delivery),))


def _alert(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    name = said(*(body.get(one) for one in NAMES))
    message = said(body.get("message"), body.get("alert_text"))
    labels = {**tags_of(body.get("tags")), **dict(_labels(body, ""))}
    service = said(field_at(body, "service.name"), labels.get("service")) or first_label(labels, SERVICE_LABELS)
    service = service or said(field_at(body, "host.name")) or None
    status = Status.RESOLVED if said(body.get("status")).lower() in OVER else Status.FIRING
    word = said(body.get("severity"), body.get("priority"))
    # A template's own field first; a document may have a `timestamp` of any kind.
    at = moment(body.get("timestamp")) or moment(body.get("@timestamp"))
    discover = next((url for one in DISCOVER if (url := web_url(body.get(one)))), None)
    # When it happened that time: taken for its start, each report would be a new one.
    filled_in = [] if at and status is Status.RESOLVED else ["started_at"]
    filled_in += [] if at or status is not Status.RESOLVED else ["ended_at"]
    return Alert(
        source="elastalert2",
        identity=_identity(body, name or message, service or ""),
        status=status,
        title=short(name or message or "A match without a name"),
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=long(message),
        service=service,
        environment=first_label(labels, ENVIRONMENT_LABELS) or said(field_at(body, "service.environment")) or None,
        labels=labels,
        url=discover,
        links=links_from([("logs", discover, "Discover"), ("runbook", body.get("runbook_url"), "Runbook")]),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if status is Status.RESOLVED else None,
        occurrence=said(body.get("_id")) or None,
        source_status=said(body.get("status")) or None,
        source_severity=word or None,
        defaults=(*filled_in, *(() if name or message else ("title",))),
        attributes={key: value for key, value in body.items() if key not in KNOWN},
    )


def _identity(body: Mapping[str, Any], words: str, service: str) -> str:
    """Its own key, or its words and the service. A match that has neither names no rule: then it is one with its document
    alone, for an alert of another rule must not be taken for one that people know of.
    """
    key, document = said(body.get("dedup_key")), said(body.get("_id"))
    if not (key or words or document):
        raise Unreadable(
            "alert_name: missing, and no dedup_key, message or _id either; "
            "give the rule an http_post2_payload with alert_name and message"
        )
    own = f"{words}|{service}" if words else f"{said(body.get('_index'))}/{document}"
    return (key or own)[:500]


def _labels(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """The document's short fields under their full names; long texts and lists stay in the attributes."""
    for key, one in value.items():
        name = f"{path}{key}"
        if isinstance(one, dict):
            yield from _labels(one, "" if name == "labels" else f"{name}.")
        elif not isinstance(one, list) and name not in KNOWN:
            text = said(one)
            if name and text and len(text) <= LONGEST_LABEL:
                yield text_of(name), text


def _example(name: str, status: Status) -> Example:
    is_over = status is Status.RESOLVED

    def build(now: datetime) -> Mapping[str, object]:
        at = now.replace(microsecond=0) - timedelta(seconds=30)
        return {
            "alert_name": "Search index rejects writes",
            "severity": "high",
            "status": "resolved" if is_over else "firing",
            "service": "search",
            "environment": "production",
            "dedup_key": "search-rejects-writes|search",
            "message": "0 hits in the last 10 minutes" if is_over else "64 hits; the last: rejected execution of bulk write",
            "url": "https://kibana.example.com/app/discover#/?_a=search-rejects-writes",
            "timestamp": at.isoformat(),
        }

    return Example(name, f"Search index {'takes writes again' if is_over else 'rejects writes'}", status, build)


EXAMPLES = (_example("rejected-writes", Status.FIRING), _example("rejected-writes-resolved", Status.RESOLVED))

SOURCE = ElastAlert2()
