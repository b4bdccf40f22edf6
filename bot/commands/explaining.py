"""`explain` and `send`: what a payload means to this bot, and posting one that is correctly signed."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bot.alerts.alert import Alert, Kind, Status
from bot.alerts.matching import Candidate, Placement, Sought, place, sought_by
from bot.alerts.reading import as_json
from bot.alerts.registry import source_named
from bot.alerts.routing import Outcome
from bot.alerts.source import Delivery, Example, Reading, Source, VouchedFor
from bot.clock import wall_clock
from bot.commands.output import print_json, read_bytes
from bot.errors import Refused, Unverified
from bot.handle import placement_of
from bot.incidents.inputs import AlertReported
from bot.incidents.policy import Policy
from bot.settings import Settings
from bot.slack.views.text import clean
from bot.store.database import DatabaseDown
from bot.wiring import open_store, read_policy

CHANGES = (Kind.DEPLOYMENT, Kind.CHANGE)


def add_to(commands: Any) -> None:
    """Add the two subcommands."""
    explain = commands.add_parser(
        "explain",
        help="what a payload means: the alerts, the route and why, the incident it would join or open",
        description="What a payload means to this bot. Changes nothing. Exit 0: read; 2: refused, with the reason.",
    )
    explain.add_argument("source", help="the sender: alertmanager, grafana, pagerduty, generic …")
    explain.add_argument(
        "file", help="the request's body as it arrived, or a capture {method, headers, body}; - reads standard input"
    )
    explain.add_argument("--headers", type=Path, help="the request's headers: a JSON object, or `Name: value` lines")
    explain.add_argument("--route", default="main", help="the endpoint it would come through (default: main)")
    explain.add_argument("--json", action="store_true", help="machine-readable output")
    explain.set_defaults(run=run_explain)
    send = commands.add_parser(
        "send",
        help="post a payload, correctly signed",
        description="Posts a payload to a bot, signed with the secret in HOOK_SECRETS. Without FILE, a built-in example.",
    )
    send.add_argument("source", help="the sender: alertmanager, grafana, pagerduty, generic …")
    send.add_argument("file", nargs="?", help="the body to post; - reads standard input; without it, an example")
    send.add_argument("--example", help="which built-in example; `list` lists them")
    send.add_argument("--route", default="main", help="the endpoint to post to (default: main)")
    send.add_argument("--url", help="the bot's address (default: PUBLIC_URL)")
    send.set_defaults(run=run_send)


def run_explain(given: argparse.Namespace, settings: Settings) -> int:
    """Read a payload as the bot would, and say what would come of it."""
    source = source_named(given.source)
    policy = read_policy(settings)
    body, headers = uncaptured(read_bytes(given.file))
    headers |= headers_in(given.headers)
    delivery = Delivery(body=body, headers=headers, route=given.route, received_at=wall_clock())
    verified, why = _verified(source, delivery, settings)
    if given.headers is not None and not verified and settings.secrets_of(source.name, given.route):
        print(f"not verified: {why}", file=sys.stderr)
    reading = source.parse(delivery, policy.generic.get(given.route, {}))
    decisions = _decisions(reading, given.route, policy, settings)
    if given.json:
        print_json(_as_json(source.name, verified, reading, decisions))
    else:
        print(_as_text(source, verified, why, reading, decisions))
    return 0


def uncaptured(content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a whole request that somebody captured as JSON: {method, headers, body}; else as it is."""
    try:
        request = json.loads(content)
    except (ValueError, RecursionError):
        return content, {}
    if not (isinstance(request, dict) and {"method", "headers", "body"} <= set(request) and isinstance(request["headers"], dict)):
        return content, {}
    inner = request["body"]
    body = inner if isinstance(inner, str) else json.dumps(inner)
    return body.encode(), {str(name).lower(): str(value) for name, value in request["headers"].items()}


def headers_in(file: Path | None) -> dict[str, str]:
    """Headers from a JSON object (also one under a "headers" key) or `Name: value` lines; names in lower case."""
    if file is None:
        return {}
    try:
        text = read_bytes(str(file)).decode()
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8 text; expected a JSON object of name to value, or `Name: value` lines") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        lines = (line.partition(":") for line in text.splitlines() if ":" in line)
        return {name.strip().lower(): value.strip() for name, _, value in lines}
    if isinstance(content, dict) and isinstance(content.get("headers"), dict):
        content = content["headers"]
    if not isinstance(content, dict):
        raise Refused(f"{file} holds no headers: expected a JSON object of name to value, or `Name: value` lines")
    return {str(name).lower(): str(value) for name, value in content.items()}


def _verified(source: Source, delivery: Delivery, settings: Settings) -> tuple[bool | None, str]:
    """Whether the signature holds; None where there is nothing to check it with."""
    secrets = settings.secrets_of(source.name, delivery.route)
    if not secrets:
        return None, f"no secret for {source.name}/{delivery.route} in HOOK_SECRETS"
    try:
        source.verify(delivery, secrets, delivery.received_at)
    except Unverified as error:
        return False, error.reason
    if isinstance(source, VouchedFor):
        return None, f"its address or token holds; {source.vouched_by} is asked about its signature where it comes in"
    return True, "the signature holds"


def _decisions(reading: Reading, route: str, policy: Policy, settings: Settings) -> list[tuple[Alert, Placement, str]]:
    """What would become of each alert, as the record stands; as if it were empty where it cannot be read."""
    now = wall_clock()
    try:
        with open_store(settings) as store, store.reading() as work:
            opened = Opened(policy, now)
            return [
                (alert, opened.told(alert, placement_of(work, AlertReported(alert, route), now, policy, opened.candidates)), "")
                for alert in reading.alerts
            ]
    except DatabaseDown:
        note = "no record to compare with: as if nothing were open"
        opened = Opened(policy, now)
        return [(alert, opened.told(alert, _placed_alone(alert, route, policy, opened)), note) for alert in reading.alerts]


