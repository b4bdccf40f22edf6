"""One long day of the bot, listened to: what it asks its neighbours, what they answer, what it answers people."""

import logging

import pytest
import structlog

from bot.incidents.pagers import ByPolicy
from bot.pagerduty.check import check as check_pagerduty
from bot.slack.check import check as check_slack
from sandbox.__main__ import TOP
from sandbox.pagerduty.account import LEADS
from tests.contracts.traffic import Listening, listening

TYPED = (
    "", "help", "help page", "list", "who", "timeline", "runbook", "metrics", "digest", "list of nonsense", "tiemline",
    "note CDN serves the old bundle", "sev 2", "sev 9", "status identified a bad deploy", "status confused",
    "role commander me", "role king @ben", "page @ben", "page payments", "page web", "page nothing-we-know", "page @nobody",
    "update Rolling back. next 15m", "merge INC-1 into INC-99", "postmortem short", "cancel because", "changes", "changes web",
)  # fmt: skip
FORMS = ("declare", "page", "sev", "status", "role", "note", "update", "merge")
KEY = "sandboxplatform_________________"


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """The day, over: its `neighbours` and `bot_door` have every exchange."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = tmp_path_factory.mktemp("street")
    policy = folder / "policy.yaml"
    by_policy = f"    escalation_policy: {LEADS}\n    pagerduty_service: PSWEB00\n"
    policy.write_text((TOP / "policy.yaml").read_text(encoding="utf-8").replace("    pager: web\n", by_policy), encoding="utf-8")
    with listening(f"sqlite:///{folder}/street.db", policy_file=policy) as story:
        story.sandbox.account.leads[:] = ["PUBEN01"]
        page_and_escalate(story)
        type_everything(story)
        fill_in_forms(story)
        come_to_an_end(story)
        break_pagerduty(story)
        ask_what_the_bot_does_not(story)
        doctor(story)
    return story


def page_and_escalate(story: Listening) -> None:
    """An alert, a page, nobody there, the next level; then somebody, on the phone."""
    story.sandbox.webhooks.ping()
    story.fires()
    story.channel()
    story.passes(minutes=2, seconds=1)
    story.passes(minutes=3)
    story.eventually(lambda: story.rings("ben"), "Ben's phone rings")
    story.picks_up("ben", "escalate")
    story.picks_up("chloe", "acknowledge")
    story.card_says("Acknowledged by <@U0CHLOE01>")
    with story.world.lock:
        story.sandbox.account.unacknowledge(story.sandbox.account.incidents[0])
    story.says(story.channel(), "took the acknowledgement of *INC-1* back")


def type_everything(story: Listening) -> None:
    """Every command, also those that are refused; by a guest too."""
    for text in TYPED:
        story.types("ana", f"/incident {text}", story.channel())
    story.types("eve", "/incident ack", "team-checkout")


def fill_in_forms(story: Listening) -> None:
    """Every form that a command opens; some are sent off, one with something wrong in it."""
    channel = story.channel()
    for name in FORMS:
        story.types("ben", f"/incident {name}", channel)
        view = story.eventually(lambda: story.view_of("ben"), f"the form of {name}")
        values = {"text": "As it is.", "into": "nothing", "title": "A second thing", "person": "ben", "status": "monitoring"}
        answer = story.sandbox.people.submit({"person": "ben", "view_id": view, "values": values})
        if "errors" in answer:
            story.sandbox.people.close({"person": "ben", "view_id": view})


def come_to_an_end(story: Listening) -> None:
    """A pin, a resolved alert, a resolution, a draft, and again; and Monday's digest."""
    channel = story.channel()
    said = story.sandbox.people.message({"person": "ana", "channel": channel, "text": "It was the cache"})["message"]
    story.sandbox.people.react({"person": "ana", "channel": channel, "ts": said["ts"], "name": "pushpin"})
    story.eventually(lambda: "pin" in story.types_of() or story.types_of().count("note") > 1, "the pin is noted")
    story.sandbox.people.message({"person": "ana", "channel": channel, "text": "@firstfive what now?"})
    story.fires("checkout-errors-resolved")
    story.passes(minutes=6)
    story.types("ana", "/incident resolve rolled back", channel)
    story.eventually(lambda: story.incident().draft, "the draft is posted")
    story.types("ana", "/incident reopen INC-1 it is back", channel)
    story.types("ana", "/incident resolve now", channel)
    story.types("ana", "/incident close INC-1", channel)
    story.passes(minutes=7 * 24 * 60)
    story.says("incidents", "Incident week")
    story.comes_to_rest()


