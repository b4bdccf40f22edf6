"""What is particular to Sentry: resources that a header names, issues that come back, and a plugin that signs nothing."""

import json
from datetime import UTC, datetime

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.sources.sentry import SOURCE
from bot.errors import Unreadable, Unverified
from tests.alerts.test_sources import NOW, SECRET, delivery

SENT = datetime(2026, 8, 1, 9, 59, tzinfo=UTC)
FIRST, LAST = datetime(2026, 7, 3, 8, 0, tzinfo=UTC), datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
ISSUE = {
    "id": "501",
    "title": "ValueError: no such shelf",
    "culprit": "shelves.find",
    "level": "error",
    "project": {"slug": "stock"},
    "web_url": "https://sentry.example.com/issues/501/",
    "firstSeen": FIRST.isoformat(),
    "lastSeen": LAST.isoformat(),
}
EVENT = {
    "event_id": "e1",
    "title": "ValueError: no such shelf",
    "level": "error",
    "datetime": LAST.isoformat(),
    "tags": [["environment", "live"], ["server_name", "stock-1"], None, ["odd"], {"key": "release", "value": "2.1"}],
    "url": "https://sentry.example.com/api/0/projects/acme/stock/events/e1/",
    "web_url": "https://sentry.example.com/organizations/acme/issues/501/events/e1/",
}
METRIC = {
    "id": "901",
    "alert_rule": {"id": "4", "name": "Too slow", "aggregate": "p95()", "environment": "live"},
    "projects": ["stock"],
    "date_started": LAST.isoformat(),
}
LEGACY = {
    "id": "501",
    "project": "stock",
    "level": "fatal",
    "culprit": "shelves.find",
    "url": "https://sentry.example.com/issues/501/",
    "triggering_rules": ["All of them"],
    "event": {"event_id": "e1", "metadata": {"title": "No such shelf"}, "timestamp": LAST.timestamp(), "tags": []},
}


def hook(resource, action, data, **headers):
    body = json.dumps({"action": action, "data": data, "installation": {"uuid": "x"}}).encode()
    named = {"Sentry-Hook-Resource": resource} if resource else {}
    return delivery(body, {**named, "Sentry-Hook-Timestamp": str(int(SENT.timestamp())), **headers})


def reading(resource, action, data):
    return SOURCE.parse(hook(resource, action, data), {})


def read(resource, action, data):
    [one] = reading(resource, action, data).alerts
    return one


def issue(action, **fields):
    return read("issue", action, {"issue": {**ISSUE, **fields}})


def event(**fields):
    return read("event_alert", "triggered", {"event": {**EVENT, **fields}, "triggered_rule": "Often"})


def metric(action, **data):
    return read("metric_alert", action, {"metric_alert": METRIC, **data})


def test_a_known_signature():
    body = '{"status":"firing","title":"café"}'.encode()

    headers = SOURCE.sign(body, "s3cret", NOW)

    assert headers["Sentry-Hook-Signature"] == "8f74b62f202f381c5af4ee3cb97f61b977a7e26692499d2cfd16a92a1fc3bdfb"


def test_a_signature_holds_for_the_exact_bytes_only():
    headers = dict(SOURCE.sign(b'{"a": "\\u00e9"}', SECRET, NOW))

    with pytest.raises(Unverified, match="does not fit"):
        SOURCE.verify(delivery('{"a": "é"}'.encode(), headers), [SECRET], NOW)


def test_the_plugin_which_signs_nothing_shows_a_token():
    SOURCE.verify(delivery(b"{}", token=SECRET), [SECRET], NOW)

    with pytest.raises(Unverified, match="the token does not fit"):
        SOURCE.verify(delivery(b"{}", token="other"), [SECRET], NOW)


def test_a_wrong_signature_is_not_made_good_by_a_token():
    with pytest.raises(Unverified, match="the signature"):
        SOURCE.verify(delivery(b"{}", {"Sentry-Hook-Signature": "00"}, token=SECRET), [SECRET], NOW)


@pytest.mark.parametrize(
    ("action", "status", "started", "ended"),
    [
        ("created", Status.FIRING, FIRST, None),
        ("unresolved", Status.FIRING, LAST, None),
        ("resolved", Status.RESOLVED, FIRST, SENT),
        ("archived", Status.SUPPRESSED, FIRST, None),
        ("ignored", Status.SUPPRESSED, FIRST, None),
        ("assigned", Status.INFO, FIRST, None),
    ],
)
def test_an_action_says_where_an_issue_stands(action, status, started, ended):
    one = issue(action)

    assert (one.identity, one.status, one.started_at, one.ended_at) == ("issue/501", status, started, ended)
    assert (one.title, one.service, one.url) == ("ValueError: no such shelf", "stock", "https://sentry.example.com/issues/501/")
    assert (one.defaults, one.source_status, one.kind) == ((), action, Kind.ALERT)


