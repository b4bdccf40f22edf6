"""How messages read: whom they mention, once and in the same line, and what the card says of an acknowledgement."""

from dataclasses import replace

import pytest

from bot.incidents.effects import Say, Topic
from bot.slack.views import card, messages
from tests.builders import ANA, BEN, acknowledged, after


@pytest.mark.parametrize(
    ("topic", "facts", "line"),
    [
        (Topic.ACK_REMINDER, {"minutes": 2, "target_minutes": 5, "page": "accepted"},
         f"<@{ANA}>, <@{BEN}> ⏰ *INC-1* is not acknowledged after 2 of 5 min."),
        (Topic.ROLE_ASSIGNED, {"role": "commander", "person": ANA, "by": ANA},
         f"<@{BEN}> 🎖️ <@{ANA}> is now *commander* of *INC-1*."),
    ],
)  # fmt: skip
def test_whoever_is_meant_is_mentioned_once_in_the_line_itself(topic, facts, line):
    shown = messages.about(Say(1, topic, facts, people=(ANA, BEN)), "INC-1", 1)

    assert shown.text == line
    assert shown.blocks[0]["text"]["text"] == line


def test_who_acknowledges_is_given_no_level_that_is_not_theirs():
    one = acknowledged()
    late = one.with_episode(replace(one.episode, acknowledged_by=BEN, level=3))

    line = card.clock_line(late, after(minutes=12))
    assert f"Acknowledged by <@{BEN}> in" in line
    assert "level" not in line
