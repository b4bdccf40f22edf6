"""Deliveries of several senders at once that overtake each other, get lost and come twice, on the real street.

Each goes through the way in, the inbox and the intake. At the end of each story it is told once more, in the order in which
everything happened and with nothing lost; what then fires, since when, who acknowledged when, and who was paged must be the
same. Two things are not, on purpose: an alert of which we first hear that it is over pages nobody, and the timeline does not
tell what is over before it is heard of.
"""

import argparse
import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bot.alerts.flapping import Flapping
from bot.alerts.matching import LATE
from bot.alerts.registry import source_named, sources
from bot.alerts.source import PagerReport, Source
from bot.handle import Door
from bot.incidents.incident import AlertState, Incident, incident_keyed
from bot.incidents.inputs import PagerReported
from bot.incidents.policy import Policy, RouteRule
from bot.store import Store, migrate
from bot.store.tables import metadata
from bot.web.measures import Measures
from bot.web.webhooks import Webhooks
from bot.worker.due import DueTimers
from bot.worker.intake import Intake
from tests.builders import ANA, BEN, NOON
from tests.faults.matrix import KINDS
from tests.faults.oracle import Wrong
from tests.faults.orders import played_apart, record
from tests.faults.trials import Stage, Trial

SECRET = "crossed-canary-5"
STEPS = 30
TOLD = 60
"""Stories of one trial."""
HOLD = timedelta(minutes=10)
AT_REST = HOLD + Flapping().within
"""After so long whatever is over is resolved: what flapped is watched until it is calm."""
PATIENCE = HOLD - timedelta(minutes=2)
"""Everything arrives before an incident ends by itself: what comes later is of another story."""
POLICY = Policy.model_validate({
    "routes": [RouteRule(name="all", severity="SEV2").model_dump()], "resolve": {"automatic": True, "hold": "10m"},
    "grouping": {"window": "0s"}, "services": {},
})  # fmt: skip
PEOPLE = {"PANA": ANA, "PBEN": BEN}


def text_of(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _group(name: str, start: datetime, end: datetime | None, **more: Any) -> dict[str, Any]:
    labels = {"alertname": name, "service": name, "severity": "critical"}
    status = "firing" if end is None else "resolved"
    one = {"status": status, "labels": labels, "startsAt": text_of(start), "endsAt": text_of(end) if end else "0001-01-01T00:00:00Z"}
    return {"version": "4", "status": status, "alerts": [one | {"fingerprint": f"{name:0>16}"}], **more}


def _alertmanager(name: str, start: datetime, end: datetime | None) -> Any:
    return _group(name, start, end)


def _grafana(name: str, start: datetime, end: datetime | None) -> Any:
    return _group(name, start, end, orgId=1)


def _datadog(name: str, start: datetime, end: datetime | None) -> Any:
    return {
        "alert_id": name, "alert_scope": f"service:{name}", "alert_transition": "Recovered" if end else "Triggered",
        "alert_title": name, "alert_priority": "P1", "date": str(int((end or start).timestamp() * 1000)), "tags": f"service:{name}",
    }  # fmt: skip


def _cloudwatch(name: str, start: datetime, end: datetime | None) -> Any:
    at = end or start
    return {
        "id": f"{name}-{at.timestamp()}", "detail-type": "CloudWatch Alarm State Change", "account": "1", "region": "eu-west-1",
        "resources": [f"arn:aws:cloudwatch:eu-west-1:1:alarm:{name}"],
        "detail": {
            "alarmName": name, "configuration": {"description": f"severity=critical service={name}"},
            "state": {"value": "OK" if end else "ALARM", "timestamp": text_of(at)},
        },
    }  # fmt: skip


def _cloudevents(name: str, start: datetime, end: datetime | None) -> Any:
    at = end or start
    return {
        "specversion": "1.0", "id": f"{name}-{at.timestamp()}", "source": "/jobs", "time": text_of(at),
        "type": f"job.{'resolved' if end else 'firing'}", "subject": name,
        "data": {"title": name, "service": name, "severity": "critical", "dedup_key": name},
    }  # fmt: skip


def _github(name: str, start: datetime, end: datetime | None) -> Any:
    run = {
        "id": _milliseconds(end or start), "name": f"{name}:", "workflow_id": 7, "head_branch": "main", "head_sha": "abc",
        "status": "completed", "conclusion": "success" if end else "failure",
        "run_started_at": text_of(end or start), "updated_at": text_of(end or start),
    }  # fmt: skip
    return {"action": "completed", "workflow_run": run, "repository": {"id": 1, "full_name": name, "default_branch": "main"}}


def _sentry(name: str, start: datetime, end: datetime | None) -> Any:
    if end is not None:
        return {"action": "resolved", "data": {"issue": {"id": name, "title": name, "firstSeen": text_of(start)}}}
    event = {
        "event_id": f"{name}-{start.timestamp()}", "issue_id": name, "title": name, "level": "fatal",
        "received": start.timestamp(), "datetime": text_of(start),
    }  # fmt: skip
    return {"action": "triggered", "data": {"event": event, "triggered_rule": "all"}}


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _azure(name: str, start: datetime, end: datetime | None) -> Any:
    about = {
        "alertId": f"{name}-{start.timestamp()}", "originAlertId": name, "alertRule": name, "severity": "Sev0",
        "signalType": "Metric", "monitorCondition": "Resolved" if end else "Fired", "configurationItems": [name],
        "firedDateTime": text_of(start),
    }  # fmt: skip
    ended = {"resolvedDateTime": text_of(end)} if end else {}
    return {"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": about | ended, "alertContext": {}}}


