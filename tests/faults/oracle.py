"""What must hold once all is quiet, read from what the neighbours keep and from the record; never from the bot's log.

I1 every delivery that was answered for is handled; I2 one open incident a fingerprint; I3 one page; I4 one channel, and
no orphan; I5 no message twice, none lost; I6 the first acknowledgement, on both sides; I7 reminder, target and level once
each, not before they are due, and late only by an outage; I8 a page within five seconds of its alert; I9 one digest;
I10 what the timeline said it still says, once.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from sandbox.cast import BOT_USER
from sandbox.slack.outgoing import Sent
from tests.faults.rig import Outage, Rig
from tests.faults.story import ACKNOWLEDGES, GARBLED, SILENCED, TYPED, channel_of, drafts, escalations, pages

WITHIN = timedelta(seconds=3)
REMINDED_AFTER = timedelta(seconds=1)
HOLD = timedelta(seconds=1)
"""As the policy of `rig.py` has it."""
LATE = timedelta(seconds=10)
"""I7: so long after something was due, or after the bot was back."""
KNOWN_WITHIN = timedelta(seconds=60)
"""I6: so long after it was acknowledged here, there."""
PAGED_WITHIN = timedelta(seconds=5)
"""I8: so long after the 2xx, where nothing was away."""
SAID = {
    "reminder": "is not acknowledged after", "ack_breached": "nobody acknowledged within the target",
    "resolve_proposed": "Is it over?",
}  # fmt: skip
"""What Slack is told in the incident's channel, by the type of the entry."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that must not be. `kind` is lost, page, channel, message or late."""

    kind: str
    what: str


def judged(rig: Rig) -> list[Wrong]:
    """Everything that is wrong after `story.told`."""
    return [
        *deliveries(rig), *paging(rig), *channels(rig), *posted(rig), *acknowledged(rig), *documents(rig),
        *timing(rig), *paged_soon(rig), *typed(rig.entries().values()), *silenced(rig), *unaltered(rig.read, rig.entries()),
    ]  # fmt: skip


def typed(entries: Iterable[Mapping[str, Any]]) -> Iterator[Wrong]:
    """I1: what people were answered for."""
    written = [(one["type"], str(one["fields"])) for one in entries]
    for type_, words in TYPED.items():
        if not any(kind == type_ and words in fields for kind, fields in written):
            yield Wrong("lost", f"{type_}: {words}")


def silenced(rig: Rig) -> Iterator[Wrong]:
    """I1, I5: each silence that somebody was answered for holds, and everybody was told of it once."""
    with rig.store.engine.connect() as connection:
        held = connection.scalar(text("SELECT count(*) FROM silences WHERE is_in_force"))
    said = [one for one in rig.messages("incidents") if SILENCED in str(one)]
    if not held:
        yield Wrong("lost", "nothing is silenced")
    if len(said) != held:
        yield Wrong("message" if len(said) > (held or 0) else "lost", f"{len(said)} messages say that {held} silences begin")


def deliveries(rig: Rig) -> Iterator[Wrong]:
    """I1, I2."""
    with rig.store.engine.connect() as connection:
        states = dict(
            connection.execute(text("SELECT state, count(*) FROM inbox WHERE body <> :none GROUP BY state"), {"none": GARBLED}).all()
        )
        kept = {bytes(row[0]) for row in connection.execute(text("SELECT body FROM inbox"))}
        once = {str(row[0]) for row in connection.execute(text("SELECT key FROM handled"))}
        incidents = connection.scalar(text("SELECT count(*) FROM incidents"))
        dead = connection.execute(text("SELECT kind, reason FROM outbox WHERE state = 'dead'")).all()
        timers = connection.scalar(text("SELECT count(*) FROM timers WHERE incident IS NOT NULL"))
    if states.keys() - {"done"}:
        yield Wrong("lost", f"deliveries are not handled: {states}")
    for body in rig.accepted:
        if body not in kept:
            yield Wrong("lost", "a delivery that was answered for is not in the inbox")
    for webhook in list(rig.sandbox.webhooks.sent):
        if 200 <= webhook["status"] < 300 and webhook["body"] not in kept:
            yield Wrong("lost", "a webhook of PagerDuty's that was answered for is not in the inbox")
    yield from saved(list(rig.sandbox.outgoing.sent), rig.typed, once)
    if incidents != 1:
        yield Wrong("channel", f"{incidents} incidents for one alert")
    for kind, reason in dead:
        yield Wrong("lost", f"{kind} was given up: {reason}")
    if timers:
        yield Wrong("lost", f"{timers} timers wait for an incident that is over")


