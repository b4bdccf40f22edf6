"""What a person does in the sandbox: types, presses, fills in, picks up the phone, breaks things, moves the clock.

Each answers with what that person then sees. The page uses these, and so do the tests.
"""

import math
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sandbox.cast import BOT_USER, BY_ID, BY_NAME, BY_PAGER, CAST, LEVELS, Person
from sandbox.pagerduty.account import Account, Incident, iso
from sandbox.pagerduty.webhooks import Webhooks
from sandbox.slack.api import react
from sandbox.slack.outgoing import Outgoing
from sandbox.slack.workspace import Channel, Json, SlackError, View, Workspace

MOST_MESSAGES = 200
# A move of the clock stops at this many moments at which something falls due; after that it goes in strides.
MOST_STOPS = 60
SETTLE_SECONDS = 6.0


class CannotBe(Exception):
    """What was asked cannot be done; the text says why, to whoever asked."""


class People:
    """One method for each thing a person can do; each takes what was posted."""

    def __init__(self, space: Workspace, outgoing: Outgoing, account: Account, webhooks: Webhooks) -> None:
        self._space, self._outgoing, self._account, self._webhooks = space, outgoing, account, webhooks
        self._world = space.world

    # --- in Slack -----------------------------------------------------------------------------

    def slash(self, given: Json) -> Json:
        """Type a slash command."""
        person, channel = self._person(given), self._channel(given)
        self._check_member(person, channel)
        command, _, rest = str(given.get("text", "")).strip().partition(" ")
        if not command.startswith("/"):
            raise CannotBe("a slash command starts with /")
        if command != "/incident":
            raise CannotBe(f"{command} is not a valid command here; the sandbox knows /incident")
        return self._outgoing.slash(person.slack_id, channel, command, self._with_ids(rest.strip()))

    def _with_ids(self, text: str) -> str:
        """Slack turns @names and #channels into ids for apps that ask for it."""
        words = text.split(" ")
        for index, word in enumerate(words):
            known = BY_NAME.get(word[1:].lower()) if word.startswith("@") else None
            if known is not None:
                words[index] = f"<@{known.slack_id}|{known.name}>"
        return " ".join(words)

    def message(self, given: Json) -> Json:
        """Say something in a channel, or in a thread."""
        person, channel = self._person(given), self._channel(given)
        self._check_member(person, channel)
        text = str(given.get("text", "")).strip()
        if not text:
            raise CannotBe("a message needs text")
        for name, one in BY_NAME.items():
            text = text.replace(f"@{name}", f"<@{one.slack_id}>")
        text = text.replace("@firstfive", f"<@{BOT_USER}>")
        with self._world.lock:
            root = self._message(channel, given["thread_ts"]) if given.get("thread_ts") else None
            more = {"thread_ts": root["ts"]} if root else {}
            posted = self._space.add(channel, user=person.slack_id, text=text, **more)
            if root:
                root["reply_count"] = root.get("reply_count", 0) + 1
        self._tell_of_message(person, channel, posted)
        return {"message": posted}

    def _tell_of_message(self, person: Person, channel: Channel, posted: Json) -> None:
        if BOT_USER not in channel.members:
            return
        kind = "app_mention" if f"<@{BOT_USER}>" in posted["text"] else "message"
        self._outgoing.event(
            {
                "type": kind,
                "channel": channel.id,
                "user": person.slack_id,
                "text": posted["text"],
                "ts": posted["ts"],
                "event_ts": posted["ts"],
                "channel_type": "channel",
                **({"thread_ts": posted["thread_ts"]} if "thread_ts" in posted else {}),
            }  # fmt: skip
        )

    def press(self, given: Json) -> Json:
        """Press a button, or choose in a select, on a message or in a form."""
        person = self._person(given)
        if given.get("view_id"):
            view = self._view(given, person)
            return self._outgoing.press_in_view(view, self._action(view.content.get("blocks", []), given))
        channel = self._channel(given)
        with self._world.lock:
            message = self._message(channel, given.get("ts"))
            if message.get("ephemeral_for") not in (None, person.slack_id):
                raise CannotBe("only the person it was shown to can press that")
            action = self._action(message.get("blocks", []), given)
        return self._outgoing.press(person.slack_id, channel, message, action)

    def _action(self, blocks: list[Json], given: Json) -> Json:
        wanted, value = given.get("action_id"), given.get("value")
        for block in blocks:
            elements = [*block.get("elements", []), block.get("accessory"), block.get("element")]
            for one in elements:
                if not isinstance(one, dict) or one.get("action_id") != wanted:
                    continue
                if one.get("type") in ("button", "overflow") and value not in (None, one.get("value")):
                    if one["type"] == "button":
                        continue
                return {"block_id": block.get("block_id", "b"), **_pressed(one, value)}
        raise CannotBe(f"there is no button or select called {wanted} there")

    def submit(self, given: Json) -> Json:
        """Send a form off. `values` may name fields by block_id, action_id or label."""
        view = self._view(given, self._person(given))
        values = given.get("values") or {}
        if not isinstance(values, dict):
            raise CannotBe("values is an object: what was typed, by block_id, action_id or label")
        return self._outgoing.submit(view, state_of(view.content, values))

    def close(self, given: Json) -> Json:
        """Close a form without sending it."""
        view = self._view(given, self._person(given))
        with self._world.lock:
            self._space.views.pop(view.id, None)
        self._world.changed("views")
        return {"closed": True}

    def react(self, given: Json) -> Json:
        """Put a reaction on a message."""
        person, channel = self._person(given), self._channel(given)
        name = str(given.get("name", "")).strip(":")
        if not name:
            raise CannotBe("a reaction needs the name of an emoji")
        with self._world.lock:
            message = self._message(channel, given.get("ts"))
            react(message, name, person.slack_id)
        self._world.changed("channels")
        if BOT_USER in channel.members:
            self._outgoing.event(
                {
                    "type": "reaction_added",
                    "user": person.slack_id,
                    "reaction": name,
                    "item": {"type": "message", "channel": channel.id, "ts": message["ts"]},
                    "item_user": message.get("user"),
                    "event_ts": message["ts"],
                }  # fmt: skip
            )
        return {"message": message}

    def join(self, given: Json) -> Json:
        """Join a public channel."""
        person, channel = self._person(given), self._channel(given)
        if person.is_guest or channel.is_private:
            raise CannotBe("a guest, or a private channel: somebody has to invite")
        if person.slack_id not in channel.members:
            channel.members.append(person.slack_id)
            self._world.changed("channels")
        return {"channel": channel.name}

    # --- on the phone -------------------------------------------------------------------------

    def phone(self, given: Json) -> Json:
        """Acknowledge, resolve or escalate on the phone."""
        person = self._person(given)
        if not person.pager:
            raise CannotBe(f"{person.real_name} carries no pager")
        with self._world.lock:
            incident = self._account.find(str(given.get("incident", "")))
            if incident is None:
                raise CannotBe("PagerDuty has no such incident")
            action = str(given.get("action", ""))
            if action not in can(incident):
                raise CannotBe(f"PagerDuty offers {', '.join(can(incident)) or 'nothing'} for this incident now")
            if action == "acknowledge":
                self._account.acknowledge(incident, person.pager)
            elif action == "resolve":
                self._account.resolve(incident, person.pager)
            else:
                self._account.escalate(incident, incident.level + 1, person.pager)
            return {"incident": incident_view(incident, self._world.origin)}

    # --- around it ----------------------------------------------------------------------------

    def alert(self, given: Json) -> Json:
        """Fire one of the bot's own examples at it, signed."""
        return self._with_example(self._world.fire, given)

    def explain(self, given: Json) -> Json:
        """What the bot says would come of one of its own examples. Nothing does."""
        return self._with_example(self._world.explain, given)

    def _with_example(self, does: Callable[[str, str | None], Json], given: Json) -> Json:
        example = given.get("example")
        answer = does(str(given.get("source", "")), None if example is None else str(example))
        if "error" in answer:
            raise CannotBe(str(answer["error"]))
        return answer

    def fault(self, given: Json) -> Json:
        """Take Slack or PagerDuty down, slow it, limit it, refuse its token, or mend it."""
        neighbour, state = str(given.get("neighbour", "")), str(given.get("state", ""))
        seconds = _number(given, "seconds") if "seconds" in given else None
        if seconds is not None and not 0 < seconds <= 86_400:
            raise CannotBe("seconds is more than 0 and at most a day")
        try:
            self._world.break_(neighbour, state)
        except ValueError as error:
            raise CannotBe(str(error)) from None
        if seconds is not None:
            mended = threading.Timer(seconds, self._world.break_, (neighbour, "up"))
            # What is still broken must not keep the sandbox from ending.
            mended.daemon = True
            mended.start()
        return {"faults": dict(self._world.faults)}

    def webhooks(self, given: Json) -> Json:
        """Switch PagerDuty's webhooks on or off."""
        if not isinstance(given.get("on"), bool):
            raise CannotBe("on is true or false")
        self._webhooks.is_on = given["on"]
        self._world.changed("faults")
        return {"webhooks_on": self._webhooks.is_on}

    def clock(self, given: Json) -> Json:
        """Move the clock forward, stopping where something falls due, so that what is due happens in its order and on time."""
        left = _number(given, "advance_seconds")
        if not 0 < left <= 60 * 86_400:
            raise CannotBe("advance_seconds is more than 0 and at most sixty days")
        stride = 60.0 if left <= 6 * 3600 else left / 60
        settled_by = time.monotonic() + SETTLE_SECONDS
        stops = 0
        while left > 0:
            step = min(left, stride)
            due = self._seconds_until_due(step)
            if due is not None and stops < MOST_STOPS:
                step, stops = due, stops + 1
            self._world.clock.advance(step)
            left -= step
            self._account.tick()
            self._world.moved(max(0.0, settled_by - time.monotonic()))
        self._world.changed("clock", "phones")
        return {"now": iso(self._world.clock()), "offset_seconds": self._world.clock.offset_seconds}

    def _seconds_until_due(self, within: float) -> float | None:
        """How far away the next thing is that time brings, to the bot or to PagerDuty; None where it is farther.

        What fell due while the last thing was told, in real time, is no distance away.
        """
        now = self._world.clock()
        until = now + timedelta(seconds=within)
        moments = [at for at in (self._world.due(until), self._account.due()) if at is not None and at <= until]
        return max(0.0, (min(moments) - now).total_seconds()) if moments else None

    # --- looking ------------------------------------------------------------------------------

    def cast(self) -> list[Json]:
        """Who there is."""
        return [
            {
                "id": one.slack_id, "name": one.name, "real_name": one.real_name, "title": one.title,
                "email": one.email, "tz": "Europe/Lisbon", "avatar_color": one.color, "role": one.role,
                "has_pager": bool(one.pager),
            }
            for one in CAST
        ]  # fmt: skip

    def state(self) -> Json:
        """Everything the page shows."""
        parts = ("clock", "faults", "channels", "views", "phones", "pagerduty")
        return {**self.parts(parts), "cast": self.cast(), "bot_user": BOT_USER, "seq": self._world.sequence}

    def parts(self, names: tuple[str, ...] | list[str]) -> Json:
        """Some parts of the state."""
        made: Json = {}
        with self._world.lock:
            for name in names:
                made |= getattr(self, f"_{name}_part")()
        return made

    def _clock_part(self) -> Json:
        return {"now": iso(self._world.clock()), "offset_seconds": self._world.clock.offset_seconds}

    def _faults_part(self) -> Json:
        return {
            "faults": dict(self._world.faults), "webhooks_on": self._webhooks.is_on,
            "webhooks_disabled": self._webhooks.is_disabled,
        }  # fmt: skip

    def _channels_part(self) -> Json:
        return {"channels": [_channel_view(one) for one in self._space.channels.values()]}

    def _views_part(self) -> Json:
        return {
            "views": [
                {"id": one.id, "person": BY_ID[one.person].name, "view": one.content, "errors": one.errors}
                for one in self._space.views.values()
            ]
        }

    def _phones_part(self) -> Json:
        return {
            "phones": [
                {
                    "person": one.name, "level": LEVELS.index(one.pager) + 1 if one.pager in LEVELS else None,
                    "notifications": notifications(self._account, one.pager),
                }
                for one in CAST if one.pager
            ]
        }  # fmt: skip

    def _pagerduty_part(self) -> Json:
        shown = [incident_view(one, self._world.origin) for one in reversed(self._account.incidents)]
        return {"pagerduty": {"incidents": shown}}

    # --- who and where ------------------------------------------------------------------------

    def _person(self, given: Json) -> Person:
        word = str(given.get("person", "")).removeprefix("@")
        found = BY_NAME.get(word.lower()) or BY_ID.get(word)
        if found is None:
            raise CannotBe(f"nobody is called {word!r}; there are {', '.join(BY_NAME)}")
        return found

    def _channel(self, given: Json) -> Channel:
        word = str(given.get("channel", "")).removeprefix("#")
        found = self._space.channels.get(word) or self._space.named(word)
        if found is None:
            raise CannotBe(f"there is no channel {word!r}")
        return found

    def _message(self, channel: Channel, ts: Any) -> Json:
        try:
            return self._space.message(channel, ts)
        except SlackError:
            raise CannotBe(f"there is no such message in #{channel.name} any more") from None

    def _check_member(self, person: Person, channel: Channel) -> None:
        if person.slack_id in channel.members:
            return
        if person.is_guest or channel.is_private:
            raise CannotBe(f"{person.real_name} is not in #{channel.name}")
        channel.members.append(person.slack_id)
        self._world.changed("channels")

    def _view(self, given: Json, person: Person) -> View:
        found = self._space.views.get(str(given.get("view_id", "")))
        if found is None or found.person != person.slack_id:
            raise CannotBe(f"{person.real_name} has no such form open")
        return found


