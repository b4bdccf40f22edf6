"""The team's files as a running bot sees them: every mistake is named with its line, and the last good ones hold."""

import logging
import os
import shutil
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import structlog

from bot.alerts.quiet import Once
from bot.alerts.registry import source_named
from bot.alerts.routing import Hours, choose_route
from bot.alerts.source import Delivery
from bot.errors import Broken
from bot.incidents.incident import Severity
from bot.incidents.policy import Policy, problems_in, read
from bot.postmortems import read_templates
from bot.settings import Settings
from bot.wiring import Choices, read_policy

TOP = Path(__file__).parents[1]
SHIPPED = (TOP / "policy.yaml").read_text(encoding="utf-8")


# --- what can be wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # keys
        ("team:\n  name: x\n  zne: UTC", ":3: team.zne: this key is unknown here; did you mean zone?"),
        ("# routes\nrouts: []", ":2: routs: this key is unknown here; did you mean routes?"),
        ("routes:\n  - name: x\n    outcom: drop", ":3: route “x”: outcom: this key is unknown here; did you mean outcome?"),
        ("services:\n  web:\n    alias: [x]", ":3: services.web.alias: this key is unknown here; did you mean aliases?"),
        ("severities:\n  SEV1:\n    means: x\n    pages: true\n    page: no", ":5: severities.SEV1.page: this key"),
        ("xyzzy: 1", ":1: xyzzy: this key is unknown here; known are channels, digest, flapping, generic, grouping"),
        ("team: {name: x}\nchannels: {}\nteam: {zone: UTC}", ":3: team: stands here twice, first on line 1"),
        ("services:\n  web: {}\n  search: {}\n  web: {}", ":4: web: stands here twice, first on line 2"),
        ("1: x", ":1: 1: "),
        # values
        ("team:\n  name: [x]", ":2: team.name: expected text, not a list"),
        ("team: null", ":1: team: "),
        ("digest:\n  weekday: mon", ":2: digest.weekday: expected monday, tuesday"),
        ("digest:\n  at: '25:00'", ":2: digest.at: "),
        ("digest:\n  at: 25:00", ":2: digest.at: "),
        ("severities:\n  SEV7:\n    means: x", ":2: severities.SEV7"),
        ("severities:\n  SEV1:\n    pages: true", ":2: severities.SEV1.means: this key is missing"),
        ("severities:\n  SEV1:\n    means: x\n    pages: true\n    update_every: 5", ":5: severities.SEV1.update_every: expected"),
        ("severities:\n  SEV1:\n    means: x\n    pages: true\n    postmortem: maybe", ":5: severities.SEV1.postmortem: "),
        ("severity_map:\n  bad: SEV1", ":2: severity_map.bad"),
        ("severity_map:\n  critical: 1", ":2: severity_map.critical: "),
        ("services:\n  web:\n    people: {a: b}", ":3: services.web.people: "),
        ("routes:\n  - name: x\n    outcome: page", ":3: route “x”: outcome: expected open, announce, record or drop"),
        ("routes:\n  - name: x\n    match: {labels: team}", ":3: route “x”: match: labels must be a map of label to pattern"),
        ("routes:\n  - name: x\n    match:\n      service: {a: b}", ":3: route “x”: match: service: expected a pattern or a list"),
        ("routes:\n  - name: x\n    match:\n      labels: {team: [[a]]}", ":3: route “x”: match: team: expected a pattern or a list"),
        ("routes:\n  - name: x\n    match:\n      service: null", ":3: route “x”: match: service: expected a pattern or a list"),
        ("routes:\n  - name: x\n    match: {service: &a [*a]}", ":3: route “x”: match: service: expected a pattern or a list"),
        ("routes: {name: x}", ":1: routes: "),
        ("routes:\n  - x", ":2: routes.0: "),
        ("paging:\n  highest_level: 0", ":2: paging.highest_level: "),
        ("grouping:\n  window: ten", ":2: grouping.window: expected a length of time like 90s, 5m, 2h or 1d, not 'ten'"),
        ("limits:\n  per_source: 600", ":2: limits.per_source: expected so many in a time, like 600/m, 10/s or 1000/h"),
        ("limits:\n  sources:\n    generic: 0/m", ":3: limits.sources.generic: expected so many in a time"),
        ("limits:\n  sources:\n    grafna: 60/m", ":3: limits.sources.grafna: no source is called 'grafna'; did you mean grafana?"),
        ("limits:\n  routes:\n    ci: 10/s\n    grafna/ci: 60/m", ":4: limits.routes.grafna/ci: no source is called 'grafna'; did"),
        ("limits:\n  routes:\n    grafana/: 60/m", ":3: limits.routes.grafana/: write ROUTE or SOURCE/ROUTE, as in HOOK_SECRETS"),
        ("limits:\n  per_sorce: 60/m", ":2: limits.per_sorce: this key is unknown here; did you mean per_source?"),
        ("services:\n  web:\n    escalation_policy: PT20YPA", ":2: services.web: escalation_policy needs `pager"),
        ("services:\n  web:\n    pagerduty_service: PT20YPA", ":2: services.web: pagerduty_service is for an `escalation_policy`"),
        ("services:\n  web:\n    escalation_policy: Everybody\n", ":3: services.web.escalation_policy: write the id that stands in"),
        ("routes:\n  - name: x\n    pager: web\n    escalation_policy: PT20YPA\n    pagerduty_service: PWIXJZS",
         ":2: route “x”: name a `pager` (a key) or an `escalation_policy`, not both"),
        ("services:\n  web:\n    escalation_polcy: PT20YPA", ":3: services.web.escalation_polcy: this key is unknown"),
        ("generic:\n  ci:\n    titel: a", ":2: generic.ci: an alert has no field 'titel' to map; did you mean title?"),
        ("generic:\n  ci:\n    xyzzy: a", ":2: generic.ci: an alert has no field 'xyzzy' to map; known are alerts, title, status"),
        ("generic:\n  ci:\n    title: ''", ":2: generic.ci: title: write where it stands in the body"),
        ("generic:\n  ci:\n    kind: a.b || =deplyment", ":2: generic.ci: kind: 'deplyment' is no kind of change; it is one of"),
        ("maintenance:\n  - name: x\n    reason: y\n    days: [mon]\n    match: {service: a}\n    unless: {}",
         ":6: maintenance “x”: unless: an empty `unless` leaves everything out"),
        # YAML
        ("team:\n\tname: x", ":2: not YAML: "),
        ("team: {name: x", ":1: not YAML: "),
        ("a: b: c", ":1: not YAML: mapping values are not allowed here"),
        ("x: !!python/object/apply:os.system [id]", ":1: not YAML: could not determine a constructor"),
        ("? [a]\n: b", ":1: not YAML: "),
        ("team: *nobody", ":1: not YAML: found undefined alias"),
        ("just words", ":1: expected a map"),
        ("team:\n  name: \x07", ":2: not YAML: the character #x0007 may not stand in it"),
        ("a: " + "[" * 3000, "not YAML: nested too deep"),
        ("x: &a [*a]", ":1: x: this key is unknown here"),
    ],
)  # fmt: skip
def test_every_kind_of_mistake_is_named_with_file_line_and_key(text, problem):
    with pytest.raises(Broken) as broken:
        read(text, "team/policy.yaml")

    assert str(broken.value).startswith("team/policy.yaml:")
    assert problem in str(broken.value)
    assert "\n" not in str(broken.value)


