"""What a neighbour does in place of a good answer: one table of it, and the one place that carries it out.

Each is done before the call changed anything, or after (`is_after`): then it was carried out, and only its answer is lost.
"""

import asyncio
import json
import random
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HANG_SECONDS = 35.0
"""Longer than anybody waits."""
DRIP_SECONDS = 1.0
ANY = "*"


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """`way` is how it fails.

    answer   `status`, `headers` and `body`, which is JSON unless `content_type` says otherwise
    half     the true answer, ended in its midst as if that were all
    cut      the true answer, of which half comes before the connection closes
    reset    no answer: the connection is reset
    hang     no answer, and the connection stays open
    drip     a byte a second from the first of the headers on
    lose     the answer of PagerDuty that all is well, of which nothing comes (`is_after` has no meaning)
    """

    name: str
    way: str = "answer"
    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    is_after: bool = False

    def after(self) -> "Misbehaviour":
        """The same, once the call was carried out."""
        return Misbehaviour(
            f"{self.name}, after it was carried out", self.way, self.status, self.body, self.headers, self.content_type, True
        )


def refusal(error: str, status: int = 200) -> Misbehaviour:
    """Slack's `ok: false` with that error."""
    name = error if status == 200 else f"{status} {error}"
    return Misbehaviour(name, status=status, body=json.dumps({"ok": False, "error": error}))


def limited(name: str, headers: Mapping[str, str], body: Any) -> Misbehaviour:
    """A 429 with these headers."""
    return Misbehaviour(f"429 {name}", status=429, body=json.dumps(body), headers=tuple(headers.items()))


def status(code: int) -> Misbehaviour:
    """A status without more."""
    return Misbehaviour(str(code), status=code, body="", content_type="text/plain")


HTML = Misbehaviour("an HTML page", body="<html><body>We will be back soon.</body></html>", content_type="text/html")
EMPTY = Misbehaviour("an empty body")
HALF = Misbehaviour("JSON that ends in its midst", "half", is_after=True)
CUT = Misbehaviour("an answer that is cut off", "cut", is_after=True)
RESET = Misbehaviour("a reset", "reset")
HANG = Misbehaviour("no answer", "hang")
DRIP = Misbehaviour("a byte a second", "drip")
LOST = Misbehaviour(
    "202, and nothing comes of it", "lose", 202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": "?"})
)


@dataclass
class Call:
    """A call that a neighbour got. `at` and `seconds` are of the machine's steady clock, `clock` is the sandbox's time.

    `seconds` is how long it took until it was answered, or until whoever called had left. `status` is 0 before.
    """

    neighbour: str
    name: str
    said: Any
    at: float
    clock: datetime
    wrong: Misbehaviour | None = None
    status: int = 0
    seconds: float = 0.0


@dataclass
class Fault:
    """A misbehaviour that waits for the calls it is meant for: those whose name begins with `call`."""

    call: str
    wrong: Misbehaviour
    left: int | None
    chance: float
    luck: random.Random = field(default_factory=random.Random)
    spared: int = 0
    """How many of those calls go well first."""

    def meets(self, name: str) -> bool:
        """Whether it is this call's turn to fail."""
        if self.left == 0 or not (self.call == ANY or name == self.call or name.startswith(f"{self.call} ")):
            return False
        if self.chance < 1 and self.luck.random() >= self.chance:
            return False
        if self.spared:
            self.spared -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class WithTransport(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Hands the connection to the application with each request, for what HTTP has no words for."""

    def connection_made(self, transport: Any) -> None:
        """Keep it where a request finds it."""
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}
        super().connection_made(transport)


async def carried_out(wrong: Misbehaviour, good: Response | None, request: Request) -> Response:
    """Misbehave. `good` is the true answer where the call was carried out."""
    match wrong.way:
        case "reset":
            await _reset(request)
        case "hang":
            await _until_left(request, HANG_SECONDS)
            await _reset(request)
        case "drip":
            await _drip(request)
        case "cut":
            await _cut(request, good)
        case "half":
            body = bytes(good.body) if good is not None else b"{}"
            status_code = good.status_code if good is not None else 200
            return Response(body[: len(body) // 2], status_code, media_type="application/json")
    return Response(wrong.body, wrong.status, dict(wrong.headers), wrong.content_type)


async def _reset(request: Request) -> None:
    transport = request.scope["state"]["transport"]
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # Whatever is answered now goes nowhere.
    await asyncio.sleep(0.05)


async def _until_left(request: Request, seconds: float) -> bool:
    """Wait until the caller has left; False where it stayed all the while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await request.is_disconnected():
            return True
        await asyncio.sleep(0.05)
    return False


async def _drip(request: Request) -> None:
    transport = request.scope["state"]["transport"]
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n":
        if transport.is_closing():
            break
        transport.write(bytes([byte]))
        if await _until_left(request, DRIP_SECONDS):
            break
    await _reset(request)


async def _cut(request: Request, good: Response | None) -> None:
    transport = request.scope["state"]["transport"]
    body = bytes(good.body) if good is not None else b"{}"
    status = good.status_code if good is not None else 200
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    transport.write(head.encode() + body[: len(body) // 2])
    transport.close()
    await asyncio.sleep(0.05)
