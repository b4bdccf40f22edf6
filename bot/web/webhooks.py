"""The way in for alerts: a bare ASGI callable, because it must cost less than the commit it waits for.

Read the bytes, verify them, see that they can be read at all, commit them, answer. Everything else happens later.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import orjson
import structlog

from bot.alerts.signatures import content_id
from bot.alerts.source import FORM, Checks, Delivery, ProvesInBody, Shakes, Source, TakesQueries, limited_status
from bot.clock import Clock
from bot.errors import Unavailable, Unreadable, Unverified
from bot.store import DatabaseDown
from bot.store.arrivals import InboxFull, InboxWriter, Tell
from bot.web.limiting import Limits, Over, Refusals
from bot.web.measures import Measures

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LIMIT_BYTES = 5_000_000
READ_SECONDS = 20.0
PREFIX = "/hooks/"
NOTHING: Mapping[str, str] = {}
NO_ASKS: Mapping[str, Callable[[Delivery], None]] = {}
ASKED_AT_ONCE, MOST_ASKED = 4, 40
"""How many are asked about at once, and how many may wait for that."""
RETRY_SECONDS = 5
ALLOWED_RATE = "WebHook-Allowed-Rate"
"""In the answer to a sender that asks first: how many deliveries a minute; * for any number."""
UNPROVED = frozenset({401, 404})
"""Answers to what proves nothing: a wrong signature, or a guess at what there is."""
SECRET_HEADERS = frozenset({"authorization", "x-firstfive-token", "cookie", "proxy-authorization", "x-honeycomb-webhook-token"})


class Answer(Exception):
    """The answer to a delivery that is not taken: a status, one line of why, and when to come again, where that helps."""

    def __init__(self, status: int, reason: str, retry_seconds: int = RETRY_SECONDS) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_seconds = status, reason, retry_seconds


class Webhooks:
    """POST /hooks/SOURCE/ROUTE. Answers 202 only after the delivery is committed."""

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        secrets_of: Callable[[str, str], tuple[str, ...]],
        mapping_of: Callable[[str], Mapping[str, str]],
        inbox: InboxWriter,
        clock: Clock,
        wall_clock: Clock,
        measures: Measures,
        asks: Mapping[str, Callable[[Delivery], None]] = NO_ASKS,
        limits: Limits | None = None,
        refusals: Refusals | None = None,
        read_seconds: float = READ_SECONDS,
        unusable: Collection[str] = (),
    ) -> None:
        """`asks` is who has to be asked before a source's deliveries can be trusted; see `asking.py`.

        `limits` is how much may come in, and `refusals` where that is told of; without them, everything. `unusable` are the
        names of sources that could not be loaded.
        """
        self._sources, self._secrets_of, self._mapping_of = sources, secrets_of, mapping_of
        self._inbox, self._clock, self._wall_clock = inbox, clock, wall_clock
        self._measures, self._patience = measures, Patience(read_seconds)
        self._checks = {name: check for name, one in sources.items() if (check := _check_of(one)) is not None}
        self._without_proof = {name: one.without_proof for name, one in sources.items() if isinstance(one, ProvesInBody)}
        self._mailbox: Mailbox | None = None
        self._unusable = frozenset(unusable)
        self._asks, self._asking, self._asked = asks, asyncio.Semaphore(ASKED_AT_ONCE), 0
        self._limits, self._refusals = limits or Limits(), refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = time.perf_counter()
        source = "unknown"
        allowed: Mapping[str, str] = NOTHING
        body: dict[str, Any]
        retry_seconds = RETRY_SECONDS
        try:
            name, route = _place(scope["path"])
            source = name if name in self._sources else source
            if scope["method"] == "OPTIONS":
                allowed, body, status = self._allowed(scope, name, route), {}, 200
            else:
                body, status = await self._take(scope, receive, name, route)
        except Answer as answer:
            body, status, retry_seconds = {"error": answer.reason}, answer.status, answer.retry_seconds
            if status in UNPROVED:
                self._limits.unproved(_address(scope))
        await _answer(send, status, body, allowed, retry_seconds)
        self._measures.delivery(source, status, time.perf_counter() - started)

    async def _take(self, scope: Scope, receive: Receive, name: str, route: str) -> tuple[dict[str, Any], int]:
        self._look_at_address(scope, name)
        source, secrets = self._endpoint(scope, name, route)
        body = await self._body(scope, receive)
        headers, query = _headers(scope), _query(scope)
        if scope["method"] == "GET":
            body = urlencode({key: value for key, value in query.items() if key != "token"}).encode()
            headers = headers | {"content-type": FORM}
        delivery = Delivery(body, headers, route, self._clock(), query)
        self._verify(source, delivery, secrets)
        await self._ask(source, delivery)
        self._limit(source, route)
        self._check_readable(source, delivery)
        identity = self._identity(source, delivery)
        try:
            # What proved who sent it has no business in the database.
            blank = self._without_proof.get(source.name)
            kept = Delivery(blank(body) if blank else body, _kept(headers, secrets), route, delivery.received_at, query)
            answer, tell = self._mail().slip()
            self._inbox.take(source.name, kept, identity, tell)
            is_new = await answer
        except InboxFull as error:
            raise Answer(503, f"not taken: {error}; try again in a few seconds") from None
        except DatabaseDown as error:
            log.warning("delivery not saved", source=name, reason=str(error))
            raise Answer(503, "not saved: the database is away; try again in a few seconds") from None
        return ({"accepted": identity} if is_new else {"accepted": identity, "seen": True}), 202

    def _look_at_address(self, scope: Scope, name: str) -> None:
        """Who sends so much that proves nothing is answered before anything of it is read."""
        over = self._limits.stranger(_address(scope))
        if over is not None:
            source = self._sources.get(name)
            self._refuse(name if source else "unknown", over, limited_status(source) if source else 429)

    def _limit(self, source: Source, route: str) -> None:
        """Only what is verified takes from a budget: no flood of others uses it up."""
        over = self._limits.check(source.name, route)
        if over is not None:
            self._refuse(source.name, over, limited_status(source))

    def _refuse(self, name: str, over: Over, status: int) -> None:
        self._measures.limited(name, over.limit)
        if self._refusals is not None:
            self._refusals.noted(name, over, status)
        raise Answer(status, f"more than {over.rate} came in; come again in {over.wait_seconds} s", over.wait_seconds)

    def _allowed(self, scope: Scope, name: str, route: str) -> Mapping[str, str]:
        """Whether a sender may send here, where it asks that first. No secret is needed: each delivery has to have one."""
        source, _ = self._endpoint(scope, name, route)
        allowed = source.allow(_headers(scope)) if isinstance(source, Shakes) else NOTHING
        if not allowed:
            raise Answer(405, f"send {source.title}'s webhooks here with POST")
        rate = self._limits.per_minute(name, route)
        return {**allowed, ALLOWED_RATE: str(rate)} if rate and ALLOWED_RATE in allowed else allowed

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, of at most five megabytes, however long it says it is."""
        for name, said in scope["headers"]:
            if name == b"content-length" and said.isdigit() and int(said) > LIMIT_BYTES:
                raise Answer(413, f"larger than {LIMIT_BYTES} bytes")
        return await self._patience.read(receive)

    def _mail(self) -> "Mailbox":
        """The loop's own; made when the first delivery comes, because there is no loop before."""
        loop = asyncio.get_running_loop()
        if self._mailbox is None or self._mailbox.loop is not loop:
            self._mailbox = Mailbox(loop)
        return self._mailbox

    def _endpoint(self, scope: Scope, name: str, route: str) -> tuple[Source, tuple[str, ...]]:
        source = self._sources.get(name)
        if source is None and name in self._unusable and self._secrets_of(name, route):
            # Whoever is told 404 sends it to nobody again.
            raise Answer(503, f"{name} could not be loaded; see the log of the bot, and try again later")
        if source is None:
            near = "".join(f"did you mean {one}? " for one in get_close_matches(name[:40], self._sources, n=1))
            raise Answer(
                404, f"no source is called {name[:40]!r}; {near}`python -m bot sources` lists the {len(self._sources)} there are"
            )
        if scope["method"] not in ("POST", "PUT", "OPTIONS") and not (scope["method"] == "GET" and _takes_queries(source)):
            raise Answer(405, f"send {source.title}'s webhooks here with POST")
        secrets = self._secrets_of(name, route)
        if not secrets:
            raise Answer(404, f"there is no route {route[:40]!r} for {name}; add {name}/ROUTE=SECRET to HOOK_SECRETS")
        return source, secrets

    def _verify(self, source: Source, delivery: Delivery, secrets: tuple[str, ...]) -> None:
        try:
            source.verify(delivery, secrets, self._wall_clock())
        except Unverified as error:
            log.warning("delivery refused", source=source.name, route=delivery.route, reason=error.reason)
            raise Answer(401, error.reason) from None
        except Exception:
            # Of another package, it may be. Whoever it is, nothing is proved.
            log.exception("delivery refused: a bug while verifying it", source=source.name, route=delivery.route)
            raise Answer(403, "it could not be verified: a bug; see the log of the bot") from None

    async def _ask(self, source: Source, delivery: Delivery) -> None:
        """Where somebody has to be asked before a delivery can be trusted: on a thread, a few at a time."""
        ask = self._asks.get(source.name)
        if ask is None:
            return
        if self._asked >= MOST_ASKED:
            raise Answer(503, "too many wait for somebody who has to be asked; try again in a few seconds")
        self._asked += 1
        try:
            async with self._asking:
                await asyncio.to_thread(ask, delivery)
        except Unverified as error:
            log.warning("delivery refused", source=source.name, route=delivery.route, reason=error.reason)
            raise Answer(401, error.reason) from None
        except Unreadable as error:
            raise Answer(400, error.reason) from None
        except Unavailable as error:
            log.warning("delivery not taken", source=source.name, route=delivery.route, reason=error.reason)
            raise Answer(503, f"{error.reason}; try again in a few seconds") from None
        finally:
            self._asked -= 1

    def _check_readable(self, source: Source, delivery: Delivery) -> None:
        """A body that can never be read is refused now, while its sender listens.

        Not PagerDuty's: three refusals switch its webhook off for a day. Its odd ones are kept and put aside.
        """
        check = self._checks.get(source.name)
        if check is None:
            return
        try:
            check(delivery, self._mapping_of(delivery.route))
        except Unreadable as error:
            raise Answer(400, error.reason) from None
        except Exception:
            # It is proved, so it is kept: reading it later may go well, or it is put aside for somebody to look at.
            log.exception("a bug while looking whether a delivery can be read", source=source.name, route=delivery.route)

    def _identity(self, source: Source, delivery: Delivery) -> str:
        """What tells this delivery from others. A body that is repeated on purpose counts anew after a while."""
        try:
            identity = source.delivery_id(delivery)
        except Exception:
            log.exception("a bug in what tells deliveries apart: its body does", source=source.name, route=delivery.route)
            identity = content_id(delivery)
        window = source.identity_window_seconds
        if window is None:
            return identity
        return f"{identity}@{int(delivery.received_at.timestamp()) // window}"


