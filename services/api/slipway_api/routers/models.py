"""What is served: `/model-info`, `/models`, `/models/{name}`, and looking at the registry now."""

import asyncio
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.openapi import errors
from slipway_api.security import Admin, Reader, State
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel
from slipway_core.bundle import GraphNames, InputColumn

router = APIRouter(tags=["models"])


class ModelSignature(BaseModel):
    """What a model takes and gives."""

    inputs: tuple[InputColumn, ...]
    classes: tuple[str, ...] | None = Field(description="The label of each class index; null for a regressor.")
    graph: GraphNames


class FailedLoad(BaseModel):
    """Why Production's version is not the one that is served."""

    version: str
    reason: str
    at: datetime = Field(description="When it was tried last.")
    attempts: int


class RegistryState(BaseModel):
    """Whether the model registry answers."""

    reachable: bool
    since: datetime
    reason: str | None = Field(description="Why it does not answer.")


class ModelInfo(BaseModel):
    """A model that is served."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    current_stage: Literal["Production"] = "Production"
    description: str
    task: str
    signature: ModelSignature
    metrics: dict[str, float]
    run_id: str
    data_version: str
    git_commit: str | None
    created_at: datetime = Field(description="When the bundle was written.")
    loaded_at: datetime = Field(description="When this process had it ready.")
    source: Literal["registry", "cache"] = Field(
        description="`cache`: the registry could not be asked, so this is what was served last."
    )


class ModelStatus(ModelInfo):
    """A model that is served, and what keeps it from being Production's version, if anything does."""

    production_version: str | None = Field(
        description="The version that the alias Production pointed to when the registry last answered."
    )
    up_to_date: bool = Field(description="Whether that version is the one that is served.")
    failed_load: FailedLoad | None
    registry: RegistryState


class ModelList(BaseModel):
    """The models that are served."""

    models: list[ModelInfo]


class ReloadResult(BaseModel):
    """What a look at the registry changed."""

    changed: bool
    previous_version: str | None = Field(description="The version that was served before.")
    model: ModelStatus


@router.get("/model-info", responses=errors(401, 404, 503))
async def model_info(state: State, _caller: Reader) -> ModelInfo:
    """Describe the default model."""
    return ModelInfo(**_info(state.models.get(state.models.default_model)))


@router.get("/models", responses=errors(401, 503))
async def list_models(state: State, _caller: Reader) -> ModelList:
    """List the models that are served."""
    return ModelList(models=[ModelInfo(**_info(model)) for _, model in sorted(state.models.served.items())])


@router.get("/models/{name}", responses=errors(401, 404, 503))
async def show_model(name: str, state: State, _caller: Reader) -> ModelStatus:
    """Describe one model, and say what keeps it from being Production's version, if anything does."""
    return _status(state.models, name)


@router.post("/models/{name}/reload", responses=errors(401, 403, 404, 503))
async def reload_model(name: str, state: State, _caller: Admin) -> ReloadResult:
    """Look at the registry now (admin only). Other workers and replicas follow within their polling interval."""
    before = state.models.served.get(name)
    await asyncio.to_thread(state.models.sync, force=True)
    status = _status(state.models, name)
    previous = before.version if before else None
    return ReloadResult(changed=status.model_version != previous, previous_version=previous, model=status)


def _info(model: ServedModel) -> dict[str, object]:
    manifest = model.manifest
    return {
        "model_name": model.name,
        "model_version": model.version,
        "description": model.description,
        "task": manifest.task,
        "signature": ModelSignature(inputs=manifest.inputs, classes=manifest.classes, graph=manifest.graph),
        "metrics": manifest.metrics,
        "run_id": model.run_id,
        "data_version": manifest.data.version,
        "git_commit": manifest.git_commit,
        "created_at": manifest.created_at,
        "loaded_at": model.loaded_at,
        "source": model.source,
    }


def _status(models: ModelStore, name: str) -> ModelStatus:
    model = models.get(name)
    failure, registry, production = models.failure(name), models.registry_status, models.production(name)
    failed_load = None
    if failure is not None:
        failed_load = FailedLoad(
            version=failure.version, reason=failure.reason, at=failure.at, attempts=failure.attempts
        )
    return ModelStatus(
        **_info(model),
        production_version=production,
        up_to_date=registry.reachable and production == model.version,
        failed_load=failed_load,
        registry=RegistryState(reachable=registry.reachable, since=registry.since, reason=registry.reason),
    )
