"""One thing breaks and many tell of it: who is woken, what the card shows, and how people take it apart again."""

import json
from pathlib import Path

import pytest

from bot.alerts.registry import source_named
from bot.clock import wall_clock
from sandbox.__main__ import SECRET
from sandbox.calls import post
from tests.stories.story import Story, telling

POLICY = """
channels: {announce: incidents, operations: firstfive-ops, digest: incidents}
services:
  checkout: {pager: checkout, depends_on: [payments], owner: "@team-checkout"}
  payments: {pager: payments, channel: firstfive-ops, owner: "@team-payments", dashboards: ["https://grafana.example.com/d/payments"]}
routes:
  - {name: all, match: {severity: [critical, high, medium]}}
"""


def fires(story: Story, title: str, service: str, severity: str, status: str = "firing") -> None:
    """A generic alert, signed."""
    source = source_named("generic")
    body = json.dumps({"title": title, "service": service, "severity": severity, "status": status, "dedup_key": title}).encode()
    headers = source.examples[0].sent_by(source, SECRET, wall_clock(), body)
    assert post(f"{story.world.bot}/hooks/generic/main", body, headers, 10).status == 202


@pytest.fixture
def story(database_url: str, tmp_path: Path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    with telling(database_url, policy_file=policy) as told:
        yield told


def asked(story: Story) -> list[str]:
    """The pages that PagerDuty has, by their title."""
    with story.world.lock:
        return [one.title for one in story.sandbox.account.incidents]


def test_what_payments_explains_is_related_and_taken_apart_by_people_and_by_time(story):
    fires(story, "Payments down", "payments", "high")
    channel = story.channel()
    fires(story, "Checkout errors", "checkout", "high")
    fires(story, "Card form slow", "payments", "medium")

    story.says(channel, "A related alert: Checkout errors")
    story.card_says("1 related alert")
    story.card_says("checkout depends on payments")
    story.says("firstfive-ops", "INC-1* Payments down")
    story.comes_to_rest()
    assert len(asked(story)) == 1

    answer = story.types("ana", "/incident split Card form slow", channel)
    assert answer.startswith("“Card form slow” is INC-2 now, no longer part of INC-1. Asking PagerDuty to page its on-call.")
    story.says(channel, "it is *INC-2* now")
    story.says(story.channel(2), "took *INC-2* out of *INC-1*")
    story.eventually(lambda: len(asked(story)) == 2, "PagerDuty has a page for INC-2")

    fires(story, "Payments down", "payments", "high", "resolved")
    story.says(channel, "related ones still fire")
    story.passes(minutes=5, seconds=1)
    story.channel(3)
    story.card_says("Checkout errors", 3)
    story.eventually(lambda: len(asked(story)) == 3, "PagerDuty has a page for INC-3")
    assert story.incident(3).service == "checkout"
    assert story.types("ana", "/incident split", channel).startswith("🙅 INC-1 has no second alert")


def test_the_form_splits_and_undoes_a_merge(story):
    fires(story, "Payments down", "payments", "high")
    channel = story.channel()
    fires(story, "Checkout errors", "checkout", "critical")
    other = story.channel(2)
    story.types("ana", "/incident merge INC-2 into INC-1", channel)
    story.card_says("Checkout errors")
    assert story.types("ana", "/incident split INC-2", "incidents").startswith("INC-2 is an incident of its own again")
    story.says(other, "took *INC-2* out of *INC-1* again")
    story.card_says("Checkout errors", 2)

    fires(story, "Payments slow", "payments", "medium")
    story.card_says("Payments slow")
    story.presses("ana", "Split off …", channel)
    slow = next(one.fingerprint for one in story.incident().alerts if one.title == "Payments slow")
    story.submits("ana", alert=slow, text="another provider")
    story.card_says("Payments slow", 3)
    story.says(channel, "another provider")
