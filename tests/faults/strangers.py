"""Neighbours that know us no longer, and people who change what the bot relies on: B7 to B10."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from bot.incidents.incident import PageState
from sandbox.app import Sandbox
from sandbox.cast import BOT_USER
from sandbox.misbehaviour import LOST, Call, Misbehaviour, refusal
from sandbox.slack.workspace import Channel
from tests.faults.oracle import Wrong
from tests.faults.simulated import Simulated, most_in, paged_once, said_once, simulated, whole
from tests.faults.trials import Stage, Trial

NOTICED_WITHIN = 120.0
ALARM_WITHIN = 60.0
WARNED_WITHIN = 10.0
ONE_TRY = 55.0
"""Seconds in which a lane tries once at most, after a token was refused: a minute, less what a clock may round."""

UNAUTHORIZED = Misbehaviour("401", status=401, body=json.dumps({"error": {"message": "Unauthorized", "code": 2006}}))
FORBIDDEN = Misbehaviour("403", status=403, body=json.dumps({"error": {"message": "Access Denied", "code": 2010}}))
WRONG_KEY = Misbehaviour(
    "400 invalid routing key", status=400,
    body=json.dumps({"status": "invalid event", "message": "Event object is invalid", "errors": ["Invalid routing key"]}),
)  # fmt: skip
SLACK_REFUSALS = (
    refusal("invalid_auth", 401), refusal("invalid_auth"), refusal("token_revoked"), refusal("missing_scope"),
    refusal("account_inactive"),
)  # fmt: skip


# --- B7: taken, and lost --------------------------------------------------------------------------


def lost(times: int, *, is_taken_up: bool = False) -> Callable[[Stage], Iterator[Wrong]]:
    """PagerDuty takes a page so often, and makes no incident of it; and somebody may be on it meanwhile, from Slack."""

    def play(stage: Stage) -> Iterator[Wrong]:
        luck = random.Random(f"lost/{stage.seed}")
        with simulated(stage) as told:
            told.passes(seconds=luck.uniform(0, 30))
            told.world.answer_with("pagerduty", "enqueue", LOST, times)
            number = told.declares("sev1", "checkout is down")
            told.settles()
            if is_taken_up:
                told.types("ben", f"/incident ack INC-{number}")
            taken_at = told.triggers(number)[0].clock
            told.passes(seconds=NOTICED_WITHIN)
            yield from noticed(told, number, taken_at)
            stage.met(sum(one.wrong is not None for one in told.world.calls_of("pagerduty")))
            if is_taken_up:
                if len(told.triggers(number)) != 1 or told.pages(number):
                    yield Wrong("page", "somebody is on it, and it was sent again")
            else:
                told.passes_until(lambda: told.pages(number), "the page", 20)
                told.passes(minutes=2)
                yield from sent_again(told.triggers(number), times)
                yield from paged_once(told, number)
                if told.said("The page of INC-1 is lost", channel="firstfive-ops") is None:
                    yield Wrong("lost", "no alarm")
                if told.said("woke nobody", "call people", channel="incidents") is None:
                    yield Wrong("lost", "nobody was called in Slack")
            told.passes_until(told.is_quiet, "rest", 5)
            yield from said_once(told)

    return play


def noticed(told: Simulated, number: int, taken_at: datetime) -> Iterator[Wrong]:
    """The timeline says within two minutes that PagerDuty shows nothing of what it took, and the card no longer “paged”.

    `taken_at` is when the page was sent, by PagerDuty's own list of calls.
    """
    entries = told.bot.store.timeline(f"INC-{number}")
    accepted = [one.at for one in entries if one.type == "page_accepted"]
    if not accepted or accepted[0] < taken_at:
        yield Wrong("page", "the timeline says that the page was taken before it was sent")
    seen = [one.at for one in entries if "shows no incident" in str(one.fields.get("reason"))]
    if not seen or (seen[0] - taken_at).total_seconds() > NOTICED_WITHIN:
        yield Wrong("lost", f"what PagerDuty lost was not noticed within {NOTICED_WITHIN:g} s")
    incident = told.bot.store.incident(number)
    if incident is not None and incident.episode.page is PageState.ACCEPTED and not told.pages(number) and len(seen) < 2:
        if len(accepted) < 2:
            yield Wrong("page", "it still says “paged”")


def sent_again(calls: Sequence[Call], times: int) -> Iterator[Wrong]:
    """The page went out once more than it was lost, each time with the same key."""
    if len(calls) != times + 1:
        yield Wrong("page", f"sent {len(calls)} times, lost {times} times")
    if len({one.said["dedup_key"] for one in calls}) != 1:
        yield Wrong("page", "sent again with another key")


# --- B8: refused ----------------------------------------------------------------------------------


def slack_refuses(wrong: Misbehaviour) -> Callable[[Stage], Iterator[Wrong]]:
    """Slack takes nothing more of us until somebody mends it; the page is out all the same."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with simulated(stage) as told:
            told.world.answer_with("slack", "*", wrong)
            numbers = [told.declares("sev1", f"{service} is down") for service in ("checkout", "search")]
            told.settles()
            for number in numbers:
                yield from paged_once(told, number)
            told.passes(seconds=ALARM_WITHIN - 5)
            if "SLACK_BOT_TOKEN" not in told.health():
                yield Wrong("lost", "the health page does not say what to mend")
            told.passes(minutes=9)
            yield from no_hot_loop(refused(told, "slack"), len(numbers) + 1)
            if told.bot.store.outbox_depth().get("dead"):
                yield Wrong("lost", "something was given up")
            stage.met(len(refused(told, "slack")))
            told.world.mends("slack")
            told.passes_until(told.is_quiet, "everything carried out", 10)
            yield from whole(told, range(1, len(numbers) + 1))
            if told.said(f"Slack answered {wrong.name.split()[-1]}", channel="firstfive-ops") is None:
                yield Wrong("lost", "no alarm")

    return play


