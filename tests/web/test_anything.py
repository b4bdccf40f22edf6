"""Whatever comes, correctly signed: never an error of ours, and the next good alert opens its incident."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.alerts.test_sources import JSON, SHAPED
from tests.web.served import KINDS, SOURCES, Served, refuses

OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
NOW_AND_THEN = settings(OFTEN, max_examples=6)
"""There are many sources; `tests/fuzz` sends each of them more, and does so faster."""
every_source = pytest.mark.parametrize("source", SOURCES)
NUMBERS = some.sampled_from(["1e999", "-1e-999", "9" * 30, "18446744073709551616", "0.1e1", "-0", "1" + "0" * 400])


def taken_or_refused(served: Served, source: str, body: bytes) -> None:
    """Of senders that give up on who refuses, all is taken; of the others, what cannot be read is refused."""
    answer = served.post(source, body)
    is_always_taken = not refuses(source) and source != "cloudwatch"
    if is_always_taken or answer.status == 202:
        answer.taken()
    else:
        answer.refused(400)


@every_source
@given(body=some.binary(max_size=300))
@NOW_AND_THEN
def test_any_bytes_are_taken_or_refused(served, source, body):
    taken_or_refused(served, source, body)


@every_source
@given(body=some.one_of(SHAPED, JSON))
@NOW_AND_THEN
def test_any_json_is_taken_or_refused(served, source, body):
    taken_or_refused(served, source, json.dumps(body).encode())


LABELS = '{"alertname": "Odd", "severity": %s}'
LIKE = {
    "alertmanager": '{"status": %s, "alerts": [{"status": "firing", "labels": ' + LABELS + ', "startsAt": %s}]}',
    "grafana": '{"orgId": %s, "alerts": [{"status": "firing", "labels": ' + LABELS + ', "startsAt": %s}]}',
    "pagerduty": '{"event": {"event_type": "incident.triggered", "id": %s, "data": {"id": "P1", "title": %s, "created_at": %s}}}',
    "generic": '{"title": %s, "severity": "critical", "dedup_key": %s, "starts_at": %s}',
}
VALUES = some.one_of(NUMBERS, JSON.map(json.dumps), some.sampled_from(['"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:01Z"']))


@pytest.mark.parametrize("source", KINDS)
@given(values=some.tuples(VALUES, VALUES, VALUES))
@OFTEN
def test_anything_in_the_place_of_something_known_is_taken_or_refused(served, source, values):
    taken_or_refused(served, source, (LIKE[source] % values).encode())


def test_after_all_of_this_nothing_stands_still(served):
    served.is_read()
    assert served.still_works("after-anything")
    parked = parked_reasons(served)
    assert not [one for one in parked if "bug" in one]


def parked_reasons(served: Served) -> list[str]:
    """Why deliveries were put aside."""
    with served.story.bot.store.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT reason FROM inbox WHERE state = 'parked'")]
