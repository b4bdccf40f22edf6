"""An alert that comes and goes, through the record and its timers: beside a small model that knows nothing of ours."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import text

from bot.alerts.alert import Status
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.inputs import AlertReported, Resolve
from bot.incidents.policy import Policy, ReopenRule, ResolveRule, RouteRule
from bot.store import Store
from bot.worker.due import DueTimers
from tests.builders import NOON, alert
from tests.databases import sqlite

HOLD, HOUR, REOPENS = timedelta(minutes=5), timedelta(minutes=60), timedelta(hours=3)
RULES = Policy(
    routes=(RouteRule(name="all", severity="SEV2"),),
    resolve=ResolveRule(automatic=True, hold=HOLD),
    reopen=ReopenRule(within=REOPENS),
)


@dataclass
class Model:
    """What has to come of one alert: said from what happened, and of nothing that the bot made of it."""

    incidents: int = 0
    pages: int = 0
    begun: int = 0
    ended: int = 0
    is_open: bool = False
    is_firing: bool = False
    resolved_at: datetime | None = None
    cleared_at: datetime | None = None
    held_by_flapping: bool = False
    fires: list[datetime] = field(default_factory=list)
    flaps: bool = False

    def time_is(self, now: datetime) -> None:
        """What fell due until then."""
        calm = self.fires[-1] + HOUR if self.fires else NOON
        if self.flaps and calm <= now:
            self.flaps, self.ended = False, self.ended + 1
        if self.is_open and self.cleared_at is not None:
            held = self.cleared_at + HOLD
            # An alert that flapped when it cleared holds it open until it is calm.
            due = max(held, calm) if self.flaps or self.held_by_flapping else held
            if due <= now:
                self.is_open, self.resolved_at, self.cleared_at = False, due, None

    def fires_at(self, now: datetime, started_at: datetime, *, is_new: bool) -> None:
        if not self.is_open:
            again = self.resolved_at is not None and now - self.resolved_at <= REOPENS
            self.pages += 1
            if not again:
                self.incidents, self.fires, is_new = self.incidents + 1, [], True
            self.is_open = True
        self.is_firing, self.cleared_at = True, None
        if is_new:
            self.fires.append(started_at)
            if not self.flaps and sum(started_at - one <= HOUR for one in self.fires) >= 3:
                self.flaps, self.begun = True, self.begun + 1

    def clears(self, now: datetime) -> None:
        if self.is_firing and self.is_open:
            self.cleared_at, self.held_by_flapping = now, self.flaps
        self.is_firing = False


class Bot:
    """A door on a record, its timers, and a clock that stops wherever something falls due."""

    def __init__(self, store: Store) -> None:
        self.store, self.now, self.started_at = store, NOON, NOON
        self.door = Door(store, lambda: self.now, lambda: RULES, lambda: ())
        self.timers = DueTimers(store=store, door=self.door)

    def passes(self, span: timedelta) -> None:
        end = self.now + span
        while (due := self.store.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.timers.run_once()
        self.now = end

    def reports(self, status: Status) -> None:
        ended_at = self.now if status is Status.RESOLVED else None
        self.door.handle(AlertReported(alert(status=status, started_at=self.started_at, ended_at=ended_at), "main"))

    def said(self) -> Counter[str]:
        with self.store.engine.connect() as connection:
            return Counter(connection.scalars(text("SELECT type FROM entries")).all())


def plays(store: Store, steps: list[tuple[str, float]]) -> None:
    bot, model = Bot(store), Model()
    for what, minutes in steps:
        bot.passes(timedelta(minutes=minutes))
        model.time_is(bot.now)
        match what:
            case "fires":
                bot.started_at = bot.now
                bot.reports(Status.FIRING)
                model.fires_at(bot.now, bot.started_at, is_new=True)
            case "fires still" if model.is_firing:
                bot.reports(Status.FIRING)
                model.fires_at(bot.now, bot.started_at, is_new=False)
            case "clears":
                bot.reports(Status.RESOLVED)
                model.clears(bot.now)
            case "resolved by hand":
                try:
                    bot.door.handle(Resolve(model.incidents, "U0ANA"))
                except Refused:
                    assert not model.is_open
                else:
                    assert model.is_open
                    model.is_open, model.resolved_at, model.cleared_at = False, bot.now, None
        compare(bot, model)
    bot.passes(timedelta(hours=2))
    model.time_is(bot.now)
    compare(bot, model)


def compare(bot: Bot, model: Model) -> None:
    found, said = bot.store.incidents(), bot.said()
    assert len(found) == model.incidents
    assert (said["page_requested"], said["reopened"]) == (model.pages, model.pages - model.incidents)
    assert (said["flapping_started"], said["flapping_ended"]) == (model.begun, model.ended)
    if found:
        one = found[0]
        assert one.is_open is model.is_open
        assert one.alerts[0].is_firing is model.is_firing
        assert one.alerts[0].fires == len(model.fires)
        assert (one.alerts[0].flaps.since is not None) is model.flaps
    assert said["alert_started"] == sum(alert.fires for one in found for alert in one.alerts)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("fires", "clears", "fires", "clears", "fires still", "resolved by hand")),
        st.sampled_from((0.5, 1, 2, 4.9, 5.1, 11, 19, 29, 31, 55, 61, 179, 187)),
    ),
    max_size=14,
)


@profile(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_an_alert_that_comes_and_goes_is_what_the_model_says(tmp_path_factory, steps):
    store = Store.at(sqlite(tmp_path_factory.mktemp("quiet") / "one.db"))
    plays(store, steps)
    store.close()


EVERY = [("fires", 10.0), ("clears", 2.0)]


@pytest.mark.parametrize(
    "steps",
    [
        EVERY * 8,
        [("fires", 1.0), ("clears", 1.0), ("fires", 4.9), ("clears", 1.0)],
        [*EVERY, ("fires", 25.0), ("clears", 1.0), ("fires", 23.0), ("clears", 1.0), ("resolved by hand", 1.0), ("fires", 70.0)],
        [("fires", 1.0), ("resolved by hand", 1.0), ("fires still", 9.0), ("clears", 1.0), ("fires", 200.0)],
        [("fires", 1.0), ("resolved by hand", 1.0), ("fires still", 187.0), ("fires", 1.0), ("fires", 1.0)],
    ],
    ids=["flaps", "within the hold", "flaps, and is resolved by hand", "still fires", "still fires much later"],
)
def test_the_same_on_both_databases(store, steps):
    plays(store, steps)


@pytest.mark.parametrize("times", [1, 3])
def test_an_end_that_comes_once_more_after_its_alert_fires_again_is_no_news(store, times):
    now = NOON
    door = Door(store, lambda: now, lambda: RULES, lambda: ())

    def reported(status: Status, second: int, *, at: int) -> None:
        nonlocal now
        now, changed = NOON + timedelta(seconds=at), NOON + timedelta(seconds=second)
        began = {Status.FIRING: changed, Status.RESOLVED: NOON}[status]
        ended = changed if status is Status.RESOLVED else None
        door.handle(AlertReported(alert(status=status, started_at=began, changed_at=changed, ended_at=ended), "main"))

    reported(Status.FIRING, 0, at=1)
    reported(Status.RESOLVED, 6, at=7)
    reported(Status.FIRING, 30, at=31)
    for number in range(times):
        reported(Status.RESOLVED, 6, at=40 + number)

    told = [(one.type, one.at) for one in store.timeline("INC-1") if one.type in ("alert_started", "alert_resolved")]
    assert told == [
        ("alert_started", NOON), ("alert_resolved", NOON + timedelta(seconds=6)), ("alert_started", NOON + timedelta(seconds=30)),
    ]  # fmt: skip
    assert store.incident(1).is_firing
