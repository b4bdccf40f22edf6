"""Fixtures for every test."""

import logging
from typing import Any

import pytest
import structlog

from tests.databases import database_url, postgresql, store

__all__ = ["database_url", "postgresql", "store"]


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
