"""Databases with the tables and no account, for tests that run on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from slipway_core.database import connect
from slipway_core.migrations import upgrade


@contextmanager
def migrated(url: str) -> Iterator[Engine]:
    """Bring a database up to date and open it."""
    upgrade(url)
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()
