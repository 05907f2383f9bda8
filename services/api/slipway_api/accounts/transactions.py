"""Transactions on the accounts' database, SQLite or PostgreSQL."""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, insert
from uuid_utils.compat import uuid7

from slipway_api.accounts.events import AccountEvent, Action, AuditActor
from slipway_api.accounts.store import DATABASE_UNAVAILABLE
from slipway_api.database.errors import translated_errors
from slipway_core.logging import get_logger
from slipway_core.tables import account_events, erasures, login_attempts, users

REQUIRED_TABLES = frozenset({table.name for table in (users, account_events, erasures, login_attempts)})
MAX_ADDRESS_LENGTH = 64

log = get_logger("slipway.accounts")


class AccountDatabase:
    """The database. Its methods raise NotReadyError while it is unavailable, and let IntegrityError through."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Yield a connection for queries."""
        with self._translated_errors(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Yield a connection whose changes are committed at the end of the block, or rolled back on an error.

        SQLite runs one such block at a time, so what the block reads stays true until it ends. On PostgreSQL, lock
        the rows that must not change.
        """
        with self._translated_errors(), self._engine.begin() as connection:
            if self.is_sqlite:
                # The driver's default is to begin at the first change: rows read earlier could change before it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def _translated_errors(self) -> AbstractContextManager[None]:
        return translated_errors(self._engine, REQUIRED_TABLES, DATABASE_UNAVAILABLE)


class EventRecorder:
    """The events of one transaction: written to the database with the change, and logged after the commit."""

    def __init__(self, connection: Connection, actor: AuditActor) -> None:
        self._connection = connection
        self._actor = actor
        self._recorded: list[AccountEvent] = []

    def record(self, action: Action, subject_id: uuid.UUID, subject_name: str | None, **details: object) -> None:
        """Write an event. `details` may hold ids, roles and flags, never names or secrets."""
        address = self._actor.address[:MAX_ADDRESS_LENGTH] if self._actor.address else None
        event = AccountEvent(
            uuid7(), datetime.now(UTC), self._actor.id, subject_id, subject_name, action, address, details
        )
        self._connection.execute(insert(account_events).values(vars(event)))
        self._recorded.append(event)

    def log(self) -> None:
        """Log the events, with ids instead of names. Call it after the commit."""
        for event in self._recorded:
            by = str(event.actor_id) if event.actor_id else None
            log.info("account_event", action=event.action, user_id=str(event.subject_id), by=by, **event.details)
