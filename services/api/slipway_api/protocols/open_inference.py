"""The Open Inference Protocol v2: `{"inputs": [tensor, …]}` in, `{"outputs": [tensor, …]}` out, in JSON or binary.

See KServe's "Open Inference Protocol, REST", and Triton's "Binary Tensor Data Extension". A tabular model takes one
tensor named after its graph's input, or one tensor per feature.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from slipway_api.errors import InvalidInputError, TooLargeError, UnsupportedMediaTypeError
from slipway_api.http.json_errors import is_huge_number
from slipway_api.protocols.infer_outputs import ANY, HEADER_LENGTH, OCTETS, TensorInfo, Wanted, output_tensors, write
from slipway_api.protocols.messages import ParsedRequest, PredictionRequest
from slipway_api.protocols.native import parse_json
from slipway_api.protocols.tensors import BOOL, BYTES, NUMBERS, Tensor, describe, values_of
from slipway_api.protocols.typed_tensors import objects_of
from slipway_api.serving.served_model import ServedModel
from slipway_core.errors import FeaturesError, Problem
from slipway_core.feature_values import MAX_PROBLEMS
from slipway_core.printable import SHOWN
from slipway_core.rows import Rows
from slipway_core.signature import Signature
from slipway_core.table_signature import AnySignature, TableSignature

# Content types that this protocol's clients send for JSON; it does not require one.
CONTENT_TYPES: Final = frozenset({"", "application/json", OCTETS})
PLATFORM: Final = "onnx_onnxv1"
MAX_ID = 256
MAX_HEADER_DIGITS = 12
# The data type of each type of column in the metadata; requests may use another one that holds its values.
DATATYPES: Final = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
    "date": "BYTES",
}


def input_tensors(model: ServedModel) -> list[TensorInfo]:
    """Return the inputs of one request: a matrix or one tensor per column. A matrix may be sent by column, too."""
    if isinstance(model.signature, Signature):
        return [TensorInfo(model.manifest.inputs[0].name, "FP32", (ANY, len(model.signature.names)))]
    return [TensorInfo(column.name, DATATYPES[column.dtype], (ANY,)) for column in model.signature.columns]


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
    tensors = _tensors(document, model.signature)
    is_matrix = _is_matrix(tensors, model)
    n_rows = _count_rows(tensors, model, is_matrix=is_matrix)
    if n_rows > request.max_rows:
        raise TooLargeError(f"{str(n_rows)[:SHOWN]} rows exceed the limit of {request.max_rows}; send them in parts")
    rows = _rows(model.signature, tensors, _parts(tensors, tail), is_matrix=is_matrix)
    return ParsedRequest(rows, partial(write, wanted, request_id))


def _rows(signature: AnySignature, tensors: Sequence[Tensor], parts: Sequence[memoryview], *, is_matrix: bool) -> Rows:
    n_rows = tensors[0].shape[0]
    if isinstance(signature, TableSignature):
        sent = {tensor.name: (tensor, part) for tensor, part in zip(tensors, parts, strict=True)}
        columns = [objects_of(*sent[column.name], column) for column in signature.columns]
        return signature.table(columns, lambda row, name: (*sent[name][0].loc, "data", row))
    if is_matrix:
        matrix = values_of(tensors[0], parts[0]).astype(np.float32).reshape(n_rows, -1)
    else:
        matrix = np.empty((n_rows, len(tensors)), np.float32)
        for tensor, part in zip(tensors, parts, strict=True):
            matrix[:, signature.names.index(tensor.name)] = values_of(tensor, part)
    if problems := signature.category_problems(matrix, ("inputs",)):
        raise FeaturesError(problems)
    return matrix


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


def _tensors(document: Mapping[str, Any], signature: AnySignature) -> list[Tensor]:
    n_features = len(signature.names)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise _wrong("`inputs` must be a list of at least one tensor", "inputs")
    if len(inputs) > n_features:
        raise _wrong(f"the request has {len(inputs)} inputs, but the model has {n_features} features", "inputs")
    datatypes = NUMBERS if isinstance(signature, Signature) else [*NUMBERS, BYTES, BOOL]
    return [describe(item, ("inputs", index), datatypes) for index, item in enumerate(inputs)]


def _is_matrix(tensors: Sequence[Tensor], model: ServedModel) -> bool:
    """Return whether one tensor holds all features; otherwise require exactly one tensor per feature."""
    whole = input_tensors(model)
    if isinstance(model.signature, Signature) and len(tensors) == 1 and tensors[0].name == whole[0].name:
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
        hint = "send one tensor for each feature"
        if isinstance(model.signature, Signature):
            hint = f"send {whole[0].name!r} of shape [n, {whole[0].shape[1]}], or one tensor for each feature"
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
