"""What a machine may have too little of: files that a process may open, and memory."""

import itertools
import os
import random
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bot.incidents.incident import PageState
from tests.faults import oracle, story
from tests.faults.inbound import Sent, sends_alert
from tests.faults.machine import ready, taken_is_kept
from tests.faults.oracle import Wrong
from tests.faults.rig import Bot, NeverSeen, Rig
from tests.faults.runs import COMMANDS
from tests.faults.trials import Stage, Trial

SENT, APART_SECONDS = 16, 0.4
"""Deliveries while nothing can be opened, and the time between two."""
KILLS, PAUSE_SECONDS = 4, (0.5, 4.0)
"""How often a process is killed in one run, and the shortest and longest time between two."""


def trials(seeds: range) -> Iterator[Trial]:
    """Every fault of this module, on both databases."""
    for seed in seeds:
        for database in ("sqlite", "postgresql"):
            yield Trial("D7 no more files can be opened", database, seed, no_more_files)
            yield Trial("D7 killed for its memory, at any moment", database, seed, killed_for_memory)


# --- files ------------------------------------------------------------------------------------


def no_more_files(stage: Stage) -> Iterator[Wrong]:
    """No process of the bot may open a file or a connection more than it has; then it may again."""
    with stage.rigged() as rig:
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        rig.until(lambda: sends_alert(rig, "before", "firing").status == 202, "a delivery before it")
        rig.until(rig.is_quiet, "nothing waits")
        with ThreadPoolExecutor(SENT) as pool:
            with _full(rig):
                # Every fourth has to page somebody.
                sent = [_later(pool, rig, f"scarce-{number}", "resolved" if number % 4 else "firing") for number in range(SENT)]
            answers = [one.result() for one in sent]
        stage.met(sum(one.status != 202 or one.seconds > APART_SECONDS for one in answers))
        began = time.monotonic()
        rig.until(lambda: sends_alert(rig, "after", "firing").status == 202, "deliveries are taken again", 30)
        took = time.monotonic() - began
        rig.until(lambda: ready(rig)[0] == 200, "the bot is ready again", 30)
        rig.until(rig.is_quiet, "nothing waits")
        yield from taken_is_kept(rig.store, [one.name for one in answers if one.status == 202])
        # Nobody there to answer, or somebody who says that it cannot be kept: the sender tries again.
        if codes := Counter(one.status for one in answers if one.status not in (0, 202, 503)):
            yield Wrong("lost", f"answers while nothing could be opened: {dict(codes)}")
        if took > 10:
            yield Wrong("lost", f"deliveries were taken again only after {took:.0f} s")
        if any(bot.deaths for bot in rig.bots):
            yield Wrong("lost", "a process ended for it")
        titles = Counter(one.title for one in rig.sandbox.account.incidents)
        if any(times > 1 for times in titles.values()):
            yield Wrong("page", f"paged twice: {dict(titles)}")
        if any(one.episode.page is not PageState.ACCEPTED for one in rig.store.open_incidents()):
            yield Wrong("lost", "an incident whose page PagerDuty has not, or of which the record does not know it")


def _later(pool: ThreadPoolExecutor, rig: Rig, name: str, status: str) -> "Future[Sent]":
    """Send it without a wait for the answer, which may not come."""
    time.sleep(APART_SECONDS)
    return pool.submit(sends_alert, rig, name, status)


@contextmanager
def _full(rig: Rig) -> Iterator[None]:
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in map(_pid, rig.bots)}
    try:
        for pid, (_, most) in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_lowest_free(pid), most))
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _lowest_free(pid: int) -> int:
    """The number that the next file would get: with that as the limit there is none, whatever is open above it."""
    open_ = {int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in itertools.count() if number not in open_)


def _pid(bot: Bot) -> int:
    assert bot.process is not None
    return bot.process.pid


# --- memory -----------------------------------------------------------------------------------


def killed_for_memory(stage: Stage) -> Iterator[Wrong]:
    """The kernel needs memory, and takes a process for it: no point of ours, any moment, several times in one story."""
    with stage.rigged() as rig:
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        over = threading.Event()
        killer = threading.Thread(target=_kills, args=(rig, random.Random(f"memory/{stage.seed}/{stage.database}"), over))
        killer.start()
        try:
            story.told(rig)
            rig.until(rig.is_quiet, "nothing waits")
        except NeverSeen as never:
            yield Wrong("lost", f"never seen: {never}")
        finally:
            over.set()
            killer.join()
        stage.met(rig.hits())
        yield from oracle.judged(rig)


def _kills(rig: Rig, chance: random.Random, over: threading.Event) -> None:
    for _ in range(KILLS):
        if over.wait(chance.uniform(*PAUSE_SECONDS)):
            return
        bot = chance.choice(rig.bots)
        if bot.process is not None and bot.process.poll() is None:
            os.kill(bot.process.pid, 9)
