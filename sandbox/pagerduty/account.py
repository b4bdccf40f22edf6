"""Services, on-call, incidents, and what happens to them: notified, acknowledged, escalated by time, resolved."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sandbox.cast import BY_PAGER, CAST, LEVELS, SERVICES, ZONE
from sandbox.world import World

Json = dict[str, Any]
POLICY, LEADS = "PEPDEMO", "PEPLEAD"
POLICIES = {POLICY: "Everybody in turn", LEADS: "Second level first"}
ESCALATE_AFTER = timedelta(minutes=15)
PHONE_AFTER = timedelta(minutes=1)


@dataclass
class Service:
    """A service that can ring, with its Events v2 key."""

    id: str
    name: str
    key: str


@dataclass
class Incident:
    """One of PagerDuty's incidents."""

    id: str
    number: int
    service: Service
    key: str
    title: str
    urgency: str
    created_at: datetime
    status: str = "triggered"
    policy: str = POLICY
    level: int = 1
    assignees: list[str] = field(default_factory=list)
    acknowledged_by: str = ""
    changed_at: datetime | None = None
    escalates_at: datetime | None = None
    phones_at: datetime | None = None
    log: list[Json] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)


def iso(at: datetime) -> str:
    """PagerDuty's way to write a time in its webhooks."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def whole(at: datetime) -> str:
    """PagerDuty's way to write a time in its REST API: in whole seconds."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


