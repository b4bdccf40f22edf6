"""Who is on call: read now and then, kept with its time, and never made up."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from bot.handle import Door
from bot.incidents.oncall import OnCall, Rota, Turn
from bot.pagerduty.client import Client
from bot.pagerduty.oncall import OnCallList
from bot.pagerduty.reports import Reports
from bot.slack.views import answers
from bot.store import outbox as outbox_rows
from bot.store.people import Person
from tests.builders import ANA, BEN, NOON, POLICY, after, incident
from tests.pagerduty.standin import answer, standing_in

MONDAY = datetime(2026, 6, 15, 9, tzinfo=UTC)
SEEN = OnCall(NOON, (Rota("P1", "Everybody", (Turn(1, ANA, MONDAY), Turn(2, BEN))), Rota("P2", "Payments", (Turn(1, "Chloe"),))))


def turn(policy, level, user, end=None):
    return {
        "escalation_policy": {"id": policy, "summary": f"Policy {policy}"}, "escalation_level": level,
        "user": {"id": user, "summary": f"{user} by name"}, "schedule": None, "start": None, "end": end,
    }  # fmt: skip


def asked(store, *answers_):
    """Ask a PagerDuty that answers so, page after page; what is kept then."""
    with standing_in(*answers_) as standin:
        client = Client(token=SecretStr("t"), from_email="", api_url=standin.url, events_url=standin.url)
        reports = Reports(client=client, store=store, clock=lambda: NOON)
        door = Door(store, lambda: NOON, lambda: POLICY, lambda: ())
        OnCallList(client=client, reports=reports, store=store, clock=lambda: NOON, door=door).run_once()
    return store.on_call()


def page(*turns, more=False):
    return answer(200, {"oncalls": list(turns), "more": more})


def test_people_are_found_again_in_slack_and_levels_come_in_order(store):
    store.remember_people([Person(ANA, pagerduty_id="PANA"), Person(BEN, pagerduty_id="PBEN")], NOON)

    found = asked(store, page(turn("P1", 2, "PBEN"), turn("P1", 1, "PANA", "2026-06-15T09:00:00Z")))

    assert found == OnCall(NOON, (Rota("P1", "Policy P1", (Turn(1, ANA, MONDAY), Turn(2, BEN))),))


def test_every_page_of_the_list_is_read(store):
    store.remember_people([Person(ANA, pagerduty_id="PANA"), Person(BEN, pagerduty_id="PBEN")], NOON)

    found = asked(store, page(turn("P1", 1, "PANA"), more=True), page(turn("P2", 1, "PBEN")))

    assert [one.id for one in found.rotas] == ["P1", "P2"]


def test_whoever_slack_does_not_know_keeps_their_name(store):
    found = asked(store, page(turn("P1", 1, "PX")), answer(404, {}))

    assert found.rotas[0].turns == (Turn(1, "PX by name"),)


def test_an_answer_that_does_not_come_leaves_the_last_list_with_its_age(store):
    store.set_on_call(SEEN)

    assert asked(store, answer(503)) == SEEN


@pytest.mark.parametrize("entry", [{}, {"escalation_policy": None, "user": 7}, turn("P1", "first", "PANA")])
def test_what_cannot_be_read_is_left_out(store, entry):
    assert asked(store, page(entry)).rotas == ()


def said(message):
    texts = [block.get("text", {}).get("text", "") for block in message.blocks]
    return "\n".join([*texts, *(one["text"] for block in message.blocks for one in block.get("elements", []) if "text" in one)])


def test_who_shows_the_levels_of_the_incidents_own_policy_and_how_old_that_is():
    shown = said(answers.who(incident(escalation_policy="P1"), after(2), SEEN))

    assert f"level 1: <@{ANA}> until" in shown
    assert f"level 2: <@{BEN}>" in shown
    assert "Payments" not in shown
    assert "As PagerDuty said 2 min 0 s ago." in shown


@pytest.mark.parametrize(
    ("seen", "words"),
    [(None, "not known here"), (SEEN, "PagerDuty named nobody on call for this"), (OnCall(NOON), "named nobody")],
)
def test_what_is_not_known_is_said_and_is_not_nobody(seen, words):
    shown = said(answers.who(incident(escalation_policy="P9"), after(2), seen))

    assert words in shown
    assert "level 1" not in shown.replace("· level 1", "")


def test_without_an_incident_everybody_on_call_is_shown():
    shown = said(answers.on_call(SEEN, after(2), "Nothing is open."))

    assert "Nothing is open." in shown
    assert "Everybody" in shown
    assert "Payments" in shown
    assert "level 1: Chloe" in shown


# --- what will not work at night --------------------------------------------------------------


def alarms(store):
    with store.reading() as work:
        rows = work.connection.execute(outbox_rows.outbox.select())
        return [outbox_rows.decode_tagged(row.payload).text for row in rows if row.kind == "RaiseAlarm"]


def test_nobody_on_call_is_an_alarm_once_a_day(store):
    asked(store, page())
    asked(store, page())

    assert [text.split(":")[0] for text in alarms(store)] == ["Nobody is on call in PagerDuty, at any level"]


def test_whoever_is_on_call_and_unknown_in_slack_is_an_alarm_and_others_are_not(store):
    store.remember_people([Person(ANA, pagerduty_id="PANA"), Person(BEN, pagerduty_id="PBEN", is_deleted=True)], NOON)

    asked(store, page(turn("P1", 1, "PANA"), turn("P1", 2, "PBEN"), turn("P1", 3, "PX")), answer(404, {}))

    assert [text.split(" is ")[0] for text in alarms(store)] == [BEN, "PX by name"]


@pytest.mark.parametrize("answered", [page(turn("P1", 1, "PX")), answer(503), answer(401)])
def test_what_is_not_known_is_no_alarm(store, answered):
    asked(store, answered, answer(404, {}))

    assert alarms(store) == []
