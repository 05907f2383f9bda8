"""`/v2/…`: health, metadata and inference of the Open Inference Protocol, with their OpenAPI descriptions."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

import slipway_core
from slipway_api.errors import NotReadyError
from slipway_api.http.openapi import FeatureValue, Responses, kserve_errors
from slipway_api.protocols import open_inference
from slipway_api.protocols.infer_outputs import HEADER_LENGTH, OCTETS, TensorInfo, output_tensors
from slipway_api.protocols.open_inference import PLATFORM
from slipway_api.protocols.tensors import BOOL, BYTES, MAX_DIMENSIONS, NUMBERS
from slipway_api.serving.version_lookup import find, versions
from slipway_api.web.dependencies import DESCRIBED_SCHEMES, Models, Reader
from slipway_api.web.prediction_endpoint import PredictionPath

ROOT = "/v2"
MODEL, VERSION = f"{ROOT}/models/{{name}}", f"{ROOT}/models/{{name}}/versions/{{version}}"

# Health and metadata are served here; inference is only described here, and served by the prediction endpoint.
router = APIRouter(tags=["open inference protocol"])
described = APIRouter(tags=["open inference protocol"], dependencies=DESCRIBED_SCHEMES)


class ServerMetadata(BaseModel):
    """The server's name, version and extensions."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(BaseModel):
    """Whether the process runs."""

    live: bool


class ServerReady(BaseModel):
    """Whether every required model is loaded."""

    ready: bool


class ModelReady(BaseModel):
    """Whether one model is ready."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """An input or output; -1 in a shape stands for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Parameters(BaseModel):
    """Extensions of the protocol; unknown parameters are ignored."""

    model_config = ConfigDict(extra="allow")


class RequestParameters(Parameters):
    """Options of the response."""

    binary_data_output: bool = Field(default=False, description="Return every output in binary.")


class InputParameters(Parameters):
    """How an input is encoded."""

    binary_data_size: int | None = Field(
        default=None, ge=0, description="Number of bytes after the JSON with the values, instead of `data`."
    )


class OutputParameters(Parameters):
    """How an output is encoded."""

    binary_data: bool = Field(
        default=False, description="Whether to return it in binary; `binary_data_output` applies to outputs without it."
    )


class InputTensor(BaseModel):
    """An input: all features under the graph's input name, or one feature under its own name."""

    name: str
    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=MAX_DIMENSIONS)
    datatype: str = Field(json_schema_extra={"enum": [*NUMBERS, BYTES, BOOL]})
    data: list[FeatureValue | list[FeatureValue]] | None = Field(
        default=None, description="Values by row, flat or nested."
    )
    parameters: InputParameters | None = None


class RequestedOutput(BaseModel):
    """A requested output."""

    name: str
    parameters: OutputParameters | None = None


class InferRequest(BaseModel):
    """An inference request."""

    id: str | None = Field(default=None, max_length=open_inference.MAX_ID, description="Echoed back unchanged.")
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] | None = Field(default=None, description="Defaults to all outputs.")
    parameters: RequestParameters | None = None


class OutputTensor(TensorMetadata):
    """An output, with its values in `data` or in that many bytes after the JSON."""

    data: list[Any] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(BaseModel):
    """An inference response."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str] = Field(description="`prediction_id` is the prediction's id (UUIDv7).")
    outputs: list[OutputTensor]


@router.get(ROOT)
async def server_metadata() -> ServerMetadata:
    """Return the server's name, version and extensions."""
    return ServerMetadata(name="slipway", version=slipway_core.__version__, extensions=["binary_tensor_data"])


@router.get(f"{ROOT}/health/live")
async def server_live() -> ServerLive:
    """Return 200 while the process runs."""
    return ServerLive(live=True)


@router.get(
    f"{ROOT}/health/ready",
    response_model=ServerReady,
    responses={503: {"model": ServerReady, "description": "A required model is not loaded."}},
)
async def server_ready(models: Models) -> Response:
    """Return 200 once every required model is loaded, else 503."""
    return _ready(ServerReady(ready=not models.missing()))


