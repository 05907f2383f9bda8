"""`/models/{name}/promote`, `/rollback` and `/history`: move Production, and list its moves."""

import asyncio
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from slipway_api.http.json_body import json_body
from slipway_api.http.openapi import Responses, body, errors
from slipway_api.serving.model_ref import VERSION_PATTERN, ModelRef
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.promoter import Promoted
from slipway_api.web.dependencies import Accounts, Models, Promotions, PromotionUser, Reader
from slipway_core.registry.alias_history import Move
from slipway_core.registry.promotion import MAX_REASON

router = APIRouter(tags=["models"])


def _version(value: object) -> object:
    if isinstance(value, str) and VERSION_PATTERN.fullmatch(value):
        return value
    raise ValueError('a version must be a number as text, such as "3"')


def _text(value: str) -> str:
    # The registry's database cannot store all of them, and the history is shown on terminals.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise ValueError("'reason' must not contain control characters; write it as one line")
    return value


Version = Annotated[str, BeforeValidator(_version)]
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON), AfterValidator(_text)]
From = Annotated[
    Version | None,
    Field(alias="from", description="Change Production only if it still points to this version. Defaults to any."),
]


class PromoteRequest(BaseModel):
    """The version to promote, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"version": "3", "reason": "better on new stations", "from": "2"}]},
    )

    version: Version
    reason: Reason = "promoted through the API"
    from_version: From = None


class RollbackRequest(BaseModel):
    """Why the current version is withdrawn."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "wrong predictions at night", "from": "3"}]}
    )

    reason: Reason = "rolled back through the API"
    from_version: From = None


class HistoryEvent(BaseModel):
    """One move of the alias Production."""

    action: Literal["promote", "rollback", "external"] = Field(
        description="`external`: something other than Slipway moved the alias."
    )
    version: str | None = Field(description="Version that Production points to after the move.")
    from_version: str | None = Field(alias="from", description="Version before the move; null if it was not set.")
    by: str | None = Field(description="Who moved it; null for an external move, as are the fields below.")
    at: datetime | None = Field(description="Time of the move, UTC.")
    reason: str | None


class HistoryEntry(HistoryEvent):
    """One move of the alias Production, with the version's metrics."""

    metrics: dict[str, float] | None
    data_version: str | None = Field(description="Version of the training data.")


class History(BaseModel):
    """The moves of a model's Production alias, newest first."""

    moves: list[HistoryEntry]


class PromotionResult(BaseModel):
    """The result of a promotion or rollback, and the version that this process serves now."""

    changed: bool = Field(description="False if the version was Production already.")
    event: HistoryEvent | None = Field(description="The event in the history; null if nothing changed.")
    warning: str | None = Field(
        default=None,
        description="Set if Production was moved, but the event could not be added to the history. Do not repeat the "
        "request: a second rollback would go further back.",
    )
    served_version: str | None = Field(description="Version that this process serves now.")
    up_to_date: bool = Field(description="Whether this process serves the Production version.")
    reason: str | None = Field(
        default=None, description="Why it does not, such as a version that cannot be loaded; null if it does."
    )


_EVENT = {
    "action": "promote",
    "version": "3",
    "from": "2",
    "by": "ada",
    "at": "2026-11-20T12:00:00Z",
    "reason": "better on new stations",
}
_SERVED = {"served_version": "3", "up_to_date": True}


def _example(example: dict[str, Any], description: str) -> Responses:
    return {200: {"content": {"application/json": {"example": example}}, "description": description}}


_RESULT = _example({"changed": True, "event": _EVENT, **_SERVED}, "The event, and the served version.")
_HISTORY = _example(
    {"moves": [{**_EVENT, "metrics": {"accuracy": 0.97}, "data_version": "sha256:…"}]}, "The moves, newest first."
)


@router.post(
    "/models/{name}/promote",
    responses={**_RESULT, **errors(401, 403, 404, 409, 413, 415, 422, 503)},
    openapi_extra=body(PromoteRequest),
)
async def promote(
    name: str,
    accounts: Accounts,
    models: Models,
    promotions: Promotions,
    caller: PromotionUser,
    given: Annotated[PromoteRequest, Depends(json_body(PromoteRequest))],
) -> PromotionResult:
    """Make a version Production, regardless of the gate (admin only). This lifts a withdrawal of the version.

    The API then polls the registry. If it cannot load the version, it keeps serving the previous one, and `reason`
    has the cause.
    """
    accounts.authentication.reauthenticate(caller)  # the account may have been disabled while the body arrived
    done = await promotions.promote(
        name, given.version, by=caller.name, reason=given.reason, expected=given.from_version
    )
    return await _result(models, name, done)


@router.post(
    "/models/{name}/rollback",
    responses={**_RESULT, **errors(401, 403, 404, 409, 413, 415, 422, 503)},
    openapi_extra=body(RollbackRequest),
)
async def rollback(
    name: str,
    accounts: Accounts,
    models: Models,
    promotions: Promotions,
    caller: PromotionUser,
    given: Annotated[RollbackRequest, Depends(json_body(RollbackRequest))],
) -> PromotionResult:
    """Restore the previous Production version and withdraw the current one (admin only).

    Training never promotes a withdrawn version again. Each further rollback goes one version further back; with
    `from`, a repeated request changes nothing.
    """
    accounts.authentication.reauthenticate(caller)
    done = await promotions.rollback(name, by=caller.name, reason=given.reason, expected=given.from_version)
    return await _result(models, name, done)


@router.get("/models/{name}/history", responses={**_HISTORY, **errors(401, 403, 404, 503)})
async def show_history(name: str, promotions: Promotions, _caller: Reader) -> History:
    """List every move of a model's Production alias, newest first, as the registry stores them."""
    return History(moves=[_entry(move) for move in await promotions.history(name)])


async def _result(models: ModelStore, name: str, done: Promoted) -> PromotionResult:
    """Poll the registry now, and describe the served version."""
    await asyncio.to_thread(models.sync, force=True)
    served = models.served.get(name)
    up_to_date = models.registry_status.reachable and served is not None and served.version == models.production(name)
    reason = None
    if not models.followed.includes(ModelRef(name)):
        reason = f"SLIPWAY_MODELS does not name {name}, so this service does not follow its Production alias"
    elif not up_to_date:
        reason = models.why_missing(name)
    event = done.event
    return PromotionResult(
        changed=event is not None,
        event=event and HistoryEvent.model_validate(event.model_dump(by_alias=True)),
        warning=done.warning,
        served_version=served and served.version,
        up_to_date=up_to_date,
        reason=reason,
    )


def _entry(move: Move) -> HistoryEntry:
    event = move.event.model_dump() if move.event else {}
    known = {key: event.get(key) for key in ("by", "at", "reason", "metrics", "data_version")}
    return HistoryEntry.model_validate(
        {"action": move.action, "version": move.version, "from": move.from_version, **known}
    )


BODIES = (PromoteRequest, RollbackRequest)
