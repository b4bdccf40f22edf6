"""The whole street: an alert pages a human, the clock runs, and the incident is told truthfully."""

import json
from datetime import timedelta

import pytest

from bot.incidents.effects import PageOnCall
from bot.incidents.incident import PageState, Role, Status
from bot.journal import read, write
from bot.metrics import week_metrics
from tests.stories.story import telling


@pytest.fixture
def story(database_url):
    with telling(database_url) as told:
        yield told


def test_an_alert_becomes_a_page_a_channel_a_card_and_an_announcement(story):
    story.fires()
    channel = story.channel()
    story.comes_to_rest()

    assert channel == "inc-1-checkout-5xx-at-7-on-web"
    story.card_says("Paged through")
    story.card_says("notified: <@U0ANA0001>")
    story.says("incidents", "INC-1")
    with story.world.lock:
        space = story.sandbox.space.named(channel)
        assert "U0ANA0001" in space.members
        assert space.pins == [story.incident().summary.ts]
        assert {one["title"] for one in space.bookmarks} >= {"Dashboard", "PagerDuty"}
        assert space.topic.startswith("SEV1 | triggered")
    assert story.says(channel, "Checkout answers with errors")
    assert [one["channel"] for one in story.rings("ana")] == ["push"]
    assert story.incident().severity.value == "SEV1"
    assert story.incident().service == "checkout"


def test_what_was_deployed_before_is_on_the_card_and_in_the_draft_and_pages_nobody(story):
    story.fires("deployment-succeeded", "github")
    story.comes_to_rest()
    assert not story.bot.store.incidents()
    story.passes(minutes=4)
    story.fires()
    story.channel()

    story.card_says("Changes before the start* (not necessarily causes)")
    story.card_says("before: deployment *checkout*")
    draft = story.bot.numbers.draft_of("INC-1", "default")
    assert "deployment: " in draft.partition("## Changes before the start")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("example", "source", "line"),
    [
        ("deployment", "generic", "deployment *checkout* `2.41.0` by ana"),
        ("flag-updated", "cloudevents", "flag *checkout* `one-page-checkout` by ana"),
    ],
)
def test_a_change_of_any_sender_is_on_the_card_in_the_draft_and_asked_for_by_people(story, example, source, line):
    story.fires(example, source)
    story.comes_to_rest()
    assert not story.bot.store.incidents()
    story.passes(minutes=4)
    story.fires()
    channel = story.channel()

    story.card_says(f"before: {line}")
    draft = story.bot.numbers.draft_of("INC-1", "default")
    assert f"| {line.partition(' ')[0]}: " in draft.partition("## Changes before the start")[2].partition("\n## ")[0]
    assert story.types("ben", "/incident changes", channel) == "Changes before the start of INC-1"
    assert story.types("ben", "/incident changes checkout") == "1 change of checkout in the last day"


def test_a_critical_security_finding_is_remembered_with_its_clock_and_wakes_nobody(story):
    story.fires("secret-found", "github")
    story.comes_to_rest()

    [finding] = story.bot.store.open_findings()
    assert finding.severity.value == "critical"
    assert not story.bot.store.incidents()
    assert not story.sandbox.account.incidents
    numbers = story.bot.numbers
    this_week = numbers.week_now(finding.created_at)
    found = numbers.week(this_week).vulnerabilities
    assert (found["opened"], found["due"], len(found["open"])) == (1, 0, 1)

    story.passes(minutes=25 * 60)
    as_of = story.world.clock()
    assert numbers.week(numbers.week_now(as_of)).vulnerabilities["overdue"] == found["open"]
    exported = read(write(numbers.journal()))
    assert week_metrics(exported, this_week, as_of).vulnerabilities == numbers.week(this_week, as_of).vulnerabilities
    assert found["open"][0] in " ".join(numbers.digest(numbers.week_now(finding.created_at + timedelta(hours=24))).attention)


def test_the_page_does_not_wait_for_slack(story):
    story.breaks("slack", "slow")
    story.fires()
    story.eventually(lambda: story.incident().episode.page is PageState.ACCEPTED, "the page is taken")

    assert not any(one["method"] == "conversations.create" for one in story.sandbox.space.ledger)
    story.breaks("slack", "up")
    story.card_says("Paged through")