def _gcp(name: str, start: datetime, end: datetime | None) -> Any:
    # Without an id, for each time that it fires would have another.
    incident = {
        "policy_name": name, "condition_name": name, "resource_name": name, "state": "closed" if end else "open",
        "severity": "Critical", "started_at": int(start.timestamp()), "ended_at": int(end.timestamp()) if end else None,
    }  # fmt: skip
    return {"version": "1.2", "incident": incident}


def _newrelic(name: str, start: datetime, end: datetime | None) -> Any:
    # Without an id, for the same reason.
    return {
        "title": name, "priority": "CRITICAL", "state": "CLOSED" if end else "ACTIVATED", "trigger": "STATE_CHANGE",
        "impactedEntities": [name], "createdAt": _milliseconds(start), "updatedAt": _milliseconds(end or start),
    }  # fmt: skip


def _opsgenie(name: str, start: datetime, end: datetime | None) -> Any:
    about = {
        "alias": name, "message": name, "entity": name, "priority": "P1",
        "createdAt": _milliseconds(start), "updatedAt": _milliseconds(end or start) * 1_000_000,
    }  # fmt: skip
    return {"action": "Close" if end else "Create", "alert": about}


def _pingdom(name: str, start: datetime, end: datetime | None) -> Any:
    return {
        "check_id": name, "check_name": name, "current_state": "UP" if end else "DOWN", "importance_level": "HIGH",
        "check_params": {"hostname": name}, "state_changed_timestamp": int((end or start).timestamp()),
    }  # fmt: skip


def _statuspage(name: str, start: datetime, end: datetime | None) -> Any:
    update = {"new_status": "operational" if end else "major_outage", "created_at": text_of(end or start)}
    return {"page": {"id": "p"}, "component": {"id": name, "name": name}, "component_update": update}


def _vercel(name: str, start: datetime, end: datetime | None) -> Any:
    at = end or start
    return {
        "id": f"{name}-{at.timestamp()}", "type": "deployment.succeeded" if end else "deployment.error",
        "createdAt": _milliseconds(at),
        "payload": {"project": {"id": name}, "deployment": {"id": f"d-{at.timestamp()}", "name": name}, "target": "production"},
    }  # fmt: skip


def _zabbix(name: str, start: datetime, end: datetime | None) -> Any:
    # Without the event's number, for the same reason.
    return {
        "trigger_id": name, "host_name": name, "event_name": name, "event_value": "0" if end else "1", "event_nseverity": "5",
        "event_timestamp": int(start.timestamp()), "event_recovery_timestamp": int(end.timestamp()) if end else "",
    }  # fmt: skip


def _freshping(name: str, start: datetime, end: datetime | None) -> Any:
    at = end or start
    event = {
        "check_id": name, "check_name": name, "check_state_name": "Available" if end else "Not Responding", "request_url": name,
        "request_start_time": text_of(at),
    }  # fmt: skip
    return {"webhook_event_id": f"{name}-{at.timestamp()}", "webhook_event_data": event}


def _generic(name: str, start: datetime, end: datetime | None) -> Any:
    status = "resolved" if end else "firing"
    about = {"title": name, "status": status, "severity": "critical", "service": name, "starts_at": text_of(start)}
    return {**about, "ends_at": text_of(end) if end else None, "changed_at": text_of(end or start)}


