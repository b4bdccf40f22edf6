"""What the databases say when something goes wrong, in our words."""

import contextlib
import threading
import time
from secrets import token_hex

import psycopg
import pytest
from sqlalchemy import Connection, exc, text

from bot.store import Conflict, DatabaseDown, Store, migrate
from bot.store.database import (
    TRUSTED_SECONDS,
    alone,
    alone_in_haste,
    answers_before_the_disk,
    at_once,
    can_notify,
    connect,
    database_now,
    in_one_trip,
    insert_all,
    writing,
)
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


def test_statements_that_are_sent_together_are_all_there(store):
    with store.writing() as work, in_one_trip(work.connection):
        for key in ("a", "b", "c"):
            insert_all(work.connection, handled, [{"key": key, "at": NOON}])

    with store.reading() as work:
        assert sorted(work.connection.scalars(handled.select())) == ["a", "b", "c"]


def test_what_is_in_the_way_of_one_of_them_is_named_as_ever_and_none_is_there(store):
    with store.writing() as work:
        insert_all(work.connection, handled, [{"key": "b", "at": NOON}])

    with pytest.raises(Conflict), store.writing() as work, in_one_trip(work.connection):
        for key in ("a", "b", "c"):
            insert_all(work.connection, handled, [{"key": key, "at": NOON}])
    with pytest.raises(exc.IntegrityError), store.writing() as work, in_one_trip(work.connection):
        insert_all(work.connection, incidents, [{"number": 1}])

    with store.reading() as work:
        assert list(work.connection.scalars(handled.select())) == ["b"]


def test_a_connection_that_breaks_while_they_are_sent_is_given_up(store):
    if store.engine.dialect.name == "sqlite":
        pytest.skip("an embedded database has no connection that breaks")
    with pytest.raises(DatabaseDown), store.writing() as work, in_one_trip(work.connection):
        work.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        insert_all(work.connection, handled, [{"key": "a", "at": NOON}])

    with store.writing() as work:
        insert_all(work.connection, handled, [{"key": "b", "at": NOON}])
    with store.reading() as work:
        assert list(work.connection.scalars(handled.select())) == ["b"]


def test_what_the_database_will_never_do_is_a_bug_and_no_outage(store):
    """Whoever took it for an outage would wait for ever, and everybody behind them."""
    too_long = "".join(chr(33 + number * 7919 % 90) for number in range(50_000))
    too_many = text("SELECT " + " + ".join(["1"] * 50_000))

    for asked in (handled.insert().values(key=token_hex(40_000) + too_long, at=NOON), too_many):
        if store.engine.dialect.name == "sqlite" and asked is not too_many:
            continue
        with pytest.raises(exc.DBAPIError), store.writing() as work:
            work.connection.execute(asked)


def test_a_schema_that_is_not_there_is_waited_for(store):
    for asked in ("SELECT 1 FROM not_there", "SELECT not_there FROM handled"):
        with pytest.raises(DatabaseDown), store.writing() as work:
            work.connection.execute(text(asked))


def test_nobody_waits_for_a_lock_for_longer_than_a_person_in_slack_does(store, database_url):
    other = Store.at(database_url)
    with store.writing() as work:
        work.connection.execute(handled.insert().values(key="k", at=NOON))
    began = time.monotonic()
    with store.writing() as work:
        work.connection.execute(handled.update().values(at=NOON))

        with pytest.raises(DatabaseDown), other.writing() as late:
            late.connection.execute(handled.update().values(at=NOON))
    other.close()

    assert time.monotonic() - began < 2.9


def test_whoever_comes_second_for_a_locked_row_waits_no_longer_than_the_first(store, database_url):
    holder, first, second = Store.at(database_url), Store.at(database_url), Store.at(database_url)
    lasted = list[float]()

    def waits(other: Store) -> None:
        began = time.monotonic()
        with contextlib.suppress(DatabaseDown), other.writing() as late:
            late.connection.execute(handled.update().values(at=NOON))
        lasted.append(time.monotonic() - began)

    with store.writing() as work:
        work.connection.execute(handled.insert().values(key="k", at=NOON))
    threads = [threading.Thread(target=waits, args=(one,)) for one in (first, second)]
    with holder.writing() as work:
        work.connection.execute(handled.update().values(at=NOON))
        for thread in threads:
            thread.start()
            time.sleep(0.8)
        for thread in threads:
            thread.join()
    for one in (holder, first, second):
        one.close()

    assert max(lasted) < 2.5


