"""Whether a delivery comes from whom it says: tokens and signatures, compared in constant time, on bytes."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from bot.alerts.source import Delivery
from bot.errors import Unverified

WINDOW = timedelta(seconds=300)


def require(secrets: Sequence[str], delivery: Delivery, source: str) -> None:
    """Raise `Unverified` where no secret is set: an endpoint without one takes nothing."""
    if not secrets:
        raise Unverified(f"no secret is set for {source}/{delivery.route}; add it to HOOK_SECRETS")


def check_token(delivery: Delivery, secrets: Sequence[str], source: str) -> None:
    """Raise `Unverified` unless a token fits: Bearer, Basic (as the password), X-Firstfive-Token or ?token=."""
    require(secrets, delivery, source)
    given = tokens_in(delivery)
    if not given:
        raise Unverified("no token; send `Authorization: Bearer TOKEN`")
    if not any(same(one, secret) for one in given for secret in secrets):
        raise Unverified("the token does not fit; compare the sender's with HOOK_SECRETS")


class ByToken:
    """What a source inherits whose sender signs nothing: it is known by a token, in whatever form it can send one."""

    name: str

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By token."""
        check_token(delivery, secrets, self.name)

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """The token."""
        return {"Authorization": f"Bearer {secret}"}


def tokens_in(delivery: Delivery) -> tuple[bytes, ...]:
    """Every token a delivery shows, wherever a sender may have put it."""
    found = [_authorization(delivery.headers), _bytes(delivery.headers.get("x-firstfive-token", ""))]
    found.append(delivery.query.get("token", "").encode())
    return tuple(one for one in found if one)


def check_hmac(given: str, message: bytes, secrets: Sequence[str], header: str, digest: str = "sha256") -> None:
    """Raise `Unverified` unless `given` is the hex HMAC of `message` under one of the secrets."""
    if not given:
        raise Unverified(f"no signature; the header {header} is missing")
    if not any(same(_bytes(given.strip()), hex_hmac(secret, message, digest)) for secret in secrets):
        raise Unverified(f"the signature in {header} does not fit; compare the sender's secret with HOOK_SECRETS")


def check_age(timestamp: str, now: datetime, header: str) -> None:
    """Raise `Unverified` for a signed time (seconds since 1970) more than five minutes from `now`."""
    text = timestamp.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Unverified(f"{header} is not a time in seconds")
    if abs(now.timestamp() - int(text)) > WINDOW.total_seconds():
        raise Unverified(f"{header} is more than five minutes from now; it may be a replay, or a clock is wrong")


def hex_hmac(secret: str, message: bytes, digest: str = "sha256") -> str:
    """The hex HMAC of `message`."""
    return hmac.new(secret.encode(), message, digest).hexdigest()


def same(given: bytes, expected: str) -> bool:
    """Whether the bytes are the text, in a time that tells nothing about it."""
    return hmac.compare_digest(given, expected.encode())


def content_id(delivery: Delivery) -> str:
    """What tells a delivery without an id of its own from others: its body."""
    return sha256(delivery.body).hexdigest()


def _authorization(headers: Mapping[str, str]) -> bytes:
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return _bytes(rest.strip())
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(_bytes(rest.strip()), validate=True)
        except (binascii.Error, ValueError):
            return b""
        return decoded.partition(b":")[2]
    return b""


def _bytes(text: str) -> bytes:
    """A header as it came over the wire: HTTP hands it over as latin-1."""
    return text.encode("latin-1", errors="replace")
