"""Azure Monitor's action groups: the common alert schema, and the older ones of metric, log and activity log alerts.

https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Link, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_object,
    links_from,
    long,
    moment,
    object_at,
    severity_of,
    short,
    text_of,
    texts_at,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
az monitor action-group create --name firstfive --resource-group RESOURCE_GROUP \\
  --action webhook firstfive '{url}?token={secret}' usecommonalertschema
# Add the action group to each alert rule. Custom properties `service`, `environment` and `runbook` are read.
# A secure webhook sends a token of Entra in its header. It is not looked at: the token in the address is.
"""
COMMON, METRIC, ACTIVITY, LOG, BUDGET = (
    "azureMonitorCommonAlertSchema",
    "AzureMonitorMetricAlert",
    "Microsoft.Insights/activityLogs",
    "Microsoft.Insights/LogAlert",
    "AIP Budget Notification",
)
COSTS = "CostAlerts"
"""What tells of a budget in the common schema."""
SEVERITIES = {
    "0": Severity.CRITICAL,
    "1": Severity.HIGH,
    "2": Severity.MEDIUM,
    "3": Severity.INFO,
    "4": Severity.INFO,
}
STATUSES = {
    "fired": Status.FIRING,
    "activated": Status.FIRING,
    "resolved": Status.RESOLVED,
    "deactivated": Status.RESOLVED,
}
TEST_RULE = re.compile(r"test-[A-Za-z]+AlertRule|Test Action Group - |(test-budgetName|Test_[a-z]+(_cost)?_budget)$")
"""What an action group's own test calls its alerts."""
PLANNED = ("maintenance", "informational")
"""News of a service's health that tells of no trouble."""
PORTAL = "https://portal.azure.com/#view/Microsoft_Azure_Monitoring_Alerts/AlertDetails.ReactView/alertId/"


class AzureMonitor(signatures.ByToken):
    """One alert, fired or resolved, or a budget that is spent, of which no end is told. Turn the common alert schema on: the
    older forms have one time each, and often no severity.
    """

    name = "azure_monitor"
    title = "Azure Monitor"
    setup = SETUP
    # Tried again for two minutes; whatever fires anew has a new time in it.
    identity_window_seconds: int | None = 300

    @property
    def examples(self) -> Sequence[Example]:
        """A metric alert, its end, and a log search alert."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The alert, in whichever schema it comes."""
        body = json_object(delivery.body)
        schema = first(body.get("schemaId"))
        if not schema:
            return _without_schema(body, delivery)
        data = object_at(body.get("data"), "data")
        if schema == COMMON:
            return Reading(alerts=(_common(data, delivery),))
        if schema == METRIC:
            return Reading(alerts=(_metric(data, "data.", delivery),))
        if schema == ACTIVITY:
            return Reading(alerts=(_activity(data, delivery),))
        if schema == LOG:
            return Reading(alerts=(_log(data, "data.", delivery),))
        if schema == BUDGET:
            return Reading(alerts=(_budget(data, delivery),))
        return Reading(ignored=f"{short(schema, 100)} is no alert that fires and clears")


def _without_schema(body: Mapping[str, Any], delivery: Delivery) -> Reading:
    """What is older than schemas: classic metric alerts, log alerts, and the news of autoscale."""
    if "operation" in body and "context" in body:
        return Reading(ignored=f"autoscale: {short(first(body['operation']), 100)}")
    if "AlertRuleName" in body:
        return Reading(alerts=(_log(body, "", delivery),))
    if "context" in body:
        return Reading(alerts=(_metric(body, "", delivery),))
    raise Unreadable("schemaId: missing; a custom payload cannot be read, turn the common alert schema on")


