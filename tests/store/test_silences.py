"""Silences in the record, on both databases: kept, numbered, read with the alerts they hold for, and what they kept quiet."""

import json
import threading
from datetime import timedelta

import pytest
from sqlalchemy import event

from bot.alerts.matching import THAT_GATHER
from bot.alerts.quiet import Kept, Silence, Still
from bot.alerts.registry import sources
from bot.alerts.routing import Matcher
from bot.alerts.source import Delivery
from bot.errors import Refused
from bot.handle import Door
from bot.incidents.effects import AnnounceSilence, SilenceNews
from bot.incidents.incident import Severity
from bot.incidents.inputs import ConfirmSilence, EndSilence, SilenceAlerts
from bot.incidents.policy import HeartbeatRule, MaintenanceRule, Policy, RouteRule, Service, StormRule
from bot.store.codec import decode_tagged
from bot.store.tables import alerts, outbox, timers
from bot.web.measures import Measures
from bot.worker.due import DueTimers
from bot.worker.intake import Intake
from tests.builders import ANA, BEN, NOON, after

SECRET = RouteRule(name="secret", match={"labels": {"secret": "yes"}}, private=True, severity="SEV2")
OPENS = Policy(routes=(SECRET, RouteRule(name="all")))
MILD = Policy(routes=(RouteRule(name="all", severity="SEV2"),))


class Desk:
    """A bot without its neighbours, and a clock that moves."""

    def __init__(self, store, policy=MILD):
        self.store, self.now, self.policy, self.count = store, NOON, policy, 0
        self.door = Door(store, lambda: self.now, lambda: self.policy, lambda: ())
        self.intake = Intake(sources=sources(), report=lambda report: "not ours", store=store, door=self.door)
        self.due = DueTimers(store=store, door=self.door)

    def silences(self, minutes=60, by=ANA, reason="moving it", **fields):
        match = Matcher({name: tuple(value.split("|")) for name, value in (fields or {"service": "checkout"}).items()})
        wish = SilenceAlerts(match=match, lasts=timedelta(minutes=minutes), reason=reason, by=by)
        return self.door.handle(wish).decision.silence

    def ends(self, number, by=BEN):
        return self.door.handle(EndSilence(number=number, by=by)).decision

    def gets(self, *names, status="firing", service="checkout", severity="critical", **more):
        writer = self.store.inbox_writer(lambda: None)
        for name in names:
            self.count += 1
            one = {"title": name, "status": status, "severity": severity, "service": service, "dedup_key": name, **more}
            writer.put("generic", Delivery(json.dumps(one).encode(), {}, "main", self.now), str(self.count)).result(10)
        writer.close()
        while self.intake.run_once():
            pass

    def passes(self, minutes):
        self.now += timedelta(minutes=minutes)
        self.due.run_once()

    def kept(self, number=1):
        return next(kept for one, kept in self.store.silences(self.now) if one.number == number)

    def told(self):
        with self.store.reading() as work:
            rows = work.connection.execute(outbox.select().where(outbox.c.kind == "AnnounceSilence").order_by(outbox.c.seq))
            return [decode_tagged(row.payload) for row in rows]

    def under(self):
        with self.store.reading() as work:
            rows = work.connection.execute(alerts.select().order_by(alerts.c.title, alerts.c.id))
            return [(row.title, row.incident, row.is_open, row.quiet_under) for row in rows]

    def refs(self):
        return [one.ref for one in self.store.incidents()]


@pytest.fixture
def desk(store):
    return Desk(store)


def test_an_alert_under_a_silence_is_kept_and_counted_and_opens_nothing(desk):
    silence = desk.silences()
    desk.gets("a", "b", "a")
    desk.gets("other", service="payments")

    assert silence == Silence(
        1, Matcher({"service": ("checkout",)}), ANA, "moving it", NOON, timedelta(hours=1), after(60)
    )  # fmt: skip
    assert desk.refs() == ["INC-1"]
    assert desk.under() == [("a", None, True, "silence/1"), ("b", None, True, "silence/1"), ("other", 1, True, None)]
    kept = desk.kept()
    assert (kept.alerts, kept.worst, kept.last_at, kept.firing_count) == (2, 0, NOON, 2)
    assert {one.title for one in kept.firing} == {"a", "b"}
    assert desk.store.quieted() == {"silences": 2}


