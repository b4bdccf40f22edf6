"""Silences, and the alerts that they and maintenance windows have kept quiet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy import Row as SqlRow

from bot.alerts.quiet import NOTHING_KEPT, Kept, Silence, Still
from bot.alerts.routing import Matcher
from bot.incidents.decision import Quieted
from bot.incidents.incident import Severity
from bot.store.codec import decode, encode
from bot.store.database import upsert
from bot.store.tables import ALERT_IS_OPEN, SILENCE_IS_IN_FORCE, alerts, quieted, silences

MOST_STILL = 5
"""Alerts that still fire that are told by name."""
LATELY = timedelta(days=1)

# Made once: it is asked for with every batch of alerts that are new.
IN_FORCE = select(silences).where(SILENCE_IS_IN_FORCE)
KNOWN = select(quieted).where(quieted.c.key == bindparam("key"), quieted.c.fingerprint.in_(bindparam("fingerprints", expanding=True)))


def in_force(connection: Connection) -> tuple[Silence, ...]:
    """The silences that are begun and not ended; also one whose time is over, where nobody has said so yet."""
    return tuple(_silence(row) for row in connection.execute(IN_FORCE))


def lately(connection: Connection, now: datetime) -> tuple[Silence, ...]:
    """The silences in force, and those that ended within a day, newest first."""
    ended = silences.c.ended_at > now - LATELY
    rows = connection.execute(select(silences).where(SILENCE_IS_IN_FORCE | ended).order_by(silences.c.number.desc()))
    return tuple(_silence(row) for row in rows)


def silence(connection: Connection, number: int) -> Silence | None:
    """The silence of that number."""
    row = connection.execute(select(silences).where(silences.c.number == number)).first()
    return None if row is None else _silence(row)


def last_asked(connection: Connection, by: str) -> Silence | None:
    """The last silence that somebody asked for and was asked about."""
    asked = silences.c.by == by, silences.c.until.is_(None)
    row = connection.execute(select(silences).where(*asked).order_by(silences.c.number.desc()).limit(1)).first()
    return None if row is None else _silence(row)


def next_number(connection: Connection) -> int:
    """The next silence's number. Only for whoever is alone with them."""
    return int(connection.scalar(select(func.max(silences.c.number))) or 0) + 1


def save(connection: Connection, one: Silence) -> None:
    """Keep a silence as it stands. Only for whoever is alone with them."""
    values = {
        "match": encode(one.match), "by": one.by, "reason": one.reason, "asked_at": one.asked_at,
        "lasts_seconds": int(one.lasts.total_seconds()), "until": one.until, "is_in_force": one.is_in_force,
        "ended_at": one.ended_at, "ended_by": one.ended_by, "ended_because": one.ended_because,
    }  # fmt: skip
    upsert(connection, silences, [{"number": one.number, **values}], ("number",))


def kept_by(connection: Connection, one: Silence) -> Kept:
    """What a silence has kept quiet."""
    mine = quieted.c.key == one.key
    count, worst = connection.execute(
        select(func.count(), func.count().filter(quieted.c.severity == Severity.SEV1.value)).where(mine)
    ).one()
    if not count:
        return NOTHING_KEPT
    last = connection.execute(select(quieted).where(mine).order_by(quieted.c.last_at.desc(), quieted.c.fingerprint).limit(1)).one()
    fires = (
        mine, alerts.c.fingerprint == quieted.c.fingerprint, ALERT_IS_OPEN, alerts.c.is_firing, alerts.c.incident.is_(None),
        alerts.c.quiet_under == one.key,
    )  # fmt: skip
    firing = connection.scalar(select(func.count()).select_from(quieted, alerts).where(*fires)) or 0
    still = select(quieted.c.fingerprint, quieted.c.title).where(*fires).order_by(quieted.c.severity, quieted.c.first_at)
    some = tuple(Still(row.fingerprint, row.title) for row in connection.execute(still.limit(MOST_STILL)))
    return Kept(count, worst, last.title, last.last_at, firing, some)


def save_quieted(connection: Connection, reports: Sequence[Quieted]) -> None:
    """Remember reports of alerts that are kept quiet: a row for each alert and what keeps it so."""
    of: dict[str, dict[str, list[Quieted]]] = {}
    for one in reports:
        of.setdefault(one.key, {}).setdefault(one.fingerprint, []).append(one)
    for key, mine in sorted(of.items()):
        found = connection.execute(KNOWN, {"key": key, "fingerprints": sorted(mine)})
        known = {row.fingerprint: row for row in found}
        rows = [_row(known.get(fingerprint), those) for fingerprint, those in sorted(mine.items())]
        upsert(connection, quieted, rows, ("key", "fingerprint"))


def _row(known: SqlRow[Any] | None, reports: Sequence[Quieted]) -> dict[str, Any]:
    last = reports[-1]
    severities = [one.severity.value for one in reports if one.severity is not None]
    severities += [known.severity] if known is not None and known.severity else []
    return {
        "key": last.key,
        "fingerprint": last.fingerprint,
        "title": last.title,
        # SEV1 is the worst, and the first.
        "severity": min(severities, default=None),
        "reports": len(reports) + (known.reports if known is not None else 0),
        "first_at": known.first_at if known is not None else reports[0].at,
        "last_at": last.at,
    }


def _silence(row: SqlRow[Any]) -> Silence:
    match: Matcher = decode(Matcher, row.match)
    return Silence(
        row.number, match, row.by, row.reason, row.asked_at, timedelta(seconds=row.lasts_seconds), row.until,
        row.ended_at, row.ended_by, row.ended_because,
    )  # fmt: skip
