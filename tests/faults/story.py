"""The life of an incident, told by people and senders who do not give up: it meets every effect that there is."""

import hmac
from hashlib import sha256
from typing import Any

from bot.slack import ids
from tests.faults.rig import Rig

ANA = "U0ANA0001"
TYPED = {"note": "seen on the dashboard", "role": "commander", "status_update": "Orders fail; rolling back"}
"""What people wrote, by the type of the entry that has to have it."""
SILENCED = "moving the index"


ACKNOWLEDGES = "/incident ack INC-1"


def told(rig: Rig, side: str = "slack") -> None:
    """From the first alert to the draft; acknowledged in Slack, or on the phone (`pagerduty`).

    Raises `NeverSeen` where something that had to come did not.
    """
    rig.fires("checkout-errors")
    rig.fires("latency")
    garbled(rig)
    channel = rig.until(lambda: channel_of(rig), "the channel of INC-1")
    rig.until(lambda: escalations(rig), "the second level is asked for")
    rig.reads()
    if side == "slack":
        rig.types("ana", ACKNOWLEDGES)
    else:
        picked_up(rig)
    rig.types("ana", f"/incident note INC-1 {TYPED['note']}")
    answered(rig, channel)
    rig.types("ana", f"/incident role INC-1 {TYPED['role']} @ana")
    rig.types("ana", f"/incident silence service=search 2h {SILENCED}")
    # Where an alert may be a SEV1, it is asked twice.
    rig.types("ana", "/incident silence confirm")
    rig.types("ana", "/incident page INC-1 @chloe")
    rig.types("ana", "/incident page INC-1 payments")
    rig.types("ana", f"/incident update INC-1 {TYPED['status_update']}")
    rig.until(lambda: status_of(rig) == "acknowledged", "PagerDuty knows that it is acknowledged")
    # Whoever is asked once it is over is not paged, and that is said.
    rig.until(lambda: is_helped(rig), "the other service is paged")
    rig.reads()
    rig.fires("checkout-errors-resolved")
    rig.says("Is it over?")
    rig.types("ana", "/incident resolve INC-1 rolled back")
    rig.until(lambda: status_of(rig) == "resolved", "PagerDuty knows that it is over")
    rig.reads()
    rig.until(lambda: drafts(rig, channel), "the draft is posted")
    rig.until(rig.is_quiet, "nothing waits")


def picked_up(rig: Rig) -> None:
    """Somebody acknowledges on the phone, and the bot hears of it."""
    before = rig.world.clock()
    rig.sandbox.people.phone({"person": "ana", "incident": pages(rig)[0].id, "action": "acknowledge"})
    rig.picked_up = before, rig.world.clock()
    rig.until(lambda: (one := rig.store.incident(1)) and one.episode.acknowledged_at, "the acknowledgement on the phone")


def answered(rig: Rig, channel: str) -> None:
    """A form, a button and a mention: what one person is shown, asked for again until it is."""

    def forms() -> list[Any]:
        with rig.world.lock:
            return [one for one in rig.sandbox.space.views.values() if one.person == ANA]

    def told(where: str) -> int:
        return sum(one.get("ephemeral_for") == ANA for one in rig.messages(where))

    asked = {"person": "ana", "channel": "incidents"}
    rig.shown(lambda: rig.sandbox.people.slash({**asked, "text": "/incident note INC-1"}), forms, "a form")
    pressed, mentioned = told(channel), told("incidents")
    rig.shown(lambda: _presses(rig, channel), lambda: told(channel) > pressed, "an answer to a button")
    rig.shown(
        lambda: rig.sandbox.people.message({**asked, "text": "@firstfive help"}), lambda: told("incidents") > mentioned,
        "an answer to a mention",
    )  # fmt: skip


def _presses(rig: Rig, channel: str) -> None:
    incident = rig.store.incident(1)
    if incident is not None and incident.summary is not None:
        given = {"person": "ana", "channel": channel, "ts": incident.summary.ts}
        rig.sandbox.people.press({**given, "action_id": ids.TIMELINE})


GARBLED = b"\xff not what it should be"


def garbled(rig: Rig) -> None:
    """A signed webhook of PagerDuty's that nobody can read: kept, and an alarm."""
    body = GARBLED
    mac = hmac.new(rig.world.webhook_secret.encode(), body, sha256).hexdigest()
    headers = {"X-PagerDuty-Signature": f"v1={mac}", "X-Webhook-Id": "garbled-1"}
    rig.sends("/hooks/pagerduty/main", body, headers, "what nobody can read")


def is_helped(rig: Rig) -> bool:
    """Whether PagerDuty has taken the page of the service that was asked to help."""
    with rig.world.lock:
        return any(one.service.name == "payments" for one in rig.sandbox.account.incidents)


def channel_of(rig: Rig) -> str:
    """The name of the incident's channel, once there is one; empty before."""
    with rig.world.lock:
        return next((one.name for one in rig.sandbox.space.channels.values() if one.name.startswith("inc-1-")), "")


def pages(rig: Rig) -> list[Any]:
    """PagerDuty's incidents of the checkout service."""
    with rig.world.lock:
        return [one for one in rig.sandbox.account.incidents if one.service.name == "checkout"]


def status_of(rig: Rig) -> str:
    """How PagerDuty's incident stands."""
    found = pages(rig)
    return found[0].status if found else ""


def escalations(rig: Rig) -> list[dict[str, Any]]:
    """What PagerDuty's log says of escalations of the page."""
    with rig.world.lock:
        return [one for page in pages(rig) for one in page.log if one["type"] == "escalate_log_entry"]


def drafts(rig: Rig, channel: str) -> list[dict[str, Any]]:
    """The messages with a draft."""
    return [one for one in rig.messages(channel) if one.get("files")]
