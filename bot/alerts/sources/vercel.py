"""Vercel's webhooks: deployments and how they went, and what else was changed. https://vercel.com/docs/webhooks/webhooks-api"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts import signatures
from bot.alerts.alert import Alert, Change, ChangeKind, ChangeState, Kind, Severity, Status
from bot.alerts.reading import first, json_object, links_from, long, moment, object_at, short, text_of, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SIGNATURE = "x-vercel-signature"
STATES = {
    "created": ChangeState.STARTED,
    "prepared": ChangeState.STARTED,
    "ready": ChangeState.SUCCEEDED,
    "checks.succeeded": ChangeState.SUCCEEDED,
    "succeeded": ChangeState.SUCCEEDED,
    "promoted": ChangeState.SUCCEEDED,
    "rollback": ChangeState.SUCCEEDED,
    "checks.failed": ChangeState.FAILED,
    "error": ChangeState.FAILED,
    "canceled": ChangeState.CANCELED,
}
"""What each deployment.* says of the deployment."""
KINDS = {"promoted": ChangeKind.PROMOTION, "rollback": ChangeKind.ROLLBACK}
FIRES = {"error": Severity.HIGH, "checks.failed": Severity.MEDIUM}
"""What fires in production, and how bad it is."""
ENDS = frozenset({"succeeded", "checks.succeeded", "promoted"})
WORDS = {
    "created": "was started",
    "prepared": "is built",
    "ready": "is ready",
    "succeeded": "succeeded",
    "error": "failed",
    "canceled": "was canceled",
    "checks.failed": "did not pass its checks",
    "checks.succeeded": "passed its checks",
    "promoted": "was promoted",
    "rollback": "was rolled back",
}
CONFIGURATION = ("project", "domain", "edge-config", "flag")
"""The first words of events that tell of a changed setting."""
ATTACKS = ("attack.detected", "firewall.attack")
"""One event by two names, the second that of Vercel's app for Slack. https://vercel.com/docs/vercel-firewall/firewall-alerts"""
NEWS = ("firewall", "alerts", "observability")
"""The first words of events about how things go. They have no end that would be told, so they never fire."""
SETUP = """\
# In Vercel: the team's Settings > Webhooks > Create Webhook (Pro and Enterprise)
#   Endpoint   {url}
#   Events     Deployment: created, succeeded, error, canceled, promoted, rollback, checks failed, checks succeeded
#              Firewall: attack detected, which is recorded; a route may announce it
#              and, if you like, Project: environment variables and domains
# The secret is shown once; it goes into HOOK_SECRETS, as vercel/main={secret}
"""


