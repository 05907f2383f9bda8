"""Accounts: kept in a store, and known to every request from a snapshot that is refreshed beside them."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from slipway_api.errors import AuthenticationError, NotReadyError
from slipway_core.logging import get_logger

REFRESH_SECONDS = 2.0
FIRST_LOOK_SECONDS = 5.0
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
class Known:
    """What every request needs to know of an account."""

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


class AccountStore(Protocol):
    """Where accounts are kept. Its calls block: run them in a thread.

    Each raises NotReadyError while the database is away.
    """

    def add(self, name: str, password_hash: str, role: Role) -> Account:
        """Add an account; raises ConflictError if the name is taken."""
        ...

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        ...

    def count(self) -> int:
        """Return how many accounts there are."""
        ...

    def snapshot(self) -> Mapping[uuid.UUID, Known]:
        """Return what requests need to know of every account."""
        ...


class Accounts:
    """The store, opened at its first use, and what was last read of it, so that no request waits on the database.

    The driver behind the store takes half a second to import; a start that is not asked about accounts yet need not
    wait for it.
    """

    def __init__(
        self,
        open_store: Callable[[], AccountStore],
        stale_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store = open_store
        self._store: AccountStore | None = None
        self._lock = threading.Lock()
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._known: Mapping[uuid.UUID, Known] = {}
        # What became known while all are read again: it may be newer.
        self._noted: Mapping[uuid.UUID, Known] = {}
        self._read_at: float | None = None
        self._away = False
        self._reason = DATABASE_AWAY
        # Set when the store was opened and looked at once, whatever came of it.
        self.looked = asyncio.Event()

    @property
    def store(self) -> AccountStore:
        """The store. The first use blocks: it opens it."""
        with self._lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    async def opened(self) -> None:
        """Wait until the first look at the store is over, for callers that come right after a start.

        Raises:
            NotReadyError: it takes too long.
        """
        if self.looked.is_set():
            return
        try:
            await asyncio.wait_for(self.looked.wait(), FIRST_LOOK_SECONDS)
        except TimeoutError as error:
            raise NotReadyError(DATABASE_AWAY) from error

    def refresh(self) -> bool:
        """Read all accounts; keep the last ones if the database is away. Returns whether they were read."""
        self._noted = {}
        try:
            known = self.store.snapshot()
        except NotReadyError as error:
            if not self._away:
                log.warning("accounts_unreadable", reason=str(error), cause=type(error.__cause__).__name__)
            self._away, self._reason = True, str(error)
            return False
        if self._read_at is None or self._away:
            log.info("accounts_read", count=len(known))
        newer = {i: k for i, k in self._noted.items() if i not in known or known[i].version < k.version}
        self._known, self._read_at, self._away = {**known, **newer}, self._clock(), False
        return True

    def note(self, account: Account) -> None:
        """Make an account that was just read or added known at once."""
        known = Known(account.name, account.role, account.version, account.disabled)
        self._noted = {**self._noted, account.id: known}
        self._known = {**self._known, account.id: known}

    def caller(self, user_id: uuid.UUID, version: int) -> Caller:
        """Return the account of a token.

        Raises:
            AuthenticationError: it is gone or disabled, or the token is older than its last change.
            NotReadyError: accounts were not read yet, or too long ago.
        """
        if self._read_at is None or self._clock() - self._read_at > self._stale_seconds:
            raise NotReadyError(self._reason)
        known = self._known.get(user_id)
        if known is None or known.disabled or known.version != version:
            raise AuthenticationError("the token is no longer valid; get a new one from POST /token")
        return Caller(user_id, known.name, known.role)
