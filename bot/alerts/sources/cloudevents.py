"""CloudEvents over HTTP, from any sender: structured, binary (`ce-*` headers) and batched.

https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md

An event is an alert where its data or its type says how something stands. Data that is an object is read as `generic`
reads it; what it leaves out comes from the event: the title from type and subject, the status from the type's end
(`….firing`, `….resolved`, with or without a version behind), the times from its time. A word that is said of anything
(`….passed`, `….healthy`, `….open`) says there how an alert stands, and makes none: that takes a title with a severity or a key,
or, of what is well, a severity.

One whose type says that something was changed (`….deployment.succeeded`, `….flag.updated`, CDEvents' `service.deployed`) tells
of a change. https://cdevents.dev/docs/
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import orjson

from bot.alerts import changes, signatures
from bot.alerts.alert import EMPTY, Alert, Change, ChangeKind, ChangeState, Kind, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_value,
    kind_of,
    links_from,
    list_at,
    moment,
    object_at,
    short,
    text_of,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources import generic
from bot.errors import Unreadable

SETUP = """\
curl -X POST {url} \\
  -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/cloudevents+json' \\
  -d '{{"specversion": "1.0", "id": "a-1", "source": "/jobs/nightly", "type": "com.example.job.firing", "subject": "export",
       "data": {{"title": "Nightly export failed", "severity": "high", "service": "platform"}}}}'
