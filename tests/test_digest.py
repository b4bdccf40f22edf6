"""The weekly digest: what stands in it, what never does, and that it comes once a week, late rather than never."""

import json
import random
import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import digest
from bot.digest import Digest
from bot.handle import Door
from bot.incidents.effects import PostDigest, RaiseAlarm
from bot.incidents.inputs import DigestDue
from bot.incidents.policy import Policy
from bot.incidents.timeline import Entry
from bot.metrics import week_metrics
from bot.settings import Settings
from bot.slack.views import answers
from bot.wiring import SAME_FOR, Choices, Numbers
from bot.worker.due import DueTimers
from sandbox.slack import blocks as slack
from tests.builders import ANA, BEN, CHLOE, NOON, after
from tests.metrics.test_week import MANY, TIMELINES
from tests.metrics.timelines import WEEK, ack, cleared, entry, journal, lived, opened, page, paged, resolved
from tests.stories.story import telling

TOP = Path(__file__).parents[1]
SCHEMA = TOP.parent / "shared" / "specs" / "slack-message-blocks.schema.json"
MONDAY = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE = "<!channel> <@U0BEN> <#C0GENERAL> <https://evil.example|https://pagerduty.com> &lt;!here&gt; *b* `c` _d_\n\u202e x"


def digest_of(*told, week: str = WEEK, now: datetime = MONDAY, names: dict[str, str] | None = None, **more) -> Digest:
    known = journal(*told, **more)
    earlier = [week_metrics(known, one, now) for one in digest.weeks_before(week, 12)]
    return digest.build(week_metrics(known, week, now), earlier, known, now, names=names or {})


def cells(made: Digest, name: str) -> tuple[str, str, str, str]:
    """(value, n, last weeks, status) of the row that begins so."""
    found = next(one for one in made.rows if one.name.startswith(name))
    return found.value, found.n, found.recent, found.status


def shown(made: Digest) -> str:
    """Everything that Slack is sent, after Slack's own limits took it, with the table and without."""
    sent = [answers.digest(made), answers.digest(made, with_table=False)]
    for one in sent:
        slack.check(list(one.blocks))
        assert 0 < len(one.text) <= 3000
    return json.dumps([[one.text, one.blocks] for one in sent], ensure_ascii=False)


# --- what stands in it ------------------------------------------------------------------------


def test_a_quiet_week_says_so_and_claims_nothing():
    before = lived(1, NOON - timedelta(days=14), severity="SEV3")
    made = digest_of(before)

    assert made.title == "Incident week 24 · 8 June – 14 June 2026"
    assert made.headline == "No incident was opened, and nobody was paged."
    assert made.attention == ()
    assert made.noise == ()
    assert made.load == ("On-call load: 0 pages, 0 interruptions: 0 in working hours, 0 off hours, 0 in sleeping hours",)
    assert cells(made, "acknowledged")[0::3] == ("–", "◽ too few to tell")
    assert cells(made, "time to restore")[0::3] == ("–", "◽ too few to tell")
    assert cells(made, "uptime")[0::3] == ("100.000 %", "✅ met")
    assert cells(made, "deployments") == ("–", "–", "– · – · – · –", "– no source")
    assert "Left out" not in " ".join(made.footer)
    assert "No incident was opened" in shown(made)


def test_a_record_that_knows_nothing_has_no_row_that_is_green():
    made = digest_of()

    assert {one.value for one in made.rows} == {"–"}
    assert not any("met" in one.status for one in made.rows)
    assert len([one for one in made.rows if one.status == "– no source"]) == 8
    assert "✅" not in shown(made)


