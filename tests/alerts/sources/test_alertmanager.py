"""Alertmanager's groups, and Grafana's: what each alert has beside its labels, and a custom payload."""

import json
from typing import Any

import pytest

from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import as_json
from bot.alerts.registry import source_named
from bot.errors import Unreadable
from tests.alerts.test_sources import delivery

ONE = {
    "status": "firing", "labels": {"alertname": "Disk", "instance": "db-1"}, "annotations": {"summary": "Disk is full"},
    "startsAt": "2026-08-01T09:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f1",
}  # fmt: skip


def read(name: str = "alertmanager", alert: dict[str, Any] | None = None, **group: Any) -> Alert:
    body = {"version": "4", "status": "firing", "receiver": "bot", "alerts": [ONE | (alert or {})], **group}
    [one] = source_named(name).parse(delivery(json.dumps(body).encode()), {}).alerts
    return one


def test_why_alertmanager_tells_it_and_by_which_route_is_kept():
    one = read(notification_reason="repeat interval elapsed", routeLabels={"team": "core"}, groupKey="{}:{}")

    assert one.attributes["notification_reason"] == "repeat interval elapsed"
    assert one.attributes["routeLabels"] == {"team": "core"}


def test_why_alertmanager_tells_it_and_by_which_route_can_be_matched():
    why = read(notification_reason="repeat interval elapsed", routeLabels={"team": "core", "instance": "any", "tier": 1})

    assert why.annotations["notification_reason"] == "repeat interval elapsed"
    assert why.labels == {"team": "core", "tier": "1", **ONE["labels"]}
    assert read(routeLabels={"service": "shop"}, alert={"labels": {"alertname": "A", "job": "cart"}}).service == "shop"


def test_a_route_s_labels_do_not_tell_one_alert_from_another():
    bare, by_route = (read(alert={"fingerprint": None}, **more) for more in ({}, {"routeLabels": {"team": "core"}}))

    assert bare.identity == by_route.identity


def test_of_very_many_labels_of_a_route_some_count():
    assert len(read(routeLabels={f"name_{number}": "x" for number in range(5_000)}).labels) == 22


def test_of_a_long_label_of_a_route_the_beginning_counts():
    given = {"team": "core " * 1_000, "n" * 1_000: "x"}
    one = read(routeLabels=given)

    assert one.labels["team"].startswith("core core")
    assert max(map(len, (*one.labels, *one.labels.values()))) == 200
    assert one.attributes["routeLabels"] == given


def test_the_labels_of_a_route_are_kept_whole_once_and_not_with_each_of_its_alerts():
    given = {"team": "v" * 100_000, **{f"name_{number}": "x" for number in range(100)}}
    alerts = [ONE | {"fingerprint": str(number)} for number in range(50)]
    body = {"version": "4", "status": "firing", "alerts": alerts, "routeLabels": given}
    first, *others = source_named("alertmanager").parse(delivery(json.dumps(body).encode()), {}).alerts

    assert first.attributes["routeLabels"] == given
    assert all(len(json.dumps(as_json(one))) < 5_000 for one in others)
    assert {one.labels["team"] for one in others} == {first.labels["team"]}


@pytest.mark.parametrize("odd", [None, "core", ["team"], {"": "core"}])
def test_odd_labels_of_a_route_are_none(odd):
    assert read(routeLabels=odd, notification_reason=None).labels == ONE["labels"]


@pytest.mark.parametrize("name", ["alertmanager", "grafana"])
def test_whatever_else_is_said_of_an_alert_is_kept_with_it(name):
    more = {
        "values": {"B": 7.2, "C": 1}, "valueString": "[ var='B' value=7.2 ]", "imageURL": "https://g.example.com/i.png",
        "ruleUID": "r-1", "orgId": 3, "enrichments": [{"dashboards": ["d-1"]}], "unheard_of": {"of": True},
    }  # fmt: skip
    one = read(name, more)

    assert {key: one.attributes["alert"][key] for key in more} == more
    assert not {"labels", "annotations"} & set(one.attributes["alert"])


def test_of_an_image_in_an_alert_is_kept_that_there_was_one():
    one = read("grafana", {"embeddedImage": "iVBORw0KGgo" * 10_000})

    assert one.attributes["alert"]["embeddedImage"] == "an image of 110000 characters, left out"


def test_what_a_group_has_in_common_is_kept_where_its_alert_says_otherwise_and_only_there():
    alike = read(groupLabels={"alertname": "Disk"}, commonLabels=ONE["labels"], commonAnnotations=ONE["annotations"])
    other = read(groupLabels={"alertname": "Load"}, commonAnnotations={"summary": "Busy", "runbook": "x"}, commonLabels="odd")

    assert not {"groupLabels", "commonLabels", "commonAnnotations"} & set(alike.attributes)
    assert other.attributes["groupLabels"] == {"alertname": "Load"}
    assert other.attributes["commonAnnotations"] == {"summary": "Busy", "runbook": "x"}


