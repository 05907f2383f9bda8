"""Alembic's migrations of Slipway's own database, and the call that applies them."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from slipway_core.database import connect
from slipway_core.errors import ConfigurationError


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database's tables up to a revision; what is there already is kept.

    Raises:
        ConfigurationError: the database cannot be opened, or a migration fails.
    """
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", "slipway_core:migrations")
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Replicas start at once; the lock ends with the transaction.
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('slipway migrations'))"))
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except CommandError as error:
        raise ConfigurationError(
            "the database of DATABASE_URL was made by a later release of Slipway; run that release or a newer one"
        ) from error
    except SQLAlchemyError as error:
        raise ConfigurationError(
            "the database of DATABASE_URL cannot be brought up to date; check that it exists, that the account may "
            f"make tables, and that its folder can be written: {type(error).__name__}"
        ) from error
    finally:
        engine.dispose()