@pytest.mark.parametrize(
    ("written", "at"),
    [("09:00", time(9)), ("9:00", time(9)), ("10:30", time(10, 30)), ("'10:30'", time(10, 30)), ("23:59", time(23, 59)),
     ("10:30:15", time(10, 30, 15)), ("00:00", time(0))],
)  # fmt: skip
def test_a_time_of_day_means_the_same_with_and_without_quotes(written, at):
    assert read(f"digest: {{at: {written}}}").digest.at == at


@pytest.mark.parametrize(
    ("written", "pattern"),
    [("on", "on"), ("no", "no"), ("true", "true"), ("2026-06-10", "2026-06-10"), ("12:30", "12:30"), ("0x1f", "0x1f"), ("5", "5")],
)
def test_a_pattern_is_the_word_that_was_written(written, pattern):
    policy = read(f"routes: [{{name: x, match: {{service: {written}, labels: {{a: [{written}]}}}}}}]")
    match = policy.built_routes()[0].match

    assert (match.fields["service"], match.labels["a"]) == ((pattern,), (pattern,))


@pytest.mark.parametrize(("written", "pages"), [("yes", True), ("on", True), ("true", True), ("no", False), ("False", False)])
def test_yes_and_no_are_still_answers_where_one_is_asked_for(written, pages):
    assert read(f"severities: {{SEV4: {{means: x, pages: {written}}}}}").rule(Severity.SEV4).pages is pages


@pytest.mark.parametrize("word", ["zonne", "ZONE", "time_zone"])
def test_a_suggestion_is_a_key_that_may_stand_there(word):
    (problem,) = problems_in(f"team: {{{word}: UTC}}")

    assert "did you mean zone?" in str(problem) or "known are name, zone" in str(problem)


