"""What is carried out in Slack: once each, however its answers get lost, and on with the incident whatever people do to channels."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.errors import Ambiguous, GaveUp, OverBudget, TryLater
from bot.incidents.effects import (
    AddBookmarks,
    AnnounceAlert,
    Attempt,
    InvitePeople,
    OpenChannel,
    PinSummary,
    Place,
    PostDigest,
    PostDraft,
    RaiseAlarm,
    Say,
    SetTopic,
    ShowAnnouncement,
    ShowSummary,
    Topic,
)
from bot.incidents.inputs import AlertReported, ChannelOpened, DraftPosted, SummaryPosted
from bot.incidents.policy import Service
from bot.slack.client import Budget, Slack
from bot.slack.deliver import PAGE, SlackDeliverer
from sandbox.misbehaviour import HTML
from sandbox.slack.workspace import Channel
from tests.builders import NOON, alert
from tests.slack.office import ANA, BEN, EVE, Office, Unlimited

HERE = "inc-1-checkout-is-slow"


class Lossy(Slack):
    """A line to Slack on which the answer to some calls is lost once, after Slack has acted."""

    def __init__(self, given: Slack, *loses: str) -> None:
        super().__init__(token=given._token, api_url=given.web.base_url, budget=Unlimited())
        self.loses, self.asked = list(loses), []

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append(method)
        answer = super().call(method, **arguments)
        if method in self.loses:
            self.loses.remove(method)
            raise Ambiguous(f"Slack did not answer {method}")
        return answer


def deliverer(office: Office, *loses: str) -> tuple[SlackDeliverer, Lossy]:
    bot = office.bot
    line = Lossy(bot.slack, *loses)
    made = SlackDeliverer(
        slack=line, store=bot.store, clock=bot.clock, policy=bot.choices.policy, digest_for=bot.numbers.digest,
        draft_for=bot.numbers.draft,
    )  # fmt: skip
    return made, line


def first(office: Office, id_: str = "row-1") -> Attempt:
    return Attempt(id_, 1, False, office.bot.clock())


def again(attempt: Attempt) -> Attempt:
    return replace(attempt, number=attempt.number + 1, is_ambiguous=True)


def lost_then_again(office: Office, effect: Any, method: str, ahead: timedelta = timedelta(0)) -> Any:
    """Carry out an effect whose answer is lost, and once more as the worker would, whose clock is `ahead` of Slack's."""
    made, _ = deliverer(office, method)
    attempt = replace(first(office), first_tried_at=office.bot.clock() + ahead)
    with pytest.raises(Ambiguous):
        made.deliver(effect, attempt)
    return made.deliver(effect, again(attempt))


@pytest.fixture
def open_(office: Office) -> Office:
    assert office.declared() == HERE
    return office


def announce(office: Office) -> AnnounceAlert:
    return AnnounceAlert(fingerprint="f", title="Disk is filling", source="generic", severity="medium", service=None, reason="a rule",
                         started_at=office.bot.clock())  # fmt: skip


def note(text: str) -> Say:
    return Say(1, Topic.NOTE_ADDED, {"text": text, "by": ANA})


def test_a_service_channel_that_is_not_there_is_given_up_and_holds_nothing_up(open_):
    made, _ = deliverer(open_)
    policy = open_.bot.choices.policy()
    made._policy = lambda: policy.model_copy(update={"services": {"checkout": Service(channel="nowhere")}})
    told = Say(1, Topic.OPENED, {"title": "t", "severity": "SEV2"}, Place.SERVICE)

    with pytest.raises(GaveUp, match="not in #nowhere") as error:
        made.deliver(told, first(open_))
    assert error.value.mend == "/invite the bot to #nowhere, or name another channel for checkout in policy.yaml"


def test_which_budget_is_used_up_is_said_and_is_the_same_for_all_that_it_holds_up(open_):
    made, line = deliverer(open_)
    line.budget = Budget()
    said = set()
    for effect in (announce(open_), RaiseAlarm(1, "x"), note("canary")):
        with pytest.raises(OverBudget) as raised:
            for number in range(20):
                made.deliver(effect, first(open_, f"{type(effect).__name__}-{number}"))
        assert raised.value.is_alike
        said.add(raised.value.reason)
    channels = [open_.channel(name) for name in ("incidents", "firstfive-ops", HERE)]
    assert said == {f"the budget of chat.postMessage in {one} is used up" for one in channels}


# --- lost answers -----------------------------------------------------------------------------


