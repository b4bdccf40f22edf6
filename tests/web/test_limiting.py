"""Limits, at the real way in: each sender is told what it understands, budgets are apart, and people hear of it once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.alerts.limits import SECOND
from bot.alerts.registry import source_named
from bot.incidents.policy import LimitsRule, read
from bot.store import DatabaseDown
from bot.web.limiting import MOST_ADDRESSES, QUIET, Limits, Refusals
from sandbox.__main__ import SECRET
from tests.web.served import Served, dumped, serving

POLICY = """
limits:
  per_route: 2/h
  sources: {generic: 3/h, grafana: none}
  routes: {spare: 1/h, grafana/main: none, pagerduty/main: 2/h}
"""


def limits(said: str, now: list[int] | None = None) -> Limits:
    rule = read(f"limits: {said}").limits
    return Limits(lambda: rule, lambda: (now or [0])[0])


# --- the buckets ------------------------------------------------------------------------------


def test_without_limits_everything_comes_in():
    assert not any(Limits().check("generic", "main") for _ in range(10_000))
    assert LimitsRule().is_empty


@pytest.mark.parametrize(
    ("said", "source", "route", "most"),
    [
        ("{per_source: 5/m}", "grafana", "main", 5),
        ("{per_source: 5/m, sources: {grafana: 7/m}}", "grafana", "main", 7),
        ("{per_source: 5/m, sources: {grafana: none}}", "grafana", "main", None),
        ("{per_route: 4/m}", "grafana", "main", 4),
        ("{per_route: 4/m, routes: {ci: 2/m}}", "grafana", "ci", 2),
        ("{per_route: 4/m, routes: {ci: 2/m}}", "grafana", "main", 4),
        ("{routes: {ci: 2/m, grafana/ci: 3/m}}", "grafana", "ci", 3),
        ("{routes: {ci: 2/m, grafana/ci: none}}", "grafana", "ci", None),
        ("{routes: {grafana/ci: 3/m}}", "generic", "ci", None),
        ("{per_source: 5/m, per_route: 3/m}", "grafana", "main", 3),
        ("{per_source: 2/m, per_route: 3/m}", "grafana", "main", 2),
        # What PagerDuty tells of our pages, only where it is named.
        ("{per_source: 5/m, per_route: 3/m, routes: {main: 2/m}}", "pagerduty", "main", None),
        ("{sources: {pagerduty: 5/m}}", "pagerduty", "main", 5),
        ("{routes: {pagerduty/main: 2/m}}", "pagerduty", "main", 2),
    ],
)
def test_the_nearest_limit_holds_and_a_delivery_needs_room_in_both(said, source, route, most):
    found = limits(said)
    let_in = sum(found.check(source, route) is None for _ in range(50))

    assert let_in == (50 if most is None else most)


def test_who_is_refused_by_one_takes_nothing_from_the_other():
    found = limits("{per_source: 5/h, routes: {ci: 1/h}}")

    assert [found.check("grafana", "ci") is None for _ in range(10)].count(True) == 1
    assert [found.check("grafana", "main") is None for _ in range(10)].count(True) == 4


def test_what_is_told_is_when_to_come_again():
    now = [0]
    found = limits("{per_route: 1/m}", now)
    found.check("grafana", "main")

    over = found.check("grafana", "main")
    assert over is not None
    assert (over.wait_seconds, over.limit, str(over.rate)) == (60, "route main", "1/m")
    now[0] = 59 * SECOND + 1
    assert found.check("grafana", "main").wait_seconds == 1
    now[0] = 60 * SECOND
    assert found.check("grafana", "main") is None


@given(some.lists(some.tuples(some.sampled_from(["grafana", "generic", "datadog"]), some.sampled_from(["main", "ci"])), max_size=60))
def test_no_budget_is_touched_by_what_others_send(sent):
    together = limits("{per_route: 3/h, sources: {datadog: 4/h}}")
    seen = [(place, together.check(*place) is None) for place in sent]

    for source in ("grafana", "generic", "datadog"):
        alone = limits("{per_route: 3/h, sources: {datadog: 4/h}}")
        assert [let_in for place, let_in in seen if place[0] == source] == [
            alone.check(*place) is None for place in sent if place[0] == source
        ]


def test_a_changed_policy_holds_at_once_and_fills_no_budget_that_it_leaves_alone():
    rules = [read("limits: {routes: {a: 1/h, b: 1/h}}").limits, read("limits: {routes: {a: 1/h, b: 2/h}}").limits, LimitsRule()]
    now = [0]
    found = Limits(lambda: rules[now[0]], lambda: 0)
    for route in ("a", "b"):
        assert found.check("generic", route) is None
        assert found.check("generic", route) is not None

    now[0] = 1
    assert found.check("generic", "a") is not None
    assert [found.check("generic", "b") is None for _ in range(3)] == [True, True, False]
    now[0] = 2
    assert found.check("generic", "a") is None


# --- addresses --------------------------------------------------------------------------------


def test_an_address_that_proves_nothing_is_refused_and_no_other():
    now = [0]
    found = limits("{unverified: 3/m}", now)
    for _ in range(3):
        assert found.stranger("192.0.2.1") is None
        found.unproved("192.0.2.1")

    assert found.stranger("192.0.2.1").wait_seconds == 20
    assert found.stranger("192.0.2.2") is None
    assert found.check("generic", "main") is None
    now[0] = 20 * SECOND
    assert found.stranger("192.0.2.1") is None


def test_addresses_of_version_6_count_by_their_network():
    found = limits("{unverified: 1/h}")
    found.unproved("2001:db8::1")

    assert found.stranger("2001:db8::ffff:2")
    assert not found.stranger("2001:db8:0:1::1")
    assert not found.stranger("fe80::1%eth0")


def test_of_a_great_many_addresses_those_last_seen_are_remembered():
    found = limits("{unverified: 1/h}")
    for number in range(MOST_ADDRESSES + 500):
        found.unproved("first" if number % 100 == 0 else f"a{number}")

    assert found.stranger("first")
    assert not found.stranger("a1")
    assert found.stranger(f"a{MOST_ADDRESSES + 499}")
    assert len(found._strangers) == MOST_ADDRESSES


# --- people -----------------------------------------------------------------------------------


class Door:
    """Keeps what it is given; `is_down` as long as the database is."""

    def __init__(self) -> None:
        self.now, self.is_down = datetime(2026, 8, 1, 10, 0, tzinfo=UTC), False
        self.clock = lambda: self.now
        self.said: dict[str, str] = {}

    def handle(self, trouble: Any, *, once: str) -> None:
        if self.is_down:
            raise DatabaseDown("gone")
        self.said.setdefault(once, trouble.text)


def test_an_episode_is_told_once_and_the_next_again():
    door, found = Door(), limits("{per_source: 1/h}")
    refusals = Refusals(door)  # type: ignore[arg-type]
    found.check("generic", "main")
    over = found.check("generic", "main")
    assert over is not None

    for _ in range(5):
        refusals.noted("generic", over, 503)
    door.is_down = True
    assert refusals.tell() == 0
    door.is_down = False
    for minutes in (0, 3, 9, 9):
        door.now += timedelta(minutes=minutes)
        refusals.noted("generic", over, 503)
        refusals.tell()
    assert list(door.said.values()) == [
        "generic sends more than 1/h: since 10:00 UTC it is told 503, to come again later (6 so far)"
    ]  # fmt: skip

    door.now += QUIET
    assert refusals.tell() == 0
    refusals.noted("generic", over, 503)
    assert refusals.tell() == 1
    assert len(door.said) == 2


# --- over HTTP --------------------------------------------------------------------------------


@contextmanager
def limited(database_url: str, folder: Path, policy: str, *more: str) -> Iterator[Served]:
    """A bot with these limits; `more` are endpoints beside each source's `main`."""
    file = folder / "policy.yaml"
    file.write_text(policy, encoding="utf-8")
    with serving(database_url, policy_file=file) as served:
        secrets = served.story.bot.settings.hook_secrets
        secrets.update({name: secrets["generic/main"] for name in more})
        yield served


