"""Real payloads, where the folder of them is beside the checkout: each is read as its sender means it."""

import json
from pathlib import Path

import pytest

from bot.alerts.alert import Alert, Kind
from bot.alerts.registry import source_named, sources
from bot.alerts.source import Delivery
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SOURCE_OF = {"alertmanager-real": "alertmanager", "cloudwatch_sns": "cloudwatch"}
"""The source of a folder that is called otherwise."""
CAPTURED = sorted(CORPUS.glob("alertmanager-real/*.json"))
NO_ALERT = ("ping", "ignored", "handshake", "control", "subscription_confirmation")
"""What `expect` calls a delivery that is answered, and in which there is no alert."""


def source_of(meta: Path) -> str:
    """The source that takes a payload; a folder may have the payloads of two."""
    folder = meta.parent.name
    if folder == "elastic":
        return "kibana" if meta.name.startswith("kibana") else "elastalert2"
    return SOURCE_OF.get(folder, folder)


FILES = [path for path in sorted(CORPUS.glob("*/*.meta.json")) if source_of(path) in sources()]
# Where the reading beside the payload is not the vendor's, or not ours, and why.
UNREADABLE = {
    # Grafana 12 sends whatever its template says; nothing says which alert it is.
    "grafana/custom_payload_text_only": "custom payload",
    "healthchecks/minimal_text_body": "not JSON",
    # Refused before it is read: it is not signed.
    "cloudwatch_sns/raw_delivery_unsigned": "neither an SNS envelope",
}
READ_AS = {
    # A pending alert of Grafana 8 does not fire yet.
    "grafana/legacy_zulip_alert_pending": "info",
    # Shown as without data, and nobody's page.
    "cloudwatch_sns/captured_insufficient_data": "info",
    # Only an id and a state; the state fires.
    "newrelic/zulip_incident_default_fields_new": "firing",
    # Its state says acknowledged.
    "newrelic/zulip_incident_malformatted_time_new": "acknowledged",
    # A plain Down, and a PROBLEM, of which only the name is missing.
    "uptimerobot/invalid_payload_with_missing_data": "firing",
    "zabbix/zulip_invalid_payload_with_missing_data": "firing",
    # The vendor's update says resolved.
    "statuspage/incident_update": "resolved",
}
REFUSED = "reject_403"
"""What `expect` calls a delivery that is not taken at all: `tests/alerts/sources/` shows why."""
OTHER_SEVERITY = {
    # `severity: page` is a word for critical; and PagerDuty's urgency says high where no priority does.
    "alertmanager/v3_legacy_groupkey_int", "pagerduty/v2_trigger_legacy_messages_array",
    # On a branch that is not the repository's own.
    "github/workflow_job_failure",
}  # fmt: skip

needs_corpus = pytest.mark.skipif(not FILES, reason="the folder of real payloads is not beside this checkout")


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"


def delivered(meta: Path) -> Delivery:
    """The request as it came."""
    about = json.loads(meta.read_text())
    body = meta.parent / (about.get("body_file") or f"{meta.name.removesuffix('.meta.json')}.json")
    headers = {name.lower(): value for name, value in about["headers"].items()}
    timestamp = headers.get("x-grafana-alerting-timestamp")
    return Delivery(body.read_bytes(), headers, "main", NOW.fromtimestamp(int(timestamp), NOW.tzinfo) if timestamp else NOW)


def said(alert: Alert) -> str:
    """In the words of `expect`: the kind where that says more than the status."""
    if alert.kind is Kind.TEST:
        return "test"
    is_change = alert.change is not None and alert.kind in (Kind.DEPLOYMENT, Kind.CHANGE)
    return alert.kind.value if is_change else alert.status.value


def wrong_with(meta: Path) -> str:
    """What is wrong with how a payload is read; empty where it is read as its sender means it."""
    expected = json.loads(meta.read_text())["expect"]
    status = READ_AS.get(named(meta), expected["status"])
    if status == REFUSED:
        return ""
    try:
        reading = source_named(source_of(meta)).parse(delivered(meta), {})
    except Unreadable as error:
        return "" if UNREADABLE.get(named(meta), "\0") in error.reason else f"cannot be read: {error.reason}"
    if named(meta) in UNREADABLE:
        return "read, though it cannot be"
    if status in NO_ALERT:
        return "" if reading.ignored and not reading.alerts else f"{len(reading.alerts)} alerts of a {status}"
    if len(reading.alerts) != expected["count"]:
        return f"{len(reading.alerts)} alerts, not {expected['count']}"
    if status == "mixed":
        found = [one.status.value for one in reading.alerts]
        return "" if found == expected.get("statuses", ["firing", "resolved"]) else f"statuses {found}"
    others = {said(one) for one in reading.alerts} - {status}
    if others:
        return f"{others}, not {status}"
    if not reading.alerts or status not in ("firing", "resolved") or named(meta) in OTHER_SEVERITY:
        return ""
    severity = reading.alerts[0].severity.value
    return "" if severity == expected["severity"] else f"severity {severity}, not {expected['severity']}"


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_read_as_its_sender_means_it(meta):
    assert wrong_with(meta) == ""


def is_signed(meta: Path) -> bool:
    """Whether it has a signature that holds."""
    about = json.loads(meta.read_text())
    return "auth" in about and about["expect"]["status"] != REFUSED


def table() -> str:
    """How many real payloads of each source there are, and how many of them are read as their senders mean them."""
    rows = []
    for name, source in sources().items():
        mine = [one for one in FILES if source_of(one) == name]
        read, signed = sum(not wrong_with(one) for one in mine), sum(is_signed(one) for one in mine)
        rows.append(f"| {source.title} | {len(mine) or '–'} | {read if mine else '–'} | {signed or '–'} |")
    return "\n".join(["| source | real payloads | read as meant | signed, and the signature holds |", "|---|--:|--:|--:|", *rows])


@needs_corpus
def test_the_table_of_real_payloads_is_as_it_is_documented():
    print(table())

    assert table() in (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")


@needs_corpus
@pytest.mark.parametrize("meta", [one for one in FILES if "auth" in json.loads(one.read_text())], ids=named)
def test_a_real_signature_holds(meta):
    secret = json.loads(meta.read_text())["auth"].get("secret")
    source, delivery = source_named(source_of(meta)), delivered(meta)
    if secret is None:
        pytest.skip("it is not signed with a secret that is shared; see the source's own tests")

    source.verify(delivery, [secret], delivery.received_at)


@pytest.mark.skipif(not CAPTURED, reason="the folder of real payloads is not beside this checkout")
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_captured_request_is_read_alert_by_alert(path):
    captured = json.loads(path.read_text())
    body = captured["body"]
    raw = body if isinstance(body, str) else json.dumps(body)

    alerts = source_named("alertmanager").parse(Delivery(raw.encode(), {}, "main", NOW), {}).alerts

    given = json.loads(raw)["alerts"]
    assert [one.status.value for one in alerts] == [one["status"] for one in given]
    assert all(not one.defaults for one in alerts)
    assert all((one.ended_at is None) == (one.status.value == "firing") for one in alerts)
