"""`check`: looks at everything the bot needs, and says for each thing that is wrong how to mend it."""

import argparse
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

from bot.alerts.registry import sources, unusable
from bot.clock import wall_clock
from bot.commands.output import print_json
from bot.errors import Broken
from bot.findings import Finding
from bot.incidents.heartbeats import EXPECTED, HEARD
from bot.incidents.policy import Policy, doubts_in, problems_in, runbooks_missing
from bot.pagerduty import check as pagerduty
from bot.pagerduty.client import Client
from bot.pagerduty.reports import Reports
from bot.postmortems import read_templates
from bot.postmortems.trying import tried
from bot.runbooks import doubts_about_folder, lint_folder, paths_in, read_folder
from bot.settings import Settings, misspelt
from bot.slack import check as slack
from bot.slack.client import Slack
from bot.store import DatabaseDown, Store, migrate
from bot.store.database import answers_before_the_disk
from bot.wiring import must_be_there, read_policy

SKEW_SECONDS = 60
TIMEOUT_SECONDS = 8


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    sub = commands.add_parser(
        "check", help="the doctor: settings, files, database, Slack, PagerDuty; says how to mend what is wrong",
        description="Looks at everything the bot needs. Wakes nobody and posts nothing. Exit 0: all is well.",
    )  # fmt: skip
    sub.add_argument("--json", action="store_true", help="machine-readable output")
    sub.add_argument("--offline", action="store_true", help="do not ask Slack and PagerDuty")
    sub.set_defaults(run=run_check)


def run_check(given: argparse.Namespace, settings: Settings) -> int:
    """Every finding, a line each; the mend below what is wrong."""
    found = list(findings(settings, online=not given.offline))
    if given.json:
        print_json([{"subject": one.subject, "ok": one.is_ok, "text": one.text, "mend": one.mend} for one in found])
    else:
        for one in found:
            print(f"{'ok  ' if one.is_ok else 'FAIL'}  {one.subject}: {' '.join(one.text.split())}")
            if not one.is_ok:
                print(f"      → {one.mend}")
    wrong = sum(not one.is_ok for one in found)
    if not given.json:
        print(f"\n{wrong} of {len(found)} need mending." if wrong else f"\nAll {len(found)} are well.")
    return 1 if wrong else 0


def findings(settings: Settings, *, online: bool = True) -> Iterator[Finding]:
    """Everything that was looked at."""
    yield from _settings(settings)
    yield from _policy(settings)
    yield from _templates(settings)
    yield from _runbooks(settings)
    yield from _brought()
    yield from _hooks(settings)
    yield from _limits(settings, _policy_or_none(settings) or Policy())
    store, found = _store(settings)
    yield from found
    policy = _policy_or_none(settings) or Policy()
    if all(one.is_ok for one in found if one.subject == "database"):
        yield from _heartbeats(store, policy)
    if online:
        yield from _neighbours(settings, policy, store)
    store.close()


def _settings(settings: Settings) -> Iterator[Finding]:
    odd = misspelt()
    for name, meant in odd.items():
        yield Finding("settings", False, f"{name} in .env is no setting, and is not read", f"write {meant}, if that is meant")
    if not odd:
        yield Finding("settings", True, f"{len(settings.model_fields_set)} set, the others by default")


def _policy(settings: Settings) -> Iterator[Finding]:
    path = settings.policy_file
    if not path.exists():
        yield Finding("policy", False, f"{path} is not there", "copy policy.yaml from the repository, or set POLICY_FILE")
        return
    try:
        problems = list(problems_in(path.read_text(encoding="utf-8"), str(path)))
    except (OSError, UnicodeDecodeError) as error:
        yield Finding("policy", False, f"{path} cannot be read: {error}", "make it readable, UTF-8 text")
        return
    for one in problems:
        yield Finding("policy", False, str(one), "mend that line; a running bot keeps its last good policy")
    if not problems:
        policy = read_policy(settings)
        text, paths = path.read_text(encoding="utf-8"), paths_in(settings.runbooks_dir)
        problems = [] if paths is None else list(runbooks_missing(policy, text, paths, str(path)))
        for one in problems:
            yield Finding("policy", False, str(one), f"mend that line, or write that file into {settings.runbooks_dir}")
        for one in doubts_in(policy, text, str(path)):
            yield Finding("policy", True, f"look whether this is meant: {one}")
    if not problems:
        yield Finding("policy", True, f"{path}: {len(policy.routes)} routes, {len(policy.services)} services")


