"""A storm through the record: few incidents and pages, nothing lost, every alert there to be counted and to clear."""

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import select, text

from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.registry import sources
from bot.alerts.source import Delivery
from bot.handle import Bundle, Door
from bot.incidents.decisions import alerts as alert_decisions
from bot.incidents.decisions.helping import ASKED_AGAIN_AFTER
from bot.incidents.effects import PageService
from bot.incidents.incident import HELD, PageState, Severity, Status
from bot.incidents.inputs import Acknowledge, AlertReported, Merge, Reopen, Resolve, SomeoneNotAsked
from bot.incidents.policy import Policy, ReopenRule, RouteRule, Service, StormRule
from bot.store import Store
from bot.store import outbox as outbox_rows
from bot.store.codec import decode_tagged
from bot.store.tables import outbox
from bot.worker.intake import Intake
from tests.builders import NOON, alert
from tests.databases import sqlite
from tests.worker.test_intake import dumped, unknown

RULES = Policy(
    routes=(RouteRule(name="bad", match={"severity": ["high"]}, severity="SEV3"), RouteRule(name="all", severity="SEV2")),
    storm=StormRule(most=3, within=timedelta(hours=1)),
)


class Storm:
    """An inbox, somebody who reads it, and a clock."""

    def __init__(self, store: Store, policy: Policy = RULES) -> None:
        self.store, self.now, self.count = store, NOON, 0
        self.door = Door(store, lambda: self.now, lambda: policy, lambda: ())
        self.intake = Intake(sources=sources(), report=unknown, store=store, door=self.door)

    def gets(self, *alerts: tuple[str, str], status: str = "firing", severity: str = "critical", route: str = "main") -> None:
        """Alerts as (name, service); read at once."""
        self.arrives(*alerts, status=status, severity=severity, route=route)
        self.reads()

    def arrives(self, *alerts: tuple[str, str], status: str = "firing", severity: str = "critical", route: str = "main") -> None:
        """Alerts as (name, service); not read yet."""
        bodies = [
            dumped({"title": name, "status": status, "severity": severity, "service": service, "dedup_key": name})
            for name, service in alerts
        ]
        self.arrives_as("generic", *bodies, route=route)

    def arrives_as(self, source: str, *bodies: bytes, route: str = "main") -> None:
        writer = self.store.inbox_writer(lambda: None)
        for body in bodies:
            self.count += 1
            writer.put(source, Delivery(body, {}, route, self.now), str(self.count)).result(10)
        writer.close()

    def reads(self) -> None:
        while self.intake.run_once():
            pass
        assert self.store.inbox_depth() == {}

    def pages(self) -> int:
        with self.store.engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM outbox WHERE kind = 'PageOnCall'")) or 0)

    def other_pages(self) -> list[str]:
        """Whose on-call was asked for beside, in order."""
        return [one.service for one in self.asked()]

    def summaries(self) -> list[str]:
        """What they read first."""
        return [one.summary for one in self.asked()]

    def asked(self) -> list[PageService]:
        """The pages of others, in order."""
        wanted = select(outbox.c.payload).where(outbox.c.kind == "PageService").order_by(outbox.c.seq)
        with self.store.engine.connect() as connection:
            return [decode_tagged(payload) for payload in connection.scalars(wanted)]

    def said(self, ref: str) -> Counter[str]:
        return Counter(one.type for one in self.store.timeline(ref))


@pytest.fixture
def storm(store: Store) -> Storm:
    return Storm(store)


def test_beyond_the_most_one_incident_gathers_the_rest_and_pages_once(storm):
    storm.gets(*((f"a{number}", f"service {number}") for number in range(300)))

    assert [one.number for one in storm.store.incidents()] == [4, 3, 2, 1]
    gathers = storm.store.incident(4)
    assert gathers.storm
    assert gathers.title == "Alert storm from generic: a3"
    assert gathers.service is None
    assert gathers.alert_count == 297
    assert len(gathers.alerts) == HELD
    assert gathers.more_firing == 297 - HELD
    assert storm.pages() == 4
    assert storm.said("INC-4")["alert_started"] == 297


