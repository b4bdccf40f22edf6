"""What comes in: several times, at once, after a blackout, from two sides, while the database is away, under load."""

import hmac
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from sqlalchemy import text

from bot.incidents.incident import Incident, PageState
from sandbox.__main__ import SECRET
from sandbox.calls import Answer
from sandbox.cast import APP, TEAM
from sandbox.pagerduty.account import Incident as Theirs
from sandbox.slack.outgoing import PATIENCE_SECONDS, RETRIES_SECONDS, signed
from tests.databases import Server
from tests.faults import oracle
from tests.faults.oracle import Wrong
from tests.faults.rig import POLICY, Rig, rigged
from tests.faults.runs import COMMANDS
from tests.faults.story import channel_of, told
from tests.faults.trials import Stage, Trial

ANA, BEN = "U0ANA0001", "U0BEN0001"
COPIES = {"twice": (2, False), "ten times": (10, False), "ten times at once": (10, True)}
SIDES = 27
"""Incidents that are acknowledged in one trial: a third in Slack, a third in PagerDuty, a third in both."""
SHORT = timedelta(seconds=1)
OWN_WAVES, WAVES = (30,), (12, 12)
"""Messages that are pinned in one trial: three hundred in six seeds on two databases. Not more at a time than the bot may
ask Slack about within a minute, four times each."""
BUDGET_SECONDS = 60.0
HURRIED = (0.0, 5.0, 10.0)
"""What stands for the pauses between Slack's tries (`RETRIES_SECONDS`), but for the first seed."""
AWAY_SECONDS, OUTAGES = (60.0, 5.0), (5, 2)
"""Of the first seed, and of the second: how long, and how often."""
BACK_SECONDS = 10.0
RATE, LOAD_SECONDS, HANGS_SECONDS = 50, 600, 12.0


def trials(seeds: range) -> Iterator[Trial]:
    """Every fault of this module, on both databases. What takes chance from how threads run only is done twice."""
    for number, seed in enumerate(seeds[:2]):
        for database in ("sqlite", "postgresql"):
            away = partial(database_away, away_seconds=AWAY_SECONDS[number], outages=OUTAGES[number])
            said = f"{OUTAGES[number]} × {AWAY_SECONDS[number]:g} s"
            yield Trial(f"C6 the database is away while things come in, {said}", database, seed, away)
            for name in COPIES:
                yield Trial(f"C1 everything comes {name}", database, seed, _copied(name))
            yield Trial("C3 the webhook is switched off", database, seed, switched_off)
    for seed in seeds:
        for database in ("sqlite", "postgresql"):
            yield Trial("C4 acknowledged in Slack, in PagerDuty, in both", database, seed, both_sides)
            waves, pauses, said = (OWN_WAVES, RETRIES_SECONDS, ", in its own time") if seed == seeds.start else (WAVES, HURRIED, "")
            yield Trial(f"C5 Slack sends again after a slow first try{said}", database, seed, sent_again(waves, pauses))
    for database in ("sqlite", "postgresql"):
        yield Trial("C7 answers under load, with Slack and PagerDuty hanging", database, seeds.start, under_load, is_alone=True)


# --- C1 ---------------------------------------------------------------------------------------


@dataclass
class Postman:
    """Hands over everything that comes in so many times; counts what was handed over."""

    rig: Rig
    copies: int
    at_once: bool
    sent: int = 0

    def begin(self) -> None:
        """From here on, for Slack, for PagerDuty and for alerts."""
        slack, pager, alerts = self.rig.sandbox.outgoing, self.rig.sandbox.webhooks, self.rig.sends
        once_slack, once_pager = slack._send, pager._send
        given: Any = self.rig, slack, pager
        given[1]._send = lambda *of: self.copied(lambda: once_slack(*of))
        given[2]._send = lambda *of: self.copied(lambda: once_pager(*of))
        given[0].sends = lambda *of: self.copied(lambda: alerts(*of))

    def copied(self, send: Callable[[], Any]) -> Any:
        """The first answer."""
        self.sent += self.copies
        if not self.at_once:
            answers = [send() for _ in range(self.copies)]
        else:
            with ThreadPoolExecutor(self.copies) as pool:
                answers = list(pool.map(lambda _: send(), range(self.copies)))
        return answers[0]


