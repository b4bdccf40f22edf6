"""What a command shows to the one who typed it: lists, the timeline, who is on it, the help, the numbers."""

from collections.abc import Sequence
from datetime import datetime

from bot.digest import Digest
from bot.incidents.holdings import HeldAlert
from bot.incidents.incident import Incident, Role
from bot.incidents.oncall import OnCall, Rota, Turn
from bot.incidents.timeline import Entry
from bot.slack import ids
from bot.slack.commands import SUBS, Sub
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    button,
    context,
    divider,
    fields,
    header,
    message,
    said,
    section,
)
from bot.slack.views.card import ICONS, clock_line, graded, page_line, standing
from bot.slack.views.text import clean, clip, escape, filled_in, fit, moment, people, person, since, spoken, told

MOST_ROTAS = 8
PAGE_LINES = 15
"""Of at most 600 characters each: all of them fit into one message."""


def refused(sentence: str) -> Message:
    """Why not, and what to do."""
    return said(f"🙅 {sentence}")


MOST_LISTED = 60
"""More lines than fit into one message."""


def listed(worst: Sequence[Incident], total: int, now: datetime) -> Message:
    """The open incidents, the worst first: as many of them as are shown at most, and how many there are."""
    if not total:
        return said("🌿 Nothing is open.")
    lines = [_line(one, now) for one in worst]
    return message(f"{total} open incident{'s' * (total != 1)}", section(fit(lines, 2900, unseen=total - len(worst))))


def _line(incident: Incident, now: datetime) -> str:
    episode = incident.episode
    stand = f"{person(episode.holder)} is on it" if episode.holder else "*nobody is on it yet*"
    where = f" <#{incident.channel.id}>" if incident.channel and not incident.private else ""
    title = "a private incident" if incident.private else escape(incident.title, 150)
    age = since(incident.opened_at, now)
    return f"{ICONS[incident.severity.value]} *{incident.ref}* {title} · {standing(incident)} · {age} · {stand}{where}"


def timeline(incident: Incident, shown: Sequence[Entry], total: int, page: int = 0) -> Message:
    """A page of the timeline, the newest entries last; older ones behind a button. `total` counts all of its entries."""
    has_earlier = total > (page + 1) * PAGE_LINES
    earlier = actions(button("Earlier", ids.TIMELINE_PAGE, f"{incident.number}:{page + 1}")) if has_earlier else None
    title = f"*Timeline of {incident.ref}* · {total} entries"
    blocks: list[Block] = []
    chunk: list[str] = []
    for line in map(entry_line, shown):
        if sum(map(len, chunk)) + len(chunk) + len(line) > 2800:
            blocks.append(section("\n".join(chunk)))
            chunk = []
        chunk.append(line)
    if chunk:
        blocks.append(section("\n".join(chunk)))
    return message(f"Timeline of {incident.ref}", section(title), *blocks, earlier)


def alerts(incident: Incident, shown: Sequence[HeldAlert], total: int, now: datetime, page: int = 0) -> Message:
    """A page of an incident's alerts, the worst of those that fire first; the rest behind a button."""
    more = total > (page + 1) * PAGE_LINES
    further = actions(button("More", ids.ALERTS_PAGE, f"{incident.number}:{page + 1}")) if more else None
    if not total:
        return said(f"🔕 {incident.ref} has had no alert.")
    first = page * PAGE_LINES + 1
    title = f"*Alerts of {incident.ref}* · {first} to {first + len(shown) - 1} of {total}"
    return message(f"Alerts of {incident.ref}", section(title), section(fit([_alert_line(one, now) for one in shown], 2900)), further)


def _alert_line(one: HeldAlert, now: datetime) -> str:
    parts = [
        f"{'🔥' if one.is_firing else '✔️'} {graded(one.severity)}",
        escape(one.title, 90),
        escape(one.service, 40) if one.service else "",
        f"{one.fires} fires" if one.fires > 1 else "",
        f"{one.reports} report{'s' * (one.reports != 1)}",
        f"since {moment(one.started_at, now)}",
    ]
    return " · ".join(filter(None, parts))


QUIET = frozenset({"channel_opened", "reminder", "kept_open"})


def entry_line(entry: Entry) -> str:
    """One entry as a line of mrkdwn; its time is each reader's own."""
    at = moment(entry.at, seconds=True)
    return clip(f"{at} {entry_words(entry)}", 600)