def test_a_usual_week_has_its_sentence_its_figures_and_where_they_come_from():
    told = [
        *lived(1, acked=60, over=600),
        entry("note", after(2), ANA, "INC-1", text="rolled back"),
        entry("alert_started", after(-1), "bot", "INC-1", alert="CheckoutErrors", fingerprint="f1"),
        *lived(2, after(60), acked=120, over=300, severity="SEV3"),
        *paged(after(120), "INC-3"), cleared(after(123), "INC-3"),
        opened(after(200), "INC-4", by=BEN), resolved(after(220), BEN, "INC-4"),
        *lived(5, after(-7 * 24 * 60), acked=30, over=240),
        entry("postmortem_drafted", after(-60), incident="INC-5", template="default"),
    ]  # fmt: skip
    made = digest_of(told, requests={"total": 1_000_000, "5xx": 421}, p95_ms=183.5)

    assert made.headline == "4 incidents (3 SEV2, 1 SEV3). 2 of 2 pages acknowledged in 5 min."
    assert made.attention == ()
    assert cells(made, "acknowledged") == ("100 %", "2", "– · – · – · 100 %", "◽ too few to tell")
    # INC-1 from its alert, 11 min; INC-3, 3 min; INC-4, 20 min.
    assert cells(made, "time to restore") == ("11 min 0 s", "3", "– · – · – · 4 min 0 s", "◽ too few to tell")
    assert cells(made, "uptime")[0] == "99.663 %"
    assert cells(made, "error rate")[:2] == ("0.042 %", "1000000")
    assert cells(made, "p95")[0] == "183.5 ms"
    assert made.load[0].startswith("On-call load: 3 pages, 3 interruptions: 3 in working hours")
    assert made.load[1] == "Pages worth waking for: 1 yes, 1 no, 1 unknown; 1 healed by themselves within 5 min"
    assert made.noise == ("CheckoutErrors: fired 1 time, 1 page",)
    assert made.footer == (
        "Monday to Monday in UTC · made 2026-06-15 09:00 UTC",
        "Left out of acknowledgement: 1 self healed, 1 no page",
        "Acknowledged in time, 95 % interval: 34–100 %",
        "Definitions: docs/metrics.md. “No source” is not zero.",
    )
    assert "2 of 2 pages acknowledged" in shown(made)


def test_a_bad_week_names_what_needs_somebody_and_counts_the_rest():
    told = [
        *lived(1, after(-3 * 24 * 60), acked=400, over=600),
        entry("postmortem_drafted", after(-60), incident="INC-1", template="default"),
        *paged(after(-2 * 24 * 60), "INC-2", severity="SEV1"),
        resolved(after(-2 * 24 * 60 + 90), "bot", "INC-2", auto=True),
        *paged(after(0), "INC-3"),
        *lived(4, acked=60, over=600), entry("reopened", after(60), BEN, "INC-4"), resolved(after(70), BEN, "INC-4"),
        entry("follow_up", after(80), ANA, "INC-4", id="F-1", text="t", kind="prevent", due="2026-06-12", state="open"),
    ]  # fmt: skip
    made = digest_of(told, vulnerabilities=[{"id": "V-9", "sev": "critical", "spans": [["2026-06-09T00:00:00Z", None]]}])

    # INC-1 began on the Sunday before.
    assert made.headline == "3 incidents (1 SEV1, 2 SEV2). 1 of 3 pages acknowledged in 5 min. 1 review missing."
    assert made.attention == (
        "INC-2 (SEV1, Checkout error rate high) has no post-mortem draft",
        "INC-4 (SEV2, Checkout error rate high) action F-1 was due 2026-06-12",
        "INC-2 (SEV1, Checkout error rate high) never acknowledged: target missed",
        "INC-3 (SEV2, Checkout error rate high) never acknowledged: target missed",
        "INC-3 (SEV2, Checkout error rate high) is still open",
        "INC-4 (SEV2, Checkout error rate high) was reopened 1 time",
        "Critical vulnerabilities past 24 h: V-9",
    )
    assert cells(made, "acknowledged") == ("33 %", "3", "– · – · – · 0 %", "❌ missed")
    assert cells(made, "critical vuln") == ("0 %", "1", "– · – · – · –", "❌ missed")
    assert "*Needs attention*" in shown(made)


