"""New Relic's workflows, and the webhook channel that they replaced. https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/

The body is the workflow's own template; ours is the one New Relic proposes, with an owner, an end and a runbook in it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    first,
    first_label,
    json_object,
    label_hash,
    links_from,
    long,
    moment,
    severity_of,
    short,
    text_of,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
# Alerts > Destinations > Webhook
#   Endpoint URL     {url}
#   Authorization    Bearer token: {secret}
# Alerts > Workflows > Notify > Webhook, notify when: Activated, Acknowledged, Closed, Priority changed; with this payload:
{{
  "id": {{{{ json issueId }}}},
  "issueUrl": {{{{ json issuePageUrl }}}},
  "title": {{{{ json annotations.title.[0] }}}},
  "priority": {{{{ json priority }}}},
  "impactedEntities": {{{{ json entitiesData.names }}}},
  "totalIncidents": {{{{ json totalIncidents }}}},
  "state": {{{{ json state }}}},
  "trigger": {{{{ json triggerEvent }}}},
  "isCorrelated": {{{{ json isCorrelated }}}},
  {{{{#if owner}}}}"owner": {{{{ json owner }}}},{{{{/if}}}}
  {{{{#if accumulations.runbookUrl.[0]}}}}"runbookUrl": {{{{ json accumulations.runbookUrl.[0] }}}},{{{{/if}}}}
  "createdAt": {{{{ createdAt }}}},
  "updatedAt": {{{{ updatedAt }}}},
  "sources": {{{{ json accumulations.source }}}},
  "alertPolicyNames": {{{{ json accumulations.policyName }}}},
  "alertConditionNames": {{{{ json accumulations.conditionName }}}},
  "workflowName": {{{{ json workflowName }}}}
}}
"""
TEST_ISSUE = "d1b1f3fd-995a-4066-88ab-8ce4f6960654"
"""The id of the sample that the test button sends, the same for everybody."""
STATES = {
    "created": Status.FIRING,
    "activated": Status.FIRING,
    "acknowledged": Status.ACKNOWLEDGED,
    "deactivated": Status.RESOLVED,
    "closed": Status.RESOLVED,
}
OLD_STATES = {
    "open": Status.FIRING,
    "test": Status.FIRING,
    "acknowledged": Status.ACKNOWLEDGED,
    "closed": Status.RESOLVED,
}
TAKEN = ("user_action", "issue_acknowledged")
"""What triggers a notification when somebody acknowledges; the issue stays activated."""
RATED = "priority_changed"
"""What triggers one when it gets worse or better: news to whoever took it for what it was."""
TOLD = ("alertPolicyNames", "alertConditionNames", "workflowName", "impactedEntities", "sources")
OLD_TOLD = ("policy_name", "condition_name", "account_name")
"""The fields that people match by, as labels of their own names."""


class NewRelic(signatures.ByToken):
    """One issue a request, each time that it changes. An activated issue that has an owner is acknowledged, for there is no
    state that says so; one whose priority changes fires, whoever has it.
    """

    name = "newrelic"
    title = "New Relic"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """An issue activated, acknowledged and closed."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none; `updatedAt` makes each body another one."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The issue, or the incident of the old channel."""
        body = json_object(delivery.body)
        is_old = "current_state" in body or "incident_id" in body
        return Reading(alerts=(_incident(body, delivery) if is_old else _issue(body, delivery),))