def test_whoever_stands_still_in_a_transaction_loses_it_and_its_locks(store, database_url):
    if not can_notify(store.engine):
        pytest.skip("with SQLite, whoever could take over is the same process")
    still, other = Store(connect(database_url, still_seconds=0.5)), Store.at(database_url)
    with pytest.raises(DatabaseDown), still.writing() as work:
        work.openings_alone()
        time.sleep(1)
        with other.writing() as late:
            late.openings_alone()
        work.mark_handled("k", NOON)
        raise AssertionError("its transaction went on")
    still.close()
    other.close()


def test_a_connection_that_broke_while_it_lay_is_replaced_unnoticed(store):
    if not can_notify(store.engine):
        pytest.skip("an embedded database has no connection that could break")
    store.incidents()
    with psycopg.connect(store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as admin:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert admin.execute(f"SELECT pg_terminate_backend(pid) {others}").fetchall()
    time.sleep(TRUSTED_SECONDS + 0.1)

    assert store.incidents() == ()


def test_a_connection_that_broke_just_now_is_told_as_such_and_replaced_by_the_next(store, database_url):
    if not can_notify(store.engine):
        pytest.skip("an embedded database has no connection that could break")
    trusting = Store(connect(database_url, trusted_seconds=60))
    trusting.incidents()
    with psycopg.connect(store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as admin:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert admin.execute(f"SELECT pg_terminate_backend(pid) {others}").fetchall()
    with pytest.raises(DatabaseDown):
        trusting.incidents()

    assert trusting.incidents() == ()
    trusting.close()


def test_whoever_is_alone_in_haste_does_not_wait_for_the_disk_and_whoever_comes_next_does(store):
    if not can_notify(store.engine):
        pytest.skip("SQLite waits for the disk where it is told to, and not for each transaction")

    def waits(connection: Connection) -> str:
        return connection.exec_driver_sql("SELECT current_setting('synchronous_commit')").scalar_one()

    with writing(store.engine) as connection:
        usual, now = waits(connection), database_now(connection)
        assert alone_in_haste(connection, 1) == now
        assert waits(connection) == "off"
    with writing(store.engine) as connection:
        assert waits(connection) == usual != "off"


@pytest.mark.parametrize(
    ("usual", "ours"),
    [("off", "on"), ("on", "on"), ("local", "local"), ("remote_write", "remote_write"), ("remote_apply", "remote_apply")],
)
def test_where_a_commit_would_not_wait_for_the_disk_ours_do_and_what_is_stricter_stays(store, usual, ours):
    if not can_notify(store.engine):
        pytest.skip("SQLite waits for the disk because its connections are told to")
    with store.writing() as work:
        name = work.connection.exec_driver_sql("SELECT current_database()").scalar_one()
        work.connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = {usual}')
    store.engine.dispose()

    with writing(store.engine) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == ours
    with at_once(store.engine) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == ours
    with pytest.raises(ZeroDivisionError), writing(store.engine) as connection:
        assert alone_in_haste(connection, 1)
        raise ZeroDivisionError
    with writing(store.engine) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == ours
    assert answers_before_the_disk(store.engine) is (usual == "off")


def test_sqlite_is_never_said_to_answer_before_the_disk(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")

    assert answers_before_the_disk(engine) is False
    engine.dispose()


def test_a_migration_waits_for_another_as_long_as_it_takes(store, database_url):
    if not can_notify(store.engine):
        pytest.skip("SQLite has one lock for all, and two seconds for whoever wants it")
    holds, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with writing(store.engine) as connection:
            alone(connection, migrate.LOCK)
            holds.set()
            go_on.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert holds.wait(10)
    threading.Timer(2.5, go_on.set).start()
    other = Store.at(database_url)
    migrate.upgrade(other.engine)
    other.close()
    thread.join()
