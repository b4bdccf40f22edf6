"""Who may speak: a request that Slack did not sign, or not now, is a 401 and one short line, whatever its headers hold."""

import hmac
from datetime import timedelta
from hashlib import sha256
from http.client import HTTPConnection

import pytest
from freezegun import freeze_time

from bot.clock import wall_clock
from sandbox.slack.outgoing import signed
from tests.slack.office import FORM, Office, logging

SECRET = "sandbox-signing-secret"
MARK = "body-canary-91"


def mac(body: bytes, stamp: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, sha256).hexdigest()


def now(seconds: float = 0) -> str:
    return str(int((wall_clock() + timedelta(seconds=seconds)).timestamp()))


def headers(body: bytes, stamp: str | None = None, signature: str | None = None, **more: str) -> dict[str, str]:
    stamp = now() if stamp is None else stamp
    signature = f"v0={mac(body, stamp)}" if signature is None else signature
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": signature, **more}


FORGERIES = {
    "no headers": lambda body: (body, {}),
    "no signature": lambda body: (body, {"x-slack-request-timestamp": now()}),
    "no timestamp": lambda body: (body, {"x-slack-signature": f"v0={mac(body, now())}"}),
    "empty signature": lambda body: (body, headers(body, signature="")),
    "wrong": lambda body: (body, headers(body, signature="v0=" + "0" * 64)),
    "another version": lambda body: (body, headers(body, signature=f"v1={mac(body, now())}")),
    "no version": lambda body: (body, headers(body, signature=mac(body, now()))),
    "capitals": lambda body: (body, headers(body, signature=f"v0={mac(body, now()).upper()}")),
    "truncated": lambda body: (body, headers(body, signature=f"v0={mac(body, now())[:-1]}")),
    "longer": lambda body: (body, headers(body, signature=f"v0={mac(body, now())}0")),
    "body changed": lambda body: (body + b"&x=1", headers(body)),
    "body in another charset": lambda body: (body.decode().encode("utf-16"), headers(body)),
    "no text": lambda body: (b"\xff\xfe" + body, headers(b"\xff\xfe" + body)),
    "another time": lambda body: (body, headers(body, now(-1), f"v0={mac(body, now())}")),
    "two signatures in one": lambda body: (body, headers(body, signature=f"v0={'0' * 64}, v0={mac(body, now())}")),
    "another app's secret": lambda body: (body, headers(body, signature=f"v0={mac(body, now(), 'other')}")),
    "the empty secret": lambda body: (body, headers(body, signature=f"v0={mac(body, now(), '')}")),
    "the verification token": lambda body: (body, {"authorization": "Bearer sandbox"}),
}
CRASHERS = {
    "abc": lambda body: headers(body, "abc"), "1e9": lambda body: headers(body, "1e9"), "empty": lambda body: headers(body, ""),
    "10^30": lambda body: headers(body, "1" + "0" * 30), "negative": lambda body: headers(body, "-1"),
    "float": lambda body: headers(body, f"{now()}.5"), "blank": lambda body: headers(body, " "),
    "other digits": lambda body: headers(body, "١٢٣٤٥٦٧٨٩٠"), "superscript": lambda body: headers(body, "²"),
    "5000 digits": lambda body: headers(body, "9" * 5000), "NUL": lambda body: headers(body, "\0"),
    "non-ASCII signature": lambda body: headers(body, signature="v0=ä"),
    "1 MB signature": lambda body: headers(body, signature="v0=" + "a" * 1_000_000),
    "lone surrogate": lambda body: headers(body, signature="v0=\udcff"),
    "newlines": lambda body: headers(body, signature="v0=\r\nx: y"),
}  # fmt: skip


def refused(office: Office, body: bytes, given: dict[str, str]) -> None:
    """401, nothing decided, one warning in the log, short and without the body."""
    with logging() as lines:
        answer = office.slack_app.dispatch(body, {**FORM, **given})

    assert answer.status == 401
    assert len(answer.body) < 120
    assert office.store.incidents() == ()
    assert [one["log_level"] for one in lines] == ["warning"]
    assert len(str(lines[0])) < 250
    assert MARK not in str(lines)
    assert MARK not in answer.body.decode()


