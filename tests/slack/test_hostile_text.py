"""No text from outside calls anybody or hides where a link goes, wherever in Slack it is shown; what people write may name people.

The texts go in as they would: in alerts, commands and forms. What is looked at is what Slack was sent.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from bot.alerts.alert import Kind, Status
from bot.alerts.registry import OURS
from bot.alerts.source import FORM, Delivery, Example, Source
from bot.clock import wall_clock
from bot.errors import Unreadable
from bot.incidents.inputs import DigestDue
from bot.slack import ids
from bot.slack.views.blocks import link
from bot.slack.views.text import HIDDEN, as_typed, clean, clip, defused, escape, reason, told
from sandbox.__main__ import SECRET
from sandbox.calls import post
from sandbox.cast import BOT_USER, CAST
from tests.documents import TOP
from tests.slack.hostile import CORPUS
from tests.slack.office import ANA, BEN, Office, working

TYPED = [text for text in CORPUS if text.isprintable() or text.encode(errors="replace").decode() == text]
OUR_LABELS = frozenset(
    {
        "source",
        "trace",
        "PagerDuty",
        "open",
        "Open it",
        "Open the runbook",
        "post-mortem draft",
        "dashboard",
        "dashboard 2",
        "dashboard 3",
    }
)
OUR_PEOPLE = frozenset({BOT_USER, *(one.slack_id for one in CAST)})
TIME = re.compile(r"!date\^\d+\^(?:\{date_short\} )?\{time(?:_secs)?\}\|[\d :-]+ UTC")
QUIET = frozenset({"private_metadata", "value", "metadata", "action_id", "block_id", "callback_id", "trigger_id", "channel", "ts",
                   "url", "link", "users", "channel_id", "user", "id", "files", "answer", "initial_value"})  # fmt: skip


def texts(value: Any, name: str = "") -> Iterator[tuple[str, bool]]:
    """Every text in a payload that somebody reads, and whether Slack looks for markup in it."""
    if isinstance(value, dict):
        is_plain = value.get("type") in ("plain_text", "raw_text")
        for key, one in value.items():
            if key not in QUIET:
                yield from ((text, False if is_plain else looked) for text, looked in texts(one, key))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one, name)
    elif isinstance(value, str):
        yield value, True


def wrong(text: str, channels: set[str], named_by_people: bool) -> str:
    """What in a text is markup that we did not make; empty where nothing is."""
    for token in re.findall(r"<[^>]*>?", text):
        inner = token[1:-1]
        address, _, label = inner.partition("|")
        if not token.endswith(">"):
            return f"{token[:60]!r} never ends"
        is_person = inner[1:] in OUR_PEOPLE or (named_by_people and re.fullmatch(r"@[UW][A-Z0-9]+", inner))
        is_channel = inner[1:] in channels or (named_by_people and re.fullmatch(r"#C[A-Z0-9]+", inner))
        is_link = re.fullmatch(r"https?://[^\s<>|]+", address) and (label in OUR_LABELS or not label)
        fits = TIME.fullmatch(inner) or (inner[:1] == "@" and is_person) or (inner[:1] == "#" and is_channel) or is_link
        if not fits:
            return token[:80]
    hidden = HIDDEN.search(text)
    return f"hidden {hidden[0]!r}" if hidden else ""


def found(payloads: Any, channels: set[str], *, named_by_people: bool = False) -> list[str]:
    """Everything that is wrong."""
    problems = []
    for text, is_looked_at in texts(payloads):
        problem = wrong(text, channels, named_by_people) if is_looked_at else ""
        if not is_looked_at and re.search(r"<(?:[!@#]|https?:|mailto:)", text):
            problem = f"plain {text[:80]!r}"
        if problem:
            problems.append(problem)
    return problems


def sent(office: Office) -> list[Any]:
    """What Slack was sent, and what it showed to one person."""
    with office.world.lock:
        whispers = [one for channel in office.space.channels.values() for one in channel.messages if one.get("ephemeral_for")]
        return [json.loads(json.dumps(one["args"])) for one in office.space.ledger] + whispers


def fires(office: Office, text: str, number: int, severity: str) -> int:
    body = {
        "title": text, "description": text, "status": "firing", "severity": severity, "service": text,
        "dedup_key": f"{severity}{number}",
        "labels": {"a": text, text: "b", "alertname": text}, "url": text,
        "links": [{"url": f"https://evil.example/{number}", "text": text}, {"url": text}],
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    return post(f"{office.world.bot}/hooks/generic/main", json.dumps(body).encode(), headers, 10).status


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[Office]:
    """Every text has come as an alert that opens an incident, and as one that is only announced."""
    policy = (TOP / "policy.yaml").read_text(encoding="utf-8")
    assert "most: 16" in policy
    assert "in_all: 60" in policy
    unbounded = policy.replace("most: 16", "most: 1000").replace("in_all: 60", "in_all: 1000")
    (tmp_path / "policy.yaml").write_text(unbounded, encoding="utf-8")
    with working(f"sqlite:///{tmp_path / 'test.db'}", policy_file=tmp_path / "policy.yaml") as office:
        yield _with_everything(office)


def _with_everything(office: Office) -> Office:
    taken = [fires(office, text, number, severity) for number, text in enumerate(CORPUS) for severity in ("critical", "medium")]
    assert taken.count(202) > 1.8 * len(CORPUS)
    office.settle()
    return office


def test_the_corpus_is_worth_the_name():
    assert len(set(CORPUS)) > 90


def test_no_text_of_an_alert_is_more_than_text_anywhere_in_slack_nor_in_a_draft(flooded):
    office = flooded
    open_ = office.store.open_incidents()
    assert len(open_) > 60
    for incident in open_:
        for text in ("timeline", "who", "runbook"):
            office.types(f"{text} {incident.ref}")
        office.presses(ids.UPDATE, incident.number)
    said = [office.types(text) for text in ("list", "ack", *(f"resolve {one.ref}" for one in open_))]
    office.settle()
    office.bot.door.handle(DigestDue(office.bot.numbers.week_now(office.bot.clock())))
    office.settle()

    payloads = sent(office)
    channels = set(office.space.channels)
    methods = {one["method"] for one in office.space.ledger}
    assert methods >= {"chat.postMessage", "chat.update", "conversations.setTopic", "files.completeUploadExternal", "views.open"}
    assert found([*payloads, *said], channels) == []
    drafts = [one["bytes"].decode() for one in office.space.files.values()]
    assert len(drafts) > 60
    assert [
        one for text in drafts for one in re.findall(r"<(?:!(?!--)|[@#])[^>]*>|(?<!\[link)(?<!\\)\]\(https?://evil[^)]*\)", text)
    ] == []
    assert [name for name in (one.name for one in office.space.channels.values()) if not re.fullmatch(r"[a-z0-9_-]+", name)] == []


EVIL = " <!channel> <@U0EVIL001> <https://evil.example|https://pagerduty.com> \u202e"


def poisoned(source: Source, example: Example, now: datetime) -> tuple[bytes, dict[str, str]]:
    """An example with that behind every one of its texts, but for those without which it would not fire any more."""
    is_form = example.content_type == FORM
    body = example.body_at(now)
    tree: Any = dict(parse_qsl(body.decode())) if is_form else json.loads(body)

    def written() -> tuple[bytes, dict[str, str]]:
        raw = urlencode(tree).encode() if is_form else json.dumps(tree).encode()
        return raw, example.sent_by(source, SECRET, wall_clock(), raw)

    def fires() -> bool:
        raw, headers = written()
        one = Delivery(raw, {name.lower(): value for name, value in headers.items()}, "main", now)
        with suppress(Unreadable):
            alerts = source.parse(one, {}).alerts
            return bool(alerts) and alerts[0].status is Status.FIRING and alerts[0].kind is not Kind.TEST
        return False

    for inside, name in places(tree):
        before = inside[name]
        inside[name] = before + EVIL
        if not fires():
            inside[name] = before
    assert any(inside[name].endswith(EVIL) for inside, name in places(tree)), source.name
    return written()


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every text in a tree: what it is in, and its name or number there."""
    for name in list(tree) if isinstance(tree, dict) else range(len(tree)):
        if isinstance(tree[name], dict | list):
            yield from places(tree[name])
        elif isinstance(tree[name], str):
            yield tree, name


