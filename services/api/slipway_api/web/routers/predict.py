"""`/predict` and `/models/{name}/predict`: the OpenAPI descriptions of the native prediction endpoints."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.http.openapi import FeatureValue, Responses, errors
from slipway_api.protocols import native
from slipway_api.web.dependencies import DESCRIBED_SCHEMES
from slipway_api.web.prediction_endpoint import PredictionPath
from slipway_core.registry import STAGING
from slipway_core.registry.base import candidate_alias

# Only described here; the prediction endpoint serves them.
router = APIRouter(tags=["prediction"], dependencies=DESCRIBED_SCHEMES)

Row = list[FeatureValue] | dict[str, FeatureValue]


class PredictRequest(BaseModel):
    """One or more rows, each a list of values in the signature's order or an object by feature name.

    A missing value is null.
    """

    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": False},
    )

    features: (
        Annotated[list[FeatureValue], Field(min_length=1)]
        | dict[str, FeatureValue]
        | Annotated[list[Row], Field(min_length=1)]
    )


class PredictionWarning(BaseModel):
    """A value outside the range of the training data."""

    row: int
    feature: str
    message: str


class Prediction(BaseModel):
    """The predictions, with one entry per row."""

    id: str = Field(description="Id of the prediction; sorts by time (UUIDv7).")
    model: str
    version: str
    prediction: list[int] | list[float] = Field(description="Class indices of a classifier, values of a regressor.")
    label: list[str] | None = Field(default=None, description="Classifiers: label of the predicted class, as text.")
    probabilities: list[list[float]] | None = Field(default=None, description="Classifiers: probability of each class.")
    warnings: list[PredictionWarning] | None = Field(
        default=None,
        description="The first 20 values outside the range of the training data; absent if there are none.",
    )
    warnings_omitted: int | None = Field(
        default=None, description="Number of further values outside the range; absent if there are none."
    )


_EXAMPLES = {
    "one row": {"features": [5.1, 3.5, 1.4, 0.2]},
    "many rows": {"features": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]},
    "named features": {
        "features": {
            "sepal length (cm)": 5.1,
            "sepal width (cm)": 3.5,
            "petal length (cm)": 1.4,
            "petal width (cm)": 0.2,
        }
    },
}
_ANSWER = {
    "id": "01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55",
    "model": "iris",
    "version": "7",
    "prediction": [0],
    "label": ["setosa"],
    "probabilities": [[0.98, 0.02, 0.0]],
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": PredictRequest.model_json_schema(),
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            }
        },
    }
}
_RESPONSES: Responses = {
    200: {
        "model": Prediction,
        "content": {"application/json": {"example": _ANSWER}},
        "description": "The prediction.",
    },
    **errors(401, 403, 404, 413, 415, 422, 429, 503),
}


PATHS = (
    PredictionPath("/predict", native.read),
    PredictionPath("/models/{name}/predict", native.read),
    PredictionPath("/models/{name}/versions/{version}/predict", native.read),
    PredictionPath("/models/{name}/staging/predict", native.read, alias=lambda _path, _headers: STAGING),
    PredictionPath(
        "/models/{name}/candidates/{candidate}/predict",
        native.read,
        alias=lambda path, _headers: candidate_alias(path["candidate"]),
    ),
)


@router.post("/predict", responses=_RESPONSES, openapi_extra=_BODY)
async def predict_default() -> None:
    """Predict with the default model."""


@router.post("/models/{name}/predict", responses=_RESPONSES, openapi_extra=_BODY)
async def predict_named(name: str) -> None:
    """Predict with a model by its name."""


@router.post("/models/{name}/versions/{version}/predict", responses=_RESPONSES, openapi_extra=_BODY)
async def predict_version(name: str, version: str) -> None:
    """Predict with a pinned version, which SLIPWAY_MODELS names as in `iris@7`."""


@router.post("/models/{name}/staging/predict", responses=_RESPONSES, openapi_extra=_BODY)
async def predict_staging(name: str) -> None:
    """Predict with the version that has the alias Staging."""


@router.post("/models/{name}/candidates/{candidate}/predict", responses=_RESPONSES, openapi_extra=_BODY)
async def predict_candidate(name: str, candidate: str) -> None:
    """Predict with the version that has the alias `candidate-…`."""
