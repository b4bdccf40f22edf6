"""`policy check` and `policy test`: a team's own tests of its routing."""

import json

import pytest

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
    text = TABLE.replace("expect: {route: critical, outcome: open", "expect: {maintenance: move, outcome: record")
    assert bot.here("policy", "test", table(text), policy_file=policy).code == 0

    told = bot.here("policy", "test", table(), policy_file=policy)
    assert told.code == 1
    assert "outcome is record, not open" in told.out
    when = "2026-06-10 11:00 to 2026-06-10 13:00 Europe/Lisbon"
    assert f"because under maintenance “move” (service=checkout; {when}): planned; else" in told.out


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tests:\n  - {name: x, expect: {}}", ":2: tests.0: give an `alert`, or a `payload`"),
        ("tests:\n  - {name: x, alert: {colour: red}, expect: {}}", ":2: tests.0.alert.colour: this key is unknown here"),
        ("tests:\n  - {name: x, alert: {}, expect: {outcme: open}}", ":2: tests.0.expect.outcme: this key is unknown"),
        ("tests:\n  - {name: x, alert: {}, at: '2026-06-10T12:00:00', expect: {}}", "needs its offset"),
        ("tests: 7", ":1: tests: "),
        ("[]", ":1: expected a map of tests"),
        ("tests:\n  - {name: x, payload: nowhere.json, expect: {}}", "nowhere.json: No such file"),
        ("tests:\n  - {name: x, payload: PAYLOAD, source: grafna, expect: {}}", "Did you mean grafana?"),
        ("tests:\n  - {name: x, payload: PAYLOAD, source: alertmanager, expect: {}}", "cannot be read"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_says_where(bot, table, text, problem):
    told = bot.here("policy", "test", table(text), policy_file=policy_of(bot))

    assert told.code == 2
    assert problem in told.err
    assert told.err.count("\n") == 1


def test_every_problem_of_a_policy_is_listed(bot):
    broken = bot.file("routes:\n  - {name: x, match: {colour: red}}\n  - {name: y, outcome: drop}\n")
    told = bot.here("policy", "check", broken)

    assert told.code == 1
    assert [line.partition(": ")[0].rpartition(":")[2] for line in told.out.splitlines()] == ["2", "3"]


def test_a_policy_without_problems_is_said_to_have_none(bot):
    file = bot.file(POLICY)

    assert bot.here("policy", "check", file).out == f"{file} can be used.\n"
    assert bot.here("policy", "check").code == 0


def test_a_source_is_shown_with_or_without_the_word(bot):
    assert bot.here("sources", "show", "grafana").out == bot.here("sources", "grafana").out
    assert bot.here("sources", "grafana", "sentry").code == 2
