"""`explain` and `send`: what a payload means to this bot, and posting one that is correctly signed."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from bot.alerts.registry import source_named
from bot.alerts.source import Delivery, Example, Source
from bot.clock import wall_clock
from bot.commands.explanation import explanation
from bot.commands.output import print_json, read_bytes
from bot.errors import Refused
from bot.runbooks import read_folder
from bot.settings import Settings
from bot.store.database import DatabaseDown
from bot.wiring import open_store, read_policy


def add_to(commands: Any) -> None:
    """Add the two subcommands."""
    explain = commands.add_parser(
        "explain",
        help="what a payload means: the alerts, the route and why, the incident it would join or open, whom it would page",
        description="What a payload means to this bot: its alerts, the route that takes each and why, the incident that it would "
        "join or open, whom that would page, runbook, roles and channel. Changes nothing. Exit 0: read; 2: refused, with the reason.",
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
    policy, runbooks = read_policy(settings), read_folder(settings.runbooks_dir)
    body, headers = uncaptured(read_bytes(given.file))
    headers |= headers_in(given.headers)
    delivery = Delivery(body=body, headers=headers, route=given.route, received_at=wall_clock())
    try:
        with open_store(settings) as store:
            told = explanation(source, delivery, settings, policy, runbooks, store)
    except DatabaseDown:
        told = explanation(source, delivery, settings, policy, runbooks, None)
    if given.headers is not None and not told.verified and settings.secrets_of(source.name, given.route):
        print(f"not verified: {told.why}", file=sys.stderr)
    if given.json:
        print_json(told.as_json())
    else:
        print(told.as_text())
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
