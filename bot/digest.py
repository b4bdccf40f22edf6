"""The weekly digest: what a team reads on Monday, in the order in which it needs it; and when it is due. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import floor
from zoneinfo import ZoneInfo

from bot.journal import Journal
from bot.metrics import Scorecard, WeekMetrics
from bot.metrics.episodes import NEVER
from bot.metrics.figures import week_bounds, week_of, weeks_before
from bot.metrics.told import Told

__all__ = ["Digest", "Row", "build", "due", "local_time", "week_before", "week_of", "weeks_before"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_LINES = 7
MOST_NAMED = 5
LATE_DAYS = 7
REVIEW_DAYS = {"SEV1": 3, "SEV2": 7}
MARKS = {"met": "✅ met", "missed": "❌ missed", "too few to tell": "◽ too few to tell", "no source": "– no source"}
BARS = "▁▂▃▄▅▆▇█"

Mention = tuple[str | None, str]
"""An incident, or none, and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the scorecard, as text. A missing figure is "–", and its status says why."""

    name: str
    target: str
    value: str
    n: str
    recent: str
    status: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A week's digest as plain, unescaped text; every text of a private incident is left out."""

    week: str
    title: str
    headline: str
    attention: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    load: tuple[str, ...] = ()
    noise: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()


def build(
    now_week: WeekMetrics, earlier: Sequence[WeekMetrics], journal: Journal, now: datetime, *, names: Mapping[str, str],
    told: Told | None = None,
) -> Digest:  # fmt: skip
    """The digest of a week, beside the weeks before it (oldest first). `names` shows people; empty keeps them out.

    `told` is what the journal's entries tell by `now`, for whoever has it already.
    """
    told = told or Told.of(journal.entries, now)
    reviews = _missing_reviews(told, now)
    first = now_week.starts_at.astimezone(journal.zone)
    last = (now_week.ends_at - timedelta(seconds=1)).astimezone(journal.zone)
    title = f"Incident week {now_week.week[-2:].lstrip('0')} · {first:%-d %B} – {last:%-d %B %Y}"
    return Digest(
        week=now_week.week,
        title=title,
        headline=_headline(now_week, len(reviews)),
        attention=_attention(now_week, told, reviews, journal, now),
        rows=tuple(_row(row, earlier, index) for index, row in enumerate(now_week.scorecard)),
        load=_load(now_week, names),
        noise=_noise(now_week, told, now),
        findings=_findings(now_week),
        footer=_footer(now_week, journal, now),
    )


# --- words ------------------------------------------------------------------------------------


def _headline(week: WeekMetrics, reviews: int) -> str:
    pages = week.load["pages"]
    if not week.opened and not week.ack_episodes:
        if pages:
            return f"No new incident. {_count(pages, 'page')} for earlier ones."
        return "No incident was opened, and nobody was paged."
    worst = ", ".join(f"{count} {severity}" for severity, count in week.opened_by_severity.items())
    parts = [f"{_count(week.opened, 'incident')} ({worst})" if week.opened else "No new incident"]
    met, missed = week.ack["met"], week.ack["missed"]
    if met + missed:
        parts.append(f"{met} of {_count(met + missed, 'page')} acknowledged in 5 min")
    elif week.opened:
        parts.append("no page counts for the acknowledgement target")
    if week.ack["pending"]:
        parts.append(f"{_count(week.ack['pending'], 'page')} still running")
    if reviews:
        parts.append(f"{_count(reviews, 'review')} missing")
    return ". ".join(parts) + "."


def _attention(week: WeekMetrics, told: Told, reviews: Sequence[str], journal: Journal, now: datetime) -> tuple[str, ...]:
    found: list[Mention] = [(ref, "has no post-mortem draft") for ref in reviews]
    found += _overdue_actions(journal, told, now)
    for one in week.ack_episodes:
        if one["class"] == "missed":
            bound = "never acknowledged" if one["is_lower_bound"] else f"acknowledged after {_spoken(one['seconds'])}"
            found.append((str(one["incident"]), f"{bound}: target missed"))
    found += [(ref, "is still open") for ref in week.carried_over]
    touched = told.touching(week.starts_at, week.ends_at)
    found += [(one.ref, f"was reopened {_count(len(one.episodes) - 1, 'time')}") for one in touched
              if len(one.episodes) > 1 and one.counts and week.starts_at <= one.episodes[-1].opened_at < week.ends_at]  # fmt: skip
    if week.vulnerabilities and week.vulnerabilities["overdue"]:
        found.append((None, f"Critical vulnerabilities past 24 h: {_listed(week.vulnerabilities['overdue'])}"))
    found += [(None, f"Doubtful record: {one}") for one in week.data_problems if one.split(":")[0] not in week.private]
    # Of thousands that are open, only those are looked at that are shown.
    lines = tuple(words if ref is None else _named(told, ref, words) for ref, words in found[:MOST_LINES])
    left = len(found) - MOST_LINES
    return (*lines, f"… and {left} more") if left > 0 else lines


