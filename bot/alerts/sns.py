"""Amazon SNS' envelopes: what is signed, whom to ask for the certificate, and whether the signature holds.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bot.alerts.reading import json_object, text_of
from bot.errors import Unreadable, Unverified

HOST = re.compile(r"sns\.(?!s3)[a-zA-Z0-9-]{3,}\.amazonaws\.com(\.cn)?", re.ASCII)
"""Not sns.s3-REGION: that may be anybody's bucket of that name."""
NOTIFICATION, CONFIRMATION, UNSUBSCRIBED = "Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"
SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    UNSUBSCRIBED: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""What is signed of each type, in the order in which it is."""
DIGESTS: dict[str, type[hashes.HashAlgorithm]] = {"1": hashes.SHA1, "2": hashes.SHA256}


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request of SNS."""

    type: str
    topic: str
    message: str
    fields: dict[str, Any]

    @property
    def id(self) -> str:
        """The same for each try of one message."""
        return text_of(self.fields.get("MessageId"))

    @property
    def subject(self) -> str:
        """What a person or a service wrote above it; empty where nothing is."""
        return text_of(self.fields.get("Subject"))

    @property
    def certificate(self) -> str:
        """Where the certificate is that it was signed with. Raises `Unverified` for any place that is not Amazon's."""
        address = text_of(self.fields.get("SigningCertURL"))
        # No query: each would be another address to ask.
        if not (_is_amazons(address) and urlsplit(address).path.endswith(".pem") and "?" not in address):
            raise Unverified("no signature of Amazon's: SigningCertURL is not at sns.REGION.amazonaws.com")
        return address

    @property
    def confirmation(self) -> str:
        """What to ask for once to subscribe. Raises `Unverified` for any other address than Amazon's for this topic."""
        address = text_of(self.fields.get("SubscribeURL"))
        asked = parse_qs(urlsplit(address).query) if _is_amazons(address) else {}
        if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [self.topic]:
            raise Unverified("SubscribeURL is not Amazon's for this topic")
        return address

    def signed_text(self) -> bytes:
        """What the signature is over: names and values by turns, each with a line's end."""
        pairs = ((name, self.fields.get(name)) for name in SIGNED[self.type])
        return "".join(f"{name}\n{value}\n" for name, value in pairs if value is not None).encode(errors="surrogatepass")

    def check(self, pem: bytes, now: datetime) -> None:
        """Raise `Unverified` unless it was signed with the key of this certificate, which has to be valid now."""
        digest = DIGESTS.get(text_of(self.fields.get("SignatureVersion")))
        if digest is None:
            raise Unverified("no signature that we know: SignatureVersion is neither 1 nor 2")
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            signature = base64.b64decode(text_of(self.fields.get("Signature")), validate=True)
        except (ValueError, binascii.Error):
            raise Unverified("the signature or its certificate cannot be read") from None
        key = certificate.public_key()
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc or not isinstance(key, rsa.RSAPublicKey):
            raise Unverified("the certificate of the signature is not valid now")
        try:
            key.verify(signature, self.signed_text(), padding.PKCS1v15(), digest())
        except InvalidSignature:
            raise Unverified("the signature does not fit; the message was changed on its way") from None


def envelope_of(body: bytes) -> Envelope | None:
    """A body as an envelope; None where it is something else. Raises `Unreadable` where it is no JSON object."""
    fields = json_object(body)
    type_, topic, message = fields.get("Type"), fields.get("TopicArn"), fields.get("Message")
    if not isinstance(type_, str) or type_ not in SIGNED or not isinstance(topic, str):
        return None
    if not isinstance(message, str):
        raise Unreadable("Message: expected text")
    return Envelope(type_, topic, message, fields)


def _is_amazons(address: str) -> bool:
    """Whether whoever is asked there can only be Amazon."""
    try:
        parts = urlsplit(address)
        return parts.scheme == "https" and HOST.fullmatch(parts.netloc) is not None
    except ValueError:
        return False
