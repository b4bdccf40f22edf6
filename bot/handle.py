"""The door: load what an input needs, decide, save. Everything that happens goes through here, once."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot import points
from bot.alerts.alert import Alert
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import LOUDEST, Candidate, Placement, Sought, gathered, may_open, place, sought_by, taken_in_by
from bot.alerts.quiet import NOTHING_QUIET, Quiet, Quieting, quiet_under
from bot.alerts.routing import Outcome as RouteOutcome
from bot.alerts.routing import choose_route
from bot.clock import Clock
from bot.errors import Refused
from bot.incidents.decide import decide
from bot.incidents.decision import AlertRecord, Decision
from bot.incidents.decisions.opening import severity_of, title_of
from bot.incidents.decisions.splitting import left_behind, opens_one
from bot.incidents.heartbeats import ENDPOINT as HEARTBEATS
from bot.incidents.heartbeats import EXPECTED, HEARD, expected_rule, never_heard, silence
from bot.incidents.incident import Incident, Severity
from bot.incidents.inputs import (
    AlertReported,
    CalmPassed,
    ConfirmSilence,
    Declare,
    DigestDue,
    EffectParked,
    EndSilence,
    HeartbeatExpected,
    HeartbeatMissed,
    Input,
    Merge,
    QuietPassed,
    RelatedLeft,
    Reopen,
    SilenceAlerts,
    SilenceExpired,
    Split,
    TroubleSeen,
)
from bot.incidents.policy import Policy
from bot.runbooks import Runbook, choose
from bot.store import Conflict, Rehearsal, Store, Work

log = structlog.get_logger()

TWIN = timedelta(minutes=1)
"""Two who declare the same within this time mean the same."""
TRIES = 8
"""How often a decision is made anew when somebody else changed the same incident meanwhile."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an input: the incident as saved, and the decision with its reason.

    With `was_handled` the once-key was seen before: nothing was decided and nothing saved.
    """

    incident: Incident | None
    decision: Decision
    was_handled: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """Inputs that are handled all or none. `finish` runs in the same transaction, with the reasons of those refused or
    dropped; `saved` once it is committed, before anybody is told.
    """

    inputs: Sequence[Input]
    finish: Callable[[Work, Sequence[str]], None]
    saved: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would come of a report: `before` is the incident that takes it, as it stands by then; None where there is none."""

    report: AlertReported
    before: Incident | None
    decision: Decision


