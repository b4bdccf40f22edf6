"""What a person does in the sandbox, asked wrongly: each answer says what is wrong, and nothing happens."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.app import PERSON_POSTS, Sandbox
from sandbox.serving import running

ANA: dict[str, Any] = {"person": "ana", "channel": "incidents"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running() as one:
        yield one


def asks(sandbox: Sandbox, what: str, given: Any = None, raw: bytes | None = None) -> tuple[int, str]:
    body = {"content": raw} if raw is not None else {"json": given}
    answer = httpx.post(f"{sandbox.world.origin}/_person/{what}", **body, timeout=10)
    assert answer.json()["ok"] is (answer.status_code == 200)
    return answer.status_code, str(answer.json().get("error", ""))


@pytest.mark.parametrize("what", PERSON_POSTS)
def test_what_is_no_json_object_is_refused_with_the_reason(sandbox: Sandbox, what: str) -> None:
    assert asks(sandbox, what, raw=b"{nope")[0] == 400
    assert asks(sandbox, what, raw=b"\xff")[1].startswith("not JSON")
    assert asks(sandbox, what, [1]) == (400, "post a JSON object")
    status, why = asks(sandbox, what, {})
    assert status == 400
    assert why


@pytest.mark.parametrize(
    ("what", "given", "why"),
    [
        ("slash", {**ANA, "person": "zoe", "text": "/incident"}, "nobody is called 'zoe'; there are ana, ben"),
        ("slash", {**ANA, "channel": "nowhere", "text": "/incident"}, "there is no channel 'nowhere'"),
        ("slash", {**ANA, "text": "incident"}, "a slash command starts with /"),
        ("slash", {**ANA, "person": "eve", "text": "/incident list"}, "Eve Larsen is not in #incidents"),
        ("message", {**ANA, "text": " "}, "a message needs text"),
        ("message", {**ANA, "text": "hi", "thread_ts": "1.1"}, "there is no such message in #incidents"),
        ("press", {**ANA, "ts": "1.1", "action_id": "x"}, "there is no such message in #incidents"),
        ("react", {**ANA, "ts": "1.1", "name": "eyes"}, "there is no such message in #incidents"),
        ("react", {**ANA, "ts": "1.1"}, "a reaction needs the name of an emoji"),
        ("submit", {"person": "ana", "view_id": "V1"}, "Ana Silva has no such form open"),
        ("phone", {"person": "dmitri", "incident": "1", "action": "acknowledge"}, "carries no pager"),
        ("phone", {"person": "ana", "incident": "1", "action": "acknowledge"}, "PagerDuty has no such incident"),
        ("alert", {"source": "alertmanager"}, "no bot here"),
        ("explain", {"source": "alertmanager"}, "no bot here"),
        ("fault", {"neighbour": "slack", "state": "gone"}, "state one of up, down, slow, limited, revoked"),
        ("fault", {"neighbour": "slack", "state": "down", "seconds": "soon"}, "seconds is a number"),
        ("fault", {"neighbour": "slack", "state": "down", "seconds": -1}, "more than 0"),
        ("webhooks", {"on": "off"}, "on is true or false"),
        ("clock", {"advance_seconds": "300"}, "advance_seconds is a number"),
        ("clock", {"advance_seconds": [1]}, "advance_seconds is a number"),
        ("clock", {"advance_seconds": -1}, "more than 0 and at most sixty days"),
        ("clock", {"advance_seconds": 1e300}, "more than 0 and at most sixty days"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(sandbox: Sandbox, what: str, given: dict[str, Any], why: str) -> None:
    status, said = asks(sandbox, what, given)

    assert status == 400
    assert why in said
    assert sandbox.world.faults == {"slack": "up", "pagerduty": "up"}
    assert sandbox.webhooks.is_on
    assert sandbox.world.clock.offset_seconds == 0


def test_the_cast_is_named_with_what_each_does(sandbox: Sandbox) -> None:
    cast = httpx.get(f"{sandbox.world.origin}/_person/cast").json()

    assert [(one["name"], one["role"], one["has_pager"]) for one in cast] == [
        ("ana", "on-call", True), ("ben", "second level", True), ("chloe", "lead", True),
        ("dmitri", "bystander", False), ("eve", "guest", False),
    ]  # fmt: skip


def test_a_phone_says_who_acknowledged_not_only_that_somebody_did() -> None:
    with running() as sandbox:
        event = {"routing_key": sandbox.account.services["checkout"].key, "event_action": "trigger", "dedup_key": "k",
                 "payload": {"summary": "Checkout fails", "source": "here", "severity": "critical"}}  # fmt: skip
        assert httpx.post(f"{sandbox.world.origin}/pagerduty/events/v2/enqueue", json=event).status_code == 202
        assert asks(sandbox, "phone", {"person": "ana", "incident": "1", "action": "escalate"}) == (200, "")
        assert asks(sandbox, "phone", {"person": "ben", "incident": "1", "action": "acknowledge"}) == (200, "")

        phones = {one["person"]: one["notifications"] for one in sandbox.people.parts(["phones"])["phones"]}
        assert [(one["level"], one["channel"], one["acknowledged_by"]) for one in phones["ana"]] == [(1, "push", "ben")]
        assert [(one["level"], one["channel"], one["acknowledged_by"]) for one in phones["ben"]] == [(2, "push", "ben")]


def test_the_clock_stops_where_a_phone_has_to_ring() -> None:
    with running() as sandbox:
        event = {"routing_key": sandbox.account.services["checkout"].key, "event_action": "trigger", "dedup_key": "k",
                 "payload": {"summary": "Checkout fails", "source": "here", "severity": "critical"}}  # fmt: skip
        httpx.post(f"{sandbox.world.origin}/pagerduty/events/v2/enqueue", json=event)
        created = sandbox.account.incidents[0].created_at
        assert asks(sandbox, "clock", {"advance_seconds": 3 * 86_400}) == (200, "")

        log = [one for one in sandbox.account.incidents[0].log if one["type"] == "notify_log_entry"]
        after = [(datetime.fromisoformat(one["created_at"]) - created).total_seconds() for one in log]
        # The log knows whole seconds. A push, a call a minute later, and so again at each level after a quarter of an hour.
        assert [round(one / 60) for one in after] == [0, 1, 15, 16, 30, 31]


def test_what_falls_due_while_something_else_is_told_is_not_forgotten() -> None:
    with running() as sandbox:
        event = {"routing_key": sandbox.account.services["checkout"].key, "event_action": "trigger", "dedup_key": "k",
                 "payload": {"summary": "Checkout fails", "source": "here", "severity": "critical"}}  # fmt: skip
        httpx.post(f"{sandbox.world.origin}/pagerduty/events/v2/enqueue", json=event)
        rang = sandbox.account.incidents[0].phones_at
        assert rang is not None
        bot_is_due = [rang - timedelta(milliseconds=50)]
        sandbox.world.due = lambda until: next((at for at in bot_is_due if at <= until), None)

        def told(patience: float) -> None:
            if bot_is_due and bot_is_due[0] <= sandbox.world.clock():
                bot_is_due.clear()
                time.sleep(0.2)

        sandbox.world.moved = told
        assert asks(sandbox, "clock", {"advance_seconds": 120}) == (200, "")

        called = sandbox.account.incidents[0].log[-1]["created_at"]
        assert datetime.fromisoformat(called) - rang < timedelta(seconds=2)