def test_critical_findings_are_told_with_what_nobody_can_say():
    monday, hour = "2026-06-08T00:00:00Z", "2026-06-08T01:00:00Z"
    made = digest_of(vulnerabilities=[
        {"id": "CVE-1 in web", "sev": "critical", "spans": [[monday, hour]]},
        *({"id": f"CVE-2{number} in web", "sev": "critical", "spans": [[monday, None]]} for number in range(7)),
        {"id": "CVE-3 in web", "sev": "critical", "spans": [[monday, hour]], "closed_as": "dismissed"},
        {"id": "CVE-4 in web", "sev": "critical", "spans": [[monday, hour]], "is_start_known": False},
        {"id": "CVE-5 in web", "sev": "unknown", "spans": [[monday, None]]},
    ])  # fmt: skip

    assert made.findings == (
        "Critical security findings, 24 h each: 10 opened, 1 of 8 deadlines met, 7 overdue, 7 still open",
        "Dismissed, which is not fixed: CVE-3 in web",
        "Fixed within 24 h of when we heard, and nobody says when it was found: 1, not counted",
        "Open, and nobody says how severe: 1, not counted",
    )
    assert made.attention == (
        "Critical vulnerabilities past 24 h: CVE-20 in web, CVE-21 in web, CVE-22 in web, CVE-23 in web, CVE-24 in web and 2 more",
    )
    assert "*Security*" in shown(made)
    assert digest_of().findings == digest_of(vulnerabilities=[]).findings == ()
    assert cells(digest_of(), "critical vuln")[3] == "– no source"


def test_more_than_seven_things_are_seven_and_a_number():
    told = [one for number in range(1, 61) for one in lived(number, after(number), acked=300 + number, title="x" * 500)]
    made = digest_of(told)

    assert len(made.attention) == 8
    assert made.attention[-1] == "… and 53 more"
    assert all(len(one) < 200 for one in made.attention)
    assert "0 of 60 pages acknowledged in 5 min" in shown(made)


def test_a_late_answer_says_how_late_and_one_that_never_came_says_so():
    made = digest_of(lived(1, acked=300), lived(2, after(10), acked=3725, over=4000), paged(after(20), "INC-3"))

    assert "INC-1 (SEV2, Checkout error rate high) acknowledged after 5 min 0 s: target missed" in made.attention
    assert "INC-2 (SEV2, Checkout error rate high) acknowledged after 1 h 2 min: target missed" in made.attention
    assert "INC-3 (SEV2, Checkout error rate high) never acknowledged: target missed" in made.attention


def test_one_miss_of_many_is_not_shown_as_all():
    told = [lived(number, after(number), acked=60) for number in range(1, 250)]
    made = digest_of(*told, lived(250, acked=300))

    assert cells(made, "acknowledged") == ("99.6 %", "250", "– · – · – · –", "❌ missed")


def test_one_failure_of_many_is_not_shown_as_none():
    deployments = [one | {"id": f"{one['id']}/{turn}"} for one in MANY for turn in range(3)]
    made = digest_of(lived(7), entry("deploy_caused", after(9), ANA, deploy="D-1/0"), deployments=deployments)

    assert cells(made, "change failure")[:2] == ("0.3 %", "300")


def test_nobody_was_paged_is_said_only_where_nobody_was():
    sunday = datetime(2026, 6, 7, 23, 59, tzinfo=UTC)
    made = digest_of(opened(sunday), page(sunday), page(sunday + timedelta(minutes=5), BEN), ack(sunday + timedelta(minutes=6), BEN))

    assert made.load[0].startswith("On-call load: 1 page, 1 interruption")
    assert "nobody was paged" not in made.headline
    assert made.headline == "No new incident. 1 page for earlier ones."


def test_a_week_of_drills_alone_is_no_week_of_incidents():
    made = digest_of(lived(7, drill=True))

    assert made.headline == "No new incident."
    assert made.load[0].startswith("On-call load: 0 pages")
    assert "Left out of acknowledgement: 1 drill" in made.footer


def test_a_page_that_is_still_running_is_neither_met_nor_missed():
    made = digest_of(paged(), now=after(2))

    assert made.headline == "1 incident (1 SEV2). no page counts for the acknowledgement target. 1 page still running."
    assert cells(made, "acknowledged")[0] == "–"