# Send the same source, type, subject and title (or the same data.dedup_key) with `.resolved` at the type's end when it is over.
# A change has a type such as com.example.deployment.succeeded or com.example.flag.updated, and data as in the generic schema:
#  "subject": "checkout", "data": {{"sha": "1a2b3c4", "environment": "production", "by": "ana"}}. CDEvents are taken as they are.
# A broker that cannot set a header (Knative, Event Grid): {url}?token={secret}
# One that asks first, by OPTIONS with WebHook-Request-Origin, is told that it may send.
"""
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
REQUIRED = ("id", "source", "type")
NAMED = 5
"""So many bad events of a batch are named; the rest is counted."""
UNTOLD = ("specversion", "id", "time", "datacontenttype", "dataschema")
"""Attributes that no policy matches on."""
VERSION = re.compile(r"[.\-/]?v\d+$", re.ASCII)
END = re.compile(r"([.:/_-])([A-Za-z]+)$", re.ASCII)
NOT = re.compile(r"(?:^|[.:/_-])(?:not|no|non|un|never|isnt)$", re.ASCII | re.IGNORECASE)
ELSEWHERE = (
    "open", "active", "inactive", "true", "false", "normal", "error", "critical", "warning", "info", "information",
    *generic.ALSO_WELL, *generic.ALSO_BAD,
)  # fmt: skip
"""Words that say how something stands where a status is asked for, and anything at all at the end of a type."""
CLEAR = frozenset(generic.BY_WORD).difference(ELSEWHERE)
SURELY = CLEAR - {"up"}
OF_AN_ALERT = frozenset(generic.BY_WORD).difference(("inactive", "true", "false", "info", "information"))
"""Words that say at the end of an alert's type how it stands. A sensor that is inactive may be well, or not."""
BESIDE_A_SEVERITY = frozenset({"normal", "unhealthy", "unreachable", "degraded", *generic.ALSO_WELL})
"""Words that make an alert of a type where its data has a severity. Logs have one, too: an error alone is none."""
OTHER_WORDS = {"successful": "succeeded", "completed": "succeeded"}
CDEVENTS = "dev.cdevents."
OF_CDEVENTS = {
    "service.deployed": ChangeKind.DEPLOYMENT,
    "service.upgraded": ChangeKind.DEPLOYMENT,
    "service.rolledback": ChangeKind.ROLLBACK,
    "service.published": ChangeKind.PROMOTION,
    "service.removed": ChangeKind.CHANGE,
    "environment.created": ChangeKind.CONFIGURATION,
    "environment.modified": ChangeKind.CONFIGURATION,
    "environment.deleted": ChangeKind.CONFIGURATION,
    "change.merged": ChangeKind.PUSH,
    "artifact.published": ChangeKind.RELEASE,
}
"""Of CDEvents those that change something that runs, or may soon. All of them tell what is done."""


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent: its attributes as text, extensions among them, and its data."""

    attributes: Mapping[str, str]
    data: Any
    place: str


class CloudEvents(signatures.ByToken):
    """Events of any sender that speaks CloudEvents. One that says nothing of how something stands is ignored."""

    name = "cloudevents"
    title = "CloudEvents"
    setup = SETUP
    identity_window_seconds: int | None = None
    limited_status = 429
    """With Retry-After: https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#22-delivery-response"""

    @property
    def examples(self) -> Sequence[Example]:
        """An alert and its end, and a flag that was turned on, in the structured mode."""
        return EXAMPLES

    def allow(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Yes to whoever asks before it sends, as often as it likes; each event still needs the token.

        https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection
        """
        origin = headers.get("webhook-request-origin", "").strip()
        return {"Allow": "POST, OPTIONS", "WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"} if origin else {}

    def delivery_id(self, delivery: Delivery) -> str:
        """An event's source and id, which together are its own; a batch has none."""
        try:
            events, bad = _events(delivery)
        except Unreadable:
            return signatures.content_id(delivery)
        if len(events) != 1 or bad:
            return signatures.content_id(delivery)
        about = events[0].attributes
        return sha256(f"{about['source']}\x1f{about['id']}".encode()).hexdigest()

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The alerts of each event. Those of a batch that cannot be read are said to be left out; alone, they are refused."""
        events, bad = _events(delivery)
        found: list[Alert] = []
        for event in events:
            try:
                found += _alerts(event, delivery)
            except Unreadable as error:
                bad.append(error.reason)
        if bad and not found:
            raise Unreadable(_named_few(bad))
        if found:
            return Reading(alerts=tuple(found), ignored=f"left out: {_named_few(bad)}" if bad else "")
        types = ", ".join(sorted({event.attributes["type"][:100] for event in events})[:5])
        return Reading(ignored=f"{types}: neither type nor data says how anything stands" if types else "a batch without events")


def _events(delivery: Delivery) -> tuple[list[Event], list[str]]:
    """Each event of a delivery, in whichever mode it came; of a batch, what is wrong with those that are none, too.

    Raises `Unreadable`. One bad event must not lose the others: whoever sends a batch takes a refusal for all of it.
    """
    content_type = delivery.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content_type.startswith("application/cloudevents") and "ce-type" in delivery.headers:
        return [_binary(delivery, content_type)], []
    body = json_value(delivery.body)
    if not isinstance(body, list):
        return [_structured(body, "")], []
    events, bad = list[Event](), list[str]()
    for index, one in enumerate(list_at(body, "the body")):
        try:
            events.append(_structured(one, f"[{index}]"))
        except Unreadable as error:
            bad.append(error.reason)
    return events, bad


def _named_few(bad: Sequence[str]) -> str:
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return "; ".join(bad[:NAMED]) + more


def _structured(given: Any, place: str) -> Event:
    if not isinstance(given, dict):
        raise Unreadable(f"{place + ': ' if place else ''}expected a JSON object, got {kind_of(given)}")
    attributes = {name: first(value) for name, value in given.items() if name not in ("data", "data_base64") and first(value)}
    _require(attributes, f"{place}." if place else "")
    data = given.get("data")
    if data is None and isinstance(given.get("data_base64"), str):
        data = _decoded(given["data_base64"], attributes.get("datacontenttype", ""), f"{place}data_base64")
    return Event(attributes, data, place)


def _binary(delivery: Delivery, content_type: str) -> Event:
    """The attributes are headers, the body is the data."""
    names = [name for name in delivery.headers if name.startswith("ce-")]
    attributes = {name.removeprefix("ce-"): _header(delivery.headers[name], name) for name in names}
    _require(attributes, "ce-")
    if content_type:
        attributes["datacontenttype"] = content_type
    return Event(attributes, _data(delivery.body, content_type), "")


def _require(attributes: Mapping[str, str], prefix: str) -> None:
    for name in REQUIRED:
        if not attributes.get(name):
            raise Unreadable(f"{prefix}{name}: missing; a CloudEvent has specversion, id, source and type")
    version = attributes.get("specversion", "1.0")
    # Others have attributes of other names and meanings.
    if version.partition(".")[0] != "1":
        raise Unreadable(f"{prefix}specversion: {short(version, 20)} is not read, only 1.0")


def _header(value: str, name: str) -> str:
    """A header's value: quoted perhaps, and percent-encoded UTF-8."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        return unquote(text, errors="strict").replace("\x00", "").strip()
    except UnicodeDecodeError:
        raise Unreadable(f"{name}: not percent-encoded UTF-8") from None


def _decoded(text: str, content_type: str, place: str) -> Any:
    try:
        return _data(base64.b64decode(text, validate=True), content_type)
    except (binascii.Error, ValueError):
        raise Unreadable(f"{place}: not base64") from None


def _data(raw: bytes, content_type: str) -> Any:
    """JSON where it says so, or says nothing and is; text where it is that; else nothing that can be read."""
    if not raw.strip():
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")):
        return json_value(raw)
    try:
        return raw.decode() if kind else json_value(raw)
    except (UnicodeDecodeError, Unreadable):
        return None


def _alerts(event: Event, delivery: Delivery) -> list[Alert]:
    about = event.attributes
    stem, word = _type(about["type"])
    data: dict[str, Any] = dict(event.data) if isinstance(event.data, dict) else {"description": text_of(event.data)}
    key = ""
    # Several alerts in one event say themselves what they are.
    if not isinstance(data.get("alerts"), list):
        told = _change(about["type"]) or (None if word else _own_words(data))
        is_its_own = _how_far(data).lower() in generic.OF_AN_ALERT or (told is not None and _is_worse(data, told[1], word))
        if told is not None and not is_its_own:
            return [_changed(event, told, data, delivery)]
        end = _type(about["type"], OF_AN_ALERT)
        if told is None and not _is_alert(data, word, end[1]):
            return []
        stem = stem if word else end[0]
        if not _said(data, "dedup_key"):
            key = f"{stem}\x1f{about.get('subject', '')}"
        data = _filled_in(data, about, stem, word, end[1])
    return [_alert(one, event, word, key, delivery) for one in _read(data, event, delivery)]


def _read(data: Mapping[str, Any], event: Event, delivery: Delivery, mapping: Mapping[str, str] = EMPTY) -> Sequence[Alert]:
    try:
        return generic.SOURCE.parse(replace(delivery, body=orjson.dumps(data)), mapping).alerts
    except Unreadable as error:
        raise Unreadable(f"{event.place}{'.' if event.place else ''}data: {error.reason}") from None


def _change(type_: str) -> tuple[ChangeKind, ChangeState | None] | None:
    """What a type says of a change. Of CDEvents there is a list: most of theirs are of builds, tests and tickets."""
    if type_.startswith(CDEVENTS):
        kind = OF_CDEVENTS.get(".".join(type_.removeprefix(CDEVENTS).split(".")[:2]))
        return None if kind is None else (kind, None)
    return changes.told_by(type_)


def _own_words(data: Mapping[str, Any]) -> tuple[ChangeKind, None] | None:
    """The kind of a change in our own schema, whatever the type is."""
    word = first(data.get("kind"))
    kind = changes.kind_of(word)
    is_one = kind is not None and word[0].islower() and any(_said(data, name) for name in ("service", "sha", "version"))
    return (kind, None) if kind is not None and is_one else None


def _how_far(data: Mapping[str, Any]) -> str:
    """The data's own word for how far a change is, or how anything stands."""
    return first(*(data.get(name) for name in generic.OF_A_CHANGE["status"]))


def _is_worse(data: Mapping[str, Any], state: ChangeState | None, word: str) -> bool:
    """Whether data is an alert by its severity, though its type tells of a change.

    A type that only says that a thing was updated (`….deployment.updated`, `….config.changed`) says too little beside one.
    """
    severity = first(_said(data, "severity"), _labels_of(data).get("severity"))
    says_how = changes.state_of(_how_far(data)) is not None or state is ChangeState.FAILED or bool(word)
    # Without a title, too, an alert's word beside a severity is one's: `_is_alert`.
    is_named = bool(first(data.get("title"))) or _said(data, "status").lower() in generic.BY_WORD
    return generic.is_severe(severity) and not says_how and is_named


def _changed(event: Event, told: tuple[ChangeKind, ChangeState | None], data: dict[str, Any], delivery: Delivery) -> Alert:
    """The change that an event tells of. How far it is its data says, or else its type."""
    about, (kind, state) = event.attributes, told
    if about["type"].startswith(CDEVENTS):
        data = _of_cdevents(data, about["type"].split(".")[2], event.place)
    called, subject = changes.VERSION.sub("", about["type"]), about.get("subject", "")
    labels = {**about, **_labels_of(data)}
    place = kind in changes.PLACED
    service = _said(data, "service") or first_label(labels, SERVICE_LABELS) or (subject.rpartition("/")[2] if place else "")
    more = {
        # A deployment is called by what is deployed, and where to.
        "title": "" if place and service else f"{called}: {subject}" if subject else called,
        "service": service,
        "environment": first_label(labels, ENVIRONMENT_LABELS) or "",
        "starts_at": about.get("time", ""),
    }
    given = {name: value for name, value in more.items() if value and not _said(data, name)}
    word = f"{kind.value}.{state.value}" if state is not None else kind.value
    [alert] = _read({**data, **given}, event, delivery, {"kind": f"{generic.WORD}{word}"})
    is_named = service and kind not in generic.SWITCHED
    is_told_apart = any(_said(data, name) for name in ("title", "dedup_key", "sha", "version"))
    if alert.status is not Status.INFO and not is_named and (subject or not is_told_apart):
        # The title has the type in it, and that the state: a success has another one.
        ref = (alert.change and alert.change.ref) or (subject if kind in generic.SWITCHED else "")
        alert = replace(alert, identity=generic.where(kind, service, alert.environment or "", ref, subject))
    return _alert(alert, event, "", "", delivery)


def _of_cdevents(data: Mapping[str, Any], kind: str, place: str) -> dict[str, Any]:
    """What a CDEvent says of its subject, under our own names. An artifact is a package URL: pkg:oci/checkout@sha256%3A0b31…

    https://github.com/cdevents/spec/blob/main/continuous-deployment.md
    """
    prefix = f"{place}." if place else ""
    subject = object_at(data.get("subject"), f"{prefix}data.subject")
    content = object_at(subject.get("content"), f"{prefix}data.subject.content")
    name = first(subject.get("id"))
    package = unquote(first(content.get("artifactId"), name if kind == "artifact" else "")).replace("\x00", "")
    package, _, version = package.partition("@")
    named = {one: _named(content.get(one)) for one in ("environment", "repository", "user")}
    services = {"service": name.rpartition("/")[2], "change": named["repository"], "artifact": package.rpartition("/")[2]}
    told = {
        "service": services.get(kind, ""),
        "environment": name if kind == "environment" else named["environment"],
        "version": version.partition("?")[0],
        "ref": name if kind == "change" else "",
        "by": named["user"],
        "url": first(content.get("url"), content.get("uri")),
    }
    return {name: value for name, value in told.items() if value}


def _named(value: Any) -> str:
    """What a CDEvent refers to: by its name, or by its id."""
    return first(value.get("name"), value.get("id")) if isinstance(value, dict) else text_of(value)


def _labels_of(data: Mapping[str, Any]) -> Mapping[str, str]:
    labels = data.get("labels")
    return {text_of(name): text_of(value) for name, value in labels.items()} if isinstance(labels, dict) else EMPTY


def _type(given: str, words: Collection[str] = CLEAR) -> tuple[str, str]:
    """A type without what it says of a status, as far as that is one of `words`, and that status; without its version too.

    What means that a thing is well may be half of a word that does not: `backed_up`, `not_ok`.
    """
    stem = VERSION.sub("", given)
    found = END.search(stem)
    word = found.group(2).lower() if found else ""
    word = OTHER_WORDS.get(word, word)
    if found is None or word not in words:
        return given, ""
    is_half = NOT.search(stem[: found.start()]) is not None or (found.group(1) in "_-" and word not in SURELY)
    is_well = generic.BY_WORD.get(word) is Status.RESOLVED
    return (given, "") if is_half and is_well else (stem[: found.start()], word)


def _is_alert(data: Mapping[str, Any], word: str, end: str) -> bool:
    """Whether an event means to be one: most of what a broker carries is news of another kind.

    `end` is the word at its type's end that says less than `word`.
    """
    status = _said(data, "status").lower()
    is_known = status in generic.BY_WORD or (not status and end in BESIDE_A_SEVERITY)
    is_told = status in CLEAR or (is_known and _said(data, "severity"))
    # A title alone is that of an article, too.
    is_named = first(data.get("title")) and (_said(data, "severity") or first(data.get("dedup_key")))
    return bool(word or is_told or is_named)


def _said(data: Mapping[str, Any], field: str) -> str:
    return first(*(data.get(name) for name in generic.NAMES[field]))


def _filled_in(data: Mapping[str, Any], about: Mapping[str, str], stem: str, word: str, end: str) -> dict[str, Any]:
    """The data, with what it leaves out taken from the event."""
    status, subject, time = _said(data, "status") or end, about.get("subject", ""), about.get("time", "")
    if word and status.lower() not in generic.BY_WORD:
        status = word
    more = {
        "title": f"{stem}: {subject}" if subject else stem,
        "severity": about.get("severitytext") or about.get("severity", ""),
        "starts_at": time,
        "ends_at": time if generic.BY_WORD.get(status.lower()) is Status.RESOLVED else "",
    }
    return {**data, **{name: value for name, value in more.items() if value and not _said(data, name)}, "status": status}


def _alert(alert: Alert, event: Event, word: str, key: str, delivery: Delivery) -> Alert:
    """Generic's alert as this event's. `key` tells it from others where its data gives it no key of its own."""
    about = event.attributes
    labels = {**{name: value for name, value in about.items() if name not in UNTOLD}, **alert.labels}
    at = moment(about.get("time"))
    return replace(
        alert,
        source="cloudevents",
        kind=Kind.TEST if word == "test" and alert.source_status == "test" else alert.kind,
        identity="\x1f".join(filter(None, (about["source"], key, alert.identity))),
        occurrence=about["id"],
        # Brokers try again for hours. A clock that is ahead must not have what comes after it taken for older.
        changed_at=alert.changed_at if at is None else min(at, delivery.received_at),
        change=_of_its_source(alert, about["source"]),
        service=alert.service or first_label(labels, SERVICE_LABELS),
        environment=alert.environment or first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        links=(*alert.links, *links_from([("source", about["source"], "Source")])),
        attributes={**about, "data": event.data},
    )


def _of_its_source(alert: Alert, source: str) -> Change | None:
    """The change, told from others of other sources; its identity stays short enough to be kept whole."""
    if alert.change is None:
        return None
    return replace(alert.change, identity=sha256(f"{source}\x1f{alert.change.identity}".encode()).hexdigest())


def _attributes(now: datetime, status: Status) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": f"{status.value}-{int(now.timestamp())}",
        "source": "https://scheduler.example.com/warehouse",
        "type": f"com.example.import.{status.value}.v1",
        "subject": "stock-levels",
        "time": now.replace(microsecond=0).isoformat(),
    }


