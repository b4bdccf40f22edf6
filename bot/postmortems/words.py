"""Words for documents: escaping for Markdown, times in UTC, lengths of time; and words that blame."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

CHANNEL_CALL = re.compile(r"<!(?:channel|here|everyone|subteam\^[^>]*)(?:\|[^>]*)?>")
PERSON = re.compile(r"<@([UW][A-Z0-9]+)(?:\|([^>]*))?>")
CHANNEL = re.compile(r"<#[CG][A-Z0-9]+(?:\|([^>]*))?>")
LINK = re.compile(r"<(https?://[^|>\s]+)(?:\|[^>]*)?>")
ID = re.compile(r"\b[UW][A-Z0-9]{6,}\b")
LINE_START = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=#{1,6}(?:\s|$)|[-+](?:\s|$)|[-=~]{3}))")
"""Where a line of text would begin a list, a heading or a rule."""
CELL = {"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " ", "\t": " ", "<": "&lt;", ">": "&gt;", "`": "'", "[": "\\[",
        "]": "\\]", "*": "\\*", "_": "\\_", "~": "\\~"}  # fmt: skip
BLAME = {
    "human error": "say which condition made the action possible",
    "should have": "say what was known then; put the wish under actions",
    "could have": "say what was known then; put the wish under actions",
    "failed to": "say what happened instead",
    "forgot": "say what made it easy to miss",
    "careless": "describe the situation, not the person",
    "negligen": "describe the situation, not the person",
    "fault of": "describe the condition, not the person",
    "stupid": "describe the situation, not the person",
    "mistake by": "describe the action and what it met",
    "obviously": "it was not obvious then; leave it out",
    "blame": "leave it out",
}


@dataclass(frozen=True, slots=True)
class Warning_:
    """A phrase that blames, on its line, with what to write instead."""

    line: int
    phrase: str
    suggestion: str


def lint_words(text: str) -> list[Warning_]:
    """Phrases that blame. A warning, never a refusal. Code, quoted text and addresses are left alone."""
    found, in_code = [], False
    for number, line in enumerate(text.splitlines(), start=1):
        in_code ^= line.startswith("```")
        shown = re.sub(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|https?://\S+|<!--.*?-->", "", line).lower()
        if not in_code:
            found += [Warning_(number, phrase, mend) for phrase, mend in BLAME.items() if phrase in shown]
    return found


def plain(text: object, names: Mapping[str, str]) -> str:
    """Text from Slack or a sender as plain words: people by name, links as addresses, nobody called."""
    said = CHANNEL_CALL.sub("", str(text))
    said = PERSON.sub(lambda found: names.get(found[1], found[2] or found[1]), said)
    said = CHANNEL.sub(lambda found: f"#{found[1] or 'channel'}", said)
    said = LINK.sub(lambda found: found[1], said)
    return ID.sub(lambda found: names.get(found[0], found[0]), said).strip()


def cell(text: object, names: Mapping[str, str], limit: int = 400) -> str:
    """Text safe in a table's cell and in a paragraph: one line, no markup, no mention, no reference that links."""
    said = plain(str(text)[: 10 * limit], names)
    said = "".join(CELL.get(char, char) for char in said if char.isprintable() or char in "\n\r\t")
    said = LINE_START.sub(r"\1\\", said.strip())
    said = re.sub(r"(?<![\w.])@(?=\w)", "@\u200b", said)
    said = re.sub(r"#(?=\d)", "#\u200b", said)
    return said if len(said) <= limit else said[: limit - 1] + "…"


def clock(at: datetime | None) -> str:
    """12:54:20; MISSING where there is none."""
    return f"{at.astimezone(UTC):%H:%M:%S}" if at else "MISSING"


def day(at: datetime) -> str:
    """2026-06-10."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def length(seconds: float | None) -> str:
    """1 h 2 min 3 s; MISSING where there is none."""
    if seconds is None:
        return "MISSING"
    sign = "−" if seconds < 0 else ""
    whole = abs(int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    parts.append(f"{left} s" if left or not any(parts) else "")
    return sign + " ".join(part for part in parts if part)


def offset(seconds: float) -> str:
    """+1:09:00, or −0:30 before the start."""
    sign = "−" if seconds < 0 else "+"
    whole = abs(int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{sign}{hours}:{minutes:02d}:{left:02d}" if hours else f"{sign}{minutes}:{left:02d}"
