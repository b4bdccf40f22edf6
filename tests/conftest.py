"""Fixtures for every test."""

import logging

import pytest
import structlog

from tests.databases import database_url, postgresql, store

__all__ = ["database_url", "postgresql", "store"]


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    """The log of the bot is for people who run it; a failing test shows what it needs by itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
