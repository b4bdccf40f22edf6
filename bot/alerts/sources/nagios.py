"""Nagios and Icinga, through a notification command: they have no webhook.

https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/macrolist.html
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import first, json_object, links_from, long, moment, short, text_of, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# commands.cfg. jq writes the JSON, and every macro stands in single quotes: Nagios takes those out of what plugins say.
# It does not take them out of comments ($NOTIFICATIONCOMMENT$): leave those out of a command line.
define command {{
  command_name  firstfive-service
  command_line  jq -n --arg type '$NOTIFICATIONTYPE$' --arg object service --arg host '$HOSTNAME$' \\
    --arg host_address '$HOSTADDRESS$' --arg service '$SERVICEDESC$' --arg state '$SERVICESTATE$' \\
    --arg state_since '$LASTSERVICESTATECHANGE$' --arg output '$SERVICEOUTPUT$' --arg long_output '$LONGSERVICEOUTPUT$' \\
    --arg notification_number '$SERVICENOTIFICATIONNUMBER$' --arg service_groups '$SERVICEGROUPNAMES$' \\
    --arg notes_url '$SERVICENOTESURL$' --arg environment '$_HOSTENVIRONMENT$' --arg time '$TIMET$' '$$ARGS.named' \\
    | curl -sS -f -m 10 --retry 3 -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' -d @- '{url}'
}}
define command {{
  command_name  firstfive-host
  command_line  jq -n --arg type '$NOTIFICATIONTYPE$' --arg object host --arg host '$HOSTNAME$' \\
    --arg host_address '$HOSTADDRESS$' --arg state '$HOSTSTATE$' --arg state_since '$LASTHOSTSTATECHANGE$' \\
    --arg output '$HOSTOUTPUT$' --arg notification_number '$HOSTNOTIFICATIONNUMBER$' --arg notes_url '$HOSTNOTESURL$' \\
    --arg environment '$_HOSTENVIRONMENT$' --arg time '$TIMET$' '$$ARGS.named' \\
    | curl -sS -f -m 10 --retry 3 -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' -d @- '{url}'
}}
# Have a contact use both, with service_notification_options w,u,c,r,f,s and host_notification_options d,u,r,f,s.
# Icinga 2: the same pipe in the script of a NotificationCommand, from its env: $notification.type$, $host.name$,
# $service.name$, $service.state$, $service.last_state_change$, $service.output$, $notification.author$ (as ack_author),
# $notification.comment$ (as ack_comment), $icinga.timet$.
"""
UNSET = re.compile(r"\$[\w.:-]+\$", re.ASCII)
"""A macro that was not filled in."""
WELL = ("OK", "UP")
SEVERITIES = {
    "CRITICAL": Severity.CRITICAL,
    "DOWN": Severity.CRITICAL,
    "UNREACHABLE": Severity.HIGH,
    "WARNING": Severity.MEDIUM,
    "UNKNOWN": Severity.LOW,
    "OK": Severity.INFO,
    "UP": Severity.INFO,
}
STATUSES = {
    "PROBLEM": Status.FIRING,
    "RECOVERY": Status.RESOLVED,
    "ACKNOWLEDGEMENT": Status.ACKNOWLEDGED,
    "DOWNTIMESTART": Status.SUPPRESSED,
    "CUSTOM": Status.INFO,
}
BY_STATE = (
    "FLAPPINGSTOP", "FLAPPINGEND", "FLAPPINGDISABLED", "DOWNTIMEEND", "DOWNTIMECANCELLED", "DOWNTIMEREMOVED",
)  # fmt: skip
"""Nothing is told of a problem while it flaps or has a downtime. These end that, so the state counts, whichever it is."""
LABELS = ("host", "host_address", "service", "service_groups", "host_groups", "contact_group")
READ = frozenset({"output", "long_output", "notes_url", "ack_comment", *LABELS})


class Nagios(signatures.ByToken):
    """A problem of a host or a service, its recovery, or an acknowledgement, from Nagios or Icinga.

    They have no webhook: the commands below are one. A recovery does not say when its problem began.
    """

    name = "nagios"
    title = "Nagios and Icinga"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A service's problem and recovery, and a host that is acknowledged."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none; curl tries again within seconds."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The notification."""
        given = json_object(delivery.body)
        body = {name: "" if UNSET.fullmatch(first(value)) else value for name, value in given.items()}
        if not first(body.get("host")):
            raise Unreadable("host: missing; does the notification command match the documentation's?")
        return Reading(alerts=(_alert(body, delivery),))


