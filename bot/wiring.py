"""The composition root: the only file that sees every edge. Builds the bot from its settings, and starts and stops it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from stat import S_ISREG

import structlog

from bot import digest, points, postmortems
from bot.alerts.registry import sources, unusable
from bot.clock import Clock, wall_clock
from bot.digest import Digest
from bot.errors import Broken, Refused
from bot.findings import Finding
from bot.handle import Door
from bot.incidents.decision import Decision, Timer
from bot.incidents.effects import Lane
from bot.incidents.inputs import DigestDue
from bot.incidents.policy import PAGER_SOURCE, Policy, doubts_in
from bot.incidents.policy import read as read_policy_text
from bot.journal import Journal, joined, vulnerability
from bot.metrics import Told, WeekMetrics, week_metrics
from bot.pagerduty.client import Client
from bot.pagerduty.deliver import PagerDeliverer
from bot.pagerduty.limits import Budget
from bot.pagerduty.oncall import OnCallList
from bot.pagerduty.poll import Poll
from bot.pagerduty.reports import Reports
from bot.pagerduty.strays import Strays
from bot.pagerduty.subscriptions import Subscriptions
from bot.postmortems import Templates, read_templates
from bot.runbooks import Runbook, read_folder
from bot.settings import Settings
from bot.slack.app import SlackApp
from bot.slack.client import Slack
from bot.slack.deliver import SlackDeliverer
from bot.slack.desk import Desk
from bot.slack.people import People
from bot.slack.socket import SocketMode
from bot.store import DatabaseDown, Store, audits, migrate
from bot.store.arrivals import InboxWriter
from bot.store.ledger import Ledger
from bot.web.app import Web, build
from bot.web.asking import Sns
from bot.web.health import Health
from bot.web.limiting import Limits, Refusals
from bot.web.measures import Measures
from bot.web.serving import Server
from bot.web.webhooks import Webhooks
from bot.worker.auditor import Auditor
from bot.worker.deliveries import Deliveries, guarded
from bot.worker.due import DueTimers
from bot.worker.expecting import Expecting
from bot.worker.heartbeat import Heartbeat
from bot.worker.intake import Intake
from bot.worker.leases import Leases
from bot.worker.scheduler import Scheduler, Tick
from bot.worker.worker import Wakeups, Worker, sweeper

log = structlog.get_logger()

ON_CALL_SECONDS = 60.0
WEBHOOK_SECONDS = 30.0
STRAY_SECONDS = 5.0
LIMITED_SECONDS = 5.0
BEFORE = 4
"""Weeks that a digest shows beside its own."""
LONG_SECONDS, KEPT_FOR = 0.01, timedelta(minutes=5)
"""The numbers of a past week hardly change: where making them takes longer than that, they are kept for so long."""
SAME_SECONDS, SAME_FOR = 0.05, timedelta(seconds=5)
"""Where making a digest takes longer than that, whoever asks for it within so long gets the one that was made before: it says when.
Of a million entries it takes 80 ms of the processor, for which every other answer waits.
"""
DIGEST_UNTIL = "digest/until"
"""The note with the newest week whose digest was planned."""
LOOKS_BACK = 13
"""Weeks at most whose digest is said to be left out, after a long time away."""
PEOPLE_SECONDS = 15.0
"""From one look whether it is time to read who is in Slack to the next."""
PATIENCE_SECONDS = 1.5
"""Slack wants an answer within three seconds."""


def read_policy(settings: Settings) -> Policy:
    """The policy's file; the defaults where there is none. Raises `Broken` with the line."""
    return read_policy_text(_policy_text(settings), str(settings.policy_file))


def _policy_text(settings: Settings) -> str:
    """What stands in the policy's file. Nothing, where there is none: that is the policy of the defaults."""
    path = settings.policy_file
    return _text(path) if path.exists() else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Broken(str(path), None, f"cannot be read: {error}") from None


def must_be_there(settings: Settings) -> None:
    """Raises `DatabaseDown` where the database is a file that is not there: looking at it would make an empty one."""
    file = settings.sqlite_file()
    if file is not None and not file.exists():
        raise DatabaseDown(f"there is no database at {file} yet: run `python -m bot migrate`")


@contextmanager
def open_store(settings: Settings, *, is_made: bool = False) -> Iterator[Store]:
    """The record, for as long as the context lasts; with `is_made`, an embedded one is made where there is none."""
    if not is_made:
        must_be_there(settings)
    store = Store.at(settings.database_url.get_secret_value())
    try:
        yield store
    finally:
        store.close()


