"""docs/reliability.md: what was done to the bot how often, and what came of it."""

import platform
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from tests.faults.matrix import Plan
from tests.faults.runs import Outcome
from tests.faults.trials import Trial

KINDS = ("lost", "page", "channel", "message", "late")

PARTS = {
    "A": "Killed, killed twice, standing still",
    "B": "Neighbours that fail",
    "C": "What comes in",
    "D": "The machine",
    "E": "Storms and replicas",
    "G": "Who watches the watcher",
}

HEAD = """\
# Reliability

<!-- Written by `make faults`. The words are in tests/faults/report.py. -->

Real processes of the bot are killed, killed again while they recover, and made to stand still; their neighbours answer
late, wrongly or not at all; what comes in comes twice, out of order, or while the database is away; disks are full and
clocks jump; alerts come by the thousand. Beside them run a Slack and a PagerDuty that keep a ledger of everything that was
really done. Judges then read those ledgers and the record, never the bot's log, and look for what is lost and what is there
twice. A seed chooses what is left to chance; threads and processes still run as the machine lets them, so a run can be
repeated closely, not exactly. B4 to B10, C2, D5, D6 and a part of G have the bot within the trial's own process, by a clock
that the trial moves: there what counts is the order in which things happen.

Not tried: real Slack and PagerDuty; a power cut below the file system; a full disk under PostgreSQL; PostgreSQL's failover to
a standby; a change of the rules of a time zone; SQLite on a read-only file system. Where a process stands still on SQLite nobody
else takes over, for there is one process only. In C8 the inbox of a process holds forty deliveries, not ten thousand. In D8 the
newer version is a copy of this one with changes of its own. `make bench` measures E6, and D7's soak is its `--soak`: see
[performance.md](performance.md).

A run with a kill tells the whole life of an incident: alert, page, channel, card, second level, acknowledgement (every other
time on the phone), responders, update, all-clear, resolve, draft, digest, alarm. People and senders in it try again where they
are not answered, as they do.

What came of each run is a line of [reliability.jsonl](reliability.jsonl).
"""

TAIL = """\
## What each run is held to

Every delivery that was answered with a 2xx is handled, whoever sent it: alerts, PagerDuty's webhooks, and what people did in
Slack. One incident for one alert, one page for one incident, each level paged once, one channel and none left over, one card,
pinned; every message exactly once, by the effect that it carries in its metadata; the first acknowledgement, on both sides, at
the moment that the neighbour knows; one draft, one digest; nothing waits and no timer is left. Reminder, missed target and level
come once each, never before they are due, and at most ten seconds late, by the record and by when Slack and PagerDuty got them,
counted from the end of an outage where there was one; a page is taken at most five seconds after the alert was, or ten after the
outage. The record has no chain of hashes that could be verified; what is checked instead: each line of the timeline that was ever
read stays as it was, and none is there twice.

## What cannot be had

- **A message may be there twice** if Slack carries out a post whose answer was lost *after* the bot has looked for it. No
  run has met it, because the stand-in carries a post out at once or never; [0007](decisions/0007-what-slack-cannot-promise.md)
  says why nothing in Slack's interface rules it out.
- **A person's command that was cut off** is shown by Slack as failed though it may have been saved. Typed again, a note is
  there twice, once for each time it was asked; everything else answers that it was done already.
- **A form, or an answer to one person, that was cut off** is not shown: its trigger lives three seconds. What they did is
  saved; asked again, they are shown it. And where the bot dies in the moment in which PagerDuty's webhook is on again,
  nobody is told that it had been off.
- **A process that stands still between its last look at its lease and its call** makes that call in spite of its successor
  once it goes on. For a trigger, an acknowledgement and a resolve that is harmless (the same key); a message may be there
  twice, and a level that was asked for may ring once more. It takes a process that stops for longer than its lease within
  some microseconds, more on a machine that has too much to do, and then goes on.
"""


def page(outcomes: Sequence[Outcome], today: date, planned: int, commits: Sequence[str]) -> str:
    """The whole document. `commits` are those that were run."""
    return "\n".join([HEAD, *_summary(outcomes, today, planned, commits), "", *_tables(outcomes), *_failures(outcomes), TAIL])


