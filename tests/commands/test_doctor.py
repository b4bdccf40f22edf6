"""`check`: against a sandbox where all is well, and against each thing that can be wrong, with how to mend it."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.alerts.registry import sources
from bot.incidents.heartbeats import EXPECTED, HEARD
from bot.slack.manifest import SCOPES
from bot.store import Store
from sandbox.__main__ import settings_for
from sandbox.app import Sandbox
from sandbox.pagerduty.account import LEADS
from sandbox.serving import running
from sandbox.world import World
from tests.builders import NOON
from tests.commands.terminal import Terminal

SWITCH = "Prometheus and its Alertmanager"
TOP = Path(__file__).parents[2]
CANARY = "c4n4ry-5ecret-that-nobody-may-see"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running(World(is_strict=False)) as made:
        yield made


@pytest.fixture
def well(bot: Terminal, sandbox: Sandbox) -> Terminal:
    """Everything a bot needs, and all of it right."""
    settings = settings_for(sandbox, sandbox.world.origin, f"sqlite:///{bot.folder / 'firstfive.db'}")
    bot.given = {name.upper(): str(value) for name, value in settings.items()}
    return bot


def wrong(bot: Terminal, **settings: object) -> list[tuple[str, str, str]]:
    """What the doctor finds wrong: (subject, text, mend); the exit code says so, too."""
    told = bot.here("check", "--json", **settings)
    found = [(one["subject"], one["text"], one["mend"]) for one in told.json() if not one["ok"]]
    assert told.code == (1 if found else 0)
    assert all(mend for _, _, mend in found), found
    return found


def test_where_all_is_well_every_thing_is_named_and_nothing_is_done(well, sandbox):
    told = well("check")

    assert (told.code, told.err) == (0, "")
    assert told.out.endswith("are well.\n")
    subjects = [line.removeprefix("ok    ").partition(":")[0] for line in told.out.splitlines()[:-2]]
    assert subjects == [
        "settings", "policy", "post-mortem templates", "runbooks", *["alert endpoint"] * len(sources()), "database", "heartbeat",
        "Slack token",
        "Slack scopes", "Slack channel #incidents", "Slack channel #firstfive-ops", "Slack requests", "PagerDuty keys",
        "PagerDuty REST", "PagerDuty user", "clock",
    ]  # fmt: skip
    assert sandbox.account.incidents == []
    assert sandbox.space.ledger == []


def test_what_is_wrong_is_a_line_and_how_to_mend_it_the_next_and_no_secret_is_in_either(well):
    told = well("check", slack_bot_token=f"xoxb-{CANARY}", pagerduty_api_token=CANARY, pagerduty_keys=f"default={CANARY}")

    assert told.code == 1
    lines = told.out.splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("FAIL  ")]
    assert all(lines[number + 1].startswith("      → ") for number in failed)
    assert lines[-1] == f"{len(failed)} of {sum(line[:4] in ('ok  ', 'FAIL') for line in lines)} need mending."
    assert CANARY not in told.out + told.err


def test_a_switch_says_when_it_was_last_heard_or_that_it_never_was(well):
    policy = well.folder / "policy.yaml"
    shipped = (TOP / "policy.yaml").read_text()
    policy.write_text(shipped)
    switch = [one for one in well("check", "--json", "--offline", policy_file=policy).json() if one["subject"] == "heartbeat"]
    assert [(one["ok"], one["text"].partition(", ")[0]) for one in switch] == [(True, f"{SWITCH}: never heard")]

    policy.write_text(shipped.replace("    within: 5h\n", "    within: 5h\n    expect: true\n"))
    assert wrong(well, policy_file=policy)[-1][:2] == ("heartbeat", f"{SWITCH}: never heard, expected from when the bot runs")

    store = Store.at(well.given["DATABASE_URL"])
    store.set_note(f"{EXPECTED}{SWITCH}", NOON.isoformat())
    assert wrong(well, policy_file=policy)[-1][1] == f"{SWITCH}: never heard, expected since 2026-06-10 12:00 UTC"
    store.set_note(f"{HEARD}{SWITCH}", NOON.isoformat())
    store.close()
    assert wrong(well, policy_file=policy) == []


def test_offline_nobody_is_asked(well):
    assert wrong(well, slack_api_url="http://127.0.0.1:1", pagerduty_api_url="http://127.0.0.1:1") != []
    told = well.here("check", "--json", "--offline", slack_api_url="http://127.0.0.1:1", pagerduty_api_url="http://127.0.0.1:1")

    assert told.code == 0
    assert not [one for one in told.json() if "Slack" in one["subject"] or "PagerDuty" in one["subject"]]


def test_a_fresh_clone_is_told_each_thing_to_do(bot):
    away = {name: "http://127.0.0.1:1" for name in ("slack_api_url", "pagerduty_api_url", "pagerduty_events_url")}
    found = [subject for subject, _, _ in wrong(bot, **away)]

    assert found == ["alert endpoints", "Slack token", "Slack requests", "PagerDuty keys", "PagerDuty REST", "clock"]


# --- each thing that can be wrong -------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "subject", "text", "mend"),
    [
        ({"slack_bot_token": "xoxb-wrong"}, "Slack token", "Slack does not take it: invalid_auth", "set SLACK_BOT_TOKEN"),
        ({"slack_bot_token": ""}, "Slack token", "SLACK_BOT_TOKEN is not set", "set SLACK_BOT_TOKEN to the Bot User OAuth"),
        ({"slack_api_url": "http://127.0.0.1:1"}, "Slack token", "Slack does not answer", "is SLACK_API_URL right"),
        ({"slack_signing_secret": ""}, "Slack requests", "nothing that people type can come in", "set SLACK_SIGNING_SECRET"),
        ({"slack_app_token": "xapp-wrong"}, "Slack Socket Mode", "Slack does not take it: invalid_auth", "connections:write"),
        ({"pagerduty_api_token": "wrong"}, "PagerDuty REST", "PagerDuty answered 401", "set PAGERDUTY_API_TOKEN"),
        ({"pagerduty_api_token": ""}, "PagerDuty REST", "no REST token: paging works; ", "set PAGERDUTY_API_TOKEN"),
        ({"pagerduty_api_url": "http://127.0.0.1:1"}, "PagerDuty REST", "PagerDuty did not answer", "status.pagerduty.com"),
        ({"pagerduty_from": "gone@example.com"}, "PagerDuty user", "PAGERDUTY_FROM (gone@example.com) is", "set PAGERDUTY_FROM"),
        ({"pagerduty_from": ""}, "PagerDuty user", "PAGERDUTY_FROM (not set) is no user", "set PAGERDUTY_FROM"),
        ({"pagerduty_keys": ""}, "PagerDuty keys", "no key is set: nobody can be paged", "PAGERDUTY_KEYS"),
        ({"pagerduty_keys": "default=short"}, "PagerDuty keys", "default is not 32 characters long", "PAGERDUTY_KEYS"),
        ({"pagerduty_keys": f"default={'0' * 32}"}, "PagerDuty keys", "PagerDuty answered 400 to the key default", "PAGERDUTY_KEYS"),
        ({"pagerduty_events_url": "http://127.0.0.1:1"}, "PagerDuty keys", "PagerDuty did not answer", "PAGERDUTY_EVENTS_URL"),
        ({"hook_secrets": ""}, "alert endpoints", "HOOK_SECRETS is not set: no alert can come in", "HOOK_SECRETS=alert"),
        ({"hook_secrets": "nobody/main=long-and-random-1"}, "alert endpoint", "nobody/main is no SOURCE/ROUTE", "sources are "),
        ({"hook_secrets": "grafana/main=short"}, "alert endpoint", "the secret of grafana/main is shorter", "secrets.token_urlsafe"),
        ({"database_url": "sqlite:///other.db"}, "database", "there is no database at other.db yet", "python -m bot migrate"),
        ({"database_url": "postgresql+psycopg://me@127.0.0.1:1/x"}, "database", "the database cannot be used: ", "see DATABASE_URL"),
        ({"policy_file": "nowhere.yaml"}, "policy", "nowhere.yaml is not there", "copy policy.yaml from the repository"),
        ({"templates_dir": "nowhere"}, "post-mortem template", "nowhere: there is no template", "or set TEMPLATES_DIR"),
        ({"runbooks_dir": "nowhere"}, "runbooks", "nowhere is no folder", "or set RUNBOOKS_DIR"),
    ],
)  # fmt: skip
def test_one_thing_that_is_wrong_is_found_alone_and_with_its_mend(well, settings, subject, text, mend):
    found = wrong(well, **settings)

    assert [one for one, _, _ in found] == [subject]
    assert found[0][1].startswith(text)
    assert mend in found[0][2]


@pytest.mark.parametrize(
    ("setting", "name", "text", "subject", "place"),
    [
        ("policy_file", "policy.yaml", "team:\n  colour: red\n", "policy", "policy.yaml:2: "),
        ("policy_file", "policy.yaml", b"team: \xff\n", "policy", "policy.yaml cannot be read: "),
        ("templates_dir", "default.md.j2", "# A draft\n{% if %}\n", "post-mortem template", "default.md.j2:2: "),
        ("templates_dir", "default.md.j2", "# A draft\n\n{{ nobodys_name }}\n", "post-mortem template", "default.md.j2:3: "),
        ("templates_dir", "default.md.j2", "# A draft\n{% for x in 9 %}{% endfor %}\n", "post-mortem template", "default.md.j2:2: "),
        ("runbooks_dir", "disk.md", "---\ntitle: x\nlast_reviewed: never\n---\n# x\n", "runbook", "disk.md:3: "),
    ],
)
def test_a_broken_file_is_named_with_its_line(well, setting, name, text, subject, place):
    bad = well.file(text, f"team/{name}")
    found = wrong(well, **{setting: bad if setting == "policy_file" else bad.parent})

    assert [one for one, said, _ in found if place in said] == [subject]


def test_every_problem_of_a_file_is_told_not_only_the_first(well):
    found = wrong(well, policy_file=well.file("team:\n  colour: red\nroutes:\n  - {name: all, severity: SEV9}\n", "policy.yaml"))

    assert [said.rpartition("policy.yaml:")[2][0] for _, said, _ in found] == ["2", "4"]


def test_a_runbook_that_the_policy_names_and_that_is_not_there_is_told(well):
    found = wrong(well, policy_file=well.file("services: {checkout: {runbook: nope.md}}\n", "policy.yaml"))

    assert [(subject, said.rpartition("policy.yaml:")[2]) for subject, said, _ in found] == [
        ("policy", "1: services.checkout.runbook: there is no runbook 'nope.md'; write the name of its file, or an address")
    ]
    assert found[0][2].startswith("mend that line, or write that file into ")


def test_a_name_in_the_dotenv_file_that_is_nearly_a_setting_is_named(well):
    well.file("SLACK_BOT_TOKN=xoxb-1\nPAGERDUTY_KEY=x\nPOSTGRES_PASSWORD=y\nSLACK_APP_TOKEN_FILE=\nPAGER_POLL_SECONDS=30\n", ".env")

    assert wrong(well) == [
        ("settings", "SLACK_BOT_TOKN in .env is no setting, and is not read", "write SLACK_BOT_TOKEN, if that is meant"),
        ("settings", "PAGERDUTY_KEY in .env is no setting, and is not read", "write PAGERDUTY_KEYS, if that is meant"),
    ]


@pytest.mark.parametrize("channel", ["general", "nowhere"])
def test_a_channel_that_is_missing_or_has_no_bot_in_it_is_named(well, channel):
    policy = well.file(f"channels: {{operations: {channel}}}\n", "policy.yaml")

    assert wrong(well, policy_file=policy) == [
        (f"Slack channel #{channel}", "not there, or the bot is not in it",
         f"make #{channel} and /invite the bot to it, or name another in policy.yaml under channels"),
    ]  # fmt: skip


def test_a_name_that_the_policy_pages_and_nobody_has_a_key_for_is_named(well, sandbox):
    found = wrong(well, pagerduty_keys=f"checkout={sandbox.account.services['checkout'].key}")

    assert {said for _, said, _ in found} == {
        f"the policy names {name}, there is no such key" for name in ("payments", "platform", "search", "web")
    }


BY_POLICY = "services:\n  web: {escalation_policy: %s, pagerduty_service: %s}\n"


@pytest.mark.parametrize(
    ("ids", "on_call", "settings", "subject", "text", "mend"),
    [
        ((LEADS, "PSWEB00"), "PUBEN01", {"pagerduty_api_token": ""}, "PagerDuty REST",
         f"no REST token: the escalation policies that the policy names page nobody ({LEADS})", "set PAGERDUTY_API_TOKEN"),
        ((LEADS, "PSWEB00"), "PUBEN01", {"pagerduty_from": ""}, "PagerDuty user",
         f"PAGERDUTY_FROM (not set) is no user of the account: the escalation policies that the policy names page nobody ({LEADS})",
         "set PAGERDUTY_FROM"),
        (("PNONE11", "PSWEB00"), "PUBEN01", {}, "PagerDuty escalation policy PNONE11", "PagerDuty answered 404",
         "compare `escalation_policy` and `pagerduty_service`"),
        ((LEADS, "PSNONE1"), "PUBEN01", {}, f"PagerDuty escalation policy {LEADS}", "PagerDuty answered 404 to the service PSNONE1",
         "compare `escalation_policy` and `pagerduty_service`"),
        ((LEADS, "PSWEB00"), "", {}, f"PagerDuty escalation policy {LEADS}", "nobody is on call there", "put somebody on call"),
        ((LEADS, "PSWEB00"), "PUCHLO1", {}, f"PagerDuty escalation policy {LEADS}", "chloe@example.com is on call there",
         "PagerDuty user of the bot's own"),
    ],
)  # fmt: skip
def test_what_an_escalation_policy_needs_is_named_where_it_is_missing(well, sandbox, ids, on_call, settings, subject, text, mend):
    sandbox.account.leads[:] = [on_call]
    [(found, said, how)] = wrong(well, policy_file=well.file(BY_POLICY % ids, "policy.yaml"), **settings)

    assert found == subject
    assert said.startswith(text)
    assert mend in how


def test_an_escalation_policy_that_works_is_named_and_opens_nothing(well, sandbox):
    sandbox.account.leads[:] = ["PUBEN01"]
    told = well("check", policy_file=well.file(BY_POLICY % (LEADS, "PSWEB00"), "policy.yaml"))

    assert f"ok    PagerDuty escalation policy {LEADS}: pages for the service PSWEB00" in told.out
    assert sandbox.account.incidents == []


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "run the newer version"),
        ("DELETE FROM alembic_version", "python -m bot migrate"),
    ],
)
def test_an_old_schema_and_a_newer_one_have_different_mends(well, change, mend):
    with sqlite3.connect(well.folder / "firstfive.db") as connection:
        connection.execute(change)
    connection.close()

    assert [one[::2] for one in wrong(well)] == [("database", mend)]


def test_a_database_that_would_answer_before_the_disk_is_told_and_needs_no_mending(well, database_url):
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite is told by each connection to wait for the disk")
    found = {one["text"] for one in well("check", "--json", "--offline", database_url=database_url).json()}
    assert not [one for one in found if "synchronous_commit" in one]

    store = Store.at(database_url)
    with store.writing() as work:
        name = work.connection.exec_driver_sql("SELECT current_database()").scalar_one()
        work.connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    store.close()
    [told] = [
        one for one in well("check", "--json", "--offline", database_url=database_url).json() if "synchronous_commit" in one["text"]
    ]

    assert (told["subject"], told["ok"]) == ("database", True)
    assert "off" in told["text"]
    assert wrong(well, database_url=database_url) == []


# --- what the sandbox never does --------------------------------------------------------------


@dataclass
class Neighbour:
    """A Slack that answers as it is told to: other scopes, many channels, another time."""

    scopes: tuple[str, ...] = tuple(SCOPES)
    channels: tuple[str, ...] = ("incidents", "firstfive-ops")
    page: int = 100
    skew_seconds: float = 0.0
    who: dict[str, Any] = field(default_factory=lambda: {"user": "firstfive", "team": "T", "user_id": "U1", "bot_id": "B1"})

    def answer(self, method: str, given: dict[str, str]) -> dict[str, Any]:
        if method == "auth.test":
            return {"ok": True, **self.who}
        if method == "users.conversations" and "channels:read" in self.scopes:
            start, limit = int(given.get("cursor") or 0), min(self.page, int(given.get("limit", 100)))
            shown = [{"id": f"C{name}", "name": name} for name in self.channels[start : start + limit]]
            following = str(start + limit) if start + limit < len(self.channels) else ""
            return {"ok": True, "channels": shown, "response_metadata": {"next_cursor": following}}
        return {"ok": False, "error": "missing_scope" if method == "users.conversations" else "unknown_method"}


@contextmanager
def answering(neighbour: Neighbour) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            self._say(neighbour.answer(urlsplit(self.path).path.strip("/"), given))

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            given = {name: values[0] for name, values in parse_qs(text).items()}
            self._say(neighbour.answer(urlsplit(self.path).path.strip("/"), given))

        def _say(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-oauth-scopes", ",".join(neighbour.scopes))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + neighbour.skew_seconds, usegmt=True)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_that_is_missing_is_named_with_what_it_is_for(well, scope):
    with answering(Neighbour(scopes=tuple(one for one in SCOPES if one != scope))) as url:
        found = wrong(well, slack_api_url=url)

    assert ("Slack scopes", f"missing: {scope} ({SCOPES[scope]})") in [one[:2] for one in found]
    assert "reinstall the app" in found[0][2]


def test_a_channel_on_the_second_page_is_found(well):
    channels = (*(f"inc-{number}" for number in range(250)), "incidents", "firstfive-ops")
    with answering(Neighbour(channels=channels)) as url:
        assert wrong(well, slack_api_url=url) == []


def test_a_persons_token_is_no_bots(well):
    with answering(Neighbour(who={"user": "ana", "team": "T", "user_id": "U1"})) as url:
        found = wrong(well, slack_api_url=url)

    assert [one[:2] for one in found] == [("Slack token", "is ana's own, not a bot's")]


@pytest.mark.parametrize(("seconds", "is_well"), [(0, True), (50, True), (-50, True), (300, False), (-300, False)])
def test_a_clock_that_is_off_by_more_than_a_minute_is_wrong(well, seconds, is_well):
    with answering(Neighbour(skew_seconds=seconds)) as url:
        found = wrong(well, slack_api_url=url)

    assert (found == []) is is_well
    assert is_well or (found[0][0] == "clock" and found[0][1].endswith(" s away from theirs"))


def test_a_clock_that_nobody_could_be_asked_about_is_not_called_right(well):
    found = wrong(well, slack_api_url="http://127.0.0.1:1", pagerduty_api_url="http://127.0.0.1:1")

    assert ("clock", "not compared: neither Slack nor PagerDuty says what time it is") in [one[:2] for one in found]


def test_a_limit_of_what_nothing_comes_in_by_is_named(well):
    policy = well.file("limits:\n  routes: {main: 60/m, grafana/main: none, staging: 10/m, grafana/old: 10/m}\n", "policy.yaml")

    assert wrong(well, policy_file=policy) == [
        ("limits", f"the policy limits the route {name}; nothing comes in by that name",
         f"add it to HOOK_SECRETS, or mend `limits.routes` in {policy}")
        for name in ("staging", "grafana/old")
    ]  # fmt: skip
