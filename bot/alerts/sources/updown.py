"""updown.io's webhook: a list of events. https://updown.io/api#webhooks"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import first, json_value, kind_of, list_at, long, moment, object_at, short, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import when
from bot.errors import Unreadable

SETUP = """\
# https://updown.io/settings/edit > Webhooks. It sends no headers of yours, so the token stands in the address:
# {url}?token={secret}
# Or by its API:
curl -X POST https://updown.io/api/webhooks -H 'X-API-KEY: YOUR-KEY' -d 'url={url}?token={secret}'
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What an event means. Each `about` is an alert of its own: a site that is up again may still have a bad certificate."""

    status: Status
    severity: Severity
    about: str = ""


EVENTS = {
    "check.down": Event(Status.FIRING, Severity.HIGH),
    "check.up": Event(Status.RESOLVED, Severity.HIGH),
    "check.ssl_invalid": Event(Status.FIRING, Severity.HIGH, "SSL certificate"),
    "check.ssl_valid": Event(Status.RESOLVED, Severity.HIGH, "SSL certificate"),
    "check.ssl_expiration": Event(Status.FIRING, Severity.MEDIUM, "SSL expiry"),
    "check.ssl_renewed": Event(Status.RESOLVED, Severity.MEDIUM, "SSL expiry"),
    "check.performance_drop": Event(Status.FIRING, Severity.MEDIUM, "performance"),
}


class Updown(signatures.ByToken):
    """Events of checks, several in one delivery where they come together. A drop in performance is never taken back."""

    name = "updown"
    title = "updown.io"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A site that is down, and up again."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none: a delivery may have several events, of several downtimes."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each event that is known."""
        alerts, unknown = list[Alert](), list[str]()
        for index, one in enumerate(_list(delivery.body)):
            place = f"[{index}]"
            event = object_at(one, place)
            word = first(event.get("event"))
            if not word:
                raise Unreadable(f"{place}.event: missing")
            if word in EVENTS:
                alerts.append(_alert(event, EVENTS[word], word, place, delivery.received_at))
            else:
                unknown.append(short(word, 60))
        if unknown:
            return Reading(alerts=tuple(alerts), ignored=f"not known here: {', '.join(unknown[:10])}")
        return Reading(alerts=tuple(alerts), ignored="" if alerts else "a list without events")


def _list(body: bytes) -> list[Any]:
    value = json_value(body)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise Unreadable(f"expected a JSON object or a list of them, got {kind_of(value)}")
    return list_at(value, "the body")


def _alert(given: Mapping[str, Any], event: Event, word: str, place: str, received_at: datetime) -> Alert:
    check = object_at(given.get("check"), f"{place}.check")
    downtime = object_at(given.get("downtime"), f"{place}.downtime")
    url = first(check.get("url"))
    identity = first(check.get("token"), url)
    if not identity:
        raise Unreadable(f"{place}.check.token: missing, and so is check.url")
    name = first(check.get("alias"), url)
    title = name or f"Check {identity}"
    changed_at, began_at = _times(given, event, check, downtime)
    started_at, ended_at, filled = when(event.status, changed_at, received_at, began_at)
    return Alert(
        source="updown",
        identity=identity[:250] + (f"/{event.about}" if event.about else ""),
        status=event.status,
        title=short(f"{title} ({event.about})" if event.about else title),
        severity=event.severity,
        description=_description(given, check, downtime),
        service=first(check.get("alias")) or url or None,
        url=web_url(url),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=moment(given.get("time")) or changed_at,
        occurrence=first(downtime.get("id"))[:200] or None,
        source_status=word,
        defaults=(*filled, *(() if name else ("title",))),
        attributes=dict(given),
    )


def _times(
    given: Mapping[str, Any], event: Event, check: Mapping[str, Any], downtime: Mapping[str, Any]
) -> tuple[datetime | None, datetime | None]:
    """When it changed, and when the downtime that ended began. Not every event has a time of its own."""
    at = moment(given.get("time"))
    if event.about:
        return at, None
    began_at = moment(downtime.get("started_at"))
    if event.status is Status.RESOLVED:
        return moment(downtime.get("ended_at")) or at, began_at
    return began_at or moment(check.get("down_since")) or at, None


def _description(given: Mapping[str, Any], check: Mapping[str, Any], downtime: Mapping[str, Any]) -> str:
    """What it says in words, and what went wrong where the words do not say it."""
    text, error = first(given.get("description")), first(downtime.get("error"), check.get("error"))
    parts = (text, f"Error: {error}" if error and error not in text else "")
    return long("\n".join(part for part in parts if part))


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING

    def build(now: datetime) -> Sequence[object]:
        at = now.replace(microsecond=0)
        began = (at - timedelta(seconds=30 if is_down else 400)).isoformat()
        return [
            {
                "event": "check.down" if is_down else "check.up",
                "time": at.isoformat(),
                "description": f"Docs ({'down since' if is_down else 'up after'} {began})",
                "check": {
                    "token": "q7xd",
                    "url": "https://docs.example.com",
                    "alias": "Docs",
                    "last_status": 504 if is_down else 200,
                    "uptime": 99.91,
                    "down": is_down,
                    "down_since": began if is_down else None,
                    "error": "504" if is_down else None,
                    "period": 60,
                },
                "downtime": {
                    "id": "64b0e5a1c3",
                    "error": "504",
                    "started_at": began,
                    "ended_at": None if is_down else at.isoformat(),
                    "duration": None if is_down else 400,
                },
            }
        ]

    return Example(name, title, status, build)


EXAMPLES = (
    _example("docs-down", "The documentation answers 504", Status.FIRING),
    _example("docs-down-resolved", "The documentation is up again", Status.RESOLVED),
)

SOURCE = Updown()
