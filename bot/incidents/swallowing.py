"""Whether a silence could swallow a SEV1, and how: what asks people twice. Pure.

To ask for each silence would teach people to say yes. So the policy is read: only an alert that fits the silence, that a
route would take, and that this route grades SEV1 counts; and an open SEV1, because what would join it stays quiet, too.
What cannot be told apart (two globs, an expression, a label of an open incident) counts.
"""

from collections.abc import Iterator, Mapping, Sequence, Set

from bot.alerts.alert import EMPTY, Kind
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.routing import SEVERAL, Matcher, Outcome, Route, fits, is_plain, with_earlier
from bot.incidents.incident import Incident, Severity
from bot.incidents.policy import Policy

ANY = ("*",)
MOST_SAID = 3
PRIVATE = "a private SEV1 is open"


def sev1_under(match: Matcher, open_sev1: Sequence[Incident], policy: Policy) -> tuple[str, ...]:
    """How alerts that fit `match` could be SEV1, in words; empty where none can be. `open_sev1` are open SEV1 incidents."""
    routes = {name: None for severity in _severities(match) for name in _routes_to_sev1(match, severity, policy)}
    found = [f"route “{name}” opens a SEV1 for what fits {match.said}" for name in routes]
    by_severity = Matcher({"severity": match.fields.get("severity", ANY)})
    if any(True for one in _severities(match) for _ in _routes_to_sev1(by_severity, one, policy)):
        known = [one for one in open_sev1 if not one.private]
        found += [f"{one.ref} is a SEV1 and open, and its alerts may fit" for one in known if _may_fit(one, match, policy)]
        # Of a private one nothing is compared: whoever asks often enough would read it from the answers.
        found += [PRIVATE] if len(known) < len(open_sev1) else []
    return tuple(found[:MOST_SAID])


def _severities(match: Matcher) -> Iterator[AlertSeverity]:
    left_out = match.but_fields.get("severity", ())
    return (one for one in AlertSeverity if fits(one.value, match.fields.get("severity", ANY)) and not fits(one.value, left_out))


def _routes_to_sev1(match: Matcher, severity: AlertSeverity, policy: Policy) -> Iterator[str]:
    """The routes that may take an alert of that severity that fits `match`, and would open a SEV1 for it."""
    earlier: list[Route] = []
    only_findings = False
    for route in policy.built_routes():
        if (only_findings and route.leaves_findings) or not _may_take(route, match, severity, policy, earlier):
            continue
        if route.goes_on:
            earlier.append(route)
            continue
        made = (route, *(with_earlier([one], route) for one in earlier))
        if route.outcome is Outcome.OPEN and any(policy.severity_for(one, severity) is Severity.SEV1 for one in made):
            yield route.name
        if _takes_all(route, match, severity, policy):
            if not route.leaves_findings or not _may_be_finding(match):
                return
            only_findings = True


def _may_be_finding(match: Matcher) -> bool:
    """Whether a security finding may fit the silence."""
    kind = Kind.SECURITY_FINDING.value
    return fits(kind, match.fields.get("kind", ANY)) and not fits(kind, match.but_fields.get("kind", ()))


def _may_take(route: Route, match: Matcher, severity: AlertSeverity, policy: Policy, earlier: Sequence[Route]) -> bool:
    """Whether one alert may fit the silence and take the route, after those that went on."""
    if not fits(severity.value, route.match.fields.get("severity", ANY)):
        return False
    if route.unless is not None and _is_covered(route.unless, match, severity, policy):
        return False
    given = [one.service for one in earlier if one.service is not None] if route.service is None else []
    if _is_left_out(route, match, EMPTY if given else policy.aliases()):
        return False
    if "service" in match.fields:
        # Under which service it comes one that went on may have said.
        is_given = any(fits(one, match.fields["service"]) for one in given)
        if not is_given and not _services_meet(route, match, policy):
            return False
    # Of a field with several values one may fit the route and another the silence.
    several = ("service", *SEVERAL)
    fields = ((one, match.fields[name]) for name, one in route.match.fields.items() if name in match.fields and name not in several)
    labels = ((one, match.labels[name]) for name, one in route.match.labels.items() if name in match.labels)
    noted = ((one, match.annotations[name]) for name, one in route.match.annotations.items() if name in match.annotations)
    return all(_meet(*both) for both in (*fields, *labels, *noted))


