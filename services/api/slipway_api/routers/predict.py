"""`/predict` and `/models/{name}/predict`: the project's own prediction calls."""

import json
import time
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.accounts import Caller
from slipway_api.content import require_json
from slipway_api.errors import InvalidInputError, TooLargeError
from slipway_api.openapi import Responses, errors
from slipway_api.security import Predictor, State
from slipway_api.serving.predictor import predict
from slipway_api.state import Services
from slipway_core.errors import Problem
from slipway_core.ids import uuid7
from slipway_core.signature import MAX_PROBLEMS

router = APIRouter(tags=["prediction"])

Row = list[float] | dict[str, float]


class PredictRequest(BaseModel):
    """One row or many, each a list of numbers in the signature's order or an object by feature name."""

    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": False},
    )

    features: Row | list[Row]


class Prediction(BaseModel):
    """The answer: one entry a row."""

    id: str = Field(description="Names the prediction; sorts by time (UUIDv7).")
    model: str
    version: str
    prediction: list[int] | list[float] = Field(description="Class indices of a classifier, values of a regressor.")
    label: list[str] | None = Field(default=None, description="Classifiers: the predicted class.")
    probabilities: list[list[float]] | None = Field(default=None, description="Classifiers: of each class.")


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
# The body is read and checked against the model's signature, so FastAPI is told of it and does not parse it.
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
    **errors(401, 403, 404, 413, 415, 422, 503),
}


@router.post("/predict", response_class=Response, responses=_RESPONSES, openapi_extra=_BODY)
async def predict_default(request: Request, state: State, caller: Predictor) -> Response:
    """Predict with the default model."""
    return await _predict(request, state, caller, state.models.default_model)


@router.post(
    "/models/{name}/predict",
    response_class=Response,
    responses={**_RESPONSES, **errors(404)},
    openapi_extra=_BODY,
)
async def predict_named(name: str, request: Request, state: State, caller: Predictor) -> Response:
    """Predict with the model of that name."""
    return await _predict(request, state, caller, name)


async def _predict(request: Request, state: Services, caller: Caller, name: str) -> Response:
    began = time.perf_counter()
    model = state.models.get(name)
    await require_json(request)
    features = _features(await request.body(), state.settings.max_rows)
    matrix = model.signature.matrix(features)
    outputs = await predict(model, matrix, state.metrics)
    if not all(np.isfinite(part).all() for part in (outputs.prediction, outputs.scores) if part is not None):
        raise InvalidInputError([Problem(("features",), "the model has no finite answer for these values")])
    prediction_id = uuid7()
    body: dict[str, Any] = {
        "id": str(prediction_id),
        "model": model.name,
        "version": model.version,
        "prediction": outputs.prediction.tolist(),
    }
    classes = model.manifest.classes
    if classes is not None and outputs.scores is not None:
        body["label"] = [classes[index] for index in body["prediction"]]
        body["probabilities"] = outputs.scores.tolist()
    state.prediction_log.append(
        model,
        prediction_id,
        time.time_ns(),
        caller.id,
        matrix,
        outputs,
        time.perf_counter() - began,
        request.scope["state"]["request_id"],
    )
    return Response(orjson.dumps(body), media_type="application/json")


def _features(content: bytes, max_rows: int) -> Any:  # noqa: ANN401  # what a client sent may be anything
    body = _parse(content)
    if not isinstance(body, dict):
        raise InvalidInputError([Problem(("body",), 'the body must be an object: {"features": …}')])
    problems = [] if "features" in body else [Problem(("features",), "the field 'features' is missing")]
    problems += [Problem((key,), f"there is no field {key!r}; send 'features'") for key in body if key != "features"]
    problems = problems[:MAX_PROBLEMS]
    if problems:
        raise InvalidInputError(problems)
    features = body["features"]
    if isinstance(features, list) and len(features) > max_rows and isinstance(features[0], list | dict):
        raise TooLargeError(f"{len(features)} rows are over the limit of {max_rows}; send them in parts")
    return features


def _parse(content: bytes) -> Any:  # noqa: ANN401
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON: line {error.lineno}, column {error.colno}"
    # NaN and infinity are not JSON, but many clients write them; this reader lets the signature name their place.
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError([Problem(("body",), message)]) from error
