"""Storms of alerts, and crowds of people at one button. E1, E2 and E4; what several replicas make of E1 is in `replicas.py`."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text

from bot.incidents.policy import StormRule
from sandbox.calls import post
from sandbox.slack.limits import PER_MINUTE, STRICT
from tests.bench.load import Times, paced, run
from tests.faults.matrix import KINDS
from tests.faults.oracle import Wrong
from tests.faults.replicas import alert, signed
from tests.faults.rig import PATIENCE, Rig
from tests.faults.trials import Stage, Trial

ALERTS = 10_000
SECONDS = 60.0
PRINTS, SERVICES = 100, 10
CONNECTIONS = 16
ANSWERED_WITHIN = 1.0
FIRST_PAGE_WITHIN = 1.0
STORM_PAGE_WITHIN = 5.0
EVENTS_A_MINUTE = 120
QUIET_WITHIN = 180.0
CROWD = 40
MOST = StormRule().most
HOOK = "/hooks/alertmanager/main"
POLICY = """\
team: {name: Storm, zone: Europe/Lisbon}
channels: {announce: incidents, operations: firstfive-ops, digest: incidents}
severities:
  SEV1: {means: Everything, pages: true, acknowledge_within: 1h, reminders: [30m], update_every: 2h}
routes: [{name: all, match: {}, severity: SEV1}]
"""
TEAM_OF = {"platform": "default", "checkout": "checkout", "payments": "payments", "search": "search"}
"""PagerDuty's services in the sandbox -> the keys of the policy that ring them."""
TEAMS = POLICY.replace(
    "routes: [",
    """routes:
  - {name: one, match: {service: "*1"}, severity: SEV1, pager: checkout}
  - {name: two, match: {service: "*2"}, severity: SEV1, pager: payments}
  - {name: three, match: {service: "*3"}, severity: SEV1, pager: search}
  - """,
).replace("SEV1}]", "SEV1}")


def hundred_prints(stage: Stage) -> Iterator[Wrong]:
    """E1: ten thousand deliveries of a hundred alerts of ten services, within a minute."""
    with stage.rigged() as rig:
        times, began = _blown(stage, rig, PRINTS, SERVICES)
        yield from _answered(times)
        yield from _kept(rig, ALERTS, PRINTS)
        yield from _counts(rig, incidents=SERVICES, pages=SERVICES)
        yield from _paged_in_time(rig, began, FIRST_PAGE_WITHIN)
        yield from _inside_the_limits(rig)


def all_different(stage: Stage) -> Iterator[Wrong]:
    """E2: ten thousand alerts, each of a service of its own: one incident gathers what is beyond the most."""
    with stage.rigged() as rig:
        times, began = _blown(stage, rig, ALERTS, ALERTS)
        yield from _answered(times)
        yield from _kept(rig, ALERTS, ALERTS)
        yield from _counts(rig, incidents=MOST + 1, pages=MOST + 1)
        yield from _paged_in_time(rig, began, STORM_PAGE_WITHIN)
        yield from _inside_the_limits(rig)
        gathers = rig.store.incident(MOST + 1)
        if gathers is None or not gathers.storm or gathers.alert_count != ALERTS - MOST:
            yield Wrong("lost", f"the storm's incident holds {gathers and gathers.alert_count} of {ALERTS - MOST} alerts")
        _, listed = rig.store.alerts_page(MOST + 1, 0, 1)
        if listed != ALERTS - MOST:
            yield Wrong("lost", f"{listed} of {ALERTS - MOST} alerts are listed")
        started = sum(one.type == "alert_started" for one in rig.store.timeline(f"INC-{MOST + 1}"))
        if started != ALERTS - MOST:
            yield Wrong("lost", f"{started} of {ALERTS - MOST} alerts are in its timeline")
        rig.other_fires()
        rig.until(rig.is_quiet, "nothing waits", QUIET_WITHIN)
        newest = rig.store.incidents(limit=1)[0]
        if newest.number != MOST + 2 or newest.storm:
            yield Wrong("lost", f"another source got {newest.ref}, {'a storm' if newest.storm else newest.title}")


