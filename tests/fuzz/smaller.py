"""A body that goes wrong, made as small as it still does."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.fuzz.bodies import Request

TRIES, SECONDS = 600, 20.0


def smaller(request: Request, is_wrong: Callable[[Request], bool]) -> Request:
    """The smallest request found in some tries that is still wrong."""
    best, tries, end = request, 0, time.monotonic() + SECONDS
    is_better = True
    while is_better and tries < TRIES and time.monotonic() < end:
        is_better = False
        for one in _parts_of(best):
            tries += 1
            if tries >= TRIES or time.monotonic() > end:
                break
            if len(one.body) + len(one.query) + len(one.headers) < len(best.body) + len(best.query) + len(best.headers) and is_wrong(
                one
            ):
                best, is_better = one, True
                break
    return best


def _size(request: Request) -> int:
    return len(request.body) + len(request.query) + len(request.headers)


def _parts_of(request: Request) -> Iterator[Request]:
    for name in request.headers:
        yield replace(request, headers={key: value for key, value in request.headers.items() if key != name})
    if request.query:
        fields = request.query.split("&")
        for number in range(len(fields)):
            yield replace(request, query="&".join(fields[:number] + fields[number + 1 :]))
    try:
        tree = json.loads(request.body)
    except (ValueError, RecursionError):
        pass
    else:
        for one in _trees(tree):
            yield replace(request, body=json.dumps(one).encode())
    length = len(request.body) // 2
    while length:
        for start in range(0, len(request.body), length):
            yield replace(request, body=request.body[:start] + request.body[start + length :])
        length //= 2


def _trees(tree: Any) -> Iterator[Any]:
    """The tree without one of its parts, or with a part of it in its place; then the same of each part."""
    if isinstance(tree, dict):
        for name in tree:
            yield {key: value for key, value in tree.items() if key != name}
        for name, value in tree.items():
            yield from ({**tree, name: one} for one in _trees(value))
    elif isinstance(tree, list):
        for number in range(len(tree)):
            yield tree[:number] + tree[number + 1 :]
        for number, value in enumerate(tree):
            yield from ([*tree[:number], one, *tree[number + 1 :]] for one in _trees(value))
    elif isinstance(tree, str) and len(tree) > 1:
        yield tree[: len(tree) // 2]
