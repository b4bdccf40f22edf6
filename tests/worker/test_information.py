"""What a sender calls information: recorded, unless a route asks for it. On both databases."""

from datetime import timedelta

import pytest

from bot.alerts.alert import Kind, Severity, Status
from bot.errors import Broken
from bot.handle import Door
from bot.incidents.effects import PageOnCall
from bot.incidents.inputs import AlertReported, Declare
from bot.incidents.policy import MaintenanceRule, Policy, RouteRule, read
from tests.builders import ANA, NOON, after, alert
from tests.worker.test_hushed import Bot

TOLD = RouteRule(name="no data", match={"status": "info", "no_data": "true"}, outcome="announce")
FIRES = RouteRule(name="blind", match={"status": "info", "no_data": "true"}, severity="SEV2", fires=True)
OPENS = RouteRule(name="critical", match={"severity": "critical"}, severity="SEV1")
REST = RouteRule(name="rest", outcome="announce")
INFO = {"status": Status.INFO, "no_data": True, "severity": Severity.UNKNOWN}


def bot_with(store, *routes, together=50, **given):
    return Bot(store, together, Policy(routes=(*routes, OPENS, REST), **given))


def told(bot):
    """The reasons of what was announced since the last look."""
    found = [one.reason for one in bot.announced()]
    bot.forgets()
    return found


def paged(bot):
    return [one for one in bot._asked() if isinstance(one, PageOnCall)]


def states(store, number=1):
    return [(one.name, one.is_firing, one.fires) for one in store.incident(number).alerts]


# --- announced --------------------------------------------------------------------------------


def test_without_a_route_that_asks_for_it_it_is_recorded_as_ever(store):
    bot = bot_with(store)
    bot.gets("Lag", **INFO)
    bot.gets("Lag", **INFO | {"severity": Severity.CRITICAL})

    assert (told(bot), store.open_incidents(), bot.recorded()) == ([], (), 0)


def test_a_route_that_asks_for_it_announces_it_once_and_after_a_day_again(store):
    bot = bot_with(store, TOLD)
    heard = []
    for hours in (0, 1, 12, 25):
        bot.now = NOON + timedelta(hours=hours)
        bot.gets("Lag", **INFO)
        heard += [(hours, reason) for reason in told(bot)]

    takes = "route “no data” takes it (status=info, no_data=true)"
    assert heard == [(0, takes), (25, f"reported again; first at 2026-06-10 12:00 UTC; {takes}")]
    assert store.open_incidents() == ()


def test_one_that_is_well_in_between_is_announced_anew(store):
    bot = bot_with(store, TOLD)
    for status in (Status.INFO, Status.RESOLVED, Status.INFO):
        bot.gets("Lag", **INFO | {"status": status})

    assert len(told(bot)) == 2


def test_what_begins_to_fire_is_announced_though_it_was_as_information(store):
    bot = bot_with(store, TOLD)
    bot.gets("Lag", **INFO)
    told(bot)
    bot.gets("Lag")
    bot.gets("Lag")

    assert told(bot) == ["route “rest” takes it (it takes everything)"]


def test_what_was_announced_as_information_opens_an_incident_once_it_fires(store):
    bot = bot_with(store, TOLD)
    bot.gets("Lag", **INFO)
    bot.gets("Lag", severity=Severity.CRITICAL)

    assert states(store) == [("CheckoutErrorRateHigh", True, 1)]


def test_an_incident_stays_as_it_is_while_its_alert_has_no_data(store):
    bot = bot_with(store, TOLD)
    bot.gets("Lag", severity=Severity.CRITICAL)
    bot.gets("Lag", **INFO | {"started_at": after(5)})

    assert (told(bot), states(store)) == ([], [("CheckoutErrorRateHigh", True, 1)])


def test_under_a_maintenance_window_it_is_announced_when_it_is_reported_after_that(store):
    window = MaintenanceRule(
        name="move", match={"service": "checkout"}, reason="moving", zone="UTC", start="2026-06-10T11:00", until="2026-06-10T12:30"
    )  # fmt: skip
    bot = bot_with(store, TOLD, maintenance=(window,))
    bot.gets("Lag", **INFO)
    assert told(bot) == []
    bot.now = after(31)
    bot.gets("Lag", **INFO)
    assert len(told(bot)) == 1