def test_no_forgery_gets_in_and_none_leaves_more_than_a_short_line(office, subtests):
    for name, forge in FORGERIES.items():
        with subtests.test(name):
            refused(office, *forge(office.command(f"declare {MARK}")))


def test_no_header_brings_it_down(office, subtests):
    for name, forge in CRASHERS.items():
        with subtests.test(name):
            body = office.command(f"declare {MARK}")
            refused(office, body, forge(body))
    assert "INC-1" in office.types("declare it works all the same")


@pytest.mark.parametrize(("seconds", "status"), [(-299, 200), (-301, 401), (299, 200), (301, 401), (-86_400, 401), (86_400, 401)])
def test_a_signature_is_good_for_five_minutes(office, seconds, status):
    with freeze_time("2026-06-10 12:00:00", tick=True):
        body = office.command("list")
        assert office.sends(body, signed(SECRET, body, int(now(seconds)))).status == status


def test_a_request_that_was_good_is_refused_when_it_comes_again_after_five_minutes(office):
    with freeze_time("2026-06-10 12:00:00", tick=True) as frozen:
        body = office.command("declare checkout is slow")
        stamped = signed(SECRET, body)
        assert office.sends(body, stamped).status == 200
        frozen.move_to("2026-06-10 12:05:02")
        assert office.sends(body, stamped).status == 401

    assert len(office.store.incidents()) == 1


def test_a_moved_sandbox_clock_changes_nothing_about_what_is_old(office):
    office.world.clock.advance(3600)
    body = office.command("list")

    assert office.sends(body).status == 200
    assert office.sends(body, signed(SECRET, body, int(now(3600)))).status == 401


@pytest.mark.parametrize("body", [b"payload=%7Bnot+json", b"payload=" + b"[" * 100_000, b"payload=7", b"payload=null",
                                  b"", b"command=%2Fincident", b"payload=%7B%22type%22%3A%22block_actions%22%7D",
                                  b"payload=%7B%22type%22%3A%22view_submission%22%7D", b"a=b", b"ssl_check=1"])  # fmt: skip
def test_what_is_signed_but_makes_no_sense_brings_nothing_down_and_says_nothing_of_itself(office, body):
    with logging() as lines:
        answer = office.sends(body)

    assert answer.status < 500
    assert not [one for one in lines if "payload" in str(one.get("reason", ""))]
    assert "INC-1" in office.types("declare it works all the same")


def asked(office: Office, method: str, body: bytes, given: list[tuple[str, str]]) -> int:
    """The status of a request whose headers may stand twice."""
    connection = HTTPConnection(office.world.bot.removeprefix("http://"), timeout=5)
    connection.putrequest(method, "/slack/events")
    for name, value in [*given, ("Content-Length", str(len(body)))]:
        connection.putheader(name, value)
    connection.endheaders(body)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_over_http_a_second_signature_or_another_method_opens_nothing(office):
    body = office.command("declare from outside")
    good = signed(SECRET, body)
    twice = [*FORM.items(), ("X-Slack-Signature", "v0=" + "0" * 64), *good.items()]
    thrice = [*FORM.items(), *good.items(), ("X-Slack-Signature", good["X-Slack-Signature"])]

    assert [asked(office, "POST", body, one) for one in (twice, thrice)] == [401, 401]
    assert asked(office, "GET", body, [*FORM.items(), *good.items()]) == 405
    assert asked(office, "PUT", body, [*FORM.items(), *good.items()]) == 405
    assert office.store.incidents() == ()
    assert asked(office, "POST", body, [*FORM.items(), *good.items()]) == 200


def test_slacks_own_check_of_the_address_is_answered_only_where_it_is_signed(office):
    body = b'{"type": "url_verification", "challenge": "abc123"}'
    kind = {"content-type": "application/json"}

    good = office.slack_app.dispatch(body, {**kind, **{name.lower(): one for name, one in signed(SECRET, body).items()}})

    assert (good.status, b"abc123" in good.body) == (200, True)
    assert office.slack_app.dispatch(body, kind).status == 401