@dataclass(frozen=True, slots=True)
class Door:
    """Takes inputs. `policy` and `runbooks` give what holds now; `saved` is called after each commit."""

    store: Store
    clock: Clock
    policy: Callable[[], Policy]
    runbooks: Callable[[], Sequence[Runbook]]
    saved: Callable[[Decision], None] = lambda decision: None

    def handle(self, input: Input, *, once: str | None = None, finish: Callable[[Work], None] | None = None) -> Outcome:
        """Decide on `input` and save what comes of it, in one transaction.

        `once` makes it happen once only, however often it is asked. `finish` runs in the same transaction. Raises
        `Refused` where a person asked for what cannot be, and `DatabaseDown` where nothing could be saved.
        """
        now = self.clock()
        for number in range(TRIES - 1):
            try:
                # Whoever came too late once waits for their turn: else, of forty at once, some would never get one.
                return self._handle(input, now, once, finish, alone=number > 0)
            except Conflict:
                continue
        return self._handle(input, now, once, finish, alone=True)

    def handle_together(self, bundles: Sequence[Bundle], seconds: float) -> int:
        """Decide on the first bundle, and on as many more as can be in `seconds`, in one transaction; how many it was.

        A transaction for each alert of a storm would cost more than everything else. Raises `Conflict` and
        `DatabaseDown`, and bugs as they come: then nothing of any bundle is saved.
        """
        now, policy, done = self.clock(), self.policy(), list[tuple[Input, Outcome]]()
        end, count = time.monotonic() + seconds, 0
        bundles = [replace(one, inputs=[_as_taken(each, policy, now) for each in one.inputs]) for one in bundles]
        with self.store.writing() as work:
            _look_ahead(work, [one for bundle in bundles for one in bundle.inputs], policy, now)
            for bundle in bundles:
                said: list[str] = []
                for input in bundle.inputs:
                    try:
                        outcome = self._decided(work, input, now, policy, alone=False)
                    except Refused as error:
                        said.append(error.reason)
                        continue
                    done.append((input, outcome))
                    if outcome.decision.dropped:
                        said.append(outcome.decision.reason)
                bundle.finish(work, said)
                count += 1
                if time.monotonic() > end:
                    break
            work.write()
            points.reached(points.DECISION_BEFORE)
        # First: should telling end in a bug, what is saved must not be taken for what is not.
        for bundle in bundles[:count]:
            bundle.saved()
        points.reached(points.DECISION_AFTER)
        for input, outcome in done:
            self._tell(input, outcome)
        return count

    def foresee(self, work: Rehearsal, reports: Iterable[AlertReported]) -> list[Foreseen]:
        """What would be decided on these reports, each after what those before it would leave. Nothing is saved."""
        now, policy, seen = self.clock(), self.policy(), list[Foreseen]()
        for one in reports:
            taken = replace(one, alert=policy.as_taken(one.alert, one.route, now))
            before, report = self._placed(work, taken, now, policy)
            decision = decide(before, report, now, policy)
            work.save(decision, now)
            seen.append(Foreseen(report, before, decision))
        return seen

    def _handle(
        self, input: Input, now: datetime, once: str | None, finish: Callable[[Work], None] | None, *, alone: bool
    ) -> Outcome:
        with self.store.writing() as work:
            if once is not None and work.was_handled(once):
                return _repeated(work, finish)
            policy = self.policy()
            input = _as_taken(input, policy, now)
            try:
                outcome = self._decided(work, input, now, policy, alone=alone)
            except Refused:
                # Refused for what the same request did a moment ago, in another thread: no refusal, a repeat.
                if once is not None and work.was_handled(once):
                    work.give_number_back()
                    return _repeated(work, finish)
                raise
            if once is not None:
                work.mark_handled(once, now)
            if finish is not None:
                finish(work)
            work.write()
            points.reached(points.DECISION_BEFORE)
        points.reached(points.DECISION_AFTER)
        self._tell(input, outcome)
        return outcome

    def _decided(self, work: Work, input: Input, now: datetime, policy: Policy, *, alone: bool) -> Outcome:
        incident, known = self._load(work, input, now, policy, alone)
        decision = decide(incident, known, now, policy)
        return Outcome(work.save(decision, now), decision)

    def _tell(self, input: Input, outcome: Outcome) -> None:
        """Once it is saved: whoever carries effects out, then the log."""
        decision = outcome.decision
        self.saved(decision)
        say = log.info if decision.incident is not None or decision.effects else log.debug
        say("decided", input=type(input).__name__, incident=outcome.incident and outcome.incident.ref, reason=decision.reason)

    def _load(self, work: Work, input: Input, now: datetime, policy: Policy, alone: bool) -> tuple[Incident | None, Input]:
        match input:
            case AlertReported():
                return self._placed(work, input, now, policy)
            case Declare():
                record = work.alert_record(input.fingerprint) if input.fingerprint else None
                return None, replace(input, number=work.next_number(), record=record, twin=_twin(work, input, now))
            case Merge():
                return work.incident(input.incident), replace(input, target=work.incident(input.into))
            case Split():
                return _to_split(work, input)
            case Reopen():
                return work.incident(input.incident, alone=alone), replace(input, records=work.alerts_of(input.incident))
            case RelatedLeft():
                return _to_leave(work, input, now, policy)
            case HeartbeatMissed():
                missed = replace(input, is_unread=work.is_unread(input.source, input.route, input.due_at))
                silent = silence(missed, now, policy)
                if silent is None:
                    return None, missed
                return self._placed(work, AlertReported(silent, HEARTBEATS, missed=missed), now, policy)
            case HeartbeatExpected():
                return None, _as_expected(work, input, now, policy)
            case QuietPassed():
                if not _is_kept(work, input):
                    return None, input
                if work.is_unread(input.alert.source, input.route, min(input.by, now)):
                    return None, replace(input, is_unread=True)
                return self._placed(work, AlertReported(input.alert, input.route), now, policy)
            case CalmPassed():
                record = work.alert_record(input.fingerprint)
                number = None if record is None else record.incident
                return (None if number is None else work.incident(number)), replace(input, record=record)
            case SilenceAlerts() | ConfirmSilence() | EndSilence() | SilenceExpired():
                return None, _about_a_silence(work, input)
            case DigestDue() | TroubleSeen():
                return None, input
            case EffectParked():
                return (None if input.incident is None else work.incident(input.incident)), input
            case _:
                return work.incident(input.incident, alone=alone), input

    def _placed(self, work: Work, report: AlertReported, now: datetime, policy: Policy) -> tuple[Incident | None, AlertReported]:
        if _is_worse_while_quiet(work, report, now, policy):
            # Whoever acknowledged it at its sender did so before that. It is to open as what it is by now.
            report = replace(report, alert=replace(report.alert, status=AlertStatus.FIRING))
        if _may_open(work, report, policy, now):
            # Two alerts of one service at once must not open two incidents: alone, then looked at.
            work.openings_alone()
        placement = _placement_of(work, report, now, policy)
        report = replace(report, record=work.alert_record(placement.fingerprint))
        if placement.incident is not None:
            theirs = work.alerts_of(placement.incident) if placement.opens_again else None
            return work.incident(placement.incident), replace(report, placement=placement, theirs=theirs)
        if placement.outcome is not RouteOutcome.OPEN or report.alert.status is not AlertStatus.FIRING:
            return None, replace(report, placement=placement)
        service = policy.service(placement.service)
        default = placement.route.runbook or service.runbook
        choice = choose(report.alert, tuple(self.runbooks()), default, now.date())
        return None, replace(report, placement=placement, number=work.next_number(), runbook=choice)


