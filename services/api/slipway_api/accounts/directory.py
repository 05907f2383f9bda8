"""Accounts: kept in a store, and known to every request from a snapshot that is refreshed beside them."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from slipway_api.accounts.events import AccountEvent, Action, Actor
from slipway_api.accounts.login_throttle import LoginAttempts
from slipway_api.accounts.models import Account, Caller, Known, Role, confirm
from slipway_api.errors import NotReadyError
from slipway_core.logging import get_logger

REFRESH_SECONDS = 2.0
# A reading that takes longer waits for a database that has fallen silent.
SILENT_SECONDS = 5.0
FIRST_LOOK_SECONDS = 5.0
# A token tells the second in which it was made, and replicas' clocks differ a little.
CLOCK_DIFFERENCE_SECONDS = 3.0
DATABASE_AWAY = "accounts cannot be read now: the database is away; try again in a moment"

log = get_logger("slipway.accounts")


class AccountStore(Protocol):
    """Where accounts are kept. Its calls block: run them in a thread.

    Each raises NotReadyError while the database is away. Each change is told as an event, with who made it. Who made it
    is looked at once more in its transaction: AuthenticationError and PermissionDeniedError mean what they do before.
    """

    @property
    def attempts(self) -> LoginAttempts:
        """The logins that failed of late."""
        ...

    def add(
        self, name: str, password_hash: str, role: Role, *, by: Actor = ..., action: Action = Action.REGISTERED
    ) -> Account:
        """Add an account; raises ConflictError if the name is taken."""
        ...

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such name."""
        ...

    def get(self, user_id: uuid.UUID) -> tuple[Account, str] | None:
        """Return an account and its password hash; None if there is no such id."""
        ...

    def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return the accounts whose names come after one, at most `limit` of them, by name."""
        ...

    def change(
        self,
        name: str,
        *,
        by: Actor,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Change what is given; raises NotFoundError, and ConflictError for the last active admin."""
        ...

    def set_password(self, account: Account, password_hash: str, *, by: Actor) -> Account | None:
        """Set a new password and end older tokens; None if the account was changed or deleted since it was read."""
        ...

    def renew_hash(self, account: Account, old: str, new: str) -> None:
        """Replace a hash by another one of the same password; tokens stay valid."""
        ...

    def delete(self, name: str, *, by: Actor, erase: bool = False, user_id: uuid.UUID | None = None) -> uuid.UUID:
        """Delete an account; raises NotFoundError, and ConflictError for the last active admin."""
        ...

    def tell_locked(self, name: str, *, by: Actor) -> None:
        """Tell that a name has failed to log in too often, if an account has it."""
        ...

    def events(self, before: uuid.UUID | None, limit: int) -> Sequence[AccountEvent]:
        """Return what happened to accounts before an event, at most `limit` of them, the newest first."""
        ...

    def count(self) -> int:
        """Return how many accounts there are."""
        ...

    def snapshot(self) -> Mapping[uuid.UUID, Known]:
        """Return what requests need to know of every account."""
        ...