def test_the_message_of_a_group_is_kept_cut():
    assert read("grafana", message="Firing " * 1_000).attributes["message"] == ("Firing " * 143)[:1_000]
    assert "message" not in read().attributes


CUSTOM = {"what": "Disk is full", "how": "resolved", "who": {"id": "d-1"}, "bad": "high", "svc": "ledger"}
MAPPING = {"title": "what", "status": "how", "dedup_key": "who.id", "severity": "bad", "service": "svc"}


def test_a_custom_payload_is_read_through_the_mapping_of_its_route():
    source, body = source_named("alertmanager"), delivery(json.dumps(CUSTOM).encode())

    source.check(body, MAPPING)
    [one] = source.parse(body, MAPPING).alerts

    assert (one.source, one.title, one.status, one.identity) == ("alertmanager", "Disk is full", Status.RESOLVED, "d-1")
    assert (one.severity, one.service) == (Severity.HIGH, "ledger")


def test_a_group_is_read_as_one_where_there_is_a_mapping_too():
    body = delivery(json.dumps({"version": "4", "alerts": [ONE]}).encode())

    assert [one.identity for one in source_named("alertmanager").parse(body, MAPPING).alerts] == ["f1"]


def test_a_custom_payload_without_a_mapping_says_where_to_write_one():
    source, body = source_named("alertmanager"), delivery(json.dumps(CUSTOM).encode())

    for look in (source.check, source.parse):
        with pytest.raises(Unreadable, match=r"alerts: missing; map this custom payload in policy\.yaml"):
            look(body, {})


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"job": "checkout"}, "checkout"),
        ({"job": "mysqld-exporter"}, "mysqld-exporter"),
        ({"job": "node-red"}, "node-red"),
        ({"job": "kube-state-metrics", "service": "checkout"}, "checkout"),
        ({"job": "kube-state-metrics", "deployment": "checkout"}, "checkout"),
        ({"job": "kube-state-metrics", "service": "prometheus-kube-state-metrics", "statefulset": "orders-db"}, "orders-db"),
        ({"job": "kube-state-metrics", "pod": "checkout-6c9f8d7b5-x2x4z"}, "checkout"),
        ({"job": "kubelet", "pod": "orders-db-0"}, "orders-db"),
        # Each run of a CronJob has the minute that it was meant for in its name, some have an index.
        ({"job": "kube-state-metrics", "pod": "checkout-export-28457160-x2x4z"}, "checkout-export"),
        ({"job": "kube-state-metrics", "pod": "checkout-export-1707429600-0-x2x4z"}, "checkout-export"),
        ({"job": "kube-state-metrics", "job_name": "checkout-export-28457160"}, "checkout-export"),
        ({"job": "kube-state-metrics", "exported_job_name": "checkout-export-28457160", "job_name": "x"}, "checkout-export"),
        ({"job": "kube-state-metrics", "job_name": "migrate-v2"}, "migrate-v2"),
        ({"job": "kube-state-metrics", "job_name": "28457160"}, "28457160"),
        ({"job": "kube-state-metrics", "cronjob": "export", "job_name": "manual-x2x4z"}, "export"),
        # A number is also part of a name.
        ({"job": "kubelet", "pod": "orders-20260801-0"}, "orders-20260801"),
        ({"job": "kubelet", "pod": "redis-1-x2x4z"}, "redis-1"),
        ({"job": "integrations/kubernetes/cadvisor", "pod": "log-shipper-x2x4z"}, "log-shipper"),
        ({"job": "kube-state-metrics", "pod": "kube-state-metrics-6c9f8d7b5-x2x4z", "exported_pod": "checkout-6c9f8d7b5-x2x4z"},
         "checkout"),
        ({"job": "kube-state-metrics", "pod": "kube-state-metrics-6c9f8d7b5-x2x4z"}, "kube-state-metrics"),
        ({"job": "kube-state-metrics", "namespace": "shop"}, "kube-state-metrics"),
        ({"job": "node", "instance": "10.0.0.5:9100"}, "node"),
        ({"job": "monitoring/node_exporter"}, "monitoring/node_exporter"),
        ({"job": "node-exporter", "host": "db-3"}, "db-3"),
        ({"job": "blackbox-http", "instance": "https://shop.example.com"}, "blackbox-http"),
        ({"job": "kubernetes-pods"}, "kubernetes-pods"),
        ({"pod": "checkout-6c9f8d7b5-x2x4z"}, None),
    ],
)  # fmt: skip
def test_what_tells_of_others_is_the_service_only_where_nothing_says_what_is_watched(labels, service):
    assert read(alert={"labels": {"alertname": "A", **labels}}).service == service
