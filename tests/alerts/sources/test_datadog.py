"""What is particular to Datadog: its templates, its states, and variables that nothing was put in for."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.source import FORM
from bot.alerts.sources.datadog import SETUP, SOURCE, split_title
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, delivery

AT = datetime(2026, 8, 1, 9, 55, tzinfo=UTC)
MONITOR = {
    "alert_id": "11",
    "alert_cycle_key": "c1",
    "aggreg_key": "g1",
    "alert_transition": "Triggered",
    "alert_type": "error",
    "alert_priority": "P2",
    "alert_title": "Disk is nearly full",
    "alert_scope": "host:db-1,env:live",
    "title": "[Triggered on {host:db-1,env:live}] Disk is nearly full",
    "date": str(int(AT.timestamp()) * 1000),
    "tags": "env:live,host:db-1,service:ledger,paged,service:other",
}


def read(**fields):
    [one] = SOURCE.parse(delivery(json.dumps({**MONITOR, **fields}).encode()), {}).alerts
    return one


def default(title, organisation="7"):
    """Datadog's own template."""
    body = {"title": title, "body": "%%%\nfull\n%%%", "date": MONITOR["date"], "org": {"id": organisation, "name": "x"}, "id": "5"}
    [one] = SOURCE.parse(delivery(json.dumps(body).encode()), {}).alerts
    return one


def test_a_monitor_is_read_from_our_template():
    one = read(body="%%% Almost none is left. %%%", link="https://dd.example.com/e/1", snapshot="https://dd.example.com/s.png")

    assert (one.title, one.status, one.severity, one.kind) == ("Disk is nearly full", Status.FIRING, Severity.HIGH, Kind.ALERT)
    assert (one.service, one.environment, one.started_at, one.ended_at) == ("ledger", "live", AT, None)
    assert (one.occurrence, one.group_key, one.source_status, one.source_severity) == ("c1", "g1", "Triggered", "P2")
    assert (one.description, one.url) == ("Almost none is left.", "https://dd.example.com/e/1")
    assert [link.rel for link in one.links] == ["source", "panel"]
    assert one.labels == {"env": "live", "host": "db-1", "service": "ledger", "paged": "true"}
    assert one.attributes["alert_id"] == "11"


@pytest.mark.parametrize(
    ("transition", "status", "no_data", "defaults"),
    [
        ("Triggered", Status.FIRING, False, ("started_at",)),
        ("Re-Triggered", Status.FIRING, False, ("started_at",)),
        ("Warn", Status.FIRING, False, ("started_at",)),
        ("Re-Warn", Status.FIRING, False, ("started_at",)),
        ("No Data", Status.FIRING, True, ("started_at",)),
        ("Re-No Data", Status.FIRING, True, ("started_at",)),
        ("Renotify", Status.FIRING, False, ("started_at",)),
        ("Recovered", Status.RESOLVED, False, ()),
        ("recovered", Status.RESOLVED, False, ()),
    ],
)
def test_a_transition_says_where_a_monitor_stands(transition, status, no_data, defaults):
    one = read(alert_transition=transition)

    assert (one.status, one.no_data, one.defaults) == (status, no_data, defaults)
    assert (one.ended_at == AT) is (status is Status.RESOLVED)


@pytest.mark.parametrize(
    ("transition", "type_", "title", "status", "defaults"),
    [
        ("null", "error", "Deploy failed", Status.FIRING, ("started_at",)),
        ("null", "success", "Deploy is well", Status.RESOLVED, ()),
        ("$ALERT_TRANSITION", "info", "Somebody logged in", Status.INFO, ()),
        ("", "error", "[Recovered] Disk", Status.RESOLVED, ()),
        ("Melted", "$ALERT_TYPE", "Disk", Status.FIRING, ("status", "started_at")),
        ("", "", "Disk", Status.FIRING, ("status", "started_at")),
    ],
)
def test_without_a_transition_the_title_says_it_then_the_type(transition, type_, title, status, defaults):
    one = read(alert_transition=transition, alert_type=type_, title=title)

    assert (one.status, one.defaults) == (status, defaults)


@pytest.mark.parametrize(
    ("priority", "type_", "severity"),
    [
        ("P1", "error", Severity.CRITICAL),
        ("P5", "error", Severity.INFO),
        ("$ALERT_PRIORITY", "error", Severity.HIGH),
        ("normal", "warning", Severity.MEDIUM),
        ("null", "info", Severity.INFO),
        ("", "success", Severity.UNKNOWN),
        ("", "", Severity.HIGH),
    ],
)
def test_a_priority_says_how_bad_it_is_then_the_type(priority, type_, severity):
    assert read(alert_priority=priority, alert_type=type_).severity is severity


