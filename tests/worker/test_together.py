"""Many deliveries in one transaction come to the same as each in its own; and what is in the way holds nobody up."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import select, text

from bot.alerts.registry import sources
from bot.alerts.source import Delivery
from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.inputs import Cancel, Declare
from bot.incidents.policy import Policy, RouteRule
from bot.store import Conflict, Store, Work
from bot.store.tables import alerts, entries, incidents, outbox, timers
from bot.worker import intake as intake_module
from bot.worker.intake import Intake
from tests.builders import NOON
from tests.databases import sqlite
from tests.worker.test_intake import Desk, alert, dumped, unknown

RULES = Policy(
    routes=(
        RouteRule(name="told", match={"severity": ["low"]}, outcome="announce"),
        RouteRule(name="bad", match={"severity": ["high"]}, severity="SEV3"),
        RouteRule(name="all", severity="SEV2"),
    )
)


def one(name: str, status: str, service: str, severity: str) -> bytes:
    return dumped({"title": name, "status": status, "severity": severity, "service": service, "dedup_key": name})


BODIES = st.builds(
    one, st.sampled_from("abcd"), st.sampled_from(("firing", "firing", "resolved")), st.sampled_from(("shop", "mail")),
    st.sampled_from(("critical", "high", "low")),
)  # fmt: skip


def read_all(store: Store, bodies: Sequence[bytes], together: bool) -> None:
    """Put deliveries into an inbox, and read them: many at once, or each by itself."""
    door = Door(store, lambda: NOON, lambda: RULES, lambda: ())
    intake = Intake(sources=sources(), report=unknown, store=store, door=door)
    writer = store.inbox_writer(lambda: None)
    for number, body in enumerate(bodies):
        writer.put("generic", Delivery(body, {}, "main", NOON), str(number)).result(10)
    writer.close()
    if together:
        assert intake.run_once() == len(bodies)
        return
    for received in intake._worst_first(store.claim_deliveries(len(bodies) or 1), {}):
        assert intake._take(received)


def record(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Everything that came of it, but for what is drawn at random and how often something was written."""
    wanted = {
        "incidents": select(incidents.c.number, incidents.c.status, incidents.c.last_alert_at, incidents.c.body),
        "alerts": select(alerts.c.fingerprint, alerts.c.incident, alerts.c.is_open, alerts.c.is_firing, alerts.c.is_announced,
                         alerts.c.first_at, alerts.c.reports),
        "entries": select(entries.c.incident, entries.c.at, entries.c.type, entries.c.by, entries.c.fields),
        "timers": select(timers.c.key, timers.c.due_at, timers.c.input).order_by(timers.c.key),
        "effects": select(outbox.c.incident, outbox.c.lane, outbox.c.kind, outbox.c.payload, outbox.c.priority),
        "number": text("SELECT value FROM notes WHERE name = 'last incident number'"),
    }  # fmt: skip
    with store.engine.connect() as connection:
        found = {name: [tuple(row) for row in connection.execute(query)] for name, query in wanted.items()}
    found["incidents"] = [(*row[:-1], {**row[-1], "version": None}) for row in found["incidents"]]
    return found


@profile(max_examples=25, deadline=None)
@given(bodies=st.lists(BODIES, max_size=30))
def test_together_comes_to_the_same_as_one_by_one(tmp_path_factory, bodies):
    found = []
    for together in (True, False):
        store = Store.at(sqlite(tmp_path_factory.mktemp("record") / "one.db"))
        read_all(store, bodies, together)
        assert store.inbox_depth() == {}
        found.append(record(store))
        store.close()

    assert found[0] == found[1]


