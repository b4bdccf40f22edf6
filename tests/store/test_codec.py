"""Stored values: called what they were always called, the same after being stored, and old rows still read."""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.alerts import alert as alerts
from bot.alerts.matching import Placement
from bot.incidents import effects, inputs
from bot.incidents import incident as incidents
from bot.incidents.decision import AlertRecord
from bot.incidents.incident import Incident
from bot.incidents.inputs import AlertReported, Declare, Merge
from bot.runbooks import Choice
from bot.store.codec import TRANSIENT, decode, decode_tagged, encode, encode_tagged
from tests.builders import ANA, NOON, acknowledged, alert, incident, report

STORED_INPUTS = {
    # asked
    "Declare": "title by severity service details private drill fingerprint number",
    "Acknowledge": "incident by",
    "PageSomeone": "incident by person service",
    "Escalate": "incident by",
    "ChangeSeverity": "incident severity by",
    "ChangeStatus": "incident status by text",
    "AssignRole": "incident role person by",
    "AddNote": "incident text by link at",
    "PostUpdate": "incident text by next_minutes",
    "Merge": "incident into by",
    "Split": "incident alert by reason",
    "Resolve": "incident by text",
    "KeepOpen": "incident by",
    "Reopen": "incident by text",
    "Cancel": "incident by reason",
    "Close": "incident by",
    "RequestDraft": "incident by template",
    "GivePageFeedback": "incident by actionable",
    "SilenceAlerts": "match lasts reason by number",
    "ConfirmSilence": "number by",
    "EndSilence": "number by reason",
    # reported
    "AlertReported": "alert route number",
    "PagerReported": "incident report person assignees",
    "PageAccepted": "incident dedup_key at",
    "PageDelayed": "incident dedup_key reason attempt wait_seconds",
    "PageRefused": "incident dedup_key reason mend",
    "PageDropped": "incident dedup_key reason may_have_arrived",
    "PageNotShown": "incident dedup_key accepted_at reason mend",
    "AcknowledgementDelayed": "incident dedup_key by reason attempt",
    "LevelAsked": "incident dedup_key level at",
    "LevelDelayed": "incident dedup_key level reason attempt",
    "LevelNotAsked": "incident dedup_key level reason mend",
    "SomeoneAsked": "incident who by at dedup_key",
    "SomeoneDelayed": "incident who by dedup_key reason attempt",
    "SomeoneNotAsked": "incident who by reason mend dedup_key",
    "ChannelOpened": "incident channel name",
    "ChannelNotOpened": "incident reason",
    "SummaryPosted": "incident channel ts",
    "AnnouncementPosted": "incident channel ts",
    "DraftPosted": "incident template permalink",
    "EffectParked": "incident what reason mend",
    "TroubleSeen": "text mend",
}
STORED_TIMERS = {
    "ReminderDue": "incident episode after_seconds",
    "TargetPassed": "incident episode level",
    "SummaryAged": "incident episode",
    "UpdateDue": "incident promised_at is_late",
    "HoldPassed": "incident cleared_at",
    "CalmPassed": "fingerprint",
    "RelatedLeft": "incident",
    "HeartbeatMissed": "alert source route within due_at",
    "HeartbeatExpected": "name",
    "SilenceExpired": "number",
    "QuietPassed": "alert route key by",
    "DigestDue": "week due_at",
}
STORED_EFFECTS = {
    # pager
    "PageOnCall": "incident dedup_key pager summary severity source details links rank",
    "PageNextLevel": "incident dedup_key level",
    "PagePerson": "incident dedup_key person by message",
    "PageService": "incident dedup_key pager service by summary severity rank",
    "AcknowledgePage": "incident dedup_key pager by",
    "ResolvePage": "incident dedup_key pager",
    # chat
    "OpenChannel": "incident name private",
    "InvitePeople": "incident people",
    "ShowSummary": "incident",
    "PinSummary": "incident",
    "AddBookmarks": "incident links",
    "SetTopic": "incident",
    "ShowAnnouncement": "incident",
    "Say": "incident topic facts place people",
    "AnnounceAlert": "incident fingerprint title source severity service reason started_at url filled_in",
    "AnnounceSilence": "incident number news match by reason until ended_by ended_because kept",
    "RaiseAlarm": "incident text mend",
    "PostDigest": "week incident",
    # documents
    "PostDraft": "incident template",
}
STORED_WORDS = {
    incidents.Severity: "SEV1 SEV2 SEV3 SEV4 SEV5",
    incidents.Status: "triggered acknowledged investigating identified monitoring resolved closed merged cancelled",
    incidents.Role: "commander deputy scribe communications expert",
    incidents.PageState: "not_needed requested delayed accepted refused dropped",
    effects.Lane: "pager chat document",
    effects.Place: "incident announce operations service",
    effects.SilenceNews: "begun ended expired",
    effects.Topic: (
        "ack_reminder ack_breached acknowledged ack_delayed unacknowledged page_delayed page_refused page_not_shown "
        "level_asked level_delayed level_not_asked "
        "someone_asked someone_delayed someone_not_asked "
        "escalated severity_changed status_changed role_assigned note_added update_posted "
        "update_soon update_late alert_joined alerts_cleared resolve_proposed resolved reopened cancelled merged absorbed runbook "
        "flapping alert_related only_related split split_off unmerged opened"
    ),
    alerts.Kind: "alert incident_update deployment change security_finding quality_gate heartbeat test control",
    alerts.Status: "firing resolved acknowledged suppressed info",
    alerts.Severity: "critical high medium low info unknown",
}
"""What stands in the databases of those who run this. A line that is changed or taken out here needs a migration that
changes the rows, too; one more word at the end of a line, and one more line, do not."""