def test_its_time_passes_and_everybody_is_told_what_it_kept_and_what_still_fires(desk):
    desk.silences()
    desk.gets("a")
    desk.now = after(1)
    desk.gets("b")
    desk.gets("b", status="resolved")
    desk.passes(60)

    begun, expired = desk.told()
    assert (begun.news, expired.news) == (SilenceNews.BEGUN, SilenceNews.EXPIRED)
    assert isinstance(expired, AnnounceSilence)
    assert (expired.kept.alerts, expired.kept.firing_count, [one.title for one in expired.kept.firing]) == (2, 1, ["a"])
    desk.gets("a")
    assert desk.refs() == ["INC-1"]
    assert desk.under()[0] == ("a", 1, True, None)
    assert desk.kept() == Kept(2, 0, "b", after(1), 0, ())


def test_downtime_past_its_end_ends_it_once_and_no_alert_is_quiet_meanwhile(desk):
    desk.silences()
    desk.gets("a")
    desk.now = after(600)
    desk.gets("a")
    desk.due.run_once()
    desk.due.run_once()

    assert desk.refs() == ["INC-1"]
    assert [one.news.value for one in desk.told()] == ["begun", "expired"]
    assert desk.store.silences(desk.now)[0][0].ended_at == after(60)


def test_one_that_is_ended_early_does_not_expire(desk):
    desk.silences()
    desk.gets("a")
    desk.ends(1)
    desk.gets("a")
    desk.passes(120)

    assert desk.refs() == ["INC-1"]
    assert [(one.news.value, one.ended_by) for one in desk.told()] == [("begun", None), ("ended", BEN)]
    with desk.store.reading() as work:
        assert work.connection.execute(timers.select().where(timers.c.key == "silence/1")).first() is None
    with pytest.raises(Refused, match="was ended by"):
        desk.ends(1)


def test_an_open_incident_keeps_its_alerts_and_takes_no_new_ones(desk):
    desk.gets("a")
    desk.silences()
    desk.gets("a", "b")
    desk.gets("a", status="resolved")

    assert desk.under() == [("a", 1, True, None), ("b", None, True, "silence/1")]
    assert desk.store.incidents()[0].is_clear


def test_it_holds_from_when_it_is_saved_also_for_what_came_in_before(desk):
    writer = desk.store.inbox_writer(lambda: None)
    body = json.dumps({"title": "a", "status": "firing", "severity": "critical", "service": "checkout"}).encode()
    writer.put("generic", Delivery(body, {}, "main", desk.now), "early").result(10)
    writer.close()
    desk.silences()
    desk.intake.run_once()

    assert desk.refs() == []


def test_what_clears_and_fires_again_is_one_alert_and_counted_each_time(desk):
    desk.silences()
    for _ in range(3):
        desk.gets("a")
        desk.gets("a", status="resolved")

    assert (desk.kept().alerts, desk.kept().firing_count) == (1, 0)
    assert desk.store.quieted() == {"silences": 3}


def test_an_alert_of_two_silences_is_the_longer_one_s_and_opens_when_both_are_over(desk):
    desk.silences(60)
    desk.silences(90)
    desk.gets("a")
    desk.passes(61)
    desk.gets("a")
    assert (desk.kept(1).alerts, desk.kept(2).alerts, desk.refs()) == (0, 1, [])
    desk.passes(30)
    desk.gets("a")

    assert desk.refs() == ["INC-1"]


def test_a_later_silence_takes_an_alert_over_and_the_first_still_counts_what_it_kept(desk):
    desk.silences(60)
    desk.gets("a")
    desk.silences(90)
    desk.gets("a")

    assert (desk.kept(1), desk.kept(2).firing_count) == (Kept(1, 0, "a", NOON, 0, ()), 1)


def test_the_sev1_it_keeps_is_counted_as_one_and_a_private_one_has_no_name(store):
    desk = Desk(store, OPENS)
    assert desk.silences().until is None
    desk.door.handle(ConfirmSilence(number=None, by=ANA))
    desk.gets("a")
    desk.gets("b", severity="high")
    desk.now = after(1)
    desk.gets("hush", severity="low", labels={"secret": "yes"})

    kept = desk.kept()
    assert (kept.alerts, kept.worst, kept.last_title, kept.last_at) == (3, 1, "", after(1))
    # Two would be SEV2: in the order in which they came.
    assert [one.title for one in kept.firing] == ["a", "b", ""]
    assert isinstance(kept.firing[0], Still)