def _named(told: Told, ref: str, words: str) -> str:
    incident = told.incidents.get(ref)
    if incident is None:
        return f"{ref} {words}"
    if incident.is_private:
        return f"A private incident {words}"
    return f"{incident.ref} ({incident.severity}, {incident.title[:80]}) {words}"


def _missing_reviews(told: Told, now: datetime) -> list[str]:
    """SEV1 and SEV2 incidents that are over, past their days, and have no draft."""
    found = []
    for one in (told.incidents[ref] for ref in told.unreviewed):
        days = REVIEW_DAYS.get(one.severity)
        ended = max((episode.ended_at for episode in one.episodes if episode.ended_at), default=None)
        if days is None or not one.hurts or ended is None:
            continue
        if timedelta(days=days) < now - ended < timedelta(days=90):
            found.append(one.ref)
    return sorted(found)


def _overdue_actions(journal: Journal, told: Told, now: datetime) -> list[Mention]:
    actions = sorted((one for of_one in told.actions.values() for one in of_one.values()), key=lambda one: one.first)
    today = now.astimezone(journal.zone).date().isoformat()
    late = [
        one for one in (action.entry for action in actions)
        if one.fields.get("due") and str(one.fields["due"])[:10] < today and one.fields.get("state", "open") != "done"
    ]  # fmt: skip
    return [(one.incident, f"action {one.fields.get('id')} was due {str(one.fields['due'])[:10]}") for one in late]


def _row(row: Scorecard, earlier: Sequence[WeekMetrics], index: int) -> Row:
    recent = [week.scorecard[index].value for week in earlier[-4:]]
    return Row(
        name=f"{row.row} ({row.target})",
        target=row.target,
        value=shown(row),
        n="–" if row.n is None else str(row.n),
        recent=" · ".join("–" if value is None else _figure(row, value) for value in recent) or "–",
        status=MARKS[row.status],
    )


def shown(row: Scorecard) -> str:
    """The figure of a row; "–" where there is none."""
    return "–" if row.value is None else _figure(row, row.value)


def _figure(row: Scorecard, value: float) -> str:
    if row.row in ("time to restore (median)", "lead time (median)"):
        return _spoken(value)
    if row.row == "p95":
        return f"{value:g} ms"
    if row.row == "deployments a day":
        return f"{value:.1f}"
    if row.row in ("uptime", "error rate"):
        return f"{value * 100:.3f} %"
    whole = f"{value * 100:.0f}"
    # One that was missed must not read as none, and one that was met not as all.
    return f"{floor(value * 1000) / 10:g} %" if whole in ("0", "100") and 0 < value < 1 else f"{whole} %"


def _load(week: WeekMetrics, names: Mapping[str, str]) -> tuple[str, ...]:
    hours = week.load["by_hours"]
    lines = [
        f"On-call load: {_count(week.load['pages'], 'page')}, {_count(week.load['interruptions'], 'interruption')}: "
        f"{hours['business']} in working hours, {hours['off_hours']} off hours, {hours['sleep']} in sleeping hours"
    ]
    if names:
        people = (f"{names.get(who, who)} {count}" for who, count in week.load["by_person"].items())
        lines.append("Interruptions by person: " + ", ".join(people))
    noise = week.noise
    paged = noise["actionable"] + noise["not_actionable"] + noise["unknown"]
    if paged:
        lines.append(
            f"Pages worth waking for: {noise['actionable']} yes, {noise['not_actionable']} no, "
            f"{noise['unknown']} unknown; {noise['self_healed']} healed by themselves within 5 min"
        )
    return tuple(lines)


