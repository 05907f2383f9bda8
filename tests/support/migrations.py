"""Operations on a migrated database that only tests need: downgrade it, and list its tables."""

from alembic import command
from alembic.config import Config
from sqlalchemy import inspect

from slipway_core.database import connect


def downgrade(url: str, revision: str = "base") -> None:
    """Downgrade a database to a revision."""
    config = Config()
    config.set_main_option("script_location", "slipway_core:migrations")
    engine = connect(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def table_names(url: str) -> set[str]:
    """Return the names of a database's tables."""
    engine = connect(url)
    names = inspect(engine).get_table_names()
    engine.dispose()
    return set(names)
