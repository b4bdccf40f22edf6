"""Fixtures of this folder."""

import socket
from collections.abc import Iterator

import pytest

from tests.commands.terminal import bot, empty

__all__ = ["bot", "empty", "listener"]


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one.getsockname()[1]