def _issue(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    conditions = _texts(body.get("alertConditionNames"))
    title = first(body.get("title"), *conditions, body.get("condition_name"))
    id_ = first(body.get("id"), body.get("issueId"))
    if not id_ and not title:
        raise Unreadable("id, title: missing; give the workflow in New Relic the payload of our set-up")
    status, defaults = _status(first(body.get("state")), STATES)
    if status is not Status.RESOLVED:
        status = Status.ACKNOWLEDGED if _is_taken(body) else Status.FIRING
    started_at = moment(body.get("createdAt"))
    ends = [moment(body.get(name)) for name in ("closedAt", "issueClosedAt", "updatedAt")] if status is Status.RESOLVED else []
    ended_at = next((one for one in ends if one), None)
    word = first(body.get("priority"), body.get("severity"))
    labels = _labels(body, TOLD)
    defaults += () if title else ("title",)
    defaults += () if started_at else ("started_at",)
    defaults += ("ended_at",) if status is Status.RESOLVED and not ended_at else ()
    return Alert(
        source="newrelic",
        identity=f"issue/{id_}" if id_ else label_hash({"title": title, "condition": first(*conditions)}),
        kind=Kind.TEST if id_ == TEST_ISSUE else Kind.ALERT,
        status=status,
        title=short(title or "An issue without a title"),
        severity=severity_of(word),
        description=long(first(body.get("description"), body.get("details"))),
        # Not a policy's name: what it is of has nothing else in common.
        service=first(*_texts(body.get("impactedEntities"))) or None,
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(body.get("issueUrl")),
        links=_links(body, "runbookUrl", "violationChartUrl", "deepLinkUrl"),
        started_at=started_at or ended_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if status is Status.RESOLVED else None,
        # Not its creation: a deactivated issue may be activated again.
        changed_at=ended_at if status is Status.RESOLVED else moment(body.get("updatedAt")),
        source_status=first(body.get("state")) or None,
        source_severity=word or None,
        defaults=defaults,
        attributes=dict(body),
    )


def _incident(body: Mapping[str, Any], delivery: Delivery) -> Alert:
    """What the old channel sent; `timestamp` is when it sent it, so only an open incident begins then."""
    title = first(body.get("condition_name"), body.get("details"))
    id_ = first(body.get("incident_id"))
    if not id_ and not title:
        raise Unreadable("incident_id, condition_name: missing")
    state = first(body.get("current_state"))
    status, defaults = _status(state, OLD_STATES)
    at = moment(body.get("timestamp"))
    targets = [one for one in _list(body.get("targets")) if isinstance(one, dict)]
    labels = _labels(body, OLD_TOLD)
    for target in targets:
        labels = {**_flat(target.get("labels")), **labels}
    word = first(body.get("severity"))
    defaults += () if title else ("title",)
    defaults += () if at and status is Status.FIRING else ("started_at",)
    defaults += ("ended_at",) if status is Status.RESOLVED and not at else ()
    is_test = state.lower() == "test" or any(text_of(one.get("product")).upper() == "TESTING" for one in targets)
    return Alert(
        source="newrelic",
        identity=f"incident/{id_}" if id_ else label_hash({"title": title, "policy": first(body.get("policy_name"))}),
        kind=Kind.TEST if is_test else Kind.ALERT,
        status=status,
        title=short(title or "An incident without a name"),
        severity=severity_of(word),
        description=long(first(body.get("details"))),
        service=first(*(one.get("name") for one in targets)) or None,
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(body.get("incident_url")),
        links=_links(body, "runbook_url", "violation_chart_url", "violation_callback_url"),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if status is Status.RESOLVED else None,
        source_status=state or None,
        source_severity=word or None,
        defaults=defaults,
        attributes=dict(body),
    )


def _status(word: str, known: Mapping[str, Status]) -> tuple[Status, tuple[str, ...]]:
    """An unknown state is taken as firing, and said to be a guess: silence would be worse."""
    found = known.get(word.lower())
    return (found, ()) if found else (Status.FIRING, ("status",))


def _is_taken(body: Mapping[str, Any]) -> bool:
    """Whether this tells that somebody acknowledged it. Who took it when it was less has not seen what it has become."""
    trigger = first(body.get("trigger")).lower()
    is_said = trigger in TAKEN or STATES.get(first(body.get("state")).lower()) is Status.ACKNOWLEDGED
    return trigger != RATED and (is_said or _has_owner(body))


def _has_owner(body: Mapping[str, Any]) -> bool:
    """Whether somebody has taken it. A template that quotes the owner itself writes "null" for nobody."""
    return first(body.get("owner")).lower() not in ("", "null")


def _links(body: Mapping[str, Any], runbook: str, chart: str, source: str) -> tuple[Any, ...]:
    """Any of them may be a list of which the first counts: New Relic accumulates over an issue's incidents."""
    given = [("runbook", runbook, "Runbook"), ("panel", chart, "Chart"), ("source", source, "Incident")]
    return links_from([(rel, first(*_texts(body.get(name))), title) for rel, name, title in given])


def _labels(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """The fields of these names, and whatever the template has under `tags` or `labels`."""
    told = {name: ", ".join(_texts(body.get(name))) for name in names}
    labels = {**_flat(body.get("labels")), **_flat(body.get("tags")), **told}
    return {name: value for name, value in labels.items() if value}


def _flat(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {text_of(name): ", ".join(_texts(one)) for name, one in value.items()}


def _texts(value: Any) -> list[str]:
    """One text or several, each once: an entity is named for every incident that it has part in."""
    found = (text_of(one) for one in _list(value))
    return list(dict.fromkeys(one for one in found if one))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _example(name: str, state: str, trigger: str, status: Status, ago: timedelta) -> Example:
    title = "Login takes longer than 3 s"

    def build(now: datetime) -> Mapping[str, object]:
        at = int(now.timestamp()) * 1000
        return {
            "id": "5f0c9a44-7d1e-4b7e-9a55-2c1d7be0e001",
            "issueUrl": "https://newrelic.example.com/issues/5f0c9a44",
            "title": title,
            "priority": "HIGH",
            "impactedEntities": ["login", "login"],
            "totalIncidents": 2,
            "state": state,
            "trigger": trigger,
            "isCorrelated": False,
            "runbookUrl": "https://wiki.example.com/runbooks/login",
            "createdAt": at - int(ago.total_seconds()) * 1000,
            "updatedAt": at,
            "sources": ["newrelic"],
            "alertPolicyNames": ["Customer journeys"],
            "alertConditionNames": ["Login time"],
            "workflowName": "Pages",
        }

    return Example(name, f"{title} ({state.lower()}, {trigger.lower().replace('_', ' ')})", status, build)


EXAMPLES = (
    _example("login-slow", "ACTIVATED", "STATE_CHANGE", Status.FIRING, timedelta(0)),
    _example("login-slow-acknowledged", "ACTIVATED", "ISSUE_ACKNOWLEDGED", Status.ACKNOWLEDGED, timedelta(minutes=2)),
    _example("login-slow-closed", "CLOSED", "INCIDENT_CLOSED", Status.RESOLVED, timedelta(minutes=9)),
)

SOURCE = NewRelic()