@pytest.mark.parametrize(
    ("level", "priority", "severity", "word"),
    [
        ("fatal", None, Severity.CRITICAL, "fatal"),
        ("fatal", "high", Severity.CRITICAL, "fatal"),
        ("fatal", "low", Severity.LOW, "low"),
        ("error", None, Severity.HIGH, "error"),
        ("error", "medium", Severity.MEDIUM, "medium"),
        ("warning", "high", Severity.HIGH, "high"),
        ("warning", "purple", Severity.MEDIUM, "warning"),
        ("info", "", Severity.INFO, "info"),
        ("sample", None, Severity.INFO, "sample"),
        ("purple", None, Severity.UNKNOWN, "purple"),
        (None, None, Severity.UNKNOWN, None),
    ],
)
def test_a_priority_says_how_bad_an_issue_is_then_its_level(level, priority, severity, word):
    one = issue("created", level=level, priority=priority)

    assert (one.severity, one.source_severity) == (severity, word)


def test_an_issue_without_an_address_of_its_own_has_its_permanent_one_or_none():
    assert issue("created", web_url=None, permalink="https://sentry.example.com/p/501").url == "https://sentry.example.com/p/501"
    assert issue("created", web_url=None, permalink=None).url is None


def test_an_end_that_nobody_told_is_filled_in():
    body = json.dumps({"action": "resolved", "data": {"issue": ISSUE}}).encode()

    [one] = SOURCE.parse(delivery(body, {"Sentry-Hook-Resource": "issue"}), {}).alerts

    assert (one.ended_at, one.defaults) == (NOW, ("ended_at",))


def test_an_event_is_news_of_its_issue():
    one = event(contexts={"trace": {"trace_id": "abc"}})

    assert (one.identity, one.status, one.severity, one.occurrence) == (
        issue("resolved").identity,
        Status.FIRING,
        Severity.HIGH,
        "e1",
    )
    assert (one.service, one.environment, one.started_at, one.defaults) == ("stock", "live", LAST, ("started_at",))
    assert one.labels == {"environment": "live", "server_name": "stock-1", "release": "2.1", "trace_id": "abc"}
    assert one.annotations == {"triggered_rule": "Often"}
    # There is an id of a trace, and nothing that says where to look it up.
    assert one.links == ()


def test_a_trace_is_a_link_where_a_tag_has_its_address():
    one = event(tags={"trace_url": "https://traces.example.com/abc"})

    assert [(link.rel, link.url) for link in one.links] == [("trace", "https://traces.example.com/abc")]


@pytest.mark.parametrize(
    "fields",
    [
        {"issue_id": "501"},
        {"issue_id": 501},
        {"issue_url": "https://sentry.example.com/api/0/issues/501/", "web_url": None},
        {"issue_url": "https://sentry.example.com/api/0/organizations/acme/issues/501/", "web_url": "https://x.example/issues/9/"},
    ],
)
def test_an_older_sentry_names_the_issue_in_its_address_only(fields):
    assert event(**fields).identity == "issue/501"


def test_a_project_without_a_name_is_its_server_or_its_number():
    assert event(url=None).service == "stock-1"
    assert event(url=None, tags=None, project=12).service == "12"


def test_the_sample_that_the_test_button_sends_pages_nobody():
    assert event(tags=[["sample_event", "yes"]]).kind is Kind.TEST


@pytest.mark.parametrize(
    ("action", "status", "severity", "word"),
    [
        ("critical", Status.FIRING, Severity.CRITICAL, "critical"),
        ("warning", Status.FIRING, Severity.MEDIUM, "warning"),
        ("open", Status.FIRING, Severity.UNKNOWN, "open"),
        ("resolved", Status.RESOLVED, Severity.UNKNOWN, None),
    ],
)
def test_a_metric_alert_keeps_its_name_through_its_states(action, status, severity, word):
    one = metric(action, description_title=f"{action.title()}: Too slow", web_url="https://sentry.example.com/alerts/9/")

    assert (one.identity, one.title, one.status, one.severity) == ("metric_alert/901", "Too slow", status, severity)
    assert (one.service, one.environment, one.started_at, one.source_severity) == ("stock", "live", LAST, word)
    assert (one.url, one.group_key, one.annotations) == ("https://sentry.example.com/alerts/9/", "4", {"aggregate": "p95()"})
    assert one.ended_at == (SENT if status is Status.RESOLVED else None)


def test_a_name_with_a_colon_in_it_is_left_alone():
    assert metric("critical", description_title="Checkout: too slow").title == "Checkout: too slow"


def test_a_metric_alert_with_hardly_anything_in_it():
    one = read("metric_alert", "warning", {"metric_alert": {"id": 1, "alert_rule": None, "projects": "odd"}})

    assert (one.identity, one.service, one.defaults) == ("metric_alert/1", None, ("title", "started_at"))