def _healthchecks(name: str, start: datetime, end: datetime | None) -> Any:
    return {"code": name, "name": name, "status": "up" if end else "down", "now": text_of(end or start)}


def _kibana(name: str, start: datetime, end: datetime | None) -> Any:
    return {
        "rule_id": name, "rule_name": name, "alert_id": name, "action_group": "recovered" if end else "active",
        "date": text_of(end or start), "started_at": text_of(start), "ended_at": text_of(end) if end else "",
    }  # fmt: skip


def _nagios(name: str, start: datetime, end: datetime | None) -> Any:
    return {
        "type": "RECOVERY" if end else "PROBLEM", "host": name, "state": "UP" if end else "DOWN", "notification_number": "1",
        "state_since": int((end or start).timestamp()),
    }  # fmt: skip


def _netdata(name: str, start: datetime, end: datetime | None) -> Any:
    status, when = "CLEAR" if end else "CRITICAL", int((end or start).timestamp())
    return {"host": name, "name": name, "chart": name, "summary": f"{name}:", "status": status, "when": when}


def _site24x7(name: str, start: datetime, end: datetime | None) -> Any:
    about = {"MONITOR_ID": name, "MONITORNAME": name, "STATUS": "UP" if end else "DOWN"}
    return {**about, "INCIDENT_TIME_ISO": text_of(end or start)}


def _sonarqube(name: str, start: datetime, end: datetime | None) -> Any:
    gate = {"status": "OK" if end else "ERROR"}
    project = {"key": name, "name": f"{name}:"}
    return {"status": "SUCCESS", "changedAt": text_of(end or start), "project": project, "qualityGate": gate}


def _updown(name: str, start: datetime, end: datetime | None) -> Any:
    downtime = {"started_at": text_of(start), "ended_at": text_of(end) if end else None}
    event = {"event": "check.up" if end else "check.down", "time": text_of(end or start), "downtime": downtime}
    return [{**event, "check": {"token": name, "alias": name}}]


def _uptime_kuma(name: str, start: datetime, end: datetime | None) -> Any:
    beat = {"monitorID": name, "status": 1 if end else 0, "time": text_of(end or start), "important": True}
    return {"heartbeat": beat, "monitor": {"id": name, "name": name}, "msg": name}


def _uptimerobot(name: str, start: datetime, end: datetime | None) -> Any:
    about = {"monitorID": name, "monitorFriendlyName": name, "alertType": "2" if end else "1"}
    return {**about, "alertDateTime": int((end or start).timestamp())}


SENDERS: Mapping[str, Callable[[str, datetime, datetime | None], Any]] = {
    "alertmanager": _alertmanager, "grafana": _grafana, "datadog": _datadog, "cloudwatch": _cloudwatch, "sentry": _sentry,
    "azure_monitor": _azure, "gcp_monitoring": _gcp, "newrelic": _newrelic, "opsgenie": _opsgenie, "pingdom": _pingdom,
    "statuspage": _statuspage, "vercel": _vercel, "zabbix": _zabbix, "cloudevents": _cloudevents, "github": _github,
    "freshping": _freshping, "generic": _generic, "healthchecks": _healthchecks, "kibana": _kibana, "nagios": _nagios,
    "netdata": _netdata, "site24x7": _site24x7, "sonarqube": _sonarqube, "updown": _updown, "uptime_kuma": _uptime_kuma,
    "uptimerobot": _uptimerobot,
}  # fmt: skip
GIVES_OLD_STARTS = ("alertmanager", "grafana")
"""Their word may be old for `LATE` only: see `was_overtaken`."""


def since(state: AlertState) -> datetime | None:
    """When it began to fire, where its sender says that; what we fill in depends on what came first."""
    return None if "started_at" in state.filled_in else state.started_at


def named(told: Incident | AlertState) -> str:
    """The alert that it is of; some senders write after its name how it stands."""
    return told.title.partition(":")[0]


@dataclass(slots=True)
class Story:
    """One alert: when it fired and when it was over, in turns."""

    source: str
    name: str
    turns: list[datetime] = field(default_factory=list)

    @property
    def fires(self) -> bool:
        """Whether it does in the end."""
        return len(self.turns) % 2 == 1


@dataclass(slots=True)
class Letter:
    """A delivery: of a turn of an alert, or an acknowledgement in PagerDuty."""

    source: str
    story: Story
    body: bytes
    headers: dict[str, str]
    at: datetime
    turn: int | None = None
    person: str = ""

    @property
    def is_fire(self) -> bool:
        return self.turn is not None and self.turn % 2 == 0


