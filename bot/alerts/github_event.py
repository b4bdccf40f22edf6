"""What GitHub's events have in common. https://docs.github.com/en/webhooks/webhook-events-and-payloads"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.alerts.alert import Status
from bot.alerts.reading import first, moment, object_at, text_of, web_url
from bot.errors import Unreadable


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, its body, and when it came."""

    name: str
    body: Mapping[str, Any]
    received_at: datetime

    @property
    def action(self) -> str:
        """What happened to the thing: created, completed, fixed."""
        return first(self.body.get("action")).lower()

    @property
    def repository(self) -> dict[str, Any]:
        """Where it happened; empty for an event of no repository."""
        return self.about("repository")

    @property
    def service(self) -> str | None:
        """The repository as owner/name."""
        return first(self.repository.get("full_name")) or None

    @property
    def scope(self) -> str:
        """What every identity begins with: a repository keeps its id when it gets another name."""
        return first(self.repository.get("id"), self.repository.get("full_name"))

    @property
    def sender(self) -> str | None:
        """Who did it."""
        return first(self.about("sender").get("login")) or None

    def about(self, name: str) -> dict[str, Any]:
        """An object of the body; empty where there is none. Raises `Unreadable` for what is none."""
        return object_at(self.body.get(name), name)

    def part(self, name: str) -> dict[str, Any]:
        """The object that the event is about. Raises `Unreadable` without one."""
        found = self.about(name)
        if not found:
            raise Unreadable(f"{name}: missing from an event {self.name}")
        return found

    def page(self, path: str) -> str | None:
        """The address of a page of the repository."""
        home = web_url(self.repository.get("html_url"))
        return web_url(f"{home}/{path}") if home else None

    def times(
        self, status: Status, started: datetime | None, ended: datetime | None
    ) -> tuple[datetime, datetime | None, tuple[str, ...]]:
        """When an alert started and ended, and which of the two were filled in with when the event came."""
        is_over = status is Status.RESOLVED
        missing = (("started_at", started is None), ("ended_at", is_over and ended is None))
        ended_at = (ended or self.received_at) if is_over else None
        return started or self.received_at, ended_at, tuple(name for name, is_missing in missing if is_missing)


def first_moment(*values: Any) -> datetime | None:
    """The first of the values that is a time."""
    return next((at for at in map(moment, values) if at is not None), None)


def said(given: Mapping[str, Any]) -> dict[str, str]:
    """The values that say something, as labels."""
    return {name: text for name, text in ((name, text_of(value)) for name, value in given.items()) if text}


def first_line(text: Any) -> str:
    """A commit message's subject."""
    return text_of(text).partition("\n")[0].strip()