def test_a_message_whose_answer_was_lost_is_found_and_not_posted_twice(open_):
    for effect, channel, words in [
        (note("canary one"), HERE, "canary one"),
        (announce(open_), "incidents", "Disk is filling"),
        (RaiseAlarm(1, "canary two"), "firstfive-ops", "canary two"),
    ]:
        lost_then_again(open_, effect, "chat.postMessage")
        assert sum(words in one["text"] for one in open_.messages(channel)) == 1, words


def test_by_a_clock_that_is_ahead_of_slacks_they_are_found_as_well(open_):
    for effect, channel, words in [
        (note("canary one"), HERE, "canary one"), (RaiseAlarm(1, "canary two"), "firstfive-ops", "canary two"),
    ]:  # fmt: skip
        lost_then_again(open_, effect, "chat.postMessage", timedelta(minutes=16))
        assert sum(words in one["text"] for one in open_.messages(channel)) == 1, words
    assert "/slack/files/" in lost_then_again(open_, PostDraft(1), "files.completeUploadExternal", timedelta(minutes=16)).permalink
    assert sum(bool(one.get("files")) for one in open_.messages(HERE)) == 1


class OneAtATime(Budget):
    """Room for one look into a channel at each try."""

    left = 1

    def spend(self, method: str, channel: str) -> None:
        if method == "conversations.history":
            if not self.left:
                raise OverBudget("no room", timedelta(seconds=1), is_alike=True)
            self.left -= 1


@pytest.mark.parametrize("effect", [note("canary"), PostDraft(1)], ids=["message", "draft"])
def test_a_look_that_takes_more_than_there_is_room_for_goes_on_where_it_was(open_, effect):
    """It began anew each time, and never came to an end."""
    lost = "chat.postMessage" if isinstance(effect, Say) else "files.completeUploadExternal"
    made, line = deliverer(open_, lost)
    with pytest.raises(Ambiguous):
        made.deliver(effect, first(open_))
    before = len(open_.messages(HERE))
    for number in range(3 * PAGE):
        made.deliver(note(f"later {number}"), first(open_, f"row-later-{number}"))
    line.budget = OneAtATime()

    for _ in range(3):
        line.budget.left = 1
        with pytest.raises(OverBudget):
            made.deliver(effect, again(first(open_)))
    line.budget.left = 1
    made.deliver(effect, again(first(open_)))

    assert len(open_.messages(HERE)) == before + 3 * PAGE


def test_a_channel_is_found_by_a_clock_that_is_ahead_of_slacks(office):
    office.types("declare sev2 checkout is slow")
    lost_then_again(office, OpenChannel(1, HERE), "conversations.create", timedelta(minutes=4))

    assert [one.name for one in office.space.channels.values() if one.name.startswith("inc-")] == [HERE]


def test_a_message_that_slack_never_took_is_posted_after_a_look(open_):
    made, line = deliverer(open_)
    made.deliver(note("canary"), again(first(open_)))

    assert line.asked == ["conversations.history", "chat.postMessage"]
    assert sum("canary" in one["text"] for one in open_.messages(HERE)) == 1


def test_the_same_words_of_two_effects_are_two_messages(open_):
    made, _ = deliverer(open_)
    made.deliver(note("canary"), first(open_, "row-1"))
    made.deliver(note("canary"), again(first(open_, "row-2")))

    assert sum("canary" in one["text"] for one in open_.messages(HERE)) == 2


def test_a_channel_whose_answer_was_lost_is_found_and_not_made_twice(office):
    office.types("declare sev2 checkout is slow")
    opened = lost_then_again(office, OpenChannel(1, HERE), "conversations.create")

    assert opened == ChannelOpened(1, office.channel(HERE), HERE)
    assert [one.name for one in office.space.channels.values() if one.name.startswith("inc-")] == [HERE]


def test_a_draft_whose_answer_was_lost_is_found_and_not_shared_twice(open_):
    posted = lost_then_again(open_, PostDraft(1), "files.completeUploadExternal")

    assert isinstance(posted, DraftPosted)
    assert "/slack/files/" in posted.permalink
    assert sum(bool(one.get("files")) for one in open_.messages(HERE)) == 1


def test_a_file_that_was_called_taken_and_is_not_there_is_uploaded_again(open_):
    open_.world.answer_with("slack", "upload", HTML, 1)
    made, _ = deliverer(open_)
    with pytest.raises(TryLater, match="has not got the file"):
        made.deliver(PostDraft(1), first(open_))

    assert isinstance(made.deliver(PostDraft(1), first(open_)), DraftPosted)
    assert sum(bool(one.get("files")) for one in open_.messages(HERE)) == 1


