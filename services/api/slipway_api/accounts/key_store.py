"""The interface of the storage of API keys and revoked tokens."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Protocol

from slipway_api.accounts.events import AuditActor
from slipway_api.accounts.key_models import AddedKey, ApiKey, OwnedKey, RevokedKey, RevokedToken
from slipway_api.accounts.models import CurrentToken


class KeyStore(Protocol):
    """The API keys and revoked tokens in the database. Its methods block, and raise the errors of `AccountStore`."""

    def add(self, key: ApiKey, digest: str, *, actor: AuditActor) -> AddedKey:
        """Add a key of the acting user. Raises ConflictError if the account has too many."""
        ...

    def page(self, user_id: uuid.UUID | None, before: uuid.UUID | None, limit: int) -> Sequence[OwnedKey]:
        """Return at most `limit` keys of an account, or of all, that were created before a key, newest first."""
        ...

    def revoke(self, key_id: uuid.UUID, user_id: uuid.UUID | None, *, actor: AuditActor) -> RevokedKey:
        """Delete a key of an account, or of any. Raises NotFoundError."""
        ...

    def revoke_token(self, token: CurrentToken, *, actor: AuditActor) -> RevokedToken:
        """Revoke a token of the acting user until it expires."""
        ...

    def record_uses(self, uses: Mapping[uuid.UUID, float]) -> None:
        """Store when keys were last used, in seconds since 1970. Skips keys that another transaction has locked."""
        ...

    def prune(self, now: float) -> None:
        """Delete revoked tokens and keys that expired some time ago."""
        ...
