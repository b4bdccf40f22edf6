"""Fixtures of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import TOP
from tests.web.served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One bot for a whole file: what an earlier test sent must not keep it from a later one."""
    folder: Path = tmp_path_factory.mktemp("served")
    policy = (TOP / "policy.yaml").read_text(encoding="utf-8")
    assert "in_a_minute: 16" in policy
    # A file of tests is quicker than a storm.
    (folder / "policy.yaml").write_text(policy.replace("in_a_minute: 16", "in_a_minute: 1000"), encoding="utf-8")
    with serving(f"sqlite:///{folder / 'bot.db'}", policy_file=folder / "policy.yaml") as one:
        yield one


@pytest.fixture
def fresh(database_url: str) -> Iterator[Served]:
    """A bot that nothing was sent to yet, on each kind of database."""
    with serving(database_url) as one:
        yield one
