"""Real payloads, where the folder of them is beside the checkout: none is an error of ours, and `bot explain` reads each."""

import json
from pathlib import Path

import pytest

from tests.alerts.test_corpus import CAPTURED, CORPUS, FILES, NOT_FIRING, UNREADABLE, body_of, named, needs_corpus
from tests.commands.terminal import Terminal, bot
from tests.web.served import SOURCES, Served

__all__ = ["bot"]

OTHERS = sorted(
    path for path in CORPUS.glob("*/*.*") if path.parent.name not in (*SOURCES, "alertmanager-real") and ".meta." not in path.name
)
needs_captured = pytest.mark.skipif(not CAPTURED, reason="the folder of real payloads is not beside this checkout")


def captured_body(path: Path) -> bytes:
    body = json.loads(path.read_text())["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_a_real_payload_is_taken_at_the_real_way_in(served: Served, meta: Path):
    source, body = meta.parent.name, body_of(meta)
    own = {name: value for name, value in json.loads(meta.read_text())["headers"].items() if name.lower() != "content-length"}

    answer = served.post(source, body, own | served.signature(source, body))

    if named(meta) in UNREADABLE:
        assert "custom payload" in answer.refused(400)
    else:
        answer.taken()


@needs_captured
@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_a_captured_request_is_taken_at_the_real_way_in(served: Served, path: Path):
    body = captured_body(path)

    served.post("alertmanager", body, served.signature("alertmanager", body)).taken()


@needs_corpus
def test_payloads_of_other_senders_are_no_error_of_ours_wherever_they_are_sent_by_mistake(served: Served):
    for path in OTHERS:
        body = path.read_bytes()
        for source in SOURCES:
            answer = served.post(source, body)
            assert answer.status == 202 or answer.refused(400), (source, path.name)
        served.ask("POST", f"/hooks/{path.parent.name}/main", body).refused(404 if path.parent.name not in SOURCES else 401)


@needs_corpus
def test_after_all_of_them_every_delivery_was_read_and_the_bot_still_pages(served: Served):
    served.is_read()
    with served.story.bot.store.engine.connect() as connection:
        parked = connection.exec_driver_sql("SELECT source, reason FROM inbox WHERE state = 'parked'").all()
    # Only what somebody sent to PagerDuty's address by mistake; its own are all read.
    assert {source for source, _ in parked} <= {"pagerduty"}
    assert not [reason for _, reason in parked if "bug" in reason]
    assert served.still_works("after-the-corpus")


# --- bot explain ------------------------------------------------------------------------------


def statuses(told: dict[str, object]) -> list[str]:
    return [one["status"] for one in told["alerts"]]  # type: ignore[index,attr-defined]


@needs_corpus
@pytest.mark.parametrize("meta", FILES, ids=named)
def test_explain_reads_what_fires_as_firing_and_what_is_over_as_resolved(bot: Terminal, meta: Path):
    expected = json.loads(meta.read_text())["expect"]
    body = meta.parent / f"{meta.name.removesuffix('.meta.json')}.json"

    told = bot.here("explain", meta.parent.name, body, "--headers", meta, "--json")

    if named(meta) in UNREADABLE:
        assert told.code == 2
        assert "custom payload" in told.err
        return
    assert told.code == 0, told.err
    found = statuses(told.json())
    assert len(found) == len(told.json()["decisions"]) == expected["count"]
    wanted = NOT_FIRING.get(named(meta), expected["status"])
    if wanted == "mixed":
        assert found == expected["statuses"]
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
        assert f"status    {status}" in told.out


def test_explain_names_what_was_filled_in(bot: Terminal):
    body = bot.file('{"alerts": [{"status": "purple", "startsAt": "soon", "labels": {}}]}')

    assert "filled in status, started_at, title" in bot.here("explain", "alertmanager", body).out
    assert bot.here("explain", "alertmanager", body, "--json").json()["alerts"][0]["defaults"] == ["status", "started_at", "title"]