def test_a_week_in_which_the_clocks_changed_says_how_long_it_was():
    at = datetime(2026, 3, 25, 12, tzinfo=UTC)
    short = digest_of(lived(7, at), week="2026-W13", now=at + timedelta(days=5), tz="Europe/Berlin")
    half = digest_of(lived(7, at), week="2026-W14", now=at + timedelta(days=12), tz="Australia/Lord_Howe")

    assert short.footer[0] == "Monday to Monday in Europe/Berlin, 167 h because the clocks changed · made 2026-03-30 14:00 CEST"
    assert "168.5 h because the clocks changed" in half.footer[0]
    assert digest_of(week="2026-W53", now=datetime(2027, 1, 4, tzinfo=UTC)).title == "Incident week 53 · 28 December – 3 January 2027"
    assert digest_of(week="2027-W01", now=datetime(2027, 1, 11, tzinfo=UTC)).title == "Incident week 1 · 4 January – 10 January 2027"


# --- reviews and actions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "days", "is_missing"),
    [
        ("SEV1", 2.9, False),
        ("SEV1", 3, False),
        ("SEV1", 3.1, True),
        ("SEV2", 6.9, False),
        ("SEV2", 7.1, True),
        ("SEV3", 60, False),
        ("SEV1", 91, False),
    ],
)
def test_a_review_is_missing_from_when_it_was_due(severity, days, is_missing):
    made = digest_of(lived(7, severity=severity, over=0), now=NOON + timedelta(days=days))

    assert any("has no post-mortem draft" in one for one in made.attention) is is_missing


@pytest.mark.parametrize(
    "told",
    [
        entry("postmortem_drafted", after(60), template="default"),
        entry("cancelled", after(5), ANA, reason="false_positive"),
        entry("merged", after(5), ANA, into="INC-1"),
        entry("reopened", after(60), ANA),
    ],
    ids=["there is a draft", "it was none", "it was a duplicate", "it is open"],
)
def test_no_review_is_missed_of_what_needs_none_or_has_one(told):
    made = digest_of(lived(7), told, now=NOON + timedelta(days=30))

    assert not any("post-mortem" in one for one in made.attention)


@pytest.mark.parametrize(
    ("states", "is_late"),
    [
        ([("2026-06-14", "open")], True),
        ([("2026-06-15", "open")], False),
        ([("2026-06-14", "done")], False),
        ([("2026-06-01", "open"), ("2026-06-20", "open")], False),
        ([("2026-06-01", "open"), ("2026-06-01", "done")], False),
        ([("2026-06-01", "done"), ("2026-06-01", "open")], True),
        ([(None, "open")], False),
        ([("soon", "open")], False),
    ],
)
def test_an_action_is_late_by_what_was_said_of_it_last(states, is_late):
    said = [
        entry("follow_up", after(30 + number), ANA, id="F-1", text="t", state=state, **({"due": due} if due else {}))
        for number, (due, state) in enumerate(states)
    ]

    assert any("action F-1 was due" in one for one in digest_of(lived(7), said).attention) is is_late


# --- people and private incidents -------------------------------------------------------------


def test_nobody_is_named_unless_the_team_shares_it():
    told = [*lived(1), *lived(2, after(60)), page(after(5), BEN, "INC-1")]

    assert ANA not in shown(digest_of(told))
    assert digest_of(told, names={ANA: "Ana Silva"}).load[1] == f"Interruptions by person: Ana Silva 2, {BEN} 1"


def test_nothing_of_a_private_incident_is_told_but_that_there_was_one():
    secret = {"private": True, "title": "Customer data at Acme", "severity": "SEV1", "service": "vault"}
    fires = [entry("alert_started", after(one), alert="VaultLeak", fingerprint="v") for one in (0, 5, 10)]
    told = [*paged(**secret), *fires, ack(after(9)), resolved(after(20)), entry("reopened", after(60), ANA), page(after(60)),
            ack(after(50), BEN, "INC-8"), *lived(9, after(-1), severity="SEV4", private=True, title="Acme again"),
            entry("follow_up", after(80), ANA, id="F-7", text="tell Acme", due="2026-06-12", state="open"),
            entry("mitigated", after(85), ANA, impact_ended_at="2026-06-10T10:00:00Z"), ack(after(-9))]  # fmt: skip
    made = digest_of(told, now=MONDAY + timedelta(days=20))
    text = shown(made)

    assert made.headline.startswith("2 incidents (1 SEV1, 1 SEV4)")
    assert "A private incident is still open" in made.attention
    for word in ("Acme", "VaultLeak", "vault", "INC-7", "INC-9"):
        assert word not in text


