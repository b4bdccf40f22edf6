"""The machine: a disk that is full, clocks that jump, Mondays, a newer version beside us, a back-up that is put back."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import select, text

from bot.incidents.effects import PageOnCall
from bot.incidents.incident import Incident, PageState
from bot.store import Store
from bot.store.tables import outbox
from sandbox.__main__ import Demo
from sandbox.calls import get
from sandbox.clock import SandboxClock
from sandbox.pagerduty.account import Incident as Theirs
from sandbox.world import World
from tests.databases import Server
from tests.faults.inbound import HOOK, sends_alert, sends_command, sends_news
from tests.faults.oracle import Wrong
from tests.faults.rig import LEASE_SECONDS, PATIENCE, NeverSeen, Rig, rigged
from tests.faults.runs import COMMANDS
from tests.faults.trials import Stage, Trial
from tests.faults.weeks import TIMES, TOP, ZONES

DISK_MEGABYTES, FILES = 12, 24
JUMPS = {"five minutes ahead": 300.0, "five minutes back": -300.0, "a day ahead": 86_400.0}
BACK = {"five minutes": 300.0, "half a minute": 30.0}
POLLED_WITHIN, LEASES = 10.0, 2
"""The rig polls every 5 s, and what is polled has to be handled; of a try, the first lease and one that a tick made longer."""
LEVEL_AFTER, LEVEL_WITHIN = 3.0, 10.0
"""The target of the rig's policy, and how late the next level may be."""
AWAY = {"1 s": timedelta(seconds=1), "1 h": timedelta(hours=1), "6 d": timedelta(days=6), "8 d": timedelta(days=8)}


def trials(seeds: range) -> Iterator[Trial]:
    """Every fault of this module. Chance has a part in the zones' years only; the others are done twice, for threads and
    processes run as they will, but for digests by a clock that is moved.
    """
    for seed in seeds[:2]:
        if can_mount():
            yield Trial("D2 the disk is full", "sqlite", seed, disk_full)
            yield Trial("D2 no file can be made on the disk", "sqlite", seed, no_file_can_be_made)
            for database in ("sqlite", "postgresql"):
                yield Trial("D2 the log's disk is full", database, seed, log_full)
        yield Trial("D2 the database can only be read", "postgresql", seed, only_read)
        for database in ("sqlite", "postgresql"):
            for name in JUMPS:
                yield Trial(f"D4 the clock jumps {name}", database, seed, _jumped(name))
            name = "five minutes" if seed == seeds.start else "half a minute"
            yield Trial(f"D4 the clock goes {name} back and stays there: a level is as late", database, seed, _stays_back(name))
            yield Trial("D4 the clock goes five minutes back and stays there: the ticks go on", database, seed, ticks_go_on)
            yield Trial("D8 an old worker beside a newer schema", database, seed, newer_schema)
            yield Trial("D9 a back-up is put back", database, seed, put_back)
        yield Trial("D4 two workers' clocks are 10 s apart", "postgresql", seed, apart)
    for seed in seeds:
        for zone in ZONES:
            yield Trial(f"D5 ten years of digests in {zone}", "sqlite", seed, _mondays(zone))
    for name in AWAY:
        yield Trial(f"D6 away across the digest for {name}", "sqlite", seeds.start, _away(name))


# --- D2 ---------------------------------------------------------------------------------------


def can_mount() -> bool:
    """Whether a small disk of one's own can be had: needs root, and a kernel that lets it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = Path("/tmp") / f"firstfive-mount-{os.getpid()}"
    probe.mkdir(exist_ok=True)
    try:
        with small_disk(probe):
            return True
    except subprocess.CalledProcessError:
        return False
    finally:
        with suppress(OSError):
            probe.rmdir()


@contextmanager
def small_disk(folder: Path, files: int = 1000) -> Iterator[None]:
    """A disk of some megabytes and so many files on `folder`. Raises CalledProcessError where none can be had."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,nr_inodes={files}", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def disk_full(stage: Stage) -> Iterator[Wrong]:
    """Nothing fits on the database's disk any more; then there is room again."""
    disk = stage.folder / "disk"
    disk.mkdir()
    with small_disk(disk), rigged(f"sqlite:///{disk / 'firstfive.db'}", stage.folder) as rig:
        rig.runs(COMMANDS["serve"])
        yield from _refuses_and_recovers(stage, rig, lambda: _fill(disk), lambda: (disk / "filler").unlink())


