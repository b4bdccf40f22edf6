"""What a draft knows: folds of one incident's timeline, as text that a template can print as it is.

Every fact comes from an entry. What no entry says is MISSING, and is never guessed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.incidents.changes import ChangeRecord, before_the_start
from bot.incidents.timeline import Entry, acknowledges, in_order
from bot.postmortems.words import cell, clock, day, length, offset

WEB = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,2000}")
TARGET_SECONDS = 300.0
RESTORE_SECONDS = 900.0
SHOWN = frozenset({
    "alert_started", "alert_resolved", "opened", "reopened", "page_accepted", "page_failed", "page_dropped", "page",
    "escalated", "escalation_delayed", "escalation_failed", "ack", "ack_delayed", "unack", "ack_breached", "role",
    "severity_changed", "status_changed", "status_update",
    "update_overdue", "note", "pin", "runbook_step", "rollback", "deploy_caused", "impact_started_set", "mitigated",
    "resolved", "merged", "absorbed", "split_from", "split_off", "cancelled", "flapping_started", "flapping_ended", "alert_quieted",
})  # fmt: skip
PHASES = frozenset({"opened", "reopened", "ack", "mitigated", "resolved", "ack_breached"})
ENDS = ("resolved", "cancelled", "merged")
HIDDEN = frozenset({
    "page_requested", "channel_opened", "reminder", "resolve_proposed", "kept_open", "postmortem_drafted",
    "effect_parked", "page_feedback", "follow_up", "responder_requested",
})  # fmt: skip


@dataclass(slots=True)
class Window:
    """One episode: when it hurt, from when to when it is known, who acknowledged."""

    number: int
    opened_at: datetime
    started_at: datetime
    start_source: str
    ended_at: datetime | None = None
    end_source: str = ""
    acked_at: datetime | None = None
    acked_by: str = ""
    how: str = ""
    is_asked: bool = False
    is_paged: bool = False
    """Whether PagerDuty took the page. The target applies from when it was asked: see docs/metrics.md."""
    dropped: str = ""
    """Why the page was not sent, where its reason went away before PagerDuty was known to have it."""

    @property
    def seconds(self) -> float | None:
        """How long it hurt; None while it goes on, and where the end would come before the start."""
        if self.ended_at is None or self.ended_at < self.started_at:
            return None
        return (self.ended_at - self.started_at).total_seconds()


def facts(
    ref: str,
    entries: Sequence[Entry],
    others: Sequence[Entry],
    generated_at: datetime,
    names: Mapping[str, str],
    changes: Sequence[ChangeRecord] | None = None,
) -> dict[str, Any]:
    """Everything a template may print. `others` are entries of other incidents, for what is related; `changes` the change
    log of the days before, None where nobody tells us of changes.
    """
    ordered = in_order(_once(entries))
    opening = next((one for one in ordered if one.type == "opened"), ordered[0])
    windows = _windows(ordered, opening)
    start = windows[0].started_at

    def said(value: object) -> str:
        return cell(value, names)

    return {
        "ref": said(ref),
        "title": said(opening.fields.get("title", "No title")),
        "service": said(opening.fields.get("service") or "MISSING"),
        "severity": said(_severity(ordered, opening)),
        "status": _status(ordered),
        "is_drill": bool(opening.fields.get("drill")),
        "generated": f"{generated_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "count": len(ordered),
        "date": day(opening.at),
        "summary": _summary(opening, windows, said),
        "windows": [_window_row(one, said) for one in windows],
        "impact_total": _total(windows),
        "severities": _severity_minutes(ordered, opening, said),
        "timings": _timings(ordered, windows, opening, said),
        "acknowledgements": [_ack_row(one, said) for one in windows],
        "detection": _detection(ordered, opening, said),
        "alerts": _alerts(ordered, said),
        "is_told_of_changes": changes is not None,
        "changes": [_change_row(one, start, said) for one in before_the_start(changes or (), opening.fields.get("service"), start)],
        "timeline": _timeline(ordered, start, said),
        "roles": [{"at": clock(one.at), "role": said(one.fields.get("role")), "who": said(one.fields.get("user"))}
                  for one in ordered if one.type == "role"],
        "escalations": [f"{clock(one.at)}: from level {said(one.fields.get('from_level', 'MISSING'))} "
                        f"to {said(one.fields.get('to_level', 'MISSING'))}"
                        for one in ordered if one.type == "escalated"],
        "updates": [{"at": clock(one.at), "who": said(one.by), "text": said(one.fields.get("text")),
                     "next_by": clock(_time(one.fields.get("next_by"))) if one.fields.get("next_by") else "–"}
                    for one in ordered if one.type == "status_update"],
        "runbook_steps": [f"{said(one.fields.get('step'))} of {said(one.fields.get('runbook'))}: {said(one.fields.get('result'))}"
                          for one in ordered if one.type == "runbook_step"],
        "actions": _actions(ordered, said),
        "questions": _questions(ordered, windows),
        "related": _related(ordered, others, said),
        "people": sorted({said(one.by) for one in ordered if one.by not in (None, "bot")}),
    }  # fmt: skip


def service_and_start(entries: Sequence[Entry]) -> tuple[str | None, datetime]:
    """The service of an incident, and when it began, as its draft has them."""
    ordered = in_order(_once(entries))
    opening = next((one for one in ordered if one.type == "opened"), ordered[0])
    return opening.fields.get("service"), _windows(ordered, opening)[0].started_at


def _change_row(change: ChangeRecord, start: datetime, said: Callable[[object], str]) -> dict[str, str]:
    moved = change.moved_by(start)
    return {
        "day": day(moved), "at": clock(moved), "before": length((start - moved).total_seconds()),
        "what": change.what_by(start), "service": said(change.service or "MISSING"), "which": said(change.which or "MISSING"),
        "who": said(change.by or "MISSING"), "title": said(change.title),
        "link": change.url if change.url and WEB.fullmatch(change.url) else "",
    }  # fmt: skip


def _once(entries: Sequence[Entry]) -> list[Entry]:
    seen: dict[str, Entry] = {}
    for one in entries:
        seen.setdefault(repr((one.at, one.type, one.by, sorted(one.fields.items(), key=lambda pair: pair[0]))), one)
    return list(seen.values())


def _windows(ordered: Sequence[Entry], opening: Entry) -> list[Window]:
    begins = [opening, *(one for one in ordered if one.type == "reopened" and one.at >= opening.at)]
    windows: list[Window] = []
    for number, begin in enumerate(begins, start=1):
        since = datetime.min.replace(tzinfo=UTC) if number == 1 else (windows[-1].ended_at or begin.at)
        until = begins[number].at if number < len(begins) else datetime.max.replace(tzinfo=UTC)
        mine = [one for one in ordered if since <= one.at < until]
        windows.append(_window(number, begin, mine, until))
    return windows


def _window(number: int, begin: Entry, mine: Sequence[Entry], until: datetime) -> Window:
    said = [one for one in mine if one.type == "impact_started_set" and (number == 1 or one.at >= begin.at)]
    fired = [one for one in mine if one.type == "alert_started"]
    window = Window(number, begin.at, begin.at, "opened: no earlier sign is recorded")
    if fired:
        first = min(fired, key=lambda one: one.at)
        window.started_at, window.start_source = first.at, f"alert {first.fields.get('alert', '')}{_guessed(first)}"
    value = _time(said[-1].fields.get("value")) if said else None
    if value is not None:
        window.started_at, window.start_source = value, str(said[-1].fields.get("source") or "set by a person")
    later = [one for one in mine if one.at >= begin.at]
    _close_window(window, later)
    first_ack = min((one for one in later if acknowledges(one)), key=lambda one: one.at, default=None)
    if first_ack is not None:
        window.acked_at, window.acked_by = first_ack.at, str(first_ack.by)
        window.how = _how_acknowledged(first_ack, later)
    window.is_paged = any(one.type in ("page", "page_accepted") for one in later)
    window.is_asked = window.is_paged or any(one.type == "page_requested" for one in later)
    unsent = [str(one.fields.get("reason") or "the page was not sent") for one in later if one.type == "page_dropped"]
    window.dropped = "" if window.is_paged else next(iter(unsent), "")
    return window


def _how_acknowledged(ack: Entry, later: Sequence[Entry]) -> str:
    """What stands behind an acknowledgement, and whether whoever gave it was notified at all."""
    how = {
        "role": "by taking command",
        "resolved": "by resolving",
        "cancelled": "by cancelling",
        "status_changed": "by cancelling",
    }.get(ack.type, "")
    levels = [one.fields.get("level") for one in later if one.type == "page" and one.fields.get("to") == ack.by and one.at <= ack.at]
    notified = f"notified at level {levels[-1]}" if levels else "PagerDuty had not notified them"
    return f"{how}; {notified}" if how else notified


def _close_window(window: Window, later: Sequence[Entry]) -> None:
    for one in later:
        if one.type == "mitigated":
            window.ended_at = _time(one.fields.get("impact_ended_at")) or one.at
            window.end_source = "mitigated"
    if window.ended_at is not None:
        return
    end = next((one for one in later if one.type == "resolved"), None)
    if end is not None:
        window.ended_at = _time(end.fields.get("effective_at")) or end.at
        window.end_source = "the alerts cleared" if end.fields.get("effective_at") else "resolved; no earlier end is recorded"


def _summary(opening: Entry, windows: Sequence[Window], said: Any) -> str:
    first = windows[0]
    service = f" on {said(opening.fields['service'])}" if opening.fields.get("service") else ""
    if windows[-1].ended_at is None:
        return f"Since {clock(first.started_at)} UTC{service}: {said(opening.fields.get('title', ''))}. It goes on."
    spans, today = [], day(first.started_at)
    for one in windows:
        start, today = _dated(one.started_at, today)
        end, today = _dated(one.ended_at, today)
        spans.append(f"from {start} to {end}")
    return f"Impact {' and again '.join(spans)} UTC{service}, {_total(windows)} in all."


def _dated(at: datetime | None, today: str) -> tuple[str, str]:
    """A time, with its day where that is another than `today`; and its day."""
    if at is None:
        return clock(at), today
    return (clock(at) if day(at) == today else f"{day(at)} {clock(at)}"), day(at)


def _total(windows: Sequence[Window]) -> str:
    known = [one.seconds for one in windows if one.seconds is not None]
    if not known and windows[-1].ended_at is None:
        return "still going on"
    if any(one.ended_at is not None and one.seconds is None for one in windows):
        return "MISSING"
    more = "" if len(known) == len(windows) else ", and still going on"
    return length(sum(known)) + (f" in {len(windows)} windows" if len(windows) > 1 else "") + more


def _window_row(window: Window, said: Any) -> dict[str, str]:
    end, _ = _dated(window.ended_at, day(window.started_at))
    return {
        "number": str(window.number), "day": day(window.started_at), "start": clock(window.started_at),
        "start_source": said(window.start_source), "end": end if window.ended_at else "still going on",
        "end_source": window.end_source or "–", "length": length(window.seconds) if window.ended_at else "–",
        "restored": _restored(window),
    }  # fmt: skip


def _restored(window: Window) -> str:
    if window.ended_at is None:
        return "not yet"
    if window.seconds is None:
        return "MISSING"
    return "met" if window.seconds < RESTORE_SECONDS else "missed"


def _severity(ordered: Sequence[Entry], opening: Entry) -> str:
    """The worst it ever was."""
    changes = [str(one.fields.get("to")) for one in ordered if one.type == "severity_changed"]
    return min([str(opening.fields.get("severity", "SEV3")), *changes])


def _severity_minutes(ordered: Sequence[Entry], opening: Entry, said: Any) -> list[dict[str, str]]:
    """How long it was open at each severity; the quiet time before a re-opening is none of it."""
    rows: dict[str, float] = {}
    severity, since = str(opening.fields.get("severity", "SEV3")), opening.at
    is_open = True
    turns = ("severity_changed", "reopened", *ENDS)
    for one in (one for one in ordered if one.at >= opening.at and one.type in turns):
        if is_open:
            rows[severity] = rows.get(severity, 0.0) + (one.at - since).total_seconds()
        since, is_open = one.at, one.type == "reopened" or (is_open and one.type not in ENDS)
        severity = str(one.fields.get("to")) if one.type == "severity_changed" else severity
    return [{"severity": said(name), "length": length(seconds)} for name, seconds in sorted(rows.items())]


def _status(ordered: Sequence[Entry]) -> str:
    words = {"resolved": "resolved", "reopened": "open again", "merged": "merged", "cancelled": "cancelled"}
    last = next((one.type for one in reversed(ordered) if one.type in words), None)
    return words.get(last or "", "open")


def _timings(ordered: Sequence[Entry], windows: Sequence[Window], opening: Entry, said: Any) -> list[dict[str, str]]:
    start = windows[0].started_at
    rows = [("Impact start", start, windows[0].start_source)]
    detected = _detected(ordered, opening)
    rows.append(("Detected", detected.at if detected.type == "opened" else _received(detected), _how_detected(detected, said)))
    rows.append(("Opened", opening.at, f"by {said(opening.by or 'bot')}"))
    paged = next((one for one in ordered if one.type == "page_accepted"), None)
    if paged is not None:
        rows.append(("Paged", paged.at, "PagerDuty took the page"))
    for window in windows:
        suffix = f" ({window.number})" if len(windows) > 1 else ""
        if window.number > 1:
            rows.append((f"Reopened{suffix}", window.opened_at, "reopened"))
        if window.acked_at is not None:
            rows.append((f"Acknowledged{suffix}", window.acked_at, f"{window.acked_by}, {window.how}"))
        if window.ended_at is not None:
            rows.append((f"Impact ended{suffix}", window.ended_at, window.end_source))
    final = next((one for one in reversed(ordered) if one.type == "resolved"), None)
    if final is not None:
        rows.append(("Resolved", final.at, f"by {said(final.by or 'bot')}"))
    return [
        {"milestone": name, "at": clock(at), "since": offset((at - start).total_seconds()), "source": said(source)}
        for name, at, source in rows
    ]


def _detected(ordered: Sequence[Entry], opening: Entry) -> Entry:
    """The first sign that reached us: an alert as received, or the opening."""
    signs = [one for one in ordered if one.type == "alert_started"]
    first = min(signs, key=_received, default=None)
    return first if first is not None and _received(first) <= opening.at else opening


def _received(entry: Entry) -> datetime:
    return _time(entry.fields.get("received_at")) or entry.at


def _how_detected(entry: Entry, said: Any) -> str:
    if entry.type == "alert_started":
        return f"alert {entry.fields.get('alert', '')}"
    return "by the bot" if entry.by in (None, "bot") else f"by a person ({entry.by})"


def _detection(ordered: Sequence[Entry], opening: Entry, said: Any) -> str:
    first = _detected(ordered, opening)
    if first.type != "alert_started":
        return f"{said(_how_detected(first, said))}; no alert is recorded before it."
    late = (_received(first) - first.at).total_seconds()
    return f"By {said(_how_detected(first, said))}, received {length(late)} after its start."


def _ack_row(window: Window, said: Any) -> dict[str, str]:
    row = {
        "number": str(window.number),
        "who": "nobody",
        "after": "–",
        "how": "–",
        "verdict": "no page was made, so no target applies",
    }
    untaken = "" if window.is_paged else f"; {said(window.dropped) or 'PagerDuty took no page'}"
    if window.acked_at is not None:
        seconds = (window.acked_at - window.opened_at).total_seconds()
        row |= {"who": said(window.acked_by), "after": length(seconds), "how": said(window.how)}
        if window.is_asked:
            row["verdict"] = ("met (under 5 min)" if seconds < TARGET_SECONDS else "missed (5 min)") + untaken
    elif window.is_asked:
        row["verdict"] = "nobody acknowledged this page" if window.is_paged else f"nobody acknowledged{untaken}"
    return row


def _alerts(ordered: Sequence[Entry], said: Any) -> list[dict[str, str]]:
    rows: dict[str, dict[str, Any]] = {}
    for one in ordered:
        if one.type == "alert_started":
            name = str(one.fields.get("alert", ""))
            row = rows.setdefault(name, {"name": said(name), "first": one.at, "last": one.at, "times": 0})
            row["times"] += 1
            row["last"] = one.at
    return [{"name": row["name"], "first": clock(row["first"]), "last": clock(row["last"]), "times": str(row["times"])}
            for row in rows.values()]  # fmt: skip


def _timeline(ordered: Sequence[Entry], start: datetime, said: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    today = ""
    for one in ordered:
        if one.type in HIDDEN:
            continue
        new_day, today = day(one.at) != today, day(one.at)
        text = _words(one, said)
        rows.append({
            "day": today if new_day else "", "at": clock(one.at), "since": offset((one.at - start).total_seconds()),
            "text": f"**{text}**" if one.type in PHASES else text,
            "link": _link(one.fields.get("link")),
        })  # fmt: skip
    return rows


def _link(value: object) -> str:
    """An address that stands safely in a Markdown link; empty for what is none."""
    if not isinstance(value, str) or not WEB.fullmatch(value):
        return ""
    return "".join(f"%{ord(char):02X}" if char in '()|[]\\<>`"*_' else char for char in value)


def _guessed(fired: Entry) -> str:
    """That the time of an alert is when it came to us, where its sender gave none."""
    return " (its sender gave no start: this is when it came)" if "started_at" in str(fired.fields.get("filled_in", "")) else ""


def _words(entry: Entry, said: Any) -> str:
    """One entry in neutral words. A type that nobody knows is printed as it is."""
    facts_, by = entry.fields, said(entry.by or "bot")
    text = said(facts_.get("text", ""))
    words = {
        "alert_started": f"{'Related alert' if facts_.get('related') else 'Alert'} {said(facts_.get('alert', ''))} fired"
        f"{said(_guessed(entry))}",
        "alert_resolved": f"Alert {said(facts_.get('alert', ''))} cleared",
        "alert_quieted": f"Alert {said(facts_.get('alert', ''))} was quiet until now, under {said(facts_.get('under', ''))}",
        "flapping_started": f"Alert {said(facts_.get('alert', ''))} began to flap",
        "flapping_ended": f"Alert {said(facts_.get('alert', ''))} was calm, after {said(facts_.get('fires', 'MISSING'))} fires",
        "opened": f"Opened as {said(facts_.get('severity', ''))} by {by}",
        "reopened": f"Reopened by {by}" + (f", out of {said(facts_['split_from'])} again" if facts_.get("split_from") else ""),
        "page_accepted": "PagerDuty took the page",
        "page_failed": f"The page was not taken: {said(facts_.get('reason', ''))}",
        "page_dropped": said(facts_.get("reason") or "The page was not sent"),
        "page": f"Notified {said(facts_.get('to', ''))} (level {said(facts_.get('level', 'MISSING'))}, "
        f"{said(facts_.get('channel') or 'MISSING')})",
        "ack": f"Acknowledged by {by}",
        "ack_delayed": f"PagerDuty had not taken the acknowledgement: {said(facts_.get('reason', ''))}",
        "unack": "The acknowledgement was taken back",
        "ack_breached": f"No acknowledgement within {_target(facts_.get('target_seconds'))}",
        "escalated": f"Escalated from level {said(facts_.get('from_level', 'MISSING'))} to {said(facts_.get('to_level', 'MISSING'))}",
        "escalation_delayed": f"PagerDuty had not taken the next level: {said(facts_.get('reason', ''))}",
        "escalation_failed": f"The next level was not paged: {said(facts_.get('reason', ''))}",
        "role": f"{said(facts_.get('user', ''))} is {said(facts_.get('role', ''))}",
        "severity_changed": f"Severity {said(facts_.get('from', ''))} → {said(facts_.get('to', ''))}",
        "status_changed": f"Status: {said(facts_.get('to', ''))}" + (f": {text}" if text else ""),
        "status_update": f"Update by {by}: {text}",
        "update_overdue": "The promised update was not recorded",
        "note": f"{by}: {text}",
        "pin": f"Pinned, {by}: {text}",
        "runbook_step": f"Runbook step “{said(facts_.get('step', ''))}”: {said(facts_.get('result', ''))}",
        "rollback": f"Rolled back {said(facts_.get('of', facts_.get('deploy', '')))}",
        "deploy_caused": f"Deployment {said(facts_.get('deploy', ''))} confirmed as a cause",
        "impact_started_set": f"Impact start set to {said(facts_.get('value', ''))}",
        "mitigated": "Impact over",
        "resolved": f"Resolved by {by}" + (f": {text}" if text else ""),
        "responder_paged": f"PagerDuty took a request for {said(facts_.get('who', ''))}, asked by {by}",
        "responder_requested": f"{by} asked for {said(facts_.get('who', ''))}",
        "responder_acknowledged": f"{by} acknowledged, for {said(facts_.get('who', ''))}",
        "responder_unacknowledged": f"PagerDuty took the acknowledgement of {said(facts_.get('who', ''))} back",
        "responder_delayed": f"PagerDuty had not taken the page of {said(facts_.get('who', ''))}: {said(facts_.get('reason', ''))}",
        "responder_left": f"The page of {said(facts_.get('who', ''))} was resolved in PagerDuty by {by}",
        "responder_failed": f"{said(facts_.get('who', ''))} was not asked: {said(facts_.get('reason', ''))}",
        "channel_failed": f"No channel could be opened: {said(facts_.get('reason', ''))}",
        "merged": f"Merged into {said(facts_.get('into', ''))}",
        "absorbed": f"{said(facts_.get('child', ''))} merged into this",
        "split_from": f"{said(facts_.get('alert', ''))} taken out of {said(facts_.get('from', ''))} by {by}{_why(facts_, said)}",
        "split_off": f"{said(facts_.get('alert') or 'What was merged')} taken out by {by}"
        + (f", now {said(facts_['into'])}" if facts_.get("into") else "")
        + _why(facts_, said),
        "cancelled": f"Cancelled: {said(facts_.get('reason', ''))}",
    }
    return words.get(entry.type) or f"{said(entry.type.replace('_', ' '))} {text}".strip()


def _why(facts_: Mapping[str, Any], said: Any) -> str:
    return f": {said(facts_['reason'])}" if facts_.get("reason") else ""


def _target(seconds: object) -> str:
    return length(seconds if isinstance(seconds, int | float) else TARGET_SECONDS)


def _actions(ordered: Sequence[Entry], said: Any) -> list[dict[str, str]]:
    newest: dict[str, Entry] = {}
    for one in ordered:
        if one.type == "follow_up":
            newest[str(one.fields.get("id"))] = one
    return [
        {"id": said(name), "text": said(one.fields.get("text") or "MISSING"), "kind": said(one.fields.get("kind") or "MISSING"),
         "owner": said(one.fields.get("owner") or "MISSING"), "due": said(one.fields.get("due") or "MISSING"),
         "state": said(one.fields.get("state") or "MISSING")}
        for name, one in newest.items()
    ]  # fmt: skip


def _is_missed(window: Window) -> bool:
    if window.acked_at is None:
        return window.is_asked and not window.dropped
    return window.is_asked and (window.acked_at - window.opened_at).total_seconds() >= TARGET_SECONDS


def _questions(ordered: Sequence[Entry], windows: Sequence[Window]) -> list[str]:
    """Questions that gaps in the data raise; about conditions, never about people."""
    found = []
    if len(windows) > 1:
        found.append("The impact ended and came back. What did the first mitigation not undo?")
    if any(_is_missed(one) for one in windows):
        found.append("A page was not acknowledged within 5 min. What made the paging path slow?")
    if any(one.type == "page_failed" for one in ordered):
        found.append("PagerDuty did not take the page at once. How would people have been reached without it?")
    if any(one.type == "update_overdue" for one in ordered):
        found.append("An update was promised and is not recorded. Was it sent elsewhere?")
    if windows[0].start_source.startswith("opened"):
        found.append("No sign is recorded before the incident was opened. When did it begin for users?")
    if any("no earlier end" in one.end_source for one in windows):
        found.append("The end of the impact is taken from the resolve. When was it over for users?")
    if any(one.ended_at is not None and one.seconds is None for one in windows):
        found.append("The impact ends before it starts. Which of the two times is wrong?")
    steps = [one for one in ordered if one.type == "runbook_step" and one.fields.get("result") in ("no_effect", "failed")]
    if steps:
        found.append("A step of the runbook had no effect. Is it still right?")
    return found


def _related(ordered: Sequence[Entry], others: Sequence[Entry], said: Any) -> list[str]:
    """Other incidents of the last 90 days in which the same alert fired."""
    mine = {one.fields.get("fingerprint") for one in ordered if one.type == "alert_started"} - {None, ""}
    since = min(one.at for one in ordered) - timedelta(days=90)
    found = {one.incident for one in others if one.type == "alert_started" and one.at >= since
             and one.fields.get("fingerprint") in mine}  # fmt: skip
    found |= {str(one.fields.get("child")) for one in ordered if one.type == "absorbed"}
    return sorted(name for one in found if (name := said(one)))


def _time(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        at = datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return None
    return at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
