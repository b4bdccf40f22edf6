"""A silence in a whole bot: nobody is woken, everybody hears what it kept, and what still fires opens afterwards."""

from datetime import timedelta
from pathlib import Path

import pytest

from bot.clock import wall_clock
from bot.slack.views.answers import entry_words
from tests.stories.story import telling

POLICY_FILE = Path(__file__).parents[2] / "policy.yaml"


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

    # Its sender says nothing more.
    story.passes(minutes=31)
    story.says("incidents", "🔔 Silence 1 has expired.")
    pages_although_nobody_repeats(story, 2, pages, "was under silence 1 until now")
    assert story.incident(2).severity.value == "SEV1"


def pages_although_nobody_repeats(story, number, pages, words):
    """An incident that opens by itself: with its page, the time since when it fires, and what kept it quiet."""
    story.eventually(lambda: len(story.sandbox.account.incidents) > pages, f"the page of INC-{number}")
    incident = story.incident(number)
    fired_for = incident.opened_at - incident.impact_started_at
    assert fired_for.total_seconds() > 25 * 60
    story.card_says(f"since <!date^{int(incident.impact_started_at.timestamp())}^", number)
    story.comes_to_rest()
    (entry,) = (one for one in story.bot.store.timeline(f"INC-{number}") if one.type == "alert_quieted")
    said = entry_words(entry)
    assert f"has fired since <!date^{int(incident.impact_started_at.timestamp())}^" in said
    assert words in said


def test_what_fires_on_after_a_maintenance_window_pages_at_its_end_and_what_cleared_does_not(database_url, tmp_path):
    start, end = wall_clock() - timedelta(hours=1), wall_clock() + timedelta(hours=1)
    file = tmp_path / "policy.yaml"
    window = (
        f"maintenance:\n  - name: move\n    match: {{service: [checkout, web]}}\n    reason: planned\n    zone: UTC\n"
        f"    from: {start:%Y-%m-%d %H:%M}\n    until: {end:%Y-%m-%d %H:%M}\n"
    )
    file.write_text(POLICY_FILE.read_text().replace("maintenance: []\n", window))
    with telling(database_url, policy_file=file) as story:
        story.fires("checkout-errors")
        story.fires("checkout-errors-resolved")
        story.comes_to_rest()
        story.passes(minutes=10)
        story.fires("checkout-errors")
        story.comes_to_rest()
        assert not story.bot.store.incidents()
        story.passes(minutes=51)

        pages_although_nobody_repeats(story, 1, 0, "was under maintenance “move” until now")
        assert len(story.bot.store.incidents()) == 1


def test_what_is_ended_early_is_over_at_once_and_what_cleared_stays_clear(story):
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
