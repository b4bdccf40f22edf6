"""The floor of a page: the least there can be between an alert and PagerDuty, if nothing that was answered for may be lost.

A delivery is committed, then answered; a thread that this wakes commits what follows from it; another one claims that,
commits the claim, and asks PagerDuty over a kept connection. Nothing is read, matched or decided. As `web` and `worker`
it is two processes on PostgreSQL, of which the one wakes the other with NOTIFY.
"""

import asyncio
import json
import sqlite3
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import httpx
import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bot.web.serving import Server

TABLES = (
    "CREATE TABLE IF NOT EXISTS inbox (id {number}, body TEXT NOT NULL, is_done INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS outbox (id {number}, body TEXT NOT NULL, state TEXT NOT NULL)",
)
NUMBER = {True: "BIGSERIAL PRIMARY KEY", False: "INTEGER PRIMARY KEY"}
CHANNEL = "least_way"
Ask = Callable[[str], Any]
"""Has PagerDuty page for what this body says."""


class Record:
    """One thread's way to the database; each call is a transaction, on the disk when it returns."""

    def __init__(self, url: str) -> None:
        self.is_postgres = url.startswith("postgresql")
        self._connection: Any
        if self.is_postgres:
            self._connection = psycopg.connect(url.replace("+psycopg", ""), prepare_threshold=0)
        else:
            self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False, timeout=10)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")

    def write(self, *statements: tuple[str, tuple[Any, ...]]) -> Any:
        """Carry statements out and commit them; the first row of the first one."""
        rows = [self._execute(one, given) for one, given in statements]
        self._connection.commit()
        return rows[0]

    def _execute(self, statement: str, given: tuple[Any, ...]) -> Any:
        cursor = self._connection.execute(statement.replace("?", "%s") if self.is_postgres else statement, given)
        return cursor.fetchone() if cursor.description else None


def set_up(url: str) -> None:
    """Make the tables."""
    record = Record(url)
    for table in TABLES:
        record.write((table.format(number=NUMBER[record.is_postgres]), ()))


def served(url: str, decided: "SimpleQueue[int] | None") -> Starlette:
    """Takes alerts; what was committed goes to `decided`, or where there is none to whoever listens to the database."""
    waiting: SimpleQueue[tuple[str, asyncio.AbstractEventLoop, asyncio.Future[None]]] = SimpleQueue()

    def write() -> None:
        record = Record(url)
        while True:
            body, loop, answered = waiting.get()
            kept = ("INSERT INTO inbox (body) VALUES (?) RETURNING id", (body,))
            if decided is None:
                record.write(kept, ("SELECT pg_notify(?, '')", (CHANNEL,)))
            else:
                decided.put(record.write(kept)[0])
            loop.call_soon_threadsafe(answered.set_result, None)

    async def take(request: Request) -> JSONResponse:
        body = (await request.body()).decode()
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        waiting.put((body, loop, answered))
        await answered
        return JSONResponse({}, status_code=202)

    threading.Thread(target=write, daemon=True).start()
    return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])


def work(url: str, decided: "SimpleQueue[int]", ask: Ask) -> None:
    """Start who decides and who pages."""
    claimed: SimpleQueue[int] = SimpleQueue()

    def decide() -> None:
        record = Record(url)
        while True:
            number = decided.get()
            put = "INSERT INTO outbox (body, state) SELECT body, 'pending' FROM inbox WHERE id = ? RETURNING id"
            found = record.write((put, (number,)), ("UPDATE inbox SET is_done = 1 WHERE id = ?", (number,)))
            claimed.put(found[0])

    def page() -> None:
        record = Record(url)
        while True:
            number = claimed.get()
            body = record.write(("UPDATE outbox SET state = 'sending' WHERE id = ? RETURNING body", (number,)))[0]
            ask(body)
            record.write(("UPDATE outbox SET state = 'done' WHERE id = ?", (number,)))

    for one in (decide, page):
        threading.Thread(target=one, daemon=True).start()


def listen(url: str, decided: "SimpleQueue[int]") -> None:
    """Hand over what is new each time the database says so; for ever."""
    record = Record(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}".encode())
        seen, heard = 0, connection.notifies()
        while True:
            while found := record.write(("SELECT id FROM inbox WHERE id > ? ORDER BY id LIMIT 1", (seen,))):
                seen = found[0]
                decided.put(seen)
            next(heard)


def asker(pagerduty: str, key: str) -> Ask:
    """Who asks PagerDuty, over one connection."""
    client = httpx.Client(timeout=8)

    def ask(body: str) -> None:
        service = json.loads(body)["alerts"][0]["labels"]["service"]
        payload = {"summary": f"The floor on {service}", "severity": "critical", "source": "bench"}
        event = {"routing_key": key, "event_action": "trigger", "dedup_key": f"floor/{service}", "payload": payload}
        client.post(f"{pagerduty}/v2/enqueue", json=event).raise_for_status()

    return ask


def main(shape: str, port: str, url: str, pagerduty: str, key: str) -> None:
    """Serve all of it (`serve`), only the intake (`web`), or only the rest (`worker`)."""
    set_up(url)
    decided: SimpleQueue[int] = SimpleQueue()
    if shape != "web":
        work(url, decided, asker(pagerduty, key))
    if shape == "worker":
        listen(url, decided)
    Server(served(url, decided if shape == "serve" else None), "127.0.0.1", int(port)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
