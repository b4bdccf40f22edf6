"""Several workers, one limit of PagerDuty's for each key and of Slack's for each method and channel: each has its share."""

import socket
import subprocess
import sys
from datetime import timedelta

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


def test_what_slack_wants_to_be_left_alone_for_all_workers_leave_alone_also_one_that_begins_anew(database_url):
    with working(database_url) as office:
        bot = office.bot
        bot.slack.budget = Budget()
        bot._begin("web")
        waits = {"chat.postMessage": timedelta(seconds=900), "chat.update": timedelta(seconds=-1)}
        audits.sign(bot.store.engine, "elsewhere:1", ["worker"], [], waits)
        bot.slack.budget.spend("chat.postMessage", "C1")
        bot._sign()
        with pytest.raises(OverBudget) as raised:
            bot.slack.budget.spend("chat.postMessage", "C2")
        bot.slack.budget.spend("chat.update", "C1")

        assert timedelta(seconds=890) < raised.value.wait <= timedelta(seconds=900)
        # Hearsay is not passed on: it would never end.
        assert bot.slack.budget.told() == {}


def test_what_slack_told_this_process_is_told_to_the_others_until_it_is_over():
    now = 1000.0
    budget = Budget(lambda: now)
    budget.block("chat.postMessage", timedelta(seconds=30))
    now += 10
    assert budget.told() == {"chat.postMessage": timedelta(seconds=20)}
    now += 20
    assert budget.told() == {}


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
        assert room(lambda: bot.slack.budget.spend("chat.postMessage", "C1")) == max(1, 4 // (others + 1))
