"""ONNX graphs of other programs, rewritten to the inputs and outputs of a bundle."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from slipway_core.manifest import GraphNames
from slipway_trainer.drawing import UNKNOWN
from slipway_trainer.errors import ForeignModelError
from slipway_trainer.foreign.columns import (
    FLOATS,
    MAX_LISTED,
    Feature,
    GraphColumn,
    Kind,
    are_plain_floats,
    column_of,
    has_gap,
)
from slipway_trainer.foreign.data import GAPS_OF_GRAPHS
from slipway_trainer.foreign.drawn_rows import draw_cells
from slipway_trainer.foreign.graph_labels import class_labels, texts_of
from slipway_trainer.foreign.model import Cells, Converted, Expected, graph_labels
from slipway_trainer.foreign.original_graph import TENSORS, OriginalGraph, read_graph
from slipway_trainer.foreign.schema import Known
from slipway_trainer.recipes import Column
from slipway_trainer.recipes.base import Label

_MATRIX = 2
_SUM_TOLERANCE = 1e-3


class GraphModel:
    """An ONNX graph; see `slipway_trainer.foreign.model.ForeignModel`."""

    gaps: frozenset[Kind] = GAPS_OF_GRAPHS

    def __init__(self, uri: str, file: Path, width: int | None) -> None:
        """Load a graph and find its classes.

        Args:
            uri: its address, for messages.
            file: the file.
            width: the number of its columns, if it does not show it itself.

        Raises:
            ForeignModelError: it cannot be served.
        """
        self._uri = uri
        self._original = OriginalGraph(uri, read_graph(uri, file), width)
        slots = self._original.slots
        names = None
        if len(slots) > 1 and all(slot.width == 1 for slot in slots):
            names = tuple(slot.name for slot in slots)
        kinds = tuple(slot.kind for slot in slots for _ in range(slot.width))
        self.known = Known(names, len(kinds), kinds)
        self._texts = texts_of(self._original.content)
        self.classes: tuple[Label, ...] = self._classes()
        if len(self.classes) == 1:
            raise ForeignModelError(f"{uri} knows only one class, {self.classes[0]!r}; export a model of two or more")
        self.task: Literal["classification", "regression"] = "classification" if self.classes else "regression"
        self._places = {label: index for index, label in enumerate(self.classes)}

    def _classes(self) -> tuple[Label, ...]:
        """Return the labels in the order of the probabilities; none for a regressor."""
        original = self._original
        if original.zipmap is not None:
            return original.zipmap
        if original.label is None and original.n_scores == 1:
            return ()
        features = [Feature(str(index), kind) for index, kind in enumerate(self.known.kinds or ())]
        words = [self._texts or (UNKNOWN,) if feature.kind == "string" else None for feature in features]
        try:
            predicted, scores = original.run(draw_cells(features, words, np.random.default_rng(0)))
        except ForeignModelError as error:
            if original.n_scores is None or original.label is None:
                raise ForeignModelError(f"{self._uri} cannot be registered: {error}") from error
            # A graph may take only the texts that it knows.
            return class_labels(self._uri, original, original.n_scores)
        if scores.ndim != _MATRIX or scores.shape[1] == 1:
            if predicted is None:
                return ()
            raise ForeignModelError(
                f"{self._uri} returns a label and one number per row; export it with the probability of each class"
            )
        if predicted is not None:
            return class_labels(self._uri, original, scores.shape[1])
        if (scores < 0).any() or (np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
            raise ForeignModelError(
                f"{self._uri} returns {scores.shape[1]} numbers per row that are not probabilities, because they do "
                "not sum to 1; export it with a softmax at the end, or with one number per row"
            )
        return tuple(range(scores.shape[1]))

    def described(self, features: Sequence[Feature], cells: Cells | None) -> tuple[Feature, ...]:
        """Return the columns; a column of text whose graph fails on an unknown text takes only those of the rows."""
        if cells is None:
            return tuple(replace(feature, nullable=feature.nullable and feature.kind in FLOATS) for feature in features)
        found = []
        for index, feature in enumerate(features):
            texts = sorted({value for value in cells[:, index] if isinstance(value, str)})
            changed = cells[:1].copy()
            changed[0, index] = UNKNOWN
            if feature.kind == "string" and len(texts) <= MAX_LISTED and not self._takes(changed):
                found.append(replace(feature, categories=tuple(texts), is_closed=True))
            else:
                nullable = has_gap(cells, index) or (feature.nullable and feature.kind in FLOATS)
                found.append(replace(feature, nullable=nullable))
        return tuple(found)

    def _takes(self, cells: Cells) -> bool:
        try:
            self._original.run(cells)
        except ForeignModelError:
            return False
        return True

    def words(self, feature: Feature) -> tuple[str, ...] | None:
        """Return the texts that the graph's operators list."""
        return self._texts if feature.kind == "string" else None

    def predict(self, features: Sequence[Feature], cells: Cells) -> Expected:  # noqa: ARG002  # the graph has its own inputs
        """Return the predictions of the graph as it was exported."""
        labels, scores = self._original.run(cells)
        if not self.classes:
            return Expected(scores.reshape(len(cells)), None)
        if labels is None:
            return Expected(scores.argmax(axis=1), scores)
        unknown = [label for label in labels.tolist() if label not in self._places]
        if unknown:
            raise ForeignModelError(f"the graph returns the label {unknown[0]!r}, which is not one of its classes")
        indices = np.array([self._places[label] for label in labels.tolist()], dtype=np.int64)
        return Expected(indices, scores)

    def convert(self, features: Sequence[Feature]) -> Converted:
        """Return the graph with a float32 matrix or one input per column, and with tensors as outputs."""
        graph = onnx.load_from_string(self._original.content)
        names = _rewrite_outputs(graph, self._original, self.classes)
        slots = self._original.slots
        if len(slots) == 1 and slots[0].kind == "float32" and not slots[0].is_flat and are_plain_floats(features):
            columns: tuple[Column, ...] = tuple(column_of(feature, as_matrix=True) for feature in features)
        else:
            graph = _split_inputs(graph, self._original, [feature.name for feature in features])
            prefix = _prefix([feature.name for feature in features])
            names = names.model_copy(
                update={
                    "label": prefix + names.label,
                    "scores": None if names.scores is None else prefix + names.scores,
                }
            )
            columns = tuple(_graph_column(feature) for feature in features)
        return Converted(graph.SerializeToString(), names, columns)