def test_no_source_has_a_text_that_is_more_than_text_in_slack(office):
    firing = [(one, example) for one in OURS for example in one.examples[:1] if one.name != "pagerduty"]
    for source, example in firing:
        body, headers = poisoned(source, example, office.world.clock())
        assert post(f"{office.world.bot}/hooks/{source.name}/main", body, headers, 10).status == 202, source.name
    office.settle()

    told = json.dumps(sent(office))
    assert told.count("evil.example") > 2 * len(firing)
    assert found(sent(office), set(office.space.channels)) == []


def test_what_people_write_may_name_people_and_never_calls_everybody(office):
    name = office.declared()
    for number, text in enumerate(TYPED):
        said = [
            office.types(f"{verb} {text}", channel=name)
            for verb in ("note", "update", "status identified", "status investigating", "")
        ]
        said += [
            office.types(f"{verb} {text}") for verb in ("page", "role", "help", "postmortem", "metrics", "status", "sev", "cancel")
        ]
        errors = office.submits(ids.NOTE_FORM, view=f"N{number}", carries={"incident": 1}, text=text)
        assert found([said, errors], set(office.space.channels), named_by_people=True) == []
    office.settle()
    for page in range(5):
        office.presses(ids.TIMELINE_PAGE, f"1:{page}", channel=name)
    office.presses(ids.TIMELINE, 1, channel=name)

    assert len([one for one in office.types_of() if one == "note"]) > 100
    assert found(sent(office), set(office.space.channels), named_by_people=True) == []