def of_several_teams(stage: Stage) -> Iterator[Wrong]:
    """E2, of alerts that would page four teams: twenty channels at most, and each team is paged once by what gathers them."""
    with stage.rigged() as rig:
        times, began = _blown(stage, rig, ALERTS, ALERTS, TEAMS)
        yield from _answered(times)
        yield from _kept(rig, ALERTS, ALERTS)
        yield from _paged_in_time(rig, began, STORM_PAGE_WITHIN)
        yield from _inside_the_limits(rig)
        found = rig.store.incidents(limit=1000)
        if len(found) > MOST + 2:
            yield Wrong("channel", f"{len(found)} incidents, and {MOST + 2} at most")
        if (held := sum(one.alert_count for one in found)) != ALERTS:
            yield Wrong("lost", f"{held} of {ALERTS} alerts are of an incident")
        with rig.world.lock:
            paged = Counter((one.key, one.service.name) for one in rig.sandbox.account.incidents)
        if twice := [key for (key, _), times_ in paged.items() if times_ > 1]:
            yield Wrong("page", f"paged twice: {twice}")
        for one in (each for each in found if each.storm):
            woken = {team for key, team in paged if key.startswith(one.episode.dedup_key)}
            pages = sum(key.startswith(one.episode.dedup_key) for key, _ in paged)
            if woken != set(TEAM_OF) or pages != len(TEAM_OF):
                yield Wrong("lost" if len(woken) < len(TEAM_OF) else "page", f"{one.ref} woke {sorted(woken)} by {pages} pages")


def a_crowd(stage: Stage) -> Iterator[Wrong]:
    """E4: forty of the same alert at once, forty at the same button, forty who declare the same."""
    with stage.rigged() as rig:
        _calm_policy(stage, rig)
        body = alert(0, 1, 1)
        taken = _at_once(lambda number: post(f"{rig.world.bot}{HOOK}", body, signed(body), 10).status)
        stage.met(CROWD)
        if any(not 200 <= status < 300 for status in taken):
            yield Wrong("lost", f"answers to the same alert: {Counter(taken)}")
        rig.until(lambda: rig.store.incident(1) and rig.store.incident(1).channel, "the incident has its channel")
        rig.until(rig.is_quiet, "nothing waits")
        yield from _counts(rig, incidents=1, pages=1)
        people = ("ana", "ben", "chloe")
        seen = _at_once(lambda number: rig.sandbox.people.slash(_typed(people[number % 3], "/incident ack INC-1")))
        rig.until(rig.is_quiet, "nothing waits")
        yield from but_for_one("INC-1 was acknowledged", [str(one) for one in seen])
        acks = [one for one in rig.store.timeline("INC-1") if one.type == "ack"]
        incident = rig.store.incident(1)
        if len(acks) != 1 or incident is None or incident.episode.acknowledged_at != acks[0].at:
            yield Wrong("message" if acks else "lost", f"{len(acks)} acknowledgements of {CROWD}")
        before = len(rig.store.incidents())
        said = [f"/incident declare sev1 outage {number}" for number in range(4)]
        seen = _at_once(lambda number: rig.sandbox.people.slash(_typed(people[number % 3], said[number % 4])))
        rig.until(rig.is_quiet, "nothing waits", QUIET_WITHIN)
        opened = len(rig.store.incidents()) - before
        failed = Counter(one["error"] for one in seen if one.get("error"))
        if opened != 4 or failed:
            yield Wrong(
                "lost" if opened < 4 else "channel", f"{opened} incidents for four that forty declared; errors: {dict(failed)}"
            )


def but_for_one(words: str, said: Sequence[str]) -> Iterator[Wrong]:
    """Each but one of those who did the same heard these words."""
    heard = sum(words in one for one in said)
    if heard != len(said) - 1:
        yield Wrong("message" if heard < len(said) - 1 else "lost", f"{heard} of {len(said)} heard “{words}”, and not all but one")


def _typed(person: str, words: str) -> dict[str, str]:
    return {"person": person, "channel": "incidents", "text": words}


def _at_once(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(work, range(CROWD)))


def _calm_policy(stage: Stage, rig: Rig, policy: str = POLICY) -> None:
    """A policy whose clock stands still for as long as a trial lasts; and the bot, ready."""
    (stage.folder / "policy.yaml").write_text(policy, encoding="utf-8")
    rig.runs(("serve",))
    rig.until(rig.is_up, "the bot is up")


def _blown(stage: Stage, rig: Rig, prints: int, services: int, policy: str = POLICY) -> tuple[Times, float]:
    """Send a storm evenly over its time, and wait until all is said; how long answers took, and when it began."""
    _calm_policy(stage, rig, policy)
    port = rig.bots[0].port
    bodies = [alert(number, prints, services) for number in range(ALERTS)]
    began = time.monotonic()
    headers = signed(bodies[0])
    times = run(paced(port, lambda number: (HOOK, headers, bodies[number]), ALERTS / SECONDS, ALERTS, connections=CONNECTIONS))
    stage.met(ALERTS)
    rig.until(lambda: not rig.store.inbox_depth().get("new", 0), "every delivery is read", PATIENCE)
    rig.until(rig.is_quiet, "nothing waits", QUIET_WITHIN)
    return times, began


