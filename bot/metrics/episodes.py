"""Folding timelines into incidents and their episodes: who was paged, who was first, how long it hurt."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

from bot.incidents.timeline import Entry, acknowledges
from bot.metrics.figures import Value

TARGET = timedelta(seconds=300)
LOUD = ("push", "phone", "sms")
ACTIONS = frozenset({
    "note", "pin", "role", "status_changed", "status_update", "severity_changed", "runbook_step", "rollback",
    "deploy_caused", "mitigated", "follow_up", "impact_started_set",
})  # fmt: skip


@dataclass(slots=True)
class Episode:
    """One opening or re-opening, with what happened until the next."""

    number: int
    opened_at: datetime
    acks: list[tuple[datetime, str]] = field(default_factory=list)
    pages: list[Entry] = field(default_factory=list)
    is_asked: bool = False
    is_paged: bool = False
    """Whether PagerDuty took the page, which load and noise go by. That it was asked is enough for the clock."""
    alerts: list[datetime] = field(default_factory=list)
    impact_set: datetime | None = None
    mitigated_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by_bot: bool = False
    has_action: bool = False
    feedback: bool | None = None

    @property
    def first_ack(self) -> tuple[datetime, str] | None:
        """The earliest acknowledgement by a person."""
        return min(self.acks, default=None)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The newest word on an action. `first` orders actions as they were first told of."""

    first: tuple[datetime, str]
    entry: Entry


NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class Folded:
    """An incident as its timeline tells it."""

    ref: str
    opened_at: datetime
    severity: str
    """The worst it ever was."""
    service: str | None
    title: str
    is_drill: bool
    is_private: bool
    episodes: list[Episode]
    merged_into: str | None = None
    merged_at: datetime | None = None
    merged_since: datetime | None = None
    is_false_positive: bool = False
    is_over: bool = False
    fires: list[tuple[datetime, str, str]] = field(default_factory=list)
    """(at, alert, fingerprint) of each time an alert fired."""
    deploys: list[str] = field(default_factory=list)
    began_at: datetime = NEVER
    """When it was opened itself, whatever was merged into it."""
    turns: list[tuple[datetime, bool]] = field(default_factory=list)
    """Each time it was over, or began again, in order: when, and whether it was over then."""
    has_draft: bool = False
    first_at: datetime = NEVER
    last_at: datetime = NEVER

    @property
    def counts(self) -> bool:
        """Whether it is an incident of its own: no drill, no duplicate."""
        return not self.is_drill and self.merged_into is None

    def turn(self, at: datetime, *, is_over: bool) -> None:
        """It is over from `at` on, or begins again."""
        self.is_over = is_over
        self.turns.append((at, is_over))

    def is_over_by(self, moment: datetime) -> bool:
        """Whether it was over, going by what had happened at `moment`."""
        # Most of what is open never was over.
        return bool(self.turns) and next((is_over for at, is_over in reversed(self.turns) if at <= moment), False)

    def was_there(self, moment: datetime) -> bool:
        """Whether it was an incident of its own, going by what had happened at `moment`."""
        if self.began_at > moment or self.is_drill:
            return False
        return self.merged_since is None or self.merged_since > moment

    @property
    def hurts(self) -> bool:
        """Whether it counts for restore and uptime."""
        return self.counts and not self.is_false_positive and self.severity in ("SEV1", "SEV2")


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """How an episode's page was answered: met, missed, pending, or excluded as what `verdict` says."""

    incident: str
    episode: int
    opened_at: datetime
    verdict: str
    value: Value | None = None
    by: str | None = None


ORDER = {"alert_started": 0, "opened": 1, "resolved": 8, "merged": 9, "reopened": 10}
"""What comes first of what happened at the same moment: only what had ended can begin again."""


def follow_ups(entries: Iterable[Entry]) -> dict[str, FollowUp]:
    """Every action of one incident by its id, with the newest word on it."""
    found: dict[str, FollowUp] = {}
    told = (one for one in entries if one.type == "follow_up")
    for place, one in sorted((((one.at, repr(sorted(one.fields.items()))), one) for one in told), key=lambda pair: pair[0]):
        name = str(one.fields.get("id"))
        found[name] = FollowUp(found[name].first if name in found else place, one)
    return found


