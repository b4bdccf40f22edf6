"""The client: one HTTP attempt for each try, and every answer a value or one of our errors, without a key in it."""

import socket
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from bot.errors import Ambiguous, GaveUp, TryLater
from bot.pagerduty.client import MEND_KEY, MEND_TOKEN, REFUSED_TOKEN, UNNAMED_WAIT, Client, judged, wait_named
from tests.pagerduty.standin import Behaviour, Caller, StandIn, answer, drip, nobody_there, raw, reset, silence, standing_in

KEY = "R0UT1NGK3Y" + "x" * 22
TOKEN = "t0ken-canary-55"
EVENT = {"event_action": "trigger", "dedup_key": "k"}
EVERY_STATUS = range(200, 600)
REFUSALS = (401, 403)


def client(url: str, **changes: Any) -> Client:
    given: dict[str, Any] = {"token": SecretStr(TOKEN), "from_email": "bot@example.com", "timeout_seconds": 0.5}
    return Client(**(given | {"api_url": url, "events_url": url} | changes))


def page(standin: StandIn) -> None:
    client(standin.url).enqueue(KEY, EVENT, "a page")


def problem_of(standin: StandIn) -> Exception:
    with pytest.raises((TryLater, GaveUp)) as raised:
        page(standin)
    return raised.value


# --- what an answer means ---------------------------------------------------------------------


def meaning(status: int) -> type[Exception] | None:
    """PagerDuty's own page on errors, in a few lines."""
    if status < 300:
        return None
    if status == 408 or (status >= 500 and status != 503):
        # A gateway that had no answer does not know what became of the request.
        return Ambiguous
    return TryLater if status in (429, 503, *REFUSALS) else GaveUp


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_every_status_has_one_meaning(status):
    problem = judged(status, {}, "", "a page")

    assert type(problem) is (meaning(status) or type(None))


@pytest.mark.parametrize("status", [status for status in EVERY_STATUS if status >= 300])
def test_a_reason_names_the_status_what_was_asked_and_what_pagerduty_said(status):
    problem = judged(status, {}, "Invalid Input Provided", "a page")

    assert problem.reason == f"PagerDuty answered {status} to a page: Invalid Input Provided"


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refused_token_is_asked_again_each_minute_and_says_what_a_person_can_do(status):
    problem = judged(status, {"retry-after": "1"}, "", "who is on call")

    assert (problem.after, problem.mend) == (REFUSED_TOKEN, MEND_TOKEN)


@pytest.mark.parametrize(("what", "mend"), [("a page", MEND_KEY), ("a page for search", MEND_KEY), ("who a user is", "")])
def test_a_page_that_will_never_be_taken_says_to_look_at_its_key(what, mend):
    assert judged(400, {}, "", what).mend == mend


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 7 "}, 7),
        ({"ratelimit-reset": "23"}, 23),
        ({"retry-after": "5", "ratelimit-reset": "23"}, 5),
        ({"retry-after": "soon", "ratelimit-reset": "23"}, 23),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "86401"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "9" * 5000}, None),
    ],
)
def test_the_wait_of_a_429_is_what_its_headers_name_if_that_is_of_use(headers, seconds):
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert wait_named(headers) == expected
    assert judged(429, headers, "", "a page").after == (expected or UNNAMED_WAIT)


# --- one attempt for each try -----------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504, 599])
def test_whatever_comes_back_is_one_attempt(status):
    with standing_in(answer(status, {"status": "x"})) as standin:
        try:
            page(standin)
            outcome = None
        except (TryLater, GaveUp) as error:
            outcome = error

    assert (standin.connections, len(standin.asked)) == (1, 1)
    assert (outcome is None) == (status == 202)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_because_the_key_is_for_pagerduty_only(status):
    with standing_in() as elsewhere, standing_in(answer(status, Location=f"{elsewhere.url}/v2/enqueue")) as standin:
        problem = problem_of(standin)
        with pytest.raises(GaveUp):
            client(standin.url).get("/users", "a user")

    assert isinstance(problem, GaveUp)
    assert (standin.connections, elsewhere.connections) == (2, 0)


@pytest.mark.parametrize(
    "behaviour", [reset, silence, raw(b""), raw(b"HTTP/1.1 202 "), raw(b"HTTP/1.1 202 Said\r\nContent-Length: 9\r\n\r\n{")]
)
def test_an_answer_that_was_lost_is_one_attempt_and_ambiguous(behaviour):
    with standing_in(behaviour) as standin:
        problem = problem_of(standin)

    assert isinstance(problem, Ambiguous)
    assert (standin.connections, len(standin.asked)) == (1, 1)
    assert problem.reason.startswith("PagerDuty did not answer a page (")


