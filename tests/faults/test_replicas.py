"""That the judges of a storm over several replicas can say no. The storms take too long for every day: `make faults`."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sandbox.pagerduty.account import Incident
from tests.faults import replicas
from tests.faults.rig import rigged


def test_the_judge_of_a_storm_misses_what_is_lost_and_sees_what_is_there_twice(database_url, tmp_path):
    if not database_url.startswith("sqlite"):
        pytest.skip("the judge reads both alike")
    with rigged(database_url, tmp_path) as rig:
        taken = replicas.alert(0)
        service = rig.sandbox.account.services["checkout"]
        now = rig.world.clock()
        for _ in range(2):
            rig.sandbox.account.incidents.append(Incident("P1", 1, service, "firstfive/INC-9/1/x", "t", "high", now))

        said = [(one.kind, one.what) for one in replicas.judged(rig, [taken])]

    assert ("lost", "1 deliveries that were answered for are not in the inbox") in said
    assert ("lost", "0 incidents for 1 services") in said
    assert ("page", "2 pages for 0 incidents: {'firstfive/INC-9/1/x': 2}") in said
    assert ("lost", "0 digests") in said


def test_what_a_replica_takes_without_a_database_is_seen():
    place = replicas.Place(None, [None, None], None)  # type: ignore[arg-type, list-item]
    storm = replicas.Storm(place, 0, began_at=0.0)
    storm.answers += [(1.0, 0, 202), (5.0, 0, 202), (5.0, 1, 503), (6.0, 1, 0)]
    assert list(replicas.closed(storm, 1, 4.0, 8.0)) == []

    storm.answers.append((7.0, 1, 202))
    assert [one.what for one in replicas.closed(storm, 1, 4.0, 8.0)] == ["1 deliveries were taken without a database"]
    assert [one.what for one in replicas.recovered(storm, 8.0, "x")] == ["x: the next delivery was taken inf s after it was over"]


def test_one_replica_can_be_cut_off_for_real_or_it_is_said_why_not():
    why = replicas.no_namespaces()
    if why:
        pytest.skip(why)
    faults = {one.fault for one in replicas.trials(range(1))}
    assert "E5 the link of one replica to the database is pulled" in faults


def test_a_page_that_is_taken_long_after_its_incident_was_opened_is_seen():
    opened = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
    found = [
        SimpleNamespace(ref=f"INC-{number}", episode=SimpleNamespace(dedup_key=f"k{number}", opened_at=opened)) for number in (1, 2)
    ]
    pages = [SimpleNamespace(key=f"k{number}", created_at=opened + timedelta(seconds=14 + number)) for number in (1, 2)]
    account = SimpleNamespace(incidents=pages)
    rig = SimpleNamespace(
        world=SimpleNamespace(lock=nullcontext()),
        sandbox=SimpleNamespace(account=account),
        store=SimpleNamespace(incidents=lambda: found),
    )

    assert [one.what for one in replicas.paged_soon(rig)] == ["the page of INC-2 was taken 16.0 s after it was opened"]
