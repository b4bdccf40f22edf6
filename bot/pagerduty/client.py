"""The only file that imports pdpyras: one HTTP attempt for each call; its answer is a value or one of our errors."""

import threading
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from requests import ConnectTimeout, RequestException, Response

from bot.errors import Ambiguous, GaveUp, TryLater

with warnings.catch_warnings():
    # pdpyras says at import that `pagerduty` follows it; docs/decisions/0005 says why it is still here.
    warnings.simplefilter("ignore", UserWarning)
    import pdpyras

TIMEOUT_SECONDS = 8
REFUSED_TOKEN = timedelta(seconds=60)
MEND_TOKEN = "set PAGERDUTY_API_TOKEN to a REST API key that works (PagerDuty: Integrations > API Access Keys)"
MEND_KEY = "set the key of the service in PAGERDUTY_KEYS (PagerDuty: the service > Integrations > Events API v2)"


class _Answered(Exception):
    """Carries a response out of pdpyras before its own retry rule sees it: that one never ends for 429."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _OneAttempt:
    """Mixed into pdpyras' sessions: whatever comes back is handed over at once."""

    def postprocess(self, response: Response) -> None:
        """Called by pdpyras with each response, inside its loop."""
        raise _Answered(response)


class _Events(_OneAttempt, pdpyras.EventsAPISession):  # type: ignore[misc]
    pass


class _Rest(_OneAttempt, pdpyras.APISession):  # type: ignore[misc]
    pass


def judged(status: int, headers: Mapping[str, str], said: str, what: str) -> TryLater | GaveUp | None:
    """What an answer that is not 2xx means. https://developer.pagerduty.com/docs/errors

    None for 2xx. 429, 5xx and 408 pass; a refused token needs a person, and is asked again each minute; everything
    else will never be taken as it is.
    """
    if 200 <= status < 300:
        return None
    reason = f"PagerDuty answered {status} to {what}" + (f": {said}" if said else "")
    if status == 429:
        return TryLater(reason, after=wait_named(headers))
    if status in (401, 403):
        return TryLater(reason, after=REFUSED_TOKEN, mend=MEND_TOKEN)
    if status >= 500 or status == 408:
        return TryLater(reason)
    return GaveUp(reason, MEND_KEY if what.startswith("a page") else "")


def wait_named(headers: Mapping[str, str]) -> timedelta | None:
    """How long a 429 asks us to wait: Retry-After or ratelimit-reset, in seconds; None where it says nothing usable."""
    for name in ("retry-after", "ratelimit-reset"):
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit() and int(text) <= 86_400:
            return timedelta(seconds=int(text))
    return None


class Client:
    """PagerDuty as the rest of the edge uses it. Sessions are kept alive, one of each for each thread."""

    def __init__(self, *, token: SecretStr, from_email: str, api_url: str, events_url: str) -> None:
        self._token, self.from_email = token, from_email
        self._api_url, self._events_url = api_url.rstrip("/"), events_url.rstrip("/")
        self._local = threading.local()

    @property
    def has_token(self) -> bool:
        """Whether the REST API may be asked at all."""
        return bool(self._token.get_secret_value())

    def enqueue(self, key: str, event: Mapping[str, Any], what: str) -> None:
        """Send an event; returns only when PagerDuty has taken it (202). Raises TryLater, Ambiguous or GaveUp."""
        response = self._call(self._events(key), "POST", "/v2/enqueue", what, json=dict(event))
        if response.status_code != 202:
            raise TryLater(f"PagerDuty answered {response.status_code} to {what}, which is not 202 Accepted")

    def get(self, path: str, what: str, **params: Any) -> dict[str, Any]:
        """A REST GET's body."""
        return self._rest_call("GET", path, what, params=params)

    def put(self, path: str, body: Mapping[str, Any], what: str, *, from_email: str = "") -> dict[str, Any]:
        """A REST PUT's body, in the name of `from_email` or of the bot's own user."""
        return self._rest_call("PUT", path, what, json=dict(body), headers=self._from(from_email))

    def post(self, path: str, body: Mapping[str, Any], what: str, *, from_email: str = "") -> dict[str, Any]:
        """A REST POST's body, in the name of `from_email` or of the bot's own user."""
        return self._rest_call("POST", path, what, json=dict(body), headers=self._from(from_email))

    def _rest_call(self, method: str, path: str, what: str, **more: Any) -> dict[str, Any]:
        if not self.has_token:
            raise GaveUp(f"there is no PagerDuty REST token for {what}", MEND_TOKEN)
        response = self._call(self._rest(), method, path, what, **more)
        try:
            body = response.json()
        except ValueError:
            raise Ambiguous(f"PagerDuty's answer to {what} is not JSON") from None
        return body if isinstance(body, dict) else {}

    def _call(self, session: Any, method: str, path: str, what: str, **more: Any) -> Response:
        try:
            session.request(method, path, **more)
        except _Answered as answered:
            response = answered.response
        except pdpyras.PDClientError as error:
            raise _unanswered(error, what) from None
        problem = judged(response.status_code, _lower(response.headers), _said(response), what)
        if problem is not None:
            raise problem
        return response

    def _from(self, email: str) -> dict[str, str]:
        chosen = email or self.from_email
        return {"From": chosen} if chosen else {}

    def _events(self, key: str) -> Any:
        known: dict[str, Any] = self._local.__dict__.setdefault("events", {})
        if key not in known:
            known[key] = _tuned(_Events(key), self._events_url)
        session = known[key]
        return _Keyed(session, key)

    def _rest(self) -> Any:
        if "rest" not in self._local.__dict__:
            self._local.rest = _tuned(_Rest(self._token.get_secret_value()), self._api_url)
        return self._local.rest


class _Keyed:
    """pdpyras adds the routing key in `post` only; `request` is what gives us the raw answer."""

    def __init__(self, session: Any, key: str) -> None:
        self._session, self._key = session, key

    def request(self, method: str, path: str, *, json: dict[str, Any]) -> None:
        self._session.request(method, path, json={**json, "routing_key": self._key})


def _tuned(session: Any, url: str) -> Any:
    session.url = url
    session.timeout = TIMEOUT_SECONDS
    session.retry = {}
    session.max_network_attempts = 0
    return session


def _unanswered(error: Exception, what: str) -> TryLater:
    """No answer: harmless if it was never sent, ambiguous if it may have been."""
    cause = error.__cause__
    name = type(cause).__name__ if cause else type(error).__name__
    reason = f"PagerDuty did not answer {what} ({name})"
    never_sent = isinstance(cause, ConnectTimeout) or "NewConnectionError" in repr(cause)
    return TryLater(reason) if never_sent or not isinstance(cause, RequestException) else Ambiguous(reason)


def _said(response: Response) -> str:
    """PagerDuty's own words for an error, on one line."""
    try:
        body = response.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return str(error)[:300]
    details = error.get("errors") or []
    parts = [str(error.get("message", "")), *(str(one) for one in details if isinstance(details, list))]
    return "; ".join(part for part in parts if part)[:300]


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
