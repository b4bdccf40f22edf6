"""What Slack refuses in Block Kit: kinds it does not know, and more than fits. https://docs.slack.dev/reference/block-kit/blocks"""

from collections.abc import Sequence
from typing import Any

from sandbox.slack.workspace import Json, SlackError

KINDS = frozenset({
    "header", "section", "divider", "context", "actions", "image", "input", "rich_text", "file", "video", "markdown",
    "table", "data_visualization", "call", "context_actions",
})  # fmt: skip


MESSAGE_LIMIT = 13_000
"""Characters in all blocks of a message. Written nowhere; measured by people whose messages were refused."""


def check(blocks: Any, limit: int = 50) -> list[Json]:
    """The blocks, if Slack would take them. Raises SlackError with `invalid_blocks` and what is wrong."""
    if not isinstance(blocks, list):
        raise _wrong("blocks must be an array")
    if len(blocks) > limit:
        raise _wrong(f"no more than {limit} items allowed [json-pointer:/blocks]")
    for index, block in enumerate(blocks):
        _one(block, f"/blocks/{index}")
    ids = [one["block_id"] for one in blocks if one.get("block_id")]
    if len(ids) != len(set(ids)):
        raise _wrong("block_id already exists")
    if sum(one["type"] == "table" for one in blocks) > 1:
        raise SlackError("invalid_attachments", response_metadata={"messages": ["only one table is allowed"]})
    if limit == 50 and _length(blocks) > MESSAGE_LIMIT:
        raise SlackError("msg_blocks_too_long")
    return blocks


def _length(value: Any) -> int:
    """The characters of every text in there."""
    if isinstance(value, dict):
        return sum(len(one) if name == "text" and isinstance(one, str) else _length(one) for name, one in value.items())
    return sum(map(_length, value)) if isinstance(value, list) else 0


def _one(block: Any, at: str) -> None:
    if not isinstance(block, dict) or block.get("type") not in KINDS:
        raise _wrong(f"unsupported type: {block.get('type') if isinstance(block, dict) else block} [json-pointer:{at}]")
    kind = block["type"]
    if kind == "header":
        _text(block.get("text"), 150, at, plain=True)
    elif kind == "section":
        _section(block, at)
    elif kind == "context":
        _count(block.get("elements"), 10, at)
        for one in block["elements"]:
            if one.get("type") in ("mrkdwn", "plain_text"):
                _text(one, 3000, at)
    elif kind == "actions":
        _count(block.get("elements"), 25, at)
        _elements(block["elements"], at)
    elif kind == "input":
        _text(block.get("label"), 2000, at, plain=True)
        _elements([block.get("element")], at)
    elif kind == "table":
        _table(block, at)


def _section(block: Json, at: str) -> None:
    if "text" not in block and "fields" not in block:
        raise _wrong(f"must have text or fields [json-pointer:{at}]")
    if "text" in block:
        _text(block["text"], 3000, at)
    if "fields" in block:
        _count(block["fields"], 10, at)
        for one in block["fields"]:
            _text(one, 2000, at)
    if "accessory" in block:
        _elements([block["accessory"]], at)


def _table(block: Json, at: str) -> None:
    rows = block.get("rows")
    _count(rows, 100, at)
    cells = [cell for row in rows or [] for cell in row]
    if any(len(row) > 20 for row in rows or []):
        raise _wrong(f"no more than 20 columns [json-pointer:{at}]")
    if any(cell.get("type") == "raw_text" and not cell.get("text") for cell in cells):
        raise _wrong(f"must be more than 0 characters [json-pointer:{at}/rows]")
    if sum(len(str(cell.get("text", ""))) for cell in cells) > 10_000:
        raise _wrong(f"table is too large [json-pointer:{at}]")


def _elements(elements: Sequence[Any], at: str) -> None:
    seen: set[str] = set()
    for one in elements:
        if not isinstance(one, dict) or "type" not in one:
            raise _wrong(f"missing element [json-pointer:{at}]")
        action = one.get("action_id", "")
        if len(action) > 255:
            raise _wrong(f"action_id is too long [json-pointer:{at}]")
        if action and action in seen:
            raise _wrong(f"action_id {action} already exists in the block [json-pointer:{at}]")
        seen.add(action)
        if one["type"] == "button":
            _text(one.get("text"), 75, at, plain=True)
            if len(one.get("value", "")) > 2000 or len(one.get("url", "")) > 3000:
                raise _wrong(f"button value or url is too long [json-pointer:{at}]")
        options = one.get("options")
        if options is not None:
            _count(options, 100, at)
            for option in options:
                _text(option.get("text"), 75, at)


def _text(text: Any, limit: int, at: str, *, plain: bool = False) -> None:
    if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
        raise _wrong(f"must be a text object [json-pointer:{at}/text]")
    if plain and text["type"] != "plain_text":
        raise _wrong(f"must be plain_text [json-pointer:{at}/text]")
    if not 0 < len(text.get("text") or "") <= limit:
        raise _wrong(f"must be 1 to {limit} characters [json-pointer:{at}/text]")


def _count(value: Any, limit: int, at: str) -> None:
    if not isinstance(value, list) or not 0 < len(value) <= limit:
        raise _wrong(f"must have 1 to {limit} items [json-pointer:{at}]")


def _wrong(message: str) -> SlackError:
    return SlackError("invalid_blocks", errors=[message], response_metadata={"messages": [f"[ERROR] {message}"]})
