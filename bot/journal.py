"""The journal: timelines, and what metrics need beside them, as one JSON object. Read whole or refused whole. Pure.

docs/journal.md describes it. What is imported gives the same numbers as what was lived through here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bot.errors import Unreadable
from bot.incidents.timeline import Entry, rfc3339

OTHERS = ("deployments", "changes", "vulnerabilities", "repos", "requests", "p95_ms", "probes")
"""The parts that are no entries. One that is missing is "no source", never zero."""
MOMENTS = frozenset({"received_at", "value", "impact_ended_at", "effective_at", "next_by", "due", "cleared_at",
                     "promised_for"})  # fmt: skip
"""Fields of entries that hold a moment, where they hold one."""
NEEDED = ("at", "type", "incident")


@dataclass(frozen=True, slots=True)
class Journal:
    """Timelines with their zone and people. `others` holds the parts that are no entries, as the file has them."""

    entries: tuple[Entry, ...]
    tz: str = "UTC"
    people: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Sequence[Entry], notes: Mapping[str, Any], *, tz: str, people: Mapping[str, str]) -> "Journal":
        """From the record: `notes` are the parts of imported journals, whose zone and people come first."""
        others = {name: notes[name] for name in OTHERS if notes.get(name) is not None}
        return cls(tuple(entries), str(notes.get("tz") or tz), {**people, **(notes.get("people") or {})}, others)

    @property
    def zone(self) -> ZoneInfo:
        """The team's zone."""
        return ZoneInfo(self.tz)

    def zone_of(self, person: str | None) -> ZoneInfo:
        """The zone of a person; the team's where theirs is not known."""
        name = self.people.get(person or "")
        return ZoneInfo(name) if name in available_timezones() else self.zone


def read(text: str | bytes) -> Journal:
    """Read a journal. Raises `Unreadable` with the line, or the entry's index, and what is wrong with it."""
    content = _json(text)
    if not isinstance(content, dict):
        raise Unreadable("line 1: expected a JSON object with `events`")
    events = content.get("events")
    if not isinstance(events, list):
        raise Unreadable("events: missing, or not a list")
    tz = content.get("tz", "UTC")
    if tz not in available_timezones():
        raise Unreadable(f"tz: {tz!r} is not an IANA time zone")
    entries = tuple(_entry(one, index) for index, one in enumerate(events))
    _check_others(content)
    people = _people(content.get("people") or {})
    others = {name: content[name] for name in OTHERS if content.get(name) is not None}
    return Journal(_once(entries), tz, people, others)


def write(journal: Journal) -> str:
    """The file: entries in order of when they happened, keys in a fixed order; the same journal gives the same bytes."""
    ordered = sorted(journal.entries, key=lambda one: (one.at, one.incident, one.type, json.dumps(one.as_json(), default=str)))
    lines = [json.dumps(_plain(one), ensure_ascii=False) for one in ordered]
    parts = [
        f'"tz": {json.dumps(journal.tz)}',
        f'"people": {json.dumps(dict(sorted(journal.people.items())), ensure_ascii=False)}',
    ]
    parts += [f'"{name}": {json.dumps(journal.others[name], ensure_ascii=False)}' for name in OTHERS if name in journal.others]
    events = ",\n  ".join(lines)
    parts.append(f'"events": [\n  {events}\n ]' if lines else '"events": []')
    return "{" + ",\n ".join(parts) + "}\n"


def _plain(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.as_json().items() if value is not None}


def _json(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise Unreadable("line 1: nested too deep") from None


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Unreadable(f"line {line}: not UTF-8") from None


def _no_constant(word: str) -> Any:
    raise Unreadable(f"{word} is not a number that JSON knows")


def _entry(given: Any, index: int) -> Entry:
    place = f"events[{index}]"
    if not isinstance(given, dict):
        raise Unreadable(f"{place}: expected an object")
    for name in NEEDED:
        if not isinstance(given.get(name), str) or not given[name]:
            raise Unreadable(f"{place}.{name}: missing, or not text")
    by = given.get("by")
    if by is not None and not isinstance(by, str):
        raise Unreadable(f"{place}.by: expected a person's name")
    fields = {key: value for key, value in given.items() if key not in (*NEEDED, "by") and value is not None}
    for name in MOMENTS & fields.keys():
        if name != "due" and isinstance(fields[name], str):
            fields[name] = rfc3339(moment(fields[name], f"{place}.{name}"))
    _check_fields(given["type"], fields, place)
    return Entry(moment(given["at"], f"{place}.at"), given["type"], given["incident"], by, fields)


def _check_fields(type_: str, fields: Mapping[str, Any], place: str) -> None:
    severities = {"SEV1", "SEV2", "SEV3", "SEV4", "SEV5"}
    if type_ == "opened" and fields.get("severity", "SEV3") not in severities:
        raise Unreadable(f"{place}.severity: expected SEV1 to SEV5, not {fields['severity']!r}")
    if type_ == "severity_changed" and fields.get("to") not in severities:
        raise Unreadable(f"{place}.to: expected SEV1 to SEV5, not {fields.get('to')!r}")
    if type_ == "impact_started_set" and not isinstance(fields.get("value"), str):
        raise Unreadable(f"{place}.value: expected a time")
    if type_ == "merged" and not isinstance(fields.get("into"), str):
        raise Unreadable(f"{place}.into: expected an incident")


def moment(text: Any, place: str) -> datetime:
    """An RFC 3339 time in UTC. Raises `Unreadable` with the place."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise Unreadable(f"{place}: {text!r} is not a time like 2026-04-14T10:00:00Z") from None
    if at.tzinfo is None:
        raise Unreadable(f"{place}: {text!r} has no zone; write UTC, with a Z at its end")
    return at.astimezone(UTC)


def _people(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise Unreadable("people: expected a map of person to IANA zone")
    for person, zone in given.items():
        if zone not in available_timezones():
            raise Unreadable(f"people.{person}: {zone!r} is not an IANA time zone")
    return dict(given)


def _check_others(content: Mapping[str, Any]) -> None:
    for name in ("deployments", "changes", "vulnerabilities"):
        value = content.get(name)
        if value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise Unreadable(f"{name}: expected a list of objects")
        for index, one in enumerate(value):
            _check_times(name, index, one)
    for name in ("repos", "requests", "probes"):
        if content.get(name) is not None and not isinstance(content[name], dict):
            raise Unreadable(f"{name}: expected an object")
    p95 = content.get("p95_ms")
    if p95 is not None and (isinstance(p95, bool) or not isinstance(p95, int | float)):
        raise Unreadable("p95_ms: expected a number")


def _check_times(name: str, index: int, one: Mapping[str, Any]) -> None:
    place = f"{name}[{index}]"
    if name == "deployments":
        moment(one.get("at"), f"{place}.at")
    elif name == "changes":
        moment(one.get("committed_at"), f"{place}.committed_at")
    else:
        spans = one.get("spans")
        if not isinstance(spans, list) or not all(isinstance(span, list) and len(span) == 2 for span in spans):
            raise Unreadable(f"{place}.spans: expected a list of [introduced, fixed or null]")
        for number, (start, end) in enumerate(spans):
            moment(start, f"{place}.spans[{number}][0]")
            if end is not None:
                moment(end, f"{place}.spans[{number}][1]")


def _once(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The same content is the same entry."""
    seen: dict[str, Entry] = {}
    for one in entries:
        seen.setdefault(json.dumps(one.as_json(), sort_keys=True, default=str), one)
    return tuple(seen.values())