@dataclass(frozen=True, slots=True)
class End:
    """What is left of a story."""

    firing: frozenset[tuple[str, datetime]]
    """Which alerts fire in open incidents, and since when."""
    acks: Mapping[str, tuple[datetime | None, str | None]]
    """Of each alert that was ever paged for: when and by whom."""
    pages: Counter[str]
    facts: frozenset[tuple[str, str, datetime]]
    """What the timelines tell of each alert, and when that was."""
    open: frozenset[str]


class Street:
    """A bot without its threads, on a record that is there."""

    def __init__(self, store: Store, readers: Mapping[str, Source] | None = None) -> None:
        """`readers` are the sources as whoever reads the inbox knows them."""
        readers = sources() if readers is None else readers
        self.store, self.now, self.loop = store, NOON, asyncio.new_event_loop()
        self.writer = store.inbox_writer(lambda: None)
        clock = lambda: self.now  # noqa: E731
        self.door = Door(store, clock, lambda: POLICY, lambda: ())
        self.timers = DueTimers(store=store, door=self.door)
        self.webhooks = Webhooks(
            sources=sources(), secrets_of=lambda name, route: (SECRET,), mapping_of=lambda route: {}, inbox=self.writer, clock=clock,
            wall_clock=clock, measures=Measures(),
        )  # fmt: skip
        shared: dict[str, Any] = {"sources": readers, "report": _told, "store": store, "door": self.door}
        self.intakes = (Intake(**shared, but="pagerduty"), Intake(**shared, only="pagerduty"))

    def close(self) -> None:
        """Stop."""
        self.writer.close()
        self.loop.close()

    def is_empty_at(self, at: datetime) -> None:
        """Begin anew."""
        with self.store.writing() as work:
            for table in metadata.sorted_tables:
                work.connection.execute(table.delete())
        self.now = at

    def takes(self, letter: Letter) -> None:
        """A delivery comes in, and is read."""
        source = source_named(letter.source)
        signed = {name.lower(): value for name, value in source.sign(letter.body, SECRET, self.now).items()}
        headers = [(name.encode(), value.encode()) for name, value in (signed | letter.headers).items()]
        scope = {"type": "http", "method": "POST", "path": f"/hooks/{letter.source}/main", "query_string": b"", "headers": headers}
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": letter.body}

        async def send(message: Any) -> None:
            said.append(message)

        self.loop.run_until_complete(self.webhooks(scope, receive, send))  # type: ignore[arg-type]
        assert said[0]["status"] == 202, said
        for intake in self.intakes:
            while intake.run_once():
                pass
        assert self.store.inbox_depth() == {}

    def passes(self, span: timedelta) -> None:
        """Time; what falls due is done."""
        self.now += span
        while self.timers.run_once():
            pass

    def incident_of(self, name: str) -> Incident | None:
        """The newest incident of an alert."""
        return next((one for one in self.store.incidents(500) if one.service == name or named(one) == name), None)

    def end(self) -> End:
        """How everything stands."""
        found = self.store.incidents(500)
        names = {one.number: named(one) for one in found}
        facts = [
            (names[one.number], entry.type, entry.at)
            for one in found
            for entry in self.store.timeline(one.ref)
            if entry.type in ("alert_started", "alert_resolved", "ack")
        ]
        assert len(facts) == len(set(facts)), f"told twice: {Counter(facts).most_common(1)}"
        return End(
            firing=frozenset((named(state), since(state)) for one in found if one.is_open for state in one.firing),
            acks={named(one): (one.episode.acknowledged_at, one.episode.acknowledged_by) for one in found},
            pages=Counter(named(one) for one in found for episode in one.episodes if episode.pages),
            facts=frozenset(facts),
            open=frozenset(named(one) for one in found if one.is_open),
        )


def _told(report: PagerReport) -> PagerReported | str:
    number = incident_keyed(report.key or "")
    return "not ours" if number is None else PagerReported(number, report, person=PEOPLE[report.person or ""])