class Account:
    """Everything in PagerDuty. Callers hold `world.lock`. `tell` is called with each event for the webhooks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.services = {name: Service(f"PS{name.upper()[:5]:0<5}", name, f"sandbox{name:_<25}"[:32]) for name in SERVICES}
        self.incidents: list[Incident] = []
        self.ledger: list[Json] = []
        self.levels = list(LEVELS)
        """Who is on call, level by level; empty for a level at which nobody is."""
        self.leads: list[str] = []
        """The same for the other escalation policy, which nobody is on unless a test says so."""
        self.emails = {one.pager: one.email for one in CAST if one.pager}
        self.tell: Callable[[str, Incident, Json | None, Json | None], None] = lambda *given: None

    def levels_of(self, policy: str) -> list[str]:
        """Who is on call by an escalation policy, level by level."""
        return self.levels if policy == POLICY else self.leads

    def service_of_key(self, key: str) -> Service | None:
        """The service that a routing key rings."""
        return next((one for one in self.services.values() if one.key == key), None)

    def open_with(self, service: Service, key: str) -> Incident | None:
        """The open incident of a dedup key."""
        return next(
            (one for one in self.incidents if one.service is service and one.key == key and one.status != "resolved"),
            None,
        )

    def find(self, id_: str) -> Incident | None:
        """An incident by id or number."""
        return next((one for one in self.incidents if id_ in (one.id, str(one.number))), None)

    # --- what happens -------------------------------------------------------------------------

    def enqueue(self, service: Service, event: Json) -> Json:
        """An event of Events v2 that was accepted; its line of the ledger, with its dedup key.

        Whoever answers for it adds when that answer had gone out: `answered`, in seconds since 1970.
        """
        key = str(event.get("dedup_key") or uuid4().hex)
        line = {"at": iso(self.world.clock()), "service": service.name, **event, "dedup_key": key}
        self.ledger.append(line)
        known = self.open_with(service, key)
        action = event["event_action"]
        if action == "trigger" and known is None and any(self.levels):
            # Without anybody on call at any level, PagerDuty takes the event and makes no incident of it.
            self._open(service, key, event["payload"])
        elif action == "acknowledge" and known is not None and known.status == "triggered":
            self.acknowledge(known, None)
        elif action == "resolve" and known is not None:
            self.resolve(known, None)
        return line

    def _open(self, service: Service, key: str, payload: Json) -> Incident:
        urgency = "high" if payload.get("severity") in ("critical", "error") else "low"
        return self._begin(service, key, str(payload.get("summary", "")), urgency, POLICY, None)

    def create(self, service: Service, key: str, title: str, urgency: str, policy: str, user: str) -> Incident:
        """An incident that a user opened over REST. Assigned to that very user, it is acknowledged from the start."""
        incident = self._begin(service, key, title, urgency, policy, user)
        if incident.assignees == [user]:
            self.acknowledge(incident, user)
        return incident

    def _begin(self, service: Service, key: str, title: str, urgency: str, policy: str, user: str | None) -> Incident:
        number = len(self.incidents) + 1
        now = self.world.clock()
        incident = Incident(
            f"Q0SBX{number:04d}", number, service, key, title, urgency, now, policy=policy, changed_at=now,
        )  # fmt: skip
        self.incidents.append(incident)
        self._log(incident, "trigger", user_ref(user) if user else _service_agent(service), channel={"type": "api"})
        self._assign(incident, next(level for level, one in enumerate(self.levels_of(policy), start=1) if one))
        self.tell("triggered", incident, user_ref(user) if user else None, None)
        return incident

    def _assign(self, incident: Incident, level: int) -> None:
        """Assign to whoever is on call at a level, and notify them."""
        levels = self.levels_of(incident.policy)
        incident.level = level
        incident.assignees = [levels[level - 1]]
        now = self.world.clock()
        incident.escalates_at = now + ESCALATE_AFTER if level < len(levels) else None
        incident.phones_at = now + PHONE_AFTER
        kind = "escalate" if any(one["type"] == "assign_log_entry" for one in incident.log) else "assign"
        self._log(incident, kind, _service_agent(incident.service), assignees=[user_ref(one) for one in incident.assignees])
        self._notify(incident, "push_notification" if incident.urgency == "high" else "email_notification")

    def _notify(self, incident: Incident, kind: str) -> None:
        for user in incident.assignees:
            self._log(
                incident, "notify", _service_agent(incident.service), user=user_ref(user),
                channel={"type": "auto", "notification": {"type": kind, "status": "success", "address": "…"}},
            )  # fmt: skip

    def acknowledge(self, incident: Incident, user: str | None) -> None:
        """Somebody is on it; `user` is None where only a key said so."""
        incident.status, incident.acknowledged_by = "acknowledged", user or ""
        incident.escalates_at = incident.phones_at = None
        agent = user_ref(user) if user else _service_agent(incident.service)
        self._log(incident, "acknowledge", agent, channel={"type": "mobile" if user else "api"})
        self.tell("acknowledged", incident, agent, None)

    def unacknowledge(self, incident: Incident) -> None:
        """An acknowledgement ran out, or was taken back."""
        incident.status, incident.acknowledged_by = "triggered", ""
        self._log(incident, "unacknowledge", _service_agent(incident.service), channel={"type": "timeout"})
        self._notify(incident, "push_notification")
        self.tell("unacknowledged", incident, None, None)

    def resolve(self, incident: Incident, user: str | None) -> None:
        """It is over."""
        incident.status = "resolved"
        incident.escalates_at = incident.phones_at = None
        agent = user_ref(user) if user else _service_agent(incident.service)
        self._log(incident, "resolve", agent, channel={"type": "mobile" if user else "api"})
        self.tell("resolved", incident, agent, None)

    def escalate(self, incident: Incident, level: int, user: str | None) -> None:
        """To a level; somebody asked, or time did."""
        levels = self.levels_of(incident.policy)
        if level <= len(levels) and levels[level - 1] and level != incident.level:
            self._assign(incident, level)
            agent = user_ref(user) if user else _service_agent(incident.service)
            self.tell("escalated", incident, agent, None)

    def annotate(self, incident: Incident, text: str, user: str) -> Json:
        """A note on an incident."""
        note = {"id": f"PN{uuid4().hex[:8].upper()}", "user": user_ref(user), "content": text,
                "created_at": whole(self.world.clock())}  # fmt: skip
        incident.notes.append(note)
        self._log(incident, "annotate", user_ref(user), note=text, channel={"type": "note", "summary": text})
        self.tell("annotated", incident, user_ref(user), note)
        return note

    def tick(self) -> None:
        """What time brings: the phone call after the push, the next level after a quarter of an hour."""
        with self.world.lock:
            now = self.world.clock()
            for incident in self.incidents:
                if incident.status != "triggered":
                    continue
                if incident.phones_at is not None and incident.phones_at <= now:
                    incident.phones_at = None
                    if incident.urgency == "high":
                        self._notify(incident, "phone_notification")
                if incident.escalates_at is not None and incident.escalates_at <= now:
                    self.escalate(incident, incident.level + 1, None)

    def due(self) -> datetime | None:
        """When time next brings something."""
        with self.world.lock:
            rung = [one for one in self.incidents if one.status == "triggered"]
            moments = [at for one in rung for at in (one.phones_at, one.escalates_at) if at is not None]
        return min(moments, default=None)

    def _log(self, incident: Incident, kind: str, agent: Json, **more: Any) -> None:
        now = self.world.clock()
        incident.changed_at = now
        entry = {
            "id": f"R{uuid4().hex[:20].upper()}", "type": f"{kind}_log_entry", "summary": f"{kind}", "self": None,
            "html_url": None, "created_at": whole(now), "agent": agent, "channel": {"type": "auto"},
            "incident": incident_ref(self.world, incident), "service": service_ref(incident.service), "teams": [],
            "contexts": [], "event_details": {}, **more,
        }  # fmt: skip
        incident.log.append(entry)
        self.world.changed("phones", "pagerduty")

    # --- as the REST API hands it out ---------------------------------------------------------

    def incident_json(self, incident: Incident) -> Json:
        """An incident object."""
        at = whole(incident.changed_at or incident.created_at)
        acks = [{"at": at, "acknowledger": user_ref(incident.acknowledged_by)}] if incident.acknowledged_by else []
        return {
            **incident_ref(self.world, incident), "type": "incident", "incident_number": incident.number,
            "title": incident.title, "description": incident.title, "created_at": whole(incident.created_at),
            "updated_at": at, "status": incident.status, "incident_key": incident.key,
            "service": service_ref(incident.service), "urgency": incident.urgency,
            "assignments": [{"at": at, "assignee": user_ref(one)} for one in self._assigned(incident)],
            "assigned_via": "escalation_policy", "acknowledgements": acks, "last_status_change_at": at,
            "last_status_change_by": service_ref(incident.service), "escalation_policy": policy_ref(incident.policy),
            "responder_requests": list(incident.requests), "teams": [], "pending_actions": [], "is_mergeable": True,
            "resolve_reason": None, "resolved_at": at if incident.status == "resolved" else None,
            "alert_counts": {"all": 1, "triggered": int(incident.status != "resolved"),
                             "resolved": int(incident.status == "resolved")},
        }  # fmt: skip

    def _assigned(self, incident: Incident) -> list[str]:
        if incident.status == "resolved":
            return []
        return [incident.acknowledged_by] if incident.acknowledged_by else incident.assignees


def user_ref(id_: str) -> Json:
    """A reference to a user."""
    person = BY_PAGER.get(id_)
    name = person.real_name if person else id_
    return {"id": id_, "type": "user_reference", "summary": name, "self": None, "html_url": None}


def user_json(id_: str, email: str) -> Json:
    """A user object."""
    person = BY_PAGER[id_]
    return {
        "id": id_, "type": "user", "summary": person.real_name, "self": None, "html_url": None,
        "name": person.real_name, "email": email, "time_zone": ZONE, "color": "green", "role": "user",
        "avatar_url": "https://example.com/avatar.png", "description": person.title, "invitation_sent": False,
        "contact_methods": [], "notification_rules": [], "job_title": person.title, "teams": [],
    }  # fmt: skip


def service_ref(service: Service) -> Json:
    """A reference to a service."""
    return {"id": service.id, "type": "service_reference", "summary": service.name, "self": None, "html_url": None}


def policy_ref(id_: str = POLICY) -> Json:
    """A reference to an escalation policy."""
    return {"id": id_, "type": "escalation_policy_reference", "summary": POLICIES[id_], "self": None,
            "html_url": None}  # fmt: skip


def incident_ref(world: World, incident: Incident) -> Json:
    """A reference to an incident."""
    return {
        "id": incident.id, "type": "incident_reference", "summary": f"[#{incident.number}] {incident.title}",
        "self": f"{world.origin}/pagerduty/api/incidents/{incident.id}",
        "html_url": f"{world.origin}/pagerduty/incidents/{incident.id}",
    }  # fmt: skip


def _service_agent(service: Service) -> Json:
    return {**service_ref(service), "type": "service_reference"}


def with_pager() -> list[str]:
    """Everybody who has a phone."""
    return [one.pager for one in CAST if one.pager]
