"""The way in and the reading of what came, as they are, with nobody and no database behind them; and what may not happen there.

A request goes through `Webhooks`, which verifies, asks and answers; what it takes is parsed, placed and decided upon as the
intake does, and made ready to be stored.
"""

import asyncio
import ipaddress
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import psutil

from bot.alerts.alert import Alert
from bot.alerts.matching import Known, place
from bot.alerts.reading import as_json
from bot.alerts.registry import sources
from bot.alerts.source import Delivery, PagerReport, Source
from bot.errors import Unavailable, Unreadable
from bot.handle import Door
from bot.incidents.decide import decide
from bot.incidents.decision import Decision
from bot.incidents.incident import AlertState, Incident
from bot.incidents.inputs import AlertReported, PagerReported
from bot.incidents.policy import Policy, RouteRule, Service
from bot.store.codec import encode, encode_tagged
from bot.store.inbox import Received
from bot.web.asking import Sns
from bot.web.measures import Measures
from bot.web.webhooks import Webhooks
from bot.worker.intake import Intake
from tests.builders import NOON, acknowledged
from tests.fuzz.bodies import SECRET, Request

CPU_SECONDS = 1.0
"""No request may cost more, on a processor that counts to a million in `COUNTS_IN`; on a slower one as much longer as it counts."""
COUNTS_IN = 0.02
GROWTH_BYTES = 50_000_000
OWN_MODULES = ("bot.",)
POLICY = Policy(
    services={"checkout": Service(aliases=("cart",), pager="checkout")}, routes=(RouteRule(name="all", severity="SEV2"),),
    traces="https://traces.example.com/{trace_id}",
)  # fmt: skip
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it."""
MAPPINGS = {"mapped": {"title": "title || data.title", "status": "status", "dedup_key": "id", "alerts": "alerts"}}
"""Of another route than most: there a mapping stands between."""


class TooSlow(BaseException):
    """A request took so much of the processor that it was ended. Whoever goes on after a bug does not go on after this."""


class Wrong(Exception):
    """What may not happen."""


@dataclass(slots=True)
class Kept:
    """Stands where the inbox is: what was taken, and nothing else."""

    taken: list[tuple[str, Delivery, str]] = field(default_factory=list)

    def take(self, source: str, delivery: Delivery, delivery_id: str, tell: Any) -> None:
        """Keep it, and say so at once."""
        assert len(delivery_id) <= 160, "a delivery's id is longer than the column takes"
        json.dumps(delivery.headers)
        delivery_id.encode()
        self.taken.append((source, delivery, delivery_id))
        tell(True)


class Street:
    """Sends requests, one after the other, and says what is wrong with what came of each."""

    def __init__(self, known: Mapping[str, Source] | None = None, cpu_seconds: float = CPU_SECONDS) -> None:
        """`known` are the sources that there are; a request may take so many seconds of processor."""
        known = sources() if known is None else known
        self._cpu_seconds = cpu_seconds
        self.kept = Kept()
        self.asked: list[str] = []
        self.answers: Counter[str] = Counter()
        """How often each source answered what."""
        self.slowest = (0.0, "")
        self.webhooks = Webhooks(
            sources=known, secrets_of=lambda name, route: (SECRET,), mapping_of=lambda route: MAPPINGS.get(route, {}),
            inbox=self.kept, clock=lambda: NOON, wall_clock=lambda: NOON, measures=Measures(),  # type: ignore[arg-type]
            asks={"cloudwatch": Sns(lambda: NOON, self._amazon)},
        )  # fmt: skip
        door = Door(None, lambda: NOON, lambda: POLICY, lambda: ())  # type: ignore[arg-type]
        self.known = known
        self.intake = Intake(sources=known, report=_ours, store=None, door=door)  # type: ignore[arg-type]

    def wrong_with(self, request: Request) -> str:
        """What is wrong with what comes of a request; empty where nothing is."""
        return asyncio.run(self.judged(request))

    async def judged(self, request: Request) -> str:
        """The same, on a loop that runs."""
        self.kept.taken.clear()
        try:
            with at_most(self._cpu_seconds * 4):
                began = time.process_time()
                status, body = await self._answered(request)
                answered = time.process_time()
                self._judges(request, status, body)
                read = time.process_time()
        except TooSlow:
            return f"too slow: more than {self._cpu_seconds * 4:g} s of processor"
        except Exception as error:  # noqa: BLE001
            return _told(error)
        for spent, what in ((answered - began, "answer"), (read - answered, "read")):
            if spent > self.slowest[0]:
                self.slowest = spent, f"{request.source}, to {what}"
            # Only then: counting takes longer than most requests do.
            if spent > self._cpu_seconds and spent > self._cpu_seconds * slowness():
                return f"too slow: {spent:.1f} s of processor to {what}"
        return ""

    async def read(self, request: Request) -> tuple[tuple[Alert, ...], str]:
        """The alerts of a request that is to be taken, and what is wrong with it; they are placed, and nothing is decided on."""
        self.kept.taken.clear()
        status, body = await self._answered(request)
        if status != 202:
            return (), f"answered {status}: {body.decode(errors='replace')[:200]}"
        alerts = list[Alert]()
        for source, delivery, _ in self.kept.taken:
            alerts += self.intake._parse(Received(1, source, delivery, 1, NOON)).alerts
        for one in alerts:
            place(one, "main", POLICY.built_routes(), POLICY.aliases(), POLICY.grouping_rule(), None, (), NOON)
        return tuple(alerts), ""

    def _judges(self, request: Request, status: int, body: bytes) -> None:
        self.answers[f"{request.source} {status}"] += 1
        if status not in answers_to(request):
            raise Wrong(f"answered {status}")
        self.asked.clear()
        if status != 202:
            _is_one_line(json.loads(body)["error"])
        for source, delivery, _ in self.kept.taken:
            self._reads(source, delivery)

    async def _answered(self, request: Request) -> tuple[int, bytes]:
        route = "mapped" if len(request.body) % 7 == 0 and request.source in ("generic", "alertmanager") else "main"
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in request.sent(NOON).items()]
        scope = {
            "type": "http", "method": "GET" if request.query else "POST", "path": f"/hooks/{request.source}/{route}",
            "query_string": request.query.encode(), "headers": headers,
        }  # fmt: skip
        said: list[Mapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            said.append(message)

        await self.webhooks(scope, receive, send)  # type: ignore[arg-type]
        return said[0]["status"], said[1]["body"]

    def _reads(self, source: str, delivery: Delivery) -> None:
        """As the intake does; only that nothing is saved."""
        received = Received(1, source, delivery, 1, NOON)
        is_asked_before = sources()[source].identity_window_seconds is not None
        # A bug there does not keep a delivery out: here it is to be seen.
        self.known[source].delivery_id(delivery)
        try:
            reading = self.intake._parse(received)
        except Unreadable as error:
            if is_asked_before:
                raise Wrong(f"taken, and cannot be read: {error.reason}") from None
            _is_one_line(error.reason)
            return
        for alert in reading.alerts[:20]:
            json.dumps(as_json(alert), default=str).encode()
        notes = list[str]()
        for number, (_, input) in enumerate(self.intake._inputs(reading, received, notes)):
            if number >= 20:
                # What the rest of a thousand costs is counted by the parts before.
                continue
            if isinstance(input, AlertReported):
                _decided(input)
            elif isinstance(input, PagerReported):
                _storable(decide(OURS, input, NOON, POLICY))
        "; ".join(notes).encode()

    def _amazon(self, address: str) -> bytes:
        """Nobody; and it is an error of ours to ask anybody else for anything."""
        self.asked.append(address)
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme != "https" or parts.username or parts.port or not host.startswith("sns."):
            raise Wrong(f"asked {address[:200]!r}")
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")) or host.startswith("sns.s3"):
            raise Wrong(f"asked {address[:200]!r}")
        return nobody(address)


def nobody(address: str) -> bytes:
    """Amazon, when it does not answer."""
    raise Unavailable("Amazon did not answer")


def answers_to(request: Request) -> tuple[int, ...]:
    """What a request may be answered: taken, or refused as what it is. 503 only where somebody else has to be asked first."""
    return (202, 400, 401, 413, *((405,) if request.query else ()), *((503,) if request.source == "cloudwatch" else ()))


def slowness() -> float:
    """How much longer than `COUNTS_IN` this machine counts to a million, in processor seconds; at least 1."""
    began = time.process_time()
    for _ in range(1_000_000):
        pass
    return max(1.0, (time.process_time() - began) / COUNTS_IN)


OURS: Incident = acknowledged()


def _ours(report: PagerReport) -> PagerReported | str:
    """As if every page of PagerDuty's were of one incident."""
    assert len(report.once_key) <= 250
    report.once_key.encode()
    return PagerReported(OURS.number, report, person=report.person)


