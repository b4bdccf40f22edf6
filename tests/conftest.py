"""Fixtures for every test."""

import logging
from typing import Any

import pytest
import structlog

from tests.databases import database_url, postgresql, store

__all__ = ["database_url", "postgresql", "store"]


SLOW_FIRST = ("faults", "stories", "real", "web", "sandbox", "worker", "commands")
"""Folders whose files take minutes. Begun last, one worker would still be at it when all others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""

    def turn(item: pytest.Item) -> int:
        folder = item.nodeid.split("/")[1]
        return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    """The log of the bot is for people who run it; a failing test shows what it needs by itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many stories with real senders were told: those that were skipped show nothing."""
    told = [
        (one.nodeid.rpartition("::")[2], outcome)
        for outcome in ("passed", "failed", "skipped")
        for one in terminalreporter.getreports(outcome)
        if one.nodeid.startswith("tests/real/test_") and (one.when == "call" or outcome != "passed")
    ]
    if told:
        skipped = sorted({name for name, outcome in told if outcome == "skipped"})
        terminalreporter.write_line(f"real senders: {len(told) - len(skipped)} stories told, {len(skipped)} skipped")
        for name in skipped:
            terminalreporter.write_line(f"  skipped: {name}")