def _fill(disk: Path) -> None:
    """To the last byte."""
    with (disk / "filler").open("ab", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)


def no_file_can_be_made(stage: Stage) -> Iterator[Wrong]:
    """There is room on the database's disk, and every inode is somebody's."""
    disk = stage.folder / "disk"
    disk.mkdir()
    with small_disk(disk, FILES), rigged(f"sqlite:///{disk / 'firstfive.db'}", stage.folder) as rig:
        rig.runs(COMMANDS["serve"])

        def fills() -> None:
            with suppress(OSError):
                for number in range(FILES):
                    (disk / f"filler-{number}").touch()

        yield from _goes_on_without(stage, rig, fills)


def log_full(stage: Stage) -> Iterator[Wrong]:
    """Nothing fits on the disk of the log, and then there is room again."""
    disk = stage.folder / "disk"
    disk.mkdir()
    with small_disk(disk), stage.rigged(log_level="debug") as rig:
        os.close(rig.log)
        rig.log = os.open(disk / "bot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        yield from _goes_on_without(stage, rig, lambda: _fill(disk))
        (disk / "filler").unlink()
        written = (disk / "bot.log").stat().st_size
        sends_alert(rig, "after-it")
        rig.until(lambda: (disk / "bot.log").stat().st_size > written, "the log is written again", 15)
        shutil.copy(disk / "bot.log", stage.folder / "kept.log")


def _goes_on_without(stage: Stage, rig: Rig, breaks: Callable[[], None]) -> Iterator[Wrong]:
    """What is short is nothing that an incident needs: it is taken, paged, acknowledged, and over, and no process ends."""
    rig.until(lambda: ready(rig)[0] == 200, "the bot is ready")
    rig.fires("checkout-errors")
    rig.until(lambda: _pages(rig, "checkout"), "the first page")
    rig.until(rig.is_quiet, "nothing waits")
    breaks()
    stage.met()
    began = time.monotonic()
    _fires_apart(rig, "Meanwhile")
    rig.until(lambda: _titled(rig, "Meanwhile"), "a page meanwhile")
    if time.monotonic() - began > LEVEL_WITHIN:
        yield Wrong("lost", f"a page took {time.monotonic() - began:.1f} s meanwhile")
    rig.types("ana", "/incident ack INC-2")
    rig.types("ana", "/incident resolve INC-2 rolled back")
    rig.until(lambda: (page := _titled(rig, "Meanwhile")) and page.status == "resolved", "PagerDuty knows that it is over")
    rig.until(rig.is_quiet, "nothing waits")
    status, said = ready(rig)
    if status != 200:
        yield Wrong("lost", f"the health page says {status} {said!r}")
    if any(bot.deaths for bot in rig.bots):
        yield Wrong("lost", "a process ended for it")
    yield from _once_titled(rig, "Meanwhile")


def only_read(stage: Stage) -> Iterator[Wrong]:
    """The server refuses every change for a while, as a standby does, or one whose disk is nearly full."""
    server = Server(is_durable=True)
    try:
        with rigged(server.url("postgres"), stage.folder) as rig:
            rig.runs(COMMANDS["apart"])
            yield from _refuses_and_recovers(stage, rig, lambda: _read_only(server, "on"), lambda: _read_only(server, "off"))
    finally:
        server.remove()


def _read_only(server: Server, state: str) -> None:
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as one:
        one.execute(f"ALTER SYSTEM SET default_transaction_read_only = {state}".encode())
        one.execute("SELECT pg_reload_conf()")


def _refuses_and_recovers(stage: Stage, rig: Rig, breaks: Callable[[], None], mends: Callable[[], None]) -> Iterator[Wrong]:
    rig.until(lambda: ready(rig)[0] == 200, "the bot is ready")
    rig.fires("checkout-errors")
    rig.until(lambda: _pages(rig, "checkout"), "the first page")
    rig.until(rig.is_quiet, "nothing waits")
    rig.world.break_("pagerduty", "down")
    _fires_apart(rig, "Stored before")
    rig.until(lambda: any(one.title == "Stored before" for one in rig.store.open_incidents()), "it is stored")
    breaks()
    stage.met()
    rig.world.break_("pagerduty", "up")
    refused = [sends_alert(rig, f"full-{number}") for number in range(8)]
    news, typed = sends_news(rig, "full-news"), sends_command(rig, "full", "note INC-1 while it is full")
    status, said = rig.until(lambda: (found := ready(rig))[0] == 503 and found, "the health page is red", 15)
    rig.until(lambda: _titled(rig, "Stored before"), "a page that was stored before goes out")
    mends()
    began = time.monotonic()
    rig.until(lambda: sends_alert(rig, "after-it").status == 202, "deliveries are taken again", 30)
    took = time.monotonic() - began
    rig.until(lambda: ready(rig)[0] == 200, "the bot is ready again", 30)
    _fires_apart(rig, "After it")
    rig.until(lambda: _titled(rig, "After it"), "a page after it")
    rig.until(rig.is_quiet, "nothing waits")
    # What still fits is taken: then it must be in the record.
    codes = Counter(one.status for one in (*refused, news))
    if codes.keys() - {202, 503} or not codes[503]:
        yield Wrong("lost", f"answers while nothing could be written: {dict(codes)}")
    yield from taken_is_kept(rig.store, [one.name for one in refused if one.status == 202])
    if typed.status != 200 or ("ot saved" not in typed.said and not _has_note(rig)):
        yield Wrong("lost", f"a person was told {typed.status} {typed.said[:80]!r}, and nothing was saved")
    if not any(word in said for word in ("disk is full", "read-only", "readonly")):
        yield Wrong("lost", f"the health page says {status} {said!r}, and not why")
    if any(bot.deaths for bot in rig.bots):
        yield Wrong("lost", "a process ended for it")
    if took > 10:
        yield Wrong("lost", f"deliveries were taken again only after {took:.0f} s")
    titles = Counter(one.title for one in rig.sandbox.account.incidents)
    if any(times > 1 for times in titles.values()):
        yield Wrong("page", f"paged twice: {dict(titles)}")
    if any(one.episode.page is not PageState.ACCEPTED for one in rig.store.open_incidents()):
        yield Wrong("lost", "the record does not know of a page that PagerDuty has")


def taken_is_kept(store: Store, names: list[str]) -> Iterator[Wrong]:
    """Every delivery that was answered with a 2xx is in the inbox."""
    with store.engine.connect() as connection:
        titles = {
            json.loads(bytes(row[0]))["title"] for row in connection.execute(text("SELECT body FROM inbox WHERE source = 'generic'"))
        }
    for name in names:
        if name not in titles:
            yield Wrong("lost", f"{name} was taken, and is not in the inbox")


def ready(rig: Rig) -> tuple[int, str]:
    """What the health page answers."""
    answer = get(f"{rig.world.bot}/health/ready", 5)
    return answer.status, answer.body.decode(errors="replace")


def _has_note(rig: Rig) -> bool:
    return any("while it is full" in str(one.fields.get("text")) for one in rig.store.timeline("INC-1"))


def _pages(rig: Rig, service: str) -> list[Theirs]:
    with rig.world.lock:
        return [one for one in rig.sandbox.account.incidents if one.service.name == service]


def _titled(rig: Rig, words: str) -> Theirs | None:
    """The page with these words in its title."""
    with rig.world.lock:
        return next((one for one in rig.sandbox.account.incidents if words in one.title), None)


def _fires_apart(rig: Rig, title: str) -> None:
    """An alert that opens an incident of its own."""
    body = json.dumps({"title": title, "status": "firing", "severity": "critical", "dedup_key": title}).encode()
    rig.sends("/hooks/generic/main", body, HOOK, title)


# --- D4 ---------------------------------------------------------------------------------------


def _clock_of(rig: Rig, folder: Path, wrong: dict[int, float]) -> None:
    """How wrong the clock of each process is, by its number among the bots."""
    for index, seconds in wrong.items():
        unfinished = folder / "unfinished"
        unfinished.write_text(str(seconds), encoding="ascii")
        unfinished.rename(folder / str(rig.bots[index].port))


@contextmanager
def _with_clocks(stage: Stage) -> Iterator[tuple[Rig, Path]]:
    clocks = stage.folder / "clocks"
    clocks.mkdir()
    with stage.rigged() as rig:
        rig.environment["FAULT_CLOCKS"] = str(clocks)
        yield rig, clocks


def _jumped(name: str) -> Callable[[Stage], Iterator[Wrong]]:
    def play(stage: Stage) -> Iterator[Wrong]:
        with _with_clocks(stage) as (rig, clocks):
            rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
            rig.fires("checkout-errors")
            rig.until(lambda: _is_paged(rig), "the page")
            everybody = dict.fromkeys(range(len(rig.bots)), JUMPS[name])
            _clock_of(rig, clocks, everybody)
            if abs(_wrong_by(rig) - JUMPS[name]) > 5:
                raise NeverSeen("a clock that jumped")
            stage.met()
            if JUMPS[name] < 0:
                # Whatever waits for a moment waits longer by the jump; here the clock is set right before that, and is
                # not in `_stays_back`.
                time.sleep(6)
                yield from levels_once(rig)
                _clock_of(rig, clocks, dict.fromkeys(everybody, 0.0))
            yield from _lives_on(rig)

    return play


def _stays_back(name: str) -> Callable[[Stage], Iterator[Wrong]]:
    """Set back while a level is awaited, and left so until long after the level was due.

    A deadline is a time of day, so it comes when the clock shows it: later by the jump, and by no more. Nothing may come
    twice, neither then nor when the clock is right again; and what is new is not late at all.
    """

    def play(stage: Stage) -> Iterator[Wrong]:
        with _with_clocks(stage) as (rig, clocks):
            rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
            rig.fires("checkout-errors")
            rig.until(lambda: _is_paged(rig), "the page")
            due = time.monotonic() + LEVEL_AFTER
            everybody = dict.fromkeys(range(len(rig.bots)), -BACK[name])
            _clock_of(rig, clocks, everybody)
            if _escalations(rig) or abs(_wrong_by(rig) + BACK[name]) > 5:
                raise NeverSeen("a clock that goes back before the level is due")
            stage.met()
            yield from _new_is_in_time(rig)
            rig.until(lambda: _escalations(rig), "the second level", BACK[name] + PATIENCE)
            yield from as_late_as_the_clock(time.monotonic() - due, BACK[name])
            yield from levels_once(rig)
            _clock_of(rig, clocks, dict.fromkeys(everybody, 0.0))
            time.sleep(LEVEL_AFTER + LEVEL_WITHIN)
            yield from _lives_on(rig)
            yield from _once_titled(rig, NEW)

    return play


def ticks_go_on(stage: Stage) -> Iterator[Wrong]:
    """Set back by five minutes and left so. What only a tick does is done all the same: PagerDuty is asked who acknowledged,
    as nothing tells of it; and the lease of a page that takes longer than one is made longer, so that nobody takes it over.
    """
    with _with_clocks(stage) as (rig, clocks):
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.fires("checkout-errors")
        rig.until(lambda: _is_paged(rig), "the page")
        rig.sandbox.webhooks.is_on = False
        everybody = dict.fromkeys(range(len(rig.bots)), -BACK["five minutes"])
        _clock_of(rig, clocks, everybody)
        if abs(_wrong_by(rig) + BACK["five minutes"]) > 5:
            raise NeverSeen("a clock that goes back")
        stage.met()
        began = time.monotonic()
        rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "acknowledge"})
        rig.until(lambda: (one := rig.store.incident(1)) and one.episode.acknowledged_at, "the acknowledgement, polled")
        yield from polled_in_time(time.monotonic() - began)
        if rig.world.slow_seconds <= LEASE_SECONDS:
            raise NeverSeen("a call that takes longer than a lease")
        rig.world.break_("pagerduty", "slow")
        _fires_apart(rig, NEW)
        leases = _leases_until(rig, lambda: any(one.title == NEW and _is_paged(rig, one) for one in rig.store.open_incidents()))
        yield from made_longer(leases)
        rig.world.break_("pagerduty", "up")
        rig.sandbox.webhooks.is_on = True
        _clock_of(rig, clocks, dict.fromkeys(everybody, 0.0))
        rig.until(rig.is_quiet, "nothing waits")
        yield from _once_titled(rig, NEW)


