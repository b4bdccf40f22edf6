"""More than the policy lets in: how many deliveries each source, each route and each address may send, and who hears of it.

It is asked with every delivery, by the one thread that answers them all: so there is no lock, and nothing is looked up twice.
Each process counts for itself; two of them let twice as much in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

import structlog

from bot.alerts.limits import SECOND, Bucket, Rate
from bot.handle import Door
from bot.incidents.inputs import TroubleSeen
from bot.incidents.policy import LimitsRule
from bot.store import DatabaseDown

log = structlog.get_logger()

NO_LIMITS = LimitsRule()
MOST_ADDRESSES = 10_000
"""Addresses that are remembered. Who has more than that may guess somewhat faster."""
QUIET = timedelta(minutes=10)
"""An episode of limiting is over when nothing was refused for so long."""


class Over(NamedTuple):
    """What has no room: when to come again, which limit it is (for people and figures), and the rate."""

    wait_seconds: int
    limit: str
    rate: Rate


class Limits:
    """The buckets of this process. A policy that changes leaves those as they are whose rate it does not change."""

    def __init__(self, rule_of: Callable[[], LimitsRule] = lambda: NO_LIMITS, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self._rule_of, self._steady = rule_of, steady
        self._rule = NO_LIMITS
        self._kept: dict[str, Bucket] = {}
        self._of: dict[tuple[str, str], tuple[tuple[str, Bucket], ...]] = {}
        self._strangers: dict[str, Bucket] = {}

    def check(self, source: str, route: str) -> Over | None:
        """Take one from each bucket that a verified delivery belongs to; where one is empty, from none."""
        if self._renewed().is_empty:
            return None
        now = self._steady()
        buckets = self._buckets(source, route)
        longest, limit, full = 0, "", None
        for name, bucket in buckets:
            wait = bucket.wait(now)
            if wait > longest:
                longest, limit, full = wait, name, bucket
        if full is not None:
            return _over(longest, limit, full)
        for _, bucket in buckets:
            bucket.take(now)
        return None

    def stranger(self, address: str) -> Over | None:
        """Whether an address has sent so much without proof that it is not even looked at."""
        if self._renewed().unverified is None:
            return None
        bucket = self._strangers.get(_network(address))
        wait = bucket.wait(self._steady()) if bucket else 0
        return _over(wait, "address", bucket) if bucket and wait else None

    def unproved(self, address: str) -> None:
        """An address sent something that proved nothing."""
        rate, name = self._renewed().unverified, _network(address)
        if rate is None:
            return
        # Anew at the end: the first of them is who was not heard of for longest.
        bucket = self._strangers.pop(name, None) or Bucket(rate)
        self._strangers[name] = bucket
        if not bucket.wait(now := self._steady()):
            bucket.take(now)
        if len(self._strangers) > MOST_ADDRESSES:
            del self._strangers[next(iter(self._strangers))]

    def per_minute(self, source: str, route: str) -> int | None:
        """How much may come in through an endpoint; None where there is no limit."""
        self._renewed()
        return min((bucket.rate.per_minute for _, bucket in self._buckets(source, route)), default=None)

    def _renewed(self) -> LimitsRule:
        rule = self._rule_of()
        if rule is not self._rule:
            if rule.unverified != self._rule.unverified:
                self._strangers.clear()
            self._rule = rule
            self._of.clear()
        return rule

    def _buckets(self, source: str, route: str) -> tuple[tuple[str, Bucket], ...]:
        found = self._of.get((source, route))
        if found is None:
            rates = {"source": (source, self._rule.of_source(source)), f"route {route}": (
                f"{source}/{route}", self._rule.of_route(source, route))}  # fmt: skip
            found = tuple((limit, self._bucket(name, rate)) for limit, (name, rate) in rates.items() if rate is not None)
            self._of[source, route] = found
        return found

    def _bucket(self, name: str, rate: Rate) -> Bucket:
        bucket = self._kept.get(name)
        if bucket is None or bucket.rate != rate:
            bucket = self._kept[name] = Bucket(rate)
        return bucket


def _over(wait: int, limit: str, bucket: Bucket) -> Over:
    return Over(max(1, -(-wait // SECOND)), limit, bucket.rate)


@lru_cache(maxsize=1000)
def _network(address: str) -> str:
    """An address as it is counted: who has one of version 6 has 2⁶⁴ of them."""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address and "%" not in address else address


@dataclass(slots=True)
class Episode:
    """A time in which one limit refused again and again."""

    source: str
    over: Over
    status: int
    began_at: datetime
    last_at: datetime
    refused: int = 0
    is_told: bool = False


class Refusals:
    """What limits refused, told to people: once for each episode, however many deliveries it has."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._episodes: dict[tuple[str, str], Episode] = {}

    def noted(self, source: str, over: Over, status: int) -> None:
        """One was refused."""
        now = self._door.clock()
        episode = self._episodes.get((source, over.limit))
        if episode is None or now - episode.last_at >= QUIET:
            episode = self._episodes[source, over.limit] = Episode(source, over, status, now, now)
        episode.last_at = now
        episode.refused += 1

    def tell(self) -> int:
        """Say what began since the last time, and forget what is over; how many were said. Called by a tick."""
        said = 0
        for key, one in list(self._episodes.items()):
            if not one.is_told:
                try:
                    self._door.handle(TroubleSeen(_told(one), _mend(one)), once=self._once(one))
                except DatabaseDown as error:
                    log.warning("alarm not raised", reason=str(error))
                    continue
                one.is_told = True
                said += 1
            elif self._door.clock() - one.last_at >= QUIET and self._episodes.get(key) is one:
                del self._episodes[key]
                log.info("limit not reached any more", source=one.source, limit=one.over.limit, refused=one.refused)
        return said

    def _once(self, one: Episode) -> str:
        """The same for every process that is limited at the time, and for no two episodes of one: QUIET lies between them."""
        return f"limit:{one.source}:{one.over.limit}:{int(one.began_at.timestamp() // QUIET.total_seconds())}"[:250]


def _told(one: Episode) -> str:
    who = "An address that proves nothing" if one.over.limit == "address" else _sender(one)
    began = f"{one.began_at:%H:%M} UTC"
    return f"{who} sends more than {one.over.rate}: since {began} it is told {one.status}, to come again later ({one.refused} so far)"


def _sender(one: Episode) -> str:
    kind, _, route = one.over.limit.partition(" ")
    return f"{one.source}/{route}" if kind == "route" else one.source


def _mend(one: Episode) -> str:
    if one.over.limit == "address":
        return (
            "Look for “delivery refused” in the log. Deliveries that are signed are not counted (`limits.unverified` in the policy)."
        )
    return (
        "See what sends so much, or raise its limit (`limits` in the policy). A sender that does not try again loses what it is "
        "refused; firstfive_deliveries_limited_total counts on."
    )
