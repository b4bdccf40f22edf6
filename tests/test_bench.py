"""What the benchmarks make of the times they take. How fast the bot is stands in docs/performance.md, not here."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from bot.alerts.registry import source_named
from bot.alerts.source import Delivery
from bot.incidents.incident import Status
from sandbox.app import Sandbox
from sandbox.world import World
from tests.bench import flood, processes, wrk
from tests.bench.__main__ import amount_line, as_json, busy, line
from tests.bench.cost import (
    JOINED,
    LIVES,
    REPEATS,
    Costs,
    Load,
    Looked,
    Spent,
    alert,
    between,
    cleared,
    kept_bytes,
    less_idle,
    slack_allows,
    told,
    unexpected,
)
from tests.bench.door import SHAPES, Bodies, group
from tests.bench.figures import STORM_ALERTS, STORM_SERVICES, Amount, Figure, Repeats, Storm, alert_body, is_answered, pages_taken
from tests.bench.filling import fill, fill_handled, fill_paged
from tests.bench.load import NONE, Times, paced, ratio, run, together
from tests.bench.memory import Held, grown, soak
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


# --- what one costs ---------------------------------------------------------------------------

NOTHING = Spent({"serve": 0.0}, {}, 0.0, 0.0, {})
REPEAT = Spent({"serve": 0.002, "PostgreSQL": 0.001}, {"inbox": 1}, 2_000.0, 0.0, {})
LIFE = Spent({"serve": 0.36}, {}, 50_000.0, 10_000.0, {"slack chat.update": 10.0, "slack conversations.create": 1.0})


def test_what_doing_nothing_takes_is_taken_off_and_never_leaves_less_than_nothing():
    assert less_idle({"web": 1.0, "worker": 0.1}, 10.0, {"web": 0.02, "worker": 0.05}) == {"web": 0.8, "worker": 0.0}


def test_only_what_changed_between_two_looks_was_caused():
    before = Looked({"inbox": 3, "alerts": 1}, 8192, {}, {"slack chat.update": 2})
    after = Looked({"inbox": 13, "alerts": 1}, 12288, {}, {"slack chat.update": 2, "slack pins.add": 1})

    spent = between(before, after, {"serve": 0.5}, 1_000.0)

    assert (spent.rows, spent.calls, spent.size, spent.kept) == ({"inbox": 10}, {"slack pins.add": 1}, 4096, 1_000)
    assert spent.of(10) == Spent({"serve": 0.05}, {"inbox": 1}, 409.6, 100, {"slack pins.add": 0.1})


def test_what_is_kept_for_ever_is_never_more_than_there_is():
    same = Looked({}, 8192, {}, {})

    assert between(same, same, {}, 300.0).size == 300


def test_a_load_needs_what_its_alerts_and_incidents_need_together():
    costs = Costs(0.02, REPEAT, NOTHING, LIFE)
    load = Load("some", incidents=10, joins=0, repeats=24 * 1_200)

    assert costs.cores(load) == pytest.approx(0.02 + 1_200 * 0.003 / 3600 + 10 * 0.36 / 3600)
    assert costs.kept_a_month(load) == pytest.approx(10 * 720 * 10_000)
    assert costs.swept_after_a_month(load) == pytest.approx(1_200 * 720 * 2_000 + 10 * 720 * 40_000)


def test_each_alert_that_joins_is_counted_once_for_each_incident():
    load = Load("some", incidents=3, joins=4, repeats=0)

    assert Costs(0.0, NOTHING, LIFE, NOTHING).kept_a_month(load) == 12 * 720 * 10_000


def test_the_first_limit_is_that_of_the_method_whose_calls_are_used_up_first():
    assert slack_allows(LIFE.calls) == (pytest.approx(50 * 0.95 * 60 / 10), "chat.update")
    assert slack_allows({"slack conversations.create": 1.0}) == (pytest.approx(20 * 0.95 * 60), "conversations.create")
    assert slack_allows({"pagerduty enqueue": 3.0}) == (math.inf, "")
    assert slack_allows(LIFE.calls, frozenset({"chat.update"})) == (pytest.approx(20 * 0.95 * 60), "conversations.create")


def test_an_incident_asks_for_its_own_calls_and_those_of_each_alert_that_joins():
    join = replace(NOTHING, calls={"slack chat.update": 0.5, "slack chat.postMessage": 1.0})

    assert Costs(0.0, NOTHING, join, LIFE).calls(4) == {
        "slack chat.update": 12.0, "slack chat.postMessage": 4.0, "slack conversations.create": 1.0,
    }  # fmt: skip


def test_figures_are_in_doubt_where_the_record_does_not_hold_what_was_sent():
    repeat = replace(REPEAT, rows={"inbox": REPEATS})
    join = replace(REPEAT, rows={"alerts": JOINED})
    life = replace(LIFE, rows={"incidents": LIVES, "drafts": LIVES}, calls={"slack conversations.create": LIVES})

    assert unexpected(repeat, join, life) == ""
    assert "each repeat was taken" in unexpected(replace(repeat, rows={"inbox": REPEATS - 1}), join, life)
    assert "a draft" in unexpected(repeat, join, replace(life, rows={"incidents": LIVES}))
    assert all(one.doubt for one in told(Costs(0.02, repeat, join, life), {"serve": 0.02}, "lost") if "processor" in one.name)


def test_processor_is_that_of_the_process_and_of_those_it_waited_for():
    work = "sum(range(20_000_000))"
    before, pid = processes.processor(os.getpid()), os.getpid()
    if math.isnan(before):
        pytest.skip("this machine does not tell")

    subprocess.run([sys.executable, "-c", work], check=True)

    assert processes.processor(pid) - before >= 0.1
    assert processes.parent(pid) == os.getppid()


def test_an_alert_that_cleared_is_the_one_that_fired():
    source, fired = source_named("alertmanager"), alert("Life", "cost-1")
    [first], [last] = (
        source.parse(Delivery(body=one, headers={}, route="main", received_at=NOON), {}).alerts for one in (fired, cleared(fired))
    )

    assert first.fingerprint("main") == last.fingerprint("main")
    assert (first.started_at, first.status.value, last.status.value) == (last.started_at, "firing", "resolved")


def test_what_is_kept_is_measured_by_what_came_since(store, tmp_path):
    fill(store.engine, entries_wanted=200, open_wanted=3, until=NOON)
    nothing = {"incidents": 10**9, "entries": 10**9, "alerts": 10**9, "drafts": 10**9}
    everything = dict.fromkeys(nothing, 0)

    empty = kept_bytes(store, nothing, f"sqlite:///{tmp_path / 'empty.db'}")
    all_of_it = kept_bytes(store, everything, f"sqlite:///{tmp_path / 'all.db'}")

    assert empty == 0
    assert all_of_it > 200 * 100


# --- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", SHAPES[:2])
def test_a_group_has_as_many_alerts_of_its_size_and_each_delivery_is_its_own(count):
    source, bodies = source_named("alertmanager"), Bodies(group(count, 1000))
    sent = [Delivery(body=bodies(0)[2], headers={}, route="main", received_at=NOON) for _ in range(2)]

    assert len({source.delivery_id(one) for one in sent}) == 2
    assert len({alert.fingerprint("main") for alert in source.parse(sent[0], {}).alerts}) == count
    assert 700 * count < len(sent[0].body) < 1_300 * count + 1_000


def test_a_storm_is_of_many_alerts_of_few_services_none_of_them_critical():
    source, storm = source_named("alertmanager"), Storm()
    sent = [Delivery(body=storm(number)[2], headers={}, route="main", received_at=NOON) for number in range(2 * STORM_ALERTS)]
    alerts = [alert for one in sent for alert in source.parse(one, {}).alerts]

    assert len({source.delivery_id(one) for one in sent}) == 2 * STORM_ALERTS
    assert len({alert.fingerprint("main") for alert in alerts}) == STORM_ALERTS
    assert len({alert.service for alert in alerts}) == STORM_SERVICES
    assert {alert.severity.value for alert in alerts} == {"medium"}


# --- wrk ---------------------------------------------------------------------------------------


def test_what_wrk_guesses_between_its_answers_is_taken_out_again():
    measured = {100: 5, 1000: 2, 2000: 1, 3500: 1}
    guessed = Counter(measured)
    # 3500 µs where 1000 were expected: 2500 and 1500 beside it. 2000: 1000 is not longer than expected.
    guessed.update({2500: 1, 1500: 1})

    assert {one: times for one, times in wrk.without_guesses(guessed, 1000).items() if times} == measured


def test_what_wrk_says_is_read_as_times_answers_and_what_broke():
    times = wrk.read("Running 1s test\nALL 3 1000000 1\nBROKEN 2\nTOOK 1500 2\nTOOK 9000 1\n", connections=64)

    assert times == Times((0.0015, 0.0015, 0.009), 3, 1.0)


@pytest.mark.parametrize(
    ("said", "why"),
    [("unable to connect to 127.0.0.1:1\n", "unable to connect"), ("ALL 3 1000000 0\nBROKEN 0\nTOOK 1500 2\n", "2 times of 3")],
)
def test_where_wrk_did_not_measure_its_words_are_passed_on(said, why):
    with pytest.raises(SystemExit, match=why):
        wrk.read(said, connections=64)


@pytest.mark.skipif(not wrk.wrk(), reason="wrk is not installed")
def test_wrk_asks_and_each_answer_is_timed(tmp_path):
    bodies = Bodies(group(1, 500))
    with processes.floor(tmp_path) as port:
        times = wrk.flat_out([port], bodies.posts(), 10, 4, 1.0)

    assert times.seconds
    assert not times.refused


def test_what_wrk_sends_is_what_the_other_client_sends():
    bodies = Bodies(group(1, 500))
    path, headers, body = bodies(0)
    posts = bodies.posts()

    assert (posts.path, posts.headers) == (path, headers)
    assert body.startswith(posts.before)
    assert body.endswith(posts.after)
    assert body.removeprefix(posts.before).removesuffix(posts.after).isdigit()


# --- the report -------------------------------------------------------------------------------

MACHINE = {
    "at": "2026-06-10", "cores": 2, "processor": "a", "python": "3.11", "sync_ms": 0.2, "load_before": 0.1, "load_after": 1.0,
    "sender": "wrk", "pace_s": [0.45, 0.5, 0.9],
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


def test_a_promise_of_a_share_of_the_floor_and_of_the_median_is_kept_only_with_both():
    def figure(least: float, half: float) -> Figure:
        return Figure(
            "f", Times((0.010,) * 10, 0, 1.0), Times((0.010,) * 20, 0, 1.0), 0.99, 0.030, is_rate=True, least=least, half=half
        )

    assert figure(0.4, 0.0).is_met
    assert not figure(0.6, 0.0).is_met
    assert figure(0.4, 0.011).is_met
    assert not figure(0.4, 0.009).is_met
    assert figure(0.4, 0.015).promise == "ratio ≥ 0.40, p50 < 15, p99 < 30 ms"


def test_growth_is_promised_from_what_was_held_after_a_tenth_and_told_from_a_quarter_too():
    after = {0.1: Held(100.0, 20), 0.25: Held(104.0, 21)}

    tenth, quarter, threads, later = grown(after, Held(106.0, 21), 1000)

    assert (tenth.value, tenth.most, tenth.is_met) == (pytest.approx(6), 5, False)
    assert (quarter.value, quarter.most) == (pytest.approx(1.923, abs=0.001), None)
    assert (threads.value, threads.most, threads.is_met) == (1, 0, False)
    assert (later.value, later.most) == (0, None)
    assert tenth.unit == "% more than after a tenth"
    assert quarter.unit == "% more than after a quarter"


def test_a_small_soak_looks_after_a_tenth_and_after_a_quarter(tmp_path):
    found = {one.name: one for one in soak(f"sqlite:///{tmp_path / 'soak.db'}", tmp_path, alerts=2000, distinct=100)}

    assert found["memory then"].value > 20
    assert [one.unit for one in found.values()][:2] == ["% more than after a tenth", "% more than after a quarter"]
    assert all(-50 < one.value < 100 for one in [*found.values()][:2])


def test_a_page_is_taken_when_its_answer_has_gone_out_whatever_else_is_in_the_ledger():
    sandbox = Sandbox.around(World(is_strict=False))
    page = {"event_action": "trigger", "payload": {"summary": "It burns on web"}}
    sandbox.account.ledger += [
        {"put": "Q0SBX0001", "escalation_level": 2},
        {**page, "payload": {"summary": "It burns on search"}},
        {**page, "answered": 12.5},
        {**page, "answered": 13.5},
    ]

    assert pages_taken(sandbox, 0, {"web", "search"}, patience=0.1) == {"web": 12.5}


def test_a_small_flood_opens_few_incidents_and_all_of_it_is_found_in_the_record(tmp_path):
    found = list(flood.flood(f"sqlite:///{tmp_path / 'flood.db'}", tmp_path, alerts=200, seconds=5.0))

    assert [one.doubt for one in found if one.doubt] == []
    page, answered, _, opened, paged, held, _, announced, held_after = found
    assert (len(page.times.seconds), page.times.refused) == (1, 0)
    # Another source's page beside it counts among the sixteen of a minute.
    assert answered.value == 200
    assert 15 <= opened.value <= 17
    assert 1 <= paged.value <= 17
    assert announced.value == 30
    assert 20 < held.value <= held_after.value < 300
    assert (held.most, held_after.most) == (300, 300)