def _copied(name: str) -> Callable[[Stage], Iterator[Wrong]]:
    copies, at_once = COPIES[name]

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
            rig.until(rig.is_up, "the bot is up")
            postman = Postman(rig, copies, at_once)
            postman.begin()
            told(rig)
            yield from oracle.judged(rig)
            yield from once_each(rig, TOLD)
            pressed(rig)
            yield from once_each(rig, TOLD + PRESSED)
            yield from said_once(rig)
            stage.met(postman.sent)

    return play


TOLD = Counter({"note": 1, "role": 1, "responder_requested": 2, "status_update": 1, "ack": 1, "resolved": 1})
"""What people did in the story, as often as they did it."""
PRESSED = Counter(
    {
        "reopened": 1,
        "ack": 1,
        "note": 1,
        "status_update": 1,
        "severity_changed": 1,
        "resolved": 1,
        "page_feedback": 1,
        "responder_requested": 0,
    }
)
"""What was pressed and filled in after it."""


def pressed(rig: Rig) -> None:
    """Every sort of button, and forms, once."""
    channel = channel_of(rig)
    _press(rig, channel, "reopen")
    rig.until(lambda: _incident(rig).is_open, "it is open again")
    rig.until(lambda: len([one for one in rig.sandbox.account.incidents if "/2/" in one.key]) == 1, "the second page")
    _press(rig, channel, "acknowledge")
    rig.until(lambda: _incident(rig).episode.acknowledged_at, "it is acknowledged")
    _fill(rig, channel, "more", {"text": "pressed and typed"}, value="note:1")
    _fill(rig, channel, "update", {"text": "still looking"})
    _fill(rig, channel, "severity", {"severity": "SEV2"})
    _fill(rig, channel, "resolve", {"text": "over now"})
    rig.until(lambda: not _incident(rig).is_open, "it is over again")
    _press(rig, channel, "page_useful")
    rig.until(lambda: _types(rig)["page_feedback"], "the page was useful")
    rig.until(rig.is_quiet, "nothing waits")


def _press(rig: Rig, channel: str, action: str, **more: Any) -> dict[str, Any]:
    """Press a button as soon as a message in the channel has it; the newest such message."""

    def found() -> str:
        for message in reversed(rig.messages(channel)):
            for block in message.get("blocks", []):
                if any(one.get("action_id") == action for one in block.get("elements", [])):
                    return str(message["ts"])
        return ""

    ts = rig.until(found, f"a button {action}")
    return rig.sandbox.people.press({"person": "ana", "channel": channel, "ts": ts, "action_id": action, **more})


def _fill(rig: Rig, channel: str, action: str, values: Mapping[str, str], **more: Any) -> None:
    """Press, and send the form off that opens."""
    before = {one["id"] for one in _views(rig)}
    _press(rig, channel, action, **more)
    view = rig.until(lambda: [one["id"] for one in _views(rig) if one["id"] not in before], f"the form of {action}")[-1]
    seen = rig.sandbox.people.submit({"person": "ana", "view_id": view, "values": dict(values)})
    if seen.get("errors") or seen.get("error"):
        raise AssertionError(f"the form of {action} was not taken: {seen}")


def _views(rig: Rig) -> list[dict[str, Any]]:
    with rig.world.lock:
        return list(rig.sandbox.people.parts(["views"])["views"])


def _incident(rig: Rig, number: int = 1) -> Incident:
    found = rig.store.incident(number)
    assert found is not None
    return found


def _types(rig: Rig, number: int = 1) -> "Counter[str]":
    return Counter(one.type for one in rig.store.timeline(f"INC-{number}"))


def once_each(rig: Rig, wanted: "Counter[str]") -> Iterator[Wrong]:
    """Whatever people did stands on the timeline as often as they did it."""
    found = _types(rig)
    for kind, times in wanted.items():
        if found[kind] != times:
            yield Wrong("lost" if found[kind] < times else "message", f"{found[kind]} × {kind} on the timeline, not {times}")


