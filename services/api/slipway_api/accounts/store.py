"""The interfaces of the accounts' storage: the database, and the snapshot on disk."""

import uuid
from collections.abc import Sequence
from typing import Protocol

from slipway_api.accounts.events import AccountEvent, Action, AuditActor
from slipway_api.accounts.key_store import KeyStore
from slipway_api.accounts.login_throttle import LoginAttempts
from slipway_api.accounts.models import Account, DeletedAccount, Role, Snapshot

DATABASE_UNAVAILABLE = "accounts cannot be read now: the database is away; try again in a moment"


class AccountStore(Protocol):
    """The accounts in the database. Its methods block: call them in a thread.

    Every method raises NotReadyError while the database is unavailable. Each change is one transaction, which also
    writes the event. The transaction checks the acting user again: it raises AuthenticationError if the account has
    changed since the request arrived, and PermissionDeniedError if it has lost the role admin.
    """

    @property
    def attempts(self) -> LoginAttempts:
        """The counters of failed logins."""
        ...

    @property
    def keys(self) -> KeyStore:
        """The API keys and revoked tokens."""
        ...

    def add(
        self,
        name: str,
        password_hash: str,
        role: Role,
        *,
        actor: AuditActor = ...,
        action: Action = Action.REGISTERED,
    ) -> Account:
        """Add an account. Raises ConflictError if the name is taken."""
        ...

    def find(self, name: str) -> tuple[Account, str] | None:
        """Return the account with a name, and its password hash; None if it does not exist."""
        ...

    def get(self, user_id: uuid.UUID) -> tuple[Account, str] | None:
        """Return the account with an id, and its password hash; None if it does not exist."""
        ...

    def page(self, after: str, limit: int) -> Sequence[Account]:
        """Return at most `limit` accounts whose names sort after `after`, by name."""
        ...

    def change(
        self,
        name: str,
        *,
        actor: AuditActor,
        role: Role | None = None,
        disabled: bool | None = None,
        password_hash: str | None = None,
    ) -> Account:
        """Change the given fields. Raises NotFoundError, and ConflictError for the last active admin."""
        ...

    def set_password(self, account: Account, password_hash: str, *, actor: AuditActor) -> Account:
        """Set a new password. Raises AuthenticationError if the account has changed since it was read."""
        ...

    def revoke_tokens(self, name: str, *, actor: AuditActor) -> Account:
        """Revoke every token of an account. Raises NotFoundError."""
        ...

    def renew_hash(self, account: Account, old: str, new: str) -> None:
        """Replace a hash by another hash of the same password; tokens stay valid."""
        ...

    def delete(self, user_id: uuid.UUID, *, actor: AuditActor, erase: bool = False) -> DeletedAccount:
        """Delete the account with an id. Raises NotFoundError, and ConflictError for the last active admin."""
        ...

    def delete_by_name(self, name: str, *, actor: AuditActor, erase: bool = False) -> DeletedAccount:
        """Delete the account with a name. Raises NotFoundError, and ConflictError for the last active admin."""
        ...

    def erase_deleted(self, user_id: uuid.UUID, *, actor: AuditActor) -> DeletedAccount:
        """Erase the remaining data of a deleted account. Raises NotFoundError."""
        ...

    def record_lockout(self, name: str, *, actor: AuditActor) -> None:
        """Write the event of a locked name, if an account has the name."""
        ...

    def events(self, before: uuid.UUID | None, limit: int) -> Sequence[AccountEvent]:
        """Return at most `limit` events that precede an event, newest first."""
        ...

    def count(self) -> int:
        """Return the number of accounts."""
        ...

    def snapshot(self) -> Snapshot:
        """Return everything that authenticating requests needs."""
        ...


class SnapshotFile(Protocol):
    """The snapshot on disk, for a restart while the database is unavailable."""

    def save(self, snapshot: Snapshot) -> None:
        """Save a snapshot that was read just now, unless the file holds it already."""
        ...

    def load(self) -> tuple[Snapshot, float] | None:
        """Return the saved snapshot and its age in seconds; None without a valid file."""
        ...
