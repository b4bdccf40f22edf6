"""The change log and the findings log, on both databases."""

from dataclasses import replace
from datetime import timedelta

from bot.alerts.alert import ChangeKind, ChangeState, FindingState, Severity
from bot.incidents.changes import ChangeRecord, FindingRecord
from bot.incidents.decision import Decision
from bot.store import logs
from tests.builders import NOON, after

CHANGE = ChangeRecord(
    "github", "acme/checkout/deployment/7", ChangeKind.DEPLOYMENT, ChangeState.STARTED, "Deploy checkout", "checkout",
    "production", "a1b2c3", "main", None, "ana", "https://example.com/7", "", NOON, NOON,
)  # fmt: skip
FINDING = FindingRecord(
    "f" * 32, "github", FindingState.OPEN, Severity.CRITICAL, "A library runs what it reads", "checkout", "GHSA-1",
    ("CVE-2026-1", "GHSA-1"), "liba", "1.2.4", None, "", NOON, created_at=NOON, is_created_at_known=True,
)  # fmt: skip


def save(store, **decided):
    with store.writing() as work:
        work.save(Decision(**decided), NOON)
        work.write()


def test_a_change_is_one_row_through_its_states(store):
    done = replace(CHANGE, state=ChangeState.SUCCEEDED, at=after(90), first_at=after(90))
    save(store, change=CHANGE)
    save(store, change=done)

    assert store.changes_before("checkout", after(5)) == (replace(done, first_at=NOON),)


def test_a_change_s_earlier_state_that_comes_late_moves_only_its_start(store):
    done = replace(CHANGE, state=ChangeState.SUCCEEDED, at=after(90), first_at=after(90))
    save(store, change=done)
    save(store, change=CHANGE)

    assert store.changes_before("checkout", after(5)) == (replace(done, first_at=NOON),)


def test_what_is_done_once_more_is_another_change_and_both_are_shown(store):
    first = replace(CHANGE, state=ChangeState.SUCCEEDED)
    again, later = (replace(first, state=state, at=after(at), first_at=after(at)) for state, at in (
        (ChangeState.STARTED, 90), (ChangeState.SUCCEEDED, 92)))  # fmt: skip
    save(store, change=first)
    save(store, change=again)
    save(store, change=later)
    third = replace(later, at=after(180), first_at=after(180))
    save(store, change=third)

    known = store.changes_before("checkout", after(181))

    assert [(one.first_at, one.at) for one in known] == [
        (after(180), after(180)), (after(90), after(92)), (NOON, NOON),
    ]  # fmt: skip
    assert len({one.identity for one in known}) == 3


def test_of_a_private_change_not_even_its_identity_is_kept(store):
    private = replace(CHANGE, identity="breach-of-initech").without_words()
    save(store, change=private)
    save(store, change=replace(CHANGE, identity="breach-of-initech", state=ChangeState.SUCCEEDED, at=after(3)))
    (kept,) = store.changes_before("checkout", after(5))

    assert (kept.state, kept.title, kept.sha) == (ChangeState.SUCCEEDED, "a private change", None)
    assert "initech" not in str(kept)


def test_a_change_that_becomes_private_loses_what_was_kept_of_it(store):
    save(store, change=replace(CHANGE, identity="breach-of-initech"))
    save(store, change=replace(CHANGE, identity="breach-of-initech", at=after(3)).without_words())

    (kept,) = store.changes_before("checkout", after(5))
    assert (kept.title, "initech" in str(kept)) == ("a private change", False)


def test_however_many_others_there_are_they_push_out_none_of_its_own(store):
    save(store, change=replace(CHANGE, identity="own", at=after(-300), first_at=after(-300)))
    for number in range(logs.MOST_READ + 2):
        at = after(seconds=-number)
        save(store, change=replace(CHANGE, identity=f"{number}", service=("payments", None)[number % 2], at=at, first_at=at))

    newest = [f"{number}" for number in range(logs.MOST_READ)]
    assert [one.identity for one in store.changes_before("checkout", NOON)] == [*newest, "own"]
    assert [one.identity for one in store.changes_before(None, NOON)] == newest