def _number(given: Json, name: str) -> float:
    """A number that was posted."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CannotBe(f"{name} is a number")
    return float(value)


def state_of(content: Json, values: Json) -> Json:
    """`view.state.values` from what was typed, by block id, action id or label; the rest as it was shown at first."""
    state: Json = {}
    for block in content.get("blocks", []):
        if block.get("type") != "input":
            continue
        element = block["element"]
        names = (block.get("block_id"), element.get("action_id"), block.get("label", {}).get("text"))
        given = next((values[name] for name in names if name in values), None)
        state.setdefault(block.get("block_id", ""), {})[element.get("action_id", "")] = _filled(element, given)
    return state


def _filled(element: Json, given: Any) -> Json:
    """An element's state as Slack sends it."""
    kind = element["type"]
    if kind in ("static_select", "radio_buttons"):
        chosen = element.get("initial_option") if given is None else _option(element, given)
        return {"type": kind, "selected_option": chosen}
    if kind in ("checkboxes", "multi_static_select"):
        chosen = element.get("initial_options", []) if given is None else [_option(element, one) for one in given or []]
        return {"type": kind, "selected_options": [one for one in chosen if one]}
    named = {"users_select": "user", "conversations_select": "conversation", "channels_select": "channel"}
    if kind in named:
        key = named[kind]
        known = BY_NAME.get(str(given).removeprefix("@")) if given else None
        return {"type": kind, f"selected_{key}": known.slack_id if known else given or element.get(f"initial_{key}")}
    if kind in ("datepicker", "timepicker"):
        key = "date" if kind == "datepicker" else "time"
        return {"type": kind, f"selected_{key}": given or element.get(f"initial_{key}")}
    value = element.get("initial_value") if given is None else str(given)
    return {"type": kind, "value": value or None}


