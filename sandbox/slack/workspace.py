"""The workspace: people, channels, messages, forms. Values are shaped as Slack's own, so they can be handed out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.cast import BOT, BOT_IN, BOT_USER, BY_ID, CAST, CHANNELS, TEAM, ZONE
from sandbox.world import World

Json = dict[str, Any]
TRIGGER_SECONDS = 3.0


class SlackError(Exception):
    """An `ok: false` answer. The text is Slack's own error string."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


@dataclass
class Channel:
    """A channel with everything in it."""

    id: str
    name: str
    creator: str
    created: int
    is_private: bool = False
    is_archived: bool = False
    is_im: bool = False
    topic: str = ""
    purpose: str = ""
    members: list[str] = field(default_factory=list)
    messages: list[Json] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)
    bookmarks: list[Json] = field(default_factory=list)
    made_at: float = float("-inf")
    """By the machine's steady clock; one that was there from the start is as old as can be."""


@dataclass
class View:
    """A form somebody has open."""

    id: str
    person: str
    content: Json
    errors: dict[str, str] = field(default_factory=dict)


class Workspace:
    """Everything in Slack. Callers hold `world.lock`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.channels: dict[str, Channel] = {}
        self.views: dict[str, View] = {}
        self.files: dict[str, Json] = {}
        self.uploads: dict[str, Json] = {}
        self.responses: dict[str, Json] = {}
        self.ledger: list[Json] = []
        self.left: set[str] = set()
        """People who are not in this workspace (any more), by id."""
        self.rivals = 0
        """So many of the next channels that the bot makes meet somebody who makes one of the same name in that moment."""
        self._triggers: dict[str, tuple[float, str]] = {}
        self._count = 0
        self._last_ts = 0.0
        for name, purpose in CHANNELS.items():
            self._seed(name, purpose)

    def _seed(self, name: str, purpose: str) -> None:
        members = [one.slack_id for one in CAST if not one.is_guest or name == "team-checkout"]
        if name in BOT_IN:
            members.append(BOT_USER)
        channel = Channel(self.next_id("C"), name, CAST[2].slack_id, self.seconds(), purpose=purpose, members=members)
        self.channels[channel.id] = channel

    # --- identities ---------------------------------------------------------------------------

    def next_id(self, kind: str) -> str:
        """A new id of Slack's look: C for channels, V for views, F for files."""
        self._count += 1
        return f"{kind}0SBX{self._count:05d}"

    def seconds(self) -> int:
        """Now, in whole seconds since 1970."""
        return int(self.world.clock().timestamp())

    def next_ts(self) -> str:
        """A timestamp that no message has yet."""
        self._last_ts = max(self._last_ts + 0.0001, self.world.clock().timestamp())
        return f"{self._last_ts:.6f}"

    def new_trigger(self, person: str) -> str:
        """A trigger id: good once, for three seconds of real time."""
        self._count += 1
        trigger = f"{int(time.time())}.{self._count:06d}.sandbox"
        self._triggers[trigger] = (time.monotonic(), person)
        return trigger

    def use_trigger(self, trigger: str) -> str:
        """The person whose trigger it is. Raises SlackError where it is unknown, used or too old."""
        if trigger not in self._triggers:
            raise SlackError("invalid_trigger_id")
        at, person = self._triggers[trigger]
        if not person:
            raise SlackError("exchanged_trigger_id")
        self._triggers[trigger] = (at, "")
        if time.monotonic() - at > TRIGGER_SECONDS:
            raise SlackError("expired_trigger_id")
        return person

    # --- finding ------------------------------------------------------------------------------

    def channel(self, id_: Any) -> Channel:
        """The channel of that id. Raises SlackError."""
        found = self.channels.get(str(id_ or ""))
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def named(self, name: str) -> Channel | None:
        """The channel of that name, archived or not."""
        return next((one for one in self.channels.values() if one.name == name), None)

    def is_taken(self, name: str, began: float) -> bool:
        """Whether a call that began then finds the name taken.

        Of two that are made at the same time neither sees the other: both come about, with one name and two ids.
        https://github.com/slackapi/node-slack-sdk/issues/1589
        """
        return any(one.name == name and one.made_at < began for one in self.channels.values())

    def make(self, name: str, creator: str, *, is_private: bool = False) -> Channel:
        """A channel with nobody in it but whoever made it."""
        channel = Channel(
            self.next_id("C"), name, creator, self.seconds(), is_private=is_private, members=[creator], made_at=time.monotonic()
        )
        self.channels[channel.id] = channel
        self.world.changed("channels")
        return channel

    def message(self, channel: Channel, ts: Any) -> Json:
        """The message with that timestamp. Raises SlackError."""
        found = next((one for one in channel.messages if one["ts"] == ts), None)
        if found is None:
            raise SlackError("message_not_found")
        return found

    def direct(self, person: str) -> Channel:
        """The direct channel between the bot and a person."""
        name = f"dm-{person}"
        found = self.named(name)
        if found is None:
            found = Channel(self.next_id("D"), name, BOT_USER, self.seconds(), is_private=True, is_im=True,
                            members=[person, BOT_USER])  # fmt: skip
            self.channels[found.id] = found
            self.world.changed("channels")
        return found

    # --- writing ------------------------------------------------------------------------------

    def add(self, channel: Channel, **content: Any) -> Json:
        """A message in a channel, as Slack shows it."""
        message: Json = {"type": "message", "ts": self.next_ts(), "team": TEAM, **content}
        channel.messages.append(message)
        self.world.changed("channels")
        return message

    def add_by_bot(self, channel: Channel, **content: Any) -> Json:
        """The same, by the bot."""
        return self.add(channel, user=BOT_USER, bot_id=BOT, app_id="A0FIRST01", username="Firstfive", **content)

    def whisper(self, channel: Channel, person: str, **content: Any) -> Json:
        """A message that only one person sees."""
        return self.add_by_bot(channel, ephemeral_for=person, **content)

    def open(self, person: str, content: Json) -> View:
        """A form for a person."""
        view = View(self.next_id("V"), person, content)
        self.views[view.id] = view
        self.world.changed("views")
        return view

    # --- as Slack hands it out ----------------------------------------------------------------

    def channel_json(self, channel: Channel) -> Json:
        """A channel object."""
        return {
            "id": channel.id, "name": channel.name, "name_normalized": channel.name, "is_channel": not channel.is_im,
            "is_im": channel.is_im, "is_private": channel.is_private, "is_archived": channel.is_archived,
            "is_member": BOT_USER in channel.members, "created": channel.created, "creator": channel.creator,
            "topic": {"value": channel.topic, "creator": BOT_USER, "last_set": channel.created},
            "purpose": {"value": channel.purpose, "creator": channel.creator, "last_set": channel.created},
            "num_members": len(channel.members), "context_team_id": TEAM,
        }  # fmt: skip

    def user_json(self, id_: str) -> Json:
        """A user object. Raises SlackError."""
        if id_ == BOT_USER:
            profile = {"real_name": "Firstfive", "display_name": "firstfive"}
            return {"id": id_, "team_id": TEAM, "name": "firstfive", "real_name": "Firstfive", "deleted": False,
                    "is_bot": True, "tz": "Etc/UTC", "profile": profile}  # fmt: skip
        person = BY_ID.get(id_)
        if person is None or id_ in self.left:
            raise SlackError("user_not_found")
        profile = {"email": person.email, "real_name": person.real_name, "display_name": person.name,
                   "title": person.title}  # fmt: skip
        return {
            "id": id_, "team_id": TEAM, "name": person.name, "real_name": person.real_name, "deleted": False,
            "is_bot": False, "is_restricted": person.is_guest, "is_ultra_restricted": person.is_guest, "tz": ZONE,
            "profile": profile,
        }  # fmt: skip

    def everybody(self) -> Iterator[Json]:
        """Every user object."""
        yield from (self.user_json(one.slack_id) for one in CAST if one.slack_id not in self.left)
        yield self.user_json(BOT_USER)

    def view_json(self, view: View) -> Json:
        """A view object as an app gets it."""
        return {"id": view.id, "team_id": TEAM, "app_id": "A0FIRST01", "bot_id": BOT, "root_view_id": view.id,
                "previous_view_id": None, "hash": f"{self.seconds()}.h", "state": {"values": {}},
                "private_metadata": "", "callback_id": "", "external_id": "", "clear_on_close": False,
                "notify_on_close": False, **view.content}  # fmt: skip