def test_what_comes_at_once_is_taken_by_how_bad_it_is_and_has_incidents_of_its_own_first(storm):
    storm.arrives(*((f"a{number}", f"service {number}") for number in range(30)), severity="high")
    storm.arrives(("worst 1", "x"), ("worst 2", "y"), ("a0", "service 0"), severity="critical")
    storm.arrives(("worst 2", "y"), status="resolved")
    storm.reads()

    # `a0` was reported as less before: that comes first, and goes forward with what it became.
    assert [one.title for one in reversed(storm.store.incidents())] == ["a0", "worst 1", "worst 2", "Alert storm from generic: a1"]
    assert [one.severity for one in reversed(storm.store.incidents())] == ["SEV2", "SEV2", "SEV2", "SEV3"]
    assert storm.store.incident(3).is_clear
    with storm.store.engine.connect() as connection:
        rows = connection.execute(text("SELECT incident FROM outbox WHERE lane_kind = 'pager' ORDER BY priority, seq"))
        assert [row.incident for row in rows] == [2, 3, 1, 4]


def test_one_delivery_of_many_is_taken_by_how_bad_it_is(storm):
    firing = [{"labels": {"alertname": f"a{number}", "service": f"s{number}", "severity": "high"}} for number in range(20)]
    firing.append({"labels": {"alertname": "worst", "service": "worst", "severity": "critical"}})
    given = [one | {"status": "firing", "startsAt": "2026-06-10T12:00:00Z", "fingerprint": str(n)} for n, one in enumerate(firing)]
    storm.arrives_as("alertmanager", dumped({"version": "4", "status": "firing", "alerts": given}))
    storm.reads()

    assert [one.title for one in reversed(storm.store.incidents())][:2] == ["worst", "a0"]


def test_all_sources_together_open_only_so_many(store):
    storm = Storm(store, RULES.model_copy(update={"storm": StormRule(most=3, in_all=4)}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(9)))
    firing = [{"labels": {"alertname": f"b{number}", "service": f"s{number}", "severity": "critical"}} for number in range(3)]
    given = [one | {"status": "firing", "startsAt": "2026-06-10T12:00:00Z", "fingerprint": str(n)} for n, one in enumerate(firing)]
    storm.arrives_as("alertmanager", dumped({"version": "4", "status": "firing", "alerts": given}))
    storm.reads()

    newest = store.incidents()[0]
    assert [one.storm for one in reversed(store.incidents())] == [False, False, False, True, True]
    assert (newest.title, newest.alert_count) == ("Alert storm from alertmanager: b0", 3)
    assert storm.pages() == 5


def grafana(*names):
    firing = [
        {"status": "firing", "labels": {"alertname": one, "service": one, "severity": "critical"}, "startsAt": "2026-06-10T12:00:00Z",
         "fingerprint": one} for one in names
    ]  # fmt: skip
    return dumped({"version": "1", "status": "firing", "orgId": 1, "state": "alerting", "title": "x", "alerts": firing})


def test_several_sources_that_storm_at_once_open_few_and_whoever_has_no_part_in_it_opens_its_own(store):
    storm = Storm(store, RULES.model_copy(update={"storm": StormRule(most=5, in_a_minute=5)}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(3)))
    storm.arrives_as("grafana", grafana("g0", "g1", "g2", "g3", "g4"))
    storm.reads()
    assert [(one.source, one.storm, one.alert_count) for one in reversed(store.incidents())][3:] == [
        *[("grafana", False, 1)] * 3, ("grafana", True, 2),
    ]  # fmt: skip

    firing = [{"labels": {"alertname": "b", "service": "b", "severity": "critical"}, "status": "firing", "fingerprint": "b"}]
    storm.arrives_as("alertmanager", dumped({"version": "4", "status": "firing", "alerts": firing}))
    storm.reads()
    assert (store.incidents()[0].source, store.incidents()[0].storm) == ("alertmanager", False)

    storm.now += timedelta(minutes=2)
    storm.arrives_as("grafana", grafana("g5"))
    storm.reads()
    assert not store.incidents()[0].storm


BOTH = (AlertSeverity.HIGH, AlertSeverity.CRITICAL)
BY_SENDER = Policy(
    routes=(RouteRule(name="all", severity_map={AlertSeverity.CRITICAL: Severity.SEV1, AlertSeverity.HIGH: Severity.SEV2}),)
)


