"""`python -m bot`, with a hand on the switch: at the n-th time a point is reached, this process gets a signal.

FAULT_POINT, FAULT_TIME (from 1) and FAULT_SIGNAL (KILL or STOP) say which. FAULT_REACHED names a file that is made just before.
FAULT_UP names one that is made once the process is at work.
FAULT_TRACE names a file in which every
point that is reached is written down, a line each. FAULT_CLOCKS names a folder: a file in it that is called as this
process's port says by how many seconds its clock is wrong, from one reading to the next, for the bot and for APScheduler,
which reads the machine's clock itself. FAULT_INBOX_ROWS says how many
deliveries may wait for a commit, where the thousands of a real inbox would take a machine of their own to send.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

from apscheduler.schedulers import base as apscheduler
from sqlalchemy import Engine, event

from bot import clock, points

RIGHT = clock.wall_clock


def moved() -> datetime:
    """The time as this process has it."""
    try:
        wrong = float((Path(os.environ["FAULT_CLOCKS"]) / os.environ["PORT"]).read_text(encoding="ascii"))
    except (OSError, KeyError, ValueError):
        wrong = 0.0
    return RIGHT() + timedelta(seconds=wrong)


class Moved(datetime):
    """A `datetime` whose `now` is the time as this process has it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return moved().astimezone(tz)


if "FAULT_CLOCKS" in os.environ:
    # Before anybody takes the clock by its name.
    clock.wall_clock = moved
    apscheduler.datetime = Moved

from bot.commands import main, running  # noqa: E402
from bot.store.arrivals import InboxWriter  # noqa: E402

SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}


IN_A_MIGRATION = "migration: in its midst"
"""A statement that changes the schema, or a row of it, was carried out; there are many in a migration."""
CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


def tell_statements(tell: Callable[[str], None]) -> None:
    """Say of each statement that changes something that it was carried out."""

    def executed(connection: Any, cursor: Any, statement: str, *given: Any) -> None:
        if statement.lstrip().upper().startswith(CHANGES):
            tell(IN_A_MIGRATION)

    event.listen(Engine, "after_cursor_execute", executed)


class Switch:
    """Counts how often the point was reached."""

    def __init__(self, point: str, time: int, signal_: signal.Signals, trace: str, reached: str) -> None:
        self._point, self._time, self._signal, self._reached = point, time, signal_, reached
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if trace else None
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            if self._trace is not None:
                os.write(self._trace, f"{point}\n".encode())
            if point != self._point:
                return
            self._time -= 1
            is_now = self._time == 0
        if is_now:
            if self._reached:
                Path(self._reached).touch()
            # To this very thread: a signal to the process may let it go on for a while before it is stopped.
            signal.pthread_kill(threading.get_ident(), self._signal)


def is_up(then: Callable[[], None], sign: Path) -> None:
    """Everything was started: say so."""
    then()
    sign.touch()


def ends_with(parent: int) -> None:
    """End this process when whoever started it is gone: a run that was cut off leaves nobody behind."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def run() -> int:
    """The bot, with what the environment says of the switch."""
    given = os.environ
    threading.Thread(target=ends_with, args=(os.getppid(),), daemon=True).start()
    points.hook = Switch(
        given.get("FAULT_POINT", ""), int(given.get("FAULT_TIME", "1")), SIGNALS[given.get("FAULT_SIGNAL", "KILL")],
        given.get("FAULT_TRACE", ""), given.get("FAULT_REACHED", ""),
    )  # fmt: skip
    if "FAULT_INBOX_ROWS" in given:
        InboxWriter.__init__.__kwdefaults__ = {
            **(InboxWriter.__init__.__kwdefaults__ or {}), "limit_rows": int(given["FAULT_INBOX_ROWS"]),
        }  # fmt: skip
    if "FAULT_UP" in given:
        running._make_ready_for_load = partial(is_up, running._make_ready_for_load, Path(given["FAULT_UP"]))
    if given.get("FAULT_POINT") == IN_A_MIGRATION:
        tell_statements(points.hook)
    return main()


if __name__ == "__main__":
    sys.exit(run())
