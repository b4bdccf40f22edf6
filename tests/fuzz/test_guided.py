"""Bodies that find their own way: what is packed comes out as it was, and what is wrong is found by those, too."""

import pytest

from tests.fuzz import guided
from tests.fuzz.bodies import Request, pool
from tests.fuzz.guided import packed, unpacked

STARTS = pool()
needs_atheris = pytest.mark.skipif(bool(guided.missing()), reason=guided.missing())


def test_a_request_is_packed_as_it_is():
    for requests in STARTS.values():
        for one in requests:
            assert unpacked(packed(one)) == one
    odd = Request("generic", b"\n\xff\x00\n{}\n", {"x-a": "é\n"}, "a=%00")
    assert unpacked(packed(odd)) == odd


@pytest.mark.parametrize("packet", [b"", b"\n", b"{}\n", b"7\nx", b'{"source": "generic"}\nx', b"[" * 9_000, b"\xff\xfe\n"])
def test_what_is_no_request_is_none(packet):
    assert unpacked(packet) is None


def test_where_atheris_is_not_it_is_said(monkeypatch):
    monkeypatch.setattr(guided, "find_spec", lambda name: None)

    assert "wheels for Linux" in guided.missing()


@needs_atheris
def test_some_are_sent_and_reach_more_than_those_it_began_with():
    report = guided.guided(STARTS, 7, 4_000, 120)

    assert report.bodies == 4_000
    assert report.found == ()
    assert report.reached > report.reached_first > 1_000
