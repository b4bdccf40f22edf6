"""What came of an effect in Slack, and effects that had to be given up."""

from dataclasses import replace
from datetime import datetime

from bot.incidents.decision import Decision
from bot.incidents.decisions.writing import BOT, entry, refreshed
from bot.incidents.effects import RaiseAlarm
from bot.incidents.incident import Channel, Incident, Post
from bot.incidents.inputs import (
    AnnouncementPosted,
    ChannelNotOpened,
    ChannelOpened,
    DraftPosted,
    EffectParked,
    SummaryPosted,
)


def channel_opened(incident: Incident, report: ChannelOpened, now: datetime) -> Decision:
    """The incident has a channel. The first one stands, should two ever be reported."""
    if incident.channel is not None:
        return Decision(reason="it has a channel already")
    changed = replace(incident, channel=Channel(report.channel, report.name), channel_trouble="")
    note = entry(changed, now, "channel_opened", BOT, id=report.channel, name=report.name)
    return Decision(incident=changed, entries=(note,), reason=f"{changed.ref} has #{report.name}")


def channel_not_opened(incident: Incident, report: ChannelNotOpened, now: datetime) -> Decision:
    """No channel: the incident goes on where everybody reads, and the operators hear why."""
    changed = replace(incident, channel_trouble=report.reason)
    note = entry(changed, now, "channel_failed", BOT, reason=report.reason)
    alarm = RaiseAlarm(changed.number, f"{changed.ref} has no channel: {report.reason}")
    return Decision(incident=changed, entries=(note,), effects=(alarm, *refreshed(changed)), reason=report.reason)


def summary_posted(incident: Incident, report: SummaryPosted) -> Decision:
    return Decision(incident=replace(incident, summary=Post(report.channel, report.ts)), reason="the card is posted")


def announcement_posted(incident: Incident, report: AnnouncementPosted) -> Decision:
    return Decision(incident=replace(incident, announcement=Post(report.channel, report.ts)), reason="it is announced")


def draft_posted(incident: Incident, report: DraftPosted, now: datetime) -> Decision:
    changed = replace(incident, draft=report.permalink)
    note = entry(changed, now, "postmortem_drafted", BOT, template=report.template, link=report.permalink)
    return Decision(
        incident=changed,
        entries=(note,),
        effects=refreshed(changed, everywhere=False),
        reason="the draft is posted",
    )


def effect_parked(incident: Incident | None, report: EffectParked, now: datetime) -> Decision:
    """An effect was given up: on the timeline, and to the people who run the bot."""
    where = f" for INC-{report.incident}" if report.incident else ""
    alarm = RaiseAlarm(report.incident, f"{report.what}{where} was given up: {report.reason}", report.mend)
    effects = () if report.what == "RaiseAlarm" else (alarm,)
    if incident is None:
        return Decision(effects=effects, reason=report.reason)
    note = entry(incident, now, "effect_parked", BOT, what=report.what, reason=report.reason)
    return Decision(incident=incident, entries=(note,), effects=effects, reason=report.reason)
