"""Real payloads, where the folder of them is beside the checkout: none is an error of ours, and `bot explain` reads each."""

import json
from pathlib import Path

import pytest

from bot.alerts.registry import sources
from tests.alerts import tried
from tests.alerts.test_corpus import (
    CAPTURED,
    CORPUS,
    FILES,
    READ_AS,
    REFUSED,
    UNREADABLE,
    body_of,
    captured_body,
    delivered,
    named,
    needs_corpus,
    source_of,
)
from tests.commands.terminal import Terminal, bot
from tests.documents import TOP
from tests.web.served import SECRET, Answer, Served

__all__ = ["bot"]

NOT_SIGNED = {"cloudwatch_sns/raw_delivery_unsigned", "cloudwatch_sns/captured_notification",
              "cloudwatch_sns/captured_insufficient_data", "cloudwatch_sns/captured_subscription_confirmation"}  # fmt: skip
"""Raw, or signed with a key of Amazon's whose certificate is not here."""
needs_captured = pytest.mark.skipif(not CAPTURED, reason="the folder of real payloads is not beside this checkout")
TAKEN: set[str] = set()
"""What did at the real way in as it should."""


def sends(served: Served, meta: Path) -> Answer:
    """The request as it came, with our token or signature in place of the sender's; SNS keeps Amazon's."""
    source, delivery = source_of(meta), delivered(meta)
    own = {name: value for name, value in delivery.headers.items() if name != "content-length"}
    if source == "cloudwatch":
        served.story.bot.sns.fetch = lambda address: (CORPUS / "cloudwatch_sns" / "test_signing_cert.pem").read_bytes()
        return served.ask("POST", f"/hooks/{source}/main?token={SECRET}", delivery.body, own)
    signed = {name.lower(): value for name, value in served.signature(source, delivery.body).items()}
    return served.post(source, delivery.body, own | signed)


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_taken_at_the_real_way_in(served: Served, meta: Path):
    expected = json.loads(meta.read_text())["expect"]["status"]

    answer = sends(served, meta)

    if expected == REFUSED or named(meta) in NOT_SIGNED:
        answer.refused(401)
    elif named(meta) in UNREADABLE:
        assert UNREADABLE[named(meta)][0] in answer.refused(400)
    else:
        answer.taken()
    TAKEN.add(named(meta))


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_without_proof_is_not_taken(served: Served, meta: Path):
    one = delivered(meta)
    own = {name: value for name, value in one.headers.items() if name != "content-length"}

    served.post(source_of(meta), one.body, own).refused(401)


@needs_captured
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_captured_request_is_taken_at_the_real_way_in(served: Served, path: Path):
    body = captured_body(path)

    served.post("alertmanager", body, served.signature("alertmanager", body)).taken()
    TAKEN.add(tried.captured(path))


@needs_corpus
def test_the_table_of_what_was_sent_is_as_it_is_documented():
    if len(TAKEN) < len(FILES) + len(CAPTURED):
        pytest.skip(f"only {len(TAKEN)} of {len(FILES) + len(CAPTURED)} were sent in this run, or were answered as they should be")
    table = tried.table(tried.passed() & TAKEN)
    print(table)

    assert table in (TOP / "docs" / "sources.md").read_text(encoding="utf-8")


@needs_corpus
@pytest.mark.parametrize("source", [name for name in sources() if name != "cloudwatch"])
def test_payloads_of_other_senders_are_no_error_of_ours_wherever_they_are_sent_by_mistake(served: Served, source: str):
    # One of each sender: all of each to everybody would be seven thousand.
    for meta in {source_of(one): one for one in FILES}.values():
        answer = served.post(source, delivered(meta).body)
        assert answer.status == 202 or answer.refused(400), (source, named(meta))


@needs_corpus
def test_after_all_of_them_every_delivery_was_read_and_the_bot_still_pages(served: Served):
    served.is_read()
    with served.story.bot.store.engine.connect() as connection:
        parked = connection.exec_driver_sql("SELECT source, reason FROM inbox WHERE state = 'parked'").all()
    # Only what somebody sent by mistake to those who are never refused what they signed.
    assert {source for source, _ in parked} <= {name for name, one in sources().items() if one.identity_window_seconds is None}
    assert not [reason for _, reason in parked if "bug" in reason]
    assert served.still_works("after-the-corpus")


# --- bot explain ------------------------------------------------------------------------------


def statuses(told: dict[str, object]) -> list[str]:
    return [one["status"] for one in told["alerts"]]  # type: ignore[index,attr-defined]


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_explain_reads_what_fires_as_firing_and_what_is_over_as_resolved(bot: Terminal, meta: Path):
    about = json.loads(meta.read_text())
    expected, name = about["expect"], named(meta)

    told = bot.here("explain", source_of(meta), body_of(meta), "--headers", meta, "--json")

    if name in UNREADABLE:
        assert told.code == 2
        assert UNREADABLE[name][0] in told.err
        return
    assert told.code == 0, told.err
    found = statuses(told.json())
    wanted, _ = READ_AS.get(name, (expected["status"], ""))
    if wanted == REFUSED:
        return
    assert len(found) + len(told.json()["changes"]) == len(told.json()["decisions"]) == expected["count"]
    if wanted == "mixed":
        assert found == expected.get("statuses", ["firing", "resolved"])
    elif wanted in ("firing", "resolved", "acknowledged"):
        assert set(found) == {wanted}


@needs_captured
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_explain_takes_a_captured_request_as_it_is(bot: Terminal, path: Path):
    told = bot.here("explain", "alertmanager", path, "--json")

    assert told.code == 0, told.err
    assert statuses(told.json()) == [one["status"] for one in json.loads(captured_body(path))["alerts"]]


@needs_captured
def test_explain_as_people_run_it(bot: Terminal):
    firing, resolved = CAPTURED[0], next(path for path in CAPTURED if "resolved" in path.stem)

    for path, status in ((firing, "firing"), (resolved, "resolved")):
        told = bot("explain", "alertmanager", path)
        assert told.code == 0, told.err
        assert f"status      {status}" in told.out


def test_explain_names_what_was_filled_in(bot: Terminal):
    body = bot.file('{"alerts": [{"status": "purple", "startsAt": "soon", "labels": {}}]}')

    assert "filled in   status, started_at, title" in bot.here("explain", "alertmanager", body).out
    assert bot.here("explain", "alertmanager", body, "--json").json()["alerts"][0]["defaults"] == ["status", "started_at", "title"]
