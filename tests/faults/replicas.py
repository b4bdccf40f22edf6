"""Several replicas on one PostgreSQL, under a storm: each may die, lose the database, or find it locked, full or gone.

Each replica reaches the database by a way of its own, which can be cut. Senders try again at any replica until they are
answered, as Alertmanager does. What came of it is counted in what the neighbours keep, and in the record.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import make_url, text

from bot import points
from bot.alerts.registry import source_named
from bot.clock import wall_clock
from bot.digest import week_before, week_of
from bot.incidents.effects import PageOnCall
from sandbox.__main__ import SECRET
from sandbox.calls import get, post
from tests.databases import Server
from tests.faults.oracle import Wrong
from tests.faults.rig import TEAM_ZONE, Bot, Kill, NeverSeen, Rig
from tests.faults.trials import Stage, Trial
from tests.ports import free_port

DELIVERIES, SECONDS = 1000, 20.0
"""Of a storm that is disturbed once."""
MANY, MINUTE = 10_000, 60.0
"""Of one in which somebody dies each five seconds."""
FINGERPRINTS = 100
SERVICES = 10
SENDERS = 16
SENDER_WAITS = 5.0
FAILOVER_SECONDS = 15.0
RECOVERY_SECONDS = 10.0
QUIET_SECONDS = 120.0
LOCKED_SECONDS = 30.0
HIGHEST_LEVEL = 3
DISTURBER = "disturber"
ENDS_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    f" WHERE backend_type = 'client backend' AND application_name <> '{DISTURBER}'"
).encode()
POLICY = "\n".join([
    "team: {name: Storm, zone: Europe/Lisbon}",
    "channels: {announce: incidents, operations: firstfive-ops, digest: incidents}",
    "severities:",
    "  SEV1: {means: Everything, pages: true, acknowledge_within: 6s, reminders: [3s], update_every: 2h}",
    "services:",
    *(f"  service-{number}: {{title: Service {number}}}" for number in range(SERVICES)),
    "routes: [{name: all, match: {}, severity: SEV1}]",
])  # fmt: skip


# --- the way to the database ------------------------------------------------------------------


class Way:
    """A TCP proxy to the database. Cut, it refuses everybody; silent, it takes all and passes nothing on, until mended."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._to = port
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()[:2]
        self._open: set[socket.socket] = set()
        self._change = threading.Lock()
        self._state = "whole"
        self._passes = threading.Event()
        self._passes.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, and take no new one."""
        self._state = "cut"
        with self._change:
            for one in self._open:
                _drop(one)

    def hush(self) -> None:
        """Pass nothing on."""
        self._passes.clear()

    def mend(self) -> None:
        """As it was."""
        self._state = "whole"
        self._passes.set()

    def close(self) -> None:
        """For good."""
        self.cut()
        self._passes.set()
        _drop(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._state == "cut":
                _drop(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to), 5)
            except OSError:
                _drop(near)
                continue
            far.settimeout(None)
            with self._change:
                self._open |= {near, far}
            for come, go in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(come, go), daemon=True).start()

    def _pump(self, come: socket.socket, go: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while some := come.recv(65_536):
                self._passes.wait()
                go.sendall(some)
        with self._change:
            self._open -= {come, go}
        _drop(come)
        _drop(go)


def _drop(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class Apart:
    """Surroundings with a network of their own: one link to the database, which can be pulled, one to everything else."""

    def __init__(self) -> None:
        self.name = f"firstfive-{os.getpid()}-{random.SystemRandom().randrange(250)}"
        number = self.name.rpartition("-")[2]
        self._database, rest = f"ffd{number}", f"ffr{number}"
        self.near = {"database": f"10.213.{number}.1", "rest": f"10.214.{number}.1"}
        self.address = f"10.214.{number}.2"
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for link, inside, near in ((self._database, "db0", self.near["database"]), (rest, "rest0", self.near["rest"])):
            _ip("link", "add", link, "type", "veth", "peer", "name", inside, "netns", self.name)
            _ip("addr", "add", f"{near}/30", "dev", link)
            _ip("link", "set", link, "up")
            _ip("-n", self.name, "addr", "add", f"{near[:-1]}2/30", "dev", inside)
            _ip("-n", self.name, "link", "set", inside, "up")

    @property
    def within(self) -> tuple[str, ...]:
        """The command that starts a process in it."""
        return "ip", "netns", "exec", self.name

    def cut(self) -> None:
        """Pull the link to the database: no answer, no refusal, nothing."""
        _ip("link", "set", self._database, "down")

    def mend(self) -> None:
        """Put it back."""
        _ip("link", "set", self._database, "up")

    def remove(self) -> None:
        """For good; its links go with it."""
        _ip("netns", "del", self.name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@cache
def no_namespaces() -> str:
    """Why there can be no network namespaces here; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        Apart().remove()
    except FileNotFoundError:
        return "network namespaces need iproute2"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.strip()}"
    return ""