class Crossed(RuleBasedStateMachine):
    """Alerts of those senders that tell the order, one of each, and people who acknowledge; each rule is something that happens,
    or arrives, or does not."""

    street: ClassVar[Street]
    senders: ClassVar[tuple[str, ...]] = tuple(SENDERS)
    seen: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        """Nothing has happened yet."""
        self.street.is_empty_at(NOON)
        self.stories = {source: Story(source, source) for source in self.senders}
        self.letters: list[Letter] = []
        self.on_its_way: list[Letter] = []
        self.arrived: list[Letter] = []
        self.heard_end: dict[str, tuple[datetime, datetime]] = {}
        """Of each alert, the latest end that was heard of: when it was, and when that was heard."""
        self.must_page: set[str] = set()

    # --- what happens -------------------------------------------------------------------------

    @precondition(lambda self: self.street.now - NOON < PATIENCE)
    @rule(at=some.integers(0, 50))
    def turns(self, at: int) -> None:
        """An alert fires, or is over; its sender says so."""
        self.passes(1)
        story = self.stories[self.senders[at % len(self.senders)]]
        story.turns.append(self.street.now)
        turn = len(story.turns) - 1
        start, end = story.turns[turn - turn % 2], (self.street.now if turn % 2 else None)
        headers = {"content-type": "application/json"}
        if story.source == "sentry":
            resource = "issue" if end else "event_alert"
            headers |= {"sentry-hook-resource": resource, "sentry-hook-timestamp": str(int(self.street.now.timestamp()))}
            headers |= {"request-id": f"{story.name}-{turn}"}
        body = json.dumps(SENDERS[story.source](story.name, start, end)).encode()
        self.sends(Letter(story.source, story, body, headers, self.street.now, turn))

    @precondition(lambda self: self.waiting())
    @rule(at=some.integers(0, 20), person=some.sampled_from(tuple(PEOPLE)))
    def is_acknowledged(self, at: int, person: str) -> None:
        """Somebody picks up the phone; PagerDuty says so."""
        self.passes(1)
        waiting = self.waiting()
        incident = waiting[at % len(waiting)]
        story = self.stories[named(incident)]
        self.sends(self.acknowledgement(story, incident, person, self.street.now))

    def acknowledgement(self, story: Story, incident: Incident, person: str, at: datetime) -> Letter:
        key = incident.episode.dedup_key
        data = {"id": f"P{story.name}", "type": "incident", "incident_key": key, "status": "acknowledged", "assignees": []}
        agent = {"id": person, "type": "user_reference", "summary": person}
        event = {
            "id": f"E{story.name}",
            "event_type": "incident.acknowledged",
            "occurred_at": text_of(at),
            "agent": agent,
            "data": data,
        }
        body = json.dumps({"event": event}).encode()
        return Letter("pagerduty", story, body, {"x-webhook-id": f"ack-{story.name}"}, at, person=person)

    def waiting(self) -> list[Incident]:
        """Pages that nobody has picked up, as far as PagerDuty knows."""
        picked_up = {letter.story.name for letter in self.letters if letter.person}
        found = self.street.store.incidents(500)
        return [one for one in found if one.is_open and one.episode.pages and named(one) not in picked_up]

    def sends(self, letter: Letter) -> None:
        self.letters.append(letter)
        self.on_its_way.append(letter)

    @precondition(lambda self: self.on_its_way)
    @rule(at=some.integers(0, 50))
    def arrives(self, at: int) -> None:
        """Any of what is on its way arrives."""
        index = at % len(self.on_its_way)
        self.seen["overtook"] += index > 0
        self.hears(self.on_its_way.pop(index))

    @precondition(lambda self: self.arrived)
    @rule(at=some.integers(0, 50))
    def arrives_again(self, at: int) -> None:
        """What arrived arrives once more: its sender did not hear that it was taken."""
        letter = self.arrived[at % len(self.arrived)]
        heard = self.heard_end.get(letter.story.name)
        if letter.source in GIVES_OLD_STARTS and letter.is_fire and heard and self.street.now - heard[1] > LATE:
            # By then it means that it fires again.
            return
        self.seen["again"] += 1
        self.street.takes(letter)

    @precondition(lambda self: self.on_its_way)
    @rule(at=some.integers(0, 50))
    def is_lost(self, at: int) -> None:
        """It is lost; its sender tries again, after all that is on its way by now."""
        self.seen["lost"] += 1
        self.on_its_way.append(self.on_its_way.pop(at % len(self.on_its_way)))

    @rule(seconds=some.sampled_from((1, 7, 20)))
    def time_passes(self, seconds: int) -> None:
        """Not long enough for an incident to end by itself."""
        if self.street.now - NOON < PATIENCE:
            self.passes(seconds)

    def passes(self, seconds: int) -> None:
        # What may be old for a while only, comes within that while.
        soon = self.street.now + timedelta(seconds=seconds)
        for letter in [one for one in self.on_its_way if self.is_due(one, soon)]:
            self.on_its_way.remove(letter)
            self.hears(letter)
        self.street.passes(timedelta(seconds=seconds))

    def is_due(self, letter: Letter, at: datetime) -> bool:
        heard = self.heard_end.get(letter.story.name)
        return letter.source in GIVES_OLD_STARTS and letter.is_fire and heard is not None and at - heard[1] > LATE

    def hears(self, letter: Letter) -> None:
        story = letter.story.name
        heard = self.heard_end.get(story)
        if letter.turn is not None and not letter.is_fire and (heard is None or letter.at > heard[0]):
            self.heard_end[story] = letter.at, self.street.now
        elif letter.is_fire and (heard is None or letter.at > heard[0]):
            self.must_page.add(story)
        self.seen[letter.source] += 1
        self.arrived.append(letter)
        self.street.takes(letter)

    # --- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Everything arrives, last in first; then the same once more in its order."""
        if not hasattr(self, "stories"):
            return
        while self.on_its_way:
            self.hears(self.on_its_way.pop())
        self.street.passes(timedelta(0))
        found, until = self.street.end(), self.street.now
        self.street.passes(AT_REST)
        later = self.street.end()
        wanted, wanted_later = self.in_order(until)
        self.is_the_same(found, wanted)
        assert later.open == wanted_later.open == {name for name, one in self.stories.items() if one.fires}, (
            later.open,
            wanted_later.open,
        )

    def in_order(self, until: datetime) -> tuple[End, End]:
        """The end of the same, with nothing late, lost or twice."""
        self.street.is_empty_at(NOON)
        for letter in self.letters:
            self.street.passes(letter.at - self.street.now)
            if letter.person:
                incident = self.street.incident_of(letter.story.name)
                assert incident is not None
                letter = self.acknowledgement(letter.story, incident, letter.person, letter.at)
            self.street.takes(letter)
        self.street.passes(until - self.street.now)
        found = self.street.end()
        self.street.passes(AT_REST)
        return found, self.street.end()

    def is_the_same(self, found: End, wanted: End) -> None:
        """As far as it can be: see the head of this file."""
        assert found.firing == wanted.firing, (found.firing, wanted.firing)
        assert {name for name, _ in found.firing} == {name for name, one in self.stories.items() if one.fires}
        assert {name: found.pages[name] for name in found.pages} == dict.fromkeys(self.must_page, 1)
        assert wanted.pages == Counter(dict.fromkeys((name for name, one in self.stories.items() if one.turns), 1))
        assert found.acks == {name: wanted.acks[name] for name in found.acks}
        assert found.facts <= wanted.facts, f"never happened: {found.facts - wanted.facts}"
        # What is left out is only of turns that were over before they were heard of.
        assert {one for one in wanted.facts - found.facts if one[1] == "ack"} == set()
        self.seen["overtaken"] += len(wanted.facts) > len(found.facts)