def test_what_nobody_listened_to_was_never_sent_and_is_not_ambiguous():
    with pytest.raises(TryLater, match="did not answer a page") as raised:
        client(nobody_there()).enqueue(KEY, EVENT, "a page")

    assert type(raised.value) is TryLater


def test_a_name_that_nobody_knows_was_never_sent_either():
    with pytest.raises(TryLater) as raised:
        client("http://pagerduty.invalid").enqueue(KEY, EVENT, "a page")

    assert type(raised.value) is TryLater


def test_a_connection_that_is_never_accepted_was_never_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        with pytest.raises(TryLater) as raised:
            client(f"http://127.0.0.1:{address[1]}").enqueue(KEY, EVENT, "a page")
        for one in waiting:
            one.close()

    assert type(raised.value) is TryLater


def drips(head: bytes, wait_seconds: float = 0.05) -> Behaviour:
    """The beginning of an answer, then a byte of it now and then."""

    def behave(caller: Caller) -> None:
        caller.connection.sendall(head)
        while not caller.stopped.wait(wait_seconds):
            caller.connection.sendall(b"x")

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        drip, drips(b"HTTP/1.1 202 Said\r\nX-Long: "), drips(b"HTTP/1.1 2"),
        drips(b"HTTP/1.1 202 Said\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"),
    ],
    ids=["body", "head", "status", "chunk"],
)  # fmt: skip
def test_an_answer_that_drips_in_ends_with_the_timeout_so_no_try_outlives_its_lease(behaviour):
    with standing_in(behaviour) as standin:
        started = time.monotonic()
        problem = problem_of(standin)

    assert type(problem) is Ambiguous
    assert time.monotonic() - started < 4
    assert standin.connections == 1


def test_a_call_that_is_over_leaves_nothing_behind():
    with standing_in(answer(202, {"status": "success"}), answer(400), reset) as standin:
        asking = client(standin.url, timeout_seconds=20)
        asking.enqueue(KEY, EVENT, "a page")
        for expected in (GaveUp, Ambiguous):
            with pytest.raises(expected):
                asking.enqueue(KEY, EVENT, "a page")
        left = [one for one in threading.enumerate() if isinstance(one, threading.Timer) and not one.finished.is_set()]

    assert left == []


def test_a_huge_answer_is_not_kept_and_an_accepted_page_stays_accepted():
    with standing_in(answer(202, b" " * 30_000_000)) as standin:
        page(standin)

    assert standin.connections == 1


def test_a_huge_refusal_gives_a_short_reason():
    huge = {"status": "invalid event", "message": "no " * 200_000, "errors": ["x" * 100_000] * 3}
    with standing_in(answer(400, huge)) as standin:
        problem = problem_of(standin)

    assert isinstance(problem, GaveUp)
    assert len(problem.reason) < 400


# --- what is sent, and what comes back --------------------------------------------------------


def test_an_event_carries_its_key_and_nothing_of_the_rest_token():
    with standing_in() as standin:
        page(standin)
        [asked] = standin.asked

    assert asked.line == "POST /v2/enqueue HTTP/1.1"
    assert asked.json == {**EVENT, "routing_key": KEY}
    assert TOKEN.encode() not in asked.head + asked.body


def test_only_a_202_is_acceptance():
    with standing_in(answer(200, {"status": "success"})) as standin:
        problem = problem_of(standin)

    assert type(problem) is TryLater
    assert "200" in problem.reason
    assert "not 202" in problem.reason


def test_a_rest_call_carries_the_token_and_in_whose_name_it_is():
    with standing_in(answer(200, {"incident": {}})) as standin:
        asking = client(standin.url)
        asking.put("/incidents/P1", {"incident": {}}, "a change")
        asking.post("/incidents/P1/notes", {}, "a note", from_email="ana@example.com")
        first, second = standin.asked

    assert first.header("authorization") == f"Token token={TOKEN}"
    assert (first.line, first.header("from")) == ("PUT /incidents/P1 HTTP/1.1", "bot@example.com")
    assert (second.line, second.header("from")) == ("POST /incidents/P1/notes HTTP/1.1", "ana@example.com")


