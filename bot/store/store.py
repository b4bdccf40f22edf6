"""The record as the rest of the bot uses it: transactions, and reading without one of your own."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select

from bot.alerts.alert import ChangeState, FindingState
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.quiet import Kept, Silence
from bot.incidents.changes import ChangeRecord, FindingRecord
from bot.incidents.effects import Lane
from bot.incidents.holdings import HeldAlert, Share
from bot.incidents.incident import Incident, incident_keyed, is_of_others
from bot.incidents.inputs import Input
from bot.incidents.oncall import OnCall
from bot.incidents.timeline import Entry
from bot.store import arrivals, holdings, inbox, logs, outbox, queues, reports, silences
from bot.store.codec import decode, decode_tagged, encode
from bot.store.database import at_once, connect, in_memory, looking, reading, upsert, writes_alone, writing
from bot.store.pending import read
from bot.store.people import Person, people_like, person_where, remember
from bot.store.rehearsal import Rehearsal
from bot.store.tables import INCIDENT_IS_OPEN, digests, drafts, handled, incidents, metadata, notes, timers
from bot.store.work import Work

ON_CALL = "on call"
LEASE = timedelta(seconds=10)
"""How long a claim lasts where nobody says otherwise. A page that a dead process had in hand waits no longer."""
SWEPT_AT_ONCE = READ_AT_ONCE = 1000
KEPT_OPEN = ("resolved", "closed", "merged", "cancelled")


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that is due. Read when it is its turn: one that cannot be read must not stop the others."""

    key: str
    due_at: datetime
    stored: Mapping[str, Any]
    incident: int | None = None

    @property
    def kind(self) -> str:
        """What its input is called."""
        return str(self.stored.get("kind"))

    @property
    def input(self) -> Input:
        """What to handle. Raises ValueError where this version cannot read it."""
        found: Input = decode_tagged(self.stored)
        return found


