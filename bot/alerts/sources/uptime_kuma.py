"""Uptime Kuma's webhook notification: its JSON preset, its form-data preset, and bodies of your own that keep its fields.

https://github.com/louislam/uptime-kuma/blob/master/server/notification-providers/webhook.js
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from hashlib import sha256
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    SERVICE_LABELS,
    first,
    first_label,
    form_of,
    is_form,
    json_object,
    json_value,
    long,
    moment,
    object_at,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import environment_in, labels_of, severity_in, status_in, when
from bot.errors import Unreadable

SETUP = """\
# Settings > Notifications > Setup Notification > Webhook
# Post URL: {url}
# Request Body: Preset - application/json (or Method: GET)
# Additional Headers:
{{"Authorization": "Bearer {secret}"}}
# Give each Uptime Kuma a route of its own: monitors are told apart by their numbers only.
# A monitor's tags tell more: service = shop, env = production, severity = critical.
"""
STATUSES = {"0": Status.FIRING, "1": Status.RESOLVED, "2": Status.INFO, "3": Status.INFO}
WORDS = {"0": "down", "1": "up", "2": "pending", "3": "maintenance"}
MARKED = re.compile(r"\[(.+)\] \[(?:🔴 (Down)|✅ Up)\] ?(.*)", re.DOTALL)
EXPIRY = re.compile(r"\bexpires? in (\d+ days?)")


class UptimeKuma(signatures.ByToken):
    """One monitor that went down or came up; or a text alone, of a certificate that will expire or of the Test button."""

    name = "uptime_kuma"
    title = "Uptime Kuma"
    setup = SETUP
    identity_window_seconds: int | None = 30
    takes_queries = True

    @property
    def examples(self) -> Sequence[Example]:
        """A site that is down, and up again."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none, and never sends anything twice; a repeated DOWN has a time of its own."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The monitor's heartbeat, or what the text says where there is none."""
        body = _body(delivery)
        heartbeat, monitor = object_at(body.get("heartbeat"), "heartbeat"), object_at(body.get("monitor"), "monitor")
        text = first(body.get("msg"))
        if heartbeat:
            return Reading(alerts=(_beat(heartbeat, monitor, body, delivery.received_at),))
        if not text:
            raise Unreadable("heartbeat and msg: missing; choose the preset body, or keep both in your own")
        if found := MARKED.fullmatch(text):
            said = {"status": 0 if found[2] else 1, "msg": found[3]}
            return Reading(alerts=(_beat(said, {**monitor, "name": found[1]}, body, delivery.received_at),))
        return Reading(alerts=(_text(text, body, delivery.received_at),))


def _body(delivery: Delivery) -> dict[str, Any]:
    kind = delivery.headers.get("content-type", "")
    if is_form(delivery):
        # Sent by GET: the parts are each JSON in a field.
        fields = form_of(delivery.body)
        parts = {name: json_value(text.encode()) for name, text in fields.items() if name != "msg" and text}
        return {**parts, "msg": fields.get("msg", "")}
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        return json_object(delivery.body)
    try:
        whole = message_from_bytes(b"Content-Type: " + kind.encode("latin-1", "replace") + b"\r\n\r\n" + delivery.body)
        field = next((part for part in whole.walk() if part.get_param("name", header="content-disposition") == "data"), None)
    except (ValueError, TypeError, RecursionError) as error:
        # It was made for mail, and stumbles over what no mail has in it.
        raise Unreadable(f"not a form: {error}") from None
    if field is None:
        raise Unreadable("data: missing; the form-data preset sends the JSON in a field of that name")
    try:
        return json_object(_content(field))
    except Unreadable as error:
        raise Unreadable(f"data: {error.reason}") from None


