"""What a policy names that there is not, and what it asks for that no alert can be: with what was meant. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile
from re import IGNORECASE, fullmatch

from bot.alerts.alert import Kind
from bot.alerts.routing import REGEX, WORDS, Matcher, Route, fits, is_like, is_plain

ANY = ("*",)


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


def misspelt_service(match: Matcher, aliases: Mapping[str, str]) -> str:
    """Which service of a match is one of the catalogue with a letter wrong; empty where none surely is. Any other may be asked
    for: a sender may name services that no catalogue has."""
    words = match.fields.get("service", ())
    said = {word.lower() for word in words}
    for word in words:
        if is_plain(word) and word.lower() not in aliases:
            near = next((name for name in aliases if name not in said and _is_a_slip(word.lower(), name)), None)
            if near is not None:
                own = aliases[near]
                meant = own if near == own.lower() else f"{near}, another name of {own}"
                return f"no service is called {word!r}; did you mean {meant}? If there is one, add it to `services`"
    return ""


def _is_a_slip(word: str, name: str) -> bool:
    """Whether one letter is missing, too much or another, or two are changed round. Of short words each is a word of its own;
    a number is no slip."""
    if min(len(word), len(name)) < 5 or abs(len(word) - len(name)) > 1:
        return False
    start = _begin_alike(word, name)
    end = _begin_alike(word[start:][::-1], name[start:][::-1])
    one, other = word[start : len(word) - end], name[start : len(name) - end]
    is_short = max(len(one), len(other)) < 2 or (len(one) == 2 and one == other[::-1])
    return is_short and f"{one}{other}".isalpha()


def _begin_alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def never_routed(match: Matcher, pager_source: str) -> str:
    """Why a match asks for what never gets to a route; empty where it does not. All that PagerDuty sends is news of incidents."""
    for name, word in (("kind", Kind.INCIDENT_UPDATE.value), ("source", pager_source)):
        if set(match.fields.get(name, ())) == {word}:
            whose = "an incident of PagerDuty's own" if name == "source" else "an incident that another tool has"
            return f"{name} is never {word!r} here: news of {whose} is not routed; send its alerts here from where they begin"
    return ""


def _meant(name: str, pattern: str, known: Sequence[str]) -> str:
    if name == "severity" and fullmatch("sev ?-?[1-5]", pattern, IGNORECASE):
        return f"senders say {', '.join(known)}, and SEV1 to SEV5 is what routes make of it"
    near = get_close_matches(pattern.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"it is one of {', '.join(sorted(known) if name == 'source' else known)}"


def wrong_routes(routes: Sequence[Route]) -> Iterator[tuple[int, str, str]]:
    """The routes that cannot be told apart, or that come after one that takes everything: which one, what of it, and why."""
    counts = Counter(one.name for one in routes)
    seen = set[str]()
    taking: Route | None = None
    for number, route in enumerate(routes):
        if counts[route.name] > 1 and route.name in seen:
            yield number, "name", f"two are called “{route.name}”: what each takes is told and counted under its name"
        seen.add(route.name)
        if taking is not None and not _gets_findings(route, taking):
            yield number, "", f"no alert gets here: “{taking.name}” before it takes everything; put this one before that"
        elif taking is None and _keeps_all(route) and not route.match.said:
            taking = route


def shadowed_routes(routes: Sequence[Route], aliases: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """The other routes that no alert gets to: which one, and why."""
    taking: list[Route] = []
    for number, route in enumerate(routes):
        before = next((one for one in taking if _takes_all(one, route, aliases)), None)
        if before is not None:
            yield number, f"no alert gets here: “{before.name}” before it takes all that fits this one; put this one before that"
        elif _keeps_all(route) and route.match.said:
            taking.append(route)


def _keeps_all(route: Route) -> bool:
    """Whether whatever fits a route goes no further, at any hour."""
    return not route.goes_on and route.unless is None and route.hours is None


def _takes_all(before: Route, route: Route, aliases: Mapping[str, str]) -> bool:
    """Whether an earlier route surely takes whatever fits a later one; False where that cannot be told."""
    # What is soonest told apart comes first: of a thousand routes, half a million pairs are looked at.
    maps = ((before.match.labels, route.match.labels), (before.match.annotations, route.match.annotations))
    return (
        all(_is_within(given.get(name, ANY), patterns) for asked, given in maps for name, patterns in asked.items())
        and all(_is_implied(name, some, route.match.fields.get(name, ANY), aliases) for name, some in before.match.fields.items())
        and not _gets_findings(route, before)
    )


def _is_implied(name: str, wanted: Sequence[str], given: Sequence[str], aliases: Mapping[str, str]) -> bool:
    """Whether a field of which one of the patterns `given` fits has one of those `wanted`, too."""
    if name in WORDS:
        # Whatever there can be is looked at; and of a finding or a change nothing, where there is none.
        known = (*WORDS[name], *([""] if "." in name else []))
        return all(fits(one, wanted) for one in known if fits(one, given))
    if name == "service":
        # One that fits a name of a service fits its own name, too.
        given = [one for one in given if not (one.lower() in aliases and is_plain(one) and fits(aliases[one.lower()], wanted))]
    return _is_within(given, wanted)


def _is_within(given: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(any(_covers(other, one) for other in wanted) for one in given)


def _covers(wide: str, narrow: str) -> bool:
    """Whether whatever fits one pattern fits another, as far as words can tell."""
    if wide == narrow or set(wide) == {"*"}:
        return True
    if is_plain(wide):
        return False
    if is_plain(narrow):
        return fits(narrow, (wide,))
    if narrow.startswith(REGEX) or wide.startswith(REGEX):
        return False
    # The stars of one swallow those of the other; a question mark swallows no star.
    return not ("?" in wide and "*" in narrow) and is_like(narrow, wide)


def _gets_findings(route: Route, before: Route) -> bool:
    """Whether a route takes security findings that one before it, which opens incidents for the rest, leaves."""
    return before.leaves_findings and not route.leaves_findings and fits(Kind.SECURITY_FINDING, route.match.fields.get("kind", ANY))