def test_an_alert_that_others_fired_too_is_named_with_its_noise():
    fired = [entry("alert_started", after(1), "bot", ref, alert="DiskFull", fingerprint=ref) for ref in ("INC-1", "INC-2")]

    assert digest_of(paged(incident="INC-1", private=True), paged(incident="INC-2"), fired).noise == (
        "DiskFull: fired 2 times, 2 pages",
    )


# --- Slack ------------------------------------------------------------------------------------


def test_hostile_text_calls_nobody_and_links_nowhere():
    fires = [entry("alert_started", after(one), "bot", "INC-1", alert=HOSTILE, fingerprint="f") for one in (1, 2, 3)]
    told = [*lived(1, acked=400, title=HOSTILE), *fires, *paged(after(5), "INC-<!here>", title=HOSTILE),
            page(after(6), "<!subteam^S1>", "INC-1"),
            entry("follow_up", after(30), ANA, "INC-1", id=HOSTILE, text="t", due="2026-06-01<!here>", state="open"),
            *paged(after(7), "INC-3"), ack(after(6), "<!here>", "INC-3")]  # fmt: skip
    open_ = [{"id": HOSTILE, "sev": "critical", "spans": [["2026-06-09T00:00:00Z", None]]}]
    made = digest_of(told, vulnerabilities=open_, names={ANA: "<!everyone>"}, now=MONDAY + timedelta(days=20))
    text = shown(made)

    for wrong in ("<!", "<@", "<#", "<http", "\u202e"):
        assert wrong not in text
    assert "&lt;!channel&gt;" in text
    assert "\\n\\u202e" not in text


def test_a_line_of_the_digest_is_one_line_whatever_a_title_holds():
    made = digest_of(lived(1, acked=400, title="first\nsecond\r\n\u2028third\x1b[2J"))
    (block,) = (one for one in answers.digest(made).blocks if "Needs attention" in str(one))

    assert block["text"]["text"].splitlines() == [
        "*Needs attention*",
        "• INC-1 (SEV2, first second third[2J) acknowledged after 6 min 40 s: target missed",
    ]


def test_the_digest_is_a_table_where_slack_takes_one_and_text_where_not():
    made = digest_of(lived(7))
    with_table, without = answers.digest(made), answers.digest(made, with_table=False)

    (table,) = (one for one in with_table.blocks if one["type"] == "table")
    assert [cell["text"] for cell in table["rows"][0]] == ["Target", "This week", "n", "Last 4 weeks", "Status"]
    assert len(table["rows"]) == 11
    assert all(cell["text"] for line in table["rows"] for cell in line)
    assert not any(one["type"] == "table" for one in without.blocks)
    assert "acknowledged under 5 min" in json.dumps(without.blocks)
    assert with_table.text == f"{made.title}: {made.headline}"


@pytest.mark.skipif(not SCHEMA.is_file(), reason="Slack's schema of blocks is not beside this checkout")
def test_the_digest_is_what_slacks_own_schema_allows():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    told = [*lived(1, acked=400, title=HOSTILE), *paged(after(5), "INC-2"), *lived(3)]
    for made in (digest_of(), digest_of(told)):
        for with_table in (True, False):
            blocks = list(answers.digest(made, with_table=with_table).blocks)
            jsonschema.validate(blocks, {"definitions": schema["definitions"], "$ref": "#/definitions/KnownBlocks"})


