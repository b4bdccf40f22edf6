"""How messages read: whom they mention, once and in the same line, and what the card says of an acknowledgement."""

from dataclasses import replace

import pytest

from bot.alerts.alert import ChangeKind, ChangeState
from bot.incidents.changes import ChangeRecord
from bot.incidents.effects import Say, Topic
from bot.incidents.incident import PageState, Status
from bot.slack.views import card, messages
from tests.builders import ANA, BEN, POLICY, acknowledged, after, incident
from tests.slack.hostile import CORPUS


@pytest.mark.parametrize(
    ("topic", "facts", "line"),
    [
        (Topic.ACK_REMINDER, {"minutes": 2, "target_minutes": 5, "page": "accepted"},
         f"<@{ANA}>, <@{BEN}> ⏰ *INC-1* is not acknowledged after 2 of 5 min."),
        (Topic.ROLE_ASSIGNED, {"role": "commander", "person": ANA, "by": ANA},
         f"<@{BEN}> 🎖️ <@{ANA}> is now *commander* of *INC-1*."),
    ],
)  # fmt: skip
def test_whoever_is_meant_is_mentioned_once_in_the_line_itself(topic, facts, line):
    shown = messages.about(Say(1, topic, facts, people=(ANA, BEN)), "INC-1", 1)

    assert shown.text == line
    assert shown.blocks[0]["text"]["text"] == line


def test_who_acknowledges_is_given_no_level_that_is_not_theirs():
    one = acknowledged()
    late = one.with_episode(replace(one.episode, acknowledged_by=BEN, level=3))

    line = card.clock_line(late, after(minutes=12))
    assert f"Acknowledged by <@{BEN}> in" in line
    assert "level" not in line


def shown(one):
    drawn = card.card(one, POLICY, after(60))
    return "\n".join(block["text"]["text"] for block in drawn.blocks if block["type"] == "section" and "text" in block)


REASON = "PagerDuty never took this page: INC-7 was over before it could"


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED, Status.CANCELLED, Status.MERGED])
@pytest.mark.parametrize(
    ("page", "words"),
    [
        (PageState.REQUESTED, "PagerDuty is not known to have taken this page."),
        (PageState.DELAYED, "PagerDuty is not known to have taken this page."),
        (PageState.DROPPED, f"{REASON}."),
        (PageState.ACCEPTED, "Paged through PagerDuty"),
    ],
)
def test_of_what_is_over_the_card_asks_and_tries_nothing_and_only_a_page_that_was_taken_went_unanswered(status, page, words):
    episode = {"page": page, "page_reason": REASON, "ended_at": after(9)}
    text = shown(incident(status=status, merged_into=8, resolved_at=after(9), episode=episode))

    assert words in text
    assert "Asking PagerDuty" not in text
    assert "Still trying" not in text
    assert ("Nobody acknowledged this page" in text) is (page is PageState.ACCEPTED)


@pytest.mark.parametrize(("page", "asks"), [(PageState.DROPPED, False), (PageState.ACCEPTED, True)])
def test_whether_a_page_was_useful_is_asked_only_of_one_that_was_taken(page, asks):
    one = incident(status=Status.RESOLVED, resolved_at=after(9), episode={"page": page, "ended_at": after(9)})
    labels = [element["text"]["text"] for block in card.card(one, POLICY, after(60)).blocks for element in block.get("elements", [])
              if element["type"] == "button"]  # fmt: skip

    assert ("Page was useful" in labels) is asks


def test_a_late_page_calls_people_only_while_nobody_is_on_it():
    facts = {"reason": "503", "attempt": 3}
    waiting, held = (messages.about(Say(7, Topic.PAGE_DELAYED, facts | more), "INC-7", 7).text for more in ({}, {"holder": ANA}))

    assert "call people" in waiting
    assert "call people" not in held
    assert f"<@{ANA}> is on it" in held


def test_a_page_that_pagerduty_lost_is_nowhere_called_paged():
    one = incident(episode={"page": PageState.DELAYED, "accepted_at": after(0), "unseen": 1, "page_reason": "it is not shown"})
    line = card.page_line(one)

    assert "woke nobody, as far as anybody can tell" in line
    assert "Paged through" not in line
    assert "has not taken" not in line


