"""What the stand-in PagerDuty notes of each event: when it was carried out, and when its answer had gone out."""

import time
from datetime import datetime

import pytest

from sandbox.app import Sandbox
from sandbox.misbehaviour import RESET
from sandbox.serving import running
from sandbox.world import World
from tests.sandbox.test_misbehaviour import pages

SLOW_SECONDS = 0.2


@pytest.fixture
def sandbox():
    with running(World(committed=lambda call: time.sleep(SLOW_SECONDS))) as one:
        yield one


def test_a_page_is_answered_when_its_answer_went_out_and_not_when_it_was_carried_out(sandbox: Sandbox):
    began = sandbox.world.clock().timestamp()
    assert b" 202 " in pages(sandbox, "a page")
    ended = sandbox.world.clock().timestamp()

    [line] = sandbox.account.ledger
    assert began + SLOW_SECONDS < line["answered"] < ended
    assert began - 0.001 <= datetime.fromisoformat(line["at"]).timestamp() < line["answered"] - SLOW_SECONDS + 0.01


def test_a_page_whose_answer_was_lost_was_never_answered(sandbox: Sandbox):
    sandbox.world.answer_with("pagerduty", "enqueue", RESET.after(), 1)

    with pytest.raises(ConnectionResetError):
        pages(sandbox, "a page")

    [line] = sandbox.account.ledger
    assert "answered" not in line
