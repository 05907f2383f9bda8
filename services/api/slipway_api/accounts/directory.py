"""The cache of all accounts that requests are authenticated with."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping

from slipway_api.accounts.models import Account, CachedAccount, CurrentUser, DeletedAccount, require_current
from slipway_api.accounts.store import DATABASE_UNAVAILABLE, AccountStore, SnapshotFile
from slipway_api.errors import NotReadyError
from slipway_core.logging import get_logger

REFRESH_SECONDS = 2.0
# A refresh that takes longer counts as a database that does not answer.
REFRESH_TIMEOUT_SECONDS = 5.0
FIRST_REFRESH_TIMEOUT_SECONDS = 5.0
# Tokens are dated in whole seconds, and the clocks of replicas differ slightly.
CLOCK_DIFFERENCE_SECONDS = 3.0

log = get_logger("slipway.accounts")


class AccountDirectory:
    """The accounts as last read from the store, so that no request waits for the database.

    The store opens at its first use: importing the database driver takes half a second, which a start should not
    wait for.

    Attributes:
        first_refresh_done: set after the first refresh, whether or not it succeeded.
    """

    def __init__(
        self,
        open_store: Callable[[], AccountStore],
        stale_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        file: SnapshotFile | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_store = open_store
        self._store: AccountStore | None = None
        self._open_lock = threading.Lock()
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._file = file
        self._wall_clock = wall_clock
        self._refresh_lock = threading.Lock()
        self._accounts: Mapping[uuid.UUID, CachedAccount] = {}
        # Changes since the current refresh began: they may be newer than its result.
        self._updated: dict[uuid.UUID, CachedAccount] = {}
        self._invalidated: set[uuid.UUID] = set()
        self._merge_lock = threading.Lock()
        self._refreshed_at: float | None = None
        # When the last successful refresh began, in seconds since 1970.
        self._snapshot_time = 0.0
        # When the refresh in progress began.
        self._refresh_started_at: float | None = None
        self._unavailable = False
        self._reason = DATABASE_UNAVAILABLE
        self.first_refresh_done = asyncio.Event()

    @property
    def store(self) -> AccountStore:
        """The store. The first use opens it and blocks."""
        with self._open_lock:
            if self._store is None:
                self._store = self._open_store()
            return self._store

    async def wait_for_first_refresh(self) -> None:
        """Wait until the first refresh is over, for requests that arrive right after a start.

        Raises:
            NotReadyError: the refresh takes too long.
        """
        if self.first_refresh_done.is_set():
            return
        try:
            await asyncio.wait_for(self.first_refresh_done.wait(), FIRST_REFRESH_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise NotReadyError(DATABASE_UNAVAILABLE) from error

    def refresh(self) -> bool:
        """Read all accounts and return True; if the database is unavailable, keep the cache and return False."""
        with self._refresh_lock:
            return self._timed_refresh()

    def may_be_outdated(self, user_id: uuid.UUID, version: int, issued: float) -> bool:
        """Return whether another worker may have added or changed a token's account since the last refresh.

        Args:
            user_id: the account of the token.
            version: the account's version when the token was issued.
            issued: when the token was issued, in whole seconds since 1970.
        """
        cached = self._accounts.get(user_id)
        if cached is not None and cached.version >= version:
            return False
        return self._refreshed_at is not None and self._snapshot_time < issued + CLOCK_DIFFERENCE_SECONDS

    def catch_up(self) -> None:
        """Refresh, unless another thread does so while this one waits for its turn. Blocks.

        Raises:
            NotReadyError: the database is unavailable, so a change by another worker cannot be read.
        """
        self.require_database()
        requested_at = self._wall_clock()
        with self._refresh_lock:
            if self._snapshot_time < requested_at:
                self._timed_refresh()
        self.require_database()

    def require_database(self) -> None:
        """Fail fast while the database is known to be unavailable.

        Raises:
            NotReadyError: the last refresh failed, or the refresh in progress has timed out.
        """
        started_at = self._refresh_started_at
        is_late = started_at is not None and self._clock() - started_at > REFRESH_TIMEOUT_SECONDS
        if self._unavailable or is_late:
            raise NotReadyError(self._reason)

    def apply(self, change: Account | DeletedAccount) -> None:
        """Apply the result of a committed change. Safe to call from any thread."""
        if isinstance(change, DeletedAccount):
            self.invalidate(change.id)
        else:
            self.update(change)

    def update(self, account: Account) -> None:
        """Cache an account that was just read, added or changed, unless the cache holds a newer version."""
        new = CachedAccount(account.name, account.role, account.version, account.disabled)
        with self._merge_lock:
            cached = self._accounts.get(account.id)
            if account.id in self._invalidated or (cached is not None and cached.version > new.version):
                return
            self._updated[account.id] = new
            self._accounts = {**self._accounts, account.id: new}

    def invalidate(self, user_id: uuid.UUID) -> None:
        """Remove a deleted account."""
        with self._merge_lock:
            self._updated.pop(user_id, None)
            self._invalidated.add(user_id)
            self._accounts = {i: account for i, account in self._accounts.items() if i != user_id}

    def current_user(self, user_id: uuid.UUID, version: int) -> CurrentUser:
        """Return the user that a token of a version belongs to.

        Raises:
            AuthenticationError: the account was deleted or disabled, or has changed since the token was issued.
            NotReadyError: accounts have not been read yet, or the cache is too old.
        """
        if self._refreshed_at is None or self._clock() - self._refreshed_at > self._stale_seconds:
            raise NotReadyError(self._reason)
        cached = require_current(self._accounts.get(user_id), version)
        return CurrentUser(user_id, cached.name, cached.role, cached.version)

    def _timed_refresh(self) -> bool:
        self._refresh_started_at = self._clock()
        try:
            return self._refresh()
        finally:
            self._refresh_started_at = None

    def _refresh(self) -> bool:
        started_at = self._wall_clock()
        with self._merge_lock:
            self._updated, self._invalidated = {}, set()
        try:
            accounts = self.store.snapshot()
        except NotReadyError as error:
            if not self._unavailable:
                log.warning("accounts_unreadable", reason=str(error), cause=type(error.__cause__).__name__)
                if self._refreshed_at is None:
                    self._load_file()
            self._unavailable, self._reason = True, str(error)
            return False
        if self._refreshed_at is None or self._unavailable:
            log.info("accounts_read", count=len(accounts))
        with self._merge_lock:
            newer = {i: a for i, a in self._updated.items() if i not in accounts or accounts[i].version < a.version}
            accounts = {i: a for i, a in {**accounts, **newer}.items() if i not in self._invalidated}
            self._accounts, self._refreshed_at, self._unavailable = accounts, self._clock(), False
            self._snapshot_time = started_at
        if self._file is not None:
            self._file.save(accounts)
        return True

    def _load_file(self) -> None:
        """Start with the snapshot on disk, unless it is too old."""
        saved = self._file.load() if self._file is not None else None
        if saved is None:
            return
        accounts, age = saved
        if age > self._stale_seconds:
            log.warning("accounts_snapshot_refused", reason="it is too old", age_seconds=round(age))
            return
        log.info("accounts_read_from_disk", count=len(accounts), age_seconds=round(age))
        self._accounts, self._refreshed_at = accounts, self._clock() - age
