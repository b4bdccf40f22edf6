"""Real senders against the whole bot, with the receiver that README gives: what they send is one incident and one page."""

import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.calls import get
from tests.real.senders import binary, missing, receiver, said, snippet, token, until, watching
from tests.stories.story import Story, telling

QUICK = {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1s"}
RETRIES = {"group_wait": "1s", "group_interval": "20s"}

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    with telling(url, hook_secrets=f"alertmanager/main={token()}") as told:
        yield told


def deliveries(story: Story) -> dict[str, int]:
    """How many deliveries the bot answered, by status."""
    text = get(f"{story.world.bot}/metrics", 10).body.decode()
    found = re.findall(r'firstfive_deliveries_total\{source="alertmanager",status="(\d+)"\} (\d+)', text)
    return {status: int(number) for status, number in found}


def pages(story: Story) -> list[str]:
    """The keys of what PagerDuty was asked to trigger."""
    with story.world.lock:
        return [one["dedup_key"] for one in story.sandbox.account.ledger if one.get("event_action") == "trigger"]


def taken_apart(folder: Path) -> int:
    """How many deliveries the inbox holds: repeats that it told from each other."""
    with closing(sqlite3.connect(folder / "bot.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM inbox").fetchone()[0])


@pytest.mark.timeout(180)
def test_a_rule_that_fires_and_clears_is_one_incident_a_group_one_page_and_the_resolve_is_seen(story, tmp_path):
    with watching(tmp_path, story.world.bot, QUICK) as shop:
        shop.errors = {("checkout", "web-1"): 7, ("checkout", "web-2"): 3}
        until(lambda: len(story.bot.store.incidents()) == 1, lambda: said(tmp_path) + story.told())
        until(lambda: len(story.incident(1).firing) == 2, story.told)
        assert story.incident(1).service == "checkout"
        assert story.incident(1).severity.value == "SEV1"
        story.card_says("Paged through")

        shop.errors[("payments", "web-1")] = 1
        until(lambda: len(story.bot.store.incidents()) == 2, story.told)
        assert story.incident(2).service == "payments"

        # Repeats of the same bodies: some that the inbox knows, and, once its window is over, some that it takes as new.
        answered, taken = deliveries(story)["202"], taken_apart(tmp_path)
        until(lambda: deliveries(story)["202"] >= answered + 5 and taken_apart(tmp_path) > taken, story.told, 60)
        story.comes_to_rest()
        assert len(story.bot.store.incidents()) == 2
        assert len(pages(story)) == len(set(pages(story))) == 2
        assert story.types_of(1).count("alert_started") == 2

        shop.errors = {key: 0 for key in shop.errors}
        until(lambda: all(not one.firing for one in story.bot.store.incidents()), story.told)
        assert story.types_of(1).count("alert_resolved") == 2
        assert story.types_of(2).count("alert_resolved") == 1
        assert set(deliveries(story)) == {"202"}
    channel = story.channel(1)
    story.says(channel, "clear")
    story.passes(minutes=6)
    story.eventually(lambda: "resolve_proposed" in story.types_of(1) or story.incident(1).proposed_at, "a proposal to resolve")
    assert len(pages(story)) == 2


def test_a_bot_that_answers_503_for_a_moment_loses_nothing(story, tmp_path):
    with (
        watching(tmp_path, story.world.bot, RETRIES) as shop,
        closing(sqlite3.connect(tmp_path / "bot.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        shop.errors = {("checkout", "web-1"): 7}
        until(lambda: deliveries(story).get("503", 0) >= 2, lambda: said(tmp_path) + story.told())
        assert not story.bot.store.incidents()
        other.execute("ROLLBACK")

        # Within the same interval of the group: Alertmanager tries again by itself.
        until(lambda: story.bot.store.incidents(), story.told, 15)
        story.card_says("Paged through")
        assert len(pages(story)) == 1


@pytest.mark.skipif(binary("amtool") is None, reason="no amtool here")
def test_the_receiver_of_the_readme_is_one_that_alertmanager_takes(tmp_path):
    file = tmp_path / "alertmanager.yml"
    for text in (snippet(), receiver("http://127.0.0.1:1", QUICK)):
        file.write_text(text)
        done = subprocess.run(
            [str(binary("amtool")), "check-config", str(file)], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
