"""Prometheus Alertmanager's webhook, version 4 (and 3). https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    ZERO_TIME,
    first,
    first_label,
    json_object,
    label_hash,
    links_from,
    list_at,
    long,
    map_at,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    texts_at,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources import generic
from bot.errors import Unreadable

SETUP = """\
route:
  receiver: firstfive
  group_by: [alertname, service]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 4h
receivers:
  - name: firstfive
    webhook_configs:
      - url: {url}
        send_resolved: true
        http_config:
          authorization:
            type: Bearer
            credentials: {secret}
"""
ROUTE_LABELS, REASON = "routeLabels", "notification_reason"
MOST_OF_ROUTE, MOST_OF_A_LABEL = 20, 200
"""So many labels of a route count, and so much of each: every one of its alerts has them."""
HEARTBEATS = ("watchdog", "deadmansswitch", "deadmanssnitch")
WATCHER = re.compile(
    r"(?:.*[-/])?(?:kube-state-metrics|node-?exporter|windows-exporter|process-exporter|snmp(?:-exporter)?|cadvisor|kubelet"
    r"|kubernetes-(?:nodes|pods|services|service-endpoints))|node|(?:.*[-/])?blackbox(?:-.*)?",
    re.ASCII | re.IGNORECASE,
)
"""A job, or the service in front of one, that tells of others. Whatever goes wrong in a cluster has it in common."""
WORKLOADS = ("deployment", "statefulset", "daemonset", "cronjob")
HASH = "[bcdfghjklmnpqrstvwxz2456789]"
"""The letters and digits that Kubernetes makes names of.

