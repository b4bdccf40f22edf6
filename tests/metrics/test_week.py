"""The numbers of a week: each definition at its edges, and a whole week worked out by hand."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import journal as journals
from bot.journal import Journal
from bot.metrics import week_metrics
from tests.builders import ANA, BEN, CHLOE
from tests.metrics.timelines import (
    LATER,
    NOON,
    WEEK,
    ack,
    after,
    cleared,
    entry,
    journal,
    lived,
    numbers,
    opened,
    page,
    paged,
    resolved,
    row,
)

PAGE = Path(__file__).parents[3] / "shared" / "facts" / "journal-format.md"
HOUR = timedelta(hours=1)


# --- a week by hand ---------------------------------------------------------------------------

# The week in which Berlin's clocks go forward: 23 to 29 March 2026, 167 hours, 601,200 seconds.
# Ana lives in Berlin (UTC+1, from Sunday UTC+2), Ben in New York (UTC-4), Carl's zone is not known: the team's.
BY_HAND = """
{"tz": "Europe/Berlin", "people": {"ana": "Europe/Berlin", "ben": "America/New_York"},
 "events": [
  {"at": "2026-03-23T08:58:00Z", "type": "alert_started", "incident": "INC-1", "alert": "WebErrors", "fingerprint": "web"},
  {"at": "2026-03-23T09:00:00Z", "type": "opened", "incident": "INC-1", "by": "bot", "severity": "SEV2", "service": "web", "title": "a"},
  {"at": "2026-03-23T09:00:02Z", "type": "page", "incident": "INC-1", "to": "ana", "level": 1, "channel": "push"},
  {"at": "2026-03-23T09:01:00Z", "type": "page", "incident": "INC-1", "to": "ana", "level": 1, "channel": "phone"},
  {"at": "2026-03-23T09:04:59Z", "type": "ack", "incident": "INC-1", "by": "ana"},
  {"at": "2026-03-23T09:06:00Z", "type": "note", "incident": "INC-1", "by": "ana", "text": "the cache is cold"},
  {"at": "2026-03-23T09:13:00Z", "type": "mitigated", "incident": "INC-1", "by": "ana"},
  {"at": "2026-03-23T09:20:00Z", "type": "resolved", "incident": "INC-1", "by": "ana"},

  {"at": "2026-03-24T20:30:00Z", "type": "alert_started", "incident": "INC-2", "alert": "ApiDown", "fingerprint": "api"},
  {"at": "2026-03-24T20:30:00Z", "type": "opened", "incident": "INC-2", "by": "bot", "severity": "SEV3", "service": "api", "title": "b"},
  {"at": "2026-03-24T20:30:05Z", "type": "page", "incident": "INC-2", "to": "ana", "level": 1, "channel": "push"},
  {"at": "2026-03-24T20:34:00Z", "type": "alert_started", "incident": "INC-2", "alert": "ApiDown", "fingerprint": "api"},
  {"at": "2026-03-24T20:35:00Z", "type": "escalated", "incident": "INC-2", "from_level": 1, "to_level": 2, "reason": "timeout"},
  {"at": "2026-03-24T20:35:00Z", "type": "page", "incident": "INC-2", "to": "ben", "level": 2, "channel": "phone"},
  {"at": "2026-03-24T20:35:00Z", "type": "ack", "incident": "INC-2", "by": "ben"},
  {"at": "2026-03-24T20:36:00Z", "type": "severity_changed", "incident": "INC-2", "from": "SEV3", "to": "SEV1", "by": "ben"},
  {"at": "2026-03-24T20:38:00Z", "type": "status_update", "incident": "INC-2", "by": "ben", "audience": "internal", "text": "rolling back"},
  {"at": "2026-03-24T20:40:00Z", "type": "severity_changed", "incident": "INC-2", "from": "SEV1", "to": "SEV3", "by": "ben"},
  {"at": "2026-03-24T20:41:00Z", "type": "alert_started", "incident": "INC-2", "alert": "ApiDown", "fingerprint": "api"},
  {"at": "2026-03-24T20:49:00Z", "type": "resolved", "incident": "INC-2", "by": "bot", "auto": true, "effective_at": "2026-03-24T20:44:00Z"},
  {"at": "2026-03-25T09:00:00Z", "type": "deploy_caused", "incident": "INC-2", "deploy": "D-4", "by": "ben"},

  {"at": "2026-03-24T20:42:00Z", "type": "opened", "incident": "INC-3", "by": "carl", "severity": "SEV1", "service": "api", "title": "c"},
  {"at": "2026-03-24T20:43:00Z", "type": "role", "incident": "INC-3", "role": "commander", "user": "carl", "by": "carl"},
  {"at": "2026-03-24T20:47:00Z", "type": "impact_started_set", "incident": "INC-3", "value": "2026-03-24T20:40:00Z", "source": "log", "by": "carl"},
  {"at": "2026-03-24T21:10:00Z", "type": "mitigated", "incident": "INC-3", "by": "carl", "impact_ended_at": "2026-03-24T20:56:00Z"},
  {"at": "2026-03-24T21:15:00Z", "type": "resolved", "incident": "INC-3", "by": "carl"},

  {"at": "2026-03-23T08:59:00Z", "type": "alert_started", "incident": "INC-4", "alert": "WebErrors", "fingerprint": "web2"},
  {"at": "2026-03-23T09:02:00Z", "type": "opened", "incident": "INC-4", "by": "bot", "severity": "SEV2", "service": "web", "title": "d"},
  {"at": "2026-03-23T09:02:01Z", "type": "page", "incident": "INC-4", "to": "ben", "level": 1, "channel": "email"},
  {"at": "2026-03-23T09:05:00Z", "type": "merged", "incident": "INC-4", "into": "INC-1", "by": "ana"},

  {"at": "2026-03-25T02:00:00Z", "type": "alert_started", "incident": "INC-5", "alert": "DiskFull", "fingerprint": "disk"},
  {"at": "2026-03-25T02:00:00Z", "type": "opened", "incident": "INC-5", "by": "bot", "severity": "SEV3", "service": "db", "title": "e"},
  {"at": "2026-03-25T02:00:03Z", "type": "page", "incident": "INC-5", "to": "ana", "level": 1, "channel": "sms"},
  {"at": "2026-03-25T02:09:00Z", "type": "resolved", "incident": "INC-5", "by": "bot", "auto": true, "effective_at": "2026-03-25T02:04:00Z"},

  {"at": "2026-03-26T10:00:00Z", "type": "alert_started", "incident": "INC-6", "alert": "Rehearsal", "fingerprint": "drill"},
  {"at": "2026-03-26T10:00:00Z", "type": "opened", "incident": "INC-6", "by": "carl", "severity": "SEV1", "service": "api", "title": "f", "drill": true},
  {"at": "2026-03-26T10:00:01Z", "type": "page", "incident": "INC-6", "to": "ana", "level": 1, "channel": "push"},
  {"at": "2026-03-26T10:30:00Z", "type": "resolved", "incident": "INC-6", "by": "carl"},

  {"at": "2026-03-27T12:00:00Z", "type": "opened", "incident": "INC-7", "by": "bot", "severity": "SEV2", "service": "web", "title": "g"},
  {"at": "2026-03-27T12:00:01Z", "type": "page", "incident": "INC-7", "to": "ben", "level": 1, "channel": "push"},
  {"at": "2026-03-27T12:01:40Z", "type": "ack", "incident": "INC-7", "by": "ben"},
  {"at": "2026-03-27T12:10:00Z", "type": "mitigated", "incident": "INC-7", "by": "ben"},
  {"at": "2026-03-27T12:15:00Z", "type": "resolved", "incident": "INC-7", "by": "ben"},
  {"at": "2026-03-27T13:00:00Z", "type": "reopened", "incident": "INC-7", "by": "ben"},
  {"at": "2026-03-27T13:00:01Z", "type": "page", "incident": "INC-7", "to": "ana", "level": 1, "channel": "push"},
  {"at": "2026-03-27T13:06:40Z", "type": "resolved", "incident": "INC-7", "by": "bot", "auto": true},

  {"at": "2026-03-29T21:50:00Z", "type": "opened", "incident": "INC-8", "by": "bot", "severity": "SEV2", "service": "db", "title": "h"},
  {"at": "2026-03-29T21:50:01Z", "type": "page", "incident": "INC-8", "to": "ana", "level": 1, "channel": "push"},
  {"at": "2026-03-29T21:52:00Z", "type": "ack", "incident": "INC-8", "by": "ana"},
  {"at": "2026-03-29T22:10:00Z", "type": "resolved", "incident": "INC-8", "by": "ana"},

  {"at": "2026-03-28T10:00:00Z", "type": "opened", "incident": "INC-9", "by": "bot", "severity": "SEV1", "service": "web", "title": "i"},
  {"at": "2026-03-28T10:00:01Z", "type": "page", "incident": "INC-9", "to": "carl", "level": 1, "channel": "push"},
  {"at": "2026-03-28T10:02:30Z", "type": "cancelled", "incident": "INC-9", "by": "carl", "reason": "false_positive"},
  {"at": "2026-03-28T10:05:00Z", "type": "page_feedback", "incident": "INC-9", "actionable": false, "by": "carl"}],
 "deployments": [
  {"id": "D-1", "env": "production", "state": "in_progress", "at": "2026-03-23T10:59:00Z", "service": "web"},
  {"id": "D-1", "env": "production", "state": "success", "at": "2026-03-23T11:00:00Z", "service": "web"},
  {"id": "D-1", "env": "production", "state": "success", "at": "2026-03-23T11:05:00Z", "service": "web"},
  {"id": "D-2", "env": "staging", "state": "success", "at": "2026-03-24T11:00:00Z", "service": "web"},
  {"id": "D-3", "env": "production", "state": "failure", "at": "2026-03-24T12:00:00Z", "service": "web"},
  {"id": "D-4", "env": "production", "state": "success", "at": "2026-03-24T20:20:00Z", "service": "api"},
  {"id": "D-5", "env": "production", "state": "success", "at": "2026-03-24T20:39:00Z", "service": "api", "rollback_of": "D-4"},
  {"id": "D-6", "env": "production", "state": "success", "at": "2026-03-29T22:00:00Z", "service": "api"}],
 "changes": [
  {"sha": "c1", "committed_at": "2026-03-23T10:00:00Z", "deploy": "D-1"},
  {"sha": "c2", "committed_at": "2026-03-24T19:50:00Z", "deploy": "D-4"},
  {"sha": "c3", "committed_at": "2026-03-24T19:00:00Z", "deploy": "D-4", "merge": true},
  {"sha": "c4", "committed_at": "2026-03-24T20:30:00Z", "deploy": "D-4"},
  {"sha": "c1", "committed_at": "2026-03-23T10:00:00Z", "deploy": "D-4"}],
 "vulnerabilities": [
  {"id": "V-1", "sev": "critical", "spans": [["2026-03-23T10:00:00Z", "2026-03-24T09:59:59Z"]]},
  {"id": "V-2", "sev": "critical", "spans": [["2026-03-24T10:00:00Z", null]]},
  {"id": "V-3", "sev": "high", "spans": [["2026-03-24T10:00:00Z", null]]},
  {"id": "V-4", "sev": "critical", "spans": [["2026-03-24T10:00:00Z", "2026-03-24T11:00:00Z"]], "closed_as": "dismissed"},
  {"id": "V-5", "sev": "critical", "spans": [["2026-02-02T10:00:00Z", "2026-02-02T11:00:00Z"], ["2026-03-25T10:00:00Z", "2026-03-26T10:00:00Z"]]}],
 "repos": {"in_scope": 10, "archived": 2, "scanned_ok": 6},
 "requests": {"total": 200000, "5xx": 150},
 "p95_ms": 212.5}
