"""The order of a timeline: what a person reads as cause and effect."""

from datetime import timedelta

from bot.incidents.timeline import Entry, in_order
from tests.builders import NOON, after


def entry(type_, at):
    return Entry(at=at, type=type_, incident="INC-7")


def test_entries_come_in_the_order_of_when_they_happened():
    assert in_order([entry("ack", after(2)), entry("opened", NOON)]) == (entry("opened", NOON), entry("ack", after(2)))


def test_a_neighbours_whole_seconds_do_not_put_the_notification_before_the_page():
    accepted = entry("page_accepted", NOON + timedelta(milliseconds=400))
    notified = entry("page", NOON)

    assert in_order([accepted, notified]) == (accepted, notified)
