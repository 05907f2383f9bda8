"""What happens to accounts, as the audit log has it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from slipway_api.accounts.models import Caller


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


@dataclass(frozen=True)
class Actor:
    """Who does something to an account.

    Attributes:
        caller: the account that does it, which must still be what it was when it came; None where nobody is logged in.
        address: the client's, as the server saw it.
    """

    caller: Caller | None = None
    address: str | None = None

    @property
    def id(self) -> uuid.UUID | None:
        """The caller's account, as events name it."""
        return None if self.caller is None else self.caller.id


@dataclass(frozen=True)
class AccountEvent:
    """One thing that happened to an account.

    Attributes:
        subject_name: the account's name then; None once it was erased.
    """

    id: uuid.UUID
    at: datetime
    actor_id: uuid.UUID | None
    subject_id: uuid.UUID
    subject_name: str | None
    action: Action
    address: str | None
    details: Mapping[str, object]
