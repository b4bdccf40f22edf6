"""The change log and the findings log: what is remembered of a change and a finding, and what is shown before a start."""

from dataclasses import replace

import pytest

from bot.alerts.alert import Change, ChangeKind, ChangeState, FindingState, SecurityFinding, Severity, Status
from bot.incidents.changes import MOST, before_the_start, change_of, finding_of
from tests.builders import NOON, after, alert

DEPLOYED = Change(identity="deployment/7", kind=ChangeKind.DEPLOYMENT, state=ChangeState.SUCCEEDED, sha="a1b2c3", by="ana")


def deployed(minutes: float, service: str | None = "checkout", identity: str = "7"):
    one = alert(status=Status.INFO, started_at=after(minutes), change=replace(DEPLOYED, identity=identity))
    return change_of(one, service, after(24 * 60))


def found(state: FindingState, minutes: float = 0, **changes):
    finding = SecurityFinding(state=state, **changes)
    one = alert(source="github", severity=Severity.CRITICAL, finding=finding, started_at=NOON)
    return finding_of(one, "f" * 32, "checkout", after(minutes))


def test_an_alert_that_tells_of_neither_leaves_nothing():
    assert change_of(alert(), "checkout", NOON) is None
    assert finding_of(alert(), "f", "checkout", NOON) is None


def test_a_change_keeps_what_was_changed_by_whom_and_when():
    record = deployed(-5)

    assert (record.service, record.sha, record.by, record.first_at) == ("checkout", "a1b2c3", "ana", after(-5))


def test_a_change_that_lies_ahead_by_its_sender_s_clock_is_from_now():
    one = alert(started_at=after(10), change=DEPLOYED)

    assert change_of(one, None, NOON).at == NOON


@pytest.mark.parametrize(
    ("minutes", "service", "is_shown"),
    [
        (-1, "checkout", True), (-23 * 60, "checkout", True), (-25 * 60, "checkout", False), (1, "checkout", False),
        (-59, "payments", True), (-61, "payments", False), (-59, None, True), (1, "payments", False), (0, "checkout", True),
    ],
)  # fmt: skip
def test_what_is_shown_of_what_came_before_a_start(minutes, service, is_shown):
    shown = before_the_start([deployed(minutes, service)], "checkout", NOON)

    assert bool(shown) is is_shown


def test_its_own_changes_come_first_however_many_others_there_are():
    others = [deployed(-number, "payments", f"p{number}") for number in range(1, 20)]
    mine = [deployed(-600, "checkout", "c1"), deployed(-300, "checkout", "c2")]

    shown = before_the_start([*others, *mine], "checkout", NOON)

    assert [one.identity for one in shown] == ["c2", "c1", "p1", "p2", "p3"]
    assert len(shown) == MOST


def test_a_change_counts_from_when_it_last_moved_however_long_it_waited_for_approval():
    waited = replace(deployed(-5), first_at=after(-48 * 60))

    assert before_the_start([waited, deployed(-60, identity="6")], "checkout", NOON)[0] == waited
    assert waited.moved_by(NOON) == after(-5)


def test_what_was_done_after_the_start_counts_from_when_it_began_and_says_so():
    went_on = replace(deployed(5), first_at=after(-5))

    assert before_the_start([went_on], "checkout", NOON) == (went_on,)
    assert (went_on.moved_by(NOON), went_on.what_by(NOON)) == (after(-5), "deployment, done after the start")
    assert replace(went_on, state=ChangeState.FAILED).what_by(NOON) == "deployment, failed after the start"
    assert replace(went_on, state=ChangeState.STARTED).what_by(NOON) == "deployment, started"


@pytest.mark.parametrize(
    ("began", "moved", "is_shown"),
    [(-9, 2 * 24, False), (-9, 5, True), (-9, 7, False), (-0.1, 48, True)],
    ids=["moved days later", "under way at the start", "moved too late to have been", "began just before"],
)
def test_what_began_long_before_and_moved_long_after_is_not_shown(began, moved, is_shown):
    one = replace(deployed(moved * 60), first_at=after(began * 24 * 60))

    assert before_the_start([one], "checkout", NOON) == ((one,) if is_shown else ())


