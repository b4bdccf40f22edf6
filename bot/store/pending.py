"""What a transaction has read and is going to write: read once, written at its end, many rows a statement.

A storm's alerts are decided a hundred to a transaction, of one incident most of them. Read and written for each, the same
incident cost a thousand times what deciding about it does.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, literal_column, or_, select, update

from bot.alerts.flapping import STEADY, Flaps
from bot.alerts.matching import Candidate, Ended, Sought
from bot.alerts.quiet import Silence
from bot.incidents.changes import ChangeRecord, FindingRecord
from bot.incidents.decision import AlertRecord, Quieted, Reported, Timer
from bot.incidents.effects import Effect
from bot.incidents.incident import Incident, Severity, Status
from bot.incidents.timeline import Entry
from bot.store import logs
from bot.store import outbox as outbox_rows
from bot.store import silences as silence_rows
from bot.store.codec import decode, encode, encode_tagged
from bot.store.database import OUTBOX_CHANNEL, Conflict, carry_out, in_one_trip, insert_all, notify, upsert
from bot.store.tables import ALERT_HAS_ENDED, ALERT_IS_OPEN, alerts, entries, handled, inbox, incidents, notes, timers

# Statements are made once where each alert needs them: to make one takes as long as to ask it.
OPEN_ALERTS = select(alerts).where(alerts.c.fingerprint.in_(bindparam("fingerprints", expanding=True)), ALERT_IS_OPEN)
ENDS = (
    select(alerts.c.fingerprint, alerts.c.ended_at, alerts.c.changed_at)
    .where(alerts.c.fingerprint.in_(bindparam("fingerprints", expanding=True)), ALERT_HAS_ENDED)
    .order_by(alerts.c.id)
)
SAME_END = delete(alerts).where(
    alerts.c.fingerprint.in_(bindparam("fingerprints", expanding=True)),
    ALERT_HAS_ENDED,
    ~ALERT_IS_OPEN,
    alerts.c.incident.is_(None),
    or_(alerts.c.announced_at.is_(None), alerts.c.announced_at < bindparam("since")),
)
COUNTED = timedelta(days=1)
"""So long it counts that an alert was announced, at least."""
SAME_INCIDENT = update(incidents).where(
    incidents.c.number == bindparam("its_number"), incidents.c.version == bindparam("its_version")
)
INCIDENT = select(incidents.c.body, incidents.c.version).where(incidents.c.number == bindparam("number"))
INCIDENT_ALONE = INCIDENT.with_for_update()
INCIDENTS = select(incidents.c.number, incidents.c.body, incidents.c.version).where(
    incidents.c.number.in_(bindparam("numbers", expanding=True))
)
GONE_TIMERS = delete(timers).where(timers.c.key.in_(bindparam("keys", expanding=True)))
SAME_TIMER = delete(timers).where(timers.c.key == bindparam("its_key"), timers.c.due_at == bindparam("its_due"))
SAME_ALERT = (
    update(alerts)
    .where(alerts.c.id == bindparam("its_row"), ALERT_IS_OPEN, alerts.c.incident.is_not_distinct_from(bindparam("its_incident")))
    .values(reports=alerts.c.reports + bindparam("more"))
)
DELIVERY_DONE = (
    update(inbox)
    .where(
        inbox.c.id == bindparam("its_row"),
        inbox.c.state == literal_column("'new'"),
        inbox.c.lease_until == bindparam("its_until"),
    )
    .values(state="done", lease_until=None)
)


@dataclass(slots=True)
class Held:
    """An incident as it stands in this transaction. `written` is its version in the database; 0 where it is not there."""

    now: Incident | None
    written: int
    changed_at: datetime | None = None
    """None where it is as it was read."""
    reopens: bool = False
    """It was over, and is open again."""

    @property
    def is_changed(self) -> bool:
        """Whether it has to be written."""
        return self.changed_at is not None


@dataclass(slots=True)
class Line:
    """The row of an alert that is open, as it stands in this transaction."""

    record: AlertRecord
    row: int | None
    """None where it is not in the database yet."""
    before: int | None
    """The incident that it belongs to in the database."""
    reports: int = 0
    """How many reports of it this transaction adds."""
    changed_at: datetime | None = None
    """When this transaction changed it; None where it did not."""
    announced_at: datetime | None = None
    is_let_go: bool = False
    """Another incident has the alert from here on."""


@dataclass(slots=True)
class Pending:
    """Caches and what is to be written. Everything in it belongs to one transaction, and ends with it."""

    incidents: dict[int, Held] = field(default_factory=dict)
    alerts: dict[str, Line | None] = field(default_factory=dict)
    """The open row of each fingerprint that was asked for; None where there is none."""
    ends: dict[str, Ended | None] = field(default_factory=dict)
    """The end of each alert that was asked for and has no open row; None where we heard of none."""
    lines: list[Line] = field(default_factory=list)
    """Rows that changed, those that are not open any more among them."""
    entries: list[tuple[Entry, datetime]] = field(default_factory=list)
    """And when each was recorded."""
    taken: list[tuple[str, datetime]] = field(default_factory=list)
    """Timers that came due and are handled: their keys, and when they were due."""
    timers: dict[str, Timer | None] = field(default_factory=dict)
    """Set, or with None taken away."""
    effects: list[tuple[Effect, datetime]] = field(default_factory=list)
    changes: list[ChangeRecord] = field(default_factory=list)
    findings: list[FindingRecord] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Alerts that routes drop, by route."""
    quieted: list[Quieted] = field(default_factory=list)
    silences: tuple[Silence, ...] | None = None
    """Those in force, once they were asked for."""
    keys: dict[str, datetime] = field(default_factory=dict)
    candidates: dict[Sought, dict[int, Candidate]] = field(default_factory=dict)
    """The open incidents that were asked for, as they are in the database."""
    number: int | None = None
    """The last incident's number, once it was asked for; and as it is in the database."""
    written_number: int = 0
    openings: dict[tuple[str, datetime], tuple[int, int, int]] = field(default_factory=dict)
    """How many incidents a source, and all of them, have opened since a moment, and how many of all gather, as it is in the
    database."""
    announced: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    """How many alerts of each source were announced since a moment, as it is in the database."""
    announced_now: Counter[str] = field(default_factory=Counter)
    """And how many this transaction has announced and not written."""
    asked_for: set[str] = field(default_factory=set)
    """Keys that were handled before, of those that are asked for again and again."""
    hushed: Counter[str] = field(default_factory=Counter)
    """Alerts that would have been announced, but for how many their source has announced, by source."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Deliveries in which their source found nothing to act on, by source."""
    notes: dict[str, str] = field(default_factory=dict)
    """Single values, by their names."""
    storms: dict[tuple[str, bool], Sequence[int]] = field(default_factory=dict)
    """The open incidents that gather what a source sends, those of the last minute under no name, private ones apart, as it is in
    the database."""
    opens_alone: bool = False
    """Whether nobody else may open an incident meanwhile."""
    fresh: set[int] = field(default_factory=set)
    """Incidents that this transaction opened, once they are written."""
    settled: list[tuple[int, datetime, str]] = field(default_factory=list)
    """Deliveries that were handled: row, until when they were claimed, and what is to be said of them."""

    # --- reading ------------------------------------------------------------------------------

    def incident(self, connection: Connection, number: int, *, alone: bool = False) -> Incident | None:
        """The incident of that number as it stands; with `alone` nobody else changes it from here on."""
        held = self.incidents.get(number)
        if held is None or (alone and not held.is_changed):
            row = connection.execute(INCIDENT_ALONE if alone else INCIDENT, {"number": number}).first()
            held = Held(None, 0) if row is None else Held(read(row.body, row.version), row.version)
            self.incidents[number] = held
        return held.now

    def look_up_incidents(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Read several incidents at once."""
        missing = sorted({one for one in numbers if one not in self.incidents})
        if not missing:
            return
        for row in connection.execute(INCIDENTS, {"numbers": missing}):
            self.incidents[row.number] = Held(read(row.body, row.version), row.version)

    def open_alert(self, connection: Connection, fingerprint: str) -> AlertRecord | None:
        """What is remembered of an alert that has not been forgotten."""
        if fingerprint not in self.alerts:
            self.look_up(connection, (fingerprint,))
        line = self.alerts[fingerprint]
        return None if line is None else line.record

    def look_up(self, connection: Connection, fingerprints: Iterable[str]) -> None:
        """Read several alerts at once."""
        missing = [one for one in dict.fromkeys(fingerprints) if one not in self.alerts]
        if not missing:
            return
        self.alerts |= dict.fromkeys(missing)
        for row in connection.execute(OPEN_ALERTS, {"fingerprints": missing}):
            self.alerts[row.fingerprint] = Line(record_of(row), row.id, row.incident, announced_at=row.announced_at)

    def end_of(self, connection: Connection, fingerprint: str) -> Ended | None:
        """The newest end of an alert that we heard of; None where we heard of none."""
        record = self.open_alert(connection, fingerprint)
        if record is not None:
            return record.ended
        if fingerprint not in self.ends:
            self.look_up_ends(connection, (fingerprint,))
        return self.ends[fingerprint]

    def look_up_ends(self, connection: Connection, fingerprints: Iterable[str]) -> None:
        """Read the ends of several alerts at once, of those that have no open row."""
        wanted = dict.fromkeys(fingerprints)
        missing = [one for one in wanted if one not in self.ends and self.open_alert(connection, one) is None]
        if not missing:
            return
        self.ends |= dict.fromkeys(missing)
        for row in connection.execute(ENDS, {"fingerprints": missing}):
            self.ends[row.fingerprint] = Ended(row.ended_at, row.changed_at)

    def changed_incidents(self) -> Iterator[Incident]:
        """The incidents that this transaction changes, as it leaves them."""
        return (held.now for held in self.incidents.values() if held.is_changed and held.now is not None)

    def begun_incidents(self) -> Iterator[Incident]:
        """The incidents that this transaction opens, or opens again."""
        changed = (held for held in self.incidents.values() if held.is_changed and (held.reopens or not held.written))
        return (held.now for held in changed if held.now is not None)

    def with_group(self, group: str | None) -> set[int]:
        """The incidents that this transaction gives an alert of that group, other than as a related one."""
        if group is None:
            return set()
        found = (line.record for line in self.lines if line.record.group == group)
        return {one.incident for one in found if one.incident is not None and not one.is_related}

    def changed_alerts(self) -> dict[str, AlertRecord]:
        """The newest of each alert that this transaction changes and has not written."""
        return {line.record.fingerprint: line.record for line in self.lines}

    def hands_alerts_over(self) -> bool:
        """Whether an incident ends for good or opens again: its alerts change hands with it."""
        return any(held.reopens or _lets_go(held.now) for held in self.incidents.values() if held.is_changed and held.now)

    def forget_unchanged(self) -> None:
        """Read again, when it is next asked for, what may have changed meanwhile."""
        self.candidates.clear()
        self.openings.clear()
        self.announced.clear()
        self.storms.clear()
        self.silences = None
        # One that closed is not in the database as it is here, either.
        changed = {line.record.fingerprint for line in self.lines}
        self.alerts = {key: line for key, line in self.alerts.items() if key in changed}
        self.ends = {key: ended for key, ended in self.ends.items() if key in changed}
        self.incidents = {number: held for number, held in self.incidents.items() if held.is_changed}

    # --- changing -----------------------------------------------------------------------------

    def save_incident(self, incident: Incident, now: datetime) -> Incident:
        """The incident with its next version. Raises `Conflict` where it was decided on an older one."""
        held = self.incidents.get(incident.number)
        if held is None or (held.now is None and incident.version == 0):
            held = self.incidents[incident.number] = Held(None, incident.version)
        elif held.now is None or held.now.version != incident.version:
            raise Conflict(f"{incident.ref} changed meanwhile")
        held.reopens = held.reopens or (held.now is not None and not held.now.is_open and incident.is_open)
        held.now, held.changed_at = replace(incident, version=incident.version + 1), now
        return held.now

    def save_alert(self, connection: Connection, record: AlertRecord, now: datetime, reports: int = 1) -> None:
        """Remember a report of an alert, or what else is known of it. Raises `Conflict` where another incident has it by now."""
        self.open_alert(connection, record.fingerprint)
        line = self.alerts[record.fingerprint]
        if record.ended is not None:
            # Ends may come in any order, too: the newest counts.
            known = self.end_of(connection, record.fingerprint)
            record = replace(record, ended=known if known is not None and known.at > record.ended.at else record.ended)
        elif line is not None and record.is_firing:
            # What fires again has ended before: that end may come once more, and is no news then.
            record = replace(record, ended=line.record.ended)
        self.ends[record.fingerprint] = record.ended
        if line is None:
            if not record.is_open and record.ended is None:
                return
            line = Line(replace(record, at=now), None, record.incident)
            self.alerts[record.fingerprint] = line
        elif line.record.incident is not None and line.record.incident != record.incident:
            other = self.incident(connection, line.record.incident)
            if other is not None and other.is_open:
                # Somebody else was faster.
                if record.is_open:
                    raise Conflict(f"alert {record.fingerprint} belongs to {other.ref} by now")
                return
            self._let_go(line, now)
            line = Line(replace(record, at=now), None, record.incident)
            self.alerts[record.fingerprint] = line
        if line.changed_at is None:
            self.lines.append(line)
        if record.announced_at is not None and record.announced_at != line.announced_at:
            line.announced_at = record.announced_at
            self.announced_now[record.source] += 1
        # It keeps when it came first, and that it was announced.
        was_announced = record.is_announced or line.record.is_announced
        line.record = replace(record, at=line.record.at, is_announced=was_announced, announced_at=line.announced_at)
        line.reports, line.changed_at = line.reports + reports, now
        if not record.is_open:
            self.alerts[record.fingerprint] = None

    def _let_go(self, line: Line, now: datetime) -> None:
        """The incident that it belonged to is over for too long: its row stays there, and is closed."""
        if line.changed_at is None:
            self.lines.append(line)
        line.is_let_go, line.changed_at = True, now

    def move_alert(self, connection: Connection, record: AlertRecord, now: datetime) -> None:
        """Let an alert belong to another incident than so far, or to none. Written, it is still with whom it was read."""
        self.open_alert(connection, record.fingerprint)
        line = self.alerts[record.fingerprint]
        if line is None:
            if not record.is_open:
                return
            line = Line(record, None, record.incident)
        if not any(line is one for one in self.lines):
            self.lines.append(line)
        line.record, line.changed_at = replace(record, is_announced=line.record.is_announced), now
        self.alerts[record.fingerprint] = line if record.is_open else None

    # --- writing ------------------------------------------------------------------------------

    def is_all_new(self) -> bool:
        """Whether what is decided changes nothing that is there, as where an alert opens an incident."""
        held = [one for one in self.incidents.values() if one.is_changed]
        fresh = {one.now.number for one in held if one.now is not None}
        return (
            all(one.written == 0 for one in held)
            and all(line.row is None for line in self.lines)
            and all(effect.incident in fresh for effect, _ in self.effects)
            and not self.taken
        )

    def write_decided(self, connection: Connection) -> None:
        """Write incidents, timelines, timers and effects. Raises `Conflict` where something changed meanwhile."""
        self.write_incidents(connection)
        _write_entries(connection, self.entries)
        _take_timers(connection, self.taken)
        _write_timers(connection, self.timers)
        outbox_rows.put(connection, self.effects, frozenset(self.fresh))
        if self.effects:
            notify(connection, OUTBOX_CHANNEL, {effect.lane.value for effect, _ in self.effects})
        for gathered in (self.entries, self.taken, self.timers, self.effects):
            gathered.clear()

    def write(self, connection: Connection) -> None:
        """Write all of it. Raises `Conflict` where something changed meanwhile; then the transaction has to end."""
        with in_one_trip(connection) if self.is_all_new() else nullcontext():
            self.write_decided(connection)
        for change in self.changes:
            logs.save_change(connection, change)
        for finding in self.findings:
            logs.save_finding(connection, finding)
        logs.count_dropped(connection, self.dropped)
        logs.count_hushed(connection, self.hushed)
        logs.count_ignored(connection, self.ignored)
        _write_notes(connection, self.notes)
        silence_rows.save_quieted(connection, self.quieted)
        logs.count_quieted(connection, self.quieted)
        insert_all(connection, handled, [{"key": key, "at": at} for key, at in self.keys.items()])
        _write_settled(connection, self.settled)
        for gathered in (
            self.changes, self.findings, self.dropped, self.hushed, self.ignored, self.notes, self.quieted, self.keys, self.settled,
        ):  # fmt: skip
            gathered.clear()

    def write_incidents(self, connection: Connection) -> None:
        """Write incidents and their alerts, before the rest where alerts change hands. Raises `Conflict`, as `write` does."""
        # By number, as everybody does: of two who change the same, one waits for the other, and neither for both.
        changed = [held for _, held in sorted(self.incidents.items()) if held.is_changed]
        self.fresh |= {held.now.number for held in changed if held.now is not None and held.written == 0}
        _write_incidents(connection, changed)
        # Before what is over forgets its alerts.
        _write_alerts(connection, self.lines)
        for held in changed:
            if held.now is not None and _lets_go(held.now):
                _release_alerts(connection, held.now)
            elif held.now is not None and held.reopens:
                _take_alerts_back(connection, held.now)
        for held in changed:
            if held.now is not None:
                held.written, held.changed_at, held.reopens = held.now.version, None, False
        # What was written has numbers now that are not known here, and is in the database: read again.
        self.lines.clear()
        caches = self.alerts, self.ends, self.candidates, self.openings, self.announced, self.announced_now, self.storms
        for known in caches:
            known.clear()


def record_of(row: Row[Any]) -> AlertRecord:
    """An alert as it was written."""
    return AlertRecord(
        row.fingerprint, row.incident, row.is_firing, row.title, row.source, row.service, row.first_at, row.is_announced,
        Severity(row.severity) if row.severity else None, row.started_at, row.fires, decode(Flaps, row.flaps) or STEADY,
        row.quiet_under, row.group_key, row.is_related, Ended(row.ended_at, row.changed_at) if row.ended_at else None,
        row.pager, None if row.report is None else decode(Reported, row.report), row.announced_at,
        is_told=row.is_open and row.incident is None and not row.is_firing,
    )  # fmt: skip


def read(body: dict[str, object], version: int) -> Incident:
    """An incident as it was written."""
    incident: Incident = decode(Incident, body)
    return replace(incident, version=version)


def _write_incidents(connection: Connection, changed: Sequence[Held]) -> None:
    rows = [(_incident_values(held.now) | {"updated_at": held.changed_at}, held.written) for held in changed if held.now is not None]
    insert_all(connection, incidents, [values for values, written in rows if written == 0])
    old = [values | {"its_number": values["number"], "its_version": written} for values, written in rows if written]
    _each_once(connection, SAME_INCIDENT, old, "an incident changed meanwhile")


def _incident_values(saved: Incident) -> dict[str, Any]:
    return {
        "number": saved.number, "version": saved.version, "status": saved.status.value, "is_open": saved.is_open,
        "severity": saved.severity.value, "service": saved.service,
        "channel": saved.channel.id if saved.channel else None, "pager_id": saved.pager_id,
        "private": saved.private, "opened_at": saved.opened_at, "begun_at": saved.episode.opened_at,
        "last_alert_at": saved.last_sign_at, "source": saved.source, "storm": saved.storm, "is_firing": saved.is_going_on,
        "declared_alone": saved.is_declared_alone, "split_from": saved.split_from,
        "split_off": list(saved.split_off) or None, "body": encode(saved),
    }  # fmt: skip


def _write_alerts(connection: Connection, lines: Sequence[Line]) -> None:
    # Those that were there first: one that closed makes room for one that is new.
    old = [
        _alert_values(line) | {"its_row": line.row, "its_incident": line.before, "more": line.reports}
        for line in sorted(lines, key=lambda one: one.row or 0)
        if line.row is not None
    ]
    _each_once(connection, SAME_ALERT, old, "an alert changed meanwhile")
    new = [
        _alert_values(line) | {"fingerprint": line.record.fingerprint, "first_at": line.record.at, "reports": line.reports}
        for line in lines
        if line.row is None
    ]
    over = [values["fingerprint"] for values in new if not values["is_open"]]
    if over:
        # One row is enough to know it by, however often its sender says so.
        newest = max(line.changed_at for line in lines if line.changed_at is not None)
        connection.execute(SAME_END, {"fingerprints": over, "since": newest - COUNTED})
    insert_all(connection, alerts, new)


def _alert_values(line: Line) -> dict[str, Any]:
    record = line.record
    return {
        "incident": record.incident, "is_open": record.is_open and not line.is_let_go,
        "is_firing": record.is_firing, "title": record.title, "severity": record.severity, "started_at": record.started_at,
        "group_key": record.group, "is_related": record.is_related, "ended_at": record.ended.at if record.ended else None,
        "source": record.source, "service": record.service, "changed_at": line.changed_at, "is_announced": record.is_announced,
        "announced_at": line.announced_at,
        "fires": record.fires, "flaps": encode(record.flaps) if record.flaps.lately else None,
        "quiet_under": record.quiet_under, "pager": record.pager,
        "report": encode(record.report) if record.report is not None and record.is_related else None,
    }  # fmt: skip


def _lets_go(incident: Incident) -> bool:
    """Whether it is over for good: one that is resolved may be opened again, by an alert that fires again."""
    return not incident.is_open and incident.status is not Status.RESOLVED


def _release_alerts(connection: Connection, incident: Incident) -> None:
    """An incident that is over for good forgets its alerts; a merged one hands them over."""
    mine = update(alerts).where(alerts.c.incident == incident.number, ALERT_IS_OPEN)
    if incident.status is Status.MERGED and incident.merged_into is not None:
        connection.execute(mine.values(incident=incident.merged_into))
    else:
        connection.execute(mine.values(is_open=False))


def _take_alerts_back(connection: Connection, incident: Incident) -> None:
    """An incident that is open again has the alerts it had, but for those that another has by now, or that came alone since."""
    newest = select(func.max(alerts.c.id)).where(alerts.c.incident == incident.number).group_by(alerts.c.fingerprint)
    other = alerts.alias("other")
    is_newer = or_(literal_column("other.is_open"), other.c.id > alerts.c.id)
    is_taken = exists().where(other.c.fingerprint == alerts.c.fingerprint, is_newer)
    connection.execute(update(alerts).where(alerts.c.id.in_(newest), ~alerts.c.is_open, ~is_taken).values(is_open=True))


def _write_entries(connection: Connection, new: Sequence[tuple[Entry, datetime]]) -> None:
    rows = [
        {
            "incident": one.incident, "at": one.at, "type": one.type, "by": one.by,
            "fields": encode(one.fields), "recorded_at": now,
        }
        for one, now in new
    ]  # fmt: skip
    insert_all(connection, entries, rows)


def _take_timers(connection: Connection, taken: Sequence[tuple[str, datetime]]) -> None:
    rows = [{"its_key": key, "its_due": due_at} for key, due_at in taken]
    _each_once(connection, SAME_TIMER, rows, "a timer was taken by somebody else")


def _write_timers(connection: Connection, changed: dict[str, Timer | None]) -> None:
    gone = [key for key, one in changed.items() if one is None]
    if gone:
        connection.execute(GONE_TIMERS, {"keys": gone})
    rows = [
        {"key": one.key, "due_at": one.due_at, "input": encode_tagged(one.input), "incident": getattr(one.input, "incident", None)}
        for one in changed.values()
        if one is not None
    ]
    if rows:
        upsert(connection, timers, rows, ("key",))


def _write_notes(connection: Connection, told: dict[str, str]) -> None:
    # In the order of their names: two who tell of the same wait in one line.
    rows = [{"name": name, "value": value} for name, value in sorted(told.items())]
    if rows:
        upsert(connection, notes, rows, ("name",))


def _write_settled(connection: Connection, settled: Sequence[tuple[int, datetime, str]]) -> None:
    """Only while they are claimed by whoever handled them: what another reads by now, it handles."""
    rows = [{"its_row": row, "its_until": until, "reason": reason[:2000]} for row, until, reason in settled]
    _each_once(connection, DELIVERY_DONE, rows, "a delivery is read by somebody else by now")


def _each_once(connection: Connection, statement: Any, rows: Sequence[dict[str, Any]], otherwise: str) -> None:
    """Carry out a change for each of some rows. Raises `Conflict` unless each is there as it was."""
    if rows and carry_out(connection, statement, rows).rowcount != len(rows):
        raise Conflict(otherwise)