def _noise(week: WeekMetrics, told: Told, now: datetime) -> tuple[str, ...]:
    lines = []
    for one in week.noise["noisiest"]:
        if told.public_alerts.get(one["alert"], NEVER) > now:
            continue
        flaps = ", flapping" if one["alert"] in week.noise["flapping"] else ""
        lines.append(f"{one['alert']}: fired {_count(one['fires'], 'time')}, {_count(one['pages'], 'page')}{flaps}")
    return tuple(lines)


def _findings(week: WeekMetrics) -> tuple[str, ...]:
    """What became of critical security findings; nothing where nobody tells of any: the scorecard says so."""
    found = week.vulnerabilities
    if found is None or not any(found.values()):
        return ()
    in_time = f"{found['met']} of {_count(found['due'], 'deadline')} met" if found["due"] else "no deadline fell in the week"
    lines = [
        f"Critical security findings, 24 h each: {found['opened']} opened, {in_time}, "
        f"{len(found['overdue'])} overdue, {len(found['open'])} still open"
    ]
    if found["dismissed"]:
        lines.append(f"Dismissed, which is not fixed: {_listed(found['dismissed'])}")
    if found["unknown"]:
        lines.append(f"Fixed within 24 h of when we heard, and nobody says when it was found: {found['unknown']}, not counted")
    if found["unrated"]:
        lines.append(f"Open, and nobody says how severe: {found['unrated']}, not counted")
    return tuple(lines)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(one[:80] for one in names[:MOST_NAMED]) + more


def _footer(week: WeekMetrics, journal: Journal, now: datetime) -> tuple[str, ...]:
    excluded = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in week.ack["excluded"].items() if count)
    hours = week.length_seconds / 3600
    changed = f", {hours:g} h because the clocks changed" if hours != 168 else ""
    interval = week.ack["interval"]
    sure = f"Acknowledged in time, 95 % interval: {interval[0] * 100:.0f}–{interval[1] * 100:.0f} %" if interval else ""
    lines = [
        f"Monday to Monday in {journal.tz}{changed} · made {now.astimezone(journal.zone):%Y-%m-%d %H:%M %Z}",
        f"Left out of acknowledgement: {excluded}" if excluded else "",
        sure,
        "Definitions: docs/metrics.md. “No source” is not zero.",
    ]
    return tuple(line for line in lines if line)


def sparkline(values: Sequence[float | None]) -> str:
    """Bars from zero to the highest; a gap is "·"; where all are equal, the middle."""
    known = [value for value in values if value is not None]
    if not known:
        return "·" * len(values)
    top = max(known)
    if min(known) == top:
        return "".join("·" if value is None else BARS[3] for value in values)
    return "".join("·" if value is None else BARS[round(value / top * 7)] for value in values)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _spoken(seconds: float) -> str:
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


# --- when -------------------------------------------------------------------------------------


def week_before(week: str) -> str:
    """The ISO week before."""
    return weeks_before(week, 1)[0]


def local_time(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A wall-clock time on a day, in UTC. One that does not exist is the next that does; one that comes twice, the first."""
    wanted = datetime.combine(day, at, tzinfo=zone)
    moment = wanted.astimezone(ZoneInfo("UTC"))
    if moment.astimezone(zone).replace(tzinfo=None) == wanted.replace(tzinfo=None):
        return moment
    # The clocks jumped over it: the first minute after the jump.
    probe = moment - timedelta(hours=3)
    while True:
        following = probe + timedelta(minutes=1)
        local = following.astimezone(zone)
        if local.date() == day and local.time() >= at:
            return following
        probe = following


def due(newest: str, now: datetime, zone: ZoneInfo, weekday: str, at: time) -> list[tuple[str, datetime]]:
    """Which weeks' digests are to come, and when: the last that was missed (if it is not a week late), and the next.

    `newest` is the newest week whose digest was posted, or that none is owed for.
    """
    found = []
    current = week_of(now, zone)
    for week in (*weeks_before(current, 2), current):
        if week <= newest:
            continue
        _, end = week_bounds(week, zone)
        day = end.astimezone(zone).date() + timedelta(days=WEEKDAYS.index(weekday))
        moment = local_time(day, at, zone)
        if now - moment < timedelta(days=LATE_DAYS):
            found.append((week, moment))
    late = [one for one in found if one[1] <= now]
    return [*late[-1:], *(one for one in found if one[1] > now)]
