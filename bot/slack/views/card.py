"""The summary card, the line in the announcement channel, the topic: what somebody reads at 03:00 on a phone.

Top to bottom: what is broken, how bad, whether anybody is on it, whether anybody was paged; then one big button.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.alerts.flapping import MOST_KEPT
from bot.incidents.changes import ChangeRecord
from bot.incidents.holdings import Share
from bot.incidents.incident import AlertState, Episode, Incident, PageState, Role, Severity, Status
from bot.incidents.policy import Policy
from bot.slack import ids
from bot.slack.views import changes as change_views
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    button,
    context,
    fields,
    header,
    link,
    message,
    overflow,
    section,
)
from bot.slack.views.text import clip, escape, filled_in, fit, moment, people, person, since, spoken, told

ICONS = {"SEV1": "🔴", "SEV2": "🟠", "SEV3": "🟡", "SEV4": "🔵", "SEV5": "⚪"}
MOST_ALERTS = 5
MOST_SHARES = 6
NONE_COUNTED: Mapping[str, int] = {}


def card(
    incident: Incident,
    policy: Policy,
    now: datetime,
    changes: Sequence[ChangeRecord] = (),
    shares: Sequence[Share] = (),
    reports: Mapping[str, int] = NONE_COUNTED,
) -> Message:
    """The card. Drawn anew from the incident as it stands; says "paged" only of a page that PagerDuty took.

    `changes` are those to show of what came before its start; `shares` say what its alerts are, where there are many;
    `reports` how often each that it lists was reported, by its fingerprint.
    """
    title = f"{ICONS[incident.severity.value]} {incident.ref} · {incident.title}"
    text = f"{incident.ref} {escape(incident.title, 200)}: {incident.severity.value}, {state_line(incident)}"
    return message(
        text,
        header(title),
        section(_first_line(incident, policy, now)),
        section(clock_line(incident, now)) if incident.is_open or incident.episode.pages else None,
        section(fit([page_line(incident), *_other_pages(incident)], 2900)),
        _people(incident),
        _alerts(incident, policy, now, shares, reports),
        _related(incident, policy, now, reports),
        _changes(incident, changes, now),
        _update(incident, now),
        _buttons(incident),
        context(*_footer(incident, policy, now)),
    )


def state_line(incident: Incident) -> str:
    """The state in few plain words."""
    if incident.status is Status.MERGED:
        return f"merged into INC-{incident.merged_into}"
    if incident.status is Status.RESOLVED and incident.resolved_at is not None:
        return f"resolved after {spoken((incident.resolved_at - incident.opened_at).total_seconds())}"
    return standing(incident)


def standing(incident: Incident) -> str:
    """The status in a word, or that it rings again: nothing is called acknowledged that nobody is on."""
    if incident.status is Status.ACKNOWLEDGED and incident.episode.is_ringing_again:
        return "rings again"
    return incident.status.value


def started_at(incident: Incident) -> datetime:
    """When it began to hurt, as far as anybody knows."""
    return incident.impact_started_at or incident.opened_at


def _first_line(incident: Incident, policy: Policy, now: datetime) -> str:
    means = policy.rule(incident.severity).means
    service = f" · *{escape(incident.service, 80)}*" if incident.service else ""
    drill = "*DRILL* · " if incident.drill else ""
    status = f"*{standing(incident).capitalize()}*"
    if incident.status is Status.MERGED:
        status = f"*Merged into INC-{incident.merged_into}*"
    started = started_at(incident)
    lasted = f"since {moment(started, now)} ({since(started, now)})"
    if incident.resolved_at is not None:
        lasted = f"resolved {moment(incident.resolved_at, now)} after {since(incident.opened_at, incident.resolved_at)}"
    storm = f"\n{_storm(incident, policy)}" if incident.storm else ""
    return f"{drill}*{incident.severity.value}* {escape(means, 120)}{service}\n{status} · {lasted}{storm}"


def _storm(incident: Incident, policy: Policy) -> str:
    """Why one incident holds alerts that have little to do with each other."""
    source, flood = escape(incident.source or "its source", 80), policy.flood()
    others = len({one.source for one in incident.alerts} - {incident.source, ""})
    minutes, theirs = flood.within.total_seconds() / 60, f"{flood.in_all} of all, or {flood.in_a_minute} of all in a minute"
    more = f" and {others} other source{'s' if others > 1 else ''}"
    who = f"{source}{more} send" if others else f"{source} sends"
    return f"🌪️ *Alert storm*: gathers what {who} beyond {flood.most} incidents in {minutes:g} min (or {theirs})"


def clock_line(incident: Incident, now: datetime) -> str:
    """How the acknowledgement stands against its target. `<!date…>` shows each reader their own time."""
    episode = incident.episode
    if episode.acknowledged_at is not None:
        return _acknowledged(episode)
    if not episode.pages or episode.deadline is None:
        return "🕐 No acknowledgement clock: this severity pages nobody."
    if episode.ended_at is not None:
        what = "this page" if episode.page is PageState.ACCEPTED else "it"
        return f"🕐 *Nobody acknowledged {what}* before it ended."
    waited = (now - episode.opened_at).total_seconds()
    target = (episode.deadline - episode.opened_at).total_seconds()
    if now >= episode.deadline:
        over = spoken(waited - target)
        missed = f"target missed {over} before, at {moment(episode.deadline, seconds=True)}"
        return f"🚨 *Not acknowledged for {spoken(waited)}* at {moment(now, seconds=True)} · {missed}"
    return (
        f"⏱️ *Not acknowledged* · {spoken(waited)} of {target / 60:g} min at {moment(now, seconds=True)} · "
        f"target {moment(episode.deadline, seconds=True)}\n{_bar(waited / target)}"
    )


def _acknowledged(episode: Episode) -> str:
    assert episode.acknowledged_at is not None
    seconds = (episode.acknowledged_at - episode.opened_at).total_seconds()
    via = {"slack": "in Slack", "pagerduty": "in PagerDuty", "merge": "on a merged incident"}
    where = via.get(episode.acknowledged_via or "", "")
    verdict = ""
    if episode.target is not None:
        met = seconds < episode.target.total_seconds()
        verdict = " · target met" if met else f" · target of {episode.target.total_seconds() / 60:g} min *missed*"
    who = person(episode.acknowledged_by)
    line = f"✅ Acknowledged by {who} {where} after *{spoken(seconds)}*{verdict}"
    if episode.rings_since is not None and episode.ended_at is None:
        return (
            f"🚨 *Nobody is on it*: PagerDuty took the acknowledgement back at {moment(episode.rings_since)} and rings again\n{line}"
        )
    if episode.taken_up_at is not None:
        return f"✅ {person(episode.taken_up_by)} is on it, since {moment(episode.taken_up_at)}\n{line}, taken back since"
    return line


def _bar(share: float) -> str:
    full = max(0, min(20, int(share * 20)))
    return "`" + "█" * full + "░" * (20 - full) + "`"


def page_line(incident: Incident) -> str:
    """What is known of the page, and not a word more. Of what is over, nothing is asked and nothing is tried."""
    episode = incident.episode
    is_over = not incident.is_open or episode.ended_at is not None
    match episode.page:
        case PageState.REQUESTED | PageState.DELAYED if is_over:
            return "📟 PagerDuty is not known to have taken this page."
        case PageState.NOT_NEEDED:
            return f"📟 Nobody was paged: {incident.severity.value} pages nobody."
        case PageState.REQUESTED:
            return f"📟 Asking PagerDuty to page {_on_call(incident)} …"
        case PageState.DELAYED if episode.unseen:
            return f"⚠️ *The page woke nobody, as far as anybody can tell*: {escape(episode.page_reason, 300)}. Sent again."
        case PageState.DELAYED:
            return f"⚠️ *PagerDuty has not taken the page yet*: {escape(episode.page_reason, 300)}. Still trying."
        case PageState.REFUSED:
            return f"🛑 *Nobody was paged.* PagerDuty refused: {escape(episode.page_reason, 300)}"
        case PageState.DROPPED:
            return f"📟 {escape(episode.page_reason, 300)}."
        case PageState.ACCEPTED:
            return _accepted(incident, episode)


def _accepted(incident: Incident, episode: Episode) -> str:
    at = moment(episode.accepted_at, seconds=True) if episode.accepted_at else ""
    where = link(incident.pager_url, "PagerDuty") or "PagerDuty"
    line = f"📟 Paged through {where} at {at}"
    if episode.notified:
        return f"{line} · notified: {people(episode.notified)} · level {episode.level}"
    if episode.assignees:
        return f"{line} · assigned to {people(episode.assignees)} · level {episode.level}"
    return f"{line} · PagerDuty has not said yet whom it notified"


def _other_pages(incident: Incident) -> list[str]:
    """The same of the pages of others. Who acknowledged one of them stops no clock: it says who is on their part of it."""
    episode = incident.episode
    is_over = not incident.is_open or episode.ended_at is not None
    lines = []
    for one in episode.others:
        who = f"the on-call of *{escape(one.name, 80)}*"
        if one.refused:
            lines.append(f"🛑 {who} was *not* paged: {escape(one.refused, 200)}")
        elif one.ended_at is not None:
            lines.append(f"📟 Paged {who}, too; that page was resolved in PagerDuty at {moment(one.ended_at, seconds=True)}")
        elif one.late and not is_over:
            lines.append(f"⚠️ PagerDuty has *not taken* the page of {who} yet: {escape(one.late, 200)}. Still trying.")
        elif one.accepted_at is None:
            asked = "PagerDuty is not known to have taken the page of" if is_over else "Asking PagerDuty to page"
            lines.append(f"📟 {asked} {who}{'.' if is_over else ' …'}")
        elif one.acknowledged_at is None:
            lines.append(
                f"📟 Paged {who}, too, at {moment(one.accepted_at, seconds=True)} · PagerDuty has told of no acknowledgement"
            )
        else:
            at = moment(one.acknowledged_at, seconds=True)
            lines.append(f"📟 Paged {who}, too · acknowledged by {person(one.acknowledged_by)} at {at}")
    return lines


def _on_call(incident: Incident) -> str:
    return f"the on-call of {escape(incident.service, 80)}" if incident.service else "the on-call"


def _people(incident: Incident) -> Block | None:
    held = [f"*{role.value.capitalize()}*\n{people(incident.roles[role])}" for role in Role if incident.roles.get(role)]
    return fields(*held) if held else None


def listed(incident: Incident) -> list[AlertState]:
    """The alerts that the card lists, each with a line of its own."""
    own, related = ([one for one in incident.alerts if one.is_related is which] for which in (False, True))
    return [*_worst(own)[:MOST_ALERTS], *_worst(related)[:MOST_ALERTS]]


def _alerts(incident: Incident, policy: Policy, now: datetime, shares: Sequence[Share], reports: Mapping[str, int]) -> Block | None:
    own = [one for one in incident.alerts if not one.is_related]
    more, firing = incident.more - incident.more_related, incident.more_firing - incident.more_related_firing
    lines = _listed(incident, own, more, firing, policy, now, reports)
    if not lines:
        return None
    lines += [_shares(shares, incident.alert_count)] if shares else []
    lines += [left] if (left := _unlisted(incident)) else []
    # Where there is a choice: on what opened it alone there is none.
    can_split = incident.is_open and incident.can_lose_one
    return section(fit(lines, 2900), button("Split off …", ids.SPLIT, incident.number) if can_split else None)


def _unlisted(incident: Incident) -> str:
    """That a sender told of some alerts of a group only; empty where it told of all."""
    most = max((one for one in incident.alerts if one.is_firing), key=lambda one: one.unlisted, default=None)
    if most is None or not most.unlisted:
        return ""
    are = "s were" if most.unlisted != 1 else " was"
    return (
        f"✂️ *{most.unlisted} more alert{are} left out* by {escape(most.source, 60)}, which sends only so many of a group: see there"
    )


def _related(incident: Incident, policy: Policy, now: datetime, reports: Mapping[str, int]) -> Block | None:
    """What the incident explains: counted apart, and each with why it is here."""
    theirs = [one for one in incident.alerts if one.is_related]
    count = len(theirs) + incident.more_related
    if not count:
        return None
    head = f"🧩 *{count} related alert{'s' * (count != 1)}* (made nothing worse, paged nobody)"
    more, firing = incident.more_related, incident.more_related_firing
    return section(fit([head, *_listed(incident, theirs, more, firing, policy, now, reports)], 2900))


def _listed(
    incident: Incident,
    alerts: Sequence[AlertState],
    more: int,
    more_firing: int,
    policy: Policy,
    now: datetime,
    reports: Mapping[str, int],
) -> list[str]:
    worst = _worst(alerts)
    lines = []
    for one in worst[:MOST_ALERTS]:
        mark = "🔥" if one.is_firing else "✔️"
        times = (f" ×{one.fires}" if one.fires > 1 else "") + _reported(one, reports.get(one.fingerprint, 0))
        leads = " ".join(filter(None, (link(one.url, "source"), link(one.trace, "trace"))))
        lines.append(f"{mark} {escape(one.title, 160)}{times} · since {moment(one.started_at, now)} {leads}".rstrip())
        lines += [filled_in(one.filled_in), _flapping(one, policy, now) if incident.is_open else ""]
        lines.append(f"↳ _{escape(one.why, 200)}_" if one.why else "")
    rest = worst[MOST_ALERTS:]
    if rest or more:
        firing = sum(one.is_firing for one in rest) + more_firing
        lines.append(f"… and {len(rest) + more} more alerts, {firing} of them firing")
    return [line for line in lines if line]


def _worst(alerts: Sequence[AlertState]) -> list[AlertState]:
    """What fires first, then the worst, then the newest."""
    return sorted(alerts, key=lambda one: (not one.is_firing, _rank(one.severity), -one.started_at.timestamp()))


def _reported(alert: AlertState, reports: int) -> str:
    """How often it was reported, where that is more than its fires and their ends: a sender without ends only repeats itself."""
    accounted_for = 2 * alert.fires - alert.is_firing
    return f" · reported {reports} times" if reports > accounted_for else ""


def _rank(severity: Severity | None) -> int:
    return severity.rank if severity else len(Severity) + 1


def _shares(shares: Sequence[Share], total: int) -> str:
    """What the alerts are, all of them: the worst first, then the most, and how many are of others."""
    parts = [f"{graded(one.severity)} {escape(one.service or 'no service', 40)}: {one.count}" for one in shares[:MOST_SHARES]]
    rest = total - sum(one.count for one in shares[:MOST_SHARES])
    if rest > 0:
        parts.append(f"others: {rest}")
    return f"📊 {' · '.join(parts)}"


def graded(severity: Severity | None) -> str:
    """The severity that an alert asked for, or that it asked for none."""
    return severity.value if severity else "not graded"


def _flapping(alert: AlertState, policy: Policy, now: datetime) -> str:
    """That it flaps, with what can be counted of it."""
    if alert.flaps.since is None:
        return ""
    rule = policy.flapping_rule()
    count = alert.flaps.count(now, rule)
    if count < rule.fires:
        return f"〰️ *flapping* since {moment(alert.flaps.since, now)}, last fired {moment(alert.flaps.lately[-1], now)}"
    more = "+" if count >= MOST_KEPT else ""
    return f"〰️ *flapping*: {count}{more} fires in {rule.within.total_seconds() / 60:g} min"


def _changes(incident: Incident, changes: Sequence[ChangeRecord], now: datetime) -> Block | None:
    if not changes:
        return None
    start = started_at(incident)
    lines = [f"🔧 *Changes before the start* ({change_views.NOT_CAUSES})"]
    lines += [change_views.line(one, now, start) for one in changes]
    return section(fit(lines, 2900))


def _update(incident: Incident, now: datetime) -> Block | None:
    update = incident.update
    if update is None:
        return None
    promise = f" · next by {moment(update.next_by, now)}" if update.next_by and incident.is_open else ""
    return section(f"💬 *Update* {moment(update.at, now)} by {person(update.by)}{promise}\n{told(update.text, update.by, 1200)}")


def _buttons(incident: Incident) -> Block | None:
    value = incident.number
    if not incident.is_open:
        if incident.status is not Status.RESOLVED:
            return actions(button("Timeline", ids.TIMELINE, value))
        was_paged = incident.episode.page is PageState.ACCEPTED
        return actions(
            button("Reopen", ids.REOPEN, value),
            button("Post-mortem draft", ids.POSTMORTEM, value),
            button("Timeline", ids.TIMELINE, value),
            button("Page was useful", ids.PAGE_USEFUL, value) if was_paged else None,
            button("… was not", ids.PAGE_USELESS, value) if was_paged else None,
        )
    more = overflow(
        ids.MORE,
        ("Note", f"{ids.NOTE}:{value}"),
        ("Roles", f"{ids.ROLES}:{value}"),
        ("Page someone else", f"{ids.PAGE}:{value}"),
        ("Merge", f"{ids.MERGE}:{value}"),
        ("Who is on it", f"{ids.WHO}:{value}"),
    )
    waiting = incident.episode.is_waiting or incident.episode.is_ringing_again
    first = [
        button("Acknowledge", ids.ACKNOWLEDGE, value, "primary"),
        button("I can't: escalate", ids.ESCALATE, value, "danger") if incident.episode.pages else None,
    ]
    return actions(
        *(first if waiting or incident.episode.acknowledged_at is None else ()),
        button("Update", ids.UPDATE, value),
        button("Status", ids.STATUS, value),
        button("Severity", ids.SEVERITY, value),
        button("Resolve", ids.RESOLVE, value, None if waiting else "primary"),
        button("Timeline", ids.TIMELINE, value),
        button("All alerts", ids.ALERTS, value) if incident.alert_count > MOST_ALERTS else None,
        more,
    )


def _footer(incident: Incident, policy: Policy, now: datetime) -> list[str]:
    parts = [f"opened {moment(incident.opened_at, now, seconds=True)} by {person(incident.opened_by)}"]
    if incident.earlier:
        parts.append(f"the same alert was in INC-{incident.earlier} before")
    if owner := policy.service(incident.service).owner:
        parts.append(f"owner: {escape(owner, 80)}")
    if boards := [link(url, f"dashboard {place}" if place > 1 else "dashboard") for place, url in enumerate(incident.dashboards, 1)]:
        parts.append(f"📈 {' '.join(boards)}")
    if incident.route:
        parts.append(f"route: {escape(incident.route, 80)}")
    if incident.runbook:
        parts.append(f"runbook: {link(incident.runbook, 'open') or escape(incident.runbook, 120)}")
    if incident.channel_trouble:
        parts.append(f"⚠️ no channel of its own: {escape(incident.channel_trouble, 200)}")
    if incident.draft:
        parts.append(f"📄 {link(incident.draft, 'post-mortem draft')}")
    return [clip(part, 600) for part in parts]


def announcement(incident: Incident, now: datetime) -> Message:
    """The one line where everybody reads, kept up to date."""
    icon = ICONS[incident.severity.value] if incident.is_open else "✅"
    where = f"<#{incident.channel.id}>" if incident.channel else "no channel yet"
    episode = incident.episode
    if not incident.is_open:
        stand = state_line(incident)
    elif episode.is_ringing_again:
        stand = "*rings again*, nobody is on it"
    elif episode.acknowledged_at is not None:
        stand = f"{incident.status.value}, {person(episode.holder)} is on it"
    elif episode.page is PageState.ACCEPTED:
        late = episode.breached_at is not None
        stand = "paged, *not acknowledged within the target*" if late else "paged, not acknowledged yet"
    else:
        stand = page_line(incident).partition(" ")[2]
    line = f"{icon} *{incident.ref}* {escape(incident.title, 200)} · {incident.severity.value} · {stand} · {where}"
    update = incident.update
    below = context(f"💬 {told(update.text, update.by, 500)}") if update and incident.is_open else None
    return message(line, section(line), below)


def topic(incident: Incident) -> str:
    """The channel's topic: plain text of at most 250 characters."""
    lead = incident.roles.get(Role.COMMANDER, ())
    who = f" | lead: {people(lead)}" if lead else ""
    return clip(f"{incident.severity.value} | {standing(incident)} | {escape(incident.title, 150)}{who}", 250)
