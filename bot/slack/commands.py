"""`/incident …`: one table of what can be typed, from which the help, the documents and the reading come. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches

from bot.incidents.incident import Role, Severity, Status, number_in


@dataclass(frozen=True, slots=True)
class Sub:
    """One subcommand. `takes_text` says that its words are for people, so a bare number in them is no incident."""

    name: str
    usage: str
    line: str
    example: str
    synonyms: tuple[str, ...] = ()
    takes_text: bool = False


SUBS = (
    Sub("declare", "declare [sev1-5] [service] title", "open an incident; without words, a form",
        "declare sev2 checkout is slow", ("new", "open", "create", "start", "report"), takes_text=True),
    Sub("ack", "ack [INC-7]", "I am on it: stops the clock and tells PagerDuty", "ack",
        ("acknowledge", "acked", "mine", "take")),
    Sub("escalate", "escalate [INC-7]", "I can't: page the next level now", "escalate", ("next",)),
    Sub("page", "page @person | service", "ask PagerDuty for one more person, or another service's on-call",
        "page payments", ("call", "wake", "summon")),
    Sub("sev", "sev 1-5", "grade it anew; a severity that pages starts the page", "sev 1", ("severity", "prio")),
    Sub("status", "status investigating | identified | monitoring", "move it on", "status identified a bad deploy",
        ("state",), takes_text=True),
    Sub("role", "role commander | deputy | scribe | communications | expert @person", "give somebody a role",
        "role commander me", ("roles", "assign", "lead")),
    Sub("note", "note text", "a line on the timeline", "note CDN still serves the old bundle",
        ("log", "remember"), takes_text=True),
    Sub("update", "update text [next 30m]", "tell everybody where it stands, and promise the next word",
        "update Orders fail for a third of users; rolling back. next 15m", ("say", "post"), takes_text=True),
    Sub("timeline", "timeline [INC-7]", "what happened so far", "timeline", ("history", "events")),
    Sub("who", "who [INC-7]", "who was paged, who is on it, who has which role", "who", ("oncall", "on-call", "people")),
    Sub("list", "list", "the open incidents", "list", ("ls", "all")),
    Sub("merge", "merge INC-8 into INC-7", "two incidents that are one", "merge INC-8 into INC-7", ("duplicate",)),
    Sub("resolve", "resolve [what ended it]", "it is over", "resolve rolled back", ("fix", "fixed", "resolved", "done"),
        takes_text=True),
    Sub("reopen", "reopen INC-7", "it is back", "reopen INC-7", ("re-open", "again"), takes_text=True),
    Sub("cancel", "cancel [false positive | duplicate | external]", "not an incident after all", "cancel false positive",
        ("dismiss",), takes_text=True),
    Sub("close", "close INC-7", "the review is done", "close INC-7", ("closed", "archive")),
    Sub("postmortem", "postmortem [INC-7] [template]", "draft it anew from the timeline", "postmortem INC-7",
        ("pm", "post-mortem", "retro", "draft")),
    Sub("runbook", "runbook [INC-7]", "what to do about it", "runbook", ("rb", "playbook")),
    Sub("metrics", "metrics [2026-W24]", "the week's numbers, with what they mean", "metrics", ("stats", "numbers", "mttr")),
    Sub("digest", "digest [2026-W24]", "the weekly digest, for you alone", "digest", ("weekly", "report-week")),
    Sub("help", "help [subcommand]", "this", "help page", ("?", "h", "usage")),
)  # fmt: skip
BY_WORD = {word: sub for sub in SUBS for word in (sub.name, *sub.synonyms)}
MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
REFERENCE = re.compile(r"(?i)^(?:inc-?|#)\d{1,9}[:,]?$")
SEVERITY = re.compile(r"(?i)^(?:sev-?|s|p)?([1-5])$")
CLEAR_SEVERITY = re.compile(r"(?i)^(?:sev-?|s|p)([1-5])[:,]?$")
WEEK = re.compile(r"^\d{4}-W\d{2}$")
NEXT = re.compile(r"(?i)[\s.,;(]*\bnext(?:\s+(?:update|word))?(?:\s+in)?\s+(\d{1,4})\s*(m|min|minutes?|h|hours?)\)?\.?\s*$")
STATUSES = {
    "investigating": Status.INVESTIGATING, "investigate": Status.INVESTIGATING, "looking": Status.INVESTIGATING,
    "identified": Status.IDENTIFIED, "found": Status.IDENTIFIED, "cause": Status.IDENTIFIED,
    "monitoring": Status.MONITORING, "mitigated": Status.MONITORING, "watching": Status.MONITORING,
    "acknowledged": Status.ACKNOWLEDGED, "resolved": Status.RESOLVED, "closed": Status.CLOSED,
    "cancelled": Status.CANCELLED, "canceled": Status.CANCELLED, "triggered": Status.TRIGGERED,
    "merged": Status.MERGED,
}  # fmt: skip
ROLES = {
    "commander": Role.COMMANDER, "ic": Role.COMMANDER, "lead": Role.COMMANDER, "deputy": Role.DEPUTY,
    "scribe": Role.SCRIBE, "communications": Role.COMMUNICATIONS, "comms": Role.COMMUNICATIONS,
    "liaison": Role.COMMUNICATIONS, "expert": Role.EXPERT, "sme": Role.EXPERT, "ops": Role.EXPERT,
}  # fmt: skip
REASONS = {
    "false": "false_positive", "false_positive": "false_positive", "positive": "false_positive",
    "duplicate": "duplicate", "external": "external", "drill": "drill", "test": "drill",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What was typed: the subcommand, the incident it names (if any), and the words that are left."""

    sub: Sub
    number: int | None
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words that are left, as they were typed."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing we know; `near` are subcommands that look like it."""

    word: str
    near: tuple[str, ...]


