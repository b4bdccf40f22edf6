"""Numbers from what is kept and brought up to date are those from all timelines read anew, whatever came in between."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from bot import digest
from bot.incidents.decision import Decision
from bot.incidents.timeline import Entry
from bot.journal import Journal
from bot.metrics import Told, week_metrics
from bot.store.ledger import Ledger

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
WEEKS = ("2026-W23", "2026-W24", "2026-W25", "2026-W26", "2026-W27")
TYPES = (
    "alert_started", "alert_resolved", "page_requested", "page_accepted", "page", "ack", "unack", "note", "status_changed",
    "severity_changed", "resolved", "resolved", "reopened", "reopened", "merged", "cancelled", "mitigated",
    "impact_started_set", "page_feedback", "deploy_caused", "follow_up", "postmortem_drafted", "role",
)  # fmt: skip


def fields_of(type_: str, dice: random.Random, at: datetime) -> dict[str, object]:
    earlier = (at - timedelta(hours=dice.randint(0, 30))).isoformat()
    match type_:
        case "alert_started":
            return {"alert": dice.choice("abc"), "fingerprint": dice.choice("xyz")}
        case "page":
            return {"to": dice.choice(("U1", "U2")), "channel": dice.choice(("push", "sms", "email"))}
        case "status_changed":
            return {"to": dice.choice(("monitoring", "cancelled", "false_positive"))}
        case "severity_changed":
            return {"to": dice.choice(("SEV1", "SEV4"))}
        case "resolved":
            return dice.choice(({}, {"auto": True}, {"reason": "false_positive"}, {"effective_at": earlier}))
        case "merged":
            return {"into": f"INC-{dice.randint(1, 12)}"}
        case "mitigated":
            return dice.choice(({}, {"impact_ended_at": earlier}))
        case "impact_started_set":
            return {"value": earlier}
        case "page_feedback":
            return {"actionable": dice.random() < 0.5}
        case "deploy_caused":
            return {"deploy": dice.choice("pqr")}
        case "follow_up":
            return {"id": dice.choice("12"), "due": earlier[:10], "state": dice.choice(("open", "done"))}
        case "role":
            return {"role": "commander", "user": "U1"}
        case _:
            return {}


def lived(seed: int) -> list[Entry]:
    """Twelve incidents over five weeks; what happens to them makes little sense, and is told in any order, some of it twice."""
    dice, told = random.Random(seed), []
    for number in range(1, 13):
        at, ref = JUNE + timedelta(minutes=dice.randint(0, 60 * 24 * 35)), f"INC-{number}"
        opening = {"severity": dice.choice(("SEV1", "SEV2", "SEV3")), "private": number % 4 == 0, "drill": number == 5, "title": ref}
        if number != 11:
            told.append(Entry(at, "opened", ref, "bot", opening))
        for _ in range(dice.randint(0, 14)):
            at += timedelta(seconds=dice.choice((0, 0, 60, 200, 400, 4_000, 100_000, 400_000)))
            type_ = dice.choice(TYPES)
            told.append(Entry(at, type_, ref, dice.choice(("U1", "U2", "bot", None, "dana")), fields_of(type_, dice, at)))
    told += dice.sample(told, 5)
    dice.shuffle(told)
    return told


def numbers(journal: Journal, as_of: datetime, told: Told | None) -> list[object]:
    weeks = [week_metrics(journal, week, as_of, told) for week in WEEKS]
    return [*(one.as_json() for one in weeks), digest.build(weeks[-1], weeks[:-1], journal, as_of, names={}, told=told)]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("days", [3, 20, 36, 120])
def test_incidents_learnt_again_and_again_tell_what_all_entries_tell(seed, days):
    entries, as_of, dice = lived(seed), JUNE + timedelta(days=days, seconds=seed * 1000), random.Random(seed)
    told, mine = Told(), dict[str, list[Entry]]()
    for one in entries:
        mine.setdefault(one.incident, []).append(one)
        if dice.random() < 0.3:
            told.take(one.incident, mine[one.incident])
    for ref in mine:
        told.take(ref, mine[ref])
    kept = told.copy()
    for ref in kept.later_than(as_of):
        kept.take(ref, mine[ref], as_of)
    kept.join()

    assert numbers(Journal((), "Europe/Lisbon"), as_of, kept) == numbers(Journal(tuple(entries), "Europe/Lisbon"), as_of, None)


def test_the_ledger_tells_what_the_record_holds_also_of_what_came_since(store):
    entries, as_of = lived(7), JUNE + timedelta(days=36)
    ledger = Ledger(store.engine)
    facts = Journal((), "Europe/Lisbon")

    for part in (entries[:40], entries[40:41], entries[41:90], (), entries[90:]):
        with store.writing() as work:
            work.save(Decision(entries=tuple(part)), as_of)
        whole = Journal(store.journal()[0], "Europe/Lisbon")
        with ledger.told(as_of) as told:
            assert numbers(facts, as_of, told) == numbers(whole, as_of, None)

    assert len(whole.entries) == len(entries)


def test_an_empty_record_has_no_numbers_rather_than_zeros(store):
    ledger = Ledger(store.engine)

    with ledger.told(JUNE) as told:
        made = week_metrics(Journal((), "UTC"), "2026-W23", JUNE, told)

    assert ledger.is_read
    assert made.uptime["ratio"] is None
    assert made.opened == 0


def test_what_happens_later_by_a_clock_that_is_ahead_is_no_part_of_now(store):
    ledger = Ledger(store.engine)
    opened = Entry(JUNE, "opened", "INC-1", "bot", {"severity": "SEV1"})
    resolved = Entry(JUNE + timedelta(minutes=10), "resolved", "INC-1", "U1", {})
    with store.writing() as work:
        work.save(Decision(entries=(opened, resolved)), JUNE)

    with ledger.told(JUNE + timedelta(minutes=5)) as told:
        assert not told.incidents["INC-1"].is_over
    with ledger.told(JUNE + timedelta(minutes=10)) as told:
        assert told.incidents["INC-1"].is_over
