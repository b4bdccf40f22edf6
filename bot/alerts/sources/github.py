"""GitHub's webhooks: workflows and checks here, deployments and pushes in `github_changes`, findings in `github_findings`.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import github_changes, github_findings, signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.github_event import Event, first_line, first_moment, said
from bot.alerts.reading import first, form_of, is_form, json_object, links_from, long, object_at, short, web_url
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SIGNATURE = "X-Hub-Signature-256"
FIRES = frozenset({"failure", "timed_out", "startup_failure"})
READERS: Mapping[str, Callable[[Event], Reading]] = {
    "deployment": github_changes.deployment,
    "deployment_status": github_changes.deployment_status,
    "push": github_changes.push,
    "release": github_changes.release,
    "dependabot_alert": github_findings.dependabot_alert,
    "code_scanning_alert": github_findings.code_scanning_alert,
    "secret_scanning_alert": github_findings.secret_scanning_alert,
    "security_advisory": github_findings.security_advisory,
}
RUNS = ("check_run", "check_suite", "workflow_job", "workflow_run")
CHECKS = ("check_run", "check_suite")
ACTIONS = ("github-actions", "GitHub Actions")
"""The app whose checks are workflows. Its suites name none, and its checks the job alone: so the success of one workflow would
end the failure of another.
"""
TOLD_BY = (
    ("deployment_status", "deployment_status"),
    ("deployment", "deployment"),
    *((name, name) for name in RUNS),
    ("release", "release"),
    ("security_advisory", "security_advisory"),
    ("pusher", "push"),
    ("zen", "ping"),
)
"""The field of a body that tells its event, for a file that was kept without its headers."""
SETUP = """\
# For a repository; /orgs/ORGANISATION/hooks is for all of an organisation. Or: Settings > Webhooks > Add webhook.
gh api repos/OWNER/REPOSITORY/hooks -f name=web \\
  -f 'config[url]={url}' -f 'config[content_type]=json' -f 'config[secret]={secret}' \\
  -f 'events[]=workflow_run' -f 'events[]=deployment' -f 'events[]=deployment_status' \\
  -f 'events[]=push' -f 'events[]=release' -f 'events[]=dependabot_alert' \\
  -f 'events[]=code_scanning_alert' -f 'events[]=secret_scanning_alert'
# For other build systems check_suite, or check_run, too. Those of GitHub Actions are left out: workflow_run tells the same,
# and which workflow it was.
"""


class GitHub:
    """A failed workflow (high on the default branch, low on any other), a failed deployment to production and a security
    finding fire, and the next success or the fix ends them; pushes, releases and other deployments are kept as changes.
    """

    name = "github"
    title = "GitHub"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A workflow and a deployment that fail and succeed, findings, a push and a release."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """`sha256=HEX` over the raw body, of a form, too. The old SHA-1 header is not looked at."""
        signatures.require(secrets, delivery, self.name)
        given = delivery.headers.get(SIGNATURE.lower(), "").strip().removeprefix("sha256=")
        signatures.check_hmac(given, delivery.body, secrets, SIGNATURE)

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The signature, and the id that it gives each delivery."""
        return {
            SIGNATURE: f"sha256={signatures.hex_hmac(secret, body)}",
            "X-GitHub-Delivery": signatures.hex_hmac(secret, body + str(now.timestamp()).encode())[:32],
        }

    def delivery_id(self, delivery: Delivery) -> str:
        """X-GitHub-Delivery, which a redelivery by hand keeps."""
        return delivery.headers.get("x-github-delivery", "").strip()[:128] or signatures.content_id(delivery)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """What the event tells, if it tells anything."""
        body = _body(delivery)
        name = delivery.headers.get("x-github-event", "").strip() or _told_by(body)
        if name == "ping":
            return Reading(ignored="a ping; the webhook works")
        event = Event(name, body, delivery.received_at)
        if name in CHECKS and _maker(event, event.part(name)) in ACTIONS:
            return Reading(ignored=f"a {name} of GitHub Actions does not say which workflow it is of; subscribe to workflow_run")
        if name in RUNS:
            return Reading(alerts=(_run(event),))
        if name not in READERS:
            return Reading(ignored=f"{short(name, 100)} is an event that is not looked at")
        return READERS[name](event)


