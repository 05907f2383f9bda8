"""`/token` and `/users`: logging in and adding accounts."""

import asyncio
import uuid
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from slipway_api.accounts import Account, Role
from slipway_api.content import require_json
from slipway_api.errors import (
    AuthenticationError,
    InvalidInputError,
    TooManyRequestsError,
    UnsupportedMediaTypeError,
)
from slipway_api.openapi import errors
from slipway_api.security import Admin, State
from slipway_core.errors import Problem
from slipway_core.logging import get_logger
from slipway_core.policy import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    NAME_PATTERN,
    NAME_RULE,
    why_password_is_unsafe,
)

FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})

router = APIRouter(tags=["accounts"])
log = get_logger("slipway.accounts")


class Token(BaseModel):
    """A bearer token."""

    access_token: str = Field(description="Send it as `Authorization: Bearer …`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # no password
    expires_in: int = Field(description="Seconds until it expires.")


class NewUser(BaseModel):
    """An account to add."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"username": "alice", "password": "correct horse battery", "role": "user"}]},
    )

    username: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = Field(
        description="1 to 64 of a–z, 0–9, `.`, `_`, `@`, `-`, a letter or digit first; capitals are lowered."
    )
    password: str = Field(
        description=f"{MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters, not the user's name.",
        json_schema_extra={"format": "password"},
    )
    role: Role = Field(default=Role.USER, description="`admin`, `user` or `viewer`.")

    @field_validator("username")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not NAME_PATTERN.fullmatch(value):
            raise ValueError(NAME_RULE)
        return value

    @field_validator("password")
    @classmethod
    def _check_password(cls, value: str, info: ValidationInfo) -> str:
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError("the password has half of a character")
        if why := why_password_is_unsafe(value, info.data.get("username", "")):
            raise ValueError(f"the password {why}")
        return value


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


class _Credentials(BaseModel):
    username: str
    password: str


async def _credentials(request: Request) -> _Credentials:
    """Read the OAuth2 password form (RFC 6749, section 4.3.2)."""
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in FORM_TYPES:
        raise UnsupportedMediaTypeError(
            "send username and password as a form: `Content-Type: application/x-www-form-urlencoded`"
        )
    try:
        form = await request.form(max_files=0)
    except HTTPException as error:  # a multipart body that is none
        raise InvalidInputError([Problem(("body",), "the form cannot be read")]) from error
    grant = form.get("grant_type")
    problems = []
    if grant not in {None, "", "password"}:
        problems.append(Problem(("grant_type",), "grant_type must be `password`"))
    values = {name: form.get(name) for name in ("username", "password")}
    for name, value in values.items():
        if not value or isinstance(value, UploadFile):
            problems.append(Problem((name,), f"the field {name} is missing"))
    if problems:
        raise InvalidInputError(problems)
    return _Credentials(username=str(values["username"]), password=str(values["password"]))


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["username", "password"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["password"]},
                        "username": {"type": "string"},
                        "password": {"type": "string", "format": "password"},
                    },
                }
            }
        },
    }
}


@router.post("/token", responses=errors(401, 413, 415, 422, 429, 503), openapi_extra=_FORM)
async def token(state: State, given: Annotated[_Credentials, Depends(_credentials)]) -> Token:
    """Log in: a username and a password for a bearer token.

    A wrong name and a wrong password answer alike, and take alike long.
    """
    await state.accounts.opened()
    name = given.username.strip().lower()
    # What no account can be called is not asked for: not every database takes every character.
    found = await asyncio.to_thread(lambda: state.accounts.store.find(name)) if NAME_PATTERN.fullmatch(name) else None
    try:
        # A password over the limit cannot be right; it is not worth a hash of megabytes.
        password = given.password[: MAX_PASSWORD_LENGTH + 1]
        right = await state.passwords.verify(password, found[1] if found else None)
    except TooManyRequestsError:
        state.metrics.logins.labels("throttled").inc()
        raise
    if found is None or not right or found[0].disabled:
        state.metrics.logins.labels("refused").inc()
        log.warning("login_refused")
        raise AuthenticationError("the username or the password is wrong")
    account = found[0]
    state.accounts.note(account)
    state.metrics.logins.labels("ok").inc()
    log.info("login", user_id=str(account.id))
    return Token(access_token=state.tokens.issue(account), expires_in=state.tokens.ttl_seconds)


@router.post(
    "/users",
    status_code=HTTPStatus.CREATED,
    responses=errors(401, 403, 409, 413, 415, 422, 429, 503),
    dependencies=[Depends(require_json)],
)
async def add_user(state: State, caller: Admin, new: NewUser) -> User:
    """Add an account (admin only)."""
    password_hash = await state.passwords.hash(new.password)
    account = await asyncio.to_thread(lambda: state.accounts.store.add(new.username, password_hash, new.role))
    state.accounts.note(account)
    log.info("user_added", user_id=str(account.id), role=account.role, by=str(caller.id))
    return User.of(account)