def _fields(now: datetime, status: Status) -> dict[str, object]:
    started = now.replace(microsecond=0) - timedelta(minutes=0 if status is Status.FIRING else 12)
    return {
        "title": "Stock levels were not imported",
        "severity": "high",
        "service": "warehouse",
        "environment": "production",
        "description": "The file of 06:00 has not come.",
        "starts_at": started.isoformat(),
        "url": "https://scheduler.example.com/warehouse/stock-levels",
    }


def _example(name: str, title: str, status: Status) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {**_attributes(now, status), "datacontenttype": "application/json", "data": _fields(now, status)}

    return Example(name, title, status, build, content_type=STRUCTURED)


def _changes(now: datetime) -> Mapping[str, object]:
    data = {"environment": "production", "flag": "one-page-checkout", "state": "on", "by": "ana", "service": "checkout"}
    about = _attributes(now, Status.FIRING) | {"type": "com.example.flag.updated.v1", "subject": "one-page-checkout"}
    return {**about, "source": "https://flags.example.com", "datacontenttype": "application/json", "data": data}


EXAMPLES = (
    _example("stock-import", "Stock levels were not imported", Status.FIRING),
    _example("stock-import-resolved", "Stock levels are imported again", Status.RESOLVED),
    Example("flag-updated", "A flag was turned on", Status.RESOLVED, _changes, content_type=STRUCTURED),
)

SOURCE = CloudEvents()
