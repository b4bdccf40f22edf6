"""Any JSON: our own documented schema, common names for its fields, or a mapping in the policy.

    {"title": …, "status": "firing" or "resolved", "severity": …, "service": …, "environment": …, "dedup_key": …,
     "description": …, "url": …, "starts_at": …, "ends_at": …, "changed_at": …, "labels": {…},
     "links": [{"title": …, "url": …}]}

Only `title` is needed. With `changed_at` in every report, when it came to stand as it does, what comes late counts as late. A
list of such objects, or {"alerts": [ … ]}, is several alerts.

With a `kind` it tells of a change, which goes to the change log and wakes nobody:

    {"kind": "deployment", "promotion", "rollback", "push", "release", "flag", "configuration" or "change",
     "status": "started", "succeeded", "failed" or "canceled", "service": …, "environment": …, "sha": …, "version": …,
     "ref": …, "by": …, "title": …, "description": …, "url": …, "starts_at": …, "dedup_key": the same through its states}

Without `status` it is done; a `status` that is none of these words, nor like one, is logged as it is and ends nothing. One that
failed in production, in an environment that is not named, or with a `severity` other than info, is an alert as well, until the
next success there: of the same service and environment, and where it is no deployment of the same `kind` and `ref`. An alert's
own word (`firing`, `resolved` …) or a severity beside a `kind` that says nothing of a change makes it the alert that it would be
without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.alerts import changes, signatures
from bot.alerts.alert import Alert, Change, ChangeKind, ChangeState, Link, Severity, Status
from bot.alerts.reading import (
    ENVIRONMENT_LABELS,
    SERVICE_LABELS,
    first,
    first_label,
    json_value,
    kind_of,
    label_hash,
    links_from,
    list_at,
    long,
    moment,
    object_at,
    severity_of,
    short,
    texts_at,
    web_url,
)
from bot.alerts.source import Delivery, Example, Reading
from bot.errors import Unreadable

SETUP = """\
curl -X POST {url} \\
  -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \\
  -d '{{"title": "Nightly export failed", "status": "firing", "severity": "high", "service": "platform",
       "dedup_key": "nightly-export", "url": "https://jobs.example.com/nightly-export"}}'