@pytest.mark.parametrize("sources", [1, 2, 3, 5, 10, 20, 40])
@pytest.mark.parametrize("is_private", [False, True], ids=["public", "and private"])
def test_however_many_sources_storm_at_once_there_are_twenty_channels_at_most_and_every_alert_is_in_one(store, sources, is_private):
    hidden = RouteRule(name="hidden", match={"title": ["*7"]}, private=True, severity_map=BY_SENDER.routes[0].severity_map)
    policy = BY_SENDER.model_copy(update={"routes": (hidden, *BY_SENDER.routes)}) if is_private else BY_SENDER
    door = Door(store, lambda: NOON, lambda: policy, lambda: ())
    each = max(3, 120 // sources)
    names = [(f"s{number % sources}", f"a{number}") for number in range(sources * each)]
    told = [
        AlertReported(alert(source=source, identity=name, title=name, service=name, severity=BOTH[number % 2]), "main")
        for number, (source, name) in enumerate(names)
    ]
    door.handle_together([Bundle((one,), lambda work, outcomes: None) for one in told], 1000)

    incidents = store.incidents(200)
    assert len(incidents) <= 20
    assert sum(one.alert_count for one in incidents) == len(names)
    loud = {one.alert.fingerprint("main") for one in told if one.alert.severity is AlertSeverity.CRITICAL}
    with store.reading() as work:
        homes = [work.alert_record(one).incident for one in loud]
    assert all(store.incident(one).severity is Severity.SEV1 for one in homes)


def test_a_storm_that_somebody_has_in_hand_for_long_gathers_nothing_of_other_sources(store):
    now, services = NOON, {f"s{number}": Service(pager="shop") for number in range(20)}
    door = Door(store, lambda: now, lambda: BY_SENDER.model_copy(update={"services": services}), lambda: ())

    def fires(source, name):
        one = alert(source=source, identity=name, title=name, service=name, severity=AlertSeverity.HIGH)
        return door.handle(AlertReported(one, "main")).incident

    for number in range(12):
        for source in ("a", "b"):
            storm = fires(source, f"{source}{number}")
    assert storm.storm
    door.handle(Acknowledge(storm.number, "U0ANA0001"))
    now += timedelta(minutes=50)
    for number in range(16):
        fires("cd"[number % 2], f"s{number}")
    down = fires("c", "database")

    assert down.number != storm.number
    assert down.episode.page is PageState.REQUESTED


def test_one_source_that_storms_leaves_room_for_two_that_have_no_part_in_it(store):
    door = Door(store, lambda: NOON, lambda: BY_SENDER, lambda: ())
    for number in range(30):
        one = alert(source="loud", identity=f"a{number}", title=f"a{number}", service=f"a{number}", severity=BOTH[number % 2])
        door.handle(AlertReported(one, "main"))
    for source in ("one", "another", "third"):
        door.handle(AlertReported(alert(source=source, identity=source, title=source, service=source), "main"))

    newest = [(one.source, one.storm) for one in reversed(store.incidents(200))][-3:]
    assert newest == [("loud", True), ("one", False), ("another", False)]
    assert len(store.incidents(200)) <= 20


PLAIN = Policy(routes=(RouteRule(name="all"),), storm=StormRule(most=3, within=timedelta(hours=1)))


def test_a_sev1_is_not_gathered_by_what_somebody_took_for_less(store):
    storm = Storm(store, PLAIN)
    storm.gets(*((f"a{number}", f"service {number}") for number in range(9)), severity="high")
    storm.door.handle(Acknowledge(4, "U0ANA0001"))
    storm.gets(("down", "other"), ("down, too", "another"))
    storm.gets(("late", "service 99"), severity="high")

    found = [(one.number, one.storm, one.severity.value, one.alert_count) for one in reversed(store.incidents())]
    assert found[3:] == [(4, True, "SEV2", 7), (5, True, "SEV1", 2)]
    assert storm.pages() == 5


def test_what_was_resolved_and_fires_again_counts_in_a_storm_too(store):
    storm = Storm(store, PLAIN)
    names = [(f"a{number}", f"service {number}") for number in range(9)]
    for start in (0, 3, 6):
        storm.gets(*names[start : start + 3])
        for number in range(start + 1, start + 4):
            storm.door.handle(Resolve(number, "U0ANA0001"))
        storm.now += timedelta(hours=2)
    storm.gets(*names)

    newest = store.incidents()[0]
    assert [one.number for one in store.incidents() if one.is_open] == [10, 3, 2, 1]
    assert (newest.storm, newest.alert_count) == (True, 6)
    assert storm.pages() == 9 + 3 + 1


def test_every_alert_of_it_has_to_clear_before_it_is_over(storm):
    names = [(f"a{number}", f"service {number}") for number in range(3 + HELD + 20)]
    storm.gets(*names)
    storm.gets(*names[:-1], status="resolved")

    assert not storm.store.incident(4).is_clear
    assert storm.store.incident(4).cleared_at is None

    storm.gets(names[-1], names[-2], status="resolved")
    assert storm.store.incident(4).is_clear
    assert storm.store.incident(4).cleared_at == storm.now
    assert storm.said("INC-4")["alert_resolved"] == HELD + 20


def test_another_source_route_and_a_later_hour_are_untouched(storm):
    storm.gets(*((f"a{number}", f"service {number}") for number in range(5)))
    storm.now += timedelta(hours=1, seconds=1)
    storm.gets(("later", "later"))

    assert not storm.store.incidents()[0].storm
    assert storm.store.incidents()[0].title == "later"


def test_a_worse_alert_among_the_gathered_raises_it_also_where_it_is_one_of_those_not_held(storm):
    names = [(f"a{number}", f"service {number}") for number in range(3 + HELD + 5)]
    storm.gets(*names, severity="high")
    assert storm.store.incident(4).severity is Severity.SEV3

    storm.gets(names[-1], severity="critical")

    assert storm.store.incident(4).severity is Severity.SEV2
    assert storm.said("INC-4")["severity_changed"] == 1
    # Once it is known to be that bad, it is quiet.
    storm.gets(names[-1], severity="critical")
    assert storm.said("INC-4")["severity_changed"] == 1


OTHERS = {
    "service 4": Service(pager="mail"), "service 5": Service(pager="mail"), "service 6": Service(pager="shop"),
}  # fmt: skip


def test_those_who_would_be_paged_are_paged_once_by_the_storm_that_gathers_their_alerts(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(8)))

    (gathers,) = (one for one in store.incidents() if one.storm)
    assert (gathers.pager, gathers.alert_count) == ("default", 5)
    assert [(one.name, one.pager, one.accepted_at) for one in gathers.episode.others] == [
        ("service 4", "mail", None), ("service 6", "shop", None),
    ]  # fmt: skip
    assert storm.pages() == 3 + 1
    assert storm.other_pages() == ["service 4", "service 6"]
    assert storm.summaries() == [f"SEV2 INC-4: a{number} (in the alert storm from generic)" for number in (4, 6)]
    asked = [one.fields["who"] for one in store.timeline(gathers.ref) if one.type == "responder_requested"]
    assert asked == ["service 4", "service 6"]


