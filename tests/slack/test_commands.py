"""`/incident …` by real signed requests: what each subcommand does, from wherever it is typed, and what it answers."""

import pytest

from tests.slack.office import ANA, BEN, CHLOE, DMITRI, EVE, Office, working

HERE = "inc-1-checkout-is-slow"


@pytest.fixture
def open_(office: Office) -> Office:
    """INC-1 is open, and has its channel."""
    assert office.declared() == HERE
    return office


def last(office: Office, number: int = 1) -> tuple[str, dict[str, object]]:
    entry = [one for one in office.store.timeline(f"INC-{number}") if one.type not in ("channel_opened", "page_accepted")][-1]
    return entry.type, dict(entry.fields)


# --- what each does ---------------------------------------------------------------------------


def test_an_incident_is_declared_in_one_line(office):
    said = office.types("declare sev1 checkout is down")

    assert "INC-1 opened as SEV1" in said
    incident = office.incident()
    assert (incident.title, incident.severity.value, incident.service, incident.opened_by) == (
        "checkout is down", "SEV1", "checkout", ANA,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "title", "service", "severity"),
    [
        ("declare sev2 payments fail", "payments fail", "payments", "SEV2"),
        ("declare payments fail sev2", "payments fail", "payments", "SEV2"),
        ("new s1 the cart is empty service:checkout", "the cart is empty", "checkout", "SEV1"),
        ("declare 500s on 3 nodes", "500s on 3 nodes", None, "SEV3"),
        ("declare R&amp;D &lt;b&gt; is down", "R&D <b> is down", None, "SEV3"),
        (f"declare <@{BEN}|ben> cannot log in", "@Ben Okafor cannot log in", None, "SEV3"),
        ("open INC-9 came back", "INC-9 came back", None, "SEV3"),
    ],
)
def test_the_words_of_a_declaration_may_come_in_any_order(office, text, title, service, severity):
    assert "opened" in office.types(text)

    incident = office.incident()
    assert (incident.title, incident.service, incident.severity.value) == (title, service, severity)


def test_flags_make_it_private_or_a_drill(office):
    office.types("declare sev2 a leak --private")
    office.types("declare sev2 a fire --drill")

    assert (office.incident(1).private, office.incident(2).drill) == (True, True)
    assert office.incident(1).title == "a leak"


WORDS_THAT_ACT = [
    ("ack", "You acknowledged INC-1", "ack"),
    ("escalate", "Asking PagerDuty for level 2", None),
    (f"page <@{BEN}|ben>", f"Asking PagerDuty for <@{BEN}>", "responder_requested"),
    ("page @ben", f"Asking PagerDuty for <@{BEN}>", "responder_requested"),
    ("page @Ben", f"Asking PagerDuty for <@{BEN}>", "responder_requested"),
    ("page payments", "Asking PagerDuty for the on-call of payments", "responder_requested"),
    ("page service:cart", "Asking PagerDuty for the on-call of checkout", "responder_requested"),
    ("sev 1", "INC-1 is now SEV1", "severity_changed"),
    ("sev sev3", "INC-1 is now SEV3", "severity_changed"),
    ("status identified a bad deploy", "INC-1 is now identified", "status_changed"),
    ("status mitigated", "INC-1 is now monitoring", "mitigated"),
    ("status acknowledged", "You acknowledged INC-1", "ack"),
    ("status resolved", "INC-1 is resolved", "resolved"),
    ("role commander me", f"<@{ANA}> is now commander", "role"),
    ("role commander", f"<@{ANA}> is now commander", "role"),
    ("lead", f"<@{ANA}> is now commander", "role"),
    (f"role <@{BEN}|ben> scribe", f"<@{BEN}> is now scribe", "role"),
    (f"role comms to <@{BEN}>", f"<@{BEN}> is now communications", "role"),
    ("note CDN serves the old bundle", "Noted on the timeline", "note"),
    ("update Orders fail; rolling back. next 15m", "Update posted", "status_update"),
    ("resolve rolled back", "INC-1 is resolved", "resolved"),
    ("cancel false positive", "INC-1 is cancelled (false positive)", "cancelled"),
    ("cancel", "INC-1 is cancelled (false positive)", "cancelled"),
    ("postmortem short", "Drafting the post-mortem", None),
]


@pytest.mark.parametrize(("text", "answer", "entry"), WORDS_THAT_ACT, ids=[one[0] for one in WORDS_THAT_ACT])
def test_everything_works_in_its_channel_and_elsewhere_with_its_number(open_, text, answer, entry):
    office = open_
    office.types("declare sev2 search is slow")
    first, _, rest = text.partition(" ")
    here = office.types(text, channel=HERE)
    there = office.types(f"{first} INC-2 {rest}")

    assert answer in here
    assert answer.replace("INC-1", "INC-2") in there
    for number in (1, 2):
        assert entry is None or entry in office.types_of(number)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("timeline INC-1", "Timeline of INC-1"), ("alerts INC-1", "has had no alert"),
        ("who INC-1", "Who is on INC-1"), ("INC-1", "Who is on INC-1"),
        ("list", "1 open incident"), ("runbook INC-1", "📕"), ("help", "/incident declare"),
        ("help page", "ask PagerDuty for one more person"), ("help resovle", "Did you mean `/incident help resolve`"),
        ("", "/incident declare"), ("metrics", "Incident week"), ("digest", "Incident week"),
        ("metrics 2026-W24", "Incident week 24"), ("digest 2026-w01", "Incident week 1"),
    ],
)  # fmt: skip
def test_what_only_shows_something_is_shown_to_one_person_from_anywhere(open_, text, answer):
    assert answer in open_.types(text)


