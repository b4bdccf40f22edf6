"""Every message and every form the bot can send, with ordinary words and with the worst that may come in."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.alerts.alert import ChangeKind, ChangeState
from bot.alerts.quiet import NOTHING_KEPT, Kept, Once, Silence, Still, Window
from bot.alerts.routing import Matcher
from bot.digest import Digest, Row
from bot.incidents.changes import ChangeRecord
from bot.incidents.effects import AnnounceAlert, AnnounceSilence, RaiseAlarm, Say, SilenceNews, Topic
from bot.incidents.holdings import HeldAlert, Share
from bot.incidents.incident import AlertState, Channel, Incident, PageState, Role, Severity, Status, Update
from bot.incidents.oncall import OnCall, Rota, Turn
from bot.incidents.policy import Policy, Service, default_severities
from bot.incidents.timeline import Entry
from bot.slack.commands import SUBS
from bot.slack.views import answers, blocks, card, changes, forms, messages, silences
from bot.slack.views.blocks import Message, View
from bot.slack.views.text import reason
from tests.builders import ANA, BEN, NOON, acknowledged, after, incident

WORDS = {
    "ordinary": "Checkout is slow for everybody",
    "long": "x" * 3000,
    "many words": "a word " * 1500,
    "lines": "a line\n" * 700,
    "markup": "<!channel> & <https://evil.example|good> *b* `c` " * 80,
    "ampersands": "&<>" * 1200,
    "emoji": "👩‍👩‍👧‍👦🔥" * 500,
    "right to left": "الخدمة متوقفة‮ " * 250,
    "hidden": "\u200b\u200f\u2066 \ufeff" * 60,
    "controls": "\x00\x07\x1b[31mred\x85\ud800" * 200,
    "fences": "```" * 900,
    "blank": " \n\t ",
    "empty": "",
}
URLS = {
    "ordinary": "https://grafana.example.com/d/1?a=b&c=d",
    "long": "https://example.com/" + "q" * 3500,
    "markup": 'https://x/"<|>',
}
CROWD = tuple(f"U0PERSON{number:03}" for number in range(60))
STATES = {"not_needed": None, "requested": None, "delayed": "the network is away", "accepted": None, "refused": "Invalid routing key",
          "dropped": "PagerDuty never took this page: it was acknowledged before it could"}  # fmt: skip
ENTRY_TYPES = (
    "ack_delayed", "escalation_delayed", "escalation_failed",
    "opened", "alert_started", "alert_resolved", "page_requested", "page_accepted", "page_failed", "page_dropped", "page", "ack",
    "unack", "ack_breached", "escalated", "severity_changed", "status_changed", "role", "note", "pin", "status_update", "resolved",
    "reopened", "merged", "absorbed", "split_from", "split_off", "cancelled", "channel_opened", "something_new",
    "flapping_started", "flapping_ended", "alert_quieted",
)  # fmt: skip


def url_of(kind: str) -> str:
    return URLS.get(kind, URLS["ordinary"])


def facts_of(words: str, kind: str) -> dict[str, Any]:
    """Whatever a topic may ask for, made of the same words."""
    texts = ["reason", "mend", "who", "to", "text", "title", "path", "owner", "first_minute"]
    numbers = {
        "minutes": 2.0, "target_minutes": 5.0, "next_level": 2, "seconds": 61.0, "attempt": 3, "level": 2, "stale_days": 400,
        "hold_seconds": 300.0, "elapsed_seconds": 5400.0, "into": 8, "child": 9, "parent": 8,
        "fires": 3, "within_seconds": 3600.0,
    }  # fmt: skip
    more = {"page": "accepted", "met": True, "via": "slack", "by": ANA, "person": words or BEN, "auto": False, "url": url_of(kind),
            "role": "communications", "old": "SEV1", "new": "SEV2", "severity": "SEV2", "channel": "C0INCIDENT",
            "next_by": after(30).isoformat(), "cleared_at": NOON.isoformat()}  # fmt: skip
    return {**dict.fromkeys(texts, words), **numbers, **more}


def said() -> Iterator[tuple[str, Message]]:
    """Every topic, also with nobody, somebody, and a crowd to mention."""
    for topic in Topic:
        for kind, words in WORDS.items():
            people = {"ordinary": (ANA,), "long": CROWD * 20}.get(kind, ())
            effect = Say(7, topic, facts_of(words, kind), people=people)
            yield f"say {topic.value}, {kind}", messages.about(effect, "INC-999999999", 999_999_999)
    fewer = {
        "met": None,
        "auto": True,
        "next_level": 0,
        "page": "delayed",
        "stale_days": 0,
        "url": None,
        "path": "",
        "next_by": None,
        "channel": None,
        "child": None,
    }
    for topic in set(Topic) - {Topic.UPDATE_SOON, Topic.UPDATE_LATE}:
        yield f"say {topic.value}, fewer", messages.about(Say(7, topic, facts_of("", "empty") | fewer), "INC-7", 7)


def alerted() -> Iterator[tuple[str, Message]]:
    """Alerts that open nothing, and alarms of the bot's own."""
    for kind, words in WORDS.items():
        alert = AnnounceAlert(
            fingerprint="f" * 64, title=words, source=words or "alertmanager", severity="critical", service=words,
            reason=words, started_at=NOON, url=url_of(kind),
        )  # fmt: skip
        yield f"announced, {kind}", messages.announced(alert)
        yield f"alarm, {kind}", messages.alarm(RaiseAlarm(7, words, words))
        for news in SilenceNews:
            for name, kept in (("nothing", NOTHING_KEPT), ("much", kept_of(words))):
                effect = AnnounceSilence(
                    number=999_999_999, news=news, match=words, by=ANA, reason=words, until=after(60), ended_by=BEN,
                    ended_because=words, kept=kept,
                )  # fmt: skip
                yield f"silence {news.value}, {name}, {kind}", silences.announced(effect)


