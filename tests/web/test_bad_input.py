"""Bad input at the real way in: a clear refusal with one line of why, or taken; never an error of ours, never a standstill."""

import base64
import json
from collections.abc import Iterator

import pytest

from bot.alerts.registry import source_named
from bot.alerts.source import FORM, Delivery
from bot.errors import Unverified
from bot.web.webhooks import LIMIT_BYTES
from sandbox.__main__ import SECRET
from tests.builders import NOON
from tests.web.served import KINDS, SOURCES, dumped, refuses

CHUNK = 64_000
REFUSING = tuple(one for one in SOURCES if refuses(one))
"""Those whose senders may be refused what cannot be read; of the others it is kept, and put aside."""
every_source = pytest.mark.parametrize("source", SOURCES)


def is_let_in(source: str, body: bytes, headers: dict[str, str]) -> bool:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        source_named(source).verify(Delivery(body, lower, "main", NOON), [SECRET], NOON)
    except Unverified:
        return False
    return True


def proofs(source: str) -> list[str]:
    """The headers of which one alone lets nobody in, once it is another: those that its sender sends to prove itself."""
    given = dict(source_named(source).sign(b"{}", SECRET, NOON))
    return [name for name in given if not is_let_in(source, b"{}", {**given, name: "x"})]


SIGNED = [one for one in SOURCES if not is_let_in(one, b"{ }", dict(source_named(one).sign(b"{}", SECRET, NOON)))]
"""Those whose senders sign each body."""


def in_chunks(body: bytes) -> Iterator[bytes]:
    return (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))


# --- who may send -----------------------------------------------------------------------------


@every_source
def test_an_unsigned_delivery_is_refused_and_told_what_is_missing(served, source):
    assert served.post(source, served.example(source), {}).refused(401).startswith("no ")


@every_source
def test_a_delivery_that_somebody_else_signed_is_refused_and_told_what_to_compare(served, source):
    body = served.example(source)
    headers = dict(source_named(source).sign(body, "another secret", served.story.world.clock()))

    assert "HOOK_SECRETS" in served.post(source, body, headers).refused(401)


def test_the_senders_that_sign_are_those_that_are_known_to():
    assert SIGNED == ["github", "grafana", "pagerduty", "sentry", "snyk", "sonarqube", "vercel"]


@pytest.mark.parametrize("source", SIGNED)
def test_a_signature_of_another_body_is_refused(served, source):
    assert served.post(source, b'{"a": 1}', served.signature(source, b'{"a":1}')).refused(401)


HOSTILE = [
    "", " ", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Basic Og==",
    "Bearer " + "x" * 30_000, "Bearer é", "Bearer ÿþ", f"Bearer {SECRET} {SECRET}", f"Token {SECRET}", "v1=", "v1=,v1=,",
    "v1=" + "é" * 64, ",".join(["v1=00"] * 2000), "v2=" + "0" * 64, "0" * 64, "ÿ" * 64, "-1", "1e9", "9" * 400, "١", "²",
    "<!channel>", "${jndi:ldap://x}", "'; DROP TABLE inbox; --", "a\tb",
]  # fmt: skip
TOKENS = ("Authorization", "X-Firstfive-Token")
HEADERS = [(source, header) for source in SOURCES for header in dict.fromkeys((*proofs(source), *TOKENS))]


@pytest.mark.parametrize(("source", "header"), HEADERS)
def test_no_value_of_a_header_is_an_error_or_lets_anybody_in(served, source, header):
    body = served.example(source)
    for value in HOSTILE:
        headers = served.sent(source, body) if header in proofs(source) else {}
        # As bytes: that is what a sender puts on the wire, whatever its client thinks of it.
        headers[header] = value.encode("utf-8") if value in "١²" else value.encode("latin-1")  # type: ignore[assignment]

        why = served.post(source, body, headers).refused(401)
        assert "Traceback" not in why, (value, why)


ODD = {
    "Idempotency-Key": "é" * 4000, "X-Webhook-Id": "ÿ<!channel>" * 900, "Content-Type": "text/ÿ; charset=utf-7",
    "User-Agent": "\\x00'\"<script>", "X-Forwarded-For": "1" * 20_000, "Cookie": "a=b; " * 2000, "Content-Encoding": "gzip",
    "Accept": "*/*;q=é",
}  # fmt: skip


@every_source
def test_odd_headers_of_a_signed_delivery_are_no_reason_to_refuse_it(served, source):
    body = served.example(source)
    means_something = source_named(source).examples[0].content_type != "application/json"
    own = served.sent(source, body)
    headers = {name: value.encode("latin-1") for name, value in ODD.items()} | own
    if not means_something:
        headers["Content-Type"] = ODD["Content-Type"].encode("latin-1")
    headers["X-Webhook-Id"] = ODD["X-Webhook-Id"].encode("latin-1")

    assert len(served.post(source, body, headers).taken()) <= 150
    served.is_read()