# --- replicas ---------------------------------------------------------------------------------


@dataclass
class Replica:
    """The processes of one machine, and its way to the database."""

    way: Way
    bots: list[Bot]
    address: str
    """Where its web answers."""

    def dies(self) -> None:
        """Every process of it; the rig starts them again."""
        for bot in self.bots:
            bot.hit(signal.SIGKILL)

    def is_red(self) -> bool:
        """Whether its health page answers, and says that it is not ready."""
        return get(f"{self.address}/health/ready", 8).status == 503


@dataclass
class Place:
    """Everything of one trial."""

    rig: Rig
    replicas: list[Replica]
    server: Server | None

    def admin(self) -> "psycopg.Connection[Any]":
        """A connection past every way, for whoever disturbs."""
        address = self.rig.database_url.replace("+psycopg", "")
        return psycopg.connect(address, autocommit=True, application_name=DISTURBER)


@contextmanager
def placed(
    stage: Stage, count: int, commands: tuple[str, ...] = ("serve",), *, own: bool = False, **settings: Any
) -> Iterator[Place]:
    """`count` replicas of the bot; with `own` on a server that nobody else uses."""
    with ExitStack() as stack:
        server = Server(is_durable=True) if own else None
        if server is not None:
            stack.callback(server.remove)
        url = server.url("postgres") if server else stage.url
        port = make_url(url).port
        assert port is not None
        rig = stack.enter_context(Stage(stage.database, url, stage.folder, stage.seed).rigged(**settings))
        (stage.folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        rig.runs(())
        replicas = []
        for _ in range(count):
            way = Way(port)
            stack.callback(way.close)
            replicas.append(started(rig, way, commands))
        # PagerDuty and Slack speak to one of them; that one is never the one that is cut off.
        rig.world.bot = replicas[0].address
        rig.until(lambda: all(get(f"{one.address}/health/ready", 2).status == 200 for one in replicas), "every replica is ready")
        yield Place(rig, replicas, server)


def started(rig: Rig, way: Way, commands: tuple[str, ...], kill: Kill | None = None) -> Replica:
    """A replica, which reaches the database by `way`; with `kill`, each of its processes gets that signal there."""
    bots = [Bot(rig, command, free_port(), [(0, kill)] if kill else [], own={"DATABASE_URL": _url(rig, way)}) for command in commands]
    for bot in bots:
        bot.start()
    rig.bots += bots
    address = next((f"http://127.0.0.1:{bot.port}" for bot in bots if bot.command != "worker"), "")
    return Replica(way, bots, address)


def started_apart(rig: Rig, apart: Apart, way: Way, rest: Way) -> Replica:
    """A replica with a network of its own. `way` leads to the database, `rest` to Slack and PagerDuty."""
    origin = rig.world.origin.removeprefix("http://")
    own = {name: value.replace(origin, f"{rest.host}:{rest.port}") for name, value in rig.environment.items() if origin in value}
    own |= {"DATABASE_URL": _url(rig, way), "HOST": "0.0.0.0"}
    bot = Bot(rig, "serve", free_port(), own=own, within=apart.within)
    bot.start()
    rig.bots.append(bot)
    return Replica(way, [bot], f"http://{apart.address}:{bot.port}")


def _url(rig: Rig, way: Way) -> str:
    return make_url(rig.database_url).set(host=way.host, port=way.port).render_as_string(hide_password=False)


# --- the storm --------------------------------------------------------------------------------


@dataclass
class Storm:
    """Deliveries, each sent until some replica took it. `answers` is (when, replica, status) of every try."""

    place: Place
    seed: int
    total: int = DELIVERIES
    seconds: float = SECONDS
    answers: list[tuple[float, int, int]] = field(default_factory=list)
    accepted: list[bytes] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)

    def blows(self) -> None:
        """Send everything, evenly over the time there is."""
        numbers = list(range(self.total))
        random.Random(self.seed).shuffle(numbers)
        with ThreadPoolExecutor(SENDERS) as senders:
            list(senders.map(self._send, enumerate(numbers)))

    def _send(self, one: tuple[int, int]) -> None:
        place, number = one
        time.sleep(max(0.0, self.began_at + self.seconds * place / self.total - time.monotonic()))
        body = alert(number)
        chance = random.Random(f"{self.seed}/{number}")
        end = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < end:
            replica = chance.randrange(len(self.place.replicas))
            status = sent(self.place.replicas[replica].address, body)
            self.answers.append((time.monotonic(), replica, status))
            if 200 <= status < 300:
                self.accepted.append(body)
                return
            time.sleep(0.5)
        raise NeverSeen(f"delivery {number} taken")

    def taken_by(self, replica: int, since: float, until: float) -> int:
        """How many deliveries a replica took in a span of time."""
        return sum(one == replica and 200 <= status < 300 and since < at < until for at, one, status in self.answers)

    def first_taken(self, since: float) -> float:
        """How long after a moment the next delivery was taken; infinite where none was."""
        return min((at - since for at, _, status in self.answers if at > since and 200 <= status < 300), default=float("inf"))


