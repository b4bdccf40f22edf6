"""What Slack refuses for its size: one walk over a message's blocks or a form, in Slack's own figures.

https://docs.slack.dev/reference/block-kit and https://docs.slack.dev/reference/views/modal-views
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TEXT, FALLBACK, MESSAGE = 3000, 4000, 10_000
"""Characters: of a text object; of the text beside the blocks; of everything in a message's blocks.

Slack's own figure for the last is not written down; messages of a little over 11,000 were refused (slackapi/bolt-js#2867).
"""
BLOCKS = {"message": 50, "modal": 100}
TEXTS = {
    ("header", "text"): 150, ("section", "text"): 3000, ("input", "label"): 2000, ("input", "hint"): 2000,
    ("button", "text"): 75, ("option", "text"): 75, ("option", "description"): 75, ("placeholder", ""): 150,
    ("modal", "title"): 24, ("modal", "submit"): 24, ("modal", "close"): 24,
}  # fmt: skip
ITEMS = {("section", "fields"): 10, ("context", "elements"): 10, ("actions", "elements"): 25, ("overflow", "options"): 5,
         ("static_select", "options"): 100, ("static_select", "option_groups"): 100, ("radio_buttons", "options"): 10,
         ("checkboxes", "options"): 10, ("table", "rows"): 100}  # fmt: skip
PLAIN = frozenset({"header", "button", "input", "modal", "placeholder"})


def wrong_in_message(text: str, blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What Slack would refuse of a message."""
    wrong = [] if 0 < len(text) <= FALLBACK else [f"text: {len(text)} characters"]
    total = sum(map(len, texts_in(blocks)))
    if total > MESSAGE:
        wrong.append(f"blocks: {total} characters in all")
    if sum(one.get("type") == "table" for one in blocks) > 1:
        wrong.append("blocks: more than one table")
    return wrong + list(_blocks(blocks, "message"))


def wrong_in_view(view: Mapping[str, Any]) -> list[str]:
    """What Slack would refuse of a form."""
    wrong = [one for name in ("title", "submit", "close") if name in view for one in _text(view[name], "modal", name, name)]
    wrong += [f"{name}: {len(view[name])} characters" for name, limit in (("private_metadata", 3000), ("callback_id", 255))
              if len(view.get(name, "")) > limit]  # fmt: skip
    blocks = view["blocks"]
    ids = [one["block_id"] for one in blocks if "block_id" in one]
    if len(ids) != len(set(ids)):
        wrong.append("a block_id stands twice")
    if any(one["type"] == "input" for one in blocks) and "submit" not in view:
        wrong.append("a form with fields needs a submit")
    return wrong + list(_blocks(blocks, "modal"))


def texts_in(value: Any) -> Iterator[str]:
    """Every text that somebody reads."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name == "text" and isinstance(one, str):
                yield one
            else:
                yield from texts_in(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts_in(one)


def elements_in(blocks: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Everything that can be pressed, chosen or filled in."""
    for block in blocks:
        yield from block.get("elements", []) if block["type"] == "actions" else []
        yield from (block[name] for name in ("accessory", "element") if name in block)


def _blocks(blocks: Sequence[Mapping[str, Any]], where: str) -> Iterator[str]:
    if not 0 < len(blocks) <= BLOCKS[where]:
        yield f"{len(blocks)} blocks"
    for index, block in enumerate(blocks):
        yield from _block(block, f"{index}:{block['type']}")


def _block(block: Mapping[str, Any], at: str) -> Iterator[str]:
    kind = block["type"]
    yield from _ids(block, at)
    yield from _items(block, at)
    for name in ("text", "label", "hint"):
        if name in block:
            yield from _text(block[name], kind, name, f"{at}/{name}")
    for one in block.get("fields", []):
        yield from _text(one, "field", "", f"{at}/fields", 2000)
    if kind == "context":
        for one in block["elements"]:
            yield from _text(one, "context", "", f"{at}/elements")
    if kind == "table":
        yield from _table(block, at)
    elements = list(elements_in([block]))
    for one in elements:
        yield from _element(one, f"{at}/{one['type']}:{one.get('action_id')}")
    actions = [one["action_id"] for one in elements]
    if len(actions) != len(set(actions)):
        yield f"{at}: an action_id stands twice: {actions}"


def _element(element: Mapping[str, Any], at: str) -> Iterator[str]:
    kind = element["type"]
    yield from _ids(element, at)
    yield from _items(element, at)
    if "text" in element:
        yield from _text(element["text"], kind, "text", at)
    if "placeholder" in element:
        yield from _text(element["placeholder"], "placeholder", "", at)
    for name, limit in (("value", 2000), ("url", 3000)):
        if len(element.get(name, "")) > limit:
            yield f"{at}/{name}: {len(element[name])} characters"
    options = [*element.get("options", []), *(one for group in element.get("option_groups", []) for one in group["options"])]
    for one in options:
        yield from _option(one, at)
    values = [one["value"] for one in options]
    if len(values) != len(set(values)):
        yield f"{at}: a value stands twice"
    if "initial_option" in element and element["initial_option"] not in options:
        yield f"{at}: what is chosen is none of the options"
    if kind == "plain_text_input":
        limit = element.get("max_length", TEXT)
        if not 0 < limit <= TEXT or len(element.get("initial_value", "")) > limit:
            yield f"{at}: {len(element.get('initial_value', ''))} of {limit} characters"


def _option(option: Mapping[str, Any], at: str) -> Iterator[str]:
    yield from _text(option["text"], "option", "text", f"{at}/option")
    if "description" in option:
        yield from _text(option["description"], "option", "description", f"{at}/option")
    if not 0 < len(option["value"]) <= 150:
        yield f"{at}/option: a value of {len(option['value'])} characters"


def _table(block: Mapping[str, Any], at: str) -> Iterator[str]:
    cells = [cell for row in block["rows"] for cell in row]
    if any(len(row) > 20 for row in block["rows"]) or len(block.get("column_settings", [])) > 20:
        yield f"{at}: more than 20 columns"
    if len({len(row) for row in block["rows"]}) > 1:
        yield f"{at}: rows of different length"
    if not all(cell["text"] for cell in cells):
        yield f"{at}: an empty cell"


def _text(text: Mapping[str, Any], kind: str, name: str, at: str, most: int = TEXT) -> Iterator[str]:
    limit = TEXTS.get((kind, name), most)
    if not 0 < len(text["text"].strip()) <= len(text["text"]) <= limit:
        yield f"{at}: {len(text['text'])} of {limit} characters"
    if kind in PLAIN and text["type"] != "plain_text":
        yield f"{at}: {text['type']} where only plain_text goes"


def _items(given: Mapping[str, Any], at: str) -> Iterator[str]:
    for (kind, name), limit in ITEMS.items():
        if given["type"] == kind and name in given and not 0 < len(given[name]) <= limit:
            yield f"{at}/{name}: {len(given[name])} of {limit}"


def _ids(given: Mapping[str, Any], at: str) -> Iterator[str]:
    for name in ("action_id", "block_id"):
        if name in given and not 0 < len(given[name]) <= 255:
            yield f"{at}/{name}: {len(given[name])} characters"
