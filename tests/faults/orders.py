"""News in any order: late, twice, turned around. The real door on a real record; PagerDuty is a model that knows the truth.

Hypothesis plays stories step by step and shrinks what goes wrong. After every step the record is compared with what was
heard until then, put in the order in which it happened; at the end with what PagerDuty itself thinks.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from bot.alerts.alert import Status as AlertStatus
from bot.alerts.source import PagerReport
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.effects import AcknowledgePage, PageNextLevel, PageOnCall, ResolvePage
from bot.incidents.incident import Episode, Incident, PageState, Status, incident_keyed
from bot.incidents.inputs import (
    Acknowledge,
    AlertReported,
    Input,
    LevelAsked,
    LevelNotAsked,
    PageAccepted,
    PageDelayed,
    PageDropped,
    PageRefused,
    PagerReported,
    Reopen,
    Resolve,
)
from bot.incidents.policy import Policy, RouteRule, Service
from bot.store import Store
from bot.store.codec import decode_tagged
from bot.store.tables import metadata
from bot.worker.due import DueTimers
from tests.builders import ANA, BEN, CHLOE, NOON, alert
from tests.databases import sqlite
from tests.faults.oracle import Wrong
from tests.faults.trials import Stage, Trial

PARTS, PART = 20, 500
"""So many parts, each of so many different interleavings, whatever the number of seeds."""
STEPS = 40
TOP = Path(__file__).parents[2]
POLICY = Policy(services={"checkout": Service(pager="checkout")}, routes=(RouteRule(name="all", severity="SEV2"),))
PEOPLE = some.sampled_from((ANA, BEN, CHLOE))
PAGES = (PageOnCall, PageNextLevel)


@dataclass(slots=True)
class News:
    """Something on its way to the bot. `once` makes it count once; None where nothing does."""

    input: Input
    once: str | None = None


@dataclass(slots=True)
class Page:
    """PagerDuty's side of one page, and what of it the bot was told."""

    key: str
    status: str = "triggered"
    level: int = 1
    heard_acks: list[tuple[datetime, str]] = field(default_factory=list)
    heard_backs: list[datetime] = field(default_factory=list)
    heard_level: int = 1
    is_heard: bool = False
    """Whether any news that PagerDuty has it came through."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What happened, told in its order: who was first, who is on it, since when it rings again."""

    first: tuple[datetime, str] | None = None
    on_it: str | None = None
    rings_since: datetime | None = None


def in_order(acks: list[tuple[datetime, str]], backs: list[datetime]) -> Truth:
    """The state after these, in the order in which they happened. At one moment the acknowledgement counts as the later."""
    told = sorted([(at, 0, "") for at in backs] + [(at, 1, by) for at, by in acks], key=lambda one: one[:2])
    truth = Truth()
    for at, is_ack, by in told:
        if not is_ack and truth.first is not None:
            truth = Truth(truth.first, None, at)
        elif is_ack and truth.on_it is None:
            truth = Truth(truth.first or (at, by), by, None)
    return truth


