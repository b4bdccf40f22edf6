"""Neighbours that are away for long: Slack for an hour, PagerDuty for longer than it ever was, and its limits. B4 to B6."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from bot.incidents.effects import Lane
from sandbox.misbehaviour import Misbehaviour, limited, status
from sandbox.pagerduty.api import TOO_QUICK
from tests.faults.matrix import KINDS
from tests.faults.neighbours import PAGED_WITHIN
from tests.faults.oracle import Wrong
from tests.faults.simulated import Simulated, most_in, paged_once, said_once, simulated, whole
from tests.faults.trials import Stage, Trial

INCIDENTS = 30
"""More than Slack makes channels for in a minute."""
CHANNELS_WITHIN = 120.0 + 66.0
"""Tries are two minutes apart at most; and those that one minute does not hold come with the next."""
CREATED_A_MINUTE = 20
EVENTS_A_MINUTE = 120
FALLBACK_WITHIN = 60.0
FAILURES = 3
MINUTE = 60.0
SERVICES = ("checkout", "payments", "search", "web")


def slack_is_down_for_an_hour(stage: Stage) -> Iterator[Wrong]:
    """B4: thirty incidents meanwhile."""
    with simulated(stage) as told:
        told.world.answer_with("slack", "*", status(503))
        for number in range(1, INCIDENTS + 1):
            declared_at = told.now
            told.declares("sev2", f"{SERVICES[number % 4]} trouble {number}")
            told.settles()
            yield from paged_within(told, number, declared_at)
            told.picks_up("ana", number, "acknowledge")
            told.passes(minutes=60 / INCIDENTS, step=15)
        stage.met(sum(one.wrong is not None for one in told.world.calls_of("slack")))
        told.world.mends("slack")
        mended_at = told.now
        told.passes(minutes=3.5, step=2)
        yield from channels_after(opened_at(told), mended_at)
        told.passes_until(told.is_quiet, "rest", 30, step=15)
        yield from whole(told, range(1, INCIDENTS + 1))


def paged_within(told: Simulated, number: int, since: datetime) -> Iterator[Wrong]:
    """I8: accepted within five seconds, whatever Slack does."""
    found = told.pages(number)
    if not found or (found[0].created_at - since).total_seconds() > PAGED_WITHIN:
        yield Wrong("page", f"INC-{number} was not paged within {PAGED_WITHIN:g} s")


def opened_at(told: Simulated) -> list[datetime]:
    """When each channel was made."""
    with told.world.lock:
        return [datetime.fromisoformat(one["at"]) for one in told.sandbox.space.ledger if one["method"] == "conversations.create"]


def channels_after(made: list[datetime], mended_at: datetime) -> Iterator[Wrong]:
    """Every channel soon after Slack is back, and no faster than it takes them."""
    late = [(one - mended_at).total_seconds() for one in made if (one - mended_at).total_seconds() > CHANNELS_WITHIN]
    if len(made) != INCIDENTS:
        yield Wrong("lost" if len(made) < INCIDENTS else "channel", f"{len(made)} channels for {INCIDENTS} incidents")
    if late:
        yield Wrong("lost", f"{len(late)} channels later than {CHANNELS_WITHIN:.0f} s, up to {max(late):.0f} s")
    if most_in(MINUTE, made) > CREATED_A_MINUTE:
        yield Wrong("channel", f"{most_in(MINUTE, made)} channels in a minute")


def pagerduty_is_down_for_45_minutes(stage: Stage) -> Iterator[Wrong]:
    """B5: longer than the outage of 2025-08-28; some incidents are over, or in somebody's hands, before it is back."""
    with simulated(stage) as told:
        told.world.answer_with("pagerduty", "*", status(502))
        for number in range(1, 6):
            told.declares("sev1", f"{SERVICES[number % 4]} trouble {number}")
            told.passes(minutes=7)
        told.types("ben", "/incident resolve INC-3 rolled back")
        told.types("ben", "/incident ack INC-4")
        told.passes(minutes=10)
        for number in range(1, 6):
            yield from fallback_said(told, number)
            if told.types_of(number)["page_accepted"]:
                yield Wrong("page", f"INC-{number} is called paged, and PagerDuty took nothing")
        stage.met(sum(one.wrong is not None for one in told.world.calls_of("pagerduty")))
        told.world.mends("pagerduty")
        back_at = told.now
        told.passes(minutes=5)
        for number in (1, 2, 5):
            yield from paged_once(told, number)
            if told.pages(number) and (told.pages(number)[0].created_at - back_at).total_seconds() > FALLBACK_WITHIN:
                yield Wrong("page", f"INC-{number} was paged more than a minute after PagerDuty was back")
        for number in (3, 4):
            yield from nobody_woken(told, number)
        if told.bot.store.outbox_depth().get("dead"):
            yield Wrong("lost", "something was given up")
        yield from said_once(told)


def nobody_woken(told: Simulated, number: int) -> Iterator[Wrong]:
    """Nobody's phone rang for what was over, or in somebody's hands; and that is on the timeline."""
    if told.pages(number):
        yield Wrong("page", f"INC-{number} was paged although nobody was needed any more")
    if not told.types_of(number)["page_dropped"]:
        yield Wrong("lost", f"the timeline of INC-{number} does not say that its page was dropped")


