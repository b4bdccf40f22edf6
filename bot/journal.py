"""The journal: timelines, and what metrics need beside them, as one JSON object. Read whole or refused whole. Pure.

docs/journal.md describes it. What is imported gives the same numbers as what was lived through here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bot.alerts.alert import FindingState
from bot.errors import Unreadable
from bot.incidents.changes import FindingRecord
from bot.incidents.timeline import Entry, rfc3339

OTHERS = ("deployments", "changes", "vulnerabilities", "repos", "requests", "p95_ms", "probes")
"""The parts that are no entries. One that is missing is "no source", never zero."""
MOMENTS = {
    "alert_started": "received_at", "alert_resolved": "received_at", "impact_started_set": "value",
    "mitigated": "impact_ended_at", "resolved": "effective_at", "resolve_proposed": "cleared_at", "status_update": "next_by",
    "update_overdue": "promised_for",
}  # fmt: skip
"""The field of an entry that holds a moment, by the entry's type."""
FLAGS = {"opened": ("drill", "private"), "resolved": ("auto",), "page_feedback": ("actionable",)}
"""The fields of an entry that are true or false, by the entry's type."""
NEEDED = ("at", "type", "incident")
SEVERITIES = ("SEV1", "SEV2", "SEV3", "SEV4", "SEV5")


@dataclass(frozen=True, slots=True)
class Journal:
    """Timelines with their zone and people. `others` holds the parts that are no entries, as the file has them."""

    entries: tuple[Entry, ...]
    tz: str = "UTC"
    people: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)
    is_zone_given: bool = field(default=True, compare=False)
    """False where the file names no zone, and `tz` is what is assumed."""

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
        return ZoneInfo(name) if name in _zones() else self.zone


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def read(text: str | bytes) -> Journal:
    """Read a journal. Raises `Unreadable` with the line, or the entry's index, and what is wrong with it."""
    content = _json(text)
    if not isinstance(content, dict):
        raise Unreadable("line 1: expected a JSON object with `events`")
    events = content.get("events")
    if not isinstance(events, list):
        raise Unreadable("events: missing, or not a list")
    tz = content.get("tz", "UTC")
    if not isinstance(tz, str) or tz not in _zones():
        raise Unreadable(f"tz: {tz!r} is not an IANA time zone")
    entries = tuple(_entry(one, index) for index, one in enumerate(events))
    _check_others(content)
    people = _people(content.get("people") or {})
    others = {name: content[name] for name in OTHERS if content.get(name) is not None}
    return Journal(once(entries), tz, people, others, "tz" in content)


def write(journal: Journal) -> str:
    """The file: entries in order of when they happened, keys in a fixed order; the same journal gives the same bytes."""
    ordered = sorted(once(journal.entries), key=lambda one: (one.at, one.incident, one.type, line_of(one)))
    lines = [line_of(one) for one in ordered]
    parts = [
        f'"tz": {json.dumps(journal.tz)}',
        f'"people": {json.dumps(dict(sorted(journal.people.items())), ensure_ascii=False)}',
    ]
    parts += [f'"{name}": {json.dumps(journal.others[name], ensure_ascii=False)}' for name in OTHERS if name in journal.others]
    events = ",\n  ".join(lines)
    parts.append(f'"events": [\n  {events}\n ]' if lines else '"events": []')
    return "{" + ",\n ".join(parts) + "}\n"


def line_of(entry: Entry) -> str:
    """An entry as a line of the file. Two entries are the same one where their lines are the same."""
    flat = entry.as_json()
    named = {name: flat.pop(name, None) for name in ("at", "type", "incident", "by")}
    rest = {name: _written(entry.type, name, value) for name, value in sorted(flat.items())}
    return json.dumps({name: value for name, value in {**named, **rest}.items() if value is not None}, ensure_ascii=False)


