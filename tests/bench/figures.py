"""What is measured: the intake, the page, the slash command. Each beside the floor of the same run."""

import asyncio
import hmac
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlencode

import httpx
from sqlalchemy import create_engine, text

from bot.alerts.registry import source_named
from bot.incidents.incident import incident_keyed
from sandbox.__main__ import SECRET
from sandbox.app import Sandbox
from sandbox.cast import APP, TEAM
from tests.bench.load import Connection, Times, flat_out, paced, ratio, run, together

ROUNDS = 3
HOOK = "/hooks/alertmanager/main"
INTAKE_PER_SECOND = 50
PAGES_PER_SECOND, PAGES = 1.3, 30
"""Fewer than PagerDuty takes of one key in a minute."""
STATES = ("up", "down", "slow")
"""How Slack is while pages are measured."""
PAGE_TARGETS = {"serve": (0.015, 0.060), "apart": (0.020, 0.080)}
"""Median and 99th percentile, in one process and across two."""
STORM_PER_SECOND = 10_000 / 60
STORM_ALERTS, STORM_SERVICES = 100, 10
COMMANDS_PER_SECOND = 8
COMMANDS = (
    ("list", "list"), ("who", "who {incident}"), ("note", "note {incident} seen on the dashboard, {number}"),
    ("ack", "ack {incident}"), ("timeline", "timeline {incident}"), ("status", "status {incident} investigating"),
)  # fmt: skip
EACH = 16
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: times, the floor's times, and what was promised (a share, and seconds; 0 for nothing)."""

    name: str
    times: Times
    floor: Times
    share: float = 0.0
    target: float = 0.0
    is_rate: bool = False
    doubt: str = ""
    """Why the figure is not to be believed; empty where it is."""
    note: str = ""
    half: float = 0.0
    """What the median may be, in seconds; 0 where nothing is promised of it."""
    least: float = 0.0
    """What the ratio to the floor has to be at least; 0 where nothing is promised of it."""

    @property
    def promise(self) -> str:
        """What was promised, in words; empty where nothing was."""
        if not self.target:
            return ""
        told = [f"ratio ≥ {self.least:.2f}"] if self.least else []
        told += [f"p50 < {self.half * 1000:.0f}"] if self.half else []
        return ", ".join((*told, f"p{self.share * 100:.0f} < {self.target * 1000:.0f} ms"))

    @property
    def is_met(self) -> bool | None:
        """Whether the promise was kept; None where there is none. What was not answered was not answered in time."""
        if not self.target:
            return None
        if self.half and not self.times.percentile(0.5) < self.half:
            return False
        if self.least and not self.ratio >= self.least:
            return False
        return not self.doubt and not self.times.refused and self.times.percentile(self.share) < self.target

    @property
    def ratio(self) -> float:
        """To the floor: of answers a second where that is what is measured, else of the medians."""
        if self.is_rate:
            return ratio(self.times.per_second, self.floor.per_second)
        return ratio(self.times.percentile(0.5), self.floor.percentile(0.5))


