"""Kills at calls that the story of an incident does not come to, and the race for a channel's name."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bot import points
from sandbox.misbehaviour import RESET
from tests.faults import oracle, story
from tests.faults.oracle import Wrong
from tests.faults.rig import Kill, Rig
from tests.faults.trials import Stage, Trial

SWITCHED_ON_WITHIN = 120.0
"""It is looked at every thirty seconds, and by the successor of whoever died not sooner."""
PIN = "pushpin"


def switched_on(kill: Kill) -> Callable[[Stage], Iterator[Wrong]]:
    """PagerDuty has switched its webhook off; the bot dies while it switches it on."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.runs(("serve",), (kill,))
            rig.until(rig.is_up, "the bot is up")
            rig.fires("checkout-errors")
            rig.until(lambda: any(200 <= one["status"] < 300 for one in rig.sandbox.webhooks.sent), "a webhook came")
            rig.sandbox.webhooks.is_disabled = True
            rig.until(lambda: not rig.sandbox.webhooks.is_disabled, "the webhook is on again", SWITCHED_ON_WITHIN)
            if not kill.call:
                # What was done and not recorded is told by nobody: PagerDuty does not say who switched it on.
                rig.says("had switched its webhook")
            rig.until(lambda: story.status_of(rig) == "triggered", "the page is taken")
            rig.types("ana", "/incident ack INC-1")
            rig.until(lambda: story.status_of(rig) == "acknowledged", "PagerDuty knows that it is acknowledged")
            stage.met(sum(rig.reached((kill,))))
            if len(story.pages(rig)) != 1:
                yield Wrong("page", f"{len(story.pages(rig))} pages for one incident")

    return play


def pinned(kill: Kill) -> Callable[[Stage], Iterator[Wrong]]:
    """Somebody pins a message to the timeline, and again where that does not come."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.runs(("serve",), (kill,))
            rig.fires("checkout-errors")
            channel = rig.until(lambda: story.channel_of(rig), "the channel of INC-1")
            said = rig.sandbox.people.message({"person": "ana", "channel": channel, "text": "the cache is cold"})["message"]
            given = {"person": "ana", "channel": channel, "ts": said["ts"], "name": PIN}
            rig.shown(lambda: rig.sandbox.people.react(given), lambda: _pins(rig), "the message is on the timeline")
            stage.met(sum(rig.reached((kill,))))
            if not all("the cache is cold" in str(one.fields) for one in _pins(rig)):
                yield Wrong("lost", f"what was pinned is not what was said: {_pins(rig)}")

    return play


def _pins(rig: Rig) -> list[Any]:
    return [one for one in rig.store.timeline("INC-1") if "cache is cold" in str(one.fields)]


def raced(kills: Sequence[Kill], *, is_lost: bool) -> Callable[[Stage], Iterator[Wrong]]:
    """Somebody makes a channel of that name in the very moment: both come about. Ours is found again by who made it."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.sandbox.space.rivals = 1
            if is_lost:
                rig.world.answer_with("slack", "conversations.create", RESET.after(), 1)
            rig.runs(("serve",), kills)
            story.told(rig)
            stage.met(sum(rig.reached(kills)) or int(rig.sandbox.space.rivals == 0))
            yield from oracle.judged(rig)

    return play


def trials(seeds: range) -> Iterator[Trial]:
    """Each on both databases with the first seed."""
    lost = Kill(call="conversations.create")
    for database in ("sqlite", "postgresql"):
        for kill in (Kill(point=points.before("enable")), Kill(call="enable")):
            yield Trial(f"A killed at {kill.name}", database, seeds.start, switched_on(kill))
        for call in ("conversations.history", "chat.getPermalink"):
            kill = Kill(point=points.before(call))
            yield Trial(f"A killed at {kill.name}", database, seeds.start, pinned(kill))
        asked = Kill(point=points.before("auth.test"))
        yield Trial(f"A killed at {asked.name}", database, seeds.start, raced((asked,), is_lost=True))
        yield Trial("A race for a channel's name", database, seeds.start, raced((), is_lost=False))
        yield Trial("A race for a channel's name, answer lost", database, seeds.start, raced((), is_lost=True))
        yield Trial("A race for a channel's name, killed once it is made", database, seeds.start, raced((lost,), is_lost=False))
