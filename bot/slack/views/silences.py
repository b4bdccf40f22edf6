"""Silences as people see them: the question asked twice, what is quiet now, and the news that everybody reads."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.alerts.quiet import Kept, Silence, Window
from bot.incidents.effects import AnnounceSilence, SilenceNews
from bot.slack import ids
from bot.slack.views.blocks import Block, Message, actions, button, context, message, said, section
from bot.slack.views.text import escape, fit, moment, person, since, told

MOST_LISTED = 15
PRIVATE = "a private alert"
TAKEN_NOW = "Each is taken now as if it had just been reported: it opens or joins an incident, or is announced, as its route says."


def below_the_answer(silence: Silence | None) -> Block | None:
    """What stands below the answer to whoever asked for a silence: until when it holds, or the button that confirms it."""
    if silence is None or silence.ended_at is not None:
        return None
    if silence.until is None:
        return actions(button("Silence it all the same", ids.CONFIRM_SILENCE, silence.number, "danger"))
    return context(f"Until {moment(silence.until, silence.asked_at)}. Everybody is told when it ends, and what it kept quiet.")


def announced(effect: AnnounceSilence) -> Message:
    """That a silence begins, or is over."""
    what, asked_by = f"`{_code(effect.match)}`", person(effect.by)
    why = told(effect.reason, effect.by, 500)
    match effect.news:
        case SilenceNews.BEGUN:
            return said(
                f"🔕 {asked_by} silenced {what} until {moment(effect.until)}: {why}",
                context(f"Silence {effect.number}. What it covers is kept and counted; it opens nothing and pages nobody."),
                actions(button("End it now", ids.END_SILENCE, effect.number)),
            )
        case SilenceNews.ENDED:
            because = f": {told(effect.ended_because, effect.ended_by, 500)}" if effect.ended_because else "."
            line = f"🔔 {person(effect.ended_by)} ended silence {effect.number} early{because}"
        case SilenceNews.EXPIRED:
            line = f"🔔 Silence {effect.number} has expired."
    return message(
        line,
        section(f"{line}\n{kept_words(effect.kept)}"),
        context(f"It was for {what}, by {asked_by}: {why}"),
    )


def kept_words(kept: Kept) -> str:
    """What a silence kept quiet, and what of it still fires."""
    if not kept.alerts:
        return "It kept nothing quiet."
    worst = f", {kept.worst} of them a SEV1" if kept.worst else ""
    last = f" The last was “{escape(kept.last_title or PRIVATE, 150)}” at {moment(kept.last_at)}." if kept.last_at else ""
    line = f"It kept {kept.alerts} alert{'s' * (kept.alerts != 1)} quiet{worst}.{last}"
    if not kept.firing_count:
        return f"{line} None of them fires now."
    names = [escape(one.title or PRIVATE, 150) for one in kept.firing]
    if kept.firing_count > len(names):
        names.append(f"and {kept.firing_count - len(names)} more")
    still = f"*{kept.firing_count} still fire{'s' * (kept.firing_count == 1)}*: {'; '.join(names)}."
    return f"{line}\n{still} {TAKEN_NOW}"


def listed(
    silences: Sequence[tuple[Silence, Kept]], windows: Sequence[Window], counts: Mapping[str, int], now: datetime, command: str
) -> Message:
    """What is quiet now, and the silences that ended lately. `counts` has how many alerts each window ever kept quiet."""
    held = [(one, kept) for one, kept in silences if one.is_in_force]
    over = [one for one, _ in silences if not one.is_in_force]
    head = f"🔕 {len(held)} silence{'s' * (len(held) != 1)} in force" if held else "🔔 No silence is in force"
    more = f"… and {len(held) - MOST_LISTED} more" if len(held) > MOST_LISTED else ""
    return message(
        head,
        section(f"*{head}*"),
        *(section(_line(one, kept, now), button("End", ids.END_SILENCE, one.number)) for one, kept in held[:MOST_LISTED]),
        context(more),
        section(fit((_window(one, counts) for one in windows), 2000)) if windows else None,
        context(fit((_ended(one, now) for one in over), 1500)),
        context(f"`{command} silence service=checkout 2h reason` begins one, `{command} silence end 3` ends it early."),
    )


def _line(one: Silence, kept: Kept, now: datetime) -> str:
    until = moment(one.until, now) if one.until is not None else "?"
    line = f"*Silence {one.number}* `{_code(one.match.said)}` until {until} · {person(one.by)}: {told(one.reason, one.by, 300)}"
    if not kept.alerts or kept.last_at is None:
        return f"{line}\nnothing kept quiet so far"
    worst = f", {kept.worst} of them a SEV1" if kept.worst else ""
    last = f"the last “{escape(kept.last_title or PRIVATE, 120)}” {since(kept.last_at, now)} ago"
    return f"{line}\n{kept.alerts} alert{'s' * (kept.alerts != 1)} kept quiet{worst}, {last} · {kept.firing_count} firing"


def _window(one: Window, counts: Mapping[str, int]) -> str:
    count = counts.get(one.key, 0)
    kept = f"{count} alert{'s' * (count != 1)} kept quiet so far"
    what = f"🛠️ *Maintenance: {escape(one.name, 100)}* `{_code(one.said)}` {escape(one.time.said, 100)}"
    return f"{what}: {escape(one.reason, 200)} · {kept}"


def _ended(one: Silence, now: datetime) -> str:
    at = since(one.ended_at, now) if one.ended_at else "?"
    how = "expired" if one.ended_by == "bot" else f"was ended by {person(one.ended_by)}"
    return f"Silence {one.number} `{_code(one.match.said, 100)}` {how} {at} ago"


def _code(text: str, limit: int = 300) -> str:
    return escape(text.replace("`", "'"), limit)