def kept_of(words: str) -> Kept:
    """Many alerts that are called that, and one that nobody may read."""
    still = tuple(Still(f"{number}" * 64, words) for number in range(4))
    return Kept(99_999, 9, words, NOON, 5_000, (*still, Still("f" * 64, "")))


def silences_of(words: str) -> list[tuple[Silence, Kept]]:
    """More than are listed, and some that are over."""
    match = Matcher({"title": (words,)}, {words[:100]: (words, words)})
    one = Silence(1, match, ANA, words, NOON, timedelta(hours=2), after(120))
    over = [replace(one, number=number, ended_at=after(9), ended_by=by) for number, by in ((7, "bot"), (8, BEN))]
    held = [replace(one, number=number) for number in range(100, 130)]
    return [(each, kept) for each in (*held, *over) for kept in (NOTHING_KEPT, kept_of(words))]


def incidents(words: str, kind: str) -> Iterator[tuple[str, Incident]]:
    """INC-7 in every status and at every stage of its page: once with little, once with everything there can be."""
    for status in Status:
        yield status.value, acknowledged(
            title=words or "?", status=status, merged_into=8, resolved_at=after(90), service=words or None
        )  # fmt: skip
    for state in PageState:
        yield state.value, incident(title=words or "?", alerts=(), episode={"page": state, "page_reason": words})
    everything: dict[str, Any] = {
        "title": words or "?", "service": words, "route": words, "runbook": url_of(kind), "runbook_reason": words, "drill": True,
        "roles": {role: tuple(f"{one} {words}"[:200] for one in CROWD) for role in Role}, "channel": Channel("C0INCIDENT", "inc-7"),
        "channel_trouble": words, "draft": url_of(kind), "pager_url": url_of(kind), "opened_by": words or ANA,
        "update": Update(NOON, words or ANA, words, after(30)),
        "alerts": tuple(
            AlertState(
                f"f{number}", words, words, number % 2 == 0, words, NOON, NOON, fires=number, url=url_of(kind), why=words,
                is_related=number % 3 == 0,
            )
            for number in range(60)
        ),
        "more": 900, "more_firing": 90, "more_related": 300, "more_related_firing": 30, "dashboards": (url_of(kind),) * 3,
    }  # fmt: skip
    crowd = {"notified": CROWD * 5, "assignees": CROWD, "level": 3}
    yield "everything, waiting", incident(**everything, episode=crowd)
    yield "everything, over", acknowledged(**everything, status=Status.RESOLVED, resolved_at=after(90))


