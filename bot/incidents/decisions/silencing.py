"""Silences: begun, confirmed where they may swallow a SEV1, ended early, expired."""

from dataclasses import replace
from datetime import datetime, timedelta

from bot.alerts.quiet import NOTHING_KEPT, Kept, Silence, called
from bot.errors import Refused
from bot.incidents.decision import Decision, Timer
from bot.incidents.decisions.writing import BOT, quiet_key
from bot.incidents.effects import AnnounceSilence, SilenceNews
from bot.incidents.heartbeats import LOOK_AGAIN
from bot.incidents.inputs import ConfirmSilence, EndSilence, QuietPassed, SilenceAlerts, SilenceExpired
from bot.incidents.policy import Policy
from bot.incidents.swallowing import sev1_under

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=30)
CONFIRM_WITHIN = timedelta(minutes=10)
"""Asked longer ago than this, a yes may be meant for something else."""


def silence(wish: SilenceAlerts, now: datetime, policy: Policy) -> Decision:
    """Begin it; where it may swallow a SEV1, keep it as it is and ask once more."""
    assert wish.number is not None
    if not SHORTEST <= wish.lasts <= LONGEST:
        raise Refused("A silence lasts from 1 minute to 30 days. Name a time in between, such as 2h or 3d.")
    if not wish.reason.strip():
        raise Refused("Why? Add the reason at the end: whoever misses an alert reads it.")
    one = Silence(wish.number, wish.match, wish.by, wish.reason.strip(), now, wish.lasts)
    risks = sev1_under(wish.match, wish.worst, policy)
    if not risks:
        return _begun(one, now)
    why = "; ".join(risks)
    reason = (
        f"That may swallow a SEV1: {why}. Nothing is silenced yet. To silence it all the same, press the button, "
        f"or type `/incident silence confirm {one.number}`."
    )
    return Decision(silence=one, reason=reason)


def confirm(wish: ConfirmSilence, now: datetime) -> Decision:
    """The second yes: from whoever was asked, for what they were asked."""
    one = wish.silence
    if one is None and wish.number is None:
        raise Refused("You were not asked to confirm a silence. `/incident silence service=checkout 2h reason` begins one.")
    if one is None:
        raise _unknown(wish.number)
    if one.by != wish.by:
        raise Refused(f"Silence {one.number} was asked for by <@{one.by}>: only they can confirm it. You can ask for one yourself.")
    if one.until is not None:
        raise Refused(f"Silence {one.number} was confirmed already. `/incident silences` shows those in force.")
    if now - one.asked_at > CONFIRM_WITHIN:
        raise Refused(f"Silence {one.number} was asked for more than 10 minutes ago. Ask for it again.")
    return _begun(one, now)


def end(wish: EndSilence, now: datetime) -> Decision:
    """End it early. What still fires is taken at once as if it had just been reported."""
    one = wish.silence
    if one is None or one.until is None:
        raise _unknown(wish.number)
    if one.ended_at is not None:
        how = "expired" if one.ended_by == BOT else f"was ended by <@{one.ended_by}>"
        raise Refused(f"Silence {one.number} {how} already. `/incident silences` shows those in force.")
    ended = replace(one, ended_at=now, ended_by=wish.by, ended_because=wish.reason.strip())
    return Decision(
        silence=ended,
        effects=(_announced(ended, SilenceNews.ENDED, wish.kept),),
        cancels=(one.key,),
        released=one.key,
        reason=f"Silence {one.number} is ended. {_left(wish.kept)}",
    )


def expired(due: SilenceExpired, now: datetime) -> Decision:
    """Its time is over, and everybody hears what it kept quiet. It kept nothing quiet since then, however late this is."""
    one = due.silence
    if one is None or not one.is_in_force:
        return Decision(reason=f"silence {due.number} was ended before")
    ended = replace(one, ended_at=one.until, ended_by=BOT)
    return Decision(
        silence=ended,
        effects=(_announced(ended, SilenceNews.EXPIRED, due.kept),),
        reason=f"silence {one.number} expired. {_left(due.kept)}",
    )


def quiet_passed(due: QuietPassed, now: datetime) -> Decision:
    """It fires no more, or somebody has it: then nothing is to be done. Or what came of it is read first: it may have cleared."""
    title = due.alert.title
    if not due.is_unread:
        return Decision(reason=f"{title}, under {called(due.key)} before, needs nothing more")
    again = replace(due, by=min(due.by, now), is_unread=False)
    timer = Timer(quiet_key(due.key, due.alert.fingerprint(due.route)), now + LOOK_AGAIN, again)
    return Decision(timers=(timer,), reason=f"{title}: deliveries of {due.alert.source} are not read yet")


def _begun(one: Silence, now: datetime) -> Decision:
    until = now + one.lasts
    begun = replace(one, until=until)
    return Decision(
        silence=begun,
        effects=(_announced(begun, SilenceNews.BEGUN, NOTHING_KEPT),),
        timers=(Timer(one.key, until, SilenceExpired(number=one.number)),),
        reason=f"Silence {one.number} holds for {_length(one.lasts)}: {one.match.said}. "
        f"`/incident silence end {one.number}` ends it early.",
    )


def _announced(one: Silence, news: SilenceNews, kept: Kept) -> AnnounceSilence:
    assert one.until is not None
    return AnnounceSilence(
        number=one.number,
        news=news,
        match=one.match.said,
        by=one.by,
        reason=one.reason,
        until=one.until,
        ended_by=one.ended_by,
        ended_because=one.ended_because,
        kept=kept,
    )


def _length(lasts: timedelta) -> str:
    seconds = int(lasts.total_seconds())
    unit, name = next((unit, name) for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds % unit == 0)
    return f"{seconds // unit} {name}"


def _left(kept: Kept) -> str:
    if not kept.alerts:
        return "It kept nothing quiet."
    still = ""
    if kept.firing_count:
        one = kept.firing_count == 1
        still = f"; {kept.firing_count} still {'fires, and is' if one else 'fire, and are'} taken now as if just reported"
    return f"It kept {kept.alerts} alert{'s' * (kept.alerts != 1)} quiet{still}."


def _unknown(number: int | None) -> Refused:
    return Refused(f"There is no silence {number}. `/incident silences` shows those in force.")
