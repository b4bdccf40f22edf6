"""The alerts of an incident by their own rows: counted, and listed a page at a time, the worst first."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from bot.incidents.holdings import HeldAlert, Share
from bot.incidents.incident import Severity
from bot.store.tables import alerts, incidents

UNGRADED = "SEV9"
WORST: ColumnElement[str] = func.coalesce(alerts.c.severity, UNGRADED)
FIRING = func.sum(case((alerts.c.is_firing, 1), else_=0))


def shares(connection: Connection, incident: int, limit: int) -> tuple[Share, ...]:
    """How many of its alerts are of which severity and service: the worst first, then the most; at most `limit` of these."""
    number = func.count().label("number")
    rows = connection.execute(
        select(alerts.c.severity, alerts.c.service, number, FIRING.label("firing"))
        .where(alerts.c.incident == incident)
        .group_by(alerts.c.severity, alerts.c.service)
        .order_by(WORST, number.desc(), alerts.c.service)
        .limit(limit)
    )
    return tuple(Share(_graded(row.severity), row.service, row.number, int(row.firing)) for row in rows)


def reports(connection: Connection, incident: int, fingerprints: Sequence[str]) -> dict[str, int]:
    """How often these alerts of an incident were reported."""
    theirs = alerts.c.incident == incident, alerts.c.fingerprint.in_(fingerprints)
    rows = connection.execute(select(alerts.c.fingerprint, func.sum(alerts.c.reports)).where(*theirs).group_by(alerts.c.fingerprint))
    return {fingerprint: int(number) for fingerprint, number in rows}


def page(connection: Connection, incident: int, number: int, size: int) -> tuple[tuple[HeldAlert, ...], int]:
    """`size` alerts, what fires and is worst first, and how many there are; page 0 is the first."""
    total = connection.scalar(select(func.count()).where(alerts.c.incident == incident)) or 0
    rows = connection.execute(
        select(alerts)
        .where(alerts.c.incident == incident)
        .order_by(alerts.c.is_firing.desc(), WORST, alerts.c.id)
        .limit(size)
        .offset(number * size)
    )
    found = (
        HeldAlert(
            row.title, row.service, _graded(row.severity), row.is_firing, row.started_at or row.first_at, row.fires, row.reports
        )
        for row in rows
    )
    return tuple(found), total


def _graded(severity: str | None) -> Severity | None:
    return Severity(severity) if severity else None


def services(connection: Connection) -> tuple[str, ...]:
    """Every service that an alert has come under, but for those of private incidents."""
    theirs = select(incidents.c.number).where(incidents.c.private)
    known = alerts.c.service.is_not(None), or_(alerts.c.incident.is_(None), alerts.c.incident.not_in(theirs))
    return tuple(connection.scalars(select(alerts.c.service).where(*known).distinct().order_by(alerts.c.service)))
