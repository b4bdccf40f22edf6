"""Carrying pager effects out. Says "accepted" only for a 202, and looks before it wakes anybody: whoever is woken is needed."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bot.alerts.reading import moment
from bot.alerts.source import PagerReport
from bot.clock import Clock
from bot.errors import GaveUp, TryLater
from bot.incidents.effects import (
    AcknowledgePage,
    Attempt,
    Effect,
    PageNextLevel,
    PageOnCall,
    PagePerson,
    PageService,
    ResolvePage,
)
from bot.incidents.incident import Episode, Incident, PageState
from bot.incidents.inputs import Input, LevelAsked, LevelNotAsked, PageAccepted, PageDropped, SomeoneAsked, SomeoneNotAsked
from bot.incidents.pagers import by_policy
from bot.pagerduty.client import MEND_KEY, MEND_TOKEN, Client
from bot.pagerduty.limits import Budget
from bot.pagerduty.opening import Opening
from bot.pagerduty.reports import Reports, level_in
from bot.store import Store

SUMMARY_LIMIT = 1024
SETTLE = timedelta(seconds=10)
"""How far before our first try a request of ours may be dated: clocks differ."""
KNOWN_WITHIN, UNKNOWN_WAIT = timedelta(seconds=45), timedelta(seconds=5)
"""Tries, and the time between them, in which the bot should have read who is in Slack."""
RANKS = {"critical": 2, "error": 3, "warning": 4}
"""How bad a page is of which only PagerDuty's own word is known."""
NOT_THERE_YET = "PagerDuty does not show the incident of this page yet"


