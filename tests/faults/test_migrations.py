"""A migration that is killed is as if it had not begun, or done; and the judge of it can say no."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bot.store import migrate
from bot.store.database import connect, writing
from tests.faults import migrations
from tests.faults.launch import IN_A_MIGRATION
from tests.faults.runs import Databases, carried_out


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


SOME = [one for one in migrations.trials(range(2)) if IN_A_MIGRATION in one.fault and (one.seed == 0) == ("nothing" in one.fault)]
"""From nothing; and of an older schema, while another waits: on both databases."""


@pytest.mark.parametrize("trial", SOME, ids=lambda trial: trial.name)
def test_a_migration_that_is_killed_ends_whole_when_it_is_run_again(trial, databases):
    outcome = carried_out(trial, databases)

    assert outcome.wrong == ()
    assert outcome.hits == 1


@pytest.fixture
def engine(tmp_path):
    made = connect(f"sqlite:///{tmp_path / 'faults.db'}")
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("DROP INDEX incidents_open", "not the one of the code"),
        ("UPDATE alembic_version SET version_num = '0001'", "the schema is 0001"),
        ("DELETE FROM notes", "0 rows of what was there before"),
    ],
)
def test_a_schema_that_is_not_whole_is_seen(engine, does, said):
    migrations.prepared(engine, migrations.FIRST)
    migrate.upgrade(engine)
    assert list(migrations.ended_whole(engine, 0, is_kept=True)) == []

    with writing(engine) as connection:
        connection.execute(text(does))

    assert said in " ".join(one.what for one in migrations.ended_whole(engine, 0, is_kept=True))


def test_a_migration_that_ends_badly_when_run_again_is_seen(engine):
    migrations.prepared(engine, migrations.FIRST)
    migrate.upgrade(engine)

    assert [one.what for one in migrations.ended_whole(engine, 1, is_kept=True)] == ["run again, the migration ended with 1"]


def test_half_a_migration_is_seen(engine):
    migrations.prepared(engine, migrations.FIRST)
    before = migrations.schema(engine)
    assert list(migrations.whole_or_untouched(before, before, "late")) == []

    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE findings (id INTEGER)"))

    [wrong] = migrations.whole_or_untouched(before, migrations.schema(engine), migrate.out_of_date(engine))
    assert wrong.what.startswith("half a migration was left behind, in findings")
