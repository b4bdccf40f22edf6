"""`/incident …`: one table of what can be typed, from which the help, the documents and the reading come. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
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
    Sub("alerts", "alerts [INC-7]", "every alert of it, the worst first, and how often each fired", "alerts", ("alarms",)),
    Sub("changes", "changes [INC-7 | service] [7d]", "what was changed before it began, or lately of a service",
        "changes checkout 7d", ("deploys", "deployments", "changelog")),
    Sub("who", "who [INC-7]", "who was paged, who is on it, who has which role, who is on call", "who",
        ("oncall", "on-call", "people")),
    Sub("list", "list", "the open incidents", "list", ("ls", "all")),
    Sub("merge", "merge INC-8 into INC-7", "two incidents that are one", "merge INC-8 into INC-7", ("duplicate",)),
    Sub("split", "split [INC-7] ALERT [why], or INC-8 that was merged",
        "an alert is not of this incident: it gets its own; or undo a merge; without words, a form",
        'split "Search is slow" another cause', ("unmerge", "separate", "detach"), takes_text=True),
    Sub("resolve", "resolve [what ended it]", "it is over", "resolve rolled back", ("fix", "fixed", "resolved", "done"),
        takes_text=True),
    Sub("reopen", "reopen INC-7", "it is back", "reopen INC-7", ("re-open", "again"), takes_text=True),
    Sub("cancel", "cancel [false positive | duplicate | external]", "not an incident after all", "cancel false positive",
        ("dismiss",), takes_text=True),
    Sub("close", "close INC-7", "the review is done", "close INC-7", ("closed", "archive")),
    Sub("postmortem", "postmortem [INC-7] [template]", "draft it anew from the timeline", "postmortem INC-7",
        ("pm", "post-mortem", "retro", "draft")),
    Sub("runbook", "runbook [INC-7]", "what to do about it", "runbook", ("rb", "playbook")),
    Sub("silence", "silence matchers 2h reason | end 3 | confirm 3", "keep alerts quiet for a while, for a reason; end it early",
        "silence service=checkout severity=low|medium 2h moving the database", ("mute", "snooze", "quiet"), takes_text=True),
    Sub("silences", "silences", "what is quiet now, why, and what it kept quiet", "silences", ("silenced", "muted", "maintenance")),
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
    """What was typed: the subcommand, the incident it names (if any), the words that are left, and those as typed.

    `elsewhere` is how the same is meant outside an incident's channel: `note see INC-3` is a note on INC-3 there, and
    in the channel of INC-7 a note on INC-7 that speaks of INC-3.
    """

    sub: Sub
    number: int | None
    words: tuple[str, ...] = ()
    text: str = ""
    elsewhere: "Request | None" = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing we know; `near` are subcommands that look like it."""

    word: str
    near: tuple[str, ...]


def read(text: str) -> Request | Unknown:
    """What `/incident TEXT` asks for. Nothing at all asks for help.

    The subcommand may follow what it is about (`INC-7 ack`, `@ben page`), never other words: a sentence that happens
    to hold “resolve” resolves nothing.
    """
    typed = list(re.finditer(r"\S+", text))
    words = [one[0] for one in typed]
    if not words:
        return Request(BY_WORD["help"], None)
    position = next((index for index, word in enumerate(words) if _key(word) in BY_WORD or not _is_about(word)), None)
    if position is None or _key(words[position]) not in BY_WORD:
        return _without_a_subcommand(words, position)
    sub = BY_WORD[_key(words[position])]
    left = [index for index in range(len(words)) if index != position and not _is_polite(words[index], index, position)]
    number, left = _taken(sub, words, left, position)
    request = _request(sub, number, left, words, typed, text)
    if _key(words[position]) == "lead" and role_in(request.words)[0] is None:
        request = replace(request, words=(Role.COMMANDER.value, *request.words))
    closes = sub.takes_text and sub.name not in OF_NO_INCIDENT and number is None and left and REFERENCE.match(words[left[-1]])
    if not closes:
        return request
    named = number_in(words[left[-1]].rstrip(":,"))
    return replace(request, elsewhere=_request(sub, named, left[:-1], words, typed, text))


def _without_a_subcommand(words: Sequence[str], position: int | None) -> Request | Unknown:
    """Nothing but an incident shows who is on it; anything else is not known."""
    number = next((number_in(word.rstrip(":,")) for word in words if REFERENCE.match(word) or _is_bare(word)), None)
    if position is None and number is not None:
        return Request(BY_WORD["who"], number)
    word = words[0 if position is None else position]
    return Unknown(word, ("sev", "declare") if CLEAR_SEVERITY.match(words[0]) else tuple(_near(word)))


