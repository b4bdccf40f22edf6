"""Others than the incident's own on-call: whoever is asked to help, and those whose alerts a storm gathers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.acknowledging import mention
from bot.incidents.decisions.writing import BOT, entry, loudly, quoted, refreshed, say, whoever_is_on_it
from bot.incidents.effects import Effect, PagePerson, PageService, RaiseAlarm, ResolvePage, Topic
from bot.incidents.incident import AlertState, Incident, OtherPage, PageState, Severity
from bot.incidents.inputs import PagerReported, PageSomeone, SomeoneAsked, SomeoneNotAsked
from bot.incidents.lifecycle import check_open
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry

Asked = tuple[Incident, tuple[Entry, ...], tuple[PageService, ...]]
"""The incident that knows of it, what is written down of it, and the page itself; the last two empty where nobody is asked."""


def page_someone(incident: Incident, wish: PageSomeone, now: datetime, policy: Policy) -> Decision:
    """Ask for one more person, or for another service's on-call. Nothing is called paged until PagerDuty took it."""
    check_open(incident)
    if wish.person:
        effect: Effect = PagePerson(
            incident=incident.number,
            dedup_key=incident.episode.dedup_key,
            person=wish.person,
            by=wish.by,
            message=f"{incident.severity.value} {incident.ref}: {incident.title}",
        )
        who = mention(wish.person)
    else:
        service = policy.aliases().get((wish.service or "").lower())
        if service is None:
            known = ", ".join(sorted(policy.services)) or "none; add services to policy.yaml"
            raise Refused(f"No service is called {quoted(wish.service or '(nothing)')[:60]}. Known are: {known}.")
        effect = _page(incident, service, policy.service(service).pager, wish.by, _help_wanted(incident, service))
        incident = _knowing(incident, effect)
        who = f"the on-call of {service}"
    asked = entry(incident, now, "responder_requested", wish.by, who=wish.person or wish.service)
    return Decision(
        incident=incident,
        entries=(asked,),
        effects=(effect,),
        reason=f"Asking PagerDuty for {who}. The channel will say when PagerDuty has taken it.",
    )


def outgrown_on_call(incident: Incident, outgrown: AlertState | None, now: datetime, policy: Policy) -> Asked:
    """Ask for another service's on-call, for an alert that this incident explained until it got worse. Nobody woke them."""
    service = None if outgrown is None else outgrown.service
    if outgrown is None or service is None or service == incident.service or not policy.rule(incident.severity).pages:
        return incident, (), ()
    if service not in policy.services and outgrown.pager is None:
        return incident, (), ()
    pager = outgrown.pager or policy.service(service).pager
    return _asked(incident, _page(incident, service, pager, BOT, _help_wanted(incident, service)), now)


def gathered_on_call(incident: Incident, state: AlertState, now: datetime, policy: Policy) -> Asked:
    """Ask for those whose alert a storm gathers, where it pages others so far. Once: what else it gathers wakes nobody.

    Where it has paged nobody yet, its own page is theirs.
    """
    pager, severity = state.pager, state.severity
    if not incident.storm or pager is None or severity is None or not policy.rule(severity).pages:
        return incident, (), ()
    episode = incident.episode
    if pager == incident.pager or any(one.pager == pager for one in episode.others):
        return incident, (), ()
    if not episode.pages and episode.acknowledged_at is None:
        return replace(incident, pager=pager), (), ()
    service = state.service
    name = service if service is not None and policy.service(service).pager == pager else pager
    # What a woken person reads first is their own symptom.
    page = _page(incident, name, pager, BOT, f"{state.title} (in the alert storm from {incident.source})", severity)
    return _asked(incident, page, now)


def _asked(incident: Incident, page: PageService, now: datetime) -> Asked:
    note = entry(incident, now, "responder_requested", BOT, who=page.service)
    return _knowing(incident, page), (note,), (page,)


def _page(incident: Incident, name: str, pager: str, by: str, symptom: str, severity: Severity | None = None) -> PageService:
    """The page of others, as bad as `severity`, or as the incident."""
    severity = severity or incident.severity
    return PageService(
        incident=incident.number,
        dedup_key=f"{incident.episode.dedup_key}/{name}",
        pager=pager,
        service=name,
        by=by,
        summary=f"{severity.value} {incident.ref}: {symptom}",
        severity="critical" if severity.rank <= 2 else "error",
        rank=severity.rank,
    )


def _help_wanted(incident: Incident, service: str) -> str:
    return f"{incident.title} ({service} is asked to help)"


