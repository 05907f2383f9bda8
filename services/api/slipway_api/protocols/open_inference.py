"""The Open Inference Protocol v2: `{"inputs": [tensor, …]}` in, `{"outputs": [tensor, …]}` out, in JSON or binary.

See KServe's "Open Inference Protocol, REST", and Triton's "Binary Tensor Data Extension". A tabular model takes one
tensor named after its graph's input, or one tensor per feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from slipway_api.errors import InvalidInputError, TooLargeError, UnsupportedMediaTypeError
from slipway_api.http.json_errors import is_huge_number
from slipway_api.protocols.messages import ParsedRequest, PredictionRequest, PredictionResponse, PredictionResult
from slipway_api.protocols.native import parse_json
from slipway_api.protocols.tensors import Tensor, binary_of, describe, values_of
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import FeaturesError, Problem
from slipway_core.signature import MAX_PROBLEMS, SHOWN

HEADER_LENGTH: Final = b"inference-header-content-length"
OCTETS: Final = "application/octet-stream"
# Content types that this protocol's clients send for JSON; it does not require one.
CONTENT_TYPES: Final = frozenset({"", "application/json", OCTETS})
PLATFORM: Final = "onnx_onnxv1"
MAX_ID = 256
MAX_HEADER_DIGITS = 12
ANY = -1


class TensorInfo(NamedTuple):
    """The metadata of an input or output; -1 in a shape stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A requested output."""

    name: str
    is_binary: bool


def input_tensors(model: ServedModel) -> list[TensorInfo]:
    """Return the inputs of one request. One tensor per feature is accepted, too."""
    return [TensorInfo(model.manifest.graph.input, "FP32", (ANY, len(model.signature.names)))]


def output_tensors(model: ServedModel) -> list[TensorInfo]:
    """Return the outputs: a regressor's values; or a classifier's class indices, probabilities and class names."""
    graph, classes = model.manifest.graph, model.manifest.classes
    if classes is None or graph.scores is None:
        return [TensorInfo(graph.label, "FP32", (ANY,))]
    return [
        TensorInfo(graph.label, "INT64", (ANY,)),
        TensorInfo(graph.scores, "FP32", (ANY, len(classes))),
        TensorInfo(_names_output(model), "BYTES", (ANY,)),
    ]


def _names_output(model: ServedModel) -> str:
    """Return the name of the output of class names, which is not part of the graph."""
    name = f"{model.manifest.graph.label}_name"
    return name if name != model.manifest.graph.scores else f"{name}s"


def read(model: ServedModel, request: PredictionRequest) -> ParsedRequest:
    """Parse an inference request.

    Raises:
        UnsupportedMediaTypeError: it has another content type.
        InvalidInputError: it is malformed, or does not match the model.
        FeaturesError: a value is outside its feature's categories.
        TooLargeError: it has too many rows.
    """
    if request.content_type not in CONTENT_TYPES and not request.content_type.endswith("+json"):
        raise UnsupportedMediaTypeError(
            f"{request.content_type} is not supported; send `Content-Type: application/json`, or "
            f"`{OCTETS}` with binary tensors"
        )
    head, tail = _split(request)
    document = _parse(head, request)
    if not isinstance(document, dict):
        raise _wrong("the body must be an object with `inputs`", "body")
    request_id = _request_id(document)
    wanted = _wanted(document, model)
    tensors = _tensors(document, len(model.signature.names))
    is_matrix = _is_matrix(tensors, model)
    n_rows = _count_rows(tensors, model, is_matrix=is_matrix)
    if n_rows > request.max_rows:
        raise TooLargeError(f"{str(n_rows)[:SHOWN]} rows exceed the limit of {request.max_rows}; send them in parts")
    parts = _parts(tensors, tail)
    if is_matrix:
        matrix = values_of(tensors[0], parts[0]).astype(np.float32).reshape(n_rows, -1)
    else:
        matrix = np.empty((n_rows, len(tensors)), np.float32)
        for tensor, part in zip(tensors, parts, strict=True):
            matrix[:, model.signature.names.index(tensor.name)] = values_of(tensor, part)
    if problems := model.signature.category_problems(matrix, ("inputs",)):
        raise FeaturesError(problems)
    return ParsedRequest(matrix, partial(write, wanted, request_id))


def write(wanted: Sequence[Wanted], request_id: str | None, result: PredictionResult) -> PredictionResponse:
    """Return the response: the requested outputs in order, with binary data after the JSON."""
    model = result.model
    infos = {info.name: info for info in output_tensors(model)}
    values = _values(result)
    outputs, tails = [], []
    for one in wanted:
        info, found = infos[one.name], values[one.name]
        output: dict[str, Any] = {
            "name": one.name,
            "datatype": info.datatype,
            "shape": found.shape if isinstance(found, np.ndarray) else [len(found)],
        }
        if one.is_binary:
            tails.append(binary_of(found))
            output["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            output["data"] = found.reshape(-1) if isinstance(found, np.ndarray) else found
        outputs.append(output)
    body: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
        **({} if request_id is None else {"id": request_id}),
        "parameters": {"prediction_id": result.id, **_warnings(result)},
        "outputs": outputs,
    }
    head = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tails:
        return PredictionResponse(head)
    headers = ((HEADER_LENGTH, b"%d" % len(head)),)
    return PredictionResponse(b"".join((head, *tails)), OCTETS.encode(), headers)


def _warnings(result: PredictionResult) -> dict[str, Any]:
    """Return the values outside the trained range as one string, because the protocol's parameters are scalars."""
    if result.outside is None:
        return {}
    more = [f"and {result.outside.omitted} more"] if result.outside.omitted else []
    texts = [f"row {one.row}, {one.feature}: {one.message}" for one in result.outside.warnings]
    return {"warnings": "; ".join([*texts, *more])}