def _leases_until(rig: Rig, seen: Callable[[], Any]) -> set[tuple[int, int, datetime]]:
    """Each lease of a page that is on its way: row, claim, and until when. Looked at until `seen`."""
    found = set[tuple[int, int, datetime]]()
    sending = select(outbox.c.seq, outbox.c.epoch, outbox.c.lease_until).where(
        outbox.c.state == "sending", outbox.c.kind == PageOnCall.__name__, outbox.c.lease_until.is_not(None)
    )

    def looked() -> Any:
        with rig.store.engine.connect() as connection:
            found.update((row.seq, row.epoch, row.lease_until) for row in connection.execute(sending))
        return seen()

    rig.until(looked, "the page of what is new")
    return found


def polled_in_time(seconds: float) -> Iterator[Wrong]:
    """An acknowledgement that nothing told of was known so many seconds later."""
    if seconds > POLLED_WITHIN:
        yield Wrong("lost", f"an acknowledgement was polled only after {seconds:.0f} s while the clock was wrong")


def made_longer(leases: Iterable[tuple[int, int, datetime]]) -> Iterator[Wrong]:
    """Every claim of a page is the only one, and its lease was made longer at least once."""
    claims = Counter((seq, epoch) for seq, epoch, _ in leases)
    if len(claims) != 1:
        yield Wrong("page" if claims else "lost", f"a page was claimed {len(claims)} times while the clock was wrong")
    if any(times < LEASES for times in claims.values()):
        yield Wrong("lost", "the lease of a page was not made longer while the clock was wrong")


