"""`import`, `export`, `metrics`, `digest`: timelines in and out, and what they add up to."""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot import journal as journals
from bot.clock import wall_clock
from bot.commands.output import print_json, read_bytes
from bot.digest import Digest, shown
from bot.errors import Refused
from bot.incidents.inputs import DigestDue
from bot.metrics import WeekMetrics
from bot.metrics.figures import week_bounds, week_of
from bot.settings import Settings
from bot.slack.views.text import clean
from bot.store import migrate
from bot.wiring import Bot, Numbers, ReadWhenAsked, must_be_there, open_store


def add_to(commands: Any) -> None:
    """Add the four subcommands."""
    sub = commands.add_parser(
        "import", help="read a journal into the record",
        description="Reads a journal (docs/journal.md) into the record: whole, or not at all. The same file twice adds nothing.",
    )  # fmt: skip
    sub.add_argument("file", help="the journal; - reads standard input")
    sub.set_defaults(run=run_import)
    sub = commands.add_parser(
        "export", help="write the record as a journal",
        description="Writes every timeline as one journal (docs/journal.md) to standard output, or to a file.",
    )  # fmt: skip
    sub.add_argument("--week", help="only incidents of an ISO week, such as 2026-W24")
    sub.add_argument("--out", help="the file to write (default: standard output)")
    sub.set_defaults(run=run_export)
    sub = commands.add_parser(
        "metrics", help="the numbers of a week, with what they rest on",
        description="Prints a week's numbers. docs/metrics.md defines each. What has no source says so.",
    )  # fmt: skip
    _add_week(sub)
    sub.add_argument("--json", action="store_true", help="machine-readable output")
    sub.set_defaults(run=run_metrics)
    sub = commands.add_parser(
        "digest", help="the weekly digest",
        description="Posts a week's digest to Slack (once; a second time edits it). With --dry-run, prints it only.",
    )  # fmt: skip
    _add_week(sub)
    sub.add_argument("--dry-run", action="store_true", help="print it, post nothing")
    sub.set_defaults(run=run_digest)


