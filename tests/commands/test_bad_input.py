"""Whatever a person gets wrong: one line that says what to do, never a traceback, and nothing is changed."""

import sqlite3
import time

import pytest

from tests.commands.terminal import TOP
from tests.databases import Server, binaries

NOT_THERE = "there is no database at firstfive.db yet: run `python -m bot migrate`"
PASSWORD = "c4n4ry-of-the-database"
JOURNAL = '{"events": [{"at": "2026-06-10T12:00:00Z", "type": "opened", "incident": "INC-7", "severity": "SEV2"}]}'


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("explain", "alertmanager", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("explain", "alertmanager", "."), ".: Is a directory"),
        (("explain", "alertmanager", "text"), "not JSON: "),
        (("explain", "alertmanager", "latin"), "not JSON: "),
        (("explain", "alertmanager", "empty"), "the body is empty; expected JSON"),
        (("explain", "generic", "deep"), "not JSON: "),
        (("explain", "prometheus", "text"), "no source is called prometheus. Known are: alertmanager, "),
        (("explain", "alertmanager", "text", "--headers", "nowhere"), "nowhere: No such file or directory"),
        (("explain", "alertmanager", "text", "--headers", "."), ".: Is a directory"),
        (("explain", "alertmanager", "text", "--headers", "latin"), "latin is not UTF-8 text; expected a JSON object"),
        (("explain", "alertmanager", "text", "--headers", "list"), "list holds no headers: expected a JSON object"),
        (("import", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("import", "."), ".: Is a directory"),
        (("import", "text"), "line 1: not JSON: "),
        (("import", "latin"), "line 1: not UTF-8"),
        (("import", "deep"), "line 1: nested too deep"),
        (("send", "alertmanager", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("send", "prometheus"), "no source is called prometheus. Known are: alertmanager, "),
        (("send", "alertmanager", "--example", "fire"), "alertmanager has no example called fire. It has: checkout-errors, "),
        (("send", "alertmanager", "--route", "other"), "HOOK_SECRETS names no alertmanager/other. Add alertmanager/other=SECRET"),
        (("send", "alertmanager", "--url", "localhost"), "localhost/hooks/alertmanager/main is no address"),
        (("send", "alertmanager", "--url", "http://127.0.0.1:1"), "nobody answers at http://127.0.0.1:1/hooks/"),
        (("sources", "prometheus"), "no source is called prometheus. Known are: alertmanager, "),
    ],
)  # fmt: skip
def test_a_file_or_a_name_that_cannot_be_taken_is_refused_in_one_line(empty, arguments, said):
    empty.file("two words", "text")
    empty.file("Müller: ä".encode("latin-1"), "latin")
    empty.file("", "empty")
    empty.file("[" * 100_000, "deep")
    empty.file("[1]", "list")
    before = sorted(empty.folder.iterdir())

    assert empty.here(*arguments, hook_secrets="alertmanager/main=long-and-random").refused().startswith(said)
    assert sorted(empty.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("metrics", "--week", "2026-W99"), "'2026-W99' is not an ISO week like 2026-W24"),
        (("digest", "--week", "2026-W99", "--dry-run"), "'2026-W99' is not an ISO week like 2026-W24"),
        (("digest", "--week", "2026-W99"), "'2026-W99' is not an ISO week like 2026-W24"),
        (("export", "--week", "2026-W99"), "'2026-W99' is not an ISO week like 2026-W24"),
        (("export", "--out", "no/such/folder"), "no/such/folder: No such file or directory"),
        (("metrics", "--as-of", "noon"), "--as-of: 'noon' is not a time like "),
        (("postmortem", "INC-404"), "There is no INC-404."),
        (("postmortem", "the-big-one"), "There is no the-big-one."),
        (("postmortem", "INC-7", "--template", "long"), "there is no template long; there are default, short"),
        (("postmortem", "INC-7", "--out", "no/such/folder"), "no/such/folder: No such file or directory"),
        (("migrate", "--down", "0404"), "there is no way back to a schema 0404; the schemas are base, 0001, 0002, 0003"),
    ],
)  # fmt: skip
def test_what_the_record_does_not_hold_is_refused_in_one_line(bot, arguments, said):
    assert bot.here("import", bot.file(JOURNAL)).code == 0

    assert bot.here(*arguments).refused().startswith(said)


# --- the database -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("metrics",), ("export",), ("digest",), ("digest", "--dry-run"), ("postmortem", "INC-1"), ("migrate", "--down", "base")],
)  # fmt: skip
def test_a_database_that_is_not_there_yet_is_said_and_not_made_by_looking(empty, arguments):
    assert empty.here(*arguments, templates_dir=TOP / "postmortem_templates").refused(1) == NOT_THERE
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "web", "worker"])
def test_nothing_starts_without_a_database(empty, command):
    assert empty(command, templates_dir=TOP / "postmortem_templates").refused(1) == NOT_THERE
    assert list(empty.folder.iterdir()) == []


def test_explaining_a_payload_makes_no_database(empty):
    told = empty("explain", "generic", "-", stdin=b'{"title": "Disk full"}')

    assert told.code == 0
    assert "no record to compare with" in told.out
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["serve", "web", "worker"])
def test_an_old_schema_is_named_with_what_to_do(bot, command):
    assert bot.here("migrate", "--down", "base").out == "The schema is back at base.\n"

    newest = max(one.name[:4] for one in (TOP / "migrations" / "versions").glob("[0-9]*.py"))
    said = f"the schema is missing, this version needs {newest}: run `python -m bot migrate`, or start with --migrate"
    assert bot(command).refused() == said


