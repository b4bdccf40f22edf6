"""A few runs of `make faults`, so that every test run kills the bot somewhere: the worst moments there are."""

from collections.abc import Iterator

import pytest

from tests.faults.matrix import Plan
from tests.faults.rig import Kill
from tests.faults.runs import Databases, carried_out

WORST = (
    Plan("a page that was taken and not recorded", "sqlite", "serve", 0, (Kill(call="enqueue"),)),
    Plan("an incident opened by an escalation policy and not recorded", "postgresql", "serve", 0, (Kill(call="post", time=2),)),
    Plan("a channel that was made and not recorded, and killed again as it is looked for", "postgresql", "serve", 0,
         (Kill(call="conversations.create"), Kill(point="OpenChannel: claimed"))),
    Plan("a delivery that was committed and not answered", "sqlite", "serve", 0, (Kill(point="inbox: committed, not answered"),)),
    Plan("a post that stood still while another worker took over", "postgresql", "apart", 0,
         (Kill(point="chat.postMessage: before the call", time=3, signal="STOP"),)),
)  # fmt: skip


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


@pytest.mark.parametrize("plan", WORST, ids=lambda plan: plan.fault)
def test_nothing_is_lost_and_nothing_is_there_twice_after(plan, databases):
    outcome = carried_out(plan, databases)

    assert outcome.wrong == ()
    assert outcome.hits == len(plan.kills)