def _policy_or_none(settings: Settings) -> Policy | None:
    try:
        return read_policy(settings)
    except Broken:
        return None


def _templates(settings: Settings) -> Iterator[Finding]:
    templates = read_templates(settings.templates_dir)
    for one in templates.problems:
        copy = "copy the folder from the repository, or set TEMPLATES_DIR"
        mend = "mend that line, or take the file away" if templates.names() else copy
        yield Finding("post-mortem template", False, str(one), mend)
    tried_in_vain = list(tried(templates, settings.templates_dir))
    for one in tried_in_vain:
        yield Finding("post-mortem template", False, str(one), "mend that line; bot/postmortems/facts.py has every name there is")
    if not templates.problems and not tried_in_vain:
        yield Finding("post-mortem templates", True, ", ".join(templates.names()))
    if not templates.names():
        return
    wanted = {rule.template for rule in (_policy_or_none(settings) or Policy()).severities.values()}
    for name in sorted(wanted - set(templates.names())):
        text = f"the policy names {name}, there is no {name}.md.j2"
        yield Finding("post-mortem template", False, text, f"write {settings.templates_dir}/{name}.md.j2, or name another")


def _runbooks(settings: Settings) -> Iterator[Finding]:
    folder = settings.runbooks_dir
    if not folder.is_dir():
        mend = "copy the folder from the repository, or set RUNBOOKS_DIR; without one nobody is told what to do"
        yield Finding("runbooks", False, f"{folder} is no folder", mend)
        return
    problems = list(lint_folder(folder))
    for one in problems:
        yield Finding("runbook", False, str(one), "mend that line; `python -m bot runbooks lint` shows all")
    for one in doubts_about_folder(folder):
        yield Finding("runbook", True, f"look whether this is meant: {one}")
    if not problems:
        yield Finding("runbooks", True, f"{len(read_folder(folder))} in {folder}")


def _brought() -> Iterator[Finding]:
    """Sources of other packages that cannot be used; the others can."""
    for one in unusable():
        mend = "`pip install --upgrade` its package, or `pip uninstall` it; then start the bot again"
        yield Finding("alert source", False, f"{one.name} is not loaded: {one.why}", mend)


def _hooks(settings: Settings) -> Iterator[Finding]:
    if not settings.hook_secrets:
        mend = "set HOOK_SECRETS=alertmanager/main=A-LONG-RANDOM-TOKEN"
        yield Finding("alert endpoints", False, "HOOK_SECRETS is not set: no alert can come in", mend)
    for place, secret in settings.hook_secrets.items():
        name, _, route = place.partition("/")
        if name not in sources() or not route:
            known = ", ".join(sorted(sources()))
            yield Finding("alert endpoint", False, f"{place} is no SOURCE/ROUTE", f"sources are {known}")
        elif min(map(len, secret.get_secret_value().split(","))) < 16:
            mend = "take a longer one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            yield Finding("alert endpoint", False, f"the secret of {place} is shorter than 16 characters", mend)
        else:
            yield Finding("alert endpoint", True, f"{settings.public_url.rstrip('/')}/hooks/{place}")


def _limits(settings: Settings, policy: Policy) -> Iterator[Finding]:
    """Limits of what does not come in at all: a name that was misspelt, or is no longer there."""
    known = {name for place in settings.hook_secrets for name in (place, place.partition("/")[2])}
    for name in policy.limits.routes:
        if name not in known:
            mend = f"add it to HOOK_SECRETS, or mend `limits.routes` in {settings.policy_file}"
            yield Finding("limits", False, f"the policy limits the route {name}; nothing comes in by that name", mend)


def _store(settings: Settings) -> tuple[Store, list[Finding]]:
    store = Store.at(settings.database_url.get_secret_value())
    try:
        must_be_there(settings)
        late = migrate.out_of_date(store.engine)
        aside = [] if late else [*_disk(store), *_aside(store)]
    except DatabaseDown as error:
        is_new = "`python -m bot migrate`" in str(error)
        mend = "python -m bot migrate" if is_new else "see DATABASE_URL in .env.example; is the server running?"
        return store, [Finding("database", False, str(error), mend)]
    if late:
        is_old = late.endswith("migrate`")
        return store, [Finding("database", False, late, "python -m bot migrate" if is_old else "run the newer version")]
    return store, [Finding("database", True, f"{store.engine.dialect.name}, schema up to date"), *aside]