@pytest.mark.parametrize("arguments", [("serve",), ("web", "--migrate"), ("migrate",), ("migrate", "--down", "base")])
def test_a_schema_of_a_newer_version_is_left_alone_and_never_called_old(bot, arguments):
    with sqlite3.connect(bot.folder / "firstfive.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    assert bot(*arguments).refused().startswith("the schema is 9999, of a newer version than this one: run that version")


@pytest.mark.parametrize("command", ["metrics", "migrate"])
def test_a_file_that_is_no_database_is_said(empty, command):
    empty.file("certainly not a database, for it is text. " * 50, "other.db")

    assert empty.here(command, database_url="sqlite:///other.db").refused(1).startswith("the database cannot be used: file is not a ")


def test_a_folder_that_is_not_there_is_said(empty):
    told = empty.here("migrate", database_url="sqlite:///no/such/folder/firstfive.db").refused(1)

    assert told == "the database cannot be used: unable to open database file. Is DATABASE_URL right, and does the database run?"


def test_a_locked_database_is_said_within_seconds(bot):
    held = sqlite3.connect(bot.folder / "firstfive.db")
    held.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    try:
        told = bot("import", bot.file(JOURNAL)).refused(1)
    finally:
        held.close()

    assert told.startswith("the database cannot be used: database is locked")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("command", ["metrics", "serve"])
def test_a_database_server_that_is_away_is_said_without_its_password(bot, command):
    told = bot(command, database_url=f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:1/x").refused(1)

    assert told.startswith("the database cannot be used: connection failed: ")
    assert PASSWORD not in told


def test_a_wrong_password_is_said_without_the_password(bot):
    if binaries() is None:
        pytest.skip("no PostgreSQL: neither installed nor in a wheel")
    server = Server()
    try:
        server.asks_for_passwords()
        url = server.url("postgres").replace("postgres@", f"postgres:{PASSWORD}@", 1)
        told = bot("migrate", database_url=url)
    finally:
        server.remove()

    assert "password authentication failed" in told.refused(1)
    assert PASSWORD not in told.err


# --- settings and addresses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log_level": "loud"}, "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'; see .env.example"),
        ({"port": "http"}, "PORT: Input should be a valid integer"),
        ({"database_url": "mysql://root@db/x"}, "DATABASE_URL: expected sqlite:///FILE or postgresql+psycopg://"),
        ({"hook_secrets": "long-and-random"}, "HOOK_SECRETS: part 1 is not NAME=VALUE; see .env.example"),
        ({"slack_bot_token_file": "nowhere"}, "nowhere: No such file or directory; a NAME_FILE setting names a file"),
        ({"slack_bot_token_file": "."}, ".: Is a directory; a NAME_FILE setting names a file"),
    ],
)
def test_a_setting_that_cannot_be_is_named_before_anything_is_done(empty, settings, said):
    assert empty.here("serve", "--migrate", **settings).refused().startswith(said)
    assert list(empty.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "port {port} is in use; set PORT to another one"),
        ("999.1.1.1", "cannot listen on 999.1.1.1 port {port} ("),
        ("192.0.2.1", "cannot listen on 192.0.2.1 port {port} (Cannot assign requested address); set HOST to an address of "),
    ],
)
def test_an_address_that_cannot_be_had_is_named_with_the_reason(bot, listener, host, said):
    assert bot("serve", host=host, port=listener).refused().startswith(said.format(port=listener))


# --- the team's files -------------------------------------------------------------------------

RUNBOOK = "---\ntitle: x\nalerts: [x]\nlast_reviewed: never\n---\n# x\n"


@pytest.mark.parametrize(
    ("settings", "text", "said"),
    [
        ({"policy_file": "file"}, "team:\n  zone: Europe/Lisbon\n  colour: red\n", "file:3: "),
        ({"policy_file": "file"}, "routes:\n  - [\n", "file:3: "),
        ({"policy_file": "file"}, b"team: \xff\n", "file: cannot be read: "),
        ({"policy_file": "."}, "", ".: cannot be read: "),
        ({"templates_dir": "files"}, "# {{ title }}\n{% if %}\n", "files/default.md.j2:2: "),
        ({"runbooks_dir": "files"}, RUNBOOK, "files/x.md:4: "),
    ],
    ids=["policy field", "policy YAML", "policy not UTF-8", "policy a folder", "template", "runbook"],
)
def test_a_broken_file_stops_the_start_and_is_named_with_its_line(bot, settings, text, said):
    place = "files/default.md.j2" if "templates_dir" in settings else "files/x.md" if "runbooks_dir" in settings else "file"
    bot.file(text, place)

    told = bot("serve", **settings).refused(1)
    assert told.startswith(said)
    assert told.endswith("(`python -m bot check` lists everything that is wrong)")


def test_numbers_do_not_need_a_template_or_a_runbook(bot):
    bot.given = {}
    bot.file("{% if %}", "postmortem_templates/default.md.j2")
    bot.file(RUNBOOK, "runbooks/x.md")

    for arguments in (("metrics", "--week", "2026-W24"), ("export",), ("digest", "--week", "2026-W24", "--dry-run")):
        assert bot.here(*arguments).code == 0, arguments
    assert bot.here("postmortem", "INC-1").refused(1).startswith("postmortem_templates/default.md.j2:1: ")


# --- pipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["export", "--help"])
def test_whoever_stops_reading_gets_no_complaint(bot, arguments):
    told = bot.shell(f"$BOT {arguments} | true; echo ${{PIPESTATUS[0]}}")

    assert told.err == ""
    assert told.out.strip() == "0"


def test_a_full_disk_is_said(bot):
    told = bot.shell("$BOT export > /dev/full")

    assert (told.code, told.err) == (1, "the output cannot be written: No space left on device\n")


def test_without_any_output_to_write_to_nothing_fails(bot):
    assert bot.shell("$BOT metrics >&-").err == ""
