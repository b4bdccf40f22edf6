"""The auditor, on both databases: it finds what nothing will be done about, says so once, and keeps silent outside."""

import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr
from sqlalchemy import delete, update

from bot.findings import Finding
from bot.handle import Door
from bot.incidents.effects import Lane
from bot.incidents.inputs import AlertReported, PageAccepted
from bot.incidents.policy import Policy, RouteRule
from bot.store import Store, audits
from bot.store.outbox import Row, outbox
from bot.store.tables import incidents, notes, timers
from bot.web.health import Health
from bot.worker.auditor import Auditor
from bot.worker.deliveries import Steady
from bot.worker.heartbeat import Heartbeat
from bot.worker.scheduler import Scheduler, Tick
from tests.builders import NOON, after, alert

OPENS = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
MINUTE = timedelta(seconds=60)


class Watched:
    """A record with one incident that waits for somebody, an auditor, and a clock that moves."""

    def __init__(self, store: Store) -> None:
        self.store, self.now, self.sent = store, NOON, 0
        self.unseen: list[Finding] = []
        self.door = Door(store, lambda: self.now, lambda: OPENS, lambda: ())
        self.auditor = Auditor(store=store, door=self.door, every=MINUTE, unseen=lambda seconds: self.unseen, send=self._send)
        self.door.handle(AlertReported(alert(), "main"))

    def _send(self) -> str:
        self.sent += 1
        return ""

    def subjects(self) -> list[str]:
        """What a look finds wrong; that nobody here handles timers is left out."""
        return [one.subject for one in self.auditor.findings() if one.subject != "timers"]

    def delivers(self, *lanes: Lane) -> None:
        """Everything that waits in these kinds of lanes goes out, and what comes of it."""
        if Lane.PAGER in lanes:
            self.door.handle(PageAccepted(1, self.store.open_incidents()[0].episode.dedup_key, self.now))
        while rows := self.claims(*lanes):
            with self.store.writing() as work:
                for row in rows:
                    work.finish(row, self.now)

    def claims(self, *lanes: Lane) -> list[Row]:
        return self.store.claim(lanes, "w", self.now, lease=timedelta(hours=9))

    def alarms(self) -> list[str]:
        with self.store.reading() as work:
            return list(work.connection.scalars(outbox.select().with_only_columns(outbox.c.payload["text"].as_string())
                                                .where(outbox.c.kind == "RaiseAlarm").order_by(outbox.c.seq)))  # fmt: skip

    def does(self, statement) -> None:
        with self.store.writing() as work:
            assert work.connection.execute(statement).rowcount == 1


@pytest.fixture
def watched(store) -> Watched:
    return Watched(store)


def test_while_all_is_well_somebody_outside_hears_it_each_time(watched):
    assert watched.auditor.run_once() == 0
    watched.delivers(*Lane)
    watched.now = after(seconds=89)

    assert watched.auditor.run_once() == 0
    assert watched.sent == 2
    assert watched.alarms() == []


def test_what_is_first_in_its_lane_for_more_than_a_minute_is_found_once_for_all_lanes_of_a_kind(watched):
    watched.now = after(seconds=60)
    assert watched.subjects() == []

    watched.now = after(seconds=61)
    assert watched.subjects() == ["pager lanes", "chat lanes"]


def test_an_effect_frozen_in_sending_is_found_however_long_its_lease(watched):
    [row] = watched.claims(Lane.PAGER)
    watched.delivers(Lane.CHAT, Lane.DOCUMENT)
    watched.now = after(seconds=75)

    [found] = watched.auditor.findings()
    assert found.text == "PageOnCall of INC-1 has waited for 75 s: it is sending, try 1"
    with watched.store.writing() as work:
        work.finish(row, watched.now)
    assert watched.subjects() == ["page of INC-1"]


def test_what_only_now_came_to_its_turn_is_not_late(watched):
    watched.delivers(Lane.PAGER)
    watched.now = after(2)
    [first] = watched.claims(Lane.CHAT)
    with watched.store.writing() as work:
        work.finish(first, watched.now)
    watched.now = after(2, seconds=59)
    assert watched.subjects() == []

    watched.now = after(3, seconds=1)
    assert watched.subjects() == ["chat lanes"]


