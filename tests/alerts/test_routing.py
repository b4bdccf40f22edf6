"""Which route takes an alert: patterns of every kind, what is left out, hours in a zone, routes that go on."""

from dataclasses import fields
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from bot.alerts.alert import Alert, Change, ChangeKind, ChangeState, FindingState, Kind, Link, SecurityFinding, Status
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.routing import FIELDS, MAPS, Hours, Matcher, Outcome, Route, choose_route, doubt_about, field_of, wrong_with
from bot.errors import Broken
from bot.incidents.policy import read
from tests.builders import NOON, alert

REST = Route("anything else", Matcher(), Outcome.ANNOUNCE)
LISBON = ZoneInfo("Europe/Lisbon")
EVERY_DAY = frozenset(range(7))


def chosen(*routes, one=None, now=NOON):
    return choose_route(one or alert(), "main", (*routes, REST), now)[0]


# --- patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("service", "checkout", True), ("service", "check", False), ("service", "check*", True), ("service", "?heckout", True),
        ("service", "re:check", True), ("service", "re:^check$", False), ("service", "re:^(checkout|payments)$", True),
        ("service", "re:(?i)CHECK", True), ("title", "re:rate high$", True), ("status", "firing", True), ("no_data", "false", True),
        ("group_key", "re:.", False), ("kind", "alert", True), ("name", "CheckoutErrorRateHigh", True), ("route", "main", True),
    ],
)  # fmt: skip
def test_a_field_fits_by_word_by_glob_or_by_expression(name, pattern, fits):
    assert (Matcher({name: (pattern,)}).misfit(alert(), "main") == "") is fits


@pytest.mark.parametrize(
    ("pattern", "title", "fits"),
    [
        ("[FIRING:1] Disk*", "[FIRING:1] Disk full", True), ("[FIRING:1] Disk*", "F Disk full", False),
        ("[FIRING:?] Disk full", "[FIRING:2] Disk full", True), ("[!]*", "[!] Disk full", True), ("[a-z]", "[a-z]", True),
        ("[[]]", "[[]]", True), ("*]", "web [1]", True), ("web[12]", "web1", False),
    ],
)  # fmt: skip
def test_nothing_is_wild_but_the_star_and_the_question_mark(pattern, title, fits):
    assert (Matcher({"title": (pattern,)}).misfit(alert(title=title), "main") == "") is fits


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_asked_for_and_is_text(name):
    assert isinstance(field_of(alert(), "main", name), str)


def test_no_expression_takes_longer_the_more_there_is_to_look_at():
    evil = Matcher({"title": ("re:^(a+)+$",)})

    assert evil.misfit(alert(title="a" * 5000 + "!"), "main")


@pytest.mark.parametrize("pattern", ["re:(", "re:[", "re:*", "re:(?P<", r"re:(a)\1"])
def test_what_is_no_expression_is_named_with_its_line(pattern):
    assert wrong_with(pattern)
    with pytest.raises(Broken, match=r":3: route “x”: match: .*is no regular expression"):
        read(f"routes:\n  - name: x\n    match: {{service: '{pattern}'}}")


@pytest.mark.parametrize(
    "pattern", ["disk.*", "*.example.com", "10.*.3", "app.*-prod", "acme.*/7", "100 $", "50$", "a^b", "$HOME", "*", "re:[ab]"]
)
def test_what_is_a_glob_is_one(pattern):
    assert wrong_with(pattern) == doubt_about(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (one, f"write 're:{one}' if")
        for one in ("^Disk", "^GSPC", "^Disk.*full$", "full$", "MSSQL$", "orders.*dlq", ".*full", "Disk.* full", "(a|b).*(c|d)")
    ]
    + [(one, "with its brackets") for one in ("web[12]", "[FIRING:1] Disk*")],
)
def test_what_may_be_meant_otherwise_is_taken_as_it_stands_and_told(pattern, said):
    assert wrong_with(pattern) == ""
    assert said in doubt_about(pattern)


# --- what only some alerts have ----------------------------------------------------------------