def play(
    number: int,
    examples: int,
    store: Store,
    machine: type[Crossed] = Crossed,
    *,
    shrinks: bool = True,
    readers: Mapping[str, Source] | None = None,
) -> Counter[str]:
    """So many stories, drawn by that seed; what happened in them. Raises AssertionError with the shortest that goes wrong, or,
    where nobody will read it, with the first.
    """
    machine.street, machine.seen = Street(store, readers), Counter()
    given = settings(
        max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,), print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(number)(machine), settings=given)
    finally:
        machine.street.close()
    return machine.seen


@contextmanager
def at(url: str) -> Iterator[Store]:
    """A record at an address where nothing is yet."""
    store = Store.at(url)
    try:
        migrate.upgrade(store.engine)
        yield store
    finally:
        store.close()


def trials(seeds: range) -> Iterator[Trial]:
    """So many stories on each database with each seed, in a process of its own."""
    for seed_ in seeds:
        for database in KINDS:
            yield Trial("C2 deliveries of several senders, late, lost and twice", database, seed_, _played)


def _played(stage: Stage) -> Iterator[Wrong]:
    place = ("--database", stage.url) if stage.database == "postgresql" else ()
    said = played_apart("tests.faults.crossed", "--seed", str(stage.seed), "--examples", str(TOLD), *place)
    if isinstance(said, Wrong):
        yield said
    else:
        stage.met(TOLD)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crossed", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--database", help="an empty one, rather than one in memory")
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with at(chosen.database) if chosen.database else record() as one:
        print(play(chosen.seed, chosen.examples, one))
