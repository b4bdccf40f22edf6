"""Values to JSON and back: incidents, inputs and effects, found again by their class names.

A field that an old row does not have takes its default; one that we no longer have is left out. Renaming a class, or
changing what a field means, takes a migration.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from bot.alerts.matching import Placement
from bot.incidents import effects, inputs
from bot.incidents.decision import AlertRecord
from bot.incidents.effects import Effect
from bot.incidents.incident import Incident
from bot.incidents.inputs import Input
from bot.runbooks import Choice

TRANSIENT = {"Merge": ("target",), "AlertReported": ("placement", "runbook"), "Declare": ("record",)}
"""Fields that the door fills in for one decision; never stored."""

NAMES: dict[str, type] = {one.__name__: one for one in (*get_args(inputs.Input), *get_args(effects.Effect))}
LOCAL = {"Placement": Placement, "Incident": Incident, "Choice": Choice, "AlertRecord": AlertRecord}


def encode_tagged(value: Input | Effect) -> dict[str, Any]:
    """An input or effect with the name of its class."""
    return {"kind": type(value).__name__, **_encode_fields(value)}


def decode_tagged(stored: Mapping[str, Any]) -> Any:
    """The input or effect. Raises ValueError where this version cannot read it: for a name that nothing has, or for
    fields that are missing or of another kind.
    """
    kind = NAMES.get(str(stored.get("kind")))
    if kind is None:
        raise ValueError(f"nothing is called {stored.get('kind')!r}; was it renamed without a migration?")
    try:
        return decode(kind, stored)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


def encode(value: Any) -> Any:
    """Any of our values as JSON: moments as RFC 3339, lengths of time as seconds."""
    if is_dataclass(value) and not isinstance(value, type):
        return _encode_fields(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(encode(key)): encode(one) for key, one in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [encode(one) for one in value]
    if isinstance(value, str):
        # PostgreSQL keeps no NUL, in text or in JSON.
        return value.replace("\x00", "")
    return value


def decode(kind: Any, stored: Any) -> Any:
    """The value of type `kind` that `stored` stands for."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), stored)
    if origin is not None:
        return _decode_many(origin, get_args(kind), stored)
    if kind in (Any, object) or stored is None or not isinstance(kind, type):
        return stored
    if is_dataclass(kind):
        return _decode_fields(kind, stored)
    return _decode_plain(kind, stored)


def _decode_plain(kind: type, stored: Any) -> Any:
    if issubclass(kind, Enum):
        return kind(stored)
    if kind is datetime:
        return datetime.fromisoformat(stored)
    if kind is date:
        return date.fromisoformat(stored)
    if kind is timedelta:
        return timedelta(seconds=stored)
    return stored


def _decode_union(kinds: tuple[Any, ...], stored: Any) -> Any:
    if stored is None:
        return None
    candidates = [one for one in kinds if one is not type(None)]
    return decode(candidates[0], stored) if len(candidates) == 1 else stored


def _decode_many(origin: Any, arguments: tuple[Any, ...], stored: Any) -> Any:
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(decode(arguments[0], one) for one in stored)
        return tuple(decode(kind, one) for kind, one in zip(arguments, stored, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {decode(arguments[0], key): decode(arguments[1], one) for key, one in stored.items()}
    return stored


def _encode_fields(value: Any) -> dict[str, Any]:
    return {name: encode(getattr(value, name)) for name in _stored_fields(_kind(value))}


def _kind(value: object) -> Any:
    return type(value)


def _decode_fields(kind: type, stored: Mapping[str, Any]) -> Any:
    hints = _hints(kind)
    given = {name: decode(hints[name], stored[name]) for name in _stored_fields(kind) if name in stored}
    return kind(**given)


@cache
def _stored_fields(kind: Any) -> tuple[str, ...]:
    unstored = TRANSIENT.get(kind.__name__, ())
    return tuple(one.name for one in fields(kind) if one.init and one.name not in unstored)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, localns=LOCAL)
