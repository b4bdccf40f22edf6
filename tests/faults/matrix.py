"""Which faults there are: every point, every call, on both databases, with a seed for what is left to chance."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot import points
from tests.faults.rig import Kill

KINDS = ("sqlite", "postgresql")
SHAPES = ("serve", "apart")
"""One process for everything; or the web and two workers, where the database can be shared."""
SIDES = ("slack", "pagerduty")
"""Where the page is acknowledged."""
Counts = Mapping[str, Mapping[str, int]]
"""By where it is acknowledged, how often each point and call is reached in a run that nobody disturbs."""

NOT_IN_THE_STORY = ("conversations.history", "chat.getPermalink", "auth.test")
"""Reads for a message that somebody pins, or after a lost answer only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: what is done to the bot, and on what."""

    fault: str
    database: str
    shape: str
    seed: int
    kills: tuple[Kill, ...]
    side: str = "slack"
    """Where somebody acknowledges the page: in Slack, or on the phone that PagerDuty rang."""

    @property
    def name(self) -> str:
        """To find it again by."""
        on_the_phone = " · acknowledged in PagerDuty" if self.side == "pagerduty" else ""
        return f"{self.fault} · {self.database} · {self.shape} · seed {self.seed}{on_the_phone}"


def places() -> tuple[Kill, ...]:
    """Every place at which a process may die in the story, once. Those that it does not come to are `asides.py`'s."""
    elsewhere = {points.MIGRATION, points.before("enable"), *map(points.before, NOT_IN_THE_STORY)}
    told = [one for one in points.every() if one not in elsewhere]
    return (*(Kill(point=one) for one in told), *(Kill(call=one) for one in points.changing() if one != "enable"))


def plans(seeds: range, counts: Counts) -> Iterator[Plan]:
    """One kill each at every place."""
    for seed in seeds:
        for place in places():
            for database in KINDS:
                shape = "apart" if database == "postgresql" and seed % 2 else "serve"
                side = _side(place, seed, database, counts)
                yield Plan(f"killed at {place.name}", database, shape, seed, (_at(place, seed, database, counts[side]),), side)


def doubles(seeds: range, counts: Counts) -> Iterator[Plan]:
    """A second kill at the same place as soon as it is reached again: in the midst of recovery.

    A call that the story makes no more after the first kill is found by whoever looks, and not made again: there the second
    kill is before the commit of what was found.
    """
    for seed in seeds:
        for place in places():
            for database in KINDS:
                side = _side(place, seed, database, counts)
                first = _at(place, seed, database, counts[side])
                is_made_again = bool(place.point) or counts[side].get(place.call, 0) > first.time
                again = Kill(place.point, place.call) if is_made_again else Kill(point=points.DECISION_BEFORE)
                yield Plan(f"killed twice at {place.name}", database, "serve", seed, (first, again), side)


def frozen(seeds: range, counts: Counts) -> Iterator[Plan]:
    """Standing still for longer than the lease while another worker takes over, then going on where it stood.

    In a transaction too: what it has locked is others' again before its lease is. On SQLite there is one process and nobody to
    take over: what it held is its own to find again once it goes on. Chance has less part in that: the first seed is enough.
    """
    for seed in seeds:
        for place in places():
            for database, shape in (("postgresql", "apart"), ("sqlite", "serve")):
                if database == "sqlite" and seed != seeds.start:
                    continue
                side = _side(place, seed, database, counts)
                stop = _at(place, seed, database, counts[side])
                kill = Kill(stop.point, stop.call, stop.time, "STOP")
                yield Plan(f"stood still at {place.name}", database, shape, seed, (kill,), side)


def _side(place: Kill, seed: int, database: str, counts: Counts) -> str:
    """Where it is acknowledged: every other time in PagerDuty, but where the story then does not come to that place."""
    side = random.Random(f"{place.name}/{seed}/{database}/side").choice(SIDES)
    return side if counts[side].get(place.point or place.call) else "slack"


def _at(place: Kill, seed: int, database: str, counts: Mapping[str, int]) -> Kill:
    chance = random.Random(f"{place.name}/{seed}/{database}")
    return Kill(place.point, place.call, chance.randint(1, max(1, counts.get(place.point or place.call, 1))))
