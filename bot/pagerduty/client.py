"""The only file that imports pdpyras: one HTTP attempt for each call; its answer is a value or one of our errors."""

import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPException
from typing import Any

import orjson
from pydantic import SecretStr
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, ReadTimeoutError

from bot.errors import Ambiguous, GaveUp, TryLater

with warnings.catch_warnings():
    # pdpyras says at import that `pagerduty` follows it; docs/decisions/0005 says why it is still here.
    warnings.simplefilter("ignore", UserWarning)
    import pdpyras

TIMEOUT_SECONDS = 8
BODY_LIMIT = 4_000_000
"""Bytes. A page of a hundred log entries is a tenth of it."""
REFUSED_TOKEN = timedelta(seconds=60)
UNNAMED_WAIT = timedelta(seconds=5)
"""After a 429 that names none."""
MEND_TOKEN = "set PAGERDUTY_API_TOKEN to a REST API key that works (PagerDuty: Integrations > API Access Keys)"
MEND_FROM = "set PAGERDUTY_FROM to the e-mail address of a PagerDuty user of the bot's own, who is on no rota"
MEND_POLICY = "compare `escalation_policy` and `pagerduty_service` in the policy with the ids in PagerDuty's addresses"
MEND_KEY = "set the key of the service in PAGERDUTY_KEYS (PagerDuty: the service > Integrations > Events API v2)"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back: `headers` with lower-case names, and at most `BODY_LIMIT` bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value. Raises ValueError where it is not JSON, or not all of it."""
        return orjson.loads(self.body)


class _Answered(Exception):
    """Carries an answer out of pdpyras before its own retry rule sees it: that one never ends for 429."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__()
        self.answer = answer


class _Timed(HTTPConnection):
    """Cuts itself when its time is up: its timeout is one between two bytes, and an answer may drip in, headers and all."""

    ends_at = 0.0

    def request(self, *given: Any, **more: Any) -> None:
        """Send a request; the time for all of it begins here."""
        self.ends_at = time.monotonic() + float(self.timeout or TIMEOUT_SECONDS)
        super().request(*given, **more)

    def getresponse(self) -> Any:
        """The answer, with the bell for whoever reads it."""
        bell = threading.Timer(max(0.05, self.ends_at - time.monotonic()), _cut, [self.sock])
        bell.daemon = True
        bell.start()
        try:
            answer = super().getresponse()
        except (HTTPException, OSError):
            bell.cancel()
            raise
        answer.bell = bell  # type: ignore[attr-defined]
        return answer


class _TimedSecurely(_Timed, HTTPSConnection):
    pass


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _TimedSecurely


