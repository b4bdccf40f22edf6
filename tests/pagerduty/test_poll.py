"""Asking PagerDuty now and then: one incident that it will not speak of keeps it from no other, and trouble is said."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from bot.handle import Door
from bot.incidents.decision import Decision
from bot.incidents.decisions.paging import UNSEEN_SAID_EVERY
from bot.incidents.effects import RaiseAlarm
from bot.incidents.incident import OtherPage, PageState, Status, dedup_key, others_key
from bot.incidents.inputs import PageAccepted, Reopen, Resolve
from bot.incidents.oncall import OnCall
from bot.pagerduty.client import Client
from bot.pagerduty.poll import ENOUGH, IN_A_ROW, LOOKS_BACK, RINGS, Poll
from bot.pagerduty.reports import Reports
from bot.store import outbox as outbox_rows
from tests.builders import ANA, NOON, POLICY, after, incident
from tests.pagerduty.standin import answer, standing_in

BEN = {"id": "PBEN", "type": "user_reference", "summary": "Ben Okafor"}
REFUSED = answer(401, {"error": {"message": "Unauthorized"}})


class Account:
    """PagerDuty's side: an incident for each key, each acknowledged by Ben a minute after noon."""

    def __init__(self):
        self.does = {}
        """Part of a path -> what is answered instead."""
        self.asked = []

    def __call__(self, caller):
        target = caller.line.split(" ")[1]
        self.asked.append(target)
        self._answer(target)(caller)

    def _answer(self, target):
        wrong = next((behave for part, behave in self.does.items() if part in target), None)
        if wrong is not None:
            return wrong
        if "log_entries" in target:
            entry = {"type": "acknowledge_log_entry", "created_at": "2026-06-10T12:01:00Z", "agent": BEN}
            return answer(200, {"log_entries": [entry], "more": False})
        if target.startswith("/users/"):
            return answer(404)
        key = parse_qs(urlsplit(target).query)["incident_key"][0]
        return answer(200, {"incidents": [{"id": key.replace("/", "-"), "incident_key": key, "status": "acknowledged"}]})


class Watched:
    """A store of which it is seen what is read whole."""

    def __init__(self, store, those):
        self._store, self.those = store, those

    def __getattr__(self, name):
        return getattr(self._store, name)


class Round:
    """Some open incidents, and the poll."""

    def __init__(self, store, url, count=2, enough=ENOUGH):
        self.enough = enough
        self.store, self.now = store, after(2)
        self.door = Door(store, lambda: self.now, lambda: POLICY, lambda: ())
        self.url = url
        self.poll = self.again()
        for number in range(1, count + 1):
            episode = replace(incident().episode, dedup_key=dedup_key(number, 1, NOON))
            with store.writing() as work:
                work.save(Decision(incident=incident(number=number, episodes=(episode,))), NOON)

    def again(self):
        """A poll of a process that has just started."""
        client = Client(token=SecretStr("t"), from_email="", api_url=self.url, events_url=self.url)
        reports = Reports(client=client, store=self.store, clock=lambda: self.now)
        self.poll = Poll(client=client, reports=reports, store=self.store, door=self.door, enough=self.enough)
        return self.poll

    def acknowledged(self):
        return [one.number for one in reversed(self.store.incidents()) if one.episode.acknowledged_by == "Ben Okafor"]

    def alarms(self):
        with self.store.reading() as work:
            rows = work.connection.execute(outbox_rows.outbox.select())
            return [outbox_rows.decode_tagged(row.payload) for row in rows if row.kind == "RaiseAlarm"]


@pytest.mark.parametrize("status", [404, 400, 500])
def test_an_incident_that_pagerduty_will_not_speak_of_keeps_it_from_no_other(store, status):
    account = Account()
    account.does = {"INC-2": answer(status)}
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url, count=3)
        assert about.poll.run_once() == 2

    assert about.acknowledged() == [1, 3]
    assert "INC-2" in about.poll.trouble
    assert str(status) in about.poll.trouble


def test_a_pagerduty_that_is_down_is_not_asked_about_everything(store):
    with standing_in(answer(503)) as neighbour:
        about = Round(store, neighbour.url, count=IN_A_ROW + 3)
        assert about.poll.run_once() == 0

    assert neighbour.connections == IN_A_ROW


def test_trouble_is_over_with_the_first_good_round(store):
    account = Account()
    account.does = {"INC-2": answer(500)}
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url)
        about.poll.run_once()
        account.does = {}
        about.poll.run_once()

    assert about.poll.trouble == ""


