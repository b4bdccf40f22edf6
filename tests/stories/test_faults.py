"""Neighbours that refuse, limit or vanish, and a database that goes away: what people are told, and that nothing is lost."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from bot.alerts.registry import source_named
from bot.clock import wall_clock
from sandbox.__main__ import SECRET
from sandbox.calls import get, post
from tests.stories.story import Story, telling


@pytest.fixture
def story(database_url: str) -> Iterator[Story]:
    with telling(database_url) as told:
        yield told


def health_of(story: Story) -> dict[str, Any]:
    """What the bot says of itself."""
    told: dict[str, Any] = json.loads(get(f"{story.world.bot}/health/ready", 20).body)
    return told


def calls_during(counted: Callable[[], int], story: Story, minutes: int) -> int:
    """How many calls a neighbour got while minutes passed, a few seconds at a time."""
    before = counted()
    for _ in range(minutes * 6):
        story.passes(seconds=10)
    return counted() - before


def test_a_slack_token_that_is_refused_is_an_alarm_and_no_hot_loop_and_the_queue_is_kept(story):
    story.breaks("slack", "revoked")
    story.fires()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings although Slack refuses us")

    health = story.eventually(lambda: told if (told := health_of(story))["warnings"] else None, "the health page says so")
    assert health["ready"] is True
    assert "token_revoked" in health["warnings"][0]
    assert "SLACK_BOT_TOKEN" in health["warnings"][0]
    waiting = story.bot.store.outbox_depth()
    assert waiting.get("dead", 0) == 0
    assert sum(waiting.values()) >= 5
    asked = calls_during(lambda: story.world.asked["slack"], story, minutes=3)
    assert asked <= 20

    story.breaks("slack", "up")
    story.passes(minutes=2)
    story.channel()
    story.card_says("Paged through")
    story.says("firstfive-ops", "token_revoked")


def test_a_pagerduty_that_refuses_us_is_said_never_called_a_page_and_the_page_goes_out_once_it_is_mended(story):
    story.breaks("pagerduty", "revoked")
    story.fires()
    channel = story.channel()

    story.says(channel, "PagerDuty has not taken the page of INC-1")
    story.says("firstfive-ops", "PagerDuty answered 403")
    told = "PagerDuty does not tell of the page of INC-1"
    story.eventually(lambda: any(told in one for one in health_of(story)["warnings"]), "the health page says so")
    story.card_says("PagerDuty has not taken the page yet")
    assert "page_accepted" not in story.types_of()
    assert calls_during(lambda: story.world.asked["pagerduty"], story, minutes=3) <= 60
    assert "page_accepted" not in story.types_of()

    # Not in the midst of a try: its failure would be dated after the minute that passes.
    story.eventually(lambda: story.bot.store.outbox_depth() == {"pending": 1}, "only the page waits")
    story.breaks("pagerduty", "up")
    story.passes(minutes=1)
    story.card_says("Paged through")
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")


@pytest.mark.parametrize("neighbour", ["slack", "pagerduty"])
def test_a_neighbour_that_limits_us_gets_everything_in_the_end_and_once(story, neighbour):
    story.breaks(neighbour, "limited")
    story.fires()
    story.incident()
    story.passes(seconds=10)
    story.breaks(neighbour, "up")
    story.passes(minutes=2)

    channel = story.channel()
    story.card_says("Paged through")
    story.comes_to_rest()
    assert [one["event_action"] for one in story.sandbox.account.ledger].count("trigger") == 1
    assert len([one for one in story.sandbox.space.channels.values() if one.name.startswith("inc-1-")]) == 1
    assert len([one for one in story.messages(channel) if "Another alert" not in one["text"] and "INC-1" in one["text"]]) >= 1


@contextmanager
def database_away(url: str) -> Iterator[None]:
    """The database refuses to work: locked by somebody else, or closed to connections."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        holder = sqlite3.connect(parsed.database, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
        holder.close()
        return
    plain = parsed.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as admin:
        name = parsed.database
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_a_database_that_is_away_is_said_to_senders_and_to_people_and_nothing_is_lost(story, database_url):
    story.fires("instance-down")
    story.channel()
    story.comes_to_rest()
    source = source_named("alertmanager")
    example = next(one for one in source.examples if one.name == "checkout-errors")
    body = example.body_at(story.world.clock())
    headers = {"Content-Type": "application/json", **source.sign(body, SECRET, wall_clock())}
    address = f"{story.world.bot}/hooks/alertmanager/main"

    with database_away(database_url):
        answer = post(address, body, headers, 20)
        said = story.types("ana", "/incident ack INC-1")
        ready = get(f"{story.world.bot}/health/ready", 20)
    assert answer.status == 503
    assert "not saved" in json.loads(answer.body)["error"]
    assert "not saved" in said.lower()
    assert ready.status == 503 or database_url.startswith("sqlite")  # a locked SQLite can still be read
    assert story.incident().episode.acknowledged_at is None

    assert post(address, body, headers, 20).status == 202
    story.channel(2)
    assert story.types("ana", "/incident ack INC-1").startswith("You acknowledged INC-1")
    story.eventually(lambda: len(story.sandbox.account.incidents) == 2, "both pages are out")


def test_text_with_characters_that_no_database_keeps_is_taken(story):
    source = source_named("alertmanager")
    body = json.loads(source.examples[0].body_at(story.world.clock()))
    for alert in body["alerts"]:
        alert["annotations"] = {"summary": "Checkout\u0000 fails", "x\u0000y": "\u0000", "description": "a\u0000b"}
        alert["labels"] |= {"service": "check\u0000out", "odd\u0000": "\u0000v"}
    raw = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **source.sign(raw, SECRET, wall_clock())}

    assert post(f"{story.world.bot}/hooks/alertmanager/main", raw, headers, 20).status == 202
    assert story.incident().title == "Checkout fails"
    story.types("ana", "/incident note a\u0000b INC-1")
    story.channel()
    assert "\u0000" not in json.dumps([one.fields for one in story.bot.store.timeline("INC-1")], default=str)