def pagerduty_refuses(wrong: Misbehaviour) -> Callable[[Stage], Iterator[Wrong]]:
    """PagerDuty refuses token and key until somebody mends it."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with simulated(stage) as told:
            told.world.answer_with("pagerduty", "*", wrong)
            number = told.declares("sev1", "checkout is down")
            told.passes(seconds=ALARM_WITHIN - 5)
            words = ("paged nobody",) if wrong is WRONG_KEY else (f"PagerDuty answered {wrong.status}",)
            if told.said(*words, channel="firstfive-ops") is None:
                yield Wrong("lost", "no alarm within a minute")
            if told.said("INC-1", "call people" if wrong is not WRONG_KEY else "Nobody was paged") is None:
                told.passes(minutes=3)
                if told.said("INC-1", "call people") is None:
                    yield Wrong("lost", "nobody was called in Slack")
            told.passes(minutes=9)
            yield from no_hot_loop(refused(told, "pagerduty", "enqueue"), 1)
            stage.met(len(refused(told, "pagerduty")))
            told.world.mends("pagerduty")
            for one in told.bot.store.effects(("dead",), 10):
                told.bot.store.send_again(one.number, "ana", told.now)
            told.passes_until(lambda: told.pages(number), "the page", 3)
            told.passes(minutes=2)
            yield from paged_once(told, number)
            yield from said_once(told)

    return play


def refused(told: Simulated, neighbour: str, name: str = "") -> list[Call]:
    """The calls that were refused."""
    return [one for one in told.world.calls_of(neighbour, name) if one.wrong is not None]


def no_hot_loop(calls: Sequence[Call], lanes: int) -> Iterator[Wrong]:
    """More than one try a minute in each of so many lanes. A try that is refused is one call."""
    tries = most_in(ONE_TRY, [one.clock for one in calls])
    if tries > lanes:
        yield Wrong("lost", f"{tries} tries in a minute, in {lanes} lanes")


# --- B9: what people do to a channel --------------------------------------------------------------


def archived(told: Simulated, channel: Channel) -> None:
    """Archived by hand."""
    channel.is_archived = True


def deleted(told: Simulated, channel: Channel) -> None:
    """Deleted by hand."""
    del told.sandbox.space.channels[channel.id]


def renamed(told: Simulated, channel: Channel) -> None:
    """Called by another name."""
    channel.name = "what-a-day"


def kicked(told: Simulated, channel: Channel) -> None:
    """The bot was taken out of it."""
    channel.members.remove(BOT_USER)


def meddled(does: Callable[[Simulated, Channel], None]) -> Callable[[Stage], Iterator[Wrong]]:
    """Somebody does that to an incident's channel while it goes on."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with simulated(stage) as told:
            number = told.declares("sev1", "checkout is down")
            told.passes(seconds=30)
            channel = told.sandbox.space.named(f"inc-{number}-checkout-is-down")
            if channel is None:
                yield Wrong("lost", "no channel")
                return
            with told.world.lock:
                does(told, channel)
            stage.met()
            told.passes(seconds=30)
            told.types("ben", f"/incident update INC-{number} Orders fail; rolling back")
            told.picks_up("ana", number, "acknowledge")
            told.passes(minutes=2)
            told.types("ana", f"/incident resolve INC-{number} rolled back")
            told.passes(minutes=2)
            told.passes_until(told.is_quiet, "rest", 5)
            yield from _goes_on(told, number, channel, is_closed=does is not renamed)

    return play


