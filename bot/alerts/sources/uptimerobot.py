"""UptimeRobot's webhook: variables in a body of yours, or all of them as a form. https://help.uptimerobot.com/"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import form_of, is_form, json_object, long, moment, short, text_of, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.alerts.sources.healthchecks import severity_in, when
from bot.errors import Unreadable

SETUP = """\
# Integrations > Webhook. URL to notify: {url}?token={secret}&
# (or, where it offers custom headers, without ?token: Authorization = Bearer {secret})
# Tick "Send as JSON", and for Up events too. POST value:
{{"monitorID": "*monitorID*", "monitorFriendlyName": "*monitorFriendlyName*", "monitorURL": "*monitorURL*",
 "alertType": "*alertType*", "alertTypeFriendlyName": "*alertTypeFriendlyName*", "alertDetails": "*alertDetails*",
 "alertDateTime": "*alertDateTime*", "alertDuration": "*alertDuration*",
 "sslExpiryDate": "*sslExpiryDate*", "sslExpiryDaysLeft": "*sslExpiryDaysLeft*"}}
# You may add fields of your own: "service": "shop", "environment": "production", "severity": "critical".
"""
TYPES = {"1": Status.FIRING, "2": Status.RESOLVED, "3": Status.FIRING}
BY_WORD = {"down": "1", "up": "2", "ssl expiry": "3", "ssl expiry notification": "3"}
CERTIFICATE = "3"
UNSET = re.compile(r"\*\w+\*")


class UptimeRobot(signatures.ByToken):
    """A monitor that went down or came up, or whose certificate will expire. What was not filled in counts as missing."""

    name = "uptimerobot"
    title = "UptimeRobot"
    setup = SETUP
    identity_window_seconds: int | None = 30
    takes_queries = True

    @property
    def examples(self) -> Sequence[Example]:
        """A monitor that went down, up again, and a certificate that will expire."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none. It looks at a monitor every 30 seconds at most, so the same body sooner is the same news."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one monitor."""
        given = _body(delivery)
        fields = {_plain(name): _said(value) for name, value in given.items()}
        code = _code(fields)
        number = next((fields[name] for name in ("monitorid", "monitorurl", "monitorfriendlyname") if fields.get(name)), "")
        if not (code or number) and any(UNSET.fullmatch(text_of(value)) for value in given.values()):
            return Reading(ignored="no variable is filled in: a try of the template, or the names are not UptimeRobot's")
        if not code:
            raise Unreadable('alertType: missing; put "alertType": "*alertType*" into the POST value')
        if not number:
            raise Unreadable('monitorID: missing; put "monitorID": "*monitorID*" into the POST value')
        if code not in TYPES:
            return Reading(ignored=f"an alert of type {code[:40]} is not known here")
        return Reading(alerts=(_alert(given, fields, code, number, delivery.received_at),))


def _body(delivery: Delivery) -> dict[str, Any]:
    """JSON or a form. A JSON body without "Send as JSON" ticked comes as JSON that says it is a form."""
    if is_form(delivery) and not delivery.body.lstrip().startswith(b"{"):
        return dict(form_of(delivery.body))
    return json_object(delivery.body)


def _plain(name: str) -> str:
    """People write the fields' names themselves: monitorURL, monitor_url."""
    return name.replace("_", "").lower()


def _said(value: Any) -> str:
    """What a variable was filled in with; some texts come as HTML."""
    text = text_of(value)
    return "" if UNSET.fullmatch(text) else unescape(text).replace("\x00", "").strip()


def _code(fields: Mapping[str, str]) -> str:
    """The alert's type, by its number or else by its name."""
    word = fields.get("alerttypefriendlyname", "")
    return fields.get("alerttype") or BY_WORD.get(word.lower(), word)


def _alert(given: Mapping[str, Any], fields: Mapping[str, str], code: str, number: str, received_at: datetime) -> Alert:
    status = TYPES[code]
    is_certificate = code == CERTIFICATE
    name = fields.get("monitorfriendlyname", "")
    title = name or fields.get("monitorurl", "") or f"Monitor {number}"
    changed_at = moment(fields.get("alertdatetime"))
    began_at = _began(changed_at, fields.get("alertduration", "")) if status is Status.RESOLVED else None
    started_at, ended_at, filled = when(status, changed_at, received_at, began_at)
    severity, severity_word = severity_in(fields, Severity.MEDIUM if is_certificate else Severity.HIGH)
    return Alert(
        source="uptimerobot",
        # An Up ends a Down, and no certificate was ever renewed by it.
        identity=("ssl/" if is_certificate else "") + number[:290],
        status=status,
        title=short(f"{title} (SSL certificate)" if is_certificate else title),
        severity=severity,
        description=_description(fields, is_certificate),
        service=fields.get("service") or fields.get("monitorurl") or None,
        environment=fields.get("environment") or None,
        url=web_url(fields.get("monitorurl")),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=changed_at,
        source_status=fields.get("alerttypefriendlyname") or code,
        source_severity=severity_word,
        defaults=(*filled, *(() if name else ("title",))),
        attributes={key: value for key, value in given.items() if not UNSET.fullmatch(text_of(value))},
    )


def _began(ended_at: datetime | None, seconds: str) -> datetime | None:
    """When a monitor went down that has been down for so long."""
    if ended_at is None or not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 8):
        return None
    return ended_at - timedelta(seconds=int(seconds))


def _description(fields: Mapping[str, str], is_certificate: bool) -> str:
    details, date, days = (fields.get(name, "") for name in ("alertdetails", "sslexpirydate", "sslexpirydaysleft"))
    parts = (details, f"Expires on {date}" if date else "", f"Days left: {days}" if days else "")
    return long("\n".join(part for part in parts if part) if is_certificate else details)


def _example(name: str, title: str, status: Status, code: str, details: str, **more: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {
            "monitorID": "790114265",
            "monitorFriendlyName": "Public API",
            "monitorURL": "https://api.example.com/health",
            "alertType": code,
            "alertTypeFriendlyName": {"1": "Down", "2": "Up", "3": "SSL expiry"}[code],
            "alertDetails": details,
            "alertDateTime": str(int(now.timestamp())),
            "service": "api",
            "environment": "production",
            **more,
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("api-down", "The public API times out", Status.FIRING, "1", "No answer within 30 seconds"),
    _example("api-down-resolved", "The public API answers again", Status.RESOLVED, "2", "HTTP 200", alertDuration="420"),
    _example("certificate", "A certificate expires in 9 days", Status.FIRING, "3", "Renew it", sslExpiryDaysLeft="9"),
)

SOURCE = UptimeRobot()
