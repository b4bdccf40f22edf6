"""Vercel: what fires and ends in production, which changes it tells of, and what is only recorded."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Alert, ChangeKind, ChangeState, Kind, Severity, Status
from bot.alerts.source import Delivery, Reading
from bot.alerts.sources.vercel import SOURCE, STATES
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
AT = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
MILLISECONDS = 1_785_576_600_000


def sent(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def read(type_: str, target: str | None = "production", number: str = "dpl_1", **payload: Any) -> Reading:
    made = {"id": number, "name": "shop", "url": "shop-1.example.com", "meta": {"githubCommitSha": "abc", "githubCommitRef": "main"}}
    whole = {"deployment": made, "project": {"id": "prj_1"}, "target": target, "user": {"id": "usr_1"}} | payload
    return SOURCE.parse(sent({"id": f"evt_{type_}", "type": type_, "createdAt": MILLISECONDS, "payload": whole}), {})


def one(type_: str, target: str | None = "production", number: str = "dpl_1", **payload: Any) -> Alert:
    [alert] = read(type_, target, number, **payload).alerts
    return alert


def test_the_worked_example_of_the_signature():
    body = '{"status":"firing","title":"café"}'.encode()

    assert SOURCE.sign(body, "s3cret", NOW) == {"x-vercel-signature": "98c031a752e1ff78df5b4882b76fabaf25029587"}


@pytest.mark.parametrize(
    ("type_", "target", "expected"),
    [
        ("deployment.error", "production", (Kind.ALERT, Status.FIRING, Severity.HIGH, ChangeState.FAILED)),
        ("deployment-error", "production", (Kind.ALERT, Status.FIRING, Severity.HIGH, ChangeState.FAILED)),
        ("deployment.checks.failed", "production", (Kind.ALERT, Status.FIRING, Severity.MEDIUM, ChangeState.FAILED)),
        ("deployment.error", "staging", (Kind.DEPLOYMENT, Status.INFO, Severity.LOW, ChangeState.FAILED)),
        ("deployment.error", None, (Kind.DEPLOYMENT, Status.INFO, Severity.LOW, ChangeState.FAILED)),
        ("deployment.checks.failed", None, (Kind.DEPLOYMENT, Status.INFO, Severity.LOW, ChangeState.FAILED)),
        ("deployment.succeeded", "production", (Kind.DEPLOYMENT, Status.RESOLVED, Severity.INFO, ChangeState.SUCCEEDED)),
        ("deployment.checks.succeeded", "production", (Kind.DEPLOYMENT, Status.RESOLVED, Severity.INFO, ChangeState.SUCCEEDED)),
        ("deployment.promoted", None, (Kind.DEPLOYMENT, Status.RESOLVED, Severity.INFO, ChangeState.SUCCEEDED)),
        ("deployment.succeeded", None, (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.SUCCEEDED)),
        ("deployment.ready", "production", (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.SUCCEEDED)),
        ("deployment.created", "production", (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.STARTED)),
        ("deployment.canceled", "production", (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.CANCELED)),
        ("deployment.rollback", None, (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.SUCCEEDED)),
    ],
)
def test_what_an_event_says_of_a_deployment(type_, target, expected):
    alert = one(type_, target)

    assert (alert.kind, alert.status, alert.severity, alert.change.state) == expected
    assert (alert.service, alert.started_at, alert.defaults) == ("shop", AT, ())


def test_the_next_deployment_to_production_ends_the_one_that_failed():
    failed = one("deployment.error", number="dpl_1")
    ends = [one("deployment.succeeded", number="dpl_2"), one("deployment.promoted", None, "dpl_3")]

    assert {failed.identity} == {end.identity for end in ends}
    assert failed.identity != one("deployment.error", "production", project={"id": "prj_2"}).identity
    assert failed.identity != one("deployment.created").identity


def test_a_deployment_is_one_change_and_its_promotion_another():
    changes = [
        one(type_).change for type_ in ("deployment.created", "deployment.succeeded", "deployment.promoted", "deployment.rollback")
    ]

    assert [change.kind for change in changes] == [
        ChangeKind.DEPLOYMENT, ChangeKind.DEPLOYMENT, ChangeKind.PROMOTION, ChangeKind.ROLLBACK]  # fmt: skip
    assert changes[0].identity == changes[1].identity == "dpl_1"
    assert len({change.identity for change in changes}) == 3


@pytest.mark.parametrize("host", ["github", "gitlab", "bitbucket"])
def test_the_commit_is_told_whoever_keeps_the_code(host):
    meta = {
        f"{host}CommitSha": "abc",
        f"{host}CommitRef": "main",
        f"{host}CommitAuthorName": "Rosa",
        f"{host}CommitMessage": "Round once",
    }
    alert = one("deployment.created", deployment={"id": "dpl_1", "name": "shop", "meta": meta})

    assert (alert.change.sha, alert.change.ref, alert.change.by, alert.description) == ("abc", "main", "Rosa", "Round once")
    assert alert.labels[f"{host}CommitRef"] == "main"


def test_a_rollback_tells_what_is_back():
    payload = {"fromDeploymentId": "dpl_2", "toDeploymentId": "dpl_1", "deployment": None, "name": "shop"}
    alert = one("deployment.rollback", None, **payload)

    assert (alert.title, alert.occurrence, alert.environment) == (
        "shop: deployment to production was rolled back",
        "dpl_1",
        "production",
    )


@pytest.mark.parametrize(
    ("type_", "kind", "title"),
    [
        ("project.env-variable.updated", ChangeKind.CONFIGURATION, "shop: project env variable updated"),
        ("domain.dns.records.changed", ChangeKind.CONFIGURATION, "shop: domain dns records changed"),
        ("edge-config.items.updated", ChangeKind.CONFIGURATION, "shop: edge config items updated"),
        ("flag.updated", ChangeKind.FLAG, "shop: flag updated"),
    ],
)
def test_settings_are_changes(type_, kind, title):
    alert = one(type_)

    assert (alert.kind, alert.change.kind, alert.title, alert.change.by) == (Kind.CHANGE, kind, title, "usr_1")


@pytest.mark.parametrize("type_", ["firewall.rule", "alerts.triggered", "observability.anomaly"])
def test_what_has_no_end_is_recorded_and_does_not_fire(type_):
    assert (one(type_).kind, one(type_).status, one(type_).change) == (Kind.ALERT, Status.INFO, None)


@pytest.mark.parametrize("type_", ["attack.detected", "firewall.attack", "attack-detected"])
def test_an_attack_is_told_of_and_the_next_on_the_same_project_is_the_same_alert(type_):
    first, again = one(type_), one("attack.detected", deployment={"name": "other"})

    assert (first.kind, first.status, first.severity, first.change) == (Kind.ALERT, Status.INFO, Severity.HIGH, None)
    assert (first.title, first.service, first.environment) == ("shop: under attack", "shop", "production")
    assert (first.started_at, first.changed_at, first.defaults) == (AT, AT, ())
    assert first.identity == again.identity == "prj_1/attack"


def test_an_attack_without_its_project_is_the_teams():
    body = {"id": "e", "type": "attack.detected", "createdAt": MILLISECONDS, "payload": {"team": {"id": "team_1"}, "startTime": 1}}
    [alert] = SOURCE.parse(sent(body), {}).alerts

    assert (alert.identity, alert.title, alert.attributes) == ("team_1/attack", "Vercel: under attack", body)


@pytest.mark.parametrize("type_", ["test-webhook", "deployment.cleanup", "deployment.check-rerequested", "marketplace.invoice.paid"])
def test_what_changes_nothing_is_ignored(type_):
    assert read(type_).ignored
    assert not read(type_).alerts


def test_an_event_without_a_type_is_refused():
    with pytest.raises(Unreadable, match="type: missing"):
        SOURCE.parse(sent({"id": "evt_1"}), {})


def test_a_delivery_has_the_id_of_its_event_and_that_of_its_body_without_one():
    assert SOURCE.delivery_id(sent({"id": "evt_1", "type": "x"})) == "evt_1"
    assert {len(SOURCE.delivery_id(sent(body))) for body in ({}, {"id": 7}, {"id": ""}, [], "x")} == {64}


def test_times_that_are_missing_are_named():
    [alert] = SOURCE.parse(sent({"type": "deployment.promoted", "payload": {"project": {"id": "p"}}}), {}).alerts

    assert (alert.started_at, alert.ended_at, alert.defaults) == (NOW, NOW, ("started_at", "ended_at"))


NAMES = some.sampled_from(["id", "createdAt", "payload", "deployment", "meta", "links", "project", "target", "name", "url", "user"])
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.sampled_from(["production", "x", ""]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=6),
    max_leaves=20,
)


@given(what=some.sampled_from([*STATES, "cleanup", ""]), body=some.dictionaries(NAMES, VALUES, max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_odd_body_is_read_or_refused_and_never_an_error(what, body):
    delivery = sent({**body, "type": f"deployment.{what}"})
    assert 0 < len(SOURCE.delivery_id(delivery)) <= 128
    try:
        reading = SOURCE.parse(delivery, {})
    except Unreadable as error:
        assert error.reason
    else:
        assert bool(reading.ignored) != bool(reading.alerts)


def test_an_event_says_when_it_was():
    assert [one(type_).changed_at for type_ in ("deployment.error", "deployment.succeeded")] == [AT, AT]

    payload = {"project": {"id": "p"}, "target": "production"}
    [alert] = SOURCE.parse(sent({"id": "e", "type": "deployment.error", "payload": payload}), {}).alerts
    assert alert.changed_at is None
