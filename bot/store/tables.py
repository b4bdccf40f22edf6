"""The tables. A change here takes a migration (docs/how-to/change-a-table.md)."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    text,
)
from sqlmodel import Field, SQLModel

from bot.store.types import Json, UtcDateTime

# SQLite gives row ids only to INTEGER; PostgreSQL runs out of those at two thousand million.
BigId = BigInteger().with_variant(Integer(), "sqlite")
UNFINISHED = "state IN ('pending', 'sending', 'ambiguous')"


def moment(*, nullable: bool = False, index: bool = False) -> Any:
    """A column that holds a moment."""
    return Field(default=None, sa_column=Column(UtcDateTime, nullable=nullable, index=index))


def long_text(*, nullable: bool = False) -> Any:
    """A column that holds text of any length."""
    return Field(default=None, sa_column=Column(Text, nullable=nullable))


def json_value(*, nullable: bool = False, server_default: str | None = None) -> Any:
    """A column that holds JSON."""
    return Field(default=None, sa_column=Column(Json, nullable=nullable, server_default=server_default))


def row_id() -> Any:
    """A number that the database gives."""
    return Field(default=None, sa_column=Column(BigId, primary_key=True, autoincrement=True))


class IncidentRow(SQLModel, table=True):
    """An incident as it stands. `body` is the whole value; the columns are what queries look at."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("incidents_open", "number", sqlite_where=text("is_open"), postgresql_where=text("is_open")),
        Index("incidents_source_begun", "source", "begun_at"),
        Index(
            "incidents_open_storm", "source", "private",
            sqlite_where=text("is_open AND storm"), postgresql_where=text("is_open AND storm"),
        ),
        Index("incidents_open_service", "service", "number", sqlite_where=text("is_open"), postgresql_where=text("is_open")),
    )  # fmt: skip
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    version: int
    status: str = Field(index=True)
    is_open: bool
    severity: str
    service: str | None
    channel: str | None = Field(default=None, index=True)
    pager_id: str | None = Field(default=None, index=True)
    private: bool
    opened_at: datetime = moment(index=True)
    begun_at: datetime = moment()
    updated_at: datetime = moment()
    last_alert_at: datetime | None = moment(nullable=True)
    source: str | None
    storm: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    is_firing: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    declared_alone: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    split_from: int | None
    split_off: list[str] | None = json_value(nullable=True)
    body: dict[str, Any] = json_value()


class EntryRow(SQLModel, table=True):
    """A line of a timeline; never changed. `digest` tells the same content from other content."""

    __tablename__ = "entries"
    __table_args__ = (Index("entries_incident_at", "incident", "at", "id"),)
    id: int = row_id()
    incident: str
    at: datetime = moment(index=True)
    type: str
    by: str | None
    fields: dict[str, Any] = json_value()
    recorded_at: datetime = moment()


class AlertRow(SQLModel, table=True):
    """An alert by its fingerprint. At most one open row each, on both databases."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "alerts_open_fingerprint", "fingerprint", unique=True,
            sqlite_where=text("is_open"), postgresql_where=text("is_open"),
        ),
        Index(
            "alerts_open_group", "group_key",
            sqlite_where=text("is_open AND group_key IS NOT NULL"), postgresql_where=text("is_open AND group_key IS NOT NULL"),
        ),
        Index(
            "alerts_ended_fingerprint", "fingerprint", "id",
            sqlite_where=text("ended_at IS NOT NULL"), postgresql_where=text("ended_at IS NOT NULL"),
        ),
        Index(
            "alerts_announced_source", "source", "announced_at",
            sqlite_where=text("announced_at IS NOT NULL"), postgresql_where=text("announced_at IS NOT NULL"),
        ),
    )  # fmt: skip
    id: int = row_id()
    fingerprint: str
    incident: int | None = Field(default=None, index=True)
    is_open: bool
    is_firing: bool
    is_announced: bool
    announced_at: datetime | None = moment(nullable=True)
    title: str = long_text()
    source: str
    service: str | None
    severity: str | None
    started_at: datetime | None = moment(nullable=True)
    group_key: str | None
    is_related: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=false()))
    ended_at: datetime | None = moment(nullable=True)
    first_at: datetime = moment()
    changed_at: datetime = moment()
    reports: int
    fires: int = Field(sa_column=Column(Integer, nullable=False, server_default="1"))
    flaps: dict[str, Any] | None = json_value(nullable=True)
    quiet_under: str | None = None
    pager: str | None = None
    report: dict[str, Any] | None = json_value(nullable=True)
    """What came of one that is only related, for what may keep it quiet later; of others none is kept."""


class InboxRow(SQLModel, table=True):
    """A delivery as it arrived: committed before it is answered. state: new, done or parked."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("source", "route", "delivery_id", name="inbox_delivery"),
        Index("inbox_new", "id", sqlite_where=text("state = 'new'"), postgresql_where=text("state = 'new'")),
    )
    id: int = row_id()
    source: str
    route: str
    delivery_id: str
    received_at: datetime = moment(index=True)
    headers: dict[str, str] = json_value()
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str
    reason: str = long_text()
    attempts: int
    lease_until: datetime | None = moment(nullable=True)


