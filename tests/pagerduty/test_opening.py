"""Pages by escalation policy: an incident opened over REST, once, looked for where nobody knows, and ended there."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from bot.errors import Ambiguous, GaveUp, OverBudget, TryLater
from bot.incidents.effects import AcknowledgePage, PageNextLevel, PageOnCall, PagePerson, PageService, ResolvePage
from bot.incidents.incident import OtherPage, PageState, Status, others_key
from bot.incidents.inputs import LevelAsked, PageAccepted, PageDropped, SomeoneAsked, SomeoneNotAsked
from bot.incidents.pagers import ByPolicy, by_policy
from bot.pagerduty.client import MEND_FROM, MEND_POLICY, MEND_TOKEN, Client
from bot.pagerduty.deliver import PagerDeliverer
from bot.pagerduty.limits import Budget
from bot.pagerduty.reports import Reports
from bot.store.people import Person
from sandbox.app import Sandbox
from sandbox.pagerduty.account import LEADS
from sandbox.serving import running
from sandbox.world import World
from tests.builders import ANA, NOON, after, pager
from tests.pagerduty.standin import answer, reset, silence, standing_in
from tests.pagerduty.test_deliver import BY_ANA, FIRST, KEY, LOST, OVER, page_of, saved

BY = ByPolicy(LEADS, "PSCHECK")
PAGE = PageOnCall(
    incident=7, dedup_key=KEY, pager=str(BY), summary="SEV1 INC-7: slow", severity="critical", source="checkout",
    details={"service": "checkout"}, links=(("https://grafana.example.com/d/1", "Dashboard"),),
)  # fmt: skip
NONE = answer(200, {"incidents": []})
SHOWN = {"id": "Q1", "status": "triggered", "incident_key": KEY}
MADE = answer(201, {"incident": SHOWN})
ONE = answer(200, {"incidents": [SHOWN]})
REFUSED = answer(400, {"error": {"message": "Invalid Input Provided", "code": 2001, "errors": ["Service Not Found"]}})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(World(is_strict=False)) as made:
        made.account.leads[:] = ["PUBEN01", "PUCHLO1"]
        yield made


def deliverer(store, url, *, token="t-of-a-test", from_email="firstfive@example.com", seconds=2.0):
    client = Client(token=SecretStr(token), from_email=from_email, api_url=url, events_url=url, timeout_seconds=seconds)
    return PagerDeliverer(
        client=client, store=store, clock=lambda: after(9), key_named=lambda name: "", budget=Budget(time.monotonic),
        reports=Reports(client=client, store=store, clock=lambda: after(9)),
    )  # fmt: skip


def against(sandbox, store, from_email="chloe@example.com"):
    world = sandbox.world
    return deliverer(store, f"{world.origin}/pagerduty/api", token=world.pagerduty_token, from_email=from_email)


def asked(neighbour):
    return [one.line.partition(" HTTP")[0].partition("?")[0] for one in neighbour.asked]


# --- one word for both ------------------------------------------------------------------------


@given(some.text())
def test_a_name_of_a_key_is_never_taken_for_an_escalation_policy(name):
    assert by_policy(name) is None


def test_an_escalation_policy_is_read_as_it_was_written():
    assert by_policy(str(BY)) == BY
    assert by_policy(None) is None


# --- opening ----------------------------------------------------------------------------------


def test_an_incident_is_opened_by_its_policy_on_its_service_and_only_then_called_accepted(store, sandbox):
    found = against(sandbox, store).deliver(PAGE, FIRST)

    assert isinstance(found, PageAccepted)
    [made] = sandbox.account.incidents
    assert (made.key, made.title, made.policy, made.service.name, made.urgency) == (KEY, PAGE.summary, LEADS, "checkout", "high")
    assert (made.status, made.assignees) == ("triggered", ["PUBEN01"])
    [posted] = sandbox.account.ledger
    assert posted["from"] == "chloe@example.com"
    assert posted["body"]["details"] == "service: checkout\nDashboard: https://grafana.example.com/d/1"


@pytest.mark.parametrize("attempt", [FIRST, LOST])
def test_what_pagerduty_has_is_adopted_and_never_opened_twice(store, sandbox, attempt):
    bot = against(sandbox, store)
    bot.deliver(PAGE, FIRST)

    assert isinstance(bot.deliver(PAGE, attempt), PageAccepted)
    assert len(sandbox.account.incidents) == 1


def test_what_was_resolved_there_while_its_answer_was_lost_rings_nobody_again(store, sandbox):
    bot = against(sandbox, store)
    bot.deliver(PAGE, FIRST)
    sandbox.account.resolve(sandbox.account.incidents[0], "PUBEN01")

    assert isinstance(bot.deliver(PAGE, LOST), PageAccepted)
    assert len(sandbox.account.incidents) == 1


@pytest.mark.parametrize("behaviour", [reset, silence, answer(500), answer(502), answer(201), answer(201, {}), answer(201, b'{"inc')])
def test_where_nobody_knows_whether_it_was_opened_it_is_looked_for_before_it_is_opened(store, behaviour):
    with standing_in(behaviour, ONE) as neighbour:
        bot = deliverer(store, neighbour.url, seconds=0.5)
        with pytest.raises(Ambiguous):
            bot.deliver(PAGE, FIRST)
        assert isinstance(bot.deliver(PAGE, LOST), PageAccepted)
    assert asked(neighbour) == ["POST /incidents", "GET /incidents"]

    with standing_in(behaviour, NONE, MADE) as neighbour:
        bot = deliverer(store, neighbour.url, seconds=0.5)
        with pytest.raises(Ambiguous):
            bot.deliver(PAGE, FIRST)
        assert isinstance(bot.deliver(PAGE, LOST), PageAccepted)
    assert asked(neighbour) == ["POST /incidents", "GET /incidents", "POST /incidents"]
    assert "incident_key=" in neighbour.asked[1].line


@pytest.mark.parametrize("behaviour", [answer(500), answer(503), reset])
def test_where_the_question_itself_fails_nothing_is_opened(store, behaviour):
    with standing_in(behaviour) as neighbour, pytest.raises(TryLater):
        deliverer(store, neighbour.url).deliver(PAGE, LOST)

    assert asked(neighbour) == ["GET /incidents"]


def test_where_a_refusal_cannot_be_looked_into_nobody_knows(store):
    with standing_in(REFUSED, answer(503), ONE) as neighbour:
        bot = deliverer(store, neighbour.url)
        with pytest.raises(Ambiguous):
            bot.deliver(PAGE, FIRST)
        assert isinstance(bot.deliver(PAGE, LOST), PageAccepted)
    assert asked(neighbour) == ["POST /incidents", "GET /incidents", "GET /incidents"]


def test_what_pagerduty_refuses_for_good_paged_nobody_and_says_what_to_compare(store):
    with standing_in(REFUSED, NONE) as neighbour, pytest.raises(GaveUp) as gave_up:
        deliverer(store, neighbour.url).deliver(PAGE, FIRST)

    assert "Service Not Found" in gave_up.value.reason
    assert gave_up.value.mend == MEND_POLICY
    assert asked(neighbour) == ["POST /incidents", "GET /incidents"]


@pytest.mark.parametrize("wrong", [{"service": "PSNONE1"}, {"policy": "PNONE11"}])
def test_ids_that_pagerduty_does_not_know_page_nobody(store, sandbox, wrong):
    with pytest.raises(GaveUp):
        against(sandbox, store).deliver(replace(PAGE, pager=str(replace(BY, **wrong))), FIRST)

    assert sandbox.account.incidents == []


def test_a_policy_that_nobody_is_on_pages_nobody(store, sandbox):
    sandbox.account.leads[:] = ["", ""]
    with pytest.raises(GaveUp, match="No User On Call"):
        against(sandbox, store).deliver(PAGE, FIRST)


def test_an_incident_that_the_bots_own_user_was_given_is_no_page(store, sandbox):
    for _ in range(2):
        with pytest.raises(GaveUp, match="nobody was woken") as gave_up:
            against(sandbox, store, "ben@example.com").deliver(PAGE, FIRST)
        assert gave_up.value.mend == MEND_FROM
    assert len(sandbox.account.incidents) == 1


@pytest.mark.parametrize(
    ("given", "mend"), [({"token": ""}, MEND_TOKEN), ({"from_email": ""}, MEND_FROM)],
)  # fmt: skip
def test_without_a_token_or_a_user_pagerduty_is_not_even_asked(store, given, mend):
    with standing_in(MADE) as neighbour, pytest.raises(GaveUp) as gave_up:
        deliverer(store, neighbour.url, **given).deliver(PAGE, FIRST)

    assert (gave_up.value.mend, neighbour.connections) == (mend, 0)


def test_a_refused_token_waits_for_a_person(store):
    with standing_in(answer(401, {"error": {"message": "Unauthorized"}})) as neighbour, pytest.raises(TryLater) as later:
        deliverer(store, neighbour.url).deliver(PAGE, FIRST)

    assert later.value.mend == MEND_TOKEN
    assert not isinstance(later.value, Ambiguous)


def test_a_limit_is_waited_out_without_asking_again(store):
    with standing_in(answer(429, {"error": {"code": 2020}}, ratelimit_reset="30")) as neighbour:
        bot = deliverer(store, neighbour.url)
        with pytest.raises(TryLater) as later:
            bot.deliver(PAGE, FIRST)
        assert later.value.after == timedelta(seconds=30)
        with pytest.raises(OverBudget):
            bot.deliver(PAGE, FIRST)

    assert neighbour.connections == 1


# --- what is asked of it afterwards -----------------------------------------------------------


def opened(sandbox, store):
    """A page that PagerDuty has, in a record that knows so."""
    saved(store, page_of(PageState.ACCEPTED, pager=str(BY), episode={"accepted_at": after(1)}))
    store.remember_people([Person(ANA, email="ana@example.com")], NOON)
    bot = against(sandbox, store)
    bot.deliver(PAGE, FIRST) or bot._opening.open(KEY, BY, title="x", details="", severity="critical", rank=1, is_lost=False)
    return bot, sandbox.account.incidents[0]


def test_it_is_acknowledged_in_the_persons_name_and_resolved_once(store, sandbox):
    bot, page = opened(sandbox, store)

    bot.deliver(AcknowledgePage(incident=7, dedup_key=KEY, pager=str(BY), by=ANA), FIRST)
    assert (page.status, page.acknowledged_by) == ("acknowledged", "PUANA01")
    for _ in range(2):
        bot.deliver(ResolvePage(incident=7, dedup_key=KEY, pager=str(BY)), FIRST)
    assert page.status == "resolved"
    assert [one["type"] for one in page.log].count("resolve_log_entry") == 1


def test_whom_pagerduty_does_not_know_acknowledges_in_the_bots_name_which_counts_as_nobody(store, sandbox):
    bot, page = opened(sandbox, store)

    bot.deliver(AcknowledgePage(incident=7, dedup_key=KEY, pager=str(BY), by="U0DMITRI1"), FIRST)
    assert (page.status, page.acknowledged_by) == ("acknowledged", "PUCHLO1")
    by_the_bot = replace(pager("acknowledged", after(2), "Chloe").report, person="PUCHLO1")
    assert not bot._reports.as_input(7, by_the_bot).report.is_human
    by_ana = replace(by_the_bot, person="PUANA01")
    assert bot._reports.as_input(7, by_ana).report.is_human


def test_it_escalates_and_asks_a_person(store, sandbox):
    bot, page = opened(sandbox, store)

    found = bot.deliver(PageNextLevel(incident=7, dedup_key=KEY, level=2), FIRST)
    assert isinstance(found, LevelAsked)
    assert (page.level, page.assignees) == (2, ["PUCHLO1"])
    asked = bot.deliver(PagePerson(incident=7, dedup_key=KEY, person=ANA, by=ANA, message="Help"), FIRST)
    assert isinstance(asked, SomeoneAsked)
    assert page.assignees == ["PUCHLO1", "PUANA01"]


@pytest.mark.parametrize(("state", "waits"), [(PageState.ACCEPTED, True), (PageState.REFUSED, False), (PageState.DROPPED, False)])
def test_the_end_of_what_is_not_there_waits_only_where_pagerduty_took_it(store, state, waits):
    saved(store, page_of(state, pager=str(BY), episode={"ended_at": after(3)}, status=Status.RESOLVED))
    with standing_in(NONE) as neighbour:
        bot = deliverer(store, neighbour.url)
        effect = ResolvePage(incident=7, dedup_key=KEY, pager=str(BY))
        if waits:
            with pytest.raises(TryLater):
                bot.deliver(effect, FIRST)
        else:
            assert bot.deliver(effect, FIRST) is None
    assert asked(neighbour) == ["GET /incidents"]


def test_who_was_faster_than_our_end_is_no_failure(store):
    over = answer(200, {"incidents": [SHOWN | {"status": "resolved"}]})
    too_late = answer(400, {"error": {"message": "Incident Already Resolved", "code": 1001}})
    saved(store, page_of(PageState.ACCEPTED, pager=str(BY), episode={"accepted_at": after(1)}))
    with standing_in(ONE, too_late, over) as neighbour:
        assert deliverer(store, neighbour.url).deliver(ResolvePage(incident=7, dedup_key=KEY, pager=str(BY)), FIRST) is None
    assert asked(neighbour) == ["GET /incidents", "PUT /incidents/Q1", "GET /incidents"]


@pytest.mark.parametrize("how", OVER)
def test_a_page_that_is_over_is_not_opened_and_ended_where_it_may_have_been(store, sandbox, how):
    bot = against(sandbox, store)
    bot._opening.open(KEY, BY, title="x", details="", severity="critical", rank=1, is_lost=False)
    saved(store, replace(OVER[how], pager=str(BY)))

    found = bot.deliver(PAGE, LOST)
    assert isinstance(found, PageDropped)
    assert found.may_have_arrived
    assert sandbox.account.incidents[0].status == ("acknowledged" if "Slack" in how else "resolved")
    assert len(sandbox.account.incidents) == 1


def test_a_page_that_rings_again_is_sent(store, sandbox):
    saved(store, page_of(pager=str(BY), episode={**BY_ANA, "rings_since": after(2)}))

    assert isinstance(against(sandbox, store).deliver(PAGE, LOST), PageAccepted)


# --- another service --------------------------------------------------------------------------

HELP = PageService(
    incident=7, dedup_key=others_key(KEY, "payments", "payments"),
    pager=str(replace(BY, service="PSPAYME")), service="payments", by=ANA, summary="Help",
    severity="error",
)  # fmt: skip


def test_another_service_is_asked_by_its_policy_once(store, sandbox):
    bot = against(sandbox, store)

    for attempt in (FIRST, LOST):
        assert isinstance(bot.deliver(HELP, attempt), SomeoneAsked)
    assert [(one.key, one.service.name) for one in sandbox.account.incidents] == [(HELP.dedup_key, "payments")]


@pytest.mark.parametrize("attempt", [FIRST, LOST])
def test_another_service_is_not_woken_for_what_is_over_and_hears_of_its_end_where_it_may_have_been(store, sandbox, attempt):
    bot = against(sandbox, store)
    if attempt is LOST:
        bot.deliver(HELP, FIRST)
    asked_for = OtherPage("payments", HELP.pager, HELP.dedup_key)
    episode = {"ended_at": after(3), "others": (asked_for,)}
    saved(store, page_of(PageState.ACCEPTED, pager=str(BY), episode=episode, status=Status.RESOLVED))

    found = bot.deliver(HELP, attempt)

    assert isinstance(found, SomeoneNotAsked)
    assert "was over before" in found.reason
    assert found.dedup_key == HELP.dedup_key
    assert [one.status for one in sandbox.account.incidents] == (["resolved"] if attempt is LOST else [])


def test_another_service_that_cannot_be_asked_is_said_so(store):
    with standing_in(REFUSED, NONE) as neighbour:
        found = deliverer(store, neighbour.url).deliver(HELP, FIRST)

    assert isinstance(found, SomeoneNotAsked)
    assert found.mend == MEND_POLICY


def test_the_bot_s_own_acknowledgement_of_a_page_of_others_is_no_person_s(store, sandbox):
    bot = against(sandbox, store)
    bot.deliver(HELP, FIRST)
    asked_for = OtherPage("payments", HELP.pager, HELP.dedup_key, accepted_at=after(1))
    saved(store, page_of(PageState.ACCEPTED, pager="default", episode={"accepted_at": after(1), "others": (asked_for,)}))
    own = bot._reports.own_id()
    assert own
    report = pager("acknowledged", after(2), "bot", key=HELP.dedup_key).report

    assert not bot._reports.of_ours(replace(report, person=own)).report.is_human
    assert bot._reports.of_ours(replace(report, person="PUBEN01")).report.is_human
