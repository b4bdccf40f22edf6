"""Pages of others beside an incident's own: each once, called paged when PagerDuty took it, over when the incident is."""

from dataclasses import replace

import pytest

from bot.incidents import inputs as says
from bot.incidents.effects import InvitePeople, PageService, ResolvePage
from bot.incidents.incident import OtherPage, PageState, Status, is_of_others, others_key
from bot.slack.views.card import card
from tests.builders import (
    ANA,
    BEN,
    POLICY,
    acknowledged,
    after,
    decided,
    incident,
    kinds,
    pager,
    topics,
    types,
)

KEY = incident().episode.dedup_key
THEIRS = others_key(KEY, "payments", "payments")
WHO = "the on-call of payments"


def asking(**page):
    """INC-7, on which the on-call of payments was asked to help."""
    return incident(episode={"others": (OtherPage(**({"name": "payments", "pager": "payments", "dedup_key": THEIRS} | page)),)})


def other(decision):
    (page,) = decision.incident.episode.others
    return page


def shown(one):
    return str(card(one, POLICY, after(2)))


def test_a_service_that_is_asked_to_help_is_known_by_its_page():
    decision = decided(incident(), says.PageSomeone(7, ANA, service="payments"), after(1))

    effect = decision.effects[0]
    assert isinstance(effect, PageService)
    assert (effect.dedup_key, effect.pager) == (THEIRS, "payments")
    assert decision.incident.episode.others == (OtherPage("payments", "payments", THEIRS),)
    again = decided(decision.incident, says.PageSomeone(7, ANA, service="payments"), after(2))
    assert len(again.incident.episode.others) == 1


def test_it_is_called_paged_once_pagerduty_took_it_and_not_before():
    assert "Asking PagerDuty to page the on-call of *payments*" in shown(asking())

    decision = decided(asking(), says.SomeoneAsked(7, WHO, "bot", after(1), THEIRS), after(1))

    assert other(decision).accepted_at == after(1)
    assert types(decision) == ["responder_paged"]
    assert "Paged the on-call of *payments*, too" in shown(decision.incident)
    assert "PagerDuty has told of no acknowledgement" in shown(decision.incident)


@pytest.mark.parametrize("by", [ANA, "bot"])
def test_one_that_is_refused_is_said_and_loudly_where_no_person_waits_for_it(by):
    decision = decided(asking(), says.SomeoneNotAsked(7, WHO, by, "no such key", "set it", THEIRS), after(1))

    assert other(decision).refused == "no such key"
    assert types(decision) == ["responder_failed"]
    assert "the on-call of *payments* was *not* paged: no such key" in shown(decision.incident)
    assert topics(decision) == ["someone_not_asked"] * (1 if by == ANA else 2)
    assert ("RaiseAlarm" in kinds(decision)) == (by == "bot")
    # Whoever asks again is asked for anew.
    again = decided(decision.incident, says.PageSomeone(7, ANA, service="payments"), after(2))
    assert other(again).refused == ""


def test_who_acknowledges_it_is_told_and_stops_no_clock():
    decision = decided(asking(accepted_at=after(1)), pager("acknowledged", after(2), BEN, key=THEIRS), after(2))

    assert (other(decision).acknowledged_by, other(decision).acknowledged_at) == (BEN, after(2))
    assert [(one.type, one.by, one.at) for one in decision.entries] == [("responder_acknowledged", BEN, after(2))]
    assert decision.incident.episode.acknowledged_at is None
    assert decision.incident.status is Status.TRIGGERED
    assert decision.cancels == ()
    assert f"acknowledged by <@{BEN}>" in shown(decision.incident)


def test_the_earliest_acknowledgement_stands_in_whatever_order_they_come():
    first = pager("acknowledged", after(2), BEN, key=THEIRS)
    second = pager("acknowledged", after(3), ANA, key=THEIRS)
    for order in ((first, second), (second, first)):
        current = asking(accepted_at=after(1))
        for one in order:
            current = decided(current, one, after(4)).incident
        assert current.episode.others[0].acknowledged_by == BEN


def test_one_that_is_taken_back_is_acknowledged_no_more():
    held = asking(accepted_at=after(1), acknowledged_at=after(2), acknowledged_by=BEN)
    decision = decided(held, pager("unacknowledged", after(10), key=THEIRS), after(10))
    assert other(decision).acknowledged_at is None
    assert types(decision) == ["responder_unacknowledged"]

    late = decided(held, pager("unacknowledged", after(1), key=THEIRS), after(10))
    assert other(late).acknowledged_by == BEN


def test_news_of_it_prove_that_it_was_taken():
    decision = decided(asking(), pager("acknowledged", after(2), BEN, key=THEIRS), after(2))

    assert types(decision) == ["responder_paged", "responder_acknowledged"]
    assert other(decision).accepted_at == after(2)


def test_an_acknowledgement_by_no_person_is_none():
    decision = decided(asking(accepted_at=after(1)), pager("acknowledged", after(2), None, key=THEIRS), after(2))

    assert decision.entries == ()
    assert other(decision).acknowledged_at is None


