"""Splunk: one row, and the columns that say what Splunk does not."""

import json
from datetime import UTC, datetime

import pytest

from bot.alerts.alert import Severity, Status
from bot.alerts.sources.splunk import SOURCE
from bot.errors import Unreadable
from tests.alerts.test_sources import NOW, SECRET, delivery


def read(row=None, **more):
    body = {"search_name": "Refused logins", "app": "search", "owner": "ana", "sid": "s1", "result": row or {}, **more}
    [one] = SOURCE.parse(delivery(json.dumps(body).encode()), {}).alerts
    return one


def test_a_row_of_events():
    one = read(
        {"_time": "1785578400", "_raw": "refused for bob", "host": "gate-1", "date_hour": "10", "user": ["bob", "eve"], "empty": ""},
        results_link="http://splunk.example.com:8000/app/search/@go?sid=s1",
    )

    assert (one.title, one.description, one.service) == ("Refused logins", "refused for bob", "gate-1")
    assert one.labels == {"host": "gate-1", "user": "bob, eve"}
    assert (one.started_at, one.defaults) == (datetime(2026, 8, 1, 10, 0, tzinfo=UTC), ("started_at",))
    assert one.url == "http://splunk.example.com:8000/app/search/@go?sid=s1"
    assert one.attributes["result"]["date_hour"] == "10"


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"alert_status": "resolved"}, Status.RESOLVED),
        ({"alert_status": "Cleared"}, Status.RESOLVED),
        ({"alert_status": "firing"}, Status.FIRING),
        ({"status": "ok"}, Status.FIRING),
        ({"status": "200"}, Status.FIRING),
        ({}, Status.FIRING),
    ],
)
def test_only_its_own_column_says_that_it_is_over(row, status):
    assert read(row).status is status


@pytest.mark.parametrize(
    ("row", "severity", "word"),
    [
        ({"severity": "critical"}, Severity.CRITICAL, "critical"),
        ({"urgency": "high"}, Severity.HIGH, "high"),
        ({"severity": "5"}, Severity.UNKNOWN, "5"),
        ({}, Severity.UNKNOWN, None),
    ],
)
def test_severity_is_a_column(row, severity, word):
    assert (read(row).severity, read(row).source_severity) == (severity, word)


def test_the_alert_and_its_dedup_key_tell_what_it_is_and_the_run_does_not():
    fired, over = read({"dedup_key": "web"}, sid="s1"), read({"dedup_key": "web", "alert_status": "resolved"}, sid="s2")

    assert fired.identity == over.identity == "search/ana/Refused logins/web"
    assert fired.occurrence != over.occurrence
    assert read({"dedup_key": "api"}).identity != fired.identity


def test_a_search_without_a_name_is_known_by_its_run():
    one, other = read(search_name=None), read(search_name=None, sid="s2")

    assert (one.title, one.defaults) == ("A search without a name", ("started_at", "title"))
    assert one.identity != other.identity


def test_a_row_that_nothing_tells_from_another_searchs_is_refused():
    body = {"app": "search", "owner": "ana", "result": {"host": "web-1"}}

    with pytest.raises(Unreadable, match=r"search_name: missing, and sid too; .*dedup_key"):
        SOURCE.parse(delivery(json.dumps(body).encode()), {})
    assert read({"dedup_key": "web"}, search_name=None, sid=None).identity == "search/ana//web"


def test_a_row_of_statistics_has_no_time():
    over = read({"count": "3", "alert_status": "ok"})

    assert (over.started_at, over.ended_at, over.defaults) == (NOW, NOW, ("started_at", "ended_at"))


def test_the_token_may_stand_in_the_address():
    SOURCE.verify(delivery(b"{}", token=SECRET), [SECRET], NOW)


@pytest.mark.parametrize(
    ("body", "says"), [(b"{}", "result: missing"), (b'{"result": [1]}', "result: expected an object, got a list")]
)
def test_what_is_no_alert_says_so(body, says):
    with pytest.raises(Unreadable, match=says):
        SOURCE.parse(delivery(body), {})
