"""`changes` and `findings` on the command line: listed, narrowed, for machines, and bad input in one line."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.alerts.alert import ChangeState, FindingState, Severity
from bot.clock import wall_clock
from bot.incidents.decision import Decision
from bot.store import Store
from tests.store.test_logs import CHANGE, FINDING


@pytest.fixture
def told(bot):
    """A bot that was told of four changes and of three findings."""
    now = wall_clock().replace(microsecond=0)
    store = Store.at(f"sqlite:///{bot.folder / 'firstfive.db'}")
    hour, day = now - timedelta(hours=1), now - timedelta(days=2)
    changes = [
        replace(CHANGE, identity="1", at=hour, first_at=hour),
        replace(
            CHANGE, identity="2", at=now, first_at=now, service="search", state=ChangeState.FAILED, title="Deploy \x1b[31msearch"
        ),
        replace(CHANGE, identity="3", at=day, first_at=day, version="old"),
        replace(CHANGE, identity="4", at=now, first_at=now, service=None, title="a private change", by=None, url=None, ref=None),
    ]
    open_ = replace(FINDING, created_at=day, changed_at=day)
    findings = [
        open_,
        replace(open_, fingerprint="e" * 32, service="search", severity=Severity.LOW, is_created_at_known=False, identifiers=()),
        replace(open_, fingerprint="d" * 32, state=FindingState.FIXED, fixed_at=hour, fixed_in=""),
    ]
    for change in changes:
        with store.writing() as work:
            work.save(Decision(change=change), now)
    for finding in findings:
        with store.writing() as work:
            work.save(Decision(finding=finding), now)
    store.close()
    return bot


def test_changes_are_listed_the_newest_first(told):
    lines = told.here("changes").out.splitlines()

    assert len(lines) == 3
    assert lines[-1].endswith("deployment, started  checkout  production  a1b2c3  Deploy checkout  by ana  https://example.com/7")
    assert "\x1b" not in "".join(lines)
    assert any("no service" in line and line.endswith("a private change") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--within", "7d"), 4), (("--service", "search"), 1), (("--service", "checkout", "--within", "3d"), 2),
        (("--state", "failed"), 1), (("--state", "canceled"), 0), (("--service", "nowhere"), 0),
    ],
)  # fmt: skip
def test_changes_are_narrowed(told, arguments, count):
    assert len(told.here("changes", "--json", *arguments).json()) == count


def test_a_service_is_asked_for_by_any_of_its_names(told):
    (told.folder / "policy.yaml").write_text("services:\n  checkout:\n    aliases: [cart]\n", encoding="utf-8")

    assert [one["service"] for one in told.here("changes", "--json", "--service", "Cart").json()] == ["checkout"]


def test_what_is_left_out_is_counted(told):
    assert told.here("changes", "--limit", "1").out.splitlines()[-1] == "… and 2 more; --limit shows them."
    assert told.here("changes", "--state", "canceled").out == "No change was told of; --within looks further back.\n"


def test_of_a_private_one_not_even_its_sender_s_name_for_it_is_listed(told):
    identities = {one["title"]: one["identity"] for one in told.here("changes", "--json").json()}

    assert identities["a private change"] == ""
    assert identities["Deploy checkout"] == "1"


def test_findings_are_listed_with_their_clocks(told):
    first, second = told.here("findings").out.splitlines()

    assert "critical  open for 2 days  checkout  CVE-2026-1, GHSA-1  liba, fixed in 1.2.4" in first + second
    assert ("heard of " in first) != ("heard of " in second)
    assert "fixed 20" in told.here("findings", "--state", "fixed").out
    assert told.here("findings", "--state", "dismissed").out == "No finding is dismissed.\n"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--state", "all"), 3),
        (("--severity", "low"), 1),
        (("--severity", "low", "--severity", "critical"), 2),
        (("--service", "search"), 1),
    ],
)
def test_findings_are_narrowed(told, arguments, count):
    found = told.here("findings", "--json", *arguments).json()

    assert len(found) == count
    assert {"fingerprint", "state", "severity", "created_at", "fixed_at", "identifiers", "fixed_before"} <= set(found[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("changes", "--within", "soon"), "--within: expected a length of time like 90s, 5m, 2h or 1d, not 'soon'"),
        (("changes", "--within", "0"), "--within: from 1s to ten years back, such as 24h"),
        (("changes", "--limit", "0"), "--limit: from 1 to 10000"),
        (("findings", "--limit", "-1"), "--limit: from 1 to 10000"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(told, arguments, said):
    assert told.here(*arguments).refused() == said
