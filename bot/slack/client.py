"""Slack's Web API, one HTTP attempt a call; its errors as ours; its rate limits as budgets kept before the call."""

import logging
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import orjson
from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.errors import Ambiguous, GaveUp, OverBudget, TryLater

TIMEOUT_SECONDS = 10
BODY_LIMIT = 8_000_000
"""Bytes. Two hundred users with their profiles are a tenth of it."""
LONGEST_WAIT_SECONDS = 86_400
TIER_2 = (
    "conversations.create", "conversations.setTopic", "users.conversations", "users.list", "conversations.list",
    "pins.add", "bookmarks.add",
)  # fmt: skip
TIER_3 = (
    "conversations.invite", "conversations.join", "conversations.info", "conversations.history",
    "conversations.replies", "conversations.open", "chat.update", "bookmarks.list", "users.lookupByEmail",
)  # fmt: skip
SHARE = 0.95
"""Of what a method may be called: Slack counts when a call arrives, a little sooner or later than it was made."""
PER_MINUTE = {**dict.fromkeys(TIER_2, 20), **dict.fromkeys(TIER_3, 50), "chat.postMessage": 200}
IN_ANY_MINUTE = frozenset({"conversations.create"})
"""Of these no minute has more, wherever it begins: a full bucket that fills up again lets nearly twice as many pass in its first."""
MINUTE_SECONDS = 66.0
"""A minute, and what one call may be under way for longer than another."""
CHANNEL_BURST = 4.0
ELSEWHERE = 1.0
"""So soon, in seconds, a call is offered again where this worker's share is used up for longer: another may have room."""

TOKEN = frozenset({
    "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "missing_scope",
    "not_allowed_token_type", "no_permission", "org_login_required", "ekm_access_denied", "team_access_not_granted",
})  # fmt: skip
PASSING = frozenset({"ratelimited", "rate_limited", "service_unavailable", "team_added_to_org", "request_timeout"})
UNREADABLE = "unreadable_answer"
"""Our own word for an answer that is no JSON object, or not all of it."""
LOST = frozenset({"internal_error", "fatal_error"})
"""Slack: "It's possible some aspect of the operation succeeded before the error was raised"."""
MEND_TOKEN = "reinstall the Slack app and set SLACK_BOT_TOKEN; `python -m bot check` names missing scopes"


def judged(status: int, error: str, retry_after: str | None, method: str) -> TryLater | GaveUp:
    """What an answer that is not `ok: true` means: the one table. https://docs.slack.dev/apis/web-api/rate-limits"""
    reason = f"Slack answered {error or status} to {method}"
    if status == 429 or error in PASSING:
        return TryLater(reason, after=wait_named(retry_after))
    if error in TOKEN or status in (401, 403):
        return TryLater(reason, after=timedelta(seconds=60), mend=MEND_TOKEN)
    if error in LOST or status >= 500 or status == 408 or (status < 300 and error in ("", UNREADABLE)):
        return Ambiguous(reason)
    return GaveUp(reason)


def wait_named(text: str | None) -> timedelta:
    """How long a 429 asks us to wait; half a minute where it says nothing usable."""
    text = (text or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= LONGEST_WAIT_SECONDS:
        return timedelta(seconds=max(1, int(text)))
    return timedelta(seconds=30)


# --- one attempt ------------------------------------------------------------------------------


class _Timed(HTTPConnection):
    """Cuts itself when its time is up: a timeout of `socket` is only one between two bytes, and an answer may drip in."""

    bell: threading.Timer

    def __init__(self, *given: Any, connected: Callable[[], None], **more: Any) -> None:
        super().__init__(*given, **more)
        self._connected = connected

    def connect(self) -> None:
        """Connect, and set the bell. Raises what `connected` does: then nothing is sent."""
        ends_at = time.monotonic() + float(self.timeout or TIMEOUT_SECONDS)
        super().connect()
        self._connected()
        self.bell = threading.Timer(max(0.05, ends_at - time.monotonic()), _cut, [self.sock])
        self.bell.daemon = True
        self.bell.start()

    def getresponse(self) -> HTTPResponse:
        """The answer, with the bell for whoever reads it."""
        try:
            answer = super().getresponse()
        except (HTTPException, OSError):
            self.bell.cancel()
            raise
        answer.bell = self.bell  # type: ignore[attr-defined]
        return answer


class _TimedSecurely(_Timed, HTTPSConnection):
    pass


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _Plain(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_Timed, connected=_hook_of(req)), req)


