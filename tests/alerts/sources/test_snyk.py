"""Snyk: which issues are open, gone or ignored, and when they were found."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bot.alerts.alert import FindingState, Kind, Severity, Status
from bot.alerts.source import Delivery, Reading
from bot.alerts.sources.snyk import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
AT = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
HEADERS = {"x-snyk-event": "project_snapshot/v0", "x-snyk-timestamp": "2026-08-01T09:30:00Z"}
PROJECT = {
    "id": "p-1", "name": "acme/shop", "browseUrl": "https://snyk.example.com/p-1", "branch": None,
    "tags": [{"key": "team", "value": "web"}, "odd"], "attributes": {"lifecycle": ["production"], "environment": ["backend"]},
}  # fmt: skip
ISSUE = {
    "id": "SNYK-1", "issueType": "vuln", "pkgName": "leftpad", "isIgnored": False, "fixInfo": {"nearestFixedInVersion": "2.0.1"},
    "issueData": {"title": "Out-of-bounds Read", "severity": "high", "url": "https://snyk.example.com/vuln/1",
                  "publicationTime": "2020-01-01T00:00:00Z",
                  "identifiers": {"CVE": ["CVE-2026-10001"], "CWE": ["CWE-125"], "ALTERNATIVE": ["SNYK-X"]}},
}  # fmt: skip


def read(headers: dict[str, str] = HEADERS, **body: Any) -> Reading:
    whole = {"project": PROJECT, "newIssues": [], "removedIssues": []} | body
    return SOURCE.parse(Delivery(json.dumps(whole).encode(), headers, "main", NOW), {})


def test_the_worked_example_of_the_signature():
    body = '{"status":"firing","title":"café"}'.encode()

    assert SOURCE.sign(body, "s3cret", NOW)["X-Hub-Signature"] == (
        "sha256=8f74b62f202f381c5af4ee3cb97f61b977a7e26692499d2cfd16a92a1fc3bdfb"
    )


def test_a_new_issue_is_an_open_finding_that_this_test_was_the_first_to_find():
    [alert] = read(newIssues=[ISSUE]).alerts

    assert (alert.kind, alert.status, alert.severity) == (Kind.SECURITY_FINDING, Status.FIRING, Severity.HIGH)
    assert (alert.title, alert.service, alert.environment) == ("Out-of-bounds Read", "acme/shop", "production")
    assert (alert.finding.package, alert.finding.fixed_in, alert.finding.rule) == ("leftpad", "2.0.1", "SNYK-1")
    assert alert.finding.identifiers == ("CVE-2026-10001", "CWE-125")
    assert (alert.started_at, alert.finding.created_at, alert.ended_at, alert.defaults) == (AT, AT, None, ())
    assert alert.labels["team"] == "web"


def test_a_removed_issue_is_the_same_one_fixed():
    [new], [gone] = read(newIssues=[ISSUE]).alerts, read(removedIssues=[ISSUE]).alerts

    assert (gone.status, gone.finding.state, gone.ended_at) == (Status.RESOLVED, FindingState.FIXED, AT)
    assert gone.finding.created_at is None
    assert (gone.identity, gone.severity) == (new.identity, new.severity)


@pytest.mark.parametrize(("field", "status"), [("newIssues", Status.SUPPRESSED), ("removedIssues", Status.RESOLVED)])
def test_what_is_ignored_in_snyk_was_dismissed(field, status):
    [alert] = read(**{field: [ISSUE | {"isIgnored": True}]}).alerts

    assert (alert.status, alert.finding.state) == (status, FindingState.DISMISSED)


def test_an_issue_of_two_projects_is_two_findings():
    [here], [there] = read(newIssues=[ISSUE]).alerts, read(project={"id": "p-2"}, newIssues=[ISSUE]).alerts

    assert here.identity != there.identity


def test_times_that_are_missing_are_named():
    [new, gone] = read({"x-snyk-event": "project_snapshot/v0"}, newIssues=[ISSUE], removedIssues=[ISSUE]).alerts

    assert (new.started_at, new.finding.created_at, new.defaults) == (NOW, None, ("started_at",))
    assert (gone.ended_at, gone.defaults) == (NOW, ("started_at", "ended_at"))


@pytest.mark.parametrize(
    ("fix", "version"),
    [({"nearestFixedInVersion": "2.0.1"}, "2.0.1"), ({"fixedIn": ["2.0.1", "1.9.9"]}, "2.0.1, 1.9.9"), (None, ""), ("odd", "")],
)
def test_the_version_without_it(fix, version):
    [alert] = read(newIssues=[ISSUE | {"fixInfo": fix}]).alerts

    assert alert.finding.fixed_in == version


@pytest.mark.parametrize(
    ("event", "body", "says"),
    [
        ("ping/v0", {"webhookId": "w"}, "a ping"),
        ("", {"webhookId": "w"}, "a ping"),
        ("audit/v0", {}, "audit/v0 is an event"),
        ("project_snapshot/v0", {}, "nothing new"),
        ("project_snapshot/v1", {}, "nothing new"),
    ],
)
def test_pings_other_events_and_tests_that_changed_nothing_are_ignored(event, body, says):
    reading = read({"x-snyk-event": event} if event else {}, **body)

    assert says in reading.ignored
    assert not reading.alerts


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"newIssues": "x"}, "newIssues: expected a list, got text"),
        ({"newIssues": [3]}, r"newIssues\[0\]: expected an object, got a number"),
        ({"newIssues": [ISSUE, {"pkgName": "x"}]}, r"newIssues\[1\]\.id: missing"),
        ({"removedIssues": [ISSUE], "project": {}}, r"project\.id: missing"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(body, says):
    with pytest.raises(Unreadable, match=says):
        read(**body)


NAMES = some.sampled_from(
    ["id", "project", "issueData", "title", "severity", "identifiers", "CVE", "fixInfo", "tags", "attributes", "lifecycle"]
)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=6),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(project=VALUES, new=some.lists(VALUES, max_size=3), gone=some.lists(VALUES, max_size=3))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_odd_body_is_read_or_refused_and_never_an_error(project, new, gone):
    try:
        reading = read(project=project, newIssues=new, removedIssues=gone)
    except Unreadable as error:
        assert error.reason
    else:
        assert bool(reading.ignored) != bool(reading.alerts)
        assert all(alert.title for alert in reading.alerts)


@pytest.mark.parametrize("none", [{}, {"removedIssues": None}])
def test_a_list_that_is_not_there_is_an_empty_one(none):
    body = {"project": PROJECT, "newIssues": [ISSUE], **none}
    [alert] = SOURCE.parse(Delivery(json.dumps(body).encode(), HEADERS, "main", NOW), {}).alerts

    assert (alert.status, alert.finding.rule) == (Status.FIRING, "SNYK-1")


def test_a_snapshot_without_any_list_is_refused():
    with pytest.raises(Unreadable, match="newIssues: missing, and removedIssues too"):
        SOURCE.parse(Delivery(json.dumps({"project": PROJECT}).encode(), HEADERS, "main", NOW), {})
