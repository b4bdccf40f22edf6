"""Noise, in a whole bot: a storm of different alerts, one that flaps, one that is back after its incident was resolved."""

import json
import time
from collections import Counter

import pytest
from sqlalchemy import text

from bot.alerts.registry import source_named
from bot.clock import wall_clock
from bot.incidents.incident import Severity, Status
from bot.incidents.policy import StormRule
from sandbox.__main__ import SECRET
from sandbox.calls import post
from tests.stories.story import telling

BODIES, OF_EACH = 50, 20
"""A thousand alerts; `make faults` sends ten thousand to real processes, within a minute."""
CHANNELS = StormRule().most + 1
EVENTS_A_MINUTE = 120


@pytest.fixture
def story(database_url):
    with telling(database_url) as told:
        yield told


def sends(story, source, body):
    headers = {"Content-Type": "application/json", **source_named(source).sign(body, SECRET, wall_clock())}
    for _ in range(20):
        # A machine that is slow enough asks senders to come again, as it should; they do.
        status = post(f"{story.world.bot}/hooks/{source}/main", body, headers, 10).status
        if status != 503:
            break
        time.sleep(0.5)
    assert status == 202


def one(story, name, service, severity="warning", status="firing"):
    at = story.world.clock().isoformat()
    given = {"labels": {"alertname": name, "service": service, "severity": severity}, "status": status, "startsAt": at}
    return given | ({"endsAt": at} if status == "resolved" else {})


def reports(story, *alerts):
    status = alerts[0]["status"]
    sends(story, "alertmanager", json.dumps({"version": "4", "status": status, "alerts": alerts}).encode())


def is_read(story):
    story.eventually(lambda: not story.bot.store.inbox_depth().get("new", 0), "everything is read", 120)


def triggers(story):
    """The pages that PagerDuty took, in order."""
    with story.world.lock:
        return [one for one in story.sandbox.account.ledger if one.get("event_action") == "trigger"]


def test_a_storm_of_different_alerts_is_few_channels_and_pages_and_every_alert_can_be_counted(story):
    for body in range(BODIES):
        names = [f"Disk{body}-{number}" for number in range(OF_EACH - 1)]
        reports(story, *(one(story, name, name.lower()) for name in names), one(story, f"Down{body}", f"down{body}", "critical"))
    is_read(story)
    story.comes_to_rest()
    store = story.bot.store

    incidents = store.incidents(limit=1000)
    with story.world.lock:
        channels = [one.name for one in story.sandbox.space.channels.values() if one.name.startswith("inc-")]
    assert len(incidents) == len(channels) == CHANNELS
    # Nothing is lost, and each can be counted: by SQL, on the card, in the list.
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT count(*), count(DISTINCT fingerprint), sum(reports) FROM alerts")).one()
    assert tuple(rows) == (BODIES * OF_EACH,) * 3
    assert sum(one.alert_count for one in incidents) == BODIES * OF_EACH
    gathers = incidents[0]
    assert gathers.storm
    held = gathers.alert_count
    assert sum(entry.type == "alert_started" for entry in store.timeline(gathers.ref)) == held
    story.card_says(f"and {held - 5} more alerts, {held - 5} of them firing", gathers.number)
    story.card_says("📊 SEV2 down1: 1 · SEV2 down10: 1", gathers.number)
    story.card_says(f"others: {held - 6}", gathers.number)
    assert f"Alerts of {gathers.ref}* · 1 to 15 of {held}" in str(story.sandbox.people.slash(
        {"person": "ana", "channel": "incidents", "text": f"/incident alerts {gathers.ref}"}
    ))  # fmt: skip
    # The worst of what came together was first, and within what PagerDuty takes in a minute.
    assert (incidents[-1].title, incidents[-1].severity) == ("Down0", Severity.SEV2)
    paged = triggers(story)
    assert Counter(one["dedup_key"] for one in paged).most_common(1)[0][1] == 1
    assert len(paged) == CHANNELS
    assert len(story.world.calls_of("pagerduty", "enqueue")) <= EVENTS_A_MINUTE

    # Another source is untouched.
    story.fires(source="grafana", example=source_named("grafana").examples[0].name)
    is_read(story)
    story.comes_to_rest()
    assert [one.storm for one in store.incidents(limit=1)] == [False]
    assert len(store.incidents(limit=1000)) == CHANNELS + 1


def test_an_alert_that_flaps_is_one_page_and_one_message_and_is_counted_on_the_card(story):
    for number in range(5):
        story.passes(minutes=3)
        reports(story, one(story, "DiskFull", "mail"))
        is_read(story)
        story.passes(minutes=1)
        if number < 4:
            reports(story, one(story, "DiskFull", "mail", status="resolved"))
            is_read(story)
    channel = story.channel()
    story.comes_to_rest()

    story.card_says("〰️ *flapping*: 5 fires in 60 min")
    story.card_says("×5")
    assert len(triggers(story)) == 1
    assert story.types_of().count("flapping_started") == 1
    assert sum("is flapping" in message["text"] for message in story.messages(channel)) == 1
    assert "*flaps*: 3 fires in 60 min" in str(story.sandbox.people.slash(
        {"person": "ana", "channel": channel, "text": "/incident timeline"}
    ))  # fmt: skip

    story.passes(minutes=61)
    story.eventually(lambda: "flapping_ended" in story.types_of(), "it is calm")
    story.eventually(lambda: "flapping" not in story.card(), "the card says so")


def test_an_alert_that_is_back_within_a_day_is_back_in_its_channel_and_pages_again(story):
    reports(story, one(story, "DiskFull", "mail"))
    is_read(story)
    channel = story.channel()
    story.types("ana", "/incident resolve cleaned up", channel)
    story.passes(minutes=90)
    reports(story, one(story, "DiskFull", "mail"))
    is_read(story)
    story.comes_to_rest()

    story.says(channel, "reopened *INC-1*: DiskFull fires again")
    assert story.incident().status is Status.TRIGGERED
    assert len({one["dedup_key"] for one in triggers(story)}) == 2
    assert [one.number for one in story.bot.store.incidents()] == [1]

    story.types("ana", "/incident resolve cleaned up once more", channel)
    story.passes(minutes=24 * 60 + 1)
    reports(story, one(story, "DiskFull", "mail"))
    is_read(story)
    assert story.incident(2).earlier == 1
    story.channel(2)
