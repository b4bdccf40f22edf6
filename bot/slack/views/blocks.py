"""Block Kit in few words, each within Slack's limits. https://docs.slack.dev/reference/block-kit/blocks"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.slack.views.text import clean, clip, defused

Block = dict[str, Any]
View = dict[str, Any]

BLOCKS_LIMIT = 50
MESSAGE_LIMIT = 10_000
"""Characters in all blocks of a message. Slack refuses more than about 11,000 (`msg_blocks_too_long`), and writes it nowhere."""
OPTIONS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its blocks, and the text that notifications, screen readers and old clients show instead."""

    text: str
    blocks: tuple[Block, ...] = ()


def message(text: str, *blocks: Block | None) -> Message:
    """A message of those blocks that there are, within Slack's limits: its longest texts are cut until all of it fits."""
    kept = [block for block in blocks if block is not None][:BLOCKS_LIMIT]
    return Message(clip(text), tuple(_fitting(kept)))


def _fitting(blocks: list[Block]) -> list[Block]:
    texts = [one for block in blocks for one in _texts(block)]
    left = MESSAGE_LIMIT
    lengths = sorted(len(one["text"]) for one in texts)
    for index, length in enumerate(lengths):
        share = left // (len(lengths) - index)
        if length > share:
            return [_cut(block, share) for block in blocks]
        left -= length
    return blocks


def _texts(value: Any) -> list[Block]:
    """Every text object in there."""
    if isinstance(value, dict):
        inner = [one for part in value.values() for one in _texts(part)]
        return [value, *inner] if isinstance(value.get("text"), str) else inner
    return [one for part in value for one in _texts(part)] if isinstance(value, list) else []


def _cut(value: Any, limit: int) -> Any:
    """The same with every text at most that long."""
    if isinstance(value, dict):
        return {
            name: clip(one, limit) if name == "text" and isinstance(one, str) else _cut(one, limit) for name, one in value.items()
        }
    return [_cut(one, limit) for one in value] if isinstance(value, list) else value


def said(mrkdwn: str, *blocks: Block | None) -> Message:
    """A message of one paragraph and, maybe, something below it."""
    return message(mrkdwn, section(mrkdwn), *blocks)


def header(text: str) -> Block:
    return {"type": "header", "text": plain(text, 150)}


def section(mrkdwn: str, accessory: Block | None = None) -> Block:
    block: Block = {"type": "section", "text": words(mrkdwn)}
    if accessory is not None:
        block["accessory"] = accessory
    return block


def fields(*texts: str) -> Block:
    return {"type": "section", "fields": [words(text, 2000) for text in texts[:10]]}


def context(*texts: str) -> Block | None:
    """Small print; None where there is nothing to say, because Slack takes no empty one."""
    said_ = [text for text in texts if text.strip()]
    return {"type": "context", "elements": [words(text) for text in said_[:10]]} if said_ else None


def divider() -> Block:
    return {"type": "divider"}


def actions(*elements: Block | None) -> Block | None:
    """A row of buttons; None where there is none."""
    kept = [one for one in elements if one is not None]
    return {"type": "actions", "elements": kept[:25]} if kept else None


def button(label: str, action_id: str, value: object, style: str | None = None) -> Block:
    block: Block = {
        "type": "button",
        "text": plain(label, 75),
        "action_id": action_id,
        "value": str(value),
    }
    if style:
        block["style"] = style
    return block


def overflow(action_id: str, *options: tuple[str, str]) -> Block:
    """A menu behind three dots: (label, value), at most five."""
    return {"type": "overflow", "action_id": action_id, "options": [option(*one) for one in options[:5]]}


def option(label: str, value: str, description: str = "") -> Block:
    one: Block = {"text": plain(label, 75), "value": value[:150]}
    if description:
        one["description"] = plain(description, 75)
    return one