def test_those_of_a_service_whose_pager_is_changed_meanwhile_are_asked_once_by_each(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(5)))
    changed = RULES.model_copy(update={"services": {"service 4": Service(pager="data")}})
    after = Storm(store, changed)
    after.count = storm.count

    after.gets(*((f"b{number}", "service 4") for number in range(10)))

    assert storm.other_pages() == ["service 4", "service 4"]
    keys = {one.dedup_key for one in storm.asked()}
    assert len(keys) == 2
    assert [(one.name, one.pager) for one in store.incident(4).episode.others] == [("service 4", "mail"), ("service 4", "data")]


def test_a_service_that_nobody_knows_does_not_lend_its_name_to_the_key_of_a_page(store):
    routes = (RouteRule(name="theirs", match={"service": ["x*"]}, severity="SEV2", pager="mail"), *RULES.routes)
    storm = Storm(store, RULES.model_copy(update={"routes": routes}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(4)), ("b", "x" * 400))

    (page,) = storm.asked()
    assert page.service == "mail"
    assert len(page.dedup_key) < 255


def test_a_storm_that_is_opened_again_pages_everybody_whose_alert_fires(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    alerts = [(f"a{number}", f"service {number}") for number in range(8)]
    storm.gets(*alerts)
    storm.door.handle(Resolve(4, "U0ANA0001"))
    assert storm.other_pages() == ["service 4", "service 6"]
    storm.now += timedelta(minutes=20)

    storm.door.handle(Reopen(4, "U0ANA0001"))

    assert storm.other_pages() == ["service 4", "service 6"] * 2
    assert len({one.dedup_key for one in storm.asked()}) == 4
    storm.gets(*alerts)
    assert len(storm.asked()) == 4


def test_a_storm_that_an_alert_opens_again_pages_everybody_whose_alert_fires(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    alerts = [(f"a{number}", f"service {number}") for number in range(8)]
    storm.gets(*alerts)
    storm.door.handle(Resolve(4, "U0ANA0001"))
    storm.now += timedelta(minutes=20)

    storm.gets(alerts[7])
    storm.gets(*alerts)

    assert store.incident(4).episode.number == 2
    assert storm.other_pages() == ["service 4", "service 6"] * 2


def test_those_whose_page_was_refused_are_asked_again_later_and_not_for_each_alert(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(4)), ("b0", "service 6"))
    (page,) = storm.asked()
    storm.door.handle(SomeoneNotAsked(4, page.who, page.by, "no such key", dedup_key=page.dedup_key))

    storm.gets(*((f"c{number}", "service 6") for number in range(5)))
    assert len(storm.asked()) == 1
    storm.now += ASKED_AGAIN_AFTER
    storm.gets(*((f"d{number}", "service 6") for number in range(5)))

    assert len(storm.asked()) == 2
    assert store.incident(4).episode.others[0].refused == ""


def test_a_page_that_is_late_holds_up_no_other_team_s_and_the_worst_goes_first(store):
    storm = Storm(store, RULES.model_copy(update={"services": OTHERS}))
    storm.gets(*((f"a{number}", f"service {number}") for number in range(8)))
    with store.reading() as work:
        heads = work.connection.execute(outbox_rows.heads()).all()

    mine = sorted((row.kind, row.priority) for row in heads if row.incident == 4 and row.lane_kind == "pager")
    assert mine == [("PageOnCall", 10), ("PageService", 10), ("PageService", 10)]


def test_a_storm_that_paged_nobody_pages_those_whose_alert_is_the_first_that_asks_for_it(store):
    rules = RULES.model_copy(
        update={"services": OTHERS, "routes": (RouteRule(name="mild", match={"severity": ["low"]}, severity="SEV5"), *RULES.routes)}
    )
    storm = Storm(store, rules)
    storm.gets(*((f"a{number}", f"service {number}") for number in range(4)), severity="low")
    assert storm.pages() == 0

    storm.gets(("a6", "service 6"))

    gathers = store.incident(4)
    assert (gathers.storm, gathers.pager, gathers.episode.others) == (True, "shop", ())
    assert (storm.pages(), storm.other_pages()) == (1, [])


@pytest.mark.parametrize("is_private", [False, True])
def test_however_many_are_paged_there_are_as_many_channels_as_the_most_and_two_more_of_what_is_private(store, is_private):
    services = {f"service {number}": Service(pager=f"team{number % 7}") for number in range(60)}
    routes = (RouteRule(name="worst", match={"severity": ["critical"]}, severity="SEV1"), RouteRule(name="all", severity="SEV2"))
    if is_private:
        routes = (RouteRule(name="secret", match={"service": ["*1"]}, severity="SEV2", private=True), *routes)
    storm = Storm(store, Policy(services=services, routes=routes, storm=StormRule(most=5)))
    for number in range(60):
        storm.gets((f"a{number}", f"service {number}"), severity="critical" if number % 3 == 0 else "high")

    incidents = store.incidents(limit=1000)
    # One of SEV2, one of SEV1, and one of what is private, which is SEV2 here.
    assert len(incidents) == 5 + 2 + is_private
    assert sum(one.alert_count for one in incidents) == 60
    for one in incidents:
        woken = [one.pager, *(page.pager for page in one.episode.others)]
        assert len(woken) == len(set(woken))
        assert set(woken) >= {state.pager for state in one.alerts}


def test_who_resolves_it_hears_how_many_still_fire(storm):
    storm.gets(*((f"a{number}", f"service {number}") for number in range(3 + HELD + 5)))

    outcome = storm.door.handle(Resolve(4, "U0ANA0001"))

    assert "and 5 more" in outcome.decision.reason
    assert storm.store.incident(4).status is Status.RESOLVED


EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(("firing", "resolved")), st.sampled_from(("critical", "high")))
)