@dataclass(frozen=True, slots=True)
class Store:
    """The record. Every method is one transaction of its own, unless it gives you a `Work`."""

    engine: Engine

    @classmethod
    def at(cls, url: str) -> "Store":
        """The record at a database address; connects when first used. Raises ValueError for one of another kind."""
        return cls(connect(url))

    @classmethod
    def empty(cls) -> "Store":
        """A record of nothing, in memory: for what is tried without one."""
        engine = in_memory()
        metadata.create_all(engine)
        return cls(engine)

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[Work]:
        """A write transaction: all of it, or nothing. Raises `DatabaseDown` or `Conflict`."""
        with writing(self.engine) as connection:
            work = Work(connection)
            yield work
            work.write()

    @contextmanager
    def reading(self) -> Iterator[Work]:
        """A read transaction. Raises `DatabaseDown`."""
        with reading(self.engine) as connection:
            yield Work(connection)

    @contextmanager
    def rehearsing(self) -> Iterator[Rehearsal]:
        """What would be decided, on the record as it stands at this moment; nothing is written. Raises `DatabaseDown`."""
        with looking(self.engine) as connection:
            yield Rehearsal(connection)

    # --- incidents ----------------------------------------------------------------------------

    def incident(self, number: int) -> Incident | None:
        """The incident of that number as it stands."""
        with self.reading() as work:
            return work.incident(number)

    def incident_in_channel(self, channel: str) -> Incident | None:
        """The incident whose own channel this is; the newest, should there be two."""
        return self._one(incidents.c.channel == channel)

    def incident_of_page(self, pager_id: str) -> Incident | None:
        """The incident whose newest page PagerDuty calls `pager_id`."""
        return self._one(incidents.c.pager_id == pager_id)

    def incident_paging(self, dedup_key: str) -> Incident | None:
        """The incident that has the page of that key. One of others goes on in whatever its incident was merged into."""
        found = self.incident(incident_keyed(dedup_key) or 0)
        if not is_of_others(dedup_key):
            return found
        seen = set[int]()
        here = found
        while here is not None and here.other_keyed(dedup_key) is None and here.merged_into and here.number not in seen:
            seen.add(here.number)
            here = self.incident(here.merged_into)
        return here if here is not None and here.other_keyed(dedup_key) is not None else found

    def open_incidents(self, limit: int | None = None) -> tuple[Incident, ...]:
        """The open incidents, newest first: all of them, or at most `limit`."""
        newest = select(incidents.c.number).where(INCIDENT_IS_OPEN).order_by(incidents.c.number.desc()).limit(limit)
        with reading(self.engine) as connection:
            return _in_turn(connection, newest)

    def worst_open(self, limit: int) -> tuple[tuple[Incident, ...], int]:
        """At most `limit` open incidents, the worst and oldest first, and how many are open."""
        worst = select(incidents.c.number).where(INCIDENT_IS_OPEN).order_by(incidents.c.severity, incidents.c.number).limit(limit)
        with reading(self.engine) as connection:
            count = connection.scalar(select(func.count()).select_from(incidents).where(INCIDENT_IS_OPEN))
            return _in_turn(connection, worst), count or 0

    def versions(self, newest: int) -> dict[int, int]:
        """The version of each incident that is open, and of so many of the newest, by its number; the newest first."""
        latest = select(incidents.c.number).order_by(incidents.c.number.desc()).limit(newest).scalar_subquery()
        wanted = select(incidents.c.number, incidents.c.version)
        with reading(self.engine) as connection:
            rows = [
                *connection.execute(wanted.where(INCIDENT_IS_OPEN)),
                *connection.execute(wanted.where(incidents.c.number.in_(latest))),
            ]
        return dict(sorted(((row.number, row.version) for row in rows), reverse=True))

    def those(self, numbers: Sequence[int]) -> tuple[Incident, ...]:
        """The incidents of these numbers, as far as there are."""
        with reading(self.engine) as connection:
            found = (_of_numbers(connection, numbers[at : at + READ_AT_ONCE]) for at in range(0, len(numbers), READ_AT_ONCE))
            return tuple(one for some in found for one in some)

    def incidents(self, limit: int = 50) -> tuple[Incident, ...]:
        """The newest incidents, open or not."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(incidents.c.body, incidents.c.version).order_by(incidents.c.number.desc()).limit(limit))
            return tuple(read(row.body, row.version) for row in rows)

    def timeline(self, ref: str) -> tuple[Entry, ...]:
        """Every entry of one incident ("INC-7"), in order of when it happened."""
        with reading(self.engine) as connection:
            return reports.timeline(connection, ref)

    def timeline_page(self, ref: str, page: int, size: int) -> tuple[tuple[Entry, ...], int]:
        """`size` entries of one incident, in order of when they happened, and how many it has; page 0 has the newest."""
        with reading(self.engine) as connection:
            return reports.timeline_page(connection, ref, page, size)

    def timelines(self, start: datetime, end: datetime) -> tuple[Entry, ...]:
        """Every entry before `end` of incidents that had one since `start`, or that are not over."""
        with reading(self.engine) as connection:
            return reports.timelines(connection, start, end)

    # --- journals -----------------------------------------------------------------------------

    def journal(self) -> tuple[tuple[Entry, ...], dict[str, Any]]:
        """Everything there is to export: every entry, and the parts of imported journals that are no entries."""
        with reading(self.engine) as connection:
            return reports.all_entries(connection), reports.journal_notes(connection)

    def journal_notes(self) -> dict[str, Any]:
        """The parts of imported journals that are no entries: tz, people, deployments …"""
        with reading(self.engine) as connection:
            return reports.journal_notes(connection)

    def take_in(self, new: Sequence[Entry], others: Mapping[str, Any], now: datetime) -> tuple[int, int]:
        """Import a journal: (entries added, entries there already). Raises `Refused`; then nothing changed."""
        with writing(self.engine) as connection:
            return reports.take_in(connection, new, others, now)

    # --- people -------------------------------------------------------------------------------

    def remember_people(self, seen: Sequence[Person], now: datetime) -> None:
        """Learn people, or what changed about them. What one of Slack and PagerDuty does not know is kept."""
        with writing(self.engine) as connection:
            remember(connection, seen, now)

    def person(self, slack_id: str) -> Person | None:
        """The person with that Slack user id."""
        return self._person(slack_id=slack_id)

    def person_by_email(self, email: str) -> Person | None:
        """The person with that address, whatever its letters' case."""
        return self._person(email=email.strip().lower()) if email.strip() else None

    def person_by_pagerduty(self, pagerduty_id: str) -> Person | None:
        """The person whom PagerDuty knows by that id."""
        return self._person(pagerduty_id=pagerduty_id) if pagerduty_id else None

    def people(self, named: str | None = None) -> tuple[Person, ...]:
        """Everybody, or everybody called so (@name or the name in full)."""
        with reading(self.engine) as connection:
            return people_like(connection, named)

    def on_call(self) -> OnCall | None:
        """Who was on call when PagerDuty was last asked; None where it never was."""
        stored = self.note(ON_CALL)
        found: OnCall | None = None if stored is None else decode(OnCall, stored)
        return found

    def set_on_call(self, found: OnCall) -> None:
        """Remember who is on call."""
        self.set_note(ON_CALL, encode(found))

    # --- alerts -------------------------------------------------------------------------------

    def alert_shares(self, number: int, limit: int) -> tuple[Share, ...]:
        """How many of an incident's alerts are of which severity and service, the worst first; at most `limit` of these."""
        with reading(self.engine) as connection:
            return holdings.shares(connection, number, limit)

    def alert_reports(self, number: int, fingerprints: Sequence[str]) -> dict[str, int]:
        """How often these alerts of an incident were reported."""
        with reading(self.engine) as connection:
            return holdings.reports(connection, number, fingerprints)

    def alerts_page(self, number: int, page: int, size: int) -> tuple[tuple[HeldAlert, ...], int]:
        """`size` alerts of an incident, the worst of those that fire first, and how many it has; page 0 is the first."""
        with reading(self.engine) as connection:
            return holdings.page(connection, number, page, size)

    def services_heard(self) -> tuple[str, ...]:
        """Every service that an alert has ever come under."""
        with reading(self.engine) as connection:
            return holdings.services(connection)

    # --- changes and findings -----------------------------------------------------------------

    def changes_before(self, service: str | None, at: datetime) -> tuple[ChangeRecord, ...]:
        """The changes that may have to be shown for an incident that began then, newest first."""
        with reading(self.engine) as connection:
            return logs.changes_before(connection, service, at)

    def changes_since(
        self, since: datetime, service: str | None, limit: int, states: Sequence[ChangeState] = ()
    ) -> tuple[tuple[ChangeRecord, ...], int]:
        """The newest changes since then, of one service or of all, and how many there are."""
        with reading(self.engine) as connection:
            return logs.changes_since(connection, since, service, limit, states)

    def is_told_of_changes(self, by: datetime) -> bool:
        """Whether anybody had told of a change by then."""
        with reading(self.engine) as connection:
            return logs.is_told_of_changes(connection, by)

    def dropped(self) -> dict[str, int]:
        """How many alerts each route of the policy has dropped, ever."""
        with reading(self.engine) as connection:
            return logs.dropped(connection)

    def hushed(self) -> dict[str, int]:
        """How many alerts of each source were not announced because of how many were, ever."""
        with reading(self.engine) as connection:
            return logs.hushed(connection)

    def ignored(self) -> dict[str, int]:
        """How many deliveries of each source had something in them that it ignores, ever."""
        with reading(self.engine) as connection:
            return logs.ignored(connection)

    def quieted(self) -> dict[str, int]:
        """How many alerts each maintenance window has kept quiet, and all silences together, ever."""
        with reading(self.engine) as connection:
            return logs.quieted(connection)

    def silences(self, now: datetime) -> tuple[tuple[Silence, Kept], ...]:
        """The silences in force and those that ended within a day, newest first, and what each kept quiet."""
        with reading(self.engine) as connection:
            return tuple((one, silences.kept_by(connection, one)) for one in silences.lately(connection, now))

    def findings_in(
        self, states: Sequence[FindingState], service: str | None, severities: Sequence[AlertSeverity], limit: int
    ) -> tuple[tuple[FindingRecord, ...], int]:
        """The oldest security findings in these states, of one service or of all, and how many there are."""
        with reading(self.engine) as connection:
            return logs.findings_in(connection, states, service, severities, limit)

    def open_findings(self) -> tuple[FindingRecord, ...]:
        """The security findings that are neither fixed nor dismissed, oldest first."""
        with reading(self.engine) as connection:
            return logs.open_findings(connection)

    def counted_findings(self) -> tuple[FindingRecord, ...] | None:
        """The security findings that figures are made of; None where nobody has told of any finding yet."""
        with reading(self.engine) as connection:
            return logs.counted_findings(connection)

    # --- drafts and digests -------------------------------------------------------------------

    def keep_draft(self, ref: str, template: str, text: str, now: datetime) -> None:
        """Keep a post-mortem draft; earlier ones stay."""
        with writing(self.engine) as connection:
            connection.execute(insert(drafts).values(incident=ref, template=template, text=text, created_at=now))

    def draft(self, ref: str, template: str | None = None) -> str | None:
        """The newest draft of an incident's post-mortem; with `template`, the newest that was made with it."""
        wanted = select(drafts.c.text).where(drafts.c.incident == ref)
        if template is not None:
            wanted = wanted.where(drafts.c.template == template)
        with reading(self.engine) as connection:
            return connection.scalar(wanted.order_by(drafts.c.id.desc()).limit(1))

    def digest_posted(self, week: str, channel: str, ts: str, now: datetime) -> None:
        """Remember that a week's digest is in a channel."""
        values = {"week": week, "channel": channel, "ts": ts, "posted_at": now}
        with writing(self.engine) as connection:
            upsert(connection, digests, [values], ("week", "channel"))

    def digest_of(self, week: str, channel: str) -> str | None:
        """The timestamp of the message with that week's digest; None where there is none."""
        with reading(self.engine) as connection:
            return connection.scalar(select(digests.c.ts).where(digests.c.week == week, digests.c.channel == channel))

    def newest_digest(self) -> str | None:
        """The newest week whose digest was posted."""
        with reading(self.engine) as connection:
            newest: str | None = connection.scalar(select(func.max(digests.c.week)))
        return newest

    # --- timers -------------------------------------------------------------------------------

    def due(self, now: datetime, limit: int = 200) -> tuple[Due, ...]:
        """The timers that are due, longest first."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(timers).where(timers.c.due_at <= now).order_by(timers.c.due_at, timers.c.key).limit(limit)
            ).all()
        return tuple(Due(row.key, row.due_at, row.input, row.incident) for row in rows)

    def next_due(self) -> datetime | None:
        """When the first timer is due, or was; None where none waits."""
        with reading(self.engine) as connection:
            return connection.scalar(select(timers.c.due_at).order_by(timers.c.due_at).limit(1))

    def timer_set(self, key: str) -> datetime | None:
        """When the timer with that key is due; None where none waits."""
        with reading(self.engine) as connection:
            return connection.scalar(select(timers.c.due_at).where(timers.c.key == key))

    # --- outbox -------------------------------------------------------------------------------

    @property
    def writes_alone(self) -> bool:
        """Whether whoever writes keeps everybody else from writing."""
        return writes_alone(self.engine)

    def claim(
        self,
        kinds: Sequence[Lane],
        owner: str,
        now: datetime,
        limit: int = 20,
        lease: timedelta = LEASE,
        *,
        but: Collection[str] = (),
        held: Collection[int] = (),
    ) -> list[outbox.Row]:
        """Take the first waiting effect of up to `limit` lanes, `but` where it was put back for one of these reasons, and none
        that this process has `held` since before. Committed as `sending` before this returns.
        """
        asked = outbox.Asked(kinds, now, lease, but, held)
        # Where one writes at a time, the many that look in vain must not stand in line with those that have something.
        if writes_alone(self.engine):
            with reading(self.engine) as connection:
                if not outbox.is_any_due(connection, asked):
                    return []
        with writing(self.engine) if writes_alone(self.engine) else at_once(self.engine) as connection:
            return outbox.claim(connection, asked, owner, limit)

    def try_at_once(self, now: datetime) -> int:
        """Have every effect that waits for its next try tried now; how many those are that would have waited."""
        with writing(self.engine) as connection:
            return outbox.try_at_once(connection, now)

    def renew(self, rows: Sequence[outbox.Row], lease: timedelta) -> set[int]:
        """Make the claims on these rows last longer; the `seq` of those that are still ours."""
        with writing(self.engine) as connection:
            return outbox.renew(connection, rows, lease)

    def outbox_depth(self) -> dict[str, int]:
        """How many effects wait, are being sent, are ambiguous, are dead."""
        with reading(self.engine) as connection:
            return outbox.depth(connection)

    def ages(self, now: datetime) -> dict[str, float]:
        """The age in seconds of the oldest that nobody has done: delivery not read, timer due, effect due; 0 where none."""
        due = select(func.min(timers.c.due_at)).where(timers.c.due_at <= now)
        with reading(self.engine) as connection:
            since = {"inbox": inbox.oldest(connection), "timers": connection.scalar(due)}
            ages = {name: max(0.0, (now - at).total_seconds()) if at else 0.0 for name, at in since.items()}
            return {**ages, "outbox": outbox.oldest(connection, now)}

    # --- inbox --------------------------------------------------------------------------------

    def inbox_writer(self, stored: Callable[[], None], apart: Mapping[str, Callable[[], None]] | None = None) -> arrivals.InboxWriter:
        """A thread that commits deliveries; `stored` is called after each commit, or what `apart` has for its source."""
        return arrivals.InboxWriter(self.engine, stored, apart)

    def claim_deliveries(
        self, limit: int = 50, lease: timedelta = LEASE, *, only: str | None = None, but: str | None = None,
        beside: Collection[inbox.Endpoint] = (),
    ) -> list[inbox.Received]:  # fmt: skip
        """Take deliveries that nobody reads yet, oldest first; of one source only, or of all but one, where given, and of none
        of the endpoints `beside` which others wait.
        """
        if beside:
            # It passes over all that waits there; whoever has something to write need not wait for it.
            with reading(self.engine) as connection:
                if not inbox.is_any_beside(connection, only, but, beside):
                    return []
        with writing(self.engine) as connection:
            return inbox.claim(connection, limit, lease, only, but, beside)

    def delivery_waits(self, row: int, reason: str, seconds: float) -> None:
        """Leave a delivery for `seconds` before it is read again."""
        with writing(self.engine) as connection:
            inbox.wait(connection, row, reason, seconds)

    def delivery_begins(self, row: int, times: int) -> None:
        """Note that a delivery is read by itself from here on, for the so-manieth time in a row: should that end the process."""
        with writing(self.engine) as connection:
            inbox.begin(connection, row, times)

    def put_deliveries_back(self, received: Sequence[inbox.Received]) -> None:
        """Give claimed deliveries back as they were: nobody tried them."""
        with writing(self.engine) as connection:
            inbox.put_back(connection, received)

    def inbox_depth(self) -> dict[str, int]:
        """How many deliveries wait to be read, and how many are parked."""
        with reading(self.engine) as connection:
            return inbox.depth(connection)

    def sweep(self, now: datetime, keep: timedelta, at_once: int = SWEPT_AT_ONCE) -> int:
        """Forget what was handled longer than `keep` ago; the number of rows. Never what is parked, never timelines."""
        before, gone = now - keep, 0
        # A portion at a time: nobody else writes to SQLite meanwhile, and somebody may be waiting to page.
        for sweep in (inbox.sweep, outbox.sweep, _sweep_handled):
            portion = at_once
            while portion == at_once:
                with writing(self.engine) as connection:
                    portion = sweep(connection, before, at_once)
                gone += portion
        return gone

    # --- by hand ------------------------------------------------------------------------------

    def deliveries(self, states: tuple[str, ...], limit: int) -> tuple[queues.Delivery, ...]:
        """The newest deliveries in these states."""
        with reading(self.engine) as connection:
            return queues.deliveries(connection, states, limit)

    def webhooks_seen(self) -> frozenset[str]:
        """The id of every webhook subscription of PagerDuty's whose deliveries came here."""
        with reading(self.engine) as connection:
            return queues.webhooks_seen(connection)

    def delivery(self, number: int) -> queues.Delivery:
        """One delivery. Raises `Refused`."""
        with reading(self.engine) as connection:
            return queues.delivery(connection, number)

    def read_again(self, number: int, by: str, now: datetime) -> None:
        """Put a delivery that was put aside back in line. Raises `Refused`."""
        with writing(self.engine) as connection:
            queues.read_again(connection, number, by, now)

    def drop_delivery(self, number: int, by: str, reason: str, now: datetime) -> None:
        """Say that a delivery that was put aside is not wanted. Raises `Refused`."""
        with writing(self.engine) as connection:
            queues.drop_delivery(connection, number, by, reason, now)

    def effects(self, states: tuple[str, ...], limit: int) -> tuple[queues.Effect, ...]:
        """The newest effects in these states."""
        with reading(self.engine) as connection:
            return queues.effects(connection, states, limit)

    def waiting_pages(self, limit: int, but: Collection[int] = ()) -> tuple[queues.Effect, ...]:
        """The pages that PagerDuty has not taken yet, the most urgent first; none of those `but`."""
        with reading(self.engine) as connection:
            return queues.waiting_pages(connection, limit, but)

    def effect(self, number: int) -> queues.Effect:
        """One effect. Raises `Refused`."""
        with reading(self.engine) as connection:
            return queues.effect(connection, number)

    def send_again(self, number: int, by: str, now: datetime) -> None:
        """Put an effect that was given up back in line, or let one that waits after a try go out now. Raises `Refused`."""
        with self.writing() as work:
            about = queues.effect(work.connection, number).incident
            incident = None if about is None else work.incident(about)
            queues.send_again(work.connection, number, by, now, incident)

    def drop_effect(self, number: int, by: str, reason: str, now: datetime) -> None:
        """Say that an effect that was given up is not wanted. Raises `Refused`."""
        with writing(self.engine) as connection:
            queues.drop_effect(connection, number, by, reason, now)

    # --- single values ------------------------------------------------------------------------

    def note(self, name: str) -> Any:
        """A single value by its name; None where there is none."""
        with reading(self.engine) as connection:
            return connection.scalar(select(notes.c.value).where(notes.c.name == name))

    def set_note(self, name: str, value: Any) -> None:
        """Set a single value."""
        with writing(self.engine) as connection:
            upsert(connection, notes, [{"name": name, "value": value}], ("name",))

    def _one(self, where: Any) -> Incident | None:
        with reading(self.engine) as connection:
            row = connection.execute(
                select(incidents.c.body, incidents.c.version).where(where).order_by(incidents.c.number.desc()).limit(1)
            ).first()
        return None if row is None else read(row.body, row.version)

    def _person(self, **where: str) -> Person | None:
        with reading(self.engine) as connection:
            return person_where(connection, **where)


def _in_turn(connection: Connection, numbers: Select[tuple[int]]) -> tuple[Incident, ...]:
    """The incidents of these numbers, in that order. Numbers first: a whole incident is read only where it is wanted."""
    wanted: list[Any] = list(connection.scalars(numbers))
    found = {one.number: one for one in _of_numbers(connection, wanted)}
    return tuple(found[number] for number in wanted if number in found)


def _of_numbers(connection: Connection, numbers: Sequence[int]) -> list[Incident]:
    rows = connection.execute(select(incidents.c.body, incidents.c.version).where(incidents.c.number.in_(numbers)))
    return [read(row.body, row.version) for row in rows]


def _sweep_handled(connection: Connection, before: datetime, limit: int) -> int:
    """Forget some keys of inputs that were handled long ago."""
    old = select(handled.c.key).where(handled.c.at < before).order_by(handled.c.at).limit(limit)
    return connection.execute(delete(handled).where(handled.c.key.in_(old.scalar_subquery()))).rowcount
