"""What joins, what is only related, and what people take apart: through the door, on both databases."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import Sought
from bot.alerts.routing import Matcher, Outcome
from bot.errors import Refused
from bot.handle import Bundle, Door
from bot.incidents.effects import Lane, PageOnCall, PageService
from bot.incidents.incident import PageState, Severity, Status
from bot.incidents.inputs import (
    Acknowledge,
    AlertReported,
    ChangeSeverity,
    ChangeStatus,
    ConfirmSilence,
    Declare,
    Merge,
    PageAccepted,
    PageNotShown,
    QuietPassed,
    RelatedLeft,
    Reopen,
    Resolve,
    SilenceAlerts,
    Split,
)
from bot.incidents.policy import GroupingRule, MaintenanceRule, Policy, ResolveRule, RouteRule, Service, StormRule
from bot.store import Store
from tests.builders import ANA, NOON, alert
from tests.databases import sqlite

SERVICES = {
    "checkout": Service(pager="checkout", depends_on=("payments",)),
    "search": Service(pager="search", depends_on=("payments",)),
    "payments": Service(pager="payments", depends_on=("database",)),
    "database": Service(pager="database"),
}
BY_SENDER = {"critical": Severity.SEV1, "high": Severity.SEV2, "medium": Severity.SEV3, "low": Severity.SEV4}
ROUTES = (RouteRule(name="all", severity_map={AlertSeverity(name): severity for name, severity in BY_SENDER.items()}),)


class Bot:
    """A door with a clock that is set, and alerts in few words."""

    def __init__(self, store: Store, **changes) -> None:
        self.store, self.now = store, NOON
        self.policy = Policy(**({"services": SERVICES, "routes": ROUTES} | changes))
        self.door = Door(store, lambda: self.now, lambda: self.policy, lambda: ())

    def reports(self, name, service="payments", severity="high", status=AlertStatus.FIRING, **labels):
        given = {"identity": name, "title": name, "service": service, "severity": AlertSeverity(severity), "status": status}
        return AlertReported(alert(**given, started_at=self.now, labels=labels), "main")

    def fires(self, name, service="payments", severity="high", **labels):
        """What was decided."""
        return self.door.handle(self.reports(name, service, severity, **labels)).decision

    def clears(self, name, service="payments"):
        return self.door.handle(self.reports(name, service, status=AlertStatus.RESOLVED)).decision

    def home(self, name):
        """The number of the incident that an alert belongs to."""
        with self.store.reading() as work:
            record = work.alert_record(self.reports(name).alert.fingerprint("main"))
        return None if record is None else record.incident

    def asks(self, input, once=None):
        return self.door.handle(input, once=once)

    def silences(self, *titles):
        """For an hour."""
        self.asks(SilenceAlerts(match=Matcher({"title": titles}), lasts=timedelta(hours=1), reason="known", by=ANA))
        self.asks(ConfirmSilence(number=None, by=ANA))

    def passes(self, minutes):
        """Time; what comes due in it is handled."""
        self.now += timedelta(minutes=minutes)
        for due in self.store.due(self.now):
            if isinstance(due.input, RelatedLeft | QuietPassed):
                self.door.handle(due.input, finish=lambda work, due=due: work.timer_done(due.key, due.due_at))

    def pages(self):
        """The incidents that PagerDuty is asked to page for, in order."""
        rows = self.store.claim((Lane.PAGER,), "test", self.now, limit=100)
        return [row.effect.incident for row in rows if type(row.effect).__name__ == "PageOnCall"]

    def entry(self, number, type_):
        return next(one for one in self.store.timeline(f"INC-{number}") if one.type == type_)


@pytest.fixture
def bot(store):
    return Bot(store)


def acknowledged(bot, name, severity="high", **said):
    """At its sender."""
    report = bot.reports(name, severity=severity, status=AlertStatus.ACKNOWLEDGED)
    return bot.door.handle(replace(report, alert=replace(report.alert, **said))).decision


@pytest.mark.parametrize("status", [AlertStatus.ACKNOWLEDGED, AlertStatus.SUPPRESSED])
def test_what_is_acknowledged_or_muted_at_its_sender_under_a_silence_opens_at_the_end_of_it(bot, status):
    bot.silences("Disk")
    bot.fires("Disk")
    bot.passes(5)
    bot.asks(bot.reports("Disk", status=status))
    bot.passes(54)
    assert bot.store.incidents() == ()
    bot.passes(2)

    assert bot.home("Disk") == 1
    assert bot.pages() == [1]


@pytest.mark.parametrize(("then", "severity"), [("critical", Severity.SEV1), ("low", Severity.SEV3)], ids=["worse", "milder"])
def test_what_got_worse_while_it_was_acknowledged_under_a_silence_opens_as_what_it_is_by_then(bot, then, severity):
    bot.silences("Disk")
    bot.fires("Disk", severity="medium")
    bot.passes(5)
    acknowledged(bot, "Disk", then)
    assert bot.store.incidents() == ()
    bot.passes(56)

    assert bot.store.incident(1).severity is severity


@pytest.mark.parametrize(
    ("first", "then", "said", "severity", "pages"),
    [
        ("low", "critical", {}, Severity.SEV1, [1]),
        ("high", "critical", {}, Severity.SEV1, [1]),
        ("low", "critical", {"defaults": ("severity",)}, Severity.SEV4, []),
        ("low", "low", {}, Severity.SEV4, []),
        ("high", "low", {}, Severity.SEV2, [1]),
    ],
    ids=["worse", "worse, and paged already", "its sender does not say", "the same", "milder"],
)
def test_what_is_acknowledged_at_its_sender_and_gets_worse_there_pages(bot, first, then, said, severity, pages):
    bot.fires("Disk", severity=first)
    acknowledged(bot, "Disk", first)
    acknowledged(bot, "Disk", then, **said)

    assert bot.store.incident(1).severity is severity
    assert bot.pages() == pages
    assert bot.store.incident(1).is_firing


# --- what a person declared -------------------------------------------------------------------


def declares(bot, severity=Severity.SEV1, service="payments", **given):
    return bot.asks(Declare(title="Payments is down", severity=severity, service=service, by=ANA, **given))


@pytest.mark.parametrize("severity", ["critical", "high"])
def test_an_alert_joins_what_somebody_just_declared_of_its_service_and_pages_nobody_again(bot, severity):
    declares(bot)
    bot.passes(5)
    bot.fires("PaymentsDown", severity=severity)

    [joined] = bot.store.incident(1).alerts
    assert (joined.why, joined.is_related) == {
        "critical": ("declared for payments within 10 min", False), "high": ("a SEV1 of payments was declared", True),
    }[severity]  # fmt: skip
    assert len(bot.store.incidents()) == 1
    assert bot.pages() == [1]


def test_what_joined_what_was_declared_can_be_taken_out_of_it_again_and_leaves_it_open(bot):
    declares(bot)
    bot.fires("PaymentsDown", severity="critical")
    bot.asks(Split(1, "PaymentsDown", ANA))
    bot.passes(30)

    assert [(one.number, one.is_open, one.alert_count) for one in bot.store.incidents()] == [(2, True, 1), (1, True, 0)]
    assert bot.store.incident(1).cleared_at is None
    assert sorted(bot.pages()) == [1, 2]


def test_what_is_worse_than_what_was_declared_has_an_incident_and_a_page_of_its_own(bot):
    declares(bot, Severity.SEV4)
    bot.asks(Acknowledge(1, ANA))
    bot.fires("PaymentsDown", severity="critical")

    assert bot.home("PaymentsDown") == 2
    assert bot.pages() == [2]


def test_a_sev1_that_was_declared_holds_back_what_is_milder_for_an_hour_and_not_once_it_is_over(bot):
    declares(bot)
    bot.passes(30)
    bot.fires("Slow", severity="high")
    bot.passes(20)
    bot.fires("Slower", severity="high")
    assert [bot.home(one) for one in ("Slow", "Slower")] == [1, 1]
    assert all(one.is_related for one in bot.store.incident(1).alerts)
    assert bot.pages() == [1]

    bot.passes(11)
    bot.fires("Late", severity="high")
    assert bot.home("Late") == 2

    bot.asks(Resolve(1, ANA))
    bot.passes(30)
    bot.fires("Other", severity="high")
    assert bot.home("Other") == 3


def test_what_was_declared_of_an_upstream_explains_what_depends_on_it(bot):
    declares(bot)
    bot.passes(30)
    bot.fires("CheckoutErrors", "checkout", "medium")

    assert bot.home("CheckoutErrors") == 1
    assert bot.store.incident(1).alerts[0].is_related

    # Nobody says that it is over: what it explains stays with it.
    bot.passes(10)
    bot.fires("MoreErrors", "checkout", "medium")
    bot.passes(10)
    assert [bot.home(one) for one in ("CheckoutErrors", "MoreErrors")] == [1, 1]
    assert bot.pages() == [1]


@pytest.mark.parametrize("is_split", [False, True])
def test_what_a_declared_upstream_explained_has_an_incident_and_a_page_where_it_is_only_watched(bot, is_split):
    declares(bot)
    if is_split:
        bot.fires("PaymentsDown", severity="critical")
    bot.fires("CheckoutErrors", "checkout", "critical")
    assert bot.pages() == [1]

    bot.asks(ChangeStatus(1, Status.MONITORING, ANA))
    if is_split:
        bot.asks(Split(1, "PaymentsDown", ANA))
    bot.passes(4)
    assert bot.home("CheckoutErrors") == 1
    bot.passes(2)
    assert bot.home("CheckoutErrors") == len(bot.store.incidents()) == 2 + is_split


def test_what_flaps_under_a_declared_upstream_that_is_only_watched_has_its_own_page_all_the_same(bot):
    declares(bot)
    bot.fires("CheckoutErrors", "checkout", "critical")
    bot.passes(30)
    bot.asks(ChangeStatus(1, Status.MONITORING, ANA))
    bot.passes(1)
    bot.clears("CheckoutErrors", "checkout")
    bot.fires("CheckoutErrors", "checkout", "critical")
    bot.passes(0)
    assert bot.home("CheckoutErrors") == 1
    bot.passes(2)
    bot.clears("CheckoutErrors", "checkout")
    bot.passes(1)
    bot.fires("CheckoutErrors", "checkout", "critical")
    bot.passes(2)

    assert bot.home("CheckoutErrors") == 2


def test_what_a_declared_upstream_explains_stays_where_it_is_worked_on_again_within_the_hold(bot):
    declares(bot)
    bot.fires("CheckoutErrors", "checkout", "critical")
    for status in (Status.MONITORING, Status.INVESTIGATING):
        bot.asks(ChangeStatus(1, status, ANA))
        bot.passes(2)
    bot.passes(30)

    assert bot.home("CheckoutErrors") == 1


def test_an_alert_joins_what_somebody_declared_of_one_that_was_announced_long_before(store):
    loud = RouteRule(name="pages", match={"severity": ["critical", "high"]}, severity_map=ROUTES[0].severity_map)
    bot = Bot(store, routes=(loud, RouteRule(name="told", outcome=Outcome.ANNOUNCE)))
    bot.fires("Slow", severity="medium")
    bot.passes(30)
    fingerprint = bot.reports("Slow").alert.fingerprint("main")
    bot.asks(Declare(title="Payments is slow", severity=Severity.SEV2, service="payments", by=ANA, fingerprint=fingerprint))
    bot.passes(1)
    bot.fires("PaymentsDown", severity="high")

    assert bot.home("PaymentsDown") == 1
    assert bot.pages() == [1]


def test_what_was_declared_and_an_alert_opened_again_counts_like_any_other(bot):
    declares(bot, Severity.SEV3)
    bot.fires("Slow", severity="medium")
    bot.clears("Slow")
    bot.asks(Resolve(1, ANA))
    bot.passes(30)
    bot.fires("Slow", severity="medium")
    bot.passes(2)
    bot.fires("PaymentsDown", severity="critical")

    assert bot.home("PaymentsDown") == 1
    with bot.store.reading() as work:
        assert not work.candidates(Sought(("payments",)))[0].is_declared


def test_what_the_bot_opened_for_what_was_left_behind_resolves_by_itself_and_what_a_person_declared_does_not(store):
    bot = Bot(store, resolve=ResolveRule(automatic=True, hold="5m"))
    bot.fires("PaymentsDown")
    bot.fires("CheckoutErrors", "checkout", "medium")
    bot.clears("PaymentsDown")
    bot.passes(6)
    assert bot.home("CheckoutErrors") == 2
    declares(bot, service="search")
    bot.fires("SearchDown", "search", severity="critical")
    for name, service in (("CheckoutErrors", "checkout"), ("SearchDown", "search")):
        bot.clears(name, service)
    bot.now += timedelta(minutes=6)
    for due in bot.store.due(bot.now):
        bot.asks(due.input)

    assert [(one.number, one.is_open) for one in bot.store.incidents()] == [(3, True), (2, False), (1, False)]


def test_a_drill_takes_no_alert_in(bot):
    declares(bot, drill=True)
    bot.fires("PaymentsDown", severity="critical")

    assert bot.home("PaymentsDown") == 2


def test_once_an_alert_of_it_has_cleared_it_counts_like_any_other(bot):
    declares(bot)
    bot.fires("PaymentsDown", severity="critical")
    bot.clears("PaymentsDown")
    bot.passes(15)
    bot.fires("Slow", severity="high")

    assert bot.home("Slow") == 2


# --- related ----------------------------------------------------------------------------------


def test_an_upstreams_incident_takes_the_downstreams_alert_as_related_and_pages_once(bot):
    bot.fires("PaymentsDown")
    told = bot.fires("CheckoutErrors", "checkout", "medium")
    one = bot.store.incident(1)

    assert [(state.title, state.is_related, state.why) for state in one.alerts] == [
        ("PaymentsDown", False, ""), ("CheckoutErrors", True, "checkout depends on payments"),
    ]  # fmt: skip
    assert one.severity is Severity.SEV2
    assert bot.pages() == [1]
    assert [effect.topic.value for effect in told.effects if hasattr(effect, "topic")] == ["alert_related"]
    assert "related to INC-1, which fires: checkout depends on payments" in told.reason
    fired = [entry.fields for entry in bot.store.timeline("INC-1") if entry.type == "alert_started"][-1]
    assert (fired["related"], fired["reason"]) == (True, "checkout depends on payments")


def test_what_is_worse_than_its_upstream_opens_an_incident_of_its_own_and_pages(bot):
    bot.fires("PaymentsDown")
    told = bot.fires("CheckoutDown", "checkout", "critical")

    assert bot.home("CheckoutDown") == 2
    assert "checkout depends on payments, but INC-1 is only SEV2" in told.reason
    assert sorted(bot.pages()) == [1, 2]


@pytest.mark.parametrize("again", ["a repeat", "after it cleared"])
def test_a_related_alert_that_gets_worse_raises_the_incident_and_asks_for_its_own_on_call(bot, again):
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout", "high")
    if again == "after it cleared":
        bot.clears("Errors", "checkout")
        bot.passes(1)
    told = bot.fires("Errors", "checkout", "critical")
    one = bot.store.incident(1)

    assert one.severity is Severity.SEV1
    assert [(effect.service, effect.pager) for effect in told.effects if type(effect).__name__ == "PageService"] == [
        ("checkout", "checkout")
    ]
    assert [effect.rank for effect in told.effects if type(effect).__name__ == "PageService"] == [1]
    assert not any(state.is_related for state in one.alerts)
    assert one.is_firing


def test_a_related_alert_does_not_keep_the_window_open(bot):
    bot.fires("PaymentsDown")
    bot.passes(9)
    bot.fires("Errors", "checkout")
    bot.passes(2)
    bot.fires("PaymentsSlow")

    assert bot.home("PaymentsSlow") == 2


def test_a_firing_sev1_holds_back_lower_alerts_and_nothing_gets_worse(bot):
    bot.fires("Down", severity="critical")
    bot.passes(200)
    bot.fires("Slow", severity="low")
    one = bot.store.incident(1)

    assert [state.is_related for state in one.alerts] == [False, True]
    assert (one.severity, bot.pages()) == (Severity.SEV1, [1])
    bot.clears("Down")
    assert not bot.store.incident(1).is_firing
    assert not bot.store.incident(1).is_clear
    # Those of its own service stay: the same people are on it.
    bot.passes(6)
    assert bot.home("Slow") == 1


def test_what_fires_on_when_its_upstream_is_well_gets_an_incident_of_its_own_after_the_hold(bot):
    bot.fires("PaymentsDown")
    for name in ("Errors", "Slow"):
        bot.fires(name, "checkout")
    bot.fires("NoResults", "search", "low")
    bot.pages()
    told = bot.clears("PaymentsDown")
    assert [effect.topic.value for effect in told.effects if hasattr(effect, "topic")] == ["only_related"]
    bot.passes(4)
    assert bot.home("Errors") == 1
    bot.passes(2)
    bot.passes(0)

    assert (bot.home("Errors"), bot.home("Slow"), bot.home("NoResults")) == (2, 2, 3)
    own = bot.store.incident(2)
    assert (own.service, own.severity, own.pager, own.split_from) == ("checkout", Severity.SEV2, "checkout", None)
    assert bot.pages() == [2]
    assert bot.entry(2, "split_from").fields["reason"] == "INC-1, which explained it, has cleared, and it fires on"
    assert bot.entry(1, "split_off").fields["into"] == "INC-2"
    assert bot.store.incident(1).is_clear
    assert bot.store.timer_set("INC-1/hold") is not None


def test_what_leaves_goes_to_the_open_incident_of_its_service_and_raises_it(bot):
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout", "high")
    bot.clears("PaymentsDown")
    bot.passes(4)
    bot.fires("Other", "checkout", "low")
    assert (bot.home("Errors"), bot.home("Other")) == (1, 2)
    bot.passes(2)
    own = bot.store.incident(2)

    assert (bot.home("Errors"), len(bot.store.incidents())) == (2, 2)
    assert (own.severity, own.episode.page) == (Severity.SEV2, PageState.REQUESTED)
    assert [state.is_related for state in own.alerts] == [False, False]
    assert bot.store.incident(1).is_clear


@pytest.mark.parametrize("window", [10, 0])
def test_what_leaves_wakes_somebody_though_an_old_incident_of_its_service_is_open(store, window):
    bot = Bot(store, grouping=GroupingRule(window=timedelta(minutes=window)))
    bot.fires("Old", "checkout", "low")
    bot.asks(Acknowledge(1, ANA))
    bot.passes(30)
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout", "high")
    bot.clears("PaymentsDown")
    bot.pages()
    bot.passes(6)

    assert (bot.home("Old"), bot.home("Errors")) == (1, 3)
    assert bot.pages() == [3]


def test_what_leaves_does_not_go_to_a_drill(bot):
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout", "high")
    bot.clears("PaymentsDown")
    bot.passes(4)
    bot.asks(Declare(title="A drill", by=ANA, service="checkout", drill=True))
    bot.fires("Other", "search", "low")
    bot.asks(Merge(3, 2, ANA))
    bot.passes(2)

    assert (bot.home("Other"), bot.home("Errors")) == (2, 4)


def test_what_fires_again_and_again_does_not_put_off_when_the_others_leave(bot):
    bot.fires("PaymentsDown")
    bot.fires("Steady", "checkout")
    bot.fires("Flapping", "search")
    bot.clears("PaymentsDown")
    for _ in range(3):
        bot.passes(2)
        bot.clears("Flapping", "search")
        bot.fires("Flapping", "search")

    bot.passes(0)
    assert {bot.home("Steady"), bot.home("Flapping")} == {2, 3}


def test_what_fires_again_after_the_hold_leaves_at_once(bot):
    bot.fires("PaymentsDown")
    bot.fires("Steady", "checkout")
    bot.clears("Steady", "checkout")
    bot.clears("PaymentsDown")
    bot.passes(9)
    bot.fires("Steady", "checkout")
    bot.passes(0)

    assert bot.home("Steady") == 2


@pytest.mark.parametrize("is_clear_before", [True, False])
def test_what_is_related_leaves_also_after_a_merge(bot, is_clear_before):
    bot.fires("Shop slow", "shop", "medium")
    bot.clears("Shop slow", "shop")
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout")
    if is_clear_before:
        bot.clears("PaymentsDown")
    bot.asks(Merge(2, 1, ANA))
    if not is_clear_before:
        bot.clears("PaymentsDown")
    bot.passes(6)

    assert bot.home("Errors") == 3
    assert bot.store.incident(3).service == "checkout"


def test_an_upstream_that_fires_again_within_the_hold_keeps_what_it_explains(bot):
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout")
    bot.clears("PaymentsDown")
    bot.passes(3)
    bot.fires("PaymentsDown")
    bot.passes(5)

    assert bot.home("Errors") == 1


def test_what_fires_on_when_people_end_its_upstream_wakes_its_own_people_at_once(bot):
    bot.fires("PaymentsDown")
    bot.fires("Errors", "checkout")
    bot.pages()
    bot.asks(Resolve(1, ANA))
    bot.passes(0)

    assert bot.home("Errors") == 2
    assert bot.store.incident(2).service == "checkout"
    assert bot.entry(2, "split_from").fields["reason"] == "INC-1, which explained it, is resolved, and it fires on"
    bot.fires("Errors", "checkout")
    assert len(bot.store.incidents()) == 2


def test_related_alerts_beyond_as_many_as_are_held_are_counted_and_leave_too(bot):
    bot.fires("PaymentsDown")
    for number in range(103):
        bot.fires(f"Errors {number}", "checkout")
    one = bot.store.incident(1)
    assert (len(one.alerts), one.more, one.more_related, one.more_related_firing, one.more_firing) == (100, 4, 4, 4, 4)
    bot.clears("Errors 102", "checkout")
    assert (bot.store.incident(1).more_related, bot.store.incident(1).more_related_firing) == (4, 3)
    bot.clears("PaymentsDown")
    bot.passes(6)

    assert bot.home("Errors 101") == 2
    assert bot.store.incident(1).is_clear
    assert (bot.store.incident(1).more, bot.store.incident(1).more_firing) == (1, 0)


@pytest.mark.parametrize("first", ["its own incident", "related"])
def test_what_leaves_pages_whom_its_route_says(store, first):
    routes = (RouteRule(name="security", match={"title": ["Leak*"]}, severity="SEV2", pager="security"), *ROUTES)
    bot = Bot(store, routes=routes)
    if first == "related":
        bot.fires("PaymentsDown")
        bot.fires("Leaked key", "checkout")
        bot.clears("PaymentsDown")
        bot.passes(6)
    else:
        bot.fires("Errors", "checkout")
        bot.fires("Leaked key", "checkout")
        bot.asks(Split(1, "Leaked key", ANA))

    assert bot.home("Leaked key") == 2
    assert bot.store.incident(2).pager == "security"


def test_what_is_split_off_an_incident_of_a_route_pages_its_own_people(store):
    routes = (RouteRule(name="security", match={"title": ["Leak*"]}, severity="SEV2", pager="security"), *ROUTES)
    bot = Bot(store, routes=routes)
    bot.fires("Leaked key", "checkout")
    bot.fires("Errors", "checkout")
    bot.asks(Split(1, "Errors", ANA))

    assert [bot.store.incident(number).pager for number in (1, 2)] == ["security", "checkout"]


def test_what_outgrows_its_upstream_asks_for_whom_its_route_says(store):
    routes = (
        RouteRule(name="security", match={"title": ["Leak*"], "severity": ["critical"]}, severity="SEV1", pager="security"),
        *ROUTES,
    )
    bot = Bot(store, routes=routes)
    bot.fires("PaymentsDown")
    bot.fires("Leaked key", "checkout", "high")
    told = bot.fires("Leaked key", "checkout", "critical")

    assert [effect.pager for effect in told.effects if isinstance(effect, PageService)] == ["security"]


def flap(bot, name, service="payments"):
    """Three fires within minutes; the last one fires on."""
    for turn in range(3):
        if turn:
            bot.clears(name, service)
            bot.now += timedelta(seconds=20)
        bot.fires(name, service)


@pytest.mark.parametrize("way", ["split", "left", "handed over", "unmerged"])
def test_an_alert_that_flaps_takes_along_that_it_is_watched(bot, way):
    match way:
        case "split":
            bot.fires("Steady")
            flap(bot, "Flaps")
            until = bot.now + timedelta(hours=1)
            bot.asks(Split(1, "Flaps", ANA))
        case "left" | "handed over":
            bot.fires("Steady")
            flap(bot, "Flaps", "checkout")
            until = bot.now + timedelta(hours=1)
            bot.clears("Steady")
            if way == "handed over":
                bot.passes(4)
                bot.fires("Other", "checkout", "low")
            bot.passes(6)
        case "unmerged":
            bot.fires("Steady")
            flap(bot, "Flaps", "database")
            until = bot.now + timedelta(hours=1)
            bot.asks(Merge(2, 1, ANA))
            assert bot.store.incident(1).flaps_until == until
            bot.asks(Split(2, "", ANA))

    assert [bot.store.incident(number).flaps_until for number in (1, 2)] == [None, until]


def test_what_a_silence_covers_by_then_leaves_quietly_and_is_counted(bot):
    bot.fires("PaymentsDown")
    bot.fires("Slow", "checkout")
    bot.fires("Errors", "checkout", "low")
    bot.fires("NoResults", "search", "low", cluster="eu")
    bot.silences("Slow", "NoResults")
    bot.clears("PaymentsDown")
    bot.pages()
    bot.passes(6)
    for _ in range(3):
        bot.passes(0)

    assert (bot.home("Errors"), bot.home("Slow"), bot.home("NoResults")) == (2, None, None)
    assert (len(bot.store.incidents()), bot.pages()) == (2, [])
    assert bot.store.incident(1).is_clear
    assert "under silence 1" in [one for one in bot.store.timeline("INC-1") if one.type == "split_off"][-1].fields["reason"]
    with bot.store.reading() as work:
        kept = work.kept_by(work.silence(1))
    assert (kept.alerts, kept.firing_count, {one.title for one in kept.firing}) == (2, 2, {"Slow", "NoResults"})
    bot.passes(61)
    assert bot.home("Slow") == 3
    assert 3 in bot.pages()


@pytest.mark.parametrize("is_over", [False, True])
def test_what_is_quiet_by_its_labels_in_a_window_leaves_quietly_also_when_people_end_its_upstream(store, is_over):
    window = MaintenanceRule(
        name="move",
        match={"labels": {"cluster": ["eu"]}},
        reason="moving",
        zone="UTC",
        start="2026-06-10T12:01",
        until="2026-06-10T13:00",
    )
    bot = Bot(store, maintenance=(window,))
    bot.fires("PaymentsDown")
    bot.fires("Slow", "checkout", cluster="eu")
    bot.now += timedelta(minutes=2)
    if is_over:
        bot.asks(Resolve(1, ANA))
    else:
        bot.clears("PaymentsDown")
    bot.passes(6)

    assert (bot.home("Slow"), len(bot.store.incidents())) == (None, 1)


# --- what left, and what opens again ----------------------------------------------------------


@pytest.mark.parametrize("is_at_once", [False, True])
def test_what_left_a_resolved_incident_is_not_in_it_when_it_opens_again(bot, is_at_once):
    bot.fires("PaymentsDown")
    bot.fires("Slow", "checkout")
    bot.asks(Resolve(1, ANA))
    if is_at_once:
        due = bot.store.timer_set("INC-1/related")
        assert due == bot.now
        bot.door.handle_together([Bundle([RelatedLeft(1), bot.reports("PaymentsDown")], lambda work, said: None)], 10)
    else:
        bot.passes(0)
        assert [one.title for one in bot.store.incident(1).alerts] == ["PaymentsDown"]
        bot.passes(1)
        bot.fires("PaymentsDown")

    assert bot.home("Slow") == 2
    assert [one.title for one in bot.store.incident(1).alerts] == ["PaymentsDown"]
    bot.clears("PaymentsDown")
    assert bot.store.incident(1).is_clear


@pytest.mark.parametrize("by", ["an alert", "a person"])
@pytest.mark.parametrize("is_at_once", [False, True])
def test_what_came_and_went_under_a_silence_does_not_fire_in_an_incident_that_opens_again(bot, by, is_at_once):
    bot.fires("x")
    bot.fires("y")
    bot.asks(Resolve(1, ANA))
    bot.silences("y")
    last = Reopen(1, ANA) if by == "a person" else bot.reports("x")
    inputs = [bot.reports("y"), bot.reports("y", status=AlertStatus.RESOLVED), last]
    for some in [inputs] if is_at_once else [[one] for one in inputs]:
        bot.door.handle_together([Bundle(some, lambda work, said: None)], 10)
    one = bot.store.incident(1)

    assert one.is_open
    assert [state.title for state in one.alerts] == ["x"]
    assert bot.home("y") is None
    bot.clears("x")
    assert bot.store.incident(1).is_clear


def test_what_an_incident_only_counts_is_counted_anew_when_it_opens_again(bot):
    for number in range(103):
        bot.fires(f"Errors {number}")
    bot.clears("Errors 102")
    bot.asks(Resolve(1, ANA))
    bot.silences("re:^Errors 10[01]$", "Errors 5")
    for number in (5, 100, 101):
        bot.fires(f"Errors {number}")
    bot.fires("Errors 0")
    one = bot.store.incident(1)

    assert (len(one.alerts), one.more, one.more_firing) == (99, 1, 0)


def test_a_mild_alert_does_not_open_a_bad_incident_again(bot):
    bot.fires("big")
    bot.fires("small", severity="low")
    bot.clears("big")
    bot.clears("small")
    bot.asks(Resolve(1, ANA))
    bot.passes(12 * 60)
    told = bot.fires("small", severity="low")
    own = bot.store.incident(2)

    assert (own.severity, own.title, own.earlier, own.episode.page) == (Severity.SEV4, "small", 1, PageState.NOT_NEEDED)
    assert "it was in INC-1 before, a SEV2, and asks for SEV4 only" in told.reason
    assert not bot.store.incident(1).is_open
    [page] = [one for one in bot.fires("big").effects if isinstance(one, PageOnCall)]
    assert (page.incident, page.summary) == (1, "SEV2 INC-1: big")
    assert [(state.title, state.is_firing) for state in bot.store.incident(1).alerts] == [("big", True)]


def test_the_page_of_an_incident_that_is_open_again_names_what_fires(bot):
    bot.fires("big")
    bot.fires("other", severity="critical")
    bot.clears("big")
    bot.clears("other")
    bot.asks(Resolve(1, ANA))
    bot.passes(60)
    [page] = [one for one in bot.fires("other", severity="critical").effects if isinstance(one, PageOnCall)]
    one = bot.store.incident(1)

    assert (page.summary, page.details["first opened for"]) == ("SEV1 INC-1: other", "big")
    assert one.title == "big"
    bot.asks(PageAccepted(1, page.dedup_key, bot.now))
    [again] = [
        one for one in bot.asks(PageNotShown(1, page.dedup_key, bot.now, "not there")).decision.effects if isinstance(one, PageOnCall)
    ]
    assert again.summary == page.summary


# --- groups -----------------------------------------------------------------------------------


def test_alerts_with_the_same_labels_share_an_incident_across_services_also_in_one_transaction(store):
    bot = Bot(store, grouping=GroupingRule(group_by=("cluster",), across_services=True))
    reports = [bot.reports(name, name, cluster=cluster) for name, cluster in (("web", "eu"), ("search", "eu"), ("database", "us"))]
    bot.door.handle_together([Bundle(reports, lambda work, said: None)], 10)
    bot.fires("api", "api", cluster="eu")
    bot.fires("other", "other")

    assert [bot.home(name) for name in ("web", "search", "api")] == [1, 1, 1]
    assert (bot.home("database"), bot.home("other")) == (2, 3)
    assert bot.store.incident(1).alerts[-1].why == "the same cluster"


def test_an_alert_that_joined_for_another_reason_brings_its_group_along(store):
    bot = Bot(store, grouping=GroupingRule(group_by=("cluster",), across_services=True))
    bot.fires("a", "web")
    bot.fires("b", "web", cluster="eu")
    bot.fires("c", "search", cluster="eu")

    assert bot.home("c") == 1


@pytest.mark.parametrize("is_at_once", [False, True])
def test_a_related_alert_does_not_make_what_explains_it_one_of_its_group(store, is_at_once):
    bot = Bot(store, grouping=GroupingRule(group_by=("cluster",)))
    reports = [
        bot.reports("DiskFull", "payments"),
        bot.reports("Slow", "checkout", "medium", cluster="eu"),
        bot.reports("Down", "checkout", "critical", cluster="eu"),
    ]
    for some in [reports] if is_at_once else [[one] for one in reports]:
        bot.door.handle_together([Bundle(some, lambda work, said: None)], 10)

    assert (bot.home("Slow"), bot.home("Down")) == (1, 2)
    assert sorted(bot.pages()) == [1, 2]
    assert bot.store.incident(2).pager == "checkout"


def test_one_statement_looks_for_all_that_an_alert_might_join(store):
    bot = Bot(store, grouping=GroupingRule(group_by=("cluster",)))
    asked = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    bot.fires("Errors", "checkout", cluster="eu")

    assert sum("has_group" in one for one in asked) == 1


def test_what_many_new_alerts_might_join_is_asked_at_once_and_is_the_same(store):
    bot = Bot(store)
    bot.fires("Open", "payments")
    asked = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    services = ("payments", "database", "search", "checkout", "web", "payments")
    reports = [bot.reports(f"New {number}", service) for number, service in enumerate(services)]
    bot.door.handle_together([Bundle((one,), lambda work, said: None) for one in reports], 10)

    assert sum("has_group" in one for one in asked) == 1
    # As one after the other: payments joins what is open, and what depends on it is related to that.
    homes = [bot.home(f"New {number}") for number in range(len(services))]
    assert homes == [1, 2, 1, 1, 3, 1]
    assert [one.title for one in bot.store.incident(1).alerts if one.is_related] == ["New 2", "New 3"]


# --- splitting --------------------------------------------------------------------------------


@pytest.fixture
def together(bot):
    """INC-1 of payments, with two alerts."""
    bot.fires("Payments down")
    bot.fires("Card declined", severity="medium")
    bot.pages()
    return bot


def test_a_split_alert_gets_an_incident_a_page_and_timelines_that_name_each_other(together):
    bot = together
    outcome = bot.asks(Split(1, '"Card declined" the bank has its own trouble', ANA))
    own, left = bot.store.incident(2), bot.store.incident(1)

    assert outcome.decision.reason.startswith("“Card declined” is INC-2 now, no longer part of INC-1. Asking PagerDuty")
    assert [one.title for one in own.alerts] == ["Card declined"]
    assert [one.title for one in left.alerts] == ["Payments down"]
    assert (own.severity, own.service, own.pager, own.split_from) == (Severity.SEV3, "payments", "payments", 1)
    assert own.episode.page is PageState.REQUESTED
    assert bot.pages() == [2]
    for number, type_, key, ref in ((1, "split_off", "into", "INC-2"), (2, "split_from", "from", "INC-1")):
        fields = bot.entry(number, type_).fields
        assert (fields[key], fields["reason"], fields["alert"]) == (ref, "the bank has its own trouble", "Card declined")


def test_later_repeats_go_to_the_new_incident_and_others_join_neither_by_mistake(together):
    bot = together
    bot.asks(Split(1, "Card declined", ANA))
    bot.passes(1)
    bot.fires("Card declined", severity="medium")
    bot.fires("Third")

    assert (bot.home("Card declined"), bot.home("Third")) == (2, 1)
    bot.asks(Resolve(1, ANA))
    bot.fires("Fourth")
    assert bot.home("Fourth") == 3


def test_what_was_split_off_opens_its_own_incident_again(together):
    bot = together
    bot.asks(Split(1, "Card declined", ANA))
    bot.asks(Resolve(2, ANA))
    bot.fires("Card declined", severity="medium")

    assert bot.home("Card declined") == 2
    assert bot.store.incident(2).is_open


def test_a_merge_back_undoes_a_split(together):
    bot = together
    bot.asks(Split(1, "Card declined", ANA))
    bot.asks(Merge(2, 1, ANA))

    assert bot.home("Card declined") == 1
    assert bot.store.incident(1).split_off == ()


@pytest.mark.parametrize("is_clear_heard", [True, False])
def test_what_fires_anew_keeps_how_bad_it_was_unless_it_was_heard_to_clear(together, is_clear_heard):
    bot = together
    bot.fires("Third", severity="critical")
    bot.passes(1)
    if is_clear_heard:
        bot.clears("Third")
    bot.fires("Third", severity="medium")
    bot.asks(Split(1, "Third", ANA))

    assert bot.store.incident(2).severity is (Severity.SEV3 if is_clear_heard else Severity.SEV1)


def test_whom_it_pages_goes_with_how_bad_it_was(store):
    """Nobody is called for the worst of it who looks after the least."""
    bot = Bot(store, grouping=GroupingRule(group_by=("cluster",), across_services=True))
    bot.fires("Third", severity="critical", cluster="eu")
    bot.passes(1)
    bot.fires("Third", "search", "medium", cluster="eu")
    [state] = bot.store.incident(1).alerts

    assert (state.severity, state.pager) == (Severity.SEV1, "payments")


def test_what_people_lowered_is_not_raised_by_what_was_asked_before(store):
    bot = Bot(store)
    bot.fires("disk", "database", "critical")
    bot.fires("find", "search", "critical")
    bot.asks(ChangeSeverity(1, Severity.SEV3, ANA))
    bot.passes(1)
    bot.fires("find", "search", "medium")

    one = bot.store.incident(1)
    assert one.severity is Severity.SEV3
    assert one.alerts[-1].is_related


def test_a_split_that_slack_sends_twice_is_done_once(together):
    bot = together
    for _ in range(2):
        bot.asks(Split(1, "Card declined", ANA), once="trigger")

    assert len(bot.store.incidents()) == 2
    assert bot.pages() == [2]


def test_one_that_has_cleared_is_let_go_and_opens_nothing_until_it_fires_again(together):
    bot = together
    bot.clears("Card declined")
    outcome = bot.asks(Split(1, "Card declined", ANA))

    assert "has cleared, and is no longer part of INC-1" in outcome.decision.reason
    assert (bot.home("Card declined"), len(bot.store.incidents())) == (None, 1)
    bot.fires("Card declined")
    assert bot.home("Card declined") == 2
    assert bot.store.incident(2).number == 2, "no number was lost"


def test_when_what_is_left_has_cleared_its_hold_begins(together):
    bot = together
    bot.clears("Payments down")
    bot.asks(Split(1, "Card declined", ANA))

    assert bot.store.incident(1).cleared_at == bot.now
    assert bot.store.timer_set("INC-1/hold") == bot.now + ResolveRule().hold


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("card declined", "Card declined"),
        ("declined", "Card declined"),
        ("“Payments down” why", "Payments down"),
        ("PREFIX because", "Card declined"),
        ("`PREFIX`", "Card declined"),
    ],
)
def test_an_alert_is_named_by_its_title_a_part_of_it_or_the_beginning_of_its_fingerprint(together, word, title):
    prefix = together.reports("Card declined").alert.fingerprint("main")[:6]
    together.asks(Split(1, word.replace("PREFIX", prefix), ANA))

    assert [one.title for one in together.store.incident(2).alerts] == [title]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("no such", "No alert of INC-1 is called “no such”. It has `"),
        ("d", "Which alert of INC-1? `"),
        ("", "Which alert of INC-1? `"),
    ],
)
def test_an_alert_that_is_not_clear_is_answered_with_those_that_there_are(together, word, says):
    with pytest.raises(Refused) as refused:
        together.asks(Split(1, word, ANA))

    assert refused.value.reason.startswith(says)
    assert "Payments down" in refused.value.reason
    assert "Card declined" in refused.value.reason


def test_the_last_alert_and_one_of_what_is_over_are_not_split(bot):
    bot.fires("Only")
    with pytest.raises(Refused, match="It is the only alert of INC-1"):
        bot.asks(Split(1, "Only", ANA))
    bot.asks(Resolve(1, ANA))
    with pytest.raises(Refused, match="INC-1 is resolved"):
        bot.asks(Split(1, "Only", ANA))
    bot.fires("Next")
    assert bot.home("Next") == 2


# --- undoing a merge --------------------------------------------------------------------------


@pytest.fixture
def merged(bot):
    """INC-2 of the database, merged into INC-1 of search; somebody is on INC-1."""
    bot.fires("Search slow", "search")
    bot.fires("Disk full", "database")
    bot.asks(Acknowledge(1, ANA))
    bot.asks(Merge(2, 1, ANA))
    bot.pages()
    return bot


def test_a_merge_is_undone_with_a_page_and_a_clock_of_its_own(merged):
    bot = merged
    bot.passes(1)
    bot.clears("Disk full", "database")
    bot.fires("Disk full", "database")
    outcome = bot.asks(Split(2, "", ANA, "another disk"))
    own, left = bot.store.incident(2), bot.store.incident(1)

    assert outcome.decision.reason.startswith("INC-2 is an incident of its own again, no longer part of INC-1. Asking PagerDuty")
    assert (own.status, own.merged_into, own.closed_at, own.episode.number) == (Status.TRIGGERED, None, None, 2)
    assert [(one.title, one.fires) for one in own.alerts] == [("Disk full", 2)]
    assert [one.title for one in left.alerts] == ["Search slow"]
    assert bot.home("Disk full") == 2
    assert type(outcome.decision.effects[0]).__name__ == "PageOnCall"
    assert outcome.decision.effects[0].dedup_key == own.episode.dedup_key
    assert bot.entry(2, "reopened").fields["split_from"] == "INC-1"
    assert bot.entry(1, "split_off").fields == {"into": "INC-2", "reason": "another disk"}


def test_a_merge_is_not_undone_when_what_took_it_in_is_over_or_merged_itself(merged):
    bot = merged
    bot.fires("Third", "other")
    bot.asks(Merge(1, 3, ANA))
    with pytest.raises(Refused, match=r"INC-1, which INC-2 is part of, was merged itself. First `/incident split INC-1`"):
        bot.asks(Split(2, "", ANA))
    bot.asks(Split(1, "", ANA))
    assert bot.home("Search slow") == 1
    bot.asks(Resolve(1, ANA))
    with pytest.raises(Refused, match=r"INC-1, which INC-2 is part of, is resolved"):
        bot.asks(Split(2, "", ANA))


# --- whatever the order -----------------------------------------------------------------------

NAMES = {"pay 1": "payments", "pay 2": "payments", "out 1": "checkout", "out 2": "checkout", "find": "search", "disk": "database"}
STEPS = st.one_of(
    st.tuples(st.just("fires"), st.sampled_from(sorted(NAMES)), st.sampled_from(sorted(BY_SENDER))),
    st.tuples(st.just("clears"), st.sampled_from(sorted(NAMES)), st.just("")),
    st.tuples(st.just("splits"), st.sampled_from(sorted(NAMES)), st.just("")),
    st.tuples(st.just("resolves"), st.sampled_from(["1", "2", "3"]), st.just("")),
    st.tuples(st.just("passes"), st.sampled_from(["1", "6", "70"]), st.just("")),
)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEPS, min_size=3, max_size=25))
@example(
    [
        ("fires", "disk", "critical"),
        ("fires", "find", "critical"),
        ("passes", "1", ""),
        ("fires", "find", "high"),
        ("splits", "find", ""),
    ]
)
def test_whatever_the_order_nothing_is_lost_and_nothing_worse_is_hidden(steps):
    folder = TemporaryDirectory()
    store = Store.at(sqlite(Path(folder.name) / "test.db"))
    bot = Bot(store, storm=StormRule(most=1000))
    firing = {}
    for what, name, severity in steps:
        match what:
            case "fires":
                bot.fires(name, NAMES[name], severity)
                firing[name] = min(severity, firing.get(name, severity), key=lambda one: BY_SENDER[one].rank)
            case "clears":
                bot.clears(name, NAMES[name])
                firing.pop(name, None)
            case "splits" if bot.home(name) is not None:
                _if_it_can_be(bot, Split(bot.home(name), name, ANA))
            case "resolves" if bot.store.incident(int(name)) is not None:
                for gone in [one for one in firing if bot.home(one) == int(name) and not _is_elsewhere(bot, one)]:
                    firing.pop(gone)
                _if_it_can_be(bot, Resolve(int(name), ANA))
                bot.passes(0)
            case "passes":
                bot.passes(float(name))
        bot.passes(0)
        _holds(bot, firing)
    store.close()
    folder.cleanup()


def _if_it_can_be(bot, input):
    try:
        bot.asks(input)
    except Refused:
        return


def _is_elsewhere(bot, name):
    """Whether another incident explains it: it gets one of its own when that ends."""
    one = bot.store.incident(bot.home(name))
    held = next(state for state in one.alerts if state.title == name)
    return held.is_related and held.service != one.service


def _holds(bot, firing):
    """Each alert is in one open incident, which holds it, is as bad as it asks for, and asks for a page where that pages."""
    for name, severity in firing.items():
        home = bot.store.incident(bot.home(name))
        assert home is not None, name
        assert home.is_open, name
        [state] = [one for one in home.alerts if one.title == name]
        assert state.is_firing
        assert home.severity.rank <= BY_SENDER[severity].rank
        assert home.episode.pages == bot.policy.rule(home.severity).pages
    where = [one.fingerprint for incident in bot.store.open_incidents() for one in incident.alerts]
    assert len(where) == len(set(where))
    for one in bot.store.open_incidents():
        assert all(state.is_related is False or one.service != state.service or one.severity is Severity.SEV1 for state in one.alerts)