@profile(max_examples=30, deadline=None)
@given(events=EVENTS)
def test_an_alert_that_is_not_held_comes_to_the_same_as_one_that_is(tmp_path_factory, events):
    found = []
    for held in (2, HELD):
        store = Store.at(sqlite(tmp_path_factory.mktemp("storm") / "one.db"))
        storm = Storm(store, Policy(routes=RULES.routes))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(alert_decisions, "HELD", held)
            for name, status, severity in events:
                storm.gets((name, "shop"), status=status, severity=severity)
        shown = [
            (one.number, one.severity, one.alert_count, one.is_clear, one.cleared_at, storm.said(one.ref))
            for one in store.incidents()
        ]
        found.append((shown, storm.pages()))
        store.close()

    assert found[0] == found[1]


def test_what_is_opened_again_has_its_alerts_back_also_those_that_are_not_held(storm):
    names = [(f"a{number}", f"service {number}") for number in range(3 + HELD + 2)]
    storm.gets(*names)
    storm.door.handle(Resolve(4, "U0ANA0001"))
    storm.now += timedelta(minutes=20)
    storm.gets(names[-1], names[-2], status="resolved")
    assert storm.store.incident(4).more_firing == 0

    storm.gets(names[-1])

    assert [one.number for one in storm.store.open_incidents()] == [4, 3, 2, 1]
    assert (storm.store.incident(4).alert_count, storm.store.incident(4).more_firing) == (HELD + 2, 1)
    assert storm.pages() == 5
    storm.gets(*names, status="resolved")
    assert storm.store.incident(4).is_clear
    assert storm.store.incident(4).cleared_at == storm.now


