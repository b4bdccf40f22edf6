"""The documents that are made from the code, so that they cannot drift: each as (path, text)."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from bot import commands
from bot.settings import Settings
from bot.slack import commands as slash

TOP = Path(__file__).parents[1]

HEADER = """\
# What the bot reads from its environment. Copy to .env and fill in what you have; everything else has a default.
# Any NAME may come as NAME_FILE instead: the path of a file that holds the value (for mounted secrets).
"""


def generated() -> Iterator[tuple[Path, str]]:
    """Every generated document, as it should be now."""
    yield TOP / ".env.example", env_example()
    yield TOP / "docs" / "command-line.md", commands.documented()
    yield TOP / "docs" / "slack-commands.md", slash.documented()


def env_example() -> str:
    """`.env.example`: each setting with its own words, in order."""
    parts = [HEADER]
    for name, field in Settings.model_fields.items():
        words = " ".join((field.description or "").split())
        parts.append(f"# {words}\n{_line(name, field.get_default(call_default_factory=True))}\n")
    return "\n".join(parts)


def _line(name: str, default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default in ("", None, PydanticUndefined) or default == {}:
        return f"#{name.upper()}="
    return f"#{name.upper()}={default}"
