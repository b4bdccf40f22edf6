"""What a policy names that there is not, and what it asks for that no alert can be: with what was meant. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from re import IGNORECASE, fullmatch

from bot.alerts.routing import WORDS, Matcher, Route, is_plain


def wrong_service(name: str, aliases: Mapping[str, str]) -> str:
    """Why a route or a heartbeat cannot name that service; empty where it can. Without a catalogue it may name any."""
    own = aliases.get(name.lower())
    if not aliases or own == name:
        return ""
    if own is not None:
        return f"{name!r} is another name of {own}; write {own}"
    near = get_close_matches(name.lower(), aliases, n=1)
    meant = f"did you mean {aliases[near[0]]}?" if near else f"known are {', '.join(sorted(set(aliases.values())))}"
    return f"no service is called {name!r}; {meant}"


def wrong_words(match: Matcher, sources: Collection[str]) -> str:
    """Why something in a match can never fit, as a sender's words are few there; empty where all may."""
    for name, known in ({**WORDS, "source": tuple(sources)}).items():
        for pattern in match.fields.get(name, ()):
            if is_plain(pattern) and pattern not in known:
                return f"{name} is never {pattern!r}; {_meant(name, pattern, known)}"
    return ""


def _meant(name: str, pattern: str, known: Sequence[str]) -> str:
    if name == "severity" and fullmatch("sev ?-?[1-5]", pattern, IGNORECASE):
        return f"senders say {', '.join(known)}, and SEV1 to SEV5 is what routes make of it"
    near = get_close_matches(pattern.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"it is one of {', '.join(sorted(known) if name == 'source' else known)}"


def wrong_routes(routes: Sequence[Route]) -> Iterator[tuple[int, str, str]]:
    """The routes that cannot be told apart, or that no alert gets to: which one, what of it, and why."""
    counts = Counter(one.name for one in routes)
    seen = set[str]()
    taking: Route | None = None
    for number, route in enumerate(routes):
        if counts[route.name] > 1 and route.name in seen:
            yield number, "name", f"two are called “{route.name}”: what each takes is told and counted under its name"
        seen.add(route.name)
        if taking is not None and not _gets_findings(route, taking):
            yield number, "", f"no alert gets here: “{taking.name}” before it takes everything; put this one before that"
        elif taking is None and not route.goes_on and not route.match.said and route.unless is None and route.hours is None:
            taking = route


def _gets_findings(route: Route, taking: Route) -> bool:
    """Whether a route asks for the security findings that one before it, which opens incidents for the rest, leaves."""
    return taking.leaves_findings and route.asks_for_findings
