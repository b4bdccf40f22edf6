"""`make demo` as a process: where it listens, what it leaves for scripts, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bot.alerts.registry import sources
from bot.clock import wall_clock
from tests.documents import TOP
from tests.ports import free_port, listening

PATIENCE = 20.0


@contextmanager
def demo(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A demo in its own process, in a folder; ended with Ctrl-C if the test has not done so."""
    environment = {**os.environ, "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
    environment.pop("DATABASE_URL", None)
    with (folder / f"said-{time.monotonic_ns()}").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", str(port)], cwd=folder, env=environment, text=True,
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            process.words = lambda: Path(said.name).read_text()  # type: ignore[attr-defined]
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE)


def up(process: Any, ready: Path) -> dict[str, Any]:
    """What it wrote for scripts, once it is up."""
    end = time.monotonic() + PATIENCE
    while not (ready.exists() and "Ctrl-C ends it" in process.words()):
        assert process.poll() is None, process.words()
        assert time.monotonic() < end, process.words()
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(ready.read_text())
    return found


@contextmanager
def somebody_listens() -> Iterator[int]:
    """A port that is taken, with some after it free."""
    with listening(and_after=8) as one:
        yield one.getsockname()[1]


def listens(address: str) -> bool:
    port = int(address.rsplit(":", 1)[1])
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_in_use_is_said_in_one_line_and_the_next_free_one_taken(tmp_path: Path) -> None:
    with somebody_listens() as taken, demo(tmp_path, taken) as process:
        ready = up(process, tmp_path / ".demo" / "ready.json")
        lines = [line for line in process.words().splitlines() if "in use" in line]  # type: ignore[attr-defined]

        assert lines == [f"Port {taken} is in use; taking {ready['page'].rsplit(':', 1)[1]}."]
        assert httpx.get(ready["page"]).status_code == 200
        assert ready["page"] in process.words()  # type: ignore[attr-defined]


def test_two_demos_in_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    wanted = free_port(and_after=8)
    with demo(tmp_path, wanted) as one:
        first = up(one, tmp_path / ".demo" / "ready.json")
        with demo(tmp_path, wanted) as other:
            page = int(first["page"].rsplit(":", 1)[1])
            end = time.monotonic() + PATIENCE
            while not (found := list(tmp_path.glob(".demo/*/ready.json"))):
                assert time.monotonic() < end, other.words()  # type: ignore[attr-defined]
                time.sleep(0.05)
            second = up(other, found[0])

            assert f"Port {page} is in use" in other.words()  # type: ignore[attr-defined]
            assert len({first[name] for name in ("page", "bot")} | {second[name] for name in ("page", "bot")}) == 4
            assert first["database_url"] != second["database_url"]
        assert json.loads((tmp_path / ".demo" / "ready.json").read_text()) == first
        fired = httpx.post(f"{first['page']}/_person/alert", json={"source": "alertmanager"}, timeout=10).json()
        assert fired["sees"]["status"] == 202


def test_what_scripts_need_is_written_when_up_and_works(tmp_path: Path) -> None:
    with somebody_listens() as taken, demo(tmp_path, taken) as process:
        ready = up(process, tmp_path / ".demo" / "ready.json")

        assert set(ready) == {
            "page", "slack_api", "slack_token", "pagerduty_api", "pagerduty_events", "pagerduty_token", "bot", "hooks",
            "database_url",
        }  # fmt: skip
        slack = httpx.post(f"{ready['slack_api']}auth.test", headers={"Authorization": f"Bearer {ready['slack_token']}"})
        assert slack.json()["ok"]
        pager = {"Authorization": f"Token token={ready['pagerduty_token']}"}
        assert httpx.get(f"{ready['pagerduty_api']}/incidents", headers=pager).status_code == 200
        assert httpx.get(f"{ready['bot']}/health/ready").status_code == 200
        for name, hook in ready["hooks"].items():
            body = sources()[name].examples[0].body_at(wall_clock())
            assert httpx.post(hook["url"], headers=hook["headers"], content=body).status_code == 202, name


def test_ctrl_c_ends_everything_although_somebody_looks_at_the_page(tmp_path: Path) -> None:
    with somebody_listens() as taken, demo(tmp_path, taken) as process:
        ready = up(process, tmp_path / ".demo" / "ready.json")
        with httpx.stream("GET", f"{ready['page']}/_person/events") as stream:
            assert next(stream.iter_lines()) == "event: hello"
            httpx.post(f"{ready['page']}/_person/fault", json={"neighbour": "slack", "state": "down", "seconds": 60})
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=PATIENCE) == 0, process.words()  # type: ignore[attr-defined]

        assert time.monotonic() - began < 10
        assert "Traceback" not in process.words()  # type: ignore[attr-defined]
        assert not (tmp_path / ".demo" / "ready.json").exists()
        assert not any(listens(ready[name]) for name in ("page", "bot"))
