"""Neighbours that limit us, answer nonsense, hang up or do not answer: B1 to B3.

Every way to fail is tried at every call that changes something outside, and every call on both databases: six seeds in a
row share all of it out.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from bot import points
from sandbox.misbehaviour import CUT, DRIP, EMPTY, HALF, HANG, HTML, RESET, Call, Misbehaviour, limited, refusal, status
from tests.faults import oracle, story
from tests.faults.matrix import KINDS
from tests.faults.oracle import Wrong
from tests.faults.rig import Rig
from tests.faults.runs import COMMANDS
from tests.faults.trials import Stage, Trial

PAGER_CALLS = ("enqueue", "post", "put")
CALLS = tuple(sorted({call for made in points.CALLS.values() for call in made}))
SLACK_METHODS = tuple(one for one in CALLS if one not in (*PAGER_CALLS, "upload"))
LOOKED_AT = ("bookmarks.list", "users.conversations", "users.list")
"""Methods that change nothing, and without which nothing goes on either."""
DATED = timedelta(seconds=20)
WAITS: Mapping[str, float] = {"1": 1, "30": 30, "900": 900, "none": 5, "abc": 5, "-7": 5, "a date": DATED.total_seconds()}
"""What Retry-After says, and how many seconds the method has to be left alone: where it says nothing usable, a few."""
ON_ITS_WAY = 0.5
"""A call made so soon after a 429 may have left before that was read."""
PAGED_WITHIN = 5.0
BLOCKED_AT_MOST = 10.0
STARVED = 2.0
"""How late a thread may be woken on a machine that others use, too."""
WATCHED_SECONDS = 8.0
OFTEN: Mapping[str, int] = {"chat.postMessage": 6, "chat.update": 3, "enqueue": 3, "conversations.setTopic": 2, "bookmarks.add": 2}
"""How often a call is made at least in the life of an incident, where that is more than once."""

SPREAD = 6
"""So many seeds in a row bring each way to fail to each call."""
SLACK_NONSENSE = (
    status(500), status(502), status(502).after(), status(503), status(504), HTML, HTML.after(), EMPTY.after(), HALF, CUT,
    refusal("internal_error"), refusal("internal_error").after(), refusal("fatal_error"), refusal("fatal_error").after(),
)  # fmt: skip
PAGER_NONSENSE = (
    status(500), status(502).after(), status(503), status(504), HTML, HTML.after(), EMPTY, EMPTY.after(), HALF, CUT,
)  # fmt: skip
# In this order both colours of `_dealt` hold lost answers, and slow ones.
SILENCE = (RESET, HANG, RESET.after(), HANG.after(), DRIP, DRIP.after())
SLACK_CALLS = (*SLACK_METHODS, "upload")
FAILURES: tuple[tuple[str, str, Sequence[str], Sequence[Misbehaviour]], ...] = (
    ("B2", "slack", SLACK_CALLS, SLACK_NONSENSE), ("B2", "pagerduty", PAGER_CALLS, PAGER_NONSENSE),
    ("B3", "slack", SLACK_CALLS, SILENCE), ("B3", "pagerduty", PAGER_CALLS, SILENCE),
)  # fmt: skip
"""Place in the table, who fails, at which calls, in which ways."""


def retry_after(kind: str) -> Misbehaviour:
    """Slack's 429 with one of `WAITS`."""
    said = {"none": {}, "a date": {"Retry-After": format_datetime(datetime.now(UTC) + DATED, usegmt=True)}}
    return limited(f"Retry-After {kind}", said.get(kind, {"Retry-After": kind}), {"ok": False, "error": "ratelimited"})


# --- what is judged by the calls that a neighbour got --------------------------------------------


