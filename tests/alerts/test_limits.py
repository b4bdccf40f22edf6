"""The token bucket: how a rate is written, and that it never lets in more than it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bot.alerts.limits import SECOND, UNITS, Bucket, Rate, rate
from bot.alerts.registry import sources
from bot.alerts.source import limited_status


@pytest.mark.parametrize(
    ("written", "meant"),
    [("600/m", Rate(600, "m")), ("10/s", Rate(10, "s")), ("1/h", Rate(1, "h")), ("none", None), (None, None)],
)
def test_a_rate_is_so_many_in_a_time(written, meant):
    assert rate(written) == meant


@pytest.mark.parametrize("odd", ["", "600", "600/d", "0/m", "-1/m", "6e2/m", "600 / m", "1.5/s", "12345678/m", 600, ["600/m"], True])
def test_anything_else_is_none(odd):
    with pytest.raises(ValueError, match="600/m, 10/s or 1000/h, or none"):
        rate(odd)


def test_a_rate_reads_as_it_was_written():
    assert [str(rate(one)) for one in ("600/m", "10/s", "1/h")] == ["600/m", "10/s", "1/h"]
    assert [rate(one).per_minute for one in ("600/m", "10/s", "1/h")] == [600, 600, 1]


def admitted(bucket: Bucket, times: list[int]) -> list[int]:
    """The times at which one was let in."""
    found = []
    for now in times:
        if not bucket.wait(now):
            bucket.take(now)
            found.append(now)
    return found


def test_a_full_bucket_lets_its_count_in_at_once_and_then_one_for_each_share():
    bucket, start = Bucket(Rate(60, "m")), 5 * SECOND

    assert len(admitted(bucket, [start] * 100)) == 60
    assert bucket.wait(start) == SECOND
    assert admitted(bucket, [start + SECOND - 1, start + SECOND, start + SECOND, start + 2 * SECOND]) == [
        start + SECOND, start + 2 * SECOND
    ]  # fmt: skip
    assert len(admitted(bucket, [start + 3600 * SECOND] * 100)) == 60


@given(
    count=some.integers(1, 50), unit=some.sampled_from(list(UNITS)),
    gaps=some.lists(some.one_of(some.just(0), some.integers(0, 10 * SECOND)), min_size=1, max_size=200),
)  # fmt: skip
def test_in_no_time_more_is_let_in_than_its_share_and_a_full_bucket(count, unit, gaps):
    times = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    found = admitted(Bucket(Rate(count, unit)), times)

    for first, start in enumerate(found):
        for last in range(first, len(found)):
            assert last - first + 1 <= count + (found[last] - start) * count // UNITS[unit]


@given(
    count=some.integers(1, 50), unit=some.sampled_from(list(UNITS)), tries=some.lists(some.integers(0, 3), min_size=1, max_size=100)
)
def test_who_comes_again_when_told_is_let_in(count, unit, tries):
    bucket, now = Bucket(Rate(count, unit)), 0
    for more in tries:
        for _ in range(more):
            admitted(bucket, [now])
        now += bucket.wait(now)
        assert admitted(bucket, [now]) == [now]


def test_each_sender_is_told_what_it_comes_again_after():
    # PagerDuty, Kibana and CloudEvents say so; to Alertmanager, Datadog and Sentry a 429 is a last word.
    assert {name for name, one in sources().items() if limited_status(one) == 429} == {"pagerduty", "kibana", "cloudevents"}
    assert {limited_status(one) for one in sources().values()} == {429, 503}
