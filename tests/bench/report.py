"""docs/performance.md and its plot, from the figures of one run. The words stand here, the numbers in the run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.plot import plot

HEAD = """\
# Performance

Written by `make bench`; not by hand. Each time stands beside this machine's own floor, measured in the same run: an endpoint
that reads the body and answers 202, served just as the bot serves, or, for what does not go over HTTP, the bare query.
Absolute numbers move with the machine; ratios stay. A target is met only where every answer was the one asked for, and where
what was answered for was found in the record afterwards. What was not measured is said to be missing.
"""
PARTS: Mapping[str, tuple[str, str]] = {
    "intake": (
        "Alerts come in",
        "A webhook is answered after its commit (SQLite with `synchronous=FULL`, PostgreSQL with `fsync`). At a pace, waiting in "
        "line counts: requests start at fixed times, whether or not earlier ones are answered.",
    ),
    "page": (
        "From an alert to a page",
        "From before the alert's first byte until the 202 of a local PagerDuty had gone out, in `serve`; each alert opens an "
        "incident. The floor is the least that loses nothing: it commits the delivery before it answers, commits what follows, "
        "commits a claim, and asks its PagerDuty over a kept connection; between alert and page it reads, matches and decides "
        "nothing. It gets the same alerts in between, and has no storm of its own.",
    ),
    "slash": ("Commands in a small record", "`/incident …` as Slack signs it, to its answer; each decision is committed before."),
    "large": (
        "A bad quarter",
        "A record of thirteen weeks: a million timeline entries, 5,000 incidents open, one with ten thousand entries. Its rows are "
        "incidents that were decided by the rules, many times over. The digest is made by a process that never read the record "
        "before; `/incident metrics` is asked of one that has.",
    ),
    "street": (
        "Through the street",
        "From a delivery that waits in the inbox to everything that follows from it in the record: decided, timeline written, "
        "effects and timers set. In one thread, with nobody else who writes; the floor does the least there could be with it.",
    ),
    "deadlines": (
        "Time",
        "Ten thousand open incidents with a deadline each. That nothing is due costs one look at an index. Three thousand that are "
        "due at once are decided, written to their timelines and their effects queued. How late one is, is the time between the "
        "deadline and what the record of a running bot says.",
    ),
    "growth": (
        "Growth",
        "The median cost of one of each in a record of a thousand alerts, and of a million. The same number of incidents is open.",
    ),
    "memory": (
        "Memory",
        "What the system counts as resident of `serve`; the storm is one alert that comes again and again. What it holds while a "
        "hundred thousand different ones come stands below, with the flood.",
    ),
    "cost": (
        "What one costs",
        "Processor as the system counts it, of `serve` with SQLite, and of `web`, a `worker` and PostgreSQL, less what they need "
        "to do nothing. A repeat and an alert that joins are a delivery each, at a hundred a second. A life goes from the alert "
        "over page, channel, card, nine commands and the alert's end to the draft. The loads are computed: each incident has four "
        "more alerts, and each of its five comes twenty times again; of the million a day, the rest are repeats.",
    ),
    "full": (
        "The intake and the worker together, flat out",
        "64 connections send all they can while `serve` reads it.",
    ),
    "flood": (
        "A flood from one source",
        "A hundred thousand alerts in a minute, no two alike and each of a service of its own, sent to `serve` by one source, while "
        "another one has two critical alerts: from before its first byte to PagerDuty's 202. Each alert that was "
        "answered for belongs to an incident afterwards. The policy is the demo's: a source opens sixteen incidents an hour, and "
        "one more gathers the rest. After it a fifth as many warnings, which open nothing and are announced.",
    ),
    "door": (
        "The door alone, flat out",
        "`web` without a worker, in turn with the floor that gets the same bodies, and with Debian's Alertmanager, which keeps "
        "alerts in memory where the bot commits them to disk. Who measures shares the machine's cores; it is wrk where that is "
        "installed, and else a client in Python, which takes more of them.",
    ),
    "soak": (
        "A day of an alert a second",
        "As many alerts as a day has seconds, sent as fast as they are taken: the clock is the machine's, so a day's timers do "
        "not pass. Growth is promised from what was held after a tenth of them, when every thread and connection has long been "
        "needed once; from a quarter it is told, too. Long, so it is run by itself: `python -m tests.bench --soak`.",
    ),
}
ROW = "| {name} | {measured} | {floor} | {ratio} | {target} | {met} |"
MET = {True: "met", False: "**missed**", None: ""}


def document(run: Mapping[str, Any], picture: str = "") -> str:
    """The page. `run` is what `--json` writes: the machine, the figures with their part and database, and what was left out."""
    here = run["machine"]
    lines = [HEAD, _machine(here)]
    for part, (title, words) in PARTS.items():
        lines += [f"## {title}", "", words, ""]
        mine = [one for one in run["figures"] if one["part"] == part]
        if part == "growth" and mine and picture:
            lines += [f"![What one costs as the record grows]({picture})", ""]
        if mine:
            lines += ["| | measured | floor | ratio | target | |", "|---|---|---|---|---|---|", *map(_row, mine), ""]
        lines += [f"Missing: {why}", ""] if (why := _missing(part, mine, run)) else []
    return "\n".join(lines).rstrip() + "\n"


def _missing(part: str, mine: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> str:
    said = [one["why"] for one in run["missing"] if one["part"] == part]
    if not mine and not said:
        said = ["not measured in this run."]
    return " ".join(said)


def _machine(here: Mapping[str, Any]) -> str:
    paces = here["pace_s"]
    return (
        f"Measured on {here['at']} with {here['cores']} cores ({here['processor']}), Python {here['python']}. Writing and syncing "
        f"4 kB takes {here['sync_ms']:.2f} ms (median). The machine's load over a minute was {here['load_before']:.2f} before and "
        f"{here['load_after']:.2f} after. Ten million additions took Python {paces[1]:.2f} s (median; {paces[0]:.2f} to "
        f"{paces[2]:.2f} s between figures): where they take longer, so does what is below. Flat out, {here['sender']} sends.\n"
    )


def _row(one: Mapping[str, Any]) -> str:
    doubt = f"in doubt: {one['doubt']}" if one["doubt"] else ""
    refused = f"{one['not_answered']} not answered as asked" if one["not_answered"] else ""
    told = "; ".join(filter(None, (MET[one["met"]], doubt, refused, one["note"])))
    ratio = "–" if one["ratio"] is None else f"{one['ratio']:.2f}"
    return ROW.format(
        name=f"{one['figure']} ({one['database']})", measured=_measured(one["measured"]), floor=_measured(one["floor"]),
        ratio=ratio, target=one["target"] or "", met=told,
    )  # fmt: skip


def _measured(found: Mapping[str, Any]) -> str:
    if "amount" in found:
        return f"{found['amount']:,.2f} {found['unit']}".rstrip()
    rate = f"{found['per_second']:,.0f}/s; " if found.get("is_rate") and "per_second" in found else ""
    times = [f"{name} {found[f'{name}_ms']:.1f}" for name in ("p50", "p95", "p99") if f"{name}_ms" in found]
    return f"{rate}{', '.join(times)} ms" if times else "–"


def picture(points: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What one of each costs as the record grows, on the first database that it was measured on."""
    kind, found = next(iter(points.items()))
    names = list(found[0]["seconds"])
    lines = {name: [(one["alerts"], one["seconds"][name] * 1000) for one in found] for name in names}
    return plot(f"What one costs as the record grows ({kind})", "alerts in the record", "ms (median)", lines)


def write(run: Mapping[str, Any], file: Path) -> None:
    """Write the page, and beside it the plot where there is something to draw."""
    drawn = ""
    if run["growth"]:
        drawn = "growth.svg"
        (file.parent / drawn).write_text(picture(run["growth"]), encoding="utf-8")
    file.write_text(document(run, drawn), encoding="utf-8")


def kept(file: Path) -> list[dict[str, Any]]:
    """The figures of an earlier, longer run; none where there was none."""
    return list(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else []