def body(source: str, number: int) -> bytes:
    """A delivery unlike any other."""
    if source == "generic":
        return dumped({"title": f"Nightly {number}", "status": "resolved"})
    return source_named(source).examples[0].body_at(datetime(2026, 8, 1, 10, number, tzinfo=UTC))


def test_each_sender_is_told_what_it_understands_and_its_budget_is_its_own(database_url, tmp_path):
    with limited(database_url, tmp_path, POLICY, "generic/spare", "grafana/spare") as served:
        for source, route, let_in, status in (
            ("generic", "main", 2, 503), ("generic", "spare", 1, 503), ("alertmanager", "main", 2, 503),
            ("sentry", "main", 2, 503), ("kibana", "main", 2, 429), ("cloudevents", "main", 2, 429), ("pagerduty", "main", 2, 429),
            ("grafana", "main", 6, 0), ("grafana", "spare", 1, 503),
        ):  # fmt: skip
            # Rubbish, and what another signed: no budget is used up by it.
            for _ in range(5):
                served.post(source, b"{}", {}, route).refused(401)
            answers = [post(served, source, route, number) for number in range(6)]
            assert [one.status for one in answers] == [202] * let_in + [status] * (6 - let_in), (source, route)
            for one in answers[let_in:]:
                assert "come again in" in one.refused(status)
                assert 1100 < int(one.headers["retry-after"]) <= 3600

        # Two of generic's three went in through main, one through spare: the source itself is full as well now.
        figures = served.ask("GET", "/metrics").body.decode()
        assert 'firstfive_deliveries_limited_total{limit="route main",source="generic"} 4.0' in figures
        assert 'firstfive_deliveries_limited_total{limit="route main",source="pagerduty"} 4.0' in figures
        assert 'firstfive_deliveries_total{source="kibana",status="429"} 4.0' in figures
        told = lambda: [one for one in served.alarms() if "generic/main sends more than 2/h" in one]  # noqa: E731
        served.story.eventually(told, "the operations channel hears of it")
        served.story.bot.refusals.tell()
        served.is_read()
        assert len(told()) == 1
        # Nothing that was accepted is lost, and nothing that was refused is there.
        kept = served.story.bot.store.deliveries(("new", "done", "parked"), 500)
        assert sum(one.source == "generic" for one in kept) == 3
        assert sum(one.source == "kibana" for one in kept) == 2