def _alert(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    host, check = first(body.get("host")), first(body.get("service"))
    type_, state = first(body.get("type")).upper(), first(body.get("state")).upper()
    status, is_known = _status(type_, state)
    at, since = moment(body.get("time")), moment(body.get("state_since"))
    is_over = status is Status.RESOLVED
    # Said again, it may have another state, and the time of that: only the first time is when it began.
    is_first = text_of(body.get("notification_number")) == "1"
    changed_at = since or at
    missing = {
        "status": not is_known,
        "started_at": changed_at is None or (status is Status.FIRING and not is_first),
        "ended_at": is_over and changed_at is None,
    }
    said = (first(body.get("output")), first(body.get("long_output")))
    comment = ": ".join(filter(None, (first(body.get("ack_author")), first(body.get("ack_comment")))))
    return Alert(
        source="nagios",
        identity=f"{host}|{check}" if check else host,
        kind=Kind.ALERT,
        status=status,
        title=short(f"{check} on {host}" if check else host),
        severity=SEVERITIES.get(state, Severity.UNKNOWN),
        description=long("\n".join(filter(None, said))),
        service=first(body.get("service_groups")).partition(",")[0].strip() or host,
        environment=first(body.get("environment")) or None,
        labels={name: first(body.get(name)) for name in LABELS if first(body.get(name))},
        annotations={"comment": long(comment)} if comment else {},
        url=web_url(body.get("notes_url")),
        links=links_from([("runbook", body.get("notes_url"), "Notes")]),
        started_at=changed_at or delivery.received_at,
        ended_at=(changed_at or delivery.received_at) if is_over else None,
        changed_at=changed_at,
        source_status=type_ or state or None,
        source_severity=state or None,
        no_data=state == "UNKNOWN",
        defaults=tuple(name for name, is_missing in missing.items() if is_missing),
        attributes={name: value for name, value in body.items() if name not in READ and value != ""},
    )


def _status(type_: str, state: str) -> tuple[Status, bool]:
    """Where it stands, and whether that was said in a way we know."""
    word = type_.partition(" ")[0]
    if word in STATUSES:
        return STATUSES[word], True
    if word == "FLAPPINGSTART":
        # Well for the moment: its recovery is told by the end of the flapping.
        return (Status.INFO if state in WELL else Status.FIRING), True
    if state in SEVERITIES:
        return (Status.RESOLVED if state in WELL else Status.FIRING), word in BY_STATE
    return Status.FIRING, False


def _example(name: str, title: str, type_: str, state: str, check: str = "Replication lag") -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        changed = now - timedelta(seconds=15)
        about = {"service": check, "service_groups": "database,tier-1"} if check else {"service": ""}
        return {
            "type": type_,
            "object": "service" if check else "host",
            "host": "pg-standby-1",
            "host_address": "192.0.2.14",
            **about,
            "state": state,
            "state_since": str(int(changed.timestamp())),
            "attempt": "3",
            "output": "Lag: 0.2 s" if state in WELL else "Lag: 640 s, limit 300 s" if check else "No answer to 5 pings",
            "notification_number": "1" if type_ == "PROBLEM" else "0",
            "notes_url": "https://wiki.example.com/replication" if check else "$HOSTNOTESURL$",
            "environment": "production",
            "ack_author": "ben" if type_ == "ACKNOWLEDGEMENT" else "",
            "ack_comment": "The host is being moved." if type_ == "ACKNOWLEDGEMENT" else "",
            "time": str(int(now.timestamp())),
        }

    return Example(name, title, STATUSES[type_], build)


EXAMPLES = (
    _example("replication-lag", "Replication lag on pg-standby-1", "PROBLEM", "CRITICAL"),
    _example("replication-lag-recovered", "Replication of pg-standby-1 has caught up", "RECOVERY", "OK"),
    _example("host-acknowledged", "pg-standby-1 is down and acknowledged", "ACKNOWLEDGEMENT", "DOWN", check=""),
)

SOURCE = Nagios()
