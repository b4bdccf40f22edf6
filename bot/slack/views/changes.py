"""Changes as people see them: on the card, before an incident's start, of the last day. Nobody is told that one is a cause."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.incidents.changes import OF_THE_SERVICE, ChangeRecord
from bot.incidents.incident import Incident
from bot.slack.views.blocks import Message, context, link, message, said, section
from bot.slack.views.text import escape, fit, moment, since

MOST_LISTED = 30
NOT_CAUSES = "not necessarily causes"
UNCONNECTED = "Nobody has told me of a change yet; `python -m bot sources generic` says how. That is not the same as none."


def line(one: ChangeRecord, now: datetime, start: datetime | None = None) -> str:
    """One change: when, and how long before a start; what was changed, of which service, by whom, and where that is seen.

    What has no version, commit or branch is called by its title: a flag, a setting.
    """
    which = f" `{escape(one.which, 60)}`" if one.which else f" {escape(one.title, 120)}"
    service = f" *{escape(one.service, 80)}*" if one.service else ""
    by = f" by {escape(one.by, 60)}" if one.by else ""
    moved, what, before = one.at, one.what, ""
    if start is not None:
        moved, what = one.moved_by(start), one.what_by(start)
        before = f", {since(moved, start)} before"
    return f"• {moment(moved, now)}{before}: {what}{service}{which}{by} {link(one.url, 'open')}".rstrip()


def before(incident: Incident, changes: Sequence[ChangeRecord], start: datetime, now: datetime, *, is_told: bool) -> Message:
    """What was changed before an incident's start: of its own service in a day, of others in an hour; at most `MOST_LISTED`."""
    head = f"🔧 *Changes before the start of {incident.ref}* ({NOT_CAUSES})"
    if not changes:
        service = escape(incident.service, 80) if incident.service else "its service"
        none = f"Nobody told of a change of {service} in the day before, nor of any other in the hour before."
        return said(f"{head}\n{none if is_told else UNCONNECTED}")
    return message(
        f"Changes before the start of {incident.ref}",
        section(head),
        section(fit((_whole(one, now, start) for one in changes[:MOST_LISTED]), 2900, unseen=len(changes[MOST_LISTED:]))),
        context(f"Of its own service in the day before {moment(start, now)}, then of any other in the hour before."),
    )


def lately(
    service: str | None, changes: Sequence[ChangeRecord], total: int, now: datetime, *, is_told: bool, hint: str = "",
    within: timedelta = OF_THE_SERVICE,
) -> Message:  # fmt: skip
    """What was changed lately, of one service or of all: at most `changes` of `total`, the newest first."""
    of = f" of {escape(service, 80)}" if service else ""
    lately_ = "in the last day" if within == OF_THE_SERVICE else f"in the last {since(now - within, now).removesuffix(' 0 min')}"
    if not changes:
        return said(f"🔧 Nobody told of a change{of} {lately_}.{hint}" if is_told else f"🔧 {UNCONNECTED}")
    return message(
        f"{total} change{'s' * (total != 1)}{of} {lately_}",
        section(f"🔧 *{total} change{'s' * (total != 1)}{of} {lately_}*"),
        section(fit((_whole(one, now) for one in changes), 2900, unseen=total - len(changes))),
    )


def _whole(one: ChangeRecord, now: datetime, start: datetime | None = None) -> str:
    """The line, and where it was changed; with its title, where the version alone stands in the line."""
    where = f" · {escape(one.environment, 40)}" if one.environment else ""
    title = f"\n    _{escape(one.title, 120)}_" if one.which and one.title else ""
    return f"{line(one, now, start)}{where}{title}"