def test_an_acknowledgement_on_the_phone_is_seen_in_slack(story):
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.picks_up("ana", "acknowledge")

    story.says(channel, "<@U0ANA0001> acknowledged *INC-1* in PagerDuty")
    story.card_says("Acknowledged by <@U0ANA0001> in PagerDuty")
    assert story.incident().status is Status.ACKNOWLEDGED


@pytest.mark.parametrize("way", ["button", "command"])
def test_an_acknowledgement_in_slack_is_seen_in_pagerduty_in_the_persons_own_name(story, way):
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.incident().episode.page is PageState.ACCEPTED, "the page is taken")
    if way == "button":
        story.presses("ana", "Acknowledge", channel)
    else:
        assert story.types("ana", "/incident ack", channel).startswith("You acknowledged INC-1 after")

    story.eventually(lambda: story.sandbox.account.incidents[0].status == "acknowledged", "PagerDuty knows")
    assert story.sandbox.account.incidents[0].acknowledged_by == "PUANA01"
    story.comes_to_rest()
    assert story.types_of().count("ack") == 1


def test_an_acknowledgement_is_found_by_asking_when_webhooks_are_off(story):
    story.sandbox.webhooks.is_on = False
    story.fires()
    story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.picks_up("ana", "acknowledge")

    story.card_says("Acknowledged by <@U0ANA0001> in PagerDuty")


def test_an_acknowledgement_on_the_phone_just_before_the_end_is_found_when_webhooks_are_off(story):
    story.sandbox.webhooks.is_on = False
    story.fires()
    story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.picks_up("ana", "acknowledge")
    story.types("ben", "/incident resolve INC-1")

    story.card_says("Acknowledged by <@U0ANA0001> in PagerDuty")


def test_reminders_breach_and_the_next_level_come_at_their_times(story):
    story.fires()
    channel = story.channel()
    story.comes_to_rest()

    story.passes(minutes=2, seconds=1)
    story.says(channel, "not acknowledged after 2 of 5 min")
    story.passes(minutes=2)
    story.says(channel, "not acknowledged after 4 of 5 min")
    assert not story.rings("ben")
    story.passes(minutes=1)
    story.says(channel, "nobody acknowledged within the target")
    story.says("incidents", "nobody acknowledged within the target")
    story.eventually(lambda: story.rings("ben"), "Ben's phone rings")
    story.says(channel, "escalated *INC-1* to level 2")
    story.passes(minutes=5)
    story.eventually(lambda: story.rings("chloe"), "Chloe's phone rings")

    breach = next(one for one in story.bot.store.timeline("INC-1") if one.type == "ack_breached")
    assert breach.at == story.incident().episode.deadline
    story.picks_up("chloe", "acknowledge")
    story.card_says("*missed*")
    assert story.types_of().count("ack_breached") == 1


def test_the_whole_story_to_the_weekly_digest(story):
    story.fires()
    channel = story.channel()
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")
    story.passes(minutes=1)
    story.picks_up("ana", "acknowledge")
    story.card_says("Acknowledged")
    assert "is now commander" in story.types("ana", "/incident role commander me", channel)
    assert "Noted" in story.types("ben", "/incident note CDN serves the old bundle", channel)
    assert "now SEV2" in story.types("ana", "/incident sev 2", channel)
    assert "promised" in story.types("ana", "/incident update Rolling back. next 15m", channel)
    story.says("incidents", "Rolling back")
    assert "now monitoring" in story.types("ana", "/incident status monitoring", channel)
    story.fires("checkout-errors-resolved")
    story.says(channel, "has cleared")
    story.passes(minutes=5, seconds=1)
    story.says(channel, "Is it over?")
    story.presses("ana", "Resolve", channel)
    story.says(channel, "<@U0ANA0001> resolved *INC-1*")
    story.eventually(lambda: story.incident().draft, "the draft is posted")
    story.comes_to_rest()

    draft = story.bot.store.draft("INC-1")
    assert "# INC-1: Checkout 5xx at 7 % on web" in draft
    assert "Acknowledged by Ana Silva" in draft
    assert "TODO(owner)" in draft
    assert story.sandbox.account.incidents[0].status == "resolved"
    assert story.incident().roles[Role.COMMANDER] == ("U0ANA0001",)
    metrics = story.types("ana", "/incident metrics", channel)
    assert "1 incident (1 SEV1). 1 of 1 page acknowledged in 5 min" in metrics

    story.passes(minutes=7 * 24 * 60)
    posted = story.says("incidents", "Incident week")
    assert "1 of 1 page acknowledged in 5 min" in posted
    story.comes_to_rest()
    weeks = [one["text"] for one in story.messages("incidents") if "Incident week" in one["text"]]
    assert len(weeks) == len(set(weeks))


