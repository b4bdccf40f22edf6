"""What GitHub tells of changes: deployments and how they went, pushes, releases."""

import re
from collections.abc import Mapping
from typing import Any

from bot.alerts import changes
from bot.alerts.alert import Alert, Change, ChangeKind, ChangeState, Kind, Severity, Status
from bot.alerts.github_event import Event, first_line, first_moment, said
from bot.alerts.reading import first, links_from, long, short, text_of, web_url
from bot.alerts.source import Reading

STATES = {
    "pending": ChangeState.STARTED,
    "queued": ChangeState.STARTED,
    "waiting": ChangeState.STARTED,
    "in_progress": ChangeState.STARTED,
    "success": ChangeState.SUCCEEDED,
    "failure": ChangeState.FAILED,
    "error": ChangeState.FAILED,
}
WORDS = {ChangeState.STARTED: "started", ChangeState.SUCCEEDED: "succeeded", ChangeState.FAILED: "failed"}
RELEASES = {"published": ChangeState.SUCCEEDED, "unpublished": ChangeState.CANCELED, "deleted": ChangeState.CANCELED}
NOTHING = re.compile("0+")
"""The commit that a branch has before it is made and after it is deleted."""


def deployment(event: Event) -> Reading:
    """A deployment that was asked for."""
    made = event.part("deployment")
    if event.action not in ("", "created"):
        return Reading(ignored=f"a deployment was {event.action}; nothing is deployed by that")
    return Reading(alerts=(_deployed(event, made, {}, "", ChangeState.STARTED),))


def deployment_status(event: Event) -> Reading:
    """How far a deployment is."""
    made, status = event.part("deployment"), event.part("deployment_status")
    word = first(status.get("state")).lower()
    state = STATES.get(word)
    if state is None:
        return Reading(ignored=f"a deployment is {word or 'in no state'}: nothing was deployed by that")
    return Reading(alerts=(_deployed(event, made, status, word, state),))


def _deployed(event: Event, made: Mapping[str, Any], status: Mapping[str, Any], word: str, state: ChangeState) -> Alert:
    environment = first(status.get("environment"), made.get("environment"))
    number, task = first(made.get("id")), first(made.get("task"))
    # A workflow does not set the flag for an environment that is called prod: so by its name, too.
    is_production = made.get("production_environment") is True or changes.is_production(environment)
    kind, stands, severity = changes.meaning(ChangeKind.DEPLOYMENT, state, is_production=is_production)
    at = first_moment(status.get("updated_at"), status.get("created_at"), made.get("updated_at"), made.get("created_at"))
    started_at, ended_at, defaults = event.times(stands, at, at)
    is_rollback = "rollback" in task.lower()
    ref, target = first(made.get("ref")), environment or "an environment without a name"
    verb = "Rollback" if is_rollback else "Deployment"
    sha = first(made.get("sha"))
    log = web_url(status.get("log_url")) or web_url(status.get("target_url"))
    # A deployment that succeeds is another one than the one that failed: what fires is where they went to.
    of_place, of_one = f"{event.scope}/deployment/{environment}/{task}", f"{event.scope}/deployment/{number}"
    return Alert(
        source="github",
        identity=of_one if stands is Status.INFO else of_place,
        kind=kind,
        status=stands,
        severity=severity,
        title=short(f"{verb} of {ref or sha[:7] or 'something'} to {target} {WORDS[state]}"),
        description=long(first(status.get("description"), made.get("description"))),
        service=event.service,
        environment=environment or None,
        labels=said({"alertname": f"{verb} to {target}", "task": task, "ref": ref, "repository": event.service}),
        url=web_url(status.get("target_url")) or log or event.page("deployments"),
        links=links_from(
            [
                ("logs", log, "Log"),
                ("source", status.get("environment_url"), "What is deployed"),
                ("source", event.page(f"commit/{sha}") if sha else None, "Commit"),
            ]
        ),
        started_at=started_at,
        ended_at=ended_at,
        # What went to one place may be two things, of a repository with several: the success of the one that came first must
        # not have the failure of the other taken for over.
        changed_at=None if stands is Status.FIRING else at,
        occurrence=number or None,
        source_status=word or event.action or None,
        defaults=defaults,
        attributes=event.body,
        change=Change(
            identity=f"deployment/{event.scope}/{number or f'{environment}/{sha}'}",
            kind=ChangeKind.ROLLBACK if is_rollback else ChangeKind.DEPLOYMENT,
            state=state,
            sha=sha or None,
            ref=ref or None,
            by=_login(made.get("creator")) or event.sender,
            description=long(first(made.get("description"))),
        ),
    )