def _body(delivery: Delivery) -> dict[str, Any]:
    if not is_form(delivery):
        return json_object(delivery.body)
    fields = form_of(delivery.body)
    if "payload" not in fields:
        raise Unreadable("payload: missing from the form")
    return json_object(fields["payload"].encode())


def _told_by(body: Mapping[str, Any]) -> str:
    found = next((event for name, event in TOLD_BY if name in body), "")
    alert = body.get("alert")
    if not found and isinstance(alert, dict):
        is_secret, is_code = "secret_type" in alert, "rule" in alert
        return "secret_scanning_alert" if is_secret else "code_scanning_alert" if is_code else "dependabot_alert"
    if not found:
        raise Unreadable("X-GitHub-Event: missing, and the body does not tell which event it is")
    return found


def _run(event: Event) -> Alert:
    """A workflow, one of its jobs, or a check of another build system, as far as it is."""
    run = event.part(event.name)
    conclusion = first(run.get("conclusion")).lower()
    status = Status.FIRING if conclusion in FIRES else Status.RESOLVED if conclusion == "success" else Status.INFO
    name, what = _named(event, run)
    branch, sha = _branch(event, run), first(run.get("head_sha"))
    started = first_moment(run.get("run_started_at"), run.get("started_at"), run.get("created_at"))
    done = first_moment(run.get("completed_at"), run.get("updated_at"))
    started_at, ended_at, defaults = event.times(status, started, done)
    url = web_url(run.get("html_url")) or (event.page(f"commit/{sha}/checks") if sha else event.page("actions"))
    # One that has neither failed nor succeeded says nothing of those before it on its branch.
    identity = f"{what}/{branch or sha}" if status is not Status.INFO else f"run/{first(run.get('id'))}"
    return Alert(
        source="github",
        identity=f"{event.scope}/{event.name}/{identity}",
        status=status,
        title=short(f"{name} {conclusion or first(run.get('status'), event.action) or 'seen'} on {branch or sha[:7] or 'no branch'}"),
        severity=_severity(event, status, branch),
        description=long("\n".join(filter(None, (*_failed_steps(run), _commit(run), _output(run))))),
        service=event.service,
        labels=said(
            {
                "alertname": name,
                "repository": event.service,
                "head_branch": branch,
                "head_sha": sha,
                "event": run.get("event"),
                "actor": event.sender,
            }
        ),
        url=url,
        links=links_from(
            [
                ("logs", url, "Log"),
                ("source", run.get("details_url"), "Details"),
                ("source", event.page(f"commit/{sha}") if sha else None, "Commit"),
            ]
        ),
        started_at=started_at,
        ended_at=ended_at,
        # Within three days people may have an old delivery sent again. Jobs whose workflow is not told may be those of two.
        changed_at=None if status is Status.FIRING and event.name == "workflow_job" and not first(run.get("workflow_name")) else done,
        group_key=first(run.get("check_suite_id"), run.get("run_id"), sha) or None,
        source_status=conclusion or first(run.get("status")) or None,
        defaults=defaults,
        attributes=event.body,
    )


def _named(event: Event, run: Mapping[str, Any]) -> tuple[str, str]:
    """What people call it, and what stays the same from one run to the next."""
    name = first(run.get("name"))
    if event.name == "workflow_run":
        name = first(name, event.about("workflow").get("name"), run.get("path"))
        return name or "A workflow without a name", first(run.get("workflow_id"), name)
    if event.name == "workflow_job":
        name = " / ".join(filter(None, (first(run.get("workflow_name")), name)))
        return name or "A job without a name", name
    maker = _maker(event, run)
    if event.name == "check_suite":
        return first(_app(event, run).get("name")) or "Checks", maker
    return name or "A check without a name", f"{maker}/{name}"


