"""The judge of a run can say no: one that went well is judged again, with one thing made wrong at a time."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from bot.store.database import writing
from bot.store.tables import entries, handled, inbox
from sandbox.misbehaviour import RESET, Call
from sandbox.slack.outgoing import Sent
from tests.faults import oracle, story
from tests.faults.rig import Outage, Rig, rigged
from tests.faults.runs import COMMANDS

OPENED = datetime(2026, 6, 10, 12, 0, 0, 400_000, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return OPENED + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[Rig]:
    """A whole life that nobody disturbed, with everything still there."""
    folder = tmp_path_factory.mktemp("told")
    with rigged(f"sqlite:///{folder / 'faults.db'}", folder) as rig:
        rig.runs(COMMANDS["serve"])
        story.told(rig)
        yield rig


def test_a_run_that_nobody_disturbed_is_well(told):
    assert oracle.judged(told) == []
    assert len(told.read) > 10


@pytest.mark.parametrize(
    ("does", "undoes", "said"),
    [
        ("UPDATE silences SET is_in_force = false", "UPDATE silences SET is_in_force = true", "nothing is silenced"),
        (
            "UPDATE entries SET fields = replace(fields, 'rolling back', 'x') WHERE type = 'status_update'",
            "UPDATE entries SET fields = replace(fields, '; x', '; rolling back') WHERE type = 'status_update'",
            "status_update: Orders fail; rolling back",
        ),
        (
            "UPDATE entries SET type = 'nothing' WHERE type = 'role'", "UPDATE entries SET type = 'role' WHERE type = 'nothing'",
            "role: commander",
        ),
    ],
)  # fmt: skip
def test_what_somebody_was_answered_for_and_is_not_there_is_seen(told, does, undoes, said):
    for statement in (does, undoes):
        with writing(told.store.engine) as connection:
            connection.execute(text(statement))
        wrong = [one.what for one in oracle.judged(told)]
        assert (said in wrong) == (statement == does), wrong


# --- I1, what PagerDuty and Slack were answered for ------------------------------------------------


@pytest.mark.parametrize(
    ("table", "where", "said"),
    [
        (inbox, inbox.c.source == "pagerduty", "a webhook of PagerDuty's that was answered for is not in the inbox"),
        (handled, handled.c.key.like("slack:%"), "“/incident ack INC-1” was answered by the bot, and is not in the record"),
    ],
    ids=["webhooks", "commands"],
)
def test_what_a_neighbour_was_answered_for_and_is_not_there_is_seen(told, table, where, said):
    with told.store.engine.connect() as connection:
        before = [dict(row) for row in connection.execute(table.select().where(where)).mappings()]
    assert before
    try:
        with writing(told.store.engine) as connection:
            connection.execute(table.delete().where(where))
        wrong = [one.what for one in oracle.judged(told)]
    finally:
        with writing(told.store.engine) as connection:
            connection.execute(table.insert(), before)

    assert said in wrong, wrong


AT = datetime(2026, 6, 10, 12, tzinfo=UTC)


def sent(kind: str, key: str, text: str, status: int = 200, said: str = "") -> Sent:
    return Sent(kind, key, text, AT, AT, status, said)


@pytest.mark.parametrize(
    ("tries", "record", "is_lost"),
    [
        ([sent("command", "t1", "ack")], {"slack:t1"}, False),
        ([sent("command", "t1", "ack")], set(), True),
        ([sent("command", "t1", "ack", status=0)], set(), False),
        ([sent("command", "t1", "ack", said="Not saved. The database is away")], set(), False),
        ([sent("command", "t1", "ack", status=0), sent("command", "t2", "ack", said="It was acknowledged")], {"slack:t1"}, False),
        ([sent("command", "t2", "ack"), sent("command", "t1", "ack")], {"slack:t1"}, True),
        ([sent("command", "t1", "list")], set(), False),
        ([sent("view_submission", "V1", "")], set(), True),
        ([sent("view_submission", "V1", "", said='{"response_action": "errors"}')], set(), False),
        ([sent("reaction_added", "Ev1", "pushpin")], set(), True),
        ([sent("reaction_added", "Ev1", "pushpin")], {"slack:Ev1"}, False),
        ([sent("reaction_added", "Ev1", "eyes"), sent("app_mention", "Ev2", "help")], set(), False),
    ],
)  # fmt: skip
def test_what_slack_was_answered_for_is_looked_for_by_what_makes_it_once(tries, record, is_lost):
    assert bool(list(oracle.saved(tries, {"ack"}, record))) == is_lost


# --- I10, on the database -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("UPDATE entries SET type = 'nack' WHERE type = 'ack'", "altered: ack"),
        ("DELETE FROM entries WHERE type = 'note'", "is gone: note"),
        (
            "INSERT INTO entries (id, incident, at, type, by, fields, recorded_at) "
            "SELECT 9999, incident, at, type, by, fields, recorded_at FROM entries WHERE type = 'note'",
            "is there 2 times",
        ),
        ("UPDATE entries SET recorded_at = '2020-01-01 00:00:00.000000' WHERE type = 'ack_breached'", "ack_breached fired"),
    ],
    ids=["altered", "gone", "twice", "breached too early"],
)
def test_a_timeline_that_was_tampered_with_is_seen(told, does, said):
    before = told.entries()
    try:
        with writing(told.store.engine) as connection:
            connection.execute(text(does))
        wrong = [one.what for one in oracle.judged(told)]
    finally:
        with writing(told.store.engine) as connection:
            connection.execute(entries.delete())
            connection.execute(entries.insert(), list(before.values()))

    assert any(said in one for one in wrong), wrong


# --- I6 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phoned(tmp_path_factory) -> Iterator[Rig]:
    """The same life, acknowledged on the phone."""
    folder = tmp_path_factory.mktemp("phoned")
    with rigged(f"sqlite:///{folder / 'faults.db'}", folder) as rig:
        rig.runs(COMMANDS["serve"])
        story.told(rig, "pagerduty")
        yield rig


def test_a_run_that_was_acknowledged_on_the_phone_is_well(phoned):
    assert oracle.judged(phoned) == []


def later(moments: tuple[datetime, datetime]) -> tuple[datetime, datetime]:
    return moments[0] + timedelta(seconds=2), moments[1] + timedelta(seconds=2)


def test_an_acknowledgement_on_the_phone_that_is_kept_with_another_moment_is_seen(phoned):
    was, log = phoned.picked_up, story.pages(phoned)[0].log
    [entry] = [one for one in log if one["type"] == "acknowledge_log_entry"]
    at = entry["created_at"]
    try:
        phoned.picked_up = later(was)
        entry["created_at"] = phoned.picked_up[0].isoformat(timespec="seconds")
        wrong = [one.what for one in oracle.judged(phoned)]
    finally:
        phoned.picked_up, entry["created_at"] = was, at

    assert any("and somebody acted between" in one for one in wrong), wrong


def test_an_acknowledgement_on_the_phone_that_nobody_hears_of_in_slack_is_seen(phoned):
    [channel] = [one for one in phoned.sandbox.space.channels.values() if one.name == story.channel_of(phoned)]
    was = list(channel.messages)
    try:
        channel.messages[:] = [one for one in was if "acknowledged *INC-1*" not in one["text"]]
        wrong = [one.what for one in oracle.judged(phoned)]
    finally:
        channel.messages[:] = was

    assert "nobody heard in Slack of the acknowledgement" in wrong


def test_an_acknowledgement_in_slack_that_is_kept_with_another_moment_is_seen(told):
    was = list(told.sandbox.outgoing.sent)
    try:
        told.sandbox.outgoing.sent.clear()
        told.sandbox.outgoing.sent.extend(
            replace(one, began=one.began - timedelta(seconds=2), ended=one.ended - timedelta(seconds=2)) for one in was
        )
        wrong = [one.what for one in oracle.judged(told)]
    finally:
        told.sandbox.outgoing.sent.clear()
        told.sandbox.outgoing.sent.extend(was)

    assert any("and somebody acted between" in one for one in wrong), wrong


@pytest.mark.parametrize(("at", "is_wrong"), [(-0.1, True), (0, False), (0.7, False), (0.8, True)])
def test_the_first_acknowledgement_is_kept_as_it_was(at, is_wrong):
    assert bool(list(oracle.exact(after(at), after(0), after(0.7)))) == is_wrong


@pytest.mark.parametrize(
    ("heard", "outages", "is_late"),
    [(59, (), False), (61, (), True), (110, (Outage(after(1), after(50)),), False), (111, (Outage(after(1), after(50)),), True)],
)
def test_an_acknowledgement_that_the_other_side_hears_of_late_is_seen(heard, outages, is_late):
    assert bool(list(oracle.known_soon("PagerDuty", after(0), after(heard), outages))) == is_late


# --- I7 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fired", "outages", "said"),
    [
        ([3.0], [], []),
        ([12.9], [], []),
        ([2.9], [], ["it fired 0.1 s too early"]),
        ([13.1], [], ["it fired 10.1 s after it was due"]),
        ([], [], ["it fired 0 times"]),
        ([3.0, 3.1], [], ["it fired 2 times"]),
        ([16.0], [(2.0, 7.0)], []),
        ([17.1], [(2.0, 7.0)], ["it fired 14.1 s after it was due"]),
        ([13.1], [(0.5, 2.0)], ["it fired 10.1 s after it was due"]),
        ([13.1], [(13.2, 14.0)], ["it fired 10.1 s after it was due"]),
        ([20.0], [(2.0, None)], []),
    ],
)  # fmt: skip
def test_what_falls_due_fires_once_in_time_and_is_late_only_by_an_outage(fired, outages, said):
    away = [Outage(after(began), None if ended is None else after(ended)) for began, ended in outages]

    assert [one.what for one in oracle.fired_once("it", after(3), [after(one) for one in fired], away)] == said


@dataclass
class Doctored:
    """What the judges of time read of a rig."""

    lines: list[tuple[str, float]]
    asked: list[float]
    taken: float = 0.1
    outages: tuple[Outage, ...] = ()
    wrong: object = None
    said: tuple[tuple[str, float], ...] = ()
    slack_wrong: object = None

    @property
    def rig(self) -> SimpleNamespace:
        log = [{"type": "escalate_log_entry", "created_at": after(one).isoformat(timespec="seconds")} for one in self.asked]
        page = SimpleNamespace(service=SimpleNamespace(name="checkout"), log=log, created_at=after(self.taken))
        rows = {id_: {"incident": "INC-1", "type": type_, "recorded_at": after(at)} for id_, (type_, at) in enumerate(self.lines)}
        calls = {
            "pagerduty": [Call("pagerduty", "enqueue", {}, 0.0, OPENED, self.wrong)],
            "slack": [Call("slack", "chat.postMessage", {}, 0.0, OPENED, self.slack_wrong)],
        }
        said = [{"text": f"@ana {words} so far", "ts": f"{after(at).timestamp():.6f}"} for words, at in self.said]
        space = SimpleNamespace(channels={"C1": SimpleNamespace(name="inc-1-checkout")})
        return SimpleNamespace(
            entries=lambda: copy.deepcopy(rows), outages=list(self.outages), accepted_at={"checkout-errors": after(0)},
            sandbox=SimpleNamespace(account=SimpleNamespace(incidents=[page]), space=space),
            world=SimpleNamespace(lock=LOCK, calls_of=calls.__getitem__), messages={"inc-1-checkout": said}.__getitem__,
        )  # fmt: skip


class Lock:
    def __enter__(self):
        return self

    def __exit__(self, *given):
        return None


LOCK = Lock()
WELL = [("opened", 0), ("reminder", 1.0), ("ack_breached", 3.0), ("alert_resolved", 5), ("resolve_proposed", 6.0)]


REMINDED, BREACHED, PROPOSED = (oracle.SAID[one] for one in ("reminder", "ack_breached", "resolve_proposed"))


def without(type_: str) -> list[tuple[str, float]]:
    return [one for one in WELL if one[0] != type_]


@pytest.mark.parametrize(
    ("doctored", "said"),
    [
        (Doctored(WELL, [3.1]), None),
        (Doctored(without("opened"), [3.1]), "never opened"),
        (Doctored(without("reminder"), [3.1]), "reminder fired 0 times"),
        (Doctored(without("reminder"), [3.1], outages=(Outage(after(0.5), after(3)),)), None),
        (Doctored([*WELL, ("reminder", 1.2)], [3.1]), "reminder fired 2 times"),
        (Doctored([*without("ack_breached"), ("ack_breached", 2.5)], [3.1]), "0.5 s too early"),
        (Doctored([*without("resolve_proposed"), ("resolve_proposed", 5.5)], [3.1]), "0.5 s too early"),
        (Doctored([*WELL, ("update_overdue", 7)], [3.1]), "two hours later"),
        (Doctored(WELL, [2.0]), "level 2 was asked"),
        (Doctored(WELL, [3.1, 4.0]), "level 3 was asked"),
        (Doctored(WELL, [3.1, 6.1]), None),
        (Doctored(WELL, [15.0]), "level 2 was asked 11.6 s after"),
        (Doctored(WELL, [15.0], outages=(Outage(after(2), after(6)),)), None),
        (Doctored(WELL, [15.0], wrong=RESET), None),
        (Doctored(WELL, [3.1, 17.0]), None),
        (Doctored(WELL, [3.1, 18.0]), "level 3 was asked 11.0 s after it was due"),
        (Doctored(WELL, [3.1, 18.0], outages=(Outage(after(4), after(9)),)), None),
        (Doctored(WELL, [3.1, 18.0], wrong=RESET), None),
        (Doctored(WELL, [3.1], said=((REMINDED, 1.1), (BREACHED, 3.1), (BREACHED, 30), (PROPOSED, 6.1))), None),
        (Doctored(WELL, [3.1], said=((REMINDED, 0.9),)), "Slack got the reminder 0.1 s too early"),
        (Doctored(WELL, [3.1], said=((REMINDED, 11.1),)), "Slack got the reminder 10.1 s after it was due"),
        (Doctored(WELL, [3.1], said=((REMINDED, 11.1),), outages=(Outage(after(0.5), after(2)),)), None),
        (Doctored(WELL, [3.1], said=((REMINDED, 11.1),), slack_wrong=RESET), None),
        (Doctored(WELL, [3.1], said=(("before it", 10.1), (REMINDED, 11.1))), None),
        (Doctored(WELL, [3.1], said=(("before it", 0.9), (REMINDED, 11.1), ("after it", 11.2))), "10.1 s after it was due"),
        (Doctored(WELL, [3.1], said=((BREACHED, 13.1),)), "Slack got the ack_breached 10.1 s after it was due"),
        (Doctored(WELL, [3.1], said=((PROPOSED, 16.1),)), "Slack got the resolve_proposed 10.1 s after it was due"),
    ],
)  # fmt: skip
def test_a_level_a_reminder_or_a_target_at_the_wrong_time_is_seen(doctored, said):
    wrong = [one.what for one in oracle.timing(doctored.rig)]

    assert (said is None and not wrong) or (said is not None and any(said in one for one in wrong)), wrong


# --- I8 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "outages", "wrong", "said"),
    [
        (4.9, (), None, []),
        (5.1, (), None, ["the page was taken 5.1 s after the alert"]),
        (11.9, (Outage(after(1), after(2)),), None, []),
        (12.1, (Outage(after(1), after(2)),), None, ["the page was taken 12.1 s after the alert"]),
        (30.0, (), RESET, []),
        (-1.0, (), None, []),
    ],
)
def test_a_page_that_comes_late_is_seen(taken, outages, wrong, said):
    doctored = Doctored(WELL, [3.1], taken, outages, wrong)

    assert [one.what for one in oracle.paged_soon(doctored.rig)] == said
