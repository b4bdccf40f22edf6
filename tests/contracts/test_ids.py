"""Nothing that can be pressed or sent off has nobody who listens, and nothing that is decided has nobody who carries it out."""

import time
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import get_args

import pytest

from bot.errors import GaveUp, Refused, TryLater
from bot.incidents.effects import Attempt, Effect, Lane, PostDigest
from bot.pagerduty.deliver import PagerDeliverer
from bot.pagerduty.limits import Budget
from bot.slack import ids
from bot.slack.deliver import SlackDeliverer
from bot.slack.desk import Asker, FieldRefused
from sandbox.__main__ import Demo
from sandbox.cast import BY_NAME
from sandbox.person import state_of
from sandbox.world import World
from tests.builders import NOON
from tests.contracts import samples
from tests.contracts.slack_limits import elements_in
from tests.store.test_codec import sample

ANA = BY_NAME["ana"].slack_id
OLDER = "older version of the bot"


@contextmanager
def standing_still(folder):
    """A bot that does nothing by itself, with INC-1 to work on."""
    demo = Demo(World(is_strict=False), f"sqlite:///{folder}/bot.db")
    demo.start(works=False)
    try:
        demo.bot.desk.typed("declare sev2 checkout is slow", Asker(ANA, "", "declared"))
        yield demo.bot
    finally:
        demo.stop()


@pytest.fixture(scope="module")
def bot(tmp_path_factory):
    with standing_still(tmp_path_factory.mktemp("ids")) as bot:
        yield bot


@cache
def shown_forms():
    """One of each form, by its callback."""
    return {view["callback_id"]: view for _, view in samples.formed() if "callback_id" in view}


def test_every_form_is_listened_to_and_every_field_has_a_name_that_stays():
    forms = shown_forms()

    assert forms.keys() == ids.FORMS
    fields = {one["action_id"] for view in forms.values() for one in elements_in(view["blocks"])}
    assert fields <= ids.FIELDS
    assert all(one["block_id"] == one["element"]["action_id"] for view in forms.values() for one in view["blocks"])


@pytest.mark.parametrize("action", sorted(ids.BUTTONS))
def test_a_press_is_answered_or_refused_for_a_reason_but_never_unknown(bot, action):
    value = "f1" if action == ids.DECLARE else "1"
    name, value = (ids.MORE, f"{ids.NOTE}:1") if action == ids.MORE else (action, value)
    try:
        bot.desk.pressed(name, value, Asker(ANA, "", f"pressed {action}"))
    except Refused as error:
        assert OLDER not in error.reason


def test_a_press_that_nobody_knows_is_told_to_take_the_newest_card(bot):
    with pytest.raises(Refused, match=OLDER):
        bot.desk.pressed("launch_rocket", "1", Asker(ANA, "", "rocket"))


@pytest.mark.parametrize("callback", sorted(ids.FORMS))
def test_a_form_is_taken_or_refused_beside_one_of_its_fields(bot, callback):
    view = shown_forms()[callback] | {"private_metadata": '{"incident":1}'}
    given = {ids.TITLE: "Search is down", ids.TEXT: "As it is", ids.INTO: "INC-99", ids.PERSON: ANA, ids.ROLE: "scribe"}
    filled = {**view, "state": {"values": state_of(view, given)}}
    try:
        outcome, blame = bot.desk.submitted(filled, Asker(ANA, "", f"sent off {callback}"))
    except FieldRefused as error:
        blame = error.field
    else:
        assert outcome.decision.reason
    assert blame in {one["block_id"] for one in view["blocks"]}


def test_a_form_that_nobody_knows_is_refused(bot):
    with pytest.raises(Refused, match=OLDER):
        bot.desk.submitted({"callback_id": "rocket_form", "state": {"values": {}}}, Asker(ANA, "", "rocket form"))


# --- effects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
def test_every_effect_is_carried_out_by_whoever_has_its_lane(bot, kind):
    pager = PagerDeliverer(
        client=bot.client, store=bot.store, clock=bot.clock, key_named=lambda name: "", budget=Budget(time.monotonic),
        reports=bot.reports,
    )  # fmt: skip
    slack = SlackDeliverer(
        slack=bot.slack, store=bot.store, clock=bot.clock, policy=bot.choices.policy, digest_for=bot.numbers.digest,
        draft_for=bot.numbers.draft,
    )  # fmt: skip
    mine, other = (pager, slack) if kind.lane is Lane.PAGER else (slack, pager)
    effect = replace(sample(kind), week="2026-W24") if kind is PostDigest else sample(kind)
    try:
        mine.deliver(effect, Attempt("1", 1, False, NOON))
    except (GaveUp, TryLater) as error:
        assert "is nothing for" not in error.reason
    with pytest.raises(GaveUp, match=f"{kind.__name__} is nothing for"):
        other.deliver(effect, Attempt("2", 1, False, NOON))
