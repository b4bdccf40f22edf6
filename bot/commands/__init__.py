"""The command line: `python -m bot …`, also installed as `firstfive`. Every subcommand says what it does with --help.

May import: everything; nothing imports it but `__main__.py` and the tests.
Open `parser.py` first: it lists the subcommands.
"""

from bot.commands.parser import documented, main

__all__ = ["documented", "main"]
