"""GitHub: which events fire and end what, which are changes or findings, and what is ignored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bot.alerts.alert import Alert, ChangeKind, ChangeState, FindingState, Kind, Severity, Status
from bot.alerts.matching import Ended, was_overtaken
from bot.alerts.source import FORM, Delivery, Reading
from bot.alerts.sources.github import READERS, RUNS, SOURCE
from bot.errors import Unreadable, Unverified

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
EARLIER = datetime(2026, 8, 1, 9, 30, tzinfo=UTC)
AT, BEFORE = "2026-08-01T09:30:00Z", "2026-08-01T09:00:00Z"
NOBODY = "0" * 40
REPOSITORY = {
    "id": 7, "full_name": "acme/shop", "html_url": "https://github.example.com/acme/shop", "default_branch": "trunk",
    "pushed_at": 1_785_576_600,
}  # fmt: skip


def sent(event: str | None, body: Any, content_type: str = "application/json") -> Delivery:
    raw = json.dumps(body).encode()
    raw = urlencode({"payload": raw.decode()}).encode() if content_type == FORM else raw
    headers = {"content-type": content_type} | ({"x-github-event": event} if event else {})
    return Delivery(raw, headers, "main", NOW)


def read(event: str | None, **body: Any) -> Reading:
    return SOURCE.parse(sent(event, {"repository": REPOSITORY, "sender": {"login": "rosa"}, **body}), {})


def one(event: str | None, **body: Any) -> Alert:
    [alert] = read(event, **body).alerts
    return alert


def workflow(conclusion: str | None, branch: str = "trunk", **more: Any) -> Alert:
    run = {"id": 1, "name": "CI", "workflow_id": 5, "head_branch": branch, "head_sha": "abc", "conclusion": conclusion,
           "status": "completed" if conclusion else "queued", "run_started_at": BEFORE, "updated_at": AT}  # fmt: skip
    return one("workflow_run", action="completed", workflow_run=run | more)


def deployed(state: str, environment: str = "production", number: int = 1, flag: bool | None = None, task: str = "deploy") -> Alert:
    made = {"id": number, "sha": "abcdef1234", "ref": "trunk", "task": task, "environment": environment, "created_at": BEFORE}
    made |= {} if flag is None else {"production_environment": flag}
    told = {"state": state, "environment": environment, "updated_at": AT, "log_url": "https://ci.example.com/1"}
    return one("deployment_status", action="created", deployment=made, deployment_status=told)


def finding(event: str, action: str, state: str | None = None, **more: Any) -> Alert:
    alert = {"number": 4, "created_at": BEFORE, "html_url": "https://github.example.com/acme/shop/security/4"} | more
    return one(event, action=action, alert=alert | ({"state": state} if state else {}))


def test_the_signature_that_github_documents_for_its_example_holds():
    body, secret = b"Hello, World!", "It's a Secret to Everybody"
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert SOURCE.sign(body, secret, NOW)["X-Hub-Signature-256"] == header
    SOURCE.verify(Delivery(body, {"x-hub-signature-256": header}, "main", NOW), ["old", secret], NOW)


def test_the_old_sha1_signature_alone_is_none():
    old = {"x-hub-signature": "sha1=00"}

    with pytest.raises(Unverified, match=r"^no signature; the header X-Hub-Signature-256"):
        SOURCE.verify(Delivery(b"{}", old, "main", NOW), ["s"], NOW)


def test_a_redelivery_has_the_id_of_the_first_attempt_whatever_its_body():
    ids = {SOURCE.delivery_id(Delivery(body, {"x-github-delivery": "d-1"}, "main", NOW)) for body in (b"{}", b"\xff")}

    assert ids == {"d-1"}


def test_a_form_is_read_as_json_is_and_signed_as_it_came():
    body = {"repository": REPOSITORY, "action": "completed", "workflow_run": {"id": 1, "conclusion": "failure", "name": "é"}}
    delivery = sent("workflow_run", body, FORM)

    SOURCE.verify(
        Delivery(delivery.body, {k.lower(): v for k, v in SOURCE.sign(delivery.body, "s", NOW).items()}, "m", NOW), ["s"], NOW
    )
    assert SOURCE.parse(delivery, {}) == SOURCE.parse(sent("workflow_run", body), {})


@pytest.mark.parametrize(("raw", "says"), [(b"a=1", "payload: missing"), (b"payload=", "empty"), (b"payload=%ff", "not a form")])
def test_a_form_without_a_payload_says_so(raw, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(Delivery(raw, {"content-type": FORM, "x-github-event": "push"}, "main", NOW), {})


@pytest.mark.parametrize(("event", "says"), [("ping", "a ping"), ("star", "star is an event"), ("issues", "not looked at")])
def test_a_ping_and_what_nobody_asked_for_are_ignored(event, says):
    reading = read(event, action="created")

    assert not reading.alerts
    assert says in reading.ignored


@pytest.mark.parametrize(
    ("conclusion", "status"),
    [
        ("failure", Status.FIRING), ("timed_out", Status.FIRING), ("startup_failure", Status.FIRING),
        ("success", Status.RESOLVED), ("cancelled", Status.INFO), ("skipped", Status.INFO), ("neutral", Status.INFO),
        ("action_required", Status.INFO), ("stale", Status.INFO), (None, Status.INFO), ("something new", Status.INFO),
    ],
)  # fmt: skip
def test_how_a_workflow_ended(conclusion, status):
    alert = workflow(conclusion)

    assert alert.status is status
    assert (alert.started_at < alert.ended_at) if status is Status.RESOLVED else alert.ended_at is None


@pytest.mark.parametrize(
    ("branch", "home", "severity"),
    [("trunk", "acme/shop", Severity.HIGH), ("fix", "acme/shop", Severity.LOW), ("trunk", "somebody/shop", Severity.LOW)],
)
def test_only_the_default_branch_of_the_repository_itself_is_urgent(branch, home, severity):
    alert = workflow("failure", branch, head_repository={"full_name": home})

    assert alert.severity is severity


def test_a_workflow_is_one_alert_for_each_branch_and_of_no_fork():
    ids = [
        workflow("failure").identity, workflow("success", id=2).identity, workflow("failure", "fix").identity,
        workflow("success", head_repository={"full_name": "somebody/shop"}).identity,
    ]  # fmt: skip

    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_run_that_is_only_asked_for_says_nothing_of_the_one_that_failed():
    assert workflow(None).identity != workflow("failure").identity


@pytest.mark.parametrize(
    ("event", "run", "title"),
    [
        ("workflow_run", {"name": "", "path": ".github/ci.yml"}, ".github/ci.yml failure on trunk"),
        ("workflow_job", {"name": "lint", "workflow_name": "CI"}, "CI / lint failure on trunk"),
        ("check_suite", {"app": {"name": "Builder", "slug": "builder"}}, "Builder failure on trunk"),
        ("check_run", {"name": "lint", "app": {"slug": "b"}, "check_suite": {"head_branch": "trunk"}}, "lint failure on trunk"),
    ],
)
def test_jobs_and_checks_fire_and_end_like_workflows(event, run, title):
    run = {"id": 1, "started_at": BEFORE, "completed_at": AT, "updated_at": AT} | run
    run |= {} if event == "check_run" else {"head_branch": "trunk"}

    failed = one(event, action="completed", **{event: run | {"conclusion": "failure"}})
    passed = one(event, action="completed", **{event: run | {"id": 2, "conclusion": "success"}})

    assert failed.title == title
    assert (failed.severity, passed.ended_at) == (Severity.HIGH, EARLIER)
    assert failed.identity == passed.identity


@pytest.mark.parametrize("event", ["check_suite", "check_run"])
@pytest.mark.parametrize("app", [{"slug": "github-actions", "name": "GitHub Actions"}, {"name": "GitHub Actions"}])
@pytest.mark.parametrize("conclusion", ["failure", "success"])
def test_checks_of_github_actions_are_told_by_its_workflows(event, app, conclusion):
    # Its suites name no workflow, and its checks only the job: the success of one would end the failure of another.
    reading = read(event, **{event: {"id": 1, "name": "build", "head_branch": "trunk", "conclusion": conclusion, "app": app}})

    assert not reading.alerts
    assert "workflow_run" in reading.ignored


def test_two_checks_of_a_branch_that_has_no_name_are_told_apart_by_their_commit():
    ids = {one("check_suite", check_suite={"conclusion": "failure", "head_branch": None, "head_sha": sha}).identity for sha in "ab"}

    assert len(ids) == 2


def test_the_steps_of_a_job_that_failed_are_named():
    steps = [{"name": "Install", "conclusion": "success"}, {"name": "Test", "conclusion": "failure"}, None]

    assert one("workflow_job", workflow_job={"id": 1, "conclusion": "failure", "steps": steps}).description == "Failed: Test"


@pytest.mark.parametrize(
    ("state", "environment", "flag", "expected"),
    [
        ("failure", "production", None, (Kind.ALERT, Status.FIRING, Severity.HIGH, ChangeState.FAILED)),
        ("error", "prod-eu", False, (Kind.ALERT, Status.FIRING, Severity.HIGH, ChangeState.FAILED)),
        ("failure", "live", True, (Kind.ALERT, Status.FIRING, Severity.HIGH, ChangeState.FAILED)),
        ("success", "Production – shop", None, (Kind.DEPLOYMENT, Status.RESOLVED, Severity.INFO, ChangeState.SUCCEEDED)),
        ("failure", "staging", None, (Kind.DEPLOYMENT, Status.INFO, Severity.MEDIUM, ChangeState.FAILED)),
        ("failure", "pre-production", None, (Kind.DEPLOYMENT, Status.INFO, Severity.MEDIUM, ChangeState.FAILED)),
        ("success", "staging", None, (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.SUCCEEDED)),
        ("in_progress", "production", None, (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.STARTED)),
        ("queued", "production", None, (Kind.DEPLOYMENT, Status.INFO, Severity.INFO, ChangeState.STARTED)),
    ],
)
def test_a_deployment_fires_only_where_production_could_not_be_deployed(state, environment, flag, expected):
    alert = deployed(state, environment, flag=flag)

    assert (alert.kind, alert.status, alert.severity, alert.change.state) == expected
    assert (alert.environment, alert.started_at, alert.defaults) == (environment, EARLIER, ())


def test_the_next_deployment_that_succeeds_ends_the_one_that_failed():
    failed, succeeded, other = deployed("failure", number=1), deployed("success", number=2), deployed("success", "prod-eu", 3)

    assert failed.identity == succeeded.identity != other.identity
    assert (failed.change.identity, succeeded.change.identity) == ("deployment/7/1", "deployment/7/2")


def test_a_deployment_is_one_change_from_its_start():
    made = {"id": 1, "sha": "abcdef1234", "ref": "trunk", "environment": "production", "created_at": BEFORE}
    asked = one("deployment", action="created", deployment=made)

    assert (asked.kind, asked.change.state, asked.change.identity) == (Kind.DEPLOYMENT, ChangeState.STARTED, "deployment/7/1")
    assert asked.title == "Deployment of trunk to production started"
    assert deployed("success").change.identity == asked.change.identity


def test_a_deployment_that_was_only_written_anew_is_no_news():
    assert "nothing is deployed" in read("deployment", action="edited", deployment={"id": 1}).ignored


def test_a_deployment_that_takes_something_back_is_a_rollback():
    assert deployed("success", task="deploy:rollback").change.kind is ChangeKind.ROLLBACK


@pytest.mark.parametrize("state", ["inactive", "", "something new"])
def test_a_deployment_that_another_replaced_is_no_news(state):
    reading = read("deployment_status", deployment={"id": 1}, deployment_status={"state": state})

    assert reading.ignored
    assert not reading.alerts


@pytest.mark.parametrize(
    ("body", "title", "sha", "version"),
    [
        ({"ref": "refs/heads/trunk", "after": "b" * 40}, "Push to trunk: Round once", "b" * 40, None),
        ({"ref": "refs/heads/trunk", "after": "b" * 40, "forced": True}, "Forced push to trunk: Round once", "b" * 40, None),
        ({"ref": "refs/heads/a/b", "after": "b" * 40, "created": True}, "New branch a/b: Round once", "b" * 40, None),
        ({"ref": "refs/tags/v1", "after": "b" * 40, "created": True}, "New tag v1: Round once", "b" * 40, "v1"),
        ({"ref": "refs/tags/v1", "after": NOBODY, "deleted": True, "head_commit": None}, "Deleted tag v1", None, "v1"),
    ],
)
def test_what_was_pushed(body, title, sha, version):
    alert = one(
        "push", **{"before": "a" * 40, "head_commit": {"message": "Round once\n\nNot twice."}, "pusher": {"name": "ana"}} | body
    )

    assert alert.title == title
    assert (alert.kind, alert.status) == (Kind.CHANGE, Status.INFO)
    assert (alert.change.kind, alert.change.sha, alert.change.version, alert.change.by) == (ChangeKind.PUSH, sha, version, "ana")


def test_a_push_was_when_the_repository_says_and_not_when_its_commit_was_made():
    alert = one("push", ref="refs/heads/trunk", after="b", head_commit={"message": "x", "timestamp": "2026-07-01T00:00:00Z"})

    assert (alert.started_at, alert.defaults) == (EARLIER, ())


def test_each_push_is_a_change_of_its_own():
    pushes = [
        one("push", ref="refs/heads/trunk", before=before, after=after) for before, after in (("a", "b"), ("b", "a"), ("a", "b"))
    ]

    assert pushes[0].change.identity == pushes[2].change.identity != pushes[1].change.identity


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("published", ChangeState.SUCCEEDED), ("deleted", ChangeState.CANCELED), ("unpublished", ChangeState.CANCELED),
        ("created", None), ("released", None), ("prereleased", None), ("edited", None),
    ],
)  # fmt: skip
def test_a_release_is_told_once(action, state):
    reading = read("release", action=action, release={"id": 3, "tag_name": "v2", "name": "", "published_at": AT})

    assert [alert.change.state for alert in reading.alerts] == ([state] if state else [])
    assert bool(reading.ignored) is (state is None)
    assert all((alert.title, alert.change.version) == (f"Release v2 {action}", "v2") for alert in reading.alerts)


OPEN, FIXED, GONE = FindingState.OPEN, FindingState.FIXED, FindingState.DISMISSED


@pytest.mark.parametrize(
    ("event", "action", "state", "expected"),
    [
        ("dependabot_alert", "created", "open", (Status.FIRING, OPEN, False)),
        ("dependabot_alert", "reintroduced", "open", (Status.FIRING, OPEN, True)),
        ("dependabot_alert", "auto_reopened", "open", (Status.FIRING, OPEN, True)),
        ("dependabot_alert", "fixed", "fixed", (Status.RESOLVED, FIXED, False)),
        ("dependabot_alert", "dismissed", "dismissed", (Status.SUPPRESSED, GONE, False)),
        ("dependabot_alert", "auto_dismissed", "auto_dismissed", (Status.SUPPRESSED, GONE, False)),
        ("dependabot_alert", "assignees_changed", "open", (Status.FIRING, OPEN, False)),
        ("code_scanning_alert", "appeared_in_branch", "open", (Status.FIRING, OPEN, False)),
        ("code_scanning_alert", "reopened_by_user", "open", (Status.FIRING, OPEN, True)),
        ("code_scanning_alert", "closed_by_user", "dismissed", (Status.SUPPRESSED, GONE, False)),
        ("code_scanning_alert", "fixed", None, (Status.RESOLVED, FIXED, False)),
        ("code_scanning_alert", "closed_by_user", None, (Status.SUPPRESSED, GONE, False)),
    ],
)
def test_where_a_finding_stands(event, action, state, expected):
    alert = finding(event, action, state, fixed_at=AT, dismissed_at=AT)

    assert alert.kind is Kind.SECURITY_FINDING
    assert (alert.status, alert.finding.state, alert.finding.is_reopened) == expected
    assert (alert.finding.created_at, alert.ended_at) == (alert.started_at, None if alert.finding.state is OPEN else EARLIER)
    assert alert.defaults == ()


def test_a_finding_is_the_same_until_it_is_fixed_and_no_other():
    found = finding("dependabot_alert", "created", "open")

    assert found.identity == finding("dependabot_alert", "fixed", "fixed").identity
    assert found.identity != finding("code_scanning_alert", "created", "open").identity
    assert found.identity != finding("dependabot_alert", "created", "open", number=5).identity


def test_a_state_nobody_knows_counts_as_open_and_as_a_guess():
    alert = finding("code_scanning_alert", "pondered", "odd")

    assert (alert.status, alert.finding.state, alert.defaults) == (Status.FIRING, OPEN, ("status",))


def test_what_a_dependabot_alert_tells_of_the_package():
    advisory = {"ghsa_id": "GHSA-2222-3333-4444", "cve_id": None, "severity": "moderate", "summary": "Reads too far",
                "identifiers": [{"value": "CVE-2026-10001"}, "odd"], "cwes": [{"cwe_id": "CWE-125"}]}  # fmt: skip
    alert = finding(
        "dependabot_alert", "created", "open", security_advisory=advisory,
        dependency={"package": {"name": "leftpad", "ecosystem": "npm"}, "manifest_path": "package.json"},
        security_vulnerability={"first_patched_version": {"identifier": "2.0.1"}},
    )  # fmt: skip

    assert (alert.title, alert.severity, alert.source_severity) == ("Reads too far", Severity.MEDIUM, "moderate")
    assert (alert.finding.package, alert.finding.fixed_in, alert.finding.rule) == ("leftpad", "2.0.1", "GHSA-2222-3333-4444")
    assert alert.finding.identifiers == ("GHSA-2222-3333-4444", "CVE-2026-10001", "CWE-125")
    assert alert.labels["manifest_path"] == "package.json"


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ({"security_severity_level": "critical", "severity": "warning"}, Severity.CRITICAL),
        ({"security_severity_level": None, "severity": "error"}, Severity.HIGH),
        ({"severity": "warning"}, Severity.MEDIUM), ({"severity": "note"}, Severity.LOW), ({"severity": "none"}, Severity.INFO),
        ({}, Severity.UNKNOWN), ({"severity": "odd"}, Severity.UNKNOWN),
    ],
)  # fmt: skip
def test_how_bad_code_scanning_says_it_is(rule, severity):
    assert finding("code_scanning_alert", "created", "open", rule=rule).severity is severity


def test_what_code_scanning_tells_of_the_place():
    rule = {"id": "js/xss", "description": "A page made of what was typed in", "tags": ["security", "external/cwe/cwe-079"]}
    seen = {"location": {"path": "web/app.js", "start_line": 12}}
    alert = finding("code_scanning_alert", "closed_by_user", "dismissed", rule=rule, most_recent_instance=seen,
                    dismissed_reason="used in tests", dismissed_comment="A fixture")  # fmt: skip

    assert (alert.description, alert.labels["path"]) == ("web/app.js:12", "web/app.js")
    assert (alert.finding.rule, alert.finding.identifiers) == ("js/xss", ("CWE-79",))
    assert alert.finding.reason == "used in tests – A fixture"


def test_numbers_are_found_in_the_rules_of_scanners_that_put_them_there():
    rule = {"id": "SCAN_CVE-2026-10001_jar", "description": "CVE-2026-10002 in a jar"}

    assert finding("code_scanning_alert", "created", "open", rule=rule).finding.identifiers == ("CVE-2026-10002",)


@pytest.mark.parametrize(
    ("action", "more", "status", "state"),
    [
        ("created", {"state": "open"}, Status.FIRING, OPEN),
        ("publicly_leaked", {"publicly_leaked": True}, Status.FIRING, OPEN),
        ("validated", {"validity": "active"}, Status.FIRING, OPEN),
        ("reopened", {"resolution": None}, Status.FIRING, OPEN),
        ("resolved", {"state": "resolved", "resolution": "revoked"}, Status.RESOLVED, FIXED),
        ("resolved", {"resolution": "false_positive", "resolution_comment": "A sample"}, Status.RESOLVED, GONE),
        ("revoked", {}, Status.RESOLVED, FIXED),
    ],
)
def test_where_a_secret_stands(action, more, status, state):
    alert = finding("secret_scanning_alert", action, resolved_at=AT, secret_type="acme_key", **more)

    assert (alert.status, alert.finding.state, alert.severity) == (status, state, Severity.CRITICAL)
    assert alert.title == "Exposed secret: acme_key"


def test_a_secret_itself_is_not_passed_on():
    alert = finding("secret_scanning_alert", "created", "open", secret_type="acme_key", secret="canary-99")

    assert "canary-99" not in repr(alert)


def test_an_advisory_is_news_and_no_finding_of_ours():
    alert = one("security_advisory", repository=None, action="published", security_advisory={
        "ghsa_id": "GHSA-2222-3333-4444", "severity": "moderate", "summary": "Reads too far", "published_at": AT})  # fmt: skip

    assert (alert.status, alert.severity, alert.finding, alert.service) == (Status.INFO, Severity.MEDIUM, None, None)
    assert alert.url == "https://github.com/advisories/GHSA-2222-3333-4444"


@pytest.mark.parametrize("example", SOURCE.examples, ids=lambda example: example.name)
def test_a_body_that_was_kept_without_its_headers_is_known_by_what_is_in_it(example):
    body = example.body_at(NOW)

    with_headers = Delivery(body, {name.lower(): value for name, value in example.headers.items()}, "main", NOW)

    assert SOURCE.parse(Delivery(body, {}, "main", NOW), {}) == SOURCE.parse(with_headers, {})


@pytest.mark.parametrize("body", [{"deployment": {"id": 1}, "workflow_run": None}, {"zen": "x"}, {"check_run": {"id": 1}}])
def test_other_bodies_are_known_too(body):
    reading = read(None, **body)

    assert reading.alerts or reading.ignored


def test_a_body_that_tells_nothing_is_refused():
    with pytest.raises(Unreadable, match="X-GitHub-Event: missing"):
        read(None, action="created")


@pytest.mark.parametrize(
    ("event", "body", "says"),
    [
        ("workflow_run", {}, "workflow_run: missing"),
        ("workflow_run", {"workflow_run": []}, "workflow_run: expected an object, got a list"),
        ("push", {"repository": "acme"}, "repository: expected an object, got text"),
        ("dependabot_alert", {"alert": {"number": 1, "dependency": 3}}, "alert.dependency: expected an object, got a number"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(event, body, says):
    with pytest.raises(Unreadable, match=says):
        read(event, **body)


NAMES = some.sampled_from(
    ["action", "alert", "repository", "sender", "workflow_run", "check_run", "deployment", "deployment_status", "release", "push",
     "conclusion", "state", "number", "rule", "tags", "identifiers", "cwes", "head_commit", "commits", "pusher", "security_advisory",
     "steps", "output", "check_suite", "app", "created_at", "id", "ref", "after", "first_patched_version", "dependency"]
)  # fmt: skip
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.sampled_from(["failure", "open", "success", "published", AT, ""]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=8),
    max_leaves=25,
)


@given(event=some.sampled_from([*READERS, *RUNS]), body=some.dictionaries(NAMES, VALUES, max_size=10))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_odd_body_is_read_or_refused_and_never_an_error(event, body):
    try:
        reading = SOURCE.parse(sent(event, body), {})
    except Unreadable as error:
        assert error.reason
    else:
        assert bool(reading.ignored) != bool(reading.alerts)
        assert all(alert.title and alert.identity for alert in reading.alerts)


def test_a_run_a_deployment_and_a_finding_say_when_they_came_to_stand_so():
    check = {"id": 1, "name": "Tests", "head_sha": "abc", "conclusion": "failure", "started_at": BEFORE, "completed_at": AT}

    told = (workflow("failure"), workflow("success"), one("check_run", check_run=check), deployed("success"))

    assert {alert.changed_at for alert in told} == {EARLIER}
    assert workflow("failure", updated_at=None).changed_at is None


def job(conclusion: str, **more: Any) -> Alert:
    run = {"id": 1, "name": "build", "head_branch": "trunk", "conclusion": conclusion, "started_at": BEFORE, "completed_at": AT}
    return one("workflow_job", workflow_job=run | more)


LATER = EARLIER + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fired", "over", "is_late"),
    [
        # A run that failed before the next one of its workflow succeeded.
        (workflow("failure"), workflow("success", id=2), True),
        (job("failure", workflow_name="Deploy"), job("success", workflow_name="Deploy"), True),
        # In a repository with several services one may be deployed, and another not.
        (deployed("failure", number=1), deployed("success", number=2), False),
        (job("failure"), job("success"), False),
    ],
)
def test_what_failed_is_late_only_where_what_succeeded_is_the_same(fired, over, is_late):
    assert fired.identity == over.identity
    assert was_overtaken(fired, Ended(LATER, NOW), NOW) is is_late
    # A success from before the failure ends it in no case.
    assert over.changed_at == EARLIER


@pytest.mark.parametrize(
    ("action", "more", "changed_at"),
    [
        ("created", {}, datetime(2026, 8, 1, 9, 0, tzinfo=UTC)),
        ("created", {"updated_at": AT}, EARLIER),
        ("fixed", {"fixed_at": AT, "updated_at": "2026-08-01T09:45:00Z"}, EARLIER),
        ("reopened", {"updated_at": AT}, EARLIER),
        # Its creation is no time of that.
        ("reopened", {}, None),
    ],
)
def test_a_finding_that_was_found_or_fixed_says_when(action, more, changed_at):
    assert finding("dependabot_alert", action, **more).changed_at == changed_at
