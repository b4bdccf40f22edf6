"""`policy`: whether it can be read, and whether it does with example alerts what the team expects."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from bot.commands.output import print_json, read_bytes
from bot.commands.routing_tests import Table, tried
from bot.errors import Broken, Refused
from bot.incidents.policy import Policy, doubts_in, problems_in, read, read_as, runbooks_missing
from bot.runbooks import paths_in
from bot.settings import Settings
from bot.store import Store

ABOUT_TESTS = """\
Runs a table of example alerts against the policy: what each is expected to become. Changes nothing.

    tests:
      - name: checkout wakes somebody
        alert: {title: Errors, severity: critical, service: checkout-api}
        expect: {outcome: open, severity: SEV1, service: checkout, pages: true, channel: "inc-*-errors"}
      - name: a real payload
        source: grafana
        payload: payloads/disk.json        # beside this file
        at: "2026-06-13T03:00:00+01:00"    # for routes that have hours
        expect: {route: at night, outcome: announce, pages: false}
      - name: checkout is explained by payments
        alert: {title: Errors, severity: high, service: checkout}
        open: [{incident: 4, service: payments, severity: SEV2, ago: 20m}]
        expect: {incident: 4, related: true, pages: false}

Exit 0: all as expected; 1: something is not; 2: a file cannot be read, with the line."""


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    policy = commands.add_parser(
        "policy", help="whether the policy can be read, and does what the team expects",
        description="Looks after the team's policy.",
    )  # fmt: skip
    actions = policy.add_subparsers(dest="action", metavar="ACTION", required=True)
    about = (
        "Every problem of a policy, each with its line; where it has no other, the runbooks that it names and that RUNBOOKS_DIR "
        "has not; and where it has none, what it may not mean as it is written. Exit 0: there is no problem; 1: there is, or with "
        "--strict something that may not be meant."
    )
    check = actions.add_parser("check", help="every problem of a policy, with its line", description=about)
    check.add_argument("file", nargs="?", help="the policy (default: POLICY_FILE)")
    check.add_argument("--policy", metavar="FILE", help="the same, as `policy test` has it")
    check.add_argument("--strict", action="store_true", help="exit 1 also for what may not be meant as it is written")
    check.set_defaults(run=run_check)
    tests = actions.add_parser(
        "test", help="example alerts, and what is expected of each", description=ABOUT_TESTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    tests.add_argument("file", help="the table of tests")
    tests.add_argument("--policy", metavar="FILE", help="the policy that is tried (default: POLICY_FILE)")
    tests.add_argument("--json", action="store_true", help="machine-readable output")
    tests.set_defaults(run=run_tests)


def run_check(given: argparse.Namespace, settings: Settings) -> int:
    """Every problem of a policy."""
    if given.file and given.policy:
        raise Refused("name one policy to check: FILE, or --policy FILE")
    file = given.file or given.policy or str(settings.policy_file)
    text, paths = _text(file), paths_in(settings.runbooks_dir)
    problems = list(problems_in(text, file))
    if not problems and paths is not None:
        problems = list(runbooks_missing(read(text, file), text, paths, file))
    doubts = [] if problems else list(doubts_in(read(text, file), text, file))
    for one in (*problems, *doubts):
        print(one)
    if not problems:
        print(f"{file} can be used{'; look whether it means what stands above' if doubts else ''}.")
    return 1 if problems or (given.strict and doubts) else 0


def run_tests(given: argparse.Namespace, settings: Settings) -> int:
    """Every case, and whether it is as expected."""
    policy = _policy(given.policy, settings)
    try:
        table = read_as(Table, _text(given.file), given.file)
    except Broken as error:
        # Of the table, not of what the bot runs on.
        raise Refused(str(error)) from None
    folder = Path(given.file).parent
    with closing(Store.empty()) as nothing:
        results = [result for case in table.tests for result in tried(case, policy, folder, nothing)]
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


def _policy(file: str | None, settings: Settings) -> Policy:
    """The policy that is tried. Where there is none, there is nothing to try: the defaults are nobody's choice."""
    name = file or str(settings.policy_file)
    if not file and not settings.policy_file.exists():
        raise Refused(f"there is no policy at {name}: name one with --policy FILE, or set POLICY_FILE")
    try:
        return read(_text(name), name)
    except Broken as error:
        raise Refused(f"{error} (`python -m bot policy check {name}` lists everything that is wrong)") from None


def _text(file: str) -> str:
    try:
        return read_bytes(file).decode()
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text") from None