def select(name: str, options: Sequence[Block], placeholder: str, chosen: str | None = None) -> Block:
    """A list to choose one from; `chosen` is the value that is chosen already. In groups where one list cannot hold them."""
    block: Block = {"type": "static_select", "action_id": name, "placeholder": plain(placeholder, 150)}
    if len(options) <= OPTIONS_LIMIT:
        block["options"] = list(options)
    else:
        parts = [list(options[start : start + OPTIONS_LIMIT]) for start in range(0, len(options), OPTIONS_LIMIT)]
        block["option_groups"] = [{"label": _from_to(part), "options": part} for part in parts[:OPTIONS_LIMIT]]
    initial = next((one for one in options if one["value"] == chosen), None)
    if initial is not None:
        block["initial_option"] = initial
    return block


def _from_to(part: Sequence[Block]) -> Block:
    first, last = (one["text"]["text"] for one in (part[0], part[-1]))
    return plain(f"{clean(first, 35, lines=False)} – {clean(last, 35, lines=False)}", 75)


def choice(name: str, options: Sequence[Block], chosen: str | None = None) -> Block:
    """A few options, all of them in sight."""
    block: Block = {"type": "radio_buttons", "action_id": name, "options": list(options[:10])}
    initial = next((one for one in block["options"] if one["value"] == chosen), None)
    if initial is not None:
        block["initial_option"] = initial
    return block


def person_select(name: str, placeholder: str, chosen: str | None = None) -> Block:
    block: Block = {"type": "users_select", "action_id": name, "placeholder": plain(placeholder, 150)}
    if chosen:
        block["initial_user"] = chosen
    return block


def text_input(name: str, *, lines: bool = False, initial: str = "", placeholder: str = "", limit: int = 2800) -> Block:
    block: Block = {
        "type": "plain_text_input",
        "action_id": name,
        "multiline": lines,
        "max_length": limit,
        "focus_on_load": False,
    }
    if initial:
        block["initial_value"] = clean(initial, limit)
    if placeholder:
        block["placeholder"] = plain(placeholder, 150)
    return block


def field(label: str, element: Block, *, optional: bool = False, hint: str = "") -> Block:
    """A field of a form; its block id is its element's action id."""
    block: Block = {
        "type": "input",
        "block_id": element["action_id"],
        "label": plain(label, 2000),
        "element": element,
        "optional": optional,
    }
    if hint:
        block["hint"] = plain(hint, 2000)
    return block


def form(callback_id: str, title: str, submit: str, blocks: Sequence[Block | None], metadata: Mapping[str, Any]) -> View:
    """A modal. `metadata` comes back with what was filled in."""
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title, 24),
        "submit": plain(submit, 24),
        "close": plain("Cancel", 24),
        "private_metadata": packed(metadata),
        "blocks": [block for block in blocks if block is not None],
    }


def notice(title: str, mrkdwn: str) -> View:
    """A modal that only says something."""
    return {
        "type": "modal",
        "title": plain(title, 24),
        "close": plain("Close", 24),
        "blocks": [section(mrkdwn)],
    }


def packed(metadata: Mapping[str, Any]) -> str:
    """Small facts as JSON, for a form or a button to carry."""
    return json.dumps(dict(metadata), separators=(",", ":"), ensure_ascii=False)


def plain(text: str, limit: int) -> Block:
    """Text in which nothing is parsed but emoji. What would call people elsewhere is defused all the same: text is copied."""
    return {"type": "plain_text", "text": defused(clean(text, limit, lines=False)) or "–", "emoji": True}


def words(mrkdwn: str, limit: int = 3000) -> Block:
    """Our own mrkdwn. `verbatim`: Slack makes no link and no mention of what only looks like one."""
    return {"type": "mrkdwn", "text": clip(mrkdwn, limit) if mrkdwn.strip() else "–", "verbatim": True}


def link(url: str | None, label: str) -> str:
    """A link with a label of ours; nothing where `url` is not something to open."""
    if not url or not is_link(url):
        return ""
    safe = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{safe}|{label}>"


def is_link(url: str | None) -> bool:
    """Whether this is an http(s) address without blanks, short enough for Slack."""
    if not url or len(url) > 2900 or not url.startswith(("https://", "http://")):
        return False
    return url.isprintable() and " " not in url and '"' not in url
