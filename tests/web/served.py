"""A bot as it is served: uvicorn on loopback, its neighbours beside it, and senders that say over HTTP what they like."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from bot.alerts.registry import source_named, sources
from bot.alerts.source import Checks
from bot.clock import wall_clock
from bot.store.tables import alerts
from bot.web.measures import Measures
from bot.web.serving import Server
from bot.web.webhooks import Webhooks
from sandbox.__main__ import SECRET
from tests.stories.story import Story, telling

SOURCES = tuple(sources())
KINDS = ("alertmanager", "grafana", "pagerduty", "generic")


def refuses(name: str) -> bool:
    """Whether what cannot be read of that source is refused at once. Of others it is kept, and put aside."""
    source = source_named(name)
    return source.identity_window_seconds is not None or isinstance(source, Checks)


"""One of each kind, for what takes a bot of its own: a token, a signature with its time, one that is never refused, a mapping."""
PATIENT = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as the JSON object that it has to be."""
        assert self.headers["content-type"].startswith("application/json"), self
        found: dict[str, Any] = json.loads(self.body)
        return found

    def refused(self, status: int) -> str:
        """The one line of why."""
        assert self.status == status, self
        assert self.body.count(b"\n") == 1, self
        why = self.json["error"]
        assert isinstance(why, str), self
        assert 10 < len(why) < 400, self
        assert why.isprintable(), self
        assert SECRET not in why, self
        return why

    def taken(self) -> str:
        """What the delivery is called."""
        assert self.status == 202, self
        return str(self.json["accepted"])


class Served:
    """Sends to a story's bot. Signs as the sender would, unless told otherwise."""

    def __init__(self, story: Story, address: str = "") -> None:
        self.story = story
        parts = urlsplit(address or story.world.bot)
        assert parts.hostname
        assert parts.port
        self.host, self.port = parts.hostname, parts.port

    def secret(self, source: str) -> str:
        return self.story.world.webhook_secret if source == "pagerduty" else SECRET

    def signature(self, source: str, body: bytes) -> dict[str, str]:
        """The headers that let `body` in."""
        return dict(source_named(source).sign(body, self.secret(source), wall_clock()))

    def sent(self, source: str, body: bytes) -> dict[str, str]:
        """All headers that its sender would send, and that mean something: the event's name, what the body is."""
        example = source_named(source).examples[0]
        return {"Content-Type": example.content_type, **example.headers, **self.signature(source, body)}

    def example(self, source: str) -> bytes:
        """The first of its own examples."""
        return source_named(source).examples[0].body_at(self.story.world.clock())

    def post(self, source: str, body: bytes, headers: Mapping[str, str] | None = None, route: str = "main") -> Answer:
        """A delivery; without `headers`, correctly signed."""
        given = self.sent(source, body) if headers is None else dict(headers)
        return self.ask("POST", f"/hooks/{source}/{route}", body, given)

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any request. An iterator of bytes goes in chunks. The answer is read even where the bot did not wait for the body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENT)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                chunked = {"Transfer-Encoding": "chunked"} if isinstance(body, Iterator) else {}
                connection.request(method, path, body, {**(headers or {}), **chunked}, encode_chunked=bool(chunked))
            return _read(connection.getresponse())
        finally:
            connection.close()

    def raw(self, *parts: bytes, hangs_up: bool = True) -> bytes:
        """Bytes as they are, then no more; everything that comes back."""
        with socket.create_connection((self.host, self.port), timeout=PATIENT) as connection:
            for part in parts:
                connection.sendall(part)
            if hangs_up:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            found = b""
            with suppress(ConnectionResetError):
                while chunk := connection.recv(65536):
                    found += chunk
            return found

    def good(self, name: str) -> dict[str, Any]:
        """A body of Alertmanager's that opens an incident of its own, and pages: as `name`, of a service called so."""
        labels = {"alertname": name, "service": name, "severity": "critical"}
        at = self.story.world.clock().isoformat()
        return {"version": "4", "status": "firing", "alerts": [{"status": "firing", "labels": labels, "startsAt": at}]}

    def still_works(self, name: str) -> int:
        """A good alert still belongs to an incident: its own, or a storm's after many; its number."""
        self.post("alertmanager", dumped(self.good(name))).taken()
        found = self.story.eventually(lambda: self.incident_with(name), f"an incident of {name}")
        return int(found.number)

    def incident_with(self, name: str) -> Any:
        """The incident of the newest alert of a service called so; a storm has more of them than stand in its value."""
        mine = select(alerts.c.incident).where(alerts.c.service == name, alerts.c.incident.is_not(None)).order_by(alerts.c.id.desc())
        with self.story.bot.store.engine.connect() as connection:
            number = connection.scalar(mine.limit(1))
        return None if number is None else self.story.bot.store.incident(number)

    def incident_of(self, service: str) -> Any:
        """The newest incident of a service."""
        return next((one for one in self.story.bot.store.incidents(500) if one.service == service), None)

    def is_read(self) -> None:
        """Everything that was taken was read, or put aside."""
        self.story.eventually(lambda: not self.story.bot.store.inbox_depth().get("new"), "an inbox without anything new", 240)

    def alarms(self) -> list[str]:
        """What was said in the operations channel."""
        return [one["text"] for one in self.story.messages("firstfive-ops")]


def dumped(value: Any) -> bytes:
    """JSON, as senders write it."""
    return json.dumps(value).encode()


def _read(response: http.client.HTTPResponse) -> Answer:
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextmanager
def serving(database_url: str, **settings: Any) -> Iterator[Served]:
    """A whole bot, for as long as the context lasts."""
    with telling(database_url, **settings) as story:
        yield Served(story)


@contextmanager
def beside(served: Served, **given: Any) -> Iterator[Served]:
    """Another way in to the same bot; `given` is what its webhooks have that the bot's own have not."""
    bot = served.story.bot
    inbox = bot.store.inbox_writer(lambda: None)
    usual = {"sources": sources(), "secrets_of": bot.settings.secrets_of, "mapping_of": lambda route: {}, "measures": Measures()}
    server = Server(Webhooks(inbox=inbox, clock=wall_clock, wall_clock=wall_clock, **usual | given), "127.0.0.1", 0)
    server.start()
    yield Served(served.story, f"http://127.0.0.1:{server.port}")
    server.stop()
    inbox.close()
