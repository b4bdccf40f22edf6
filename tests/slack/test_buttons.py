"""Buttons and forms: the same as what can be typed, with errors beside the field they are about."""

import json

import pytest

from bot.slack import ids
from sandbox.cast import BOT_USER
from tests.slack.office import ANA, BEN, EVE, Office

HERE = "inc-1-checkout-is-slow"


@pytest.fixture
def open_(office: Office) -> Office:
    office.declared()
    return office


def chosen(value: str) -> dict[str, object]:
    return {"type": "static_select", "selected_option": {"value": value}}


def picked(person: str) -> dict[str, object]:
    return {"type": "users_select", "selected_user": person}


def buttons(office: Office, channel: str = HERE) -> dict[str, str]:
    """The buttons on the newest card of a channel: label and action."""
    card = next(one for one in office.messages(channel) if one["ts"] == office.incident().summary.ts)
    return {
        one["text"]["text"]: one["action_id"]
        for block in card["blocks"] for one in block.get("elements", []) if one.get("type") == "button"
    }  # fmt: skip


# --- buttons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "said", "entry"),
    [
        (ids.ACKNOWLEDGE, "You acknowledged INC-1", "ack"), (ids.ESCALATE, "Asking PagerDuty for level 2", None),
        (ids.RESOLVE_NOW, "INC-1 is resolved", "resolved"), (ids.KEEP_OPEN, "INC-1 stays open", "kept_open"),
        (ids.PAGE_USEFUL, "counts as useful", "page_feedback"), (ids.PAGE_USELESS, "counts as not useful", "page_feedback"),
        (ids.POSTMORTEM, "Drafting the post-mortem", None), (ids.WHO, "Who is on INC-1", None),
        (ids.TIMELINE, "Timeline of INC-1", None),
        (ids.RUNBOOK, "📕", None), (ids.LINK, "", None),
    ],
)  # fmt: skip
def test_a_press_does_what_can_be_typed_and_tells_one_person(open_, action, said, entry):
    assert said in open_.presses(action, 1, channel=HERE)
    assert entry is None or entry in open_.types_of()


@pytest.mark.parametrize("action", [ids.UPDATE, ids.NOTE, ids.ROLES, ids.SEVERITY, ids.STATUS, ids.RESOLVE, ids.MERGE, ids.PAGE])
def test_a_press_that_needs_words_opens_a_form_from_the_card_and_from_its_menu(open_, action):
    for press in ((action, "1"), (ids.MORE, f"{action}:1")):
        assert open_.presses(*press, channel=HERE) == ""
        view = open_.view_of()
        assert view is not None
        assert "INC-1" in view["title"]["text"]
        open_.closes()


def test_the_card_offers_what_can_be_done_as_it_stands(open_):
    assert {"Acknowledge", "I can't: escalate", "Resolve"} <= set(buttons(open_))
    open_.types("ack", channel=HERE)
    open_.settle()
    assert "Acknowledge" not in buttons(open_)
    open_.types("resolve", channel=HERE)
    open_.settle()
    assert {"Reopen", "Post-mortem draft"} <= set(buttons(open_))


@pytest.mark.parametrize(
    ("action", "value", "said"),
    [
        (ids.ACKNOWLEDGE, 9, "There is no INC-9."), (ids.ACKNOWLEDGE, "", "There is no INC-"),
        (ids.ACKNOWLEDGE, "x" * 500, "There is no INC-"),
        ("a_button_of_old", 1, "belongs to an older version"), (ids.REOPEN, 1, "INC-1 is open already"),
        (ids.DECLARE, "no-such-alert", "That alert has cleared. `/incident declare`"), (ids.MORE, "", "There is no INC-"),
        (ids.TIMELINE_PAGE, "1:999", "Timeline of INC-1"), (ids.TIMELINE_PAGE, "1:x", "Timeline of INC-1"),
        (ids.TIMELINE_PAGE, f"1:{'9' * 400}", "Timeline of INC-1"),
    ],
)  # fmt: skip
def test_a_press_that_cannot_be_says_why_to_one_person(open_, action, value, said):
    before = open_.types_of()

    assert said in open_.presses(action, value, channel=HERE)
    assert open_.types_of() == before