def _common(data: Mapping[str, Any], delivery: Delivery) -> Alert:
    about = object_at(data.get("essentials"), "data.essentials")
    context = object_at(data.get("alertContext"), "data.alertContext")
    identity = first(about.get("originAlertId"), about.get("alertId"))
    if not identity:
        raise Unreadable("data.essentials.alertId: missing")
    if about.get("monitoringService") == COSTS:
        return _cost(data, about, context, delivery)
    targets = _texts(about.get("alertTargetIDs"))
    matter = _matter(context, next(iter(targets), ""))
    name, word = first(about.get("alertRule")), first(about.get("monitorCondition"))
    status = STATUSES.get(word.lower())
    conditions = _conditions(context, "data.alertContext")
    labels = _dimensions(conditions) | _custom(data, about, context)
    started_at, ended_at = moment(about.get("firedDateTime")), moment(about.get("resolvedDateTime"))
    return _alert(
        delivery,
        # News of health is many alerts on one matter, and none of them is ever resolved.
        identity=f"{name}|{matter}".lower() if matter else identity,
        occurrence=first(about.get("alertId")) or None,
        status=_health(context) or status,
        word=word,
        name=name,
        detail=_headline(context) if matter else "",
        severity=text_of(about.get("severity")),
        description=first(about.get("description")) or _said(conditions),
        resource=next(iter(_texts(about.get("configurationItems")) or map(_last, targets)), ""),
        labels=labels | _present(about, ("signalType", "monitoringService", "targetResourceType")),
        url=web_url(about.get("investigationLink")) or _portal(about.get("alertId")),
        links=_links(labels, *(one.get("linkToSearchResultsUI") for one in conditions), context.get("LinkToSearchResults")),
        started_at=started_at,
        ended_at=ended_at or (moment(context.get("eventTimestamp")) if matter else None),
        # News of health is told by two clocks, one for the trouble and one for its end.
        changed_at=None if matter else ended_at if status is Status.RESOLVED else started_at,
        group=first(about.get("alertRuleID")) or name,
        rest={key: value for key, value in data.items() if key != "customProperties"},
    )


def _custom(data: Mapping[str, Any], about: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, str]:
    """The rule's own properties. Those of an activity log alert are the event's, and stay where they are."""
    custom = texts_at(data.get("customProperties"), "data.customProperties")
    if first(about.get("signalType")).lower() not in ("metric", "log"):
        return custom
    return texts_at(context.get("properties"), "data.alertContext.properties") | custom


def _metric(data: Mapping[str, Any], place: str, delivery: Delivery) -> Alert:
    """A metric alert, classic or of version 2: they tell when they changed, and no more."""
    context = object_at(data.get("context"), f"{place}context")
    rule = first(context.get("id"), context.get("name"))
    if not rule:
        raise Unreadable(f"{place}context.id: missing")
    word = first(data.get("status"))
    status = STATUSES.get(word.lower())
    conditions = _conditions(context, f"{place}context")
    dimensions = _dimensions(conditions)
    labels = (
        dimensions | texts_at(data.get("properties"), f"{place}properties") | _present(context, ("resourceType", "resourceGroupName"))
    )
    at = moment(context.get("timestamp"))
    each = [f"{name}={value}" for name, value in sorted(dimensions.items())]
    name = first(context.get("name"))
    return _alert(
        delivery,
        identity="|".join([rule, first(context.get("resourceId")), *each]).lower(),
        status=status,
        word=word,
        name=name,
        severity=text_of(context.get("severity")),
        description=first(context.get("description")) or _said(conditions),
        resource=first(context.get("resourceName")),
        labels=labels | _present(context, ("resourceType", "resourceGroupName")),
        url=web_url(context.get("portalLink")),
        links=_links(labels),
        started_at=at,
        ended_at=at,
        changed_at=at,
        group=rule,
        rest={key: value for key, value in data.items() if key != "properties"},
    )


