"""Reading what came in: each delivery becomes inputs, each input is handled once. What cannot be read is put aside."""

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import structlog

from bot.alerts.alert import Alert, Kind
from bot.alerts.source import PagerReport, Reading, Source
from bot.alerts.tracing import with_trace
from bot.alerts.urgency import most_urgent_first
from bot.errors import Refused, Unreadable
from bot.handle import Bundle, Door
from bot.incidents import heartbeats
from bot.incidents.inputs import AlertReported, Input, PagerReported, TroubleSeen
from bot.incidents.policy import NOT_URGENT, Policy
from bot.store import Conflict, DatabaseDown, Store, Work
from bot.store.inbox import ENDED_IN_A_BUG, Endpoint, Received, is_full
from bot.store.store import LEASE
from bot.worker.deliveries import bug_in, guarded

log = structlog.get_logger()

BATCH = 200
LOOKED_BESIDE = 9
"""So many times as long as it takes to look who waits behind them, nobody looks again: it passes over all that waits."""
TOGETHER_SECONDS = 0.02
"""How long deliveries are decided on in one transaction: nobody else writes to SQLite meanwhile."""
TOGETHER_SECONDS_BESIDE = 0.1
"""The same on PostgreSQL, where only whoever else opens an incident waits. A transaction costs as much as ten alerts. Somebody
who changes one of these incidents meanwhile makes it be done anew, one by one: so it is no longer than that."""
TOGETHER_ALERTS, FEWEST_TOGETHER = 200, 16
"""So many alerts are read before the first of them is decided on; and where time was up before they were, at least so many."""
MOST_READ_AHEAD = 4_000_000
"""Bytes of deliveries that are looked at together, for the worst of them to be decided on first."""
ALIKE_SAID_EVERY = timedelta(minutes=10)
NUMBERS = re.compile(r"\d+")
"""Where in a body something is wrong, mostly: the same wrong elsewhere is no news."""
ATTEMPTS = 5
"""Bugs after which a delivery that ends in one again and again is put aside. Tries that ended otherwise do not count."""
SUSPECT, DEADLY = 3, 3
"""From so many tries on, a delivery is read by itself and noted before; where whoever reads it then ends without a word so often
in a row, it is put aside: it most likely ends the process each time, and with it everybody's page."""


CONFLICTS = 8
"""The same, for one that always comes into conflict with somebody else: a minute of it, and the door decides anew each time."""

Readings = dict[int, Reading]
"""What deliveries say, by their numbers in the inbox."""