def _values(result: PredictionResult) -> Mapping[str, Any]:
    model, (prediction, scores) = result.model, (result.outputs.prediction, result.outputs.scores)
    graph, classes = model.manifest.graph, model.manifest.classes
    if classes is None or graph.scores is None or scores is None:
        return {graph.label: prediction.astype(np.float32, copy=False)}
    return {
        graph.label: prediction.astype(np.int64, copy=False),
        graph.scores: np.ascontiguousarray(scores, dtype=np.float32),
        _names_output(model): [classes[index] for index in prediction.tolist()],
    }


def _split(request: PredictionRequest) -> tuple[bytes, memoryview]:
    """Return the JSON and the binary bytes after it; without the length header, the whole body is JSON."""
    body, declared = request.body, request.header(HEADER_LENGTH)
    if not declared:
        return body, memoryview(b"")
    if not declared.isdigit() or len(declared) > MAX_HEADER_DIGITS or int(declared) > len(body):
        raise _wrong("Inference-Header-Content-Length must be the size of the JSON at the body's start", "body")
    size = int(declared)
    return body[:size], memoryview(body)[size:]


def _parse(head: bytes, request: PredictionRequest) -> Any:  # noqa: ANN401  # what a client sent may be anything
    try:
        return parse_json(head, request.max_rows)
    except (InvalidInputError, TooLargeError) as error:
        if not request.header(HEADER_LENGTH) and b'"binary_data_size"' in head:
            message = "the body has bytes after its JSON; set the header "
            raise _wrong(f"{message}Inference-Header-Content-Length to the size of the JSON", "body") from error
        if isinstance(error, TooLargeError) or len(head) == len(request.body) or is_huge_number(error.__cause__):
            raise
        # A common mistake: the client reuses the header of its previous request.
        message = f"Inference-Header-Content-Length is {len(head)}, which is not the size of the JSON"
        raise _wrong(message, "body") from error


def _request_id(document: Mapping[str, Any]) -> str | None:
    value = document.get("id")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID or not _is_encodable(value):
        raise _wrong(f"the request's `id` must be a string of at most {MAX_ID} characters", "id")
    return value or None


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # an unpaired surrogate
        return False
    return True


