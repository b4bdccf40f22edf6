"""Real payloads, where the folder of them is beside the checkout: each is read as its sender means it."""

import json
from pathlib import Path

import pytest

from bot.alerts.registry import source_named
from bot.alerts.source import Delivery
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FOLDERS = ("alertmanager", "grafana", "pagerduty", "generic")
FILES = sorted(path for folder in FOLDERS for path in CORPUS.glob(f"{folder}/*.meta.json"))
CAPTURED = sorted(CORPUS.glob("alertmanager-real/*.json"))
UNREADABLE = {"grafana/custom_payload_text_only"}
# Where the reading beside the payload is not the vendor's: pending alerts of Grafana 8 do not fire yet.
NOT_FIRING = {"grafana/legacy_zulip_alert_pending": "info"}

needs_corpus = pytest.mark.skipif(not FILES, reason="the folder of real payloads is not beside this checkout")


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"


def body_of(meta: Path) -> bytes:
    return (meta.parent / f"{meta.name.removesuffix('.meta.json')}.json").read_bytes()


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_read_as_its_sender_means_it(meta):
    about = json.loads(meta.read_text())
    expected = about["expect"]
    headers = {name.lower(): value for name, value in about["headers"].items()}
    delivery = Delivery(body_of(meta), headers, "main", NOW)
    source = source_named(meta.parent.name)
    if named(meta) in UNREADABLE:
        with pytest.raises(Unreadable, match="custom payload"):
            source.parse(delivery, {})
        return

    reading = source.parse(delivery, {})

    assert len(reading.alerts) == expected["count"]
    if not reading.alerts:
        assert reading.ignored
        return
    statuses = {one.status.value for one in reading.alerts}
    status = NOT_FIRING.get(named(meta), expected["status"])
    if status == "mixed":
        assert [one.status.value for one in reading.alerts] == expected["statuses"]
    elif status == "test":
        assert {one.kind.value for one in reading.alerts} == {"test"}
    else:
        assert statuses == {status}


@needs_corpus
@pytest.mark.parametrize("meta", [one for one in FILES if "auth" in json.loads(one.read_text())], ids=named)
def test_a_real_signature_holds(meta):
    about = json.loads(meta.read_text())
    headers = {name.lower(): value for name, value in about["headers"].items()}
    source = source_named(meta.parent.name)
    timestamp = headers.get("x-grafana-alerting-timestamp")
    now = NOW.fromtimestamp(int(timestamp), NOW.tzinfo) if timestamp else NOW

    source.verify(Delivery(body_of(meta), headers, "main", now), [about["auth"]["secret"]], now)


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