def _answered(times: Times) -> Iterator[Wrong]:
    if times.refused:
        yield Wrong("lost", f"{times.refused} deliveries were not taken")
    if times.percentile(0.99) > ANSWERED_WITHIN:
        yield Wrong("lost", f"one in a hundred waited {times.percentile(0.99):.2f} s for its answer")


def _kept(rig: Rig, deliveries: int, prints: int) -> Iterator[Wrong]:
    with rig.store.engine.connect() as connection:
        done = connection.scalar(text("SELECT count(*) FROM inbox WHERE state = 'done' AND source = 'alertmanager'"))
        reports, rows = connection.execute(text("SELECT sum(reports), count(*) FROM alerts WHERE incident IS NOT NULL")).one()
    if done != deliveries:
        yield Wrong("lost", f"{done} of {deliveries} deliveries are handled")
    if reports != deliveries or rows != prints:
        yield Wrong("lost", f"{reports} reports of {rows} alerts are counted, of {deliveries} and {prints}")


def _counts(rig: Rig, *, incidents: int, pages: int) -> Iterator[Wrong]:
    found = len(rig.store.incidents(limit=1000))
    with rig.world.lock:
        paged = Counter(one.key for one in rig.sandbox.account.incidents)
        channels = sum(one.name.startswith("inc-") for one in rig.sandbox.space.channels.values())
        told = [one for one in rig.messages() if one.get("metadata") and not one.get("ephemeral_for")]
    ids = Counter(one["metadata"]["event_payload"]["outbox_id"] for one in told)
    if found != incidents:
        yield Wrong("channel" if found > incidents else "lost", f"{found} incidents, not {incidents}")
    if channels != incidents:
        yield Wrong("channel" if channels > incidents else "lost", f"{channels} channels, not {incidents}")
    if len(paged) != pages or any(times > 1 for times in paged.values()):
        yield Wrong("page" if sum(paged.values()) > pages else "lost", f"{sum(paged.values())} pages, not {pages}")
    twice = sum(times > 1 for times in ids.values())
    if twice:
        yield Wrong("message", f"{twice} messages are there twice")


def _paged_in_time(rig: Rig, began: float, within: float) -> Iterator[Wrong]:
    taken = [one.at + one.seconds for one in rig.world.calls_of("pagerduty", "enqueue") if one.status == 202]
    first = min(taken, default=float("inf")) - began
    if first > within:
        yield Wrong("lost", f"the first page was taken after {first:.2f} s")


def _inside_the_limits(rig: Rig) -> Iterator[Wrong]:
    """No 429 of anybody, no method of Slack's beyond its tier, and of new channels no minute with more than twenty; PagerDuty's
    events inside theirs.
    """
    refused = Counter(one.name for name in ("slack", "pagerduty") for one in rig.world.calls_of(name) if one.status == 429)
    if refused:
        yield Wrong("lost", f"too many calls: {dict(refused)}")
    for method, most in PER_MINUTE.items():
        yield from within_tier(method, most, [one.at for one in rig.world.calls_of("slack", method) if one.name == method])
    events = _most_in_a_minute([one.at for one in rig.world.calls_of("pagerduty", "enqueue")])
    if events > EVENTS_A_MINUTE:
        yield Wrong("lost", f"{events} events in a minute")


def within_tier(method: str, most: int, moments: list[float]) -> Iterator[Wrong]:
    """Twenty channels a minute are what ADR 0010 promises; of the others, a full bucket first, and what flows into it meanwhile."""
    busiest = _most_in_a_minute(moments)
    if busiest > (most if method in STRICT else 2 * most):
        yield Wrong("channel" if method in STRICT else "lost", f"{busiest} calls of {method} in a minute")


def _most_in_a_minute(moments: list[float]) -> int:
    ordered, start, most = sorted(moments), 0, 0
    for end, at in enumerate(ordered):
        while at - ordered[start] > 60:
            start += 1
        most = max(most, end - start + 1)
    return most


def trials(seeds: range) -> Iterator[Trial]:
    """The storms once a database, the crowd twice: how threads run is all the chance it has."""
    for database in KINDS:
        yield Trial("E1 10,000 deliveries of 100 alerts in a minute", database, seeds.start, hundred_prints, is_alone=True)
        yield Trial("E2 10,000 different alerts in a minute", database, seeds.start, all_different, is_alone=True)
        yield Trial("E2 the same, of four teams", database, seeds.start, of_several_teams, is_alone=True)
        for seed in seeds[:2]:
            yield Trial("E4 forty at once", database, seed, a_crowd)
