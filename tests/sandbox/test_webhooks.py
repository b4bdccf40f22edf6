"""PagerDuty's webhooks as the stand-in sends them: in order for each incident, tried for two days, switched off for one."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.app import Sandbox
from sandbox.pagerduty.account import Incident
from sandbox.world import World

HOUR = 3600.0


class Ear:
    """The bot's side: answers each event by `answer`, which is asked with the incident's title and the kind of event."""

    def __init__(self) -> None:
        self.answer: Callable[[str, str], int] = lambda title, kind: 202
        self.heard: list[tuple[str, str, int]] = []

    def hears(self, body: bytes) -> int:
        event = json.loads(body)["event"]
        title, kind = str(event["data"].get("title")), event["event_type"].removeprefix("incident.")
        status = self.answer(title, kind)
        self.heard.append((title, kind, status))
        return status

    def taken(self) -> list[tuple[str, str]]:
        """What was answered with a success."""
        return [(title, kind) for title, kind, status in self.heard if status == 202]


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def sandbox(ear) -> Iterator[Sandbox]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = ear.hears(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *given: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Sandbox.around(World(bot=f"http://127.0.0.1:{server.server_address[1]}"))
        server.shutdown()


def opened(sandbox: Sandbox, title: str) -> Incident:
    payload = {"summary": title, "severity": "critical"}
    with sandbox.world.lock:
        sandbox.account.enqueue(sandbox.account.services["web"], {"event_action": "trigger", "dedup_key": title, "payload": payload})
        return sandbox.account.incidents[-1]


def acknowledged(sandbox: Sandbox, incident: Incident) -> None:
    with sandbox.world.lock:
        sandbox.account.acknowledge(incident, "PUANA01")


def until(seen: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_what_is_refused_for_now_holds_up_its_own_incident_only_and_keeps_its_order(sandbox, ear):
    is_away = True
    ear.answer = lambda title, kind: 503 if title == "one" and is_away else 202

    one = opened(sandbox, "one")
    acknowledged(sandbox, one)
    acknowledged(sandbox, opened(sandbox, "two"))
    until(lambda: ("two", "acknowledged") in ear.taken())
    assert {title for title, _ in ear.taken()} == {"two"}
    assert {kind for title, kind, _ in ear.heard if title == "one"} == {"triggered"}

    is_away = False
    sandbox.webhooks.join()
    assert [kind for title, kind in ear.taken() if title == "one"] == ["triggered", "acknowledged"]


def test_who_is_asked_to_come_again_comes_again_with_the_same_id(sandbox, ear):
    statuses = iter([429, 500, 202])
    ear.answer = lambda title, kind: next(statuses)

    opened(sandbox, "one")
    sandbox.webhooks.join()

    assert [one["status"] for one in sandbox.webhooks.sent] == [429, 500, 202]
    assert len({one["id"] for one in sandbox.webhooks.sent}) == 1


def test_what_nobody_takes_for_two_days_is_dropped_and_what_waits_behind_it_comes(sandbox, ear):
    ear.answer = lambda title, kind: 503 if kind == "triggered" else 202
    one = opened(sandbox, "one")
    acknowledged(sandbox, one)
    until(lambda: ear.heard)

    sandbox.world.clock.advance(47 * HOUR)
    tries = len(ear.heard)
    until(lambda: len(ear.heard) > tries + 1)
    assert not ear.taken()
    sandbox.world.clock.advance(1.1 * HOUR)
    sandbox.webhooks.join()

    assert ear.taken() == [("one", "acknowledged")]
    assert not sandbox.webhooks.is_disabled


def test_three_drops_in_a_row_switch_it_off_for_a_day_and_nothing_is_kept_meanwhile(sandbox, ear):
    ear.answer = lambda title, kind: 503 if title == "waits" else 401
    opened(sandbox, "waits")
    until(lambda: ear.heard)
    for number in range(3):
        assert not sandbox.webhooks.is_disabled
        opened(sandbox, f"dropped {number}")
        until(lambda number=number: any(title == f"dropped {number}" for title, _, _ in ear.heard))
        until(lambda number=number: sandbox.webhooks.is_disabled or number < 2)

    ear.answer = lambda title, kind: 202
    opened(sandbox, "meanwhile")
    sandbox.world.clock.advance(23.9 * HOUR)
    assert sandbox.webhooks.is_disabled
    sandbox.world.clock.advance(timedelta(minutes=10).total_seconds())
    assert not sandbox.webhooks.is_disabled
    opened(sandbox, "after")
    sandbox.webhooks.join()

    assert ear.taken() == [("after", "triggered")]


def test_a_success_in_between_makes_drops_count_anew_and_who_switches_it_on_need_not_wait(sandbox, ear):
    def delivered(statuses: list[int]) -> None:
        for status in statuses:
            ear.answer = lambda title, kind, status=status: status
            opened(sandbox, f"number {len(sandbox.account.incidents)}")
            sandbox.webhooks.join()

    delivered([400, 404, 202, 400, 404])
    assert not sandbox.webhooks.is_disabled
    delivered([400])
    assert sandbox.webhooks.is_disabled

    sandbox.webhooks.subscriptions("POST", "/webhook_subscriptions/PXSBX01/enable", {})
    delivered([400, 400, 202])
    assert not sandbox.webhooks.is_disabled
    assert len(ear.taken()) == 2
