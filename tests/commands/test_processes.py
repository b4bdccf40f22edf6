"""The bot as it runs in production: real processes, a sandbox for neighbours, signals; nothing accepted is lost."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from bot.store import Store
from sandbox.__main__ import SECRET, settings_for
from sandbox.app import Sandbox
from sandbox.serving import running
from sandbox.world import World
from tests.commands.terminal import TOP, Terminal, ended
from tests.ports import free_port

PATIENCE = 30.0
embedded = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
served = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(World(is_strict=False, slow_seconds=3)) as made:
        yield made


@pytest.fixture
def bot(tmp_path: Path, sandbox: Sandbox, database_url: str) -> Terminal:
    """A terminal with everything set for the sandbox; the database is there and migrated."""
    settings = settings_for(sandbox, sandbox.world.origin, database_url) | {
        "host": "127.0.0.1",
        "port": free_port(),
        "log_format": "json",
    }
    sandbox.world.bot = f"http://127.0.0.1:{settings['port']}"
    return Terminal(tmp_path, {name.upper(): str(value) for name, value in settings.items()})


def address(bot: Terminal) -> str:
    return f"http://127.0.0.1:{bot.given['PORT']}"


def answer_of(url: str, body: bytes | None = None) -> tuple[int, Any]:
    """What somebody answers there; (0, …) where nobody does."""
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(url, data=body, headers=headers), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, error.read()
    except (URLError, OSError) as error:
        return 0, error


def eventually(seen: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never seen: {what}")


def is_ready(bot: Terminal) -> None:
    eventually(lambda: answer_of(f"{address(bot)}/health/ready")[0] == 200, "the bot is ready")


def alert(title: str) -> bytes:
    return json.dumps(
        {"title": title, "status": "firing", "severity": "critical", "service": "checkout", "dedup_key": title}
    ).encode()


def fires(bot: Terminal, title: str = "Checkout is down") -> None:
    status, said = answer_of(f"{address(bot)}/hooks/generic/main", alert(title))
    assert status == 202, said


def pages(sandbox: Sandbox) -> list[str]:
    with sandbox.world.lock:
        return [one.title for one in sandbox.account.incidents]


# --- from alert to page -----------------------------------------------------------------------


def test_serve_takes_an_alert_and_pages(bot, sandbox):
    with bot.running("serve") as process:
        is_ready(bot)
        fires(bot)
        eventually(lambda: pages(sandbox), "a page")
        eventually(lambda: [one for one in sandbox.space.channels.values() if one.name.startswith("inc-")], "its channel")
        assert ended(process, signal.SIGTERM, 10) == 0
    assert len(pages(sandbox)) == 1


@served
def test_web_and_workers_apart_share_the_work_and_do_it_once(bot, sandbox, database_url):
    with ExitStack() as stack:
        web = stack.enter_context(bot.running("web"))
        workers = [stack.enter_context(Terminal(made, bot.given).running("worker")) for made in folders(bot.folder, "one", "two")]
        is_ready(bot)
        titles = [f"Checkout is down {number}" for number in range(8)]
        for title in titles:
            fires(bot, title)
        eventually(lambda: pages(sandbox), "a page")
        eventually(lambda: answer_of(f"{address(bot)}/health/ready")[1]["outbox_waiting"] == 0, "rest")
        assert [ended(one, signal.SIGTERM, 10) for one in (web, *workers)] == [0, 0, 0]
    store = Store.at(database_url)
    incidents = store.incidents()
    store.close()
    assert len(pages(sandbox)) == len(incidents) == 1
    assert {one.title for one in incidents[0].alerts} == set(titles)


def folders(top: Path, *names: str) -> list[Path]:
    for name in names:
        (top / name).mkdir()
    return [top / name for name in names]


def test_what_the_web_takes_waits_for_a_worker(bot, sandbox):
    with bot.running("web") as web:
        is_ready(bot)
        fires(bot)
        time.sleep(0.5)
        assert pages(sandbox) == []
        assert ended(web, signal.SIGTERM, 10) == 0
    with bot.running("worker") as worker:
        eventually(lambda: pages(sandbox), "a page")
        assert ended(worker, signal.SIGTERM, 10) == 0


# --- signals ----------------------------------------------------------------------------------


@embedded
@pytest.mark.parametrize("command", ["serve", "web", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_each_of_them_cleanly_and_within_seconds(bot, command, number):
    with bot.running(command) as process:
        if command == "worker":
            eventually(lambda: '"event": "running"' in bot.log(command), "the worker runs")
        else:
            is_ready(bot)
        assert ended(process, number, 5) == 0
    assert "Traceback" not in bot.log(command)
    assert "stopping" in bot.log(command)


@embedded
@pytest.mark.parametrize(("neighbour", "state"), [("slack", "slow"), ("pagerduty", "slow"), ("pagerduty", "down")])
def test_it_ends_soon_while_a_neighbour_is_slow_or_down_and_goes_on_after_it(bot, sandbox, neighbour, state):
    sandbox.world.break_(neighbour, state)
    with bot.running("serve") as process:
        is_ready(bot)
        fires(bot)
        eventually(lambda: sandbox.world.asked[neighbour] > 3 or pages(sandbox), "work is under way")
        assert ended(process, signal.SIGTERM, 15) == 0
    assert "Traceback" not in bot.log("serve")
    sandbox.world.break_(neighbour, "up")
    with bot.running("serve") as process:
        is_ready(bot)
        eventually(lambda: pages(sandbox), "the page")
        eventually(lambda: [one for one in sandbox.space.channels.values() if one.name.startswith("inc-")], "its channel")
        assert ended(process, signal.SIGTERM, 10) == 0
    assert len(pages(sandbox)) == 1


@embedded
def test_what_was_accepted_before_a_kill_is_paged_after_it_once(bot, sandbox):
    sandbox.world.break_("pagerduty", "down")
    with bot.running("serve") as process:
        is_ready(bot)
        fires(bot)
        eventually(lambda: sandbox.world.asked["pagerduty"], "it was tried")
        time.sleep(0.5)
        process.kill()
    sandbox.world.break_("pagerduty", "up")
    with bot.running("serve"):
        eventually(lambda: pages(sandbox), "the page")
        time.sleep(1)
        assert len(pages(sandbox)) == 1


# --- the Procfile, the container, the first start ---------------------------------------------


@served
def test_the_lines_of_the_procfile_run(bot, sandbox):
    lines = dict(line.split(": ", 1) for line in (TOP / "Procfile").read_text().splitlines())
    assert set(lines) == {"release", "web", "worker"}
    assert all(line.startswith("python -m bot ") for line in lines.values())

    assert bot(*lines["release"].split()[3:]).out == "The schema is up to date.\n"
    with bot.running(*lines["web"].split()[3:]), bot.running(*lines["worker"].split()[3:]):
        is_ready(bot)
        fires(bot)
        eventually(lambda: pages(sandbox), "a page")


@embedded
def test_serve_with_migrate_starts_on_nothing(bot, sandbox):
    with bot.running("serve", "--migrate", database_url=f"sqlite:///{bot.folder / 'new.db'}"):
        is_ready(bot)
        fires(bot)
        eventually(lambda: pages(sandbox), "a page")


@embedded
def test_what_the_container_asks_for_its_health_is_answered(bot):
    text = (TOP / "deploy" / "Dockerfile").read_text()
    check = json.loads(text.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0])
    line = check[2].replace(":8080", f":{bot.given['PORT']}")
    command = [bot.command()[0], check[1], line]

    assert subprocess.run(command, env={"PATH": os.defpath}, stderr=subprocess.DEVNULL, check=False).returncode != 0
    with bot.running("web"):
        is_ready(bot)
        assert subprocess.run(command, env={"PATH": os.defpath}, check=False).returncode == 0


# --- files that change while it runs ----------------------------------------------------------


@embedded
def test_a_running_bot_keeps_its_last_good_policy_and_says_what_is_wrong_with_the_new_one(bot, sandbox):
    policy = bot.file((TOP / "policy.yaml").read_bytes(), "policy.yaml")
    with bot.running("serve", policy_file=policy):
        is_ready(bot)
        policy.write_text("team:\n  colour: red\n")
        warned = eventually(
            lambda: [one for one in answer_of(f"{address(bot)}/health/ready")[1].get("warnings", []) if "policy.yaml" in one],
            "a warning",
            40,
        )
        assert f"{policy}:2: " in warned[0]
        assert "the last good one is still used" in warned[0]
        fires(bot)
        eventually(lambda: pages(sandbox), "a page by the last good policy")