def saved(tries: Sequence[Sent], changing: Collection[str], once: Collection[str]) -> Iterator[Wrong]:
    """I1: what of Slack's was answered with a 200 is in the record. `once` are the keys that make an input happen once.

    Typed again, a command is answered for by what an earlier try has done whose answer was lost.
    """
    for number, one in enumerate(tries):
        is_sorry = "ot saved" in one.said or (one.kind == "view_submission" and "errors" in one.said)
        if one.status != 200 or is_sorry or not _changes(one, changing):
            continue
        alike = [other for other in tries[:number] if (other.kind, other.text) == (one.kind, one.text) and one.kind == "command"]
        if not any(f"slack:{other.key}" in once for other in (one, *alike)):
            yield Wrong("lost", f"“{one.text or one.kind}” was answered by the bot, and is not in the record")


def _changes(sent: Sent, changing: Collection[str]) -> bool:
    """Whether something has to be in the record of it: not of what only looks, nor of a mention, which is but answered."""
    match sent.kind:
        case "command":
            return sent.text in changing
        case "reaction_added":
            return sent.text == "pushpin"
    return sent.kind == "view_submission"


def paging(rig: Rig) -> Iterator[Wrong]:
    """I3, I7."""
    found = pages(rig)
    if not found:
        yield Wrong("lost", "nobody was paged")
    if len(found) > 1:
        yield Wrong("page", f"{len(found)} pages for one incident")
    with rig.world.lock:
        helping = [one for one in rig.sandbox.account.incidents if one.service.name == "payments"]
        asked = [one for page in found for one in page.requests]
    timeline = Counter(one.type for one in rig.store.timeline("INC-1"))
    if not helping:
        yield Wrong("lost", "the other service was not paged")
    wanted = timeline["responder_requested"]
    if len(helping) + len(asked) > wanted:
        yield Wrong("page", f"{len(helping) + len(asked)} responders asked, {wanted} requested")
    if not asked:
        yield Wrong("lost", "the responder was not asked")
    levels = Counter(str(one["assignees"]) for one in escalations(rig))
    if any(times > 1 for times in levels.values()):
        yield Wrong("page", f"a level was paged more than once: {levels}")
    if timeline["page_accepted"] != 1:
        yield Wrong("lost", f"{timeline['page_accepted']} entries say that the page was taken")
    if timeline["ack_breached"] != 1:
        yield Wrong("lost", f"{timeline['ack_breached']} entries say that the target was missed")


