"""Who is in Slack: read soon, to the end, and on from where it was cut off."""

from typing import Any

import pytest
from pydantic import SecretStr

from bot.slack.client import Budget, Slack
from bot.slack.people import AGAIN_SECONDS, People
from bot.store import DatabaseDown, Store
from tests.builders import NOON
from tests.pagerduty.standin import Behaviour, StandIn, answer, standing_in


def page(*names: str, rest: str = "") -> Behaviour:
    members = [{"id": f"U{name.upper()}", "name": name, "profile": {"email": f"{name}@example.com"}} for name in names]
    return answer(200, {"ok": True, "members": members, "response_metadata": {"next_cursor": rest}})


class Reading:
    """The reading, by a clock that is moved."""

    def __init__(self, store: Store, standin: StandIn, token: str = "xoxb-1") -> None:
        self.seconds = 0.0
        budget = Budget(lambda: self.seconds)
        slack = Slack(token=SecretStr(token), api_url=standin.url, timeout_seconds=1, budget=budget)
        self._people = People(slack, store, lambda: NOON, lambda: self.seconds)

    def after(self, seconds: float) -> int:
        self.seconds += seconds
        return self._people.run_once()


def cursors(standin: StandIn) -> list[str]:
    return ["abc" if b"cursor=abc" in one.body else "" for one in standin.asked]


def known(store: Store) -> set[str]:
    return {one.name for one in store.people()}


def test_everybody_is_read_and_read_again_when_it_is_time(store):
    with standing_in(page("ana", rest="abc"), page("ben"), page("ana", "ben", "chloe")) as standin:
        reading = Reading(store, standin)

        assert reading.after(0) == 2
        assert known(store) == {"ana", "ben"}
        assert [reading.after(15) for _ in range(5)] == [0] * 5
        assert cursors(standin) == ["", "abc"]
        assert reading.after(AGAIN_SECONDS) == 3
        assert known(store) == {"ana", "ben", "chloe"}


@pytest.mark.parametrize(
    "away", [answer(503), answer(429, {"ok": False, "error": "ratelimited"}, Retry_After="10")], ids=["503", "429"]
)
def test_a_first_reading_that_failed_is_tried_again_soon(store, away):
    with standing_in(away, page("ana")) as standin:
        reading = Reading(store, standin)

        assert reading.after(0) == 0
        assert reading.after(15) == 1

    assert known(store) == {"ana"}


def test_what_was_read_before_it_was_cut_off_is_kept_and_it_goes_on_from_there(store):
    with standing_in(page("ana", rest="abc"), answer(503), page("ben")) as standin:
        reading = Reading(store, standin)

        assert reading.after(0) == 1
        assert known(store) == {"ana"}
        assert reading.after(15) == 1
        assert known(store) == {"ana", "ben"}
        assert cursors(standin) == ["", "abc", "abc"]


def test_a_cursor_that_slack_does_not_know_any_more_begins_anew(store):
    old = answer(200, {"ok": False, "error": "invalid_cursor"})
    with standing_in(page("ana", rest="abc"), old, page("ana", "ben")) as standin:
        reading = Reading(store, standin)

        assert [reading.after(15), reading.after(15)] == [1, 2]
        assert cursors(standin) == ["", "abc", ""]


@pytest.mark.parametrize("refusal", ["missing_scope", "invalid_auth", "team_access_not_granted"])
def test_where_the_app_may_not_read_people_slack_is_not_asked_again_and_again(store, refusal):
    with standing_in(answer(200, {"ok": False, "error": refusal})) as standin:
        reading = Reading(store, standin)
        assert [reading.after(15) for _ in range(4)] == [0] * 4
        assert len(standin.asked) == 1
        reading.after(AGAIN_SECONDS)
        assert len(standin.asked) == 2


def test_while_the_record_is_away_nothing_is_taken_for_read(store):
    class Away:
        def __init__(self) -> None:
            self.is_away = True

        def remember_people(self, found: Any, now: Any) -> None:
            if self.is_away:
                raise DatabaseDown("lock timeout")
            store.remember_people(found, now)

    away = Away()
    with standing_in(page("ana")) as standin:
        reading = Reading(away, standin)  # type: ignore[arg-type]
        assert reading.after(0) == 0
        away.is_away = False
        assert reading.after(15) == 1

    assert known(store) == {"ana"}


def test_without_a_token_nobody_is_asked(store):
    with standing_in(page("ana")) as standin:
        assert Reading(store, standin, token="").after(0) == 0
        assert standin.connections == 0


def test_of_more_pages_than_slack_answers_in_a_minute_the_rest_is_read_after_it(store):
    pages = [page(f"person{number}", rest="abc") for number in range(39)]
    with standing_in(*pages, page("last")) as standin:
        reading = Reading(store, standin)
        assert 0 < reading.after(0) < 40
        for _ in range(12):
            reading.after(15)

    assert len(known(store)) == 40
    assert len(standin.asked) == 40
