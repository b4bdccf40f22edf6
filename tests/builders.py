"""Plain values for tests: a cast of people, moments, alerts and incidents."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.alerts.alert import Alert
from bot.alerts.alert import Severity as AlertSeverity
from bot.alerts.alert import Status as AlertStatus
from bot.alerts.matching import Grouping, Known, Placement, place
from bot.alerts.routing import Matcher, Outcome, Route
from bot.alerts.source import PagerReport
from bot.incidents.decide import decide
from bot.incidents.decision import Decision
from bot.incidents.incident import AlertState, Episode, Incident, PageState, Severity, Status, dedup_key
from bot.incidents.inputs import AlertReported, Input, PagerReported
from bot.incidents.policy import Policy, Service

ANA = "U0ANA"
BEN = "U0BEN"
CHLOE = "U0CHLOE"
DMITRI = "U0DMITRI"

NOON = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
POLICY = Policy(services={"checkout": Service(aliases=("cart",), pager="checkout"), "payments": Service(pager="payments")})
OPENS = Route(name="critical", match=Matcher(), outcome=Outcome.OPEN, severity="SEV2")


def after(minutes: float = 0, seconds: float = 0) -> datetime:
    """A moment after noon."""
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def alert(**changes: Any) -> Alert:
    """A firing alert of checkout."""
    given: dict[str, Any] = {
        "source": "alertmanager",
        "identity": "f1",
        "status": AlertStatus.FIRING,
        "title": "Checkout error rate high",
        "severity": AlertSeverity.CRITICAL,
        "service": "checkout",
        "labels": {"alertname": "CheckoutErrorRateHigh", "service": "checkout"},
        "started_at": after(seconds=-30),
    }
    return Alert(**(given | changes))


def report(
    one: Alert | None = None,
    known: Known | None = None,
    route: Route = OPENS,
    number: int = 7,
    now: datetime = NOON,
    candidates: tuple[Any, ...] = (),
) -> AlertReported:
    """An alert's report, placed as the door would place it."""
    one = one or alert()
    placement: Placement = place(
        one, "main", (route, Route("rest", Matcher(), Outcome.ANNOUNCE)), {}, Grouping(), known, candidates, now
    )
    return AlertReported(one, "main", placement=placement, number=number)


def incident(**changes: Any) -> Incident:
    """INC-7, opened at noon, paged, and waiting for somebody."""
    episode = changes.pop("episode", {})
    given: dict[str, Any] = {
        "number": 7,
        "title": "Checkout error rate high",
        "severity": Severity.SEV2,
        "status": Status.TRIGGERED,
        "opened_at": NOON,
        "opened_by": "bot",
        "service": "checkout",
        "pager": "checkout",
        "alerts": (
            AlertState(
                fingerprint=alert().fingerprint("main"),
                name="CheckoutErrorRateHigh",
                title="Checkout error rate high",
                is_firing=True,
                source="alertmanager",
                started_at=after(seconds=-30),
                changed_at=NOON,
            ),
        ),
        "episodes": (
            replace(
                Episode(
                    number=1,
                    opened_at=NOON,
                    dedup_key=dedup_key(7, 1, NOON),
                    target=timedelta(minutes=5),
                    page=PageState.ACCEPTED,
                    accepted_at=after(seconds=1),
                ),
                **episode,
            ),
        ),
    }
    return Incident(**(given | changes))


def acknowledged(**changes: Any) -> Incident:
    """INC-7, acknowledged by Ana after a minute."""
    first = {"acknowledged_at": after(1), "acknowledged_by": ANA, "acknowledged_via": "slack"}
    return incident(**({"status": Status.ACKNOWLEDGED, "episode": first} | changes))


def pager(kind: str, at: datetime, person: str | None = None, **changes: Any) -> PagerReported:
    """A report of PagerDuty about the first page of INC-7."""
    given: dict[str, Any] = {
        "kind": kind,
        "at": at,
        "pager_id": "PD1",
        "key": dedup_key(7, 1, NOON),
        "is_human": person is not None,
    }
    assignees = changes.pop("assignees", ())
    return PagerReported(7, PagerReport(**(given | changes)), person=person, assignees=assignees)


def decided(one: Incident | None, input: Input, now: datetime = NOON, policy: Policy = POLICY) -> Decision:
    """What is decided for `input`."""
    return decide(one, input, now, policy)


def kinds(decision: Decision) -> list[str]:
    """The class names of a decision's effects, in order."""
    return [type(effect).__name__ for effect in decision.effects]


def types(decision: Decision) -> list[str]:
    """The types of a decision's entries, in order."""
    return [entry.type for entry in decision.entries]


def topics(decision: Decision) -> list[str]:
    """What a decision says, in order."""
    return [effect.topic.value for effect in decision.effects if hasattr(effect, "topic")]
