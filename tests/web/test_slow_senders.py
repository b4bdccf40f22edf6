"""Senders that are slow, or never come to an end: answered after a while, and in nobody's way meanwhile."""

import socket
import time
from collections.abc import Iterator

import pytest

from sandbox.__main__ import SECRET
from tests.web.served import Answer, Served, beside

HEAD = f"Host: x\r\nAuthorization: Bearer {SECRET}\r\n"


@pytest.fixture(scope="module")
def hurried(served) -> Iterator[Served]:
    """The same way in, which waits for a body as long as a test can."""
    with beside(served, read_seconds=0.6) as made:
        yield made


@pytest.mark.parametrize(
    "parts",
    [
        (b"Content-Length: 9\r\n\r\n",),
        (b"Content-Length: 9\r\n\r\n", b'{"tit'),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\n{\"tit\r\n"),
        (b"Content-Length: 900\r\n\r\n", *[b"x"] * 8),
    ],
    ids=["nothing comes", "half comes", "half comes in chunks", "a byte now and then"],
)  # fmt: skip
def test_a_body_that_does_not_come_is_given_up_with_the_reason(hurried, parts):
    started = time.monotonic()
    with socket.create_connection((hurried.host, hurried.port), timeout=10) as one:
        one.sendall(f"POST /hooks/generic/main HTTP/1.1\r\n{HEAD}".encode() + parts[0])
        for part in parts[1:]:
            time.sleep(0.1)
            one.sendall(part)
        answer = one.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not come in time" in answer
    assert time.monotonic() - started < 5


def test_slow_senders_are_in_nobodys_way(hurried):
    waiting = [socket.create_connection((hurried.host, hurried.port), timeout=10) for _ in range(200)]
    for index, one in enumerate(waiting):
        one.sendall(f"POST /hooks/generic/main HTTP/1.1\r\n{HEAD}{'Content-Length: 9' if index % 2 else 'X-Half: '}".encode())

    started = time.monotonic()
    answer: Answer = hurried.post("generic", b'{"title": "In time", "status": "resolved"}')
    assert answer.taken()
    assert time.monotonic() - started < 0.5
    for one in waiting:
        one.close()


def test_many_requests_on_one_connection_are_each_answered_in_order(served):
    one = f"POST /hooks/generic/main HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n{{}}"
    last = f"POST /hooks/nowhere/main HTTP/1.1\r\n{HEAD}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"

    answer = served.raw((one * 50 + last).encode(), hangs_up=False)

    assert answer.count(b"HTTP/1.1 400 ") == 50
    assert answer.count(b"HTTP/1.1 404 ") == 1
