"""Two incidents that are one."""

from dataclasses import replace
from datetime import datetime

from bot.errors import Refused
from bot.incidents.decision import Decision, Timer
from bot.incidents.decisions.helping import ends_of_pages, handed_over
from bot.incidents.decisions.opening import start_clock
from bot.incidents.decisions.writing import all_keys, clock_keys, entry, left_timers, refreshed, say
from bot.incidents.effects import AcknowledgePage, Effect, InvitePeople, Topic
from bot.incidents.incident import HELD, Incident, Status
from bot.incidents.inputs import Merge
from bot.incidents.lifecycle import check_move, check_open
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry


def merge(child: Incident, wish: Merge, now: datetime, policy: Policy) -> Decision:
    """Fold `child` into the target: its page ends, its alerts and its acknowledgement go over, and how bad it is.

    A page that nobody answered ends only where another rings for it.
    """
    target = wish.target
    if target is None:
        raise Refused(f"There is no INC-{wish.into}. `/incident list` shows the open ones.")
    if target.number == child.number:
        raise Refused("An incident cannot be merged into itself. Name the other one.")
    check_move(child, Status.MERGED)
    check_open(target)
    if child.private and not target.private:
        raise Refused(
            f"{child.ref} is private and {target.ref} is not: everybody would read its alerts there. "
            f"The other way round works: merge {target.ref} into {child.ref}."
        )
    ended = replace(child.episode, ended_at=now)
    merged = replace(child.with_episode(ended), status=Status.MERGED, merged_into=target.number, closed_at=now)
    parent, entries, effects, cancels = _absorbed(target, child, wish.by, now, policy)
    parent, worse, worse_told = _worsened(parent, child, wish.by, now)
    parent, asked, page, timers = _ringing_on(parent, child, now, policy)
    merged, parent, ends = handed_over(merged, parent)
    left = () if parent.is_going_on else left_timers(parent, now + policy.resolve.hold)
    note = entry(merged, now, "merged", wish.by, into=parent.ref)
    told = say(merged, Topic.MERGED, into=parent.number, by=wish.by)
    return Decision(
        incident=merged,
        others=(parent,),
        entries=(note, *entries, *worse, *asked),
        effects=(*page, *ends_of_pages(child, of_others=False), *ends, *refreshed(merged), told, *effects, *worse_told),
        timers=(*timers, *left),
        cancels=(*all_keys(child, policy), *cancels),
        reason=_answer(merged, target, parent),
    )


def _answer(merged: Incident, target: Incident, parent: Incident) -> str:
    is_worse = parent.severity is not target.severity
    part = f"{merged.ref} is now part of {parent.ref}" + (f", which is {parent.severity.value} now." if is_worse else ".")
    is_asked = parent.episode.pages and not target.episode.pages
    return f"{part} {'Asking PagerDuty to page its on-call.' if is_asked else 'Work goes on there.'}"


def _worsened(parent: Incident, child: Incident, by: str, now: datetime) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...]]:
    """The worse severity of the two is that of both."""
    if child.severity.rank >= parent.severity.rank:
        return parent, (), ()
    old, new, reason = parent.severity.value, child.severity.value, f"{child.ref} is part of it now"
    note = entry(parent, now, "severity_changed", by, **{"from": old, "to": new, "reason": reason})
    told = say(parent, Topic.SEVERITY_CHANGED, old=old, new=new, by=by, reason=reason)
    return replace(parent, severity=child.severity), (note,), (told,)


def _ringing_on(
    parent: Incident, child: Incident, now: datetime, policy: Policy
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[Timer, ...]]:
    """The parent's own page, where the child's still rings, the parent has none, and nobody is on it."""
    is_ringing = child.episode.is_waiting or child.episode.is_ringing_again
    if not is_ringing or parent.episode.pages or parent.episode.acknowledged_at is not None:
        return parent, (), (), ()
    if parent.service is None:
        # It says nothing of whom to wake: whoever is being woken already.
        parent = replace(parent, pager=child.pager)
    return start_clock(parent, now, policy)


def _absorbed(
    target: Incident, child: Incident, by: str, now: datetime, policy: Policy
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[str, ...]]:
    known = {one.fingerprint for one in target.alerts}
    alerts = (*target.alerts, *(one for one in child.alerts if one.fingerprint not in known))
    held, rest = alerts[:HELD], alerts[HELD:]
    parent = replace(
        target,
        alerts=held,
        more=target.more + child.more + len(rest),
        more_firing=target.more_firing + child.more_firing + sum(one.is_firing for one in rest),
        more_related=target.more_related + child.more_related + sum(one.is_related for one in rest),
        more_related_firing=sum(
            (target.more_related_firing, child.more_related_firing, *(one.is_related and one.is_firing for one in rest))
        ),
        # Whoever merges wants together what was taken apart.
        split_off=tuple(one for one in target.split_off if one not in {two.fingerprint for two in child.alerts}),
        last_alert_at=max((one.newest_alert_at for one in (target, child) if one.newest_alert_at), default=None),
        flaps_until=max((one.flaps_until for one in (target, child) if one.flaps_until), default=None),
        cleared_at=target.cleared_at if child.is_clear else None,
    )
    note = entry(parent, now, "absorbed", by, child=child.ref)
    people = tuple(person for held in child.roles.values() for person in held)
    effects: list[Effect] = [say(parent, Topic.ABSORBED, child=child.number, by=by), *refreshed(parent)]
    if people:
        effects.append(InvitePeople(parent.number, people))
    cancels: tuple[str, ...] = ()
    who, at = child.episode.acknowledged_by, child.episode.acknowledged_at
    # One that PagerDuty took back says nothing of who is on it now.
    if parent.episode.acknowledged_at is None and who and at and not child.episode.is_ringing_again:
        parent, acknowledged = _with_acknowledgement(parent, who, at)
        effects[:0] = acknowledged
        cancels = clock_keys(target, policy)
    return parent, (note,), tuple(effects), cancels


def _with_acknowledgement(parent: Incident, by: str, at: datetime) -> tuple[Incident, tuple[Effect, ...]]:
    """Whoever was on the child is on the parent; the metrics take the child's own entry."""
    episode = replace(parent.episode, acknowledged_at=at, acknowledged_by=by, acknowledged_via="merge")
    status = Status.ACKNOWLEDGED if parent.status is Status.TRIGGERED else parent.status
    effect = AcknowledgePage(incident=parent.number, dedup_key=episode.dedup_key, pager=parent.pager or "default", by=by)
    return replace(parent.with_episode(episode), status=status), (effect,) if episode.pages else ()
