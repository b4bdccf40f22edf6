"""What a payload means to a bot: what `explain` prints, and the sandbox's page shows. Changes nothing."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.matching import Placement
from bot.alerts.reading import as_json
from bot.alerts.source import Delivery, Reading, Source, VouchedFor
from bot.alerts.tracing import with_trace
from bot.clock import wall_clock
from bot.commands.foreseen import Outlook, can_page
from bot.errors import Unverified
from bot.handle import Door
from bot.incidents.effects import PageService
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import PAGER_SOURCE, Policy
from bot.pagerduty.reports import NOT_OURS, paged_for
from bot.runbooks import Runbook
from bot.settings import Settings
from bot.slack.views.text import clean
from bot.store import Store
from bot.worker.intake import in_turn

CHANGES = (Kind.DEPLOYMENT, Kind.CHANGE)
NO_RECORD = "no record to compare with: as if nothing were open"
WORST_FIRST = "Decided on by how bad they are, the worst first."


@dataclass(frozen=True, slots=True)
class Explained:
    """One alert of a payload, and what would become of it. `new` has the incidents that the payload opens, by number: each
    with the title of the alert that opens it."""

    outlook: Outlook
    settings: Settings
    new: Mapping[int, str]

    @property
    def alert(self) -> Alert:
        """As its source read it."""
        return self.outlook.alert

    @property
    def placement(self) -> Placement:
        """Its route, and the incident that takes it."""
        return self.outlook.placement

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
    def opens(self) -> str | None:
        """The severity of the incident that it alone would open."""
        return None if self.outlook.opens is None else self.outlook.opens.severity.value

    @property
    def incident(self) -> str | None:
        """The incident that takes it, of those that are open."""
        number = self.placement.incident
        return None if number is None or number in self.new else f"INC-{number}"

    @property
    def reason(self) -> str:
        """Why, in words that name no incident that is not there."""
        # Of others, as it stands: a sender may write INC-007.
        return re.sub(r"\bINC-([0-9]{1,9})\b", self._in_words, self.placement.reason)

    @property
    def pages(self) -> bool:
        """Whether PagerDuty would be asked, by something that this bot has."""
        return any(can_page(one.pager, self.settings)[0] for one in self.outlook.pages)

    @property
    def whom(self) -> str:
        """Whom it would page, or why nobody; empty where it is none of PagerDuty's business."""
        taken = self.outlook.after
        name = "" if taken is None else self._name(taken.number)
        if not self.outlook.pages:
            why = self.outlook.why_nobody(name)
            return why and f"nobody: {why}"
        said = []
        for one in self.outlook.pages:
            is_set, by = can_page(one.pager, self.settings)
            who = f"the on-call of {one.service}" if isinstance(one, PageService) else "the on-call"
            said.append(f"{who} by {by}" if is_set else f"nobody: {by}")
        again = self.outlook.why_again(name)
        return " and ".join(said) + (f", as {again}" if again else "")

    @property
    def facts(self) -> Mapping[str, str]:
        """What is known of it, a line each, safe to be shown anywhere."""
        placement = self.placement
        known = _came_in(self.alert, placement.service) | {
            "route": placement.route.name,
            "group": self._group(),
            "incident": self.incident or self._opened(),
            "would page": self.whom,
            "runbook": self._runbook(),
            "roles": ", ".join(f"{role} {person}" for role, person in self.outlook.roles.items()),
            "channel": self._channel(),
            "then": f"{self.outcome}: {self.reason}",
        }
        return {name: clean(value, lines=False) for name, value in known.items() if value}

    def as_json(self, note: str) -> dict[str, Any]:
        """For machines; what holds for the whole payload is the `note`."""
        placement, opened = self.placement, self.outlook.opens
        return {
            "route": placement.route.name,
            "outcome": self.outcome,
            "incident": self.incident,
            "opens": self.opens,
            "storm": placement.is_storm,
            "service": placement.service,
            "pages": self.pages,
            "pager": next((one.pager for one in self.outlook.pages), None),
            "would_page": self.whom or None,
            "runbook": None if opened is None else opened.runbook,
            "roles": dict(self.outlook.roles),
            "channel": self.outlook.channel,
            "private": placement.route.private,
            "group": dict(self.outlook.group),
            "quiet": placement.quiet.key if placement.quiet else None,
            "fingerprint": placement.fingerprint,
            "related": placement.is_related,
            "reason": "; ".join(part for part in (self.reason, note) if part),
        }

    def _in_words(self, found: re.Match[str]) -> str:
        return self._name(int(found[1])) if int(found[1]) in self.new else found[0]

    def _name(self, number: int) -> str:
        """What an incident is called: one that is only opened by this payload has no number that anybody knows."""
        return f"the incident that “{self.new[number]}” of this payload opens" if number in self.new else f"INC-{number}"

    def _opened(self) -> str:
        if self.opens is None:
            return ""
        gathers = f", that gathers what else {self.alert.source} sends" if self.placement.is_storm else ""
        return f"a new one, {self.opens}{gathers}"

    def _group(self) -> str:
        group = ", ".join(f"{name}={value}" for name, value in self.outlook.group.items())
        return f"{group}, whatever the service" if group and self.outlook.is_across_services else group

    def _runbook(self) -> str:
        opened = self.outlook.opens
        if opened is None:
            return ""
        return f"{opened.runbook} ({opened.runbook_reason})" if opened.runbook else opened.runbook_reason

    def _channel(self) -> str:
        name = self.outlook.channel
        return "" if name is None else f"#{name}{', private' if self.placement.route.private else ''}"