NEW = "While the clock is wrong"


def _new_is_in_time(rig: Rig) -> Iterator[Wrong]:
    """An alert that comes while the clock is wrong: its page, and its next level, when they are due."""
    began = time.monotonic()
    _fires_apart(rig, NEW)
    page = rig.until(lambda: _titled(rig, NEW), "the page of what is new")
    if time.monotonic() - began > LEVEL_WITHIN:
        yield Wrong("lost", f"a page took {time.monotonic() - began:.1f} s while the clock was wrong")
    began = time.monotonic()
    rig.until(lambda: _levels_of(rig, page), "the second level of what is new")
    if time.monotonic() - began > LEVEL_AFTER + LEVEL_WITHIN:
        yield Wrong("lost", f"a level took {time.monotonic() - began:.1f} s while the clock was wrong")


def as_late_as_the_clock(late: float, back: float) -> Iterator[Wrong]:
    """A level came so many seconds after it was due; the clock went so far back."""
    if late > back + LEVEL_WITHIN:
        yield Wrong("lost", f"a level came {late:.0f} s late, and the clock went back by {back:.0f} s only")
    if late < 0:
        yield Wrong("page", f"a level came {-late:.0f} s before it was due")


def _once_titled(rig: Rig, title: str) -> Iterator[Wrong]:
    with rig.world.lock:
        found = [one for one in rig.sandbox.account.incidents if title in one.title]
    if len(found) != 1:
        yield Wrong("page" if found else "lost", f"{len(found)} pages for “{title}”")
    levels = Counter(str(one["assignees"]) for page in found for one in _levels_of(rig, page))
    if any(times > 1 for times in levels.values()):
        yield Wrong("page", f"a level of “{title}” was paged more than once: {levels}")


