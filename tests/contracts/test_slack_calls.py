"""What the bot says to Slack over the wire, and how the sandbox refuses in Slack's place, beside Slack's own descriptions."""

import json

import pytest

from sandbox.app import Sandbox
from sandbox.calls import post
from sandbox.serving import running
from sandbox.slack.workspace import SlackError
from sandbox.world import World
from tests.contracts.slack_limits import wrong_in_message, wrong_in_view
from tests.contracts.slack_spec import ABSENT, IS_THERE, errors_of, is_known, wrong_arguments, wrong_shapes, wrong_view
from tests.contracts.traffic import form_of

METHODS = {
    "auth.test", "bookmarks.add", "bookmarks.list", "chat.getPermalink", "chat.postEphemeral", "chat.postMessage", "chat.update",
    "conversations.create", "conversations.history", "conversations.invite", "conversations.setTopic",
    "files.completeUploadExternal", "files.getUploadURLExternal", "pins.add", "users.conversations", "users.list", "views.open",
}  # fmt: skip
needs_schemas = pytest.mark.skipif(not IS_THERE, reason=ABSENT)


def calls(street):
    """(method, arguments, answer) of every call."""
    asked = [one for one in street.neighbours.exchanges if one.path.startswith("/slack/api/") and one.status == 200]
    return [
        (one.path.removeprefix("/slack/api/"), {k: v for k, v in one.arguments.items() if k != "token"}, one.said) for one in asked
    ]


def answers(street):
    """(what was asked, what the bot answered) of every command, press and form; for a form with its payload."""
    asked = [one for one in street.bot_door.exchanges if one.path == "/slack/events" and "form" in one.headers["content-type"]]
    return [(form_of(one), one.said) for one in asked if one.said]


def messages(street):
    """Every message, wherever it went."""
    for method, given, _ in calls(street):
        if method.startswith("chat.") and method != "chat.getPermalink":
            yield method, given["text"], given.get("blocks", [])
    for asked, said in answers(street):
        if "response_action" not in said:
            yield f"answer to {asked.get('text')!r}", said["text"], said["blocks"]


def views(street):
    yield from (given["view"] for method, given, _ in calls(street) if method == "views.open")


def found_wrong(given, what):
    return {name: problems for name, *one in given if (problems := what(*one))}


def test_the_bot_calls_everything_that_is_checked_here(street):
    assert {method for method, _, _ in calls(street)} == METHODS
    assert {one["callback_id"] for one in views(street)} >= {"declare_form", "page_form", "severity_form", "merge_form"}


def test_every_message_over_the_wire_is_within_slacks_sizes(street):
    assert found_wrong(messages(street), wrong_in_message) == {}
    assert [problems for one in views(street) if (problems := wrong_in_view(one))] == []


@needs_schemas
def test_every_message_over_the_wire_has_the_shape_that_slack_publishes(street):
    assert found_wrong(messages(street), lambda text, blocks: wrong_shapes(blocks)) == {}
    assert [problems for one in views(street) if (problems := wrong_view(one))] == []


def test_every_answer_to_a_command_is_for_the_one_who_typed_it(street):
    typed = [said for asked, said in answers(street) if "command" in asked]

    assert len(typed) > 20
    assert {said["response_type"] for said in typed} == {"ephemeral"}


def test_what_is_wrong_in_a_form_is_said_beside_a_field_it_has(street):
    refused = [(json.loads(asked["payload"])["view"], said) for asked, said in answers(street) if "response_action" in said]

    assert refused
    for view, said in refused:
        assert said["response_action"] == "errors"
        assert said["errors"].keys() <= {one["block_id"] for one in view["blocks"] if one["type"] == "input"}
        assert all(0 < len(one) <= 150 for one in said["errors"].values())


def test_every_message_carries_the_row_it_came_from_and_nothing_secret(street):
    carried = [given["metadata"] for method, given, _ in calls(street) if method == "chat.postMessage"]

    assert carried
    assert {one["event_type"] for one in carried} == {"firstfive"}
    assert {tuple(one["event_payload"]) for one in carried} == {("outbox_id",)}


@needs_schemas
def test_every_method_is_called_with_arguments_it_has(street):
    known = [(method, given) for method, given, _ in calls(street) if is_known(method)]

    assert len({method for method, _ in known}) > 10
    assert {method: wrong for method, given in known if (wrong := wrong_arguments(method, given))} == {}


@needs_schemas
def test_every_error_of_the_sandbox_in_that_day_is_one_of_slacks(street):
    said = {(method, answer["error"]) for method, _, answer in calls(street) if is_known(method) and not answer["ok"]}

    assert {one for one in said if (errors := errors_of(one[0])) and one[1] not in errors} == set()


