"""Watching the watcher: whatever stops, somebody outside no longer hears from us, and the health page names the cause.

A round is shorter here than by default, and every limit with it: silence within two rounds is silence within 120 s.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import text

from bot.incidents.effects import Lane
from bot.wiring import Bot
from sandbox.__main__ import Demo
from sandbox.calls import get
from sandbox.world import World
from tests.databases import Server
from tests.faults.oracle import Wrong
from tests.faults.rig import NeverSeen
from tests.faults.trials import Stage, Trial

ROUND = 3
SETTLED = 45.0
"""How long a bot may take until it is heard for the first time, or again; it shares the machine with others."""
ALLOWANCE = 1.5
"""For a heartbeat that was on its way."""


@dataclass
class Outside:
    """Somebody who listens for heartbeats, and keeps when each was heard."""

    address: str
    beats: list[float] = field(default_factory=list)

    def hears(self, since: float, what: str) -> None:
        """Wait for a heartbeat after `since`. Raises `NeverSeen`."""
        end = time.monotonic() + SETTLED
        while not any(at > since for at in self.beats):
            if time.monotonic() > end:
                raise NeverSeen(f"a heartbeat {what}")
            time.sleep(0.05)


@contextmanager
def listening() -> Iterator[Outside]:
    """An address for heartbeats, for as long as the context lasts."""

    class Listens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            outside.beats.append(time.monotonic())
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *given: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listens)
    outside = Outside(f"http://127.0.0.1:{server.server_port}/beat")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to the bot, what undoes it, and the words that have to name it."""

    strikes: Callable[[], object]
    heals: Callable[[], object]
    words: str


def silenced(outside: Outside, fault: Fault, told: Callable[[], str]) -> Iterator[Wrong]:
    """Everything that is wrong with how the fault is noticed; `told` is what somebody who looks is told."""
    outside.hears(time.monotonic(), "before the fault")
    fault.strikes()
    struck_at = time.monotonic()
    named_at = None
    while time.monotonic() < struck_at + 3.5 * ROUND + ALLOWANCE:
        if named_at is None and fault.words in told():
            named_at = time.monotonic()
        if named_at is not None and time.monotonic() - max(struck_at, *outside.beats) > 1.7 * ROUND:
            break
        time.sleep(0.1)
    last_seen = told()
    yield from judged(outside.beats, struck_at, named_at, fault.words, last_seen)
    fault.heals()
    outside.hears(time.monotonic(), "after the fault was mended")


def judged(beats: list[float], struck_at: float, named_at: float | None, words: str, last_seen: str) -> Iterator[Wrong]:
    """A heartbeat later than two rounds after the fault, or a cause that nobody named."""
    late = [at - struck_at for at in beats if at - struck_at > 2 * ROUND + ALLOWANCE]
    if late:
        yield Wrong("lost", f"heartbeats went on for {max(late):.1f} s, with a round of {ROUND} s")
    if named_at is None or named_at - struck_at > 2 * ROUND + ALLOWANCE:
        yield Wrong("lost", f"“{words}” was not named in time; {last_seen}")


# --- the bot in this process: what cannot be reached from outside it ----------------------------


@contextmanager
def demonstrated(stage: Stage, outside: Outside) -> Iterator[Demo]:
    """A bot that works in this process, with one incident that waits for somebody."""
    demo = Demo(World(), stage.url, audit_seconds=ROUND, heartbeat_url=outside.address, lease_seconds=2)
    try:
        demo.start()
        answer = demo.fire("alertmanager", "checkout-errors")
        if not answer["ok"]:
            raise NeverSeen(f"an alert taken: {answer}")
        yield demo
    finally:
        demo.stop()


def within(strike: Callable[[Bot], Fault]) -> Callable[[Stage], Iterator[Wrong]]:
    """A trial of a fault inside the process; it has to be told in the operations channel, too, where that can be."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with listening() as outside, demonstrated(stage, outside) as demo:
            assert demo.bot is not None
            _until(lambda: _is_paged(demo), "the page is taken")
            fault = strike(demo.bot)
            yield from silenced(outside, fault, lambda: health(demo.world.bot))
            stage.met()

    return play


def _is_paged(demo: Demo) -> bool:
    assert demo.bot is not None
    with demo.world.lock:
        is_taken = bool(demo.sandbox.account.incidents)
    return is_taken and demo.bot.worker().is_quiet()


def scheduler_stops(bot: Bot) -> Fault:
    """Nothing ticks any more: no poll, no sign of life, no lease is made longer, and no audit either."""
    scheduler = bot.worker()._scheduler._scheduler
    return Fault(scheduler.pause, scheduler.resume, "the tick “leases” of this worker has not come round")


def thread_hangs(bot: Bot) -> Fault:
    """Whoever carries out chat is stuck in it, and so is everybody who tries after."""
    lane, go_on = bot.worker()._deliveries[Lane.CHAT], threading.Event()
    whole = lane._deliver

    def hangs(*given: Any) -> Any:
        go_on.wait(60)
        return whole(*given)

    def strike() -> None:
        lane._deliver = hangs
        _say(bot)

    def heal() -> None:
        lane._deliver = whole
        go_on.set()

    return Fault(strike, heal, "has not come round")


def timer_vanishes(bot: Bot) -> Fault:
    """The timer at the end of the target is deleted: nobody would ask for the next level."""
    with bot.store.reading() as work:
        row = work.connection.execute(text("SELECT * FROM timers WHERE key = 'INC-1/1/target'")).mappings().one()
    kept = dict(row)
    columns, marks = ", ".join(kept), ", ".join(f":{name}" for name in kept)
    return Fault(
        lambda: _does(bot, "DELETE FROM timers WHERE key = 'INC-1/1/target'"),
        lambda: _does(bot, f"INSERT INTO timers ({columns}) VALUES ({marks})", _stored(kept)),
        "INC-1 waits for an acknowledgement, and no timer will ask for the next level",
    )


def row_freezes(bot: Bot) -> Fault:
    """An effect is `sending` for ever: whoever holds it neither finishes it nor lets go of it."""
    with bot.store.reading() as work:
        seq = work.connection.scalar(text("SELECT max(seq) FROM outbox WHERE kind = 'ShowSummary'"))
    froze = "UPDATE outbox SET state = 'sending', owner = 'nobody', lease_until = '2099-01-01 00:00:00+00' WHERE seq = :seq"
    if bot.store.engine.dialect.name == "sqlite":
        froze = froze.replace("+00'", ".000000'")
    return Fault(
        lambda: _does(bot, froze, {"seq": seq}),
        lambda: _does(bot, "UPDATE outbox SET state = 'done' WHERE seq = :seq", {"seq": seq}),
        "ShowSummary of INC-1 has waited for",
    )


def _say(bot: Bot) -> None:
    """Something that has to be told in chat, whatever the incident does of itself meanwhile."""
    _does(bot, "UPDATE outbox SET state = 'pending' WHERE seq = (SELECT max(seq) FROM outbox WHERE kind = 'ShowSummary')")
    bot.wakeups.lanes[Lane.CHAT].wake_all()


def _does(bot: Bot, statement: str, values: Mapping[str, Any] | None = None) -> None:
    with bot.store.writing() as work:
        if work.connection.execute(text(statement), values or {}).rowcount != 1:
            raise NeverSeen(f"a row for {statement}")


def _stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as plain SQL takes it back: JSON as text."""
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}


