"""A database that goes away and comes back: senders are told to come again, people what is wrong, and nothing is lost."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.alerts.registry import source_named
from tests.stories.test_faults import database_away
from tests.web.served import KINDS


def test_every_sender_is_told_to_come_again_and_is_taken_once_it_does(fresh, database_url):
    bodies = {source: source_named(source).examples[0].body_at(fresh.story.world.clock()) for source in KINDS}
    headers = {source: fresh.signature(source, body) for source, body in bodies.items()}
    fresh.story.comes_to_rest()

    with database_away(database_url):
        for source, body in bodies.items():
            answer = fresh.post(source, body, headers[source])
            assert answer.refused(503) == "not saved: the database is away; try again in a few seconds"
            assert int(answer.headers["retry-after"]) > 0
            # What is no question of the database is answered as ever.
            assert fresh.post(source, body, {}).refused(401)
        assert fresh.ask("GET", "/health/live").json == {"alive": True}

    for source, body in bodies.items():
        assert "seen" not in fresh.post(source, body, headers[source]).json
        assert source == "generic" or fresh.post(source, body, headers[source]).json["seen"] is True
    fresh.is_read()
    fresh.story.eventually(lambda: fresh.incident_of("checkout"), "an incident of checkout")
    assert fresh.still_works("after-the-outage")
    assert fresh.ask("GET", "/health/ready").status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_health_names_the_database_and_figures_are_still_given(fresh, database_url):
    fresh.post("generic", b"{}").refused(400)
    with database_away(database_url):
        ready = fresh.ask("GET", "/health/ready")
        figures = fresh.ask("GET", "/metrics")

    assert ready.status == 503
    assert ready.json["ready"] is False
    assert any("database" in cause for cause in ready.json["causes"]), ready.json
    assert b'firstfive_deliveries_total{source="generic",status="400"} 1.0' in figures.body
    assert b"firstfive_database_up 0.0" in figures.body
    assert b"firstfive_database_up 1.0" in fresh.ask("GET", "/metrics").body


def test_many_at_once_while_it_is_away_are_each_told_so_within_seconds(fresh, database_url):
    fresh.story.comes_to_rest()
    body = b'{"title": "Burst", "status": "resolved"}'
    headers = [fresh.signature("generic", body) | {"Idempotency-Key": str(index)} for index in range(12)]
    with database_away(database_url):
        started = time.monotonic()
        answers = _at_once(fresh, body, headers)
        assert {one.status for one in answers} == {503}
        assert time.monotonic() - started < 12
    assert {one.status for one in _at_once(fresh, body, headers)} == {202}
    fresh.is_read()


def _at_once(fresh, body, headers):
    with ThreadPoolExecutor(len(headers)) as pool:
        return list(pool.map(lambda one: fresh.post("generic", body, one), headers))