def _is_left_out(route: Route, match: Matcher, aliases: Mapping[str, str]) -> bool:
    """Whether the silence itself leaves out whatever takes the route, as far as words can tell. `aliases` has each service's own
    name for its names: none, where a route before says under which service it comes.

    Under which service an alert comes is what the route says that takes it: one that goes on does not, and one that names a
    service of its own says nothing by what it matches.
    """
    left_out, is_taker = match.but_fields.get("service", ()), not route.goes_on
    if is_taker and route.service is not None and fits(route.service, left_out):
        return True
    fields = [
        (route.match.fields.get(name, ()), left) for name, left in match.but_fields.items() if name not in ("service", *SEVERAL)
    ]
    labels = [(route.match.labels.get(name, ()), left) for name, left in match.but_labels.items()]
    named = route.match.fields.get("service", ()) if is_taker and route.service is None else ()
    if named and left_out and _all_fit(named, left_out, aliases):
        return True
    return any(bool(asked) and _all_fit(asked, left) for asked, left in (*fields, *labels))


def _services_meet(route: Route, match: Matcher, policy: Policy) -> bool:
    """A silence holds for a service by any of its names, and for what the route itself puts under it.

    A route that names its service is taken to be about no other, unless the silence names what the route looks at.
    """
    wanted, of_route = match.fields["service"], route.match.fields.get("service")
    if route.service is not None and fits(route.service, wanted):
        return True
    if of_route is not None:
        names = ((alias, own) for alias, own in policy.aliases().items())
        by_name = any(any(fits(one, of_route) for one in both) and any(fits(one, wanted) for one in both) for both in names)
        return by_name or _meet(of_route, wanted)
    looked_at = route.match.fields.keys() & match.fields.keys() - {"severity"} or route.match.labels.keys() & match.labels.keys()
    return route.service is None or bool(looked_at)


def _takes_all(route: Route, match: Matcher, severity: AlertSeverity, policy: Policy) -> bool:
    """Whether no route after it sees any alert that fits."""
    return route.unless is None and route.hours is None and _is_covered(route.match, match, severity, policy)


def _is_covered(matcher: Matcher, match: Matcher, severity: AlertSeverity, policy: Policy) -> bool:
    """Whether whatever fits `match` fits `matcher`, as far as words can tell."""
    aliases = policy.aliases()
    fields = (
        fits(severity.value, patterns)
        if name == "severity"
        else _all_fit(_words_of(name, match, policy), patterns, aliases if name == "service" else EMPTY)
        for name, patterns in matcher.fields.items()
    )
    labels = (_all_fit(match.labels.get(name, ANY), patterns) for name, patterns in matcher.labels.items())
    noted = (_all_fit(match.annotations.get(name, ANY), patterns) for name, patterns in matcher.annotations.items())
    return all(fields) and all(labels) and all(noted)


def _words_of(name: str, match: Matcher, policy: Policy) -> Sequence[str]:
    """What a silence asks of a field: of a service by all its names, and those that a route gives may have any other."""
    wanted = match.fields.get(name, ANY)
    if name != "service":
        return wanted
    if any(one.service is not None and fits(one.service, wanted) for one in policy.built_routes()):
        return ANY
    return (*wanted, *(alias for alias, own in policy.aliases().items() if fits(own, wanted)))


def _all_fit(wanted: Sequence[str], patterns: Sequence[str], own: Mapping[str, str] = EMPTY) -> bool:
    """Whether each of these words fits, or, of a service, its own name."""
    return tuple(patterns) == ANY or all(
        is_plain(one) and (fits(one, patterns) or fits(own.get(one.lower(), one), patterns)) for one in wanted
    )


def _meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a value may fit both."""
    return any(_may_both(one, other) for one in some for other in others)


def _may_both(one: str, other: str) -> bool:
    if is_plain(one):
        return fits(one, (other,))
    return not is_plain(other) or fits(other, (one,))


def _may_fit(incident: Incident, match: Matcher, policy: Policy) -> bool:
    """Whether an alert of an open incident may fit, as far as the incident knows them; one that was declared has a service.

    An alert of another service may be in it: across services, by a storm, by a merge.
    """
    if not incident.alerts:
        return incident.service is not None and _service_may_fit({incident.service}, match, policy)
    for one in incident.alerts:
        known = {"source": one.source, "title": one.title, "name": one.name}
        services = {name for name in (one.service, incident.service) if name is not None}
        is_fit = all(fits(value, match.fields.get(name, ANY)) for name, value in known.items())
        if is_fit and fits(one.name, match.labels.get("alertname", ANY)) and _service_may_fit(services, match, policy):
            return True
    return False


def _service_may_fit(services: Set[str], match: Matcher, policy: Policy) -> bool:
    """Whether what comes under one of these services may fit, by any of its names; none is not known, and may be any."""
    wanted, left_out = match.fields.get("service", ANY), match.but_fields.get("service", ())
    names = {one: {alias for alias, own in policy.aliases().items() if own == one} | {one} for one in services}
    return not services or any(any(fits(name, wanted) for name in names[one]) and not fits(one, left_out) for one in services)
