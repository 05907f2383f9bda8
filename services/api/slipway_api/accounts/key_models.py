"""API keys: what a program may do with one, and how much of it each worker caches."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from slipway_api.errors import PermissionDeniedError
from slipway_core.policy import API_KEY_PREFIX

KEY_PREFIX = API_KEY_PREFIX.encode()
KEY_INVALID = (
    "the API key is not valid: it is mistyped, expired or revoked, or its account is disabled; create another with "
    "POST /keys"
)
KEY_EXPIRED = "the API key has expired; create a new one with POST /keys"
KEY_CANNOT = "an API key cannot do this; log in, and send a token from POST /token"


class KeyAction(StrEnum):
    """What a key may permit. Accounts, passwords and keys are never among it."""

    PREDICT = "predict"
    READ = "read"
    FEEDBACK = "feedback"
    RELOAD = "reload"
    PROMOTE = "promote"


@dataclass(frozen=True)
class ApiKey:
    """A key as its owner sees it, without its secret.

    Attributes:
        models: the names of the models that it permits; None for all models.
        expires_at: None for a key that never expires.
        last_used_at: accurate to about a minute; None if it was never used.
    """

    id: uuid.UUID
    user_id: uuid.UUID
    name: str
    description: str
    models: tuple[str, ...] | None
    actions: tuple[KeyAction, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None


@dataclass(frozen=True)
class CachedKey:
    """The part of a key that authenticating a request needs.

    Attributes:
        digest: the SHA-256 of the key's text, in hexadecimal.
        models: the names of the models that it permits; None for all models.
        expires: seconds since 1970; None for a key that never expires.
    """

    id: uuid.UUID
    user_id: uuid.UUID
    digest: str
    models: frozenset[str] | None
    actions: frozenset[KeyAction]
    expires: float | None

    def require_action(self, action: KeyAction) -> None:
        """Raise PermissionDeniedError if the key does not permit an action."""
        if action not in self.actions:
            permitted = ", ".join(sorted(self.actions))
            raise PermissionDeniedError(f"this API key permits only: {permitted}; use a key with the action {action}")

    def permits_model(self, name: str) -> bool:
        """Return whether the key permits a model."""
        return self.models is None or name in self.models

    def require_model(self, name: str) -> None:
        """Raise PermissionDeniedError if the key does not permit a model. The message names those that it permits."""
        if not self.permits_model(name):
            permitted = ", ".join(sorted(self.models or ()))
            raise PermissionDeniedError(f"this API key permits only the models {permitted}; use another key")


@dataclass(frozen=True)
class OwnedKey:
    """A key with the name of the account that owns it."""

    key: ApiKey
    owner: str


@dataclass(frozen=True)
class AddedKey:
    """The result of creating a key."""

    key: ApiKey
    cached: CachedKey


@dataclass(frozen=True)
class RevokedKey:
    """The result of revoking a key."""

    id: uuid.UUID


@dataclass(frozen=True)
class RevokedToken:
    """The result of revoking a token.

    Attributes:
        id: the token's claim `jti`.
        expires: when the token would have expired, in seconds since 1970.
    """

    id: uuid.UUID
    expires: float