def entry_words(entry: Entry) -> str:
    """What happened, in words. A type that nobody knows is shown as it is."""
    facts, by = entry.fields, person(entry.by)
    # What was pinned is quoted, not said: it names nobody here.
    text = told(str(facts.get("text", "")), None if facts.get("link") else entry.by, 300).replace("\n", " ")

    def fact(name: str) -> str:
        return escape(str(facts.get(name, "?")), 80)

    match entry.type:
        case "opened":
            earlier = f", after {fact('earlier')}" if facts.get("earlier") else ""
            return f"*opened* as {fact('severity')} by {by}{earlier}"
        case "alert_started":
            guessed = filled_in(str(facts["filled_in"]).split(", ")) if facts.get("filled_in") else ""
            is_related = "related alert" if facts.get("related") else "alert"
            why = f" ({escape(str(facts['reason']), 200)})" if facts.get("reason") else ""
            return f"🔥 {is_related} {escape(str(facts.get('alert', '')), 120)} fired{why} {guessed}".rstrip()
        case "alert_resolved":
            return f"🌤️ alert {escape(str(facts.get('alert', '')), 120)} cleared"
        case "alert_quieted":
            since = f"has fired since {moment(datetime.fromisoformat(str(facts['since'])))}" if facts.get("since") else "fired before"
            return f"🔕 alert {escape(str(facts.get('alert', '')), 120)} {since}, and was under {fact('under')} until now"
        case "flapping_started":
            alert, within = escape(str(facts.get("alert", "")), 120), float(facts.get("within_seconds") or 0) / 60
            return f"〰️ alert {alert} *flaps*: {fact('fires')} fires in {within:g} min"
        case "flapping_ended":
            return f"〰️ alert {escape(str(facts.get('alert', '')), 120)} is calm, after {fact('fires')} fires"
        case "page_requested":
            return "asked PagerDuty to page"
        case "page_accepted":
            return "📟 *PagerDuty took the page*"
        case "page_failed":
            return f"⚠️ page not taken: {escape(str(facts.get('reason', '')), 200)}"
        case "page_dropped":
            return f"⚠️ page not sent: {escape(str(facts.get('reason', '')), 200)}"
        case "ack_delayed":
            return f"⚠️ PagerDuty has not taken the acknowledgement yet: {escape(str(facts.get('reason', '')), 200)}"
        case "escalation_delayed":
            return f"⚠️ level {fact('to_level')} not taken yet: {escape(str(facts.get('reason', '')), 200)}"
        case "escalation_failed":
            return f"⚠️ level {fact('to_level')} not paged: {escape(str(facts.get('reason', '')), 200)}"
        case "page":
            return f"📟 PagerDuty notified {person(facts.get('to'))} (level {fact('level')}, {fact('channel')})"
        case "ack":
            return f"✅ *acknowledged* by {by}"
        case "unack":
            return f"↩️ acknowledgement taken back by {by}"
        case "ack_breached":
            return "🚨 *acknowledgement target missed*"
        case "escalated":
            return f"⏫ escalated from level {fact('from_level')} to {fact('to_level')}"
        case "severity_changed":
            return f"severity {fact('from')} → *{fact('to')}* by {by}"
        case "status_changed":
            return f"status → *{fact('to')}* by {by} {text}".rstrip()
        case "role":
            return f"{person(facts.get('user'))} is {fact('role')}"
        case "note" | "pin":
            return f"📝 {by}: {text}"
        case "status_update":
            return f"💬 update by {by}: {text}"
        case "resolved":
            return f"🏁 *resolved* by {by} {text}".rstrip()
        case "reopened":
            out = f", out of {fact('split_from')} again" if facts.get("split_from") else ""
            return f"🔁 *reopened* by {by}{out} {text}".rstrip()
        case "merged":
            return f"🔗 merged into {escape(str(facts.get('into', '')), 30)}"
        case "split_from" | "split_off":
            return _taken_out(entry)
        case _:
            return f"{escape(entry.type, 60).replace('_', ' ')} {text}".rstrip()


def _taken_out(entry: Entry) -> str:
    facts = entry.fields
    what = f" “{escape(str(facts['alert']), 120)}”" if facts.get("alert") else ""
    where = f" → {escape(str(facts['into']), 30)}" if facts.get("into") else ""
    out = f" out of {escape(str(facts['from']), 30)}" if facts.get("from") else ""
    why = f": {told(str(facts['reason']), entry.by, 300)}" if facts.get("reason") else ""
    return f"✂️ taken out{out}{what}{where} by {person(entry.by)}{why}"


def who(incident: Incident, now: datetime, seen: OnCall | None) -> Message:
    """Who was paged, who is on it, who has which role."""
    held = [f"*{role.value.capitalize()}*\n{people(incident.roles[role])}" for role in Role if incident.roles.get(role)]
    roles = fields(*held) if held else context("Nobody has a role yet: `/incident role commander me`")
    lines = f"*{incident.ref}* {escape(incident.title, 150)}\n{clock_line(incident, now)}\n{page_line(incident)}"
    rota = seen.rota(incident.escalation_policy) if seen else None
    turns = section(_turns(rota, now, 2000)) if rota else None
    return message(f"Who is on {incident.ref}", section(lines), roles, turns, context(_asked(seen, rota, now)))


