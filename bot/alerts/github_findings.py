"""What GitHub finds: packages with known holes, its code scanning's findings, secrets in the code; and new advisories."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.alerts.alert import Alert, FindingState, Kind, SecurityFinding, Severity, Status
from bot.alerts.github_event import Event, first_moment, said
from bot.alerts.reading import first, links_from, long, object_at, severity_of, short, text_of, web_url
from bot.alerts.source import Reading

STATES = {
    "open": FindingState.OPEN,
    "fixed": FindingState.FIXED,
    "dismissed": FindingState.DISMISSED,
    "auto_dismissed": FindingState.DISMISSED,
}
BY_ACTION = {
    "created": FindingState.OPEN,
    "reopened": FindingState.OPEN,
    "reopened_by_user": FindingState.OPEN,
    "auto_reopened": FindingState.OPEN,
    "reintroduced": FindingState.OPEN,
    "appeared_in_branch": FindingState.OPEN,
    "fixed": FindingState.FIXED,
    "closed_by_user": FindingState.DISMISSED,
    "dismissed": FindingState.DISMISSED,
    "auto_dismissed": FindingState.DISMISSED,
}
"""Where the payload names no state: some of code scanning's do not."""
REOPENED = frozenset({"reopened", "reopened_by_user", "auto_reopened", "reintroduced"})
STATUSES = {
    FindingState.OPEN: Status.FIRING,
    FindingState.FIXED: Status.RESOLVED,
    FindingState.DISMISSED: Status.SUPPRESSED,
}
RULE_SEVERITIES = {"note": Severity.LOW, "none": Severity.INFO}
"""Words of code scanning that mean something else elsewhere, or nothing."""
NUMBERED = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[0-9a-z]{4}){3})\b", re.ASCII)
WEAKNESS = re.compile(r"cwe-0*(\d+)$", re.ASCII | re.IGNORECASE)


def dependabot_alert(event: Event) -> Reading:
    """A package that is used, and has a known hole."""
    alert = event.part("alert")
    advisory = object_at(alert.get("security_advisory"), "alert.security_advisory")
    hole = object_at(alert.get("security_vulnerability"), "alert.security_vulnerability")
    used = object_at(alert.get("dependency"), "alert.dependency")
    package = _object(used.get("package")) or _object(hole.get("package"))
    word = first(advisory.get("severity"), hole.get("severity"))
    state, defaults = _state(event, alert)
    finding = SecurityFinding(
        state=state,
        rule=first(advisory.get("ghsa_id")),
        identifiers=_identifiers(advisory),
        package=first(package.get("name")),
        fixed_in=_patched(hole),
        created_at=first_moment(alert.get("created_at")),
        is_reopened=event.action in REOPENED,
        reason=_reason(alert),
    )
    return _found(
        event,
        alert,
        finding,
        STATUSES[state],
        title=first(advisory.get("summary"), finding.rule) or "A package with a known hole",
        description=first(advisory.get("description")),
        severity=severity_of(word),
        word=word,
        labels={
            "package": finding.package,
            "ecosystem": package.get("ecosystem"),
            "manifest_path": used.get("manifest_path"),
            "scope": used.get("scope"),
        },
        defaults=defaults,
    )


def code_scanning_alert(event: Event) -> Reading:
    """A place in the code that a tool complains of."""
    alert = event.part("alert")
    rule = object_at(alert.get("rule"), "alert.rule")
    place = _place(alert)
    word = first(rule.get("security_severity_level"), rule.get("severity"))
    state, defaults = _state(event, alert)
    told = first(rule.get("description"), rule.get("name"))
    finding = SecurityFinding(
        state=state,
        rule=first(rule.get("id")),
        identifiers=_unique([*_numbers(f"{first(rule.get('id'))} {told}"), *_weaknesses(rule.get("tags"))]),
        created_at=first_moment(alert.get("created_at")),
        is_reopened=event.action in REOPENED,
        reason=_reason(alert),
    )
    at = ":".join(filter(None, (first(place.get("path")), first(place.get("start_line")))))
    return _found(
        event,
        alert,
        finding,
        STATUSES[state],
        title=first(told, finding.rule) or "A finding without a name",
        description="\n".join(filter(None, (first(rule.get("full_description")), at))),
        severity=RULE_SEVERITIES.get(word.lower()) or severity_of(word),
        word=word,
        labels={
            "rule": finding.rule,
            "tool": _object(alert.get("tool")).get("name"),
            "ref": event.body.get("ref"),
            "path": place.get("path"),
        },
        defaults=defaults,
    )


def secret_scanning_alert(event: Event) -> Reading:
    """A secret in the code. Whatever it was resolved for, GitHub calls it resolved, and so do we."""
    alert = event.part("alert")
    resolution = first(alert.get("resolution")).lower()
    is_over = bool(resolution) or first(alert.get("state")).lower() == "resolved" or event.action in ("resolved", "revoked")
    closed = FindingState.FIXED if resolution in ("", "revoked") else FindingState.DISMISSED
    finding = SecurityFinding(
        state=closed if is_over else FindingState.OPEN,
        rule=first(alert.get("secret_type")),
        created_at=first_moment(alert.get("created_at")),
        is_reopened=event.action in REOPENED,
        reason=" – ".join(filter(None, (resolution, first(alert.get("resolution_comment"))))),
    )
    name = first(alert.get("secret_type_display_name"), finding.rule) or "of a kind without a name"
    return _found(
        event,
        alert,
        finding,
        Status.RESOLVED if is_over else Status.FIRING,
        title=f"Exposed secret: {name}",
        description="It is known outside of the company." if alert.get("publicly_leaked") is True else "",
        severity=Severity.CRITICAL,
        word="",
        labels={"secret_type": finding.rule, "validity": alert.get("validity")},
        defaults=(),
    )


