"""Honeycomb's triggers and SLO burn alerts, through its webhook. https://docs.honeycomb.io/notify/webhooks/

The default payload, and Honeycomb's own template of a custom one (`alert.status`, `result.groupsTriggered`).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import (
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
from bot.alerts.sources.kibana import said
from bot.errors import Unreadable, Unverified

TOKEN = "x-honeycomb-webhook-token"
DELIVERY = "x-honeycomb-webhook-delivery-id"
SECRETS = ("shared_secret", "secret")
"""Where the secret stands in a body: in payloads of old, and in templates that ask for it."""
LARGEST = 262_144
STATUSES = {"triggered": Status.FIRING, "ok": Status.RESOLVED, "resolved": Status.RESOLVED}
PLACES = {"environment": re.compile(r"/environments/([^/?#]+)"), "dataset": re.compile(r"/datasets/([^/?#]+)")}
CLOCK = re.compile(r"(\d\d:\d\d:\d\d) UTC([+-]\d\d:?\d\d)?", re.ASCII)
"""How the template's .Alert.Timestamp is written: without its day."""
TOP = frozenset({*SECRETS, "name", "description", "trigger_description"})
SETUP = """\
# Team Settings > Integrations > Trigger and SLO Recipients > Add Integration: provider Webhook
Webhook URL: {url}
Shared Secret: {secret}
# Then add it as a recipient to triggers and to SLO burn alerts. The default payload says no time and no severity.
# To have them, add to a custom payload with a variable `severity`:
#   "timestamp": "{{{{ .Alert.Timestamp }}}}", "severity": "{{{{ .Vars.severity }}}}"
"""


class Honeycomb:
    """A trigger or an SLO burn alert as a whole: it clears when no group is over the threshold any more. The default payload
    says no time and no severity.
    """

    name = "honeycomb"
    title = "Honeycomb"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A trigger, its end, and a burn alert."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By the shared secret in its own header, or in the body; or by token."""
        signatures.require(secrets, delivery, self.name)
        own = delivery.headers.get(TOKEN, "").encode("latin-1", errors="replace")
        given = [one for one in (own, *signatures.tokens_in(delivery)) if one] or _secrets_in(delivery.body)
        if not given:
            raise Unverified("no token; set the shared secret in Honeycomb's webhook integration")
        if not any(signatures.same(one, secret) for one in given for secret in secrets):
            raise Unverified("the token does not fit; compare Honeycomb's shared secret with HOOK_SECRETS")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """Honeycomb's own header."""
        return {"X-Honeycomb-Webhook-Token": secret}

    def delivery_id(self, delivery: Delivery) -> str:
        """Its own header; before there was one, the body for half a minute: a trigger repeats itself word by word."""
        own = delivery.headers.get(DELIVERY, "").strip()
        return own[:128] or f"{signatures.content_id(delivery)}@{int(delivery.received_at.timestamp()) // 30}"

    def without_proof(self, body: bytes) -> bytes:
        """Without the shared secret, where it stands in the body."""
        try:
            given = json_object(body)
        except Unreadable:
            return body
        rest = {name: value for name, value in given.items() if name not in SECRETS}
        return body if len(rest) == len(given) else orjson.dumps(rest)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one trigger or burn alert."""
        return Reading(alerts=(_alert(json_object(delivery.body), delivery),))


def _secrets_in(body: bytes) -> list[bytes]:
    if len(body) > LARGEST:
        # Nothing large is read before it is known whose it is.
        return []
    try:
        given = json_object(body)
    except Unreadable:
        return []
    return [text.encode(errors="replace") for text in (text_of(given.get(name)) for name in SECRETS) if text]


def _alert(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    alert, result = object_at(body.get("alert"), "alert"), object_at(body.get("result"), "result")
    links = object_at(body.get("links"), "links")
    name, word = said(body.get("name")), said(body.get("status"), alert.get("status"))
    key = said(body.get("id")) or name
    if not key:
        raise Unreadable("id: missing, and name too; a custom payload needs one of them")
    trigger_url = said(body.get("trigger_url"), body.get("slo_url"), links.get("url"), body.get("url"))
    result_url = said(body.get("result_url"), object_at(result.get("links"), "result.links").get("url"))
    labels = {**_places(trigger_url), **_common(body, result)}
    severity = said(body.get("severity"), alert.get("severity"))
    status = STATUSES.get(word.lower(), Status.FIRING)
    at = _time(said(body.get("timestamp"), alert.get("timestamp")), delivery.received_at)
    # When it happened that time: taken for its start, each report would be a new one.
    missing = ["started_at"] if status is not Status.RESOLVED else [] if at else ["started_at", "ended_at"]
    missing += [field for field, is_there in (("status", word.lower() in STATUSES), ("title", bool(name))) if not is_there]
    is_test = _is_test(body, alert)
    return Alert(
        source="honeycomb",
        # A test has its trigger's id, and must not be taken for it: not for its start, and not for its end.
        identity=f"{'test/' if is_test else ''}{key}"[:500],
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=status,
        title=short(name or "A trigger without a name"),
        severity=severity_of(severity) if severity else Severity.UNKNOWN,
        description=_description(body, alert),
        service=labels.get("service.name") or first_label(labels, SERVICE_LABELS),
        environment=said(body.get("environment")) or labels.get("environment"),
        labels=labels,
        url=web_url(result_url) or web_url(trigger_url),
        links=links_from(
            [
                ("logs", result_url, "Query result"),
                ("source", said(body.get("trigger_url"), links.get("url")), "Trigger"),
                ("dashboard", body.get("slo_url"), "SLO"),
                ("source", body.get("sli_url"), "SLI"),
            ]
        ),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if status is Status.RESOLVED else None,
        occurrence=said(alert.get("instanceId")) or None,
        source_status=word or None,
        source_severity=severity or None,
        defaults=tuple(missing),
        attributes={field: value for field, value in body.items() if field not in TOP},
    )


def _is_test(body: Mapping[str, Any], alert: Mapping[str, Any]) -> bool:
    """What the Test button sends says so in a field, or at least in its first words."""
    summary = said(body.get("summary"), alert.get("summary"))
    return body.get("is_test") is True or alert.get("isTest") is True or summary.startswith("TRIGGER TEST:")


def _description(body: Mapping[str, Any], alert: Mapping[str, Any]) -> str:
    """How it stands, and what people wrote of the trigger: which field is which depends on the payload."""
    parts = [said(alert.get("description")), said(body.get("description")), said(body.get("trigger_description"))]
    return long("\n\n".join(dict.fromkeys(part for part in parts if part)))


def _places(url: str) -> dict[str, str]:
    found = ((name, pattern.search(url)) for name, pattern in PLACES.items())
    return {name: match.group(1) for name, match in found if match}


def _common(body: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    """What all groups that are over the threshold have in common; of all groups, where none is."""
    given = (body.get("result_groups_triggered"), result.get("groupsTriggered"), body.get("result_groups"))
    groups = next((one for one in given if isinstance(one, list) and one), [])
    named = [_group(one) for one in groups]
    return {name: value for name, value in named[0].items() if all(one.get(name) == value for one in named)} if named else {}


def _group(value: Any) -> dict[str, str]:
    """{"Group": {name: value}, "Result": …}, or a template's {"field": name, "value": value, "count": …}."""
    if not isinstance(value, dict):
        return {}
    group = value.get("Group")
    pairs = group.items() if isinstance(group, dict) else [(value.get("field"), value.get("value"))]
    return {text_of(name): text_of(one) for name, one in pairs if text_of(name) and text_of(one)}


