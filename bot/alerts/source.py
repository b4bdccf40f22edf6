"""What a file in `sources/` offers: how to trust a delivery and how to read it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Protocol, runtime_checkable
from urllib.parse import urlencode

from bot.alerts.alert import Alert, Status

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One HTTP request as it arrived. Header names are lower-case; `body` is untouched."""

    body: bytes
    headers: Mapping[str, str]
    route: str
    received_at: datetime
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PagerReport:
    """What PagerDuty says of an incident of its own: one webhook v3 event, or what a poll found.

    `kind` is the event type without "incident." (triggered, acknowledged, resolved, escalated, ...).
    `key` is the incident_key, which is our dedup_key for pages that we made.
    """

    kind: str
    at: datetime
    pager_id: str
    key: str | None = None
    person: str | None = None
    person_email: str | None = None
    person_name: str | None = None
    assignees: tuple[tuple[str, str], ...] = ()
    """(PagerDuty user id, name) of everyone it is assigned to now."""
    level: int | None = None
    channel: str | None = None
    url: str | None = None
    policy: str | None = None
    """The id of the escalation policy that it went through."""
    text: str = ""
    is_human: bool = False
    """Whether the agent is a user. A service, an integration or a workflow that acknowledges is not."""

    @property
    def once_key(self) -> str:
        """The same for one happening whether a webhook told it or the log did: their clocks agree to the second."""
        who = ":".join(filter(None, (self.person, self.channel)))
        text = sha256(self.text.encode()).hexdigest()[:16] if self.kind == "annotated" else ""
        return f"pagerduty:{self.pager_id}:{self.kind}:{int(self.at.timestamp())}:{who}:{text}"[:250]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a delivery means. `ignored` says why there is nothing in it, where there is nothing; or what of it was left out."""

    alerts: tuple[Alert, ...] = ()
    pager: tuple[PagerReport, ...] = ()
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A payload to try a source with: `bot send`, the sandbox's panel and the tests use it. Our own words."""

    name: str
    title: str
    status: Status
    build: Callable[[datetime], Mapping[str, object] | Sequence[object]]
    headers: Mapping[str, str] = field(default_factory=dict)
    """What is sent beside the body and means something, such as the event's name."""
    content_type: str = "application/json"
    """Or application/x-www-form-urlencoded: then `build` gives the fields."""

    def body_at(self, now: datetime) -> bytes:
        """The body as it would be sent at `now`."""
        built = self.build(now)
        if self.content_type == FORM and isinstance(built, Mapping):
            return urlencode({name: str(value) for name, value in built.items()}).encode()
        return json.dumps(built, separators=(",", ":"), ensure_ascii=False).encode()

    def sent_by(self, source: "Source", secret: str, now: datetime, body: bytes) -> dict[str, str]:
        """The headers that `body` is sent with, signed."""
        return {"Content-Type": self.content_type, **self.headers, **source.sign(body, secret, now)}


class Source(Protocol):
    """One sender of alerts. A module-level object in `sources/<name>.py`, listed in `registry.py`."""

    name: str
    title: str
    """The sender's own name, as people write it."""
    identity_window_seconds: int | None
    """For how long a delivery id tells one delivery from another. None: for ever, because the sender gives it.

    A sender that gives none is told apart by its body, and repeats the same body on purpose: so only for a while.
    """
    setup: str
    """How to point the sender at us: a snippet with {url} and {secret} in it."""

    @property
    def examples(self) -> Sequence[Example]:
        """At least one firing and one resolved payload; the first is the default of `bot send`."""
        ...

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """Raise `Unverified` unless one of `secrets` fits. Works on the raw bytes; no secret set means refused."""
        ...

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The headers that make `verify` accept `body`; what `bot send` adds."""
        ...

    def delivery_id(self, delivery: Delivery) -> str:
        """The same for each attempt at one delivery, and for no other; at most 128 characters."""
        ...

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """Read the body. Raise `Unreadable` with the place that is wrong. `mapping` is the policy's, for `generic`."""
        ...


@runtime_checkable
class Checks(Protocol):
    """What a source may offer beside `parse`: the same refusals, in a fraction of its time.

    A body is looked at before its sender is answered, on the one thread that answers everybody; it is read later.
    """

    def check(self, delivery: Delivery, mapping: Mapping[str, str]) -> None:
        """Raise `Unreadable`, with the same words, wherever `parse` would."""
        ...


@runtime_checkable
class Shakes(Protocol):
    """What a source may offer whose sender asks first, by OPTIONS, whether it may send at all."""

    def allow(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers that say yes; empty where this was no such question."""
        ...


@runtime_checkable
class TakesQueries(Protocol):
    """What a source may offer whose sender can also send by GET: the fields of the address are then read as a form."""

    takes_queries: bool


@runtime_checkable
class ProvesInBody(Protocol):
    """What a source may offer whose sender writes into the body what proves who it is."""

    def without_proof(self, body: bytes) -> bytes:
        """The body as it may be kept: without that, and otherwise as it was."""
        ...


@runtime_checkable
class VouchedFor(Protocol):
    """What a source has whose sender's signature only somebody else can confirm, where a delivery comes in."""

    vouched_by: str


@runtime_checkable
class ToldOfTooMany(Protocol):
    """What a source has whose sender takes 429 for “come again”, as `limited_status`.

    Every other is told 503 where it sends too much: who tries again at all does so after that, and many take any 4xx, 429
    among them, for a last word.
    """

    limited_status: int


def limited_status(source: Source) -> int:
    """What the sender of a source is told where it sends more than it may."""
    return source.limited_status if isinstance(source, ToldOfTooMany) else 503