def test_people_may_declare_it_and_its_end_is_heard(store):
    bot = bot_with(store, TOLD)
    bot.gets("Lag", **INFO)
    (effect,) = bot.announced()
    Door(store, lambda: bot.now, lambda: Policy(), lambda: ()).handle(Declare(title="Lag", by=ANA, fingerprint=effect.fingerprint))
    assert [one for _, one, _ in states(store)] == [True]
    bot.gets("Lag", **INFO | {"status": Status.RESOLVED})
    assert [one for _, one, _ in states(store)] == [False]


@pytest.mark.parametrize("kind", [Kind.DEPLOYMENT, Kind.INCIDENT_UPDATE, Kind.SECURITY_FINDING])
def test_what_is_no_alert_is_not_announced_as_information(store, kind):
    bot = bot_with(store, TOLD)
    bot.gets("Lag", **INFO, kind=kind)

    assert told(bot) == []


# --- taken as firing --------------------------------------------------------------------------


@pytest.mark.parametrize("together", [1, 50])
def test_a_route_may_take_it_as_firing_until_its_sender_says_that_it_is_well(store, together):
    bot = bot_with(store, FIRES, together=together)
    bot.gets("Lag", "Lag", **INFO)
    assert (len(paged(bot)), states(store)) == (1, [("CheckoutErrorRateHigh", True, 1)])

    bot.gets("Lag", **INFO | {"status": Status.RESOLVED})
    assert states(store) == [("CheckoutErrorRateHigh", False, 1)]


def test_the_same_alarm_is_one_alert_whether_it_fires_or_has_no_data(store):
    bot = bot_with(store, FIRES)
    bot.gets("Lag", **INFO)
    bot.gets("Lag", severity=Severity.CRITICAL)

    assert (states(store), store.incident(1).severity.value) == ([("CheckoutErrorRateHigh", True, 1)], "SEV1")


def test_what_a_route_takes_as_firing_is_not_raised_by_news_from_before_its_end(store):
    bot = bot_with(store, FIRES)
    bot.now = after(3)
    bot.gets("Lag", **INFO | {"status": Status.RESOLVED, "changed_at": after(2), "ended_at": after(2)})
    bot.gets("Lag", **INFO, changed_at=after(1))

    assert store.open_incidents() == ()


def test_what_a_window_kept_quiet_opens_at_its_end_by_the_route_that_takes_it_as_firing(store):
    window = MaintenanceRule(
        name="move", match={"service": "checkout"}, reason="moving", zone="UTC", start="2026-06-10T11:00", until="2026-06-10T12:30"
    )  # fmt: skip
    bot = bot_with(store, FIRES, maintenance=(window,))
    bot.gets("Lag", **INFO)
    assert store.open_incidents() == ()
    bot.now = after(31)
    bot.lets_time_pass()

    assert [one.severity.value for one in store.open_incidents()] == ["SEV2"]


def test_what_is_taken_as_firing_is_read_before_what_opens_nothing():
    policy = Policy(routes=(FIRES, OPENS, REST))

    assert policy.urgency(alert(**INFO), "main", NOON) == 2
    assert policy.urgency(alert(**INFO | {"no_data": False}), "main", NOON) == 6


@pytest.mark.parametrize("outcome", ["record", "drop"])
def test_a_route_that_opens_and_tells_nothing_cannot_take_anything_as_firing(outcome):
    reason = "    reason: noise\n" if outcome == "drop" else ""
    with pytest.raises(Broken, match=r"policy.yaml:2.*`fires` is for a route that opens or announces"):
        read(f"routes:\n  - name: a\n    outcome: {outcome}\n    fires: true\n{reason}")


def test_what_is_foreseen_is_what_the_route_takes_it_for(store):
    door = Door(store, lambda: NOON, lambda: Policy(routes=(FIRES, REST)), lambda: ())
    with store.rehearsing() as work:
        (seen,) = door.foresee(work, (AlertReported(alert(**INFO), "main"),))

    assert seen.report.alert.status is Status.FIRING
    assert seen.decision.incident.severity.value == "SEV2"
    assert seen.decision.reason.startswith(
        "INC-1 opened: route “blind” takes it (status=info, no_data=true), as firing; no open incident"
    )
