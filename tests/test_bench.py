"""What the benchmarks make of the times they take. How fast the bot is stands in docs/performance.md, not here."""

import json
import math

import pytest

from bot.alerts.registry import source_named
from bot.alerts.source import Delivery
from tests.bench.__main__ import as_json, line
from tests.bench.figures import Figure, Repeats, alert_body, is_answered
from tests.bench.load import NONE, Times, paced, ratio, run, together
from tests.builders import NOON
from tests.ports import free_port

HUNDRED = Times(tuple(number / 1000 for number in range(100, 0, -1)), elapsed=2.0)
FLOOR = Times((0.010,), elapsed=1.0)


@pytest.mark.parametrize(("share", "found"), [(0.5, 0.050), (0.95, 0.095), (0.99, 0.099), (1.0, 0.100), (0.0, 0.001)])
def test_a_percentile_is_a_time_that_was_measured(share, found):
    assert HUNDRED.percentile(share) == found


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_of_one_time_every_percentile_is_that_time(share):
    assert Times((0.25,)).percentile(share) == 0.25


def test_the_slowest_of_few_is_the_99th_percentile():
    assert Times((0.1, 0.2, 0.9)).percentile(0.99) == 0.9


def test_nothing_measured_is_no_number_rather_than_zero():
    assert math.isnan(NONE.percentile(0.5))
    assert math.isnan(NONE.per_second)
    assert math.isnan(ratio(1.0, 0.0))


def test_rounds_are_taken_together():
    both = together([Times((0.1, 0.2), 1, 3.0), Times((0.3,), 2, 1.0)])

    assert both == Times((0.1, 0.2, 0.3), 3, 4.0)
    assert both.per_second == 0.75


def test_a_ratio_of_waits_compares_the_medians_and_one_of_rates_the_rates():
    assert Figure("waits", HUNDRED, FLOOR).ratio == 5.0
    assert Figure("rates", HUNDRED, FLOOR, is_rate=True).ratio == 50.0


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (Figure("fast", HUNDRED, FLOOR, 0.95, 0.096), True),
        (Figure("just not", HUNDRED, FLOOR, 0.95, 0.095), False),
        (Figure("one was refused", Times((0.001,), refused=1), FLOOR, 0.95, 0.1), False),
        (Figure("not all were kept", HUNDRED, FLOOR, 0.95, 0.2, doubt="2 answered for, 1 in the inbox"), False),
        (Figure("nothing was measured", NONE, FLOOR, 0.95, 0.1), False),
        (Figure("no target", HUNDRED, FLOOR), None),
    ],
    ids=lambda one: one.name if isinstance(one, Figure) else "",
)
def test_a_target_is_met_only_by_answers_that_came_and_can_be_believed(figure, is_met):
    assert figure.is_met is is_met


def test_the_table_says_when_a_target_was_missed_and_why():
    said = line(Figure("webhook", HUNDRED, FLOOR, 0.95, 0.050, doubt="1 is lost"))

    assert "p95 < 50: MISSED" in said
    assert "1 is lost" in said


def test_what_was_not_measured_stays_away_from_the_numbers_for_machines():
    told = as_json("sqlite", Figure("webhook", NONE, FLOOR, 0.95, 0.050))

    assert told["measured"] == {}
    assert told["met"] is False
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_each_repeat_is_four_kilobytes_and_a_delivery_of_its_own():
    source, repeats = source_named("alertmanager"), Repeats()
    bodies = [repeats(0)[2] for _ in range(3)]
    deliveries = [Delivery(body=body, headers={}, route="main", received_at=NOON) for body in bodies]

    assert all(4000 < len(body) < 4200 for body in bodies)
    assert len({source.delivery_id(one) for one in deliveries}) == 3
    assert len({alert.fingerprint("main") for one in deliveries for alert in source.parse(one, {}).alerts}) == 1


def test_each_service_is_an_alert_of_its_own():
    bodies = [alert_body("BenchPage", service) for service in ("a", "b")]
    deliveries = [Delivery(body=body, headers={}, route="main", received_at=NOON) for body in bodies]
    alerts = [alert for one in deliveries for alert in source_named("alertmanager").parse(one, {}).alerts]

    assert [alert.service for alert in alerts] == ["a", "b"]
    assert len({alert.fingerprint("main") for alert in alerts}) == 2


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [(200, b"{}", True), (200, b'{"text": "Not saved."}', False), (200, b'{"text": "There is no INC-9."}', False), (500, b"", False)],
)
def test_an_apology_is_no_answer(status, body, expected):
    assert is_answered(status, body) is expected


def test_where_nobody_listens_every_request_counts_as_not_answered():
    port = free_port()

    times = run(paced(port, lambda number: ("/", {}, b""), 1000, 5))

    assert (times.refused, len(times.seconds)) == (5, 5)
