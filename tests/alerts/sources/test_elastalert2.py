"""ElastAlert 2: templates and whole matches, with fields of any kind."""

import json
from datetime import UTC, datetime

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.sources.elastalert2 import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery


def read(**body):
    [one] = SOURCE.parse(delivery(json.dumps(body).encode()), {}).alerts
    return one


MATCH = {
    "@timestamp": "2026-08-01T09:58:00Z", "_id": "d1", "_index": "logs-1", "num_hits": 7, "message": "connection refused",
    "service": {"name": "search", "environment": "production"}, "host": {"name": "node-4"}, "http": {"status": 502},
    "tags": ["tier:1", "beats"], "stack": "x" * 300, "ips": ["10.0.0.1"],
}  # fmt: skip


def test_a_whole_match_is_read_with_its_fields_as_labels():
    one = read(**MATCH)

    assert (one.title, one.description, one.service, one.environment) == (
        "connection refused", "connection refused", "search", "production",
    )  # fmt: skip
    assert one.labels.items() >= {"host.name": "node-4", "http.status": "502", "tier": "1", "beats": "true"}.items()
    assert "stack" not in one.labels
    assert one.attributes["stack"] == "x" * 300
    assert (one.started_at, one.occurrence, one.defaults) == (datetime(2026, 8, 1, 9, 58, tzinfo=UTC), "d1", ("started_at",))


@pytest.mark.parametrize(
    ("body", "service"),
    [
        ({"service": "web"}, "web"),
        ({"service.name": "web", "host": {"name": "n"}}, "web"),
        ({"app": "web", "host": {"name": "n"}}, "web"),
        ({"host": {"name": "n"}}, "n"),
        ({"service": "{{ service }}"}, None),
    ],
)
def test_the_service_is_found_in_a_document_too(body, service):
    assert read(alert_name="A", **body).service == service


def test_the_dedup_key_is_the_identity_and_clears():
    body = {"alert_name": "A", "dedup_key": "k", "timestamp": "2026-08-01T09:58:00Z"}
    fired, over = read(**body, status="firing"), read(**body, status="resolved")

    assert fired.identity == over.identity == "k"
    assert (fired.status, over.status, over.ended_at) == (Status.FIRING, Status.RESOLVED, over.started_at)


def test_without_a_dedup_key_the_rule_and_the_service_tell():
    assert read(alert_name="A", service="web").identity == "A|web"
    assert read(alert_name="A", service="web", message="x").identity == read(alert_name="A", service="web", message="y").identity


@pytest.mark.parametrize("status", [200, "ok", "error", "", None, "firing"])
def test_any_other_status_is_a_field_of_the_document_and_fires(status):
    assert read(alert_name="A", status=status).status is Status.FIRING


def test_severity_and_link():
    one = read(
        alert_name="A", severity="High", url={"full": "https://shop.example.com"}, kibana_discover_url="https://k.example.com/d"
    )

    assert (one.severity, one.source_severity, one.url) == (Severity.HIGH, "High", "https://k.example.com/d")
    assert [link.rel for link in one.links] == ["logs"]


def test_what_elastalert_puts_for_a_missing_value_is_missing():
    one = read(alert_name="<MISSING VALUE>", message="Disk full", severity="<MISSING VALUE>")

    assert (one.title, one.severity, one.source_severity) == ("Disk full", Severity.UNKNOWN, None)


def test_matches_without_a_word_are_told_apart_by_their_documents():
    given = {"@timestamp": "2026-08-01T09:58:00Z", "_index": "logs-1", "num_hits": 3, "service": {"name": "web"}}
    one, other, again = read(**given, _id="d1"), read(**given, _id="d2"), read(**given, _id="d1", num_matches=2)

    assert (one.title, one.service, one.defaults) == ("A match without a name", "web", ("started_at", "title"))
    assert one.identity != other.identity
    assert one.identity == again.identity
    assert one.identity != read(**given | {"_index": "logs-2"}, _id="d1").identity


@pytest.mark.parametrize(
    "body", [{"num_hits": 3, "status": "resolved"}, {"@timestamp": "2026-08-01T09:58:00Z", "num_hits": 3, "service": {"name": "web"}}]
)
def test_a_match_that_nothing_tells_from_another_rules_is_refused(body):
    with pytest.raises(Unreadable, match="alert_name: missing, and no dedup_key, message or _id either; give the rule"):
        SOURCE.parse(delivery(json.dumps(body).encode()), {})


def test_an_end_without_a_time_is_when_it_came():
    one = read(alert_name="A", status="resolved")

    assert (one.started_at, one.ended_at, one.defaults) == (NOW, NOW, ("started_at", "ended_at"))


def test_a_body_that_says_nothing_names_what_to_add():
    with pytest.raises(Unreadable, match="alert_name: missing"):
        SOURCE.parse(delivery(b"{}"), {})
