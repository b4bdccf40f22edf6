"""Zabbix, through a webhook media type with our script: it posts its own parameters as JSON.

https://www.zabbix.com/documentation/current/en/manual/config/notifications/media/webhook
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    json_value,
    links_from,
    long,
    moment,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# In Zabbix: Alerts > Media types > Create, type Webhook, with these parameters (timeout 30s, attempts 3):
#   bot_url              {url}
#   token                {secret}
#   event_id             {{EVENT.ID}}
#   event_recovery_id    {{EVENT.RECOVERY.ID}}
#   event_source         {{EVENT.SOURCE}}
#   event_value          {{EVENT.VALUE}}
#   event_name           {{EVENT.NAME}}
#   event_severity       {{EVENT.SEVERITY}}
#   event_nseverity      {{EVENT.NSEVERITY}}
#   event_tags           {{EVENT.TAGSJSON}}
#   event_opdata         {{EVENT.OPDATA}}
#   event_timestamp      {{EVENT.TIMESTAMP}}
#   event_date           {{EVENT.DATE}}
#   event_time           {{EVENT.TIME}}
#   event_recovery_timestamp  {{EVENT.RECOVERY.TIMESTAMP}}
#   event_recovery_date  {{EVENT.RECOVERY.DATE}}
#   event_recovery_time  {{EVENT.RECOVERY.TIME}}
#   event_update_status  {{EVENT.UPDATE.STATUS}}
#   event_update_action  {{EVENT.UPDATE.ACTION}}
#   event_update_message {{EVENT.UPDATE.MESSAGE}}
#   event_update_nseverity    {{EVENT.UPDATE.NSEVERITY}}
#   trigger_id           {{TRIGGER.ID}}
#   trigger_description  {{TRIGGER.DESCRIPTION}}
#   trigger_url          {{TRIGGER.URL}}
#   host_name            {{HOST.NAME}}
#   host_ip              {{HOST.IP}}
#   url                  https://ZABBIX/tr_events.php?triggerid={{TRIGGER.ID}}&eventid={{EVENT.ID}}
# An older Zabbix that knows no {{EVENT.TIMESTAMP}} says no time zone either: add the one its times are in,
#   event_utc_offset     +02:00
# The script:
var p = JSON.parse(value), request = new HttpRequest();
request.addHeader('Content-Type: application/json');
request.addHeader('Authorization: Bearer ' + p.token);
var to = p.bot_url;
delete p.token;
delete p.bot_url;
delete p.HTTPProxy;
request.post(to, JSON.stringify(p));
if (request.getStatus() < 200 || request.getStatus() > 299) {{
  throw 'HTTP ' + request.getStatus();
}}
return 'OK';
# Then give the media to a user, and have a trigger action notify that user on problem, recovery and update.
"""
UNSET = re.compile(r"\{[A-Z][^{}\s]*\}|\*UNKNOWN\*")
"""A macro that Zabbix did not know how to fill."""
BY_NUMBER = {
    "5": Severity.CRITICAL,
    "4": Severity.HIGH,
    "3": Severity.MEDIUM,
    "2": Severity.MEDIUM,
    "1": Severity.LOW,
    "0": Severity.INFO,
}
BY_NAME = {"disaster": "5", "high": "4", "average": "3", "warning": "2", "information": "1", "not classified": "0"}
NO_PROBLEM = {"1": "a host was discovered", "2": "a host registered itself"}
UPDATES = {
    "acknowledged": Status.ACKNOWLEDGED,
    "unacknowledged": Status.FIRING,
    "severity": Status.FIRING,
    "suppressed": Status.SUPPRESSED,
    "unsuppressed": Status.FIRING,
    "closed": Status.RESOLVED,
}
"""What was done to a problem, by a word of {EVENT.UPDATE.ACTION}; a comment leaves it as it was."""
RATED = "severity"
"""The word that says that it is as bad as it was no more."""
READ = frozenset({"event_name", "event_tags", "trigger_description", "event_opdata", "url", "link"})