def waits_kept(calls: Sequence[Call], seconds: float) -> Iterator[Wrong]:
    """A call to a method that had asked for a wait, and whose wait was not over."""
    for asked in (one for one in calls if one.wrong is not None and one.wrong.status == 429):
        sooner = [
            one.at - asked.at
            for one in calls
            if one.name == asked.name and asked.at + asked.seconds + ON_ITS_WAY < one.at < asked.at + seconds
        ]
        if sooner:
            yield Wrong(
                "message", f"{asked.name} was called again after {min(sooner):.1f} s, and was to be left alone for {seconds:g}"
            )


def others_went_on(calls: Sequence[Call]) -> Iterator[Wrong]:
    """Nothing else was called after a 429."""
    asked = next((one for one in calls if one.wrong is not None), None)
    if asked is not None and not any(one.name != asked.name and one.at > asked.at for one in calls):
        yield Wrong("lost", f"after a 429 to {asked.name} nothing else was called")


def nobody_blocked(calls: Sequence[Call]) -> Iterator[Wrong]:
    """A caller that waited for longer than a worker may be blocked."""
    for one in calls:
        if one.seconds > BLOCKED_AT_MOST + STARVED:
            yield Wrong("lost", f"{one.name} kept a worker for {one.seconds:.1f} s")


def paged_in_time(calls: Sequence[Call], accepted_at: float) -> Iterator[Wrong]:
    """I8: no page was taken within five seconds of the moment at which an alert was."""
    taken = [one.at + one.seconds for one in calls if one.name == "enqueue" and one.status == 202 and one.wrong is None]
    if not taken or min(taken) - accepted_at > PAGED_WITHIN + STARVED:
        yield Wrong("page", f"the page was taken {min(taken) - accepted_at:.1f} s after the alert" if taken else "no page was taken")


# --- the trials ---------------------------------------------------------------------------------


def told_while(neighbour: str, call: str, wrong: Misbehaviour, shape: str) -> Callable[[Stage], Iterator[Wrong]]:
    """The whole life of an incident, while `call` fails: once, or twice in a row where the seed says so."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            luck = random.Random(f"{call}/{wrong.name}/{stage.seed}")
            spared = luck.randrange(OFTEN.get(call, 1))
            rig.world.answer_with(neighbour, call, wrong, luck.choice((1, 2)), spared=spared)
            rig.runs(COMMANDS[shape])
            story.told(rig)
            calls = rig.world.calls_of(neighbour)
            stage.met(sum(one.wrong is not None for one in calls))
            yield from oracle.judged(rig)
            yield from nobody_blocked(rig.world.calls_of("slack") + rig.world.calls_of("pagerduty"))

    return play


def limited_once(method: str, kind: str) -> Callable[[Stage], Iterator[Wrong]]:
    """An incident from its alert to its end, while a method asks for a wait that is longer than we look."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.world.answer_with("slack", method, retry_after(kind), 1)
            rig.runs(COMMANDS["serve"])
            rig.fires("checkout-errors")
            accepted_at = time.monotonic()
            rig.until(lambda: story.status_of(rig) == "triggered", "the page is taken")
            rig.types("ana", "/incident ack INC-1")
            rig.until(lambda: story.status_of(rig) == "acknowledged", "PagerDuty knows that it is acknowledged")
            rig.types("ana", "/incident resolve INC-1 rolled back")
            rig.until(lambda: story.status_of(rig) == "resolved", "PagerDuty knows that it is over")
            rig.until(lambda: _met(rig), f"a 429 to {method}")
            # Work for lanes that have nothing to do with it.
            rig.fires("latency")
            rig.fires("database-connections")
            time.sleep(WATCHED_SECONDS)
            calls = rig.world.calls_of("slack")
            stage.met(_met(rig))
            yield from waits_kept(calls, WAITS[kind])
            yield from others_went_on(calls)
            yield from paged_in_time(rig.world.calls_of("pagerduty"), accepted_at)
            if rig.store.outbox_depth().get("dead"):
                yield Wrong("lost", "something was given up")

    return play