def sent(address: str, body: bytes) -> int:
    """Post a delivery once; the status, and 0 where nobody answered."""
    return post(f"{address}/hooks/alertmanager/main", body, signed(body), SENDER_WAITS).status


def signed(body: bytes) -> dict[str, str]:
    """The headers of a delivery."""
    return {"Content-Type": "application/json", **source_named("alertmanager").sign(body, SECRET, wall_clock())}


def alert(number: int, prints: int = FINGERPRINTS, services: int = SERVICES) -> bytes:
    """One delivery of a storm: an alert that fires again, or for the first time, under one of so many fingerprints."""
    fingerprint = number % prints
    service = f"service-{fingerprint % services}"
    one = {
        "status": "firing", "fingerprint": f"{fingerprint:016x}", "startsAt": "2026-11-02T10:00:00Z",
        "labels": {"alertname": f"Alert{fingerprint}", "service": service, "severity": "critical"},
        "annotations": {"summary": f"{service} fails, {fingerprint}", "description": f"delivery {number}"},
    }  # fmt: skip
    body = {"version": "4", "receiver": "firstfive", "status": "firing", "groupKey": f"{{}}:{fingerprint}", "alerts": [one]}
    return json.dumps(body).encode()


def weathered(
    place: Place, stage: Stage, disturb: Callable[[Storm], None], total: int = DELIVERIES, seconds: float = SECONDS
) -> Storm:
    """A storm with a disturbance in the midst of it, until everything is said and done. Raises `NeverSeen`."""
    storm = Storm(place, stage.seed, total, seconds)
    with ThreadPoolExecutor(1) as other:
        disturbed = other.submit(disturb, storm)
        storm.blows()
        disturbed.result()
    stage.met()
    place.rig.until(lambda: _is_over(place.rig), "everything is said and done", QUIET_SECONDS)
    return storm


