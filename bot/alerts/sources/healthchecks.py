"""Healthchecks' webhook integration, hosted or your own. https://healthchecks.io/docs/configuring_notifications/

The other monitors here read tags, states and times as it does.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first_label,
    json_object,
    long,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# Integrations > Webhook > Add Integration. Fill in the same twice: for "down" and for "up".
# Method: POST   URL: {url}
# Request headers:
Authorization: Bearer {secret}
Content-Type: application/json
# Request body:
{{"code": "$CODE", "status": "$STATUS", "now": "$NOW", "exitstatus": "$EXITSTATUS",
 "name": $NAME_JSON, "body": $BODY_JSON, "check": $JSON}}
# A check's tags tell more: service:backup, env:production, severity:critical.
"""
STATUSES = {
    "down": Status.FIRING,
    "up": Status.RESOLVED,
    "new": Status.INFO,
    "grace": Status.INFO,
    "paused": Status.INFO,
    "started": Status.INFO,
}
PLACEHOLDER = re.compile(r"\$[A-Z]+(_JSON)?\d*")
API_ADDRESS = re.compile(r"(https?://.+)/api/v\d+/checks/([0-9a-fA-F-]{36})")
NOBODY = "00000000-0000-0000-0000-000000000000"
ENVIRONMENTS = ("production", "prod", "live", "staging", "stage", "preview", "testing", "test", "qa", "development", "dev")


class Healthchecks(signatures.ByToken):
    """A check that went down or came up again: a job failed, or did not report in time. You write the body yourself."""

    name = "healthchecks"
    title = "Healthchecks"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A backup that did not report, and the next one that did."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none. It tries three times, at once."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one check; a body that is nothing but $JSON will do too."""
        body = json_object(delivery.body)
        check = object_at(body.get("check"), "check") or body
        word = _said(body.get("status"), check.get("status")).lower()
        if not word:
            raise Unreadable('status: missing; put "status": "$STATUS" into the request body')
        return Reading(alerts=(_alert(body, check, word, delivery.received_at),))


def _alert(body: Mapping[str, Any], check: Mapping[str, Any], word: str, received_at: datetime) -> Alert:
    code = _said(body.get("code"), check.get("uuid"), check.get("unique_key"), body.get("slug"), check.get("slug"))
    name = _said(body.get("name"), check.get("name"))
    if not (code or name):
        raise Unreadable('code: missing; put "code": "$CODE" into the request body')
    is_test = _is_test(code, name, check)
    status, guessed = (Status.INFO, ()) if is_test else status_in(STATUSES, word)
    labels = labels_of(tags_in(_said(body.get("tags"), check.get("tags")), None))
    severity, severity_word = severity_in(labels, Severity.HIGH)
    changed_at = moment(_said(body.get("now")))
    started_at, ended_at, filled = when(status, changed_at, received_at)
    about = _said(check.get("desc"))
    return Alert(
        source="healthchecks",
        identity="test" if is_test else (code or name)[:300],
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=status,
        title=short(name or "A check without a name"),
        severity=Severity.INFO if is_test else severity,
        description=long(_said(body.get("body")) or about),
        service=first_label(labels, SERVICE_LABELS),
        environment=environment_in(labels),
        labels=labels,
        annotations={"desc": long(about)} if about else {},
        url=_page(check),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=word,
        source_severity=severity_word,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        attributes={key: value for key, value in body.items() if key != "body" and not PLACEHOLDER.fullmatch(text_of(value))},
    )


def _said(*values: Any) -> str:
    """The first value that says something: a placeholder with nothing behind it comes as it was written."""
    return next((text for text in map(text_of, values) if text and not PLACEHOLDER.fullmatch(text)), "")


def _is_test(code: str, name: str, check: Mapping[str, Any]) -> bool:
    """The check that its test button makes up is in no database: no slug, and always 42 pings."""
    is_made_up = "n_pings" in check and text_of(check["n_pings"]) == "42" and not text_of(check.get("slug"))
    return code == NOBODY or (name == "TEST" and is_made_up)


def _page(check: Mapping[str, Any]) -> str | None:
    """Where people see the check; the payload has only the API's address of it."""
    found = API_ADDRESS.fullmatch(text_of(check.get("update_url")))
    return web_url(f"{found[1]}/checks/{found[2]}/details/") if found else None


def tags_in(value: Any, separator: str | None = ",") -> list[str]:
    """Tags as they come: a list, or one text with something between them (None: blanks)."""
    if isinstance(value, list):
        return [text for text in map(text_of, value) if text]
    return [part.strip() for part in text_of(value).split(separator) if part.strip()]


def labels_of(tags: Iterable[str]) -> dict[str, str]:
    """`service:backup` says that the service is backup; a plain tag is true."""
    parts = (tag.partition(":") for tag in tags)
    return {name.strip(): rest.strip() or "true" for name, _, rest in parts if name.strip()}


def environment_in(labels: Mapping[str, str]) -> str | None:
    """The environment that a label names, or a plain tag that is the name of one."""
    plain = (name for name, value in labels.items() if value == "true" and name.lower() in ENVIRONMENTS)
    return first_label(labels, ENVIRONMENT_LABELS) or next(plain, None)


def severity_in(labels: Mapping[str, str], otherwise: Severity) -> tuple[Severity, str | None]:
    """The severity that a label asks for, and its word; `otherwise` where none does."""
    word = labels.get("severity", "")
    return (severity_of(word), word) if word else (otherwise, None)


def status_in(known: Mapping[str, Status], word: str) -> tuple[Status, tuple[str, ...]]:
    """An unknown state is taken as firing, and said to be a guess: silence would be worse."""
    status = known.get(word)
    return (status, ()) if status else (Status.FIRING, ("status",))


def when(
    status: Status, changed_at: datetime | None, received_at: datetime, began_at: datetime | None = None
) -> tuple[datetime, datetime | None, tuple[str, ...]]:
    """When an alert began and ended, and which of the two had to be filled in.

    Most monitors tell one time: that of the change. Where that is the end, the bot knows the beginning from before.
    """
    started_at = began_at or changed_at
    defaults = () if started_at else ("started_at",)
    if status is not Status.RESOLVED:
        return started_at or received_at, None, defaults
    return started_at or received_at, changed_at or received_at, defaults if changed_at else (*defaults, "ended_at")


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING
    code = "4c2f6f4e-6b1e-4f0e-9d53-0d6f3c1f7a10"

    def build(now: datetime) -> Mapping[str, object]:
        return {
            "code": code,
            "status": "down" if is_down else "up",
            "now": now.replace(microsecond=0).isoformat(),
            "exitstatus": "-1" if is_down else "0",
            "name": "Nightly backup",
            "body": "" if is_down else "412 files, 3.1 GB",
            "check": {
                "name": "Nightly backup",
                "slug": "nightly-backup",
                "tags": "service:platform env:production",
                "desc": "Dumps the orders database to the other region.",
                "grace": 1800,
                "n_pings": 318,
                "status": "down" if is_down else "up",
                "schedule": "30 1 * * *",
                "tz": "UTC",
                "uuid": code,
                "update_url": f"https://checks.example.com/api/v3/checks/{code}",
            },
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("backup-missing", "Nightly backup did not report", Status.FIRING),
    _example("backup-missing-resolved", "Nightly backup reported again", Status.RESOLVED),
)

SOURCE = Healthchecks()