KINDS = {one.__name__: one for one in (*get_args(inputs.Input), *get_args(effects.Effect))}
NOT_IMPORTED_THERE = {"Placement": Placement, "Incident": Incident, "Choice": Choice, "AlertRecord": AlertRecord}


def stored(kind: type) -> list[str]:
    return [one.name for one in fields(kind) if one.init and one.name not in TRANSIENT.get(kind.__name__, ())]


def written(value: Any) -> Any:
    """As it comes back from a column of JSON."""
    return json.loads(json.dumps(encode_tagged(value)))


# --- what things are called -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("union", "table"),
    [
        (get_args(inputs.Asked) + get_args(inputs.Reported), STORED_INPUTS),
        (get_args(inputs.Passed), STORED_TIMERS),
        (get_args(effects.Effect), STORED_EFFECTS),
    ],
    ids=["inputs", "timers", "effects"],
)
def test_what_is_stored_is_called_what_it_was_always_called(union, table):
    assert {kind.__name__: " ".join(stored(kind)) for kind in union} == table


@pytest.mark.parametrize(("kind", "words"), STORED_WORDS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_word_that_is_stored_stays_that_word(kind, words):
    assert " ".join(one.value for one in kind) == words


@pytest.mark.parametrize("name", KINDS)
def test_a_stored_value_carries_the_name_of_its_kind_and_only_its_own_fields(name):
    value = sample(KINDS[name])

    assert list(encode_tagged(value)) == ["kind", *stored(KINDS[name])]
    assert encode_tagged(value)["kind"] == name


def test_what_the_door_fills_in_is_never_stored():
    placed, merged = report(), Merge(7, 8, ANA, incident())
    declared = Declare(title="x", by=ANA, record=AlertRecord("f", None, True, "x", "generic", None, NOON))

    assert written(placed).keys() == {"kind", "alert", "route", "number"}
    assert decode_tagged(written(placed)) == AlertReported(placed.alert, "main", number=7)
    assert decode_tagged(written(merged)) == Merge(7, 8, ANA)
    assert decode_tagged(written(declared)) == Declare(title="x", by=ANA)


# --- there and back ---------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: MOMENTS,
    date: st.dates(),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=400)),
    object: st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXTS, st.lists(TEXTS, max_size=2)),
}


