"""A bot as processes, its neighbours as they really are, and people who try again when something fails."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.alerts.registry import source_named
from bot.digest import week_before, week_of
from bot.settings import Settings
from bot.store import Store, migrate, tables
from sandbox.__main__ import SECRET, settings_for
from sandbox.app import Sandbox
from sandbox.calls import ASKER, get, post
from sandbox.person import CannotBe
from sandbox.serving import running
from sandbox.slack.workspace import SlackError
from sandbox.world import World
from tests import warm
from tests.databases import sqlite
from tests.ports import free_port
from tests.warm import Forked

TOP = Path(__file__).parents[2]
PATIENCE = 120.0
"""Seconds until something that has to come is said to be missing. Runs share the machine; I7 and I8 have limits of their own."""
LEASE_SECONDS = 3
SHOWN_SECONDS = 3.0
"""How long a person waits for an answer before they try again."""
LOOK_SECONDS = 0.05
"""From one look at the processes to the next."""
THAW_SECONDS = 8.0
"""Longer than the lease of a run, and than anything its successor needs."""
TEAM_ZONE = ZoneInfo("Europe/Lisbon")
POLICY = """\
team: {name: Faults, zone: Europe/Lisbon}
channels: {announce: incidents, operations: firstfive-ops, digest: incidents}
severities:
  SEV1: {means: Everything, pages: true, acknowledge_within: 3s, reminders: [1s], update_every: 2h}
services:
  checkout: {title: Checkout, pager: checkout}
  payments: {title: Payments, escalation_policy: PEPDEMO, pagerduty_service: PSPAYME}
routes:
  - {name: told only, match: {severity: [medium, low]}, outcome: announce}
  - {name: the rest, match: {}, severity: SEV1}
resolve: {automatic: false, hold: 1s}
"""


class NeverSeen(AssertionError):
    """Something that had to come did not."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a process gets a signal: the n-th time it reaches `point`; or when a neighbour has committed `call`."""

    point: str = ""
    call: str = ""
    time: int = 1
    signal: str = "KILL"

    @property
    def name(self) -> str:
        """As it stands in the table."""
        return self.point or f"{self.call}: committed, answer not read"


@dataclass
class Outage:
    """A process was away: dead, not yet at work, or standing still. `ended` is when it was at work again; None before."""

    began: datetime
    ended: datetime | None = None