def test_a_digest_whose_answer_was_lost_is_there_once_and_a_second_one_edits_it(open_):
    lost_then_again(open_, PostDigest("2026-W24"), "chat.postMessage")
    deliverer(open_)[0].deliver(PostDigest("2026-W24"), first(open_, "row-2"))

    assert sum("Incident week 24" in one["text"] for one in open_.messages("incidents")) == 1


@pytest.mark.parametrize(
    ("effect", "method"),
    [
        (SetTopic(1), "conversations.setTopic"), (PinSummary(1), "pins.add"), (InvitePeople(1, (BEN,)), "conversations.invite"),
        (AddBookmarks(1, (("Wiki", "https://wiki.example/"),)), "bookmarks.add"), (ShowSummary(1), "chat.update"),
        (ShowAnnouncement(1), "chat.update"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)  # fmt: skip
def test_what_can_be_done_again_is_done_again_and_is_there_once(open_, effect, method):
    channel = open_.space.channel(open_.channel(HERE))
    channel.pins.clear()
    lost_then_again(open_, effect, method)

    assert len(channel.pins) == (1 if method == "pins.add" else 0)
    assert len([one for one in channel.bookmarks if one["title"] == "Wiki"]) in (0, 1)
    assert len(channel.members) == len(set(channel.members))
    assert sum("checkout is slow" in one["text"] and bool(one.get("metadata")) for one in open_.messages("incidents")) == 1


# --- channel names ----------------------------------------------------------------------------


def squat(office: Office, name: str, creator: str, seconds: float = 0, *, is_archived: bool = False, member: bool = True) -> str:
    created = int(office.bot.clock().timestamp() + seconds)
    members = list(dict.fromkeys([creator, "U0BOT0001"] if member else [creator]))
    channel = Channel(
        office.space.next_id("C"), name, creator, created, is_archived=is_archived, members=list(dict.fromkeys(members))
    )
    office.space.channels[channel.id] = channel
    return channel.id


@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize(
    ("creator", "seconds", "is_archived"),
    [(EVE, 0, False), (EVE, 0, True), ("U0BOT0001", -3600, False)],
    ids=["a stranger's", "an archived stranger's", "an old one of ours"],
)
def test_a_name_that_is_taken_is_never_taken_over(office, creator, seconds, is_archived, ambiguous):
    office.types("declare sev2 checkout is slow")
    theirs = squat(office, HERE, creator, seconds, is_archived=is_archived)
    attempt = first(office)
    opened = deliverer(office)[0].deliver(OpenChannel(1, HERE), again(attempt) if ambiguous else attempt)

    assert opened.channel != theirs
    assert opened.name == f"{HERE}-2"


def test_the_channel_of_another_incident_whose_name_begins_alike_is_not_taken(office):
    office.types("declare sev2 🔥")
    twelfth = squat(office, "inc-12-search", "U0BOT0001")
    opened = deliverer(office)[0].deliver(OpenChannel(1, "inc-1"), again(first(office)))

    assert opened.channel != twelfth
    assert opened.name == "inc-1"


def test_a_channel_that_is_an_incidents_already_is_not_taken_for_another(open_):
    open_.types("declare sev2 checkout is slow")
    opened = deliverer(open_)[0].deliver(OpenChannel(2, HERE), again(first(open_)))

    assert opened.channel != open_.incident(1).channel.id


def test_when_every_name_is_taken_it_says_so(office):
    office.types("declare sev2 checkout is slow")
    for suffix in ("", *(f"-{number}" for number in range(2, 21))):
        squat(office, HERE + suffix, EVE, member=False)

    with pytest.raises(GaveUp, match="every name like inc-1-checkout-is-slow is taken"):
        deliverer(office)[0].deliver(OpenChannel(1, HERE), first(office))


# --- what people do to channels ---------------------------------------------------------------


def archive(office: Office, name: str) -> None:
    office.space.channel(office.channel(name)).is_archived = True


def kick(office: Office, name: str) -> None:
    office.space.channel(office.channel(name)).members.remove("U0BOT0001")


def delete(office: Office, name: str) -> None:
    del office.space.channels[office.channel(name)]


@pytest.mark.parametrize("close", [archive, kick, delete])
def test_an_incident_whose_channel_was_closed_goes_on_where_everybody_reads_and_says_so_once(open_, close):
    office = open_
    close(office, HERE)
    for text in ("note INC-1 canary words", "ack INC-1", "status INC-1 identified", "sev INC-1 1", "update INC-1 second canary"):
        office.types(text)
        office.settle()

    alarms = [one["text"] for one in office.messages("firstfive-ops")]
    said = "\n".join(one["text"] for one in office.messages("incidents"))
    assert [one for one in alarms if "INC-1" in one] == [
        f"🚨 INC-1 has no channel: #{HERE} is closed to the bot ({office.incident().channel_trouble.split('(')[1]}"
    ]
    assert "canary words" in said
    assert "second canary" in said
    assert office.incident().summary.channel == office.channel("incidents")
    assert "dead" not in office.store.outbox_depth()
    assert office.types_of().count("channel_failed") == 1


def test_a_private_incident_whose_channel_was_closed_is_told_nowhere_else(office):
    name = office.declared("declare sev2 the canary leaked --private")
    archive(office, name)
    office.types("note INC-1 canary words")
    office.types("resolve INC-1 canary end")
    office.settle()

    public = [one for channel in ("incidents", "firstfive-ops", "general") for one in office.messages(channel)]
    assert "canary" not in str([one for one in public if not one.get("ephemeral_for") and one.get("channel") != name]).replace(
        name, ""
    )


@pytest.mark.parametrize("close", [archive, kick, delete])
@pytest.mark.parametrize("effect", [announce, lambda office: ShowAnnouncement(1), lambda office: PostDigest("2026-W24")])
def test_where_everybody_reads_is_waited_for_and_a_person_hears_how_to_mend_it(open_, close, effect):
    made, _ = deliverer(open_)
    made.deliver(announce(open_), first(open_, "row-0"))
    close(open_, "incidents")

    with pytest.raises(TryLater, match="the bot is not in #incidents") as raised:
        made.deliver(effect(open_), first(open_))

    assert "/invite the bot" in raised.value.mend
    assert raised.value.after == timedelta(seconds=60)


def test_a_channel_that_was_made_anew_under_the_old_name_is_found(open_):
    made, _ = deliverer(open_)
    made.deliver(announce(open_), first(open_))
    delete(open_, "incidents")
    squat(open_, "incidents", ANA)
    with pytest.raises(TryLater):
        made.deliver(announce(open_), first(open_, "row-2"))
    made.deliver(announce(open_), first(open_, "row-2"))
    made.deliver(ShowAnnouncement(1), first(open_, "row-3"))

    assert len(open_.messages("incidents")) == 2


def test_a_card_that_somebody_deleted_is_posted_anew(open_):
    channel = open_.space.channel(open_.channel(HERE))
    channel.messages[:] = [one for one in channel.messages if one["ts"] != open_.incident().summary.ts]
    made, _ = deliverer(open_)

    made.deliver(PinSummary(1), first(open_))
    posted = made.deliver(ShowSummary(1), first(open_))

    assert isinstance(posted, SummaryPosted)
    assert posted.ts != open_.incident().summary.ts


# --- small refusals that are none -------------------------------------------------------------


def test_one_unknown_person_keeps_nobody_else_out_and_who_is_in_is_in(open_):
    made, _ = deliverer(open_)
    for people in ((ANA,), ("U0NOBODY1", BEN), ("U0NOBODY1",), (ANA, BEN), ("U0BOT0001",)):
        made.deliver(InvitePeople(1, people), first(open_))

    assert {ANA, BEN} <= set(open_.space.channel(open_.channel(HERE)).members)


def test_an_alert_of_ours_unfolds_no_page_of_anybodys(open_):
    posts = [one["args"] for one in open_.space.ledger if one["method"] == "chat.postMessage"]

    assert posts
    assert all(one["unfurl_links"] is False and one["unfurl_media"] is False for one in posts)


def test_an_incident_that_is_not_there_is_given_up(office):
    with pytest.raises(GaveUp, match="there is no INC-9"):
        deliverer(office)[0].deliver(ShowSummary(9), first(office))


def test_a_card_that_is_drawn_says_how_often_its_alert_was_reported_and_none_is_drawn_for_that(office):
    def reported() -> str:
        office.bot.door.handle(AlertReported(alert(started_at=NOON), "main"))
        office.settle()
        one = office.incident()
        return str([post for post in office.space.channels[one.summary.channel].messages if post["ts"] == one.summary.ts])

    drawn = reported()
    assert "Checkout error rate high" in drawn
    assert [reported() for _ in range(3)] == [drawn] * 3

    deliverer(office)[0].deliver(ShowSummary(1), first(office))
    assert "Checkout error rate high · reported 4 times · since" in reported()