@given(TIMELINES, st.randoms(use_true_random=False), st.integers(-20, 60_000))
@settings(max_examples=60, deadline=None)
def test_any_week_fits_into_slack_and_the_order_of_lines_changes_no_word(told: list[Entry], chance: random.Random, minutes: int):
    more = [entry("follow_up", after(9), ANA, "INC-1", id="F-1", due=due, state="open") for due in ("2026-06-01", "2099-01-01")]
    lines = [*told, *more]
    made = digest_of(lines, now=after(minutes))
    shown(made)
    shuffled = [*lines, *lines]
    chance.shuffle(shuffled)

    assert digest_of(shuffled, now=after(minutes)) == made


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_title_and_any_alert_fit_into_slack_and_open_no_tag(title: str, alert: str):
    fired = entry("alert_started", after(1), "bot", "INC-1", alert=alert, fingerprint="f")
    text = shown(digest_of(lived(1, acked=400, title=title), fired))

    assert not re.search(r"<\S", text)


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([None, None], "··"),
        ([3, 3, 3], "▄▄▄"),
        ([0, 0], "▄▄"),
        ([0, 7], "▁█"),
        ([0, 1, None, 2, 7], "▁▂·▃█"),
        ([90, 100], "▇█"),
    ],
)
def test_a_sparkline_starts_at_zero_and_shows_its_gaps(values, bars):
    assert digest.sparkline(values) == bars


# --- when it comes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "at", "zone", "expected"),
    [
        ("2026-06-15", "09:00", "Europe/Berlin", "2026-06-15T07:00"),
        ("2026-10-26", "09:00", "America/New_York", "2026-10-26T13:00"),
        ("2026-11-02", "09:00", "America/New_York", "2026-11-02T14:00"),
        ("2026-06-15", "09:00", "Asia/Kathmandu", "2026-06-15T03:15"),
        ("2026-03-29", "02:30", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-10-25", "02:30", "Europe/Berlin", "2026-10-25T00:30"),
        ("2026-10-04", "02:10", "Australia/Lord_Howe", "2026-10-03T15:30"),
        ("2026-09-06", "00:00", "America/Santiago", "2026-09-06T04:00"),
    ],
    ids=["summer", "before the change", "after the change", "a quarter of an hour", "a time that does not exist",
         "a time that comes twice", "half an hour that does not exist", "a midnight that does not exist"],
)  # fmt: skip
def test_a_time_by_the_clock_is_kept_when_the_clocks_change(day, at, zone, expected):
    moment = digest.local_time(date.fromisoformat(day), time.fromisoformat(at), ZoneInfo(zone))

    assert moment == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def due(newest: str, now: str, zone: ZoneInfo = BERLIN, weekday: str = "monday", at: time = time(9)):
    found = digest.due(newest, datetime.fromisoformat(now).replace(tzinfo=zone), zone, weekday, at)
    return [(week, f"{moment.astimezone(zone):%m-%d %H:%M}") for week, moment in found]


@pytest.mark.parametrize(
    ("newest", "now", "expected"),
    [
        ("2026-W23", "2026-06-10T12:00", [("2026-W24", "06-15 09:00")]),
        ("2026-W23", "2026-06-15T08:59", [("2026-W24", "06-15 09:00"), ("2026-W25", "06-22 09:00")]),
        ("2026-W23", "2026-06-15T09:01", [("2026-W24", "06-15 09:00"), ("2026-W25", "06-22 09:00")]),
        ("2026-W24", "2026-06-15T09:01", [("2026-W25", "06-22 09:00")]),
        ("2026-W20", "2026-06-21T23:59", [("2026-W24", "06-15 09:00"), ("2026-W25", "06-22 09:00")]),
        ("2026-W20", "2026-06-22T08:59", [("2026-W24", "06-15 09:00"), ("2026-W25", "06-22 09:00"), ("2026-W26", "06-29 09:00")]),
        ("2026-W20", "2026-06-22T09:00", [("2026-W25", "06-22 09:00"), ("2026-W26", "06-29 09:00")]),
        ("2026-W52", "2027-01-04T10:00", [("2026-W53", "01-04 09:00"), ("2027-W01", "01-11 09:00")]),
        ("2026-W53", "2027-01-04T10:00", [("2027-W01", "01-11 09:00")]),
        ("2026-W11", "2026-03-30T09:30", [("2026-W13", "03-30 09:00"), ("2026-W14", "04-06 09:00")]),
    ],
)
def test_the_last_that_was_missed_comes_late_and_older_ones_do_not(newest, now, expected):
    assert due(newest, now) == expected