def _maker(event: Event, run: Mapping[str, Any]) -> str:
    """The app that made a check."""
    return first(_app(event, run).get("slug"), _app(event, run).get("name"))


def _app(event: Event, run: Mapping[str, Any]) -> Mapping[str, Any]:
    return object_at(run.get("app"), f"{event.name}.app")


def _branch(event: Event, run: Mapping[str, Any]) -> str:
    """The branch; with the repository in front for one of a fork, where `main` is another than ours."""
    suite = object_at(run.get("check_suite"), f"{event.name}.check_suite")
    home = object_at(run.get("head_repository"), f"{event.name}.head_repository")
    branch, owner = first(run.get("head_branch"), suite.get("head_branch")), first(home.get("full_name"))
    return f"{owner}:{branch}" if owner and branch and owner != event.service else branch


def _severity(event: Event, status: Status, branch: str) -> Severity:
    if status is not Status.FIRING:
        return Severity.INFO
    return Severity.HIGH if branch and branch == first(event.repository.get("default_branch")) else Severity.LOW


def _failed_steps(run: Mapping[str, Any]) -> list[str]:
    steps = run.get("steps")
    given = [one for one in steps if isinstance(one, dict)] if isinstance(steps, list) else []
    return [f"Failed: {first(one.get('name'))}" for one in given if first(one.get("conclusion")) in FIRES]


def _commit(run: Mapping[str, Any]) -> str:
    commit = object_at(run.get("head_commit"), "head_commit")
    return first(run.get("display_title")) or first_line(commit.get("message"))


def _output(run: Mapping[str, Any]) -> str:
    output = object_at(run.get("output"), "check_run.output")
    return "\n".join(filter(None, (first(output.get("title")), first(output.get("summary")))))


SHA = "5d41402abc4b2a76b9719d911017c592aa0b7c31"
REPOSITORY = {
    "id": 4201,
    "full_name": "acme/checkout",
    "html_url": "https://github.example.com/acme/checkout",
    "default_branch": "main",
}
SENDER = {"login": "rosa", "type": "User"}