class Mailbox:
    """Brings answers from the thread that commits to the loop that answers: one wake-up for all that come at once.

    A wake-up for each costs both threads more than their share of the commit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[bool], bool | DatabaseDown]] = deque()
        self._is_called = False

    def slip(self) -> "tuple[asyncio.Future[bool], Tell]":
        """An answer for somebody on the loop to wait for, and how another thread gives it."""
        mine: asyncio.Future[bool] = self.loop.create_future()

        def tell(became: bool | DatabaseDown) -> None:
            self._arrived.append((mine, became))
            if not self._is_called:
                self._is_called = True
                # Closed: the web has stopped, and nobody waits any more.
                with suppress(RuntimeError):
                    self.loop.call_soon_threadsafe(self._hand_out)

        return mine, tell

    def _hand_out(self) -> None:
        # First: what comes from here on calls again.
        self._is_called = False
        while self._arrived:
            mine, became = self._arrived.popleft()
            if mine.done():
                continue
            if isinstance(became, bool):
                mine.set_result(became)
            else:
                mine.set_exception(became)


class Patience:
    """Ends reads that take too long. One look a second at all of them: a timer for each costs as much as reading it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._look: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive) -> bytes:
        """The whole body. Raises `Answer` where it did not come in time."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        self._reading[task] = due = loop.time() + self._seconds
        if self._look is None:
            self._look = loop.call_later(min(1.0, self._seconds), self._end_late_ones, loop)
        try:
            return await _read(receive)
        except asyncio.CancelledError:
            if loop.time() < due:
                raise
            task.uncancel()
            raise Answer(408, "the body did not come in time") from None
        finally:
            del self._reading[task]

    def _end_late_ones(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        now = loop.time()
        for task, due in self._reading.items():
            if due <= now:
                task.cancel()
        if self._reading:
            self._look = loop.call_later(min(1.0, self._seconds), self._end_late_ones, loop)


def _check_of(source: Source) -> Callable[[Delivery, Mapping[str, str]], object] | None:
    """How a body is looked at before its sender is answered; None where it is kept however odd it is."""
    if isinstance(source, Checks):
        return source.check
    return None if source.identity_window_seconds is None else source.parse


@lru_cache(maxsize=1000)
def _place(path: str) -> tuple[str, str]:
    parts = [unquote(part) for part in path.removeprefix(PREFIX).strip("/").split("/")]
    if len(parts) != 2 or not all(parts):
        raise Answer(404, "webhooks go to /hooks/SOURCE/ROUTE, such as /hooks/alertmanager/main")
    return parts[0], parts[1]


def _headers(scope: Scope) -> dict[str, str]:
    """Names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _query(scope: Scope) -> Mapping[str, str]:
    given = scope.get("query_string", b"")
    return dict(parse_qsl(given.decode("latin-1"))) if given else NOTHING


def _kept(headers: Mapping[str, str], secrets: tuple[str, ...]) -> dict[str, str]:
    """Without what proved who sent it: once verified, a secret has no business in the database. Proxies repeat the address
    in headers of their own, and the token may stand in it.
    """
    return {
        name: value
        for name, value in headers.items()
        if name not in SECRET_HEADERS and not any(secret in value for secret in secrets)
    }


async def _read(receive: Receive) -> bytes:
    chunks, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Answer(400, "the sender went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LIMIT_BYTES:
            raise Answer(413, f"larger than {LIMIT_BYTES} bytes")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _takes_queries(source: Source) -> bool:
    return isinstance(source, TakesQueries) and source.takes_queries


def _address(scope: Scope) -> str:
    """Whose request it is. Behind a proxy that is not trusted (FORWARDED_ALLOW_IPS), that is the proxy."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _answer(send: Send, status: int, body: Mapping[str, Any], more: Mapping[str, str], retry_seconds: int) -> None:
    content = orjson.dumps(body) + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode("latin-1", errors="replace")) for name, value in more.items()]
    if status in (429, 503):
        headers.append((b"retry-after", str(retry_seconds).encode()))
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