def _goes_on(told: Simulated, number: int, channel: Channel, *, is_closed: bool) -> Iterator[Wrong]:
    yield from paged_once(told, number)
    if told.pages(number)[0].status != "resolved":
        yield Wrong("page", f"PagerDuty has it as {told.pages(number)[0].status}")
    where = "incidents" if is_closed else channel.name
    if told.said("Orders fail; rolling back", channel=where) is None:
        yield Wrong("lost", f"the update is not in #{where}")
    if is_closed and told.said(f"INC-{number} has no channel", channel="firstfive-ops") is None:
        yield Wrong("lost", "nobody was told that the channel is closed to the bot")
    if told.bot.store.outbox_depth():
        yield Wrong("lost", f"effects are not done: {told.bot.store.outbox_depth()}")
    missing = {"page_accepted", "ack", "status_update", "resolved"} - set(told.types_of(number))
    if missing:
        yield Wrong("lost", f"the timeline lacks {sorted(missing)}")
    yield from said_once(told)


# --- B10: nobody to reach -------------------------------------------------------------------------


def nobody_on_call(stage: Stage) -> Iterator[Wrong]:
    """The schedules are empty: PagerDuty takes pages and makes no incident of them."""
    with simulated(stage, empty) as told:
        number = told.declares("sev1", "checkout is down")
        told.passes(seconds=WARNED_WITHIN)
        yield from warned(told, "Nobody is on call in PagerDuty")
        told.passes(seconds=35)
        if told.said("woke nobody", "nobody is on call there", "call people", channel="incidents") is None:
            yield Wrong("lost", "people were not called in Slack")
        told.sandbox.account.levels[:] = ["PUANA01", "PUBEN01", "PUCHLO1"]
        told.passes_until(lambda: told.pages(number), "the page once somebody is on call", 5)
        told.passes(minutes=1)
        stage.met()
        yield from paged_once(told, number)


