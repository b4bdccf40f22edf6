"""Neighbours that fail on purpose, at the level of a caller who reads what comes over the wire."""

import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from sandbox.app import Sandbox
from sandbox.misbehaviour import CUT, DRIP, EMPTY, HALF, HANG, HTML, LOST, RESET, Misbehaviour, limited, refusal, status
from sandbox.serving import running
from sandbox.world import World


@pytest.fixture(scope="module")
def sandbox():
    with running(World(is_strict=False)) as one:
        yield one


@pytest.fixture(autouse=True)
def mended(sandbox: Sandbox):
    yield
    sandbox.world.mends("slack")
    sandbox.world.mends("pagerduty")


def says(sandbox: Sandbox, words: str) -> bytes:
    """What comes over the wire when the bot posts a message, within two seconds."""
    channel = next(one.id for one in sandbox.space.channels.values() if one.name == "incidents")
    return asked(sandbox, "/slack/api/chat.postMessage", {"channel": channel, "text": words})


def pages(sandbox: Sandbox, key: str) -> bytes:
    event = {
        "routing_key": sandbox.account.services["checkout"].key, "event_action": "trigger", "dedup_key": key,
        "payload": {"summary": "It burns", "source": "a test", "severity": "critical"},
    }  # fmt: skip
    return asked(sandbox, "/pagerduty/events/v2/enqueue", event)


def asked(sandbox: Sandbox, path: str, given: dict[str, object]) -> bytes:
    address, body = urlsplit(sandbox.world.origin), json.dumps(given).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {sandbox.world.slack_token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    got, end = b"", time.monotonic() + 2
    with socket.create_connection((address.hostname, address.port), timeout=2) as connection:
        connection.sendall(head.encode() + body)
        while time.monotonic() < end:
            connection.settimeout(max(0.05, end - time.monotonic()))
            try:
                part = connection.recv(65_536)
            except TimeoutError:
                break
            if not part:
                break
            got += part
    return got


def is_there(sandbox: Sandbox, words: str) -> bool:
    with sandbox.world.lock:
        return any(one["text"] == words for channel in sandbox.space.channels.values() for one in channel.messages)


@pytest.mark.parametrize("wrong", [status(503), HTML, EMPTY, refusal("fatal_error"), limited("x", {"Retry-After": "900"}, {})])
@pytest.mark.parametrize("is_after", [False, True])
def test_what_is_answered_in_place_of_the_truth_says_nothing_of_what_was_done(sandbox, wrong: Misbehaviour, is_after):
    words = f"{wrong.name} {is_after}"
    sandbox.world.answer_with("slack", "chat.postMessage", wrong.after() if is_after else wrong, 1)

    got = says(sandbox, words)

    assert got.startswith(f"HTTP/1.1 {wrong.status} ".encode())
    assert got.endswith(wrong.body.encode())
    assert all(f"{name}: {value}".encode().lower() in got.lower() for name, value in wrong.headers)
    assert is_there(sandbox, words) is is_after
    assert b'"ok":true' in says(sandbox, "and then all is well")


@pytest.mark.parametrize("is_after", [False, True])
def test_a_reset_is_no_answer_at_all(sandbox, is_after):
    words = f"reset {is_after}"
    sandbox.world.answer_with("slack", "chat.postMessage", RESET.after() if is_after else RESET, 1)

    with pytest.raises(ConnectionResetError):
        says(sandbox, words)
    assert is_there(sandbox, words) is is_after


@pytest.mark.parametrize("wrong", [HALF, CUT])
def test_half_an_answer_is_no_json_and_cut_off_it_is_not_even_whole(sandbox, wrong):
    sandbox.world.answer_with("slack", "chat.postMessage", wrong, 1)

    head, _, body = says(sandbox, wrong.name).partition(b"\r\n\r\n")

    length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")))
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
        json.loads(body)
    assert (len(body) < length) is (wrong is CUT)
    assert is_there(sandbox, wrong.name)


def test_what_drips_is_a_byte_a_second_in_its_headers_too_and_the_wait_is_kept(sandbox):
    sandbox.world.answer_with("slack", "chat.postMessage", DRIP, 1)

    assert 1 <= len(says(sandbox, "drip")) <= 3
    assert 1.8 <= waited(sandbox) < 4


def test_what_hangs_says_nothing_and_the_wait_is_kept(sandbox):
    sandbox.world.answer_with("pagerduty", "enqueue", HANG, 1)

    assert pages(sandbox, "hangs") == b""
    assert 1.8 <= waited(sandbox) < 4


def waited(sandbox: Sandbox) -> float:
    """How long the caller waited at the newest call, once the sandbox saw it leave."""
    call, end = sandbox.world.calls[-1], time.monotonic() + 5
    while not call.seconds and time.monotonic() < end:
        time.sleep(0.02)
    return call.seconds


def test_a_page_that_is_lost_is_answered_for(sandbox):
    sandbox.world.answer_with("pagerduty", "enqueue", LOST, 1)

    assert pages(sandbox, "lost").startswith(b"HTTP/1.1 202 ")
    assert not [one for one in sandbox.account.incidents if one.key == "lost"]


def test_the_first_calls_may_be_spared(sandbox):
    sandbox.world.answer_with("slack", "chat.postMessage", status(502), 1, spared=2)

    assert [says(sandbox, "spared")[9:12] for _ in range(4)] == [b"200", b"200", b"502", b"200"]


def test_a_fault_is_for_its_calls_only_and_a_share_of_them_is_drawn_by_its_seed(sandbox):
    sandbox.world.answer_with("slack", "chat.update", status(500))
    sandbox.world.answer_with("slack", "chat.postMessage", status(502), chance=0.5, seed=7)

    drawn = [says(sandbox, "maybe").startswith(b"HTTP/1.1 502") for _ in range(12)]

    assert {True, False} == set(drawn)
    assert [one.status == 502 for one in sandbox.world.calls_of("slack", "chat.postMessage")[-12:]] == drawn


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_who_hangs_up_before_all_was_said_is_answered_by_nobody_and_ends_in_no_error(sandbox, caplog, kind):
    address, before = urlsplit(sandbox.world.origin), len(sandbox.account.ledger)
    with socket.create_connection((address.hostname, address.port), timeout=2) as connection:
        head = f"POST /pagerduty/events/v2/enqueue HTTP/1.1\r\nHost: sandbox\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n{{"
        connection.sendall(head.encode())
        time.sleep(0.2)
    time.sleep(0.2)

    assert b" 202 " in pages(sandbox, f"after a {kind}")
    assert len(sandbox.account.ledger) == before + 1
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []
