"""The client: one HTTP attempt for each call, and every answer a value or one of our errors, without a token in it."""

import logging
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from bot.errors import Ambiguous, GaveUp, OverBudget, Overtaken, TryLater
from bot.slack.client import LOST, MEND_TOKEN, PASSING, TOKEN, Budget, Slack, error_in, judged, wait_named
from tests.pagerduty.standin import Caller, StandIn, answer, nobody_there, raw, reset, silence, standing_in

CANARY = "xoxb-canary-token-77"
METHOD = "chat.postMessage"
OK = {"ok": True, "ts": "1.2"}
HALF_MINUTE = timedelta(seconds=30)


def slack(url: str, **changes: Any) -> Slack:
    given: dict[str, Any] = {"token": SecretStr(CANARY), "timeout_seconds": 1}
    return Slack(**(given | {"api_url": url} | changes))


def post(standin: StandIn) -> dict[str, Any]:
    return slack(standin.url).call(METHOD, channel="C1", text="hello")


def problem_of(standin: StandIn) -> TryLater | GaveUp:
    with pytest.raises((TryLater, GaveUp)) as raised:
        post(standin)
    return raised.value


# --- before the first byte --------------------------------------------------------------------


def test_whoever_stood_still_while_it_connected_sends_nothing():
    with standing_in(answer(200, OK)) as standin:
        seen: list[int] = []

        def stood_still() -> None:
            seen.append(standin.connections)
            raise Overtaken("another may have it")

        late = slack(standin.url, connected=stood_still)
        for does in (
            lambda: late.call(METHOD, channel="C1", text="hello"), lambda: late.respond(f"{standin.url}/answer", "hello", []),
            lambda: late.upload(f"{standin.url}/file", b"hello"),
        ):  # fmt: skip
            with pytest.raises(Overtaken):
                does()
        deadline = time.monotonic() + 5
        while standin.connections < 3 and time.monotonic() < deadline:
            time.sleep(0.01)

        assert len(seen) == 3
        assert standin.connections == 3
        assert [one for one in standin.asked if one.body] == []
        assert slack(standin.url).call(METHOD, channel="C1", text="hello")["ts"] == OK["ts"]


# --- what an answer means ---------------------------------------------------------------------


def meaning(status: int) -> type[Exception]:
    """An answer without a word of Slack's own."""
    if status in (429, 401, 403):
        return TryLater
    return Ambiguous if status < 300 or status == 408 or status >= 500 else GaveUp


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status_has_one_meaning(status):
    problem = judged(status, "", None, METHOD)

    assert type(problem) is meaning(status)
    assert problem.reason == f"Slack answered {status} to {METHOD}"


@pytest.mark.parametrize(
    ("errors", "kind"),
    [(PASSING, TryLater), (TOKEN, TryLater), (LOST, Ambiguous),
     (["channel_not_found", "is_archived", "not_in_channel", "invalid_blocks", "msg_too_long", "name_taken"], GaveUp)],
    ids=["passing", "token", "lost", "never"],
)  # fmt: skip
def test_every_error_of_slacks_has_one_meaning_whatever_its_status(errors, kind):
    assert {type(judged(status, one, None, METHOD)) for one in errors for status in (200, 404)} == {kind}


@pytest.mark.parametrize("error", sorted(TOKEN))
def test_a_refused_token_is_asked_again_each_minute_and_says_what_a_person_can_do(error):
    problem = judged(200, error, "1", METHOD)

    assert (problem.after, problem.mend) == (timedelta(seconds=60), MEND_TOKEN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7), (" 7 ", 7), ("0", 1), ("900", 900), ("86400", 86_400),
        (None, 30), ("", 30), ("soon", 30), ("-5", 30), ("1.5", 30), ("²", 30), ("86401", 30), ("9" * 5000, 30),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 30),
    ],
)  # fmt: skip
def test_the_wait_of_a_429_is_what_its_header_names_if_that_is_of_use(text, seconds):
    assert wait_named(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["9" * 5000, "-5", "abc", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_hostile_retry_after_is_half_a_minute(text):
    with standing_in(answer(429, {"ok": False, "error": "ratelimited"}, Retry_After=text)) as standin:
        problem = problem_of(standin)

    assert type(problem) is TryLater
    assert problem.after == HALF_MINUTE


def test_slacks_own_error_string_can_be_read_back():
    assert error_in(judged(200, "name_taken", None, "conversations.create")) == "name_taken"


# --- one attempt for each call ----------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 301, 302, 303, 307, 308, 400, 401, 404, 408, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"ok": false, "error": "fatal_error"}'])
def test_whatever_comes_back_is_one_attempt(status, body):
    with standing_in() as elsewhere, standing_in(answer(status, body, Location=elsewhere.url)) as standin:
        problem_of(standin)

        assert (standin.connections, elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_because_the_token_is_for_slack_only(status):
    with standing_in() as elsewhere, standing_in(answer(status, Location=f"{elsewhere.url}/x")) as standin:
        problem = problem_of(standin)

        assert isinstance(problem, GaveUp)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        reset, silence, raw(b""), raw(b"HTTP/1.1 200 "), raw(b"HTTP/1.1 200 Said\r\nContent-Length: 99\r\n\r\n{"),
        answer(200, b""), answer(200, b"<html>"), answer(200, b'{"ok": true, "ts"'), answer(200, b"[" * 100_000),
        answer(200, b"\xff\xfe"), answer(200, b"null"), answer(200, b"7"), answer(200, b"[]"),
        answer(503, b"Service Unavailable"), answer(500, b""), answer(200, {"ok": False, "error": "internal_error"}),
        answer(200, {"ok": False}),
    ],
)  # fmt: skip
def test_an_answer_that_was_lost_or_says_nothing_is_ambiguous(behaviour):
    with standing_in(behaviour) as standin:
        problem = problem_of(standin)

        assert type(problem) is Ambiguous
        assert (standin.connections, len(standin.asked)) == (1, 1)


@pytest.mark.parametrize("address", [nobody_there, lambda: "http://slack.invalid/api/"], ids=["refused", "unknown"])
def test_what_nobody_listened_to_was_never_sent_and_is_not_ambiguous(address):
    with pytest.raises(TryLater, match=f"did not answer {METHOD}") as raised:
        slack(address()).call(METHOD, channel="C1", text="x")

    assert type(raised.value) is TryLater


def drips(*parts: bytes):
    """These bytes, then one now and then: in the head of the answer or in its body."""

    def behave(caller: Caller) -> None:
        caller.connection.sendall(b"".join(parts))
        while not caller.stopped.wait(0.05):
            caller.connection.sendall(b"x")

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        drips(b"HTTP/1.1 200 Said\r\nContent-Length: 1000000\r\n\r\n"), drips(b"HTTP/1.1 200 Said\r\nX-Long: "),
        drips(b"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"),
    ],
    ids=["body", "head", "chunk"],
)  # fmt: skip
def test_an_answer_that_drips_in_ends_with_the_timeout(behaviour):
    with standing_in(behaviour) as standin:
        started = time.monotonic()
        problem = problem_of(standin)

    assert type(problem) is Ambiguous
    assert time.monotonic() - started < 4


def test_an_upload_that_drips_ends_with_the_timeout_too():
    with standing_in(drips(b"HTTP/1.1 200 Said\r\nContent-Length: 1000000\r\n\r\n")) as standin:
        started = time.monotonic()
        with pytest.raises(TryLater, match="did not take the file"):
            slack(standin.url).upload(f"{standin.url}/upload", b"content")

    assert time.monotonic() - started < 4


def test_a_call_that_is_over_leaves_nothing_behind():
    with standing_in(answer(200, OK)) as standin:
        asking = slack(standin.url, timeout_seconds=20)
        asking.call(METHOD, channel="C1", text="x")
        left = [one for one in threading.enumerate() if isinstance(one, threading.Timer) and not one.finished.is_set()]

    assert left == []


def test_a_huge_answer_is_not_kept():
    with standing_in(answer(200, b" " * 30_000_000)) as standin:
        problem = problem_of(standin)

    assert type(problem) is Ambiguous


@pytest.mark.parametrize("charset", ["hostile", "utf-7", "rot13"])
def test_an_answer_in_a_charset_that_nobody_knows_is_read_as_json_all_the_same(charset):
    with standing_in(answer(200, OK, Content_Type=f"application/json; charset={charset}")) as standin:
        assert post(standin)["ts"] == "1.2"