def fold(ref: str, entries: Iterable[Entry]) -> Folded | None:
    """One incident from its entries; None where none of them opened it. Their order and repetition change nothing."""
    ordered = _each_once(entries)
    opening = next((one for one in ordered if one.type == "opened"), None)
    if opening is None:
        return None
    starts = [opening.at, *(one.at for one in ordered if one.type == "reopened" and one.at >= opening.at)]
    episodes = [Episode(number, at) for number, at in enumerate(starts, start=1)]
    made = Folded(
        ref, opening.at, str(opening.fields.get("severity", "SEV3")), opening.fields.get("service"),
        str(opening.fields.get("title", "")), bool(opening.fields.get("drill")), bool(opening.fields.get("private")),
        episodes, began_at=opening.at, first_at=ordered[0].at, last_at=ordered[-1].at,
    )  # fmt: skip
    for one in ordered:
        _take(made, _episode_at(episodes, one), one)
    for earlier, later in pairwise(episodes):
        # An end that nobody recorded was not after the next beginning.
        earlier.ended_at = earlier.ended_at or later.opened_at
    return made


def _each_once(entries: Iterable[Entry]) -> list[Entry]:
    """In order of when they happened, each once."""
    # What is told twice stands side by side; only there does it matter what it says.
    ordered: list[Entry] = []
    for _, alike in groupby(sorted(entries, key=_place), key=_place):
        first, *others = alike
        ordered += _once(first, *others) if others else (first,)
    return ordered


def _place(one: Entry) -> tuple[datetime, int, str]:
    return one.at, ORDER.get(one.type, 5), one.type


def _once(*alike: Entry) -> Iterable[Entry]:
    found = {(one.by, repr(sorted(one.fields.items(), key=lambda pair: pair[0]))): one for one in alike}
    return sorted(found.values(), key=lambda one: repr(one.fields))


def _episode_at(episodes: Sequence[Episode], entry: Entry) -> Episode:
    """The episode an entry belongs to: the newest that had begun. What came before the first belongs to the first.

    An impact that is told of afterwards belongs to the time that is told of. An alert that fired, or an impact that
    began, between two episodes is why the second was opened.
    """
    if len(episodes) == 1:
        return episodes[0]
    at = _time_told(entry)
    begun = [one for one in episodes if one.opened_at <= at]
    current = begun[-1] if begun else episodes[0]
    ended = current.ended_at is not None and at >= current.ended_at
    previous, following = (next((one for one in episodes if one.number == current.number + step), None) for step in (-1, 1))
    if entry.type == "resolved" and at == current.opened_at and previous is not None and previous.ended_at is None:
        return previous
    if entry.type in ("alert_started", "impact_started_set") and ended and following is not None:
        return following
    return current


def _time_told(entry: Entry) -> datetime:
    match entry.type:
        case "impact_started_set":
            return time_of(entry.fields.get("value")) or entry.at
        case "mitigated":
            return time_of(entry.fields.get("impact_ended_at")) or entry.at
        case _:
            return entry.at


def _take(made: Folded, episode: Episode, entry: Entry) -> None:
    facts, is_human = entry.fields, entry.by not in (None, "bot")
    if entry.type in ACTIONS and is_human:
        episode.has_action = True
    if acknowledges(entry):
        episode.acks.append((entry.at, str(entry.by)))
    match entry.type:
        case "alert_started":
            episode.alerts.append(entry.at)
            name = str(facts.get("alert", ""))
            made.fires.append((entry.at, name, str(facts.get("fingerprint") or name)))
        case "page":
            episode.pages.append(entry)
            episode.is_paged = True
        case "page_requested":
            episode.is_asked = True
        case "page_accepted":
            episode.is_paged = True
        case "severity_changed":
            made.severity = min(made.severity, str(facts.get("to")))
        case "impact_started_set":
            episode.impact_set = time_of(facts.get("value")) or episode.impact_set
        case "mitigated":
            episode.mitigated_at = time_of(facts.get("impact_ended_at")) or entry.at
        case "resolved":
            _resolve(made, episode, entry, is_human)
        case "merged":
            made.merged_into, made.merged_at = str(facts.get("into")), entry.at
            made.merged_since = made.merged_since or entry.at
            made.turn(entry.at, is_over=True)
        case "cancelled" | "status_changed":
            _close(made, episode, entry)
        case "page_feedback":
            episode.feedback = bool(facts.get("actionable"))
        case "deploy_caused" if entry.by != "bot":
            made.deploys.append(str(facts.get("deploy")))
        case "reopened":
            _begin_again(made, episode, entry)
        case "postmortem_drafted" | "postmortem_published":
            made.has_draft = True