class PagerDeliverer:
    """Takes every effect of the pager lane."""

    def __init__(
        self,
        *,
        client: Client,
        store: Store,
        clock: Clock,
        key_named: Callable[[str], str],
        budget: Budget,
        reports: Reports,
    ) -> None:
        self._client, self._store, self._clock = client, store, clock
        self._key_named, self._budget, self._reports = key_named, budget, reports
        self._opening = Opening(client=client, reports=reports, budget=budget)

    def deliver(self, effect: Effect, attempt: Attempt) -> Input | None:
        """Carry one effect out. Raises `TryLater`, `Ambiguous` or `GaveUp`.

        PagerDuty takes one key for one alert, so what it has is harmless to send again while it is open. Sent again after
        its end it would ring anew: a page looks into the record first, each time, whether anybody is still to be woken.
        """
        match effect:
            case PageOnCall():
                return self._page(effect, attempt)
            case PageNextLevel():
                return self._next_level(effect)
            case PagePerson():
                return self._person(effect, attempt)
            case PageService():
                return self._service(effect, attempt)
            case AcknowledgePage():
                self._acknowledge(effect)
            case ResolvePage():
                self._resolve(effect)
            case _:
                raise GaveUp(f"{type(effect).__name__} is nothing for PagerDuty")
        return None

    def _page(self, effect: PageOnCall, attempt: Attempt) -> Input | None:
        incident = self._store.incident(effect.incident)
        episode = incident.episode_keyed(effect.dedup_key) if incident else None
        if incident is not None and episode is not None:
            if episode.page is PageState.ACCEPTED:
                return None
            if _is_over(incident, episode) or _is_taken(episode):
                return self._drop(effect, attempt, incident, episode)
        by = by_policy(effect.pager)
        if by is not None:
            said = _payload(effect.summary, effect.source, effect.severity)["summary"]
            self._opening.open(
                effect.dedup_key, by, title=said, details=_details(effect), severity=effect.severity, rank=_rank(effect),
                is_lost=attempt.is_ambiguous,
            )  # fmt: skip
            return PageAccepted(effect.incident, effect.dedup_key, self._clock())
        event = {
            "event_action": "trigger",
            "dedup_key": effect.dedup_key,
            "client": "Firstfive",
            "payload": {
                **_payload(effect.summary, effect.source, effect.severity),
                "custom_details": {name: _sendable(value) for name, value in effect.details.items()},
            },
            "links": [{"href": href, "text": text} for href, text in effect.links],
        }
        self._send(effect.pager, event, "a page", _rank(effect))
        return PageAccepted(effect.incident, effect.dedup_key, self._clock())

    def _drop(self, effect: PageOnCall, attempt: Attempt, incident: Incident, episode: Episode) -> Input:
        """Wake nobody. PagerDuty may have the page where an answer was lost: then it is told, so that nothing rings on."""
        is_over = _is_over(incident, episode)
        first = f"{incident.ref} was over" if is_over else "it was acknowledged"
        if not attempt.is_ambiguous:
            return PageDropped(effect.incident, effect.dedup_key, f"PagerDuty never took this page: {first} before it could")
        self._tell(effect.pager, effect.dedup_key, "resolve" if is_over else "acknowledge")
        reason = f"Nobody knows whether PagerDuty took this page: its answer was lost, and {first} before it could be asked again"
        return PageDropped(effect.incident, effect.dedup_key, reason, may_have_arrived=True)

    def _episode(self, effect: AcknowledgePage | PageNextLevel | ResolvePage) -> Episode | None:
        incident = self._store.incident(effect.incident)
        return incident.episode_keyed(effect.dedup_key) if incident else None

    def _tell(self, pager: str, dedup_key: str, action: str) -> bool:
        """Acknowledge or resolve by the key. False where PagerDuty has no incident to do that with, so far as it tells."""
        what = "the end of a page" if action == "resolve" else "an acknowledgement"
        if by_policy(pager) is not None:
            return self._opening.end(dedup_key, f"{action}d", what)
        self._send(pager, {"event_action": action, "dedup_key": dedup_key}, what)
        return True

    def _service(self, effect: PageService, attempt: Attempt) -> Input:
        """Page others. What is over wakes nobody; where an answer was lost PagerDuty is told, so that nothing rings on."""
        incident = self._store.incident_paging(effect.dedup_key)
        known = incident.other_keyed(effect.dedup_key) if incident else None
        number = incident.number if incident and known else effect.incident
        if incident is not None and _is_over(incident, incident.episode if known is None else known[0]):
            if attempt.is_ambiguous:
                self._tell(effect.pager, effect.dedup_key, "resolve")
            reason = f"{incident.ref} was over before PagerDuty could take it"
            return SomeoneNotAsked(number, effect.who, effect.by, reason, dedup_key=effect.dedup_key)
        payload = _payload(effect.summary, effect.service, effect.severity)
        event = {"event_action": "trigger", "dedup_key": effect.dedup_key, "client": "Firstfive", "payload": payload}
        by = by_policy(effect.pager)
        try:
            if by is not None:
                self._opening.open(
                    effect.dedup_key, by, title=payload["summary"], details="", severity=effect.severity, rank=_rank(effect),
                    is_lost=attempt.is_ambiguous,
                )  # fmt: skip
            else:
                self._send(effect.pager, event, f"a page for {effect.service}", _rank(effect))
        except GaveUp as error:
            return SomeoneNotAsked(number, effect.who, effect.by, error.reason, error.mend, effect.dedup_key)
        return SomeoneAsked(number, effect.who, effect.by, self._clock(), effect.dedup_key)

    def _resolve(self, effect: ResolvePage) -> None:
        if not self._tell(effect.pager, effect.dedup_key, "resolve") and self._was_accepted(effect):
            raise TryLater(NOT_THERE_YET)

    def _was_accepted(self, effect: ResolvePage | AcknowledgePage) -> bool:
        episode = self._episode(effect)
        return episode is not None and episode.page is PageState.ACCEPTED

    def _acknowledge(self, effect: AcknowledgePage) -> None:
        """In the person's own name where PagerDuty knows them; by the key, which names nobody, where it does not."""
        episode = self._episode(effect)
        is_dropped = episode is not None and episode.page is PageState.DROPPED
        if is_dropped and not (episode and episode.unseen):
            return
        person = self._store.person(effect.by)
        # What PagerDuty took and never showed may come up late: told by its key, it does not ring then.
        if self._client.has_token and person is not None and person.email and not is_dropped:
            found = self._incident(effect.dedup_key)
            if found is None:
                raise TryLater(NOT_THERE_YET)
            if found.get("status") != "triggered":
                return
            try:
                self._set(found, {"status": "acknowledged"}, "an acknowledgement", person.email)
            except GaveUp:
                pass
            else:
                return
        if not self._tell(effect.pager, effect.dedup_key, "acknowledge") and self._was_accepted(effect):
            raise TryLater(NOT_THERE_YET)

    def _next_level(self, effect: PageNextLevel) -> Input | None:
        if not self._client.has_token:
            reason = "without a REST token the bot cannot ask PagerDuty for the next level"
            return LevelNotAsked(effect.incident, effect.dedup_key, effect.level, reason, MEND_TOKEN)
        episode = self._episode(effect)
        if episode is not None and episode.page is PageState.DROPPED:
            return LevelNotAsked(effect.incident, effect.dedup_key, effect.level, "PagerDuty never took this page")
        if episode is not None and episode.page is PageState.DELAYED:
            # PagerDuty lost the page since this was asked. Both are in line again, in their order.
            return None
        found = self._incident(effect.dedup_key)
        if found is None:
            raise TryLater(NOT_THERE_YET)
        if found.get("status") != "triggered":
            return self._meanwhile(effect, found)
        level = level_in(self._reports.log_entries(found["id"]))
        if level < effect.level:
            try:
                self._set(found, {"escalation_level": effect.level}, f"escalating to level {effect.level}", "")
            except GaveUp as error:
                return LevelNotAsked(effect.incident, effect.dedup_key, effect.level, error.reason, error.mend)
        return LevelAsked(effect.incident, effect.dedup_key, effect.level, self._clock())

    def _meanwhile(self, effect: PageNextLevel, found: Mapping[str, Any]) -> Input:
        """Somebody was faster than the news of it: that is what we report, and nobody else is woken."""
        report = self._reports.newest(found, found["status"])
        if report is None:
            report = PagerReport(kind=found["status"], at=self._clock(), pager_id=found["id"], key=effect.dedup_key)
        return self._reports.as_input(effect.incident, report)

    def _person(self, effect: PagePerson, attempt: Attempt) -> Input:
        try:
            self._request(effect, attempt)
        except GaveUp as error:
            return SomeoneNotAsked(effect.incident, effect.person, effect.by, error.reason, error.mend)
        return SomeoneAsked(effect.incident, effect.person, effect.by, self._clock())

    def _request(self, effect: PagePerson, attempt: Attempt) -> None:
        found = self._incident(effect.dedup_key)
        if found is None:
            raise GaveUp("nothing was paged for this incident, so nobody can be added to it in PagerDuty", MEND_KEY)
        person = self._store.person(effect.person)
        if person is None and self._clock() - attempt.first_tried_at < KNOWN_WITHIN:
            # A bot that has just started is still reading who is there. Not for long: pages wait behind this.
            raise TryLater("it is not known yet who that is in Slack", after=UNKNOWN_WAIT)
        if person is None:
            raise GaveUp(
                "Slack has not told yet who that is", "try again in a minute; `python -m bot check` says whether Slack answers"
            )
        if not person.email:
            raise GaveUp("Slack tells no e-mail address of that person", "let the bot read addresses (users:read.email)")
        target = self._reports.pagerduty_id(effect.person)
        if target is None:
            raise GaveUp("PagerDuty has no user with that person's e-mail address", "give both the same address")
        if attempt.is_ambiguous and _was_requested(found, target, attempt.first_tried_at - SETTLE):
            return
        requester = self._reports.pagerduty_id(effect.by) or self._reports.own_id()
        if requester is None:
            raise GaveUp("PagerDuty does not know who asks", "set PAGERDUTY_FROM to a PagerDuty user's e-mail address")
        body = {
            "requester_id": requester,
            "message": effect.message,
            "responder_request_targets": [{"responder_request_target": {"id": target, "type": "user_reference"}}],
        }
        self._client.post(f"/incidents/{found['id']}/responder_requests", body, "a request for a responder")

    def _send(self, pager: str, event: Mapping[str, Any], what: str, rank: int = 5) -> None:
        key = self._key_named(pager)
        if not key:
            raise GaveUp(f"there is no PagerDuty key called {pager}, and no default one", MEND_KEY)
        self._budget.spend(key, rank)
        try:
            self._client.enqueue(key, event, what)
        except TryLater as error:
            if error.after is not None and not error.mend:
                self._budget.block(key, error.after)
            raise

    def _incident(self, dedup_key: str) -> dict[str, Any] | None:
        return self._reports.incident(dedup_key)

    def _set(self, found: Mapping[str, Any], change: Mapping[str, Any], what: str, email: str) -> None:
        if not (email or self._client.from_email):
            raise GaveUp(f"PagerDuty wants to know who is {what}", "set PAGERDUTY_FROM to a PagerDuty user's address")
        body = {"incident": {"type": "incident_reference", **change}}
        self._client.put(f"/incidents/{found['id']}", body, what, from_email=email)


