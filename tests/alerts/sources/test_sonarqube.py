"""SonarQube: which branches fire, what ends them, and what the conditions say."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.sonarqube import SOURCE
from bot.errors import Unreadable, Unverified

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
AT = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
MAIN = {"name": "main", "type": "BRANCH", "isMain": True, "url": "https://sonar.example.com/dashboard?id=shop"}


def sent(body: Any, headers: dict[str, str] | None = None) -> Delivery:
    return Delivery(json.dumps(body).encode(), headers or {}, "main", NOW)


def one(gate: str | None = "ERROR", task: str = "SUCCESS", branch: dict[str, Any] | None = MAIN, **more: Any) -> Alert:
    body = {"status": task, "changedAt": "2026-08-01T09:30:00+0000", "project": {"key": "shop", "name": "The shop"}}
    body |= {} if branch is None else {"branch": branch}
    body |= {} if gate is None else {"qualityGate": {"name": "Ours", "status": gate, "conditions": []}}
    [alert] = SOURCE.parse(sent(body | more), {}).alerts
    return alert


def test_the_worked_example_of_the_signature():
    body = '{"status":"firing","title":"café"}'.encode()

    assert SOURCE.sign(body, "s3cret", NOW) == {
        "X-Sonar-Webhook-HMAC-SHA256": "8f74b62f202f381c5af4ee3cb97f61b977a7e26692499d2cfd16a92a1fc3bdfb"
    }


def test_without_a_secret_in_sonarqube_the_password_of_the_address_is_the_token():
    SOURCE.verify(sent({}, {"authorization": "Basic c29uYXI6czNjcmV0"}), ["s3cret"], NOW)


def test_a_signature_that_does_not_fit_is_not_saved_by_a_token():
    headers = {"x-sonar-webhook-hmac-sha256": "00", "authorization": "Bearer s3cret"}

    with pytest.raises(Unverified, match="does not fit"):
        SOURCE.verify(sent({}, headers), ["s3cret"], NOW)


@pytest.mark.parametrize(
    ("gate", "task", "branch", "status", "severity"),
    [
        ("ERROR", "SUCCESS", MAIN, Status.FIRING, Severity.MEDIUM),
        ("ERROR", "SUCCESS", None, Status.FIRING, Severity.MEDIUM),
        ("ERROR", "SUCCESS", {"name": "2.x", "type": "BRANCH", "isMain": False}, Status.FIRING, Severity.LOW),
        ("ERROR", "SUCCESS", {"name": "2.x", "type": "LONG"}, Status.FIRING, Severity.LOW),
        ("ERROR", "SUCCESS", {"name": "fix", "type": "SHORT"}, Status.INFO, Severity.INFO),
        ("ERROR", "SUCCESS", {"name": "12", "type": "PULL_REQUEST"}, Status.INFO, Severity.INFO),
        ("OK", "SUCCESS", MAIN, Status.RESOLVED, Severity.INFO),
        ("WARN", "SUCCESS", MAIN, Status.RESOLVED, Severity.INFO),
        ("NONE", "SUCCESS", MAIN, Status.INFO, Severity.INFO),
        (None, "SUCCESS", MAIN, Status.INFO, Severity.INFO),
        (None, "FAILED", MAIN, Status.FIRING, Severity.MEDIUM),
        (None, "CANCELED", MAIN, Status.INFO, Severity.INFO),
        ("odd", "odd", MAIN, Status.INFO, Severity.INFO),
    ],
)
def test_what_an_analysis_means(gate, task, branch, status, severity):
    alert = one(gate, task, branch)

    assert (alert.kind, alert.status, alert.severity) == (Kind.QUALITY_GATE, status, severity)
    assert (alert.started_at, alert.ended_at) == (AT, AT if status is Status.RESOLVED else None)


def test_a_branch_is_one_alert_whether_it_is_named_or_not():
    ids = {one("ERROR").identity, one("OK").identity, one("OK", branch=None).identity, one(None, "FAILED").identity}
    others = {
        one(branch={"name": "12", "type": "PULL_REQUEST"}).identity, one(branch={"name": "12", "type": "BRANCH"}).identity,
        one(project={"key": "cart"}).identity,
    }  # fmt: skip

    assert len(ids) == 1
    assert len(others - ids) == 3


def test_the_conditions_that_failed_are_said_in_words():
    conditions = [
        {"metric": "coverage", "operator": "LESS_THAN", "value": "61.5", "status": "ERROR", "errorThreshold": "80"},
        {"metric": "duplicated_lines_density", "operator": "GREATER_THAN", "status": "ERROR", "errorThreshold": "3"},
        {"metric": "new_coverage", "operator": "LESS_THAN", "status": "NO_VALUE", "errorThreshold": "80"},
        {"metric": "bugs", "operator": "ODD", "value": "1", "status": "ERROR", "errorThreshold": "0"},
        {"metric": "rating", "value": "4", "status": "ERROR"}, "odd",
    ]  # fmt: skip

    assert one(qualityGate={"status": "ERROR", "conditions": conditions}).description.splitlines() == [
        "coverage is 61.5; it must not be under 80",
        "duplicated_lines_density is not known; it must not be over 3",
        "bugs is 1; it ODD 0",
        "rating is 4; it is not as it must be",
    ]


def test_an_analysis_that_was_dated_back_fires_now():
    assert one(analysedAt="2019-01-01T00:00:00+0000").started_at == AT
    assert one(changedAt=None, analysedAt="2019-01-01T00:00:00+0000").started_at.year == 2019
    # Dated back, it would keep quiet what fires.
    assert one(changedAt=None, analysedAt="2019-01-01T00:00:00+0000").changed_at is None


def test_a_time_that_is_missing_is_named():
    assert one("ERROR", changedAt=None).defaults == ("started_at",)
    assert one("OK", changedAt="yesterday").defaults == ("started_at", "ended_at")


def test_the_words_people_see():
    assert one().title == "The shop failed the quality gate on main"
    assert one(None, "FAILED", None).title == "The shop could not be analysed"
    assert one(properties={"sonar.analysis.build": "7"}).labels["sonar.analysis.build"] == "7"


@pytest.mark.parametrize(("body", "says"), [({}, r"project\.key: missing"), ({"project": 3}, "project: expected an object")])
def test_what_is_wrong_is_named_by_its_place(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(sent(body), {})


NAMES = some.sampled_from(
    ["key", "name", "branch", "qualityGate", "conditions", "status", "type", "isMain", "properties", "url", "value"]
)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.sampled_from(["ERROR", "OK", "x", ""]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(body=some.dictionaries(NAMES, VALUES, max_size=8), project=VALUES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_odd_body_is_read_or_refused_and_never_an_error(body, project):
    try:
        reading = SOURCE.parse(sent({**body, "project": project}), {})
    except Unreadable as error:
        assert error.reason
    else:
        assert len(reading.alerts) == 1
