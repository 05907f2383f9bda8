"""`/model-info` and `/models`: describe served models, and reload them from the registry."""

import asyncio
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.http.openapi import errors
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.work_pool import WorkPool
from slipway_api.web.dependencies import Models, Pool, Reader, Reloader
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.manifest import Decision, GraphNames, Label

router = APIRouter(tags=["models"])


class ModelSignature(BaseModel):
    """A model's inputs and outputs."""

    inputs: tuple[InputColumn, ...] = Field(description="The features, as clients send them.")
    tensors: tuple[GraphInput, ...] = Field(description="The graph's inputs.")
    classes: tuple[Label, ...] | None = Field(description="Label of each class index; null for a regressor.")
    graph: GraphNames
    decision: Decision | None = Field(
        description="The threshold of a binary classifier; null for the graph's own label."
    )


class FailedLoad(BaseModel):
    """Why the Production version is not served."""

    version: str
    reason: str
    at: datetime = Field(description="Time of the last attempt.")
    attempts: int


class RegistryState(BaseModel):
    """Whether the model registry responds."""

    reachable: bool
    since: datetime
    reason: str | None = Field(description="Why it does not respond.")


class ModelInfo(BaseModel):
    """A served model."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    current_stage: Literal["Production", "None"] = Field(
        description="`None` (MLflow's name for no stage) for a pinned version without the Production alias."
    )
    pinned: bool = Field(description="Whether SLIPWAY_MODELS pins this version; otherwise it follows Production.")
    verified: bool = Field(
        description="False for a version from another tool, which has no digests and golden rows to verify it."
    )
    description: str
    task: str
    signature: ModelSignature
    metrics: dict[str, float]
    run_id: str
    data_version: str
    git_commit: str | None
    created_at: datetime = Field(description="Creation time of the bundle.")
    loaded_at: datetime = Field(description="When this process loaded it.")
    healthy: bool = Field(description="False while runs of this version are stuck in this process.")
    stuck_runs: int = Field(
        description="Runs that are still busy after they were terminated at the deadline of their request."
    )
    source: Literal["registry", "cache"] = Field(
        description="`cache`: the registry did not respond, so the last served version was loaded."
    )


class ModelStatus(ModelInfo):
    """A served model, and why it differs from its Production version, if it does."""

    production_version: str | None = Field(
        description="Version with the Production alias when the registry last responded."
    )
    up_to_date: bool = Field(description="Whether that version is served.")
    failed_load: FailedLoad | None
    registry: RegistryState


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
async def model_info(models: Models, pool: Pool, caller: Reader) -> ModelInfo:
    """Describe the default model."""
    caller.require_model(models.default_model)
    return _info(models, pool, models.get(models.default_model))


@router.get("/models", responses=errors(401, 403, 503))
async def list_models(models: Models, pool: Pool, caller: Reader) -> ModelList:
    """List the served models, then the served pinned versions; with an API key, only the models that it permits."""
    served = [model for _, model in sorted(models.served.items())]
    shown = [model for model in [*served, *_pinned(models)] if caller.permits_model(model.name)]
    return ModelList(models=[_info(models, pool, model) for model in shown])


@router.get("/models/{name}", responses=errors(401, 403, 404, 503))
async def show_model(name: str, models: Models, pool: Pool, _caller: Reader) -> ModelStatus:
    """Describe one model, and why it differs from its Production version, if it does."""
    return _status(models, pool, name)


@router.get("/models/{name}/versions/{version}", responses=errors(401, 403, 404, 503))
async def show_version(name: str, version: str, models: Models, pool: Pool, _caller: Reader) -> ModelInfo:
    """Describe a pinned version, which SLIPWAY_MODELS names as in `iris@7`."""
    return _info(models, pool, models.get(name, version))


@router.post("/models/{name}/reload", responses=errors(401, 403, 404, 503))
async def reload_model(name: str, models: Models, pool: Pool, _caller: Reloader) -> ReloadResult:
    """Poll the registry now (admin only). Other workers and replicas follow within their polling interval.

    Failed pinned versions of the model are tried again, too.
    """
    before, pinned_before = models.served.get(name), _pinned(models, name)
    await asyncio.to_thread(models.sync, force=True)
    status = None
    if models.is_named(name) or not models.pins(name):
        status = _status(models, pool, name)
    else:  # only pinned versions: each must be served, and none follows Production
        for version in models.pins(name):
            models.get(name, version)
    pinned = _pinned(models, name)
    previous, now = before.version if before else None, status.model_version if status else None
    return ReloadResult(
        changed=now != previous or pinned != pinned_before,
        previous_version=previous,
        model=status,
        pinned=[_info(models, pool, model) for model in pinned],
    )


def _pinned(models: ModelStore, name: str | None = None) -> list[ServedModel]:
    found = [model for model in models.pinned if name is None or model.name == name]
    return sorted(found, key=lambda model: (model.name, int(model.version)))


def _info(models: ModelStore, pool: WorkPool, model: ServedModel) -> ModelInfo:
    return ModelInfo(**_fields(models, pool, model))


def _fields(models: ModelStore, pool: WorkPool, model: ServedModel) -> dict[str, object]:
    manifest = model.manifest
    stuck = pool.stuck_runs(model.name, model.version)
    is_production = not model.pinned or models.production(model.name) == model.version
    return {
        "model_name": model.name,
        "model_version": model.version,
        "current_stage": "Production" if is_production else "None",
        "pinned": model.pinned,
        "verified": model.verified,
        "description": model.description,
        "task": manifest.task,
        "signature": ModelSignature(
            inputs=manifest.columns,
            tensors=manifest.inputs,
            classes=manifest.classes,
            graph=manifest.graph,
            decision=manifest.decision,
        ),
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


def _status(models: ModelStore, pool: WorkPool, name: str) -> ModelStatus:
    model = models.get(name)
    failure, registry, production = models.failure(name), models.registry_status, models.production(name)
    failed_load = None
    if failure is not None:
        failed_load = FailedLoad(
            version=failure.version, reason=failure.reason, at=failure.at, attempts=failure.attempts
        )
    return ModelStatus(
        **_fields(models, pool, model),
        production_version=production,
        up_to_date=registry.reachable and production == model.version,
        failed_load=failed_load,
        registry=RegistryState(reachable=registry.reachable, since=registry.since, reason=registry.reason),
    )
