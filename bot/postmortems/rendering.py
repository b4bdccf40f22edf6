"""Rendering one template with limits: `python -m bot.postmortems.rendering` reads a question and prints an answer."""

import json
import sys
import traceback
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

try:
    import resource
except ImportError:  # Windows has no such limits; the caller's limit on time is left.
    resource = None  # type: ignore[assignment]

CPU_SECONDS = 3
MEMORY_BYTES = 512 * 1024 * 1024
OUTPUT_LIMIT = 1_000_000


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja2 as templates see it: no Python to reach, nothing to change, and a name that is missing is an error."""
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )


def render(text: str, facts: dict[str, Any]) -> str:
    """What the template makes of the facts. Raises jinja2's TemplateError, or ValueError where it is too long."""
    made = environment().from_string(text).render(**facts)
    if len(made) > OUTPUT_LIMIT:
        raise ValueError(f"the draft is longer than {OUTPUT_LIMIT} characters")
    return made


def line_of(error: BaseException) -> int | None:
    """The line of the template at which it went wrong, where that is known."""
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename in ("<template>", "<unknown>")]
    return lines[-1] if lines else None


def main() -> None:
    """Answer one question from standard input."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    question = json.load(sys.stdin)
    try:
        answer = {"text": render(question["template"], question["facts"])}
    except (TemplateError, SecurityError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError,
            AttributeError, LookupError) as error:  # fmt: skip
        line = getattr(error, "lineno", None) or line_of(error)
        answer = {"error": f"{type(error).__name__}: {error}"[:300] + (f" (line {line})" if line else "")}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