def _graph_column(feature: Feature) -> GraphColumn:
    tensor = "int64" if feature.kind == "int32" else feature.kind
    return GraphColumn(**column_of(feature, as_matrix=False).model_dump(), tensor=tensor)


def _rewrite_outputs(graph: onnx.ModelProto, original: OriginalGraph, classes: Sequence[Label]) -> GraphNames:
    """Replace a ZipMap by its tensor, doubles by floats, and booleans by integers; add a missing label."""
    body = graph.graph
    scores, label = original.scores, original.label
    kinds = {port.name: port.type.tensor_type.elem_type for port in body.output}
    if original.zipmap is not None:
        zipmap = next(node for node in body.node if scores in node.output)
        scores = zipmap.input[0]
        body.node.remove(zipmap)
        kinds[scores] = TensorProto.DOUBLE  # unknown, so that a Cast follows
    if kinds[scores] != TensorProto.FLOAT:
        scores = _appended(body, "Cast", scores, to=TensorProto.FLOAT)
    shape: list[int | None] = [None, len(classes)] if classes else [None, 1]
    if not classes:
        scores = _reshaped(body, scores)
        _set_outputs(body, [helper.make_tensor_value_info(scores, TensorProto.FLOAT, shape)])
        return GraphNames(label=scores)
    kind = TensorProto.INT64
    if label is None:
        label = _appended(body, "ArgMax", scores, axis=1, keepdims=0)
    elif kinds[label] == TensorProto.STRING:
        kind = TensorProto.STRING
    elif kinds[label] != TensorProto.INT64:
        label = _appended(body, "Cast", label, to=TensorProto.INT64)
    _set_outputs(
        body,
        [
            helper.make_tensor_value_info(label, kind, None),
            helper.make_tensor_value_info(scores, TensorProto.FLOAT, shape),
        ],
    )
    return GraphNames(label=label, scores=scores, labels=graph_labels(classes))


def _appended(body: onnx.GraphProto, operator: str, name: str, **attributes: Any) -> str:  # noqa: ANN401
    """Append an operator on a tensor, and return the name of its output."""
    taken = {output for node in body.node for output in node.output}
    output = f"{name}_{operator.lower()}"
    while output in taken:
        output += "_"
    body.node.append(helper.make_node(operator, [name], [output], **attributes))
    return output


def _reshaped(body: onnx.GraphProto, name: str) -> str:
    """Append a Reshape to (n_rows, 1), and return the name of its output."""
    shape = f"{name}_shape_of_values"
    body.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [2], [-1, 1]))
    output = f"{name}_values"
    body.node.append(helper.make_node("Reshape", [name, shape], [output]))
    return output


def _set_outputs(body: onnx.GraphProto, outputs: Sequence[onnx.ValueInfoProto]) -> None:
    del body.output[:]
    body.output.extend(outputs)


def _prefix(names: Sequence[str]) -> str:
    """Return a prefix of tensors that no column has."""
    prefix = "model/"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def _split_inputs(graph: onnx.ModelProto, original: OriginalGraph, names: Sequence[str]) -> onnx.ModelProto:
    """Return the graph with one input of the shape (n_rows, 1) for each column."""
    prefix = _prefix(names)
    prefixed = compose.add_prefix(graph, prefix=prefix)
    body = prefixed.graph
    nodes, inputs = [], []
    for slot in original.slots:
        columns = list(names[slot.start : slot.start + slot.width])
        tensor = "int64" if slot.kind == "int32" else slot.kind
        inputs += [helper.make_tensor_value_info(name, TENSORS[tensor], [None, 1]) for name in columns]
        steps = [("Concat", {"axis": 1})] if slot.width > 1 else []
        if slot.kind == "int32":
            steps.append(("Cast", {"to": TensorProto.INT32}))
        if slot.is_flat:
            steps.append(("Reshape", {}))
        steps = steps or [("Identity", {})]
        given = columns
        for index, (operator, attributes) in enumerate(steps):
            output = prefix + slot.name if index == len(steps) - 1 else f"{prefix}{slot.name}/{index}"
            if operator == "Reshape":
                shape = f"{prefix}{slot.name}/shape"
                body.initializer.append(helper.make_tensor(shape, TensorProto.INT64, [1], [-1]))
                given = [*given, shape]
            nodes.append(helper.make_node(operator, given, [output], **attributes))
            given = [output]
    rest = list(body.node)
    del body.node[:], body.input[:]
    body.node.extend([*nodes, *rest])
    body.input.extend(inputs)
    return prefixed
