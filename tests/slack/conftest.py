"""An office for the tests of the Slack edge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slack.office import Office, working


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A bot on SQLite."""
    with working(f"sqlite:///{tmp_path / 'test.db'}") as made:
        yield made


@pytest.fixture
def offices(database_url: str) -> Iterator[Office]:
    """A bot on each kind of database."""
    with working(database_url) as made:
        yield made
