"""What the routes of accounts take and answer."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from slipway_api.accounts.events import AccountEvent, Action
from slipway_api.accounts.models import Account, Role
from slipway_api.accounts.tokens import Tokens
from slipway_core.policy import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    why_name_is_refused,
    why_password_is_unsafe,
)


def _whole(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("the password has half of a character")
    return text


Password = Annotated[str, AfterValidator(_whole), Field(json_schema_extra={"format": "password"})]
RULE = f"{MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters, not the user's name, none that is tried first."


class Token(BaseModel):
    """A bearer token."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # no password
    expires_in: int = Field(description="Seconds until it expires.")

    @classmethod
    def of(cls, tokens: Tokens, account: Account) -> Self:
        """Return a fresh token of an account."""
        return cls(access_token=tokens.issue(account), expires_in=tokens.ttl_seconds)


class NewUser(BaseModel):
    """An account to add."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "alice", "password": "correct horse battery", "role": "user"}]},
    )

    username: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = Field(
        description="1 to 64 of a–z, 0–9, `.`, `_`, `@`, `-`, a letter or digit first, no UUID; capitals are lowered."
    )
    password: Password = Field(description=RULE)
    role: Role = Field(default=Role.USER, description="`admin`, `user` or `viewer`.")

    @field_validator("username")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if why := why_name_is_refused(value):
            raise ValueError(why)
        return value

    @field_validator("password")
    @classmethod
    def _check_password(cls, value: str, info: ValidationInfo) -> str:
        if why := why_password_is_unsafe(value, info.data.get("username", "")):
            raise ValueError(f"the password {why}")
        return value


class PasswordChange(BaseModel):
    """A new password for one's own account."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"current_password": "correct horse battery", "new_password": "another horse battery"}]
        },
    )

    current_password: Password
    new_password: Password = Field(description=RULE)


class UserChange(BaseModel):
    """What to change of an account: at least one of these."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"role": "viewer"}, {"disabled": True}], "minProperties": 1},
    )

    role: Role | None = Field(default=None, description="`admin`, `user` or `viewer`.")
    disabled: bool | None = Field(default=None, strict=True, description="A disabled account can do nothing.")
    password: Password | None = Field(default=None, description=RULE)


class User(BaseModel):
    """An account."""

    id: uuid.UUID
    username: str
    role: Role
    disabled: bool
    created_at: datetime

    @classmethod
    def of(cls, account: Account) -> Self:
        """Return what is shown of an account."""
        return cls(
            id=account.id,
            username=account.name,
            role=account.role,
            disabled=account.disabled,
            created_at=account.created_at,
        )


class UserPage(BaseModel):
    """Some of the accounts, by name."""

    users: list[User]
    next_cursor: str | None = Field(description="What to send as `cursor` for those after them; null at the end.")


class Event(BaseModel):
    """Something that happened to an account."""

    id: uuid.UUID
    at: datetime
    actor_id: uuid.UUID | None = Field(description="Whose token did it; null where nobody was logged in.")
    subject_id: uuid.UUID
    subject_name: str | None = Field(description="The account's name then; null once it was erased.")
    action: Action
    address: str | None = Field(description="The client's, as the server saw it.")
    details: dict[str, Any]

    @classmethod
    def of(cls, event: AccountEvent) -> Self:
        """Return what is shown of an event."""
        return cls(**vars(event))


class EventPage(BaseModel):
    """Some of what happened to accounts, the newest first."""

    events: list[Event]
    next_cursor: str | None = Field(description="What to send as `cursor` for older ones; null at the end.")


BODIES = (NewUser, PasswordChange, UserChange)