def test_what_may_have_to_be_shown_is_its_own_of_a_day_and_all_others_of_an_hour(store):
    for service in ("checkout", "payments", None):
        for hours in (-40, -20, -3, -0.5, 0.5, 3):
            at = NOON + timedelta(hours=hours)
            save(store, change=replace(CHANGE, identity=f"{service} {hours}", service=service, at=at, first_at=at))

    found = [one.identity for one in store.changes_before("checkout", NOON)]

    near = [f"{service} {hours}" for hours in (0.5, -0.5) for service in ("checkout", "payments", None)]
    assert found[-2:] == ["checkout -3", "checkout -20"]
    assert sorted(found[:-2]) == sorted(near)


def test_what_waited_for_days_is_found_by_when_it_was_done(store):
    waiting, done = (replace(CHANGE, state=state, at=NOON + timedelta(days=days), first_at=NOON + timedelta(days=days))
                     for state, days in ((ChangeState.STARTED, 0), (ChangeState.SUCCEEDED, 2)))  # fmt: skip
    save(store, change=waiting)
    save(store, change=done)
    moved = replace(done, first_at=NOON)

    assert store.changes_before("checkout", done.at + timedelta(minutes=5)) == (moved,)
    assert store.changes_since(done.at - timedelta(hours=1), "checkout", 9) == ((moved,), 1)


def test_what_has_moved_long_since_pushes_out_nothing_of_before_the_start(store):
    for number in range(logs.MOST_READ):
        old = NOON - timedelta(days=9)
        moved = NOON + timedelta(days=2, minutes=number)
        save(store, change=replace(CHANGE, identity=f"old {number}", state=ChangeState.STARTED, at=old, first_at=old))
        save(store, change=replace(CHANGE, identity=f"old {number}", state=ChangeState.CANCELED, at=moved, first_at=moved))
    save(store, change=replace(CHANGE, identity="mine", at=after(-5), first_at=after(-5)))

    assert [one.identity for one in store.changes_before("checkout", NOON)] == ["mine"]


def test_whether_anybody_tells_of_changes_is_known(store):
    assert not store.is_told_of_changes(NOON)
    save(store, change=CHANGE)

    assert store.is_told_of_changes(NOON)
    assert not store.is_told_of_changes(after(-1))


def test_a_finding_keeps_its_clocks(store):
    fixed = replace(FINDING, state=FindingState.FIXED, changed_at=after(60), created_at=after(60), fixed_at=after(60))
    save(store, finding=FINDING)
    assert store.open_findings() == (FINDING,)
    save(store, finding=replace(fixed, is_created_at_known=False))

    assert store.open_findings() == ()
    back = replace(FINDING, changed_at=after(120))
    save(store, finding=back)
    clock = (NOON, after(60))
    assert store.open_findings() == (replace(back, reopened_at=after(120), fixed_before=(clock,)),)

    save(store, finding=replace(fixed, changed_at=after(180), fixed_at=after(170)))
    save(store, finding=replace(FINDING, changed_at=after(200)))
    (twice,) = store.open_findings()
    assert (twice.reopened_at, twice.fixed_before) == (after(200), (clock, (after(120), after(170))))


def test_figures_are_made_of_critical_findings_and_those_of_which_nobody_says_how_severe_they_are(store):
    assert store.counted_findings() is None
    save(store, finding=replace(FINDING, severity=Severity.HIGH))
    assert store.counted_findings() == ()

    other, odd = replace(FINDING, fingerprint="a" * 32), replace(FINDING, fingerprint="b" * 32, severity=Severity.UNKNOWN)
    save(store, finding=odd)
    save(store, finding=replace(other, state=FindingState.FIXED, fixed_at=after(60)))
    assert [one.fingerprint[0] for one in store.counted_findings()] == ["a", "b"]