def test_what_a_rate_limit_holds_back_may_wait_for_ten_minutes(watched):
    watched.delivers(Lane.PAGER)
    [first] = watched.claims(Lane.CHAT)
    with watched.store.writing() as work:
        work.not_tried(first, after(11), "no room")
    watched.now = after(4)
    assert watched.subjects() == []

    watched.now = after(10, seconds=1)
    assert "chat lanes" in watched.subjects()


def test_a_waiting_incident_without_the_timer_of_its_target_is_found(watched):
    watched.delivers(*Lane)
    watched.does(delete(timers).where(timers.c.key == "INC-1/1/target"))

    [found] = watched.auditor.findings()
    assert found.subject == "timer of INC-1"
    assert found.mend == "ask for it by hand: `/incident escalate INC-1`"


def test_a_page_that_was_not_taken_and_that_nothing_sends_is_found(watched):
    watched.does(update(outbox).where(outbox.c.kind == "PageOnCall").values(state="dropped"))

    assert watched.subjects() == ["page of INC-1"]


def test_where_the_last_level_was_asked_for_or_somebody_is_on_it_no_timer_is_missed(watched):
    watched.delivers(*Lane)
    watched.does(delete(timers).where(timers.c.key == "INC-1/1/target"))
    body = watched.store.incident(1).episode
    with watched.store.reading() as work:
        kept = work.connection.scalar(incidents.select().with_only_columns(incidents.c.body))
    for changed in (
        {"breached_at": after(5).isoformat(), "asked_level": OPENS.paging.highest_level},
        {"acknowledged_at": after(1).isoformat(), "acknowledged_by": "U0ANA"},
    ):
        watched.does(update(incidents).values(body={**kept, "episodes": [{**kept["episodes"][0], **changed}]}))
        assert watched.subjects() == []
    assert body.is_waiting


def test_one_alarm_an_hour_for_each_thing_that_is_wrong_and_nothing_is_sent_outside(watched):
    watched.delivers(*Lane)
    watched.unseen = [Finding("the thread pager-1", False, "it does not come round", "look at the log")]

    assert [watched.auditor.run_once() for _ in range(3)] == [1, 1, 1]
    assert watched.alarms() == ["it does not come round"]
    watched.delivers(Lane.CHAT)
    watched.now = after(61)
    watched.auditor.run_once()
    assert watched.alarms().count("it does not come round") == 2
    assert watched.sent == 0


# --- signs of life ----------------------------------------------------------------------------


def goes_back(store: Store, process: str, **span: float) -> None:
    """A process's sign becomes that much older."""
    with store.writing() as work:
        value = work.connection.scalar(notes.select().with_only_columns(notes.c.value).where(notes.c.name == f"process/{process}"))
        at = datetime.fromisoformat(value["at"]) - timedelta(**span)
        work.connection.execute(
            update(notes).where(notes.c.name == f"process/{process}").values(value={**value, "at": at.isoformat()})
        )


def told(store: Store) -> list[str]:
    return Health(store, lambda: NOON, lambda: "").warnings()


def test_a_worker_that_gives_no_sign_is_named_by_everybody_and_the_work_that_nobody_does(store):
    audits.sign(store.engine, "a:1", ["worker"], [])
    audits.sign(store.engine, "b:2", ["worker"], [])
    audits.sign(store.engine, "c:3", ["web"], [])
    assert told(store) == []

    goes_back(store, "a:1", seconds=65)
    [one] = told(store)
    assert one.startswith("the worker process a:1 has not been seen for 6")
    goes_back(store, "b:2", seconds=90)
    assert told(store)[0].startswith("nobody pages or writes: the last worker process, a:1, was last seen 6")
    assert [one.subject for one in audits.absent(store.engine, MINUTE)] == ["worker"]


def test_a_process_that_was_stopped_is_missed_only_where_no_other_does_its_work(store):
    for process, does in (("a:1", "worker"), ("b:2", "worker"), ("c:3", "web")):
        audits.sign(store.engine, process, [does], [], is_stopped=process != "b:2")

    [missed] = told(store)
    assert re.fullmatch(r"nobody takes alerts in: the last web process, c:3, stopped \d+ s ago", missed)


