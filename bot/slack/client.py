"""Slack's Web API, one HTTP attempt a call; its errors as ours; its rate limits as budgets kept before the call."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.errors import Ambiguous, GaveUp, OverBudget, TryLater

TIMEOUT_SECONDS = 10
TIER_2 = (
    "conversations.create", "conversations.setTopic", "users.conversations", "users.list", "conversations.list",
    "pins.add", "bookmarks.add",
)  # fmt: skip
TIER_3 = (
    "conversations.invite", "conversations.join", "conversations.info", "conversations.history",
    "conversations.replies", "conversations.open", "chat.update", "bookmarks.list", "users.lookupByEmail",
)  # fmt: skip
PER_MINUTE = {**dict.fromkeys(TIER_2, 20), **dict.fromkeys(TIER_3, 50), "chat.postMessage": 200}
CHANNEL_BURST = 4.0

TOKEN = frozenset({
    "invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive", "missing_scope",
    "not_allowed_token_type", "no_permission", "org_login_required", "ekm_access_denied", "team_access_not_granted",
})  # fmt: skip
PASSING = frozenset({"ratelimited", "rate_limited", "service_unavailable", "team_added_to_org", "request_timeout"})
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
    if error in LOST or status >= 500:
        return Ambiguous(reason)
    return GaveUp(reason)


def wait_named(text: str | None) -> timedelta:
    """How long a 429 asks us to wait; half a minute where it says nothing usable."""
    if text and text.strip().isascii() and text.strip().isdigit() and int(text) <= 3600:
        return timedelta(seconds=max(1, int(text)))
    return timedelta(seconds=30)


class Budget:
    """Token buckets for methods and channels: a call that Slack would refuse is not made. `now` never goes back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}
        self._blocked: dict[str, float] = {}
        self._lock = threading.Lock()

    def spend(self, method: str, channel: str) -> None:
        """Take a call out of the budgets. Raises `OverBudget` with the wait."""
        with self._lock:
            now = self._now()
            if self._blocked.get(method, now) > now:
                raise OverBudget(f"{method} is limited", timedelta(seconds=self._blocked[method] - now))
            size = float(PER_MINUTE.get(method, 100))
            waits = [self._wait(method, size / 60, size, now)]
            if method == "chat.postMessage":
                waits.append(self._wait(f"{method} {channel}", 1.0, CHANNEL_BURST, now))
            if max(waits) > 0:
                raise OverBudget(f"the budget of {method} is used up", timedelta(seconds=max(waits)))
            self._take(method)
            if method == "chat.postMessage":
                self._take(f"{method} {channel}")

    def block(self, method: str, wait: timedelta) -> None:
        """Slack said 429: nothing to this method before the wait is over."""
        with self._lock:
            self._blocked[method] = self._now() + wait.total_seconds()

    def _wait(self, key: str, per_second: float, size: float, now: float) -> float:
        left, at = self._left.get(key, (size, now))
        left = min(size, left + (now - at) * per_second)
        self._left[key] = (left, now)
        return 0.0 if left >= 1 else (1 - left) / per_second

    def _take(self, key: str) -> None:
        left, at = self._left[key]
        self._left[key] = (left - 1, at)


class Slack:
    """The client that everything in this edge shares. No call is made when it is built."""

    def __init__(self, *, token: SecretStr, api_url: str, budget: Budget | None = None) -> None:
        url = api_url if api_url.endswith("/") else api_url + "/"
        self.has_token = bool(token.get_secret_value())
        # retry_handlers: slack_sdk re-sends a POST after a reset by itself, which is a message posted twice.
        self.web = WebClient(token=token.get_secret_value(), base_url=url, timeout=TIMEOUT_SECONDS, retry_handlers=[])
        self._budget = budget or Budget()
        self._bot_user = ""

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One call. Raises TryLater, Ambiguous or GaveUp; `GaveUp.reason` ends with Slack's own error string."""
        if not self.has_token:
            raise TryLater("there is no Slack token", after=timedelta(seconds=60), mend=MEND_TOKEN)
        self._budget.spend(method, str(arguments.get("channel", "")))
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            answer = self.web.api_call(method, json=given) if _takes_json(method) else self.web.api_call(method, params=given)
        except SlackApiError as error:
            raise self._judge(error, method) from None
        except (SlackClientError, URLError, HTTPException, TimeoutError, OSError) as error:
            raise Ambiguous(f"Slack did not answer {method} ({type(error).__name__})") from None
        return _body(answer.data)

    def _judge(self, error: SlackApiError, method: str) -> TryLater | GaveUp:
        response = error.response
        body = response.data if isinstance(response.data, dict) else {}
        headers = {name.lower(): value for name, value in (response.headers or {}).items()}
        retry_after = headers.get("retry-after")
        problem = judged(response.status_code, str(body.get("error", "")), str(retry_after or ""), method)
        if response.status_code == 429 and isinstance(problem, TryLater) and problem.after:
            self._budget.block(method, problem.after)
        details = body.get("response_metadata", {}).get("messages") if isinstance(body.get("response_metadata"), dict) else None
        if isinstance(problem, GaveUp) and details:
            return GaveUp(f"{problem.reason} ({'; '.join(map(str, details))[:300]})", problem.mend)
        return problem

    def bot_user(self) -> str:
        """The bot's own user id; asked once."""
        if not self._bot_user:
            self._bot_user = str(self.call("auth.test")["user_id"])
        return self._bot_user

    def upload(self, url: str, content: bytes) -> None:
        """Send a file's bytes to where Slack wants them. Raises `TryLater`: nothing is shown before it is completed."""
        request = Request(url, data=content, headers={"Content-Type": "application/octet-stream"}, method="POST")
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read()
        except (URLError, HTTPException, TimeoutError, OSError) as error:
            raise TryLater(f"Slack did not take the file ({type(error).__name__})") from None


def error_in(error: GaveUp) -> str:
    """Slack's own error string."""
    return error.reason.removeprefix("Slack answered ").split(" ")[0]


def _takes_json(method: str) -> bool:
    """Methods that read do not take JSON; those that write do."""
    return method.startswith(("chat.", "views.", "conversations.create", "conversations.invite", "conversations.set",
                              "conversations.join", "conversations.open", "pins.add", "bookmarks.add",
                              "files.completeUploadExternal"))  # fmt: skip


def _body(data: Any) -> dict[str, Any]:
    return dict(data) if isinstance(data, Mapping) else {}