def _written(type_: str, name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _written("", "", value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_written("", "", one) for one in value]
    if MOMENTS.get(type_) != name or not isinstance(value, str):
        return value
    try:
        return rfc3339(moment(value, name))
    except Unreadable:
        return value


def once(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The same content is the same entry."""
    return tuple({line_of(one): one for one in reversed(tuple(entries))}.values())[::-1]


def vulnerability(told: FindingRecord) -> dict[str, Any]:
    """A finding of the log as the file has it. Where its sender does not say when it found it, that is said."""
    name = next(filter(None, (*told.identifiers, told.rule, told.package)), told.title[:60])
    where = f" in {told.service}" if told.service else ""
    clocks = (*told.fixed_before, (told.since, told.fixed_at or told.dismissed_at))
    made: dict[str, Any] = {
        "id": f"{name}{where} ({told.fingerprint[:6]})",
        "sev": told.severity.value,
        "spans": [[rfc3339(start), rfc3339(end) if end else None] for start, end in clocks],
    }
    if told.state is FindingState.DISMISSED:
        made["closed_as"] = "dismissed"
    if not told.is_created_at_known and clocks[0][0] == told.created_at:
        made["is_start_known"] = False
    return made


def joined(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The parts beside the entries, after another journal was taken in: lists and people grow, the rest is the newer."""
    both = {**known, **new}
    for name in ("deployments", "changes"):
        here = known.get(name) or []
        both[name] = [*here, *(one for one in new.get(name) or () if one not in here)]
    findings = new.get("vulnerabilities") or []
    again = {str(one.get("id")) for one in findings}
    both["vulnerabilities"] = [*(one for one in known.get("vulnerabilities") or () if str(one.get("id")) not in again), *findings]
    both["people"] = {**(known.get("people") or {}), **(new.get("people") or {})}
    return {name: value for name, value in both.items() if name in known or name in new}


def _json(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        content = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise Unreadable("line 1: nested too deep") from None
    except ValueError:
        raise Unreadable("not JSON: a number of more than 4300 digits") from None
    if "\\ud" in text.lower():
        _check_letters(content)
    return content


def _check_letters(content: Any) -> None:
    """Half of a letter beyond the first 65,536 can be written in JSON, and nowhere else."""
    parts = content.items() if isinstance(content, dict) else ()
    places = [(f"{name}[{index}]", one) for name, part in parts if isinstance(part, list) for index, one in enumerate(part)]
    for place, one in (*places, ("line 1", content)):
        try:
            json.dumps(one, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Unreadable(f"{place}: holds half a character (\\ud800 to \\udfff without its other half)") from None


def _finite(word: str) -> float:
    number = float(word)
    return number if isfinite(number) else _no_number(word)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Unreadable(f"line {line}: not UTF-8") from None


def _no_number(word: str) -> Any:
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
    for name in (*NEEDED, "by"):
        if "\0" in (given.get(name) or ""):
            raise Unreadable(f"{place}.{name}: holds a character that cannot be stored")
    fields = {key: value for key, value in given.items() if key not in (*NEEDED, "by") and value is not None}
    told = MOMENTS.get(given["type"])
    if told is not None and told in fields:
        fields[told] = rfc3339(moment(fields[told], f"{place}.{told}"))
    _check_fields(given["type"], fields, place)
    return Entry(moment(given["at"], f"{place}.at"), given["type"], given["incident"], by, fields)


def _check_fields(type_: str, fields: Mapping[str, Any], place: str) -> None:
    if type_ == "opened" and fields.get("severity", "SEV3") not in SEVERITIES:
        raise Unreadable(f"{place}.severity: expected SEV1 to SEV5, not {fields['severity']!r}")
    if type_ == "severity_changed" and fields.get("to") not in SEVERITIES:
        raise Unreadable(f"{place}.to: expected SEV1 to SEV5, not {fields.get('to')!r}")
    if type_ == "impact_started_set" and not isinstance(fields.get("value"), str):
        raise Unreadable(f"{place}.value: expected a time")
    if type_ == "merged" and not isinstance(fields.get("into"), str):
        raise Unreadable(f"{place}.into: expected an incident")
    if type_ == "page_feedback" and "actionable" not in fields:
        raise Unreadable(f"{place}.actionable: expected true or false")
    for name in FLAGS.get(type_, ()):
        if not isinstance(fields.get(name, False), bool):
            raise Unreadable(f"{place}.{name}: expected true or false, not {fields[name]!r}")


def moment(text: Any, place: str) -> datetime:
    """An RFC 3339 time in UTC. Raises `Unreadable` with the place."""
    try:
        at = datetime.fromisoformat(str(text))
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"{place}: {text!r} is not a time like 2026-04-14T10:00:00Z") from None
    raise Unreadable(f"{place}: {text!r} has no zone; write UTC, with a Z at its end")


def _people(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise Unreadable("people: expected a map of person to IANA zone")
    for person, zone in given.items():
        if not isinstance(zone, str) or zone not in _zones():
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
    for name, keys in (("requests", ("total", "5xx")), ("probes", ("good", "valid", "expected"))):
        for key in keys:
            _check_number((content.get(name) or {}).get(key), f"{name}.{key}")
    _check_number(content.get("p95_ms"), "p95_ms")
    _check_repos(content.get("repos") or {})


def _check_number(value: Any, place: str) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise Unreadable(f"{place}: expected a number that is not negative")


def _check_repos(repos: Mapping[str, Any]) -> None:
    """How many, or which."""
    given = {name: repos[name] for name in ("in_scope", "archived", "scanned_ok") if repos.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, list):
            _check_number(value, f"repos.{name}")
        elif not all(isinstance(one, str) for one in value):
            raise Unreadable(f"repos.{name}: expected a list of names")
    if len({isinstance(value, list) for value in given.values()}) > 1:
        raise Unreadable("repos: expected numbers everywhere, or lists everywhere")


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
