"""Run an ONNX graph as its own program wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from slipway_core.errors import BundleError
from slipway_core.graph import Port, ports
from slipway_trainer.errors import ForeignModelError, reason_of
from slipway_trainer.foreign.columns import FLOATS, Kind
from slipway_trainer.foreign.model import Cells

_KINDS: dict[str, Kind] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}
TENSORS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}
_SCORES = frozenset({"tensor(float)", "tensor(double)"})
_LABELS = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)", "tensor(bool)"})
_MATRIX = 2


@dataclass(frozen=True)
class Slot:
    """An input of the graph, and the columns that it takes.

    Attributes:
        start: the index of its first column.
        width: the number of its columns.
        is_flat: whether it takes (n_rows,) instead of (n_rows, width).
    """

    name: str
    kind: Kind
    start: int
    width: int
    is_flat: bool


class OriginalGraph:
    """A graph with its own inputs and outputs.

    Attributes:
        content: the serialised graph.
        slots: its inputs.
        label: the output of labels; None for a regressor, and for a graph that returns only probabilities.
        label_kind: its type, as ONNX Runtime writes it.
        scores: the output of probabilities; the value of a regressor.
        zipmap: the labels of the dictionaries in which it returns probabilities; None if it returns a tensor.
        n_scores: the number of numbers per row in `scores`; None if the graph does not show it.
    """

    def __init__(self, uri: str, content: bytes, width: int | None) -> None:
        """Load a graph.

        Args:
            uri: its address, for messages.
            content: the serialised graph.
            width: the number of columns, if the graph itself does not show it.

        Raises:
            ForeignModelError: it cannot be loaded, or has inputs or outputs that a bundle cannot have.
        """
        self.uri, self.content = uri, content
        try:
            inputs, outputs = ports(content)
        except BundleError as error:
            reason = "" if error.__cause__ is None else f" ({reason_of(error.__cause__)})"
            raise ForeignModelError(f"{uri} cannot be registered: {error}{reason}") from error
        self.slots = _slots(uri, inputs, width)
        self.label, self.scores = _outputs(uri, outputs)
        self.label_kind = next((port.kind for port in outputs if port.name == self.label), "")
        self.zipmap = _zipmap_labels(uri, content, self.scores)
        self._session = onnxruntime.InferenceSession(content, _options(), providers=["CPUExecutionProvider"])
        shape = next(port.shape for port in outputs if port.name == self.scores)
        self.n_scores = shape[1] if len(shape) == _MATRIX and isinstance(shape[1], int) else None

    def run(self, cells: Cells) -> tuple[Any, Any]:
        """Return (n_rows,) labels, or None, and (n_rows, n_classes) probabilities or (n_rows,) values.

        Raises:
            ForeignModelError: the graph rejects the rows.
        """
        feed = {}
        for slot in self.slots:
            values = cells[:, slot.start : slot.start + slot.width]
            if slot.kind in FLOATS:
                values = np.where(np.equal(values, None), np.nan, values)  # type: ignore[call-overload]
            made = values.astype(object if slot.kind == "string" else slot.kind)
            feed[slot.name] = made.reshape(-1) if slot.is_flat else made
        names = [self.scores] if self.label is None else [self.label, self.scores]
        try:
            found = self._session.run(names, feed)
        except Exception as error:  # the exceptions of ONNX Runtime have no narrower base class
            raise ForeignModelError(f"the graph rejects rows ({reason_of(error)})") from error
        scores = found[-1]
        if self.zipmap is not None:
            scores = np.array([[row[label] for label in self.zipmap] for row in scores], dtype=np.float64)
        return (None if self.label is None else np.asarray(found[0]).reshape(-1)), np.asarray(scores, dtype=np.float64)


def read_graph(uri: str, file: Path) -> bytes:
    """Return a serialised graph with the values that its file keeps in other files of the folder.

    Raises:
        ForeignModelError: it cannot be read.
    """
    try:
        content: bytes = onnx.load(str(file)).SerializeToString()
    except Exception as error:  # of the file system, of the parser, or of a file with values
        raise ForeignModelError(
            f"{uri} cannot be read as an ONNX model ({reason_of(error)}); export it again, as one file"
        ) from error
    return content


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _slots(uri: str, inputs: Sequence[Port], width: int | None) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    for port in inputs:
        kind = _KINDS.get(port.kind)
        if kind is None or len(port.shape) not in {1, _MATRIX}:
            raise ForeignModelError(
                f"the input {port.name!r} of {uri} is a {port.kind} of {len(port.shape)} dimensions, and Slipway takes "
                "rows of float, double, int64, int32, bool or string; export the model with such inputs"
            )
        columns: int | str | None = 1 if len(port.shape) == 1 else port.shape[1]
        if not isinstance(columns, int) and len(inputs) == 1:
            columns = width
        if not isinstance(columns, int):
            raise ForeignModelError(
                f"the input {port.name!r} of {uri} has no fixed number of columns; pass rows of the model with --data "
                "rows.csv, or log it with a signature"
            )
        slots.append(Slot(port.name, kind, sum(slot.width for slot in slots), columns, len(port.shape) == 1))
    return tuple(slots)


def _outputs(uri: str, outputs: Sequence[Port]) -> tuple[str | None, str]:
    """Return the names of the output of labels, if there is one, and of the output of numbers."""
    scores = [port.name for port in outputs if port.kind in _SCORES or port.kind.startswith("seq(map(")]
    labels = [port.name for port in outputs if port.kind in _LABELS]
    if len(scores) != 1 or len(labels) > 1 or len(outputs) != len(scores) + len(labels):
        found = ", ".join(f"{port.name} ({port.kind})" for port in outputs)
        raise ForeignModelError(
            f"{uri} returns {found}; export it with one number per row, with a label and probabilities, or with "
            "probabilities only"
        )
    return (labels[0] if labels else None), scores[0]


def _zipmap_labels(uri: str, content: bytes, output: str) -> tuple[Any, ...] | None:
    """Return the labels of the operator ZipMap that makes an output; None if another operator makes it."""
    for node in onnx.load_from_string(content).graph.node:
        if output in node.output:
            if node.op_type != "ZipMap":
                break
            for attribute in node.attribute:
                if attribute.name == "classlabels_int64s":
                    return tuple(attribute.ints)
                return tuple(text.decode() for text in attribute.strings)
    if any(port.name == output and port.kind.startswith("seq(") for port in ports(content)[1]):
        raise ForeignModelError(
            f"{uri} returns its probabilities as dictionaries that no ZipMap makes; export it with a tensor of "
            "probabilities"
        )
    return None
