"""What is served: `/model-info`, `/models`, one model or version of it, and looking at the registry now."""

import asyncio
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.http.openapi import errors
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel
from slipway_api.web.dependencies import Admin, Reader, State
from slipway_api.web.services import Services
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
    current_stage: Literal["Production", "None"] = Field(
        description="`None` (MLflow's word for no stage): a pinned version that is not Production's."
    )
    pinned: bool = Field(description="Whether SLIPWAY_MODELS names this very version; else it follows Production.")
    verified: bool = Field(
        description="False: Slipway's trainer did not register it; no digest and no golden row speak for it."
    )
    description: str
    task: str
    signature: ModelSignature
    metrics: dict[str, float]
    run_id: str
    data_version: str
    git_commit: str | None
    created_at: datetime = Field(description="When the bundle was written.")
    loaded_at: datetime = Field(description="When this process had it ready.")
    healthy: bool = Field(description="False while runs of this version in this process do not end.")
    stuck_runs: int = Field(
        description="Runs that are still busy although they were terminated at their request's deadline."
    )
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
    model: ModelStatus | None = Field(description="Null where only versions of the model are served, by number.")
    pinned: list[ModelInfo] = Field(description="The versions of it that are pinned and served.")


@router.get("/model-info", responses=errors(401, 404, 503))
async def model_info(state: State, _caller: Reader) -> ModelInfo:
    """Describe the default model."""
    return _info(state, state.models.get(state.models.default_model))


@router.get("/models", responses=errors(401, 503))
async def list_models(state: State, _caller: Reader) -> ModelList:
    """List the models that are served, then the versions that are pinned."""
    served = [model for _, model in sorted(state.models.served.items())]
    return ModelList(models=[_info(state, model) for model in [*served, *_pinned(state.models)]])


@router.get("/models/{name}", responses=errors(401, 404, 503))
async def show_model(name: str, state: State, _caller: Reader) -> ModelStatus:
    """Describe one model, and say what keeps it from being Production's version, if anything does."""
    return _status(state, name)


@router.get("/models/{name}/versions/{version}", responses=errors(401, 404, 503))
async def show_version(name: str, version: str, state: State, _caller: Reader) -> ModelInfo:
    """Describe a version that is pinned: one that SLIPWAY_MODELS names as `iris@7`."""
    return _info(state, state.models.get(name, version))


@router.post("/models/{name}/reload", responses=errors(401, 403, 404, 503))
async def reload_model(name: str, state: State, _caller: Admin) -> ReloadResult:
    """Look at the registry now (admin only). Other workers and replicas follow within their polling interval.

    The model's pinned versions are tried again, too, if they failed.
    """
    models = state.models
    before, pinned_before = models.served.get(name), _pinned(models, name)
    await asyncio.to_thread(models.sync, force=True)
    status = None
    if models.is_named(name) or not models.pins(name):
        status = _status(state, name)
    else:  # only versions of it are named: each must be served, and none follows Production
        for version in models.pins(name):
            models.get(name, version)
    pinned = _pinned(models, name)
    previous, now = before.version if before else None, status.model_version if status else None
    return ReloadResult(
        changed=now != previous or pinned != pinned_before,
        previous_version=previous,
        model=status,
        pinned=[_info(state, model) for model in pinned],
    )


def _pinned(models: ModelStore, name: str | None = None) -> list[ServedModel]:
    found = [model for model in models.pinned if name is None or model.name == name]
    return sorted(found, key=lambda model: (model.name, int(model.version)))


def _info(services: Services, model: ServedModel) -> ModelInfo:
    return ModelInfo(**_fields(services, model))


def _fields(services: Services, model: ServedModel) -> dict[str, object]:
    manifest = model.manifest
    stuck = services.pool.stuck_runs(model.name, model.version)
    is_production = not model.pinned or services.models.production(model.name) == model.version
    return {
        "model_name": model.name,
        "model_version": model.version,
        "current_stage": "Production" if is_production else "None",
        "pinned": model.pinned,
        "verified": model.verified,
        "description": model.description,
        "task": manifest.task,
        "signature": ModelSignature(inputs=manifest.inputs, classes=manifest.classes, graph=manifest.graph),
        "metrics": manifest.metrics,
        "run_id": model.run_id,
        "data_version": manifest.data.version,
        "git_commit": manifest.git_commit,
        "created_at": manifest.created_at,
        "loaded_at": model.loaded_at,
        "healthy": not stuck,
        "stuck_runs": stuck,
        "source": model.source,
    }


def _status(services: Services, name: str) -> ModelStatus:
    models = services.models
    model = models.get(name)
    failure, registry, production = models.failure(name), models.registry_status, models.production(name)
    failed_load = None
    if failure is not None:
        failed_load = FailedLoad(
            version=failure.version, reason=failure.reason, at=failure.at, attempts=failure.attempts
        )
    return ModelStatus(
        **_fields(services, model),
        production_version=production,
        up_to_date=registry.reachable and production == model.version,
        failed_load=failed_load,
        registry=RegistryState(reachable=registry.reachable, since=registry.since, reason=registry.reason),
    )
