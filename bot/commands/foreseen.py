"""What would come of an alert, in the facts that a person asks for: read off the decision that the bot itself would take."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.alerts.alert import Alert, Status
from bot.alerts.matching import Placement
from bot.handle import Foreseen
from bot.incidents.effects import OpenChannel, PageOnCall, PageService
from bot.incidents.incident import Incident
from bot.incidents.pagers import by_policy
from bot.incidents.policy import Policy
from bot.settings import Settings


@dataclass(frozen=True, slots=True)
class Outlook:
    """One alert, and what the bot would decide on it. Nothing of it has happened."""

    foreseen: Foreseen
    policy: Policy

    @property
    def alert(self) -> Alert:
        """As it was reported."""
        return self.foreseen.report.alert

    @property
    def placement(self) -> Placement:
        """Its route, and the incident that takes it."""
        assert self.foreseen.report.placement is not None
        return self.foreseen.report.placement

    @property
    def before(self) -> Incident | None:
        """The incident that takes it, as it would stand by then; None where it has none, or opens one."""
        return self.foreseen.before

    @property
    def after(self) -> Incident | None:
        """The same afterwards, or the one that it opens."""
        return self.foreseen.decision.incident or self.before

    @property
    def opens(self) -> Incident | None:
        """The incident that it alone would open."""
        return self.after if self.before is None else None

    @property
    def pages(self) -> tuple[PageOnCall | PageService, ...]:
        """What PagerDuty would be asked for."""
        return tuple(one for one in self.foreseen.decision.effects if isinstance(one, PageOnCall | PageService))

    @property
    def channel(self) -> str | None:
        """What the channel of the incident that it opens would be called; its number is the next one that is free."""
        return next((one.name for one in self.foreseen.decision.effects if isinstance(one, OpenChannel)), None)

    @property
    def roles(self) -> Mapping[str, str]:
        """Who would have which role in the incident that it opens, by Slack user id."""
        return {role.value: person for role, (person, *_) in self.opens.roles.items()} if self.opens is not None else {}

    @property
    def group(self) -> Mapping[str, str]:
        """The labels that it is grouped by, with its values; empty where it has no group."""
        if self.placement.group is None:
            return {}
        names = self.placement.route.group_by or self.policy.grouping_rule().group_by
        return {name: self.alert.labels[name] for name in names}

    @property
    def is_across_services(self) -> bool:
        """Whether its group goes beyond its service."""
        route = self.placement.route
        return route.across_services if route.group_by else self.policy.grouping_rule().across_services

    def why_nobody(self, name: str) -> str:
        """Why PagerDuty would be asked for nobody; empty where there was nothing to ask for. `name` is the incident's."""
        if self.placement.quiet is not None:
            return "it is kept quiet"
        if self.after is None or self.alert.status is not Status.FIRING or self.placement.was_overtaken:
            return ""
        severity = self.after.severity.value
        if self.placement.is_related:
            return f"it is related to {name}"
        if not self.after.episode.pages:
            return f"{severity} does not page" if self.before is None else f"{name} is a {severity}, which does not page"
        return f"the page of {name} is asked for already"

    def why_again(self, name: str) -> str:
        """Why an incident that there was would ask for a page; empty for a new one."""
        if self.before is None or self.after is None:
            return ""
        if self.placement.opens_again:
            return f"{name} is open again"
        if self.before.severity is self.after.severity:
            return f"{name} has asked for others so far"
        return f"{name} becomes a {self.after.severity.value}"


def can_page(pager: str, settings: Settings) -> tuple[bool, str]:
    """Whether PagerDuty can be asked by that pager, as this bot is set up; and by what it would be, or what is missing."""
    by = by_policy(pager)
    if by is not None:
        given = {"PAGERDUTY_API_TOKEN": settings.pagerduty_api_token.get_secret_value(), "PAGERDUTY_FROM": settings.pagerduty_from}
        missing = next((name for name, value in given.items() if not value), None)
        if missing is not None:
            return False, f"{missing} is not set, and the escalation policy {by.policy} is paged with it"
        return True, f"the escalation policy {by.policy}"
    if not settings.pager_key(pager):
        others = "" if pager == "default" else ", and no default one"
        return False, f"PAGERDUTY_KEYS has no key called {pager}{others}"
    if pager in settings.pagerduty_keys:
        return True, f"the key {pager}"
    return True, f"the key default, as PAGERDUTY_KEYS has none called {pager}"