def _summary(outcomes: Sequence[Outcome], today: date, planned: int, commits: Sequence[str]) -> list[str]:
    met = [one for one in outcomes if came_about(one)]
    killed = [one for one in outcomes if isinstance(one.plan, Plan)]
    kills, reached = sum(len(one.plan.kills) for one in killed if isinstance(one.plan, Plan)), sum(one.hits for one in killed)
    wrong = {kind: sum(_count(one, kind) for one in outcomes) for kind in KINDS}
    code = f"commit {commits[0]}," if len(commits) == 1 else f"commits {', '.join(commits)}, which are the same in all that is run,"
    return [
        f"**{len(outcomes):,} runs** of {code} of {planned:,} that `make faults` plans, "
        f"on {today:%-d %B %Y}, in {len(met):,} of which the fault came about. Of {kills:,} kills and stops that were planned, "
        f"**{reached:,} were reached**; the others, whose point was not reached as often as the seed asked, are no kills. "
        f"**{wrong['lost']} lost, {wrong['page']} duplicate pages, {wrong['channel']} duplicate channels, "
        f"{wrong['message']} duplicate messages, {wrong['late']} late.** {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite and PostgreSQL, both with every commit synced.",
    ]


def _tables(outcomes: Sequence[Outcome]) -> list[str]:
    """A table for each part that something was tried in."""
    lines: list[str] = []
    for letter, title in PARTS.items():
        found = [one for one in outcomes if _part(one) == letter]
        if found:
            lines += [f"## {title}", "", *_table(found), "", *_not_reached(found)]
    return lines


def came_about(outcome: Outcome) -> bool:
    """Whether the fault did: of several kills, each."""
    return outcome.hits >= (len(outcome.plan.kills) if isinstance(outcome.plan, Plan) else 1)


def _not_reached(outcomes: Sequence[Outcome]) -> list[str]:
    """Each plan of which a kill was not reached. In a double, it is the last that was not."""
    missed = [(one, one.plan) for one in outcomes if isinstance(one.plan, Plan) and one.hits < len(one.plan.kills)]
    if not missed:
        return []
    lines = [f"- {named(plan)}: {one.hits} of {len(plan.kills)} reached" for one, plan in missed]
    return ["### Not reached", "", *sorted(lines), ""]


def _part(outcome: Outcome) -> str:
    """The letter that a trial's name begins with; A for a kill."""
    return outcome.plan.fault[0] if isinstance(outcome.plan, Trial) else "A"


def _row(outcome: Outcome) -> str:
    """What runs of one kind are counted under: at whatever call a neighbour misbehaves."""
    fault = outcome.plan.fault
    return fault.partition(" to ")[0] if fault.startswith(("B1 ", "B2 ", "B3 ")) else fault


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for one in outcomes:
        rows[_row(one)].append(one)
    lines = [
        "| fault | runs | reached | lost | duplicate pages | duplicate channels | duplicate messages | late |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for fault, found in sorted(rows.items()):
        counts = " | ".join(str(sum(_count(one, kind) for one in found)) for kind in KINDS)
        reached = sum(came_about(one) for one in found)
        lines.append(f"| {fault} | {len(found)} | {reached or '**not reached**'} | {counts} |")
    return lines


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    bad = [one for one in outcomes if one.wrong]
    if not bad:
        return []
    lines = ["## What went wrong", ""]
    for one in bad:
        said = "; ".join(f"{wrong.kind}: {wrong.what}" for wrong in one.wrong)
        lines.append(f"- {named(one.plan)}: {said}{f' (kept in {one.kept})' if one.kept else ''}")
    return [*lines, ""]


def named(plan: Plan | Trial) -> str:
    """A plan, with all that is needed to do it again."""
    if isinstance(plan, Trial):
        return plan.name
    at = ", then ".join(f"{kill.point or kill.call} #{kill.time}" for kill in plan.kills)
    return f"{plan.name} ({at})"


def _count(outcome: Outcome, kind: str) -> int:
    return sum(one.kind == kind for one in outcome.wrong)