def test_another_weekday_and_time_are_kept():
    assert due("2026-W23", "2026-06-10T12:00", weekday="wednesday", at=time(16, 30)) == [("2026-W24", "06-17 16:30")]


class Weeks:
    """A bot that does nothing but its digests, and a clock. `posted` is what it asked for, and when."""

    def __init__(self, store, folder: Path, now: datetime) -> None:
        policy = folder / "policy.yaml"
        policy.write_text("team: {zone: Europe/Berlin}\n", encoding="utf-8")
        files = Settings(
            _env_file=None, policy_file=policy, runbooks_dir=TOP / "runbooks", templates_dir=TOP / "postmortem_templates"
        )
        self._store, self.files, self.now = store, files, now
        self.posted: list[tuple[str, datetime]] = []
        self.alarms: list[str] = []
        self.starts()

    def starts(self) -> None:
        """Everything that is not in the record is new."""
        choices = Choices(self.files)
        self.numbers = Numbers(self._store, lambda: self.now, choices)
        door = Door(self._store, lambda: self.now, choices.policy, lambda: (), saved=self._saved)
        self._timers = DueTimers(store=self._store, door=door)

    def _saved(self, decision) -> None:
        self.posted += [(one.week, self.now) for one in decision.effects if isinstance(one, PostDigest)]
        self.alarms += [one.text for one in decision.effects if isinstance(one, RaiseAlarm)]

    def ticks(self) -> None:
        self.numbers.ensure_digest()
        self._timers.run_once()

    def runs_until(self, end: datetime, step: timedelta = timedelta(hours=1)) -> None:
        while self.now < end:
            self.now += step
            self.ticks()


@pytest.mark.parametrize(("same", "is_same"), [(0, True), (60, False)], ids=["took long", "made at once"])
def test_whoever_asks_again_within_seconds_gets_the_digest_that_took_long_to_make_and_later_another(store, tmp_path, same, is_same):
    weeks = Weeks(store, tmp_path, at("2026-06-12T12:00"))
    numbers = Numbers(store, lambda: weeks.now, Choices(weeks.files), same)
    first, other = numbers.digest_soon("2026-W24"), numbers.digest_soon("2026-W23")
    first = numbers.digest_soon("2026-W24")
    weeks.now += SAME_FOR - timedelta(seconds=1)
    assert (numbers.digest_soon("2026-W24") is first) == is_same
    weeks.now += timedelta(seconds=1)

    later = numbers.digest_soon("2026-W24")
    assert later is not first
    assert later.title == first.title != other.title


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def test_a_digest_comes_every_monday_at_nine_once_also_when_the_clocks_change(store, tmp_path):
    weeks = Weeks(store, tmp_path, at("2026-03-18T12:00"))
    weeks.runs_until(at("2026-04-07T12:00"))

    assert weeks.posted == [
        ("2026-W12", at("2026-03-23T09:00")),
        ("2026-W13", at("2026-03-30T09:00")),
        ("2026-W14", at("2026-04-06T09:00")),
    ]
    assert weeks.posted[1][1] - weeks.posted[0][1] == timedelta(hours=167)


def test_a_digest_that_was_missed_comes_late_once_and_not_again_after_a_restart(store, tmp_path):
    weeks = Weeks(store, tmp_path, at("2026-06-12T12:00"))
    weeks.ticks()
    weeks.now = at("2026-06-16T15:00")
    weeks.starts()
    weeks.ticks()
    assert weeks.posted == [("2026-W24", at("2026-06-16T15:00"))]

    for _ in range(3):
        weeks.starts()
        weeks.ticks()
    weeks.runs_until(at("2026-06-21T15:00"), timedelta(hours=12))
    assert len(weeks.posted) == 1


