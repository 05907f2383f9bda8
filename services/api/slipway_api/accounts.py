"""Accounts: kept in the database, and known to every request from a snapshot that is refreshed beside them."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from slipway_api.errors import AuthenticationError, ConflictError, NotReadyError
from slipway_core.logging import get_logger
from slipway_core.tables import User

REFRESH_SECONDS = 2.0
DATABASE_AWAY = "accounts cannot be read now: the database is away; try again in a moment"

log = get_logger("slipway.accounts")


class Role(StrEnum):
    """What an account may do."""

    ADMIN = "admin"
    USER = "user"
    VIEWER = "viewer"


@dataclass(frozen=True)
class Account:
    """An account without its password.

    Attributes:
        version: raised by each change that ends older tokens.
    """

    id: uuid.UUID
    name: str
    role: Role
    version: int
    disabled: bool
    created_at: datetime


@dataclass(frozen=True)
class _Known:
    """What requests need to know of an account."""

    name: str
    role: Role
    version: int
    disabled: bool


@dataclass(frozen=True)
class Caller:
    """The account that a verified token belongs to, as it is now."""

    id: uuid.UUID
    name: str
    role: Role


class AccountStore:
    """The accounts in the database. Its calls block: run them in a thread.

    Each raises NotReadyError while the database is away.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, password_hash: str, role: Role) -> Account:
        """Add an account.

        Raises:
            ConflictError: the name is taken.
        """
        account = Account(uuid.uuid4(), name, role, 1, disabled=False, created_at=datetime.now(UTC))
        values = {
            "id": account.id,
            "name": name,
            "password_hash": password_hash,
            "role": role.value,
            "version": 1,
            "disabled": False,
            "created_at": account.created_at,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(User).values(values))
        except IntegrityError as error:
            raise ConflictError(f"the name {name} is taken") from error
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        return account

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        columns = (User.id, User.name, User.role, User.version, User.disabled, User.created_at, User.password_hash)
        try:
            with self._engine.connect() as connection:
                row = connection.execute(select(*columns).where(User.name == name)).one_or_none()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        if row is None:
            return None
        account = Account(row.id, row.name, Role(row.role), row.version, row.disabled, row.created_at)
        return account, row.password_hash

    def count(self) -> int:
        """Return how many accounts there are."""
        try:
            with self._engine.connect() as connection:
                return connection.execute(select(func.count()).select_from(User)).scalar_one()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error

    def snapshot(self) -> dict[uuid.UUID, _Known]:
        """Return what requests need to know of every account."""
        columns = (User.id, User.name, User.role, User.version, User.disabled)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(select(*columns)).all()
        except SQLAlchemyError as error:
            raise NotReadyError(DATABASE_AWAY) from error
        return {row.id: _Known(row.name, Role(row.role), row.version, row.disabled) for row in rows}


class AccountSnapshot:
    """What was last read of the accounts, so that no request waits on the database."""

    def __init__(self, store: AccountStore, stale_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._known: dict[uuid.UUID, _Known] = {}
        self._read_at: float | None = None
        self._away = False

    def refresh(self) -> bool:
        """Read all accounts; keep the last ones if the database is away. Returns whether they were read."""
        try:
            known = self._store.snapshot()
        except NotReadyError as error:
            if not self._away:
                log.warning("accounts_unreadable", reason=type(error.__cause__).__name__)
            self._away = True
            return False
        if self._away or self._read_at is None:
            log.info("accounts_read", count=len(known))
        self._known, self._read_at, self._away = known, self._clock(), False
        return True

    def note(self, account: Account) -> None:
        """Make an account that was just read or added known at once."""
        known = _Known(account.name, account.role, account.version, account.disabled)
        self._known = {**self._known, account.id: known}

    def caller(self, user_id: uuid.UUID, version: int) -> Caller:
        """Return the account of a token.

        Raises:
            AuthenticationError: it is gone or disabled, or the token is older than its last change.
            NotReadyError: accounts were not read yet, or too long ago.
        """
        if self._read_at is None or self._clock() - self._read_at > self._stale_seconds:
            raise NotReadyError(DATABASE_AWAY)
        known = self._known.get(user_id)
        if known is None or known.disabled or known.version != version:
            raise AuthenticationError("the token is no longer valid; get a new one from POST /token")
        return Caller(user_id, known.name, known.role)
