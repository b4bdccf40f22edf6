"""What is particular to New Relic: issues of workflows, incidents of the old channel, and acknowledgements without a state."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.newrelic import SOURCE, TEST_ISSUE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

BEGAN, CHANGED = datetime(2026, 8, 1, 9, 40, tzinfo=UTC), datetime(2026, 8, 1, 9, 58, tzinfo=UTC)
ISSUE = {
    "id": "i-1",
    "issueUrl": "https://nr.example.com/issues/i-1",
    "title": "Search is slow",
    "priority": "CRITICAL",
    "impactedEntities": ["search-api", "search-api", "search-web"],
    "state": "ACTIVATED",
    "trigger": "STATE_CHANGE",
    "createdAt": int(BEGAN.timestamp() * 1000),
    "updatedAt": int(CHANGED.timestamp() * 1000),
    "alertPolicyNames": ["Search"],
    "alertConditionNames": ["Slow answers", "Errors"],
    "workflowName": "Pages",
}
INCIDENT = {
    "incident_id": 31,
    "current_state": "open",
    "condition_name": "Slow answers",
    "policy_name": "Search",
    "severity": "WARNING",
    "details": "Answers take 4 s.",
    "incident_url": "https://nr.example.com/incidents/31",
    "runbook_url": "https://wiki.example.com/search",
    "timestamp": int(BEGAN.timestamp() * 1000),
}


def read(given, **fields):
    [one] = SOURCE.parse(delivery(json.dumps({**given, **fields}).encode()), {}).alerts
    return one


def test_an_issue_is_read_from_the_workflows_template():
    one = read(ISSUE, runbookUrl=["https://wiki.example.com/search"], tags={"environment": ["live"], "team": "core"})

    assert (one.identity, one.title, one.status, one.severity) == ("issue/i-1", "Search is slow", Status.FIRING, Severity.CRITICAL)
    assert (one.service, one.environment, one.url) == ("search-api", "live", "https://nr.example.com/issues/i-1")
    assert (one.started_at, one.ended_at, one.defaults) == (BEGAN, None, ())
    assert [(link.rel, link.url) for link in one.links] == [("runbook", "https://wiki.example.com/search")]
    assert one.labels["impactedEntities"] == "search-api, search-web"
    assert one.labels["alertConditionNames"] == "Slow answers, Errors"
    assert one.labels["team"] == "core"


@pytest.mark.parametrize(
    ("fields", "status", "defaults"),
    [
        ({"state": "CREATED"}, Status.FIRING, ()),
        ({"state": "activated"}, Status.FIRING, ()),
        ({"trigger": "INCIDENT_ADDED"}, Status.FIRING, ()),
        ({"trigger": "INCIDENT_CLOSED"}, Status.FIRING, ()),
        ({"trigger": "PRIORITY_CHANGED", "owner": ""}, Status.FIRING, ()),
        ({"trigger": "PRIORITY_CHANGED", "owner": "Ana"}, Status.FIRING, ()),
        ({"state": "ACKNOWLEDGED", "trigger": "PRIORITY_CHANGED"}, Status.FIRING, ()),
        ({"trigger": "USER_ACTION"}, Status.ACKNOWLEDGED, ()),
        ({"trigger": "ISSUE_ACKNOWLEDGED"}, Status.ACKNOWLEDGED, ()),
        ({"trigger": "INCIDENT_ADDED", "owner": "Ana"}, Status.ACKNOWLEDGED, ()),
        ({"trigger": "INCIDENT_ADDED", "owner": "null"}, Status.FIRING, ()),
        ({"trigger": "INCIDENT_ADDED", "owner": " Null "}, Status.FIRING, ()),
        ({"state": "ACKNOWLEDGED"}, Status.ACKNOWLEDGED, ()),
        ({"state": "DEACTIVATED"}, Status.RESOLVED, ()),
        ({"state": "CLOSED", "trigger": "USER_ACTION", "owner": "Ana"}, Status.RESOLVED, ()),
        ({"state": "MELTED"}, Status.FIRING, ("status",)),
        ({"state": None}, Status.FIRING, ("status",)),
    ],
)
def test_a_state_and_what_triggered_say_where_an_issue_stands(fields, status, defaults):
    one = read(ISSUE, **fields)

    assert (one.status, one.defaults) == (status, defaults)
    assert one.identity == read(ISSUE).identity


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ({}, CHANGED),
        ({"closedAt": "2026-08-01T09:50:00Z"}, datetime(2026, 8, 1, 9, 50, tzinfo=UTC)),
        ({"closedAt": "soon", "issueClosedAt": "2026-08-01T09:51:00Z"}, datetime(2026, 8, 1, 9, 51, tzinfo=UTC)),
    ],
)
def test_an_issue_ends_when_it_is_closed_or_last_changed(fields, ended):
    one = read(ISSUE, state="CLOSED", **fields)

    assert (one.started_at, one.ended_at, one.defaults) == (BEGAN, ended, ())


def test_times_that_are_missing_are_filled_in_and_never_end_before_they_begin():
    over = read(ISSUE, state="CLOSED", createdAt=None)
    nothing = read(ISSUE, state="CLOSED", createdAt="1969-12-31 23:59:55", updatedAt=None)

    assert (over.started_at, over.ended_at, over.defaults) == (CHANGED, CHANGED, ("started_at",))
    assert (nothing.started_at, nothing.ended_at, nothing.defaults) == (NOW, NOW, ("started_at", "ended_at"))


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL),
        ("HIGH", Severity.HIGH),
        ("MEDIUM", Severity.MEDIUM),
        ("LOW", Severity.LOW),
        ("", Severity.UNKNOWN),
    ],
)
def test_a_priority_says_how_bad_it_is(word, severity):
    one = read(ISSUE, priority=word)

    assert (one.severity, one.source_severity) == (severity, word or None)


def test_an_issue_without_a_title_is_called_by_its_condition():
    assert read(ISSUE, title="").title == "Slow answers"
    assert read({"id": 7, "state": "activated", "createdAt": ISSUE["createdAt"]}).defaults == ("title",)


def test_an_issue_without_an_id_is_told_by_its_words():
    fired, over, other = (
        read(ISSUE, id=None, **fields) for fields in ({}, {"state": "CLOSED"}, {"alertConditionNames": "Other words"})
    )

    assert fired.identity == over.identity != other.identity


def test_entities_and_policies_may_be_one_text():
    assert read(ISSUE, impactedEntities="search-api").service == "search-api"
    assert read(ISSUE, alertPolicyNames="Search").labels["alertPolicyNames"] == "Search"


def test_a_policy_is_no_service_for_what_it_is_of_has_nothing_else_in_common():
    assert read(ISSUE, impactedEntities=[]).service is None
    assert read(INCIDENT).service is None
    assert read(ISSUE, impactedEntities=None, alertPolicyNames=None).service is None


def test_the_test_buttons_sample_pages_nobody():
    assert read(ISSUE, id=TEST_ISSUE).kind is Kind.TEST


@pytest.mark.parametrize(
    ("state", "status", "defaults"),
    [
        ("open", Status.FIRING, ()),
        ("acknowledged", Status.ACKNOWLEDGED, ("started_at",)),
        ("closed", Status.RESOLVED, ("started_at",)),
        ("melted", Status.FIRING, ("status",)),
    ],
)
def test_an_incident_of_the_old_channel(state, status, defaults):
    one = read(INCIDENT, current_state=state)

    assert (one.identity, one.title, one.status, one.defaults) == ("incident/31", "Slow answers", status, defaults)
    assert (one.severity, one.description) == (Severity.MEDIUM, "Answers take 4 s.")
    assert one.ended_at == (BEGAN if status is Status.RESOLVED else None)
    assert [link.rel for link in one.links] == ["runbook"]


def test_the_targets_of_an_old_incident_name_the_service_and_have_labels():
    one = read(INCIDENT, targets=[{"name": "search-api", "labels": {"env": "live"}, "product": "APM"}, "odd"])

    assert (one.service, one.environment, one.kind) == ("search-api", "live", Kind.ALERT)


@pytest.mark.parametrize("fields", [{"current_state": "test"}, {"targets": [{"product": "TESTING"}]}])
def test_the_old_channels_test_pages_nobody(fields):
    assert read(INCIDENT, **fields).kind is Kind.TEST


@pytest.mark.parametrize("body", [b"{}", b'{"state": "ACTIVATED"}', b'{"current_state": "open"}'])
def test_a_template_that_names_nothing_is_refused(body):
    with pytest.raises(Unreadable, match="missing"):
        SOURCE.parse(delivery(body), {})


def test_the_payload_that_people_paste_is_json_once_new_relic_has_filled_it_in():
    text = SOURCE.setup.format(url="https://bot.example.com", secret="x")
    kept = [line for line in text[text.index("\n{") :].splitlines() if "{{#if" not in line]

    filled = json.loads(
        "\n".join(line.partition("{{")[0] + '"x"' + "," * line.endswith(",") if "{{" in line else line for line in kept)
    )

    assert {"id", "state", "trigger", "createdAt", "impactedEntities"} <= set(filled)


def test_an_issue_says_when_it_was_changed():
    activated, closed = read(ISSUE), read(ISSUE, state="CLOSED", closedAt=int(BEGAN.timestamp() * 1000) + 60_000)

    assert (activated.changed_at, closed.changed_at) == (CHANGED, BEGAN + timedelta(minutes=1))


@pytest.mark.parametrize("given", [ISSUE | {"updatedAt": None}, INCIDENT])
def test_neither_its_creation_nor_the_old_channels_time_of_sending_is_that_of_a_change(given):
    assert read(given).changed_at is None
