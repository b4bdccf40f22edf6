"""Requests at a pace or as fast as they are answered, over kept connections; and what the times mean."""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

if sys.platform != "win32":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop

Answer = TypeVar("Answer")
Request = Callable[[int], tuple[str, dict[str, str], bytes]]
"""The path, headers and body of the n-th request."""
Accepts = Callable[[int, bytes], bool]
"""Whether an answer, by its status and body, is the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long answers took, in seconds, how many were not what was asked for, and how long all of it took."""

    seconds: tuple[float, ...]
    refused: int = 0
    elapsed: float = 0.0
    busy: float = 0.0
    """Seconds of processor that the one who measures needed himself: near `elapsed`, it is him who is measured."""

    def percentile(self, share: float) -> float:
        """Nearest rank: the smallest time that at least `share` of all do not exceed. NaN where there is none."""
        if not self.seconds:
            return math.nan
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def per_second(self) -> float:
        """Answers a second; NaN where nothing was measured."""
        return len(self.seconds) / self.elapsed if self.elapsed else math.nan

    def __add__(self, other: "Times") -> "Times":
        """Both together."""
        return Times(
            self.seconds + other.seconds, self.refused + other.refused, self.elapsed + other.elapsed, self.busy + other.busy
        )  # fmt: skip


NONE = Times(())


def together(parts: Sequence[Times]) -> Times:
    """All parts as one."""
    return sum(parts, NONE)


def ratio(measured: float, floor: float) -> float:
    """How many times the floor; NaN where there is no floor."""
    return measured / floor if floor else math.nan


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run to the end, on the fastest loop there is: the one who measures must not be the slow one."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def is_2xx(status: int, body: bytes) -> bool:
    """Any success."""
    return 200 <= status < 300


class Connection:
    """One kept connection that sends a request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """POST; status and body of the answer, once all of it is here. (0, b"") where the connection broke."""
        try:
            return await self._ask(path, headers, body)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            self._writer = None
            return 0, b""

    async def _ask(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        assert self._reader is not None
        lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        answer = await self._reader.readexactly(length)
        return int(head.split(" ", 2)[1]), answer

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()


async def paced(
    port: int, request: Request, per_second: float, count: int, accepts: Accepts = is_2xx, connections: int = 16
) -> Times:
    """Requests that start at fixed times, whether or not earlier ones are answered: waiting in line counts."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(Connection(port))
    times = [math.nan] * count
    refused = 0
    began = time.perf_counter()

    async def one(number: int) -> None:
        nonlocal refused
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = await free.get()
        status, body = await connection.ask(*request(number))
        times[number] = time.perf_counter() - due
        refused += not accepts(status, body)
        free.put_nowait(connection)

    await asyncio.gather(*(one(number) for number in range(count)))
    elapsed = time.perf_counter() - began
    while not free.empty():
        free.get_nowait().close()
    return Times(tuple(times), refused, elapsed)


async def flat_out(port: int | Sequence[int], request: Request, connections: int, seconds: float) -> Times:
    """Each connection asks again as soon as it is answered; of several ports, each has its share of the connections."""
    times: list[float] = []
    refused, number = 0, 0
    began, used = time.perf_counter(), time.process_time()
    ports = [port] if isinstance(port, int) else list(port)

    async def one(index: int) -> None:
        nonlocal refused, number
        connection = Connection(ports[index % len(ports)])
        while time.perf_counter() - began < seconds:
            number += 1
            asked = request(number)
            sent = time.perf_counter()
            status, body = await connection.ask(*asked)
            times.append(time.perf_counter() - sent)
            refused += not is_2xx(status, body)
        connection.close()

    await asyncio.gather(*(one(index) for index in range(connections)))
    return Times(tuple(times), refused, time.perf_counter() - began, time.process_time() - used)
