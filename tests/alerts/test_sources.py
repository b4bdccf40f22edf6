"""What holds for every source: it trusts its own signature and no other, reads its own examples, and leaks nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Severity, Status
from bot.alerts.reading import MOST, MOST_NAMES, moment, severity_of, web_url
from bot.alerts.registry import OURS, source_named, sources
from bot.alerts.source import FORM, Checks, Delivery, Example, Source
from bot.errors import Refused, Unreadable, Unverified

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
SECRET = "s3cret-canary-77"
FOLDER = Path(__file__).parents[2] / "bot" / "alerts" / "sources"


NO_START = {Status.FIRING: ("started_at",)}
FILLED_IN = {
    "statuscake": {Status.FIRING: ("started_at",), Status.RESOLVED: ("started_at", "ended_at")},
    "elastalert2": NO_START, "graylog": NO_START, "splunk": NO_START, "honeycomb": NO_START,
    "datadog": {Status.FIRING: ("started_at",)}, "site24x7": {Status.FIRING: ("started_at",)},
    "sentry/stock-timeouts": {Status.FIRING: ("started_at",)},
}  # fmt: skip
"""Sources that never say when anything was, or when it began."""


def delivery(body: bytes, headers: dict[str, str] | None = None, **query: str) -> Delivery:
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Delivery(body=body, headers=lower, route="main", received_at=NOW, query=query)


def signed(source: Source, body: bytes, secret: str = SECRET) -> Delivery:
    return delivery(body, dict(source.sign(body, secret, NOW)))


def as_sent(source: Source, example: Example) -> Delivery:
    body = example.body_at(NOW)
    return delivery(body, example.sent_by(source, SECRET, NOW, body))


def every_example() -> Iterator[tuple[Source, Example]]:
    return ((source, one) for source in OURS for one in source.examples)


every_source = pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
each_example = pytest.mark.parametrize(("source", "example"), list(every_example()), ids=lambda one: one.name)


def test_every_file_is_registered():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}

    assert files == {source.name for source in OURS}


@each_example
def test_an_example_is_read_as_what_it_says_it_is(source, example):
    reading = source.parse(as_sent(source, example), {})

    assert [one.status for one in reading.alerts] == [example.status]
    assert reading.alerts[0].title
    filled_in = FILLED_IN.get(f"{source.name}/{example.name}") or FILLED_IN.get(source.name, {})
    assert reading.alerts[0].defaults == filled_in.get(example.status, ())


@every_source
def test_its_own_signature_is_trusted_during_a_rotation_too(source):
    body = source.examples[0].body_at(NOW)

    source.verify(signed(source, body), [SECRET], NOW)
    source.verify(signed(source, body), ["old", SECRET], NOW)


@every_source
@pytest.mark.parametrize("secrets", [[], ["other"], ["s3cret-canary-7"]])
def test_no_secret_or_another_one_is_refused_without_naming_it(source, secrets):
    with pytest.raises(Unverified) as refused:
        source.verify(signed(source, b"{}"), secrets, NOW)

    assert SECRET not in refused.value.reason
    assert "\n" not in refused.value.reason
    assert not any(secret in refused.value.reason for secret in secrets)


@every_source
def test_an_unsigned_delivery_is_refused(source):
    with pytest.raises(Unverified, match=r"^no (token|signature)"):
        source.verify(delivery(b"{}"), [SECRET], NOW)


@every_source
@pytest.mark.parametrize("mangle", [str.upper, lambda text: text + "é", lambda text: text[:-1], lambda text: ""])
def test_a_mangled_signature_is_refused_and_never_an_error(source, mangle):
    headers = dict(source.sign(b"{}", SECRET, NOW))
    name = next(iter(headers))
    headers[name] = mangle(headers[name])

    with pytest.raises(Unverified):
        source.verify(delivery(b"{}", headers), [SECRET], NOW)


@pytest.mark.parametrize("source", [one for one in OURS if one.name in ("grafana", "pagerduty")], ids=lambda s: s.name)
def test_a_signature_holds_for_the_exact_bytes_only(source):
    headers = dict(source.sign(b'{"a": 1}', SECRET, NOW))

    with pytest.raises(Unverified):
        source.verify(delivery(b'{"a":1}', headers), [SECRET], NOW)


@pytest.mark.parametrize("source", [one for one in OURS if one.examples[0].content_type != FORM], ids=lambda one: one.name)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b'"text"', "expected a JSON object"),
        (b"[" * 100_000, "not JSON|nested"),
        (b'{"alerts": ' + b"[" * 300 + b"]" * 300 + b"}", "nested|expected an object"),
    ],
)
def test_what_cannot_be_read_says_why(source, body, says):
    with pytest.raises(Unreadable, match=says):
        source.parse(delivery(body), {})


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = some.sampled_from(
    ["alerts", "labels", "annotations", "status", "startsAt", "endsAt", "event", "data", "incident", "messages",
     "ruleName", "tags", "title", "links", "assignees", "service", "priority", "agent", "event_type", "truncatedAlerts"]
)  # fmt: skip
SHAPED = some.recursive(
    some.none() | some.integers() | some.text(max_size=8) | some.just("incident.triggered") | some.just("firing"),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@every_source
@given(body=some.one_of(JSON, SHAPED))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_json_at_all_is_an_error_of_ours(source, body):
    try:
        reading = source.parse(delivery(json.dumps(body).encode()), {})
    except Unreadable as error:
        assert error.reason
    else:
        assert all(one.started_at.tzinfo for one in reading.alerts)


def said_by(read, body):
    """What a reader says against a body; empty where it takes it."""
    try:
        read(delivery(body), {})
    except Unreadable as error:
        return error.reason
    return ""


@pytest.mark.parametrize("name", [one.name for one in OURS if isinstance(one, Checks)])
@given(body=some.one_of(JSON, SHAPED).map(lambda one: json.dumps(one).encode()) | some.binary(max_size=60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_quick_look_refuses_what_reading_would_refuse_and_nothing_else(name, body):
    source = source_named(name)

    assert said_by(source.check, body) == said_by(source.parse, body)


@every_source
@given(body=some.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_bytes_at_all_are_an_error_of_ours(source, body):
    try:
        source.parse(delivery(body), {})
    except Unreadable as error:
        assert error.reason


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {SECRET}"},
        {"Authorization": f"bearer {SECRET}"},
        {"X-Firstfive-Token": SECRET},
        {"Authorization": "Basic Zmlyc3RmaXZlOnMzY3JldC1jYW5hcnktNzc="},
    ],
)
def test_a_token_may_come_in_any_way_a_sender_knows(headers):
    source_named("alertmanager").verify(delivery(b"{}", headers), [SECRET], NOW)


def test_a_token_may_stand_in_the_address():
    source_named("generic").verify(delivery(b"{}", token=SECRET), [SECRET], NOW)


def test_a_name_nobody_has_is_answered_with_the_nearest():
    with pytest.raises(Refused, match="Did you mean grafana"):
        source_named("graphana")


def test_every_source_has_words_to_set_it_up():
    for source in sources().values():
        assert "https://bot.example.com" in source.setup.format(url="https://bot.example.com", secret="x")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("2026-08-01T10:00:00Z", "2026-08-01T10:00:00+00:00"),
        ("2026-08-01T10:00:00.123456789Z", "2026-08-01T10:00:00.123456+00:00"),
        ("2026-08-01T12:00:00.5+02:00", "2026-08-01T10:00:00.500000+00:00"),
        ("2026-08-01T10:00:00+0000", "2026-08-01T10:00:00+00:00"),
        ("2026-08-01 10:00:00.000", "2026-08-01T10:00:00+00:00"),
        ("2016-08-01T13:27:08.008+03:00", "2016-08-01T10:27:08.008000+00:00"),
        (1_785_578_400, "2026-08-01T10:00:00+00:00"),
        (1_785_578_400_000, "2026-08-01T10:00:00+00:00"),
        ("1785578400", "2026-08-01T10:00:00+00:00"),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("2026-13-45T99:00:00Z", None),
        ("", None),
        (None, None),
        (True, None),
        (-1, None),
        (1e300, None),
    ],
)
def test_times_of_every_kind(given_, expected):
    found = moment(given_)

    assert (found.isoformat() if found else None) == expected


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL), ("page", Severity.CRITICAL), ("sev-1", Severity.CRITICAL),
        ("Urgent", Severity.CRITICAL), ("blocker", Severity.CRITICAL),
        ("error", Severity.HIGH), ("P2", Severity.HIGH), ("Warning", Severity.MEDIUM), ("minor", Severity.LOW),
        ("none", Severity.INFO), ("purple", Severity.UNKNOWN), ("", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_words_for_severity(word, severity):
    assert severity_of(word) is severity


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("https://a.example/x?y=1", "https://a.example/x?y=1"),
        ("http://a.example", "http://a.example"),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("https://", None),
        ("https://a.example/a b", None),
        ("https://[::1", None),
        ("//a.example", None),
        (None, None),
        ("x" * 5000, None),
    ],
)
def test_only_web_addresses_are_links(given_, expected):
    assert web_url(given_) == expected


def test_an_address_may_be_relative_to_the_sender():
    assert web_url("?orgId=1", "https://g.example/") == "https://g.example/?orgId=1"


def test_a_known_signature_of_pagerduty():
    body = '{"status":"firing","title":"café"}'.encode()
    header = {"X-PagerDuty-Signature": "v1=00,v1=" + source_named("pagerduty").sign(body, "s3cret", NOW)[
        "X-PagerDuty-Signature"].removeprefix("v1=")}  # fmt: skip

    source_named("pagerduty").verify(delivery(body, header), ["s3cret"], NOW)
    assert header["X-PagerDuty-Signature"].endswith("8f74b62f202f381c5af4ee3cb97f61b977a7e26692499d2cfd16a92a1fc3bdfb")


def test_a_known_signature_of_grafana_with_its_time():
    body = '{"status":"firing","title":"café"}'.encode()
    at = datetime.fromtimestamp(1_754_042_400, UTC)

    headers = source_named("grafana").sign(body, "s3cret", at)

    assert headers["X-Grafana-Alerting-Signature"] == ("e1738720ee38ac0d7744d64420f96d6af41c4d5605d1dc32845ef9161ea849fe")


@pytest.mark.parametrize("seconds", [301, -301])
def test_an_old_or_early_signature_of_grafana_is_refused(seconds):
    source = source_named("grafana")
    at = datetime.fromtimestamp(NOW.timestamp() + seconds, UTC)

    with pytest.raises(Unverified, match="more than five minutes"):
        source.verify(delivery(b"{}", dict(source.sign(b"{}", SECRET, at))), [SECRET], NOW)


def test_a_generic_body_is_read_through_a_mapping():
    mapping = {"title": "job.name", "status": "job.state", "dedup_key": "run.id || job.id", "alerts": "items"}
    body = b'{"items": [{"job": {"name": "Export", "state": "failed", "id": 9}}]}'

    [one] = source_named("generic").parse(delivery(body), mapping).alerts

    assert (one.title, one.status, one.identity) == ("Export", Status.FIRING, "9")


def test_a_generic_body_without_a_title_says_where_it_looked():
    with pytest.raises(Unreadable, match=r"the body: no title; looked for job\.name"):
        source_named("generic").parse(delivery(b"{}"), {"title": "job.name"})


def test_a_status_nobody_knows_is_taken_as_firing_and_said_to_be_a_guess():
    [one] = source_named("generic").parse(delivery(b'{"title": "x", "status": "purple"}'), {}).alerts

    assert one.status is Status.FIRING
    assert "status" in one.defaults


@pytest.mark.parametrize(
    ("fields", "changed_at"),
    [
        ({"changed_at": "2026-08-01T09:30:00Z"}, datetime(2026, 8, 1, 9, 30, tzinfo=UTC)),
        # By a clock that is ahead.
        ({"changed_at": "2026-08-01T12:00:00Z"}, NOW),
        # What fires again may have the start that it had.
        ({"starts_at": "2026-08-01T09:30:00Z"}, None),
        ({"status": "resolved", "ends_at": "2026-08-01T09:30:00Z"}, None),
    ],
)
def test_generic_json_is_believed_to_have_changed_only_when_it_says_so(fields, changed_at):
    [one] = source_named("generic").parse(delivery(json.dumps({"title": "x", "status": "firing", **fields}).encode()), {}).alerts

    assert one.changed_at == changed_at


@pytest.mark.parametrize("word", ["healthy", "Passed", "passing", "fixed", "green", "clear", "good", "up"])
def test_a_word_for_well_ends_an_alert_of_generic_json(word):
    [one] = source_named("generic").parse(delivery(json.dumps({"title": "x", "status": word}).encode()), {}).alerts

    assert (one.status, "status" in one.defaults) == (Status.RESOLVED, False)


@pytest.mark.parametrize("word", ["done", "completed"])
def test_that_a_job_is_done_does_not_say_that_it_is_well(word):
    [one] = source_named("generic").parse(delivery(json.dumps({"title": "x", "status": word}).encode()), {}).alerts

    assert (one.status, "status" in one.defaults) == (Status.FIRING, True)


@pytest.mark.parametrize(("changed", "is_believed"), [("2026-06-10T11:00:00Z", True), ("2025-01-01T00:00:00Z", False)])
def test_what_changed_before_it_began_is_something_else(changed, is_believed):
    body = {"title": "x", "status": "firing", "starts_at": "2026-06-10T10:00:00Z", "changed_at": changed}
    [one] = source_named("generic").parse(delivery(json.dumps(body).encode()), {}).alerts

    assert (one.changed_at is not None) is is_believed


@pytest.mark.parametrize("name", ["timestamp", "time"])
def test_when_it_was_sent_is_no_beginning_of_what_changed_before(name):
    body = {"title": "x", "status": "firing", name: "2026-06-10T10:00:05Z", "changed_at": "2026-06-10T10:00:00Z"}
    [one] = source_named("generic").parse(delivery(json.dumps(body).encode()), {}).alerts
    [mapped] = source_named("generic").parse(delivery(json.dumps(body).encode()), {"starts_at": name}).alerts

    assert one.changed_at == datetime(2026, 6, 10, 10, tzinfo=UTC)
    # When it began nobody says: an end is measured by when it changed.
    assert (one.started_at.second, one.defaults) == (5, ("started_at",))
    assert (mapped.changed_at, mapped.defaults) == (None, ())


def test_a_clock_that_is_ahead_says_when_it_began_all_the_same():
    body = {"title": "x", "status": "firing", "timestamp": "2026-08-01T12:00:00Z", "changed_at": "2026-08-01T12:00:00Z"}
    [one] = source_named("generic").parse(delivery(json.dumps(body).encode()), {}).alerts

    assert (one.changed_at, one.defaults) == (NOW, ())


@pytest.mark.parametrize("word", ["healthy", "passed", "green", "done", "completed"])
def test_a_change_that_is_well_stays_a_change(word):
    body = {"kind": "deployment", "status": word, "service": "checkout", "environment": "production", "severity": "high"}
    [one] = source_named("generic").parse(delivery(json.dumps(body).encode()), {"kind": "kind"}).alerts

    assert one.change is not None


def test_five_hundred_alerts_and_very_long_texts_are_read():
    body = b'{"alerts": [%s]}' % b",".join(
        b'{"status": "firing", "labels": {"alertname": "A%d"}, "annotations": {"description": "%s"}}'
        % (index, b"x" * (200_000 if index == 0 else 10))
        for index in range(500)
    )  # fmt: skip

    alerts = source_named("alertmanager").parse(delivery(body), {}).alerts

    assert len({one.identity for one in alerts}) == 500
    assert len(alerts[0].description) == 20_000
    assert alerts[0].defaults == ("started_at",)


MANY = {
    "alertmanager": b'{"alerts": [%s]}', "grafana": b'{"alerts": [%s]}', "cloudevents": b"[%s]", "generic": b"[%s]",
    "updown": b"[%s]",
    "pagerduty": b'{"messages": [%s]}', "snyk": b'{"newIssues": [%s], "removedIssues": [], "project": {"id": "p"}}',
}  # fmt: skip
"""Where each of those that send more than one at once writes them."""


@pytest.mark.parametrize("name", MANY)
def test_more_at_once_than_any_sender_writes_are_refused_before_each_is_looked_at(name):
    source, event = source_named(name), {"X-Snyk-Event": "project_snapshot/v0"}
    body = MANY[name] % b",".join([b"{}"] * (MOST + 1))

    with pytest.raises(Unreadable, match=f"{MOST + 1} at once, more than {MOST}; send them in parts"):
        source.parse(delivery(body, event), {})


NAMED = {
    "alertmanager": b'{"alerts": [{"labels": {%s}}]}', "grafana": b'{"alerts": [{"annotations": {%s}}]}',
    "generic": b'{"title": "x", "labels": {%s}}',
}  # fmt: skip
"""Where each of those that are asked at the way in writes names of its sender's choice."""


