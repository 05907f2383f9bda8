"""The outputs of the Open Inference Protocol: describe them, and write the response in JSON or binary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from slipway_api.protocols.messages import PredictionResponse, PredictionResult
from slipway_api.protocols.typed_tensors import binary_texts
from slipway_api.serving.served_model import ServedModel

HEADER_LENGTH: Final = b"inference-header-content-length"
OCTETS: Final = "application/octet-stream"
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


def output_tensors(model: ServedModel) -> list[TensorInfo]:
    """Return the outputs: a regressor's values; or a classifier's class indices, probabilities and class names."""
    graph, classes = model.manifest.graph, model.manifest.classes
    if classes is None or graph.scores is None:
        return [TensorInfo(graph.label, "FP64" if model.graph.is_double else "FP32", (ANY,))]
    return [
        TensorInfo(graph.label, "INT64", (ANY,)),
        TensorInfo(graph.scores, "FP32", (ANY, len(classes))),
        TensorInfo(_names_output(model), "BYTES", (ANY,)),
    ]


def _names_output(model: ServedModel) -> str:
    """Return the name of the output of class names, which is not part of the graph."""
    name = f"{model.manifest.graph.label}_name"
    return name if name != model.manifest.graph.scores else f"{name}s"


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
            tails.append(_binary(found))
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


def _binary(values: NDArray[Any] | Sequence[str]) -> bytes:
    if isinstance(values, np.ndarray):
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return binary_texts(values)


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
        return {graph.label: prediction.astype(np.float64 if model.graph.is_double else np.float32, copy=False)}
    return {
        graph.label: prediction.astype(np.int64, copy=False),
        graph.scores: np.ascontiguousarray(scores, dtype=np.float32),
        _names_output(model): [model.labels[index] for index in prediction.tolist()],
    }