def test_a_service_and_a_route_are_paged_by_a_key_or_by_an_escalation_policy():
    both = "escalation_policy: PT20YPA, pagerduty_service: PWIXJZS"
    policy = read(
        f"services: {{web: {{{both}}}, api: {{pager: api}}, cron: {{}}}}\n"
        f"routes: [{{name: a, match: {{title: x}}, {both}}}, {{name: b, pager: k}}]"
    )

    by = "escalation_policy:PT20YPA@PWIXJZS"
    assert [policy.service(name).pager for name in ("web", "api", "cron", "nobody")] == [by, "api", "default", "default"]
    assert [one.pager for one in policy.built_routes()] == [by, "k", None]


# --- maintenance windows ----------------------------------------------------------------------

WORK = "{name: move, match: {service: checkout}, reason: planned"


def test_a_window_is_once_or_each_week_by_the_clock_of_its_zone_or_of_the_team():
    policy = read(
        f"team: {{zone: Europe/Lisbon}}\nmaintenance:\n"
        f"  - {WORK}, from: 2026-06-13 22:00, until: 2026-06-14 02:00}}\n"
        f"  - {WORK.replace('move', 'backup')}, days: [sat, sun], from: 9:30, to: 24:00, zone: America/New_York}}\n"
        f"  - {WORK.replace('move', 'weekend')}, days: sunday}}\n"
    )

    once, weekly, all_day = policy.windows()
    assert once.time == Once(datetime(2026, 6, 13, 21, tzinfo=UTC), datetime(2026, 6, 14, 1, tzinfo=UTC))
    assert weekly.time == Hours(ZoneInfo("America/New_York"), frozenset({5, 6}), time(9, 30), time(0))
    assert all_day.time == Hours(ZoneInfo("Europe/Lisbon"), frozenset({6}), time(0), time(0))
    assert (once.key, once.match.said, once.reason) == ("maintenance/move", "service=checkout", "planned")


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        (f"{WORK}}}", "say when: `from` and `until` a day and an hour, or `days`, `from` and `to` of each week"),
        (f"{WORK}, from: 2026-06-13 22:00}}", "one that is from a day needs an `until`"),
        (f"{WORK}, from: 22:00, until: 2026-06-13 22:00}}", "it and `from` need a day, like 2026-06-13 22:00"),
        (f"{WORK}, from: 2026-06-13 22:00, until: 23:00}}", "it and `from` need a day, like 2026-06-13 22:00"),
        (f"{WORK}, from: 2026-06-13 22:00, until: 2026-06-13 22:00}}", "`until` is not after `from`"),
        (f"{WORK}, from: 2026-06-13 22:00, until: 2026-06-14 02:00, days: [sat]}}", "`days` and `to` are for each week"),
        (f"{WORK}, from: 2026-06-13 22:00Z, until: 2026-06-14 02:00}}", "leave its offset out, and name the `zone`"),
        (f"{WORK}, from: 25:00, to: 02:00}}", "expected an hour like 22:00, or a day and an hour"),
        (f"{WORK}, from: 2026-02-30 22:00, until: 2026-03-01 02:00}}", "expected an hour like 22:00, or a day and an hour"),
        (f"{WORK}, days: [caturday]}}", "days are monday, tuesday"),
        (f"{WORK}, days: [sat], zone: Lisbon}}", "'Lisbon' is not an IANA time zone"),
        (f"{WORK}, days: [sat], till: 9}}", "this key is unknown here; did you mean until?"),
        ("{name: x, match: {}, reason: y, days: [sat]}", "an empty match would keep every alert quiet"),
        ("{name: x, match: {servce: a}, reason: y, days: [sat]}", "cannot match on servce"),
        ("{name: x, match: {title: 're:('}, reason: y, days: [sat]}", "is no regular expression"),
        ("{name: x, match: {service: a}, days: [sat]}", "reason: this key is missing"),
        (f"{WORK}, days: [sat]}}\n  - {WORK}, days: [sun]}}", "two are called “move”"),
    ],
)
def test_a_window_that_cannot_be_is_named_with_its_line(window, problem):
    (found,) = problems_in(f"maintenance:\n  - {window}\n")

    assert problem in str(found)
    assert str(found).startswith(("policy.yaml:2: maintenance “", "policy.yaml:1: maintenance: two"))