def test_a_storm_is_read_in_few_transactions_and_every_report_of_it_is_counted(store):
    written, transactions = [], []

    class Counted(Door):
        """Keeps how many deliveries each transaction took, and lets it take as long as it likes."""

        def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
            transactions.append(Door.handle_together(self, bundles, 60))
            return transactions[-1]

    door = Counted(store, lambda: NOON, lambda: RULES, lambda: (), saved=written.append)
    desk = Desk(store)
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=door)
    desk.gets("generic", *(one(f"a{number % 10}", "firing", "shop", "critical") for number in range(150)))

    assert desk.intake.run_once() == 150
    assert transactions == [150]
    assert len(written) == 150
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(reports) FROM alerts")) == 150
        assert connection.scalar(text("SELECT count(*) FROM handled")) == 0
    assert len(store.incidents()) == 1
    assert len(store.incident(1).alerts) == 10


def test_one_transaction_is_ended_in_time_and_the_next_goes_on_where_it_ended(store):
    desk = Desk(store)
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=desk.door, together_seconds=0.0)
    desk.gets("generic", *(alert(name) for name in "abc"))

    assert desk.intake.run_once() == 3
    assert [found.title for found in store.incidents()] == ["c", "b", "a"]


def test_a_bug_in_one_holds_up_nobody_who_came_with_it_and_an_unreadable_one_neither(store):
    desk = Desk(store)
    desk.gets("generic", alert("first"), alert("poison"), alert("second"), alert("third"))
    desk.gets("pagerduty", b"no json")
    desk.gets("generic", alert("last"))

    desk.reads()

    assert {found.title for found in store.incidents()} == {"first", "second", "third", "last"}
    assert [state for state, _, _ in desk.rows()] == ["done", "new", "done", "done", "parked", "done"]


def test_a_claim_that_was_overtaken_changes_nothing(store):
    desk = Desk(store)
    desk.gets("generic", alert("a"))
    [mine] = store.claim_deliveries(1)
    with store.writing() as work:
        work.connection.execute(text("UPDATE inbox SET lease_until = NULL"))
    assert desk.intake.run_once() == 1

    with pytest.raises(Conflict), store.writing() as work:
        work.delivery_read(mine.id, mine.until)

    assert len(store.incidents()) == 1
    assert store.incident(1).version == 1


def test_who_reads_together_too_late_leaves_it_to_whoever_has_it_by_now(store):
    desk = Desk(store)
    desk.gets("generic", alert("a"), alert("b"))
    plain = Door.handle_together

    class Late(Door):
        """Stands still until another has read everything."""

        def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
            with self.store.writing() as work:
                work.connection.execute(text("UPDATE inbox SET lease_until = NULL"))
            desk.intake.run_once()
            return plain(self, bundles, seconds)

    late = Late(store, lambda: NOON, lambda: RULES, lambda: ())
    Intake(sources=sources(), report=unknown, store=store, door=late).run_once()

    assert [found.title for found in store.incidents()] == ["b", "a"]
    assert {found.version for found in store.incidents()} == {1}


def test_an_alert_whose_incident_ends_meanwhile_is_decided_on_anew(store):
    if store.engine.dialect.name == "sqlite":
        pytest.skip("in SQLite nobody else writes meanwhile")
    desk = Desk(store)
    desk.gets("generic", alert("a"))
    desk.reads()
    [fingerprint] = [found.fingerprint for found in store.incident(1).alerts]

    with pytest.raises(Conflict), store.writing() as work:
        seen = work.alert_record(fingerprint)
        desk.door.handle(Cancel(1, "U0ANA0001", "false_positive"))
        work.save(Decision(alert=seen), NOON)

    desk.gets("generic", alert("a"))
    desk.reads()
    assert [found.number for found in store.incidents()] == [2, 1]


def test_what_is_saved_is_not_read_again_although_telling_of_it_ended_in_a_bug(store):
    told: list[Decision] = []

    def saved(decision: Decision) -> None:
        told.append(decision)
        if len(told) == 1:
            raise OSError("no space left on device")

    desk = Desk(store)
    door = Door(store, lambda: NOON, lambda: RULES, lambda: (), saved=saved)
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=door, together_seconds=60.0)
    desk.gets("generic", one("a", "firing", "shop", "low"), one("a", "resolved", "shop", "low"))
    while desk.intake.run_once():
        pass

    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM outbox WHERE kind = 'AnnounceAlert'")) == 1
    assert store.inbox_depth() == {}


