"""What is read together is read by how bad it is. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def most_urgent_first(given: Sequence[Item], rank: Callable[[Item], int], prints: Callable[[Item], Iterable[str]]) -> list[Item]:
    """The lowest rank first, else as they came. Of two that share a print the earlier stays before the later: what cleared
    is never read before what fired; so it goes as far forward as whatever has to come after it.
    """
    best: dict[str, int] = {}
    ranked: list[tuple[int, Item]] = []
    for one in reversed(given):
        its = tuple(prints(one))
        mine = min((rank(one), *(best[name] for name in its if name in best)))
        best |= dict.fromkeys(its, mine)
        ranked.append((mine, one))
    return [one for _, one in sorted(reversed(ranked), key=lambda pair: pair[0])]
