"""That the judge of a crowd can say no. The storms take too long for every day: `make faults`."""

import pytest

from tests.faults import storms


@pytest.mark.parametrize(
    ("method", "calls", "kinds"),
    [("conversations.create", 20, []), ("conversations.create", 21, ["channel"]), ("pins.add", 40, []), ("pins.add", 41, ["lost"])],
)
def test_more_channels_in_a_minute_than_slack_makes_are_seen(method, calls, kinds):
    moments = [59 / calls * number for number in range(calls)] + [300.0]

    assert [one.kind for one in storms.within_tier(method, 20, moments)] == kinds


@pytest.mark.parametrize(("heard", "kinds"), [(2, []), (3, ["lost"]), (1, ["message"])])
def test_all_but_one_of_a_crowd_hear_that_it_was_done(heard, kinds):
    said = ["INC-1 was acknowledged 0 s ago by Ana."] * heard + ["On it."] * (3 - heard)

    assert [one.kind for one in storms.but_for_one("was acknowledged", said)] == kinds