def test_a_huge_error_gives_a_short_reason_on_one_line():
    huge = {"ok": False, "error": "no\n" * 50_000, "response_metadata": {"messages": ["x\r\n" * 100_000] * 9}}
    with standing_in(answer(200, huge)) as standin:
        problem = problem_of(standin)

    assert isinstance(problem, GaveUp)
    assert len(problem.reason) < 500
    assert "\n" not in problem.reason


@pytest.mark.parametrize("metadata", [7, None, [], {"messages": 7}, {"messages": [None, {}]}])
def test_details_that_are_not_as_documented_do_no_harm(metadata):
    with standing_in(answer(200, {"ok": False, "error": "invalid_blocks", "response_metadata": metadata})) as standin:
        assert error_in(problem_of(standin)) == "invalid_blocks"


# --- what is sent, and what is never told -----------------------------------------------------


def test_a_call_carries_the_token_and_leaves_out_what_was_not_given():
    with standing_in(answer(200, OK)) as standin:
        slack(standin.url).call(METHOD, channel="C1", text="ü", blocks=None)
        [asked] = standin.asked

    assert asked.line == "POST /chat.postMessage HTTP/1.1"
    assert asked.header("authorization") == f"Bearer {CANARY}"
    assert asked.json == {"channel": "C1", "text": "ü"}


def test_methods_that_read_are_asked_with_a_form():
    with standing_in(answer(200, {"ok": True, "messages": []})) as standin:
        slack(standin.url).call("conversations.history", channel="C1", limit=1)
        [asked] = standin.asked

    assert asked.body == b"channel=C1&limit=1"


def test_without_a_token_nothing_is_asked():
    with standing_in() as standin, pytest.raises(TryLater, match="no Slack token") as raised:
        slack(standin.url, token=SecretStr("")).call(METHOD, channel="C1", text="x")

    assert raised.value.mend == MEND_TOKEN
    assert standin.connections == 0


