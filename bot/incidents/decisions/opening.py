"""Opening an incident, and starting the page and the clock of an episode. The page comes first, always."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.alerts.alert import Alert
from bot.alerts.flapping import STEADY
from bot.alerts.matching import AHEAD, Placement, by_its_clock
from bot.alerts.routing import name_of
from bot.errors import Refused
from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.decisions.flapping import watched
from bot.incidents.decisions.writing import (
    BOT,
    card_key,
    entry,
    quoted,
    refreshed,
    reminder_key,
    say,
    target_key,
    update_keys,
)
from bot.incidents.effects import (
    AddBookmarks,
    Effect,
    InvitePeople,
    OpenChannel,
    PageOnCall,
    PinSummary,
    Place,
    Topic,
)
from bot.incidents.incident import (
    AlertState,
    Episode,
    Incident,
    PageState,
    Role,
    Severity,
    Status,
    dedup_key,
)
from bot.incidents.inputs import AlertReported, Declare, ReminderDue, SummaryAged, TargetPassed, UpdateDue
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry
from bot.runbooks import Choice

LONGEST_NAME = 72
"""Of a channel: Slack takes 80, and the deliverer may need some."""
CHANNEL_FORM = "{prefix}-{number}-{title}"
TITLE_LIMIT = 200
CARD_EVERY = timedelta(seconds=60)
PAGER_SEVERITY = {
    Severity.SEV1: "critical",
    Severity.SEV2: "critical",
    Severity.SEV3: "error",
    Severity.SEV4: "warning",
    Severity.SEV5: "info",
}
"""PagerDuty's own four words. critical and error are high urgency by default."""


def declared(wish: Declare, now: datetime, policy: Policy) -> Decision:
    """A person declares an incident. The severity defaults to SEV3, which pages: unsure means somebody looks."""
    title = title_of(wish)
    if not title:
        raise Refused("An incident needs a title: what is broken, in a few words. `/incident declare checkout is slow`")
    if wish.twin is not None and not wish.private:
        raise Refused(f"{wish.twin.ref} was opened with these words just now. If yours is another one, use other words.")
    assert wish.number is not None
    severity = severity_of(wish)
    service = _known_service(wish.service, policy)
    incident = _new(
        wish.number,
        title,
        severity,
        now,
        wish.by,
        service,
        policy,
        pager=policy.service(service).pager,
        private=wish.private,
        drill=wish.drill,
    )
    record = wish.record
    if record is not None and record.incident is not None:
        raise Refused(f"That alert is part of INC-{record.incident} already.")
    if record is not None:
        # What was only information lasts until its sender says that it is well.
        record = replace(record, is_firing=True)
        incident = replace(incident, alerts=(_announced(record),), impact_source=f"alert {record.title}")
        record = replace(record, incident=wish.number, at=now)
    return replace(opened(incident, now, policy, wish.by, wish.details), alert=record)


def severity_of(wish: Declare) -> Severity:
    """What was said, or SEV3, which pages: unsure means somebody looks."""
    return wish.severity or Severity.SEV3


def title_of(wish: Declare) -> str:
    """The title in one line, as long as it may be."""
    return " ".join(wish.title.split())[:TITLE_LIMIT]


def opened_by_alert(report: AlertReported, now: datetime, policy: Policy) -> Decision:
    """An alert opens an incident: severity, service and PagerDuty key come from its route."""
    assert report.placement is not None
    assert report.number is not None
    alert, placement = report.alert, report.placement
    route = placement.route
    severity = policy.severity_for(route, alert.severity)
    known = policy.service(placement.service)
    title = f"Alert storm from {alert.source}: {alert.title}" if placement.is_storm else alert.title
    incident = _new(
        report.number,
        title[:TITLE_LIMIT],
        severity,
        now,
        BOT,
        placement.service,
        policy,
        pager=pager_of(placement, policy),
        private=route.private,
        drill=False,
    )
    incident = replace(
        incident,
        route=route.name,
        source=alert.source,
        storm=placement.is_storm,
        earlier=placement.earlier,
        last_alert_at=now,
        alerts=(_state(alert, placement, severity, now, policy),),
        impact_started_at=alert.started_at if alert.started_at <= now else None,
        impact_source=f"alert {name_of(alert)}",
        dashboards=_dashboards(alert, known.dashboards),
        roles={Role(role): (person,) for role, person in route.roles.items()},
        channel_form=route.channel,
    )
    if report.runbook is not None:
        incident = with_runbook(incident, report.runbook)
    decision = opened(incident, now, policy, BOT, alert.description, alert, placement.fingerprint, report.runbook)
    record = replace(
        _record(alert, placement.fingerprint, report.number, placement.service, now),
        group=placement.group,
        severity=severity,
        started_at=min(alert.started_at, now),
        flaps=incident.alerts[0].flaps,
        pager=incident.alerts[0].pager,
    )
    return replace(decision, alert=record, reason=f"{incident.ref} opened: {placement.reason}")