class Intake:
    """Takes deliveries out of the inbox. `report` turns PagerDuty's news into an input, or says why it is none; it may
    ask PagerDuty for that. So `only` its deliveries are read by one intake, and all `but` those by another: no alert
    waits for PagerDuty.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        report: Callable[[PagerReport], PagerReported | str],
        store: Store,
        door: Door,
        lease: timedelta = LEASE,
        only: str | None = None,
        but: str | None = None,
        together_seconds: float | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given_seconds, self._steady = together_seconds, steady
        self._crowded: frozenset[Endpoint] = frozenset()
        self._may_be_more = False
        self._look_at, self._was_beside = 0.0, False
        self._at_once = TOGETHER_ALERTS
        """How many alerts one transaction is likely to have time for."""
        self._conflicts: Counter[int] = Counter()
        """How often in a row somebody else changed what a delivery is about, by its number."""
        self._bugs: Counter[int] = Counter()
        """How often a delivery ended in a bug, by its number."""
        self._sources, self._report, self._store, self._door, self._lease = sources, report, store, door, lease
        self._only, self._but = only, but

    @property
    def _together_seconds(self) -> float:
        usual = TOGETHER_SECONDS if self._store.writes_alone else TOGETHER_SECONDS_BESIDE
        return usual if self._given_seconds is None else self._given_seconds

    def run_once(self) -> int:
        """Read what waits. How many deliveries it was."""
        received = self._claimed()
        self._may_be_more = is_full(received, BATCH)
        read: Readings = {}
        rest, held, behind = deque(self._worst_first(received, read)), set[Endpoint](), list[Received]()
        while rest:
            if not held and self._take_together(rest, read):
                continue
            one = rest.popleft()
            if one.endpoint in held:
                behind.append(one)
            elif not self._take(one):
                held.add(one.endpoint)
        if behind:
            # What comes after one that has to wait waits, too. Should this fail: their lease runs out.
            guarded(lambda: self._put_back(behind))
        return len(received)

    def run_until_empty(self) -> int:
        """The same, and 0 where that was all there was: what comes later wakes whoever waits for it.

        To look once more at once is in the way of the page that was just asked for: a millisecond of its sixteen.
        """
        count = self.run_once()
        return count if self._may_be_more or self._crowded else 0

    def _claimed(self) -> list[Received]:
        """What to read next: the oldest, and in turn with it what waits behind those who send more than can be read.

        A source that floods us holds up nobody else's page for longer than what is in hand of it takes, and the look.
        """
        if self._crowded and not self._was_beside and (began := self._steady()) >= self._look_at:
            others = self._store.claim_deliveries(BATCH, self._lease, only=self._only, but=self._but, beside=self._crowded)
            ended = self._steady()
            self._look_at = ended + LOOKED_BESIDE * (ended - began)
            if others:
                # Next is the oldest's turn, whatever else comes in beside it; after that, those behind both of them.
                self._was_beside = True
                self._crowded |= _crowd_of(others)
                return others
        received = self._store.claim_deliveries(BATCH, self._lease, only=self._only, but=self._but)
        self._crowded = _crowd_of(received) | (self._crowded if self._was_beside else frozenset())
        self._was_beside = False
        return received

    def _worst_first(self, received: list[Received], read: Readings) -> list[Received]:
        """What came, by the worst that each would open; those about the same alert in their order. What is found out on the
        way is put into `read`. News of PagerDuty goes first, and last what cannot be read: it holds nobody up.
        """
        if len(received) < 2 or sum(len(one.delivery.body) for one in received) > MOST_READ_AHEAD:
            return received
        if any(one.attempts >= SUSPECT for one in received):
            # What cannot be looked at ahead has no place among what can: an end might come before what it ends.
            return received
        policy, now = self._door.policy(), self._door.clock()
        ranks, prints = dict[int, int](), dict[int, list[str]]()

        def look(one: Received) -> None:
            try:
                reading, route = self._parse(one), one.delivery.route
            except Unreadable:
                return
            read[one.id] = reading
            worst = min((policy.urgency(alert, route, now) for alert in reading.alerts), default=NOT_URGENT)
            ranks[one.id] = 0 if reading.pager else worst
            prints[one.id] = [alert.fingerprint(route) for alert in reading.alerts]

        for one in received:
            bug_in(partial(look, one))
        return most_urgent_first(received, lambda one: ranks.get(one.id, NOT_URGENT), lambda one: prints.get(one.id, ()))

    def _take_together(self, rest: "deque[Received]", read: Readings) -> int:
        """Read the first of some deliveries in one transaction, as many as are plain; how many it was.

        0 where the first needs care, or where anything at all was in the way: then it is read by itself.
        """
        before = len(rest)

        def together() -> None:
            if plain := list(self._plain(rest, read)):
                plain = [replace(one, saved=rest.popleft) for one in plain]
                self._decide_together(plain)

        try:
            bug_in(together)
        except (Conflict, DatabaseDown) as error:
            log.info("read one by one", reason=str(error))
        return before - len(rest)

    def _decide_together(self, bundles: Sequence[Bundle]) -> None:
        """Decide on as many as there is time for; next time no more than about as many are made ready for it.

        Else each of a full batch is made ready anew for every transaction of it: 0.20 ms a repeat, of 0.45, and now 0.11.
        """
        given = sum(len(one.inputs) for one in bundles)
        count = self._door.handle_together(bundles, self._together_seconds)
        done = sum(len(one.inputs) for one in bundles[:count])
        if done < given:
            self._at_once = min(max(done + done // 4, FEWEST_TOGETHER), TOGETHER_ALERTS)
        elif given >= self._at_once:
            self._at_once = min(2 * self._at_once, TOGETHER_ALERTS)

    def _plain(self, rest: Iterable[Received], read: Readings) -> Iterator[Bundle]:
        """The first deliveries that are read for the first time, can be read, and take no question to PagerDuty.

        None of so many alerts that one transaction for all of them would keep everybody else waiting.
        """
        alerts = 0
        for one in rest:
            if one.attempts > 1 or alerts >= self._at_once:
                return
            try:
                reading = read.get(one.id) or self._parse(one)
            except Unreadable:
                return
            if reading.pager:
                return
            notes = [reading.ignored] if reading.ignored else []
            inputs = tuple(input for _, input in self._inputs(reading, one, notes))
            if len(inputs) > TOGETHER_ALERTS:
                return
            alerts += len(inputs)
            yield Bundle(inputs, partial(_finish, one, notes, ignored_by=one.source if reading.ignored else ""))

    def _take(self, received: Received) -> bool:
        """Read one delivery. False where the database went away meanwhile: it has to wait, however often that happens."""
        if received.begun >= DEADLY:
            reason = f"{received.begun} times in a row reading it began and came to no end that anybody could write down"
            guarded(lambda: self._put_aside(received, reason))
            return True
        is_ours = False
        try:
            if received.attempts >= SUSPECT:
                self._store.delivery_begins(received.id, received.begun + 1)
            bug = bug_in(lambda: self._read(received))
        except (DatabaseDown, Conflict) as error:
            log.warning("waiting for the database", reason=str(error))
            if isinstance(error, Conflict):
                self._conflicts[received.id] += 1
            if self._conflicts[received.id] < CONFLICTS:
                guarded(lambda: self._wait(received, "could not be handled yet"))
                return False
            # Nobody is as busy as that: it is our doing, and stands before everything that comes after it.
            bug, is_ours = f"it always comes into conflict: {error}", True
        self._conflicts.pop(received.id, None)
        if not bug:
            self._bugs.pop(received.id, None)
            return True
        # A bug: it stays, and is read again later. After some of them it is put aside.
        self._bugs[received.id] += 1
        if is_ours or self._bugs[received.id] >= ATTEMPTS:
            del self._bugs[received.id]
            guarded(lambda: self._put_aside(received, "reading it always ends in a bug; see the log"))
        else:
            guarded(lambda: self._wait(received, ENDED_IN_A_BUG))
        return True

    def _wait(self, received: Received, reason: str) -> int:
        self._store.delivery_waits(received.id, reason, min(2.0 * received.attempts, 30.0))
        return 1

    def _put_back(self, behind: list[Received]) -> int:
        self._store.put_deliveries_back(behind)
        return len(behind)

    def _read(self, received: Received) -> None:
        """Handle one delivery whole."""
        try:
            reading = self._parse(received)
        except Unreadable as error:
            self._put_aside(received, error.reason)
            return
        notes = [reading.ignored] if reading.ignored else []
        inputs: Iterator[tuple[str, Input]] = self._inputs(reading, received, notes)
        if received.attempts == 1 and len(reading.alerts) > TOGETHER_ALERTS:
            inputs = iter(self._without_most(received, tuple(inputs), notes))
        for key, input in inputs:
            # The poll finds in PagerDuty's log what a webhook told, or the other way round: the first one counts.
            once = input.report.once_key if isinstance(input, PagerReported) else f"inbox:{received.id}:{key}"
            try:
                decision = self._door.handle(input, once=once).decision
            except Refused as error:
                notes.append(error.reason)
            else:
                notes += [decision.reason] if decision.dropped else []
        with self._store.writing() as work:
            work.delivery_done(received.id, "; ".join(notes), received.source if reading.ignored else "")

    def _without_most(self, received: Received, inputs: Sequence[tuple[str, Input]], notes: list[str]) -> Sequence[tuple[str, Input]]:
        """Handle a delivery's many alerts, a moment's worth to a transaction; those left when anything was in the way."""
        rest = deque(inputs)

        def together() -> None:
            while rest:
                some = [rest[place] for place in range(min(len(rest), self._at_once))]
                bundles = [
                    Bundle((one,), partial(self._mark, f"inbox:{received.id}:{key}", notes), rest.popleft) for key, one in some
                ]
                self._decide_together(bundles)

        try:
            bug_in(together)
        except (Conflict, DatabaseDown) as error:
            log.info("read one by one", reason=str(error))
        return rest

    def _mark(self, key: str, notes: list[str], work: Work, refused: Sequence[str]) -> None:
        work.mark_handled(key, self._door.clock())
        notes += refused

    def _parse(self, received: Received) -> Reading:
        source = self._sources.get(received.source)
        if source is None:
            raise Unreadable(f"no source is called {received.source}; was its package removed?")
        mapping = self._door.policy().generic.get(received.delivery.route, {})
        return source.parse(received.delivery, mapping)

    def _inputs(self, reading: Reading, received: Received, notes: list[str]) -> Iterator[tuple[str, Input]]:
        """What a delivery means, the worst first, each with what tells it from the others, whatever the policy says by then."""
        route, policy, now = received.delivery.route, self._door.policy(), self._door.clock()
        for index, alert in in_turn(reading.alerts, route, policy, now):
            if alert.kind is not Kind.INCIDENT_UPDATE:
                yield f"{index}", AlertReported(with_trace(alert, policy.traces), route)
                rule = heartbeats.rule_for(alert, route, policy)
                if rule is not None:
                    # A sign of life ends the alert that there was none.
                    gone = heartbeats.back(alert, route, rule, self._door.clock())
                    yield f"{index}:heard", AlertReported(gone, heartbeats.ENDPOINT)
                    if rule.expect:
                        yield f"{index}:came", AlertReported(heartbeats.came(rule, self._door.clock()), heartbeats.ENDPOINT)
        for index, report in enumerate(reading.pager):
            found = self._report(report)
            if isinstance(found, str):
                notes.append(found)
            else:
                yield f"news:{index}", found

    def _put_aside(self, received: Received, reason: str) -> int:
        """Keep a delivery for somebody to look at, and say so: both, or neither. What a sender does wrong over and over is
        said once in a while."""
        sender = f"{received.source}/{received.delivery.route}"
        text = f"A delivery from {sender} was put aside: {reason}"
        mend = f"It is kept as number {received.id} in the inbox; `python -m bot inbox list` shows it, and those that are like it."
        alike = sha256(NUMBERS.sub("#", f"{sender}:{reason}").encode(errors="replace")).hexdigest()[:32]
        span = int(self._door.clock().timestamp() // ALIKE_SAID_EVERY.total_seconds())
        self._door.handle(
            TroubleSeen(text, mend), once=f"parked:{alike}:{span}", finish=lambda work: work.park_delivery(received.id, reason)
        )
        return 1


def _crowd_of(received: Sequence[Received]) -> frozenset[Endpoint]:
    """The endpoints that fill the line, where there is one: where as many wait as are read at once. The fewest that have all of
    it but a quarter: who has little in it is not one of them.
    """
    crowd, rest = set[Endpoint](), len(received)
    if is_full(received, BATCH):
        least = rest // 4
        for endpoint, count in Counter(one.endpoint for one in received).most_common():
            if rest < least:
                break
            crowd.add(endpoint)
            rest -= count
    return frozenset(crowd)


def in_turn(alerts: Sequence[Alert], route: str, policy: Policy, now: datetime) -> list[tuple[int, Alert]]:
    """The alerts of one delivery in the order in which they are decided on, the worst first; each with its place in the delivery."""
    numbered = list(enumerate(alerts))
    if len(numbered) < 2:
        return numbered
    return most_urgent_first(numbered, lambda one: policy.urgency(one[1], route, now), lambda one: (one[1].fingerprint(route),))


def _finish(received: Received, notes: Sequence[str], work: Work, refused: Sequence[str], *, ignored_by: str) -> None:
    work.delivery_read(received.id, received.until, "; ".join((*notes, *refused)), ignored_by)