class HandledRow(SQLModel, table=True):
    """An input that was handled, by the key that makes it happen once."""

    __tablename__ = "handled"
    key: str = Field(primary_key=True)
    at: datetime = moment(index=True)


class OutboxRow(SQLModel, table=True):
    """An effect and how its delivery stands: pending, sending, ambiguous; done, dead, dropped."""

    __tablename__ = "outbox"
    __table_args__ = (Index("outbox_unfinished", "lane", "seq", sqlite_where=text(UNFINISHED), postgresql_where=text(UNFINISHED)),)
    seq: int = row_id()
    id: str = Field(unique=True)
    incident: int | None = Field(default=None, index=True)
    lane: str
    lane_kind: str
    kind: str
    payload: dict[str, Any] = json_value()
    priority: int
    state: str = Field(index=True)
    attempt: int
    not_before: datetime = moment()
    lease_until: datetime | None = moment(nullable=True)
    owner: str
    epoch: int
    created_at: datetime = moment()
    first_tried_at: datetime | None = moment(nullable=True)
    done_at: datetime | None = moment(nullable=True)
    reason: str = long_text()
    lost: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))


class TimerRow(SQLModel, table=True):
    """An input with a due date, waiting. Gone once it was handled."""

    __tablename__ = "timers"
    key: str = Field(primary_key=True)
    incident: int | None
    due_at: datetime = moment(index=True)
    input: dict[str, Any] = json_value()


class PersonRow(SQLModel, table=True):
    """A person as Slack and PagerDuty know them."""

    __tablename__ = "people"
    slack_id: str = Field(primary_key=True)
    name: str
    real_name: str
    email: str = Field(index=True)
    pagerduty_id: str = Field(index=True)
    zone: str
    is_guest: bool
    is_bot: bool
    is_deleted: bool
    seen_at: datetime = moment()


class DraftRow(SQLModel, table=True):
    """A post-mortem draft as it was written."""

    __tablename__ = "drafts"
    id: int = row_id()
    incident: str = Field(index=True)
    template: str
    text: str = long_text()
    created_at: datetime = moment()


class DigestRow(SQLModel, table=True):
    """A week's digest that was posted: once a week and channel."""

    __tablename__ = "digests"
    week: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    ts: str
    posted_at: datetime = moment()


class ChangeRow(SQLModel, table=True):
    """A change that was told of, as it was last told: one row each. `service` is its own name."""

    __tablename__ = "changes"
    __table_args__ = (UniqueConstraint("source", "identity", name="changes_identity"),)
    id: int = row_id()
    source: str
    identity: str
    kind: str
    state: str
    title: str = long_text()
    service: str | None
    environment: str | None
    sha: str | None
    ref: str | None
    version: str | None
    by: str | None
    url: str | None = long_text(nullable=True)
    description: str = long_text()
    at: datetime = moment(index=True)
    first_at: datetime = moment(index=True)


