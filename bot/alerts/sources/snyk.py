"""Snyk's webhooks: what a test found that the last one did not, and what is gone.

https://docs.snyk.io/snyk-api/how-to-use-snyk-webhooks-apis
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, FindingState, Kind, SecurityFinding, Status
from bot.alerts.reading import (
    first,
    json_object,
    links_from,
    list_at,
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

SIGNATURE = "X-Hub-Signature"
SETUP = """\
# Webhooks are made by Snyk's API, by an administrator of the organisation:
curl -X POST https://api.snyk.io/v1/org/ORGANISATION/webhooks \\
  -H 'Authorization: token SNYK_TOKEN' -H 'Content-Type: application/json' \\
  -d '{{"url": "{url}", "secret": "{secret}"}}'
"""


class Snyk:
    """Sent after each test of a project: new issues are open findings, removed ones are fixed, and a test that changed
    nothing is taken and ignored. What a project had when it was imported is not sent.
    """

    name = "snyk"
    title = "Snyk"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A critical hole in a package, and the test after it was closed."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """`sha256=HEX` over the raw body, in a header that elsewhere carries SHA-1."""
        signatures.require(secrets, delivery, self.name)
        given = delivery.headers.get(SIGNATURE.lower(), "").strip().removeprefix("sha256=")
        signatures.check_hmac(given, delivery.body, secrets, SIGNATURE)

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature, and the id and the time that it gives each delivery."""
        return {
            SIGNATURE: f"sha256={signatures.hex_hmac(secret, body)}",
            "X-Snyk-Transport-ID": signatures.hex_hmac(secret, body + str(now.timestamp()).encode())[:32],
            "X-Snyk-Timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def delivery_id(self, delivery: Delivery) -> str:
        """X-Snyk-Transport-ID."""
        return delivery.headers.get("x-snyk-transport-id", "").strip()[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each issue that is new or gone."""
        body = json_object(delivery.body)
        event = delivery.headers.get("x-snyk-event", "").strip()
        if event.startswith("ping/") or (not event and "webhookId" in body):
            return Reading(ignored="a ping; the webhook works")
        if event and not event.startswith("project_snapshot/"):
            return Reading(ignored=f"{short(event, 100)} is an event that is not looked at")
        new, gone = _issues(body, "newIssues"), _issues(body, "removedIssues")
        if new is None and gone is None:
            raise Unreadable("newIssues: missing, and removedIssues too; is this a webhook of Snyk?")
        if not new and not gone:
            return Reading(ignored="a test that found nothing new, and nothing gone")
        found = [_alert(issue, f"newIssues[{place}]", False, body, delivery) for place, issue in enumerate(new or ())]
        found += [_alert(issue, f"removedIssues[{place}]", True, body, delivery) for place, issue in enumerate(gone or ())]
        return Reading(alerts=tuple(found))


def _issues(body: Mapping[str, Any], name: str) -> list[Any] | None:
    """One list of issues; None where it is not there, which means that it would be empty."""
    return None if body.get(name) is None else list_at(body[name], name)


def _alert(given: Any, place: str, is_gone: bool, body: Mapping[str, Any], delivery: Delivery) -> Alert:
    issue = object_at(given, place)
    about = object_at(issue.get("issueData"), f"{place}.issueData")
    project = object_at(body.get("project"), "project")
    traits = object_at(project.get("attributes"), "project.attributes")
    number, project_id = first(issue.get("id"), about.get("id")), first(project.get("id"), project.get("name"))
    if not number:
        raise Unreadable(f"{place}.id: missing")
    if not project_id:
        raise Unreadable("project.id: missing")
    status, state = _standing(issue, is_gone)
    at = moment(delivery.headers.get("x-snyk-timestamp"))
    word = first(about.get("severity"), issue.get("severity"))
    url = web_url(about.get("url"))
    return Alert(
        source="snyk",
        identity=f"{project_id}/{number}",
        kind=Kind.SECURITY_FINDING,
        status=status,
        title=short(first(about.get("title"), issue.get("pkgName"), number)),
        severity=severity_of(word),
        description=long(first(about.get("description"))),
        service=first(project.get("name")) or None,
        environment=_only(traits.get("lifecycle")),
        labels=_labels(issue, project),
        url=url or web_url(project.get("browseUrl")),
        links=links_from([("source", url, number), ("dashboard", project.get("browseUrl"), "Project")]),
        started_at=at or delivery.received_at,
        ended_at=(at or delivery.received_at) if is_gone else None,
        group_key=project_id,
        source_status="removed" if is_gone else "new",
        source_severity=word or None,
        defaults=() if at else ("started_at", "ended_at") if is_gone else ("started_at",),
        attributes={**issue, **{name: value for name, value in body.items() if name not in ("newIssues", "removedIssues")}},
        finding=SecurityFinding(
            state=state,
            rule=number,
            identifiers=_identifiers(about.get("identifiers")),
            package=first(issue.get("pkgName")),
            fixed_in=_fixed_in(issue, about),
            # A new issue is one that this test was the first to find; of one that is gone it does not say when that was.
            created_at=None if is_gone else at,
        ),
    )


def _standing(issue: Mapping[str, Any], is_gone: bool) -> tuple[Status, FindingState]:
    """Somebody may have told Snyk to ignore it, before or after it was found."""
    is_ignored = issue.get("isIgnored") is True
    if is_gone:
        return Status.RESOLVED, FindingState.DISMISSED if is_ignored else FindingState.FIXED
    return (Status.SUPPRESSED, FindingState.DISMISSED) if is_ignored else (Status.FIRING, FindingState.OPEN)


def _identifiers(value: Any) -> tuple[str, ...]:
    """CVE, GHSA and CWE numbers; Snyk's other names of the same thing are left out."""
    given = value if isinstance(value, dict) else {}
    lists = [given.get(kind) for kind in ("CVE", "GHSA", "CWE")]
    return tuple(text_of(one) for found in lists if isinstance(found, list) for one in found if text_of(one))


def _fixed_in(issue: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    fix = issue.get("fixInfo")
    fix = fix if isinstance(fix, dict) else {}
    listed = fix.get("fixedIn")
    versions = ", ".join(map(text_of, listed)) if isinstance(listed, list) else ""
    return first(fix.get("nearestFixedInVersion"), about.get("nearestFixedInVersion"), versions)


def _labels(issue: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, str]:
    tags = project.get("tags")
    given = {first(one.get("key")): one.get("value") for one in tags if isinstance(one, dict)} if isinstance(tags, list) else {}
    given |= {name: issue.get(name) for name in ("pkgName", "issueType")}
    given |= {name: project.get(name) for name in ("origin", "branch", "targetReference")}
    return {name: text_of(value) for name, value in given.items() if name and text_of(value)}


def _only(value: Any) -> str | None:
    """The one text of a list of one."""
    return first(value[0]) or None if isinstance(value, list) and len(value) == 1 else None


def _example(name: str, title: str, status: Status, field: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        issue = {
            "id": "SNYK-JS-LEFTPAD-10001",
            "issueType": "vuln",
            "pkgName": "leftpad",
            "pkgVersions": ["2.0.0"],
            "issueData": {
                "id": "SNYK-JS-LEFTPAD-10001",
                "title": "Out-of-bounds Read",
                "severity": "critical",
                "url": "https://snyk.example.com/vuln/SNYK-JS-LEFTPAD-10001",
                "description": "A padding of more than 64 characters is read from memory that is not its own.",
                "identifiers": {"CVE": ["CVE-2026-10001"], "CWE": ["CWE-125"]},
            },
            "isPatched": False,
            "isIgnored": False,
            "fixInfo": {"isUpgradable": True, "nearestFixedInVersion": "2.0.1"},
        }
        project = {
            "id": "0d8f5b1e-shop",
            "name": "acme/shop:package.json",
            "origin": "github",
            "branch": "main",
            "browseUrl": "https://snyk.example.com/org/acme/project/shop",
            "attributes": {"lifecycle": ["production"]},
        }
        return {"project": project, "org": {"slug": "acme"}, "newIssues": [], "removedIssues": [], field: [issue]}

    return Example(name, title, status, build, {"X-Snyk-Event": "project_snapshot/v0"})


EXAMPLES = (
    _example("new-issue", "A critical hole in a package", Status.FIRING, "newIssues"),
    _example("removed-issue", "The hole is closed", Status.RESOLVED, "removedIssues"),
)

SOURCE = Snyk()