def test_it_is_over_with_the_incident():
    for one, ended in ((asking(accepted_at=after(1)), [KEY, THEIRS]), (asking(refused="no such key"), [KEY])):
        decision = decided(replace(acknowledged(), episodes=one.episodes), says.Resolve(7, ANA), after(20))
        assert [effect.dedup_key for effect in decision.effects if isinstance(effect, ResolvePage)] == ended


def test_it_is_over_also_where_somebody_resolves_the_incidents_own_page_in_pagerduty():
    decision = decided(asking(accepted_at=after(1)), pager("resolved", after(20), BEN), after(20))

    assert decision.incident.status is Status.RESOLVED
    assert [one.dedup_key for one in decision.effects if isinstance(one, ResolvePage)] == [THEIRS]


def test_of_what_is_over_nothing_is_asked_any_more():
    over = replace(asking(), status=Status.RESOLVED, resolved_at=after(20))
    over = over.with_episode(replace(over.episode, ended_at=after(20), page=PageState.ACCEPTED))

    assert "PagerDuty is not known to have taken the page of the on-call of *payments*" in shown(over)


def test_a_page_that_nobody_asked_for_is_nothing():
    decision = decided(incident(), pager("acknowledged", after(2), BEN, key=f"{KEY}/unknown"), after(2))

    assert (decision.incident, decision.entries) == (None, ())


# --- again, elsewhere, late -------------------------------------------------------------------


def test_whoever_is_asked_again_after_their_page_was_resolved_is_woken_by_another_one():
    one = asking(accepted_at=after(1), acknowledged_at=after(2), acknowledged_by=BEN)
    left = decided(one, pager("resolved", after(3), BEN, key=THEIRS), after(3))
    assert types(left) == ["responder_left"]
    assert left.incident.status is Status.TRIGGERED
    assert "that page was resolved in PagerDuty" in shown(left.incident)

    again = decided(left.incident, says.PageSomeone(7, ANA, service="payments"), after(4))

    first, second = again.incident.episode.others
    assert first.acknowledged_by == BEN
    assert (second.acknowledged_by, second.dedup_key == THEIRS) == (None, False)
    assert again.effects[0].dedup_key == second.dedup_key
    assert is_of_others(second.dedup_key)
    assert not is_of_others(KEY)


def test_a_key_is_short_whatever_they_are_called():
    assert len(others_key(KEY, "x" * 5000, "y" * 5000)) < 100
    assert others_key(KEY, "a", "b") != others_key(KEY, "a", "c") != others_key(KEY, "a", "b", 1)


@pytest.mark.parametrize("by", [ANA, "bot"])
def test_one_that_pagerduty_does_not_take_for_long_is_said_loudly_and_on_the_card(by):
    late = says.SomeoneDelayed(7, WHO, by, THEIRS, "503", 3)
    decision = decided(asking(), late, after(1))

    assert types(decision) == ["responder_delayed"]
    assert topics(decision) == ["someone_delayed"] * 2
    assert "has *not taken* the page of the on-call of *payments* yet: 503" in shown(decision.incident)
    taken = decided(decision.incident, says.SomeoneAsked(7, WHO, by, after(2), THEIRS), after(2))
    assert "not taken" not in shown(taken.incident)
    assert decided(taken.incident, late, after(3)).entries == ()


def test_what_was_refused_is_not_taken_because_of_news_of_no_person():
    decision = decided(asking(refused="nobody was woken"), pager("acknowledged", after(2), None, key=THEIRS), after(2))

    assert other(decision).accepted_at is None
    assert other(decision).refused == "nobody was woken"


def test_whoever_acknowledges_it_is_invited():
    decision = decided(asking(accepted_at=after(1)), pager("acknowledged", after(2), BEN, key=THEIRS), after(2))

    assert InvitePeople(7, (BEN,)) in decision.effects


def test_where_it_is_merged_it_rings_on_and_ends_with_what_it_was_merged_into():
    child = replace(asking(accepted_at=after(1)), number=8)
    into = incident()
    decision = decided(child, says.Merge(8, 7, ANA, target=into), after(3))

    (parent,) = decision.others
    assert decision.incident.episode.others == ()
    assert [one.dedup_key for one in parent.episode.others] == [THEIRS]
    assert THEIRS not in [one.dedup_key for one in decision.effects if isinstance(one, ResolvePage)]
    over = decided(parent, says.Resolve(7, ANA), after(9))
    assert THEIRS in [one.dedup_key for one in over.effects if isinstance(one, ResolvePage)]


def test_where_the_other_incident_pages_them_already_one_page_is_over():
    child = replace(asking(accepted_at=after(1)), number=8)
    into = incident(service="payments", pager="payments")
    decision = decided(child, says.Merge(8, 7, ANA, target=into), after(3))

    assert decision.others[0].episode.others == ()
    assert THEIRS in [one.dedup_key for one in decision.effects if isinstance(one, ResolvePage)]