def test_a_refused_token_is_an_alarm_once_an_hour_and_asked_once_a_round(store):
    with standing_in(REFUSED) as neighbour:
        about = Round(store, neighbour.url)
        for minutes in (2, 3, 4, 62):
            about.now = after(minutes)
            about.poll.run_once()

    assert neighbour.connections == 4
    alarms = about.alarms()
    assert [type(one) for one in alarms] == [RaiseAlarm] * 2
    assert "PAGERDUTY_API_TOKEN" in alarms[0].mend
    assert "401" in about.poll.trouble


# --- what is over -----------------------------------------------------------------------------


def test_an_acknowledgement_on_the_phone_just_before_the_end_gets_into_the_timeline_with_its_own_time(store):
    with standing_in(Account()) as neighbour:
        about = Round(store, neighbour.url, count=1)
        about.door.handle(Resolve(1, ANA))
        about.now = after(3)
        about.poll.run_once()

    [ack] = [one for one in store.timeline("INC-1") if one.type == "ack"]
    assert (ack.at, ack.by) == (after(1), "Ben Okafor")
    assert store.incident(1).status is Status.RESOLVED


def test_an_episode_that_ended_before_it_was_reopened_is_asked_about_too(store):
    account = Account()
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url, count=1)
        about.door.handle(Resolve(1, ANA))
        about.door.handle(Reopen(1, ANA))
        about.poll.run_once()

    assert store.incident(1).episodes[0].acknowledged_by == "Ben Okafor"


def test_what_is_over_is_asked_about_until_that_was_told_once_and_not_for_ever(store):
    account = Account()
    account.does = {"INC-1": answer(500)}
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url, count=1)
        about.door.handle(Resolve(1, ANA))
        about.now = after(5)
        assert about.poll.run_once() == 0
        account.does = {}
        assert [about.poll.run_once(), about.poll.run_once()] == [1, 0]
        about.now = after(2) + LOOKS_BACK + timedelta(seconds=1)
        assert about.again().run_once() == 0


@pytest.mark.parametrize("page", [PageState.NOT_NEEDED, PageState.REFUSED])
def test_nothing_is_asked_about_what_was_never_paged(store, page):
    with standing_in(Account()) as neighbour:
        about = Round(store, neighbour.url, count=0)
        with store.writing() as work:
            work.save(Decision(incident=incident(number=1, episode={"page": page})), NOON)
        assert about.poll.run_once() == 0

    assert neighbour.connections == 0


# --- what PagerDuty took and does not show ----------------------------------------------------


class Forgetful(Account):
    """Shows no incident for any key."""

    def _answer(self, target):
        return answer(200, {"incidents": []}) if "incident_key" in target else super()._answer(target)


def accepted_at_noon(about, **changes):
    one = incident(number=1, episode={"page": PageState.ACCEPTED, "accepted_at": NOON, **changes})
    with about.store.writing() as work:
        work.save(Decision(incident=one), NOON)
    return one.episode.dedup_key


def waiting(store, kind):
    with store.reading() as work:
        rows = work.connection.execute(outbox_rows.outbox.select().order_by(outbox_rows.outbox.c.seq))
        return [outbox_rows.decode_tagged(row.payload) for row in rows if row.kind == kind]


@pytest.mark.parametrize(("seconds", "pages"), [(44, 0), (45, 1), (105, 1)])
def test_a_page_that_was_taken_and_is_not_shown_in_time_is_sent_again_with_its_key(store, seconds, pages):
    with standing_in(Forgetful()) as neighbour:
        about = Round(store, neighbour.url, count=0)
        key = accepted_at_noon(about)
        about.now = NOON + timedelta(seconds=seconds)
        about.poll.run_once()
        about.poll.run_once()

    assert [one.dedup_key for one in waiting(store, "PageOnCall")] == [key] * pages
    assert len(about.alarms()) == pages
    assert [one.fields["reason"] for one in store.timeline("INC-1")] == [
        f"PagerDuty took the page {seconds} s ago and shows no incident for it; sent again"
    ] * pages


def test_nobody_on_call_is_said_at_once_because_there_is_nothing_to_wait_for(store):
    store.set_on_call(OnCall(NOON))
    with standing_in(Forgetful()) as neighbour:
        about = Round(store, neighbour.url, count=0)
        accepted_at_noon(about)
        about.now = NOON + timedelta(seconds=6)
        about.poll.run_once()

    assert "nobody is on call there at any level" in about.alarms()[0].text