def said_once(rig: Rig) -> Iterator[Wrong]:
    """No sentence stands twice in the incident's channel, but for those that begin a message that is kept up to date."""
    texts = Counter(one["text"] for one in rig.messages(channel_of(rig)) if not one.get("ephemeral_for") and one.get("metadata"))
    for said, times in texts.items():
        if times > 1 and "acknowledged" not in said:
            yield Wrong("message", f"said {times} times: {said[:80]}")


# --- C3 ---------------------------------------------------------------------------------------


def switched_off(stage: Stage) -> Iterator[Wrong]:
    """The secret is wrong for a while: PagerDuty switches the webhook off, and what happens then is not sent at all."""
    with stage.rigged(pager_poll_seconds=30) as rig:
        rig.runs(COMMANDS["serve"])
        hooks = rig.sandbox.webhooks
        rig.fires("checkout-errors")
        rig.until(lambda: any(one["status"] == 202 for one in hooks.sent), "the webhook works")
        [page] = rig.until(lambda: list(rig.sandbox.account.incidents), "the page")
        hooks.secrets = ["somebody changed it"]
        for number in range(3):
            with rig.world.lock:
                rig.sandbox.account.annotate(page, f"note {number}", "PUANA01")
        rig.until(lambda: hooks.is_disabled, "PagerDuty switches the webhook off")
        stage.met()
        acknowledged_at = rig.world.clock()
        rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "acknowledge"})
        hooks.secrets = []
        rig.until(lambda: _incident(rig).episode.acknowledged_at, "the acknowledgement is found by asking", 75)
        took = (rig.world.clock() - acknowledged_at).total_seconds()
        rig.until(lambda: not hooks.is_disabled, "the webhook is on again", 75)
        rig.says("switched its webhook PXSBX01 to this bot off")
        told_before = len(hooks.sent)
        rig.sandbox.people.phone({"person": "ana", "incident": "1", "action": "resolve"})
        rig.until(lambda: len(hooks.sent) > told_before and hooks.sent[-1]["status"] == 202, "news comes by webhook again")
        rig.until(lambda: not _incident(rig).is_open, "it is over")
        yield from found_in_time(_incident(rig), page, took)


def found_in_time(incident: Incident, page: Theirs, took: float) -> Iterator[Wrong]:
    """Within a minute, with PagerDuty's own time."""
    [theirs] = [one for one in page.log if one["type"] == "acknowledge_log_entry"]
    at, ours = datetime.fromisoformat(theirs["created_at"]), incident.episode.acknowledged_at
    if took > 60:
        yield Wrong("lost", f"the acknowledgement was found after {took:.0f} s")
    if ours is None or abs(ours - at) > SHORT or incident.episode.acknowledged_by != ANA:
        yield Wrong("lost", f"acknowledged {ours} by {incident.episode.acknowledged_by}, in PagerDuty {at}")


# --- C4 ---------------------------------------------------------------------------------------


def both_sides(stage: Stage) -> Iterator[Wrong]:
    """A third in Slack, a third on the phone, a third in both within a second, in turn first here and first there."""
    with stage.rigged() as rig:
        # It is about acknowledgements: Slack's limits would make it last for minutes.
        rig.world.is_strict = False
        (stage.folder / "policy.yaml").write_text(f"{POLICY}storm: {{most: {SIDES}, within: 1h}}\n", encoding="utf-8")
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.until(rig.is_up, "the bot is up")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: _alert(rig, f"Both sides {number}"), range(SIDES)))
        rig.until(lambda: len(rig.store.open_incidents()) == SIDES, "every incident")
        rig.until(lambda: all(one.episode.page is PageState.ACCEPTED for one in rig.store.open_incidents()), "every page")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: _acknowledged(rig, number), range(1, SIDES + 1)))
        rig.until(lambda: all(one.episode.acknowledged_at for one in rig.store.open_incidents()), "every acknowledgement")
        rig.until(lambda: all(one.status == "acknowledged" for one in rig.sandbox.account.incidents), "PagerDuty knows each")
        # Once more than the poll: whatever is still to be found of who was first.
        time.sleep(6)
        rig.until(rig.is_quiet, "nothing waits, not even a channel: twenty a minute", 240)
        stage.met(SIDES)
        for number in range(1, SIDES + 1):
            yield from one_acknowledgement(rig, number)


