"""StatusCake's contact group webhook. https://www.statuscake.com/kb/knowledge-base/how-to-use-the-web-hook-url/"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import md5
from urllib.parse import unquote_plus

from bot.alerts import signatures
from bot.alerts.alert import Alert, Severity, Status
from bot.alerts.reading import SERVICE_LABELS, first_label, form_of, label_hash, long, short, text_of, web_url
from bot.alerts.source import FORM, Delivery, Example, Reading
from bot.alerts.sources.healthchecks import environment_in, labels_of, severity_in, status_in, tags_in, when
from bot.errors import Unreadable, Unverified

SETUP = """\
# Alerting > Contact Groups > your group. Webhook URL: {url}?token={secret}   Webhook method: POST
# Or leave ?token out, and have StatusCake's own Token checked: HOOK_SECRETS=statuscake/main=USERNAME|APIKEY
# Then choose the group in every test that should tell the bot.
# A test's tags tell more: service:shop, env:production, severity:critical.
"""
LARGEST = 65_536
STATUSES = {"down": Status.FIRING, "up": Status.RESOLVED, "paused": Status.INFO}


class StatusCake:
    """A form of a test that went down or came up. It tells no time and no number: the test's name and address stand for it."""

    name = "statuscake"
    title = "StatusCake"
    setup = SETUP
    # Some tests look every few seconds, and their bodies say the same each time they go down.
    identity_window_seconds: int | None = 10

    @property
    def examples(self) -> Sequence[Example]:
        """A test that went down, and up again."""
        return EXAMPLES

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: datetime) -> None:
        """By its own Token, which is made of the account's name and API key, or by ours."""
        signatures.require(secrets, delivery, self.name)
        # Nothing large is read before it is known whose it is.
        own = _fields(delivery.body).get("token", "") if len(delivery.body) <= LARGEST else ""
        given = (*signatures.tokens_in(delivery), *([own.encode()] if own else []))
        if not given:
            raise Unverified("no token; StatusCake sends one in the field Token, or add ?token=TOKEN to the address")
        expected = [*secrets, *(token_of(secret) for secret in secrets if "|" in secret)]
        # Each is compared, so that the time tells nothing of which one fits.
        if not any([signatures.same(one, text) for one in given for text in expected]):
            raise Unverified("the token does not fit; compare USERNAME|APIKEY, or the address, with HOOK_SECRETS")

    def sign(self, body: bytes, secret: str, now: datetime) -> Mapping[str, str]:
        """Our token: its own would have to stand in the body."""
        return {"Authorization": f"Bearer {secret}"}

    def delivery_id(self, delivery: Delivery) -> str:
        """It gives none, and sends nothing twice; each news may have the same words as the one before the last."""
        return f"{signatures.content_id(delivery)}@{delivery.received_at.timestamp():.6f}"

    def without_proof(self, body: bytes) -> bytes:
        """Without its Token."""
        return b"&".join(
            part for part in body.split(b"&") if unquote_plus(part.partition(b"=")[0].decode("latin-1")).lower() != "token"
        )

    def parse(self, delivery: Delivery, mapping: Mapping[str, str]) -> Reading:
        """The one test."""
        given = form_of(delivery.body)
        fields = {name.lower(): text_of(value) for name, value in given.items()}
        if not fields.get("status"):
            raise Unreadable("Status: missing; expected the form that StatusCake posts")
        if not (fields.get("name") or fields.get("url")):
            raise Unreadable("Name: missing, and so is URL")
        return Reading(alerts=(_alert(given, fields, delivery.received_at),))


def token_of(secret: str) -> str:
    """The Token that StatusCake makes of USERNAME|APIKEY."""
    username, _, key = secret.partition("|")
    return md5(f"{username.lower()}{key}".encode(), usedforsecurity=False).hexdigest()


def _fields(body: bytes) -> dict[str, str]:
    """The form's fields by their names in lower case; none where it is no form."""
    try:
        return {name.lower(): value for name, value in form_of(body).items()}
    except Unreadable:
        return {}


def _alert(given: Mapping[str, str], fields: Mapping[str, str], received_at: datetime) -> Alert:
    word, name, url = fields["status"], fields.get("name", ""), fields.get("url", "")
    status, guessed = status_in(STATUSES, word.lower())
    # It sends as soon as it knows, and tells no time: that of its coming is all there is.
    started_at, ended_at, filled = when(status, None, received_at)
    labels = labels_of(tags_in(fields.get("tags")))
    severity, severity_word = severity_in(labels, Severity.HIGH)
    code = fields.get("statuscode", "")
    return Alert(
        source="statuscake",
        identity=label_hash({"name": name, "url": url}),
        status=status,
        title=short(name or url),
        severity=severity,
        description=long("No answer in time" if code == "0" else f"HTTP status {code}" if code else ""),
        service=first_label(labels, SERVICE_LABELS) or url or None,
        environment=environment_in(labels),
        labels=labels,
        url=web_url(url),
        started_at=started_at,
        ended_at=ended_at,
        source_status=word,
        source_severity=severity_word,
        defaults=(*guessed, *filled, *(() if name else ("title",))),
        # The Token opens this door: it stays outside.
        attributes={key: value for key, value in given.items() if key.lower() != "token"},
    )


def _example(name: str, title: str, status: Status) -> Example:
    is_down = status is Status.FIRING

    def build(now: datetime) -> Mapping[str, object]:
        return {
            "URL": "https://tickets.example.com",
            "Name": "Ticket counter",
            "StatusCode": 503 if is_down else 200,
            "Status": "Down" if is_down else "Up",
            "Tags": "service:tickets,env:production",
            "IP": "192.0.2.66",
            "Checkrate": 30,
        }

    return Example(name, title, status, build, content_type=FORM)


EXAMPLES = (
    _example("tickets-down", "The ticket counter answers 503", Status.FIRING),
    _example("tickets-down-resolved", "The ticket counter is up again", Status.RESOLVED),
)

SOURCE = StatusCake()