def nobody_at_the_next_level(stage: Stage) -> Iterator[Wrong]:
    """Nobody acknowledges, and at the second level nobody is on call (1015): that is said, and the third is asked."""
    with simulated(stage) as told:
        told.sandbox.account.levels[1] = ""
        number = told.declares("sev1", "checkout is down")
        told.passes(minutes=5)
        asked_at = told.now
        told.passes(seconds=WARNED_WITHIN)
        stage.met(sum(one.status == 400 for one in told.world.calls_of("pagerduty", "put")))
        said_at = told.said("No User On Call")
        if said_at is None or said_at - asked_at > timedelta(seconds=WARNED_WITHIN):
            yield Wrong("lost", "that nobody is on call at level 2 was not said within ten seconds")
        told.passes(minutes=6)
        if told.pages(number) and told.pages(number)[0].assignees != ["PUCHLO1"]:
            yield Wrong("lost", f"the third level was not asked: {told.pages(number)[0].assignees}")
        yield from paged_once(told, number)


def unknown_in_slack(how: Callable[[Sandbox], None]) -> Callable[[Stage], Iterator[Wrong]]:
    """Whoever is on call cannot be found in Slack."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with simulated(stage, how) as told:
            number = told.declares("sev1", "checkout is down", person="ben")
            told.passes(seconds=WARNED_WITHIN)
            stage.met()
            yield from warned(told, "Ana Silva is on call in PagerDuty and unknown in Slack")
            told.passes(minutes=11)
            yield from paged_once(told, number)
            if told.pages(number)[0].level < 2:
                yield Wrong("lost", "nobody acknowledged, and the next level was not asked")
            if told.said("Ana Silva") is None:
                yield Wrong("lost", "who was paged is not named in Slack")

    return play


def warned(told: Simulated, words: str) -> Iterator[Wrong]:
    """The operations channel says so by now."""
    if told.said(words, channel="firstfive-ops") is None:
        yield Wrong("lost", f"no warning within {WARNED_WITHIN:g} s: {words}")


def not_in_slack(sandbox: Sandbox) -> None:
    """Ana has no account in this workspace."""
    sandbox.space.left.add("U0ANA0001")


def another_address(sandbox: Sandbox) -> None:
    """Ana's address in PagerDuty is not the one in Slack."""
    sandbox.account.emails["PUANA01"] = "ana.silva@elsewhere.example"


def empty(sandbox: Sandbox) -> None:
    """No schedule has anybody on it."""
    sandbox.account.levels[:] = [""] * 3


def trials(seeds: range) -> Iterator[Trial]:
    """Each once on each database with the first seed; what is left to chance with every seed."""
    for seed in seeds:
        for times in (1, 2, 4):
            yield Trial(f"B7 PagerDuty takes a page and loses it, {times} times", "sqlite", seed, lost(times))
        yield Trial("B7 PagerDuty takes a page and loses it, and somebody is on it", "sqlite", seed, lost(1, is_taken_up=True))
    first = seeds.start
    yield Trial("B7 PagerDuty takes a page and loses it, twice", "postgresql", first, lost(2))
    for wrong in SLACK_REFUSALS:
        yield Trial(f"B8 Slack answers {wrong.name}", "sqlite", first, slack_refuses(wrong))
    for wrong in (UNAUTHORIZED, FORBIDDEN, WRONG_KEY):
        yield Trial(f"B8 PagerDuty answers {wrong.name}", "sqlite", first, pagerduty_refuses(wrong))
    yield Trial("B8 Slack answers token_revoked", "postgresql", first, slack_refuses(SLACK_REFUSALS[2]))
    yield Trial("B8 PagerDuty answers 401", "postgresql", first, pagerduty_refuses(UNAUTHORIZED))
    for does in (archived, deleted, renamed, kicked):
        yield Trial(f"B9 an incident's channel is {does.__name__}", "sqlite", first, meddled(does))
    yield Trial("B9 an incident's channel is archived", "postgresql", first, meddled(archived))
    yield Trial("B10 nobody is on call", "sqlite", first, nobody_on_call)
    yield Trial("B10 nobody is on call at the next level", "sqlite", first, nobody_at_the_next_level)
    yield Trial("B10 whoever is on call is not in Slack", "sqlite", first, unknown_in_slack(not_in_slack))
    yield Trial("B10 whoever is on call has another address", "sqlite", first, unknown_in_slack(another_address))
