"""`/ping`, `/invocations` and `/endpoints`: the endpoints of SageMaker and of MLflow's model server."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from slipway_api.accounts.key_models import KeyAction
from slipway_api.errors import NotReadyError
from slipway_api.http.openapi import FeatureValue, Responses, errors
from slipway_api.protocols import sagemaker, scoring
from slipway_api.web.dependencies import DESCRIBED_SCHEMES, Accounts, Models, Permit, api_key, bearer, current_user
from slipway_api.web.prediction_endpoint import PredictionPath
from slipway_core.answers import PREDICTION, Choice
from slipway_core.manifest import Label

PING, INVOCATIONS = "/ping", "/invocations"
# Paths that need no token on SageMaker, which authenticates them itself.
SAGEMAKER_PATHS = frozenset({PING, INVOCATIONS})

# `/ping` is served here; `/invocations` is only described here, and served by the prediction endpoint.
router = APIRouter(tags=["scoring"])
described = APIRouter(tags=["scoring"], dependencies=DESCRIBED_SCHEMES)

# Unknown columns are ignored, whatever their values.
Row = list[FeatureValue] | dict[str, Any]


class Params(BaseModel):
    """What to return."""

    model_config = ConfigDict(extra="forbid")

    output: Choice = Field(
        default=PREDICTION,
        description="`prediction`: labels of a classifier, or values of a regressor. `probabilities`: an "
        "object per row with the probability of each class, by its label; only for classifiers.",
    )


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    params: Params | None = None


class Instances(_Form):
    """Rows, each a list in the signature's order or an object by feature name."""

    instances: list[Row] = Field(min_length=1)


class Inputs(_Form):
    """Rows, columns by feature name, or rows by the name of the graph's input."""

    inputs: Annotated[list[Row], Field(min_length=1)] | dict[str, Any]


class DataFrame(BaseModel):
    """The format of pandas' `DataFrame.to_dict(orient="split")`."""

    columns: list[str]
    data: list[list[Any]] = Field(min_length=1)
    index: Any = Field(default=None, description="Ignored.")


class DataFrameSplit(_Form):
    """A data frame, its columns in any order."""

    dataframe_split: DataFrame


class DataFrameRecords(_Form):
    """The format of pandas' `DataFrame.to_dict(orient="records")`."""

    dataframe_records: list[dict[str, Any]] = Field(min_length=1)


class Predictions(BaseModel):
    """One entry per row: labels of a classifier with their own type, its probabilities, or values of a regressor."""

    predictions: list[str] | list[bool] | list[int] | list[float] | list[Label] | list[dict[str, float]]


class Pong(BaseModel):
    """An empty object; see the status."""


async def reader_unless_sagemaker(
    request: Request,
    accounts: Accounts,
    token: Annotated[str | None, Depends(bearer)],
    key: Annotated[str | None, Depends(api_key)],
) -> None:
    """Raise an error unless the caller may read models, or the platform authenticates callers (a dependency)."""
    if PING not in request.app.state.tokenless:
        await Permit(KeyAction.READ)(request, await current_user(request, accounts, token, key))


@router.get(PING, responses=errors(401, 403, 503), dependencies=[Depends(reader_unless_sagemaker)])
async def ping(models: Models) -> Pong:
    """Return 200 once every required model is loaded, else 503. On SageMaker, no token is needed."""
    if reasons := models.reasons_missing():
        raise NotReadyError("; ".join(reasons.values()))
    return Pong()


FORMS = (Instances, Inputs, DataFrameSplit, DataFrameRecords)
_ROW = {
    "sepal length (cm)": 5.1,
    "sepal width (cm)": 3.5,
    "petal length (cm)": 1.4,
    "petal width (cm)": 0.2,
}
_EXAMPLES = {
    "instances": {"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]},
    "inputs": {"inputs": {name: [value] for name, value in _ROW.items()}},
    "dataframe_split": {"dataframe_split": {"columns": list(_ROW), "data": [list(_ROW.values())]}},
    "dataframe_records": {"dataframe_records": [_ROW]},
}
_CSV = {"schema": {"type": "string"}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{form.__name__}"} for form in FORMS]},
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            },
            "text/csv": {**_CSV, "example": "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n"},
        },
    }
}
PREDICTED: Responses = {
    200: {
        "model": Predictions,
        "content": {
            "application/json": {"example": {"predictions": ["setosa", "virginica"]}},
            "text/csv": {**_CSV, "example": "setosa\nvirginica\n"},
        },
        "description": "Predictions, as CSV if `Accept` prefers it. `X-Prediction-ID` is the prediction's id. "
        "`X-Prediction-Warnings` is the number of values outside the trained range, if any.",
        "headers": {
            "X-Prediction-ID": {"schema": {"type": "string"}},
            "X-Prediction-Warnings": {"schema": {"type": "integer"}},
        },
    }
}
_RESPONSES: Responses = {**PREDICTED, **errors(401, 403, 404, 413, 415, 422, 429, 503)}

_VARIANT = {"X-Amzn-Invoked-Production-Variant": {"schema": {"type": "string"}}}
_INVOKED: Responses = {200: {**PREDICTED[200], "headers": {**PREDICTED[200]["headers"], **_VARIANT}}}
_TARGET_VARIANT = {
    "name": "X-Amzn-SageMaker-Target-Variant",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The alias to serve: `Production` (the default), `Staging` or `candidate-…`.",
    "example": "Staging",
}
ENDPOINT = "/endpoints/{name}/invocations"

PATHS = (
    PredictionPath(INVOCATIONS, scoring.read),
    PredictionPath(ENDPOINT, sagemaker.read, alias=lambda _path, headers: sagemaker.variant(headers)),
)


@described.post(INVOCATIONS, responses=_RESPONSES, openapi_extra=BODY)
async def invocations() -> None:
    """Predict with the default model, in MLflow's forms or CSV. On SageMaker, no token is needed."""


@described.post(
    ENDPOINT,
    responses={**_INVOKED, **errors(401, 403, 404, 413, 415, 422, 429, 503)},
    openapi_extra={**BODY, "parameters": [_TARGET_VARIANT]},
)
async def invoke_endpoint(name: str) -> None:
    """Predict with a model by its name, for clients of SageMaker's runtime such as `boto3`.

    Errors have the header `X-Amzn-ErrorType` and the field `Message`, which these clients parse.
    """
