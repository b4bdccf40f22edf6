"""Real processes of the bot without the seconds of a start: one process reads the bot's modules, and forks for each.

A trial starts a process up to a dozen times, and a test of the command line once; reading the modules is most of what that
costs (measured: 4 s of processor on a slow machine, where a command takes 0.1). What is forked is a process like any other, with
its own environment, folder, input, output and end; it differs in what it need not read again. What changes how modules are
read (a clock that is wrong, another version of the code), or is about the start itself, has to start by itself.
"""

import array
import atexit
import contextlib
import faulthandler
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
LONGEST = 200_000
"""Bytes of a request: the arguments and the environment."""


class Forked:
    """A process that was forked elsewhere, with what is used of `subprocess.Popen`."""

    def __init__(self, pid: int, ends: int, code_of: Callable[[int], int]) -> None:
        """`ends` is the process's own descriptor (`pidfd_open`), which can be read once it has ended; then its code is known."""
        self.pid, self._ends, self._code_of = pid, ends, code_of
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """How it ended, as `subprocess` says it; None for as long as it runs."""
        with self._lock:
            if self._code is None and select.select([self._ends], [], [], 0)[0]:
                self._code = self._code_of(self.pid)
                os.close(self._ends)
            return self._code

    def send_signal(self, number: int) -> None:
        """To it, and to no other that has its number since."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._code is None:
                signal.pidfd_send_signal(self._ends, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended, once it has. Raises `subprocess.TimeoutExpired`."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(0.01)
        return code


class Starter:
    """Asks the process that has read everything. One for each process that tests; safe to ask from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * LONGEST)
        self._asks = ours
        # It ends when our end of the pair does, so with this process. No locale: what is forked may not depend on whose it is.
        plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"PYTHONPATH": str(TOP)}
        self._process = subprocess.Popen([sys.executable, "-m", "tests.warm"], cwd=TOP, stdin=theirs.fileno(), env=plain)
        theirs.close()
        atexit.register(self.close)

    def start(
        self, program: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[int, int, int]
    ) -> Forked:
        """`python -m PROGRAM ARGUMENTS` in a folder, for one of `programs`. `streams` are its input, output and errors."""
        words = {"program": program, "arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        with self._lock:
            socket.send_fds(self._asks, [json.dumps(words).encode()], streams)
            answer, (ends,), _, _ = socket.recv_fds(self._asks, 100, 1)
        return Forked(int(answer), ends, self._code_of)

    def close(self) -> None:
        """End it."""
        self._asks.close()
        self._process.wait()

    def _code_of(self, pid: int) -> int:
        with self._lock:
            self._asks.send(json.dumps({"ended": pid}).encode())
            return int(self._asks.recv(100))


@cache
def starter() -> Starter:
    """The one of this process."""
    return Starter()


def is_possible() -> bool:
    """Whether a process can be followed by a descriptor: on Linux."""
    return hasattr(os, "pidfd_open")


def programs() -> Mapping[str, Callable[[], int]]:
    """What can be forked."""
    from bot.commands import main  # noqa: PLC0415 - only the process that forks reads all this
    from tests.faults import launch  # noqa: PLC0415

    return {"bot": main, "tests.faults.launch": launch.run}


class Leaving:
    """Ends a process without giving back each of the objects that it shares: that takes longer than most commands do.

    Registered before anything else is, it comes last: threads have ended by then, and others have done what they do at the end.
    """

    def __init__(self) -> None:
        self._code: int | None = None

    def with_code(self, main: Callable[[], int]) -> int:
        """What `main` does; its code is kept."""
        try:
            self._code = main()
        except SystemExit as end:
            self._code = end.code if isinstance(end.code, int) else None
            raise
        return self._code

    def __call__(self) -> None:
        """End, where it is known how, and all that was written is written."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            return
        if self._code is not None:
            os._exit(self._code)


LEAVING = Leaving()


def serve(asked: socket.socket, known: Mapping[str, Callable[[], int]]) -> int:
    """Fork for each request, for as long as there is somebody who asks. Returns in what was forked, too: its exit code."""
    while True:
        request, streams, _, _ = socket.recv_fds(asked, LONGEST, 3)
        if not request:
            return 0
        words = json.loads(request)
        if "ended" in words:
            asked.send(str(os.waitstatus_to_exitcode(os.waitpid(words["ended"], 0)[1])).encode())
            continue
        pid = os.fork()
        if pid == 0:
            asked.close()
            _become(words, streams)
            return LEAVING.with_code(known[words["program"]])
        for one in streams:
            os.close(one)
        ends = os.pidfd_open(pid)
        asked.sendmsg([str(pid).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ends]))])
        os.close(ends)


def _become(words: Mapping[str, Any], streams: Sequence[int]) -> None:
    """As a process is that was started with these."""
    for number, one in enumerate(streams):
        os.dup2(one, number)
        os.close(one)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(words["folder"])
    os.environ.clear()
    os.environ.update(words["environment"])
    # What a start reads of them.
    time.tzset()
    if os.environ.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    sys.argv[1:] = words["arguments"]


if __name__ == "__main__":
    atexit.register(LEAVING)
    # Whoever asks is told to end, and ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By another number than 0, which is the standard input of each that is forked.
    sys.exit(serve(socket.socket(fileno=os.dup(0)), programs()))
