"""Which status may follow which, and what to tell a person who asks for another. Pure."""

from bot.errors import Refused
from bot.incidents.incident import Incident, Status

FOLLOWS: dict[Status, frozenset[Status]] = {
    Status.TRIGGERED: frozenset(
        {
            Status.ACKNOWLEDGED,
            Status.INVESTIGATING,
            Status.IDENTIFIED,
            Status.MONITORING,
            Status.RESOLVED,
            Status.MERGED,
            Status.CANCELLED,
        }
    ),
    Status.ACKNOWLEDGED: frozenset(
        {
            Status.INVESTIGATING,
            Status.IDENTIFIED,
            Status.MONITORING,
            Status.RESOLVED,
            Status.MERGED,
            Status.CANCELLED,
        }
    ),
    Status.INVESTIGATING: frozenset({Status.IDENTIFIED, Status.MONITORING, Status.RESOLVED, Status.MERGED, Status.CANCELLED}),
    Status.IDENTIFIED: frozenset({Status.INVESTIGATING, Status.MONITORING, Status.RESOLVED, Status.MERGED, Status.CANCELLED}),
    Status.MONITORING: frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.RESOLVED, Status.MERGED, Status.CANCELLED}),
    Status.RESOLVED: frozenset({Status.CLOSED, Status.INVESTIGATING, Status.TRIGGERED}),
    Status.CLOSED: frozenset(),
    Status.MERGED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""RESOLVED is left by re-opening (to TRIGGERED if it pages, else to INVESTIGATING) or by closing."""


def check_move(incident: Incident, to: Status) -> None:
    """Raise `Refused`, with what to do instead, unless `incident` may go to `to`."""
    if incident.status is to:
        raise Refused(f"{incident.ref} is already {to.value}.")
    if to in FOLLOWS[incident.status]:
        return
    raise Refused(_why_not(incident, to))


def check_open(incident: Incident) -> None:
    """Raise `Refused`, with what to do instead, where `incident` is over."""
    if incident.status is Status.MERGED:
        raise Refused(f"{incident.ref} was merged into INC-{incident.merged_into}. Work goes on there.")
    if incident.status is Status.RESOLVED:
        raise Refused(f"{incident.ref} is resolved. `/incident reopen {incident.ref}` opens it again.")
    if not incident.is_open:
        raise Refused(f"{incident.ref} is {incident.status.value}. Declare a new incident if this is happening again.")


def _why_not(incident: Incident, to: Status) -> str:
    if incident.status is Status.MERGED:
        return f"{incident.ref} was merged into INC-{incident.merged_into}. Work goes on there."
    if not incident.is_open and incident.status is not Status.RESOLVED:
        return f"{incident.ref} is {incident.status.value}. Declare a new incident if this is happening again."
    if incident.status is Status.RESOLVED:
        return f"{incident.ref} is resolved. `/incident reopen {incident.ref}` opens it again."
    allowed = ", ".join(sorted(one.value for one in FOLLOWS[incident.status]))
    return f"{incident.ref} is {incident.status.value} and cannot become {to.value}. It can become: {allowed}."