def left_alone(method: str, kind: str) -> Callable[[Stage], Iterator[Wrong]]:
    """A wait, watched to its end: everything else goes on, and what had to wait is done once it is over."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.world.answer_with("slack", method, retry_after(kind), 1)
            rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
            rig.fires("checkout-errors")
            accepted_at = time.monotonic()
            rig.until(lambda: story.status_of(rig) == "triggered", "the page is taken")
            rig.types("ana", "/incident ack INC-1")
            rig.types("ana", "/incident resolve INC-1 rolled back")
            rig.until(lambda: story.status_of(rig) == "resolved", "PagerDuty knows that it is over")
            [asked] = rig.until(lambda: [one for one in rig.world.calls_of("slack") if one.wrong is not None], f"a 429 to {method}")
            stage.met()
            over_at = asked.at + asked.seconds + WAITS[kind]
            time.sleep(max(0.0, over_at - time.monotonic()))
            rig.until(lambda: [one for one in rig.world.calls_of("slack", method) if one.at > over_at], f"{method} is called again")
            rig.until(rig.is_quiet, "nothing waits")
            yield from waits_kept(rig.world.calls_of("slack"), WAITS[kind])
            yield from others_went_on(rig.world.calls_of("slack"))
            yield from paged_in_time(rig.world.calls_of("pagerduty"), accepted_at)
            if rig.store.outbox_depth().get("dead"):
                yield Wrong("lost", "something was given up")

    return play


def waited_out(method: str, kind: str) -> Callable[[Stage], Iterator[Wrong]]:
    """The whole life of an incident with a wait in it."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.world.answer_with("slack", method, retry_after(kind), 1)
            rig.runs(COMMANDS["serve"])
            story.told(rig)
            stage.met(_met(rig))
            yield from waits_kept(rig.world.calls_of("slack"), WAITS[kind])
            yield from oracle.judged(rig)

    return play


def _met(rig: Rig) -> int:
    return sum(one.wrong is not None for one in rig.world.calls_of("slack"))


def trials(seeds: range) -> Iterator[Trial]:
    """Each way to fail at each call, dealt over `SPREAD` seeds; each call on both databases within them."""
    # First: it takes a quarter of an hour, beside whatever else is run.
    for database in KINDS:
        yield Trial(
            "B1 429 Retry-After 900 to chat.postMessage, waited out",
            database,
            seeds.start,
            left_alone("chat.postMessage", "900"),
        )
    for seed in seeds:
        yield from _limits(seed)
        for place, neighbour, calls, ways in FAILURES:
            for way, number, database in _dealt(len(ways), len(calls), seed):
                wrong, call = ways[way], calls[number]
                shape = "apart" if database == "postgresql" and (way // 2 + number) % 2 else "serve"
                yield Trial(f"{place} {wrong.name} to {call}", database, seed, told_while(neighbour, call, wrong, shape))


def _limits(seed: int) -> Iterator[Trial]:
    kinds, methods = tuple(WAITS), (*SLACK_METHODS, *LOOKED_AT)
    for way, number, database in _dealt(len(kinds), len(methods), seed):
        kind, method = kinds[way], methods[number]
        play = waited_out if kind == "1" else limited_once
        yield Trial(f"B1 429 Retry-After {kind} to {method}", database, seed, play(method, kind))
    method = random.Random(f"B1/{seed}").choice(SLACK_METHODS)
    yield Trial(f"B1 429 Retry-After 30 to {method}, waited out", KINDS[seed % 2], seed, waited_out(method, "30"))


def _dealt(ways: int, calls: int, seed: int) -> Iterator[tuple[int, int, str]]:
    """This seed's share of all pairs of a way and a call, each with the database it is tried on.

    As on a chessboard: a call meets one database with each second way, and the other with the others. The seeds that come
    after have the colours the other way round.
    """
    pairs = [(way, call) for way in range(ways) for call in range(calls)]
    for way, call in pairs[seed % SPREAD :: SPREAD]:
        yield way, call, KINDS[(way + call + seed // SPREAD) % 2]
