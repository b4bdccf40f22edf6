"""Slack's end of Socket Mode: a websocket server that hands out envelopes and keeps what is sent back. RFC 6455."""

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha1
from typing import Any

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Line:
    """One connection of an app."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._lock = connection, threading.Lock()
        self.received: list[dict[str, Any]] = []
        self.is_open = True

    def sends(self, content: dict[str, Any]) -> None:
        """Hand something to the app."""
        self._frame(TEXT, json.dumps(content).encode())

    def cuts(self) -> None:
        """End the connection without a word."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def acknowledged(self, envelope: str) -> list[dict[str, Any]]:
        """What the app sent back for an envelope."""
        return [one for one in list(self.received) if one.get("envelope_id") == envelope]

    def serve(self) -> None:
        """Greet, answer pings, and keep what comes, until the connection ends."""
        self.sends({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}})
        with suppress(OSError, EOFError):
            while True:
                kind, content = self._read()
                if kind == PING:
                    self._frame(PONG, content)
                elif kind == CLOSE:
                    break
                elif kind == TEXT:
                    self.received.append(json.loads(content))
        self.is_open = False
        self._connection.close()

    def _frame(self, kind: int, content: bytes) -> None:
        size = len(content)
        head = bytes([0x80 | kind, size]) if size < 126 else struct.pack("!BBH", 0x80 | kind, 126, size)
        with self._lock, suppress(OSError):
            self._connection.sendall(head + content)

    def _read(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._exactly(8))[0]
        mask = self._exactly(4) if second & 0x80 else b"\0" * 4
        content = self._exactly(size)
        return first & 0x0F, bytes(one ^ mask[index % 4] for index, one in enumerate(content))

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self._connection.recv(size - len(content))
            if not part:
                raise EOFError
            content += part
        return content


class Server:
    """Takes connections for as long as it is open."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.lines: list[Line] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/link"

    def close(self) -> None:
        """Stop listening, and end every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self.lines:
            line.cuts()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        head = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096)
        key = next(line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(sha1(key + GUID.encode()).digest()).decode()
        answer = f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        connection.sendall(answer.encode())
        line = Line(connection)
        self.lines.append(line)
        line.serve()


def until(seen: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something is seen, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = seen()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("never seen")


@contextmanager
def listening() -> Iterator[Server]:
    """A server for as long as the context lasts."""
    made = Server()
    try:
        yield made
    finally:
        made.close()
