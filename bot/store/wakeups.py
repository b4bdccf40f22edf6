"""Waking whoever waits for work: at once in this process, and through the database in others. Only ever a hint."""

import threading

import psycopg
from sqlalchemy import Engine

from bot.store.database import can_notify

CHANNELS = ("firstfive_inbox", "firstfive_outbox")


class Wakeup:
    """Something to wait on. A wake that comes while nobody waits is kept for the next wait."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """End the wait, or the next one."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Until woken, at most `seconds`."""
        self._event.wait(seconds)
        self._event.clear()


class Listener:
    """Passes on what other processes say through PostgreSQL. Lost words are made up for by polling."""

    def __init__(self, engine: Engine, wakeups: dict[str, tuple[Wakeup, ...]]) -> None:
        self._engine, self._wakeups = engine, wakeups
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
            except psycopg.Error:
                self._stop.wait(1)

    def _listen(self) -> None:
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            for channel in CHANNELS:
                connection.execute(f"LISTEN {channel}".encode())
            while not self._stop.is_set():
                for note in connection.notifies(timeout=1.0):
                    for wakeup in self._wakeups.get(note.channel, ()):
                        wakeup.wake()