def test_an_end_can_be_taken_back_and_a_review_closes_it(open_):
    office = open_
    assert "INC-1 is resolved" in office.types("resolve", channel=HERE)
    assert "opened again" in office.types("reopen INC-1 it is back") or office.incident().is_open
    assert "INC-1 is resolved" in office.types("resolve INC-1 this time for real")
    assert "INC-1 is closed" in office.types("close INC-1")
    assert office.incident().status.value == "closed"


@pytest.mark.parametrize("text", ["merge INC-2 into INC-1", "INC-2 merge INC-1", "merge 2 1", "merge #2 into #1"])
def test_two_that_are_one_are_merged_from_anywhere(open_, text):
    open_.types("declare sev2 the cart is slow")

    assert "INC-2 is now part of INC-1" in open_.types(text)
    assert open_.incident(2).merged_into == 1


def test_in_a_channel_its_own_incident_is_merged_into_the_one_named(open_):
    open_.types("declare sev2 the cart is slow")

    assert "INC-1 is now part of INC-2" in open_.types("merge INC-2", channel=HERE)


def test_in_a_channel_a_reference_at_the_end_of_a_text_is_text(open_):
    office = open_
    office.types("declare sev2 search is slow")
    office.types("note just like INC-2", channel=HERE)
    office.types("note just like before INC-2")

    assert last(office, 1)[1]["text"] == "just like INC-2"
    assert last(office, 2)[1]["text"] == "just like before"


def test_where_one_is_open_that_one_is_meant_and_where_two_are_we_ask(open_):
    assert "Noted on the timeline of INC-1" in open_.types("note a word")
    open_.types("declare sev2 search is slow")
    said = open_.types("note a word")

    assert "Which one? Open are INC-2 (search is slow), INC-1 (checkout is slow)." in said
    assert [open_.types_of(number).count("note") for number in (1, 2)] == [1, 0]


@pytest.mark.parametrize("text", ["note 2 more pods died", "update 2 of 3 are back", "resolve 2 by hand"])
def test_a_number_that_may_name_an_incident_or_not_is_asked_about(open_, text):
    said = open_.types(text)

    assert "If you mean INC-2" in said
    assert not {"note", "status_update", "resolved"} & set(open_.types_of())
    assert "If you mean" not in open_.types(text, channel=HERE)


def test_a_person_reads_what_they_wrote_line_by_line(open_):
    open_.types("note one\n  two\n\nthree", channel=HERE)

    assert last(open_)[1]["text"] == "one\n  two\n\nthree"


# --- forms ------------------------------------------------------------------------------------

FORMS = {
    "declare": "Declare an incident", "declare sev2": "Declare an incident", "update": "Update INC-1", "note": "Note on INC-1",
    "role": "Roles of INC-1", "sev": "Severity of INC-1", "status": "Status of INC-1", "merge": "Merge INC-1",
    "page": "Page for INC-1",
}  # fmt: skip


@pytest.mark.parametrize(("text", "title"), FORMS.items(), ids=list(FORMS))
def test_without_words_there_is_a_form(open_, text, title):
    assert open_.types(text, channel=HERE) == ""

    view = open_.view_of()
    assert view is not None
    assert view["title"]["text"] == title


