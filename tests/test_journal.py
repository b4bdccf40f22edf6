"""The journal: read whole or refused whole, written the same for the same record, and carried in and out by the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import journal as journals
from bot.clock import wall_clock
from bot.commands import main
from bot.errors import Refused, Unreadable
from bot.handle import Door
from bot.incidents import inputs as says
from bot.incidents.incident import Severity
from bot.incidents.policy import Policy, RouteRule
from bot.incidents.timeline import Entry
from bot.journal import Journal
from bot.metrics import week_metrics
from bot.metrics.week import SHAPES
from bot.store import Store
from tests.builders import ANA, BEN, NOON, after, alert, pager
from tests.databases import sqlite
from tests.metrics.test_week import BY_HAND

TOP = Path(__file__).parents[1]
LINE = {"at": "2026-06-10T12:00:00Z", "type": "opened", "incident": "INC-7", "by": "bot", "severity": "SEV2"}
WEEK = "2026-W13"
AS_OF = "2026-04-01T00:00:00Z"
COUNT = len(json.loads(BY_HAND)["events"])


def file_of(*lines, **parts) -> str:
    return json.dumps({"events": list(lines), **parts})


def read_line(**changes) -> Entry:
    """The entry of a line like LINE; a change to None leaves the field out."""
    line = {name: value for name, value in (LINE | changes).items() if value is not None}
    return journals.read(file_of(line)).entries[0]


# --- reading ----------------------------------------------------------------------------------


def test_only_the_entries_are_needed_and_what_is_missing_stays_missing():
    assert journals.read('{"events": []}') == Journal((), "UTC", {}, {})


def test_a_part_that_is_there_and_empty_is_a_source_that_found_nothing():
    known = journals.read('{"events": [], "deployments": [], "p95_ms": 0, "people": {}}')

    assert known.others == {"deployments": [], "p95_ms": 0}
    assert week_metrics(known, WEEK, NOON).deployments == {"count": 0, "per_day": 0}


def test_an_entry_is_read_with_everything_it_says():
    line = LINE | {"title": "Caché", "link": {"url": "https://x.example", "n": [1, 2.5, None, True]}}

    assert journals.read(file_of(line).encode()).entries == (
        Entry(NOON, "opened", "INC-7", "bot", {"severity": "SEV2", "title": "Caché", "link": line["link"]}),
    )


@pytest.mark.parametrize(
    "text", ["2026-06-10T12:00:00Z", "2026-06-10T14:00:00+02:00", "2026-06-10T17:45:00+05:45", "2026-06-10T12:00:00.000Z"]
)
def test_a_time_is_the_same_moment_in_whatever_zone_it_is_written(text):
    assert read_line(at=text).at == NOON
    assert read_line(at=text).at.tzinfo is UTC


def test_the_same_content_is_the_same_entry_however_it_is_written():
    same = {name: LINE[name] for name in reversed(LINE)} | {"at": "2026-06-10T14:00:00+02:00"}

    assert len(journals.read(file_of(LINE, LINE, same)).entries) == 1
    assert len(journals.read(file_of(LINE, LINE | {"by": "ana"})).entries) == 2


def test_a_byte_order_mark_and_blanks_around_are_no_matter():
    assert journals.read(b"\xef\xbb\xbf \r\n" + file_of(LINE).encode() + b"\n\n").entries


def test_a_kind_that_nobody_knows_is_kept_with_all_its_fields():
    strange = read_line(type="coffee_brought", value="hot", next_by="whenever", drill="yes", severity="mild")

    assert strange.fields == {"value": "hot", "next_by": "whenever", "drill": "yes", "severity": "mild"}


def test_a_field_that_nobody_knows_is_kept_and_changes_no_number():
    plain = journals.read(BY_HAND)
    more = json.loads(BY_HAND)
    more["events"] = [one | {"region": "eu-west-1"} for one in more["events"]]
    more["made_by"] = "another tool"
    known = journals.read(json.dumps(more))

    assert {one.fields["region"] for one in known.entries} == {"eu-west-1"}
    as_of = datetime.fromisoformat(AS_OF)
    assert week_metrics(known, WEEK, as_of) == week_metrics(plain, WEEK, as_of)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"line 1: not JSON"),
        ('{"events": [\n  {"at": "x"\n  {}]}', r"line 3: not JSON"),
        ('{"events": [],\n}', r"line 2: not JSON"),
        (b'{\n "events": [],\n "tz": "\xff"}', r"line 3: not UTF-8"),
        ("[]", r"line 1: expected a JSON object with `events`"),
        ("{}", r"events: missing, or not a list"),
        ('{"events": {}}', r"events: missing, or not a list"),
        ('{"events": [], "p95_ms": NaN}', r"NaN is not a number"),
        ('{"events": [], "p95_ms": 1e999}', r"1e999 is not a number"),
        ('{"events": [{"x": -1e999}]}', r"-1e999 is not a number"),
        ('{"events": [], "p95_ms": ' + "9" * 5000 + "}", r"not JSON: a number of more than"),
        ("[" * 100_000, r"line 1: nested too deep"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_with_its_line(text, problem):
    with pytest.raises(Unreadable, match=problem):
        journals.read(text)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"at": None}, r"events\[1\]\.at: missing, or not text"),
        ({"at": 1781092800}, r"events\[1\]\.at: missing, or not text"),
        ({"at": "yesterday"}, r"events\[1\]\.at: 'yesterday' is not a time like"),
        ({"at": "2026-06-10T12:00:00"}, r"events\[1\]\.at: '2026-06-10T12:00:00' has no zone"),
        ({"at": "2026-06-10"}, r"events\[1\]\.at: '2026-06-10' has no zone"),
        ({"at": "2026-02-30T12:00:00Z"}, r"events\[1\]\.at: .* is not a time like"),
        ({"at": "0001-01-01T00:00:00+05:00"}, r"events\[1\]\.at: .* is not a time like"),
        ({"type": ""}, r"events\[1\]\.type: missing, or not text"),
        ({"incident": None}, r"events\[1\]\.incident: missing, or not text"),
        ({"incident": 7}, r"events\[1\]\.incident: missing, or not text"),
        ({"incident": "INC\x007"}, r"events\[1\]\.incident: holds a character that cannot be stored"),
        ({"by": "\x00"}, r"events\[1\]\.by: holds a character that cannot be stored"),
        ({"incident": "INC-\ud800"}, r"events\[1\]: holds half a character"),
        ({"title": "x \udfff"}, r"events\[1\]: holds half a character"),
        ({"by": ["ana"]}, r"events\[1\]\.by: expected a person's name"),
        ({"severity": "critical"}, r"events\[1\]\.severity: expected SEV1 to SEV5, not 'critical'"),
        ({"severity": ["SEV1"]}, r"events\[1\]\.severity: expected SEV1 to SEV5"),
        ({"drill": "false"}, r"events\[1\]\.drill: expected true or false, not 'false'"),
        ({"private": 1}, r"events\[1\]\.private: expected true or false, not 1"),
        ({"type": "severity_changed", "to": 1}, r"events\[1\]\.to: expected SEV1 to SEV5, not 1"),
        ({"type": "merged"}, r"events\[1\]\.into: expected an incident"),
        ({"type": "impact_started_set"}, r"events\[1\]\.value: expected a time"),
        ({"type": "impact_started_set", "value": "noon"}, r"events\[1\]\.value: 'noon' is not a time"),
        ({"type": "resolved", "effective_at": "soon"}, r"events\[1\]\.effective_at: 'soon' is not a time"),
        ({"type": "resolved", "effective_at": 12}, r"events\[1\]\.effective_at: 12 is not a time"),
        ({"type": "resolved", "auto": "no"}, r"events\[1\]\.auto: expected true or false, not 'no'"),
        ({"type": "page_feedback", "actionable": "false"}, r"events\[1\]\.actionable: expected true or false"),
        ({"type": "mitigated", "impact_ended_at": "2026-06-10T12:00"}, r"events\[1\]\.impact_ended_at: .* has no zone"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_its_index_and_what_is_wrong(changes, problem):
    wrong = {name: value for name, value in (LINE | changes).items() if value is not None}

    with pytest.raises(Unreadable, match=problem):
        journals.read(file_of(LINE, wrong))


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"tz": "Mars/Phobos"}, r"tz: 'Mars/Phobos' is not an IANA time zone"),
        ({"tz": ["UTC"]}, r"tz: \['UTC'\] is not an IANA time zone"),
        ({"people": {"ana": "CET+1"}}, r"people\.ana: 'CET\+1' is not an IANA time zone"),
        ({"people": {"ana": ["UTC"]}}, r"people\.ana: \['UTC'\] is not an IANA time zone"),
        ({"people": ["ana"]}, r"people: expected a map"),
        ({"deployments": {}}, r"deployments: expected a list of objects"),
        ({"deployments": ["D-1"]}, r"deployments: expected a list of objects"),
        ({"deployments": [{"id": "D-1"}]}, r"deployments\[0\]\.at: .* is not a time"),
        ({"changes": [{"sha": "a", "committed_at": "x"}]}, r"changes\[0\]\.committed_at: 'x' is not a time"),
        ({"vulnerabilities": [{"id": "V"}]}, r"vulnerabilities\[0\]\.spans: expected a list"),
        ({"vulnerabilities": [{"spans": [["2026-06-10T12:00:00Z"]]}]}, r"vulnerabilities\[0\]\.spans: expected a list"),
        ({"vulnerabilities": [{"spans": [[None, None]]}]}, r"vulnerabilities\[0\]\.spans\[0\]\[0\]: None is not a time"),
        ({"repos": 3}, r"repos: expected an object"),
        ({"repos": {"in_scope": "20"}}, r"repos\.in_scope: expected a number"),
        ({"repos": {"in_scope": 20, "scanned_ok": ["web"]}}, r"repos: expected numbers everywhere, or lists everywhere"),
        ({"requests": {"total": "many"}}, r"requests\.total: expected a number"),
        ({"requests": {"total": 10, "5xx": True}}, r"requests\.5xx: expected a number"),
        ({"requests": {"total": 10, "5xx": -1}}, r"requests\.5xx: expected a number that is not negative"),
        ({"probes": {"good": [], "valid": 3}}, r"probes\.good: expected a number"),
        ({"p95_ms": "200"}, r"p95_ms: expected a number"),
        ({"p95_ms": True}, r"p95_ms: expected a number"),
    ],
)
def test_what_stands_beside_the_entries_is_refused_where_no_number_can_be_made_of_it(parts, problem):
    with pytest.raises(Unreadable, match=problem):
        journals.read(file_of(LINE, **parts))


# --- writing ----------------------------------------------------------------------------------


def test_a_journal_reads_as_it_was_written():
    known = journals.read(BY_HAND)
    again = journals.read(journals.write(known))

    assert len(again.entries) == COUNT
    assert all(one in again.entries for one in known.entries)
    assert (again.tz, again.people, again.others) == (known.tz, known.people, known.others)


def test_the_same_content_gives_the_same_bytes_whatever_its_order():
    turned = json.loads(BY_HAND)
    turned["events"] = [dict(reversed(one.items())) for one in reversed(turned["events"])] * 2

    assert journals.write(journals.read(json.dumps(turned))) == journals.write(journals.read(BY_HAND))


def test_an_entry_is_written_on_a_line_of_its_own_in_order_of_time():
    text = journals.write(journals.read(BY_HAND))
    lines = [line.strip().rstrip(",") for line in text.splitlines() if '"at":' in line and '"incident":' in line]
    told = [json.loads(line.removeprefix('"events": ').removeprefix("[")) for line in lines]

    assert len(told) == COUNT
    assert [one["at"] for one in told] == sorted(one["at"] for one in told)
    assert list(told[0]) == ["at", "type", "incident", "alert", "fingerprint"]


def test_the_same_entry_is_written_once():
    one = Entry(NOON, "note", "INC-7", ANA, {"text": "x", "link": None})
    same = Entry(NOON, "note", "INC-7", ANA, {"text": "x"})

    assert journals.write(Journal((one, same))) == journals.write(Journal((same,)))


def test_an_empty_journal_can_be_written_and_read():
    assert journals.read(journals.write(Journal(()))) == Journal(())


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=4,
)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
LINES = st.builds(
    lambda seconds, type_, incident, by, more: {
        **more, "at": (NOON + timedelta(seconds=seconds)).isoformat(), "type": type_, "incident": incident,
    } | ({} if by is None else {"by": by}),
    st.integers(-10**6, 10**6) | st.floats(-1000, 1000).map(lambda one: round(one, 6)),
    st.sampled_from(["note", "ack", "page", "of_a_kind_nobody_knows"]),
    st.sampled_from(["INC-1", "INC-2"]) | NAMES,
    st.none() | st.sampled_from(["ana", "bot"]) | NAMES,
    st.dictionaries(TEXTS.filter(lambda name: name not in ("at", "type", "incident", "by")), PLAIN, max_size=3),
)  # fmt: skip


@given(st.lists(LINES, max_size=6), st.sampled_from(["UTC", "Asia/Kathmandu"]))
@settings(max_examples=100, deadline=None)
def test_writing_what_was_read_from_a_written_journal_changes_no_byte(lines, tz):
    once = journals.write(journals.read(file_of(*lines, tz=tz)))

    assert journals.write(journals.read(once)) == once


# --- in and out of the record -----------------------------------------------------------------


class CommandLine:
    """`python -m bot …` on a database, and what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys, self.folder = capsys, folder

    def __call__(self, *arguments: object) -> str:
        code = main([str(one) for one in arguments])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out

    def fails(self, *arguments: object) -> str:
        """The one line of why; nothing on standard output."""
        code = main([str(one) for one in arguments])
        said = self._capsys.readouterr()
        assert code == 2
        assert said.out == ""
        assert "Traceback" not in said.err
        return said.err.strip()

    def file(self, text: str, name: str = "journal.json") -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def imports(self, text: str, name: str = "journal.json") -> str:
        return self("import", self.file(text, name))