# Send the same dedup_key with "status": "resolved" when it is over.
# Where you cannot choose the body, map its fields in policy.yaml:
#   generic:
#     ROUTE: {{title: job.name, status: job.state, dedup_key: job.id || run.id}}
# A deployment, a flag, a configuration that was changed; the card shows it as a change before the start:
#   -d '{{"kind": "deployment", "status": "succeeded", "service": "checkout", "environment": "production", "sha": "1a2b3c4",
#        "by": "ana", "url": "https://ci.example.com/runs/77", "dedup_key": "run-77"}}'
# Where the body has no such word, the mapping gives it, with = before it:
#     flags: {{kind: =flag, title: name, by: member.email, starts_at: date, dedup_key: _id}}
"""
NAMES: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "alert_name", "alertname", "summary", "subject"),
    "status": ("status", "state", "alert_status"),
    "severity": ("severity", "priority", "level", "urgency"),
    "service": ("service", "service_name", "component", "application"),
    "environment": ("environment", "env"),
    "dedup_key": ("dedup_key", "alert_uid", "fingerprint", "incident_key", "id", "key"),
    "description": ("description", "message", "text", "details", "body"),
    "url": ("url", "link", "link_to_upstream_details"),
    "starts_at": ("starts_at", "startsAt", "started_at", "timestamp", "time"),
    "ends_at": ("ends_at", "endsAt", "ended_at", "resolved_at"),
    "changed_at": ("changed_at",),
    "labels": ("labels", "tags"),
    "links": ("links",),
    "kind": ("kind",),
    "sha": ("sha", "commit", "commit_sha", "git_sha", "revision"),
    "version": ("version", "tag", "image"),
    "ref": ("ref", "branch"),
    "by": ("by", "who", "user", "author", "actor", "deployed_by", "changed_by", "member"),
}
OF_SENDING = ("timestamp", "time")
"""Names of a start that for many senders are when they sent it."""
OF_A_CHANGE: dict[str, tuple[str, ...]] = {
    "status": (*NAMES["status"], "phase", "result", "outcome"),
    "starts_at": (*NAMES["starts_at"], "date", "deployed_at", "changed_at"),
    "dedup_key": ("dedup_key", "id", "_id", "deployment_id", "run_id", "change_id"),
}
"""Names that are looked for where a body tells of a change."""
OF_A_SWITCH: dict[str, tuple[str, ...]] = OF_A_CHANGE | {
    "dedup_key": ("dedup_key", "_id", "change_id"),
    "ref": ("flag", "flag_key", "setting", "key", *NAMES["ref"]),
}
"""The same, of a flag or a setting: what has its name, or its id, is changed again and again."""
SWITCHED = frozenset({ChangeKind.FLAG, ChangeKind.CONFIGURATION})
ALSO_WELL = (
    "healthy",
    "passed",
    "passing",
    "pass",
    "fixed",
    "green",
    "good",
    "clear",
    "successful",
)
"""Words that say that a thing is well where a status is asked for. Elsewhere they are said of anything: of a deployment, of an
order. That a job is done or completed does not say how it ended.
"""
ALSO_BAD = ("unhealthy", "fail", "degraded", "red", "bad", "broken", "unreachable", "timeout", "breached")
"""The same, of what is not well."""
STATUSES = {
    Status.FIRING: (
        "firing", "alerting", "triggered", "trigger", "open", "active", "problem", "down", "failed", "failure",
        "failing", "error", "critical", "warning", "alarm", "true", *ALSO_BAD,
    ),
    Status.RESOLVED: (
        "resolved", "resolve", "ok", "closed", "recovered", "recovery", "up", "success", "succeeded", "normal",
        "inactive", "cleared", "false", *ALSO_WELL,
    ),
    Status.ACKNOWLEDGED: ("acknowledged", "acknowledge", "acked"),
    Status.SUPPRESSED: ("suppressed", "silenced", "muted", "ignored"),
    Status.INFO: ("info", "information", "test"),
}  # fmt: skip
WORD = "="
"""What begins a word in a mapping that stands for itself, and is no place in the body."""
BY_WORD = {word: status for status, words in STATUSES.items() for word in words}
OF_AN_ALERT = frozenset(BY_WORD).difference(
    changes.STATE_OF,
    ALSO_WELL,
    ALSO_BAD,
    ("open", "active", "inactive", "up", "true", "false", "normal", "info", "information", "test", "closed"),
)
"""Words that no change is in: what is in one of them is an alert, whatever its `kind` says."""


class Generic(signatures.ByToken):
    """JSON from anywhere."""

    name = "generic"
    title = "Generic JSON"
    setup = SETUP
    identity_window_seconds: int | None = None

    @property
    def examples(self) -> Sequence[Example]:
        """A job that failed, the same job well again, and a deployment."""
        return EXAMPLES

    def delivery_id(self, delivery: Delivery) -> str:
        """Its Idempotency-Key, where the sender gives one, and what it says; else each is one of its own.

        Another body under a key that was used before is a mistake of its sender's; it is not lost for that.
        A job that fails, is well and fails again may say the same words three times within seconds, and each is news.
        One that is only sent again changes nothing: the rules know its alert.
        """
        content, given = signatures.content_id(delivery), delivery.headers.get("idempotency-key", "").strip()
        return f"{given[:80]}/{content[:32]}" if given else f"{content}@{delivery.received_at.timestamp():.6f}"

    def check(self, delivery: Delivery, mapping: Mapping[str, str]) -> None:
        """As `parse` refuses: nobody else will tell its author what is wrong."""
        self.parse(delivery, mapping)

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Each object. `mapping` is field -> dotted path, several parted by ||; `alerts` is where a list stands."""
        return Reading(alerts=read(json_value(delivery.body), mapping, delivery))


def read(body: Any, mapping: Mapping[str, str], delivery: Delivery, source: str = "generic") -> tuple[Alert, ...]:
    """The alerts of any body; also for a source whose sender lets people write one of their own."""
    return tuple(_alert(object_at(one, place), mapping, delivery, place, source) for place, one in _objects(body, mapping))


