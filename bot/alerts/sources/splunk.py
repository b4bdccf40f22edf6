"""Splunk's alert action "Webhook". https://help.splunk.com/en/splunk-enterprise/alert-and-respond/alerting-manual

It sends one row of the results, and nothing of the alert but its name: what else there is to say is said by columns.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first_label,
    json_object,
    links_from,
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

OWN_COLUMNS = re.compile(r"_.*|date_\w+|timestartpos|timeendpos|linecount|punct|eventtype|splunk_server(_group)?", re.ASCII)
"""What Splunk adds to every event: no label."""
OVER = ("resolved", "ok", "cleared", "recovered")
TOP = frozenset({"search_name", "results_link", "result"})
SETUP = """\
# 1. Splunk 9 and later: allow the address under Settings > Server settings > Webhook allow list.
# 2. In the alert: Add Actions > Webhook, with the URL below. Splunk sends no headers, so the token is part of it.
{url}?token={secret}
#    A row that names neither its search nor its run (sid) is refused, unless it has a dedup_key.
# 3. Trigger it for each result, and say the rest in columns: severity, service, environment, message, runbook;
#    dedup_key, where one alert finds several things; alert_status, where it is to clear too.
index=web | stats count(eval(status>=500)) AS errors BY service
| eval alert_status=if(errors>100, "firing", "resolved"), dedup_key=service, severity="critical"
| eval environment="production", message=errors." errors in 5 minutes"
"""


class Splunk(signatures.ByToken):
    """A row of an alert's results. Splunk itself gives no severity and no end: the columns `severity` and `alert_status`
    (firing or resolved) say them, and `dedup_key` which row is which.
    """

    name = "splunk"
    title = "Splunk"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A search that found something, and the row that says it is over."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none: all rows of one search have its sid, and all runs of a real-time search."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one row."""
        body = json_object(delivery.body)
        if "result" not in body and "search_name" not in body:
            raise Unreadable("result: missing; neither that nor search_name is there, so this is no alert of Splunk's")
        return Reading(alerts=(_alert(body, object_at(body.get("result"), "result"), delivery),))


def _alert(body: Mapping[str, Any], row: Mapping[str, Any], delivery: Delivery) -> Alert:
    name = text_of(body.get("search_name"))
    labels = {column: text for column, value in row.items() if not OWN_COLUMNS.fullmatch(column) and (text := _cell(value))}
    status = Status.RESOLVED if labels.get("alert_status", "").lower() in OVER else Status.FIRING
    word = labels.get("severity", "") or labels.get("urgency", "")
    # Of an event. A row of statistics has none: when the search ran is no start, it is later with each run.
    at = moment(row.get("_time"))
    # When it happened that time: taken for its start, each report would be a new one.
    filled_in = ("started_at",) if status is Status.FIRING else () if at else ("started_at", "ended_at")
    return Alert(
        source="splunk",
        identity=_identity(name, body, labels),
        status=status,
        title=short(name or "A search without a name"),
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=long(labels.get("message") or _cell(row.get("_raw"))),
        service=first_label(labels, SERVICE_LABELS),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(body.get("results_link")),
        links=links_from(
            [
                ("logs", body.get("results_link"), "Results"),
                ("runbook", labels.get("runbook") or labels.get("runbook_url"), "Runbook"),
            ]
        ),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if status is Status.RESOLVED else None,
        occurrence=text_of(body.get("sid")) or None,
        source_status=labels.get("alert_status") or None,
        source_severity=word or None,
        defaults=filled_in if name else (*filled_in, "title"),
        attributes={
            **{key: value for key, value in body.items() if key not in TOP},
            "result": {column: value for column, value in row.items() if column not in labels},
        },
    )


def _cell(value: Any) -> str:
    """A column's text; of a multivalue field all of them."""
    if isinstance(value, list):
        return ", ".join(text for text in map(text_of, value) if text)
    return text_of(value)


def _identity(name: str, body: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The alert, and which of its groups. A search without a name is only known by its run."""
    search, key = name or text_of(body.get("sid")), labels.get("dedup_key")
    if not (search or key):
        raise Unreadable("search_name: missing, and sid too; a row without them needs a column dedup_key that tells it from others")
    parts = (body.get("app"), body.get("owner"), search, key)
    return "/".join(text_of(part) for part in parts)[:500]


def _example(name: str, status: Status) -> Example:
    is_over = status is Status.RESOLVED

    def build(now: datetime) -> Mapping[str, object]:
        at = int(now.timestamp()) - 20
        sid = f"scheduler__admin__search__checkout5xx_at_{at}_17"
        return {
            "result": {
                "_time": str(at),
                "service": "checkout",
                "environment": "production",
                "severity": "critical",
                "alert_status": "resolved" if is_over else "firing",
                "errors": "2" if is_over else "318",
                "message": "2 errors in 5 minutes" if is_over else "318 errors in 5 minutes",
                "dedup_key": "checkout",
            },
            "sid": sid,
            "results_link": f"https://splunk.example.com/app/search/@go?sid={sid}",
            "search_name": "Checkout answers 5xx",
            "owner": "admin",
            "app": "search",
        }

    return Example(name, f"Checkout answers {'well again' if is_over else '5xx'}", status, build)


EXAMPLES = (_example("checkout-5xx", Status.FIRING), _example("checkout-5xx-resolved", Status.RESOLVED))

SOURCE = Splunk()