class FindingRow(SQLModel, table=True):
    """A security finding, as it was last told, with its clocks: one row each."""

    __tablename__ = "findings"
    fingerprint: str = Field(primary_key=True)
    source: str
    state: str = Field(index=True)
    severity: str
    title: str = long_text()
    service: str | None
    rule: str
    identifiers: list[str] = json_value()
    package: str
    fixed_in: str
    url: str | None = long_text(nullable=True)
    reason: str = long_text()
    changed_at: datetime = moment()
    created_at: datetime = moment()
    is_created_at_known: bool
    fixed_at: datetime | None = moment(nullable=True)
    dismissed_at: datetime | None = moment(nullable=True)
    reopened_at: datetime | None = moment(nullable=True)
    fixed_before: list[list[str]] = json_value(server_default="[]")


class SilenceRow(SQLModel, table=True):
    """A silence. `until` is empty while whoever asked for it is asked once more."""

    __tablename__ = "silences"
    __table_args__ = (Index("silences_in_force", "number", sqlite_where=text("is_in_force"), postgresql_where=text("is_in_force")),)
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    match: dict[str, Any] = json_value()
    by: str
    reason: str = long_text()
    asked_at: datetime = moment()
    lasts_seconds: int
    until: datetime | None = moment(nullable=True)
    is_in_force: bool
    ended_at: datetime | None = moment(nullable=True)
    ended_by: str | None
    ended_because: str = long_text()


class QuietedRow(SQLModel, table=True):
    """An alert that the silence or maintenance window of that key has kept quiet: one row each."""

    __tablename__ = "quieted"
    key: str = Field(primary_key=True)
    fingerprint: str = Field(primary_key=True)
    title: str = long_text()
    severity: str | None
    reports: int
    first_at: datetime = moment()
    last_at: datetime = moment()


class ByHandRow(SQLModel, table=True):
    """What somebody decided by hand about a delivery or an effect that was put aside. Only ever added to."""

    __tablename__ = "by_hand"
    __table_args__ = (Index("by_hand_of", "what", "number"),)
    id: int = row_id()
    at: datetime = moment()
    what: str
    number: int = Field(sa_column=Column(BigId, nullable=False))
    did: str
    by: str
    reason: str = long_text()
    before: str = long_text()


class NoteRow(SQLModel, table=True):
    """A single value by its name: counters, and the parts of an imported journal that are no entries."""

    __tablename__ = "notes"
    name: str = Field(primary_key=True)
    value: Any = json_value(nullable=True)


metadata = SQLModel.metadata
incidents = SQLModel.metadata.tables["incidents"]
entries = SQLModel.metadata.tables["entries"]
alerts = SQLModel.metadata.tables["alerts"]
inbox = SQLModel.metadata.tables["inbox"]
handled = SQLModel.metadata.tables["handled"]
outbox = SQLModel.metadata.tables["outbox"]
timers = SQLModel.metadata.tables["timers"]
people = SQLModel.metadata.tables["people"]
drafts = SQLModel.metadata.tables["drafts"]
digests = SQLModel.metadata.tables["digests"]
changes = SQLModel.metadata.tables["changes"]
findings = SQLModel.metadata.tables["findings"]
silences = SQLModel.metadata.tables["silences"]
quieted = SQLModel.metadata.tables["quieted"]
by_hand = SQLModel.metadata.tables["by_hand"]
notes = SQLModel.metadata.tables["notes"]

ALERT_IS_OPEN: ColumnElement[bool] = literal_column("alerts.is_open")
ALERT_HAS_ENDED: ColumnElement[bool] = literal_column("alerts.ended_at IS NOT NULL")
INCIDENT_IS_OPEN: ColumnElement[bool] = literal_column("incidents.is_open")
INCIDENT_IS_STORM: ColumnElement[bool] = literal_column("incidents.storm")
SILENCE_IS_IN_FORCE: ColumnElement[bool] = literal_column("silences.is_in_force")
"""Written out, not compared: SQLite uses a partial index only where it sees that the query stays within it.

https://www.sqlite.org/partialindex.html#queries_using_partial_indexes
"""