def push(event: Event) -> Reading:
    """Commits on a branch; a branch or tag made or deleted."""
    body = event.body
    ref, before, after = first(body.get("ref")), first(body.get("before")), first(body.get("after"))
    head = event.about("head_commit")
    is_tag = ref.startswith("refs/tags/")
    name = ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
    sha = "" if NOTHING.fullmatch(after) else after
    identity = f"{event.scope}/push/{before}...{after}/{ref}"
    # The commit's own time may be days before the push; only the repository says when that was.
    started_at, _, defaults = event.times(Status.INFO, first_moment(event.repository.get("pushed_at")), None)
    alert = Alert(
        source="github",
        identity=identity,
        kind=Kind.CHANGE,
        status=Status.INFO,
        severity=Severity.INFO,
        title=short(_pushed(body, f"{'tag' if is_tag else 'branch'} {name}", name, first_line(head.get("message")))),
        description=long(_commits(body.get("commits"))),
        service=event.service,
        labels=said({"ref": ref, "repository": event.service}),
        url=web_url(body.get("compare")) or web_url(head.get("url")),
        started_at=started_at,
        defaults=defaults,
        attributes=body,
        change=Change(
            identity=identity,
            kind=ChangeKind.PUSH,
            state=ChangeState.SUCCEEDED,
            sha=sha or None,
            ref=ref or None,
            version=name if is_tag else None,
            by=first(event.about("pusher").get("name")) or event.sender,
            description=long(text_of(head.get("message"))),
        ),
    )
    return Reading(alerts=(alert,))


def _pushed(body: Mapping[str, Any], thing: str, name: str, subject: str) -> str:
    if body.get("deleted") is True:
        return f"Deleted {thing}"
    told = f": {subject}" if subject else ""
    if body.get("created") is True:
        return f"New {thing}{told}"
    return f"{'Forced push' if body.get('forced') is True else 'Push'} to {name}{told}"


def _commits(value: Any) -> str:
    given = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    return "\n".join(f"{first(one.get('id'))[:7]} {first_line(one.get('message'))}" for one in given)


def release(event: Event) -> Reading:
    """A release that was published, or taken back. GitHub tells of one several times; once is enough."""
    made = event.part("release")
    state = RELEASES.get(event.action)
    if state is None:
        return Reading(ignored=f"a release was {event.action or 'changed'}; it counts when it is published")
    tag, number = first(made.get("tag_name")), first(made.get("id"))
    at = first_moment(made.get("published_at")) if state is ChangeState.SUCCEEDED else None
    started_at, _, defaults = event.times(Status.INFO, at, None)
    alert = Alert(
        source="github",
        identity=f"{event.scope}/release/{number or tag}",
        kind=Kind.CHANGE,
        status=Status.INFO,
        severity=Severity.INFO,
        title=short(f"Release {first(made.get('name'), tag) or 'without a name'} {event.action}"),
        description=long(first(made.get("body"))),
        service=event.service,
        labels=said({"tag": tag, "prerelease": made.get("prerelease"), "repository": event.service}),
        url=web_url(made.get("html_url")),
        started_at=started_at,
        source_status=event.action,
        defaults=defaults,
        attributes=event.body,
        change=Change(
            identity=f"release/{event.scope}/{number or tag}",
            kind=ChangeKind.RELEASE,
            state=state,
            ref=first(made.get("target_commitish")) or None,
            version=tag or None,
            by=event.sender if state is ChangeState.CANCELED else _login(made.get("author")) or event.sender,
            description=long(first(made.get("body"))),
        ),
    )
    return Reading(alerts=(alert,))


def _login(value: Any) -> str | None:
    return first(value.get("login")) or None if isinstance(value, dict) else None