def _add_week(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--week", help="an ISO week, such as 2026-W24 (default: this week)")
    sub.add_argument("--as-of", help="as it was known at this time, RFC 3339 (default: now)")


def run_import(given: argparse.Namespace, settings: Settings) -> int:
    """Read a journal into the record."""
    journal = journals.read(read_bytes(given.file))
    others: dict[str, Any] = dict(journal.others)
    if journal.is_zone_given:
        others["tz"] = journal.tz
    if journal.people:
        others["people"] = dict(journal.people)
    with open_store(settings, is_made=True) as store:
        migrate.upgrade(store.engine)
        added, known = store.take_in(journal.entries, others, wall_clock())
        is_zone_taken = not journal.is_zone_given or store.journal_notes().get("tz") == journal.tz
    incidents = len({one.incident for one in journal.entries})
    print(f"Added {added} entries to {incidents} incident{'s' * (incidents != 1)}; {known} were there already.")
    if not is_zone_taken:
        print(f"The team keeps its own zone; the file's, {journal.tz}, is taken into an empty record only.")
    return 0


def run_export(given: argparse.Namespace, settings: Settings) -> int:
    """Write the record as a journal."""
    with open_store(settings) as store:
        numbers = Numbers(store, wall_clock, ReadWhenAsked(settings))
        journal = numbers.journal()
        if given.week:
            start, end = week_bounds(_week(given.week), journal.zone)
            journal = numbers.journal(start, end)
    text = journals.write(journal)
    if not given.out:
        sys.stdout.write(text)
        return 0
    try:
        with open(given.out, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"{given.out}: {error.strerror}") from None
    print(f"{len(journal.entries)} entries written to {given.out}.")
    return 0


def run_metrics(given: argparse.Namespace, settings: Settings) -> int:
    """A week's numbers."""
    as_of = _as_of(given.as_of)
    with open_store(settings) as store:
        numbers = Numbers(store, wall_clock, ReadWhenAsked(settings))
        zone = numbers.facts().zone
        made = numbers.week(_week(given.week or week_of(as_of, zone)), as_of)
    if given.json:
        print_json(made.as_json())
    else:
        print(_as_text(made))
    return 0


def run_digest(given: argparse.Namespace, settings: Settings) -> int:
    """The digest, printed or posted."""
    as_of = _as_of(given.as_of)
    if given.dry_run:
        with open_store(settings) as store:
            numbers = Numbers(store, wall_clock, ReadWhenAsked(settings))
            print(_digest_text(numbers.digest(_week(given.week or numbers.week_now(as_of)), as_of)))
        return 0
    must_be_there(settings)
    bot = Bot(settings)
    try:
        _post_digest(bot, _week(given.week or bot.numbers.week_now(as_of)))
    finally:
        bot.stop()
    return 0


def _post_digest(bot: Bot, week: str) -> None:
    """Post it now. Raises `Refused` unless Slack took it."""
    channel = bot.choices.policy().channels.digest
    given_up = bot.store.outbox_depth().get("dead", 0)
    bot.door.handle(DigestDue(week))
    if not bot.worker().settle(60):
        raise Refused("not posted within a minute; it stays queued, and a running worker will post it")
    depth = bot.store.outbox_depth()
    if depth.get("dead", 0) > given_up:
        raise Refused(f"not posted: Slack will not take it in #{channel} as things are; `python -m bot check` says what to mend")
    if sum(depth.values()) > depth.get("dead", 0):
        raise Refused("not posted yet: Slack did not take it; it stays queued, and a running worker will post it")
    print(f"The digest of {week} is posted in #{channel}.")


def _week(text: str) -> str:
    try:
        week_bounds(text, ZoneInfo("UTC"))
    except ValueError:
        raise Refused(f"{text!r} is not an ISO week like 2026-W24") from None
    return text


def _as_of(text: str | None) -> datetime:
    if text is None:
        return wall_clock()
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Refused(f"--as-of: {text!r} is not a time like 2026-06-15T09:00:00Z") from None


def _as_text(made: WeekMetrics) -> str:
    lines = [f"Week {made.week} in {made.tz}: {made.opened} opened", ""]
    lines += [f"{row.row:40}{row.target:>10}{shown(row):>16}   n={row.n if row.n is not None else '–':<6}{row.status}"
              for row in made.scorecard]  # fmt: skip
    if made.ack_episodes:
        lines += ["", "Acknowledgement, page by page:"]
    for one in made.ack_episodes:
        bound = "≥ " if one["is_lower_bound"] else ""
        seconds = f"{bound}{one['seconds']:g} s" if one["seconds"] is not None else "–"
        said = f"{one['incident']} episode {one['episode']}: {one['class']}, {seconds}, {one['by'] or 'nobody'}"
        lines.append(f"  {clean(said, lines=False)}")
    if made.vulnerabilities is not None:
        lines += ["", "Critical security findings, 24 h each:", *_finding_lines(made.vulnerabilities)]
    lines += [f"Doubtful: {clean(one, lines=False)}" for one in made.data_problems]
    return "\n".join(lines)


def _finding_lines(found: Mapping[str, Any]) -> list[str]:
    """How many, and which of them have names."""
    known = {
        "opened": found["opened"], "due": found["due"], "fixed in time": found["met"], "overdue": found["overdue"],
        "still open": found["open"], "dismissed": found["dismissed"], "start unknown": found["unknown"],
        "severity unknown": found["unrated"],
    }  # fmt: skip
    lines = []
    for name, value in known.items():
        which = f"   {clean(', '.join(value), lines=False)}" if isinstance(value, list) and value else ""
        lines.append(f"  {name:24}{len(value) if isinstance(value, list) else value:>4}{which}")
    return lines


def _digest_text(given: Digest) -> str:
    lines = [given.title, given.headline]
    if given.attention:
        lines += ["", "Needs attention", *(f"  • {clean(one, lines=False)}" for one in given.attention)]
    lines += ["", f"{'Target':52}{'This week':>14}{'n':>6}  Status"]
    lines += [f"{row.name:52}{row.value:>14}{row.n:>6}  {row.status}" for row in given.rows]
    more = (*given.load, *(f"Noisy: {one}" for one in given.noise), *given.findings)
    lines += ["", *(clean(one, lines=False) for one in more), "", *given.footer]
    return "\n".join(lines)
