"""Azure Monitor: one alert in five schemas, news of health that is never resolved, and an action group's own test."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.source import Delivery
from bot.alerts.sources.azure_monitor import SOURCE
from bot.errors import Unreadable

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
FIRED, RESOLVED = "2026-08-01T09:50:00.1234567Z", "2026-08-01T09:59:00.7654321Z"
VM = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm-1"


def delivery(body: Any) -> Delivery:
    return Delivery(json.dumps(body).encode(), {}, "main", NOW)


def only(body: Any) -> Alert:
    [alert] = SOURCE.parse(delivery(body), {}).alerts
    return alert


def common(context: Any = None, custom: Any = None, **fields: Any) -> Alert:
    essentials = {
        "alertId": "/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/9", "originAlertId": "o-9", "alertRule": "CPU",
        "severity": "Sev2", "signalType": "Metric", "monitorCondition": "Fired", "firedDateTime": FIRED, "alertTargetIDs": [VM],
    } | fields  # fmt: skip
    data = {"essentials": essentials, "alertContext": context or {}, "customProperties": custom}
    return only({"schemaId": "azureMonitorCommonAlertSchema", "data": data})


def metric(status: str, dimensions: Any = (), **fields: Any) -> dict[str, Any]:
    context = {
        "timestamp": FIRED, "id": "/subscriptions/s/rules/Full", "name": "Full", "resourceName": "vm-1", "resourceId": VM,
        "portalLink": "https://portal.azure.com/#resource/x", "condition": {"allOf": [{"dimensions": list(dimensions)}]},
    } | fields  # fmt: skip
    return {"status": status, "context": context, "properties": {"env": "staging"}}


def in_schema(schema: str, data: Any) -> dict[str, Any]:
    return {"schemaId": schema, "data": data}


def test_an_alert_and_its_end_are_one_alert():
    fired, resolved = common(), common(monitorCondition="Resolved", resolvedDateTime=RESOLVED)

    assert fired.identity == resolved.identity == "o-9"
    assert (fired.status, resolved.status) == (Status.FIRING, Status.RESOLVED)
    assert fired.started_at == resolved.started_at == datetime(2026, 8, 1, 9, 50, 0, 123456, UTC)
    assert resolved.ended_at == datetime(2026, 8, 1, 9, 59, 0, 765432, UTC)
    assert not fired.defaults
    assert not resolved.defaults


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("Sev0", Severity.CRITICAL), ("Sev1", Severity.HIGH), ("Sev2", Severity.MEDIUM), ("Sev3", Severity.INFO),
        ("Sev4", Severity.INFO), ("1", Severity.HIGH), (None, Severity.UNKNOWN), ("Sev9", Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_severities_count_from_nought(word, severity):
    assert common(severity=word).severity is severity


def test_a_condition_nobody_knows_is_taken_as_firing_and_said_to_be_a_guess():
    alert = common(monitorCondition="Pending", firedDateTime=None)

    assert (alert.status, alert.defaults) == (Status.FIRING, ("status", "started_at"))


def test_the_service_is_a_property_or_the_resource():
    assert common().service == "vm-1"
    assert common(configurationItems=["vm-one"]).service == "vm-one"
    assert common(custom={"service": "billing", "env": "prod"}).service == "billing"
    assert common(custom={"service": "billing", "env": "prod"}).environment == "prod"


def test_dimensions_and_properties_are_labels_and_the_condition_is_said_in_words():
    measured = {"metricName": "CPU", "operator": "GreaterThan", "threshold": "90", "metricValue": 97.5}
    condition = {"allOf": [measured | {"dimensions": [{"name": "node", "value": "n1"}]}]}
    alert = common({"condition": condition, "properties": {"team": "a", "tier": "1"}}, {"team": "b"})

    assert alert.labels == {"node": "n1", "team": "b", "tier": "1", "signalType": "Metric"}
    assert alert.description == "CPU GreaterThan 90 (now 97.5)"


def test_links_lead_to_the_portal_the_runbook_and_the_search_results():
    results = "https://portal.azure.com#@t/blade/x"
    context = {"condition": {"allOf": [{"searchQuery": "Q", "linkToSearchResultsUI": results}]}}
    alert = common(context, {"runbook": "https://wiki.example.com/cpu"}, signalType="Log")

    assert alert.url is not None
    assert alert.url.endswith("/alertId/%2Fsubscriptions%2Fs%2Fproviders%2FMicrosoft.AlertsManagement%2Falerts%2F9")
    assert [(link.rel, link.url) for link in alert.links] == [("runbook", "https://wiki.example.com/cpu"), ("logs", results)]
    assert common(investigationLink="https://portal.azure.com/#i").url == "https://portal.azure.com/#i"


@pytest.mark.parametrize(
    ("context", "status"),
    [
        ({"properties": {"currentHealthStatus": "Unavailable"}, "status": "Active"}, Status.FIRING),
        ({"properties": {"currentHealthStatus": "Available"}, "status": "Resolved"}, Status.RESOLVED),
        ({"properties": {"trackingId": "T-1", "stage": "Active", "incidentType": "Incident"}}, Status.FIRING),
        ({"properties": {"trackingId": "T-1", "stage": "Resolved", "incidentType": "Incident"}}, Status.RESOLVED),
        ({"properties": {"trackingId": "T-1", "incidentType": "Incident"}, "status": "Resolved"}, Status.RESOLVED),
        ({"properties": {"trackingId": "T-1", "stage": "Planned", "incidentType": "Maintenance"}}, Status.INFO),
        ({"properties": {"message": "restarted"}, "status": "Succeeded"}, Status.FIRING),
        ({"properties": None}, Status.FIRING),
    ],
)
def test_news_of_health_is_called_fired_even_when_all_is_well(context, status):
    assert common(context, signalType="Activity Log").status is status


def test_news_of_one_matter_is_one_alert_and_says_what_it_is():
    active = {"properties": {"trackingId": "T-1", "stage": "Active", "title": "Storage in Europe"}, "eventTimestamp": FIRED}
    over = {"properties": {"trackingId": "T-1", "stage": "Resolved", "title": "Storage in Europe"}, "eventTimestamp": RESOLVED}
    first = common(active, signalType="Activity Log", alertRule="Health", originAlertId="o-1")
    last = common(over, signalType="Activity Log", alertRule="Health", originAlertId="o-2")

    assert first.identity == last.identity == "health|t-1"
    assert first.title == "Health: Storage in Europe"
    assert last.ended_at == datetime(2026, 8, 1, 9, 59, 0, 765432, UTC)


@pytest.mark.parametrize("rule", ["test-metricAlertRule", "test-logAlertRule-v2", "test-ServiceHealthAlertRule"])
def test_what_the_action_groups_own_test_sends_is_a_test(rule):
    assert common(alertRule=rule).kind is Kind.TEST
    assert common(alertRule="test-database").kind is Kind.ALERT


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: in_schema("AzureMonitorMetricAlert", one)])
def test_a_metric_alert_is_read_without_the_common_schema(wrap):
    fired, ended = only(wrap(metric("Activated", severity="0"))), only(wrap(metric("Deactivated", severity="0")))

    assert fired.identity == ended.identity
    assert (fired.status, ended.status) == (Status.FIRING, Status.RESOLVED)
    assert (fired.title, fired.service, fired.environment, fired.severity) == ("Full", "vm-1", "staging", Severity.CRITICAL)
    assert fired.url == "https://portal.azure.com/#resource/x"
    assert ended.ended_at == datetime(2026, 8, 1, 9, 50, 0, 123456, UTC)
    assert only(wrap(metric("Resolved"))).status is Status.RESOLVED


def test_each_dimension_of_a_metric_alert_is_an_alert_of_its_own():
    one, other = (only(metric("Activated", [{"name": "disk", "value": value}])) for value in ("c", "d"))

    assert one.identity != other.identity


def test_the_case_of_an_azure_id_means_nothing():
    assert only(metric("Activated")).identity == only(metric("Resolved", resourceId=VM.upper())).identity


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: in_schema("Microsoft.Insights/LogAlert", one)])
def test_a_log_alert_of_version_1_only_fires(wrap):
    alert = only(
        wrap(
            {
                "AlertRuleName": "No rows", "SearchQuery": "Rows | count", "SearchIntervalEndtimeUtc": "2026-08-01T09:55:00Z",
                "Severity": "1", "LinkToSearchResults": "https://portal.azure.com#@t/q", "ResourceId": VM,
                "Dimensions": [{"name": "table", "value": "orders"}],
            }
        )
    )  # fmt: skip

    assert (alert.status, alert.title, alert.severity, alert.service) == (Status.FIRING, "No rows", Severity.HIGH, "vm-1")
    assert (alert.labels["table"], alert.description, alert.url) == ("orders", "Rows | count", "https://portal.azure.com#@t/q")
    assert "started_at" in alert.defaults


def activity(**fields: Any) -> dict[str, Any]:
    log = {"eventSource": "ResourceHealth", "eventTimestamp": FIRED, "resourceId": VM, "operationName": "health", "level": "Critical"}
    return in_schema("Microsoft.Insights/activityLogs", {"status": "Activated", "context": {"activityLog": log | fields}})


def test_an_activity_log_alert_is_read_without_the_common_schema():
    down = only(activity(properties={"title": "VM is down", "currentHealthStatus": "Unavailable"}))
    up = only(activity(properties={"title": "VM is up", "currentHealthStatus": "Available"}, operationName="other"))

    assert (down.status, up.status) == (Status.FIRING, Status.RESOLVED)
    assert down.identity == up.identity
    assert (down.title, down.service, down.severity) == ("VM is down", "vm-1", Severity.CRITICAL)
    assert only(activity(eventSource="Administrative")).title == "health"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (in_schema("Microsoft.Unheard/Of", {"BudgetName": "b"}), "Microsoft.Unheard/Of"),
        ({"version": "1.0", "status": "Activated", "operation": "Scale Out", "context": {}}, "autoscale: Scale Out"),
    ],
)
def test_what_is_no_alert_is_ignored_and_says_why(body, why):
    reading = SOURCE.parse(delivery(body), {})

    assert not reading.alerts
    assert why in reading.ignored


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "schemaId: missing"),
        (in_schema("azureMonitorCommonAlertSchema", {}), r"data\.essentials\.alertId: missing"),
        (in_schema("azureMonitorCommonAlertSchema", []), "data: expected an object"),
        (in_schema("AzureMonitorMetricAlert", {}), r"data\.context\.id: missing"),
        (in_schema("AIP Budget Notification", {"Budget": "50"}), r"data\.BudgetName: missing"),
        (in_schema("Microsoft.Insights/activityLogs", {}), r"data\.context\.activityLog"),
        (in_schema("Microsoft.Insights/LogAlert", {}), r"data\.AlertRuleName: missing"),
        ({"context": "x"}, "context: expected an object, got text"),
    ],
)
def test_what_cannot_be_read_says_where(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})


def test_it_says_when_an_alert_fired_and_when_it_was_resolved():
    fired, resolved = common(resolvedDateTime=RESOLVED), common(monitorCondition="Resolved", resolvedDateTime=RESOLVED)
    older = [only(metric(word)) for word in ("Activated", "Deactivated")]

    assert (fired.changed_at, resolved.changed_at) == (fired.started_at, resolved.ended_at)
    assert [one.changed_at for one in older] == [fired.started_at, fired.started_at]
    # An end without its time tells no order: that of the fire would have the next one count as late.
    assert common(monitorCondition="Resolved").changed_at is None


def test_news_of_health_tell_no_order_for_their_times_are_of_two_clocks():
    properties = {"trackingId": "t-1", "stage": "Resolved", "incidentType": "Incident"}
    over = common({"properties": properties, "eventTimestamp": RESOLVED}, signalType="Activity Log")

    assert (over.status, over.changed_at) == (Status.RESOLVED, None)


BUDGET = {
    "SubscriptionName": "Shop", "SubscriptionId": "s-1", "SpendingAmount": "85.5", "BudgetStartDate": "8/1/2026", "Budget": "100",
    "Unit": "USD", "BudgetCreator": "ana@example.com", "BudgetName": "compute", "BudgetType": "Cost", "ResourceGroup": "rg-shop",
    "NotificationThresholdAmount": "0.8",
}  # fmt: skip


def budget(at: datetime = NOW, **fields: Any) -> Alert:
    body = in_schema("AIP Budget Notification", BUDGET | fields)
    [alert] = SOURCE.parse(Delivery(json.dumps(body).encode(), {}, "main", at), {}).alerts
    return alert


def test_a_budget_that_is_spent_is_an_alert_and_its_severity_the_routes():
    alert = budget()

    assert (alert.status, alert.kind, alert.severity) == (Status.FIRING, Kind.ALERT, Severity.UNKNOWN)
    assert (alert.title, alert.service) == ("compute: 85.5 of 100 USD spent", "rg-shop")
    assert alert.labels == {"BudgetName": "compute", "BudgetType": "Cost", "SubscriptionName": "Shop", "ResourceGroup": "rg-shop"}
    assert (alert.started_at, alert.defaults) == (NOW, ("started_at",))
    assert alert.attributes["BudgetCreator"] == "ana@example.com"


def test_each_threshold_of_a_budget_is_told_once_a_month():
    assert budget().identity == budget(SpendingAmount="86").identity == budget(NOW + timedelta(days=20)).identity
    others = [budget(NotificationThresholdAmount="1.0"), budget(BudgetName="x"), budget(SubscriptionId="s-2")]
    others += [budget(ResourceGroup=""), budget(NOW + timedelta(days=31))]
    assert budget().identity not in [one.identity for one in others]


def cost(**fields: Any) -> Alert:
    about = {
        "monitoringService": "CostAlerts", "firedDateTime": FIRED, "description": "Your spend for budget compute is now $85.",
        "alertId": "/subscriptions/s/providers/Microsoft.CostManagement/alerts/a", "alertRule": None, "severity": None,
        "monitorCondition": None, "originAlertId": None, "configurationItems": ["budgets"],
    }  # fmt: skip
    told = {
        "BudgetName": "compute", "BudgetThreshold": "$100.00", "NotificationThresholdAmount": "$80.00", "SpentAmount": "$85.00",
        "BudgetType": "Cost", "Unit": "USD", "Scope": "/subscriptions/s/",
    } | fields  # fmt: skip
    data = {"essentials": about, "alertContext": {"AlertCategory": "budgets", "AlertData": told}}
    return only(in_schema("azureMonitorCommonAlertSchema", data))


def test_a_budget_in_the_common_schema_has_neither_rule_nor_condition_and_is_no_guess():
    alert = cost()

    assert (alert.status, alert.title, alert.severity) == (Status.FIRING, "compute: $85.00 of $100.00 spent", Severity.UNKNOWN)
    assert (alert.description, alert.defaults) == ("Your spend for budget compute is now $85.", ())
    assert (alert.service, alert.labels["BudgetName"]) == (None, "compute")
    assert alert.started_at == datetime(2026, 8, 1, 9, 50, 0, 123456, UTC)
    assert alert.identity != cost(NotificationThresholdAmount="$100.00").identity


def test_what_the_action_groups_own_test_sends_of_a_budget_is_a_test():
    assert budget(BudgetName="test-budgetName").kind is Kind.TEST
    assert cost(BudgetName="Test_actual_cost_budget").kind is Kind.TEST
    assert budget(BudgetName="test-budgetName-2").kind is Kind.ALERT