# --- what is refused, and with which words ----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ack", "Nothing is open. `/incident declare` opens an incident."),
        ("timeline", "Nothing is open. Name one: `/incident timeline INC-7`. `/incident declare` opens an incident."),
        ("ack INC-9", "There is no INC-9. `/incident list` shows the open ones."),
        ("merge INC-9 into INC-8", "There is no INC-9."),
        ("list", "Nothing is open."),
        ("declare payments is down service:nope", "No service is called nope. Known are: checkout"),
        ("akc", "“akc” is nothing I know. Did you mean `/incident ack`?"),
        ("xyzzy", "“xyzzy” is nothing I know. `/incident help` shows everything."),
        ("sev1 checkout", "Did you mean `/incident sev` or `/incident declare`?"),
        ("metrics last week", "A week is written like 20"),
        ("metrics 2026-W99", "There is no week 2026-W99"),
        ("digest 2026-W00", "There is no week 2026-W00"),
        ("digest 0001-W01", "There is no week 0001-W01"),
        ("digest 2025-W53", "There is no week 2025-W53"),
        ("we have to resolve it", "“we” is nothing I know."),
    ],
)
def test_a_refusal_says_what_to_do_where_nothing_is_open(office, text, answer):
    assert answer in office.types(text)
    assert office.store.incidents() == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("sev 9", "A severity is 1 to 5, or SEV1 to SEV5. `/incident sev 2`"),
        ("sev high", "A severity is 1 to 5"),
        ("sev 2", "INC-1 is SEV2 already."),
        ("status nearly", "“nearly” is no status. There are investigating, identified and monitoring"),
        ("status identifed", "“identifed” is no status. Did you mean identified?"),
        ("status triggered", "does not go back to triggered. `/incident escalate`"),
        ("status merged", "Say into which incident"),
        ("role king @ben", "Which role? There are commander, deputy, scribe, communications, expert."),
        ("role comander me", "Which role? Did you mean commander?"),
        ("role commander ben", "Who is “ben”? Pick the name from Slack's list while typing @"),
        ("role commander @nobody", "Nobody is called @nobody. Pick the name from Slack's list while typing @."),
        ("page @nobody", "Nobody is called @nobody."),
        ("page nothing", "No service is called nothing. Known are: checkout, payments"),
        ("merge INC-1", "An incident cannot be merged into itself."),
        ("merge INC-1 into INC-9", "There is no INC-9."),
        ("merge INC-1 INC-2 INC-3", "One into one, please"),
        ("reopen", "INC-1 is open already"),
        ("close", "First `/incident resolve INC-1`."),
        ("cancel because", "A reason to cancel is one of: false positive, duplicate, external, drill."),
        ("postmortem shrt", "There is no template “shrt”. Did you mean short?"),
        ("update x next 0m", "between 1 minute and 7 days"),
        ("update x next 9999h", "between 1 minute and 7 days"),
        (f"note {'x' * 2801}", "at most 2800 fit"),
        ("update next 15m", "An update needs words"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do_in_an_open_incident(open_, text, answer):
    before = open_.types_of()

    assert answer in open_.types(text, channel=HERE)
    assert open_.types_of() == before


@pytest.mark.parametrize(
    "text", ["ack", "sev 1", "status identified", "role commander me", "update x", "escalate", "page payments", "resolve"]
)
def test_what_is_over_says_how_to_go_on(open_, text):
    open_.types("resolve", channel=HERE)
    before = open_.types_of()
    said = open_.types(text, channel=HERE)

    assert "INC-1 is" in said
    assert "resolved" in said
    assert open_.types_of() == before
    if text != "resolve":
        assert "`/incident reopen INC-1` opens it again" in said


def test_a_merged_incident_says_where_work_goes_on(open_):
    open_.types("declare sev2 the cart is slow")
    open_.types("merge INC-1 into INC-2")

    assert "INC-1 was merged into INC-2. Work goes on there." in open_.types("ack INC-1")


def test_whoever_comes_second_reads_who_was_first(open_):
    open_.types("ack", channel=HERE)
    said = open_.types("ack", BEN, HERE)

    assert f"by <@{ANA}>" in said
    assert open_.types_of().count("ack") == 1


def test_guests_look_and_do_not_act(open_):
    for text in ("declare x", "ack", "note x", "resolve", "metrics", "postmortem", "merge INC-1 into INC-2"):
        assert "Guests of this workspace" in open_.types(text, EVE, "team-checkout"), text
    for text in ("list", "who INC-1", "timeline INC-1", "alerts INC-1", "runbook INC-1", "help", "INC-1"):
        assert "Guests" not in open_.types(text, EVE, "team-checkout"), text
    assert len(open_.store.incidents()) == 1


def test_a_private_incident_is_shown_only_in_its_channel_and_to_those_on_it(office):
    name = office.declared("declare sev2 the canary leaked --private")
    reads = ("timeline INC-1", "who INC-1", "INC-1", "runbook INC-1", "note INC-1 x", "ack INC-1", "resolve INC-1", "sev 1", "list",
             "status INC-1 identified", "role INC-1 commander me", "merge INC-1 into INC-1", "postmortem INC-1")  # fmt: skip
    said = {text: office.types(text, DMITRI) for text in reads}

    assert not [text for text, answer in said.items() if "canary" in answer]
    assert not [text for text, answer in said.items() if text != "list" and "INC-1 is private. Ask in its own channel." not in answer]
    assert "INC-1 is private" in office.presses("acknowledge", 1, DMITRI)
    assert "canary" in str(office.types("who", CHLOE, name)) + str(office.messages(name))
    assert "Who is on INC-1" in office.types("who INC-1", ANA)
    assert "Who is on INC-1" in office.types("who", CHLOE, name)


def test_another_name_of_the_command_stands_in_every_answer(tmp_path):
    with working(f"sqlite:///{tmp_path / 'x.db'}", slack_command="/fire") as office:
        assert "`/fire declare`" in office.types("ack", command="/fire")
        office.types("declare sev2 checkout is slow", command="/fire")
        office.types("resolve", command="/fire")
        assert "`/fire reopen INC-1`" in office.types("ack INC-1", command="/fire")
        assert "/incident" not in office.types("help", command="/fire")
