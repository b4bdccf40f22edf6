"""Pages on their way to PagerDuty: nobody is woken for what is over or taken, and nothing is left ringing."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.errors import Ambiguous, GaveUp, OverBudget, TryLater
from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.effects import AcknowledgePage, Attempt, Lane, PageNextLevel, PageOnCall, PagePerson, ResolvePage
from bot.incidents.incident import PageState, Status
from bot.incidents.inputs import Acknowledge, LevelNotAsked, PageAccepted, PageDropped, PagerReported, Resolve, SomeoneAsked
from bot.pagerduty.client import Client
from bot.pagerduty.deliver import KNOWN_WITHIN, PagerDeliverer
from bot.pagerduty.limits import Budget
from bot.pagerduty.reports import Reports
from bot.store.people import Person
from bot.worker.deliveries import Deliveries
from bot.worker.leases import Leases
from tests.builders import ANA, BEN, NOON, POLICY, after, incident, pager
from tests.pagerduty.standin import answer, nobody_there, reset, standing_in

KEY = incident().episode.dedup_key
PAGE = PageOnCall(incident=7, dedup_key=KEY, pager="default", summary="s", severity="critical", source="x")
NOT_TAKEN = {"accepted_at": None}
TAKEN = answer(202, {"status": "success"})
DOWN = answer(503, {"error": {"message": "down"}})
FIRST, LOST = Attempt("1", 2, False, NOON), Attempt("1", 2, True, NOON)
BY_ANA = {"acknowledged_at": after(1), "acknowledged_by": ANA, "acknowledged_via": "slack"}


def page_of(state: PageState = PageState.DELAYED, **changes):
    episode = {"page": state, **NOT_TAKEN, **changes.pop("episode", {})}
    return incident(episode=episode, **changes)


def saved(store, one):
    with store.writing() as work:
        work.save(Decision(incident=one), NOON)


def deliverer(store, url, token=""):
    client = Client(token=SecretStr(token), from_email="", api_url=url, events_url=url)
    return PagerDeliverer(
        client=client, store=store, clock=lambda: after(9), key_named=lambda name: "k" * 32, budget=Budget(time.monotonic),
        reports=Reports(client=client, store=store, clock=lambda: after(9)),
    )  # fmt: skip


def sent(neighbour):
    return [one.json["event_action"] for one in neighbour.asked]


OVER = {
    "resolved": page_of(status=Status.RESOLVED, episode={"ended_at": after(3)}),
    "cancelled": page_of(PageState.REQUESTED, status=Status.CANCELLED, episode={"ended_at": after(3)}),
    "merged": page_of(status=Status.MERGED, episode={"ended_at": after(3)}),
    "taken up in Slack": page_of(status=Status.ACKNOWLEDGED, episode=BY_ANA),
}


@pytest.mark.parametrize("how", OVER)
def test_a_page_that_pagerduty_never_had_wakes_nobody_once_it_is_over_or_somebody_is_on_it(store, how):
    saved(store, OVER[how])
    with standing_in(TAKEN) as neighbour:
        found = deliverer(store, neighbour.url).deliver(PAGE, FIRST)

    assert isinstance(found, PageDropped)
    assert (found.may_have_arrived, neighbour.connections) == (False, 0)


@pytest.mark.parametrize(("how", "ends"), [(how, "acknowledge" if "Slack" in how else "resolve") for how in OVER])
def test_a_page_that_may_have_arrived_is_ended_there_too(store, how, ends):
    saved(store, OVER[how])
    with standing_in(TAKEN) as neighbour:
        found = deliverer(store, neighbour.url).deliver(PAGE, LOST)

    assert isinstance(found, PageDropped)
    assert found.may_have_arrived
    assert sent(neighbour) == [ends]
    assert neighbour.asked[0].json["dedup_key"] == KEY


@pytest.mark.parametrize("behaviour", [DOWN, reset])
def test_a_page_that_may_have_arrived_is_not_called_dropped_before_its_end_is_told(store, behaviour):
    saved(store, OVER["resolved"])
    with standing_in(behaviour) as neighbour, pytest.raises(TryLater):
        deliverer(store, neighbour.url).deliver(PAGE, LOST)


@pytest.mark.parametrize("attempt", [FIRST, LOST])
def test_a_page_that_pagerduty_is_known_to_have_is_not_sent_again(store, attempt):
    saved(store, incident())
    with standing_in(TAKEN) as neighbour:
        assert deliverer(store, neighbour.url).deliver(PAGE, attempt) is None

    assert neighbour.connections == 0


WAITS = {
    "asked for": page_of(PageState.REQUESTED),
    "late": page_of(),
    "refused once, sent again by hand": page_of(PageState.REFUSED),
    "rings again": page_of(episode={**BY_ANA, "rings_since": after(2)}),
}


@pytest.mark.parametrize("attempt", [FIRST, LOST])
@pytest.mark.parametrize("how", WAITS)
def test_a_page_that_somebody_still_waits_for_is_sent(store, how, attempt):
    saved(store, WAITS[how])
    with standing_in(TAKEN) as neighbour:
        found = deliverer(store, neighbour.url).deliver(PAGE, attempt)

    assert isinstance(found, PageAccepted)
    assert sent(neighbour) == ["trigger"]


def test_an_acknowledgement_of_a_page_that_never_arrived_waits_for_nothing(store):
    dropped = page_of(PageState.DROPPED, status=Status.ACKNOWLEDGED, episode=BY_ANA)
    saved(store, dropped)
    store.remember_people([Person(ANA, email="ana@example.com")], NOON)
    with standing_in(answer(200, {"incidents": []})) as neighbour:
        acknowledge = AcknowledgePage(incident=7, dedup_key=KEY, pager="default", by=ANA)
        assert deliverer(store, neighbour.url, "token").deliver(acknowledge, FIRST) is None

    assert neighbour.connections == 0


@pytest.mark.parametrize("state", [PageState.DROPPED])
def test_a_page_that_never_arrived_has_no_next_level_and_that_is_said(store, state):
    saved(store, page_of(state, status=Status.ACKNOWLEDGED, episode=BY_ANA))
    found = deliverer(store, nobody_there(), "token").deliver(PageNextLevel(incident=7, dedup_key=KEY, level=2), FIRST)

    assert isinstance(found, LevelNotAsked)
    assert "never took" in found.reason


def test_what_pagerduty_should_end_is_ended_whatever_became_of_the_page(store):
    saved(store, page_of(PageState.DROPPED, status=Status.RESOLVED, episode={"ended_at": after(3)}))
    with standing_in(TAKEN) as neighbour:
        deliverer(store, neighbour.url).deliver(ResolvePage(incident=7, dedup_key=KEY, pager="default"), FIRST)

    assert sent(neighbour) == ["resolve"]


# --- together with the record -----------------------------------------------------------------


class Pager:
    """INC-7 with its page in line, a PagerDuty that may be away, and a clock that moves."""

    def __init__(self, store, url):
        self.store, self.now = store, NOON
        self.door = Door(store, lambda: self.now, lambda: POLICY, lambda: ())
        self.work = Deliveries(
            lanes=[Lane.PAGER], deliver=deliverer(store, url).deliver, store=store, door=self.door,
            leases=Leases(store, timedelta(seconds=10)),
        )  # fmt: skip
        with store.writing() as work:
            work.save(Decision(incident=page_of(PageState.REQUESTED), effects=(PAGE,)), NOON)

    def works(self):
        for _ in range(6):
            self.work.run_once()

    def types(self):
        return [one.type for one in self.store.timeline("INC-7")]


def test_pagerduty_coming_back_wakes_nobody_for_what_was_resolved_meanwhile(store):
    with standing_in(DOWN, TAKEN) as neighbour:
        pager_ = Pager(store, neighbour.url)
        pager_.works()
        pager_.door.handle(Acknowledge(7, ANA))
        pager_.door.handle(Resolve(7, ANA))
        pager_.now = after(60)
        pager_.works()

    assert [one for one in sent(neighbour) if one == "trigger"] == ["trigger"], "only the one that was answered with 503"
    assert store.incident(7).episode.page is PageState.DROPPED
    assert pager_.types()[-1] == "page_dropped"
    assert "page_accepted" not in pager_.types()
    assert store.outbox_depth().keys() <= {"pending"}


def test_nothing_rings_for_what_was_resolved_on_the_phone_while_the_sender_was_gone(store):
    with standing_in(TAKEN) as neighbour:
        pager_ = Pager(store, neighbour.url)
        store.claim([Lane.PAGER], "died after the 202", NOON, lease=timedelta(seconds=-1))
        pager_.now = after(1)
        pager_.door.handle(pager("resolved", after(seconds=5), ANA))
        pager_.works()

    assert sent(neighbour) == []
    assert store.incident(7).status is Status.RESOLVED
    assert pager_.types()[:2] == ["page_accepted", "resolved"]


def test_a_page_over_before_its_first_try_is_said_to_be_dropped(store):
    with standing_in(TAKEN) as neighbour:
        pager_ = Pager(store, neighbour.url)
        pager_.door.handle(Resolve(7, ANA))
        pager_.works()

    assert sent(neighbour) == ["resolve"]
    assert pager_.types() == ["resolved", "page_dropped"]


def test_a_dropped_page_that_pagerduty_had_after_all_is_called_accepted(store):
    saved(store, page_of(PageState.DROPPED, status=Status.ACKNOWLEDGED, episode=BY_ANA))
    door = Door(store, lambda: after(3), lambda: POLICY, lambda: ())
    told = pager("triggered", after(seconds=2))
    assert isinstance(told, PagerReported)
    door.handle(told)

    assert store.incident(7).episode.page is PageState.ACCEPTED


def test_without_a_key_a_page_that_may_have_arrived_is_given_up_and_said(store):
    saved(store, OVER["resolved"])
    client = Client(token=SecretStr(""), from_email="", api_url=nobody_there(), events_url=nobody_there())
    keyless = PagerDeliverer(
        client=client, store=store, clock=lambda: NOON, key_named=lambda name: "", budget=Budget(time.monotonic),
        reports=Reports(client=client, store=store, clock=lambda: NOON),
    )  # fmt: skip

    with pytest.raises(GaveUp):
        keyless.deliver(PAGE, LOST)


def test_after_a_429_nothing_else_is_sent_with_that_key_until_its_wait_is_over(store):
    for number in (1, 2):
        saved(store, page_of(number=number))
    with standing_in(answer(429, {"status": "throttle exceeded"}, Retry_After="30")) as neighbour:
        sends = deliverer(store, neighbour.url)
        with pytest.raises(TryLater) as limited:
            sends.deliver(PAGE, FIRST)
        with pytest.raises(OverBudget) as held:
            sends.deliver(replace(PAGE, incident=2), FIRST)

    assert limited.value.after == timedelta(seconds=30)
    assert timedelta(seconds=29) < held.value.wait <= timedelta(seconds=30)
    assert neighbour.connections == 1


def test_a_key_that_is_refused_keeps_nobody_from_hearing_that_his_page_is(store):
    for number in (1, 2):
        saved(store, page_of(number=number))
    with standing_in(answer(403)) as neighbour:
        sends = deliverer(store, neighbour.url)
        for number in (1, 2):
            with pytest.raises(TryLater) as refused:
                sends.deliver(replace(PAGE, incident=number), FIRST)
            assert refused.value.mend

    assert neighbour.connections == 2


def test_the_next_level_of_a_page_that_is_lost_waits_for_the_page_that_is_in_line_behind_it(store):
    saved(store, page_of(PageState.DELAYED, episode={"unseen": 1, "asked_level": 2}))
    with standing_in(TAKEN) as neighbour:
        level = PageNextLevel(incident=7, dedup_key=KEY, level=2)
        assert deliverer(store, neighbour.url, token="t").deliver(level, FIRST) is None

    assert neighbour.connections == 0


def test_an_acknowledgement_of_a_page_that_was_taken_and_lost_is_told_by_its_key(store):
    store.remember_people([Person(ANA, email="ana@example.com")], NOON)
    saved(store, page_of(PageState.DROPPED, episode={**BY_ANA, "unseen": 1}))
    with standing_in(TAKEN) as neighbour:
        deliverer(store, neighbour.url, token="t").deliver(AcknowledgePage(incident=7, dedup_key=KEY, pager="default", by=ANA), FIRST)

    assert sent(neighbour) == ["acknowledge"]


@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_a_gateway_that_had_no_answer_may_have_handed_the_request_on_so_it_is_looked_for_before_anybody_is_asked_twice(store, status):
    """PagerDuty takes the request, and its gateway says otherwise."""
    store.remember_people([Person(BEN, email="ben@example.com", pagerduty_id="PBEN")], NOON)
    requests = []

    def account(caller):
        if caller.line.startswith("POST"):
            target = {"responder_request_target": {"id": "PBEN", "type": "user"}}
            requests.append({"requested_at": NOON.isoformat(), "responder_request_targets": [target]})
            answer(status)(caller)
        else:
            answer(200, {"incidents": [{"id": "Q1", "responder_requests": requests}]})(caller)

    effect = PagePerson(incident=7, dedup_key=KEY, person=BEN, by=BEN, message="help")
    row = Attempt("1", 1, False, NOON)
    with standing_in(account) as neighbour:
        sends = deliverer(store, neighbour.url, token="t")
        with pytest.raises(Ambiguous):
            sends.deliver(effect, row)
        assert isinstance(sends.deliver(effect, replace(row, number=2, is_ambiguous=True)), SomeoneAsked)

    assert len(requests) == 1


@pytest.mark.parametrize(
    ("known", "waited", "said"),
    [
        (None, timedelta(), "not known yet who that is"),
        (None, KNOWN_WITHIN, "Slack has not told yet who that is"),
        (Person(BEN), timedelta(), "no e-mail address"),
        (Person(BEN, email="ben@example.com"), timedelta(), "no user with that person's e-mail address"),
    ],
    ids=["just started", "still not known", "no address", "not in PagerDuty"],
)
def test_why_somebody_is_not_asked_is_told_as_it_is(store, known, waited, said):
    if known is not None:
        store.remember_people([known], NOON)

    def account(caller):
        found = {"users": []} if "/users" in caller.line else {"incidents": [{"id": "Q1", "responder_requests": []}]}
        answer(200, found)(caller)

    effect = PagePerson(incident=7, dedup_key=KEY, person=BEN, by=BEN, message="help")
    with standing_in(account) as neighbour:
        asks = deliverer(store, neighbour.url, token="t")
        row = Attempt("1", 3, False, after(9) - waited)
        if known is None and not waited:
            with pytest.raises(TryLater, match=said):
                asks.deliver(effect, row)
        else:
            assert said in asks.deliver(effect, row).reason
