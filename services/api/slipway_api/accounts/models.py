"""What an account is, and what a token of it is worth."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from slipway_api.errors import AuthenticationError, PermissionDeniedError

ENDED = "the token is no longer valid; get a new one from POST /token"
ADMINS_ONLY = "only an admin may do this"


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


class Caller(NamedTuple):
    """The account that a verified token belongs to, as it was when the request's head arrived.

    Attributes:
        version: the account's, and the token's.
    """

    id: uuid.UUID
    name: str
    role: Role
    version: int


def confirm(account: Known | None, version: int) -> Known:
    """Return an account if a token of a version still speaks for it.

    Raises:
        AuthenticationError: it is gone or disabled, or was changed since the token was made.
    """
    if account is None or account.disabled or account.version != version:
        raise AuthenticationError(ENDED)
    return account


def require_admin(role: Role) -> None:
    """Raise PermissionDeniedError if a role is not an admin's."""
    if role is not Role.ADMIN:
        raise PermissionDeniedError(ADMINS_ONLY)