def _disk(store: Store) -> Iterator[Finding]:
    """A default that would lose what was answered for. Others that write there are not ours to mend."""
    if answers_before_the_disk(store.engine):
        text = "synchronous_commit is off by default for this role or database; the bot switches it on for each connection of its own"
        yield Finding("database", True, text)


def _heartbeats(store: Store, policy: Policy) -> Iterator[Finding]:
    """Dead-man's switches: one that was never heard is missed by nobody, unless it is expected."""
    for rule in policy.heartbeats:
        heard, since = store.note(f"{HEARD}{rule.name}"), store.note(f"{EXPECTED}{rule.name}")
        if heard is not None:
            yield Finding("heartbeat", True, f"{rule.name}: last heard at {_minute(heard)}")
        elif rule.expect:
            told = f"expected since {_minute(since)}" if since else "expected from when the bot runs"
            mend = f"let its sender send here what fits {rule.matcher.said or 'it'}; `python -m bot explain` says how that is read"
            yield Finding("heartbeat", False, f"{rule.name}: never heard, {told}", mend)
        else:
            yield Finding("heartbeat", True, f"{rule.name}: never heard, and so missed by nobody; `expect: true` would be an alert")


def _minute(at: str) -> str:
    return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC"


def _aside(store: Store) -> list[Finding]:
    """What was put aside, and waits for a person: each may be an alert that opened nothing, or a page that woke nobody."""
    parked, dead = store.inbox_depth().get("parked", 0), store.outbox_depth().get("dead", 0)
    found = []
    if parked:
        mend = "`python -m bot inbox list` says why; then `retry` or `drop` each"
        found.append(Finding("inbox", False, f"deliveries that could not be read: {parked}", mend))
    if dead:
        mend = "`python -m bot outbox list` says why; then `retry` or `drop` each"
        found.append(Finding("outbox", False, f"effects that were given up: {dead}", mend))
    return found


def _neighbours(settings: Settings, policy: Policy, store: Store) -> Iterator[Finding]:
    client = Slack(token=settings.slack_bot_token, api_url=settings.slack_api_url)
    yield from slack.check(client, policy)
    if settings.slack_app_token.get_secret_value():
        yield slack.check_socket(client, settings.slack_app_token)
    elif settings.slack_signing_secret.get_secret_value():
        yield Finding("Slack requests", True, f"over HTTP, at {settings.public_url.rstrip('/')}/slack/events")
    else:
        mend = "set SLACK_SIGNING_SECRET (HTTP) or SLACK_APP_TOKEN (Socket Mode)"
        yield Finding("Slack requests", False, "nothing that people type can come in", mend)
    pager = Client(
        token=settings.pagerduty_api_token, from_email=settings.pagerduty_from,
        api_url=settings.pagerduty_api_url, events_url=settings.pagerduty_events_url,
    )  # fmt: skip
    keys = {name: key.get_secret_value() for name, key in settings.pagerduty_keys.items()}
    wanted = {one.pager for one in policy.services.values()} | {one.paged_by for one in policy.routes if one.paged_by}
    reports = Reports(client=pager, store=store, clock=wall_clock)
    yield from pagerduty.check(pager, reports, keys, wanted)
    yield _clock(settings.slack_api_url, settings.pagerduty_api_url)


def _clock(*addresses: str) -> Finding:
    """Signatures hold for five minutes: a clock that is off refuses everybody. Compared with whoever answers first."""
    theirs = next((found for one in addresses if (found := _time_at(one)) is not None), None)
    if theirs is None:
        mend = "let this machine reach Slack or PagerDuty, then check again"
        return Finding("clock", False, "not compared: neither Slack nor PagerDuty says what time it is", mend)
    skew = abs(theirs - time.time())
    if skew > SKEW_SECONDS:
        return Finding("clock", False, f"{skew:.0f} s away from theirs", "set the machine's clock (chrony, systemd-timesyncd)")
    return Finding("clock", True, f"within {SKEW_SECONDS} s of theirs")


def _time_at(address: str) -> float | None:
    """What time an answer says it is, whatever else it says; None where there is none."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
            date = answer.headers.get("date")
    except urllib.error.HTTPError as error:
        date = error.headers.get("date")
        error.close()
    except (HTTPException, OSError, ValueError):
        return None
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
