"""Two incidents that are one."""

from dataclasses import replace
from datetime import datetime

from bot.errors import Refused
from bot.incidents.decision import Decision
from bot.incidents.decisions.writing import all_keys, clock_keys, entry, refreshed, say
from bot.incidents.effects import AcknowledgePage, Effect, InvitePeople, ResolvePage, Topic
from bot.incidents.incident import Incident, PageState, Status
from bot.incidents.inputs import Merge
from bot.incidents.lifecycle import check_move, check_open
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry


def merge(child: Incident, wish: Merge, now: datetime, policy: Policy) -> Decision:
    """Fold `child` into the target: its page ends, its alerts and its acknowledgement go over."""
    target = wish.target
    if target is None:
        raise Refused(f"There is no INC-{wish.into}. `/incident list` shows the open ones.")
    if target.number == child.number:
        raise Refused("An incident cannot be merged into itself. Name the other one.")
    check_move(child, Status.MERGED)
    check_open(target)
    ended = replace(child.episode, ended_at=now)
    merged = replace(child.with_episode(ended), status=Status.MERGED, merged_into=target.number, closed_at=now)
    parent, entries, effects, cancels = _absorbed(target, child, wish.by, now, policy)
    note = entry(merged, now, "merged", wish.by, into=parent.ref)
    told = say(merged, Topic.MERGED, into=parent.number, by=wish.by)
    return Decision(
        incident=merged,
        others=(parent,),
        entries=(note, *entries),
        effects=(*_end_page(child), *refreshed(merged), told, *effects),
        cancels=(*all_keys(child, policy), *cancels),
        reason=f"{merged.ref} is now part of {parent.ref}. Work goes on there.",
    )


def _absorbed(
    target: Incident, child: Incident, by: str, now: datetime, policy: Policy
) -> tuple[Incident, tuple[Entry, ...], tuple[Effect, ...], tuple[str, ...]]:
    known = {one.fingerprint for one in target.alerts}
    parent = replace(
        target,
        alerts=(*target.alerts, *(one for one in child.alerts if one.fingerprint not in known)),
        cleared_at=None if child.firing else target.cleared_at,
    )
    note = entry(parent, now, "absorbed", by, child=child.ref)
    people = tuple(person for held in child.roles.values() for person in held)
    effects: list[Effect] = [say(parent, Topic.ABSORBED, child=child.number, by=by), *refreshed(parent)]
    if people:
        effects.append(InvitePeople(parent.number, people))
    cancels: tuple[str, ...] = ()
    who, at = child.episode.acknowledged_by, child.episode.acknowledged_at
    if parent.episode.is_waiting and who and at:
        parent, acknowledged = _with_acknowledgement(parent, who, at)
        effects.insert(0, acknowledged)
        cancels = clock_keys(target, policy)
    return parent, (note,), tuple(effects), cancels


def _with_acknowledgement(parent: Incident, by: str, at: datetime) -> tuple[Incident, Effect]:
    """Whoever was on the child is on the parent; the metrics take the child's own entry."""
    episode = replace(parent.episode, acknowledged_at=at, acknowledged_by=by, acknowledged_via="merge")
    status = Status.ACKNOWLEDGED if parent.status is Status.TRIGGERED else parent.status
    effect = AcknowledgePage(incident=parent.number, dedup_key=episode.dedup_key, pager=parent.pager or "default", by=by)
    return replace(parent.with_episode(episode), status=status), effect


def _end_page(child: Incident) -> tuple[Effect, ...]:
    if child.episode.page in (PageState.NOT_NEEDED, PageState.REFUSED):
        return ()
    return (ResolvePage(incident=child.number, dedup_key=child.episode.dedup_key, pager=child.pager or "default"),)