def settled(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> None:
    """The environment of a bot that has nothing but a database. The folder holds no .env and no policy."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("RUNBOOKS_DIR", str(TOP / "runbooks"))
    monkeypatch.setenv("TEMPLATES_DIR", str(TOP / "postmortem_templates"))


@pytest.fixture
def bot(monkeypatch, capsys, tmp_path, database_url) -> CommandLine:
    """On a migrated, empty database of each kind."""
    settled(monkeypatch, database_url, tmp_path)
    return CommandLine(capsys, tmp_path)


@pytest.fixture
def fresh(monkeypatch, capsys, tmp_path) -> CommandLine:
    """On a database that is not there yet."""
    settled(monkeypatch, f"sqlite:///{tmp_path / 'fresh.db'}", tmp_path)
    return CommandLine(capsys, tmp_path)


def metrics(bot: CommandLine, week: str = WEEK, as_of: str = AS_OF):
    return json.loads(bot("metrics", "--week", week, "--as-of", as_of, "--json"))


def test_an_imported_journal_has_the_numbers_of_its_file(bot):
    assert bot.imports(BY_HAND) == f"Added {COUNT} entries to 9 incidents; 0 were there already.\n"

    expected = week_metrics(journals.read(BY_HAND), WEEK, datetime.fromisoformat(AS_OF)).as_json()
    assert metrics(bot) == json.loads(json.dumps(expected, default=str))


def test_importing_a_file_twice_changes_nothing(bot):
    bot.imports(BY_HAND)
    before = (bot("export"), metrics(bot))

    assert bot.imports(BY_HAND) == f"Added 0 entries to 9 incidents; {COUNT} were there already.\n"
    assert (bot("export"), metrics(bot)) == before


def test_an_export_that_is_imported_elsewhere_is_exported_the_same(bot, tmp_path, monkeypatch):
    bot.imports(BY_HAND)
    once = bot("export")

    settled(monkeypatch, f"sqlite:///{tmp_path / 'elsewhere.db'}", tmp_path)
    bot.imports(once)
    assert bot("export") == once
    assert journals.write(journals.read(BY_HAND)) == once


def lived_through(store: Store) -> None:
    """An incident as the bot itself records one, through the door."""
    at = {"now": NOON}
    policy = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
    door = Door(store, lambda: at["now"], lambda: policy, lambda: ())
    number = door.handle(says.AlertReported(alert(), "main")).incident.number
    at["now"] = after(2)
    door.handle(says.Acknowledge(number, ANA))
    door.handle(says.PostUpdate(number, "Rolling back", ANA, next_minutes=15))
    door.handle(says.AddNote(number, "nul \x00 and <!channel>", BEN))
    at["now"] = after(9)
    door.handle(says.Resolve(number, ANA, "rolled back"))
    at["now"] = after(30)
    door.handle(says.Reopen(number, BEN))
    at["now"] = after(40)
    door.handle(says.Declare(title="Mail is late", by=BEN, severity=Severity.SEV4, private=True, drill=True))


def test_the_record_of_the_bots_own_incidents_comes_back_with_nothing_added(bot, store):
    lived_through(store)
    once = bot("export")

    assert len(store.timeline("INC-1")) >= 8
    assert "Added 0 entries" in bot.imports(once)
    assert bot("export") == once


def test_the_record_of_the_bots_own_incidents_has_the_same_numbers_elsewhere(bot, store, tmp_path, monkeypatch):
    lived_through(store)
    as_of = "2026-06-20T00:00:00Z"
    once, here = bot("export"), metrics(bot, "2026-W24", as_of)

    settled(monkeypatch, f"sqlite:///{tmp_path / 'elsewhere.db'}", tmp_path)
    bot.imports(once)
    assert metrics(bot, "2026-W24", as_of) == here
    assert here["opened"] == 1
    assert bot("export") == once


def test_a_week_is_exported_with_its_incidents_alone(bot):
    bot.imports(BY_HAND)
    late = LINE | {"incident": "INC-40", "at": "2026-05-01T12:00:00Z"}
    bot.imports(file_of(late, LINE | late | {"type": "resolved", "by": "ana", "at": "2026-05-01T12:09:00Z"}), "late.json")

    told = json.loads(bot("export", "--week", "2026-W18"))
    assert {one["incident"] for one in told["events"]} == {"INC-40"}
    assert told["tz"] == "Europe/Berlin"


def test_a_week_that_is_exported_alone_keeps_its_numbers(bot, tmp_path, monkeypatch):
    bot.imports(BY_HAND)
    week, before = bot("export", "--week", WEEK), metrics(bot)

    settled(monkeypatch, f"sqlite:///{tmp_path / 'elsewhere.db'}", tmp_path)
    bot.imports(week)
    assert metrics(bot) == before


def test_an_incident_that_was_reopened_and_is_still_open_is_in_every_later_week(bot):
    opened = LINE | {"incident": "INC-40"}
    over = opened | {"type": "resolved", "by": "ana", "at": "2026-06-10T12:09:00Z"}
    again = over | {"type": "reopened", "at": "2026-06-10T13:00:00Z"}
    bot.imports(file_of(opened, over, again, LINE, over | {"incident": "INC-7"}))

    told = json.loads(bot("export", "--week", "2026-W30"))
    assert [one["incident"] for one in told["events"]] == ["INC-40"] * 3


def test_an_export_into_a_file_says_how_much_it_wrote(bot, tmp_path):
    bot.imports(BY_HAND)

    assert bot("export", "--out", tmp_path / "out.json") == f"{COUNT} entries written to {tmp_path / 'out.json'}.\n"
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == bot("export")


def test_the_first_journal_gives_the_teams_zone_and_a_later_one_does_not_change_it(bot):
    bot.imports(BY_HAND)
    before = metrics(bot)
    bot.imports(file_of(LINE | {"incident": "INC-41"}, tz="Asia/Kathmandu"), "second.json")

    assert metrics(bot) == before
    assert before["tz"] == "Europe/Berlin"


def test_a_journal_without_a_zone_leaves_the_teams_own(bot, tmp_path):
    (tmp_path / "policy.yaml").write_text("team: {zone: Asia/Kathmandu}\n", encoding="utf-8")
    bot.imports(file_of(LINE))

    assert metrics(bot, "2026-W24")["tz"] == "Asia/Kathmandu"


def test_a_second_journal_adds_to_what_the_first_brought(bot):
    day = {"env": "production", "state": "success", "service": "web"}
    first = {"id": "D-1", "at": "2026-06-09T12:00:00Z", **day}
    second = {"id": "D-2", "at": "2026-06-10T12:00:00Z", **day}
    open_ = {"id": "V-1", "sev": "critical", "spans": [["2026-06-08T12:00:00Z", None]]}
    fixed = open_ | {"spans": [["2026-06-08T12:00:00Z", "2026-06-08T13:00:00Z"]]}
    other = open_ | {"id": "V-0"}
    bot.imports(
        file_of(LINE, people={"ana": "Europe/Berlin"}, deployments=[first], vulnerabilities=[open_, other], p95_ms=100), "1.json"
    )
    bot.imports(file_of(LINE, people={"ben": "UTC"}, deployments=[first, second], vulnerabilities=[fixed], p95_ms=150), "2.json")

    told = json.loads(bot("export"))
    assert told["deployments"] == [first, second]
    assert told["vulnerabilities"] == [other, fixed]
    assert told["people"] == {"ana": "Europe/Berlin", "ben": "UTC"}
    assert told["p95_ms"] == 150


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"events": [\n  {]}', "line 2: not JSON: Expecting property name enclosed in double quotes"),
        (file_of(LINE, LINE | {"at": "x"}), "events[1].at: 'x' is not a time like 2026-04-14T10:00:00Z"),
        (file_of(LINE, 7), "events[1]: expected an object"),
    ],
)
def test_a_journal_that_cannot_be_read_is_refused_in_one_line_and_leaves_nothing(fresh, text, why):
    assert fresh.fails("import", fresh.file(text)) == why
    assert not (fresh.folder / "fresh.db").exists()


def test_two_incidents_of_one_name_do_not_become_one(bot):
    bot.imports(BY_HAND)
    before = bot("export")
    other = [LINE | {"incident": "INC-50"}, LINE | {"incident": "INC-1", "title": "quite another"}]

    assert "INC-1 is here already and began otherwise" in bot.fails("import", bot.file(file_of(*other), "other.json"))
    assert bot("export") == before


def test_an_incident_that_opens_after_an_import_is_not_called_like_an_imported_one(bot, store):
    bot.imports(BY_HAND)
    door = Door(store, wall_clock, Policy, lambda: ())

    assert door.handle(says.Declare(title="Mail is late", by=BEN)).incident.ref == "INC-10"


def test_an_import_is_whole_or_not_at_all_in_the_store_too(store):
    lines = journals.read(BY_HAND).entries
    store.take_in(lines[:2], {}, NOON)
    other = Entry(after(1), "opened", lines[1].incident, "bot", {"severity": "SEV1"})

    with pytest.raises(Refused):
        store.take_in([*lines[2:], other], {"tz": "UTC"}, NOON)
    assert store.journal()[1] == {}
    assert len(store.journal()[0]) == 2


def test_a_file_that_is_not_there_is_said(fresh):
    assert fresh.fails("import", "nowhere.json") == "nowhere.json: No such file or directory"


# --- the numbers as JSON ----------------------------------------------------------------------

DOCUMENTED = {
    "week": None, "tz": None, "starts_at": None, "ends_at": None, "length_seconds": None, "opened": None,
    "opened_by_severity": None,
    "ack": {"met", "missed", "pending", "excluded", "share", "interval", "median_seconds", "median_is_lower_bound",
            "max_seconds", "p90_seconds"},
    "ack_episodes": [{"incident", "episode", "class", "seconds", "is_lower_bound", "by"}],
    "restore": {"count", "median_seconds", "share_met"},
    "restored": [{"incident", "seconds"}],
    "carried_over": None,
    "uptime": {"ratio", "impact_seconds", "source"},
    "load": {"pages", "interruptions", "by_hours", "by_person"},
    "noise": {"actionable", "not_actionable", "unknown", "self_healed", "flapping", "noisiest"},
    "deployments": {"count", "per_day"},
    "lead_time": {"median_seconds", "count", "share_met"},
    "change_failure": {"failed", "deployments", "ratio", "interval"},
    "vulnerabilities": {"met", "due", "overdue", "dismissed", "opened", "open", "unknown", "unrated"},
    "scan_coverage": {"ratio"},
    "error_rate": {"ratio"},
    "p95_ms": None,
    "scorecard": [{"row", "target", "value", "n", "status"}],
}  # fmt: skip


@pytest.mark.parametrize("is_empty", [True, False], ids=["an empty record", "a full one"])
def test_the_numbers_are_printed_in_the_documented_shape(bot, is_empty):
    if not is_empty:
        bot.imports(BY_HAND)
    told = metrics(bot)

    assert DOCUMENTED.keys() <= told.keys()
    for name, shape in DOCUMENTED.items():
        if isinstance(shape, list):
            assert is_empty or told[name], name
            assert all(shape[0] <= one.keys() for one in told[name]), name
        elif shape is not None:
            assert shape <= told[name].keys(), name
    assert set(told["ack"]["excluded"]) == {"drill", "duplicate", "self_healed", "no_page"}
    assert set(told["load"]["by_hours"]) == {"business", "off_hours", "sleep"}
    assert len(told["scorecard"]) == 10
    assert {one["status"] for one in told["scorecard"]} <= {"met", "missed", "too few to tell", "no source"}


def test_what_has_no_source_is_null_with_that_reason_and_never_zero(bot):
    bot.imports(file_of(LINE))
    told = metrics(bot, "2026-W24", "2026-06-20T00:00:00Z")

    for name in SHAPES:
        assert set(told[name].values()) == {None}, name
    assert told["p95_ms"] is None
    said = {one["row"]: (one["value"], one["n"], one["status"]) for one in told["scorecard"]}
    silent = [name for name, one in said.items() if one == (None, None, "no source")]
    assert len(silent) == 7
    assert said["acknowledged under 5 min"] == (None, 0, "too few to tell")
    assert all(value is not None or status != "met" for value, _, status in said.values())


def test_the_numbers_of_a_week_with_nothing_but_text_can_be_read_by_people(bot):
    bot.imports(BY_HAND)
    told = bot("metrics", "--week", WEEK, "--as-of", AS_OF)

    assert told.startswith("Week 2026-W13 in Europe/Berlin: 7 opened\n")
    assert "  INC-7 episode 2: missed, ≥ 400 s, nobody" in told
    assert "  INC-2 episode 1: missed, 300 s, ben" in told
    assert "no source" not in told.split("Acknowledgement, page by page")[0].split("uptime")[1].split("\n")[0]


def test_a_digest_can_be_printed_without_posting_anything(bot):
    bot.imports(BY_HAND)
    told = bot("digest", "--week", WEEK, "--as-of", AS_OF, "--dry-run")

    assert told.startswith("Incident week 13 · 23 March – 29 March 2026\n7 incidents (3 SEV1, 3 SEV2, 1 SEV3). 4 of 6 pages")
    assert "  • INC-8 (SEV2, h) is still open\n" in told
    assert "167 h because the clocks changed" in told


def test_what_was_imported_does_not_steer_the_terminal_it_is_printed_on(bot):
    evil = "a\x1b[2J\nb \u202e"
    line = LINE | {"incident": "INC-7" + "\x1b]0;x\x07", "title": evil}
    bot.imports(file_of(line, line | {"type": "page", "to": "ana"}, line | {"type": "ack", "by": evil, "at": "2026-06-10T12:09:00Z"}))
    asked = ("--week", "2026-W24", "--as-of", "2026-06-20T00:00:00Z")

    for told in (bot("metrics", *asked), bot("digest", *asked, "--dry-run")):
        assert "missed" in told
        assert all(one.isprintable() or one == "\n" for one in told)
        assert not any(line.startswith("b ") for line in told.splitlines())


@pytest.mark.parametrize("week", ["2026-24", "2025-W53", "next", "9999-W52", "0001-W01"])
@pytest.mark.parametrize("command", ["metrics", "digest", "export"])
def test_what_is_no_week_is_refused_in_one_line(fresh, command, week):
    migrated(fresh)

    assert fresh.fails(command, "--week", week) == f"{week!r} is not an ISO week like 2026-W24"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+05:00"])
def test_what_is_no_time_is_refused_in_one_line(fresh, text):
    migrated(fresh)

    assert fresh.fails("metrics", "--week", WEEK, "--as-of", text).startswith(f"--as-of: {text!r} is not a time like")


def migrated(bot: CommandLine) -> None:
    sqlite(bot.folder / "fresh.db")


def test_a_page_by_pagerduty_is_in_the_exported_timeline_as_the_page_it_was(bot, store):
    policy = Policy(routes=(RouteRule(name="all", severity="SEV2"),))
    door = Door(store, lambda: NOON, lambda: policy, lambda: ())
    door.handle(says.AlertReported(alert(), "main"))
    incident = store.incident(1)
    told = pager("notified", after(seconds=20), ANA, key=incident.episode.dedup_key, channel="phone", level=1)
    door.handle(says.PagerReported(1, told.report, person=ANA))

    lines = [one for one in json.loads(bot("export"))["events"] if one["type"] == "page"]
    assert [(one["to"], one["level"], one["channel"], one["at"]) for one in lines] == [(ANA, 1, "phone", "2026-06-10T12:00:20Z")]
