"""The numbers of one ISO week: each with its n, none where there is no source, and whether the target is met."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.incidents.timeline import rfc3339
from bot.journal import Journal, moment
from bot.metrics.episodes import LOUD, NEVER, Acknowledgement, Episode, Folded, acknowledgement
from bot.metrics.figures import Value, hour_class, median, median_value, p90, union_seconds, week_bounds, wilson
from bot.metrics.told import Impact, Told
from bot.metrics.vulnerabilities import vulnerabilities

Hurting = tuple[str, Sequence[Impact]]
"""An incident that counts for restore and uptime, and the impact of each of its episodes."""
MET, MISSED, FEW, NONE = "met", "missed", "too few to tell", "no source"
ENOUGH = 5
RESTORE_TARGET = 900.0
LEAD_TARGET = 3600.0
UPTIME_TARGET = 0.999
FAILURE_TARGET = 0.05
TOGETHER = timedelta(seconds=60)
FLAP_SPAN, FLAP_COUNT = timedelta(minutes=60), 3
EXCLUDED = ("drill", "duplicate", "self_healed", "no_page")
CLASSES = ("business", "off_hours", "sleep")
SHAPES = {
    "deployments": ("count", "per_day"),
    "lead_time": ("median_seconds", "count", "share_met"),
    "change_failure": ("failed", "deployments", "ratio", "interval"),
    "vulnerabilities": ("met", "due", "overdue", "dismissed", "opened", "open", "unknown", "unrated"),
    "scan_coverage": ("ratio",),
    "error_rate": ("ratio",),
}
"""What stands in the JSON where there is no source: the same keys, each null."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One row: what was aimed at, what it was, how much it rests on. `value` is None where there is none."""

    row: str
    target: str
    value: float | None
    n: int | None
    status: str


@dataclass(frozen=True, slots=True)
class WeekMetrics:
    """A week's numbers. `None` is "no source", or nothing to measure; it is never zero."""

    week: str
    tz: str
    starts_at: datetime
    ends_at: datetime
    length_seconds: float
    opened: int
    opened_by_severity: Mapping[str, int]
    ack: Mapping[str, Any]
    ack_episodes: Sequence[Mapping[str, Any]]
    restore: Mapping[str, Any]
    restored: Sequence[Mapping[str, Any]]
    carried_over: Sequence[str]
    uptime: Mapping[str, Any]
    load: Mapping[str, Any]
    noise: Mapping[str, Any]
    deployments: Mapping[str, Any] | None
    lead_time: Mapping[str, Any] | None
    change_failure: Mapping[str, Any] | None
    vulnerabilities: Mapping[str, Any] | None
    scan_coverage: Mapping[str, Any] | None
    error_rate: Mapping[str, Any] | None
    p95_ms: float | None
    data_problems: Sequence[str] = ()
    private: frozenset[str] = frozenset()
    scorecard: Sequence[Scorecard] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """What `bot metrics --json` prints."""
        plain = asdict(self)
        plain.pop("private")
        plain["starts_at"], plain["ends_at"] = rfc3339(self.starts_at), rfc3339(self.ends_at)
        for name, keys in SHAPES.items():
            plain[name] = plain[name] if plain[name] is not None else dict.fromkeys(keys)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}