def _levels_of(rig: Rig, page: Theirs) -> list[dict[str, Any]]:
    with rig.world.lock:
        return [one for one in page.log if one["type"] == "escalate_log_entry"]


def _wrong_by(rig: Rig) -> float:
    """By how many seconds the web's clock is wrong: asked for in the only way there is."""
    sends_alert(rig, "What time is it?")
    [asked] = [one for one in rig.store.deliveries(("new", "done"), 50) if b"What time is it?" in one.body]
    return (asked.received_at - rig.world.clock()).total_seconds()


def apart(stage: Stage) -> Iterator[Wrong]:
    """The web's clock is right, one worker's is 10 s ahead of the other's."""
    with _with_clocks(stage) as (rig, clocks):
        rig.runs(COMMANDS["apart"])
        _clock_of(rig, clocks, {1: 0.0, 2: 10.0})
        rig.fires("checkout-errors")
        rig.until(lambda: _is_paged(rig), "the page")
        yield from _lives_on(rig)
        # Whatever the worker that is ahead did is dated ahead.
        ahead = [one for one in _done_at(rig.store) if one - rig.world.clock() > timedelta(seconds=1)]
        stage.met(len(ahead))


def _done_at(store: Store) -> list[datetime]:
    with store.engine.connect() as connection:
        return list(connection.scalars(select(outbox.c.done_at).where(outbox.c.done_at.is_not(None))))


