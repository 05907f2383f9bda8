"""Alembic's migrations of Slipway's own database, and the function that applies them."""

from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from slipway_core.database import connect
from slipway_core.errors import ConfigurationError


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database's tables to a revision. Existing rows are kept.

    Raises:
        ConfigurationError: the database cannot be opened, or a migration fails.
    """
    engine = connect(url, answer_seconds=None)  # migrating a large table takes long
    config = _config()
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Replicas may start at the same time; the lock ends with the transaction.
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('slipway migrations'))"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except CommandError as error:
        raise ConfigurationError(
            "the database of DATABASE_URL was created by a later release of Slipway; run that release or a newer one"
        ) from error
    except SQLAlchemyError as error:
        raise ConfigurationError(
            "the database of DATABASE_URL cannot be migrated; check that it exists, that the account may create "
            f"tables, and that its folder is writable: {type(error).__name__}"
        ) from error
    finally:
        engine.dispose()


def state_of(connection: Connection) -> Literal["current", "behind", "missing", "unknown"]:
    """Return the state of a database's migrations, without changing the database.

    `missing` is a database without tables of Slipway, `unknown` one of a later release.
    """
    scripts = ScriptDirectory.from_config(_config())
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        return "missing"
    if found == scripts.get_current_head():
        return "current"
    return "behind" if found in {script.revision for script in scripts.walk_revisions()} else "unknown"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "slipway_core:migrations")
    return config