@dataclass
class Bot:
    """One process of the bot, started again whenever it dies."""

    rig: "Rig"
    command: str
    port: int
    kills: list[tuple[int, Kill]] = field(default_factory=list)
    """What is left of the plan, each with its place in it."""
    own: Mapping[str, str] = field(default_factory=dict)
    """What its environment has, and that of others has not."""
    within: Sequence[str] = ()
    """The command that starts it, where it does not start in this process's own surroundings."""
    deaths: int = 0
    process: "subprocess.Popen[bytes] | Forked | None" = None
    stopped_at: float | None = None
    stops: int = 0
    keeps_still: bool = False
    """Whether nobody lets it go on where it stands still."""
    starts: int = 0
    _absent: Outage | None = None
    _still: Outage | None = None

    def start(self) -> None:
        """Start it, with the next kill that was planned for it."""
        self.starts += 1
        if self._absent is None:
            self._absent = self._away()
        index, kill = self.kills.pop(0) if self.kills else (0, Kill())
        given = self.rig.environment | {
            "PORT": str(self.port), "FAULT_POINT": kill.point, "FAULT_TIME": str(kill.time), "FAULT_SIGNAL": kill.signal,
            "FAULT_REACHED": str(self.rig.sign_of(index)), "FAULT_UP": str(self._up),
        } | dict(self.own)  # fmt: skip
        if kill.call:
            self.rig.plan(index, kill)
        self.process = self._started([self.command, "--migrate"], given)

    def _started(self, arguments: Sequence[str], given: Mapping[str, str]) -> "subprocess.Popen[bytes] | Forked":
        # A clock that is wrong has to be so before anybody takes it by its name, and what another package brings be found.
        is_plain = "FAULT_CLOCKS" not in given and given.get("PYTHONPATH") == str(TOP)
        if warm.is_possible() and not self.within and is_plain:
            with Path(os.devnull).open("rb") as nothing:
                streams = nothing.fileno(), self.rig.log, self.rig.log
                return warm.starter().start("tests.faults.launch", arguments, TOP, given, streams)
        return subprocess.Popen(
            [*self.within, sys.executable, "-m", "tests.faults.launch", *arguments], cwd=TOP, env=given,
            stdin=subprocess.DEVNULL, stdout=self.rig.log, stderr=self.rig.log,
        )  # fmt: skip

    @property
    def _up(self) -> Path:
        """The file that is there once the process is at work."""
        return self.rig.folder / f"up-{self.port}-{self.starts}"

    def _away(self) -> Outage:
        """From now on it is away, or from a look ago."""
        outage = Outage(self.rig.world.clock() - timedelta(seconds=2 * LOOK_SECONDS))
        self.rig.outages.append(outage)
        return outage

    def is_still(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        return self.process is not None and _stands_still(self.process.pid)

    def has_port(self, port: int) -> bool:
        """Whether a connection of this process comes from that port."""
        return self.process is not None and port in _ports(self.process.pid)

    def hit(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)

    def watch(self) -> None:
        """Start it again if it died; let it go on where it has stood still for long enough."""
        if self.process is None:
            return
        if self.process.poll() is not None:
            self.deaths += 1
            self.start()
            return
        if self._absent is not None and self._up.exists():
            self._absent.ended, self._absent = self.rig.world.clock(), None
        if not _stands_still(self.process.pid):
            if self._still is not None:
                self._still.ended, self._still = self.rig.world.clock(), None
            self.stopped_at = None
        elif self.stopped_at is None:
            self.stopped_at, self.stops = time.monotonic(), self.stops + 1
            self._still = self._away()
        elif time.monotonic() - self.stopped_at > THAW_SECONDS and not self.keeps_still:
            self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """For good."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ports(pid: int) -> set[int]:
    """The ports that the connections of a process come from: https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html"""
    process, found = Path(f"/proc/{pid}"), dict[str, int]()
    with suppress(OSError):
        for table in (process / "net" / "tcp", process / "net" / "tcp6"):
            for line in table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else ():
                words = line.split()
                found[f"socket:[{words[9]}]"] = int(words[1].rpartition(":")[2], 16)
        held = {_leads_to(one) for one in (process / "fd").iterdir()}
        return {port for socket, port in found.items() if socket in held}
    return set()


def _leads_to(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        # Closed meanwhile.
        return ""


def _stands_still(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "T"


class Rig:
    """Everything of one run. People's and senders' actions are repeated until they are answered."""

    def __init__(self, sandbox: Sandbox, database_url: str, folder: Path, **settings: Any) -> None:
        self.sandbox, self.world, self.database_url, self.folder = sandbox, sandbox.world, database_url, folder
        self.log = os.open(folder / "bot.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        given = settings_for(sandbox, sandbox.world.origin, database_url) | {
            "host": "127.0.0.1", "policy_file": folder / "policy.yaml", "log_level": "info", "log_format": "json",
            "pager_poll_seconds": 5, "lease_seconds": LEASE_SECONDS,
        } | settings  # fmt: skip
        ours = {name.upper() for name in Settings.model_fields}
        kept = {name: value for name, value in os.environ.items() if name.upper().removesuffix("_FILE") not in ours}
        self.environment = kept | {name.upper(): str(value) for name, value in given.items()} | {"PYTHONPATH": str(TOP)}
        self.bots: list[Bot] = []
        self.store = Store.at(database_url)
        self.accepted: list[bytes] = []
        """Bodies that were answered with a 2xx."""
        self.accepted_at: dict[str, datetime] = {}
        """When each example was answered for."""
        self.picked_up: tuple[datetime, datetime] | None = None
        """Between which moments the page was acknowledged on the phone; None where that was done in Slack."""
        self.typed: set[str] = set()
        """The commands that people typed until they were answered."""
        self.read: dict[int, dict[str, Any]] = {}
        """Each line of the timelines as it was when it was first read."""
        self.outages: list[Outage] = []
        """When a process was away, newest last."""
        self._planned: list[tuple[int, Kill]] = []
        self._counts: dict[str, int] = {}
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.world.committed = self._committed

    # --- processes ----------------------------------------------------------------------------

    def runs(self, commands: Sequence[str], kills: Sequence[Kill] = (), *, migrated: bool = True) -> None:
        """Start the bot. The kills are for the process that reaches them: each of `commands` gets them all."""
        if migrated:
            self._migrated()
            # A bot that was away over Monday owes one digest.
            now = self.world.clock()
            self.store.set_note("digest/since", week_before(week_before(week_of(now, TEAM_ZONE))))
        for command in commands:
            bot = Bot(self, command, free_port(), list(enumerate(kills)))
            self.bots.append(bot)
            if command != "worker":
                self.world.bot = f"http://127.0.0.1:{bot.port}"
            bot.start()
        self._keeper.start()

    def _migrated(self) -> None:
        url = make_url(self.database_url)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
            sqlite(Path(url.database or ""))
        migrate.upgrade(self.store.engine)

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for bot in self.bots:
                bot.watch()

    def sign_of(self, index: int) -> Path:
        """The file that is there once the kill at that place of the plan was reached."""
        return self.folder / f"reached-{index}"

    def reached(self, kills: Sequence[Kill]) -> list[bool]:
        """Of each kill that was planned, whether its point was reached."""
        return [self.sign_of(index).exists() for index in range(len(kills))]

    def plan(self, index: int, kill: Kill) -> None:
        """Kill whoever makes it when a neighbour has committed the n-th call of that name from now on."""
        if (index, kill) not in self._planned:
            self._planned.append((index, kill))
            self._counts[kill.call] = 0

    def _committed(self, call: str) -> None:
        self._counts[call] = self._counts.get(call, 0) + 1
        for index, kill in [one for one in self._planned if one[1].call == call]:
            if self._counts[call] == kill.time:
                self._planned.remove((index, kill))
                asker = next((bot for bot in self.bots if bot.has_port(ASKER.get())), None)
                if asker is None:
                    raise AssertionError(f"{call} came from none of the processes")
                self.sign_of(index).touch()
                asker.hit(signal.Signals[f"SIG{kill.signal}"])

    def frozen(self) -> bool:
        """Whether some process stands still."""
        return any(bot.stopped_at is not None for bot in self.bots)

    def hits(self) -> int:
        """How often a process died, or stood still."""
        return sum(bot.deaths + bot.stops for bot in self.bots)

    def calls(self) -> "Counter[str]":
        """How often each call has changed something outside."""
        return Counter(self._counts)

    def close(self) -> None:
        """End every process."""
        self._stop.set()
        if self._keeper.is_alive():
            self._keeper.join(timeout=5)
        for bot in self.bots:
            bot.end()
        with suppress(OSError, SQLAlchemyError):
            self._write_down()
        self.store.close()
        os.close(self.log)

    def _write_down(self) -> None:
        """What the neighbours keep, and the record, beside the bots' log: whoever looks into a bad run finds it all there."""
        with self.world.lock:
            neighbours = {
                "slack": self.sandbox.space.ledger, "channels": [asdict(one) for one in self.sandbox.space.channels.values()],
                "pagerduty": self.sandbox.account.ledger, "incidents": [asdict(one) for one in self.sandbox.account.incidents],
                "calls": [asdict(one) for one in self.world.calls],
                "sent": [asdict(one) for one in self.sandbox.outgoing.sent], "webhooks": list(self.sandbox.webhooks.sent),
                "outages": [asdict(one) for one in self.outages],
            }  # fmt: skip
            said = json.dumps(neighbours, default=str, indent=1)
        (self.folder / "neighbours.json").write_text(said, encoding="utf-8")
        with self.store.engine.connect() as connection:
            record = {
                name: [dict(row) for row in connection.execute(table.select()).mappings()]
                for name, table in tables.metadata.tables.items()
            }
        (self.folder / "record.json").write_text(json.dumps(record, default=str, indent=1), encoding="utf-8")

    # --- what people and senders do -----------------------------------------------------------

    def fires(self, example: str) -> None:
        """An alert is sent until it is taken, as Alertmanager does."""
        source = source_named("alertmanager")
        body = next(one for one in source.examples if one.name == example).body_at(self.world.clock())
        headers = {"Content-Type": "application/json", **source.sign(body, SECRET, self.world.clock())}
        self.sends("/hooks/alertmanager/main", body, headers, example)
        self.accepted_at[example] = self.world.clock()

    def other_fires(self) -> None:
        """An alert of another source than the one that storms."""
        source = source_named("grafana")
        body = source.examples[0].body_at(self.world.clock())
        headers = {"Content-Type": "application/json", **source.sign(body, SECRET, self.world.clock())}
        self.sends("/hooks/grafana/main", body, headers, "another source's alert")

    def sends(self, path: str, body: bytes, headers: Mapping[str, str], what: str) -> None:
        """Post until it is taken."""
        self.until(lambda: 200 <= post(f"{self.world.bot}{path}", body, headers, 5).status < 300, f"{what} taken")
        self.accepted.append(body)

    def types(self, person: str, text: str, channel: str = "incidents") -> None:
        """A slash command that changes something, typed again where Slack shows an error."""
        self.typed.add(text)

        def tried() -> bool:
            seen = self.sandbox.people.slash({"person": person, "channel": channel, "text": text})
            said = str((seen.get("ephemeral") or {}).get("text") or "")
            return not seen.get("error") and "ot saved" not in said

        self.until(tried, f"{text!r} answered")

    # --- what is seen -------------------------------------------------------------------------

    def until(self, seen: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Wait for something. Raises `NeverSeen`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = seen()
            if found:
                return found
            time.sleep(0.05)
        raise NeverSeen(what)

    def messages(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Every message of the bot's, or of one channel."""
        with self.world.lock:
            channels = [one for one in self.sandbox.space.channels.values() if channel is None or one.name == channel]
            return [message for one in channels for message in one.messages if message.get("bot_id")]

    def says(self, words: str) -> None:
        """A message with these words is somewhere."""
        self.until(lambda: any(words in one["text"] for one in self.messages()), f"a message with “{words}”")

    def shown(self, does: Callable[[], Any], seen: Callable[[], Any], what: str) -> None:
        """Somebody does something, again where what it should show does not come."""

        def tried() -> Any:
            with suppress(CannotBe, SlackError):
                does()
            end = time.monotonic() + SHOWN_SECONDS
            while not seen() and time.monotonic() < end:
                time.sleep(0.05)
            return seen()

        self.until(tried, what)

    def entries(self) -> dict[int, dict[str, Any]]:
        """Every line of the timelines, by its id."""
        with self.store.engine.connect() as connection:
            return {row["id"]: dict(row) for row in connection.execute(tables.entries.select()).mappings()}

    def reads(self) -> None:
        """Read the timelines as they are by now, to see later whether what was there still is."""
        self.read = self.entries() | self.read

    def is_quiet(self) -> bool:
        """Whether nothing waits: no delivery unread, no effect undone."""
        depth = self.store.outbox_depth()
        depth.pop("dead", None)
        return not depth and not self.store.inbox_depth().get("new", 0)

    def is_up(self) -> bool:
        """Whether the web answers."""
        return get(f"{self.world.bot}/health/live", 1).status == 200


@contextmanager
def rigged(database_url: str, folder: Path, **settings: Any) -> Iterator[Rig]:
    """A rig for as long as the context lasts."""
    with running(World()) as sandbox:
        rig = Rig(sandbox, database_url, folder, **settings)
        try:
            yield rig
        finally:
            rig.close()
