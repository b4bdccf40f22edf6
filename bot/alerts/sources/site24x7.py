"""Site24x7's webhook with its incident parameters, as JSON or as a form.

https://www.site24x7.com/help/admin/third-party-integration/webhooks.html
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import (
    SERVICE_LABELS,
    first_label,
    form_of,
    is_form,
    json_object,
    label_hash,
    links_from,
    long,
    moment,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import environment_in, labels_of, severity_in, status_in, tags_in, when
from bot.errors import Unreadable

SETUP = """\
# Admin > Third-Party Integrations > Webhooks
# Hook URL: {url}   HTTP Method: POST   Post as JSON: yes   Send Incident Parameters: yes
# Custom header: Authorization = Bearer {secret}   (or leave it out, and put ?token={secret} behind the Hook URL)
# Let it send for Trouble, Critical, Down and Up.
# A monitor's tags tell more: service:shop, env:production.
"""
STATUSES = {
    "DOWN": Status.FIRING,
    "CRITICAL": Status.FIRING,
    "TROUBLE": Status.FIRING,
    "UP": Status.RESOLVED,
    "MAINTENANCE": Status.SUPPRESSED,
    "SUSPENDED": Status.SUPPRESSED,
    "DISCOVERY": Status.INFO,
    "CONFIGURATION ERROR": Status.INFO,
}
UNSET = re.compile(r"\$\{?[A-Z_]+\}?")
KNOWN = frozenset({"TAGS", "INCIDENT_REASON"})


class Site24x7(signatures.ByToken):
    """One monitor and the state it is in now: down, critical, in trouble, up. Trouble that becomes worse is the same alert."""

    name = "site24x7"
    title = "Site24x7"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A monitor that is down, up again, and one in trouble."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none; each change has its time in the body."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one monitor."""
        given: dict[str, Any] = dict(form_of(delivery.body)) if is_form(delivery) else json_object(delivery.body)
        fields = {name.upper(): _said(value) for name, value in given.items()}
        if not fields.get("STATUS"):
            raise Unreadable("STATUS: missing; tick “Send Incident Parameters” in the webhook")
        if not any(fields.get(name) for name in ("MONITOR_ID", "MONITORNAME", "MONITORURL")):
            raise Unreadable("MONITORNAME: missing; tick “Send Incident Parameters” in the webhook")
        return Reading(alerts=(_alert(given, fields, delivery.received_at),))


def _said(value: Any) -> str:
    """What a parameter was filled in with."""
    text = text_of(value)
    return "" if UNSET.fullmatch(text) else text


def _alert(given: Mapping[str, Any], fields: Mapping[str, str], received_at: datetime) -> Alert:
    word, name, address = fields["STATUS"], fields.get("MONITORNAME", ""), fields.get("MONITORURL", "")
    status, guessed = status_in(STATUSES, word.upper())
    changed_at = next(filter(None, map(moment, _times(fields))), None)
    started_at, ended_at, filled = when(status, changed_at, received_at)
    # Trouble that becomes worse has the time of that, and no other.
    filled = ("started_at",) if status is Status.FIRING else filled
    labels = labels_of(_tags(given))
    severity, severity_word = severity_in(labels, Severity.MEDIUM if word.upper() == "TROUBLE" else Severity.HIGH)
    return Alert(
        source="site24x7",
        identity=fields.get("MONITOR_ID", "")[:300] or label_hash({"name": name, "url": address}),
        status=status,
        title=short(name or address or "A monitor without a name"),
        severity=severity,
        description=_description(fields),
        service=first_label(labels, SERVICE_LABELS) or address or None,
        environment=environment_in(labels),
        labels=_labels(fields, labels),
        url=web_url(fields.get("MONITOR_DASHBOARD_LINK")) or web_url(address),
        links=links_from(
            [
                ("dashboard", fields.get("MONITOR_DASHBOARD_LINK"), "Monitor"),
                ("source", fields.get("RCA_LINK"), "Root cause analysis"),
            ]
        ),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=word,
        source_severity=severity_word,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        attributes={key: value for key, value in given.items() if key not in KNOWN and not UNSET.fullmatch(text_of(value))},
    )


def _times(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Where the time may stand; INCIDENT_TIME is one for people, in the account's zone."""
    return tuple(fields.get(name, "") for name in ("INCIDENT_TIME_ISO", "OUTAGE_TIME_UNIX_FORMAT", "CT"))


def _tags(given: Mapping[str, Any]) -> list[str]:
    return [tag for tag in tags_in(given.get("TAGS")) if not UNSET.fullmatch(tag)]


def _labels(fields: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Its tags, its type and its group."""
    own = {name: fields[name] for name in ("MONITORTYPE", "MONITOR_GROUPNAME") if fields.get(name)}
    return {**own, **tags}


def _description(fields: Mapping[str, str]) -> str:
    """Why, and from where it was seen."""
    reason = fields.get("INCIDENT_REASON") or fields.get("INCIDENT_DETAILS", "")
    places = fields.get("FAILED_LOCATIONS", "")
    parts = (reason, f"Seen from: {places.replace(',', ', ')}" if places else "")
    return long("\n".join(part for part in parts if part))


def _example(name: str, title: str, status: Status, word: str, reason: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {
            "MONITOR_ID": 318420000000042017,
            "MONITORNAME": "Booking form",
            "MONITORTYPE": "URL",
            "MONITORURL": "https://booking.example.com/form",
            "STATUS": word,
            "INCIDENT_REASON": reason,
            "FAILED_LOCATIONS": "" if status is Status.RESOLVED else "Lyon-FR,Turin-IT",
            "INCIDENT_TIME_ISO": now.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%S%z"),
            "OUTAGE_TIME_UNIX_FORMAT": str(int(now.timestamp() * 1000)),
            "MONITOR_DASHBOARD_LINK": "https://monitor.example.com/app/client#/home/monitors/318420000000042017/Summary",
            "TAGS": ["service:booking", "env:production"],
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("booking-down", "The booking form is down", Status.FIRING, "DOWN", "Connection refused"),
    _example("booking-down-resolved", "The booking form is up again", Status.RESOLVED, "UP", ""),
    _example("booking-trouble", "The booking form is slow", Status.FIRING, "TROUBLE", "Response time over 4000 ms"),
)

SOURCE = Site24x7()
