"""That the judge of a crowd can say no. The storms take too long for every day: `make faults`."""

import pytest

from tests.faults import storms


@pytest.mark.parametrize(("heard", "kinds"), [(2, []), (3, ["lost"]), (1, ["message"])])
def test_all_but_one_of_a_crowd_hear_that_it_is_done_already(heard, kinds):
    said = ["INC-1 is already acknowledged."] * heard + ["On it."] * (3 - heard)

    assert [one.kind for one in storms.but_for_one("already acknowledged", said)] == kinds
