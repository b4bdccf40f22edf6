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
# Where the reading beside the payload is not the vendor's, or not ours, and why; docs/sources.md says all of it.
UNREADABLE = {
    "grafana/custom_payload_text_only": (
        "custom payload",
        "Grafana 12 sends what its template says, and nothing says which alert it is",
    ),
    "healthchecks/minimal_text_body": ("not JSON", "a text, of which nothing says which check it is; our snippet sends JSON"),
    "cloudwatch_sns/raw_delivery_unsigned": ("neither an SNS envelope", "raw delivery is not signed: refused before it is read"),
}
"""What is said of those that cannot be read, and why they cannot."""
READ_AS = {
    "grafana/legacy_zulip_alert_pending": ("info", "a pending alert of Grafana 8 does not fire yet"),
    "cloudwatch_sns/captured_insufficient_data": (
        "info",
        "noted as without data; nobody is paged, or told, unless a route asks for it",
    ),
    "newrelic/zulip_incident_default_fields_new": ("firing", "only an id and a state, and the state fires"),
    "newrelic/zulip_incident_malformatted_time_new": ("acknowledged", "its state says acknowledged; only its time is odd"),
    "uptimerobot/invalid_payload_with_missing_data": ("firing", "a plain Down, of which only the name is missing"),
    "zabbix/zulip_invalid_payload_with_missing_data": ("firing", "a PROBLEM, of which only the name is missing"),
    "statuspage/incident_update": ("resolved", "the vendor's own update says resolved"),
}
"""The status that it is read as, and why."""
SEVERITIES = {
    "alertmanager/v3_legacy_groupkey_int": (("critical",), "`severity: page` is a word for critical"),
    "pagerduty/v2_trigger_legacy_messages_array": (("high",), "PagerDuty's urgency says high where no priority does"),
    "github/workflow_job_failure": (("low",), "on a branch that is not the repository's own"),
    "freshping/test": (("info",), "a test of the connection is no outage"),
    "datadog/default_payload_triggered": (("high",), "the default payload says that it triggered, and no more: unknown pages nobody"),
    "sentry/comment_created": (("unknown",), "a comment does not say how bad its issue is"),
    "snyk/project_snapshot_new_issues": (("critical", "low"), "each issue says its own severity, and the second is low"),
}
"""The severity that each of its alerts is read with, and why."""
ELSEWHERE = {
    "slack/slash_command_signed_vector.form": "Slack's own request: `tests/web/test_signed.py` sends it to `/slack/events`",
    "slack/url_verification.json": "Slack's handshake: `tests/web/test_signed.py` sends it to `/slack/events`",
    "cloudwatch_sns/test_signing_cert.pem": "no delivery: the certificate that SNS' messages are signed with",
}
"""Files that are no payload of a source, and where they are tried."""
REFUSED = "reject_403"
"""What `expect` calls a delivery that is not taken at all: `tests/alerts/sources/` shows why."""

needs_corpus = pytest.mark.skipif(not FILES, reason="the folder of real payloads is not beside this checkout")


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"


def body_of(meta: Path) -> Path:
    """The file with the body."""
    return meta.parent / (json.loads(meta.read_text()).get("body_file") or f"{meta.name.removesuffix('.meta.json')}.json")


def delivered(meta: Path) -> Delivery:
    """The request as it came."""
    about = json.loads(meta.read_text())
    headers = {name.lower(): value for name, value in about["headers"].items()}
    timestamp = headers.get("x-grafana-alerting-timestamp")
    at = NOW.fromtimestamp(int(timestamp), NOW.tzinfo) if timestamp else NOW
    return Delivery(body_of(meta).read_bytes(), headers, "main", at)


def said(alert: Alert) -> str:
    """In the words of `expect`: the kind where that says more than the status."""
    if alert.kind is Kind.TEST:
        return "test"
    is_change = alert.change is not None and alert.kind in (Kind.DEPLOYMENT, Kind.CHANGE)
    return alert.kind.value if is_change else alert.status.value