def read(text: str) -> Request | Unknown:
    """What `/incident TEXT` asks for. Nothing at all asks for help; the number may stand anywhere."""
    words = text.split()
    if not words:
        return Request(BY_WORD["help"], None, ())
    number, rest = _take_reference(words)
    position = next((index for index, word in enumerate(rest[:1]) if _key(word) in BY_WORD), None)
    if position is None:
        if not rest:
            return Request(BY_WORD["who"], number, ())
        return Unknown(rest[0], tuple(_near(rest[0])))
    sub = BY_WORD[_key(rest[position])]
    rest = rest[:position] + rest[position + 1 :]
    if sub.name == "merge":
        return Request(sub, None, tuple(words[1:] if _key(words[0]) in BY_WORD else words))
    if number is None and not sub.takes_text and sub.name not in ("sev", "help"):
        number, rest = _take_bare(rest)
    return Request(sub, number, tuple(rest))


def _key(word: str) -> str:
    return word.lower().rstrip(":,.!")


def _take_reference(words: Sequence[str]) -> tuple[int | None, list[str]]:
    """The first INC-7 or #7 among the first words or at the end, and the rest. Inside a text it stays where it is."""
    for index, word in enumerate(words):
        if REFERENCE.match(word) and (index <= 2 or index == len(words) - 1):
            return number_in(word.rstrip(":,")), [*words[:index], *words[index + 1 :]]
    return None, list(words)


def _take_bare(words: list[str]) -> tuple[int | None, list[str]]:
    for index, word in enumerate(words):
        if word.isascii() and word.isdigit() and len(word) <= 9:
            return int(word), [*words[:index], *words[index + 1 :]]
    return None, words


def _near(word: str) -> list[str]:
    found = get_close_matches(_key(word), BY_WORD, n=3, cutoff=0.6)
    return list(dict.fromkeys(BY_WORD[one].name for one in found))


# --- the parts of a request -------------------------------------------------------------------


def severity_in(words: Sequence[str], *, is_certain: bool) -> tuple[Severity | None, tuple[str, ...]]:
    """The severity among the words, and the rest. With `is_certain`, only what can be nothing else (`sev2`, not `2`)."""
    pattern = CLEAR_SEVERITY if is_certain else SEVERITY
    for index, word in enumerate(words):
        found = pattern.match(word)
        if found:
            return Severity(f"SEV{found.group(1)}"), (*words[:index], *words[index + 1 :])
    return None, tuple(words)


def person_in(words: Sequence[str], me: str) -> tuple[str | None, tuple[str, ...]]:
    """The person among the words, and the rest: <@U1>, `me`, or @name, which is left for the caller to look up."""
    for index, word in enumerate(words):
        rest = (*words[:index], *words[index + 1 :])
        found = MENTION.match(word)
        if found:
            return found.group(1), rest
        if word.lower() == "me":
            return me, rest
        if word.startswith("@") and len(word) > 1:
            return word, rest
    return None, tuple(words)


def status_in(words: Sequence[str]) -> tuple[Status | None, tuple[str, ...]]:
    """The status that the first word names, and the rest."""
    found = STATUSES.get(_key(words[0])) if words else None
    return found, tuple(words[1:]) if found else tuple(words)


def role_in(words: Sequence[str]) -> tuple[Role | None, tuple[str, ...]]:
    """The role among the words, and the rest."""
    for index, word in enumerate(words):
        if _key(word) in ROLES:
            return ROLES[_key(word)], (*words[:index], *words[index + 1 :])
    return None, tuple(words)


def promise_in(text: str) -> tuple[str, int | None]:
    """An update without its closing `next 30m`, and those minutes."""
    found = NEXT.search(text)
    if found is None:
        return text, None
    hours = found.group(2).lower().startswith("h")
    span = timedelta(hours=int(found.group(1))) if hours else timedelta(minutes=int(found.group(1)))
    return text[: found.start()].rstrip(), int(span.total_seconds() // 60)


def references_in(words: Sequence[str]) -> list[int]:
    """Every incident among the words, bare numbers too."""
    return [number for word in words if (number := number_in(word.rstrip(":,"))) is not None]


def week_in(words: Sequence[str]) -> str | None:
    """The ISO week among the words."""
    return next((word.upper() for word in words if WEEK.match(word.upper())), None)


# --- words about it ---------------------------------------------------------------------------


def documented() -> str:
    """docs/slack-commands.md."""
    lines = [
        "# Slash commands",
        "",
        "<!-- Made by `make docs` from the code; edit the code. -->",
        "",
        "One command, `/incident`. It works from any channel: in an incident's own channel it means that incident, "
        "elsewhere name it (`INC-7`, `#7`), and where only one is open that one is meant. Words may come in any order "
        "that makes sense; what is mistyped is answered with what was probably meant. Everything is also a button or "
        "a form on the incident's card.",
        "",
        "| type | does | also | for example |",
        "|---|---|---|---|",
    ]
    for sub in SUBS:
        usage = sub.usage.replace("|", "\\|")
        lines.append(f"| `{usage}` | {sub.line} | {', '.join(sub.synonyms)} | `/incident {sub.example}` |")
    lines += [
        "",
        "What cannot be done is answered, to you alone, with why and with what to do instead. Nothing is answered "
        "before it is saved; a request that Slack sends twice is done once.",
    ]
    return "\n".join(lines) + "\n"