def _is_paged(rig: Rig, incident: Incident | None = None) -> bool:
    """Whether PagerDuty is known to have the page, of the first incident where none is named."""
    incident = incident or rig.store.incident(1)
    return incident is not None and incident.episode.page is PageState.ACCEPTED


def _lives_on(rig: Rig) -> Iterator[Wrong]:
    """The second level, the acknowledgement on the phone, the end; each once."""
    rig.until(lambda: _escalations(rig), "the second level")
    rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "acknowledge"})
    at = datetime.fromisoformat(
        next(one for one in _pages(rig, "checkout")[0].log if one["type"] == "acknowledge_log_entry")["created_at"]
    )
    rig.until(lambda: (one := rig.store.incident(1)) and one.episode.acknowledged_at, "the acknowledgement")
    rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "resolve"})
    rig.until(lambda: (one := rig.store.incident(1)) and not one.is_open, "the end")
    rig.until(lambda: not _waits(rig), "no effect waits")
    yield from levels_once(rig)
    incident = rig.store.incident(1)
    assert incident is not None
    ours = incident.episode.acknowledged_at
    if ours is None or abs(ours - at) > timedelta(seconds=1):
        yield Wrong("lost", f"acknowledged at {ours}, in PagerDuty at {at}")
    if any(bot.deaths for bot in rig.bots):
        yield Wrong("lost", "a process ended for it")


def _waits(rig: Rig) -> bool:
    depth = rig.store.outbox_depth()
    depth.pop("dead", None)
    return bool(depth)


def _escalations(rig: Rig) -> list[dict[str, Any]]:
    with rig.world.lock:
        return [one for page in _pages(rig, "checkout") for one in page.log if one["type"] == "escalate_log_entry"]


def levels_once(rig: Rig) -> Iterator[Wrong]:
    """One page, and each level, reminder and miss at most once; no effect was carried out by two."""
    if len(_pages(rig, "checkout")) != 1:
        yield Wrong("page", f"{len(_pages(rig, 'checkout'))} pages for one incident")
    levels = Counter(str(one["assignees"]) for one in _escalations(rig))
    if any(times > 1 for times in levels.values()):
        yield Wrong("page", f"a level was paged more than once: {levels}")
    timeline = Counter(one.type for one in rig.store.timeline("INC-1"))
    for kind in ("page_accepted", "ack_breached", "reminder"):
        if timeline[kind] > 1:
            yield Wrong("message", f"{timeline[kind]} × {kind} on the timeline")
    ids = Counter(
        one["metadata"]["event_payload"]["outbox_id"]
        for one in rig.messages()
        if one.get("metadata") and not one.get("ephemeral_for")
    )
    for id_, times in ids.items():
        if times > 1:
            yield Wrong("message", f"the message of effect {id_} is there {times} times")


# --- D5 and D6 --------------------------------------------------------------------------------


def _mondays(zone: str) -> Callable[[Stage], Iterator[Wrong]]:
    def play(stage: Stage) -> Iterator[Wrong]:
        for at in TIMES:
            command = [sys.executable, "-m", "tests.faults.weeks", zone, at, "--seed", str(stage.seed)]
            done = subprocess.run(
                command, cwd=TOP, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL
            )
            if done.returncode:
                yield Wrong("lost", f"{zone} {at}: {' '.join(done.stderr.split())[-600:]}")
                continue
            found = json.loads(done.stdout)
            stage.met(found["digests"])
            for kind, what in found["wrong"]:
                yield Wrong(kind, f"{zone} {at}: {what}")

    return play


MONDAY = datetime.fromisoformat("2026-06-15T08:00:00+00:00")
"""Nine o'clock in Lisbon, where the sandbox's team works."""