def opened(
    incident: Incident,
    now: datetime,
    policy: Policy,
    by: str,
    details: str = "",
    alert: Alert | None = None,
    fingerprint: str = "",
    choice: Choice | None = None,
) -> Decision:
    """Everything that follows an opening, in its order: page, channel, people, card, pin, bookmarks, announcement."""
    entries: list[Entry] = []
    if alert is not None:
        entries.append(alert_started(incident, alert, fingerprint, now))
    entries.append(_opened_entry(incident, now, by))
    held = [(role, person) for role, people in incident.roles.items() for person in people]
    entries += [entry(incident, now, "role", BOT, role=role.value, user=person) for role, person in held]
    clocked, page_entries, page, timers = start_clock(incident, now, policy, details)
    effects = (*page, *_chat(clocked, by, policy), *_runbook(clocked, choice), *_to_owners(clocked, policy))
    return Decision(
        incident=clocked,
        entries=(*entries, *page_entries),
        effects=effects,
        timers=(*timers, *update_timers(clocked, now, policy)),
        reason=f"{incident.ref} opened as {incident.severity.value}. {_whom(clocked)}",
    )


def _whom(incident: Incident) -> str:
    pages = incident.episode.pages
    return "Asking PagerDuty to page the on-call." if pages else f"{incident.severity.value} pages nobody."


def start_clock(
    incident: Incident, now: datetime, policy: Policy, details: str = ""
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[Timer, ...]]:
    """Ask for the page of the newest episode and set its timers; nothing where the severity pages nobody."""
    rule = policy.rule(incident.severity)
    if not rule.pages:
        return incident, (), (), ()
    waited = now - incident.episode.opened_at
    episode = replace(incident.episode, target=waited + rule.acknowledge_within, page=PageState.REQUESTED)
    incident = incident.with_episode(episode)
    asked = entry(incident, now, "page_requested", BOT, service=incident.service, episode=episode.number)
    timers = [
        Timer(
            reminder_key(incident, episode, int(span.total_seconds())),
            now + span,
            ReminderDue(incident.number, episode.number, int(span.total_seconds())),
        )
        for span in rule.reminders
    ]
    timers.append(
        Timer(
            target_key(incident, episode),
            now + rule.acknowledge_within,
            TargetPassed(incident.number, episode.number),
        )
    )
    timers.append(Timer(card_key(incident), now + CARD_EVERY, SummaryAged(incident.number, episode.number)))
    return incident, (asked,), (page_for(incident, details),), tuple(timers)


def page_for(incident: Incident, details: str = "") -> PageOnCall:
    """The page itself: what a woken person reads first is the symptom, then the severity."""
    facts = {
        "incident": incident.ref,
        "severity": incident.severity.value,
        "service": incident.service or "not named",
        "opened": incident.opened_at.isoformat(),
        "opened by": incident.opened_by,
    }
    if details:
        facts["details"] = details[:2000]
    symptom = incident.episode.symptom
    if symptom:
        facts["first opened for"] = incident.title
    return PageOnCall(
        incident=incident.number,
        dedup_key=incident.episode.dedup_key,
        pager=incident.pager or "default",
        summary=f"{incident.severity.value} {incident.ref}: {symptom or incident.title}"[:1024],
        severity=PAGER_SEVERITY[incident.severity],
        source=incident.service or "firstfive",
        details=facts,
        links=tuple((url, "Dashboard") for url in incident.dashboards),
        rank=incident.severity.rank,
    )


def to_owners(incident: Incident, topic: Topic, policy: Policy, **facts: Any) -> tuple[Effect, ...]:
    """A word in the service's own channel, where it has one; of a private incident not even that."""
    if incident.private or not policy.service(incident.service).channel:
        return ()
    return (say(incident, topic, place=Place.SERVICE, **facts),)


def _to_owners(incident: Incident, policy: Policy) -> tuple[Effect, ...]:
    return to_owners(incident, Topic.OPENED, policy, title=incident.title, severity=incident.severity.value)