def of_its_own(body: bytes) -> bytes:
    """The same with something in it that no other has."""
    if not body.startswith((b"{", b"[")):
        return body + b"&About=a+delivery+of+its+own"
    tree = json.loads(body)
    (tree[0] if isinstance(tree, list) else tree)["about"] = "a delivery of its own"
    return dumped(tree)


@every_source
def test_what_proved_who_sent_it_is_not_kept(served, source):
    body = of_its_own(served.example(source))
    served.post(source, body, {"Cookie": f"a={SECRET}", **served.sent(source, body), "X-Request-Id": "kept-7"}).taken()

    with served.story.bot.store.engine.connect() as connection:
        # PagerDuty, whom the bot pages meanwhile, tells it of that there, too.
        kept = "SELECT headers FROM inbox WHERE source = ? AND headers LIKE '%kept-7%' ORDER BY id DESC LIMIT 1"
        [headers] = connection.exec_driver_sql(kept, (source,)).one()
    assert SECRET not in headers


# --- where it goes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/hooks/prometheus/main", "no source is called 'prometheus'; `python -m bot sources` lists the "),
        ("/hooks/grafna/main", "no source is called 'grafna'; did you mean grafana?"),
        ("/hooks/" + "x" * 4000 + "/main", "no source is called "),
        ("/hooks/%3Cscript%3E/main", "no source is called "),
        ("/hooks/%00/main", "no source is called "),
        ("/hooks/%ff%0a/main", "no source is called "),
        ("/hooks/alertmanager/other", "there is no route 'other' for alertmanager; add alertmanager/ROUTE=SECRET"),
        ("/hooks/alertmanager/ma%00in", "there is no route "),
        ("/hooks/alertmanager/%0d%0aX:%20y", "there is no route "),
        ("/hooks/alertmanager", "webhooks go to /hooks/SOURCE/ROUTE"),
        ("/hooks/alertmanager/main/more", "webhooks go to /hooks/SOURCE/ROUTE"),
        ("/hooks/", "webhooks go to /hooks/SOURCE/ROUTE"),
        ("/hooks//main", "webhooks go to /hooks/SOURCE/ROUTE"),
        ("/hooks/alertmanager/..%2f..%2fmain", "webhooks go to /hooks/SOURCE/ROUTE|there is no route"),
    ],
)
def test_a_place_that_is_not_there_says_what_is(served, path, says):
    why = served.ask("POST", path, b"{}", {"Authorization": f"Bearer {SECRET}"}).refused(404)

    assert any(why.startswith(one) for one in says.split("|")), why


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_another_method_is_told_to_post(served, method):
    answer = served.ask(method, "/hooks/alertmanager/main")

    # httptools knows no BREW.
    assert answer.status == 405 or (method == "BREW" and answer.status == 400)
    assert method == "BREW" or answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/nowhere", "/slack", "/health", "/hooks", "/%ff", "/..%2f..%2fetc%2fpasswd", "/?" + "a" * 20_000])
def test_any_other_place_is_a_plain_answer(served, path):
    assert served.ask("POST", path, b"{}").status in (404, 405)


# --- how much ---------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """Good JSON of exactly so many bytes."""
    start, end = b'{"title": "Large", "status": "resolved", "padding": "', b'"}'
    return start + b"x" * (size - len(start) - len(end)) + end


@every_source
@pytest.mark.parametrize("by", ["length", "chunks"])
def test_a_body_of_more_than_five_megabytes_is_refused_however_it_comes(served, source, by):
    body = padded(LIMIT_BYTES + 1)
    headers = served.sent(source, body)
    for _ in range(3 if source in KINDS else 1):
        sent = served.ask("POST", f"/hooks/{source}/main", in_chunks(body) if by == "chunks" else body, headers)
        assert sent.refused(413) == "larger than 5000000 bytes"


@pytest.mark.parametrize("by", ["length", "chunks"])
def test_a_body_of_five_megabytes_is_taken_however_it_comes(served, by):
    body = padded(LIMIT_BYTES)
    headers = served.signature("generic", body) | {"Idempotency-Key": by}

    served.ask("POST", "/hooks/generic/main", in_chunks(body) if by == "chunks" else body, headers).taken()


def test_a_length_that_is_a_lie_is_refused_before_the_body_comes(served):
    head = f"POST /hooks/generic/main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 5000001\r\n\r\n"

    assert served.raw(head.encode()).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 5000, b"Content-Length: \xb2",
        b"Content-Length: 2\r\nContent-Length: 3", b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, identity", b"X-Odd: a\x00b", b"X-Odd\xff: a", b": nothing", b"Content-Length: 2\r\n folded: x",
        b"Expect: 100-continue\r\nContent-Length: 2",
    ],
)  # fmt: skip
def test_requests_that_are_no_http_are_refused_and_the_next_one_is_answered(served, head):
    signed = f"Authorization: Bearer {SECRET}\r\n".encode()
    answer = served.raw(b"POST /hooks/generic/main HTTP/1.1\r\nHost: x\r\n" + signed + head + b"\r\n\r\n{}")

    assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert served.post("generic", b"{}").refused(400)