def _alert(rig: Rig, title: str) -> None:
    body = json.dumps({"title": title, "status": "firing", "severity": "critical", "dedup_key": title}).encode()
    rig.sends("/hooks/generic/main", body, HOOK, title)


HOOK = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}


def _acknowledged(rig: Rig, number: int) -> None:
    page = next(one for one in rig.sandbox.account.incidents if one.key == _incident(rig, number).episode.dedup_key)

    def on_the_phone() -> None:
        with rig.world.lock:
            if page.status == "triggered":
                rig.sandbox.account.acknowledge(page, "PUBEN01")

    acts = [lambda: rig.types("ana", f"/incident ack INC-{number}"), on_the_phone]
    chosen = {0: acts[:1], 1: acts[1:], 2: acts if number % 2 else acts[::-1]}[number % 3]
    for act in chosen:
        act()


def _is_before(at: datetime, first_at: datetime) -> bool:
    """Whether it was earlier, as far as a time that may be in whole seconds can tell."""
    return at < (first_at if at.microsecond else first_at.replace(microsecond=0))


def one_acknowledgement(rig: Rig, number: int) -> Iterator[Wrong]:
    """The earliest that anybody can show, once; and both sides show it."""
    incident = _incident(rig, number)
    episode = incident.episode
    page = next(one for one in rig.sandbox.account.incidents if one.key == episode.dedup_key)
    acks = [one for one in rig.store.timeline(incident.ref) if one.type == "ack"]
    theirs = [one for one in page.log if one["type"] == "acknowledge_log_entry"]
    people = [(one.at, one.by) for one in acks]
    if len(theirs) != 1:
        yield Wrong("message", f"{incident.ref}: PagerDuty was told {len(theirs)} acknowledgements")
    if len(people) != len({by for _, by in people}):
        yield Wrong("message", f"{incident.ref}: somebody acknowledged twice: {people}")
    if not people or episode.acknowledged_at is None or any(_is_before(at, episode.acknowledged_at) for at, _ in people):
        yield Wrong("lost", f"{incident.ref}: acknowledged at {episode.acknowledged_at}, known are {people}")
    for one in theirs:
        # PagerDuty's log knows whole seconds.
        if episode.acknowledged_at and episode.acknowledged_at >= datetime.fromisoformat(one["created_at"]) + SHORT:
            yield Wrong("lost", f"{incident.ref}: PagerDuty knows of an earlier acknowledgement, {one['created_at']}")
    if incident.channel is not None and incident.summary is not None:
        cards = [one for one in rig.messages(incident.channel.name) if one["ts"] == incident.summary.ts]
        shown = json.dumps(cards, ensure_ascii=False)
        if f"<@{episode.acknowledged_by}>" not in shown or "cknowledged" not in shown:
            yield Wrong("lost", f"{incident.ref}: the card does not say who acknowledged")


# --- C5 ---------------------------------------------------------------------------------------


def sent_again(waves: Sequence[int], pauses: Sequence[float]) -> Callable[[Stage], Iterator[Wrong]]:
    """Pins, so many at a time: a first try that Slack waits for in vain, and its three others so long after one another.

    Slack sends again only what was not answered in time; so what counts as met are pins whose first try was slow. Here
    they come again even where a try in between was answered.
    """

    def play(stage: Stage) -> Iterator[Wrong]:
        with stage.rigged() as rig:
            rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
            rig.fires("checkout-errors")
            channel = rig.until(lambda: channel_of(rig), "the channel of INC-1")
            rig.until(rig.is_quiet, "nothing waits")
            rig.world.is_strict, rig.world.slow_seconds = False, PATIENCE_SECONDS
            texts: list[str] = []
            for wave, size in enumerate(waves):
                if wave:
                    time.sleep(BUDGET_SECONDS)
                new = [f"seen {number}" for number in range(len(texts), len(texts) + size)]
                texts += new
                tries = _pinned_in_vain(rig, channel, new, pauses)
                stage.met(sum(one.status != 200 for one in tries[0]))
                if not any(one.status != 200 for one in tries[0]):
                    yield Wrong("lost", "no first try was slow: nothing is sent again")
                if codes := Counter(one.status for one in tries[-1] if one.status != 200):
                    yield Wrong("lost", f"answers to the last try: {dict(codes)}")
            rig.until(rig.is_quiet, "nothing waits")
            yield from pinned_once(rig, texts)

    return play


