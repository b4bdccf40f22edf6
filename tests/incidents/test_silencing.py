"""Silences: begun, asked about twice where they may swallow a SEV1, ended, expired; and what they do to an alert."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import Grouping, place
from bot.alerts.quiet import Kept, Quieting, Silence, Still
from bot.alerts.routing import Matcher, Outcome, Route
from bot.errors import Refused
from bot.incidents.decide import decide
from bot.incidents.decision import AlertRecord, Quieted, Timer
from bot.incidents.effects import AnnounceSilence, SilenceNews
from bot.incidents.incident import Severity
from bot.incidents.inputs import AlertReported, ConfirmSilence, EndSilence, QuietPassed, SilenceAlerts, SilenceExpired
from bot.incidents.policy import Policy, RouteRule, Service
from bot.incidents.swallowing import sev1_under
from tests.builders import ANA, BEN, NOON, POLICY, after, alert, incident

CHECKOUT = Matcher({"service": ("checkout",)})
TWO_HOURS = timedelta(hours=2)
ASKED = Silence(3, CHECKOUT, ANA, "moving the database", NOON, TWO_HOURS)
BEGUN = replace(ASKED, until=after(120))
KEPT = Kept(2, 1, "Errors", after(30), 1, (Still("f", "Errors"),))
GRADES = Policy(
    services={"checkout": Service(aliases=("cart", "checkout-api")), "payments": Service(), "search": Service()},
    routes=(
        RouteRule(name="staging", match={"environment": "staging"}, outcome="record"),
        RouteRule(name="losing orders", match={"service": ["checkout", "cart"], "severity": "critical"}, severity="SEV1"),
        RouteRule(name="team", match={"labels": {"team": "payments"}}, service="payments"),
        RouteRule(name="critical", match={"severity": ["critical", "high"]}, severity="SEV2"),
        RouteRule(name="rest"),
    ),
)


def wish(**changes):
    given = {"match": CHECKOUT, "lasts": TWO_HOURS, "reason": "moving the database", "by": ANA, "number": 3}
    return SilenceAlerts(**(given | changes))


def told(decision):
    (effect,) = decision.effects
    assert isinstance(effect, AnnounceSilence)
    return effect


# --- what asks twice --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "labels", "routes"),
    [
        ({"service": ("checkout",)}, {}, ["losing orders"]),
        ({"service": ("cart",)}, {}, ["losing orders"]),
        ({"service": ("check*",)}, {}, ["losing orders"]),
        ({"service": ("re:out$",)}, {}, ["losing orders"]),
        ({"service": ("checkout",), "severity": ("low", "medium")}, {}, []),
        ({"service": ("checkout",), "severity": ("critical",)}, {}, ["losing orders"]),
        ({"service": ("checkout",), "severity": ("crit*",)}, {}, ["losing orders"]),
        ({"service": ("search",)}, {}, []),
        ({"service": ("payments",)}, {}, ["team"]),
        ({"service": ("payments",), "severity": ("high",)}, {}, []),
        ({"service": ("checkout",), "environment": ("staging",)}, {}, []),
        ({"service": ("checkout",), "environment": ("s*",)}, {}, ["losing orders"]),
        ({"environment": ("staging",)}, {}, []),
        ({}, {"team": ("payments",)}, ["losing orders", "team"]),
        ({"service": ("search",)}, {"team": ("payments",)}, ["team"]),
        ({"service": ("search",)}, {"team": ("search",)}, []),
        ({"title": ("Disk*",)}, {}, ["losing orders", "team"]),
        ({"title": ("Disk*",), "severity": ("info",)}, {}, []),
    ],
)
def test_a_silence_may_swallow_what_a_route_grades_sev1(fields, labels, routes):
    match = Matcher(fields, labels)

    assert sev1_under(match, (), GRADES) == tuple(f"route “{one}” opens a SEV1 for what fits {match.said}" for one in routes)


@pytest.mark.parametrize(
    ("match", "asks"),
    [
        (Matcher({"environment": ("eu",)}, but_fields={"service": ("checkout",)}), False),
        (Matcher({"environment": ("eu",)}, but_fields={"service": ("cart",)}), True),
        (Matcher({"environment": ("eu",)}, but_fields={"service": ("check*",)}), False),
        (Matcher({"environment": ("eu",)}, but_fields={"severity": ("critical",)}), False),
        (Matcher({"environment": ("eu",)}, but_fields={"severity": ("low",)}), True),
        (Matcher({"environment": ("eu",)}, but_fields={"title": ("Disk*",)}), True),
        (Matcher({"environment": ("eu",)}, but_labels={"team": ("payments",)}), True),
        (Matcher(annotations={"team": ("b",)}), True),
    ],
)
def test_what_a_silence_leaves_out_it_swallows_not(match, asks):
    policy = Policy(services=GRADES.services, routes=[GRADES.routes[1], RouteRule(name="rest", severity="SEV2")])

    assert bool(sev1_under(match, (), policy)) is asks


@pytest.mark.parametrize(
    ("route", "asks"),
    [
        ({"match": {"service": "checkout"}}, False),
        ({"match": {"service": "checkout"}, "service": "payments"}, True),
        ({"match": {"severity": "critical"}, "service": "checkout"}, False),
        ({"match": {"labels": {"team": "a"}}}, True),
        ({"match": {"service": ["checkout", "search"]}}, True),
    ],
)
def test_under_which_service_an_alert_comes_is_what_the_route_says_that_takes_it(route, asks):
    policy = Policy(
        services=GRADES.services, routes=[RouteRule(name="bad", severity="SEV1", **route), RouteRule(name="r", severity="SEV3")]
    )
    match = Matcher({"environment": ("eu",)}, but_fields={"service": ("checkout",)})

    assert bool(sev1_under(match, (), policy)) is asks


def test_what_an_earlier_route_says_counts_whatever_service_it_names():
    routes = [
        RouteRule(name="first", service="checkout", severity="SEV1", **{"continue": True}),
        RouteRule(name="r", service="search"),
    ]
    match = Matcher({"environment": ("eu",)}, but_fields={"service": ("checkout",)})

    assert sev1_under(match, (), Policy(services=GRADES.services, routes=routes))


@pytest.mark.parametrize(("left_out", "asks"), [("checkout", False), ("search", True)])
def test_an_open_sev1_of_a_service_that_is_left_out_is_not_asked_about(left_out, asks):
    match = Matcher({"environment": ("staging",)}, but_fields={"service": (left_out,)})
    one = incident(severity=Severity.SEV1, service="checkout")

    assert any("INC-7" in said for said in sev1_under(match, (one,), GRADES)) is asks


@pytest.mark.parametrize(
    ("routes", "asks"),
    [
        ([RouteRule(name="all")], True),
        ([RouteRule(name="all", severity="SEV3")], False),
        ([RouteRule(name="all", severity_map={"critical": "SEV2"})], False),
        ([RouteRule(name="first", match={"service": "c*"}, outcome="announce"), RouteRule(name="later")], False),
        ([RouteRule(name="by day", outcome="announce", hours={"days": ["mon"]}), RouteRule(name="later")], True),
        ([RouteRule(name="but web", outcome="announce", unless={"service": "web"}), RouteRule(name="later")], True),
        ([RouteRule(name="one", unless={"service": "checkout"}), RouteRule(name="rest", severity="SEV2")], False),
        ([RouteRule(name="first", **{"continue": True}, severity="SEV1"), RouteRule(name="all", severity="SEV2")], False),
        ([RouteRule(name="first", **{"continue": True}, severity="SEV1"), RouteRule(name="all", match={"severity": "low"})], True),
        ([RouteRule(name="first", match={"service": "web"}, **{"continue": True}, severity="SEV1"),
          RouteRule(name="all", severity_map={"critical": "SEV2"})], False),
        ([], False),
    ],
)  # fmt: skip
def test_it_is_the_route_that_takes_it_that_counts(routes, asks):
    assert bool(sev1_under(CHECKOUT, (), Policy(routes=routes))) is asks


@pytest.mark.parametrize(
    ("wanted", "first", "asks"),
    [
        ("cart", "search", True), ("checkout", "search", True), ("cart", "checkout", False), ("checkout", "checkout", False),
        ("checkout", "cart", True), ("cart", "cart", False),
    ],
)  # fmt: skip
def test_a_route_is_about_a_service_by_any_of_its_names(wanted, first, asks):
    mild = RouteRule(name="mild", match={"service": first}, severity="SEV4")
    policy = Policy(services=GRADES.services, routes=(mild, RouteRule(name="bad", match={"service": ["checkout", "web"]})))

    assert bool(sev1_under(Matcher({"service": (wanted,)}), (), policy)) is asks


@pytest.mark.parametrize(
    ("match", "changes", "asks"),
    [
        (Matcher({"service": ("search",)}), {"service": "search"}, True),
        (Matcher({"service": ("checkout-api",), "severity": ("critical",)}), {"service": "checkout"}, True),
        (Matcher({"service": ("search",), "severity": ("low",)}), {"service": "search"}, False),
        (Matcher({"service": ("search",)}), {"service": "payments"}, False),
        (Matcher({"service": ("search",)}), {"service": "search", "alerts": ()}, True),
        (Matcher({"title": ("Checkout error*",), "environment": ("staging",)}), {"service": None}, True),
        (Matcher({"title": ("Disk*",), "environment": ("staging",)}), {"service": None}, False),
        (Matcher({"source": ("grafana",), "environment": ("staging",)}), {}, False),
        (Matcher({"environment": ("staging",)}, {"alertname": ("CheckoutErrorRateHigh",)}), {}, True),
        (Matcher({"environment": ("staging",)}, {"alertname": ("Disk",)}), {}, False),
        (Matcher({"environment": ("staging",)}), {"service": None, "alerts": ()}, False),
    ],
)
def test_an_open_sev1_asks_twice_where_its_alerts_may_fit(match, changes, asks):
    found = sev1_under(match, (incident(severity=Severity.SEV1, **changes),), GRADES)

    assert ("INC-7 is a SEV1 and open, and its alerts may fit" in found) is asks


HOLES = RouteRule(name="holes", match={"kind": "security_finding", "severity": "critical"}, severity="SEV1")
MILD = RouteRule(name="mild", match={"service": "checkout"}, severity="SEV3")


@pytest.mark.parametrize(
    ("match", "routes", "asks"),
    [
        (CHECKOUT, [MILD, HOLES], True),
        (CHECKOUT, [MILD, RouteRule(name="libraries", match={"finding.package": "liba"}, severity="SEV1")], True),
        (Matcher({"service": ("checkout",), "kind": ("alert",)}), [MILD, HOLES], False),
        (Matcher({"service": ("checkout",)}, but_fields={"kind": ("security_finding",)}), [MILD, HOLES], False),
        (CHECKOUT, [MILD, RouteRule(name="all", match={"title": "?*"}, severity="SEV1")], False),
        (CHECKOUT, [RouteRule(name="quiet", match={"service": "checkout"}, outcome="record"), HOLES], False),
        (CHECKOUT, [MILD, RouteRule(name="found", match={"kind": "security_finding", "title": "a*"}, severity="SEV3"), HOLES], True),
    ],
)
def test_security_findings_pass_routes_that_do_not_ask_for_them(match, routes, asks):
    policy = Policy(services=GRADES.services, routes=[*routes, RouteRule(name="rest", severity="SEV3")])

    assert bool(sev1_under(match, (), policy)) is asks


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"finding.identifier": "CVE-2021-44228"}, {"finding.identifier": ("GHSA-jfh8-c2jp-5v3q",)}),
        ({"links": "*dash*"}, {"links": ("https://logs.example.com/1",)}),
        ({"filled_in": "severity"}, {"filled_in": ("started_at",)}),
    ],
)
def test_of_a_field_with_several_values_one_may_fit_the_route_and_another_the_silence(asked, wanted):
    routes = [RouteRule(name="bad", match=asked, severity="SEV1"), RouteRule(name="rest", severity="SEV3")]

    assert sev1_under(Matcher(wanted), (), Policy(routes=routes))


@pytest.mark.parametrize(
    ("match", "goes_on", "asks"),
    [
        (Matcher({"service": ("payments",)}), True, True),
        (Matcher({"service": ("payments",)}), False, False),
        (Matcher({"service": ("search",)}), True, False),
        (Matcher({"severity": ("critical",)}, but_fields={"service": ("checkout",)}), True, True),
        (Matcher({"severity": ("critical",)}, but_fields={"service": ("checkout",)}), False, False),
    ],
)
def test_under_which_service_an_alert_comes_a_route_that_goes_on_may_say(match, goes_on, asks):
    first = RouteRule(name="team", match={"labels": {"team": "pay"}}, service="payments", **{"continue": True})
    worst = RouteRule(name="worst", match={"service": "checkout-api", "severity": "critical"}, severity="SEV1")
    routes = [*([first] if goes_on else []), worst, RouteRule(name="rest", severity="SEV3")]

    assert bool(sev1_under(match, (), Policy(services=GRADES.services, routes=routes))) is asks


@pytest.mark.parametrize(
    ("match", "asks"),
    [
        (Matcher({"service": ("payments",)}), True),
        (Matcher({"service": ("checkout",)}), True),
        (Matcher({"service": ("search",)}), False),
        (Matcher({"title": ("pay*",)}, but_fields={"service": ("checkout",)}), True),
        (Matcher({"title": ("Checkout*",)}, but_fields={"service": ("checkout",)}), False),
        (Matcher({"title": ("pay*",)}, but_fields={"service": ("checkout", "payments")}), False),
    ],
)
def test_an_open_sev1_may_hold_alerts_of_other_services(match, asks):
    one = incident(severity=Severity.SEV1)
    theirs = replace(one.alerts[0], fingerprint="p", title="payments are slow", service="payments")
    held = replace(one, alerts=(*one.alerts, theirs))

    assert any("INC-7" in said for said in sev1_under(match, (held,), GRADES)) is asks


@pytest.mark.parametrize("title", ["Disk*", "Checkout error*", "*"])
def test_of_a_private_sev1_it_is_only_said_that_there_is_one_whatever_is_to_be_silenced(title):
    private = incident(severity=Severity.SEV1, private=True)
    match = Matcher({"title": (title,), "environment": ("staging",)})

    assert sev1_under(match, (private, replace(private, number=8)), GRADES) == ("a private SEV1 is open",)
    assert sev1_under(Matcher({"severity": ("low",)}), (private,), GRADES) == ()


# --- begun ------------------------------------------------------------------------------------


def test_a_silence_that_can_swallow_no_sev1_begins_at_once():
    decision = decide(None, wish(match=Matcher({"service": ("search",)})), NOON, GRADES)

    silence = decision.silence
    assert silence is not None
    assert (silence.until, silence.is_in_force, silence.by) == (after(120), True, ANA)
    assert decision.timers == (Timer("silence/3", after(120), SilenceExpired(number=3)),)
    assert (told(decision).news, told(decision).until, told(decision).match) == (SilenceNews.BEGUN, after(120), "service=search")
    assert decision.reason == "Silence 3 holds for 2 h: service=search. `/incident silence end 3` ends it early."


def test_one_that_may_swallow_a_sev1_is_only_asked_about():
    decision = decide(None, wish(), NOON, GRADES)

    assert decision.silence == ASKED
    assert not decision.silence.holds(NOON)
    assert (decision.effects, decision.timers) == ((), ())
    assert "may swallow a SEV1: route “losing orders” opens a SEV1" in decision.reason
    assert "`/incident silence confirm 3`" in decision.reason


def test_the_second_yes_begins_it_and_its_time_runs_from_there():
    decision = decide(None, ConfirmSilence(number=3, by=ANA, silence=ASKED), after(5), GRADES)

    assert decision.silence == replace(ASKED, until=after(125))
    assert [one.due_at for one in decision.timers] == [after(125)]
    assert told(decision).news is SilenceNews.BEGUN


@pytest.mark.parametrize(
    ("changes", "minutes", "why"),
    [
        ({"by": BEN}, 1, "only they can confirm it"),
        ({"silence": BEGUN}, 1, "was confirmed already"),
        ({}, 10.1, "more than 10 minutes ago"),
        ({"silence": None}, 1, "There is no silence 3"),
        ({"silence": None, "number": None}, 1, "You were not asked"),
    ],
)
def test_the_second_yes_is_taken_from_whoever_was_asked_and_for_what_they_were_asked(changes, minutes, why):
    given = {"number": 3, "by": ANA, "silence": ASKED} | changes

    with pytest.raises(Refused, match=why):
        decide(None, ConfirmSilence(**given), after(minutes), GRADES)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lasts": timedelta(seconds=59)}, "from 1 minute to 30 days"),
        ({"lasts": timedelta(days=30, seconds=1)}, "from 1 minute to 30 days"),
        ({"reason": "  "}, "Why?"),
    ],
)
def test_what_is_no_silence_is_refused(changes, why):
    with pytest.raises(Refused, match=why):
        decide(None, wish(**changes), NOON, POLICY)


@pytest.mark.parametrize(
    ("lasts", "said"),
    [(timedelta(days=30), "30 d"), (timedelta(hours=36), "36 h"), (timedelta(minutes=90), "90 min"), (timedelta(seconds=61), "61 s")],
)
def test_how_long_it_lasts_is_said_as_it_was_meant(lasts, said):
    assert f"holds for {said}:" in decide(None, wish(lasts=lasts), NOON, POLICY).reason


# --- over -------------------------------------------------------------------------------------


def test_it_is_ended_early_by_anybody_and_everybody_hears_what_it_kept():
    decision = decide(None, EndSilence(number=3, by=BEN, reason="done", silence=BEGUN, kept=KEPT), after(40), POLICY)

    assert decision.silence == replace(BEGUN, ended_at=after(40), ended_by=BEN, ended_because="done")
    assert (decision.cancels, decision.released) == (("silence/3",), "silence/3")
    effect = told(decision)
    assert (effect.news, effect.ended_by, effect.ended_because, effect.kept) == (SilenceNews.ENDED, BEN, "done", KEPT)
    assert decision.reason == "Silence 3 is ended. It kept 2 alerts quiet; 1 still fires, and is taken now as if just reported."


@pytest.mark.parametrize(
    ("silence", "why"),
    [
        (None, "There is no silence 3"),
        (ASKED, "There is no silence 3"),
        (replace(BEGUN, ended_at=after(120), ended_by="bot"), "Silence 3 expired already"),
        (replace(BEGUN, ended_at=after(20), ended_by=BEN), f"Silence 3 was ended by <@{BEN}> already"),
    ],
)
def test_what_is_not_in_force_cannot_be_ended(silence, why):
    with pytest.raises(Refused, match=why):
        decide(None, EndSilence(number=3, by=ANA, silence=silence), after(40), POLICY)


def test_it_expires_when_it_was_to_however_late_that_is_noticed():
    decision = decide(None, SilenceExpired(number=3, silence=BEGUN, kept=KEPT), after(600), POLICY)

    assert decision.silence == replace(BEGUN, ended_at=after(120), ended_by="bot")
    assert (told(decision).news, told(decision).kept) == (SilenceNews.EXPIRED, KEPT)


@pytest.mark.parametrize("silence", [None, ASKED, replace(BEGUN, ended_at=after(20), ended_by=BEN)])
def test_one_that_was_ended_before_does_not_expire(silence):
    decision = decide(None, SilenceExpired(number=3, silence=silence), after(120), POLICY)

    assert (decision.silence, decision.effects) == (None, ())


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (Kept(), "It kept nothing quiet."),
        (Kept(1, 0, "x", NOON), "It kept 1 alert quiet."),
        (Kept(3, 0, "x", NOON, 2), "It kept 3 alerts quiet; 2 still fire, and are taken now as if just reported."),
    ],
)
def test_whoever_ends_it_hears_what_is_left(kept, words):
    assert decide(None, EndSilence(number=3, by=ANA, silence=BEGUN, kept=kept), NOON, POLICY).reason.endswith(words)


# --- an alert under it ------------------------------------------------------------------------

OPENS = Route("critical", Matcher(), Outcome.OPEN)
ANNOUNCES = Route("rest", Matcher(), Outcome.ANNOUNCE)


def reported(one=None, route=OPENS, record=None):
    one = one or alert()
    placement = place(one, "main", (route, ANNOUNCES), {}, Grouping(), None, (), NOON, Quieting((BEGUN,)))
    return AlertReported(one, "main", placement=placement, record=record)


def record(**changes):
    given = {"is_firing": True, "title": "x", "source": "alertmanager", "service": "checkout", "at": after(-9)}
    return AlertRecord(alert().fingerprint("main"), None, **(given | changes))


def test_an_alert_under_a_silence_is_kept_as_what_it_would_have_been_and_nobody_is_told():
    decision = decide(None, reported(), NOON, POLICY)

    assert decision.alert is not None
    assert (decision.alert.quiet_under, decision.alert.is_firing, decision.alert.incident) == ("silence/3", True, None)
    assert decision.alert.severity is Severity.SEV1
    assert decision.quieted == Quieted(
        "silence/3", alert().fingerprint("main"), "Checkout error rate high", Severity.SEV1, NOON, is_new=True
    )
    assert (decision.effects, decision.entries, decision.incident) == ((), (), None)
    fingerprint, due = alert().fingerprint("main"), after(120) + timedelta(milliseconds=1)
    passed = QuietPassed(alert(), "main", "silence/3", after(120))
    assert decision.timers == (Timer(f"quiet/silence/3/{fingerprint}", due, passed),)


@pytest.mark.parametrize(
    ("before", "is_new"),
    [
        (record(quiet_under="silence/3"), False),
        (record(quiet_under="silence/2"), True),
        (record(), True),
        (record(quiet_under="silence/3", is_firing=False), True),
    ],
)
def test_a_repeat_is_counted_once(before, is_new):
    decision = decide(None, reported(record=before), NOON, POLICY)

    assert decision.quieted is not None
    assert decision.quieted.is_new is is_new


def test_what_would_only_have_been_announced_has_no_severity_and_what_is_private_no_title():
    mild = decide(None, reported(route=ANNOUNCES), NOON, POLICY).quieted
    private = decide(None, reported(route=replace(OPENS, private=True)), NOON, POLICY).quieted

    assert mild is not None
    assert private is not None
    assert (mild.severity, private.title) == (None, "")


def test_what_clears_under_a_silence_is_clear():
    decision = decide(None, reported(alert(status=AlertStatus.RESOLVED)), NOON, POLICY)

    assert decision.alert is not None
    assert (decision.alert.is_open, decision.quieted) == (False, None)


def test_a_severity_is_what_the_sender_says_of_this_report():
    assert decide(None, reported(alert(severity=AlertSeverity.LOW)), NOON, POLICY).quieted.severity is Severity.SEV4


@pytest.mark.parametrize("defaults", [("started_at",), ()])
def test_a_start_that_we_filled_in_is_that_of_the_first_report(defaults):
    later = alert(started_at=NOON, defaults=defaults)
    decision = decide(None, reported(later, record=record(quiet_under="silence/3", started_at=after(-9))), NOON, POLICY)

    assert decision.alert.started_at == (after(-9) if defaults else NOON)
    assert decision.timers[0].input.alert.started_at == decision.alert.started_at


@pytest.mark.parametrize("under", ["silence/3", "maintenance/nightly"])
def test_what_another_keeps_quiet_by_now_waits_for_that_alone(under):
    decision = decide(None, reported(record=record(quiet_under=under)), NOON, POLICY)

    gone = () if under == "silence/3" else (f"quiet/{under}/{alert().fingerprint('main')}",)
    assert (decision.cancels, len(decision.timers)) == (gone, 1)


def test_what_needs_nothing_more_and_what_is_not_read_yet():
    due = QuietPassed(alert(), "main", "silence/3", after(120))

    assert decide(None, due, after(120), POLICY).timers == ()
    (again,) = decide(None, replace(due, is_unread=True), after(60), POLICY).timers
    assert (again.due_at, again.input) == (after(60, seconds=10), replace(due, by=after(60)))
