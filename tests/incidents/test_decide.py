"""Decisions, one by one: values in, values out."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import Candidate, Ended, Known
from bot.alerts.routing import Matcher, Outcome, Route
from bot.errors import Refused
from bot.incidents import inputs as says
from bot.incidents.decision import Decision
from bot.incidents.effects import AcknowledgePage, PageNextLevel, PageOnCall, ResolvePage, Say, Topic
from bot.incidents.incident import PageState, Role, Severity, Status, Update, dedup_key
from bot.incidents.policy import Policy, ResolveRule
from tests.builders import (
    ANA,
    BEN,
    CHLOE,
    NOON,
    POLICY,
    acknowledged,
    after,
    alert,
    decided,
    incident,
    kinds,
    pager,
    report,
    topics,
    types,
)

KEY = dedup_key(7, 1, NOON)


# --- opening ----------------------------------------------------------------------------------


def test_an_alert_opens_an_incident_and_pages_before_anything_else():
    decision = decided(None, report())

    assert isinstance(decision.effects[0], PageOnCall)
    assert decision.effects[0].pager == "checkout"
    assert decision.effects[0].dedup_key == KEY
    assert decision.incident.severity is Severity.SEV2
    assert decision.incident.episode.page is PageState.REQUESTED
    assert types(decision) == ["alert_started", "opened", "page_requested"]


def test_what_follows_the_page_comes_in_its_order():
    assert kinds(decided(None, report())) == [
        "PageOnCall", "OpenChannel", "InvitePeople", "ShowSummary", "PinSummary", "SetTopic", "ShowAnnouncement",
    ]  # fmt: skip


def test_the_clock_of_a_page_has_its_reminders_and_its_target():
    timers = {timer.key: timer.due_at for timer in decided(None, report()).timers}

    assert timers["INC-7/1/reminder/120"] == after(2)
    assert timers["INC-7/1/reminder/240"] == after(4)
    assert timers["INC-7/1/target"] == after(5)


def test_the_impact_starts_when_the_alert_did():
    decision = decided(None, report())

    assert decision.incident.impact_started_at == after(seconds=-30)
    assert decision.entries[0].at == after(seconds=-30)
    assert decision.entries[0].fields["received_at"] == NOON


def test_a_start_in_the_future_is_not_believed():
    decision = decided(None, report(alert(started_at=after(60))))

    assert decision.incident.impact_started_at is None
    assert decision.entries[0].at == NOON


def test_a_severity_that_pages_nobody_starts_no_clock():
    decision = decided(None, says.Declare(title="Typo on a page", by=ANA, severity=Severity.SEV4, number=7))

    assert "PageOnCall" not in kinds(decision)
    assert decision.incident.episode.page is PageState.NOT_NEEDED
    assert decision.timers == ()


def test_a_declared_incident_is_sev3_where_nobody_says_otherwise():
    decision = decided(None, says.Declare(title="  Checkout   is slow ", by=ANA, service="cart", number=7))

    assert decision.incident.severity is Severity.SEV3
    assert decision.incident.title == "Checkout is slow"
    assert decision.incident.service == "checkout"
    assert decision.effects[0].pager == "checkout"


@pytest.mark.parametrize(
    ("wish", "says_what"),
    [
        (says.Declare(title="  ", by=ANA, number=7), "needs a title"),
        (says.Declare(title="x", by=ANA, service="chekout", number=7), "Known are: checkout, payments"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_what_to_write(wish, says_what):
    with pytest.raises(Refused, match=says_what):
        decided(None, wish)


def test_a_private_incident_is_announced_nowhere():
    decision = decided(None, says.Declare(title="Data exposed", by=ANA, severity=Severity.SEV1, private=True, number=7))

    assert "ShowAnnouncement" not in kinds(decision)
    assert next(one for one in decision.effects if type(one).__name__ == "OpenChannel").private


def test_whoever_a_route_gives_a_role_has_it_from_the_beginning_and_is_invited():
    route = Route("critical", Matcher(), Outcome.OPEN, severity="SEV2", roles={"commander": BEN, "scribe": ANA})
    decision = decided(None, report(route=route))

    assert decision.incident.roles == {Role.COMMANDER: (BEN,), Role.SCRIBE: (ANA,)}
    assert [one.fields for one in decision.entries if one.type == "role"] == [
        {"role": "commander", "user": BEN}, {"role": "scribe", "user": ANA},
    ]  # fmt: skip
    assert next(one for one in decision.effects if type(one).__name__ == "InvitePeople").people == (BEN, ANA)
    # To have a role is not to have acknowledged.
    assert decision.incident.episode.acknowledged_at is None


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("", "inc-7-checkout-error-rate-high"),
        ("{prefix}-{number}", "inc-7"),
        ("night_{number}-{service}-{severity}", "night_7-checkout-sev2"),
        ("{title} #{number}!", "checkout-error-rate-high-7"),
        ("{title}-" + "x" * 60 + "-{number}", "checkout-" + "x" * 60 + "-7"),
    ],
)
def test_a_channel_is_called_as_its_route_says(form, name):
    decision = decided(None, report(route=Route("critical", Matcher(), Outcome.OPEN, severity="SEV2", channel=form)))

    assert next(one for one in decision.effects if type(one).__name__ == "OpenChannel").name == name


def test_however_long_a_title_is_the_number_is_in_the_name():
    route = Route("critical", Matcher(), Outcome.OPEN, severity="SEV2", channel="{title}-{number}")
    decision = decided(None, report(alert(title="checkout " * 30), route=route))

    name = next(one for one in decision.effects if type(one).__name__ == "OpenChannel").name
    assert name.endswith("-7")
    assert len(name) <= 72


def test_an_alert_that_is_dropped_is_counted_under_its_route_and_leaves_nothing():
    decision = decided(None, report(route=Route("staging", Matcher(), Outcome.DROP, reason="broken on purpose")))

    assert (decision.dropped, decision.reason) == ("staging", "dropped by route “staging”: broken on purpose")
    assert (decision.alert, decision.effects, decision.entries) == (None, (), ())


# --- alerts -----------------------------------------------------------------------------------


def test_an_alert_nobody_routed_is_announced_and_opens_nothing():
    decision = decided(None, report(route=Route("warnings", Matcher(), Outcome.ANNOUNCE)))

    assert decision.incident is None
    assert kinds(decision) == ["AnnounceAlert"]
    assert decision.alert.is_announced


def test_a_repeat_of_an_announced_alert_is_not_announced_again():
    known = Known(incident=None, is_announced=True)

    assert decided(None, report(known=known, route=Route("w", Matcher(), Outcome.ANNOUNCE))).effects == ()


def test_a_repeat_changes_nothing_but_the_record():
    decision = decided(incident(), report(known=Known(7)), after(1))

    assert decision.incident is None
    assert decision.effects == ()
    assert decision.alert.incident == 7


BY_WORD = Route("by its word", Matcher(), Outcome.OPEN)
SILENT = {"page": PageState.NOT_NEEDED, "target": None}


def reported_as(severity, route=BY_WORD, **changes):
    return report(alert(severity=severity, **changes), Known(7), route, now=after(3))


def opened_as(severity):
    """INC-7 as an alert of that severity opened it."""
    return decided(None, report(alert(severity=severity), route=BY_WORD)).incident


def test_a_known_alert_that_gets_worse_raises_the_severity_and_pages_where_nobody_was_paged():
    decision = decided(opened_as(AlertSeverity.LOW), reported_as(AlertSeverity.CRITICAL), after(3))

    assert (decision.incident.severity, decision.incident.episode.deadline) == (Severity.SEV1, after(8))
    assert kinds(decision)[0] == "PageOnCall"
    assert types(decision) == ["severity_changed", "page_requested"]
    assert decision.incident.firing[0].fires == 1


def test_a_known_alert_that_gets_worse_says_why_and_pages_nobody_twice():
    decision = decided(opened_as(AlertSeverity.HIGH), reported_as(AlertSeverity.CRITICAL), after(3))

    assert types(decision) == ["severity_changed"]
    assert "PageOnCall" not in kinds(decision)
    told = next(one for one in decision.effects if isinstance(one, Say))
    assert told.facts["reason"] == decision.entries[0].fields["reason"] == "alert CheckoutErrorRateHigh"


@pytest.mark.parametrize("severity", [AlertSeverity.HIGH, AlertSeverity.LOW])
def test_a_repeat_that_is_no_worse_changes_nothing_but_the_record(severity):
    decision = decided(opened_as(AlertSeverity.HIGH), reported_as(severity), after(3))

    assert (decision.incident, decision.effects, decision.alert.incident) == (None, (), 7)


@pytest.mark.parametrize(("severity", "is_worse"), [(AlertSeverity.HIGH, False), (AlertSeverity.CRITICAL, True)])
def test_a_repeat_says_how_many_its_sender_leaves_out_by_now(severity, is_worse):
    one, counts = opened_as(AlertSeverity.HIGH), []
    for count in (3, 190, 0):
        decision = decided(one, reported_as(severity, truncated_count=count), after(3))
        one = decision.incident
        counts.append(one.alerts[0].unlisted)
        assert "ShowSummary" in kinds(decision)

    assert counts == [3, 190, 0]
    assert one.last_alert_at == (after(3) if is_worse else opened_as(AlertSeverity.HIGH).last_alert_at)
    assert decided(one, reported_as(severity), after(4)).incident is None


def test_a_repeat_does_not_raise_again_what_people_lowered():
    lowered = decided(opened_as(AlertSeverity.CRITICAL), says.ChangeSeverity(7, Severity.SEV4, ANA), after(1)).incident

    assert decided(lowered, reported_as(AlertSeverity.CRITICAL), after(3)).incident is None


def test_how_bad_an_alert_was_is_remembered_also_where_the_incident_was_worse_already():
    raised = decided(opened_as(AlertSeverity.HIGH), says.ChangeSeverity(7, Severity.SEV1, ANA), after(1)).incident
    worse = decided(raised, reported_as(AlertSeverity.CRITICAL), after(3))
    lowered = decided(worse.incident, says.ChangeSeverity(7, Severity.SEV3, ANA), after(4)).incident

    assert (types(worse), worse.effects) == ([], ())
    assert decided(lowered, reported_as(AlertSeverity.CRITICAL), after(5)).incident is None


def test_an_alert_that_opens_nothing_raises_nothing():
    declared = incident(severity=Severity.SEV4, episode=SILENT)
    only_announced = Route("w", Matcher(), Outcome.ANNOUNCE)

    assert decided(declared, reported_as(AlertSeverity.CRITICAL, only_announced), after(3)).incident is None


def test_another_alert_of_the_service_joins():
    other = report(alert(identity="f2"), candidates=(Candidate(7, "checkout", NOON),), now=after(3))
    decision = decided(incident(), other, after(3))

    assert len(decision.incident.alerts) == 2
    assert types(decision) == ["alert_started"]
    assert topics(decision) == ["alert_joined"]
    assert "PageOnCall" not in kinds(decision)


def test_a_worse_alert_raises_the_severity_and_pages_where_nobody_was_paged():
    quiet = incident(severity=Severity.SEV4, episode={"page": PageState.NOT_NEEDED, "target": None})
    worse = report(alert(identity="f2"), candidates=(Candidate(7, "checkout", NOON),), now=after(3))
    decision = decided(quiet, worse, after(3))

    assert decision.incident.severity is Severity.SEV2
    assert decision.incident.episode.deadline == after(8)
    assert kinds(decision)[0] == "PageOnCall"
    assert types(decision) == ["alert_started", "severity_changed", "page_requested"]


def test_an_alert_that_fires_again_comes_back_to_its_incident_and_stops_the_hold():
    cleared = decided(incident(), report(alert(status=AlertStatus.RESOLVED), Known(7)), after(3)).incident
    decision = decided(cleared, report(alert(started_at=after(4)), Known(7), now=after(4)), after(4))

    assert decision.incident.firing[0].fires == 2
    assert decision.incident.cleared_at is None
    assert decision.cancels == ("INC-7/hold", "INC-7/related")


def test_the_last_alert_to_clear_starts_the_hold():
    decision = decided(incident(), report(alert(status=AlertStatus.RESOLVED, ended_at=after(3)), Known(7)), after(4))

    assert decision.incident.cleared_at == after(3)
    assert [(timer.key, timer.due_at) for timer in decision.timers] == [("INC-7/hold", after(9))]
    assert decision.entries[0].at == after(3)


def test_an_end_from_before_it_fired_again_is_told_and_ends_nothing():
    again = decided(incident(), report(alert(started_at=after(4)), Known(7), now=after(4)), after(4)).incident
    ended = alert(status=AlertStatus.RESOLVED, ended_at=after(3), changed_at=after(3))
    decision = decided(again, report(ended, Known(7), now=after(5)), after(5))

    assert [(one.type, one.at) for one in decision.entries] == [("alert_resolved", after(3))]
    assert decision.incident is None
    assert decision.effects == decision.timers == ()
    assert (decision.alert.is_firing, decision.alert.started_at) == (True, after(4))
    # Remembered, so that it is not told again should it come again.
    assert decision.alert.ended == Ended(after(3), after(5))
    assert "cleared before it fired again" in decision.reason


def test_what_fired_before_an_end_that_is_known_fires_no_more():
    ended = alert(status=AlertStatus.RESOLVED, ended_at=after(3), changed_at=after(3))
    first = decided(incident(), report(ended, Known(7)), after(4))
    late = report(alert(changed_at=after(seconds=-30)), Known(7), now=after(5))
    placement = replace(late.placement, outcome=Outcome.RECORD, was_overtaken=True)
    decision = decided(first.incident, replace(late, placement=placement, record=first.alert), after(5))

    assert (decision.incident, decision.entries, decision.effects) == (None, (), ())
    assert (decision.alert.is_firing, decision.alert.ended) == (False, Ended(after(3), after(4)))


def test_an_end_before_the_start_is_taken_as_the_start():
    decision = decided(incident(), report(alert(status=AlertStatus.RESOLVED, ended_at=after(-99)), Known(7)), after(4))

    assert decision.incident.cleared_at == after(seconds=-30)


# --- the page ---------------------------------------------------------------------------------


def test_only_an_accepted_page_is_called_accepted():
    waiting = incident(episode={"page": PageState.REQUESTED, "accepted_at": None})
    decision = decided(waiting, says.PageAccepted(7, KEY, after(seconds=1)))

    assert decision.incident.episode.page is PageState.ACCEPTED
    assert decision.entries[0].type == "page_accepted"
    assert decision.entries[0].at == after(seconds=1)


def test_the_second_word_of_an_accepted_page_changes_nothing():
    assert decided(incident(), says.PageAccepted(7, KEY, after(1))).incident is None


def test_a_late_page_is_said_and_called_out_by_name_once_it_goes_on():
    waiting = incident(episode={"page": PageState.REQUESTED, "assignees": (ANA,)})
    first = decided(waiting, says.PageDelayed(7, KEY, "502", 1))
    third = decided(waiting, says.PageDelayed(7, KEY, "502", 3))

    assert first.incident.episode.page is PageState.DELAYED
    assert [one.people for one in first.effects if isinstance(one, Say)] == [()]
    assert [one.people for one in third.effects if isinstance(one, Say)] == [(ANA,), (ANA,)]


OVER = {"status": Status.RESOLVED, "episode": {"page": PageState.REQUESTED, "ended_at": after(3)}}


@pytest.mark.parametrize("attempt", [1, 3])
def test_nobody_is_called_for_a_late_page_of_what_is_over(attempt):
    assert decided(incident(**OVER), says.PageDelayed(7, KEY, "503", attempt)).effects == ()


def test_a_late_page_of_what_somebody_is_on_is_said_quietly():
    episode = {"page": PageState.REQUESTED, "acknowledged_at": after(1), "acknowledged_by": BEN, "assignees": (ANA,)}
    held = acknowledged(episode=episode)
    said = [one for one in decided(held, says.PageDelayed(7, KEY, "503", 3)).effects if isinstance(one, Say)]

    assert [(one.people, one.facts["holder"]) for one in said] == [((), BEN)]


def test_a_refused_page_of_what_is_over_is_an_alarm_and_calls_nobody():
    decision = decided(incident(**OVER), says.PageRefused(7, KEY, "invalid key", "set PAGERDUTY_KEYS"))

    assert "Say" not in kinds(decision)
    assert kinds(decision)[-1] == "RaiseAlarm"


@pytest.mark.parametrize("page", [PageState.REQUESTED, PageState.DELAYED, PageState.REFUSED])
def test_a_dropped_page_is_on_the_timeline_and_the_card_and_never_called_paged(page):
    waiting = acknowledged(episode={"page": page, "acknowledged_at": after(1), "acknowledged_by": BEN})
    decision = decided(waiting, says.PageDropped(7, KEY, "PagerDuty never took this page"), after(2))

    assert decision.incident.episode.page is PageState.DROPPED
    assert types(decision) == ["page_dropped"]
    assert "ShowSummary" in kinds(decision)
    with pytest.raises(Refused, match="never took this page, so there is no next level"):
        decided(decision.incident, says.Escalate(7, ANA))


def test_a_page_that_was_taken_is_not_dropped():
    assert decided(incident(), says.PageDropped(7, KEY, "late")).incident is None


@pytest.mark.parametrize(("wait_seconds", "is_loud"), [(30, False), (60, False), (61, True), (900, True)])
def test_a_page_that_is_not_tried_for_long_calls_people_at_its_first_failure(wait_seconds, is_loud):
    waiting = incident(episode={"page": PageState.REQUESTED})
    decision = decided(waiting, says.PageDelayed(7, KEY, "PagerDuty answered 429", 1, wait_seconds), after(2))

    said = [one for one in decision.effects if isinstance(one, Say)]
    assert len(said) == (2 if is_loud else 1)


LOST = says.PageNotShown(7, KEY, NOON, "PagerDuty shows no incident for it", "look there")


def test_a_page_that_pagerduty_lost_is_no_page_and_what_was_asked_of_it_is_asked_again_behind_it():
    waiting = incident(episode={"page": PageState.ACCEPTED, "accepted_at": NOON, "asked_level": 2})
    decision = decided(waiting, LOST, after(2))

    assert decision.incident.episode.page is PageState.DELAYED
    assert types(decision) == ["page_failed"]
    assert kinds(decision)[:2] == ["PageOnCall", "PageNextLevel"]
    assert decision.effects[0].dedup_key == KEY
    assert kinds(decision)[-3:] == ["Say", "Say", "RaiseAlarm"]


def test_a_lost_page_that_somebody_is_on_wakes_nobody_and_is_no_longer_called_paged():
    held = acknowledged(episode={"accepted_at": NOON, "acknowledged_at": after(1), "acknowledged_by": BEN})
    decision = decided(held, LOST, after(2))

    assert decision.incident.episode.page is PageState.DROPPED
    assert types(decision) == ["page_dropped"]
    assert "PageOnCall" not in kinds(decision)


@pytest.mark.parametrize(
    "changes", [{"accepted_at": after(1)}, {"accepted_at": NOON, "assignees": (BEN,)}, {"accepted_at": NOON, "ended_at": after(1)}]
)
def test_news_of_a_lost_page_that_is_too_old_changes_nothing(changes):
    assert decided(incident(episode={"page": PageState.ACCEPTED, **changes}), LOST, after(2)).incident is None


def test_a_refused_page_is_never_called_paged():
    waiting = incident(episode={"page": PageState.REQUESTED})
    decision = decided(waiting, says.PageRefused(7, KEY, "invalid key", "set PAGERDUTY_KEYS"))

    assert decision.incident.episode.page is PageState.REFUSED
    assert types(decision) == ["page_failed"]
    assert kinds(decision)[-1] == "RaiseAlarm"


def test_a_refusal_after_acceptance_is_not_believed():
    assert decided(incident(), says.PageRefused(7, KEY, "late", "")).incident is None


@pytest.mark.parametrize("known", [PageState.REQUESTED, PageState.DELAYED, PageState.REFUSED, PageState.DROPPED])
def test_whatever_pagerduty_tells_of_our_key_proves_that_it_took_the_page(known):
    """Also of one that was given up: the answer that was lost may have been a yes."""
    waiting = incident(episode={"page": known, "accepted_at": None, "page_reason": "why not"})
    decision = decided(waiting, pager("triggered", after(seconds=2), url="https://pd.example/1", assignees=(ANA,)))

    assert decision.incident.episode.page is PageState.ACCEPTED
    assert decision.incident.episode.page_reason == ""
    assert decision.incident.episode.assignees == (ANA,)
    assert decision.incident.pager_url == "https://pd.example/1"
    assert types(decision) == ["page_accepted"]


@pytest.mark.parametrize("known", [PageState.REFUSED, PageState.DROPPED])
def test_a_page_that_proves_to_be_there_is_told_what_happened_meanwhile(known):
    """Nobody told PagerDuty as long as it was taken to have none: it would ring on for what somebody is on, or is over."""
    given = {"page": known, "accepted_at": None, "page_reason": "why not"}
    waiting = decided(incident(episode=given), pager("triggered", after(4)))
    mine = {**given, "acknowledged_by": ANA, "acknowledged_at": after(3), "acknowledged_via": "slack"}
    held = decided(incident(episode=mine, status=Status.ACKNOWLEDGED), pager("triggered", after(4)))
    over = incident(episode={**given, "ended_at": after(3)}, status=Status.RESOLVED, resolved_at=after(3))
    closed = decided(over, pager("triggered", after(4)))

    assert not {"AcknowledgePage", "ResolvePage"} & set(kinds(waiting))
    assert AcknowledgePage(incident=7, dedup_key=KEY, pager="checkout", by=ANA) in held.effects
    assert ResolvePage(incident=7, dedup_key=KEY, pager="checkout") in closed.effects
    assert "ShowAnnouncement" in kinds(waiting)


def test_a_notification_is_a_page_on_the_timeline():
    decision = decided(incident(), pager("notified", after(seconds=3), ANA, level=1, channel="push"))

    assert types(decision) == ["page"]
    assert decision.entries[0].fields == {"to": ANA, "level": 1, "channel": "push", "episode": 1}
    assert decision.incident.episode.notified == (ANA,)


# --- acknowledging ----------------------------------------------------------------------------


def test_an_acknowledgement_in_slack_stops_the_clock_and_tells_pagerduty():
    decision = decided(incident(), says.Acknowledge(7, ANA), after(3))

    assert decision.effects[0] == AcknowledgePage(incident=7, dedup_key=KEY, pager="checkout", by=ANA)
    assert decision.incident.status is Status.ACKNOWLEDGED
    assert decision.incident.episode.acknowledged_at == after(3)
    assert "INC-7/1/target" in decision.cancels
    assert decision.reason == "You acknowledged INC-7 after 3 min 0 s, within the target."


@pytest.mark.parametrize(("seconds", "met"), [(0, True), (299, True), (300, False), (301, False)])
def test_the_target_is_strict(seconds, met):
    decision = decided(incident(), says.Acknowledge(7, ANA), after(seconds=seconds))

    assert next(one for one in decision.effects if isinstance(one, Say)).facts["met"] is met


def test_a_second_acknowledgement_is_refused_with_who_was_first():
    with pytest.raises(Refused, match="INC-7 was acknowledged 2 min 0 s ago by <@U0ANA>"):
        decided(acknowledged(), says.Acknowledge(7, BEN), after(3))


def test_an_acknowledgement_on_the_phone_counts_at_its_own_time():
    decision = decided(incident(), pager("acknowledged", after(2), ANA), after(2, 40))

    assert decision.incident.episode.acknowledged_at == after(2)
    assert decision.incident.episode.acknowledged_via == "pagerduty"
    assert "AcknowledgePage" not in kinds(decision)


def test_the_earliest_acknowledgement_stands_whatever_order_the_news_come_in():
    known = acknowledged(episode={"acknowledged_at": after(3), "acknowledged_by": BEN, "acknowledged_via": "slack"})
    decision = decided(known, pager("acknowledged", after(2), ANA), after(4))

    assert decision.incident.episode.acknowledged_at == after(2)
    assert decision.incident.episode.acknowledged_by == ANA


def test_a_later_acknowledgement_leaves_the_first_as_it_is():
    decision = decided(acknowledged(), pager("acknowledged", after(2), BEN), after(2))

    assert decision.incident.episode.acknowledged_by == ANA
    assert types(decision) == ["ack"]


def test_the_echo_of_our_own_acknowledgement_is_no_news():
    assert decided(acknowledged(), pager("acknowledged", after(1, 1), ANA), after(2)).entries == ()


SLACK_AT = timedelta(minutes=1, milliseconds=845)


@pytest.mark.parametrize("webhook", [timedelta(minutes=1, milliseconds=one) for one in (768, 900, 1004)])
@pytest.mark.parametrize("order", list(permutations(["slack", "webhook", "log"])), ids="-".join)
def test_one_acknowledgement_that_a_webhook_and_the_log_tell_of_is_one_whatever_comes_first(webhook, order):
    """A webhook tells parts of a second, the log whole seconds, and of the second before where that is over by then; Ana
    acknowledged in Slack within the same second.
    """
    one, lines = incident(), []
    for what in order:
        at = {"webhook": NOON + webhook, "log": after(1), "slack": NOON + SLACK_AT}[what]
        try:
            wish = says.Acknowledge(7, ANA) if what == "slack" else pager("acknowledged", at, BEN)
            decision = decided(one, wish, at if what == "slack" else after(2))
        except Refused:
            continue
        one = decision.incident or one
        lines += [line for line in decision.entries if line.type == "ack"]

    assert Counter(line.by for line in lines)[BEN] == 1
    assert Counter(line.by for line in lines)[ANA] <= 1
    is_anas = order[0] == "slack" and webhook > SLACK_AT
    assert one.episode.acknowledged_by == (ANA if is_anas else BEN)
    assert one.episode.acknowledged_at in ({NOON + SLACK_AT} if is_anas else {NOON + webhook, after(1)})


@pytest.mark.parametrize("via", ["slack", "pagerduty"])
def test_one_who_is_shown_to_have_acknowledged_a_second_before_did_it_then(via):
    known = acknowledged(episode={"acknowledged_at": after(1, 1.5), "acknowledged_by": ANA, "acknowledged_via": via})
    decision = decided(known, pager("acknowledged", after(1, 0.2), ANA), after(2))

    assert decision.incident.episode.acknowledged_at == after(1, 0.2)


@pytest.mark.parametrize("order", list(permutations(["webhook", "log"])), ids="-".join)
def test_an_acknowledgement_that_the_log_shows_to_be_in_time_met_the_target_whatever_comes_first(order):
    """The webhook is of the moment after it: 300.05 seconds, where the log says 299 and means no more than 300."""
    one, lines = incident(), []
    for what in order:
        at = NOON + timedelta(seconds={"webhook": 300.05, "log": 299}[what])
        decision = decided(one, pager("acknowledged", at, BEN), after(6))
        one = decision.incident
        lines += [line.at for line in decision.entries if line.type == "ack"]

    assert one.episode.acknowledged_at == after(seconds=299)
    assert after(seconds=299) in lines


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_who_took_it_up_again_within_two_seconds_is_on_it_whatever_comes_first(order):
    told = [("acknowledged", 10.2), ("unacknowledged", 11.0), ("acknowledged", 11.7)]
    one = incident()
    for number in order:
        kind, at = told[number]
        one = decided(one, pager(kind, after(seconds=at), BEN), after(1)).incident

    episode = one.episode
    assert (episode.acknowledged_at, episode.holder, episode.is_ringing_again) == (after(seconds=10.2), BEN, False)


def test_an_echo_dated_at_the_whole_second_is_not_an_earlier_acknowledgement():
    known = acknowledged(episode={"acknowledged_at": after(1, 0.6), "acknowledged_by": ANA, "acknowledged_via": "slack"})
    decision = decided(known, pager("acknowledged", after(1), ANA), after(2))

    assert decision.entries == ()
    assert decision.incident.episode == known.episode


@pytest.mark.parametrize(
    ("who", "at", "first"),
    [
        (BEN, after(1, 0.326), BEN),
        (BEN, after(1, 0.7), ANA),
        (BEN, after(1), ANA),
        (ANA, after(1, 0.326), ANA),
    ],
    ids=["earlier in the same second", "later in it", "whole seconds, which cannot tell", "the echo, by another clock"],
)
def test_within_one_second_whoever_can_be_shown_to_be_first_is_first(who, at, first):
    known = acknowledged(episode={"acknowledged_at": after(1, 0.6), "acknowledged_by": ANA, "acknowledged_via": "slack"})
    episode = decided(known, pager("acknowledged", at, who), after(2)).incident.episode

    assert episode.acknowledged_by == first
    assert episode.acknowledged_at == (at if first == BEN else after(1, 0.6))


def test_an_acknowledgement_that_ran_out_was_taken_back_by_nobody_but_pagerduty():
    decision = decided(acknowledged(), pager("unacknowledged", after(31), person_name="checkout"), after(31))

    assert [(one.type, one.by) for one in decision.entries] == [("unack", "PagerDuty")]


def taken_back():
    """INC-7, acknowledged by Ana after a minute, and ringing again after half an hour."""
    return decided(acknowledged(), pager("unacknowledged", after(31)), after(31)).incident


def test_once_it_rings_again_nobody_is_on_it_and_the_first_acknowledgement_stands():
    episode = taken_back().episode

    assert (episode.is_ringing_again, episode.holder) == (True, None)
    assert (episode.acknowledged_at, episode.acknowledged_by) == (after(1), ANA)


def test_what_rings_again_is_taken_up_in_slack_and_pagerduty_is_told():
    decision = decided(taken_back(), says.Acknowledge(7, BEN), after(33))

    assert (decision.incident.episode.holder, decision.incident.episode.acknowledged_at) == (BEN, after(1))
    assert [(one.type, one.by, one.at) for one in decision.entries] == [("ack", BEN, after(33))]
    assert kinds(decision)[0] == "AcknowledgePage"
    with pytest.raises(Refused, match="was acknowledged 1 min 0 s ago by"):
        decided(decision.incident, says.Acknowledge(7, ANA), after(34))


def test_what_rings_again_is_taken_up_in_pagerduty_and_it_is_not_told_again():
    decision = decided(taken_back(), pager("acknowledged", after(33), BEN), after(33))

    assert decision.incident.episode.holder == BEN
    assert "AcknowledgePage" not in kinds(decision)
    assert topics(decision) == ["acknowledged"]


def test_moving_the_status_takes_up_what_rings_again():
    decision = decided(taken_back(), says.ChangeStatus(7, Status.IDENTIFIED, BEN), after(33))

    assert decision.incident.episode.holder == BEN
    assert "ack" in types(decision)


@pytest.mark.parametrize("at", [after(0.5), after(1)])
def test_news_of_an_acknowledgement_taken_back_before_the_one_that_stands_rings_nothing(at):
    assert not decided(acknowledged(), pager("unacknowledged", at), after(2)).incident.episode.is_ringing_again


def heard(*news):
    """INC-7 after news that came in this order: an acknowledgement by somebody, or its taking back, each at its minute."""
    one = incident()
    for who, minute in news:
        kind = "acknowledged" if who else "unacknowledged"
        one = decided(one, pager(kind, after(minute), who), after(10)).incident
    return one


@pytest.mark.parametrize("order", list(permutations([(ANA, 1), (None, 2), (BEN, 3), (BEN, 4)])))
def test_who_was_first_and_who_is_on_it_are_the_same_whatever_order_the_news_come_in(order):
    episode = heard(*order).episode

    assert (episode.acknowledged_at, episode.acknowledged_by) == (after(1), ANA)
    assert (episode.is_ringing_again, episode.holder, episode.taken_up_at) == (False, BEN, after(3))


@pytest.mark.parametrize("order", list(permutations([(ANA, 1), (BEN, 2), (None, 3)])))
def test_nobody_is_on_it_where_the_taking_back_was_the_last_that_happened(order):
    episode = heard(*order).episode

    assert (episode.acknowledged_at, episode.holder, episode.rings_since) == (after(1), None, after(3))


def test_an_acknowledgement_that_was_taken_back_before_we_heard_of_it_is_told_together_with_that():
    decision = decided(heard((None, 2)), pager("acknowledged", after(1), ANA), after(3))

    assert topics(decision) == ["acknowledged", "unacknowledged"]


def test_whoever_presses_saw_it_ring_whatever_pagerdutys_clock_says():
    pressed = decided(heard((None, 9)), says.Acknowledge(7, ANA), after(8)).incident

    assert (pressed.episode.acknowledged_at, pressed.episode.holder) == (after(8), ANA)


def test_what_is_over_does_not_ring_again():
    over = acknowledged(status=Status.RESOLVED)

    assert not decided(over, pager("unacknowledged", after(31)), after(31)).incident.episode.is_ringing_again


def test_a_machine_that_acknowledges_stops_nothing():
    decision = decided(incident(), pager("acknowledged", after(1)), after(1))

    assert decision.incident.episode.acknowledged_at is None


def test_a_late_acknowledgement_never_undoes_a_resolve():
    over = decided(incident(), says.Resolve(7, ANA), after(4)).incident
    decision = decided(over, pager("acknowledged", after(5), BEN), after(5))

    assert decision.incident.status is Status.RESOLVED
    assert decision.incident.episode.acknowledged_at is None


def test_taking_the_lead_is_an_acknowledgement():
    decision = decided(incident(), says.AssignRole(7, Role.COMMANDER, ANA, ANA), after(2))

    assert types(decision) == ["ack", "role"]
    assert decision.incident.episode.acknowledged_by == ANA
    assert decision.incident.roles[Role.COMMANDER] == (ANA,)


def test_being_given_the_lead_is_not_an_acknowledgement():
    decision = decided(incident(), says.AssignRole(7, Role.COMMANDER, BEN, ANA), after(2))

    assert types(decision) == ["role"]
    assert decision.incident.episode.acknowledged_at is None


# --- the clock --------------------------------------------------------------------------------


def test_a_reminder_speaks_to_whoever_was_woken():
    decision = decided(incident(episode={"notified": (ANA,)}), says.ReminderDue(7, 1, 120), after(2))

    assert types(decision) == ["reminder"]
    assert decision.effects[0].people == (ANA,)


def test_a_reminder_after_the_acknowledgement_says_nothing():
    assert decided(acknowledged(), says.ReminderDue(7, 1, 120), after(2)).effects == ()


def test_a_breach_is_recorded_at_the_deadline_and_pages_the_next_level():
    decision = decided(incident(), says.TargetPassed(7, 1), after(5, 2))

    assert decision.entries[0].type == "ack_breached"
    assert decision.entries[0].at == after(5)
    assert decision.effects[0] == PageNextLevel(incident=7, dedup_key=KEY, level=2)
    assert topics(decision) == ["ack_breached", "ack_breached"]
    assert [(one.due_at, one.input.level) for one in decision.timers] == [(after(10, 2), 3)]


def test_a_breach_is_recorded_once_however_many_levels_follow():
    first = decided(incident(), says.TargetPassed(7, 1), after(5)).incident
    second = decided(replace(first), says.TargetPassed(7, 1, level=3), after(10))

    assert second.entries == ()
    assert second.effects[0].level == 3


def test_after_the_last_level_nothing_more_is_asked_and_it_is_said():
    last = incident(episode={"breached_at": after(5), "level": 3, "asked_level": 3})
    decision = decided(last, says.TargetPassed(7, 1, level=4), after(15))

    assert "PageNextLevel" not in kinds(decision)
    assert decision.timers == ()
    assert next(one for one in decision.effects if isinstance(one, Say)).facts["escalation"] == "none"


def test_nobody_is_paged_after_an_acknowledgement():
    assert decided(acknowledged(), says.TargetPassed(7, 1), after(5)).effects == ()


def test_a_level_is_reached_when_pagerduty_says_so_and_recorded_once():
    first = decided(incident(), says.LevelAsked(7, KEY, 2, after(5)))
    echo = decided(first.incident, pager("escalated", after(5, 1), level=2, assignees=(BEN,)), after(5, 1))

    assert types(first) == ["escalated"]
    assert echo.entries == ()
    assert echo.incident.episode.assignees == (BEN,)


def test_a_level_that_could_not_be_paged_is_said_loudly():
    decision = decided(incident(), says.LevelNotAsked(7, KEY, 2, "no REST token", "set PAGERDUTY_API_TOKEN"), after(5))

    assert types(decision) == ["escalation_failed"]
    assert topics(decision) == ["level_not_asked", "level_not_asked"]


def test_the_card_is_refreshed_every_minute_while_nobody_is_on_it():
    decision = decided(incident(), says.SummaryAged(7, 1), after(1))

    assert kinds(decision) == ["ShowSummary"]
    assert decision.timers[0].due_at == after(2)


# --- responding -------------------------------------------------------------------------------


def test_moving_the_status_is_an_acknowledgement_where_one_is_missing():
    decision = decided(incident(), says.ChangeStatus(7, Status.INVESTIGATING, ANA), after(2))

    assert types(decision) == ["ack", "status_changed"]
    assert decision.incident.status is Status.INVESTIGATING


def test_monitoring_means_that_the_impact_is_over():
    decision = decided(acknowledged(), says.ChangeStatus(7, Status.MONITORING, ANA), after(9))

    assert types(decision) == ["status_changed", "mitigated"]
    assert decision.incident.mitigated_at == after(9)


@pytest.mark.parametrize(
    ("wish", "says_what"),
    [
        (says.ChangeStatus(7, Status.TRIGGERED, ANA), "does not go back"),
        (says.ChangeStatus(7, Status.MERGED, ANA), "into which incident"),
        (says.ChangeSeverity(7, Severity.SEV2, ANA), "is SEV2 already"),
        (says.PostUpdate(7, " ", ANA), "needs words"),
        (says.PostUpdate(7, "x", ANA, next_minutes=0), "between 1 minute"),
        (says.AddNote(7, "x" * 3000, ANA), "at most 2800"),
        (says.PageSomeone(7, ANA, service="chekout"), "Known are: checkout, payments"),
        (says.Merge(7, 9, ANA), "There is no INC-9"),
        (says.Merge(7, 7, ANA, target=incident()), "into itself"),
        (says.Reopen(7, ANA), "open already"),
        (says.Close(7, ANA), "incident resolve INC-7"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(wish, says_what):
    with pytest.raises(Refused, match=says_what):
        decided(acknowledged(), wish, after(3))


def test_an_input_for_an_incident_that_is_not_there_is_refused():
    with pytest.raises(Refused, match="There is no INC-9"):
        decided(None, says.Acknowledge(9, ANA))


def test_raising_the_severity_to_one_that_pages_starts_the_clock():
    quiet = incident(severity=Severity.SEV4, episode={"page": PageState.NOT_NEEDED, "target": None})
    decision = decided(quiet, says.ChangeSeverity(7, Severity.SEV1, ANA), after(10))

    assert kinds(decision)[0] == "PageOnCall"
    assert decision.incident.episode.deadline == after(15)


def test_an_update_promises_the_next_and_sets_its_timers():
    decision = decided(acknowledged(), says.PostUpdate(7, "Rolling back", ANA, next_minutes=15), after(3))

    assert decision.incident.update == Update(after(3), ANA, "Rolling back", after(18))
    assert [(one.due_at, one.input.is_late) for one in decision.timers] == [(after(13), False), (after(18), True)]


def test_a_promise_that_was_replaced_reminds_nobody():
    newer = acknowledged(update=Update(after(3), ANA, "x", after(33)))

    assert decided(newer, says.UpdateDue(7, after(18), is_late=True), after(18)).effects == ()


def test_a_late_update_is_on_the_timeline():
    promised = acknowledged(update=Update(after(3), ANA, "x", after(18)))
    decision = decided(promised, says.UpdateDue(7, after(18), is_late=True), after(18))

    assert types(decision) == ["update_overdue"]
    assert decision.effects[0].people == (ANA,)


def test_asking_for_a_person_never_says_paged():
    decision = decided(acknowledged(), says.PageSomeone(7, ANA, person=CHLOE), after(3))

    assert kinds(decision) == ["PagePerson"]
    assert types(decision) == ["responder_requested"]
    assert "paged" not in decision.reason.lower()


# --- the end ----------------------------------------------------------------------------------


def test_resolving_ends_the_page_and_drafts_the_post_mortem():
    decision = decided(acknowledged(), says.Resolve(7, ANA), after(20))

    assert decision.effects[0] == ResolvePage(incident=7, dedup_key=KEY, pager="checkout")
    assert kinds(decision)[-1] == "PostDraft"
    assert decision.incident.status is Status.RESOLVED
    assert decision.incident.episode.ended_at == after(20)
    assert "Still firing: CheckoutErrorRateHigh" in decision.reason


def test_a_proposal_comes_when_everything_has_been_clear_for_the_hold():
    clear = decided(acknowledged(), report(alert(status=AlertStatus.RESOLVED), Known(7)), after(3)).incident
    decision = decided(clear, says.HoldPassed(7, after(3)), after(8))

    assert topics(decision) == ["resolve_proposed"]
    assert decision.incident.status is Status.ACKNOWLEDGED


def test_a_policy_may_resolve_by_itself_at_the_time_of_clearing():
    clear = decided(acknowledged(), report(alert(status=AlertStatus.RESOLVED), Known(7)), after(3)).incident
    policy = Policy(resolve=ResolveRule(automatic=True, hold=timedelta(minutes=5)))
    decision = decided(clear, says.HoldPassed(7, after(3)), after(8), policy)

    assert decision.incident.status is Status.RESOLVED
    assert decision.entries[0].fields["effective_at"] == after(3)
    assert decision.entries[0].fields["auto"] is True


def test_a_hold_that_was_interrupted_ends_nothing():
    assert decided(acknowledged(), says.HoldPassed(7, after(3)), after(8)).incident is None


def test_a_person_who_resolves_on_the_phone_resolves_the_incident():
    decision = decided(acknowledged(), pager("resolved", after(9), ANA), after(9, 5))

    assert decision.incident.status is Status.RESOLVED
    assert decision.incident.resolved_at == after(9)
    assert "ResolvePage" not in kinds(decision)


def test_our_own_resolve_coming_back_changes_nothing():
    assert decided(acknowledged(), pager("resolved", after(9)), after(9)).incident.status is Status.ACKNOWLEDGED


def test_reopening_is_a_new_episode_with_a_page_of_its_own():
    over = decided(acknowledged(), says.Resolve(7, ANA), after(20)).incident
    decision = decided(over, says.Reopen(7, BEN), after(60))

    assert decision.incident.episode.number == 2
    assert decision.effects[0].dedup_key == dedup_key(7, 2, after(60))
    assert decision.effects[0].dedup_key != KEY
    assert types(decision) == ["reopened", "page_requested"]


def comes_and_goes(times: int) -> list[Decision]:
    """An alert of INC-7 that clears a minute after each of its fires, ten minutes apart: what is decided of each report."""
    one, made = acknowledged(), []
    for number in range(times):
        at = 10 * number
        cleared = report(alert(status=AlertStatus.RESOLVED, ended_at=after(at + 1)), Known(7))
        again = report(alert(started_at=after(at + 10)), Known(7))
        for given, moment in ((cleared, at + 1), (again, at + 10)):
            made.append(decided(one, given, after(moment)))
            one = made[-1].incident
    return made


def test_an_alert_that_flaps_is_said_once_and_pages_nobody_again():
    made = comes_and_goes(6)

    assert Counter(topic for one in made for topic in topics(one)) == {"alerts_cleared": 3, "alert_joined": 2, "flapping": 1}
    assert Counter(type_ for one in made for type_ in types(one)) == {"alert_resolved": 6, "alert_started": 6, "flapping_started": 1}
    assert not any("PageOnCall" in kinds(one) for one in made)
    assert made[-1].incident.alerts[0].fires == 7
    assert made[-1].incident.episode == acknowledged().episode


def test_what_flaps_is_watched_until_it_is_calm_and_then_said_to_be():
    made = comes_and_goes(6)
    cleared = decided(made[-1].incident, report(alert(status=AlertStatus.RESOLVED, ended_at=after(61)), Known(7)), after(61))
    hold = next(one for one in cleared.timers if isinstance(one.input, says.HoldPassed))
    calm = next(one for one in made[-1].timers if isinstance(one.input, says.CalmPassed))
    assert hold.due_at == calm.due_at == after(60 + 60)
    assert calm.key < hold.key

    early = decided(cleared.incident, replace(calm.input, record=made[-1].alert), after(100))
    assert (early.entries, [one.due_at for one in early.timers]) == ((), [after(120)])
    decision = decided(cleared.incident, replace(calm.input, record=made[-1].alert), after(121))
    assert [(one.type, one.at, one.fields["fires"]) for one in decision.entries] == [("flapping_ended", after(120), 7)]
    assert decision.incident.alerts[0].flaps.since is None
    assert decision.calmed.flaps.since is None
    assert kinds(decision) == ["ShowSummary"]
    assert decided(decision.incident, replace(calm.input, record=decision.calmed), after(122)).entries == ()
    assert decided(None, calm.input, after(121)).reason == "that alert is forgotten"


def test_reopening_after_a_day_is_refused():
    over = decided(acknowledged(), says.Resolve(7, ANA), after(20)).incident

    with pytest.raises(Refused, match="more than 24 h ago"):
        decided(over, says.Reopen(7, BEN), after(20 + 24 * 60 + 1))


def test_that_pagerduty_does_not_know_of_an_acknowledgement_is_said_to_whoever_is_on_it():
    decision = decided(acknowledged(), says.AcknowledgementDelayed(7, KEY, BEN, "503", 3), after(3))

    assert decision.effects == (Say(7, Topic.ACK_DELAYED, {"reason": "503", "attempt": 3}, people=(BEN,)),)
    assert types(decision) == ["ack_delayed"]


def test_nobody_is_told_of_a_late_acknowledgement_that_pagerduty_knows_already():
    known = acknowledged(episode={"acknowledged_at": after(1), "acknowledged_by": BEN, "acknowledged_via": "pagerduty"})

    assert decided(known, says.AcknowledgementDelayed(7, KEY, BEN, "503", 3), after(3)).effects == ()
    assert decided(known, says.AcknowledgementDelayed(7, "another key", BEN, "503", 3), after(3)).effects == ()


def test_a_request_for_the_next_level_that_is_late_is_called_out_by_name():
    held = incident(episode={"assignees": (ANA,)})
    decision = decided(held, says.LevelDelayed(7, KEY, 2, "503", 3), after(6))

    assert decision.effects == (Say(7, Topic.LEVEL_DELAYED, {"level": 2, "reason": "503", "attempt": 3}, people=(ANA,)),)
    assert types(decision) == ["escalation_delayed"]


@pytest.mark.parametrize("gone", [{"episode": {"level": 2}}, {"status": Status.RESOLVED, "episode": {"ended_at": after(3)}}])
def test_a_late_request_for_a_level_that_is_moot_is_not_called_out(gone):
    assert decided(incident(**gone), says.LevelDelayed(7, KEY, 2, "503", 3), after(6)).effects == ()


def test_merging_ends_the_child_and_hands_over_its_acknowledgement():
    child = replace(acknowledged(), number=8)
    decision = decided(child, says.Merge(8, 7, BEN, target=incident()), after(4))

    assert decision.incident.status is Status.MERGED
    assert decision.incident.merged_into == 7
    assert decision.others[0].episode.acknowledged_by == ANA
    assert types(decision) == ["merged", "absorbed"]


def merged(child, target, policy=POLICY):
    return decided(replace(child, number=8), says.Merge(8, 7, BEN, target=target), after(4), policy)


def quiet(**changes):
    """INC-7 as one that pages nobody."""
    return incident(**({"severity": Severity.SEV4, "alerts": (), "episode": SILENT} | changes))


def test_a_ringing_page_that_is_merged_into_a_silent_incident_rings_on_there():
    decision = merged(incident(severity=Severity.SEV1), quiet())
    parent = decision.others[0]

    assert (parent.severity, parent.episode.page, parent.episode.deadline) == (Severity.SEV1, PageState.REQUESTED, after(9))
    assert kinds(decision)[:2] == ["PageOnCall", "ResolvePage"]
    assert types(decision) == ["merged", "absorbed", "severity_changed", "page_requested"]
    assert {timer.key for timer in decision.timers} >= {"INC-7/1/target", "INC-7/1/reminder/120"}
    assert decision.reason == "INC-8 is now part of INC-7, which is SEV1 now. Asking PagerDuty to page its on-call."


def test_the_worse_of_two_severities_is_kept_and_said_with_its_reason():
    decision = merged(incident(severity=Severity.SEV1), incident(severity=Severity.SEV3))
    told = next(one for one in decision.effects if isinstance(one, Say) and one.topic is Topic.SEVERITY_CHANGED)

    assert (decision.others[0].severity, told.incident, told.facts["by"]) == (Severity.SEV1, 7, BEN)
    assert told.facts["reason"] == decision.entries[2].fields["reason"] == "INC-8 is part of it now"
    assert "PageOnCall" not in kinds(decision)


@pytest.mark.parametrize(
    "child",
    [
        acknowledged(severity=Severity.SEV1),
        incident(severity=Severity.SEV1, episode=SILENT),
    ],
)
def test_a_child_that_rings_no_more_starts_no_page(child):
    decision = merged(child, quiet())

    assert decision.others[0].severity is Severity.SEV1
    assert "PageOnCall" not in kinds(decision)
    assert "AcknowledgePage" not in kinds(decision)
    assert decision.others[0].episode.acknowledged_by == child.episode.acknowledged_by


def test_whoever_is_on_the_silent_parent_is_not_paged_for_the_child():
    parent = quiet(episode=SILENT | {"acknowledged_at": after(1), "acknowledged_by": ANA, "acknowledged_via": "slack"})
    decision = merged(incident(severity=Severity.SEV1), parent)

    assert "PageOnCall" not in kinds(decision)
    assert decision.others[0].episode.holder == ANA


def test_an_acknowledgement_that_was_taken_back_is_not_handed_over():
    again = acknowledged(episode={"acknowledged_at": after(1), "acknowledged_by": ANA, "rings_since": after(3)})

    assert merged(again, incident()).others[0].episode.is_waiting
    assert kinds(merged(again, quiet()))[0] == "PageOnCall"


def test_a_page_rings_on_where_it_rang_if_the_parent_names_no_service():
    nameless = merged(incident(severity=Severity.SEV1), quiet(service=None, pager="default"))
    named = merged(incident(severity=Severity.SEV1), quiet(service="payments", pager="payments"))

    assert [one.effects[0].pager for one in (nameless, named)] == ["checkout", "payments"]


def test_a_private_incident_is_not_merged_where_everybody_reads():
    with pytest.raises(Refused, match=r"INC-8 is private.*merge INC-7 into INC-8"):
        merged(incident(private=True), incident())
    assert merged(incident(), incident(private=True)).incident.merged_into == 7
    assert merged(incident(private=True), incident(private=True)).incident.merged_into == 7


@pytest.mark.parametrize(
    ("severity", "then"), [(Severity.SEV2, "Asking PagerDuty to page the on-call."), (Severity.SEV4, "SEV4 pages nobody.")]
)
def test_the_answer_to_a_declaration_says_whether_anybody_is_being_paged(severity, then):
    decision = decided(None, says.Declare(title="Checkout is slow", by=ANA, severity=severity, number=7))

    assert decision.reason == f"INC-7 opened as {severity.value}. {then}"


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED, Status.MERGED, Status.CANCELLED])
def test_nothing_pages_once_an_incident_is_over(status):
    over = incident(status=status, merged_into=9, episode={"ended_at": after(3)})
    quiet = [
        says.ReminderDue(7, 1, 120),
        says.TargetPassed(7, 1),
        says.SummaryAged(7, 1),
        says.HoldPassed(7, after(1)),
    ]

    for input in quiet:
        assert decided(over, input, after(9)).effects == ()


def test_what_was_given_up_is_on_the_timeline_and_raises_an_alarm():
    decision = decided(incident(), says.EffectParked(7, "OpenChannel", "restricted_action", "ask an admin"))

    assert types(decision) == ["effect_parked"]
    assert kinds(decision) == ["RaiseAlarm"]


def test_an_alarm_that_cannot_be_raised_raises_no_alarm():
    assert decided(None, says.EffectParked(None, "RaiseAlarm", "channel_not_found")).effects == ()


def test_an_unknown_severity_is_taken_as_one_that_pages():
    graded = report(alert(severity=AlertSeverity.UNKNOWN), route=Route("all", Matcher(), Outcome.OPEN))

    assert decided(None, graded).incident.severity is Severity.SEV3


def test_the_digest_is_an_effect():
    assert kinds(decided(None, says.DigestDue("2026-W24"))) == ["PostDigest"]


def test_every_topic_has_its_own_word():
    assert len({topic.value for topic in Topic}) == len(list(Topic))


def test_the_policy_of_these_tests_knows_its_services():
    assert POLICY.aliases()["cart"] == "checkout"


def test_the_echo_of_an_escalation_that_names_no_level_is_not_another_level():
    first = decided(incident(), says.LevelAsked(7, KEY, 2, after(5))).incident
    echo = decided(first, pager("escalated", after(5, 1), assignees=(BEN,)), after(5, 1))

    assert echo.incident.episode.level == 2
    assert echo.entries == ()