def _decided(input: AlertReported) -> None:
    """What an alert does: as a new one, and as one that fires, or fired, in an incident that is open."""
    alert = input.alert
    fingerprint = alert.fingerprint(input.route)
    for known in (None, Known(OURS.number)):
        placement = place(alert, input.route, POLICY.built_routes(), POLICY.aliases(), POLICY.grouping_rule(), known, (), NOON)
        state = AlertState(fingerprint, "a", "a", True, alert.source, NOON, NOON)
        incident = None if known is None else replace(OURS, alerts=(state,))
        _storable(decide(incident, replace(input, placement=placement, number=7), NOON, POLICY))


def _storable(decision: Decision) -> None:
    """Whatever is saved of it is text in UTF-8 without NUL, and JSON that every database takes."""
    kept: list[Any] = [encode(entry.fields) for entry in decision.entries]
    kept += [encode_tagged(one) for one in decision.effects]
    kept += [encode_tagged(one.input) for one in decision.timers]
    if decision.incident is not None:
        kept.append(encode(decision.incident))
    decision.reason.encode()
    if "\x00" in decision.reason:
        raise Wrong("a NUL is to be stored as a reason")
    texts = list[str]()
    for held in (decision.alert, decision.change, decision.finding):
        if held is not None:
            texts.append(json.dumps(encode(held), ensure_ascii=False, allow_nan=False))
            _no_nul(held)
    texts += [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in kept]
    for text in texts:
        text.encode()
        if "\x00" in text or NUL.search(text):
            raise Wrong("a NUL is to be stored")