LEAKS = [
    answer(200, {"ok": False, "error": CANARY}),
    answer(200, {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": [CANARY]}}),
    answer(403, {"ok": False, "error": f"bad {CANARY}"}),
    answer(429, {"ok": False, "error": CANARY}, Retry_After=CANARY),
    answer(500, CANARY.encode()),
    answer(302, Location=f"http://127.0.0.1:9/{CANARY}"),
    raw(f"{CANARY}\r\n\r\n".encode()),
    raw(f"HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode()),
    reset,
    silence,
]


@pytest.mark.parametrize("behaviour", LEAKS, ids=range(len(LEAKS)))
def test_no_error_and_no_line_of_any_log_holds_the_token(behaviour, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with standing_in(behaviour) as standin:
        problem = problem_of(standin)

    told = f"{problem!r} {problem.reason} {problem.mend} {problem.__cause__!r} {caplog.text} {capfd.readouterr()}"
    assert CANARY not in told


# --- budgets ----------------------------------------------------------------------------------


class Ticking:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("method", "calls"), [("pins.add", 20), ("chat.update", 50), ("views.open", 100)])
def test_a_method_is_not_asked_more_often_than_its_tier_allows(method, calls):
    budget = Budget(Ticking())
    for _ in range(calls):
        budget.spend(method, "")

    with pytest.raises(OverBudget) as raised:
        budget.spend(method, "")

    assert timedelta(minutes=1) / calls < raised.value.wait < timedelta(minutes=1.1) / calls
    assert raised.value.is_alike


def test_workers_share_what_a_method_takes():
    budgets = [Budget(Ticking()) for _ in range(4)]
    for one in budgets:
        one.share(4)
        for _ in range(5):
            one.spend("pins.add", "")

        with pytest.raises(OverBudget) as raised:
            one.spend("pins.add", "")
        assert timedelta(seconds=12) < raised.value.wait < timedelta(seconds=13.2)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_minute_has_more_than_twenty_new_channels(workers):
    clock = Ticking()
    budgets = [Budget(clock) for _ in range(workers)]
    made = list[float]()
    for one in budgets:
        one.share(workers)
    for second in range(200):
        clock.now = float(second)
        for one in budgets * 20:
            with suppress(OverBudget):
                one.spend("conversations.create", "")
                made.append(clock.now)

    most = max(sum(at <= other < at + 60 for other in made) for at in made)
    assert 18 <= most <= 20
    assert len(made) == 4 * most, "the next minute has as many"


def test_whoever_waits_for_the_next_minute_is_told_how_long():
    clock = Ticking()
    alone, shared = Budget(clock), Budget(clock)
    shared.share(2)
    for budget, room, wait in [(alone, 20, timedelta(seconds=36)), (shared, 10, timedelta(seconds=1))]:
        clock.now = 0.0
        for _ in range(room):
            budget.spend("conversations.create", "")
        clock.now = 30.0
        with pytest.raises(OverBudget) as raised:
            budget.spend("conversations.create", "")
        assert raised.value.wait == wait


def test_a_channel_gets_a_message_a_second_after_a_short_burst_and_others_do_not_wait_for_it():
    clock = Ticking()
    budget = Budget(clock)
    for _ in range(4):
        budget.spend(METHOD, "C1")

    with pytest.raises(OverBudget) as raised:
        budget.spend(METHOD, "C1")
    assert raised.value.reason == f"the budget of {METHOD} in C1 is used up"
    budget.spend(METHOD, "C2")
    clock.now = 1.0
    budget.spend(METHOD, "C1")


def posted(budgets: list[Budget], clock: Ticking, seconds: int) -> int:
    """How many messages go into one channel where each worker tries as often as it can."""
    count = 0
    for tenth in range(seconds * 10):
        clock.now = tenth / 10
        for one in budgets:
            with suppress(OverBudget):
                one.spend(METHOD, "C1")
                count += 1
    return count


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_workers_share_the_message_a_second_of_a_channel(workers):
    clock = Ticking()
    budgets = [Budget(clock) for _ in range(workers)]
    for one in budgets:
        one.share(workers)

    assert 58 <= posted(budgets, clock, 60) <= 64


def test_a_message_that_one_worker_has_no_room_for_is_offered_to_the_others_soon():
    clock = Ticking()
    full, other = Budget(clock), Budget(clock)
    for one in (full, other):
        one.share(8)
    full.spend(METHOD, "C1")

    with pytest.raises(OverBudget) as raised:
        full.spend(METHOD, "C1")

    assert raised.value.wait <= timedelta(seconds=1)
    other.spend(METHOD, "C1")


def test_after_a_429_that_method_is_left_alone_until_the_wait_is_over_and_others_go_on():
    clock = Ticking()
    limited = answer(429, {"ok": False, "error": "ratelimited"}, Retry_After="40")
    with standing_in(limited, answer(200, OK)) as standin:
        asking = slack(standin.url, budget=Budget(clock))
        with pytest.raises(TryLater):
            asking.call("chat.update", channel="C1", ts="1", text="x")
        clock.now = 39.0
        with pytest.raises(OverBudget) as raised:
            asking.call("chat.update", channel="C1", ts="1", text="x")
        asking.call(METHOD, channel="C1", text="x")
        clock.now = 41.0
        asking.call("chat.update", channel="C1", ts="1", text="x")

        assert raised.value.wait == timedelta(seconds=1)
        assert raised.value.is_alike
        assert standin.connections == 3


def test_a_shorter_wait_that_is_heard_of_later_ends_no_longer_one():
    clock = Ticking()
    budget = Budget(clock)
    budget.block(METHOD, timedelta(seconds=900))
    budget.block(METHOD, timedelta(seconds=30))
    clock.now = 899.0

    with pytest.raises(OverBudget):
        budget.spend(METHOD, "C1")
    clock.now = 900.0
    budget.spend(METHOD, "C1")


# --- the answer to one person -----------------------------------------------------------------


def test_an_answer_goes_to_the_response_url_for_one_person_and_leaves_the_message_alone():
    with standing_in(answer(200, b"ok")) as standin:
        slack("http://127.0.0.1:9").respond(f"{standin.url}/actions/1", "hello", [])
        [asked] = standin.asked

    assert asked.json == {"response_type": "ephemeral", "replace_original": False, "text": "hello", "blocks": []}
    assert asked.header("authorization") == ""


@pytest.mark.parametrize("behaviour", [answer(404, b"used_url"), answer(500), reset, silence])
def test_a_response_url_that_is_used_up_is_said_so(behaviour):
    with standing_in(behaviour) as standin, pytest.raises(TryLater, match="did not take the answer"):
        slack("http://127.0.0.1:9").respond(f"{standin.url}/actions/1", "hello", [])
