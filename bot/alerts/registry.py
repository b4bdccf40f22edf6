"""Every source there is: ours, and those that other packages bring under the entry point group `firstfive.sources`."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points

from bot.alerts.source import Source
from bot.alerts.sources import alertmanager, generic, grafana, pagerduty
from bot.errors import Refused

OURS: tuple[Source, ...] = (alertmanager.SOURCE, grafana.SOURCE, pagerduty.SOURCE, generic.SOURCE)


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
