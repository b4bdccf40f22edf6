"""`serve`, `web`, `worker`, `migrate`: running the bot, whole or in parts."""

import argparse
import ctypes
import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog

from bot.commands.stopping import asked_to_stop
from bot.errors import Refused
from bot.settings import Settings
from bot.store import migrate
from bot.wiring import Bot, must_be_there, open_store

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""
MEMORY = {"MALLOC_ARENA_MAX": (M_ARENA_MAX, 2), "MALLOC_MMAP_THRESHOLD_": (M_MMAP_THRESHOLD, 262_144),
          "MALLOC_TRIM_THRESHOLD_": (M_TRIM_THRESHOLD, 262_144)}  # fmt: skip
"""By the variable with which somebody may say otherwise."""
GAP = '{"event": "before this, lines of the log could not be written", "level": "warning"}\n'
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def add_to(commands: Any) -> None:
    """Add the four subcommands."""
    for name, run, text in (
        ("serve", run_serve, "everything in one process: web and worker"),
        ("web", run_web, "only the web: alerts and Slack come in; needs a worker elsewhere"),
        ("worker", run_worker, "only the worker: deliveries, timers, polls; any number of them"),
    ):
        sub = commands.add_parser(name, help=text, description=f"Runs {text}. Stops cleanly on SIGTERM or Ctrl-C.")
        sub.add_argument("--migrate", action="store_true", help="bring the database to the newest schema first")
        sub.set_defaults(run=run)
    sub = commands.add_parser(
        "migrate", help="bring the database to the newest schema",
        description="Brings the database to the newest schema. Harmless to repeat, and from several processes.",
    )  # fmt: skip
    sub.add_argument("--down", metavar="REVISION", help="go back to an older schema instead; loses what it does not know")
    sub.set_defaults(run=run_migrate)


def run_serve(given: argparse.Namespace, settings: Settings) -> int:
    """Everything."""
    return _run(given, settings, web=True, worker=True)


def run_web(given: argparse.Namespace, settings: Settings) -> int:
    """The web alone."""
    return _run(given, settings, web=True, worker=False)


def run_worker(given: argparse.Namespace, settings: Settings) -> int:
    """The worker alone."""
    return _run(given, settings, web=False, worker=True)


def run_migrate(given: argparse.Namespace, settings: Settings) -> int:
    """The schema."""
    with open_store(settings, is_made=not given.down) as store:
        if given.down:
            migrate.downgrade(store.engine, given.down)
            print(f"The schema is back at {given.down}.")
        else:
            migrate.upgrade(store.engine)
            print("The schema is up to date.")
    return 0


def _run(given: argparse.Namespace, settings: Settings, *, web: bool, worker: bool) -> int:
    share_memory()
    set_up_logs(settings)
    if not given.migrate:
        must_be_there(settings)
    bot = Bot(settings)
    if given.migrate:
        migrate.upgrade(bot.store.engine)
    late = migrate.out_of_date(bot.store.engine)
    if late:
        raise Refused(f"{late}, or start with --migrate" if late.endswith("migrate`") else late)
    if web:
        check_address(settings.host, settings.port)
    wait = asked_to_stop()
    log = structlog.get_logger()
    try:
        if worker:
            bot.start_worker()
        if web:
            bot.start_socket()
            server = bot.start_web()
            log.info("listening", address=f"http://{settings.host}:{server.port}")
        log.info("running", web=web, worker=worker)
        _make_ready_for_load()
        wait()
    finally:
        log.info("stopping")
        bot.stop()
    return 0


def share_memory() -> None:
    """Have memory shared and given back: threads take it from two places, not each from one of its own, whose gaps the others
    cannot use; and what is large is the system's again once it is done with.

    After 88,000 alerts 7 MB less were held, and the gaps had grown by 2 MB, not by 4. By itself the library takes what is large
    from among the rest as soon as something large was given back: 60,000 hostile bodies, many of megabytes, left 60 MB more held.
    glibc only, and before there are threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for name, (number, value) in MEMORY.items():
        if mallopt is not None and name not in os.environ:
            mallopt(number, value)


def _make_ready_for_load() -> None:
    """Tell the interpreter that this is a server: things stay, and threads wait for each other.

    The garbage collector passes over everything that was made at the start: to look through it again and again was half
    of what taking a delivery cost in Python. And a thread that was asked to give way does so after half a millisecond: a
    commit asks some eight times, and after 5 ms each, as by default, the slowest deliveries waited 45 ms for theirs.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.0005)


def check_address(host: str, port: int) -> None:
    """Raises `Refused` where nobody can listen there, with the reason."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refused(f"port {port} is in use; set PORT to another one") from None
        mend = "set PORT to one above 1023" if error.errno == errno.EACCES else "set HOST to an address of this machine, or 0.0.0.0"
        raise Refused(f"cannot listen on {host} port {port} ({error.strerror}); {mend}") from None


class LogFile:
    """Takes lines of the log. One that cannot be written is left out, and ends no thread's work: the disk may be full, or
    whoever reads the log gone.
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._has_gap = file, False

    def write(self, text: str) -> int:
        """Write a part of a line; after a gap, say that there is one."""
        with self._in_nobodys_way():
            if self._has_gap:
                self._file.write(GAP)
                self._file.flush()
                self._has_gap = False
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        with self._in_nobodys_way():
            self._file.flush()

    @contextmanager
    def _in_nobodys_way(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            # A ValueError where it was closed.
            self._has_gap = True


def set_up_logs(settings: Settings) -> None:
    """One line an event on standard error: coloured for people, JSON for collectors."""
    renderer = structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if settings.log_format == "json" else _as_it_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LogFile(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("slack_bolt").setLevel(logging.ERROR)
    # It logs every answer that is not JSON; what became of a call is ours to say, once.
    logging.getLogger("slack_sdk").setLevel(logging.CRITICAL)


def _as_it_is(logger: object, name: str, event: Any) -> Any:
    return event
