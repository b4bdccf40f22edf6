"""Kibana's alerting rules, through its Webhook connector.

It sends what the body's template says and nothing else: the template in SETUP is the form that is read here.
https://www.elastic.co/guide/en/kibana/current/rule-action-variables.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first_label,
    json_object,
    json_value,
    links_from,
    list_at,
    long,
    moment,
    object_at,
    severity_of,
    short,
    tags_at,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

UNSET = re.compile(r"\s*(\{\{.*\}\}|\$\{.*\}|<no value>|<unknown>|<MISSING VALUE>)\s*", re.DOTALL)
"""What a template leaves where it has no value, here and in other senders: Mustache and Jinja, JMTE, Go, Graylog, ElastAlert."""
RECOVERED = ("recovered", "resolved", "notgeocontained")
"""How rule types call the group of actions that an alert leaves by."""
GROUPS = ("new", "ongoing", "recovered")
DOCUMENT = {
    "rule_id": "rule.uuid", "rule_name": "rule.name", "rule_tags": "rule.tags", "rule_type": "rule.rule_type_id",
    "alert_id": "instance.id", "alert_uuid": "uuid", "severity": "severity", "started_at": "start", "ended_at": "end",
    "reason": "reason", "value": "evaluation.value", "alert_url": "url", "flapping": "flapping",
}  # fmt: skip
"""Field of the template -> field of an alert document, under kibana.alert."""
USED = frozenset({"rule_name", "rule_tags", "rule_url", "message", "reason", "alert_url", "started_at", "ended_at"})
SETUP = """\
# Stack Management > Connectors > Webhook: POST to {url}, with the secret header Authorization: Bearer {secret}
# Each rule needs two actions of it, "For each alert" and "On status changes": one when it fires, one when it is Recovered.
# Give both this body; the rule's tags may say service:checkout, environment:production and severity:critical.
{{
  "source": "kibana",
  "rule_id": "{{{{rule.id}}}}", "rule_name": "{{{{rule.name}}}}", "rule_type": "{{{{rule.type}}}}",
  "rule_tags": "{{{{rule.tags}}}}", "rule_url": "{{{{rule.url}}}}", "space_id": "{{{{rule.spaceId}}}}",
  "alert_id": "{{{{alert.id}}}}", "alert_uuid": "{{{{alert.uuid}}}}", "flapping": "{{{{alert.flapping}}}}",
  "action_group": "{{{{alert.actionGroup}}}}", "action_group_name": "{{{{alert.actionGroupName}}}}",
  "date": "{{{{date}}}}", "started_at": "{{{{state.start}}}}", "ended_at": "{{{{state.end}}}}",
  "message": "{{{{context.message}}}}", "reason": "{{{{context.reason}}}}", "value": "{{{{context.value}}}}",
  "alert_url": "{{{{context.alertDetailsUrl}}}}"
}}
"""


class Kibana(signatures.ByToken):
    """Each alert of a rule, as the body's template writes it. Without a Recovered action an alert never clears."""

    name = "kibana"
    title = "Kibana"
    setup = SETUP
    identity_window_seconds: int | None = 30
    limited_status = 429
    """Of what it is refused, it tries 429 again after as long as it is told, 5xx by a clock of its own, and no other."""

    @property
    def examples(self) -> Sequence[Example]:
        """A threshold that is crossed, and crossed back."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """One alert, or those of a summary."""
        body = json_object(delivery.body)
        if isinstance(body.get("alerts"), dict):
            found = tuple(_alert(one, delivery, place) for place, one in _summary(body))
            return Reading(alerts=found, ignored="" if found else "a summary without alerts")
        if not said(body.get("rule_id"), body.get("rule_name")) and UNSET.fullmatch(text_of(body.get("rule_id"))):
            return Reading(ignored="the body's variables are not filled in: the connector's own test")
        return Reading(alerts=(_alert(body, delivery, "the body"),))


def said(*values: Any) -> str:
    """The first of the values that says something and is no variable that a template left as it was."""
    return next((text for text in map(text_of, values) if text and not UNSET.fullmatch(text)), "")


def field_at(value: Any, path: str) -> Any:
    """A field of an Elasticsearch document: `a.b` may be one key with a dot, an object in an object, or half of each."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    places = (index for index, sign in enumerate(path) if sign == ".")
    found = (field_at(value.get(path[:at]), path[at + 1 :]) for at in places)
    return next((one for one in found if one is not None), None)


def tags_of(value: Any) -> dict[str, str]:
    """Tags as labels: `name:value`, or a plain one. A list, or what a template makes of a list: its JSON, or its commas.

    Raises `Unreadable` where they are more than any sender's.
    """
    if isinstance(value, str):
        value = _from_text(value)
    tags = [said(one) for one in tags_at(value, "tags")] if isinstance(value, list | str) else []
    pairs = (tag.partition(":") for tag in tags if tag)
    return {name.strip(): rest.strip() or "true" for name, _, rest in pairs if name.strip()}


def _from_text(text: str) -> Any:
    if UNSET.fullmatch(text):
        return []
    if text.strip().startswith("["):
        try:
            return json_value(text.encode(errors="replace"))
        except Unreadable:
            return []
    return text


