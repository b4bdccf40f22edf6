"""What the benchmarks make of the times they take. How fast the bot is stands in docs/performance.md, not here."""

import json
import math
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from bot.alerts.registry import source_named
from bot.alerts.source import Delivery
from bot.incidents.incident import Status
from tests.bench.__main__ import amount_line, as_json, busy, line
from tests.bench.door import SHAPES, Bodies, group
from tests.bench.figures import Amount, Figure, Repeats, alert_body, is_answered
from tests.bench.filling import fill, fill_handled, fill_paged
from tests.bench.load import NONE, Times, paced, ratio, run, together
from tests.bench.plot import plot
from tests.bench.report import PARTS, document
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


# --- a record that was filled -----------------------------------------------------------------


def test_a_filled_record_is_one_that_the_bot_itself_reads(store):
    filled = fill(store.engine, entries_wanted=2_000, open_wanted=20, until=NOON, long=100)

    worst, count = store.worst_open(50)
    newest = store.incident(filled.newest)
    shown, total = store.timeline_page(newest.ref, 0, 15)
    entries, _ = store.journal()

    assert count == filled.open == len(worst) == 20
    assert len(entries) == filled.entries >= 2_000
    assert {one.incident for one in entries} == {f"INC-{number}" for number in range(1, filled.incidents + 1)}
    assert all(one.at <= NOON for one in entries if one.type == "opened")
    assert store.incident(filled.newest - 1).status in (Status.RESOLVED, Status.INVESTIGATING)
    assert len(shown) == 15
    assert total > 100
    with store.writing() as work:
        assert work.next_number() == filled.newest + 1


def test_incidents_that_wait_have_their_timers_at_their_own_time(store):
    fill_paged(store.engine, [NOON, NOON + timedelta(hours=1)], only="/target")

    [first] = store.due(NOON + timedelta(minutes=5))

    assert (first.incident, first.due_at) == (1, NOON + timedelta(minutes=5))
    assert first.input.incident == 1
    assert store.incident(2).episode.deadline == NOON + timedelta(hours=1, minutes=5)
    assert [one.incident for one in store.due(NOON + timedelta(hours=2))] == [1, 2]


def test_what_reading_leaves_behind_stands_in_nobodys_way(store):
    fill_handled(store.engine, 30, NOON)

    assert store.inbox_depth() == {}
    assert store.sweep(NOON, timedelta(days=1)) > 50


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", SHAPES[:2])
def test_a_group_has_as_many_alerts_of_its_size_and_each_delivery_is_its_own(count):
    source, bodies = source_named("alertmanager"), Bodies(group(count, 1000))
    sent = [Delivery(body=bodies(0)[2], headers={}, route="main", received_at=NOON) for _ in range(2)]

    assert len({source.delivery_id(one) for one in sent}) == 2
    assert len({alert.fingerprint("main") for alert in source.parse(sent[0], {}).alerts}) == count
    assert 700 * count < len(sent[0].body) < 1_300 * count + 1_000


# --- the report -------------------------------------------------------------------------------

MACHINE = {
    "at": "2026-06-10", "cores": 2, "processor": "a", "python": "3.11", "sync_ms": 0.2, "load_before": 0.1, "load_after": 1.0,
}  # fmt: skip


def reported(*figures: dict, missing: tuple = ()) -> str:
    return document({"machine": MACHINE, "figures": list(figures), "missing": list(missing), "growth": {}})


def test_the_report_names_what_was_measured_and_whether_it_kept_its_promise():
    slow = {"part": "intake", **as_json("sqlite", Figure("webhook", HUNDRED, FLOOR, 0.95, 0.050))}
    small = {"part": "memory", **as_json("sqlite", Amount("idle", 120.0, "MB", 150))}

    said = reported(slow, small)

    assert (
        "| webhook (sqlite) | p50 50.0, p95 95.0, p99 99.0 ms | p50 10.0, p95 10.0, p99 10.0 ms | 5.00 | p95 < 50 ms | **missed** |"
        in said
    )
    assert "| idle (sqlite) | 120.00 MB | – | – | ≤ 150 MB | met |" in said


def test_what_was_not_measured_is_missing_in_the_report_and_never_zero():
    said = reported(missing=({"part": "door", "why": "Alertmanager beside it (none here)."},))

    assert said.count("Missing: ") == len(PARTS)
    assert "Missing: Alertmanager beside it (none here)." in said
    assert "| 0" not in said


def test_an_amount_is_met_at_its_limit_and_missed_in_doubt_or_beyond():
    assert Amount("a", 3.0, "s", 3.0).is_met
    assert not Amount("a", 3.1, "s", 3.0).is_met
    assert not Amount("a", 1.0, "s", 3.0, doubt="12 were lost").is_met
    assert Amount("a", 1.0, "s").is_met is None
    assert "MISSED" in amount_line(Amount("a", 3.1, "s", 3.0))


def test_a_rate_says_when_it_is_the_rate_of_who_measures():
    idle, full = (Figure("a", Times((0.1,), elapsed=2.0, busy=share), FLOOR, is_rate=True) for share in (1.0, 1.9))

    assert busy(idle) == ""
    assert "95%" in busy(full)
    assert busy(full) in line(full)


def test_the_plot_is_a_picture_with_each_line_named():
    drawn = plot("Costs", "alerts", "ms", {"an <alert>": [(1e3, 1.0), (1e6, 2.0)], "a command": [(1e3, 0.5), (1e6, 0.5)]})

    root = ElementTree.fromstring(drawn)
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"an <alert>", "a command", "1,000", "1,000,000"} <= set(texts)