def test_a_copy_works_its_rules_out_anew():
    policy = read(f"maintenance:\n  - {WORK}, days: [sat]}}\n")
    assert len(policy.windows()) == 1

    assert policy.model_copy(update={"maintenance": ()}).windows() == ()


# --- the one that is shipped ------------------------------------------------------------------


def test_the_shipped_policy_has_no_problem_and_names_only_what_there_is():
    policy = read(SHIPPED)

    assert list(problems_in(SHIPPED)) == []
    assert {one.service for one in policy.routes if one.service} <= set(policy.services)
    assert {rule.template for rule in policy.severities.values()} <= set(read_templates(TOP / "postmortem_templates").names())
    assert all(policy.rule(severity).pages for severity in (Severity.SEV1, Severity.SEV2))


def test_each_part_of_the_shipped_policy_stands_there_to_be_changed():
    parts = {line.partition(":")[0] for line in SHIPPED.splitlines() if line[:1].isalpha()}

    assert parts == set(Policy.model_fields)


# --- a running bot ----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path) -> Settings:
    """The shipped files, to be changed."""
    shutil.copy(TOP / "policy.yaml", tmp_path)
    for name in ("runbooks", "postmortem_templates"):
        shutil.copytree(TOP / name, tmp_path / name)
    return Settings(
        _env_file=None, policy_file=tmp_path / "policy.yaml", runbooks_dir=tmp_path / "runbooks",
        templates_dir=tmp_path / "postmortem_templates",
    )  # fmt: skip


def change(path: Path, text: str) -> None:
    """Write, a second later than whatever was there."""
    before = path.stat().st_mtime if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, (before + 1, before + 1))


def test_a_changed_policy_is_taken_while_running(files):
    choices = Choices(files)
    change(files.policy_file, SHIPPED.replace("name: Platform", "name: Harbour", 1))

    assert (choices.refresh(), choices.policy().team.name, choices.trouble) == (1, "Harbour", "")
    assert choices.refresh() == 0


def test_a_policy_that_breaks_leaves_the_last_good_one_and_says_what_is_wrong(files):
    choices = Choices(files)
    good = choices.policy()
    change(files.policy_file, "team:\n  zone: Mars\n")

    assert choices.refresh() == 0
    assert choices.policy() is good
    assert choices.trouble.startswith(f"{files.policy_file}:2: team.zone: 'Mars' is not an IANA time zone")
    assert choices.trouble.endswith("; the last good one is still used")

    change(files.policy_file, "team:\n  zone: Europe/Lisbon\n")
    assert (choices.refresh(), choices.policy().team.zone, choices.trouble) == (1, "Europe/Lisbon", "")


@pytest.mark.parametrize(
    "text", ["a: [", "team: null", "- a", "team:\n\tx", "? [a]\n: b", "routes: [{name: x, match: {service: {a: b}}}]"]
)
def test_no_mistake_in_the_policy_stops_a_running_bot(files, text):
    choices = Choices(files)
    good = choices.policy()
    change(files.policy_file, text)

    assert choices.refresh() == 0
    assert choices.policy() is good
    assert str(files.policy_file) in choices.trouble


def test_a_file_that_is_not_text_leaves_the_last_good_one(files):
    choices = Choices(files)
    good = choices.policy()
    files.policy_file.write_bytes(b"\xff\xfe\x00")

    assert choices.refresh() == 0
    assert choices.policy() is good
    assert "policy.yaml: cannot be read" in choices.trouble


def test_a_policy_that_goes_away_does_not_silently_become_the_defaults(files):
    choices = Choices(files)
    good = choices.policy()
    files.policy_file.unlink()

    assert choices.refresh() == 0
    assert choices.policy() is good
    assert choices.trouble == f"{files.policy_file}: is no longer there; the last good one is still used"

    change(files.policy_file, SHIPPED)
    assert (choices.refresh(), choices.trouble) == (1, "")


def test_runbooks_that_go_away_are_kept(files):
    choices = Choices(files)
    count = len(choices.runbooks())
    shutil.rmtree(files.runbooks_dir)

    assert choices.refresh() == 0
    assert len(choices.runbooks()) == count > 0
    assert "is no longer there" in choices.trouble


def test_without_a_policy_from_the_start_the_defaults_hold_until_there_is_one(files):
    files.policy_file.unlink()
    choices = Choices(files)
    assert choices.policy() == Policy()

    change(files.policy_file, "team: {name: Harbour}")
    assert (choices.refresh(), choices.policy().team.name) == (1, "Harbour")


