"""What comes of an input: everything that is to be saved, in one value."""

from dataclasses import dataclass
from datetime import datetime

from bot.alerts.matching import Ended
from bot.incidents.changes import ChangeRecord, FindingRecord
from bot.incidents.effects import Effect
from bot.incidents.incident import Incident, Severity
from bot.incidents.inputs import Input
from bot.incidents.timeline import Entry


@dataclass(frozen=True, slots=True)
class Timer:
    """An input with a due date. `key` is unique among the waiting: setting it again moves it."""

    key: str
    due_at: datetime
    input: Input


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What to remember of an alert. One open record a fingerprint.

    A record is open while the alert fires, and for as long as an incident that it belongs to is open: so that one
    that fires again comes back to its incident. Saving an incident that is over closes its records; saving one that
    was merged hands them to the incident it was merged into.
    """

    fingerprint: str
    incident: int | None
    is_firing: bool
    title: str
    source: str
    service: str | None
    at: datetime
    is_announced: bool = False
    severity: Severity | None = None
    """The worst that its route made of it while it fires; None where it opens nothing by itself."""
    started_at: datetime | None = None
    """When it began to fire, as its sender says; None where nobody kept it."""
    ended: Ended | None = None
    """Its end, where its sender says when that was. What fires has none."""

    @property
    def is_open(self) -> bool:
        """Whether the fingerprint is taken."""
        return self.is_firing or self.incident is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to save. `incident` is None where none is touched; `others` are further incidents changed by it.

    `cancels` are timer keys to drop. `reason` is one sentence for whoever asked, the log and the metrics.
    """

    incident: Incident | None = None
    entries: tuple[Entry, ...] = ()
    effects: tuple[Effect, ...] = ()
    timers: tuple[Timer, ...] = ()
    cancels: tuple[str, ...] = ()
    alert: AlertRecord | None = None
    others: tuple[Incident, ...] = ()
    change: ChangeRecord | None = None
    finding: FindingRecord | None = None
    dropped: str = ""
    """The route that drops the alert; empty where none does."""
    reason: str = ""
