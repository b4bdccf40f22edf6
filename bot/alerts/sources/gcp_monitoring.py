"""Google Cloud Monitoring's webhook notification channels. https://cloud.google.com/monitoring/support/notification-options#webhooks"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Link, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    label_hash,
    links_from,
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
gcloud beta monitoring channels create --display-name=Firstfive --type=webhook_basicauth \\
  --channel-labels=url={url},username=firstfive,password={secret}
# Add the channel to each alerting policy, with notifications on incident closure.
# Without basic authentication: --type=webhook_tokenauth --channel-labels=url={url}?token={secret}
# A policy's user labels `service`, `environment` and `severity` are read.
"""
STATUSES = {
    "open": Status.FIRING,
    "closed": Status.RESOLVED,
    "acknowledged": Status.ACKNOWLEDGED,
}
NAMES = ("policy_name", "condition_name", "scoping_project_id", "resource_type_display_name")
"""What a policy of ours may match on, beside the labels of resource, metric and policy."""
READ = frozenset({"summary", "policy_user_labels", "url"})


class GcpMonitoring(signatures.ByToken):
    """One incident of an alerting policy, opened or closed. A log-based one has no metric, and closes by itself."""

    name = "gcp_monitoring"
    title = "Google Cloud Monitoring"
    setup = SETUP
    identity_window_seconds: int | None = 300

    @property
    def examples(self) -> Sequence[Example]:
        """An incident, its end, and one for want of data."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The incident."""
        body = json_object(delivery.body)
        if body.get("incident") is None:
            raise Unreadable("incident: missing; is this a webhook of Cloud Monitoring?")
        incident = object_at(body["incident"], "incident")
        return Reading(alerts=(_alert(incident, first(body.get("version")), delivery),))


def _alert(incident: Mapping[str, Any], version: str, delivery: Delivery) -> Alert:
    state = first(incident.get("state"))
    labels = _labels(incident)
    documentation, links = _documentation(incident.get("documentation"))
    title = first(incident.get("condition_name"), incident.get("policy_name"), incident.get("summary"))
    status = STATUSES.get(state.lower(), Status.FIRING)
    started_at, ended_at = moment(incident.get("started_at")), moment(incident.get("ended_at"))
    is_over = status is Status.RESOLVED
    missing = {
        "title": not title,
        "status": state.lower() not in STATUSES,
        "started_at": started_at is None,
        "ended_at": is_over and ended_at is None,
    }
    word = first(incident.get("severity"), labels.get("severity"))
    condition = object_at(incident.get("condition"), "incident.condition")
    return Alert(
        source="gcp_monitoring",
        identity=_identity(incident, labels),
        kind=Kind.TEST if version == "test" else Kind.ALERT,
        status=status,
        title=short(title or "An incident without a name"),
        severity=severity_of(word),
        description=long("\n\n".join(filter(None, (first(incident.get("summary")), documentation)))),
        service=_service(incident, labels),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        annotations={name: first(incident[name]) for name in ("observed_value", "threshold_value") if incident.get(name)},
        url=web_url(incident.get("url")),
        links=links,
        started_at=started_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if is_over else None,
        changed_at=ended_at if is_over else started_at,
        group_key=first(incident.get("policy_name")) or None,
        source_status=state or None,
        source_severity=word or None,
        no_data="conditionAbsent" in condition,
        defaults=tuple(name for name, is_missing in missing.items() if is_missing),
        attributes={"version": version, **{name: value for name, value in incident.items() if name not in READ}},
    )


def _identity(incident: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The incident's id; without one, the condition and what it is about."""
    given = first(incident.get("incident_id"))
    if given:
        return given
    about = {name: first(incident.get(name)) for name in ("policy_name", "condition_name", "resource_name")}
    if not any(about.values()):
        raise Unreadable("incident.incident_id: missing, and no policy or condition is named either")
    return label_hash({**labels, **about})


def _labels(incident: Mapping[str, Any]) -> dict[str, str]:
    """The labels of resource, metric, the resource's owners and the policy's, the later over the earlier."""
    labels = {name: first(incident.get(name)) for name in NAMES if first(incident.get(name))}
    for name in ("resource", "metric"):
        labels |= texts_at(object_at(incident.get(name), f"incident.{name}").get("labels"), f"incident.{name}.labels")
    metadata = object_at(incident.get("metadata"), "incident.metadata")
    labels |= texts_at(metadata.get("user_labels"), "incident.metadata.user_labels")
    return labels | texts_at(incident.get("policy_user_labels"), "incident.policy_user_labels")


def _service(incident: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    return first_label(labels, SERVICE_LABELS) or first(incident.get("resource_display_name"), incident.get("resource_name")) or None


def _documentation(value: Any) -> tuple[str, tuple[Link, ...]]:
    """What the policy's author wrote, and its links; a test has plain text there."""
    if not isinstance(value, dict):
        return first(value), ()
    given = value.get("links")
    links = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return first(value.get("content")), links_from([("runbook", one.get("url"), first(one.get("displayName"))) for one in links])


def _example(name: str, title: str, *, ended: bool = False, absent: bool = False) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        condition = "Cart API sends no metrics" if absent else "Cart API latency over 800 ms"
        started = int(now.timestamp()) - (420 if ended else 0)
        about = "conditionAbsent" if absent else "conditionThreshold"
        return {
            "version": "1.2",
            "incident": {
                "incident_id": "0.cart-absent" if absent else "0.cart-latency",
                "scoping_project_id": "shop-production",
                "url": "https://console.cloud.google.com/monitoring/alerting/alerts/0.cart?project=shop-production",
                "started_at": started,
                "ended_at": int(now.timestamp()) if ended else None,
                "state": "closed" if ended else "open",
                "severity": "Critical",
                "summary": f"{condition} for cart-api in europe-west1.",
                "observed_value": "640.0" if ended else "1312.5",
                "threshold_value": "800",
                "resource": {"type": "cloud_run_revision", "labels": {"location": "europe-west1"}},
                "resource_type_display_name": "Cloud Run Revision",
                "resource_display_name": "cart-api",
                "resource_name": "shop-production cart-api",
                "metric": {"type": "run.googleapis.com/request_latencies", "labels": {"response_code_class": "2xx"}},
                "policy_name": "Cart API",
                "policy_user_labels": {"service": "cart", "environment": "production"},
                "condition_name": condition,
                "condition": {"displayName": condition, about: {"duration": "300s"}},
                "documentation": {
                    "content": "Look at the last deployment first.",
                    "mime_type": "text/markdown",
                    "links": [{"displayName": "Runbook", "url": "https://wiki.example.com/cart-latency"}],
                },
            },
        }

    return Example(name, title, Status.RESOLVED if ended else Status.FIRING, build)


EXAMPLES = (
    _example("cart-latency", "Cart API latency over 800 ms"),
    _example("cart-latency-closed", "Cart API latency back to normal", ended=True),
    _example("cart-absent", "Cart API sends no metrics", absent=True),
)

SOURCE = GcpMonitoring()