def _as_taken(input: Input, policy: Policy, now: datetime) -> Input:
    """A report as its route takes it: all that follows looks at whether the alert fires."""
    if not isinstance(input, AlertReported) or input.alert.status is not AlertStatus.INFO:
        return input
    return replace(input, alert=policy.as_taken(input.alert, input.route, now))


def _about_a_silence(work: Work, input: SilenceAlerts | ConfirmSilence | EndSilence | SilenceExpired) -> Input:
    """What is asked of a silence, with what has to be known for it."""
    work.silences_alone()
    if isinstance(input, EndSilence):
        # Who keeps an alert quiet under it meanwhile would set its timer for later.
        work.openings_alone()
    if isinstance(input, SilenceAlerts):
        return replace(input, number=work.next_silence(), worst=work.open_of(Severity.SEV1))
    silence = work.silence_asked(input.by) if input.number is None else work.silence(input.number)
    if isinstance(input, ConfirmSilence):
        return replace(input, silence=silence)
    return replace(input, silence=silence, kept=work.kept_by(silence))


def _as_expected(work: Work, input: HeartbeatExpected, now: datetime, policy: Policy) -> HeartbeatExpected:
    """A dead-man's switch that is expected, with what the record has of it."""
    rule = expected_rule(input.name, policy)
    if rule is None:
        return input
    missing = never_heard(rule, now, now)
    is_told = work.alert_record(missing.fingerprint(HEARTBEATS)) is not None
    is_in_hand = is_told or work.note(f"{HEARD}{rule.name}") is not None or work.is_timed(missing.identity)
    since = work.note(f"{EXPECTED}{rule.name}")
    return replace(input, since=None if since is None else datetime.fromisoformat(since), is_in_hand=is_in_hand)


def _is_kept(work: Work, due: QuietPassed) -> bool:
    """Whether the alert fires, and it was that which kept it quiet."""
    record = work.alert_record(due.alert.fingerprint(due.route))
    return record is not None and record.is_firing and record.incident is None and record.quiet_under == due.key


def _is_worse_while_quiet(work: Work, report: AlertReported, now: datetime, policy: Policy) -> bool:
    """Whether an alert that was acknowledged at its sender, and is kept quiet here, is said to be worse than it was."""
    alert = report.alert
    if alert.status is not AlertStatus.ACKNOWLEDGED or not alert.says_severity:
        return False
    record = work.alert_record(alert.fingerprint(report.route))
    if record is None or record.quiet_under is None or not record.is_firing:
        return False
    route, _ = choose_route(alert, report.route, policy.built_routes(), now, policy.aliases())
    asked = policy.severity_for(route, alert.severity) if route.outcome is RouteOutcome.OPEN else None
    return asked is not None and (record.severity is None or asked.rank < record.severity.rank)


