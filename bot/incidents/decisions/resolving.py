"""The end of an incident, and its coming back."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.errors import Refused
from bot.incidents.decision import AlertRecord, Decision
from bot.incidents.decisions.acknowledging import spoken
from bot.incidents.decisions.helping import all_on_call, ends_of_pages, with_their_pager
from bot.incidents.decisions.opening import start_clock, to_owners, update_timers
from bot.incidents.decisions.writing import (
    BOT,
    all_keys,
    entry,
    hold_key,
    left_timers,
    quoted,
    refreshed,
    say,
    whoever_is_on_it,
)
from bot.incidents.effects import Effect, PostDraft, Topic
from bot.incidents.incident import Episode, Incident, Status, dedup_key
from bot.incidents.inputs import Cancel, Close, HoldPassed, KeepOpen, Reopen, Resolve
from bot.incidents.lifecycle import check_move, check_open
from bot.incidents.policy import Policy


def resolve(incident: Incident, wish: Resolve, now: datetime, policy: Policy) -> Decision:
    """A person says that it is over. Alerts that still fire are named in the answer."""
    check_move(incident, Status.RESOLVED)
    decision = resolved_by(incident, wish.by, now, policy, text=wish.text, tell_pager=True)
    if incident.is_clear:
        return decision
    names = quoted(", ".join(sorted({one.name for one in incident.firing})[:5]))
    if incident.more_firing:
        names = f"{names}, and {incident.more_firing} more" if names else f"{incident.more_firing} alerts"
    within = f"{policy.reopen.within.total_seconds() / 3600:g} h"
    return replace(decision, reason=f"{decision.reason} Still firing: {names}; a new report within {within} opens it again.")


def resolved_by(
    incident: Incident,
    by: str,
    at: datetime,
    policy: Policy,
    *,
    text: str,
    tell_pager: bool,
    effective: datetime | None = None,
) -> Decision:
    """Resolve at `at`; `effective` is when the last alert cleared, where the bot resolves by itself."""
    at = max(at, incident.opened_at)
    episode = replace(incident.episode, ended_at=at)
    changed = replace(
        incident.with_episode(episode),
        status=Status.RESOLVED,
        resolved_at=at,
        resolved_by=by,
        mitigated_at=incident.mitigated_at or effective,
    )
    is_auto = by == BOT
    note = entry(changed, at, "resolved", by, auto=is_auto or None, effective_at=effective, text=text or None)
    elapsed = (at - incident.opened_at).total_seconds()
    told = say(changed, Topic.RESOLVED, by=by, auto=is_auto, elapsed_seconds=elapsed, text=text)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(
            *ends_of_pages(incident, its_own=tell_pager),
            *refreshed(changed),
            told,
            *to_owners(changed, Topic.RESOLVED, policy, by=by, auto=is_auto, elapsed_seconds=elapsed, text=text),
            *_draft(changed, policy),
        ),
        timers=left_timers(incident, at),
        cancels=all_keys(incident, policy),
        reason=f"{changed.ref} is resolved after {spoken(elapsed)}.",
    )


def _draft(incident: Incident, policy: Policy) -> tuple[Effect, ...]:
    rule = policy.rule(incident.severity)
    return () if rule.postmortem == "none" else (PostDraft(incident.number, rule.template),)


def hold_passed(incident: Incident, due: HoldPassed, now: datetime, policy: Policy) -> Decision:
    """Every alert has been clear for the hold: resolve, or propose to, as the policy says; what a person declared is only
    proposed, for they may know more than the alerts that joined it.
    """
    if not incident.is_open or not incident.is_clear or incident.cleared_at != due.cleared_at:
        return Decision(reason="an alert fires again, or it is over")
    if policy.resolve.automatic and not incident.is_declared:
        return resolved_by(incident, BOT, now, policy, text="", tell_pager=True, effective=due.cleared_at)
    changed = replace(incident, proposed_at=now)
    note = entry(changed, now, "resolve_proposed", BOT, cleared_at=due.cleared_at)
    told = say(
        changed,
        Topic.RESOLVE_PROPOSED,
        whoever_is_on_it(changed),
        cleared_at=due.cleared_at.isoformat(),
        automatic=False,
    )
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(told, *refreshed(changed, everywhere=False)),
        reason=f"every alert of {changed.ref} has cleared",
    )


def keep_open(incident: Incident, wish: KeepOpen, now: datetime) -> Decision:
    """Not yet, says a person to the proposal."""
    check_open(incident)
    changed = replace(incident, proposed_at=None)
    note = entry(changed, now, "kept_open", wish.by)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=refreshed(changed, everywhere=False),
        cancels=(hold_key(incident),),
        reason=f"{changed.ref} stays open. `/incident resolve {changed.ref}` when it is over.",
    )


def reopen(incident: Incident, wish: Reopen, now: datetime, policy: Policy) -> Decision:
    """It is back: a new episode with a page and a clock of its own."""
    if incident.is_open:
        raise Refused(f"{incident.ref} is open already ({incident.status.value}).")
    if incident.status is not Status.RESOLVED or incident.resolved_at is None:
        check_open(incident)
    assert incident.resolved_at is not None
    if now - incident.resolved_at > policy.reopen.within:
        hours = policy.reopen.within.total_seconds() / 3600
        raise Refused(f"{incident.ref} was resolved more than {hours:g} h ago. Declare a new incident that names {incident.ref}.")
    return opened_again(with_its_own(incident, wish.records), wish.by, now, policy, wish.text)


def with_its_own(incident: Incident, records: Sequence[AlertRecord] | None) -> Incident:
    """What was resolved, without the alerts that left it since: news of those do not come here, and they would fire for ever."""
    if records is None:
        return incident
    names = {one.fingerprint for one in records}
    held = tuple(one for one in incident.alerts if one.fingerprint in names)
    rest = [one for one in records if one.fingerprint not in {two.fingerprint for two in held}]
    return replace(
        incident, alerts=held, more=len(rest), more_firing=sum(one.is_firing for one in rest),
        more_related=sum(one.is_related for one in rest),
        more_related_firing=sum(one.is_related and one.is_firing for one in rest),
    )  # fmt: skip


def opened_again(incident: Incident, by: str, now: datetime, policy: Policy, text: str, symptom: str = "") -> Decision:
    """The next episode of an incident that was resolved, whether a person says so or an alert fires again: its `symptom`."""
    number = incident.episode.number + 1
    episode = Episode(number=number, opened_at=now, dedup_key=dedup_key(incident.number, number, now), symptom=symptom)
    changed = replace(
        incident.with_episode(episode),
        status=Status.TRIGGERED,
        resolved_at=None,
        resolved_by=None,
        mitigated_at=None,
        cleared_at=None,
        proposed_at=None,
        pager_id=None,
        pager_url=None,
    )
    changed, page_entries, page, timers = start_clock(with_their_pager(changed, policy), now, policy, text)
    changed, asked, others = all_on_call(changed, now, policy) if changed.episode.pages else (changed, (), ())
    if not changed.episode.pages:
        changed = replace(changed, status=Status.INVESTIGATING)
    note = entry(changed, now, "reopened", by, text=text or None, episode=number)
    told = say(changed, Topic.REOPENED, by=by, text=text, episode=number)
    return Decision(
        incident=changed,
        entries=(note, *page_entries, *asked),
        effects=(*page, *others, *refreshed(changed), told),
        timers=(*timers, *update_timers(changed, now, policy)),
        reason=_reopened(changed),
    )


def _reopened(incident: Incident) -> str:
    if incident.episode.pages:
        return f"{incident.ref} is open again. Asking PagerDuty to page the on-call."
    return f"{incident.ref} is open again. {incident.severity.value} pages nobody."


def cancel(incident: Incident, wish: Cancel, now: datetime, policy: Policy) -> Decision:
    """Not an incident after all: kept, and counted as what it was."""
    check_move(incident, Status.CANCELLED)
    changed = replace(incident.with_episode(replace(incident.episode, ended_at=now)), status=Status.CANCELLED, closed_at=now)
    note = entry(changed, now, "cancelled", wish.by, reason=wish.reason)
    told = say(changed, Topic.CANCELLED, by=wish.by, reason=wish.reason)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=(*ends_of_pages(incident), *refreshed(changed), told),
        timers=left_timers(incident, now),
        cancels=all_keys(incident, policy),
        reason=f"{changed.ref} is cancelled ({wish.reason.replace('_', ' ')}).",
    )


def close(incident: Incident, wish: Close, now: datetime) -> Decision:
    """The review is done."""
    if incident.is_open:
        raise Refused(f"{incident.ref} is {incident.status.value}. First `/incident resolve {incident.ref}`.")
    check_move(incident, Status.CLOSED)
    changed = replace(incident, status=Status.CLOSED, closed_at=now)
    note = entry(changed, now, "status_changed", wish.by, to="closed")
    return Decision(incident=changed, entries=(note,), effects=refreshed(changed), reason=f"{changed.ref} is closed.")