@router.get(MODEL, responses=kserve_errors(401, 403, 404, 503))
async def model_metadata(name: str, models: Models, _caller: Reader) -> ModelMetadata:
    """Describe the inputs and outputs of a model."""
    return _metadata(models, name)


@router.get(VERSION, responses=kserve_errors(401, 403, 404, 503))
async def version_metadata(name: str, version: str, models: Models, _caller: Reader) -> ModelMetadata:
    """Describe the inputs and outputs of a version."""
    return _metadata(models, name, version)


_MODEL_READY: Responses = {
    **kserve_errors(401, 403, 404, 503),
    503: {"model": ModelReady, "description": "The model is not loaded yet."},
}


@router.get(f"{MODEL}/ready", response_model=ModelReady, responses=_MODEL_READY)
async def model_ready(name: str, models: Models, _caller: Reader) -> Response:
    """Return 200 once a model is loaded, 503 before, and 404 for a model that the API does not serve."""
    return _model_ready(models, name)


@router.get(f"{VERSION}/ready", response_model=ModelReady, responses=_MODEL_READY)
async def version_ready(name: str, version: str, models: Models, _caller: Reader) -> Response:
    """Return 200 once a version is loaded, 503 before, and 404 for a version that the API does not serve."""
    return _model_ready(models, name, version)


def _metadata(models: Models, name: str, version: str | None = None) -> ModelMetadata:
    model = find(models, name, version)
    return ModelMetadata(
        name=model.name,
        versions=versions(models, name),
        platform=PLATFORM,
        inputs=[_tensor(info) for info in open_inference.input_tensors(model)],
        outputs=[_tensor(info) for info in output_tensors(model)],
    )


def _tensor(info: TensorInfo) -> TensorMetadata:
    return TensorMetadata(name=info.name, datatype=info.datatype, shape=list(info.shape))


def _model_ready(models: Models, name: str, version: str | None = None) -> Response:
    try:
        find(models, name, version)
    except NotReadyError:
        return _ready(ModelReady(name=name, ready=False))
    return _ready(ModelReady(name=name, ready=True))


def _ready(body: ServerReady | ModelReady) -> Response:
    status = HTTPStatus.OK if body.ready else HTTPStatus.SERVICE_UNAVAILABLE
    headers = None if body.ready else {"Retry-After": "2"}
    return Response(body.model_dump_json(), status, headers, "application/json")


_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}],
    "outputs": [{"name": "label"}, {"name": "probabilities"}],
}
_ANSWER = {
    "model_name": "iris",
    "model_version": "7",
    "id": "42",
    "parameters": {"prediction_id": "01939c4e-5f0e-7c3a-9d2b-3a1f0c9d7e55"},
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [0]},
        {"name": "probabilities", "datatype": "FP32", "shape": [1, 3], "data": [0.98, 0.02, 0.0]},
    ],
}
_LENGTH = {
    "name": HEADER_LENGTH.decode().title(),
    "in": "header",
    "required": False,
    "description": "Size of the JSON, if binary tensors follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_OCTETS = {"schema": {"type": "string", "format": "binary", "description": "The JSON, followed by the binary tensors."}}
_BODY: dict[str, Any] = {
    "parameters": [_LENGTH],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/InferRequest"},
                "examples": {"all features": {"value": _EXAMPLE}},
            },
            OCTETS: _OCTETS,
        },
    },
}
_RESPONSES: Responses = {
    200: {
        "model": InferResponse,
        "content": {"application/json": {"example": _ANSWER}, OCTETS: _OCTETS},
        "description": "The outputs.",
    },
    **kserve_errors(401, 403, 404, 413, 415, 422, 429, 503),
}

PATHS = (
    PredictionPath(f"{MODEL}/infer", open_inference.read, find=find),
    PredictionPath(f"{VERSION}/infer", open_inference.read, find=find),
)


@described.post(f"{MODEL}/infer", responses=_RESPONSES, openapi_extra=_BODY)
async def infer(name: str) -> None:
    """Infer with a model."""


@described.post(f"{VERSION}/infer", responses=_RESPONSES, openapi_extra=_BODY)
async def infer_with_version(name: str, version: str) -> None:
    """Infer with a version of a model."""
