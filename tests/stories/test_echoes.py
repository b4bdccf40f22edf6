"""What a webhook told, PagerDuty's log tells again when it is asked: it happened once."""

import pytest

from tests.stories.story import telling


@pytest.fixture
def story(database_url):
    with telling(database_url) as told:
        yield told


def test_what_a_webhook_told_is_not_told_again_by_the_log(story):
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    # Within a second, which is all that the log knows: its time is before the webhook's.
    story.picks_up("ana", "acknowledge")
    story.card_says("Acknowledged by <@U0ANA0001> in PagerDuty")
    with story.world.lock:
        pager = story.sandbox.account.incidents[0]
        story.sandbox.account.annotate(pager, "The database is full", "PUANA01")
        story.sandbox.account.unacknowledge(pager)
    story.says(channel, "took the acknowledgement of *INC-1* back (PagerDuty)")
    story.says(channel, "The database is full")

    for _ in range(2):
        assert story.bot.poll.run_once() == 1
    story.comes_to_rest()
    types = story.types_of()
    assert {one: types.count(one) for one in ("ack", "unack", "note")} == {"ack": 1, "unack": 1, "note": 1}
    assert sum("acknowledged *INC-1*" in one["text"] for one in story.messages(channel)) == 1
    assert sum("The database is full" in one["text"] for one in story.messages(channel)) == 1


def test_an_acknowledgement_in_slack_stays_one_when_the_log_dates_its_echo_at_the_whole_second(story):
    story.sandbox.webhooks.is_on = False
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    assert story.types("ana", "/incident ack", channel).startswith("You acknowledged INC-1")
    story.eventually(lambda: story.sandbox.account.incidents[0].status == "acknowledged", "PagerDuty knows")

    assert story.bot.poll.run_once() == 1
    story.comes_to_rest()
    assert story.types_of().count("ack") == 1
    assert story.incident().episode.acknowledged_via == "slack"
