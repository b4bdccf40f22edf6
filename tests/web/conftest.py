"""Fixtures of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One bot for a whole file: what an earlier test sent must not keep it from a later one."""
    folder: Path = tmp_path_factory.mktemp("served")
    with serving(f"sqlite:///{folder / 'bot.db'}") as one:
        yield one


@pytest.fixture
def fresh(database_url: str) -> Iterator[Served]:
    """A bot that nothing was sent to yet, on each kind of database."""
    with serving(database_url) as one:
        yield one
