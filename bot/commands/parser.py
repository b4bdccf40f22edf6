"""Every subcommand, its options, and what it prints when something is wrong: one line that says what to do."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

import bot.commands.doctor as doctor
import bot.commands.explaining as explaining
import bot.commands.journals as journals
import bot.commands.papers as papers
import bot.commands.running as running
from bot.errors import Broken, Refused, Unreadable, Unverified
from bot.settings import Settings, load
from bot.store.database import DatabaseDown

Run = Callable[[argparse.Namespace, Settings], int]

DESCRIPTION = "Firstfive: an incident-response bot for Slack that tells the truth about who was paged."


def build() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(prog="firstfive", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (running, doctor, explaining, journals, papers):
        room.add_to(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. 0 is well, 1 something is wrong and said, 2 the input cannot be taken."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    given = build().parse_args(arguments)
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
    return _run(given.run, given, settings)


def _run(run: Run, given: argparse.Namespace, settings: Settings) -> int:
    try:
        return run(given, settings)
    except (Refused, Unreadable, Unverified) as error:
        print(error.reason, file=sys.stderr)
        return 2
    except Broken as error:
        print(error, file=sys.stderr)
        return 1
    except DatabaseDown as error:
        print(f"{error}. Is DATABASE_URL right, and has `python -m bot migrate` been run?", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


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
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, sub in choices.items():
        parts += ["", f"## {name}", "", "```text", _help(sub), "```"]
    return "\n".join(parts) + "\n"


def _help(sub: argparse.ArgumentParser) -> str:
    """The help as on a page of 100 columns, whatever the terminal and whatever the program was called."""
    sub.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    return sub.format_help().strip()


def existing(text: str) -> Path:
    """A path that must be there; for argparse."""
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return path