def st_of(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that the hints of a field allow."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in SIMPLE:
        return SIMPLE[kind]
    if origin in (Union, types.UnionType):
        return st.one_of(*(st_of(one) for one in arguments))
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return st.lists(st_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(st_of(one) for one in arguments))
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(st_of(arguments[0]), st_of(arguments[1]), max_size=2)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert is_dataclass(kind), f"nothing says how to make a {kind}"
    hints = get_type_hints(kind, localns=NOT_IMPORTED_THERE)
    return st.builds(kind, **{name: st_of(hints[name]) for name in stored(kind)})


@pytest.mark.parametrize("name", KINDS)
def test_whatever_is_stored_comes_back_the_same(name):
    @settings(max_examples=12, deadline=None, database=None)
    @given(st_of(KINDS[name]))
    def check(value):
        assert decode_tagged(written(value)) == value

    check()


@settings(max_examples=40, deadline=None, database=None)
@given(st_of(Incident))
def test_an_incident_comes_back_the_same(one):
    assert decode(Incident, json.loads(json.dumps(encode(one)))) == one


def test_maps_by_role_and_lengths_of_time_come_back_as_what_they_were():
    one = acknowledged(roles={incidents.Role.COMMANDER: (ANA,)})
    back = decode(Incident, json.loads(json.dumps(encode(one))))

    assert back == one
    assert list(back.roles) == [incidents.Role.COMMANDER]
    assert type(back.roles[incidents.Role.COMMANDER]) is tuple
    assert back.episode.target == timedelta(minutes=5)


def test_a_nul_is_left_out_because_one_of_the_databases_keeps_none():
    one = AlertReported(alert(title="a\x00b", labels={"x\x00": "\x00y"}), "main")

    back = decode_tagged(written(one))

    assert (back.alert.title, back.alert.labels) == ("ab", {"x": "y"})
    assert "\\u0000" not in json.dumps(encode_tagged(one))


# --- rows of another day ----------------------------------------------------------------------


def sample(kind: type) -> Any:
    """One value with every field that has a default left at it."""
    hints = get_type_hints(kind, localns=NOT_IMPORTED_THERE)
    return kind(**{one.name: plain(hints[one.name]) for one in fields(kind) if one.init and not has_default(one)})


def plain(kind: Any) -> Any:
    """A simple value of a type."""
    known = {str: "x", int: 7, bool: True, float: 1.5, datetime: NOON, date: NOON.date(), timedelta: timedelta(minutes=5)}
    if kind in known:
        return known[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return plain(arguments[0])
    if origin is tuple:
        return ()
    return next(iter(kind)) if issubclass(kind, Enum) else sample(kind)


def has_default(one: Any) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


DEFAULTED = [
    (name, one.name) for name, kind in KINDS.items() for one in fields(kind) if one.name in stored(kind) and has_default(one)
]


@pytest.mark.parametrize(("name", "missing"), DEFAULTED)
def test_a_row_from_before_a_field_takes_its_default(name, missing):
    value = sample(KINDS[name])
    row = written(value)
    del row[missing]

    assert decode_tagged(row) == value


@pytest.mark.parametrize("name", KINDS)
def test_a_row_with_a_field_that_we_no_longer_have_is_read_without_it(name):
    value = sample(KINDS[name])

    assert decode_tagged({**written(value), "of_old": {"a": [1]}}) == value


def test_values_within_values_are_read_as_gently():
    row = json.loads(json.dumps(encode(incident())))
    row["episodes"][0]["of_old"] = 1
    del row["episodes"][0]["notified"], row["alerts"][0]["fires"], row["version"]

    assert decode(Incident, row) == incident()


@pytest.mark.parametrize("kind", ["Acknowledged", "", None, "Placement", "Incident", "str"])
def test_a_name_that_nothing_has_is_refused_with_what_may_have_happened(kind):
    with pytest.raises(ValueError, match="was it renamed without a migration"):
        decode_tagged({"kind": kind, "incident": 7})


def test_a_row_without_its_name_is_refused():
    with pytest.raises(ValueError, match="nothing is called None"):
        decode_tagged({"incident": 7, "by": ANA})


def test_a_row_that_lacks_what_has_no_default_is_refused_and_never_filled_in():
    with pytest.raises(ValueError, match="by"):
        decode_tagged({"kind": "Acknowledge", "incident": 7})


def test_a_word_that_we_do_not_know_is_refused_and_never_guessed():
    with pytest.raises(ValueError, match="SEV9"):
        decode_tagged({"kind": "ChangeSeverity", "incident": 7, "severity": "SEV9", "by": ANA})
