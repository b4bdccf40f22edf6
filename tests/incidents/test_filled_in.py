"""What a sender left out is filled in, and called so for as long as anybody looks at the incident."""

import pytest

from bot.alerts.alert import Severity
from bot.alerts.matching import Known
from bot.alerts.routing import Matcher, Outcome, Route
from tests.builders import NOON, after, alert, decided, report, types


def test_a_start_that_nobody_gave_is_on_the_incident_and_in_its_timeline():
    decision = decided(None, report(alert(defaults=("started_at", "title"))))

    assert decision.incident.alerts[0].filled_in == ("started_at", "title")
    assert decision.entries[0].fields["filled_in"] == "started_at, title"


def test_what_the_sender_said_is_not_called_filled_in():
    decision = decided(None, report())

    assert decision.incident.alerts[0].filled_in == ()
    assert "filled_in" not in decision.entries[0].fields


@pytest.mark.parametrize(("minutes", "is_filled_in"), [(4, False), (6, True), (99999, True)])
def test_a_start_in_the_future_counts_from_now_and_is_said_to_be_filled_in(minutes, is_filled_in):
    decision = decided(None, report(alert(started_at=after(minutes))))

    assert decision.incident.alerts[0].started_at == decision.entries[0].at == NOON
    assert (decision.incident.alerts[0].filled_in == ("started_at",)) is is_filled_in


@pytest.mark.parametrize("start", [{"defaults": ("started_at",)}, {"started_at": after(99999)}])
def test_a_repeat_whose_start_is_not_known_is_no_new_firing(start):
    opened = decided(None, report(alert(**start))).incident
    again = alert(**({"started_at": after(1)} | start))

    decision = decided(opened, report(again, known=Known(opened.number), now=after(1)), after(1))

    assert types(decision) == []
    assert decision.effects == ()


def test_an_announced_alert_says_what_was_filled_in():
    route = Route("rest", Matcher(), Outcome.ANNOUNCE)

    [effect] = decided(None, report(alert(defaults=("status",), severity=Severity.LOW), route=route)).effects

    assert effect.filled_in == ("status",)
