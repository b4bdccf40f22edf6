"""Names of channels in the stand-in Slack: taken, except in the one moment in which it is not known yet."""

import threading

import pytest

from sandbox.app import Sandbox
from sandbox.cast import BOT_USER
from sandbox.misbehaviour import RESET
from sandbox.serving import running
from sandbox.slack.workspace import SlackError
from sandbox.world import World
from tests.sandbox.test_misbehaviour import asked


@pytest.fixture
def sandbox():
    return Sandbox.around(World(is_strict=False))


def create(sandbox: Sandbox, name: str) -> str:
    return sandbox.api.call("conversations.create", sandbox.world.slack_token, {"name": name})["channel"]["id"]


def test_two_that_are_made_at_the_same_time_both_come_about_and_later_ones_are_refused(sandbox):
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(create(sandbox, "inc-1"))) for _ in range(2)]
    with sandbox.world.lock:
        for one in threads:
            one.start()
        # Both have come in, and neither has had its turn.
        for one in threads:
            one.join(timeout=0.2)
        assert made == []
    for one in threads:
        one.join()

    assert len(set(made)) == 2
    assert [sandbox.space.channels[one].name for one in made] == ["inc-1", "inc-1"]
    with pytest.raises(SlackError, match="name_taken"):
        create(sandbox, "inc-1")


def test_one_after_the_other_the_second_is_refused(sandbox):
    create(sandbox, "inc-1")

    with pytest.raises(SlackError, match="name_taken"):
        create(sandbox, "inc-1")
    assert len([one for one in sandbox.space.channels.values() if one.name == "inc-1"]) == 1


def test_a_rival_makes_one_of_the_same_name_in_that_moment_and_is_not_the_bot(sandbox):
    sandbox.space.rivals = 1

    ours = create(sandbox, "inc-1")

    both = [one for one in sandbox.space.channels.values() if one.name == "inc-1"]
    assert {one.creator == BOT_USER for one in both} == {True, False}
    assert [one.id for one in both if one.creator == BOT_USER] == [ours]
    assert [one.members for one in both if one.id != ours] == [[one.creator] for one in both if one.id != ours]
    with pytest.raises(SlackError, match="name_taken"):
        create(sandbox, "inc-1")
    create(sandbox, "inc-2")
    assert len([one for one in sandbox.space.channels.values() if one.name == "inc-2"]) == 1


def test_one_whose_answer_was_lost_is_there_and_its_name_is_taken():
    with running(World(is_strict=False)) as sandbox:
        sandbox.world.answer_with("slack", "conversations.create", RESET.after(), 1)

        with pytest.raises(ConnectionResetError):
            asked(sandbox, "/slack/api/conversations.create", {"name": "inc-1"})

        assert sandbox.space.named("inc-1") is not None
        assert b"name_taken" in asked(sandbox, "/slack/api/conversations.create", {"name": "inc-1"})
