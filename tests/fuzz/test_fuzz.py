"""A few thousand of the million bodies of `make fuzz`, whatever ever went wrong, and proof that what is wrong is seen."""

import asyncio
import json
import time
from collections.abc import Iterator
from random import Random

import pytest

from bot.alerts.registry import sources
from bot.alerts.sources import generic
from bot.web.asking import Sns, fetched
from tests.builders import NOON
from tests.fuzz.__main__ import sent
from tests.fuzz.bodies import ADDRESSES, BOMBS, SECRET, Request, made, pool
from tests.fuzz.found import kept, line_of
from tests.fuzz.smaller import smaller
from tests.fuzz.watched import GROWTH_BYTES, Outgoing, Street, memory

SEED = 20_260_610
STARTS = pool()


@pytest.fixture(scope="module")
def outgoing() -> Iterator[Outgoing]:
    """Every socket to anywhere else. A hook stays for as long as the process does: it is switched off."""
    hook = Outgoing()
    yield hook
    hook.is_on = False


def test_thousands_of_bodies_go_wrong_nowhere_and_nobody_is_asked(outgoing):
    told = asyncio.run(sent(STARTS, SEED, 0, 3_300, 60))

    assert told.bodies >= 1_000
    assert told.wrong == {}
    assert outgoing.seen == []


@pytest.mark.parametrize(("request_", "why"), list(kept()), ids=lambda one: one if isinstance(one, str) else "")
def test_what_went_wrong_once_does_not_any_more(request_, why):
    assert Street().wrong_with(request_) == "", why


@pytest.mark.parametrize("name", sources())
def test_every_source_s_own_requests_are_taken(name):
    street = Street()
    for one in STARTS[name]:
        assert street.wrong_with(one) == ""

    is_asked = {"cloudwatch 503"} if name == "cloudwatch" else set()
    is_mapped = {"generic 400"} if name == "generic" else set()
    assert set(street.answers) - is_asked - is_mapped == {f"{name} 202"}


@pytest.mark.parametrize("bomb", range(len(BOMBS)))
def test_a_large_body_costs_less_than_a_second_and_is_not_kept_in_memory(bomb):
    street = Street()
    body = BOMBS[bomb](Random(SEED))
    names = ["generic", *Random(bomb).sample(sorted(sources()), 4)]
    assert street.wrong_with(Request(names[0], body)) == ""
    before = memory()
    for name in names[1:]:
        assert street.wrong_with(Request(name, body, STARTS[name][0].headers)) == "", name

    assert memory() - before < GROWTH_BYTES


# --- whom SNS may have us ask -----------------------------------------------------------------


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_socket_is_opened_to_anywhere_but_amazon_whatever_an_envelope_says(outgoing, address):
    street = Street()
    # The real one, that would ask over the network.
    street.webhooks._asks = {"cloudwatch": Sns(lambda: NOON, fetched)}
    envelopes = [one for one in STARTS["cloudwatch"] if b"SigningCertURL" in one.body]
    for one in envelopes:
        body = json.dumps(json.loads(one.body) | {"SigningCertURL": address, "SubscribeURL": address}).encode()
        assert street.wrong_with(Request("cloudwatch", body, one.headers)) == ""

    assert len(envelopes) == 3
    assert set(street.answers) == {"cloudwatch 401"}
    assert outgoing.seen == []


# --- that what is wrong is seen ---------------------------------------------------------------


def test_the_same_seed_draws_the_same_bodies():
    assert [made(7, number, "grafana", STARTS) for number in range(60)] == [
        made(7, number, "grafana", STARTS) for number in range(60)
    ]
    assert made(7, 1, "grafana", STARTS) != made(8, 1, "grafana", STARTS)


def broken(does):
    """The sources, and something wrong in the generic one."""

    class Broken(generic.Generic):
        def parse(self, delivery, mapping):
            return does(delivery)

    return {**sources(), "generic": Broken()}


@pytest.mark.parametrize(
    ("does", "says"),
    [
        (lambda delivery: json.loads(delivery.body)["title"], "KeyError"),
        (lambda delivery: Sns(lambda: NOON, fetched)._fetched("https://amazon.invalid/a.pem"), "Unavailable"),
    ],
    ids=["an error of ours", "somebody is asked"],
)
def test_a_source_that_is_wrong_is_found_out(outgoing, does, says):
    assert says in Street(broken(does)).wrong_with(Request("generic", b'{"name": "x"}'))
    assert bool(outgoing.seen) == (says == "Unavailable")
    outgoing.seen.clear()


def test_a_bug_that_keeps_nothing_out_is_found_out_all_the_same():
    class Broken(generic.Generic):
        def delivery_id(self, delivery):
            raise KeyError("id")

    assert "KeyError" in Street({**sources(), "generic": Broken()}).wrong_with(STARTS["generic"][0])


def test_what_is_found_is_made_small_and_can_be_kept():
    def is_wrong(request: Request) -> bool:
        return b'"alertname"' in request.body

    large = STARTS["alertmanager"][0]
    small = smaller(large, is_wrong)
    assert len(small.body) < 60 < len(large.body)

    line = json.loads(line_of(small, "a word", 7, 1))
    assert line["source"] == "alertmanager"
    assert SECRET not in json.dumps(line)


def test_one_that_never_ends_is_ended():
    def stands_still(delivery):
        while True:
            time.sleep(0) if delivery is None else None

    started = time.process_time()

    street = Street(broken(stands_still), cpu_seconds=0.1)
    assert street.wrong_with(Request("generic", b"{}")).startswith("too slow")
    assert time.process_time() - started < 3
