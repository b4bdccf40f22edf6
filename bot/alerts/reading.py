"""Reading what senders write: JSON with its places, times of every kind, words for severity, links that are links."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import orjson

from bot.alerts.alert import DESCRIPTION_LIMIT, TITLE_LIMIT, Alert, Link, Severity
from bot.alerts.source import FORM, Delivery
from bot.errors import Unreadable

DEEPEST = 200
MOST = 20_000
"""So many alerts may come at once: more than any sender writes into the five megabytes that are taken."""
MOST_NAMES = 5_000
"""So many labels may one alert have: more than any sender writes, and few enough to keep."""
ZERO_TIME = "0001-01-01T"
EARLIEST, LATEST = 1e8, 1e10
"""Seconds since 1970 that can be a time: from 1973 on."""
TIME = re.compile(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?\s*(Z|z|[+-]\d\d:?\d\d)?$", re.ASCII)
NO_ADDRESS = re.compile(r"[\s\x00-\x1f]")
"""What an address cannot have in it."""
WORDS = {
    Severity.CRITICAL: (
        "critical", "crit", "page", "emergency", "fatal", "sev0", "sev1", "p0", "p1", "disaster", "urgent", "blocker",
    ),
    Severity.HIGH: ("high", "error", "err", "major", "sev2", "p2"),
    Severity.MEDIUM: ("medium", "warning", "warn", "moderate", "average", "sev3", "p3"),
    Severity.LOW: ("low", "minor", "notice", "sev4", "p4"),
    Severity.INFO: ("info", "information", "informational", "none", "debug", "ok", "sev5", "p5"),
}  # fmt: skip
SEVERITIES = {word: severity for severity, words in WORDS.items() for word in words}
SERVICE_LABELS = ("service", "service_name", "app", "app_kubernetes_io_name", "application", "job", "host")
ENVIRONMENT_LABELS = ("environment", "env", "deployment_environment", "stage")


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises `Unreadable` with what is wrong and where."""
    value = json_value(body)
    if not isinstance(value, dict):
        raise Unreadable(f"expected a JSON object, got {kind_of(value)}")
    return value


def json_value(body: bytes) -> Any:
    """The body as JSON: UTF-8, no NaN, a byte order mark allowed. Raises `Unreadable`."""
    text = body.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise Unreadable("the body is empty; expected JSON")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from None
    except RecursionError:
        raise Unreadable("nested too deep") from None
    # Nothing is nested deeper than it has brackets: most bodies need no walk through them.
    if text.count(b"{") + text.count(b"[") > DEEPEST:
        _check_depth(value)
    return value


def is_form(delivery: Delivery) -> bool:
    """Whether the body is a form, by what its sender says."""
    return delivery.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def form_of(body: bytes) -> dict[str, str]:
    """A form's fields; of two with the same name the first. Raises `Unreadable`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise Unreadable(f"not a form: {error}") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _check_depth(value: Any) -> None:
    """Whatever is done with the value later may recurse; so nothing deeper than any real sender goes on."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels")
        level = [child for one in level for child in _children(one)]
        depth += 1


def _children(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def kind_of(value: Any) -> str:
    """What JSON calls a value, for an error."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def object_at(value: Any, place: str) -> dict[str, Any]:
    """An object, or an empty one for null. Raises `Unreadable` with the place."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{place}: expected an object, got {kind_of(value)}")
    return value


def map_at(value: Any, place: str) -> dict[str, Any]:
    """An object of names that their sender chooses, such as labels. Raises `Unreadable` where it has more than any sender's."""
    found = object_at(value, place)
    check_names(len(found), place)
    return found


def tags_at(value: Any, place: str) -> list[Any]:
    """Tags, as a list or as a text with commas. Raises `Unreadable` with the place where they are more than any sender's."""
    tags: list[Any] = value if isinstance(value, list) else text_of(value).split(",")
    check_names(len(tags), place)
    return tags


def check_names(count: int, place: str) -> None:
    """Raise `Unreadable` with the place where an alert has more labels or tags than any sender's."""
    if count > MOST_NAMES:
        raise Unreadable(f"{place}: {count} names, more than {MOST_NAMES}; leave out those that change with every alert")


def list_at(value: Any, place: str) -> list[Any]:
    """A list. Raises `Unreadable` with the place where it is none, or longer than any sender's."""
    if not isinstance(value, list):
        raise Unreadable(f"{place}: expected a list, got {kind_of(value)}")
    if len(value) > MOST:
        raise Unreadable(f"{place}: {len(value)} at once, more than {MOST}; send them in parts")
    return value


