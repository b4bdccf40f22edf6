"""`/incident changes`: what was changed before an incident's start, or in the last day; and what others may not read of it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.alerts.source import Delivery
from bot.slack.views import changes
from tests.builders import NOON, after, incident
from tests.slack.hostile import CORPUS
from tests.slack.office import EVE, Office
from tests.slack.test_words import change


def tells(office: Office, source: str = "generic", **body: Any) -> None:
    """Somebody tells of a change, or of an alert, just as it happens."""
    writer = office.store.inbox_writer(lambda: None)
    writer.put(source, Delivery(json.dumps(body).encode(), {}, "main", office.world.clock()), json.dumps(body)).result(10)
    writer.close()
    office.settle()


def shown(office: Office, text: str, channel: str = "general", person: str = EVE) -> str:
    """Every text of an answer."""
    blocks = json.loads(office.sends(office.command(text, person, channel)).body)["blocks"]
    return "\n".join(block["text"]["text"] for block in blocks if "text" in block)


def test_what_was_changed_of_a_service_in_the_last_day_by_any_of_its_names(office):
    tells(office, kind="deployment", service="cart", sha="aaaaaaaaaa", environment="production", id=1)
    office.world.clock.advance(25 * 3600)
    tells(office, kind="deployment", service="cart", sha="bbbbbbbbbb", environment="production", by="ana", title="Retry", id=2)
    tells(office, kind="flag", service="search", title="new ranking on", who="ben")

    said = shown(office, "changes service:checkout-api")

    assert "*1 change of checkout in the last day*" in said
    assert "deployment *checkout* `bbbbbbb` by ana" in said
    assert "production" in said
    assert "_Retry_" in said
    assert "aaaaaaa" not in said
    assert "*2 changes in the last day*" in shown(office, "changes")
    assert "flag *search* new ranking on by ben" in shown(office, "deploys search")
    assert "Nobody told of a change of paymnts in the last day. Did you mean payments?" in shown(office, "changes paymnts")


def test_how_far_back_is_said_at_the_end(office):
    tells(office, kind="deployment", service="cart", sha="aaaaaaaaaa", environment="production", id=1)
    office.world.clock.advance(25 * 3600)
    tells(office, kind="deployment", service="cart", sha="bbbbbbbbbb", environment="production", id=2)

    said = shown(office, "changes checkout 7d")
    assert "*2 changes of checkout in the last 7 days*" in said
    assert "aaaaaaa" in said
    assert "*2 changes in the last 30 h*" in shown(office, "changes 30h")
    assert "*1 change in the last day*" in shown(office, "changes 24h")
    assert "Nobody told of a change of search in the last 1 h 30 min." in shown(office, "changes search 90m")
    for much in ("0m", "91d", "999999d"):
        assert "How far back? From `1m` to `90d`" in office.types(f"changes checkout {much}")


def test_in_an_incidents_channel_a_time_asks_for_all_that_was_changed(office):
    name = office.declared("declare sev2 checkout is slow")
    office.world.clock.advance(60)
    tells(office, kind="deployment", service="search", version="1.2")

    assert "*1 change in the last 2 h*" in shown(office, "changes 2h", name)


def test_before_an_incident_its_own_of_a_day_and_of_others_an_hour(office):
    assert "Nobody has told me of a change yet" in shown(office, "changes")
    for hours, service in ((20, "checkout"), (2, "payments"), (0, "payments"), (0, "search")):
        tells(office, kind="deployment", service=service, version=f"{service}-{hours}")
        office.world.clock.advance(max(1, (hours - 2) * 3600))
        if service == "checkout":
            office.world.clock.advance(3600)
    name = office.declared("declare sev2 checkout is slow")
    tells(office, kind="rollback", service="checkout", version="afterwards")

    for said in (shown(office, "changes", name), shown(office, "changes INC-1")):
        assert "*Changes before the start of INC-1* (not necessarily causes)" in said
        lines = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("•")]
        assert lines[0] == "deployment *checkout* `checkout-20`"
        assert "deployment *search* `search-0`" in lines
        assert "afterwards" not in said
    assert "afterwards" in shown(office, "changes checkout", name)


def test_where_there_was_none_that_is_said_and_where_nobody_tells_that(office):
    office.declared("declare sev2 checkout is slow")
    assert "Nobody has told me of a change yet" in office.types("changes INC-1")
    tells(office, kind="flag", service="checkout", title="afterwards")

    assert "Nobody told of a change of checkout in the day before, nor of any other in the hour before." in office.types(
        "changes INC-1"
    )


def test_how_many_more_there_were_before_a_start_is_said():
    many = [change(identity=str(number), version=f"v{number}") for number in range(37)]

    drawn = changes.before(incident(), many, NOON, after(9), is_told=True)

    said = "\n".join(block["text"]["text"] for block in drawn.blocks if "text" in block)
    shown_ = said.count("•")
    assert 0 < shown_ <= changes.MOST_LISTED
    assert f"… and {37 - shown_} more" in said


def test_of_a_private_incident_nothing_is_told_elsewhere(office):
    office.declared("declare sev1 checkout leaks --private")

    assert "INC-1 is private" in office.types("changes INC-1", EVE)


@pytest.mark.parametrize("words", CORPUS)
def test_what_a_sender_writes_calls_nobody_and_leads_nowhere(words):
    one = change(title=words, service=words, environment=words, sha=None, version=words, ref=words, by=words, url=None)
    many = [one, replace(one, version=None, ref=None)] * 20
    made = (
        changes.lately(words, many, 900, after(9), is_told=True),
        changes.lately(words, [], 0, after(9), is_told=True),
        changes.before(incident(service=words), many, NOON, after(9), is_told=True),
        changes.before(incident(service=words), [], NOON, after(9), is_told=True),
    )
    for one_ in made:
        texts = [one_.text, *(block["text"]["text"] for block in one_.blocks if "text" in block)]
        assert not [text for text in texts if "<!channel" in text or "<!here" in text or "<@U0" in text or "<https://evil" in text]
        assert max(map(len, texts)) <= 3000


def test_more_than_can_be_shown_are_counted():
    said = changes.lately(None, [change()] * 30, 900, after(9), is_told=True)

    assert said.text == "900 changes in the last day"
    assert "more" in said.blocks[1]["text"]["text"].splitlines()[-1]


def test_the_log_reaches_back_a_day(office):
    tells(office, kind="flag", service="checkout", title="old")
    office.world.clock.advance(timedelta(days=1, seconds=5).total_seconds())

    assert "Nobody told of a change of checkout in the last day." in office.types("changes checkout")
