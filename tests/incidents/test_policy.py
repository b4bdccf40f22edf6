"""The policy file: what it may say, and what is said of it when it is wrong."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.routing import Matcher, Outcome, Route
from bot.errors import Broken
from bot.incidents.incident import Severity
from bot.incidents.policy import (
    Channels,
    DigestTime,
    FlappingRule,
    GroupingRule,
    HeartbeatRule,
    HoursRule,
    LimitsRule,
    MaintenanceRule,
    PagingRule,
    Policy,
    RouteRule,
    Service,
    SeverityRule,
    StormRule,
    Team,
    doubts_in,
    problems_in,
    read,
    span,
)  # fmt: skip

SHIPPED = Path(__file__).parents[2] / "policy.yaml"


def test_the_policy_that_is_shipped_can_be_read():
    policy = read(SHIPPED.read_text(encoding="utf-8"))

    assert policy.rule(Severity.SEV1).reminders == (timedelta(minutes=2), timedelta(minutes=4))
    assert policy.aliases()["cart"] == "checkout"


def test_an_empty_file_is_the_default_policy():
    assert read("") == Policy()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("team: {zone: Mars}", "policy.yaml:1: team.zone: 'Mars' is not an IANA time zone"),
        ("team:\n  name: x\n  zon: UTC", "policy.yaml:3: team.zon: this key is unknown here"),
        ("routes:\n  - name: x\n    severity: SEV9", "policy.yaml:3: route “x”: severity:"),
        ("routes:\n  - name: x\n    match:\n      labls: {}", "policy.yaml:3: route “x”: match: cannot match on labls"),
        ("routes:\n  - match: {}", "policy.yaml:2: routes.0.name: this key is missing; it has no default"),
        ("grouping: {window: 10 minutes}", "expected a length of time like 90s, 5m, 2h or 1d"),
        ("severities:\n  SEV1:\n    means: x\n    pages: true\n    reminders: [5m]", "must come before"),
        ("services:\n  a: {aliases: [x]}\n  b: {aliases: [X]}", "services a and b are both called X"),
        ("services:\n  a:\n    depends_on: [x]", "policy.yaml:3: services.a.depends_on.0: no service is called 'x'"),
        (
            "services:\n  pay: {}\n  a:\n    depends_on: [payy]",
            "policy.yaml:4: services.a.depends_on.0: no service is called 'payy'; did",
        ),
        ("services:\n  a:\n    depends_on: [A]", "policy.yaml:3: services.a.depends_on.0: a service cannot depend on itself: a → a"),
        (
            "services:\n  a: {}\n  b:\n    depends_on:\n      - a\n      - c\n  c: {depends_on: d}\n  d: {depends_on: [b]}",
            "policy.yaml:6: services.b.depends_on.1: a service cannot depend on itself: b → c → d → b; leave out",
        ),
        ("grouping: {across_services: true}", "`across_services` says how far `group_by` goes"),
        ("routes:\n  - name: x\n    across_services: true", "policy.yaml:2: route “x”: `across_services` says"),
        # names
        (
            "services:\n  pay: {}\nroutes:\n  - name: x\n    service: pya",
            ":5: route “x”: service: no service is called 'pya'; did you mean pay?",
        ),
        (
            "services: {pay: {aliases: [p]}}\nroutes:\n  - name: x\n    service: p",
            ":4: route “x”: service: 'p' is another name of pay",
        ),
        (
            "services: {pay: {}}\nroutes:\n  - name: x\n    service: Pay",
            ":4: route “x”: service: 'Pay' is another name of pay; write pay",
        ),
        (
            "services: {pay: {}}\nheartbeats:\n  - name: x\n    within: 5m\n    service: zz",
            ":5: heartbeat “x”: service: no service is called",
        ),
        (
            "routes:\n  - name: x\n    match: {severity: SEV1}",
            ":3: route “x”: match: severity is never 'SEV1'; senders say critical, high,",
        ),
        (
            "routes:\n  - name: x\n    match: {severity: [high, Critical]}",
            ":3: route “x”: match: severity is never 'Critical'; did you mean crit",
        ),
        (
            "routes:\n  - name: x\n    unless: {kind: heartbeats}",
            ":3: route “x”: unless: kind is never 'heartbeats'; did you mean heartbeat?",
        ),
        (
            "routes:\n  - name: x\n    match: {status: fireing}",
            ":3: route “x”: match: status is never 'fireing'; did you mean firing?",
        ),
        ("routes:\n  - name: x\n    match: {no_data: no}", ":3: route “x”: match: no_data is never 'no'; it is one of true, false"),
        (
            "routes:\n  - name: x\n    match: {source: grafna}",
            ":3: route “x”: match: source is never 'grafna'; did you mean grafana?",
        ),
        (
            "heartbeats:\n  - name: x\n    within: 5m\n    match: {kind: beat}",
            ":4: heartbeat “x”: match: kind is never 'beat'; did you",
        ),
        (
            "maintenance:\n  - name: x\n    reason: y\n    days: [mon]\n    match: {severity: sev2}",
            ":5: maintenance “x”: match: severity is",
        ),
        ("routes:\n  - name: x\n    match: {severity: low}\n  - name: x", ":4: route “x”: name: two are called “x”"),
        (
            "routes:\n  - name: all\n  - name: x\n    match: {severity: low}",
            ":3: route “x”: no alert gets here: “all” before it takes everything",
        ),
        (
            "routes:\n  - name: x\n    hours: {from: '10:00', to: '10:00'}",
            ":3: route “x”: hours: `from` and `to` are both 10:00: leave both",
        ),
        (
            "maintenance:\n  - {name: x, reason: y, match: {title: z}, from: '9:00', to: '09:00'}",
            ":2: maintenance “x”: `from` and `to` are both",
        ),
        ("a: [1", "policy.yaml:"),
        ("- a", "policy.yaml:1: expected a map"),
        ("channels: {prefix: 'Big Prefix'}", "channels.prefix"),
    ],
)
def test_a_broken_policy_names_file_line_and_key(text, problem):
    with pytest.raises(Broken) as broken:
        read(text)

    assert problem in str(broken.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("routes: {critical: {severity: SEV1}}", ":1: routes: expected a list, with `- ` before each, not a map"),
        ("routes:\n  -\n", ":2: routes.0: expected a map of name, "),
        ("routes: !!set {a}", ":1: routes.0: expected a map of name, "),
        ("heartbeats:\n  !!set {a}", ":1: heartbeats.0: expected a map of name, "),
        ("maintenance: !!omap [a: {name: x}]", ":1: maintenance.0: expected a map of name, "),
        ("routes:\n  - {name: at night, hours: nights}",
         ":2: route “at night”: hours: expected a map of days, from, to, not 'nights'"),
        ("routes:\n  - {name: a, group_by: {cluster: eu}}",
         ":2: route “a”: group_by: expected a list, with `- ` before each, not a map"),
        ("routes:\n  - {name: a, match: critical}", ":2: route “a”: match: expected a map, with `name: value` on each line, not 'cr"),
        ("routes:\n  - {name: a, labels: x}", ":2: route “a”: labels: this key is unknown here"),
        ("routes:\n  - {name: 7}", ":2: routes.0.name: expected text in quotes, not 7"),
        ("services: {checkout: payments}", ":1: services.checkout: expected a map of pager, escalation_policy, "),
        ("storm: {most: many}", ":1: storm.most: expected a whole number, not 'many'"),
        ("storm: {most: 0, within: 0}", ":1: storm.most: write at least 1"),
        ("digest: {at: noon}", ":1: digest.at: expected an hour like 09:00, not 'noon'"),
        ("channels: {prefix: 'Big Prefix'}", "channels.prefix: has to fit the expression ^[a-z0-9]"),
    ],
)  # fmt: skip
def test_what_is_of_another_kind_is_told_what_to_write(text, problem):
    assert problem in str(problems_in(text)[0])


def test_no_mistake_is_told_in_words_of_a_library_s():
    bad = ("7", "-1", "x", "1.5", "true", "", "[a]", "[[a]]", "{a: b}", f"'{'x' * 200}'")
    within = {
        "{}": Policy, "team: {{{}}}": Team, "channels: {{{}}}": Channels, "digest: {{{}}}": DigestTime, "storm: {{{}}}": StormRule,
        "severities: {{SEV1: {{{}}}}}": SeverityRule, "services: {{a: {{{}}}}}": Service, "routes: [{{{}}}]": RouteRule,
        "routes: [{{name: x, hours: {{{}}}}}]": HoursRule, "heartbeats: [{{{}}}]": HeartbeatRule, "limits: {{{}}}": LimitsRule,
        "maintenance: [{{{}}}]": MaintenanceRule, "grouping: {{{}}}": GroupingRule, "paging: {{{}}}": PagingRule,
        "flapping: {{{}}}": FlappingRule,
    }  # fmt: skip
    texts = [around.format(f"{one.alias or name}: {value}") for around, model in within.items()
             for name, one in model.model_fields.items() for value in bad]  # fmt: skip
    told = [str(one) for text in texts for one in problems_in(text)]

    assert len(told) > 500
    assert [one for one in told if re.search("Input |Field |String |instance|valid |Rule\\b", one)] == []


def test_every_problem_is_named_at_once():
    text = "team: {zone: Mars}\nrouts: []\ngrouping: {window: x}"

    assert len(list(problems_in(text))) == 3


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("0", 0), (0, 0)])
def test_lengths_of_time(text, seconds):
    assert span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["5", "m", "-5m", "5 m", "1.5h", None, 5, ""])
def test_what_is_no_length_of_time(text):
    with pytest.raises(ValueError, match="expected a length of time"):
        span(text)


def test_the_last_route_takes_everything_and_never_in_silence():
    assert Policy().built_routes()[-1] == Route("anything else", Matcher(), Outcome.ANNOUNCE)


def test_a_route_without_a_severity_takes_the_senders_word():
    route = Route("x", Matcher(), Outcome.OPEN)

    assert Policy().severity_for(route, AlertSeverity.CRITICAL) is Severity.SEV1
    assert Policy().severity_for(route, AlertSeverity.UNKNOWN) is Severity.SEV3


def test_a_map_of_severities_may_be_changed_in_part():
    policy = read("severity_map: {critical: SEV2}")

    assert policy.severity_map[AlertSeverity.CRITICAL] is Severity.SEV2
    assert policy.severity_map[AlertSeverity.HIGH] is Severity.SEV2


def test_the_ways_to_what_a_service_depends_on_are_the_shortest_and_end_somewhere():
    services = (
        "a: {depends_on: [b, c]}\n  b: {depends_on: [see]}\n  c: {aliases: [see], depends_on: d}\n"
        "  d: {depends_on: e}\n  e: {depends_on: f}\n  f: {}"
    )
    ways = read(f"services:\n  {services}").grouping_rule().upstreams

    assert ways["a"] == (("a", "b"), ("a", "c"), ("a", "c", "d"), ("a", "c", "d", "e"))
    assert ways["b"] == (("b", "c"), ("b", "c", "d"), ("b", "c", "d", "e"))
    assert "f" not in ways


@pytest.mark.parametrize(
    "text",
    [
        "routes: [{name: x, service: whatever}]",
        "services: {pay: {}}\nroutes: [{name: x, service: pay}]",
        "routes: [{name: x, match: {severity: 'crit*', source: [firstfive, 're:^graf'], kind: '?lert', no_data: true}}]",
        "routes: [{name: x, match: {labels: {severity: SEV1}}}]",
        "routes: [{name: x, unless: {source: pagerduty}}]",
        "routes: [{name: all}, {name: findings, match: {kind: security_finding}}]",
        "routes: [{name: day, hours: {from: '9:00', to: '17:00'}}, {name: x}]",
        "routes: [{name: but, unless: {service: a}}, {name: x}]",
        "routes: [{name: on, continue: true}, {name: x}]",
        "routes: [{name: x, hours: {days: [sat], from: '00:00', to: '24:00'}}]",
        "routes: [{name: x, hours: {days: [sat]}}]",
    ],
)
def test_what_may_be_meant_is_no_mistake(text):
    assert list(problems_in(text)) == []


def told(text):
    """What is wrong, and what may not be meant."""
    problems = list(problems_in(text))
    return problems or list(doubts_in(read(text), text))


@pytest.mark.parametrize(
    ("word", "meant"),
    [("chekout", "checkout"), ("checkoutt", "checkout"), ("chekcout", "checkout"), ("Checkaut", "checkout"),
     ("payment-api", "payments-api, another name of payments"), ("[web, searhc]", "search")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("part", "where"),
    [("routes", "match"), ("routes", "unless"), ("heartbeats", "match"), ("maintenance", "match"), ("maintenance", "unless")],
)
def test_a_service_that_is_asked_for_with_a_letter_wrong_says_which_was_meant(word, meant, part, where):
    catalogue = "services: {checkout: {}, payments: {aliases: [payments-api]}, search: {}, web: {}}\n"
    more = {"heartbeats": "within: 5m, ", "maintenance": "reason: y, days: [sat], "}.get(part, "")
    more += "" if where == "match" else "match: {title: x}, "
    (problem,) = told(f"{catalogue}{part}:\n  - {{name: x, {more}{where}: {{service: {word}}}}}")

    called = {"routes": "route", "heartbeats": "heartbeat"}.get(part, part)
    assert f":3: {called} “x”: {where}.service: no service is called" in str(problem)
    assert f"did you mean {meant}? If there is one, add it to `services`" in str(problem)


@pytest.mark.parametrize(
    ("start", "called"),
    [
        ("routes:\n  - name: x", "route “x”"),
        ("heartbeats:\n  - name: x\n    within: 5m\n    expect: true", "heartbeat “x”"),
        ("maintenance:\n  - name: x\n    reason: y\n    days: [mon]", "maintenance “x”"),
    ],
)
@pytest.mark.parametrize(
    ("match", "said"),
    [
        ("{source: pagerduty}", "source is never 'pagerduty' here: news of an incident of PagerDuty's own is not routed; send"),
        ("{kind: incident_update}", "kind is never 'incident_update' here: news of an incident that another tool has is not routed"),
    ],
)
def test_what_asks_only_for_news_of_others_incidents_is_told_and_can_be_used(start, called, match, said):
    text = f"{start}\n    match: {match}"
    (doubt,) = doubts_in(read(text), text)

    assert f":{text.count(chr(10)) + 1}: {called}: match: {said}" in str(doubt)


@pytest.mark.parametrize("word", ["billing", "checkout-eu", "wbe", "web2", "host-13", "node2", "'chekout*'", "'re:chekout'", "CART"])
def test_a_service_that_no_catalogue_has_may_be_asked_for(word):
    catalogue = "services: {checkout: {aliases: [cart]}, web: {}, host-12: {}, node1: {}}\n"

    assert told(f"{catalogue}routes: [{{name: x, match: {{service: {word}}}}}]") == []
    assert told("routes: [{name: x, match: {service: chekout}}]") == []
    assert told("services: {orders: {}}\nroutes: [{name: x, match: {service: [orders, order]}}]") == []


CATALOGUE = "services: {checkout: {aliases: [cart, shop]}, web: {}}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("match: {service: checkout}, outcome: announce", "match: {service: checkout, severity: critical}"),
        ("match: {service: checkout}", "match: {service: cart}"),
        ("match: {service: checkout}", "match: {service: [Cart, shop]}"),
        ("match: {service: [cart, web]}", "match: {service: web}"),
        ("match: {severity: [critical, high]}", "match: {severity: high, service: web}"),
        ("match: {severity: 're:^(critical|high)$'}", "match: {severity: '*i*h', kind: alert}"),
        ("match: {name: 'Disk*'}", "match: {name: DiskFull}, hours: {days: [sat]}, unless: {service: web}"),
        ("match: {name: 'Disk*'}", "match: {name: ['Disk?ull', 'DiskWill*', 'Disk*']}, severity: SEV1"),
        ("match: {name: '*?full'}", "match: {name: 'Disk?full'}"),
        ("match: {name: 're:^Disk'}", "match: {name: DiskFull}"),
        ("match: {name: 're:^Disk'}", "match: {name: 're:^Disk', title: a}"),
        ("match: {labels: {team: 'a*'}}", "match: {labels: {team: ab, tier: '1'}}"),
        ("match: {annotations: {team: '*'}}, outcome: record", "match: {title: x}, outcome: announce"),
        ("match: {severity: [critical, high, medium, low, info, unknown]}", "match: {title: x}"),
        ("match: {links: '*wiki*'}", "match: {links: 'https://wiki/a'}"),
        ("match: {finding.state: open}", "match: {finding.state: 'o*', kind: security_finding}"),
        ("outcome: announce", "continue: true, service: web"),
    ],
)  # fmt: skip
def test_a_route_that_no_alert_gets_to_is_told_which_one_takes_all(before, after):
    (problem,) = told(f"{CATALOGUE}routes:\n  - {{name: first, {before}}}\n  - {{name: second, {after}}}")

    assert ":4: " in str(problem)
    takes = "all that fits this one" if "match" in before else "everything"
    assert f"no alert gets here: “first” before it takes {takes}; put this one before that" in str(problem)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("match: {service: checkout, severity: critical}", "match: {service: checkout}"),
        ("match: {service: checkout}, continue: true, severity: SEV1", "match: {service: checkout}"),
        ("match: {service: checkout}, hours: {days: [sat]}", "match: {service: checkout}"),
        ("match: {service: checkout}, unless: {severity: low}", "match: {service: checkout, severity: critical}"),
        # What its sender calls cart is checkout's, but one that it calls checkout need not be called cart.
        ("match: {service: cart}", "match: {service: checkout}"),
        ("match: {service: checkout}", "match: {service: [cart, web]}"),
        ("match: {service: checkout}", "match: {service: 'c*'}"),
        ("match: {severity: [critical, high]}", "match: {severity: [high, medium]}"),
        ("match: {name: 'Disk?'}", "match: {name: 'Disk*'}"),
        ("match: {name: '?isk*'}", "match: {name: '*isk*'}"),
        ("match: {name: 'Disk*'}", "match: {name: 're:^Disk'}"),
        ("match: {name: 're:^Disk'}", "match: {name: 'Disk*'}"),
        ("match: {name: 'disk*'}", "match: {name: Disk}"),
        ("match: {labels: {team: a}}", "match: {annotations: {team: a}}"),
        ("match: {labels: {team: a}}", "match: {title: x}"),
        ("match: {finding.state: [open, fixed, dismissed]}", "match: {severity: high}"),
        # It opens incidents: findings pass it by, and get to those that tell of them.
        ("match: {service: web}", "match: {service: web}, outcome: announce"),
        ("match: {service: web}", "match: {service: web}, continue: true, service: web"),
        ("match: {service: web}", "match: {service: web, kind: security_finding}"),
        ("severity: SEV2", "match: {severity: low}, outcome: record"),
    ],
)  # fmt: skip
def test_a_route_that_an_alert_may_get_to_is_taken(before, after):
    assert list(told(f"{CATALOGUE}routes:\n  - {{name: first, {before}}}\n  - {{name: second, {after}}}")) == []


def test_every_mistake_of_the_whole_is_told_at_once():
    text = "services: {pay: {}}\nroutes:\n  - {name: x, match: {title: a}, service: pya}\n  - {name: x, service: pey}\n  - name: y"

    assert len(list(problems_in(text))) == 4