@pytest.mark.parametrize("name", NAMED)
def test_more_labels_than_any_sender_writes_are_refused_at_once(name):
    source = source_named(name)
    few, many = (NAMED[name] % b",".join(b'"l%d": "v"' % number for number in range(count)) for count in (MOST_NAMES, MOST_NAMES + 1))

    assert said_by(source.check, few) == said_by(source.parse, few) == ""
    assert said_by(source.check, many) == said_by(source.parse, many)
    assert f"{MOST_NAMES + 1} names, more than {MOST_NAMES}; leave out" in said_by(source.parse, many)


TAGGED = {
    "datadog": [b'{"title": "x", "alert_id": "1", "tags": "%s"}', b'{"title": "x", "alert_id": "1", "alert_scope": "%s"}'],
    "elastalert2": [b'{"alert_name": "x", "tags": "%s"}'],
    "kibana": [b'{"rule_name": "x", "rule_id": "1", "status": "active", "rule_tags": "%s"}'],
}
"""Where each of those that write tags with commas has them."""


@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in TAGGED.items() for body in bodies])
def test_more_tags_than_any_sender_writes_are_refused_before_each_is_looked_at(name, body):
    source = source_named(name)
    few, many = (body % b",".join(b"t%d:v" % number for number in range(count)) for count in (MOST_NAMES, MOST_NAMES + 1))

    assert len(source.parse(delivery(few), {}).alerts[0].labels) >= MOST_NAMES
    assert f"{MOST_NAMES + 1} names, more than {MOST_NAMES}; leave out" in said_by(source.parse, many)


@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "0001-01-02T00:00:00Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", 0]
)
def test_what_senders_write_for_no_time_is_none(text):
    assert moment(text) is None


def test_an_end_that_nobody_gave_is_said_to_be_filled_in():
    [one] = source_named("generic").parse(delivery(b'{"title": "x", "status": "ok", "starts_at": "2026-08-01T09:00:00Z"}'), {}).alerts

    assert (one.ended_at, one.defaults) == (NOW, ("ended_at",))
