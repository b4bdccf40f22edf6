"""What must hold once all is quiet, read from what the neighbours keep and from the record; never from the bot's log.

I1 every delivery that was answered for is handled; I2 one open incident a fingerprint; I3 one page; I4 one channel, and
no orphan; I5 no message twice, none lost; I6 the first acknowledgement, on both sides; I7 each level once; I9 one digest.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from tests.faults.rig import Rig
from tests.faults.story import channel_of, drafts, escalations, pages


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that must not be. `kind` is lost, page, channel or message."""

    kind: str
    what: str


def judged(rig: Rig) -> list[Wrong]:
    """Everything that is wrong after `story.told`."""
    return [*deliveries(rig), *paging(rig), *channels(rig), *posted(rig), *acknowledged(rig), *documents(rig)]


def deliveries(rig: Rig) -> Iterator[Wrong]:
    """I1, I2."""
    with rig.store.engine.connect() as connection:
        states = dict(
            connection.execute(text("SELECT state, count(*) FROM inbox WHERE source = 'alertmanager' GROUP BY state")).all()
        )
        kept = {bytes(row[0]) for row in connection.execute(text("SELECT body FROM inbox"))}
        incidents = connection.scalar(text("SELECT count(*) FROM incidents"))
        dead = connection.execute(text("SELECT kind, reason FROM outbox WHERE state = 'dead'")).all()
        timers = connection.scalar(text("SELECT count(*) FROM timers WHERE incident IS NOT NULL"))
    if states.keys() - {"done"}:
        yield Wrong("lost", f"deliveries are not handled: {states}")
    for body in rig.accepted:
        if body not in kept:
            yield Wrong("lost", "a delivery that was answered for is not in the inbox")
    if incidents != 1:
        yield Wrong("channel", f"{incidents} incidents for one alert")
    for kind, reason in dead:
        yield Wrong("lost", f"{kind} was given up: {reason}")
    if timers:
        yield Wrong("lost", f"{timers} timers wait for an incident that is over")


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
        names = [one.name for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-")]
        channel = next((one for one in rig.sandbox.space.channels.values() if one.name == channel_of(rig)), None)
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
