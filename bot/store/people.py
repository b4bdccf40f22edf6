"""People as Slack and PagerDuty know them: so that an acknowledgement on the phone has a face in Slack."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, or_, select

from bot.store.database import upsert
from bot.store.tables import people


@dataclass(frozen=True, slots=True)
class Person:
    """A person. `email` is in lower case; what is not known is empty."""

    slack_id: str
    name: str = ""
    real_name: str = ""
    email: str = ""
    pagerduty_id: str = ""
    zone: str = ""
    is_guest: bool = False
    is_bot: bool = False
    is_deleted: bool = False


def remember(connection: Connection, seen: Sequence[Person], now: datetime) -> None:
    """Learn people. A field that is empty now keeps what was known."""
    for one in seen:
        known = person_where(connection, slack_id=one.slack_id) or Person(one.slack_id)
        values = {
            "slack_id": one.slack_id, "name": one.name or known.name, "real_name": one.real_name or known.real_name,
            "email": (one.email or known.email).lower(), "pagerduty_id": one.pagerduty_id or known.pagerduty_id,
            "zone": one.zone or known.zone, "is_guest": one.is_guest, "is_bot": one.is_bot,
            "is_deleted": one.is_deleted, "seen_at": now,
        }  # fmt: skip
        upsert(connection, people, [values], ("slack_id",))


def person_where(connection: Connection, **where: str) -> Person | None:
    """The person whose columns are so; one who still works here first."""
    matches = [people.c[name] == value for name, value in where.items()]
    row = connection.execute(select(people).where(*matches).order_by(people.c.is_deleted).limit(1)).first()
    return None if row is None else _person(row)


def people_like(connection: Connection, named: str | None) -> tuple[Person, ...]:
    """Everybody by name; or everybody whose handle or full name is `named`."""
    every = select(people).order_by(people.c.name)
    if named is not None:
        word = named.removeprefix("@").strip().lower()
        every = every.where(or_(func.lower(people.c.name) == word, func.lower(people.c.real_name) == word))
    return tuple(_person(row) for row in connection.execute(every))


def _person(row: object) -> Person:
    return Person(**{name: getattr(row, name) for name in Person.__dataclass_fields__})
