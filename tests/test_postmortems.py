"""Post-mortem drafts: what they say comes from the timeline, nothing in it can forge anything, and people's words stay."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError
from markdown_it import MarkdownIt

from bot.alerts.alert import ChangeKind, ChangeState
from bot.commands.parser import main
from bot.errors import Broken
from bot.incidents.changes import ChangeRecord
from bot.incidents.timeline import Entry
from bot.postmortems import draft, lint_words, read_templates, regenerate, service_and_start
from bot.postmortems.drafting import Templates, render_apart
from bot.postmortems.facts import facts
from bot.postmortems.merging import NOTE, marked
from bot.postmortems.rendering import render
from bot.postmortems.words import cell
from bot.store import Store, migrate
from tests.builders import NOON, after

TEMPLATES = read_templates(Path(__file__).parents[1] / "postmortem_templates")
NAMES = ("default", "short")
ANA, BEN, CHLOE = "U0ANA00001", "U0BEN00001", "U0CHLOE001"
PEOPLE = {ANA: "Ana", BEN: "Ben", CHLOE: "Chloe"}
NOW = after(240)
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")


def entry(minutes: float, type_: str, by: str | None = "bot", seconds: float = 0, **fields) -> Entry:
    return Entry(after(minutes, seconds), type_, "INC-7", by, fields)


SMALL = (
    entry(-1, "alert_started", alert="DiskWillFillIn4Hours", fingerprint="f9", received_at="2026-06-10T12:00:00Z"),
    entry(0, "opened", severity="SEV3", service="platform", title="Disk of node-7 will be full in 4 h"),
    entry(0, "page_requested", service="platform", episode=1),
    entry(0, "page_accepted", seconds=1, dedup_key="k", episode=1),
    entry(2, "ack", ANA, seconds=10),
    entry(20, "resolved", ANA),
)
RICH = (
    entry(-5, "alert_started", alert="CheckoutErrorRateHigh", fingerprint="f1", received_at="2026-06-10T11:59:30Z"),
    entry(0, "opened", severity="SEV2", service="checkout", title="Checkout 5xx at 7 %"),
    entry(0, "page_failed", seconds=2, reason="503 from PagerDuty"),
    entry(0, "page_accepted", seconds=40, dedup_key="k1", episode=1),
    entry(0, "page", seconds=41, to=ANA, level=1, channel="push"),
    entry(2, "reminder", after_seconds=120),
    entry(5, "ack_breached", target_seconds=300),
    entry(5, "escalated", seconds=1, from_level=1, to_level=2, reason="not acknowledged"),
    entry(5, "page", seconds=2, to=BEN, level=2, channel="phone"),
    entry(6, "ack", BEN, seconds=20),
    entry(7, "role", BEN, role="commander", user=BEN),
    entry(8, "severity_changed", BEN, **{"from": "SEV2", "to": "SEV1"}),
    entry(10, "status_update", BEN, audience="all", text="Rolling back", next_by="2026-06-10T12:25:00Z"),
    entry(12, "runbook_step", BEN, runbook="checkout-errors.md", step="Roll back", result="done"),
    entry(14, "note", ANA, text="<@U0BEN00001> sees <https://example.com/graph|the graph>", link="https://example.slack.com/p1"),
    entry(16, "impact_started_set", BEN, value="2026-06-10T11:50:00Z", source="first 5xx in the access log"),
    entry(21, "mitigated", BEN, impact_ended_at="2026-06-10T12:20:00Z"),
    entry(25, "update_overdue", promised_for="2026-06-10T12:25:00Z"),
    entry(30, "resolved", BEN, text="rolled back"),
    entry(90, "reopened", ANA),
    entry(90, "page_accepted", seconds=1, dedup_key="k2", episode=2),
    entry(92, "ack", ANA),
    entry(95, "runbook_step", ANA, runbook="checkout-errors.md", step="Purge the CDN", result="no_effect"),
    entry(100, "resolved", effective_at="2026-06-10T13:35:00Z", auto=True),
    entry(110, "follow_up", BEN, id="F-1", text="Purge the CDN in the rollback", kind="prevent", owner=BEN, state="open"),
    entry(111, "follow_up", BEN, id="F-1", text="Purge the CDN in the rollback", kind="prevent", owner=BEN, state="done"),
    entry(112, "carrier_pigeon", CHLOE, text="arrived"),
)


def drafted(entries=RICH, template: str = "default", others=(), before: str | None = None, now: datetime = NOW) -> str:
    """The draft, rendered here: the process apart has tests of its own."""
    return marked(render(TEMPLATES.texts[template], facts("INC-7", entries, others, now, PEOPLE)))


def known(entries=RICH, others=(), names=PEOPLE) -> dict:
    return facts("INC-7", entries, others, NOW, names)


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .*", text, flags=re.M)


def shape(text: str) -> list[tuple[str, str]]:
    """The blocks that a reader of Markdown sees, without their words."""
    return [(one.type, one.tag) for one in MARKDOWN.parse(text)]


def inline(text: str) -> set[str]:
    """The kinds of things that stand within the blocks."""
    return {child.type for one in MARKDOWN.parse(text) for child in one.children or ()}


def links(text: str) -> list[str]:
    tokens = [child for one in MARKDOWN.parse(text) for child in one.children or ()]
    return [str(one.attrGet("href") or one.attrGet("src")) for one in tokens if one.type in ("link_open", "image")]


# --- what a draft says ------------------------------------------------------------------------


def test_a_small_incident_is_told_in_full():
    said = known(SMALL)

    assert said["title"] == "Disk of node-7 will be full in 4 h"
    assert (said["severity"], said["status"], said["service"]) == ("SEV3", "resolved", "platform")
    assert said["summary"] == "Impact from 11:59:00 to 12:20:00 UTC on platform, 21 min in all."
    assert said["acknowledgements"] == [{
        "number": "1", "who": "Ana", "after": "2 min 10 s", "how": "PagerDuty had not notified them", "verdict": "met (under 5 min)",
    }]  # fmt: skip
    assert said["detection"] == "By alert DiskWillFillIn4Hours, received 1 min after its start."
    assert [row["text"] for row in said["timeline"]] == [
        "Alert DiskWillFillIn4Hours fired", "**Opened as SEV3 by bot**", "PagerDuty took the page", "**Acknowledged by Ana**",
        "**Resolved by Ana**",
    ]  # fmt: skip
    assert [row["since"] for row in said["timeline"]] == ["+0:00", "+1:00", "+1:01", "+3:10", "+21:00"]


def test_every_window_every_page_and_the_worst_severity_are_told():
    said = known()

    assert said["severity"] == "SEV1"
    assert said["impact_total"] == "35 min in 2 windows"
    assert [(row["start"], row["end"], row["length"], row["restored"]) for row in said["windows"]] == [
        ("11:50:00", "12:20:00", "30 min", "missed"), ("13:30:00", "13:35:00", "5 min", "met"),
    ]  # fmt: skip
    assert [row["start_source"] for row in said["windows"]] == [
        "first 5xx in the access log", "opened: no earlier sign is recorded",
    ]  # fmt: skip
    assert [(row["who"], row["after"], row["how"], row["verdict"]) for row in said["acknowledgements"]] == [
        ("Ben", "6 min 20 s", "notified at level 2", "missed (5 min)"),
        ("Ana", "2 min", "PagerDuty had not notified them", "met (under 5 min)"),
    ]  # fmt: skip


def test_time_at_a_severity_leaves_out_the_quiet_before_a_reopening():
    assert known()["severities"] == [{"severity": "SEV1", "length": "32 min"}, {"severity": "SEV2", "length": "8 min"}]


def test_milestones_say_when_how_long_after_the_start_and_from_where():
    rows = {row["milestone"]: (row["at"], row["since"], row["source"]) for row in known()["timings"]}

    assert rows == {
        "Impact start": ("11:50:00", "+0:00", "first 5xx in the access log"),
        "Detected": ("11:59:30", "+9:30", "alert CheckoutErrorRateHigh"),
        "Opened": ("12:00:00", "+10:00", "by bot"),
        "Paged": ("12:00:40", "+10:40", "PagerDuty took the page"),
        "Acknowledged (1)": ("12:06:20", "+16:20", "Ben, notified at level 2"),
        "Impact ended (1)": ("12:20:00", "+30:00", "mitigated"),
        "Reopened (2)": ("13:30:00", "+1:40:00", "reopened"),
        "Acknowledged (2)": ("13:32:00", "+1:42:00", "Ana, PagerDuty had not notified them"),
        "Impact ended (2)": ("13:35:00", "+1:45:00", "the alerts cleared"),
        "Resolved": ("13:40:00", "+1:50:00", "by bot"),
    }


def test_the_newest_state_of_a_follow_up_counts_and_what_it_lacks_is_missing():
    assert known()["actions"] == [
        {"id": "F-1", "text": "Purge the CDN in the rollback", "kind": "prevent", "owner": "Ben", "due": "MISSING", "state": "done"}
    ]


def test_questions_come_from_gaps_in_the_record():
    assert known(SMALL)["questions"] == ["The end of the impact is taken from the resolve. When was it over for users?"]
    assert [one.split(".")[0] for one in known()["questions"]] == [
        "The impact ended and came back",
        "A page was not acknowledged within 5 min",
        "PagerDuty did not take the page at once",
        "An update was promised and is not recorded",
        "A step of the runbook had no effect",
    ]


def test_a_type_that_nobody_knows_is_shown_as_it_is_and_the_same_entry_twice_is_one():
    rows = known((*RICH, *RICH))["timeline"]

    assert rows[-1]["text"] == "carrier pigeon arrived"
    assert len(rows) == len(known()["timeline"])


def test_people_links_and_calls_of_slack_are_words_in_a_draft():
    row = next(row for row in known()["timeline"] if "graph" in row["text"])

    assert row["text"] == "Ana: Ben sees https://example.com/graph"
    assert row["link"] == "https://example.slack.com/p1"


def test_entries_are_told_in_the_order_in_which_they_happened_however_they_arrived():
    assert known(tuple(reversed(SMALL)))["timeline"] == known(SMALL)["timeline"]


def test_the_target_in_the_timeline_is_the_one_that_held():
    rows = known((*SMALL[:4], entry(10, "ack_breached", target_seconds=600)))["timeline"]

    assert rows[-1]["text"] == "**No acknowledgement within 10 min**"


@pytest.mark.parametrize(("seconds", "verdict"), [(299, "met (under 5 min)"), (300, "missed (5 min)")])
def test_five_minutes_to_the_second_is_missed(seconds, verdict):
    ack = entry(0, "ack", ANA, seconds=seconds)

    assert known((*SMALL[:4], ack))["acknowledgements"][0]["verdict"] == verdict


# --- what is not known ------------------------------------------------------------------------


def test_what_is_not_recorded_is_missing_and_never_a_number():
    said = known((entry(0, "opened", CHLOE, title="Something is wrong"),))

    assert said["service"] == "MISSING"
    assert (said["impact_total"], said["windows"][0]["end"], said["windows"][0]["restored"]) == (
        "still going on", "still going on", "not yet",
    )  # fmt: skip
    assert said["acknowledgements"][0]["verdict"] == "no page was made, so no target applies"
    assert said["severities"] == []
    assert said["detection"] == "by a person (Chloe); no alert is recorded before it."
    assert "No sign is recorded before the incident was opened. When did it begin for users?" in said["questions"]


def test_nobody_is_nobody():
    said = known((*SMALL[:4], entry(20, "resolved", auto=True, effective_at="2026-06-10T12:15:00Z")))

    assert (said["acknowledgements"][0]["who"], said["acknowledgements"][0]["verdict"]) == ("nobody", "nobody acknowledged this page")


def test_a_page_that_was_refused_is_never_called_paged():
    entries = (SMALL[1], entry(0, "page_requested", episode=1), entry(1, "page_failed", reason="400 from PagerDuty"))

    for template in NAMES:
        text = drafted(entries, template)
        assert "Paged" not in text
        assert "The page was not taken: 400 from PagerDuty" in text
        assert "nobody acknowledged; PagerDuty took no page" in text


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ((entry(2, "ack", ANA),), "met (under 5 min); PagerDuty took no page"),
        ((entry(7, "ack", ANA),), "missed (5 min); PagerDuty took no page"),
        ((entry(2, "ack", ANA), entry(2, "page_dropped", reason="Ana was on it")), "met (under 5 min); Ana was on it"),
        ((entry(2, "page_dropped", reason="it was over"), entry(2, "resolved")), "nobody acknowledged; it was over"),
    ],
)
def test_the_target_applies_to_a_page_that_was_asked_for_though_pagerduty_never_took_it(told, verdict):
    said = known((SMALL[1], entry(0, "page_requested", episode=1), *told))

    assert said["acknowledgements"][0]["verdict"] == verdict
    assert any("was not acknowledged within 5 min" in one for one in said["questions"]) is verdict.startswith("missed")


def test_an_end_before_the_start_gives_no_length_and_raises_a_question():
    wrong = entry(30, "impact_started_set", BEN, value="2026-06-10T13:00:00Z")
    said = known((*SMALL, wrong))

    assert said["impact_total"] == "MISSING"
    assert (said["windows"][0]["length"], said["windows"][0]["restored"]) == ("MISSING", "MISSING")
    assert "The impact ends before it starts. Which of the two times is wrong?" in said["questions"]


@pytest.mark.parametrize("value", ["yesterday", "", None, "2026-06-10T11:00:00"])
def test_a_start_that_is_no_moment_is_not_taken(value):
    said = known((*SMALL, entry(30, "impact_started_set", BEN, value=value)))

    assert said["windows"][0]["start"] == "11:59:00"


def test_a_page_without_its_level_says_so():
    assert known((*SMALL[:2], entry(1, "page", to=ANA)))["timeline"][-1]["text"] == "Notified Ana (level MISSING, MISSING)"


# --- time -------------------------------------------------------------------------------------


def test_all_times_are_in_utc_and_say_so():
    lisbon = timezone(timedelta(hours=1))
    moved = tuple(replace(one, at=one.at.astimezone(lisbon)) for one in SMALL)

    for template in NAMES:
        assert drafted(moved, template) == drafted(SMALL, template)
        assert "All times are UTC." in drafted(moved, template)


@pytest.mark.parametrize(
    ("start", "end", "length"),
    [
        ("2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+01:00", "2 h"),
        ("2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "1 h"),
        ("2026-10-24T12:00:00+02:00", "2026-10-25T12:00:00+01:00", "1 d 1 h"),
    ],
)
def test_lengths_are_right_across_a_change_of_the_clocks(start, end, length):
    first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    opened = Entry(first, "opened", "INC-7", "bot", {"severity": "SEV2", "title": "x"})
    said = known((opened, Entry(last, "mitigated", "INC-7", ANA), Entry(last, "resolved", "INC-7", ANA)))

    assert (said["impact_total"], said["severities"][0]["length"]) == (length, length)
    assert said["windows"][0]["start"] == f"{first.astimezone(UTC):%H:%M:%S}"


def test_an_incident_over_midnight_names_both_days():
    end = NOON + timedelta(days=1, minutes=1)
    said = known((SMALL[1], Entry(end, "resolved", "INC-7", ANA)))

    assert said["windows"][0] | {"start_source": "", "end_source": ""} == {
        "number": "1", "day": "2026-06-10", "start": "12:00:00", "start_source": "", "end": "2026-06-11 12:01:00",
        "end_source": "", "length": "1 d 1 min", "restored": "missed",
    }  # fmt: skip
    assert said["summary"] == "Impact from 12:00:00 to 2026-06-11 12:01:00 UTC on platform, 1 d 1 min in all."
    assert [row["day"] for row in said["timeline"]] == ["2026-06-10", "2026-06-11"]


# --- the templates ----------------------------------------------------------------------------


def test_the_default_draft_has_every_part_in_order():
    text = drafted()

    assert headings(text) == [
        "# INC-7: Checkout 5xx at 7 %", "## Summary", "## Impact", "## Timings", "## Detection",
        "## Changes before the start (not necessarily causes)", "## Timeline (UTC)", "## Response", "## Contributing factors",
        "## What went well, what was hard, where we were lucky", "## Action items", "## Related incidents",
        "## External message (draft, do not publish as it is)", "## Appendix",
    ]  # fmt: skip
    assert "generated 2026-06-10 16:00 UTC from 27 timeline entries" in text
    assert "| SEV1 | resolved | checkout | 35 min in 2 windows | 6 min 20 s, missed (5 min); 2 min, met (under 5 min) |" in text
    assert "- Update 12:10:00 by Ben (next promised: 12:25:00): Rolling back" in text


def test_the_short_draft_is_short_and_tells_the_same():
    text = drafted(template="short")

    assert headings(text) == ["# INC-7: Checkout 5xx at 7 %", "## Timeline (UTC)", "## Questions and actions"]
    assert "Page 1: Ben, after 6 min 20 s: missed (5 min)." in text
    assert "- F-1: Purge the CDN in the rollback (owner Ben, due MISSING, done)" in text
    assert len(text) < len(drafted()) / 1.5


@pytest.mark.parametrize("template", NAMES)
@pytest.mark.parametrize("entries", [SMALL, RICH, SMALL[:2], (entry(0, "note", ANA, text="imported"),)], ids=len)
def test_every_table_has_as_many_cells_as_its_head(template, entries):
    for block in re.findall(r"(?:^\|.*\n)+", drafted(entries, template), flags=re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


@pytest.mark.parametrize("template", NAMES)
def test_gaps_for_people_are_marked_and_stand_outside_what_is_generated(template):
    text = drafted(SMALL[:2], template)
    by_hand = re.sub(r"<!-- auto:.*?<!-- /auto -->", "", text, flags=re.S)

    assert "TODO(owner)" in by_hand
    assert all(re.match(r"TODO\(\w+\)", one) for one in re.findall(r"TODO.*", by_hand))


def test_the_full_draft_asks_people_for_what_no_timeline_knows():
    by_hand = re.sub(r"<!-- auto:.*?<!-- /auto -->", "", drafted(), flags=re.S)

    assert len(re.findall(r"TODO\(", by_hand)) == 8


@pytest.mark.parametrize("template", NAMES)
def test_the_same_timeline_gives_the_same_bytes(template):
    assert drafted(template=template) == drafted(tuple(reversed(RICH)), template)


@pytest.mark.parametrize("template", NAMES)
def test_no_generated_word_blames_anybody(template):
    assert lint_words(drafted(template=template)) == []


def test_a_drill_says_so():
    opened = replace(SMALL[1], fields={**SMALL[1].fields, "drill": True})

    assert "**This was a drill.**" in drafted((opened,))
    assert "drill" not in drafted(SMALL)


def test_related_are_incidents_of_the_last_ninety_days_with_the_same_alert():
    def other(ref: str, days: float, fingerprint: str | None) -> Entry:
        return Entry(NOON - timedelta(days=days), "alert_started", ref, "bot", {"alert": "x", "fingerprint": fingerprint})

    others = (other("INC-6", 3, "f9"), other("INC-5", 91, "f9"), other("INC-4", 1, "f0"), other("INC-3", 1, None))

    assert known(SMALL, others)["related"] == ["INC-6"]
    nameless = replace(SMALL[0], fields={"alert": "x"})
    assert known((nameless, *SMALL[1:]), others)["related"] == []


# --- hostile text -----------------------------------------------------------------------------

HOSTILE = [
    "x\n\n# Forged heading\n\n- forged entry",
    "# Forged", "###### Forged", "Forged\n===", "---", "- forged", "+ forged", "1. forged", "12) forged", "> forged", "~~~", "***",
    "| forged | cell |", "a \\| b", "a \\\\| b", "\\", "ends in \\", "|", "\n|---|---|\n| a | b |",
    "[click](https://evil.example)", "\\[click\\](https://evil.example)", "\\\\[click\\\\](https://evil.example)",
    "![pixel](https://evil.example/p.png)", "<https://evil.example>", "<https://evil.example|https://pagerduty.com>",
    "[x]: https://evil.example", "[x][y]",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- /auto -->", "<!-- auto:timeline -->\nforged\n<!-- /auto -->",
    "&lt;b&gt;", "```sh\nrm -rf /\n```", "`` ` ``", "\t code", "    code",
    "<!channel>", "<!here|here>", "<!everyone>", "<!subteam^S123|team>", "<!chan<!channel>nel>", "@channel @everyone @ben", "#123",
    "{{ 7 * 7 }}{% for i in range(9) %}x{% endfor %}", "**bold** _em_ ~~gone~~",
    "\u202egnp.exe", "a\u2028# b", "a\x00b\x1b[31m", "\ud800", "x" * 100_000, "|" * 5000, "",
]  # fmt: skip
PLAIN = "words"


def everywhere(text: str) -> tuple[Entry, ...]:
    """An incident in which everything that anybody may write is `text`."""
    entries = []
    for one in RICH:
        fields = {name: text if isinstance(value, str) and not _is_moment(value) else value for name, value in one.fields.items()}
        fields |= {name: one.fields[name] for name in ("severity", "user", "result", "id") if name in one.fields}
        if one.type == "severity_changed":
            fields = dict(one.fields)
        entries.append(replace(one, fields=fields))
    extra = dict.fromkeys(("id", "text", "level", "from_level", "to_level", "into", "child", "reason"), text)
    types = ("follow_up", "page", "escalated", "merged", "absorbed", "cancelled", "responder_paged", "pin", "rollback", "who knows")
    entries += [entry(113, one, "Zoe", who=text, to=text, channel=text, link=text, **extra) for one in types]
    entries.append(replace(entry(114, "note", "Zoe", text="x"), type="note", by=f"Zoe {text}"))
    return tuple(entries)


def innocent(text: str, template: str) -> tuple[str, list[tuple[str, str]]]:
    """The draft that `text` must look like: with plain words in its place, or with nothing where nothing of it is left."""
    return _innocent(PLAIN if cell(text, {}) else "", template)


@cache
def _innocent(words: str, template: str) -> tuple[str, list[tuple[str, str]]]:
    made = drafted(everywhere(words), template)
    return made, shape(made)


def _is_moment(value: str) -> bool:
    return re.match(r"\d{4}-\d\d-\d\dT", value) is not None


@pytest.mark.parametrize("template", NAMES)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda one: repr(one)[:30])
def test_nothing_that_is_written_can_forge_a_heading_a_row_a_link_or_a_part(template, text):
    made, (plain, plain_shape) = drafted(everywhere(text), template), innocent(text, template)

    assert shape(made) == plain_shape
    assert inline(made) <= {"text", "strong_open", "strong_close", "softbreak", "link_open", "link_close", "text_special"}
    assert set(links(made)) <= {"https://example.slack.com/p1"} | ({text} if text.startswith("https://") else set())
    assert re.findall(r"<!-- auto:(\w+)", made) == re.findall(r"<!-- auto:(\w+)", plain)
    assert not re.search(r"<!(channel|here|everyone|subteam)", made)
    assert not re.search(r"(?<![\w.\u200b])@(channel|everyone|ben)", made)
    assert len(made) < 200_000


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="\\|[]()<>!#*_`~-=+.1 \n\t\"'&;:/ax", max_size=30))
def test_no_mixture_of_marks_changes_the_shape_of_a_draft(text):
    made = drafted(everywhere(text))

    assert shape(made) == innocent(text, "default")[1]
    assert set(links(made)) <= {"https://example.slack.com/p1"}


@pytest.mark.parametrize("template", NAMES)
def test_the_name_of_an_incident_and_of_a_person_can_forge_nothing(template):
    bad = "x\n\n# Forged | [a](https://evil.example)"
    said = facts(f"INC-7{bad}", SMALL, (), NOW, {ANA: f"Ana{bad}"})

    assert shape(render(TEMPLATES.texts[template], said)) == shape(drafted(SMALL, template))


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "https://a b", "https://a\n\n# Forged", "https://a\t", "ftp://x", "//x", "https://", 5, None,
        ["https://x"], "data:text/html,x", " https://x", "https://x\u00a0",
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_linked(link):
    assert known((*SMALL, entry(30, "note", ANA, text="x", link=link)))["timeline"][-1]["link"] == ""


@pytest.mark.parametrize(
    "link", ["https://x/a(b", "https://x/a)b", "https://x/a](javascript:b)", "https://x/|", "https://x/<!--", "https://x/\\"]
)
def test_an_address_cannot_leave_its_link(link):
    text = drafted((*SMALL, entry(30, "note", ANA, text="x", link=link)))

    assert len(links(text)) == 1
    assert links(text)[0].startswith("https://x/")
    assert shape(text) == shape(drafted((*SMALL, entry(30, "note", ANA, text="x"))))


# --- templates that people edit ---------------------------------------------------------------

ESCAPES = [
    "{{ ''.__class__ }}", "{{ title.__class__.__mro__ }}", "{{ ''['__class__'] }}", "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ title|attr('__class__') }}", "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}", "{{ ''|attr(['__cl', 'ass__']|join) }}",
    "{{ [].__class__.__base__.__subclasses__() }}", "{{ ().__class__.__bases__[0].__subclasses__()[40] }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}", "{{ ('{0.__class__}'|attr('format'))(1) }}",
    "{{ '{a.__init__}'.format_map({'a': 1}) }}",
    "{% set f = '{0.__class__}'.format %}{{ f(1) }}", "{{ ['{0.__class__}'.format]|map('call', 1)|list }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}", "{{ lipsum|attr('__globals__') }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ joiner.__init__.__globals__ }}", "{{ namespace.__init__ }}",
    "{{ range.__class__ }}", "{{ dict.mro() }}", "{{ dict.__subclasses__() }}",
    "{{ self.__dict__ }}", "{{ self._TemplateReference__context }}", "{{ config.items() }}", "{{ request.application }}",
    "{{ get_flashed_messages.__globals__ }}", "{{ url_for.__globals__ }}", "{{ self.__init__.__globals__.__builtins__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{{ caller._func.__globals__ }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}", "{{ (timeline|map(attribute='text')).gi_frame.f_globals }}",
    "{{ people|sum(attribute='__class__') }}", "{{ timeline|map(attribute='__class__.__mro__')|list }}",
    "{{ timeline.append(1) }}", "{{ people.clear() }}", "{{ timeline[0].update({'text': 'forged'}) }}",
    "{{ timeline[0].pop('text') }}",
    "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% from 'os' import popen %}", "{% extends '/etc/passwd' %}",
    "{% debug %}", "{{ import('os') }}", "{{ open('/etc/passwd').read() }}", "{{ environ }}",
]  # fmt: skip


@pytest.mark.parametrize("text", ESCAPES, ids=lambda one: one[:50])
def test_a_template_reaches_neither_python_nor_files_nor_the_facts_themselves(text):
    said = known(SMALL)

    with pytest.raises((TemplateError, TypeError), match=r"unsafe|undefined|no loader|unknown tag|No filter"):
        render(text, said)
    assert said == known(SMALL)


BOMBS = {
    "{% for i in range(10**9) %}x{% endfor %}": "OverflowError: Range too big",
    "{{ 'a' * 5000000000 }}": "MemoryError",
    "{{ 'x'|center(10000000000) }}": "MemoryError",
    "{{ '%10000000000d'|format(1) }}": "Error",
    "{% set ns = namespace(a=[0]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}": "MemoryError",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "RecursionError",
    "{{ 'x'|center(1000001) }}": "the draft is longer than 1000000 characters",
    "{{ " + "(" * 3000 + ")" * 3000 + " }}": "RecursionError",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "it took longer than 1 s",
    "{{ 10 ** (10 ** 9) }}": "it took longer than 1 s",
}


@pytest.mark.parametrize("text", BOMBS, ids=lambda one: one[:50])
def test_a_template_that_would_take_the_machine_is_stopped(text):
    made, trouble = render_apart(text, {}, wall_seconds=1)

    assert made == ""
    assert BOMBS[text] in trouble or trouble == "it took longer than 1 s"


def test_a_template_that_counts_for_ever_is_stopped_by_the_machine_itself():
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

    assert render_apart(endless, {}, wall_seconds=60) == ("", "it used more time or memory than it may")


@pytest.mark.parametrize("template", NAMES)
def test_a_good_template_gives_the_same_apart_as_here(template):
    assert draft("INC-7", RICH, (), TEMPLATES, template, NOW, PEOPLE) == drafted(template=template)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\ntwo\n{% if %}\n", ":3: Expected an expression, got 'end of statement block'"),
        ("one\n{% for x in y %}\n", ":2: Unexpected end of template."),
        ("{{ title", ":1: unexpected end of template"),
        ("{% whatever %}", ":1: Encountered unknown tag 'whatever'."),
        ("{{ " + "(" * 3000, ": is nested too deep"),
    ],
)
def test_a_template_that_cannot_be_read_names_file_and_line(tmp_path, text, said):
    path = tmp_path / "bad.md.j2"
    path.write_text(text)

    problem = read_templates(tmp_path).problems[0]

    assert isinstance(problem, Broken)
    assert str(problem).startswith(f"{path}{said}")


def test_a_folder_of_templates_reads_its_own_files_only(tmp_path):
    (tmp_path / "secret.md.j2").write_text("{{ title }}")
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "escape.md.j2").symlink_to(tmp_path / "secret.md.j2")
    (folder / "binary.md.j2").write_bytes(b"\xff")
    (folder / "notes.txt").write_text("no template")
    (folder / "default.md.j2").write_text("{{ title }}")

    read = read_templates(folder)

    assert read.names() == ("default",)
    assert [str(one).partition(": ")[2][:15] for one in read.problems] == ["cannot be read:", "leads out of th"]


def test_a_folder_without_a_template_says_what_it_needs(tmp_path):
    assert str(read_templates(tmp_path).problems[0]) == f"{tmp_path}: there is no template; it needs a default.md.j2"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("one\ntwo {{ nothing }}", "UndefinedError: 'nothing' is undefined (line 2)"),
        ("\n\n{{ title.__class__ }}", "(line 3)"),
        ("{% if %}", "(line 1)"),
    ],
)
def test_a_template_that_fails_gives_a_plain_draft_that_says_why_and_where(text, why):
    made = draft("INC-7", SMALL, (), Templates({"mine": text}), "mine", NOW, PEOPLE)
    notice = made.splitlines()[3]

    assert headings(made) == ["# INC-7: Disk of node-7 will be full in 4 h", "## Timeline (UTC)"]
    assert notice.startswith("> The template “mine” could not be used (")
    assert why in notice
    assert "- 12:02:10 **Acknowledged by Ana**" in made


def test_without_any_template_the_facts_are_told_all_the_same():
    made = draft("INC-7", SMALL, (), Templates({}), "mine", NOW, PEOPLE)

    assert "there is none of that name" in made
    assert "**Opened as SEV3 by bot**" in made


# --- drafting again ---------------------------------------------------------------------------


def test_drafting_again_renews_what_was_generated_and_keeps_what_people_wrote():
    mine = drafted(SMALL[:5]).replace("TODO(owner): in one sentence, what could users not do, and what stopped it?", "Nothing broke.")

    again = regenerate(mine, drafted(SMALL))

    assert "Nothing broke." in again
    assert "**Resolved by Ana**" in again
    assert "still going on" not in again
    assert regenerate(again, drafted(SMALL)) == again


def test_a_generated_part_that_somebody_edited_is_theirs_and_a_note_says_that_there_is_a_newer_one():
    mine = drafted(SMALL[:5]).replace("took the page | –", "took the page, and Ana's phone rang | –")

    again = regenerate(mine, drafted(SMALL))

    assert "and Ana's phone rang" in again
    assert "**Resolved by Ana**" not in again
    assert again.count(NOTE) == 1
    assert regenerate(again, drafted(SMALL)).count(NOTE) == 1


def test_an_edit_that_is_taken_back_makes_the_part_ours_again():
    edited = regenerate(drafted(SMALL[:5]).replace("took the page", "rang"), drafted(SMALL))

    back = regenerate(edited.replace("PagerDuty rang", "PagerDuty took the page"), drafted(SMALL))

    assert NOTE not in back
    assert "**Resolved by Ana**" in back


def test_a_part_that_somebody_took_away_stays_away():
    mine = re.sub(r"<!-- auto:appendix.*?<!-- /auto -->", "", drafted(SMALL[:5]), flags=re.S)

    assert "auto:appendix" not in regenerate(mine, drafted(SMALL))


def test_an_editor_that_writes_other_line_ends_costs_nobody_their_words():
    mine = drafted(SMALL[:5]).replace("TODO(everybody): one line each.", "The rollback was quick.").replace("\n", "\r\n")

    again = regenerate(mine, drafted(SMALL))

    assert "The rollback was quick." in again
    assert "**Resolved by Ana**" in again


def test_a_template_that_breaks_does_not_cost_an_earlier_draft():
    mine = drafted(SMALL[:5]).replace("TODO(everybody): one line each.", "The rollback was quick.")
    broken = Templates({"default": "{{ nothing }}"})

    kept = draft("INC-7", SMALL, (), broken, "default", NOW, PEOPLE, mine)
    mended = draft("INC-7", SMALL, (), TEMPLATES, "default", NOW, PEOPLE, kept)

    assert "could not be used (UndefinedError: 'nothing' is undefined (line 1))" in kept
    assert "The rollback was quick." in kept
    assert "could not be used" not in mended
    assert "The rollback was quick." in mended
    assert "**Resolved by Ana**" in mended


def test_an_earlier_draft_whose_head_was_taken_away_is_kept_with_the_reason_in_it():
    mine = re.sub(r"<!-- auto:head.*?<!-- /auto -->", "Mine.", drafted(SMALL[:5]), flags=re.S)

    kept = draft("INC-7", SMALL, (), Templates({"default": "{{ nothing }}"}), "default", NOW, PEOPLE, mine)

    assert kept.startswith("# INC-7: ")
    assert "could not be used" in kept
    assert "Mine." in kept


def test_a_plain_draft_makes_room_for_a_real_one():
    plain = draft("INC-7", SMALL, (), Templates({"default": "{{ nothing }}"}), "default", NOW, PEOPLE)

    assert draft("INC-7", SMALL, (), TEMPLATES, "default", NOW, PEOPLE, plain) == drafted(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet="abc <!->/:auto\n#", max_size=40))
def test_what_people_write_between_the_parts_is_kept_to_the_letter(words):
    mine = drafted(SMALL[:5]).replace("TODO(everybody): one line each.", f"KEPT{words.replace('-->', '')}KEPT")

    assert f"KEPT{words.replace('-->', '')}KEPT" in regenerate(mine, drafted(SMALL))


# --- words that blame -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("The engineer forgot to purge.", "forgot"),
        ("They should have asked.", "should have"),
        ("We Could Have known.", "could have"),
        ("The job failed to start.", "failed to"),
        ("Cause: human error.", "human error"),
        ("It was the fault of nobody.", "fault of"),
        ("Obviously wrong.", "obviously"),
        ("That was negligent.", "negligen"),
    ],
)
def test_a_phrase_that_blames_is_named_with_its_line_and_what_to_write(line, phrase):
    (found,) = lint_words(f"fine\n{line}\n")

    assert (found.line, found.phrase) == (2, phrase)
    assert found.suggestion


@pytest.mark.parametrize(
    "text",
    ["`forgot`", '"we should have"', "“should have”", "https://x.example/should-have-forgot", "```\nforgot\n```", "<!-- forgot -->",
     "error rate high, 3 failed jobs"],
)  # fmt: skip
def test_code_quotes_addresses_and_names_are_left_alone(text):
    assert lint_words(text) == []


# --- on the command line ----------------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A record with INC-7 in it, as the command line finds it."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    top = Path(__file__).parents[1]
    for name, value in {
        "DATABASE_URL": url, "POLICY_FILE": top / "policy.yaml", "RUNBOOKS_DIR": top / "runbooks",
        "TEMPLATES_DIR": top / "postmortem_templates",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    store = Store.at(url)
    migrate.upgrade(store.engine)
    with store.writing() as work:
        work.add_entries(SMALL, NOON)
    yield store
    store.close()


def test_the_command_keeps_what_people_wrote_in_the_file(recorded, tmp_path, capsys):
    out = tmp_path / "inc-7.md"
    assert main(["postmortem", "INC-7", "--out", str(out)]) == 0
    out.write_text(out.read_text().replace("TODO(everybody): one line each.", "The disk was cheap."))

    assert main(["postmortem", "inc7", "--out", str(out)]) == 0

    assert "The disk was cheap." in out.read_text()
    assert capsys.readouterr().out.count("The draft of INC-7 is in") == 2


@pytest.mark.parametrize(
    "text", ["# INC-7: finished, and every mark taken out\n", "# INC-8: x\n\n<!-- auto:head -->\nx\n<!-- /auto -->\n"]
)
def test_the_command_writes_over_nothing_that_is_not_a_draft_of_that_incident(recorded, tmp_path, capsys, text):
    out = tmp_path / "inc-7.md"
    out.write_text(text)

    assert main(["postmortem", "INC-7", "--out", str(out)]) == 2

    assert out.read_text() == text
    assert f"{out} is no draft of INC-7 with generated parts left in it; name another file" in capsys.readouterr().err


def test_a_draft_by_one_template_is_not_mixed_into_a_draft_by_another(recorded, capsys):
    recorded.keep_draft("INC-7", "default", drafted(SMALL), NOON)

    assert main(["postmortem", "INC-7", "--template", "short"]) == 0

    assert headings(capsys.readouterr().out) == headings(drafted(SMALL, "short"))


# --- changes before the start -----------------------------------------------------------------


def changed(minutes: float, **more: Any) -> ChangeRecord:
    at = NOON + timedelta(minutes=minutes)
    given = {
        "source": "github", "identity": f"{minutes}", "kind": ChangeKind.DEPLOYMENT, "state": ChangeState.SUCCEEDED,
        "title": "Deploy checkout", "service": "checkout", "environment": None, "sha": "a1b2c3d4", "ref": None, "version": None,
        "by": "ana", "url": "https://example.com/7", "description": "", "at": at, "first_at": at,
    }  # fmt: skip
    return ChangeRecord(**(given | more))


def section_of(changes: tuple[ChangeRecord, ...] | None) -> str:
    text = render(TEMPLATES.texts["default"], facts("INC-7", RICH, (), NOW, PEOPLE, changes))
    return text.partition("## Changes before the start (not necessarily causes)")[2].partition("## ")[0]


def test_the_draft_lists_what_was_changed_before_the_start():
    said = section_of((changed(-22), changed(-5), changed(30)))

    # It began ten minutes before noon: what came after that is no change before it.
    assert (
        "| 2026-06-10 11:38:00 | 12 min | deployment: Deploy checkout | checkout | a1b2c3d | ana | [link](https://example.com/7) |"
        in said
    )
    assert said.count("Deploy checkout") == 1


def test_the_draft_tells_no_changes_from_nobody_who_tells_of_changes():
    assert "That is not the same as none." in section_of(None)
    assert "Nobody told of a change" in section_of(())


def test_a_change_s_words_are_shown_as_words():
    said = section_of((changed(-22, title="<!channel> | [x](http://evil.example)", by=None, url="javascript:alert(1)"),))

    assert "<!channel>" not in said
    assert "[x](" not in said
    assert "javascript" not in said
    assert "| MISSING | – |" in said


def test_changes_are_looked_for_before_the_start_that_the_draft_has():
    # A person has set it ten minutes before the incident was opened.
    assert service_and_start(RICH) == ("checkout", NOON - timedelta(minutes=10))
