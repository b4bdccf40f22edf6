"""Places at which this process may die, by name. Tests of faults kill it there; nothing else hooks in.

A crash is only interesting between two things that must not drift apart: a commit and an answer, a claim and a call,
a call and its record. Each such place says its name here, and `POINTS` lists them all, so that none is left untried.
"""

from collections.abc import Callable
from typing import get_args

from bot.incidents import effects
from bot.incidents.effects import (
    AcknowledgePage,
    AddBookmarks,
    AnnounceAlert,
    AnnounceSilence,
    Effect,
    InvitePeople,
    OpenChannel,
    PageNextLevel,
    PageOnCall,
    PagePerson,
    PageService,
    PinSummary,
    PostDigest,
    PostDraft,
    RaiseAlarm,
    ResolvePage,
    Say,
    SetTopic,
    ShowAnnouncement,
    ShowSummary,
)

hook: Callable[[str], None] | None = None
"""Called with the name of each point that is reached. None but in tests of faults."""

INBOX_BEFORE = "inbox: before the commit"
INBOX_AFTER = "inbox: committed, not answered"
DECISION_BEFORE = "decision: before the commit"
DECISION_AFTER = "decision: committed"
TIMER_TAKEN = "timer: taken, before the commit"
MIGRATION = "migration: before the commit"
RECORD = (INBOX_BEFORE, INBOX_AFTER, DECISION_BEFORE, DECISION_AFTER, TIMER_TAKEN, MIGRATION)

CALLS: dict[type, tuple[str, ...]] = {
    PageOnCall: ("enqueue", "post"),
    PageNextLevel: ("put",),
    PagePerson: ("post",),
    PageService: ("enqueue", "post"),
    AcknowledgePage: ("put", "enqueue"),
    ResolvePage: ("enqueue", "put"),
    OpenChannel: ("conversations.create",),
    InvitePeople: ("conversations.invite",),
    ShowSummary: ("chat.postMessage", "chat.update"),
    PinSummary: ("pins.add",),
    AddBookmarks: ("bookmarks.add",),
    SetTopic: ("conversations.setTopic",),
    ShowAnnouncement: ("chat.postMessage", "chat.update"),
    Say: ("chat.postMessage",),
    AnnounceAlert: ("chat.postMessage",),
    AnnounceSilence: ("chat.postMessage",),
    RaiseAlarm: ("chat.postMessage",),
    PostDigest: ("chat.postMessage",),
    PostDraft: ("files.getUploadURLExternal", "upload", "files.completeUploadExternal"),
}
"""The calls by which each effect changes something outside."""

ASIDE: dict[str, str] = {
    "views.open": "a form for whoever typed or pressed; its trigger lives three seconds, and they type again",
    "response_url": "an answer to one person; what they did is saved, and asked again it is told again",
    "chat.postEphemeral": "the same, where Slack gave no address to answer at",
    "enable": "PagerDuty's webhook, switched on again; whoever looks next finds it off or on",
}
"""Calls that change something outside and belong to no effect: each with why nothing is lost that nobody can have back."""

READS: dict[str, str] = {
    "get": "PagerDuty's REST API is read",
    "users.conversations": "the channels that the bot is in",
    "bookmarks.list": "what is there already, before anything is added",
    "users.list": "who there is, every ten minutes",
    "conversations.history": "after a lost answer, and for a message that somebody pins to the timeline",
    "chat.getPermalink": "for a message that somebody pins to the timeline",
    "auth.test": "after a lost answer: who we are",
}
"""Calls that only look: to die at one is to die before whatever would have been done with its answer."""


def claimed(effect: Effect | type) -> str:
    """`sending` is committed, nothing was sent."""
    return f"{_name(effect)}: claimed"


def answered(effect: Effect | type) -> str:
    """The answer was read, nothing of it is recorded."""
    return f"{_name(effect)}: answered"


def before(call: str) -> str:
    """A call is about to be made."""
    return f"{call}: before the call"


def _name(effect: Effect | type) -> str:
    return effect.__name__ if isinstance(effect, type) else type(effect).__name__


def every() -> tuple[str, ...]:
    """All points of this process, in no particular order but always the same."""
    kinds = get_args(effects.Effect)
    calls = (*changing(), *READS)
    return (*RECORD, *map(claimed, kinds), *map(before, calls), *map(answered, kinds))


def changing() -> tuple[str, ...]:
    """All calls that change something outside."""
    return (*sorted({call for made in CALLS.values() for call in made}), *ASIDE)


def reached(point: str) -> None:
    """This is the place called `point`."""
    if hook is not None:
        hook(point)
