"""`policy`: whether it can be read, and whether it does with example alerts what the team expects."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.matching import Candidate, Placement, group_of, place
from bot.alerts.quiet import MAINTENANCE, Quieting
from bot.alerts.reading import label_hash
from bot.alerts.registry import source_named
from bot.alerts.routing import Outcome
from bot.alerts.source import Delivery
from bot.clock import wall_clock
from bot.commands.output import print_json, read_bytes
from bot.errors import Broken, Refused, Unreadable
from bot.incidents.incident import Severity
from bot.incidents.policy import Policy, Span, Strict, problems_in, read_as
from bot.settings import Settings
from bot.wiring import read_policy

ABOUT_TESTS = """\
Runs a table of example alerts against the policy: what each is expected to become. Changes nothing.

    tests:
      - name: checkout wakes somebody
        alert: {title: Errors, severity: critical, service: checkout-api}
        expect: {outcome: open, severity: SEV1, service: checkout}
      - name: a real payload
        source: grafana
        payload: payloads/disk.json        # beside this file
        at: "2026-06-13T03:00:00+01:00"    # for routes that have hours
        expect: {route: at night, outcome: announce}
      - name: checkout is explained by payments
        alert: {title: Errors, severity: high, service: checkout}
        open: [{incident: 4, service: payments, severity: SEV2, ago: 20m}]
        expect: {incident: 4, related: true}