def test_a_guest_who_presses_reads_why_not_and_may_look(open_):
    assert "Guests of this workspace" in open_.presses(ids.ACKNOWLEDGE, 1, EVE, HERE)
    assert "Who is on INC-1" in open_.presses(ids.WHO, 1, EVE, HERE)
    assert "ack" not in open_.types_of()


def test_an_answer_reaches_whoever_is_no_member_of_the_channel(open_):
    channel = open_.space.channel(open_.channel(HERE))
    channel.members[:] = [BOT_USER]

    assert "You acknowledged INC-1" in open_.presses(ids.ACKNOWLEDGE, 1, BEN, HERE)


def test_an_answer_whose_own_address_is_used_up_comes_through_the_channel(open_):
    body = open_.press(ids.WHO, 1, channel="incidents", response_url=f"{open_.world.origin}/slack/response/none")
    open_.sends(body)
    open_.rests()

    assert "Who is on INC-1" in open_.whispers(ANA)[-1]["text"]


# --- forms ------------------------------------------------------------------------------------


def test_a_form_from_anywhere_opens_an_incident_and_tells_its_number(office):
    office.types("declare")
    view = office.view_of()
    office.submits(ids.DECLARE_FORM, carries=json.loads(view["private_metadata"]), title="the cart is empty",
                   severity=chosen("SEV1"), service=chosen("checkout"), details="since noon")  # fmt: skip

    incident = office.incident()
    assert (incident.title, incident.severity.value, incident.service) == ("the cart is empty", "SEV1", "checkout")
    assert "INC-1 opened as SEV1" in office.whispers(ANA)[-1]["text"]


@pytest.mark.parametrize(
    ("form", "values", "entry"),
    [
        (ids.UPDATE_FORM, {"text": "rolling back", "next": chosen("15")}, "status_update"), (ids.NOTE_FORM, {"text": "x"}, "note"),
        (ids.ROLE_FORM, {"role": chosen("scribe"), "person": picked(BEN)}, "role"),
        (ids.SEVERITY_FORM, {"severity": chosen("SEV1")}, "severity_changed"),
        (ids.STATUS_FORM, {"status": chosen("identified"), "text": "a deploy"}, "status_changed"),
        (ids.RESOLVE_FORM, {"text": "rolled back"}, "resolved"), (ids.PAGE_FORM, {"person": picked(BEN)}, "responder_requested"),
        (ids.PAGE_FORM, {"service": chosen("payments")}, "responder_requested"),
    ],
)  # fmt: skip
def test_a_form_does_what_can_be_typed_and_closes(open_, form, values, entry):
    assert open_.submits(form, carries={"incident": 1}, **values) is None
    assert entry in open_.types_of()