class AnyOrder(RuleBasedStateMachine):
    """Alerts, PagerDuty, people in Slack and time; each rule is one thing that happens, or one that arrives."""

    store: ClassVar[Store]
    played: ClassVar[set[str]] = set()
    """Every different interleaving that was played to its end."""
    late: ClassVar[Counter[str]] = Counter()
    """How often news arrived after news of something later, or a second time."""

    @initialize()
    def begin(self) -> None:
        """An empty record, at noon; an alert has fired, and PagerDuty has its page. The news of that is on its way."""
        with self.store.writing() as work:
            for table in metadata.sorted_tables:
                work.connection.execute(table.delete())
        self.now = NOON
        self.door = Door(self.store, lambda: self.now, lambda: POLICY, lambda: ())
        self.timers = DueTimers(store=self.store, door=self.door)
        self.on_its_way: list[News] = []
        self.arrived: list[News] = []
        self.pages: dict[str, Page] = {}
        self.slack_acks: dict[str, list[tuple[datetime, str]]] = {}
        self.trace: list[str] = []
        self.entries: list[tuple[Any, ...]] = []
        self.effects = 0
        self.open: set[int] = set()
        self.may_open: set[int] = set()
        self.was_taken: dict[str, bool] = {}
        self.known: set[int] = set()
        self.count = 0
        self.alert_changes(0, clears=False)
        self.arrives(0)
        self.the_page_lane_moves("taken")

    # --- what happens -------------------------------------------------------------------------

    @precondition(lambda self: self.count < 8)
    @rule(which=some.integers(0, 1), clears=some.booleans())
    def alert_changes(self, which: int, clears: bool) -> None:
        """An alert fires, or clears; the news of it is on its way."""
        self.passes(1)
        self.count += 1
        one = alert(
            identity=f"f{which}", title=f"Alert {which}", status=AlertStatus.RESOLVED if clears else AlertStatus.FIRING,
            started_at=self.now - timedelta(seconds=30), ended_at=self.now if clears else None,
        )  # fmt: skip
        self.sends(AlertReported(one, "main"), f"inbox:{self.count}:0")

    @precondition(lambda self: self.on_its_way)
    @rule(at=some.integers(0, 50))
    def arrives(self, at: int) -> None:
        """Any of what is on its way arrives."""
        index = at % len(self.on_its_way)
        self.late["late"] += index > 0
        news = self.on_its_way.pop(index)
        self.arrived.append(news)
        self.hears(news)

    @precondition(lambda self: self.arrived)
    @rule(at=some.integers(0, 50))
    def arrives_again(self, at: int) -> None:
        """What arrived before arrives once more."""
        news = self.arrived[at % len(self.arrived)]
        if news.once is None:
            return
        self.late["again"] += 1
        self.trace.append(f"again {news.once}")
        before = self.entries_now()
        assert self.door.handle(news.input, once=news.once).was_handled
        assert self.entries_now() == before, "a second copy was written down"

    @precondition(lambda self: self.incidents())
    @rule(who=PEOPLE, which=some.integers(0, 3))
    def acknowledged_in_slack(self, who: str, which: int) -> None:
        """A person presses Acknowledge."""
        incident = self.one(which)
        if self.asks(Acknowledge(incident.number, who)):
            self.slack_acks.setdefault(incident.episode.dedup_key, []).append((self.now, who))

    @precondition(lambda self: self.incidents())
    @rule(who=PEOPLE, which=some.integers(0, 3))
    def resolved_in_slack(self, who: str, which: int) -> None:
        """A person says that it is over."""
        self.asks(Resolve(self.one(which).number, who))

    @precondition(lambda self: self.incidents())
    @rule(who=PEOPLE, which=some.integers(0, 3))
    def reopened(self, who: str, which: int) -> None:
        """A person says that it is back."""
        number = self.one(which).number
        self.may_open.add(number)
        self.asks(Reopen(number, who))

    @rule(seconds=some.sampled_from((0, 1, 59, 121, 301, 700)))
    def time_passes(self, seconds: int) -> None:
        """What falls due is done."""
        self.trace.append(f"passes {seconds}")
        self.passes(seconds)
        self.timers.run_once()

    @precondition(lambda self: self.lane())
    @rule(answer=some.sampled_from(("taken", "taken", "taken", "away", "refused")))
    def the_page_lane_moves(self, answer: str) -> None:
        """The first effect that waits for PagerDuty is sent; what comes back is on its way."""
        seq, effect = self.lane()[0]
        self.trace.append(f"{type(effect).__name__} {answer}")
        incident = self.store.incident(effect.incident)
        assert incident is not None
        if isinstance(effect, PageOnCall):
            is_over = not incident.is_open or self.episode(incident, effect.dedup_key).ended_at is not None
            if is_over or self.is_taken(self.episode(incident, effect.dedup_key)):
                self.door.handle(PageDropped(incident.number, effect.dedup_key, "it was over before it could"))
            elif answer == "away":
                self.door.handle(PageDelayed(incident.number, effect.dedup_key, "PagerDuty answered 503", 3))
                return
            elif answer == "refused":
                self.door.handle(PageRefused(incident.number, effect.dedup_key, "PagerDuty answered 400"))
            else:
                self.taken(effect)
        elif answer == "away":
            return
        else:
            self.told(effect, incident)
        with self.store.writing() as work:
            work.connection.execute(text("UPDATE outbox SET state = 'done' WHERE seq = :seq"), {"seq": seq})

    @precondition(lambda self: self.in_state("triggered"))
    @rule(who=PEOPLE, which=some.integers(0, 3))
    def acknowledged_on_the_phone(self, who: str, which: int) -> None:
        """A person picks up; the news of it is on its way."""
        self.reports(self.in_state("triggered", which), "acknowledged", who)

    @precondition(lambda self: self.in_state("acknowledged"))
    @rule(which=some.integers(0, 3))
    def acknowledgement_runs_out(self, which: int) -> None:
        """PagerDuty rings again."""
        self.reports(self.in_state("acknowledged", which), "unacknowledged")

    @precondition(lambda self: self.in_state("triggered"))
    @rule(which=some.integers(0, 3))
    def pagerduty_escalates(self, which: int) -> None:
        """Nobody picked up."""
        self.reports(self.in_state("triggered", which), "escalated")

    @precondition(lambda self: self.in_state("triggered", "acknowledged"))
    @rule(who=PEOPLE, which=some.integers(0, 3))
    def resolved_on_the_phone(self, who: str, which: int) -> None:
        """A person ends it in PagerDuty."""
        self.reports(self.in_state("triggered", "acknowledged", which=which), "resolved", who)

    # --- PagerDuty ----------------------------------------------------------------------------

    def taken(self, effect: PageOnCall) -> None:
        """PagerDuty takes a page: its answer, and the news of it, may come in any order."""
        self.passes(1)
        page = self.pages.setdefault(effect.dedup_key, Page(effect.dedup_key))
        self.sends(PageAccepted(effect.incident, effect.dedup_key, self.now))
        self.says(page, "triggered")

    def told(self, effect: AcknowledgePage | ResolvePage | PageNextLevel, incident: Incident) -> None:
        """What else the bot tells PagerDuty: dropped where it has no such page."""
        page = self.pages.get(effect.dedup_key)
        match effect:
            case AcknowledgePage() if page is not None and page.status == "triggered":
                self.reports(page, "acknowledged", effect.by)
            case ResolvePage() if page is not None and page.status != "resolved":
                self.reports(page, "resolved")
            case PageNextLevel() if page is not None and page.status == "triggered":
                self.reports(page, "escalated")
                self.sends(LevelAsked(incident.number, page.key, page.level, self.now))
            case PageNextLevel() if page is None:
                self.door.handle(LevelNotAsked(incident.number, effect.dedup_key, effect.level, "never taken"))

    def reports(self, page: Page | None, kind: str, who: str | None = None) -> None:
        """Something happens to a page in PagerDuty."""
        assert page is not None
        self.passes(1)
        self.trace.append(f"{page.key}: {kind}")
        page.status = {"unacknowledged": "triggered", "escalated": page.status}.get(kind, kind)
        page.level += kind == "escalated"
        self.says(page, kind, who)

    def says(self, page: Page, kind: str, who: str | None = None) -> None:
        number = incident_keyed(page.key)
        assert number is not None
        report = PagerReport(
            kind=kind, at=self.now, pager_id=page.key[-20:], key=page.key, person=who, is_human=who is not None,
            level=page.level if kind == "escalated" else None,
        )  # fmt: skip
        self.sends(PagerReported(number, report, person=who), report.once_key)

    def in_state(self, *states: str | int, which: int = 0) -> Page | None:
        """One of the pages in a state; None where there is none."""
        wanted = [one for one in states if isinstance(one, str)]
        index = next((one for one in states if isinstance(one, int)), which)
        found = [one for one in self.pages.values() if one.status in wanted]
        return found[index % len(found)] if found else None

    # --- the bot ------------------------------------------------------------------------------

    def sends(self, input: Input, once: str | None = None) -> None:
        self.on_its_way.append(News(input, once))

    def hears(self, news: News) -> None:
        """The bot handles news, and the model remembers what it knows now."""
        given = news.input
        self.trace.append(f"hears {type(given).__name__} {news.once}")
        ended_at = self.ended_at(given)
        if isinstance(given, AlertReported) and given.alert.status is AlertStatus.FIRING:
            self.may_open |= self.incidents_of(given.alert.fingerprint(given.route))
        try:
            self.door.handle(given, once=news.once)
        except Refused as error:
            raise AssertionError(f"news was refused: {error.reason}") from error
        match given:
            case PagerReported(report=report) if report.key is not None:
                self.heard(self.pages[report.key], report, given.person, ended_at)
            case PageAccepted(dedup_key=key):
                self.pages[key].is_heard = True
            case LevelAsked(dedup_key=key, level=level):
                self.pages[key].heard_level = max(self.pages[key].heard_level, level)

    def heard(self, page: Page, report: PagerReport, person: str | None, ended_at: datetime | None) -> None:
        page.is_heard = True
        if report.kind == "acknowledged" and person and (ended_at is None or report.at <= ended_at):
            page.heard_acks.append((report.at, person))
        elif report.kind == "unacknowledged":
            page.heard_backs.append(report.at)
        elif report.kind == "escalated":
            page.heard_level = max(page.heard_level, report.level or 0)

    def asks(self, wish: Input) -> bool:
        """A person asks; whether it was done."""
        self.trace.append(f"{type(wish).__name__} {getattr(wish, 'incident', '')} {getattr(wish, 'by', '')}")
        try:
            self.door.handle(wish)
        except Refused:
            return False
        return True

    def passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def incidents(self) -> tuple[Incident, ...]:
        return self.store.incidents()

    def incidents_of(self, fingerprint: str) -> set[int]:
        """The incidents that this alert opens again where it fires again."""
        return {one.number for one in self.incidents() if any(alert.fingerprint == fingerprint for alert in one.alerts)}

    def one(self, which: int) -> Incident:
        found = self.incidents()
        return found[which % len(found)]

    def episode(self, incident: Incident, key: str) -> Episode:
        found = incident.episode_keyed(key)
        assert found is not None
        return found

    def ended_at(self, given: Input) -> datetime | None:
        incident = self.store.incident(given.incident) if isinstance(given, PagerReported) else None
        episode = incident.episode_keyed(given.report.key or "") if incident and isinstance(given, PagerReported) else None
        return episode.ended_at if episode else None

    def is_taken(self, episode: Episode) -> bool:
        return episode.acknowledged_at is not None and not episode.is_ringing_again

    def lane(self) -> list[tuple[int, Any]]:
        """Effects that wait for PagerDuty, of every incident, in their order."""
        with self.store.reading() as work:
            rows = work.connection.execute(
                text("SELECT seq, payload FROM outbox WHERE lane_kind = 'pager' AND state = 'pending' ORDER BY seq")
            ).all()
        return [(seq, decode_tagged(json.loads(payload))) for seq, payload in rows]

    def entries_now(self) -> list[tuple[Any, ...]]:
        with self.store.reading() as work:
            return [tuple(one) for one in work.connection.execute(text("SELECT * FROM entries ORDER BY id"))]

    # --- what must hold -----------------------------------------------------------------------

    @invariant()
    def all_holds(self) -> None:
        """Whatever was done last."""
        incidents = self.incidents()
        self.nothing_is_rewritten()
        self.nothing_is_undone(incidents)
        self.acknowledged_is_what_was_heard(incidents)
        self.paged_is_what_pagerduty_took(incidents)
        self.nobody_is_paged_for_what_is_taken(incidents)
        self.one_open_incident_a_fingerprint(incidents)
        self.timers_wait_for_what_is_open(incidents)

    def nothing_is_rewritten(self) -> None:
        """The timeline only grows."""
        found = self.entries_now()
        assert found[: len(self.entries)] == self.entries, "an entry was changed, or is gone"
        self.entries = found

    def nothing_is_undone(self, incidents: tuple[Incident, ...]) -> None:
        """What is over comes back only where a person says so, or where an alert of its own fires."""
        now_open = {one.number for one in incidents if one.is_open}
        back = (now_open & self.known) - self.open - self.may_open
        assert not back, f"INC-{back} came back by itself"
        self.open, self.known, self.may_open = now_open, {one.number for one in incidents}, set()

    def acknowledged_is_what_was_heard(self, incidents: tuple[Incident, ...]) -> None:
        """The first acknowledgement that was heard of, exactly; and nobody is on it while it rings."""
        for incident in incidents:
            for episode in incident.episodes:
                page = self.pages.get(episode.dedup_key, Page(episode.dedup_key))
                truth = in_order([*self.slack_acks.get(episode.dedup_key, []), *page.heard_acks], page.heard_backs)
                first = truth.first or (None, None)
                assert (episode.acknowledged_at, episode.acknowledged_by) == first, f"{incident.ref}: first is {first}"
                if incident.is_open and episode.number == incident.episode.number:
                    assert episode.rings_since == truth.rings_since, f"{incident.ref} rings since {truth.rings_since}"
                    assert episode.holder == truth.on_it, f"{truth.on_it} is on {incident.ref}"
                assert episode.level == page.heard_level
            if incident.status is Status.ACKNOWLEDGED:
                assert incident.episode.acknowledged_at is not None

    def paged_is_what_pagerduty_took(self, incidents: tuple[Incident, ...]) -> None:
        """Nothing says paged before PagerDuty said so, and everything does after."""
        for incident in incidents:
            for episode in incident.episodes:
                is_heard = episode.dedup_key in self.pages and self.pages[episode.dedup_key].is_heard
                assert (episode.page is PageState.ACCEPTED) == is_heard, f"{episode.dedup_key} is {episode.page}"

    def nobody_is_paged_for_what_is_taken(self, incidents: tuple[Incident, ...]) -> None:
        """No new page, and no next level, for an episode that somebody is on."""
        for seq, effect in self.lane():
            if seq > self.effects and isinstance(effect, PAGES):
                assert not self.was_taken.get(effect.dedup_key), f"{type(effect).__name__} after an acknowledgement"
            self.effects = max(self.effects, seq)
        self.was_taken = {one.episode.dedup_key: self.is_taken(one.episode) or not one.is_open for one in incidents}

    def one_open_incident_a_fingerprint(self, incidents: tuple[Incident, ...]) -> None:
        """And it is one that is open, or may be opened again."""
        with self.store.reading() as work:
            rows = work.connection.execute(text("SELECT fingerprint, incident FROM alerts WHERE is_open")).all()
        assert len({one.fingerprint for one in rows}) == len(rows)
        live = {one.number for one in incidents if one.is_open or one.status is Status.RESOLVED}
        assert {one.incident for one in rows} - {None} <= live

    def timers_wait_for_what_is_open(self, incidents: tuple[Incident, ...]) -> None:
        """At most one for each key; none of a clock that stopped."""
        with self.store.reading() as work:
            rows = work.connection.execute(text("SELECT key, incident FROM timers")).all()
        by_number = {one.number: one for one in incidents}
        assert len({one.key for one in rows}) == len(rows)
        for key, number in rows:
            if number is None:
                # That an alert is calm is waited for whatever became of its incident.
                assert key.startswith("ALERT/")
                continue
            incident = by_number[number]
            assert incident.is_open, f"{key} waits for what is over"
            is_clock = "/reminder/" in key or key.endswith("/target")
            assert not is_clock or incident.episode.is_waiting, f"{key} waits for what is acknowledged"

    # --- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything arrives, last in first; then the bot and PagerDuty must think the same."""
        if not hasattr(self, "trace"):
            return
        for _ in range(200):
            if self.on_its_way:
                self.hears(self.on_its_way.pop())
            elif self.lane():
                self.the_page_lane_moves("taken")
            else:
                break
        self.all_holds()
        self.both_sides_agree()
        type(self).played.add("\n".join(self.trace))

    def both_sides_agree(self) -> None:
        """What PagerDuty thinks of each page that it has."""
        for incident in self.incidents():
            for episode in incident.episodes:
                page = self.pages.get(episode.dedup_key)
                if page is None:
                    continue
                if episode.ended_at is not None:
                    assert page.status == "resolved", f"{incident.ref} is over, and PagerDuty has {page.status}"
                elif page.status != "resolved":
                    assert (page.status == "acknowledged") == self.is_taken(episode), f"{incident.ref}: {page.status}"