def _look_ahead(work: Work, inputs: Sequence[Input], policy: Policy, now: datetime) -> None:
    """Read what these inputs are going to ask for, at once."""
    reports = [one for one in inputs if isinstance(one, AlertReported | QuietPassed)]
    fingerprints = [one.alert.fingerprint(one.route) for one in reports]
    work.look_up(fingerprints)
    # Before anybody asks for them one by one: four reads in five of a storm's repeats.
    _look_up_theirs(work, inputs, fingerprints)
    is_due = any(isinstance(one, HeartbeatMissed | QuietPassed | RelatedLeft) for one in inputs)
    if is_due or any(_may_open(work, one, policy, now) for one in reports if isinstance(one, AlertReported)):
        # Before anything is written: whoever waits here has nothing that another waits for.
        work.openings_alone()
        work.look_up(fingerprints)
    work.look_up_ends(one.alert.fingerprint(one.route) for one in reports if _may_be_late(one))
    _look_up_theirs(work, inputs, fingerprints)
    new = [one for one in reports if not _is_in_hand(work, one)]
    if len(new) > 1:
        # Else each of a flood of new alerts asks by itself: half a millisecond on PostgreSQL.
        given = policy.built_routes(), policy.aliases(), policy.grouping_rule(), now
        work.look_up_candidates(sought_by(one.alert, one.route, *given) for one in new)


def _look_up_theirs(work: Work, inputs: Sequence[Input], fingerprints: Iterable[str]) -> None:
    """Read the incidents that these inputs and alerts are about."""
    numbers = (getattr(one, "incident", None) for one in inputs)
    known = map(work.alert_record, fingerprints)
    theirs = (record.incident for record in known if record is not None)
    work.look_up_incidents(number for number in (*numbers, *theirs) if number is not None)


def _may_open(work: Work, report: AlertReported, policy: Policy, now: datetime) -> bool:
    known = work.known_alert(report.alert.fingerprint(report.route))
    return may_open(report.alert, report.route, policy.built_routes(), known, now, policy.aliases())


def _is_in_hand(work: Work, report: AlertReported | QuietPassed) -> bool:
    known = work.known_alert(report.alert.fingerprint(report.route))
    return known is not None and known.is_in_hand


def _may_be_late(report: AlertReported | QuietPassed) -> bool:
    return report.alert.status is AlertStatus.FIRING and report.alert.changed_at is not None


def _twin(work: Work, wish: Declare, now: datetime) -> Incident | None:
    """The open incident that somebody declared with the same words a moment ago, where whoever asks may know of it."""
    for one in work.opened_since(now - TWIN):
        is_same = one.title.casefold() == title_of(wish).casefold() and one.drill == wish.drill
        # One that is worse wakes somebody whom the other may not.
        if is_same and not one.private and one.severity.rank <= severity_of(wish).rank:
            return one
    return None


def _to_split(work: Work, wish: Split) -> tuple[Incident | None, Input]:
    """The incident, and the alerts that may be taken out of it, or, where it was merged, out of what took them in."""
    work.openings_alone()
    incident = work.incident(wish.incident)
    into = incident.merged_into if incident is not None else None
    wish = replace(wish, records=work.alerts_of(into or wish.incident), target=None if into is None else work.incident(into))
    return incident, replace(wish, number=work.next_number()) if opens_one(incident, wish) else wish