def carded() -> Iterator[tuple[str, Message]]:
    """The card and the announcement of each."""
    for kind, words in WORDS.items():
        policy = policy_of(words, 3)
        for name, one in incidents(words, kind):
            for minutes in (1, 6, 6000):
                yield f"card {name} at {minutes}, {kind}", card.card(one, policy, after(minutes))
                yield f"announcement {name} at {minutes}, {kind}", card.announcement(one, after(minutes))
            for known, seen in (("", None), (", on call", on_call_of(words))):
                yield f"who {name}{known}, {kind}", answers.who(one, after(6), seen)
        yield f"on call, {kind}", answers.on_call(on_call_of(words, 30), after(6), "Nothing is open.")
        yield f"on call, nobody, {kind}", answers.on_call(None, after(6), "Nothing is open.")


def on_call_of(words: str, rotas: int = 1) -> OnCall:
    """Many levels, many people."""
    turns = tuple(Turn(level, f"{one} {words}"[:200], after(600)) for level in range(1, 21) for one in CROWD)
    return OnCall(NOON, tuple(Rota(f"P{number}", words or "?", turns) for number in range(rotas)))


def topics() -> Iterator[tuple[str, str]]:
    """The channel's topic."""
    for kind, words in WORDS.items():
        for name, one in incidents(words, kind):
            yield f"topic {name}, {kind}", card.topic(one)


def answered() -> Iterator[tuple[str, Message]]:
    """Whatever a command answers."""
    yield "nothing open", answers.listed([], 0, NOON)
    yield "the help", answers.helped("/incident")
    yield "the help, another name", answers.helped("/firstfive-of-the-whole-company")
    for sub in SUBS:
        yield f"help {sub.name}", answers.helped("/incident", sub)
    for kind, words in WORDS.items():
        yield f"refused, {kind}", answers.refused(reason(words))
        yield f"unknown, {kind}", answers.unknown("/incident", words, ())
        yield f"unknown but near, {kind}", answers.unknown("/incident", words, ("ack", "escalate", "page"))
        many = [incident(number=number, title=words or "?") for number in range(1, 80)]
        yield f"listed, {kind}", answers.listed(many, 5000, after(10))
        yield f"digest, {kind}", answers.digest(digest_of(words))
        yield f"digest without its table, {kind}", answers.digest(digest_of(words), with_table=False)
        entries = entries_of(words)[-answers.PAGE_LINES :]
        for page in (0, 3, 99):
            yield f"timeline page {page}, {kind}", answers.timeline(incident(), entries, 60, page)
        windows = [Window(words, Matcher({"title": (words,)}), words, Once(NOON, after(9)))] * 30
        yield f"silences, {kind}", silences.listed(silences_of(words), windows, {}, after(10), "/incident")
        asked = replace(silences_of(words)[0][0], until=None)
        yield (
            f"a silence asked about twice, {kind}",
            blocks.said(reason(f"That may swallow a SEV1: {words}"), silences.below_the_answer(asked)),
        )
    yield "no silences", silences.listed([], [], {}, NOON, "/incident")
    for kind, words in WORDS.items():
        for service in (words, None):
            held = [HeldAlert(words, service, Severity.SEV1 if service else None, bool(service), NOON, 3, 12)] * answers.PAGE_LINES
            yield f"alerts {bool(service)}, {kind}", answers.alerts(incident(), held, 10_000, after(9), 3)
        shares = [Share(Severity.SEV1, f"{words}{number}", 500, 7) for number in range(200)]
        many = replace(incident(), alerts=incident().alerts * 100, more=9_900, more_firing=9_900, earlier=3)
        yield f"card of a storm, {kind}", card.card(many, Policy(), after(9), (), shares)
    for kind, words in WORDS.items():
        changed = [change_of(words, kind_) for kind_ in ChangeKind] * 9
        yield f"changes, {kind}", changes.lately(words, changed, 900, after(9), is_told=True, hint=f" Did you mean {words}?")
        yield f"no changes, {kind}", changes.lately(words, [], 0, after(9), is_told=True, hint=" Did you mean x?")
        yield f"changes before, {kind}", changes.before(incident(service=words), changed, NOON, after(9), is_told=True)
        yield f"no changes before, {kind}", changes.before(incident(service=words), [], NOON, after(9), is_told=True)
    yield "nobody tells of changes", changes.lately(None, [], 0, NOON, is_told=False)
    yield "no alerts", answers.alerts(incident(), [], 0, NOON)
    yield "an empty timeline", answers.timeline(incident(), [], 0)
    yield "an empty digest", answers.digest(Digest("2026-W24", "Incident week 24", "Nothing."))