def break_pagerduty(story: Listening) -> None:
    """PagerDuty refuses the token, and limits us."""
    story.types("ana", "/incident declare sev1 search is down", "incidents")
    story.comes_to_rest()
    newest = story.bot.store.open_incidents()[-1].ref
    for state, status in (("revoked", 401), ("limited", 429)):
        story.breaks("pagerduty", state)
        count = len(story.neighbours.exchanges)
        story.bot.poll.run_once()
        assert any(one.status == status for one in story.neighbours.exchanges[count:]), status
    story.types("ana", f"/incident page payments {newest}", "incidents")
    story.eventually(lambda: any(one.status == 429 and "enqueue" in one.path for one in story.neighbours.exchanges), "a limited page")
    story.breaks("pagerduty", "up")
    story.passes(minutes=2)
    # PagerDuty does not know Dmitri: it is told by the key, which names nobody.
    story.types("dmitri", f"/incident ack {newest}", "incidents")
    story.comes_to_rest()


def ask_what_the_bot_does_not(story: Listening) -> None:
    """The rest of what the sandbox's PagerDuty answers, errors too."""
    rest, known = "/pagerduty/api", story.sandbox.account.incidents[0].id
    make = {"type": "incident", "title": "By hand", "service": {"id": "PSWEB00", "type": "service_reference"}, "incident_key": "x"}
    for changes, status in (
        ({}, 201), ({}, 400), ({"service": {"id": "PSNONE1", "type": "service_reference"}}, 400), ({"title": ""}, 400),
        ({"escalation_policy": {"id": "PNONE11", "type": "escalation_policy_reference"}}, 400),
    ):  # fmt: skip
        assert story.asks("POST", f"{rest}/incidents", {"incident": make | changes}, From="ana@example.com") == status
    assert story.asks("GET", f"{rest}/escalation_policies/{LEADS}") == 200
    for path in ("oncalls", "services", "services/PSCHECK", "escalation_policies", "incidents", f"incidents/{known}",
                 f"incidents/{known}/notes", "webhook_subscriptions", "users", "abilities"):  # fmt: skip
        assert story.asks("GET", f"{rest}/{path}") == 200, path
    for path in ("users/NOBODY", "incidents/NONE", "services/NONE", "incidents/NONE/log_entries"):
        assert story.asks("GET", f"{rest}/{path}") == 404, path
    assert story.asks("GET", f"{rest}/incidents?limit=many") == 400
    assert story.asks("GET", f"{rest}/users", Authorization="Token token=wrong") == 401
    note = {"note": {"content": "Seen"}}
    assert story.asks("POST", f"{rest}/incidents/{known}/notes", note, From="ana@example.com") == 200
    assert story.asks("POST", f"{rest}/incidents/{known}/notes", {"note": {"content": ""}}, From="ana@example.com") == 400
    assert story.asks("POST", f"{rest}/incidents/{known}/notes", note, From="nobody@example.com") == 400
    trigger = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "by hand",
               "payload": {"summary": "By hand", "source": "here", "severity": "info"}}  # fmt: skip
    for event, status in (
        (trigger, 202), (trigger | {"event_action": "acknowledge"}, 202), (trigger | {"event_action": "resolve"}, 202),
        (trigger | {"routing_key": "0" * 32}, 400), (trigger | {"payload": {"summary": ""}}, 400), ([], 400),
    ):  # fmt: skip
        assert story.asks("POST", "/pagerduty/events/v2/enqueue", event) == status


def doctor(story: Listening) -> None:
    """What `check` asks."""
    check_pagerduty(story.bot.client, story.bot.reports, {"default": KEY}, {"default", str(ByPolicy(LEADS, "PSWEB00"))})
    check_slack(story.bot.slack, story.bot.choices.policy())