def test_an_alert_is_the_same_when_it_clears_and_another_one_for_another_host():
    fired, over = read(), read(alert_transition="Recovered", alert_scope="env:live, host:db-1")
    other = read(alert_scope="host:db-2,env:live")

    assert fired.identity == over.identity
    assert fired.identity != other.identity


def test_a_monitor_without_a_scope_is_told_apart_by_its_group():
    first, second = (read(alert_scope="", title="Disk", aggreg_key=key) for key in ("g1", "g2"))

    assert first.identity != second.identity


def test_datadogs_own_template_is_told_by_its_title_and_organisation():
    fired, over = default("[Triggered on {host:db-1}] Disk"), default("[Recovered on {host:db-1}] Disk")

    assert (fired.status, over.status, fired.title, fired.severity) == (Status.FIRING, Status.RESOLVED, "Disk", Severity.HIGH)
    assert (fired.labels, fired.description) == ({"host": "db-1"}, "full")
    assert fired.identity == over.identity
    others = (default("[Triggered on {host:db-2}] Disk"), default("[Triggered on {host:db-1}] Disk", "8"))
    assert fired.identity not in [one.identity for one in others]


@pytest.mark.parametrize(
    ("state", "severity", "defaults"),
    [
        ("Triggered", Severity.HIGH, ("severity",)),
        ("Re-Triggered", Severity.HIGH, ("severity",)),
        ("No data", Severity.HIGH, ("severity",)),
        ("Warn", Severity.MEDIUM, ("severity",)),
        ("Renotify", Severity.HIGH, ("severity",)),
        ("Recovered", Severity.UNKNOWN, ()),
    ],
)
def test_where_neither_a_priority_nor_a_type_says_how_bad_it_is_its_state_does(state, severity, defaults):
    one = default(f"[{state} on {{host:db-1}}] Disk")

    assert (one.severity, one.source_severity, tuple(name for name in one.defaults if name == "severity")) == (
        severity,
        None,
        defaults,
    )
    assert default(f"[P4] [{state} on {{host:db-1}}] Disk").severity is Severity.LOW


@pytest.mark.parametrize(
    ("title", "parts"),
    [
        ("[Triggered on {host:a}] Disk", ("", "Triggered", "host:a", "Disk")),
        ("[Re-No data on {host:a,x:[b]}] Disk", ("", "Re-No data", "host:a,x:[b]", "Disk")),
        ("[Recovered] [eu] Disk", ("", "Recovered", "", "[eu] Disk")),
        ("[ on {host:a}] Disk", ("", "", "host:a", "Disk")),
        ("[P1] [Triggered on {host:a}] Disk", ("P1", "Triggered", "host:a", "Disk")),
        ("[P5][Re-Triggered on {host:a}] Disk", ("P5", "Re-Triggered", "host:a", "Disk")),
        ("[P2] [Warn on {host:a}] Disk", ("P2", "Warn", "host:a", "Disk")),
        ("[P3] [No Data on {host:a}] Disk", ("P3", "No Data", "host:a", "Disk")),
        ("[P4] [Recovered] [P1] Disk", ("P4", "Recovered", "", "[P1] Disk")),
        ("[P1] Disk", ("P1", "", "", "Disk")),
        ("[P6] Disk", ("", "", "", "[P6] Disk")),
        ("[P1]", ("P1", "", "", "")),
        ("[eu] Disk", ("", "", "", "[eu] Disk")),
        ("[Triggered", ("", "Triggered", "", "")),
        ("[", ("", "", "", "[")),
        ("", ("", "", "", "")),
    ],
)
def test_a_title_begins_with_its_priority_and_its_state(title, parts):
    assert split_title(title) == parts


@pytest.mark.parametrize("state", ["Triggered", "Re-Triggered", "Warn", "No Data"])
def test_a_monitor_with_a_priority_clears_what_it_fired_whatever_its_priority_is_by_then(state):
    fired, over = default(f"[P1] [{state} on {{host:db-1}}] Disk"), default("[P2] [Recovered on {host:db-1}] Disk")

    assert (fired.status, over.status) == (Status.FIRING, Status.RESOLVED)
    assert fired.identity == over.identity == default("[Recovered on {host:db-1}] Disk").identity
    assert (fired.title, fired.labels, fired.no_data) == ("Disk", {"host": "db-1"}, state == "No Data")


@pytest.mark.parametrize(
    ("given", "severity", "word"),
    [
        ({"alert_priority": "", "alert_type": ""}, Severity.CRITICAL, "P1"),
        ({"alert_priority": "$ALERT_PRIORITY", "alert_type": "warning"}, Severity.CRITICAL, "P1"),
        ({"alert_priority": "P4", "alert_type": "error"}, Severity.LOW, "P4"),
    ],
)
def test_the_priority_of_a_title_counts_where_the_payload_has_none_of_its_own(given, severity, word):
    one = read(title="[P1] [Triggered on {host:db-1}] Disk", **given)

    assert (one.severity, one.source_severity) == (severity, word)