def test_after_a_month_away_one_digest_is_late_and_not_four(store, tmp_path):
    weeks = Weeks(store, tmp_path, at("2026-05-06T12:00"))
    weeks.ticks()
    weeks.now = at("2026-06-16T15:00")
    weeks.ticks()

    assert weeks.posted == [("2026-W24", at("2026-06-16T15:00"))]
    assert [one.split()[3] for one in weeks.alarms] == [f"2026-W{week}" for week in (19, 20, 21, 22, 23)]


@pytest.mark.parametrize(
    ("back", "posted", "left_out"),
    [
        ("2026-06-15T09:00:01", ["2026-W24"], []),
        ("2026-06-15T10:00:00", ["2026-W24"], []),
        ("2026-06-21T09:00:00", ["2026-W24"], []),
        ("2026-06-22T08:59:59", ["2026-W24"], []),
        ("2026-06-23T09:00:00", ["2026-W25"], ["2026-W24"]),
    ],
    ids=["1 s", "1 h", "6 d", "nearly 7 d", "8 d"],
)
def test_a_digest_that_is_late_is_posted_once_and_a_week_late_it_is_left_out_and_that_is_said(
    store, tmp_path, back, posted, left_out
):
    weeks = Weeks(store, tmp_path, at("2026-06-12T12:00"))
    weeks.runs_until(at("2026-06-15T08:00"))
    weeks.now = at(back)
    for _ in range(3):
        weeks.starts()
        weeks.ticks()

    assert [week for week, _ in weeks.posted] == posted
    assert [one.split()[3] for one in weeks.alarms] == left_out


def test_a_digest_that_is_asked_for_by_hand_is_never_too_late(store, tmp_path):
    door = Door(store, lambda: at("2026-06-16T15:00"), Policy, lambda: ())

    assert door.handle(DigestDue("2026-W02")).decision.effects == (PostDigest("2026-W02"),)


def test_a_new_installation_owes_no_digest_of_before_it(store, tmp_path):
    weeks = Weeks(store, tmp_path, at("2026-06-16T15:00"))
    weeks.runs_until(at("2026-06-22T08:00"))

    assert weeks.posted == []


def test_a_digest_that_somebody_posts_early_does_not_replace_mondays(store, tmp_path):
    weeks = Weeks(store, tmp_path, at("2026-06-10T12:00"))
    weeks.ticks()
    store.digest_posted("2026-W24", "C1", "1.0", weeks.now)
    store.digest_posted("2026-W40", "C1", "2.0", weeks.now)
    weeks.starts()
    weeks.runs_until(at("2026-06-23T12:00"))

    assert weeks.posted == [("2026-W24", at("2026-06-15T09:00")), ("2026-W25", at("2026-06-22T09:00"))]


def test_a_week_has_one_message_however_often_its_digest_is_asked_for(tmp_path):
    with telling(f"sqlite:///{tmp_path / 'story.db'}") as story:
        week = story.bot.numbers.week_now(story.world.clock())
        for _ in range(3):
            story.bot.door.handle(DigestDue(week))
            story.comes_to_rest()
        first = [one for one in story.messages("incidents") if "Incident week" in one["text"]]
        story.types("dmitri", "/incident declare sev1 checkout is slow")
        story.bot.door.handle(DigestDue(week))
        story.says("incidents", "1 incident (1 SEV1)")
        story.comes_to_rest()

        (message,) = (one for one in story.messages("incidents") if "Incident week" in one["text"])
        assert [one["ts"] for one in first] == [message["ts"]]
        slack.check(message["blocks"])


def test_the_digest_counts_the_people_of_another_day_in_their_own_hours():
    at_night = datetime(2026, 6, 10, 23, 0, tzinfo=UTC)
    told = [opened(at_night), page(at_night, CHLOE)]

    assert "1 in sleeping hours" in digest_of(told).load[0]
    assert "1 in working hours" in digest_of(told, people={CHLOE: "Asia/Tokyo"}).load[0]
