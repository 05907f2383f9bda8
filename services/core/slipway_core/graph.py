"""Load a bundle's ONNX graph into ONNX Runtime, run it, and replay its golden rows.

The trainer and the API both use this module, so that evaluation and serving return the same numbers.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from slipway_core.arena import arena_bytes, is_out_of_memory, use_shared_arena
from slipway_core.bundle import Golden
from slipway_core.columns import GraphInput, TensorType
from slipway_core.errors import BundleError, FeaturesError
from slipway_core.manifest import Decision, GraphNames
from slipway_core.onnx_cost import cost_follows_rows
from slipway_core.onnx_errors import why_not_loaded
from slipway_core.onnx_model import check_repeatable, check_self_contained
from slipway_core.rows import FloatMatrix, Rows, Table
from slipway_core.table_signature import AnySignature

# A path below a file: such a folder cannot exist.
NO_FOLDER = f"{os.devnull}/external-data"
# The element types of inputs, by ONNX Runtime's names.
TENSOR_TYPES: Mapping[str, TensorType] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
}
# Another thread terminates a run by setting `terminate` on its options; the run ends after its current operator.
RunOptions: TypeAlias = onnxruntime.RunOptions
# Shared by runs that are never terminated: creating options would take a tenth of the time of a one-row run.
_RUN_OPTIONS = RunOptions()


@dataclass(frozen=True)
class Outputs:
    """The outputs of a graph.

    Attributes:
        prediction: (n_rows,) int64 class indices; or the values of a regressor, float32 or float64.
        scores: (n_rows, n_classes) float32 probabilities, or None for a regressor.
    """

    prediction: NDArray[np.int64] | NDArray[np.float32] | NDArray[np.float64]
    scores: FloatMatrix | None


class Graph:
    """An ONNX graph ready to run. Running it is thread-safe.

    Attributes:
        cost_follows_rows: whether the time and memory of a run depend only on the number of rows.
        is_double: whether its label output is float64, as that of a regressor that takes float64.
    """

    def __init__(self, model: bytes, names: GraphNames, decision: Decision | None = None) -> None:
        """Load a graph from its serialised form.

        Args:
            model: the serialised graph.
            names: its outputs.
            decision: replaces the label of a binary classifier.

        Raises:
            BundleError: the graph cannot be loaded, or lacks an output in `names`.
        """
        self._session, parsed = _open(model)
        self.cost_follows_rows = cost_follows_rows(parsed)
        self._inputs = self._session.get_inputs()
        self._input = self._inputs[0].name
        self._outputs = [names.label] if names.scores is None else [names.label, names.scores]
        self._labels = None if names.labels is None else np.array(names.labels)
        self._decision = decision
        outputs = {item.name: item.type for item in self._session.get_outputs()}
        self.is_double = outputs.get(names.label) == "tensor(double)"
        self._has_wide_scores = outputs.get(names.scores or "") == "tensor(double)"
        if missing := [name for name in self._outputs if name not in outputs]:
            raise BundleError(f"the graph has no output named {', '.join(missing)}, which the manifest names")

    def check_inputs(self, inputs: Sequence[GraphInput]) -> None:
        """Raise BundleError if the graph's inputs are not those of the manifest."""
        found: dict[str, str] = {item.name: TENSOR_TYPES.get(item.type, item.type) for item in self._inputs}
        expected: dict[str, str] = {tensor.name: tensor.dtype for tensor in inputs}
        if found != expected:
            raise BundleError(
                f"the graph's inputs are {_listed(found)}, but the manifest names {_listed(expected)}: export it again"
            )

    def run(self, rows: Rows, options: RunOptions = _RUN_OPTIONS) -> Outputs:
        """Run the graph on rows: an (n_rows, n_features) float32 matrix, or a table.

        Args:
            rows: the rows, as the manifest's signature returns them.
            options: options of this run alone, so that another thread can terminate it.

        Raises:
            BundleError: the graph rejects rows of this width, or fails on them.
        """
        prediction, *others = self.raw(rows, options)
        scores: Any = others[0] if others else None
        if not isinstance(prediction, np.ndarray) or (self._labels is None and prediction.dtype.kind not in "if"):
            raise BundleError(
                "the graph's labels are not numbers: export the classes as indices, and the scores as a tensor"
            )
        prediction = prediction.reshape(-1)
        if self._labels is not None:
            prediction = _indices(prediction, self._labels)
        if self._has_wide_scores and scores is not None:
            scores = scores.astype(np.float32)
        if self._decision is not None:
            prediction = _decided(prediction, scores, self._decision)
        return Outputs(prediction, scores)

    def raw(self, rows: Rows, options: RunOptions = _RUN_OPTIONS) -> list[Any]:
        """Run the graph, and return its label output and its scores, if any, as the graph returns them.

        Raises:
            BundleError: as `run`.
        """
        feed = rows.feed if isinstance(rows, Table) else {self._input: rows}
        try:
            results: list[Any] = self._session.run(self._outputs, feed, options)
        except Exception as error:  # the exceptions of ONNX Runtime have no narrower base class
            if is_out_of_memory(error):
                raise BundleError(
                    f"a run with {len(rows)} rows needs more memory than is free in the {arena_bytes() >> 20} MiB "
                    "that all models share: send fewer rows, or export a smaller graph"
                ) from error
            raise BundleError("the graph fails on valid rows; export it again") from error
        return results