def on_call(seen: OnCall | None, now: datetime, why: str) -> Message:
    """Who is on call for everything, where no incident is meant. `why` says why none is."""
    rotas = seen.rotas[:MOST_ROTAS] if seen else ()
    more = f" Shown are {MOST_ROTAS} of {len(seen.rotas)} escalation policies." if seen and len(seen.rotas) > MOST_ROTAS else ""
    shown = (section(_turns(one, now, 900)) for one in rotas)
    return message("Who is on call", section(why), *shown, context(_asked(seen, rotas[0] if rotas else None, now) + more))


def _turns(rota: Rota, now: datetime, limit: int) -> str:
    """A line a level: those who share one stand in it together."""
    lines = [f"☎️ *On call now* · {escape(rota.name, 150)}"]
    for level in sorted({one.level for one in rota.turns}):
        mine = [one for one in rota.turns if one.level == level]
        lines.append(f"level {level}: {', '.join(person(one.person) + _until(one, now) for one in mine)}")
    return fit(lines, limit)


def _until(turn: Turn, now: datetime) -> str:
    return f" until {moment(turn.until, now)}" if turn.until else ""


def _asked(seen: OnCall | None, rota: Rota | None, now: datetime) -> str:
    """How old that is, or why it is not there: not known is not nobody."""
    if seen is None:
        return "Who is on call is not known here: PagerDuty was not asked yet, or there is no REST token for it."
    age = spoken(max(0.0, (now - seen.at).total_seconds()))
    if rota is None:
        return f"PagerDuty named nobody on call for this, {age} ago."
    return f"As PagerDuty said {age} ago."


def helped(command: str, sub: Sub | None = None) -> Message:
    """The help: everything, or one subcommand."""
    if sub is not None:
        also = f"\nalso: {', '.join(sub.synonyms)}" if sub.synonyms else ""
        return said(
            f"`{command} {escape(sub.usage, 200)}`\n{escape(sub.line, 300)}{also}\nfor example `{command} {escape(sub.example, 200)}`"
        )
    lines = [f"`{command} {escape(sub.usage, 200)}` · {escape(sub.line, 200)}" for sub in SUBS]
    middle = len(lines) // 2
    return message(
        f"{command} declare, ack, page, sev, status, role, note, update, resolve …",
        section("*In an incident's channel no number is needed; elsewhere add INC-7.*"),
        section("\n".join(lines[:middle])),
        section("\n".join(lines[middle:])),
        context(f"`{command} help page` tells more of one. Everything is also a button on the card."),
    )


def unknown(command: str, word: str, near: Sequence[str]) -> Message:
    """Nothing we know, with what was probably meant."""
    shown = escape(word, 60)
    if near:
        meant = " or ".join(f"`{command} {one}`" for one in near)
        return said(f"🤔 “{shown}” is nothing I know. Did you mean {meant}?")
    return said(f"🤔 “{shown}” is nothing I know. `{command} help` shows everything.")


# --- numbers ----------------------------------------------------------------------------------


def digest(given: Digest, *, with_table: bool = True) -> Message:
    """The weekly digest: one sentence, what needs somebody, the scorecard, load and noise."""
    attention = (
        section("*Needs attention*\n" + fit([f"• {escape(one, 300)}" for one in given.attention], 2600)) if given.attention else None
    )
    return message(
        f"{escape(given.title, 150)}: {escape(given.headline, 500)}",
        header(given.title),
        section(escape(given.headline, 1000)),
        attention,
        _table(given) if with_table else section(_monospace(given)),
        divider(),
        section(fit([escape(one, 500) for one in given.load], 2600)) if given.load else None,
        section("*Noisiest alerts*\n" + fit([f"• {escape(one, 300)}" for one in given.noise], 2400)) if given.noise else None,
        section("*Security*\n" + fit([f"• {escape(one, 600)}" for one in given.findings], 2600)) if given.findings else None,
        context(*(escape(one, 600) for one in given.footer)),
    )


HEADS = ("Target", "This week", "n", "Last 4 weeks", "Status")


def _table(given: Digest) -> Block:
    """Slack's table block. Cells may not be empty. https://docs.slack.dev/reference/block-kit/blocks/table-block"""
    rows = [HEADS, *((row.name, row.value, row.n, row.recent, row.status) for row in given.rows)]
    return {
        "type": "table",
        "column_settings": [{"is_wrapped": True}, {"align": "right"}, {"align": "right"}, {"align": "right"}, {"align": "left"}],
        "rows": [[{"type": "raw_text", "text": clean(str(cell), 120, lines=False) or "–"} for cell in row] for row in rows],
    }  # fmt: skip


def _monospace(given: Digest) -> str:
    lines = [f"{row.name:26.26} {row.value:>12.12} {row.status}" for row in given.rows]
    return "```" + escape(fit(lines, 2600), 2800, lines=True) + "```"
