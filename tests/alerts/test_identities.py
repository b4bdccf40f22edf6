"""What fires and what is over are one alert: the payloads of which their sender says so have one fingerprint, others have not."""

import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bot.alerts.alert import Status
from bot.alerts.registry import source_named
from bot.errors import Unreadable
from tests.alerts.test_corpus import FILES, REFUSED, delivered, named, needs_corpus, source_of

KEYS = {
    "alertmanager": ("alerts[].fingerprint",),
    "azure_monitor": ("data.essentials.originAlertId", "context.id+context.resourceId", "data.context.id+data.context.resourceId"),
    "cloudwatch": ("AlarmArn", "resources[]", "AWSAccountId+Region+AlarmName"),
    "datadog": ("incident_uuid", "alert_id+alert_scope"),
    "elastalert2": ("dedup_key",),
    "kibana": ("rule_id+alert_id",),
    "freshping": ("webhook_event_data.check_id",),
    "gcp_monitoring": ("incident.incident_id",),
    "generic": ("dedup_key", "alert_uid"),
    "github": ("repository.id+alert.number",),
    "grafana": ("orgId+alerts[].fingerprint", "orgId+ruleId", "ruleId"),
    "healthchecks": ("code",),
    "honeycomb": ("id",),
    "nagios": ("host+service",),
    "newrelic": ("id", "incident_id"),
    "opsgenie": ("alert.alertId",),
    "pagerduty": ("event.data.incident.id", "event.data.id", "messages[].incident.id"),
    "pingdom": ("check_id",),
    "sentry": ("data.event.issue_id", "data.issue.id", "data.metric_alert.id"),
    "statuscake": ("Name+URL",),
    "statuspage": ("incident.id", "component.id"),
    "updown": ("[].check.token",),
    "uptime_kuma": ("monitor.id",),
    "vercel": ("payload.project.id+payload.target",),
    "zabbix": ("event_id",),
}
"""Where a sender says which alert it is, as the facts beside the payloads have it; the first that is there counts.

Those of which nothing has two payloads are not in it. Snyk and SonarQube have tests of their own below.
"""
APART = {
    # A test has the number of what it tries, and must not be taken for it; nor may a deployment that is no alert.
    ("freshping", "test"), ("vercel", "deployment_created"), ("vercel", "deployment_ready"),
}  # fmt: skip
PAIRS = {
    "alertmanager", "azure_monitor", "cloudwatch", "datadog", "freshping", "gcp_monitoring", "github", "grafana", "healthchecks",
    "honeycomb", "kibana", "nagios", "newrelic", "opsgenie", "pingdom", "sentry", "statuscake", "statuspage", "updown",
    "uptime_kuma", "vercel", "zabbix",
}  # fmt: skip
"""Sources of which there is at least one that fires and its end."""


def values_at(value: Any, path: str) -> list[str]:
    """What stands at `a.b[].c`; at `a+b`, each of the one with each of the other."""
    if "+" in path:
        return ["|".join(parts) for parts in product(*(values_at(value, one) for one in path.split("+")))]
    found = [value]
    for name in filter(None, re.split(r"\.|(?=\[\])", path)):
        if name == "[]":
            found = [one for held in found if isinstance(held, list) for one in held]
        else:
            found = [held[name] for held in found if isinstance(held, dict) and held.get(name) is not None]
    return [str(one) for one in found]


def body_of(meta: Path) -> Any:
    """What was sent, as far as it is JSON or a form; of SNS, what is in the envelope."""
    raw = delivered(meta).body.decode("utf-8", "replace")
    try:
        body = json.loads(raw)
        return json.loads(body["Message"]) if isinstance(body, dict) and "TopicArn" in body else body
    except ValueError:
        return dict(parse_qsl(raw))


def keys_in(meta: Path) -> list[str]:
    """Which alerts their sender says that these are."""
    body = body_of(meta)
    for path in KEYS.get(source_of(meta), ()):
        if found := values_at(body, path):
            # New Relic's incidents and issues are two rows of numbers.
            return [f"{path}={one}" if path == "incident_id" else one for one in found]
    return []


def told() -> Iterator[tuple[str, str, str, str, Status]]:
    """Source, case, the sender's key, our fingerprint and the status, of each alert of which all that can be said."""
    for meta in FILES:
        source, case = source_of(meta), named(meta).partition("/")[2]
        if json.loads(meta.read_text())["expect"]["status"] == REFUSED or (source, case) in APART:
            continue
        try:
            alerts = source_named(source).parse(delivered(meta), {}).alerts
        except Unreadable:
            continue
        keys = keys_in(meta)
        if len(keys) == len(alerts):
            for key, one in zip(keys, alerts, strict=True):
                yield source, case, key, one.fingerprint("main"), one.status


@needs_corpus
def test_what_its_sender_calls_one_alert_has_one_fingerprint():
    found: dict[tuple[str, str], dict[str, str]] = {}
    for source, case, key, fingerprint, _ in told():
        found.setdefault((source, key), {})[case] = fingerprint

    assert {one: cases for one, cases in found.items() if len(set(cases.values())) > 1} == {}


@needs_corpus
def test_what_its_sender_calls_two_alerts_has_two_fingerprints():
    found: dict[tuple[str, str], set[str]] = {}
    for source, _, key, fingerprint, _ in told():
        found.setdefault((source, fingerprint), set()).add(key)

    assert {one: keys for one, keys in found.items() if len(keys) > 1} == {}


@needs_corpus
def test_there_are_pairs_of_most_sources_to_show_it_with():
    statuses: dict[tuple[str, str], set[Status]] = {}
    for source, _, key, _, status in told():
        statuses.setdefault((source, key), set()).add(status)

    assert {source for (source, _), seen in statuses.items() if {Status.FIRING, Status.RESOLVED} <= seen} == PAIRS


PAIRED = [
    ("snyk/project_snapshot_new_issues", "snyk/project_snapshot_removed_issues"),
    ("sonarqube/error", "sonarqube/success"),
    ("sonarqube/error_no_branch", "sonarqube/success_no_branch"),
    ("github/workflow_run_completed_failure", "github/workflow_run_completed_success"),
    ("github/deployment_status_failure", "github/deployment_status_success"),
]
"""Those that are found by more than one number: what fires, and what ends it."""


@needs_corpus
@pytest.mark.parametrize(("fires", "ends"), PAIRED)
def test_what_is_found_by_more_than_one_number_pairs_too(fires, ends):
    files = {named(meta): meta for meta in FILES}
    first, last = (
        {one.fingerprint("main") for one in source_named(name.partition("/")[0]).parse(delivered(files[name]), {}).alerts}
        for name in (fires, ends)
    )

    assert last
    assert last <= first
