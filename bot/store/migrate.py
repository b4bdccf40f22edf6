"""Bringing the schema up to date, from any process, any number of times."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from bot.store.database import alone, reading, writing
from bot.store.tables import metadata

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
LOCK = 7_105_000


def upgrade(engine: Engine, to: str = "head") -> None:
    """To the newest schema. Whoever comes second waits for the first, and finds nothing left to do."""
    with writing(engine) as connection:
        alone(connection, LOCK)
        command.upgrade(_config(connection), to)


def downgrade(engine: Engine, to: str = "base") -> None:
    """Back to an older schema; what it does not know is lost."""
    with writing(engine) as connection:
        alone(connection, LOCK)
        command.downgrade(_config(connection), to)


def out_of_date(engine: Engine) -> str:
    """Why the schema is not the one this version needs; empty where it is."""
    newest = ScriptDirectory(str(_folder())).get_current_head()
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == newest:
        return ""
    return f"the schema is {found or 'missing'}, this version needs {newest}: run `python -m bot migrate`"


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