"""  # noqa: E501


@pytest.fixture(scope="module")
def by_hand():
    known = journals.read(BY_HAND)
    return week_metrics(known, "2026-W13", datetime(2026, 4, 1, tzinfo=UTC)).as_json()


def test_the_week_by_hand_begins_and_ends_by_berlins_clocks(by_hand):
    assert {name: by_hand[name] for name in ("week", "tz", "starts_at", "ends_at", "length_seconds")} == {
        "week": "2026-W13",
        "tz": "Europe/Berlin",
        "starts_at": "2026-03-22T23:00:00Z",
        "ends_at": "2026-03-29T22:00:00Z",
        "length_seconds": 601_200,
    }
    # Not the drill INC-6, not the duplicate INC-4.
    assert by_hand["opened"] == 7
    assert by_hand["opened_by_severity"] == {"SEV1": 3, "SEV2": 3, "SEV3": 1}
    assert by_hand["carried_over"] == ["INC-8"]
    assert by_hand["data_problems"] == []


def test_the_week_by_hand_has_its_acknowledgements(by_hand):
    said = [(one["incident"], one["episode"], one["class"], one["seconds"], one["by"]) for one in by_hand["ack_episodes"]]

    assert sorted(said, key=lambda one: one[:2]) == [
        ("INC-1", 1, "met", 299, "ana"),
        ("INC-2", 1, "missed", 300, "ben"),
        ("INC-3", 1, "no_page", None, None),
        ("INC-4", 1, "duplicate", None, None),
        ("INC-5", 1, "self_healed", None, None),
        ("INC-6", 1, "drill", None, None),
        ("INC-7", 1, "met", 100, "ben"),
        ("INC-7", 2, "missed", 400, None),
        ("INC-8", 1, "met", 120, "ana"),
        ("INC-9", 1, "met", 150, "carl"),
    ]
    assert [one["incident"] for one in by_hand["ack_episodes"] if one["is_lower_bound"]] == ["INC-7"]
    found = by_hand["ack"]
    assert (found["met"], found["missed"], found["pending"]) == (4, 2, 0)
    assert found["excluded"] == {"drill": 1, "duplicate": 1, "self_healed": 1, "no_page": 1}
    # Of 100, 120, 150, 299, 300 and at least 400: the two middles are 150 and 299.
    assert found["median_seconds"] == 224.5
    assert found["median_is_lower_bound"] is False
    assert (found["max_seconds"], found["max_is_lower_bound"]) == (400, True)
    assert found["p90_seconds"] is None
    assert found["share"] == 4 / 6
    # (2/3 + z²/12) / (1 + z²/6), less and more z·√(1/27 + z²/144) / (1 + z²/6), with z² = 3.8415.
    assert found["interval"] == pytest.approx([0.29999, 0.90323], abs=1e-5)


def test_the_week_by_hand_has_its_times_to_restore(by_hand):
    # INC-1 from its alert at 08:58 to 09:13. INC-2 was SEV1 for four minutes. INC-3 from 20:40 to 20:56, as Carl says.
    # INC-7 ten minutes, then 6 min 40 s. INC-8 ended in the week after; INC-9 was none.
    assert sorted(map(tuple, (one.values() for one in by_hand["restored"]))) == [
        ("INC-1", 900),
        ("INC-2", 840),
        ("INC-3", 960),
        ("INC-7", 1000),
    ]
    assert by_hand["restore"] == {"count": 4, "median_seconds": 930, "share_met": 0.25}


def test_the_week_by_hand_has_its_uptime(by_hand):
    # 900, then 20:30 to 20:56 once though two incidents hurt in it, then 600 + 400, then 21:50 to the week's end.
    assert by_hand["uptime"]["impact_seconds"] == 900 + 1560 + 1000 + 600
    assert by_hand["uptime"]["ratio"] == 1 - 4060 / 601_200
    assert by_hand["uptime"]["source"] == "incidents"


def test_the_week_by_hand_has_its_load_and_its_noise(by_hand):
    assert by_hand["load"] == {
        "pages": 9,
        "interruptions": 8,
        "by_hours": {"business": 4, "off_hours": 2, "sleep": 2},
        "by_person": {"ana": 5, "ben": 2, "carl": 1},
    }
    assert by_hand["noise"] == {
        "actionable": 3,  # INC-1, INC-2 and the first episode of INC-7
        "not_actionable": 3,  # INC-5, the second of INC-7, and INC-9, as Carl says
        "unknown": 1,  # INC-8
        "self_healed": 1,
        "flapping": ["ApiDown"],
        "noisiest": [
            {"alert": "ApiDown", "pages": 2, "fires": 3},
            {"alert": "WebErrors", "pages": 2, "fires": 2},
            {"alert": "DiskFull", "pages": 1, "fires": 1},
        ],
    }


def test_the_week_by_hand_has_its_deployments_and_the_rest(by_hand):
    assert by_hand["deployments"] == {"count": 2, "per_day": 2 / 7}
    assert by_hand["lead_time"] == {"median_seconds": 2700, "count": 2, "share_met": 0.5}
    found = by_hand["change_failure"]
    assert (found["failed"], found["deployments"], found["ratio"]) == (1, 2, 0.5)
    assert found["interval"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert by_hand["vulnerabilities"] == {
        "met": 1, "due": 3, "overdue": ["V-2"], "dismissed": ["V-4"], "opened": 4, "open": ["V-2"], "unknown": 0, "unrated": 0,
    }  # fmt: skip
    assert by_hand["scan_coverage"]["ratio"] == 0.75
    assert by_hand["error_rate"]["ratio"] == 0.00075
    assert by_hand["p95_ms"] == 212.5


def test_the_week_by_hand_has_its_scorecard(by_hand):
    assert {one["row"]: one["status"] for one in by_hand["scorecard"]} == {
        "acknowledged under 5 min": "missed",
        "time to restore (median)": "too few to tell",
        "uptime": "missed",
        "error rate": "met",
        "p95": "missed",
        "deployments a day": "missed",
        "lead time (median)": "too few to tell",
        "change failure rate": "missed",
        "critical vulnerabilities fixed in 24 h": "missed",
        "scan coverage": "missed",
    }


def test_the_week_after_has_what_ended_in_it():
    made = week_metrics(journals.read(BY_HAND), "2026-W14", datetime(2026, 4, 10, tzinfo=UTC)).as_json()

    assert made["opened"] == 0
    assert made["ack_episodes"] == []
    assert made["restored"] == [{"incident": "INC-8", "seconds": 1200}]
    assert made["uptime"]["impact_seconds"] == 600
    assert made["load"]["pages"] == 0
    assert made["deployments"]["count"] == 1


# --- the example of the format's own page, where that is beside the checkout ---------------------


@pytest.mark.skipif(not PAGE.is_file(), reason="the page that defines the journal is not beside this checkout")
def test_the_example_of_the_journals_page_gives_the_numbers_that_are_printed_there():
    example = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)
    read = week_metrics(journals.read(example), "2026-W16", datetime(2026, 4, 21, tzinfo=UTC))
    made = read.as_json()

    assert (made["week"], made["tz"], made["starts_at"]) == ("2026-W16", "Europe/Lisbon", "2026-04-12T23:00:00Z")
    assert made["length_seconds"] == 604_800
    assert made["opened"] == 1
    assert made["ack"]["met"] == 1
    assert made["ack"]["share"] == 1
    assert [round(100 * one) for one in made["ack"]["interval"]] == [21, 100]
    assert made["ack_episodes"][0] | {"class": "met", "seconds": 200, "by": "ana"} == made["ack_episodes"][0]
    assert made["restored"] == [{"incident": "INC-7", "seconds": 660}]
    assert made["restore"] == {"count": 1, "median_seconds": 660, "share_met": 1}
    assert made["uptime"]["ratio"] == 1 - 660 / 604_800
    assert f"{made['uptime']['ratio'] * 100:.4f}" == "99.8909"
    assert row(read, "uptime")[2] == "missed"
    assert made["load"] == {
        "pages": 1, "interruptions": 1, "by_hours": {"business": 1, "off_hours": 0, "sleep": 0}, "by_person": {"ana": 1},
    }  # fmt: skip
    silent = ("deployments", "lead", "change failure", "critical vuln", "scan coverage", "error rate", "p95")
    assert {row(read, name) for name in silent} == {(None, None, "no source")}
    assert made["carried_over"] == []


# --- acknowledgement --------------------------------------------------------------------------


ASKED = entry("page_requested", NOON, service="checkout", episode=1)


def answered(*told, as_of=LATER, **more):
    """(class, seconds, is_lower_bound, by) of every episode."""
    made = numbers(*told, as_of=as_of, **more)
    return [(one["class"], one["seconds"], one["is_lower_bound"], one["by"]) for one in made.ack_episodes]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "met"), (299, "met"), (299.999, "met"), (300, "missed"), (300.001, "missed"), (301, "missed"), (86_400, "missed")],
)
def test_under_five_minutes_is_strictly_under_three_hundred_seconds(seconds, expected):
    assert answered(paged(), ack(after(seconds=seconds))) == [(expected, seconds, False, ANA)]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([page(after(2), BEN, level=2), ack(after(2.5), BEN)], ("met", 150, False, BEN)),
        ([entry("escalated", after(5), from_level=1, to_level=2, reason="timeout"), page(after(5), BEN), ack(after(6), BEN)],
         ("missed", 360, False, BEN)),
        ([ack(after(1), CHLOE)], ("met", 60, False, CHLOE)),
        ([ack(after(6)), ack(after(2), BEN)], ("met", 120, False, BEN)),
        ([ack(after(1)), entry("unack", after(2), ANA), ack(after(8), BEN)], ("met", 60, False, ANA)),
        ([resolved(after(4))], ("met", 240, False, ANA)),
        ([resolved(after(9))], ("missed", 540, False, ANA)),
        ([entry("role", after(1), BEN, role="commander", user=BEN), ack(after(6))], ("met", 60, False, BEN)),
        ([entry("role", after(1), BEN, role="commander", user=ANA), ack(after(6))], ("missed", 360, False, ANA)),
        ([entry("role", after(1), BEN, role="scribe", user=BEN), ack(after(2))], ("met", 120, False, ANA)),
        ([entry("cancelled", after(2), ANA, reason="false_positive")], ("met", 120, False, ANA)),
        ([ack(after(1), "bot"), cleared(after(10))], ("missed", 600, True, None)),
        ([entry("ack", after(1), None), cleared(after(10))], ("missed", 600, True, None)),
        ([entry("silenced", after(1), ANA, minutes=60), cleared(after(10))], ("missed", 600, True, None)),
        ([entry("snoozed", after(1), ANA), cleared(after(10))], ("missed", 600, True, None)),
        ([entry("note", after(1), ANA, text="looking"), cleared(after(10))], ("missed", 600, True, None)),
        ([entry("status_changed", after(1), ANA, to="investigating"), cleared(after(10))], ("missed", 600, True, None)),
        ([resolved(after(10), ANA, auto=True)], ("missed", 600, True, None)),
        ([cleared(after(10), effective_at="2026-06-10T12:05:00Z")], ("missed", 300, True, None)),
        ([cleared(after(10), effective_at="2026-06-10T12:04:59Z")], ("self_healed", None, False, None)),
        ([cleared(after(4))], ("self_healed", None, False, None)),
        ([ack(after(4.5)), cleared(after(9), effective_at="2026-06-10T12:04:00Z")], ("met", 270, False, ANA)),
        ([entry("severity_changed", after(1), ANA, **{"from": "SEV2", "to": "SEV4"}), ack(after(6))], ("missed", 360, False, ANA)),
    ],
    ids=["a second notification does not restart the clock", "an escalation does not restart the clock",
         "whoever was not paged counts", "the first of two counts", "one that is taken back stands", "a person resolves in time",
         "a person resolves late", "taking command", "being given command", "another role", "a person cancels",
         "the bot's is none", "nobody's is none", "a silence is none", "a snooze is none", "a note is none",
         "a status is none", "an automatic resolve in a person's name", "cleared at exactly five minutes",
         "cleared just before five minutes", "resolved by itself in time", "cleared in time but acknowledged",
         "a milder severity later"],
)  # fmt: skip
def test_what_each_operation_does_to_the_acknowledgement(told, expected):
    assert answered(paged(), told) == [expected]


def test_a_page_that_nobody_answers_is_pending_first_and_missed_from_five_minutes_on():
    assert answered(paged(), as_of=after(seconds=299)) == [("pending", 299, True, None)]
    assert answered(paged(), as_of=after(seconds=300)) == [("missed", 300, True, None)]

    pending = numbers(paged(), as_of=after(seconds=299)).ack
    assert (pending["met"], pending["missed"], pending["pending"], pending["share"]) == (0, 0, 1, None)
    late = numbers(paged(), as_of=after(minutes=90)).ack
    assert (late["missed"], late["share"], late["median_seconds"], late["median_is_lower_bound"]) == (1, 0, 5400, True)


def test_nothing_that_happened_after_the_moment_of_the_report_is_known_in_it():
    told = [*paged(), ack(after(2)), resolved(after(30))]

    assert answered(told, as_of=after(1)) == [("pending", 60, True, None)]
    assert numbers(told, as_of=after(3)).carried_over == ["INC-7"]
    assert numbers(told, as_of=after(-1)).opened == 0


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ([opened(drill=True), page(after(seconds=1)), ack(after(1))], "drill"),
        ([opened(by=ANA), ack(after(1))], "no_page"),
        ([opened(), entry("page_failed", after(1), reason="refused"), resolved(after(9))], "no_page"),
        ([opened(), ASKED, entry("page_failed", after(1), reason="refused"), cleared(after(3))], "self_healed"),
        ([opened(), page(after(seconds=1)), entry("merged", after(9), ANA, into="INC-6")], "duplicate"),
        ([opened(), page(after(seconds=1)), cleared(after(3))], "self_healed"),
    ],
)
def test_what_is_left_out_is_counted_as_left_out(told, name):
    made = numbers(told)

    assert (made.ack["met"], made.ack["missed"], made.ack["pending"]) == (0, 0, 0)
    assert made.ack["excluded"] == {"drill": 0, "duplicate": 0, "self_healed": 0, "no_page": 0} | {name: 1}
    assert made.ack["share"] is None
    assert made.ack["median_seconds"] is None
    assert made.ack["interval"] is None


def test_a_page_that_pagerduty_took_counts_also_where_no_notification_is_recorded():
    assert answered([opened(), entry("page_accepted", after(seconds=1), dedup_key="k"), ack(after(1))]) == [("met", 60, False, ANA)]


@pytest.mark.parametrize(
    ("told", "row"),
    [
        ([], ("missed", 20 * 60, True, None)),
        ([ack(after(2))], ("met", 120, False, ANA)),
        ([ack(after(7))], ("missed", 7 * 60, False, ANA)),
    ],
)
def test_a_page_that_pagerduty_never_took_counts_against_the_clock_and_is_no_load(told, row):
    refused = [opened(), ASKED, entry("page_failed", after(seconds=1), reason="the key is refused"), *told, cleared(after(20))]

    assert answered(refused) == [row]
    assert numbers(refused).load["pages"] == 0


def test_a_page_that_was_asked_for_when_it_got_worse_counts_from_the_opening():
    raised = entry("severity_changed", after(3), "bot", **{"from": "SEV4", "to": "SEV1"})

    assert answered([opened(by=ANA), raised, entry("page_requested", after(3)), ack(after(4))]) == [("met", 240, False, ANA)]


def test_each_episode_is_a_row_of_its_own():
    told = [*paged(), ack(after(1)), resolved(after(10)), entry("reopened", after(60), BEN), page(after(60), BEN)]

    assert answered(told, cleared(after(70))) == [("met", 60, False, ANA), ("missed", 600, True, None)]
    assert answered(told, ack(after(61), BEN)) == [("met", 60, False, ANA), ("met", 60, False, BEN)]
    assert numbers(told).opened == 1


def test_an_episode_that_pages_nobody_is_left_out_though_the_first_was_paged():
    told = [*paged(), ack(after(1)), resolved(after(10)), entry("reopened", after(60), BEN), resolved(after(70))]

    assert [one[0] for one in answered(told)] == ["met", "no_page"]


def test_an_episode_belongs_to_the_week_in_which_it_was_opened():
    sunday = datetime(2026, 6, 14, 23, 58, tzinfo=UTC)
    told = [*paged(sunday), resolved(sunday + timedelta(minutes=1)), entry("reopened", sunday + timedelta(minutes=2), ANA),
            page(sunday + timedelta(minutes=3)), ack(sunday + timedelta(minutes=4))]  # fmt: skip

    assert [one["episode"] for one in numbers(told).ack_episodes] == [1]
    assert [one["episode"] for one in numbers(told, week="2026-W25").ack_episodes] == [2]


def test_a_duplicate_gives_its_beginning_and_its_first_acknowledgement_to_its_parent():
    child = [*paged(after(-2), "INC-6"), ack(after(1), BEN, "INC-6"), entry("merged", after(3), BEN, "INC-6", into="INC-7")]
    made = numbers(paged(), ack(after(4)), resolved(after(20)), child)

    said = {one["incident"]: (one["class"], one["seconds"], one["by"]) for one in made.ack_episodes}
    assert said == {"INC-7": ("met", 180, BEN), "INC-6": ("duplicate", None, None)}
    assert made.opened == 1
    assert made.load["pages"] == 2


def test_a_duplicate_gives_its_alerts_and_its_page_to_its_parent():
    fired = entry("alert_started", after(-4), "bot", "INC-6", alert="ApiDown", fingerprint="f1")
    child = [fired, *paged(after(1), "INC-6"), entry("merged", after(3), BEN, "INC-6", into="INC-7")]
    made = numbers(opened(by=ANA), ack(after(2)), resolved(after(20)), child)

    assert made.ack["met"] == 1
    assert made.ack["excluded"] == {"drill": 0, "duplicate": 1, "self_healed": 0, "no_page": 0}
    assert made.restored == [{"incident": "INC-7", "seconds": 24 * 60}]


def test_a_duplicate_of_a_duplicate_belongs_to_the_one_that_is_left():
    told = [
        *paged(after(0), "INC-1"),
        *paged(after(1), "INC-2"), entry("merged", after(2), ANA, "INC-2", into="INC-1"),
        *paged(after(-3), "INC-3"), entry("merged", after(3), ANA, "INC-3", into="INC-2"), ack(after(1), BEN, "INC-3"),
    ]  # fmt: skip

    said = {one["incident"]: (one["class"], one["seconds"]) for one in numbers(told).ack_episodes}
    assert said == {"INC-1": ("met", 240), "INC-2": ("duplicate", None), "INC-3": ("duplicate", None)}


@pytest.mark.parametrize("into", ["INC-7", "INC-6", "INC-99"])
def test_a_merge_that_goes_in_a_circle_or_nowhere_is_still_a_duplicate(into):
    told = [*paged(after(0), "INC-6"), entry("merged", after(3), ANA, "INC-6", into=into)]
    made = numbers(told, paged(), entry("merged", after(4), ANA, "INC-7", into="INC-6"))

    assert made.ack["excluded"]["duplicate"] == 2
    assert made.opened == 0


def test_an_acknowledgement_before_the_opening_is_a_doubtful_record_and_counts_as_neither():
    made = numbers(paged(), ack(after(-1)))

    assert (made.ack["met"], made.ack["missed"]) == (0, 0)
    assert made.ack["median_seconds"] is None
    assert made.data_problems == ["INC-7: acknowledged before it was opened"]


def test_an_acknowledgement_is_measured_in_real_time_when_the_clocks_change():
    before = datetime(2026, 10, 25, 0, 58, tzinfo=UTC)  # 02:58 in Berlin; at 03:00 it is 02:00 again
    made = numbers(paged(before), ack(before + timedelta(minutes=4)), week="2026-W43", as_of=before + HOUR, tz="Europe/Berlin")

    assert made.ack_episodes[0]["seconds"] == 240
    assert made.length_seconds == 169 * 3600


def test_the_longest_of_a_few_says_whether_it_is_a_bound_and_ten_have_a_ninetieth_percentile():
    told = [lived(number, after(number), acked=10 * number) for number in range(1, 11)]

    assert numbers(*told[:9]).ack["p90_seconds"] is None
    made = numbers(*told).ack
    assert made["p90_seconds"] == 90
    assert (made["max_seconds"], made["max_is_lower_bound"]) == (100, False)


# --- restore ----------------------------------------------------------------------------------


def restored(*told, **more):
    return {one["incident"]: one["seconds"] for one in numbers(*told, **more).restored}


ALERT = entry("alert_started", after(-2), alert="ApiDown", fingerprint="f1")
SET = entry("impact_started_set", after(8), ANA, value="2026-06-10T11:50:00Z", source="access log")
SET_LATER = entry("impact_started_set", after(9), ANA, value="2026-06-10T11:55:00Z", source="access log")
MITIGATED = entry("mitigated", after(10), ANA)
MITIGATED_BEFORE = entry("mitigated", after(10), ANA, impact_ended_at="2026-06-10T12:06:00Z")


@pytest.mark.parametrize(
    ("told", "minutes"),
    [
        ([], 20),
        ([ALERT], 22),
        ([ALERT, SET], 30),
        ([ALERT, SET, SET_LATER], 25),
        ([MITIGATED], 10),
        ([ALERT, MITIGATED], 12),
        ([ALERT, MITIGATED_BEFORE], 8),
        ([SET, MITIGATED_BEFORE], 16),
    ],
    ids=["opened to resolved", "from the alert's start", "from what a person set", "the latest set counts", "to the mitigation",
         "alert to mitigation", "to when the impact ended", "set to ended"],
)  # fmt: skip
def test_restore_runs_from_where_impact_began_to_where_it_ended(told, minutes):
    assert restored(paged(), told, ack(after(1)), resolved(after(20))) == {"INC-7": minutes * 60}


def test_an_automatic_resolve_ends_the_impact_when_the_alerts_cleared():
    assert restored(paged(), ack(after(1)), cleared(after(12), effective_at="2026-06-10T12:07:00Z")) == {"INC-7": 420}


@pytest.mark.parametrize(("severity", "counts"), [("SEV1", True), ("SEV2", True), ("SEV3", False), ("SEV4", False), ("SEV5", False)])
def test_only_the_two_worst_severities_count_for_restore_and_uptime(severity, counts):
    made = numbers(lived(7, severity=severity))

    assert made.restore["count"] == counts
    assert made.uptime["impact_seconds"] == (600 if counts else 0)


def test_a_severity_that_was_reached_counts_though_it_was_lowered_again():
    worse = entry("severity_changed", after(2), ANA, **{"from": "SEV3", "to": "SEV1"})
    milder = entry("severity_changed", after(4), ANA, **{"from": "SEV1", "to": "SEV3"})
    made = numbers(lived(7, severity="SEV3"), worse, milder)

    assert made.opened_by_severity == {"SEV1": 1}
    assert made.restore["count"] == 1


@pytest.mark.parametrize(
    "told",
    [
        [opened(drill=True), page(after(1)), resolved(after(20))],
        [*paged(), entry("merged", after(20), ANA, into="INC-1")],
        [*paged(), entry("cancelled", after(20), ANA, reason="false_positive")],
        [*paged(), entry("status_changed", after(20), ANA, to="false_positive")],
    ],
    ids=["drill", "duplicate", "cancelled", "false positive"],
)
def test_what_was_no_incident_of_its_own_is_in_neither_restore_nor_uptime(told):
    made = numbers(told)

    assert made.restore == {"count": 0, "median_seconds": None, "share_met": None}
    assert made.uptime["impact_seconds"] == 0
    assert made.carried_over == []


def test_the_quiet_time_between_two_episodes_is_not_counted():
    again = [entry("reopened", after(60), ANA), page(after(60)), ack(after(61)), resolved(after(65))]

    assert restored(paged(), ack(after(1)), resolved(after(10)), again) == {"INC-7": 15 * 60}


def test_an_alert_between_two_episodes_begins_the_second():
    fired = entry("alert_started", after(58), alert="ApiDown", fingerprint="f1")
    again = [entry("reopened", after(60), ANA), resolved(after(65))]

    assert restored(paged(), resolved(after(10)), fired, again) == {"INC-7": (10 + 7) * 60}


def test_what_a_person_says_afterwards_about_the_first_episode_does_not_stretch_the_second():
    told = [*paged(), resolved(after(10)), entry("reopened", after(60), ANA), resolved(after(65))]
    began = entry("impact_started_set", after(90), ANA, value="2026-06-10T11:57:00Z", source="access log")
    ended = entry("mitigated", after(91), ANA, impact_ended_at="2026-06-10T12:04:00Z")

    assert restored(told, began) == {"INC-7": (13 + 5) * 60}
    assert restored(told, began, ended) == {"INC-7": (7 + 5) * 60}
    assert numbers(told, began, ended).data_problems == []


def test_an_end_that_nobody_recorded_was_not_after_the_next_beginning():
    told = [*paged(), ack(after(1)), entry("reopened", after(30), ANA), resolved(after(40))]
    made = numbers(told)

    assert made.restored == [{"incident": "INC-7", "seconds": 2400}]
    assert made.uptime["impact_seconds"] == 2400


def test_an_unanswered_page_is_measured_up_to_the_next_beginning_at_most():
    assert answered(paged(), entry("reopened", after(30), ANA), resolved(after(40)))[0] == ("missed", 1800, True, None)


def test_what_ends_and_begins_again_in_the_same_second_ended_first():
    told = [*paged(), ack(after(1)), resolved(after(30)), entry("reopened", after(30), ANA), page(after(30), BEN)]

    assert [one[0] for one in answered(told)] == ["met", "missed"]
    assert numbers(told).carried_over == ["INC-7"]
    assert restored(told, resolved(after(33), BEN)) == {"INC-7": 1980}


def test_restore_belongs_to_the_week_in_which_the_impact_ended():
    sunday = datetime(2026, 6, 14, 23, 50, tzinfo=UTC)
    told = [*paged(sunday), ack(sunday + timedelta(minutes=1)), resolved(sunday + timedelta(minutes=20))]

    assert restored(told) == {}
    assert numbers(told).carried_over == ["INC-7"]
    assert restored(told, week="2026-W25") == {"INC-7": 1200}
    assert numbers(told, week="2026-W25").carried_over == []


def test_what_goes_on_is_not_restored_and_is_carried_over():
    told = [*paged(), ack(after(1)), resolved(after(10)), entry("reopened", after(60), ANA)]
    made = numbers(told)

    assert made.restored == []
    assert made.carried_over == ["INC-7"]
    assert made.restore["median_seconds"] is None


def test_an_impact_that_ends_before_it_began_is_a_doubtful_record_and_left_out():
    wrong = entry("impact_started_set", after(11), ANA, value="2026-06-10T12:30:00Z", source="guess")
    made = numbers(lived(7), wrong, lived(8, after(120)))

    assert [one["incident"] for one in made.restored] == ["INC-8"]
    assert made.uptime["impact_seconds"] == 600
    assert made.data_problems == ["INC-7: its impact ends before it starts"]


def test_a_start_that_lies_in_the_future_takes_nothing_from_what_others_hurt():
    wrong = entry("impact_started_set", after(11), ANA, value="2026-06-12T00:00:00Z", source="guess")
    made = numbers(paged(), wrong, lived(8, after(120)), as_of=after(300))

    assert made.uptime["impact_seconds"] == 600


# --- uptime -----------------------------------------------------------------------------------


def test_impact_that_overlaps_is_counted_once():
    made = numbers(lived(1, after(0), over=1200), lived(2, after(10), over=1200), lived(3, after(15), over=60))

    assert made.uptime == {"ratio": 1 - 1800 / 604_800, "impact_seconds": 1800, "source": "incidents"}


def test_impact_is_cut_to_the_week_and_goes_on_until_now():
    monday = datetime(2026, 6, 8, tzinfo=UTC)
    made = numbers(paged(monday - HOUR), as_of=monday + HOUR)

    assert made.uptime["impact_seconds"] == 3600
    assert numbers(paged(monday - HOUR)).uptime["ratio"] == 0


def test_probes_are_preferred_to_incidents():
    made = numbers(lived(7), probes={"good": 9995, "valid": 10_000, "expected": 10_080})

    assert made.uptime["ratio"] == 0.9995
    assert made.uptime["source"] == "probes"
    assert row(made, "uptime") == (0.9995, 10_000, "met")


@pytest.mark.parametrize("probes", [{}, {"good": 0, "valid": 0}, {"valid": 100}, {"good": 100}])
def test_probes_that_say_nothing_leave_it_to_the_incidents(probes):
    made = numbers(lived(7), probes=probes)

    assert made.uptime == {"ratio": 1 - 600 / 604_800, "impact_seconds": 600, "source": "incidents"}


@pytest.mark.parametrize(
    ("week", "as_of"),
    [("2026-W23", LATER), ("2026-W40", LATER), (WEEK, after(-60))],
    ids=["before the record begins", "a week that has not come", "before anything was known"],
)
def test_a_week_of_which_nothing_is_known_has_no_uptime(week, as_of):
    made = numbers(lived(7), week=week, as_of=as_of)

    assert made.uptime == {"ratio": None, "impact_seconds": None, "source": None}
    assert row(made, "uptime") == (None, None, "no source")


def test_a_quiet_week_within_the_record_is_up():
    made = numbers(lived(7), week="2026-W25")

    assert row(made, "uptime") == (1, None, "met")


@pytest.mark.parametrize(("seconds", "status"), [(604, "met"), (605, "missed")])
def test_the_budget_of_a_week_is_a_thousandth_of_it(seconds, status):
    assert row(numbers(lived(7, over=seconds)), "uptime")[2] == status


def test_the_budget_of_a_short_week_is_smaller():
    at = datetime(2026, 3, 25, 12, tzinfo=UTC)
    made = numbers(lived(7, at, over=602), week="2026-W13", tz="Europe/Berlin")

    assert row(made, "uptime")[2] == "missed"
    assert row(numbers(lived(7, at, over=602), week="2026-W13"), "uptime")[2] == "met"


# --- load and noise ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "interruptions"),
    [
        ([("push", 0)], 1),
        ([("push", 0), ("phone", 0), ("sms", 0)], 1),
        ([("push", 0), ("phone", 60)], 1),
        ([("push", 0), ("phone", 61)], 2),
        ([("push", 0), ("phone", 60), ("sms", 120)], 1),
        ([("email", 0)], 0),
        ([("push", 0), ("email", 30), ("push", 90)], 2),
    ],
)
def test_notifications_within_a_minute_are_one_interruption_and_mail_is_none(calls, interruptions):
    made = numbers(opened(), [page(after(seconds=seconds), channel=channel) for channel, seconds in calls])

    assert made.load["interruptions"] == interruptions
    assert made.load["pages"] == 1


def test_a_page_is_a_person_in_an_episode():
    told = [opened(), page(after(0)), page(after(2)), page(after(5), BEN), resolved(after(9)), entry("reopened", after(60), ANA),
            page(after(60)), entry("page_failed", after(61), reason="refused")]  # fmt: skip

    assert numbers(told).load["pages"] == 3


def test_a_page_of_which_no_notification_is_recorded_is_one_page_of_nobody_known():
    made = numbers(opened(), entry("page_accepted", after(0), dedup_key="k")).load

    assert (made["pages"], made["interruptions"], made["by_person"]) == (1, 0, {})


def test_a_page_belongs_to_the_week_in_which_it_rang():
    sunday = datetime(2026, 6, 14, 23, 59, 30, tzinfo=UTC)
    told = [opened(sunday), page(sunday), page(sunday + timedelta(seconds=300), BEN)]

    assert numbers(told).load["by_person"] == {ANA: 1}
    assert numbers(told, week="2026-W25").load["by_person"] == {BEN: 1}


def test_an_interruption_falls_in_the_hours_of_whoever_is_woken():
    people = {ANA: "Europe/Berlin", BEN: "America/Los_Angeles", CHLOE: "Asia/Kathmandu"}
    at = datetime(2026, 6, 10, 16, 14, 59, tzinfo=UTC)  # 18:14 in Berlin, 09:14 in Los Angeles, 21:59:59 in Kathmandu
    told = [opened(at), page(at), page(at, BEN), page(at, CHLOE)]

    assert numbers(told, people=people).load["by_hours"] == {"business": 1, "off_hours": 2, "sleep": 0}
    later = page(at + timedelta(seconds=1), CHLOE)
    assert numbers(opened(at), later, people=people).load["by_hours"] == {"business": 0, "off_hours": 0, "sleep": 1}


def test_whose_zone_is_not_known_lives_in_the_teams():
    at = datetime(2026, 6, 10, 22, 30, tzinfo=UTC)

    assert numbers(opened(at), page(at), tz="America/New_York").load["by_hours"]["off_hours"] == 1
    assert numbers(opened(at), page(at), tz="UTC").load["by_hours"]["sleep"] == 1


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ([ack(after(1)), entry("note", after(2), ANA, text="x"), resolved(after(9))], "actionable"),
        ([ack(after(1)), entry("runbook_step", after(2), ANA, step="1", result="done"), cleared(after(9))], "actionable"),
        ([ack(after(1)), resolved(after(9))], "unknown"),
        ([ack(after(1)), cleared(after(9))], "not_actionable"),
        ([ack(after(1)), entry("note", after(2), "bot", text="x"), cleared(after(9))], "not_actionable"),
        ([cleared(after(9))], "not_actionable"),
        ([ack(after(1))], "unknown"),
        ([], "unknown"),
        ([cleared(after(9)), entry("page_feedback", after(20), ANA, actionable=True)], "actionable"),
        ([ack(after(1)), entry("note", after(2), ANA, text="x"), entry("page_feedback", after(20), BEN, actionable=False)],
         "not_actionable"),
    ],
    ids=["acknowledged and worked on", "a step of a runbook", "acknowledged and resolved", "went away by itself",
         "only the bot wrote", "nobody looked, it went away", "still open", "nobody looked, still open", "people say yes",
         "people say no"],
)  # fmt: skip
def test_whether_a_page_was_worth_it_is_what_people_say_or_did_or_unknown(told, verdict):
    noise = numbers(paged(), told).noise

    assert {name: noise[name] for name in ("actionable", "not_actionable", "unknown")} == {
        "actionable": 0, "not_actionable": 0, "unknown": 0, verdict: 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("minutes", "flaps"),
    [((0, 30, 60), True), ((0, 30, 60.1), False), ((0, 30), False), ((0, 50, 100, 110), True), ((0, 61, 122), False)],
)
def test_an_alert_flaps_that_fires_three_times_within_an_hour(minutes, flaps):
    fires = [entry("alert_started", after(one), alert="DiskFull", fingerprint="f") for one in minutes]

    assert numbers(paged(), fires).noise["flapping"] == (["DiskFull"] if flaps else [])


def test_three_alerts_of_one_name_are_not_one_that_flaps():
    fires = [entry("alert_started", after(one), alert="DiskFull", fingerprint=f"disk-{one}") for one in (1, 2, 3)]

    assert numbers(paged(), fires).noise["flapping"] == []


def test_a_drill_makes_no_load_and_no_noise():
    fires = [entry("alert_started", after(one), alert="DiskFull", fingerprint="f") for one in (1, 2, 3)]
    made = numbers(paged(drill=True), fires)

    assert made.load["pages"] == made.load["interruptions"] == 0
    assert made.noise["noisiest"] == made.noise["flapping"] == []
    assert made.noise["unknown"] == 0


# --- deployments and the rest -----------------------------------------------------------------


def deployed(id_: str, at="2026-06-10T12:00:00Z", **changes):
    return {"id": id_, "env": "production", "state": "success", "at": at, "service": "web"} | changes


MANY = [deployed(f"D-{number}") for number in range(1, 101)]


def test_a_deployment_is_in_the_week_of_its_first_success():
    twice = [
        deployed("D-1", "2026-06-07T23:59:59Z"),
        deployed("D-1", "2026-06-08T00:00:00Z"),
        deployed("D-2", "2026-06-08T00:00:00Z"),
    ]

    assert numbers(deployments=twice).deployments == {"count": 1, "per_day": 1 / 7}
    assert numbers(deployments=[]).deployments == {"count": 0, "per_day": 0}
    assert numbers().deployments is None


@pytest.mark.parametrize(("count", "status"), [(69, "missed"), (70, "met")])
def test_ten_deployments_a_day_are_seventy_a_week(count, status):
    assert row(numbers(deployments=MANY[:count]), "deployments")[2] == status


@pytest.mark.parametrize(
    ("failed", "deployments", "status"),
    [(0, 10, "too few to tell"), (0, 71, "too few to tell"), (0, 100, "met"), (1, 10, "too few to tell"), (5, 10, "missed"),
     (0, 0, "too few to tell")],
)  # fmt: skip
def test_a_change_failure_rate_is_said_only_where_its_interval_leaves_no_doubt(failed, deployments, status):
    caused = [entry("deploy_caused", after(number), ANA, deploy=f"D-{number}") for number in range(1, failed + 1)]
    made = numbers(lived(7), caused, deployments=MANY[:deployments])

    assert made.change_failure["failed"] == failed
    assert row(made, "change failure")[2] == status


def test_a_deployment_that_caused_two_incidents_failed_once():
    caused = [entry("deploy_caused", after(9), ANA, ref, deploy="D-1") for ref in ("INC-7", "INC-8")]

    assert numbers(lived(7), lived(8), caused, deployments=MANY[:2]).change_failure["failed"] == 1


@pytest.mark.parametrize(
    "told",
    [
        [*lived(7), entry("deploy_caused", after(9), "bot", deploy="D-1")],
        [*lived(7, drill=True), entry("deploy_caused", after(9), ANA, deploy="D-1")],
        [*paged(), entry("deploy_caused", after(9), ANA, deploy="D-1"), entry("cancelled", after(10), ANA, reason="false_positive")],
        [*lived(7), entry("deploy_caused", after(9), ANA, deploy="D-99")],
        [*lived(7), entry("rollback", after(9), ANA, deploy="D-2", of="D-1")],
    ],
    ids=["only the bot says so", "a drill", "a false positive", "an unknown deployment", "a rollback confirms nothing"],
)
def test_a_deployment_is_no_cause_without_a_person_who_confirmed_it_for_a_real_incident(told):
    assert numbers(told, deployments=MANY[:5]).change_failure["failed"] == 0


@pytest.mark.parametrize(
    ("span", "as_of", "expected"),
    [
        (["2026-06-09T12:00:00Z", "2026-06-10T11:59:59Z"], LATER, (1, 1, [], "met")),
        (["2026-06-09T12:00:00Z", "2026-06-10T12:00:00Z"], LATER, (0, 1, [], "missed")),
        (["2026-06-09T12:00:00Z", None], LATER, (0, 1, ["V-1"], "missed")),
        (["2026-06-09T12:00:00Z", None], after(-1), (0, 0, [], "too few to tell")),
        (["2026-06-09T12:00:00Z", None], NOON, (0, 1, ["V-1"], "missed")),
        (["2026-06-09T12:00:00Z", "2026-06-09T13:00:00Z"], after(-1), (1, 1, [], "met")),
        (["2026-06-09T12:00:00Z", "2026-06-12T00:00:00Z"], after(60), (0, 1, ["V-1"], "missed")),
        (["2026-06-07T00:00:00Z", "2026-06-07T01:00:00Z"], LATER, (1, 1, [], "met")),
        (["2026-06-06T23:59:59Z", "2026-06-07T01:00:00Z"], LATER, (0, 0, [], "too few to tell")),
        (["2026-01-01T00:00:00Z", None], LATER, (0, 0, ["V-1"], "missed")),
        (["2026-06-14T12:00:00Z", None], LATER, (0, 0, [], "too few to tell")),
    ],
    ids=["fixed in time", "fixed at exactly 24 h", "still open", "its time is not over", "its time is just over",
         "fixed, its time not over", "fixed only later", "its time ends in the week", "its time ended before",
         "open for long", "its time ends after the week"],
)  # fmt: skip
def test_a_critical_vulnerability_counts_where_its_day_ends(span, as_of, expected):
    made = numbers(vulnerabilities=[{"id": "V-1", "sev": "critical", "spans": [span]}], as_of=as_of)
    found = made.vulnerabilities

    assert (found["met"], found["due"], found["overdue"], row(made, "critical")[2]) == expected


@pytest.mark.parametrize(
    ("others", "name", "expected"),
    [
        ({"requests": {"total": 1000, "5xx": 1}}, "error rate", (0.001, 1000, "missed")),
        ({"requests": {"total": 1000, "5xx": 0}}, "error rate", (0, 1000, "met")),
        ({"requests": {"total": 1000}}, "error rate", (None, None, "no source")),
        ({"requests": {"total": 0, "5xx": 0}}, "error rate", (None, None, "no source")),
        ({"requests": {}}, "error rate", (None, None, "no source")),
        ({"p95_ms": 199.9}, "p95", (199.9, None, "met")),
        ({"p95_ms": 200}, "p95", (200, None, "missed")),
        ({"repos": {"in_scope": 4, "archived": 1, "scanned_ok": 3}}, "scan", (1, 3, "met")),
        ({"repos": {"in_scope": 4, "archived": 0, "scanned_ok": 3}}, "scan", (0.75, 4, "missed")),
        ({"repos": {"in_scope": ["a", "b"], "archived": ["b"], "scanned_ok": ["a"]}}, "scan", (1, 1, "met")),
        ({"repos": {"in_scope": ["a", "b"], "archived": [], "scanned_ok": ["a", "x"]}}, "scan", (0.5, 2, "missed")),
        ({"repos": {"in_scope": 4, "archived": 1}}, "scan", (None, None, "no source")),
        ({"repos": {"in_scope": 2, "archived": 2, "scanned_ok": 0}}, "scan", (None, None, "no source")),
        ({"repos": {}}, "scan", (None, None, "no source")),
    ],
)
def test_a_figure_is_what_was_measured_and_a_missing_half_is_no_source(others, name, expected):
    assert row(numbers(**others), name) == expected


def test_a_dismissed_vulnerability_is_listed_apart_and_only_for_the_time_that_was_dismissed():
    spans = [["2026-06-08T12:00:00Z", "2026-06-08T13:00:00Z"], ["2026-06-10T12:00:00Z", "2026-06-10T13:00:00Z"]]
    found = numbers(vulnerabilities=[{"id": "V-1", "sev": "CRITICAL", "spans": spans, "closed_as": "dismissed"}]).vulnerabilities

    assert (found["met"], found["due"], found["overdue"], found["dismissed"]) == (1, 1, [], ["V-1"])
    assert (found["opened"], found["open"]) == (2, [])


@pytest.mark.parametrize(
    ("finding", "as_of", "expected"),
    [
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-09T01:00:00Z"]]}, LATER, {"opened": 1, "due": 1, "met": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", None]]}, LATER, {"opened": 1, "due": 1, "overdue": ["V-1"], "open": ["V-1"]}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-17T00:00:00Z"]]}, LATER, {"opened": 1, "due": 1, "open": ["V-1"]}),
        ({"spans": [["2026-06-14T12:00:00Z", "2026-06-14T13:00:00Z"]]}, LATER, {"opened": 1}),
        ({"spans": [["2026-06-01T00:00:00Z", None]]}, LATER, {"overdue": ["V-1"], "open": ["V-1"]}),
        ({"spans": [["2026-06-20T00:00:00Z", None]]}, LATER, {}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-11T00:00:00Z"]], "closed_as": "dismissed"}, LATER,
         {"opened": 1, "dismissed": ["V-1"]}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-11T00:00:00Z"]], "closed_as": "dismissed"}, "2026-06-10T12:00:00Z",
         {"opened": 1, "due": 1, "overdue": ["V-1"], "open": ["V-1"]}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-09T01:00:00Z"]], "is_start_known": False}, LATER,
         {"opened": 1, "unknown": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-12T01:00:00Z"]], "is_start_known": False}, LATER, {"opened": 1, "due": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", None]], "is_start_known": False}, LATER,
         {"opened": 1, "due": 1, "overdue": ["V-1"], "open": ["V-1"]}),
        ({"spans": [["2026-06-09T00:00:00Z", "2026-06-09T01:00:00Z"], ["2026-06-10T00:00:00Z", "2026-06-10T02:00:00Z"]],
          "is_start_known": False}, LATER, {"opened": 2, "due": 1, "met": 1, "unknown": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", None]], "sev": "unknown"}, LATER, {"unrated": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", None]], "sev": None}, LATER, {"unrated": 1}),
        ({"spans": [["2026-06-09T00:00:00Z", None]], "sev": "high"}, LATER, {}),
        ({"spans": []}, LATER, {}),
    ],
    ids=["fixed in time", "never fixed", "fixed in a later week", "due in the next week", "open for long", "of a later week",
         "dismissed", "dismissed only later", "fixed soon, found who knows when", "fixed late, found who knows when",
         "open, found who knows when", "came back", "nobody says how severe", "no severity", "high", "no span"],
)  # fmt: skip
def test_a_finding_s_clocks_are_counted_and_what_nobody_can_say_apart(finding, as_of, expected):
    at = as_of if isinstance(as_of, datetime) else datetime.fromisoformat(as_of)
    made = numbers(vulnerabilities=[{"id": "V-1", "sev": "critical", **finding}], as_of=at)

    nothing = {"met": 0, "due": 0, "overdue": [], "dismissed": [], "opened": 0, "open": [], "unknown": 0, "unrated": 0}
    assert made.vulnerabilities == nothing | expected


def test_a_rollback_is_no_deployment_also_where_a_repeated_status_does_not_say_so():
    both = [deployed("D-2", rollback_of="D-1"), deployed("D-2", "2026-06-10T12:05:00Z")]

    assert numbers(deployments=[deployed("D-1"), *both]).deployments["count"] == 1


@pytest.mark.parametrize(("seconds", "status"), [(3599, "met"), (3600, "missed")])
def test_a_lead_time_of_an_hour_is_not_under_an_hour(seconds, status):
    committed = (NOON - timedelta(seconds=seconds)).isoformat()
    changes = [{"sha": f"c{number}", "committed_at": committed, "deploy": "D-1"} for number in range(5)]

    assert row(numbers(deployments=MANY[:1], changes=changes), "lead time") == (seconds, 5, status)
    assert row(numbers(deployments=MANY[:1], changes=changes[:4]), "lead time")[2] == "too few to tell"


def test_a_commit_counts_once_with_its_first_deployment():
    deployments = [deployed("D-0", "2026-06-01T12:00:00Z"), deployed("D-1"), deployed("D-2", "2026-06-10T13:00:00Z")]
    change = {"sha": "a", "committed_at": "2026-06-10T11:59:00Z"}
    early = {"sha": "b", "committed_at": "2026-06-01T11:00:00Z"}
    changes = [change | {"deploy": "D-2"}, change | {"deploy": "D-1"}, early | {"deploy": "D-2"}, early | {"deploy": "D-0"}]

    assert numbers(deployments=deployments, changes=changes).lead_time == {"median_seconds": 60, "count": 1, "share_met": 1}


def test_lead_time_needs_both_commits_and_deployments():
    assert numbers(deployments=MANY).lead_time is None
    assert numbers(changes=[]).lead_time is None
    assert numbers(deployments=MANY, changes=[]).lead_time == {"median_seconds": None, "count": 0, "share_met": None}


# --- when a target is met ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acked", "status"),
    [
        ([60] * 4, "too few to tell"),
        ([60] * 5, "met"),
        ([60, 300], "missed"),
        ([60] * 200 + [301], "missed"),
        ([], "too few to tell"),
    ],
)
def test_one_missed_page_misses_the_target_and_four_good_ones_do_not_meet_it(acked, status):
    made = numbers(*(lived(number, acked=seconds) for number, seconds in enumerate(acked, 1)))

    value, n, said = row(made, "acknowledged")
    assert (n, said) == (len(acked), status)
    assert (value is None) == (not acked)


@pytest.mark.parametrize(
    ("lengths", "status"),
    [([100] * 4, "too few to tell"), ([5000], "too few to tell"), ([100, 200, 899, 5000, 5000], "met"),
     ([100, 200, 900, 5000, 5000], "missed")],
)  # fmt: skip
def test_a_median_of_fewer_than_five_says_nothing_and_fifteen_minutes_are_not_under_fifteen(lengths, status):
    told = [lived(number, after(number * 120), over=seconds) for number, seconds in enumerate(lengths, 1)]

    assert row(numbers(*told), "time to restore")[2] == status


def test_an_empty_record_has_no_number_that_looks_like_one():
    made = numbers().as_json()

    assert made["opened"] == 0
    assert {one["value"] for one in made["scorecard"]} == {None}
    assert {one["status"] for one in made["scorecard"]} <= {"too few to tell", "no source"}
    assert made["deployments"] == {"count": None, "per_day": None}
    assert made["lead_time"] == {"median_seconds": None, "count": None, "share_met": None}
    assert made["change_failure"] == {"failed": None, "deployments": None, "ratio": None, "interval": None}
    assert set(made["vulnerabilities"].values()) == {None}
    assert {"met", "due", "overdue", "dismissed", "opened", "open"} <= made["vulnerabilities"].keys()
    assert (made["scan_coverage"], made["error_rate"], made["p95_ms"]) == ({"ratio": None}, {"ratio": None}, None)
    assert made["ack"]["share"] is None
    assert made["uptime"]["ratio"] is None


# --- what must not matter ---------------------------------------------------------------------

WORDS = st.sampled_from(["DiskFull", "ApiDown"])
PEOPLE = st.sampled_from([ANA, BEN, "bot"])
MINUTES = st.integers(-20, 400)


def timeline_of(ref: str):
    """Any timeline: opened once, then anything, in any order and at any time."""

    def entry_of(type_, **fields):
        return st.builds(
            lambda at, by, more: entry(type_, after(at), by, ref, **more), MINUTES, PEOPLE, st.fixed_dictionaries(fields)
        )

    moments = MINUTES.map(lambda one: after(one).isoformat().replace("+00:00", "Z"))
    other = st.one_of(
        entry_of("alert_started", alert=WORDS, fingerprint=WORDS),
        entry_of("page", to=st.sampled_from([ANA, BEN]), level=st.just(1), channel=st.sampled_from(["push", "phone", "email"])),
        entry_of("page_accepted"), entry_of("ack"), entry_of("unack"), entry_of("reopened"),
        entry_of("role", role=st.just("commander"), user=st.sampled_from([ANA, BEN])),
        entry_of("severity_changed", to=st.sampled_from(["SEV1", "SEV2", "SEV4"])),
        entry_of("impact_started_set", value=moments), entry_of("mitigated"),
        entry_of("mitigated", impact_ended_at=moments),
        entry_of("resolved"), entry_of("resolved", effective_at=moments),
        entry_of("note", text=WORDS), entry_of("page_feedback", actionable=st.booleans()),
        entry_of("merged", into=st.sampled_from(["INC-1", "INC-2", "INC-3", "INC-9"])),
        entry_of("cancelled", reason=st.just("false_positive")),
        entry_of("deploy_caused", deploy=st.sampled_from(["D-1", "D-2"])),
        entry_of("of_a_kind_nobody_knows", value=WORDS),
    )  # fmt: skip
    first = st.builds(lambda at, severity, drill: opened(after(at), ref, severity, drill=drill),
                      MINUTES, st.sampled_from(["SEV1", "SEV3"]), st.booleans())  # fmt: skip
    return st.tuples(first, st.lists(other, max_size=8)).map(lambda parts: [parts[0], *parts[1]])


TIMELINES = st.tuples(timeline_of("INC-1"), timeline_of("INC-2"), timeline_of("INC-3")).map(
    lambda parts: [*parts[0], *parts[1], *parts[2]]
)


@given(TIMELINES, st.randoms(use_true_random=False), MINUTES)
@settings(max_examples=150, deadline=None)
def test_neither_the_order_nor_the_repetition_of_lines_changes_a_number(told: list, chance: random.Random, minutes: int):
    shuffled = told + chance.sample(told, chance.randint(0, len(told)))
    chance.shuffle(shuffled)
    expected = numbers(told, as_of=after(minutes), deployments=MANY[:2])

    assert numbers(shuffled, as_of=after(minutes), deployments=MANY[:2]) == expected


@given(TIMELINES, MINUTES)
@settings(max_examples=150, deadline=None)
def test_the_numbers_of_any_timeline_are_numbers(told: list, minutes: int):
    made = numbers(told, as_of=after(minutes))
    json.dumps(made.as_json(), allow_nan=False)

    counted = made.ack
    assert sum((counted["met"], counted["missed"], counted["pending"], *counted["excluded"].values())) + sum(
        one["class"] == "data_problem" for one in made.ack_episodes
    ) == len(made.ack_episodes)
    assert all(one["seconds"] is None or one["seconds"] >= 0 for one in made.ack_episodes)
    assert all(one["class"] != "met" or one["seconds"] < 300 for one in made.ack_episodes)
    assert all(one["seconds"] >= 0 for one in made.restored)
    assert made.uptime["ratio"] is None or 0 <= made.uptime["ratio"] <= 1
    assert made.uptime["impact_seconds"] is None or 0 <= made.uptime["impact_seconds"] <= made.length_seconds
    assert sum(made.load["by_hours"].values()) == made.load["interruptions"] == sum(made.load["by_person"].values())


@given(timeline_of("INC-1"), timeline_of("INC-2"))
@settings(max_examples=100, deadline=None)
def test_the_incidents_of_another_week_change_no_number_of_this_one(mine: list, theirs: list):
    moved = [one for one in theirs if one.type not in ("merged", "impact_started_set") and "impact_ended_at" not in one.fields
             and "effective_at" not in one.fields]  # fmt: skip
    four_weeks = timedelta(weeks=4)
    then = [entry(one.type, one.at - four_weeks, one.by, one.incident, **one.fields) for one in moved]
    then.append(resolved(after(500) - four_weeks, incident="INC-2"))
    soon = [entry(one.type, one.at + four_weeks, one.by, "INC-3", **one.fields) for one in moved]
    mine = [one for one in mine if one.type != "merged"]
    as_of = NOON + 2 * four_weeks

    expected = numbers(mine, as_of=as_of)
    assert numbers(mine, then, soon, as_of=as_of) == expected


def test_an_entry_of_a_kind_nobody_knows_changes_no_number():
    told = lived(7)
    strange = entry("coffee_brought", after(2), ANA, cups=3, value="hot")

    assert numbers(told, strange) == numbers(told)


def test_a_timeline_without_an_opening_is_no_incident():
    made = numbers(page(after(1)), ack(after(2)), resolved(after(3)))

    assert made.opened == 0
    assert made.ack_episodes == []
    assert made.carried_over == []


def test_the_numbers_of_a_week_that_is_none_are_refused():
    with pytest.raises(ValueError, match="ISO week"):
        week_metrics(Journal(()), "2026-24", LATER)


def test_the_journal_of_another_zone_puts_an_incident_into_its_week():
    told = journal(lived(7, datetime(2026, 6, 14, 23, 30, tzinfo=UTC)), tz="Europe/Berlin")

    assert week_metrics(told, "2026-W24", LATER).opened == 0
    assert week_metrics(told, "2026-W25", LATER).opened == 1


def test_a_merge_that_was_undone_leaves_an_incident_that_counts_and_a_page_that_ended_with_the_merge():
    told = [*paged(), entry("merged", after(1), ANA, into="INC-6"), entry("reopened", after(30), ANA, split_from="INC-6")]
    made = numbers(paged(incident="INC-6"), told, page(after(30, 1)), ack(after(31)))

    assert made.opened == 2
    assert not made.ack["excluded"].get("duplicate")
    mine = [one for one in made.ack_episodes if one["incident"] == "INC-7"]
    assert [(one["episode"], one["class"]) for one in mine] == [(1, "self_healed"), (2, "met")]
