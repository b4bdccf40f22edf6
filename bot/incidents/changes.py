"""The change log and the findings log: what alerts tell of changes and of security findings, remembered beside incidents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.alerts.alert import Alert, ChangeKind, ChangeState, FindingState, Severity
from bot.alerts.changes import WORDS

OF_THE_SERVICE, OF_OTHERS = timedelta(hours=24), timedelta(hours=1)
"""How long before an incident a change of its own service is shown, and one of any other."""
UNDER_WAY = timedelta(hours=6)
"""What moved so soon after the start of an incident may have been under way then."""
MOST = 5
DONE_AGAIN = timedelta(hours=1)
"""What was done and is told so much later has been done once more: the same version is deployed again."""
PRIVATE_CHANGE, PRIVATE_FINDING = "a private change", "a private finding"
"""What stands for the words of one that a private route takes: others read the logs, too."""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """A change as it was last told. `at` is when it was in that state; `first_at` when it was first heard of.

    `source` and `identity` tell it from others.
    """

    source: str
    identity: str
    kind: ChangeKind
    state: ChangeState
    title: str
    service: str | None
    environment: str | None
    sha: str | None
    ref: str | None
    version: str | None
    by: str | None
    url: str | None
    description: str
    at: datetime
    first_at: datetime

    @property
    def what(self) -> str:
        """What was changed, and how far it is where it is not done: "deployment, failed"."""
        word = WORDS[self.kind]
        if self.state is ChangeState.UNKNOWN:
            return f"{word}, how far is not known"
        return word if self.state is ChangeState.SUCCEEDED else f"{word}, {self.state.value}"

    def what_by(self, start: datetime) -> str:
        """The same as it stood at an incident's start: what was done only afterwards says so."""
        if self.at <= start or self.state in (ChangeState.STARTED, ChangeState.UNKNOWN):
            return self.what
        return f"{WORDS[self.kind]}, {'done' if self.state is ChangeState.SUCCEEDED else self.state.value} after the start"

    def moved_by(self, start: datetime) -> datetime:
        """When it had last moved at a start; of what is further by now than it was then, only when it began is known."""
        return self.at if self.at <= start else self.first_at

    @property
    def which(self) -> str:
        """The version, else the commit as people write it, else the branch; empty where it has none."""
        return self.version or (self.sha or "")[:7] or self.ref or ""

    def is_again(self, before: "ChangeRecord") -> bool:
        """Whether what was done and over before is done once more: that is another change, and both stay in the log."""
        is_over = before.state not in (ChangeState.STARTED, ChangeState.UNKNOWN)
        return is_over and self.at - before.at > DONE_AGAIN

    def after(self, before: "ChangeRecord | None") -> "ChangeRecord":
        """This report, with the start of what is remembered. One that is older than what is known moves only the start."""
        if before is None:
            return self
        told = self.without_words() if before.title == PRIVATE_CHANGE else self
        if self.is_again(before):
            return told
        return replace(told if self.at >= before.at else before, first_at=min(before.first_at, self.first_at))

    def without_words(self) -> "ChangeRecord":
        """As others may read it where a private route takes it."""
        return replace(self, title=PRIVATE_CHANGE, sha=None, ref=None, version=None, by=None, url=None, description="")


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """A security finding with its clocks: when the sender found it, when it was fixed or dismissed, when it came back.

    One that is open has neither been fixed nor dismissed since it was last opened. `fingerprint` tells it from others.
    """

    fingerprint: str
    source: str
    state: FindingState
    severity: Severity
    title: str
    service: str | None
    rule: str
    identifiers: tuple[str, ...]
    package: str
    fixed_in: str
    url: str | None
    reason: str
    changed_at: datetime
    created_at: datetime
    is_created_at_known: bool
    """Whether the sender said when; else it is when we first heard of it."""
    fixed_at: datetime | None = None
    dismissed_at: datetime | None = None
    reopened_at: datetime | None = None
    fixed_before: tuple[tuple[datetime, datetime], ...] = ()
    """Its clocks of before it came back that ended in a fix: from when, until when."""

    @property
    def since(self) -> datetime:
        """When the clock that counts now began."""
        return self.reopened_at or self.created_at

    def after(self, before: "FindingRecord | None") -> "FindingRecord":
        """This report, with the clocks of what is remembered. One that is older than what is known changes nothing."""
        if before is None:
            return self
        if self.changed_at < before.changed_at:
            return before
        if before.title == PRIVATE_FINDING != self.title:
            return self.without_words().after(before)
        is_older = before.is_created_at_known or not self.is_created_at_known
        kept = replace(self, reopened_at=self.reopened_at or before.reopened_at, fixed_before=before.fixed_before)
        if is_older:
            kept = replace(kept, created_at=before.created_at, is_created_at_known=before.is_created_at_known)
        if self.state is FindingState.OPEN and before.state is not FindingState.OPEN:
            ended = ((before.since, before.fixed_at),) if before.fixed_at is not None else ()
            return replace(kept, reopened_at=self.changed_at, fixed_before=(*before.fixed_before, *ended))
        if self.state is before.state:
            return replace(kept, fixed_at=before.fixed_at, dismissed_at=before.dismissed_at)
        return kept

    def without_words(self) -> "FindingRecord":
        """As others may read it where a private route takes it."""
        return replace(self, title=PRIVATE_FINDING, rule="", identifiers=(), package="", fixed_in="", url=None, reason="")


