"""Whatever the bot may show in Slack is what Slack takes: its sizes always, its schemas where they are beside the checkout."""

import re
from functools import cache

import pytest

from bot.slack import ids
from bot.slack.views import blocks
from tests.contracts import samples
from tests.contracts.slack_limits import elements_in, wrong_in_message, wrong_in_view
from tests.contracts.slack_spec import ABSENT, IS_THERE, wrong_shapes, wrong_view

needs_schemas = pytest.mark.skipif(not IS_THERE, reason=ABSENT)
PARTS = ("said", "alerted", "carded", "answered")


@cache
def of(part):
    """One part of the samples, made once."""
    return list(getattr(samples, part)())


def found_wrong(given, what):
    return {name: problems for name, one in given if (problems := what(one))}


@pytest.mark.parametrize("part", PARTS)
def test_every_message_is_within_slacks_sizes(part):
    assert found_wrong(of(part), lambda one: wrong_in_message(one.text, one.blocks)) == {}


def pressed_in(blocks):
    """The action of everything that can be pressed in a message, and of everything in its menus."""
    for one in elements_in(blocks):
        yield ids.base_of(one["action_id"])
        if one["type"] == "overflow":
            yield from (option["value"].partition(":")[0] for option in one["options"])


def test_everything_that_can_be_pressed_is_listened_to():
    shown = {action for part in PARTS for _, one in of(part) for action in pressed_in(one.blocks)}

    assert {ids.ACKNOWLEDGE, ids.MORE, ids.NOTE, ids.DECLARE, ids.TIMELINE_PAGE, ids.PAGE_USEFUL} <= shown
    assert shown <= ids.BUTTONS


def test_every_form_is_within_slacks_sizes():
    assert found_wrong(of("formed"), wrong_in_view) == {}


def test_every_topic_of_a_channel_is_within_slacks_250_characters():
    assert {name: len(one) for name, one in samples.topics() if not 0 < len(one) <= 250} == {}


@needs_schemas
@pytest.mark.parametrize("part", PARTS)
def test_every_message_has_the_shape_that_slack_publishes(part):
    assert found_wrong(of(part), lambda one: wrong_shapes(one.blocks)) == {}


@needs_schemas
def test_every_form_has_the_shape_that_slack_publishes():
    assert found_wrong(of("formed"), wrong_view) == {}


# --- what is cut ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_cut_within_a_mention_a_link_or_an_entity_and_nobody_is_called_from_outside(part):
    broken = re.compile(r"<[^>]*…?$|&[a-z]{0,4}…?$|<!(?!date\^)|<https://evil[^>]*\|")
    texts = ((name, text) for name, one in of(part) for text in marked_up(one))

    assert {name: found[0][:80] for name, text in texts if (found := broken.search(text))} == {}


def marked_up(message):
    """Every text of a message in which Slack looks for mentions and links."""
    yield message.text
    for block in message.blocks:
        for one in (block.get("text"), *block.get("fields", []), *block.get("elements", [])):
            if isinstance(one, dict) and one["type"] == "mrkdwn":
                yield one["text"]


def test_a_message_that_is_too_long_keeps_every_block_and_what_is_short():
    row = blocks.actions(blocks.button("Acknowledge", "acknowledge", 1))
    long = [blocks.section("word " * 600) for _ in range(6)]

    cut = blocks.message("x", blocks.section("*SEV1* and short"), *long, row)

    assert [one["type"] for one in cut.blocks] == ["section"] * 7 + ["actions"]
    assert cut.blocks[0]["text"]["text"] == "*SEV1* and short"
    assert cut.blocks[-1] == row
    assert all(one["text"]["text"].endswith("…") for one in cut.blocks[1:7])
    assert wrong_in_message(cut.text, cut.blocks) == []


def test_a_message_that_fits_is_left_as_it_is():
    given = [blocks.header("A title"), blocks.section("x" * 2999), blocks.divider()]

    assert blocks.message("x", *given).blocks == tuple(given)