def _is_over(rig: Rig) -> bool:
    """Every level asked for, nothing waits, and it stays so: the wheels still turn for cards, which are drawn anew."""
    if not rig.is_quiet():
        return False
    with rig.store.reading() as work:
        waiting = work.connection.scalar(text("SELECT count(*) FROM timers WHERE key LIKE '%/target' OR key LIKE '%/reminder/%'"))
    return not waiting


# --- what must hold ---------------------------------------------------------------------------


def judged(rig: Rig, accepted: list[bytes]) -> Iterator[Wrong]:
    """Everything that is wrong after a storm: the same totals, whatever happened to the replicas."""
    yield from _deliveries(rig, accepted)
    yield from _incidents(rig, accepted)
    yield from _pages(rig)
    yield from _messages(rig)


def _deliveries(rig: Rig, accepted: list[bytes]) -> Iterator[Wrong]:
    with rig.store.reading() as work:
        rows = work.connection.execute(text("SELECT body, state FROM inbox WHERE source = 'alertmanager'")).all()
        dead = work.connection.execute(text("SELECT kind, reason FROM outbox WHERE state = 'dead'")).all()
    kept = Counter(bytes(row.body) for row in rows)
    undone = Counter(row.state for row in rows if row.state != "done")
    if undone:
        yield Wrong("lost", f"deliveries are not handled: {dict(undone)}")
    missing = [body for body in accepted if not kept[body]]
    if missing:
        yield Wrong("lost", f"{len(missing)} deliveries that were answered for are not in the inbox")
    for kind, reason in dead:
        yield Wrong("lost", f"{kind} was given up: {reason}")