def _to_leave(work: Work, due: RelatedLeft, now: datetime, policy: Policy) -> tuple[Incident | None, Input]:
    """The incident, the alerts that may have to leave it, and where to: one of their service that they would join, or a new one."""
    work.openings_alone()
    incident = work.incident(due.incident)
    records, quieting = work.alerts_of(due.incident), Quieting(work.silences(), policy.windows())
    quiet = {one.fingerprint: found for one in records if (found := _quiet_by_now(one, quieting, now)) is not None}
    due = replace(due, records=records, quiet=quiet)
    leaving = left_behind(incident, due.loud)
    if incident is None or not leaving or leaving[0].service is None:
        return incident, due
    service, prints = leaving[0].service, {one.fingerprint for one in leaving}
    open_ = [one for one in work.candidates(Sought((service,))) if one.number != due.incident]
    number = taken_in_by(service, prints, open_, policy.grouping_rule(), now, private=incident.private)
    target = None if number is None else work.incident(number)
    if target is None or target.drill != incident.drill:
        # Nobody is woken by what is old, and a drill is not the real thing.
        return incident, replace(due, number=work.next_number())
    return incident, replace(due, target=target)


def _quiet_by_now(record: AlertRecord, quieting: Quieting, now: datetime) -> Quiet | None:
    """What keeps a related alert quiet that was none of it when it came."""
    said = record.report
    return None if said is None else quiet_under(said.alert, said.endpoint, record.service, quieting, now)


def _repeated(work: Work, finish: Callable[[Work], None] | None) -> Outcome:
    if finish is not None:
        finish(work)
    return Outcome(None, Decision(reason="This was done already."), was_handled=True)


def _in_a_storm(work: Work, report: AlertReported, placement: Placement, now: datetime, policy: Policy) -> Placement:
    """What would open an incident, or open one again, when its source has opened so many that one more gathers the rest."""
    opens = placement.outcome is RouteOutcome.OPEN and report.alert.status is AlertStatus.FIRING
    before = None if placement.incident is None else work.incident(placement.incident)
    if not opens or (before is not None and (not placement.opens_again or before.storm)):
        return placement
    flood, source, route = policy.flood(), report.alert.source, placement.route
    opened, in_all, _ = work.opened_by(source, now - flood.within)
    why, at_once, lately = flood.reached(source, opened, in_all), "", now - timedelta(minutes=1)
    if in_all >= flood.in_a_minute - flood.that_gather:
        at_once = flood.reached_at_once(*work.opened_by(source, lately))
    if not why and not at_once:
        return placement
    # Whoever is woken for it must be those who would have been.
    pager = route.pager or policy.service(placement.service).pager
    severity = policy.severity_for(route, report.alert.severity)
    storm = work.storm_of(source, pager, severity, is_private=route.private)
    if storm is None and at_once:
        # What others had before that minute may be in the hands of somebody who would not be woken for this.
        storm = work.storm_since(lately, pager, severity, is_private=route.private)
    return gathered(placement, why or at_once, storm, pager)


def _if_announced(work: Work, alert: Alert, placement: Placement, now: datetime, policy: Policy) -> Placement:
    """What would be announced, unless its source has had so many announced; people hear of that once in a window."""
    flood = policy.flood()
    placed = flood.announced_after(placement, alert, work.announced_by(alert.source, now - flood.within))
    if not placed.hushed_after:
        return placed
    window = int(now.timestamp() // flood.within.total_seconds())
    what = "loud" if alert.severity in LOUDEST else "rest"
    return replace(placed, is_first_hushed=work.is_first(f"hushed/{alert.source}/{what}/{window}", now))


def _placement_of(work: Work, report: AlertReported, now: datetime, policy: Policy) -> Placement:
    """Where the record and the policy put an alert, and why."""
    alert, routes, aliases, grouping = report.alert, policy.built_routes(), policy.aliases(), policy.grouping_rule()
    fingerprint = alert.fingerprint(report.route)
    known = work.known_alert(fingerprint)
    candidates: Sequence[Candidate] = ()
    quieting = NOTHING_QUIET
    if known is None or not known.is_in_hand:
        sought = sought_by(alert, report.route, routes, aliases, grouping, now)
        candidates = work.candidates(sought)
        if alert.status in (AlertStatus.FIRING, AlertStatus.INFO):
            quieting = Quieting(work.silences(), policy.windows())
    ended = work.end_of(fingerprint) if _may_be_late(report) else None
    placement = place(alert, report.route, routes, aliases, grouping, known, candidates, now, quieting, ended)
    if placement.outcome is RouteOutcome.ANNOUNCE and not placement.is_repeat:
        return _if_announced(work, alert, placement, now, policy)
    return _in_a_storm(work, report, placement, now, policy)
