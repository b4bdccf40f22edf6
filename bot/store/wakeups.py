"""Waking whoever waits for work: at once in this process, and through the database in others. Only ever a hint."""

import threading
import time
from collections.abc import Callable, Collection, Mapping

import psycopg
from sqlalchemy import Engine

from bot.store.database import GONE_AFTER, can_notify, name_of

Heard = Callable[[Collection[str]], None]
"""Is told which parts of the work there is something new for; none where an older version says it, that names none."""


class Wakeup:
    """Something that up to `most` threads wait on. A wake that comes while nobody waits is kept for the next wait.

    Whoever waits is woken, never somebody who is busy: those look for more by themselves when they are done.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._due: list[float] = []
        self._change = threading.Condition()

    @property
    def kept(self) -> int:
        """How many wakes nobody has had yet."""
        return len(self._due)

    def wake(self, count: int = 1, after_seconds: float = 0.0) -> None:
        """End that many waits, or the next ones; not before `after_seconds` have passed."""
        with self._change:
            at = time.monotonic() + after_seconds
            self._due = sorted([*self._due, *[at] * count])[: self._most]
            self._change.notify(count)

    def wake_all(self) -> None:
        """End every wait."""
        self.wake(self._most)

    def wait(self, seconds: float) -> None:
        """Until woken, at most `seconds`."""
        end = time.monotonic() + seconds
        with self._change:
            while (now := time.monotonic()) < end:
                if self._due and self._due[0] <= now:
                    self._due.pop(0)
                    return
                self._change.wait(min([end, *self._due[:1]]) - now)


class Listener:
    """Passes on what other processes say through PostgreSQL. Lost words are made up for by polling."""

    def __init__(self, engine: Engine, heard: Mapping[str, Heard]) -> None:
        """`heard`: who is told, by channel."""
        self._engine, self._heard = engine, heard
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Listen, where the database can speak."""
        if can_notify(self._engine):
            self._thread.start()

    def stop(self) -> None:
        """Stop within a second or so."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (psycopg.Error, OSError):
                self._stop.wait(1)

    def _listen(self) -> None:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True, connect_timeout=5, **GONE_AFTER) as connection:
            for channel in self._heard:
                connection.execute(f"LISTEN {channel}".encode())
            while not self._stop.is_set():
                for note in connection.notifies(timeout=1.0):
                    # Our own threads were woken already, and only as many as there is work for.
                    name, *parts = note.payload.split(" ")
                    if name != name_of(self._engine):
                        self._heard[note.channel](parts)