Doubts = Callable[[Policy, str, str], Iterable[object]]
"""What a policy may not mean as it is written, from it, its text, and the name of its file."""


class Choices:
    """The team's files, read again when they change. A running bot keeps the last good ones, and says what is wrong."""

    def __init__(self, settings: Settings, doubts: Doubts = doubts_in) -> None:
        self._settings, self._doubts = settings, doubts
        self._lock = threading.Lock()
        self._stamps = self._seen()
        self._had_policy, self._had_runbooks = settings.policy_file.exists(), settings.runbooks_dir.is_dir()
        text = _policy_text(settings)
        self._policy = read_policy_text(text, str(settings.policy_file))
        self._runbooks = read_folder(settings.runbooks_dir)
        self._templates = read_templates(settings.templates_dir)
        if self._templates.problems:
            raise self._templates.problems[0]
        self.trouble = ""
        guarded(lambda: self._tell_doubts(text))

    def policy(self) -> Policy:
        """The policy that holds now."""
        return self._policy

    def runbooks(self) -> Sequence[Runbook]:
        """The runbooks that hold now."""
        return self._runbooks

    def templates(self) -> Templates:
        """The post-mortem templates that hold now."""
        return self._templates

    def refresh(self) -> int:
        """Read again what changed; 1 where something new was taken."""
        with self._lock:
            stamps = self._seen()
            if stamps == self._stamps:
                return 0
            self._stamps = stamps
            try:
                self._check_gone()
                text = _policy_text(self._settings)
                policy = read_policy_text(text, str(self._settings.policy_file))
                runbooks = read_folder(self._settings.runbooks_dir)
                templates = read_templates(self._settings.templates_dir)
                if templates.problems:
                    raise templates.problems[0]
            except Broken as error:
                self.trouble = f"{error}; the last good one is still used"
                log.error("changed file not taken", problem=str(error))
                return 0
            is_new = policy != self._policy
            self._policy, self._runbooks, self._templates, self.trouble = policy, runbooks, templates, ""
        log.info("changed files taken")
        if is_new:
            guarded(lambda: self._tell_doubts(text))
        return 1

    def _tell_doubts(self, text: str) -> int:
        """Log what the policy may not mean as it is written: a pattern that fits nothing any more would be silent. How many."""
        doubts = list(self._doubts(self._policy, text, str(self._settings.policy_file)))
        for one in doubts:
            log.warning("look whether this is meant", doubt=str(one))
        return len(doubts)

    def _check_gone(self) -> None:
        """A file that was there and is not is a mistake, or half of a change: never a wish for the defaults."""
        policy, runbooks = self._settings.policy_file, self._settings.runbooks_dir
        self._had_policy, self._had_runbooks = self._had_policy or policy.exists(), self._had_runbooks or runbooks.is_dir()
        if self._had_policy and not policy.exists():
            raise Broken(str(policy), None, "is no longer there")
        if self._had_runbooks and not runbooks.is_dir():
            raise Broken(str(runbooks), None, "is no longer there")

    def _seen(self) -> tuple[tuple[str, float, int], ...]:
        folders = (self._settings.runbooks_dir, self._settings.templates_dir)
        files = [self._settings.policy_file, *(path for folder in folders for path in sorted(folder.rglob("*")))]
        return tuple(_stamps(files))


@dataclass(frozen=True, slots=True)
class ReadWhenAsked:
    """The team's files, each read when it is needed: a command that prints numbers fails for no template."""

    settings: Settings

    def policy(self) -> Policy:
        """The policy. Raises `Broken`."""
        return read_policy(self.settings)

    def templates(self) -> Templates:
        """The post-mortem templates. Raises `Broken`."""
        found = read_templates(self.settings.templates_dir)
        if found.problems:
            raise found.problems[0]
        return found


def _stamps(files: Sequence[Path]) -> Iterator[tuple[str, float, int]]:
    for path in files:
        # A file may go between being listed and being looked at.
        with suppress(OSError):
            about = path.stat()
            if S_ISREG(about.st_mode):
                yield str(path), about.st_mtime, about.st_size


@dataclass(frozen=True, slots=True)
class _Kept:
    """A week that was over when its numbers were made, and from what else than timelines they were made."""

    made_at: datetime
    facts: Journal
    numbers: WeekMetrics


