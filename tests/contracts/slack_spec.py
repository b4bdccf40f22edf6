"""Slack's own schemas, where they are beside this checkout: which fields a block has, and what a method takes and refuses."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

SPECS = Path(__file__).parents[3] / "shared" / "specs"
MESSAGE, MODAL, WEB = (
    SPECS / f"slack-{name}.json" for name in ("message-blocks.schema", "modal-view.schema", "web-api-2021.openapi")
)
IS_THERE = MESSAGE.exists() and MODAL.exists() and WEB.exists()
ABSENT = "Slack's schemas are not beside this checkout"


def wrong_shapes(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """What Slack's schema has against the blocks of a message: each one is held against the definition of its type."""
    return [said for index, block in enumerate(blocks) for said in _wrong(MESSAGE, block, f"{index}")]


def wrong_view(view: Mapping[str, Any]) -> list[str]:
    """The same of a form, its frame too."""
    frame = {**view, "blocks": []}
    wrong = [f"view: {one.message}" for one in _validator(MODAL, "ModalView").iter_errors(frame)]
    return wrong + [said for index, block in enumerate(view["blocks"]) for said in _wrong(MODAL, block, f"{index}")]


def _wrong(schema: Path, block: Mapping[str, Any], at: str) -> list[str]:
    name = _definitions(schema).get(str(block.get("type")))
    if name is None:
        return [f"{at}: Slack has no block of type {block.get('type')}"]
    return [f"{at}:{block['type']}{_words(one)}" for one in _validator(schema, name).iter_errors(block)]


def _words(error: Any) -> str:
    """An error, down to the field: of the shapes that something may have, the one of its own type."""
    at = "".join(f"/{one}" for one in error.relative_path)
    shapes: dict[Any, list[Any]] = {}
    for one in error.context or ():
        shapes.setdefault(one.relative_schema_path[0], []).append(one)
    likeliest = min(shapes.values(), key=lambda given: (any(one.validator == "const" for one in given), len(given)), default=[])
    return f"{at}: " + ("; ".join(map(_words, likeliest)) if likeliest else error.message[:200])


@cache
def _document(schema: Path) -> dict[str, Any]:
    return dict(json.loads(schema.read_text(encoding="utf-8")))


@cache
def _definitions(schema: Path) -> dict[str, str]:
    """The definition of each type of block."""
    found = _document(schema)["definitions"]
    kinds = {one.get("properties", {}).get("type", {}).get("const"): name for name, one in found.items() if name.endswith("Block")}
    return {kind: name for kind, name in kinds.items() if kind}


@cache
def _validator(schema: Path, definition: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/definitions/{definition}", "definitions": _document(schema)["definitions"]})


# --- methods ----------------------------------------------------------------------------------

NEWER = {
    "chat.postMessage": {"metadata"}, "conversations.history": {"include_all_metadata"}, "conversations.invite": {"force"},
}  # fmt: skip
"""Arguments that Slack added after that description was written. https://docs.slack.dev/reference/methods"""
NEWER_ERRORS = frozenset({"invalid_blocks", "msg_blocks_too_long", "ratelimited", "token_revoked"})
"""Errors that any method may give now."""


def is_known(method: str) -> bool:
    """Whether that old description has the method."""
    return f"/{method}" in _document(WEB)["paths"]


def wrong_arguments(method: str, given: Mapping[str, Any]) -> list[str]:
    """Arguments that the method does not have, lacks, or has of another kind."""
    known = {one["name"]: one for one in _operation(method)["parameters"]}
    unknown = given.keys() - known.keys() - NEWER.get(method, set())
    missing = {name for name, one in known.items() if one.get("required") and name != "token"} - given.keys()
    kinds = [f"{name} is {value!r}" for name, value in given.items() if name in known and not _fits(known[name]["type"], value)]
    return [*(f"no argument is called {one}" for one in sorted(unknown)), *(f"{one} is missing" for one in sorted(missing)), *kinds]


def _fits(kind: str, value: Any) -> bool:
    """Whether a value is of that kind, as JSON or as the text of a form."""
    match kind:
        case "boolean":
            return value in (True, False, "true", "false", "1", "0")
        case "integer" | "number":
            return isinstance(value, (int, float)) or str(value).replace(".", "", 1).isdigit()
    return isinstance(value, (str, list, dict))


def errors_of(method: str) -> Iterable[str]:
    """The errors that the method may give; none where nothing is said of them."""
    answers = _operation(method)["responses"].get("default", {}).get("schema", {}).get("properties", {})
    named = answers.get("error", {}).get("enum", [])
    return {*named, *NEWER_ERRORS} if named else ()


def _operation(method: str) -> Mapping[str, Any]:
    found: dict[str, Any] = _document(WEB)["paths"][f"/{method}"]
    return dict(next(iter(found.values())))
