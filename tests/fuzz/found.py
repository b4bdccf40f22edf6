"""What ever went wrong, kept in `found.jsonl`, a request a line: every test run sends all of it again."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.bodies import Request

FILE = Path(__file__).with_name("found.jsonl")
SMALL = 20_000
"""A larger body is found again by its seed and number only."""


def line_of(request: Request, why: str, seed: int, number: int) -> str:
    """A request as it is kept."""
    body = base64.b64encode(request.body).decode()
    about = {"source": request.source, "why": why, "seed": seed, "number": number, "headers": dict(request.headers)}
    return json.dumps(about | {"query": request.query, "body": body})


def kept() -> Iterator[tuple[Request, str]]:
    """Every request that is kept, with what was wrong once."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        yield Request(one["source"], base64.b64decode(one["body"]), one["headers"], one["query"]), one["why"]