class Numbers:
    """Metrics, digests and drafts, made from the record. What all timelines tell is read once, and then kept up to date."""

    def __init__(self, store: Store, clock: Clock, choices: Choices | ReadWhenAsked, same: float = SAME_SECONDS) -> None:
        self.store, self.clock, self.choices = store, clock, choices
        self._ledger, self._same = Ledger(store.engine), same
        self._kept: dict[str, _Kept] = {}
        self._newest: tuple[str, datetime, Digest] | None = None
        """The digest that took long and was asked for last: of which week, and when."""
        self._reading = threading.Lock()

    def journal(self, start: datetime | None = None, end: datetime | None = None) -> Journal:
        """The record as a journal; of a span, or all of it."""
        entries = self.store.journal()[0] if start is None or end is None else self.store.timelines(start, end)
        return replace(self.facts(), entries=entries)

    def facts(self) -> Journal:
        """The record as a journal without its entries: the zone, the people, the findings, and what was imported beside."""
        zones = {one.slack_id: one.zone for one in self.store.people() if one.zone}
        notes, told = self.store.journal_notes(), self.store.counted_findings()
        if told is not None:
            notes = joined(notes, {"vulnerabilities": [vulnerability(one) for one in told]})
        return Journal.of((), notes, tz=self.choices.policy().team.zone, people=zones)

    def week(self, week: str, as_of: datetime | None = None) -> WeekMetrics:
        """The numbers of an ISO week."""
        now = as_of or self.clock()
        facts = self.facts()
        with self._ledger.told(now) as told:
            return week_metrics(facts, week, now, told)

    def digest(self, week: str, as_of: datetime | None = None) -> Digest:
        """The digest of an ISO week, with the weeks before it to compare."""
        now, facts = as_of or self.clock(), self.facts()
        names = {one.slack_id: one.real_name or one.name for one in self.store.people()}
        share = self.choices.policy().digest.share_people
        with self._ledger.told(now) as told:
            earlier = [self._earlier(one, facts, now, told) for one in digest.weeks_before(week, BEFORE)]
            made = week_metrics(facts, week, now, told)
            return digest.build(made, earlier, facts, now, names=names if share else {}, told=told)

    def _earlier(self, week: str, facts: Journal, now: datetime, told: Told) -> WeekMetrics:
        """The numbers of a week before; where making them takes long, those that were made a moment ago will do."""
        kept = self._kept.get(week)
        if kept is not None and kept.facts == facts and timedelta() <= now - kept.made_at < KEPT_FOR:
            return kept.numbers
        began = time.monotonic()
        made = week_metrics(facts, week, now, told)
        if time.monotonic() - began > LONG_SECONDS:
            self._kept[week] = _Kept(now, facts, made)
        return made

    def digest_soon(self, week: str) -> Digest:
        """The digest, for somebody who waits. Raises `Refused` where a large record has to be read first."""
        if not self._ledger.is_read:
            if self._reading.acquire(blocking=False):
                threading.Thread(target=self._read, name="numbers", daemon=True).start()
            end = time.monotonic() + PATIENCE_SECONDS
            while not self._ledger.is_read and time.monotonic() < end:
                time.sleep(0.01)
            if not self._ledger.is_read:
                raise Refused("The timelines are being counted, for the first time since the bot was started. Ask again in a moment.")
        newest, now = self._newest, self.clock()
        if newest is not None and newest[0] == week and timedelta() <= now - newest[1] < SAME_FOR:
            return newest[2]
        began = time.monotonic()
        made = self.digest(week, now)
        self._newest = (week, now, made) if time.monotonic() - began >= self._same else None
        return made

    def _read(self) -> None:
        try:
            guarded(lambda: len(self.week(self.week_now(self.clock()), self.clock()).week))
        finally:
            self._reading.release()

    def draft(self, number: int, template: str) -> str:
        """Draft an incident's post-mortem, and keep it."""
        ref = f"INC-{number}"
        text = self.draft_of(ref, template)
        self.store.keep_draft(ref, template, text, self.clock())
        return text

    def draft_of(self, ref: str, template: str, before: str | None = None) -> str:
        """Draft an incident's post-mortem from its timeline, keeping what people wrote in `before` (else in the draft
        that is kept). Raises `Refused` where there is no such incident.
        """
        entries = self.store.timeline(ref)
        if not entries:
            raise Refused(f"There is no {ref}.")
        start = min(one.at for one in entries) - timedelta(days=90)
        others = [one for one in self.store.timelines(start, self.clock()) if one.incident != ref]
        names = {one.slack_id: one.real_name or one.name for one in self.store.people()}
        earlier = before or self.store.draft(ref, template)
        service, start = postmortems.service_and_start(entries)
        known = self.store.changes_before(service, start)
        changes = known if known or self.store.is_told_of_changes(start) else None
        return postmortems.draft(ref, entries, others, self.choices.templates(), template, self.clock(), names, earlier, changes)

    def week_now(self, now: datetime) -> str:
        """The ISO week of a moment, in the team's zone."""
        return digest.week_of(now, self.choices.policy().team.zoneinfo)

    def ensure_digest(self) -> int:
        """Set the timer of the next digest, and of one that was missed while nothing ran; each once."""
        policy, now = self.choices.policy(), self.clock()
        # What somebody posted by hand, perhaps before its week was over, replaces no Monday's.
        newest = self.store.note("digest/since")
        if newest is None:
            # A new installation owes no digest of weeks before it.
            newest = digest.week_before(self.week_now(now))
            self.store.set_note("digest/since", newest)
        plan = digest.due(str(newest), now, policy.team.zoneinfo, policy.digest.weekday, policy.digest.at)
        plan = [*self._left_out(str(newest), plan), *plan]
        timers = [Timer(f"digest/{week}", at, DigestDue(week, at)) for week, at in plan]
        wanted = [one for one in timers if not self.store.note(f"digest/set/{one.key}/{one.due_at.isoformat()}")]
        for one in wanted:
            with self.store.writing() as work:
                work.set_timers([one])
            self.store.set_note(f"digest/set/{one.key}/{one.due_at.isoformat()}", True)
        if plan and plan[-1][0] != self.store.note(DIGEST_UNTIL):
            self.store.set_note(DIGEST_UNTIL, plan[-1][0])
        return len(wanted)

    def _left_out(self, newest: str, plan: Sequence[tuple[str, datetime]]) -> list[tuple[str, datetime]]:
        """The weeks between the last that was planned and those that are now, when nothing ran: due, and too late by now."""
        until = str(self.store.note(DIGEST_UNTIL) or newest)
        if not plan or until >= plan[0][0]:
            return []
        first, at = plan[0]
        between = [week for week in digest.weeks_before(first, LOOKS_BACK) if week > max(until, newest)]
        return [(week, at - timedelta(weeks=len(between) - index)) for index, week in enumerate(between)]


