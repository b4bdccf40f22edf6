"""Every source there is: ours, and those that other packages bring under the entry point group `firstfive.sources`."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from bot.alerts import sources as folder
from bot.alerts.source import Source
from bot.errors import Refused

OURS: tuple[Source, ...] = tuple(
    import_module(f"{folder.__name__}.{found.name}").SOURCE
    for found in sorted(iter_modules(folder.__path__), key=lambda one: one.name)
)
"""The `SOURCE` of each file in `sources/`."""


@cache
def sources() -> Mapping[str, Source]:
    """Name -> source. One that another package brings does not replace one of ours."""
    brought = (point.load() for point in entry_points(group="firstfive.sources"))
    return {one.name: one for one in (*brought, *OURS)}


def source_named(name: str) -> Source:
    """The source of that name. Raises `Refused` with the nearest names."""
    known = sources()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise Refused(f"no source is called {name}. {hint}Known are: {', '.join(sorted(known))}.")
