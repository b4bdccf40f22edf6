"""Hostile input, threat by threat: which tests hold against it. Each of them is there, under the name that stands here.

The numbers are those under which the threats are listed where the bot was asked for; the rest of that list (templates, paths,
secrets in logs, rights, tokens) has tests of its own beside what it is about.
"""

import ast
from functools import cache

import pytest

from bot.incidents.policy import StormRule
from tests.builders import NOON
from tests.documents import TOP
from tests.worker.test_storm import RULES, Storm

THREATS = {
    "S1": ("a forged request of Slack's", (
        "slack/test_signatures.py::test_no_forgery_gets_in_and_none_leaves_more_than_a_short_line",
        "web/test_signed.py::test_with_one_thing_changed_it_is_not_taken",
    )),
    "S2": ("a header that is no header", (
        "slack/test_signatures.py::test_no_header_brings_it_down",
        "web/test_bad_input.py::test_no_value_of_a_header_is_an_error_or_lets_anybody_in",
        "web/test_bad_input.py::test_odd_headers_of_a_signed_delivery_are_no_reason_to_refuse_it",
        "web/test_bad_input.py::test_requests_that_are_no_http_are_refused_and_the_next_one_is_answered",
    )),
    "S3": ("the same request again", (
        "slack/test_signatures.py::test_a_request_that_was_good_is_refused_when_it_comes_again_after_five_minutes",
        "slack/test_once.py::test_the_same_press_forty_times_is_done_and_answered_once",
        "web/test_signed.py::test_a_signature_is_not_taken_out_of_its_time",
        "web/test_signed.py::test_a_signature_without_a_time_is_taken_again_and_counts_once",
    )),
    "S4": ("a forged alert", (
        "web/test_bad_input.py::test_an_unsigned_delivery_is_refused_and_told_what_is_missing",
        "web/test_bad_input.py::test_a_delivery_that_somebody_else_signed_is_refused_and_told_what_to_compare",
        "web/test_bad_input.py::test_what_proved_who_sent_it_is_not_kept",
        "web/test_corpus.py::test_a_real_payload_without_proof_is_not_taken",
        "web/test_signed.py::test_what_was_changed_on_its_way_is_not_taken",
        "alerts/test_sources.py::test_no_secret_or_another_one_is_refused_without_naming_it",
    )),
    "S5": ("an envelope of SNS that has us ask somebody else", (
        "fuzz/test_fuzz.py::test_no_socket_is_opened_to_anywhere_but_amazon_whatever_an_envelope_says",
        "alerts/sources/test_cloudwatch.py::test_nobody_but_amazon_is_asked_for_a_certificate",
        "alerts/sources/test_cloudwatch.py::test_nothing_else_is_done_in_the_name_of_an_offer",
        "alerts/sources/test_cloudwatch.py::test_an_offer_that_was_changed_is_not_confirmed",
    )),
    "S6": ("an address that leads elsewhere than it says", (
        "fuzz/test_fuzz.py::test_thousands_of_bodies_go_wrong_nowhere_and_nobody_is_asked",
        "worker/test_auditor.py::test_a_heartbeat_is_taken_or_it_is_said_why_not_and_no_redirect_is_followed",
        "pagerduty/test_client.py::test_a_redirect_is_not_followed_because_the_key_is_for_pagerduty_only",
        "slack/test_client.py::test_a_redirect_is_not_followed_because_the_token_is_for_slack_only",
    )),
    "S7": ("a text that calls people or lies about a link", (
        "slack/test_hostile_text.py::test_no_text_of_an_alert_is_more_than_text_anywhere_in_slack_nor_in_a_draft",
        "slack/test_hostile_text.py::test_no_source_has_a_text_that_is_more_than_text_in_slack",
        "slack/test_hostile_text.py::test_what_people_write_may_name_people_and_never_calls_everybody",
    )),
    "S16": ("a body that is a bomb, or never ends", (
        "fuzz/test_fuzz.py::test_a_large_body_costs_less_than_a_second_and_is_not_kept_in_memory",
        "web/test_bad_input.py::test_a_body_of_more_than_five_megabytes_is_refused_however_it_comes",
        "web/test_bad_input.py::test_a_length_that_is_a_lie_is_refused_before_the_body_comes",
        "web/test_slow_senders.py::test_a_body_that_does_not_come_is_given_up_with_the_reason",
        "web/test_slow_senders.py::test_slow_senders_are_in_nobodys_way",
    )),
    "S17": ("alerts of which none is like another", (
        "fuzz/test_flood.py::test_alerts_that_are_all_different_are_held_nowhere",
        "fuzz/test_flood.py::test_a_flood_of_different_alerts_of_one_source_is_few_incidents_and_no_memory",
        "worker/test_storm.py::test_beyond_the_most_one_incident_gathers_the_rest_and_pages_once",
        "web/test_limiting.py::test_each_sender_is_told_what_it_understands_and_its_budget_is_its_own",
    )),
    "S18": ("an expression that takes for ever", (
        "alerts/test_routing.py::test_no_expression_takes_longer_the_more_there_is_to_look_at",
        "alerts/test_routing.py::test_what_is_no_expression_is_named_with_its_line",
    )),
    "S19": ("a text that is taken for SQL", (
        "test_threats.py::test_no_statement_is_made_of_what_somebody_sent",
        "test_threats.py::test_what_looks_like_sql_is_stored_and_found_as_it_is",
        "fuzz/test_fuzz.py::test_thousands_of_bodies_go_wrong_nowhere_and_nobody_is_asked",
    )),
}  # fmt: skip
ASKED_FOR = ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S16", "S17", "S18", "S19")


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of a file's tests."""
    tree = ast.parse((TOP / "tests" / path).read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_"))


def test_every_threat_that_was_named_is_here():
    assert tuple(THREATS) == ASKED_FOR


@pytest.mark.parametrize("number", THREATS)
def test_what_holds_against_a_threat_is_there(number):
    _, held = THREATS[number]
    missing = [one for one in held if one.partition("::")[2] not in names_in(one.partition("::")[0])]

    assert held
    assert missing == []


# --- SQL --------------------------------------------------------------------------------------

MADE_BY_US = {"channel", "pragma", "INTO", "INTO_NUMBERED", "VALUES", "rows", "UNLESS_KNOWN", "wait_seconds", "WAIT_SECONDS"}
"""What may stand in a statement that is put together: names and numbers of ours, and rows of places for values."""


def test_no_statement_is_made_of_what_somebody_sent():
    found = {}
    for path in sorted((TOP / "bot").glob("**/*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and call.args and _name_of(call.func) in ("exec_driver_sql", "text", "execute"):
                names = (
                    {one.id for one in ast.walk(call.args[0]) if isinstance(one, ast.Name)}
                    if _is_put_together(call.args[0])
                    else set()
                )
                # A block of Slack's is a text, too.
                if names - MADE_BY_US and not (_name_of(call.func) == "text" and "slack" in path.parts):
                    found[f"{path.relative_to(TOP)}:{call.lineno}"] = names - MADE_BY_US

    assert found == {}


def test_a_statement_that_is_put_together_would_be_found():
    put_together = "x.execute(f'SELECT {name}')", "x.execute('SELECT ' + name)", "x.execute(f'LISTEN {name}'.encode())"

    assert all(_is_put_together(ast.parse(one).body[0].value.args[0]) for one in put_together)
    assert not _is_put_together(ast.parse("x.execute(update(t).values(reason=f'by {name}'))").body[0].value.args[0])


def _is_put_together(given: ast.expr) -> bool:
    """Whether a statement is written out of parts; what is only a value in one goes to the database as a value."""
    if isinstance(given, ast.Call):
        return isinstance(given.func, ast.Attribute) and isinstance(given.func.value, ast.JoinedStr | ast.BinOp)
    return isinstance(given, ast.JoinedStr | ast.BinOp)


def _name_of(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


SQL = (
    "'; DROP TABLE inbox; --", "' OR '1'='1", '" OR 1=1 --', "x' UNION SELECT body FROM inbox --", "1; SELECT pg_sleep(9)", "%", "_",
    "\\'", "$1", ":service", "?", "%(service)s", "checkout'||'",
)  # fmt: skip


def test_what_looks_like_sql_is_stored_and_found_as_it_is(store):
    storm = Storm(store, RULES.model_copy(update={"storm": StormRule(most=100)}))
    storm.gets(*((f"title {text}", text) for text in SQL))

    assert [one.service for one in reversed(store.incidents())] == list(SQL)
    assert [one.title for one in reversed(store.incidents())] == [f"title {text}" for text in SQL]
    store.set_note("there", 1)
    for text in SQL:
        assert store.incident_in_channel(text) is store.incident_of_page(text) is None
        assert store.person(text) is store.person_by_email(text) is store.person_by_pagerduty(text) is None
        assert store.people(text) == store.timeline(text) == store.changes_before(text, NOON) == ()
        assert store.draft(text) is store.digest_of(text, text) is store.note(text) is store.timer_set(text) is None
        store.set_note(text, text)
    assert [store.note(text) for text in SQL] == list(SQL)
    assert store.note("there") == 1
