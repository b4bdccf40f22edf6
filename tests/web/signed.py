"""Real deliveries as their senders signed them, and the same with one thing wrong: what a test sends over HTTP, byte for byte."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from bot.clock import wall_clock
from tests.alerts.test_corpus import CORPUS, REFUSED, delivered, is_signed, named, source_of

FACTS = CORPUS.parent / "facts" / "alert-sources.md"
PROOF = {
    "github": "x-hub-signature-256", "grafana": "x-grafana-alerting-signature", "honeycomb": "x-honeycomb-webhook-token",
    "pagerduty": "x-pagerduty-signature", "sentry": "sentry-hook-signature", "slack": "x-slack-signature", "snyk": "x-hub-signature",
    "sonarqube": "x-sonar-webhook-hmac-sha256", "vercel": "x-vercel-signature",
}  # fmt: skip
"""The header in which a sender proves itself."""
TIMES = {"grafana": "x-grafana-alerting-timestamp", "slack": "x-slack-request-timestamp"}
"""The header with the time that is signed, too."""
TOKENS = ("honeycomb", "statuscake")
"""They prove who sends, and not what: their senders sign no body."""
STALE = timedelta(seconds=301)
CERTIFICATE_ENDS = datetime(2036, 1, 1, tzinfo=UTC)
"""When the certificate is over that SNS' messages were signed with."""


class Watch:
    """The real time, until a test says which moment it is."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def __call__(self) -> datetime:
        """The moment, in UTC."""
        return self.moment or wall_clock()


@dataclass(frozen=True, slots=True)
class Signed:
    """A delivery with a signature that holds; header names in lower case."""

    case: str
    source: str
    secret: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def at(self) -> datetime | None:
        """When it was signed, where that is signed, too; None where the signature is good for ever."""
        time = self.headers.get(TIMES.get(self.source, ""))
        return datetime.fromtimestamp(int(time), UTC) if time else None

    def wrong(self) -> Iterator[tuple[str, "Signed"]]:
        """What is wrong, and the same with that."""
        if self.source not in TOKENS:
            yield "one byte of the body is another", replace(self, body=self._changed())
        yield "one character of the signature is another", self._with_proof(other)
        yield "there is no signature", self._with_proof(None)

    def _changed(self) -> bytes:
        if self.source == "cloudwatch":
            # Not everything in an envelope is signed, and one that is no JSON any more is refused for that.
            fields = json.loads(self.body)
            return json.dumps(fields | {"Message": other(fields["Message"])}).encode()
        at = len(self.body) // 2
        return self.body[:at] + bytes([self.body[at] ^ 1]) + self.body[at + 1 :]

    def _with_proof(self, change: Callable[[str], str] | None) -> "Signed":
        if self.source == "cloudwatch":
            fields = json.loads(self.body)
            proof = fields.pop("Signature")
            return replace(self, body=json.dumps(fields | ({"Signature": change(proof)} if change else {})).encode())
        if self.source == "statuscake":
            [proof] = parse_qs(self.body.decode())["Token"]
            return replace(
                self, body=self.body.replace(f"Token={proof}".encode(), f"Token={change(proof)}".encode() if change else b"")
            )
        name = PROOF[self.source]
        rest = {key: value for key, value in self.headers.items() if key != name}
        return replace(self, headers=rest | ({name: change(self.headers[name])} if change else {}))


def other(proof: str) -> str:
    """The same with one character in its middle that is another one."""
    at = len(proof) // 2
    return proof[:at] + ("0" if proof[at] != "0" else "1") + proof[at + 1 :]


def real() -> Iterator[Signed]:
    """Every delivery of the folder of real payloads that has a signature that holds."""
    for meta in sorted(CORPUS.glob("*/*.meta.json")):
        about = json.loads(meta.read_text())
        if not is_signed(meta):
            continue
        one = delivered(meta)
        # SNS signs with Amazon's key: what is ours to know is the topic.
        secret = about["auth"].get("secret") or json.loads(one.body)["TopicArn"]
        headers = {name: value for name, value in one.headers.items() if name != "content-length"}
        yield Signed(named(meta), source_of(meta), secret, one.body, headers)


def tampered() -> Iterator[Signed]:
    """Those that somebody changed after they were signed, or that name another place to ask for the certificate."""
    for meta in sorted(CORPUS.glob("*/*.meta.json")):
        if json.loads(meta.read_text())["expect"]["status"] == REFUSED:
            one = delivered(meta)
            yield Signed(named(meta), source_of(meta), json.loads(one.body)["TopicArn"], one.body, one.headers)


WORKED_SECRET, WORKED_AT = "s3cret", "1754042400"
WORKED_BODY = '{"status":"firing","title":"café"}'.encode()
NAMES = {"PagerDuty v3": "pagerduty", "Grafana + timestamp header": "grafana"}
CAKE_ACCOUNT = "acme|apikey123"


def worked() -> Iterator[Signed]:
    """The worked examples of the facts: one body, one secret, and what each sender makes of them; none where they are not here."""
    if not FACTS.exists():
        return
    text = FACTS.read_text(encoding="utf-8").partition("### Signature formulas")[2].partition("\nOfficial vectors")[0]
    written = re.findall(r"\b[0-9a-f]{32,64}\b", text)
    for title, given in re.findall(r"^\| (.+?) \|.*`([^`]+)` \|$", text, flags=re.M):
        source = NAMES.get(title, title.lower())
        # One that is cut short is the one that begins and ends so.
        if cut := re.search(r"([0-9a-f]{8})…([0-9a-f]{4})", given):
            [whole] = {one for one in written if one.startswith(cut[1]) and one.endswith(cut[2])}
            given = given.replace(cut[0], whole)
        if source == "statuscake":
            body = f"URL=https%3A%2F%2Fshop.example.com&Token={given}&Name=Shop&StatusCode=0&Status=Down".encode()
            yield Signed(title, source, CAKE_ACCOUNT, body, {"content-type": "application/x-www-form-urlencoded"})
            continue
        time = {TIMES[source]: WORKED_AT} if source == "slack" or "timestamp" in title else {}
        yield Signed(title, source, WORKED_SECRET, WORKED_BODY, {"content-type": "application/json", PROOF[source]: given, **time})


def places(given: list[Signed]) -> dict[str, str]:
    """HOOK_SECRETS for them: a route of its own for each secret of a source."""
    return {f"{one.source}/{route_of(one)}": one.secret for one in given if one.source != "slack"}


def route_of(one: Signed) -> str:
    """The route of its secret: named after neither it nor anything else that is in it."""
    return f"r{sum(one.secret.encode())}"