def change_of(alert: Alert, service: str | None, now: datetime, *, is_private: bool = False) -> ChangeRecord | None:
    """What an alert tells of a change; None where it tells of none. `service` is its own name for it."""
    change = alert.change
    if change is None:
        return None
    at = min(alert.started_at, now)
    record = ChangeRecord(
        alert.source, change.identity[:300], change.kind, change.state, alert.title, service, alert.environment,
        change.sha, change.ref, change.version, change.by, alert.url, change.description, at, at,
    )  # fmt: skip
    return record.without_words() if is_private else record


def finding_of(
    alert: Alert, fingerprint: str, service: str | None, now: datetime, *, is_private: bool = False
) -> FindingRecord | None:
    """What an alert tells of a security finding; None where it tells of none."""
    finding = alert.finding
    if finding is None:
        return None
    ended_at = alert.ended_at if finding.state is not FindingState.OPEN and "ended_at" not in alert.defaults else None
    at = min(ended_at or now, now)
    # What counts as newer is when we heard of it: senders' clocks are not ours.
    record = FindingRecord(
        fingerprint, alert.source, finding.state, alert.severity, alert.title, service, finding.rule, finding.identifiers,
        finding.package, finding.fixed_in, alert.url, finding.reason, now,
        created_at=min(finding.created_at or now, now),
        is_created_at_known=finding.created_at is not None,
        fixed_at=at if finding.state is FindingState.FIXED else None,
        dismissed_at=at if finding.state is FindingState.DISMISSED else None,
        reopened_at=now if finding.is_reopened else None,
    )  # fmt: skip
    return record.without_words() if is_private else record


def before_the_start(
    changes: Sequence[ChangeRecord], service: str | None, start: datetime, most: int = MOST
) -> tuple[ChangeRecord, ...]:
    """The changes to look at first: of its own service in a day, then of others in an hour; the newest first. None after.

    They count from when they last moved: a deployment may wait for days to be approved, and what moved soon after the start may
    have been under way. They are not causes: only what there was.
    """
    moved = {one: one.at if one.at <= start + UNDER_WAY else one.moved_by(start) for one in changes}
    mine = [one for one in changes if one.service is not None and one.service == service and start - OF_THE_SERVICE <= moved[one]]
    others = [one for one in changes if one not in mine and start - OF_OTHERS <= moved[one]]
    before = [one for one in (*mine, *others) if one.first_at <= start]
    # Its own come first: however many others there are, they push none of these out.
    return tuple(sorted(before, key=lambda one: (one not in mine, start - one.moved_by(start)))[:most])