def security_advisory(event: Event) -> Reading:
    """An advisory of GitHub's database: news for everybody, and no finding in anything of ours."""
    advisory = event.part("security_advisory")
    number, word = first(advisory.get("ghsa_id")), first(advisory.get("severity"))
    started_at, _, defaults = event.times(Status.INFO, first_moment(advisory.get("published_at"), advisory.get("updated_at")), None)
    numbers = _identifiers(advisory)
    alert = Alert(
        source="github",
        identity=f"advisory/{number or first(advisory.get('summary'))}",
        kind=Kind.SECURITY_FINDING,
        status=Status.INFO,
        title=short(first(advisory.get("summary"), number) or "An advisory without a name"),
        description=long(first(advisory.get("description"))),
        severity=severity_of(word),
        labels=said({"ghsa_id": number, "identifiers": ", ".join(numbers)}),
        url=web_url(advisory.get("html_url")) or (web_url(f"https://github.com/advisories/{number}") if number else None),
        started_at=started_at,
        source_status=event.action or None,
        source_severity=word or None,
        defaults=defaults,
        attributes=event.body,
    )
    return Reading(alerts=(alert,))


def _found(
    event: Event, alert: Mapping[str, Any], finding: SecurityFinding, status: Status, *, title: str, description: str,
    severity: Severity, word: str, labels: Mapping[str, Any], defaults: Sequence[str],
) -> Reading:  # fmt: skip
    """A finding as the alert that tells of it."""
    ended = first_moment(alert.get("fixed_at"), alert.get("resolved_at"))
    started_at, ended_at, filled = event.times(status, finding.created_at, ended)
    if status is Status.SUPPRESSED:
        ended_at = first_moment(alert.get("dismissed_at"), alert.get("auto_dismissed_at"))
    number = first(alert.get("number"), alert.get("html_url"), finding.rule)
    url = web_url(alert.get("html_url"))
    one = Alert(
        source="github",
        identity=f"{event.scope}/{event.name}/{number}",
        kind=Kind.SECURITY_FINDING,
        status=status,
        title=short(title),
        description=long(description),
        severity=severity,
        service=event.service,
        labels=said({**labels, "repository": event.service}),
        url=url or event.page("security"),
        links=links_from([("source", url, f"Alert {number}")]),
        started_at=started_at,
        ended_at=ended_at,
        changed_at=_changed_at(event, alert, ended),
        source_status=first(alert.get("state"), event.action) or None,
        source_severity=word or None,
        defaults=(*filled, *defaults),
        # The secret itself has no business anywhere else.
        attributes={**event.body, "alert": {name: value for name, value in alert.items() if name != "secret"}},
        finding=finding,
    )
    return Reading(alerts=(one,))


def _changed_at(event: Event, alert: Mapping[str, Any], ended: datetime | None) -> datetime | None:
    """When it came to stand as it does. One that is open again keeps the time at which it was found, and may say no other."""
    told = ended or first_moment(alert.get("updated_at"))
    return told or (first_moment(alert.get("created_at")) if event.action == "created" else None)


def _state(event: Event, alert: Mapping[str, Any]) -> tuple[FindingState, tuple[str, ...]]:
    """What is said of its state; what is not understood counts as open, and as a guess."""
    known = STATES.get(first(alert.get("state")).lower()) or BY_ACTION.get(event.action)
    return (known, ()) if known else (FindingState.OPEN, ("status",))


def _reason(alert: Mapping[str, Any]) -> str:
    return " – ".join(filter(None, (first(alert.get("dismissed_reason")), first(alert.get("dismissed_comment")))))


def _identifiers(advisory: Mapping[str, Any]) -> tuple[str, ...]:
    listed = [first(one.get("value")) for one in _objects(advisory.get("identifiers"))]
    weaknesses = [first(one.get("cwe_id")) for one in _objects(advisory.get("cwes"))]
    return _unique([first(advisory.get("cve_id")), first(advisory.get("ghsa_id")), *listed, *weaknesses])


def _numbers(text: str) -> list[str]:
    return NUMBERED.findall(text)


def _weaknesses(tags: Any) -> list[str]:
    """`external/cwe/cwe-089` as CWE-89."""
    found = (WEAKNESS.search(text_of(one)) for one in tags) if isinstance(tags, list) else ()
    return [f"CWE-{one.group(1)}" for one in found if one]


def _patched(hole: Mapping[str, Any]) -> str:
    """The first version without the hole: an object here, plain text in GitHub's other form."""
    value = hole.get("first_patched_version")
    return first(value.get("identifier")) if isinstance(value, dict) else first(value)


def _place(alert: Mapping[str, Any]) -> dict[str, Any]:
    """Where in the code it was last seen."""
    seen = _object(alert.get("most_recent_instance")) or next(iter(_objects(alert.get("instances"))), {})
    return _object(seen.get("location"))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _unique(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in given if one))
