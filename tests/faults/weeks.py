"""Ten years of digests in one zone, played with the bot's own ticks on a record: when each digest was asked for.

Run as a process of its own: it takes a processor for a while, and whoever plays neighbours beside it must not wait.
"""

import argparse
import json
import logging
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from bot.digest import WEEKDAYS, local_time, week_of
from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.effects import PostDigest, RaiseAlarm
from bot.metrics.figures import week_bounds, weeks_before
from bot.settings import Settings
from bot.store import Store
from bot.wiring import Choices, Numbers
from bot.worker.due import DueTimers
from tests.databases import sqlite
from tests.faults.oracle import Wrong

TOP = Path(__file__).parents[2]
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")
TIMES = ("monday 09:00", "sunday 02:15")
"""In each of these zones the clocks change on Sundays, and at that minute: in Lord Howe only until half past two."""
BEGIN, END = datetime(2024, 12, 20, tzinfo=UTC), datetime(2035, 1, 10, tzinfo=UTC)
"""Ten years with both kinds of week 53 in them: 2026 and 2032 have one."""


@dataclass
class Team:
    """A bot whose clock somebody moves: it ticks a few times a week, and around the minute at which a digest is due."""

    store: Store
    zone: ZoneInfo
    at: time
    weekday: str = "monday"
    now: datetime = BEGIN
    asked: list[tuple[str, datetime]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def begins(self, folder: Path) -> None:
        """With everything that is not in the record new."""
        policy = folder / "policy.yaml"
        written = f'team: {{zone: {self.zone.key}}}\ndigest: {{weekday: {self.weekday}, at: "{self.at:%H:%M}"}}\n'
        policy.write_text(written, encoding="utf-8")
        files = Settings(
            _env_file=None, policy_file=policy, runbooks_dir=TOP / "runbooks", templates_dir=TOP / "postmortem_templates"
        )
        choices = Choices(files)
        self._numbers = Numbers(self.store, lambda: self.now, choices)
        door = Door(self.store, lambda: self.now, choices.policy, lambda: (), saved=self._saved)
        self._timers = DueTimers(store=self.store, door=door)

    def _saved(self, decision: Decision) -> None:
        self.asked += [(one.week, self.now) for one in decision.effects if isinstance(one, PostDigest)]
        self.alarms += [one.text for one in decision.effects if isinstance(one, RaiseAlarm)]

    def ticks(self, now: datetime) -> None:
        """As the worker does, once."""
        self.now = now
        self._numbers.ensure_digest()
        self._timers.run_once()

    def lives(self, luck: random.Random) -> None:
        """From the first day to the last."""
        now = BEGIN
        while now < END:
            due = local_time(_next(WEEKDAYS.index(self.weekday), now, self.zone), self.at, self.zone)
            for moment in (now, due - timedelta(seconds=1), due, due + timedelta(seconds=1)):
                self.ticks(max(moment, self.now))
            # Some ticks within the hours in which the clocks may change, some days without any.
            for hours in (1, 2, luck.uniform(3, 100)):
                self.ticks(due + timedelta(hours=hours))
            now = self.now + timedelta(hours=luck.uniform(1, 20))


def _next(weekday: int, now: datetime, zone: ZoneInfo) -> date:
    day = now.astimezone(zone).date()
    return day + timedelta(days=(weekday - day.weekday()) % 7 or 7)


def is_odd(day: date, at: time, zone: ZoneInfo) -> bool:
    """Whether the clock shows that minute twice on that day, or not at all."""
    first, second = (datetime.combine(day, at, zone).replace(fold=fold) for fold in (0, 1))
    return first.utcoffset() != second.utcoffset()


def lived(zone: str, at: str, seed: int) -> Team:
    """Ten years of one team."""
    with tempfile.TemporaryDirectory(prefix="firstfive-weeks-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        store = Store.at(sqlite(Path(name) / "weeks.db"))
        weekday, _, clock = at.partition(" ")
        team = Team(store, ZoneInfo(zone), time.fromisoformat(clock), weekday)
        team.begins(Path(name))
        team.lives(random.Random(seed))
        store.close()
    return team


def judged(team: Team) -> Iterator[Wrong]:
    """One digest for each week, each within a tick of its minute; the weeks lie side by side."""
    weeks = [week for week, _ in team.asked]
    # The last tick may be some days after the end.
    newest = week_of(team.now, team.zone)
    expected = [one for one in weeks_before(newest, 60 * 9) if one >= weeks[0]][: len(set(weeks))] if weeks else []
    if len(weeks) < 520:
        yield Wrong("lost", f"only {len(weeks)} digests in ten years")
    if sorted(set(weeks)) != sorted(expected):
        yield Wrong("lost", f"left out: {sorted(set(expected) - set(weeks))[:5]}")
    for week in sorted({one for one in weeks if weeks.count(one) > 1}):
        yield Wrong("message", f"the digest of {week} was asked for {weeks.count(week)} times")
    for alarm in team.alarms:
        yield Wrong("lost", f"an alarm: {alarm}")
    if "2026-W53" not in weeks or "2032-W53" not in weeks:
        yield Wrong("lost", "a week 53 is missing")
    days = [_day_of(week, team) for week in weeks]
    if team.weekday == "sunday" and not any(is_odd(day, team.at, team.zone) for day in days):
        yield Wrong("lost", "no digest met a change of the clocks")
    yield from on_time(team)
    yield from side_by_side(weeks, team.zone)


def on_time(team: Team) -> Iterator[Wrong]:
    """Not before its local minute, and with the first tick after it: a minute that the clocks leave out comes later."""
    for week, asked_at in team.asked:
        day = _day_of(week, team)
        due = local_time(day, team.at, team.zone)
        if not timedelta() <= asked_at - due <= timedelta(seconds=1):
            yield Wrong("lost", f"the digest of {week} was due {due} and asked for {asked_at}")
        shown = asked_at.astimezone(team.zone)
        if shown.date() != day or not timedelta() <= _since_midnight(shown.time()) - _since_midnight(team.at) <= timedelta(
            hours=1, seconds=1
        ):
            yield Wrong("lost", f"the digest of {week} came at {shown}")


def _day_of(week: str, team: Team) -> date:
    _, end = week_bounds(week, team.zone)
    return end.astimezone(team.zone).date() + timedelta(days=WEEKDAYS.index(team.weekday))


def side_by_side(weeks: list[str], zone: ZoneInfo) -> Iterator[Wrong]:
    """Where a week ends the next begins: no moment in two of them, and none in neither."""
    bounds = [week_bounds(one, zone) for one in sorted(set(weeks))]
    for (_, end), (start, _), week in zip(bounds, bounds[1:], sorted(set(weeks))[1:], strict=False):
        if end != start:
            yield Wrong("lost", f"{week} begins {start}, the one before ends {end}")


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.weeks", description=__doc__)
    parser.add_argument("zone", choices=ZONES)
    parser.add_argument("at", choices=TIMES)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = lived(given.zone, given.at, given.seed)
    print(json.dumps({"digests": len(found.asked), "wrong": [[one.kind, one.what] for one in judged(found)]}))
    sys.exit(0)
