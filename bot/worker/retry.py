"""When to try an effect again, and when to give it up. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.incidents.effects import Lane

FIRST = timedelta(seconds=1)
LONGEST = {Lane.PAGER: timedelta(seconds=30), Lane.CHAT: timedelta(minutes=2), Lane.DOCUMENT: timedelta(minutes=5)}
ENOUGH = 10
"""Tries that an effect has in any case, however long the bot itself was away between them."""
HORIZON = {Lane.PAGER: timedelta(hours=48), Lane.CHAT: timedelta(hours=12), Lane.DOCUMENT: timedelta(hours=24)}
"""A page is tried for two days: PagerDuty has been down for hours, and nobody else will send it."""
MOST_ASKED = {Lane.PAGER: timedelta(seconds=65)}
"""PagerDuty counts by the minute, so after a minute there is room again. Whatever asks for more (a proxy, a bug, a time in
milliseconds) would keep a page from a person for as long as a day; to ask once too often costs one refusal. Five seconds more,
so that people are called at once, as where a page is not tried for long.
"""
SETTLES = {Lane.CHAT: timedelta(seconds=5), Lane.DOCUMENT: timedelta(seconds=5)}
"""So much later than otherwise is looked for what may have been taken: Slack may carry out a post after we have stopped
waiting for its answer, and who looks before that posts it twice. A page has a key, and is sent again without a look.
"""


@dataclass(frozen=True, slots=True)
class Again:
    """Try at this moment."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Never:
    """Give up, for this reason."""

    reason: str


def next_try(
    lane: Lane,
    attempt: int,
    first_tried_at: datetime,
    now: datetime,
    asked: timedelta | None,
    luck: float,
    *,
    needs_person: bool = False,
    was_lost: bool = False,
) -> Again | Never:
    """When to try an effect of `lane` again after its `attempt`-th try failed (counted from 1).

    Doubling waits, each drawn between half and the whole of it by `luck` (0 to 1), so that many do not come back at
    once. A wait that the neighbour asked for (`asked`) is not cut short, but for a page, which waits a minute at most. What
    a person has to mend first is never given up: on a weekend nobody may come for days, and nothing else will send it.
    Where it failed because the answer was lost (`was_lost`), all waits but a page's are some seconds longer.
    """
    wait = min(LONGEST[lane], FIRST * 2 ** min(attempt - 1, 16))
    wait = wait * (0.5 + luck / 2)
    if was_lost:
        wait += SETTLES.get(lane, timedelta())
    if asked is not None:
        wait = max(wait, min(asked, MOST_ASKED.get(lane, asked)))
    if not needs_person and attempt >= ENOUGH and now + wait - first_tried_at > HORIZON[lane]:
        hours = HORIZON[lane].total_seconds() / 3600
        return Never(f"tried {attempt} times over {hours:g} hours")
    return Again(now + wait)
