"""A bot in this process, whose time is the sandbox's: hours pass in seconds, one step after the other.

Its threads stand still. After each step of time everything that is due is done, here; the poll, the list of who is on call
and the limits of both neighbours go by the same time. So a run is the same each time, whatever else the machine does.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from bot.incidents.effects import Lane
from bot.incidents.incident import incident_keyed
from bot.pagerduty.limits import Budget as EventBudget
from bot.slack.client import Budget as MethodBudget
from bot.worker.deliveries import guarded
from sandbox.__main__ import Demo
from sandbox.app import Sandbox
from sandbox.calls import get
from sandbox.misbehaviour import Call
from sandbox.pagerduty.account import Incident as PagerIncident
from sandbox.world import World
from tests.faults.oracle import Wrong
from tests.faults.rig import NeverSeen
from tests.faults.trials import Stage

POLL_SECONDS = 30.0
"""As by default."""
ON_CALL_SECONDS = 60.0


class Simulated:
    """The bot, its neighbours, and time."""

    def __init__(self, demo: Demo) -> None:
        assert demo.bot is not None
        self.demo, self.world, self.sandbox, self.bot = demo, demo.world, demo.sandbox, demo.bot
        self.only: Lane | None = None
        """The one lane that is carried out, where a story is about no other."""
        self._polled_at = self._listed_at = self.now
        steady = lambda: self.now.timestamp()  # noqa: E731
        self.bot.slack.budget = MethodBudget(steady)
        pager: Any = self.bot.worker()._deliveries[Lane.PAGER]._deliver
        pager.__self__._budget = EventBudget(steady)

    @property
    def now(self) -> datetime:
        """The time it is for everybody."""
        return self.world.clock()

    # --- what happens -------------------------------------------------------------------------

    def passes(self, minutes: float = 0.0, seconds: float = 0.0, step: float = 5.0) -> None:
        """Time, `step` seconds at once; after each of them everything is done that is due."""
        left = minutes * 60 + seconds
        while left > 0:
            self.world.clock.advance(min(step, left))
            left -= step
            self.settles()

    def passes_until(self, seen: Callable[[], Any], what: str, minutes: float, step: float = 5.0) -> float:
        """Time, until something is seen; how many seconds it took. Raises `NeverSeen`."""
        began = self.now
        while not seen():
            if self.now - began >= timedelta(minutes=minutes):
                raise NeverSeen(f"{what} within {minutes:g} min")
            self.passes(seconds=step, step=step)
        return (self.now - began).total_seconds()

    def settles(self) -> None:
        """Do everything that is due."""
        self.sandbox.account.tick()
        if (self.now - self._polled_at).total_seconds() >= POLL_SECONDS:
            self._polled_at = self.now
            guarded(self.bot.poll.run_once)
        if (self.now - self._listed_at).total_seconds() >= ON_CALL_SECONDS:
            self._listed_at = self.now
            guarded(self.bot.on_call.run_once)
        self.sandbox.webhooks.join()
        worker = self.bot.worker()
        if self.only is None:
            worker.settle()
        else:
            while guarded(worker._deliveries[self.only].run_once):
                pass

    def declares(self, severity: str, text: str, person: str = "ana") -> int:
        """Somebody opens an incident; its number."""
        told = self.types(person, f"/incident declare {severity} {text}")
        found = next((one for one in self.bot.store.incidents(5) if one.title in text), None)
        if found is None:
            raise NeverSeen(f"an incident declared: {told}")
        return found.number

    def types(self, person: str, text: str, channel: str = "incidents") -> str:
        """A slash command; what the person is told."""
        seen = self.sandbox.people.slash({"person": person, "channel": channel, "text": text})
        return str((seen.get("ephemeral") or {}).get("text") or seen.get("error") or "")

    def picks_up(self, person: str, number: int, action: str) -> None:
        """Somebody acts on the phone, on the page of an incident."""
        self.sandbox.people.phone({"person": person, "incident": self.pages(number)[0].id, "action": action})

    # --- what is seen -------------------------------------------------------------------------

    def pages(self, number: int) -> list[PagerIncident]:
        """PagerDuty's incidents of one of ours."""
        with self.world.lock:
            return [one for one in self.sandbox.account.incidents if incident_keyed(one.key) == number]

    def triggers(self, number: int) -> list[Call]:
        """The calls that asked for its page."""
        return [
            one
            for one in self.world.calls_of("pagerduty", "enqueue")
            if one.said.get("event_action") == "trigger" and incident_keyed(str(one.said.get("dedup_key"))) == number
        ]

    def messages(self, channel: str | None = None) -> list[dict[str, Any]]:
        """What the bot said, in a channel or anywhere."""
        with self.world.lock:
            found = [one for one in self.sandbox.space.channels.values() if channel is None or one.name == channel]
            return [message for one in found for message in one.messages if message.get("bot_id")]

    def said(self, *words: str, channel: str | None = None) -> datetime | None:
        """When a message with all these words was first there."""
        stamps = [float(one["ts"]) for one in self.messages(channel) if all(word in one["text"] for word in words)]
        return datetime.fromtimestamp(min(stamps), self.now.tzinfo) if stamps else None

    def types_of(self, number: int) -> Counter[str]:
        """How often each type of entry is on its timeline."""
        return Counter(one.type for one in self.bot.store.timeline(f"INC-{number}"))

    def health(self) -> str:
        """What the health page says."""
        return get(f"{self.world.bot}/health/ready", 10).body.decode()

    def is_quiet(self) -> bool:
        """Whether nothing waits."""
        return self.bot.worker().is_quiet()