def _content(field: Message) -> bytes:
    """The field's bytes as they came: whatever its headers claim of them, they are JSON."""
    del field["content-type"], field["content-transfer-encoding"]
    content = field.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _beat(heartbeat: Mapping[str, Any], monitor: Mapping[str, Any], body: Mapping[str, Any], received_at: datetime) -> Alert:
    code = text_of(heartbeat.get("status"))
    if not code:
        raise Unreadable("heartbeat.status: missing")
    name = first(monitor.get("name"))
    number = first(monitor.get("id"), heartbeat.get("monitorID"), heartbeat.get("monitor_id"), name)
    if not number:
        raise Unreadable("monitor.id: missing, and so is heartbeat.monitorID")
    status, guessed = status_in(STATUSES, code)
    began_at = moment(heartbeat.get("lastDownTime")) if status is Status.RESOLVED else None
    changed_at = moment(heartbeat.get("time"))
    started_at, ended_at, filled = when(status, changed_at, received_at, began_at)
    if status is Status.FIRING and heartbeat.get("important") is False:
        # It is down still, and told again: its time is that of this look.
        filled = ("started_at",)
    labels = _labels(monitor)
    severity, severity_word = severity_in(labels, Severity.HIGH)
    url = web_url(monitor.get("url"))
    about = first(monitor.get("description"))
    return Alert(
        source="uptime_kuma",
        identity=number[:300],
        status=status,
        title=short(name or f"Monitor {number}"),
        severity=severity,
        description=long(first(heartbeat.get("msg"), body.get("msg"))),
        service=first_label(labels, SERVICE_LABELS) or url or first(monitor.get("hostname")) or None,
        environment=environment_in(labels),
        labels=labels,
        annotations={"description": long(about)} if about else {},
        url=url,
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=WORDS.get(code, code),
        source_severity=severity_word,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        attributes=dict(body),
    )


def _labels(monitor: Mapping[str, Any]) -> dict[str, str]:
    """Its tags and its type. Several tags of one name are one label."""
    labels: dict[str, str] = {}
    given = monitor.get("tags")
    for tag in given if isinstance(given, list) else []:
        pair = {first(tag.get("name")): first(tag.get("value")) or "true"} if isinstance(tag, dict) else labels_of([text_of(tag)])
        for name, value in pair.items():
            labels[name] = f"{labels[name]}, {value}" if name in labels else value
    labels.pop("", None)
    kind = first(monitor.get("type"))
    return {"type": kind, **labels} if kind else labels


def _text(text: str, body: Mapping[str, Any], received_at: datetime) -> Alert:
    """A text that belongs to no heartbeat. That something will expire is never taken back."""
    expiry = EXPIRY.search(text)
    is_test = text.endswith(" Testing") and not expiry
    # The same certificate is told of again with fewer days left.
    subject = sha256((text.replace(expiry[1], "") if expiry else text).encode("utf-8", "replace")).hexdigest()[:16]
    kind = "test" if is_test else "expiry" if expiry else "message"
    return Alert(
        source="uptime_kuma",
        identity=f"{kind}/{subject}",
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=Status.FIRING if expiry else Status.INFO,
        title=short(text),
        severity=Severity.MEDIUM if expiry else Severity.INFO,
        description=long(text),
        started_at=received_at,
        defaults=("started_at",),
        attributes=dict(body),
    )


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING
    text = "connect ECONNREFUSED 192.0.2.17:443" if is_down else "200 - OK"

    def build(now: datetime) -> Mapping[str, object]:
        beat: dict[str, object] = {
            "monitorID": 12,
            "status": 0 if is_down else 1,
            "time": _clock(now),
            "msg": text,
            "important": True,
            "duration": 60,
            "retries": 2 if is_down else 0,
            "timezone": "UTC",
            "timezoneOffset": "+00:00",
        }
        if not is_down:
            beat |= {"ping": 84, "lastDownTime": _clock(now - timedelta(minutes=6))}
        return {
            "heartbeat": beat,
            "monitor": {
                "id": 12,
                "name": "Shop",
                "description": "The front page, from outside",
                "url": "https://shop.example.com/",
                "type": "http",
                "interval": 60,
                "tags": [{"name": "service", "value": "web"}, {"name": "env", "value": "production"}],
            },
            "msg": f"[Shop] [{'🔴 Down' if is_down else '✅ Up'}] {text}",
        }

    return Example(name, title, status, build)


def _clock(at: datetime) -> str:
    """A time as it writes them: in UTC, and without saying so."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.000")


EXAMPLES = (
    _example("shop-down", "The shop does not answer", Status.FIRING),
    _example("shop-down-resolved", "The shop answers again", Status.RESOLVED),
)

SOURCE = UptimeKuma()