def _activity(data: Mapping[str, Any], delivery: Delivery) -> Alert:
    """An activity log alert that is not in the common schema."""
    context = object_at(object_at(data.get("context"), "data.context").get("activityLog"), "data.context.activityLog")
    resource, operation = first(context.get("resourceId")), first(context.get("operationName"))
    matter = _matter(context, resource)
    what = matter or "|".join((operation, resource or first(context.get("correlationId"))))
    if what == "|":
        raise Unreadable("data.context.activityLog: says neither what happened nor where")
    word = first(data.get("status"))
    labels = texts_at(data.get("properties"), "data.properties") | _present(context, ("eventSource", "resourceType"))
    at = moment(context.get("eventTimestamp"))
    return _alert(
        delivery,
        identity=f"{first(context.get('eventSource'))}|{what}".lower(),
        status=_health(context) or STATUSES.get(word.lower()),
        word=word,
        name=(_headline(context) if matter else "") or operation,
        severity=first(context.get("level")),
        description=first(context.get("description")),
        resource=_last(resource),
        labels=labels,
        links=_links(labels),
        started_at=at,
        ended_at=at,
        changed_at=at,
        group=first(context.get("eventSource")),
        rest={key: value for key, value in data.items() if key != "properties"},
    )


def _log(data: Mapping[str, Any], place: str, delivery: Delivery) -> Alert:
    """A log alert of version 1. It fires again with each evaluation, and never says that it is over."""
    name = first(data.get("AlertRuleName"))
    if not name:
        raise Unreadable(f"{place}AlertRuleName: missing")
    dimensions = _dimensions([data])
    each = [f"{key}={value}" for key, value in sorted(dimensions.items())]
    labels = dimensions | _present(data, ("AlertType",))
    return _alert(
        delivery,
        identity="|".join([name, first(data.get("ResourceId"), data.get("WorkspaceId")), *each]).lower(),
        status=Status.FIRING,
        word="",
        name=name,
        severity=text_of(data.get("Severity")),
        description=first(data.get("Description"), data.get("SearchQuery")),
        resource=_last(first(data.get("ResourceId"))),
        labels=labels,
        url=web_url(data.get("LinkToSearchResults")),
        links=_links(labels, data.get("LinkToSearchResults")),
        # The end of what was searched is later with each evaluation.
        started_at=None,
        group=name,
        rest=data,
    )


def _budget(data: Mapping[str, Any], delivery: Delivery) -> Alert:
    """What a budget told action groups before there was a common schema for it."""
    name = first(data.get("BudgetName"))
    if not name:
        raise Unreadable("data.BudgetName: missing")
    scope = first(data.get("SubscriptionId"), data.get("BillingAccountId"), data.get("EnrollmentNumber"))
    group = first(data.get("ResourceGroup"))
    spent, limit, unit = (first(data.get(one)) for one in ("SpendingAmount", "Budget", "Unit"))
    return _spent(
        delivery, data, scope=f"{scope}|{group}", name=name, detail=f"{spent} of {limit} {unit} spent", at=None,
        status=Status.FIRING, resource=group, rest=data,
    )  # fmt: skip


def _cost(data: Mapping[str, Any], about: Mapping[str, Any], context: Mapping[str, Any], delivery: Delivery) -> Alert:
    """A budget in the common schema: it has no rule, no condition and no severity."""
    given = object_at(context.get("AlertData"), "data.alertContext.AlertData")
    word, spent, limit = first(about.get("monitorCondition")), first(given.get("SpentAmount")), first(given.get("BudgetThreshold"))
    return _spent(
        delivery, given, scope=first(about.get("originAlertId"), about.get("alertId")), at=moment(about.get("firedDateTime")),
        name=first(given.get("BudgetName"), about.get("alertRule")), detail=f"{spent} of {limit} spent" if spent else "",
        status=STATUSES.get(word.lower(), Status.FIRING), word=word, severity=first(about.get("severity")),
        description=first(about.get("description")), rest=data,
    )  # fmt: skip


