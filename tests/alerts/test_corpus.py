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
}
READ_AS = {
    # A pending alert of Grafana 8 does not fire yet.
    "grafana/legacy_zulip_alert_pending": "info",
}
OTHER_SEVERITY = {
    # `severity: page` is a word for critical; and PagerDuty's urgency says high where no priority does.
    "alertmanager/v3_legacy_groupkey_int", "pagerduty/v2_trigger_legacy_messages_array",
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


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_read_as_its_sender_means_it(meta):
    expected = json.loads(meta.read_text())["expect"]
    source, delivery = source_named(source_of(meta)), delivered(meta)
    if named(meta) in UNREADABLE:
        with pytest.raises(Unreadable, match=UNREADABLE[named(meta)]):
            source.parse(delivery, {})
        return

    reading = source.parse(delivery, {})

    status = READ_AS.get(named(meta), expected["status"])
    if status in NO_ALERT:
        assert not reading.alerts
        assert reading.ignored
        return
    assert len(reading.alerts) == expected["count"]
    if status == "mixed":
        assert [one.status.value for one in reading.alerts] == expected["statuses"]
    else:
        assert {said(one) for one in reading.alerts} <= {status}
    if reading.alerts and status in ("firing", "resolved"):
        assert named(meta) in OTHER_SEVERITY or reading.alerts[0].severity.value == expected["severity"]


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