def post(served: Served, source: str, route: str, number: int) -> Any:
    sent = body(source, number)
    if source in ("generic", "pagerduty"):
        return served.post(source, sent, served.signature(source, sent) | {"Idempotency-Key": f"{route}-{number}"}, route)
    example = source_named(source).examples[0]
    headers = example.sent_by(source_named(source), SECRET, datetime.now(UTC), sent)
    return served.post(source, sent, headers, route)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_flood_without_proof_is_refused_unread_by_its_address_and_the_signed_sender_comes_in(database_url, tmp_path):
    with limited(database_url, tmp_path, "limits: {unverified: 5/h, sources: {generic: 3/h}}") as served:
        flood = [served.ask("POST", "/hooks/generic/main", b"{}", {"X-Forwarded-For": "203.0.113.7"}) for _ in range(9)]
        assert [one.status for one in flood] == [401] * 5 + [503] * 4
        guesses = [served.ask("POST", "/hooks/guess/main", b"{}", {"X-Forwarded-For": "203.0.113.8"}) for _ in range(9)]
        assert [one.status for one in guesses] == [404] * 5 + [429] * 4

        for number in range(3):
            served.post("generic", body("generic", number)).taken()
        served.post("generic", body("generic", 4)).refused(503)


def test_who_asks_first_is_told_how_much_may_come(tmp_path):
    with limited(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, "limits: {routes: {cloudevents/main: 2/s}}") as served:
        asks = {"WebHook-Request-Origin": "events.example.com"}
        assert served.ask("OPTIONS", "/hooks/cloudevents/main", headers=asks).headers["webhook-allowed-rate"] == "120"
