"""PagerDuty's webhooks: which of its events are known."""

import json
from typing import Any

import pytest

from bot.alerts.source import Reading
from bot.alerts.sources.pagerduty import SOURCE
from tests.alerts.test_sources import delivery


def read(type_: str, data: Any = None) -> Reading:
    event = {"id": "E1", "event_type": type_, "occurred_at": "2026-08-01T09:59:00Z", "data": data or {"id": "P1", "title": "Disk"}}
    return SOURCE.parse(delivery(json.dumps({"event": event}).encode()), {})


@pytest.mark.parametrize(
    "type_",
    [
        "incident.triggered", "incident.acknowledged", "incident.unacknowledged", "incident.escalated", "incident.reassigned",
        "incident.delegated", "incident.resolved", "incident.reopened", "incident.priority_updated", "incident.service_updated",
        "incident.incident_type.changed", "incident.annotated", "incident.status_update_published", "incident.responder.added",
        "incident.responder.replied", "incident.conference_bridge.updated", "incident.custom_field_values.updated",
        "incident.role.assigned", "incident.task.completed", "incident.workflow.started", "incident.action_invocation.created",
    ],
)  # fmt: skip
def test_what_it_tells_of_an_incident_is_known(type_):
    reading = read(type_)

    assert (len(reading.alerts), len(reading.pager), reading.ignored) == (1, 1, "")


def test_an_event_that_is_new_to_us_is_counted_as_ignored_and_kept():
    reading = read("incident.melted.twice")

    assert reading.ignored == "incident.melted.twice is an event that is not known here"
    assert [one.source_status for one in reading.alerts] == ["melted.twice"]


def test_an_event_of_something_else_is_counted_as_ignored():
    assert read("service.updated").ignored == "service.updated is no news of an incident"
