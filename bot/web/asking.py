"""What has to be asked over the network before some deliveries can be trusted: Amazon's certificates and confirmations.

Nobody but Amazon is asked, whatever a delivery says: its addresses are looked at first, and no redirect is followed.
"""

import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from cryptography import x509

from bot.alerts.sns import CONFIRMATION, envelope_of
from bot.alerts.source import Delivery
from bot.clock import Clock
from bot.errors import Unavailable

TIMEOUT_SECONDS = 5.0
CERTIFICATES, CERTIFICATE_BYTES = 50, 65_536
FAILED_SECONDS = 30.0
"""For so long nobody asks again where asking failed: those who wait for one answer must not keep others from theirs."""
Fetch = Callable[[str], bytes]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any, **more: Any) -> None:
        """None: whoever is asked answers, or nobody does."""


def fetched(address: str) -> bytes:
    """What is at an https address. Raises `Unavailable`."""
    try:
        with urllib.request.build_opener(_NoRedirect).open(address, timeout=TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read(CERTIFICATE_BYTES)
            return body
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise Unavailable(f"Amazon did not answer ({type(error).__name__})") from None


class Sns:
    """Whether Amazon signed an SNS envelope; one that offers a subscription is confirmed, once it is sure whose it is.

    To confirm twice is as good as once, so a sender may try again after an answer that was lost.
    """

    def __init__(self, wall_clock: Clock, fetch: Fetch = fetched) -> None:
        self._wall_clock, self.fetch = wall_clock, fetch
        self._certificates: OrderedDict[str, bytes] = OrderedDict()
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, delivery: Delivery) -> None:
        """Raises `Unverified`, or `Unavailable` where Amazon cannot be asked now."""
        envelope = envelope_of(delivery.body)
        if envelope is None:
            return
        envelope.check(self._certificate(envelope.certificate), self._wall_clock())
        if envelope.type == CONFIRMATION:
            self.fetch(envelope.confirmation)

    def _fetched(self, address: str) -> bytes:
        """A certificate, and nothing else that somebody on the way may have put in its place."""
        try:
            found = self.fetch(address)
            x509.load_pem_x509_certificate(found)
        except (Unavailable, ValueError) as error:
            with self._lock:
                self._failed[address] = time.monotonic()
                while len(self._failed) > CERTIFICATES:
                    self._failed.popitem(last=False)
            if isinstance(error, Unavailable):
                raise
            raise Unavailable("what came from Amazon's address is no certificate") from None
        return found

    def _certificate(self, address: str) -> bytes:
        with self._lock:
            known = self._certificates.get(address)
        if known is not None:
            return known
        with self._lock:
            failed_at = self._failed.get(address)
        if failed_at is not None and time.monotonic() - failed_at < FAILED_SECONDS:
            raise Unavailable("Amazon did not answer a moment ago")
        found = self._fetched(address)
        with self._lock:
            self._certificates[address] = found
            while len(self._certificates) > CERTIFICATES:
                self._certificates.popitem(last=False)
        return found