def test_what_another_has_by_now_is_not_taken_back(store):
    policy = RULES.model_copy(update={"reopen": ReopenRule(within=timedelta(minutes=10))})
    storm = Storm(store, policy)
    storm.gets(("a", "shop"), ("b", "shop"))
    storm.door.handle(Resolve(1, "U0ANA0001"))
    storm.now += timedelta(minutes=20)
    storm.gets(("b", "shop"))
    assert [(one.number, one.earlier) for one in store.incidents()] == [(2, 1), (1, None)]

    Door(store, lambda: storm.now, lambda: RULES, lambda: ()).handle(Reopen(1, "U0ANA0001"))
    storm.gets(("a", "shop"), ("b", "shop"), status="resolved")

    assert {one.name: one.is_firing for one in store.incident(1).alerts} == {"a": False}
    assert store.incident(2).is_clear


@pytest.mark.parametrize("meanwhile", ["acknowledged", "suppressed"])
def test_an_alert_that_is_muted_where_it_comes_from_clears_here_all_the_same(storm, meanwhile):
    names = [(f"a{number}", f"service {number}") for number in range(3 + HELD + 2)]
    storm.gets(*names)
    storm.gets(names[3], names[-1], status=meanwhile)
    assert storm.store.incident(4).more_firing == 2

    storm.gets(*names, status="resolved")

    assert storm.store.incident(4).is_clear
    assert storm.said("INC-4")["alert_resolved"] == HELD + 2


def test_an_alert_joins_the_incident_that_took_over_the_one_it_would_have_joined(storm):
    storm.gets(("a", "shop"))
    storm.now += timedelta(minutes=20)
    storm.gets(("b", "shop"))
    storm.door.handle(Merge(2, 1, "U0ANA0001"))

    storm.gets(("c", "shop"))

    assert [one.number for one in storm.store.incidents()] == [2, 1]
    assert [one.name for one in storm.store.incident(1).alerts] == ["a", "b", "c"]
