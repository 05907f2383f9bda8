"""`/model-info` and `/models`: describe served models, and reload them from the registry."""

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel, Field

from slipway_api.http.openapi import errors
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel
from slipway_api.web.dependencies import Models, Pool, Reader, Reloader
from slipway_api.web.routers.model_descriptions import (
    MainModelInfo,
    ModelInfo,
    ModelStatus,
    describe,
    describe_main,
    status_of,
)

router = APIRouter(tags=["models"])


class ModelList(BaseModel):
    """The served models."""

    models: list[ModelInfo]


class ReloadResult(BaseModel):
    """The result of reloading a model."""

    changed: bool
    previous_version: str | None = Field(description="Previously served version.")
    model: ModelStatus | None = Field(description="Null if only pinned versions of the model are served.")
    pinned: list[ModelInfo] = Field(description="Served pinned versions of the model.")


@router.get("/model-info", responses=errors(401, 403, 404, 503))
async def model_info(models: Models, pool: Pool, caller: Reader) -> MainModelInfo:
    """Describe the default model."""
    caller.require_model(models.default_model)
    return describe_main(models, pool, models.default_model)


@router.get("/models", responses=errors(401, 403, 503))
async def list_models(models: Models, pool: Pool, caller: Reader) -> ModelList:
    """List the served models, then the served pinned versions; with an API key, only the models that it permits."""
    served = [(ModelRef(name), model) for name, model in sorted(models.served.items())]
    shown = [one for one in [*served, *_pinned(models)] if caller.permits_model(one[1].name)]
    return ModelList(models=[describe(models, pool, *one) for one in shown])


@router.get("/models/{name}", responses=errors(401, 403, 404, 503))
async def show_model(name: str, models: Models, pool: Pool, _caller: Reader) -> ModelStatus:
    """Describe one model, and why it differs from its Production version, if it does."""
    return status_of(models, pool, name)


@router.get("/models/{name}/versions/{version}", responses=errors(401, 403, 404, 503))
async def show_version(name: str, version: str, models: Models, pool: Pool, _caller: Reader) -> ModelInfo:
    """Describe a pinned version, which SLIPWAY_MODELS names as in `iris@7`."""
    return describe(models, pool, ModelRef(name, version), models.get(name, version))


@router.post("/models/{name}/reload", responses=errors(401, 403, 404, 503))
async def reload_model(name: str, models: Models, pool: Pool, _caller: Reloader) -> ReloadResult:
    """Poll the registry now (admin only). Other workers and replicas follow within their polling interval.

    Failed pinned versions and candidates are tried again, too.
    """
    before, pinned_before = models.served.get(name), _pinned(models, name)
    await asyncio.to_thread(models.sync, force=True)
    status = None
    pins = models.followed.pins(name)
    if models.followed.includes(ModelRef(name)) or not pins:
        status = status_of(models, pool, name)
    else:  # only pinned versions: each must be served, and none follows Production
        for version in pins:
            models.get(name, version)
    pinned = _pinned(models, name)
    previous, now = before.version if before else None, status.model_version if status else None
    return ReloadResult(
        changed=now != previous or pinned != pinned_before,
        previous_version=previous,
        model=status,
        pinned=[describe(models, pool, *one) for one in pinned],
    )


def _pinned(models: ModelStore, name: str | None = None) -> list[tuple[ModelRef, ServedModel]]:
    found = [(ref, model) for ref, model in models.loaded.items() if ref.is_pinned and name in {None, ref.name}]
    return sorted(found, key=lambda one: (one[0].name, int(one[1].version)))