def _placed_alone(alert: Alert, route: str, policy: Policy, opened: "Opened") -> Placement:
    given = policy.built_routes(), policy.aliases(), policy.grouping_rule()
    there = opened.candidates(sought_by(alert, route, *given, opened.now))
    return place(alert, route, *given, None, there, opened.now)


class Opened:
    """The incidents that alerts of this payload would open: what comes after them may join those. They are numbered below zero."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self.policy, self.now = policy, now
        self._incidents: list[tuple[Candidate, str | None, str]] = []

    def candidates(self, sought: Sought) -> list[Candidate]:
        """Those that an alert might join."""
        found = (replace(one, has_group=sought.group is not None and group == sought.group) for one, group, _ in self._incidents)
        return [one for one in found if one.has_group or one.service in sought.services]

    def told(self, alert: Alert, placement: Placement) -> Placement:
        """A placement in words that do not name what is not there; what it opens is remembered."""
        if placement.incident is not None and placement.incident < 0:
            title = self._incidents[-placement.incident - 1][2]
            reason = placement.reason.replace(f"INC-{placement.incident}", f"the incident that “{title}” of this payload opens")
            return replace(placement, incident=None, reason=reason)
        if placement.outcome is Outcome.OPEN and placement.incident is None and alert.status is Status.FIRING:
            severity = self.policy.severity_for(placement.route, alert.severity).rank
            number = -len(self._incidents) - 1
            opened = Candidate(number, placement.service, self.now, placement.route.private, severity, is_firing=True)
            self._incidents.append((opened, placement.group, alert.title))
        return placement


def _as_json(source: str, verified: bool | None, reading: Reading, decisions: list[tuple[Alert, Placement, str]]) -> dict[str, Any]:
    return {
        "source": source,
        "verified": verified,
        "ignored": reading.ignored or None,
        "alerts": [as_json(alert) for alert in reading.alerts if alert.kind not in CHANGES],
        "changes": [as_json(alert) for alert in reading.alerts if alert.kind in CHANGES],
        "decisions": [
            {
                "route": placement.route.name,
                "outcome": _outcome(alert, placement),
                "incident": f"INC-{placement.incident}" if placement.incident else None,
                "service": placement.service,
                "fingerprint": placement.fingerprint,
                "related": placement.is_related,
                "reason": "; ".join(part for part in (placement.reason, note) if part),
            }
            for alert, placement, note in decisions
        ],
    }


def _outcome(alert: Alert, placement: Placement) -> str:
    if placement.is_related:
        return "relate"
    if placement.incident is not None:
        return "join" if alert.status is Status.FIRING else "update"
    return placement.outcome.value


def _as_text(source: Source, verified: bool | None, why: str, reading: Reading, decisions: list[tuple[Alert, Placement, str]]) -> str:
    word = {True: "verified", False: "NOT verified", None: "not checked"}[verified]
    lines = [f"{source.title}: {word} ({why})"]
    if reading.ignored:
        lines.append(f"Nothing to act on: {reading.ignored}")
    for number, (alert, placement, note) in enumerate(decisions, start=1):
        lines += ["", f"{number}. {clean(alert.title, lines=False)}"]
        facts = {
            "status": alert.status.value,
            "severity": f"{alert.severity.value} (sender: {alert.source_severity or 'says none'})",
            "service": placement.service or "not named",
            "started": alert.started_at.isoformat(),
            "ended": alert.ended_at.isoformat() if alert.ended_at else None,
            "identity": alert.identity,
            "filled in": ", ".join(alert.defaults) or None,
            "link": alert.url,
            "then": f"{_outcome(alert, placement)}: {placement.reason}",
            "note": note or None,
        }
        lines += [f"   {name:10}{clean(value, lines=False)}" for name, value in facts.items() if value]
    return "\n".join(lines)


def run_send(given: argparse.Namespace, settings: Settings) -> int:
    """Post a payload; print what the bot answers."""
    source = source_named(given.source)
    if given.example == "list":
        for one in source.examples:
            print(f"{one.name:28}{one.title}")
        return 0
    secrets = settings.secrets_of(source.name, given.route)
    if not secrets:
        raise Refused(f"HOOK_SECRETS names no {source.name}/{given.route}. Add {source.name}/{given.route}=SECRET to it.")
    now = wall_clock()
    example = _example(source, given.example)
    body = read_bytes(given.file) if given.file else example.body_at(now)
    url = f"{(given.url or settings.public_url).rstrip('/')}/hooks/{source.name}/{given.route}"
    headers = example.sent_by(source, secrets[0], now, body)
    try:
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=15) as answer:
            print(f"{answer.status} {answer.read().decode(errors='replace')}")
            return 0
    except urllib.error.HTTPError as error:
        print(f"{error.code} {error.read().decode(errors='replace')}", file=sys.stderr)
        return 1
    except urllib.error.URLError as error:
        raise Refused(f"nobody answers at {url}: {error.reason}. Is the bot running there? --url names another.") from None
    except (HTTPException, OSError) as error:
        raise Refused(f"no answer from {url} ({type(error).__name__}). Is it a Firstfive? --url names another.") from None
    except ValueError as error:
        raise Refused(f"{url} is no address ({error}); give one like --url http://localhost:8080") from None


def _example(source: Source, name: str | None) -> Example:
    if name is None:
        return source.examples[0]
    found = next((one for one in source.examples if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in source.examples)
        raise Refused(f"{source.name} has no example called {name}. It has: {known}.")
    return found