def test_what_got_worse_under_it_is_counted_at_its_worst(store):
    desk = Desk(store, OPENS)
    desk.silences()
    desk.door.handle(ConfirmSilence(number=1, by=ANA))
    for severity in ("low", "critical", "medium"):
        desk.gets("a", severity=severity)

    assert (desk.kept().alerts, desk.kept().worst) == (1, 1)


def test_whoever_was_asked_last_is_asked_of_what_they_asked(store):
    desk = Desk(store, OPENS)
    desk.silences(by=ANA)
    desk.silences(by=BEN, service="payments")
    desk.silences(by=ANA, service="search")
    begun = desk.door.handle(ConfirmSilence(number=None, by=ANA)).decision.silence

    assert (begun.number, begun.match.said) == (3, "service=search")
    assert [one.number for one, _ in desk.store.silences(NOON)] == [3]
    with pytest.raises(Refused, match="only they can confirm it"):
        desk.door.handle(ConfirmSilence(number=2, by=ANA))


def test_an_open_sev1_that_its_alerts_would_join_asks_twice(store):
    desk = Desk(store, OPENS)
    desk.gets("a")
    assert desk.store.incidents()[0].severity is Severity.SEV1

    decision = desk.door.handle(
        SilenceAlerts(match=Matcher({"title": ("a",)}), lasts=timedelta(hours=1), reason="x", by=ANA)
    ).decision
    assert "INC-1 is a SEV1 and open" in decision.reason