def test_a_request_line_with_any_bytes_is_never_an_error_of_ours(served):
    for path in (
        b"/hooks/\xff\xfe/main",
        b"/hooks/alertmanager/main?\xff=\xfe",
        "/hooks/alertmanager/é".encode(),
        b"*",
        b"http://[/",
    ):
        answer = served.raw(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert answer.startswith(b"HTTP/1.1 4"), (path, answer)


def test_a_sender_that_goes_away_halfway_leaves_nothing_behind(served):
    head = f"POST /hooks/generic/main HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 500\r\n\r\n"
    served.is_read()
    before = served.story.bot.store.inbox_depth()

    served.raw(head.encode(), b'{"title": ')
    assert served.story.bot.store.inbox_depth() == before
    assert served.post("generic", b"{}").refused(400)


# --- what cannot be read ----------------------------------------------------------------------

UNREADABLE = {
    "nothing": (b"", "the body is empty"),
    "blanks": (b" \n", "the body is empty"),
    "words": (b"fire in the hole", "not JSON"),
    "half": (b'{"alerts": [', "not JSON"),
    "latin-1": ('{"title": "Müller"}'.encode("latin-1"), "not JSON"),
    "utf-16": ('{"title": "x"}'.encode("utf-16"), "not JSON"),
    "half a character": (b'{"title": "\\ud800"}', "not JSON"),
    "not a number": (b'{"title": "x", "value": NaN}', "not JSON"),
    "infinity": (b'{"title": "x", "value": -Infinity}', "not JSON"),
    "a form": (b"payload=%7B%7D", "not JSON"),
    "xml": (b"<?xml version='1.0'?><a/>", "not JSON"),
    "compressed": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "not JSON"),
    "zeros": (b"\x00" * 100, "not JSON"),
    "deep": (b'{"alerts": ' + b"[" * 900 + b"]" * 900 + b"}", "nested deeper|not JSON"),
    "deeper": (b"[" * 500_000, "not JSON"),
    "text": (b'"alerts"', "expected a JSON object"),
    "a number": (b"7", "expected a JSON object"),
}


@pytest.mark.parametrize("source", REFUSING)
def test_what_cannot_be_read_is_refused_with_why(served, source):
    reads_forms = source_named(source).examples[0].content_type == FORM
    for body, (content, says) in UNREADABLE.items():
        why = served.post(source, content).refused(400)
        assert reads_forms or any(why.startswith(one) for one in says.split("|")), (body, why)


@pytest.mark.parametrize("body", UNREADABLE, ids=str)
def test_a_signed_webhook_of_pagerduty_is_never_refused_but_put_aside_and_said(served, body):
    content, says = UNREADABLE[body]

    served.post("pagerduty", content).taken()

    said = served.story.eventually(
        lambda: [
            one for one in served.alarms() if "pagerduty/main was put aside" in one and any(word in one for word in says.split("|"))
        ],
        f"an alarm about {body}",
    )
    assert "kept as number" in json.dumps(served.story.messages("firstfive-ops"))
    assert said
    assert served.story.bot.store.inbox_depth()["parked"] >= 1


@pytest.mark.parametrize(
    ("source", "body", "says"),
    [
        ("alertmanager", {"status": "firing"}, "alerts: missing"),
        ("alertmanager", {"alerts": {}}, "alerts: expected a list, got an object"),
        ("alertmanager", {"alerts": [7]}, "alerts[0]: expected an object, got a number"),
        ("alertmanager", {"alerts": [{}, {"labels": [1]}]}, "alerts[1].labels: expected an object, got a list"),
        ("alertmanager", {"alerts": [{"labels": {}, "annotations": "x"}]}, "alerts[0].annotations: expected an object, got text"),
        ("grafana", {"state": "alerting"}, "alerts: missing"),
        ("grafana", {"alerts": None}, "alerts: expected a list, got null"),
        ("grafana", {"ruleName": "x", "tags": 7}, "tags: expected an object, got a number"),
        ("generic", {"status": "firing"}, "the body: no title; looked for title, name"),
        ("generic", [{"title": "x"}, 7], "[1]: expected an object, got a number"),
        ("generic", {"alerts": 7}, "alerts: expected a list, got a number"),
    ],
)
def test_what_is_not_as_the_sender_writes_it_names_the_place(served, source, body, says):
    assert served.post(source, dumped(body)).refused(400).startswith(says)


@pytest.mark.parametrize("source", [one for one in SOURCES if one not in REFUSING])
def test_what_cannot_be_read_is_kept_where_its_sender_gives_up_on_who_refuses(served, source):
    # Each is said in the operations channel, which takes one message a second.
    for body in ("words", "latin-1"):
        answer = served.post(source, UNREADABLE[body][0])
        # SNS sends again whatever it was, and has to be read before Amazon is asked.
        assert answer.status == 202 or (source == "cloudwatch" and answer.refused(400))
    served.is_read()


def test_after_all_of_this_the_bot_still_opens_incidents_and_pages(served):
    number = served.still_works("after-bad-input")

    served.is_read()
    served.story.card_says("Paged through", number)
    assert b'"ready":true' in served.ask("GET", "/health/ready").body.replace(b" ", b"")