def change_of(words: str, kind: ChangeKind) -> ChangeRecord:
    """A change that says the same everywhere."""
    which = words or None
    return ChangeRecord(
        "generic", words, kind, ChangeState.FAILED, words, which, which, None, which, which, which, "https://example.com/7", words,
        NOON, NOON,
    )  # fmt: skip


def entries_of(words: str) -> list[Entry]:
    """Fifty entries, of each type."""
    names = ("text", "alert", "reason", "to", "channel", "user", "role", "into", "severity", "from", "split_from", "related")
    fields = dict.fromkeys(names, words) | {"level": 2}
    types = [ENTRY_TYPES[number % len(ENTRY_TYPES)] for number in range(50)]
    return [Entry(after(number), type_, "INC-7", words or ANA, fields) for number, type_ in enumerate(types)]


def digest_of(words: str) -> Digest:
    """A digest with as many lines as there are in one."""
    lines = (words,) * 8
    rows = tuple(Row(words, words, words, words, words, words) for _ in range(12))
    return Digest("2026-W24", words, words, attention=lines, rows=rows, load=lines, noise=lines, footer=lines * 2)


def policy_of(words: str, services: int) -> Policy:
    """A policy in which everything is called that."""
    rules = {severity: rule.model_copy(update={"means": words or "?"}) for severity, rule in default_severities().items()}
    named = {f"{words[:60] or 'service'}-{number:03}": Service(title=words, aliases=()) for number in range(services)}
    return Policy(severities=rules, services=named)


def formed() -> Iterator[tuple[str, View]]:
    """Every form, with no service to choose from, few, and more than a list may have."""
    for kind, words in WORDS.items():
        for services in (0, 3, 250 if kind == "ordinary" else 101):
            policy = policy_of(words, services)
            chosen = next(iter(policy.services), None)
            yield f"declare {services}, {kind}", forms.declare(policy, words, chosen, "f" * 64)
            yield f"page {services}, {kind}", forms.page(incident(number=999_999_999), policy)
        for name, one in incidents(words, kind):
            yield f"update {name}, {kind}", forms.update(one, policy)
            yield f"severity {name}, {kind}", forms.severity(one, policy)
            yield f"status {name}, {kind}", forms.status(one)
    one = incident(number=999_999_999)
    for make in (forms.note, forms.role, forms.resolve, forms.merge, forms.split):
        yield make.__name__, make(one)
    every = {rule: given.model_copy(update={"update_every": timedelta(hours=9)}) for rule, given in default_severities().items()}
    yield "update, with no usual time", forms.update(one, Policy(severities=every))
    yield "a notice", blocks.notice("A notice", "Said")
