"""Transactions on the accounts' database, SQLite or PostgreSQL."""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select
from uuid_utils.compat import uuid7

from slipway_api.accounts.events import AccountEvent, Action, AuditActor
from slipway_api.accounts.models import TOKEN_REVOKED, CachedAccount, Role, require_admin, require_current
from slipway_api.accounts.store import DATABASE_UNAVAILABLE
from slipway_api.database.errors import translated_errors
from slipway_api.errors import AuthenticationError
from slipway_core.logging import get_logger
from slipway_core.tables import account_events, api_keys, erasures, login_attempts, revoked_tokens, users

REQUIRED_TABLES = frozenset(
    {table.name for table in (users, account_events, api_keys, erasures, login_attempts, revoked_tokens)}
)
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

    @contextmanager
    def change(self, actor: AuditActor) -> Iterator[tuple[Connection, "EventRecorder"]]:
        """Yield a connection as `begin` does, and a recorder of events, which are logged after the commit."""
        with self.begin() as connection:
            events = EventRecorder(connection, actor)
            yield connection, events
        events.log()

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


def lock_actor(connection: Connection, actor: AuditActor) -> str | None:
    """Lock the acting user's account, and reject a user whose account has changed since the request arrived.

    A body may take half a minute to arrive, and hashing a password takes time. A user who loses the account, the role
    or the token meanwhile must not restore any of them.

    Returns:
        The account's name; None without an acting user.
    """
    user = actor.user
    if user is None:
        return None
    columns = (users.c.name, users.c.role, users.c.version, users.c.disabled)
    row = connection.execute(select(*columns).where(users.c.id == user.id).with_for_update()).one_or_none()
    account = require_current(None if row is None else cached_account(row), user.version)
    if user.role is Role.ADMIN:
        require_admin(account.role)
    if user.token is not None:
        is_token = revoked_tokens.c.id == user.token.id
        if connection.execute(select(revoked_tokens.c.id).where(is_token)).first() is not None:
            raise AuthenticationError(TOKEN_REVOKED)
    return account.name


def cached_account(row: Row[*tuple[Any, ...]]) -> CachedAccount:
    """Return the cached form of a row of `users`."""
    return CachedAccount(row.name, Role(row.role), row.version, row.disabled)