class Zabbix(signatures.ByToken):
    """A problem, its recovery, or what somebody did to it. Zabbix has no webhook of its own: the script below is one."""

    name = "zabbix"
    title = "Zabbix"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A problem, acknowledged and recovered."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none, and tries three times within half a minute."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The problem, as it stands now."""
        given = json_object(delivery.body)
        if not any(name in given for name in ("event_id", "event_name", "trigger_id", "trigger")):
            raise Unreadable("event_id: missing; do the media type's script and parameters match the documentation's?")
        body = {name: "" if UNSET.fullmatch(first(value)) else value for name, value in given.items()}
        event_source = text_of(body.get("event_source"))
        if event_source in NO_PROBLEM:
            return Reading(ignored=f"{NO_PROBLEM[event_source]}; that is no problem")
        return Reading(alerts=(_alert(body, given, delivery),))


def _alert(body: Mapping[str, Any], given: Mapping[str, Any], delivery: Delivery) -> Alert:
    tags = _tags(body.get("event_tags"))
    host = first(body.get("host_name"), body.get("host"), body.get("hostname"))
    status, is_known = _status(body)
    number, word = _severity(body)
    title = first(body.get("event_name"), body.get("trigger"))
    started_at, ended_at = _moment(body, "event"), _moment(body, "event_recovery")
    is_over = status is Status.RESOLVED
    missing = {
        "title": not title,
        "status": not is_known,
        "started_at": started_at is None,
        "ended_at": is_over and ended_at is None,
    }
    described = (first(body.get("event_opdata"), body.get("item")), first(body.get("trigger_description")))
    comment = first(body.get("event_update_message"))
    return Alert(
        source="zabbix",
        identity=_identity(body, host, title),
        # The test of a media type fills in no macro.
        kind=Kind.TEST if UNSET.fullmatch(first(given.get("event_value"))) else Kind.ALERT,
        status=status,
        title=short(title or "A problem without a name"),
        severity=BY_NUMBER.get(number, Severity.UNKNOWN),
        description=long("\n".join(filter(None, described))),
        service=first_label(tags, SERVICE_LABELS) or host or None,
        environment=first_label(tags, ENVIRONMENT_LABELS),
        labels={"host": host, **tags} if host else tags,
        annotations={"comment": long(comment)} if comment else {},
        url=web_url(body.get("url")) or web_url(body.get("link")),
        links=links_from([("runbook", body.get("trigger_url") or tags.get("runbook"), "Runbook")]),
        started_at=started_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if is_over else None,
        # What is done to a problem has no time of its own; it does not begin again by that.
        changed_at=ended_at if is_over else started_at,
        group_key=first(body.get("trigger_id")) or None,
        source_status=first(body.get("event_update_action"), body.get("trigger_status"), body.get("status"), body.get("event_value"))
        or None,
        source_severity=word or None,
        defaults=tuple(name for name, is_missing in missing.items() if is_missing),
        attributes={name: value for name, value in body.items() if name not in READ and value != ""},
    )


def _identity(body: Mapping[str, Any], host: str, title: str) -> str:
    """The event that began the problem: its recovery and its updates name it too."""
    try:
        asked = parse_qs(urlsplit(first(body.get("link"))).query)
    except ValueError:
        asked = {}
    event = first(body.get("event_id"), *asked.get("eventid", ()))
    if event:
        return event
    trigger = first(body.get("trigger_id"), *asked.get("triggerid", ())) or title
    return f"{host}|{trigger}"


def _status(body: Mapping[str, Any]) -> tuple[Status, bool]:
    """Where the problem stands, and whether that was said in a way we know."""
    if text_of(body.get("event_update_status")) == "1":
        words = set(re.findall(r"[a-z]+", first(body.get("event_update_action")).lower()))
        found = {status for word, status in UPDATES.items() if word in words}
        order = (Status.RESOLVED, Status.ACKNOWLEDGED, Status.SUPPRESSED, Status.FIRING)
        if RATED in words:
            # Whoever took it for what it was said nothing of what it has become.
            order = (Status.RESOLVED, Status.SUPPRESSED, Status.FIRING, Status.ACKNOWLEDGED)
        return next((one for one in order if one in found), Status.INFO), True
    value = text_of(body.get("event_value"))
    if value in ("0", "1"):
        return (Status.FIRING if value == "1" else Status.RESOLVED), True
    state = first(body.get("trigger_status"), body.get("status"), body.get("event_status")).lower()
    return (Status.RESOLVED if state in ("ok", "resolved") else Status.FIRING), state in ("problem", "ok", "resolved")


def _severity(body: Mapping[str, Any]) -> tuple[str, str]:
    """The number of it, and its name as Zabbix shows it; an update may have changed it."""
    word = first(body.get("event_severity"), body.get("severity"))
    changed = "severity" in first(body.get("event_update_action")).lower()
    number = first(body.get("event_update_nseverity") if changed else "", body.get("event_nseverity"))
    return number or BY_NAME.get(word.lower(), ""), word or number


def _tags(value: Any) -> dict[str, str]:
    """A list of {tag, value}, as text; several values of one tag are put together."""
    given: Any = value
    if isinstance(value, str):
        try:
            given = json_value(value.encode()) if value.strip() else []
        except Unreadable:
            given = []
    tags: dict[str, str] = {}
    for one in given if isinstance(given, list) else ():
        name = first(one.get("tag")) if isinstance(one, dict) else ""
        if name:
            tags[name] = ", ".join(filter(None, (tags.get(name, ""), text_of(one.get("value")))))
    return tags


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    """Seconds since 1970; or a date and a time, which mean nothing without the zone they are in."""
    told = moment(body.get(f"{name}_timestamp"))
    day, clock, zone = (first(body.get(one)) for one in (f"{name}_date", f"{name}_time", "event_utc_offset"))
    return told or (moment(f"{day.replace('.', '-')}T{clock}{zone}") if zone else None)


def _example(name: str, title: str, status: Status) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        is_over, is_update = status is Status.RESOLVED, status is Status.ACKNOWLEDGED
        started = now - timedelta(minutes=0 if status is Status.FIRING else 8)
        ended = str(int(now.timestamp())) if is_over else "{EVENT.RECOVERY.TIMESTAMP}"
        return {
            "event_id": "70311",
            "event_recovery_id": "70398" if is_over else "{EVENT.RECOVERY.ID}",
            "event_source": "0",
            "event_value": "0" if is_over else "1",
            "event_name": "Free space on /var under 5 % on mail-02",
            "event_severity": "High",
            "event_nseverity": "4",
            "event_tags": '[{"tag":"service","value":"mail"},{"tag":"environment","value":"production"}]',
            "event_opdata": "Free: 3.1 %",
            "event_timestamp": str(int(started.timestamp())),
            "event_recovery_timestamp": ended,
            "event_update_status": "1" if is_update else "0",
            "event_update_action": "acknowledged" if is_update else "{EVENT.UPDATE.ACTION}",
            "event_update_message": "Cleaning up the queue." if is_update else "{EVENT.UPDATE.MESSAGE}",
            "trigger_id": "20417",
            "trigger_url": "https://wiki.example.com/mail-disk",
            "host_name": "mail-02",
            "host_ip": "192.0.2.25",
            "url": "https://zabbix.example.com/tr_events.php?triggerid=20417&eventid=70311",
        }

    return Example(name, title, status, build)


EXAMPLES = (
    _example("mail-disk", "Disk of mail-02 nearly full", Status.FIRING),
    _example("mail-disk-acknowledged", "Disk of mail-02 acknowledged", Status.ACKNOWLEDGED),
    _example("mail-disk-recovered", "Disk of mail-02 has room again", Status.RESOLVED),
)

SOURCE = Zabbix()
