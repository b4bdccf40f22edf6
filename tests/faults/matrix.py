"""Which faults there are: every point, every call, on both databases, with a seed for what is left to chance."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot import points
from tests.faults.rig import Kill

KINDS = ("sqlite", "postgresql")
SHAPES = ("serve", "apart")
"""One process for everything; or the web and two workers, where the database can be shared."""


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

    @property
    def name(self) -> str:
        """To find it again by."""
        return f"{self.fault} · {self.database} · {self.shape} · seed {self.seed}"


def places() -> tuple[Kill, ...]:
    """Every place at which a process may die in the story, once. Those that it does not come to are `asides.py`'s."""
    elsewhere = {points.MIGRATION, points.before("enable"), *map(points.before, NOT_IN_THE_STORY)}
    told = [one for one in points.every() if one not in elsewhere]
    return (*(Kill(point=one) for one in told), *(Kill(call=one) for one in points.changing() if one != "enable"))


def plans(seeds: range, counts: Mapping[str, int]) -> Iterator[Plan]:
    """One kill each at every place. `counts` says how often each is reached in a run that nobody disturbs."""
    for seed in seeds:
        for place in places():
            for database in KINDS:
                shape = "apart" if database == "postgresql" and seed % 2 else "serve"
                yield Plan(f"killed at {place.name}", database, shape, seed, (_at(place, seed, database, counts),))


def doubles(seeds: range, counts: Mapping[str, int]) -> Iterator[Plan]:
    """A second kill at the same place as soon as it is reached again: in the midst of recovery."""
    for seed in seeds:
        for place in places():
            for database in KINDS:
                first = _at(place, seed, database, counts)
                again = Kill(place.point, place.call)
                yield Plan(f"killed twice at {place.name}", database, "serve", seed, (first, again))


def frozen(seeds: range, counts: Mapping[str, int]) -> Iterator[Plan]:
    """Standing still for longer than the lease while another worker takes over, then going on where it stood.

    In a transaction too: what it has locked is others' again before its lease is.
    """
    for seed in seeds:
        for place in places():
            stop = _at(place, seed, "postgresql", counts)
            yield Plan(f"stood still at {place.name}", "postgresql", "apart", seed, (Kill(stop.point, stop.call, stop.time, "STOP"),))


def _at(place: Kill, seed: int, database: str, counts: Mapping[str, int]) -> Kill:
    chance = random.Random(f"{place.name}/{seed}/{database}")
    return Kill(place.point, place.call, chance.randint(1, max(1, counts.get(place.point or place.call, 1))))