def test_every_service_can_be_chosen_however_many_there_are():
    options = [blocks.option(f"service {number:03}", f"s{number}") for number in range(250)]

    many = blocks.select("service", options, "Choose", "s249")

    assert [one for group in many["option_groups"] for one in group["options"]] == options
    assert many["initial_option"] == options[249]
    assert many["option_groups"][0]["label"]["text"] == "service 000 – service 099"
    assert "option_groups" not in blocks.select("service", options[:100], "Choose")


# --- that the check sees what is wrong --------------------------------------------------------

TEXT, PLAIN = {"type": "mrkdwn", "text": "x"}, {"type": "plain_text", "text": "x"}
BUTTON = {"type": "button", "text": PLAIN, "action_id": "a", "value": "1"}
INPUT = {"type": "input", "block_id": "b", "label": PLAIN, "element": {"type": "plain_text_input", "action_id": "b"}}
VIEW = {"type": "modal", "title": PLAIN, "submit": PLAIN, "blocks": [INPUT]}


def section(**more):
    return {"type": "section", "text": TEXT} | more


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [section()] * 51,
        [section(text=TEXT | {"text": "x" * 3001})],
        [section(text=TEXT | {"text": " "})],
        [section(text=TEXT | {"text": "x" * 3000})] * 4,
        [section(fields=[TEXT] * 11)],
        [section(fields=[TEXT | {"text": "x" * 2001}])],
        [section(block_id="b" * 256)],
        [{"type": "header", "text": PLAIN | {"text": "x" * 151}}],
        [{"type": "header", "text": TEXT}],
        [{"type": "context", "elements": []}],
        [{"type": "context", "elements": [TEXT] * 11}],
        [{"type": "actions", "elements": [BUTTON, BUTTON]}],
        [{"type": "actions", "elements": [BUTTON | {"text": PLAIN | {"text": "x" * 76}}]}],
        [{"type": "actions", "elements": [BUTTON | {"value": "x" * 2001}]}],
        [{"type": "actions", "elements": [BUTTON | {"action_id": "x" * 256}]}],
        [{"type": "actions", "elements": [BUTTON | {"action_id": f"a{number}"} for number in range(26)]}],
        [section(accessory={"type": "overflow", "action_id": "a", "options": [blocks.option("x", str(n)) for n in range(6)]})],
        [section(accessory={"type": "static_select", "action_id": "a", "options": [blocks.option("x", "1")] * 2})],
        [{"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]}],
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_message_that_slack_refuses_for_its_size_is_seen(wrong):
    assert wrong_in_message("x", wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": PLAIN | {"text": "x" * 25}},
        {"submit": PLAIN | {"text": "x" * 25}},
        {"private_metadata": "x" * 3001},
        {"callback_id": "x" * 256},
        {"blocks": [INPUT, INPUT]},
        {"blocks": [INPUT | {"element": {"type": "plain_text_input", "action_id": "b", "max_length": 3001}}]},
        {"blocks": [INPUT | {"element": blocks.text_input("b", limit=5) | {"initial_value": "123456"}}]},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_form_that_slack_refuses_for_its_size_is_seen(wrong):
    assert wrong_in_view(VIEW) == []
    assert wrong_in_view(VIEW | wrong)


@needs_schemas
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"type": "sektion"}, "sektion"),
        (section(colour="red"), "colour"),
        (section(accessory=BUTTON | {"style": "warning"}), "warning"),
        (section(accessory={"type": "btn"}), "accessory"),
        ({"type": "header", "text": TEXT}, "plain_text"),
        ({"type": "actions", "elements": [BUTTON | {"valeu": "1"}]}, "valeu"),
        ({"type": "input", "label": PLAIN}, "element"),
    ],
)
def test_a_block_that_slack_does_not_know_is_seen(wrong, word):
    assert word in "\n".join(wrong_shapes([wrong]))
    assert word in "\n".join(wrong_view(VIEW | {"blocks": [wrong]}))
