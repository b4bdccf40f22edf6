"""The Web API: one function for each method, with Slack's own arguments, answers and errors.

https://docs.slack.dev/reference/methods
"""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from sandbox.cast import BOT, BOT_USER, BY_ID, CAST, TEAM
from sandbox.slack import blocks as block_kit
from sandbox.slack.limits import Limits
from sandbox.slack.workspace import Channel, Json, SlackError, Workspace

SCOPES = (
    "commands,chat:write,channels:manage,channels:read,channels:history,channels:join,groups:write,groups:read,"
    "groups:history,users:read,users:read.email,usergroups:read,pins:write,pins:read,bookmarks:write,bookmarks:read,"
    "files:write,files:read,app_mentions:read,reactions:read,im:write"
)
TEXT_LIMIT = 40_000
BEGAN = "_began"
"""When a call came in, which is before its turn: two that came at the same time are told apart by nothing."""
RIVAL = CAST[2].slack_id
WRITES = frozenset({
    "conversations.create", "conversations.invite", "conversations.setTopic", "conversations.setPurpose",
    "conversations.archive", "chat.postMessage", "chat.update", "chat.delete", "chat.postEphemeral", "pins.add",
    "bookmarks.add", "reactions.add", "files.getUploadURLExternal", "files.completeUploadExternal", "views.open", "views.update",
})  # fmt: skip


