"""Accounts, roles, and the checks of a caller's account."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from slipway_api.accounts.key_models import CachedKey
from slipway_api.errors import AuthenticationError, PermissionDeniedError

TOKEN_REVOKED = "the token is no longer valid; get a new one from POST /token"  # noqa: S105  # no password
ADMIN_REQUIRED = "only an admin may do this"
PREDICTOR_REQUIRED = "a viewer may read models, but not predict; ask an admin for the role user"


class Role(StrEnum):
    """What an account may do."""

    ADMIN = "admin"
    USER = "user"
    VIEWER = "viewer"


@dataclass(frozen=True)
class Account:
    """An account without its password hash.

    Attributes:
        version: incremented by each change that revokes the account's tokens.
    """

    id: uuid.UUID
    name: str
    role: Role
    version: int
    disabled: bool
    created_at: datetime


@dataclass(frozen=True)
class FirstAdmin:
    """The administrator to create in a database without accounts.

    The password is checked only then: the check takes too long for each start of the API.
    """

    name: str
    password: str = field(repr=False)
    may_be_unsafe: bool = False


@dataclass(frozen=True)
class DeletedAccount:
    """The result of deleting or erasing an account."""

    id: uuid.UUID


@dataclass(frozen=True)
class CachedAccount:
    """The part of an account that authenticating a request needs."""

    name: str
    role: Role
    version: int
    disabled: bool


@dataclass(frozen=True)
class Snapshot:
    """Everything that authenticating requests needs, by id.

    Attributes:
        keys: the API keys that have not expired.
        revoked: the revoked tokens, by their claim `jti`, and when each expires, in seconds since 1970.
    """

    accounts: Mapping[uuid.UUID, CachedAccount]
    keys: Mapping[uuid.UUID, CachedKey] = field(default_factory=dict)
    revoked: Mapping[uuid.UUID, float] = field(default_factory=dict)


class CurrentToken(NamedTuple):
    """The token of a request: its claim `jti`, and when it expires, in seconds since 1970."""

    id: uuid.UUID
    expires: float


class CurrentUser(NamedTuple):
    """The account of a verified token or API key, as it was when the request's head arrived.

    Attributes:
        version: the version of the account, and of the token.
        token: the token; None for a request with a key.
        key: the key; None for a request with a token.
    """

    id: uuid.UUID
    name: str
    role: Role
    version: int
    token: CurrentToken | None = None
    key: CachedKey | None = None

    def require_model(self, name: str) -> None:
        """Raise PermissionDeniedError if the request's key does not permit a model."""
        if self.key is not None:
            self.key.require_model(name)

    def permits_model(self, name: str) -> bool:
        """Return whether the request's key, if it has one, permits a model."""
        return self.key is None or self.key.permits_model(name)


def require_current(account: CachedAccount | None, version: int) -> CachedAccount:
    """Return an account if tokens of a version are valid for it.

    Raises:
        AuthenticationError: the account was deleted or disabled, or has changed since the token was issued.
    """
    if account is None or account.disabled or account.version != version:
        raise AuthenticationError(TOKEN_REVOKED)
    return account


def require_admin(role: Role) -> None:
    """Raise PermissionDeniedError unless a role is admin."""
    if role is not Role.ADMIN:
        raise PermissionDeniedError(ADMIN_REQUIRED)


def require_predictor(role: Role) -> None:
    """Raise PermissionDeniedError if a role may not predict."""
    if role is Role.VIEWER:
        raise PermissionDeniedError(PREDICTOR_REQUIRED)