def _away(name: str) -> Callable[[Stage], Iterator[Wrong]]:
    def play(stage: Stage) -> Iterator[Wrong]:
        world = World(SandboxClock(MONDAY - timedelta(days=4)), is_strict=False)
        _runs_until(world, stage, MONDAY - timedelta(minutes=1))
        world.clock.advance((MONDAY + AWAY[name] - world.clock()).total_seconds())
        stage.met()
        said = [*_runs_until(world, stage, MONDAY + AWAY[name] + timedelta(seconds=1))]
        said += _runs_until(world, stage, MONDAY + AWAY[name] + timedelta(minutes=5))
        yield from digests_said(said, AWAY[name])

    return play


def digests_said(said: list[str], away: timedelta) -> Iterator[Wrong]:
    """The week's digest once; or, a week late, the next one, and a note that this one is left out."""
    weeks = Counter(one.split(" · ")[0] for one in said if one.startswith("Incident week"))
    is_too_late = away >= timedelta(days=7)
    wanted = {f"Incident week {25 if is_too_late else 24}": 1}
    if weeks != wanted:
        yield Wrong("message" if sum(weeks.values()) > 1 else "lost", f"digests after {away}: {dict(weeks)}, not {wanted}")
    notes = [one for one in said if "is left out" in one]
    if len(notes) != int(is_too_late):
        yield Wrong("lost", f"{len(notes)} notes that a digest is left out")


def _runs_until(world: World, stage: Stage, end: datetime) -> list[str]:
    """A bot of its own that runs until then; what it said meanwhile."""
    demo = Demo(world, stage.url)
    demo.start()
    try:
        world.clock.advance(max(0.0, (end - world.clock()).total_seconds()))
        assert demo.bot is not None
        began = time.monotonic()
        demo.bot.numbers.ensure_digest()
        demo.bot.worker().tick()
        while not demo.bot.worker().is_quiet():
            if time.monotonic() - began > PATIENCE:
                raise NeverSeen("the bot comes to rest")
            time.sleep(0.05)
        with world.lock:
            channels = list(demo.sandbox.space.channels.values())
            return [
                one["text"] for channel in channels for one in channel.messages if one.get("bot_id") and not one.get("ephemeral_for")
            ]
    finally:
        demo.stop()


# --- D8 ---------------------------------------------------------------------------------------


def newer_schema(stage: Stage) -> Iterator[Wrong]:
    """A newer version has migrated; the old one leaves the record alone until its own schema is there again."""
    with stage.rigged() as rig:
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        with rig.store.engine.connect() as connection:
            ours = connection.scalar(text("SELECT version_num FROM alembic_version"))
        _schema(rig, "9999")
        stage.met()
        status, said = rig.until(lambda: (found := ready(rig))[0] == 503 and found, "the health page is red", 15)
        time.sleep(3)
        _fires_apart(rig, "While a newer one is there")
        time.sleep(4)
        untouched = rig.store.inbox_depth().get("new", 0), len(rig.store.incidents()), len(rig.sandbox.account.incidents)
        late = subprocess.run(
            [sys.executable, "-m", "bot", "worker", "--migrate"], cwd=TOP, env=rig.environment, capture_output=True, text=True,
            timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        _schema(rig, ours)
        rig.until(lambda: rig.sandbox.account.incidents, "the page once our schema is there again")
        rig.until(rig.is_quiet, "nothing waits")
        if untouched != (1, 0, 0):
            yield Wrong("lost", f"waiting, incidents and pages beside a newer schema: {untouched}, not (1, 0, 0)")
        if late.returncode == 0 or "of a newer version" not in late.stderr + late.stdout:
            yield Wrong("lost", f"one more old worker ended with {late.returncode}: {late.stderr[-200:]}")
        if "of a newer version" not in said:
            yield Wrong("lost", f"the health page says {status} {said!r}, and not why")
        if len(rig.sandbox.account.incidents) != 1:
            yield Wrong("page", f"{len(rig.sandbox.account.incidents)} pages")


def _schema(rig: Rig, revision: str) -> None:
    with rig.store.writing() as work:
        work.connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


# --- D9 ---------------------------------------------------------------------------------------


def put_back(stage: Stage) -> Iterator[Wrong]:
    """The record forgets five minutes in which an alert was paged and somebody acknowledged another."""
    with _kept_database(stage) as (url, keep, restore), rigged(url, stage.folder) as rig:
        rig.runs(COMMANDS["serve"])
        rig.fires("checkout-errors")
        rig.until(lambda: _is_paged(rig), "the page of INC-1")
        rig.until(rig.is_quiet, "nothing waits")
        _end(rig)
        keep()
        _start(rig)
        _fires_apart(rig, "Forgotten")
        forgotten = rig.until(
            lambda: next((one for one in rig.sandbox.account.incidents if "Forgotten" in one.title), None), "its page"
        )
        rig.until(rig.is_quiet, "nothing waits")
        rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "acknowledge"})
        rig.until(lambda: (one := rig.store.incident(1)) and one.episode.acknowledged_at, "the acknowledgement")
        _end(rig)
        restore()
        stage.met()
        _start(rig)
        rig.says("that are not in its record: INC-2")
        rig.until(lambda: (one := rig.store.incident(1)) and one.episode.acknowledged_at, "the acknowledgement is found again")
        rig.fires("checkout-errors")
        _fires_apart(rig, "Something else")
        rig.until(lambda: _titled(rig, "Something else"), "the page of another alert")
        with rig.world.lock:
            rig.sandbox.account.acknowledge(forgotten, "PUBEN01")
        rig.until(lambda: rig.sandbox.webhooks.sent[-1]["status"] == 202, "PagerDuty tells of it")
        rig.until(rig.is_quiet, "nothing waits")
        yield from after_the_restore(rig)


