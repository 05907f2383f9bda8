"""Derive a manifest from MLflow's signature and the graph, for versions that Slipway's trainer did not register.

Such a version has no golden rows and no digest, so its behavior cannot be verified. It is served only if the settings
allow it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from slipway_api.serving.foreign_inputs import ForeignInputs, derive_inputs
from slipway_api.serving.mlmodel import read_mlmodel
from slipway_core.bundle import digest
from slipway_core.columns import MAX_NAME_LENGTH, GraphInput, InputColumn
from slipway_core.errors import BundleError
from slipway_core.graph import Graph, Port, RunOptions, ports
from slipway_core.manifest import GOLDEN_FILE, MODEL_FILE, SCHEMA_VERSION, DataLineage, GraphNames, Label, Manifest
from slipway_core.onnx_labels import find_class_labels
from slipway_core.onnx_zipmap import WithoutZipMap, without_zipmap
from slipway_core.printable import printable
from slipway_core.registry import ModelVersion
from slipway_core.rows import Rows
from slipway_core.table_signature import signature_for
from slipway_core.validation import first_problem

# On these rows, a graph's ArgMax must choose the highest probability if that exceeds all others by this share.
CHECKED_ROWS = 64
CLEAR_MARGIN = 1e-3
LARGEST_DRAWN_INTEGER = 100
EXPECTED_OUTPUTS = "export it with one float value per row, or with a label and a float probability per class"

_LABEL_KINDS = frozenset({"tensor(int64)", "tensor(int32)", "tensor(bool)", "tensor(string)"})
_FLOAT_KINDS = frozenset({"tensor(float)", "tensor(double)"})


@dataclass(frozen=True)
class ForeignModel:
    """A version that Slipway's trainer did not register, ready to open.

    Attributes:
        graph: the serialised graph, which returns probabilities as a matrix.
    """

    manifest: Manifest
    graph: bytes


def read_foreign(
    version: ModelVersion, mlmodel: bytes, model: bytes, options: RunOptions | None = None
) -> ForeignModel:
    """Derive the manifest of a version from its MLmodel file and its graph.

    Raises:
        BundleError: it is not an ONNX model of a table, or its outputs are not supported.
    """
    fields, options = read_mlmodel(version, mlmodel), options or RunOptions()
    converted = without_zipmap(model)
    graph_inputs, outputs = ports(converted.model)
    inputs = derive_inputs(fields, graph_inputs, converted.model)
    label, scores = _outputs(outputs, converted)
    names, classes = GraphNames(label=label.name, scores=scores and scores.name), None
    first = _first_outputs(Graph(converted.model, names), inputs, options)
    if scores is None:
        _check_values(label, first[0])
    else:
        names, classes = _classes(converted, names, label, first, inputs, options)
    try:
        manifest = Manifest.model_validate(
            {
                "schema_version": SCHEMA_VERSION,
                "name": version.name,
                "task": "regression" if scores is None else "classification",
                "columns": inputs.columns,
                "inputs": inputs.inputs,
                "graph": names,
                "classes": classes,
                "metrics": {},
                "data": DataLineage(version="", rows=0, split=""),
                "recipe": "",
                "created_at": datetime.fromtimestamp(version.created_at, UTC),
                # The schema requires both; there are no golden rows.
                "digests": {MODEL_FILE: digest(model), GOLDEN_FILE: digest(b"")},
            }
        )
    except ValidationError as error:
        place, message = first_problem(error)
        raise BundleError(f"no manifest can be derived: {message} ({place or 'as a whole'})") from error
    return ForeignModel(manifest, converted.model)


def valid_row(columns: Sequence[InputColumn], inputs: Sequence[GraphInput]) -> Rows:
    """Return one row that a graph takes: the first category of each column, or zero, false or an empty text."""
    blanks: dict[str, Any] = {"string": "", "bool": False, "int64": 0}
    row = [column.categories[0] if column.categories else blanks.get(column.dtype, 0.0) for column in columns]
    return signature_for(columns, inputs).rows([row])


def _outputs(outputs: Sequence[Port], converted: WithoutZipMap) -> tuple[Port, Port | None]:
    """Return the output of labels or values, and that of probabilities of a classifier.

    Raises:
        BundleError: the graph has other outputs.
    """
    labels = [port for port in outputs if port.kind in _LABEL_KINDS]
    floats = [port for port in outputs if port.kind in _FLOAT_KINDS]
    is_known = len(labels) + len(floats) == len(outputs)
    if is_known and len(labels) == len(floats) == 1:
        return labels[0], floats[0]
    if is_known and not labels and len(floats) == 1 and converted.scores is None:
        return floats[0], None
    if is_known and not floats and len(labels) == 1:
        raise BundleError(f"the graph returns labels without probabilities: {EXPECTED_OUTPUTS}")
    if is_known and not labels and converted.scores is not None:
        raise BundleError(f"the graph returns probabilities without labels: {EXPECTED_OUTPUTS}")
    if is_known and len(labels) == 1 and len(floats) > 1:
        raise BundleError(
            f"the graph returns {len(floats)} outputs of floats beside its labels: export its probabilities as one "
            'matrix, with skl2onnx and options={"zipmap": False}, and no other output'
        )
    shown = ", ".join(f"{port.name[:40]!r} ({port.kind})" for port in outputs)[:300]
    raise BundleError(f"the graph's outputs are {shown}: {EXPECTED_OUTPUTS}")


def _first_outputs(graph: Graph, inputs: ForeignInputs, options: RunOptions) -> list[NDArray[Any]]:
    """Return the outputs for one row."""
    found = graph.raw(valid_row(*inputs), options)
    if not all(isinstance(output, np.ndarray) for output in found):
        raise BundleError(f"the graph's outputs are not arrays: {EXPECTED_OUTPUTS}")
    return found


def _check_values(output: Port, values: NDArray[Any]) -> None:
    """Raise BundleError if the only output has other than one value per row."""
    if values.shape in {(1,), (1, 1)}:
        return
    if values.ndim == 2 and len(values) == 1:  # noqa: PLR2004
        raise BundleError(
            f"the graph's only output {output.name[:40]!r} has {values.shape[1]} values per row, which are several "
            f"targets, or probabilities without labels: {EXPECTED_OUTPUTS}"
        )
    shape = "×".join(map(str, values.shape)) or "no axis"
    raise BundleError(
        f"the graph's output {output.name[:40]!r} for one row has the shape {shape}, not one value: {EXPECTED_OUTPUTS}"
    )


def _classes(
    converted: WithoutZipMap,
    names: GraphNames,
    label: Port,
    first: Sequence[NDArray[Any]],
    inputs: ForeignInputs,
    options: RunOptions,
) -> tuple[GraphNames, tuple[Label, ...]]:
    """Return a classifier's outputs with the label that each column of its probabilities stands for, and its classes.

    Whether the chosen label has the highest probability is checked only where the graph itself takes an ArgMax. The
    classifiers of `ai.onnx.ml` may choose another one: an SVM's probabilities are fitted apart from its decision, and
    trained on noise it can contradict them on every row; other models have a threshold. The ONNX specification says
    which of their probabilities belongs to which label. A verified bundle needs no such check: its golden rows prove
    that its labels and probabilities are those of the evaluated graph.

    Raises:
        BundleError: the graph does not prove which labels its probabilities belong to, or contradicts itself.
    """
    chosen, scores = first
    if scores.shape in {(1,), (1, 1)}:
        raise BundleError(
            f"the graph returns one probability per row, but must return one per class: {EXPECTED_OUTPUTS}"
        )
    if scores.ndim != 2 or names.scores is None:  # noqa: PLR2004
        raise BundleError(f"the graph's probabilities are not a matrix of rows and classes: {EXPECTED_OUTPUTS}")
    if chosen.shape not in {(1,), (1, 1)}:
        raise BundleError(f"the graph returns {chosen.size} labels for one row: {EXPECTED_OUTPUTS}")
    labels = find_class_labels(converted.model, names.label, names.scores, scores.shape[1])
    if converted.labels and converted.labels != labels.values:
        raise BundleError(
            "the graph's ZipMap names other classes than its labels are, or in another order: export it again"
        )
    if not all(
        isinstance(one, int) or (one == printable(one) and len(one) <= MAX_NAME_LENGTH) for one in labels.values
    ):
        raise BundleError(
            f"a class of the graph is not a text of at most {MAX_NAME_LENGTH} printable characters: train the model on "
            "other labels"
        )
    is_boolean = label.kind == "tensor(bool)"
    if is_boolean or labels.values != tuple(range(len(labels.values))):
        names = names.model_copy(update={"labels": labels.values})
    if labels.by_argmax:
        _check_argmax(Graph(converted.model, names), inputs, options)
    return names, tuple(map(bool, labels.values)) if is_boolean else labels.values


def _check_argmax(graph: Graph, inputs: ForeignInputs, options: RunOptions) -> None:
    """Raise BundleError if a graph that takes an ArgMax does not choose its highest probability on drawn rows.

    The structure of a graph does not show the sign of a sum that its scores are divided by: a negative one reverses
    their order.
    """
    try:
        outputs = graph.run(_drawn_rows(inputs), options)
    except BundleError:  # a graph may take no such rows, for example if its features are codes of categories
        if options.terminate:
            raise
        return
    scores, chosen = outputs.scores, outputs.prediction
    if scores is None or scores.ndim != 2 or scores.shape[1] < 2 or chosen.shape != scores.shape[:1]:  # noqa: PLR2004
        return
    usable = np.isfinite(scores).all(axis=1)
    wide, chosen = scores[usable].astype(np.float64), chosen[usable]
    second, highest = np.partition(wide, -2, axis=1)[:, -2:].T
    is_clear = highest - second > CLEAR_MARGIN * np.maximum(abs(highest), abs(second))
    if (is_clear & (wide.argmax(axis=1) != chosen)).any():
        raise BundleError(
            "the graph's labels are not the classes of its highest probabilities, although it takes an ArgMax: export "
            "the ArgMax of its probabilities as the label"
        )


def _drawn_rows(inputs: ForeignInputs) -> Rows:
    """Return CHECKED_ROWS rows of random numbers, and of random categories where the graph lists them."""
    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(CHECKED_ROWS, len(inputs.columns))) * 10 ** draw.uniform(-1, 2, size=(CHECKED_ROWS, 1))
    numbers[::2] = abs(numbers[::2])
    columns = [_drawn(column, numbers[:, index]) for index, column in enumerate(inputs.columns)]
    return signature_for(inputs.columns, inputs.inputs).rows([list(row) for row in zip(*columns, strict=True)])


def _drawn(column: InputColumn, numbers: NDArray[np.float64]) -> list[Any]:
    """Return values of a column for random numbers."""
    codes = np.clip(abs(numbers), 0, LARGEST_DRAWN_INTEGER).astype(int).tolist()
    if column.categories:
        return [column.categories[code % len(column.categories)] for code in codes]
    if column.dtype == "string":
        return [""] * len(codes)
    if column.dtype == "bool":
        return [code % 2 == 1 for code in codes]
    return list(codes if column.dtype == "int64" else numbers.tolist())
