"""How bad it is decides what is read first; whatever is about the same alert stays in its order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.urgency import most_urgent_first


def ordered(given_):
    return most_urgent_first(given_, lambda one: one[0], lambda one: one[1])


@pytest.mark.parametrize(
    ("came", "read"),
    [
        ("", ""),
        ("3a 1b 2c", "1b 2c 3a"),
        ("2a 2b 1c 2d", "1c 2a 2b 2d"),
        # What has to come before something urgent goes forward with it.
        ("3b 6a 1a", "6a 1a 3b"),
        ("1a 6a", "1a 6a"),
        ("6a 5ab 1b 2c", "6a 5ab 1b 2c"),
        ("3c 6a 5ab 1b 2c", "6a 5ab 1b 3c 2c"),
    ],
)
def test_the_worst_is_read_first_and_none_overtakes_its_own(came, read):
    def parts(text):
        return [(int(one[0]), one[1:]) for one in text.split()]

    assert ordered(parts(came)) == parts(read)


@given(st.lists(st.tuples(st.integers(1, 6), st.sets(st.sampled_from("abcde"), max_size=3)), max_size=30))
def test_nothing_is_lost_or_turned_around(drawn):
    came = [(rank, prints, index) for index, (rank, prints) in enumerate(drawn)]
    read = most_urgent_first(came, lambda one: one[0], lambda one: one[1])

    assert sorted(one[2] for one in read) == list(range(len(came)))
    for print_ in "abcde":
        mine = [one[2] for one in read if print_ in one[1]]
        assert mine == sorted(mine)
    if came:
        worst = min(one[0] for one in came)
        first = next(index for index, one in enumerate(read) if one[0] == worst)
        # Before it, only what it has to wait for.
        assert all(one[2] < read[first][2] for one in read[:first])