@dataclass(frozen=True, slots=True)
class Amount:
    """One number of a run: seconds, megabytes, or times something. `most` is what it may be at most; None for no promise.

    `floor` is what the same costs at best, in the same unit; NaN where nothing says.
    """

    name: str
    value: float
    unit: str
    most: float | None = None
    floor: float = math.nan
    doubt: str = ""
    what_floor: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the promise was kept; None where there is none."""
        return None if self.most is None else not self.doubt and self.value <= self.most

    @property
    def ratio(self) -> float:
        """To the floor; NaN where there is none."""
        return ratio(self.value, self.floor)


def alert_body(name: str, service: str) -> bytes:
    """A group of one alert as Alertmanager posts it, 4 kB long."""
    source = source_named("alertmanager")
    example = next(one for one in source.examples if one.name == "checkout-errors")
    body = json.loads(example.body_at(datetime.now(UTC)))
    for alert in body["alerts"]:
        alert["labels"] |= {"alertname": name, "service": service, "instance": service}
        alert["fingerprint"] = sha256(f"{name}/{service}".encode()).hexdigest()[:16]
        alert["annotations"] |= {"summary": f"{name} on {service}", "value": "0", "description": ""}
    body["groupKey"] = f"{{}}:{{alertname={name}, service={service}}}"
    missing = 4096 - len(json.dumps(body))
    body["alerts"][0]["annotations"]["description"] = "x" * max(0, missing)
    return json.dumps(body).encode()


# --- the intake -------------------------------------------------------------------------------


class Repeats:
    """Deliveries of one alert that goes on firing: each has a body, and so an identity, of its own."""

    def __init__(self) -> None:
        self._body = alert_body("BenchRepeat", "checkout")
        self._stamp = time.time_ns()
        self._sent = 0

    def __call__(self, number: int) -> tuple[str, dict[str, str], bytes]:
        """The next one, whatever its number."""
        self._sent += 1
        value = b'"value": "%d-%d"' % (self._stamp, self._sent)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        return HOOK, headers, self._body.replace(b'"value": "0"', value)


class Storm:
    """A hundred alerts of ten services, over and over: they page, too, but for less than what is measured among them."""

    def __init__(self) -> None:
        self._stamp = time.time_ns()
        names = [f"Storm{self._stamp}-{number}" for number in range(STORM_ALERTS)]
        bodies = [alert_body(name, f"storm-{number % STORM_SERVICES}") for number, name in enumerate(names)]
        self._bodies = [one.replace(b'"severity": "critical"', b'"severity": "warning"') for one in bodies]

    def __call__(self, number: int) -> tuple[str, dict[str, str], bytes]:
        """The n-th of it: an alert of its own at first, later its repeats."""
        value = b'"value": "%d-%d"' % (self._stamp, number)
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
        return HOOK, headers, self._bodies[number % STORM_ALERTS].replace(b'"value": "0"', value)


def intake(port: int, floor: int, database_url: str, seconds: float) -> Figure:
    """50 deliveries a second, each verified and committed before it is answered."""
    repeats, count = Repeats(), max(1, round(INTAKE_PER_SECOND * seconds / ROUNDS))

    async def measured() -> tuple[list[Times], list[Times]]:
        await paced(port, repeats, 20, 20)
        bot, bare = [], []
        for _ in range(ROUNDS):
            bare.append(await paced(floor, repeats, INTAKE_PER_SECOND, count))
            bot.append(await paced(port, repeats, INTAKE_PER_SECOND, count))
        return bot, bare

    bot, bare = run(measured())
    doubt = not_kept(database_url, 20 + count * ROUNDS)
    return Figure(f"webhook at {INTAKE_PER_SECOND}/s", together(bot), together(bare), 0.99, 0.050, doubt=doubt)


def full_intake(port: int, floor: int, database_url: str, seconds: float) -> Figure:
    """As fast as 64 connections can, while the worker reads what came in. It leaves much to read: measure it last."""
    repeats, each = Repeats(), seconds / ROUNDS

    async def measured() -> tuple[list[Times], list[Times]]:
        await paced(port, repeats, 20, 20)
        bot, bare = [], []
        for _ in range(ROUNDS):
            bare.append(await flat_out(floor, repeats, CONNECTIONS, each))
            bot.append(await flat_out(port, repeats, CONNECTIONS, each))
        return bot, bare

    parts, bare = run(measured())
    times = together(parts)
    doubt = not_kept(database_url, 20 + len(times.seconds) - times.refused)
    return Figure(f"webhook, {CONNECTIONS} connections", times, together(bare), is_rate=True, doubt=doubt)


def not_kept(database_url: str, answered: int) -> str:
    """What a look into the inbox says against the answers; empty where every delivery answered for is there."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            kept = int(connection.scalar(text("SELECT count(*) FROM inbox")) or 0)
    finally:
        engine.dispose()
    return "" if kept >= answered else f"{answered} deliveries were answered for, {kept} are in the inbox"


# --- the page ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """A way from an alert to a page: where alerts are sent, and the sandbox whose PagerDuty takes the pages."""

    sandbox: Sandbox
    port: int


