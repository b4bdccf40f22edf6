"""Documents from the command line: numbers, drafts, runbooks, set-up snippets, the manifest, the digest."""

import json
import re

import pytest
import yaml

from bot.alerts.registry import OURS
from bot.slack.manifest import EVENTS, SCOPES
from sandbox.__main__ import settings_for
from sandbox.serving import running
from sandbox.world import World
from tests.commands.terminal import TOP, Told

FACTS = TOP.parent / "shared" / "facts" / "journal-format.md"


def line(at: str, type_: str, **more: object) -> dict[str, object]:
    return {"at": f"2026-06-09T{at}Z", "type": type_, "incident": "INC-3", **more}


JOURNAL = json.dumps({
    "tz": "Europe/Lisbon", "people": {"ben": "Europe/Lisbon"},
    "events": [
        line("13:00:00", "opened", by="bot", severity="SEV2", service="search", title="Search is slow"),
        line("13:00:02", "page", to="ben", level=1, channel="phone"),
        line("13:05:10", "ack", by="ben"),
        line("13:20:00", "mitigated", by="ben"),
        line("13:30:00", "resolved", by="ben"),
    ],
})  # fmt: skip


def test_a_journal_goes_in_and_its_numbers_come_out(empty):
    assert empty("import", empty.file(JOURNAL)).out == "Added 5 entries to 1 incident; 0 were there already.\n"
    told = empty("metrics", "--week", "2026-W24", "--as-of", "2026-07-01T00:00:00Z", "--json").json()

    assert (told["tz"], told["opened"]) == ("Europe/Lisbon", 1)
    assert {name: told["ack"][name] for name in ("met", "missed", "median_seconds")} == {"met": 0, "missed": 1, "median_seconds": 310}
    assert told["restored"] == [{"incident": "INC-3", "seconds": 1200}]
    assert {one["row"]: one["status"] for one in told["scorecard"]}["deployments a day"] == "no source"


@pytest.mark.skipif(not FACTS.exists(), reason="the page that defines the journal is not beside this checkout")
def test_the_journal_of_the_page_that_defines_it_gives_the_numbers_printed_there(empty):
    example = FACTS.read_text(encoding="utf-8").split("```json\n", 1)[1].split("```", 1)[0]
    assert empty("import", empty.file(example)).code == 0
    told = empty("metrics", "--week", "2026-W16", "--as-of", "2026-06-01T00:00:00Z", "--json").json()

    assert told["ack_episodes"][0] | {"class": "met", "seconds": 200, "by": "ana"} == told["ack_episodes"][0]
    assert (told["ack"]["met"], told["ack"]["missed"], round(told["ack"]["interval"][0], 2), told["ack"]["interval"][1]) == (
        1,
        0,
        0.21,
        1,
    )
    assert told["restored"] == [{"incident": "INC-7", "seconds": 660}]
    assert f"{told['uptime']['ratio'] * 100:.4f}" == "99.8909"
    assert (told["load"]["pages"], told["load"]["interruptions"], told["load"]["by_hours"]["business"]) == (1, 1, 1)
    silent = [
        told["deployments"],
        told["lead_time"],
        told["change_failure"],
        told["vulnerabilities"],
        told["scan_coverage"],
        told["error_rate"],
    ]
    assert {value for one in silent for value in one.values()} == {None}
    assert told["p95_ms"] is None


def test_a_draft_is_written_and_what_people_wrote_in_it_is_kept(bot):
    bot.here("import", bot.file(JOURNAL))
    out = bot.folder / "draft.md"
    assert bot.here("postmortem", "INC-3", "--out", out).out == f"The draft of INC-3 is in {out}.\n"
    out.write_text(out.read_text().replace("TODO", "Ben wrote this. TODO", 1))

    assert bot.here("postmortem", "inc-3", "--out", out).code == 0
    assert "Ben wrote this." in out.read_text()
    assert "Search is slow" in bot.here("postmortem", "3", "--template", "short").out


def test_a_file_that_is_no_draft_is_never_written_over(bot):
    bot.here("import", bot.file(JOURNAL))
    mine = bot.file("my shopping list\n", "list.md")

    assert "is no draft of INC-3" in bot.here("postmortem", "INC-3", "--out", mine).refused()
    assert mine.read_text() == "my shopping list\n"


def test_runbooks_are_listed_and_linted(bot):
    listed = bot.here("runbooks", "--json").json()

    assert len(listed) >= 6
    assert all(one["title"] and one["alerts"] for one in listed)
    assert bot.here("runbooks", "lint").out.endswith(" is well.\n")
    assert len(bot.here("runbooks").out.splitlines()) == len(listed)


def test_what_is_wrong_with_a_runbook_is_named_with_its_line(bot):
    bot.file("---\ntitle: x\nlast_reviewed: never\n---\n# x\n", "bad/disk.md")
    told = bot.here("runbooks", "lint", runbooks_dir="bad")

    assert told.code == 1
    assert "bad/disk.md:3: " in told.out
    assert bot.here("runbooks", "lint", "--json", runbooks_dir="bad").json() == told.out.splitlines()


def test_a_pattern_of_a_runbook_that_may_be_meant_otherwise_is_told_and_nothing_fails(bot):
    text = (TOP / "runbooks/latency.md").read_text(encoding="utf-8")
    bot.file(re.sub(r"(?m)^alerts:.*$", 'alerts: "^Slow"', text), "some/latency.md")
    told = bot.here("runbooks", "lint", runbooks_dir="some")
    (doubt, well) = told.out.splitlines()

    assert told.code == 0
    assert ": alerts: only * and ? are wild in '^Slow'" in doubt
    assert well == "Every runbook in some is well; look whether it means what stands above."
    assert bot.here("runbooks", "lint", "--json", runbooks_dir="some").json() == [doubt]
    assert f"look whether this is meant: {doubt}" in bot.here("check", runbooks_dir="some").out


