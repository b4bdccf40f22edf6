"""Calling the bot over HTTP, as its neighbours do; and who it is that calls them."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

ASKER: ContextVar[int] = ContextVar("asker", default=0)
"""The port that the call which is under way came from; 0 outside of one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered; status 0 where it did not answer in time, or at all."""

    status: int
    body: bytes = b""
    content_type: str = ""


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """POST `body`, and wait at most `seconds` for the answer."""
    return _ask(urllib.request.Request(url, data=body, headers=dict(headers), method="POST"), seconds)


def get(url: str, seconds: float) -> Answer:
    """GET a page, and wait at most `seconds` for it."""
    return _ask(urllib.request.Request(url), seconds)


def _ask(request: urllib.request.Request, seconds: float) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return Answer(answer.status, answer.read(), answer.headers.get("content-type", ""))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(), error.headers.get("content-type", ""))
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return Answer(0)
