"""The normalised alert: one model for every sender, with nothing lost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType

TITLE_LIMIT = 300
DESCRIPTION_LIMIT = 20_000


class Kind(StrEnum):
    """What sort of news a delivery carries. Only ALERT may page."""

    ALERT = "alert"
    INCIDENT_UPDATE = "incident_update"
    DEPLOYMENT = "deployment"
    CHANGE = "change"
    SECURITY_FINDING = "security_finding"
    QUALITY_GATE = "quality_gate"
    HEARTBEAT = "heartbeat"
    TEST = "test"
    CONTROL = "control"


class Status(StrEnum):
    """Where the alert stands, in the sender's own view."""

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"
    INFO = "info"


class Severity(StrEnum):
    """How bad the sender says it is. An incident's own severity (SEV1 to SEV5) comes from the route."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"
    UNKNOWN = "unknown"


class ChangeKind(StrEnum):
    """What was changed. A change is no alert, and rarely the cause of one; but people look there first."""

    DEPLOYMENT = "deployment"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    PUSH = "push"
    RELEASE = "release"
    FLAG = "flag"
    CONFIGURATION = "configuration"
    CHANGE = "change"


class ChangeState(StrEnum):
    """How far a change is, in the sender's own view."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """Its sender has a word for it that we do not know: neither a failure nor an end."""


class FindingState(StrEnum):
    """Where a security finding stands."""

    OPEN = "open"
    FIXED = "fixed"
    DISMISSED = "dismissed"


EMPTY: Mapping[str, str] = MappingProxyType({})
MOST_OF_A_SERVICE = 200
"""Incidents are looked for by their service, and PostgreSQL keeps no more than some 2,700 bytes of one in an index. Whole, it
stands in the label that it came from.
"""


@dataclass(frozen=True, slots=True)
class Link:
    """A way to see more. `rel` is runbook, dashboard, panel, silence, logs, trace or source; `url` is http(s)."""

    rel: str
    url: str
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an alert tells of a change; its service, environment, title, time and link are the alert's.

    `identity` is stable for one change through its states, within the source (a deployment's id, a commit).
    """

    identity: str
    kind: ChangeKind
    state: ChangeState
    sha: str | None = None
    ref: str | None = None
    version: str | None = None
    by: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityFinding:
    """What an alert tells of a security finding; its severity, service, title and link are the alert's.

    `identifiers` are CVE, GHSA and CWE numbers. `created_at` is when the sender found it, not when it told us; None where
    it does not say.
    """

    state: FindingState
    rule: str = ""
    identifiers: tuple[str, ...] = ()
    package: str = ""
    fixed_in: str = ""
    created_at: datetime | None = None
    is_reopened: bool = False
    reason: str = ""
    """Why it was dismissed, in the sender's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as one sender reported it.

    `identity` is stable across firing and resolving, within `source` (a fingerprint, an issue id).
    `occurrence` names one cycle of it where the sender tells. Text is plain and unescaped: whoever shows it escapes it.
    Times are aware and in UTC; `ended_at` is None while firing. `defaults` names the fields
    ("started_at", "severity", "title") that the sender left out or garbled and that were filled in, so that
    they can be shown as such.

    `changed_at` is when it came to stand as it does, where its sender says so in every report of a change: it tells what
    was overtaken on its way. None where nothing does; then what comes later counts as later. With `restarts` its sender
    may rightly give an old start again once it was over.
    """

    source: str
    identity: str
    status: Status
    title: str
    kind: Kind = Kind.ALERT
    severity: Severity = Severity.UNKNOWN
    description: str = ""
    service: str | None = None
    environment: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    links: tuple[Link, ...] = ()
    started_at: datetime
    ended_at: datetime | None = None
    changed_at: datetime | None = None
    restarts: bool = False
    group_key: str | None = None
    occurrence: str | None = None
    source_status: str | None = None
    source_severity: str | None = None
    no_data: bool = False
    truncated_count: int = 0
    defaults: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    change: Change | None = None
    finding: SecurityFinding | None = None
    was_info: bool = False
    """Its sender calls it information, and a route takes it as firing: a match still finds the status info."""

    def __post_init__(self) -> None:
        if self.service is not None and len(self.service) > MOST_OF_A_SERVICE:
            object.__setattr__(self, "service", self.service[: MOST_OF_A_SERVICE - 1] + "…")

    @property
    def says_severity(self) -> bool:
        """Whether its sender says how bad it is, in words that are known."""
        return self.severity is not Severity.UNKNOWN and "severity" not in self.defaults

    def fingerprint(self, route: str) -> str:
        """The same for every report of this alert through `route`, firing or resolved; 32 hex digits."""
        text = "\x1f".join((route, self.source, self.identity))
        return sha256(text.encode()).hexdigest()[:32]
