"""What a sender's words say of a change: what was changed, how far it is, and whether its failure is an alert. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bot.alerts.alert import ChangeKind, ChangeState, Kind, Severity, Status

KINDS: Mapping[ChangeKind, Sequence[str]] = {
    ChangeKind.DEPLOYMENT: ("deployment", "deploy", "deployed", "rollout"),
    ChangeKind.PROMOTION: ("promotion", "promote", "promoted"),
    ChangeKind.ROLLBACK: ("rollback", "rolledback", "revert", "reverted"),
    ChangeKind.PUSH: ("push", "pushed", "merge", "merged", "commit"),
    ChangeKind.RELEASE: ("release", "released"),
    ChangeKind.FLAG: ("flag", "featureflag", "toggle"),
    ChangeKind.CONFIGURATION: ("configuration", "config", "keyvalue", "settings"),
    ChangeKind.CHANGE: ("change", "migration", "maintenance"),
}
STATES: Mapping[ChangeState, Sequence[str]] = {
    ChangeState.STARTED: (
        "started", "pending", "queued", "waiting", "scheduled", "requested", "inprogress", "progressing", "running", "deploying",
        "blocked", "terminating",
    ),
    ChangeState.SUCCEEDED: (
        "succeeded", "success", "successful", "finished", "completed", "complete", "done", "ok", "ready", "synced", "deployed",
        "promoted", "published", "applied", "updated", "changed", "modified", "created", "added", "deleted", "removed", "archived",
        "restored", "toggled", "enabled", "disabled", "on", "off", "turnedon", "turnedoff",
        "healthy", "passed", "passing", "pass", "fixed", "green", "good", "clear",
    ),
    ChangeState.FAILED: ("failed", "fail", "failure", "error", "errored", "degraded", "timeout", "timedout", "unhealthy", "crashed"),
    ChangeState.CANCELED: ("canceled", "cancelled", "aborted", "rejected", "denied", "skipped"),
}  # fmt: skip
KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
STATE_OF = {word: state for state, words in STATES.items() for word in words}
IN_A_TYPE = {
    word: kind
    for word, kind in KIND_OF.items()
    if kind is not ChangeKind.CHANGE and word not in ("revert", "reverted", "merge", "merged", "commit", "promoted", "released")
}
"""What is a kind of change inside an event's type, too: people are promoted, orders released and prices changed as well."""
PLACED = frozenset({ChangeKind.DEPLOYMENT, ChangeKind.PROMOTION, ChangeKind.ROLLBACK})
"""Kinds that put a version of a service in place."""
WORDS = {
    ChangeKind.DEPLOYMENT: "deployment", ChangeKind.PROMOTION: "promotion", ChangeKind.ROLLBACK: "roll-back",
    ChangeKind.PUSH: "push", ChangeKind.RELEASE: "release", ChangeKind.FLAG: "flag", ChangeKind.CONFIGURATION: "configuration",
    ChangeKind.CHANGE: "change",
}  # fmt: skip
PRODUCTION = frozenset({"production", "prod", "prd", "live"})
NEARLY = frozenset({"pre", "non", "not", "no"})
"""What a name begins with that has "production" in it, and is not."""
VERSION = re.compile(r"[.\-/]v?\d+(?:\.\d+)*(?:-[a-z]+)?$", re.ASCII)
ONE_WORD = re.compile(
    r"(?i)(?<![a-z0-9])(feature|in|key|roll|rolled|turned)[_-]?(flag|progress|value|back|on|off)(?![a-z])", re.ASCII
)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
PARTS = re.compile(r"[^A-Za-z0-9]+")


def kind_of(word: str) -> ChangeKind | None:
    """The kind of change that a word names; None for one that names none."""
    return KIND_OF.get(_plain(word))


def state_of(word: str) -> ChangeState | None:
    """How far a change is, by a word, or by the end of one (`ReconciliationFailed`); None for one that does not say."""
    if (whole := STATE_OF.get(_plain(word))) is not None:
        return whole
    parts = [one.lower() for one in PARTS.split(CAMEL.sub(".", word.strip())) if one]
    return STATE_OF.get(parts[-1]) if parts and " " not in word.strip() and "not" not in parts else None


def told_by(type_: str) -> tuple[ChangeKind, ChangeState | None] | None:
    """What an event's type says of a change: `com.example.deployment.failed`, `FLAG_UPDATED`, `feature-flag.toggled.v1`.

    None where it says nothing of one. The kind is the last word, or stands before the state, which is then the last: of a
    service that is called `config-service` nothing is changed when its backup fails.
    """
    stem = ONE_WORD.sub(r"\1\2", VERSION.sub("", type_))
    words = [one.lower() for one in PARTS.split(CAMEL.sub(".", stem)) if one]
    # `KeyValueModified` is parted where `key-value.modified` is not.
    words = [*words[:-3], "keyvalue", words[-1]] if words[-3:-1] == ["key", "value"] else words
    if not words:
        return None
    if (kind := IN_A_TYPE.get(words[-1])) is not None:
        return kind, None
    state = STATE_OF.get(words[-1])
    before = words[:-1]
    if before[-1:] == ["change"]:
        before = before[:-1]
    kind = IN_A_TYPE.get(before[-1]) if before else None
    if state is None or kind is None:
        return None
    return kind, ChangeState.STARTED if words[-1] == "created" and kind in PLACED else state


def meaning(
    kind: ChangeKind, state: ChangeState, *, is_production: bool, severity: Severity = Severity.HIGH
) -> tuple[Kind, Status, Severity]:
    """What an alert that tells of a change is: only in production its failure fires, until the next success there."""
    told = Kind.DEPLOYMENT if kind in PLACED else Kind.CHANGE
    if state is ChangeState.FAILED:
        return (Kind.ALERT, Status.FIRING, severity) if is_production else (told, Status.INFO, Severity.MEDIUM)
    is_end = is_production and state is ChangeState.SUCCEEDED
    return told, Status.RESOLVED if is_end else Status.INFO, Severity.INFO


def is_production(environment: str) -> bool:
    """Whether an environment's name says that it is production."""
    words = set(re.findall("[a-z]+", environment.lower()))
    return bool(words & PRODUCTION and not words & NEARLY)


def title_of(kind: ChangeKind, state: str, which: str, service: str, environment: str) -> str:
    """What to call a change that its sender does not name: "Deployment of 2.4.1 of checkout to production failed".

    `state` is how far it is, or its sender's own word for it.
    """
    what = "".join(f" of {one}" for one in (which, service) if one)
    where = f" {'to' if kind in PLACED else 'in'} {environment}" if environment else ""
    return f"{WORDS[kind].capitalize()}{what}{where} {state}"


def who(value: Any) -> str:
    """A person's name where the sender writes an object: the first of name, login, e-mail address … that is there."""
    if not isinstance(value, Mapping):
        return ""
    whole = " ".join(one for one in (value.get("firstName"), value.get("lastName")) if isinstance(one, str) and one)
    names = (value.get(name) for name in ("name", "login", "username", "displayName", "email"))
    return next((one for one in (*names, whole) if isinstance(one, str) and one.strip()), "").strip()


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word.strip().lower())
