"""The cache of all accounts, API keys and revoked tokens that requests are authenticated with."""

import asyncio
import hmac
import threading
import time
import uuid
from collections.abc import Callable

from slipway_api.accounts.cached_rows import CachedRows
from slipway_api.accounts.key_models import (
    KEY_CANNOT,
    KEY_EXPIRED,
    KEY_INVALID,
    AddedKey,
    CachedKey,
    RevokedKey,
    RevokedToken,
)
from slipway_api.accounts.key_text import PresentedKey
from slipway_api.accounts.models import (
    TOKEN_REVOKED,
    Account,
    CachedAccount,
    CurrentToken,
    CurrentUser,
    DeletedAccount,
    Snapshot,
    require_current,
)
from slipway_api.accounts.store import DATABASE_UNAVAILABLE, AccountStore, SnapshotFile
from slipway_api.accounts.tokens import TOKEN_REQUIRED
from slipway_api.errors import AuthenticationError, NotReadyError, PermissionDeniedError
from slipway_core.logging import get_logger

REFRESH_SECONDS = 2.0
# A refresh that takes longer counts as a database that does not answer.
REFRESH_TIMEOUT_SECONDS = 5.0
FIRST_REFRESH_TIMEOUT_SECONDS = 5.0
# Tokens are dated in whole seconds, and the clocks of replicas differ slightly.
CLOCK_DIFFERENCE_SECONDS = 3.0

# A change of what requests are authenticated with.
Change = Account | DeletedAccount | AddedKey | RevokedKey | RevokedToken

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
        self._accounts: CachedRows[CachedAccount] = CachedRows(lambda account: account.version)
        self._keys: CachedRows[CachedKey] = CachedRows()
        self._revoked: CachedRows[float] = CachedRows()
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
        cached = self._accounts.rows.get(user_id)
        if cached is not None and cached.version >= version:
            return False
        return self._is_before(issued)

    def may_lack(self, key: PresentedKey) -> bool:
        """Return whether another worker may have created a key since the last refresh."""
        return key.id not in self._keys.rows and self._is_before(key.created)

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

    def apply(self, change: Change) -> None:
        """Apply the result of a committed change. Safe to call from any thread."""
        if isinstance(change, Account):
            self.update(change)
        elif isinstance(change, DeletedAccount):
            self.invalidate(change.id)
        else:
            with self._merge_lock:
                if isinstance(change, AddedKey):
                    self._keys.put(change.cached.id, change.cached)
                elif isinstance(change, RevokedKey):
                    self._keys.remove(change.id)
                else:
                    self._revoked.put(change.id, change.expires)

    def update(self, account: Account) -> None:
        """Cache an account that was just read, added or changed, unless the cache holds a newer version."""
        with self._merge_lock:
            new = CachedAccount(account.name, account.role, account.version, account.disabled)
            self._accounts.put(account.id, new)

    def invalidate(self, user_id: uuid.UUID) -> None:
        """Remove a deleted account, whose keys then have no owner."""
        with self._merge_lock:
            self._accounts.remove(user_id)

    def current_user(self, user_id: uuid.UUID, version: int, token: CurrentToken | None = None) -> CurrentUser:
        """Return the user that a token of a version belongs to.

        Raises:
            AuthenticationError: the account was deleted or disabled, or has changed since the token was issued; or the
                token was revoked.
            NotReadyError: accounts have not been read yet, or the cache is too old.
        """
        self._require_fresh()
        cached = require_current(self._accounts.rows.get(user_id), version)
        if token is not None and token.id in self._revoked.rows:
            raise AuthenticationError(TOKEN_REVOKED)
        return CurrentUser(user_id, cached.name, cached.role, cached.version, token)

    def user_of_key(self, key_id: uuid.UUID, digest: str) -> CurrentUser:
        """Return the user that owns a key.

        Args:
            key_id: the key's public id.
            digest: the digest of the text that the request has sent.

        Raises:
            AuthenticationError: the key is unknown, revoked or expired, or its account was deleted or disabled.
            NotReadyError: accounts have not been read yet, or the cache is too old.
        """
        self._require_fresh()
        key = self._keys.rows.get(key_id)
        if key is None or not hmac.compare_digest(key.digest, digest):
            raise AuthenticationError(KEY_INVALID)
        if key.expires is not None and self._wall_clock() >= key.expires:
            raise AuthenticationError(KEY_EXPIRED)
        owner = self._accounts.rows.get(key.user_id)
        if owner is None or owner.disabled:
            raise AuthenticationError(KEY_INVALID)
        return CurrentUser(key.user_id, owner.name, owner.role, owner.version, None, key)

    def still_current(self, user: CurrentUser) -> CurrentUser:
        """Return a user as cached now. Raises as `current_user` and `user_of_key`."""
        if user.key is not None:
            return self.user_of_key(user.key.id, user.key.digest)
        return self.current_user(user.id, user.version, user.token)

    def logged_in(self, user: CurrentUser | None) -> CurrentUser:
        """Return a user as cached now, who changes or reads accounts, keys or tokens.

        Raises:
            AuthenticationError: the request has no token, or the account has changed since it arrived.
            PermissionDeniedError: the request has an API key.
        """
        if user is None:
            raise AuthenticationError(TOKEN_REQUIRED)
        if user.key is not None:
            raise PermissionDeniedError(KEY_CANNOT)
        return self.still_current(user)

    def snapshot(self) -> Snapshot:
        """Return everything that is cached."""
        return Snapshot(self._accounts.rows, self._keys.rows, self._revoked.rows)

    def _is_before(self, moment: float) -> bool:
        return self._refreshed_at is not None and self._snapshot_time < moment + CLOCK_DIFFERENCE_SECONDS

    def _require_fresh(self) -> None:
        if self._refreshed_at is None or self._clock() - self._refreshed_at > self._stale_seconds:
            raise NotReadyError(self._reason)

    def _timed_refresh(self) -> bool:
        self._refresh_started_at = self._clock()
        try:
            return self._refresh()
        finally:
            self._refresh_started_at = None

    def _refresh(self) -> bool:
        started_at = self._wall_clock()
        with self._merge_lock:
            self._accounts.begin_read()
            self._keys.begin_read()
            self._revoked.begin_read()
        try:
            found = self.store.snapshot()
        except NotReadyError as error:
            if not self._unavailable:
                log.warning("accounts_unreadable", reason=str(error), cause=type(error.__cause__).__name__)
                if self._refreshed_at is None:
                    self._load_file()
            self._unavailable, self._reason = True, str(error)
            return False
        if self._refreshed_at is None or self._unavailable:
            log.info("accounts_read", count=len(found.accounts))
        with self._merge_lock:
            self._end_read(found)
            self._refreshed_at, self._unavailable = self._clock(), False
            self._snapshot_time = started_at
            merged = self.snapshot()
        if self._file is not None:
            self._file.save(merged)
        return True

    def _end_read(self, found: Snapshot) -> None:
        self._accounts.end_read(found.accounts)
        self._keys.end_read(found.keys)
        self._revoked.end_read(found.revoked)

    def _load_file(self) -> None:
        """Start with the snapshot on disk, unless it is too old."""
        saved = self._file.load() if self._file is not None else None
        if saved is None:
            return
        found, age = saved
        if age > self._stale_seconds:
            log.warning("accounts_snapshot_refused", reason="it is too old", age_seconds=round(age))
            return
        log.info("accounts_read_from_disk", count=len(found.accounts), age_seconds=round(age))
        with self._merge_lock:
            self._end_read(found)
            self._refreshed_at = self._clock() - age
