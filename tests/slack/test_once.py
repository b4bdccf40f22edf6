"""Once, however often it comes; saved before it is answered; and honest where nothing could be saved."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.slack import ids
from bot.slack.app import NOT_SAVED
from sandbox.slack.outgoing import signed
from tests.slack.office import ANA, BEN, Office, words, working

HERE = "inc-1-checkout-is-slow"


def at_once(office: Office, bodies: list[bytes]) -> list[bytes]:
    """What comes back when all these arrive together. Who reads that nothing was saved tries again, as it says."""

    def answer(body: bytes) -> bytes:
        for _ in range(10):
            answered = office.sends(body)
            assert answered.status == 200
            if words(answered) != NOT_SAVED:
                break
        return answered.body

    with ThreadPoolExecutor(40) as pool:
        return list(pool.map(answer, bodies))


def test_the_same_declaration_forty_times_at_once_is_one_incident(offices):
    answers = at_once(offices, [offices.command("declare checkout is slow")] * 40)

    assert len(offices.store.incidents()) == 1
    assert sum(b"INC-1 opened" in one for one in answers) == 1
    assert sum(b"done already" in one for one in answers) == 39


def test_forty_people_who_declare_the_same_words_open_one_incident_and_all_others_read_which(offices):
    answers = at_once(offices, [offices.command("declare checkout is slow") for _ in range(40)])

    assert len(offices.store.incidents(limit=99)) == 1
    assert sum(b"INC-1 opened" in one for one in answers) == 1
    assert sum(b"INC-1 was opened with these words just now" in one for one in answers) == 39


def test_forty_people_who_declare_different_things_open_forty_incidents(offices):
    answers = at_once(offices, [offices.command(f"declare checkout is slow in region {number}") for number in range(40)])

    assert len(offices.store.incidents(limit=99)) == 40
    assert all(b"opened" in one for one in answers)


def test_forty_notes_on_one_incident_at_once_are_all_kept(offices):
    offices.types("declare checkout is slow")
    answers = at_once(offices, [offices.command(f"note INC-1 number {number}") for number in range(40)])

    assert all(b"Noted" in one for one in answers), {json.loads(one)["text"] for one in answers}
    kept = [one.fields["text"] for one in offices.store.timeline("INC-1") if one.type == "note"]
    assert sorted(kept) == sorted(f"number {number}" for number in range(40))


def test_forty_presses_of_acknowledge_are_one_acknowledgement_and_all_others_read_whose(offices):
    offices.types("declare sev2 checkout is slow")
    at_once(offices, [offices.press(ids.ACKNOWLEDGE, 1, person) for person in (ANA, BEN) * 20])
    offices.rests()

    assert offices.types_of().count("ack") == 1
    read = [one["text"] for person in (ANA, BEN) for one in offices.whispers(person)]
    assert sum("You acknowledged INC-1" in one for one in read) == 1
    assert sum("was acknowledged" in one and " ago by <@U" in one for one in read) == 39


def test_the_same_press_forty_times_is_done_and_answered_once(offices):
    offices.types("declare sev2 checkout is slow")
    at_once(offices, [offices.press(ids.ACKNOWLEDGE, 1)] * 40)
    offices.rests()

    assert offices.types_of().count("ack") == 1
    assert "You acknowledged INC-1" in offices.whispers(ANA)[0]["text"]
    assert len(offices.whispers(ANA)) == 1


def test_a_form_that_is_sent_off_again_because_its_answer_was_lost_is_taken_once(offices):
    declare = {"view": "V77", ids.TITLE: "checkout is slow", ids.SEVERITY_FIELD: {"selected_option": {"value": "SEV2"}}}

    assert offices.submits(ids.DECLARE_FORM, **declare) is None
    again = offices.submits(ids.DECLARE_FORM, **declare)

    assert len(offices.store.incidents()) == 1
    assert again["response_action"] == "update"
    assert "Your first try was saved" in again["view"]["blocks"][0]["text"]["text"]


def test_two_forms_with_the_same_words_are_two(office):
    for view in ("V1", "V2"):
        office.submits(ids.NOTE_FORM, view=view, carries={"incident": 1}, text="x")
    office.types("declare checkout is slow")
    for view in ("V1", "V2"):
        assert office.submits(ids.NOTE_FORM, view=view, carries={"incident": 1}, text="x") is None

    assert office.types_of().count("note") == 2


def test_a_replay_of_a_command_that_opens_a_form_opens_no_second_one_and_says_nothing(office):
    body = office.command("declare")
    for _ in range(3):
        assert words(office.sends(body)) == ""
    office.rests()

    assert len(office.space.views) == 1
    assert office.whispers(ANA) == []


def test_a_request_that_slack_names_by_nothing_is_no_repeat_of_another(office):
    for text in ("declare one", "declare two"):
        body = office.command(text).replace(b"trigger_id=", b"was_trigger=")
        assert b"opened" in office.sends(body).body

    assert len(office.store.incidents()) == 2


def test_a_request_is_remembered_across_a_restart(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with working(url) as first:
        body = first.command("declare checkout is slow")
        first.sends(body)
    with working(url) as second:
        answer = second.sends(body, signed(second.world.signing_secret, body))

        assert b"done already" in answer.body
        assert len(second.store.incidents()) == 1


# --- without a database -----------------------------------------------------------------------


@pytest.fixture
def dark(office: Office, tmp_path) -> Office:
    """An office whose database went away with an incident in it."""
    office.types("declare sev2 checkout is slow")
    os.rename(tmp_path / "test.db", tmp_path / "away.db")
    for rest in ("-wal", "-shm"):
        (tmp_path / f"test.db{rest}").unlink(missing_ok=True)
    office.store.engine.dispose()
    (tmp_path / "test.db").mkdir()
    return office


@pytest.mark.parametrize("text", ["declare payments fail", "ack INC-1", "note INC-1 x", "list", "resolve INC-1", "metrics"])
def test_a_command_reads_that_nothing_was_saved(dark, text):
    said = dark.types(text)

    assert "Not saved" in said
    assert "try again" in said
    assert "INC-" not in said


def test_a_press_reads_that_nothing_was_saved(dark):
    assert "Not saved" in dark.presses(ids.ACKNOWLEDGE, 1)


def test_a_form_stays_open_and_says_that_nothing_was_saved(dark):
    said = dark.submits(ids.NOTE_FORM, carries={"incident": 1}, text="x")

    assert said["response_action"] == "errors"
    assert said["errors"] == {"text": "Not saved: the database is away. Try again."}


def test_a_reaction_is_sent_again_by_slack_where_nothing_could_be_saved(dark):
    event = {"type": "reaction_added", "user": ANA, "reaction": "pushpin",
             "item": {"type": "message", "channel": dark.channel("incidents"), "ts": "1.000000"}}  # fmt: skip

    assert dark.event(event, "Ev1").status == 503
