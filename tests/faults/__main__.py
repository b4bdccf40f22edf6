"""`make faults`: every fault there is, and `docs/reliability.md` from what came of them."""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bot.clock import wall_clock
from bot.commands.running import set_up_logs
from bot.settings import Settings
from tests.faults import (
    asides,
    crossed,
    inbound,
    machine,
    matrix,
    migrations,
    neighbours,
    orders,
    outages,
    poisoned,
    replicas,
    report,
    runs,
    scarce,
    storms,
    strangers,
    versions,
    watch,
)
from tests.faults.ledger import Ledger, code_here, commit_here
from tests.faults.matrix import Counts, Plan
from tests.faults.runs import Databases, Outcome
from tests.faults.trials import Trial

SEEDS = 7
"""So many that a thousand processes are killed."""
REPEATS = 2
CHANCE = "; not met again: see “What cannot be had”"
PARALLEL = 3 * (os.cpu_count() or 2)


def main() -> int:
    """Run, tell, and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"runs of each kill, on each database (default: {SEEDS})")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--only", default="", help="only faults whose name has these words")
    parser.add_argument("--parallel", type=int, default=PARALLEL, help=f"runs side by side (default: {PARALLEL})")
    parser.add_argument("--sample", type=int, help="only so many of those that run side by side, drawn by the first seed")
    parser.add_argument("--alone", type=int, default=0, help="beside a sample, so many of those that have the machine to themselves")
    parser.add_argument("--ledger", type=Path, help="keep what came of each in this file, and run only what it does not have")
    parser.add_argument("--write", type=Path, help="write the table to this file")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Some trials have the bot in this process.
    set_up_logs(Settings(_env_file=None, log_level="error"))
    databases = Databases()
    try:
        databases.start()
        print("Two runs that nobody disturbs …", flush=True)
        counts = runs.counted(databases)
        seeds = range(given.first, given.first + given.seeds)
        plans = [one for one in _all(seeds, counts) if given.only in one.name]
        if given.sample:
            plans = _drawn(plans, given.sample, given.alone, random.Random(given.first))
        ledger = Ledger(given.ledger, code_here(), commit_here()) if given.ledger else None
        rest = ledger.rest(plans) if ledger else plans
        keep = ledger.keep if ledger else lambda outcome: None
        done = ledger.outcomes(plans) if ledger else []
        done += runs.all_of(rest, databases, given.parallel, _teller(len(rest), keep))
        bad = [one for one in done if one.wrong]
        by_chance = _by_chance(bad, databases)
    finally:
        databases.close()
    missed = sum(not report.came_about(one) for one in done)
    print(f"\n{len(done)} runs, {len(bad)} with something wrong, {missed} whose fault did not come about.")
    for one in bad:
        print(f"- {report.named(one.plan)}")
        for wrong in one.wrong:
            print(f"    {wrong.kind}: {wrong.what}")
        print(f"    kept in {one.kept}{CHANCE if one in by_chance else ''}")
    for one in done:
        if isinstance(one.plan, Plan) and one.hits < len(one.plan.kills):
            print(f"- not reached: {report.named(one.plan)}: {one.hits} of {len(one.plan.kills)}")
        elif not one.hits:
            print(f"- no fault came about: {report.named(one.plan)}")
    if given.write:
        planned = sum(1 for _ in _all(range(SEEDS), counts))
        commits = ledger.commits() if ledger else [commit_here()]
        given.write.write_text(report.page(done, wall_clock().date(), planned, commits), encoding="utf-8")
    return 1 if len(bad) > len(by_chance) else 0


def _drawn(plans: Sequence[Plan | Trial], beside: int, alone: int, chance: random.Random) -> list[Plan | Trial]:
    """So many of those that run side by side, and of those that have the machine to themselves: one of each fault at most."""
    are_alone = [one for one in plans if isinstance(one, Trial) and one.is_alone]
    rest = [one for one in plans if one not in are_alone]
    of_each = list({one.fault: one for one in chance.sample(are_alone, len(are_alone))}.values())
    return [*chance.sample(rest, min(beside, len(rest))), *chance.sample(of_each, min(alone, len(of_each)))]


def _by_chance(bad: Sequence[Outcome], databases: Databases) -> list[Outcome]:
    """Those that cannot be had, and do not come about again: whoever stood still between a look at the lease and a call.

    A bot that makes calls without a lease is caught each time.
    """
    stopped = [one for one in bad if isinstance(one.plan, Plan) and any(kill.signal == "STOP" for kill in one.plan.kills)]
    twice = [one for one in stopped if {wrong.kind for wrong in one.wrong} == {"message"}]
    return [one for one in twice if not any(runs.carried_out(one.plan, databases).wrong for _ in range(REPEATS))]


TRIALS: tuple[Callable[[range], Iterator[Trial]], ...] = (
    migrations.trials, asides.trials, neighbours.trials, outages.trials, strangers.trials, inbound.trials, poisoned.trials,
    orders.trials, crossed.trials, machine.trials, versions.trials, scarce.trials, replicas.trials, watch.trials, storms.trials,
)  # fmt: skip
"""The `trials` of each module that has some."""


def _all(seeds: range, counts: Counts) -> Iterator[Plan | Trial]:
    yield from matrix.plans(seeds, counts)
    yield from matrix.doubles(range(seeds.start, seeds.start + 1), counts)
    yield from matrix.frozen(range(seeds.start, seeds.start + 2), counts)
    for trials in TRIALS:
        yield from trials(seeds)


def _teller(total: int, keep: Callable[[Outcome], None]) -> Callable[[Outcome, int], None]:
    began, wrong = time.monotonic(), 0

    def tell(outcome: Outcome, done: int) -> None:
        nonlocal wrong
        keep(outcome)
        wrong += bool(outcome.wrong)
        rest = (time.monotonic() - began) / done * (total - done)
        said = f"{done}/{total}, {wrong} wrong, {rest / 60:.0f} min left"
        if outcome.wrong:
            print(f"\n{outcome.plan.name}: {'; '.join(f'{one.kind}: {one.what}' for one in outcome.wrong)} (kept in {outcome.kept})")
        print(f"\r{said:50}", end="" if sys.stdout.isatty() else "\n", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