def page(bot: Way, floor: Way, state: str, shape: str = "serve") -> Figure:
    """From before an alert's first byte until PagerDuty's 202 had gone out, by PagerDuty's own ledger; each alert is a new incident.

    The floor gets the same alerts in between, and a PagerDuty of its own.
    """
    bot.sandbox.world.break_("slack", state)
    try:
        return _page(bot, floor, f"Slack {'on' if state == 'up' else state}", shape)
    finally:
        bot.sandbox.world.break_("slack", "up")


def page_in_storm(bot: Way, floor: Way, shape: str) -> Figure:
    """The same for the highest severity, while ten thousand alerts a minute of a lower one open incidents and page, too."""
    return _page(bot, floor, "in a storm", shape, storm=Storm())


def _page(bot: Way, floor: Way, what: str, shape: str, storm: "Storm | None" = None) -> Figure:
    ours, its = _Pages(bot), _Pages(floor)

    async def measured() -> tuple[Times, Times]:
        asked = asyncio.create_task(paced(bot.port, ours.alert, PAGES_PER_SECOND, PAGES))
        count = round(STORM_PER_SECOND * PAGES / PAGES_PER_SECOND)
        blows = [asyncio.create_task(paced(bot.port, one, STORM_PER_SECOND, count)) for one in (storm,) if one]
        await asyncio.sleep(0.5 / PAGES_PER_SECOND)
        bare = await paced(floor.port, its.alert, PAGES_PER_SECOND, PAGES)
        await asyncio.gather(*blows)
        return await asked, bare

    answers, bare = run(measured())
    half, most = PAGE_TARGETS[shape]
    name = f"alert to page, {what}" if shape == "serve" else f"across processes, {what}"
    return Figure(name, ours.times(answers), its.times(bare), 0.99, most, half=half)


class _Pages:
    """Alerts of as many services, and when each was sent and paged for."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._stamp, self._seen = time.time_ns(), len(way.sandbox.account.ledger)
        self._sent: dict[str, float] = {}

    def alert(self, number: int) -> tuple[str, dict[str, str], bytes]:
        service = f"svc-{self._stamp}-{number}"
        delivery = alert_delivery("BenchPage", service)
        self._sent[service] = self._way.sandbox.world.clock().timestamp()
        return delivery

    def times(self, answers: Times) -> Times:
        taken = pages_taken(self._way.sandbox, self._seen, set(self._sent))
        took = tuple(taken[name] - self._sent[name] for name in taken)
        return Times(took, len(self._sent) - len(taken), answers.elapsed)


def first_page(way: Way) -> None:
    """One alert and its page, so that what comes next is not that the processes were still starting."""
    seen = len(way.sandbox.account.ledger)
    path, headers, body = alert_delivery("BenchFirst", "first")
    httpx.post(f"http://127.0.0.1:{way.port}{path}", content=body, headers=headers).raise_for_status()
    if not pages_taken(way.sandbox, seen, {"first"}):
        raise SystemExit("the first alert was never paged")


def alert_delivery(name: str, service: str) -> tuple[str, dict[str, str], bytes]:
    """Where it goes, its headers and its body: an alert as Alertmanager sends it."""
    return HOOK, {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}, alert_body(name, service)


def pages_taken(sandbox: Sandbox, seen: int, wanted: set[str], patience: float = 20.0) -> dict[str, float]:
    """When PagerDuty's 202 for the page of each service had gone out, in seconds since 1970."""
    end = time.monotonic() + patience
    taken: dict[str, float] = {}
    while len(taken) < len(wanted) and time.monotonic() < end:
        with sandbox.world.lock:
            events = sandbox.account.ledger[seen:]
        for event in events:
            name = event.get("payload", {}).get("summary", "").rpartition(" on ")[2]
            if event.get("event_action") == "trigger" and name in wanted and "answered" in event:
                taken.setdefault(name, event["answered"])
        time.sleep(0.05)
    return taken


# --- the slash command ------------------------------------------------------------------------


