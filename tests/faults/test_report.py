"""What `make faults` writes says what was tried, and hides nothing that went wrong."""

import json
import subprocess
from dataclasses import replace
from datetime import date

import pytest

from tests.faults import runs
from tests.faults.ledger import Ledger, code_here, commit_here
from tests.faults.matrix import Plan
from tests.faults.oracle import Wrong
from tests.faults.report import page
from tests.faults.rig import Kill, rigged
from tests.faults.runs import Outcome
from tests.faults.trials import Trial

TODAY = date(2026, 6, 10)


def killed(*wrong: Wrong, hits: int = 1) -> Outcome:
    return Outcome(Plan("killed at put: before the call", "sqlite", "serve", 3, (Kill("put: before the call"),)), wrong, hits, 1.0)


def tried(fault: str, *wrong: Wrong) -> Outcome:
    return Outcome(Trial(fault, "postgresql", 5, lambda stage: ()), wrong, 1, 1.0)


def test_each_part_has_a_table_and_parts_that_were_not_tried_have_none():
    said = page([killed(), tried("B2 500 to put"), tried("B2 500 to post"), tried("E4 forty at once")], TODAY, 9, ["abc1234"])

    assert "**4 runs** of commit abc1234, of 9 that" in said
    assert "| killed at put: before the call | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in said
    assert "| B2 500 | 2 | 2 | 0 | 0 | 0 | 0 | 0 |" in said
    assert "## Storms and replicas" in said
    assert "## The machine" not in said
    assert "What went wrong" not in said


@pytest.mark.parametrize(("kind", "column"), [("lost", 0), ("page", 1), ("channel", 2), ("message", 3), ("late", 4)])
def test_what_went_wrong_is_counted_and_named_with_its_seed(kind, column):
    said = page([killed(Wrong(kind, "a thing")), tried("E4 forty at once", Wrong(kind, "another"))], TODAY, 2, ["abc1234"])

    counts = ["1" if index == column else "0" for index in range(5)]
    assert f"| E4 forty at once | 1 | 1 | {' | '.join(counts)} |" in said
    assert f"{kind}: another" in said
    assert "seed 5" in said
    assert "seed 3 (put: before the call #1)" in said


def test_what_was_not_tried_and_what_is_measured_elsewhere_is_told():
    said = " ".join(page([killed()], TODAY, 2, ["abc1234"]).split())

    for words in (
        "a standby", "the rules of a time zone", "read-only file system", "`make bench` measures E6, and D7's soak",
        "no chain of hashes",
    ):  # fmt: skip
        assert words in said


def test_a_fault_that_did_not_come_about_is_told_apart():
    said = page([killed(), killed(hits=0)], TODAY, 2, ["abc1234"])

    assert "in 1 of which the fault came about" in said
    assert "Of 2 kills and stops that were planned, **1 were reached**" in said
    assert "| killed at put: before the call | 2 | 1 | 0" in said
    assert "- killed at put: before the call · sqlite · serve · seed 3 (put: before the call #1): 0 of 1 reached" in said


def test_a_place_that_no_run_reached_is_no_kill():
    said = page([killed(hits=0)], TODAY, 2, ["abc1234"])

    assert "| killed at put: before the call | 1 | **not reached** | 0" in said


def test_of_a_double_kill_the_one_that_was_not_reached_is_told():
    double = replace(killed(), plan=replace(killed().plan, kills=(Kill("put: before the call"),) * 2))

    assert "1 of 2 reached" in page([double], TODAY, 2, ["abc1234"])
    assert "Not reached" not in page([replace(double, hits=2)], TODAY, 2, ["abc1234"])


def test_a_double_kill_counts_where_both_came_about():
    double = replace(killed(), plan=replace(killed().plan, fault="killed twice at put", kills=(Kill("put: before the call"),) * 2))

    said = page([double, replace(double, hits=2), replace(double, hits=2)], TODAY, 2, ["abc1234"])

    assert "| killed twice at put | 3 | 2 | 0" in said
    assert "in 2 of which the fault came about" in said