def week_metrics(journal: Journal, week: str, as_of: datetime, told: Told | None = None) -> WeekMetrics:
    """The numbers of `week` in the journal's zone, from what was known at `as_of`. Raises ValueError for no week.

    `told` is what the journal's entries tell by `as_of`, for whoever has it already; then the journal needs none.
    """
    start, end = week_bounds(week, journal.zone)
    told = told or Told.of(journal.entries, as_of)
    everything = told.touching(start, end)
    # Most of what is open for long says nothing new in a week.
    active = [one for one in everything if one.last_at >= start]
    problems: list[str] = []
    answers = [
        (one, episode, acknowledgement(one, episode, as_of))
        for one in active
        for episode in one.episodes
        if start <= episode.opened_at < end
    ]
    problems += [f"{a.incident}: acknowledged before it was opened" for _, _, a in answers if a.verdict == "data_problem"]
    opened = [one for one in active if one.counts and start <= one.opened_at < end]
    known = ((one.ref, told.hurts.get(one.ref)) for one in everything)
    hurting = [(ref, impacts) for ref, impacts in known if impacts is not None]
    restored, restore_problems = _restored(hurting, start, end)
    deployed = _deployments(journal, as_of)
    made = WeekMetrics(
        week=week, tz=journal.tz, starts_at=start, ends_at=end, length_seconds=(end - start).total_seconds(),
        opened=len(opened), opened_by_severity=dict(sorted(Counter(one.severity for one in opened).items())),
        ack=_ack([answer for _, _, answer in answers]),
        ack_episodes=[_ack_json(answer) for _, _, answer in answers],
        restore=_restore(restored), restored=restored, carried_over=_carried(everything, as_of, end),
        uptime=_uptime(journal, told, hurting, start, end, as_of),
        load=_load(journal, active, start, end), noise=_noise(answers, active, start, end),
        deployments=_deployment_figures(deployed, start, end),
        lead_time=_lead_time(journal, deployed, start, end),
        change_failure=_change_failure(list(told.deployed.values()), deployed, start, end),
        vulnerabilities=vulnerabilities(journal, start, end, as_of), scan_coverage=_coverage(journal),
        error_rate=_error_rate(journal), p95_ms=journal.others.get("p95_ms"),
        data_problems=[*problems, *restore_problems],
        private=frozenset(one.ref for one in everything if one.is_private),
    )  # fmt: skip
    return _with_scorecard(made, told.first_at != NEVER)


# --- acknowledgement --------------------------------------------------------------------------


def _ack(answers: Sequence[Acknowledgement]) -> dict[str, Any]:
    counted = Counter(one.verdict for one in answers)
    met, missed = counted["met"], counted["missed"]
    values = [one.value for one in answers if one.verdict in ("met", "missed") and one.value]
    middle = median_value(values)
    interval = wilson(met, met + missed)
    return {
        "met": met, "missed": missed, "pending": counted["pending"],
        "excluded": {name: counted[name] for name in EXCLUDED},
        "share": met / (met + missed) if met + missed else None,
        "interval": list(interval) if interval else None,
        "median_seconds": middle.seconds if middle else None,
        "median_is_lower_bound": bool(middle and middle.is_lower_bound),
        "max_seconds": max((one.seconds for one in values), default=None),
        "max_is_lower_bound": _longest_is_bound(values),
        "p90_seconds": p90([one.seconds for one in values]),
    }  # fmt: skip


def _longest_is_bound(values: Sequence[Value]) -> bool:
    longest = max(values, key=lambda one: (one.seconds, one.is_lower_bound), default=None)
    return bool(longest and longest.is_lower_bound)


def _ack_json(answer: Acknowledgement) -> dict[str, Any]:
    return {
        "incident": answer.incident, "episode": answer.episode, "class": answer.verdict,
        "seconds": answer.value.seconds if answer.value else None,
        "is_lower_bound": bool(answer.value and answer.value.is_lower_bound), "by": answer.by,
    }  # fmt: skip


# --- restore, uptime --------------------------------------------------------------------------


def _restored(hurting: Sequence[Hurting], start: datetime, end: datetime) -> tuple[list[dict[str, Any]], list[str]]:
    """Incidents whose impact ended in the week, with how long they hurt: the sum of their episodes."""
    found, problems = [], []
    for ref, impacts in hurting:
        if impacts[-1][1] is None:
            # As most that are open are.
            continue
        ends = [until for _, until in impacts if until is not None]
        if len(ends) < len(impacts) or not start <= max(ends) < end:
            continue
        lengths = [(until - since).total_seconds() for (since, _), until in zip(impacts, ends, strict=True)]
        if min(lengths) < 0:
            problems.append(f"{ref}: its impact ends before it starts")
            continue
        found.append({"incident": ref, "seconds": sum(lengths)})
    return found, problems