def slash(sandbox: Sandbox, port: int, floor: int) -> list[Figure]:
    """`/incident …`, signed as Slack signs, on incidents that alerts opened: all of them, then one by one."""
    incidents = opened(sandbox, port)
    texts = [
        (name, form.format(incident=f"INC-{incidents[round_ % len(incidents)]}", number=round_))
        for round_ in range(EACH)
        for name, form in COMMANDS
    ]
    return commands(sandbox, port, floor, texts, "/incident answered", 0.200)


def commands(sandbox: Sandbox, port: int, floor: int, texts: Sequence[tuple[str, str]], what: str, within: float) -> list[Figure]:
    """Commands as (name, text), one after another at the pace of a bad day: all of them, then each by its name."""
    stamp = time.time_ns()

    def request(number: int) -> tuple[str, dict[str, str], bytes]:
        return signed(sandbox, texts[number][1], f"{stamp}.{number}")

    async def measured() -> tuple[Times, Times]:
        await paced(port, lambda number: signed(sandbox, "help", f"{stamp}.warm.{number}"), COMMANDS_PER_SECOND, 4)
        bot = asyncio.create_task(paced(port, request, COMMANDS_PER_SECOND, len(texts), is_answered))
        await asyncio.sleep(0.5 / COMMANDS_PER_SECOND)
        bare = await paced(floor, request, COMMANDS_PER_SECOND, len(texts))
        return await bot, bare

    times, bare = run(measured())
    figures = [Figure(what, times, bare, 0.95, within)]
    for name in dict.fromkeys(name for name, _ in texts):
        of_it = tuple(one for one, (other, _) in zip(times.seconds, texts, strict=True) if other == name)
        figures.append(Figure(f"  {name}", Times(of_it), bare))
    return figures


def warmed(sandbox: Sandbox, port: int, typed: str, unless: str, patience: float = 60.0) -> None:
    """Ask once, and again while the answer says that it is not ready."""
    end = time.monotonic() + patience

    async def asked(number: int) -> bytes:
        connection = Connection(port)
        _, body = await connection.ask(*signed(sandbox, typed, f"warm.{time.time_ns()}.{number}"))
        connection.close()
        return body

    while unless.encode() in run(asked(0)):
        if time.monotonic() > end:
            raise SystemExit(f"`{typed}` is not answered")
        time.sleep(0.5)


def is_answered(status: int, body: bytes) -> bool:
    """A success that is no apology, and no refusal: each of the commands can be done."""
    return status == 200 and b"Not saved" not in body and b"There is no" not in body and b"Did you mean" not in body


def signed(sandbox: Sandbox, typed: str, trigger: str) -> tuple[str, dict[str, str], bytes]:
    """A slash command as Slack posts it."""
    channel = sandbox.space.named("incidents")
    assert channel is not None
    fields = {
        "team_id": TEAM, "api_app_id": APP, "channel_id": channel.id, "channel_name": channel.name,
        "user_id": "U0ANA0001", "user_name": "ana", "command": "/incident", "trigger_id": trigger, "text": typed,
        "response_url": f"{sandbox.world.origin}/slack/response/none",
    }  # fmt: skip
    body, now = urlencode(fields).encode(), str(int(time.time()))
    digest = hmac.new(sandbox.world.signing_secret.encode(), f"v0:{now}:".encode() + body, sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": f"v0={digest}",
               "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
    return "/slack/events", headers, body


def opened(sandbox: Sandbox, port: int) -> Sequence[int]:
    """The numbers of incidents whose pages PagerDuty took; opened now where nothing did before."""
    for _ in range(2):
        with sandbox.world.lock:
            keys = [event["dedup_key"] for event in sandbox.account.ledger if event.get("event_action") == "trigger"]
        numbers = [number for key in keys if (number := incident_keyed(key)) is not None]
        if len(numbers) >= EACH:
            return numbers[-EACH:]
        pages = _Pages(Way(sandbox, port))
        pages.times(run(paced(port, pages.alert, PAGES_PER_SECOND, PAGES)))
    raise SystemExit("no incidents were opened to try commands on")
