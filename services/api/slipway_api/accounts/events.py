"""The events of the accounts' audit log."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from slipway_api.accounts.models import CurrentUser


class Action(StrEnum):
    """What happened to an account."""

    REGISTERED = "registered"
    FIRST_ADMIN_MADE = "first_admin_made"
    ROLE_CHANGED = "role_changed"
    DISABLED = "disabled"
    ENABLED = "enabled"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # no password
    PASSWORD_RESET = "password_reset"  # noqa: S105
    DELETED = "deleted"
    ERASED = "erased"
    LOGIN_LOCKED = "login_locked"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    TOKENS_REVOKED = "tokens_revoked"


@dataclass(frozen=True)
class AuditActor:
    """The user and the client address that an event records.

    Attributes:
        user: the logged-in user; None for a request without a token, and for the service itself.
        address: the client's address as the server sees it.
    """

    user: CurrentUser | None = None
    address: str | None = None

    @property
    def id(self) -> uuid.UUID | None:
        """The id of the user's account."""
        return None if self.user is None else self.user.id


ANONYMOUS = AuditActor()


@dataclass(frozen=True)
class AccountEvent:
    """An entry of the audit log.

    Attributes:
        subject_name: the account's name at that time; None after the account is erased.
    """

    id: uuid.UUID
    at: datetime
    actor_id: uuid.UUID | None
    subject_id: uuid.UUID
    subject_name: str | None
    action: Action
    address: str | None
    details: Mapping[str, object]
