"""News in any order: a few dozen interleavings of the ten thousand of `make faults`, and proof that a wrong one is seen."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest

from bot.incidents.decisions import acknowledging
from tests.builders import ANA, BEN, after
from tests.faults.orders import AnyOrder, Truth, in_order, play


class AFew(AnyOrder):
    """With a count of its own."""

    late: ClassVar = Counter()


def test_the_state_is_the_same_whatever_order_the_news_come_in():
    # Some are alike, and count once.
    assert play(7, 60, AFew) >= 30
    assert AFew.late["late"] >= 30
    assert AFew.late["again"] >= 10


def test_a_bot_that_believes_the_newest_news_is_found_out(monkeypatch):
    honest = acknowledging._as_heard

    def newest(episode, acks):
        last = acks[-1]
        return replace(honest(episode, acks), acknowledged_at=last.at, acknowledged_by=last.by)

    monkeypatch.setattr(acknowledging, "_as_heard", newest)
    with pytest.raises(AssertionError, match="first is"):
        play(7, 40, AFew, is_told_short=False)


@pytest.mark.parametrize(
    ("acks", "backs", "truth"),
    [
        ([], [], Truth()),
        ([], [after(1)], Truth()),
        ([(after(2), BEN), (after(1), ANA)], [], Truth((after(1), ANA), ANA)),
        ([(after(1), ANA)], [after(2)], Truth((after(1), ANA), None, after(2))),
        ([(after(3), BEN), (after(1), ANA)], [after(2)], Truth((after(1), ANA), BEN)),
        ([(after(2), ANA)], [after(1)], Truth((after(2), ANA), ANA)),
    ],
)
def test_the_judge_tells_a_story_in_its_order(acks, backs, truth):
    assert in_order(acks, backs) == truth
