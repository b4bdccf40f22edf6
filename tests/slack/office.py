"""A bot that is asked as Slack asks: real signed requests through the real dispatch, beside the sandbox's Slack.

The worker stands still; `settle` lets it do what there is to do. So a test says what was decided, and what was carried out.
"""

import itertools
import json
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import structlog

from bot.incidents.incident import Incident
from bot.slack.app import REPLIES, Response
from bot.slack.client import Budget
from sandbox.__main__ import Demo
from sandbox.cast import APP, BY_NAME, TEAM
from sandbox.slack.outgoing import signed
from sandbox.world import World

ANA, BEN, CHLOE, DMITRI, EVE = (BY_NAME[name].slack_id for name in ("ana", "ben", "chloe", "dmitri", "eve"))
FORM = {"content-type": "application/x-www-form-urlencoded"}
COUNT = itertools.count(1)


class Unlimited(Budget):
    """Budgets for tests that are quicker than people; the true ones have tests of their own."""

    def spend(self, method: str, channel: str) -> None:
        """Nothing is spent."""


class Office:
    """What people do in Slack, and what they see of it."""

    def __init__(self, demo: Demo) -> None:
        assert demo.bot is not None
        self.demo, self.world, self.space, self.bot = demo, demo.world, demo.sandbox.space, demo.bot
        self.store, self.slack_app = demo.bot.store, demo.bot.slack_app
        self.bot.slack.budget = Unlimited()

    # --- requests -----------------------------------------------------------------------------

    def channel(self, name: str) -> str:
        """The id of a channel."""
        found = self.space.named(name)
        assert found is not None, name
        return found.id

    def command(self, text: str, person: str = ANA, channel: str = "general", **changes: str) -> bytes:
        """The body of a slash command."""
        trigger = changes.pop("trigger_id", None) or self.space.new_trigger(person)
        return urlencode({
            "token": "x", "team_id": TEAM, "channel_id": self.channel(channel), "channel_name": channel, "user_id": person,
            "command": "/incident", "text": text, "api_app_id": APP, "trigger_id": trigger,
            "response_url": self.response_url(person, channel), **changes,
        }).encode()  # fmt: skip

    def response_url(self, person: str, channel: str) -> str:
        """An address that is good for five answers to one person."""
        return self.demo.sandbox.outgoing._response_url(self.space.channel(self.channel(channel)), person)

    def sends(self, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
        """A request, signed now."""
        stamped = signed(self.world.signing_secret, body) if headers is None else headers
        return self.slack_app.dispatch(body, {**FORM, **{name.lower(): value for name, value in stamped.items()}})

    def types(self, text: str, person: str = ANA, channel: str = "general", **changes: str) -> str:
        """What somebody reads who types `/incident TEXT`; empty where they get a form."""
        return words(self.sends(self.command(text, person, channel, **changes)))

    def press(self, action: str, value: object, person: str = ANA, channel: str = "general", **changes: Any) -> bytes:
        """The body of a press."""
        payload = {
            "type": "block_actions", "user": {"id": person, "team_id": TEAM}, "team": {"id": TEAM}, "api_app_id": APP,
            "channel": {"id": self.channel(channel)}, "container": {"type": "message"},
            "trigger_id": self.space.new_trigger(person), "response_url": self.response_url(person, channel),
            "actions": [{"type": "button", "action_id": action, "value": str(value), "block_id": "b"}],
        }  # fmt: skip
        return urlencode({"payload": json.dumps(payload | changes)}).encode()

    def presses(self, action: str, value: object, person: str = ANA, channel: str = "general") -> str:
        """What somebody reads who presses a button; empty where they get a form, or nothing."""
        seen = len(self.whispers(person))
        answer = self.sends(self.press(action, value, person, channel))
        assert (answer.status, answer.body) == (200, b""), answer
        self.rests()
        return "\n".join(one["text"] for one in self.whispers(person)[seen:])

    def submission(self, callback: str, who: str = ANA, view: str | None = None, carries: Any = None, **values: Any) -> bytes:
        """The body of a form that is sent off. A value is a text, or Slack's own object."""
        filled = {
            name: {name: value if isinstance(value, dict) else {"type": "plain_text_input", "value": value}}
            for name, value in values.items()
        }
        payload = {
            "type": "view_submission", "team": {"id": TEAM}, "user": {"id": who, "team_id": TEAM}, "api_app_id": APP,
            "trigger_id": self.space.new_trigger(who),
            "view": {"id": view or f"V{next(COUNT)}", "hash": "1.h", "type": "modal", "callback_id": callback,
                     "private_metadata": json.dumps(carries or {}), "state": {"values": filled},
                     "blocks": [{"type": "input", "block_id": name} for name in values]},
        }  # fmt: skip
        return urlencode({"payload": json.dumps(payload)}).encode()

    def submits(self, callback: str, who: str = ANA, view: str | None = None, carries: Any = None, **values: Any) -> Any:
        """What comes back to somebody who sends a form off: None where it closes."""
        answer = self.sends(self.submission(callback, who, view, carries, **values))
        assert answer.status == 200, answer
        self.rests()
        return json.loads(answer.body) if answer.body else None

    def event(self, event: Mapping[str, Any], event_id: str) -> Response:
        """An event."""
        body = json.dumps({"type": "event_callback", "team_id": TEAM, "api_app_id": APP, "event_id": event_id, "event": event})
        stamped = signed(self.world.signing_secret, body.encode())
        return self.slack_app.dispatch(
            body.encode(), {"content-type": "application/json", **{name.lower(): value for name, value in stamped.items()}}
        )

    # --- what is seen -------------------------------------------------------------------------

    def rests(self) -> None:
        """Every reply that was under way has been made."""
        together = threading.Barrier(REPLIES)
        for waiting in [self.slack_app._replies.submit(together.wait, 30) for _ in range(REPLIES)]:
            waiting.result()

    def settle(self) -> None:
        """Everything that was decided is carried out."""
        assert self.bot.worker().settle(400)

    def incident(self, number: int = 1) -> Incident:
        """An incident as it stands."""
        found = self.store.incident(number)
        assert found is not None, number
        return found

    def types_of(self, number: int = 1) -> list[str]:
        """The types of an incident's entries."""
        return [one.type for one in self.store.timeline(f"INC-{number}")]

    def whispers(self, person: str) -> list[dict[str, Any]]:
        """What one person alone sees, anywhere."""
        with self.world.lock:
            return [one for channel in self.space.channels.values() for one in channel.messages if one.get("ephemeral_for") == person]

    def messages(self, name: str) -> list[dict[str, Any]]:
        """What stands in a channel."""
        with self.world.lock:
            found = self.space.named(name)
            return list(found.messages) if found else []

    def view_of(self, person: str = ANA) -> dict[str, Any] | None:
        """The form somebody has open."""
        self.rests()
        with self.world.lock:
            return next((one.content for one in reversed(self.space.views.values()) if one.person == person), None)

    def closes(self) -> None:
        """Every form is closed."""
        with self.world.lock:
            self.space.views.clear()

    def declared(self, text: str = "declare sev2 checkout is slow", person: str = ANA) -> str:
        """An incident with its channel; the channel's name."""
        self.types(text, person)
        self.settle()
        channel = self.store.incidents()[0].channel
        assert channel is not None
        return channel.name


def words(answer: Response) -> str:
    """The text of an answer to a slash command."""
    assert answer.status == 200, answer
    said = json.loads(answer.body) if answer.body else {}
    assert said.get("response_type", "ephemeral") == "ephemeral"
    return str(said.get("text", ""))


@contextmanager
def logging() -> Iterator[list[MutableMapping[str, Any]]]:
    """The lines that the bot logs meanwhile."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        with structlog.testing.capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@contextmanager
def working(database_url: str, **settings: Any) -> Iterator[Office]:
    """An office for as long as the context lasts. Slack's limits are loose: tests are quicker than people."""
    demo = Demo(World(is_strict=False), database_url, **settings)
    demo.start(works=False)
    try:
        yield Office(demo)
    finally:
        demo.stop()