def _pinned_in_vain(rig: Rig, channel: str, texts: Sequence[str], pauses: Sequence[float]) -> list[list[Answer]]:
    """Messages that somebody pins; the answers to each try."""
    with rig.world.lock:
        found = rig.sandbox.space.named(channel)
        assert found is not None
        posted = [rig.sandbox.space.add(found, user=ANA, text=one) for one in texts]
        found.members.append(ANA) if ANA not in found.members else None
    bodies = [_reaction(found.id, one["ts"]) for one in posted]
    rig.world.break_("slack", "slow")
    tries = [_each(bodies, partial(_to_slack, rig, retry=0))]
    rig.world.break_("slack", "up")
    for number, pause in enumerate(pauses, start=1):
        time.sleep(pause)
        tries.append(_each(bodies, partial(_to_slack, rig, retry=number)))
    return tries


def pinned_once(rig: Rig, texts: Sequence[str]) -> Iterator[Wrong]:
    """One note for each."""
    notes = Counter(str(one.fields.get("text")) for one in rig.store.timeline("INC-1") if one.type == "note")
    for one in texts:
        if notes[one] != 1:
            yield Wrong("message" if notes[one] else "lost", f"“{one}” is {notes[one]} times on the timeline")


def _reaction(channel: str, ts: str) -> bytes:
    event = {"type": "reaction_added", "user": ANA, "reaction": "pushpin", "item_user": ANA, "event_ts": ts,
             "item": {"type": "message", "channel": channel, "ts": ts}}  # fmt: skip
    return json.dumps({"team_id": TEAM, "api_app_id": APP, "event": event, "type": "event_callback",
                       "event_id": f"EvC5{ts}", "event_time": int(float(ts)), "authorizations": []}).encode()  # fmt: skip


def _to_slack(rig: Rig, body: bytes, retry: int) -> Answer:
    extra = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": "http_timeout"} if retry else {}
    return rig.sandbox.outgoing._send(body, "application/json", extra, "reaction_added", json.loads(body)["event_id"], "pushpin")


def _each(bodies: Sequence[bytes], send: Callable[[bytes], Answer]) -> list[Answer]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, bodies))


# --- C6 ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: what it was, when it was sent, what was answered."""

    kind: str
    name: str
    at: float
    status: int
    seconds: float
    said: str = ""
    retry_after: str = ""


