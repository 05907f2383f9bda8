"""The request and response models of the account routes."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from slipway_api.accounts.events import AccountEvent, Action
from slipway_api.accounts.models import Account, Role
from slipway_api.accounts.tokens import AccessToken
from slipway_core.policy import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, why_name_is_refused


def _no_surrogates(text: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("the password contains an incomplete character (a lone surrogate)")
    return text


Password = Annotated[str, AfterValidator(_no_surrogates), Field(json_schema_extra={"format": "password"})]
RULE = f"{MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters, and hard to guess."


class Token(BaseModel):
    """A bearer token."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # no password
    expires_in: int = Field(description="Seconds until it expires.")

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        """Return the response for a new token."""
        return cls(access_token=token.text, expires_in=token.expires_in)


class NewUser(BaseModel):
    """An account to add."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "alice", "password": "correct horse battery", "role": "user"}]},
    )

    username: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = Field(
        description="1 to 64 of a–z, 0–9, `.`, `_`, `@`, `-`, beginning with a letter or digit; not a UUID. "
        "Converted to lower case."
    )
    password: Password = Field(description=RULE)
    role: Role = Field(default=Role.USER, description="`admin`, `user` or `viewer`.")

    @field_validator("username")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if why := why_name_is_refused(value):
            raise ValueError(why)
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
    """The changes of an account: at least one field."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"role": "viewer"}, {"disabled": True}], "minProperties": 1},
    )

    role: Role | None = Field(default=None, description="`admin`, `user` or `viewer`.")
    disabled: bool | None = Field(
        default=None, strict=True, description="A disabled account can neither log in nor use its tokens."
    )
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
        """Return the response for an account."""
        return cls(
            id=account.id,
            username=account.name,
            role=account.role,
            disabled=account.disabled,
            created_at=account.created_at,
        )


class UserPage(BaseModel):
    """A page of accounts, by name."""

    users: list[User]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last page.")


class Event(BaseModel):
    """An entry of the audit log."""

    id: uuid.UUID
    at: datetime
    actor_id: uuid.UUID | None = Field(description="The account whose token was used; null without a token.")
    subject_id: uuid.UUID
    subject_name: str | None = Field(description="The account's name at that time; null after it is erased.")
    action: Action
    address: str | None = Field(description="The client's address as the server sees it.")
    details: dict[str, Any]

    @classmethod
    def of(cls, event: AccountEvent) -> Self:
        """Return the response for an event."""
        return cls(**vars(event))


class EventPage(BaseModel):
    """A page of the audit log, newest first."""

    events: list[Event]
    next_cursor: str | None = Field(description="Send it as `cursor` to get older events; null on the last page.")


BODIES = (NewUser, PasswordChange, UserChange)