def _restore(restored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seconds = [one["seconds"] for one in restored]
    met = sum(one < RESTORE_TARGET for one in seconds)
    share = met / len(seconds) if seconds else None
    return {"count": len(seconds), "median_seconds": median(seconds), "share_met": share}


def _carried(incidents: Sequence[Folded], as_of: datetime, end: datetime) -> list[str]:
    """What was still open when the week ended, or is open now."""
    then = min(as_of, end - timedelta(microseconds=1))
    return sorted(one.ref for one in incidents if one.was_there(then) and not one.is_over_by(then))


def _uptime(
    journal: Journal, told: Told, hurting: Sequence[Hurting], start: datetime, end: datetime, as_of: datetime
) -> dict[str, Any]:
    known = ((since, until or as_of) for _, impacts in hurting for since, until in impacts)
    spans = [(since, until) for since, until in known if until >= since]
    seconds = union_seconds(spans, start, end)
    probes = journal.others.get("probes")
    if isinstance(probes, dict) and probes.get("valid") and probes.get("good") is not None:
        return {"ratio": probes["good"] / probes["valid"], "impact_seconds": seconds, "source": "probes", "valid": probes["valid"],
                "expected": probes.get("expected")}  # fmt: skip
    if as_of <= start or told.first_at >= end or told.first_at > as_of:
        # Of a time before the record begins, or that has not come, nothing is known; and nothing known is not 100 %.
        return {"ratio": None, "impact_seconds": None, "source": None}
    return {"ratio": 1 - seconds / (end - start).total_seconds(), "impact_seconds": seconds, "source": "incidents"}


# --- load, noise ------------------------------------------------------------------------------


def _load(journal: Journal, incidents: Sequence[Folded], start: datetime, end: datetime) -> dict[str, Any]:
    pages: set[tuple[str, int, str]] = set()
    calls: dict[str, list[datetime]] = defaultdict(list)
    for one in incidents:
        if one.is_drill:
            continue
        for episode in one.episodes:
            known = [page for page in episode.pages if start <= page.at < end]
            for page in known:
                who = str(page.fields.get("to") or "somebody")
                pages.add((one.ref, episode.number, who))
                if page.fields.get("channel", "push") in LOUD:
                    calls[who].append(page.at)
            if episode.is_paged and not episode.pages and start <= episode.opened_at < end:
                pages.add((one.ref, episode.number, ""))
    interruptions = [(who, at) for who, times in calls.items() for at in _starts(times)]
    hours = Counter(hour_class(at, journal.zone_of(who)) for who, at in interruptions)
    people = Counter(who for who, _ in interruptions)
    return {
        "pages": len(pages), "interruptions": len(interruptions), "by_hours": {name: hours[name] for name in CLASSES},
        "by_person": dict(sorted(people.items())),
    }  # fmt: skip


def _starts(times: Sequence[datetime]) -> list[datetime]:
    """When each interruption began: notifications at most a minute apart are one."""
    begun: list[datetime] = []
    last: datetime | None = None
    for at in sorted(times):
        if last is None or at - last > TOGETHER:
            begun.append(at)
        last = at
    return begun


def _noise(
    answers: Sequence[tuple[Folded, Episode, Acknowledgement]],
    incidents: Sequence[Folded],
    start: datetime,
    end: datetime,
) -> dict[str, Any]:
    paged = [(one, episode, answer) for one, episode, answer in answers if one.counts and episode.is_paged]
    verdicts = Counter(_usefulness(episode) for _, episode, _ in paged)
    fires: Counter[str] = Counter()
    alert_pages: Counter[str] = Counter()
    by_fingerprint: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for one in incidents:
        if one.is_drill:
            continue
        fired = [(at, name, print_) for at, name, print_ in one.fires if start <= at < end]
        for at, name, print_ in fired:
            fires[name] += 1
            by_fingerprint[(name, print_)].append(at)
        if not fired:
            continue
        rung = sum(max(1, len({page.fields.get("to") for page in episode.pages})) for episode in one.episodes
                   if episode.is_paged and start <= episode.opened_at < end)  # fmt: skip
        for name in {name for _, name, _ in fired}:
            alert_pages[name] += rung
    noisiest = sorted(fires, key=lambda name: (-alert_pages[name], -fires[name], name))[:3]
    return {
        "actionable": verdicts["actionable"], "not_actionable": verdicts["not_actionable"],
        "unknown": verdicts["unknown"],
        "self_healed": sum(answer.verdict == "self_healed" for _, _, answer in answers),
        "flapping": sorted({name for (name, _), times in by_fingerprint.items() if len(times) >= FLAP_COUNT and _flaps(times)}),
        "noisiest": [{"alert": name, "pages": alert_pages[name], "fires": fires[name]} for name in noisiest],
    }  # fmt: skip


def _usefulness(episode: Episode) -> str:
    """Whether a page was worth it: what people said; else what they did; else nobody knows."""
    if episode.feedback is not None:
        return "actionable" if episode.feedback else "not_actionable"
    if episode.acks and episode.has_action:
        return "actionable"
    if episode.ended_at is not None and episode.ended_by_bot and not episode.has_action:
        return "not_actionable"
    return "unknown"


def _flaps(times: Sequence[datetime]) -> bool:
    ordered = sorted(times)
    return any(late - early <= FLAP_SPAN for early, late in zip(ordered, ordered[FLAP_COUNT - 1 :], strict=False))


# --- deployments, changes, vulnerabilities, the rest ------------------------------------------


def _deployments(journal: Journal, as_of: datetime) -> dict[str, datetime] | None:
    """When each successful production deployment that rolls nothing back was first seen to succeed."""
    given = journal.others.get("deployments")
    if given is None:
        return None
    found: dict[str, datetime] = {}
    for index, one in enumerate(given):
        at = moment(one.get("at"), f"deployments[{index}].at")
        counts = one.get("state") == "success" and one.get("env") == "production" and not one.get("rollback_of")
        if counts and at <= as_of:
            found[str(one.get("id"))] = min(at, found.get(str(one.get("id")), at))
    rolled = {str(one.get("id")) for one in given if one.get("rollback_of")}
    return {name: at for name, at in found.items() if name not in rolled}


def _in_week(deployed: Mapping[str, datetime], start: datetime, end: datetime) -> set[str]:
    return {name for name, at in deployed.items() if start <= at < end}


def _deployment_figures(deployed: Mapping[str, datetime] | None, start: datetime, end: datetime) -> dict[str, Any] | None:
    if deployed is None:
        return None
    count = len(_in_week(deployed, start, end))
    return {"count": count, "per_day": count / 7}


def _lead_time(journal: Journal, deployed: Mapping[str, datetime] | None, start: datetime, end: datetime) -> dict[str, Any] | None:
    given = journal.others.get("changes")
    if given is None or deployed is None:
        return None
    firsts: dict[str, tuple[datetime, datetime]] = {}
    for index, one in enumerate(given):
        at = deployed.get(str(one.get("deploy")))
        if one.get("merge") or at is None:
            continue
        committed = moment(one.get("committed_at"), f"changes[{index}].committed_at")
        sha = str(one.get("sha"))
        if sha not in firsts or at < firsts[sha][0]:
            firsts[sha] = (at, committed)
    seconds = [(at - committed).total_seconds() for at, committed in firsts.values() if start <= at < end]
    seconds = [one for one in seconds if one >= 0]
    met = sum(one < LEAD_TARGET for one in seconds)
    return {
        "median_seconds": median(seconds),
        "count": len(seconds),
        "share_met": met / len(seconds) if seconds else None,
    }


def _change_failure(
    incidents: Sequence[Folded], deployed: Mapping[str, datetime] | None, start: datetime, end: datetime
) -> dict[str, Any] | None:
    if deployed is None:
        return None
    mine = _in_week(deployed, start, end)
    failed = {name for one in incidents if not (one.is_drill or one.is_false_positive) for name in one.deploys} & mine
    interval = wilson(len(failed), len(mine))
    return {
        "failed": len(failed), "deployments": len(mine), "ratio": len(failed) / len(mine) if mine else None,
        "interval": list(interval) if interval else None,
    }  # fmt: skip


def _coverage(journal: Journal) -> dict[str, Any] | None:
    repos = journal.others.get("repos")
    if not isinstance(repos, dict) or repos.get("in_scope") is None or repos.get("scanned_ok") is None:
        return None
    in_scope, archived, scanned = (repos.get(name) or 0 for name in ("in_scope", "archived", "scanned_ok"))
    if isinstance(in_scope, list):
        wanted = set(in_scope) - set(archived if isinstance(archived, list) else ())
        missing = sorted(wanted - set(scanned if isinstance(scanned, list) else ()))
        return {"ratio": 1 - len(missing) / len(wanted) if wanted else None, "n": len(wanted), "missing": missing}
    count = in_scope - (archived if isinstance(archived, int) else len(archived))
    done = scanned if isinstance(scanned, int | float) else len(scanned)
    return {"ratio": done / count if count > 0 else None, "n": count}


def _error_rate(journal: Journal) -> dict[str, Any] | None:
    requests = journal.others.get("requests")
    if not isinstance(requests, dict) or not requests.get("total") or requests.get("5xx") is None:
        return None
    return {"ratio": requests["5xx"] / requests["total"], "n": requests["total"]}


# --- the scorecard ----------------------------------------------------------------------------


def _with_scorecard(made: WeekMetrics, has_entries: bool) -> WeekMetrics:
    rows = [
        _ack_row(made), _restore_row(made), _uptime_row(made), _error_row(made), _p95_row(made),
        _deploy_row(made), _lead_row(made), _failure_row(made), _vulnerability_row(made), _coverage_row(made),
    ]  # fmt: skip
    values = {name: getattr(made, name) for name in WeekMetrics.__dataclass_fields__ if name != "scorecard"}
    return WeekMetrics(**values, scorecard=tuple(rows))


def _ack_row(made: WeekMetrics) -> Scorecard:
    """All of them: one miss is a miss. None missed says little of fewer than five."""
    n = made.ack["met"] + made.ack["missed"]
    status = MISSED if made.ack["missed"] else MET if n >= ENOUGH else FEW
    return Scorecard("acknowledged under 5 min", "all", made.ack["share"], n, status)


def _restore_row(made: WeekMetrics) -> Scorecard:
    n, value = made.restore["count"], made.restore["median_seconds"]
    status = FEW if n < ENOUGH else MET if value < RESTORE_TARGET else MISSED
    return Scorecard("time to restore (median)", "< 15 min", value, n, status)


def _uptime_row(made: WeekMetrics) -> Scorecard:
    ratio = made.uptime["ratio"]
    n = made.uptime.get("valid")
    status = NONE if ratio is None else MET if ratio >= UPTIME_TARGET else MISSED
    return Scorecard("uptime", "99.9 %", ratio, n, status)


def _error_row(made: WeekMetrics) -> Scorecard:
    if made.error_rate is None:
        return Scorecard("error rate", "< 0.1 %", None, None, NONE)
    ratio = made.error_rate["ratio"]
    return Scorecard("error rate", "< 0.1 %", ratio, made.error_rate["n"], MET if ratio < 0.001 else MISSED)


def _p95_row(made: WeekMetrics) -> Scorecard:
    value = made.p95_ms
    status = NONE if value is None else MET if value < 200 else MISSED
    return Scorecard("p95", "< 200 ms", value, None, status)


def _deploy_row(made: WeekMetrics) -> Scorecard:
    if made.deployments is None:
        return Scorecard("deployments a day", "≥ 10", None, None, NONE)
    value = made.deployments["per_day"]
    return Scorecard("deployments a day", "≥ 10", value, made.deployments["count"], MET if value >= 10 else MISSED)


def _lead_row(made: WeekMetrics) -> Scorecard:
    if made.lead_time is None:
        return Scorecard("lead time (median)", "< 1 h", None, None, NONE)
    n, value = made.lead_time["count"], made.lead_time["median_seconds"]
    status = FEW if n < ENOUGH else MET if value < LEAD_TARGET else MISSED
    return Scorecard("lead time (median)", "< 1 h", value, n, status)


def _failure_row(made: WeekMetrics) -> Scorecard:
    """Said only where the interval lies on one side of the target: 0 of 71 still allows 5 %."""
    if made.change_failure is None:
        return Scorecard("change failure rate", "< 5 %", None, None, NONE)
    n, interval = made.change_failure["deployments"], made.change_failure["interval"]
    status = FEW
    if interval and interval[1] < FAILURE_TARGET:
        status = MET
    elif interval and interval[0] > FAILURE_TARGET:
        status = MISSED
    return Scorecard("change failure rate", "< 5 %", made.change_failure["ratio"], n, status)


def _vulnerability_row(made: WeekMetrics) -> Scorecard:
    found = made.vulnerabilities
    name, target = "critical vulnerabilities fixed in 24 h", "all"
    if found is None:
        return Scorecard(name, target, None, None, NONE)
    value = found["met"] / found["due"] if found["due"] else None
    status = MISSED if found["overdue"] or found["met"] < found["due"] else MET if found["due"] else FEW
    return Scorecard(name, target, value, found["due"], status)


def _coverage_row(made: WeekMetrics) -> Scorecard:
    ratio = made.scan_coverage["ratio"] if made.scan_coverage else None
    if ratio is None:
        return Scorecard("scan coverage", "100 %", None, None, NONE)
    assert made.scan_coverage is not None
    return Scorecard("scan coverage", "100 %", ratio, made.scan_coverage["n"], MET if ratio >= 1 else MISSED)