def test_silences_asked_for_at_once_have_numbers_of_their_own(desk):
    start, found = threading.Barrier(6), []

    def ask(number):
        start.wait()
        found.append(desk.silences(reason=f"{number}").number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == [1, 2, 3, 4, 5, 6]


def test_those_that_ended_are_seen_for_a_day(desk):
    desk.silences(60)
    desk.silences(2 * 24 * 60)
    desk.passes(61)

    assert [one.number for one, _ in desk.store.silences(desk.now)] == [2, 1]
    desk.passes(24 * 60)
    assert [one.number for one, _ in desk.store.silences(desk.now)] == [2]


def test_a_maintenance_window_keeps_quiet_and_its_count_is_a_figure(store):
    when = {"from": "2026-06-10 11:00", "until": "2026-06-10 13:00"}
    window = MaintenanceRule(name="move", match={"service": "checkout"}, reason="moving it", **when)
    desk = Desk(store, Policy(routes=MILD.routes, maintenance=(window,)))
    desk.gets("a", "a", "b")

    assert desk.refs() == []
    assert desk.under() == [("a", None, True, "maintenance/move"), ("b", None, True, "maintenance/move")]
    assert desk.store.quieted() == {"maintenance/move": 2}
    text = Measures().text(dict, dict, dict, desk.store.quieted).decode()
    assert 'firstfive_alerts_quieted{by="maintenance/move"} 2.0' in text
    desk.now = after(60)
    desk.gets("a")
    assert desk.refs() == ["INC-1"]


# --- what it costs ----------------------------------------------------------------------------


def asked(desk, what):
    """The statements about silences, and about what they kept, while something happens."""
    seen = list[str]()

    def listen(*said):
        seen.append(said[2])

    event.listen(desk.store.engine, "before_cursor_execute", listen)
    what()
    event.remove(desk.store.engine, "before_cursor_execute", listen)
    return [sum(f" {table}" in one for one in seen) for table in ("silences", "quieted")]


def test_silences_are_read_once_with_a_batch_and_not_at_all_for_what_is_open(desk):
    assert asked(desk, lambda: desk.gets("a", service="one")) == [1, 0]
    assert asked(desk, lambda: desk.gets("a", service="one")) == [0, 0]

    bodies = [{"title": f"{number}", "status": "firing", "service": f"{number}"} for number in range(40)]
    writer = desk.store.inbox_writer(lambda: None)
    for number, one in enumerate(bodies):
        writer.put("generic", Delivery(json.dumps(one).encode(), {}, "main", NOON), f"many {number}").result(10)
    writer.close()
    intake = Intake(sources=sources(), report=lambda report: "", store=desk.store, door=desk.door, together_seconds=60)
    assert asked(desk, intake.run_once) == [1, 0]


def test_silences_that_are_over_are_not_looked_at(desk):
    if desk.store.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by how many there are")
    seen = list[str]()
    event.listen(desk.store.engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    desk.gets("a")

    (look,) = (one for one in seen if "FROM silences" in one)
    with desk.store.reading() as work:
        plan = str(work.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {look}").all())
    assert "silences_in_force" in plan


# --- who is heard no more ---------------------------------------------------------------------

BEAT = HeartbeatRule(name="Backup", match={"name": "beat"}, within=timedelta(minutes=5), service="checkout")
WATCHED = Policy(
    routes=(RouteRule(name="beats", match={"name": "beat"}, outcome="record"), *MILD.routes),
    services={"checkout": Service()},
    heartbeats=(BEAT,),
)


def minutes_pass(desk, minutes):
    for _ in range(minutes):
        desk.passes(1)


def test_who_is_silent_under_a_silence_opens_an_incident_when_it_is_over(store):
    desk = Desk(store, WATCHED)
    desk.gets("beat")
    desk.silences(30)
    minutes_pass(desk, 29)
    assert (desk.refs(), desk.kept().alerts, desk.kept().firing_count) == ([], 1, 1)
    minutes_pass(desk, 3)

    assert desk.refs() == ["INC-1"]
    assert desk.store.incidents()[0].alerts[0].started_at == after(5)
    minutes_pass(desk, 3 * 24)
    assert desk.refs() == ["INC-1"]


def test_who_is_silent_under_one_that_is_ended_early_opens_within_a_minute(store):
    desk = Desk(store, WATCHED)
    desk.gets("beat")
    desk.silences(600)
    minutes_pass(desk, 20)
    desk.ends(1)
    minutes_pass(desk, 1)

    assert desk.refs() == ["INC-1"]


def test_who_is_heard_under_a_silence_is_listened_for_anew(store):
    desk = Desk(store, WATCHED)
    desk.gets("beat", service="payments")
    desk.silences(30)
    minutes_pass(desk, 28)
    desk.gets("beat", service="payments")
    minutes_pass(desk, 4)
    assert (desk.refs(), desk.kept().firing_count) == ([], 0)
    minutes_pass(desk, 2)

    assert desk.refs() == ["INC-1"]


# --- what fires on when it is over ------------------------------------------------------------


def entries_of(desk, number, type_):
    return [one for one in desk.store.timeline(f"INC-{number}") if one.type == type_]


def test_what_fires_on_when_it_expires_opens_although_its_sender_says_nothing(desk):
    desk.silences()
    desk.gets("a")
    desk.gets("b", service="payments")
    desk.gets("b", service="payments", status="resolved")
    desk.passes(60)
    assert desk.refs() == ["INC-1"]
    desk.passes(1)

    assert desk.refs() == ["INC-2", "INC-1"]
    (told,) = entries_of(desk, 2, "alert_quieted")
    assert (told.at, told.fields["under"]) == (after(61), "silence 1")
    assert len(entries_of(desk, 2, "page_requested")) == 1
    desk.passes(600)
    assert desk.refs() == ["INC-2", "INC-1"]


def test_what_cleared_under_it_opens_nothing_and_leaves_no_timer(desk):
    desk.silences()
    desk.gets("a", "b")
    desk.gets("a", "b", status="resolved")
    assert quiet_timers(desk) == []
    desk.passes(61)

    assert desk.refs() == []


def quiet_timers(desk):
    with desk.store.reading() as work:
        return [row.key for row in work.connection.execute(timers.select().where(timers.c.key.startswith("quiet/")))]


def test_what_fires_on_when_it_is_ended_early_opens_at_once(desk):
    desk.silences(600)
    desk.gets("a")
    said = desk.ends(1).reason
    desk.passes(0.1)

    assert "1 still fires, and is taken now as if just reported" in said
    assert desk.refs() == ["INC-1"]
    assert quiet_timers(desk) == []


def test_what_another_silence_covers_stays_quiet_until_that_is_over(desk):
    desk.silences(60)
    desk.gets("a")
    desk.silences(90)
    desk.passes(61)
    assert (desk.refs(), desk.kept(2).firing_count) == ([], 1)
    desk.passes(30)

    assert desk.refs() == ["INC-1"]


def test_late_after_downtime_it_is_done_once(desk):
    desk.silences()
    desk.gets("a")
    desk.passes(6000)
    desk.passes(1)

    assert desk.refs() == ["INC-1"]
    assert len(entries_of(desk, 1, "alert_quieted")) == 1


def test_what_came_in_and_is_not_read_yet_is_read_first(desk):
    desk.silences()
    desk.gets("a")
    writer = desk.store.inbox_writer(lambda: None)
    body = {"title": "a", "status": "resolved", "severity": "critical", "service": "checkout", "dedup_key": "a"}
    writer.put("generic", Delivery(json.dumps(body).encode(), {}, "main", after(59)), "late").result(10)
    writer.close()
    desk.passes(61)
    assert desk.refs() == []
    desk.intake.run_once()
    desk.passes(1)

    assert desk.refs() == []
    assert quiet_timers(desk) == []


def test_the_next_report_may_come_first_and_says_the_same(desk):
    desk.silences()
    desk.gets("a")
    desk.now = after(61)
    desk.gets("a")
    desk.due.run_once()

    assert desk.refs() == ["INC-1"]
    assert len(entries_of(desk, 1, "alert_quieted")) == 1


def test_all_of_hundreds_are_taken_the_worst_first_and_the_cap_of_a_storm_holds(store):
    desk = Desk(store, OPENS)
    desk.silences(service="s*")
    desk.door.handle(ConfirmSilence(number=1, by=ANA))
    for number in range(60):
        desk.gets(f"mild {number}", service=f"s{number}", severity="medium")
    desk.gets("worst", service="s99", severity="critical")
    desk.passes(61)
    for _ in range(40):
        desk.due.run_once()

    assert quiet_timers(desk) == []
    # A route of this policy is private: two that gather have to have room beside.
    assert len(desk.refs()) == StormRule().in_a_minute - THAT_GATHER + 1
    assert desk.store.incident(1).title == "worst"
    assert all(incident is not None for _, incident, _, _ in desk.under())


def test_what_would_be_announced_is_announced_when_it_is_over(store):
    desk = Desk(store, Policy(routes=(RouteRule(name="all", outcome="announce"),)))
    desk.silences()
    desk.gets("a")
    desk.passes(61)

    with desk.store.reading() as work:
        rows = work.connection.execute(outbox.select().where(outbox.c.kind == "AnnounceAlert")).all()
    (told,) = (decode_tagged(row.payload) for row in rows)
    assert told.reason.startswith("was under silence 1 until now; ")


def test_what_fires_on_after_a_maintenance_window_opens_at_its_end(store):
    when = {"from": "2026-06-10 11:00", "until": "2026-06-10 13:00"}
    window = MaintenanceRule(name="move", match={"service": "checkout"}, reason="moving it", **when)
    desk = Desk(store, Policy(routes=MILD.routes, maintenance=(window,)))
    desk.gets("a", "b")
    desk.gets("b", status="resolved")
    desk.passes(59)
    assert desk.refs() == []
    desk.passes(2)

    assert desk.refs() == ["INC-1"]
    (told,) = entries_of(desk, 1, "alert_quieted")
    assert told.fields["under"] == "maintenance “move”"


def test_at_its_end_the_policy_of_that_time_decides(store):
    when = {"from": "2026-06-10 11:00", "until": "2026-06-10 13:00"}
    window = MaintenanceRule(name="move", match={"service": "checkout"}, reason="moving it", **when)
    desk = Desk(store, Policy(routes=MILD.routes, maintenance=(window,)))
    desk.gets("a")
    longer = MaintenanceRule(name="move", match={"service": "checkout"}, reason="moving it", **when | {"until": "2026-06-10 14:00"})
    desk.policy = Policy(routes=MILD.routes, maintenance=(longer,))
    desk.passes(61)
    assert desk.refs() == []
    desk.passes(60)

    assert desk.refs() == ["INC-1"]
