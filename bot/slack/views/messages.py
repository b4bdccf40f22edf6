"""One view for each topic: the messages that tell a channel what happened."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.incidents.effects import AnnounceAlert, RaiseAlarm, Say, Topic
from bot.slack import ids
from bot.slack.views.blocks import Message, actions, button, context, link, message, said, section
from bot.slack.views.text import escape, filled_in, fit, moment, people, person, spoken, told

Facts = Mapping[str, Any]


def about(effect: Say, ref: str, number: int) -> Message:
    """The message of an effect. Whoever is meant and not named in it comes first in its line."""
    shown = VIEWS[effect.topic](effect.facts, ref, number)
    unnamed = [one for one in effect.people if person(one) not in shown.text]
    if not unnamed:
        return shown
    mentioned = people(unnamed)
    line, *below = shown.blocks
    return message(f"{mentioned} {shown.text}", section(f"{mentioned} {line['text']['text']}"), *below)


def _reminder(facts: Facts, ref: str, number: int) -> Message:
    minutes, target = facts["minutes"], facts["target_minutes"]
    asked = "" if facts.get("page") == "accepted" else " PagerDuty has *not* taken the page yet."
    line = f"⏰ *{ref}* is not acknowledged after {minutes:g} of {target:g} min.{asked}"
    return said(line, actions(*_ack_buttons(number)))


def _ack_buttons(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        button("Acknowledge", ids.ACKNOWLEDGE, number, "primary"),
        button("I can't: escalate", ids.ESCALATE, number, "danger"),
    )


def _breached(facts: Facts, ref: str, number: int) -> Message:
    level = int(facts["next_level"])
    then = f"Asking PagerDuty for level {level}." if level else "There is no further level to page. *Somebody please take it.*"
    line = f"🚨 *{ref}: nobody acknowledged within the target* ({spoken(facts['seconds'])} so far). {then}"
    return said(line, actions(*_ack_buttons(number)))


def _acknowledged(facts: Facts, ref: str, number: int) -> Message:
    met = facts.get("met")
    verdict = "" if met is None else ", within the target" if met else ", after the target had passed"
    via = {"slack": "", "pagerduty": " in PagerDuty"}.get(str(facts.get("via")), "")
    return said(f"✅ {person(facts['by'])} acknowledged *{ref}*{via} after {spoken(facts['seconds'])}{verdict}.")


def _unacknowledged(facts: Facts, ref: str, number: int) -> Message:
    line = f"↩️ PagerDuty took the acknowledgement of *{ref}* back ({person(facts['by'])}). It is ringing again."
    return said(line, actions(*_ack_buttons(number)))


def _delayed(facts: Facts, ref: str, number: int) -> Message:
    tries = int(facts["attempt"])
    late = (
        f"⚠️ *PagerDuty has not taken the page of {ref}* ({tries} {'try' if tries == 1 else 'tries'}): "
        f"{escape(str(facts['reason']), 500)}."
    )
    if facts.get("holder"):
        return said(f"{late} {person(str(facts['holder']))} is on it, so nobody else is to be woken.")
    line = f"{late} It is tried again. *Until then nobody is being woken: call people.*"
    return said(line, actions(button("Acknowledge", ids.ACKNOWLEDGE, number, "primary")))


def _refused(facts: Facts, ref: str, number: int) -> Message:
    line = f"🛑 *Nobody was paged for {ref}.* PagerDuty refused: {escape(str(facts['reason']), 500)}"
    return said(line, _mend(facts), actions(button("Acknowledge", ids.ACKNOWLEDGE, number, "primary")))


def _not_shown(facts: Facts, ref: str, number: int) -> Message:
    line = (
        f"⚠️ *The page of {ref} woke nobody, as far as anybody can tell.* {escape(str(facts['reason']), 500)}. "
        "It is sent again. *Until PagerDuty shows it: call people.*"
    )
    return said(line, _mend(facts), actions(button("Acknowledge", ids.ACKNOWLEDGE, number, "primary")))


def _mend(facts: Facts) -> dict[str, Any] | None:
    mend = escape(str(facts.get("mend") or ""), 500)
    return context(f"🔧 {mend}") if mend else None


def _level_asked(facts: Facts, ref: str, number: int) -> Message:
    return said(f"⏫ PagerDuty escalated *{ref}* to level {facts['level']}.")


def _level_delayed(facts: Facts, ref: str, number: int) -> Message:
    late = _not_yet(f"the request for level {facts['level']} of {ref}", facts)
    return said(f"{late} It is tried again. *Until then nobody there is being woken: call people.*")


def _ack_delayed(facts: Facts, ref: str, number: int) -> Message:
    return said(f"{_not_yet(f'the acknowledgement of {ref}', facts)} It is tried again; until then *it may go on ringing*.")


def _not_yet(what: str, facts: Facts) -> str:
    tries = int(facts["attempt"])
    counted = f"{tries} {'try' if tries == 1 else 'tries'}"
    return f"⚠️ *PagerDuty has not taken {what} yet* ({counted}): {escape(str(facts['reason']), 500)}."


def _level_not_asked(facts: Facts, ref: str, number: int) -> Message:
    line = f"🛑 *Level {facts['level']} was not paged for {ref}*: {escape(str(facts['reason']), 500)}. *Please call somebody.*"
    return said(line, _mend(facts))


def _someone_asked(facts: Facts, ref: str, number: int) -> Message:
    return said(f"📟 PagerDuty took the request for {person(str(facts['who']))} on *{ref}*.")


def _someone_delayed(facts: Facts, ref: str, number: int) -> Message:
    late = _not_yet(f"the page of {person(str(facts['who']))} for {ref}", facts)
    return said(f"{late} It is tried again. *Until then they are not being woken: call people.*")


def _someone_not_asked(facts: Facts, ref: str, number: int) -> Message:
    line = f"🛑 {person(str(facts['who']))} was *not* paged for *{ref}*: {escape(str(facts['reason']), 500)}"
    return said(line, _mend(facts))


def _escalated(facts: Facts, ref: str, number: int) -> Message:
    to = [one for one in str(facts.get("to") or "").split(",") if one]
    who = people(to) if to else "the next level"
    return said(f"⏫ PagerDuty escalated *{ref}* to level {facts['level']}: {who}.")


def _severity(facts: Facts, ref: str, number: int) -> Message:
    why = f" ({escape(str(facts['reason']), 300)})" if facts.get("reason") else ""
    return said(f"🎚️ {person(facts['by'])} changed *{ref}* from {facts['old']} to *{facts['new']}*{why}.")


def _status(facts: Facts, ref: str, number: int) -> Message:
    text = f": {told(str(facts['text']), facts['by'], 1500)}" if facts.get("text") else ""
    return said(f"➡️ {person(facts['by'])} moved *{ref}* from {facts['old']} to *{facts['new']}*{text}")


def _role(facts: Facts, ref: str, number: int) -> Message:
    by = "" if facts["by"] == facts["person"] else f" (by {person(facts['by'])})"
    return said(f"🎖️ {person(facts['person'])} is now *{facts['role']}* of *{ref}*{by}.")


def _note(facts: Facts, ref: str, number: int) -> Message:
    return said(f"📝 {person(facts['by'])}: {told(str(facts['text']), facts['by'], 2700)}")


def _update(facts: Facts, ref: str, number: int) -> Message:
    promise = f"\n_Next update by {moment(_at(facts['next_by']))}._" if facts.get("next_by") else ""
    line = f"💬 *Update on {ref}* by {person(facts['by'])}\n{told(str(facts['text']), facts['by'], 2600)}{promise}"
    return said(line)


def _update_soon(facts: Facts, ref: str, number: int) -> Message:
    line = f"🕐 The next update on *{ref}* is due at {moment(_at(facts['next_by']))}."
    return said(line, actions(button("Write it", ids.UPDATE, number)))


def _update_late(facts: Facts, ref: str, number: int) -> Message:
    line = f"⌛ An update on *{ref}* was due at {moment(_at(facts['next_by']))} and has not come."
    return said(line, actions(button("Write it", ids.UPDATE, number, "primary")))


def _joined(facts: Facts, ref: str, number: int) -> Message:
    source = link(facts.get("url"), "source")
    what = "Fires again" if facts.get("again") else "Another alert"
    return said(f"🔥 {what}: {escape(str(facts['title']), 300)} {source}", context(escape(str(facts["reason"]), 500)))


def _related(facts: Facts, ref: str, number: int) -> Message:
    source = link(facts.get("url"), "source")
    line = f"🧩 A related alert: {escape(str(facts['title']), 300)} {source}"
    return said(line, context(escape(str(facts["reason"]), 500)))


def _only_related(facts: Facts, ref: str, number: int) -> Message:
    minutes = float(facts["hold_seconds"]) / 60
    line = f"🌤️ Every alert of *{ref}* itself has cleared, and related ones still fire."
    return said(f"{line} Those that fire in {minutes:g} min get incidents of their own, and wake somebody.")


def _cleared(facts: Facts, ref: str, number: int) -> Message:
    minutes = float(facts["hold_seconds"]) / 60
    return said(f"🌤️ Every alert of *{ref}* has cleared. Watching for {minutes:g} min before anything is decided.")


def _flapping(facts: Facts, ref: str, number: int) -> Message:
    within = f"{float(facts['within_seconds']) / 60:g} min"
    line = f"〰️ *{escape(str(facts['title']), 300)}* is flapping: {facts['fires']} fires in {within}."
    until = f"{ref} is not resolved by itself before there was none for {within}."
    return said(line, context(f"More are counted on the card, and wake nobody. {until}"))


def _proposed(facts: Facts, ref: str, number: int) -> Message:
    line = f"🟢 Every alert of *{ref}* has been clear since {moment(_at(facts['cleared_at']))}. Is it over?"
    return said(line, actions(button("Resolve", ids.RESOLVE_NOW, number, "primary"), button("Not yet", ids.KEEP_OPEN, number)))


def _resolved(facts: Facts, ref: str, number: int) -> Message:
    who = "Resolved by itself, after every alert stayed clear" if facts.get("auto") else f"{person(facts['by'])} resolved *{ref}*"
    text = f": {told(str(facts['text']), facts.get('by'), 1500)}" if facts.get("text") else ""
    line = f"🏁 {who} after {spoken(facts['elapsed_seconds'])}{text}"
    return said(line, context("Was the page worth waking for? The answer makes the noise figures honest."),
                actions(button("Useful", ids.PAGE_USEFUL, number), button("Not useful", ids.PAGE_USELESS, number)))  # fmt: skip


def _reopened(facts: Facts, ref: str, number: int) -> Message:
    text = f": {told(str(facts['text']), facts['by'], 1000)}" if facts.get("text") else ""
    return said(f"🔁 {person(facts['by'])} reopened *{ref}*{text}. Its clock starts anew.")


def _cancelled(facts: Facts, ref: str, number: int) -> Message:
    return said(f"🚫 {person(facts['by'])} cancelled *{ref}* ({escape(str(facts['reason']).replace('_', ' '), 60)}).")


def _merged(facts: Facts, ref: str, number: int) -> Message:
    return said(f"🔗 {person(facts['by'])} merged *{ref}* into *INC-{facts['into']}*. Work goes on there.")


def _absorbed(facts: Facts, ref: str, number: int) -> Message:
    return said(f"🔗 *INC-{facts['child']}* is now part of *{ref}* (by {person(facts['by'])}).")


def _because(facts: Facts) -> str:
    return f": {told(str(facts['reason']), facts['by'], 500)}" if facts.get("reason") else ""


def _split_off(facts: Facts, ref: str, number: int) -> Message:
    what = f"“{escape(str(facts['title']), 200)}”"
    who = person(facts["by"])
    if not facts.get("child"):
        return said(f"✂️ {who} took {what}, which has cleared, out of *{ref}*{_because(facts)}")
    return said(f"✂️ {who} took {what} out of *{ref}*: it is *INC-{facts['child']}* now{_because(facts)}")


def _split(facts: Facts, ref: str, number: int) -> Message:
    return said(f"✂️ {person(facts['by'])} took *{ref}* out of *INC-{facts['parent']}*{_because(facts)}")


def _unmerged(facts: Facts, ref: str, number: int) -> Message:
    line = f"✂️ {person(facts['by'])} took *{ref}* out of *INC-{facts['parent']}* again{_because(facts)}"
    return said(f"{line}\nIts clock starts anew.")


def _opened(facts: Facts, ref: str, number: int) -> Message:
    where = f" · <#{facts['channel']}>" if facts.get("channel") else ""
    return said(f"🔔 *{ref}* {escape(str(facts['title']), 200)} · {facts['severity']}{where}")


def _runbook(facts: Facts, ref: str, number: int) -> Message:
    url = link(facts.get("url"), "Open it")
    if not facts.get("path") and not url:
        return said(f"📕 No runbook: {escape(str(facts['reason']), 400)}")
    title = escape(str(facts.get("title") or "Runbook"), 200)
    owner = f" · owner {escape(str(facts['owner']), 60)}" if facts.get("owner") else ""
    stale = int(facts.get("stale_days") or 0)
    warning = f" · ⚠️ not reviewed for {stale} days" if stale else ""
    steps = [
        f"{index}. {escape(line, 400)}" for index, line in enumerate(str(facts.get("first_minute") or "").split("\n"), 1) if line
    ]
    line = f"📗 *{title}*{url and ' '}{url}{owner}{warning}"
    first = section("*First 60 seconds*\n" + fit(steps, 2500)) if steps else None
    return said(line, first, context(f"{escape(str(facts['reason']), 400)} · {escape(str(facts.get('path') or ''), 150)}"))


VIEWS: dict[Topic, Callable[[Facts, str, int], Message]] = {
    Topic.ACK_REMINDER: _reminder,
    Topic.ACK_BREACHED: _breached,
    Topic.ACKNOWLEDGED: _acknowledged,
    Topic.ACK_DELAYED: _ack_delayed,
    Topic.UNACKNOWLEDGED: _unacknowledged,
    Topic.PAGE_DELAYED: _delayed,
    Topic.PAGE_REFUSED: _refused,
    Topic.PAGE_NOT_SHOWN: _not_shown,
    Topic.LEVEL_ASKED: _level_asked,
    Topic.LEVEL_DELAYED: _level_delayed,
    Topic.LEVEL_NOT_ASKED: _level_not_asked,
    Topic.SOMEONE_ASKED: _someone_asked,
    Topic.SOMEONE_DELAYED: _someone_delayed,
    Topic.SOMEONE_NOT_ASKED: _someone_not_asked,
    Topic.ESCALATED: _escalated,
    Topic.SEVERITY_CHANGED: _severity,
    Topic.STATUS_CHANGED: _status,
    Topic.ROLE_ASSIGNED: _role,
    Topic.NOTE_ADDED: _note,
    Topic.UPDATE_POSTED: _update,
    Topic.UPDATE_SOON: _update_soon,
    Topic.UPDATE_LATE: _update_late,
    Topic.ALERT_JOINED: _joined,
    Topic.ALERT_RELATED: _related,
    Topic.ONLY_RELATED: _only_related,
    Topic.ALERTS_CLEARED: _cleared,
    Topic.RESOLVE_PROPOSED: _proposed,
    Topic.RESOLVED: _resolved,
    Topic.REOPENED: _reopened,
    Topic.CANCELLED: _cancelled,
    Topic.MERGED: _merged,
    Topic.ABSORBED: _absorbed,
    Topic.SPLIT: _split,
    Topic.SPLIT_OFF: _split_off,
    Topic.UNMERGED: _unmerged,
    Topic.OPENED: _opened,
    Topic.RUNBOOK: _runbook,
    Topic.FLAPPING: _flapping,
}


def announced(effect: AnnounceAlert) -> Message:
    """An alert that opens nothing by itself, with a button for people who think that it should."""
    service = f" · {escape(effect.service, 80)}" if effect.service else ""
    line = f"🔔 *{escape(effect.title, 250)}*{service} · {effect.severity} · since {moment(effect.started_at)}"
    # In the past tense: the message stays as it is when the alert gets worse and opens one.
    why = f"No incident was opened for it: {escape(effect.reason, 400)}"
    return said(
        line,
        context(f"{why} · {escape(effect.source, 40)} {link(effect.url, 'source')}"),
        context(filled_in(effect.filled_in)),
        actions(button("Declare an incident", ids.DECLARE, effect.fingerprint)),
    )


def alarm(effect: RaiseAlarm) -> Message:
    """Something of the bot's own is wrong."""
    mend = context(f"🔧 {escape(effect.mend, 800)}") if effect.mend else None
    return said(f"🚨 {escape(effect.text, 1500, lines=True)}", mend)


def _at(text: Any) -> datetime:
    return datetime.fromisoformat(str(text))
