"""Sources with a bug in them, as another package may bring them: nobody gets in by one, and nothing that is proved is lost."""

from collections.abc import Iterator

import pytest

from bot.alerts.sources.generic import Generic
from sandbox.__main__ import SECRET
from tests.web.served import Served, beside, dumped


class Buggy(Generic):
    """Ends in what nobody thought of, at the place that a body names."""

    def verify(self, delivery, secrets, now):
        if b"bug in verify" in delivery.body:
            raise ZeroDivisionError
        super().verify(delivery, secrets, now)

    def check(self, delivery, mapping):
        if b"bug in check" in delivery.body:
            raise RecursionError
        super().parse(delivery, mapping)

    def delivery_id(self, delivery):
        if b"bug in identity" in delivery.body:
            raise KeyError("id")
        return super().delivery_id(delivery)


@pytest.fixture(scope="module")
def buggy(served) -> Iterator[Served]:
    """The same way in, with that source."""
    secrets = {"secrets_of": lambda name, route: (SECRET,) if route == "main" else ()}
    with beside(served, sources={"generic": Buggy()}, unusable=("buildbox",), **secrets) as made:
        yield made


def kept(served: Served, word: bytes) -> int:
    return sum(word in one.body for one in served.story.bot.store.deliveries(("new", "done", "parked"), 500))


def body_with(word: str) -> bytes:
    return dumped({"title": word, "status": "firing", "severity": "low"})


def test_whom_a_bug_keeps_from_being_verified_is_refused(buggy):
    assert "a bug; see the log" in buggy.post("generic", body_with("bug in verify")).refused(403)
    assert kept(buggy, b"bug in verify") == 0


@pytest.mark.parametrize("word", ["bug in check", "bug in identity"])
def test_what_is_verified_is_kept_whatever_bug_comes_after_that(buggy, word):
    assert buggy.post("generic", body_with(word)).taken()

    assert kept(buggy, word.encode()) == 1


def test_whose_source_could_not_be_loaded_is_told_to_come_again_and_a_stranger_nothing(buggy):
    told = buggy.post("buildbox", b"{}", {})
    assert "buildbox could not be loaded" in told.refused(503)
    assert int(told.headers["retry-after"]) > 0
    buggy.post("buildbox", b"{}", {}, route="other").refused(404)


def test_what_has_no_bug_is_refused_and_taken_as_ever(buggy):
    assert buggy.post("generic", body_with("well")).taken()
    buggy.post("generic", b"[1").refused(400)
    buggy.post("generic", body_with("well"), {}).refused(401)
