"""Databases with tables and without accounts, for tests that run on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from slipway_core.database import connect
from slipway_core.migrations import upgrade


@contextmanager
def migrated(url: str) -> Iterator[Engine]:
    """Migrate a database to the newest revision and open it."""
    upgrade(url)
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()