def _came_in(alert: Alert, service: str | None) -> dict[str, str | None]:
    """What its sender says of an alert, as it is read."""
    return {
        "status": "info, taken as firing" if alert.was_info else alert.status.value,
        "severity": f"{alert.severity.value} (sender: {alert.source_severity or 'says none'})",
        "service": service or "not named",
        "started": alert.started_at.isoformat(),
        "ended": alert.ended_at.isoformat() if alert.ended_at else None,
        "identity": alert.identity,
        "filled in": ", ".join(alert.defaults) or None,
        "link": alert.url,
    }


@dataclass(frozen=True, slots=True)
class News:
    """News of an incident that another tool has, which gets to no route. `incident` is that for which we paged there."""

    alert: Alert
    incident: str | None

    @property
    def outcome(self) -> str:
        """One word."""
        return "report" if self.incident else "ignore"

    @property
    def reason(self) -> str:
        """Why it is taken by no route."""
        if self.incident:
            return f"news of the page of {self.incident}, which hears of it; no route takes that"
        whose = NOT_OURS if self.alert.source == PAGER_SOURCE else "of an incident that its sender has"
        return f"news {whose}; no route takes that"

    @property
    def opens(self) -> str | None:
        """Nothing."""
        return None

    @property
    def pages(self) -> bool:
        """Nobody."""
        return False

    @property
    def facts(self) -> Mapping[str, str]:
        """What is known of it, a line each."""
        known = _came_in(self.alert, self.alert.service)
        known |= {"route": "none", "incident": self.incident, "then": f"{self.outcome}: {self.reason}"}
        return {name: clean(value, lines=False) for name, value in known.items() if value}

    def as_json(self, note: str) -> dict[str, Any]:
        """For machines."""
        return {
            "route": None, "outcome": self.outcome, "incident": self.incident, "opens": None, "pages": False,
            "reason": "; ".join(part for part in (self.reason, note) if part),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a payload means. `verified` is None where nothing can be said of its signature, and `why` says more.

    `order` says that its alerts are decided on in another order than they stand in it.
    """

    source: Source
    verified: bool | None
    why: str
    reading: Reading
    alerts: tuple[Explained | News, ...]
    note: str = ""
    order: str = ""

    @property
    def headline(self) -> str:
        """Who sent it, and whether that is sure."""
        word = {True: "verified", False: "NOT verified", None: "not checked"}[self.verified]
        return f"{self.source.title}: {word} ({self.why})"

    def as_text(self) -> str:
        """In lines, for a terminal."""
        lines = [self.headline]
        if self.reading.ignored:
            lines.append(f"{'Not all of it' if self.alerts else 'Nothing'} to act on: {self.reading.ignored}")
        if self.note:
            lines.append(f"There is {self.note}.")
        if self.order:
            lines.append(self.order)
        for number, one in enumerate(self.alerts, start=1):
            lines += ["", f"{number}. {clean(one.alert.title, lines=False)}"]
            lines += [f"   {name:12}{value}" for name, value in one.facts.items()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "source": self.source.name,
            "verified": self.verified,
            "ignored": self.reading.ignored or None,
            "alerts": [as_json(alert) for alert in self.reading.alerts if alert.kind not in CHANGES],
            "changes": [as_json(alert) for alert in self.reading.alerts if alert.kind in CHANGES],
            "decisions": [one.as_json(self.note) for one in self.alerts],
        }


def explanation(
    source: Source, delivery: Delivery, settings: Settings, policy: Policy, runbooks: Sequence[Runbook], store: Store | None
) -> Explanation:
    """What would come of a delivery, as the record stands when it comes; as if nothing were open where there is no record.

    Raises `Unreadable`, and `DatabaseDown` where the record cannot be read.
    """
    verified, why = _verified(source, delivery, settings)
    reading = source.parse(delivery, policy.generic.get(delivery.route, {}))
    turns = [
        (place, alert) for place, alert in in_turn(reading.alerts, delivery.route, policy, delivery.received_at)
        if alert.kind is not Kind.INCIDENT_UPDATE
    ]  # fmt: skip
    reports = [AlertReported(with_trace(alert, policy.traces), delivery.route) for _, alert in turns]
    if store is None:
        with closing(Store.empty()) as nothing:
            outlooks = _outlooks(reports, delivery, policy, runbooks, nothing)
    else:
        outlooks = _outlooks(reports, delivery, policy, runbooks, store)
    new = {one.opens.number: one.alert.title for one in outlooks if one.opens is not None}
    places = [place for place, _ in turns]
    told: dict[int, Explained | News] = {
        place: News(one, _paged_for(reading, store)) for place, one in enumerate(reading.alerts) if one.kind is Kind.INCIDENT_UPDATE
    }
    told |= {place: Explained(one, settings, new) for place, one in zip(places, outlooks, strict=True)}
    alerts = tuple(told[place] for place in sorted(told))
    order = "" if places == sorted(places) else WORST_FIRST
    return Explanation(source, verified, why, reading, alerts, "" if store else NO_RECORD, order)


def _paged_for(reading: Reading, store: Store | None) -> str | None:
    """The incident of ours that PagerDuty tells of."""
    found = (paged_for(store, one) for one in reading.pager) if store is not None else ()
    return next((one.ref for one in found if one is not None), None)


def _outlooks(
    reports: Sequence[AlertReported], delivery: Delivery, policy: Policy, runbooks: Sequence[Runbook], store: Store
) -> list[Outlook]:
    """What the bot would decide on each, after those before it."""
    door = Door(store, lambda: delivery.received_at, lambda: policy, lambda: runbooks)
    with store.rehearsing() as work:
        return [Outlook(one, policy) for one in door.foresee(work, reports)]


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
