"""Every subcommand, its options, and what it prints when something is wrong: one line that says what to do."""

import argparse
import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
from pydantic import ValidationError

import bot.commands.doctor as doctor
import bot.commands.explaining as explaining
import bot.commands.journals as journals
import bot.commands.logs as logs
import bot.commands.papers as papers
import bot.commands.policies as policies
import bot.commands.queues as queues
import bot.commands.running as running
from bot.errors import Broken, Refused, Unreadable, Unverified
from bot.settings import Settings, load
from bot.store.database import DatabaseDown

Run = Callable[[argparse.Namespace, Settings], int]

DESCRIPTION = "Firstfive: an incident-response bot for Slack that tells the truth about who was paged."


def build() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="firstfive", description=DESCRIPTION)
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for room in (running, doctor, explaining, policies, queues, logs, journals, papers):
        room.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. 0 is well, 1 something is wrong and said, 2 the input cannot be taken."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        with _said():
            parser = build()
            given = parser.parse_args(arguments)
            if given.run is None:
                parser.print_help(sys.stderr)
                return 2
            return _run(given)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # What is left of the output must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            # Whoever read it has what they wanted.
            return 0
        print(f"the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@contextmanager
def _said() -> Iterator[None]:
    """What was printed is out at the end, also when argparse ends the program; else it fails where nobody can answer it."""
    try:
        yield
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _run(given: argparse.Namespace) -> int:
    try:
        settings = load(os.environ)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0]).upper() if one["loc"] else "settings"
            print(f"{name}: {str(one['msg']).removeprefix('Value error, ')}; see .env.example", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}; a NAME_FILE setting names a file that cannot be read", file=sys.stderr)
        return 2
    run: Run = given.run
    # Standard output belongs to what was asked for. A process that goes on sets its own log up.
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        return run(given, settings)
    except (Refused, Unreadable, Unverified) as error:
        print(error.reason, file=sys.stderr)
        return 2
    except Broken as error:
        print(f"{error} (`python -m bot check` lists everything that is wrong)", file=sys.stderr)
        return 1
    except DatabaseDown as error:
        mend = "" if "`python -m bot migrate`" in str(error) else ". Is DATABASE_URL right, and does the database run?"
        print(f"{error}{mend}", file=sys.stderr)
        return 1


def documented() -> str:
    """docs/command-line.md: the help of every subcommand, as it prints it."""
    parser = build()
    parts = [
        "# Command line",
        "",
        "<!-- Made by `make docs` from the code; edit the code. -->",
        "",
        "`python -m bot COMMAND`, or `firstfive COMMAND` once installed. Exit code 0: well. 1: something is wrong, and "
        "was said. 2: what was given cannot be taken, and why.",
    ]
    for name, sub in _below(parser):
        parts += ["", f"## {name}", "", "```text", _help(sub), "```"]
        for action, one in _below(sub):
            parts += ["", f"### {name} {action}", "", "```text", _help(one), "```"]
    return "\n".join(parts) + "\n"


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The subcommands of a command; none of one that has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _help(sub: argparse.ArgumentParser) -> str:
    """The help as on a page of 100 columns, whatever the terminal and whatever the program was called."""
    is_raw = sub.formatter_class is argparse.RawDescriptionHelpFormatter
    kind = argparse.RawDescriptionHelpFormatter if is_raw else argparse.HelpFormatter
    sub.formatter_class = lambda prog: kind(prog, width=100)
    return sub.format_help().strip()


def existing(text: str) -> Path:
    """A path that must be there; for argparse."""
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return path
