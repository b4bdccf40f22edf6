"""Dead-man's switches that are to be heard, whether or not they ever were. On both databases."""

import json
from datetime import datetime, timedelta

import pytest

from bot.alerts.registry import sources
from bot.alerts.source import Delivery
from bot.handle import Door
from bot.incidents.heartbeats import EXPECTED, HEARD
from bot.incidents.inputs import Cancel
from bot.incidents.policy import HeartbeatRule, MaintenanceRule, Policy, RouteRule
from bot.store import Store
from bot.worker.due import DueTimers
from bot.worker.expecting import Expecting
from bot.worker.intake import Intake
from tests.builders import ANA, NOON, after

RULE = HeartbeatRule(name="Prometheus", within=timedelta(minutes=5), service="platform", expect=True)
ROUTES = (RouteRule(name="heartbeats", match={"kind": "heartbeat"}, outcome="record"), RouteRule(name="all", severity="SEV2"))
POLICY = Policy(heartbeats=(RULE,), routes=ROUTES)


class Desk:
    """A bot that is started now and then."""

    def __init__(self, store: Store, policy: Policy = POLICY) -> None:
        self.store, self.policy, self.now, self.count = store, policy, NOON, 0
        self.starts()

    def starts(self) -> None:
        self.door = Door(self.store, lambda: self.now, lambda: self.policy, lambda: ())
        self.due, self.expecting = DueTimers(store=self.store, door=self.door), Expecting(self.door)
        self.intake = Intake(sources=sources(), report=lambda report: "", store=self.store, door=self.door)
        self.expecting.run_once()

    def hears(self, *, is_read: bool = True) -> None:
        self.count += 1
        one = {"status": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}, "startsAt": "2026-01-01T00:00:00Z"}
        body = json.dumps({"version": "4", "groupKey": str(self.count), "alerts": [one]}).encode()
        writer = self.store.inbox_writer(lambda: None)
        writer.put("alertmanager", Delivery(body, {}, "main", self.now), str(self.count)).result(10)
        writer.close()
        while is_read and self.intake.run_once():
            pass

    def passes(self, minutes: float, step: float = 0.25) -> None:
        end = self.now + timedelta(minutes=minutes)
        while self.now < end:
            self.now = min(end, self.now + timedelta(minutes=step))
            self.expecting.run_once()
            self.due.run_once()

    def missing(self) -> list[str]:
        """The titles of alerts that fire in open incidents."""
        return [one.title for open_ in self.store.open_incidents() for one in open_.alerts if one.is_firing]


@pytest.fixture
def desk(store):
    return Desk(store)


def test_one_that_is_expected_and_never_heard_is_an_alert(desk):
    desk.passes(4.75)
    assert desk.missing() == []
    desk.passes(0.5)

    assert desk.missing() == ["Prometheus: never heard"]
    [one] = desk.store.open_incidents()
    assert (one.service, one.severity.value) == ("platform", "SEV2")


def test_one_that_need_not_be_heard_is_never_missed(store):
    desk = Desk(store, Policy(heartbeats=(RULE.model_copy(update={"expect": False}),), routes=ROUTES))
    desk.passes(60)

    assert desk.missing() == []


def test_one_that_is_heard_in_time_is_listened_for_as_ever(desk):
    desk.passes(4)
    desk.hears()
    desk.passes(4.75)
    assert desk.missing() == []
    desk.passes(0.5)

    assert desk.missing() == ["Prometheus: nothing heard for 5 min"]


def test_the_first_sign_of_life_ends_it(desk):
    desk.passes(6)
    desk.hears()

    assert desk.missing() == []
    assert [one.is_clear for one in desk.store.open_incidents()] == [True]


def test_a_bot_that_is_started_again_and_again_waits_no_longer_for_that(desk):
    for _ in range(6):
        desk.passes(0.75)
        desk.starts()
    desk.passes(0.75)

    assert desk.missing() == ["Prometheus: never heard"]
    assert datetime.fromisoformat(desk.store.note(f"{EXPECTED}Prometheus")) == NOON
    for _ in range(3):
        desk.starts()
        desk.passes(6)
    assert len(desk.store.incidents()) == 1


def test_who_was_heard_once_is_not_expected_anew_by_a_restart(desk):
    desk.hears()
    desk.starts()

    assert desk.store.next_due() == after(5)
    assert datetime.fromisoformat(desk.store.note(f"{HEARD}Prometheus")) == NOON
    desk.passes(6)
    assert desk.missing() == ["Prometheus: nothing heard for 5 min"]


def test_a_switch_that_comes_into_the_policy_is_expected_from_then_on(store):
    desk = Desk(store, Policy(routes=ROUTES))
    desk.passes(30)
    desk.policy = POLICY
    desk.passes(4.75)
    assert desk.missing() == []
    desk.passes(0.75)
    assert desk.missing() == ["Prometheus: never heard"]


def test_one_that_was_taken_out_and_is_back_is_expected_again(desk):
    desk.policy = Policy(routes=ROUTES)
    desk.passes(6)
    assert desk.missing() == []
    desk.policy = POLICY
    desk.passes(5.5)

    assert desk.missing() == ["Prometheus: never heard"]


def test_what_people_say_is_nothing_is_told_again_after_a_restart_while_it_is_still_not_heard(desk):
    desk.passes(6)
    desk.door.handle(Cancel(1, ANA))
    desk.passes(30)
    assert desk.missing() == []
    desk.starts()
    [waiting] = [one for one in desk.store.due(after(60)) if one.kind == "HeartbeatMissed"]
    assert "Expected since 2026-06-10 12:00 UTC, and nothing that fits kind=heartbeat has come." in waiting.input.alert.description
    desk.passes(6)

    assert desk.missing() == ["Prometheus: never heard"]


def test_a_sign_of_life_that_is_not_read_yet_is_waited_for(desk):
    desk.passes(4.5)
    desk.hears(is_read=False)
    desk.passes(2)
    assert desk.missing() == []


def test_under_a_maintenance_window_it_is_told_when_that_is_over(store):
    window = MaintenanceRule(
        name="move", match={"service": "platform"}, reason="moving", zone="UTC", start="2026-06-10T11:00", until="2026-06-10T12:30"
    )  # fmt: skip
    desk = Desk(store, POLICY.model_copy(update={"maintenance": (window,)}))
    desk.passes(29)
    assert desk.missing() == []
    desk.passes(3)

    assert desk.missing() == ["Prometheus: never heard"]