@pytest.mark.parametrize("name", ["new.md", "web/slow.md"])
def test_a_new_runbook_is_taken_while_running_in_a_folder_below_too(files, name):
    choices = Choices(files)
    path = files.runbooks_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("# SomethingNew\n")

    assert choices.refresh() == 1
    assert name in [one.path for one in choices.runbooks()]


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("runbooks_dir", "---\nlast_reviewed: 2026-13-45\n---\n", "broken.md:2: last_reviewed"),
        ("templates_dir", "one\n{% if %}", "broken.md.j2:2: Expected an expression"),
    ],
)
def test_a_runbook_or_template_that_breaks_leaves_everything_as_it_was(files, place, text, said):
    choices = Choices(files)
    before = (choices.policy(), choices.runbooks(), choices.templates())
    name = "broken.md" if place == "runbooks_dir" else "broken.md.j2"
    (getattr(files, place) / name).write_text(text)

    assert choices.refresh() == 0
    assert (choices.policy(), choices.runbooks(), choices.templates()) == before
    assert said in choices.trouble


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("policy.yaml", "team:\n  zone: Mars", "policy.yaml:2: team.zone"),
        ("runbooks/latency.md", "---\nowner: x\nowner\n---\n", "latency.md:3: front matter"),
        ("postmortem_templates/short.md.j2", "{{ title", "short.md.j2:1: "),
    ],
)
def test_a_bot_does_not_start_with_a_broken_file_and_names_it(files, path, text, said):
    (files.policy_file.parent / path).write_text(text)

    with pytest.raises(Broken) as broken:
        Choices(files)
    assert said in str(broken.value)


def test_the_policy_is_read_from_where_the_settings_say(files):
    assert read_policy(files) == read(SHIPPED)


DOUBTFUL = """
routes:
  - {name: db, match: {labels: {host: "db-[12]"}}}
heartbeats:
  - {name: beat, within: 5m, match: {name: "^Watchdog"}}
"""
TOLD = [
    ":3: route “db”: match.labels.host: 'db-[12]' is looked for with its brackets",
    ":5: heartbeat “beat”: match.name: '^Watchdog' is a glob",
]


@pytest.fixture
def logged():
    """What is logged that is worth a look."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with structlog.testing.capture_logs() as entries:
        yield entries


def test_what_a_policy_may_not_mean_is_logged_when_it_is_taken_and_not_again(files, logged):
    files.policy_file.write_text(DOUBTFUL, encoding="utf-8")
    choices = Choices(files)

    assert [one["log_level"] for one in logged] == ["warning", "warning"]
    assert all(said in one["doubt"] for said, one in zip(TOLD, logged, strict=True))

    logged.clear()
    (files.runbooks_dir / "new.md").write_text("# SomethingNew\n")
    assert (choices.refresh(), choices.refresh()) == (1, 0)
    assert logged == []

    change(files.policy_file, DOUBTFUL.replace("5m", "6m"))
    assert choices.refresh() == 1
    assert all(said in one["doubt"] for said, one in zip(TOLD, logged, strict=True))


def test_of_a_policy_that_is_not_taken_no_doubt_is_logged(files, logged):
    choices = Choices(files)
    change(files.policy_file, f"{DOUBTFUL}team: {{zone: Mars}}")

    assert choices.refresh() == 0
    assert [one["event"] for one in logged] == ["changed file not taken"]


def test_no_doubt_keeps_a_bot_from_starting_or_a_policy_from_being_taken(files):
    def fails(policy, text, file):
        raise TypeError("a bug")

    choices = Choices(files, fails)
    change(files.policy_file, DOUBTFUL)

    assert (choices.refresh(), len(choices.policy().routes)) == (1, 1)


# --- the shipped one ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("example", "name", "route"),
    [
        ("workflow-failed", "Deploy", "critical"),
        ("workflow-failed", "deploy-web", "critical"),
        ("workflow-failed", "Lint", "a workflow or a check that deploys nothing"),
        ("workflow-succeeded", "Lint", "a workflow or a check that deploys nothing"),
        ("deployment-failed", "Deploy", "critical"),
    ],
)
def test_of_github_only_what_deploys_wakes_somebody(example, name, route):
    now = datetime(2026, 6, 10, 12, tzinfo=UTC)
    github = source_named("github")
    sent = next(one for one in github.examples if one.name == example)
    body = sent.body_at(now).replace(b'"Deploy"', f'"{name}"'.encode())
    (alert,) = github.parse(Delivery(body, {key.lower(): value for key, value in sent.headers.items()}, "main", now), {}).alerts
    policy = read(SHIPPED)

    assert choose_route(alert, "main", policy.built_routes(), now, policy.aliases())[0].name == route
