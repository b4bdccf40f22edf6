"""A neighbour at the level of TCP: it counts what reaches it, and answers with bytes, a reset, or nothing at all."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

Behaviour = Callable[["Caller"], None]


@dataclass(frozen=True, slots=True)
class Caller:
    """One connection, once its request was read: what it asked, and the way back to it."""

    head: bytes
    body: bytes
    connection: socket.socket
    stopped: threading.Event

    @property
    def line(self) -> str:
        """The request's first line."""
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def json(self) -> Any:
        """The request's body."""
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """A header of the request; empty where it was not sent."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return next((value.strip() for key, _, value in pairs if key.lower() == name.lower()), "")


def answer(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> Behaviour:
    """A whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{more}\r\n"
    return raw(head.encode() + content)


def raw(content: bytes) -> Behaviour:
    """These bytes, then the end of the connection."""
    return lambda caller: caller.connection.sendall(content)


def reset(caller: Caller) -> None:
    """Cut the connection without an answer, after the whole request was read."""
    caller.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silence(caller: Caller) -> None:
    """Keep the connection, and never answer."""
    caller.stopped.wait(30)


def drip(caller: Caller) -> None:
    """Begin an answer, and send a byte of it now and then: too little to be of use, too much to be called silence."""
    caller.connection.sendall(b"HTTP/1.1 202 Said\r\nContent-Length: 1000000\r\n\r\n")
    while not caller.stopped.wait(0.05):
        caller.connection.sendall(b" ")


class StandIn:
    """Listens on a free port of this machine. Each connection gets the next behaviour; the last one serves for the rest."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self._behaviours = list(behaviours)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.connections = 0
        self.asked: list[Caller] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening, and let go of who waits."""
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._lock:
                    behave = self._behaviours[min(self.connections, len(self._behaviours) - 1)]
                    self.connections += 1
                threading.Thread(target=self._serve, args=(connection, behave), daemon=True).start()

    def _serve(self, connection: socket.socket, behave: Behaviour) -> None:
        with connection, suppress(OSError):
            head, body = _request(connection)
            caller = Caller(head, body, connection, self._stopped)
            with self._lock:
                self.asked.append(caller)
            behave(caller)


def _request(connection: socket.socket) -> tuple[bytes, bytes]:
    content = b""
    while b"\r\n\r\n" not in content:
        chunk = connection.recv(65_536)
        if not chunk:
            raise OSError("it went away")
        content += chunk
    head, _, body = content.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65_536)
    return head, body


@contextmanager
def standing_in(*behaviours: Behaviour) -> Iterator[StandIn]:
    """A stand-in for as long as the context lasts."""
    made = StandIn(behaviours or (answer(202, {"status": "success"}),))
    try:
        yield made
    finally:
        made.close()


def nobody_there() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"http://127.0.0.1:{one.getsockname()[1]}"
