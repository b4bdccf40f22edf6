"""What the databases say when something goes wrong, in our words."""

import pytest
from sqlalchemy import exc

from bot.store import Conflict
from bot.store.tables import handled, inbox, incidents
from tests.builders import NOON


@pytest.mark.parametrize("table", [handled, inbox], ids=["primary key", "unique"])
def test_a_row_that_is_there_already_was_somebody_else_s(store, table):
    rows = {
        handled: {"key": "k", "at": NOON},
        inbox: {
            "source": "s", "route": "r", "delivery_id": "d", "received_at": NOON, "headers": {}, "body": b"",
            "state": "new", "reason": "", "attempts": 0,
        },
    }  # fmt: skip
    with store.writing() as work:
        work.connection.execute(table.insert().values(rows[table]))

    with pytest.raises(Conflict), store.writing() as work:
        work.connection.execute(table.insert().values(rows[table]))


def test_a_row_that_the_table_does_not_allow_is_a_bug_and_nobody_overtook_us(store):
    with pytest.raises(exc.IntegrityError), store.writing() as work:
        work.connection.execute(incidents.insert().values(number=1))
