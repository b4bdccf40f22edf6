"""One transaction: what may be read and written in it. The door opens one for each input, or for many at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, false, func, insert, or_, select, update

from bot.alerts.matching import Candidate, Ended, Known, Sought
from bot.alerts.quiet import NOTHING_KEPT, Kept, Silence
from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.decisions.writing import quiet_key
from bot.incidents.heartbeats import EXPECTED, HEARD
from bot.incidents.incident import Incident, Severity
from bot.incidents.timeline import Entry
from bot.store import inbox as inbox_rows
from bot.store import logs
from bot.store import outbox as outbox_rows
from bot.store import silences as silence_rows
from bot.store.database import Conflict, alone
from bot.store.pending import Pending, read, record_of
from bot.store.tables import ALERT_IS_OPEN, INCIDENT_IS_OPEN, INCIDENT_IS_STORM, alerts, handled, inbox, incidents, notes, timers

NUMBER = "last incident number"
NUMBER_LOCK = 7_105_001
SILENCES_LOCK = 7_105_003
# Statements are made once where each alert needs them: to make one takes as long as to ask it.
LAST_NUMBER = select(notes.c.value).where(notes.c.name == NUMBER)
NEW_NUMBER = update(notes).where(notes.c.name == NUMBER).values(value=bindparam("last"))
OPENED_BY = select(
    func.count().filter(incidents.c.source == bindparam("source")), func.count(), func.count().filter(INCIDENT_IS_STORM)
).where(incidents.c.source.is_not(None), incidents.c.begun_at > bindparam("since"))
ANNOUNCED_BY = select(func.count()).where(alerts.c.source == bindparam("source"), alerts.c.announced_at > bindparam("since"))
CANDIDATE = (
    incidents.c.number, incidents.c.service, incidents.c.last_alert_at, incidents.c.private, incidents.c.severity,
    incidents.c.is_firing, incidents.c.split_off, incidents.c.split_from, incidents.c.declared_alone,
)  # fmt: skip
THEIRS = incidents.c.service.in_(bindparam("services", expanding=True))
WITH_GROUP = select(alerts.c.incident).where(ALERT_IS_OPEN, alerts.c.group_key == bindparam("group"), ~alerts.c.is_related)
"""What is only related says nothing of what the incident is about."""
HAS_GROUP = incidents.c.number.in_(WITH_GROUP)
OPEN_OF_SERVICES = select(*CANDIDATE, false().label("has_group")).where(INCIDENT_IS_OPEN, THEIRS)
OPEN_OF_GROUP = select(*CANDIDATE, HAS_GROUP.label("has_group")).where(INCIDENT_IS_OPEN, or_(THEIRS, HAS_GROUP))
NEWER = alerts.alias("newer")
ALERTS_OF = (
    select(alerts)
    .where(
        alerts.c.incident == bindparam("number"),
        ~exists().where(NEWER.c.fingerprint == alerts.c.fingerprint, NEWER.c.id > alerts.c.id),
    )
    .order_by(alerts.c.id)
)


@dataclass(frozen=True, slots=True)
class Work:
    """A transaction. Nothing it writes is there before its end, and all of it is there after.

    What is read of incidents and alerts is as this transaction has changed it. It is written at the end, by `write`.
    """

    connection: Connection
    pending: Pending = field(default_factory=Pending)

    # --- reading ------------------------------------------------------------------------------

    def incident(self, number: int, *, alone: bool = False) -> Incident | None:
        """The incident of that number as it stands. With `alone` nobody else changes it before this transaction ends."""
        return self.pending.incident(self.connection, number, alone=alone)

    def opened_since(self, since: datetime) -> tuple[Incident, ...]:
        """The open incidents that were opened since then, newest first."""
        rows = self.connection.execute(
            select(incidents.c.body, incidents.c.version)
            .where(incidents.c.opened_at >= since, INCIDENT_IS_OPEN)
            .order_by(incidents.c.number.desc())
        )
        return tuple(read(row.body, row.version) for row in rows)

    def open_incidents(self) -> tuple[Incident, ...]:
        """Every open incident, newest first."""
        rows = self.connection.execute(
            select(incidents.c.body, incidents.c.version).where(INCIDENT_IS_OPEN).order_by(incidents.c.number.desc())
        )
        return tuple(read(row.body, row.version) for row in rows)

    def open_of(self, severity: Severity) -> tuple[Incident, ...]:
        """The open incidents of a severity, newest first."""
        rows = self.connection.execute(
            select(incidents.c.body, incidents.c.version)
            .where(INCIDENT_IS_OPEN, incidents.c.severity == severity.value)
            .order_by(incidents.c.number.desc())
        )
        return tuple(read(row.body, row.version) for row in rows)

    def candidates(self, sought: Sought) -> tuple[Candidate, ...]:
        """The open incidents that an alert might join, newest first, as far as it needs to know of them.

        Asked for every alert that is new, in one statement: an incident of hundreds of alerts is not read whole for it.
        """
        if not sought.services and sought.group is None:
            return ()
        found = self.pending.candidates.get(sought)
        if found is None:
            given = {"services": list(sought.services)} | ({} if sought.group is None else {"group": sought.group})
            rows = self.connection.execute(OPEN_OF_SERVICES if sought.group is None else OPEN_OF_GROUP, given)
            found = self.pending.candidates[sought] = {row.number: _candidate(row) for row in rows}
        here = {one.number: one for one in self.pending.changed_incidents()}
        grouped = self.pending.with_group(sought.group)
        grouped |= {number for number, one in found.items() if one.has_group}
        ours = {
            one.number: _candidate_of(one, has_group=one.number in grouped)
            for one in here.values()
            if one.is_open and (one.service in sought.services or one.number in grouped)
        }
        others = {number: one for number, one in found.items() if number not in here}
        return tuple(one for _, one in sorted((others | ours).items(), reverse=True))

    def look_up_candidates(self, wanted: Iterable[Sought]) -> None:
        """Read the open incidents that several alerts might join at once, for when they are asked for."""
        missing = {one for one in wanted if one.services and one.group is None and one not in self.pending.candidates}
        if len(missing) < 2:
            return
        by_service: dict[str, dict[int, Candidate]] = {service: {} for one in missing for service in one.services}
        for row in self.connection.execute(OPEN_OF_SERVICES, {"services": list(by_service)}):
            by_service[row.service][row.number] = _candidate(row)
        for one in missing:
            theirs = (by_service[service] for service in one.services)
            self.pending.candidates[one] = {number: found for known in theirs for number, found in known.items()}

    def alerts_of(self, number: int) -> tuple[AlertRecord, ...]:
        """What is remembered of the alerts of an incident, over or not, but for those that came again since elsewhere."""
        here = self.pending.changed_alerts()
        rows = self.connection.execute(ALERTS_OF, {"number": number})
        found = [record_of(row) for row in rows if row.fingerprint not in here]
        return (*found, *(one for one in here.values() if one.incident == number))

    def opened_by(self, source: str, since: datetime) -> tuple[int, int, int]:
        """How many incidents of one source have begun since then, anew or again, those of all sources, and how many of those
        gather a storm.
        """
        seen = self.pending.openings.get((source, since))
        if seen is None:
            its, in_all, storms = self.connection.execute(OPENED_BY, {"source": source, "since": since}).one()
            seen = self.pending.openings[source, since] = its, in_all, storms
        new = [one for one in self.pending.begun_incidents() if one.source is not None]
        return seen[0] + sum(one.source == source for one in new), seen[1] + len(new), seen[2] + sum(one.storm for one in new)

    def announced_by(self, source: str, since: datetime) -> int:
        """How many alerts of a source were announced since then."""
        seen = self.pending.announced.get(source)
        if seen is None or seen[0] != since:
            count = int(self.connection.scalar(ANNOUNCED_BY, {"source": source, "since": since}) or 0)
            seen = self.pending.announced[source] = since, count
        return seen[1] + self.pending.announced_now[source]

    def is_first(self, key: str, now: datetime) -> bool:
        """Whether nobody asked for this key before; then it is handled with this transaction."""
        if key in self.pending.asked_for or self.was_handled(key):
            self.pending.asked_for.add(key)
            return False
        self.mark_handled(key, now)
        return True

    def storm_of(self, source: str, pager: str, severity: Severity, *, is_private: bool) -> int | None:
        """The number of the open incident that gathers what a source sends, rather one that pages by `pager`; None for none.

        For a SEV1 it is one that is a SEV1 itself: whoever looks after a lesser one would not be woken for it.
        """
        numbers = self.pending.storms.get((source, is_private))
        if numbers is None:
            numbers = self._open_storms(is_private, incidents.c.source == source)
            self.pending.storms[source, is_private] = numbers
        mine = (one for one in self.pending.changed_incidents() if one.source == source)
        return self._storm_among((*mine, *map(self.incident, numbers)), pager, severity, is_private)

    def storm_since(self, since: datetime, pager: str, severity: Severity, *, is_private: bool) -> int | None:
        """The same, of any source, that has begun since then: several storm at once."""
        numbers = self.pending.storms.get(("", is_private))
        if numbers is None:
            numbers = self._open_storms(is_private, incidents.c.begun_at > since)
            self.pending.storms["", is_private] = numbers
        mine = (one for one in self.pending.changed_incidents() if one.episode.opened_at > since)
        return self._storm_among((*mine, *map(self.incident, numbers)), pager, severity, is_private)

    def _open_storms(self, is_private: bool, which: ColumnElement[bool]) -> Sequence[int]:
        known = INCIDENT_IS_OPEN, INCIDENT_IS_STORM, which, incidents.c.private == is_private
        return self.connection.scalars(select(incidents.c.number).where(*known)).all()

    def _storm_among(self, known: Sequence[Incident | None], pager: str, severity: Severity, is_private: bool) -> int | None:
        def fits(one: Incident) -> bool:
            is_bad_enough = severity is not Severity.SEV1 or one.severity is Severity.SEV1
            return one.storm and one.is_open and one.private == is_private and is_bad_enough

        found = [one for one in known if one is not None and fits(one)]
        chosen = min(found, key=lambda one: (one.pager != pager, one.number), default=None)
        return None if chosen is None else chosen.number

    def alert_record(self, fingerprint: str) -> AlertRecord | None:
        """What is remembered of an alert that has not been forgotten: it fires, or its incident is open or may be again."""
        return self.pending.open_alert(self.connection, fingerprint)

    def known_alert(self, fingerprint: str) -> Known | None:
        """The same, as the matching rules want it."""
        record = self.alert_record(fingerprint)
        if record is None:
            return None
        incident = None if record.incident is None else self.incident(record.incident)
        resolved_at = incident.resolved_at if incident and not incident.is_open else None
        # Of one that an earlier version announced, nobody kept when.
        announced_at = record.announced_at or (record.at if record.is_announced else None)
        known = Known(
            record.incident, record.is_announced, resolved_at, record.is_related, announced_at=announced_at, first_at=record.at,
            is_firing=record.is_firing,
        )  # fmt: skip
        return known if incident is None or resolved_at is None else replace(known, severity=incident.severity.rank)

    def silences(self) -> tuple[Silence, ...]:
        """The silences in force: read once, after nobody else can open anything before this transaction does."""
        if self.pending.silences is None:
            self.pending.silences = silence_rows.in_force(self.connection)
        return self.pending.silences

    def silence(self, number: int) -> Silence | None:
        """The silence of that number, in force or not."""
        return silence_rows.silence(self.connection, number)

    def silence_asked(self, by: str) -> Silence | None:
        """The last silence that somebody was asked to confirm."""
        return silence_rows.last_asked(self.connection, by)

    def kept_by(self, silence: Silence | None) -> Kept:
        """What a silence has kept quiet so far."""
        return NOTHING_KEPT if silence is None else silence_rows.kept_by(self.connection, silence)

    def end_of(self, fingerprint: str) -> Ended | None:
        """The newest end of an alert that we heard of, where its sender said when that was."""
        return self.pending.end_of(self.connection, fingerprint)

    def look_up_ends(self, fingerprints: Iterable[str]) -> None:
        """Read the ends of several alerts at once, for when they are asked for."""
        self.pending.look_up_ends(self.connection, fingerprints)

    def look_up(self, fingerprints: Iterable[str]) -> None:
        """Read several alerts at once, for when they are asked for."""
        self.pending.look_up(self.connection, fingerprints)

    def look_up_incidents(self, numbers: Iterable[int]) -> None:
        """Read several incidents at once, for when they are asked for."""
        self.pending.look_up_incidents(self.connection, numbers)

    def is_unread(self, source: str, route: str, by: datetime) -> bool:
        """Whether a delivery of that source and route, or without a source any, that had come by then waits to be read."""
        theirs: list[ColumnElement[bool]] = [inbox.c.received_at <= by]
        theirs += [inbox.c.source == source, inbox.c.route == route] if source else []
        return self.connection.execute(select(inbox.c.id).where(inbox_rows.IS_NEW, *theirs).limit(1)).first() is not None

    def note(self, name: str) -> Any:
        """A single value by its name; None where there is none."""
        return self.pending.notes.get(name) or self.connection.scalar(select(notes.c.value).where(notes.c.name == name))

    def is_timed(self, key: str) -> bool:
        """Whether a timer waits under that key."""
        if key in self.pending.timers:
            return self.pending.timers[key] is not None
        return self.connection.execute(select(timers.c.key).where(timers.c.key == key)).first() is not None

    def was_handled(self, key: str) -> bool:
        """Whether an input with this key was handled before."""
        if key in self.pending.keys:
            return True
        found = select(handled.c.key).where(handled.c.key == key)
        return self.connection.execute(found).first() is not None

    # --- writing ------------------------------------------------------------------------------

    def openings_alone(self) -> None:
        """From here to the end of the transaction nobody else opens an incident: look again, then open."""
        if self.pending.opens_alone:
            return
        alone(self.connection, NUMBER_LOCK)
        self.pending.opens_alone = True
        # What was read before that may be old.
        self.pending.forget_unchanged()

    def silences_alone(self) -> None:
        """From here to the end of the transaction nobody else begins or ends a silence."""
        alone(self.connection, SILENCES_LOCK)

    def next_silence(self) -> int:
        """The number of the next silence."""
        return silence_rows.next_number(self.connection)

    def next_number(self) -> int:
        """The next incident's number: no gaps, no two alike."""
        self.openings_alone()
        if self.pending.number is None:
            last = self.connection.scalar(LAST_NUMBER)
            self.pending.number = self.pending.written_number = int(last or 0)
        self.pending.number += 1
        return self.pending.number

    def give_number_back(self) -> None:
        """Nothing was opened under the number that was asked for."""
        self.pending.number = None

    def mark_handled(self, key: str, at: datetime) -> None:
        """Remember that an input was handled. `write` raises `Conflict` where somebody else is handling it."""
        self.pending.keys[key] = at

    def save(self, decision: Decision, now: datetime) -> Incident | None:
        """Keep everything a decision asks for. Raises `Conflict` where an incident changed meanwhile, here or in `write`."""
        pending = self.pending
        for other in decision.others:
            pending.save_incident(other, now)
        saved = None if decision.incident is None else pending.save_incident(decision.incident, now)
        self.add_entries(decision.entries, now)
        if decision.alert is not None:
            pending.save_alert(self.connection, decision.alert, now)
        if decision.calmed is not None:
            pending.save_alert(self.connection, decision.calmed, now, reports=0)
        for moved in decision.moved:
            pending.move_alert(self.connection, moved, now)
        pending.timers |= dict.fromkeys(decision.cancels)
        self.set_timers(decision.timers)
        pending.effects += [(effect, now) for effect in decision.effects]
        pending.changes += [one for one in (decision.change,) if one is not None]
        pending.quieted += [one for one in (decision.quieted,) if one is not None]
        if decision.silence is not None:
            silence_rows.save(self.connection, decision.silence)
            pending.silences = None
        if decision.released:
            self._release(quiet_key(decision.released), now)
        if decision.heard:
            pending.notes[f"{HEARD}{decision.heard}"] = now.isoformat()
        if decision.expected:
            pending.notes[f"{EXPECTED}{decision.expected}"] = now.isoformat()
        if decision.dropped:
            pending.dropped[decision.dropped] += 1
        if decision.hushed:
            pending.hushed[decision.hushed] += 1
        pending.findings += [one for one in (decision.finding,) if one is not None]
        if pending.hands_alerts_over():
            # What is over lets go of its alerts, and what is open again takes them: what comes next has to see that. Not
            # the rest: a timer that comes due is taken before its incident's timers are taken away.
            self._write_incidents()
        return saved

    def _write_incidents(self) -> None:
        self.pending.write_incidents(self.connection)

    def _release(self, begin: str, now: datetime) -> None:
        """Let timers whose keys begin so come due now, in the order that they have."""
        keys = timers.c.key.startswith(begin, autoescape=True)
        rows = self.connection.execute(select(timers.c.key, timers.c.due_at).where(keys).order_by(timers.c.due_at)).all()
        moved = [{"its_key": row.key, "due": min(row.due_at, now + (row.due_at - rows[0].due_at))} for row in rows]
        if moved:
            self.connection.execute(update(timers).where(timers.c.key == bindparam("its_key")).values(due_at=bindparam("due")), moved)

    def _write_number(self) -> None:
        last, written = self.pending.number, self.pending.written_number
        if last is None or last == written:
            return
        if not written:
            self.connection.execute(insert(notes).values(name=NUMBER, value=last))
        else:
            self.connection.execute(NEW_NUMBER, {"last": last})
        self.pending.written_number = last

    def add_entries(self, new: Sequence[Entry], now: datetime) -> None:
        """Add lines to timelines."""
        self.pending.entries += [(one, now) for one in new]

    def set_timers(self, new: Sequence[Timer]) -> None:
        """Set timers; one that waits under the same key is moved."""
        self.pending.timers |= {one.key: one for one in new}

    def delivery_read(self, row: int, until: datetime, reason: str = "", ignored_by: str = "") -> None:
        """Mark a delivery handled by whoever has it until then. `write` raises `Conflict` where another has it by now.

        `ignored_by` is its source, where that ignores what is in it.
        """
        self.pending.settled.append((row, until, reason))
        if ignored_by:
            self.pending.ignored[ignored_by] += 1

    def write(self) -> None:
        """Write what was kept. Raises `Conflict` where something changed meanwhile; then the transaction has to end."""
        self._write_number()
        self.pending.write(self.connection)

    def timer_done(self, key: str, due_at: datetime) -> None:
        """Take a due timer away. `write` raises `Conflict` where somebody else took or moved it."""
        self.pending.taken.append((key, due_at))

    def move_timer(self, key: str, due_at: datetime, to: datetime) -> None:
        """Let a timer come due again at `to`. Raises `Conflict` where somebody else took or moved it."""
        mine = (timers.c.key == key, timers.c.due_at == due_at)
        if self.connection.execute(update(timers).where(*mine).values(due_at=to)).rowcount != 1:
            raise Conflict(f"timer {key} was taken by somebody else")

    def finish(self, row: outbox_rows.Row, now: datetime) -> None:
        """Mark an effect delivered. Raises `Conflict` where this claim was overtaken by a newer one."""
        if not outbox_rows.finish(self.connection, row, now):
            raise Conflict(f"effect {row.id} was claimed by somebody else")

    def try_again(
        self, row: outbox_rows.Row, at: datetime, reason: str, *, is_ambiguous: bool = False, starts_anew: bool = False
    ) -> bool:
        """Put an effect back in line; False where this claim was overtaken."""
        return outbox_rows.try_again(self.connection, row, at, reason, is_ambiguous=is_ambiguous, starts_anew=starts_anew)

    def not_tried(self, row: outbox_rows.Row, at: datetime, reason: str) -> bool:
        """Put an effect back as it was, because nobody was asked; False where this claim was overtaken."""
        return outbox_rows.not_tried(self.connection, row, at, reason)

    def park(self, row: outbox_rows.Row, now: datetime, reason: str) -> bool:
        """Give an effect up; False where this claim was overtaken."""
        return outbox_rows.park(self.connection, row, now, reason)

    def delivery_done(self, row: int, reason: str = "", ignored_by: str = "") -> None:
        """Mark a delivery handled. What its source ignores is counted once, however many came to read it."""
        if inbox_rows.settle(self.connection, row, "done", reason) and ignored_by:
            logs.count_ignored(self.connection, {ignored_by: 1})

    def park_delivery(self, row: int, reason: str) -> None:
        """Put a delivery aside, with the reason: it is kept for somebody to look at."""
        inbox_rows.settle(self.connection, row, "parked", reason)


def _candidate(row: Row[*tuple[Any, ...]]) -> Candidate:
    return Candidate(
        row.number, row.service, row.last_alert_at, row.private, Severity(row.severity).rank, row.is_firing, bool(row.has_group),
        tuple(row.split_off or ()), row.split_from is not None, row.declared_alone,
    )  # fmt: skip


def _candidate_of(one: Incident, *, has_group: bool) -> Candidate:
    """The same, of an incident as this transaction leaves it."""
    return Candidate(
        one.number, one.service, one.last_sign_at, one.private, one.severity.rank, one.is_going_on, has_group, one.split_off,
        one.split_from is not None, one.is_declared_alone,
    )  # fmt: skip
