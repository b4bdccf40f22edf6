"""What PagerDuty tells of our pages, by webhook or when asked, as inputs; with its people as ours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.alerts.reading import first, moment
from bot.alerts.source import PagerReport
from bot.clock import Clock
from bot.errors import GaveUp, TryLater
from bot.incidents.incident import Incident, incident_keyed
from bot.incidents.inputs import PagerReported
from bot.incidents.pagers import by_policy
from bot.pagerduty.client import Client
from bot.store import Store
from bot.store.people import Person

KINDS = {
    "trigger_log_entry": "triggered",
    "assign_log_entry": "assigned",
    "escalate_log_entry": "escalated",
    "notify_log_entry": "notified",
    "acknowledge_log_entry": "acknowledged",
    # What PagerDuty's description of its API calls the same entry.
    "acknowledgement_log_entry": "acknowledged",
    "unacknowledge_log_entry": "unacknowledged",
    "resolve_log_entry": "resolved",
    "annotate_log_entry": "annotated",
}
PAGE = 100
ADDRESS_FOR = timedelta(hours=1)
"""How long the address of a user of PagerDuty is taken for what it was: their reports come by the dozen."""
REST = timedelta(seconds=30)
"""How long PagerDuty is left alone with what a report does without, after it owed an answer: the news must not queue up."""


NOT_OURS = "about an incident that this bot did not page for"


def paged_for(store: Store, report: PagerReport) -> Incident | None:
    """The incident for whose page PagerDuty has the one that a report is about; None where we did not page for it."""
    is_ours = report.key is not None and incident_keyed(report.key) is not None
    return store.incident_paging(report.key) if is_ours and report.key else store.incident_of_page(report.pager_id)


class Reports:
    """Reads PagerDuty's side of a page. Its users are found again in Slack by their e-mail address."""

    def __init__(self, *, client: Client, store: Store, clock: Clock) -> None:
        self._client, self._store, self._clock = client, store, clock
        self._own_id: str | None = None
        self._addresses: dict[str, tuple[datetime, str]] = {}
        """Of users of PagerDuty whom Slack does not know, when we were told their address, and what it is."""
        self._rests_until: datetime | None = None

    # --- as inputs ----------------------------------------------------------------------------

    def of_ours(self, report: PagerReport) -> PagerReported | str:
        """The input that a report is, or why it is none."""
        known = paged_for(self._store, report)
        if known is None:
            return NOT_OURS
        return self.as_input(known.number, self._with_level(report))

    def _with_level(self, report: PagerReport) -> PagerReport:
        """A webhook does not say to which level it escalated; the log does."""
        if report.kind != "escalated" or report.level is not None or not self._may_ask():
            return report
        try:
            return replace(report, level=level_in(self.log_entries(report.pager_id)))
        except TryLater:
            self._rests_until = self._clock() + REST
        except GaveUp:
            pass
        return report

    def _may_ask(self) -> bool:
        """Whether PagerDuty may be asked for what a report does without: each question may take seconds to fail."""
        return self._client.has_token and (self._rests_until is None or self._clock() >= self._rests_until)

    def as_input(self, number: int, report: PagerReport) -> PagerReported:
        """A report with PagerDuty's people as ours."""
        if report.kind == "acknowledged" and report.is_human and self._is_the_bot(number, report):
            report = replace(report, is_human=False)
        person = self.person(report.person, report.person_name)
        assignees = tuple(filter(None, (self.person(id_, name) for id_, name in report.assignees)))
        return PagerReported(number, report, person=person, assignees=assignees)

    def _is_the_bot(self, number: int, report: PagerReport) -> bool:
        """Whether the bot's own user acknowledged a page by escalation policy: as it was born so, or as we told it."""
        incident = self._store.incident(number)
        if incident is None:
            return False
        other = incident.other_keyed(report.key or "")
        pager = incident.pager if other is None else other[1].pager
        if by_policy(pager) is None or not self._may_ask():
            return False
        try:
            return report.person == self.own_id()
        except TryLater:
            self._rests_until = self._clock() + REST
        except GaveUp:
            pass
        return False

    def person(self, pagerduty_id: str | None, name: str | None) -> str | None:
        """Their Slack user id; else their name in PagerDuty, which is better than nothing."""
        if not pagerduty_id:
            return None
        known = self._store.person_by_pagerduty(pagerduty_id) or self._learn(pagerduty_id)
        return known.slack_id if known else name or pagerduty_id

    def _learn(self, pagerduty_id: str) -> Person | None:
        """Ask PagerDuty for the address, now and then, and remember who that is in Slack."""
        if not self._may_ask():
            return None
        known = self._addresses.get(pagerduty_id)
        if known is None or self._clock() - known[0] > ADDRESS_FOR:
            try:
                user = self._client.get(f"/users/{pagerduty_id}", "who a user is").get("user", {})
            except TryLater:
                self._rests_until = self._clock() + REST
                return None
            except GaveUp:
                return None
            known = self._clock(), first(user.get("email"))
            self._addresses[pagerduty_id] = known
        person = self._store.person_by_email(known[1])
        if person is not None:
            self._store.remember_people([replace(person, pagerduty_id=pagerduty_id)], self._clock())
        return person

    def pagerduty_id(self, slack_id: str) -> str | None:
        """The PagerDuty user of a person in Slack, by e-mail address."""
        person = self._store.person(slack_id)
        if person is None or not person.email:
            return None
        if person.pagerduty_id:
            return person.pagerduty_id
        found = self.user_by_email(person.email)
        if found is not None:
            self._store.remember_people([replace(person, pagerduty_id=found)], self._clock())
        return found

    def user_by_email(self, email: str) -> str | None:
        """The id of the PagerDuty user with that address."""
        users = self._client.get("/users", "a user by e-mail", query=email).get("users", [])
        return next((one["id"] for one in users if str(one.get("email", "")).lower() == email.lower()), None)

    def own_id(self) -> str | None:
        """The PagerDuty user that the bot acts as."""
        if self._own_id is None and self._client.from_email:
            self._own_id = self.user_by_email(self._client.from_email)
        return self._own_id

    # --- asking -------------------------------------------------------------------------------

    def incident(self, dedup_key: str) -> dict[str, Any] | None:
        """PagerDuty's incident of a page; None where it shows none (yet)."""
        answer = self._client.get("/incidents", "the incident of a page", incident_key=dedup_key, date_range="all")
        found = answer.get("incidents", [])
        return found[-1] if found else None

    def log_entries(self, pager_id: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """Everything that happened to PagerDuty's incident, oldest first."""
        params: dict[str, Any] = {"limit": PAGE, "is_overview": "false"}
        if since is not None:
            params["since"] = since.isoformat()
        entries: list[dict[str, Any]] = []
        while True:
            answer = self._client.get(f"/incidents/{pager_id}/log_entries", "what happened to a page", offset=len(entries), **params)
            entries += answer.get("log_entries", [])
            if not answer.get("more") or not answer.get("log_entries"):
                break
        self._rests_until = None
        # Told newest first, in whole seconds: what happened in one second keeps its order only when turned around.
        return sorted(reversed(entries), key=lambda one: moment(one.get("created_at")) or self._clock())

    def found(self, incident: Incident, pager: Mapping[str, Any]) -> list[tuple[str, PagerReported]]:
        """Every report that PagerDuty's log holds of a page, each with the key that makes it count once."""
        level = 1
        reports = []
        for entry in self.log_entries(pager["id"]):
            kind = KINDS.get(str(entry.get("type")))
            if kind is None:
                continue
            level += kind == "escalated"
            report = self._read(entry, kind, pager, level)
            reports.append((report.once_key, self.as_input(incident.number, report)))
        return reports

    def newest(self, pager: Mapping[str, Any], status: str) -> PagerReport | None:
        """The newest entry of its log that brought it to `status`."""
        entries = [one for one in self.log_entries(pager["id"]) if KINDS.get(str(one.get("type"))) == status]
        return self._read(entries[-1], status, pager, level_in(entries)) if entries else None

    def _read(self, entry: Mapping[str, Any], kind: str, pager: Mapping[str, Any], level: int) -> PagerReport:
        agent = entry.get("user") if kind == "notified" else entry.get("agent")
        agent = agent if isinstance(agent, dict) else {}
        channel = entry.get("channel") if isinstance(entry.get("channel"), dict) else {}
        notification = channel.get("notification") if isinstance(channel, dict) else None
        assignees = entry.get("assignees") or [one.get("assignee", {}) for one in pager.get("assignments", [])]
        is_human = str(agent.get("type", "")).startswith("user")
        return PagerReport(
            kind=kind,
            at=moment(entry.get("created_at")) or self._clock(),
            pager_id=str(pager["id"]),
            key=first(pager.get("incident_key")) or None,
            person=first(agent.get("id")) or None if is_human else None,
            person_name=first(agent.get("summary"), agent.get("name")) or None,
            assignees=tuple((first(one.get("id")), first(one.get("summary"))) for one in assignees if one.get("id")),
            level=level if kind in ("notified", "escalated") else None,
            channel=_word(first(notification.get("type"))) if isinstance(notification, dict) else None,
            url=first(pager.get("html_url")) or None,
            policy=_policy(pager),
            text=first(entry.get("note"), channel.get("summary") if isinstance(channel, dict) else ""),
            is_human=is_human,
        )


def _policy(pager: Mapping[str, Any]) -> str | None:
    policy = pager.get("escalation_policy")
    return first(policy.get("id")) or None if isinstance(policy, dict) else None


def level_in(entries: Sequence[Mapping[str, Any]]) -> int:
    """The level an incident has come to: it starts at 1, and each escalation is one more."""
    return 1 + sum(1 for one in entries if one.get("type") == "escalate_log_entry")


def _word(channel: str) -> str:
    """PagerDuty's word for a way of notifying (push_notification, phone_notification …), as the journal has it."""
    return channel.removesuffix("_notification")
