"""Events v2 and the part of the REST API that the bot uses, with PagerDuty's errors and limits.

https://developer.pagerduty.com/api-reference
"""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sandbox.cast import BY_PAGER, CAST
from sandbox.pagerduty.account import (
    POLICIES,
    Account,
    Incident,
    Json,
    incident_ref,
    iso,
    policy_ref,
    service_ref,
    user_json,
    user_ref,
    whole,
    with_pager,
)

EVENTS_PER_MINUTE = 120
TOO_QUICK = {"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly."}
TOO_MANY = {"error": {"message": "Rate Limit Exceeded", "code": 2020}}
CREATED = "2026-01-05T09:00:00Z"
SCHEDULE = {"id": "PSCHED1", "type": "schedule_reference", "summary": "Week by week", "self": None, "html_url": None}
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")


class PagerError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, message: str, code: int, errors: list[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "code": code, **({"errors": errors} if errors else {})}}


class Events:
    """POST /v2/enqueue."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._sent: dict[str, list[float]] = {}

    def enqueue(self, event: Any) -> tuple[int, Json, Json | None]:
        """Take an event; status, body, and the line of the ledger that it has made, if any."""
        wrong = _wrong_event(event)
        if wrong:
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}, None
        service = self._account.service_of_key(event["routing_key"])
        if service is None:
            return 400, {"status": "invalid event", "message": "Event object is invalid",
                         "errors": ["Invalid routing key"]}, None  # fmt: skip
        if self._account.world.is_strict and self._too_many(event["routing_key"]):
            return 429, dict(TOO_QUICK), None
        with self._account.world.lock:
            line = self._account.enqueue(service, event)
        self._account.world.committed("enqueue")
        return 202, {"status": "success", "message": "Event processed", "dedup_key": line["dedup_key"]}, line

    def _too_many(self, key: str) -> bool:
        now = time.monotonic()
        sent = [at for at in self._sent.get(key, []) if now - at < 60]
        self._sent[key] = [*sent, now]
        return len(sent) >= EVENTS_PER_MINUTE


def _wrong_event(event: Any) -> list[str]:
    if not isinstance(event, dict):
        return ["the body must be a JSON object"]
    wrong = []
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != 32:
        wrong.append("'routing_key' is missing or of the wrong length")
    if event.get("event_action") not in ACTIONS:
        wrong.append(f"'event_action' must be one of {', '.join(ACTIONS)}")
    if len(str(event.get("dedup_key") or "")) > 255:
        wrong.append("'dedup_key' is too long (maximum is 255)")
    if event.get("event_action") == "trigger":
        wrong += _wrong_payload(event.get("payload"))
        wrong += ["'links' need an href" for one in event.get("links") or [] if not one.get("href")]
    elif not event.get("dedup_key"):
        wrong.append("'dedup_key' is missing")
    return wrong


def _wrong_payload(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing"]
    wrong = [f"'payload.{name}' is missing or blank" for name in ("summary", "source", "severity")
             if not payload.get(name)]  # fmt: skip
    if len(str(payload.get("summary", ""))) > 1024:
        wrong.append("'payload.summary' is too long (maximum is 1024)")
    if payload.get("severity") and payload["severity"] not in SEVERITIES:
        wrong.append(f"'payload.severity' must be one of {', '.join(SEVERITIES)}")
    return wrong


class Rest:
    """The REST API: a list of routes, each a method of the same name."""

    def __init__(self, account: Account, subscriptions: Callable[[str, str, Json], tuple[int, Json]]) -> None:
        self._account, self._world = account, account.world
        self._subscriptions = subscriptions
        self._routes: tuple[tuple[str, str, Callable[..., tuple[int, Json]]], ...] = (
            ("GET", r"/abilities", self.abilities),
            ("GET", r"/users", self.users),
            ("GET", r"/users/(\w+)", self.user),
            ("GET", r"/oncalls", self.oncalls),
            ("GET", r"/services", self.services),
            ("GET", r"/services/(\w+)", self.service),
            ("GET", r"/escalation_policies", self.policies),
            ("GET", r"/escalation_policies/(\w+)", self.policy),
            ("GET", r"/incidents", self.incidents),
            ("POST", r"/incidents", self.create),
            ("GET", r"/incidents/(\w+)", self.incident),
            ("PUT", r"/incidents/(\w+)", self.change),
            ("GET", r"/incidents/(\w+)/log_entries", self.log_entries),
            ("GET", r"/incidents/(\w+)/notes", self.notes),
            ("POST", r"/incidents/(\w+)/notes", self.add_note),
            ("POST", r"/incidents/(\w+)/responder_requests", self.request_responders),
        )

    def call(self, method: str, path: str, token: str, sender: str, query: dict[str, list[str]], body: Any) -> tuple[int, Json]:
        """One call; (status, body). Raises PagerError."""
        if token != self._world.pagerduty_token:
            raise PagerError(401, "Unauthorized", 2006)
        if not isinstance(body, dict):
            raise PagerError(400, "Invalid Input Provided", 2001, ["The body is not a JSON object"])
        if path.startswith("/webhook_subscriptions"):
            answered = self._subscriptions(method, path, body)
            if path.endswith("/enable"):
                self._world.committed("enable")
            return answered
        for verb, pattern, handler in self._routes:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                with self._world.lock:
                    answer = handler(*found.groups(), query=query, body=body, sender=sender)
                if verb != "GET":
                    self._world.committed(verb.lower())
                return answer
        raise PagerError(404, "Not Found", 2100)

    def abilities(self, **given: Any) -> tuple[int, Json]:
        return 200, {"abilities": ["sso", "teams", "coordinated_responding", "urgencies"]}

    def users(self, query: dict[str, list[str]], **given: Any) -> tuple[int, Json]:
        word = query.get("query", [""])[0].lower()
        emails = self._account.emails
        found = [one for one in CAST if one.pager and (word in emails[one.pager] or word in one.real_name.lower())]
        return 200, {"users": [user_json(one.pager, emails[one.pager]) for one in found], **_page(len(found))}

    def user(self, id_: str, **given: Any) -> tuple[int, Json]:
        if id_ not in BY_PAGER:
            raise PagerError(404, "Not Found", 2100)
        return 200, {"user": user_json(id_, self._account.emails[id_])}

    def oncalls(self, query: dict[str, list[str]], **given: Any) -> tuple[int, Json]:
        # Level 1 changes every Monday; the others are always on call, which PagerDuty shows as no end.
        now = self._world.clock()
        monday = (now - timedelta(days=now.weekday())).replace(hour=9, minute=0, second=0)
        week = {"schedule": SCHEDULE, "start": whole(monday), "end": whole(monday + timedelta(days=7))}
        wanted = query.get("escalation_policy_ids[]", list(POLICIES))
        found = [
            {"escalation_policy": policy_ref(id_), "escalation_level": level, "user": user_ref(user), "start": None,
             "end": None, **(week if level == 1 else {})}
            for id_ in POLICIES if id_ in wanted
            for level, user in enumerate(self._account.levels_of(id_), start=1) if user
        ]  # fmt: skip
        return 200, {"oncalls": found, **_page(len(found))}

    def services(self, **given: Any) -> tuple[int, Json]:
        found = [self._service(one) for one in self._account.services.values()]
        return 200, {"services": found, **_page(len(found))}

    def service(self, id_: str, **given: Any) -> tuple[int, Json]:
        found = next((one for one in self._account.services.values() if one.id == id_), None)
        if found is None:
            raise PagerError(404, "Not Found", 2100)
        return 200, {"service": self._service(found)}

    def _service(self, service: Any) -> Json:
        return {**service_ref(service), "type": "service", "name": service.name, "status": "active",
                "description": f"Everything about {service.name}", "created_at": CREATED, "escalation_policy": policy_ref(),
                "teams": [], "integrations": [], "alert_creation": "create_alerts_and_incidents"}  # fmt: skip

    def policies(self, **given: Any) -> tuple[int, Json]:
        return 200, {"escalation_policies": [self._policy(id_) for id_ in POLICIES], **_page(len(POLICIES))}

    def policy(self, id_: str, **given: Any) -> tuple[int, Json]:
        if id_ not in POLICIES:
            raise PagerError(404, "Not Found", 2100)
        return 200, {"escalation_policy": self._policy(id_)}

    def _policy(self, id_: str) -> Json:
        rules = [{"id": f"PR{level}", "escalation_delay_in_minutes": 15, "targets": [user_ref(user)]}
                 for level, user in enumerate(self._account.levels_of(id_), start=1) if user]  # fmt: skip
        return {**policy_ref(id_), "type": "escalation_policy", "name": POLICIES[id_], "escalation_rules": rules,
                "services": [], "num_loops": 0, "teams": [], "description": "One after the other",
                "on_call_handoff_notifications": "if_has_services"}  # fmt: skip

    def incidents(self, query: dict[str, list[str]], **given: Any) -> tuple[int, Json]:
        key = query.get("incident_key", [""])[0]
        statuses = query.get("statuses[]", [])
        found = [
            one for one in self._account.incidents
            if (not key or one.key == key) and (not statuses or one.status in statuses)
        ]  # fmt: skip
        offset, limit = _span(query)
        shown = [self._account.incident_json(one) for one in found[offset : offset + limit]]
        return 200, {"incidents": shown, **_page(len(found), offset, limit)}

    def create(self, body: Json, sender: str, **given: Any) -> tuple[int, Json]:
        user, wish = self._user_of(sender), body.get("incident")
        if not isinstance(wish, dict) or wish.get("type") != "incident" or not str(wish.get("title") or "").strip():
            raise PagerError(400, "Invalid Input Provided", 2001, ["Incident type or title is missing"])
        service = next((one for one in self._account.services.values() if one.id == _id(wish, "service")), None)
        if service is None:
            raise PagerError(400, "Invalid Input Provided", 2001, ["Service Not Found"])
        policy = _id(wish, "escalation_policy") or next(iter(POLICIES))
        if policy not in POLICIES:
            raise PagerError(400, "Invalid Input Provided", 2001, ["Escalation Policy Not Found"])
        key = str(wish.get("incident_key") or uuid4().hex)
        if self._account.open_with(service, key) is not None:
            said = "Open incident with matching dedup key already exists on this service"
            raise PagerError(400, "Invalid Input Provided", 2001, [said])
        if not any(self._account.levels_of(policy)):
            raise PagerError(400, "No User On Call", 1015, ["The escalation policy has no user on call"])
        incident = self._account.create(service, key, str(wish["title"]), str(wish.get("urgency") or "high"), policy, user)
        self._account.ledger.append({"at": iso(self._world.clock()), "posted": incident.id, "from": sender, **wish})
        return 201, {"incident": self._account.incident_json(incident)}

    def incident(self, id_: str, **given: Any) -> tuple[int, Json]:
        return 200, {"incident": self._account.incident_json(self._found(id_))}

    def change(self, id_: str, body: Json, sender: str, **given: Any) -> tuple[int, Json]:
        incident, user = self._found(id_), self._user_of(sender)
        wish = body.get("incident")
        if not isinstance(wish, dict) or wish.get("type") not in ("incident", "incident_reference"):
            raise PagerError(400, "Invalid Input Provided", 2001, ["Incident type is missing"])
        if wish.get("status") == "acknowledged":
            if incident.status == "resolved":
                raise PagerError(400, "Incident Already Resolved", 1001)
            self._account.acknowledge(incident, user)
        elif wish.get("status") == "resolved":
            if incident.status == "resolved":
                raise PagerError(400, "Incident Already Resolved", 1001)
            self._account.resolve(incident, user)
        if "escalation_level" in wish:
            level = wish["escalation_level"]
            levels = self._account.levels_of(incident.policy)
            if not isinstance(level, int) or not 1 <= level <= len(levels):
                raise PagerError(400, "Invalid Input Provided", 2001, ["Escalation level does not exist"])
            if not levels[level - 1]:
                raise PagerError(400, "No User On Call", 1015, ["The escalation policy has no user on call at this level"])
            self._account.escalate(incident, level, user)
        self._account.ledger.append({"at": iso(self._world.clock()), "put": id_, "from": sender, **wish})
        return 200, {"incident": self._account.incident_json(incident)}

    def log_entries(self, id_: str, query: dict[str, list[str]], **given: Any) -> tuple[int, Json]:
        log = list(reversed(self._found(id_).log))
        offset, limit = _span(query)
        return 200, {"log_entries": log[offset : offset + limit], **_page(len(log), offset, limit)}

    def notes(self, id_: str, **given: Any) -> tuple[int, Json]:
        return 200, {"notes": self._found(id_).notes}

    def add_note(self, id_: str, body: Json, sender: str, **given: Any) -> tuple[int, Json]:
        text = str((body.get("note") or {}).get("content") or "")
        if not text:
            raise PagerError(400, "Invalid Input Provided", 2001, ["Note content is missing"])
        return 200, {"note": self._account.annotate(self._found(id_), text, self._user_of(sender))}

    def request_responders(self, id_: str, body: Json, **given: Any) -> tuple[int, Json]:
        incident = self._found(id_)
        targets = [one.get("responder_request_target", {}) for one in body.get("responder_request_targets") or []]
        users = [one.get("id") for one in targets if one.get("id") in BY_PAGER]
        if not users or body.get("requester_id") not in BY_PAGER:
            raise PagerError(400, "Invalid Input Provided", 2001, ["Requester or target does not exist"])
        incident.assignees += [one for one in users if one not in incident.assignees]
        self._account._notify(incident, "push_notification")
        made = {
            "incident": incident_ref(self._world, incident), "requester": user_ref(body["requester_id"]),
            "requested_at": whole(self._world.clock()), "message": body.get("message", ""),
            "responder_request_targets": [{"responder_request_target": {"type": "user", "id": one}} for one in users],
        }  # fmt: skip
        incident.requests.append(made)
        return 200, {"responder_request": made}

    def _found(self, id_: str) -> Incident:
        found = self._account.find(id_)
        if found is None:
            raise PagerError(404, "Not Found", 2100)
        return found

    def _user_of(self, sender: str) -> str:
        if not sender:
            raise PagerError(400, "Invalid Input Provided", 2001, ["From header is missing"])
        found = next((one for one in with_pager() if self._account.emails[one] == sender.lower()), None)
        if found is None:
            raise PagerError(400, "Invalid Input Provided", 2001, ["Requester User Not Found"])
        return found


def _id(wish: Json, name: str) -> str:
    """The id of what a wish refers to; empty where it refers to nothing."""
    given = wish.get(name)
    return str(given.get("id") or "") if isinstance(given, dict) and given.get("type", "").endswith("_reference") else ""


def _span(query: dict[str, list[str]]) -> tuple[int, int]:
    """Where a page of a list begins, and how long it is."""
    offset, limit = query.get("offset", ["0"])[0], query.get("limit", ["25"])[0]
    if not (offset.isdigit() and limit.isdigit() and int(limit) > 0):
        raise PagerError(400, "Invalid Input Provided", 2001, ["Offset and limit must be whole numbers"])
    return int(offset), min(100, int(limit))


def _page(total: int, offset: int = 0, limit: int = 25) -> Json:
    return {"limit": limit, "offset": offset, "more": offset + limit < total, "total": None}