def test_without_a_token_rest_is_given_up_before_anything_is_sent():
    with standing_in() as standin, pytest.raises(GaveUp, match="no PagerDuty REST token") as raised:
        client(standin.url, token=SecretStr("")).get("/users", "a user")

    assert raised.value.mend == MEND_TOKEN
    assert standin.connections == 0


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff\xfe", b"[" * 100_000, b'{"incidents": '])
def test_an_answer_of_the_rest_api_that_is_not_json_is_ambiguous(body):
    with standing_in(answer(200, body)) as standin, pytest.raises(Ambiguous, match="is not JSON"):
        client(standin.url).get("/incidents", "the incident of a page")


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"7"])
def test_json_that_is_no_object_holds_nothing(body):
    with standing_in(answer(200, body)) as standin:
        assert client(standin.url).get("/incidents", "the incident of a page") == {}


@pytest.mark.parametrize(
    "body", [b"<html>", b"[" * 100_000, b"7", b'{"error": 7}', b'{"error": null}', b'{"errors": 7}', b'{"errors": {}}']
)
def test_an_error_that_is_not_said_in_pagerdutys_way_is_still_judged(body):
    with standing_in(answer(400, body)) as standin:
        problem = problem_of(standin)

    assert isinstance(problem, GaveUp)
    assert problem.reason.startswith("PagerDuty answered 400 to a page")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"status": "invalid event", "message": "Event object is invalid", "errors": ["Length of 'routing_key' is incorrect"]},
         "Event object is invalid; Length of 'routing_key' is incorrect"),
        ({"error": {"message": "Invalid Input Provided", "code": 2001, "errors": ["Requester User Not Found"]}},
         "Invalid Input Provided; Requester User Not Found"),
        ({"error": "Forbidden"}, "Forbidden"),
        ({"message": "two\nlines", "errors": ["and\r\nmore"]}, "two lines; and more"),
    ],
)  # fmt: skip
def test_pagerdutys_own_words_are_handed_on_in_one_line(body, said):
    with standing_in(answer(400, body)) as standin:
        problem = problem_of(standin)

    assert problem.reason == f"PagerDuty answered 400 to a page: {said}"


LEAKS = [
    answer(400, {"message": f"{KEY} is no key", "errors": [KEY, TOKEN]}),
    answer(403, {"error": {"message": f"{KEY} and {TOKEN}"}}),
    answer(429, {"message": f"{KEY} is too quick"}),
    answer(500, KEY.encode()),
    answer(302, Location=f"http://127.0.0.1:9/{KEY}"),
    raw(f"{KEY} {TOKEN}\r\n\r\n".encode()),
    raw(f"HTTP/1.1 202 Said\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()),
    reset,
    silence,
]


@pytest.mark.parametrize("behaviour", LEAKS, ids=range(len(LEAKS)))
def test_no_error_ever_holds_a_key_or_the_token(behaviour):
    told = []
    with standing_in(behaviour) as standin:
        asking = client(standin.url)
        calls = [
            lambda: asking.enqueue(KEY, EVENT, "a page"),
            lambda: asking.get("/users", "a user"),
            lambda: asking.put("/incidents/P1", {"x": KEY}, "a change"),
        ]
        for call in calls:
            with pytest.raises((TryLater, GaveUp)) as raised:
                call()
            told.append(f"{raised.value!r} {raised.value.reason} {raised.value.__cause__!r} {raised.value.mend}")

    assert standin.connections == len(calls)
    assert not [one for one in told if TOKEN in one]
    assert KEY not in told[0]


def test_threads_do_not_share_connections_and_each_key_stays_its_own():
    others = {f"{index}" * 32 for index in range(6)}
    with standing_in() as standin:
        asking = client(standin.url)
        threads = [threading.Thread(target=asking.enqueue, args=(key, {"dedup_key": key}, "a page")) for key in others]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        asked = [one.json for one in standin.asked]

    assert {one["routing_key"] for one in asked} == others
    assert all(one["routing_key"] == one["dedup_key"] for one in asked)


# --- what the environment says ----------------------------------------------------------------


def test_a_proxy_that_the_environment_names_is_asked(monkeypatch):
    with standing_in(answer(202, {"status": "success"})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client("http://events.example.com").enqueue(KEY, EVENT, "a page")

    assert [caller.line for caller in proxy.asked] == ["POST http://events.example.com/v2/enqueue HTTP/1.1"]


def test_a_netrc_puts_no_other_name_before_the_token(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("default login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with standing_in(answer(200, {"users": []})) as standin:
        client(standin.url).get("/users", "who a user is")

    assert standin.asked[0].header("Authorization") == f"Token token={TOKEN}"
