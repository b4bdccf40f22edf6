"""Which status may follow which."""

import pytest

from bot.errors import Refused
from bot.incidents.incident import Status, dedup_key, incident_keyed, number_in
from bot.incidents.lifecycle import FOLLOWS, check_move, check_open
from tests.builders import NOON, incident

OVER = (Status.RESOLVED, Status.CLOSED, Status.MERGED, Status.CANCELLED)


def test_every_status_says_what_may_follow():
    assert set(FOLLOWS) == set(Status)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("to", list(Status))
def test_a_move_is_made_or_refused_with_a_sentence(status, to):
    one = incident(status=status, merged_into=3)
    if to in FOLLOWS[status]:
        check_move(one, to)
        return
    with pytest.raises(Refused) as refused:
        check_move(one, to)
    assert refused.value.reason.startswith("INC-7 ")
    assert refused.value.reason.endswith(".")


@pytest.mark.parametrize("status", OVER)
def test_what_is_over_says_where_to_go(status):
    with pytest.raises(Refused, match=r"INC-3|reopen INC-7|Declare a new incident"):
        check_open(incident(status=status, merged_into=3))


@pytest.mark.parametrize("status", [one for one in Status if one not in OVER])
def test_what_is_open_can_be_worked_on(status):
    check_open(incident(status=status))


@pytest.mark.parametrize("end", [Status.CLOSED, Status.MERGED, Status.CANCELLED])
def test_nothing_leads_out_of_an_end(end):
    assert FOLLOWS[end] == frozenset()


@pytest.mark.parametrize(
    ("text", "number"),
    [("INC-7", 7), ("inc7", 7), ("#12", 12), (" 3 ", 3), ("INC-", None), ("x", None), ("-7", 7), ("7a", None),
     ("٣", None), ("1234567890", None)],
)  # fmt: skip
def test_the_number_in_a_reference(text, number):
    assert number_in(text) == number


def test_a_dedup_key_leads_back_to_its_incident_and_no_other_does():
    assert incident_keyed(dedup_key(7, 2, NOON)) == 7
    assert incident_keyed("somebody else's key") is None
    assert incident_keyed("firstfive/INC-x/1/t") is None
