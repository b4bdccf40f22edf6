"""What Slack sends to an app: commands, presses, forms and events; signed as Slack signs, with Slack's patience.

https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from sandbox.calls import Answer, post
from sandbox.cast import APP, BOT_USER, BY_ID, TEAM
from sandbox.slack.workspace import Channel, Json, View, Workspace

PATIENCE_SECONDS = 3.0
RETRIES_SECONDS = (0.0, 60.0, 300.0)
KEPT = 50_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What went to the app, and what came of it. `began` and `ended` are of the sandbox's clock.

    `kind` is command, block_actions, view_submission, or the type of an event; `key` is what Slack names it by: a trigger, a
    form, an event's id. `text` is what was typed or said, or the name of a reaction. `status` is 0 where no answer came in time.
    """

    kind: str
    key: str
    text: str
    began: datetime
    ended: datetime
    status: int
    said: str


class Outgoing:
    """Carries what people do to the bot, and what it answers back to them."""

    def __init__(self, workspace: Workspace) -> None:
        self._space, self._world = workspace, workspace.world
        self.sent: deque[Sent] = deque(maxlen=KEPT)
        """The newest of what went out, in the order of its answers."""
        self._event = 0

    # --- commands -----------------------------------------------------------------------------

    def slash(self, person: str, channel: Channel, command: str, text: str) -> Json:
        """A slash command; what the person sees of the answer."""
        trigger = self._trigger(person)
        fields = {
            "token": "sandbox", "team_id": TEAM, "team_domain": "sandbox", "channel_id": channel.id,
            "channel_name": channel.name, "user_id": person, "user_name": BY_ID[person].name, "command": command,
            "text": text, "api_app_id": APP, "is_enterprise_install": "false",
            "response_url": self._response_url(channel, person), "trigger_id": trigger,
        }  # fmt: skip
        before = self._views_of(person)
        answer = self._send_form(fields, "command", trigger, f"{command} {text}")
        if answer.status != 200:
            why = "operation_timeout" if answer.status == 0 else "dispatch_failed"
            said = f'{command} failed with the error "{why}"'
            with self._world.lock:
                self._space.whisper(channel, person, text=said, is_error=True)
            return {"error": said, "status": answer.status}
        with self._world.lock:
            shown = self._show(channel, person, answer)
        return {**shown, "view": self._new_view(person, before)}

    def _show(self, channel: Channel, person: str, answer: Answer) -> Json:
        """The body of an acknowledgement becomes a message: to the person alone unless it says otherwise."""
        content = _content(answer)
        if content is None:
            return {}
        kind = content.pop("response_type", "ephemeral")
        kept = {key: content[key] for key in ("text", "blocks") if content.get(key)}
        if not kept:
            return {}
        kept.setdefault("text", "")
        if kind == "in_channel":
            return {"message": self._space.add_by_bot(channel, **kept)}
        return {"ephemeral": self._space.whisper(channel, person, **kept)}

    # --- presses ------------------------------------------------------------------------------

    def press(self, person: str, channel: Channel, message: Json, action: Json) -> Json:
        """A button or select on a message; what the person sees of the answer."""
        before, seen = self._views_of(person), len(channel.messages)
        is_ephemeral = bool(message.get("ephemeral_for"))
        payload: Json = {
            "type": "block_actions", "user": self._user(person), "api_app_id": APP, "token": "sandbox",
            "team": {"id": TEAM, "domain": "sandbox"}, "enterprise": None, "is_enterprise_install": False,
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel.id,
                          "is_ephemeral": is_ephemeral},
            "channel": {"id": channel.id, "name": channel.name}, "message": _public(message),
            "state": {"values": {}}, "response_url": self._response_url(channel, person, message["ts"]),
            "trigger_id": self._trigger(person), "actions": [{**action, "action_ts": self._ts()}],
        }  # fmt: skip
        answer = self._send_payload(payload, payload["trigger_id"])
        if answer.status != 200:
            with self._world.lock:
                self._space.whisper(channel, person, text="Something went wrong. Try again.", is_error=True)
        time.sleep(0.05)
        with self._world.lock:
            new = [one for one in channel.messages[seen:] if one.get("ephemeral_for") == person]
        found: Json = {"status": answer.status, "view": self._new_view(person, before)}
        return {**found, **({"ephemeral": new[-1]} if new else {})}

    def press_in_view(self, view: View, action: Json) -> Json:
        """A button or select inside a form."""
        payload: Json = {
            "type": "block_actions", "user": self._user(view.person), "api_app_id": APP, "token": "sandbox",
            "team": {"id": TEAM, "domain": "sandbox"}, "enterprise": None, "is_enterprise_install": False,
            "container": {"type": "view", "view_id": view.id}, "view": self._space.view_json(view),
            "trigger_id": self._trigger(view.person), "actions": [{**action, "action_ts": self._ts()}],
        }  # fmt: skip
        return {"status": self._send_payload(payload, payload["trigger_id"]).status}

    # --- forms --------------------------------------------------------------------------------

    def submit(self, view: View, values: Json) -> Json:
        """A form that is sent off; closes it, or shows what is wrong beside its fields."""
        content = {**self._space.view_json(view), "state": {"values": values}}
        payload: Json = {
            "type": "view_submission", "team": {"id": TEAM, "domain": "sandbox"}, "user": self._user(view.person),
            "api_app_id": APP, "token": "sandbox", "trigger_id": self._trigger(view.person), "view": content,
            "response_urls": [], "is_enterprise_install": False, "enterprise": None,
        }  # fmt: skip
        answer = self._send_payload(payload, view.id)
        if answer.status != 200:
            return {"error": "We had some trouble connecting. Try again?", "status": answer.status}
        said = _content(answer) or {}
        with self._world.lock:
            return self._after_submit(view, said)

    def _after_submit(self, view: View, said: Json) -> Json:
        kind = said.get("response_action")
        if kind == "errors":
            view.errors = {str(key): str(value) for key, value in said.get("errors", {}).items()}
            self._world.changed("views")
            return {"errors": view.errors}
        self._space.views.pop(view.id, None)
        self._world.changed("views")
        if kind in ("update", "push") and isinstance(said.get("view"), dict):
            return {"view": self._space.view_json(self._space.open(view.person, said["view"]))}
        return {"closed": True}

    # --- events -------------------------------------------------------------------------------

    def event(self, event: Json) -> None:
        """An event, in the background: sent again after a while where the bot does not answer in time."""
        self._event += 1
        id_ = f"Ev0SBX{self._event:05d}"
        body = json.dumps({
            "token": "sandbox", "team_id": TEAM, "api_app_id": APP, "event": event, "type": "event_callback",
            "event_id": id_, "event_time": self._space.seconds(),
            "authorizations": [{"team_id": TEAM, "user_id": BOT_USER, "is_bot": True}],
        }).encode()  # fmt: skip
        named = str(event["type"]), id_, str(event.get("reaction") or event.get("text") or "")
        threading.Thread(target=self._deliver, args=(body, named), daemon=True).start()

    def _deliver(self, body: bytes, named: tuple[str, str, str]) -> None:
        extra: dict[str, str] = {}
        for number, wait in enumerate((0.0, *RETRIES_SECONDS)):
            time.sleep(wait)
            if number:
                extra = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_timeout"}
            if 200 <= self._send(body, "application/json", extra, *named).status < 300:
                return

    # --- sending ------------------------------------------------------------------------------

    def _send_payload(self, payload: Json, key: str) -> Answer:
        return self._send_form({"payload": json.dumps(payload)}, str(payload["type"]), key, "")

    def _send_form(self, fields: Mapping[str, str], kind: str, key: str, text: str) -> Answer:
        return self._send(urlencode(fields).encode(), "application/x-www-form-urlencoded", {}, kind, key, text)

    def _send(self, body: bytes, content_type: str, extra: Mapping[str, str], kind: str, key: str, text: str) -> Answer:
        headers = {"Content-Type": content_type, **signed(self._world.signing_secret, body), **extra}
        began = self._world.clock()
        answer = post(f"{self._world.bot}/slack/events", body, headers, PATIENCE_SECONDS)
        said = answer.body.decode("utf-8", errors="replace")
        self.sent.append(Sent(kind, key, text, began, self._world.clock(), answer.status, said))
        return answer

    def _trigger(self, person: str) -> str:
        with self._world.lock:
            return self._space.new_trigger(person)

    def _ts(self) -> str:
        with self._world.lock:
            return self._space.next_ts()

    def _views_of(self, person: str) -> set[str]:
        with self._world.lock:
            return {one.id for one in self._space.views.values() if one.person == person}

    def _new_view(self, person: str, before: set[str]) -> Json | None:
        with self._world.lock:
            new = [one for one in self._space.views.values() if one.person == person and one.id not in before]
            return self._space.view_json(new[-1]) if new else None

    def _user(self, person: str) -> Json:
        name = BY_ID[person].name
        return {"id": person, "username": name, "name": name, "team_id": TEAM}

    def _response_url(self, channel: Channel, person: str, ts: str = "") -> str:
        with self._world.lock:
            id_ = self._space.next_id("R")
            self._space.responses[id_] = {
                "channel": channel.id, "person": person, "ts": ts, "left": 5, "until": time.monotonic() + 1800
            }  # fmt: skip
        return f"{self._world.origin}/slack/response/{id_}"

    def respond(self, id_: str, said: Json) -> bool:
        """What the bot posts to a response_url. False where it may not any more."""
        with self._world.lock:
            known = self._space.responses.get(id_)
            if known is None or known["left"] < 1 or time.monotonic() > known["until"]:
                return False
            known["left"] -= 1
            channel = self._space.channel(known["channel"])
            original = next((one for one in channel.messages if one["ts"] == known["ts"]), None)
            kept = {key: said[key] for key in ("text", "blocks") if said.get(key)}
            if said.get("delete_original") and original is not None:
                channel.messages.remove(original)
            elif said.get("replace_original") and original is not None:
                original.update(kept)
            elif said.get("response_type") == "in_channel":
                self._space.add_by_bot(channel, **{"text": "", **kept})
            else:
                self._space.whisper(channel, known["person"], **{"text": "", **kept})
            self._world.changed("channels")
        return True


def signed(secret: str, body: bytes, at: int | None = None) -> dict[str, str]:
    """Slack's two headers. The time is the machine's own: that is what an app checks it against."""
    stamp = str(int(time.time()) if at is None else at)
    mac = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}


def _content(answer: Answer) -> Json | None:
    text = answer.body.decode("utf-8", errors="replace").strip()
    if not text:
        return None
    try:
        said: Any = json.loads(text)
    except ValueError:
        return {"text": text}
    return said if isinstance(said, dict) else {"text": text}


def _public(message: Json) -> Json:
    return {key: value for key, value in message.items() if key != "ephemeral_for"}