def test_a_comment_is_news_of_its_issue_and_pages_nobody():
    about = {"issue_id": 501, "comment": "Looking at it", "project_slug": "stock", "timestamp": LAST.isoformat()}

    one, why = read("comment", "created", about), reading("comment", "created", about).ignored

    assert (one.identity, one.kind, one.status, one.title) == ("issue/501", Kind.INCIDENT_UPDATE, Status.INFO, "Looking at it")
    assert "comment" in why


def test_an_error_alone_pages_nobody():
    one = read("error", "created", {"error": EVENT})

    assert (one.identity, one.kind, one.status) == ("issue/501", Kind.INCIDENT_UPDATE, Status.INFO)


@pytest.mark.parametrize(
    ("resource", "action", "data", "says"),
    [
        ("installation", "created", {"installation": {}}, "installed"),
        ("installation", "deleted", {"installation": {}}, "sends nothing more"),
        ("", "deleted", {"installation": {}}, "sends nothing more"),
        ("seer", "root_cause_started", {"run_id": 1}, "seer.root_cause_started is no news"),
        ("activity_alert", "triggered", {"issue": ISSUE, "activity": {}}, "activity_alert.triggered is no news"),
        ("", "triggered", {"issue": ISSUE, "activity": {}}, "activity_alert.triggered is no news"),
        ("issue", "renamed", {"issue": ISSUE}, "issue.renamed is no news"),
        ("issue", "", {"issue": ISSUE}, "no action"),
        ("metric_alert", "melted", {"metric_alert": METRIC}, "metric_alert.melted is no news"),
    ],
)
def test_what_means_nothing_is_said_to_mean_nothing(resource, action, data, says):
    found = reading(resource, action, data)

    assert not found.alerts
    assert says in found.ignored


@pytest.mark.parametrize(
    ("action", "data"),
    [
        ("resolved", {"issue": ISSUE}),
        ("triggered", {"event": EVENT}),
        ("critical", {"metric_alert": METRIC}),
        ("created", {"error": EVENT}),
    ],
)
def test_without_the_header_the_body_says_what_it_is(action, data):
    assert len(reading("", action, data).alerts) == 1


@pytest.mark.parametrize(
    ("resource", "action", "data", "says"),
    [
        ("issue", "created", {}, r"data\.issue: missing"),
        ("issue", "created", {"issue": {"title": "x"}}, r"data\.issue\.id: missing"),
        ("event_alert", "triggered", {"event": {"title": "x"}}, r"data\.event\.issue_id: missing"),
        ("event_alert", "triggered", {"event": []}, r"data\.event: expected an object"),
        ("metric_alert", "critical", {"metric_alert": {"title": "x"}}, r"data\.metric_alert\.id: missing"),
        ("comment", "created", {"comment": "x"}, r"data\.issue_id: missing"),
        ("issue", "created", [], "data: expected an object"),
        ("", "created", {"odd": 1}, "data: nothing that Sentry sends"),
    ],
)
def test_what_cannot_be_read_says_where(resource, action, data, says):
    with pytest.raises(Unreadable, match=says):
        reading(resource, action, data)


def test_the_legacy_plugin_is_news_of_the_same_issue():
    [one] = SOURCE.parse(delivery(json.dumps(LEGACY).encode()), {}).alerts

    assert (one.identity, one.title, one.status, one.severity) == ("issue/501", "No such shelf", Status.FIRING, Severity.CRITICAL)
    assert (one.service, one.url, one.started_at, one.defaults) == (
        "stock",
        "https://sentry.example.com/issues/501/",
        LAST,
        ("started_at",),
    )
    assert one.annotations == {"triggered_rule": "All of them"}


def test_an_event_that_is_sent_again_is_the_same_delivery_and_another_alerts_is_not():
    one = SOURCE.delivery_id(hook("event_alert", "triggered", {"event": EVENT, "triggered_rule": "a"}, **{"Request-ID": "1"}))
    again = SOURCE.delivery_id(hook("event_alert", "triggered", {"event": EVENT, "triggered_rule": "a"}, **{"Request-ID": "2"}))
    other = SOURCE.delivery_id(hook("event_alert", "triggered", {"event": EVENT, "triggered_rule": "b"}, **{"Request-ID": "1"}))

    assert one == again != other


def test_an_issue_that_is_resolved_twice_with_the_same_words_is_two_deliveries():
    first, second = (SOURCE.delivery_id(hook("issue", "resolved", {"issue": ISSUE}, **{"Request-ID": id_})) for id_ in ("1", "2"))

    assert (first, second) == ("1", "2")


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"null", b'{"data": []}', b'{"event": {"event_id": [1]}}', b"[" * 5000])
def test_any_body_has_an_id_of_at_most_128_characters(body):
    assert 0 < len(SOURCE.delivery_id(delivery(body))) <= 128
    assert 0 < len(SOURCE.delivery_id(delivery(body, {"Request-ID": "x" * 500}))) <= 128
