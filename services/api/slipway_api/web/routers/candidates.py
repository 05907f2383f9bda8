"""`/models/{name}/staging` and `/models/{name}/candidates`: the versions beside Production."""

from fastapi import APIRouter
from pydantic import BaseModel

from slipway_api.http.openapi import Responses, errors
from slipway_api.serving.model_ref import ModelRef
from slipway_api.serving.model_store import ModelStore
from slipway_api.web.dependencies import Models, Pool, Reader
from slipway_api.web.routers.model_descriptions import CandidateVersion, ModelInfo, candidates_of, describe
from slipway_core.registry import STAGING
from slipway_core.registry.base import candidate_alias

router = APIRouter(tags=["models"])


class CandidateList(BaseModel):
    """The candidates of a model, by name."""

    candidates: list[CandidateVersion]


_CANDIDATES = [
    {
        "name": "forest",
        "version": "7",
        "loaded": True,
        "served_version": "7",
        "metrics": {"accuracy": 0.97},
    },
    {
        "name": "linear",
        "version": "8",
        "loaded": False,
        "reason": "version 8 of iris cannot be loaded: model.onnx is damaged",
    },
]
_LISTED: Responses = {
    200: {"content": {"application/json": {"example": {"candidates": _CANDIDATES}}}, "description": "The candidates."}
}


@router.get("/models/{name}/staging", responses=errors(401, 403, 404, 503))
async def show_staging(name: str, models: Models, pool: Pool, _caller: Reader) -> ModelInfo:
    """Describe the version with the alias Staging."""
    return _described(models, pool, ModelRef(name, alias=STAGING))


@router.get("/models/{name}/candidates", responses={**_LISTED, **errors(401, 403, 404, 503)})
async def list_candidates(name: str, models: Models, _caller: Reader) -> CandidateList:
    """List the candidates of a model, and whether they are loaded or why not."""
    found = candidates_of(models, name)
    if not found:
        models.get(name)  # raises an error for a model that is not served
    return CandidateList(candidates=found)


@router.get("/models/{name}/candidates/{candidate}", responses=errors(401, 403, 404, 503))
async def show_candidate(name: str, candidate: str, models: Models, pool: Pool, _caller: Reader) -> ModelInfo:
    """Describe the version with the alias `candidate-…`."""
    return _described(models, pool, ModelRef(name, alias=candidate_alias(candidate)))


def _described(models: ModelStore, pool: Pool, ref: ModelRef) -> ModelInfo:
    return describe(models, pool, ref, models.get(*ref))