def ask(kind: str, name: str, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
    """Send it, as its sender would; status 0 where nobody answered in ten seconds."""
    at = time.monotonic()
    try:
        said, status, found = _answer(Request(url, data=body, headers=dict(headers)))
    except (HTTPException, OSError):
        # Nobody there, or gone in the midst of an answer.
        said, status, found = "", 0, {}
    return Sent(kind, name, at, status, time.monotonic() - at, said, str(found.get("Retry-After") or ""))


def _answer(request: Request) -> tuple[str, int, Any]:
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.read().decode(), answer.status, answer.headers
    except HTTPError as error:
        return error.read().decode(), error.code, error.headers


def sends_alert(rig: Rig, name: str, status: str = "resolved") -> Sent:
    """A delivery that is kept and opens nothing."""
    body = json.dumps({"title": name, "status": status, "dedup_key": name}).encode()
    return ask("alert", name, f"{rig.world.bot}/hooks/generic/main", body, HOOK)


def sends_news(rig: Rig, name: str) -> Sent:
    """News of an incident in PagerDuty that is not ours."""
    event = {"id": name, "event_type": "incident.triggered", "occurred_at": rig.world.clock().isoformat(), "agent": None,
             "data": {"id": f"Q{name}", "type": "incident", "title": name, "incident_key": name}}  # fmt: skip
    body = json.dumps({"event": event}).encode()
    mac = hmac.new(rig.world.webhook_secret.encode(), body, sha256).hexdigest()
    headers = {"X-PagerDuty-Signature": f"v1={mac}", "X-Webhook-Id": name, "Content-Type": "application/json"}
    return ask("news", name, f"{rig.world.bot}/hooks/pagerduty/main", body, headers)


def sends_command(rig: Rig, name: str, typed: str) -> Sent:
    """A slash command."""
    channel = rig.sandbox.space.named("incidents")
    assert channel is not None
    fields = {"team_id": TEAM, "channel_id": channel.id, "user_id": ANA, "user_name": "ana", "command": "/incident",
              "text": typed, "api_app_id": APP, "trigger_id": f"T.{name}", "response_url": ""}  # fmt: skip
    body = urlencode(fields).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", **signed(rig.world.signing_secret, body)}
    return ask("command", name, f"{rig.world.bot}/slack/events", body, headers)


def database_away(stage: Stage, away_seconds: float, outages: int) -> Iterator[Wrong]:
    """The database stops for some seconds, some times, while everything goes on coming in."""
    with _own_database(stage) as (url, away), rigged(url, stage.folder) as rig:
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.fires("checkout-errors")
        rig.until(rig.is_quiet, "nothing waits")
        all_sent: list[Sent] = []
        spans = []
        with _senders(rig, all_sent):
            for _ in range(outages):
                time.sleep(1)
                began = time.monotonic()
                with away():
                    time.sleep(away_seconds)
                    until = time.monotonic()
                spans.append((began, time.monotonic()))
                stage.met()
                back = rig.until(lambda: _is_taken(all_sent, spans[-1][1]), "deliveries are taken again", 30)
                if back - spans[-1][1] > BACK_SECONDS:
                    yield Wrong("lost", f"taken again only {back - spans[-1][1]:.1f} s after the database was back")
                if not any(one.status == 503 for one in all_sent if began < one.at < until):
                    yield Wrong("lost", "nobody was refused while the database was away: it was not")
        rig.until(rig.is_quiet, "nothing waits")
        yield from answered_right(all_sent)
        yield from kept(rig, all_sent)


@contextmanager
def _own_database(stage: Stage) -> Iterator[tuple[str, Callable[[], Any]]]:
    """A database that nobody else uses, and how to take it away."""
    if stage.database == "sqlite":
        yield stage.url, lambda: _locked(stage.folder / "faults.db")
        return
    server = Server(is_durable=True)
    try:
        yield server.url("postgres"), lambda: _stopped(server)
    finally:
        server.remove()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with sqlite3.connect(file, isolation_level=None, timeout=10) as one:
        one.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            one.execute("ROLLBACK")
    one.close()


@contextmanager
def _stopped(server: Server) -> Iterator[None]:
    server.stop("fast")
    try:
        yield
    finally:
        server.start()


@contextmanager
def _senders(rig: Rig, sent: list[Sent]) -> Iterator[None]:
    """Alerts, PagerDuty and people, each a few times a second, until the context ends."""
    stop = threading.Event()

    def goes_on(kind: str, send: Callable[[str], Sent]) -> None:
        number = 0
        while not stop.wait(0.2):
            number += 1
            sent.append(send(f"{kind}-{number}"))

    senders = [
        threading.Thread(target=goes_on, args=("alert", lambda name: sends_alert(rig, name))),
        threading.Thread(target=goes_on, args=("news", lambda name: sends_news(rig, name))),
        threading.Thread(target=goes_on, args=("note", lambda name: sends_command(rig, name, f"note INC-1 {name}"))),
    ]
    for one in senders:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in senders:
            one.join()


def _is_taken(sent: Sequence[Sent], since: float) -> float:
    """When the first delivery after a moment was taken; 0.0 where none was."""
    return next((one.at + one.seconds for one in list(sent) if one.at > since and one.status == 202), 0.0)


def answered_right(sent: Sequence[Sent]) -> Iterator[Wrong]:
    """Senders who come again are told to; a person is told within three seconds that nothing was saved."""
    for one in sent:
        if one.kind == "command":
            if one.status != 200 or one.seconds > 3.0:
                yield Wrong("lost", f"{one.name}: a person saw {one.status} after {one.seconds:.1f} s")
        elif one.status not in (202, 503) or (one.status == 503 and not one.retry_after):
            yield Wrong("lost", f"{one.name} was answered {one.status}, Retry-After {one.retry_after!r}")


def kept(rig: Rig, sent: Sequence[Sent]) -> Iterator[Wrong]:
    """Whatever was taken is in the record once; a note that was said to be saved is on the timeline."""
    with rig.store.engine.connect() as connection:
        ids = {
            row[0].partition("@")[0] for row in connection.execute(text("SELECT delivery_id FROM inbox WHERE source = 'pagerduty'"))
        }
        bodies = [bytes(row[0]) for row in connection.execute(text("SELECT body FROM inbox WHERE source = 'generic'"))]
    titles = Counter(json.loads(one)["title"] for one in bodies)
    notes = Counter(str(one.fields.get("text")) for one in rig.store.timeline("INC-1") if one.type == "note")
    for one in sent:
        if one.kind == "alert" and one.status == 202 and titles[one.name] != 1:
            yield Wrong("lost", f"{one.name} was taken, and is {titles[one.name]} times in the inbox")
        if one.kind == "news" and one.status == 202 and one.name not in ids:
            yield Wrong("lost", f"{one.name} was taken, and is not in the inbox")
        if one.kind == "command" and one.status == 200:
            is_said, times = "ot saved" not in one.said, notes[one.name]
            if is_said and times != 1:
                yield Wrong("message" if times else "lost", f"{one.name} was said to be saved, and is there {times} times")


# --- C7 ---------------------------------------------------------------------------------------


def under_load(stage: Stage) -> Iterator[Wrong]:
    """Fifty a second of everything for ten minutes, while no neighbour answers."""
    with stage.rigged() as rig:
        rig.runs(COMMANDS["serve" if stage.database == "sqlite" else "apart"])
        rig.fires("checkout-errors")
        rig.until(lambda: channel_of(rig), "the channel of INC-1")
        # Longer than the bot waits for either of them.
        rig.world.slow_seconds = HANGS_SECONDS
        rig.world.break_("slack", "slow")
        rig.world.break_("pagerduty", "slow")
        sent = _load(rig)
        stage.met(len(sent))
        yield from soon(sent)
        yield from kept(rig, sent)
        rig.world.break_("slack", "up")
        rig.world.break_("pagerduty", "up")
        # Whatever hangs ends before the neighbours do.
        time.sleep(HANGS_SECONDS)


def _load(rig: Rig) -> list[Sent]:
    began = time.monotonic()

    def one(number: int) -> Sent:
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        match number % 5:
            case 0:
                return sends_command(rig, f"load-{number}", f"note INC-1 load-{number}")
            case 1:
                return sends_news(rig, f"load-{number}")
            case _:
                return sends_alert(rig, f"load-{number}", "firing" if number % 25 == 2 else "resolved")

    with ThreadPoolExecutor(48) as pool:
        return list(pool.map(one, range(RATE * LOAD_SECONDS)))


def soon(sent: Sequence[Sent]) -> Iterator[Wrong]:
    """p99 under a second, none above two and a half, and none refused."""
    took = sorted(one.seconds for one in sent)
    p99, worst = took[int(len(took) * 0.99) - 1], took[-1]
    if p99 >= 1.0 or worst >= 2.5:
        half = took[len(took) // 2]
        yield Wrong("lost", f"answered within {half:.2f} s (half), {p99:.2f} s (p99), {worst:.2f} s at worst")
    refused = Counter((one.kind, one.status) for one in sent if one.status not in (200, 202))
    if refused:
        yield Wrong("lost", f"not taken under load: {dict(refused)}")
