"""What became of real payloads, source by source: the table in docs/sources.md, and what is read otherwise than was noted."""

from collections.abc import Collection, Iterator

from bot.alerts.alert import Status
from bot.alerts.registry import sources
from tests.alerts.test_corpus import (
    CAPTURED,
    CORPUS,
    ELSEWHERE,
    FILES,
    READ_AS,
    SEVERITIES,
    UNREADABLE,
    is_signed,
    named,
    source_of,
    wrong_with,
    wrong_with_captured,
)
from tests.alerts.test_identities import PAIRED, told

HEAD = "| source | cases | passed | with the sender's own signature | fire and end are one alert |"


def passed() -> set[str]:
    """The cases that are read as their senders mean them."""
    return {named(one) for one in FILES if not wrong_with(one)} | {
        captured(path) for path in CAPTURED if not wrong_with_captured(path)
    }  # fmt: skip


def captured(path: object) -> str:
    """The name of a captured request."""
    return str(path).removeprefix(f"{CORPUS}/").removesuffix(".json")


def table(good: Collection[str]) -> str:
    """How many cases of each source there are, and how many of them are good."""
    pairs = pairs_of()
    rows, sums = [], [0, 0, 0, 0]
    for name, source in sources().items():
        cases = [named(one) for one in FILES if source_of(one) == name]
        cases += [captured(one) for one in CAPTURED if name == "alertmanager"]
        signed = sum(is_signed(one) for one in FILES if source_of(one) == name)
        counts = [len(cases), sum(one in good for one in cases), signed, pairs.get(name, 0)]
        sums = [before + more for before, more in zip(sums, counts, strict=True)]
        rows.append(_row(source.title, counts if cases else [0] * 4))
    return "\n".join([HEAD, "|---|--:|--:|--:|--:|", *rows, _row("together", sums)])


def pairs_of() -> dict[str, int]:
    """How many alerts of each source there are that both fire and end, under one fingerprint."""
    seen: dict[tuple[str, str], set[Status]] = {}
    for source, _, _, fingerprint, status in told():
        seen.setdefault((source, fingerprint), set()).add(status)
    found: dict[str, int] = {}
    for (source, _), statuses in seen.items():
        found[source] = found.get(source, 0) + ({Status.FIRING, Status.RESOLVED} <= statuses)
    for fires, _ in PAIRED:
        source = fires.partition("/")[0]
        found[source] = found.get(source, 0) + 1
    return found


def _row(title: str, counts: list[int]) -> str:
    return f"| {title} | {' | '.join(str(one or '–') for one in counts)} |"


def otherwise() -> Iterator[str]:
    """What is read otherwise than is noted beside it, or not at all, and why: a line each."""
    for name, (status, why) in READ_AS.items():
        yield f"- `{name}` is read as {status}: {why}."
    for name, (severities, why) in SEVERITIES.items():
        yield f"- `{name}` has the severity {', '.join(severities)}: {why}."
    for name, (_, why) in UNREADABLE.items():
        yield f"- `{name}` is refused: {why}."
    for name, why in ELSEWHERE.items():
        yield f"- `{name}` is {why}."