def test_what_rings_again_is_nowhere_called_acknowledged_as_it_stands():
    one = acknowledged(episode={"acknowledged_at": after(1), "acknowledged_by": ANA, "rings_since": after(31)})
    shown = card.card(one, POLICY, after(32))
    first = shown.blocks[1]["text"]["text"]

    assert [text for text in (card.topic(one), shown.text, first) if "acknowledged" in text.lower()] == []
    assert [text for text in (card.topic(one), shown.text, first) if "rings again" not in text.lower()] == []


def test_the_card_leads_to_the_trace_that_an_alert_names():
    one = incident()
    traced = replace(one, alerts=(replace(one.alerts[0], trace="https://jaeger.example.com/trace/4bf92f35"),))

    assert "<https://jaeger.example.com/trace/4bf92f35|trace>" in shown(traced)


@pytest.mark.parametrize(
    ("unlisted", "firing", "said"),
    [
        (0, True, ""), (1, True, "✂️ *1 more alert was left out* by alertmanager"), (40, True, "✂️ *40 more alerts were left out*"),
        (40, False, ""),
    ],
)  # fmt: skip
def test_the_card_says_that_a_sender_told_of_some_alerts_only(unlisted, firing, said):
    one = incident()
    cut = replace(one, alerts=(replace(one.alerts[0], source="alertmanager", unlisted=unlisted, is_firing=firing),))

    assert ("left out" in shown(cut)) is bool(said)
    assert said in shown(cut)


@pytest.mark.parametrize(
    ("fires", "reports", "firing", "said"),
    [
        (1, 1, True, ""), (1, 2, True, "Checkout error rate high · reported 2 times · since"),
        (2, 40, True, "Checkout error rate high ×2 · reported 40 times · since"),
        # Each fire but the last has its end.
        (2, 3, True, ""), (1, 2, False, ""), (1, 3, False, "· reported 3 times ·"), (1, None, True, ""),
    ],
)  # fmt: skip
def test_the_card_says_how_often_an_alert_was_reported_beyond_how_often_it_fired_and_cleared(fires, reports, firing, said):
    one = incident()
    state = replace(one.alerts[0], fires=fires, is_firing=firing)
    counts = {} if reports is None else {state.fingerprint: reports}
    text = str(card.card(replace(one, alerts=(state,)), POLICY, after(60), reports=counts).blocks)

    assert ("reported" in text) is bool(said)
    assert said in text


# --- what was changed before ------------------------------------------------------------------


def change(**changes):
    given = {
        "source": "github", "identity": "7", "kind": ChangeKind.DEPLOYMENT, "state": ChangeState.SUCCEEDED, "title": "Deploy",
        "service": "checkout", "environment": None, "sha": "a1b2c3d4e5f6", "ref": "main", "version": None, "by": "ana",
        "url": "https://example.com/7", "description": "", "at": after(-12), "first_at": after(-12),
    }  # fmt: skip
    return ChangeRecord(**(given | changes))


def changes_on_the_card(*given):
    drawn = card.card(incident(), POLICY, after(3), given)
    said = [block["text"]["text"] for block in drawn.blocks if block["type"] == "section" and "text" in block]
    return next((one for one in said if "Changes before" in one), "")


def test_the_card_says_what_was_changed_before_the_start_and_that_it_need_not_be_the_cause():
    said = changes_on_the_card(
        change(), change(kind=ChangeKind.PUSH, state=ChangeState.FAILED, service=None, sha=None, by=None, url=None)
    )

    heading, first, second = said.splitlines()
    assert heading == "🔧 *Changes before the start* (not necessarily causes)"
    assert first.startswith("• <!date^")
    assert first.endswith(", 12 min before: deployment *checkout* `a1b2c3d` by ana <https://example.com/7|open>")
    assert second.endswith(", 12 min before: push, failed `main`")


def test_a_change_that_waited_for_days_is_shown_when_it_was_done():
    said = changes_on_the_card(change(first_at=after(-3 * 24 * 60)), change(at=after(1)))

    _, waited, went_on = said.splitlines()
    assert ", 12 min before: deployment *checkout*" in waited
    assert ", 12 min before: deployment, done after the start *checkout*" in went_on


def test_where_nothing_was_changed_the_card_says_nothing():
    assert changes_on_the_card() == ""


@pytest.mark.parametrize("text", CORPUS)
def test_what_a_sender_calls_a_change_calls_nobody(text):
    said = changes_on_the_card(change(by=text, service=text, sha=None, ref=text, version=text))

    assert "<!channel" not in said
    assert "<@" not in said
    assert len(said) <= 3000