class _Adapter(HTTPAdapter):
    """requests' way to the network, with connections that end in time."""

    def init_poolmanager(self, *given: Any, **more: Any) -> None:
        """Called by requests once for each session."""
        super().init_poolmanager(*given, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Called by requests where the environment names a proxy."""
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


class _OneAttempt:
    """Mixed into pdpyras' sessions: whatever comes back is handed over at once."""

    timeout: float

    def send(self, request: PreparedRequest, **given: Any) -> Response:
        """Called by requests for each request. Raises `_Answered`, or what kept the answer from coming.

        Redirects are not followed: keys and tokens are for PagerDuty only.
        """
        ends_at = time.monotonic() + self.timeout
        sending: Any = super()
        response = sending.send(request, **(given | {"allow_redirects": False, "stream": True}))
        try:
            body = _body(response.raw, ends_at)
        finally:
            response.raw.bell.cancel()
            response.close()
        headers = {name.lower(): value for name, value in response.headers.items()}
        raise _Answered(_Answer(response.status_code, headers, body))


def _body(raw: Any, ends_at: float) -> bytes:
    parts: list[bytes] = []
    while sum(map(len, parts)) < BODY_LIMIT and (part := raw.read1(65_536)):
        parts.append(part)
    if time.monotonic() > ends_at:
        # It was cut in its midst, which looks like an end.
        raise ReadTimeoutError(None, None, "the answer did not end")  # type: ignore[arg-type]
    return b"".join(parts)


class _Events(_OneAttempt, pdpyras.EventsAPISession):  # type: ignore[misc]
    pass


class _Rest(_OneAttempt, pdpyras.APISession):  # type: ignore[misc]
    pass


def judged(status: int, headers: Mapping[str, str], said: str, what: str) -> TryLater | GaveUp | None:
    """What an answer that is not 2xx means. https://developer.pagerduty.com/docs/errors

    None for 2xx. 429, 5xx and 408 pass, and only 429 and 503 (there was nobody to ask) say that nothing was done; a refused
    token needs a person, and is asked again each minute; everything else will never be taken as it is.
    """
    if 200 <= status < 300:
        return None
    reason = f"PagerDuty answered {status} to {what}" + (f": {said}" if said else "")
    if status == 429:
        return TryLater(reason, after=wait_named(headers) or UNNAMED_WAIT)
    if status in (401, 403):
        return TryLater(reason, after=REFUSED_TOKEN, mend=MEND_TOKEN)
    if status == 503:
        return TryLater(reason)
    if status >= 500 or status == 408:
        return Ambiguous(reason)
    return GaveUp(reason, MEND_KEY if what.startswith("a page") else "")


def wait_named(headers: Mapping[str, str]) -> timedelta | None:
    """How long a 429 asks us to wait: Retry-After or ratelimit-reset, in seconds; None where it says nothing usable."""
    for name in ("retry-after", "ratelimit-reset"):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= 86_400:
            return timedelta(seconds=int(text))
    return None


class Client:
    """PagerDuty as the rest of the edge uses it. Sessions are kept alive, one of each for each thread."""

    def __init__(
        self,
        *,
        token: SecretStr,
        from_email: str,
        api_url: str,
        events_url: str,
        timeout_seconds: float = TIMEOUT_SECONDS,
        about_to: Callable[[str], None] = lambda call: None,
    ) -> None:
        self._token, self.from_email, self._timeout_seconds = token, from_email, timeout_seconds
        self._api_url, self._events_url = api_url.rstrip("/"), events_url.rstrip("/")
        self._local, self._about_to = threading.local(), about_to

    @property
    def has_token(self) -> bool:
        """Whether the REST API may be asked at all."""
        return bool(self._token.get_secret_value())

    def enqueue(self, key: str, event: Mapping[str, Any], what: str) -> None:
        """Send an event; returns only when PagerDuty has taken it (202). Raises TryLater, Ambiguous or GaveUp."""
        self._about_to("enqueue")
        answer = self._call(self._events(key), "POST", "/v2/enqueue", what, json={**event, "routing_key": key})
        if answer.status != 202:
            raise TryLater(f"PagerDuty answered {answer.status} to {what}, which is not 202 Accepted")
        # http.client takes a status line that was cut off for a whole answer; PagerDuty's own has a body.
        if not answer.body:
            raise Ambiguous(f"PagerDuty did not answer {what} (its 202 was cut off)")

    def get(self, path: str, what: str, **params: Any) -> dict[str, Any]:
        """A REST GET's body."""
        return self._rest_call("GET", path, what, "get", params=params)

    def put(self, path: str, body: Mapping[str, Any], what: str, *, from_email: str = "") -> dict[str, Any]:
        """A REST PUT's body, in the name of `from_email` or of the bot's own user."""
        return self._rest_call("PUT", path, what, "put", json=dict(body), headers=self._from(from_email))

    def post(self, path: str, body: Mapping[str, Any], what: str, *, from_email: str = "", call: str = "post") -> dict[str, Any]:
        """A REST POST's body, in the name of `from_email` or of the bot's own user. `call`: its name in `bot/points.py`."""
        return self._rest_call("POST", path, what, call, json=dict(body), headers=self._from(from_email))

    def _rest_call(self, method: str, path: str, what: str, call: str, **more: Any) -> dict[str, Any]:
        if not self.has_token:
            raise GaveUp(f"there is no PagerDuty REST token for {what}", MEND_TOKEN)
        self._about_to(call)
        answer = self._call(self._rest(), method, path, what, **more)
        try:
            body = answer.json()
        except ValueError:
            raise Ambiguous(f"PagerDuty's answer to {what} is not JSON") from None
        return body if isinstance(body, dict) else {}

    def _call(self, session: Any, method: str, path: str, what: str, **more: Any) -> _Answer:
        try:
            session.request(method, path, **more)
        except _Answered as answered:
            answer = answered.answer
        except pdpyras.PDClientError as error:
            raise _unanswered(error, what) from None
        secrets = (session.api_key, self._token.get_secret_value())
        problem = judged(answer.status, answer.headers, _said(answer, secrets), what)
        if problem is not None:
            raise problem
        return answer

    def _from(self, email: str) -> dict[str, str]:
        chosen = email or self.from_email
        return {"From": chosen} if chosen else {}

    def _events(self, key: str) -> Any:
        known: dict[str, Any] = self._local.__dict__.setdefault("events", {})
        if key not in known:
            known[key] = _tuned(_Events(key), self._events_url, self._timeout_seconds)
        return known[key]

    def _rest(self) -> Any:
        if "rest" not in self._local.__dict__:
            self._local.rest = _tuned(_Rest(self._token.get_secret_value()), self._api_url, self._timeout_seconds)
        return self._local.rest


def _tuned(session: Any, url: str, timeout_seconds: float) -> Any:
    session.url = url
    session.timeout = timeout_seconds
    # Proxies and certificates of the environment: read once, not for each page, where it is a fifth of the time. And no
    # .netrc, which would put another name before our token.
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.trust_env = found["proxies"], found["verify"], False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    session.retry = {}
    session.max_network_attempts = 0
    return session


def _unanswered(error: Exception, what: str) -> TryLater:
    """No answer: harmless if it was never sent, ambiguous if it may have been."""
    cause = error.__cause__ or error
    reason = f"PagerDuty did not answer {what} ({type(cause).__name__})"
    return TryLater(reason) if _was_never_sent(cause) else Ambiguous(reason)


def _was_never_sent(cause: BaseException) -> bool:
    """Whether no connection came about: nobody listens, no such name, or nobody took it in time."""
    inner = cause.args[0] if cause.args else None
    return isinstance(inner, MaxRetryError) and isinstance(inner.reason, ConnectTimeoutError)


def _said(answer: _Answer, secrets: tuple[str, ...]) -> str:
    """PagerDuty's own words for an error, on one line, and without the keys that it may repeat."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    error = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(error, dict):
        details = error.get("errors")
        words = [error.get("message") or "", *(details if isinstance(details, list) else [])]
    else:
        words = [error or ""]
    text = "; ".join(filter(None, (" ".join(str(one).split()) for one in words)))
    for secret in filter(None, secrets):
        text = text.replace(secret, "(secret)")
    return text[:300]