def channels(rig: Rig) -> Iterator[Wrong]:
    """I4."""
    with rig.world.lock:
        named = [one for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-")]
        ours = [one for one in named if one.creator == BOT_USER]
        names = [one.name for one in ours]
        channel = next((one for one in ours if one.name == channel_of(rig)), None)
        entered = [one.name for one in named if one.creator != BOT_USER and (BOT_USER in one.members or one.messages)]
    if entered:
        yield Wrong("channel", f"the bot went into channels that others made: {entered}")
    incident = rig.store.incident(1)
    if len(names) != 1:
        yield Wrong("channel" if names else "lost", f"channels: {names}")
    if channel is None or incident is None or incident.channel is None or incident.summary is None:
        yield Wrong("lost", "the incident has no channel, or no card")
        return
    if channel.id != incident.channel.id:
        yield Wrong("channel", "the incident's channel is another one")
    if channel.pins != [incident.summary.ts]:
        yield Wrong("message" if channel.pins else "lost", f"pins: {channel.pins}")
    if "U0ANA0001" not in channel.members:
        yield Wrong("lost", "the on-call was not invited")
    links = [one["link"] for one in channel.bookmarks]
    if len(set(links)) != len(links):
        yield Wrong("message", "a bookmark is there twice")
    if not links:
        yield Wrong("lost", "no bookmark")
    if "resolved" not in channel.topic.lower():
        yield Wrong("lost", f"the topic was left behind: {channel.topic}")


def posted(rig: Rig) -> Iterator[Wrong]:
    """I5: by the outbox row's id that each message carries."""
    ids = Counter(
        one["metadata"]["event_payload"]["outbox_id"]
        for one in rig.messages()
        if one.get("metadata") and not one.get("ephemeral_for")
    )
    for id_, times in ids.items():
        if times > 1:
            yield Wrong("message", f"the message of effect {id_} is there {times} times")
    with rig.store.engine.connect() as connection:
        said = connection.execute(
            text(
                "SELECT id, kind FROM outbox WHERE state = 'done' "
                "AND kind IN ('Say', 'AnnounceAlert', 'AnnounceSilence', 'RaiseAlarm')"
            )
        )
        for id_, kind in said:
            if id_ not in ids:
                yield Wrong("lost", f"{kind} {id_} is done, and no message is there")
    incident = rig.store.incident(1)
    cards = [one for one in rig.messages(channel_of(rig)) if incident and incident.summary and one["ts"] == incident.summary.ts]
    if not cards or "resolved" not in cards[0]["text"]:
        yield Wrong("lost", "the card was left behind")


def acknowledged(rig: Rig) -> Iterator[Wrong]:
    """I6."""
    incident = rig.store.incident(1)
    acks = [one for one in rig.store.timeline("INC-1") if one.type == "ack"]
    if incident is None or incident.episode.acknowledged_at is None or not acks:
        yield Wrong("lost", "the acknowledgement")
        return
    if incident.episode.acknowledged_at != min(one.at for one in acks):
        yield Wrong("lost", "an earlier acknowledgement is in the timeline")
    if incident.episode.acknowledged_by != "U0ANA0001":
        yield Wrong("lost", f"acknowledged by {incident.episode.acknowledged_by}")
    with rig.world.lock:
        theirs = [one for page in pages(rig) for one in page.log if one["type"] == "acknowledge_log_entry"]
    if not theirs:
        yield Wrong("lost", "PagerDuty never heard of the acknowledgement")
        return
    heard = min(moment_of(one["created_at"]) for one in theirs)
    if rig.picked_up is not None:
        # The webhook has the moment to a thousandth, the log that is polled in whole seconds.
        yield from exact(incident.episode.acknowledged_at, heard, rig.picked_up[1])
        yield from _heard_in_slack(rig, heard)
        return
    yield from _typed_at(rig, incident.episode.acknowledged_at)
    if not has_failed(rig, "pagerduty"):
        yield from known_soon("PagerDuty", incident.episode.acknowledged_at, heard, rig.outages)


def _typed_at(rig: Rig, at: datetime) -> Iterator[Wrong]:
    """By what Slack sent and had an answer for: one whose answer was lost may have been the one that counted."""
    tries = [one for one in rig.sandbox.outgoing.sent if one.text == ACKNOWLEDGES]
    answered = [one.ended for one in tries if one.status == 200 and "ot saved" not in one.said]
    if answered:
        yield from exact(at, min(one.began for one in tries), min(answered))


def _heard_in_slack(rig: Rig, at: datetime) -> Iterator[Wrong]:
    said = [float(one["ts"]) for one in rig.messages(channel_of(rig)) if "acknowledged *INC-1*" in one["text"]]
    if not said:
        yield Wrong("lost", "nobody heard in Slack of the acknowledgement")
    elif not has_failed(rig, "slack"):
        yield from known_soon("Slack", at, datetime.fromtimestamp(min(said), UTC), rig.outages)


def exact(at: datetime, earliest: datetime, latest: datetime) -> Iterator[Wrong]:
    """I6: the record has the moment at which somebody acted, as near as the bot can know it."""
    if not earliest <= at <= latest:
        yield Wrong(
            "lost", f"acknowledged at {at:%X.%f} by the record, and somebody acted between {earliest:%X.%f} and {latest:%X.%f}"
        )


def known_soon(who: str, at: datetime, heard: datetime, outages: Iterable[Outage]) -> Iterator[Wrong]:
    """I6: the other side knew of the acknowledgement in time, or as soon as the bot was back."""
    if heard > back_after(outages, at, heard) + KNOWN_WITHIN:
        yield Wrong("late", f"{who} heard of the acknowledgement {seconds(heard - at)} s after it")


def documents(rig: Rig) -> Iterator[Wrong]:
    """I9, and the draft."""
    weekly = [one for one in rig.messages("incidents") if one["text"].startswith("Incident week") and not one.get("ephemeral_for")]
    if len(weekly) != 1:
        yield Wrong("message" if weekly else "lost", f"{len(weekly)} digests")
    files = drafts(rig, channel_of(rig))
    if len(files) > 1:
        yield Wrong("message", f"{len(files)} drafts")
    if rig.store.draft("INC-1") is None:
        yield Wrong("lost", "the draft is not kept")


# --- time -----------------------------------------------------------------------------------------


def timing(rig: Rig) -> Iterator[Wrong]:
    """I7: by when each line was recorded, when Slack got what is said of it, and by PagerDuty's own log."""
    lines = [one for one in rig.entries().values() if one["incident"] == "INC-1"]
    opened = next((one["recorded_at"] for one in lines if one["type"] == "opened"), None)
    if opened is None:
        yield Wrong("lost", "the incident was never opened")
        return
    deadline = opened + WITHIN
    cleared = next((one["recorded_at"] for one in lines if one["type"] == "alert_resolved"), None)
    due = {"reminder": opened + REMINDED_AFTER, "ack_breached": deadline}
    due |= {"resolve_proposed": cleared + HOLD} if cleared else {}
    for type_, at in due.items():
        fired = [one["recorded_at"] for one in lines if one["type"] == type_]
        if type_ == "reminder" and not fired and back_after(rig.outages, opened, deadline) > opened:
            # The bot was away, and back when there was nothing to remind of any more.
            continue
        yield from fired_once(type_, at, fired, rig.outages)
        yield from _said_in_time(rig, type_, at)
    if any(one["type"] == "update_overdue" for one in lines):
        yield Wrong("late", "an update is overdue that is promised for two hours later")
    asked = sorted(moment_of(one["created_at"]) for one in escalations(rig))
    breached = [one["recorded_at"] for one in lines if one["type"] == "ack_breached"]
    for number, at in enumerate(asked):
        # A level's time runs from when the one before it was asked for.
        earliest = deadline if number == 0 or not breached else min(breached) + number * WITHIN
        if at < whole_second(earliest):
            yield Wrong("page", f"level {number + 2} was asked at {at:%X}, and is due at {earliest:%X}")
    # The one before may have been asked for up to a second later than the log's whole seconds say.
    due_at = [deadline, *(at + timedelta(seconds=1) + WITHIN for at in asked)]
    for number, (at, by) in enumerate(zip(asked, due_at, strict=False)):
        if not has_failed(rig, "pagerduty") and at > back_after(rig.outages, by, at) + LATE:
            yield Wrong("late", f"level {number + 2} was asked {seconds(at - by)} s after it was due")


def _said_in_time(rig: Rig, type_: str, due: datetime) -> Iterator[Wrong]:
    """By the first message: a missed target is said again with each level. Whether there is any is said by `posted`.

    Slack takes a message a second of a channel: one that has others before it, after an outage, waits for as many seconds.
    """
    told = [(datetime.fromtimestamp(float(one["ts"]), UTC), one["text"]) for one in rig.messages(channel_of(rig))]
    moments = [moment for moment, words in told if SAID[type_] in words]
    if not moments:
        return
    at = min(moments)
    ahead = timedelta(seconds=sum(due < moment < at for moment, _ in told))
    if at < due:
        yield Wrong("late", f"Slack got the {type_} {seconds(due - at)} s too early")
    elif not has_failed(rig, "slack") and at > back_after(rig.outages, due, at) + LATE + ahead:
        yield Wrong("late", f"Slack got the {type_} {seconds(at - due)} s after it was due")


def fired_once(what: str, due: datetime, fired: list[datetime], outages: Iterable[Outage]) -> Iterator[Wrong]:
    """Once, not before its time, and late by no more than the outage that was in between explains."""
    if len(fired) != 1:
        yield Wrong("lost" if not fired else "message", f"{what} fired {len(fired)} times")
    for at in fired:
        if at < due:
            yield Wrong("late", f"{what} fired {seconds(due - at)} s too early")
        elif at > back_after(outages, due, at) + LATE:
            yield Wrong("late", f"{what} fired {seconds(at - due)} s after it was due")


def back_after(outages: Iterable[Outage], due: datetime, at: datetime) -> datetime:
    """From when on something that was due is late if it came at `at`: the end of the last outage in between, if any."""
    ends = [one.ended or at for one in outages if one.began < at and (one.ended is None or one.ended > due)]
    return max([due, *ends])


def paged_soon(rig: Rig) -> Iterator[Wrong]:
    """I8: by PagerDuty's clock, from the 2xx that the sender got; whatever Slack does meanwhile."""
    accepted, found = rig.accepted_at.get("checkout-errors"), pages(rig)
    if accepted is None or not found or has_failed(rig, "pagerduty"):
        # Nothing to judge; or PagerDuty itself did not take it at once.
        return
    taken = min(one.created_at for one in found)
    back = back_after(rig.outages, accepted, taken)
    if taken > back + (PAGED_WITHIN if back == accepted else LATE):
        yield Wrong("late", f"the page was taken {seconds(taken - accepted)} s after the alert")


def has_failed(rig: Rig, neighbour: str) -> bool:
    """Whether it misbehaved in this run."""
    return any(one.wrong is not None for one in rig.world.calls_of(neighbour))


def whole_second(at: datetime) -> datetime:
    """As PagerDuty's log has it."""
    return at.replace(microsecond=0)


def moment_of(text_: str) -> datetime:
    """A time of PagerDuty's log."""
    return datetime.fromisoformat(text_).astimezone(UTC)


def seconds(span: timedelta) -> str:
    """To be read."""
    return f"{span.total_seconds():.1f}"


# --- the record -----------------------------------------------------------------------------------


def unaltered(read: Mapping[int, Mapping[str, Any]], now: Mapping[int, Mapping[str, Any]]) -> Iterator[Wrong]:
    """I10: every line that was ever read is there as it was, and none is there twice."""
    for id_, line in read.items():
        if id_ not in now:
            yield Wrong("lost", f"line {id_} of the timeline is gone: {line['type']}")
        elif now[id_] != line:
            yield Wrong("lost", f"line {id_} of the timeline was altered: {line['type']}")
    told = Counter(str([one[name] for name in ("incident", "at", "type", "by", "fields")]) for one in now.values())
    for content, times in told.items():
        if times > 1:
            yield Wrong("message", f"a line of the timeline is there {times} times: {content}")
