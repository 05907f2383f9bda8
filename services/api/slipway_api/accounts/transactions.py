"""Transactions on the database of accounts, on SQLite and PostgreSQL alike, with errors that clients may be told."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, insert, inspect
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from slipway_api.accounts.directory import DATABASE_AWAY
from slipway_api.accounts.events import AccountEvent, Action, Actor
from slipway_api.errors import NotReadyError
from slipway_core.ids import uuid7
from slipway_core.logging import get_logger
from slipway_core.tables import account_events, erasures, login_attempts, users

NO_TABLES = "the database has no tables yet, or lacks new ones: run `slipway-api migrate`"
NEEDED = frozenset({table.name for table in (users, account_events, erasures, login_attempts)})
MAX_ADDRESS_LENGTH = 64

log = get_logger("slipway.accounts")


class AccountDatabase:
    """The database; each block is one transaction.

    Every call raises NotReadyError while the database is away, and IntegrityError as it comes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection to read by."""
        with self._reaching(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose changes are kept at the end of the block, or none of them.

        On SQLite one block at a time, from its beginning: what it reads holds until it ends. On PostgreSQL, lock the
        rows that must not change.
        """
        with self._reaching(), self._engine.begin() as connection:
            if self.is_sqlite:
                # By itself the driver begins at the first change, and what was read before it may no longer hold.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            # PostgreSQL tells a missing table as a fault of the statement, SQLite as any other fault.
            answers = isinstance(error, ProgrammingError) or self.is_sqlite
            raise NotReadyError(NO_TABLES if answers and self._lacks_tables() else DATABASE_AWAY) from error

    def _lacks_tables(self) -> bool:
        try:
            return not set(inspect(self._engine).get_table_names()) >= NEEDED
        except SQLAlchemyError:
            return False


class Changes:
    """The events of one transaction: told in the database with the change itself, and in the log after it."""

    def __init__(self, connection: Connection, actor: Actor) -> None:
        self._connection = connection
        self._actor = actor
        self._told: list[AccountEvent] = []

    def tell(self, action: Action, subject_id: uuid.UUID, subject_name: str | None, **details: object) -> None:
        """Write an event; `details` are ids, roles and flags, never names or secrets."""
        address = self._actor.address[:MAX_ADDRESS_LENGTH] if self._actor.address else None
        event = AccountEvent(
            uuid7(), datetime.now(UTC), self._actor.id, subject_id, subject_name, action, address, details
        )
        self._connection.execute(insert(account_events).values(vars(event)))
        self._told.append(event)

    def log(self) -> None:
        """Log the events, by ids only. Call it when the transaction is over."""
        for event in self._told:
            by = str(event.actor_id) if event.actor_id else None
            log.info("account_event", action=event.action, user_id=str(event.subject_id), by=by, **event.details)
