"""A whole bot with its sandbox and a clock that moves: what a story needs, in the words of a story."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bot.incidents.incident import Incident
from sandbox.__main__ import Demo
from sandbox.person import CannotBe
from sandbox.world import World

PATIENCE = 100.0
"""Twenty channels are made in a minute, and what comes after them waits for the next one."""


class Story:
    """People, phones, neighbours that break; each method is something that happens, or something that is seen."""

    def __init__(self, demo: Demo) -> None:
        self.demo, self.world, self.sandbox = demo, demo.world, demo.sandbox
        assert demo.bot is not None
        self.bot = demo.bot

    # --- what happens -------------------------------------------------------------------------

    def fires(self, example: str = "checkout-errors", source: str = "alertmanager") -> None:
        """An alert fires, or clears."""
        answer = self.demo.fire(source, example)
        assert answer["ok"], answer

    def types(self, person: str, text: str, channel: str = "incidents") -> str:
        """A slash command; what the person is told."""
        seen = self.sandbox.people.slash({"person": person, "channel": channel, "text": text})
        return str((seen.get("ephemeral") or {}).get("text") or seen.get("error") or "")

    def presses(self, person: str, label: str, channel: str) -> dict[str, Any]:
        """A button by its label, on the newest message that has it."""
        for message in reversed(self.messages(channel)):
            for block in message.get("blocks", []):
                for one in (*block.get("elements", []), *filter(None, [block.get("accessory")])):
                    if one.get("type") == "button" and one["text"]["text"] == label:
                        return self.sandbox.people.press({
                            "person": person, "channel": channel, "ts": message["ts"], "action_id": one["action_id"],
                        })  # fmt: skip
        raise AssertionError(f"no button {label!r} in #{channel}")

    def submits(self, person: str, **values: Any) -> dict[str, Any]:
        """The form that the person has open."""
        view = self.eventually(lambda: self.view_of(person), f"{person} has a form open")
        return self.sandbox.people.submit({"person": person, "view_id": view, "values": values})

    def view_of(self, person: str) -> str | None:
        """The id of the form a person has open."""
        with self.world.lock:
            shown = self.sandbox.people.parts(["views"])["views"]
        return next((one["id"] for one in reversed(shown) if one["person"] == person), None)

    def picks_up(self, person: str, action: str, incident: str = "1") -> None:
        """Acknowledge, resolve or escalate on the phone."""
        self.sandbox.people.phone({"person": person, "incident": incident, "action": action})

    def passes(self, minutes: float = 0, seconds: float = 0) -> None:
        """Time."""
        self.sandbox.people.clock({"advance_seconds": minutes * 60 + seconds})

    def breaks(self, neighbour: str, state: str = "down") -> None:
        """A neighbour goes down, or comes back up."""
        self.world.break_(neighbour, state)

    # --- what is seen -------------------------------------------------------------------------

    def eventually(self, seen: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Wait until something is seen, and give it. Fails with what is there instead."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = seen()
            if found:
                return found
            time.sleep(0.03)
        raise AssertionError(f"never seen: {what}\n{self.told()}")

    def told(self) -> str:
        """Everything there is, for a test that fails."""
        lines = [f"outbox {self.bot.store.outbox_depth()}, inbox {self.bot.store.inbox_depth()}"]
        for one in self.bot.store.incidents():
            lines.append(f"{one.ref} {one.status.value}: {[entry.type for entry in self.bot.store.timeline(one.ref)]}")
        with self.world.lock:
            for channel in self.sandbox.space.channels.values():
                lines += [f"#{channel.name}: {message['text'][:140]}" for message in channel.messages[-8:]]
        return "\n".join(lines)

    def incident(self, number: int = 1) -> Incident:
        """An incident as it stands, once it is there."""
        found: Incident = self.eventually(lambda: self.bot.store.incident(number), f"INC-{number}")
        return found

    def channel(self, number: int = 1) -> str:
        """The name of an incident's channel, once it has one with a card in it."""
        self.eventually(lambda: (one := self.bot.store.incident(number)) and one.summary, f"the card of INC-{number}")
        found = self.incident(number).channel
        assert found is not None
        return found.name

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """What stands in a channel."""
        with self.world.lock:
            found = self.sandbox.space.named(channel)
            return list(found.messages) if found else []

    def says(self, channel: str, words: str) -> str:
        """A message with these words, once it is there."""
        found: str = self.eventually(
            lambda: next((one["text"] for one in self.messages(channel) if words in one["text"]), None),
            f"“{words}” in #{channel}",
        )
        return found

    def card(self, number: int = 1) -> str:
        """The whole text of an incident's card."""
        incident = self.incident(number)
        if incident.summary is None or incident.channel is None:
            return ""
        found = next((one for one in self.messages(incident.channel.name) if one["ts"] == incident.summary.ts), {})
        texts = [block.get("text", {}).get("text", "") for block in found.get("blocks", []) if isinstance(block.get("text"), dict)]
        return "\n".join(texts)

    def card_says(self, words: str, number: int = 1) -> None:
        """The card shows these words, sooner or later."""
        self.eventually(lambda: words in self.card(number), f"“{words}” on the card, which shows:\n{self.card(number)}")

    def rings(self, person: str) -> list[dict[str, Any]]:
        """What a person's phone shows."""
        with self.world.lock:
            phones = self.sandbox.people.parts(["phones"])["phones"]
        return next(one["notifications"] for one in phones if one["person"] == person)

    def types_of(self, number: int = 1) -> list[str]:
        """The types of an incident's entries."""
        return [one.type for one in self.bot.store.timeline(f"INC-{number}")]

    def comes_to_rest(self) -> None:
        """Everything that was asked for is done."""
        self.eventually(lambda: self.bot.worker().is_quiet(), "rest")


@contextmanager
def telling(database_url: str, *, is_strict: bool = False, **settings: Any) -> Iterator[Story]:
    """A story on a database. Slack's limits are loose unless it is about them: stories are quicker than people."""
    world = World(is_strict=is_strict, slow_seconds=1.5)
    demo = Demo(world, database_url, **settings)
    demo.start()
    try:
        yield Story(demo)
    finally:
        demo.stop()


__all__ = ["CannotBe", "Story", "telling"]
