"""What a payload means to a bot: what `explain` prints, and the sandbox's page shows. Changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.matching import Candidate, Placement, Sought, place, sought_by
from bot.alerts.quiet import Quieting
from bot.alerts.reading import as_json
from bot.alerts.routing import Outcome
from bot.alerts.source import Delivery, Reading, Source, VouchedFor
from bot.clock import wall_clock
from bot.errors import Unverified
from bot.handle import placement_of
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import Policy
from bot.settings import Settings
from bot.slack.views.text import clean
from bot.store import Store

CHANGES = (Kind.DEPLOYMENT, Kind.CHANGE)
NO_RECORD = "no record to compare with: as if nothing were open"


@dataclass(frozen=True, slots=True)
class Explained:
    """One alert of a payload, and what would become of it. `opens` is the severity of the incident that it alone would open."""

    alert: Alert
    placement: Placement
    opens: str | None = None

    @property
    def outcome(self) -> str:
        """One word: open, announce, record or drop; join or update where an incident has it; reopen where it had; relate where
        another explains it."""
        if self.placement.opens_again:
            return "reopen"
        if self.placement.is_related:
            return "relate"
        if self.placement.incident is not None:
            return "join" if self.alert.status is Status.FIRING else "update"
        return self.placement.outcome.value

    @property
    def incident(self) -> str | None:
        """The incident that takes it, of those that are open."""
        return f"INC-{self.placement.incident}" if self.placement.incident else None

    @property
    def facts(self) -> Mapping[str, str]:
        """What is known of it, a line each, safe to be shown anywhere."""
        alert, placement = self.alert, self.placement
        known = {
            "status": alert.status.value,
            "severity": f"{alert.severity.value} (sender: {alert.source_severity or 'says none'})",
            "service": placement.service or "not named",
            "started": alert.started_at.isoformat(),
            "ended": alert.ended_at.isoformat() if alert.ended_at else None,
            "identity": alert.identity,
            "filled in": ", ".join(alert.defaults) or None,
            "link": alert.url,
            "route": placement.route.name,
            "incident": self.incident or (f"a new one, {self.opens}" if self.opens else None),
            "then": f"{self.outcome}: {placement.reason}",
        }
        return {name: clean(value, lines=False) for name, value in known.items() if value}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a payload means. `verified` is None where nothing can be said of its signature, and `why` says more."""

    source: Source
    verified: bool | None
    why: str
    reading: Reading
    alerts: tuple[Explained, ...]
    note: str = ""

    @property
    def headline(self) -> str:
        """Who sent it, and whether that is sure."""
        word = {True: "verified", False: "NOT verified", None: "not checked"}[self.verified]
        return f"{self.source.title}: {word} ({self.why})"

    def as_text(self) -> str:
        """In lines, for a terminal."""
        lines = [self.headline]
        if self.reading.ignored:
            lines.append(f"Nothing to act on: {self.reading.ignored}")
        if self.note:
            lines.append(f"There is {self.note}.")
        for number, one in enumerate(self.alerts, start=1):
            lines += ["", f"{number}. {clean(one.alert.title, lines=False)}"]
            lines += [f"   {name:10}{value}" for name, value in one.facts.items()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "source": self.source.name,
            "verified": self.verified,
            "ignored": self.reading.ignored or None,
            "alerts": [as_json(alert) for alert in self.reading.alerts if alert.kind not in CHANGES],
            "changes": [as_json(alert) for alert in self.reading.alerts if alert.kind in CHANGES],
            "decisions": [
                {
                    "route": one.placement.route.name,
                    "outcome": one.outcome,
                    "incident": one.incident,
                    "opens": one.opens,
                    "service": one.placement.service,
                    "quiet": one.placement.quiet.key if one.placement.quiet else None,
                    "fingerprint": one.placement.fingerprint,
                    "related": one.placement.is_related,
                    "reason": "; ".join(part for part in (one.placement.reason, self.note) if part),
                }
                for one in self.alerts
            ],
        }


def explanation(source: Source, delivery: Delivery, settings: Settings, policy: Policy, store: Store | None) -> Explanation:
    """What would come of a delivery, as the record stands when it comes; as if nothing were open where there is no record.

    Raises `Unreadable`, and `DatabaseDown` where the record cannot be read.
    """
    verified, why = _verified(source, delivery, settings)
    reading = source.parse(delivery, policy.generic.get(delivery.route, {}))
    alerts = _explained(reading.alerts, delivery, policy, store)
    return Explanation(source, verified, why, reading, tuple(alerts), "" if store else NO_RECORD)


def _verified(source: Source, delivery: Delivery, settings: Settings) -> tuple[bool | None, str]:
    """Whether the signature holds, by the real time; None where there is nothing to check it with."""
    secrets = settings.secrets_of(source.name, delivery.route)
    if not secrets:
        return None, f"no secret for {source.name}/{delivery.route} in HOOK_SECRETS"
    try:
        source.verify(delivery, secrets, wall_clock())
    except Unverified as error:
        return False, error.reason
    if isinstance(source, VouchedFor):
        return None, f"its address or token holds; {source.vouched_by} is asked about its signature where it comes in"
    return True, "the signature holds"


def _explained(alerts: Sequence[Alert], delivery: Delivery, policy: Policy, store: Store | None) -> list[Explained]:
    """Where the record and the policy put each, and what those before it of the same payload open."""
    route, opened = delivery.route, Opened(policy, delivery.received_at)
    if store is None:
        return [opened.told(one, _placed_alone(one, route, policy, opened)) for one in alerts]
    with store.reading() as work:
        return [
            opened.told(one, placement_of(work, AlertReported(one, route), opened.now, policy, opened.candidates)) for one in alerts
        ]


def _placed_alone(alert: Alert, route: str, policy: Policy, opened: "Opened") -> Placement:
    given = policy.built_routes(), policy.aliases(), policy.grouping_rule()
    there = opened.candidates(sought_by(alert, route, *given, opened.now))
    return place(alert, route, *given, None, there, opened.now, Quieting(windows=policy.windows()))


class Opened:
    """The incidents that alerts of this payload would open: what comes after them may join those. They are numbered below zero."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self.policy, self.now = policy, now
        self._incidents: list[tuple[Candidate, str | None, str]] = []

    def candidates(self, sought: Sought) -> list[Candidate]:
        """Those that an alert might join."""
        found = (replace(one, has_group=sought.group is not None and group == sought.group) for one, group, _ in self._incidents)
        return [one for one in found if one.has_group or one.service in sought.services]

    def told(self, alert: Alert, placement: Placement) -> Explained:
        """A placement in words that do not name what is not there; what it opens is remembered."""
        if placement.incident is not None and placement.incident < 0:
            title = self._incidents[-placement.incident - 1][2]
            reason = placement.reason.replace(f"INC-{placement.incident}", f"the incident that “{title}” of this payload opens")
            return Explained(alert, replace(placement, incident=None, reason=reason))
        if placement.outcome is not Outcome.OPEN or placement.incident is not None or alert.status is not Status.FIRING:
            return Explained(alert, placement)
        severity = self.policy.severity_for(placement.route, alert.severity)
        number = -len(self._incidents) - 1
        opened = Candidate(number, placement.service, self.now, placement.route.private, severity.rank, is_firing=True)
        self._incidents.append((opened, placement.group, alert.title))
        return Explained(alert, placement, severity.value)
