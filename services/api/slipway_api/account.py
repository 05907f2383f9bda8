"""What an account is."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


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
    """The account that a verified token belongs to, as it is now."""

    id: uuid.UUID
    name: str
    role: Role
