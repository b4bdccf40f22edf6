"""Bringing the schema up to date, from any process, any number of times."""

import threading
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine

from bot import points
from bot.errors import Refused
from bot.store.database import alone, patient, reading, writing
from bot.store.tables import metadata

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
LOCK = 7_105_000
ALEMBIC = threading.Lock()
"""Alembic keeps what it works on in the process, not in the thread: one migration at a time."""


def upgrade(engine: Engine, to: str = "head") -> None:
    """To the newest schema. Whoever comes second waits for the first, and finds nothing left to do."""
    _refuse_newer(engine)
    with ALEMBIC, writing(engine) as connection:
        patient(connection)
        alone(connection, LOCK)
        command.upgrade(_config(connection), to)
        points.reached(points.MIGRATION)


def downgrade(engine: Engine, to: str = "base") -> None:
    """Back to an older schema; what it does not know is lost."""
    _refuse_newer(engine)
    with ALEMBIC, writing(engine) as connection:
        patient(connection)
        alone(connection, LOCK)
        try:
            command.downgrade(_config(connection), to)
        except CommandError:
            known = ", ".join(("base", *_known()))
            raise Refused(f"there is no way back to a schema {to}; the schemas are {known}") from None


def out_of_date(engine: Engine) -> str:
    """Why the schema is not the one this version needs; empty where it is."""
    known, found = _known(), _current(engine)
    newest = known[-1] if known else None
    if found == newest:
        return ""
    newer = _newer(engine)
    if newer:
        return newer
    return f"the schema is {found or 'missing'}, this version needs {newest}: run `python -m bot migrate`"


def _refuse_newer(engine: Engine) -> None:
    newer = _newer(engine)
    if newer:
        raise Refused(newer)


def _newer(engine: Engine) -> str:
    """Why this version cannot do anything with the schema: it was made by a newer one. Empty where it was not."""
    found = _current(engine)
    if found is None or found in _known():
        return ""
    return f"the schema is {found}, of a newer version than this one: run that version (or go back with its `migrate --down`)"


def _known() -> list[str]:
    """The schemas this version knows, oldest first."""
    return [one.revision for one in ScriptDirectory(str(_folder())).walk_revisions()][::-1]


def _current(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def differences(engine: Engine) -> list[object]:
    """What the tables in the code have and the database has not, or the other way round; for the tests."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _folder() -> Path:
    # Beside the package in a checkout; in the working directory where the package is installed elsewhere.
    return MIGRATIONS if MIGRATIONS.is_dir() else Path("migrations").resolve()
