"""SonarQube's and SonarCloud's webhooks: how an analysis went, and whether its quality gate was passed.

https://docs.sonarsource.com/sonarqube-server/latest/project-administration/webhooks/
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Kind, Severity, Status
from bot.alerts.reading import first, json_object, links_from, long, moment, object_at, short, text_of, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SIGNATURE = "X-Sonar-Webhook-HMAC-SHA256"
GATES = {"ERROR": Status.FIRING, "OK": Status.RESOLVED, "WARN": Status.RESOLVED}
"""WARN is of before 7.6: the gate was passed, with a remark."""
BESIDE = frozenset({"PULL_REQUEST", "SHORT"})
"""Types of branches that are looked at before they matter."""
WORDS = {
    "ERROR": "failed the quality gate",
    "OK": "passed the quality gate",
    "WARN": "passed the quality gate, with warnings",
    "NONE": "has no quality gate",
    "FAILED": "could not be analysed",
    "CANCELED": "was not analysed to the end",
}
OPERATORS = {"GREATER_THAN": "must not be over", "LESS_THAN": "must not be under", "EQUALS": "must not be"}
SETUP = """\
# In SonarQube: Administration > Configuration > Webhooks > Create (or in a project's own settings)
#   Name     Firstfive
#   URL      {url}
#   Secret   {secret}
"""


class SonarQube:
    """One analysis each: a quality gate that the main branch fails fires (medium), and one that it passes ends that;
    other branches are low, pull requests only recorded. SonarQube sends once and never again, whatever is answered.
    """

    name = "sonarqube"
    title = "SonarQube"
    setup = SETUP
    identity_window_seconds: int | None = 30

    @property
    def examples(self) -> Sequence[Example]:
        """A main branch that fails its gate and passes the next, an analysis that broke, and a pull request."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By HMAC where the header is there; else by a token, such as the password in the address."""
        given = delivery.headers.get(SIGNATURE.lower())
        if given is None:
            signatures.check_token(delivery, secrets, self.name)
            return
        signatures.require(secrets, delivery, self.name)
        signatures.check_hmac(given, delivery.body, secrets, SIGNATURE)

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature."""
        return {SIGNATURE: signatures.hex_hmac(secret, body)}

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none: a task's id comes again when people accept an issue and the gate turns."""
        return signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The analysis of one branch."""
        body = json_object(delivery.body)
        project = object_at(body.get("project"), "project")
        if not first(project.get("key"), project.get("name")):
            raise Unreadable("project.key: missing")
        return Reading(alerts=(_alert(body, project, delivery),))


def _alert(body: Mapping[str, Any], project: Mapping[str, Any], delivery: Delivery) -> Alert:
    branch, gate = object_at(body.get("branch"), "branch"), object_at(body.get("qualityGate"), "qualityGate")
    key, name = first(project.get("key"), project.get("name")), first(project.get("name"), project.get("key"))
    task, word = first(body.get("status")).upper(), first(gate.get("status")).upper()
    status = _status(task, word, first(branch.get("type")).upper())
    told = WORDS.get(task) or WORDS.get(word) or WORDS["NONE"]
    # An analysis may be dated back by who starts it; only the other time is that of the news.
    at = moment(body.get("changedAt")) or moment(body.get("analysedAt"))
    url = web_url(branch.get("url")) or web_url(project.get("url"))
    properties = object_at(body.get("properties"), "properties")
    on_branch = f" on {first(branch.get('name'))}" if first(branch.get("name")) else ""
    return Alert(
        source="sonarqube",
        identity=f"{key}/{_branch_key(branch)}",
        kind=Kind.QUALITY_GATE,
        status=status,
        title=short(f"{name} {told}{on_branch}"),
        severity=_severity(status, branch),
        description=long("\n".join(_conditions(gate.get("conditions")))),
        service=key,
        labels=_labels(branch, gate, properties, alertname=f"{name}: quality gate{on_branch}", project=key),
        url=url,
        links=links_from([("dashboard", url, "Analysis")]),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if status is Status.RESOLVED else None,
        changed_at=moment(body.get("changedAt")),
        source_status=word or task or None,
        defaults=() if at else ("started_at", "ended_at") if status is Status.RESOLVED else ("started_at",),
        attributes=body,
    )


def _status(task: str, gate: str, type_: str) -> Status:
    if type_ in BESIDE or task == "CANCELED":
        return Status.INFO
    return Status.FIRING if task == "FAILED" else GATES.get(gate, Status.INFO)


def _severity(status: Status, branch: Mapping[str, Any]) -> Severity:
    if status is not Status.FIRING:
        return Severity.INFO
    return Severity.MEDIUM if _is_main(branch) else Severity.LOW


def _is_main(branch: Mapping[str, Any]) -> bool:
    """Editions that know one branch only do not name it."""
    return not branch or branch.get("isMain") is True


def _branch_key(branch: Mapping[str, Any]) -> str:
    """Nothing for the main branch, which may get a name later, or another one."""
    if _is_main(branch):
        return ""
    return f"{'pull' if first(branch.get('type')).upper() == 'PULL_REQUEST' else 'branch'}/{first(branch.get('name'))}"


def _conditions(value: Any) -> list[str]:
    given = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return [_said(one) for one in given if first(one.get("status")).upper() in ("ERROR", "WARN")]


def _said(condition: Mapping[str, Any]) -> str:
    """`coverage is 61.5; it must not be under 80`."""
    name, value = first(condition.get("metric")) or "a metric", first(condition.get("value"))
    operator = first(condition.get("operator"))
    limit = first(condition.get("errorThreshold"), condition.get("warningThreshold"))
    rule = f"it {OPERATORS.get(operator.upper(), operator or 'has the limit')} {limit}" if limit else "it is not as it must be"
    return f"{name} is {value or 'not known'}; {rule}"


def _labels(branch: Mapping[str, Any], gate: Mapping[str, Any], properties: Mapping[str, Any], **more: str) -> dict[str, str]:
    given = {
        **more,
        "branch": first(branch.get("name")),
        "branch_type": first(branch.get("type")),
        "quality_gate": first(gate.get("name")),
        **{name: text_of(value) for name, value in properties.items()},
    }
    return {name: value for name, value in given.items() if value}


def _example(name: str, title: str, status: Status, gate: str, task: str = "SUCCESS", type_: str = "BRANCH") -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        page = "https://sonarqube.example.com/dashboard?id=shop"
        at = now.strftime("%Y-%m-%dT%H:%M:%S+0000")
        is_main = type_ == "BRANCH"
        branch = {"name": "main" if is_main else "412", "type": type_, "isMain": is_main, "url": page}
        condition = {"metric": "new_coverage", "operator": "LESS_THAN", "value": "61.5", "status": gate, "errorThreshold": "80"}
        body = {
            "serverUrl": "https://sonarqube.example.com",
            "taskId": f"task-{int(now.timestamp())}",
            "status": task,
            "changedAt": at,
            "project": {"key": "shop", "name": "Shop", "url": page},
            "branch": branch,
            "properties": {"sonar.analysis.buildNumber": "412"},
        }
        # An analysis that broke has neither.
        done = {"analysedAt": at, "qualityGate": {"name": "Ours", "status": gate, "conditions": [condition]}}
        return body if task == "FAILED" else body | done

    return Example(name, title, status, build)


EXAMPLES = (
    _example("gate-failed", "The main branch failed its quality gate", Status.FIRING, "ERROR"),
    _example("gate-passed", "The main branch passed its quality gate", Status.RESOLVED, "OK"),
    _example("analysis-failed", "The analysis broke", Status.FIRING, "", "FAILED"),
    _example("pull-request", "A pull request failed its quality gate", Status.INFO, "ERROR", type_="PULL_REQUEST"),
)

SOURCE = SonarQube()