def test_a_folder_of_runbooks_that_is_not_there_is_not_called_well(bot):
    told = bot.here("runbooks", "lint", runbooks_dir="nowhere")

    assert (told.code, told.out) == (1, "nowhere is no folder; set RUNBOOKS_DIR to the one with the runbooks\n")


@pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
def test_every_source_says_how_to_point_it_here(bot, source):
    told = bot.here("sources", source.name, public_url="https://bot.example.org/")

    assert f"https://bot.example.org/hooks/{source.name}/main" in told.out
    assert f"# Then add {source.name}/main=" in told.out


@pytest.mark.parametrize("source", OURS, ids=lambda one: one.name)
def test_no_secret_is_printed_with_how_to_set_a_source_up(bot, source):
    assert "c4n4ry" not in bot.here("sources", source.name, hook_secrets=f"{source.name}/main=c4n4ry-long-and-random").out


# --- the manifest -----------------------------------------------------------------------------


def test_the_manifest_in_the_repository_is_what_the_command_prints(bot):
    kept = (TOP / "deploy" / "slack-manifest.yaml").read_text(encoding="utf-8")
    told = bot.here("manifest", public_url="https://bot.example.com/").out

    assert "".join(one for one in kept.splitlines(keepends=True) if not one.startswith("#")) == told


def test_the_manifest_asks_for_the_command_and_the_addresses_that_are_set(bot):
    made = yaml.safe_load(bot.here("manifest", public_url="https://bot.example.org", slack_command="/firstfive").out)

    assert [one["command"] for one in made["features"]["slash_commands"]] == ["/firstfive"]
    addresses = {made["features"]["slash_commands"][0]["url"], *(one["request_url"] for one in (
        made["settings"]["event_subscriptions"], made["settings"]["interactivity"]))}  # fmt: skip
    assert addresses == {"https://bot.example.org/slack/events"}
    assert made["oauth_config"]["scopes"]["bot"] == list(SCOPES)


def test_for_socket_mode_it_holds_no_address(bot):
    told = bot.here("manifest", "--socket")

    assert "http" not in told.out
    assert yaml.safe_load(told.out)["settings"]["socket_mode_enabled"] is True


NEEDED = {
    "conversations.create": {"channels:manage", "groups:write"},
    "conversations.invite": {"channels:manage", "groups:write"},
    "conversations.setTopic": {"channels:manage", "groups:write"},
    "conversations.history": {"channels:history", "groups:history"},
    "conversations.replies": {"channels:history", "groups:history"},
    "users.conversations": {"channels:read", "groups:read"},
    "conversations.list": {"channels:read", "groups:read"},
    "conversations.info": {"channels:read", "groups:read"},
    "conversations.join": {"channels:join"},
    "conversations.open": {"im:write"},
    "chat.postMessage": {"chat:write"},
    "chat.update": {"chat:write"},
    "chat.postEphemeral": {"chat:write"},
    "pins.add": {"pins:write"},
    "bookmarks.add": {"bookmarks:write"},
    "bookmarks.list": {"bookmarks:read"},
    "users.list": {"users:read", "users:read.email"},
    "users.info": {"users:read", "users:read.email"},
    "users.lookupByEmail": {"users:read.email"},
    "files.getUploadURLExternal": {"files:write"},
    "files.completeUploadExternal": {"files:write"},
    "auth.test": set(),
    "views.open": set(),
    "views.update": set(),
    "apps.connections.open": set(),
}
"""What Slack's reference says that each method needs, in public channels and private ones."""
BY_EVENT = {"app_mention": {"app_mentions:read"}, "reaction_added": {"reactions:read"}}


def test_the_scopes_are_those_that_the_calls_and_events_need_and_no_other():
    files = (path for path in (TOP / "bot" / "slack").rglob("*.py") if path.name != "client.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    called = {name for name in NEEDED if f'"{name}"' in text}
    wanted = {"commands"}.union(*(NEEDED[name] for name in called), *(BY_EVENT[name] for name in EVENTS))

    assert wanted == set(SCOPES)


# --- the digest -------------------------------------------------------------------------------


def test_the_digest_is_posted_once_and_edited_after(bot):
    with running(World(is_strict=False)) as sandbox:
        settings = settings_for(sandbox, sandbox.world.origin, f"sqlite:///{bot.folder / 'firstfive.db'}")
        bot.given = {name.upper(): str(value) for name, value in settings.items()}
        bot.here("import", bot.file(JOURNAL))
        for _ in range(2):
            told = bot("digest", "--week", "2026-W24")
            assert told == Told(0, "The digest of 2026-W24 is posted in #incidents.\n", "")
        posted = sandbox.space.named("incidents").messages

    assert len([one for one in posted if "Incident week 24" in json.dumps(one)]) == 1


@pytest.mark.parametrize(
    ("policy", "state", "said"),
    [
        ("channels: {digest: nowhere}\n", "up", "not posted"),
        ("{}\n", "down", "not posted yet: Slack did not take it; it stays queued"),
    ],
)
def test_a_digest_that_slack_did_not_take_is_never_called_posted(bot, policy, state, said):
    with running(World(is_strict=False)) as sandbox:
        sandbox.world.break_("slack", state)
        settings = settings_for(sandbox, sandbox.world.origin, f"sqlite:///{bot.folder / 'firstfive.db'}")
        bot.given = {name.upper(): str(value) for name, value in settings.items()}
        told = bot("digest", "--week", "2026-W24", policy_file=bot.file(policy, "policy.yaml"))

    assert (told.code, told.out) == (2, ""), told
    assert said in told.err.splitlines()[-1]
