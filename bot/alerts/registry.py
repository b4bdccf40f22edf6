"""Every source there is: ours, and those that other packages bring under the entry point group `firstfive.sources`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any

from bot.alerts import sources as folder
from bot.alerts.source import Source
from bot.errors import Refused

OURS: tuple[Source, ...] = tuple(
    import_module(f"{folder.__name__}.{found.name}").SOURCE
    for found in sorted(iter_modules(folder.__path__), key=lambda one: one.name)
)
"""The `SOURCE` of each file in `sources/`."""
MUST_HAVE = ("name", "title", "identity_window_seconds", "setup", "examples", "verify", "sign", "delivery_id", "parse")
"""What a source offers at least."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """An entry point of another package that gives no source, and why, which names the package."""

    name: str
    why: str


@cache
def _brought() -> tuple[Mapping[str, Source], Sequence[Unusable]]:
    """What other packages bring, by the names of its sources, and what of it cannot be used.

    One that is broken must not take the others along: without them no alert comes in, and no command works.
    """
    known, makers, wrong = dict[str, Source](), dict[str, str](), list[Unusable]()
    ours = {one.name for one in OURS}
    for point in sorted(entry_points(group="firstfive.sources"), key=lambda one: (_package(one), one.name)):
        found, why = _loaded(point)
        if not why and found.name in ours:
            why = f"{found.name} is a source of ours, and stays ours"
        if not why and found.name in makers:
            why = f"{makers[found.name]} brings a source called {found.name}, too"
        if why:
            wrong.append(Unusable(point.name, f"{_package(point)}: {why}"))
        else:
            known[found.name], makers[found.name] = found, _package(point)
    return known, sorted(wrong, key=lambda one: one.name)


def _loaded(point: EntryPoint) -> tuple[Any, str]:
    """What an entry point leads to, and why that is no source; empty where it is one."""
    try:
        found = point.load()
        missing = [one for one in MUST_HAVE if not hasattr(found, one)]
        name = found.name if not missing else ""
    except (Exception, SystemExit) as error:
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if missing:
        return None, f"it has no {', '.join(missing)}"
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
        return None, f"{name!r} is no name for a source: it stands in an address"
    return found, ""


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name.replace('_', '-')} {point.dist.version}" if point.dist is not None else "a package without a name"


@cache
def sources() -> Mapping[str, Source]:
    """Name -> source. One that another package brings does not replace one of ours."""
    return {**_brought()[0], **{one.name: one for one in OURS}}


def unusable() -> Sequence[Unusable]:
    """What other packages bring that cannot be used, by name."""
    return _brought()[1]


@cache
def names() -> tuple[str, ...]:
    """The names of all sources, and of those that cannot be used now: a policy that names one is not wrong for that."""
    return (*sources(), *(one.name for one in unusable() if one.name not in sources()))


def source_named(name: str) -> Source:
    """The source of that name. Raises `Refused` with the nearest names, or why it cannot be used."""
    known = sources()
    if name in known:
        return known[name]
    broken = next((one for one in unusable() if one.name == name), None)
    if broken is not None:
        raise Refused(f"{name} cannot be used: {broken.why}")
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise Refused(f"no source is called {name}. {hint}Known are: {', '.join(sorted(known))}.")
