"""Others than the incident's own on-call: whoever is asked to help, and those whose alerts a storm gathers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.acknowledging import mention
from bot.incidents.decisions.writing import BOT, entry, loudly, quoted, refreshed, say, whoever_is_on_it
from bot.incidents.effects import Effect, InvitePeople, PagePerson, PageService, RaiseAlarm, ResolvePage, Topic
from bot.incidents.incident import AlertState, Incident, OtherPage, PageState, Severity, others_key
from bot.incidents.inputs import PagerReported, PageSomeone, SomeoneAsked, SomeoneDelayed, SomeoneNotAsked
from bot.incidents.lifecycle import check_open
from bot.incidents.pagers import by_policy
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry

ASKED_AGAIN_AFTER = timedelta(minutes=10)
"""So long after a refusal a storm asks again for those whose alerts it gathers."""

Asked = tuple[Incident, tuple[Entry, ...], tuple[PageService, ...]]
"""The incident that knows of it, what is written down of it, and the page itself; the last two empty where nobody is asked."""


def page_someone(incident: Incident, wish: PageSomeone, now: datetime, policy: Policy) -> Decision:
    """Ask for one more person, or for another service's on-call. Nothing is called paged until PagerDuty took it."""
    check_open(incident)
    shown: tuple[Effect, ...] = ()
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
        shown = refreshed(incident, everywhere=False)
        who = effect.who
    asked = entry(incident, now, "responder_requested", wish.by, who=wish.person or wish.service)
    return Decision(
        incident=incident,
        entries=(asked,),
        effects=(effect, *shown),
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

    Where it has paged nobody yet, its own page is theirs. Those whose page was refused are asked for again now and then:
    somebody may have mended why.
    """
    pager, severity = state.pager, state.severity
    if not incident.storm or pager is None or severity is None or not policy.rule(severity).pages:
        return incident, (), ()
    episode = incident.episode
    if pager == incident.pager or any(one.pager == pager and _is_asked(one, now) for one in episode.others):
        return incident, (), ()
    if not episode.pages and episode.acknowledged_at is None:
        return replace(incident, pager=pager), (), ()
    # What a woken person reads first is their own symptom.
    storm = (
        f"the alert storm from {incident.source}" if state.source in (incident.source, "") else "an alert storm of several sources"
    )
    symptom = f"{state.title} (in {storm})"
    page = _page(incident, _called(state.service, pager, policy), pager, BOT, symptom, severity)
    return _asked(incident, page, now)


def all_on_call(incident: Incident, now: datetime, policy: Policy) -> Asked:
    """The same for every alert that fires and that a storm holds: it is open again, and their pages ended with it."""
    entries: list[Entry] = []
    pages: list[PageService] = []
    for one in sorted(incident.firing, key=lambda state: state.severity or Severity.SEV5):
        incident, more, asked = gathered_on_call(incident, one, now, policy)
        entries += more
        pages += asked
    return incident, tuple(entries), tuple(pages)


def with_their_pager(incident: Incident, policy: Policy) -> Incident:
    """A storm that is open again pages those whose alerts fire, the worst first: rather whom it paged before."""
    if not incident.storm:
        return incident
    loud = [one for one in incident.firing if one.pager and one.severity and policy.rule(one.severity).pages]
    if not loud or any(one.pager == incident.pager for one in loud):
        return incident
    return replace(incident, pager=min(loud, key=lambda one: one.severity or Severity.SEV5).pager)


def _is_asked(page: OtherPage, now: datetime) -> bool:
    """Whether those are asked for, as far as a storm goes."""
    return not page.refused or (page.refused_at is not None and now - page.refused_at < ASKED_AGAIN_AFTER)


def _called(service: str | None, pager: str, policy: Policy) -> str:
    """Whose on-call that is: of a service that the policy knows, or else whoever the pager rings."""
    if service is not None and service in policy.services and policy.service(service).pager == pager:
        return service
    by = by_policy(pager)
    return pager if by is None else f"escalation policy {by.policy}"


def _asked(incident: Incident, page: PageService, now: datetime) -> Asked:
    knowing = _knowing(incident, page)
    if knowing is incident:
        return incident, (), ()
    note = entry(incident, now, "responder_requested", BOT, who=page.service)
    return knowing, (note,), (page,)


def _page(incident: Incident, name: str, pager: str, by: str, symptom: str, severity: Severity | None = None) -> PageService:
    """The page of others, as bad as `severity`, or as the incident. Where theirs was resolved in PagerDuty it is another one."""
    severity = severity or incident.severity
    page_key = incident.episode.dedup_key
    before = sum(one.name == name and one.pager == pager and one.ended_at is not None for one in incident.episode.others)
    return PageService(
        incident=incident.number,
        dedup_key=others_key(page_key, name, pager, before),
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
    """The incident with that page among those of others; the same where it is known. One that was refused is asked for anew."""
    episode = incident.episode
    if any(one.dedup_key == page.dedup_key and not one.refused for one in episode.others):
        return incident
    others = tuple(one for one in episode.others if one.dedup_key != page.dedup_key)
    return incident.with_episode(replace(episode, others=(*others, OtherPage(page.service, page.pager, page.dedup_key))))


def someone_asked(incident: Incident, report: SomeoneAsked) -> Decision:
    """PagerDuty took a request."""
    known = incident.other_keyed(report.dedup_key)
    is_new = known is None or known[1].accepted_at is None
    changed = _with_other(incident, report.dedup_key, accepted_at=report.at, refused="", late="") if is_new else incident
    note = entry(incident, report.at, "responder_paged", report.by, who=report.who)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(*_shown(incident, changed), say(incident, Topic.SOMEONE_ASKED, who=report.who)),
        reason=f"PagerDuty took the request for {report.who}",
    )


def someone_delayed(incident: Incident, report: SomeoneDelayed, now: datetime) -> Decision:
    """PagerDuty has not taken the page of others yet, however often it was tried: they are not being woken, so people are told."""
    known = incident.other_keyed(report.dedup_key)
    if known is None or known[1].accepted_at is not None or not incident.is_open:
        return Decision(reason="nothing new")
    changed = _with_other(incident, report.dedup_key, late=report.reason)
    note = entry(incident, now, "responder_delayed", BOT, who=report.who, reason=report.reason, attempt=report.attempt)
    people = whoever_is_on_it(incident) if report.by == BOT else (report.by,)
    told = loudly(incident, Topic.SOMEONE_DELAYED, people, who=report.who, reason=report.reason, attempt=report.attempt)
    return Decision(incident=changed, entries=(note,), effects=(*_shown(incident, changed), *told), reason=report.reason)


def someone_not_asked(incident: Incident, report: SomeoneNotAsked, now: datetime) -> Decision:
    """A request woke nobody. Where no person asked, nobody waits for it: then it is said loudly."""
    changed = _with_other(incident, report.dedup_key, refused=report.reason, refused_at=now)
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
    changes: dict[str, Any] = {}
    entries: list[Entry] = []
    if page.accepted_at is None and (not page.refused or report.is_human):
        # Whatever it tells of our key proves that it took it; but for what was refused because it woke nobody.
        changes |= {"accepted_at": report.at, "refused": "", "late": ""}
        entries.append(entry(incident, report.at, "responder_paged", BOT, who=page.who))
    by = input.person or report.person_name or "somebody in PagerDuty"
    is_earlier = page.acknowledged_at is None or report.at < page.acknowledged_at
    invited: tuple[Effect, ...] = ()
    match report.kind:
        case "acknowledged" if report.is_human and is_earlier:
            changes |= {"acknowledged_at": report.at, "acknowledged_by": by}
            entries.append(entry(incident, report.at, "responder_acknowledged", by, who=page.who, via="pagerduty"))
            if input.person and incident.is_open:
                invited = (InvitePeople(incident.number, (input.person,)),)
        case "unacknowledged" if page.acknowledged_at is not None and report.at >= page.acknowledged_at:
            changes |= {"acknowledged_at": None, "acknowledged_by": None}
            entries.append(entry(incident, report.at, "responder_unacknowledged", BOT, who=page.who))
        case "resolved" if page.ended_at is None and incident.is_open:
            changes |= {"ended_at": report.at}
            entries.append(entry(incident, report.at, "responder_left", by if report.is_human else BOT, who=page.who))
    changed = _with_other(incident, page.dedup_key, **changes) if changes else incident
    effects = (*_shown(incident, changed), *invited)
    return Decision(incident=changed, entries=tuple(entries), effects=effects, reason=f"PagerDuty: {report.kind}, of {page.name}")


def _with_other(incident: Incident, dedup_key: str, **changes: Any) -> Incident:
    known = incident.other_keyed(dedup_key)
    if known is None:
        return incident
    episode, page = known
    others = tuple(replace(one, **changes) if one is page else one for one in episode.others)
    return incident.with_episode(replace(episode, others=others))


def _shown(before: Incident, after: Incident) -> tuple[Effect, ...]:
    return () if after is before else refreshed(after, everywhere=False)


def handed_over(child: Incident, parent: Incident) -> tuple[Incident, Incident, tuple[ResolvePage, ...]]:
    """Both, where the one is merged into the other: whom it asked for rings on there, and ends with that; but for those whom
    the parent pages itself, of which one page is over.
    """
    paged = {parent.pager, *(one.pager for one in parent.episode.others if one.is_live)} if parent.episode.pages else set()
    live = [one for one in child.episode.others if one.is_live]
    over = [one for one in live if one.pager in paged and one.acknowledged_at is None]
    kept = tuple(one for one in live if one not in over)
    ends = tuple(ResolvePage(incident=child.number, dedup_key=one.dedup_key, pager=one.pager) for one in over)
    parent_episode = replace(parent.episode, others=(*parent.episode.others, *kept))
    left = tuple(one for one in child.episode.others if one not in kept)
    return child.with_episode(replace(child.episode, others=left)), parent.with_episode(parent_episode), ends


def ends_of_pages(incident: Incident, *, its_own: bool = True, of_others: bool = True) -> tuple[ResolvePage, ...]:
    """Tell PagerDuty that the newest episode's pages are over: its own, unless PagerDuty told us, and those of others."""
    episode = incident.episode
    was_asked = its_own and episode.page not in (PageState.NOT_NEEDED, PageState.REFUSED)
    asked = [(episode.dedup_key, incident.pager or "default")] if was_asked else []
    others = [(one.dedup_key, one.pager) for one in episode.others if one.is_live] if of_others else []
    return tuple(ResolvePage(incident=incident.number, dedup_key=key, pager=pager) for key, pager in (*asked, *others))