@pytest.mark.parametrize("name", ["$HOSTNAME", "$TAGS[team]", "null", "", None, "  "])
def test_a_variable_without_a_value_is_missing_and_never_shown(name):
    one = read(hostname=name, link=name, tags=name, alert_scope=name, title="Disk", user=name, alert_title="Disk")

    assert (one.labels, one.url, one.service) == ({}, None, None)
    assert not {"hostname", "link", "tags", "user"} & set(one.attributes)


def test_tags_may_be_a_list_and_the_host_is_a_label():
    one = read(tags=["service:ledger", "team:core"], hostname="db-1", alert_scope="*", title="Disk")

    assert one.labels == {"service": "ledger", "team": "core", "host": "db-1"}


@pytest.mark.parametrize(
    ("status", "read_as"),
    [
        ("active", Status.FIRING),
        ("stable", Status.FIRING),
        ("resolved", Status.RESOLVED),
        ("completed", Status.RESOLVED),
    ],
)
def test_an_incident_of_datadogs_is_one_of_its_own(status, read_as):
    about = {"incident_uuid": "u-1", "incident_title": "Ledger is down", "incident_severity": "SEV-2", "incident_status": status}
    one = read(**about, incident_url="https://dd.example.com/incidents/1", alert_transition="", alert_type="")

    assert (one.title, one.status, one.severity, one.kind) == ("Ledger is down", read_as, Severity.HIGH, Kind.ALERT)
    assert (one.identity, one.url) == ("incident/u-1", "https://dd.example.com/incidents/1")
    # There is no variable for its start.
    assert one.defaults == ("started_at",)


def test_an_incident_in_a_status_of_ones_own_is_taken_as_going_on():
    one = read(incident_public_id="42", incident_status="watching", incident_title="x")

    assert (one.status, one.identity, one.defaults) == (Status.FIRING, "incident/42", ("status", "started_at"))


@pytest.mark.parametrize(
    "given",
    [
        {"title": "[TEST] [Triggered on {host:db-1}] Disk is nearly full"},
        {"title": "[Triggered on {host:db-1}] [Test] Disk is nearly full"},
        {"alert_title": "[TEST] Disk is nearly full"},
        {"body": "%%% [TEST] This is a test notification. %%%"},
    ],
)
def test_a_test_notification_says_so_anywhere_and_is_no_alert(given):
    assert read(**given).kind is Kind.TEST


def test_a_monitor_of_tests_is_an_alert():
    assert read(title="[Triggered on {env:test}] [checkout] tests fail", alert_title="Tests fail").kind is Kind.ALERT


@pytest.mark.parametrize(
    "title", [
        "[Triggered on {host:a}] [TEST] Disk", "[TEST] Disk", "[P1] [Triggered] [TEST] Disk", "[P1] [TEST] Disk",
        "[TEST] [P1] [Triggered on {host:a}] Disk", "[P1] [TEST] [Triggered on {host:a}] Disk",
    ],
)  # fmt: skip
def test_a_test_notification_pages_nobody(title):
    assert read(title=title, alert_title="$ALERT_TITLE").kind is Kind.TEST


def test_a_form_is_read_like_json():
    body = urlencode(MONITOR).encode()

    [one] = SOURCE.parse(delivery(body, {"Content-Type": f"{FORM}; charset=utf-8"}), {}).alerts

    assert one == read()


def test_json_that_is_called_a_form_is_read_as_json():
    [one] = SOURCE.parse(delivery(json.dumps(MONITOR).encode(), {"Content-Type": FORM}), {}).alerts

    assert one == read()


@pytest.mark.parametrize(("body", "kind"), [(b"{}", ""), (b'{"title": "$EVENT_TITLE"}', ""), (b"a=b", FORM), (b"\xff=1", FORM)])
def test_a_template_that_names_nothing_is_refused(body, kind):
    with pytest.raises(Unreadable, match=r"title: missing|not a form"):
        SOURCE.parse(delivery(body, {"Content-Type": kind}), {})


def test_a_monitor_without_a_title_and_a_time_is_filled_in():
    body = b'{"alert_id": 11, "alert_transition": "Triggered"}'

    [one] = SOURCE.parse(delivery(body), {}).alerts

    assert (one.identity, one.started_at, one.defaults) == ("11/", NOW, ("severity", "started_at", "title"))


def test_a_time_may_be_in_seconds():
    assert read(date="", date_posix=int(AT.timestamp())).started_at == AT


def test_the_template_that_people_paste_has_every_field_that_is_read():
    text = SETUP.format(url="https://bot.example.com", secret="x")
    payload = json.loads(text[text.index("#   Payload") :].partition("{")[2].partition("}")[0].join("{}"))

    assert set(MONITOR) <= set(payload)
    assert all(value.startswith("$") for value in payload.values())