def _rank(effect: PageOnCall | PageService) -> int:
    """How bad it is, 1 for SEV1; by PagerDuty's word for it where nothing else says."""
    return effect.rank or RANKS.get(effect.severity, 5)


def _is_over(incident: Incident, episode: Episode) -> bool:
    return not incident.is_open or episode.ended_at is not None


def _is_taken(episode: Episode) -> bool:
    """Whether somebody is on it: whoever a page would wake now is not needed."""
    return episode.acknowledged_at is not None and not episode.is_ringing_again


def _payload(summary: str, source: str, severity: str) -> dict[str, str]:
    """What PagerDuty takes whatever came in: refused for a blank, or for a length, the page would wake nobody."""
    said = _sendable(summary).strip()[:SUMMARY_LIMIT] or "Something is wrong"
    return {"summary": said, "source": _sendable(source).strip() or "firstfive", "severity": severity}


def _details(effect: PageOnCall) -> str:
    """What a woken person reads below the title."""
    facts = [f"{name}: {value}" for name, value in effect.details.items()]
    return _sendable("\n".join([*facts, *(f"{text}: {href}" for href, text in effect.links)]))


def _sendable(text: str) -> str:
    """Text that is text in every language: half a surrogate pair is no JSON to most readers of it."""
    return text.encode(errors="replace").decode()


def _was_requested(found: Mapping[str, Any], target: str, since: datetime) -> bool:
    """Whether somebody was asked to join since then: a request has no key of ours, so it is looked for."""
    for request in found.get("responder_requests") or []:
        at = moment(request.get("requested_at"))
        asked = [one.get("responder_request_target", one) for one in request.get("responder_request_targets") or []]
        if at is not None and at >= since and any(one.get("id") == target for one in asked):
            return True
    return False