def test_slack_being_down_does_not_delay_the_page(story):
    story.breaks("slack")
    story.fires()

    story.eventually(lambda: story.rings("ana"), "Ana's phone rings", 5)
    story.picks_up("ana", "acknowledge")
    story.eventually(lambda: story.incident().episode.acknowledged_at, "the acknowledgement is known")
    assert story.incident().channel is None

    story.breaks("slack", "up")
    story.passes(minutes=3)
    story.channel()
    story.card_says("Acknowledged by <@U0ANA0001>")


def test_pagerduty_being_down_is_said_and_nothing_says_paged_until_it_took_the_page(story):
    story.breaks("pagerduty")
    story.fires()
    channel = story.channel()

    story.says(channel, "PagerDuty has not taken the page")
    story.card_says("PagerDuty has not taken the page yet")
    assert "Paged through" not in story.card()
    assert "page_accepted" not in story.types_of()
    assert story.sandbox.account.ledger == []

    story.breaks("pagerduty", "up")
    story.passes(minutes=1)
    story.card_says("Paged through")
    assert len([one for one in story.sandbox.account.ledger if one.get("event_action") == "trigger"]) == 1


def test_pagerduty_coming_back_wakes_nobody_for_what_people_resolved_without_it(story):
    story.breaks("pagerduty")
    story.fires()
    channel = story.channel()
    story.says(channel, "PagerDuty has not taken the page")
    story.types("ana", "/incident ack INC-1")
    story.types("ana", "/incident resolve INC-1")

    story.breaks("pagerduty", "up")
    story.passes(minutes=60)
    story.card_says("PagerDuty never took this page")
    story.comes_to_rest()
    assert not story.rings("ana")
    assert "page_dropped" in story.types_of()
    assert [one for one in story.sandbox.account.ledger if one.get("event_action") == "trigger"] == []


def test_a_page_that_pagerduty_refuses_is_said_loudly(database_url):
    with telling(database_url, pagerduty_keys="default=00000000000000000000000000000000") as story:
        story.fires()
        channel = story.channel()

        story.says(channel, "Nobody was paged for INC-1")
        story.says("incidents", "Nobody was paged for INC-1")
        story.says("firstfive-ops", "INC-1 paged nobody")
        story.card_says("Nobody was paged.")
        assert story.incident().episode.page is PageState.REFUSED


def test_alerts_of_one_service_share_an_incident_and_a_page(story):
    story.fires("database-connections")
    channel = story.channel()
    story.fires("payment-provider")
    story.says(channel, "Another alert")
    story.fires("payment-provider")
    story.comes_to_rest()

    assert len(story.bot.store.open_incidents()) == 1
    assert len(story.incident().alerts) == 2
    assert len(story.sandbox.account.incidents) == 1


def test_an_alert_that_is_only_announced_can_be_declared(story):
    story.fires("latency")
    story.says("incidents", "Web p95 at 840 ms")
    story.presses("chloe", "Declare an incident", "incidents")
    story.submits("chloe", severity="SEV2")

    assert story.incident().title == "Web p95 at 840 ms"
    assert story.incident().service == "web"
    story.eventually(lambda: story.rings("ana"), "Ana's phone rings")


def test_a_person_declares_with_a_line_and_with_a_form(story):
    assert story.types("dmitri", "/incident declare sev2 checkout is slow").startswith("INC-1 opened as SEV2")
    story.types("dmitri", "/incident declare")
    story.submits("dmitri", title="Mail is late", severity="SEV4")

    assert story.incident(2).severity.value == "SEV4"
    assert story.incident(2).episode.page is PageState.NOT_NEEDED
    story.comes_to_rest()
    assert len(story.sandbox.account.incidents) == 1


