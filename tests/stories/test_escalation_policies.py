"""A service that is paged by an escalation policy: whatever holds for a key holds for it."""

import re
from pathlib import Path

import pytest

from sandbox.pagerduty.account import LEADS
from tests.stories.story import Story, telling

TOP = Path(__file__).parents[2]
SHIPPED = (TOP / "policy.yaml").read_text(encoding="utf-8")


def by_policy(service: str, id_: str) -> str:
    return f"    escalation_policy: {LEADS}\n    pagerduty_service: {id_}\n"


@pytest.fixture
def story(database_url, tmp_path):
    policy = re.sub(r"    pager: checkout\n", by_policy("checkout", "PSCHECK"), SHIPPED)
    policy = re.sub(r"    pager: payments\n", by_policy("payments", "PSPAYME"), policy)
    file = tmp_path / "policy.yaml"
    file.write_text(policy, encoding="utf-8")
    with telling(database_url, policy_file=file) as told:
        told.sandbox.account.leads[:] = ["PUBEN01", "PUANA01"]
        yield told


def incidents_of(story: Story, service: str) -> list:
    with story.world.lock:
        return [one for one in story.sandbox.account.incidents if one.service.name == service]


def test_it_pages_escalates_is_acknowledged_and_ends_as_any_other(story):
    story.fires()
    channel = story.channel()
    story.card_says("Paged through")
    story.card_says("notified: <@U0BEN0001>")
    assert [one["channel"] for one in story.rings("ben")] == ["push"]
    assert story.rings("ana") == []
    [page] = incidents_of(story, "checkout")
    assert page.key == story.incident().episode.dedup_key

    story.types("ben", "/incident escalate", channel)
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.types("ana", "/incident page payments", channel)
    story.says(channel, "the on-call of payments")
    story.eventually(lambda: incidents_of(story, "payments"), "a page of payments")
    story.picks_up("ana", "acknowledge")
    story.card_says("Acknowledged by <@U0ANA0001>")
    story.types("ana", "/incident resolve rolled back", channel)
    story.eventually(lambda: page.status == "resolved", "PagerDuty's incident is over")
    story.comes_to_rest()

    assert len(incidents_of(story, "checkout")) == 1
    assert story.types_of().count("page_accepted") == 1
    acks = [one for one in story.bot.store.timeline("INC-1") if one.type == "ack"]
    assert {one.by for one in acks} == {"U0ANA0001"}


def test_nothing_says_paged_before_pagerduty_has_the_incident_and_it_has_one(story):
    story.breaks("pagerduty")
    story.fires()
    channel = story.channel()
    story.eventually(lambda: "page_failed" in story.types_of(), "the failure is told")
    assert "Paged through" not in story.card()
    assert "page_accepted" not in story.types_of()
    story.says(channel, "PagerDuty")

    story.breaks("pagerduty", "up")
    story.passes(minutes=1)
    story.card_says("Paged through")
    story.comes_to_rest()
    assert len(incidents_of(story, "checkout")) == 1
    assert story.types_of().count("page_accepted") == 1


def test_who_acknowledges_in_slack_is_who_acknowledged_in_pagerduty(story):
    story.fires()
    channel = story.channel()
    story.card_says("Paged through")
    story.types("ana", "/incident ack", channel)
    [page] = incidents_of(story, "checkout")
    story.eventually(lambda: page.status == "acknowledged", "PagerDuty knows")
    assert page.acknowledged_by == "PUANA01"
