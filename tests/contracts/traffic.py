"""What goes over the wire: a recording door in front of a neighbour, and a whole bot whose every call passes one."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from sandbox.__main__ import Demo
from sandbox.world import World
from tests.stories.story import Story

NOT_FORWARDED = frozenset({"host", "connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"})
JSON_FIELDS = ("blocks", "metadata", "view", "files", "attachments")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, as they went over the wire. Header names are lower-case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' + self.query if self.query else ''} → {self.status}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What the request says: its query, with a JSON object or the fields of a form."""
        found: dict[str, Any] = dict(parse_qsl(self.query, keep_blank_values=True))
        if "json" in self.headers.get("content-type", ""):
            return found | json.loads(self.body or b"{}")
        found |= dict(parse_qsl(self.body.decode(), keep_blank_values=True))
        return {name: json.loads(value) if name in JSON_FIELDS else value for name, value in found.items()}

    @property
    def said(self) -> Any:
        """The answer's JSON; None where it has none."""
        return json.loads(self.answer) if self.answer and "json" in self.answer_headers.get("content-type", "") else None


class Recorder:
    """A door on this machine that passes everything on to where `target` says, and keeps it."""

    def __init__(self, target: Callable[[], str]) -> None:
        self.exchanges: list[Exchange] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def pass_on(self) -> None:
                recorder.pass_on(self, target())

            do_GET = do_POST = do_PUT = do_DELETE = pass_on

            def log_message(self, *given: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def pass_on(self, handler: BaseHTTPRequestHandler, target: str) -> None:
        """One request there, one answer back."""
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        connection = HTTPConnection(urlsplit(target).netloc, timeout=20)
        try:
            sent = {name: value for name, value in headers.items() if name not in NOT_FORWARDED}
            connection.request(handler.command, handler.path, body or None, sent)
            answer = connection.getresponse()
            content = answer.read()
        except OSError:
            handler.send_error(502)
            return
        finally:
            connection.close()
        back = {name.lower(): value for name, value in answer.getheaders()}
        asked = urlsplit(handler.path)
        self.exchanges.append(
            Exchange(handler.command, asked.path, asked.query, headers, body, answer.status, back, content)
        )  # fmt: skip
        handler.send_response(answer.status)
        for name, value in back.items():
            if name not in NOT_FORWARDED:
                handler.send_header(name, value)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class Listening(Story):
    """A story of which every call is kept: `neighbours` has what the bot asks, `bot_door` what is asked of it."""

    def __init__(self, demo: Demo, neighbours: Recorder, bot_door: Recorder) -> None:
        super().__init__(demo)
        self.neighbours, self.bot_door = neighbours, bot_door

    def asks(self, method: str, path: str, body: Any = None, **headers: str) -> int:
        """A call of our own through the same door, for what the bot does not ask; its status."""
        given = {"Accept": "application/vnd.pagerduty+json;version=2", "Authorization": f"Token token={self.world.pagerduty_token}"}
        if body is not None:
            given["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.neighbours.url}{path}", content, given | named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return int(error.code)


@contextmanager
def listening(database_url: str, **settings: Any) -> Iterator[Listening]:
    """A whole bot and its sandbox, with a recording door on each side."""
    world = World(is_strict=False, slow_seconds=1.5)
    neighbours = Recorder(lambda: world.origin)
    given = {
        "slack_api_url": f"{neighbours.url}/slack/api/",
        "pagerduty_api_url": f"{neighbours.url}/pagerduty/api",
        "pagerduty_events_url": f"{neighbours.url}/pagerduty/events",
    }
    demo = Demo(world, database_url, **(given | settings))
    bot_address = ""
    bot_door = Recorder(lambda: bot_address)
    try:
        demo.start()
        bot_address, world.bot = world.bot, bot_door.url
        yield Listening(demo, neighbours, bot_door)
    finally:
        demo.stop()
        bot_door.close()
        neighbours.close()


def form_of(exchange: Exchange) -> dict[str, str]:
    """The fields of a form that Slack sent."""
    return {name: values[0] for name, values in parse_qs(exchange.body.decode(), keep_blank_values=True).items()}