def _ago(now: datetime, minutes: int) -> str:
    return (now - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sent(event: str, name: str, title: str, status: Status, build: Callable[[datetime], Mapping[str, object]]) -> Example:
    def whole(now: datetime) -> Mapping[str, object]:
        return {**build(now), "repository": {**REPOSITORY, "pushed_at": int(now.timestamp())}, "sender": SENDER}

    return Example(name, title, status, whole, {"X-GitHub-Event": event})


def _workflow(name: str, title: str, status: Status, number: int, conclusion: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        run = {
            "id": number, "name": "Deploy", "workflow_id": 77, "head_branch": "main", "head_sha": SHA,
            "event": "push", "status": "completed", "conclusion": conclusion, "run_attempt": 1,
            "display_title": "Round prices once", "html_url": f"{REPOSITORY['html_url']}/actions/runs/{number}",
            "run_started_at": _ago(now, 4), "updated_at": _ago(now, 0),
        }  # fmt: skip
        return {"action": "completed", "workflow_run": run, "workflow": {"id": 77, "name": "Deploy"}}

    return _sent("workflow_run", name, title, status, build)


def _deployment(name: str, title: str, status: Status, number: int, state: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        told = {
            "id": number * 10, "state": state, "environment": "production", "description": "Rolled out by the pipeline.",
            "log_url": f"{REPOSITORY['html_url']}/actions/runs/{number}", "updated_at": _ago(now, 0),
        }  # fmt: skip
        made = {
            "id": number, "sha": SHA, "ref": "main", "task": "deploy", "environment": "production",
            "production_environment": True, "creator": SENDER, "created_at": _ago(now, 3),
        }  # fmt: skip
        return {"action": "created", "deployment_status": told, "deployment": made}

    return _sent("deployment_status", name, title, status, build)


def _dependabot(name: str, title: str, status: Status, action: str) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        advisory = {
            "ghsa_id": "GHSA-2222-3333-4444", "cve_id": "CVE-2026-10001", "severity": "high",
            "summary": "leftpad reads past the end of its padding",
            "description": "A padding of more than 64 characters is read from memory that is not its own.",
            "identifiers": [{"type": "GHSA", "value": "GHSA-2222-3333-4444"}, {"type": "CVE", "value": "CVE-2026-10001"}],
            "cwes": [{"cwe_id": "CWE-125"}],
        }  # fmt: skip
        is_fixed = action == "fixed"
        alert = {
            "number": 12, "state": "fixed" if is_fixed else "open", "security_advisory": advisory,
            "dependency": {
                "package": {"ecosystem": "npm", "name": "leftpad"}, "manifest_path": "web/package.json", "scope": "runtime",
            },
            "security_vulnerability": {"severity": "high", "first_patched_version": {"identifier": "2.0.1"}},
            "html_url": f"{REPOSITORY['html_url']}/security/dependabot/12",
            "created_at": _ago(now, 60), "fixed_at": _ago(now, 0) if is_fixed else None,
        }  # fmt: skip
        return {"action": action, "alert": alert}

    return _sent("dependabot_alert", name, title, status, build)


def _secret(now: datetime) -> Mapping[str, object]:
    alert = {
        "number": 3, "state": "open", "secret_type": "acme_api_key", "secret_type_display_name": "Acme API Key",
        "validity": "active", "resolution": None, "html_url": f"{REPOSITORY['html_url']}/security/secret-scanning/3",
        "created_at": _ago(now, 1),
    }  # fmt: skip
    return {"action": "created", "alert": alert}


def _push(now: datetime) -> Mapping[str, object]:
    commit = {"id": SHA, "message": "Round prices once\n\nNot once for each line.", "timestamp": _ago(now, 9)}
    return {
        "ref": "refs/heads/main", "before": SHA[::-1], "after": SHA, "created": False, "deleted": False, "forced": False,
        "compare": f"{REPOSITORY['html_url']}/compare/{SHA[::-1][:12]}...{SHA[:12]}",
        "head_commit": commit, "commits": [commit], "pusher": {"name": "rosa"},
    }  # fmt: skip


def _release(now: datetime) -> Mapping[str, object]:
    made = {
        "id": 55, "tag_name": "v2.14.0", "name": "2.14", "target_commitish": "main", "prerelease": False, "draft": False,
        "body": "Prices are rounded once.", "html_url": f"{REPOSITORY['html_url']}/releases/tag/v2.14.0",
        "author": SENDER, "published_at": _ago(now, 0),
    }  # fmt: skip
    return {"action": "published", "release": made}


EXAMPLES = (
    _workflow("workflow-failed", "Deploy failed on main", Status.FIRING, 5001, "failure"),
    _workflow("workflow-succeeded", "Deploy well again", Status.RESOLVED, 5002, "success"),
    _deployment("deployment-failed", "Production could not be deployed", Status.FIRING, 6001, "failure"),
    _deployment("deployment-succeeded", "Production deployed", Status.RESOLVED, 6002, "success"),
    _dependabot("dependabot-open", "A package with a known hole", Status.FIRING, "created"),
    _dependabot("dependabot-fixed", "The package was updated", Status.RESOLVED, "fixed"),
    _sent("secret_scanning_alert", "secret-found", "An API key in the code", Status.FIRING, _secret),
    _sent("push", "push", "A push to main", Status.INFO, _push),
    _sent("release", "release", "Version 2.14 is out", Status.INFO, _release),
)

SOURCE = GitHub()