@contextmanager
def simulated(stage: Stage, before: Callable[[Sandbox], None] = lambda sandbox: None) -> Iterator[Simulated]:
    """A bot on the database of a trial, started after `before`. Slack's own buckets go by real time, so a trial counts calls."""
    demo = Demo(World(is_strict=False), stage.url)
    before(demo.sandbox)
    try:
        demo.start(works=False)
        yield Simulated(demo)
    finally:
        demo.stop()


# --- what must hold of every incident -------------------------------------------------------------


def whole(told: Simulated, numbers: range) -> Iterator[Wrong]:
    """One page and one channel for each incident, no message twice, nothing given up, nothing left over."""
    depth = told.bot.store.outbox_depth()
    if depth:
        yield Wrong("lost", f"effects are not done: {depth}")
    for number in numbers:
        yield from paged_once(told, number)
        with told.world.lock:
            names = [one.name for one in told.sandbox.space.channels.values() if one.name.startswith(f"inc-{number}-")]
        if len(names) != 1:
            yield Wrong("channel" if names else "lost", f"channels of INC-{number}: {names}")
    yield from said_once(told)


def paged_once(told: Simulated, number: int) -> Iterator[Wrong]:
    """I3: PagerDuty has one incident, and the timeline says that it took the page."""
    found = told.pages(number)
    if len(found) != 1:
        yield Wrong("page" if found else "lost", f"INC-{number} was paged {len(found)} times")
    if not told.types_of(number)["page_accepted"]:
        yield Wrong("lost", f"the timeline of INC-{number} does not say that it was paged")


def said_once(told: Simulated) -> Iterator[Wrong]:
    """I5."""
    ids = Counter(one["metadata"]["event_payload"]["outbox_id"] for one in told.messages() if one.get("metadata"))
    twice = [id_ for id_, times in ids.items() if times > 1]
    if twice:
        yield Wrong("message", f"{len(twice)} messages are there more than once")


def most_in(seconds: float, moments: Sequence[datetime]) -> int:
    """The most of them that any so many seconds hold."""
    span = timedelta(seconds=seconds)
    return max((sum(begin <= one < begin + span for one in moments) for begin in moments), default=0)
