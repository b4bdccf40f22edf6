"""What comes of an input: everything that is to be saved, in one value."""

from dataclasses import dataclass
from datetime import datetime

from bot.alerts.alert import Alert
from bot.alerts.flapping import STEADY, Flaps
from bot.alerts.matching import Ended
from bot.alerts.quiet import Silence
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
class Reported:
    """An alert as it came, and through which endpoint: what tells whether a silence covers it."""

    alert: Alert
    endpoint: str


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """What to remember of an alert. One open record a fingerprint.

    A record is open while the alert fires or is told as information, and for as long as an incident that it belongs to is
    open or resolved: so that one that fires again comes back to its incident. Saving an incident that is closed or cancelled
    closes its records; saving one that was merged hands them to the incident it was merged into.
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
    fires: int = 1
    """How often it began to fire, as far as its incident knows."""
    flaps: Flaps = STEADY
    quiet_under: str | None = None
    """The key of the silence or maintenance window that keeps it quiet; None where none does."""
    group: str | None = None
    """What it shares with the alerts of its group (`alerts/matching.py`)."""
    is_related: bool = False
    ended: Ended | None = None
    """Its end, where its sender says when that was. What fires has one only where that of an earlier firing came late."""
    pager: str | None = None
    """Whom it pages where it is on its own; None where nobody kept it."""
    report: Reported | None = None
    """Its newest report, where it is only related."""
    announced_at: datetime | None = None
    """When it was last announced; None in a report of which it is not."""
    is_told: bool = False
    """It is information that a route announces: it does not fire, and is remembered until its sender says that it is well."""

    @property
    def is_open(self) -> bool:
        """Whether the fingerprint is taken."""
        return self.is_firing or self.incident is not None or self.is_told


@dataclass(frozen=True, slots=True)
class Quieted:
    """A report of an alert that the silence or maintenance window of that key keeps quiet. `severity` is what its route
    would have made of it; `title` is empty where others must not read it.

    `is_new` says that it did not fire under the same key before.
    """

    key: str
    fingerprint: str
    title: str
    severity: Severity | None
    at: datetime
    is_new: bool


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
    calmed: AlertRecord | None = None
    """An alert that flaps no more; no report of it came."""
    moved: tuple[AlertRecord, ...] = ()
    """Alerts that leave the incident they belonged to: for another, or, where they fire no more, for none."""
    others: tuple[Incident, ...] = ()
    change: ChangeRecord | None = None
    finding: FindingRecord | None = None
    silence: Silence | None = None
    quieted: Quieted | None = None
    released: str = ""
    """The key of a silence that is ended early: what waits for its end comes due now."""
    hushed: str = ""
    """The source of an alert that is not announced, because of how many of it were; empty where it is."""
    heard: str = ""
    """The dead-man's switch that a sign of life came for; empty where none did."""
    expected: str = ""
    """The one that is expected from now on, whatever comes."""
    dropped: str = ""
    """The route that drops the alert; empty where none does."""
    reason: str = ""