def _knowing(incident: Incident, page: PageService) -> Incident:
    """The incident with that page among those of others. One that was refused is asked for anew."""
    episode = incident.episode
    if any(one.dedup_key == page.dedup_key and not one.refused for one in episode.others):
        return incident
    others = tuple(one for one in episode.others if one.dedup_key != page.dedup_key)
    return incident.with_episode(replace(episode, others=(*others, OtherPage(page.service, page.pager, page.dedup_key))))


def someone_asked(incident: Incident, report: SomeoneAsked) -> Decision:
    """PagerDuty took a request."""
    known = incident.other_keyed(report.dedup_key)
    is_new = known is None or known[1].accepted_at is None
    changed = _with_other(incident, report.dedup_key, accepted_at=report.at, refused="") if is_new else incident
    note = entry(incident, report.at, "responder_paged", report.by, who=report.who)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(*_shown(incident, changed), say(incident, Topic.SOMEONE_ASKED, who=report.who)),
        reason=f"PagerDuty took the request for {report.who}",
    )


def someone_not_asked(incident: Incident, report: SomeoneNotAsked, now: datetime) -> Decision:
    """A request woke nobody. Where no person asked, nobody waits for it: then it is said loudly."""
    changed = _with_other(incident, report.dedup_key, refused=report.reason)
    note = entry(incident, now, "responder_failed", report.by, who=report.who, reason=report.reason)
    facts: dict[str, Any] = {"who": report.who, "reason": report.reason, "mend": report.mend}
    told: tuple[Effect, ...] = (say(incident, Topic.SOMEONE_NOT_ASKED, (report.by,), **facts),)
    if report.by == BOT:
        told = (say(incident, Topic.SOMEONE_NOT_ASKED, **facts),)
        if incident.is_open:
            alarm = RaiseAlarm(incident.number, f"{incident.ref} did not page {report.who}: {report.reason}", report.mend)
            told = (*loudly(incident, Topic.SOMEONE_NOT_ASKED, whoever_is_on_it(incident), **facts), alarm)
    return Decision(incident=changed, entries=(note,), effects=(*_shown(incident, changed), *told), reason=report.reason)


def other_reported(incident: Incident, input: PagerReported) -> Decision:
    """PagerDuty says something about a page of others. Their acknowledgement stops no clock: that is of the incident's own page."""
    report = input.report
    known = incident.other_keyed(report.key or "")
    if known is None:
        return Decision(reason="a page that this incident does not know")
    _, page = known
    changed, entries = incident, []
    if page.accepted_at is None:
        # Whatever it tells of our key proves that it took it.
        changed = _with_other(changed, page.dedup_key, accepted_at=report.at, refused="")
        entries.append(entry(incident, report.at, "responder_paged", BOT, who=page.who))
    by = input.person or report.person_name or "somebody in PagerDuty"
    is_earlier = page.acknowledged_at is None or report.at < page.acknowledged_at
    if report.kind == "acknowledged" and report.is_human and is_earlier:
        changed = _with_other(changed, page.dedup_key, acknowledged_at=report.at, acknowledged_by=by)
        entries.append(entry(incident, report.at, "responder_acknowledged", by, who=page.who, via="pagerduty"))
    if report.kind == "unacknowledged" and page.acknowledged_at is not None and report.at >= page.acknowledged_at:
        changed = _with_other(changed, page.dedup_key, acknowledged_at=None, acknowledged_by=None)
        entries.append(entry(incident, report.at, "responder_unacknowledged", BOT, who=page.who))
    shown = _shown(incident, changed)
    return Decision(incident=changed, entries=tuple(entries), effects=shown, reason=f"PagerDuty: {report.kind}, of {page.name}")


def _with_other(incident: Incident, dedup_key: str, **changes: Any) -> Incident:
    known = incident.other_keyed(dedup_key)
    if known is None:
        return incident
    episode, page = known
    facts: Mapping[str, Any] = changes
    others = tuple(replace(one, **facts) if one is page else one for one in episode.others)
    return incident.with_episode(replace(episode, others=others))


def _shown(before: Incident, after: Incident) -> tuple[Effect, ...]:
    return () if after is before else refreshed(after, everywhere=False)


def ends_of_pages(incident: Incident, *, its_own: bool = True) -> tuple[ResolvePage, ...]:
    """Tell PagerDuty that the newest episode's pages are over: those of others, and `its_own` where PagerDuty did not tell us."""
    episode = incident.episode
    was_asked = its_own and episode.page not in (PageState.NOT_NEEDED, PageState.REFUSED)
    asked = [(episode.dedup_key, incident.pager or "default")] if was_asked else []
    others = [(one.dedup_key, one.pager) for one in episode.others if not one.refused]
    return tuple(ResolvePage(incident=incident.number, dedup_key=key, pager=pager) for key, pager in (*asked, *others))
