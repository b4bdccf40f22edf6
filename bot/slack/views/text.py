"""Words for Slack: escaping, clipping, times, people. Every text from outside passes through `escape` or `clean`."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate

from bot.incidents.decisions.acknowledging import spoken

PERSON = re.compile(r"[UW][A-Z0-9]{2,}\Z")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
OF_ENTITIES = str.maketrans(ENTITIES)
HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that show nothing or turn the line around: a title must read as it is written."""
CONTROLS, HALVES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"), re.compile("[\ud800-\udfff]")
"""Controls but for the tab and the end of a line; and halves of a character, which cannot be sent."""
MARKUP = re.compile(r"<(?=[!@#]|[a-z]+:)", re.IGNORECASE)
ESCAPED_MENTION = re.compile(r"&lt;(@[UW][A-Z0-9]{2,}|#C[A-Z0-9]{2,})&gt;")
NAMED = re.compile(r"&lt;((?:@[UW]|#C)[A-Z0-9]{2,20})(?:\|[^&<>|]*)?&gt;")
ADDRESS = re.compile(
    r"&lt;(?P<linked>https?://(?:(?!&[lg]t;)[^\s<>|\"])+)(?:\|(?:(?!&gt;)[^\n])*)?&gt;|&lt;mailto:(?P<mail>[^\s|&<>]+)(?:\|[^&<>]*)?&gt;"
    r"|(?P<bare>https?://(?:(?!&[lg]t;)[^\s<>|\"])+)"
)
TYPED = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
FENCE = "```"

__all__ = ["clean", "clip", "escape", "fit", "moment", "named", "people", "person", "reason", "since", "spoken", "told"]


def clean(text: str, limit: int = 3000, *, lines: bool = True) -> str:
    """Printable text of at most `limit` characters, for `plain_text`; without `lines`, on one line."""
    text = HIDDEN.sub("", text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n"))
    kept = HALVES.sub("\ufffd", CONTROLS.sub("", text))
    kept = kept.strip() if lines else " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def escape(text: str, limit: int = 3000, *, lines: bool = False) -> str:
    """Text from outside, safe in mrkdwn: no mention, no channel call, no link with a label of its own.

    `limit` counts what is sent, entities included. https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    whole = clean(text, limit + 1, lines=lines)
    # On one line a fence is no code, but would swallow what we say behind it.
    whole = whole if lines else whole.replace(FENCE, "'''")
    # Nearly all of it is short, and a card has a hundred of them: letter by letter it took a third of what a card takes.
    short = whole.translate(OF_ENTITIES)
    if len(short) < limit:
        return short
    kept: list[str] = []
    size = 0
    for char in whole:
        one = ENTITIES.get(char, char)
        if size + len(one) > limit - 1:
            return "".join(kept).rstrip() + "…"
        kept.append(one)
        size += len(one)
    return "".join(kept)


def told(text: str, by: str | None, limit: int = 3000) -> str:
    """What somebody said. Where they said it in Slack, the people and channels they name are shown as such.

    They could have named them in the channel all the same. Nobody calls a whole channel or a group through the bot, and
    an address is a link to itself, whatever it was labelled. What comes from elsewhere names nobody.
    """
    safe = escape(text, limit, lines=True)
    if not by or not is_person(by):
        return safe
    return ADDRESS.sub(_address, NAMED.sub(r"<\1>", safe))


def _address(found: re.Match[str]) -> str:
    if found["mail"]:
        return found["mail"]
    if found["linked"]:
        return f"<{found['linked']}>"
    url = found["bare"].rstrip(".,:!?)*_~`'…")
    return f"<{url}>{found['bare'][len(url) :]}"


def as_typed(text: str) -> str:
    """Slack's text of a command or message, as it was typed: it sends `&`, `<` and `>` as entities."""
    return re.sub("&lt;|&gt;|&amp;", lambda found: TYPED[found[0]], text)


def defused(text: str) -> str:
    """Plain text in which no mention or link of Slack's can be mistaken for one."""
    return MARKUP.sub("‹", text)


def reason(text: str, command: str = "/incident") -> str:
    """A sentence of a decision: escaped, but the people and channels that it names are shown as such."""
    said = ESCAPED_MENTION.sub(r"<\1>", escape(text, lines=True))
    return said.replace("`/incident", f"`{command}")


def clip(mrkdwn: str, limit: int = 3000) -> str:
    """Our own mrkdwn cut to `limit`, never inside a mention, a link or an entity."""
    if len(mrkdwn) <= limit:
        return mrkdwn
    cut = mrkdwn[: limit - 1]
    for opening, closing in (("<", ">"), ("&", ";")):
        start = cut.rfind(opening)
        if start > cut.rfind(closing) and (opening == "<" or limit - start < 8):
            cut = cut[:start]
    return cut.rstrip() + "…"


def fit(lines: Iterable[str], limit: int = 3000, more: str = "… and {} more", *, unseen: int = 0) -> str:
    """As many whole lines as fit, and how many were left out; `unseen` are left out already."""
    given = list(lines)
    # How long the first one is, the first two …, each with its line's end.
    lengths = list(accumulate(len(line) + 1 for line in given))
    for count in range(len(given), 0, -1):
        left = len(given) - count + unseen
        if lengths[count - 1] - 1 + (len(more.format(left)) + 1 if left else 0) <= limit:
            return "\n".join(given[:count] + ([more.format(left)] if left else []))
    return clip(given[0], limit) if given else ""


def person(who: str | None) -> str:
    """Somebody as Slack shows them where they are a Slack user; their name as it is where not."""
    if not who:
        return "somebody"
    if who == "bot":
        return "Firstfive"
    return f"<@{who}>" if PERSON.match(who) else escape(who, 100)


def people(who: Sequence[str]) -> str:
    """Several people, each once."""
    return ", ".join(person(one) for one in dict.fromkeys(who))


def is_person(who: str) -> bool:
    """Whether this is a Slack user id, and not a plain name."""
    return bool(PERSON.match(who))


def moment(at: datetime, now: datetime | None = None, *, seconds: bool = False) -> str:
    """A time that each reader sees in their own zone; with its date where that is not the day of `now`."""
    at = at.astimezone(UTC)
    form = "{time_secs}" if seconds else "{time}"
    plain = f"{at:%H:%M:%S} UTC" if seconds else f"{at:%H:%M} UTC"
    if now is not None and now.astimezone(UTC).date() != at.date():
        form, plain = "{date_short} " + form, f"{at:%Y-%m-%d} {plain}"
    return f"<!date^{int(at.timestamp())}^{form}|{plain}>"


def since(at: datetime, now: datetime) -> str:
    """How long ago, in words: "3 min", "2 h 5 min", "4 days". Seconds only in the first minute."""
    seconds = max(0, int((now - at).total_seconds()))
    if seconds >= 48 * 3600:
        return f"{seconds // 86400} days"
    if seconds >= 60:
        return spoken(seconds - seconds % 60).removesuffix(" 0 s")
    return spoken(seconds)


FILLED_IN = {
    "started_at": "its start (shown is when it came)",
    "ended_at": "its end (shown is when it came)",
    "status": "its status (taken as firing)",
    "title": "its title",
}


def filled_in(names: Sequence[str]) -> str:
    """What a sender left out or garbled and we filled in; empty where it told all."""
    if not names:
        return ""
    return f"⚠️ _Its sender did not say {', '.join(FILLED_IN.get(one, escape(one, 40)) for one in names)}_"


def named(ref: str, title: str, limit: int = 200) -> str:
    """An incident in a sentence: its number in bold and what is broken."""
    return f"*{ref}* {escape(title, limit)}"
