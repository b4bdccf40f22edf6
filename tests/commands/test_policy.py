"""`policy check` and `policy test`: a team's own tests of its routing."""

import json

import pytest

from bot.alerts.registry import source_named
from bot.alerts.routing import FIELDS
from tests.builders import NOON
from tests.commands.terminal import TOP

POLICY = """
team: {zone: Europe/Lisbon}
services: {checkout: {aliases: [checkout-api], pager: checkout}}
routes:
  - {name: at night, hours: {from: "22:00", to: "06:00"}, match: {severity: high}, outcome: announce}
  - {name: staging, match: {environment: staging}, outcome: drop, reason: broken on purpose}
  - {name: critical, match: {severity: [critical, high]}, severity: SEV2}
"""
TABLE = """
tests:
  - name: checkout wakes somebody
    alert: {severity: critical, service: checkout-api}
    at: "2026-06-10T12:00:00+01:00"
    expect: {route: critical, outcome: open, severity: SEV2, service: checkout, pager: checkout}
  - name: not at night
    alert: {severity: high}
    at: "2026-06-10T23:00:00+01:00"
    expect: {route: at night, outcome: announce}
  - name: staging
    alert: {severity: critical, environment: staging}
    expect: {outcome: drop}
  - name: a real payload
    payload: PAYLOAD
    expect: {outcome: open}
"""
BODY = [{"title": "a", "severity": "critical", "status": "firing"}, {"title": "b", "severity": "critical", "status": "firing"}]


def one(rest):
    """A table of one test."""
    return f"tests:\n  - {{name: x, {rest}}}"


@pytest.fixture
def table(bot):
    payload = bot.file(json.dumps(BODY), "payload.json")
    return lambda text=TABLE: bot.file(text.replace("PAYLOAD", payload.name), "tests.yaml")


def policy_of(bot, text=POLICY):
    return str(bot.file(text, "policy.yaml"))


def test_what_is_as_expected_is_said_to_be(bot, table):
    told = bot.here("policy", "test", table(), policy_file=policy_of(bot))

    assert told.code == 0, told.err
    assert told.out.splitlines() == [
        "ok   checkout wakes somebody", "ok   not at night", "ok   staging", "ok   a real payload (1 of 2)",
        "ok   a real payload (2 of 2)", "5 of 5 as expected.",
    ]  # fmt: skip


def test_what_is_not_says_what_it_is_and_why(bot, table):
    text = TABLE.replace("severity: SEV2, service: checkout, pager", "severity: SEV1, service: checkout, pager")
    told = bot.here("policy", "test", table(text), policy_file=policy_of(bot))

    assert told.code == 1
    assert "FAIL checkout wakes somebody\n       severity is SEV2, not SEV1\n       because route “critical” takes it" in told.out
    assert told.out.endswith("4 of 5 as expected.\n")


GROUPED = """
tests:
  - name: payments explains it
    alert: {severity: high, service: checkout}
    open: [{incident: 4, service: payments, severity: SEV2, ago: 20m}]
    expect: {incident: 4, related: true}
  - name: worse than what is to explain it
    alert: {severity: critical, service: checkout}
    open: [{incident: 4, service: payments, severity: SEV3}]
    expect: {incident: 0, related: false}
  - name: the same cluster
    alert: {severity: high, service: web, labels: {cluster: eu}}
    open: [{incident: 3, service: api, labels: {cluster: us}}, {incident: 5, service: api, labels: {cluster: eu}}]
    expect: {incident: 5, related: false}
"""
GROUPING = """
services: {checkout: {depends_on: payments}, payments: {}}
routes: [{name: all, severity: SEV2}]
grouping: {group_by: cluster, across_services: true}
"""


def test_a_table_says_what_would_join_what_and_why(bot, table):
    told = bot.here("policy", "test", table(GROUPED), policy_file=policy_of(bot, GROUPING))

    assert told.code == 0, told.out + told.err
    assert "       because route “all” takes it (it takes everything); related to INC-4, which fires: checkout depends on" in told.out
    assert "checkout depends on payments, but INC-4 is only SEV3" in told.out
    assert "joins INC-5: an alert there has the same cluster" in told.out