def _is_gone(process: str) -> bool:
    """Whether a process of this machine's is dead: its last sign of life may be of a moment ago, for all that."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        # Somebody else's, and alive.
        return False
    return False


class Bot:
    """Everything, put together. `clock` may be moved by a sandbox; signatures are checked against `real_time`, whatever it says."""

    def __init__(self, settings: Settings, clock: Clock = wall_clock, real_time: Clock = wall_clock) -> None:
        self.settings, self.clock, self.real_time = settings, clock, real_time
        for one in unusable():
            log.error("alert source not loaded", source=one.name, reason=one.why)
        self.choices = Choices(settings)
        self.store = Store.at(settings.database_url.get_secret_value())
        self.wakeups = Wakeups()
        self.door = Door(
            store=self.store, clock=clock, policy=self.choices.policy, runbooks=self.choices.runbooks,
            saved=self._saved,
        )  # fmt: skip
        self.numbers = Numbers(self.store, clock, self.choices)
        self.leases = Leases(self.store, timedelta(seconds=settings.lease_seconds))
        self.slack = Slack(
            token=settings.slack_bot_token, api_url=settings.slack_api_url, about_to=self._about_to, connected=self.leases.check
        )  # fmt: skip
        self.client = Client(
            token=settings.pagerduty_api_token, from_email=settings.pagerduty_from,
            api_url=settings.pagerduty_api_url, events_url=settings.pagerduty_events_url, about_to=self._about_to,
        )  # fmt: skip
        self.people = People(self.slack, self.store, clock)
        self.reports = Reports(client=self.client, store=self.store, clock=clock)
        self.on_call = OnCallList(client=self.client, reports=self.reports, store=self.store, clock=clock, door=self.door)
        self.poll = Poll(client=self.client, reports=self.reports, store=self.store, door=self.door)
        self.strays = Strays(client=self.client, store=self.store, door=self.door)
        self.subscriptions = Subscriptions(
            client=self.client, store=self.store, door=self.door, addresses=settings.addresses_of(PAGER_SOURCE)
        )
        self.desk = Desk(
            door=self.door, command=settings.slack_command, digest_for=self.numbers.digest_soon,
            week_of=self.numbers.week_now, templates=lambda: self.choices.templates().names(),
        )  # fmt: skip
        self.slack_app = SlackApp(
            desk=self.desk, slack=self.slack, signing_secret=settings.slack_signing_secret.get_secret_value(),
            command=settings.slack_command, wall_clock=real_time,
        )  # fmt: skip
        self.sns = Sns(real_time)
        self.measures = Measures()
        self.limits, self.refusals = Limits(lambda: self.choices.policy().limits), Refusals(self.door)
        self.audit_every = timedelta(seconds=settings.audit_seconds)
        self.auditor = Auditor(
            store=self.store, door=self.door, every=self.audit_every,
            unseen=self._unseen,
            send=Heartbeat(settings.heartbeat_url).send if settings.heartbeat_url.get_secret_value() else None,
        )  # fmt: skip
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._pager_budget = Budget(time.monotonic)
        self._does: list[str] = []
        self._worker: Worker | None = None
        self._works = False
        self._inbox: InboxWriter | None = None
        self._socket: SocketMode | None = None
        self._server: Server | None = None
        self._watch: Scheduler | None = None

    def _about_to(self, call: str) -> None:
        """Before each call to a neighbour: a worker that stood still must not make it in somebody else's place."""
        points.reached(points.before(call))
        self.leases.check()

    def _saved(self, decision: Decision) -> None:
        if decision.effects:
            self.wakeups.effects_saved(decision.effects)

    # --- the parts ----------------------------------------------------------------------------

    def worker(self) -> Worker:
        """The worker, built once."""
        if self._worker is None:
            pager = PagerDeliverer(
                client=self.client, store=self.store, clock=self.clock, key_named=self.settings.pager_key,
                budget=self._pager_budget, reports=self.reports,
            )  # fmt: skip
            slack = SlackDeliverer(
                slack=self.slack, store=self.store, clock=self.clock, policy=self.choices.policy,
                digest_for=self.numbers.digest, draft_for=self.numbers.draft,
            )  # fmt: skip
            delivers = {Lane.PAGER: pager.deliver, Lane.CHAT: slack.deliver, Lane.DOCUMENT: slack.deliver}
            self._worker = Worker(
                store=self.store,
                intake=self._intake(but=PAGER_SOURCE),
                news=self._intake(only=PAGER_SOURCE),
                deliveries={
                    lane: Deliveries(lanes=[lane], deliver=deliver, store=self.store, door=self.door, leases=self.leases)
                    for lane, deliver in delivers.items()
                },
                due=DueTimers(store=self.store, door=self.door),
                ticks=self._ticks(),
                wakeups=self.wakeups,
                clock=self.clock,
                out_of_date=lambda: migrate.out_of_date(self.store.engine),
            )
        return self._worker

    def _intake(self, only: str | None = None, but: str | None = None) -> Intake:
        return Intake(
            sources=sources(),
            report=self.reports.of_ours,
            store=self.store,
            door=self.door,
            lease=self.leases.lease,
            only=only,
            but=but,
        )

    def _ticks(self) -> list[Tick]:
        return [
            Tick("leases", self.leases.lease.total_seconds() / 3, self.leases.renew),
            Tick("poll PagerDuty", float(self.settings.pager_poll_seconds), self.poll.run_once),
            Tick("on call", ON_CALL_SECONDS, self.on_call.run_once),
            Tick("webhooks of PagerDuty", WEBHOOK_SECONDS, self.subscriptions.run_once),
            Tick("strays in PagerDuty", STRAY_SECONDS, self.strays.run_once),
            self._changed_files(),
            self._expected_heartbeats(),
            self._limited_senders(),
            Tick("people", PEOPLE_SECONDS, self._people_in_time),
            Tick("digest", 60.0, self.numbers.ensure_digest),
            sweeper(self.store, timedelta(days=self.settings.keep_days)),
            Tick("audit", self.audit_every.total_seconds(), self.auditor.run_once),
            self._sign_of_life(),
        ]

    def _expected_heartbeats(self) -> Tick:
        return Tick("expected heartbeats", 15.0, Expecting(self.door).run_once)

    def _changed_files(self) -> Tick:
        return Tick("changed files", 15.0, self.choices.refresh)

    def _limited_senders(self) -> Tick:
        return Tick("limited senders", LIMITED_SECONDS, self.refusals.tell)

    def _unseen(self, seconds: float) -> Sequence[Finding]:
        return self._worker.unseen(seconds) if self._worker else ()

    def _sign_of_life(self) -> Tick:
        # Three a round: one may be lost.
        return Tick("sign of life", self.audit_every.total_seconds() / 3, self._sign)

    def _sign(self, *, is_stopped: bool = False) -> int:
        engine = self.store.engine
        audits.sign(engine, self._process, self._does, self.auditor.found, self.slack.budget.told(), is_stopped=is_stopped)
        known = audits.signs(engine)
        # Both count what all who do the same ask of them together.
        does = "worker" if "worker" in self._does else "web"
        sharers = sum(not _is_gone(one) for one in audits.at_work(known, does, self.audit_every))
        self._pager_budget.share(sharers)
        self.slack.budget.share(sharers)
        # Whom Slack has told to wait is one of them; it means them all. Also one that is gone: it was told all the same.
        for one in known:
            for method, wait in one.left_alone.items():
                if one.process != self._process and wait > timedelta():
                    self.slack.budget.heard(method, wait)
        return 1

    def learn_people(self) -> int:
        """Read who is in Slack, and who is on call, whether or not Slack answers."""
        # After people: so that whoever is on call has a face in Slack from the beginning.
        return self.people.run_once() + self.on_call.run_once()

    def _people_in_time(self) -> int:
        seen = self.people.run_once()
        return seen + self.on_call.run_once() if seen else 0

    def app(self) -> Callable[..., object]:
        """The web application."""
        self._inbox = self._inbox or self.store.inbox_writer(self.wakeups.inbox.wake, {PAGER_SOURCE: self.wakeups.news.wake})
        webhooks = Webhooks(
            sources=sources(), secrets_of=self.settings.secrets_of, mapping_of=self._mapping, inbox=self._inbox,
            clock=self.clock, wall_clock=self.real_time, measures=self.measures, asks={"cloudwatch": self.sns},
            limits=self.limits, refusals=self.refusals, unusable=[one.name for one in unusable()],
        )  # fmt: skip
        health = Health(
            store=self.store, clock=self.clock, out_of_date=lambda: migrate.out_of_date(self.store.engine),
            ticked_at=lambda: self._worker.ticked_at if self._worker else None,
            troubles=(
                lambda: self.choices.trouble,
                lambda: "; ".join(f"the source {one.name} is not loaded: {one.why}" for one in unusable()),
                lambda: self._socket.trouble() if self._socket else "",
                lambda: self._worker.trouble() if self._worker else "",
                lambda: self.poll.trouble,
                lambda: self.subscriptions.trouble,
            ),
            late_after=self.audit_every, unseen=lambda: self._unseen(self.audit_every.total_seconds()),
        )  # fmt: skip
        has_slack = bool(self.settings.slack_signing_secret.get_secret_value())
        dispatch = self.slack_app.dispatch if has_slack else None
        return build(Web(self.store, health, self.measures, webhooks, dispatch))

    def _mapping(self, route: str) -> Mapping[str, str]:
        return self.choices.policy().generic.get(route, {})

    # --- running ------------------------------------------------------------------------------

    def start_worker(self) -> None:
        """Begin to work."""
        self.numbers.ensure_digest()
        self.worker().start()
        self._works = True
        self._begin("worker")
        threading.Thread(target=guarded, args=(self.learn_people,), name="people", daemon=True).start()

    def _begin(self, does: str) -> None:
        self._does.append(does)
        guarded(self._sign)

    def start_socket(self) -> None:
        """Open the websocket, where an app token is set."""
        token = self.settings.slack_app_token.get_secret_value()
        if token:
            self._socket = SocketMode(self.slack_app, token)
            self._socket.start()

    def start_web(self, host: str | None = None, port: int | None = None) -> Server:
        """Listen, in a thread. Without a worker here, changed files are watched for all the same."""
        if self._worker is None:
            self._watch = Scheduler([self._changed_files(), self._limited_senders(), self._sign_of_life()])
            self._watch.start()
        self._server = Server(self.app(), host or self.settings.host, self.settings.port if port is None else port)
        self._server.start()
        self._begin("web")
        return self._server

    def stop(self) -> None:
        """Stop in the order in which nothing is lost: first what comes in, then what is under way."""
        if self._server is not None:
            self._server.stop()
        if self._socket is not None:
            self._socket.stop()
        if self._inbox is not None:
            self._inbox.close()
        if self._watch is not None:
            self._watch.stop()
        if self._worker is not None and self._works:
            self._worker.stop()
        if self._does:
            guarded(lambda: self._sign(is_stopped=True))
        self.slack_app.close()
        self.store.close()