def _resolve(made: Folded, episode: Episode, entry: Entry, is_human: bool) -> None:
    made.turn(entry.at, is_over=True)
    is_auto = bool(entry.fields.get("auto")) or not is_human
    episode.ended_at = time_of(entry.fields.get("effective_at")) or entry.at
    episode.ended_by_bot = is_auto
    if entry.fields.get("reason") == "false_positive":
        made.is_false_positive = True


def _begin_again(made: Folded, episode: Episode, entry: Entry) -> None:
    """Open again; where it was merged, an incident of its own again, whose page ended with the merge."""
    made.turn(entry.at, is_over=False)
    if made.merged_at is not None:
        for earlier in made.episodes[: episode.number - 1]:
            earlier.ended_at = earlier.ended_at or made.merged_at
        made.merged_into = made.merged_at = made.merged_since = None


def _close(made: Folded, episode: Episode, entry: Entry) -> None:
    to = "cancelled" if entry.type == "cancelled" else str(entry.fields.get("to"))
    if to in ("cancelled", "false_positive"):
        made.is_false_positive = True
        made.turn(entry.at, is_over=True)
        episode.ended_at = episode.ended_at or entry.at


def merge(folded: Mapping[str, Folded]) -> None:
    """A duplicate gives its beginning, its first acknowledgement and its alerts to what it was merged into."""
    for child in sorted(folded.values(), key=lambda one: one.ref):
        parent = _root(folded, child)
        if parent is None or child.merged_at is None:
            continue
        begun = [one for one in parent.episodes if one.opened_at <= child.merged_at]
        episode = begun[-1] if begun else parent.episodes[0]
        episode.opened_at = min(episode.opened_at, child.opened_at)
        if episode.number == 1:
            parent.opened_at = min(parent.opened_at, child.opened_at)
        for one in child.episodes:
            episode.acks += [ack for ack in one.acks if ack[0] <= child.merged_at or not episode.acks]
            episode.alerts += one.alerts
            episode.is_asked = episode.is_asked or one.is_asked
            episode.is_paged = episode.is_paged or one.is_paged


def _root(folded: Mapping[str, Folded], child: Folded) -> Folded | None:
    """What an incident was merged into in the end; None where that is nothing, or goes in a circle."""
    seen, current = {child.ref}, child
    while current.merged_into is not None:
        following = folded.get(current.merged_into)
        if following is None or following.ref in seen:
            return None
        seen.add(following.ref)
        current = following
    return None if current is child else current


# --- what the folds say -----------------------------------------------------------------------


def acknowledgement(incident: Folded, episode: Episode, as_of: datetime) -> Acknowledgement:
    """How an episode's page was answered by `as_of`. Under five minutes is strictly under 300 seconds."""

    def said(verdict: str, value: Value | None = None, by: str | None = None) -> Acknowledgement:
        return Acknowledgement(incident.ref, episode.number, episode.opened_at, verdict, value, by)

    if incident.is_drill:
        return said("drill")
    if incident.merged_into is not None:
        return said("duplicate")
    if not (episode.is_asked or episode.is_paged):
        return said("no_page")
    first = episode.first_ack
    if first is not None:
        seconds = (first[0] - episode.opened_at).total_seconds()
        if seconds < 0:
            return said("data_problem", None, first[1])
        return said("met" if seconds < TARGET.total_seconds() else "missed", Value(seconds), first[1])
    waited = (episode.ended_at or as_of) - episode.opened_at
    if episode.ended_at is not None and waited < TARGET:
        return said("self_healed")
    verdict = "pending" if episode.ended_at is None and waited < TARGET else "missed"
    return said(verdict, Value(waited.total_seconds(), is_lower_bound=True))


def impact(incident: Folded, episode: Episode) -> tuple[datetime, datetime | None]:
    """When an episode began to hurt users and when it stopped; None while it goes on."""
    start = episode.impact_set or (min(episode.alerts) if episode.alerts else episode.opened_at)
    return start, episode.mitigated_at or episode.ended_at


def time_of(value: Any) -> datetime | None:
    """A moment in a field: a time, or text that is one."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC) if value else None
    except ValueError:
        return None
