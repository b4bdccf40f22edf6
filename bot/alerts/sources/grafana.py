"""Grafana Alerting's webhook contact point (9 and later), and the legacy dashboard alerts (8 and before).

https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    label_hash,
    links_from,
    long,
    severity_of,
    short,
    text_of,
    texts_at,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources import alertmanager
from bot.errors import Unreadable

SIGNATURE = "x-grafana-alerting-signature"
TIMESTAMP = "x-grafana-alerting-timestamp"
NO_DATA = {"DatasourceNoData": "no data", "DatasourceError": "query failed"}
LEGACY = {
    "alerting": Status.FIRING,
    "no_data": Status.FIRING,
    "ok": Status.RESOLVED,
    "pending": Status.INFO,
    "paused": Status.INFO,
}
SETUP = """\
# provisioning/alerting/firstfive.yaml
apiVersion: 1
contactPoints:
  - orgId: 1
    name: firstfive
    receivers:
      - uid: firstfive
        type: webhook
        settings:
          url: {url}
          httpMethod: POST
          hmacConfig:
            secret: {secret}
            header: X-Grafana-Alerting-Signature
            timestampHeader: X-Grafana-Alerting-Timestamp
# Before Grafana 12: instead of hmacConfig, authorization_scheme: Bearer and authorization_credentials: {secret}
"""


class Grafana:
    """Alertmanager's groups with more in them; or one legacy alert."""

    name = "grafana"
    title = "Grafana"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A firing alert, its end, a query without data, and the contact point's own test."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By HMAC where the header is there, with its time where that is signed; else by token."""
        given = delivery.headers.get(SIGNATURE)
        if given is None:
            signatures.check_token(delivery, secrets, self.name)
            return
        signatures.require(secrets, delivery, self.name)
        timestamp = delivery.headers.get(TIMESTAMP)
        message = delivery.body
        if timestamp is not None:
            signatures.check_age(timestamp, now, "X-Grafana-Alerting-Timestamp")
            message = timestamp.strip().encode() + b":" + message
        signatures.check_hmac(given, message, secrets, "X-Grafana-Alerting-Signature")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """Both headers."""
        timestamp = str(int(now.timestamp()))
        signature = signatures.hex_hmac(secret, timestamp.encode() + b":" + body)
        return {"X-Grafana-Alerting-Signature": signature, "X-Grafana-Alerting-Timestamp": timestamp}

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each alert of the group, or the one legacy alert."""
        body = json_object(delivery.body)
        if "alerts" in body:
            alerts = alertmanager.group(body, self.name, delivery)
            return Reading(alerts=tuple(_grafana(alert, body) for alert in alerts))
        if "ruleName" in body or "ruleId" in body:
            return Reading(alerts=(_legacy(body, delivery),))
        raise Unreadable("alerts: missing; a custom payload cannot be read, remove the template from the contact point")

    def check(self, delivery: Delivery, mapping: Mapping[str, str]) -> None:
        """The shape of it; what is in it is read later."""
        body = json_object(delivery.body)
        if "alerts" in body:
            alertmanager.check_group(body)
        else:
            self.parse(delivery, mapping)


def _grafana(alert: Alert, body: Mapping[str, Any]) -> Alert:
    """What Grafana means by some names of alerts, and its organisations."""
    name = alert.labels.get("alertname", "")
    organisation = text_of(body.get("orgId"))
    alert = replace(alert, identity=f"{organisation}/{alert.identity}" if organisation else alert.identity)
    if name in NO_DATA:
        rule = alert.labels.get("rulename") or name
        return replace(alert, title=short(f"{rule} ({NO_DATA[name]})"), no_data=True)
    if name == "TestAlert" and alert.labels.get("instance") == "Grafana":
        return replace(alert, kind=Kind.TEST, title="TestAlert")
    return alert


def _legacy(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    tags = texts_at(body.get("tags"), "tags")
    state = first(body.get("state")).lower()
    status = LEGACY.get(state, Status.INFO)
    word = tags.get("severity", "")
    at = delivery.received_at
    return Alert(
        source="grafana",
        identity=f"{text_of(body.get('orgId'))}/rule/{text_of(body.get('ruleId')) or text_of(body.get('ruleName'))}",
        status=status,
        title=short(first(body.get("ruleName"), body.get("title")) or "An alert without a name"),
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=long(first(body.get("message"))),
        service=first_label(tags, SERVICE_LABELS),
        environment=first_label(tags, ENVIRONMENT_LABELS),
        labels=tags,
        url=web_url(body.get("ruleUrl")),
        links=links_from([("dashboard", body.get("ruleUrl"), "Dashboard")]),
        started_at=at,
        ended_at=at if status is Status.RESOLVED else None,
        source_status=state or None,
        source_severity=word or None,
        no_data=state == "no_data",
        defaults=("started_at",),
        attributes={key: value for key, value in body.items() if key not in ("tags", "message")},
    )


def _example(name: str, like: Example, **labels: str) -> Example:
    """Grafana's form of one of Alertmanager's examples."""

    def build(now: datetime) -> Mapping[str, object]:
        body: dict[str, Any] = json_object(like.body_at(now))
        one = body["alerts"][0]
        one["labels"] = {**one["labels"], **labels}
        one["fingerprint"] = label_hash(one["labels"])
        one |= {
            "silenceURL": "https://grafana.example.com/alerting/silence/new",
            "dashboardURL": "https://grafana.example.com/d/checkout",
            "panelURL": "https://grafana.example.com/d/checkout?viewPanel=2",
            "values": {"B": 7.2, "C": 1},
        }
        state = "ok" if body["status"] == "resolved" else "alerting"
        return body | {"version": "1", "orgId": 1, "title": like.title, "state": state, "message": like.title}

    return Example(name, like.title, like.status, build)


LATENCY = alertmanager.example(
    "checkout-latency", "CheckoutLatencyHigh", "checkout", "high", "Checkout p95 at 1.9 s",
    "The 95th percentile of checkout has been over 500 ms for 5 minutes.",
)  # fmt: skip
ENDED = alertmanager.example(
    "checkout-latency-resolved", "CheckoutLatencyHigh", "checkout", "high", "Checkout p95 at 1.9 s",
    "The 95th percentile of checkout has been over 500 ms for 5 minutes.", ended=True,
)  # fmt: skip
SILENT = alertmanager.example(
    "no-data", "DatasourceNoData", "payments", "critical", "Payments rate has no data", "The query returned nothing."
)
TEST = alertmanager.example("contact-point-test", "TestAlert", "", "", "Notification test", "Sent by the Test button.")
EXAMPLES = (
    _example("checkout-latency", LATENCY),
    _example("checkout-latency-resolved", ENDED),
    _example("no-data", SILENT, rulename="Payments per minute"),
    _example("contact-point-test", TEST, instance="Grafana"),
)

SOURCE = Grafana()
