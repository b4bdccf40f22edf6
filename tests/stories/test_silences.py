"""A silence in a whole bot: nobody is woken, everybody hears what it kept, and what still fires opens afterwards."""

import pytest

from tests.stories.story import telling


@pytest.fixture
def story(database_url):
    with telling(database_url) as told:
        yield told


def test_a_silence_that_may_swallow_a_sev1_asks_twice_keeps_quiet_and_says_what_it_kept(story):
    asked = story.types("ana", '/incident silence service=checkout 1h "moving the orders database"')
    assert "may swallow a SEV1" in asked
    story.fires()
    channel = story.channel()
    assert story.incident().severity.value == "SEV1"
    story.types("ana", "/incident resolve it was the move", channel)
    story.comes_to_rest()
    pages = len(story.sandbox.account.incidents)

    assert "Silence 1 holds for 1 h" in story.types("ana", "/incident silence confirm")
    story.says("incidents", "🔕 <@U0ANA0001> silenced `service=checkout`")
    story.passes(minutes=30)
    story.fires("checkout-errors")
    story.comes_to_rest()
    assert [one.ref for one in story.bot.store.incidents()] == ["INC-1"]
    assert len(story.sandbox.account.incidents) == pages
    assert "1 silence in force" in story.types("ben", "/incident silences")

    story.passes(minutes=31)
    story.says("incidents", "🔔 Silence 1 has expired.")
    story.comes_to_rest()
    assert [one.ref for one in story.bot.store.incidents()] == ["INC-1"]
    story.fires()
    assert story.channel(2)
    story.eventually(lambda: len(story.sandbox.account.incidents) > pages, "the page of INC-2")
    assert story.incident(2).severity.value == "SEV1"


def test_one_that_is_ended_early_lets_the_next_report_through_and_what_cleared_stays_clear(story):
    story.types("ana", "/incident silence name=Checkout* 2h moving the database")
    story.types("ana", "/incident silence confirm 1")
    story.fires()
    story.fires("checkout-errors-resolved")
    story.comes_to_rest()
    assert not story.bot.store.incidents()

    assert "It kept 1 alert quiet." in story.types("ben", "/incident silence end 1 done already")
    story.says("incidents", "🔔 <@U0BEN0001> ended silence 1 early: done already")
    story.passes(minutes=1)
    story.fires()
    assert story.channel()