def test_an_incident_without_a_service_has_no_changes_of_its_own():
    assert [one.service for one in before_the_start([deployed(-90, None), deployed(-5, None)], None, NOON)] == [None]


# --- findings ---------------------------------------------------------------------------------


def test_a_finding_keeps_when_its_sender_found_it():
    record = found(FindingState.OPEN, minutes=9, created_at=after(-60))

    assert (record.created_at, record.is_created_at_known, record.fixed_at) == (after(-60), True, None)


def test_a_finding_whose_sender_does_not_say_when_is_from_when_we_heard_of_it():
    first = found(FindingState.OPEN)
    later = found(FindingState.FIXED, minutes=60).after(first)

    assert (later.created_at, later.is_created_at_known, later.fixed_at) == (NOON, False, after(60))


@pytest.mark.parametrize(("state", "clock"), [(FindingState.FIXED, "fixed_at"), (FindingState.DISMISSED, "dismissed_at")])
def test_one_that_is_over_stays_over_since_then_however_often_it_is_told(state, clock):
    over = found(state, minutes=10).after(found(FindingState.OPEN))

    again = found(state, minutes=20).after(over)

    assert getattr(again, clock) == after(10)


def test_one_that_comes_back_is_open_and_says_since_when():
    over = found(FindingState.FIXED, minutes=10).after(found(FindingState.OPEN))
    back = found(FindingState.OPEN, minutes=20).after(over)

    assert (back.state, back.reopened_at, back.fixed_at, back.created_at) == (FindingState.OPEN, after(20), None, NOON)


def test_older_news_changes_nothing():
    over = found(FindingState.FIXED, minutes=10)

    assert found(FindingState.OPEN, minutes=5).after(over) is over


def test_a_fix_that_was_before_we_heard_of_the_hole_is_a_fix_all_the_same():
    opened = found(FindingState.OPEN, minutes=10, created_at=after(-60))
    one = alert(
        source="github", status=Status.RESOLVED, ended_at=after(5), finding=SecurityFinding(state=FindingState.FIXED), started_at=NOON
    )
    fixed = finding_of(one, "f" * 32, "checkout", after(11)).after(opened)

    assert (fixed.state, fixed.fixed_at, fixed.created_at) == (FindingState.FIXED, after(5), after(-60))


# --- told again, told in private --------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "minutes", "first"),
    [
        (ChangeState.STARTED, 5, 0), (ChangeState.STARTED, 90, 0), (ChangeState.SUCCEEDED, 30, 0), (ChangeState.SUCCEEDED, 90, 90),
        (ChangeState.FAILED, 90, 90), (ChangeState.SUCCEEDED, -90, -90),
    ],
)  # fmt: skip
def test_what_was_done_and_is_told_much_later_is_done_once_more(before, minutes, first):
    known = replace(deployed(0), state=before)

    assert deployed(minutes).after(known).first_at == after(first)


def test_of_what_a_private_route_takes_no_words_are_kept():
    secret = replace(DEPLOYED, ref="embargoed-fix", version="9", description="CVE-2026-1")
    change = change_of(alert(title="Embargoed", url="https://x.example", change=secret), "checkout", NOON, is_private=True)
    hole = SecurityFinding(state=FindingState.OPEN, rule="CVE-2026-1", identifiers=("CVE-2026-1",), package="liba", reason="known")
    finding = finding_of(alert(title="Embargoed", finding=hole), "f" * 32, "checkout", NOON, is_private=True)

    assert not any(word in f"{change} {finding}" for word in ("Embargo", "embargo", "CVE", "liba", "x.example", "known by"))
    assert (change.service, change.sha, finding.state) == ("checkout", None, FindingState.OPEN)


def test_what_was_private_once_stays_so_whoever_tells_more_of_it():
    hole = SecurityFinding(state=FindingState.OPEN, rule="CVE-2026-1", package="liba")
    told = alert(title="Embargoed", finding=hole, change=DEPLOYED)
    private = finding_of(told, "f" * 32, None, NOON, is_private=True), change_of(told, None, NOON, is_private=True)
    later = finding_of(told, "f" * 32, None, after(5)).after(private[0]), change_of(told, None, after(5)).after(private[1])

    assert [one.title for one in later] == ["a private finding", "a private change"]
    assert (later[0].package, later[0].rule, later[1].by) == ("", "", None)