def test_it_can_be_read_by_machines(bot, table):
    told = bot.here("policy", "test", table(), "--json", policy_file=policy_of(bot)).json()

    assert told["failed"] == 0
    assert [one["wrong"] for one in told["tests"]] == [[]] * 5


def test_a_maintenance_window_is_tried_too(bot, table):
    policy = policy_of(bot, POLICY + """
maintenance:
  - {name: move, match: {service: checkout}, reason: planned, from: "2026-06-10 11:00", until: "2026-06-10 13:00"}
""")  # fmt: skip
    quiet = "{route: critical, maintenance: move, outcome: record, severity: null, service: checkout, pager: null}"
    text = TABLE.replace("{route: critical, outcome: open, severity: SEV2, service: checkout, pager: checkout}", quiet)
    assert bot.here("policy", "test", table(text), policy_file=policy).code == 0

    told = bot.here("policy", "test", table(), policy_file=policy)
    assert told.code == 1
    assert "outcome is record, not open" in told.out
    assert "severity is nothing, not SEV2: kept quiet by maintenance “move”; it opens nothing\n" in told.out
    when = "2026-06-10 11:00 to 2026-06-10 13:00 Europe/Lisbon"
    assert f"because under maintenance “move” (service=checkout; {when}): planned; else" in told.out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (one("expect: {outcome: open}"), ":2: test “x”: give an `alert`, or a `payload`"),
        (one("alert: {colour: red}, expect: {outcome: open}"), ":2: test “x”: alert.colour: this key is unknown here"),
        (one("alert: {}, expect: {outcme: open}"), ":2: test “x”: expect.outcme: this key is unknown"),
        (one("alert: {}, at: '2026-06-10T12:00:00', expect: {outcome: open}"), "needs its offset"),
        ("tests: 7", ":1: tests: "),
        ("tests: []", ":1: tests: there is no test here; `bot policy test --help` shows"),
        ("{}", "tests: there is no test here"),
        ("", "tests: there is no test here"),
        (one("alert: {}, expect: {}"), ":2: test “x”: expect: expects nothing, and so can never fail: name some of route, "),
        (one("alert: {}, expect: {pages: maybe}"), "test “x”: expect.pages: expected true or false, not 'maybe'"),
        (one("alert: {}, expect: {outcome: join}"), "test “x”: expect.outcome: expected open, announce, record or"),
        (one("alert: {}, expect: {severity: high}"), "test “x”: expect.severity: expected SEV1, SEV2,"),
        (one("alert: {}, expect: {roles: {boss: U1}}"), "expected commander, deputy,"),
        (one("alert: {}, expect: {channel: 're:('}"), "test “x”: expect.channel: 're:(' is no regular expression"),
        (one("alert: {}, expect: {channel: '^inc-[0-9]+$'}"), "test “x”: expect.channel: '^inc-[0-9]+$' is a glob, in which only"),
        (one("alert: {source: grafna}, expect: {pages: true}"), "test “x”: alert.source: no source is called 'grafna'; did you mean"),
        (one("alert: {name: a, labels: {alertname: b}}, expect: {pages: true}"), "`name` is the label alertname, which is 'b'"),
        (one("endpoint: a, alert: {route: b}, expect: {pages: true}"), "`endpoint` is the alert's `route`: leave one of them"),
        (one("alert: {}, open: [{incident: 1}, {incident: 1}], expect: {pages: true}"), "test “x”: open: two of these are INC-1"),
        ("[]", ":1: expected a map of tests"),
        (one("alert: {kind: incident_update}, expect: {pages: true}"), "test “x”: alert: news of an incident is not routed"),
        (one("alert: {source: pagerduty}, expect: {pages: true}"), "test “x”: alert: news of an incident is not routed, and"),
        (one("payload: nowhere.json, expect: {outcome: open}"), "nowhere.json: No such file"),
        (one("payload: PAYLOAD, source: grafna, expect: {outcome: open}"),
         ":2: test “x”: source: no source is called 'grafna'; did you mean grafana?"),
        (one("payload: PAYLOAD, source: alertmanager, expect: {outcome: open}"), "cannot be read"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_says_where(bot, table, text, problem):
    told = bot.here("policy", "test", table(text), policy_file=policy_of(bot))

    assert told.code == 2
    assert problem in told.err
    assert told.err.count("\n") == 1


EVERYTHING = """
tests:
  - name: it wakes whoever is on call for checkout
    alert: {title: Errors, severity: critical, service: checkout-api, labels: {cluster: eu}}
    at: "2026-06-10T12:00:00+01:00"
    expect:
      {pages: true, pager: checkout, roles: {commander: U0ANA0001}, channel: "#inc-*-errors", private: false, group: {cluster: eu}}
  - name: a SEV4 wakes nobody
    alert: {title: Errors, severity: low}
    expect: {severity: SEV4, pages: false, roles: {}, channel: "re:^inc-[0-9]+-errors$", group: {}}
  - name: it is announced
    alert: {severity: info}
    expect: {outcome: announce, pages: false}
  - name: it raises what woke nobody
    alert: {severity: critical, service: checkout}
    at: "2026-06-10T12:00:00+01:00"
    open: [{incident: 1, service: checkout, severity: SEV4}]
    expect: {incident: 1, pages: true, severity: SEV2}
  - name: whoever is on it was asked before
    alert: {severity: critical, service: checkout}
    at: "2026-06-10T12:00:00+01:00"
    open: [{incident: 1, service: checkout, severity: SEV3}]
    expect: {incident: 1, pages: false, severity: SEV2}
"""
EVERY_OUTCOME = """
team: {zone: Europe/Lisbon}
services: {checkout: {aliases: [checkout-api], pager: checkout}}
grouping: {group_by: [cluster]}
routes:
  - {name: quiet, match: {severity: info}, outcome: announce}
  - {name: critical, match: {severity: [critical, high]}, severity: SEV2, roles: {commander: U0ANA0001}}
  - {name: all}
"""


def test_a_table_says_who_is_woken_who_has_which_role_and_what_the_channel_is_called(bot, table):
    told = bot.here("policy", "test", table(EVERYTHING), "--policy", policy_of(bot, EVERY_OUTCOME))

    assert told.code == 0, told.out + told.err
    assert told.out.endswith("5 of 5 as expected.\n")


@pytest.mark.parametrize(
    ("was", "instead", "wrong"),
    [
        ("pages: true, pager", "pages: false, pager", "pages is true, not false"),
        ("SEV4, pages: false", "SEV4, pages: true", "pages is false, not true: SEV4 does not page"),
        ("incident: 1, pages: false", "incident: 1, pages: true", "pages is false, not true: the page of INC-1 is asked for already"),
        ("roles: {commander: U0ANA0001}", "roles: {}", "roles is commander=U0ANA0001, not nothing"),
        ("#inc-*-errors", "inc-*-checkout", "channel is inc-1-errors, not inc-*-checkout"),
        ("group: {cluster: eu}", "group: {cluster: us}", "group is cluster=eu, not cluster=us"),
        ("outcome: announce, pages", "outcome: announce, channel: inc-*, pages", "channel is nothing, not inc-*"),
        ("outcome: announce, pages", "route: quite, pages",
         "route is quiet, not quite; the policy has no route quite: did you mean quiet?"),
        ("outcome: announce, pages", "route: x, pages",
         "route is quiet, not x; the policy has no route x: it has quiet, critical, all, anything else"),
        ("pager: checkout", "pager: payments",
         "pager is checkout, not payments; the policy has no pager payments: it has checkout, default"),
        ("outcome: announce, pages", "service: checkout, pages", "service is nothing, not checkout"),
        ("outcome: announce, pages", "severity: SEV5, pages",
         "severity is nothing, not SEV5: announced by route “quiet”; it opens nothing"),
        ("outcome: announce, pages", "pager: default, pages",
         "pager is nothing, not default: announced by route “quiet”; it opens nothing"),
        ("alert: {severity: info}\n    expect: {outcome: announce,",
         "alert: {severity: low, status: resolved}\n    expect: {severity: SEV4,",
         "severity is nothing, not SEV4: only recorded; it opens nothing"),
        ("pages: true, pager: checkout", "severity: null, pager: checkout", "severity is SEV2, not nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_may_have_been_meant(bot, table, was, instead, wrong):
    assert was in EVERYTHING
    told = bot.here("policy", "test", table(EVERYTHING.replace(was, instead)), "--policy", policy_of(bot, EVERY_OUTCOME))

    assert told.code == 1, told
    assert f"       {wrong}\n       because " in told.out


def test_a_table_may_expect_that_there_is_none(bot, table):
    tests = [{"name": "none", "alert": {"severity": "critical"}, "expect": {"runbook": None, "service": None}},
             {"name": "wrong", "alert": {"severity": "critical", "service": "checkout"}, "expect": {"service": None}}]  # fmt: skip
    policy = {"routes": [{"name": "all", "severity": "SEV2"}]}
    told = bot.here("policy", "test", table(json.dumps({"tests": tests})), "--policy", policy_of(bot, json.dumps(policy)))

    assert told.code == 1
    assert "ok   none\nFAIL wrong\n       service is checkout, not nothing\n" in told.out


MATCHED = {
    "source": "grafana", "route": "nightly", "severity": "high", "service": "checkout", "environment": "staging", "title": "Errors",
    "name": "TooManyErrors", "kind": "quality_gate", "status": "firing", "description": "many", "identity": "f1", "group_key": "g1",
    "source_status": "alerting", "source_severity": "page", "url": "https://example.com/1", "no_data": "true",
    "occurrence": "o1", "truncated": "true", "links": "https://example.com/2", "filled_in": "severity",
    "finding.state": "fixed", "finding.rule": "r1", "finding.identifier": "CVE-2026-1", "finding.package": "openssl",
    "finding.fixed_in": "3.1", "finding.fixable": "true", "finding.reopened": "true", "finding.reason": "tolerable",
    "change.kind": "rollback", "change.state": "failed", "change.sha": "abc", "change.ref": "main", "change.version": "v2",
    "change.by": "ana",
}  # fmt: skip
OTHERS = {
    "source": "sentry", "severity": "low", "kind": "alert", "status": "resolved", "no_data": False, "truncated": False,
    "finding.state": "open", "finding.fixable": False, "finding.reopened": False, "change.kind": "push", "change.state": "started",
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_an_alert_of_a_table_has_every_field_that_a_route_can_match(bot, table, field):
    announced = {"name": "it", "match": {field: MATCHED[field]}, "outcome": "announce"}
    policy = {"routes": [announced, {"name": "rest", "outcome": "announce"}]}
    other = OTHERS.get(field, "another")
    value = MATCHED[field] == "true" or MATCHED[field]
    tests = [{"name": "fits", "alert": {field: value}, "expect": {"route": "it"}},
             {"name": "does not", "alert": {field: other}, "expect": {"route": "rest"}}]  # fmt: skip
    told = bot.here("policy", "test", table(json.dumps({"tests": tests})), "--policy", policy_of(bot, json.dumps(policy)))

    assert told.out == "ok   fits\nok   does not\n2 of 2 as expected.\n", told.err


def test_the_repository_s_own_table_holds_and_is_what_the_how_to_shows(bot):
    told = bot.here("policy", "test", TOP / "policy-tests.yaml")

    assert told.code == 0, told.out + told.err
    shown = (TOP / "docs" / "how-to" / "test-your-routing.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    assert len(shown.splitlines()) > 10
    assert shown in (TOP / "policy-tests.yaml").read_text()


def test_without_a_policy_there_is_nothing_to_try(bot, table):
    told = bot.here("policy", "test", table(), policy_file="nowhere.yaml")

    assert told.refused() == "there is no policy at nowhere.yaml: name one with --policy FILE, or set POLICY_FILE"
    assert bot.here("policy", "test", table(), "--policy", "elsewhere.yaml").refused() == "elsewhere.yaml: No such file or directory"


def test_a_policy_that_is_broken_says_where_and_what_lists_the_rest(bot, table):
    broken = bot.file("routes:\n  - {name: x, match: {colour: red}}\n", "broken.yaml")
    said = bot.here("policy", "test", table(), "--policy", broken).refused()

    assert said.startswith(f"{broken}:2: route “x”: match: cannot match on colour")
    assert said.endswith(f"(`python -m bot policy check {broken}` lists everything that is wrong)")


def test_every_problem_of_a_policy_is_listed(bot):
    broken = bot.file("routes:\n  - {name: x, match: {colour: red}}\n  - {name: y, outcome: drop}\n")
    told = bot.here("policy", "check", broken)

    assert told.code == 1
    assert [line.partition(": ")[0].rpartition(":")[2] for line in told.out.splitlines()] == ["2", "3"]


NAMES_RUNBOOKS = """
services:
  checkout: {runbook: disk.md}
  payments: {runbook: runbooks/team/queue.md}
  search: {runbook: https://wiki.example.com/search}
  web: {runbook: disc.md}
routes:
  - {name: night, match: {severity: high}, runbook: queue.md}
  - {name: all, runbook: nope}
"""


def test_a_runbook_that_a_policy_names_and_that_is_not_there_is_told_with_its_line(bot):
    for path in ("books/disk.md", "books/team/queue.md"):
        bot.file("# A runbook\n", path)
    file = bot.file(NAMES_RUNBOOKS, "policy.yaml")
    told = bot.here("policy", "check", file, runbooks_dir="books")

    assert told.code == 1
    assert told.out.splitlines() == [
        f"{file}:6: services.web.runbook: there is no runbook 'disc.md'; did you mean disk.md?",
        f"{file}:8: route “night”: runbook: there is no runbook 'queue.md'; did you mean team/queue.md?",
        f"{file}:9: route “all”: runbook: there is no runbook 'nope'; write the name of its file, or an address",
    ]
    assert bot.here("policy", "check", file, runbooks_dir="nowhere").code == 0


def test_a_policy_without_problems_is_said_to_have_none(bot):
    file = bot.file(POLICY)

    assert bot.here("policy", "check", file).out == f"{file} can be used.\n"
    assert bot.here("policy", "check", "--policy", file).out == f"{file} can be used.\n"
    assert bot.here("policy", "check", file, "--policy", file).refused() == "name one policy to check: FILE, or --policy FILE"
    assert bot.here("policy", "check").code == 0


def test_what_a_policy_may_not_mean_is_told_and_a_problem_only_where_that_is_asked_for(bot):
    file = bot.file("routes:\n  - {name: x, match: {labels: {host: 'db-[12]'}}}\n")
    told, strict = bot.here("policy", "check", file), bot.here("policy", "check", "--strict", file)

    assert told.out.startswith(f"{file}:2: route “x”: match.labels.host: 'db-[12]' is looked for with its brackets")
    assert told.out.endswith(f"\n{file} can be used; look whether it means what stands above.\n")
    assert (told.code, strict.code, strict.out) == (0, 1, told.out)
    assert bot.here("policy", "check", "--strict", bot.file(POLICY)).code == 0


def test_a_payload_that_tells_of_an_incident_is_no_test_of_a_route(bot, table):
    body = source_named("pagerduty").examples[0].body_at(NOON)
    news = bot.file(body, "news.json")
    told = bot.here(
        "policy", "test", table(one(f"payload: {news}, source: pagerduty, expect: {{pages: true}}")), "--policy", policy_of(bot)
    )

    assert told.refused() == f"x: there is no alert in {news}: it is news of an incident, which no route takes"


def test_a_source_is_shown_with_or_without_the_word(bot):
    assert bot.here("sources", "show", "grafana").out == bot.here("sources", "grafana").out
    assert bot.here("sources", "grafana", "sentry").code == 2