@pytest.mark.parametrize(
    ("form", "values", "field", "said"),
    [
        (ids.DECLARE_FORM, {"title": " ", "severity": chosen("SEV2")}, "title", "An incident needs a title"),
        (ids.DECLARE_FORM, {"title": "x", "severity": chosen("SEV9")}, "severity", "Choose one of these."),
        (ids.UPDATE_FORM, {"text": " "}, "text", "An update needs words: /incident update"),
        (ids.NOTE_FORM, {"text": ""}, "text", "A note needs words"), (ids.NOTE_FORM, {"text": "x" * 2900}, "text", "at most 2800"),
        (ids.ROLE_FORM, {"role": chosen("scribe"), "person": picked("")}, "person", "Choose a person."),
        (ids.ROLE_FORM, {"role": chosen("king"), "person": picked(BEN)}, "role", "Choose one of these."),
        (ids.SEVERITY_FORM, {"severity": chosen("SEV2")}, "severity", "INC-1 is SEV2 already."),
        (ids.SEVERITY_FORM, {"severity": chosen("")}, "severity", "Choose one of these."),
        (ids.STATUS_FORM, {"status": chosen("gone")}, "status", "Choose one of these."),
        (ids.STATUS_FORM, {"status": chosen("triggered")}, "status", "/incident escalate pages the next level"),
        (ids.MERGE_FORM, {"into": "the other"}, "into", "Write an incident's number, such as INC-7."),
        (ids.MERGE_FORM, {"into": "INC-9"}, "into", "There is no INC-9."), (ids.MERGE_FORM, {"into": "1"}, "into", "into itself"),
        (ids.PAGE_FORM, {"person": picked(""), "service": chosen("")}, "person", "Choose a person or a service."),
        ("form_of_old", {"text": "x"}, "text", "older version of the bot. Open it again."),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_form_stands_beside_its_field(open_, form, values, field, said):
    before = open_.types_of()
    answer = open_.submits(form, carries={"incident": 1}, **values)

    assert answer["response_action"] == "errors"
    assert list(answer["errors"]) == [field]
    assert said in answer["errors"][field]
    assert "`" not in answer["errors"][field]
    assert open_.types_of() == before


def test_a_form_names_people_as_people_know_them(open_):
    open_.types(f"role scribe <@{BEN}>", channel=HERE)
    answer = open_.submits(ids.ROLE_FORM, carries={"incident": 1}, role=chosen("scribe"), person=picked(BEN))

    assert answer["errors"] == {"role": "@Ben Okafor is scribe of INC-1 already."}


@pytest.mark.parametrize("carries", [{}, {"incident": "x"}, {"incident": 99}, [], 7, {"incident": None}])
def test_a_form_that_names_no_incident_is_refused(open_, carries):
    answer = open_.submits(ids.NOTE_FORM, carries=carries, text="x")

    assert "There is no INC-" in answer["errors"]["text"]


def test_a_guest_who_sends_a_form_reads_why_not(open_):
    answer = open_.submits(ids.NOTE_FORM, EVE, carries={"incident": 1}, text="x")

    assert "Guests of this workspace" in answer["errors"]["text"]


# --- reactions and mentions -------------------------------------------------------------------


def pin(office: Office, person: str, ts: str, event_id: str) -> int:
    item = {"type": "message", "channel": office.channel(HERE), "ts": ts}
    return office.event({"type": "reaction_added", "user": person, "reaction": "pushpin", "item": item}, event_id).status


def test_a_pin_is_on_the_timeline_before_slack_is_answered_and_once(open_):
    message = open_.space.add(open_.space.channel(open_.channel(HERE)), user=BEN, text="DB is at 99 &amp; rising")

    assert [pin(open_, ANA, message["ts"], "Ev1") for _ in range(3)] == [200, 200, 200]
    [note] = [one for one in open_.store.timeline("INC-1") if one.type == "note"]
    assert (note.by, note.fields["text"]) == (BEN, "DB is at 99 & rising")


def test_a_pin_waits_for_slack_and_a_guests_counts_for_nothing(open_):
    message = open_.space.add(open_.space.channel(open_.channel(HERE)), user=BEN, text="DB is at 99")
    open_.world.break_("slack", "down")
    assert pin(open_, ANA, message["ts"], "Ev1") == 503
    open_.world.break_("slack", "up")
    assert pin(open_, EVE, message["ts"], "Ev2") == 200
    assert "note" not in open_.types_of()
    assert pin(open_, ANA, message["ts"], "Ev1") == 200
    assert open_.types_of().count("note") == 1


def test_a_mention_is_answered_to_one_person(open_):
    event = {"type": "app_mention", "user": ANA, "channel": open_.channel(HERE), "text": "hello", "ts": "1.0"}
    assert open_.event(event, "Ev9").status == 200
    open_.rests()

    assert "/incident" in open_.whispers(ANA)[-1]["text"]