class Api:
    """Slack's side of every call the app makes."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._world = workspace.world
        self._limits = Limits()
        self._methods: dict[str, Callable[[Json], Json]] = {
            name.replace("_", ".", 1): getattr(self, name) for name in dir(type(self)) if re.match(r"[a-z]+_[a-z]", name)
        }  # fmt: skip

    def call(self, method: str, token: str, given: Json) -> Json:
        """One call. Raises SlackError for anything but `ok: true`."""
        if token != self._world.slack_token:
            raise SlackError("invalid_auth" if token else "not_authed")
        handler = self._methods.get(method)
        if handler is None:
            raise SlackError("unknown_method", req_method=method)
        arguments = {key: _read(key, value) for key, value in given.items()}
        began = time.monotonic()
        with self._world.lock:
            if self._world.is_strict:
                self._limits.spend(method, str(arguments.get("channel", "")))
            answer = handler({**arguments, BEGAN: began} if method == "conversations.create" else arguments)
            if method in WRITES:
                at = self._world.clock().isoformat()
                self._space.ledger.append({"method": method, "args": arguments, "at": at, "answer": answer})
        if method in WRITES:
            self._world.committed(method)
        return {"ok": True, **answer}

    # --- who ----------------------------------------------------------------------------------

    def auth_test(self, given: Json) -> Json:
        return {"url": "https://sandbox.slack.com/", "team": "Sandbox", "user": "firstfive", "team_id": TEAM,
                "user_id": BOT_USER, "bot_id": BOT, "is_enterprise_install": False}  # fmt: skip

    def team_info(self, given: Json) -> Json:
        return {"team": {"id": TEAM, "name": "Sandbox", "domain": "sandbox"}}

    def bots_info(self, given: Json) -> Json:
        return {"bot": {"id": BOT, "name": "Firstfive", "user_id": BOT_USER, "app_id": "A0FIRST01"}}

    def users_info(self, given: Json) -> Json:
        return {"user": self._space.user_json(str(given.get("user")))}

    def users_list(self, given: Json) -> Json:
        return {"members": list(self._space.everybody()), "response_metadata": {"next_cursor": ""}}

    def users_lookupByEmail(self, given: Json) -> Json:
        person = next((one for one in CAST if one.email == str(given.get("email", "")).lower()), None)
        if person is None or person.slack_id in self._space.left:
            raise SlackError("users_not_found")
        return {"user": self._space.user_json(person.slack_id)}

    def usergroups_list(self, given: Json) -> Json:
        return {"usergroups": []}

    # --- channels -----------------------------------------------------------------------------

    def conversations_create(self, given: Json) -> Json:
        name = str(given.get("name") or "")
        _check_name(name)
        if self._space.is_taken(name, given[BEGAN]):
            raise SlackError("name_taken")
        channel = self._space.make(name, BOT_USER, is_private=bool(given.get("is_private")))
        if self._space.rivals:
            self._space.rivals -= 1
            self._space.make(name, RIVAL)
        return {"channel": self._space.channel_json(channel)}

    def conversations_invite(self, given: Json) -> Json:
        channel = self._mine(given)
        wanted = [one.strip() for one in str(given.get("users") or "").split(",") if one.strip()]
        if not wanted:
            raise SlackError("no_user")
        why = {one: "user_not_found" if one in self._space.left else _why_not(channel, one) for one in wanted}
        errors: list[Json] = [{"user": one, "ok": False, "error": error} for one, error in why.items() if error]
        good = [one for one, error in why.items() if not error]
        if errors and not (given.get("force") and good):
            raise SlackError(errors[0]["error"], errors=errors)
        channel.members += good
        self._world.changed("channels")
        return {"channel": self._space.channel_json(channel), **({"errors": errors} if errors else {})}

    def conversations_info(self, given: Json) -> Json:
        return {"channel": self._space.channel_json(self._space.channel(given.get("channel")))}

    def conversations_list(self, given: Json) -> Json:
        kinds = str(given.get("types") or "public_channel")
        found = [one for one in self._space.channels.values() if not one.is_im and _is_kind(one, kinds)]
        return self._listed(found, given)

    def users_conversations(self, given: Json) -> Json:
        kinds = str(given.get("types") or "public_channel")
        found = [one for one in self._space.channels.values() if BOT_USER in one.members and _is_kind(one, kinds)]
        return self._listed(found, given)

    def _listed(self, found: list[Channel], given: Json) -> Json:
        if given.get("exclude_archived"):
            found = [one for one in found if not one.is_archived]
        start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
        following = str(start + limit) if start + limit < len(found) else ""
        shown = [self._space.channel_json(one) for one in found[start : start + limit]]
        return {"channels": shown, "response_metadata": {"next_cursor": following}}

    def conversations_members(self, given: Json) -> Json:
        channel = self._space.channel(given.get("channel"))
        return {"members": list(channel.members), "response_metadata": {"next_cursor": ""}}

    def conversations_history(self, given: Json) -> Json:
        channel = self._mine(given)
        found = [one for one in channel.messages if _in_history(one, given)]
        return self._messages(list(reversed(found)), given)

    def conversations_replies(self, given: Json) -> Json:
        channel = self._mine(given)
        root = next((one for one in channel.messages if one["ts"] == given.get("ts")), None)
        if root is None:
            raise SlackError("thread_not_found")
        found = [one for one in channel.messages if one is root or one.get("thread_ts") == root["ts"]]
        return self._messages(found, given)

    def _messages(self, found: list[Json], given: Json) -> Json:
        start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
        wants = bool(given.get("include_all_metadata"))
        part = found[start : start + limit]
        shown = [{key: value for key, value in one.items() if wants or key != "metadata"} for one in part]
        following = str(start + limit) if len(found) > start + limit else ""
        return {"messages": shown, "has_more": bool(following), "response_metadata": {"next_cursor": following}}

    def conversations_join(self, given: Json) -> Json:
        channel = self._space.channel(given.get("channel"))
        if channel.is_private:
            raise SlackError("method_not_supported_for_channel_type")
        if channel.is_archived:
            raise SlackError("is_archived")
        if BOT_USER not in channel.members:
            channel.members.append(BOT_USER)
            self._world.changed("channels")
        return {"channel": self._space.channel_json(channel)}

    def conversations_archive(self, given: Json) -> Json:
        channel = self._mine(given)
        if channel.is_archived:
            raise SlackError("already_archived")
        channel.is_archived = True
        self._world.changed("channels")
        return {}

    def conversations_setTopic(self, given: Json) -> Json:
        channel = self._mine(given)
        topic = str(given.get("topic") or "")
        if len(topic) > 250:
            raise SlackError("too_long")
        channel.topic = topic
        self._world.changed("channels")
        return {"channel": self._space.channel_json(channel)}

    def conversations_setPurpose(self, given: Json) -> Json:
        channel = self._mine(given)
        channel.purpose = str(given.get("purpose") or "")[:250]
        self._world.changed("channels")
        return {"channel": self._space.channel_json(channel)}

    def conversations_open(self, given: Json) -> Json:
        person = str(given.get("users") or "").split(",")[0]
        if person not in BY_ID:
            raise SlackError("user_not_found")
        return {"channel": {"id": self._space.direct(person).id}}

    def _mine(self, given: Json) -> Channel:
        """A channel that the bot may act in."""
        channel = self._space.channel(given.get("channel"))
        if BOT_USER not in channel.members:
            raise SlackError("not_in_channel")
        if channel.is_archived:
            raise SlackError("is_archived")
        return channel

    # --- messages -----------------------------------------------------------------------------

    def chat_postMessage(self, given: Json) -> Json:
        if str(given.get("channel", "")).startswith("U"):
            given = {**given, "channel": self._space.direct(str(given["channel"])).id}
        channel = self._mine(given)
        content = _content(given)
        thread = given.get("thread_ts")
        if thread:
            root = self._space.message(channel, thread)
            root["reply_count"] = root.get("reply_count", 0) + 1
            content["thread_ts"] = thread
        message = self._space.add_by_bot(channel, **content)
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def chat_update(self, given: Json) -> Json:
        channel = self._mine(given)
        message = self._space.message(channel, given.get("ts"))
        if message.get("user") != BOT_USER or message.get("ephemeral_for"):
            raise SlackError("cant_update_message")
        message.update(_content(given))
        message["edited"] = {"user": BOT_USER, "ts": self._space.next_ts()}
        self._world.changed("channels")
        return {"channel": channel.id, "ts": message["ts"], "text": message["text"], "message": message}

    def chat_delete(self, given: Json) -> Json:
        channel = self._mine(given)
        channel.messages.remove(self._space.message(channel, given.get("ts")))
        self._world.changed("channels")
        return {"channel": channel.id, "ts": given.get("ts")}

    def chat_postEphemeral(self, given: Json) -> Json:
        channel = self._mine(given)
        person = str(given.get("user") or "")
        if person not in channel.members:
            raise SlackError("user_not_in_channel")
        message = self._space.whisper(channel, person, **_content(given))
        return {"message_ts": message["ts"]}

    def chat_getPermalink(self, given: Json) -> Json:
        channel = self._space.channel(given.get("channel"))
        ts = str(given.get("message_ts"))
        return {"channel": channel.id, "permalink": f"{self._world.origin}/#{channel.name}/{ts}"}

    def reactions_add(self, given: Json) -> Json:
        message = self._space.message(self._mine(given), given.get("timestamp"))
        react(message, str(given.get("name")), BOT_USER)
        self._world.changed("channels")
        return {}

    # --- pins and bookmarks -------------------------------------------------------------------

    def pins_add(self, given: Json) -> Json:
        channel = self._mine(given)
        message = self._space.message(channel, given.get("timestamp"))
        if message["ts"] in channel.pins:
            raise SlackError("already_pinned")
        channel.pins.append(message["ts"])
        self._world.changed("channels")
        return {}

    def pins_list(self, given: Json) -> Json:
        channel = self._mine(given)
        return {"items": [{"type": "message", "message": self._space.message(channel, ts)} for ts in channel.pins]}

    def bookmarks_add(self, given: Json) -> Json:
        channel = self._space.channel(given.get("channel_id"))
        if BOT_USER not in channel.members:
            raise SlackError("not_in_channel")
        if given.get("type") != "link" or not str(given.get("link", "")).startswith(("http://", "https://")):
            raise SlackError("invalid_link")
        bookmark = {
            "id": self._space.next_id("Bk"), "channel_id": channel.id, "title": given.get("title"), "type": "link",
            "link": given.get("link"), "emoji": given.get("emoji"),
        }  # fmt: skip
        channel.bookmarks.append(bookmark)
        self._world.changed("channels")
        return {"bookmark": bookmark}

    def bookmarks_list(self, given: Json) -> Json:
        return {"bookmarks": list(self._space.channel(given.get("channel_id")).bookmarks)}

    # --- forms --------------------------------------------------------------------------------

    def views_open(self, given: Json) -> Json:
        content = _view(given)
        person = self._space.use_trigger(str(given.get("trigger_id")))
        return {"view": self._space.view_json(self._space.open(person, content))}

    def views_update(self, given: Json) -> Json:
        view = self._space.views.get(str(given.get("view_id")))
        if view is None:
            raise SlackError("not_found")
        view.content = _view(given)
        self._world.changed("views")
        return {"view": self._space.view_json(view)}

    # --- files --------------------------------------------------------------------------------

    def files_getUploadURLExternal(self, given: Json) -> Json:
        if not given.get("filename") or not int(given.get("length") or 0):
            raise SlackError("invalid_arguments")
        file = self._space.next_id("F")
        self._space.uploads[file] = {"name": given["filename"], "length": int(given["length"]), "bytes": b""}
        return {"upload_url": f"{self._world.origin}/slack/upload/{file}", "file_id": file}

    def files_completeUploadExternal(self, given: Json) -> Json:
        shared = [self._complete(one) for one in given.get("files") or []]
        if given.get("channel_id"):
            channel = self._mine({"channel": given["channel_id"]})
            content: Json = {"text": str(given.get("initial_comment") or ""), "files": shared, "subtype": "file_share"}
            if given.get("thread_ts"):
                content["thread_ts"] = given["thread_ts"]
            self._space.add_by_bot(channel, **content)
        return {"files": [{"id": one["id"], "title": one["title"], "permalink": one["permalink"]} for one in shared]}

    def _complete(self, given: Json) -> Json:
        upload = self._space.uploads.get(str(given.get("id")))
        if upload is None:
            raise SlackError("file_not_found")
        if not upload["bytes"]:
            raise SlackError("file_upload_size_error")
        id_ = str(given["id"])
        url = f"{self._world.origin}/slack/files/{id_}"
        text = upload["bytes"].decode("utf-8", errors="replace")
        file = {
            "id": id_, "name": upload["name"], "title": given.get("title") or upload["name"], "mimetype": "text/markdown",
            "size": len(upload["bytes"]), "url": url, "url_private": url, "permalink": url, "preview": text[:40_000],
            "user": BOT_USER, "created": self._space.seconds(),
        }  # fmt: skip
        self._space.files[id_] = {**file, "bytes": upload["bytes"]}
        return file

    def files_info(self, given: Json) -> Json:
        found = self._space.files.get(str(given.get("file")))
        if found is None:
            raise SlackError("file_not_found")
        return {"file": {key: value for key, value in found.items() if key != "bytes"}}


def react(message: Json, name: str, person: str) -> None:
    """Put a reaction on a message."""
    reactions = message.setdefault("reactions", [])
    found = next((one for one in reactions if one["name"] == name), None)
    if found is None:
        found = {"name": name, "users": [], "count": 0}
        reactions.append(found)
    if person not in found["users"]:
        found["users"].append(person)
        found["count"] += 1


def _content(given: Json) -> Json:
    """The part of a post that becomes the message."""
    text = str(given.get("text") or "")
    blocks = given.get("blocks")
    if not text and not blocks and not given.get("attachments") and not given.get("markdown_text"):
        raise SlackError("no_text")
    if len(text) > TEXT_LIMIT:
        raise SlackError("msg_too_long")
    content: Json = {"text": text}
    if blocks:
        content["blocks"] = block_kit.check(blocks)
    if given.get("metadata"):
        content["metadata"] = given["metadata"]
    return content


def _view(given: Json) -> Json:
    view = given.get("view")
    if not isinstance(view, dict) or view.get("type") not in ("modal", "home"):
        raise SlackError("invalid_arguments")
    for name in ("title", "submit", "close"):
        if name in view and len(view[name].get("text", "")) > 24:
            raise SlackError("invalid_arguments", response_metadata={"messages": [f"{name} is over 24 characters"]})
    if len(view.get("private_metadata", "")) > 3000:
        raise SlackError("invalid_arguments", response_metadata={"messages": ["private_metadata is too long"]})
    block_kit.check(view.get("blocks"), limit=100)
    return view


def _check_name(name: str) -> None:
    if not name:
        raise SlackError("invalid_name_required")
    if len(name) > 80:
        raise SlackError("invalid_name_maxlength")
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise SlackError("invalid_name_specials")
    if not re.search(r"[a-z0-9]", name):
        raise SlackError("invalid_name_punctuation")


def _why_not(channel: Channel, person: str) -> str:
    if person == BOT_USER:
        return "cant_invite_self"
    if person not in BY_ID:
        return "user_not_found"
    return "already_in_channel" if person in channel.members else ""


def _is_kind(channel: Channel, kinds: str) -> bool:
    return ("private_channel" if channel.is_private else "public_channel") in kinds and not channel.is_im


def _in_history(message: Json, given: Json) -> bool:
    if message.get("ephemeral_for") or (message.get("thread_ts") and message["thread_ts"] != message["ts"]):
        return False
    at = float(message["ts"])
    oldest, latest = float(given.get("oldest") or 0), float(given.get("latest") or "inf")
    return oldest <= at <= latest if given.get("inclusive") else oldest < at < latest


def _read(key: str, value: Any) -> Any:
    """Form fields carry JSON as text; booleans come as words."""
    if key in ("blocks", "metadata", "view", "files", "attachments") and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise SlackError("invalid_json" if key == "view" else "invalid_blocks_format") from None
    if value in ("true", "True", "1") and key not in ("text", "ts", "limit", "length", "cursor", "oldest"):
        return True
    if value in ("false", "False", "0") and key not in ("text", "ts", "limit", "length", "cursor", "oldest"):
        return False
    return value
