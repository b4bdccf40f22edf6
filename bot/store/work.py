"""One transaction: what may be read and written in it. The door opens one for each input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, or_, select, update

from bot.alerts.matching import Candidate, Known
from bot.incidents.decision import AlertRecord, Decision, Timer
from bot.incidents.incident import Incident, Status
from bot.incidents.timeline import Entry
from bot.store import inbox as inbox_rows
from bot.store import outbox as outbox_rows
from bot.store.codec import decode, encode, encode_tagged
from bot.store.database import Conflict, alone, notify
from bot.store.tables import alerts, entries, handled, incidents, notes, timers

NUMBER = "last incident number"
NUMBER_LOCK = 7_105_001


@dataclass(frozen=True, slots=True)
class Work:
    """A transaction. Nothing it writes is there before its end, and all of it is there after."""

    connection: Connection

    # --- reading ------------------------------------------------------------------------------

    def incident(self, number: int, *, alone: bool = False) -> Incident | None:
        """The incident of that number as it stands. With `alone` nobody else changes it before this transaction ends."""
        wanted = select(incidents.c.body, incidents.c.version).where(incidents.c.number == number)
        row = self.connection.execute(wanted.with_for_update() if alone else wanted).first()
        return None if row is None else _read(row.body, row.version)

    def open_incidents(self) -> tuple[Incident, ...]:
        """Every open incident, newest first."""
        rows = self.connection.execute(
            select(incidents.c.body, incidents.c.version).where(incidents.c.is_open).order_by(incidents.c.number.desc())
        )
        return tuple(_read(row.body, row.version) for row in rows)

    def candidates(self, service: str) -> tuple[Candidate, ...]:
        """The open incidents of one service, newest first, as far as an alert that might join them needs to know.

        Asked for every alert that is new: an incident of hundreds of alerts is not read whole for it.
        """
        rows = self.connection.execute(
            select(incidents.c.number, incidents.c.private, incidents.c.body)
            .where(incidents.c.is_open, incidents.c.service == service)
            .order_by(incidents.c.number.desc())
        )
        return tuple(Candidate(row.number, service, _newest_alert(row.body), row.private) for row in rows)

    def alert_record(self, fingerprint: str) -> AlertRecord | None:
        """What is remembered of an alert that has not been forgotten: it fires, or its incident is open."""
        row = self.connection.execute(select(alerts).where(alerts.c.fingerprint == fingerprint, alerts.c.is_open)).first()
        if row is None:
            return None
        return AlertRecord(
            fingerprint, row.incident, row.is_firing, row.title, row.source, row.service, row.first_at,
            is_announced=row.is_announced,
        )  # fmt: skip

    def known_alert(self, fingerprint: str) -> Known | None:
        """The same, as the matching rules want it."""
        record = self.alert_record(fingerprint)
        return None if record is None else Known(record.incident, record.is_announced)

    def was_handled(self, key: str) -> bool:
        """Whether an input with this key was handled before."""
        found = select(handled.c.key).where(handled.c.key == key)
        return self.connection.execute(found).first() is not None

    # --- writing ------------------------------------------------------------------------------

    def openings_alone(self) -> None:
        """From here to the end of the transaction nobody else opens an incident: look again, then open."""
        alone(self.connection, NUMBER_LOCK)

    def next_number(self) -> int:
        """The next incident's number: no gaps, no two alike."""
        self.openings_alone()
        last = self.connection.scalar(select(notes.c.value).where(notes.c.name == NUMBER))
        if last is None:
            self.connection.execute(insert(notes).values(name=NUMBER, value=1))
            return 1
        self.connection.execute(update(notes).where(notes.c.name == NUMBER).values(value=last + 1))
        return int(last) + 1

    def mark_handled(self, key: str, at: datetime) -> None:
        """Remember that an input was handled. Raises `Conflict` where somebody else is handling it."""
        self.connection.execute(insert(handled).values(key=key, at=at))

    def save(self, decision: Decision, now: datetime) -> Incident | None:
        """Write everything a decision asks for. Raises `Conflict` where an incident changed meanwhile."""
        for other in decision.others:
            self._save_incident(other, now)
        saved = None if decision.incident is None else self._save_incident(decision.incident, now)
        self.add_entries(decision.entries, now)
        if decision.alert is not None:
            self._save_alert(decision.alert, now)
        if decision.cancels:
            self.connection.execute(delete(timers).where(timers.c.key.in_(decision.cancels)))
        self.set_timers(decision.timers)
        outbox_rows.put(self.connection, decision.effects, now)
        if decision.effects:
            notify(self.connection, "firstfive_outbox")
        return saved

    def add_entries(self, new: Sequence[Entry], now: datetime) -> None:
        """Add lines to timelines."""
        if new:
            self.connection.execute(
                insert(entries),
                [
                    {
                        "incident": one.incident, "at": one.at, "type": one.type, "by": one.by,
                        "fields": encode(one.fields), "recorded_at": now,
                    }
                    for one in new
                ],
            )  # fmt: skip

    def set_timers(self, new: Sequence[Timer]) -> None:
        """Set timers; one that waits under the same key is moved."""
        if not new:
            return
        self.connection.execute(delete(timers).where(timers.c.key.in_([one.key for one in new])))
        self.connection.execute(
            insert(timers),
            [
                {
                    "key": one.key, "due_at": one.due_at, "input": encode_tagged(one.input),
                    "incident": getattr(one.input, "incident", None),
                }
                for one in new
            ],
        )  # fmt: skip

    def timer_done(self, key: str, due_at: datetime) -> None:
        """Take a due timer away. Raises `Conflict` where somebody else took or moved it."""
        gone = self.connection.execute(delete(timers).where(timers.c.key == key, timers.c.due_at == due_at))
        if gone.rowcount != 1:
            raise Conflict(f"timer {key} was taken by somebody else")

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

    def delivery_done(self, row: int, reason: str = "") -> None:
        """Mark a delivery handled."""
        inbox_rows.settle(self.connection, row, "done", reason)

    def park_delivery(self, row: int, reason: str) -> None:
        """Put a delivery aside, with the reason: it is kept for somebody to look at."""
        inbox_rows.settle(self.connection, row, "parked", reason)

    # --- the parts of saving ------------------------------------------------------------------

    def _save_incident(self, incident: Incident, now: datetime) -> Incident:
        saved = replace(incident, version=incident.version + 1)
        values = {
            "version": saved.version, "status": saved.status.value, "is_open": saved.is_open,
            "severity": saved.severity.value, "service": saved.service,
            "channel": saved.channel.id if saved.channel else None, "pager_id": saved.pager_id,
            "private": saved.private, "opened_at": saved.opened_at, "updated_at": now, "body": encode(saved),
        }  # fmt: skip
        if incident.version == 0:
            self.connection.execute(insert(incidents).values(number=saved.number, **values))
        else:
            mine = (incidents.c.number == saved.number, incidents.c.version == incident.version)
            if self.connection.execute(update(incidents).where(*mine).values(**values)).rowcount != 1:
                raise Conflict(f"{saved.ref} changed meanwhile")
        self._release_alerts(saved)
        return saved

    def _release_alerts(self, incident: Incident) -> None:
        """An incident that is over forgets its alerts; a merged one hands them over."""
        if incident.is_open:
            return
        mine = update(alerts).where(alerts.c.incident == incident.number, alerts.c.is_open)
        if incident.status is Status.MERGED and incident.merged_into is not None:
            self.connection.execute(mine.values(incident=incident.merged_into))
        else:
            self.connection.execute(mine.values(is_open=False))

    def _save_alert(self, record: AlertRecord, now: datetime) -> None:
        changed = {
            "incident": record.incident, "is_open": record.is_open, "is_firing": record.is_firing,
            "title": record.title, "source": record.source, "service": record.service, "changed_at": now,
        }  # fmt: skip
        # A row that belongs to another incident is not ours to move: somebody else was faster, and the insert below
        # then meets the unique index.
        ours = or_(alerts.c.incident.is_(None), alerts.c.incident == record.incident)
        mine = (alerts.c.fingerprint == record.fingerprint, alerts.c.is_open, ours)
        known = update(alerts).where(*mine).values(
            **changed, reports=alerts.c.reports + 1, is_announced=alerts.c.is_announced | record.is_announced
        )  # fmt: skip
        if self.connection.execute(known).rowcount or not record.is_open:
            return
        self.connection.execute(
            insert(alerts).values(
                fingerprint=record.fingerprint, first_at=now, reports=1, is_announced=record.is_announced, **changed
            )
        )


def engine_of(work: Work) -> Engine:
    """The engine a transaction runs on."""
    return work.connection.engine


def _newest_alert(body: dict[str, Any]) -> datetime | None:
    return max((datetime.fromisoformat(one["changed_at"]) for one in body["alerts"]), default=None)


def _read(body: dict[str, object], version: int) -> Incident:
    incident: Incident = decode(Incident, body)
    return replace(incident, version=version)
