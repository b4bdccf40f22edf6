"""Settings: secrets from files, errors that say what to do, and no secret in anything that is printed."""

import json
import logging
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr, ValidationError

from bot.commands.parser import main
from bot.settings import Settings, load, pairs

CANARY = "c4n4ry-5ecret-that-nobody-may-see"
SECRETS = [
    "database_url", "hook_secrets", "slack_bot_token", "slack_signing_secret", "slack_app_token", "pagerduty_keys",
    "pagerduty_api_token", "heartbeat_url",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """In an empty folder, with none of our names set."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def written(name: str, text: str | bytes) -> str:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return str(Path(name).resolve())


def held(settings: Settings, name: str) -> str:
    """What a setting of secrets really holds."""
    value = getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value["x/y"].get_secret_value()


def value_of(name: str) -> str:
    if name == "database_url":
        return f"postgresql+psycopg://me:{CANARY}@db/x"
    if name == "heartbeat_url":
        return f"https://watch.example.com/{CANARY}"
    return f"x/y={CANARY}" if name in ("hook_secrets", "pagerduty_keys") else CANARY


# --- where they come from ---------------------------------------------------------------------


def test_without_anything_set_the_defaults_hold_and_no_secret_is_made_up():
    settings = load({})

    assert settings.database_url.get_secret_value() == "sqlite:///firstfive.db"
    assert (settings.port, settings.slack_command) == (8080, "/incident")
    assert [getattr(settings, name) for name in SECRETS[1:]] == [
        {},
        SecretStr(""),
        SecretStr(""),
        SecretStr(""),
        {},
        SecretStr(""),
        SecretStr(""),
    ]


def test_the_environment_is_read_and_what_is_empty_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("SLACK_COMMAND", "")

    settings = load({})

    assert (settings.port, settings.slack_command) == (9000, "/incident")


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_come_from_a_file_without_its_last_line_end(name):
    path = written("secret", f"{value_of(name)}\n")

    settings = load({f"{name.upper()}_FILE": path})

    assert held(settings, name) == value_of(name).removeprefix("x/y=")


def test_a_file_may_hold_what_is_no_secret_too():
    assert load({"PORT_FILE": written("port", "9001\n")}).port == 9001


def test_a_file_comes_before_the_plain_name(monkeypatch):
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-old")

    assert load({"SLACK_BOT_TOKEN_FILE": written("t", "xoxb-new")}).slack_bot_token.get_secret_value() == "xoxb-new"


def test_the_dotenv_file_is_read_and_may_name_files_itself():
    written(".env", f"PORT=9002\nSLACK_BOT_TOKEN_FILE={written('token', CANARY)}\n")

    settings = load({})

    assert (settings.port, settings.slack_bot_token.get_secret_value()) == (9002, CANARY)


def test_the_environment_comes_before_the_dotenv_file(monkeypatch):
    written(".env", f"PORT=9002\nSLACK_BOT_TOKEN_FILE={written('token', 'of-dotenv')}\n")
    monkeypatch.setenv("PORT", "9003")

    assert load({"SLACK_BOT_TOKEN_FILE": written("other", CANARY)}).slack_bot_token.get_secret_value() == CANARY
    assert load({"SLACK_BOT_TOKEN": CANARY}).port == 9003
    monkeypatch.setenv("SLACK_BOT_TOKEN", CANARY)
    assert load({"SLACK_BOT_TOKEN": CANARY}).slack_bot_token.get_secret_value() == CANARY


def test_what_is_given_comes_before_everything(monkeypatch):
    monkeypatch.setenv("PORT", "9000")

    assert load({"PORT_FILE": written("p", "9001")}, port=9002).port == 9002


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        load({}).port = 1


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://", "sqlite:////srv/firstfive.db", "postgresql+psycopg://me@db/x", "postgresql+psycopg://me:p:/w@db:5432/x",
        "postgresql+psycopg://me:p@[::1]:5432/x", "postgresql+psycopg://postgres:@/x?host=/run/postgresql",
    ],
)  # fmt: skip
def test_every_way_to_write_a_database_of_ours_is_taken(url):
    assert load({}, database_url=url).database_url.get_secret_value() == url


# --- who may send -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alertmanager/main=one", ("one",)),
        ("alertmanager/main=one,two", ("one", "two")),
        ("alertmanager/main=one, grafana/main=three", ("one",)),
        ("alertmanager/main=,one,,", ("one",)),
        ("alertmanager/main=a=b==", ("a=b==",)),
        ("grafana/main=x\nalertmanager/main=one\t\n", ("one",)),
        ("alertmanager/other=one", ()),
        ("alertmanager/main=,", ()),
        ("", ()),
    ],
)
def test_an_endpoint_has_one_secret_or_two_while_one_is_replaced(text, found):
    assert Settings(hook_secrets=text).secrets_of("alertmanager", "main") == found


def test_an_endpoint_that_nobody_set_has_no_secret_and_so_takes_nothing():
    settings = Settings(hook_secrets="alertmanager/main=one")

    assert settings.secrets_of("alertmanager", "") == ()
    assert settings.secrets_of("", "main") == ()
    assert settings.secrets_of("alertmanager/main", "") == ()


def test_a_name_without_a_key_of_its_own_takes_the_default_one():
    settings = Settings(pagerduty_keys="default=d checkout=c")

    assert [settings.pager_key(name) for name in ("checkout", "search", "default")] == ["c", "d", "d"]
    assert Settings(pagerduty_keys="checkout=c").pager_key("search") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CANARY, "part 1 is not NAME=VALUE"),
        (f"a/b=x {CANARY}", "part 2 is not NAME=VALUE"),
        (f"={CANARY}", "part 1 is not NAME=VALUE"),
        ("a/b=x c/d=", "part 2 is not NAME=VALUE"),
        (f"a/b=x c/d=y a/b={CANARY}", "part 3 names what an earlier part names; leave one out"),
    ],
)
def test_pairs_that_are_none_are_named_by_their_place_and_never_by_their_text(text, said):
    with pytest.raises(ValueError, match=said) as refused:
        pairs(text)

    assert CANARY not in str(refused.value)


# --- errors that say what to do ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "99999", "PORT: Input should be less than or equal to 65535; see .env.example"),
        ("DATABASE_URL", CANARY, "DATABASE_URL: expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME; see"),
        ("DATABASE_URL", f"postgres://me:{CANARY}@db/x", "DATABASE_URL: expected sqlite:///FILE or postgresql+psycopg://"),
        ("DATABASE_URL", f"postgresql+psycopg://me:{CANARY}@db:x/y", "DATABASE_URL: expected a number for the port after the host"),
        ("PORT", "http", "PORT: Input should be a valid integer"),
        ("PAGER_POLL_SECONDS", "90", "PAGER_POLL_SECONDS: Input should be less than or equal to 60"),
        ("KEEP_DAYS", "0", "KEEP_DAYS: Input should be greater than or equal to 1"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("SLACK_COMMAND", "incident", "SLACK_COMMAND: String should match pattern"),
        ("HOOK_SECRETS", CANARY, "HOOK_SECRETS: part 1 is not NAME=VALUE; see .env.example"),
        ("HEARTBEAT_URL", f"ftp://{CANARY}", "HEARTBEAT_URL: expected http://… or https://…; see .env.example"),
        ("PAGERDUTY_KEYS", f"default {CANARY}", "PAGERDUTY_KEYS: part 1 is not NAME=VALUE; see .env.example"),
    ],
)
def test_a_setting_that_cannot_be_is_named_with_what_is_wanted_and_where_to_look(monkeypatch, capsys, name, value, said):
    monkeypatch.setenv(name, value)

    assert main(["manifest"]) == 2

    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert told.err.count("\n") == 1
    assert CANARY not in told.err + told.out


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory"), ("", "is empty"), (" \n", "is empty"), (b"\xff\xfe", "is not UTF-8 text")],
)
def test_a_file_of_a_secret_that_gives_none_stops_the_start_and_is_named(monkeypatch, capsys, content, said):
    path = str(Path("gone").resolve()) if content is None else written("secret", content)
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", path)

    assert main(["manifest"]) == 2

    assert capsys.readouterr().err == f"{path}: {said}; a NAME_FILE setting names a file that cannot be read\n"


def test_a_folder_in_the_place_of_a_file_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", str(tmp_path))

    assert main(["manifest"]) == 2
    assert str(tmp_path) in capsys.readouterr().err


# --- what is printed --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_no_form_of_the_settings_shows_a_secret(name):
    settings = load({f"{name.upper()}_FILE": written("secret", value_of(name))})
    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(), f"{getattr(settings, name)}"]

    assert CANARY in held(settings, name)
    assert not [one for one in shown if CANARY in one]


@pytest.mark.parametrize("name", ["hook_secrets", "pagerduty_keys"])
@pytest.mark.parametrize("text", [CANARY, f"a=b {CANARY}", f"a=b a={CANARY}"])
def test_no_error_shows_a_secret_even_in_a_traceback(name, text):
    with pytest.raises(ValidationError) as refused:
        load({f"{name.upper()}_FILE": written("secret", text)})

    assert CANARY not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("renderer", [structlog.processors.JSONRenderer(default=repr), structlog.dev.ConsoleRenderer(colors=False)])
def test_settings_that_end_up_in_the_log_show_no_secret(renderer):
    settings = load({}, **{name: value_of(name) for name in SECRETS})

    line = renderer(logging.getLogger(), "info", {"event": "started", "settings": settings, "keys": settings.pagerduty_keys})

    assert CANARY not in line
    assert "started" in line


def test_every_setting_has_a_word_of_what_it_is_for():
    assert [name for name, one in Settings.model_fields.items() if not one.description] == []


def test_a_secret_can_be_told_from_what_is_none():
    """A new setting whose name sounds like a secret must be one."""
    sounding = {name for name in Settings.model_fields if any(word in name for word in ("secret", "token", "key", "password"))}

    assert sounding <= set(SECRETS)
    assert CANARY not in json.dumps(load({}, **{name: value_of(name) for name in sounding}).model_dump(mode="json"))