def test_what_a_worker_finds_wrong_with_itself_is_on_the_health_page_of_the_web(store):
    audits.sign(store.engine, "a:1", ["worker"], [Finding("the thread pager-1", False, "it does not come round")])

    assert told(store) == ["it does not come round"]


def test_those_at_work_are_the_workers_that_were_seen_of_late_and_not_stopped(store):
    audits.sign(store.engine, "a:1", ["web", "worker"], [])
    audits.sign(store.engine, "b:2", ["web"], [])
    audits.sign(store.engine, "c:3", ["worker"], [], is_stopped=True)
    audits.sign(store.engine, "d:4", ["worker"], [])
    goes_back(store, "d:4", seconds=65)

    assert audits.at_work(audits.signs(store.engine), "worker", MINUTE) == ["a:1"]


def test_processes_long_gone_are_forgotten_but_not_the_last_of_its_kind(store):
    for process, does in (("a:1", "worker"), ("b:2", "worker"), ("c:3", "web")):
        audits.sign(store.engine, process, [does], [])
        goes_back(store, process, hours=2)
    audits.sign(store.engine, "d:4", ["worker"], [])

    assert audits.forget(store.engine) == 2
    assert [one.process for one in audits.signs(store.engine)] == ["d:4", "c:3"]


# --- threads and ticks ------------------------------------------------------------------------


def test_a_thread_that_is_at_the_same_round_for_long_is_not_seen():
    go_on, inside = threading.Event(), threading.Event()

    def work() -> int:
        inside.set()
        go_on.wait(10)
        return 0

    thread = Steady("stuck", work, lambda seconds: None)
    assert thread.unseen_seconds() == 0
    thread.start()
    assert inside.wait(10)
    threading.Event().wait(0.2)
    stuck_for = thread.unseen_seconds()
    thread.stop()
    go_on.set()
    thread.join()

    assert 0.2 <= stuck_for < 9


def test_a_tick_that_does_not_come_to_its_end_is_late():
    go_on, inside = threading.Event(), threading.Event()

    def stuck() -> int:
        inside.set()
        go_on.wait(10)
        return 0

    scheduler = Scheduler([Tick("stuck", 0.1, stuck), Tick("hourly", 3600, lambda: 0)])
    assert scheduler.late() == {}
    scheduler.start()
    assert inside.wait(10)
    threading.Event().wait(0.3)
    late = scheduler.late()
    scheduler.stop()
    go_on.set()

    assert list(late) == ["stuck"]
    assert late["stuck"] > 0.2


# --- the heartbeat ----------------------------------------------------------------------------


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    """Somebody who listens for heartbeats, and what was asked for; the path is the status of the answer."""
    asked = list[str]()

    class Listens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(int(self.path.strip("/")))
            self.send_header("Location", "/200")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Not to be read."""

    server = HTTPServer(("127.0.0.1", 0), Listens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_heartbeat_is_taken_or_it_is_said_why_not_and_no_redirect_is_followed(outside):
    address, asked = outside

    assert Heartbeat(SecretStr(f"{address}/200")).send() == ""
    assert Heartbeat(SecretStr(f"{address}/404")).send() == "the heartbeat was not taken: the answer was 404"
    assert Heartbeat(SecretStr(f"{address}/302")).send() == "the heartbeat was not taken: the answer was 302"
    assert asked == ["/200", "/404", "/302"]


def test_no_error_of_a_heartbeat_shows_its_address():
    said = Heartbeat(SecretStr("http://127.0.0.1:1/c4n4ry")).send()

    assert said == "the heartbeat was not taken: URLError"


def test_a_heartbeat_that_was_not_taken_is_told_inside(store):
    watched = Watched(store)
    auditor = Auditor(store=store, door=watched.door, every=MINUTE, unseen=lambda seconds: (), send=lambda: "it was not taken")

    assert auditor.run_once() == 0
    assert [one.text for one in auditor.found] == ["it was not taken"]
    assert watched.alarms() == []
