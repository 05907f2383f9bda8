"""Descriptions of served models, for the responses of `/model-info` and `/models`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway_api.serving.explanations import why_missing, why_not_followed
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.model_store import ModelStore
from slipway_api.serving.served_model import ServedModel
from slipway_api.serving.work_pool import WorkPool
from slipway_core.columns import GraphInput, InputColumn
from slipway_core.manifest import Decision, GraphNames, Label
from slipway_core.registry import PRODUCTION, STAGING
from slipway_core.registry.base import CANDIDATE_PREFIX, candidate_alias


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
    current_stage: Literal["Production", "Staging", "None"] = Field(
        description="`None` (MLflow's name for no stage) for a candidate, and for a pinned version without an alias."
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


class FollowedVersion(BaseModel):
    """A version that an alias beside Production points to, and whether it is loaded."""

    version: str | None = Field(description="Version with the alias when the registry last responded.")
    loaded: bool = Field(description="Whether that version is loaded.")
    served_version: str | None = Field(default=None, description="The loaded version, which may be an earlier one.")
    metrics: dict[str, float] | None = Field(default=None, description="Metrics of the loaded version.")
    reason: str | None = Field(default=None, description="Why the version with the alias is not loaded.")


class CandidateVersion(FollowedVersion):
    """A candidate, and whether it is loaded."""

    name: str


class MainModelInfo(ModelInfo):
    """A served Production version, and the version beside it with the alias Staging."""

    staging: FollowedVersion | None = Field(description="The version with the alias Staging; null if it is not set.")


class ModelStatus(MainModelInfo):
    """A served model, and why it differs from its Production version, if it does."""

    production_version: str | None = Field(
        description="Version with the Production alias when the registry last responded."
    )
    up_to_date: bool = Field(description="Whether that version is served.")
    failed_load: FailedLoad | None
    registry: RegistryState


def describe(models: ModelStore, pool: WorkPool, ref: ModelRef, model: ServedModel) -> ModelInfo:
    """Return the description of a served model."""
    return ModelInfo(**_fields(models, pool, ref, model))


def describe_main(models: ModelStore, pool: WorkPool, name: str) -> MainModelInfo:
    """Return the description of a model's Production version.

    Raises:
        SlipwayError: it is not served.
    """
    fields = _fields(models, pool, ModelRef(name), models.get(name))
    return MainModelInfo(**fields, staging=followed_version(models, ModelRef(name, alias=STAGING)))


def status_of(models: ModelStore, pool: WorkPool, name: str) -> ModelStatus:
    """Return the description of a model's Production version, and why another one should be served, if so.

    Raises:
        SlipwayError: it is not served.
    """
    main = describe_main(models, pool, name)
    failure, registry, production = models.failure(name), models.registry_status, models.production(name)
    failed_load = None
    if failure is not None:
        failed_load = FailedLoad(
            version=failure.version, reason=failure.reason, at=failure.at, attempts=failure.attempts
        )
    return ModelStatus(
        **dict(main),
        production_version=production,
        up_to_date=registry.reachable and production == main.model_version,
        failed_load=failed_load,
        registry=RegistryState(reachable=registry.reachable, since=registry.since, reason=registry.reason),
    )


def followed_version(models: ModelStore, ref: ModelRef) -> FollowedVersion | None:
    """Return the state of an alias beside Production; None if it is not set."""
    version, model = models.aliases.of(ref.name).get(ref.alias), models.loaded.get(ref)
    if version is None and model is None:
        return None
    is_loaded = model is not None and version in {None, model.version}
    reason = None
    if not is_loaded:
        candidate = ref.alias.removeprefix(CANDIDATE_PREFIX)
        reason = why_missing(models, ref) if models.follows(ref) else why_not_followed(models, ref.name, candidate)
    return FollowedVersion(
        version=version or (model and model.version),
        loaded=is_loaded,
        served_version=model and model.version,
        metrics=model and model.manifest.metrics,
        reason=reason,
    )


def candidates_of(models: ModelStore, name: str) -> list[CandidateVersion]:
    """Return the state of each candidate of a model, by name; nothing for a model that the settings leave out."""
    if not models.followed.includes(ModelRef(name)):
        return []
    aliases = [
        *models.aliases.of(name),
        *(ref.alias for ref in models.loaded if ref.name == name and not ref.is_pinned),
    ]
    names = sorted({alias.removeprefix(CANDIDATE_PREFIX) for alias in aliases if alias.startswith(CANDIDATE_PREFIX)})
    states = [(one, followed_version(models, ModelRef(name, alias=candidate_alias(one)))) for one in names if one]
    return [CandidateVersion(name=one, **dict(state)) for one, state in states if state is not None]


def _fields(models: ModelStore, pool: WorkPool, ref: ModelRef, model: ServedModel) -> dict[str, Any]:
    manifest = model.manifest
    stuck = pool.stuck_runs(model.name, model.version)
    return {
        "model_name": model.name,
        "model_version": model.version,
        "current_stage": _stage(models, ref, model),
        "pinned": ref.is_pinned,
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


def _stage(models: ModelStore, ref: ModelRef, model: ServedModel) -> str:
    if ref.is_production or ref == ModelRef(ref.name, alias=STAGING):
        return ref.alias
    aliases = models.aliases.of(ref.name)
    return next((stage for stage in (PRODUCTION, STAGING) if aliases.get(stage) == model.version), "None")