def test_two_incidents_are_merged_and_the_childs_page_ends(story):
    story.fires()
    story.fires("instance-down")
    story.incident(2)
    story.comes_to_rest()

    assert "now part of INC-1" in story.types("ana", "/incident merge INC-2 into INC-1")
    story.comes_to_rest()
    assert story.incident(2).status is Status.MERGED
    pages = {one.key: one.status for one in story.sandbox.account.incidents}
    assert [pages[story.incident(number).episodes[0].dedup_key] for number in (1, 2)] == ["triggered", "resolved"]


def test_an_incident_that_comes_back_has_a_page_and_a_clock_of_its_own(story):
    story.fires()
    channel = story.channel()
    story.comes_to_rest()
    story.types("ana", "/incident resolve rolled back", channel)
    story.comes_to_rest()
    story.passes(minutes=30)
    story.types("ben", "/incident reopen", channel)
    story.comes_to_rest()

    assert [one.status for one in story.sandbox.account.incidents] == ["resolved", "triggered"]
    assert story.incident().episode.number == 2
    assert story.incident().episode.acknowledged_at is None


def test_what_cannot_be_is_answered_with_what_to_do(story):
    assert "Nothing is open" in story.types("ana", "/incident ack")
    story.fires()
    channel = story.channel()
    asked = {
        "/incident acknowlege": "Did you mean `/incident ack`",
        "/incident sev 9": "A severity is 1 to 5",
        "/incident status purple": "is no status",
        "/incident page checkouts": "Known are:",
        "/incident merge INC-1 into INC-9": "There is no INC-9",
        "/incident ack INC-44": "There is no INC-44",
        "/incident metrics last": "A week is written like",
        "/incident reopen": "open already",
        "/incident close": "incident resolve INC-1",
    }
    for text, answer in asked.items():
        assert answer in story.types("ana", text, channel), text
    story.types("eve", "/incident ack", "team-checkout")
    assert story.incident().episode.acknowledged_at is None


def test_hostile_text_calls_nobody_and_links_nowhere_it_does_not_say(story):
    evil = "<!channel> <@U0BEN0001> <https://evil.example|https://pagerduty.com> &lt;!here&gt; `x` *b*"
    story.types("dmitri", f"/incident declare sev2 {evil}")
    channel = story.channel()
    story.comes_to_rest()
    titled = json.dumps([one for name in (channel, "incidents") for one in story.messages(name)], ensure_ascii=False)
    story.types("dmitri", f"/incident note {evil}", channel)
    story.types("dmitri", f"/incident update {evil}", channel)
    story.comes_to_rest()

    # A title names nobody; whom people name in their own words, they name. Nobody calls everybody.
    assert "<@U0BEN0001>" not in titled
    shown = [one for name in (channel, "incidents") for one in story.messages(name) if one.get("user") == "U0BOT0001"]
    for message in shown:
        text = json.dumps({key: message.get(key) for key in ("text", "blocks")}, ensure_ascii=False)
        assert "<!channel" not in text
        assert "<!here" not in text
        assert "<https://evil.example|" not in text


def test_a_request_that_slack_sends_twice_is_done_once(story):
    story.fires()
    story.channel()
    story.comes_to_rest()
    store = story.bot.store
    before = len(store.timeline("INC-1"))
    space = story.sandbox.space.named("incidents")
    fixed = story.sandbox.space.new_trigger("U0ANA0001")
    story.sandbox.outgoing._trigger = lambda person: fixed

    for _ in range(3):
        story.sandbox.outgoing.slash("U0ANA0001", space, "/incident", "note INC-1 said once")

    assert len(store.timeline("INC-1")) == before + 1


def test_the_page_names_the_symptom_and_one_key_an_episode(story):
    story.fires()
    event = story.eventually(lambda: story.sandbox.account.ledger, "a page")[0]

    assert event["payload"]["summary"] == "SEV1 INC-1: Checkout 5xx at 7 % on web"
    assert event["dedup_key"] == story.incident().episode.dedup_key
    assert event["payload"]["severity"] == "critical"
    assert PageOnCall.lane.value == "pager"