def _incidents(rig: Rig, accepted: list[bytes]) -> Iterator[Wrong]:
    """One incident a service, with every alert in it, and one channel each."""
    found = rig.store.incidents()
    services = {json.loads(body)["alerts"][0]["labels"]["service"] for body in accepted}
    prints = {json.loads(body)["alerts"][0]["fingerprint"] for body in accepted}
    if len(found) != len(services):
        yield Wrong("channel" if len(found) > len(services) else "lost", f"{len(found)} incidents for {len(services)} services")
    alerts = [one for incident in found for one in incident.alerts]
    if len(alerts) != len(prints):
        yield Wrong("lost", f"{len(alerts)} alerts in incidents, {len(prints)} fired")
    with rig.store.reading() as work:
        bodies = work.connection.scalar(text("SELECT count(*) FROM inbox WHERE source = 'alertmanager'")) or 0
        reports = work.connection.scalar(text("SELECT sum(reports) FROM alerts")) or 0
    if reports != bodies:
        yield Wrong("lost" if reports < bodies else "message", f"{reports} reports are counted of {bodies} deliveries")
    with rig.world.lock:
        names = Counter(one.name for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-"))
    if sum(names.values()) != len(found):
        yield Wrong("channel" if sum(names.values()) > len(found) else "lost", f"{sum(names.values())} channels: {sorted(names)}")


def _pages(rig: Rig) -> Iterator[Wrong]:
    """One page an incident, each level and each timer once."""
    found = rig.store.incidents()
    with rig.world.lock:
        keys = Counter(one.key for one in rig.sandbox.account.incidents)
        moved = [
            (one.key, str(entry["assignees"]), times)
            for one in rig.sandbox.account.incidents
            for entry, times in _counted([line for line in one.log if line["type"] == "escalate_log_entry"])
        ]
    for key in {one.episode.dedup_key for one in found} - set(keys):
        yield Wrong("lost", f"nobody was paged by {key}")
    twice = {key: times for key, times in keys.items() if times > 1}
    if twice or len(keys) > len(found):
        yield Wrong("page", f"{sum(keys.values())} pages for {len(found)} incidents: {twice}")
    for key, level, times in moved:
        if times > 1:
            yield Wrong("page", f"{level} of {key} was paged {times} times")
    for one in found:
        types = Counter(entry.type for entry in rig.store.timeline(one.ref))
        for wanted, times in {"opened": 1, "page_requested": 1, "page_accepted": 1, "reminder": 1, "ack_breached": 1}.items():
            if types[wanted] != times:
                # A reminder that could only come after the target has passed is not sent any more.
                if wanted == "reminder" and types[wanted] < times:
                    continue
                yield Wrong("page" if types[wanted] > times else "lost", f"{one.ref} has {types[wanted]} entries {wanted}")
        if one.episode.level != HIGHEST_LEVEL:
            yield Wrong("lost", f"{one.ref} came to level {one.episode.level} only")


def _counted(lines: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Each escalation, with how often the same people were asked."""
    times = Counter(str(line["assignees"]) for line in lines)
    return [(line, times[str(line["assignees"])]) for line in lines]


def _messages(rig: Rig) -> Iterator[Wrong]:
    """No message twice, by the effect that each carries; none lost; one digest."""
    said = rig.messages()
    ids = Counter(
        one["metadata"]["event_payload"]["outbox_id"] for one in said if one.get("metadata") and not one.get("ephemeral_for")
    )
    for id_, times in ids.items():
        if times > 1:
            yield Wrong("message", f"the message of effect {id_} is there {times} times")
    with rig.store.reading() as work:
        done = work.connection.execute(
            text("SELECT id, kind FROM outbox WHERE state = 'done' AND kind IN ('Say', 'RaiseAlarm')")
        ).all()
    for id_, kind in done:
        if id_ not in ids:
            yield Wrong("lost", f"{kind} {id_} is done, and no message is there")
    digests = [one for one in rig.messages("incidents") if one["text"].startswith("Incident week") and not one.get("ephemeral_for")]
    if len(digests) != 1:
        yield Wrong("message" if digests else "lost", f"{len(digests)} digests")


def paged_soon(rig: Rig) -> Iterator[Wrong]:
    """Whoever had a page when it died, another one has sent it soon enough."""
    with rig.world.lock:
        taken = {one.key: one.created_at for one in reversed(rig.sandbox.account.incidents)}
    for one in rig.store.incidents():
        late = taken[one.episode.dedup_key] - one.episode.opened_at if one.episode.dedup_key in taken else timedelta(0)
        if late.total_seconds() > FAILOVER_SECONDS:
            yield Wrong("late", f"the page of {one.ref} was taken {late.total_seconds():.1f} s after it was opened")


def recovered(storm: Storm, since: float, what: str) -> Iterator[Wrong]:
    """Whether somebody was let in soon enough after the database was back."""
    after = storm.first_taken(since)
    if after > RECOVERY_SECONDS:
        yield Wrong("lost", f"{what}: the next delivery was taken {after:.1f} s after it was over")


# --- the trials -------------------------------------------------------------------------------


def one_dies_each_five_seconds(count: int) -> Callable[[Stage], Iterator[Wrong]]:
    """E3: one replica after the other is killed, all its processes at once, and started again; the leases are as they are
    by default.
    """

    def play(stage: Stage) -> Iterator[Wrong]:
        commands = ("web", "worker") if count == 2 else ("serve",)
        with placed(stage, count, commands, lease_seconds=10) as place:
            died: list[float] = []

            def disturb(storm: Storm) -> None:
                for number in range(int(MINUTE // 5)):
                    time.sleep(max(0.0, storm.began_at + 5 * number + 2.5 - time.monotonic()))
                    place.replicas[number % count].dies()
                    died.append(time.monotonic())
                    stage.met()

            storm = weathered(place, stage, disturb, MANY, MINUTE)
            yield from judged(place.rig, storm.accepted)
            for at in died:
                if (after := storm.first_taken(at)) > FAILOVER_SECONDS:
                    yield Wrong("lost", f"after a replica died nothing was taken for {after:.1f} s")
            yield from paged_soon(place.rig)

    return play


def database_restarts(how: str) -> Callable[[Stage], Iterator[Wrong]]:
    """D1: the server is stopped in the midst of a storm, and started two seconds later."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with placed(stage, 2, own=True) as place:
            server, back = place.server, []
            assert server is not None

            def disturb(storm: Storm) -> None:
                time.sleep(6)
                server.kill() if how == "kill -9" else server.stop(how)
                time.sleep(2)
                server.start()
                back.append(time.monotonic())

            storm = weathered(place, stage, disturb)
            yield from judged(place.rig, storm.accepted)
            yield from recovered(storm, back[0], f"restarted ({how})")

    return play


def one_is_cut_off(how: str) -> Callable[[Stage], Iterator[Wrong]]:
    """E5: one of two replicas cannot reach the database for some seconds, then can again."""

    def play(stage: Stage) -> Iterator[Wrong]:
        with placed(stage, 2) as place:
            lost, span, red = place.replicas[1], [0.0, 0.0], list[bool]()

            def disturb(storm: Storm) -> None:
                time.sleep(4)
                lost.way.hush() if how == "silent" else lost.way.cut()
                span[0] = time.monotonic()
                time.sleep(2)
                if how == "refused":
                    red.append(lost.is_red())
                time.sleep(span[0] + 8 - time.monotonic())
                span[1] = time.monotonic()
                lost.way.mend()

            storm = weathered(place, stage, disturb)
            yield from judged(place.rig, storm.accepted)
            yield from closed(storm, 1, span[0], span[1])
            if red == [False]:
                yield Wrong("lost", "the health page of a replica without a database is not red")
            back = storm.taken_by(1, span[1], span[1] + RECOVERY_SECONDS)
            if not back:
                yield Wrong("lost", f"the replica took nothing within {RECOVERY_SECONDS:.0f} s after it could again")

    return play


def link_is_pulled(stage: Stage) -> Iterator[Wrong]:
    """E5: the link between one of two replicas and the database is pulled, for longer than any timeout of ours."""
    with placed(stage, 1) as place, ExitStack() as stack:
        rig = place.rig
        apart = Apart()
        stack.callback(apart.remove)
        database, origin = make_url(rig.database_url).port, urlsplit(rig.world.origin).port
        assert database is not None
        assert origin is not None
        way, rest = Way(database, apart.near["database"]), Way(origin, apart.near["rest"])
        stack.callback(way.close)
        stack.callback(rest.close)
        lost = started_apart(rig, apart, way, rest)
        stack.callback(lost.bots[0].end)
        place.replicas.append(lost)
        rig.until(lambda: get(f"{lost.address}/health/ready", 2).status == 200, "the replica apart is ready")
        span, red = [0.0, 0.0], list[bool]()

        def disturb(storm: Storm) -> None:
            time.sleep(3)
            apart.cut()
            span[0] = time.monotonic()
            time.sleep(7)
            red.append(lost.is_red())
            time.sleep(span[0] + 12 - time.monotonic())
            span[1] = time.monotonic()
            apart.mend()

        storm = weathered(place, stage, disturb)
        yield from judged(rig, storm.accepted)
        yield from closed(storm, 1, span[0], span[1])
        if red == [False]:
            yield Wrong("lost", "the health page of a replica without a database is not red")
        if not storm.taken_by(1, span[1], span[1] + RECOVERY_SECONDS):
            yield Wrong("lost", f"the replica took nothing within {RECOVERY_SECONDS:.0f} s after the link was back")


def stands_still_in_a_transaction(stage: Stage) -> Iterator[Wrong]:
    """E3: a worker stops in the midst of opening an incident, with every lock in its hands; the other one takes over."""
    with placed(stage, 1, ("web",), lease_seconds=10) as place:
        rig, way = place.rig, place.replicas[0].way
        # No digest is owed: the first decision is the one about the alert.
        rig.store.set_note("digest/since", week_before(week_of(rig.world.clock(), TEAM_ZONE)))
        stops = started(rig, way, ("worker",), Kill(point=points.DECISION_BEFORE, signal="STOP")).bots[0]
        stops.keeps_still = True
        rig.until(lambda: _is_seen(rig, 1), "the worker is seen")
        rig.sends("/hooks/alertmanager/main", alert(0), signed(alert(0)), "a fresh alert")
        rig.until(lambda: stops.is_still(), "the worker stands still")
        stopped_at = time.monotonic()
        stage.met()
        started(rig, way, ("worker",))
        _until_more(rig, 0)
        took = time.monotonic() - stopped_at
        if took > FAILOVER_SECONDS:
            yield Wrong("lost", f"the page was accepted {took:.1f} s after its worker stood still")
        stops.hit(signal.SIGCONT)
        rig.until(rig.is_quiet, "nothing waits", QUIET_SECONDS)
        time.sleep(2)
        if len(_paged(rig)) != 1 or len(rig.store.incidents()) != 1:
            yield Wrong("page", f"{len(_paged(rig))} pages and {len(rig.store.incidents())} incidents for one alert")


def closed(storm: Storm, replica: int, since: float, until: float) -> Iterator[Wrong]:
    """A replica without a database takes nothing; what was on its way when it was cut off may still be answered."""
    taken = storm.taken_by(replica, since + 0.3, until)
    if taken:
        yield Wrong("lost", f"{taken} deliveries were taken without a database")
    others = sum(storm.taken_by(one, since, until) for one in range(len(storm.place.replicas)) if one != replica)
    if not others:
        yield Wrong("lost", "nobody took anything meanwhile")


def rows_are_locked(stage: Stage) -> Iterator[Wrong]:
    """D1: somebody holds the lock on every incident and the counter for half a minute. A person is answered all the same."""
    with placed(stage, 2) as place:
        waits: list[float] = []
        over = [0.0]

        def disturb(storm: Storm) -> None:
            time.sleep(5)
            with place.admin() as admin, admin.transaction():
                admin.execute("SELECT number FROM incidents FOR UPDATE")
                admin.execute("SELECT name FROM notes WHERE name = 'last incident number' FOR UPDATE")
                end = time.monotonic() + LOCKED_SECONDS
                time.sleep(1)
                asked_at = time.monotonic()
                place.rig.sandbox.people.slash({"person": "ana", "channel": "incidents", "text": "/incident note INC-1 seen"})
                waits.append(time.monotonic() - asked_at)
                time.sleep(max(0.0, end - time.monotonic()))
            over[0] = time.monotonic()

        # It goes on when they are free again.
        seconds = LOCKED_SECONDS + SECONDS
        storm = weathered(place, stage, disturb, int(DELIVERIES * seconds / SECONDS), seconds)
        yield from judged(place.rig, storm.accepted)
        if waits[0] > 3:
            yield Wrong("lost", f"a person in Slack was answered after {waits[0]:.1f} s; Slack waits for three")
        yield from recovered(storm, over[0], "locked")


def connections_run_out(stage: Stage) -> Iterator[Wrong]:
    """D1: every connection that the server allows is somebody else's for eight seconds."""
    with placed(stage, 2, own=True) as place:
        over = [0.0]

        def disturb(storm: Storm) -> None:
            time.sleep(5)
            with ExitStack() as stack:
                first = stack.enter_context(contextlib.closing(place.admin()))
                end = time.monotonic() + 8
                while time.monotonic() < end:
                    with contextlib.suppress(psycopg.OperationalError):
                        while True:
                            stack.enter_context(contextlib.closing(place.admin()))
                    # Full. Whoever still has a connection loses it, and finds no other.
                    first.execute(ENDS_OTHERS)
                    time.sleep(0.05)
            over[0] = time.monotonic()

        storm = weathered(place, stage, disturb)
        yield from judged(place.rig, storm.accepted)
        yield from recovered(storm, over[0], "out of connections")


def everything_conflicts(stage: Stage) -> Iterator[Wrong]:
    """D1: the database takes every transaction for SERIALIZABLE, and makes many of them fail."""
    with psycopg.connect(stage.url.replace("+psycopg", ""), autocommit=True) as admin:
        name = make_url(stage.url).database
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'".encode())
    with placed(stage, 2) as place:
        storm = weathered(place, stage, lambda storm: None)
        yield from judged(place.rig, storm.accepted)


def failover(stage: Stage) -> Iterator[Wrong]:
    """E3: the worker that has just claimed a page dies, and stays away; with the lease as it is by default."""
    with placed(stage, 1, ("web",), lease_seconds=10) as place:
        rig, way = place.rig, place.replicas[0].way
        dies = started(rig, way, ("worker",), Kill(point=points.claimed(PageOnCall)))
        other = started(rig, way, ("worker",))
        rig.until(lambda: _is_seen(rig, 2), "both workers are seen")
        for number in range(SERVICES):
            before = len(_paged(rig))
            rig.sends("/hooks/alertmanager/main", alert(number), signed(alert(number)), "a fresh alert")
            died_at = _dies_or_pages(rig, dies.bots[0], before)
            if died_at is not None:
                stage.met()
                _until_more(rig, before)
                took = time.monotonic() - died_at
                if took > FAILOVER_SECONDS:
                    yield Wrong("lost", f"the page was accepted {took:.1f} s after its worker died")
                break
        rig.until(rig.is_quiet, "nothing waits", QUIET_SECONDS)
        twice = {key: times for key, times in Counter(_paged(rig)).items() if times > 1}
        if twice:
            yield Wrong("page", f"paged twice: {twice}")
        if other.bots[0].deaths:
            yield Wrong("lost", "the other worker died, too")


def _dies_or_pages(rig: Rig, worker: Bot, before: int) -> float | None:
    """When the worker died that had the page; None where another one had it. It does not come back."""
    process = worker.process
    assert process is not None
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if process.poll() is not None:
            worker.process = None
            return time.monotonic()
        if len(_paged(rig)) > before:
            return None
        time.sleep(0.002)
    raise NeverSeen("a page, or the death of its worker")


def _until_more(rig: Rig, before: int) -> None:
    """Wait for one more page."""
    rig.until(lambda: len(_paged(rig)) > before, "the page is accepted")


def _paged(rig: Rig) -> list[str]:
    with rig.world.lock:
        return [one.key for one in rig.sandbox.account.incidents]


def _is_seen(rig: Rig, workers: int) -> bool:
    with rig.store.reading() as work:
        seen = work.connection.scalar(text("SELECT count(*) FROM notes WHERE name LIKE 'process/%'")) or 0
    return bool(seen > workers)


def trials(seeds: range) -> Iterator[Trial]:
    """Every disturbance. Each has the machine to itself: time is part of what is judged."""
    played: dict[str, Callable[[Stage], Iterator[Wrong]]] = {
        "E3 two replicas, one is killed each five seconds": one_dies_each_five_seconds(2),
        "E3 three replicas, one is killed each five seconds": one_dies_each_five_seconds(3),
        "E3 the worker that holds a page dies for good": failover,
        "E3 a worker stands still in a transaction": stands_still_in_a_transaction,
        "E5 one of two replicas is cut off from the database": one_is_cut_off("refused"),
        "E5 one of two replicas hears nothing from the database": one_is_cut_off("silent"),
        "D1 the database restarts, fast": database_restarts("fast"),
        "D1 the database restarts, immediate": database_restarts("immediate"),
        "D1 the database's postmaster is killed": database_restarts("kill -9"),
        "D1 rows are locked for half a minute": rows_are_locked,
        "D1 no connection is left": connections_run_out,
        "D1 every transaction is serializable": everything_conflicts,
    }  # fmt: skip
    if not no_namespaces():
        played["E5 the link of one replica to the database is pulled"] = link_is_pulled
    for seed in seeds[:2]:
        for fault, play in played.items():
            yield Trial(fault, "postgresql", seed, play, is_alone=True)
