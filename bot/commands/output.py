"""Reading what a command is given, and printing what it found."""

import json
import sys
from pathlib import Path
from typing import Any

from bot.errors import Refused


def read_bytes(name: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises `Refused` with the reason where it cannot be read."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from None


def print_json(value: Any) -> None:
    """Indented JSON on standard output, letters as they are."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