def wrong_with(meta: Path) -> str:
    """What is wrong with how a payload is read; empty where it is read as its sender means it."""
    expected = json.loads(meta.read_text())["expect"]
    status, _ = READ_AS.get(named(meta), (expected["status"], ""))
    if status == REFUSED:
        return ""
    try:
        reading = source_named(source_of(meta)).parse(delivered(meta), {})
    except Unreadable as error:
        return "" if UNREADABLE.get(named(meta), ("\0", ""))[0] in error.reason else f"cannot be read: {error.reason}"
    if named(meta) in UNREADABLE:
        return "read, though it cannot be"
    if status in NO_ALERT:
        return "" if reading.ignored and not reading.alerts else f"{len(reading.alerts)} alerts of a {status}"
    if len(reading.alerts) != expected["count"]:
        return f"{len(reading.alerts)} alerts, not {expected['count']}"
    statuses = list(map(said, reading.alerts))
    wanted = expected.get("statuses", ["firing", "resolved"]) if status == "mixed" else [status] * len(statuses)
    if statuses != wanted:
        return f"statuses {statuses}, not {wanted}"
    severities = tuple(one.severity.value for one in reading.alerts)
    meant, _ = SEVERITIES.get(named(meta), ((expected["severity"],) * len(severities), ""))
    return "" if severities == meant else f"severities {severities}, not {meant}"


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_read_as_its_sender_means_it(meta):
    assert wrong_with(meta) == ""


def is_signed(meta: Path) -> bool:
    """Whether it has a signature that holds."""
    about = json.loads(meta.read_text())
    return "auth" in about and about["expect"]["status"] != REFUSED


@needs_corpus
def test_no_file_of_the_folder_is_left_out():
    there = {path for path in CORPUS.glob("*/*") if not path.name.endswith(".meta.json")}
    left_out = there - {body_of(meta) for meta in FILES} - set(CAPTURED)

    assert {path.relative_to(CORPUS).as_posix() for path in left_out} == set(ELSEWHERE)


@needs_corpus
def test_what_is_read_otherwise_than_noted_is_there_and_would_be_wrong_without_its_reason(monkeypatch):
    files = {named(meta): meta for meta in FILES}
    for kept in (READ_AS, SEVERITIES, UNREADABLE):
        for name in dict(kept):
            with monkeypatch.context() as patched:
                patched.delitem(kept, name)
                assert wrong_with(files[name]) != "", name


@needs_corpus
@pytest.mark.parametrize("meta", [one for one in FILES if "auth" in json.loads(one.read_text())], ids=named)
def test_a_real_signature_holds(meta):
    secret = json.loads(meta.read_text())["auth"].get("secret")
    source, delivery = source_named(source_of(meta)), delivered(meta)
    if secret is None:
        pytest.skip("it is not signed with a secret that is shared; see the source's own tests")

    source.verify(delivery, [secret], delivery.received_at)


def captured_body(path: Path) -> bytes:
    """The body of a request that was captured as a whole."""
    body = json.loads(path.read_text())["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def wrong_with_captured(path: Path) -> str:
    """The same of a captured request, whose own statuses say what it means."""
    raw = captured_body(path)
    alerts = source_named("alertmanager").parse(Delivery(raw, {}, "main", NOW), {}).alerts
    found, meant = [one.status.value for one in alerts], [one["status"] for one in json.loads(raw)["alerts"]]
    if found != meant:
        return f"statuses {found}, not {meant}"
    filled_in = [one.defaults for one in alerts if one.defaults]
    if filled_in:
        return f"filled in {filled_in}"
    ended = [one.status.value for one in alerts if (one.ended_at is None) != (one.status.value == "firing")]
    return f"ends of {ended}" if ended else ""


@pytest.mark.skipif(not CAPTURED, reason="the folder of real payloads is not beside this checkout")
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_captured_request_is_read_alert_by_alert(path):
    assert wrong_with_captured(path) == ""
