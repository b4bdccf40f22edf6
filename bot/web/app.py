"""The web application: every route in one list. One of two files that catch every exception, to answer honestly."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bot.store import DatabaseDown, Store
from bot.web.health import Health
from bot.web.measures import Measures
from bot.web.webhooks import PREFIX, Receive, Scope, Send, Webhooks

log = structlog.get_logger()

SLACK_THREADS = 24
SLACK_LIMIT_BYTES = 1_000_000


class SlackAnswer(Protocol):
    """What the Slack edge answers."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers."""
        ...

    @property
    def body(self) -> bytes:
        """The HTTP body."""
        ...


SlackDispatch = Callable[[bytes, Mapping[str, str], str], SlackAnswer]


@dataclass(frozen=True, slots=True)
class Web:
    """What the routes need. `slack` is None where Slack is not set up, or comes by Socket Mode."""

    store: Store
    health: Health
    measures: Measures
    webhooks: Webhooks
    slack: SlackDispatch | None


def build(web: Web) -> Callable[[Scope, Receive, Send], object]:
    """The ASGI application: alerts go straight to their own callable, everything else through Starlette."""
    pool = ThreadPoolExecutor(SLACK_THREADS, thread_name_prefix="slack-request")

    async def slack(request: Request) -> Response:
        return await _slack(web, pool, request)

    async def live(request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def ready(request: Request) -> Response:
        return await asyncio.get_running_loop().run_in_executor(pool, _ready, web)

    async def metrics(request: Request) -> Response:
        return await asyncio.get_running_loop().run_in_executor(pool, _metrics, web)

    async def home(request: Request) -> Response:
        return PlainTextResponse("Firstfive is running. /health/ready says how it is.\n")

    inner = Starlette(
        routes=[
            Route("/", home),
            Route("/slack/events", slack, methods=["POST"]),
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await web.webhooks(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return app


async def _slack(web: Web, pool: ThreadPoolExecutor, request: Request) -> Response:
    if web.slack is None:
        return PlainTextResponse("Slack is not set up over HTTP here; see SLACK_SIGNING_SECRET\n", status_code=404)
    started = time.perf_counter()
    body = await _limited(request)
    if body is None:
        return PlainTextResponse("too large\n", status_code=413)
    # A header that stands twice is one with both values, as in HTTP: a second signature spoils the first.
    headers = {name: ", ".join(request.headers.getlist(name)) for name in dict.fromkeys(request.headers.keys())}
    query = request.url.query
    loop = asyncio.get_running_loop()
    answer = await loop.run_in_executor(pool, _dispatch, web.slack, body, headers, query)
    web.measures.slack(answer.status_code, time.perf_counter() - started)
    return answer


async def _limited(request: Request) -> bytes | None:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > SLACK_LIMIT_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _dispatch(slack: SlackDispatch, body: bytes, headers: Mapping[str, str], query: str) -> Response:
    try:
        answer = slack(body, headers, query)
    except DatabaseDown as error:
        log.warning("Slack request not saved", reason=str(error))
        return PlainTextResponse("not saved\n", status_code=503)
    except Exception:
        log.exception("bug while answering Slack")
        return PlainTextResponse("a bug; see the log\n", status_code=500)
    return Response(answer.body, status_code=answer.status, headers=dict(answer.headers))


def _ready(web: Web) -> Response:
    causes = web.health.causes()
    if causes:
        return JSONResponse({"ready": False, "causes": causes}, status_code=503)
    try:
        return JSONResponse({"ready": True, "warnings": web.health.warnings(), **web.health.notes()})
    except DatabaseDown as error:
        return JSONResponse({"ready": False, "causes": [str(error)]}, status_code=503)


def _metrics(web: Web) -> Response:
    def depths() -> dict[str, dict[str, int]]:
        return {"inbox": web.store.inbox_depth(), "outbox": web.store.outbox_depth()}

    store = web.store
    text = web.measures.text(
        depths, lambda: store.ages(web.health.clock()), store.dropped, store.quieted, store.hushed, store.ignored
    )
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
