"""Socket Mode: the same requests over a websocket, acknowledged after they are saved, and a connection that comes back."""

import os
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr

from bot.clock import wall_clock
from bot.slack.app import SlackApp
from bot.slack.client import Slack
from bot.slack.socket import SocketMode
from tests.pagerduty.standin import Behaviour, StandIn, answer, standing_in
from tests.slack.office import ANA, Office
from tests.slack.websocket import Line, Server, listening, until

TOKEN = "xapp-canary-33"


class Post:
    """A bot in Socket Mode, and both of Slack's ends."""

    def __init__(self, office: Office, server: Server, api: StandIn) -> None:
        self.office, self.server, self.api = office, server, api
        slack = Slack(token=SecretStr("xoxb-canary"), api_url=api.url, timeout_seconds=2)
        self.app = SlackApp(desk=office.bot.desk, slack=slack, signing_secret="", command="/incident", wall_clock=wall_clock)
        self.mode = SocketMode(self.app, TOKEN, ping_seconds=0.5)

    def line(self, number: int = 0) -> Line:
        found: Line = until(lambda: len(self.server.lines) > number and self.server.lines[number])
        return found

    def command(self, text: str, trigger: str) -> dict[str, Any]:
        return {"type": "/incident", "command": "/incident", "text": text, "user_id": ANA, "channel_id": "C1", "team_id": "T1",
                "trigger_id": trigger, "response_url": f"{self.api.url}/response"}  # fmt: skip


def envelope(id_: str, payload: dict[str, Any], kind: str = "slash_commands") -> dict[str, Any]:
    return {"envelope_id": id_, "type": kind, "accepts_response_payload": True, "payload": payload}


@pytest.fixture
def post(office: Office) -> Iterator[Post]:
    with listening() as server, standing_in(answer(200, {"ok": True, "url": server.url})) as api:
        made = Post(office, server, api)
        made.mode.start()
        until(lambda: made.server.lines and not made.mode.trouble())
        yield made
        made.mode.stop()
        made.app.close()


def test_a_command_is_saved_before_its_envelope_is_acknowledged_with_the_answer(post):
    line = post.line()
    line.sends(envelope("e1", post.command("declare sev2 checkout is slow", "t1")))
    [taken] = until(lambda: line.acknowledged("e1"))

    assert "INC-1 opened as SEV2" in taken["payload"]["text"]
    assert post.office.incident().title == "checkout is slow"


def test_the_connection_is_asked_for_with_the_app_token(post):
    opened = next(one for one in post.api.asked if "apps.connections.open" in one.line)

    assert opened.header("authorization") == f"Bearer {TOKEN}"


def test_an_envelope_that_comes_again_is_acknowledged_and_done_once(post):
    line = post.line()
    for id_ in ("e1", "e1", "e2"):
        line.sends(envelope(id_, post.command("declare checkout is slow", "t1")))
    until(lambda: len(line.acknowledged("e1")) == 2 and line.acknowledged("e2"))

    assert len(post.office.store.incidents()) == 1


def test_presses_and_forms_come_the_same_way(post):
    post.office.types("declare sev2 checkout is slow")
    line = post.line()
    press = {"type": "block_actions", "user": {"id": ANA}, "channel": {"id": "C1"}, "trigger_id": "t2", "team": {"id": "T1"},
             "actions": [{"type": "button", "action_id": "acknowledge", "value": "1", "block_id": "b"}]}  # fmt: skip
    form = {"type": "view_submission", "user": {"id": ANA}, "team": {"id": "T1"}, "trigger_id": "t3",
            "view": {"id": "V1", "type": "modal", "callback_id": "note_form", "private_metadata": '{"incident":1}', "blocks": [],
                     "state": {"values": {"text": {"text": {"value": "canary"}}}}}}  # fmt: skip
    line.sends(envelope("e1", press, "interactive"))
    line.sends(envelope("e2", form, "interactive"))
    until(lambda: line.acknowledged("e1") and line.acknowledged("e2"))

    assert {"ack", "note"} <= set(post.office.types_of())


def test_what_could_not_be_saved_says_so_in_the_acknowledgement(post, tmp_path):
    post.office.store.engine.dispose()
    os.rename(tmp_path / "test.db", tmp_path / "away.db")
    (tmp_path / "test.db").mkdir()
    line = post.line()
    line.sends(envelope("e1", post.command("declare checkout is slow", "t1")))
    [taken] = until(lambda: line.acknowledged("e1"))

    assert "Not saved" in taken["payload"]["text"]


def test_a_warning_to_disconnect_and_a_cut_line_are_followed_by_a_new_one(post):
    post.line(0).sends({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "x"}})
    second = post.line(1)
    second.sends(envelope("e1", post.command("declare one", "t1")))
    until(lambda: second.acknowledged("e1"))
    second.cuts()
    third = until(lambda: len(post.server.lines) > 2 and post.server.lines[-1].is_open and post.server.lines[-1], 30)
    third.sends(envelope("e2", post.command("declare two", "t2")))
    until(lambda: third.acknowledged("e2"))

    assert [one.title for one in post.office.store.incidents()] == ["two", "one"]


REFUSALS = [
    answer(200, {"ok": False, "error": "invalid_auth"}), answer(503, b"away"), answer(200, {"ok": True}), answer(200, b"<html>"),
    answer(200, {"ok": True, "url": "http://127.0.0.1:9/"}), answer(200, {"ok": True, "url": 7}),
]  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS, ids=range(len(REFUSALS)))
def test_where_there_is_no_connection_it_says_so_and_goes_on_trying(office, refusal):
    is_seen = Event()

    def after_that(behave: Behaviour) -> Behaviour:
        return lambda caller: behave(caller) if is_seen.wait(10) else None

    # The second answer waits until the trouble was looked at: slack_sdk may try again at once.
    with listening() as server, standing_in(refusal, after_that(refusal), answer(200, {"ok": True, "url": server.url})) as api:
        post = Post(office, server, api)
        post.mode.start()
        trouble = until(lambda: post.mode.trouble() if api.asked else "")
        is_seen.set()
        assert "nothing that people type or press arrives" in trouble
        until(lambda: post.server.lines and not post.mode.trouble(), 20)
        post.mode.stop()
        post.app.close()

    assert TOKEN not in trouble
