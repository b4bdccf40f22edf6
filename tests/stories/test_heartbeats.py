"""A dead-man's switch in a whole bot: heard, silent, paged, heard again."""

import json

import pytest

from bot.alerts.registry import source_named
from bot.clock import wall_clock
from sandbox.__main__ import SECRET
from sandbox.calls import post
from tests.stories.story import telling


@pytest.fixture
def story(database_url):
    with telling(database_url) as told:
        yield told


def beats(story) -> None:
    """Alertmanager's Watchdog, as it is repeated."""
    at = story.world.clock().isoformat()
    one = {"status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}, "startsAt": "2026-01-01T00:00:00Z"}
    body = json.dumps({"version": "4", "status": "firing", "groupKey": at, "alerts": [one]}).encode()
    headers = {"Content-Type": "application/json", **source_named("alertmanager").sign(body, SECRET, wall_clock())}
    assert post(f"{story.world.bot}/hooks/alertmanager/main", body, headers, 10).status == 202
    story.comes_to_rest()


def test_as_long_as_it_is_heard_nobody_is_woken(story):
    for _ in range(3):
        beats(story)
        story.passes(minutes=290)

    assert not story.bot.store.incidents()
    assert not story.rings("ana")


def test_silence_pages_and_a_sign_of_life_clears_it(story):
    beats(story)
    story.passes(minutes=299)
    assert not story.bot.store.incidents()
    story.passes(minutes=2)
    story.channel()

    story.card_says("nothing heard for 5 h")
    assert story.incident().service == "platform"
    story.says(story.channel(), "A sign of life is no longer heard")
    story.eventually(lambda: story.rings("ana") or story.rings("ben") or story.sandbox.account.incidents, "a page")
    beats(story)
    story.eventually(lambda: story.incident().is_clear, "the alert is clear")
    assert len(story.bot.store.incidents()) == 1