def _request(
    sub: Sub, number: int | None, left: Sequence[int], words: Sequence[str], typed: Sequence[re.Match[str]], text: str
) -> Request:
    is_run = bool(left) and left[-1] - left[0] == len(left) - 1
    as_typed = text[typed[left[0]].start() : typed[left[-1]].end()] if is_run else " ".join(words[one] for one in left)
    return Request(sub, number, tuple(words[one] for one in left), as_typed)


def _taken(sub: Sub, words: Sequence[str], left: list[int], position: int) -> tuple[int | None, list[int]]:
    """The incident that is named, and the words without it. Inside a text a reference stays where it is."""
    if sub.name in OF_NO_INCIDENT or sub.name == "merge":
        return None, left
    for index in left:
        is_named = bool(REFERENCE.match(words[index])) or (index < position and _is_bare(words[index]) and sub.name != "sev")
        if is_named and (not sub.takes_text or index <= position + (2 if sub.name in HEADED else 1)):
            return number_in(words[index].rstrip(":,")), [one for one in left if one != index]
    if sub.name == "sev":
        graded = next((one for one in left if SEVERITY.match(words[one])), None)
        bare = [one for one in left if graded not in (None, one) and _is_bare(words[one])]
    elif sub.takes_text:
        is_alone = sub.name in ("resolve", "split") and len(left) == 1
        bare = [one for one in left[:1] if _is_bare(words[one]) and (sub.name in HEADED or is_alone)]
    else:
        bare = [one for one in left if _is_bare(words[one]) and sub.name not in ("metrics", "digest")]
    if not bare:
        return None, left
    return int(words[bare[0]]), [one for one in left if one != bare[0]]


OF_NO_INCIDENT = frozenset({"declare", "help", "silence", "silences"})
"""Subcommands that name none: what looks like a number of one belongs to what is said."""
HEADED = frozenset({"status", "cancel", "reopen"})
"""Subcommands whose text begins with a word of ours, or has none to speak of."""
POLITE = frozenset({"please", "pls"})


def _is_about(word: str) -> bool:
    """Whether a word can stand before the subcommand: what it is about, not what is said."""
    return bool(
        REFERENCE.match(word) or CLEAR_SEVERITY.match(word) or MENTION.match(word) or _is_bare(word) or word.startswith("@")
        or _key(word) in ROLES or _key(word) in POLITE or word.lower() == "me"
    )  # fmt: skip


def _is_polite(word: str, index: int, position: int) -> bool:
    return index < position and _key(word) in POLITE


def _is_bare(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 9


def _key(word: str) -> str:
    return word.lower().rstrip(":,.!")


def _near(word: str) -> list[str]:
    found = get_close_matches(_key(word)[:40], BY_WORD, n=3, cutoff=0.6)
    return list(dict.fromkeys(BY_WORD[one].name for one in found))


def likely(word: str, known: Iterable[str]) -> str:
    """“ Did you mean x?” where a word looks like one that is known; nothing where none does."""
    found = get_close_matches(_key(word)[:40], list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


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


def is_week(week: str) -> bool:
    """Whether a calendar has that week: not every year has a 53rd."""
    year, _, number = week.partition("-W")
    try:
        date.fromisocalendar(int(year), int(number), 1)
    except ValueError:
        return False
    return 2000 <= int(year) < 2100


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
        "that makes sense; what is mistyped is answered with what was probably meant. What a responder needs most is "
        "also a button or a form on the incident's card.",
        "",
        "| type | does | also | for example |",
        "|---|---|---|---|",
    ]
    for sub in SUBS:
        usage = sub.usage.replace("|", "\\|")
        lines.append(f"| `{usage}` | {sub.line} | {', '.join(sub.synonyms)} | `/incident {sub.example}` |")
    in_a_text = ", ".join(f"`{sub.name}`" for sub in SUBS if sub.takes_text)
    lines += [
        "",
        "What cannot be done is answered, to you alone, with why and with what to do instead. Nothing is answered "
        "before it is saved; a request that Slack sends twice is done once.",
        "",
        f"In a text ({in_a_text}) a number stands for an incident only where it cannot be part of "
        "what is said: `note INC-7 …` names it, and a reference at the end names it outside an incident's channel. Where a "
        "number alone may be either, the bot asks. A private incident is shown only in its own channel, and to those on it.",
        "",
        "What you write may name people and channels, as in any message. Nobody calls a whole channel or a group through "
        "the bot, a link is shown as its address whatever it was labelled, and what alerts say names nobody.",
    ]
    return "\n".join(lines) + "\n"