FOUND = SecurityFinding(
    state=FindingState.OPEN, rule="js/sql-injection", identifiers=("CVE-2026-1", "GHSA-1"), package="log4j-core", fixed_in="2.17.1",
    is_reopened=True,
)  # fmt: skip
MADE = Change(identity="7", kind=ChangeKind.ROLLBACK, state=ChangeState.FAILED, sha="a1b2", ref="main", version="2.4", by="ana")
WHOLE = alert(
    finding=FOUND,
    change=MADE,
    annotations={"team": "payments"},
    occurrence="run-7",
    truncated_count=3,
    defaults=("title", "started_at"),
    links=(Link("runbook", "https://wiki.example.com/a"), Link("logs", "https://logs.example.com/b")),
)


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("finding.package", "log4j*", True), ("finding.rule", "js/*", True), ("finding.state", "open", True),
        ("finding.identifier", "GHSA-1", True), ("finding.identifier", "re:^CVE-2026-", True),
        ("finding.identifier", "CVE-2027-1", False),
        ("finding.fixable", "true", True), ("finding.fixable", "false", False), ("finding.fixed_in", "2.17*", True),
        ("finding.reopened", "true", True), ("finding.reason", "re:.", False),
        ("change.kind", "rollback", True), ("change.state", "failed", True), ("change.sha", "a1*", True),
        ("change.ref", "main", True),
        ("change.version", "2.4", True), ("change.by", "ben", False),
        ("occurrence", "run-*", True), ("truncated", "true", True), ("links", "*logs.example.com*", True),
        ("links", "*x.com*", False),
        ("filled_in", "started_at", True), ("filled_in", "severity", False),
    ],
)  # fmt: skip
def test_whatever_an_alert_may_have_can_be_asked_for(name, pattern, fits):
    assert (Matcher({name: (pattern,)}).misfit(WHOLE, "main") == "") is fits
    assert bool(Matcher(but_fields={name: (pattern,)}).misfit(WHOLE, "main")) is fits
    plain = Matcher({name: (pattern,)}).misfit(alert(), "main")
    assert (f"{name} is missing" in plain) is name.startswith(("finding.", "change.", "occurrence", "links", "filled_in"))


def test_every_normalised_field_of_an_alert_can_be_matched():
    apart = {"started_at", "ended_at", "changed_at", "restarts", "attributes", "was_info"}
    named = {"truncated_count": "truncated", "defaults": "filled_in"}
    simple = {named.get(one.name, one.name) for one in fields(Alert)} - apart - {"finding", "change", *MAPS}
    findings = {f"finding.{one.name}" for one in fields(SecurityFinding)} - {"finding.created_at"}

    assert simple <= set(FIELDS)
    assert {one.replace("is_", "").replace("identifiers", "identifier") for one in findings} <= set(FIELDS)
    assert {f"change.{one.name}" for one in fields(Change)} - {"change.identity", "change.description"} <= set(FIELDS)


def test_an_annotation_is_matched_as_a_label_is():
    assert Matcher(annotations={"team": ("pay*",)}).misfit(WHOLE, "main") == ""
    assert Matcher(annotations={"team": ("web",)}).misfit(WHOLE, "main") == "annotation team is payments, not web"
    assert Matcher(but_annotations={"team": ("pay*",)}).misfit(WHOLE, "main") == "annotation team is payments, which is left out"
    assert Matcher(annotations={"team": ("a",)}, but_labels={"b": ("c",)}).said == "annotation.team=a, b!=c"


@pytest.mark.parametrize(
    ("match", "takes"),
    [({"severity": ("critical",)}, False), ({"kind": ("security_finding",)}, True), ({"finding.package": ("log4j*",)}, True)],
)
def test_a_route_that_asks_for_what_only_a_finding_has_means_findings(match, takes):
    found = alert(kind=Kind.SECURITY_FINDING, severity=AlertSeverity.CRITICAL, finding=FOUND)
    route = Route("opens", Matcher(match), Outcome.OPEN)

    assert (chosen(route, one=found) is route) is takes


def test_a_route_for_findings_after_one_that_takes_the_rest_is_got_to():
    read("routes:\n  - name: all\n  - name: holes\n    match: {finding.fixable: 'true'}\n")
    with pytest.raises(Broken, match="no alert gets here"):
        read("routes:\n  - name: all\n  - name: later\n    match: {kind: alert}\n")


# --- what is left out -------------------------------------------------------------------------


def test_what_is_left_out_goes_on_to_the_next():
    route = Route("all but staging", Matcher(), Outcome.OPEN, unless=Matcher({"environment": ("staging", "dev*")}))

    assert chosen(route) is route
    assert chosen(route, one=alert(environment="dev-7")) is REST


# --- hours ------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


WORK = Hours(LISBON, frozenset(range(5)), time(9), time(18))
NIGHT = Hours(LISBON, frozenset({4}), time(22), time(6))