@pytest.mark.parametrize("known", [{"assignees": (ANA,)}, {"notified": (ANA,)}, {"ended_at": after(1)}, {"page": PageState.DELAYED}])
def test_a_page_that_pagerduty_told_of_or_that_is_over_is_not_missed(store, known):
    with standing_in(Forgetful()) as neighbour:
        about = Round(store, neighbour.url, count=0)
        accepted_at_noon(about, **known)
        about.now = after(30)
        about.poll.run_once()

    assert waiting(store, "PageOnCall") == []
    assert about.alarms() == []


def test_a_page_that_is_lost_again_and_again_gets_more_time_each_time(store):
    with standing_in(Forgetful()) as neighbour:
        about = Round(store, neighbour.url, count=0)
        key = accepted_at_noon(about)
        sent_at = []
        for seconds in range(0, 3 * 3600, 15):
            about.now = NOON + timedelta(seconds=seconds)
            about.poll.run_once()
            if len(waiting(store, "PageOnCall")) > len(sent_at):
                sent_at.append(seconds)
                about.door.handle(PageAccepted(1, key, about.now))

    waits = [later - earlier for earlier, later in pairwise((0, *sent_at))]
    assert waits == sorted(waits)
    assert waits[0] == 45
    assert max(waits) == 600
    assert len(about.alarms()) == 1 + (len(sent_at) - 1) // UNSEEN_SAID_EVERY


def test_more_pages_than_fit_a_round_all_get_their_turn_and_those_that_ring_first(store):
    account = Account()
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url, count=10, enough=3)
        assert about.poll.run_once() == 3
        about.poll.run_once()
        # The three of the first round are acknowledged by now: those that still ring come before them.
        assert len(about.acknowledged()) == 6
        for _ in range(2):
            about.poll.run_once()

    assert about.acknowledged() == list(range(1, 11))


def test_a_page_is_asked_about_again_though_new_ones_ring_all_the_time(store):
    asked = []
    with standing_in(Account()) as neighbour:
        about = Round(store, neighbour.url, count=6, enough=2)
        pages = about.poll._pages(about.now)
        for _ in range(6 * RINGS):
            turns = about.poll._turns(pages)
            for page in turns:
                about.poll._asked[page.key] = about.poll._rounds
            asked.append({page.incident for page in turns})

    for number in range(1, 7):
        rounds = [index for index, numbers in enumerate(asked) if number in numbers]
        assert len(rounds) >= 6
        assert max(later - earlier for earlier, later in pairwise(rounds)) <= 3 * RINGS


def test_only_an_incident_that_has_changed_since_the_last_round_is_read_whole(store):
    with standing_in(Account()) as neighbour:
        about = Round(store, neighbour.url, count=5)
        about.poll.run_once()
        assert sorted(about.poll._known) == [1, 2, 3, 4, 5]
        about.door.handle(Resolve(2, ANA))
        read = []
        those = store.those
        about.poll._store = Watched(store, lambda numbers: read.append(list(numbers)) or those(numbers))
        about.poll._pages(about.now)
        about.poll._pages(about.now)

    assert read == [[5, 4, 3, 2, 1], []]


@pytest.mark.parametrize("own", [PageState.ACCEPTED, PageState.NOT_NEEDED, PageState.REFUSED])
def test_the_pages_of_others_are_asked_about_until_they_are_over_whatever_became_of_the_incidents_own(store, own):
    account = Account()
    with standing_in(account) as neighbour:
        about = Round(store, neighbour.url, count=1)
        episode = replace(store.incident(1).episode, page=own)
        page = OtherPage("payments", "payments", others_key(episode.dedup_key, "payments", "payments"), accepted_at=after(1))
        with store.writing() as work:
            work.save(Decision(incident=work.incident(1).with_episode(replace(episode, others=(page,)))), NOON)

        about.poll.run_once()
        (found,) = store.incident(1).episode.others
        assert (found.acknowledged_by, found.acknowledged_at) == ("Ben Okafor", after(1))
        asked = len(account.asked)
        about.poll.run_once()
        assert page.dedup_key.rpartition("/")[2] in str(account.asked[asked:])
        with store.writing() as work:
            ended = replace(work.incident(1).episode, others=(replace(page, ended_at=after(2)),))
            work.save(Decision(incident=work.incident(1).with_episode(ended)), NOON)
        asked = len(account.asked)
        about.poll.run_once()
        assert page.dedup_key.rpartition("/")[2] not in str(account.asked[asked:])