# --- how the sandbox refuses ------------------------------------------------------------------

PLAIN = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}
LONG = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}
MODAL = {"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": [PLAIN]}
REFUSALS = [
    ("conversations.create", {"name": ""}, "invalid_name_required"),
    ("conversations.create", {"name": "a" * 81}, "invalid_name_maxlength"),
    ("conversations.create", {"name": "Big Name"}, "invalid_name_specials"),
    ("conversations.create", {"name": "---"}, "invalid_name_punctuation"),
    ("conversations.create", {"name": "incidents"}, "name_taken"),
    ("conversations.invite", {"channel": "HERE", "users": "U0NOBODY"}, "user_not_found"),
    ("conversations.invite", {"channel": "HERE", "users": "U0BOT0001"}, "cant_invite_self"),
    ("conversations.invite", {"channel": "HERE", "users": "U0ANA0001"}, "already_in_channel"),
    ("conversations.invite", {"channel": "HERE", "users": ""}, "no_user"),
    ("conversations.invite", {"channel": "AWAY", "users": "U0ANA0001"}, "not_in_channel"),
    ("conversations.setTopic", {"channel": "HERE", "topic": "x" * 251}, "too_long"),
    ("conversations.setTopic", {"channel": "C0NOWHERE", "topic": "x"}, "channel_not_found"),
    ("conversations.history", {"channel": "C0NOWHERE"}, "channel_not_found"),
    ("conversations.replies", {"channel": "HERE", "ts": "1.1"}, "thread_not_found"),
    ("conversations.join", {"channel": "C0NOWHERE"}, "channel_not_found"),
    ("chat.postMessage", {"channel": "HERE"}, "no_text"),
    ("chat.postMessage", {"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
    ("chat.postMessage", {"channel": "AWAY", "text": "x"}, "not_in_channel"),
    ("chat.postMessage", {"channel": "HERE", "text": "x" * 40_001}, "msg_too_long"),
    ("chat.postMessage", {"channel": "HERE", "blocks": [PLAIN] * 51}, "invalid_blocks"),
    ("chat.postMessage", {"channel": "HERE", "blocks": [{"type": "section"}]}, "invalid_blocks"),
    ("chat.postMessage", {"channel": "HERE", "blocks": [LONG] * 5}, "msg_blocks_too_long"),
    ("chat.update", {"channel": "HERE", "ts": "1.1", "text": "x"}, "message_not_found"),
    ("chat.postEphemeral", {"channel": "HERE", "user": "U0NOBODY", "text": "x"}, "user_not_in_channel"),
    ("chat.delete", {"channel": "HERE", "ts": "1.1"}, "message_not_found"),
    ("pins.add", {"channel": "HERE", "timestamp": "1.1"}, "message_not_found"),
    ("users.info", {"user": "U0NOBODY"}, "user_not_found"),
    ("users.lookupByEmail", {"email": "nobody@example.com"}, "users_not_found"),
    ("views.open", {"trigger_id": "1.1", "view": MODAL}, "invalid_trigger_id"),
    ("views.open", {"trigger_id": "1.1", "view": MODAL | {"title": {"type": "plain_text", "text": "x" * 25}}}, "invalid_arguments"),
    ("files.info", {"file": "F0NOTHING"}, "file_not_found"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "given", "error"), REFUSALS)
def test_the_sandbox_refuses_what_slack_refuses_in_slacks_own_word(method, given, error):
    sandbox = Sandbox.around(World(is_strict=False))
    ids = {"HERE": sandbox.space.named("incidents").id, "AWAY": sandbox.space.named("general").id}
    meant = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in given.items()}

    with pytest.raises(SlackError) as refused:
        sandbox.api.call(method, sandbox.world.slack_token, meant)

    assert refused.value.error == error
    if IS_THERE and is_known(method) and errors_of(method):
        assert error in errors_of(method)


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth")])
def test_a_token_that_is_not_the_bots_is_refused(token, error):
    with pytest.raises(SlackError, match=error):
        Sandbox.around(World()).api.call("auth.test", token, {})


@pytest.mark.parametrize(("body", "error"), [(b"{", "invalid_json"), (b"[]", "json_not_object"), (b"\xff", "invalid_json")])
def test_a_body_that_is_no_json_object_is_refused(body, error):
    with running(World()) as sandbox:
        answer = post(f"{sandbox.world.origin}/slack/api/chat.postMessage", body, {"Content-Type": "application/json"}, 5)

    assert json.loads(answer.body) == {"ok": False, "error": error}