def _time(text: str, received_at: datetime) -> datetime | None:
    """A time; of one without its day, the nearest to when it came."""
    found = CLOCK.fullmatch(text)
    if found is None:
        return moment(text)
    days = (received_at + timedelta(days=days) for days in (-1, 0, 1))
    times = [moment(f"{day:%Y-%m-%d}T{found.group(1)}{found.group(2) or 'Z'}") for day in days]
    return min((one for one in times if one), key=lambda one: abs(one - received_at), default=None)


def _example(name: str, title: str, is_over: bool, **more: object) -> Example:
    status = Status.RESOLVED if is_over else Status.FIRING

    def build(now: datetime) -> Mapping[str, object]:
        group = {"Group": {"service.name": "web", "http.route": "/basket"}, "Result": 1840 if not is_over else 310}
        return {
            "version": "v0.1.0",
            "id": "kD3pXw9LmQa",
            "name": title,
            "trigger_description": "Runbook: https://wiki.example.com/web/latency",
            "trigger_url": "https://honeycomb.example.com/shop/environments/production/datasets/web/triggers/kD3pXw9LmQa",
            "status": "OK" if is_over else "TRIGGERED",
            "alert_type": "on_change",
            "summary": f"{'Resolved' if is_over else 'Triggered'}: {title}",
            "description": "The 95th percentile of /basket is 310 ms" if is_over else "The 95th percentile of /basket is 1840 ms",
            "operator": "greater than",
            "threshold": 1500,
            "result_url": "https://honeycomb.example.com/shop/environments/production/datasets/web/result/x1",
            "result_groups": [group],
            "result_groups_triggered": [] if is_over else [group],
            "is_test": False,
            "timestamp": f"{now:%H:%M:%S} UTC+00:00",
            "severity": "high",
            **more,
        }

    return Example(name, f"{title}{': over' if is_over else ''}", status, build)


EXAMPLES = (
    _example("slow-basket", "Basket is slow", False),
    _example("slow-basket-resolved", "Basket is slow", True),
    _example(
        "burn-alert", "Basket availability: budget gone in 4 h", False, id="bQ7rTz2NcVe",
        slo_url="https://honeycomb.example.com/shop/environments/production/datasets/web/slo/aZ8",
        description="At this rate the error budget is used up in 3 h 50 min", trigger_url="", result_url="", result_groups=None,
        result_groups_triggered=None,
    ),
)  # fmt: skip

SOURCE = Honeycomb()
