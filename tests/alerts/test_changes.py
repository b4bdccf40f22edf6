"""Changes by the words of their senders: what an event's type says, and any JSON with a `kind`."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, ChangeKind, ChangeState, Kind, Severity, Status
from bot.alerts.changes import told_by
from bot.alerts.source import Delivery
from bot.alerts.sources.generic import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
STARTED, SUCCEEDED, FAILED, CANCELED, UNKNOWN = ChangeState


def read(mapping: dict[str, str] | None = None, **body: Any) -> Alert:
    [alert] = SOURCE.parse(Delivery(json.dumps(body).encode(), {}, "main", NOW), mapping or {}).alerts
    return alert


def changed(mapping: dict[str, str] | None = None, **body: Any) -> Any:
    alert = read(mapping, **body)
    assert alert.change is not None
    return alert.change


# --- the type of an event ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "told"),
    [
        ("com.example.deployment.succeeded", (ChangeKind.DEPLOYMENT, SUCCEEDED)),
        ("com.example.deployment.failed.v1", (ChangeKind.DEPLOYMENT, FAILED)),
        ("com.example.deployment.created", (ChangeKind.DEPLOYMENT, STARTED)),
        ("com.example.canary-deployment.failed", (ChangeKind.DEPLOYMENT, FAILED)),
        ("com.example.deployment_in_progress", (ChangeKind.DEPLOYMENT, STARTED)),
        ("io.argoproj.rollout.completed", (ChangeKind.DEPLOYMENT, SUCCEEDED)),
        ("com.example.service.deployed", (ChangeKind.DEPLOYMENT, None)),
        ("com.example.service.rolled-back", (ChangeKind.ROLLBACK, None)),
        ("com.example.rollback.aborted", (ChangeKind.ROLLBACK, CANCELED)),
        ("dev.knative.source.github.push", (ChangeKind.PUSH, None)),
        ("FLAG_UPDATED", (ChangeKind.FLAG, SUCCEEDED)),
        ("feature-flag.toggled.v2", (ChangeKind.FLAG, SUCCEEDED)),
        ("com.example.featureFlag.turned_on", (ChangeKind.FLAG, SUCCEEDED)),
        ("com.example.flag.created", (ChangeKind.FLAG, SUCCEEDED)),
        ("com.example.configuration.change.applied", (ChangeKind.CONFIGURATION, SUCCEEDED)),
        ("Microsoft.AppConfiguration.KeyValueModified", (ChangeKind.CONFIGURATION, SUCCEEDED)),
        ("com.example.release.published", (ChangeKind.RELEASE, SUCCEEDED)),
        ("com.example.job.failed", None),
        ("com.example.config-service.backup.failed", None),
        ("com.example.config-service.failed", None),
        ("com.example.deployment.firing", None),
        ("com.example.price.changed", None),
        ("com.example.employee.promoted", None),
        ("com.example.order.released", None),
        ("", None),
        ("...", None),
        ("1.0", None),
    ],
)
def test_a_type_says_what_was_changed_and_how_far_that_is(type_, told):
    assert told_by(type_) == told


# --- any JSON with a kind ---------------------------------------------------------------------


def test_a_deployment_is_read_whole():
    alert = read(
        kind="deployment", status="started", service="checkout", environment="production", sha="1a2b3c4d5e", version="2.4.1",
        branch="main", user={"login": "ana", "id": 7}, url="https://ci.example.com/77", date="2026-08-01T09:50:00Z", id=77,
    )  # fmt: skip
    change = alert.change

    assert (alert.kind, alert.status, alert.severity) == (Kind.DEPLOYMENT, Status.INFO, Severity.INFO)
    assert alert.title == "Deployment of 2.4.1 of checkout to production started"
    assert (alert.service, alert.environment, alert.started_at.minute, alert.url) == (
        "checkout",
        "production",
        50,
        "https://ci.example.com/77",
    )
    assert change is not None
    assert (change.kind, change.state, change.sha, change.version, change.ref) == (
        ChangeKind.DEPLOYMENT, STARTED, "1a2b3c4d5e", "2.4.1", "main",
    )  # fmt: skip
    assert (change.by, change.identity, alert.defaults) == ("ana", "deployment/77", ())


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("deploy", ChangeKind.DEPLOYMENT), ("rollback", ChangeKind.ROLLBACK), ("roll-back", ChangeKind.ROLLBACK),
        ("promotion", ChangeKind.PROMOTION), ("push", ChangeKind.PUSH), ("release", ChangeKind.RELEASE),
        ("feature flag", ChangeKind.FLAG), ("config", ChangeKind.CONFIGURATION), ("change", ChangeKind.CHANGE),
        ("flag.updated", ChangeKind.FLAG),
    ],
)  # fmt: skip
def test_every_kind_of_change_has_its_words(word, kind):
    assert changed(kind=word, service="checkout").kind is kind


@pytest.mark.parametrize(
    ("given", "state", "defaults"),
    [
        ({}, SUCCEEDED, ("started_at", "ended_at")), ({"state": "finished"}, SUCCEEDED, ("started_at", "ended_at")),
        ({"status": "in progress"}, STARTED, ("started_at",)), ({"phase": "Running"}, STARTED, ("started_at",)),
        ({"result": "cancelled"}, CANCELED, ("started_at",)),
        ({"state": "ReconciliationSucceeded"}, SUCCEEDED, ("started_at", "ended_at")),
        ({"status": "HealthCheckFailed"}, FAILED, ("started_at",)),
        ({"status": "not_ready"}, UNKNOWN, ("started_at", "status")),
        ({"status": "DependencyNotReady"}, UNKNOWN, ("started_at", "status")),
        ({"status": "it is done"}, UNKNOWN, ("started_at", "status")),
        ({"status": "purple"}, UNKNOWN, ("started_at", "status")),
        ({"status": "timed out"}, FAILED, ("started_at",)),
        ({"status": "crashed"}, FAILED, ("started_at",)),
        ({"status": "denied"}, CANCELED, ("started_at",)),
        ({"status": "Terminating"}, STARTED, ("started_at",)),
        ({"status": "success", "timestamp": "2026-08-01T09:50:00Z"}, SUCCEEDED, ()),
    ],
)  # fmt: skip
def test_how_far_it_is_and_what_is_a_guess(given, state, defaults):
    alert = read(kind="deployment", service="checkout", environment="staging", **given)

    assert alert.change is not None
    assert (alert.change.state, alert.defaults) == (state, defaults)


@pytest.mark.parametrize(
    ("environment", "status", "kind", "stands"),
    [
        ("production", "failed", Kind.ALERT, Status.FIRING),
        (None, "failed", Kind.ALERT, Status.FIRING),
        ("staging", "failed", Kind.DEPLOYMENT, Status.INFO),
        ("pre-production", "failed", Kind.DEPLOYMENT, Status.INFO),
        ("production", "succeeded", Kind.DEPLOYMENT, Status.RESOLVED),
        ("production", "started", Kind.DEPLOYMENT, Status.INFO),
        ("live", "failed", Kind.ALERT, Status.FIRING),
        ("staging", "succeeded", Kind.DEPLOYMENT, Status.RESOLVED),
        ("production", "rolled_back", Kind.DEPLOYMENT, Status.INFO),
    ],
)
def test_only_where_it_may_be_production_a_failure_fires_and_the_next_success_ends_it(environment, status, kind, stands):
    alert = read(kind="deployment", service="checkout", environment=environment, status=status)

    assert (alert.kind, alert.status) == (kind, stands)


def test_what_failed_and_what_succeeds_there_next_are_one_alert_and_two_changes():
    failed = read(kind="deployment", service="checkout", environment="prod", status="failed", id=1, severity="critical")
    ended = read(kind="rollback", service="checkout", environment="prod", status="succeeded", id=2)

    assert failed.identity == ended.identity
    assert failed.severity is Severity.CRITICAL
    assert failed.change is not None
    assert ended.change is not None
    assert failed.change.identity != ended.change.identity


def test_a_word_that_nobody_knows_ends_nothing_and_is_what_the_log_says():
    ours = read(kind="deployment", service="checkout", environment="production", status="rolled_back", version="v1")
    theirs = read(kind="deployment", service="checkout", status="rolled_back", title="Checkout")

    assert (ours.title, theirs.title) == ("Deployment of v1 of checkout to production rolled_back", "Checkout (rolled_back)")
    assert {ours.status, theirs.status} == {Status.INFO}


@pytest.mark.parametrize("environment", ["main", "staging"])
def test_a_failure_fires_wherever_its_sender_gives_it_a_severity_and_is_ended_there(environment):
    failed = read(kind="deployment", service="checkout", environment=environment, status="failed", severity="critical")
    ended = read(kind="deployment", service="checkout", environment=environment, status="succeeded")
    told = read(kind="deployment", service="checkout", environment=environment, status="failed", severity="info")

    assert (failed.status, failed.severity, ended.status) == (Status.FIRING, Severity.CRITICAL, Status.RESOLVED)
    assert failed.identity == ended.identity
    assert told.status is Status.INFO


@pytest.mark.parametrize(
    ("failed", "ended", "is_ended"),
    [
        ({"kind": "configuration", "service": "checkout"}, {"kind": "configuration", "service": "checkout"}, True),
        ({"kind": "release", "service": "a", "version": "v1"}, {"kind": "release", "service": "a", "version": "v2"}, True),
        (
            {"kind": "migration", "service": "a", "version": "v1", "title": "v1 failed", "id": 1},
            {"kind": "migration", "service": "a", "version": "v2", "title": "v2 is done", "id": 2},
            True,
        ),
        ({"kind": "flag", "flag": "x", "title": "x off"}, {"kind": "flag", "flag": "x", "title": "x on"}, True),
        ({"kind": "deployment", "sha": "abc", "id": 1}, {"kind": "deployment", "sha": "abc", "id": 2}, True),
        ({"kind": "deployment", "id": 1}, {"kind": "deployment", "id": 1}, True),
        ({"kind": "deployment", "sha": "abc"}, {"kind": "deployment", "sha": "def"}, False),
        ({"kind": "flag", "flag": "x", "service": "a"}, {"kind": "flag", "flag": "y", "service": "a"}, False),
        ({"kind": "push", "ref": "main", "title": "a"}, {"kind": "push", "ref": "main", "title": "b"}, False),
        ({"kind": "migration", "service": "a"}, {"kind": "configuration", "service": "a"}, False),
    ],
)
def test_a_failure_is_ended_by_the_next_success_in_the_same_place(failed, ended, is_ended):
    one, other = read(**{"title": "T"} | failed, status="failed"), read(**{"title": "T"} | ended, status="succeeded")

    assert (one.identity == other.identity) is is_ended


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"kind": "deployment", "sha": "a1"}, {"kind": "deployment", "sha": "a1", "title": "Done"}, True),
        ({"kind": "deployment", "id": 1, "sha": "a1"}, {"kind": "deployment", "id": 1, "sha": "a1b2"}, True),
        ({"kind": "deployment", "sha": "a1"}, {"kind": "deployment", "sha": "b2"}, False),
        ({"kind": "deployment", "sha": "a1"}, {"kind": "rollback", "sha": "a1"}, False),
        ({"kind": "flag", "key": "x", "time": 1785571200}, {"kind": "flag", "key": "x", "time": 1785571260}, False),
        ({"kind": "flag", "id": "x", "time": 1785571200}, {"kind": "flag", "id": "x", "time": 1785571260}, False),
        ({"kind": "flag", "_id": "5", "time": 1785571200}, {"kind": "flag", "_id": "5", "time": 1785571260}, True),
    ],
)
def test_a_change_is_one_through_its_states_and_a_flag_is_changed_each_time(one, other, is_same):
    assert (changed(service="checkout", **one).identity == changed(service="checkout", **other).identity) is is_same


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Deployment", "title": "checkout has no replicas"},
        {"kind": "Deployment", "title": "x", "sha": "a1"},
        {"kind": "deployment", "title": "x", "status": "firing"},
        {"kind": "deployment", "title": "x", "status": "down"},
        {"kind": "deployment", "title": "x", "severity": "critical"},
        {"kind": "deployment", "title": "x", "labels": {"severity": "page"}},
        {"kind": "flag.updated", "title": "x", "severity": "critical"},
        {"kind": "pod", "title": "x"},
        {"kind": {"a": "deployment"}, "title": "x"},
    ],
)
def test_what_fires_is_an_alert_as_before_whatever_kind_of_thing_it_is_of(body):
    alert = read(**body)

    assert (alert.change, alert.kind, alert.status) == (None, Kind.ALERT, Status.FIRING)


def test_a_change_of_nothing_says_what_was_looked_for():
    with pytest.raises(Unreadable, match="a deployment of nothing; looked for a title, a service, a version, a sha and a ref"):
        read(kind="deployment", status="started")


def test_a_mapping_may_say_what_the_body_does_not():
    mapping = {
        "kind": "=flag", "title": "name", "by": "member", "starts_at": "date", "dedup_key": "_id", "environment": "env || =production"
    }  # fmt: skip
    alert = read(
        mapping, _id="57c0a8e29969090743529965", date=1785571200000, kind="project", name="one-page-checkout",
        member={"email": "ana@example.com", "firstName": "Ana", "lastName": "Ruiz"}, titleVerb="turned on the flag",
    )  # fmt: skip

    assert alert.change is not None
    assert (alert.title, alert.environment, alert.started_at.hour) == ("one-page-checkout", "production", 8)
    assert (alert.change.kind, alert.change.by, alert.change.identity) == (
        ChangeKind.FLAG, "ana@example.com", "flag/57c0a8e29969090743529965",
    )  # fmt: skip


def test_the_kind_may_stand_within_the_name_of_an_event():
    alert = read({"kind": "event_type", "title": "data.feature", "by": "data.changed_by"}, event_type="FLAG_UPDATED",
                 data={"feature": "one-page-checkout", "changed_by": "Ben"})  # fmt: skip

    assert alert.change is not None
    assert (alert.change.kind, alert.change.state, alert.change.by) == (ChangeKind.FLAG, SUCCEEDED, "Ben")


@pytest.mark.parametrize("well", ["healthy", "Healthy", "passed", "passing", "green", "fixed", "good", "HealthCheckPassed"])
@pytest.mark.parametrize("bad", ["degraded", "unhealthy", "failed", "fail"])
def test_a_deployment_that_is_well_by_any_word_ends_the_one_that_was_not(well, bad):
    failed, over = (
        read(kind="deployment", service="checkout", environment="production", version="1.2", status=word) for word in (bad, well)
    )

    assert (failed.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert failed.identity == over.identity
    assert over.defaults == ("started_at", "ended_at")


@pytest.mark.parametrize("word", ["NotHealthy", "not passed", "red"])
def test_a_word_that_may_be_of_no_end_ends_no_deployment(word):
    assert changed(kind="deployment", service="checkout", environment="production", status=word).state is UNKNOWN