class SnapshotFile(Protocol):
    """Where the snapshot is kept for a restart without the database."""

    def save(self, known: Mapping[uuid.UUID, Known]) -> None:
        """Keep what was read just now, unless that is on disk already."""
        ...

    def load(self) -> tuple[Mapping[uuid.UUID, Known], float] | None:
        """Return what was kept and its age in seconds; None if there is nothing that can be trusted."""
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
        file: SnapshotFile | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._open_store = open_store
        self._store: AccountStore | None = None
        self._lock = threading.Lock()
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._file = file
        self._wall_clock = wall_clock
        self._refreshing = threading.Lock()
        self._known: Mapping[uuid.UUID, Known] = {}
        # What became known while all are read again, and what was deleted: it may be newer.
        self._noted: dict[uuid.UUID, Known] = {}
        self._forgotten: set[uuid.UUID] = set()
        self._merging = threading.Lock()
        self._read_at: float | None = None
        # When the last reading began, in seconds since 1970.
        self._read_of = 0.0
        # When the one that is under way began.
        self._reading_since: float | None = None
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
        with self._refreshing:
            return self._timed_refresh()

    def is_behind(self, user_id: uuid.UUID, version: int, issued: float) -> bool:
        """Tell whether a token may be of an account, or a change of one, that another worker made after our last look.

        Args:
            user_id: whose it is.
            version: of the account when the token was made.
            issued: when that was, in whole seconds since 1970.
        """
        known = self._known.get(user_id)
        if known is not None and known.version >= version:
            return False
        return self._read_at is not None and self._read_of < issued + CLOCK_DIFFERENCE_SECONDS

    def catch_up(self) -> None:
        """Read all accounts, unless somebody else did while this waited for its turn. Blocks.

        Raises:
            NotReadyError: the database is away; what another worker did may be right, or not.
        """
        self.check_database()
        asked = self._wall_clock()
        with self._refreshing:
            if self._read_of < asked:
                self._timed_refresh()
        self.check_database()

    def _timed_refresh(self) -> bool:
        self._reading_since = self._clock()
        try:
            return self._refresh()
        finally:
            self._reading_since = None

    def _refresh(self) -> bool:
        began = self._wall_clock()
        with self._merging:
            self._noted, self._forgotten = {}, set()
        try:
            known = self.store.snapshot()
        except NotReadyError as error:
            if not self._away:
                log.warning("accounts_unreadable", reason=str(error), cause=type(error.__cause__).__name__)
                if self._read_at is None:
                    self._load()
            self._away, self._reason = True, str(error)
            return False
        if self._read_at is None or self._away:
            log.info("accounts_read", count=len(known))
        with self._merging:
            newer = {i: k for i, k in self._noted.items() if i not in known or known[i].version < k.version}
            known = {i: k for i, k in {**known, **newer}.items() if i not in self._forgotten}
            self._known, self._read_at, self._away = known, self._clock(), False
            self._read_of = began
        if self._file is not None:
            self._file.save(known)
        return True

    def _load(self) -> None:
        """Begin with what was kept on disk, if that is not too old."""
        kept = self._file.load() if self._file is not None else None
        if kept is None:
            return
        known, age = kept
        if age > self._stale_seconds:
            log.warning("accounts_snapshot_refused", reason="it is too old", age_seconds=round(age))
            return
        log.info("accounts_read_from_disk", count=len(known), age_seconds=round(age))
        self._known, self._read_at = known, self._clock() - age

    def check_database(self) -> None:
        """Refuse at once what needs the database while that is known to be away.

        Raises:
            NotReadyError: it did not answer at the last refresh, or does not at this one.
        """
        since = self._reading_since
        if self._away or (since is not None and self._clock() - since > SILENT_SECONDS):
            raise NotReadyError(self._reason)

    def note(self, account: Account) -> None:
        """Make an account that was just read, added or changed known at once, unless something newer is known."""
        new = Known(account.name, account.role, account.version, account.disabled)
        with self._merging:
            current = self._known.get(account.id)
            if account.id in self._forgotten or (current is not None and current.version > new.version):
                return
            self._noted[account.id] = new
            self._known = {**self._known, account.id: new}

    def forget(self, user_id: uuid.UUID) -> None:
        """Make it known at once that an account was deleted."""
        with self._merging:
            self._noted.pop(user_id, None)
            self._forgotten.add(user_id)
            self._known = {i: k for i, k in self._known.items() if i != user_id}

    def caller(self, user_id: uuid.UUID, version: int) -> Caller:
        """Return the account of a token.

        Raises:
            AuthenticationError: it is gone or disabled, or the token is older than its last change.
            NotReadyError: accounts were not read yet, or too long ago.
        """
        if self._read_at is None or self._clock() - self._read_at > self._stale_seconds:
            raise NotReadyError(self._reason)
        known = confirm(self._known.get(user_id), version)
        return Caller(user_id, known.name, known.role, known.version)