def after_the_restore(rig: Rig) -> Iterator[Wrong]:
    """No second page for what is open, no number twice, nobody's acknowledgement on another's incident."""
    keys = Counter(one.key for one in rig.sandbox.account.incidents)
    titles = Counter(one.title.partition(": ")[2] for one in rig.sandbox.account.incidents)
    if len(keys) != 3 or any(times > 1 for times in (*keys.values(), *titles.values())):
        yield Wrong("page", f"pages after the restore: {dict(keys)}")
    numbers = sorted(one.number for one in rig.store.incidents())
    if numbers != [1, 3]:
        yield Wrong("lost", f"incidents after the restore: {numbers}, not 1 and 3")
    other = rig.store.incident(3)
    if other is not None and other.episode.acknowledged_at is not None:
        yield Wrong("lost", "the acknowledgement of what was forgotten counts for another incident")
    alarms = [one["text"] for one in rig.messages("firstfive-ops") if "not in its record" in one["text"]]
    if len(alarms) != 1:
        yield Wrong("message" if alarms else "lost", f"{len(alarms)} alarms about what the record does not know")


@contextmanager
def _kept_database(stage: Stage) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A database of one's own, how to take a back-up of it, and how to put that back. Nobody may be connected meanwhile."""
    if stage.database == "sqlite":
        file, copy = stage.folder / "faults.db", stage.folder / "back-up.db"
        yield stage.url, lambda: _copied(file, copy), lambda: _copied(copy, file)
        return
    server = Server(is_durable=True)
    try:
        _admin(server, "CREATE DATABASE record")
        yield server.url("record"), lambda: _cloned(server, "record", "kept"), lambda: _cloned(server, "kept", "record")
    finally:
        server.remove()


def _copied(file: Path, to: Path) -> None:
    for end in ("-wal", "-shm"):
        Path(f"{to}{end}").unlink(missing_ok=True)
    if Path(f"{file}-wal").exists():
        raise NeverSeen("a database that nobody has open")
    shutil.copyfile(file, to)


def _cloned(server: Server, name: str, to: str) -> None:
    _admin(server, f"DROP DATABASE IF EXISTS {to}", f"CREATE DATABASE {to} TEMPLATE {name}")


def _admin(server: Server, *statements: str) -> None:
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as one:
        for statement in statements:
            one.execute(statement.encode())


def _end(rig: Rig) -> None:
    """Every process, and our own connections."""
    for bot in rig.bots:
        bot.end()
    rig.store.engine.dispose()


def _start(rig: Rig) -> None:
    for bot in rig.bots:
        bot.start()
    rig.until(rig.is_up, "the bot is up")