@contextmanager
def record() -> Iterator[Store]:
    """A record in memory, as a file."""
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="firstfive-orders-", dir=folder) as name:
        store = Store.at(sqlite(Path(name) / "orders.db"))
        try:
            yield store
        finally:
            store.close()


def play(number: int, examples: int, machine: type[AnyOrder] = AnyOrder, *, is_told_short: bool = True) -> int:
    """So many stories, drawn by that seed; how many different interleavings they were.

    Raises AssertionError with the shortest story that goes wrong; with the first one, where it need not be short.
    """
    phases = (Phase.generate, Phase.shrink) if is_told_short else (Phase.generate,)
    with record() as store:
        machine.store, machine.played = store, set()
        given = settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=phases, print_blob=False, report_multiple_bugs=False,
        )  # fmt: skip
        run_state_machine_as_test(seed(number)(machine), settings=given)
        return len(machine.played)


def trials(seeds: range) -> Iterator[Trial]:
    """Parts of ten thousand interleavings, on whatever seeds: a process each."""
    for part in range(PARTS):
        yield Trial("C2 order shuffled", "sqlite", seeds.start * PARTS + part, _played)


def played_apart(module: str, *arguments: str) -> Wrong | str:
    """Play in a process of its own; what it says, or the order in which it goes wrong."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=900, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        return Wrong("lost", f"an order in which it goes wrong ({done.returncode}): {' '.join(done.stderr.split())[-1500:]}")
    return done.stdout


def _played(stage: Stage) -> Iterator[Wrong]:
    said = played_apart("tests.faults.orders", "--seed", str(stage.seed), "--examples", str(PART * 3 // 2))
    if isinstance(said, Wrong):
        yield said
        return
    count = int(said)
    stage.met(count)
    if count < PART:
        yield Wrong("lost", f"only {count} different interleavings were played")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.orders", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=PART)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(play(chosen.seed, chosen.examples))