def test_a_declaration_is_shown_as_text_too(office):
    for number, text in enumerate(TYPED):
        office.submits(ids.DECLARE_FORM, view=f"D{number}", title=text[:200], details=text[:2000],
                       severity={"selected_option": {"value": "SEV2"}})  # fmt: skip
        if number % 4 == 0:
            office.types(f"declare sev4 typed {text}")
    office.settle()

    assert len(office.store.incidents(limit=999)) > 100
    assert found(sent(office), set(office.space.channels)) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"ask <@{BEN}>", f"ask <@{BEN}>"),
        (f"ask <@{BEN}|ben> in <#C0ABC0001|general>", f"ask <@{BEN}> in <#C0ABC0001>"),
        ("see https://wiki.example/x?a=1&b=2.", "see <https://wiki.example/x?a=1&amp;b=2>."),
        ("see <https://wiki.example|our wiki>", "see <https://wiki.example>"),
        ("mail <mailto:a@b.example|Ana>", "mail a@b.example"),
        ("<!here> look", "&lt;!here&gt; look"),
        ("<!subteam^S1|@oncall>", "&lt;!subteam^S1|@oncall&gt;"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        ("```\ncode <@x>\n```", "```\ncode &lt;@x&gt;\n```"),
    ],
)
def test_a_person_names_people_channels_and_addresses(text, shown):
    assert told(text, ANA) == shown


@pytest.mark.parametrize("by", [None, "bot", "", "Ana Silva", "alertmanager"])
@pytest.mark.parametrize("text", CORPUS)
def test_whoever_is_no_person_of_this_slack_names_nobody(text, by):
    assert "<" not in told(text, by)


@pytest.mark.parametrize("text", CORPUS)
def test_every_way_to_show_a_text_is_safe_and_keeps_its_limit(text):
    assert wrong(escape(text, 300), set(), False) == ""
    assert wrong(told(text, ANA, 300), set(), True) == ""
    assert "\n" not in escape(text, 300)
    assert len(escape(text, 300)) <= 300
    assert len(clean(text, 300)) <= 300
    assert not HIDDEN.search(clean(text, 300))
    assert not re.search(r"<(?:[!@#]|https?:)", defused(text), re.IGNORECASE)
    assert wrong(clip(escape(text, 3000), 100), set(), False) == ""
    assert wrong(reason(f"{defused(text)} by <@{ANA}>"), set(), False) == ""


@pytest.mark.parametrize("text", CORPUS)
def test_only_an_address_becomes_a_link_and_its_label_is_ours(text):
    for url in (text, f"https://evil.example/{text}"):
        assert wrong(link(url, "source"), set(), False) == ""


def test_slacks_entities_are_read_once():
    assert as_typed("a &amp;lt; b &lt;c&gt;") == "a &lt; b <c>"