def _decided(prediction: NDArray[Any], scores: Any, decision: Decision) -> NDArray[np.int64]:  # noqa: ANN401
    """Return the classes that a decision threshold selects instead of the graph's labels."""
    positive = decision.positive_class
    if not isinstance(scores, np.ndarray) or scores.shape != (len(prediction), 2):
        raise BundleError("a decision needs the probabilities of two classes, which the graph does not return")
    # As float32 like the probabilities, so that a threshold of 0.7 includes a probability of 0.7.
    is_positive = scores[:, positive] >= np.float32(decision.threshold)
    return np.where(is_positive, positive, 1 - positive)


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())[:500]


def _indices(prediction: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the index of each predicted label in the list of a graph's own labels, integers or text."""
    if (labels.dtype.kind == "U") != (prediction.dtype.kind in "OU"):
        raise BundleError("the graph's labels do not have the type that the manifest states; export it again")
    prediction = prediction.astype(np.str_) if prediction.dtype.kind == "O" else prediction
    order = np.argsort(labels)
    places = np.searchsorted(labels[order], prediction).clip(max=len(labels) - 1)
    found: NDArray[np.int64] = order[places]
    if not np.array_equal(labels[found], prediction):
        raise BundleError("the graph returns a label that is not in its own list of classes; export it again")
    return found


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        kind: the type as ONNX Runtime writes it, such as `tensor(float)`.
        shape: the length of each axis; a dynamic axis has a name or None.
    """

    name: str
    kind: str
    shape: tuple[int | str | None, ...]


def ports(model: bytes) -> tuple[list[Port], list[Port]]:
    """Return the inputs and the outputs of a serialised graph.

    Raises:
        BundleError: the graph cannot be loaded.
    """
    session, _ = _open(model)
    inputs, outputs = (
        [Port(item.name, item.type, tuple(item.shape or ())) for item in items]
        for items in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _open(model: bytes) -> tuple[onnxruntime.InferenceSession, Any]:
    """Return a session and the parsed model."""
    parsed = check_self_contained(model)
    check_repeatable(parsed)
    options = onnxruntime.SessionOptions()
    # Otherwise, ONNX Runtime may detect its own format, which the check above does not read.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # A second safeguard: external data is only read from this folder, which cannot exist.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
    # One thread per session: parallel execution slows down small graphs, and requests already run in parallel.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    use_shared_arena(options)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]), parsed
    except Exception as error:  # the exceptions of ONNX Runtime have no narrower base class
        raise BundleError(f"the graph cannot be loaded: {why_not_loaded(error)}") from error


def replay(graph: Graph, golden: Golden, signature: AnySignature, options: RunOptions = _RUN_OPTIONS) -> Rows:
    """Run the golden rows and compare the outputs: class indices exactly, other values within the tolerances.

    Args:
        graph: the graph.
        golden: the rows with their outputs.
        signature: the model's signature.
        options: options of this run alone, so that another thread can terminate it.

    Returns:
        The golden rows in the graph's form.

    Raises:
        BundleError: an output differs, or a golden row does not fit the signature; the message names the first row.
    """
    try:
        rows = signature.rows([list(row) for row in golden.rows])
    except FeaturesError as error:
        raise BundleError(
            f"a golden row does not fit the manifest ({error.problems[0].msg}); export it again"
        ) from error
    outputs = graph.run(rows, options)
    pairs: list[tuple[str, NDArray[Any] | None, Sequence[Any] | None]] = [
        ("prediction", outputs.prediction, golden.outputs.prediction)
    ]
    if golden.outputs.scores is not None or outputs.scores is not None:
        pairs.append(("scores", outputs.scores, golden.outputs.scores))
    for name, found, expected in pairs:
        if found is None or expected is None or _shape(found) != _shape(expected):
            raise BundleError(f"the {name} of the golden rows and of golden.json differ in shape; export it again")
        if np.issubdtype(found.dtype, np.integer):
            close = found == np.array(expected)
        else:
            close = np.isclose(found, np.array(expected), rtol=golden.rtol, atol=golden.atol)
        if not close.all():
            row = int(np.argwhere(~close)[0][0])
            raise BundleError(
                f"for golden row {row}, the graph's {name} and golden.json differ: "
                "the graph is not the one that was evaluated; export it again"
            )
    return rows


def _shape(values: Any) -> tuple[int, ...] | None:  # noqa: ANN401
    try:
        shape: tuple[int, ...] = np.shape(values)
    except ValueError:  # rows of different lengths
        return None
    return shape
