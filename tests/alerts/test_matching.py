"""Where an alert belongs, and why."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations, product

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.alerts.matching import (
    LATE,
    Candidate,
    Ended,
    Flood,
    Grouping,
    Known,
    gathered,
    group_of,
    may_open,
    place,
    was_overtaken,
)
from bot.alerts.routing import Matcher, Outcome, Route, choose_route
from tests.builders import NOON, after, alert

REST = Route("anything else", Matcher(), Outcome.ANNOUNCE)
OPENS = Route("critical", Matcher({"severity": ("critical",)}), Outcome.OPEN, severity="SEV2")
NEAR = Candidate(4, "checkout", after(-3))


def placed(one=None, routes=(OPENS, REST), known=None, candidates=(), grouping=None, aliases=None):
    return place(one or alert(), "main", routes, aliases or {}, grouping or Grouping(), known, candidates, NOON)


@pytest.mark.parametrize(
    ("matcher", "misfit"),
    [
        (Matcher(), ""),
        (Matcher({"severity": ("critical", "high")}), ""),
        (Matcher({"severity": ("low",)}), "severity is critical, not low"),
        (Matcher({"service": ("check*",)}), ""),
        (Matcher({"environment": ("prod",)}), "environment is missing, not prod"),
        (Matcher({"name": ("Checkout*",)}), ""),
        (Matcher({"source": ("grafana",)}), "source is alertmanager, not grafana"),
        (Matcher({"route": ("main",)}), ""),
        (Matcher(labels={"alertname": ("CheckoutErrorRateHigh",)}), ""),
        (Matcher(labels={"team": ("a", "b")}), "label team is missing, not a or b"),
        (Matcher({"severity": ("critical",)}, {"service": ("web",)}), "label service is checkout, not web"),
    ],
)
def test_a_matcher_says_what_does_not_fit(matcher, misfit):
    assert matcher.misfit(alert(), "main") == misfit


def test_the_first_route_that_fits_takes_the_alert_and_says_so():
    second = replace(OPENS, name="second")

    route, why = choose_route(alert(), "main", (OPENS, second, REST), NOON)

    assert route.name == "critical"
    assert why == "route “critical” takes it (severity=critical)"


def test_a_policy_without_an_end_is_a_bug():
    with pytest.raises(ValueError, match="no route takes everything"):
        choose_route(alert(severity=Severity.LOW), "main", (OPENS,), NOON)


def test_an_alert_of_a_service_without_an_open_incident_opens_one():
    placement = placed()

    assert placement.outcome is Outcome.OPEN
    assert placement.incident is None
    assert placement.reason.endswith("no open incident of checkout had an alert in the last 10 min")


@pytest.mark.parametrize(
    ("candidate", "joins"),
    [
        (NEAR, 4),
        (Candidate(4, "checkout", after(-10)), 4),
        (Candidate(4, "checkout", after(-10.1)), None),
        (Candidate(4, "payments", after(-1)), None),
        (Candidate(4, "checkout", None), None),
        (Candidate(4, "checkout", after(-1), private=True), None),
    ],
)
def test_an_alert_joins_what_its_service_had_within_the_window(candidate, joins):
    assert placed(candidates=(candidate,)).incident == joins


@pytest.mark.parametrize(
    ("minutes", "within", "incident", "earlier"),
    [
        (0, timedelta(hours=24), 3, None),
        (24 * 60, timedelta(hours=24), 3, None),
        (24 * 60 + 0.1, timedelta(hours=24), None, 3),
        (1, timedelta(0), None, 3),
    ],
)
def test_what_was_resolved_is_opened_again_by_the_same_alert_for_a_day(minutes, within, incident, earlier):
    placement = placed(known=Known(3, resolved_at=after(-minutes)), grouping=Grouping(reopens_within=within))

    assert (placement.outcome, placement.incident, placement.earlier) == (Outcome.OPEN, incident, earlier)
    assert placement.reason.endswith("it is opened again" if incident else "it was in INC-3 before")


def test_its_own_incident_comes_before_another_of_its_service():
    assert placed(known=Known(3, resolved_at=after(-1)), candidates=(NEAR,)).incident == 3
    assert placed(known=Known(3, resolved_at=after(-25 * 60)), candidates=(NEAR,)).incident == 4


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.ACKNOWLEDGED, Status.SUPPRESSED])
def test_news_of_what_was_resolved_opens_nothing(status):
    placement = placed(alert(status=status), known=Known(3, resolved_at=after(-1)))

    assert (placement.incident, placement.is_repeat) == (3, False)
    assert not may_open(alert(status=status), "main", (OPENS, REST), Known(3, resolved_at=after(-1)), NOON)
    assert may_open(alert(), "main", (OPENS, REST), Known(3, resolved_at=after(-1)), NOON)


def test_what_is_only_announced_by_now_opens_nothing_again():
    placement = placed(alert(severity=Severity.LOW), known=Known(3, is_announced=True, resolved_at=after(-1)))

    assert (placement.outcome, placement.incident) == (Outcome.ANNOUNCE, None)


def test_the_newest_incident_of_the_service_is_joined():
    older = Candidate(3, "checkout", after(-8))

    assert placed(candidates=(older, NEAR)).incident == 4


def test_grouping_can_be_switched_off():
    assert placed(candidates=(NEAR,), grouping=Grouping(timedelta(0))).incident is None


def test_an_alert_without_a_service_stands_alone():
    placement = placed(alert(service=None), candidates=(Candidate(4, None, NOON),))

    assert placement.incident is None
    assert "no service is named" in placement.reason


def test_another_name_of_a_service_is_the_service():
    placement = placed(alert(service="Cart"), candidates=(NEAR,), aliases={"cart": "checkout"})

    assert placement.service == "checkout"
    assert placement.incident == 4


def fired(changed_at=None, **changes):
    return alert(started_at=after(-3), changed_at=changed_at, **changes)


HEARD_NOW, HEARD_BEFORE = Ended(after(-2), NOON), Ended(after(-2), after(-1))


@pytest.mark.parametrize(
    ("one", "ended", "is_late"),
    [
        (fired(after(-3)), HEARD_NOW, True),
        (fired(after(-3)), HEARD_BEFORE, True),
        (fired(after(-3)), None, False),
        (fired(after(-1)), HEARD_NOW, False),
        # At one moment: it fires.
        (fired(after(-2)), HEARD_NOW, False),
        # Its sender does not say when it changed.
        (fired(None), HEARD_NOW, False),
        # Its sender may give the old start once more: then only what comes right after the end is late.
        (fired(after(-3), restarts=True), HEARD_NOW, True),
        (fired(after(-3), restarts=True), Ended(after(-2), NOON - LATE), True),
        (fired(after(-3), restarts=True), HEARD_BEFORE, False),
        (fired(after(-3), status=Status.RESOLVED), HEARD_NOW, False),
    ],
)
def test_what_fired_before_its_end_and_comes_after_the_news_of_it_is_late(one, ended, is_late):
    assert was_overtaken(one, ended, NOON) is is_late


@pytest.mark.parametrize("known", [None, Known(4)])
def test_what_is_late_opens_nothing_and_pages_nobody(known):
    placement = place(fired(after(-3)), "main", (OPENS, REST), {}, Grouping(), known, (NEAR,), NOON, ended=HEARD_NOW)

    assert (placement.outcome, placement.was_overtaken) == (Outcome.RECORD, True)
    assert placement.incident == (None if known is None else 4)
    assert placement.reason == "it was over before this came"


@pytest.mark.parametrize(("status", "is_repeat"), [(Status.FIRING, True), (Status.RESOLVED, False)])
def test_a_known_alert_goes_to_its_incident(status, is_repeat):
    placement = placed(alert(status=status), known=Known(4), candidates=(Candidate(9, "checkout", NOON),))

    assert placement.incident == 4
    assert placement.is_repeat is is_repeat


def test_a_resolve_that_nothing_waits_for_is_recorded():
    assert placed(alert(status=Status.RESOLVED)).outcome is Outcome.RECORD


@pytest.mark.parametrize("kind", [Kind.TEST, Kind.HEARTBEAT, Kind.DEPLOYMENT, Kind.INCIDENT_UPDATE])
def test_only_alerts_open_incidents(kind):
    placement = placed(alert(kind=kind))

    assert placement.outcome is Outcome.RECORD
    assert "never paged" in placement.reason


def test_an_alert_announced_before_is_only_recorded_again():
    known = Known(None, is_announced=True)

    assert placed(alert(severity=Severity.LOW), known=known).outcome is Outcome.RECORD


@pytest.mark.parametrize("known", [Known(None), Known(None, is_announced=True)])
@pytest.mark.parametrize(("candidates", "incident"), [((), None), ((NEAR,), 4)])
def test_an_alert_seen_before_that_got_worse_opens_or_joins_like_a_new_one(known, candidates, incident):
    placement = placed(alert(severity=Severity.CRITICAL), known=known, candidates=candidates)

    assert (placement.outcome, placement.incident, placement.is_repeat) == (Outcome.OPEN, incident, False)
    assert "critical" in placement.reason


@pytest.mark.parametrize(("is_announced", "outcome"), [(False, Outcome.ANNOUNCE), (True, Outcome.RECORD)])
def test_what_was_only_recorded_is_announced_once_where_its_route_now_says_so(is_announced, outcome):
    placement = placed(alert(severity=Severity.MEDIUM), known=Known(None, is_announced))

    assert placement.outcome is outcome
    assert placement.is_repeat is is_announced


@pytest.mark.parametrize("known", [None, Known(None), Known(None, is_announced=True), Known(4)])
def test_a_test_notification_opens_nothing_however_often_it_comes(known):
    assert placed(alert(kind=Kind.TEST), known=known).outcome is Outcome.RECORD


@pytest.mark.parametrize("known", [None, Known(None), Known(None, is_announced=True)])
def test_whatever_opens_an_incident_or_joins_another_was_said_to_be_able_to(known):
    opening = [
        one
        for kind, status, severity in product(Kind, Status, Severity)
        for candidates in ((), (NEAR,))
        if placed(one := alert(kind=kind, status=status, severity=severity), known=known, candidates=candidates).outcome
        is Outcome.OPEN
    ]

    assert opening
    assert all(may_open(one, "main", (OPENS, REST), known, NOON) for one in opening)


def test_a_security_finding_opens_an_incident_only_where_a_route_asks_for_findings():
    finding = alert(kind=Kind.SECURITY_FINDING)
    asks = Route("findings", Matcher({"kind": ("security_finding",), "severity": ("critical",)}), Outcome.OPEN, severity="SEV3")

    assert placed(finding).outcome is Outcome.ANNOUNCE
    assert placed(finding).route.name == "anything else"
    assert placed(finding, routes=(OPENS, asks, REST)).route is asks
    assert placed(finding, routes=(OPENS, asks, REST)).outcome is Outcome.OPEN


def test_what_has_an_incident_is_over_or_is_only_announced_opens_none():
    routes = OPENS, REST

    assert may_open(alert(), "main", routes, None, NOON)
    assert not may_open(alert(), "main", routes, Known(4), NOON)
    assert not may_open(alert(status=Status.RESOLVED), "main", routes, None, NOON)
    assert not may_open(alert(severity=Severity.LOW), "main", routes, None, NOON)


def test_the_fingerprint_is_the_same_firing_and_resolved_and_differs_by_route():
    assert alert().fingerprint("main") == alert(status=Status.RESOLVED, title="x").fingerprint("main")
    assert alert().fingerprint("main") != alert().fingerprint("other")


@pytest.mark.parametrize(
    ("opened", "of_all", "why"),
    [
        (15, 59, ""),
        (16, 16, "alertmanager has opened 16 incidents in 60 min"),
        (0, 60, "all sources have opened 60 incidents in 60 min"),
    ],
)
def test_a_source_and_all_of_them_open_only_so_many(opened, of_all, why):
    assert Flood().reached("alertmanager", opened, of_all) == why


@pytest.mark.parametrize(
    ("opened", "of_all", "that_gather", "is_reached"),
    [(3, 15, 0, False), (3, 16, 0, True), (2, 17, 0, False), (0, 18, 0, True), (0, 19, 2, False), (0, 20, 2, True), (0, 18, 1, False),
     (0, 19, 1, True), (0, 20, 4, True)],
    ids=["few", "many at once", "whoever has no part in it", "no room but for two that gather", "room beside both of them",
         "no room at all", "room for one more", "and for the second that gathers", "private ones gather, too"],
)  # fmt: skip
def test_several_sources_at_once_open_only_so_many_in_a_minute(opened, of_all, that_gather, is_reached):
    why = f"all sources have opened {of_all} incidents in a minute" if is_reached else ""
    assert Flood().reached_at_once(opened, of_all, that_gather) == why


@pytest.mark.parametrize(
    ("opened", "storm", "incident", "is_storm"),
    [(3, None, None, True), (3, 9, 9, False), (50, 9, 9, False)],
)
def test_beyond_as_many_incidents_as_a_source_may_open_one_more_gathers_the_rest(opened, storm, incident, is_storm):
    why = Flood(most=3, within=timedelta(hours=1)).reached("alertmanager", opened, opened)
    placement = gathered(placed(alert()), why, storm, "platform")

    assert (placement.incident, placement.is_storm) == (incident, is_storm)
    assert placement.pager == ("platform" if is_storm else None)
    assert f"alertmanager has opened {opened} incidents in 60 min" in placement.reason


# --- what groups, relates and holds back ------------------------------------------------------

CHAIN = Grouping(
    upstreams={"checkout": (("checkout", "payments"), ("checkout", "payments", "database"))}, severities={"critical": "SEV2"}
)
PAYMENTS = Candidate(5, "payments", after(-30), severity=2, is_firing=True)
DATABASE = Candidate(6, "database", after(-1), severity=1, is_firing=True)


@pytest.mark.parametrize(
    ("candidates", "incident", "is_related", "says"),
    [
        ((PAYMENTS,), 5, True, "related to INC-5, which fires: checkout depends on payments"),
        ((DATABASE,), 6, True, "checkout depends on payments, which depends on database"),
        ((PAYMENTS, DATABASE), 5, True, "checkout depends on payments"),
        ((replace(PAYMENTS, severity=3),), None, False, "checkout depends on payments, but INC-5 is only SEV3"),
        ((replace(PAYMENTS, severity=3), DATABASE), 6, True, "which depends on database"),
        ((replace(PAYMENTS, is_firing=False),), None, False, "no open incident of checkout"),
        ((replace(PAYMENTS, last_alert_at=after(-61)),), None, False, "no open incident of checkout"),
        ((replace(PAYMENTS, private=True),), None, False, "no open incident of checkout"),
        ((replace(PAYMENTS, is_apart=True),), None, False, "no open incident of checkout"),
        ((PAYMENTS, replace(PAYMENTS, number=9, severity=1)), 9, True, "related to INC-9"),
        ((PAYMENTS, NEAR), 4, False, "joins INC-4: checkout had an alert there"),
    ],
)
def test_an_alert_is_related_to_the_nearest_incident_that_explains_it(candidates, incident, is_related, says):
    placement = placed(candidates=candidates, grouping=CHAIN)

    assert (placement.incident, placement.is_related) == (incident, is_related)
    assert says in placement.reason


@pytest.mark.parametrize(
    ("changes", "severity", "incident"),
    [
        ({}, "SEV2", 4),
        ({}, "SEV5", 4),
        ({}, "SEV1", None),
        ({"severity": 2}, "SEV2", None),
        ({"is_firing": False}, "SEV2", None),
        ({"service": "payments"}, "SEV2", None),
    ],
)
def test_a_firing_sev1_holds_back_what_asks_for_less_however_long_ago_it_began(changes, severity, incident):
    worst = replace(Candidate(4, "checkout", after(-600), severity=1, is_firing=True), **changes)
    placement = placed(candidates=(worst,), routes=(replace(OPENS, severity=severity), REST))

    assert placement.incident == incident
    assert placement.is_related is (incident is not None)
    assert ("holds it back: a SEV1 of checkout fires" in placement.reason) is placement.is_related


def test_alerts_with_the_same_labels_share_a_group_and_those_that_lack_one_have_none():
    by = Grouping(group_by=("cluster", "alertname"))
    across = replace(by, across_services=True)

    def group(grouping, service="checkout", **labels):
        return group_of(alert(labels=labels), OPENS, service, grouping)

    same = {"cluster": "eu", "alertname": "Down"}
    assert group(by, **same) == group(by, **same, other="x") is not None
    assert group(by, **same) != group(by, **same, service="web")
    assert group(across, **same) == group(across, **same, service="web")
    assert group(by, **same) != group(by, cluster="us", alertname="Down")
    assert group(by, cluster="eu") is group(by, cluster="eu", alertname="") is group(Grouping(), **same) is None


def test_a_route_that_groups_says_so_instead_of_the_policy():
    route = replace(OPENS, group_by=("cluster",), across_services=True)
    one, other = (alert(labels={"cluster": "eu", "alertname": name}) for name in "ab")

    assert group_of(one, route, "checkout", Grouping(group_by=("alertname",))) == group_of(other, route, "web", Grouping())


@pytest.mark.parametrize(
    ("candidate", "incident"),
    [
        (Candidate(8, "web", after(-9), has_group=True), 8),
        (Candidate(8, "web", after(-11), has_group=True), None),
        (Candidate(8, "web", after(-9)), None),
        (Candidate(8, "web", after(-9), has_group=True, private=True), None),
        (Candidate(8, "web", after(-9), has_group=True, is_apart=True), None),
    ],
)
def test_an_alert_joins_its_group_within_the_window(candidate, incident):
    by = Grouping(group_by=("alertname",), across_services=True)
    placement = placed(candidates=(candidate,), grouping=by)

    assert placement.incident == incident
    assert not placement.is_related
    assert (placement.why == "the same alertname") is (incident is not None)


def test_a_group_comes_before_the_service_and_needs_no_service():
    by = Grouping(group_by=("alertname",))

    assert placed(candidates=(NEAR, Candidate(8, "checkout", after(-9), has_group=True)), grouping=by).incident == 8
    assert placed(alert(service=None), candidates=(Candidate(8, None, after(-9), has_group=True),), grouping=by).incident == 8


def test_what_people_took_out_does_not_come_back_and_says_why():
    fingerprint = alert().fingerprint("main")
    placement = placed(candidates=(replace(NEAR, split_off=(fingerprint,)),))

    assert placement.incident is None
    assert "people took it out of INC-4" in placement.reason
    assert placed(candidates=(replace(NEAR, split_off=("another",)),)).incident == 4


def test_whatever_the_order_of_candidates_the_same_one_is_chosen():
    group = replace(NEAR, number=7, has_group=True)
    some = (NEAR, PAYMENTS, DATABASE, replace(PAYMENTS, number=9), replace(NEAR, number=3), group)
    for chosen in (some, some[:5], some[1:4]):
        assert len({placed(candidates=one, grouping=CHAIN).incident for one in permutations(chosen)}) == 1
