"""CloudEvents: the three modes, what makes an event an alert, and what tells one delivery and one alert from others."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.alerts.alert import Alert, ChangeKind, ChangeState, Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.cloudevents import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
EVENT = {
    "specversion": "1.0", "id": "1", "source": "/jobs", "type": "com.example.job.firing", "subject": "export",
    "time": "2026-08-01T09:50:00Z",
}  # fmt: skip
AT = datetime(2026, 8, 1, 9, 50, tzinfo=UTC)


def delivery(body: Any, headers: dict[str, str] | None = None) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(raw, STRUCTURED if headers is None else headers, "main", NOW)


def read(**fields: Any) -> Alert:
    [alert] = SOURCE.parse(delivery(EVENT | fields), {}).alerts
    return alert


def ignored(**fields: Any) -> str:
    reading = SOURCE.parse(delivery(EVENT | fields), {})
    assert not reading.alerts
    return reading.ignored


def binary(body: bytes, content_type: str = "application/json", **attributes: str) -> Delivery:
    given = {"specversion": "1.0", "id": "1", "source": "/jobs", "type": "com.example.job.firing"} | attributes
    return delivery(body, {"content-type": content_type, **{f"ce-{name}": value for name, value in given.items()}})


def test_an_event_without_data_is_told_by_its_type_subject_and_time():
    alert = read()

    assert (alert.title, alert.status, alert.started_at) == ("com.example.job: export", Status.FIRING, AT)
    assert (alert.source, alert.occurrence, alert.defaults) == ("cloudevents", "1", ())
    assert alert.labels == {"source": "/jobs", "type": "com.example.job.firing", "subject": "export"}


@pytest.mark.parametrize(
    ("type_", "status"),
    [
        ("a.b.firing", Status.FIRING), ("a.b.FAILED", Status.FIRING), ("a.b.failed.v1", Status.FIRING),
        ("a/b/alerting", Status.FIRING),
        ("a.b.resolved", Status.RESOLVED), ("a.b.successful.v2", Status.RESOLVED), ("a:b:recovered", Status.RESOLVED),
        ("a.b.acknowledged", Status.ACKNOWLEDGED), ("a.b.silenced", Status.SUPPRESSED),
    ],
)  # fmt: skip
def test_the_end_of_a_type_says_how_it_stands(type_, status):
    assert read(type=type_).status is status


@pytest.mark.parametrize("type_", ["a.object.created", "a.door.open", "a.user.active.v1", "a.log.error", "a", "firing"])
def test_an_event_that_says_nothing_of_how_it_stands_is_ignored(type_):
    assert type_ in ignored(type=type_, data={"name": "report.pdf", "size": 12})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({"status": "firing"}, Status.FIRING),
        ({"status": "active", "severity": "high"}, Status.FIRING),
        ({"title": "Something", "status": "ok"}, Status.RESOLVED),
        ({"title": "Something", "severity": "high"}, Status.FIRING),
        ({"title": "Something", "dedup_key": "a"}, Status.FIRING),
    ],
)
def test_data_may_say_how_it_stands_where_the_type_does_not(data, status):
    assert read(type="com.example.news", data=data).status is status


@pytest.mark.parametrize("data", [{"status": "active"}, {"name": "Ann", "status": "open"}, {"severity": "high"}, "firing", 3, [1]])
def test_data_of_another_kind_is_ignored(data):
    assert ignored(type="com.example.user.updated", data=data)


def test_a_title_without_any_status_is_taken_as_firing_and_said_to_be_a_guess():
    assert read(type="com.example.news", data={"title": "Something", "severity": "high"}).defaults == ("status",)


def test_a_title_alone_is_that_of_an_article_too():
    assert ignored(type="com.example.article.published", data={"title": "Something"})


@pytest.mark.parametrize("word", ["passed", "clear", "healthy"])
def test_what_is_said_of_anything_makes_no_alert_of_an_event(word):
    assert ignored(type=f"com.example.order.{word}", data={"order": 7})
    assert ignored(type="com.example.order.updated", data={"order": 7, "status": word})
    assert read(data={"title": "x", "severity": "high", "status": word}).status is Status.RESOLVED


TITLED, SEVERE = {"title": "Host db-1", "severity": "high"}, {"severity": "high"}


@pytest.mark.parametrize(
    ("bad", "well"),
    [
        ("down", "up"), ("down", "healthy"), ("failed", "passed"), ("failed", "passing"), ("failed", "fixed"),
        ("failed", "successful"), ("unhealthy", "healthy"), ("unreachable", "up"), ("degraded", "normal"),
        ("alerting", "normal"), ("problem", "good"),
        ("failed", "pass"), ("alarm", "clear"), ("failed", "green"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", [TITLED, SEVERE])
@pytest.mark.parametrize("is_said", [True, False])
def test_what_is_well_by_its_type_ends_what_was_bad(bad, well, data, is_said):
    fired = read(type=f"com.example.host.{bad}", data=data | ({"status": bad} if is_said else {}))
    over = read(type=f"com.example.host.{well}.v2", data=data | ({"status": well} if is_said else {}))

    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.identity, fired.defaults) == (over.identity, over.defaults)
    assert fired.defaults == ()


def test_what_is_well_by_its_type_needs_no_severity_where_its_data_has_a_key():
    assert read(type="com.example.check.passed", data={"title": "Check", "dedup_key": "c-1"}).status is Status.RESOLVED


@pytest.mark.parametrize(
    "type_",
    [
        "queue.backed_up",
        "disk.filling-up",
        "node.not_healthy",
        "check.not.passed",
        "latency.not_normal",
        "node.not_ok",
        "a.not-fixed",
    ],
)
def test_half_of_what_is_not_well_ends_nothing(type_):
    assert read(type=f"com.example.{type_}", data=TITLED).status is Status.FIRING


@pytest.mark.parametrize(("one", "other"), [("warning", "critical"), ("critical", "ok"), ("open", "closed"), ("error", "resolved")])
def test_an_alert_stays_the_same_whatever_word_of_its_own_its_type_ends_in(one, other):
    first, last = (read(type=f"com.example.disk.{word}", data=TITLED) for word in (one, other))

    assert first.identity == last.identity
    assert first.status is Status.FIRING


@pytest.mark.parametrize("word", ["inactive", "false", "info"])
def test_a_title_beside_a_word_that_may_mean_anything_is_taken_as_firing(word):
    alert = read(type=f"com.example.sensor.{word}", data=TITLED)

    assert (alert.status, alert.defaults) == (Status.FIRING, ("status",))


@pytest.mark.parametrize(
    "word", ["unhealthy", "fail", "Degraded", "red", "bad", "broken", "unreachable", "timeout", "breached", "failing"]
)
def test_a_word_for_bad_fires_beside_a_severity(word):
    alert = read(type="com.example.check", data={"status": word, "severity": "critical"})

    assert (alert.status, alert.defaults) == (Status.FIRING, ())


@pytest.mark.parametrize("word", ["unhealthy", "timeout", "red", "broken"])
def test_a_word_for_bad_without_a_severity_is_said_of_anything(word):
    assert ignored(type="com.example.session.updated", data={"session": 7, "status": word})
    assert ignored(type=f"com.example.session.{word}", data={"session": 7})


@pytest.mark.parametrize("word", ["open", "error", "timeout", "red"])
def test_a_severity_alone_makes_no_alert_of_a_type_that_says_little(word):
    assert ignored(type=f"com.example.log.{word}", data={"level": "error", "message": "Late"})


def test_a_status_of_the_data_wins_over_a_word_that_is_said_of_anything():
    assert (
        read(type="com.example.deadline.passed", data={"title": "Late", "severity": "high", "status": "open"}).status is Status.FIRING
    )


def test_a_smoke_test_that_fires_is_no_test_of_ours():
    assert read(type="com.example.smoke.test", data={"status": "firing", "severity": "critical"}).kind is Kind.ALERT


def test_data_is_read_as_our_own_schema_and_wins_over_the_event():
    alert = read(
        type="com.example.job.resolved",
        data={
            "title": "Export", "status": "firing", "severity": "P1", "service": "warehouse", "env": "prod", "labels": {"a": "b"},
            "starts_at": "2026-08-01T08:00:00Z", "url": "https://jobs.example.com/1", "description": "Exit 137",
        },
    )  # fmt: skip

    assert (alert.title, alert.status, alert.severity) == ("Export", Status.FIRING, Severity.CRITICAL)
    assert (alert.service, alert.environment, alert.labels["a"]) == ("warehouse", "prod", "b")
    assert (alert.started_at.hour, alert.url, alert.description) == (8, "https://jobs.example.com/1", "Exit 137")


def test_a_status_nobody_knows_gives_way_to_the_types():
    assert read(type="a.b.resolved", data={"status": "Ended7"}).status is Status.RESOLVED


def test_extensions_tell_severity_service_and_environment():
    alert = read(severitytext="warning", service="cart", env="staging")

    assert (alert.severity, alert.service, alert.environment) == (Severity.MEDIUM, "cart", "staging")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"id": "2", "type": "com.example.job.resolved"}),
        ({"type": "a.failed.v1"}, {"type": "a.successful.v1"}),
        ({"data": {"title": "T"}}, {"data": {"title": "T"}, "type": "com.example.job.resolved"}),
        ({"data": {"dedup_key": "k"}}, {"data": {"dedup_key": "k"}, "type": "com.example.other.cleared", "subject": "x"}),
    ],
)
def test_an_alert_and_its_end_are_one_alert(one, other):
    assert read(**one).identity == read(**other).identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"source": "/other"}),
        ({}, {"subject": "import"}),
        ({}, {"type": "com.example.task.firing"}),
        ({"data": {"title": "CPU"}}, {"data": {"title": "Disk"}}),
        ({"data": {"dedup_key": "k"}}, {"data": {"dedup_key": "l"}}),
    ],
)
def test_what_differs_in_source_subject_type_title_or_key_is_another_alert(one, other):
    assert read(**one).identity != read(**other).identity


def test_an_end_is_at_the_events_time():
    alert = read(type="a.resolved")

    assert (alert.ended_at, alert.defaults) == (AT, ())
    assert read(type="a.resolved", time="later").defaults == ("started_at", "ended_at")


def test_several_alerts_in_one_event_are_each_read():
    data = {"alerts": [{"title": "A", "status": "firing", "dedup_key": "a"}, {"title": "B", "status": "ok", "dedup_key": "b"}]}
    reading = SOURCE.parse(delivery(EVENT | {"type": "com.example.alerts", "data": data}), {})

    assert [(one.title, one.status) for one in reading.alerts] == [("A", Status.FIRING), ("B", Status.RESOLVED)]


def test_data_in_base64_is_read_where_it_is_json():
    encoded = base64.b64encode(b'{"title": "Export"}').decode()

    assert read(data_base64=encoded, datacontenttype="application/json").title == "Export"
    assert read(data_base64=base64.b64encode(b"\xff\x00").decode()).title == "com.example.job: export"


def test_text_is_the_description():
    assert read(data="It broke.", datacontenttype="text/plain").description == "It broke."


def test_an_event_may_stand_in_headers():
    found = binary(
        b'{"severity": "high"}', type='"com.example.job.firing"', subject="Export%20%E2%82%AC", time="2026-08-01T09:50:00Z"
    )
    [alert] = SOURCE.parse(found, {}).alerts

    assert (alert.title, alert.severity, alert.started_at) == ("com.example.job: Export €", Severity.HIGH, AT)
    assert [one.title for one in SOURCE.parse(binary(b"", subject="s"), {}).alerts] == ["com.example.job: s"]


@pytest.mark.parametrize(("body", "type_", "description"), [(b"It broke.", "text/plain", "It broke."), (b"\xff", "image/png", "")])
def test_data_that_is_not_json_leaves_the_event_readable(body, type_, description):
    [alert] = SOURCE.parse(binary(body, type_), {}).alerts

    assert alert.description == description


def test_structured_wins_over_headers_that_repeat_it():
    [alert] = SOURCE.parse(delivery(EVENT, STRUCTURED | {"ce-type": "x", "ce-id": "9", "ce-source": "y"}), {}).alerts

    assert alert.occurrence == "1"


@pytest.mark.parametrize("headers", [BATCH, {"content-type": "application/json"}, {}])
def test_a_batch_is_several_events(headers):
    events = [EVENT, EVENT | {"id": "2", "type": "a.created"}, EVENT | {"id": "3", "subject": "import"}]

    assert [one.occurrence for one in SOURCE.parse(delivery(events, headers), {}).alerts] == ["1", "3"]
    assert SOURCE.parse(delivery([], headers), {}).ignored == "a batch without events"


def test_a_test_is_a_test():
    assert read(type="com.example.alert.test").kind is Kind.TEST


def test_its_source_and_id_tell_a_delivery_from_others():
    same = SOURCE.delivery_id(delivery(EVENT))

    assert SOURCE.delivery_id(delivery(EVENT | {"data": {"tries": 2}})) == same
    assert SOURCE.delivery_id(binary(b"{}")) == same
    assert SOURCE.delivery_id(delivery(EVENT | {"id": "2"})) != same
    assert SOURCE.delivery_id(delivery(EVENT | {"source": "/other"})) != same
    assert len(SOURCE.delivery_id(delivery(EVENT | {"id": "x" * 5000}))) <= 128


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"3", b"{}", b"[1]", b"[]"])
def test_what_cannot_be_read_still_has_an_id(body):
    assert SOURCE.delivery_id(delivery(body))
    assert SOURCE.delivery_id(delivery(body, {"ce-type": "x", "ce-id": "%C0%A0"}))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (delivery({"id": "1", "source": "/a"}), "^type: missing"),
        (delivery([{"id": "1"}, 3]), r"^\[0\]\.source: missing.*; \[1\]: expected a JSON object, got a number"),
        (delivery(EVENT | {"specversion": "0.3"}), "^specversion: 0.3 is not read, only 1.0"),
        (binary(b"{}", specversion="2.0"), "^ce-specversion: 2.0 is not read, only 1.0"),
        (delivery([3], BATCH), r"^\[0\]: expected a JSON object, got a number"),
        (binary(b"{}", source=""), "^ce-source: missing"),
        (binary(b"{}", subject="%C0%A0"), "^ce-subject: not percent-encoded UTF-8"),
        (binary(b"{"), "not JSON"),
        (delivery(EVENT | {"data_base64": "%"}), "^data_base64: not base64"),
        (delivery([EVENT | {"data": {"title": "x", "labels": 3}}]), r"^\[0\]\.data: .*labels: expected an object"),
        (delivery(EVENT | {"data": {"alerts": [{}]}}), r"^data: alerts\[0\]: no title"),
    ],
)
def test_what_is_wrong_says_where(found, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(found, {})


@pytest.mark.parametrize("version", ["1.0", "1.1", "1", 1.0, None])
def test_any_version_that_begins_with_1_is_read(version):
    assert read(specversion=version).status is Status.FIRING


BAD = [
    3,
    {"id": "1"},
    EVENT | {"specversion": "0.3"},
    EVENT | {"data": {"title": "x", "labels": 3}},
    EVENT | {"data_base64": "%"},
]


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_event_of_a_batch_does_not_lose_the_others(bad):
    reading = SOURCE.parse(delivery([EVENT, bad, EVENT | {"id": "2", "subject": "import"}], BATCH), {})

    assert [one.occurrence for one in reading.alerts] == ["1", "2"]
    assert reading.ignored.startswith("left out: [1]")


def test_a_batch_of_which_one_event_is_bad_is_not_taken_for_the_good_one_alone():
    alone, beside = SOURCE.delivery_id(delivery([EVENT])), SOURCE.delivery_id(delivery([EVENT, {"id": "1"}]))

    assert alone == SOURCE.delivery_id(delivery(EVENT))
    assert beside != alone


def test_of_many_bad_events_a_few_are_named():
    reading = SOURCE.parse(delivery([EVENT, *[{"id": "1"}] * 50], BATCH), {})

    assert reading.ignored.startswith("left out: [1].source: missing")
    assert reading.ignored.endswith("; and 45 more")


# --- changes ----------------------------------------------------------------------------------


def cdevent(what: str, version: str = "0.1.1", **subject: Any) -> Alert:
    data = {"context": {"version": "0.4.1"}, "subject": {"type": what.split(".")[0]} | subject}
    return read(type=f"dev.cdevents.{what}.{version}", source="/tekton/prod", subject="s", data=data)


@pytest.mark.parametrize(
    ("what", "kind", "told"),
    [
        ("service.deployed", ChangeKind.DEPLOYMENT, Kind.DEPLOYMENT), ("service.upgraded", ChangeKind.DEPLOYMENT, Kind.DEPLOYMENT),
        ("service.rolledback", ChangeKind.ROLLBACK, Kind.DEPLOYMENT), ("service.published", ChangeKind.PROMOTION, Kind.DEPLOYMENT),
        ("service.removed", ChangeKind.CHANGE, Kind.CHANGE),
    ],
)  # fmt: skip
def test_what_cdevents_tell_of_a_service_is_a_change(what, kind, told):
    alert = cdevent(
        what, id="service/checkout",
        content={"environment": {"id": "production", "source": "/k8s"}, "artifactId": "pkg:oci/checkout@sha256%3A0b31b1c02f?tag=7"},
    )  # fmt: skip

    assert alert.change is not None
    assert (alert.kind, alert.change.kind, alert.change.state) == (told, kind, ChangeState.SUCCEEDED)
    assert (alert.service, alert.environment, alert.change.version) == ("checkout", "production", "sha256:0b31b1c02f")
    assert (alert.started_at, alert.status) == (AT, Status.RESOLVED)


def test_cdevents_of_an_environment_a_merge_and_an_artifact():
    environment = cdevent("environment.modified", "0.2.0-draft", id="staging-7", content={"name": "staging"})
    merge = cdevent("change.merged", id="pull/7", content={"repository": {"id": "acme/checkout", "source": "/git"}})
    artifact = cdevent("artifact.published", id="pkg:oci/acme/checkout@v2.4.1", content={"user": "ana"})

    told = [
        (one.change and one.change.kind, one.service, one.environment, one.change and (one.change.version or one.change.ref))
        for one in (environment, merge, artifact)
    ]
    assert told == [
        (ChangeKind.CONFIGURATION, None, "staging-7", None),
        (ChangeKind.PUSH, "acme/checkout", None, "pull/7"),
        (ChangeKind.RELEASE, "checkout", None, "v2.4.1"),
    ]


@pytest.mark.parametrize("what", ["build.finished", "testcaserun.finished", "change.created", "artifact.packaged", "ticket.closed"])
def test_other_cdevents_are_ignored(what):
    assert what in ignored(type=f"dev.cdevents.{what}.0.1.0", data={"subject": {"id": "x", "content": {}}})


@pytest.mark.parametrize("subject", ["x", ["x"], 7])
def test_a_cdevent_whose_subject_is_none_is_refused_with_its_place(subject):
    with pytest.raises(Unreadable, match=r"data\.subject: expected an object"):
        SOURCE.parse(delivery(EVENT | {"type": "dev.cdevents.service.deployed.0.1.1", "data": {"subject": subject}}), {})


def test_a_type_that_says_what_was_changed_makes_a_change_of_its_data():
    alert = read(type="com.example.deployment.succeeded.v1", subject="apps/checkout", data={"commit": "1a2b3c4d", "author": "ana"})

    assert alert.change is not None
    assert (alert.service, alert.change.sha, alert.change.by) == ("checkout", "1a2b3c4d", "ana")
    assert alert.title == "Deployment of 1a2b3c4 of checkout succeeded"


def test_a_flag_is_called_by_its_type_and_subject_and_its_service_is_not_guessed():
    alert = read(type="com.example.flag.updated", subject="one-page-checkout", environment="production")

    assert alert.change is not None
    assert (alert.title, alert.service) == ("com.example.flag.updated: one-page-checkout", None)
    assert (alert.environment, alert.change.kind) == ("production", ChangeKind.FLAG)


def test_two_sources_may_call_their_changes_alike():
    one, other = (
        read(type="a.deployment.succeeded", source=source, data={"id": 7, "service": "checkout"}) for source in ("/a", "/b")
    )

    assert one.change is not None
    assert other.change is not None
    assert one.change.identity != other.change.identity
    assert len(one.change.identity) <= 300


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "com.example.deployment.failed", "subject": "checkout"},
        {"type": "com.example.deployment.failed", "data": {"severity": "high", "service": "checkout"}},
        {"type": "com.example.deployment.succeeded", "data": {"title": "Down", "status": "firing"}},
        {"type": "com.example.deployment", "data": {"title": "No replicas", "severity": "critical"}},
        {"type": "com.example.news", "data": {"title": "No replicas", "kind": "deployment", "severity": "critical"}},
    ],
)
def test_what_fires_still_fires(fields):
    alert = read(**fields)

    assert (alert.kind, alert.status) == (Kind.ALERT, Status.FIRING)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "com.example.deployment.updated", "data": {"title": "Pricing answers 500", "severity": "critical"}},
        {"type": "com.example.config.changed", "data": {"title": "Pricing answers 500", "severity": "critical"}},
        {"type": "com.example.deployment.created", "data": {"title": "No replicas", "labels": {"severity": "page"}, "id": 1}},
        {"type": "com.example.rollout.updated", "data": {"service": "pricing", "status": "firing", "severity": "critical"}},
        {"type": "com.example.rollout.updated", "data": {"service": "pricing", "status": "critical"}},
        {"type": "com.example.deployment.succeeded", "data": {"service": "pricing", "status": "down"}},
        {"type": "com.example.news", "data": {"kind": "deployment", "service": "pricing", "status": "critical"}},
    ],
)
def test_data_that_is_an_alert_is_one_whatever_was_changed_by_its_type(fields):
    alert = read(**fields)

    assert (alert.change, alert.status) == (None, Status.FIRING)
    assert alert.title


@pytest.mark.parametrize(
    ("type_", "data", "state"),
    [
        ("deployment.completed", {"status": "failed"}, ChangeState.FAILED),
        ("deployment.finished", {"result": "failed"}, ChangeState.FAILED),
        ("deployment.finished", {"outcome": "failure"}, ChangeState.FAILED),
        ("deployment.updated", {"status": "in_progress"}, ChangeState.STARTED),
        ("deployment.updated", {"status": "in_progress", "severity": "critical"}, ChangeState.STARTED),
        ("deployment.completed", {"status": "purple"}, ChangeState.UNKNOWN),
        ("deployment.failed", {"status": "purple"}, ChangeState.FAILED),
        ("deployment.completed", {}, ChangeState.SUCCEEDED),
        ("deployment.updated", {"severity": "low"}, ChangeState.SUCCEEDED),
        ("deployment.succeeded", {"severity": "critical", "title": "Deployed"}, ChangeState.SUCCEEDED),
    ],
)
def test_how_far_a_change_is_its_data_says_before_its_type(type_, data, state):
    alert = read(type=f"com.example.{type_}", data={"service": "pricing", **data})

    assert alert.change is not None
    assert alert.change.state is state


@pytest.mark.parametrize(
    ("failed", "ended", "is_ended"),
    [
        (("configuration.failed", "pricing", {}), ("configuration.succeeded", "pricing", {}), True),
        (("configuration.failed", "x", {"service": "a"}), ("configuration.changed.v2", "x", {"service": "a"}), True),
        (("configuration.failed", "x", {"service": "a"}), ("configuration.changed", "y", {"service": "a"}), False),
        (("flag.failed", "", {}), ("flag.updated", "", {}), True),
        (("release.failed", "run/1", {"service": "a"}), ("release.published", "run/2", {"service": "a"}), True),
        (("deployment.failed", "apps/checkout", {}), ("service.rolled-back", "apps/checkout", {}), True),
        (("release.failed", "x", {}), ("release.published", "y", {}), False),
    ],
)
def test_a_change_that_failed_is_ended_by_the_next_success_of_its_subject(failed, ended, is_ended):
    one, other = (read(type=f"com.example.{type_}", subject=subject, data=data) for type_, subject, data in (failed, ended))

    assert (one.status, other.status) == (Status.FIRING, Status.RESOLVED)
    assert (one.identity == other.identity) is is_ended


def test_data_of_our_own_schema_tells_of_a_change_whatever_the_type_is():
    alert = read(type="com.example.news", data={"kind": "rollback", "service": "checkout", "version": "2.4.0"})

    assert alert.change is not None
    assert (alert.change.kind, alert.change.version) == (ChangeKind.ROLLBACK, "2.4.0")


@pytest.mark.parametrize(("word", "more"), [("healthy", {}), ("Synced", {}), ("passed", {"severity": "low"}), ("done", {})])
def test_a_change_in_our_own_schema_that_is_well_ends_the_one_that_failed(word, more):
    data = {"kind": "deployment", "service": "checkout", "environment": "production", "version": "1"}
    failed = read(type="com.example.news", data={**data, "status": "degraded", "severity": "high"})
    over = read(type="com.example.news", data={**data, "status": word, **more})

    assert (failed.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert failed.identity == over.identity


def test_several_alerts_in_one_event_stay_alerts_whatever_its_type_says():
    alerts = [{"title": "A", "status": "firing"}, {"title": "B", "status": "firing"}]
    reading = SOURCE.parse(delivery(EVENT | {"type": "com.example.deployment.failed", "data": {"alerts": alerts}}), {})

    assert [one.title for one in reading.alerts] == ["A", "B"]


def test_an_event_s_time_is_when_what_it_tells_of_changed():
    resolved = read(type="com.example.job.resolved", data={"starts_at": "2026-08-01T09:20:00Z"})
    deployed = read(type="com.example.deployment.failed", data={"environment": "production"}, subject="checkout")

    assert (read().changed_at, resolved.changed_at, deployed.changed_at) == (AT, AT, AT)
    assert read(time=None).changed_at is None
    assert read(time=None, data={"changed_at": "2026-08-01T09:50:00Z"}).changed_at == AT
    assert read(time="noon").changed_at is None


def test_a_clock_that_is_ahead_changes_nothing_later_than_it_was_told():
    assert read(time="2026-08-01T12:00:00Z").changed_at == NOW
