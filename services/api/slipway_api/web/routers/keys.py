"""`/keys`: create, list and revoke API keys."""

import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, field_validator

from slipway_api.accounts.credentials import CreatedKey, NewKey
from slipway_api.accounts.key_models import KeyAction, OwnedKey
from slipway_api.errors import NotFoundError
from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import body, errors
from slipway_api.http.pagination import Cursor, Limit, cursor_of, read_cursor
from slipway_api.web.dependencies import Accounts, CurrentActor, LoggedIn
from slipway_core.ids import read_id

PAGE = 50
MAX_MODELS = 50
MAX_SECONDS = 100 * 365 * 86_400
NEVER = "never"

router = APIRouter(tags=["keys"])

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NewApiKey(BaseModel):
    """A key to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "nightly-scores", "models": ["iris"], "actions": ["predict"], "expires_in": 2_592_000}
            ]
        },
    )

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] = Field(
        description="Which program uses it."
    )
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)] = ""
    models: list[ModelName] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MODELS,
        description="Names of the models that it permits. Defaults to all models.",
    )
    actions: list[KeyAction] = Field(
        default=[KeyAction.PREDICT], min_length=1, max_length=10, description="What it permits. Defaults to `predict`."
    )
    expires_in: Annotated[StrictInt, Field(ge=1, le=MAX_SECONDS)] | Literal["never"] | None = Field(
        default=None, description="Lifetime in seconds, or `never`. Defaults to 90 days."
    )

    @field_validator("name", "description", "models")
    @classmethod
    def _check_text(cls, value: str | list[str] | None) -> str | list[str] | None:
        for text in [value] if isinstance(value, str) else value or ():
            if not text.isprintable():
                raise ValueError("a name or description must not contain control characters")
        return value


class Key(BaseModel):
    """An API key, without its secret."""

    id: uuid.UUID
    name: str
    description: str
    owner: str = Field(description="The account that created it, and whose rights limit those of the key.")
    models: list[str] | None = Field(description="Names of the models that it permits; null for all models.")
    actions: list[KeyAction]
    created_at: datetime
    expires_at: datetime | None = Field(description="Null for a key that never expires.")
    expired: bool
    last_used_at: datetime | None = Field(description="Accurate to about a minute; null if it was never used.")

    @classmethod
    def of(cls, owned: OwnedKey) -> Self:
        """Return the response for a key."""
        return cls(**_fields(owned))


class NewKeyWithSecret(Key):
    """A new key. This is the only response with its secret."""

    key: str = Field(description="Send it as `X-API-Key: …` or `Authorization: Bearer …`. Store it now.")

    @classmethod
    def with_secret(cls, created: CreatedKey) -> Self:
        """Return the response for a new key."""
        return cls(key=created.text, **_fields(created.key))


class KeyPage(BaseModel):
    """A page of keys, newest first."""

    keys: list[Key]
    next_cursor: str | None = Field(description="Send it as `cursor` to get older keys; null on the last page.")


@router.post(
    "/keys",
    status_code=HTTPStatus.CREATED,
    responses=errors(401, 403, 409, 413, 415, 422, 503),
    openapi_extra=body(NewApiKey),
)
async def create_key(
    accounts: Accounts, actor: CurrentActor, new: Annotated[NewApiKey, Depends(json_body(NewApiKey))]
) -> NewKeyWithSecret:
    """Create an API key of one's own account. The response is the only one that contains the key."""
    credentials = accounts.credentials
    seconds = credentials.default_seconds if new.expires_in is None else new.expires_in
    wanted = NewKey(
        name=new.name,
        description=new.description,
        models=None if new.models is None else tuple(dict.fromkeys(new.models)),
        actions=tuple(dict.fromkeys(new.actions)),
        expires_in=None if seconds == NEVER else int(seconds),
    )
    return NewKeyWithSecret.with_secret(await credentials.create_key(actor, wanted))


@router.get("/keys", responses=errors(401, 403, 422, 503))
async def list_keys(accounts: Accounts, user: LoggedIn, limit: Limit = PAGE, cursor: Cursor = None) -> KeyPage:
    """List one's own API keys, or all keys for an admin, newest first."""
    before = read_cursor(cursor, lambda key: uuid.UUID(key.decode()))
    # One more than the page shows, to find out whether another page follows.
    found = await accounts.credentials.list_keys(user, before, limit + 1)
    shown = found[:limit]
    return KeyPage(
        keys=[Key.of(one) for one in shown],
        next_cursor=cursor_of(str(shown[-1].key.id).encode()) if len(found) > limit else None,
    )


@router.delete("/keys/{id}", status_code=HTTPStatus.NO_CONTENT, responses=errors(401, 403, 404, 503))
async def revoke_key(id: str, accounts: Accounts, actor: CurrentActor) -> None:  # noqa: A002
    """Revoke an API key of one's own, or any as an admin. It is rejected within 5 s by all workers."""
    key_id = read_id(id.strip().lower())
    if key_id is None:
        raise NotFoundError("the text is not the id of an API key; GET /keys lists your keys")
    await accounts.credentials.revoke_key(actor, key_id)


def _fields(owned: OwnedKey) -> dict[str, object]:
    key = owned.key
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    return {
        "id": key.id,
        "name": key.name,
        "description": key.description,
        "owner": owned.owner,
        "models": None if key.models is None else list(key.models),
        "actions": list(key.actions),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "expired": expired,
        "last_used_at": key.last_used_at,
    }


BODIES = (NewApiKey,)