def _option(element: Json, given: Any) -> Json | None:
    options = [
        *element.get("options", []),
        *(one for group in element.get("option_groups", []) for one in group["options"]),
    ]
    return next((one for one in options if given in (one.get("value"), one.get("text", {}).get("text"))), None)


def _pressed(element: Json, value: Any) -> Json:
    kind = element["type"]
    base = {"type": kind, "action_id": element.get("action_id", "")}
    if kind == "button":
        return {**base, "value": element.get("value", ""), "text": element.get("text")}
    if kind in ("users_select", "channels_select", "conversations_select"):
        known = BY_NAME.get(str(value).removeprefix("@"))
        key = kind.removesuffix("s_select")
        return {**base, f"selected_{key}": known.slack_id if known else value}
    return {**base, "selected_option": _option(element, value)}


def can(incident: Incident) -> list[str]:
    """What PagerDuty offers on the phone."""
    if incident.status == "resolved":
        return []
    if incident.status == "acknowledged":
        return ["resolve"]
    return ["acknowledge", "resolve", *(["escalate"] if incident.level < len(LEVELS) else [])]


def notifications(account: Account, pager: str) -> list[Json]:
    """What a phone shows: every notification PagerDuty made to it, newest first."""
    found = []
    for incident in account.incidents:
        level = 1
        for entry in incident.log:
            level += entry["type"] == "escalate_log_entry"
            if entry["type"] != "notify_log_entry" or entry["user"]["id"] != pager:
                continue
            word = entry["channel"]["notification"]["type"]
            found.append(
                {
                    "id": entry["id"],
                    "at": entry["created_at"],
                    "incident": incident.number,
                    "incident_id": incident.id,
                    "title": incident.title,
                    "level": level,
                    "channel": word.removesuffix("_notification"),
                    "status": incident.status,
                    "acknowledged_by": BY_PAGER[incident.acknowledged_by].name if incident.acknowledged_by else None,
                    "can": can(incident),
                    "service": incident.service.name,
                    "urgency": incident.urgency,
                }  # fmt: skip
            )
    # Within one second, the later one first: PagerDuty's log knows no more than seconds.
    return sorted(reversed(found), key=lambda one: str(one["at"]), reverse=True)[:30]


def incident_view(incident: Incident, origin: str) -> Json:
    """One of PagerDuty's incidents, for the page."""
    return {
        "id": incident.id, "number": incident.number, "title": incident.title, "status": incident.status,
        "urgency": incident.urgency, "service": incident.service.name, "level": incident.level,
        "assignees": [BY_PAGER[one].name for one in incident.assignees],
        "acknowledged_by": BY_PAGER[incident.acknowledged_by].name if incident.acknowledged_by else None,
        "created_at": iso(incident.created_at), "html_url": f"{origin}/pagerduty/incidents/{incident.id}",
        "dedup_key": incident.key,
    }  # fmt: skip


def _channel_view(channel: Channel) -> Json:
    return {
        "id": channel.id, "name": channel.name, "is_private": channel.is_private, "is_archived": channel.is_archived,
        "is_im": channel.is_im, "topic": channel.topic, "purpose": channel.purpose, "members": channel.members,
        "bookmarks": channel.bookmarks, "pins": channel.pins, "messages": channel.messages[-MOST_MESSAGES:],
        "created": datetime.fromtimestamp(channel.created).astimezone().isoformat(),
    }  # fmt: skip