def _objects(body: Any, mapping: Mapping[str, str]) -> list[tuple[str, Any]]:
    path = mapping.get("alerts", "alerts")
    if isinstance(body, list):
        return [(f"[{index}]", one) for index, one in enumerate(list_at(body, "the body"))]
    if not isinstance(body, dict):
        raise Unreadable(f"expected a JSON object or a list of them, got {kind_of(body)}")
    inner = at_path(body, path)
    if inner is None and "alerts" in mapping:
        raise Unreadable(f"{path}: missing; the policy's mapping looks for the alerts there")
    if inner is not None:
        return [(f"{path}[{index}]", one) for index, one in enumerate(list_at(inner, path))]
    return [("the body", body)]


def at_path(value: Any, path: str) -> Any:
    """What stands at `a.b.0.c`; the first of several, parted by ||, that is there. `=word` is that word. None where there is none."""
    for one in map(str.strip, path.split("||")):
        found = one.removeprefix(WORD).strip() if one.startswith(WORD) else _walk(value, one.split("."))
        if found not in (None, ""):
            return found
    return None


def _walk(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object: where the mapping says that they stand, or under the names that senders have for them."""

    given: Mapping[str, Any]
    mapping: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]

    def __call__(self, name: str) -> Any:
        """What stands there; None where nothing does."""
        if name in self.mapping:
            return at_path(self.given, self.mapping[name])
        found = self.found_under(name)
        return self.given[found] if found else None

    def found_under(self, name: str) -> str:
        """The name that it has here; empty where it has none, or where a mapping says where it stands."""
        names = () if name in self.mapping else self.names.get(name) or NAMES[name]
        return next((one for one in names if self.given.get(one) not in (None, "")), "")


@dataclass(frozen=True, slots=True)
class Told:
    """What a body says of a change. `word` is its sender's own for how far that is, where we know none of that name."""

    kind: ChangeKind
    state: ChangeState
    word: str = ""


def _alert(given: Mapping[str, Any], mapping: Mapping[str, str], delivery: Delivery, place: str, source: str) -> Alert:
    told = _told(Fields(given, mapping, OF_A_CHANGE), place)
    if told is not None:
        names = OF_A_SWITCH if told.kind in SWITCHED else OF_A_CHANGE
        return _changed(Fields(given, mapping, names), told, delivery, place, source)
    field = Fields(given, mapping, NAMES)
    title = first(field("title"))
    if not title:
        names_ = mapping.get("title") or ", ".join(NAMES["title"])
        raise Unreadable(f"{place}: no title; looked for {names_}")
    labels = _labels(field("labels"), f"{place}.labels")
    severity = first(field("severity"), labels.get("severity"))
    status, defaults = _status(first(field("status")))
    started_at = moment(field("starts_at"))
    ended_at = moment(field("ends_at")) if status is Status.RESOLVED else None
    changed_at = moment(field("changed_at"))
    # What changed before it was sent may well have begun before that, too.
    is_sent = changed_at is not None and started_at is not None and changed_at < started_at
    is_sent = is_sent and field.found_under("starts_at") in OF_SENDING
    if started_at is None or is_sent:
        defaults = (*defaults, "started_at")
    if status is Status.RESOLVED and ended_at is None:
        ended_at, defaults = delivery.received_at, (*defaults, "ended_at")
    service = first(field("service")) or first_label(labels, SERVICE_LABELS)
    return Alert(
        source=source,
        identity=first(field("dedup_key"))[:300] or label_hash({**labels, "title": title, "service": service or ""}),
        status=status,
        title=short(title),
        severity=severity_of(severity) if severity else Severity.UNKNOWN,
        description=long(first(field("description"))),
        service=service or None,
        environment=first(field("environment")) or first_label(labels, ENVIRONMENT_LABELS),
        labels=labels,
        url=web_url(field("url")),
        links=_links(field("links")),
        started_at=started_at or delivery.received_at,
        ended_at=ended_at,
        # Not its start, which a sender may give again, nor its end: only what it says to be that.
        changed_at=_changed_at(changed_at, None if is_sent else started_at, delivery.received_at),
        source_status=first(field("status")) or None,
        source_severity=severity or None,
        defaults=defaults,
        attributes={key: value for key, value in given.items() if key not in ("labels", "links")},
    )


def _told(field: Fields, place: str) -> Told | None:
    """What the body says of a change; None where it is an alert.

    A `kind` that no mapping names may be anything: a Kubernetes object's (`Deployment`) is written with a capital, and what
    fires, or has a severity and says nothing of a change, wakes somebody as it did before. That a thing was updated, by its
    `kind` (`FLAG_UPDATED`), says too little beside a severity.
    """
    word, is_mapped = first(field("kind")), "kind" in field.mapping
    if not word:
        return None
    kind, state = changes.kind_of(word), None
    if kind is None:
        kind, state = changes.told_by(word) or (None, None)
    status = first(field("status"))
    if kind is None or not (is_mapped or word[0].islower()) or status.lower() in OF_AN_ALERT:
        return None
    own = changes.state_of(status)
    # A word that is there and not known is no end.
    said = own or (None if status and state is ChangeState.SUCCEEDED else state)
    says_little = said is None or (own is None and said is not ChangeState.FAILED and bool(first(field("title"))))
    severity = first(field("severity"), _labels(field("labels"), f"{place}.labels").get("severity"))
    if says_little and not is_mapped and is_severe(severity):
        return None
    if said is not None:
        return Told(kind, said)
    return Told(kind, ChangeState.UNKNOWN, status) if status else Told(kind, ChangeState.SUCCEEDED)


def is_severe(word: str) -> bool:
    """Whether a sender's word for a severity is there, and means that somebody may have to act."""
    return bool(word) and severity_of(word) is not Severity.INFO


def _changed(field: Fields, told: Told, delivery: Delivery, place: str, source: str) -> Alert:
    labels = _labels(field("labels"), f"{place}.labels")
    service = first(field("service")) or first_label(labels, SERVICE_LABELS) or ""
    environment = first(field("environment")) or first_label(labels, ENVIRONMENT_LABELS) or ""
    sha, version, ref = (first(field(name))[:300] for name in ("sha", "version", "ref"))
    which = version or sha or ref
    called = first(field("title"))
    if not called and not (service or which):
        raise Unreadable(f"{place}: a {told.kind.value} of nothing; looked for a title, a service, a version, a sha and a ref")
    state = told.word[:60] or told.state.value
    title = f"{called} ({state})" if called and told.word else called
    title = title or changes.title_of(told.kind, state, version or sha[:7] or ref, service, environment)
    word, key = first(field("severity"), labels.get("severity")), first(field("dedup_key"))[:200]
    kind, status, severity = changes.meaning(
        told.kind,
        told.state,
        # A success ends what failed there, wherever that is: with a severity it fired.
        is_production=not environment or changes.is_production(environment) or is_severe(word) or told.state is ChangeState.SUCCEEDED,
        severity=severity_of(word) if word else Severity.HIGH,
    )
    at, ended_at = moment(field("starts_at")), None
    missing = {"started_at": at is None, "status": bool(told.word)}
    if status is Status.RESOLVED:
        ended_at = moment(field("ends_at")) or at
        missing["ended_at"] = ended_at is None
    started_at = at or delivery.received_at
    identity = _change_identity(told.kind, key, (service, environment, which or called[:100]), started_at, is_named=bool(which))
    otherwise = sha or key or "/".join(filter(None, (version, ref, called[:100])))
    by = field("by")
    return Alert(
        source=source,
        identity=f"change/{identity}" if status is Status.INFO else where(told.kind, service, environment, ref, otherwise),
        kind=kind,
        status=status,
        title=short(title),
        severity=severity,
        description=long(first(field("description"))),
        service=service or None,
        environment=environment or None,
        labels=labels,
        url=web_url(field("url")),
        links=_links(field("links")),
        started_at=started_at,
        ended_at=ended_at or (delivery.received_at if status is Status.RESOLVED else None),
        source_status=first(field("status")) or None,
        source_severity=word or None,
        defaults=tuple(name for name, is_missing in missing.items() if is_missing),
        attributes={name: value for name, value in field.given.items() if name not in ("labels", "links")},
        change=Change(
            identity=identity,
            kind=told.kind,
            state=told.state,
            sha=sha or None,
            ref=ref or None,
            version=version or None,
            by=first(changes.who(by) if isinstance(by, dict | list) else by)[:200] or None,
            description=long(first(field("description"))),
        ),
    )


def where(kind: ChangeKind, service: str, environment: str, ref: str, otherwise: str) -> str:
    """What a failure and the next success in the same place share. One that succeeds is another change than the one that failed.

    `otherwise` tells those apart that name neither a service nor, of a switch, the switch.
    """
    what = "placed" if kind in changes.PLACED else f"{kind.value}/{ref}"
    is_named = bool(service) or (kind in SWITCHED and bool(ref))
    return f"change/{service}/{environment}/{what}" + ("" if is_named else f"/{otherwise}")


def _change_identity(kind: ChangeKind, key: str, about: Sequence[str], at: datetime, *, is_named: bool) -> str:
    """The same for one change through its states. Of one with no key and no version each report is one of its own."""
    if key:
        return f"{kind.value}/{key}"
    parts = (kind.value, *about) if is_named and kind not in SWITCHED else (at.isoformat(), kind.value, *about)
    return "/".join(parts)[:300]


def _changed_at(at: datetime | None, started_at: datetime | None, now: datetime) -> datetime | None:
    """When it came to stand as it does, by a clock that may be ahead: then what comes after it would be taken for older.

    Nothing changed before it began: then it is the time of something else, such as of who last edited its rule.
    """
    if at is None or (started_at is not None and at < started_at):
        return None
    return min(at, now)


def _status(word: str) -> tuple[Status, tuple[str, ...]]:
    """An unknown word is taken as firing, and said to be a guess: silence would be worse."""
    known = BY_WORD.get(word.strip().lower())
    return (known, ()) if known else (Status.FIRING, ("status",))


def _labels(value: Any, place: str) -> dict[str, str]:
    """A map, or a list of "name:value" or plain tags."""
    if isinstance(value, list):
        pairs = (first(one).partition(":") for one in value)
        return {name.strip(): rest.strip() or "true" for name, _, rest in pairs if name.strip()}
    return texts_at(value, place)


def _links(value: Any) -> tuple[Link, ...]:
    if not isinstance(value, list):
        return ()
    given = [one for one in value if isinstance(one, dict)]
    return links_from([(first(one.get("rel")) or "source", one.get("url"), first(one.get("title"))) for one in given])


def _example(name: str, status: Status) -> Example:
    def build(now: datetime) -> Mapping[str, object]:
        return {
            "title": "Nightly export failed",
            "status": status.value,
            "severity": "high",
            "service": "platform",
            "environment": "production",
            "dedup_key": "nightly-export",
            "description": "Step 3 of 7 ended with exit code 137.",
            "url": "https://jobs.example.com/nightly-export",
            "starts_at": (now.replace(microsecond=0) - timedelta(minutes=1)).isoformat(),
            "ends_at": now.replace(microsecond=0).isoformat() if status is Status.RESOLVED else None,
            "changed_at": now.replace(microsecond=0).isoformat(),
            "labels": {"job": "nightly-export", "region": "eu-1"},
            "links": [{"rel": "logs", "title": "Log", "url": "https://jobs.example.com/nightly-export/log"}],
        }

    return Example(name, f"Nightly export {'failed' if status is Status.FIRING else 'well again'}", status, build)


def _deployment(now: datetime) -> Mapping[str, object]:
    return {
        "kind": "deployment",
        "status": "succeeded",
        "service": "checkout",
        "environment": "production",
        "sha": "8f2c1d7a90b34e5f6a7b8c9d0e1f2a3b4c5d6e7f",
        "version": "2.41.0",
        "by": "ana",
        "description": "Retries for card payments.",
        "url": "https://ci.example.com/checkout/runs/77",
        "starts_at": (now.replace(microsecond=0) - timedelta(minutes=3)).isoformat(),
        "dedup_key": "checkout-run-77",
    }


EXAMPLES = (
    _example("nightly-export", Status.FIRING),
    _example("nightly-export-resolved", Status.RESOLVED),
    Example("deployment", "Checkout was deployed", Status.RESOLVED, _deployment),
)

SOURCE = Generic()
