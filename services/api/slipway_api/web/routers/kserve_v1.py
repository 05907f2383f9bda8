"""`/v1/models/…`: KServe's V1 protocol, which is the REST API of TensorFlow Serving.

Predictions have the format of `/invocations`.
"""

from fastapi import APIRouter
from pydantic import BaseModel

from slipway_api.http.openapi import Responses, kserve_errors
from slipway_api.protocols import scoring
from slipway_api.web.dependencies import DESCRIBED_SCHEMES, Models, Reader
from slipway_api.web.prediction_endpoint import PredictionPath
from slipway_api.web.routers.open_inference import ModelReady
from slipway_api.web.routers.scoring import BODY, PREDICTED

ROOT = "/v1/models"
MODEL, PREDICT = f"{ROOT}/{{name}}", f"{ROOT}/{{name}}:predict"

# Predictions are only described here, and served by the prediction endpoint.
router = APIRouter(tags=["kserve v1 protocol"])
described = APIRouter(tags=["kserve v1 protocol"], dependencies=DESCRIBED_SCHEMES)


class ModelNames(BaseModel):
    """The names of the served models."""

    models: list[str]


@router.get(ROOT, responses=kserve_errors(401, 403, 503))
async def model_names(models: Models, caller: Reader) -> ModelNames:
    """List the names of the served models that the caller may use."""
    return ModelNames(models=sorted(filter(caller.permits_model, models.served)))


@router.get(MODEL, responses=kserve_errors(401, 403, 404, 503))
async def model_ready(name: str, models: Models, _caller: Reader) -> ModelReady:
    """Return 200 once a model is loaded, 503 before, and 404 for a model that the API does not serve."""
    return ModelReady(name=models.get(name).name, ready=True)


_RESPONSES: Responses = {**PREDICTED, **kserve_errors(401, 403, 404, 413, 415, 422, 429, 503)}

PATHS = (PredictionPath(PREDICT, scoring.read),)


@described.post(PREDICT, responses=_RESPONSES, openapi_extra=BODY)
async def predict(name: str) -> None:
    """Predict with a model by its name: send `instances` or `inputs`, or another body of `/invocations`."""
