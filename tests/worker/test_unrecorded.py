"""Pages that go out while nothing can be written down, on both databases."""

from datetime import timedelta

import pytest

from bot.errors import TryLater
from bot.incidents.decision import Decision
from bot.incidents.effects import Attempt, Effect, InvitePeople, PageOnCall
from bot.incidents.inputs import Input, PageAccepted
from bot.store import Store
from bot.worker.unrecorded import MOST, REST, Unrecorded
from tests.builders import NOON


class Pager:
    """Takes pages, but for those of incidents that it `refuses`."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.refuses: set[int] = set()

    def deliver(self, effect: Effect, attempt: Attempt) -> Input | None:
        assert isinstance(effect, PageOnCall)
        self.asked.append(effect.incident)
        if effect.incident in self.refuses:
            raise TryLater("no room")
        return PageAccepted(effect.incident, effect.dedup_key, NOON)


def page(incident: int, severity: str = "critical") -> PageOnCall:
    return PageOnCall(incident=incident, dedup_key=f"key {incident}", pager="default", summary="s", severity=severity, source="x")


def asked_for(store: Store, *effects: Effect) -> None:
    with store.writing() as work:
        work.save(Decision(effects=effects), NOON)


@pytest.fixture
def pager():
    return Pager()


def unrecorded(store: Store, pager: Pager, at=lambda: NOON) -> Unrecorded:
    return Unrecorded(store=store, deliver=pager.deliver, clock=at)


def test_however_much_else_waits_a_page_goes_out(store, pager):
    asked_for(store, page(1), *(InvitePeople(incident=number) for number in range(2, MOST + 52)))

    assert unrecorded(store, pager).page() == 1
    assert pager.asked == [1]


def test_the_worst_go_first_and_each_goes_once(store, pager):
    asked_for(store, page(1, "warning"), page(2, "critical"), page(3, "error"))
    mine = unrecorded(store, pager)

    assert mine.page() == 3
    assert mine.page() == 0
    assert pager.asked == [2, 3, 1]


def test_of_more_than_are_read_at_once_all_go_out(store, pager):
    asked_for(store, *(page(number) for number in range(1, MOST + 11)))
    mine = unrecorded(store, pager)

    assert [mine.page() for _ in range(3)] == [MOST, 10, 0]
    assert sorted(pager.asked) == list(range(1, MOST + 11))


def test_those_that_are_not_taken_stand_before_nobody_and_are_asked_for_again(store, pager):
    now = NOON
    pager.refuses = set(range(1, MOST + 1))
    asked_for(store, *(page(number) for number in range(1, MOST + 2)))
    mine = unrecorded(store, pager, lambda: now)

    assert mine.page() == 0
    assert mine.page() == 1
    assert pager.asked[-1] == MOST + 1
    pager.refuses = set()
    now += REST + timedelta(seconds=1)
    assert mine.page() == MOST