def _spent(
    delivery: Delivery, given: Mapping[str, Any], *, scope: str, name: str, detail: str, at: datetime | None, status: Status,
    rest: Mapping[str, object], word: str = "", severity: str = "", description: str = "", resource: str = "",
) -> Alert:  # fmt: skip
    """A budget of which so much is spent. Each threshold is told once in each period, the shortest of which is a month, and
    no end ever: without the month, the next period's would be taken for one that people know of.
    """
    month = f"{at or delivery.received_at:%Y-%m}"
    labels = _present(given, ("BudgetName", "BudgetType", "SubscriptionName", "ResourceGroup"))
    return _alert(
        delivery,
        identity="|".join(("budget", scope, name, first(given.get("NotificationThresholdAmount")), month)).lower(),
        status=status,
        word=word,
        name=name,
        detail=detail,
        severity=severity,
        description=description,
        resource=resource,
        labels=labels,
        links=(),
        started_at=at,
        group=name,
        rest=rest,
    )


def _alert(
    delivery: Delivery,
    *,
    identity: str,
    status: Status | None,
    word: str,
    name: str,
    resource: str,
    labels: Mapping[str, str],
    description: str,
    links: tuple[Link, ...],
    started_at: datetime | None,
    rest: Mapping[str, object],
    ended_at: datetime | None = None,
    changed_at: datetime | None = None,
    severity: str = "",
    detail: str = "",
    occurrence: str | None = None,
    url: str | None = None,
    group: str = "",
) -> Alert:
    """What all schemas have in common. A status that is None is one that nobody knows: it is taken as firing."""
    is_over = status is Status.RESOLVED
    missing = {
        "title": not (name or detail),
        "status": status is None,
        "started_at": started_at is None,
        "ended_at": is_over and ended_at is None,
    }
    return Alert(
        source="azure_monitor",
        identity=identity,
        occurrence=occurrence,
        kind=Kind.TEST if TEST_RULE.match(name) else Kind.ALERT,
        status=status or Status.FIRING,
        title=short(": ".join(filter(None, (name, detail))) or "An alert without a name"),
        severity=SEVERITIES.get(severity.lower().removeprefix("sev")) or severity_of(severity),
        description=long(description),
        service=first_label(labels, SERVICE_LABELS) or resource or None,
        environment=first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=url,
        links=links,
        started_at=started_at or delivery.received_at,
        ended_at=(ended_at or delivery.received_at) if is_over else None,
        changed_at=changed_at,
        group_key=group or None,
        source_status=word or None,
        source_severity=severity or None,
        defaults=tuple(field for field, is_missing in missing.items() if is_missing),
        attributes=rest,
    )


def _properties(context: Mapping[str, Any]) -> Mapping[str, Any]:
    given = context.get("properties")
    return given if isinstance(given, dict) else {}


def _matter(context: Mapping[str, Any], resource: str) -> str:
    """What news of a service's or a resource's health is about; empty for any other alert."""
    properties = _properties(context)
    return resource if first(properties.get("currentHealthStatus")) else first(properties.get("trackingId"))


def _health(context: Mapping[str, Any]) -> Status | None:
    """How news of health leaves its matter, where it is not in trouble: Azure calls all such news fired."""
    properties = _properties(context)
    health = first(properties.get("currentHealthStatus")).lower()
    if health:
        return Status.RESOLVED if health == "available" else None
    if not first(properties.get("trackingId")):
        return None
    if "resolved" in (first(properties.get("stage")).lower(), first(context.get("status")).lower()):
        return Status.RESOLVED
    return Status.INFO if first(properties.get("incidentType")).lower() in PLANNED else None


def _headline(context: Mapping[str, Any]) -> str:
    return first(_properties(context).get("title"))


def _conditions(context: Mapping[str, Any], place: str) -> list[Mapping[str, Any]]:
    """What was measured; a classic alert has one condition, the others a list of them."""
    condition = object_at(context.get("condition"), f"{place}.condition")
    given = condition.get("allOf")
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else [condition] if condition else []


