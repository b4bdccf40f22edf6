"""Several workers, one limit of PagerDuty's for each key and one of Slack's for each method: each has its share."""

import socket
import subprocess
import sys

import pytest

from bot.errors import OverBudget
from bot.pagerduty.limits import PER_MINUTE
from bot.slack.client import Budget
from bot.store import audits
from tests.slack.office import working


def room(spend) -> int:
    """How many calls can be made at once."""
    for count in range(1000):
        try:
            spend()
        except OverBudget:
            return count
    raise AssertionError("no limit at all")


@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_worker_takes_no_more_than_its_share_of_what_all_that_live_may_ask(database_url, others):
    with working(database_url) as office:
        bot = office.bot
        bot.slack.budget = Budget()
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        for one in (*(f"elsewhere:{number}" for number in range(others)), f"{socket.gethostname()}:{dead.pid}"):
            audits.sign(bot.store.engine, one, ["worker"], [])
        bot._begin("worker")

        assert room(lambda: bot._pager_budget.spend("key", 1)) == PER_MINUTE // (others + 1)
        assert room(lambda: bot.slack.budget.spend("conversations.create", "")) == 20 // (others + 1)
