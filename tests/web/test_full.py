"""More than can be kept: refused at once with when to come again, and nothing that was taken is lost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.alerts.registry import sources
from bot.clock import wall_clock
from bot.store.arrivals import InboxWriter
from bot.web.measures import Measures
from bot.web.serving import Server
from bot.web.webhooks import Webhooks
from tests.web.served import Served, dumped

ROOM = 3


@pytest.fixture
def slow(served) -> Iterator[tuple[Served, threading.Event, threading.Event]]:
    """The same way in, with little room, and a database that takes the first delivery for as long as a test wants."""
    bot, begun, goes_on = served.story.bot, threading.Event(), threading.Event()
    inbox = InboxWriter(bot.store.engine, lambda: begun.set() or (goes_on.wait(20) and None), limit_rows=ROOM)
    webhooks = Webhooks(
        sources=sources(), secrets_of=bot.settings.secrets_of, mapping_of=lambda route: {}, inbox=inbox,
        clock=wall_clock, wall_clock=wall_clock, measures=Measures(),
    )  # fmt: skip
    server = Server(webhooks, "127.0.0.1", 0)
    server.start()
    yield Served(served.story, f"http://127.0.0.1:{server.port}"), begun, goes_on
    goes_on.set()
    server.stop()
    inbox.close()


def test_a_full_queue_answers_503_with_when_to_come_again_and_keeps_what_it_took(slow):
    served, begun, goes_on = slow

    def sends(number: int) -> int:
        answer = served.post("generic", dumped({"title": f"Full {number}", "status": "resolved"}))
        if answer.status != 202:
            assert "more is waiting than can be kept" in answer.refused(503)
            assert int(answer.headers["retry-after"]) > 0
        return answer.status

    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(sends, 0)
        assert begun.wait(10)
        rest = [pool.submit(sends, number) for number in range(1, 20)]
        refused = [one.result(10) for one in rest if _ended(one)]
        goes_on.set()
        codes = [first.result(10), *(one.result(10) for one in rest)]

    assert codes.count(202) == ROOM + 1
    assert codes.count(503) == len(refused) == 19 - ROOM
    kept = {one.body for one in served.story.bot.store.deliveries(("new", "done"), 500) if b"Full" in one.body}
    assert len(kept) == ROOM + 1
    # There is room again.
    assert served.post("generic", dumped({"title": "Full no more", "status": "resolved"})).taken()


def _ended(one) -> bool:
    """Whether it was answered while the queue was full."""
    try:
        one.result(2)
    except TimeoutError:
        return False
    return True
