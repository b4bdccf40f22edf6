"""The only place that reads the wall clock."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, aware and in UTC. Passed in, so that tests and the sandbox can move it."""


def wall_clock() -> datetime:
    """The machine's own time, in UTC."""
    return datetime.now(UTC)