https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go
"""
LONGEST = 253
"""No name of a pod is longer, and none of a job that we know."""
OF_A_RUN = r"-\d{8,10}"
"""What a CronJob adds for each of its runs: the minute, of old ones the second, that it was meant for."""
OF_A_POD = re.compile(rf"(.+?)(?:-{HASH}{{6,10}}-{HASH}{{5}}|(?:{OF_A_RUN}(?:-\d{{1,4}})?)?-{HASH}{{5}}|-\d{{1,4}})", re.ASCII)
"""checkout-6c9f8d7b5-x2x4z, export-28457160-x2x4z, checkout-x2x4z, checkout-0: a pod's name, and that of what runs it."""
OF_A_JOB = re.compile(rf"(.+?)(?:{OF_A_RUN})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a group says of each of its alerts: what is only kept, its route's labels, and why it is told."""

    attributes: Mapping[str, object]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Alertmanager(signatures.ByToken):
    """Groups of alerts, firing and resolved mixed: each alert's own status counts, never the group's."""

    name = "alertmanager"
    title = "Prometheus Alertmanager"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """What `make demo` can fire."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none. Both of an HA pair send the same body."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each alert of the group."""
        body = json_object(delivery.body)
        if "alerts" not in body and mapping:
            return Reading(alerts=generic.read(body, mapping, delivery, self.name))
        return Reading(alerts=group(body, self.name, delivery))

    def check(self, delivery: Delivery, mapping: Mapping[str, str]) -> None:
        """The shape of it; what is in it is read later."""
        body = json_object(delivery.body)
        if "alerts" not in body and mapping:
            generic.read(body, mapping, delivery, self.name)
        else:
            check_group(body)


def group(body: Mapping[str, Any], source: str, delivery: Delivery) -> tuple[Alert, ...]:
    """The alerts of a group, as Alertmanager and what took its format over write them."""
    rest = Rest(_rest_of_group(body), _of_route(body), _why_told(body))
    # Whatever a route has for labels is kept whole once; the others have what counts of it.
    others = replace(rest, attributes={**rest.attributes, ROUTE_LABELS: rest.labels}) if ROUTE_LABELS in body else rest
    places = enumerate(_places(body))
    return tuple(one_alert(one, body, source, delivery, place, others if index else rest) for index, (place, one) in places)


def check_group(body: Mapping[str, Any]) -> None:
    """Raise `Unreadable` wherever `group` would."""
    for place, one in _places(body):
        for name in ("labels", "annotations"):
            map_at(one.get(name), f"{place}.{name}")


def _places(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each alert of a group, and where it stands."""
    if "alerts" not in body:
        raise Unreadable("alerts: missing; map this custom payload in policy.yaml (generic: ROUTE: …), or remove it")
    for index, one in enumerate(list_at(body["alerts"], "alerts")):
        yield f"alerts[{index}]", object_at(one, f"alerts[{index}]")


def one_alert(
    given: Mapping[str, Any],
    body: Mapping[str, Any],
    source: str,
    delivery: Delivery,
    place: str,
    rest: Rest,
) -> Alert:
    """One alert of a group, of which `rest` holds for each. What is missing is filled in, and named in `defaults`."""
    own = texts_at(given.get("labels"), f"{place}.labels")
    # What its route says of an alert holds where the alert says nothing itself.
    labels = {**rest.labels, **own}
    annotations = texts_at(given.get("annotations"), f"{place}.annotations")
    status, started_at, ended_at, defaults = _when(given, body, delivery.received_at)
    title = first(annotations.get("summary"), labels.get("alertname"), annotations.get("message"))
    word = labels.get("severity", "") or labels.get("priority", "")
    base, truncated = text_of(body.get("externalURL")), body.get("truncatedAlerts")
    if not title:
        defaults.append("title")
    return Alert(
        source=source,
        identity=first(given.get("fingerprint")) or label_hash(own),
        kind=Kind.HEARTBEAT if labels.get("alertname", "").lower() in HEARTBEATS else Kind.ALERT,
        status=status,
        title=short(title or "An alert without a name"),
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=long(first(annotations.get("description"), annotations.get("message"))),
        service=_service(labels),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        # Why it is told changes from one report to the next, and tells no alert from another: so it is no label.
        annotations={name: long(text) for name, text in {**rest.annotations, **annotations}.items()},
        url=web_url(given.get("generatorURL"), base),
        links=_links(annotations, given, base),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=_changed_at(started_at, ended_at, defaults),
        # A Prometheus that could not be reached, and can again, gives the start that it had.
        restarts=True,
        group_key=first(body.get("groupKey")) or None,
        source_status=text_of(given.get("status")) or None,
        source_severity=word or None,
        truncated_count=truncated if isinstance(truncated, int) and truncated > 0 else 0,
        defaults=tuple(defaults),
        attributes={**rest.attributes, **_unshared(body, own, annotations), "alert": _rest(given)},
    )


def _of_route(body: Mapping[str, Any]) -> dict[str, str]:
    """The labels of the route that sends it: of 0.34 and later. What is none is kept with the rest."""
    given = body.get(ROUTE_LABELS)
    pairs = islice(given.items() if isinstance(given, dict) else (), MOST_OF_ROUTE)
    cut = ((short(text_of(name), MOST_OF_A_LABEL), short(text_of(value), MOST_OF_A_LABEL)) for name, value in pairs)
    return {name: value for name, value in cut if name}


def _why_told(body: Mapping[str, Any]) -> dict[str, str]:
    """`first notification`, `repeat interval elapsed` …: of 0.32 and later."""
    why = text_of(body.get(REASON))
    return {REASON: short(why)} if why else {}


def _service(labels: Mapping[str, str]) -> str | None:
    """What is watched, rather than what watches it: alerts of one service share an incident. Of that where Prometheus found it,
    an exporter may keep its own labels, and call those of what it watches `exported_…`.
    """
    named = [labels[name] for name in SERVICE_LABELS if labels.get(name)]
    found = next((one for one in named if not _is_watcher(one)), None)
    if found or not named:
        return found
    given = [labels.get(f"{prefix}{name}", "") for prefix in ("exported_", "") for name in WORKLOADS]
    run_by = (("exported_job_name", OF_A_JOB), ("job_name", OF_A_JOB), ("exported_pod", OF_A_POD), ("pod", OF_A_POD))
    names = [form.fullmatch(labels.get(name, "")[:LONGEST]) for name, form in run_by]
    given += [found[1] for found in names if found]
    # Where nothing says what is watched it is the watcher: somebody may look after that, and route by its name.
    return next((one for one in given if one and not _is_watcher(one)), named[0])


def _is_watcher(name: str) -> bool:
    return WATCHER.fullmatch(name[:LONGEST].replace("_", "-")) is not None


def _when(
    given: Mapping[str, Any], body: Mapping[str, Any], received_at: datetime
) -> tuple[Status, datetime, datetime | None, list[str]]:
    defaults: list[str] = []
    word = first(given.get("status"), body.get("status")).lower()
    if word not in ("firing", "resolved"):
        defaults.append("status")
    status = Status.RESOLVED if word == "resolved" else Status.FIRING
    if status is Status.RESOLVED and text_of(given.get("endsAt")).startswith(ZERO_TIME):
        # Alertmanager calls an alert resolved only once it has an end. Two words against each other: the safe one.
        status = Status.FIRING
        defaults.append("status")
    started_at = moment(given.get("startsAt"))
    if started_at is None:
        defaults.append("started_at")
    ended_at = moment(given.get("endsAt")) if status is Status.RESOLVED else None
    if status is Status.RESOLVED and ended_at is None:
        defaults.append("ended_at")
        ended_at = received_at
    return status, started_at or received_at, ended_at, defaults


def _changed_at(started_at: datetime, ended_at: datetime | None, defaults: Sequence[str]) -> datetime | None:
    is_told = "status" not in defaults and ("started_at" if ended_at is None else "ended_at") not in defaults
    return (ended_at or started_at) if is_told else None


def _links(annotations: Mapping[str, str], given: Mapping[str, Any], base: str) -> tuple[Any, ...]:
    return links_from(
        [
            ("runbook", annotations.get("runbook_url") or annotations.get("runbook"), "Runbook"),
            ("dashboard", annotations.get("dashboard_url") or given.get("dashboardURL"), "Dashboard"),
            ("panel", given.get("panelURL"), "Panel"),
            ("silence", given.get("silenceURL"), "Silence"),
            ("source", given.get("generatorURL"), "Source"),
        ],
        base,
    )


SHARED = {"groupLabels": "labels", "commonLabels": "labels", "commonAnnotations": "annotations"}
"""What the alerts of a group have in common, and where each of them has it, too."""
KNOWN = frozenset({"alerts", "message", *SHARED})
MESSAGE_LIMIT = 1_000


def _rest_of_group(body: Mapping[str, Any]) -> dict[str, object]:
    """The rest of the group, so that nothing is lost. Its message has all its alerts in words, and is kept with each: so cut."""
    rest = {name: value for name, value in body.items() if name not in KNOWN}
    return rest | ({"message": text_of(body["message"])[:MESSAGE_LIMIT]} if body.get("message") else {})


def _unshared(body: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, object]:
    """What the group is said to have in common, and this alert has not."""
    own, found = {"labels": labels, "annotations": annotations}, {}
    for name, where in SHARED.items():
        given = body.get(name)
        pairs = given.items() if isinstance(given, dict) else ()
        found[name] = {key: value for key, value in pairs if own[where].get(key) != text_of(value)}
    return {name: more for name, more in found.items() if more}


def _rest(given: Mapping[str, Any]) -> dict[str, object]:
    """The rest of the alert: its times and addresses as they came, and whatever else its sender knows of it."""
    rest = {name: value for name, value in given.items() if name not in ("labels", "annotations")}
    image = rest.get("embeddedImage")
    return rest | ({"embeddedImage": f"an image of {len(text_of(image))} characters, left out"} if image else {})


def example(
    name: str, alertname: str, service: str, severity: str, summary: str, description: str, *, ended: bool = False
) -> Example:
    """A group of one alert, fired five minutes ago if it has ended, else just now."""

    def build(now: datetime) -> Mapping[str, object]:
        labels = {"alertname": alertname, "service": service, "severity": severity, "environment": "production"}
        started = now.replace(microsecond=0) - timedelta(seconds=20)
        status = "resolved" if ended else "firing"
        return {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{alertname}", service="{service}"}}',
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "firstfive",
            "groupLabels": {"alertname": alertname, "service": service},
            "commonLabels": labels,
            "commonAnnotations": {"summary": summary},
            "externalURL": "http://alertmanager.example.com:9093",
            "alerts": [
                {
                    "status": status,
                    "labels": labels,
                    "annotations": {
                        "summary": summary,
                        "description": description,
                        "dashboard_url": f"https://grafana.example.com/d/{service}",
                    },
                    "startsAt": (started - timedelta(minutes=5) if ended else started).isoformat(),
                    "endsAt": now.replace(microsecond=0).isoformat() if ended else "0001-01-01T00:00:00Z",
                    "generatorURL": f"http://prometheus.example.com:9090/graph?g0.expr={alertname}",
                    "fingerprint": label_hash(labels),
                }
            ],
        }

    return Example(name, summary, Status.RESOLVED if ended else Status.FIRING, build)


CHECKOUT = (
    "CheckoutErrorRateHigh", "checkout", "critical", "Checkout 5xx at 7 % on web",
    "7.2 % of checkout requests failed in the last 5 minutes; the usual is under 0.1 %.",
)  # fmt: skip
EXAMPLES = (
    example("checkout-errors", *CHECKOUT),
    example("checkout-errors-resolved", *CHECKOUT, ended=True),
    example("database-connections", "DatabaseConnectionsExhausted", "payments", "critical",
            "Payments database: 98 of 100 connections in use", "New requests wait for a connection for more than 2 s."),
    example("payment-provider", "PaymentProviderErrors", "payments", "critical",
            "Card payments: 31 % declined by the provider", "The provider answers 503 to a third of the requests."),
    example("instance-down", "InstanceDown", "search", "critical",
            "search-2 has been down for 3 min", "The target has not answered a scrape for 3 minutes."),
    example("latency", "HighLatencyP95", "web", "warning",
            "Web p95 at 840 ms", "The 95th percentile has been over 200 ms for 10 minutes."),
    example("disk", "DiskWillFillIn4Hours", "platform", "warning",
            "Disk of node-7 will be full in 4 h", "At the rate of the last hour, /var/lib is full at the stated time."),
    example("crash-loop", "KubePodCrashLooping", "checkout", "warning",
            "checkout-6c9f restarts every 40 s", "The container has restarted 9 times in 10 minutes."),
    example("queue", "QueueBacklogGrowing", "search", "warning",
            "Index queue at 120 000 and growing", "Consumers take 300 messages a second, producers write 450."),
    example("certificate", "CertificateExpiresSoon", "web", "info",
            "Certificate of shop.example.com expires in 9 days", "Renewal has not happened at its usual time."),
)  # fmt: skip

SOURCE = Alertmanager()