def _summary(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The alerts of a "Summary of alerts", in the names of the template."""
    alerts = object_at(body.get("alerts"), "alerts")
    for group in GROUPS:
        data = object_at(alerts.get(group), f"alerts.{group}").get("data")
        for index, one in enumerate([] if data is None else list_at(data, f"alerts.{group}.data")):
            place = f"alerts.{group}.data[{index}]"
            yield place, _from_document(object_at(one, place), group, body)


def _from_document(document: Mapping[str, Any], group: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {name: field_at(document, f"kibana.alert.{path}") for name, path in DOCUMENT.items()}
    active = said(field_at(document, "kibana.alert.action_group")) or "active"
    spaces = field_at(document, "kibana.space_ids")
    rest = {name: value for name, value in body.items() if name != "alerts"}
    return {
        **rest,
        **{name: value for name, value in given.items() if value is not None},
        "space_id": spaces[0] if isinstance(spaces, list) and spaces else body.get("space_id"),
        "action_group": "recovered" if group == "recovered" else active,
        "date": document.get("@timestamp") or body.get("date"),
        "document": document,
    }


def _alert(given: Mapping[str, Any], delivery: Delivery, place: str) -> Alert:
    rule = said(given.get("rule_id"), given.get("rule_name"))
    if not rule:
        raise Unreadable(f"{place}: no rule_id; give the action the body that the setup shows")
    name = said(given.get("rule_name"))
    labels = tags_of(given.get("rule_tags"))
    group, group_name = said(given.get("action_group"), given.get("status")), said(given.get("action_group_name"))
    status = Status.RESOLVED if group.lower() in RECOVERED else Status.FIRING
    word = _severity_word(said(given.get("severity"), labels.get("severity")), group, group_name)
    started_at, ended_at, defaults = _when(given, status, delivery.received_at)
    defaults += [field for field, value in (("status", group), ("title", name)) if not value]
    return Alert(
        source="kibana",
        identity="/".join((said(given.get("space_id")) or "default", rule, said(given.get("alert_id"))))[:500],
        status=status,
        title=short(name or "A rule without a name"),
        severity=severity_of(word) if word else Severity.UNKNOWN,
        description=_description(given),
        service=first_label(labels, SERVICE_LABELS),
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(said(given.get("alert_url"))) or web_url(said(given.get("rule_url"))),
        links=links_from(
            [
                ("dashboard", said(given.get("alert_url")), "Alert"),
                ("source", said(given.get("rule_url")), "Rule"),
                ("runbook", labels.get("runbook"), "Runbook"),
            ]
        ),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=_changed_at(given, status),
        group_key=rule,
        occurrence=said(given.get("alert_uuid")) or None,
        source_status=group or None,
        source_severity=word or None,
        no_data="nodata" in f"{group} {group_name}".lower().replace(" ", "").replace("_", ""),
        defaults=tuple(defaults),
        attributes={field: value for field, value in given.items() if field not in USED},
    )


def _severity_word(named: str, group: str, group_name: str) -> str:
    """A rule has no severity: its tags may say it, or else the group of actions where that is a word for it."""
    words = (group_name, group.rpartition(".")[2])
    return named or next((word for word in words if severity_of(word) is not Severity.UNKNOWN), "")


def _when(given: Mapping[str, Any], status: Status, received_at: datetime) -> tuple[datetime, datetime | None, list[str]]:
    """When it began and ended. `date` is when the rule ran: the end of what has ended, but no repeat's beginning."""
    date, began = moment(given.get("date")), moment(given.get("started_at"))
    defaults = [] if began else ["started_at"]
    if status is not Status.RESOLVED:
        return began or date or received_at, None, defaults
    ended = _told_end(given)
    if ended is None:
        defaults.append("ended_at")
    return began or ended or received_at, ended or received_at, defaults


def _changed_at(given: Mapping[str, Any], status: Status) -> datetime | None:
    """Of what fires, when the rule last saw it: its beginning may be long before an end that came first.

    Without an id all alerts of a rule are one here, and the end of one says nothing of when another fired.
    """
    if status is Status.RESOLVED:
        return _told_end(given)
    return moment(given.get("date")) if said(given.get("alert_id")) else None


def _told_end(given: Mapping[str, Any]) -> datetime | None:
    return moment(given.get("ended_at")) or moment(given.get("date"))


def _description(given: Mapping[str, Any]) -> str:
    parts = [said(given.get("reason")), said(given.get("message"))]
    return long("\n\n".join(dict.fromkeys(part for part in parts if part)))


def _example(name: str, status: Status) -> Example:
    is_over = status is Status.RESOLVED

    def build(now: datetime) -> Mapping[str, object]:
        date = now.replace(microsecond=0)
        began = date - timedelta(minutes=5 if is_over else 0)
        return {
            "source": "kibana",
            "rule_id": "7b1f4c3e-0f6a-4a52-8f0f-2b1d1f0e9a11",
            "rule_name": "Checkout: failed payments",
            "rule_type": ".es-query",
            "rule_tags": "service:checkout,environment:production,severity:critical",
            "rule_url": "https://kibana.example.com/app/rules/7b1f4c3e",
            "space_id": "default",
            "alert_id": "query matched",
            "alert_uuid": "c2a6f0de-5f0c-4f2e-9a43-6d1f7c1c2b10",
            "flapping": "false",
            "action_group": "recovered" if is_over else "query matched",
            "action_group_name": "Recovered" if is_over else "Query matched",
            "date": date.isoformat(),
            "started_at": began.isoformat(),
            "ended_at": date.isoformat() if is_over else "",
            "message": "3 documents match" if is_over else "412 documents match, the limit is 50",
            "reason": "",
            "value": "3" if is_over else "412",
            "alert_url": "",
        }

    return Example(name, f"Checkout: failed payments {'are few again' if is_over else 'over 50'}", status, build)


EXAMPLES = (_example("failed-payments", Status.FIRING), _example("failed-payments-resolved", Status.RESOLVED))

SOURCE = Kibana()