class Vercel:
    """A deployment to production that fails, or does not pass its checks, fires until one succeeds or is promoted; every
    deployment, promotion and rollback is a change. Deliveries may come in any order, with the same id when repeated.
    """

    name = "vercel"
    title = "Vercel"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A deployment to production that fails, and the next, which succeeds; a preview; a rollback."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By HMAC-SHA1 over the raw body."""
        signatures.require(secrets, delivery, self.name)
        signatures.check_hmac(delivery.headers.get(SIGNATURE, ""), delivery.body, secrets, SIGNATURE, digest="sha1")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature."""
        return {SIGNATURE: signatures.hex_hmac(secret, body, "sha1")}

    def delivery_id(self, delivery: Delivery) -> str:
        """The body's `id`, the same for each attempt."""
        try:
            given = json_object(delivery.body).get("id")
        except Unreadable:
            given = None
        return (text_of(given) if isinstance(given, str) else "")[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """One event."""
        body = json_object(delivery.body)
        type_ = first(body.get("type"))
        if not type_:
            raise Unreadable("type: missing; it names the event")
        payload = object_at(body.get("payload"), "payload")
        group, _, what = type_.replace("deployment-", "deployment.", 1).partition(".")
        if group == "deployment" and what in STATES:
            return Reading(alerts=(_deployed(body, payload, what, delivery),))
        if type_.replace("-", ".") in ATTACKS:
            return Reading(alerts=(_attacked(body, payload, type_, delivery),))
        if group in CONFIGURATION:
            return Reading(alerts=(_configured(body, payload, type_, delivery),))
        if group in NEWS:
            return Reading(alerts=(_news(body, payload, type_, delivery),))
        if type_ == "test-webhook":
            return Reading(ignored="a test; the webhook works")
        return Reading(ignored=f"{short(type_, 100)} changes nothing that runs")


def _deployed(body: Mapping[str, Any], payload: Mapping[str, Any], what: str, delivery: Delivery) -> Alert:
    made = object_at(payload.get("deployment"), "payload.deployment")
    meta = object_at(made.get("meta"), "payload.deployment.meta")
    links = object_at(payload.get("links"), "payload.links")
    # A promotion and a rollback name no target: they are of production by what they are.
    target = "production" if what in KINDS else first(payload.get("target"), made.get("target"))
    kind, status, severity = _meaning(what, target == "production")
    service = _project(payload)
    number = first(payload.get("toDeploymentId"), made.get("id"), made.get("url"), payload.get("url"))
    scope = first(object_at(payload.get("project"), "payload.project").get("id"), service, number)
    at, defaults = _time(body, delivery)
    return Alert(
        source="vercel",
        identity=f"{scope}/{target}" if status is not Status.INFO else f"{scope}/deployment/{number or first(body.get('id'))}",
        kind=kind,
        status=status,
        severity=severity,
        title=short(f"{service or 'Vercel'}: deployment to {target or 'preview'} {WORDS[what]}"),
        description=long(first(payload.get("errorMessage"), _of_commit(meta, "Message"))),
        service=service or None,
        environment=target or "preview",
        labels=_labels(meta, alertname=f"{service or 'Vercel'}: deployment to {target or 'preview'}", target=target),
        url=web_url(links.get("deployment")) or web_url(made.get("inspectorUrl")) or web_url(links.get("project")),
        links=links_from(
            [
                ("source", _site(made.get("url") or payload.get("url")), "What is deployed"),
                ("dashboard", links.get("project"), "Project"),
            ]
        ),
        started_at=at,
        ended_at=at if status is Status.RESOLVED else None,
        # Of the event, not of the deployment: one that failed earlier and is told later is no news.
        changed_at=None if defaults else at,
        occurrence=number or None,
        source_status=first(body.get("type")),
        defaults=_also_ended(defaults, status),
        attributes=body,
        change=_change(number, first(body.get("id")), payload, meta, what),
    )


def _meaning(what: str, is_production: bool) -> tuple[Kind, Status, Severity]:
    if what in FIRES:
        return (Kind.ALERT, Status.FIRING, FIRES[what]) if is_production else (Kind.DEPLOYMENT, Status.INFO, Severity.LOW)
    return Kind.DEPLOYMENT, Status.RESOLVED if is_production and what in ENDS else Status.INFO, Severity.INFO


def _change(number: str, event: str, payload: Mapping[str, Any], meta: Mapping[str, Any], what: str) -> Change:
    kind = KINDS.get(what, ChangeKind.DEPLOYMENT)
    user = first(object_at(payload.get("user"), "payload.user").get("id"))
    return Change(
        # A promotion and a rollback are changes of their own, beside the deployment that they put into place.
        identity=(number or event) if kind is ChangeKind.DEPLOYMENT else (event or f"{number}/{what}"),
        kind=kind,
        state=STATES[what],
        sha=_of_commit(meta, "Sha") or None,
        ref=_of_commit(meta, "Ref") or None,
        by=_of_commit(meta, "AuthorName") or user or None,
        description=long(_of_commit(meta, "Message")),
    )


def _of_commit(meta: Mapping[str, Any], name: str) -> str:
    """The commit is told by GitHub, GitLab or Bitbucket, each under names that begin with its own."""
    return first(*(meta.get(f"{host}Commit{name}") for host in ("github", "gitlab", "bitbucket")))


def _configured(body: Mapping[str, Any], payload: Mapping[str, Any], type_: str, delivery: Delivery) -> Alert:
    at, defaults = _time(body, delivery)
    number = first(body.get("id")) or f"{type_}/{at.isoformat()}"
    user = first(object_at(payload.get("user"), "payload.user").get("id"))
    kind = ChangeKind.FLAG if type_.startswith("flag") else ChangeKind.CONFIGURATION
    return Alert(
        source="vercel",
        identity=f"{type_}/{number}",
        kind=Kind.CHANGE,
        status=Status.INFO,
        severity=Severity.INFO,
        title=_told(type_, payload),
        service=_project(payload) or None,
        url=_page(payload),
        started_at=at,
        source_status=type_,
        defaults=defaults,
        attributes=body,
        change=Change(identity=number, kind=kind, state=ChangeState.SUCCEEDED, by=user or None),
    )


def _news(body: Mapping[str, Any], payload: Mapping[str, Any], type_: str, delivery: Delivery) -> Alert:
    at, defaults = _time(body, delivery)
    return Alert(
        source="vercel",
        identity=f"{type_}/{first(body.get('id')) or at.isoformat()}",
        status=Status.INFO,
        severity=Severity.UNKNOWN,
        title=_told(type_, payload),
        service=_project(payload) or None,
        url=_page(payload),
        started_at=at,
        source_status=type_,
        defaults=defaults,
        attributes=body,
    )


def _attacked(body: Mapping[str, Any], payload: Mapping[str, Any], type_: str, delivery: Delivery) -> Alert:
    """A project under attack, which Vercel holds off by itself: it fires where a route says so. Nobody tells when it is over."""
    at, defaults = _time(body, delivery)
    project, team = (object_at(payload.get(name), f"payload.{name}") for name in ("project", "team"))
    service = _project(payload)
    return Alert(
        source="vercel",
        identity=f"{first(project.get('id'), payload.get('projectId'), service, team.get('id'))}/attack",
        status=Status.INFO,
        severity=Severity.HIGH,
        title=short(f"{service or 'Vercel'}: under attack"),
        service=service or None,
        environment="production",
        url=_page(payload),
        started_at=at,
        changed_at=None if defaults else at,
        source_status=type_,
        defaults=defaults,
        attributes=body,
    )


def _time(body: Mapping[str, Any], delivery: Delivery) -> tuple[datetime, tuple[str, ...]]:
    at = moment(body.get("createdAt"))
    return (at, ()) if at else (delivery.received_at, ("started_at",))


def _also_ended(defaults: tuple[str, ...], status: Status) -> tuple[str, ...]:
    return (*defaults, "ended_at") if defaults and status is Status.RESOLVED else defaults


def _project(payload: Mapping[str, Any]) -> str:
    project = object_at(payload.get("project"), "payload.project")
    made = object_at(payload.get("deployment"), "payload.deployment")
    return first(made.get("name"), payload.get("name"), project.get("name"))


def _page(payload: Mapping[str, Any]) -> str | None:
    return web_url(object_at(payload.get("links"), "payload.links").get("project"))


def _told(type_: str, payload: Mapping[str, Any]) -> str:
    """`project.env-variable.updated` as words."""
    return short(f"{_project(payload) or 'Vercel'}: {type_.replace('.', ' ').replace('-', ' ')}")


def _labels(meta: Mapping[str, Any], **more: str) -> dict[str, str]:
    """What a deployment is tagged with; the commit's message is its description."""
    given = {**more, **{name: text_of(value) for name, value in meta.items() if not name.endswith("CommitMessage")}}
    return {name: value for name, value in given.items() if value}


def _site(value: Any) -> str | None:
    """Vercel writes where a deployment is without its scheme."""
    text = text_of(value)
    return web_url(text if "://" in text else f"https://{text}") if text else None


def _example(name: str, title: str, status: Status, type_: str, number: str, target: str | None = "production") -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        page = "https://vercel.example.com/acme/shop"
        meta = {
            "githubCommitSha": "5d41402abc4b2a76b9719d911017c592aa0b7c31",
            "githubCommitRef": "main" if target else "round-prices",
            "githubCommitMessage": "Round prices once",
            "githubCommitAuthorName": "Rosa",
        }
        payload = {
            "team": {"id": "team_acme"},
            "user": {"id": "usr_rosa"},
            "deployment": {"id": number, "name": "shop", "url": f"shop-{number[4:]}.example.com", "meta": meta},
            "links": {"deployment": f"{page}/{number}", "project": page},
            "project": {"id": "prj_shop"},
            "target": target,
            "plan": "pro",
            "regions": ["fra1"],
        }
        at = int(now.timestamp() * 1000)
        return {"id": f"evt_{number}_{at}", "type": type_, "createdAt": at, "region": "fra1", "payload": payload}

    return Example(name, title, status, build)


EXAMPLES = (
    _example("deployment-failed", "Production could not be deployed", Status.FIRING, "deployment.error", "dpl_7001"),
    _example("deployment-succeeded", "Production deployed", Status.RESOLVED, "deployment.succeeded", "dpl_7002"),
    _example("checks-failed", "Production did not pass its checks", Status.FIRING, "deployment.checks.failed", "dpl_7003"),
    _example("preview", "A preview was started", Status.INFO, "deployment.created", "dpl_7004", None),
    _example("rollback", "Production was rolled back", Status.INFO, "deployment.rollback", "dpl_7001"),
)

SOURCE = Vercel()
