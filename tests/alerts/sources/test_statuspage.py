"""Statuspage: a vendor's incidents by status and impact, its components, and maintenance that pages nobody."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.statuspage import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
CREATED, UPDATED, OVER = "2026-08-01T09:00:00.000Z", "2026-08-01T09:30:00.000Z", "2026-08-01T09:45:00.000Z"


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def only(body: Any) -> Alert:
    [alert] = SOURCE.parse(delivery(body), {}).alerts
    return alert


def incident(**fields: Any) -> Alert:
    about = {"id": "i1", "name": "Slow", "status": "identified", "impact": "minor", "created_at": CREATED, "updated_at": UPDATED}
    return only({"page": {"id": "p1", "url": "https://status.example.com"}, "incident": about | fields})


def component(new: str | None = "major_outage", **fields: Any) -> Alert:
    update = {"component_id": "c1", "new_status": new, "created_at": UPDATED}
    return only(
        {"page": {"id": "p1"}, "component": {"id": "c1", "name": "API", "created_at": CREATED} | fields, "component_update": update}
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("investigating", Status.FIRING), ("identified", Status.FIRING), ("monitoring", Status.FIRING),
        ("resolved", Status.RESOLVED), ("postmortem", Status.RESOLVED), ("scheduled", Status.INFO),
        ("in_progress", Status.INFO), ("verifying", Status.INFO), ("completed", Status.RESOLVED),
    ],
)  # fmt: skip
def test_an_incident_fires_until_it_is_resolved_and_maintenance_never_does(word, status):
    alert = incident(status=word)

    assert (alert.status, alert.identity, alert.source_status) == (status, "incident/i1", word)
    assert not alert.defaults


@pytest.mark.parametrize(
    ("impact", "severity"),
    [
        ("critical", Severity.CRITICAL), ("major", Severity.HIGH), ("minor", Severity.MEDIUM), ("none", Severity.INFO),
        (None, Severity.UNKNOWN), ("enormous", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_its_impact_is_its_severity(impact, severity):
    assert incident(impact=impact).severity is severity


def test_an_incident_of_maintenance_pages_nobody():
    assert incident(impact="maintenance", status="investigating").status is Status.INFO


def test_times_and_words_of_an_incident():
    updates = [{"body": "It is well again."}, {"body": "It is slow."}]
    alert = incident(status="resolved", resolved_at=OVER, incident_updates=updates, shortlink="https://stspg.example.com/1")

    assert alert.started_at == datetime(2026, 8, 1, 9, 0, tzinfo=UTC)
    assert alert.ended_at == datetime(2026, 8, 1, 9, 45, tzinfo=UTC)
    assert (alert.description, alert.url) == ("It is well again.", "https://stspg.example.com/1")
    assert incident().url == "https://status.example.com"
    assert incident(status="resolved").ended_at == datetime(2026, 8, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "service"), [(["API"], "API"), (["API", "Web"], None), ([], None)]
)  # fmt: skip
def test_one_component_is_the_service_and_several_are_none(names, service):
    alert = incident(components=[{"name": name} for name in names])

    assert alert.service == service
    assert alert.labels.get("components", "") == ", ".join(names)


@pytest.mark.parametrize(
    ("new", "status", "severity"),
    [
        ("operational", Status.RESOLVED, Severity.UNKNOWN), ("degraded_performance", Status.FIRING, Severity.MEDIUM),
        ("partial_outage", Status.FIRING, Severity.HIGH), ("major_outage", Status.FIRING, Severity.CRITICAL),
        ("under_maintenance", Status.INFO, Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_a_component_is_as_it_is_now(new, status, severity):
    alert = component(new)

    assert (alert.status, alert.severity, alert.identity) == (status, severity, "component/c1")
    assert (alert.title, alert.service) == (f"API: {new.replace('_', ' ')}", "API")
    assert (alert.ended_at is not None) == (status is Status.RESOLVED)
    assert not alert.defaults


def test_what_nobody_knows_is_taken_as_firing_and_said_to_be_a_guess():
    assert (incident(status="purple").status, incident(status="purple").defaults) == (Status.FIRING, ("status",))
    assert (component("purple").status, component("purple").defaults) == (Status.FIRING, ("status",))
    assert component(None, status="operational").status is Status.RESOLVED


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"page": {}}, "incident: missing, and no component either"),
        ({"page": [], "incident": {}}, "page: expected an object"),
        ({"incident": {}}, r"incident\.id: missing"),
        ({"component": {}}, r"component\.id: missing"),
        ({"component": {"id": "c"}, "component_update": "x"}, "component_update: expected an object"),
    ],
)
def test_what_cannot_be_read_says_where(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


def test_an_incident_that_is_opened_again_is_later_than_its_end():
    over, again = incident(status="resolved", resolved_at=UPDATED), incident(status="investigating", updated_at=OVER)

    assert (over.changed_at, again.changed_at) == (over.ended_at, datetime(2026, 8, 1, 9, 45, tzinfo=UTC))
    assert again.started_at < over.changed_at < again.changed_at
    assert incident(updated_at=None).changed_at is None


def test_a_component_says_when_it_changed():
    at = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)

    assert [component(word).changed_at for word in ("major_outage", "operational")] == [at, at]


@pytest.mark.parametrize(
    ("old", "new", "defaults"),
    [
        ("operational", "degraded_performance", ()), ("under_maintenance", "major_outage", ()), (None, "major_outage", ()),
        ("degraded_performance", "major_outage", ("started_at",)), ("major_outage", "partial_outage", ("started_at",)),
        ("major_outage", "operational", ()),
    ],
)  # fmt: skip
def test_a_component_that_was_bad_already_did_not_begin_now(old, new, defaults):
    update = {"component_id": "c1", "old_status": old, "new_status": new, "created_at": UPDATED}
    alert = only({"page": {"id": "p1"}, "component": {"id": "c1", "name": "API"}, "component_update": update})

    assert alert.defaults == defaults