@pytest.mark.parametrize(
    ("hours", "moment", "is_within"),
    [
        # Wednesday in June: Lisbon is an hour ahead of UTC.
        (WORK, "2026-06-10T08:00", True), (WORK, "2026-06-10T07:59", False), (WORK, "2026-06-10T17:00", False),
        (WORK, "2026-06-13T10:00", False),
        # In December it is not.
        (WORK, "2026-12-09T08:59", False), (WORK, "2026-12-09T09:00", True),
        # Friday night is of Friday, however late.
        (NIGHT, "2026-06-12T21:00", True), (NIGHT, "2026-06-13T04:59", True), (NIGHT, "2026-06-13T05:00", False),
        (NIGHT, "2026-06-12T04:00", False), (NIGHT, "2026-06-13T22:00", False),
        # The clock is set forward on 29 March 2026 at 1:00, and back on 25 October at 2:00.
        (Hours(LISBON, EVERY_DAY, time(1), time(2)), "2026-03-29T01:00", False),
        (Hours(LISBON, EVERY_DAY, time(1), time(2)), "2026-10-25T00:30", True),
        (Hours(LISBON, EVERY_DAY, time(1), time(2)), "2026-10-25T01:30", True),
        (Hours(LISBON, EVERY_DAY, time(0), time(0)), "2026-06-10T23:59", True),
    ],
)  # fmt: skip
def test_hours_are_those_on_the_wall_where_the_team_is(hours, moment, is_within):
    assert hours.has(at(moment)) is is_within


def test_a_route_takes_what_comes_within_its_hours():
    route = Route("at work", Matcher(), Outcome.ANNOUNCE, hours=WORK)

    assert chosen(route, now=at("2026-06-10T10:00")) is route
    assert chosen(route, now=at("2026-06-10T20:00")) is REST


# --- going on ---------------------------------------------------------------------------------


def test_a_route_that_goes_on_says_what_holds_and_the_next_one_takes_it():
    first = Route("whose it is", Matcher({"service": ("check*",)}), Outcome.OPEN, service="checkout", pager="a", goes_on=True)
    second = Route("at night", Matcher(), Outcome.OPEN, pager="b", severity_map={"high": "SEV3"}, goes_on=True)
    third = Route("critical", Matcher(), Outcome.OPEN, severity="SEV1", channel="{prefix}-{number}")

    route, why = choose_route(alert(), "main", (first, second, third, REST), NOON)

    assert (route.name, route.service, route.pager, route.severity) == ("critical", "checkout", "b", "SEV1")
    assert route.severity_map == {"high": "SEV3"}
    assert not route.goes_on
    assert "“whose it is”, “at night”" in why


def test_what_the_last_one_says_itself_counts_more():
    first = Route("mine", Matcher(), Outcome.OPEN, severity="SEV4", roles={"commander": "U1", "scribe": "U2"}, goes_on=True)
    last = Route("yours", Matcher(), Outcome.OPEN, severity="SEV1", roles={"commander": "U3"})

    route = chosen(first, last)

    assert (route.severity, route.roles) == ("SEV1", {"commander": "U3", "scribe": "U2"})


def test_its_own_map_counts_more_than_a_severity_that_was_said_before():
    first = Route("mine", Matcher(), Outcome.OPEN, severity="SEV4", goes_on=True)
    last = Route("yours", Matcher(), Outcome.OPEN, severity_map={"critical": "SEV1"})

    route = chosen(first, last)

    policy = read("")
    assert policy.severity_for(route, AlertSeverity.CRITICAL).value == "SEV1"
    assert policy.severity_for(route, AlertSeverity.HIGH).value == "SEV4"


def test_one_that_goes_on_and_does_not_fit_says_nothing():
    first = Route("others", Matcher({"service": ("payments",)}), Outcome.OPEN, severity="SEV4", goes_on=True)

    assert chosen(first) is REST


def test_a_finding_goes_on_past_a_route_that_only_says_what_holds():
    first = Route("whose it is", Matcher(), Outcome.OPEN, service="checkout", goes_on=True)

    assert chosen(first, one=alert(kind=Kind.SECURITY_FINDING)).service == "checkout"


# --- the policy -------------------------------------------------------------------------------

POLICY = """
team: {zone: Europe/Lisbon}
routes:
  - name: whose it is
    match: {service: "re:^pay"}
    continue: true
    service: payments
    severity_map: {high: SEV4}
  - name: nobody looks at staging
    match: {environment: staging}
    unless: {severity: critical}
    outcome: drop
    reason: staging is broken on purpose
  - name: at night
    hours: {days: [fri, saturday], from: "22:00", to: "6:00"}
    roles: {commander: U0ANA0001}
    channel: "{prefix}-{number}-night-{service}"
"""


