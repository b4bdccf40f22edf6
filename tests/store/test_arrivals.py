"""The writer of the inbox: whatever befalls it, everybody gets an answer, and the next delivery is taken."""

import pytest

from bot.alerts.source import Delivery
from bot.store import DatabaseDown
from tests.builders import NOON


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_after_a_bug_whoever_waits_is_answered_and_what_comes_next_is_taken(store):
    bugs = [ZeroDivisionError("a bug")]

    def wake() -> None:
        if bugs:
            raise bugs.pop()

    writer = store.inbox_writer(wake)
    with pytest.raises(DatabaseDown, match="a bug"):
        writer.put("generic", Delivery(b"{}", {}, "main", NOON), "one").result(5)

    # It was saved before the bug: whoever sends it again hears that it is there.
    assert writer.put("generic", Delivery(b"{}", {}, "main", NOON), "one").result(5) is False
    assert writer.put("generic", Delivery(b"{}", {}, "main", NOON), "two").result(5) is True
    writer.close()
    assert store.inbox_depth() == {"new": 2}