class _Secure(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(partial(_TimedSecurely, connected=_hook_of(req)), req, context=_trusted())


@cache
def _trusted() -> ssl.SSLContext:
    """Whom we trust, read once: reading the system's certificates takes 20 to 50 ms of processor, more than all else of a call."""
    return ssl.create_default_context()


def _hook_of(request: Request) -> Callable[[], None]:
    hook: Callable[[], None] = getattr(request, "connected", lambda: None)
    return hook


class _Stay(HTTPRedirectHandler):
    """The token is for Slack only: a redirect is an answer like any other."""

    def redirect_request(self, *given: Any) -> None:
        return None


_OPENER = build_opener(_Plain, _Secure, _Stay)


def _fetched(request: Request, timeout_seconds: float, connected: Callable[[], None]) -> tuple[int, dict[str, str], bytes]:
    """One HTTP exchange that ends with its timeout, headers and all: status, headers with lower-case names, body.

    `connected` is asked once there is a connection, just before the first byte: where it raises, nothing is sent.
    """
    request.connected = connected  # type: ignore[attr-defined]
    try:
        answer = _OPENER.open(request, timeout=timeout_seconds)
    except HTTPError as error:
        answer = error
    parts: list[bytes] = []
    with answer:
        try:
            while sum(map(len, parts)) < BODY_LIMIT and (part := answer.read1(65_536)):
                parts.append(part)
        finally:
            answer.bell.cancel()
        length = answer.headers.get("content-length", "")
    if length.isdigit() and len(length) < 12 and sum(map(len, parts)) < min(int(length), BODY_LIMIT):
        raise IncompleteRead(b"".join(parts))
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, b"".join(parts)


class _OneAttempt(WebClient):
    """slack_sdk's client with an end to each call, no redirect followed, and no answer that it cannot read."""

    connected: Callable[[], None] = staticmethod(lambda: None)

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        status, headers, content = _fetched(req, self.timeout, self.connected)
        try:
            body = orjson.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {"ok": False, "error": UNREADABLE}
        return {"status": status, "headers": headers, "body": orjson.dumps(body).decode()}


def _silent() -> logging.Logger:
    """slack_sdk's own log is off: it can hold what was sent, and every failure is told by whoever made the call."""
    logger = logging.getLogger("firstfive.slack_sdk")
    logger.setLevel(logging.CRITICAL)
    return logger


def _was_never_sent(error: BaseException) -> bool:
    """Whether no connection came about: nobody listens, no such name, not taken in time, or not whom we expected."""
    inner = error.reason if isinstance(error, URLError) else None
    return isinstance(inner, (ConnectionRefusedError, socket.gaierror, ssl.SSLError)) or type(inner) is TimeoutError


# --- budgets ----------------------------------------------------------------------------------


class Budget:
    """Token buckets for methods and channels: a call that Slack would refuse is not made. `now` never goes back.

    Slack counts what all workers ask of a method, and post into a channel: each has its share of it, which `share` sets.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sharers = 1
        self._left: dict[str, tuple[float, float]] = {}
        self._made: dict[str, deque[float]] = {}
        """When the last calls were made of what has so many in any minute."""
        self._blocked: dict[str, float] = {}
        self._own: dict[str, float] = {}
        """Of those, what Slack told this process itself."""
        self._lock = threading.Lock()

    def share(self, workers: int) -> None:
        """So many workers ask Slack from now on."""
        self._sharers = max(1, workers)

    def spend(self, method: str, channel: str) -> None:
        """Take a call out of the budgets. Raises `OverBudget` with the wait."""
        with self._lock:
            now = self._now()
            if self._blocked.get(method, now) > now:
                raise OverBudget(f"{method} is limited", timedelta(seconds=self._blocked[method] - now), is_alike=True)
            size = max(1.0, PER_MINUTE.get(method, 100) / self._sharers)
            waits = {method: self._wait(method, size / 60 * SHARE, size, now)}
            if method in IN_ANY_MINUTE:
                waits[method] = max(waits[method], self._elsewhere(self._wait_for_a_minute(method, int(size), now)))
            if method == "chat.postMessage":
                burst = max(1.0, CHANNEL_BURST / self._sharers)
                wait = self._wait(f"{method} {channel}", 1.0 / self._sharers, burst, now)
                waits[f"{method} in {channel}"] = self._elsewhere(wait)
            what = max(waits, key=lambda one: waits[one])
            if wait := waits[what]:
                raise OverBudget(f"the budget of {what} is used up", timedelta(seconds=wait), is_alike=True)
            self._take(method)
            if method in IN_ANY_MINUTE:
                self._made[method].append(now)
            if method == "chat.postMessage":
                self._take(f"{method} {channel}")

    def block(self, method: str, wait: timedelta) -> None:
        """Slack said 429: nothing to this method before the wait is over."""
        self.heard(method, wait)
        with self._lock:
            self._own[method] = self._blocked[method]

    def heard(self, method: str, wait: timedelta) -> None:
        """The same, as Slack said to another process."""
        with self._lock:
            until = self._now() + wait.total_seconds()
            self._blocked[method] = max(until, self._blocked.get(method, until))

    def told(self) -> dict[str, timedelta]:
        """For how long Slack still wants to be left alone, by method, as far as it told this process."""
        with self._lock:
            now = self._now()
            self._own = {method: until for method, until in self._own.items() if until > now}
            return {method: timedelta(seconds=until - now) for method, until in self._own.items()}

    def _wait(self, key: str, per_second: float, size: float, now: float) -> float:
        left, at = self._left.get(key, (size, now))
        left = min(size, left + (now - at) * per_second)
        self._left[key] = (left, now)
        return 0.0 if left >= 1 else (1 - left) / per_second

    def _elsewhere(self, wait: float) -> float:
        return wait if self._sharers == 1 else min(wait, ELSEWHERE)

    def _wait_for_a_minute(self, method: str, most: int, now: float) -> float:
        made = self._made.setdefault(method, deque())
        while made and now - made[0] >= MINUTE_SECONDS:
            made.popleft()
        # Workers that came since may have made the share smaller.
        return 0.0 if len(made) < most else made[len(made) - most] + MINUTE_SECONDS - now

    def _take(self, key: str) -> None:
        left, at = self._left[key]
        self._left[key] = (left - 1, at)


class Slack:
    """The client that everything in this edge shares. No call is made when it is built."""

    def __init__(
        self,
        *,
        token: SecretStr,
        api_url: str,
        budget: Budget | None = None,
        timeout_seconds: int = TIMEOUT_SECONDS,
        about_to: Callable[[str], None] = lambda call: None,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        """`about_to` is told each call before it; `connected` is asked again when nothing but its bytes is left: to connect
        takes a tenth of a second, in which a process may be stopped. What either raises, `call` does, and nothing is sent.
        """
        url = api_url if api_url.endswith("/") else api_url + "/"
        self._token, self._timeout_seconds = token, timeout_seconds
        self.has_token = bool(token.get_secret_value())
        # retry_handlers: slack_sdk re-sends a POST after a reset by itself, which is a message posted twice.
        self.web: _OneAttempt = _OneAttempt(
            token=token.get_secret_value(), base_url=url, timeout=timeout_seconds, retry_handlers=[], logger=_silent()
        )
        self.web.connected = self._connected = connected
        self.budget, self._about_to = budget or Budget(), about_to
        self._bot_user = ""

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One call. Raises TryLater, Ambiguous or GaveUp; `GaveUp.reason` ends with Slack's own error string."""
        if not self.has_token:
            raise TryLater("there is no Slack token", after=timedelta(seconds=60), mend=MEND_TOKEN)
        self.budget.spend(method, str(arguments.get("channel", "")))
        given = {name: value for name, value in arguments.items() if value is not None}
        self._about_to(method)
        try:
            answer = self.web.api_call(method, json=given) if _takes_json(method) else self.web.api_call(method, params=given)
        except SlackApiError as error:
            raise self._judge(error, method) from None
        except (SlackClientError, HTTPException, OSError) as error:
            raise _unanswered(error, method) from None
        return _body(answer.data)

    def _judge(self, error: SlackApiError, method: str) -> TryLater | GaveUp:
        response = error.response
        body = response.data if isinstance(response.data, dict) else {}
        headers = {name.lower(): value for name, value in (response.headers or {}).items()}
        word = _word(self._without_token(str(body.get("error") or "")))
        problem = judged(response.status_code, word, str(headers.get("retry-after") or ""), method)
        if isinstance(problem, TryLater) and problem.after and not problem.mend:
            self.budget.block(method, problem.after)
        details = body.get("response_metadata", {}).get("messages") if isinstance(body.get("response_metadata"), dict) else None
        if isinstance(problem, GaveUp) and isinstance(details, list):
            said = " ".join(self._without_token("; ".join(map(str, details[:5]))).split())[:300]
            return GaveUp(f"{problem.reason} ({said})", problem.mend)
        return problem

    def _without_token(self, text: str) -> str:
        token = self._token.get_secret_value()
        return text.replace(token, "(secret)") if token else text

    def bot_user(self) -> str:
        """The bot's own user id; asked once."""
        if not self._bot_user:
            self._bot_user = str(self.call("auth.test")["user_id"])
        return self._bot_user

    def upload(self, url: str, content: bytes) -> None:
        """Send a file's bytes to where Slack wants them. Raises `TryLater`: nothing is shown before it is completed."""
        self._about_to("upload")
        self._post(url, content, "application/octet-stream", "the file")

    def respond(self, url: str, text: str, blocks: list[dict[str, Any]]) -> None:
        """Answer one person at the `response_url` of what they did. Works where the bot is no member. Raises `TryLater`.

        https://docs.slack.dev/interactivity/handling-user-interaction
        """
        said = {"response_type": "ephemeral", "replace_original": False, "text": text, "blocks": blocks}
        self._about_to("response_url")
        self._post(url, orjson.dumps(said), "application/json", "the answer")

    def _post(self, url: str, body: bytes, content_type: str, what: str) -> None:
        """Post to an address that Slack gave us, which is itself the permission: no token goes along."""
        request = Request(url, data=body, headers={"Content-Type": content_type}, method="POST")
        try:
            status, _, _ = _fetched(request, self._timeout_seconds, self._connected)
        except (HTTPException, OSError) as error:
            raise TryLater(f"Slack did not take {what} ({_name(error)})") from None
        if status >= 300:
            raise TryLater(f"Slack did not take {what} ({status})")


def error_in(error: GaveUp) -> str:
    """Slack's own error string."""
    return error.reason.removeprefix("Slack answered ").split(" ")[0]


def _unanswered(error: Exception, method: str) -> TryLater:
    """No answer: harmless if it was never sent, ambiguous if it may have been."""
    reason = f"Slack did not answer {method} ({_name(error)})"
    return TryLater(reason) if _was_never_sent(error) else Ambiguous(reason)


def _name(error: Exception) -> str:
    inner = error.reason if isinstance(error, URLError) else error
    return type(inner).__name__


def _word(error: str) -> str:
    """Slack's error string, and no more than such a string ever is."""
    return re.sub(r"[^\w.:()-]+", "_", error)[:80]


def _takes_json(method: str) -> bool:
    """Methods that read do not take JSON; those that write do."""
    return method.startswith(("chat.", "views.", "conversations.create", "conversations.invite", "conversations.set",
                              "conversations.join", "conversations.open", "pins.add", "bookmarks.add",
                              "files.completeUploadExternal"))  # fmt: skip


def _body(data: Any) -> dict[str, Any]:
    return dict(data) if isinstance(data, Mapping) else {}
