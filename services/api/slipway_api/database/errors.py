"""Translate the errors of Slipway's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from slipway_api.errors import NotReadyError

TABLES_MISSING = "the database has no tables yet, or lacks new ones: run `slipway-api migrate`"
# The tables of each database that were found. A statement on a missing table would be an error in the database's log,
# and a start of the whole stack would report it, because the API does not wait for the migrations.
_found: WeakKeyDictionary[Engine, frozenset[str]] = WeakKeyDictionary()


@contextmanager
def translated_errors(engine: Engine, tables: frozenset[str], unavailable: str) -> Iterator[None]:
    """Convert errors of an unavailable or unmigrated database to NotReadyError, and let IntegrityError through.

    Args:
        engine: the database of the block's statements.
        tables: the tables that these need.
        unavailable: the message while the database is unavailable.
    """
    try:
        if not tables <= _found.get(engine, frozenset()):
            _found[engine] = frozenset(inspect(engine).get_table_names())
            if not tables <= _found[engine]:
                raise NotReadyError(TABLES_MISSING)
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        # PostgreSQL reports a missing table as a programming error, SQLite as an operational error. Do not query an
        # unresponsive database again.
        is_reachable = isinstance(error, ProgrammingError) or engine.dialect.name == "sqlite"
        is_unmigrated = is_reachable and _lacks(engine, tables)
        raise NotReadyError(TABLES_MISSING if is_unmigrated else unavailable) from error


def _lacks(engine: Engine, tables: frozenset[str]) -> bool:
    try:
        return not tables <= set(inspect(engine).get_table_names())
    except SQLAlchemyError:
        return False
