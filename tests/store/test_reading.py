"""Reading what is shown to people: only as much as is shown, and the same as if all had been read."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.incident import Severity, Status
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import Policy, RouteRule
from bot.incidents.timeline import Entry
from bot.slack.views.text import fit
from tests.builders import NOON, alert, incident


def saved(store, *decisions: Decision) -> None:
    with store.writing() as work:
        for one in decisions:
            work.save(one, NOON)


@pytest.mark.parametrize("spread", [1, 40, 4000], ids=["in one second", "several a second", "seconds apart"])
def test_the_pages_of_a_timeline_are_the_timeline(store, spread):
    dice = random.Random(spread)
    noted = [
        Entry(NOON + timedelta(seconds=dice.random() * spread / 4), "note", "INC-7", "U0ANA", {"text": str(number)})
        for number in range(50)
    ]
    others = [Entry(NOON, "note", "INC-70", "U0ANA", {"text": "of another"})] * 20
    saved(store, Decision(entries=(*noted, *others)))
    whole = store.timeline("INC-7")

    pages = [store.timeline_page("INC-7", page, 15) for page in range(5)]

    assert [total for _, total in pages] == [50] * 5
    assert [len(shown) for shown, _ in pages] == [15, 15, 15, 5, 0]
    assert tuple(one for shown, _ in reversed(pages) for one in shown) == whole


def test_an_incident_without_a_timeline_has_an_empty_page(store):
    assert store.timeline_page("INC-404", 0, 15) == ((), 0)


def test_the_worst_and_oldest_are_listed_first_and_all_that_are_open_are_counted(store):
    severities = (Severity.SEV3, Severity.SEV1, Severity.SEV2, Severity.SEV1, Severity.SEV5)
    for number, severity in enumerate(severities, start=1):
        saved(store, Decision(incident=replace(incident(), number=number, severity=severity)))
    saved(store, Decision(incident=replace(incident(), number=6, severity=Severity.SEV1, status=Status.RESOLVED)))

    worst, count = store.worst_open(3)

    assert [one.number for one in worst] == [2, 4, 3]
    assert worst[0] == store.incident(2)
    assert count == 5


def test_how_often_the_alerts_of_an_incident_were_reported_is_counted_by_alert(store):
    policy = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
    door = Door(store, lambda: NOON, lambda: policy, lambda: ())
    for identity in ("a", "b", "a", "a"):
        door.handle(AlertReported(alert(identity=identity), "main"))
    door.handle(AlertReported(alert(identity="c", service="search"), "main"))
    prints = [alert(identity=one).fingerprint("main") for one in "abcd"]

    assert store.alert_reports(1, prints) == {prints[0]: 3, prints[1]: 1}
    assert store.alert_reports(1, []) == {}


def test_the_newest_of_the_open_ones_are_read_and_no_more(store):
    for number in range(1, 8):
        saved(store, Decision(incident=replace(incident(), number=number)))
    saved(store, Decision(incident=replace(incident(), number=8, status=Status.RESOLVED)))

    assert [one.number for one in store.open_incidents(2)] == [7, 6]
    assert [one.number for one in store.open_incidents()] == [7, 6, 5, 4, 3, 2, 1]


def test_nothing_open_is_nothing_listed(store):
    assert store.worst_open(10) == ((), 0)
    assert store.open_incidents(5) == ()


@pytest.mark.parametrize("limit", range(24, 60, 7))
def test_as_many_lines_as_fit_are_shown_and_the_others_counted(limit):
    lines = [letter * 5 for letter in "abcdefgh"]

    shown = fit(lines, limit).splitlines()

    whole = [line for line in shown if not line.startswith("…")]
    assert len(fit(lines, limit)) <= limit
    assert whole == lines[: len(whole)]
    assert shown[len(whole) :] == ([f"… and {8 - len(whole)} more"] if len(whole) < 8 and len(whole) else [])


def test_lines_that_are_not_even_given_are_counted_as_left_out():
    assert fit(["one", "two"], 100, unseen=3) == "one\ntwo\n… and 3 more"