Exit 0: all as expected; 1: something is not; 2: the file cannot be read, with the line."""


class Given(Strict):
    """An alert in the fields that routes look at."""

    title: str = "An alert"
    status: Status = Status.FIRING
    severity: AlertSeverity = AlertSeverity.UNKNOWN
    kind: Kind = Kind.ALERT
    source: str = "generic"
    service: str | None = None
    environment: str | None = None
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)

    def built(self, now: datetime) -> Alert:
        """As a source would have read it."""
        given = self.model_dump() | {"identity": label_hash({**self.labels, "title": self.title}), "started_at": now}
        return Alert(**given)


class Open(Strict):
    """An incident that is open when the alert comes. Its newest alert was so long `ago`, and had these `labels`."""

    incident: int = Field(ge=1)
    service: str | None = None
    severity: Severity = Severity.SEV2
    ago: Span = timedelta()
    firing: bool = True
    private: bool = False
    labels: dict[str, str] = Field(default_factory=dict)

    def built(self, alert: Alert, placed: Placement, policy: Policy, now: datetime) -> Candidate:
        """As the record would have it, for an alert that is looked at."""
        theirs = group_of(replace(alert, labels=self.labels), placed.route, self.service, policy.grouping_rule())
        has_group = theirs is not None and theirs == placed.group
        at, rank = now - self.ago, self.severity.rank
        return Candidate(self.incident, self.service, at, self.private, rank, self.firing, has_group)


class Expected(Strict):
    """What has to come of it; what is left out may be anything. `incident` is the one it joins; 0 stands for one of its own."""

    route: str | None = None
    outcome: Outcome | None = None
    severity: Severity | None = None
    service: str | None = None
    pager: str | None = None
    runbook: str | None = None
    private: bool | None = None
    maintenance: str | None = None
    incident: int | None = None
    related: bool | None = None


class Case(Strict):
    """One line of the table."""

    name: str
    alert: Given | None = None
    source: str = "generic"
    payload: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    endpoint: str = "main"
    at: datetime | None = None
    open: tuple[Open, ...] = ()
    expect: Expected

    @model_validator(mode="after")
    def _one_of_both(self) -> "Case":
        if (self.alert is None) == (self.payload is None):
            raise ValueError("give an `alert`, or a `payload` and its `source`")
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError("`at` needs its offset, like 2026-06-13T03:00:00+01:00")
        return self


class Table(Strict):
    """The file."""

    tests: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: empty `wrong` where it is as expected."""

    name: str
    wrong: tuple[str, ...]
    reason: str
    is_about_grouping: bool = False


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    policy = commands.add_parser(
        "policy", help="whether the policy can be read, and does what the team expects",
        description="Looks after the team's policy.",
    )  # fmt: skip
    actions = policy.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="every problem of a policy, with its line", description="Every problem of a policy.")
    check.add_argument("file", nargs="?", help="the policy (default: POLICY_FILE)")
    check.set_defaults(run=run_check)
    tests = actions.add_parser(
        "test", help="example alerts, and what is expected of each", description=ABOUT_TESTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    tests.add_argument("file", help="the table of tests")
    tests.add_argument("--json", action="store_true", help="machine-readable output")
    tests.set_defaults(run=run_tests)


def run_check(given: argparse.Namespace, settings: Settings) -> int:
    """Every problem of a policy."""
    file = given.file or str(settings.policy_file)
    problems = list(problems_in(_text(file), file))
    for one in problems:
        print(one)
    if not problems:
        print(f"{file} can be used.")
    return 1 if problems else 0


def run_tests(given: argparse.Namespace, settings: Settings) -> int:
    """Every case, and whether it is as expected."""
    policy = read_policy(settings)
    try:
        table = read_as(Table, _text(given.file), given.file)
    except Broken as error:
        # Of the table, not of what the bot runs on.
        raise Refused(str(error)) from None
    results = [result for case in table.tests for result in tried(case, policy, Path(given.file).parent)]
    bad = sum(bool(one.wrong) for one in results)
    if given.json:
        print_json({"tests": [{"name": one.name, "wrong": one.wrong, "reason": one.reason} for one in results], "failed": bad})
        return 1 if bad else 0
    for one in results:
        print(f"{'FAIL' if one.wrong else 'ok  '} {one.name}")
        for wrong in one.wrong:
            print(f"       {wrong}")
        if one.wrong or one.is_about_grouping:
            print(f"       because {one.reason}")
    print(f"{len(results) - bad} of {len(results)} as expected.")
    return 1 if bad else 0


def tried(case: Case, policy: Policy, folder: Path) -> Iterator[Result]:
    """What comes of a case; of a payload, of each of its alerts."""
    now = case.at or wall_clock()
    alerts = [case.alert.built(now)] if case.alert is not None else _read(case, policy, folder, now)
    for number, alert in enumerate(alerts, start=1):
        name = f"{case.name} ({number} of {len(alerts)})" if len(alerts) > 1 else case.name
        given = alert, case.endpoint, policy.built_routes(), policy.aliases(), policy.grouping_rule(), None
        quieting = Quieting(windows=policy.windows())
        found = place(*given, (), now, quieting)
        found = place(*given, [one.built(alert, found, policy, now) for one in case.open], now, quieting)
        became = _became(alert, found, policy)
        wanted = case.expect.model_dump(mode="json", exclude_none=True)
        wrong = [f"{key} is {became[key]}, not {value}" for key, value in wanted.items() if became[key] != value]
        yield Result(name, tuple(wrong), found.reason, bool(case.open))


def _became(alert: Alert, found: Placement, policy: Policy) -> dict[str, Any]:
    service = policy.service(found.service)
    return {
        "route": found.route.name,
        "outcome": found.outcome.value,
        "severity": policy.severity_for(found.route, alert.severity).value,
        "service": found.service,
        "pager": found.route.pager or service.pager,
        "runbook": found.route.runbook or service.runbook,
        "private": found.route.private,
        "maintenance": found.quiet.key.removeprefix(MAINTENANCE) if found.quiet else None,
        "incident": found.incident or 0,
        "related": found.is_related,
    }


def _read(case: Case, policy: Policy, folder: Path, now: datetime) -> list[Alert]:
    assert case.payload is not None
    headers = {name.lower(): value for name, value in case.headers.items()}
    delivery = Delivery(read_bytes(str(folder / case.payload)), headers, case.endpoint, now)
    try:
        reading = source_named(case.source).parse(delivery, policy.generic.get(case.endpoint, {}))
    except Unreadable as error:
        raise Refused(f"{case.name}: {case.payload} cannot be read: {error.reason}") from None
    if not reading.alerts:
        raise Refused(f"{case.name}: there is no alert in {case.payload}: {reading.ignored or 'it is news of PagerDuty'}")
    return list(reading.alerts)


def _text(file: str) -> str:
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text") from None
