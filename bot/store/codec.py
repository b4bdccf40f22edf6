"""Values to JSON and back: incidents, inputs and effects, found again by their class names.

A field that an old row does not have takes its default; one that we no longer have is left out. Renaming a class, or
changing what a field means, takes a migration.
"""

import types
from collections.abc import Callable, Mapping
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

TRANSIENT = {"Merge": ("target",), "Split": ("number", "target", "records"), "RelatedLeft": ("number", "target", "records", "quiet"),
             "AlertReported": ("placement", "runbook", "record", "theirs", "missed"), "Reopen": ("records",),
             "Declare": ("record", "twin"), "CalmPassed": ("record",), "HeartbeatMissed": ("is_unread",),
             "HeartbeatExpected": ("since", "is_in_hand"),
             "QuietPassed": ("is_unread",), "SilenceAlerts": ("worst",),
             "ConfirmSilence": ("silence",), "EndSilence": ("silence", "kept"), "SilenceExpired": ("silence", "kept")}  # fmt: skip
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
    return _encoder(_kind(value))(value)


def decode(kind: Any, stored: Any) -> Any:
    """The value of type `kind` that `stored` stands for."""
    return _decoder(kind)(stored)


# How a type is written and read is found out once. An incident may have hundreds of alerts, and is read for each report
# of each of them.


@cache
def _encoder(kind: Any) -> Callable[[Any], Any]:
    if is_dataclass(kind):
        return _encode_fields
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, datetime | date):
        return lambda value: value.isoformat()
    if issubclass(kind, timedelta):
        return lambda value: value.total_seconds()
    if issubclass(kind, Mapping):
        return lambda value: {str(encode(key)): encode(one) for key, one in value.items()}
    if issubclass(kind, tuple | list | frozenset):
        return lambda value: [encode(one) for one in value]
    if issubclass(kind, str):
        # PostgreSQL keeps no NUL, in text or in JSON.
        return lambda value: value.replace("\x00", "")
    return _as_it_is


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        candidates = [one for one in get_args(kind) if one is not type(None)]
        return _or_none(_decoder(candidates[0])) if len(candidates) == 1 else _as_it_is
    if origin is not None:
        return _decoder_of_many(origin, get_args(kind))
    if kind in (Any, object) or not isinstance(kind, type):
        return _as_it_is
    if is_dataclass(kind):
        # What its fields are is asked when the first one is read: a value may hold others of its own kind.
        return _or_none(lambda stored: _decode_fields(kind, stored))
    return _or_none(_decoder_of_plain(kind))


def _decoder_of_plain(kind: type) -> Callable[[Any], Any]:
    if issubclass(kind, Enum):
        return kind
    if kind is datetime:
        return datetime.fromisoformat
    if kind is date:
        return date.fromisoformat
    if kind is timedelta:
        return lambda stored: timedelta(seconds=stored)
    return _as_it_is


def _decoder_of_many(origin: Any, arguments: tuple[Any, ...]) -> Callable[[Any], Any]:
    parts = [_decoder(one) for one in arguments if one is not Ellipsis]
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return lambda stored: tuple(parts[0](one) for one in stored)
        return lambda stored: tuple(part(one) for part, one in zip(parts, stored, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda stored: {parts[0](key): parts[1](one) for key, one in stored.items()}
    return _as_it_is


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if read is _as_it_is:
        return read
    return lambda stored: None if stored is None else read(stored)


def _as_it_is(value: Any) -> Any:
    return value


def _kind(value: object) -> Any:
    return type(value)


def _encode_fields(value: Any) -> dict[str, Any]:
    return {name: encode(getattr(value, name)) for name in _stored_fields(_kind(value))}


def _decode_fields(kind: type, stored: Mapping[str, Any]) -> Any:
    return kind(**{name: read(stored[name]) for name, read in _field_decoders(kind) if name in stored})


@cache
def _field_decoders(kind: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(kind, localns=LOCAL)
    return tuple((name, _decoder(hints[name])) for name in _stored_fields(kind))


@cache
def _stored_fields(kind: Any) -> tuple[str, ...]:
    unstored = TRANSIENT.get(kind.__name__, ())
    return tuple(one.name for one in fields(kind) if one.init and one.name not in unstored)