def test_a_policy_says_all_of_it():
    policy = read(POLICY)
    first, second, third, rest = policy.built_routes()

    assert (first.goes_on, first.service, first.severity_map) == (True, "payments", {"high": "SEV4"})
    assert (second.outcome, second.reason, second.unless.fields) == (
        Outcome.DROP,
        "staging is broken on purpose",
        {"severity": ("critical",)},
    )
    assert (third.hours.days, third.hours.start, third.hours.end) == (frozenset({4, 5}), time(22), time(6))
    assert (third.roles, rest.name) == ({"commander": "U0ANA0001"}, "anything else")
    route, _ = choose_route(alert(service="payments-api", severity=AlertSeverity.HIGH), "main", policy.built_routes(), NOON)
    assert policy.severity_for(route, AlertSeverity.HIGH).value == "SEV4"
    assert policy.severity_for(route, AlertSeverity.CRITICAL).value == "SEV1"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("outcome: drop", "needs a `reason`"),
        ("{continue: true, outcome: open}", "takes nothing"),
        ("{continue: true, outcome: drop, reason: because}", "takes nothing"),
        ("unless: {}", "leaves everything out"),
        ("reason: because", "no other has one"),
        ("hours: {days: [someday]}", "hours.days: days are monday"),
        ("hours: {days: [m]}", "hours.days: days are monday"),
        ("hours: {from: nine}", "hours.from"),
        ("unless: {colour: red}", "cannot match on colour; known are source, route, severity"),
        ("match: {servce: a}", "cannot match on servce; did you mean service? Known are source, route"),
        ("match: {annotation: {a: b}}", "did you mean annotations?"),
        ("match: {finding.pkg: a}", "cannot match on finding.pkg; did you mean finding."),
        ("match: {annotations: a}", "annotations must be a map of annotation to pattern"),
        ("match: {annotations: {a: 're:('}}", "is no regular expression"),
        ("match: {finding.state: opne}", "finding.state is never 'opne'; did you mean open?"),
        ("match: {change.kind: deploy}", "change.kind is never 'deploy'; did you mean deployment?"),
        ("unless: {service: 're:('}", "is no regular expression"),
        ("roles: {commander: '@ana'}", "Slack user id, such as U0ANA0001, not '@ana'"),
        ("roles: {hero: U0ANA0001}", "roles.hero"),
        ("channel: '{nothing}-{number}'", "may hold {prefix}, {number}, {title}, {service}, {severity}"),
        ("channel: '{number.__class__}'", "may hold"),
        ("channel: '{prefix}-{title}'", "needs {number} in it"),
        ("severity_map: {awful: SEV1}", "severity_map.awful"),
    ],
)
def test_a_mistake_in_a_route_is_named_with_its_line(line, problem):
    with pytest.raises(Broken) as broken:
        read(f"routes:\n  - {{name: x, {line[1:]}" if line.startswith("{") else f"routes:\n  - name: x\n    {line}")

    assert problem in str(broken.value)
    assert str(broken.value).startswith(("policy.yaml:2:", "policy.yaml:3:"))


def test_a_resolved_alert_takes_its_route_as_a_firing_one_does():
    route = Route("critical", Matcher({"severity": ("critical",)}), Outcome.OPEN)

    assert chosen(route, one=alert(status=Status.RESOLVED)) is route


# --- a service by its own name ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "pattern", "takes"),
    [
        ("checkout", "checkout", True), ("cart", "checkout", True), ("Cart", "checkout", True), ("Checkout", "checkout", True),
        ("cart", "cart", True), ("checkout", "cart", False), ("cart", "check*", True), ("cart", "re:^check", True),
        ("Checkout", "Checkout", True), ("payments", "checkout", False), (None, "checkout", False), (None, "*", True),
    ],
)  # fmt: skip
def test_a_route_takes_a_service_by_its_sender_s_word_and_by_its_own_name(named, pattern, takes):
    route = Route("one", Matcher({"service": (pattern,)}), Outcome.OPEN)
    aliases = {"checkout": "checkout", "cart": "checkout", "payments": "payments"}

    assert (choose_route(alert(service=named), "main", (route, REST), NOON, aliases)[0] is route) is takes
    left_out = Route("but", Matcher(), Outcome.OPEN, unless=Matcher({"service": (pattern,)}))
    assert (choose_route(alert(service=named), "main", (left_out, REST), NOON, aliases)[0] is REST) is takes


def test_the_other_fields_of_a_route_have_to_fit_all_the_same():
    route = Route("one", Matcher({"service": ("checkout",), "title": ("Disk*",)}), Outcome.OPEN)

    assert choose_route(alert(service="cart"), "main", (route, REST), NOON, {"cart": "checkout"})[0] is REST


def test_of_what_is_no_expression_nothing_is_printed(capfd):
    wrong_with("re:(never closed")

    assert capfd.readouterr() == ("", "")
