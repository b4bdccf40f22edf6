"""The sandbox's web application: Slack's API, PagerDuty's, the people's calls and the page, each under its path."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sandbox.calls import ASKER
from sandbox.misbehaviour import Call, carried_out
from sandbox.pagerduty.account import Account, Json
from sandbox.pagerduty.api import TOO_MANY, TOO_QUICK, Events, PagerError, Rest
from sandbox.pagerduty.webhooks import Webhooks
from sandbox.person import CannotBe, People
from sandbox.slack.api import SCOPES, Api
from sandbox.slack.outgoing import Outgoing
from sandbox.slack.workspace import SlackError, Workspace
from sandbox.world import World

PAGE = Path(__file__).parent / "page"
PERSON_POSTS = (
    "slash", "message", "press", "submit", "close", "react", "join", "phone", "alert", "explain", "fault", "webhooks", "clock",
)  # fmt: skip
LIMITED_SECONDS = "3"


@dataclass
class Sandbox:
    """Everything, put together. Tests reach into it; the page goes through the application."""

    world: World
    space: Workspace
    outgoing: Outgoing
    account: Account
    webhooks: Webhooks
    people: People
    api: Api
    events: Events
    rest: Rest

    @classmethod
    def around(cls, world: World) -> "Sandbox":
        """A new sandbox with nothing in it but its cast."""
        space, account = Workspace(world), Account(world)
        outgoing, webhooks = Outgoing(space), Webhooks(account)
        people = People(space, outgoing, account, webhooks)
        rest = Rest(account, webhooks.subscriptions)
        return cls(world, space, outgoing, account, webhooks, people, Api(space), Events(account), rest)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=_routes(self))


def _routes(sandbox: Sandbox) -> list[Route | Mount]:
    people = [
        Route(f"/_person/{name}", _person(sandbox, name), methods=["POST"]) for name in PERSON_POSTS
    ]  # fmt: skip
    return [
        Route("/slack/api/{method:path}", _edge(sandbox, "slack", _slack(sandbox)), methods=["GET", "POST"]),
        Route("/slack/upload/{file}", _edge(sandbox, "slack", _upload(sandbox)), methods=["POST", "PUT"]),
        Route("/slack/files/{file}", _file(sandbox)),
        Route("/slack/response/{id}", _respond(sandbox), methods=["POST"]),
        Route("/pagerduty/events/v2/enqueue", _edge(sandbox, "pagerduty", _enqueue(sandbox)), methods=["POST"]),
        Route("/pagerduty/api/{path:path}", _edge(sandbox, "pagerduty", _rest(sandbox)), methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/pagerduty/incidents/{id}", lambda request: RedirectResponse(f"/#pagerduty={request.path_params['id']}")),
        Route("/_person/cast", lambda request: JSONResponse(sandbox.people.cast())),
        Route("/_person/samples", lambda request: JSONResponse(sandbox.world.samples())),
        Route("/_person/state", lambda request: JSONResponse(sandbox.people.state())),
        Route("/_person/events", _stream(sandbox)),
        *people,
        Route("/", lambda request: FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})),
        Mount("/page", StaticFiles(directory=PAGE, check_dir=False)),
    ]


Handle = Callable[[Request], Awaitable[Response]]


HUNG_UP = Response(status_code=400)
"""Whoever asked hung up before all of it was here: nothing is done, and nobody is there to be told."""


def _edge(sandbox: Sandbox, neighbour: str, handle: Handle) -> Handle:
    """A neighbour's way in: every call is kept, and here it misbehaves where it was told to."""

    async def answered(request: Request) -> Response:
        ASKER.set(_port(request))
        try:
            said = await _said(request)
        except ClientDisconnect:
            return HUNG_UP
        call = Call(neighbour, _name_of(request), said, time.monotonic(), sandbox.world.clock())
        wrong = sandbox.world.met(call)
        try:
            good = await handle(request) if wrong is None or wrong.is_after else None
            answer = await carried_out(wrong, good, request) if wrong is not None else good
            assert answer is not None
            call.status = answer.status_code
        except ClientDisconnect:
            return HUNG_UP
        finally:
            call.seconds = time.monotonic() - call.at
        return answer

    return answered


def _port(request: Request) -> int:
    return request.client.port if request.client else 0


def _name_of(request: Request) -> str:
    """What a call is called in the list of calls: see `World.answer_with`."""
    given = request.path_params
    if "method" in given:
        return str(given["method"])
    if "file" in given:
        return "upload"
    return f"{request.method.lower()} /{given['path']}" if "path" in given else "enqueue"


async def _said(request: Request) -> Any:
    """What was asked, where it can be read."""
    said = _json(await request.body()) if "json" in request.headers.get("content-type", "") else None
    return said if said is not None else dict(request.query_params)


async def _broken(sandbox: Sandbox, neighbour: str, limited: Json) -> Response | None:
    """The answer of a neighbour that is not well; None where it is. `limited` is what it says with a 429."""
    sandbox.world.asked[neighbour] += 1
    state = sandbox.world.faults[neighbour]
    if state == "down":
        return Response("Service Unavailable", status_code=503)
    if state == "limited":
        return JSONResponse(limited, 429, {"Retry-After": LIMITED_SECONDS})
    if state == "slow":
        await asyncio.sleep(sandbox.world.slow_seconds)
    return None