def _wanted(document: Mapping[str, Any], model: ServedModel) -> list[Wanted]:
    """Return the requested outputs; defaults to all outputs."""
    is_binary = _flag(document, "binary_data_output", default=False, loc=("parameters",))
    names = [info.name for info in output_tensors(model)]
    outputs = document.get("outputs")
    if outputs is None or outputs == []:
        return [Wanted(name, is_binary) for name in names]
    if not isinstance(outputs, list) or len(outputs) > len(names):
        raise _wrong(f"`outputs` must be a list of objects with a `name` of {', '.join(names)}", "outputs")
    found: list[Wanted] = []
    for index, item in enumerate(outputs):
        name = item.get("name") if isinstance(item, dict) else None
        if name not in names or name in [one.name for one in found]:
            raise _wrong(f"each of `outputs` must have a different `name`, one of {', '.join(names)}", "outputs", index)
        binary = _flag(item, "binary_data", default=is_binary, loc=("outputs", index, "parameters"))
        for refused in ("classification", "shared_memory_region"):
            if refused in (item.get("parameters") or {}):
                raise _wrong(f"the parameter `{refused}` is not supported; remove it", "outputs", index)
        found.append(Wanted(name, binary))
    return found


def _flag(item: Mapping[str, Any], name: str, *, default: bool, loc: tuple[str | int, ...]) -> bool:
    parameters = item.get("parameters")
    if parameters is None:
        return default
    if not isinstance(parameters, dict) or not isinstance(parameters.get(name, default), bool):
        raise _wrong(f"`parameters` must be an object with `{name}` true or false", *loc)
    flag: bool = parameters.get(name, default)
    return flag


def _tensors(document: Mapping[str, Any], n_features: int) -> list[Tensor]:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise _wrong("`inputs` must be a list of at least one tensor", "inputs")
    if len(inputs) > n_features:
        raise _wrong(f"the request has {len(inputs)} inputs, but the model has {n_features} features", "inputs")
    return [describe(item, ("inputs", index)) for index, item in enumerate(inputs)]


def _is_matrix(tensors: Sequence[Tensor], model: ServedModel) -> bool:
    """Return whether one tensor holds all features; otherwise require exactly one tensor per feature."""
    if len(tensors) == 1 and tensors[0].name == model.manifest.graph.input:
        return True
    names = [tensor.name for tensor in tensors]
    twice = [t.problem("is duplicated; send it once") for i, t in enumerate(tensors) if t.name in names[:i]]
    if twice:
        raise InvalidInputError(twice[:MAX_PROBLEMS])
    problems = [
        tensor.problem("is unknown to this model") for tensor in tensors if tensor.name not in model.signature.names
    ]
    problems += [Problem(("inputs",), f"the input {n!r} is missing") for n in model.signature.names if n not in names]
    if problems:
        [whole] = input_tensors(model)
        hint = f"send {whole.name!r} of shape [n, {whole.shape[1]}], or one tensor for each feature"
        last = min(len(problems), MAX_PROBLEMS) - 1
        problems[last] = Problem(problems[last].loc, f"{problems[last].msg}; {hint}")
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    return False


def _count_rows(tensors: Sequence[Tensor], model: ServedModel, *, is_matrix: bool) -> int:
    """Check that the shapes match the model; return the number of rows."""
    n_rows, width = tensors[0].shape[0], len(model.signature.names) if is_matrix else 1
    wanted = f"[n, {width}]" if width > 1 else "[n] or [n, 1]"
    problems = []
    for tensor in tensors:
        if tensor.shape[1:] != (width,) and not (width == 1 and len(tensor.shape) == 1):
            problems.append(tensor.problem(f"must be of shape {wanted}", "shape"))
        elif tensor.shape[0] != n_rows:
            problems.append(tensor.problem(f"must have as many rows as {tensors[0].name!r}", "shape"))
    if problems:
        raise InvalidInputError(problems[:MAX_PROBLEMS])
    return n_rows


def _parts(tensors: Sequence[Tensor], tail: memoryview) -> list[memoryview]:
    """Split the binary bytes among the tensors, and require that none are left."""
    sizes = [tensor.binary_size or 0 for tensor in tensors]
    if sum(sizes) != len(tail):
        raise _wrong(
            f"the `binary_data_size` of all inputs must add up to the {len(tail)} bytes after the JSON; "
            "check the header Inference-Header-Content-Length",
            "inputs",
        )
    parts, begin = [], 0
    for size in sizes:
        parts.append(tail[begin : begin + size])
        begin += size
    return parts


def _wrong(message: str, *loc: str | int) -> InvalidInputError:
    return InvalidInputError([Problem(loc, message)])