# --- the bot as processes -----------------------------------------------------------------------


def worker_stands_still(stage: Stage) -> Iterator[Wrong]:
    """The only worker is stopped (SIGSTOP): it reports nothing, and holds what it holds."""
    with listening() as outside, stage.rigged(audit_seconds=ROUND, heartbeat_url=outside.address) as rig:
        rig.runs(("web", "worker"))
        worker = rig.bots[1]
        worker.keeps_still = True
        fault = Fault(lambda: worker.hit(signal.SIGSTOP), lambda: worker.hit(signal.SIGCONT), "nobody pages or writes")
        yield from silenced(outside, fault, lambda: health(rig.world.bot))
        stage.met()


def web_stands_still(stage: Stage) -> Iterator[Wrong]:
    """The only web process is stopped: no alert comes in. The worker says so in the operations channel."""
    with listening() as outside, stage.rigged(audit_seconds=ROUND, heartbeat_url=outside.address) as rig:
        rig.runs(("web", "worker"))
        web = rig.bots[0]
        web.keeps_still = True
        fault = Fault(lambda: web.hit(signal.SIGSTOP), lambda: web.hit(signal.SIGCONT), "nobody takes alerts in")
        yield from silenced(outside, fault, lambda: " ".join(one["text"] for one in rig.messages("firstfive-ops")))
        stage.met()


def database_stops(stage: Stage) -> Iterator[Wrong]:
    """The database is stopped, and started again."""
    server = Server(is_durable=True)
    try:
        own = Stage(stage.database, server.url("postgres"), stage.folder, stage.seed)
        with listening() as outside, own.rigged(audit_seconds=ROUND, heartbeat_url=outside.address) as rig:
            rig.runs(("web", "worker"))
            fault = Fault(lambda: server.stop("immediate"), server.start, "the database cannot be used")
            yield from silenced(outside, fault, lambda: health(rig.world.bot))
            stage.met()
    finally:
        server.remove()


def slack_goes_down(stage: Stage) -> Iterator[Wrong]:
    """Slack is down while an incident opens: its people are paged, and nobody reads what is said."""
    with listening() as outside, stage.rigged(audit_seconds=ROUND, heartbeat_url=outside.address) as rig:
        rig.runs(("serve",))

        def strike() -> None:
            rig.world.break_("slack", "down")
            rig.fires("checkout-errors")

        fault = Fault(strike, lambda: rig.world.break_("slack", "up"), "of INC-1 has waited for")
        yield from silenced(outside, fault, lambda: health(rig.world.bot))
        stage.met()


def health(bot: str) -> str:
    """The health page, whatever its status."""
    return get(f"{bot}/health/ready", 5).body.decode(errors="replace")


def _until(seen: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SETTLED
    while not seen():
        if time.monotonic() > end:
            raise NeverSeen(what)
        time.sleep(0.05)


def trials(seeds: range) -> Iterator[Trial]:
    """Everything that can stop, once: chance has no part in it."""
    for seed in seeds[:1]:
        for database in ("sqlite", "postgresql"):
            yield Trial("G the scheduler stops", database, seed, within(scheduler_stops), is_alone=True)
            yield Trial("G a lane's threads hang", database, seed, within(thread_hangs), is_alone=True)
            yield Trial("G a timer's row vanishes", database, seed, within(timer_vanishes), is_alone=True)
            yield Trial("G a row is frozen in `sending`", database, seed, within(row_freezes), is_alone=True)
            yield Trial("G Slack is down", database, seed, slack_goes_down, is_alone=True)
        yield Trial("G the only worker stands still", "postgresql", seed, worker_stands_still, is_alone=True)
        yield Trial("G the only web process stands still", "postgresql", seed, web_stands_still, is_alone=True)
        yield Trial("G the database stops", "postgresql", seed, database_stops, is_alone=True)