def _dimensions(conditions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in conditions:
        given = one.get("dimensions") or one.get("Dimensions")
        for each in given if isinstance(given, list) else ():
            if isinstance(each, dict) and first(each.get("name")):
                found[first(each.get("name"))] = text_of(each.get("value"))
    return found


def _said(conditions: Sequence[Mapping[str, Any]]) -> str:
    """The conditions in words, where the rule's author wrote none."""
    lines = (
        " ".join(filter(None, (
            first(one.get("metricName"), one.get("searchQuery")), text_of(one.get("operator")), text_of(one.get("threshold")),
            f"(now {text_of(one['metricValue'])})" if one.get("metricValue") is not None else "",
        )))
        for one in conditions
    )  # fmt: skip
    return "\n".join(filter(None, lines))


def _links(labels: Mapping[str, str], *logs: Any) -> tuple[Link, ...]:
    runbook = labels.get("runbook_url") or labels.get("runbook")
    return links_from([("runbook", runbook, "Runbook"), *(("logs", one, "Search results") for one in logs)])


def _portal(alert_id: Any) -> str | None:
    given = first(alert_id)
    return f"{PORTAL}{quote(given, safe='')}" if given else None


def _present(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    return {name: first(given.get(name)) for name in names if first(given.get(name))}


def _texts(value: Any) -> list[str]:
    return [text_of(one) for one in value if text_of(one)] if isinstance(value, list) else []


def _last(resource_id: str) -> str:
    """The name at the end of a resource's id."""
    return resource_id.rstrip("/").rpartition("/")[2]


TARGET = "/subscriptions/0a1b/resourcegroups/shop/providers/microsoft.compute/virtualmachines/shop-db-1"


def _example(name: str, title: str, *, ended: bool = False, log: bool = False) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        rule = "Import job writes no rows" if log else "Database CPU over 90 %"
        fired = now - timedelta(minutes=6 if ended else 0)
        measured = {"searchQuery": "ImportedRows", "linkToSearchResultsUI": "https://portal.azure.com/#blade/logs"}
        return {
            "schemaId": COMMON,
            "data": {
                "essentials": {
                    "alertId": f"/subscriptions/0a1b/providers/Microsoft.AlertsManagement/alerts/{'71' if log else '70'}",
                    "alertRule": rule,
                    "severity": "Sev1" if log else "Sev0",
                    "signalType": "Log" if log else "Metric",
                    "monitorCondition": "Resolved" if ended else "Fired",
                    "monitoringService": "Log Alerts V2" if log else "Platform",
                    "alertTargetIDs": [TARGET],
                    "configurationItems": ["shop-db-1"],
                    "originAlertId": "0a1b_shop_import" if log else "0a1b_shop_cpu",
                    "firedDateTime": f"{fired:%Y-%m-%dT%H:%M:%S.%f}0Z",
                    **({"resolvedDateTime": f"{now:%Y-%m-%dT%H:%M:%S.%f}0Z"} if ended else {}),
                    "description": "",
                },
                "alertContext": {
                    "condition": {
                        "windowSize": "PT5M",
                        "allOf": [
                            {
                                **(measured if log else {"metricName": "Percentage CPU"}),
                                "operator": "LessThan" if log else "GreaterThan",
                                "threshold": "1" if log else "90",
                                "metricValue": 0.0 if log else 41.2 if ended else 97.4,
                                "dimensions": [{"name": "Computer", "value": "shop-db-1"}],
                            }
                        ],
                    },
                },
                "customProperties": {
                    "service": "database",
                    "environment": "production",
                    "runbook": "https://wiki.example.com/database-cpu",
                },
            },
        }

    return Example(name, title, Status.RESOLVED if ended else Status.FIRING, build)


EXAMPLES = (
    _example("database-cpu", "Database CPU over 90 %"),
    _example("database-cpu-resolved", "Database CPU back to normal", ended=True),
    _example("import-rows", "Import job writes no rows", log=True),
)

SOURCE = AzureMonitor()