def test_where_a_bad_run_is_kept_is_told():
    said = page([replace(killed(Wrong("lost", "a thing")), kept=".cache/faults/a-run")], TODAY, 2, ["abc1234"])

    assert "lost: a thing (kept in .cache/faults/a-run)" in said


def test_a_bad_run_leaves_its_logs_and_ledgers_behind(tmp_path):
    folder, plan = tmp_path / "run", killed().plan
    folder.mkdir()
    with rigged(f"sqlite:///{folder / 'faults.db'}", folder) as rig:
        rig.runs(())

    kept = tmp_path / runs.kept(plan, [Wrong("lost", "a thing")], folder, tmp_path)

    assert kept.parent == tmp_path / ".cache" / "faults"
    assert {one.name for one in kept.iterdir()} >= {"bot.log", "neighbours.json", "record.json", "faults.db", "wrong.txt"}
    assert json.loads((kept / "neighbours.json").read_text(encoding="utf-8")).keys() >= {"channels", "calls", "sent", "webhooks"}
    assert (kept / "wrong.txt").read_text(encoding="utf-8") == "lost: a thing\n"
    assert runs.kept(plan, [], folder, tmp_path) == ""


def test_what_was_run_is_not_run_again_and_counts_as_it_was(tmp_path):
    plans = [killed().plan, tried("E4 forty at once").plan, tried("B2 500 to put").plan]
    first = Ledger(tmp_path / "ledger", "abc", "1234567")
    assert first.rest(plans) == plans
    first.keep(killed(Wrong("lost", "a thing")))
    first.keep(tried("E4 forty at once"))

    again = Ledger(tmp_path / "ledger", "abc", "1234567")

    assert again.rest(plans) == plans[2:]
    assert [(one.plan, one.wrong, one.hits) for one in again.outcomes(plans)] == [
        (plans[0], (Wrong("lost", "a thing"),), 1),
        (plans[1], (), 1),
    ]


def test_runs_of_other_code_do_not_count(tmp_path):
    Ledger(tmp_path / "ledger", "abc", "1234567")

    with pytest.raises(SystemExit, match="other code"):
        Ledger(tmp_path / "ledger", "abd", "1234567")


def test_a_commit_that_changes_nothing_of_what_runs_is_the_same_code_and_is_named(tmp_path):
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    git("init")
    for name in ("bot/a.py", "sandbox/a.py", "migrations/a.py", "policy.yaml", "docs/a.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    git("add", "-A")
    git("commit", "-m", "first")
    first, first_commit = code_here(tmp_path), commit_here(tmp_path)
    (tmp_path / "docs/a.md").write_text("2")
    assert code_here(tmp_path) == first
    git("commit", "-am", "a document")
    assert code_here(tmp_path) == first
    assert commit_here(tmp_path) != first_commit
    (tmp_path / "bot/a.py").write_text("2")
    dirty = code_here(tmp_path)
    assert dirty.startswith(f"{first}-dirty-")
    assert commit_here(tmp_path).endswith("-dirty")
    (tmp_path / "bot/a.py").write_text("3")
    assert code_here(tmp_path) not in (first, dirty)
    (tmp_path / "bot/a.py").write_text("2")
    assert code_here(tmp_path) == dirty
    (tmp_path / "bot/new.py").write_text("2")
    with_new = code_here(tmp_path)
    (tmp_path / "bot/new.py").write_text("3")
    assert len({first, dirty, with_new, code_here(tmp_path)}) == 4
    (tmp_path / "bot/new.py").unlink()
    git("commit", "-am", "the bot")
    assert code_here(tmp_path) not in (first, dirty)
    assert "dirty" not in code_here(tmp_path)

    ledger = Ledger(tmp_path / "ledger", "abc", "1234567")
    ledger.keep(killed())
    later = Ledger(tmp_path / "ledger", "abc", "89abcde")
    later.keep(tried("E4 forty at once"))
    assert later.commits() == ["1234567", "89abcde"]
    assert "commits 1234567, 89abcde, which are the same" in page([killed()], TODAY, 9, later.commits())