def _slack(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        broken = await _broken(sandbox, "slack", {"ok": False, "error": "ratelimited"})
        if broken is not None:
            return broken
        if sandbox.world.faults["slack"] == "revoked":
            return JSONResponse({"ok": False, "error": "token_revoked"})
        try:
            given = await _arguments(request)
            token = request.headers.get("authorization", "").removeprefix("Bearer ") or str(given.pop("token", ""))
            answer = await run_in_threadpool(sandbox.api.call, request.path_params["method"], token, given)
        except SlackError as error:
            return _slack_error(error)
        return JSONResponse(answer, headers={"x-oauth-scopes": SCOPES})

    return handle


def _slack_error(error: SlackError) -> Response:
    more = dict(error.more)
    wait = more.pop("retry_after", None)
    if wait is not None:
        return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(wait)})
    return JSONResponse({"ok": False, "error": error.error, **more})


async def _arguments(request: Request) -> Json:
    given: Json = dict(request.query_params)
    body = await request.body()
    if "json" in request.headers.get("content-type", ""):
        said = _json(body or b"{}")
        if not isinstance(said, dict):
            raise SlackError("invalid_json" if said is None else "json_not_object")
        return {**given, **said}
    fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {**given, **{name: values[-1] for name, values in fields.items()}}


def _upload(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        upload = sandbox.space.uploads.get(request.path_params["file"])
        if upload is None:
            return Response("not found", status_code=404)
        body = await request.body()
        if "multipart" in request.headers.get("content-type", ""):
            body = body.split(b"\r\n\r\n", 1)[-1].rsplit(b"\r\n--", 1)[0]
        upload["bytes"] = body
        await run_in_threadpool(sandbox.world.committed, "upload")
        return Response(f"OK - {len(body)}")

    return handle


def _file(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        found = sandbox.space.files.get(request.path_params["file"])
        if found is None:
            return Response("not found", status_code=404)
        return Response(found["bytes"], media_type="text/plain; charset=utf-8")

    return handle


def _respond(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        ASKER.set(_port(request))
        said = json.loads(await request.body() or b"{}")
        taken = await run_in_threadpool(sandbox.outgoing.respond, request.path_params["id"], said)
        if taken:
            await run_in_threadpool(sandbox.world.committed, "response_url")
        return Response("ok") if taken else JSONResponse({"ok": False, "error": "used_url"}, 404)

    return handle


def _enqueue(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        broken = await _broken(sandbox, "pagerduty", TOO_QUICK)
        if broken is not None:
            return broken
        event = _json(await request.body())
        if sandbox.world.faults["pagerduty"] == "revoked":
            return JSONResponse({"status": "invalid event", "message": "Event object is invalid",
                                 "errors": ["Invalid routing key"]}, 403)  # fmt: skip
        status, body, line = await run_in_threadpool(sandbox.events.enqueue, event)
        # Of the answer's own: where another is given in its place, it has none.
        went_out = BackgroundTask(_went_out, sandbox.world, line) if line is not None else None
        return JSONResponse(body, status, background=went_out)

    return handle


async def _went_out(world: World, line: Json) -> None:
    """The last byte of the answer was handed to the system a moment ago."""
    line["answered"] = world.clock().timestamp()


def _rest(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        broken = await _broken(sandbox, "pagerduty", TOO_MANY)
        if broken is not None:
            return broken
        token = request.headers.get("authorization", "").removeprefix("Token token=")
        token = "" if sandbox.world.faults["pagerduty"] == "revoked" else token
        body = _json(await request.body() or b"{}")
        query = parse_qs(request.url.query)
        path = "/" + request.path_params["path"]
        sender = request.headers.get("from", "")
        try:
            status, answer = await run_in_threadpool(sandbox.rest.call, request.method, path, token, sender, query, body)
        except PagerError as error:
            return JSONResponse(error.body, error.status)
        return JSONResponse(answer, status)

    return handle


def _json(body: bytes) -> Any:
    """The body's value; None where it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _person(sandbox: Sandbox, name: str) -> Callable[[Request], Any]:
    act = getattr(sandbox.people, name)

    async def handle(request: Request) -> Response:
        try:
            given = json.loads(await request.body() or b"{}")
        except ValueError as error:
            return JSONResponse({"ok": False, "error": f"not JSON: {error}"}, 400)
        try:
            if not isinstance(given, dict):
                raise CannotBe("post a JSON object")
            seen = await run_in_threadpool(act, given)
        except (CannotBe, SlackError) as error:
            return JSONResponse({"ok": False, "error": str(error)}, 400)
        return JSONResponse({"ok": True, "sees": seen})

    return handle


def _stream(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        return StreamingResponse(_changes(sandbox, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    return handle


async def _changes(sandbox: Sandbox, request: Request) -> AsyncIterator[str]:
    """Parts of the state as they change; at most ten times a second, and a sign of life every fifteen."""
    world = sandbox.world
    seen, spoke_at = world.sequence, time.monotonic()
    yield f"event: hello\ndata: {json.dumps({'seq': seen})}\n\n"
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)
        if world.sequence == seen:
            if time.monotonic() - spoke_at > 15:
                spoke_at = time.monotonic()
                yield ": alive\n\n"
            continue
        with world.lock:
            parts = [part for part, at in world.changed_parts.items() if at > seen]
            seen = world.sequence
            content = sandbox.people.parts(parts)
        spoke_at = time.monotonic()
        yield f"event: change\ndata: {json.dumps({'seq': seen, 'parts': parts, **content})}\n\n"
