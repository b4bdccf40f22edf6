"""Bad input while there is much to do: an inbox that is full, and rows that fail whenever they are tried.

A sender that is refused comes again when it was told to. A row that always fails is put aside after its tries, with the
reason; it is seen, tried again and dropped with the command line; and its neighbours are not held up, whoever dies.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bot.incidents.effects import Say, Topic
from bot.store import outbox
from bot.store.inbox import ENDED_IN_A_BUG
from bot.worker.deliveries import BUGGY
from bot.worker.intake import ATTEMPTS
from sandbox.misbehaviour import Fault, refusal
from sandbox.world import World
from tests.faults.inbound import HOOK, Sent, _locked, ask
from tests.faults.oracle import Wrong
from tests.faults.rig import TOP, Rig
from tests.faults.runs import COMMANDS
from tests.faults.trials import Stage, Trial

POLICY = """\
team: {name: Poison, zone: Europe/Lisbon}
channels: {announce: incidents, operations: firstfive-ops, digest: incidents}
severities:
  SEV1: {means: Everything, pages: true, acknowledge_within: 1h, reminders: [30m], update_every: 2h}
routes: [{name: all, match: {}, severity: SEV1}]
resolve: {automatic: false, hold: 1s}
"""
"""Nothing in it comes due while a trial lasts."""

FULL = "more is waiting than can be kept"
MOST, ALERTS, SENDERS = 40, 240, 120
"""How many deliveries may wait for a commit here; how many come, and how many at once."""
FULL_WITHIN, HELD_SECONDS = 20.0, 1.0
WRITERS = """\
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%INTO inbox%' AND pid <> pg_backend_pid()"""
COMES_AGAIN_WITHIN = 120.0
PAGED_WITHIN = 10.0
NEIGHBOURS = 3
PUT_ASIDE_WITHIN = 240.0
"""Eight tries of an effect, each after twice the wait, and two processes that died meanwhile."""


def trials(seeds: range) -> Iterator[Trial]:
    """Every fault of this module, on both databases; a full inbox twice, and once a process is killed in the midst of it."""
    for seed in seeds:
        for database in ("sqlite", "postgresql"):
            if seed in seeds[:2]:
                yield Trial(f"C8 the inbox is full{', and killed' if seed % 2 else ''}", database, seed, full)
            yield Trial("C9 rows that always fail, under load, and killed", database, seed, poisoned)


# --- an inbox that is full ----------------------------------------------------------------------


