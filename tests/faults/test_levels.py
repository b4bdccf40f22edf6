"""What gets worse or better while it fires is one fire, whatever time its sender gives for that; what was over is another."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.builders import NOON
from tests.faults.crossed import Letter, Story, Street, text_of


def datadog(word: str, at: datetime, _: int) -> Any:
    when = str(int(at.timestamp() * 1000))
    return {"alert_id": "1", "alert_title": "Disk", "alert_transition": word, "alert_priority": "P2", "date": when}


def nagios(word: str, at: datetime, number: int) -> Any:
    type_, since = "RECOVERY" if word == "OK" else "PROBLEM", str(int(at.timestamp()))
    about = {"host": "db-1", "service": "Disk", "type": type_, "state": word, "notification_number": str(number)}
    return {**about, "state_since": since, "time": since}


def sentry(word: str, at: datetime, _: int) -> Any:
    if word == "resolved":
        return {"action": word, "data": {"issue": {"id": "1", "title": "Disk"}}}
    event = {"event_id": f"e{at.timestamp()}", "issue_id": "1", "title": "Disk", "level": "error", "datetime": text_of(at)}
    return {"action": "triggered", "data": {"event": event}}


def site24x7(word: str, at: datetime, _: int) -> Any:
    return {"MONITOR_ID": "1", "MONITORNAME": "Disk", "STATUS": word, "INCIDENT_TIME_ISO": text_of(at)}


class Component:
    """One that knows how it stood before."""

    def __init__(self) -> None:
        self.before = "operational"

    def __call__(self, word: str, at: datetime, _: int) -> Any:
        update = {"old_status": self.before, "new_status": word, "created_at": text_of(at)}
        self.before = word
        return {"page": {"id": "p"}, "component": {"id": "1", "name": "Disk"}, "component_update": update}


LEVELS: Mapping[str, tuple[Any, Sequence[str], str]] = {
    "datadog": (datadog, ("Triggered", "Warn", "Triggered", "No Data", "Re-Triggered"), "Recovered"),
    "nagios": (nagios, ("CRITICAL", "WARNING", "CRITICAL", "UNKNOWN", "CRITICAL"), "OK"),
    "sentry": (sentry, ("error", "error", "error", "error"), "resolved"),
    "site24x7": (site24x7, ("TROUBLE", "DOWN", "CRITICAL", "DOWN"), "UP"),
    "statuspage": (
        Component(), ("degraded_performance", "partial_outage", "major_outage", "degraded_performance"), "operational",
    ),
}  # fmt: skip
"""Each sender's words for how bad it is, and its word for well."""


def takes(street: Street, source: str, body: Any) -> None:
    headers = {"content-type": "application/json", "request-id": f"r{street.now.timestamp()}"}
    street.takes(Letter(source, Story(source, source), json.dumps(body).encode(), headers, street.now))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("source", LEVELS)
def test_another_level_is_no_other_fire_and_what_fires_after_its_end_is(store, source):
    built, words, well = LEVELS[source]
    street = Street(store)
    try:
        street.is_empty_at(NOON)
        for number, word in enumerate(words, start=1):
            takes(street, source, built(word, street.now, number))
            street.passes(timedelta(minutes=1))
        [incident] = street.store.incidents(10)
        [alert] = incident.alerts
        assert (alert.is_firing, alert.fires, alert.started_at, alert.flaps.since) == (True, 1, NOON, None)

        takes(street, source, built(well, street.now, 0))
        street.passes(timedelta(minutes=1))
        again = street.now
        takes(street, source, built(words[0], again, 1))
        [incident] = street.store.incidents(10)
        [alert] = incident.alerts
        assert (alert.is_firing, alert.fires, alert.started_at) == (True, 2, again)
    finally:
        street.close()
