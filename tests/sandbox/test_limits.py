"""How often the stand-in Slack lets itself be asked."""

import pytest

from sandbox.slack.limits import Limits
from sandbox.slack.workspace import SlackError


class Steady:
    """A clock that is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Steady:
    return Steady()


def refused(limits: Limits, method: str) -> int:
    """After how many seconds to come again; 0 where the call was taken."""
    try:
        limits.spend(method, "C1")
    except SlackError as error:
        return int(error.more["retry_after"])
    return 0


def test_no_minute_holds_more_than_twenty_new_channels(clock):
    limits, made = Limits(clock), []
    for _ in range(600):
        if not refused(limits, "conversations.create"):
            made.append(clock.now)
        clock.now += 0.5

    assert len(made) == 5 * 20
    assert all(later - first >= 60 for first, later in zip(made, made[20:], strict=False))


def test_who_is_refused_a_channel_is_told_when_there_is_room_again(clock):
    limits = Limits(clock)
    for _ in range(20):
        assert not refused(limits, "conversations.create")
        clock.now += 1

    assert refused(limits, "conversations.create") == 40
    clock.now += 39.9
    assert refused(limits, "conversations.create") == 1
    clock.now += 0.1
    assert not refused(limits, "conversations.create")
    assert refused(limits, "conversations.create") == 1


def test_other_methods_have_a_bucket_that_fills(clock):
    limits = Limits(clock)
    assert sum(not refused(limits, "pins.add") for _ in range(30)) == 20
    clock.now += 30
    assert sum(not refused(limits, "pins.add") for _ in range(30)) == 10