def _no_nul(record: Any) -> None:
    """A row's own columns are not encoded: PostgreSQL takes no NUL in them."""
    for name in record.__slots__:
        value = getattr(record, name)
        if isinstance(value, str) and "\x00" in value:
            raise Wrong(f"a NUL is to be stored in {name}")


def _is_one_line(why: str) -> None:
    if not why or "\n" in why or len(why) > 2_000:
        raise Wrong(f"a reason that is no line: {why[:80]!r} ({len(why)} characters)")
    if SECRET in why:
        raise Wrong("a reason that has the secret in it")
    why.encode()


def _told(error: BaseException) -> str:
    """An error by its kind and where in our code it came up; what it says may be long."""
    places = list[str]()
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith(OWN_MODULES):
            places.append(f"{name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:200]} ({' > '.join(places[-3:])})"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End what takes more of the processor than this."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, ended)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Outgoing:
    """Every socket that this process opens to anywhere but itself, from now on: an audit hook cannot be taken out again."""

    EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = True
        sys.addaudithook(self._hears)

    def _hears(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.is_on or event not in self.EVENTS:
            return
        about = given[1] if event in ("socket.connect", "socket.sendto") else given[0]
        if not _is_here(about):
            self.seen.append(f"{event} {about!r}"[:300])


def _is_here(about: Any) -> bool:
    host = about[0] if isinstance(about, tuple) else about
    if isinstance(host, bytes):
        host = host.decode("latin-1")
    if not isinstance(host, str):
        return host is None
    if host.startswith("http"):
        host = urlsplit(host).hostname or ""
    # A socket of the file system, or this machine.
    if host.startswith("/") or host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def memory() -> int:
    """What this process holds in memory now."""
    return int(psutil.Process().memory_info().rss)