def test_an_alert_that_closed_stays_closed_when_another_opens_an_incident_in_the_same_transaction(store):
    class Together(Door):
        def handle(self, *given, **more):  # type: ignore[no-untyped-def]
            pytest.fail("read by itself")

    desk = Desk(store)
    door = Together(store, lambda: NOON, lambda: RULES, lambda: ())
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=door, together_seconds=60.0)
    desk.gets("generic", one("a", "firing", "shop", "low"))
    assert desk.intake.run_once() == 1
    desk.gets(
        "generic",
        one("a", "resolved", "shop", "low"), one("b", "firing", "mail", "critical"), one("a", "firing", "shop", "low"),
    )  # fmt: skip
    assert desk.intake.run_once() == 3

    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM outbox WHERE kind = 'AnnounceAlert'")) == 2


def many(count: int, status: str = "firing") -> bytes:
    labels = [{"alertname": f"A{number}", "service": "shop", "severity": "critical"} for number in range(count)]
    started = {"startsAt": "2026-03-01T11:59:00Z", "status": status}
    given = [{"labels": one, "fingerprint": f"{number:016x}", **started} for number, one in enumerate(labels)]
    return dumped({"version": "4", "status": status, "alerts": given})


def test_a_delivery_of_very_many_alerts_lets_others_in_between_and_each_alert_counts_once(store):
    transactions = []

    class Watched(Door):
        def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
            transactions.append(super().handle_together(bundles, seconds))
            return transactions[-1]

    desk = Desk(store)
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=Watched(store, lambda: NOON, lambda: RULES, lambda: ()))
    count = 3 * intake_module.TOGETHER_ALERTS
    desk.gets("alertmanager", many(count))
    assert desk.intake.run_once() == 1

    assert sum(transactions) == count
    assert max(transactions) <= intake_module.TOGETHER_ALERTS
    assert store.incident(1).alert_count == count
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(reports) FROM alerts")) == count
    assert store.inbox_depth() == {}


def test_a_delivery_of_very_many_alerts_goes_on_where_it_was_interrupted(store):
    class Dies(Door):
        def handle_together(self, bundles, seconds):  # type: ignore[no-untyped-def]
            count = super().handle_together(bundles, seconds)
            if store.incident(1).alert_count > 100:
                raise KeyboardInterrupt
            return count

    desk = Desk(store)
    desk.intake = Intake(sources=sources(), report=unknown, store=store, door=Dies(store, lambda: NOON, lambda: RULES, lambda: ()))
    count = intake_module.TOGETHER_ALERTS + 50
    desk.gets("alertmanager", many(count))
    with pytest.raises(KeyboardInterrupt):
        desk.intake.run_once()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE inbox SET lease_until = NULL"))
    assert desk.intake.run_once() == 1

    assert store.incident(1).alert_count == count
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(reports) FROM alerts")) == count


def test_a_declaration_that_was_repeated_at_once_leaves_no_gap_in_the_numbers(store, monkeypatch):
    door = Door(store, lambda: NOON, lambda: RULES, lambda: ())
    door.handle(Declare(title="Checkout is down", by="U0ANA0001"), once="first")
    looked: list[str] = []
    look = Work.was_handled

    def too_early(work: Work, key: str) -> bool:
        looked.append(key)
        return len(looked) > 1 and look(work, key)

    monkeypatch.setattr(Work, "was_handled", too_early)
    assert door.handle(Declare(title="Checkout is down", by="U0ANA0001"), once="first").was_handled

    assert door.handle(Declare(title="Mail is down", by="U0ANA0001"), once="second").incident.number == 2