def opened_apart(
    parent: Incident, alerts: Sequence[AlertState], number: int, by: str, why: str, now: datetime, policy: Policy
) -> Decision:
    """An incident for alerts that were part of another: of their own service, as bad as the worst of them asks for."""
    worst = min(alerts, key=lambda one: (one.severity or parent.severity).rank)
    severity, service = worst.severity or parent.severity, worst.service or parent.service
    known = policy.service(service)
    pager = worst.pager or (parent.pager if service == parent.service and parent.pager else known.pager)
    incident = _new(
        number, worst.title[:TITLE_LIMIT], severity, now, by, service, policy, pager=pager, private=parent.private, drill=parent.drill
    )
    started = min(one.started_at for one in alerts)
    incident = replace(
        incident,
        alerts=tuple(replace(one, is_related=False, why="") for one in alerts),
        last_alert_at=max(one.changed_at for one in alerts),
        impact_started_at=started,
        impact_source=f"alert {worst.name}",
        runbook=known.runbook,
        runbook_reason=f"the runbook of {service}" if known.runbook else "",
        split_from=None if by == BOT else parent.number,
    )
    decision = opened(watched(incident, (), policy), now, policy, by, why)
    began = entry(incident, now, "impact_started_set", BOT, value=started, source=f"alert {worst.name}")
    return replace(decision, entries=(*decision.entries, began))


def update_timers(incident: Incident, since: datetime, policy: Policy) -> tuple[Timer, ...]:
    """The reminders of the first status update, by the severity's cadence."""
    every = policy.rule(incident.severity).update_every
    return promised(incident, since, since + every) if every else ()


def promised(incident: Incident, now: datetime, next_by: datetime) -> tuple[Timer, ...]:
    """Remind five minutes before the promised update where there is that much time, and say so when it is late."""
    soon_key, late_key = update_keys(incident)
    soon = next_by - timedelta(minutes=5)
    timers = [Timer(late_key, next_by, UpdateDue(incident.number, next_by, is_late=True))]
    if soon > now:
        timers.insert(0, Timer(soon_key, soon, UpdateDue(incident.number, next_by)))
    return tuple(timers)


def alert_started(
    incident: Incident, alert: Alert, fingerprint: str, now: datetime, why: str = "", *, is_related: bool = False
) -> Entry:
    """The entry of an alert that began to fire, at the time its sender gives; with why it joined, where it did."""
    return entry(
        incident,
        min(alert.started_at, now),
        "alert_started",
        BOT,
        alert=name_of(alert),
        fingerprint=fingerprint,
        received_at=now,
        title=alert.title,
        link=alert.url,
        filled_in=", ".join(filled_in(alert, now)) or None,
        reason=why or None,
        related=is_related or None,
    )


def filled_in(alert: Alert, now: datetime) -> tuple[str, ...]:
    """What the sender did not say. A start further ahead than clocks differ is none: it counts from when it came."""
    is_ahead = alert.started_at - now > AHEAD and "started_at" not in alert.defaults
    return (*alert.defaults, "started_at") if is_ahead else alert.defaults


def newest_word(known: AlertState | None, alert: Alert, now: datetime) -> datetime | None:
    """When its sender last said that it fires, where it does not say since when: an end from before that is none of it."""
    before = known.told_at if known else None
    if alert.changed_at is None or "started_at" not in filled_in(alert, now):
        return before
    at = by_its_clock(alert.changed_at, now)
    return at if before is None else max(before, at)


def with_runbook(incident: Incident, choice: Choice) -> Incident:
    """The incident with the chosen runbook on it; the reason stays even where none was found."""
    path = choice.runbook.path if choice.runbook else choice.url
    return replace(incident, runbook=path, runbook_reason=choice.reason)


def _new(
    number: int,
    title: str,
    severity: Severity,
    now: datetime,
    by: str,
    service: str | None,
    policy: Policy,
    *,
    pager: str,
    private: bool,
    drill: bool,
) -> Incident:
    return Incident(
        number=number,
        title=title,
        severity=severity,
        status=Status.TRIGGERED,
        opened_at=now,
        opened_by=by,
        service=service,
        pager=pager,
        private=private,
        drill=drill,
        dashboards=policy.service(service).dashboards,
        episodes=(Episode(number=1, opened_at=now, dedup_key=dedup_key(number, 1, now)),),
    )


def _opened_entry(incident: Incident, now: datetime, by: str) -> Entry:
    return entry(
        incident,
        now,
        "opened",
        by,
        earlier=f"INC-{incident.earlier}" if incident.earlier else None,
        severity=incident.severity.value,
        service=incident.service,
        title=incident.title,
        drill=incident.drill or None,
        private=incident.private or None,
    )