def text_of(value: Any) -> str:
    """Any JSON value as one plain text without NUL; empty for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("\x00", "").strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return orjson.dumps(value).decode()


def texts_at(value: Any, place: str) -> dict[str, str]:
    """A map of texts, such as labels. Raises `Unreadable` with the place."""
    return {text_of(key): text_of(one) for key, one in map_at(value, place).items()}


def first(*values: Any) -> str:
    """The first of the values that says something."""
    return next((text for text in map(text_of, values) if text), "")


def first_label(labels: Mapping[str, str], names: Sequence[str]) -> str | None:
    """The value of the first of these labels that is there."""
    return next((labels[name] for name in names if labels.get(name)), None)


def label_hash(labels: Mapping[str, str]) -> str:
    """Stands in for the fingerprint where a sender gives none: the label set, whatever its order."""
    text = "\x1f".join(f"{name}\x1e{value}" for name, value in sorted(labels.items()))
    return sha256(text.encode("utf-8", errors="replace")).hexdigest()[:16]


def short(text: str, limit: int = TITLE_LIMIT) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def long(text: str) -> str:
    """Text of at most the model's limit."""
    return text if len(text) <= DESCRIPTION_LIMIT else text[: DESCRIPTION_LIMIT - 1] + "…"


def severity_of(word: str) -> Severity:
    """What a sender's word means; UNKNOWN for one that nobody knows."""
    return SEVERITIES.get(word.strip().lower().replace("-", "").replace("_", ""), Severity.UNKNOWN)


def moment(value: Any) -> datetime | None:
    """A time in any of the forms senders use, in UTC; None where it says none, or nothing that is a time.

    Text with 0 to 9 digits of fraction and any zone (none means UTC); a number is seconds or milliseconds since 1970.
    Go's zero time means "not yet".
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _since_1970(float(value))
    text = text_of(value)
    if not text or text.startswith(ZERO_TIME):
        return None
    if re.fullmatch(r"\d{9,19}(\.\d+)?", text, re.ASCII):
        return _since_1970(float(text))
    return _written(text)


def _written(text: str) -> datetime | None:
    found = TIME.match(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    clock = clock if len(clock) == 8 else clock + ":00"
    zone = "+00:00" if zone in (None, "Z", "z") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    micro = (fraction or "0")[:6].ljust(6, "0")
    try:
        at = datetime.fromisoformat(f"{day}T{clock}.{micro}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # 1970 is how many senders write that they have no time, and nothing fires since the Middle Ages.
    return at if EARLIEST <= at.timestamp() < LATEST else None


def _since_1970(number: float) -> datetime | None:
    for scale in (1, 1e3, 1e6, 1e9):
        if EARLIEST <= number / scale < LATEST:
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=number / scale)
    return None


def web_url(value: Any, base: str = "") -> str | None:
    """An http(s) address, resolved against `base`; None for anything else."""
    text = text_of(value)
    if not text or len(text) > 4000 or NO_ADDRESS.search(text):
        return None
    try:
        full = urljoin(base, text) if base else text
        parts = urlsplit(full)
    except ValueError:
        return None
    return full if parts.scheme in ("http", "https") and parts.hostname else None


def links_from(pairs: Sequence[tuple[str, Any, str]], base: str = "") -> tuple[Link, ...]:
    """(rel, address, title) as links; what is no web address is left out."""
    found = ((rel, web_url(value, base), title) for rel, value, title in pairs)
    return tuple(Link(rel, url, title) for rel, url, title in found if url)


def as_json(alert: Alert) -> dict[str, Any]:
    """An alert as `bot explain --json` prints it."""
    return {
        "kind": alert.kind.value,
        "status": alert.status.value,
        "severity": alert.severity.value,
        "title": alert.title,
        "name": alert.labels.get("alertname"),
        "service": alert.service,
        "environment": alert.environment,
        "identity": alert.identity,
        "started_at": _written_out(alert.started_at),
        "ended_at": _written_out(alert.ended_at),
        "url": alert.url,
        "description": alert.description,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "links": [{"rel": link.rel, "url": link.url, "title": link.title} for link in alert.links],
        "group_key": alert.group_key,
        "source_status": alert.source_status,
        "source_severity": alert.source_severity,
        "no_data": alert.no_data,
        "truncated_count": alert.truncated_count,
        "defaults": list(alert.defaults),
        "attributes": dict(alert.attributes),
        "change": None if alert.change is None else asdict(alert.change),
        "finding": None if alert.finding is None else asdict(alert.finding) | {"created_at": _written_out(alert.finding.created_at)},
    }


def _written_out(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