def fallback_said(told: Simulated, number: int) -> Iterator[Wrong]:
    """People are called in Slack within a minute of the third failure."""
    failed = [one.clock for one in told.triggers(number) if one.wrong is not None]
    if len(failed) < FAILURES:
        yield Wrong("lost", f"the page of INC-{number} was tried {len(failed)} times")
        return
    at = told.said(f"has not taken the page of INC-{number}*", "3 tries", "call people", channel="incidents")
    yield from called_in_time(number, failed[FAILURES - 1], at)


def called_in_time(number: int, failed_at: datetime, said_at: datetime | None) -> Iterator[Wrong]:
    """`said_at` is no later than a minute after `failed_at`."""
    if said_at is None or (said_at - failed_at).total_seconds() > FALLBACK_WITHIN:
        yield Wrong("lost", f"nobody was called for INC-{number} within a minute of the third failure")


def pagerduty_fails_now_and_then(stage: Stage) -> Iterator[Wrong]:
    """B5: for nine hours every fifth call fails, of events and of the REST API, before it is carried out or after."""
    with simulated(stage) as told:
        for wrong in (status(502), status(500).after()):
            told.world.answer_with("pagerduty", "*", wrong, chance=0.1 if wrong.is_after else 0.11, seed=stage.seed)
        last = 18
        for number in range(1, last + 1):
            told.declares("sev2", f"{SERVICES[number % 4]} trouble {number}")
            told.passes_until(lambda number=number: told.pages(number), f"the page of INC-{number}", 5)  # type: ignore[misc]
            told.passes(minutes=3)
            if number % 2:
                told.picks_up("ana", number, "acknowledge")
            else:
                told.types("ana", f"/incident ack INC-{number}")
            told.passes(minutes=6, step=10)
            told.types("ana", f"/incident resolve INC-{number} rolled back")
            told.passes(minutes=20, step=20)
        stage.met(sum(one.wrong is not None for one in told.world.calls_of("pagerduty")))
        told.world.mends("pagerduty")
        told.passes_until(told.is_quiet, "rest", 15)
        yield from whole(told, range(1, last + 1))
        for number in range(1, last + 1):
            yield from _ended(told, number)


def _ended(told: Simulated, number: int) -> Iterator[Wrong]:
    page = told.pages(number)[0]
    acks = sum(one["type"] == "acknowledge_log_entry" for one in page.log)
    if page.status != "resolved":
        yield Wrong("page", f"PagerDuty has INC-{number} as {page.status}")
    if acks != 1:
        yield Wrong("lost" if not acks else "page", f"PagerDuty heard {acks} acknowledgements of INC-{number}")
    if told.types_of(number)["ack"] != 1:
        yield Wrong("lost", f"the timeline of INC-{number} has {told.types_of(number)['ack']} acknowledgements")


def flooded(wrong: Misbehaviour | None, wait_seconds: float) -> Callable[[Stage], Iterator[Wrong]]:
    """B6: more pages with one key than it may send in a minute, and PagerDuty may say so."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with simulated(stage) as told:
            told.only = Lane.PAGER
            lesser = [told.declares("sev3", f"checkout trouble {number}") for number in range(1, 111)]
            urgent = [told.declares("sev1", f"checkout trouble {number}") for number in range(111, 171)]
            if wrong is not None:
                told.world.answer_with("pagerduty", "enqueue", wrong, 3)
            told.settles()
            told.passes(minutes=3, step=1)
            stage.met(len(told.world.calls_of("pagerduty", "enqueue")))
            events = told.world.calls_of("pagerduty", "enqueue")
            if most_in(MINUTE, [one.clock for one in events]) > EVENTS_A_MINUTE:
                yield Wrong("page", f"{most_in(MINUTE, [one.clock for one in events])} events in a minute")
            for number in (*lesser, *urgent):
                yield from paged_once(told, number)
            last_urgent = max(told.pages(number)[0].created_at for number in urgent)
            sooner = sum(told.pages(number)[0].created_at < last_urgent for number in lesser)
            if sooner:
                yield Wrong("page", f"{sooner} lesser pages went out before a critical one")
            for limit in (one for one in events if one.wrong is not None):
                after = [(one.clock - limit.clock) for one in events if one.clock > limit.clock]
                if after and min(after) < timedelta(seconds=wait_seconds):
                    yield Wrong("page", f"an event {min(after).total_seconds():g} s after a 429 that asked for {wait_seconds:g}")

    return play


def trials(seeds: range) -> Iterator[Trial]:
    """Each outage once on each database: chance has no part in it but for what fails now and then, once for each seed."""
    headers = {"with Retry-After": {"Retry-After": "20"}, "with ratelimit-reset": {"ratelimit-reset": "20"}, "without headers": {}}
    for database in KINDS:
        yield Trial(f"B4 Slack is down for an hour, during {INCIDENTS} incidents", database, seeds.start, slack_is_down_for_an_hour)
        yield Trial("B5 PagerDuty answers 502 for 45 minutes", database, seeds.start, pagerduty_is_down_for_45_minutes)
    for seed in seeds:
        yield Trial("B5 every fifth call to PagerDuty fails, for nine hours", "sqlite", seed, pagerduty_fails_now_and_then)
    for name, given in headers.items():
        wrong = limited(name, given, TOO_QUICK)
        yield Trial(f"B6 PagerDuty answers 429 {name}", "sqlite", seeds.start, flooded(wrong, 20 if given else 5))
    yield Trial("B6 more pages than PagerDuty takes in a minute", "sqlite", seeds.start, flooded(None, 0))