def _chat(incident: Incident, by: str, policy: Policy) -> tuple[Effect, ...]:
    held = [person for people in incident.roles.values() for person in people]
    people = tuple(dict.fromkeys((*(() if by == BOT else (by,)), *held, *policy.service(incident.service).people)))
    links = _bookmarks(incident)
    card, *rest = refreshed(incident)
    return (
        OpenChannel(incident.number, channel_name(incident, policy.channels.prefix), incident.private),
        InvitePeople(incident.number, people),
        card,
        PinSummary(incident.number),
        *((AddBookmarks(incident.number, links),) if links else ()),
        *rest,
    )


def _bookmarks(incident: Incident) -> tuple[tuple[str, str], ...]:
    links = [(f"Dashboard {index}" if index > 1 else "Dashboard", url) for index, url in enumerate(incident.dashboards, start=1)]
    if incident.runbook and incident.runbook.startswith(("https://", "http://")):
        links.append(("Runbook", incident.runbook))
    return tuple(links)


def channel_name(incident: Incident, prefix: str) -> str:
    """inc-7-checkout-is-slow, or as its route says: lower-case letters, digits and dashes, at most 80 characters."""
    words = {
        "prefix": prefix, "number": str(incident.number), "title": _slug(incident.title), "severity": incident.severity.value,
        "service": _slug(incident.service or ""),
    }  # fmt: skip
    form = incident.channel_form or CHANNEL_FORM
    # The title is shortened, and nothing else: no two channels may have one name.
    rest = len(_filled(form, {**words, "title": ""}))
    words["title"] = words["title"][: max(0, LONGEST_NAME - rest)]
    return _slug(_filled(form, words), "_-")[:LONGEST_NAME].rstrip("-")


def _filled(form: str, words: Mapping[str, str]) -> str:
    for word, said in words.items():
        form = form.replace(f"{{{word}}}", said)
    return form


def _slug(text: str, others: str = "-") -> str:
    words = "".join(char if char.isascii() and (char.isalnum() or char in others) else "-" for char in text.lower())
    return "-".join(part for part in words.split("-") if part)


def _runbook(incident: Incident, choice: Choice | None) -> tuple[Effect, ...]:
    if choice is None:
        return ()
    book = choice.runbook
    return (
        say(
            incident,
            Topic.RUNBOOK,
            path=book.path if book else "",
            title=book.title if book else "",
            reason=choice.reason,
            first_minute="\n".join(book.first_minute) if book else "",
            url=choice.url,
            stale_days=choice.stale_days,
            owner=book.owner if book else "",
        ),
    )


def _dashboards(alert: Alert, known: tuple[str, ...]) -> tuple[str, ...]:
    urls = [link.url for link in alert.links if link.rel in ("dashboard", "panel")]
    return tuple(dict.fromkeys((*urls, *known)))[:3]


def _known_service(name: str | None, policy: Policy) -> str | None:
    if not name:
        return None
    found = policy.aliases().get(name.lower())
    if found is None and policy.services:
        raise Refused(f"No service is called {quoted(name[:60])}. Known are: {', '.join(sorted(policy.services))}.")
    return found or name


def _state(alert: Alert, placement: Placement, severity: Severity, now: datetime, policy: Policy) -> AlertState:
    return AlertState(
        fingerprint=placement.fingerprint,
        name=name_of(alert),
        title=alert.title,
        is_firing=True,
        source=alert.source,
        started_at=min(alert.started_at, now),
        changed_at=now,
        url=alert.url,
        severity=severity,
        filled_in=filled_in(alert, now),
        trace=trace_of(alert),
        flaps=STEADY.fired(alert.started_at, now, policy.flapping_rule()),
        service=placement.service,
        unlisted=alert.truncated_count,
        pager=pager_of(placement, policy),
        told_at=newest_word(None, alert, now),
    )


def pager_of(placement: Placement, policy: Policy) -> str:
    """Whom an alert pages where it opens an incident: as its route says, else as its service does."""
    return placement.pager or placement.route.pager or policy.service(placement.service).pager


def trace_of(alert: Alert) -> str | None:
    """Where the trace is shown that an alert names."""
    return next((one.url for one in alert.links if one.rel == "trace"), None)


def _announced(record: AlertRecord) -> AlertState:
    return AlertState(
        fingerprint=record.fingerprint,
        name=record.title,
        title=record.title,
        is_firing=record.is_firing,
        source=record.source,
        started_at=record.at,
        changed_at=record.at,
    )


def _record(alert: Alert, fingerprint: str, number: int, service: str | None, now: datetime) -> AlertRecord:
    return AlertRecord(fingerprint, number, True, alert.title, alert.source, service, now)