def full(stage: Stage) -> Iterator[Wrong]:
    """The database holds a commit up while more comes in than may wait for it."""
    is_killed = bool(stage.seed % 2)
    with stage.rigged() as rig:
        (stage.folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        rig.environment["FAULT_INBOX_ROWS"] = str(MOST)
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        rig.until(lambda: _sends(rig, "before it").status == 202, "a delivery before it")
        sent: list[Sent] = []
        names = [f"alert {number}" for number in range(ALERTS)]
        with ThreadPoolExecutor(SENDERS) as pool:
            with _commits_held_up(stage, rig):
                everybody = [pool.submit(_until_taken, rig, name, sent) for name in names]
                rig.until(lambda: any(FULL in one.said for one in list(sent)), "somebody is told that too much waits", FULL_WITHIN)
                if is_killed:
                    rig.bots[0].hit(signal.SIGKILL)
                time.sleep(HELD_SECONDS)
            taken = {name: one.result() for name, one in zip(names, everybody, strict=True)}
        stage.met(sum(FULL in one.said for one in sent))
        rig.until(rig.is_quiet, "nothing waits")
        yield from told_when_to_come_again(sent, is_killed=is_killed)
        yield from each_taken(taken, _titles(rig))
        yield from _paged_once(rig, [name for name in names if _is_firing(name)])
        if sum(bot.deaths for bot in rig.bots) != int(is_killed):
            yield Wrong("lost", f"{sum(bot.deaths for bot in rig.bots)} processes died, {int(is_killed)} was killed")


def _is_firing(name: str) -> bool:
    """Every sixtieth opens an incident."""
    return name.startswith("alert ") and int(name.removeprefix("alert ")) % 60 == 0


def _sends(rig: Rig, name: str) -> Sent:
    status = "firing" if _is_firing(name) else "resolved"
    body = json.dumps({"title": name, "status": status, "severity": "critical", "dedup_key": name}).encode()
    return ask("alert", name, f"{rig.world.bot}/hooks/generic/main", body, HOOK | {"Idempotency-Key": name})


def _until_taken(rig: Rig, name: str, sent: list[Sent]) -> bool:
    """As a sender does that is told when to come again, or finds nobody there. Whether it was taken in the end."""
    end = time.monotonic() + COMES_AGAIN_WITHIN
    while time.monotonic() < end:
        one = _sends(rig, name)
        sent.append(one)
        if one.status == 202:
            return True
        time.sleep(float(one.retry_after or 1))
    return False


@contextmanager
def _commits_held_up(stage: Stage, rig: Rig) -> Iterator[None]:
    """Nothing is committed to the inbox; on PostgreSQL the one process of the server stands still that does it."""
    if stage.database == "sqlite":
        with _locked(stage.folder / "faults.db"):
            yield
        return
    with rig.store.engine.connect() as connection:
        found = list(connection.scalars(text(WRITERS)))
    for one in found:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in found:
            os.kill(one, signal.SIGCONT)


def told_when_to_come_again(sent: Sequence[Sent], *, is_killed: bool) -> Iterator[Wrong]:
    """Whoever is not taken is told when to come again; nobody is left without an answer but by a process that died."""
    if not any(FULL in one.said for one in sent):
        yield Wrong("lost", "nobody was told that too much waits: it was not full")
    for one in sent:
        if one.status == 503 and not one.retry_after.isdigit():
            yield Wrong("lost", f"{one.name} was refused, and not told when to come again: {one.retry_after!r}")
        elif one.status not in (202, 503) and not (is_killed and one.status == 0):
            yield Wrong("lost", f"{one.name} was answered {one.status} {one.said[:80]!r}")


def each_taken(taken: dict[str, bool], handled: "Counter[str]") -> Iterator[Wrong]:
    """Everything is taken in the end, and what was taken is handled: more than once only where it was sent again later."""
    for name, was_taken in taken.items():
        if not was_taken:
            yield Wrong("lost", f"{name} was never taken")
        elif not handled[name]:
            yield Wrong("lost", f"{name} was taken, and is not handled")


def _titles(rig: Rig, source: str = "generic") -> "Counter[str]":
    """What was handled of a source, by title."""
    with rig.store.engine.connect() as connection:
        rows = connection.execute(text("SELECT body FROM inbox WHERE source = :source AND state = 'done'"), {"source": source})
        return Counter(str(json.loads(bytes(row[0]))["title"]) for row in rows)


def _paged_once(rig: Rig, titles: Sequence[str]) -> Iterator[Wrong]:
    with rig.world.lock:
        pages = Counter(one.title.partition(": ")[2] for one in rig.sandbox.account.incidents)
    for title in titles:
        times = sum(count for said, count in pages.items() if said.split(" · ")[0] == title)
        if times != 1:
            yield Wrong("page" if times else "lost", f"{times} pages for {title}")


# --- rows that always fail ----------------------------------------------------------------------

SOURCE = '''\
"""A source that another package brings, with a bug in it."""

from bot.alerts.sources.generic import Generic


class Poisonous(Generic):
    name = "poisonous"
    title = "Poisonous"

    def check(self, delivery, mapping):
        """Nothing is wrong with it, as far as its sender can be told."""

    def parse(self, delivery, mapping):
        if b"poison" in delivery.body:
            raise ZeroDivisionError("whatever it holds")
        return super().parse(delivery, mapping)


SOURCE = Poisonous()
'''
UPDATE = "Orders fail, and Slack takes no word of it"
UNWANTED = "Nobody needs this any more"
BEHIND = "Orders work again"
WHY = "known to be poisonous"
BY = "ana the operator"


@dataclass
class InOneChannel(Fault):
    """A misbehaviour for what is said to one channel."""

    world: World = field(default_factory=World)
    channel: str = ""

    def meets(self, name: str) -> bool:
        """The call that is asked about is the newest that was kept."""
        said = self.world.calls[-1].said
        return isinstance(said, dict) and said.get("channel") == self.channel and Fault.meets(self, name)


def poisoned(stage: Stage) -> Iterator[Wrong]:
    """A delivery that nobody can read, messages that Slack never takes, and one that ends in a bug, among many others."""
    luck = random.Random(f"poison/{stage.seed}/{stage.database}")
    with stage.rigged() as rig:
        (stage.folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
        _brings_a_source(rig, stage.folder / "brought")
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        _delivers(rig, "The first", "generic")
        rig.until(lambda: (one := rig.store.incident(1)) and one.summary, "INC-1 has its card")
        rig.until(rig.is_quiet, "nothing waits")
        with _load(rig) as sent:
            _poisons(rig)
            killed = luck.choice(rig.bots)
            killed.hit(signal.SIGKILL)
            yield from _neighbours_go_on(rig)
            rig.until(lambda: _tries_of_the_bug(rig) >= 3, "the effect with a bug is tried again", PUT_ASIDE_WITHIN)
            for bot in rig.bots:
                bot.hit(signal.SIGKILL)
            rig.until(lambda: rig.store.inbox_depth().get("parked"), "the delivery is put aside", PUT_ASIDE_WITHIN)
            rig.until(lambda: rig.store.outbox_depth().get("dead") == 3, "three effects are put aside", PUT_ASIDE_WITHIN)
            rig.until(lambda: _said(rig, BEHIND), "what waited behind them")
        rig.until(rig.is_quiet, "nothing waits")
        stage.met(4)
        yield from _handled_by_hand(rig)
        yield from _delivery_by_hand(rig)
        yield from each_taken(dict.fromkeys(sent, True), _titles(rig))
        yield from _paged_once(rig, ["The first", *_names()])
        yield from said_once(rig)
        if not all(bot.deaths for bot in rig.bots):
            yield Wrong("lost", "a process that was to be killed was not")


def _brings_a_source(rig: Rig, folder: Path) -> None:
    """As an installed package does: a module, and its entry point."""
    about = folder / "poisonous-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "poisonous.py").write_text(SOURCE, encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: poisonous\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[firstfive.sources]\npoisonous = poisonous:SOURCE\n", encoding="utf-8")
    rig.environment["PYTHONPATH"] = os.pathsep.join((str(TOP), str(folder)))
    secret = HOOK["Authorization"].removeprefix("Bearer ")
    rig.environment["HOOK_SECRETS"] += f" poisonous/main={secret}"


def _delivers(rig: Rig, title: str, source: str, status: str = "firing") -> None:
    body = json.dumps({"title": title, "status": status, "severity": "critical", "dedup_key": title}).encode()
    rig.sends(f"/hooks/{source}/main", body, HOOK | {"Idempotency-Key": title}, title)


def _poisons(rig: Rig) -> None:
    """Two updates that Slack refuses, a message that cannot be drawn, one more behind it; and a delivery."""
    incident = rig.store.incident(1)
    assert incident is not None
    assert incident.channel is not None
    never = refusal("invalid_blocks")
    with rig.world.lock:
        rig.world.misbehaving["slack"].append(
            InOneChannel("chat.postMessage", never, None, 1.0, world=rig.world, channel=incident.channel.id)
        )
    for words in (UPDATE, UNWANTED):
        rig.types("ana", f"/incident update INC-1 {words}")
    rig.until(lambda: rig.store.outbox_depth().get("dead") == 2, "the messages that Slack refuses are put aside")
    rig.world.mends("slack")
    with rig.store.writing() as work:
        outbox.put(work.connection, [(Say(1, Topic.ACK_BREACHED), rig.world.clock())])
    rig.types("ana", f"/incident update INC-1 {BEHIND}")
    _delivers(rig, "poison", "poisonous")
    rig.until(lambda: any(one.reason == ENDED_IN_A_BUG for one in rig.store.deliveries(("new",), 50)), "it cannot be read")


def _names() -> list[str]:
    return [f"Neighbour {number}" for number in range(NEIGHBOURS)]


def _neighbours_go_on(rig: Rig) -> Iterator[Wrong]:
    """Others of the same route are paged in time, and have their channels, while all of that is tried again."""
    for name in _names():
        _delivers(rig, name, "poisonous")
        began = time.monotonic()
        rig.until(partial(_is_paged, rig, name), f"the page of {name}")
        if time.monotonic() - began > PAGED_WITHIN:
            yield Wrong("lost", f"{name} was paged after {time.monotonic() - began:.0f} s")
    rig.until(lambda: all(one.summary for one in rig.store.open_incidents()), "the neighbours' cards")
    if rig.store.inbox_depth().get("parked") or not _tries_of_the_bug(rig):
        yield Wrong("lost", "what always fails was put aside before its neighbours went past it")


def _is_paged(rig: Rig, name: str) -> bool:
    with rig.world.lock:
        return any(name in one.title for one in rig.sandbox.account.incidents)


def _tries_of_the_bug(rig: Rig) -> int:
    """Of the message that cannot be drawn."""
    found = [one for one in rig.store.effects(("pending", "sending", "ambiguous", "dead"), 50) if _is_the_bug(one.payload)]
    return found[0].attempts if found else 0


def _is_the_bug(payload: Any) -> bool:
    return str(payload.get("topic")) == Topic.ACK_BREACHED.value


@contextmanager
def _load(rig: Rig) -> Iterator[list[str]]:
    """Deliveries that open nothing, some tens a second, each sent until it is taken; their names."""
    stop, sent = threading.Event(), list[str]()

    def goes_on(sender: int) -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            name = f"load {sender}/{number}"
            _delivers(rig, name, "generic", "resolved")
            sent.append(name)

    threads = [threading.Thread(target=goes_on, args=(sender,)) for sender in range(5)]
    for one in threads:
        one.start()
    try:
        yield sent
    finally:
        stop.set()
        for one in threads:
            one.join()


def _said(rig: Rig, words: str) -> int:
    """How many messages of INC-1's channel have these words."""
    incident = rig.store.incident(1)
    assert incident is not None
    assert incident.channel is not None
    return sum(words in one["text"] for one in rig.messages(incident.channel.name) if not one.get("ephemeral_for"))


# --- by hand ------------------------------------------------------------------------------------


def _bot(rig: Rig, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bot", *words], cwd=TOP, env=rig.environment, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def listed(rig: Rig, queue: str, state: str) -> list[dict[str, Any]]:
    """What `bot inbox list`, or `outbox list`, shows; oldest first."""
    said = _bot(rig, queue, "list", "--state", state, "--json")
    found: list[dict[str, Any]] = json.loads(said.stdout) if said.returncode == 0 else []
    return found[::-1]


def put_aside(one: dict[str, Any], reason: str, tries: int) -> Iterator[Wrong]:
    """Whether a row that was put aside says why, and was tried as often as it had to be."""
    if reason not in one["reason"]:
        yield Wrong("lost", f"{one['number']} was put aside because {one['reason']!r}, not {reason!r}")
    if one["attempts"] < tries:
        yield Wrong("lost", f"{one['number']} was put aside after {one['attempts']} tries, not {tries}")


def _handled_by_hand(rig: Rig) -> Iterator[Wrong]:
    """The effects: looked at, one sent again, two dropped."""
    dead = listed(rig, "outbox", "dead")
    if len(dead) != 3:
        yield Wrong("lost", f"`bot outbox list` shows {len(dead)} effects that were put aside, not 3")
        return
    wanted, unwanted, bug = dead
    for one in (wanted, unwanted):
        yield from put_aside(one, "invalid_blocks", 1)
    yield from put_aside(bug, "a bug: KeyError", BUGGY)
    yield from _shown(rig, "outbox", wanted, UPDATE)
    yield from _done(_bot(rig, "outbox", "retry", str(wanted["number"]), "--by", BY))
    rig.until(lambda: _said(rig, UPDATE), "what was sent again")
    for one in (unwanted, bug):
        yield from _dropped(rig, "outbox", one["number"])
    told = [(one.type, one.by, one.fields.get("reason")) for one in rig.store.timeline("INC-1") if one.type.startswith("effect_")]
    audited = Counter(one for one in told if one[0] != "effect_parked")
    if audited != {("effect_retried", BY, None): 1, ("effect_dropped", BY, WHY): 2}:
        yield Wrong("lost", f"the timeline has of what was done by hand: {dict(audited)}")
    if _said(rig, UPDATE) != 1 or _said(rig, UNWANTED):
        yield Wrong("message", f"said {_said(rig, UPDATE)} times, and what was dropped {_said(rig, UNWANTED)} times")


def _delivery_by_hand(rig: Rig) -> Iterator[Wrong]:
    """The delivery: looked at, read again in vain, dropped."""
    parked = listed(rig, "inbox", "parked")
    if len(parked) != 1:
        yield Wrong("lost", f"`bot inbox list` shows {len(parked)} deliveries that were put aside, not 1")
        return
    number = parked[0]["number"]
    yield from put_aside(parked[0], "ends in a bug", ATTEMPTS)
    yield from _shown(rig, "inbox", parked[0], "poison")
    yield from _done(_bot(rig, "inbox", "retry", str(number), "--by", BY))
    rig.until(lambda: not rig.store.inbox_depth().get("parked"), "it is in line again")
    rig.until(lambda: rig.store.inbox_depth().get("parked"), "it is put aside again", PUT_ASIDE_WITHIN)
    yield from put_aside(listed(rig, "inbox", "parked")[0], "ends in a bug", ATTEMPTS)
    yield from _dropped(rig, "inbox", number)


def _shown(rig: Rig, queue: str, one: dict[str, Any], words: str) -> Iterator[Wrong]:
    said = _bot(rig, queue, "show", str(one["number"]))
    if said.returncode or words not in said.stdout or one["reason"][:40] not in said.stdout:
        yield Wrong("lost", f"`bot {queue} show` says {said.stdout[:200]!r} {said.stderr[-200:]!r}")


def _done(said: "subprocess.CompletedProcess[str]") -> Iterator[Wrong]:
    if said.returncode:
        yield Wrong("lost", f"{' '.join(said.args[2:])} ended with {said.returncode}: {said.stderr[-200:]}")


def _dropped(rig: Rig, queue: str, number: int) -> Iterator[Wrong]:
    """Not without a reason; and with one it is kept, with who did it."""
    if _bot(rig, queue, "drop", str(number), "--by", BY).returncode == 0:
        yield Wrong("lost", f"{queue} {number} was dropped without a reason")
    yield from _done(_bot(rig, queue, "drop", str(number), "--by", BY, "--reason", WHY))
    found = [one for one in listed(rig, queue, "dropped") if one["number"] == number]
    if not found or WHY not in found[0]["reason"] or BY not in found[0]["reason"]:
        yield Wrong("lost", f"{queue} {number} is dropped, and the list of those says {[one['reason'] for one in found]}")


def said_once(rig: Rig) -> Iterator[Wrong]:
    """Each message once; and an alarm for each row that was put aside."""
    told = [one for one in rig.messages() if one.get("metadata") and not one.get("ephemeral_for")]
    for id_, times in Counter(one["metadata"]["event_payload"]["outbox_id"] for one in told).items():
        if times > 1:
            yield Wrong("message", f"the message of effect {id_} is there {times} times")
    if not any("was put aside" in one["text"] for one in rig.messages("firstfive-ops")):
        yield Wrong("lost", "nobody was told that a delivery was put aside")
